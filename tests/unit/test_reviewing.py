"""Reviews of audits in the records, and the commands around them; what MLflow does with them: test_tracking."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from loopback import PackageIndex
from releases.miniature import add_release, make_project, write_index
from releases.stages import audit

from openassay import cli, reviewing, tracking
from openassay.core.verdict_records import Outcome, ReleaseVerdict
from openassay.faults import BadInput
from openassay.layout import Layout
from openassay.records import read_record
from openassay.reviewing import AuditReview, add, name_of, reviews, standing, standing_in_words
from openassay.seals import check
from openassay.settings import compose


def told(word: Any = "approve", audit: str = "aaaaaaaa 2026-01-01T00:00:00Z", **more: Any) -> AuditReview:
    given = {
        "at": "2026-01-02T00:00:00Z",
        "by": "Ann",
        "text": "",
        "outcome": Outcome.REPRODUCED,
        "via": "command",
        "seen": "",
    }
    return AuditReview(word=word, audit=audit, **(given | more))


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory, session_cache: Path) -> Layout:
    """A target that was audited, and one that was not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENASSAY_CACHE", str(session_cache))
        root = make_project(tmp_path_factory.mktemp("reviewed"))
        patch.chdir(root)
        add_release(root, "inflated")
        layout = add_release(root, "honest")
        audit(layout)
    return layout


@pytest.fixture
def said(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """The project, entered, without reviews and without MLflow."""
    layout.reviews.unlink(missing_ok=True)
    (layout.root / "mlflow.db").unlink(missing_ok=True)
    write_index(layout.root, [])
    monkeypatch.chdir(layout.root)
    return layout


def run(*words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["openassay", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_reviews_are_added_and_read_back(tmp_path: Path) -> None:
    layout = Layout(tmp_path, "mini")
    assert reviews(tmp_path, "mini") == ()
    lines = told(), told("reply", text="two\nlines \u2028 and\x1b[31m more"), told("contest", via="mlflow", seen="x")
    assert all(add(layout, line) for line in lines)
    assert reviews(tmp_path, "mini") == lines
    assert not add(layout, lines[2])  # made in MLflow, and seen again
    assert reviews(tmp_path, "mini") == lines
    assert layout.reviews.read_text().count("\n") == 3
    assert "\x1b" not in layout.reviews.read_text()


def test_a_line_that_is_cut_off_is_named_and_none_is_glued_to_it(tmp_path: Path) -> None:
    layout = Layout(tmp_path, "mini")
    add(layout, told())
    layout.reviews.write_bytes(layout.reviews.read_bytes().rstrip(b"\n"))
    add(layout, told("note", text="n"))
    assert [of.word for of in reviews(tmp_path, "mini")] == ["approve", "note"]
    layout.reviews.write_text(layout.reviews.read_text() + '{"at": "2026')
    with pytest.raises(BadInput, match=r"experiments/mini/reviews.jsonl, line 3: "):
        reviews(tmp_path, "mini")


def test_the_last_word_on_an_audit_is_its_standing() -> None:
    newer = "bbbbbbbb 2026-02-01T00:00:00Z"
    of = (told(), told("contest"), told("note", text="n"))
    assert standing(of, of[0].audit) == "contested"
    assert standing(of, newer) == "waiting"
    assert standing_in_words(of, of[0].audit) == "contested"
    assert standing_in_words(of, newer) == "contested (an earlier audit)"
    assert standing_in_words((told("note", text="n"),), newer) == "1 noted"
    assert standing_in_words((), newer) == "–"


def test_a_review_is_kept_and_shown_by_report_list_and_show(
    said: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("review", "honest", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out == "honest: nobody has reviewed an audit of it yet\n"
    assert run("review", "honest", "--approve", "--note", "read <b>it</b>", "--by", "Ann", monkeypatch=monkeypatch) == 0
    (found,) = reviews(said.root, "honest")
    verdict = read_record(said.verdict, ReleaseVerdict)
    assert (found.word, found.by, found.text, found.via) == ("approve", "Ann", "read <b>it</b>", "command")
    assert found.audit == name_of(verdict)
    page = said.report.read_text()
    assert "<strong>Approved</strong> by Ann" in page
    assert "read &lt;b&gt;it&lt;/b&gt;" in page
    check(said)  # the page was made anew, and sealed
    capsys.readouterr()
    run("list", "--json", monkeypatch=monkeypatch)
    assert [row["review"] for row in json.loads(capsys.readouterr().out)] == ["approved", "–"]
    run("show", "honest", monkeypatch=monkeypatch)
    assert "approved by Ann" in capsys.readouterr().out


def test_the_author_of_a_release_replies_by_a_file(
    said: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "reply.md").write_text("We used another data set.\nSee our page.")
    assert run("review", "honest", "--reply", f"{tmp_path}/reply.md", "--by", "Bo", monkeypatch=monkeypatch) == 0
    assert [(of.word, of.text) for of in reviews(said.root, "honest")] == [
        ("reply", "We used another data set.\nSee our page.")
    ]
    assert "<strong>Reply of the release&#39;s author</strong> by Bo" in said.report.read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["honest", "--approve", "--contest"], "give one of them"),
        (["inflated", "--approve"], "inflated: not audited yet; run `openassay audit inflated` first"),
        (["honest", "--note", "x" * 20_001], "expected a text of 1 to 20000 letters, found 20001"),
        (["honest", "--reply", "/nowhere/x"], "No such file"),
    ],
)
def test_what_cannot_be_a_review_is_refused_in_one_line(
    said: Layout, words: list[str], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("review", *words, monkeypatch=monkeypatch) in {2, 3}
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1
    assert not said.reviews.exists()


def test_a_lost_server_keeps_no_review_from_the_records(
    said: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_index(said.root, [], tracking="server")
    monkeypatch.setenv(tracking.ENVIRONMENT_VARIABLE, "http://ann:s3cr3t@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert run("review", "honest", "--contest", "--by", "Ann", monkeypatch=monkeypatch) == 0
    err = capsys.readouterr().err
    assert "warning: MLflow at http://127.0.0.1:9 does not take the runs" in err
    assert "s3cr3t" not in err
    assert [of.word for of in reviews(said.root, "honest")] == ["contest"]


def test_sync_mirrors_what_is_recorded_and_once(
    said: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow.tracking import MlflowClient

    write_index(said.root, [], tracking="sqlite")
    add(said, told(audit=name_of(read_record(said.verdict, ReleaseVerdict))))
    for words in (["sync"], ["sync", "honest"]):
        assert run(*words, monkeypatch=monkeypatch) == 0
        assert "honest: 1 audit in MLflow" in capsys.readouterr().out
    client = MlflowClient(f"sqlite:///{said.root}/mlflow.db")
    runs = client.search_runs([of.experiment_id for of in client.search_experiments()], "tags.role = 'audit'")
    assert [run.data.tags["review"] for run in runs] == ["approved"]
    # records of an earlier version, say: they are named, and keep no other target's from MLflow
    old = Layout(said.root, "inflated")
    old.verdict.parent.mkdir(parents=True, exist_ok=True)
    old.verdict.write_text("{}")
    try:
        assert run("sync", monkeypatch=monkeypatch) == 2
    finally:
        old.verdict.unlink()
    out, err = capsys.readouterr()
    assert "honest: 1 audit in MLflow" in out
    assert err.startswith("error: ")
    assert str(old.folder.name) in err


def test_committed_records_of_a_fresh_clone_are_mirrored_where_it_is_asked_for(
    said: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow.tracking import MlflowClient

    clone = add_release(make_project(tmp_path / "clone"), "honest")
    write_index(clone.root, [], tracking="sqlite")
    clone.published.mkdir(parents=True)
    for path in (said.plan, said.verdict, said.report):
        shutil.copy(path, clone.published)
    monkeypatch.chdir(clone.root)
    assert run("sync", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out == ""
    assert run("sync", "--published", monkeypatch=monkeypatch) == 0
    assert "honest: 1 audit in MLflow" in capsys.readouterr().out
    client = MlflowClient(f"sqlite:///{clone.root}/mlflow.db")
    runs = client.search_runs([of.experiment_id for of in client.search_experiments()])
    (claim,) = read_record(said.verdict, ReleaseVerdict).claims
    values = [run.data.metrics["final_accuracy"] for run in runs if run.data.tags["role"] == "seed"]
    assert sorted(values) == sorted(of for of in claim.runs if of is not None)
    assert run("review", "honest", "--approve", "--by", "Ann", monkeypatch=monkeypatch) == 0
    (audit,) = client.search_runs([runs[0].info.experiment_id], "tags.role = 'audit'")
    assert audit.data.tags["review"] == "approved"


def test_the_dashboard_says_first_that_a_port_is_somebody_elses(
    said: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with PackageIndex() as other:
        port = other.root.rpartition(":")[2]
        assert run("dashboard", "--port", port, monkeypatch=monkeypatch) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(
        f"error: --port: expected a free port, found {port} (Address already in use); name another one"
    )


def test_the_dashboard_at_a_server_links_what_is_there_and_says_why_not_for_others(
    said: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracking, "experiment_ids", lambda root, configured, names: {})
    monkeypatch.setenv(tracking.ENVIRONMENT_VARIABLE, "https://tracking.example/ml")
    assert run("dashboard", monkeypatch=monkeypatch) == 0
    out = capsys.readouterr().out
    assert out == (
        "honest: its records are not in MLflow; `openassay sync honest` mirrors them\nwithout records: inflated\n"
    )
    monkeypatch.setattr(tracking, "experiment_ids", lambda root, configured, names: dict.fromkeys(names, "7"))
    assert run("dashboard", "honest", "--since", "2026-11-01", monkeypatch=monkeypatch) == 0
    out = capsys.readouterr().out
    assert (
        "honest: https://tracking.example/ml/#/experiments/7/runs?workflowType=machine_learning&compareRunsMode=CHART"
        in out
    )
    assert "NOT_REPRODUCED since 2026-11-01: https://tracking.example/ml/#/experiments/7/" in out
    assert run("dashboard", "--since", "yesterday", monkeypatch=monkeypatch) == 2


def test_old_names_and_missing_addresses_of_tracking_are_named(said: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match=r"tracking: mlflow is called sqlite \(or server, where"):
        compose(said.root, ["tracking=mlflow"])
    with pytest.raises(BadInput, match=r"a server needs its address; set MLFLOW_TRACKING_URI, or ask for tracking.uri"):
        compose(said.root, ["tracking=server"])
    assert compose(said.root, ["tracking=server", "tracking.uri=http://127.0.0.1:5000"]).tracking["kind"] == "server"
    monkeypatch.setenv(tracking.ENVIRONMENT_VARIABLE, "http://127.0.0.1:5000")
    assert compose(said.root, ["tracking=server"]).tracking["uri"] is None


def test_who_reviews_is_asked_for_where_nobody_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise OSError

    monkeypatch.setattr(reviewing, "git", lambda *_: None)
    monkeypatch.setattr("getpass.getuser", nobody)
    with pytest.raises(BadInput, match="--by"):
        reviewing.who(tmp_path)


def test_a_free_port_is_no_running_server() -> None:
    from openassay.cli.reviews import _is_running

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert not _is_running("sqlite:////nowhere/x.db", port)
