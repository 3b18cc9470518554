"""What may be expected of an audit before its first rerun: the chance of each verdict, and how many reruns it takes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy

from openassay.core.boundaries import critical_value
from openassay.core.sequential import BEST_OF_DF, Batch, Floats, Stopped, Terms, best_of, half_width, run, to_batch

NOISES = (0.1, 0.32, 1.0)
"""Seed noise, in margins, that is assumed where none is known: little, the median of what was met in releases, much."""
NUM_AUDITS = 2000
_QUANTILES = (np.arange(200) + 0.5) / 200


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What may be expected of one claim's audit at one seed noise."""

    noise: float
    """Seed standard deviation in margins."""
    reproduced: float
    """P(REPRODUCED) for a recipe without any difference."""
    not_reproduced: float
    """P(NOT_REPRODUCED) for a recipe that is off by two margins."""
    num_runs: float
    """Mean number of reruns without any difference."""


def power(terms: Terms, sd: float, theta: float, max_runs: int) -> float:
    """P(the claim's question is shown to lie within the margin at the last planned rerun), in [0, 1].

    sd: seed standard deviation; theta: the true difference; both in the claim's unit. Exact for normal seeds: the critical
    value is that of the sequential test's last look, and the probability is averaged over the reruns' chi-square distributed
    variance. A verdict at an earlier look comes on top.
    """
    b: Batch = to_batch([replace(terms, published=0.0, max_runs=max_runs)], [()])
    v = float(b.v[0]) if terms.estimand == "recipe" else 0.0
    d0, margin, known = float(b.prior_df[0]), terms.margin, _known_variance(b)[0]
    df = d0 + max_runs - 1
    if max_runs < 3 or (terms.best_of > 1 and df < BEST_OF_DF):
        return 0.0  # too few to be called reproduced
    own = sd**2 * 2 * scipy.special.gammaincinv((max_runs - 1) / 2, _QUANTILES)
    variance = np.maximum((d0 * b.prior_variance[0] + own) / df, b.floor_variance[0])
    shift = float(b.best_of[0])
    critical = critical_value(max_runs, max_runs, v, d0, b.alpha[0])
    half, _ = half_width(b, variance, np.array(df), max_runs, terms.estimand, critical)
    spread = np.sqrt(sd**2 * (1 / max_runs + v + shift**2 / (2 * df)) + known)
    if spread == 0:
        spread = np.finfo(float).tiny
    room = margin - half
    upper, lower = scipy.special.ndtr((room - theta) / spread), scipy.special.ndtr((-room - theta) / spread)
    return float({0: np.where(room > 0, upper - lower, 0.0), 1: 1 - lower, -1: upper}[terms.direction].mean())


def _known_variance(batch: Batch) -> Floats:
    """Of the printed value around what it stands for, luck aside: its rounding, and what else is known."""
    return np.asarray(batch.extra_variance + batch.rounding**2 / 12)


def noises(terms: Terms) -> tuple[float, ...]:
    """Seed noises in margins to compute with: the known one, or NOISES where nothing is known."""
    variance, df = terms.prior()
    return (variance**0.5 / terms.margin,) if df > 0 else NOISES


def expect(terms: Terms) -> tuple[Expected, ...]:
    """How many reruns a claim will take, and with which verdicts, at each noise of `noises`: by simulation with a fixed seed."""
    return tuple(
        Expected(
            noise=noise, reproduced=float(none.reproduced.mean()), not_reproduced=float(off.not_reproduced.mean()),
            num_runs=float(none.runs_used.mean()),
        )
        for noise in noises(terms)
        for none, off in [[_simulated(terms, noise, theta) for theta in (0.0, 2.0)]]
    )  # fmt: skip


def _simulated(terms: Terms, noise: float, theta: float) -> Stopped:
    """Audits of a claim like this one, with this seed noise and a difference of `theta`, both in margins."""
    rng = np.random.default_rng(0)
    sd, most = noise * terms.margin, terms.max_runs
    away = -1.0 if terms.direction > 0 else 1.0
    batch = to_batch([replace(terms, published=0.0, deterministic=False)] * NUM_AUDITS, [(0.0,) * most] * NUM_AUDITS)
    shift, _ = best_of(terms.best_of)
    # A difference is one of the printed number where that is asked, and of the published recipe where the recipe is.
    luck = sd**2 * batch.v if terms.estimand == "recipe" else 0.0
    reference = rng.standard_normal(NUM_AUDITS) * np.sqrt(luck + _known_variance(batch)) + shift * sd * batch.better
    runs = away * theta * terms.margin + sd * rng.standard_normal((NUM_AUDITS, most))
    return run(replace(batch, published=reference, runs=runs))
