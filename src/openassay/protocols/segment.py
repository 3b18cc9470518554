"""Does a later checkpoint follow from an earlier one by the published recipe? The segment replay.

With the published optimizer state everything is compared. Without it, the moments are burned in from an earlier checkpoint, the
weights then set to the published ones, and only the losses are compared: rebuilt moments move the weights too freely. What they
do to the losses shows in a second burn-in of half the length, which counts as a replica.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from openassay.protocols.prefix import (
    HORIZONS,
    PROBE_BATCHES,
    PROBE_SEQUENCES,
    PrefixReport,
    ReplayInputs,
    Say,
    Setting,
    available_horizons,
    compare,
    logged_of,
)
from openassay.training.mismatch import RecipeMismatch
from openassay.training.numerics import Numerics, Weights

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
    horizons = available_horizons(release, updates, first)
    if release.recipe.precision == "fp16":  # they hold back the schedule and Adam's count
        release = replace(release, assumed=(*release.assumed, f"how many updates before step {first} overflowed"))
    try:
        setting, *more = segment_settings(release, first, horizons, device)
        return compare(release, setting, numerics, probes=probes, say=say, more=more)
    except RecipeMismatch as mismatch:
        return PrefixReport(verdict=None, problem=str(mismatch), horizons=horizons, replicas=(), exercise=())


def burn_in_start(steps: Iterable[int], first: int) -> int | None:
    """The step from which the moments of step `first` are burned in; None where none is early enough."""
    return max((step for step in steps if step <= first - SHORTEST_BURN_IN), default=None)


def segment_settings(
    release: ReplayInputs, first: int, horizons: tuple[int, ...], device: str = "cpu"
) -> list[Setting]:
    """The comparison from step `first`; where the moments must be burned in, a second one from half way too.

    Raises `RecipeMismatch` when the release has nothing to replay from, or to compare with.
    """
    if first not in release.steps:
        raise RecipeMismatch(f"no checkpoint of step {first} is published")
    if not horizons:
        raise RecipeMismatch(f"no later checkpoint near step {first} is published")
    moments = release.moments(first)
    earlier = burn_in_start(release.steps, first)
    if moments is None and earlier is None:
        raise RecipeMismatch(
            f"neither the optimizer state of step {first} nor a checkpoint {SHORTEST_BURN_IN} updates or more before it is "
            "published"
        )
    probe = None
    if release.losses is None:
        size = release.recipe.batch_size
        probe = release.tokens.items(horizons[-1] * size, min(PROBE_SEQUENCES, PROBE_BATCHES * size))
    start = release.weights(first)
    common: dict[str, Any] = {
        "first": first, "horizons": horizons, "start": start, "stored": release.stored, "device": device,
        "probe_items": probe, "probe_recipe": release.recipe, "loss_window": release.loss_window,
        "logged": logged_of(release, first),
    }  # fmt: skip
    if moments is not None or earlier is None:
        published = any(step in release.steps for step in horizons)
        return [Setting(**common, moments=moments, compare_weights=published)]
    begins = (earlier, release.weights(earlier)), ((earlier + first) // 2, _between(release, earlier, first))
    return [Setting(**common, burn_in=begin, compare_weights=False) for begin in begins]


def _between(release: ReplayInputs, earlier: int, later: int) -> Weights:
    """Half way between two checkpoints."""
    one, other = release.weights(earlier), release.weights(later)
    return {name: (np.asarray(one[name], np.float32) + np.asarray(other[name], np.float32)) / 2 for name in one}
