"""What DVC takes for stale is what has changed, and a verdict follows from its plan alone, whatever was run before."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from releases.commands import audits_run, command, commit, edited, is_clean, stages_run
from releases.miniature import add_release, write_index
from releases.stages import audit


def test_a_changed_claim_gives_the_same_verdict_as_if_it_had_always_been_so(audited: Path) -> None:
    """The rerun stage is asked, since a claim says how many reruns it needs; those that are finished stay as they are."""
    records = sorted((audited / "experiments/honest/rerun").glob("*/seed-*/record.json"))
    written = {record: record.stat().st_mtime_ns for record in records}
    with edited(audited / "conf/target/honest.yaml", "margin: 0.03", "margin: 0.04"):
        ran = stages_run(command(audited, "dvc", "repro", "-s", "experiments/honest/dvc.yaml"))
        changed = json.loads((audited / "experiments/honest/verdict.json").read_text())
        command(audited, "openassay", "audit", "--force", "honest")
        again = json.loads((audited / "experiments/honest/verdict.json").read_text())
    command(audited, "openassay", "audit", "honest")
    assert ran == ["plan@honest", "rerun@honest", "judge@honest", "report@honest"]
    assert "claims_changed_after_runs" in {finding["kind"] for finding in changed["findings"]}
    assert changed["claims"] == again["claims"]
    assert {record: record.stat().st_mtime_ns for record in records} == written


def test_another_judge_after_an_audit_asks_for_the_reruns_that_it_needs(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same plan gives the same reruns and verdict, whatever was run before it."""
    monkeypatch.chdir(project)
    eight = ["profile=smoke", "profile.runs=8"]
    mini = {"title": "Mini", "version": "1", "homepage": "https://example.org"}
    first, fresh = (add_release(project, "noisy", name, release=mini) for name in ("first", "fresh"))
    audit(first, eight)
    verdicts = [audit(layout, [*eight, "judge=strict"]) for layout in (first, fresh, first)]
    shown = [[(claim.runs, claim.outcome, claim.interval) for claim in verdict.claims] for verdict in verdicts]
    assert shown[0] == shown[1] == shown[2]
    assert verdicts[0].alpha == 0.01


def test_what_is_asked_for_on_the_command_line_is_what_dvc_records(audited: Path) -> None:
    done = command(audited, "openassay", "audit", "honest", "--profile", "full", "judge.alpha=0.02")
    assert audits_run(done) == ["plan", "rerun", "judge", "report"]
    lock = yaml.safe_load((audited / "experiments/honest/dvc.lock").read_text())
    assert lock["stages"]["plan"]["cmd"].endswith("honest judge.alpha=0.02 profile=full")
    plan = yaml.safe_load((audited / "experiments/honest/plan.yaml").read_text())
    assert plan["profile"]["name"] == "full"
    assert (plan["judge"]["name"], plan["judge"]["rationale"]) == ("default, alpha 0.02", "Asked for: alpha 0.02.")
    assert is_clean(audited)
    assert audits_run(command(audited, "openassay", "audit", "honest")) == ["plan", "rerun", "judge", "report"]
    assert yaml.safe_load((audited / "experiments/honest/plan.yaml").read_text())["profile"]["name"] == "smoke"


def test_a_new_target_a_new_script_and_an_unused_option_leave_others_as_they_are(audited: Path) -> None:
    add_release(audited, "honest", "newcomer")
    (audited / "conf/target/glue/newcomer.py").write_text("WORD = 1\n")
    (audited / "conf/judge").mkdir()
    (audited / "conf/judge/ours.yaml").write_text("alpha: 0.03\nestimand: number\nrationale: ours\n")
    write_index(audited, ["honest", "inflated", "newcomer"])
    try:
        for name in ("honest", "inflated"):
            assert "up to date" in command(audited, "dvc", "status", f"experiments/{name}/dvc.yaml").stdout
            assert audits_run(command(audited, "openassay", "audit", name)) == []
        command(audited, "openassay", "audit", "newcomer", "judge=ours")
        with edited(audited / "conf/judge/ours.yaml", "0.03", "0.04"):
            assert audits_run(command(audited, "openassay", "audit", "newcomer", "judge=ours"))[0] == "plan"
            assert audits_run(command(audited, "openassay", "audit", "honest")) == []
        assert is_clean(audited) is False  # the newcomer's option is as it was
    finally:
        write_index(audited, ["honest", "inflated"])
        shutil.rmtree(audited / "experiments/newcomer")
        shutil.rmtree(audited / "conf/judge")


def test_an_experiment_with_another_setting_runs_and_is_compared(audited: Path) -> None:
    commit(audited)
    done = command(
        audited,
        "dvc",
        "exp",
        "run",
        "-n",
        "stricter",
        "-S",
        "conf/pipeline.yaml:judge=strict",
        "experiments/honest/dvc.yaml",
    )
    assert "judge@honest" in stages_run(done)
    assert json.loads((audited / "experiments/honest/verdict.json").read_text())["alpha"] == 0.01
    shown = list(csv.DictReader(io.StringIO(command(audited, "dvc", "exp", "show", "--csv").stdout)))
    mean = "experiments/honest/metrics.json:claims.accuracy.mean"
    for row in shown:
        assert float(row[mean]) == pytest.approx(0.9, abs=0.01), row
        assert "!" not in row.values()
        assert not [name for name in row if "plan.yaml:" in name]
    assert {row["judge"] for row in shown} == {"default", "strict"}
    difference = json.loads(command(audited, "dvc", "metrics", "diff", "--json").stdout)
    assert "experiments/honest/metrics.json" in difference.get("diff", difference)
    subprocess.run(["git", "checkout", "-q", "."], cwd=audited, check=True)
    command(audited, "openassay", "audit", "honest")
    assert is_clean(audited)
