"""The commands that look at target files: quick to start, and clear about what is wrong and where."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from releases.miniature import REPO, add_release, make_project, target, write_index, write_target
from releases.stages import seal_as_it_is

from openassay import cli
from openassay.cli.arguments import complete_targets
from openassay.cli.targets import _driver
from openassay.faults import BadInput
from openassay.layout import Layout
from openassay.target import read_target

HEAVY = ("torch", "mlflow", "scipy", "numpy", "pydantic", "httpx", "requests", "yaml", "rich", "hydra", "dvc", "jinja2")
COMMANDS = [command.name for command in cli.app.registered_commands]


def run(*words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["openassay", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two targets, of which the index has one."""
    root = make_project(tmp_path / "project")
    add_release(root, "honest")
    add_release(root, "inflated")
    write_index(root, ["honest"], schema_version=1)  # type: ignore[arg-type]
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def elsewhere(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A target file outside of any project."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    file = shutil.copy(Layout(project, "honest").target_file, folder / "honest.yaml")
    monkeypatch.chdir(folder)
    return Path(file)


# What a command costs before it does anything


def loaded_by(program: str, *words: str) -> str:
    """The heavy modules that a program has imported, comma between."""
    program += f"\nimport sys\nprint('heavy:', ','.join(name for name in {HEAVY} if name in sys.modules))"
    command = [sys.executable, "-P", "-c", program, *words]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    return said.rpartition("heavy: ")[2].strip()


def test_the_command_line_itself_imports_nothing_heavy() -> None:
    assert loaded_by("import openassay.cli") == ""


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["audit", "-h"], ["judge", "--help"], ["chekc"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    program = "from openassay.cli import main\ntry: main()\nexcept SystemExit: pass"
    assert loaded_by(program, *words) in {"", "pydantic"}  # newer versions of typer read options with pydantic


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_it_does(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for option in ("-h", "--help"):
        assert run(command, option, monkeypatch=monkeypatch) == 0
        assert capsys.readouterr().out.startswith("Usage: ")


def test_the_package_is_a_program(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "openassay"]
    said = [
        subprocess.run([*command, word], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True).stdout
        for word in ("--version", "version")
    ]
    assert said[0] == said[1]
    assert re.fullmatch(r"\d+\.\d+.*\n", said[0])


def test_names_of_targets_are_completed(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert complete_targets("") == ["honest", "inflated"]
    assert complete_targets("in") == ["inflated"]
    monkeypatch.chdir(tmp_path)
    assert complete_targets("") == []


# What was meant


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["check", "honnest"], "did you mean honest?"),
        (["show", "inflate"], "did you mean inflated?"),
        (["history", "zzz"], "there are: honest, inflated"),
        (["explain", "honst"], "did you mean honest?"),
        (["inspect", "honst"], "did you mean honest?"),
        (["classify", "honst"], "did you mean honest?"),
        (["plan-runs", "honest", "--profile", "smok"], "did you mean smoke?"),
        (["chekc"], "Did you mean 'check'?"),
    ],
    ids=lambda of: " ".join(of) if isinstance(of, list) else "",
)
def test_a_misspelt_name_is_answered_by_a_near_one(
    words: list[str], says: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words, monkeypatch=monkeypatch) == 2
    assert says in capsys.readouterr().err


def with_key(data: dict[str, Any], place: str) -> dict[str, Any]:
    """The target with another key at a dotted place."""
    *path, last = place.split(".")
    here: Any = data
    for part in path:
        here = here[int(part)] if isinstance(here, list) else here[part]
    here[last] = "x"
    return data


@pytest.mark.parametrize(
    ("place", "near"),
    [
        ("claim", "claims"),
        ("glu", "glue"),
        ("release.papr", "paper"),
        ("components.0.licens", "licence"),
        ("artifacts.code.not", "note"),
        ("artifacts.code.sources.0.roott", "root"),
        ("environment.as_off", "as_of"),
        ("rerun.timeout", "timeout_s"),
        ("rerun.run.argument", "arguments"),
        ("rerun.measure.0.scal", "scale"),
        ("controls.0.permut", "permute"),
        ("claims.0.publishd", "published"),
        ("claims.0.published.best_off", "best_of"),
    ],
)
def test_a_misspelt_key_is_answered_by_a_near_one_where_it_stands(place: str, near: str, project: Path) -> None:
    data = with_key(target(project, "honest", 0.9), place)
    path, _, key = place.rpartition(".")
    here: Any = data
    for part in path.split(".") if path else ():
        here = here[int(part)] if isinstance(here, list) else here[part]
    here.pop(near, None)  # a key that is there cannot be meant
    write_target(project, data)
    with pytest.raises(BadInput, match=rf"{key}: unknown key; did you mean {near}\?"):
        read_target(Layout(project, "honest"))


# check


def test_check_says_all_that_is_wrong_and_goes_on(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = target(project, "honest", 0.9)
    data["components"][0]["artifact"] = "nope"
    data["claims"][0]["tolerance"]["margin"] = 0
    data["claims"][0]["metric"] = "f1"
    data["controls"][0]["of"] = "nowhere"
    data["environment"]["install"] = ["neither"]
    write_target(project, data)
    assert run("check", monkeypatch=monkeypatch) == 2
    said = capsys.readouterr()
    assert said.out == "inflated: well formed; 1 artifact, 1 claim, 1 control\n"
    lines = said.err.splitlines()
    assert all(line.startswith("error: conf/target/honest.yaml: ") for line in lines)
    keys = (
        "components.0.artifact",
        "claims.0.tolerance.margin",
        "claims.0.metric",
        "controls.0.of",
        "environment.install.0",
    )
    for key in keys:
        assert sum(f"honest.yaml: {key}: " in line for line in lines) == 1, (key, lines)


def test_check_lists_every_problem_of_the_schema_once(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = target(project, "honest", 0.9)
    data["release"]["titel"] = data["release"].pop("title")
    data["claims"][0]["tolerance"]["margin"] = "5 %"
    del data["rerun"]["run"]["kind"]
    write_target(project, data)
    assert run("check", "honest", monkeypatch=monkeypatch) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "error: conf/target/honest.yaml: release.titel: unknown key; did you mean title?"
    assert len(lines) == len(set(lines)) == 3
    assert not any("release.title: missing" in line for line in lines)


def test_check_counts_what_is_too_much(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = target(project, "honest", 0.9)
    data["components"] = [{"component": "nothing", "published": "yes"} for _ in range(30)]
    write_target(project, data)
    assert run("check", "honest", monkeypatch=monkeypatch) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 21
    assert lines[-1] == "error: conf/target/honest.yaml: and 10 more"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "it is empty"),
        (b"[1, 2]", "it has no keys"),
        (b"a: [", "not YAML"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"claim_tables: 5\nclaims: 3\n", "claim_tables: should be"),
        (None, "it is a folder"),
    ],
)
@pytest.mark.parametrize("command", ["check", "plan-runs", "classify"])
def test_a_file_that_is_none_ends_in_one_line(
    command: str, content: bytes | None, says: str, elsewhere: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    elsewhere.unlink()
    if content is None:
        elsewhere.mkdir()
    else:
        elsewhere.write_bytes(content)
    assert run(command, "./honest.yaml", monkeypatch=monkeypatch) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "Traceback" not in said
    if command == "check":
        assert says in said
    else:
        assert said.count("\n") == 1


# Files outside of a project


def test_a_file_outside_of_a_project_is_checked(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in ("honest.yaml", "./honest.yaml", str(elsewhere)):
        assert run("check", path, monkeypatch=monkeypatch) == 0
        assert capsys.readouterr().out == "honest.yaml: well formed; 1 artifact, 1 claim, 1 control\n"
    data = yaml.safe_load(elsewhere.read_text()) | {"glue": "mine.py"}
    elsewhere.write_text(yaml.safe_dump(data))
    assert run("check", "honest.yaml", monkeypatch=monkeypatch) == 2
    assert capsys.readouterr().err == "error: honest.yaml: glue: 'mine.py' is not a .py file in glue/\n"
    (elsewhere.parent / "glue").mkdir()
    (elsewhere.parent / "glue" / "mine.py").write_text("")
    assert run("check", "honest.yaml", monkeypatch=monkeypatch) == 0


def test_a_name_needs_a_project(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["check"], ["check", "honest"], ["list"]):
        assert run(*words, monkeypatch=monkeypatch) == 2
        assert "not inside an OpenAssay project" in capsys.readouterr().err


def test_a_file_outside_of_a_project_is_planned_and_classified(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("plan-runs", "honest.yaml", monkeypatch=monkeypatch) == 0
    assert "accuracy" in capsys.readouterr().out
    assert run("classify", "honest.yaml", monkeypatch=monkeypatch) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "honest"


# list


def test_list_has_every_target_and_what_its_last_audit_said(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = Layout(project, "inflated")
    layout.folder.mkdir(parents=True)
    record = {
        "outcome": "REPRODUCED",
        "basis": ["self_reported"],
        "score": {"value": 0.875},
        "provenance": {"finished_at": "2026-01-02T03:04:05Z"},
    }
    layout.verdict.write_text(json.dumps(record))
    seal_as_it_is(layout, "judge", layout.verdict)
    assert run("list", "--json", monkeypatch=monkeypatch) == 0
    plain = {
        "driver": "python",
        "outcome": None,
        "basis": [],
        "score": None,
        "finished_at": None,
        "review": "–",
        "why_due": None,
        "in_index": True,
    }
    told = {
        "outcome": "REPRODUCED",
        "basis": ["self_reported"],
        "score": 0.875,
        "finished_at": "2026-01-02T03:04:05Z",
        "in_index": False,
    }
    rows = [{"target": "honest"} | plain, {"target": "inflated"} | plain | told]
    assert json.loads(capsys.readouterr().out) == rows
    assert run("list", "--due", "1m", "--json", monkeypatch=monkeypatch) == 0
    due = [row["why_due"] for row in json.loads(capsys.readouterr().out)]
    assert due[0] == "never audited"
    assert due[1].endswith(" days old")
    assert run("list", "--due", "999999w", "--json", monkeypatch=monkeypatch) == 0
    assert [row["why_due"] for row in json.loads(capsys.readouterr().out)] == ["never audited", ""]
    assert run("list", "--due", "30d", monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    assert re.search(r"inflated +python +no +REPRODUCED · self-reported +0\.88 +2026-01-02T03:04:05Z", shown)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"outcome": "REPRODUCED"}', "[" * 100_000, "\\xff"])
def test_list_goes_on_after_a_broken_record(
    text: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = Layout(project, "inflated")
    layout.folder.mkdir(parents=True)
    layout.verdict.write_text(text)
    seal_as_it_is(layout, "judge", layout.verdict)
    layout.target_file.write_bytes(b"\xff[" * 60_000)
    assert run("list", "--json", monkeypatch=monkeypatch) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["outcome"] for row in rows] == [None, "unreadable"]
    assert rows[1]["driver"] is None


@pytest.mark.parametrize("path", sorted((REPO / "conf" / "target").glob("*.yaml")), ids=lambda path: path.stem)
def test_list_finds_the_driver_that_a_target_has(path: Path) -> None:
    rerun = yaml.safe_load(path.read_text()).get("rerun")
    assert _driver(path) == (rerun["driver"] if rerun else None)


def test_a_target_that_is_not_in_the_index_can_be_looked_at(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("show", "inflated", monkeypatch=monkeypatch) == 0
    assert run("show", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out == "not audited yet: inflated\nnot audited yet: honest, inflated\n"
    assert run("history", "inflated", monkeypatch=monkeypatch) == 0
    assert run("check", "inflated", monkeypatch=monkeypatch) == 0
