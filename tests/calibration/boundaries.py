"""`make boundaries`: do the critical values of the sequential test spend what they promise? By simulation, without the recursion.

A simulated audit at the tolerance's edge: theta = margin, sigma = 1. Its statistic at the look of n reruns is

    T_n = (mean of n reruns - published value - margin) / (s~ sqrt(1/n + v)),   s~^2 = (d0 s0^2 + (n-1) s^2) / (d0 + n - 1)

with the published value's noise v (in units of sigma^2) and a prior s0^2 ~ sigma^2 chi2(d0)/d0. Of these audits the share `spent`
must have crossed the critical values by each look (core/boundaries.py).
"""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats
from tqdm import tqdm

from openassay.core.boundaries import Boundary, boundary

MOST_RUNS = (2, 3, 5, 10, 20, 50, 100)
REFERENCE_VARIANCES = (0.0, 0.2, 1.0)
PRIOR_DFS = (0.0, 1.0, 4.0, 12.0, 1e6)
ALPHAS = (0.05, 0.01)
NUM_AUDITS = 200_000
"""Each is used twice, as it is and mirrored: T and -T are alike at the edge."""
TOLERATED = 0.01
"""Of what is promised, that the recursion's own error may be; chance comes on top."""


def statistics(
    rng: np.random.Generator, v: float, d0: float, looks: int, num_audits: int
) -> dict[int, NDArray[np.float64]]:
    """T_n of simulated audits at the edge, for n = 2 to `looks`, each of shape (num_audits,)."""
    runs = rng.standard_normal((looks, num_audits))
    reference = np.sqrt(v) * rng.standard_normal(num_audits)
    prior = rng.chisquare(d0, num_audits) / d0 if d0 else np.zeros(num_audits)
    sums, squares = np.cumsum(runs, axis=0), np.cumsum(runs**2, axis=0)
    found = {}
    for n in range(2, looks + 1):
        own = squares[n - 1] - sums[n - 1] ** 2 / n
        variance = (d0 * prior + own) / (d0 + n - 1)
        found[n] = (sums[n - 1] / n - reference) / np.sqrt(variance * (1 / n + v))
    return found


def first_crossings(of: Boundary, found: dict[int, NDArray[np.float64]]) -> NDArray[np.int_]:
    """Index of the look at which each audit, mirrored ones behind the others, first crosses; the number of looks for none."""
    crossed = np.stack([np.concatenate([found[n] > c, found[n] < -c]) for n, c in enumerate(of.critical, start=2)])
    return np.where(crossed.any(axis=0), crossed.argmax(axis=0), len(of.critical))


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What simulated audits at the edge spend, against what is promised."""

    total: float
    """Share that crosses at any look."""
    promised: float
    most_over: float
    """The largest share crossed by some look over the promised one, beyond TOLERATED of it; in standard errors."""
    most_under: float
    """And below it."""


def compare(of: Boundary, found: dict[int, NDArray[np.float64]]) -> Spent:
    """Simulated audits of one design."""
    first = first_crossings(of, found)
    by_look = np.cumsum(np.bincount(first, minlength=len(of.spent) + 1)[: len(of.spent)]) / len(first)
    spent = np.array(of.spent)
    error = np.sqrt(spent * (1 - spent) / len(first))
    return Spent(
        total=float(by_look[-1]), promised=float(spent[-1]),
        most_over=float(((by_look - (1 + TOLERATED) * spent) / error).max()),
        most_under=float((((1 - TOLERATED) * spent - by_look) / error).max()),
    )  # fmt: skip


def known_variance(times: NDArray[np.float64], spent: NDArray[np.float64]) -> list[float]:
    """Critical values for normal statistics at these shares of the information, known variance: by scipy's multivariate normal
    integral, for few looks."""
    correlation = np.sqrt(np.minimum.outer(times, times) / np.maximum.outer(times, times))
    found: list[float] = []
    for i, promised in enumerate(spent):

        def excess(c: float, i: int = i, promised: float = promised) -> float:
            if i == 0:
                return float(stats.norm.sf(c)) - promised
            inside = stats.multivariate_normal.cdf(
                [*found, c], cov=correlation[: i + 1, : i + 1], abseps=1e-8, releps=1e-8, maxpts=400_000, rng=np.random.default_rng(i)
            )  # fmt: skip
            return 1 - float(inside) - promised

        found.append(float(optimize.brentq(excess, 0.5, 6.0, xtol=1e-6)))
    return found


def p_values(of: Boundary, found: dict[int, NDArray[np.float64]]) -> NDArray[np.float64]:
    """The p-value with which each audit ends: at its first crossing, or at the last look."""
    first = np.minimum(first_crossings(of, found), len(of.critical) - 1)
    both = np.stack([np.concatenate([found[n], -found[n]]) for n in range(2, len(of.critical) + 2)])
    p = np.empty(len(first))
    for i in np.unique(first):
        rows = np.flatnonzero(first == i)
        p[rows] = [of.p_value(int(i) + 2, float(value)) for value in both[i, rows]]
    return p


def main() -> None:
    """Compare every design, and say where a promise is not kept."""
    failed, everything = [], []
    cells = list(itertools.product(REFERENCE_VARIANCES, PRIOR_DFS))
    for v, d0 in tqdm(cells, disable=None):
        found = statistics(np.random.default_rng((7, round(10 * v), int(d0))), v, d0, max(MOST_RUNS), NUM_AUDITS)
        for max_runs, alpha in itertools.product(MOST_RUNS, ALPHAS):
            spent = compare(boundary(max_runs, v, d0, alpha), found)
            everything.append(spent)
            if max(spent.most_over, spent.most_under) > 4.5:
                failed.append((v, d0, max_runs, alpha, spent))
    worst = max(everything, key=lambda one: abs(one.total / one.promised - 1) * one.promised**0.5)
    print(
        f"{len(everything)} designs, {2 * NUM_AUDITS:,} audits each; error of a spent alpha of .05: {np.sqrt(0.05 * 0.95 / 2 / NUM_AUDITS):.5f}"
    )
    print(f"furthest from its promise: {worst.total:.5f}, promised {worst.promised:.5f}")
    for v, d0, max_runs, alpha, spent in failed:
        print(f"not kept: v {v:g}, d0 {d0:g}, N {max_runs}, alpha {alpha:g}: {spent}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
