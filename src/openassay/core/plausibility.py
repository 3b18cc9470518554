"""Figures that stand beside a verdict and never decide it: how plausible the published value is, given the reruns.

`d` is the reruns' mean minus the published value, `variance` the seed variance on `df` degrees of freedom, `n` the reruns.
"""

from __future__ import annotations

import numpy as np
import scipy

from openassay.core.sequential import Floats, best_of, log_density, shortfall

SCEPTICAL_SD = 1.482602218505602
"""Of the sceptical prior, in margins: normal around 0, half of it within the margin. One over the normal quantile of 3/4."""
MOST_TRIED = 100
"""Trainings that anybody is thought to have chosen the best of."""

_GRID = np.linspace(-8.0, 8.0, 4001)


def share_within(d: float, variance: float, df: float, n: int, margin: float, direction: int) -> float:
    """The share of single trainings that would fall within the tolerance: predictive t, sd = s sqrt(1 + 1/n). In [0, 1]."""
    return within_flat(d, float(np.sqrt(variance * (1 + 1 / n))), df, margin, direction)


def within_flat(d: float, se: float, df: float, margin: float, direction: int) -> float:
    """P(the difference lies within the margin) under a flat prior: the t distribution around d read as one of the difference."""
    if se <= 0:
        return float({0: abs(d) <= margin, 1: d >= -margin, -1: d <= margin}[direction])
    upper, lower = scipy.special.stdtr(df, (margin - d) / se), scipy.special.stdtr(df, (-margin - d) / se)
    return float({0: upper - lower, 1: 1 - lower, -1: upper}[direction])


def within_sceptical(d: float, se: float, df: float, margin: float, direction: int) -> float:
    """P(the difference lies within the margin) under the sceptical prior, by which both answers are equally likely beforehand."""
    if se <= 0:
        return within_flat(d, se, df, margin, direction)
    theta = np.unique(np.concatenate([_GRID * SCEPTICAL_SD * margin, d + _GRID * se, [-margin, margin]]))
    wide_sd = SCEPTICAL_SD * margin
    both = _log_density((d - theta) / se, df) + (log_density(theta / wide_sd) - np.log(wide_sd))
    density = np.exp(both - both.max())
    pieces = np.diff(theta) * (density[1:] + density[:-1]) / 2
    middle = (theta[1:] + theta[:-1]) / 2
    inside = {0: abs(middle) <= margin, 1: middle >= -margin, -1: middle <= margin}[direction]
    return float(pieces[inside].sum() / pieces.sum())


def _log_density(x: Floats, df: float) -> Floats:
    """Of the t distribution."""
    if np.isinf(df):
        return log_density(x)
    level = np.log(scipy.special.poch(0.5 * df, 0.5)) - 0.5 * (np.log(df) + np.log(np.pi))
    return np.asarray(level - (df + 1) / 2 * np.log1p(x * x / df))


def luck(d: float, se: float, df: float) -> float:
    """P(a published value of the recipe as rerun lies at least so far out, on its side), in [0, 0.5].

    se: of the difference, with the published trainings' own noise.
    """
    return float(scipy.special.stdtr(df, -abs(d) / se))


def fewest_tried(d: float, variance: float, margin: float, direction: int) -> int | None:
    """The least K for which the best of K such trainings is expected within the tolerance of the published value.

    1 where the reruns' mean itself is; None where not even the best of MOST_TRIED is expected to come so near.
    """
    sd, short = float(np.sqrt(variance)), shortfall(d, direction)
    return next((k for k in range(1, MOST_TRIED + 1) if short - best_of(k)[0] * sd <= margin), None)
