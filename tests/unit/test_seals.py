"""What was sealed, and what an edit of it gives."""

from __future__ import annotations

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from openassay.faults import BadInput
from openassay.layout import Layout
from openassay.records import file_digest
from openassay.seals import (
    _FROM,
    _WRITTEN,
    Edited,
    Outdated,
    SealedElsewhere,
    check,
    check_files,
    key_file,
    seal,
    sealing,
)
from openassay.stage_code import PACKAGE, STAGES


@pytest.fixture(autouse=True)
def _own_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENASSAY_SEAL_KEY", str(tmp_path / "keys" / "seal.key"))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A target whose stages have all written something."""
    layout = Layout(tmp_path, "some")
    for stage in STAGES:
        with sealing(layout, stage):
            written(layout, stage)
    return layout


def written(layout: Layout, stage: str, text: str = "as it was") -> list[Path]:
    files = {"plan": ["plan.yaml", "inputs/fetch.json"], "prepare": ["prepare/record.json", "prepare/data/x.npy"]}
    found = [layout.folder / name for name in files.get(stage, _WRITTEN[stage])]
    for path in found:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{stage} {text}")
    return found


def test_the_stages_are_those_of_the_pipeline() -> None:
    stages = yaml.safe_load((PACKAGE / "pipelines/stages.yaml").read_text())["stages"]
    assert list(stages) == list(_WRITTEN) == list(_FROM) == list(STAGES)
    made_by = {}
    for stage, of in stages.items():
        outs = [next(iter(out)) for key in ("outs", "metrics", "plots") for out in of.get(key, [])]
        tables = {"metrics.json", "runs.csv"}
        assert {out.split("/")[0] for out in outs} - tables == {pattern.split("/")[0] for pattern in _WRITTEN[stage]}
        made_by |= {out.split("/")[0]: stage for out in outs}
    for stage, of in stages.items():
        read = {dep.split("/")[0] for dep in of["deps"] if not dep.startswith("$")} if stage != "plan" else set()
        assert {made_by[name] for name in read} == set(_FROM[stage]), stage


def test_what_was_sealed_is_accepted(layout: Layout) -> None:
    check(layout)
    mode = stat.S_IMODE(key_file().stat().st_mode)
    assert mode == 0o600
    assert key_file().read_bytes() not in b"".join(path.read_bytes() for path in layout.folder.rglob("*.json"))


@pytest.mark.parametrize("stage", STAGES)
def test_an_edit_of_any_file_is_named(stage: str, layout: Layout) -> None:
    for path in written(layout, stage):
        if path.is_relative_to(layout.data):
            continue
        path.write_text("forged")
        with pytest.raises(
            Edited, match=f"{layout.shown(path)}: it was edited after it was written; run .* --force some`"
        ):
            check(layout)
        path.write_text(f"{stage} as it was")
    check(layout)


@pytest.mark.parametrize("key", ["files", "made_from", "code"])
def test_an_edit_of_a_seal_is_named(key: str, layout: Layout) -> None:
    layout.verdict.write_text("forged")
    path = layout.folder / "seals/judge.json"
    plain = json.loads(path.read_text())
    files = {name: file_digest(layout.folder / name) for name in plain["files"]}
    plain[key] = {"files": files, "made_from": {}, "code": "0" * 64}[key]
    path.write_text(json.dumps(plain))
    with pytest.raises(Edited, match=r"experiments/some/seals/judge\.json: it was edited"):
        check(layout)


def test_another_stages_seal_is_not_its_own(layout: Layout) -> None:
    """Nor is one of another target: what was true there is not true here."""
    other = Layout(layout.root, "other")
    for name in ("fetch", "inspect"):
        (other.folder / "seals").mkdir(parents=True, exist_ok=True)
        (other.folder / f"seals/{name}.json").write_bytes((layout.folder / f"seals/{name}.json").read_bytes())
        with pytest.raises(Edited, match=f"experiments/other/seals/{name}.json"):
            check_files(other, name)
    (layout.folder / "seals/fetch.json").replace(layout.folder / "seals/inspect.json")
    with pytest.raises(Edited, match=r"seals/inspect\.json"):
        check_files(layout, "inspect")


def test_records_without_our_seal_are_told_from_edited_ones(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENASSAY_SEAL_KEY", str(layout.root / "another.key"))
    with pytest.raises(SealedElsewhere, match=r"seals/plan\.json: it was made with another key than .*another\.key"):
        check(layout)
    (layout.folder / "seals/fetch.json").unlink()
    with pytest.raises(SealedElsewhere, match=r"experiments/some/fetch/record\.json: it bears no seal of this machine"):
        check_files(layout, "fetch")


def test_an_unfinished_audit_is_not_called_edited(layout: Layout) -> None:
    with sealing(layout, "plan"):
        written(layout, "plan", "of a new target file")
    with pytest.raises(Outdated, match=r"fetch/record\.json: .*/inputs/fetch\.json is another than it was made from"):
        check(layout)
    with pytest.raises(Outdated):
        check(layout, "judge")


def test_a_stage_does_not_read_what_was_edited(layout: Layout) -> None:
    layout.record("fetch").write_text("forged")
    for stage in ("inspect", "prepare", "evaluate", "rerun", "judge", "report"):
        with pytest.raises(Edited, match=r"fetch/record\.json"), sealing(layout, stage):
            raise AssertionError("it must not begin")


def test_prepared_data_are_looked_at_by_those_that_read_them(layout: Layout) -> None:
    (layout.data / "x.npy").write_text("forged")
    check(layout)
    for stage in ("evaluate", "rerun"):
        with pytest.raises(Edited, match=r"prepare/data/x\.npy"), sealing(layout, stage):
            raise AssertionError("it must not begin")


def test_a_rerun_made_after_the_stage_is_newer_and_an_edited_one_is_edited(layout: Layout) -> None:
    record = layout.rerun("faithful", 0) / "record.json"
    record.parent.mkdir(parents=True)
    record.write_text("0.5")
    name = "rerun/faithful/seed-0"
    seal(layout, name, {f"{name}/record.json": file_digest(record)}, {})
    for stage in STAGES[STAGES.index("rerun") :]:
        with sealing(layout, stage):
            written(layout, stage)
    check(layout)
    record.write_text("0.9")
    with pytest.raises(
        Edited, match=r"seed-0/record\.json: .* remove experiments/some/rerun/faithful/seed-0, then run"
    ):
        check(layout)
    seal(layout, name, {f"{name}/record.json": file_digest(record)}, {})  # a killed audit has made it anew
    with pytest.raises(Outdated, match=r"rerun/record\.json: .*seed-0/record\.json is another"):
        check(layout)


def test_processes_that_start_together_share_one_key(tmp_path: Path) -> None:
    layouts = [Layout(tmp_path, f"t{i}") for i in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda of: seal(of, "fetch", {}, {}), layouts))
    for layout in layouts:
        check_files(layout, "fetch")
    assert os.listdir(key_file().parent) == ["seal.key"]


def test_a_key_of_another_length_is_refused(layout: Layout) -> None:
    key_file().write_bytes(b"short")
    with pytest.raises(BadInput, match=r"seal\.key: a key of 32 bytes is expected, found 5"):
        check(layout)
