"""The prefix replay: whether the first published checkpoints follow from step 0 by the published recipe.

One replay from the published weights, in the published order; replicas of it in other numerics, for the floor; and deliberately
wrong ones, to show what this replay could have seen. One training is in memory at a time, besides the replay's weights at a few
steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

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
from openassay.training.numerics import Items, Moments, Numerics, Tokens, Weights

HORIZONS = (16, 64)
"""Steps at which a replay is compared: few, so that the floor is not exceeded by mere number."""
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
class Setting:
    """How one training is made and compared with a release: everything but the change of the recipe that it tries."""

    release: ReplayInputs
    first: int
    """The step that it starts from."""
    horizons: tuple[int, ...]
    """Absolute steps, increasing."""
    start: Weights
    """Of step `first`."""
    numerics: Numerics
    device: str
    probe_items: Items | None
    """Held-out sequences, where the release publishes no losses: losses on them are paired at each horizon."""
    moments: Moments | None = None
    """Optimizer state of `first`."""
    burn_in: tuple[int, Weights] | None = None
    """An earlier step and its weights: trained from there to `first` for the moments' sake, then given the weights of `first`."""
    jitter: int | None = None
    """Seed of a displacement of the first weights within what their file rounds away."""

    @property
    def compare_weights(self) -> bool:
        """Whether checkpoints are compared: some are published, and the moments are. Rebuilt ones move the weights too freely."""
        return self.burn_in is None and any(step in self.release.steps for step in self.horizons)


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What a training leaves for comparison: its losses, and its weights and probe losses at the horizons."""

    losses: NDArray[np.float64] | None
    """Of the updates from `first` on; None where probe losses are compared."""
    weights: Callable[[int], Weights]
    probes: dict[int, NDArray[np.float64]]
    """Losses of the probe batches at each horizon; empty when training losses are there."""


@dataclass(frozen=True, kw_only=True)
class PrefixReport:
    """What a replay found."""

    verdict: ReplayVerdict | None = None
    """None when it could not be made; then `problem` says why."""
    problem: str = ""
    horizons: tuple[int, ...] = ()
    replicas: tuple[str, ...] = ()
    exercise: tuple[Exercise, ...] = ()
    floor: Statistics = field(default_factory=dict)


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
    try:
        return compare([prefix_setting(release, updates, numerics, device)], probes=probes, say=say)
    except RecipeMismatch as mismatch:
        return PrefixReport(problem=str(mismatch))


def available_horizons(release: ReplayInputs, wanted: Iterable[int], first: int = 0) -> tuple[int, ...]:
    """For each wanted number of updates from step `first` the last published step up to there.

    The wanted steps themselves where there is none, but losses are published.
    """
    until = {first + updates for updates in wanted}
    found = {max(steps) for end in until if (steps := [step for step in release.steps if first < step <= end])}
    return tuple(sorted(found or (until if release.losses is not None else ())))


def prefix_setting(release: ReplayInputs, updates: Sequence[int], numerics: Numerics, device: str) -> Setting:
    """The comparison from the published step 0. Raises `RecipeMismatch` when there is nothing to replay or compare with."""
    horizons = available_horizons(release, updates)
    if 0 not in release.steps:
        raise RecipeMismatch("no step 0 is published: there is nothing to replay from")
    if not horizons:
        raise RecipeMismatch(f"no checkpoint of the first {max(updates)} updates and no losses are published")
    return Setting(
        release=release, first=0, horizons=horizons, start=release.weights(0), numerics=numerics, device=device,
        probe_items=probe_items(release, horizons[-1]),
    )  # fmt: skip


def probe_items(release: ReplayInputs, last: int) -> Items | None:
    """Sequences beyond update `last` on which losses are paired; None where the release publishes losses."""
    if release.losses is not None:
        return None
    size = release.recipe.batch_size
    return release.tokens.items(last * size, min(PROBE_SEQUENCES, PROBE_BATCHES * size))


def faithful(release: ReplayInputs) -> Change:
    """The training as the recipe says."""
    return Change(name="the recipe", field="", recipe=release.recipe, tokens=release.tokens)


def replicas_of(setting: Setting) -> dict[str, Setting]:
    """Faithful trainings in other numerics by name, those of the release's precision and of ours: three to six."""
    recipe, own = setting.release.recipe, setting.numerics
    quarter, half = max(1, recipe.batch_size // 4), max(1, recipe.batch_size // 2)
    precision = own.precision or recipe.precision
    other_attention: Literal["sdpa", "eager"] = "eager" if own.attention == "sdpa" else "sdpa"
    made = {
        "rows permuted": replace(own, permuted=1),
        "accumulated over four": replace(own, permuted=2, micro_batch=quarter),
        "other attention kernel and threads": replace(own, permuted=3, attention=other_attention, threads=own.threads % 2 + 1),
    }  # fmt: skip
    if precision != "fp32" or recipe.precision != "fp32":
        made["bf16, rows permuted"] = replace(own, precision="bf16", permuted=4)
        made["bf16, accumulated over two"] = replace(own, precision="bf16", permuted=5, micro_batch=half)
    if precision != "fp32":
        made["fp32"] = replace(own, precision="fp32", permuted=6)
    exact = setting.release.stored == "fp32"
    return {
        name: replace(setting, numerics=replace(numerics, dropout_seed=seed), jitter=None if exact else seed)
        for seed, (name, numerics) in enumerate(made.items(), start=1)
    }


def compare(settings: Sequence[Setting], *, probes: bool | Sequence[str], say: Say) -> PrefixReport:
    """Judge the replay in the first setting by its replicas and its wrong replays. The other settings count as replicas too."""
    setting, release = settings[0], settings[0].release
    if release.recipe.data.noise_density is not None:
        raise RecipeMismatch(
            "the masks of a span-corrupted training are random and not published, so it cannot be replayed"
        )
    updates = setting.horizons[-1] - setting.first
    say(f"replay of {updates} updates from step {setting.first}")
    replay = keep(faithful(release), setting)
    theirs = trace_of(release, setting)
    values: Statistics = {}
    for step in setting.horizons:
        values |= statistics_at(step, replay.weights(step), replay.probes.get(step), theirs, setting)
    values |= _paired(replay.losses, theirs.losses, setting)
    beside = run_replicas(replay, settings, say)
    floor = with_rounding_of_log(floors(beside), release.loss_rounding)
    wrong = [
        change
        for change in changes(release.recipe, release.tokens, updates=updates, first=setting.first)
        if change.name in CONTROLS or probes is True or (probes and change.name in probes)
    ]
    seen: dict[str, Statistics] = {}
    for at, change in enumerate(wrong, start=1):
        say(f"probe {at} of {len(wrong)}: {change.name}")
        [seen[change.name]] = run_beside(change, setting, [replay])
    assumed = release.assumed
    if fits := _misread(setting, replay, values, floor):
        assumed = (*assumed, f"what a logged loss is of ({fits}, the losses fit)")
    verdict = judge_replay(
        values, beside, controls={name: seen[name] for name in CONTROLS if name in seen},
        log_rounding=release.loss_rounding, assumed=assumed,
    )  # fmt: skip
    return PrefixReport(
        verdict=verdict, horizons=setting.horizons, replicas=tuple(replicas_of(setting)), floor=floor,
        exercise=tuple(exercised(change, seen[change.name], floor) for change in wrong),
    )  # fmt: skip


def exercised(change: Change, beside_replay: Statistics, floor: Statistics) -> Exercise:
    """What a replay with one change says of the replay's power."""
    largest, key = largest_in_floors(beside_replay, floor)
    statistic, horizon = key or (None, None)
    return Exercise(
        field=change.field, change=change.name, in_floors=finite(largest), statistic=statistic, horizon=horizon,
        exercised=largest > FACTOR, control=change.name in CONTROLS,
    )  # fmt: skip


def run_replicas(replay: Trace, settings: Sequence[Setting], say: Say = lambda _line: None) -> list[Statistics]:
    """Train the replicas of the first setting, and once in each other one; each is compared with the replay."""
    made = [*replicas_of(settings[0]).items(), *(("other start", other) for other in settings[1:])]
    found = []
    for at, (name, setting) in enumerate(made, start=1):
        say(f"replica {at} of {len(made)}: {name}")
        found += run_beside(faithful(setting.release), setting, [replay])
    return found


def run_beside(change: Change, setting: Setting, beside: Sequence[Trace]) -> list[Statistics]:
    """Train once, and compare with each of the traces. Nothing of the training is kept."""
    found: list[Statistics] = [{} for _ in beside]
    run = Run(change, setting)
    for step, weights, probed in run.horizons():
        for statistics, other in zip(found, beside, strict=True):
            statistics.update(statistics_at(step, weights, probed, other, setting))
    losses = run.losses
    for statistics, other in zip(found, beside, strict=True):
        statistics.update(_paired(losses, other.losses, setting))
    return found


def keep(change: Change, setting: Setting) -> Trace:
    """Train once, and keep what later trainings are compared with."""
    weights: dict[int, Weights] = {}
    probes: dict[int, NDArray[np.float64]] = {}
    run = Run(change, setting)
    for step, now, probed in run.horizons():
        weights[step] = {name: value.copy() for name, value in now.items()}
        if probed is not None:
            probes[step] = probed
    return Trace(losses=None if probes else run.losses, weights=weights.__getitem__, probes=probes)


def trace_of(release: ReplayInputs, setting: Setting) -> Trace:
    """What the release left for comparison; `RecipeMismatch` where a checkpoint has other tensors than the first one."""

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
        return Trace(losses=losses, weights=weights, probes={})
    run = Run(faithful(release), replace(setting, burn_in=None, moments=None))
    probes = {}
    for step in setting.horizons:
        run.training.put(weights(step))
        probes[step] = run.probe(setting.probe_items)
    return Trace(losses=None, weights=weights, probes=probes)


def statistics_at(
    step: int, weights: Weights, probed: NDArray[np.float64] | None, theirs: Trace, setting: Setting
) -> Statistics:
    """A training's weights and probe losses beside those of a trace at a horizon."""
    found: Statistics = {}
    if setting.compare_weights:
        distance, ratio = weight_statistics(weights, theirs.weights(step), setting.start)
        found["distance", step], found["log_norm_ratio", step] = distance, ratio
    if probed is not None and theirs.probes:
        found["loss_rms", step] = loss_rms(probed, theirs.probes[step])
    return found


def _paired(ours: NDArray[np.float64] | None, theirs: NDArray[np.float64] | None, setting: Setting) -> Statistics:
    """`loss_rms` up to each horizon, over the updates with a published loss that is of no update before the first."""
    release, found = setting.release, Statistics()
    if ours is None or theirs is None or release.losses is None:
        return found
    logged = ~np.isnan(release.losses[setting.first :])  # replicas too are compared where the release can be
    logged[: release.loss_window - 1] = False
    for step in setting.horizons:
        count = min(step - setting.first, len(ours), len(theirs), len(logged))
        known = ~np.isnan(theirs[:count]) & logged[:count]
        if known.any():
            found["loss_rms", step] = loss_rms(ours[:count][known], theirs[:count][known])
    return found


def _misread(setting: Setting, replay: Trace, values: Statistics, floor: Statistics) -> str:
    """How the log may have been misread, so that its losses fit after all; empty where they do not.

    Then the target may have misread the log, which is no difference of the release's, unless its weights differ too.
    """
    release = setting.release
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
    if release.loss_window == 1 and len(apart) and apart.min() > 1:
        window = int(apart.min())
        tried.append((f"as means of {window}", release.losses, averaged(replay.losses, window), window))
    for what, theirs, ours, window in tried:
        said = replace(release, losses=theirs, loss_window=max(window, release.loss_window))
        found = _paired(ours, theirs[setting.first :], replace(setting, release=said))
        if found and largest_in_floors(found, floor)[0] <= FACTOR:
            return what
    return ""


def averaged(losses: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """The mean of each loss and those before it, `window` together; of fewer at the beginning."""
    if window == 1:
        return losses
    return np.array([losses[max(0, at + 1 - window) : at + 1].mean() for at in range(len(losses))])


class Run:
    """One training from the setting's start, whose weights are seen as their file would hold them."""

    def __init__(self, change: Change, setting: Setting) -> None:
        from openassay.training.devices import train_on  # noqa: PLC0415 - torch takes seconds to import

        start = setting.start
        if setting.jitter is not None:
            rng = np.random.default_rng(setting.jitter)
            start = {name: before_rounding(value, setting.release.stored, rng) for name, value in start.items()}
        self.change, self.setting = change, setting
        begin, weights = setting.burn_in or (setting.first, start)
        self.training = train_on(
            change.recipe, weights, step=begin, moments=setting.moments, numerics=setting.numerics, device=setting.device,
            loss_factor=change.loss_factor, left_out=change.left_out,
        )  # fmt: skip
        if setting.burn_in:
            self.training.advance(change.tokens, setting.first)
            self.training.put(start)

    def horizons(self) -> Iterator[tuple[int, Weights, NDArray[np.float64] | None]]:
        """Train to each horizon; yields its step, its weights and the losses of the probe batches, where there are some."""
        items, stored = self.setting.probe_items, self.setting.release.stored
        for step in self.setting.horizons:
            self.training.advance(self.change.tokens, step)
            weights: Weights = self.training.weights()
            if stored != "fp32":
                weights = {name: round_to(value, stored) for name, value in weights.items()}
            yield step, weights, None if items is None else self.probe(items)

    @property
    def losses(self) -> NDArray[np.float64]:
        """The losses of the updates from the setting's first on, as the release logs them."""
        log = self.training.log()
        return averaged(log.losses[self.setting.first - log.first :], self.setting.release.loss_window)

    def probe(self, items: Items) -> NDArray[np.float64]:
        """Mean losses of the probe batches under the present weights.

        The network is always the one that the recipe states, also for the weights of a training by another: that they are used
        otherwise is no difference between two checkpoints.
        """
        from openassay.training.lm import LanguageTraining  # noqa: PLC0415 - torch takes seconds to import

        training, own, stated = self.training, self.change.recipe, self.setting.release.recipe
        if (stated.architecture, stated.data) != (own.architecture, own.data):
            numerics, device = self.setting.numerics, self.setting.device
            training = LanguageTraining(stated, training.weights(), numerics=numerics, device=device)
        losses = training.sequence_losses(items)
        return np.array([part.mean() for part in np.array_split(losses, min(PROBE_BATCHES, len(losses)))])
