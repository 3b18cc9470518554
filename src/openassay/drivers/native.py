"""The native driver: our trainer follows a recipe that was taken from the publication.

For releases whose training code is not in the artifacts that can be had. The report says that the recipe was taken from
the publication, not run from the release's code.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from openassay.core.claims import Citation, Claim, Published
from openassay.core.curves import scatter_of
from openassay.core.findings import Finding
from openassay.core.rerun_records import RerunStatus
from openassay.drivers.driver import TAKEN_FROM_PUBLICATION, Display, Driver, ScaledRerun, refused
from openassay.drivers.job import Arm, Curve, Job, RunResult, Watch, load_arrays, measurement, permuted, with_changes
from openassay.faults import BadInput
from openassay.records import parse, to_plain
from openassay.training.mismatch import RecipeMismatch, TimeLimit
from openassay.training.recipe import TrainingRecipe, gains_together

if TYPE_CHECKING:
    from openassay.training.trainer import NotWorthwhile, Training


@dataclass(frozen=True, kw_only=True)
class NativeDriver(Driver):
    """Train by our own trainer from a declarative recipe."""

    driver: Literal["native"]
    metric: str
    """Name of the measurement that a rerun gives."""
    recipe: TrainingRecipe
    taken_from: tuple[Citation, ...]
    """Where the release publishes this recipe."""
    scale: float = 1.0
    """Factor from the metric's own unit to the claim's: 100 for an accuracy in per cent."""
    protocol: Literal["full"] = "full"
    """`full`: the whole published training is rerun."""
    stop_doomed: bool = False
    """Stop a rerun that has left the published curve of its claim for good (`curve` and `curve_scatter`). It saves the rest of a
    long training, and its claim stays INCONCLUSIVE: a verdict needs finished reruns."""

    changes_by = "set"
    not_identity = Driver.not_identity | {"stop_doomed"}

    def metrics(self) -> set[str]:
        """The metrics that a rerun measures."""
        return {self.metric}

    def of_arm(self, arm: Arm) -> TrainingRecipe:
        """The recipe with an arm's changes; `BadInput` when it names a field that is not there."""
        result: TrainingRecipe = parse(TrainingRecipe, with_changes(to_plain(self.recipe), arm.set), "recipe")
        return result

    def check_arm(self, arm: Arm, key: str) -> Iterator[str]:
        """Also fields that the recipe does not have, and values that it cannot take."""
        yield from super().check_arm(arm, key)
        yield from refused(f"{key}: ", self.of_arm, arm)

    def same(self, changed: Arm, base: Arm) -> bool:
        """Whether both arms give one recipe."""
        return self.of_arm(changed) == self.of_arm(base)

    def groups(self, seeds: tuple[int, ...], arm: Arm, most: int) -> list[tuple[int, ...]]:
        """Neighbours in the order of the seeds, where training them together saves time."""
        if most == 1 or not gains_together(self.of_arm(arm)):
            return super().groups(seeds, arm, most)
        return [seeds[i - i % most : i - i % most + most] for i in range(len(seeds))]

    def watch(self, claims: tuple[Claim, ...], arm: str) -> Watch | None:
        """The published curve that an arm's reruns should follow, where the target asks to stop those that do not."""
        for claim in claims if self.stop_doomed else ():
            if claim.arm == arm and claim.testable and claim.curve and (family := scatter_of(claim)):
                num_runs = claim.published.num_runs
                return Watch(metric=claim.metric, published=claim.curve, num_published=num_runs, family=family)
        return None

    def scaled_down(
        self, claims: tuple[Claim, ...], steps: float, declared: tuple[ScaledRerun, ...]  # noqa: ARG002
    ) -> tuple[Self, tuple[Claim, ...]] | str:  # fmt: skip
        """As much of the training as the published curve of a claim has a point for; claims without one are not tested."""
        problem = f"scaled down to {steps:g} of its updates: "
        if self.recipe.schedule.name != "constant":
            return problem + "its learning rate is planned for the whole training"
        every = self.recipe.evaluation.every
        curves = {claim.id: dict(claim.curve) for claim in claims if claim.testable and claim.curve}
        shared = set.intersection(*map(set, curves.values())) if curves else set()
        at = max((step for step in shared if 0 < step <= steps * self.recipe.steps and step % every == 0), default=None)
        if at is None:
            return (
                problem + "the target states no published value of that scale (no claim has a `curve` with such a step)"
            )
        training = replace(self.recipe, steps=at + 1, evaluation=replace(self.recipe.evaluation, at_step=at))
        held = tuple(
            claim.held_to(_of_curve(claim, curves[claim.id][at]))
            if claim.id in curves
            else replace(claim, testable=False)
            for claim in claims
        )
        return replace(self, recipe=training), held

    def execute(self, job: Job) -> RunResult:
        """One rerun, in this process."""
        from openassay.training import trainer  # noqa: PLC0415 - torch takes seconds to import; only workers need it

        started = time.process_time()
        arrays = load_arrays(job.data) if job.data else {}
        outcome: Training | NotWorthwhile | TimeLimit
        try:
            device = trainer.pick_device(job.device)
            outcome = trainer.train(
                self.of_arm(job.arm), permuted(arrays, job.arm.permute, job.seed),
                seed=job.seed, device=device, threads=job.threads, timeout_s=job.timeout_s, is_doomed=self._is_doomed(job),
            )  # fmt: skip
        except (trainer.NotWorthwhile, TimeLimit) as end:
            outcome = end
        except RecipeMismatch as error:
            raise BadInput(str(error)) from None
        return self._ended(job, outcome, device, time.process_time() - started)

    def execute_together(self, jobs: Sequence[Job]) -> list[RunResult]:
        """Reruns of the same data and threads in one computation, in this process; each gets its share of the time.

        They have the time limits of all together, since each would have had its own.
        """
        from openassay.training import parallel, trainer  # noqa: PLC0415 - as above

        started, first = time.process_time(), jobs[0]
        arrays = load_arrays(first.data) if first.data else {}
        try:
            device = trainer.pick_device(first.device)
            members = [
                parallel.SeedTraining(
                    recipe=self.of_arm(job.arm), data=permuted(arrays, job.arm.permute, job.seed), seed=job.seed,
                    is_doomed=self._is_doomed(job),
                )
                for job in jobs
            ]  # fmt: skip
            limit_s = sum(job.timeout_s for job in jobs)
            outcomes = parallel.train_together(members, device=device, threads=first.threads, timeout_s=limit_s)
        except RecipeMismatch as error:
            raise BadInput(str(error)) from None
        cpu_s = (time.process_time() - started) / len(jobs)
        return [self._ended(job, outcome, device, cpu_s) for job, outcome in zip(jobs, outcomes, strict=True)]

    def _ended(self, job: Job, outcome: Training | NotWorthwhile | TimeLimit, device: str, cpu_s: float) -> RunResult:
        from openassay.training import trainer  # noqa: PLC0415 - as above

        if isinstance(outcome, trainer.NotWorthwhile):
            curves = {self.metric: self._scaled(outcome.curve)}
            reason = f"stopped: {outcome}"
            return RunResult(status=RerunStatus.STOPPED, reason=reason, curves=curves, cpu_s=cpu_s, device=device)
        if isinstance(outcome, TimeLimit):
            reason = f"stopped after {job.timeout_s:g} s, its time limit"
            return RunResult(status=RerunStatus.TIMED_OUT, reason=reason, cpu_s=cpu_s, device=device)
        value = outcome.value * self.scale
        good = math.isfinite(value)
        return RunResult(
            status=RerunStatus.FINISHED if good else RerunStatus.DIVERGED,
            reason="" if good else "the training loss is not a finite number",
            measurements=(measurement(self.metric, value, self.recipe.evaluation.at_step),),
            curves={self.metric: self._scaled(outcome.metric_curve), "train_loss": outcome.loss_curve},
            log=f"trained {outcome.num_parameters} parameters for {self.recipe.steps} updates on {device}\n",
            cpu_s=cpu_s, device=device,
        )  # fmt: skip

    def _scaled(self, curve: Iterable[tuple[int, float]]) -> Curve:
        """A curve in the claim's unit, as far as it is finite."""
        return tuple((step, point * self.scale) for step, point in curve if math.isfinite(point))

    def _is_doomed(self, job: Job) -> Callable[[list[tuple[int, float]]], str] | None:
        watch = job.watch
        return None if watch is None else lambda curve: watch.doomed(self._scaled(curve))

    def judge_findings(self, claims: tuple[Claim, ...], records: Mapping[str, Any]) -> list[Finding]:  # noqa: ARG002
        """That the release's own code did not train."""
        return [TAKEN_FROM_PUBLICATION]

    def display(self, records: Mapping[str, Any]) -> Display:  # noqa: ARG002
        """The recipe."""
        return Display(recipe=to_plain(self.recipe), taken_from=self.taken_from)


def _of_curve(claim: Claim, value: float) -> Published:
    """A point of the published curve; what was published of the final value's noise says nothing of it."""
    return Published(value=value, rounding=claim.published.rounding, num_runs=claim.published.num_runs)
