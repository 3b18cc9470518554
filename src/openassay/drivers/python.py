"""The python driver: the release's own code trains, in the release's own environment."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from openassay.core.findings import FetchRecord
from openassay.drivers.driver import Display, Driver, PublishedRun, artifact_digests
from openassay.drivers.job import Arm, Job, RunResult, load_arrays, permuted, placeholders, save_arrays
from openassay.drivers.measures import Measure, measured
from openassay.drivers.run import Run, Seeding, run_once
from openassay.records import to_plain


@dataclass(frozen=True, kw_only=True)
class PythonDriver(Driver):
    """Run the published code, and read the measurements from what it gives."""

    driver: Literal["python"]
    run: Run
    measure: tuple[Measure, ...]
    parameters: dict[str, Any] = field(default_factory=dict)
    """Values for `{name}` placeholders in the run's arguments; an arm may give others."""
    seeding: tuple[Seeding, ...] = ()
    """Global random generators that are seeded before the published code is called. `{seed}` passes the seed itself."""
    protocol: Literal["full"] = "full"
    """`full`: the whole published training is rerun."""

    changes_by = "parameters"
    runs_release_code = True
    not_scaled = "how long its training is, the release's own code decides"

    def metrics(self) -> set[str]:
        """The metrics that a rerun measures."""
        return {measure.metric for measure in self.measure}

    def release_runs(self) -> tuple[PublishedRun, ...]:
        """The run that trains."""
        return (PublishedRun(stage="rerun", run=self.run, parameters=self.parameters, measure=self.measure),)

    def check_arm(self, arm: Arm, key: str) -> Iterator[str]:
        """Also parameters that the run's arguments do not use."""
        yield from super().check_arm(arm, key)
        if unused := set(arm.parameters) - placeholders(self.run.arguments):
            yield f"{key}.parameters: the run has no {{{min(unused)}}}: it would change nothing"

    def same(self, changed: Arm, base: Arm) -> bool:
        """Whether the parameters of both are equal."""
        return self.parameters | changed.parameters == self.parameters | base.parameters

    def code(self, fetched: FetchRecord, glue: str | None) -> dict[str, object]:
        """The release's code, by what was fetched, the target's script, and ours that starts and measures it."""
        return super().code(fetched, glue) | {"glue": glue, "artifacts": artifact_digests(fetched)}

    def environment(self, of_release: dict[str, str]) -> dict[str, str]:
        """The release's own environment."""
        return of_release

    def execute(self, job: Job) -> RunResult:
        """One rerun."""
        own = None
        if job.data:  # a copy of the data for each run: what one run writes there, no other sees
            own = job.out / "data"
            shutil.copytree(job.data, own, symlinks=True)
            if job.arm.permute:
                save_arrays(own, permuted(load_arrays(job.data), job.arm.permute, job.seed))
        ended = run_once(self.run, replace(job, data=own), self.parameters, self.seeding)
        return measured(ended, self.measure, job)

    def display(self, records: Mapping[str, Any]) -> Display:  # noqa: ARG002
        """The run."""
        return Display(run=to_plain(self.run))
