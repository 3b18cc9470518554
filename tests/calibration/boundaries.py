"""`python tests/calibration/boundaries.py`: compute the critical values of the sequential test, and write them with their error.

A simulated audit at the tolerance's edge: theta = margin, sigma = 1. Its statistic at the look of n reruns is

    T_n = (mean of n reruns - published value - margin) / (s~ sqrt(1/n + v)),   s~^2 = (d0 s0^2 + (n-1) s^2) / (d0 + n - 1)

with the published value's noise v (in units of sigma^2) and a prior s0^2 ~ sigma^2 chi2(d0)/d0. The critical value c_n is the one
at which the share of audits that cross first at look n is what the plan's spending function gives to it: alpha f(t_n), with
t_n = I_n/I_N, I_n = 1/(1/n + v), and f of Hwang, Shih and DeCani (1990). Futility stops are not counted on (non-binding).
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from openassay.core.boundaries import ALPHAS, FILE, PLANS, PRIOR_DFS, REFERENCE_VARIANCES, spent_share

NUM_AUDITS = 500_000
"""Each is used twice, as it is and mirrored: T and -T are alike at the edge."""


def statistics(
    rng: np.random.Generator, v: float, d0: float, looks: int, num_audits: int
) -> dict[int, NDArray[np.float64]]:
    """T_n of simulated audits at the edge, for n = 2 to `looks`, each of shape (num_audits,)."""
    runs = rng.standard_normal((looks, num_audits))
    reference = np.sqrt(v) * rng.standard_normal(num_audits)
    prior = np.ones(num_audits) if np.isinf(d0) else rng.chisquare(d0, num_audits) / d0 if d0 else np.zeros(num_audits)
    sums, squares = np.cumsum(runs, axis=0), np.cumsum(runs**2, axis=0)
    found = {}
    for n in range(2, looks + 1):
        own = squares[n - 1] - sums[n - 1] ** 2 / n
        variance = prior if np.isinf(d0) else (d0 * prior + own) / (d0 + n - 1)
        found[n] = (sums[n - 1] / n - reference) / np.sqrt(variance * (1 / n + v))
    return found


def critical_values(found: dict[int, NDArray[np.float64]], plan: str, v: float, alpha: float) -> list[float]:
    """c_n for n = 2 to the plan's last look."""
    alive = np.ones(2 * len(found[2]), dtype=bool)
    values, crossed = [], 0
    for n in range(2, PLANS[plan].max_runs + 1):
        both = np.concatenate([found[n], -found[n]])
        wanted = max(1, round(len(both) * alpha * float(spent_share(plan, n, v))) - crossed)
        candidates = both[alive]
        c = float(np.partition(candidates, len(candidates) - wanted)[len(candidates) - wanted])
        crossing = alive & (both >= c)
        crossed += int(crossing.sum())
        alive &= ~crossing
        values.append(round(c, 4))
    return values


def main() -> None:
    """Compute every table and write them."""
    rng = np.random.default_rng(20261122)
    looks = max(plan.max_runs for plan in PLANS.values())
    tables: dict[str, dict[str, list[list[list[float]]]]] = {
        f"{alpha:g}": {plan: [[] for _ in REFERENCE_VARIANCES] for plan in PLANS} for alpha in ALPHAS
    }
    for (i, v), d0 in tqdm(list(itertools.product(enumerate(REFERENCE_VARIANCES), PRIOR_DFS)), disable=None):
        found = statistics(rng, v, d0, looks, NUM_AUDITS)
        for alpha, plan in itertools.product(ALPHAS, PLANS):
            tables[f"{alpha:g}"][plan][i].append(critical_values(found, plan, v, alpha))
    error = float(np.sqrt(0.05 * 0.95 / (2 * NUM_AUDITS)))
    record = {
        "num_audits": 2 * NUM_AUDITS, "error_of_spent_alpha": round(error, 6), "alphas": list(ALPHAS),
        "reference_variances": list(REFERENCE_VARIANCES),
        "prior_dfs": [d0 if np.isfinite(d0) else "inf" for d0 in PRIOR_DFS], "critical_values": tables,
    }  # fmt: skip
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else FILE
    path.write_text(json.dumps(record) + "\n", encoding="utf-8")
    print(f"written to {path}; error of a spent alpha of .05: {error:.5f}")


if __name__ == "__main__":
    main()
