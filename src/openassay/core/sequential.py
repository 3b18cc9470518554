"""The equivalence test of two questions, for many claims at once: sequential, or by one look.

Of n reruns with mean m there is, for each question, one interval:

    number:  (mean of the recipe as rerun) - (the printed value)                       d +- (c sqrt(s~^2 / n + w^2) + r/2)
    recipe:  (mean of the recipe as rerun) - (mean of the published recipe, unknown)   d +- (c sqrt(s~^2 (1/n + v) + w^2) + r/2)

    d = m - printed value,   s~^2 = (d0 s0^2 + (n - 1) s^2) / (d0 + n - 1)

v is the luck of the published trainings, 1/k for a mean over k; r the unit of the printed value's last digit, w^2 the variance of
what else is known to separate the two. REPRODUCED: the claim's question (`number` by default) is shown to lie within the margin.
NOT_REPRODUCED: `recipe` is shown to lie outside, so that no luck of the published trainings explains it. Sequentially, c
(`boundaries`) keeps each wrong verdict at `alpha` over all looks; a finished sample is looked at once, with c of Student's t.
The moderated variance s~^2 is Smyth's (2004).

Every array has shape (claims,) unless said otherwise; runs beyond the one that decides are never looked at.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from openassay.core.boundaries import boundary, critical_value
from openassay.core.claims import Estimand

Floats = NDArray[np.float64]
Ints = NDArray[np.int_]
Bools = NDArray[np.bool_]

SAME = 1e-9
DIVERGENCE_RATE = 0.1
"""A faithful rerun may diverge about this often before it speaks against the release, unless the release declares more."""
DIVERGENCE_ALPHA = 0.2
"""Share of alpha, on top of it, that may go to accusing a release whose recipe diverges at that rate."""
DIVERGENCE_LOOKS = 10
"""Looks of a sequential test at which that share may go in full; at the n-th after them only (this / n)^2 of it."""
DIVERGENCE_ACCEPT = 0.2
"""Below this tail probability of the reruns that diverged, a claim is not called reproduced."""
DIVERGENCE_EDGE = 0.7
"""Of what the declared rate leaves: a recipe that diverges at declared + this (1 - declared) must not be called reproduced."""
DIVERGENCE_LEVEL = 0.03
"""Such a recipe gives so few diverged reruns with at most this probability, times (1 - declared), at each look that accepts;
over all looks together below 0.05, by enumeration (tests/unit/test_sequential.py)."""
SEQUENTIAL_RUNS = 50
"""Most reruns of a sequential test where nobody says otherwise."""
FUTILE_DF = 3
"""From this many degrees of freedom on, the chance of a decision is believed."""
SCORE_HIGH_ALPHA = 0.25
"""Share of alpha at which the score interval's upper end errs; the lower end, which is the verdict, errs with alpha."""
MOST_NEEDED = 100_000_000
"""Reruns beyond which none are said to decide."""

SIDES = {"two-sided": 0, "at_least": 1, "at_most": -1}
"""A claim's direction as a number: the recipe gives at least the published value, or at most, or neither more nor less."""

BEST_OF_ALPHA = 1 / 4
"""Share of alpha at which the best of K is judged: its correction leans on the seed noise, which few reruns show badly."""
BEST_OF_DF = 4
"""Degrees of freedom below which it is not judged at all."""


class Stop(IntEnum):
    """Why an audit of a claim stopped."""

    WITHIN = 0
    """The interval of the claim's question lies within the margin: reproduced."""
    OUTSIDE = 1
    """The interval of `recipe` lies outside the margin: not reproduced."""
    DIVERGED = 2
    """More reruns diverged than chance allows: not reproduced."""
    FUTILE = 3
    """The chance of a decision by the last planned rerun is small, and reruns are expensive."""
    SPENT = 4
    """The planned reruns are spent, or all rows of a finished sample were looked at."""
    NEEDS_RUNS = 5
    """The test asks for another rerun, and there is none."""
    EQUAL = 6
    """Equal reruns show no noise, and nothing else says how large it is."""
    ROUNDING = 7
    """The recipe is deterministic, and the published value's rounding straddles the margin."""


PRIOR_DF = 4.0
"""Of a family's seed noise that was measured on MANY_DF degrees of freedom or more: recipes of a family differ in their noise."""
MANY_DF = 8
PRIOR_DF_FEW = 2.0
"""Of a family's seed noise that was measured on fewer."""


def are_equal(least: ArrayLike, most: ArrayLike, margin: ArrayLike) -> Bools:
    """Whether values from `least` to `most` are the same, but for the arithmetic's own error. Shape (...)."""
    least, most, margin = np.asarray(least), np.asarray(most), np.asarray(margin)
    largest = np.maximum(abs(least), abs(most))
    return np.asarray(most - least <= np.minimum(SAME * np.maximum(largest, margin), margin / 1000))


def shortfall(difference: float, direction: int) -> float:
    """How far a difference lies on the side that speaks against a claim of this direction; on either side of a two-sided one."""
    return {0: abs(difference), 1: -difference, -1: difference}[direction]


def family_prior_df(df: float) -> float:
    """Degrees of freedom for which a family's seed noise counts that was measured on `df`."""
    return min(df, PRIOR_DF if df >= MANY_DF else PRIOR_DF_FEW)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What is known of one claim before its first rerun."""

    published: float
    margin: float
    estimand: Estimand = "number"
    """The question that REPRODUCED answers."""
    num_published: int = 1
    """Trainings behind the published value."""
    published_sd: float | None = None
    """Of one training's value, over those trainings or over the units that each averages, as large as its print allows."""
    published_df: int | None = None
    """Degrees of freedom of `published_sd`; num_published - 1 when left out."""
    rounding: float = 0.0
    """Unit of the published value's last digit: it errs by half of it at most, with variance rounding^2/12."""
    extra_sd: float = 0.0
    """Standard deviation of what else keeps the published value from the recipe's mean."""
    best_of: int = 1
    higher_is_better: bool = True
    """Matters only with `best_of`."""
    family_sd: float | None = None
    family_df: float = 0.0
    step: float = 0.0
    """The smallest step of the metric."""
    direction: int = 0
    """0 two-sided, +1 the recipe gives at least the published value, -1 at most."""
    alpha: float = 0.05
    alpha_outside: float | None = None
    """Another error rate for NOT_REPRODUCED, `alpha` when left out: alpha / m for one of a release's m claims (Bonferroni)."""
    divergence_rate: float = 0.0
    deterministic: bool = False
    equal_decides: bool = False
    """Whether equal reruns may decide, though the recipe is not deterministic."""
    equal_decides_last: bool = False
    """Whether they may at least when all planned reruns are equal."""
    paired: bool = False
    """Whether the reruns are differences from published values of the same seeds."""
    luck: float = 1.0
    """How many times the variance of our values one published value's luck has, at most."""
    max_runs: int = SEQUENTIAL_RUNS
    futility: float = 0.0
    """A chance of a decision below this stops the audit; 0 where reruns are cheap, so that all of them are made."""

    def prior(self) -> tuple[float, float]:
        """Seed variance and its degrees of freedom, before the first rerun: the family's, and the published spread's."""
        variance, df = 0.0, 0.0
        if self.paired:
            return variance, df
        more = self.num_published - 1 if self.published_df is None else self.published_df
        if self.family_sd is not None:
            variance, df = self.family_sd**2, family_prior_df(self.family_df)
        if self.published_sd is not None and more > 0:
            # A spread below the metric's own step, 0 for example, says that the metric is coarse, not that there is no noise.
            sd = max(self.published_sd, self.step / 12**0.5)
            variance = (df * variance + more * sd**2) / (df + more)
            df += more
        return variance, df


def log_density(x: ArrayLike) -> Floats:
    """Of the standard normal distribution."""
    return np.asarray(-(np.asarray(x) ** 2) / 2 - np.log(np.sqrt(2 * np.pi)))


def at_least(k: ArrayLike, n: ArrayLike, p: ArrayLike) -> Floats:
    """P(k or more of n) where each happens with probability p. As scipy.stats has it, which takes half a second to import."""
    k, n = np.asarray(k), np.asarray(n)
    inside = scipy.special.betainc(np.maximum(k, 1), np.maximum(n - k + 1, 1), p)
    return np.asarray(np.where(k <= 0, 1.0, np.where(k > n, 0.0, inside)))


@functools.cache
def best_of(k: int) -> tuple[float, float]:
    """Mean and variance of the largest of k standard normal draws."""
    if k == 1:
        return 0.0, 1.0

    def density(x: float) -> float:
        return float(k * np.exp(log_density(x) + (k - 1) * scipy.special.log_ndtr(x)))

    top = -float(scipy.special.ndtri(1e-12 / k))
    mean = scipy.integrate.quad(lambda x: x * density(x), -8, top, limit=200)[0]
    square = scipy.integrate.quad(lambda x: x * x * density(x), -8, top, limit=200)[0]
    return float(mean), float(square - mean**2)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Claims with their reruns, in the order in which they were offered. What has no words here is as in `Terms`."""

    runs: Floats
    """Shape (claims, most reruns); NaN where a rerun gave no value."""
    num_runs: Ints
    """Reruns that there are of each claim; what stands behind them in `runs` does not count."""
    max_runs: Ints
    """Most reruns that may be used: N of the sequential test."""
    asks_recipe: Bools
    """Whether REPRODUCED answers `recipe`, and not `number`."""
    published: Floats
    v: Floats
    """Variance of the published value in units of the seed variance: 1/k for a mean over k trainings. For `recipe` only."""
    extra_variance: Floats
    """w^2: of what else is known to separate the two, such as another test set or an extrapolation."""
    best_of: Floats
    """How many seed standard deviations the published value is too good by: 0, or the expected maximum of K draws."""
    better: Floats
    """+1 when higher is better, -1 when lower is; matters only with `best_of`."""
    prior_variance: Floats
    """s0^2: seed variance that is known before the first rerun."""
    prior_df: Floats
    """d0: its degrees of freedom; 0 for none."""
    floor_variance: Floats
    """The seed variance is never taken as less: step^2/4, that of a mean half-way between two values, or rounding^2/12."""
    rounding: Floats
    margin: Floats
    direction: Ints
    alpha: Floats
    """Of REPRODUCED; for the best of K a share of what was asked for."""
    alpha_outside: Floats
    alpha_diverged: Floats
    divergence_rate: Floats
    deterministic: Bools
    equal_decides: Bools
    equal_decides_last: Bools
    futility: Floats

    def at(self, rows: Ints) -> Batch:
        """Some of the claims."""
        return Batch(**{name: of[rows] for name, of in vars(self).items()})

    def luck(self, question: Estimand) -> Floats:
        """v of a question: the published trainings' luck counts for `recipe` only."""
        return self.v if question == "recipe" else np.zeros_like(self.v)


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """Where each audit stopped, and what its values say. The looks fill its arrays."""

    stop: Ints
    """A `Stop`."""
    runs_used: Ints
    num_values: Ints
    estimate: Floats
    """d: mean of the values minus the published value; NaN without two values."""
    variance: Floats
    """s~^2; NaN like `df` for equal reruns that decide nothing, whose noise is not known."""
    df: Floats
    exact: Bools
    """Equal values of a recipe that is deterministic: the interval is the rounding's."""
    sequential: bool

    @property
    def known(self) -> Bools:
        """Which claims have an interval."""
        return np.asarray(np.isfinite(self.df))

    @property
    def reproduced(self) -> Bools:
        """Which claims are reproduced."""
        return np.asarray(self.stop == Stop.WITHIN)

    @property
    def not_reproduced(self) -> Bools:
        """Which claims are not reproduced."""
        return np.asarray((self.stop == Stop.OUTSIDE) | (self.stop == Stop.DIVERGED))

    def at(self, rows: Ints) -> Stopped:
        """Some of the claims."""
        return Stopped(**{name: of if name == "sequential" else of[rows] for name, of in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class Interval:
    """The difference that a question asks for, with an interval. NaN without two values."""

    se: Floats
    critical: Floats
    low: Floats
    high: Floats


_KINDS = {"Floats": float, "Ints": int, "Bools": bool}


def to_batch(terms: Sequence[Terms], runs: Sequence[Sequence[float | None]]) -> Batch:
    """Claims and their reruns (None for one that gave no value) as arrays."""
    values = np.full((len(terms), max([1, *map(len, runs)])), np.nan)
    rows: list[dict[str, float]] = []
    for row, (claim, of) in enumerate(zip(terms, runs, strict=True)):
        values[row, : len(of)] = [np.nan if value is None else value for value in of]
        shift, spread = best_of(claim.best_of)
        share = 1.0 if claim.best_of == 1 else BEST_OF_ALPHA
        alpha_outside = claim.alpha if claim.alpha_outside is None else claim.alpha_outside
        prior_variance, prior_df = claim.prior()
        made = {
            "num_runs": len(of), "max_runs": max(claim.max_runs, 2), "asks_recipe": claim.estimand == "recipe",
            "v": 0.0 if claim.paired else claim.luck * spread / claim.num_published, "extra_variance": claim.extra_sd**2,
            "best_of": shift, "better": 1.0 if claim.higher_is_better else -1.0, "prior_variance": prior_variance,
            "prior_df": prior_df, "floor_variance": max(claim.step**2 / 4, claim.rounding**2 / 12),
            "alpha": share * claim.alpha, "alpha_outside": share * alpha_outside,
            "alpha_diverged": DIVERGENCE_ALPHA * alpha_outside,
        }  # fmt: skip
        rows.append(vars(claim) | made)
    arrays: dict[str, Any] = {
        of.name: np.array([row[of.name] for row in rows], dtype=_KINDS[str(of.type)])
        for of in fields(Batch) if of.name != "runs"
    }  # fmt: skip
    return Batch(runs=values, **arrays)


class _Test:
    """A test of a batch, sequential or of one look at all: the critical values of its looks, and where each claim stopped."""

    def __init__(self, batch: Batch, *, sequential: bool) -> None:
        size = len(batch.margin)
        self.batch, self.sequential = batch, sequential
        self.tables: dict[tuple[Estimand, str], tuple[Ints, Floats]] = {}
        self.stopped = Stopped(
            stop=np.full(size, Stop.NEEDS_RUNS), runs_used=np.zeros(size, dtype=int), num_values=np.zeros(size, dtype=int),
            estimate=np.full(size, np.nan), variance=np.full(size, np.nan), df=np.full(size, np.nan),
            exact=np.zeros(size, dtype=bool), sequential=sequential,
        )  # fmt: skip

    def critical(self, question: Estimand, alpha: Literal["alpha", "alpha_outside"], rows: Ints, m: Ints) -> Floats:
        """c at the look of m values of some claims."""
        b = self.batch
        if not self.sequential:
            return np.asarray(-scipy.special.stdtrit(b.prior_df[rows] + m - 1, getattr(b, alpha)[rows]))
        if (question, alpha) not in self.tables:
            columns = np.stack([b.max_runs, b.luck(question), b.prior_df, getattr(b, alpha)])
            designs, which = np.unique(columns, axis=1, return_inverse=True)
            values = np.full((designs.shape[1], int(b.max_runs.max(initial=2)) + 1), np.nan)
            for row, (most, *design) in enumerate(designs.T.tolist()):
                values[row, 2 : int(most) + 1] = boundary(int(most), *design).critical
            self.tables[question, alpha] = which.ravel(), values
        which, values = self.tables[question, alpha]
        return np.asarray(values[which[rows], m])


def run(batch: Batch) -> Stopped:
    """Look at each claim's reruns one after another, and stop where the test says so."""
    size = len(batch.margin)
    test = _Test(batch, sequential=True)
    s = test.stopped
    mean, squares = np.zeros(size), np.zeros(size)
    least, most = np.full(size, np.inf), np.full(size, -np.inf)
    going = np.ones(size, dtype=bool)
    for n in range(1, int(min(batch.runs.shape[1], batch.max_runs.max(initial=0))) + 1):
        going &= (batch.num_runs >= n) & (batch.max_runs >= n)
        rows = np.flatnonzero(going)
        if not len(rows):
            break
        s.runs_used[rows] = n
        came = rows[np.isfinite(batch.runs[rows, n - 1])]
        value = batch.runs[came, n - 1]
        s.num_values[came] += 1
        change = value - mean[came]
        mean[came] += change / s.num_values[came]
        squares[came] += change * (value - mean[came])
        least[came], most[came] = np.minimum(least[came], value), np.maximum(most[came], value)
        if n >= 2:
            # A rerun that gave no value can speak against the release; the interval is as it was.
            _look(test, rows, mean, squares, are_equal(least, most, batch.margin), rows_with_news=came)
        going[rows] = np.isin(s.stop[rows], (Stop.NEEDS_RUNS, Stop.EQUAL))
    s.stop[going & (s.runs_used == batch.max_runs) & (s.stop == Stop.NEEDS_RUNS)] = Stop.SPENT
    return _ended(s)


def look_once(batch: Batch) -> Stopped:
    """Look once at all reruns of each claim, up to its `max_runs`: their order does not matter."""
    test = _Test(batch, sequential=False)
    s = test.stopped
    s.runs_used[:] = np.minimum(batch.num_runs, batch.max_runs)
    there = np.isfinite(batch.runs) & (np.arange(batch.runs.shape[1]) < s.runs_used[:, None])
    s.num_values[:] = there.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        # Sorted, so that a sum is the same in any order of the rows.
        values = np.sort(np.where(there, batch.runs, np.nan), axis=1)
        mean = np.nansum(values, axis=1) / s.num_values
        squares = np.nansum((values - mean[:, None]) ** 2, axis=1)
    some = s.num_values >= 1
    equal = np.zeros(len(some), dtype=bool)
    equal[some] = are_equal(np.nanmin(values[some], axis=1), np.nanmax(values[some], axis=1), batch.margin[some])
    rows = np.flatnonzero(s.runs_used >= 2)
    _look(test, rows, mean, squares, equal, rows_with_news=rows)
    s.stop[rows[s.stop[rows] == Stop.NEEDS_RUNS]] = Stop.SPENT
    return _ended(s)


def _ended(stopped: Stopped) -> Stopped:
    for array in (stopped.variance, stopped.df):
        array[stopped.stop == Stop.EQUAL] = np.nan
    return stopped


def may_accept(n: ArrayLike, lost: ArrayLike, declared: ArrayLike, *, sequential: bool) -> Bools:
    """Whether n reruns of which `lost` gave no value may show a recipe reproduced that is declared to diverge at a rate.
    Shape (...).

    The loss must fit the declared rate (or one in ten), and be too small for a recipe that nearly always diverges
    (DIVERGENCE_EDGE). Two reruns, both with a value, cannot show that; where they are all there is they are taken.
    """
    n, lost, declared = np.asarray(n), np.asarray(lost), np.asarray(declared, dtype=float)
    fits = at_least(lost, n, np.maximum(declared, DIVERGENCE_RATE)) > DIVERGENCE_ACCEPT
    edge = declared + DIVERGENCE_EDGE * (1 - declared)
    few = 1 - at_least(lost + 1, n, edge) <= DIVERGENCE_LEVEL * (1 - declared)
    return np.asarray(fits & (few | ((lost == 0) & (n == 2) & (not sequential))))


def _look(test: _Test, rows: Ints, mean: Floats, squares: Floats, equal: Bools, *, rows_with_news: Ints) -> None:
    """One look at the claims `rows`: whether they stop, and why."""
    batch, s = test.batch, test.stopped
    n = s.runs_used[rows]
    lost = n - s.num_values[rows]
    some_lost = lost > 0
    declared = np.maximum(batch.divergence_rate[rows], DIVERGENCE_RATE)
    tail = at_least(lost[some_lost], n[some_lost], declared[some_lost])
    level = batch.alpha_diverged[rows][some_lost]
    if test.sequential:  # rarer later on, so that all looks together err with alpha / 2 at most
        level = level * np.minimum(1.0, DIVERGENCE_LOOKS / n[some_lost]) ** 2
    diverged = np.zeros(len(rows), dtype=bool)
    diverged[some_lost] = tail <= level * (1 + SAME)
    s.stop[rows[diverged]] = Stop.DIVERGED
    rows = np.intersect1d(rows_with_news, rows[~diverged], assume_unique=True)
    rows = rows[s.num_values[rows] >= 2]
    if not len(rows):
        return
    b, m, n, equal = batch.at(rows), s.num_values[rows], s.runs_used[rows], equal[rows]
    df = b.prior_df + m - 1
    variance = np.maximum((b.prior_df * b.prior_variance + squares[rows]) / df, b.floor_variance)
    estimate = mean[rows] - (b.published - b.better * b.best_of * np.sqrt(variance))
    exact = b.deterministic & equal & (b.best_of == 0)
    s.estimate[rows], s.variance[rows], s.df[rows], s.exact[rows] = estimate, variance, df, exact

    def at(question: Estimand, alpha: Literal["alpha", "alpha_outside"]) -> Interval:
        return _interval(b, estimate, variance, df, m, exact, question, test.critical(question, alpha, rows, m))

    asked = _asked(b, lambda question: at(question, "alpha"))
    inside = _is_within(asked, b)
    outside = _is_outside(estimate, at("recipe", "alpha_outside"), df, b)
    at_last = n >= b.max_runs if test.sequential else np.ones(len(rows), dtype=bool)
    decides = b.equal_decides_last & at_last
    blind = equal & ~exact & ~b.equal_decides & ~decides
    unsure = blind | ((b.best_of > 0) & (df < BEST_OF_DF))
    accepted = (exact & (n == m)) | may_accept(n, n - m, b.divergence_rate, sequential=test.sequential)
    within = inside & ~unsure & accepted
    # Equal reruns accuse nobody whose recipe is not declared deterministic: the seeds may never have arrived.
    outside &= ~unsure & (~equal | exact | decides)
    undecided = ~exact & ~within & ~outside
    blind |= equal & undecided
    futile = undecided & (df >= FUTILE_DF) & (n < b.max_runs) & (variance > 0) & (b.futility > 0) & test.sequential
    if futile.any():
        where = np.flatnonzero(futile)
        number_out = _is_outside(estimate, at("number", "alpha"), df, b)[where]
        known = estimate[where], variance[where], df[where], m[where]
        futile[where] = _chance(test, rows[where], *known, number_out) < b.futility[where]
    s.stop[rows] = np.select(
        [within, outside, futile & ~blind, exact & ~inside, blind],
        [Stop.WITHIN, Stop.OUTSIDE, Stop.FUTILE, Stop.ROUNDING, Stop.EQUAL], Stop.NEEDS_RUNS,
    )  # fmt: skip


def _asked(b: Batch, at: Callable[[Estimand], Interval]) -> Interval:
    """The interval of each claim's own question."""
    number = at("number")
    if not b.asks_recipe.any():
        return number
    both = {name: (of, vars(number)[name]) for name, of in vars(at("recipe")).items()}
    return Interval(**{name: np.where(b.asks_recipe, *pair) for name, pair in both.items()})


def half_width(
    b: Batch, variance: Floats, df: Floats, m: ArrayLike, question: Estimand, critical: Floats
) -> tuple[Floats, Floats]:
    """Half the width of a question's interval, and its standard error. Rounding is no draw: half a unit comes on top."""
    with np.errstate(divide="ignore", invalid="ignore"):
        v = b.luck(question) + b.best_of**2 / (2 * df)
        unrounded = variance * (1 / np.asarray(m) + v) + b.extra_variance
    return critical * np.sqrt(unrounded) + b.rounding / 2, np.sqrt(unrounded + b.rounding**2 / 12)


def _interval(
    b: Batch, estimate: Floats, variance: Floats, df: Floats, m: Ints, exact: Bools, question: Estimand, critical: Floats
) -> Interval:  # fmt: skip
    half, se = half_width(b, variance, df, m, question, critical)
    extra = np.where(b.extra_variance > 0, critical * np.sqrt(b.extra_variance), 0.0)
    half = np.where(exact, extra + b.rounding / 2, half)
    return Interval(se=np.where(exact, 0.0, se), critical=critical, low=estimate - half, high=estimate + half)


def interval(stopped: Stopped, batch: Batch, question: Estimand, *, share: float = 1.0) -> Interval:
    """The interval of a question where each audit stopped: each end errs with `share` of alpha at most, over all looks."""
    s, critical, rows = stopped, np.full(len(batch.margin), np.nan), np.flatnonzero(stopped.known)
    b, m = batch.at(rows), s.num_values[rows]
    if s.sequential:
        critical[rows] = critical_value(m, b.max_runs, b.luck(question), b.prior_df, share * b.alpha)
    else:
        critical[rows] = -scipy.special.stdtrit(s.df[rows], share * b.alpha)
    return _interval(batch, s.estimate, s.variance, s.df, s.num_values, s.exact, question, critical)


def asked_interval(stopped: Stopped, batch: Batch, *, share: float = 1.0) -> Interval:
    """The interval of the claim's own question."""
    return _asked(batch, lambda question: interval(stopped, batch, question, share=share))


def standing(stopped: Stopped, batch: Batch, found: Interval) -> tuple[Bools, Bools]:
    """Whether an interval shows the difference within the margin, and outside; neither where the noise is hardly known."""
    sure = stopped.known & (stopped.stop != Stop.EQUAL) & ~((batch.best_of > 0) & (stopped.df < BEST_OF_DF))
    return sure & _is_within(found, batch), sure & _is_outside(stopped.estimate, found, stopped.df, batch)


def is_missed(stopped: Stopped, batch: Batch) -> Bools:
    """Whether the printed number is shown not to be reached: the interval of `number` lies outside the margin."""
    return standing(stopped, batch, interval(stopped, batch, "number"))[1]


def _is_within(found: Interval, b: Batch) -> Bools:
    """Whether the difference is shown to lie within the margin. One-sided claims have one edge."""
    edge = b.margin * (1 + SAME)
    above, below = found.low >= -edge, found.high <= edge
    return np.asarray(np.where(b.direction > 0, above, np.where(b.direction < 0, below, above & below)))


def _is_outside(estimate: Floats, found: Interval, df: Floats, b: Batch) -> Bools:
    """Whether the difference is shown to lie outside the margin."""
    edge = b.margin * (1 + SAME)
    too_low, too_high = found.high < -edge, found.low > edge
    two_sided = too_low | too_high
    # Both tails count: where the noise is large against the margin, an interval that merely misses it accuses too often.
    rows = np.nonzero(two_sided & (found.se != 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = ((found.high - found.low)[rows] / 2 - b.rounding[rows] / 2) / found.critical[rows]
        far_off, known = abs(estimate[rows]), df[rows]
        near, far = (far_off - b.rounding[rows] / 2 - b.margin[rows]) / scale, (far_off + b.margin[rows]) / scale
        both = scipy.special.stdtr(known, -near) + scipy.special.stdtr(known, -far)
        two_sided[rows] = both <= scipy.special.stdtr(known, -found.critical[rows])
    return np.asarray(np.where(b.direction > 0, too_low, np.where(b.direction < 0, too_high, two_sided)))


def _chance(
    test: _Test, rows: Ints, estimate: Floats, variance: Floats, df: Floats, m: Ints, number_out: Bools
) -> Floats:
    """P(another finding by the last planned rerun), if the reruns go on like these: reproduced, not reproduced or not reached."""
    b = test.batch.at(rows)
    last = b.max_runs
    spread = np.sqrt(variance * (1 / m - 1 / last))

    def below(x: Floats) -> Floats:
        return np.asarray(scipy.special.stdtr(df, (x - estimate) / spread))

    def half(question: Estimand, alpha: Literal["alpha", "alpha_outside"]) -> Floats:
        return half_width(b, variance, df, last, question, test.critical(question, alpha, rows, last))[0]

    number = half("number", "alpha")
    asked = np.where(b.asks_recipe, half("recipe", "alpha"), number) if b.asks_recipe.any() else number
    out = half("recipe", "alpha_outside")
    out = np.where(number_out | b.asks_recipe, out, np.minimum(out, number))
    room = b.margin - asked  # below 0: no sample of this size brings REPRODUCED
    inside = np.where(room > 0, below(room) - below(-room), 0.0)
    low_out, high_out = below(-b.margin - out), 1 - below(b.margin + out)
    one_sided = np.where(b.direction > 0, 1 - below(-room) + low_out, below(room) + high_out)
    return np.asarray(np.where(b.direction == 0, inside + low_out + high_out, one_sided))


def remains(stopped: Stopped, batch: Batch) -> tuple[Floats, Floats, Floats]:
    """Half the interval of the claim's question after endless reruns like these: by luck alone, by all else, by all of it."""
    variance = np.maximum(_own_variance(stopped, batch), batch.floor_variance)
    luck, wide = np.where(batch.asks_recipe, batch.v, 0.0) * variance, -scipy.special.ndtri(batch.alpha)
    other, printed = batch.extra_variance, batch.rounding / 2
    return wide * np.sqrt(luck), wide * np.sqrt(other) + printed, wide * np.sqrt(luck + other) + printed


def _own_variance(stopped: Stopped, batch: Batch) -> Floats:
    """The values' own variance s^2, without what was known before them."""
    squares = np.maximum(stopped.variance * stopped.df - batch.prior_df * batch.prior_variance, 0)
    return np.asarray(squares / np.maximum(stopped.num_values - 1, 1))


def runs_needed(stopped: Stopped, batch: Batch) -> Ints:
    """Values in all that would decide a claim, if more were like them in mean and spread; 0 where none up to MOST_NEEDED.

    Decided: reproduced, or the number not reached; where it is not reached already, or `recipe` was asked, not reproduced. A
    sequential test of more reruns than were planned is taken to decide at the level of the planned last look.
    """
    rows = np.flatnonzero(stopped.known & ~stopped.exact)
    found = np.zeros(len(batch.margin), dtype=int)
    if not len(rows):
        return found
    b, s = batch.at(rows), stopped.at(rows)
    missed = is_missed(s, b) | b.asks_recipe
    own = _own_variance(s, b)
    shift = b.better * b.best_of

    def decided(total: Ints) -> Bools:
        df = b.prior_df + total - 1
        variance = np.maximum((b.prior_df * b.prior_variance + own * (total - 1)) / df, b.floor_variance)
        estimate = s.estimate + shift * (np.sqrt(variance) - np.sqrt(s.variance))

        def at(question: Estimand, alpha: Floats) -> Interval:
            level = alpha
            if s.sequential:
                look = np.minimum(total, b.max_runs)
                planned = critical_value(look, b.max_runs, b.luck(question), b.prior_df, alpha)
                level = scipy.special.stdtr(b.prior_df + look - 1, -planned)
            return _interval(b, estimate, variance, df, total, s.exact, question, -scipy.special.stdtrit(df, level))

        within = _is_within(_asked(b, lambda question: at(question, b.alpha)), b)
        lost = s.runs_used - s.num_values
        within &= may_accept(total + lost, lost, b.divergence_rate, sequential=s.sequential)
        outside = _is_outside(estimate, at("recipe", b.alpha_outside), df, b)
        not_reached = _is_outside(estimate, at("number", b.alpha), df, b) & ~missed
        return np.asarray((within | outside | not_reached) & ((b.best_of == 0) | (df >= BEST_OF_DF)))

    low, high = s.num_values.astype(int), np.full(len(rows), MOST_NEEDED)
    reachable = decided(high)
    while (high - low > 1).any():
        middle = (low + high) // 2
        enough = decided(middle)
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    found[rows] = np.where(reachable, high, 0)
    return found


def score(stopped: Stopped, batch: Batch) -> tuple[Floats, Floats, Floats]:
    """S = E[2^-(difference/margin)^2] of the claim's question, and its interval; NaN without two values, 0 if too many diverged.

    The interval's lower end errs with alpha at most, as REPRODUCED does: it is 1/2 or more exactly where the interval of the
    difference lies within the margin. The upper end errs with SCORE_HIGH_ALPHA of alpha; where the interval lies outside the
    margin it is 1/2 at most. For one-sided claims only the shortfall counts.
    """
    asked = asked_interval(stopped, batch)
    theta = np.full((len(batch.margin), len(NODES)), np.nan)
    known = np.flatnonzero(stopped.known)
    dfs, which = np.unique(stopped.df[known], return_inverse=True)
    quantiles = scipy.special.stdtrit(dfs[:, None], NODES)[which]
    theta[known] = stopped.estimate[known, None] + asked.se[known, None] * quantiles
    value = credit(theta, batch.margin[:, None], batch.direction[:, None]).mean(axis=1)
    least = np.minimum(*(credit(end, batch.margin, batch.direction) for end in (asked.low, asked.high)))
    wide = asked_interval(stopped, batch, share=SCORE_HIGH_ALPHA)
    at_low, at_high = (credit(end, batch.margin, batch.direction) for end in (wide.low, wide.high))
    most = np.where((wide.low <= 0) & (wide.high >= 0), 1.0, np.maximum(at_low, at_high))
    outside = stopped.not_reproduced | standing(stopped, batch, asked)[1]
    most = np.where(outside, np.minimum(most, 0.5), most)
    least, most = np.where(stopped.known, least, 0.0), np.where(stopped.known, most, 1.0)
    diverged = stopped.stop == Stop.DIVERGED
    value = np.clip(value, least, most)
    return np.where(diverged, 0.0, value), np.where(diverged, 0.0, least), np.where(diverged, 0.5, most)


NODES = (np.arange(100) + 0.5) / 100
"""Quantiles at which a score averages its credit."""


def credit(theta: ArrayLike, margin: ArrayLike, direction: ArrayLike = 0) -> Floats:
    """2^-((theta/margin)^2), in (0, 1]: 1 for no difference, 1/2 for one as large as the tolerance. Shape (...).

    For one-sided claims only the shortfall counts.
    """
    theta, direction = np.asarray(theta, dtype=float), np.asarray(direction)
    short = np.where(direction > 0, np.minimum(theta, 0.0), np.where(direction < 0, np.maximum(theta, 0.0), theta))
    with np.errstate(over="ignore"):  # a difference of 1e200 margins has no credit
        return np.asarray(np.exp2(-((short / np.asarray(margin, dtype=float)) ** 2)))
