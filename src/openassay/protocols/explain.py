"""Reasons why a replay does not match: alternatives are tried, and ranked by how much of the difference they remove.

An alternative that brings the replay within the floor explains the release as well as this comparison can tell; those that do so
together cannot be told apart here, and are named as a group. What none removes is the remainder, and it is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from openassay.core.replay import (
    FACTOR,
    LIMITS,
    Statistics,
    floors,
    has_evidence,
    in_floors,
    largest_in_floors,
    with_rounding_of_log,
)
from openassay.protocols.changes import Change, changes
from openassay.protocols.prefix import (
    ReplayInputs,
    Run,
    Say,
    Setting,
    Trace,
    faithful,
    keep,
    prefix_setting,
    run_beside,
    run_replicas,
    statistics_at,
    trace_of,
)
from openassay.protocols.segment import segment_settings
from openassay.published.tokens import BadTokens
from openassay.training.mismatch import RecipeMismatch
from openassay.training.numerics import Numerics

ALONE = 2.0
"""An alternative further from the release than the best one by this factor is not as good."""


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One alternative, and how far it leaves the replay from the release."""

    name: str
    field: str
    in_floors: float
    """The largest statistic, in floors; at most 3 and it explains the release."""
    removed: float
    """Share of the difference that it removes, on a logarithmic scale from the plain replay down to 1 floor; below 0 it adds."""

    @property
    def explains(self) -> bool:
        """Whether the replay with it is within the floor."""
        return self.in_floors <= FACTOR


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What the alternatives say of a replay that does not match."""

    plain_in_floors: float
    """Of the replay by the recipe."""
    ranked: tuple[Tried, ...]
    """Best first."""
    group: tuple[str, ...]
    """The best, and all that cannot be told from it here."""
    not_tried: tuple[str, ...]

    @property
    def remainder(self) -> str:
        """What is left unexplained, in a sentence."""
        if self.plain_in_floors <= FACTOR:
            return "there is nothing to explain: the replay is within the floor"
        if not self.ranked:
            return "no alternative could be tried"
        best = self.ranked[0]
        if best.explains:
            others = f"; these cannot be told apart here: {', '.join(self.group)}" if len(self.group) > 1 else ""
            return f"{best.name} explains the release within the floor ({best.in_floors:.2g} floors){others}"
        if best.removed <= 0:
            return f"none of {len(self.ranked)} alternatives brings the replay nearer to the release"
        return (
            f"none of {len(self.ranked)} alternatives explains the release; {best.name} comes nearest, "
            f"with {best.in_floors:.3g} floors left of {self.plain_in_floors:.3g}"
        )


def explain(
    release: ReplayInputs,
    *,
    updates: Sequence[int] = (16, 64),
    first: int | None = None,
    alternatives: Sequence[Change] = (),
    standard: Sequence[str] | None = None,
    not_tried: Sequence[str] = (),
    numerics: Numerics = Numerics(),  # noqa: B008 - frozen
    device: str = "cpu",
    say: Say = lambda _line: None,
) -> Explanation:
    """Try what else the training may have been.

    first: the step that a segment starts from; None for a prefix. alternatives: those that the release itself suggests, tried
    before the standard ones. standard: names of the standard ones to try; None for all. not_tried: what the caller could not
    make ready, and why.

    Raises `RecipeMismatch` where the release cannot be replayed at all.
    """
    if first is None:
        settings = [prefix_setting(release, updates, numerics, device)]
    else:
        settings = segment_settings(release, first, updates, numerics, device)
    setting, recipe = settings[0], faithful(release)
    theirs = trace_of(release, setting)
    floor = with_rounding_of_log(floors(run_replicas(keep(recipe, setting), settings)), release.loss_rounding)
    [plain] = run_beside(recipe, setting, [theirs])
    usual = changes(release.recipe, release.tokens, updates=setting.horizons[-1] - setting.first, first=setting.first)
    listed = (*alternatives, *(change for change in usual if standard is None or change.name in standard))
    tried: list[tuple[str, str, Statistics]] = []
    left_out = list(not_tried)
    for at, change in enumerate(listed, start=1):
        say(f"alternative {at} of {len(listed)}: {change.name}")
        try:
            tried.append((change.name, change.field, run_beside(change, setting, [theirs])[0]))
        except (RecipeMismatch, BadTokens) as mismatch:
            left_out.append(f"{change.name}: {mismatch}")
    try:
        tried += mislabelled(recipe, setting, [theirs])[0]
    except RecipeMismatch as mismatch:
        left_out.append(f"checkpoints of other steps: {mismatch}")
    return rank(plain, tried, floor, tuple(left_out))


RELABELLED: dict[str, Callable[[int], int]] = {
    "checkpoints are of twice the step": lambda step: 2 * step,
    "checkpoints are of half the step": lambda step: step // 2,
    "checkpoints are of one step later": lambda step: step + 1,
    "checkpoints are of one step earlier": lambda step: step - 1,
}


def mislabelled(recipe: Change, setting: Setting, beside: Sequence[Trace]) -> list[list[tuple[str, str, Statistics]]]:
    """The checkpoints taken as those of other steps: name, field and statistics of each way; one list for each trace.

    One replay is looked at there: its weights, and their losses on the probe batches.
    """
    if not setting.compare_weights:
        return [[] for _ in beside]
    # twice the step of a segment is far away
    others = {name: of for name, of in RELABELLED.items() if not setting.first or " one step " in name}
    found: list[dict[str, Statistics]] = [{name: {} for name in others} for _ in beside]
    wanted = [(name, step, other(step)) for name, other in others.items() for step in setting.horizons]
    steps = tuple(sorted({at for _name, _step, at in wanted if at > setting.first}))
    for real, now, probed in Run(recipe, replace(setting, horizons=steps)).horizons():
        for name, step, at in wanted:
            for statistics, theirs in zip(found, beside, strict=True):
                if at == real:
                    statistics[name] |= statistics_at(step, now, probed, theirs, setting)
    return [[(name, "checkpoints", s) for name, s in statistics.items()] for statistics in found]


def rank(
    plain: Statistics, tried: Sequence[tuple[str, str, Statistics]], floor: Statistics, not_tried: tuple[str, ...] = ()
) -> Explanation:
    """Rank alternatives by what is left between the replay with each and the release."""
    whole = largest_in_floors(plain, floor)[0]
    found: list[tuple[Tried, float]] = []
    for name, field, statistics in tried:
        # what an alternative cannot speak to (losses, for mislabelled weights) it does not explain
        unsaid = {key: value for key, value in plain.items() if key not in statistics}
        left = max(largest_in_floors(of, floor)[0] for of in (statistics, unsaid))
        one = Tried(name=name, field=field, in_floors=left, removed=_removed(left, whole))
        found.append((one, _total(statistics, plain, floor)))
    ranked = tuple(one for one, _ in sorted(found, key=lambda of: (of[0].in_floors, of[1])))
    best = ranked[0].in_floors if ranked else math.inf
    bound = FACTOR if best <= FACTOR else best * ALONE
    group = tuple(one.name for one in ranked if one.in_floors <= bound and one.in_floors < whole)
    return Explanation(plain_in_floors=whole, ranked=ranked, group=group, not_tried=not_tried)


def _removed(left: float, whole: float) -> float:
    if not math.isfinite(whole):
        return 1.0 if math.isfinite(left) else 0.0
    return 1 - math.log(max(left, 1.0)) / math.log(max(whole, math.e))


def _total(statistics: Statistics, plain: Statistics, floor: Statistics) -> float:
    """The sum of all statistics in floors: breaks ties between alternatives."""
    return sum(
        in_floors({**plain, **statistics}[key], floor[key], LIMITS[key[0]])
        for key in plain
        if key in floor and has_evidence(key, floor)
    )
