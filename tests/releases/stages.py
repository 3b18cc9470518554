"""Run the stages of an audit in this process, as the scripts in pipelines/ do."""

from __future__ import annotations

from openassay.core.verdict_records import ReleaseVerdict
from openassay.layout import Layout, cache_home
from openassay.plan import write_plan
from openassay.records import write_record, write_text
from openassay.stages import evaluate, fetch, inspect, judge, plan, prepare, report, rerun
from openassay.store import Store

SETTINGS = ["profile=smoke", "judge=default", "tracking=none", "execution=cpu"]


def audit(layout: Layout, overrides: list[str] | None = None) -> ReleaseVerdict:
    """The whole audit of a target."""
    frozen = plan.run(layout, overrides or SETTINGS)
    write_plan(layout.plan, frozen)
    store = Store(cache_home())
    fetched = fetch.run(frozen, store, layout)
    write_record(layout.record("fetch"), fetched)
    write_record(layout.record("inspect"), inspect.run(frozen, fetched, store))
    prepared = prepare.run(frozen, fetched, store, layout)
    write_record(layout.record("prepare"), prepared)
    write_record(layout.record("evaluate"), evaluate.run(frozen, fetched, prepared, store, layout))
    write_record(layout.record("rerun"), rerun.run(frozen, fetched, prepared, store, layout))
    verdict = judge.run(frozen, *judge.read_all(layout), layout)
    write_record(layout.verdict, verdict)
    write_text(layout.report, report.run(report.read_evidence(frozen, layout)))
    return verdict
