"""Does a later checkpoint follow from an earlier one by the published recipe? The segment replay.

With the published optimizer state everything is compared. Without it, the moments are burned in from an earlier checkpoint, the
weights then set to the published ones, and only the losses are compared: rebuilt moments move the weights too freely. What they
do to the losses shows in a second burn-in of half the length, which counts as a replica.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from openassay.protocols.prefix import (
    HORIZONS,
    PROBE_BATCHES,
    PROBE_SEQUENCES,
    PrefixReport,
    Release,
    Say,
    Setting,
    available_horizons,
    compare,
)
from openassay.training.mismatch import RecipeMismatch
from openassay.training.numerics import Numerics, Weights


def replay_segment(
    release: Release,
    *,
    first: int,
    updates: Sequence[int] = HORIZONS,
    numerics: Numerics = Numerics(),  # noqa: B008 - frozen
    device: str = "cpu",
    probes: bool | Sequence[str] = False,
    say: Say = lambda _line: None,
) -> PrefixReport:
    """Replay from the checkpoint of step `first` and judge it."""
    horizons = available_horizons(release, updates, first)
    earlier = max((step for step in release.steps if step < first), default=None)
    moments = release.moments(first)
    problem = ""
    if first not in release.steps:
        problem = f"no checkpoint of step {first} is published"
    elif not horizons:
        problem = f"no checkpoint within {max(updates)} updates after step {first} is published"
    elif moments is None and earlier is None:
        problem = f"neither the optimizer state of step {first} nor an earlier checkpoint is published"
    if problem:
        return PrefixReport(verdict=None, problem=problem, horizons=horizons, replicas=(), exercise=())
    probe = None
    if release.losses is None:
        size = release.recipe.batch_size
        probe = release.tokens.items(horizons[-1] * size, min(PROBE_SEQUENCES, PROBE_BATCHES * size))
    start = release.weights(first)
    more: list[Setting] = []
    if moments is not None or earlier is None:
        setting = Setting(
            first=first, horizons=horizons, start=start, stored=release.stored, device=device, moments=moments,
            probe_items=probe, probe_recipe=release.recipe, compare_weights=any(step in release.steps for step in horizons),
        )  # fmt: skip
    else:
        begins = (earlier, release.weights(earlier)), ((earlier + first) // 2, _between(release, earlier, first))
        setting, *more = (
            Setting(
                first=first, horizons=horizons, start=start, stored=release.stored, device=device, burn_in=begin,
                probe_items=probe, probe_recipe=release.recipe, compare_weights=False,
            )
            for begin in begins
        )  # fmt: skip
    try:
        return compare(release, setting, numerics, probes=probes, say=say, more=more)
    except RecipeMismatch as mismatch:
        return PrefixReport(verdict=None, problem=str(mismatch), horizons=horizons, replicas=(), exercise=())


def _between(release: Release, earlier: int, later: int) -> Weights:
    """Half way between two checkpoints."""
    one, other = release.weights(earlier), release.weights(later)
    return {name: (np.asarray(one[name], np.float32) + np.asarray(other[name], np.float32)) / 2 for name in one}
