"""A miniature Pythia on a loopback hub, audited by replaying its first updates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from hub import Hub
from releases import olmo, pythia
from releases.build import called_deduplicated
from releases.miniature import make_project, write_index, write_target
from releases.stages import audit
from typer.testing import CliRunner

from openassay import cli
from openassay.core.replay_records import CheckpointsRecord, ReplayRecord
from openassay.core.verdict_records import Outcome
from openassay.layout import Layout
from openassay.records import read_record
from openassay.sources import download


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    monkeypatch.setattr(download, "pause", lambda *_: None)
    with Hub(tmp_path / "hub") as served:
        served.lead(monkeypatch, tmp_path)
        yield served


def layout_of(tmp_path: Path) -> Layout:
    return Layout(make_project(tmp_path / "project"), "mini_pythia")


def test_an_honest_release_matches_and_what_was_not_exercised_is_said(hub: Hub, tmp_path: Path) -> None:
    layout = layout_of(tmp_path)
    size = pythia.TINY
    published = pythia.publish(hub, tmp_path, size=size, keep=(0, 16))
    write_target(layout.root, pythia.target(layout.target, *published, updates=(16,), size=size))
    hub.requests.clear()
    verdict = audit(layout)
    assert verdict.outcome is Outcome.REPRODUCED, verdict.reason
    (claim,) = verdict.claims
    assert (claim.rule, claim.driver, claim.protocol) == ("replay_matches", "replay", "prefix")
    assert claim.score is not None
    assert claim.score > 0.5
    assert all(control.caught for control in verdict.controls)
    assert len(verdict.controls) == 2
    record = read_record((layout.rerun("faithful", 0) / "replay.json"), ReplayRecord)
    by_name = {of.change: of.exercised for of in record.exercise}
    assert by_name["learning rate x1.1"]
    assert not all(by_name.values())
    silent = {finding.message for finding in verdict.findings if finding.kind == "not_exercised"}
    assert len(silent) == sum(not seen for seen in by_name.values())
    assert any(finding.kind == "recipe_not_whole" and "batch_size" in finding.message for finding in verdict.findings)
    page = layout.report.read_text()
    assert "not exercised" in page
    needed = 2 * 4 * sum(value.size for value in pythia.initial_weights(pythia.recipe_of(size), 0).values())
    needed += pythia.needed_bytes(16, size)
    content = hub.sent("*/resolve/*")
    assert needed <= content <= 1.05 * needed


def test_a_release_that_was_trained_otherwise_is_not_reproduced_and_explained(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = layout_of(tmp_path)
    size = pythia.TINY
    published = pythia.publish(hub, tmp_path, size=size, keep=(0, 16), trained={"optimizer.betas": (0.9, 0.999)})
    write_target(layout.root, pythia.target(layout.target, *published, updates=(16,), exercise=False, size=size))
    verdict = audit(layout)
    assert (verdict.outcome, verdict.claims[0].rule) == (Outcome.NOT_REPRODUCED, "replay_differs")
    monkeypatch.chdir(layout.root)
    write_index(layout.root, [layout.target])
    done = CliRunner().invoke(cli.app, ["explain", layout.target, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["ranked"][0]["field"] == "optimizer.betas"
    assert found["ranked"][0]["explains"]


def test_a_release_in_olmos_format_matches_by_the_bytes_of_its_scattered_sequences(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = layout_of(tmp_path)
    commits = pythia.put(hub, olmo.make(keep=(0, 8, 16)))
    data = olmo.target(layout.target, commits, olmo.rerun_of(olmo.MINI, (0, 8, 16), (8, 16)))
    write_target(layout.root, data)
    monkeypatch.chdir(layout.root)
    write_index(layout.root, [layout.target])
    done = CliRunner().invoke(cli.app, ["tokens", layout.target])
    assert done.exit_code == 0, done.output
    assert hub.sent("/datasets/*/resolve/*") == 0
    pasted = yaml.safe_load(done.stdout)  # scattered over all three files
    assert {of["path"] for of in pasted["files"]} == set(olmo.FILES)
    data["artifacts"]["tokens"]["sources"][0]["files"] = pasted["files"]
    data["rerun"]["tokens"]["sizes"] = pasted["sizes"]
    write_target(layout.root, data)
    verdict = audit(layout)
    assert verdict.outcome is Outcome.REPRODUCED, verdict.reason
    assert all(control.caught for control in verdict.controls)
    needed = (16 * olmo.MINI.batch + 64) * olmo.MINI.length * 4
    assert needed <= hub.sent("/datasets/*/resolve/*") <= 1.05 * needed
    assert needed < sum(pasted["sizes"]) / 5


def test_a_release_that_is_called_deduplicated_and_was_not_is_explained_by_the_standard_data(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = layout_of(tmp_path)
    size = pythia.TINY
    commits = pythia.put(hub, called_deduplicated(size))
    steps = {int(name[4:]): commit for name, commit in commits.items() if name.startswith("step")}
    data = pythia.target(layout.target, commits["code"], commits["tokens"], steps, exercise=False)
    data["rerun"]["updates"] = [8, 16]
    wanted = pythia.needed_bytes(16, size)
    gone = {"kind": "hf", "repo": "mini/gone", "repo_type": "dataset", "revision": "main", "files": ["document.bin"]}
    data["artifacts"] |= {
        "tokens": pythia.dataset("mini/tokens", commits["tokens"], wanted),
        "standard": pythia.dataset("mini/standard", commits["standard"], wanted),
        "gone": {"sources": [gone]},
    }
    said = {"url": "https://example.org/mini", "note": "the card names two variants of the data"}

    def read_from(artifact: str) -> dict[str, object]:
        return {"artifact": artifact, "layout": "preshuffled", "files": ["document.bin"]}

    data["rerun"]["alternatives"] = [
        {"name": "a variant that is gone", "tokens": read_from("gone"), "cited_at": dict(said)},
        {"name": "the standard data", "tokens": read_from("standard"), "cited_at": dict(said)},
        {"name": "the card's learning rate", "set": {"learning_rate.peak": 0.006}, "cited_at": dict(said)},
    ]
    write_target(layout.root, data)
    verdict = audit(layout)
    assert (verdict.outcome, verdict.claims[0].rule) == (Outcome.NOT_REPRODUCED, "replay_differs")
    assert hub.sent("/datasets/mini/standard/*") == 0  # an audit needs no alternative
    assert not any(finding.kind == "artifact_unavailable" for finding in verdict.findings)
    monkeypatch.chdir(layout.root)
    write_index(layout.root, [layout.target])
    done = CliRunner().invoke(cli.app, ["explain", layout.target, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["ranked"][0]["change"] == "the standard data"
    assert found["ranked"][0]["explains"]
    assert found["group"] == ["the standard data"]
    assert "the card's learning rate" in {of["change"] for of in found["ranked"]}
    assert any(line.startswith("a variant that is gone: the artifact gone could not be") for line in found["not_tried"])
    assert hub.sent("/datasets/mini/standard/*") == wanted


def test_a_release_that_was_fed_other_batches_is_not_reproduced(hub: Hub, tmp_path: Path) -> None:
    layout = layout_of(tmp_path)
    size = pythia.TINY
    rows = pythia.items(size)[np.random.default_rng(0).permutation(size.items)]
    published = pythia.publish(hub, tmp_path, size=size, keep=(0, 16), rows=rows)
    write_target(layout.root, pythia.target(layout.target, *published, updates=(16,), exercise=False, size=size))
    assert audit(layout).outcome is Outcome.NOT_REPRODUCED


def test_what_does_not_fit_together_is_a_finding(hub: Hub, tmp_path: Path) -> None:
    layout = layout_of(tmp_path)
    code, tokens, commits = pythia.publish(hub, tmp_path, keep=(0, 2))
    data = pythia.target(layout.target, code, tokens, commits, updates=(2,), exercise=False)
    data["artifacts"]["tokens"]["sources"][0]["files"] = [{"path": "document.bin", "bytes": [0, 3000]}]
    write_target(layout.root, data)
    verdict = audit(layout)
    assert verdict.outcome is Outcome.NOT_ATTEMPTED
    assert any("tokens end before batch" in finding.message for finding in verdict.findings)
    assert not (layout.rerun("faithful", 0) / "replay.json").exists()
    assert "<h2>Published checkpoints</h2>" in layout.report.read_text()


def test_a_replay_beyond_its_time_limit_is_stopped(hub: Hub, tmp_path: Path) -> None:
    layout = layout_of(tmp_path)
    code, tokens, commits = pythia.publish(hub, tmp_path, keep=(0, 2))
    data = pythia.target(layout.target, code, tokens, commits, updates=(2,), exercise=False)
    data["rerun"]["timeout_s"] = 0.001
    write_target(layout.root, data)
    verdict = audit(layout)
    assert verdict.outcome is Outcome.NOT_ATTEMPTED
    assert any("its time limit" in finding.message for finding in verdict.findings)


def test_a_segment_with_optimizer_state_and_losses_is_audited_from_its_own_bytes(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = layout_of(tmp_path)
    code, tokens, commits = pythia.publish_segment(hub, tmp_path)
    data = pythia.segment_target(layout.target, code, tokens, commits)
    copied = {"step": 24, "artifact": "step16"}
    data["rerun"]["checkpoints"].append(copied)  # its content is that of step 16
    write_target(layout.root, data)
    hub.requests.clear()
    verdict = audit(layout)
    assert verdict.outcome is Outcome.REPRODUCED, verdict.reason
    (claim,) = verdict.claims
    assert (claim.rule, claim.protocol) == ("replay_matches", "segment")
    needed = 4 * 4 * sum(value.size for value in pythia.initial_weights(pythia.recipe(tmp_path), 0).values())
    needed += 8 * 8 * (pythia.LENGTH + 1) * 2
    assert needed <= hub.sent("*/resolve/*") <= 1.05 * needed
    assert any(of.kind == "checkpoints_same" and "steps 16, 24" in of.message for of in verdict.findings)
    page = layout.report.read_text()
    assert "from the published step 8" in page
    assert "Published checkpoints" in page
    record = read_record((layout.rerun("faithful", 0) / "checkpoints.json"), CheckpointsRecord)
    assert all(look.digest[:12] in page for look in record.looks)
    monkeypatch.chdir(layout.root)
    write_index(layout.root, [layout.target])
    done = CliRunner().invoke(cli.app, ["checkpoints", layout.target, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == json.loads((layout.rerun("faithful", 0) / "checkpoints.json").read_text())
    shown = CliRunner().invoke(cli.app, ["checkpoints", layout.target])
    assert "same: the checkpoints of steps 16, 24 have the same content" in shown.stdout
    assert "odd things in 3 checkpoints: 1" in shown.stdout
