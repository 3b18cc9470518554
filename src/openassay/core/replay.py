"""Statistics of paired trainings, and their verdict: whether a replay of a training's first updates follows the published one.

A replay has the release's first weights, data and order, so nothing is left to chance but the rounding of the arithmetic. How
much that is, the auditor's machine shows: *replicas* of the replay that differ from it in numerics only (rows of a batch
permuted, other accumulation, threads, precision). The largest statistic among them is the *floor*. Three statistics, at few
horizons:

    loss_rms         root mean square of (our loss - theirs) over the updates, or over probe batches at the horizon, in nats
    distance         |w - w'| / |w' - w0|            of the weights at the horizon; w' the release's, w0 its step 0
    log_norm_ratio   | log(|w - w0| / |w' - w0|) |

The replay DIFFERS when a statistic is above 3 floors and above what other hardware's low-precision arithmetic was measured to
stay below (`LIMITS`); it MATCHES when all are below 3 floors and deliberately wrong replays are not. Anything else is
INCONCLUSIVE.
How often that errs: docs/replay.md, measured by tests/calibration/replay.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openassay.core.replay_records import ReplayStatistic
from openassay.core.types import LARGEST

Floats = NDArray[np.float64]
Weights = Mapping[str, NDArray[np.generic]]
Stored = Literal["fp32", "fp16", "bf16"]
Statistic = Literal["loss_rms", "distance", "log_norm_ratio"]
Statistics = dict[tuple[Statistic, int], float]
"""By statistic and horizon (the step that it looks at)."""

LIMITS: dict[Statistic, float] = {"loss_rms": 1e-3, "distance": 0.05, "log_norm_ratio": 1e-3}
"""What a faithful replay on other hardware stays below: about 3 times the floor of bf16 autocast, over many releases."""
FACTOR = 3.0
"""Statistics beyond so many floors are not noise."""
NO_EVIDENCE = 0.1
"""A floor of `distance` from which on the weights at that horizon say nothing: coarse storage drowns the first updates."""
FEWEST_REPLICAS = 3


class Standing(StrEnum):
    """How a replay stands to the release."""

    MATCHES = "MATCHES"
    DIFFERS = "DIFFERS"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, kw_only=True)
class ReplayVerdict:
    """What a replay says, and why."""

    standing: Standing
    reasons: tuple[str, ...]
    statistics: tuple[ReplayStatistic, ...]


def finite(value: float) -> float:
    """The value, or the largest number that a record holds where it is infinite."""
    return min(value, LARGEST)


def in_floors(value: float, floor: float, limit: float) -> float:
    """A statistic in units of the larger of its floor and a third of its limit."""
    unit = max(floor, limit / FACTOR)
    return 0.0 if not math.isfinite(unit) else value / unit if math.isfinite(value) else math.inf


def round_to(values: ArrayLike, stored: Stored) -> NDArray[np.float32]:
    """What is left of weights in a file of that precision, to the nearest and ties to even, as fp32."""
    values = np.asarray(values, dtype=np.float32)
    if stored == "fp16":
        with np.errstate(over="ignore"):
            return np.asarray(values.astype(np.float16).astype(np.float32))
    if stored == "bf16":
        bits = values.view(np.uint32)
        rounded = ((bits + (0x7FFF + ((bits >> 16) & 1))) & np.uint32(0xFFFF0000)).astype(np.uint32)
        return np.where(np.isfinite(values), rounded.view(np.float32), values)
    return values


def spacing(values: ArrayLike, stored: Stored) -> NDArray[np.float32]:
    """Distance to the next number that a file of that precision can hold."""
    values = np.abs(np.asarray(values, dtype=np.float32))
    if stored == "fp16":
        return np.asarray(np.spacing(values.astype(np.float16)).astype(np.float32))
    if stored == "bf16":
        _, exponent = np.frexp(values)
        return np.asarray(np.ldexp(np.float32(1), np.maximum(exponent, -125) - 8).astype(np.float32))
    return np.asarray(np.spacing(values))


def before_rounding(values: ArrayLike, stored: Stored, rng: np.random.Generator) -> NDArray[np.float32]:
    """Weights that such a file would hold as these: what the training may have begun with. A constant tensor stays."""
    values = np.asarray(values, dtype=np.float32)
    if stored == "fp32" or values.size == 0 or values.min() == values.max():
        return values
    return np.asarray(values + (rng.random(values.shape, dtype=np.float32) - np.float32(0.5)) * spacing(values, stored))


def loss_rms(ours: ArrayLike, theirs: ArrayLike) -> float:
    """Root mean square of the difference of paired losses; infinity when one is not finite."""
    gap = np.asarray(ours, dtype=float) - np.asarray(theirs, dtype=float)
    if gap.size == 0:
        raise ValueError("there are no paired losses")
    return float(np.sqrt(np.mean(gap**2))) if np.all(np.isfinite(gap)) else math.inf


def weight_statistics(ours: Weights, theirs: Weights, start: Weights) -> tuple[float, float]:
    """`distance` and `log_norm_ratio` of two trainings from the same start, over our parameters, one tensor at a time.

    Infinity when weights are not finite; when theirs have not moved, 0 if ours have not either, else infinity.
    """
    apart = moved_ours = moved_theirs = 0.0
    for name in ours:
        w, w_theirs, w0 = (np.asarray(part[name], dtype=np.float64) for part in (ours, theirs, start))
        apart += float(((w - w_theirs) ** 2).sum())
        moved_ours += float(((w - w0) ** 2).sum())
        moved_theirs += float(((w_theirs - w0) ** 2).sum())
    if not all(map(math.isfinite, (apart, moved_ours, moved_theirs))):
        return math.inf, math.inf
    if moved_theirs == 0 or moved_ours == 0:
        return (0.0, 0.0) if moved_ours == moved_theirs else (math.inf, math.inf)
    return math.sqrt(apart / moved_theirs), abs(math.log(moved_ours / moved_theirs)) / 2


def floors(replicas: Sequence[Statistics]) -> Statistics:
    """The largest of each statistic over the replicas."""
    keys = {key for replica in replicas for key in replica}
    return {key: max(replica[key] for replica in replicas if key in replica) for key in keys}


def with_rounding_of_log(floor: Statistics, unit: float) -> Statistics:
    """The floors when the published losses are rounded to `unit`: a uniform error of unit / sqrt(12) more."""
    error = unit / math.sqrt(12)
    return {key: math.hypot(value, error) if key[0] == "loss_rms" else value for key, value in floor.items()}


def largest_in_floors(values: Statistics, floor: Statistics) -> tuple[float, tuple[Statistic, int] | None]:
    """The largest statistic in units of its floor (or a third of its limit), and which it is; only where there is evidence."""
    shares = [
        (in_floors(value, floor[key], LIMITS[key[0]]), key)
        for key, value in values.items() if key in floor and has_evidence(key, floor)
    ]  # fmt: skip
    return max(shares, key=lambda of: of[0], default=(0.0, None))


def has_evidence(key: tuple[Statistic, int], floor: Statistics) -> bool:
    """Whether a statistic says anything at this horizon: not where the floor is of the size of the first updates themselves."""
    if key[0] == "loss_rms":
        return math.isfinite(floor[key])
    return floor.get(("distance", key[1]), math.inf) < NO_EVIDENCE


def judge_replay(
    values: Statistics, replicas: Sequence[Statistics], *, controls: Mapping[str, Statistics], log_rounding: float = 0.0,
    assumed: Iterable[str] = (),
) -> ReplayVerdict:  # fmt: skip
    """The verdict on a replay.

    values: the replay beside the release. replicas: each beside the replay. controls: deliberately wrong replays, each beside the
    replay: one that cannot be told from it means that this comparison cannot fail. assumed: values of the recipe that the release
    does not state; a difference is then not the release's.
    """
    floor = with_rounding_of_log(floors(replicas), log_rounding)
    judged = tuple(
        ReplayStatistic(
            statistic=key[0], horizon=key[1], value=finite(values[key]), floor=finite(floor[key]), limit=LIMITS[key[0]],
            in_floors=finite(in_floors(values[key], floor[key], LIMITS[key[0]])), used=has_evidence(key, floor),
        )
        for key in sorted(values, key=lambda key: (key[1], key[0])) if key in floor
    )  # fmt: skip
    used = [one for one in judged if one.used]
    reasons: list[str] = []
    standing = Standing.INCONCLUSIVE
    differing = [one for one in used if one.in_floors > FACTOR]
    above = [one for one in used if one.value > FACTOR * one.floor and one not in differing]
    blind = [name for name, wrong in controls.items() if largest_in_floors(wrong, floor)[0] <= FACTOR]
    if len(replicas) < FEWEST_REPLICAS:
        reasons.append(f"the floor rests on {len(replicas)} replicas; {FEWEST_REPLICAS} at least are needed")
    elif not used:
        reasons.append("at no horizon can the release be told from rounding: the floor is too high")
    elif differing:
        if guessed := ", ".join(assumed):
            reasons.append(f"the replay differs, but the release does not state {guessed}: it may be our guess")
        else:
            standing = Standing.DIFFERS
        reasons += [_say(one) for one in sorted(differing, key=lambda one: -one.in_floors)]
    elif above:
        reasons.append("more than this machine's rounding, less than what other hardware's arithmetic may give:")
        reasons += [_say(one) for one in above]
    elif not controls:
        reasons.append("no deliberately wrong replay was made, so it is not shown that this comparison can fail")
    elif blind:
        reasons.append(f"a deliberately wrong replay looks the same: {', '.join(blind)}")
    else:
        standing = Standing.MATCHES
        closest = max(used, key=lambda one: one.value / one.floor if one.floor else 0.0)
        reasons.append(f"nothing is beyond {FACTOR:g} floors; the largest: {_say(closest)}")
    if steps := ", ".join(map(str, sorted({one.horizon for one in judged if not one.used}))):
        reasons.append(f"weights at step {steps} say nothing: what storage and numerics do is as large as the updates")
    return ReplayVerdict(standing=standing, reasons=tuple(reasons), statistics=judged)


def _say(one: ReplayStatistic) -> str:
    times = f", {one.value / one.floor:.3g} floors" if one.floor > 0 else ""
    beside = f"(floor {one.floor:.2g}, limit {one.limit:g})"
    return f"{one.statistic} at step {one.horizon} is {one.value:.3g}{times} {beside}"
