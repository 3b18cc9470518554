"""MLflow as a mirror: flat tagged runs in a real SQLite store, replaced and not repeated, and no harm when it is lost."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from loopback import PackageIndex
from mlflow.tracking import MlflowClient
from releases.commands import LONG_S
from releases.miniature import add_release, make_project
from releases.stages import SETTINGS, audit

from openassay import reviewing, tracking
from openassay.core.rerun_records import Rerun
from openassay.core.verdict_records import Outcome, ReleaseVerdict
from openassay.layout import Layout
from openassay.plan import read_plan
from openassay.records import read_record
from openassay.reviewing import name_of
from openassay.stages import report
from openassay.tracking import mirror

TRACKED = [*SETTINGS[:2], "tracking=sqlite", SETTINGS[3]]


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory, session_cache: Path) -> Layout:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENASSAY_CACHE", str(session_cache))
        root = make_project(tmp_path_factory.mktemp("tracked"))
        patch.chdir(root)
        layout = add_release(root, "honest")
        audit(layout, TRACKED)
    return layout


def evidence(layout: Layout) -> tuple[ReleaseVerdict, dict[str, tuple[Rerun, ...]]]:
    """The verdict and its reruns, with a curve that this release's code does not give."""
    found = report.read_evidence(read_plan(layout), layout)
    curve = {"accuracy": ((0, 0.5), (10, 0.9))}
    runs = {arm: tuple(replace(rerun, curves=curve) for rerun in of) for arm, of in found.runs.items()}
    return found.verdict, runs


def track(layout: Layout, verdict: ReleaseVerdict, runs: dict[str, tuple[Rerun, ...]]) -> str:
    """Mirror an audit of these; the experiment's id."""
    found = report.read_evidence(read_plan(layout), layout)
    return mirror.track(layout, None, [report.audit_of(replace(found, verdict=verdict, runs=runs), layout)])


def test_every_part_of_an_audit_is_a_flat_tagged_run(layout: Layout) -> None:
    verdict, runs = evidence(layout)
    experiment = track(layout, verdict, runs)
    client = MlflowClient(tracking.tracking_uri(layout.root, None))
    found = client.search_runs([experiment])
    roles = [run.data.tags["role"] for run in found]
    assert sorted(roles) == ["audit", "claim", "control", "control", *["seed"] * len(runs["faithful"])]
    assert roles[0] == "claim"  # newest first: the chart shows ten runs, and the published value must be among them
    assert all("mlflow.parentRunId" not in run.data.tags for run in found)
    assert len({run.data.tags["audit"] for run in found}) == 1
    assert all(run.info.status == "FINISHED" for run in found)
    by_role = {run.data.tags["role"]: run for run in found}
    claim, seed = by_role["claim"], by_role["seed"]
    assert claim.data.metrics["final_accuracy"] == 0.9
    assert claim.info.run_name == f"published: {verdict.claims[0].id}"
    told = {key: claim.data.tags[key] for key in ("outcome", "shown", "why", "estimand")}
    assert told == {
        "outcome": "REPRODUCED",
        "shown": ",".join(verdict.claims[0].shown),
        "why": "",
        "estimand": "number",
    }
    assert told["shown"].startswith("number")
    line = client.get_metric_history(claim.info.run_id, "accuracy")
    assert [(point.step, point.value) for point in line] == [(0, 0.9), (10, 0.9)]
    assert [point.step for point in client.get_metric_history(seed.info.run_id, "accuracy")] == [0, 10]
    assert by_role["audit"].data.tags["outcome"] == verdict.outcome.value
    assert claim.data.tags["tier"] == "rerun"
    assert by_role["audit"].data.tags["osaid"] == verdict.openness.osaid.outcome
    assert by_role["audit"].data.metrics["share_rerun"] == 1.0
    assert [file.path for file in client.list_artifacts(by_role["audit"].info.run_id)] == [
        "plan.yaml",
        "report.html",
        "verdict.json",
    ]


def test_words_of_a_release_are_tagged_without_what_reorders_them(layout: Layout) -> None:
    verdict, runs = evidence(layout)
    claim = replace(verdict.claims[0], id="a\u202eb\x1b[31m")
    verdict = replace(verdict, claims=(claim,), reason="gone\u2066 \x9b2J", plan_digest="c" * 64)
    experiment = track(layout, verdict, {"ar\u202em": runs["faithful"]})
    for run in MlflowClient(tracking.tracking_uri(layout.root, None)).search_runs([experiment]):
        assert all(
            words.replace("\n", "").isprintable()  # a description has lines
            for words in [run.info.run_name, *run.data.tags.values(), *run.data.params.values()]
        )
    client = MlflowClient(tracking.tracking_uri(layout.root, None))
    for run in client.search_runs([experiment], f"tags.audit = '{name_of(verdict)}'"):
        client.delete_run(run.info.run_id)


def test_an_open_claim_is_tagged_with_its_reason(layout: Layout) -> None:
    verdict, runs = evidence(layout)
    missed = replace(verdict.claims[0], outcome=Outcome.INCONCLUSIVE, shown=(), why="number_not_reached")
    verdict = replace(verdict, claims=(missed,), plan_digest="e" * 64)
    experiment = track(layout, verdict, runs)
    client = MlflowClient(tracking.tracking_uri(layout.root, None))
    (claim,) = client.search_runs([experiment], "tags.why = 'number_not_reached'")
    assert (claim.data.tags["outcome"], claim.data.tags["shown"]) == ("INCONCLUSIVE", "")
    for run in client.search_runs([experiment], f"tags.audit = '{name_of(verdict)}'"):
        client.delete_run(run.info.run_id)


def test_the_same_audit_again_adds_no_run_and_another_plan_adds_its_own(layout: Layout) -> None:
    verdict, runs = evidence(layout)
    for _ in range(2):
        experiment = track(layout, verdict, runs)
    client = MlflowClient(tracking.tracking_uri(layout.root, None))
    once = len(client.search_runs([experiment]))
    assert once == 4 + len(runs["faithful"])
    track(layout, replace(verdict, plan_digest="f" * 64), runs)
    assert len(client.search_runs([experiment])) == 2 * once


def test_what_a_reviewer_wrote_is_kept_and_what_changed_is_told_anew(layout: Layout) -> None:
    verdict, runs = evidence(layout)
    verdict = replace(verdict, plan_digest="d" * 64)
    experiment = track(layout, verdict, runs)
    client = MlflowClient(tracking.tracking_uri(layout.root, None))
    of_audit = f"tags.audit = '{name_of(verdict)}'"
    (claim,) = client.search_runs([experiment], f"{of_audit} and tags.role = 'claim'")
    client.set_tag(claim.info.run_id, "reviewed_by", "a person")
    client.set_tag(claim.info.run_id, "mlflow.note.content", "looks odd")
    points = len(client.get_metric_history(claim.info.run_id, "accuracy"))
    changed = replace(
        verdict, claims=(replace(verdict.claims[0], outcome=Outcome.INCONCLUSIVE, why="control"),),
        score=replace(verdict.score, value=0.125),
    )  # fmt: skip
    track(layout, changed, runs)
    (again,) = client.search_runs([experiment], f"{of_audit} and tags.role = 'claim'")
    assert again.info.run_id == claim.info.run_id
    told = {key: again.data.tags[key] for key in ("reviewed_by", "mlflow.note.content", "outcome", "why")}
    assert told == {
        "reviewed_by": "a person",
        "mlflow.note.content": "looks odd",
        "outcome": "INCONCLUSIVE",
        "why": "control",
    }
    assert len(client.get_metric_history(claim.info.run_id, "accuracy")) == points
    (of_the_audit,) = client.search_runs([experiment], f"{of_audit} and tags.role = 'audit'")
    assert of_the_audit.data.metrics["score"] == 0.125
    for run in client.search_runs([experiment], of_audit):
        client.delete_run(run.info.run_id)


def test_a_missing_driver_is_one_line_without_the_password(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tracking.ENVIRONMENT_VARIABLE, "postgresql+nosuch://ann:secret@127.0.0.1:9/runs")
    verdict, runs = evidence(layout)
    with pytest.raises(tracking.TrackingLost) as caught:
        track(layout, verdict, runs)
    said = str(caught.value)
    assert "\n" not in said
    assert "secret" not in said
    assert said.startswith("MLflow at postgresql+nosuch://")


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("sqlite:////x/mlflow.db", "http://127.0.0.1:5001"), ("https://ann:secret@tracking.example/ml/", "https://tracking.example/ml"),
        ("postgresql://ann:secret@db/runs", "http://127.0.0.1:5001"),
    ],
)  # fmt: skip
def test_links_lead_to_the_server_that_has_the_runs(uri: str, address: str) -> None:
    assert tracking.served_at(uri, 5001) == address


def test_the_link_opens_the_chart_of_this_audit(layout: Layout) -> None:
    path = tracking.chart_path("7", "abc 2026")
    assert path.startswith("/#/experiments/7/runs?")
    assert "compareRunsMode=CHART" in path
    assert "searchFilter=tags.audit%20%3D%20%27abc%202026%27" in path


def test_a_server_that_is_lost_is_a_warning(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(tracking.ENVIRONMENT_VARIABLE, "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    found = report.read_evidence(read_plan(layout), layout)
    report.track(found, layout)
    assert "warning: MLflow at http://127.0.0.1:9 does not take the runs" in capsys.readouterr().err
    assert read_record(layout.verdict, ReleaseVerdict) == found.verdict


@pytest.mark.parametrize(
    ("deadline_s", "timeout_s", "says"), [(600, "1", "ReadTimeoutError"), (2, "60", "it takes more than 2 s")]
)
def test_a_server_that_accepts_and_never_answers_is_a_warning_that_names_it_and_no_password(
    layout: Layout, monkeypatch, capsys: pytest.CaptureFixture[str], deadline_s: float, timeout_s: str, says: str
) -> None:
    monkeypatch.setattr(tracking, "DEADLINE_S", deadline_s)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", timeout_s)
    with PackageIndex() as server:
        server.silent.add("/api/2.0/mlflow/experiments/get-by-name")
        monkeypatch.setenv(tracking.ENVIRONMENT_VARIABLE, server.root.replace("://", "://me:secret@"))
        found = report.read_evidence(read_plan(layout), layout)
        report.track(found, layout)
    said = capsys.readouterr().err
    assert said.startswith(f"warning: MLflow at {server.root} does not take the runs: ")
    assert says in said
    assert said.count("\n") == 1
    assert "secret" not in said
    assert read_record(layout.verdict, ReleaseVerdict) == found.verdict


ASK = """
import pathlib, sys
from openassay import faults, tracking
tracking.DEADLINE_S = 2
with faults.faults_in_one_line():
    tracking.experiment_ids(pathlib.Path("."), sys.argv[1], ["x"])
"""


def test_a_process_does_not_wait_for_what_a_server_did_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "10000")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the system accepts, and nobody answers
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        command = [sys.executable, "-c", ASK, uri]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONG_S, check=False)
    assert done.returncode == 3
    assert done.stderr == f"error: MLflow at {uri} does not take the runs: it takes more than 2 s\n"


def test_the_variable_comes_before_the_setting_and_the_default_is_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tracking.tracking_uri(tmp_path, None) == f"sqlite:///{tmp_path}/mlflow.db"
    assert tracking.tracking_uri(tmp_path, "http://configured") == "http://configured"
    monkeypatch.setenv(tracking.ENVIRONMENT_VARIABLE, "http://variable")
    assert tracking.tracking_uri(tmp_path, "http://configured") == "http://variable"


def test_several_audits_may_create_the_database_at_once(tmp_path: Path) -> None:
    code = "import sys, pathlib; from openassay import tracking; tracking.experiment_ids(pathlib.Path(sys.argv[1]), None, ['x'])"
    command = [sys.executable, "-c", code, str(tmp_path)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for process in processes:
        _, said = process.communicate(timeout=LONG_S)
        assert process.returncode == 0, said


def again(layout: Layout, second: int) -> ReleaseVerdict:
    """The verdict of an audit that was made again, with all reruns kept."""
    verdict = evidence(layout)[0]
    return replace(verdict, provenance=replace(verdict.provenance, finished_at=f"2030-01-01T00:00:{second:02}Z"))


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow takes seconds to make one."""
    path = tmp_path_factory.mktemp("empty") / "empty.db"
    tracking.ask(f"sqlite:///{path}", lambda client: None)
    return path


@pytest.fixture
def own(layout: Layout, empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A database of this test's, and no reviews."""
    shutil.copy(empty_database, tmp_path / "own.db")
    monkeypatch.setenv(tracking.ENVIRONMENT_VARIABLE, f"sqlite:///{tmp_path}/own.db")
    layout.reviews.unlink(missing_ok=True)
    return MlflowClient(f"sqlite:///{tmp_path}/own.db")


def all_runs(client: MlflowClient) -> list[Any]:
    return list(client.search_runs([of.experiment_id for of in client.search_experiments()]))


def test_an_audit_that_is_made_again_is_another_version_and_leaves_the_first_as_it_is(
    layout: Layout, own: MlflowClient
) -> None:
    first, runs = evidence(layout)
    track(layout, first, runs)
    before = all_runs(own)
    (audit,) = (run.info.run_id for run in before if run.data.tags["role"] == "audit")
    own.set_tag(audit, "by_hand", "mine")
    own.set_tag(audit, "mlflow.note.content", "my own words")
    missed = replace(again(layout, 1), outcome=Outcome.NOT_REPRODUCED)
    track(layout, missed, runs)
    track(layout, first, runs)
    assert len(all_runs(own)) == 2 * len(before)
    tags = own.get_run(audit).data.tags
    assert (tags["by_hand"], tags["mlflow.note.content"]) == ("mine", "my own words")
    model = own.get_registered_model(tracking.model_name("honest"))
    assert {name: str(version) for name, version in model.aliases.items()} == {"newest": "2", "reproduced": "1"}
    versions = {of.version: of for of in own.search_model_versions(f"name = '{model.name}'")}
    assert versions[1].run_id == audit
    assert versions[2].tags["audit"] == name_of(missed)
    assert "NOT_REPRODUCED" in versions[2].description


def test_a_run_tells_its_recipe_its_inputs_and_when_it_ran(layout: Layout, own: MlflowClient) -> None:
    verdict, runs = evidence(layout)
    track(layout, verdict, runs)
    found = {run.data.tags["role"]: run for run in all_runs(own)}
    rerun = next(of for of in runs["inverted_labels"] if str(of.seed) == found["control"].data.tags["seed"])
    assert found["control"].data.params["labels"] == "inverted"
    assert found["seed"].data.params["labels"] == "real"
    assert found["seed"].data.params["device"] == "cpu"
    assert found["control"].info.start_time == mirror.milliseconds(rerun.started_at)
    took = found["control"].info.end_time - found["control"].info.start_time
    assert took == pytest.approx(1000 * rerun.duration_s, abs=1)
    audit = found["audit"]
    assert audit.data.params["driver"] == "python"
    assert "REPRODUCED" in audit.data.tags["mlflow.note.content"]
    (given,) = (of.dataset for of in audit.inputs.dataset_inputs)
    (code,) = report.read_evidence(read_plan(layout), layout).fetched.artifacts
    assert code.sha256
    assert (given.name, given.digest) == ("code", code.sha256[:36])
    assert code.sha256 in given.source
    experiment = own.get_experiment(audit.info.experiment_id)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_a_published_curve_stands_beside_the_reruns(layout: Layout, own: MlflowClient) -> None:
    found = report.read_evidence(read_plan(layout), layout)
    curve = ((0, 0.4), (5, 0.8), (10, 0.9))
    plan = replace(found.plan, claims=(replace(found.plan.claims[0], curve=curve),))
    mirror.track(layout, None, [report.audit_of(replace(found, plan=plan), layout)])
    (claim,) = (run.info.run_id for run in all_runs(own) if run.data.tags["role"] == "claim")
    assert tuple((of.step, of.value) for of in own.get_metric_history(claim, "accuracy")) == curve


@pytest.mark.parametrize("calls", [2, 7, 20, 27])
def test_a_mirror_that_was_broken_off_is_completed_without_doubles(
    layout: Layout, own: MlflowClient, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    verdict, runs = evidence(layout)
    done = 0

    def breaking(call: Any) -> Any:
        def counted(*given: Any, **named: Any) -> Any:
            nonlocal done
            done += 1
            answer = call(*given, **named)  # it arrived, and the answer did not
            if done == calls:
                raise ConnectionError("the server has ended")
            return answer

        return counted

    names = (
        "create_run",
        "log_batch",
        "log_inputs",
        "set_terminated",
        "log_artifact",
        "create_model_version",
        "create_registered_model",
    )
    with monkeypatch.context() as patch:
        for name in names:
            patch.setattr(MlflowClient, name, breaking(getattr(MlflowClient, name)))
        with pytest.raises(tracking.TrackingLost, match="the server has ended"):
            track(layout, verdict, runs)
    track(layout, verdict, runs)
    found = all_runs(own)
    assert len(found) == 2 + sum(map(len, runs.values()))
    assert all(run.info.status == "FINISHED" for run in found)
    for run in found:
        if run.data.tags["role"] == "seed":
            assert [of.step for of in own.get_metric_history(run.info.run_id, "accuracy")] == [0, 10]
    assert len(own.search_model_versions(f"name = '{tracking.model_name('honest')}'")) == 1


def test_what_history_keeps_of_earlier_audits_is_mirrored_once(layout: Layout, own: MlflowClient) -> None:
    earlier = mirror.EarlierAudit(
        name="aaaaaaaa 2020-01-01T00:00:00Z", outcome=Outcome.INCONCLUSIVE, basis=(), reason="few runs", score=0.5, coverage=1.0,
        finished_at="2020-01-01T00:00:00Z", plan_digest="a" * 64, rules_version="1", claims={"accuracy": Outcome.INCONCLUSIVE},
    )  # fmt: skip
    found = report.audit_of(report.read_evidence(read_plan(layout), layout), layout)
    for _ in range(2):
        mirror.track(layout, None, [earlier, found])
    audits = [run for run in all_runs(own) if run.data.tags["role"] == "audit"]
    assert [run.data.tags["outcome"] for run in audits] == ["REPRODUCED", "INCONCLUSIVE"]
    assert audits[1].data.tags["claim.accuracy"] == "INCONCLUSIVE"
    assert [run.data.tags["review"] for run in audits] == ["waiting", "superseded"]


def by(client: MlflowClient, role: str) -> Any:
    (found,) = (run for run in all_runs(client) if run.data.tags["role"] == role)
    return found


def said(layout: Layout) -> list[tuple[str, str, str]]:
    return [(of.word, of.by, of.text) for of in reviewing.reviews(layout.root, layout.target)]


def test_a_review_by_tags_is_taken_over_once_and_stays_after_the_next_audit(layout: Layout, own: MlflowClient) -> None:
    verdict, runs = evidence(layout)
    track(layout, verdict, runs)
    audit = by(own, "audit").info.run_id
    for key, value in (("review", "Approved"), ("review_note", "read it twice"), ("review_by", "Ann")):
        own.set_tag(audit, key, value)
    for _ in range(2):
        track(layout, verdict, runs)
    assert said(layout) == [("approve", "Ann", "read it twice")]
    assert own.get_run(audit).data.tags["review"] == "approved"
    track(layout, again(layout, 2), runs)
    assert said(layout) == [("approve", "Ann", "read it twice")]
    assert own.get_run(audit).data.tags["review"] == "approved"
    assert str(own.get_registered_model(tracking.model_name("honest")).aliases["approved"]) == "1"
    own.set_tag(audit, "review_note", "and once more")
    track(layout, verdict, runs)
    assert said(layout)[1:] == [("note", "Ann", "and once more")]


def test_a_review_by_an_alias_and_one_by_the_command_meet(layout: Layout, own: MlflowClient) -> None:
    verdict, runs = evidence(layout)
    track(layout, verdict, runs)
    model, audit = tracking.model_name("honest"), by(own, "audit").info.run_id
    own.set_registered_model_alias(model, "contested", "1")
    for _ in range(2):
        track(layout, verdict, runs)
    assert said(layout) == [("contest", "unknown", "")]
    assert own.get_run(audit).data.tags["review"] == "contested"
    reviewing.add(
        layout, replace(reviewing.reviews(layout.root, "honest")[0], by="Bo", word="approve", via="command", seen="")
    )
    for _ in range(2):
        track(layout, verdict, runs)
    assert [word for word, _, _ in said(layout)] == ["contest", "approve"]
    tags = own.get_run(audit).data.tags
    assert tags["review"] == "approved"
    assert tags["review.2"].startswith("approve by Bo")
    aliases = own.get_registered_model(model).aliases
    assert "contested" not in aliases
    assert str(aliases["approved"]) == "1"


def test_other_words_in_the_tag_are_kept_as_a_note(layout: Layout, own: MlflowClient) -> None:
    verdict, runs = evidence(layout)
    track(layout, verdict, runs)
    own.set_tag(by(own, "audit").info.run_id, "review", "looks odd")
    for _ in range(2):
        track(layout, verdict, runs)
    assert said(layout) == [("note", "unknown", "looks odd")]
    assert by(own, "audit").data.tags["review"] == "waiting"


def test_reviews_of_the_records_reach_a_server_that_knew_nothing(layout: Layout, own: MlflowClient) -> None:
    verdict, runs = evidence(layout)
    given = reviewing.AuditReview(
        at="2030-01-01T00:00:00Z", by="Ann", word="approve", text="", audit=name_of(verdict), outcome=verdict.outcome, via="command", seen="",
    )  # fmt: skip
    reviewing.add(layout, given)
    track(layout, verdict, runs)
    assert by(own, "audit").data.tags["review"] == "approved"
    assert reviewing.reviews(layout.root, "honest") == (given,)


def test_no_password_is_told(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cr3t-word")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with PackageIndex(login="ann:another") as server:  # 401, as a server with a wrong password
        monkeypatch.setenv(tracking.ENVIRONMENT_VARIABLE, server.root)
        with pytest.raises(tracking.TrackingLost) as caught:
            tracking.experiment_ids(layout.root, None, ["honest"])
    assert "401" in str(caught.value)
    assert "s3cr3t-word" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_links_to_several_targets_and_to_one() -> None:
    several = tracking.waiting_path(["1", "2"])
    assert several.startswith("/#/compare-experiments/s?experiments=%5B%221%22%2C%20%222%22%5D")
    assert tracking.waiting_path(["1"]).startswith("/#/experiments/1/runs?")
    since = tracking.not_reproduced_path(["1", "2"], datetime(2026, 11, 1, tzinfo=UTC))
    assert "tags.outcome%20%3D%20%27NOT_REPRODUCED%27%20and%20attributes.end_time%20%3E%3D%201793491200000" in since
