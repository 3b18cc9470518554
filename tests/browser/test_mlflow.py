"""Audits in MLflow's own pages, in a real browser: one server, which `openassay dashboard` starts, and two audits of one release."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from chromium import PROGRAM, Chromium
from mlflow.tracking import MlflowClient
from releases.miniature import add_release, make_project, write_index
from releases.stages import audit

from openassay import tracking
from openassay.core.verdict_records import Outcome, ReleaseVerdict
from openassay.layout import Layout
from openassay.plan import read_plan
from openassay.report.page import PageInputs
from openassay.reviewing import name_of, reviews
from openassay.stages import report
from openassay.tracking import mirror

pytestmark = [pytest.mark.browser, pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine")]
PUBLISHED = ((0, 0.42), (5, 0.80), (10, 0.90))
LONG_S = 240


def evidence(layout: Layout, **changes: Any) -> PageInputs:
    """An audit's evidence, with a published curve and one of each rerun; changes: of the verdict."""
    found = report.read_evidence(read_plan(layout), layout)
    runs = {
        arm: tuple(
            replace(
                of, curves={"accuracy": ((0, 0.4), (5, 0.75 + 0.02 * of.seed), (10, 0.9 if arm == "faithful" else 0.1))}
            )
            for of in reruns
        )
        for arm, reruns in found.runs.items()
    }
    claims = (replace(found.plan.claims[0], curve=PUBLISHED),)
    verdict = replace(found.verdict, **changes)
    return replace(found, runs=runs, plan=replace(found.plan, claims=claims), verdict=verdict)


def later(verdict: ReleaseVerdict, finished_at: str) -> Any:
    return replace(verdict.provenance, finished_at=finished_at, num_reused=5)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory, session_cache: Path) -> Layout:
    """Two audits in MLflow, of which the earlier one said NOT_REPRODUCED."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENASSAY_CACHE", str(session_cache))
        patch.delenv(tracking.ENVIRONMENT_VARIABLE, raising=False)
        root = make_project(tmp_path_factory.mktemp("dashboard"))
        patch.chdir(root)
        layout = add_release(root, "honest")
        audit(layout)
        write_index(root, [], tracking="sqlite")
        first = evidence(layout)
        missed = replace(first.verdict, outcome=Outcome.NOT_REPRODUCED, reason="1 of 1 claims is not reproduced")
        earlier = replace(first, verdict=replace(missed, provenance=later(missed, "2026-01-01T00:00:00Z")))
        mirror.track(layout, None, [report.audit_of(of, layout) for of in (earlier, first)])
    return layout


@pytest.fixture(scope="module")
def links(layout: Layout, session_cache: Path) -> Iterator[dict[str, str]]:
    """The links that `openassay dashboard` prints, by their names, while its server runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "openassay", "dashboard", "--port", str(port), "--since", "2025-12-01"]
    variables = os.environ | {"OPENASSAY_CACHE": str(session_cache)}
    server = subprocess.Popen(
        command, cwd=layout.root, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert server.stdout
    found = {}
    for line in server.stdout:
        if link := re.match(r"\s*(.+?): (http://\S+)$", line):
            found[link[1]] = link[2]
        if "startup complete" in line:
            break
    yield found
    server.terminate()
    server.wait(LONG_S)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("browser")) as one:
        yield one


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where pictures are kept: $OPENASSAY_PICTURES, to look at them."""
    folder = Path(os.environ.get("OPENASSAY_PICTURES", tmp_path))
    folder.mkdir(exist_ok=True)
    return folder


def audits(layout: Layout) -> list[Any]:
    """The audits' runs, the newest first."""
    client = MlflowClient(tracking.tracking_uri(layout.root, None))
    (experiment,) = (of for of in client.search_experiments() if of.name == "openassay/honest")
    return sorted(
        client.search_runs([experiment.experiment_id], "tags.role = 'audit'"),
        key=lambda of: of.info.end_time,
        reverse=True,
    )


def server_of(links: dict[str, str]) -> str:
    return links["honest"].partition("/#")[0]


def test_all_audits_of_a_target_stand_in_one_table(links: dict[str, str], browser: Chromium, pictures: Path) -> None:
    browser.open(links["all audits"])
    browser.says("2 matching runs")
    for words in ("NOT_REPRODUCED", "waiting", "superseded", "Model training"):
        browser.says(words)
    browser.shot(pictures / "mlflow-audits.png")


def test_views_over_targets_choose_audits(links: dict[str, str], browser: Chromium) -> None:
    browser.open(links["NOT_REPRODUCED since 2025-12-01"])
    browser.says("1 matching run")
    browser.says("audit: NOT_REPRODUCED")
    browser.open(links["waiting for a review"])
    browser.says("audit: REPRODUCED")
    assert "audit: NOT_REPRODUCED" not in browser.text()


def test_the_chart_shows_the_published_curve_over_the_reruns(
    links: dict[str, str], browser: Chromium, pictures: Path
) -> None:
    browser.open(links["honest"])
    browser.says("published: accuracy")
    named = "[...document.querySelectorAll('.js-plotly-plot')].map(of => (of.data ?? []).map(line => [line.name, [...(line.y ?? [])]]))"
    lines = browser.until(f"{named}.find(of => of.length > 2 && of.every(line => line[1].length === 3))")
    drawn = {name: tuple(values) for name, values in lines}
    assert drawn["published: accuracy"] == tuple(value for _, value in PUBLISHED)
    assert any(name.startswith("faithful: seed") for name in drawn)
    browser.shot(pictures / "mlflow-chart.png")


def run_path(run: Any) -> str:
    """The path of a run's page."""
    return f"/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}?workflowType=machine_learning"


def test_a_runs_page_has_the_verdict_in_words_and_its_inputs(
    layout: Layout, links: dict[str, str], browser: Chromium, pictures: Path
) -> None:
    newest = audits(layout)[0]
    browser.open(server_of(links) + run_path(newest))
    browser.says("What was different")
    for words in ("Mini (honest)", "Published Artifact", "openassay-honest", "driver", "python"):
        browser.says(words)
    browser.shot(pictures / "mlflow-run.png")


def test_two_audits_are_compared(layout: Layout, links: dict[str, str], browser: Chromium, pictures: Path) -> None:
    runs = audits(layout)
    chosen = (json.dumps([run.info.run_id for run in runs]), json.dumps([runs[0].info.experiment_id]))
    path = "/#/compare-runs?runs={}&experiments={}&workflowType=machine_learning".format(*map(quote, chosen))
    browser.open(server_of(links) + path)
    browser.says("Comparing 2 Runs")
    for words in ("audit: NOT_REPRODUCED", "audit: REPRODUCED", "2026-01-01T00:00:00Z"):
        browser.says(words)
    browser.shot(pictures / "mlflow-compare.png")


def test_a_dashboard_that_runs_already_is_used(layout: Layout, links: dict[str, str], session_cache: Path) -> None:
    port = server_of(links).rpartition(":")[2]
    command = [sys.executable, "-m", "openassay", "dashboard", "honest", "--port", port]
    variables = os.environ | {"OPENASSAY_CACHE": str(session_cache)}
    done = subprocess.run(
        command, cwd=layout.root, env=variables, capture_output=True, text=True, timeout=LONG_S, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"honest: {server_of(links)}/#/experiments/" in done.stdout
    assert "an MLflow server shows these audits" in done.stderr
    shutil.copytree(layout.root / "conf", layout.root / "other" / "conf", dirs_exist_ok=True)
    shutil.copy(layout.root / "dvc.yaml", layout.root / "other")
    other = subprocess.run(
        command, cwd=layout.root / "other", env=variables, capture_output=True, text=True, timeout=LONG_S, check=False
    )
    assert other.returncode == 2
    assert f"--port: an MLflow server with other runs is at {port}" in other.stderr


def test_a_review_that_is_made_there_is_seen_by_the_command_and_stays_after_the_next_audit(
    layout: Layout, links: dict[str, str], browser: Chromium, pictures: Path
) -> None:
    newest = audits(layout)[0]
    browser.open(server_of(links) + run_path(newest))
    browser.click('button[aria-label="Edit tags"]')
    for key, value in (("review", "approved"), ("review_by", "Ann"), ("review_note", "the curve fits")):
        browser.click('[role="dialog"] input[id^="dubois-select"]')
        browser.type(key, "Enter")
        browser.click('[role="dialog"] input[placeholder="Type a value"]')
        browser.type(value)
        browser.click('[role="dialog"] button[aria-label="Add tag"]')
    browser.shot(pictures / "mlflow-review.png")
    browser.click('[role="dialog"] button', "Save tags")
    browser.until("!document.querySelector('[role=\"dialog\"]')")
    found = evidence(layout)
    for _ in range(2):
        mirror.track(layout, None, [report.audit_of(found, layout)])
    (made,) = reviews(layout.root, "honest")
    assert (made.word, made.by, made.text, made.via) == ("approve", "Ann", "the curve fits", "mlflow")
    assert made.audit == name_of(found.verdict)
    after = replace(found, verdict=replace(found.verdict, provenance=later(found.verdict, "2030-01-01T00:00:00Z")))
    mirror.track(layout, None, [report.audit_of(after, layout)])
    assert reviews(layout.root, "honest") == (made,)
    browser.open(server_of(links) + tracking.model_path("honest"))
    browser.says("Version 3")
    for words in ("approved", "newest", "reproduced"):
        browser.says(f"@ {words}")
    browser.shot(pictures / "mlflow-versions.png")
    assert [run.data.tags["review"] for run in audits(layout)] == ["waiting", "approved", "superseded"]
