"""What other programs read: findings as SARIF and JUnit, the GitHub Action, the pre-commit hooks."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from hostile import HOSTILE
from releases.miniature import REPO
from releases.small import write

from openassay import cli
from openassay.checks.inspection import Inspection
from openassay.core.findings import CheckAnswer, Excerpt, Problem
from openassay.report.exchange import cases_of, to_junit, to_sarif

BAD = {"train/a b.yaml": "eps: 1e-8\nname: x\n", "README.md": "# Model\n", "broken.json": "{"}
GOOD = {"train/a.yaml": "eps: 1.0e-8\n", "README.md": "# Model\n"}


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["openassay", *words])
    status = 0
    try:
        cli.main()
    except SystemExit as ended:
        status = int(ended.code or 0)
    return status, capsys.readouterr().out


def answer(outcome: Any, *problems: Problem) -> CheckAnswer:
    return CheckAnswer(check="yaml_readers_differ", outcome=outcome, why="", problems=problems, looked_at=())


def seen(*answers: CheckAnswer) -> Inspection:
    return Inspection(name="mini", num_files=1, detected=(), checks=answers, unreadable={"b.bin": "cut off"})


def test_sarif_names_the_places_from_the_folder_in_which_it_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "release", BAD)
    monkeypatch.chdir(tmp_path)
    status, out = run(monkeypatch, capsys, "inspect", "release", "--format", "sarif")
    assert status == 0
    log = json.loads(out)
    (of,) = log["runs"]
    assert log["version"] == "2.1.0"
    rules = [rule["id"] for rule in of["tool"]["driver"]["rules"]]
    for result in of["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        place = result["locations"][0]["physicalLocation"]
        assert (tmp_path / unquote(place["artifactLocation"]["uri"])).is_file()
    (first,) = [result for result in of["results"] if result["ruleId"] == "yaml_readers_differ"]
    assert first["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "release/train/a%20b.yaml"}, "region": {"startLine": 1},
    }  # fmt: skip
    assert first["level"] == "warning"


def test_a_finding_keeps_its_fingerprint_when_its_line_moves() -> None:
    def fingerprint(line: int) -> str:
        problem = Problem(message=f"a.py:{line} is odd", evidence=(Excerpt(path="a.py", line=line, key="", value=""),))
        (of,) = json.loads(to_sarif(seen(answer("fail", problem))))["runs"][0]["results"]
        return str(of["partialFingerprints"])

    assert fingerprint(3) == fingerprint(30)


def test_a_note_is_no_warning_and_an_unasked_check_no_rule() -> None:
    place = Excerpt(path="a.py", line=None, key="", value="")
    note = Problem(message="a fact", evidence=(place,))
    (of,) = json.loads(to_sarif(seen(answer("noted", note), answer("cannot be asked"))))["runs"]
    assert [result["level"] for result in of["results"]] == ["note"]
    assert len(of["tool"]["driver"]["rules"]) == 1


def test_what_has_no_place_is_said_and_is_no_result() -> None:
    more = Problem(message="and 3 more of the same kind", evidence=())
    (of,) = json.loads(to_sarif(seen(answer("fail", more))))["runs"]
    assert of["results"] == []
    said = [note["message"]["text"] for note in of["invocations"][0]["toolExecutionNotifications"]]
    assert said == ["yaml_readers_differ: and 3 more of the same kind", "not read: b.bin: cut off"]


def test_junit_fails_where_a_check_does_and_takes_any_words() -> None:
    words = "\x1b[31m" + " ".join(HOSTILE)
    problem = Problem(message=words, evidence=(Excerpt(path=words, line=None, key=words, value=words),))
    made = seen(answer("fail", problem), answer("pass"), answer("noted", problem), answer("cannot be asked"))
    top = ET.fromstring(to_junit(words, cases_of(made)))  # noqa: S314 - our own
    assert top.attrib == {"tests": "4", "failures": "1", "errors": "0", "skipped": "1"}
    assert [[inner.tag for inner in case] for case in top.iter("testcase")] == [
        ["failure"],
        [],
        ["system-out"],
        ["skipped"],
    ]
    json.loads(to_sarif(made))


@pytest.mark.parametrize(
    ("files", "fail_on", "status"),
    [(BAD, "fail", 1), (BAD, "noted", 1), (GOOD, "noted", 0), (BAD, "", 0), (BAD, "all", 2)],
)
def test_the_exit_status_is_of_findings_only_where_that_is_asked(
    files: dict[str, str],
    fail_on: str,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--fail-on", fail_on] if fail_on else []
    assert run(monkeypatch, capsys, "inspect", str(write(tmp_path, files)), "--format", "junit", *words)[0] == status


def test_judge_writes_its_verdict_for_ci(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs.csv").write_text("accuracy\n90.1\n90.2\n90.0\n90.3\n")
    words = ["judge", "--runs", str(tmp_path / "runs.csv"), "--tolerance", "0.5", "--junit", str(tmp_path / "out.xml")]
    for published, outcome in (("90.15", "pass"), ("95", "failure")):
        run(monkeypatch, capsys, *words, "--published", published)
        (case,) = ET.parse(tmp_path / "out.xml").iter("testcase")  # noqa: S314 - our own
        assert (case.find("failure") is None) == (outcome == "pass")
        assert ("NOT_REPRODUCED" in ET.tostring(case, encoding="unicode")) == (outcome == "failure")


def release(folder: Path, files: dict[str, str]) -> Path:
    """A release in a workspace, and `openassay` where the action installs it."""
    tool = folder / "temp" / "openassay" / "bin" / "openassay"
    tool.parent.mkdir(parents=True)
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -m openassay "$@"\n')
    tool.chmod(0o755)
    return write(folder / "work", files)


@pytest.mark.parametrize(("files", "status"), [(BAD, [0, 1, 1]), (GOOD, [0, 1, 0])])
def test_the_action_says_what_it_found_and_fails_where_it_should(
    files: dict[str, str], status: list[int], tmp_path: Path
) -> None:
    """Its steps as a runner would start them, but for the installation."""
    action = yaml.safe_load((REPO / "action.yml").read_text())
    steps = [step for step in action["runs"]["steps"] if "install" not in step.get("run", "install")]
    work = release(tmp_path, files)
    (work / "runs.csv").write_text("accuracy\n90.1\n90.2\n90.0\n90.3\n")
    given = {name: of["default"] for name, of in action["inputs"].items()}
    given["judge"] = "--runs runs.csv --published 95 --tolerance 0.5 --fail-on not_reproduced"
    ended = []
    for step in steps:
        env = {
            name: given[value.removeprefix("${{ inputs.").removesuffix(" }}")] for name, value in step["env"].items()
        }
        env |= {"RUNNER_TEMP": str(tmp_path / "temp"), "GITHUB_OUTPUT": str(tmp_path / "output")}
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", step["run"]],
            cwd=work,
            env=os.environ | env,
            capture_output=True,
            check=False,
        )
        ended.append(done.returncode)
    assert ended == status
    told = dict(line.split("=") for line in (tmp_path / "output").read_text().splitlines())
    assert json.loads(Path(told["sarif"]).read_text())["version"] == "2.1.0"
    assert ET.parse(told["junit"]).getroot().get("failures") == "1"  # noqa: S314 - our own


def git(folder: Path, *words: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=folder, check=True, capture_output=True
    )


@pytest.mark.parametrize("within", [".", "release"])
def test_what_git_would_commit_is_inspected_and_nothing_else(
    within: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "release", BAD | {".gitignore": "ignored/\n"})
    write(tmp_path / "release", {"ignored/broken.json": "{", "unknown.json": "{"})
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "release/.gitignore", "release/broken.json", "release/README.md")
    monkeypatch.chdir(tmp_path)
    status, out = run(monkeypatch, capsys, "inspect", within, "--staged", "--format", "sarif")
    assert status == 0
    places = {
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        for result in json.loads(out)["runs"][0]["results"]
    }
    assert places == {"release/broken.json"}


def test_where_git_has_nothing_to_commit_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["openassay", "inspect", str(tmp_path), "--staged"])
    for told in ("not a git repository", "found none there"):
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 2
        assert told in capsys.readouterr().err
        git(tmp_path, "init", "-q")


def test_the_hooks_start_commands_that_there_are(tmp_path: Path) -> None:
    work = write(tmp_path, BAD)
    git(work, "init", "-q")
    git(work, "add", ".")
    for hook in yaml.safe_load((REPO / ".pre-commit-hooks.yaml").read_text()):
        program, *words = shlex.split(hook["entry"])
        assert program == "openassay"
        done = subprocess.run([sys.executable, "-m", program, *words], cwd=work, capture_output=True, check=False)
        assert done.returncode == 1
