"""The replay driver: the published first updates of a language model, again, from its step 0 and in its order.

Where initial weights, data order and early checkpoints are published, nothing is left to chance but the rounding of the
arithmetic, and the floor of that is measured on this machine (`protocols.prefix`). One replay says more than many trainings from
other seeds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from openassay.core.replay import FACTOR
from openassay.core.types import LARGEST, Exercise, Measurement, ReplayRecord, ReplayStatistic, RerunStatus
from openassay.faults import BadInput
from openassay.protocols.explain import Explanation, explain
from openassay.protocols.prefix import (
    CONTROLS,
    PROBE_BATCHES,
    PROBE_SEQUENCES,
    PrefixReport,
    Release,
    Say,
    replay_prefix,
)
from openassay.recipes.alternatives import Alternative, declared_changes
from openassay.recipes.job import Arm, Execution, Job
from openassay.recipes.published import Checkpoint, PublishedTraining, stored_as, weights_of
from openassay.training.language import LanguageRecipe
from openassay.training.mismatch import RecipeMismatch
from openassay.training.numerics import Numerics
from openassay.training.tokens import BadTokens

METRIC = "replay_in_floors"
"""The largest statistic of a replay in units of its floor: beyond 3 it is not noise."""
MARGIN = FACTOR


@dataclass(frozen=True, kw_only=True)
class ReplayRecipe(PublishedTraining):
    """Replay the first updates and compare with the published checkpoints."""

    driver: Literal["replay"]
    checkpoints: Annotated[tuple[Checkpoint, ...], Field(min_length=2)]
    """Step 0 and those that are compared with."""
    updates: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (16, 64)
    """Horizons: at each, the last published step up to there is compared."""
    exercise: bool = True
    """Probe every field of the recipe: what would this replay have noticed? About forty replays more."""
    metric: str = METRIC
    alternatives: tuple[Alternative, ...] = ()
    """What else the training may have been, by what the release publishes: tried by `openassay explain` before the usual ones."""
    arms: dict[str, Arm] = field(default_factory=lambda: {"faithful": Arm()})
    max_runs: int | None = None
    timeout_s: Annotated[float, Field(gt=0)] = 86400.0
    """Looked at before each replica and probe: the training that is under way is finished."""
    protocol: Literal["prefix"] = "prefix"
    """`prefix`: from the published step 0."""

    def metrics(self) -> set[str]:
        """The metrics that a replay measures."""
        return {self.metric}

    def placeholders(self) -> set[str]:
        """A replay runs none of the release's code."""
        return set()

    def execute(self, job: Job) -> Execution:
        """One replay with its replicas and probes, in this process."""
        started, said, deadline = time.process_time(), [""], time.monotonic() + job.timeout_s
        device = _device(job.device)

        def say(line: str) -> None:
            if time.monotonic() > deadline:
                raise _TimeLimit
            said.append(line)
            print(f"  {line}", flush=True)

        try:
            release = self.release(job.artifacts)
            report = replay_prefix(
                release, updates=self.updates, numerics=Numerics(threads=job.threads), device=device, probes=self.exercise,
                say=say,
            )  # fmt: skip
            problem = report.problem
        except _TimeLimit:
            return Execution(
                status=RerunStatus.TIMED_OUT, reason=f"stopped after {job.timeout_s:g} s, its time limit", measurements=(),
                curves={}, log="\n".join(said).strip() + "\n", cpu_s=time.process_time() - started, device=device,
            )  # fmt: skip
        except (RecipeMismatch, BadTokens, BadInput) as finding:  # what was published does not fit together
            report, problem = None, str(finding)
        cpu_s = time.process_time() - started
        log = "\n".join(said).strip() + "\n"
        if report is None or report.verdict is None:
            return Execution(
                status=RerunStatus.FAILED, reason=f"no replay: {problem}", measurements=(), curves={}, log=log, cpu_s=cpu_s,
                device=device,
            )  # fmt: skip
        record = _record(report, tuple(sorted(self.settings)))
        value = max((of.in_floors for of in record.statistics if of.used), default=None)
        measurement = Measurement(
            metric=self.metric, value=value, raw="" if value is None else repr(value), step=record.horizons[-1],
            self_reported=False,
        )  # fmt: skip
        return Execution(
            status=RerunStatus.FINISHED, reason="", measurements=(measurement,), curves={}, log=log, cpu_s=cpu_s,
            device=device, replay=record,
        )  # fmt: skip

    def num_sequences(self, recipe: LanguageRecipe, updates: int) -> int:
        """Of the tokens' start: those of the replayed batches, and the ones beyond that losses are paired on."""
        return updates * recipe.batch_size + min(PROBE_SEQUENCES, PROBE_BATCHES * recipe.batch_size)

    def only_alternatives(self) -> frozenset[str]:
        """Artifacts that the replay itself does not need: an audit does not bring them, `openassay explain` does."""
        needed = {self.recipe.artifact, self.tokens.artifact, *(of.artifact for of in self.checkpoints)}
        return frozenset(of.tokens.artifact for of in self.alternatives if of.tokens) - needed

    def explained(
        self, artifacts: Mapping[str, str], *, updates: Sequence[int], say: Say = lambda _line: None
    ) -> Explanation:
        """What else the training may have been: the target's alternatives, and the usual ones."""
        release = self.release(artifacts)
        declared, not_tried = declared_changes(self, self.alternatives, artifacts, release.recipe)
        return explain(release, updates=updates, alternatives=declared, not_tried=not_tried, say=say)

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
        )  # fmt: skip


class _TimeLimit(Exception):
    pass


def _device(wanted: str) -> str:
    from openassay.training.trainer import pick_device  # noqa: PLC0415

    return pick_device(wanted)


def _record(report: PrefixReport, settings: tuple[str, ...]) -> ReplayRecord:
    assert report.verdict is not None  # noqa: S101 - the caller has looked
    return ReplayRecord(
        standing=report.verdict.standing.value, reasons=report.verdict.reasons, horizons=report.horizons,
        statistics=tuple(
            ReplayStatistic(
                statistic=of.statistic, horizon=of.horizon, value=_finite(of.value), floor=_finite(of.floor), limit=of.limit,
                used=of.used, in_floors=_finite(of.in_floors),
            )
            for of in report.verdict.statistics
        ),
        replicas=report.replicas, settings=settings,
        exercise=tuple(
            Exercise(
                field=of.field, change=of.change, in_floors=_finite(of.in_floors), statistic=of.statistic, horizon=of.horizon,
                exercised=of.exercised, control=of.change in CONTROLS,
            )
            for of in report.exercise
        ),
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
