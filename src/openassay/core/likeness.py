"""How alike two sets of trained weights are, whatever the order, the scale and the sign of their units.

A network computes the same when its hidden units change places, or when what goes into one grows as what goes out of it shrinks.
Trainings from different random starts end in different units; copies stay alike under all of these, and under noise.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Weights = Mapping[str, NDArray[Any]]
LEAST_UNITS = 8
"""Of a layer that is compared: with fewer, chance finds a partner for each."""
LEAST_INPUTS = 16
"""The same for the numbers that make a unit."""
MOST_UNITS = 1024
"""Of a layer whose units are matched; of a larger one the first so many."""


@dataclass(frozen=True)
class Likeness:
    """How alike two sets of weights are, over the tensors that were compared, each weighted by its size."""

    alike: float
    """Mean |cosine| of matched units, 0 to 1."""
    distinct: float
    """Mean of (1 - |cosine| of a unit and its partner) / (1 - |cosine| of it and the next best unit): near 0 where each unit has
    one partner and no other, near 1 where it might as well have another one."""
    reordered: float
    """Share of units whose partner stands at another place."""


@dataclass(frozen=True, kw_only=True)
class _Matched:
    """The units of one layer beside those of another."""

    alike: float
    distinct: float
    order: NDArray[np.intp]
    """Of each unit: its partner."""
    scale: NDArray[np.float64]
    """Of each unit: its length over its partner's, with the sign of their cosine."""


def comparable(one: Weights, other: Weights) -> tuple[str, ...]:
    """The names of the tensors that can be compared: in both, of one shape, finite, with units and inputs enough."""
    return tuple(
        name for name, of in one.items()
        if name in other and of.shape == other[name].shape and _has_units(of)
        and all(np.isfinite(each).all() and each.any() for each in (of, other[name]))
    )  # fmt: skip


def _has_units(of: NDArray[Any]) -> bool:
    if of.ndim < 2:
        return False
    sides = (of.shape[0], of[0].size)
    return bool(min(sides) >= LEAST_UNITS and max(sides) >= LEAST_INPUTS)


def likeness(one: Weights, other: Weights, names: Collection[str]) -> Likeness | None:
    """How alike these tensors of two trainings are; None for no tensor.

    The units of a layer are matched by what goes into them (the assignment of the largest sum), and what comes out of them into
    the next layer follows. Which axis of a matrix holds the units no file says: the better fit counts.
    """
    before: dict[int, _Matched] = {}
    sums, size = np.zeros(3), 0.0
    for name in names:
        fits = _fits(np.asarray(one[name], float), np.asarray(other[name], float), before)
        found = max(fits, key=lambda fit: fit.alike)
        before[len(found.order)] = found
        elsewhere = np.mean(found.order != np.arange(len(found.order)))
        sums += one[name].size * np.array([found.alike, found.distinct, elsewhere])
        size += one[name].size
    return Likeness(*map(float, sums / size)) if size else None


def mean_of(found: Sequence[Likeness]) -> Likeness | None:
    """The mean of several, within their range; None of none."""
    if not found:
        return None
    alike, distinct, reordered = np.mean([(of.alike, of.distinct, of.reordered) for of in found], axis=0)
    return Likeness(alike=float(alike), distinct=max(0.0, float(distinct)), reordered=float(reordered))


def _fits(one: NDArray[np.float64], other: NDArray[np.float64], before: Mapping[int, _Matched]) -> list[_Matched]:
    """The units of a layer matched in every way that its shape allows."""
    ways = [(one, other), *([(one.T, other.T)] if one.ndim == 2 else [])]
    found = []
    for pair in [pair for pair in ways if pair[0].shape[0] >= LEAST_UNITS and pair[0][0].size >= LEAST_INPUTS]:
        x, y = (of.reshape(of.shape[0], of.shape[1], -1) for of in pair)
        found.append(_match(x, y))
        known = before.get(x.shape[1])
        if known and len(set(known.order.tolist())) == x.shape[1]:
            found.append(_match(x, y[:, known.order] / known.scale[:, None]))
    return found


def _match(x: NDArray[np.float64], y: NDArray[np.float64]) -> _Matched:
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415 - it takes a while to import

    rows, partners = (of.reshape(len(of), -1) for of in (x[:MOST_UNITS], y))
    lengths = [np.maximum(np.linalg.norm(of, axis=1), 1e-300) for of in (rows, partners)]
    cosines = (rows / lengths[0][:, None]) @ (partners / lengths[1][:, None]).T
    at, order = linear_sum_assignment(-np.abs(cosines))
    matched, others = cosines[at, order], np.abs(cosines)
    others[at, order] = -1.0
    distinct = (1 - np.abs(matched)) / np.maximum(1 - others.max(axis=1), 1e-12)
    sign = np.where(matched < 0, -1.0, 1.0)
    return _Matched(
        alike=float(np.abs(matched).mean()), distinct=float(np.minimum(distinct, 1.0).mean()), order=order,
        scale=sign * lengths[0][at] / lengths[1][order],
    )  # fmt: skip


MATCHED_ALIKE, MATCHED_DISTINCT = 0.85, 0.08
"""From this likeness on, and up to this distinctness, each unit has its partner. Of trainings with hidden units that begin with
other weights, fewer than one in a hundred end so (docs/basis.md)."""
COPIED_REORDERED = 0.5
"""With so many units in other places, matched weights are a copy in another order: what begins with one start keeps its order."""
NEARER, NEARER_DISTINCT = 1.35, 0.6
"""How many times as far from each other as from the released weights, and how distinct at most, copies with own changes are."""


def matched(middle: Likeness | None) -> bool:
    """Whether each unit has its partner, as copies have, and trainings from one start."""
    return middle is not None and middle.alike >= MATCHED_ALIKE and middle.distinct <= MATCHED_DISTINCT


def near(to_released: Sequence[Likeness], among: Sequence[Likeness]) -> bool:
    """Whether reruns are nearer to the released weights than trainings of the same recipe are, of which the released is one more.

    among: likeness of the reruns to each other. Where all are alike, as those of a recipe with a single best solution, the
    released weights are as near as any other, and that says nothing.
    """
    middle = mean_of(to_released)
    if middle is None:
        return False
    if matched(middle) and middle.reordered >= COPIED_REORDERED:
        return True
    # Changes of each rerun's own: all are nearer to what they were made from than to each other.
    apart = [1 - of.alike for of in among]
    return bool(
        len(to_released) >= 3 and max(1 - of.alike for of in to_released) < min(apart)
        and np.mean(apart) >= NEARER * (1 - middle.alike) and middle.distinct <= NEARER_DISTINCT
    )  # fmt: skip
