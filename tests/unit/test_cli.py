"""What the command line prints is one clear line, whatever the words of others hold."""

from __future__ import annotations

import getpass
import os
import pwd
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from loopback import PackageIndex, wheel
from releases.miniature import REPO, add_release, make_project, target, write_index
from releases.stages import audit, seal_as_it_is

from openassay import cli, schedule
from openassay.core.openness import in_words
from openassay.faults import BadInput, Fault, faults_in_one_line, printable
from openassay.layout import GROUPS, Layout, cache_home
from openassay.project import index as index_of
from openassay.provenance import name_user
from openassay.records import write_record
from openassay.settings import compose
from openassay.stage_code import STAGES

HOSTILE = (
    "\x1b[31mred\x1b[0m\x1b]0;title\x07 \x9b2J[bold]x[/bold] [/] up\x1b[1A \u202egnp.exe\u2066 \x85\u2028\r\n\x00end"
)


def is_harmless(text: str) -> bool:
    return all(letter.isprintable() or letter == "\n" for letter in text)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = make_project(tmp_path / "a [red]project[/red]")
    add_release(root, "honest")
    write_index(root, ["honest"])
    monkeypatch.chdir(root)
    return root


# Words of others


def test_printable_words_are_one_line_of_what_can_be_seen() -> None:
    shown = printable(HOSTILE)
    assert is_harmless(shown)
    assert "\n" not in shown
    assert re.sub(r" +", " ", shown) == "[31mred[0m]0;title 2J[bold]x[/bold] [/] up[1A gnp.exe end"
    assert printable("caf\u00e9 \u00b1 5 % \u2013 \u65e5\u672c") == "caf\u00e9 \u00b1 5 % \u2013 \u65e5\u672c"


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (BadInput(HOSTILE), 2),
        (Fault(HOSTILE), 3),
        (PermissionError(13, "Permission denied", HOSTILE), 3),
        (OSError(36, "File name too long", "n" * 9000), 2),
    ],
)
def test_an_error_is_one_line_that_a_terminal_obeys_in_nothing(
    problem: Exception, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, faults_in_one_line():
        raise problem
    assert ended.value.code == status
    said = capsys.readouterr().err
    assert re.fullmatch(r"error: [^\n]{1,999}\n", said)
    assert is_harmless(said)


def test_the_table_shows_the_words_of_a_verdict_as_they_are(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout = Layout(project, "honest")
    verdict = audit(layout)
    claim = replace(verdict.claims[0], id=HOSTILE)
    write_record(layout.verdict, replace(verdict, in_words=HOSTILE, reason=HOSTILE, claims=(claim,)))
    seal_as_it_is(layout, "judge", layout.verdict)
    seal_as_it_is(layout, "report", layout.report)
    capsys.readouterr()
    cli.show(["honest"])
    shown = capsys.readouterr().out
    assert is_harmless(shown)
    assert shown.replace("\n", "").count("[bold]x[/bold] [/] up") >= 1
    assert f"report: {layout.report}\n" in shown
    assert f"  {in_words(verdict.openness.osaid)}\n" in shown


# Settings, before they reach a shell's line


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize(
    "name", ["../smoke", "smoke;touch x", "$(touch x)", "smoke seed=1", "", None, ["smoke"], "nowhere"]
)
def test_a_setting_of_the_index_is_the_name_of_a_file(project: Path, group: str, name: object) -> None:
    write_index(project, ["honest"], **{group: name})  # type: ignore[arg-type]
    says = "there is no option 'nowhere'; (there are: [a-z]|did you mean)" if name == "nowhere" else ".* is not a name"
    with pytest.raises(BadInput, match=rf"^conf/pipeline\.yaml: {group}: {says}"):
        compose(project)
    with pytest.raises(BadInput, match=rf"{group}: {says}"):
        cli.audit(["honest"])
    assert not Layout(project, "honest").folder.exists()


def test_an_index_that_is_none_says_what_it_lacks(project: Path) -> None:
    for text in ("- honest\n", "target: [honest]\n", "targets: honest\n", "targets: [honest]\nprofile: cpu\n", ""):
        (project / "conf" / "index.yaml").write_text(text)
        with pytest.raises(
            BadInput, match=r"^conf/index\.yaml: targets: a list of target names is needed, and nothing else"
        ):
            index_of(project)


def test_settings_of_another_version_or_misspelt_ones_say_so(project: Path) -> None:
    for text, says in (
        ("targets: [honest]\n", "schema_version: expected 1, found None: another version made this project"),
        ("schema_version: true\n", "schema_version: expected 1, found True"),
        ("- honest\n", "expected the keys schema_version, profile"),
        ("schema_version: 1\nprofil: cpu\n", r"profil: unknown key; did you mean profile\?"),
    ):
        (project / "conf" / "pipeline.yaml").write_text(text)
        with pytest.raises(BadInput, match=rf"^conf/pipeline\.yaml: {says}"):
            index_of(project)


def test_settings_that_an_index_does_not_name_are_ours(project: Path) -> None:
    (project / "conf" / "pipeline.yaml").write_text("schema_version: 1\n")
    assert index_of(project) == ["honest"]
    assert compose(project) == compose(None)


# pin


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"source": "local:releases/honest", "include": "a**b"}, "--include: 'a**b' is not a glob"),
        ({"source": "local:releases/honest", "root": "."}, "root: '.' is not a glob"),
        ({"source": "local:/etc"}, "lies outside the project"),
        ({"source": "local:" + "n/" * 5000}, "does not exist"),
        ({"source": "ftp:x"}, "unknown kind 'ftp'"),
        ({"source": "pypi:../x==1"}, "is not the name of a project"),
        ({"source": "pypi:demo==9"}, "pypi:demo==9.version: demo 9 is not on the index; it has 1.0"),
        ({"source": "pypi:secret==1"}, "pypi:secret==1: HTTP 403 from the package index"),
    ],
)
def test_what_cannot_be_pinned_says_why(
    project: Path, index: PackageIndex, arguments: dict[str, str], says: str
) -> None:
    index.publish("demo", "demo-1.0-py3-none-any.whl", wheel("demo", "1.0"))
    index.status["/simple/secret/"] = 403
    with pytest.raises(BadInput) as refused:
        cli.pin(**{"include": "*", "root": ""} | arguments)
    assert says in str(refused.value)


def test_a_pin_is_printed_as_it_is_pasted(
    project: Path, index: PackageIndex, capsys: pytest.CaptureFixture[str]
) -> None:
    sha256 = index.publish("demo", "demo-1.0-py3-none-any.whl", wheel("demo", "1.0"))
    cli.pin("pypi:demo==1.0", "*", "")
    assert yaml.safe_load(capsys.readouterr().out) == [
        {"kind": "pypi", "package": "demo", "version": "1.0", "file": "demo-1.0-py3-none-any.whl", "sha256": sha256}
    ]
    cli.pin("local:releases/honest", "*", "")
    pinned = yaml.safe_load(capsys.readouterr().out)
    assert pinned["payload"] == target(project, "honest", 0.9)["artifacts"]["code"]["payload"]


# The scripts


def script(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("stage", STAGES)
def test_a_script_without_a_target_says_how_one_is_named(project: Path, stage: str) -> None:
    says = "error: no target is given; give its name, catalogue:NAME or the path of its file\n"
    name = "inspect_" if stage == "inspect" else stage
    for called in (["-m", f"openassay.pipelines.{name}"], [str(REPO / "pipelines" / f"{name}.py")]):
        done = script(project, *called)
        assert (done.returncode, done.stderr) == (2, says)


@pytest.mark.parametrize("text", ["a: [", "[1, 2]"])
def test_a_script_with_a_broken_plan_says_how_to_mend_it(project: Path, text: str) -> None:
    plan = Layout(project, "honest").plan
    plan.parent.mkdir(parents=True)
    plan.write_text(text)
    seal_as_it_is(Layout(project, "honest"), "plan", plan)
    done = script(project, "-m", "openassay.pipelines.fetch", "honest")
    assert done.returncode == 2
    said = r"error: experiments/honest/plan\.yaml: .*; run `openassay audit --force honest`\n"
    assert re.fullmatch(said, done.stderr)


def test_a_user_without_an_entry_in_the_list_of_users_gets_a_name_and_needs_a_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def absent(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", absent)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "")
    name_user()
    assert getpass.getuser() == f"uid-{os.getuid()}"
    for name in ("HOME", "OPENASSAY_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BadInput, match="set OPENASSAY_CACHE, or HOME"):
        cache_home()


# Two at once


def test_a_second_audit_of_a_target_at_the_same_time_is_told_so_and_one_of_another_is_not(project: Path) -> None:
    with schedule.alone(project, "honest"):
        with schedule.alone(project, "inflated"):
            pass
        done = subprocess.run(
            [str(Path(sys.executable).with_name("openassay")), "audit", "honest"],
            cwd=project, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    said = (
        "error: honest: another audit of it is running in this project. Wait for its end, then run the command again.\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "", said)
    with schedule.alone(project, "honest"):  # and it is free again
        pass
