"""Records that somebody has edited, in a project that DVC takes for up to date, or not: each is refused by name."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from releases.commands import audits_run, called, command

TARGET = "inflated"
"""Its claim is not what its script gives: NOT_REPRODUCED is the true verdict."""
FOLDER = f"experiments/{TARGET}"


@pytest.fixture
def forged(fresh: Path) -> Path:
    return fresh


def edit(path: Path, change: Callable[[dict[str, object]], None]) -> None:
    plain = json.loads(path.read_text())
    change(plain)
    path.write_text(json.dumps(plain, indent=2) + "\n")


def flatter_reruns(project: Path) -> Path:
    """Every rerun's accuracy as the claim has it."""
    paths = sorted((project / FOLDER).glob("rerun/faithful/seed-*/record.json"))
    for path in paths:
        path.write_text(re.sub(r'"value": 0\.\d+', '"value": 0.99', path.read_text()))
    return paths[0]


def flatter_verdict(project: Path) -> Path:
    path = project / FOLDER / "verdict.json"
    path.write_text(path.read_text().replace("NOT_REPRODUCED", "REPRODUCED"))
    return path


def flatter_report(project: Path) -> Path:
    path = project / FOLDER / "report.html"
    path.write_text(path.read_text().replace("NOT_REPRODUCED", "REPRODUCED"))
    return path


def widen_plan(project: Path) -> Path:
    """A tolerance that was not declared, and the digest that fits it."""
    from openassay.layout import Layout
    from openassay.plan import Plan
    from openassay.records import parse

    path = Layout(project, TARGET).plan
    plain = yaml.safe_load(path.read_text())
    plain["claims"][0]["tolerance"]["margin"] = 0.2
    plain["digest"] = parse(Plan, plain, "plan").identity()
    path.write_text(yaml.safe_dump(plain, sort_keys=False))
    return path


def lock(project: Path) -> Path:
    """DVC's lock, so that it takes every file for what its stage has written and read."""
    path = project / FOLDER / "dvc.lock"
    plain = yaml.safe_load(path.read_text())
    for stage in plain["stages"].values():
        for of in [*stage.get("deps", []), *stage.get("outs", [])]:
            file = project / FOLDER / of["path"]
            if file.is_file():
                of |= {
                    "md5": hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest(),
                    "size": file.stat().st_size,
                }
    path.write_text(yaml.safe_dump(plain, sort_keys=False))
    return path


ALONE = {
    "a rerun": flatter_reruns,
    "the verdict": flatter_verdict,
    "the report": flatter_report,
    "the plan": widen_plan,
}


@pytest.mark.parametrize("what", ALONE)
@pytest.mark.parametrize("locked", [False, True], ids=["", "and DVC's lock"])
def test_what_was_forged_is_refused_by_name(what: str, locked: bool, forged: Path) -> None:
    path = ALONE[what](forged).relative_to(forged).as_posix()
    if locked:
        lock(forged)
    for word in ("audit", "show", "verify", "publish"):
        done = called(forged, word, TARGET, expect=2)
        assert re.search(rf"error: {re.escape(path)}: it was edited after it was written", done.stderr), (
            done.args,
            done.stderr,
        )
        assert " REPRODUCED" not in done.stdout.replace("NOT_REPRODUCED", "")
        assert "Traceback" not in done.stderr


def test_a_lock_alone_hides_no_change_of_the_target(forged: Path) -> None:
    """The tolerance is widened in the target file, and the lock says that the plan has seen it."""
    file = forged / f"conf/target/{TARGET}.yaml"
    file.write_text(file.read_text().replace("margin: 0.03", "margin: 0.2"))
    lock(forged)
    done = command(forged, "openassay", "audit", TARGET, expect=2)
    assert f"error: {FOLDER}/plan.yaml: the target file and the settings say otherwise now" in done.stderr


def test_tables_that_git_keeps_are_those_of_the_verdict(forged: Path) -> None:
    for name in ("metrics.json", "runs.csv"):
        path = forged / FOLDER / name
        before = path.read_text()
        path.write_text(before.replace("NOT_REPRODUCED", "REPRODUCED").replace("-", "0"))
        lock(forged)
        for word in ("audit", "verify"):
            done = called(forged, word, TARGET, expect=2)
            assert f"error: {FOLDER}/{name}: it is not that of the verdict" in done.stderr
        path.write_text(before)


def test_all_at_once_is_refused_and_made_anew_when_that_is_asked_for(forged: Path) -> None:
    seals = shutil.copytree(forged / FOLDER / "seals", forged / "kept")
    first = flatter_reruns(forged)
    for change in (widen_plan, flatter_verdict, flatter_report, lock):
        change(forged)
    done = command(forged, "openassay", "audit", TARGET, expect=2)
    assert f"error: {FOLDER}/plan.yaml: it was edited" in done.stderr
    done = command(
        forged, "openassay", "audit", "--force", TARGET, expect=2
    )  # a rerun is kept, or removed by its owner
    assert f"remove {first.parent.relative_to(forged).as_posix()}, then run the audit again" in done.stderr
    shutil.rmtree(forged / FOLDER / "rerun")
    done = command(forged, "openassay", "audit", "--force", TARGET)
    assert len(audits_run(done)) == 8
    assert "NOT_REPRODUCED" in done.stdout
    assert "NOT_REPRODUCED follows from the records of" in called(forged, "verify", TARGET).stdout
    shutil.rmtree(forged / FOLDER / "seals")  # the seals of other records fit these no more
    seals.rename(forged / FOLDER / "seals")
    assert "it was edited" in called(forged, "verify", TARGET, expect=2).stderr


def test_records_of_another_machine_are_not_shown_and_made_anew(forged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENASSAY_SEAL_KEY", str(forged / "another.key"))
    done = called(forged, "show", TARGET, expect=2)
    assert f"error: {FOLDER}/seals/plan.json: it was made with another key than {forged}/another.key" in done.stderr
    assert '"not as sealed"' in called(forged, "list", "--json").stdout
    assert re.search(rf"{TARGET} +python +yes +not as sealed", called(forged, "list").stdout)
    done = command(forged, "openassay", "audit", TARGET)
    assert "everything is made anew" in done.stderr
    assert len(audits_run(done)) == 8
    assert "kept" not in done.stdout
    assert "NOT_REPRODUCED" in called(forged, "show", TARGET).stdout


def test_plain_dvc_does_not_judge_what_was_edited(forged: Path) -> None:
    path = flatter_reruns(forged).relative_to(forged).as_posix()
    done = command(forged, "dvc", "repro", "-s", f"{FOLDER}/dvc.yaml:judge", expect=None)
    assert done.returncode != 0
    assert f"error: {path}: it was edited after it was written" in done.stderr
