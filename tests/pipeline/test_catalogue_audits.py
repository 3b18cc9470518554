"""The ten named systems: each target's audit ends in an honest answer, whatever the hosts say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from html import escape
from pathlib import Path

import pytest
from hub import Hub
from loopback import PackageIndex, closed_port
from releases.miniature import make_project
from releases.stages import audit

from openassay.core.openness import CLASS_NEEDS
from openassay.core.verdict_records import Outcome
from openassay.layout import Layout
from openassay.project import layouts
from openassay.sources import download
from openassay.sources.fetched import Unreachable
from openassay.sources.pypi import package_index
from openassay.target import read_target

CLOSED = ("grok1", "llama2_7b", "llama3_8b", "mixtral_8x7b", "phi2")
OPEN = (
    "amber", "crystalcoder", "datadecide_4m", "olmo_1b", "pythia_14m", "pythia_160m", "pythia_70m", "pythia_70m_deduped",
    "t5_small",
)  # fmt: skip


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub, a git host and a package index that have nothing of them: the pinned commits cannot be made up."""
    monkeypatch.setattr(download, "pause", lambda *_: None)
    with Hub(tmp_path / "hub") as served, PackageIndex() as index:
        served.lead(monkeypatch, tmp_path)
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_INDEX_URL", index.url)
        package_index.cache_clear()
        wheel = "transformers-5.23.0-py3-none-any.whl"  # it is listed, and no longer there
        index.publish("transformers", wheel, b"")
        index.lists_digests, index.status[f"/files/{wheel}"] = False, 410
        yield served
    package_index.cache_clear()


def layout_of(name: str, tmp_path: Path) -> Layout:
    """A target of the catalogue in a project that has no file of it."""
    (layout,) = layouts(make_project(tmp_path / "project"), [f"catalogue:{name}"])
    assert layout.folder == tmp_path / "project" / "experiments" / name
    return layout


@pytest.mark.parametrize("name", CLOSED)
def test_a_closed_system_is_not_attempted_and_what_is_missing_is_named(name: str, hub: Hub, tmp_path: Path) -> None:
    layout = layout_of(name, tmp_path)
    verdict = audit(layout)
    assert verdict.outcome is Outcome.NOT_ATTEMPTED
    target = read_target(layout)
    assert target.not_rerun_because
    missing = {part.component for part in target.components if part.published == "no"}
    assert {"datasets", "training_code"} <= missing
    said = verdict.openness
    assert said.mof.mof_class == 0
    needed = {name for names in CLASS_NEEDS.values() for name in names}
    assert missing & needed <= {gap.component for gap in said.mof.missing if gap.problem == "absent"}
    assert {of.freedom: of.outcome for of in said.freedoms}["study"] == "fails"
    page = layout.report.read_text()
    assert said.to_release
    assert all(escape(words) in page for words in said.to_release)
    kinds = {finding.kind for finding in verdict.findings}
    assert ("artifact_unavailable" in kinds) == bool(target.artifacts)  # this hub has nothing of them


@pytest.mark.parametrize("name", OPEN)
def test_an_open_system_that_cannot_be_rerun_here_says_why(name: str, hub: Hub, tmp_path: Path) -> None:
    layout = layout_of(name, tmp_path)
    verdict = audit(layout)
    assert verdict.outcome is Outcome.NOT_ATTEMPTED
    assert any(finding.kind == "artifact_unavailable" and "gone" in finding.message for finding in verdict.findings)


@pytest.mark.parametrize("name", ["llama2_7b", "pythia_14m"])
def test_without_a_network_there_is_a_fault_and_no_verdict(
    name: str, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = closed_port()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.http://127.0.0.1:{port}/.insteadOf")
    layout = layout_of(name, tmp_path)
    with pytest.raises(Unreachable):
        audit(layout)
    assert not layout.verdict.exists()
