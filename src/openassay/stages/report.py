"""How does a person see, check and pass on the result?"""

from __future__ import annotations

import sys

from openassay import tracking
from openassay.core.findings import FetchRecord, InspectRecord, PrepareRecord
from openassay.core.rerun_records import EvaluateRecord, Rerun, RerunsRecord
from openassay.core.verdict_records import ReleaseVerdict
from openassay.layout import Layout
from openassay.plan import Plan, read_plan
from openassay.records import read_record, write_text
from openassay.report.page import PageInputs, render
from openassay.reviewing import name_of, reviews
from openassay.seals import sealing
from openassay.tracking.mirror import Audit
from openassay.tracking.mirror import track as mirror


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
        reviews=reviews(layout.root, layout.target),
    )


def run(evidence: PageInputs) -> str:
    """The page, self-contained HTML."""
    return render(evidence)


def write_page(layout: Layout) -> PageInputs:
    """Write the page and seal it; returns what it shows. Raises as `seals.check` does where a record is not as it was made."""
    with sealing(layout, "report"):
        evidence = read_evidence(read_plan(layout), layout)
        write_text(layout.report, run(evidence))
    return evidence


def track(evidence: PageInputs, layout: Layout) -> None:
    """Mirror the audit into MLflow, if the plan says so, and take over its reviews; the page is made anew with those.

    A server that is lost loses nothing: a warning, not a fault.
    """
    settings = evidence.plan.tracking
    if settings.get("kind") == "none":
        return
    try:
        experiment = mirror(layout, settings.get("uri"), [audit_of(evidence, layout)])
    except tracking.TrackingLost as problem:
        print(f"warning: {problem}; the report and the records are complete", file=sys.stderr)
        return
    chart = tracking.chart_path(experiment, name_of(evidence.verdict))
    uri = tracking.tracking_uri(layout.root, settings.get("uri"))
    first = "" if tracking.is_server(uri) else "openassay dashboard, then "
    print(f"  MLflow: {first}{tracking.served_at(uri)}{chart}")


def audit_of(evidence: PageInputs, layout: Layout) -> Audit:
    """The audit whose records lie there, as MLflow is to show it."""
    return Audit(
        verdict=evidence.verdict, plan=evidence.plan, runs=evidence.runs, artifacts=evidence.fetched.artifacts,
        files=(layout.plan, layout.verdict, layout.report),
    )  # fmt: skip


def published_audit(layout: Layout) -> Audit | None:
    """The audit that was published, as MLflow is to show it; None where none was."""
    plan, verdict, page = (layout.published / of.name for of in (layout.plan, layout.verdict, layout.report))
    if not verdict.is_file():
        return None
    return Audit(
        verdict=read_record(verdict, ReleaseVerdict),
        plan=read_plan(layout, plan),
        files=tuple(of for of in (plan, verdict, page) if of.is_file()),
    )
