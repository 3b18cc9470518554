"""A miniature family's smallest member, trained whole from other seeds and compared with the release's own checkpoint."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from releases import family
from releases.miniature import make_project, write_target
from releases.stages import SETTINGS, audit

from openassay.core.rerun_records import EvaluateRecord, Rerun
from openassay.core.verdict_records import Outcome, ReleaseVerdict
from openassay.layout import Layout
from openassay.records import read_record

ONE_WORKER = [*SETTINGS, "execution.workers=1"]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = make_project(tmp_path / "project")
    monkeypatch.chdir(made)  # local paths are relative to it
    return made


def target_of(layout: Layout) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(layout.target_file.read_text())
    return found


def kinds(verdict: ReleaseVerdict) -> dict[str, str]:
    return {finding.kind: finding.message for finding in verdict.findings}


def test_an_honest_member_is_reproduced_and_speaks_for_no_larger_one(root: Path) -> None:
    layout, loss = family.publish(root, "honest")
    verdict = audit(layout, ONE_WORKER)
    (claim,) = verdict.claims
    assert (claim.outcome, claim.rule, claim.driver, claim.protocol) == (
        Outcome.REPRODUCED, "within_tolerance", "pretrain", "family",
    )  # fmt: skip
    assert "of mini-17k only" in verdict.reason
    assert "on no larger member" in kinds(verdict)["one_member_of_a_family"]
    assert [control.caught for control in verdict.controls] == [True]
    assert verdict.modify[0].outcome == "as predicted"
    # the released checkpoint is measured where released models are, and again beside every rerun
    measured = read_record(layout.record("evaluate"), EvaluateRecord)
    assert [m.value for m in measured.measurements] == [pytest.approx(loss, abs=1e-6)]
    rerun = read_record(layout.rerun("faithful", 1) / "record.json", Rerun)
    values = {m.metric: m.value for m in rerun.measurements}
    assert set(values) == {"train_loss_at_80", "validation_loss", "validation_loss_above_released"}
    assert values["validation_loss_above_released"] == pytest.approx((values["validation_loss"] or 0) - loss, abs=1e-6)
    # its curves end with what was measured, so that a chart shows both
    for metric, value in values.items():
        assert rerun.curves[metric][-1] == (80, pytest.approx(value))
        assert len(rerun.curves[metric]) > 10
    assert "the published order" in rerun.log_tail
    page = layout.report.read_text()
    # the ladder is a remark: the published 5 nats lie far beside it, and nothing comes of that
    assert kinds(verdict)["ladder_sanity_only"].startswith(
        "sanity only: the published loss 5 of 800000 parameters lies beside"
    )
    for words in ("sanity only", "of mini-17k only", "order: the seeds", "recipe_not_run_from_release"):
        assert words in page
    without = target_of(layout)
    del without["rerun"]["ladder"]
    write_target(layout.root, without)
    again = audit(layout, ONE_WORKER)
    assert again.claims == verdict.claims
    assert (again.outcome, again.reason, again.controls) == (verdict.outcome, verdict.reason, verdict.controls)
    assert again.provenance.num_reused == again.provenance.num_reruns == 5  # three, and two of the control


def test_a_release_that_was_trained_with_another_learning_rate_is_not_reproduced(root: Path) -> None:
    layout, loss = family.publish(root, "other_rate", peak=0.005)
    data = target_of(layout)
    claim = copy.deepcopy(data["claims"][0])
    cited = {"artifact": "all", "path": "README.md", "quote": f"Validation loss: {loss:.4f}"}
    published = {"value": round(loss, 4), "rounding": 0.0001}
    data["claims"].append(
        claim | {"id": "loss", "metric": "validation_loss", "published": published, "cited_at": cited}
    )
    data["rerun"] |= {"protocol": "full", "order": "shuffled"}
    del data["rerun"]["member"], data["rerun"]["ladder"]
    write_target(root, data)
    verdict = audit(layout, ONE_WORKER)
    for of in verdict.claims:
        assert (of.outcome, of.rule, of.protocol) == (Outcome.NOT_REPRODUCED, "outside_tolerance", "full")
        assert of.difference == pytest.approx(
            1.49 - loss, abs=0.03
        )  # what the recipe reaches, against what the release did
    assert "only" not in verdict.reason
    assert kinds(verdict)["data_order"].endswith("in an order of its own")
    assert not {"ladder_sanity_only", "one_member_of_a_family"} & set(kinds(verdict))
