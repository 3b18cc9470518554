"""Many audits at once: draw a published value and reruns, and let the shipped sequential test judge them. The margin is 1."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from openassay.core.boundaries import PLANS
from openassay.core.equivalence import difference
from openassay.core.score import credit
from openassay.core.sequential import Batch, Stopped, Terms, choose_plan, run, score, to_batch

Floats = NDArray[np.float64]
Rng = np.random.Generator
Seeds = Callable[[Rng, tuple[int, int]], Floats]
"""Draws of seed noise: mean 0, standard deviation 1."""

MOST_RUNS = max(plan.max_runs for plan in PLANS.values())


def rng_of(*key: object) -> Rng:
    """A stream of its own for every simulated cell, so that no cell depends on the ones before it."""
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


def normal(rng: Rng, size: tuple[int, int]) -> Floats:
    return rng.standard_normal(size)


def heavy(rng: Rng, size: tuple[int, int]) -> Floats:
    """t with 3 degrees of freedom."""
    return rng.standard_t(3, size) / np.sqrt(3)


def skewed(rng: Rng, size: tuple[int, int]) -> Floats:
    """A gamma distribution of shape 5; its skewness is 0.89."""
    return (rng.gamma(5, 1, size) - 5) / np.sqrt(5)


def bimodal(rng: Rng, size: tuple[int, int]) -> Floats:
    """One seed in five lands 2.5 standard deviations below the others."""
    return 0.5 - 2.5 * (rng.random(size) < 0.2)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What simulated audits have in common. Lengths are in margins."""

    k: int = 1
    """Trainings behind the published value; 0 for an exact one."""
    noise: float = 0.25
    """The seeds' standard deviation."""
    family: float | None = 10.0
    """Degrees of freedom that a family's standard deviation was measured on; None where no family is known."""
    family_ratio: float = 1.0
    """The family's standard deviation over the published recipe's, ..."""
    family_spread: float = 0.2
    """... but for an error of this standard deviation in its logarithm."""
    published_sd: bool = False
    """Is the standard deviation over the k trainings published too? Then no family is known."""
    seeds: Seeds = normal
    noise_ratio: float = 1.0
    """The reruns' standard deviation over the published recipe's."""
    rounding: float = 0.0
    """The published value is printed in steps of this."""
    misprint: float = 0.0
    """What the print always adds to it; half a `rounding` is the worst that rounding can do."""
    step: float = 0.0
    """The metric moves in steps of this."""
    tried: int = 1
    """The published value is the best of so many trainings, ..."""
    declared: int = 1
    """... and so many are declared."""
    diverges: float = 0.0
    """Share of the reruns that give no value."""
    direction: int = 0
    max_runs: int = MOST_RUNS
    alpha: float = 0.05


def simulate(rng: Rng, setting: Setting, theta: float, num_audits: int) -> Batch:
    """Audits of a recipe whose mean is off by `theta` margins."""
    of = setting
    theirs = of.noise * of.seeds(rng, (num_audits, max(of.k, of.tried)))
    runs = theta + of.noise * of.noise_ratio * of.seeds(rng, (num_audits, MOST_RUNS))
    if of.step:
        offset = rng.uniform(0, of.step, (num_audits, 1))  # where the steps lie against the published recipe's mean
        theirs, runs = (np.round((values + offset) / of.step) * of.step - offset for values in (theirs, runs))
    published = theirs.max(axis=1) if of.tried > 1 else theirs.mean(axis=1) * (of.k > 0)
    if of.rounding and not of.misprint:
        offset = rng.uniform(0, of.rounding, num_audits)
        published = np.round((published + offset) / of.rounding) * of.rounding - offset
    runs[rng.random(runs.shape) < of.diverges] = np.nan
    terms = Terms(
        published=0.0, margin=1.0, num_published=max(of.k, 1), rounding=of.rounding, best_of=of.declared, step=of.step,
        family_sd=1.0 if of.family else None, family_df=of.family or 0.0, direction=of.direction, alpha=of.alpha,
        max_runs=of.max_runs, equal_decides=of.step > 0,
    )  # fmt: skip
    if of.published_sd:
        spreads = theirs.std(axis=1, ddof=1)
        variance, df = np.array([replace(terms, published_sd=float(sd), family_sd=None).prior() for sd in spreads]).T
    else:
        family_sd = of.family_ratio * np.exp(rng.normal(0, of.family_spread, num_audits))
        family_sd *= np.hypot(of.noise, of.step / np.sqrt(12))
        unit_variance, unit_df = terms.prior()
        variance, df = unit_variance * family_sd**2, np.full(num_audits, unit_df)
    same = vars(to_batch([terms], [[]]).at(np.zeros(num_audits, dtype=int)))
    v = same["v"] * (of.k > 0)
    varying = {
        "runs": runs, "num_runs": np.full(num_audits, MOST_RUNS), "published": published + of.misprint, "v": v,
        "prior_variance": variance, "prior_df": df,
        # what was published with the value does not choose the plan
        "plan": choose_plan(variance, df * (not of.published_sd), v, same["u2"], same["margin"], same["max_runs"]),
    }  # fmt: skip
    return Batch(**same | varying)


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What became of simulated audits: shares of verdicts, and mean runs."""

    reproduced: float
    not_reproduced: float
    runs: float
    coverage: float
    """Share of the score intervals that hold the recipe's true score."""


def rates(rng: Rng, setting: Setting, theta: float, num_audits: int) -> Rates:
    """The shipped rule on `num_audits` simulated audits."""
    batch = simulate(rng, setting, theta, num_audits)
    stopped = run(batch)
    return Rates(
        reproduced=float(stopped.reproduced.mean()), not_reproduced=float(stopped.not_reproduced.mean()),
        runs=float(stopped.runs_used.mean()), coverage=_coverage(batch, stopped, setting, theta),
    )  # fmt: skip


def _coverage(batch: Batch, stopped: Stopped, setting: Setting, theta: float) -> float:
    """Counted on a part of the audits: the score itself takes a hundred quantiles each."""
    part = np.arange(min(40_000, len(batch.margin)))
    short = theta if setting.direction == 0 else min(theta * setting.direction, 0.0)
    truth = credit(short, 1.0)
    _, least, most = score(Stopped(**{name: of[part] for name, of in vars(stopped).items()}), batch.at(part))
    return float(((least <= truth + 1e-12) & (truth <= most + 1e-12)).mean())


def fixed_rates(rng: Rng, setting: Setting, theta: float, num_audits: int, num_reruns: int) -> Rates:
    """For comparison: one look after `num_reruns`, no family (`core.equivalence`)."""
    batch = simulate(rng, setting, theta, num_audits)
    found = difference(batch.runs[:, :num_reruns], batch.published, num_runs=setting.k or np.inf)
    low, high = found.interval(setting.alpha)
    return Rates(
        reproduced=float(found.agrees(1.0, setting.alpha).mean()),
        not_reproduced=float(found.differs(1.0, setting.alpha).mean()),
        runs=num_reruns, coverage=float(((low <= theta) & (theta <= high)).mean()),
    )  # fmt: skip
