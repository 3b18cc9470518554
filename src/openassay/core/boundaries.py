"""At how many standard errors may a sequential audit decide, so that looking often costs no more than one look?

The critical values c_n are computed by simulation at the edge (`tests/calibration/boundaries.py`, with its Monte Carlo
error in the file) and looked up here, interpolated over the published value's noise and the prior's degrees of freedom.
"""

from __future__ import annotations

import functools
import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

FILE = Path(__file__).with_name("boundaries.json")

ALPHAS = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
"""Error rates that critical values are computed for; between and beyond them log levels go linearly with log alpha."""


@dataclass(frozen=True, kw_only=True)
class SequentialPlan:
    """How many reruns at most, and how soon may they decide?"""

    name: str
    max_runs: int
    gamma: float
    """Of the spending function of Hwang, Shih and DeCani: above 0 early looks get more of alpha, below 0 late ones."""
    largest_q: float
    """Chosen when q = (s0/margin) sqrt(1/10 + v) is at most this."""


PLANS = {
    plan.name: plan
    for plan in (
        SequentialPlan(name="fast4", max_runs=4, gamma=2.0, largest_q=0.14),
        SequentialPlan(name="mid6", max_runs=6, gamma=0.0, largest_q=0.20),
        SequentialPlan(name="std10", max_runs=10, gamma=-4.0, largest_q=0.45),
        SequentialPlan(name="screen3", max_runs=3, gamma=0.0, largest_q=np.inf),
    )
}
"""Tried in this order. `screen3` is for tolerances that no number of reruns could show to be kept: it finds gross failures."""

REFERENCE_VARIANCES = (0.0, 0.05, 0.1, 0.2, 1 / 3, 0.5, 0.7, 1.0, 2.0)
PRIOR_DFS = (0, 1, 2, 3, 4, 6, 8, 12, 20, 50, np.inf)


def spent_share(plan: str, n: ArrayLike, v: ArrayLike) -> NDArray[np.float64]:
    """Share of alpha that may be spent, on one side, by the look of n reruns.

    Hwang, Shih and DeCani (1990) at t = I_n/I_max, I_n = 1/(1/n + v).
    """
    chosen = PLANS[plan]
    n, v = np.asarray(n, dtype=float), np.asarray(v, dtype=float)
    t = (1 / chosen.max_runs + v) / (1 / n + v)
    gamma = chosen.gamma
    return np.asarray(t if gamma == 0 else np.expm1(-gamma * t) / np.expm1(-gamma))


@functools.cache
def _log_levels() -> NDArray[np.float64]:
    """log of the nominal one-sided level of every critical value: shape (alphas, plans, variances, dfs, looks from 2 on)."""
    tables = json.loads(FILE.read_text(encoding="utf-8"))["critical_values"]
    most = max(plan.max_runs for plan in PLANS.values())
    levels = np.zeros((len(ALPHAS), len(PLANS), len(REFERENCE_VARIANCES), len(PRIOR_DFS), most - 1))
    for a, alpha in enumerate(ALPHAS):
        for p, plan in enumerate(PLANS):
            c = np.array(tables[f"{alpha:g}"][plan])
            df = np.array(PRIOR_DFS)[:, None] + np.arange(1, c.shape[-1] + 1)
            levels[a, p, :, :, : c.shape[-1]] = stats.t.logsf(c, df)
    return levels


def critical_value(
    plan: ArrayLike, n: ArrayLike, v: ArrayLike, prior_df: ArrayLike, alpha: ArrayLike
) -> NDArray[np.float64]:
    """c_n: how many standard errors from an edge decide at the look of n values? Arguments as `nominal_level`; shape (...)."""
    n, prior_df = np.asarray(n), np.asarray(prior_df, dtype=float)
    return np.asarray(stats.t.isf(nominal_level(plan, n, v, prior_df, alpha), prior_df + n - 1))


def nominal_level(
    plan: ArrayLike, n: ArrayLike, v: ArrayLike, prior_df: ArrayLike, alpha: ArrayLike
) -> NDArray[np.float64]:
    """At which one-sided level does a single t-test of the look of n values decide? All of shape (...).

    plan: index in PLANS. n: 2 to the plan's most runs. v: variance of the published value over the seed variance, >= 0.
    prior_df: degrees of freedom known before the first rerun (of a prior, and of a published spread). alpha: in (0, 1).
    """
    plan, n = np.asarray(plan), np.asarray(n)
    prior_df = np.asarray(prior_df, dtype=float)
    axes = (
        _place(-np.log(np.asarray(alpha, dtype=float)), -np.log(ALPHAS), beyond=True),
        _place(np.asarray(v, dtype=float), np.array(REFERENCE_VARIANCES)),
        _place(-1 / (1 + prior_df), -1 / (1 + np.array(PRIOR_DFS))),
    )
    levels, total = _log_levels(), np.float64(0.0)
    for a, v_, d in itertools.product((0, 1), repeat=3):
        (ia, wa), (iv, wv), (id_, wd) = (
            (low + side, 1 - w if side == 0 else w) for side, (low, w) in zip((a, v_, d), axes, strict=True)
        )
        total = total + wa * wv * wd * levels[ia, plan, iv, id_, n - 2]
    return np.asarray(np.exp(np.minimum(total, 0.0)))


def _place(
    values: NDArray[np.float64], nodes: NDArray[np.float64], *, beyond: bool = False
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Between which nodes, and how far along? Values outside count as the ends, unless they may go `beyond`."""
    low = np.clip(np.searchsorted(nodes, values, side="right") - 1, 0, len(nodes) - 2)
    along = (values - nodes[low]) / (nodes[low + 1] - nodes[low])
    return low, along if beyond else np.clip(along, 0.0, 1.0)
