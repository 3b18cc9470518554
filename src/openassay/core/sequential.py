"""When may an audit stop, and with which verdict? The group-sequential equivalence test, for many claims at once.

After every rerun there is one interval of theta = mean of the reruns' distribution - mean of the published recipe's:

    d +- c_n se,   se^2 = s~^2 (1/n + v) + u^2,   s~^2 = (d0 s0^2 + (n - 1) s^2) / (d0 + n - 1)

Reproduced when it lies within the margin, not reproduced when it lies outside, else another rerun is asked for, until the plan's
reruns are spent or a decision has become unlikely. c_n (`boundaries`) keeps each wrong verdict at `alpha` over all looks.
The moderated variance s~^2 is Smyth's (2004); the published value's own noise is v, in units of the seed variance, and u^2.

Every array has shape (claims,) unless said otherwise; runs beyond the one that decides are never looked at.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import integrate, stats

from openassay.core.boundaries import PLANS, critical_value, nominal_level
from openassay.core.score import credit

Floats = NDArray[np.float64]
Ints = NDArray[np.int_]
Bools = NDArray[np.bool_]

SAME = 1e-9
DIVERGENCE_RATE = 0.1
"""A faithful rerun may diverge about this often before it speaks against the release, unless the release declares more."""
DIVERGENCE_ALPHA = 0.2
"""Share of alpha, on top of it, that may go to accusing a release whose recipe diverges at that rate."""
DIVERGENCE_ACCEPT = 0.2
"""Below this tail probability of the reruns that diverged, a claim is not called reproduced."""
FUTILE = 0.05
"""A smaller chance of a decision by the last rerun stops an audit."""
FUTILE_DF = 3
"""From this many degrees of freedom on, that chance is believed."""

_MOST_RUNS = np.array([plan.max_runs for plan in PLANS.values()])
_LARGEST_Q = np.array([plan.largest_q for plan in PLANS.values()])
_NAMES = list(PLANS)
_STD10 = _NAMES.index("std10")

SIDES = {"two-sided": 0, "at_least": 1, "at_most": -1}
"""A claim's direction as a number: the recipe gives at least the published value, or at most, or neither more nor less."""

BEST_OF_ALPHA = 1 / 3
"""Share of alpha at which the best of K is judged: its correction leans on the seed noise, which few reruns show badly."""
BEST_OF_DF = 4
"""Degrees of freedom below which it is not judged at all."""


class Stop(IntEnum):
    """Why did an audit of a claim stop?"""

    WITHIN = 0
    """The interval lies within the margin: reproduced."""
    OUTSIDE = 1
    """The interval lies outside the margin: not reproduced."""
    DIVERGED = 2
    """More reruns diverged than chance allows: not reproduced."""
    FUTILE = 3
    """A decision has become unlikely."""
    SPENT = 4
    """The plan's reruns are spent."""
    NEEDS_RUNS = 5
    """The rule asks for another rerun, and there is none."""
    EQUAL = 6
    """Equal reruns show no noise, and nothing else says how large it is."""
    ROUNDING = 7
    """The recipe is deterministic, and the published value's rounding straddles the margin."""


PRIOR_DF = 4.0
"""Of a family's seed noise that was measured on MANY_DF degrees of freedom or more: recipes of a family differ in their noise."""
MANY_DF = 8
PRIOR_DF_FEW = 2.0
"""Of a family's seed noise that was measured on fewer."""
PRIOR_DF_TEST_SET = 1.0
"""Of the seed noise that a finite test set suggests: sqrt(error / (2 N)), Jordan (2023), arXiv:2304.01910."""


def are_equal(least: ArrayLike, most: ArrayLike, margin: ArrayLike) -> Bools:
    """Are values from `least` to `most` the same, but for the arithmetic's own error? Shape (...)."""
    least, most, margin = np.asarray(least), np.asarray(most), np.asarray(margin)
    largest = np.maximum(abs(least), abs(most))
    return np.asarray(most - least <= np.minimum(SAME * np.maximum(largest, margin), margin / 1000))


def family_prior_df(df: float) -> float:
    """For how many degrees of freedom does a family's seed noise count, that was measured on `df`?"""
    return min(df, PRIOR_DF if df >= MANY_DF else PRIOR_DF_FEW)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What is known of one claim before its first rerun."""

    published: float
    margin: float
    num_published: int = 1
    """Trainings behind the published value."""
    published_sd: float | None = None
    """Over those trainings; with `rounding`, up to half a unit more."""
    rounding: float = 0.0
    extra_sd: float = 0.0
    """Standard deviation of what else keeps the published value from the recipe's mean."""
    best_of: int = 1
    higher_is_better: bool = True
    """Matters only with `best_of`."""
    family_sd: float | None = None
    family_df: float = 0.0
    test_error: float | None = None
    """Share of the test items that the published model gets wrong, with `test_items`: a hint at the seed noise."""
    test_items: int = 0
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
    """May equal reruns decide, though the recipe is not deterministic?"""
    equal_decides_last: bool = False
    """May they at least when all planned reruns are equal?"""
    paired: bool = False
    """Are the reruns differences from published values of the same seeds?"""
    max_runs: int = 1_000

    def prior(self) -> tuple[float, float]:
        """Seed variance and its degrees of freedom, before the first rerun: the family's, and the published spread's."""
        variance, df = 0.0, 0.0
        if self.paired:
            return variance, df
        spread = self.published_sd is not None and self.num_published >= 2
        if not spread or self.family_sd is not None:
            variance, df = self.elsewhere()
        if self.published_sd is not None and spread:
            more = self.num_published - 1
            # A spread below the metric's own step, 0 for example, says that the metric is coarse, not that there is no noise.
            sd = max(self.published_sd + self.rounding / 2, self.step / 12**0.5)
            variance = (df * variance + more * sd**2) / (df + more)
            df += more
        return variance, df

    def elsewhere(self) -> tuple[float, float]:
        """What is known of the seed noise from elsewhere: another recipe's, or the size of the test set. It chooses the plan.

        The published spread does not: it is part of every interval, and would count twice (false accepts up to .059 at k = 3).
        """
        if self.paired:
            return 0.0, 0.0
        if self.family_sd is not None:
            return self.family_sd**2, family_prior_df(self.family_df)
        spread = self.published_sd is not None and self.num_published >= 2
        if self.test_error is not None and 0 < self.test_error < 1 and self.test_items and not spread:
            return self.test_error / (2 * self.test_items), PRIOR_DF_TEST_SET
        return 0.0, 0.0


@functools.cache
def best_of(k: int) -> tuple[float, float]:
    """Mean and variance of the largest of k standard normal draws."""
    if k == 1:
        return 0.0, 1.0

    def density(x: float) -> float:
        return float(k * np.exp(stats.norm.logpdf(x) + (k - 1) * stats.norm.logcdf(x)))

    top = float(stats.norm.isf(1e-12 / k))
    mean = integrate.quad(lambda x: x * density(x), -8, top, limit=200)[0]
    square = integrate.quad(lambda x: x * x * density(x), -8, top, limit=200)[0]
    return float(mean), float(square - mean**2)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Claims with their reruns, in the order in which they were offered."""

    runs: Floats
    """Shape (claims, most reruns); NaN where a rerun gave no value."""
    num_runs: Ints
    """Reruns that there are of each claim; what stands behind them in `runs` does not count."""
    max_runs: Ints
    """Most reruns that may be used, beside the plan's own limit."""
    published: Floats
    v: Floats
    """Variance of the published value in units of the seed variance: 1/k for a mean over k trainings."""
    u2: Floats
    """Its other variance, known: rounding, another test set, extrapolation."""
    best_of: Floats
    """How many seed standard deviations the published value is too good by: 0, or the expected maximum of K draws."""
    better: Floats
    """+1 when higher is better, -1 when lower is; matters only with `best_of`."""
    prior_variance: Floats
    """s0^2: seed variance that is known before the first rerun."""
    prior_df: Floats
    """d0: its degrees of freedom; 0 for none."""
    floor_variance: Floats
    """The seed variance is never taken as less: (smallest step of the metric)^2/12."""
    rounding: Floats
    """Unit of the published value's last digit; for deterministic claims, whose interval is exact."""
    margin: Floats
    direction: Ints
    """0 two-sided, +1 the recipe gives at least the published value, -1 at most."""
    alpha: Floats
    """Of REPRODUCED; for the best of K a share of what was asked for."""
    alpha_outside: Floats
    alpha_diverged: Floats
    divergence_rate: Floats
    deterministic: Bools
    equal_decides: Bools
    """May equal reruns decide, with the prior or the floor as their noise?"""
    equal_decides_last: Bools
    """May they at the last planned rerun?"""
    feasible: Bools
    """Could any number of reruns show that the tolerance is kept, by all that is known of the noise? True where nothing is."""
    plan: Ints
    """Index in PLANS."""

    def at(self, rows: Ints) -> Batch:
        """Some of the claims."""
        return Batch(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """Where each audit stopped."""

    stop: Ints
    """A `Stop`."""
    runs_used: Ints
    num_values: Ints
    estimate: Floats
    """d: mean of the values minus the published value; NaN without two values."""
    se: Floats
    df: Floats
    critical: Floats
    low: Floats
    high: Floats

    @property
    def reproduced(self) -> Bools:
        """Which claims are reproduced?"""
        return np.asarray(self.stop == Stop.WITHIN)

    @property
    def not_reproduced(self) -> Bools:
        """Which claims are not reproduced?"""
        return np.asarray((self.stop == Stop.OUTSIDE) | (self.stop == Stop.DIVERGED))


def to_batch(terms: Sequence[Terms], runs: Sequence[Sequence[float | None]]) -> Batch:
    """Claims and their reruns (None for one that gave no value) as arrays, with the plan of each."""
    most = max([1, *(min(len(of), int(_MOST_RUNS.max())) for of in runs)])
    values = np.full((len(terms), most), np.nan)
    rows = []
    for row, (claim, of) in enumerate(zip(terms, runs, strict=True)):
        values[row, : min(len(of), most)] = [np.nan if value is None else value for value in of[:most]]
        shift, spread = best_of(claim.best_of)
        share = 1.0 if claim.best_of == 1 else BEST_OF_ALPHA
        alpha_outside = claim.alpha if claim.alpha_outside is None else claim.alpha_outside
        rows.append((
            len(of), claim.max_runs, claim.published, 0.0 if claim.paired else spread / claim.num_published,
            claim.rounding**2 / 12 + claim.extra_sd**2, shift, 1.0 if claim.higher_is_better else -1.0, *claim.prior(),
            max(claim.step, claim.rounding) ** 2 / 12, claim.rounding, claim.margin, claim.direction, share * claim.alpha,
            share * alpha_outside, DIVERGENCE_ALPHA * alpha_outside, *claim.elsewhere(), claim.divergence_rate,
            claim.deterministic, claim.equal_decides, claim.equal_decides_last,
        ))  # fmt: skip
    names = (
        "num_runs", "max_runs", "published", "v", "u2", "best_of", "better", "prior_variance", "prior_df", "floor_variance",
        "rounding", "margin", "direction", "alpha", "alpha_outside", "alpha_diverged", "elsewhere_variance", "elsewhere_df",
        "divergence_rate", "deterministic", "equal_decides", "equal_decides_last",
    )  # fmt: skip
    kinds = {"num_runs": int, "max_runs": int, "direction": int} | dict.fromkeys(
        ("deterministic", "equal_decides", "equal_decides_last"), bool
    )
    table = np.array(rows, dtype=float).reshape(len(terms), len(names))
    arrays: dict[str, Any] = {name: table[:, i].astype(kinds.get(name, float)) for i, name in enumerate(names)}
    variance, df = arrays.pop("elsewhere_variance"), arrays.pop("elsewhere_df")
    plan = choose_plan(variance, df, *(arrays[name] for name in ("v", "u2", "margin", "max_runs")))
    q = standard_error_after_ten(arrays["prior_variance"], arrays["v"], arrays["u2"]) / arrays["margin"]
    return Batch(runs=values, plan=plan, feasible=(q <= _LARGEST_Q[_STD10]) | (arrays["prior_df"] == 0), **arrays)


def standard_error_after_ten(variance: Floats, v: Floats, u2: Floats) -> Floats:
    """The standard error of the difference after ten reruns, at a seed variance."""
    return np.asarray(np.sqrt(variance * (0.1 + v) + u2))


def choose_plan(variance: Floats, df: Floats, v: Floats, u2: Floats, margin: Floats, max_runs: Ints) -> Ints:
    """Which plan fits the noise that is known from elsewhere? Index in PLANS; `std10` where nothing is.

    By q = sqrt(s0^2 (1/10 + v) + u^2)/margin, the standard error after ten reruns in units of the margin. A plan that may not
    make its reruns gives way to a shorter one.
    """
    q = standard_error_after_ten(variance, v, u2) / margin
    chosen = np.where(df > 0, np.minimum(np.searchsorted(_LARGEST_Q, q), len(_NAMES) - 1), _STD10)
    chosen = np.where(df < PRIOR_DF_FEW, np.minimum(chosen, _STD10), chosen)  # a hint calls no tolerance infeasible
    shorter = np.where(max_runs <= _MOST_RUNS[_NAMES.index("fast4")], _NAMES.index("fast4"), _NAMES.index("mid6"))
    too_long = (chosen == _STD10) & (max_runs < _MOST_RUNS[_STD10])
    return np.asarray(np.where(too_long, shorter, chosen))


def run(batch: Batch) -> Stopped:
    """Look at each claim's reruns one after another, and stop where the rule says so."""
    size = len(batch.margin)
    state = {
        "stop": np.full(size, Stop.NEEDS_RUNS), "runs_used": np.zeros(size, dtype=int), "num_values": np.zeros(size, dtype=int),
        **{name: np.full(size, np.nan) for name in ("estimate", "se", "df", "critical", "low", "high")},
    }  # fmt: skip
    mean, squares = np.zeros(size), np.zeros(size)
    least, most = np.full(size, np.inf), np.full(size, -np.inf)
    limit = np.minimum(batch.max_runs, _MOST_RUNS[batch.plan])
    going = np.ones(size, dtype=bool)
    for n in range(1, int(min(batch.runs.shape[1], limit.max(initial=0))) + 1):
        going &= (batch.num_runs >= n) & (limit >= n)
        rows = np.flatnonzero(going)
        if not len(rows):
            break
        value = batch.runs[rows, n - 1]
        state["runs_used"][rows] = n
        came = rows[np.isfinite(value)]
        value = value[np.isfinite(value)]
        state["num_values"][came] += 1
        change = value - mean[came]
        mean[came] += change / state["num_values"][came]
        squares[came] += change * (value - mean[came])
        least[came], most[came] = np.minimum(least[came], value), np.maximum(most[came], value)
        if n < 2:
            continue
        lost = n - state["num_values"]
        tail = stats.binom.sf(lost[rows] - 1, n, np.maximum(batch.divergence_rate[rows], DIVERGENCE_RATE))
        diverged = rows[tail <= batch.alpha_diverged[rows] * (1 + SAME)]
        state["stop"][diverged] = Stop.DIVERGED
        going[diverged] = False
        looked = came[(state["num_values"][came] >= 2) & going[came]]
        if len(looked):
            few_lost = np.zeros(size, dtype=bool)
            few_lost[rows] = tail > DIVERGENCE_ACCEPT
            _look(batch, state, going, looked, mean, squares, are_equal(least, most, batch.margin), few_lost)
    ended = going & (np.minimum(batch.num_runs, limit) == limit) & (state["runs_used"] == limit)
    state["stop"][ended & (state["stop"] == Stop.NEEDS_RUNS)] = Stop.SPENT
    return Stopped(**state)


def _look(
    batch: Batch, state: dict[str, NDArray[np.generic]], going: Bools, rows: Ints, mean: Floats, squares: Floats,
    equal: Bools, few_lost: Bools,
) -> None:  # fmt: skip
    """One look at the claims `rows`: their interval, and whether they stop."""
    b = batch.at(rows)
    m = state["num_values"][rows].astype(int)
    exact = b.deterministic & equal[rows]
    df = b.prior_df + m - 1
    variance = np.maximum((b.prior_df * b.prior_variance + squares[rows]) / df, b.floor_variance)
    v = b.v + b.best_of**2 / (2 * df)
    estimate = mean[rows] - (b.published - b.better * b.best_of * np.sqrt(variance))
    se = np.sqrt(variance * (1 / m + v) + b.u2)
    critical, critical_outside = (critical_value(b.plan, m, v, b.prior_df, a) for a in (b.alpha, b.alpha_outside))
    half, half_outside = (np.where(exact, b.rounding / 2, c * se) for c in (critical, critical_outside))
    se = np.where(exact, 0.0, se)
    low, high = estimate - half, estimate + half
    for name, found in (
        ("estimate", estimate),
        ("se", se),
        ("df", df),
        ("critical", critical),
        ("low", low),
        ("high", high),
    ):
        state[name][rows] = found
    within = _is_within(low, high, b.margin, b.direction)
    outside = _is_outside(estimate, half_outside, se, df, critical_outside, b.margin, b.direction)
    at_last = state["runs_used"][rows].astype(int) >= np.minimum(b.max_runs, _MOST_RUNS[b.plan])
    blind = equal[rows] & ~exact & ~b.equal_decides & ~(b.equal_decides_last & at_last)
    unsure = blind | ((b.best_of > 0) & (df < BEST_OF_DF))
    within &= few_lost[rows] & ~unsure
    outside &= ~unsure
    futile = ~exact & ~within & ~outside & (df >= FUTILE_DF) & (m < _MOST_RUNS[b.plan]) & (variance > 0)
    where = np.flatnonzero(futile)
    if len(where):
        futile[where] = _chance(b.at(where), estimate[where], variance[where], v[where], df[where], m[where]) < FUTILE
    stop = np.full(len(rows), Stop.NEEDS_RUNS)
    stop[blind] = Stop.EQUAL
    stop[exact] = Stop.ROUNDING
    stop[futile & ~blind] = Stop.FUTILE
    stop[outside] = Stop.OUTSIDE
    stop[within] = Stop.WITHIN
    state["stop"][rows] = stop
    going[rows] = (stop == Stop.NEEDS_RUNS) | (stop == Stop.EQUAL)


def _is_within(low: Floats, high: Floats, margin: Floats, direction: Ints) -> Bools:
    """Is theta shown to lie within the margin? One-sided claims have one edge."""
    edge = margin * (1 + SAME)
    above, below = low >= -edge, high <= edge
    return np.asarray(np.where(direction > 0, above, np.where(direction < 0, below, above & below)))


def _is_outside(
    estimate: Floats, half: Floats, se: Floats, df: Floats, critical: Floats, margin: Floats, direction: Ints
) -> Bools:
    """Is theta shown to lie outside the margin?"""
    edge = margin * (1 + SAME)
    too_low, too_high = estimate + half < -edge, estimate - half > edge
    # Both tails count: where the noise is large against the margin, an interval that merely misses it accuses too often.
    with np.errstate(divide="ignore", invalid="ignore"):
        near, far = (abs(estimate) - margin) / se, (abs(estimate) + margin) / se
        rare = stats.t.sf(near, df) + stats.t.sf(far, df) <= stats.t.sf(critical, df)
    two_sided = (too_low | too_high) & (rare | (se == 0))
    return np.asarray(np.where(direction > 0, too_low, np.where(direction < 0, too_high, two_sided)))


def _chance(b: Batch, estimate: Floats, variance: Floats, v: Floats, df: Floats, m: Ints) -> Floats:
    """P(a decision at the plan's last look), if the reruns go on like these."""
    last = _MOST_RUNS[b.plan]
    final_se = np.sqrt(variance * (1 / last + v) + b.u2)
    half, half_outside = (
        critical_value(b.plan, last, v, b.prior_df, alpha) * final_se for alpha in (b.alpha, b.alpha_outside)
    )
    spread = np.sqrt(variance * (1 / m - 1 / last))

    def below(x: Floats) -> Floats:
        return np.asarray(stats.t.cdf((x - estimate) / spread, df))

    room = b.margin - half  # below 0: no number of reruns brings REPRODUCED
    inside = np.where(room > 0, below(room) - below(-room), 0.0)
    low_out, high_out = below(-b.margin - half_outside), 1 - below(b.margin + half_outside)
    up = b.direction > 0
    one_sided = np.where(up, 1 - below(-room) + low_out, below(room) + high_out)
    return np.asarray(np.where(b.direction == 0, inside + low_out + high_out, one_sided))


def score(stopped: Stopped, batch: Batch) -> tuple[Floats, Floats, Floats]:
    """S = E[2^-(theta/margin)^2] and its interval; NaN without two values, 0 when too many reruns diverged.

    For one-sided claims only the shortfall counts.
    """
    theta = np.full((len(batch.margin), len(_NODES)), np.nan)
    known = np.flatnonzero(~np.isnan(stopped.df))
    dfs, which = np.unique(stopped.df[known], return_inverse=True)
    quantiles = stats.t.ppf(_NODES, dfs[:, None])[which]
    theta[known] = stopped.estimate[known, None] + stopped.se[known, None] * quantiles
    value = _credit(theta, batch.margin[:, None], batch.direction[:, None]).mean(axis=1)
    at_low, at_high = (_credit(end, batch.margin, batch.direction) for end in (stopped.low, stopped.high))
    holds_zero = (stopped.low <= 0) & (stopped.high >= 0)
    least, most = np.minimum(at_low, at_high), np.where(holds_zero, 1.0, np.maximum(at_low, at_high))
    diverged = stopped.stop == Stop.DIVERGED
    unknown = np.isnan(stopped.df)
    least, most = np.where(unknown, 0.0, least), np.where(unknown, 1.0, most)
    return np.where(diverged, 0.0, value), np.where(diverged, 0.0, least), np.where(diverged, 0.5, most)


_NODES = (np.arange(100) + 0.5) / 100


def _credit(theta: Floats, margin: Floats, direction: Ints) -> Floats:
    short = np.where(direction > 0, np.minimum(theta, 0.0), np.where(direction < 0, np.maximum(theta, 0.0), theta))
    return credit(short, margin)


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What may be expected of one claim's audit, before its first rerun?"""

    plan: str
    max_runs: int
    """Most reruns that the plan makes."""
    feasible: bool | None
    """Could any number of reruns show that the tolerance is kept? None when nothing is known of the seed noise."""
    noise: tuple[float, ...]
    """Seed noise, in margins, that the rest was computed for: the known one, or a few."""
    accepted: tuple[float, ...]
    """P(reproduced) for a recipe without any difference, at each noise."""
    caught: tuple[float, ...]
    """P(not reproduced) for a recipe that is off by two margins."""
    num_runs: tuple[float, ...]
    """Mean number of reruns without any difference."""


def expect(terms: Terms, num_audits: int = 2000) -> Expected:
    """How many reruns will a claim take, and can its tolerance be decided at all? By simulation with a fixed seed."""
    variance, df = terms.prior()
    noise = (variance**0.5 / terms.margin,) if df > 0 else (0.1, 0.25, 0.5)
    one = to_batch([terms], [()])
    plan = list(PLANS.values())[int(one.plan[0])]
    most = min(plan.max_runs, terms.max_runs)

    results = [[_simulated(terms, rho, theta, most, num_audits) for rho in noise] for theta in (0.0, 2.0)]
    return Expected(
        plan=plan.name, max_runs=most, feasible=bool(one.feasible[0]) if df > 0 else None, noise=noise,
        accepted=tuple(float(stopped.reproduced.mean()) for stopped in results[0]),
        caught=tuple(float(stopped.not_reproduced.mean()) for stopped in results[1]),
        num_runs=tuple(float(stopped.runs_used.mean()) for stopped in results[0]),
    )  # fmt: skip


def _simulated(terms: Terms, rho: float, theta: float, most: int, num_audits: int) -> Stopped:
    """Audits of a claim like this one, with seed noise `rho` and a difference of `theta`, both in margins."""
    rng = np.random.default_rng(0)
    sd = rho * terms.margin
    away = -1.0 if terms.direction > 0 else 1.0
    batch = to_batch([replace(terms, published=0.0, deterministic=False)] * num_audits, [(0.0,) * most] * num_audits)
    shift, _ = best_of(terms.best_of)
    reference = rng.standard_normal(num_audits) * np.sqrt(sd**2 * batch.v + batch.u2) + shift * sd * batch.better
    runs = away * theta * terms.margin + sd * rng.standard_normal((num_audits, most))
    return run(replace(batch, published=reference, runs=runs))


def probability_within(stopped: Stopped, batch: Batch) -> Floats:
    """P(theta within the margin), reading the t distribution around the estimate as a confidence distribution."""
    with np.errstate(divide="ignore", invalid="ignore"):
        upper = stats.t.cdf((batch.margin - stopped.estimate) / stopped.se, stopped.df)
        lower = stats.t.cdf((-batch.margin - stopped.estimate) / stopped.se, stopped.df)
    spread = np.where(batch.direction > 0, 1 - lower, np.where(batch.direction < 0, upper, upper - lower))
    return np.asarray(np.where(stopped.se > 0, spread, (stopped.stop == Stop.WITHIN).astype(float)))


def p_outside(stopped: Stopped, batch: Batch) -> Floats:
    """The smallest alpha at which each claim's last look would have shown that the recipe differs; NaN without two values.

    The least over all looks is the sequential test's p-value: of faithful recipes at most alpha get one as small as alpha.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        above, below = ((sign * stopped.estimate - batch.margin) / stopped.se for sign in (1, -1))
        nearer = np.maximum(above, below)
        far = (abs(stopped.estimate) + batch.margin) / stopped.se
        both = stats.t.sf(nearer, stopped.df) + stats.t.sf(far, stopped.df)
    one = stats.t.sf(np.where(batch.direction > 0, below, above), stopped.df)
    nominal = np.where(batch.direction == 0, both, one)
    v = batch.v + batch.best_of**2 / (2 * np.where(np.isfinite(stopped.df), stopped.df, 1.0))
    n = np.clip(stopped.num_values, 2, _MOST_RUNS[batch.plan])
    low, high = np.full(len(nominal), np.log(1e-12)), np.zeros(len(nominal))
    for _ in range(50):
        middle = (low + high) / 2
        enough = nominal_level(batch.plan, n, v, batch.prior_df, np.exp(middle)) >= nominal
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    outside = np.where(batch.direction > 0, stopped.high < -batch.margin, stopped.low > batch.margin)
    outside |= (batch.direction == 0) & (stopped.high < -batch.margin)
    exact = np.where(outside, 0.0, 1.0)
    share = np.where(batch.best_of > 0, BEST_OF_ALPHA, 1.0)
    found = np.where(stopped.se > 0, np.minimum(np.exp(high) / share, 1.0), exact)
    return np.asarray(np.where(np.isfinite(stopped.df), found, np.nan))
