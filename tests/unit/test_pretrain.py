"""Training a published language model whole: what a target may ask for, what a rerun measures, and what it refuses."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from releases import family
from releases.miniature import make_project, write_target
from safetensors.numpy import save

from openassay.core.rerun_records import RerunStatus
from openassay.drivers.job import Arm, Job, RunResult
from openassay.drivers.pretrain import PretrainDriver
from openassay.faults import BadInput
from openassay.layout import Layout
from openassay.plan import make_plan
from openassay.records import parse, to_plain
from openassay.target import read_target
from openassay.training.numerics import Numerics
from openassay.training.pretraining import pretrain
from openassay.training.sequences import Reordered, Scrambled, trained_on

STEPS = 12
HERE = "conf/target/mini.yaml: "


def target(root: Path) -> dict[str, Any]:
    (root / "releases" / "mini").mkdir(parents=True)
    (root / "releases" / "mini" / "README.md").write_text("nothing is read when a plan is made\n")
    return family.target(root, "mini")


def changed(data: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    *path, last = place.split(".")
    here: Any = data
    for part in path:
        here = here[int(part)] if isinstance(here, list) else here[part]
    if value == "DELETE":
        del here[last]
    elif isinstance(here, list):
        here[int(last)] = value
    else:
        here[last] = value
    return data


BAD: list[tuple[str, Any, str]] = [
    ("rerun.recipe.artifact", "nope", "rerun.recipe.artifact: there is no artifact 'nope'"),
    ("rerun.held_out.artifact", "nope", "rerun.held_out.artifact: there is no artifact 'nope'"),
    ("rerun.released.0.artifact", "nope", "rerun.released.0.artifact: there is no artifact 'nope'"),
    ("rerun.taken_from", [], "rerun.taken_from: missing; say where the settings stand"),
    ("rerun.arms", {"faithful": {"set": {"clip_norm": 2.0}}}, "rerun.arms: claims are tested on the recipe as published"),
    ("rerun.member", "DELETE", "rerun.member: the protocol family needs it"),
    ("rerun.protocol", "full", "rerun.member: the protocol family needs it, and no other takes it"),
    ("rerun.protocol", "prefix", "rerun.pretrain.protocol: should be 'full' or 'family', found 'prefix'"),
    ("release.title", "Mini-70b", "release.title: it must name mini-17k, the member that is trained"),
    ("rerun.train_loss", [{"step": 5, "last": 6}], "rerun.train_loss.0: each step once, and at most 5 updates before it"),
    ("rerun.train_loss", [{"step": 5, "last": 1}, {"step": 5, "last": 2}], "rerun.train_loss.0: each step once"),
    ("rerun.held_out", "DELETE", "rerun.held_out: missing; say on which items the released checkpoint is measured"),
    ("rerun.held_out.path", "document.bin", "rerun.held_out.first: the training begins with the first item of document.bin"),
    ("rerun.ladder.parameters", 3e5, "rerun.ladder.members: expected 3 of different size, all smaller"),
    ("rerun.ladder.members.0.parameters", 2e5, "rerun.ladder.members: expected 3 of different size"),
    ("controls", [], "controls: missing; a rerun needs a negative control"),
    ("controls.0.set", {}, "controls.0: it changes nothing"),
    ("controls.0.set", {"learning_rate.peek": 1.0}, "controls.0.set.learning_rate.peek: a recipe has no such value"),
    ("controls.0.set", {"steps": 40}, "controls.0.set.steps: a training of another scale has no reference here"),
    ("controls.0.parameters", {"seed_": 1}, "controls.0.parameters: the pretrain driver takes none; use set"),
    ("controls.0.permute", ["labels"], "controls.0.permute: only `tokens`"),
    ("claims.0.metric", "train_loss_at_79", "claims.0.metric: no rerun measures 'train_loss_at_79'"),
    ("claims.0.published.value", 0.1, "claims.0.published: validation_loss_above_released is held to value 0 and num_runs 1"),
    ("claims.0.published.num_runs", 10, "claims.0.published: validation_loss_above_released is held to value 0 and num_runs 1"),
    ("claims.0.published.rounding", 0.1, "claims.0.published: validation_loss_above_released is held to value 0"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "value", "message"), BAD, ids=[f"{place}={value}" for place, value, _ in BAD])
def test_a_target_with_something_wrong_gets_one_line(tmp_path: Path, place: str, value: Any, message: str) -> None:
    root = make_project(tmp_path)
    write_target(root, changed(target(root), place, value))
    with pytest.raises(BadInput) as caught:
        read_target(Layout(root, "mini"))
    assert str(caught.value).startswith(HERE + message)
    assert "\n" not in str(caught.value)


def test_a_target_of_olmos_layout_holds_out_another_file(tmp_path: Path) -> None:
    root = make_project(tmp_path)
    data = changed(target(root), "rerun.tokens.layout", "olmo")
    write_target(
        root, changed(data, "rerun.held_out", {"artifact": "all", "path": "document.bin", "first": 9, "count": 1})
    )
    with pytest.raises(BadInput, match="the training draws its sequences from all of document.bin"):
        read_target(Layout(root, "mini"))


def test_reruns_of_other_first_weights_are_paired_with_nothing(tmp_path: Path) -> None:
    root = make_project(tmp_path)
    data = target(root)
    data["claims"][0] |= {
        "metric": "validation_loss", "paired": True, "published": {"value": 1.0, "values": [1.0], "seeds": [0]},
    }  # fmt: skip
    write_target(root, data)
    with pytest.raises(BadInput, match="no rerun has a published partner"):
        read_target(Layout(root, "mini"))


def test_a_profile_changes_the_number_of_trainings_and_not_their_length(tmp_path: Path) -> None:
    root = make_project(tmp_path)
    write_target(root, target(root))
    plans = [
        make_plan(Layout(root, "mini"), [f"profile={name}", "judge=default", "tracking=none", "execution=cpu"])
        for name in ("smoke", "full")
    ]
    assert plans[0].rerun == plans[1].rerun
    assert [len(plan.seeds.arms["faithful"]) for plan in plans] == [4, 100]
    assert set(plans[0].seeds.arms) == {"faithful", "slow"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A published training of a few updates."""
    family.files(tmp_path / "release", STEPS)
    return tmp_path / "release"


def recipe(**values: Any) -> PretrainDriver:
    spec: dict[str, Any] = {
        "driver": "pretrain", "protocol": "full", "recipe": {"artifact": "all", "path": "mini.yml"},
        "settings": family.SETTINGS, "tokens": {"artifact": "all", "layout": "preshuffled", "files": ["document.bin"]},
        "train_loss": [{"step": STEPS, "last": 3}, {"step": 6, "last": 2}],
        "held_out": {"artifact": "all", "path": "validation.bin", "count": family.NUM_HELD_OUT},
    }  # fmt: skip
    made: PretrainDriver = parse(
        PretrainDriver, {key: of for key, of in (spec | values).items() if of is not None}, "rerun"
    )
    return made


def run(folder: Path, arm: Arm = Arm(), seed: int = 5, timeout_s: float = 600.0, **values: Any) -> RunResult:  # noqa: B008
    job = Job(
        arm=arm, seed=seed, data=None, artifacts={"all": str(folder)}, python=None, glue=None, out=folder, device="cpu",
        threads=1, timeout_s=timeout_s,
    )  # fmt: skip
    return recipe(**values).execute(job)


def values_of(found: RunResult) -> dict[str, float | None]:
    return {of.metric: of.value for of in found.measurements}


def test_a_rerun_measures_what_an_ordinary_training_reaches(folder: Path) -> None:
    rows = np.fromfile(folder / "document.bin", "<u2").reshape(-1, family.LENGTH + 1)
    held_out = np.fromfile(folder / "validation.bin", "<u2").reshape(-1, family.LENGTH + 1)
    training = family.trained(family.recipe(folder, STEPS), rows, 5)
    losses = training.log().losses
    found = run(folder)
    assert found.status is RerunStatus.FINISHED
    assert values_of(found) == {
        "train_loss_at_12": pytest.approx(losses[9:12].mean()),
        "train_loss_at_6": pytest.approx(losses[4:6].mean()),
        "validation_loss": pytest.approx(training.sequence_losses(held_out).mean()),
    }
    assert {of.metric: of.step for of in found.measurements}["train_loss_at_6"] == 6
    assert found.curves["train_loss_at_6"][-1] == (6, values_of(found)["train_loss_at_6"])
    assert [step for step, _ in found.curves["train_loss"]] == list(range(1, 13))
    assert to_plain(found.measurements)
    assert values_of(run(folder, seed=6)) != values_of(found)


def test_the_released_checkpoint_is_measured_on_the_same_items(folder: Path) -> None:
    rows = np.fromfile(folder / "document.bin", "<u2").reshape(-1, family.LENGTH + 1)
    same = family.trained(family.recipe(folder, STEPS), rows, 5).weights()
    (folder / "model.safetensors").write_bytes(save(same))
    found = values_of(run(folder, released=[{"step": STEPS, "artifact": "all"}]))
    assert found["validation_loss_above_released"] == pytest.approx(0, abs=1e-6)
    (folder / "start.safetensors").write_bytes(save(family.initial_weights(family.recipe(folder, STEPS), 5)))
    two = [{"step": STEPS, "artifact": "all"}, {"step": STEPS, "artifact": "all", "path": "start.safetensors"}]
    better = values_of(run(folder, released=two))["validation_loss_above_released"]
    assert better is not None
    assert better < -0.1  # half of what the training gains: the reference is the mean of the two


def test_an_order_of_its_own_is_another_and_keeps_every_sequence(folder: Path) -> None:
    rows = np.fromfile(folder / "document.bin", "<u2").reshape(-1, family.LENGTH + 1)
    published, own = values_of(run(folder)), values_of(run(folder, order="shuffled"))
    assert published != own
    order = np.random.default_rng(3).permutation(len(rows))
    reordered = Reordered(tokens=family.in_order(rows), order=order)
    assert np.array_equal(reordered.items(8, 8), rows[order[8:16]])


def test_tokens_that_change_places_teach_nothing_but_their_frequencies(folder: Path) -> None:
    rows = np.fromfile(folder / "document.bin", "<u2").reshape(-1, family.LENGTH + 1)
    scrambled = Scrambled(tokens=family.in_order(rows), seed=1).items(0, 8)
    assert np.array_equal(np.sort(scrambled, axis=1), np.sort(rows[:8], axis=1))
    assert not np.array_equal(scrambled, rows[:8])
    faithful, control = (values_of(run(folder, arm))["validation_loss"] for arm in (Arm(), Arm(permute=("tokens",))))
    assert faithful is not None
    assert control is not None
    assert control > faithful + 0.1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train_loss": [{"step": 13, "last": 1}]}, r"rerun\.train_loss: the training has 12 updates, found step 13"),
        ({"released": [{"step": 6, "artifact": "all"}]}, r"after the last update, 12, is needed, found step 6"),
        ({"held_out": {"artifact": "all", "path": "document.bin", "first": 40, "count": 1}}, r"item 40 of document\.bin is trained on"),
    ],
)  # fmt: skip
def test_what_the_target_asks_in_vain_is_refused_before_anything_is_trained(
    folder: Path, values: Any, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        run(folder, **values)


def test_a_shorter_training_than_published_is_refused(folder: Path) -> None:
    stated = family.stated(STEPS)
    del stated["train-iters"]
    (folder / "mini.yml").write_text(json.dumps(stated))
    settings = family.SETTINGS | {"steps": STEPS, "tokens_total": STEPS * family.BATCH * family.LENGTH}
    assert run(folder, settings=settings).status is RerunStatus.FINISHED
    with pytest.raises(BadInput, match="a shorter training has no reference of the same scale"):
        run(folder, settings=settings | {"tokens_total": settings["tokens_total"] * 2})


def test_a_change_that_is_none_is_refused(folder: Path) -> None:
    with pytest.raises(BadInput, match=r"set\.learning_rate\.peak: the published recipe has this value already"):
        run(folder, Arm(set={"learning_rate.peak": 0.01}))
    with pytest.raises(BadInput, match="the changed recipe cannot be trained"):
        run(folder, Arm(set={"architecture.num_heads": 5}))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"settings": {"batch_size": 8}, "taken_from": []}, "does not state architecture.vocab_size"),
        ({"settings": family.SETTINGS | {"batch_size": 16}}, "the published tokens have 6 batches, the recipe 12 updates"),
        ({"settings": family.SETTINGS | {"architecture.vocab_size": 16}}, "expected token ids below 16, the rows of the embedding, found"),
        ({"released": [{"step": STEPS, "artifact": "all", "path": "no.safetensors"}]}, "no.safetensors of the released checkpoint"),
        ({"protocol": "family", "member": {"name": "mini", "family": "Mini", "parameters": 1, "cited_at": {}}},
         "mini has 1 parameters as published, the recipe's model"),
    ],
)  # fmt: skip
def test_what_the_release_published_and_does_not_fit_is_a_finding(folder: Path, values: Any, message: str) -> None:
    found = run(folder, **values)
    assert found.status is RerunStatus.FAILED
    assert message in found.reason
    assert not found.measurements


def test_what_the_release_lacks_is_no_mistake_of_a_controls(folder: Path) -> None:
    lacks = {"released": [{"step": STEPS, "artifact": "all", "path": "no.safetensors"}]}
    found = run(folder, Arm(set={"learning_rate.peak": 0.0025}), **lacks)
    assert found.status is RerunStatus.FAILED
    with pytest.raises(BadInput, match="the changed recipe cannot be trained: the published tokens have 6 batches"):
        run(folder, Arm(set={"batch_size": 16}))


def test_a_training_that_diverges_and_one_that_takes_too_long_say_so(folder: Path) -> None:
    lost = run(folder, Arm(set={"learning_rate.peak": 1e30, "clip_norm": None}))
    assert lost.status is RerunStatus.DIVERGED
    assert set(values_of(lost).values()) == {None}
    assert {of.raw for of in lost.measurements} == {"nan"}
    assert all(math.isfinite(value) for curve in lost.curves.values() for _, value in curve)
    late = run(folder, timeout_s=1e-9)
    assert (late.status, late.measurements) == (RerunStatus.TIMED_OUT, ())


def text(num: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(1000, size=num)


def test_items_that_a_training_sees_are_found_wherever_they_are_cut() -> None:
    trained, length = text(200 * 40, 0), 40
    tokens = family.ContiguousTokens(tokens=trained, item_length=length, stride=length)

    def found(held_out: np.ndarray, num_items: int = 200) -> int | None:
        return trained_on(held_out.reshape(-1, length), tokens, num_items, 8)

    other = text(3 * length, 1)
    assert found(other) is None
    for shift in range(length):  # the third item is trained on, cut at any token
        place = 100 * length + shift
        assert found(np.concatenate([other[: 2 * length], trained[place : place + length]])) == 2
    assert found(trained[100 * length : 101 * length], num_items=100) is None  # after the training's end
    boilerplate = np.concatenate([trained[80 : 80 + 15], other[:25]])
    assert found(boilerplate) is None


def said(driver: PretrainDriver, kind: str) -> str:
    return next(finding.message for finding in driver.judge_findings((), {}) if finding.kind == kind)


def test_a_ladder_is_a_remark_that_says_what_it_is() -> None:
    spec: dict[str, Any] = {
        "members": [{"parameters": n, "loss": 9 * n**-0.1, "cited_at": {}} for n in (1e5, 2e5, 4e5)],
        "parameters": 8e5, "published": 9 * 8e5**-0.1, "cited_at": {},
    }  # fmt: skip
    made = recipe(ladder=spec)
    assert made.ladder is not None
    assert "is in line with" in said(made, "ladder_sanity_only")
    beside = replace(made, ladder=replace(made.ladder, published=3.0))
    assert "lies beside" in said(beside, "ladder_sanity_only")
    for of in (made, beside):
        assert said(of, "ladder_sanity_only").startswith("sanity only: ")


def test_a_training_whose_weights_are_lost_is_not_carried_on(tmp_path: Path) -> None:
    stated, rows, _ = family.files(tmp_path / "release", 40)
    broken = replace(stated, learning_rate=replace(stated.learning_rate, peak=1e30), clip_norm=None)
    found = pretrain(
        broken, family.initial_weights(broken, 0), family.in_order(rows), None, points=(20, 30, 40), numerics=Numerics(),
        device="cpu", deadline=math.inf,
    )  # fmt: skip
    assert len(found.losses) == 20
