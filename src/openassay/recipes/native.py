"""The native driver: our trainer follows a recipe that was taken from the publication.

For releases whose training code is not in the artifacts that can be had. The report says that the recipe was taken from
the publication, not run from the release's code.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from openassay.core.types import Citation, Measurement, RerunStatus
from openassay.faults import BadInput
from openassay.recipes.job import Arm, Job, RunResult, load_arrays, permuted, with_changes
from openassay.records import parse, to_plain
from openassay.training.mismatch import RecipeMismatch, TimeLimit
from openassay.training.recipe import TrainingRecipe

if TYPE_CHECKING:
    from openassay.training.trainer import NotWorthwhile, Training


@dataclass(frozen=True, kw_only=True)
class NativeRecipe:
    """Train by our own trainer from a declarative recipe."""

    driver: Literal["native"]
    metric: str
    """Name of the measurement that a rerun gives."""
    recipe: TrainingRecipe
    taken_from: tuple[Citation, ...]
    """Where the release publishes this recipe."""
    scale: float = 1.0
    """Factor from the metric's own unit to the claim's: 100 for an accuracy in per cent."""
    arms: dict[str, Arm] = field(default_factory=lambda: {"faithful": Arm()})
    max_runs: Annotated[int, Field(ge=2)] | None = None
    """Most reruns of an arm, where the profile would make more."""
    timeout_s: Annotated[float, Field(gt=0)] = 3600.0
    protocol: Literal["full"] = "full"
    """`full`: the whole published training is rerun."""
    stop_doomed: bool = False
    """Stop a rerun that has left the published curve of its claim for good (`curve` and `curve_scatter`). It saves the rest of a
    long training, and its claim stays INCONCLUSIVE: a verdict needs finished reruns."""

    def metrics(self) -> set[str]:
        """The metrics that a rerun measures."""
        return {self.metric}

    def placeholders(self) -> set[str]:
        """A declarative recipe has none."""
        return set()

    def of_arm(self, arm: Arm) -> TrainingRecipe:
        """The recipe with an arm's changes; `BadInput` when it names a field that is not there."""
        result: TrainingRecipe = parse(TrainingRecipe, with_changes(to_plain(self.recipe), arm.set), "recipe")
        return result

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
        return self._execution(job, outcome, device, time.process_time() - started)

    def execute_together(self, jobs: Sequence[Job]) -> list[RunResult]:
        """Reruns of the same data and threads in one computation, in this process; each gets its share of the time.

        They have the time limits of all together, since each would have had its own.
        """
        from openassay.training import parallel, trainer  # noqa: PLC0415 - as above

        started = time.process_time()
        first = jobs[0]
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
            outcomes = parallel.train_together(
                members, device=device, threads=first.threads, timeout_s=sum(job.timeout_s for job in jobs)
            )
        except RecipeMismatch as error:
            raise BadInput(str(error)) from None
        cpu_s = (time.process_time() - started) / len(jobs)
        return [self._execution(job, outcome, device, cpu_s) for job, outcome in zip(jobs, outcomes, strict=True)]

    def _execution(
        self, job: Job, outcome: Training | NotWorthwhile | TimeLimit, device: str, cpu_s: float
    ) -> RunResult:
        from openassay.training import trainer  # noqa: PLC0415 - as above

        if isinstance(outcome, trainer.NotWorthwhile):
            return RunResult(
                status=RerunStatus.STOPPED, reason=f"stopped: {outcome}", measurements=(),
                curves={self.metric: self._scaled(outcome.curve)}, log="", cpu_s=cpu_s, device=device,
            )  # fmt: skip
        if isinstance(outcome, TimeLimit):
            return RunResult(
                status=RerunStatus.TIMED_OUT, reason=f"stopped after {job.timeout_s:g} s, its time limit", measurements=(),
                curves={}, log="", cpu_s=cpu_s, device=device,
            )  # fmt: skip
        value = outcome.value * self.scale
        good = math.isfinite(value)
        measurement = Measurement(
            metric=self.metric, value=value if good else None, raw=repr(value), step=self.recipe.evaluation.at_step,
            self_reported=False,
        )  # fmt: skip
        curve = self._scaled(outcome.metric_curve)
        return RunResult(
            status=RerunStatus.FINISHED if good else RerunStatus.DIVERGED,
            reason="" if good else "the training loss is not a finite number",
            measurements=(measurement,),
            curves={self.metric: curve, "train_loss": outcome.loss_curve},
            log=f"trained {outcome.num_parameters} parameters for {self.recipe.steps} updates on {device}\n",
            cpu_s=cpu_s,
            device=device,
        )

    def _scaled(self, curve: Iterable[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
        """A curve in the claim's unit, as far as it is finite."""
        return tuple((step, point * self.scale) for step, point in curve if math.isfinite(point))

    def _is_doomed(self, job: Job) -> Callable[[list[tuple[int, float]]], str] | None:
        watch = job.watch
        return None if watch is None else lambda curve: watch.doomed(self._scaled(curve))
