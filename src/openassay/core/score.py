"""How well does the release reproduce, between 0 and 1? A score whose one half is the tolerance itself.

With u = theta/margin the credit is c(u) = 2^-(u^2): 1 for no difference, 1/2 for a difference as large as the tolerance. The
score is its mean over what is known of theta, and the interval is the difference's interval mapped through c; so the whole
interval lies at or above 1/2 exactly when the claim is reproduced, and below exactly when it is not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from openassay.core.equivalence import Difference, Floats

_NODES = (np.arange(200) + 0.5) / 200


def credit(theta: ArrayLike, margin: ArrayLike) -> Floats:
    """c = 2^-((theta/margin)^2), in (0, 1]."""
    with np.errstate(over="ignore"):  # a difference of 1e200 margins has no credit
        return np.asarray(np.exp2(-((np.asarray(theta, dtype=float) / np.asarray(margin, dtype=float)) ** 2)))


def score(difference: Difference, margin: ArrayLike) -> Floats:
    """E[c(theta)] with theta ~ estimate + se * t(df), by 200 quantile nodes. Shape (...), as the difference."""
    quantiles = stats.t.ppf(_NODES, np.asarray(difference.df)[..., None])
    theta = np.asarray(difference.estimate)[..., None] + np.asarray(difference.se)[..., None] * quantiles
    return np.asarray(credit(theta, np.asarray(margin, dtype=float)[..., None]).mean(axis=-1))


def score_interval(low: ArrayLike, high: ArrayLike, margin: ArrayLike) -> tuple[Floats, Floats]:
    """The interval of the difference, [low, high], mapped to credits: from its farthest to its nearest point to zero."""
    low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    farthest = np.maximum(np.abs(low), np.abs(high))
    nearest = np.where((low <= 0) & (high >= 0), 0.0, np.minimum(np.abs(low), np.abs(high)))
    return credit(farthest, margin), credit(nearest, margin)
