"""What DVC takes for stale is what has changed, and a verdict follows from its plan alone, whatever was run before."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from pathlib import Path

import pytest
import yaml
from releases.commands import audits_run, command, commit, edited, is_clean, stages_run
from releases.miniature import add_release, write_index
from releases.stages import audit


def test_a_changed_claim_gives_the_same_verdict_as_if_it_had_always_been_so(fresh: Path) -> None:
    """The rerun stage is asked, since a claim says how many reruns it needs; those that are finished stay as they are."""
    records = sorted((fresh / "experiments/honest/rerun").glob("*/seed-*/record.json"))
    written = {record: record.stat().st_mtime_ns for record in records}
    file = fresh / "conf/target/honest.yaml"
    file.write_text(file.read_text().replace("margin: 0.03", "margin: 0.04"))
    ran = stages_run(command(fresh, "dvc", "repro", "-s", "experiments/honest/dvc.yaml"))
    changed = json.loads((fresh / "experiments/honest/verdict.json").read_text())
    done = command(fresh, "openassay", "audit", "--force", "honest")
    again = json.loads((fresh / "experiments/honest/verdict.json").read_text())
    assert ran == ["plan@honest", "rerun@honest", "judge@honest", "report@honest"]
    assert len(audits_run(done)) == 8
    assert "claims_changed_after_runs" in {finding["kind"] for finding in changed["findings"]}
    assert changed["claims"] == again["claims"]
    assert {record: record.stat().st_mtime_ns for record in records} == written
    for words in ("git add", "autostage", "dvc push", "support", "lock file"):
        assert words not in done.stdout + done.stderr
    assert is_clean(fresh)


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


def test_what_is_asked_for_on_the_command_line_is_what_dvc_records(fresh: Path) -> None:
    """For one audit: it is another question and no worsening, and the next audit asks as before."""
    asked = ["judge=strict", "judge.alpha=0.001", "profile.runs=2"]
    done = command(fresh, "openassay", "audit", "honest", "--profile", "full", *asked)
    assert audits_run(done) == ["plan", "rerun", "judge", "report"]
    assert "INCONCLUSIVE honest" in done.stdout
    assert done.stderr == ""
    lock = yaml.safe_load((fresh / "experiments/honest/dvc.lock").read_text())
    assert lock["stages"]["plan"]["cmd"].endswith("honest judge=strict judge.alpha=0.001 profile.runs=2 profile=full")
    plan = yaml.safe_load((fresh / "experiments/honest/plan.yaml").read_text())
    assert plan["profile"]["name"] == "full, runs 2"
    assert (plan["judge"]["name"], plan["judge"]["rationale"]) == ("strict, alpha 0.001", "Asked for: alpha 0.001.")
    assert is_clean(fresh)
    done = command(fresh, "openassay", "audit", "honest", "--due", "30d")
    assert audits_run(done) == ["plan", "rerun", "judge", "report"]
    assert yaml.safe_load((fresh / "experiments/honest/plan.yaml").read_text())["profile"]["name"] == "smoke"
    (summary,) = json.loads((fresh / "experiments/summary.json").read_text())["targets"]
    assert summary["why"] == "the plan has changed"
    lines = (fresh / "experiments/honest/history.jsonl").read_text().splitlines()
    assert [json.loads(line)["asked"] for line in lines] == [[], [*asked, "profile=full"], []]


def test_a_new_target_a_new_script_and_an_unused_option_leave_others_as_they_are(fresh: Path) -> None:
    add_release(fresh, "honest", "newcomer")
    (fresh / "conf/target/glue/newcomer.py").write_text("WORD = 1\n")
    (fresh / "conf/judge").mkdir()
    (fresh / "conf/judge/ours.yaml").write_text("alpha: 0.03\nestimand: number\nrationale: ours\n")
    write_index(fresh, ["honest", "inflated", "newcomer"])
    others = [f"experiments/{name}/dvc.yaml" for name in ("honest", "inflated")]
    assert "up to date" in command(fresh, "dvc", "status", *others).stdout
    assert audits_run(command(fresh, "openassay", "audit", "honest", "inflated")) == []
    command(fresh, "openassay", "audit", "newcomer", "judge=ours")
    with edited(fresh / "conf/judge/ours.yaml", "0.03", "0.04"):
        assert audits_run(command(fresh, "openassay", "audit", "newcomer", "judge=ours"))[0] == "plan"
        assert audits_run(command(fresh, "openassay", "audit", "honest")) == []
    assert is_clean(fresh) is False  # the newcomer's option is as it was


def test_an_experiment_with_another_setting_runs_and_is_compared(fresh: Path) -> None:
    commit(fresh)
    done = command(
        fresh,
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
    assert json.loads((fresh / "experiments/honest/verdict.json").read_text())["alpha"] == 0.01
    shown = list(csv.DictReader(io.StringIO(command(fresh, "dvc", "exp", "show", "--csv").stdout)))
    mean = "experiments/honest/metrics.json:claims.accuracy.mean"
    for row in shown:
        assert float(row[mean]) == pytest.approx(0.9, abs=0.01), row
        assert "!" not in row.values()
        assert not [name for name in row if "plan.yaml:" in name]
    assert {row["judge"] for row in shown} == {"default", "strict"}
    difference = json.loads(command(fresh, "dvc", "metrics", "diff", "--json").stdout)
    assert "experiments/honest/metrics.json" in difference.get("diff", difference)
    subprocess.run(["git", "checkout", "-q", "."], cwd=fresh, check=True)
    command(fresh, "openassay", "audit", "honest")
    assert is_clean(fresh)
