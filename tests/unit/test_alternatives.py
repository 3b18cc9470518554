"""What a replay's target declares beside the published training, and which bytes it reads: no network, no training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from releases import olmo, pythia
from releases.miniature import make_project, write_target

from openassay.drivers.alternatives import declared_changes
from openassay.drivers.published import TokenFiles
from openassay.drivers.replay import ReplayDriver
from openassay.faults import BadInput
from openassay.layout import Layout
from openassay.plan import make_plan
from openassay.published.recipes.draft import with_values
from openassay.published.tokens import BadTokens, ByteRange, spans
from openassay.records import parse
from openassay.target import read_target
from openassay.training.mismatch import RecipeMismatch

STATED = pythia.recipe_of(pythia.TINY)
COMMIT = "0" * 40


def said() -> dict[str, str]:
    return {"url": "https://example.org/card", "note": "the card says so"}


def other(**values: Any) -> dict[str, Any]:
    return {
        "name": "other data",
        "cited_at": said(),
        "tokens": {"artifact": "other", "layout": "preshuffled", "files": ["document.bin"]},
    } | values


def target_with(tmp_path: Path, *alternatives: dict[str, Any], **changes: Any) -> Layout:
    layout = Layout(make_project(tmp_path / "project"), "mini")
    data = pythia.target("mini", COMMIT, COMMIT, {0: COMMIT, 16: COMMIT}, updates=(16,))
    data["artifacts"]["other"] = pythia.dataset("mini/other", COMMIT, 1000)
    data["rerun"]["alternatives"] = list(alternatives)
    write_target(layout.root, data | changes)
    return layout


@pytest.mark.parametrize(
    ("alternative", "says"),
    [
        (other(name=" "), "rerun.alternatives.0.name: each alternative needs a name of its own"),
        (other(tokens=None), "rerun.alternatives.0: it changes nothing; give tokens or set"),
        (other(tokens={"artifact": "tokens", "layout": "preshuffled", "files": ["document.bin"]}), "they are those of the replay"),
        (other(tokens={"artifact": "nowhere", "layout": "preshuffled", "files": ["a"]}), "there is no artifact 'nowhere'"),
        (other(tokens={"artifact": "other", "layout": "preshuffled", "files": ["a"], "sizes": [1, 2]}), "sizes: one for each of 1 files"),
        (other(cited_at={"note": "hearsay"}), "rerun.alternatives.0.cited_at: give a url, or an artifact and a path"),
        (other(set={"optimizer.speed": 1}), "rerun.alternatives.0.set.optimizer.speed: a recipe has no such value"),
        (other(set={"clip_norm": "tight"}), "rerun.alternatives.0.set.clip_norm: "),
        (other(set={"optimizer.betas": [0.9]}), "rerun.alternatives.0.set.optimizer.betas: "),
    ],
)  # fmt: skip
def test_an_alternative_that_says_nothing_is_refused_in_a_line(alternative, says: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as problem:
        read_target(target_with(tmp_path, alternative))
    assert says in str(problem.value)
    assert str(problem.value).startswith("conf/target/mini.yaml: ")
    assert "\n" not in str(problem.value)


def test_two_alternatives_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"alternatives\.0\.name: each alternative needs a name of its own"):
        read_target(target_with(tmp_path, other(), other()))


def test_what_only_an_alternative_needs_cannot_be_a_component(tmp_path: Path) -> None:
    component = {"component": "datasets", "published": "yes", "licence": "MIT", "artifact": "other"}
    with pytest.raises(BadInput, match=r"components\.0\.artifact: an audit does not bring 'other'"):
        read_target(target_with(tmp_path, other(), components=[component]))


def test_an_audit_goes_without_what_only_alternatives_need(tmp_path: Path) -> None:
    layout = target_with(
        tmp_path, other(), other(name="the card's rate", tokens=None, set={"learning_rate.peak": 0.01})
    )
    plan = make_plan(layout, ["profile=smoke", "judge=default", "tracking=none", "execution=cpu"])
    assert plan.only_alternatives() == {"other"}
    assert (
        make_plan(
            target_with(tmp_path / "2"), ["profile=smoke", "judge=default", "tracking=none", "execution=cpu"]
        ).only_alternatives()
        == set()
    )


def test_an_alternative_may_change_what_the_file_states_and_nothing_else() -> None:
    changed = with_values(
        STATED, {"learning_rate.peak": 0.01, "optimizer.betas": [0.8, 0.95], "clip_norm": None}, "set"
    )
    assert (changed.learning_rate.peak, changed.optimizer.betas, changed.clip_norm) == (0.01, (0.8, 0.95), None)
    assert (
        replace(changed, learning_rate=STATED.learning_rate, optimizer=STATED.optimizer, clip_norm=STATED.clip_norm)
        == STATED
    )


def test_which_alternatives_can_be_trained_is_said_one_by_one(tmp_path: Path) -> None:
    for artifact in ("tokens", "other"):
        (tmp_path / artifact).mkdir()
        (tmp_path / artifact / "document.bin").write_bytes(
            pythia.items(pythia.TINY, deduplicated=artifact == "other").tobytes()
        )
    gone = other(name="gone", tokens={"artifact": "gone", "layout": "preshuffled", "files": ["document.bin"]})
    alternatives = [
        other(), gone, other(name="both", set={"clip_norm": 0.5}), other(name="as stated", tokens=None, set={"clip_norm": 1.0}),
        other(name="a file that is not there", tokens={"artifact": "other", "layout": "preshuffled", "files": ["x.bin"]}),
    ]  # fmt: skip
    rerun = parse(ReplayDriver, pythia.rerun_of((0, 8), (8,)) | {"alternatives": alternatives}, "rerun")
    artifacts = {name: str(tmp_path / name) for name in ("tokens", "other")}
    found, not_tried = declared_changes(rerun, rerun.alternatives, artifacts, STATED)
    assert [(change.name, change.field) for change in found] == [
        ("other data", "tokens"),
        ("both", "tokens, clip_norm"),
    ]
    assert np.array_equal(found[0].tokens.items(3, 2), pythia.items(pythia.TINY, deduplicated=True)[3:5])
    assert found[1].recipe.clip_norm == 0.5
    assert [line.partition(":")[0] for line in not_tried] == ["gone", "as stated", "a file that is not there"]


def test_sequences_beyond_the_replayed_batches_may_be_a_part_of_one(tmp_path: Path) -> None:
    (tmp_path / "document.bin").write_bytes(pythia.items(pythia.TINY)[:264].tobytes())
    rerun = parse(ReplayDriver, pythia.rerun_of((0, 2), (2,)), "rerun")
    large = replace(STATED, batch_size=100)
    assert rerun.sequences(large, 2) == (0, 264)
    tokens = rerun.in_order({"tokens": str(tmp_path)}, large)
    assert np.array_equal(tokens.items(200, 64), pythia.items(pythia.TINY)[200:264])
    with pytest.raises(RecipeMismatch, match="end before batch 2 is whole"):
        tokens.items(200, 65)


@pytest.mark.parametrize("generation", [1, 2])
def test_the_bytes_of_a_scattered_order_are_enough_and_no_more(generation, tmp_path: Path) -> None:
    of = olmo.Olmo(generation=generation, tokens=6000)
    files = olmo.files_of(of)
    rerun = parse(ReplayDriver, olmo.rerun_of(of, (0, 2), (2,)), "rerun")
    recipe = olmo_recipe(of)
    sizes = tuple(part.nbytes for part in files.values())
    wanted = rerun.token_ranges(recipe, sizes, 0, 24)
    assert sum(piece.size for piece in wanted) == 24 * of.length * np.dtype(of.dtype).itemsize
    for piece in wanted:
        name = f"{piece.file}.bytes-{piece.start}-{piece.stop}" if piece.start else piece.file
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(files[piece.file].tobytes()[piece.start : piece.stop])
    tokens = rerun.in_order({"tokens": str(tmp_path)}, recipe, replace(rerun.tokens, sizes=sizes))
    assert np.array_equal(tokens.items(0, 24), olmo.order(of, files)[:24])
    with pytest.raises(BadTokens, match="were not fetched"):
        tokens.items(0, 40)
    with pytest.raises(BadTokens, match="expected 100000 sequences"):
        rerun.token_ranges(recipe, sizes, 0, 100_000)


def olmo_recipe(of: olmo.Olmo):
    stated = tuple(f"https://olmo-data.example/{name}" for name in olmo.FILES)
    data = replace(STATED.data, sequence_length=of.length, item_length=of.length, seed=of.seed, files=stated)
    return replace(STATED, data=data)


def test_files_in_another_order_than_the_recipes_are_the_targets_mistake() -> None:
    rerun, recipe = parse(ReplayDriver, olmo.rerun_of(olmo.MINI, (0, 2), (2,)), "rerun"), olmo_recipe(olmo.MINI)
    swapped = replace(rerun, tokens=replace(rerun.tokens, files=rerun.tokens.files[::-1]))
    with pytest.raises(
        BadInput, match=r"rerun\.tokens\.files\.0: the recipe has https://olmo-data.example/.*part-0-00000.npy"
    ):
        swapped.token_ranges(recipe, (4096, 4096, 4096), 0, 2)
    fewer = replace(rerun, tokens=replace(rerun.tokens, files=rerun.tokens.files[:2]))
    with pytest.raises(BadInput, match="the recipe names 3 files, found 2"):
        fewer.in_order({"tokens": "nowhere"}, recipe)
    unseeded = replace(recipe, data=replace(recipe.data, seed=None))
    with pytest.raises(RecipeMismatch, match=r"data\.seed"):
        rerun.token_ranges(unseeded, (4096, 4096, 4096), 0, 2)


def test_a_byte_that_was_not_fetched_is_never_read_as_another(tmp_path: Path) -> None:
    for name, content in (
        ("a.npy", b"0123"),
        ("a.npy.bytes-8-12", b"89ab"),
        ("a.npyx.bytes-4-8", b"wrng"),
        ("a.npy.bytes-x-9", b"?"),
    ):
        (tmp_path / name).write_bytes(content)
    read = spans(tmp_path)
    assert read(ByteRange("a.npy", 1, 4)) == b"123"
    assert read(ByteRange("a.npy", 9, 12)) == b"9ab"
    for start, stop in ((3, 5), (4, 8), (7, 9), (11, 13)):
        with pytest.raises(BadTokens, match="were not fetched"):
            read(ByteRange("a.npy", start, stop))
    with pytest.raises(BadTokens, match=r"b\.npy"):
        read(ByteRange("b.npy", 0, 1))


def test_tokens_files_without_sizes_are_read_whole(tmp_path: Path) -> None:
    (tmp_path / "document.bin").write_bytes(pythia.items(pythia.TINY).tobytes())
    tokens = TokenFiles(artifact="tokens", layout="preshuffled", files=("document.bin",))
    assert tokens.batches({"tokens": str(tmp_path)}, STATED).num_batches == pythia.TINY.items // STATED.batch_size
