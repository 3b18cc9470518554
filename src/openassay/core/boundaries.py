"""Critical values of the group-sequential test: so that looking after every rerun errs no more often than looking once.

At the tolerance's edge the statistic of n reruns is

    T_n = (mean of n reruns - reference - edge) / (s~ sqrt(1/n + v)),   s~^2 = (d0 s0^2 + (n - 1) s^2) / (d0 + n - 1)

with a reference of variance v sigma^2 and a prior s0^2 ~ sigma^2 chi2(d0)/d0. There T_2, T_3, ... is a Markov chain (T_n is
invariantly sufficient and transitive: Hall, Wijsman and Ghosh 1965), so that its crossing probabilities follow from a recursion
in one dimension, as Armitage, McPherson and Rowe (1969) have it for known variances. It runs on

    h_n(t) = P(no look before n has crossed | T_n = t),   h_(n+1)(t') = E[h_n(T_n); T_n <= c_n | T_(n+1) = t']

The residuals' direction is uniform on a sphere; so that, given T_(n+1) = t' on D = d0 + n degrees of freedom,

    T_n = a t' sqrt((D - 1 + r^2) / D) - b r,   r ~ t(D - 1),   a^2 = I_n/I_(n+1), b^2 = 1 - a^2, I_n = 1/(1/n + v)

The share of alpha that may be spent by the look of n reruns is f(n/N), f(t) = (1 - e^(4 t)) / (1 - e^4) (Hwang, Shih and DeCani
1990, gamma = -4: late looks get most of it). Stopping without a decision is not counted on.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

GAMMA = -4.0
MOST_RUNS = 1000
"""Largest number of reruns that a plan may have."""

_KNOWN = 10_000.0
"""Degrees of freedom from which on the variance counts as known so well."""
_LOWEST, _HIGHEST = -5.0, 7.5
"""Equivalent normal deviates between which h is followed."""
_NODES = 140
_TABLE, _TABLE_DF = 256, 10.0
"""Nodes of the table that deviates are read from, and the degrees of freedom from which on it is smooth enough: to 1e-7."""
_INNOVATIONS = np.linspace(-5.5, 5.5, 75)
"""Normal deviates of s, equally spaced: the trapezoid rule."""
_WEIGHTS = np.exp(-(_INNOVATIONS**2) / 2) / np.exp(-(_INNOVATIONS**2) / 2).sum()


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """The critical values of one design, and what they follow from."""

    critical: tuple[float, ...]
    """c_n for n = 2 to N: how many standard errors from an edge decide."""
    spent: tuple[float, ...]
    """Probability of having crossed by the look of n reruns."""
    tails: tuple[_Tail, ...]

    def p_value(self, n: int, statistic: float) -> float:
        """About the least alpha at which the look of n reruns would cross at a statistic: what lies beyond it, over the share of
        alpha that this look may spend. At most this design's alpha exactly if it crosses."""
        share = spent_share(n, len(self.critical) + 1) - (spent_share(n - 1, len(self.critical) + 1) if n > 2 else 0.0)
        return min(1.0, self.tails[n - 2].beyond(statistic) / float(share))


@dataclass(frozen=True, kw_only=True)
class _Tail:
    """P(the statistic of a look is larger, and none before has crossed), by equivalent normal deviate."""

    df: float
    deviates: Floats
    beyond_: Floats
    """As logarithm. Decreasing."""

    def beyond(self, statistic: float) -> float:
        deviate = float(_deviate(np.array(statistic), self.df))
        return float(np.exp(np.interp(deviate, self.deviates, self.beyond_)))

    def at(self, probability: float) -> float:
        """The deviate that is exceeded with a probability."""
        return float(np.interp(-np.log(probability), -self.beyond_, self.deviates))


def spent_share(n: ArrayLike, max_runs: ArrayLike) -> Floats:
    """Share of alpha that may be spent, on one side, by the look of n of at most `max_runs` reruns. By their number, not by the
    information, so that the interval of a noisy reference is never the narrower one."""
    n, max_runs = np.asarray(n, dtype=float), np.asarray(max_runs, dtype=float)
    return np.asarray(np.expm1(-GAMMA * n / max_runs) / np.expm1(-GAMMA))


@functools.lru_cache(maxsize=1000)
def boundary(max_runs: int, v: float, prior_df: float, alpha: float) -> Boundary:
    """The critical values of a plan of at most `max_runs` = N reruns, 2 to MOST_RUNS.

    v: variance of the reference over the seed variance, >= 0. prior_df: degrees of freedom known before the first rerun. alpha:
    the one-sided error rate over all looks, in (0, 0.5).
    """
    if not 2 <= max_runs <= MOST_RUNS:
        raise ValueError(f"2 to {MOST_RUNS} reruns, found {max_runs}")
    prior_df = min(prior_df, _KNOWN)
    spent = alpha * spent_share(np.arange(2, max_runs + 1), max_runs)
    x = np.linspace(_LOWEST, _HIGHEST, _NODES)
    tail = _Tail(df=prior_df + 1, deviates=x, beyond_=scipy.special.log_ndtr(-x))
    deviate, follow = tail.at(spent[0]), scipy.interpolate.CubicSpline(x, np.ones(_NODES))
    deviates, tails = [deviate], [tail]
    for n in range(2, max_runs):
        information, following = 1 / (1 / n + v), 1 / (1 / (n + 1) + v)
        a, b = float(np.sqrt(information / following)), float(np.sqrt(1 - information / following))
        # Fine around the boundary, where h falls within a few b.
        low, high = np.arcsinh((np.array([_LOWEST, _HIGHEST]) - deviate) / b).tolist()
        x = deviate + b * np.sinh(np.linspace(low, high, _NODES))
        follow = scipy.interpolate.CubicSpline(x, _next(follow, deviate, x, a, b, prior_df + n))
        tail = _tail(follow, x, prior_df + n)
        deviate = tail.at(spent[n - 1] - spent[n - 2])
        deviates.append(deviate)
        tails.append(tail)
    critical = _statistic(np.array(deviates), prior_df + np.arange(1, max_runs))
    return Boundary(critical=tuple(critical.tolist()), spent=tuple(map(float, spent)), tails=tuple(tails))


def _next(
    follow: scipy.interpolate.CubicSpline, boundary_: float, x: Floats, a: float, b: float, dims: float
) -> Floats:
    """h of the following look at deviates x; `dims` = D."""
    r = _statistic(_INNOVATIONS, dims - 1)
    statistic = a * _statistic(x, dims)[:, None] * np.sqrt((dims - 1 + r**2) / dims) - b * r
    before = np.clip(_deviates(statistic, dims - 1), 2 * _LOWEST, 2 * _HIGHEST)
    # The share of each node's cell that lies below the boundary, so that its jump costs no accuracy.
    width = np.maximum(abs(np.gradient(before, axis=1)), 1e-12)
    below = np.clip((boundary_ - before) / width + 0.5, 0.0, 1.0)
    there = np.clip(follow(np.clip(before - (1 - below) * width / 2, _LOWEST, _HIGHEST)), 0.0, 1.0)
    return np.asarray((there * below) @ _WEIGHTS)


def _tail(follow: scipy.interpolate.CubicSpline, x: Floats, df: float) -> _Tail:
    """The integral of h times the normal density, from each deviate upwards; by Simpson's rule on each cell."""
    middle = (x[1:] + x[:-1]) / 2

    def density(at: Floats) -> Floats:
        return np.asarray(np.clip(follow(at), 0.0, 1.0) * np.exp(-(at**2) / 2) / np.sqrt(2 * np.pi))

    cells = np.diff(x) * (density(x[:-1]) + 4 * density(middle) + density(x[1:])) / 6
    beyond = np.append(np.cumsum(cells[::-1])[::-1], 0.0)
    return _Tail(df=df, deviates=x, beyond_=np.log(np.maximum(beyond, 1e-300)))


def _statistic(deviate: Floats, df: ArrayLike) -> Floats:
    """The t statistic of the same tail probability as a normal deviate; by its own tail, which keeps its digits."""
    return np.asarray(-np.sign(deviate) * scipy.special.stdtrit(df, scipy.special.ndtr(-abs(deviate))))


def _deviate(statistic: Floats, df: float) -> Floats:
    """The normal deviate of the same tail probability as a t statistic."""
    return np.asarray(-np.sign(statistic) * scipy.special.ndtri(scipy.special.stdtr(df, -abs(statistic))))


def _deviates(statistic: Floats, df: float) -> Floats:
    """The same of many statistics, some ten times as fast: read from a table of them."""
    if df < _TABLE_DF:
        return _deviate(statistic, df)
    at = np.arcsinh(statistic)
    nodes = np.linspace(at.min(), at.max(), _TABLE)
    return np.asarray(scipy.interpolate.CubicSpline(nodes, _deviate(np.sinh(nodes), df))(at))


def critical_value(n: ArrayLike, max_runs: ArrayLike, v: ArrayLike, prior_df: ArrayLike, alpha: ArrayLike) -> Floats:
    """c_n at the look of n values (2 to `max_runs`) of each plan. Arguments as `boundary`, broadcast to one shape (...)."""
    columns = np.broadcast_arrays(*(np.asarray(of, dtype=float) for of in (n, max_runs, v, prior_df, alpha)))
    designs, which = np.unique(np.stack([of.ravel() for of in columns]), axis=1, return_inverse=True)
    found = [boundary(int(most), v_, d0, a).critical[int(n_) - 2] for n_, most, v_, d0, a in designs.T.tolist()]
    return np.array(found, dtype=float)[which.ravel()].reshape(columns[0].shape)
