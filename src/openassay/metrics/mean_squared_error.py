"""Mean squared error of predictions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mean_squared_error(predictions: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
    """Mean of (prediction - value)^2, in squared units of the values; NaN when a prediction is NaN.

    Both of one shape, not empty, else ValueError.
    """
    if predictions.shape != labels.shape or labels.size == 0:
        raise ValueError(f"predictions of shape {predictions.shape} for values of shape {labels.shape}")
    return float(np.mean((predictions.astype(float) - labels.astype(float)) ** 2))
