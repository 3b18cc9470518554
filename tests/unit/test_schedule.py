"""A round of audits goes on, whatever lies in a history, on a disk or at an address."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from releases.miniature import add_release, make_project, write_index

from openassay import schedule
from openassay.core.verdict_records import Outcome
from openassay.faults import BadInput
from openassay.layout import Layout
from openassay.records import to_plain
from openassay.schedule import PastAudit, audit_all, history, marks_of, parse_age, write_history
from openassay.sources.local import LocalSource
from openassay.target import read_target

SETTINGS = ("profile=smoke", "judge=default", "tracking=none", "execution=cpu")
ENTRY = PastAudit(
    finished_at="2026-11-01T00:00:00Z", why="never audited", outcome=Outcome.REPRODUCED, reason="", score=1.0, coverage=1.0,
    claims={}, artifacts={}, plan_digest="p", rules_version="1", openassay="0", duration_s=1.0, upstream=None,
)  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = make_project(tmp_path / "project")
    for name in ("one", "two"):
        add_release(root, "honest", name)
    write_index(root, ["one", "two"])
    monkeypatch.setenv("OPENASSAY_CACHE", str(tmp_path / "cache"))
    return root


def audit(project: Path, *names: str, age: str = "30d") -> dict[str, schedule.Done]:
    layouts = [Layout(project, name) for name in names]
    found = audit_all(project, layouts, SETTINGS, age=parse_age(age), ask_upstream=True, force=False, indexed=())
    return {of.target: of for of in found.targets}


def line(**changes: Any) -> bytes:
    return json.dumps(to_plain(ENTRY) | changes).encode() + b"\n"


@pytest.mark.parametrize(
    "content",
    [b"\xff\n", b"{\n", b"\n\n", b"[" * 100_000, b"3", line(finished_at="yesterday"), line(finished_at="2026-11-01T00:00:00"),
     line(outcome="FINE"), line(more=1)],
)  # fmt: skip
def test_a_broken_history_is_bad_input_of_its_target_alone(
    content: bytes, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(project, "one")
    layout.history.parent.mkdir(parents=True)
    layout.history.write_bytes(content)
    with pytest.raises(BadInput, match=r"experiments/one/history\.jsonl, line 1: "):
        history(layout)
    monkeypatch.setattr(schedule, "reproduce", lambda *_, **__: (3, "asked to run"))
    found = audit(project, "one", "two")
    assert (found["one"].status, found["one"].exit_status) == ("fault", 2)
    assert found["two"].message == "asked to run"


def test_a_history_comes_back_as_it_was_written(project: Path) -> None:
    layout = Layout(project, "one")
    entries = [replace(ENTRY, reason="a line\u2028separator \x85 and\nmore"), ENTRY]
    write_history(layout, entries)
    assert history(layout) == entries
    layout.history.write_text("")
    assert history(layout) == []


def test_a_folder_that_may_not_be_written_to_stops_its_target_only(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reproduce(layout: Layout, *_: Any, **__: Any) -> tuple[int, str]:
        if layout.target == "one":
            raise PermissionError(13, "Permission denied", "experiments/one")
        return 3, "asked to run"

    monkeypatch.setattr(schedule, "reproduce", reproduce)
    found = audit(project, "one", "two")
    assert (found["one"].status, found["one"].message) == ("fault", "experiments/one: Permission denied")
    assert found["two"].message == "asked to run"


def test_a_source_that_fails_in_an_odd_way_is_unknown(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def odd(_: object) -> str:
        raise UnicodeError("label too long")

    monkeypatch.setattr(LocalSource, "upstream", odd)
    assert set(marks_of(read_target(Layout(project, "one"))).values()) == {"unknown: label too long"}


def test_an_audit_that_ended_while_this_one_asked_the_servers_stays_in_the_history(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(project, "one")

    def asked(_: object) -> dict[str, str]:
        write_history(layout, [replace(ENTRY, asked=SETTINGS)])
        return {}

    monkeypatch.setattr(schedule, "marks_of", asked)
    monkeypatch.setattr(schedule, "reproduce", lambda *_, **__: (0, ""))
    monkeypatch.setattr(schedule, "_check_made", lambda *_: None)
    later = replace(ENTRY, finished_at="2026-11-02T00:00:00Z", outcome=Outcome.NOT_REPRODUCED)
    answers = iter([None, None])
    monkeypatch.setattr(schedule, "entry_of", lambda *_, **__: next(answers, later))
    found = audit(project, "one")["one"]
    assert [entry.finished_at for entry in history(layout)][:2] == [ENTRY.finished_at, later.finished_at]
    assert found.worse == ("REPRODUCED became NOT_REPRODUCED",)


def test_where_a_source_points_is_kept_once_it_can_be_asked() -> None:
    last = replace(ENTRY, upstream={"code": "abc", "data": "unknown: no network"})
    assert schedule._told(last, {"code": "def", "data": "123"}) == {"code": "abc", "data": "123"}
    assert schedule._told(last, {"code": "unknown: x", "data": "unknown: y"}) == last.upstream
    assert schedule._told(ENTRY, {"code": "abc"}) == {"code": "abc"}
