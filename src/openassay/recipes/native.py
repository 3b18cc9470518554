"""The native driver: our trainer follows a recipe that was taken from the publication.

For releases whose training code is not in the artifacts that can be had. The report says that the recipe was taken from
the publication, not run from the release's code.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from openassay.core.types import Citation, Measurement, RerunStatus
from openassay.faults import BadInput
from openassay.recipes.job import Arm, Execution, Job, load_arrays, permuted, with_changes
from openassay.records import parse, to_plain
from openassay.training.recipe import TrainingRecipe


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

    def execute(self, job: Job) -> Execution:
        """One rerun, in this process."""
        from openassay.training import trainer  # noqa: PLC0415 - torch takes seconds to import; only workers need it

        started = time.process_time()
        arrays = load_arrays(job.data) if job.data else {}
        try:
            device = trainer.pick_device(job.device)
            training = trainer.train(
                self.of_arm(job.arm), permuted(arrays, job.arm.permute, job.seed),
                seed=job.seed, device=device, threads=job.threads, timeout_s=job.timeout_s,
                is_doomed=None if job.watch is None else lambda curve: self._doomed(job, curve),
            )  # fmt: skip
        except trainer.NotWorthwhile as stop:
            return Execution(
                status=RerunStatus.STOPPED, reason=f"stopped: {stop}", measurements=(),
                curves={self.metric: self._scaled(stop.curve)}, log="", cpu_s=time.process_time() - started, device=device,
            )  # fmt: skip
        except trainer.TimeLimit:
            return Execution(
                status=RerunStatus.TIMED_OUT, reason=f"stopped after {job.timeout_s:g} s, its time limit", measurements=(),
                curves={}, log="", cpu_s=time.process_time() - started, device=device,
            )  # fmt: skip
        except trainer.RecipeMismatch as error:
            raise BadInput(str(error)) from None
        value = training.value * self.scale
        good = math.isfinite(value)
        measurement = Measurement(
            metric=self.metric, value=value if good else None, raw=repr(value), step=self.recipe.evaluation.at_step,
            self_reported=False,
        )  # fmt: skip
        curve = self._scaled(training.metric_curve)
        return Execution(
            status=RerunStatus.FINISHED if good else RerunStatus.DIVERGED,
            reason="" if good else "the training loss is not a finite number",
            measurements=(measurement,),
            curves={self.metric: curve, "train_loss": training.loss_curve},
            log=f"trained {training.num_parameters} parameters for {self.recipe.steps} updates on {device}\n",
            cpu_s=time.process_time() - started,
            device=device,
        )

    def _scaled(self, curve: Iterable[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
        """A curve in the claim's unit, as far as it is finite."""
        return tuple((step, point * self.scale) for step, point in curve if math.isfinite(point))

    def _doomed(self, job: Job, curve: Iterable[tuple[int, float]]) -> str:
        return job.watch.doomed(self._scaled(curve)) if job.watch else ""
