"""Do the first published checkpoints follow from step 0 by the published recipe? The prefix replay.

One replay from the published weights, in the published order; replicas of it in other numerics, for the floor; and deliberately
wrong ones, to show what this replay could have seen. One training is in memory at a time, besides the replay's weights at a few
steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from openassay.core.replay import (
    FACTOR,
    ReplayVerdict,
    Statistics,
    Stored,
    before_rounding,
    finite,
    floors,
    judge_replay,
    largest_in_floors,
    loss_rms,
    round_to,
    weight_statistics,
    with_rounding_of_log,
)
from openassay.core.replay_records import Exercise
from openassay.protocols.changes import Change, changes
from openassay.training.language import LanguageRecipe
from openassay.training.mismatch import RecipeMismatch
from openassay.training.numerics import Moments, Numerics, Tokens, Weights

HORIZONS = (16, 64)
"""Steps at which a replay is compared: few, so that the floor is not exceeded by mere number."""
THOROUGH = (16, 64, 256)
PROBE_BATCHES = 8
"""Held-out batches on which losses are paired where the release publishes no losses."""
PROBE_SEQUENCES = 64
CONTROLS = ("learning rate x1.1", "another order")
"""Changes that a replay must see before it may say that the release matches."""

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class ReplayInputs:
    """What was published of a training, as far as a replay needs it."""

    recipe: LanguageRecipe
    tokens: Tokens
    steps: tuple[int, ...]
    """Published checkpoints; 0 among them for a prefix replay."""
    weights: Callable[[int], Weights]
    """Of a published step, by transformers' names."""
    stored: Stored
    """The coarsest precision of the weights' files."""
    losses: NDArray[np.float64] | None = None
    """The published training loss of update 0, 1, ...; not a number where none is published."""
    loss_rounding: float = 0.0
    """Unit of the published losses' last digit."""
    loss_window: int = 1
    """Updates whose mean one published loss is, up to the update that it stands at."""
    moments: Callable[[int], Moments | None] = lambda _step: None
    """Optimizer state of a published step, where there is one."""
    assumed: tuple[str, ...] = ()
    """Values of the recipe that the release does not state."""


@dataclass(frozen=True, kw_only=True)
class Replica:
    """A faithful training in other numerics."""

    name: str
    numerics: Numerics
    jitter: int | None = None
    """Seed of a displacement of the first weights within what their file rounds away."""


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What a training leaves for comparison: its losses, and its weights or probe losses at the horizons."""

    losses: NDArray[np.float64] | None
    """Of the updates from `first` on."""
    weights: Callable[[int], Weights]
    probes: Callable[[int], NDArray[np.float64]] | None
    """Losses of the probe batches at a horizon; None when training losses are there."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How is one replay compared? Everything but the training itself."""

    first: int
    """The step that it starts from."""
    horizons: tuple[int, ...]
    """Absolute steps, increasing."""
    start: Weights
    stored: Stored
    device: str = "cpu"
    moments: Moments | None = None
    """Optimizer state of `first`."""
    burn_in: tuple[int, Weights] | None = None
    """An earlier step and its weights: trained from there to `first` for the moments' sake, then given the weights of `first`."""
    compare_weights: bool = True
    probe_items: NDArray[np.integer[Any]] | None = None
    loss_window: int = 1
    """Training losses are compared as means over so many updates, since the release logged such."""
    logged: NDArray[np.bool_] | None = None
    """Updates from `first` on at which training losses are compared; None for all."""
    probe_recipe: LanguageRecipe | None = None
    """Whose network sees the probe batches, also with the weights of a training by another recipe: that they are used
    otherwise is no difference between two checkpoints."""


@dataclass(frozen=True, kw_only=True)
class PrefixReport:
    """What a prefix replay found."""

    verdict: ReplayVerdict | None
    """None when it could not be made; then `problem` says why."""
    problem: str
    horizons: tuple[int, ...]
    replicas: tuple[str, ...]
    exercise: tuple[Exercise, ...]
    floor: Statistics = field(default_factory=dict)


def available_horizons(release: ReplayInputs, wanted: Iterable[int], first: int = 0) -> tuple[int, ...]:
    """For each wanted number of updates the last published step up to there; where there is none, but losses are published, the
    wanted step itself.
    """
    wanted = tuple(wanted)
    steps = {max((s for s in release.steps if first < s <= first + updates), default=None) for updates in wanted}
    if release.losses is not None and steps <= {None}:
        return tuple(sorted({first + updates for updates in wanted}))
    return tuple(sorted(step for step in steps if step is not None))


def default_replicas(recipe: LanguageRecipe, own: Numerics, stored: Stored) -> tuple[Replica, ...]:
    """Five faithful trainings in other numerics: those of the release's precision and of ours."""
    size = recipe.batch_size
    quarter, half = max(1, size // 4), max(1, size // 2)
    precision = own.precision or recipe.precision
    other_attention: Literal["sdpa", "eager"] = "eager" if own.attention == "sdpa" else "sdpa"
    made = [
        ("rows permuted", replace(own, permuted=1)),
        ("accumulated over four", replace(own, permuted=2, micro_batch=quarter)),
        ("other attention kernel and threads", replace(own, permuted=3, attention=other_attention, threads=own.threads % 2 + 1)),
    ]  # fmt: skip
    if precision != "fp32" or recipe.precision != "fp32":
        made += [
            ("bf16, rows permuted", replace(own, precision="bf16", permuted=4)),
            ("bf16, accumulated over two", replace(own, precision="bf16", permuted=5, micro_batch=half)),
        ]
        if precision != "fp32":
            made.append(("fp32", replace(own, precision="fp32", permuted=6)))
    return tuple(
        Replica(name=name, numerics=replace(numerics, dropout_seed=at + 1), jitter=None if stored == "fp32" else at + 1)
        for at, (name, numerics) in enumerate(made)
    )


def run_beside(
    change: Change, numerics: Numerics, setting: Setting, beside: Sequence[Trace], jitter: int | None = None
) -> list[Statistics]:
    """Train once, and compare with each of the traces. Nothing of the training is kept."""
    found: list[Statistics] = [{} for _ in beside]
    own = _Kept(change, numerics, setting, jitter)

    def visit(step: int, weights: Weights) -> None:
        for statistics, other in zip(found, beside, strict=True):
            if setting.compare_weights:
                distance, ratio = weight_statistics(weights, other.weights(step), setting.start)
                statistics["distance", step], statistics["log_norm_ratio", step] = distance, ratio
            if other.probes is not None:
                statistics["loss_rms", step] = loss_rms(own.probe(), other.probes(step))

    losses = own.train(visit)
    for statistics, other in zip(found, beside, strict=True):
        if other.losses is not None:
            statistics.update(_paired(losses, other.losses, setting))
    return found


Probe = Callable[[], NDArray[np.float64]]
"""Losses of the probe batches under the weights of now."""


def watch(change: Change, numerics: Numerics, setting: Setting, visit: Callable[[int, Weights, Probe], None]) -> None:
    """Train once, and look at the weights of the horizons as their file would hold them."""
    own = _Kept(change, numerics, setting, None)
    own.train(lambda step, weights: visit(step, weights, own.probe))


def keep(change: Change, numerics: Numerics, setting: Setting) -> Trace:
    """Train once, and keep what later trainings are compared with."""
    weights: dict[int, Weights] = {}
    probes: dict[int, NDArray[np.float64]] = {}
    own = _Kept(change, numerics, setting, None)

    def visit(step: int, now: Weights) -> None:
        weights[step] = {name: value.copy() for name, value in now.items()}
        if setting.probe_items is not None:
            probes[step] = own.probe()

    losses = own.train(visit)
    return Trace(
        losses=losses if setting.probe_items is None else None,
        weights=weights.__getitem__,
        probes=None if setting.probe_items is None else probes.__getitem__,
    )


def trace_of(release: ReplayInputs, setting: Setting, numerics: Numerics) -> Trace:
    """What the release left for comparison; `RecipeMismatch` where a checkpoint has other tensors than step 0."""

    def weights(step: int) -> Weights:
        found = release.weights(step)
        for name, first in setting.start.items():
            if name not in found or found[name].shape != first.shape:
                raise RecipeMismatch(
                    f"{name}: the checkpoint of step {step} does not have it in the shape of step {setting.first}"
                )
        return found

    if setting.probe_items is None:
        losses = None if release.losses is None else release.losses[setting.first :]
        return Trace(losses=losses, weights=weights, probes=None)
    probes: dict[int, NDArray[np.float64]] = {}
    own = _Kept(faithful(release), numerics, setting, None)

    def probe(step: int) -> NDArray[np.float64]:
        if step not in probes:
            own.training.put(weights(step))
            probes[step] = own.probe()
        return probes[step]

    for step in setting.horizons:  # now, so that the model can go
        probe(step)
    return Trace(losses=None, weights=weights, probes=probes.__getitem__)


def faithful(release: ReplayInputs) -> Change:
    """The training as the recipe says."""
    return Change(name="the recipe", field="", recipe=release.recipe, tokens=release.tokens)


def prefix_setting(release: ReplayInputs, horizons: tuple[int, ...], device: str = "cpu") -> Setting:
    """The comparison from the published step 0."""
    probe = None
    if release.losses is None:
        size, last = release.recipe.batch_size, horizons[-1]
        probe = release.tokens.items(last * size, min(PROBE_SEQUENCES, PROBE_BATCHES * size))
    published = [step for step in horizons if step in release.steps]
    return Setting(
        first=0, horizons=horizons, start=release.weights(0), stored=release.stored, device=device, probe_items=probe,
        probe_recipe=release.recipe, compare_weights=bool(published), loss_window=release.loss_window,
        logged=logged_of(release, 0),
    )  # fmt: skip


def logged_of(release: ReplayInputs, first: int) -> NDArray[np.bool_] | None:
    """From step `first` on, which updates have a published loss that is of no update before?"""
    if release.losses is None:
        return None
    logged: NDArray[np.bool_] = ~np.isnan(release.losses[first:])
    logged[: release.loss_window - 1] = False
    return logged


def replay_prefix(
    release: ReplayInputs,
    *,
    updates: Sequence[int] = HORIZONS,
    numerics: Numerics = Numerics(),  # noqa: B008 - frozen
    device: str = "cpu",
    probes: bool | Sequence[str] = True,
    say: Say = lambda _line: None,
) -> PrefixReport:
    """Replay the first updates of a release and judge them.

    probes: True for a probe of every field, False for the controls alone, or the names of changes besides those.
    """
    horizons = available_horizons(release, updates)
    if 0 not in release.steps:
        return _none("no step 0 is published: there is nothing to replay from", horizons)
    if not horizons:
        return _none(f"no checkpoint of the first {max(updates)} updates and no losses are published", horizons)
    try:
        return compare(release, prefix_setting(release, horizons, device), numerics, probes=probes, say=say)
    except RecipeMismatch as mismatch:
        return _none(str(mismatch), horizons)


def compare(
    release: ReplayInputs,
    setting: Setting,
    numerics: Numerics,
    *,
    probes: bool | Sequence[str],
    say: Say,
    more: Sequence[Setting] = (),
) -> PrefixReport:
    """The replay, its replicas and its wrong replays, and the verdict. more: settings as good as this one, replicas too."""
    if release.recipe.data.noise_density is not None:
        raise RecipeMismatch("the masks of a span-corrupted training are random and not published: it has no replay")
    replay, values = _replay_and_values(release, setting, numerics, say)
    replicas = default_replicas(release.recipe, numerics, release.stored)
    beside = []
    for at, replica in enumerate(replicas):
        say(f"replica {at + 1} of {len(replicas) + len(more)}: {replica.name}")
        beside += run_beside(faithful(release), replica.numerics, setting, [replay], replica.jitter)
    for at, other in enumerate(more):
        say(f"replica {len(replicas) + at + 1} of {len(replicas) + len(more)}: other start")
        beside += run_beside(faithful(release), numerics, other, [replay])
    floor = with_rounding_of_log(floors(beside), release.loss_rounding)
    wrong = [
        change
        for change in changes(
            release.recipe, release.tokens, updates=setting.horizons[-1] - setting.first, first=setting.first
        )
        if change.name in CONTROLS or probes is True or (probes and change.name in probes)
    ]
    seen: dict[str, Statistics] = {}
    for at, change in enumerate(wrong):
        say(f"probe {at + 1} of {len(wrong)}: {change.name}")
        seen[change.name] = run_beside(change, numerics, setting, [replay])[0]
    assumed = release.assumed
    if fits := _misread(release, setting, replay, values, floor):
        assumed = (*assumed, f"what a logged loss is of ({fits}, the losses fit)")
    verdict = judge_replay(
        values, beside, controls={name: seen[name] for name in CONTROLS if name in seen},
        log_rounding=release.loss_rounding, assumed=assumed,
    )  # fmt: skip
    return PrefixReport(
        verdict=verdict, problem="", horizons=setting.horizons, replicas=tuple(replica.name for replica in replicas),
        exercise=tuple(exercised(change, seen[change.name], floor) for change in wrong), floor=floor,
    )  # fmt: skip


def exercised(change: Change, beside_replay: Statistics, floor: Statistics) -> Exercise:
    """What a replay with one change says of the replay's power."""
    largest, key = largest_in_floors(beside_replay, floor)
    statistic, horizon = key or (None, None)
    return Exercise(
        field=change.field, change=change.name, in_floors=finite(largest), statistic=statistic, horizon=horizon,
        exercised=largest > FACTOR, control=change.name in CONTROLS,
    )  # fmt: skip


def _replay_and_values(
    release: ReplayInputs, setting: Setting, numerics: Numerics, say: Say
) -> tuple[Trace, Statistics]:
    say(f"replay of {setting.horizons[-1] - setting.first} updates from step {setting.first}")
    replay = keep(faithful(release), numerics, setting)
    values: Statistics = {}
    theirs = trace_of(release, setting, numerics)
    for step in setting.horizons:
        if setting.compare_weights:
            distance, ratio = weight_statistics(
                rounded(replay.weights(step), setting.stored), theirs.weights(step), setting.start
            )
            values["distance", step], values["log_norm_ratio", step] = distance, ratio
        if theirs.probes is not None and replay.probes is not None:
            values["loss_rms", step] = loss_rms(replay.probes(step), theirs.probes(step))
    if theirs.losses is not None and replay.losses is not None:
        values.update(_paired(replay.losses, theirs.losses, setting))
    return replay, values


def rounded(weights: Weights, stored: Stored) -> Weights:
    """Weights as their file would hold them."""
    return weights if stored == "fp32" else {name: round_to(value, stored) for name, value in weights.items()}


def _paired(ours: NDArray[np.float64], theirs: NDArray[np.float64], setting: Setting) -> Statistics:
    """The paired losses up to each horizon, where both have one."""
    found: Statistics = {}
    for step in setting.horizons:
        count = min(step - setting.first, len(ours), len(theirs))
        known = ~np.isnan(theirs[:count])
        if setting.logged is not None:  # replicas are compared where the release can be
            count = min(count, len(setting.logged))
            known = known[:count] & setting.logged[:count]
        if known.any():
            found["loss_rms", step] = loss_rms(ours[:count][known], theirs[:count][known])
    return found


def _misread(release: ReplayInputs, setting: Setting, replay: Trace, values: Statistics, floor: Statistics) -> str:
    """As what would the published losses fit, if not as those of the updates that they are said to be of? Empty for nothing.

    Then the target may have misread the log, which is no difference of the release's, unless its weights differ too.
    """
    if release.losses is None or replay.losses is None:
        return ""
    own = {key: value for key, value in values.items() if key[0] == "loss_rms"}
    others = {key: value for key, value in values.items() if key not in own}  # weights were not misread
    if largest_in_floors(own, floor)[0] <= FACTOR or largest_in_floors(others, floor)[0] > FACTOR:
        return ""
    later, earlier = np.roll(release.losses, 1), np.roll(release.losses, -1)
    later[0] = earlier[-1] = np.nan
    tried = [("one update later", later, replay.losses, 1), ("one update earlier", earlier, replay.losses, 1)]
    apart = np.diff(np.flatnonzero(~np.isnan(release.losses)))
    if setting.loss_window == 1 and len(apart) and apart.min() > 1:
        window = int(apart.min())
        tried.append((f"as means of {window}", release.losses, averaged(replay.losses, window), window))
    for what, theirs, ours, window in tried:
        said = replace(release, losses=theirs, loss_window=max(window, release.loss_window))
        found = _paired(ours, theirs[setting.first :], replace(setting, logged=logged_of(said, setting.first)))
        if found and largest_in_floors(found, floor)[0] <= FACTOR:
            return what
    return ""


def averaged(losses: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """The mean of each loss and those before it, `window` together; of fewer at the beginning."""
    if window == 1:
        return losses
    return np.array([losses[max(0, at + 1 - window) : at + 1].mean() for at in range(len(losses))])


class _Kept:
    """One training from the setting's start, whose weights are seen as their file would hold them."""

    def __init__(self, change: Change, numerics: Numerics, setting: Setting, jitter: int | None) -> None:
        from openassay.training.devices import train_on  # noqa: PLC0415 - torch takes seconds to import

        start = setting.start
        if jitter is not None:
            rng = np.random.default_rng(jitter)
            start = {name: before_rounding(value, setting.stored, rng) for name, value in start.items()}
        self.change, self.setting, self.numerics = change, setting, numerics
        begin, weights = setting.burn_in or (setting.first, start)
        self.training = train_on(
            change.recipe, weights, step=begin, moments=setting.moments, numerics=numerics, device=setting.device,
            loss_factor=change.loss_factor, left_out=change.left_out,
        )  # fmt: skip
        if setting.burn_in:
            self.training.advance(change.tokens, setting.first)
            self.training.put(start)

    def train(self, visit: Callable[[int, Weights], None]) -> NDArray[np.float64]:
        """Train to the last horizon; gives the losses of the updates."""
        setting = self.setting
        self.training.advance(
            self.change.tokens, setting.horizons[-1], keep=setting.horizons,
            visit=lambda step, weights: visit(step, rounded(weights, setting.stored)),
        )  # fmt: skip
        log = self.training.log()
        return averaged(log.losses[setting.first - log.first :], setting.loss_window)

    def probe(self) -> NDArray[np.float64]:
        """Losses of the probe batches under the present weights."""
        from openassay.training.lm import LanguageTraining  # noqa: PLC0415 - torch takes seconds to import

        assert self.setting.probe_items is not None  # noqa: S101 - asked for only where there are some
        training, own, stated = self.training, self.change.recipe, self.setting.probe_recipe
        if stated is not None and (stated.architecture, stated.data) != (own.architecture, own.data):
            training = LanguageTraining(stated, training.weights(), numerics=self.numerics, device=self.setting.device)
        losses = training.sequence_losses(self.setting.probe_items)
        return np.array([part.mean() for part in np.array_split(losses, min(PROBE_BATCHES, len(losses)))])


def _none(problem: str, horizons: tuple[int, ...]) -> PrefixReport:
    return PrefixReport(verdict=None, problem=problem, horizons=horizons, replicas=(), exercise=())
