"""What does the released model score under our evaluator? Evidence beside the verdict, never a verdict: nothing is trained."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from openassay.core.findings import FetchRecord, Finding, PrepareRecord
from openassay.core.rerun_records import EvaluateRecord, Measurement, RerunStatus
from openassay.drivers.driver import Driver
from openassay.drivers.measures import measured
from openassay.layout import Layout
from openassay.plan import Plan
from openassay.provenance import package_versions
from openassay.published.tokens import BadTokens
from openassay.sandbox import LOG_TAIL, NotPossible, make_room
from openassay.store import Store, remove_tree
from openassay.training.mismatch import RecipeMismatch

NOT_MEASURED = EvaluateRecord(
    status="none", reason="the target declares no evaluation of released weights", measurements=(), environment={},
    log_tail="", cpu_s=0.0, findings=(),
)  # fmt: skip


def run(plan: Plan, fetched: FetchRecord, prepared: PrepareRecord, store: Store, layout: Layout) -> EvaluateRecord:
    """Measure the released model, where the release has one and the target says how."""
    if plan.evaluate is None and plan.rerun and plan.rerun.has_released_model:
        return _by_driver(plan, plan.rerun, fetched, store, layout)
    if plan.evaluate is None:
        return NOT_MEASURED
    try:
        if prepared.status == "failed":
            raise NotPossible(f"the data could not be prepared: {prepared.reason}")
        room = make_room(plan, fetched, store, layout, needs_environment=True)
    except NotPossible as problem:
        return _failed(NOT_MEASURED, str(problem))
    out = Path(tempfile.mkdtemp(prefix="openassay-evaluate-"))
    try:
        print("  measuring the released model ...", flush=True)
        job, ended = room.run(plan.evaluate, "evaluate", out=out, data=layout.data, threads=plan.execution.threads)
        found = measured(ended, plan.evaluate.measure, job)
    finally:
        remove_tree(out)
    record = replace(NOT_MEASURED, environment=room.versions, log_tail=ended.log[-LOG_TAIL:], cpu_s=ended.cpu_s)
    record = replace(record, findings=room.findings("evaluate"))
    if found.status is not RerunStatus.FINISHED:
        return _failed(record, found.reason)
    return _done(record, found.measurements)


def _by_driver(plan: Plan, driver: Driver, fetched: FetchRecord, store: Store, layout: Layout) -> EvaluateRecord:
    """What the release's own weights reach, as the driver measures it, in this process."""
    started = time.process_time()
    try:
        room = make_room(plan, fetched, store, layout, needs_environment=False)
        print("  measuring the released checkpoint ...", flush=True)
        threads, device = plan.execution.threads, plan.execution.device
        measurements = driver.measure_released(room.artifacts, threads=threads, device=device)
    except (NotPossible, RecipeMismatch, BadTokens) as problem:
        return _failed(NOT_MEASURED, str(problem))
    environment, cpu_s = package_versions(("torch", "transformers", "numpy")), time.process_time() - started
    return _done(replace(NOT_MEASURED, environment=environment, cpu_s=cpu_s), measurements)


def _done(record: EvaluateRecord, measurements: tuple[Measurement, ...]) -> EvaluateRecord:
    findings = tuple(
        Finding(stage="evaluate", kind="released_model_measured", message=f"the released model gives {m.metric} = {m.value:g}")
        for m in measurements if m.value is not None
    )  # fmt: skip
    return replace(record, status="done", reason="", measurements=measurements, findings=record.findings + findings)


def _failed(record: EvaluateRecord, reason: str) -> EvaluateRecord:
    finding = Finding(stage="evaluate", kind="evaluation_failed", message=reason)
    return replace(record, status="failed", reason=reason, findings=(*record.findings, finding))
