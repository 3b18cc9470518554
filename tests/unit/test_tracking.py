"""MLflow as a mirror: flat tagged runs in a real SQLite store, replaced and not repeated, and no harm when it is lost."""

from __future__ import annotations

import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from loopback import PackageIndex
from mlflow.tracking import MlflowClient
from releases.commands import LONG_S
from releases.miniature import add_release, make_project
from releases.stages import SETTINGS, audit

from openassay import tracking
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
    tracking.experiment_id(pathlib.Path("."), sys.argv[1], "x")
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
    code = "import sys, pathlib; from openassay import tracking; tracking.experiment_id(pathlib.Path(sys.argv[1]), None, 'x')"
    command = [sys.executable, "-c", code, str(tmp_path)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for process in processes:
        _, said = process.communicate(timeout=LONG_S)
        assert process.returncode == 0, said
