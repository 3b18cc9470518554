"""Accuracy: the share of the labels that was predicted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def accuracy(predictions: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
    """The share of `labels` that was predicted, in [0, 1].

    predictions: shape (n,) of labels, or (n, num_classes) of scores for two classes or more, of which the largest counts. A
    score that is NaN makes its row wrong. labels: shape (n,). Raises ValueError for other shapes, when n is 0, or when one
    holds words and the other numbers, which would never be equal.
    """
    scored = predictions.ndim == 2 and predictions.shape[1] >= 2
    fits = (scored or predictions.ndim == 1) and predictions.shape[:1] == labels.shape
    if labels.ndim != 1 or labels.size == 0 or not fits:
        raise ValueError(f"predictions of shape {predictions.shape} for labels of shape {labels.shape}")
    kinds = {predictions.dtype.kind, labels.dtype.kind}
    if len(kinds) > 1 and kinds & {"U", "S"}:
        raise ValueError(f"predictions of type {predictions.dtype} for labels of type {labels.dtype}")
    if scored:
        scores = predictions.astype(float)
        chosen = np.argmax(scores, axis=1)
        return float(np.mean((chosen == labels) & ~np.isnan(scores).any(axis=1)))
    return float(np.mean(predictions == labels))
