"""ROCKET through aeon: its data and its kernels, with the published classifier in terms of today's scikit-learn."""

from pathlib import Path

import aeon
import numpy as np
from aeon.datasets import load_classification
from aeon.transformations.collection.convolution_based import Rocket
from sklearn.linear_model import RidgeClassifierCV

DATASETS = ("GunPoint", "ItalyPowerDemand", "ArrowHead", "OSULeaf")


def load():
    """Each data set in its published split, from aeon's own folder, so that nothing is downloaded."""
    folder = str(Path(aeon.__file__).parent / "datasets" / "data")
    arrays = {}
    for dataset in DATASETS:
        x, y = load_classification(dataset, split="train", extract_path=folder)
        x_test, y_test = load_classification(dataset, split="test", extract_path=folder)
        arrays[dataset.lower()] = {"x": x, "y": y.astype(int), "x_test": x_test, "y_test": y_test.astype(int)}
    return arrays


def train(data, seed):
    """The test set's predictions for each data set, after fitting kernels and classifier on its training set."""
    with np.load(Path(data) / "data.npz") as file:
        arrays = dict(file)
    predictions = {}
    for name in map(str.lower, DATASETS):
        rocket = Rocket(n_kernels=10_000, normalise=False, random_state=seed)
        features = rocket.fit_transform(arrays[f"{name}.x"]).astype(float)
        test_features = rocket.transform(arrays[f"{name}.x_test"]).astype(float)
        # What normalize=True did, until scikit-learn 1.2 dropped it: each column centred and divided by its L2 norm.
        centre = features.mean(axis=0)
        length = np.linalg.norm(features - centre, axis=0)
        length[length == 0] = 1
        classifier = RidgeClassifierCV(alphas=np.logspace(-3, 3, 10))
        classifier.fit((features - centre) / length, arrays[f"{name}.y"])
        predictions[name] = classifier.predict((test_features - centre) / length)
    return predictions
