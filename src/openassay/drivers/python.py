"""The python driver: the release's own code trains, in the release's own environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from openassay.core.findings import FetchRecord
from openassay.drivers.driver import Display
from openassay.drivers.job import Job, RunResult
from openassay.drivers.measures import measured
from openassay.drivers.published_code import PublishedCode
from openassay.drivers.run import Run, Seeding, run_once
from openassay.records import to_plain
from openassay.store import copy_tree


@dataclass(frozen=True, kw_only=True)
class PythonDriver(PublishedCode):
    """Run the published code, and read the measurements from what it gives."""

    driver: Literal["python"]
    run: Run
    seeding: tuple[Seeding, ...] = ()
    """Global random generators that are seeded before the published code is called. `{seed}` passes the seed itself."""
    protocol: Literal["full"] = "full"
    """`full`: the whole published training is rerun."""

    def code(self, fetched: FetchRecord, glue: str | None) -> dict[str, object]:
        """Also the target's script."""
        return super().code(fetched, glue) | {"glue": glue}

    def execute(self, job: Job) -> RunResult:
        """One rerun."""
        if job.data:  # a copy of the data for each run: what one run writes there, no other sees
            own = job.out / "data"
            copy_tree(job.data, own)
            job = self.handed(replace(job, data=own), own)
        ended = run_once(self.run, job, self.parameters, self.seeding)
        return self.with_weights(measured(ended, self.measure, job), job)

    def display(self, records: Mapping[str, Any]) -> Display:  # noqa: ARG002
        """The run."""
        return Display(run=to_plain(self.run))
