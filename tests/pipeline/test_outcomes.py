"""Miniature releases with known truth come out as what they are."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import TypeAdapter
from releases.miniature import HONEST_ACCURACY, add_release, make_project, write_target
from releases.stages import SETTINGS, audit

from openassay.core.deviations import Deviation
from openassay.core.rerun_records import PlannedRecord
from openassay.core.tier_verdicts import tier_words
from openassay.core.verdict import headline
from openassay.core.verdict_records import Outcome, ReleaseVerdict
from openassay.environments import EnvironmentSpec
from openassay.layout import Layout
from openassay.plan import read_plan
from openassay.records import read_record, to_plain
from openassay.settings import Scale
from openassay.stages import judge, report
from openassay.stages.judge import summary
from openassay.store import payload_digest

TRUTH = {
    "honest": (Outcome.REPRODUCED, "within_tolerance"),
    "inflated": (Outcome.NOT_REPRODUCED, "outside_tolerance"),
    "broken": (Outcome.NOT_ATTEMPTED, "nothing_was_run"),
    "diverging": (Outcome.NOT_REPRODUCED, "too_many_runs_diverged"),
    "diverging_alike": (Outcome.INCONCLUSIVE, "too_many_runs_diverged"),
    "useless": (Outcome.INCONCLUSIVE, "outside_tolerance"),
    "noisy": (Outcome.INCONCLUSIVE, "still_open"),
    "cheating": (Outcome.INCONCLUSIVE, "control_not_caught"),
    "silent": (Outcome.NOT_ATTEMPTED, "nothing_was_run"),
}

FIVE_RUNS = {"max_runs": 5}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(autouse=True)
def _in_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)


def five_runs(layout: Layout) -> ReleaseVerdict:
    path = layout.root / "conf" / "profile" / "five.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text("runs: 5\nbudget_s: 600\nexpensive_s: 60\ncontrol_runs: 2\n")
    return audit(layout, ["profile=five", *SETTINGS[1:]])


@pytest.mark.parametrize("variant", TRUTH)
def test_a_miniature_release_comes_out_as_what_it_is(variant: str, project: Path) -> None:
    layout = add_release(project, variant)
    verdict = five_runs(layout)
    outcome, rule = TRUTH[variant]
    assert (verdict.outcome, verdict.claims[0].rule) == (outcome, rule), verdict.reason
    assert read_record(layout.verdict, ReleaseVerdict) == verdict
    schema = TypeAdapter(ReleaseVerdict).json_schema()
    jsonschema.validate(json.loads(layout.verdict.read_text()), schema)
    page = layout.report.read_text()
    assert outcome.value in page
    assert "<script" not in page


def test_the_honest_release_gives_what_its_readme_says(project: Path) -> None:
    layout = add_release(project, "honest", "honest_again")
    verdict = five_runs(layout)
    values = [value for value in verdict.claims[0].runs if value is not None]
    assert 3 <= len(values) <= 5  # as many as the rule asks for, and perhaps one more that kept a worker busy
    assert len(set(values)) > 1  # the seeds reach the training
    assert abs(sum(values) / len(values) - HONEST_ACCURACY) < 0.01
    assert verdict.claims[0].looks[-1].num_runs == verdict.claims[0].runs_used
    assert {check.check: check.outcome for check in verdict.study}["artifacts are there"] == "pass"
    assert [control.caught for control in verdict.controls] == [True]
    assert verdict.score.value is not None
    assert verdict.score.value > 0.9
    assert verdict.score.coverage == 1.0
    # a number that the script itself gives, without a cage, and the control is an argument of the script
    assert verdict.basis == verdict.claims[0].basis == ("self_reported", "unprotected", "visible_control")
    page = layout.report.read_text()
    assert "REPRODUCED · self-reported, unprotected, visible control</span>" in page
    assert headline(verdict.claims[0]).endswith(") · self-reported, unprotected, visible control")
    assert summary(verdict)["claims"]["accuracy"]["basis"] == "self_reported unprotected visible_control"


def test_what_was_different_is_found_or_declared_and_stands_in_the_verdicts_sentence(project: Path) -> None:
    layout = add_release(project, "honest", "differs")
    audit(layout)
    frozen, records = read_plan(layout), judge.read_all(layout)

    def judged(**changes: Any) -> ReleaseVerdict:
        return judge.run(replace(frozen, **changes), *records, layout)

    plain = judged()
    kinds = [of.kind for of in plain.deviations]
    assert "unprotected" in kinds
    assert "in no cage" not in plain.in_words  # which bears on no number
    assert "published" in plain.in_words
    pinned = EnvironmentSpec(requirements=("numpy==2.4.6", "scipy==1.17.1", "joblib==1.6.0", "psutil==7.2.2"))
    versions = [of.what for of in judged(environment=pinned).deviations if of.kind == "other_versions"]
    assert versions == ["versions that the audit's target chose (numpy, scipy, joblib and 1 more)"]
    assert not [
        of for of in judged(environment=replace(pinned, as_of="2024-01-01")).deviations if of.kind == "other_versions"
    ]
    long = EnvironmentSpec(requirements=tuple(f"{letter * 90}==1.0" for letter in "abc"))
    assert [of.kind for of in judged(environment=long).deviations if of.kind == "other_versions"] == ["other_versions"]
    told = Deviation(kind="other_versions", what="the NumPy of today")
    declared = judged(environment=pinned, deviations=(told,))
    assert [of for of in declared.deviations if of.kind == "other_versions"] == [told]
    assert "With the NumPy of today" in declared.in_words
    half = judged(scale=Scale(name="half", steps=0.5)).deviations
    assert Deviation(kind="scaled_down", what="at most 0.5 of the published updates") in half
    no_system = judged(release=replace(frozen.release, ai_system=False))
    assert plain.openness
    assert no_system.openness is None
    page = report.run(replace(report.read_evidence(frozen, layout), verdict=no_system))
    assert "Definitions of open AI systems are not asked of this release" in page
    assert "Open Source AI Definition" not in page


def test_a_budget_of_time_plans_the_reruns_once_and_a_larger_one_shows(project: Path) -> None:
    """By the cost of the first two, never by their values; later audits keep the number though a machine is faster."""
    layout = add_release(project, "noisy", "budgeted")

    def audited(budget_s: float) -> ReleaseVerdict:
        values = {"runs": 12, "budget_s": budget_s, "expensive_s": 60, "control_runs": 2}
        return audit(layout, [*SETTINGS, *(f"profile.{key}={value}" for key, value in values.items())])

    first = audited(1e-6)
    planned = read_record(layout.planned, PlannedRecord).arms["faithful"]
    assert (planned.num_runs, first.claims[0].max_runs, len(first.claims[0].runs)) == (2, 2, 2)
    assert not planned.expensive
    mean = sum(planned.durations_s) / 2
    raised = audited(5.5 * mean)
    again = read_record(layout.planned, PlannedRecord).arms["faithful"]
    assert (again.num_runs, raised.claims[0].max_runs, again.durations_s) == (5, 5, planned.durations_s)
    assert "seeds_changed_after_runs" in {finding.kind for finding in raised.findings}
    assert "seeds_changed_after_runs" not in {finding.kind for finding in first.findings}
    assert raised.claims[0].why == "budget"
    # Reruns that are made again, faster or slower, do not change what was planned.
    shutil.rmtree(layout.rerun("faithful", 0))
    assert audited(5.5 * mean).claims[0].max_runs == 5
    assert "planned 5 reruns" in layout.report.read_text()


def test_claims_on_a_baseline_are_judged_seed_by_seed_and_controls_break_what_they_can(project: Path) -> None:
    def claimed(name: str, value: float, **more: object) -> dict[str, object]:
        return {
            "id": name, "metric": "accuracy", "published": {"value": value, "rounding": 0.01, "num_runs": 20},
            "cited_at": {"url": "https://example.org/table"}, "tolerance": {"margin": 0.03, "rationale": "for a test"},
        } | more  # fmt: skip

    layout = add_release(project, "with_baseline")
    data = yaml.safe_load(layout.target_file.read_text())
    data["rerun"]["arms"] = {"faithful": {}, "guess": {"parameters": {"labels": "guessed"}}}
    data["controls"][0]["claims"] = ["gain"]
    data["claims"] = [
        claimed("gain", HONEST_ACCURACY - 0.5, baseline="guess"),
        claimed("guess", 0.5, arm="guess", uncontrolled="a guess has learnt nothing that could be broken"),
    ]
    data["claim_tables"] = [
        {
            "text": "| model | accuracy |\n|---|---|\n| logistic | 0.90 |\n",
            "columns": {"id": "model", "published.value": "accuracy"},
            "claim": {key: value for key, value in claimed("", 0, uncontrolled="for a test").items() if key not in {"id", "published"}}
            | {"published": {"num_runs": 20}},
        }
    ]  # fmt: skip
    layout.target_file.write_text(yaml.safe_dump(data))
    verdict = five_runs(layout)
    assert {claim.id: claim.outcome for claim in verdict.claims} == dict.fromkeys(
        ("gain", "guess", "logistic"), Outcome.REPRODUCED
    ), [claim.reason for claim in verdict.claims]
    gain = verdict.claims[0]
    assert all(value is not None and abs(value - 0.4) < 0.03 for value in gain.runs)
    assert [(control.claim, control.caught) for control in verdict.controls] == [("gain", True)]
    assert [finding.kind for finding in verdict.findings].count("not_controlled") == 2
    assert "minus the arm" in layout.report.read_text()


def test_a_probe_says_whether_a_changed_recipe_changes_the_result_as_predicted(project: Path) -> None:
    probes = [
        {
            "arm": "p",
            "metric": "accuracy",
            "expects": expects,
            "rationale": "labels",
            "parameters": {"labels": "inverted"},
        }
        for expects in ("lower", "higher")
    ]
    layout = add_release(project, "honest", "probed", probes=[probes[0], probes[1] | {"arm": "q"}])
    verdict = five_runs(layout)
    assert [(found.arm, found.outcome) for found in verdict.modify] == [("p", "as predicted"), ("q", "opposite")]
    assert "as predicted" in layout.report.read_text()


def test_a_closed_release_is_refused_freedom_by_freedom(project: Path) -> None:
    terms = "LicenseRef-Llama-2-Community"
    no = {"published": "no", "note": "<script>a few words</script>"}
    components = [
        {"component": "params_final", "published": "yes", "licence": terms},
        {
            "component": "inference_code",
            "published": "yes",
            "licence": "MIT",
            "artifact": "code",
            "paths": ["train.py"],
        },
        {"component": "training_code", "published": "no", "note": "<b>in house</b>"},
        {
            "component": "data_card",
            "published": "yes",
            "licence": "MIT",
            "artifact": "code",
            "paths": ["no_such_card.md"],
        },
    ]
    layout = add_release(
        project, "honest", "refused", rerun=None, controls=[], not_rerun_because="no training code is published",
        components=components, data_information={name: dict(no) for name in ("description", "public_data", "third_party_data")},
        reviews=[{"by": "somebody", "result": "did not pass", "source": "https://example.org/review"}],
        scaled_reruns=[{"what": "nothing", "reference": "no matched reference exists: no recipe"}],
    )  # fmt: skip
    verdict = audit(layout)
    assert verdict.outcome is Outcome.NOT_ATTEMPTED
    assert "no training code is published" in verdict.reason
    found = verdict.openness
    assert (found.osaid.outcome, found.mof.mof_class) == ("fails", 0)
    assert {item.freedom: item.outcome for item in found.freedoms} == {
        "use": "fails", "study": "fails", "modify": "fails", "share": "fails"
    }  # fmt: skip
    gaps = {gap.component: gap for gap in found.mof.missing}
    assert gaps["params_final"].problem == "licence"
    assert gaps["data_card"].problem == "unknown"  # declared, and not where it should be
    assert gaps["model_architecture"].problem == "unknown"  # nobody has said that it is not there
    page = layout.report.read_text()
    assert "<script" not in page
    assert "<b>in house" not in page
    for words in (
        "700 million", "meta-llama/llama@689c7f26", "publish the training code", "not everybody can", "did not pass",
        "no matched reference exists", "&lt;script&gt;a few words",
    ):  # fmt: skip
        assert words in page, words
    assert page.index("<h2>Openness</h2>") < page.index("<h2>Claims</h2>")


def test_a_release_that_cannot_be_rerun_says_why(project: Path) -> None:
    layout = add_release(project, "honest", "closed", rerun=None, controls=[], not_rerun_because="weights only")
    verdict = audit(layout)
    assert verdict.outcome is Outcome.NOT_ATTEMPTED
    assert "weights only" in verdict.reason
    assert {"not_rerun"} <= {finding.kind for finding in verdict.findings}
    assert (verdict.in_words, verdict.deviations) == ("", ())  # nothing ran, so nothing was different


def test_a_release_without_a_number_has_nothing_to_compare(project: Path) -> None:
    layout = add_release(project, "honest", "claimless", claims=[])
    verdict = audit(layout)
    assert verdict.outcome is Outcome.NOT_ATTEMPTED
    assert "no_claim" in {finding.kind for finding in verdict.findings}
    assert verdict.score.value is None


def test_what_follows_from_files_stands_beside_the_reruns_and_changes_nothing_of_theirs(project: Path) -> None:
    """One number follows, one does not, one cannot be read: the release's outcome and score are those of its reruns all the same."""
    alone = audit(add_release(project, "honest", "alone"))
    layout = add_release(project, "honest", "with_counts")
    data = yaml.safe_load(layout.target_file.read_text())

    def following(name: str, printed: float, **where: str) -> dict[str, object]:
        return {
            "id": name, "metric": name, "published": {"value": printed}, "tolerance": {"margin": 0.5, "rationale": "for a test"},
            "cited_at": {"artifact": "code", "path": "README.md", "quote": "# Mini"},
            "recompute": {
                "numbers": {"n": {"artifact": "code", "path": "README.md", "words": "(mean of {} runs)", **where}},
                "value": "n", "control": "n + 1", "control_is": "one more",
            },
        }  # fmt: skip

    data["claims"] += [following("runs", 20), following("other", 21), following("gone", 20, words="(mean of {} seeds)")]
    write_target(project, data)
    verdict = audit(layout)
    assert [headline(of) for of in verdict.claims] == [
        headline(alone.claims[0]), "REPRODUCED · recomputed", "NOT_REPRODUCED · recomputed", "NOT_ATTEMPTED",
    ]  # fmt: skip
    assert (
        "code: README.md: expected the words '(mean of {} seeds)' with a number, found none" in verdict.claims[3].reason
    )
    assert (verdict.outcome, verdict.score, verdict.claims[0].reason) == (
        alone.outcome,
        alone.score,
        alone.claims[0].reason,
    )
    recomputed, _, rerun = verdict.tiers
    assert tier_words(recomputed) == "recomputed: 1 of 3 agree, 1 does not, 1 not tested"
    assert (recomputed.share, rerun.share) == (0.5, 0.25)
    assert summary(verdict)["reproduced"] == 1  # of the reruns
    page = layout.report.read_text()
    assert "recomputed: 1 of 3 agree, 1 does not, 1 not tested" in page
    assert '<table id="recomputed">' in page


def test_sources_are_tried_in_order_and_what_they_said_is_kept(project: Path) -> None:
    layout = add_release(project, "honest", "mirrored")
    text = layout.target_file.read_text()
    first = "    - kind: local\n      path: releases/moved\n"
    layout.target_file.write_text(text.replace("    sources:\n", "    sources:\n" + first))
    audit(layout)
    record = json.loads(layout.record("fetch").read_text())
    problems = [attempt["problem"] for attempt in record["artifacts"][0]["attempts"]]
    assert "does not exist" in problems[0]
    assert problems[1:] == [""]


def test_a_source_that_this_system_cannot_use_is_a_finding(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = add_release(project, "honest", "packaged")
    data = yaml.safe_load(layout.target_file.read_text())
    data["artifacts"]["code"]["sources"] = [{"kind": "debian", "package": "dataset-of-mine"}]
    layout.target_file.write_text(yaml.safe_dump(data))
    monkeypatch.setattr("openassay.sources.debian.shutil.which", lambda _: None)
    verdict = audit(layout)
    assert verdict.outcome is Outcome.NOT_ATTEMPTED
    assert any("needs apt" in finding.message for finding in verdict.findings)


def test_a_quote_that_does_not_stand_in_the_release_is_found(project: Path) -> None:
    layout = add_release(project, "honest", "misquoted")
    text = layout.target_file.read_text().replace("Test accuracy: 0.90", "Test accuracy: 0.95")
    layout.target_file.write_text(text)
    verdict = audit(layout)
    assert any(finding.kind == "quote_absent" and "0.95" in finding.message for finding in verdict.findings)


def test_declared_components_that_are_not_there_are_found(project: Path) -> None:
    components = [
        {"component": "training_code", "published": "yes", "artifact": "code", "paths": ["train.py"]},
        {"component": "datasets", "published": "yes", "licence": "MIT", "artifact": "code", "paths": ["data.csv"]},
        {"component": "recipe", "published": "no", "artifact": "code", "paths": ["train.py"]},
    ]
    verdict = audit(add_release(project, "honest", "misdeclared", components=components))
    kinds = {finding.kind: finding.message for finding in verdict.findings}
    assert "datasets" in kinds["component_absent"]
    assert "recipe" in kinds["component_undeclared"]
    assert "training_code" in kinds["licence_unknown"]


def test_finished_reruns_are_kept_and_a_changed_recipe_runs_again(project: Path) -> None:
    layout = add_release(project, "honest", "kept")
    audit(layout)
    path = layout.rerun("faithful", 0) / "record.json"
    before = path.stat().st_mtime_ns
    (layout.rerun("faithful", 1) / "record.json").unlink()
    verdict = audit(layout)
    assert path.stat().st_mtime_ns == before
    assert verdict.provenance.num_reused == verdict.provenance.num_reruns - 1
    assert (layout.rerun("faithful", 1) / "record.json").exists()
    text = layout.target_file.read_text().replace("labels: real", "labels: genuine")
    layout.target_file.write_text(text)
    audit(layout)
    assert path.stat().st_mtime_ns != before


def test_a_rerun_that_was_stopped_is_made_again_when_it_gets_more_time(project: Path) -> None:
    layout = add_release(project, "slow")
    text = layout.target_file.read_text()
    layout.target_file.write_text(text.replace("timeout_s: 60", "timeout_s: 0.5"))
    assert audit(layout).outcome is Outcome.NOT_ATTEMPTED
    audit(layout)
    assert json.loads(layout.record("rerun").read_text())["num_reused"] == 4  # the same limit: nothing new to expect
    layout.target_file.write_text(text)
    verdict = audit(layout)
    assert None not in verdict.claims[0].runs
    assert verdict.provenance.num_reused == 0


def test_a_rerun_that_the_machine_killed_is_made_again(project: Path) -> None:
    layout = add_release(project, "killed_once")
    marker = project / "was_killed"
    script = project / "releases" / "killed_once" / "train.py"
    script.write_text(script.read_text().replace("MARKER", str(marker)))
    data = yaml.safe_load(layout.target_file.read_text())
    data["artifacts"]["code"]["payload"]["sha256"] = payload_digest(script.parent, ("*",))
    layout.target_file.write_text(yaml.safe_dump(data))
    verdict = audit(layout, [*SETTINGS, "execution.workers=1"])
    assert verdict.claims[0].rule == "some_runs_failed"
    assert any("it was killed" in finding.message for finding in verdict.findings)
    verdict = audit(layout, [*SETTINGS, "execution.workers=1"])
    assert None not in verdict.claims[0].runs
    assert verdict.provenance.num_reused == 3


def test_what_counts_as_the_same_rerun(project: Path) -> None:
    """The file behind an artifact, its name and its top folder, and the device are parts of a rerun's identity."""
    layout = add_release(project, "honest", "identity")
    audit(layout)

    def made() -> str:
        return str(json.loads((layout.rerun("faithful", 0) / "record.json").read_text())["identity"])

    first = made()
    audit(layout, ["profile=smoke", "judge=default", "tracking=none", "execution=auto"])
    other_device = made()
    assert other_device != first
    (project / "releases" / "identity" / "sub").mkdir()
    for name in ("train.py", "README.md"):
        shutil.copy(project / "releases" / "identity" / name, project / "releases" / "identity" / "sub" / name)
    data = yaml.safe_load(layout.target_file.read_text())
    code = data["artifacts"]["code"]
    code["sources"][0]["root"] = "sub"
    code["payload"] = {"sha256": payload_digest(project / "releases" / "identity" / "sub", ("*",)), "include": ["*"]}
    data["components"] = []
    layout.target_file.write_text(yaml.safe_dump(data))
    audit(layout)
    assert made() not in {first, other_device}


def test_a_damaged_record_is_run_again(project: Path) -> None:
    layout = add_release(project, "honest", "damaged")
    audit(layout)
    path = layout.rerun("faithful", 0) / "record.json"
    path.write_text('{"target": "damaged"}')
    assert audit(layout).outcome in {Outcome.REPRODUCED, Outcome.INCONCLUSIVE}
    assert json.loads(path.read_text())["seed"] == 0


def test_a_tolerance_that_is_changed_after_the_reruns_shows(project: Path) -> None:
    layout = add_release(project, "inflated", "moved")
    assert audit(layout).outcome is Outcome.NOT_REPRODUCED
    layout.target_file.write_text(layout.target_file.read_text().replace("margin: 0.03", "margin: 0.5"))
    verdict = audit(layout)
    kinds = {finding.kind for finding in verdict.findings}
    assert "claims_changed_after_runs" in kinds
    assert not kinds & {"controls_changed_after_runs", "judge_changed_after_runs", "seeds_changed_after_runs"}


def test_more_reruns_or_another_error_rate_than_planned_at_first_shows(project: Path) -> None:
    layout = add_release(project, "honest", "extended")
    audit(layout)
    verdict = audit(layout, ["profile=smoke", "judge=strict", *SETTINGS[2:]])
    assert [f.kind for f in verdict.findings if f.kind.endswith("_after_runs")] == ["judge_changed_after_runs"]
    verdict = five_runs(layout)
    assert [f.kind for f in verdict.findings if f.kind.endswith("_after_runs")] == ["seeds_changed_after_runs"]
    assert verdict.provenance.num_reused >= 4


def test_a_verdict_is_made_from_the_records_alone(project: Path) -> None:
    layout = add_release(project, "honest", "again")
    one = to_plain(audit(layout))
    other = to_plain(audit(layout))
    for record in (one, other):
        del record["provenance"]
    assert one == other
