"""What the drivers share that run a release's own code: parameters, measurements, and results of shorter trainings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from openassay.core.claims import Claim
from openassay.core.findings import FetchRecord
from openassay.core.rerun_records import RerunStatus, WeightsCompared
from openassay.core.verdict_records import Basis
from openassay.drivers.driver import Driver, PublishedRun, ScaledRerun, TargetFacts, artifact_digests
from openassay.drivers.job import Arm, Job, RunResult, named_artifacts, placeholders
from openassay.drivers.labels import hand_over
from openassay.drivers.measures import Measure, PredictionsMeasure
from openassay.drivers.written_weights import TrainedWeights, compare_weights, keep_weights
from openassay.store import remove_tree

if TYPE_CHECKING:
    from openassay.drivers.command import CommandRun
    from openassay.drivers.run import Run


@dataclass(frozen=True, kw_only=True)
class PublishedCode(Driver):
    """A driver whose `run` is the release's own code, in the release's own environment."""

    measure: tuple[Measure, ...]
    parameters: dict[str, Any] = field(default_factory=dict)
    """Values for `{name}` placeholders of the run; an arm may give others."""
    weights: TrainedWeights | None = None

    changes_by = "parameters"
    runs_release_code = True

    if TYPE_CHECKING:
        run: Run | CommandRun

    def metrics(self) -> set[str]:
        """The metrics that a rerun measures."""
        return {measure.metric for measure in self.measure}

    def basis(self, metric: str) -> tuple[Basis, ...]:
        """Whose number it is, and whether our labels are in reach of the run."""
        measure = next(of for of in self.measure if of.metric == metric)
        if not isinstance(measure, PredictionsMeasure):
            return ("self_reported",)
        return ("measured",) if measure.withheld else ("measured", "labels_in_reach")

    def release_runs(self) -> tuple[PublishedRun, ...]:
        """The run that trains."""
        return (PublishedRun(stage="rerun", run=self.run, parameters=self.parameters, measure=self.measure),)

    def check_arm(self, arm: Arm, key: str) -> Iterator[str]:
        """Also parameters that the run does not use."""
        yield from super().check_arm(arm, key)
        if unused := set(arm.parameters) - placeholders(self.run.arguments):
            yield f"{key}.parameters: the run has no {{{min(unused)}}}: it would change nothing"

    def handed(self, job: Job, folder: Path) -> Job:
        """A job whose run is handed the data of a folder, with the labels there as its arm and the measures have them."""
        predicted = [of for of in self.measure if isinstance(of, PredictionsMeasure)]
        found = hand_over(
            folder, permute=job.arm.permute, relabel=job.arm.relabel, touched=job.touched, seed=job.seed, secret=job.secret,
            withheld=[of.labels for of in predicted if of.withheld], wanted=[of.labels for of in predicted],
            where=f"{job.target_file}: rerun",
        )  # fmt: skip
        return replace(job, handed=found)

    def with_weights(self, result: RunResult, job: Job) -> RunResult:
        """A finished run's result, with the weights that it wrote among what is kept."""
        if self.weights is None or result.status is not RerunStatus.FINISHED:
            return result
        kept = job.out / "kept"
        if result.kept is None:
            remove_tree(kept)  # the release's code can write here too
        problem = keep_weights(self.weights, job)
        reason = "; ".join(filter(None, [result.reason, problem]))
        return replace(result, kept=kept if kept.is_dir() else None, reason=reason)

    def compared_weights(
        self, arm: str, reruns: Sequence[Path], artifacts: Mapping[str, str], where: str
    ) -> WeightsCompared | None:
        """What the weights that an arm's reruns wrote show; None without `weights`, or for an arm without reruns."""
        return compare_weights(self.weights, arm, reruns, artifacts, where) if self.weights and reruns else None

    def check(self, target: TargetFacts) -> Iterator[str]:
        """Whether the released weights are there, and out of the run's reach."""
        yield from super().check(target)
        if self.weights and (of := self.weights.released):
            key = "rerun.weights.released.artifact"
            if of.artifact not in target.artifacts:
                yield f"{key}: there is no artifact {of.artifact!r}; there are: {', '.join(target.artifacts) or 'none'}"
            if of.artifact in self.shown_artifacts():
                yield f"{key}: the run names {of.artifact} too, and could copy the weights; make them an artifact of their own"

    def shown_artifacts(self) -> set[str]:
        """The artifacts that a run is shown."""
        own = [getattr(self.run, "artifact", ""), *(of.artifact for of in getattr(self.run, "provides", {}).values())]
        return named_artifacts(self.run.arguments) | set(own)

    def same(self, changed: Arm, base: Arm) -> bool:
        """Whether parameters and edits of both are equal."""
        values = [self.parameters | arm.parameters for arm in (changed, base)]
        return values[0] == values[1] and changed.edit == base.edit

    def scaled_down(
        self, claims: tuple[Claim, ...], steps: float, declared: tuple[ScaledRerun, ...]
    ) -> tuple[Self, tuple[Claim, ...]] | str:
        """The largest of the declared shorter trainings, with the claims that have a published result of its scale."""
        fitting = [of for of in declared if of.share is not None and of.share <= steps]
        if not fitting:
            none = "the target states no published result of that scale (scaled_reruns)"
            said = "; ".join(of.reference for of in declared if of.share is None) or none
            return f"scaled down to {steps:g} of its updates: {said}"
        most = max(fitting, key=lambda of: of.share or 0)
        held = tuple(
            claim.held_to(most.results[claim.id].published, most.results[claim.id].cited_at)
            if claim.id in most.results else replace(claim, testable=False)
            for claim in claims
        )  # fmt: skip
        return replace(self, parameters=self.parameters | most.parameters), held

    def code(self, fetched: FetchRecord, glue: str | None) -> dict[str, object]:
        """The release's code, by what was fetched, and ours that starts and measures it."""
        return super().code(fetched, glue) | {"artifacts": artifact_digests(fetched)}

    def environment(self, of_release: dict[str, str]) -> dict[str, str]:
        """The release's own environment."""
        return of_release
