"""How does a person see, check and pass on the result?"""

from __future__ import annotations

import sys

from openassay import tracking
from openassay.core.findings import FetchRecord, InspectRecord, PrepareRecord
from openassay.core.rerun_records import EvaluateRecord, Rerun, RerunsRecord
from openassay.core.verdict_records import ReleaseVerdict
from openassay.layout import Layout
from openassay.plan import Plan
from openassay.records import read_record
from openassay.report.page import PageInputs, render


def read_evidence(plan: Plan, layout: Layout) -> PageInputs:
    """Everything that the page shows, from the records."""
    reruns = read_record(layout.record("rerun"), RerunsRecord)
    seeds = {arm: plan.seeds.arms[arm][: len(identities)] for arm, identities in reruns.identities.items()}
    return PageInputs(
        plan=plan,
        verdict=read_record(layout.verdict, ReleaseVerdict),
        fetched=read_record(layout.record("fetch"), FetchRecord),
        inspected=read_record(layout.record("inspect"), InspectRecord),
        prepared=read_record(layout.record("prepare"), PrepareRecord),
        evaluated=read_record(layout.record("evaluate"), EvaluateRecord),
        runs={
            arm: tuple(read_record(layout.rerun(arm, seed) / "record.json", Rerun) for seed in of)
            for arm, of in seeds.items()
        },
        planned=reruns.planned,
        records=plan.rerun.own_records(reruns, layout) if plan.rerun else {},
        glue=(layout.glue_folder / plan.glue.file).read_text(encoding="utf-8") if plan.glue else None,
    )


def run(evidence: PageInputs) -> str:
    """The page, self-contained HTML."""
    return render(evidence)


def track(evidence: PageInputs, layout: Layout) -> None:
    """Mirror the audit into MLflow, if the plan says so. A server that is lost loses nothing: a warning, not a fault."""
    settings = evidence.plan.tracking
    if settings.get("kind") != "mlflow":
        return
    try:
        experiment = tracking.track(evidence.verdict, evidence.runs, layout.report, layout.root, settings.get("uri"))
    except tracking.TrackingLost as problem:
        print(f"warning: {problem}; the report and the records are complete", file=sys.stderr)
        return
    chart = tracking.chart_path(experiment, tracking.audit_name(evidence.verdict))
    uri = tracking.tracking_uri(layout.root, settings.get("uri"))
    first = "" if uri.startswith("http") else "openassay dashboard, then "
    print(f"  MLflow: {first}{tracking.served_at(uri)}{chart}")
