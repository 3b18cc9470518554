"""Many audits at once: draw a published value and reruns, and let the shipped test judge them. The margin is 1.

theta is the difference that a question asks for: for `number` the reruns' mean minus the printed value, whose luck does not enter;
for `recipe` the reruns' mean minus the published recipe's.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from openassay.core.claims import Estimand
from openassay.core.equivalence import difference
from openassay.core.sequential import Batch, Stopped, Terms, best_of, credit, look_once, run, score, to_batch

Floats = NDArray[np.float64]
Rng = np.random.Generator
Seeds = Callable[[Rng, tuple[int, int]], Floats]
"""Draws of seed noise: mean 0, standard deviation 1."""


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

    estimand: Estimand = "number"
    """The question that REPRODUCED answers."""
    theta_of: Estimand | None = None
    """The question that theta belongs to; the same when left out."""
    max_runs: int = 50
    one_look: bool = False
    """Is the finished sample looked at once?"""
    k: int = 1
    """Trainings behind the published value."""
    noise: float = 0.25
    """The seeds' standard deviation."""
    family: float | None = None
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
    """The metric moves in steps of this. For normal seeds."""
    tried: int = 1
    """The published value is the best of so many trainings, ..."""
    declared: int = 1
    """... and so many are declared."""
    diverges: float = 0.0
    """Share of the reruns that give no value."""
    declared_diverges: float = 0.0
    direction: int = 0
    alpha: float = 0.05


@dataclass(frozen=True, kw_only=True)
class Audits:
    """Simulated audits, and what is true of them."""

    batch: Batch
    theta: Floats
    """The difference that the claim's question asks for. Shape (audits,)."""


def simulate(rng: Rng, setting: Setting, theta: float, num_audits: int) -> Audits:
    """Audits of a recipe whose mean is off by `theta` margins."""
    of = setting
    theirs = of.noise * of.seeds(rng, (num_audits, max(of.k, of.tried)))
    noise = of.noise * of.noise_ratio * of.seeds(rng, (num_audits, of.max_runs))
    if of.step:
        theirs, noise = (_in_steps(rng, values, of.step, of.noise) for values in (theirs, noise))
    published = theirs.max(axis=1) if of.tried > 1 else theirs.mean(axis=1)
    # The printed value is compared with what it is said to be: the best of so many reruns, by its expectation.
    aim = published - best_of(of.declared)[0] * of.noise * of.noise_ratio
    asks_number = (of.theta_of or of.estimand) == "number"
    runs = noise + (theta + aim if asks_number else np.full(num_audits, theta))[:, None]
    if of.estimand == (of.theta_of or of.estimand):
        true = np.full(num_audits, theta)
    else:
        true = theta + aim if asks_number else theta - aim
    if of.rounding and not of.misprint:
        offset = rng.uniform(0, of.rounding, num_audits)
        published = np.round((published + offset) / of.rounding) * of.rounding - offset
    runs[rng.random(runs.shape) < of.diverges] = np.nan
    terms = Terms(
        published=0.0, margin=1.0, estimand=of.estimand, num_published=of.k, rounding=of.rounding, best_of=of.declared,
        step=of.step, family_sd=1.0 if of.family else None, family_df=of.family or 0.0, direction=of.direction,
        alpha=of.alpha, divergence_rate=of.declared_diverges, max_runs=of.max_runs, equal_decides=of.step > 0,
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
    varying = {
        "runs": runs, "num_runs": np.full(num_audits, of.max_runs), "published": published + of.misprint,
        "prior_variance": variance, "prior_df": df,
    }  # fmt: skip
    return Audits(batch=Batch(**same | varying), theta=true)


def _in_steps(rng: Rng, values: Floats, step: float, sd: float) -> Floats:
    """Values of mean 0 as a metric shows them that moves in steps; each row's steps lie elsewhere, and its mean is 0 again."""
    offset = rng.uniform(0, step, (len(values), 1))
    index = np.arange(-np.ceil(6 * sd / step) - 1, np.ceil(6 * sd / step) + 3)
    lattice = index * step - offset
    share = special.ndtr((lattice + step / 2) / sd) - special.ndtr((lattice - step / 2) / sd)
    mean = (lattice * share).sum(axis=1, keepdims=True)
    return np.asarray(np.round((values + offset) / step) * step - offset - mean)


def judged(batch: Batch, *, one_look: bool) -> Stopped:
    """The shipped test."""
    return look_once(batch) if one_look else run(batch)


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What became of simulated audits: shares of verdicts, and mean runs."""

    reproduced: float
    not_reproduced: float
    runs: float
    coverage: float
    """Share of the score intervals that hold the true score of the claim's question."""


def rates(rng: Rng, setting: Setting, theta: float, num_audits: int) -> Rates:
    """The shipped rule on `num_audits` simulated audits."""
    audits = simulate(rng, setting, theta, num_audits)
    stopped = judged(audits.batch, one_look=setting.one_look)
    return Rates(
        reproduced=float(stopped.reproduced.mean()), not_reproduced=float(stopped.not_reproduced.mean()),
        runs=float(stopped.runs_used.mean()), coverage=_coverage(audits, stopped),
    )  # fmt: skip


def _coverage(audits: Audits, stopped: Stopped) -> float:
    """Counted on a part of the audits: the score itself takes a hundred quantiles each."""
    part = np.arange(min(10_000, len(audits.theta)))
    batch = audits.batch.at(part)
    truth = credit(audits.theta[part], batch.margin, batch.direction)
    _, least, most = score(stopped.at(part), batch)
    return float(((least <= truth + 1e-12) & (truth <= most + 1e-12)).mean())


def textbook(batch: Batch, setting: Setting) -> tuple[float, float]:
    """For comparison: the textbook's two one-sided t-tests at all reruns (`core.equivalence`), no family. Shares of REPRODUCED
    and NOT_REPRODUCED."""
    number = difference(batch.runs, batch.published, num_runs=np.inf)
    recipe = difference(batch.runs, batch.published, num_runs=setting.k)
    asked = recipe if setting.estimand == "recipe" else number
    within = asked.agrees(1.0, setting.alpha)
    return float(within.mean()), float((recipe.differs(1.0, setting.alpha) & ~within).mean())
