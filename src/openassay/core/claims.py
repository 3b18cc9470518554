"""Claims: a published number, what is known of its noise, and how far reruns may lie from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy

from openassay.core.tiers import Evaluated, Recomputation, Tier


@dataclass(frozen=True, kw_only=True)
class Citation:
    """Where a published fact stands: in a file of a fetched artifact, or at an address."""

    quote: str | None = None
    """The words or the table row, as published."""
    artifact: str | None = None
    """The artifact that holds it; then `inspect` looks for the quote in `path`."""
    path: str | None = None
    """A glob inside the artifact."""
    url: str | None = None
    """An address with a commit, a version or a date in it; not fetched."""
    note: str | None = None
    """What stands there, in our words."""


Estimand = Literal["number", "recipe"]
"""The two questions. `number`: the mean of the recipe as rerun minus the printed value. `recipe`: minus the unknown mean of the
published recipe, so that the luck of the published trainings counts."""

Spread = Literal["sd", "standard_error", "confidence_interval_95", "over_units", "over_episodes", "over_items"]


@dataclass(frozen=True, kw_only=True)
class Published:
    """What was published: a number, and all that is known of its noise."""

    value: float
    rounding: float = 0.0
    """The unit of the last printed digit, in the claim's unit: 1 for "68 %", 0.01 for "89.28 %", 0 for an exact number."""
    num_runs: int = 1
    """Trainings behind the value. 1 when the release does not say."""
    sd: float | None = None
    """The spread that is printed beside the value, if any; `sd_is` says of what. Half a unit of rounding is added to it."""
    sd_is: Spread = "sd"
    """`sd`: standard deviation over training runs (ddof=1). `standard_error`: of the mean over them.
    `confidence_interval_95`: half the width of its interval. `over_units`: standard deviation over the `units` that one value
    averages, each with a training of its own. A spread over episodes or test items of one training says nothing of other
    seeds, and is not used."""
    units: int = 1
    """Folds, splits or other units that one value averages, in the publication and in each rerun."""
    values: tuple[float, ...] | None = None
    """Of the single trainings, where they are published; `value` is their mean and `num_runs` their number."""
    values_cited_at: tuple[Citation, ...] | None = None
    """Where each of `values` stands, where a release publishes one number several times and not alike."""
    seeds: tuple[int, ...] | None = None
    """Of these trainings, in the same order; needed for paired reruns."""
    best_of: int = 1
    """The value is the best of this many trainings."""
    better: Literal["higher", "lower"] = "higher"
    """What best means; matters only with `best_of`."""
    extra_sd: float = 0.0
    """Standard deviation of what else keeps the value from the recipe's mean: another test set, an extrapolation, the
    differences between laboratories. `cited_at.note` says where it comes from."""

    def seed_sd(self) -> float | None:
        """The standard deviation of one training's value, by the single values or the printed spread; None if they cannot say.

        A mean of u independent units has their standard deviation / sqrt(u); a standard error times sqrt(k) is the standard
        deviation over k trainings, and half a 95 % interval is t(0.975, k - 1) standard errors.
        """
        if self.values is not None and len(self.values) > 1:
            return float(np.std(self.values, ddof=1)) + self.rounding / 2
        if self.sd is None:
            return None
        sd, k = self.sd + self.rounding / 2, self.num_runs
        if self.sd_is == "over_units":
            return sd / self.units**0.5 if self.units > 1 else None
        if k < 2 or self.sd_is in {"over_episodes", "over_items"}:
            return None
        if self.sd_is == "sd":
            return sd
        per_error = 1.0 if self.sd_is == "standard_error" else float(scipy.special.stdtrit(k - 1, 0.975))
        return float(sd / per_error * k**0.5)

    def seed_df(self) -> int:
        """Degrees of freedom of `seed_sd`."""
        return self.units - 1 if self.values is None and self.sd_is == "over_units" else self.num_runs - 1


@dataclass(frozen=True, kw_only=True)
class Family:
    """Seed noise that is known from recipes of the same family."""

    sd: float
    """In the claim's unit."""
    df: float
    """Degrees of freedom that it was measured on: seeds minus one, summed over the recipes."""
    cited_at: str
    """Where it was measured."""


@dataclass(frozen=True, kw_only=True)
class SuccessRule:
    """When a training counts as a success, for claims on the share of trainings that succeed."""

    at_least: float | None = None
    at_most: float | None = None

    def holds(self, value: float | None) -> bool:
        """Whether a value is a success; a rerun without a finite value is none."""
        if value is None or (self.at_least is not None and value < self.at_least):
            return False
        return self.at_most is None or value <= self.at_most


@dataclass(frozen=True, kw_only=True)
class CurveScatter:
    """How seeds scatter along the training, known from recipes of the same family."""

    shares: tuple[float, ...]
    """Of the training, increasing, the last is 1."""
    sds: tuple[float, ...]
    """Standard deviation over seeds at each share, in the claim's unit."""
    df: float
    """Degrees of freedom that they were measured on."""
    cited_at: str
    """Where it was measured."""
    correlation: tuple[tuple[float, ...], ...] | None = None
    """Over seeds, between the shares."""


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far the reruns' mean may lie from the published value, declared before anything runs."""

    margin: float
    """In the claim's unit, > 0. The claim is reproduced when the difference is shown to lie within +- margin."""
    rationale: str
    """Why this margin: a reader must be able to disagree with it."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One published number that a rerun can confirm or contradict."""

    id: str
    metric: str
    published: Published
    cited_at: Citation
    tolerance: Tolerance
    unit: str = "1"
    """`1` for a plain number or fraction, otherwise for example `percent`, `nats`, `reward`."""
    arm: str = "faithful"
    """The arm whose reruns test it."""
    baseline: str | None = None
    """Another arm: then the claim is on the metric minus the baseline's, seed by seed ("B beats A by 1.2 points")."""
    estimand: Estimand | None = None
    """The question that REPRODUCED answers; that of the judge's settings when left out, `number` by default."""
    uncontrolled: str | None = None
    """Why no broken recipe could break this number, such as that of a random baseline; then no control is asked for."""
    direction: Literal["two-sided", "at_least", "at_most"] = "two-sided"
    """`at_least`: only reruns that fall short of the value speak against it; `at_most`: only those that exceed it."""
    family: Family | None = None
    divergence_rate: float = 0.0
    """Share of trainings that the release says diverge."""
    deterministic: bool = False
    """The recipe is declared to give the same value every time: two equal reruns decide, unequal ones are a finding."""
    resolution: float = 0.0
    """The smallest step that the metric can take (1/num_examples for an accuracy). The noise is never taken as less."""
    bounds: tuple[float | None, float | None] = (None, None)
    """Least and largest value that the metric can take. Equal reruns at a bound, with a resolution, are a metric that has
    reached its end; equal reruns elsewhere may be a seed that never arrived, and decide nothing."""
    testable: bool = True
    """False for a published number that the target's reruns do not measure."""
    recompute: Recomputation | None = None
    """How the number follows from other published files; reruns then leave it alone."""
    evaluated: Evaluated | None = None
    """How it is tested on the released weights; reruns then leave it alone."""
    weight: float = 1.0
    """In the release's score, relative to its other claims; > 0."""
    paired: bool = False
    """Rerun i has the seed, the initial weights and the data order of published training i: the differences are judged, seed by
    seed. It needs `published.values` and `published.seeds`."""
    success: SuccessRule | None = None
    """The claim is on the share of trainings that succeed, `published.value` of `num_runs`: an exact test."""
    curve: tuple[tuple[int, float], ...] | None = None
    """(step, value) along the published training, its end included: one secondary claim, judged when the value is reproduced."""
    curve_scatter: CurveScatter | None = None
    """Sharpens the curve's test, and lets the native trainer stop a rerun that has left the curve for good."""

    @property
    def tier(self) -> Tier:
        """How it is tested, or would be."""
        return "recomputed" if self.recompute else "evaluated" if self.evaluated else "rerun"

    def held_to(self, published: Published, cited_at: Citation | None = None) -> Claim:
        """The claim on another published value: what was published around the first says nothing of it."""
        return replace(
            self, published=published, cited_at=cited_at or self.cited_at,
            curve=None, curve_scatter=None, family=None, paired=False,
        )  # fmt: skip
