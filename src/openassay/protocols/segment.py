"""The segment replay: whether a later checkpoint follows from an earlier one by the published recipe.

With the published optimizer state everything is compared. Without it, the moments are burned in from an earlier checkpoint, the
weights then set to the published ones, and only the losses are compared: rebuilt moments move the weights too freely. What they
do to the losses shows in a second burn-in of half the length, which counts as a replica.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from openassay.protocols.prefix import (
    HORIZONS,
    PrefixReport,
    ReplayInputs,
    Say,
    Setting,
    available_horizons,
    compare,
    probe_items,
)
from openassay.training.mismatch import RecipeMismatch
from openassay.training.numerics import Numerics

SHORTEST_BURN_IN = 16
"""Updates. After fewer the moments are so far from the published run's that honest releases differ: 1 update made 61 floors,
2 made 4.7, 8 made 1.8, 16 made 1.1 (two seeds, beta2 .95 and .999, on a model of 45,536 parameters)."""


def replay_segment(
    release: ReplayInputs,
    *,
    first: int,
    updates: Sequence[int] = HORIZONS,
    numerics: Numerics = Numerics(),  # noqa: B008 - frozen
    device: str = "cpu",
    probes: bool | Sequence[str] = False,
    say: Say = lambda _line: None,
) -> PrefixReport:
    """Replay from the checkpoint of step `first` and judge it. Horizons are counted from there."""
    if release.recipe.precision == "fp16":  # they hold back the schedule and Adam's count
        release = replace(release, assumed=(*release.assumed, f"how many updates before step {first} overflowed"))
    try:
        return compare(segment_settings(release, first, updates, numerics, device), probes=probes, say=say)
    except RecipeMismatch as mismatch:
        return PrefixReport(problem=str(mismatch))


def burn_in_start(steps: Iterable[int], first: int) -> int | None:
    """The step from which the moments of step `first` are burned in; None where none is early enough."""
    return max((step for step in steps if step <= first - SHORTEST_BURN_IN), default=None)


def segment_settings(
    release: ReplayInputs, first: int, updates: Sequence[int], numerics: Numerics, device: str
) -> list[Setting]:
    """The comparison from step `first`; where the moments must be burned in, a second one from half way too.

    Raises `RecipeMismatch` when the release has nothing to replay from, or to compare with.
    """
    horizons = available_horizons(release, updates, first)
    if first not in release.steps:
        raise RecipeMismatch(f"no checkpoint of step {first} is published")
    if not horizons:
        raise RecipeMismatch(f"no later checkpoint near step {first} is published")
    moments, earlier = release.moments(first), burn_in_start(release.steps, first)
    if moments is None and earlier is None:
        raise RecipeMismatch(
            f"neither the optimizer state of step {first} nor a checkpoint {SHORTEST_BURN_IN} updates or more before it is "
            "published"
        )
    setting = Setting(
        release=release, first=first, horizons=horizons, start=release.weights(first), numerics=numerics, device=device,
        probe_items=probe_items(release, horizons[-1]), moments=moments,
    )  # fmt: skip
    if moments is not None or earlier is None:
        return [setting]
    before = {name: np.asarray(value, np.float32) for name, value in release.weights(earlier).items()}
    half_way = {name: (value + np.asarray(setting.start[name], np.float32)) / 2 for name, value in before.items()}
    burn_ins = (earlier, before), ((earlier + first) // 2, half_way)
    return [replace(setting, burn_in=burn_in) for burn_in in burn_ins]
