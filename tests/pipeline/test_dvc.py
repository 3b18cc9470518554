"""The real thing: `dvc repro` and the command line on miniature releases."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from releases.commands import BIN, LONG_S, audits_run, called, command, is_clean, stages_run, wait_for
from releases.miniature import add_release, gate, make_project, write_index

from openassay.core.rerun_records import RerunsRecord
from openassay.layout import Layout
from openassay.records import read_record


def test_an_audit_writes_every_record(audited: Path) -> None:
    for name, outcome in (("honest", "REPRODUCED"), ("inflated", "NOT_REPRODUCED")):
        folder = audited / "experiments" / name
        verdict = json.loads((folder / "verdict.json").read_text())
        assert (verdict["target"], verdict["outcome"]) == (name, outcome)
        for path in ("plan.yaml", "fetch/record.json", "inspect/record.json", "prepare/record.json", "evaluate/record.json",
                     "rerun/faithful/seed-1/record.json", "report.html", "metrics.json", "runs.csv"):  # fmt: skip
            assert (folder / path).is_file(), path


def test_nothing_runs_when_nothing_changed(audited: Path) -> None:
    assert is_clean(audited)
    assert stages_run(command(audited, "dvc", "repro")) == []
    assert audits_run(command(audited, "openassay", "audit", "honest")) == []
    assert is_clean(audited)


def test_plain_dvc_audits_one_target_or_the_index(audited: Path) -> None:
    (audited / "experiments/honest/report.html").unlink()
    assert stages_run(command(audited, "dvc", "repro", "-s", "experiments/honest/dvc.yaml")) == ["report@honest"]
    (audited / "experiments/honest/verdict.json").unlink()
    ran = stages_run(command(audited, "dvc", "repro", "audit@honest"))
    assert ran == ["judge@honest", "report@honest", "audit@honest"]
    assert is_clean(audited)


def test_two_audits_of_different_targets_run_at_once(said: dict[str, str]) -> None:
    for name, outcome in (("honest", "REPRODUCED"), ("inflated", "NOT_REPRODUCED")):
        assert re.search(rf"^{outcome} {name}\b", said[name], re.MULTILINE)
    # and there is nothing that a further audit or DVC would do: test_nothing_runs_when_nothing_changed


def test_dvc_says_nothing_of_git_storage_or_support(said: dict[str, str]) -> None:
    for text in said.values():
        for words in ("git add", "autostage", "dvc push", "support", "lock file"):
            assert words not in text


def test_metrics_plots_and_dag_show_something(audited: Path) -> None:
    shown = json.loads(command(audited, "dvc", "metrics", "show", "--json").stdout)
    figures = shown[""]["data"]["experiments/honest/metrics.json"]["data"]
    assert figures["outcome"] == "REPRODUCED"
    assert figures["coverage"] == 1.0
    assert "index.html" in command(audited, "dvc", "plots", "show").stdout
    assert "experiments/honest/dvc.yaml:rerun" in command(audited, "dvc", "dag").stdout


def test_the_command_line_shows_verdicts(audited: Path) -> None:
    shown = called(audited, "show").stdout
    assert "REPRODUCED" in shown
    assert "NOT_REPRODUCED" in shown
    assert str(audited / "experiments" / "honest" / "report.html") in shown


def test_a_killed_audit_goes_on_and_runs_no_finished_rerun_again(project: Path) -> None:
    layout = add_release(project, "gated", "killed")
    script = project / "releases" / "killed" / "train.py"
    data = layout.target_file.read_text()
    script.write_text(script.read_text().replace("while not", "while seed > 1 and not"))
    from openassay.store import payload_digest

    pin = payload_digest(project / "releases" / "killed", ("*",))
    layout.target_file.write_text(re.sub(r"sha256: [0-9a-f]{64}", f"sha256: {pin}", data))
    (project / "conf" / "profile").mkdir()
    (project / "conf" / "profile" / "eight.yaml").write_text(
        "runs: 8\nbudget_s: 100000\nexpensive_s: 60\ncontrol_runs: 2\n"
    )
    write_index(project, [], profile="eight")  # a target outside the index is audited too
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    with subprocess.Popen(
        [str(BIN / "openassay"), "audit", "killed"], cwd=project, env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True, text=True,
    ) as process:  # fmt: skip
        wait_for(lambda: len(list(layout.folder.glob("rerun/*/seed-*/record.json"))) >= 2, process)
        os.killpg(process.pid, signal.SIGKILL)
    finished = list(layout.folder.glob("rerun/*/seed-*/record.json"))
    before = {path: path.stat().st_mtime_ns for path in finished}
    wait_for(lambda: trainings_of(project) == [])  # no orphan trains on: the gate is shut
    gate(project, "killed").touch()
    done = command(project, "openassay", "audit", "killed")
    assert "REPRODUCED" in done.stdout
    kept = re.search(r"(\d+) of (\d+) reruns were finished already and kept", done.stdout)
    assert kept
    assert len(before) <= int(kept[1]) < int(kept[2])
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list(layout.folder.glob("rerun/*/seed-*/record.json"))) == int(kept[2])


def test_an_audit_whose_own_process_alone_is_ended_leaves_nothing_running(project: Path) -> None:
    layout = add_release(project, "gated", "ended")  # its trainings wait
    write_index(project, ["ended"])
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "SHELL": "/bin/sh"}  # as cron and CI
    with subprocess.Popen(
        [str(BIN / "openassay"), "audit", "ended"], cwd=project, env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True, text=True,
    ) as process:  # fmt: skip
        wait_for(lambda: trainings_of(project), process)
        process.terminate()
        process.wait(LONG_S)
    try:
        wait_for(lambda: not trainings_of(project) and not stages_in(layout.folder))
    finally:
        gate(project, "ended").touch()
    assert not layout.verdict.exists()


def stages_in(folder: Path) -> list[str]:
    """Processes whose working folder is this one, as that of each stage of a target is."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            found += [entry.parent.name] * (entry.readlink() == folder.resolve())
    return found


def trainings_of(project: Path) -> list[str]:
    """Command lines of child processes that still work for this project."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if "child.py" in text and str(project) in text:
            found.append(text)
    return found


BAD = {
    "a typo in a key": ("tolerance:", "tolerence:", r"claims\.0\.tolerence: unknown key; did you mean tolerance\?"),
    "an unknown kind": (
        "kind: local",
        "kind: ftp",
        r"artifacts\.code\.sources\.0: unknown kind 'ftp'; known: 'pypi', 'debian', 'local'",
    ),
    "a wrong payload digest": ("sha256: ", "sha256: 0", r"artifacts\.code\.payload\.sha256"),
    "no number": ("value: 0.9", "value: .nan", r"claims\.0\.published\.value: .*number, found '\.nan'"),
    "no tolerance": ("margin: 0.03", "margin: 0", r"claims\.0\.tolerance\.margin: it must be above 0, found 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line_and_status_2(case: str, project: Path) -> None:
    layout = add_release(project, "honest", "bad" + re.sub("[^a-z]", "", case))
    old, new, message = BAD[case]
    layout.target_file.write_text(layout.target_file.read_text().replace(old, new, 1))
    write_index(project, [layout.target])
    done = called(project, "audit", layout.target, expect=2)
    assert re.search(rf"error: conf/target/{layout.target}\.yaml: {message}", done.stderr), done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not layout.folder.exists()
    script = command(project, "python", "-P", "-m", "openassay.pipelines.plan", layout.target, expect=2)
    assert len(script.stderr.strip().splitlines()) == 1
    assert not layout.plan.exists()


@pytest.mark.parametrize("content", [b"- 1\n", b"<<<<<<< HEAD\n", b"\xff\xfe"])
def test_a_lock_that_dvc_cannot_read_is_named(content: bytes, audited: Path) -> None:
    lock = audited / "experiments/honest/dvc.lock"
    before = lock.read_bytes()
    lock.write_bytes(content)
    try:
        done = command(audited, "openassay", "audit", "honest", expect=3)
    finally:
        lock.write_bytes(before)
    assert re.match(r"error: experiments/honest.*dvc\.lock", done.stderr), done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_digest_that_nothing_meets_is_named_with_status_2(project: Path) -> None:
    layout = add_release(project, "honest", "wrongpin")
    text = re.sub(r"sha256: [0-9a-f]{64}", "sha256: " + "0" * 64, layout.target_file.read_text())
    layout.target_file.write_text(text)
    write_index(project, [layout.target])
    done = command(project, "openassay", "audit", layout.target, expect=2)
    assert re.search(r"error: conf/target/wrongpin\.yaml: artifacts\.code\.payload\.sha256: expected 0000", done.stderr)
    assert not layout.verdict.exists()


@pytest.mark.parametrize("name", ["../honest", "honest;touch x", "Honest", "", "a" * 65, "$(touch x)"])
def test_odd_names_are_refused_before_they_reach_a_shell(name: str, project: Path) -> None:
    write_index(project, ["honest", name])
    done = called(project, "check", expect=2)
    assert "is not a name" in done.stderr
    assert not (project / "x").exists()


def test_a_name_that_is_nearly_that_of_a_target_outside_the_index_is_said(project: Path) -> None:
    add_release(project, "honest", "unlisted")
    write_index(project, [])
    assert "did you mean unlisted?" in called(project, "audit", "unlistd", expect=2).stderr


def bare(project: Path, *arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """The command, called by its path from a shell in which no environment is active."""
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"} | {
        "PATH": "/usr/bin:/bin"
    }
    return subprocess.Popen(
        [*prefix, str(BIN / "openassay"), *arguments], cwd=project, env=environment, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def end_of(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    said, complaints = process.communicate(timeout=LONG_S)
    return subprocess.CompletedProcess(process.args, process.returncode, said, complaints)


@pytest.fixture(scope="module")
def spacious(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose path has a space, and more that a shell or a template could stumble over."""
    return make_project(tmp_path_factory.mktemp("a project") / "it's $HOME & [co]", dvc=True)


class Crowd(NamedTuple):
    """A round of audits, and those that came while its target trained."""

    layout: Layout
    round: subprocess.CompletedProcess[str]
    another_round: subprocess.CompletedProcess[str]
    another_audit: subprocess.CompletedProcess[str]
    stages: dict[str, subprocess.CompletedProcess[str]]
    """Run directly, without DVC."""


@pytest.fixture(scope="module")
def crowd(spacious: Path, session_cache: Path) -> Crowd:
    os.environ["OPENASSAY_CACHE"] = str(session_cache)  # module scope comes before the function's fixture
    layout = add_release(spacious, "gated", "twice")
    write_index(spacious, ["twice"])
    first = bare(spacious, "audit", "--due", "30d")
    try:
        wait_for(lambda: list(layout.folder.glob("rerun/at-work/*/request.json")), first)  # it trains, and waits
        another_round, another_audit = bare(spacious, "audit", "--due", "30d"), bare(spacious, "audit", "twice")
        others = end_of(another_round), end_of(another_audit)
        stages = {}
        for stage in ("rerun", "prepare", "evaluate"):
            words = [sys.executable, "-P", "-m", f"openassay.pipelines.{stage}", "twice"]
            stages[stage] = subprocess.run(
                words, cwd=spacious, capture_output=True, text=True, timeout=LONG_S, check=False
            )
    finally:
        gate(spacious, "twice").touch()
    return Crowd(layout, end_of(first), *others, stages)


def test_an_audit_needs_no_active_environment_and_no_plain_path(crowd: Crowd) -> None:
    assert crowd.round.returncode == 0, crowd.round
    assert re.search(r"^REPRODUCED twice · self-reported, unprotected", crowd.round.stdout, re.MULTILINE)
    assert f"report: {crowd.layout.report}" in crowd.round.stdout


def test_two_audits_of_one_target_at_once_end_in_a_verdict_and_a_clear_line(crowd: Crowd) -> None:
    assert "REPRODUCED" in crowd.round.stdout
    busy = "another audit of it is running in this project. Wait for its end, then run the command again."
    second = crowd.another_audit
    assert (second.returncode, second.stdout, second.stderr) == (3, "", f"error: twice: {busy}\n")


def test_two_schedulers_run_nothing_twice(crowd: Crowd) -> None:
    second = crowd.another_round
    assert (second.returncode, second.stdout) == (2, "")
    assert "another round of audits is running" in second.stderr
    assert len(crowd.layout.history.read_text().splitlines()) == 1


def test_stages_that_are_run_directly_do_not_remove_each_others_runs(crowd: Crowd) -> None:
    busy = "another audit or sweep runs there. Wait for its end, then run the command again."
    for done in crowd.stages.values():
        assert (done.returncode, done.stderr) == (3, f"error: experiments/twice: {busy}\n")
    assert read_record(crowd.layout.record("rerun"), RerunsRecord).findings == ()


def test_a_folder_of_records_that_cannot_be_written_is_named(spacious: Path) -> None:
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:  # to whom modes say nothing, unless that right is taken away
        prefix = (
            "setpriv",
            "--bounding-set=-dac_override,-dac_read_search",
            "--inh-caps=-dac_override,-dac_read_search",
        )
        if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode != 0:
            pytest.skip("the rights of root cannot be taken away here")
    layout = add_release(spacious, "honest", "locked")
    write_index(spacious, ["locked"])
    layout.folder.parent.mkdir(exist_ok=True)
    layout.folder.parent.chmod(0o555)
    try:
        done = end_of(bare(spacious, "audit", "locked", prefix=prefix))
    finally:
        layout.folder.parent.chmod(0o755)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert f"error: {layout.folder}: Permission denied" in done.stderr
