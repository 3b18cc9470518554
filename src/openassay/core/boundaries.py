"""Critical values of the group-sequential test: so that looking after every rerun errs no more often than looking once.

At the tolerance's edge the statistic of n reruns is

    T_n = (mean of n reruns - reference - edge) / (s~ sqrt(1/n + v)),   s~^2 = (d0 s0^2 + (n - 1) s^2) / (d0 + n - 1)

with a reference of variance v sigma^2 and a prior s0^2 ~ sigma^2 chi2(d0)/d0. There T_2, T_3, ... is a Markov chain (T_n is
invariantly sufficient and transitive: Hall, Wijsman and Ghosh 1965), so that its crossing probabilities follow from a
recursion in one dimension, as Armitage, McPherson and Rowe (1969) have it for known variances. With Q = the sum of squares
about the pooled mean, on d0 + n degrees of freedom, u = T / sqrt(T^2 + d0 + n - 1) is independent of Q, and

    u' = (a u + b g) / sqrt(1 + g^2),   a^2 = I_n/I_(n+1), b^2 = 1 - a^2, I_n = 1/(1/n + v),   g sqrt(d0 + n) ~ t(d0 + n)

Where another rerun adds next to nothing to what is known, because the reference is noisy, the test waits for a few (`looks`).

The share of alpha that may be spent by the look of n reruns is f(t) = (1 - e^(4 t)) / (1 - e^4), t = I_n/I_N (Hwang, Shih and
DeCani 1990, gamma = -4: late looks get most of it). Stopping without a decision is not counted on.
"""

from __future__ import annotations

import bisect
import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

Floats = NDArray[np.float64]

GAMMA = -4.0
MOST_RUNS = 1000
"""Largest number of reruns that a plan may have."""

_CELLS = 120
_LOWEST = -4.5
"""Equivalent normal deviate below which a statistic counts as this far down: 3 in a million."""
_KNOWN = 10_000.0
"""Degrees of freedom from which on the variance counts as known so well."""
_LEAST_NEWS = 4e-4
"""Share of the information that a look must add to the one before: about a third of a cell's width, squared."""


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """The critical values of one design, and what they follow from."""

    looks: tuple[int, ...]
    """Numbers of reruns at which it looks; the last is N."""
    critical: tuple[float, ...]
    """How many standard errors from an edge decide at each look."""
    spent: tuple[float, ...]
    """Probability of having crossed by each look."""
    steps: tuple[_Step, ...]

    def p_value(self, n: int, statistic: float) -> float:
        """One-sided p-value of a statistic of n reruns, no earlier look having crossed: Armitage's stagewise ordering.

        Between two looks it counts as one at the next.
        """
        i = bisect.bisect_left(self.looks, n)
        return min(1.0, (self.spent[i - 1] if i else 0.0) + float(self.steps[i].beyond(statistic)))


@dataclass(frozen=True, kw_only=True)
class _Step:
    """Where the statistic stood before a look (cells of u and their probabilities), and how it moves on."""

    u: Floats
    mass: Floats
    """Of not having crossed before."""
    a: float
    b: float
    df: float
    """Of the statistic at this look."""

    def beyond(self, statistic: ArrayLike) -> Floats:
        """P(the statistic of this look is larger, and none before has crossed). Shape of `statistic`."""
        statistic = np.asarray(statistic, dtype=float)
        if not len(self.u):
            return np.asarray(stats.t.sf(statistic, self.df))
        c = statistic / np.sqrt(statistic**2 + self.df)
        return np.asarray((self.mass * _above(self.u, c[..., None], self.a, self.b, self.df)).sum(axis=-1))


def _above(u: Floats, c: Floats, a: float, b: float, df: float) -> Floats:
    """P(u' > c | u): with g = tan(phi) it is P(rho sin(phi + psi) > c). Arguments broadcast."""
    rho, psi = np.sqrt((a * u) ** 2 + b**2), np.arctan2(a * u, b)
    r = c / rho
    start = np.arcsin(np.clip(r, -1, 1))
    first, last = start - psi, np.pi - start - psi

    def up_to(phi: Floats) -> Floats:
        inside = np.clip(phi, -np.pi / 2, np.pi / 2)
        return np.where(abs(phi) < np.pi / 2, special.stdtr(df, np.sqrt(df) * np.tan(inside)), (phi > 0).astype(float))

    return np.where(r >= 1, 0.0, np.where(r <= -1, 1.0, up_to(last) - up_to(first)))


def spent_share(n: ArrayLike, max_runs: ArrayLike, v: ArrayLike) -> Floats:
    """Share of alpha that may be spent, on one side, by the look of n of at most `max_runs` reruns."""
    n, max_runs, v = np.asarray(n, dtype=float), np.asarray(max_runs, dtype=float), np.asarray(v, dtype=float)
    t = (1 / max_runs + v) / (1 / n + v)
    return np.asarray(np.expm1(-GAMMA * t) / np.expm1(-GAMMA))


@functools.lru_cache(maxsize=1000)
def looks(max_runs: int, v: float) -> tuple[int, ...]:
    """Numbers of reruns at which a test of at most `max_runs` looks: every one from 2 on, as long as each adds to what is
    known."""
    information = 1 / (1 / np.arange(1, max_runs + 1) + v)
    found = [2]
    for n in range(3, max_runs + 1):
        if 1 - information[found[-1] - 1] / information[n - 1] >= _LEAST_NEWS:
            found.append(n)
    if found[-1] != max_runs:
        found[-1] = max_runs
    return tuple(found)


@functools.lru_cache(maxsize=1000)
def boundary(max_runs: int, v: float, prior_df: float, alpha: float, looks_v: float | None = None) -> Boundary:
    """The critical values of a plan of at most `max_runs` = N reruns, 2 to MOST_RUNS.

    v: variance of the reference over the seed variance, >= 0. prior_df: degrees of freedom known before the first rerun.
    alpha: the one-sided error rate over all looks, in (0, 0.5). looks_v: the v by which `looks` are chosen, where it is
    another one.
    """
    if not 2 <= max_runs <= MOST_RUNS:
        raise ValueError(f"2 to {MOST_RUNS} reruns, found {max_runs}")
    prior_df = min(prior_df, _KNOWN)
    at = looks(max_runs, v if looks_v is None else looks_v)
    spent = alpha * spent_share(at, max_runs, v)
    deviates, mass = np.zeros(0), np.zeros(0)
    critical, steps = [], []
    for i, n in enumerate(at):
        df = prior_df + n - 1
        step = _step(deviates, mass, at[i - 1] if i else n, n, v, df)
        c = _solve(step, spent[i] - spent[i - 1]) if i else float(stats.t.isf(spent[0], df))
        edges = np.linspace(_LOWEST, _deviate(c, df), _CELLS + 1)
        beyond = step.beyond(_statistic(edges, df))
        beyond[0] = 1 - (spent[i - 1] if i else 0.0)  # whatever lies below the lowest edge
        deviates, mass = (edges[1:] + edges[:-1]) / 2, -np.diff(beyond)
        critical.append(c)
        steps.append(step)
    return Boundary(looks=at, critical=tuple(critical), spent=tuple(map(float, spent)), steps=tuple(steps))


def _step(deviates: Floats, mass: Floats, before: int, n: int, v: float, df: float) -> _Step:
    """How the statistic moves from the look of `before` reruns to that of n.

    With more than one rerun between them, the variance's own news of all but the last are left out: the statistic keeps its
    deviate, and so its distribution.
    """
    statistic = _statistic(deviates, df - 1)
    kept = (1 / n + v) / (1 / before + v)
    return _Step(
        u=statistic / np.sqrt(statistic**2 + df - 1),
        mass=mass,
        a=float(np.sqrt(kept)),
        b=float(np.sqrt(1 - kept)),
        df=df,
    )


def _solve(step: _Step, wanted: float) -> float:
    """The statistic that is exceeded, without an earlier crossing, with probability `wanted`."""
    low, high = 0.0, 9.0  # as normal deviates
    for _ in range(45):
        middle = (low + high) / 2
        low, high = (middle, high) if step.beyond(_statistic(np.array(middle), step.df)) > wanted else (low, middle)
    return float(_statistic(np.array(high), step.df))


def _statistic(deviate: Floats, df: float) -> Floats:
    """The t statistic of the same tail probability as a normal deviate; by its own tail, which keeps its digits."""
    tail = special.stdtrit(df, special.ndtr(-abs(deviate)))
    return np.asarray(-np.sign(deviate) * tail)


def _deviate(statistic: float, df: float) -> float:
    return float(-special.ndtri(stats.t.sf(statistic, df)))


def table(max_runs: int, v: float, prior_df: float, alpha: float, looks_v: float) -> tuple[Floats, NDArray[np.bool_]]:
    """c_n by the number of reruns n (NaN below 2), and whether the test looks there. Between looks c is the next one's. Shape
    (N + 1,)."""
    found = boundary(max_runs, v, prior_df, alpha, looks_v)
    is_look = np.zeros(max_runs + 1, dtype=bool)
    is_look[list(found.looks)] = True
    critical = np.array(found.critical)[np.searchsorted(found.looks, np.arange(max_runs + 1))]
    critical[:2] = np.nan
    return critical, is_look


def critical_value(
    n: ArrayLike, max_runs: ArrayLike, v: ArrayLike, prior_df: ArrayLike, alpha: ArrayLike, looks_v: ArrayLike
) -> Floats:
    """c_n at the look of n values (2 to `max_runs`) of each plan. Arguments as `boundary`, broadcast to one shape (...)."""
    columns = np.broadcast_arrays(*(np.asarray(of, dtype=float) for of in (n, max_runs, v, prior_df, alpha, looks_v)))
    designs, which = np.unique(np.stack([of.ravel() for of in columns]), axis=1, return_inverse=True)
    found = [table(int(most), v_, d0, a, of)[0][int(n_)] for n_, most, v_, d0, a, of in designs.T.tolist()]
    return np.array(found, dtype=float)[which.ravel()].reshape(columns[0].shape)
