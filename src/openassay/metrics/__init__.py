"""How well predictions fit: each metric is one function on arrays, chosen by name in METRICS.

To add a metric: one file, its name in the dict, one test. A metric's name records what influences it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from openassay.metrics.accuracy import accuracy
from openassay.metrics.mean_squared_error import mean_squared_error

MetricName = Literal["accuracy", "mean_squared_error"]

METRICS: dict[MetricName, Callable[[NDArray[np.generic], NDArray[np.generic]], float]] = {
    "accuracy": accuracy,
    "mean_squared_error": mean_squared_error,
}
