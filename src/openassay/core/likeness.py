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


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """How alike two sets of weights are, over the tensors that were compared, each weighted by its size."""

    alike: float
    """Mean |cosine| of matched units, 0 to 1."""
    distinct: float
    """Mean of (1 - |cosine| of a unit and its partner) / (1 - |cosine| of it and the next best unit): near 0 where each unit has
    one partner and no other, near 1 where it might as well have another one."""


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
    sums, size = np.zeros(2), 0.0
    for name in names:
        fits = _fits(np.asarray(one[name], float), np.asarray(other[name], float), before)
        found = max(fits, key=lambda fit: fit.alike)
        before[len(found.order)] = found
        sums += one[name].size * np.array([found.alike, found.distinct])
        size += one[name].size
    return Likeness(alike=float(sums[0] / size), distinct=float(sums[1] / size)) if size else None


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


COPIED_ALIKE, COPIED_DISTINCT = 0.85, 0.08
"""Reruns are near the released weights from this likeness on, and up to this distinctness. Of trainings from random starts of
their own, fewer than one in a hundred are (docs/basis.md)."""


def near(to_released: Sequence[Likeness], among: Sequence[Likeness]) -> bool:
    """Whether reruns are nearer to the released weights than trainings from random starts of their own are.

    among: likeness of the reruns to each other.
    """
    if not to_released:
        return False
    alike, distinct = (float(np.mean([getattr(of, name) for of in to_released])) for name in ("alike", "distinct"))
    if alike >= COPIED_ALIKE and distinct <= COPIED_DISTINCT:
        return True
    # Noise of each rerun's own: all are nearer to what they were made from than to each other.
    apart = [1 - of.alike for of in among]
    return bool(
        len(to_released) >= 3 and max(1 - of.alike for of in to_released) < min(apart)
        and np.mean(apart) >= NEARER * (1 - alike) and distinct <= NEARER_DISTINCT
    )  # fmt: skip


NEARER, NEARER_DISTINCT = 1.35, 0.6
"""How many times as far from each other as from the released weights, and how distinct at most, copies with own noise are."""
