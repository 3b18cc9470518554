"""What a stage reads of the plan is what makes it stale: no more, and no less."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from releases.miniature import add_release, make_project

from openassay.layout import Layout, cache_home
from openassay.plan import SECTIONS, Plan, make_plan, write_inputs
from openassay.records import write_record
from openassay.stages import evaluate, fetch, inspect, prepare, rerun
from openassay.store import Store

SPEED = {"name", "execution"}
"""What says where it runs and how fast, and whom it is about: no stage is stale for these."""


class Watched(Plan):
    """A plan that notes which of its sections are read."""

    def __getattribute__(self, name: str) -> object:
        if name in {field.name for field in fields(Plan)}:
            READ.add(name)
        return super().__getattribute__(name)


READ: set[str] = set()


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory, session_cache: Path) -> dict[str, set[str]]:
    """The sections that each stage reads, over releases of several kinds."""
    found: dict[str, set[str]] = {stage: set() for stage in SECTIONS}
    root = make_project(tmp_path_factory.mktemp("project"))
    probe = {
        "arm": "longer",
        "rationale": "x",
        "metric": "accuracy",
        "expects": "lower",
        "parameters": {"labels": "inverted"},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("OPENASSAY_CACHE", str(session_cache))
        for variant, changes in (
            ("honest", {"probes": [probe]}),
            ("broken", {"rerun": None, "controls": [], "not_rerun_because": "nothing is there"}),
            (
                "with_baseline",
                {"prepare": {"run": {"kind": "script", "artifact": "code", "path": "train.py", "arguments": []}}},
            ),
        ):
            layout = add_release(root, variant, **changes)
            plan = make_plan(layout)
            watched, store = (
                Watched(**{field.name: getattr(plan, field.name) for field in fields(Plan)}),
                Store(cache_home()),
            )
            fetched = noted(found["fetch"], fetch.run, watched, store, layout)
            inspected = noted(found["inspect"], inspect.run, watched, fetched, store)
            write_record(layout.record("inspect"), inspected)
            prepared = noted(found["prepare"], prepare.run, watched, fetched, store, layout)
            noted(found["evaluate"], evaluate.run, watched, fetched, prepared, store, layout)
            noted(found["rerun"], rerun.run, watched, fetched, prepared, store, layout)
    return found


def noted(where: set[str], run: Callable[..., Any], *arguments: object) -> Any:
    """What a stage gives; what it reads is added."""
    READ.clear()
    given = run(*arguments)
    where |= READ
    return given


@pytest.mark.parametrize("stage", SECTIONS)
def test_a_stage_is_stale_for_what_it_reads(stage: str, read: dict[str, set[str]]) -> None:
    assert read[stage] - SPEED <= set(SECTIONS[stage])


def test_a_changed_section_changes_the_digests_of_the_stages_that_read_it(tmp_path: Path) -> None:
    layout = add_release(make_project(tmp_path), "honest")
    inputs = {}
    for before, after in (("", ""), ("margin: 0.03", "margin: 0.04"), ("labels: inverted", "labels: none")):
        layout.target_file.write_text(
            layout.target_file.read_text().replace(before, after) if before else layout.target_file.read_text()
        )
        write_inputs(layout, make_plan(layout))
        inputs[after] = {stage: json.loads(layout.inputs(stage).read_text()) for stage in SECTIONS}
    changed = [
        {stage for stage in SECTIONS if inputs[one][stage] != inputs[other][stage]}
        for one, other in (("", "margin: 0.04"), ("margin: 0.04", "labels: none"))
    ]
    assert changed == [{"rerun"}, {"rerun"}]
    assert Layout(tmp_path, "honest").inputs("judge").exists() is False  # it depends on the whole plan
