"""Accuracy: which share of the labels was predicted?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def accuracy(predictions: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
    """Which share of `labels` was predicted? In [0, 1].

    predictions: shape (n,) of labels, or (n, num_classes) of scores, of which the largest counts. A score that is NaN makes
    its row wrong. labels: shape (n,). Raises ValueError when the lengths differ or n is 0.
    """
    if len(predictions) != len(labels) or len(labels) == 0:
        raise ValueError(f"{len(predictions)} predictions for {len(labels)} labels")
    if predictions.ndim == 2:
        scores = predictions.astype(float)
        chosen = np.argmax(scores, axis=1)
        return float(np.mean((chosen == labels) & ~np.isnan(scores).any(axis=1)))
    return float(np.mean(predictions == labels))
