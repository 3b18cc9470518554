"""The replay driver: published updates of a language model, again, from its step 0 or a later checkpoint, in its order.

Where initial weights, data order and early checkpoints are published, nothing is left to chance but the rounding of the
arithmetic, and the floor of that is measured on this machine (`protocols.prefix`). One replay says more than many trainings from
other seeds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import Field

from openassay.core.replay import FACTOR
from openassay.core.types import (
    LARGEST,
    CheckpointLook,
    CheckpointOddity,
    CheckpointsRecord,
    Exercise,
    Measurement,
    ReplayRecord,
    ReplayStatistic,
    RerunsRecord,
    RerunStatus,
)
from openassay.faults import BadInput
from openassay.layout import Layout
from openassay.protocols.explain import Explanation, explain
from openassay.protocols.forensics import Forensics, inspect_checkpoints
from openassay.protocols.prefix import (
    CONTROLS,
    PROBE_BATCHES,
    PROBE_SEQUENCES,
    PrefixReport,
    Release,
    Say,
    replay_prefix,
)
from openassay.protocols.segment import SHORTEST_BURN_IN, burn_in_start, replay_segment
from openassay.recipes.alternatives import Alternative, declared_changes
from openassay.recipes.job import Arm, Execution, Job
from openassay.recipes.losses import LossLog
from openassay.recipes.published import Checkpoint, OptimizerState, PublishedTraining, device_for, stored_as, weights_of
from openassay.records import read_record
from openassay.training.language import LanguageRecipe
from openassay.training.mismatch import RecipeMismatch
from openassay.training.numerics import Moments, Numerics
from openassay.training.tokens import BadTokens

METRIC = "replay_in_floors"
"""The largest statistic of a replay in units of its floor: beyond 3 it is not noise."""
MARGIN = FACTOR

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ReplayRecipe(PublishedTraining):
    """Replay some updates and compare with the published checkpoints and losses."""

    driver: Literal["replay"]
    checkpoints: Annotated[tuple[Checkpoint, ...], Field(min_length=1)]
    """That which the replay starts from, and those that are compared with."""
    updates: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (16, 64)
    """Horizons, from where the replay starts: at each, the last published step up to there is compared."""
    exercise: bool = True
    """Probe every field of the recipe: what would this replay have noticed? About forty replays more."""
    metric: str = METRIC
    alternatives: tuple[Alternative, ...] = ()
    """What else the training may have been, by what the release publishes: tried by `openassay explain` before the usual ones."""
    arms: dict[str, Arm] = field(default_factory=lambda: {"faithful": Arm()})
    max_runs: int | None = None
    timeout_s: Annotated[float, Field(gt=0)] = 86400.0
    """Looked at before each replica and probe: the training that is under way is finished."""
    protocol: Literal["prefix", "segment"] = "prefix"
    """`prefix`: from the published step 0; `segment`: from the checkpoint of step `first`."""
    first: Annotated[int, Field(ge=0)] | None = None
    """Where a segment starts; horizons are counted from there. With `optimizer` of its checkpoint everything is compared, else
    the moments are burned in from the checkpoint before, and losses alone are compared."""
    losses: LossLog | None = None
    """The published training losses; without them losses of held-out batches are compared."""
    forensics: bool = True
    """Look at all the checkpoints by themselves, too."""

    def metrics(self) -> set[str]:
        """The metrics that a replay measures."""
        return {self.metric}

    def placeholders(self) -> set[str]:
        """A replay runs none of the release's code."""
        return set()

    def execute(self, job: Job) -> Execution:
        """One replay with its replicas and probes, in this process."""
        started, said, deadline = time.process_time(), [""], time.monotonic() + job.timeout_s
        device = device_for(job.device)
        status, reason, checkpoints, record = RerunStatus.FAILED, "", None, None

        def say(line: str) -> None:
            if time.monotonic() > deadline:
                raise _TimeLimit
            said.append(line)
            print(f"  {line}", flush=True)

        try:
            release = self.release(job.artifacts)
            if self.forensics:
                checkpoints = checkpoints_record(inspect_checkpoints(release, say=say))
            report = self._replay(release, Numerics(threads=job.threads), device, say)
            if report.verdict is None:
                reason = f"no replay: {report.problem}"
            else:
                record = self._record(report, release)
        except _TimeLimit:
            status, reason = RerunStatus.TIMED_OUT, f"stopped after {job.timeout_s:g} s, its time limit"
        except (RecipeMismatch, BadTokens, BadInput) as finding:  # what was published does not fit together
            reason = f"no replay: {finding}"
        except RuntimeError as error:  # torch's OutOfMemoryError, without importing torch
            if type(error).__name__ != "OutOfMemoryError":
                raise
            raise BadInput(
                "the replay does not fit into the memory of the device; free some, or use device: cpu "
                f"({str(error).splitlines()[0]})"
            ) from None
        measurements: tuple[Measurement, ...] = ()
        if record is not None:
            status = RerunStatus.FINISHED
            value = max((of.in_floors for of in record.statistics if of.used), default=None)
            measurements = (
                Measurement(
                    metric=self.metric, value=value, raw="" if value is None else repr(value), step=record.horizons[-1],
                    self_reported=False,
                ),
            )  # fmt: skip
        return Execution(
            status=status, reason=reason, measurements=measurements, curves={}, log="\n".join(said).strip() + "\n",
            cpu_s=time.process_time() - started, device=device, replay=record, checkpoints=checkpoints,
        )  # fmt: skip

    def _replay(self, release: Release, numerics: Numerics, device: str, say: Say) -> PrefixReport:
        common: dict[str, Any] = {
            "updates": self.updates, "numerics": numerics, "device": device, "probes": self.exercise, "say": say,
        }  # fmt: skip
        if self.protocol == "prefix":
            return replay_prefix(release, **common)
        assert self.first is not None  # noqa: S101 - the plan has looked
        return replay_segment(release, first=self.first, **common)

    def _record(self, report: PrefixReport, release: Release) -> ReplayRecord:
        assert report.verdict is not None  # noqa: S101 - the caller has looked
        first = self.first or 0
        return ReplayRecord(
            standing=report.verdict.standing.value, reasons=report.verdict.reasons, horizons=report.horizons,
            statistics=tuple(
                ReplayStatistic(
                    statistic=of.statistic, horizon=of.horizon, value=_finite(of.value), floor=_finite(of.floor), limit=of.limit,
                    used=of.used, in_floors=_finite(of.in_floors),
                )
                for of in report.verdict.statistics
            ),
            replicas=report.replicas, settings=tuple(sorted(self.settings)),
            exercise=tuple(
                Exercise(
                    field=of.field, change=of.change, in_floors=_finite(of.in_floors), statistic=of.statistic,
                    horizon=of.horizon, exercised=of.exercised, control=of.change in CONTROLS,
                )
                for of in report.exercise
            ),
            first=first,
            burned_in_from=None if self._optimizer(first) else burn_in_start(release.steps, first),
        )  # fmt: skip

    def _optimizer(self, step: int) -> OptimizerState | None:
        return next((of.optimizer for of in self.checkpoints if of.step == step), None)

    @property
    def problem(self) -> str:
        """What is wrong with where it starts or what it is compared with: the key and a line; empty when nothing is."""
        steps = [of.step for of in self.checkpoints]
        if len(set(steps)) != len(steps):
            return f"checkpoints: each step stands once, found {steps}"
        if self.protocol == "prefix":
            if self.first is not None:
                return "first: a prefix starts from step 0; remove it, or give protocol: segment"
            if 0 not in steps:
                return f"checkpoints: a prefix starts from step 0, found {steps}; or give protocol: segment and first"
        elif self.first is None:
            return "first: missing; say from which of the checkpoints the segment starts"
        elif self.first not in steps or self.first == 0:
            later = ", ".join(str(step) for step in sorted(steps) if step) or "none is listed"
            return f"first: a segment starts from one of the checkpoints after step 0 ({later}), found {self.first}"
        elif self._optimizer(self.first) is None and burn_in_start(steps, self.first) is None:
            return (
                f"checkpoints: the segment from step {self.first} needs `optimizer` at that step, or a checkpoint "
                f"{SHORTEST_BURN_IN} updates or more before it, from which the moments are burned in"
            )
        first = self.first or 0
        for of in self.checkpoints:
            if of.optimizer is not None and (self.protocol == "prefix" or of.step != first):
                return f"checkpoints: the optimizer's state of step {of.step} is of no use: it is read where a segment starts"
        last = first + max(self.updates)
        if self.losses is None and not any(first < step <= last for step in steps):
            return (
                f"updates: nothing to compare with: no checkpoint from step {first + 1} to {last} is listed, and no losses are "
                f"given; checkpoints: {sorted(steps)}"
            )
        return ""

    def named(self) -> list[tuple[str, str]]:
        """As `PublishedTraining.named`; not those of the alternatives."""
        found = super().named() + [("checkpoints", of.artifact) for of in self.checkpoints]
        found += [("checkpoints.optimizer", of.optimizer.artifact) for of in self.checkpoints if of.optimizer]
        return found + ([("losses", self.losses.artifact)] if self.losses else [])

    def sequences(self, recipe: LanguageRecipe, updates: int) -> tuple[int, int]:
        """The first and the last but one of the sequences that are read: those of the replayed batches (and of the burn-in before
        them), and where no losses are published those beyond that losses are paired on."""
        first, size = self.first or 0, recipe.batch_size
        steps = [of.step for of in self.checkpoints]
        begin = first if self._optimizer(first) else burn_in_start(steps, first) or 0
        beyond = 0 if self.losses else min(PROBE_SEQUENCES, PROBE_BATCHES * size)
        return begin * size, (first + updates) * size + beyond

    def only_alternatives(self) -> frozenset[str]:
        """Artifacts that the replay itself does not need: an audit does not bring them, `openassay explain` does."""
        return frozenset(of.tokens.artifact for of in self.alternatives if of.tokens) - {
            artifact for _, artifact in self.named()
        }

    def explained(
        self, artifacts: Mapping[str, str], *, updates: Sequence[int], say: Say = lambda _line: None
    ) -> Explanation:
        """What else the training may have been: the target's alternatives, and the usual ones."""
        release = self.release(artifacts)
        declared, not_tried = declared_changes(self, self.alternatives, artifacts, release.recipe)
        return explain(release, updates=updates, first=self.first, alternatives=declared, not_tried=not_tried, say=say)

    def release(self, artifacts: Mapping[str, str]) -> Release:
        """What was published, ready for a replay. `BadInput`, `BadTokens` or `RecipeMismatch` say what does not fit."""
        recipe = self.read(artifacts)
        paths = {of.step: Path(artifacts[of.artifact]) / of.path for of in self.checkpoints}
        missing = next((path for path in paths.values() if not path.is_file()), None)
        if missing is not None:
            raise RecipeMismatch(f"{missing.name} of a checkpoint is not in its artifact")
        return Release(
            recipe=recipe, tokens=self.in_order(artifacts, recipe), steps=tuple(sorted(paths)),
            weights=lambda step: weights_of(paths[step])[0], stored=stored_as(tuple(paths.values())),
            moments=lambda step: self._moments(artifacts, recipe, step), **self._losses(artifacts),
        )  # fmt: skip

    def _moments(self, artifacts: Mapping[str, str], recipe: LanguageRecipe, step: int) -> Moments | None:
        from openassay.training.optimizer_state import read_moments  # noqa: PLC0415 - torch takes seconds to import

        state = self._optimizer(step)
        return read_moments(Path(artifacts[state.artifact]) / state.path, recipe, step) if state else None

    def _losses(self, artifacts: Mapping[str, str]) -> dict[str, Any]:
        """The published losses, as `Release` takes them."""
        if self.losses is None:
            return {}
        first = self.first or 0
        last = first + max(self.updates)
        losses, rounding = self.losses.read(artifacts, max(last, *(of.step for of in self.checkpoints)))
        if np.isnan(losses[first + self.losses.mean_over - 1 : last]).all():
            raise RecipeMismatch(f"{self.losses.path}: it has no loss of the replayed updates, {first} to {last - 1}")
        return {"losses": losses, "loss_rounding": rounding, "loss_window": self.losses.mean_over}


def read_replay(rerun: object, reruns: RerunsRecord, layout: Layout) -> ReplayRecord | None:
    """What the replay of this audit found; None where there was none. `rerun`: the plan's."""
    return _read(layout.replay("faithful", 0), ReplayRecord, rerun, reruns)


def read_checkpoints(rerun: object, reruns: RerunsRecord, layout: Layout) -> CheckpointsRecord | None:
    """What this audit saw in the checkpoints by themselves; None where it did not look. `rerun`: the plan's."""
    return _read(layout.checkpoints("faithful", 0), CheckpointsRecord, rerun, reruns)


def _read(path: Path, kind: type[T], rerun: object, reruns: RerunsRecord) -> T | None:
    there = isinstance(rerun, ReplayRecipe) and bool(reruns.identities) and path.exists()
    return read_record(path, kind) if there else None


class _TimeLimit(Exception):
    pass


def checkpoints_record(found: Forensics) -> CheckpointsRecord:
    """What forensics saw, as a record."""
    return CheckpointsRecord(
        looks=tuple(
            CheckpointLook(
                step=of.step, digest=of.digest, from_first=_finite(of.from_start), from_before=_finite(of.from_before),
                largest_move=_finite(of.largest_move), bound=None if of.bound is None else _finite(of.bound),
                correlation=_finite(of.correlation) if math.isfinite(of.correlation) else None,
            )
            for of in found.looks
        ),
        oddities=tuple(CheckpointOddity(kind=of.kind, steps=of.steps, message=of.message) for of in found.oddities),
    )  # fmt: skip


def _finite(value: float) -> float:
    """A weight that is no number is as far off as a record can say."""
    return min(value, LARGEST)


def explanation_to_plain(found: Explanation) -> dict[str, Any]:
    """An explanation as JSON types."""
    return {
        "plain_in_floors": _finite(found.plain_in_floors), "group": list(found.group), "remainder": found.remainder,
        "not_tried": list(found.not_tried),
        "ranked": [
            {"change": of.name, "field": of.field, "in_floors": _finite(of.in_floors), "removed": of.removed,
             "explains": of.explains}
            for of in found.ranked
        ],
    }  # fmt: skip
