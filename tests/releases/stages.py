"""Run the stages of an audit in this process, as the scripts in pipelines/ do."""

from __future__ import annotations

from pathlib import Path

from openassay.core.verdict_records import ReleaseVerdict
from openassay.layout import Layout, cache_home
from openassay.plan import write_plan
from openassay.records import file_digest, write_record, write_text
from openassay.seals import seal, sealing
from openassay.stages import evaluate, fetch, inspect, judge, plan, prepare, report, rerun
from openassay.store import Store

SETTINGS = ["profile=smoke", "judge=default", "tracking=none", "execution=cpu"]


def audit(layout: Layout, overrides: list[str] | None = None) -> ReleaseVerdict:
    """The whole audit of a target."""
    frozen = plan.run(layout, overrides or SETTINGS)
    with sealing(layout, "plan"):
        write_plan(layout.plan, frozen)
    store = Store(cache_home())
    with sealing(layout, "fetch"):
        fetched = fetch.run(frozen, store, layout)
        write_record(layout.record("fetch"), fetched)
    with sealing(layout, "inspect"):
        write_record(layout.record("inspect"), inspect.run(frozen, fetched, store))
    with sealing(layout, "prepare"):
        prepared = prepare.run(frozen, fetched, store, layout)
        write_record(layout.record("prepare"), prepared)
    with sealing(layout, "evaluate"):
        write_record(layout.record("evaluate"), evaluate.run(frozen, fetched, prepared, store, layout))
    with sealing(layout, "rerun"):
        write_record(layout.record("rerun"), rerun.run(frozen, fetched, prepared, store, layout))
    with sealing(layout, "judge"):
        verdict = judge.run(frozen, *judge.read_all(layout), layout)
        write_record(layout.verdict, verdict)
    with sealing(layout, "report"):
        write_text(layout.report, report.run(report.read_evidence(frozen, layout)))
    return verdict


def seal_as_it_is(layout: Layout, stage: str, *paths: Path) -> None:
    """Seal files that a test has written in a stage's place."""
    seal(layout, stage, {path.relative_to(layout.folder).as_posix(): file_digest(path) for path in paths}, {})
