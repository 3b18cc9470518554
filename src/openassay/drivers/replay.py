"""The replay driver: published updates of a language model, again, from its step 0 or a later checkpoint, in its order.

Where initial weights, data order and early checkpoints are published, nothing is left to chance but the rounding of the
arithmetic, and the floor of that is measured on this machine (`protocols.prefix`). One replay says more than many trainings from
other seeds.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from openassay.core.claims import Claim
from openassay.core.controls import judge_replay_controls
from openassay.core.findings import Finding
from openassay.core.replay import FACTOR, finite
from openassay.core.replay_records import CheckpointsRecord, ReplayRecord
from openassay.core.rerun_records import Measurement, RerunStatus
from openassay.core.verdict import judge_replay
from openassay.core.verdict_records import ControlOutcome, Outcome, Verdict
from openassay.drivers.alternatives import Alternative, check_alternatives, declared_changes
from openassay.drivers.driver import Display, Driver, ScaledRerun, TargetFacts, beside_verdict, those_that_are
from openassay.drivers.job import Arm, Job, PublishedFile, RunResult, measurement
from openassay.drivers.losses import LossLog
from openassay.drivers.published import Checkpoint, PublishedTraining, device_for, stored_as, weights_of
from openassay.faults import BadInput, printable
from openassay.protocols.explain import Explanation, explain
from openassay.protocols.forensics import inspect_checkpoints
from openassay.protocols.prefix import PROBE_BATCHES, PROBE_SEQUENCES, PrefixReport, ReplayInputs, Say, replay_prefix
from openassay.protocols.segment import SHORTEST_BURN_IN, burn_in_start, replay_segment
from openassay.published.tokens import BadTokens
from openassay.training.language import LanguageRecipe
from openassay.training.mismatch import RecipeMismatch, TimeLimit
from openassay.training.numerics import Moments, Numerics

METRIC = "replay_in_floors"
"""The largest statistic of a replay in units of its floor: beyond 3 it is not noise."""
MARGIN = FACTOR
FOLLOWS = "the published checkpoints follow from an earlier one by the published recipe"
MOST_ALIKE = 5
"""Oddities of one kind that are findings of their own; `checkpoints.json` has them all."""
_MEANING = {
    "same": "nothing was learnt between them, or one of them is not the checkpoint of its step",
    "unmoved": "nothing was learnt by then, or one of them is not the checkpoint of its step",
    "initialisation": "step 0 was not drawn as the recipe says",
    "too far": "one of the two is of another training or step, or optimizer or schedule are not as stated",
    "orphan": "it is of another training",
    "not finite": "no training can go on from it",
    "tensors": "it is of another model",
}


@dataclass(frozen=True, kw_only=True)
class ReplayDriver(PublishedTraining):
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

    has_own_controls = True
    not_identity = Driver.not_identity | {"alternatives"}
    records: ClassVar[Mapping[str, type]] = {"replay": ReplayRecord, "checkpoints": CheckpointsRecord}

    def metrics(self) -> set[str]:
        """The metrics that a replay measures."""
        return {self.metric}

    def seeds(self, planned: tuple[int, ...]) -> tuple[int, ...]:  # noqa: ARG002
        """One: replicas in other numerics show the noise."""
        return (0,)

    def check(self, target: TargetFacts) -> Iterator[str]:
        """Where it starts, what it is compared with, and that its claim is the one on three floors."""
        if target.has_changes or self.arms != {"faithful": Arm()}:
            yield "rerun: a replay takes no controls, probes or arms: it has its own"
        yield from super().check(target)
        yield from (f"rerun.{problem}" for problem in itertools.islice(self.problems(), 1))
        yield from check_alternatives(self.alternatives, self.tokens, target)
        for name, artifact in target.cited:
            if artifact in self.only_alternatives():
                yield f"{name}: an audit does not bring {artifact!r}, which only an alternative needs"
        for i, claim in enumerate(target.claims):
            asked = (claim.published.value, claim.direction, claim.tolerance.margin)
            if claim.testable and claim.metric == self.metric and asked != (0.0, "at_most", MARGIN):
                yield f"claims.{i}: a replay is held to value 0, direction at_most and a margin of {MARGIN:g} floors"

    def scaled_down(
        self, claims: tuple[Claim, ...], steps: float, declared: tuple[ScaledRerun, ...]  # noqa: ARG002
    ) -> tuple[Self, tuple[Claim, ...]] | str:  # fmt: skip
        """The horizons that are still reached."""
        reached = tuple(updates for updates in self.updates if updates <= steps * max(self.updates))
        if reached:
            return replace(self, updates=reached), claims
        problem = f"the replay reaches none of its horizons ({min(self.updates)} updates is the first)"
        return f"scaled down to {steps:g} of its updates, {problem}"

    def execute(self, job: Job) -> RunResult:
        """One replay with its replicas and probes, in this process."""
        started, deadline = time.process_time(), time.monotonic() + job.timeout_s
        device, said, records = device_for(job.device), list[str](), dict[str, Any]()

        def say(line: str) -> None:
            if time.monotonic() > deadline:
                raise TimeLimit
            said.append(line)
            print(f"  {printable(line)}", flush=True)

        def ended(status: RerunStatus, reason: str = "", *measurements: Measurement) -> RunResult:
            return RunResult(
                status=status, reason=reason, measurements=measurements, log="\n".join(said).strip() + "\n",
                cpu_s=time.process_time() - started, device=device, records=records,
            )  # fmt: skip

        try:
            release = self.release(job.artifacts)
            if self.forensics:
                records["checkpoints"] = inspect_checkpoints(release, say=say)
            report = self._replay(
                release, updates=self.updates, numerics=Numerics(threads=job.threads), device=device,
                probes=self.exercise, say=say,
            )  # fmt: skip
        except TimeLimit:
            return ended(RerunStatus.TIMED_OUT, f"stopped after {job.timeout_s:g} s, its time limit")
        except (RecipeMismatch, BadTokens, BadInput) as finding:  # what was published does not fit together
            return ended(RerunStatus.FAILED, f"no replay: {finding}")
        except RuntimeError as error:  # torch's OutOfMemoryError, without importing torch
            if type(error).__name__ != "OutOfMemoryError":
                raise
            raise BadInput(
                "the replay does not fit into the memory of the device; free some, or use device: cpu "
                f"({str(error).splitlines()[0]})"
            ) from None
        if report.verdict is None:
            return ended(RerunStatus.FAILED, f"no replay: {report.problem}")
        found, first = report.verdict, self.first or 0
        records["replay"] = ReplayRecord(
            standing=found.standing.value, reasons=found.reasons, horizons=report.horizons, statistics=found.statistics,
            replicas=report.replicas, settings=tuple(sorted(self.settings)), exercise=report.exercise, first=first,
            burned_in_from=None if self._optimizer(first) else burn_in_start(release.steps, first),
        )  # fmt: skip
        largest = max((of.in_floors for of in found.statistics if of.used), default=None)
        return ended(RerunStatus.FINISHED, "", measurement(self.metric, largest, report.horizons[-1]))

    def _replay(self, release: ReplayInputs, **how: Any) -> PrefixReport:
        return replay_prefix(release, **how) if self.first is None else replay_segment(release, first=self.first, **how)

    def _optimizer(self, step: int) -> PublishedFile | None:
        return next((of.optimizer for of in self.checkpoints if of.step == step), None)

    def problems(self) -> Iterator[str]:
        """What is wrong with where it starts or what it is compared with, the cause before what follows from it."""
        steps, first, segment = [of.step for of in self.checkpoints], self.first, self.protocol == "segment"
        later = ", ".join(str(step) for step in sorted(steps) if step) or "none is listed"
        start = first or 0
        last = start + max(self.updates)
        unread = [of.step for of in self.checkpoints if of.optimizer and not (segment and of.step == start)]
        return those_that_are({
            f"checkpoints: each step stands once, found {steps}": len(set(steps)) != len(steps),
            "first: a prefix starts from step 0; remove it, or give protocol: segment": not segment and first is not None,
            f"checkpoints: a prefix starts from step 0, found {steps}; or give protocol: segment and first":
                not segment and 0 not in steps,
            "first: missing; say from which of the checkpoints the segment starts": segment and first is None,
            f"first: a segment starts from one of the checkpoints after step 0 ({later}), found {first}":
                segment and (first not in steps or first == 0),
            f"checkpoints: the segment from step {first} needs `optimizer` at that step, or a checkpoint {SHORTEST_BURN_IN} "
            "updates or more before it, from which the moments are burned in":
                segment and self._optimizer(start) is None and burn_in_start(steps, start) is None,
            f"checkpoints: the optimizer's state of step {next(iter(unread), None)} is of no use: it is read where a segment "
            "starts": unread,
            f"updates: nothing to compare with: no checkpoint from step {start + 1} to {last} is listed, and no losses are "
            f"given; checkpoints: {sorted(steps)}": self.losses is None and not any(start < step <= last for step in steps),
        })  # fmt: skip

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
        needed = {artifact for _, artifact in self.named()}
        return frozenset(of.tokens.artifact for of in self.alternatives if of.tokens) - needed

    def explained(
        self, artifacts: Mapping[str, str], *, updates: Sequence[int], say: Say = lambda _line: None
    ) -> Explanation:
        """What else the training may have been: the target's alternatives, and the usual ones."""
        release = self.release(artifacts)
        declared, not_tried = declared_changes(self, self.alternatives, artifacts, release.recipe)
        return explain(release, updates=updates, first=self.first, alternatives=declared, not_tried=not_tried, say=say)

    def release(self, artifacts: Mapping[str, str]) -> ReplayInputs:
        """What was published, ready for a replay. `BadInput`, `BadTokens` or `RecipeMismatch` say what does not fit."""
        recipe = self.read(artifacts)
        paths = {of.step: Path(artifacts[of.artifact]) / of.path for of in self.checkpoints}
        for path in paths.values():
            if not path.is_file():
                raise RecipeMismatch(f"{path.name} of a checkpoint is not in its artifact")
        return ReplayInputs(
            recipe=recipe, tokens=self.in_order(artifacts, recipe), steps=tuple(sorted(paths)),
            weights=lambda step: weights_of(paths[step])[0], stored=stored_as(tuple(paths.values())),
            moments=lambda step: self._moments(artifacts, recipe, step), **self._losses(artifacts),
        )  # fmt: skip

    def _moments(self, artifacts: Mapping[str, str], recipe: LanguageRecipe, step: int) -> Moments | None:
        from openassay.training.optimizer_state import read_moments  # noqa: PLC0415 - torch takes seconds to import

        state = self._optimizer(step)
        return read_moments(Path(artifacts[state.artifact]) / state.path, recipe, step) if state else None

    def _losses(self, artifacts: Mapping[str, str]) -> dict[str, Any]:
        """The published losses, as `ReplayInputs` takes them."""
        if self.losses is None:
            return {}
        first = self.first or 0
        last = first + max(self.updates)
        losses, rounding = self.losses.read(artifacts, max(last, *(of.step for of in self.checkpoints)))
        if np.isnan(losses[first + self.losses.mean_over - 1 : last]).all():
            raise RecipeMismatch(f"{self.losses.path}: it has no loss of the replayed updates, {first} to {last - 1}")
        return {"losses": losses, "loss_rounding": rounding, "loss_window": self.losses.mean_over}

    # What its records mean

    def rerun_findings(self, records: Mapping[str, Any]) -> list[Finding]:
        """What the published checkpoints say against each other."""
        oddities = records["checkpoints"].oddities if "checkpoints" in records else ()
        findings = []
        for kind in dict.fromkeys(odd.kind for odd in oddities):
            told = [odd.message for odd in oddities if odd.kind == kind]
            if len(told) > MOST_ALIKE:
                told = [*told[:MOST_ALIKE], f"and {len(told) - MOST_ALIKE} more of the kind"]
            name = f"checkpoints_{kind.replace(' ', '_')}"
            findings += [Finding(stage="rerun", kind=name, message=f"{what}: {_MEANING[kind]}") for what in told]
        return findings

    def judge(self, claim: Claim, records: Mapping[str, Any], protocol: str) -> Verdict | None:
        """The verdict on the claim that the replay stays within its floors."""
        if "replay" not in records or not claim.testable or claim.metric != self.metric:
            return None
        return judge_replay(claim, records["replay"], protocol=protocol)

    def judge_controls(self, claim: Claim, records: Mapping[str, Any]) -> tuple[ControlOutcome, ...]:
        """The deliberately wrong replays."""
        return judge_replay_controls(claim, records["replay"])

    def judge_findings(self, claims: tuple[Claim, ...], records: Mapping[str, Any]) -> list[Finding]:  # noqa: ARG002
        """What the replay could not have seen: never to be read as verified."""
        if "replay" not in records:
            return []
        found: ReplayRecord = records["replay"]
        unseen = [
            f"{of.field}: {of.change} would not show in this replay ({of.in_floors:.2g} floors)"
            for of in found.exercise if not of.exercised
        ]  # fmt: skip
        return [*(beside_verdict("not_exercised", of) for of in unseen), *self.settings_findings(found.settings)]

    def meaning(self, verdict: Verdict) -> str:
        """What was shown of the checkpoints, or shown not to be so, or is open."""
        before = {Outcome.REPRODUCED: "", Outcome.NOT_REPRODUCED: "it is shown not to be so that "}
        return f"{before.get(verdict.outcome, 'it is not decided whether ')}{FOLLOWS}"

    def display(self, records: Mapping[str, Any]) -> Display:
        """What the replay found, and what the checkpoints say by themselves."""
        exercise = records["replay"].exercise if "replay" in records else ()
        changes = (sum(of.exercised for of in exercise), len(exercise)) if exercise else None
        return Display(changes=changes, template="replay.html.j2")


def replay_of(driver: Driver | None, where: str) -> ReplayDriver:
    """A target's replay; `BadInput` where it has none. where: the key of its driver, as messages name it."""
    if not isinstance(driver, ReplayDriver):
        raise BadInput(f"{where}: a replay is needed, and this target has none")
    return driver


def explanation_to_plain(found: Explanation) -> dict[str, Any]:
    """An explanation as JSON types."""
    return {
        "plain_in_floors": finite(found.plain_in_floors), "group": list(found.group), "remainder": found.remainder,
        "not_tried": list(found.not_tried),
        "ranked": [
            {"change": of.name, "field": of.field, "in_floors": finite(of.in_floors), "removed": of.removed,
             "explains": of.explains}
            for of in found.ranked
        ],
    }  # fmt: skip
