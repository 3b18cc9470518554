"""Scheduled audits: what is due is run, once, whatever becomes of the others; and the exit status says what came of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub import Hub
from releases.commands import LONG_S, called
from releases.miniature import add_release, make_project, target, write_index, write_target

from openassay.core.verdict_records import Outcome
from openassay.faults import BadInput
from openassay.schedule import Done, PastAudit, Summary, got_worse, parse_age, to_markdown, why_due

BIN = Path(sys.executable).parent


def start(project: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if key != "GITHUB_STEP_SUMMARY"}
    return subprocess.Popen(
        [str(BIN / "openassay"), *arguments], cwd=project, env=environment, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def command(project: Path, *arguments: str, expect: int = 0) -> tuple[str, str]:
    process = start(project, *arguments)
    out, complaints = process.communicate(timeout=LONG_S)
    assert process.returncode == expect, out + complaints
    return out, complaints


def summary(project: Path) -> dict[str, dict[str, Any]]:
    return {of["target"]: of for of in json.loads((project / "experiments" / "summary.json").read_text())["targets"]}


def changed(project: Path, name: str, before: str, after: str) -> None:
    path = project / "conf" / "target" / f"{name}.yaml"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path, git=True)


def test_what_is_due_is_audited_once_and_one_failure_stops_nobody(fresh: Path) -> None:
    add_release(fresh, "honest", "broken")
    write_index(fresh, ["honest", "broken", "inflated"])
    changed(fresh, "broken", "margin: 0.03", "margin: wide")
    for name in ("honest", "inflated"):
        changed(fresh, name, "margin: 0.03", "margin: 0.0301")
    out, complaints = command(fresh, "audit", "--due", "30d", expect=2)
    found = summary(fresh)
    assert {name: (of["status"], of["why"]) for name, of in found.items()} == {
        "honest": ("audited", "the plan has changed"), "broken": ("fault", ""),
        "inflated": ("audited", "the plan has changed"),
    }  # fmt: skip
    assert "margin" in found["broken"]["message"]
    assert "Traceback" not in out + complaints
    page = (fresh / "experiments" / "summary.md").read_text()
    assert "| broken | **could not be audited** |" in page
    assert "| honest | REPRODUCED · self-reported, unprotected, visible control |" in page

    changed(fresh, "inflated", "margin: 0.0301", "margin: 0.0302")
    finished = (fresh / "experiments" / "honest" / "verdict.json").stat().st_mtime_ns
    command(fresh, "audit", "--due", "30d", expect=2)
    found = summary(fresh)
    assert [found[name]["status"] for name in ("honest", "broken", "inflated")] == ["not due", "fault", "audited"]
    assert found["inflated"]["why"] == "the plan has changed"
    assert (fresh / "experiments" / "honest" / "verdict.json").stat().st_mtime_ns == finished
    assert len(called(fresh, "history", "inflated", "--json").stdout.splitlines()) == 3


def test_an_outcome_that_became_worse_ends_with_1(fresh: Path) -> None:
    write_index(fresh, ["honest"])
    verdict = fresh / "experiments" / "honest" / "verdict.json"
    verdict.write_text("{}")  # as another version may have left it
    (verdict.parent / "seals" / "judge.json").unlink()
    claimed = target(fresh, "honest", 0.99)
    claimed["claims"][0]["cited_at"] = {"url": "https://example.org/1"}
    write_target(fresh, claimed)
    _, complaints = command(fresh, "audit", "--all", expect=1)
    assert "worse than before: honest: REPRODUCED became NOT_REPRODUCED" in complaints
    assert "**NOT_REPRODUCED**" in (fresh / "experiments" / "summary.md").read_text()
    shown = called(fresh, "history", "honest").stdout
    assert "REPRODUCED became NOT_REPRODUCED" in " ".join(shown.split())


def test_a_release_whose_tag_has_moved_is_due_and_says_so(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = add_release(project, "honest", "moving")
    write_index(project, ["moving"])
    files = {path.name: path.read_bytes() for path in (project / "releases" / "moving").iterdir()}
    with Hub(tmp_path / "hub") as hub:
        hub.lead(monkeypatch, tmp_path)
        commit = hub.git("mini/code", files, tag="v1.0")
        data = yaml.safe_load(layout.target_file.read_text())
        source = {"kind": "git", "url": "https://github.com/mini/code", "commit": commit, "ref": "v1.0"}
        data["artifacts"]["code"] = {"sources": [source]}
        write_target(project, data)

        command(project, "audit", "--due", "30d")
        found = summary(project)["moving"]
        assert (found["why"], found["outcome"]) == ("never audited", "REPRODUCED")
        command(project, "audit", "--due", "30d")
        assert summary(project)["moving"]["status"] == "not due"
        moved = hub.git("mini/code", files | {"NEWS": b"another model"}, tag="v1.0")
        command(project, "audit", "--due", "30d")  # the commit that was pinned is there still
        found = summary(project)["moving"]
        assert found["why"] == f"upstream has changed: code was {commit}, is {moved}"
        assert found["outcome"] == "REPRODUCED"
        fetched = json.loads(layout.record("fetch").read_text())
        assert [finding["kind"] for finding in fetched["findings"]] == ["name_moved"]
        command(project, "audit", "--due", "30d")  # as before
        assert summary(project)["moving"]["status"] == "not due"
    command(project, "audit", "--due", "30d")  # nobody answers: that is no news of the release
    assert summary(project)["moving"]["status"] == "not due"
    fetch = [str(BIN / "python"), "-P", "-m", "openassay.pipelines.fetch", "moving"]
    subprocess.run(fetch, cwd=project, check=True)  # what is pinned and in the store needs nobody


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give names of targets, or --all"),
        (("--due", "soon"), "'soon' is not an age"),
        (("--due", "0d"), "'0d' is not an age"),
        (("nobody", "--due", "1d"), "nobody: there is no target of that name in conf/target/; there are: small"),
        (("small", "--all"), "not both names and --all"),
        (("small", "--profile", "nowhere"), "profile: there is no option 'nowhere'; there are: cpu, full, gpu, smoke"),
    ],
)
def test_a_mistake_is_one_line(project: Path, arguments: tuple[str, ...], message: str) -> None:
    add_release(project, "honest", "small")
    write_index(project, ["small"])
    done = called(project, "audit", *arguments, expect=2)
    assert message in done.stderr
    assert (done.stdout, len(done.stderr.splitlines())) == ("", 1)


ENTRY = PastAudit(
    finished_at="2026-11-01T00:00:00Z", why="never audited", outcome=Outcome.REPRODUCED, reason="", score=1.0, coverage=1.0,
    claims={"a": Outcome.REPRODUCED, "b": Outcome.INCONCLUSIVE}, artifacts={"code": True}, plan_digest="p",
    rules_version="1", openassay="0", duration_s=1.0, upstream={"code": "abc", "data": "unknown: no network"},
)  # fmt: skip
TODAY = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("last", "digest", "age", "marks", "why"),
    [
        (None, "p", "30d", None, "never audited"),
        (ENTRY, "p", "30d", None, ""),
        (ENTRY, "p", "3w", None, "21 days old"),
        (ENTRY, "q", "30d", None, "the plan has changed"),
        (ENTRY, "p", None, None, "asked for"),
        (ENTRY, "p", "30d", {"code": "abc"}, ""),
        (ENTRY, "p", "30d", {"code": "def"}, "upstream has changed: code was abc, is def"),
        (ENTRY, "p", "30d", {"code": "gone"}, "upstream has changed: code was abc, is gone"),
        (ENTRY, "p", "30d", {"code": "unknown: no network"}, ""),
        (ENTRY, "p", "30d", {"data": "now there is one"}, ""),
        (replace(ENTRY, upstream=None), "p", "30d", {"code": "def"}, ""),
        (
            replace(ENTRY, finished_at="2099-01-01T00:00:00Z"),
            "p",
            "30d",
            None,
            "its last audit lies in the future, by this machine's clock",
        ),
        (replace(ENTRY, finished_at="2026-11-22T00:05:00Z"), "p", "30d", None, ""),  # clocks differ a little
    ],
)
def test_an_audit_is_due_for_a_reason(
    last: PastAudit | None, digest: str, age: str | None, marks: dict[str, str] | None, why: str
) -> None:
    assert why_due(last, digest, parse_age(age) if age else None, marks, TODAY) == why


def test_ages_are_read() -> None:
    assert [parse_age(text) for text in ("90m", "12h", "30d", "4w")] == [
        timedelta(minutes=90), timedelta(hours=12), timedelta(days=30), timedelta(weeks=4),
    ]  # fmt: skip
    for text in ("", "30", "d", "-1d", "1.5d", "1y", "9999999d"):
        with pytest.raises(BadInput, match="is not an age"):
            parse_age(text)


def test_worse_is_worse_for_the_release_a_claim_or_an_artifact() -> None:
    assert got_worse(ENTRY, ENTRY) == []
    better = replace(ENTRY, claims={"a": Outcome.REPRODUCED, "b": Outcome.REPRODUCED, "new": Outcome.NOT_REPRODUCED})
    assert got_worse(ENTRY, better) == []
    worse = replace(
        ENTRY, outcome=Outcome.INCONCLUSIVE, claims={"a": Outcome.NOT_REPRODUCED}, artifacts={"code": False}
    )
    assert got_worse(ENTRY, worse) == [
        "REPRODUCED became INCONCLUSIVE", "claim a: REPRODUCED became NOT_REPRODUCED", "artifact code can no longer be had",
    ]  # fmt: skip


def test_a_strangers_words_are_no_markup_in_the_summary() -> None:
    done = Done(
        target="x", status="fault", why="", outcome=None, before=None, worse=(), exit_status=3, duration_s=1.0, report=None,
        message="a | b\n| c | [click](http://x) <script>",
    )  # fmt: skip
    page = to_markdown(Summary(started_at="s", finished_at="f", exit_code=2, targets=(done,)))
    row = page.splitlines()[-1]
    assert row.count(" | ") == 4
    assert "<script>" not in page
    assert "[click]" not in page
