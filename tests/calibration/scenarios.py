"""Scenarios with known truth, of the kinds that publications come in: what the sequential rule is measured on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Rng = np.random.Generator
NUM_OFFERED = 10


def normal(rng: Rng, n: int) -> np.ndarray:
    return rng.standard_normal(n)


def heavy(rng: Rng, n: int) -> np.ndarray:
    return rng.standard_t(3, n) / np.sqrt(3)


def skewed(rng: Rng, n: int) -> np.ndarray:
    return (rng.gamma(5, 1, n) - 5) / np.sqrt(5)


def scenario(
    rng: Rng, theta: float, *, k: int = 1, rho: float = 0.25, family: float | None = 10, family_sd: float = 1.0, values: bool = False,
    with_sd: bool = False, best: int = 1, rounding: float = 0.0, direction: str = "two-sided", diverges: float = 0.0,
    declared: float | None = None, draw: Callable[[Rng, int], np.ndarray] = normal, paired: bool = False,
    deterministic: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """One scenario whose recipe is off by `theta` tolerances; rho is the seed noise in tolerances."""
    margin = float(10 ** rng.uniform(-3, 2))
    sigma, centre = rho * margin, float(rng.uniform(1, 20)) * margin
    sign = float(rng.choice([-1, 1])) if direction == "two-sided" else (-1.0 if direction == "at_least" else 1.0)
    if deterministic:
        sigma = 0.0
    theirs = centre + sigma * draw(rng, max(k, best))
    ours = centre + sign * theta * margin + sigma * draw(rng, NUM_OFFERED)
    if paired:
        shared = sigma * draw(rng, NUM_OFFERED)
        theirs = centre + shared
        ours = centre + sign * theta * margin + shared + 0.2 * sigma * draw(rng, NUM_OFFERED)
    published: dict[str, Any]
    if values or paired:
        published = {"values": theirs.tolist()}
    else:
        value = float(theirs.max() if best > 1 else theirs.mean())
        if rounding:
            value = round(value / (rounding * margin)) * rounding * margin
        published = {"mean": value, "n": k}
        if with_sd:
            published["sd"] = float(theirs.std(ddof=1))
        if best > 1:
            published |= {"best_of": best, "better": "higher"}
        if rounding:
            published["rounding"] = rounding * margin
    found = {
        "claim": {"tolerance": margin, "direction": direction}, "published": published,
        "runs": [None if lost else float(x) for x, lost in zip(ours, rng.random(NUM_OFFERED) < diverges, strict=True)],
        "deterministic": deterministic, "paired": paired,
    }  # fmt: skip
    if family is not None and not (paired or deterministic):
        spread = float(np.exp(rng.normal(0, 0.2))) * family_sd
        found["family"] = {"sd": sigma * spread, "df": family}
    if declared is not None:
        found["declared_divergence_rate"] = declared
    return found


def accuracy(rng: Rng, theta: float, *, test_n: int = 2000, k: int = 1) -> dict[str, Any]:
    """Accuracies on one test set: each seed gets its own share of the same items right."""
    p = float(rng.uniform(0.8, 0.97))
    sigma = np.sqrt((1 - p) / (2 * test_n))
    margin = 4.0 * sigma * (1 if k == 1 else 0.7)
    shift = float(rng.choice([-1, 1])) * theta * margin

    def measured(centre: float, n: int) -> np.ndarray:
        return np.clip(np.round((centre + sigma * rng.standard_normal(n)) * test_n) / test_n, 0, 1)

    theirs = measured(p, k)
    return {
        "metric": {"type": "accuracy", "test_n": test_n}, "claim": {"tolerance": float(margin)},
        "published": {"values": theirs.tolist()} if k > 1 else {"mean": float(theirs[0])},
        "runs": measured(p + shift, NUM_OFFERED).tolist(),
    }  # fmt: skip


KINDS: dict[str, Callable[[Rng, float], dict[str, Any]]] = {
    "one published number, family known, little noise": lambda r, t: scenario(r, t, rho=0.1),
    "one published number, family known": lambda r, t: scenario(r, t, rho=0.25),
    "one published number, family on few df": lambda r, t: scenario(r, t, rho=0.2, family=4),
    "one published number, family unknown": lambda r, t: scenario(r, t, rho=0.15, family=None),
    "mean and sd of 3": lambda r, t: scenario(r, t, k=3, with_sd=True, family=None, rho=0.2),
    "mean and sd of 5": lambda r, t: scenario(r, t, k=5, with_sd=True, family=None, rho=0.3),
    "five published values, family known": lambda r, t: scenario(r, t, k=5, values=True, rho=0.4),
    "ten published values": lambda r, t: scenario(r, t, k=10, values=True, family=None, rho=0.4),
    "best of 5, family known": lambda r, t: scenario(r, t, best=5, rho=0.2),
    "best of 10, family known": lambda r, t: scenario(r, t, best=10, rho=0.15),
    "rounded to half a tolerance": lambda r, t: scenario(r, t, k=3, rho=0.15, rounding=0.5),
    "heavy tails": lambda r, t: scenario(r, t, k=3, rho=0.25, draw=heavy),
    "skewed": lambda r, t: scenario(r, t, k=3, rho=0.2, draw=skewed),
    "diverges now and then": lambda r, t: scenario(r, t, k=3, rho=0.15, diverges=0.05, declared=0.1),
    "accuracy, one number": accuracy,
    "accuracy, small test set, five values": lambda r, t: accuracy(r, t, test_n=500, k=5),
    "at least": lambda r, t: scenario(r, t, k=3, rho=0.25, direction="at_least"),
    "at most": lambda r, t: scenario(r, t, k=3, rho=0.25, direction="at_most"),
    "paired": lambda r, t: scenario(r, t, rho=0.4, paired=True),
    "deterministic": lambda r, t: scenario(r, t, deterministic=True, rounding=0.1),
    "family's noise half the truth": lambda r, t: scenario(r, t, k=3, rho=0.25, family_sd=0.5),
    "family's noise twice the truth": lambda r, t: scenario(r, t, k=3, rho=0.2, family_sd=2.0),
}
"""Feasible kinds: a faithful recipe can be recognised."""

INFEASIBLE: dict[str, Callable[[Rng, float], dict[str, Any]]] = {
    "infeasible: one number, noise as large as the tolerance": lambda r, t: scenario(r, t, rho=1.0),
    "infeasible: noise three times the tolerance, unknown": lambda r, t: scenario(r, t, rho=3.0, family=None),
}
