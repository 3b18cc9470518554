"""What does the released model score under our evaluator? Evidence beside the verdict, never a verdict: nothing is trained."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from openassay.core.findings import FetchRecord, Finding, PrepareRecord
from openassay.core.rerun_records import EvaluateRecord, Measurement, RerunStatus
from openassay.drivers.driver import Driver
from openassay.drivers.job import Arm
from openassay.drivers.measures import measured
from openassay.drivers.run import run_once
from openassay.layout import Layout
from openassay.plan import Plan
from openassay.provenance import package_versions
from openassay.sandbox import LOG_TAIL, NotPossible, make_room
from openassay.store import Store, remove_tree
from openassay.training.mismatch import RecipeMismatch
from openassay.training.tokens import BadTokens


def run(plan: Plan, fetched: FetchRecord, prepared: PrepareRecord, store: Store, layout: Layout) -> EvaluateRecord:
    """Measure the released model, where the release has one and the target says how."""
    if plan.evaluate is None and plan.rerun and plan.rerun.has_released_model:
        return _by_driver(plan, plan.rerun, fetched, store, layout)
    if plan.evaluate is None:
        return EvaluateRecord(
            status="none", reason="the target declares no evaluation of released weights", measurements=(),
            environment={}, log_tail="", cpu_s=0.0, findings=(),
        )  # fmt: skip
    if prepared.status == "failed":
        return _failed(f"the data could not be prepared: {prepared.reason}")
    try:
        room = make_room(plan, fetched, store, layout, needs_environment=True)
    except NotPossible as problem:
        return _failed(str(problem))
    out = Path(tempfile.mkdtemp(prefix="openassay-evaluate-"))
    try:
        job = room.job(
            out=out, data=layout.data, arm=Arm(), seed=plan.evaluate.seed, device="cpu",
            threads=plan.execution.threads, timeout_s=plan.evaluate.timeout_s,
        )  # fmt: skip
        print("  measuring the released model ...", flush=True)
        ended = run_once(plan.evaluate.run, job, plan.evaluate.parameters, plan.evaluate.seeding)
        execution = measured(ended, plan.evaluate.measure, job)
    finally:
        remove_tree(out)
    environment = room.environment.identity() if room.environment else {}
    if execution.status is not RerunStatus.FINISHED:
        return _failed(execution.reason, environment, ended.log[-LOG_TAIL:], ended.cpu_s)
    return _done(execution.measurements, environment, ended.log[-LOG_TAIL:], ended.cpu_s)


def _by_driver(plan: Plan, driver: Driver, fetched: FetchRecord, store: Store, layout: Layout) -> EvaluateRecord:
    """What the release's own weights reach, as the driver measures it, in this process."""
    started = time.process_time()
    try:
        room = make_room(plan, fetched, store, layout, needs_environment=False)
        print("  measuring the released checkpoint ...", flush=True)
        measurements = driver.measure_released(
            room.artifacts, threads=plan.execution.threads, device=plan.execution.device
        )
    except (NotPossible, RecipeMismatch, BadTokens) as problem:
        return _failed(str(problem))
    return _done(measurements, package_versions(("torch", "transformers", "numpy")), "", time.process_time() - started)


def _done(
    measurements: tuple[Measurement, ...], environment: dict[str, str], log_tail: str, cpu_s: float
) -> EvaluateRecord:
    findings = tuple(
        Finding(stage="evaluate", kind="released_model_measured", message=f"the released model gives {m.metric} = {m.value:g}")
        for m in measurements if m.value is not None
    )  # fmt: skip
    return EvaluateRecord(
        status="done", reason="", measurements=measurements, environment=environment, log_tail=log_tail, cpu_s=cpu_s,
        findings=findings,
    )  # fmt: skip


def _failed(
    reason: str, environment: dict[str, str] | None = None, log_tail: str = "", cpu_s: float = 0.0
) -> EvaluateRecord:
    return EvaluateRecord(
        status="failed", reason=reason, measurements=(), environment=environment or {}, log_tail=log_tail, cpu_s=cpu_s,
        findings=(Finding(stage="evaluate", kind="evaluation_failed", message=reason),),
    )  # fmt: skip
