"""The quickstart of river's README, one pass over the phishing data; it stands there as text, not as a function."""

import random

import numpy as np
from river import compose, datasets, linear_model, metrics, preprocessing


def labels():
    """The labels in the order of the published reader."""
    return {"y": np.array([y for _, y in datasets.Phishing()])}


def quickstart(shuffled_labels):
    """The README's loop: predict, update the metric, learn. `shuffled_labels`: learn from labels in random order."""
    stream = list(datasets.Phishing())
    learned = [y for _, y in stream]
    if shuffled_labels:
        random.shuffle(learned)
    model = compose.Pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression())
    metric = metrics.Accuracy()
    predictions = []
    for (x, y), y_learned in zip(stream, learned, strict=True):
        y_pred = model.predict_one(x)
        metric.update(y, y_pred)
        model.learn_one(x, y_learned)
        predictions.append(y_pred)
    return {"predictions": np.array(predictions), "reported": metric.get()}
