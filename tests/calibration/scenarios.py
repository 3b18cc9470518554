"""Scenarios with known truth, of the kinds that publications come in, and the mix in which they are met.

theta is the difference that the scenario's own question asks for, in tolerances: for `number` the reruns' mean minus the printed
value (of a best of K: the expected best of K reruns), for `recipe` minus the published recipe's mean.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from openassay.core.claims import Estimand
from openassay.core.sequential import best_of

Rng = np.random.Generator
NUM_OFFERED = 50


def normal(rng: Rng, n: int) -> np.ndarray:
    return rng.standard_normal(n)


def heavy(rng: Rng, n: int) -> np.ndarray:
    return rng.standard_t(3, n) / np.sqrt(3)


def skewed(rng: Rng, n: int) -> np.ndarray:
    return (rng.gamma(5, 1, n) - 5) / np.sqrt(5)


def scenario(
    rng: Rng, theta: float, estimand: Estimand = "number", *, k: int = 1, rho: float = 0.25, family: float | None = None,
    family_sd: float = 1.0, values: bool = False, spread: str = "", best: int = 1, rounding: float = 0.0,
    direction: str = "two-sided", diverges: float = 0.0, declared: float | None = None,
    draw: Callable[[Rng, int], np.ndarray] = normal, paired: bool = False, deterministic: bool = False,
    num_runs: int = NUM_OFFERED,
) -> dict[str, Any]:  # fmt: skip
    """One scenario whose recipe is off by `theta` tolerances; rho is the seed noise in tolerances, `spread` what is published of
    it (sd, standard_error, confidence_interval_95 or over_units)."""
    margin = float(10 ** rng.uniform(-3, 2))
    sigma, centre = rho * margin, float(rng.uniform(1, 20)) * margin
    sign = float(rng.choice([-1, 1])) if direction == "two-sided" else (-1.0 if direction == "at_least" else 1.0)
    if deterministic:
        sigma = 0.0
    theirs = centre + sigma * draw(rng, max(k, best))
    value = float(theirs.max() if best > 1 else theirs.mean())
    aim = value - best_of(best)[0] * sigma if estimand == "number" else centre
    ours = aim + sign * theta * margin + sigma * draw(rng, num_runs)
    if paired:
        shared = sigma * draw(rng, num_runs)
        theirs = centre + shared
        ours = centre + sign * theta * margin + shared + 0.2 * sigma * draw(rng, num_runs)
    published: dict[str, Any]
    if values or paired:
        published = {"values": theirs.tolist()}
    else:
        if rounding:
            value = round(value / (rounding * margin)) * rounding * margin
        published = {"mean": value, "n": k}
        if spread == "over_units":
            published |= {"sd": float(sigma * np.sqrt(10) * np.std(draw(rng, 10), ddof=1)), "units": 10}
        elif spread:
            # of a mean of 3 to 5, half a 95 % interval is t(0.975, k - 1) standard errors
            per_sd = {
                "sd": 1.0,
                "standard_error": k**-0.5,
                "confidence_interval_95": {3: 4.3027, 5: 2.7764}.get(k, np.nan) * k**-0.5,
            }
            published["sd"] = float(per_sd[spread] * theirs.std(ddof=1))
        if spread:
            published["sd_is"] = spread
        if best > 1:
            published |= {"best_of": best, "better": "higher"}
        if rounding:
            published["rounding"] = rounding * margin
    found = {
        "claim": {"tolerance": margin, "direction": direction, "estimand": estimand}, "published": published,
        "runs": [None if lost else float(x) for x, lost in zip(ours, rng.random(num_runs) < diverges, strict=True)],
        "deterministic": deterministic, "paired": paired,
    }  # fmt: skip
    if family is not None and not (paired or deterministic):
        found["family"] = {"sd": sigma * float(np.exp(rng.normal(0, 0.2))) * family_sd, "df": family}
    if declared is not None:
        found["declared_divergence_rate"] = declared
    return found


def accuracy(
    rng: Rng,
    theta: float,
    estimand: Estimand = "number",
    *,
    test_n: int = 2000,
    k: int = 1,
    num_runs: int = NUM_OFFERED,
) -> dict[str, Any]:
    """Accuracies on one test set: each seed gets its own share of the same items right."""
    p = float(rng.uniform(0.8, 0.95))
    sigma = np.sqrt((1 - p) / (2 * test_n))
    margin = 4.0 * sigma * (1 if k == 1 else 0.7)
    shift = float(rng.choice([-1, 1])) * theta * margin

    def measured(centre: float, n: int) -> np.ndarray:
        return np.clip(np.round((centre + sigma * rng.standard_normal(n)) * test_n) / test_n, 0, 1)

    theirs = measured(p, k)
    aim = float(theirs.mean()) if estimand == "number" else p
    return {
        "metric": {"type": "accuracy", "test_n": test_n},
        "claim": {"tolerance": float(margin), "estimand": estimand},
        "published": {"values": theirs.tolist()} if k > 1 else {"mean": float(theirs[0])},
        "runs": measured(aim + shift, num_runs).tolist(),
    }


Make = Callable[..., dict[str, Any]]
"""A scenario, by a random generator, theta, and the question; num_runs may be given."""

KINDS: dict[str, Make] = {
    "one published number, little noise": partial(scenario, rho=0.1),
    "one published number": partial(scenario, rho=0.25),
    "one published number, family known": partial(scenario, rho=0.25, family=10),
    "one published number, family on few df": partial(scenario, rho=0.2, family=4),
    "mean and sd of 3": partial(scenario, k=3, spread="sd", rho=0.2),
    "mean and sd of 5": partial(scenario, k=5, spread="sd", rho=0.3),
    "mean and standard error of 5": partial(scenario, k=5, spread="standard_error", rho=0.3),
    "mean and 95 % interval of 3": partial(scenario, k=3, spread="confidence_interval_95", rho=0.2),
    "sd over ten folds": partial(scenario, spread="over_units", rho=0.2),
    "five published values, family known": partial(scenario, k=5, values=True, rho=0.4, family=10),
    "ten published values": partial(scenario, k=10, values=True, rho=0.4),
    "best of 5": partial(scenario, best=5, rho=0.2),
    "best of 10, family known": partial(scenario, best=10, rho=0.15, family=10),
    "rounded to half a tolerance": partial(scenario, k=3, rho=0.15, rounding=0.5),
    "heavy tails": partial(scenario, k=3, rho=0.25, draw=heavy),
    "skewed": partial(scenario, k=3, rho=0.2, draw=skewed),
    "diverges now and then": partial(scenario, k=3, rho=0.15, diverges=0.05, declared=0.1),
    "accuracy, one number": accuracy,
    "accuracy, small test set, five values": partial(accuracy, test_n=500, k=5),
    "at least": partial(scenario, k=3, rho=0.25, direction="at_least"),
    "at most": partial(scenario, k=3, rho=0.25, direction="at_most"),
    "paired": partial(scenario, rho=0.4, paired=True),
    "deterministic": partial(scenario, deterministic=True, rounding=0.1),
    "family's noise half the truth": partial(scenario, k=3, rho=0.25, family=10, family_sd=0.5),
    "family's noise twice the truth": partial(scenario, k=3, rho=0.2, family=10, family_sd=2.0),
}
"""Of which a faithful recipe can be recognised."""

INFEASIBLE: dict[str, Make] = {
    "infeasible: one number, noise as large as the tolerance": partial(scenario, rho=1.0, family=10),
    "infeasible: noise three times the tolerance, unknown": partial(scenario, rho=3.0),
}
"""Of which it can not, by few reruns."""


def mixed(rng: Rng, estimand: Estimand = "number", theta_of: Estimand | None = None) -> tuple[dict[str, Any], float]:
    """A scenario as they are met, and |theta|: 85 % are near faithful, theta ~ N(0, 0.3), the others off by 1 to 3 tolerances.

    Half of the publications are one number, the others the mean and standard deviation of 3 or 5. The seed noise is lognormal
    around 0.32 tolerances; one in five has a family. theta_of: the question that theta belongs to, where it is another one.
    """
    theta = abs(float(rng.normal(0, 0.3))) if rng.random() < 0.85 else float(rng.uniform(1, 3))
    k = int(rng.choice([1, 1, 3, 5]))
    rho = 0.32 * float(np.exp(rng.normal(0, 0.8)))
    family = 10.0 if rng.random() < 0.2 and k == 1 else None
    found = scenario(rng, theta, theta_of or estimand, k=k, rho=rho, spread="sd" if k > 1 else "", family=family)
    found["claim"]["estimand"] = estimand
    return found, theta
