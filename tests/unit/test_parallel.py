"""Trainings in one computation: each member comes out as it would by itself, but for rounding."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from openassay.core.curves import CurveFamily
from openassay.core.rerun_records import RerunStatus
from openassay.drivers.job import Arm, Job, RunResult, Watch, save_arrays
from openassay.drivers.native import NativeDriver
from openassay.faults import BadInput
from openassay.layout import Layout
from openassay.records import parse
from openassay.stages import rerun
from openassay.training import trainer
from openassay.training.mismatch import RecipeMismatch, TimeLimit
from openassay.training.parallel import Ended, SeedTraining, train_together
from openassay.training.recipe import TrainingRecipe, gains_together, num_weights
from openassay.training.trainer import NotWorthwhile, Training, build, train

REPO = Path(__file__).parents[2]
ABOVE_FLOOR = 5
"""How far two orders of addition may lie apart, in distances between two others: both are single draws of the same noise."""
ULP = 2.0**-22
"""Two units in the last place, relative: a floor that is measured as less is taken as this."""

MLP: list[Any] = [
    {"layer": "linear", "inputs": 12, "outputs": 16},
    {"layer": "relu"},
    {"layer": "residual", "layers": [{"layer": "linear", "inputs": 16, "outputs": 16, "bias": False}, {"layer": "tanh"}]},
    {"layer": "linear", "inputs": 16, "outputs": 3},
]  # fmt: skip
CNN: list[Any] = [
    {"layer": "reshape", "shape": [1, 12]},
    {"layer": "conv1d", "inputs": 1, "outputs": 5, "kernel": 3, "padding": 1},
    {"layer": "gelu"},
    {"layer": "conv1d", "inputs": 5, "outputs": 4, "kernel": 5, "stride": 2, "padding": 2},
    {"layer": "sigmoid"},
    {"layer": "residual", "layers": [{"layer": "conv1d", "inputs": 4, "outputs": 4, "kernel": 1}, {"layer": "relu"}]},
    {"layer": "conv1d", "inputs": 4, "outputs": 6, "kernel": 3, "stride": 3},
    {"layer": "reshape", "shape": [-1]},
    {"layer": "linear", "inputs": 12, "outputs": 3},
]
GRU: list[Any] = [
    {"layer": "reshape", "shape": [6, 2]},
    {"layer": "linear", "inputs": 2, "outputs": 3},
    {"layer": "gru", "inputs": 3, "hidden": 4, "bidirectional": True},
    {"layer": "gru", "inputs": 8, "hidden": 5},
    {"layer": "tanh"},
    {"layer": "reshape", "shape": [-1]},
    {"layer": "linear", "inputs": 30, "outputs": 3},
]
NARROW: list[Any] = [
    {"layer": "residual", "layers": [{"layer": "tanh"}, {"layer": "linear", "inputs": 12, "outputs": 1}]},
    {"layer": "residual", "layers": [{"layer": "reshape", "shape": [3, 4]}, {"layer": "reshape", "shape": [12]}]},
    {"layer": "sigmoid"},
    {"layer": "linear", "inputs": 12, "outputs": 3},
]
ADAM = {"name": "adam", "learning_rate": 0.01}
CASES: dict[str, dict[str, Any]] = {
    "mlp": {"model": MLP},
    "mlp, weight decay inside": {"model": MLP, "optimizer": ADAM | {"weight_decay": 0.1, "betas": [0.8, 0.95], "eps": 1e-6}},
    "mlp, weight decay aside": {"model": MLP, "optimizer": ADAM | {"name": "adamw", "weight_decay": 0.1}},
    "mlp, sgd": {"model": MLP, "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01}},
    "mlp, clipped": {"model": MLP, "clip_norm": 0.2, "optimizer": {"name": "sgd", "learning_rate": 0.1}},
    "mlp, clipped in its warm-up": {"model": MLP, "clip_norm": 0.5, "schedule": {"name": "cosine", "warmup_steps": 7}},
    "mlp, linear decay": {"model": MLP, "schedule": {"name": "linear"}},
    "mlp, stored order": {"model": MLP, "batching": {"size": 16, "order": "sequential"}},
    "mlp, squared error": {"model": MLP, "loss": "mean_squared_error"},
    "cnn": {"model": CNN},
    "cnn, stored order": {"model": CNN, "batching": {"size": 16, "order": "sequential"}},
    "gru": {"model": GRU},
    "gru, stored order, squared error": {
        "model": GRU, "batching": {"size": 16, "order": "sequential"}, "loss": "mean_squared_error",
    },
    "stretched residual": {"model": NARROW},
}  # fmt: skip


def recipe(**changes: Any) -> TrainingRecipe:
    plain: dict[str, Any] = {
        "train": {"x": "x", "y": "y"}, "test": {"x": "x_test", "y": "y_test"}, "model": MLP, "loss": "cross_entropy",
        "optimizer": ADAM, "batching": {"size": 16, "order": "shuffled"}, "steps": 41,
        "evaluation": {"metric": "accuracy", "every": 4, "at_step": 40},
    }  # fmt: skip
    if changes.get("loss") == "mean_squared_error":
        plain["train"] = {"x": "x", "y": "z"}
        plain["test"] = {"x": "x_test", "y": "z_test"}
        plain["evaluation"] = plain["evaluation"] | {"metric": "mean_squared_error"}
    made: TrainingRecipe = parse(TrainingRecipe, plain | changes, "recipe")
    return made


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    """200 examples, 72 of them to train on: the last batch of an epoch is shorter."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 12))
    y = (x[:, 0] > 0).astype(np.int64) + (x[:, 1] * x[:, 2] > 0)
    z = np.stack([x[:, 0], x[:, 1] * x[:, 2], x[:, 3]], 1)
    return {"x": x[:72], "y": y[:72], "z": z[:72], "x_test": x[72:], "y_test": y[72:], "z_test": z[72:]}


def apart(one: Ended, other: Ended) -> float:
    """The largest relative distance of the losses of two trainings."""
    assert isinstance(one, Training)
    assert isinstance(other, Training)
    assert [step for step, _ in one.loss_curve] == [step for step, _ in other.loss_curve]
    return max(abs(a - b) / b for (_, a), (_, b) in zip(one.loss_curve, other.loss_curve, strict=True))


def floor(member: SeedTraining, alone: Training) -> float:
    """How far the ordinary trainer's losses move when each batch is read from its end: rounding, and nothing else."""
    ordinary = trainer.batches

    def turned(batching: Any, size: int, seed: int) -> Iterator[Tensor]:
        for rows in ordinary(batching, size, seed):
            yield torch.arange(size)[rows].flip(0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "batches", turned)
        moved = train(member.recipe, member.data, seed=member.seed)
    return max(apart(moved, alone), ULP)


def check(members: list[SeedTraining], found: list[Ended]) -> None:
    """Is each as it would be by itself, within the floor?"""
    for member, together in zip(members, found, strict=True):
        alone = train(member.recipe, member.data, seed=member.seed)
        assert apart(together, alone) <= ABOVE_FLOOR * floor(member, alone)
        assert isinstance(together, Training)
        assert together.num_parameters == alone.num_parameters
        assert [step for step, _ in together.metric_curve] == [step for step, _ in alone.metric_curve]
        values, expected = (np.array([value for _, value in of.metric_curve]) for of in (together, alone))
        assert values == pytest.approx(expected, rel=1e-4, abs=1 / 128)  # one test example may fall on the other side
        assert together.value == dict(together.metric_curve)[member.recipe.evaluation.at_step]


@pytest.mark.parametrize("case", CASES)
def test_seeds_that_are_trained_together_come_out_as_each_by_itself(case: str, data: dict[str, Any]) -> None:
    of = recipe(**CASES[case])
    members = [SeedTraining(recipe=of, data=data, seed=seed) for seed in (3, 0, 8)]
    found = train_together(members)
    check(members, found)
    assert min(apart(found[0], found[1]), apart(found[1], found[2])) > 1e-3  # the seeds do differ


def test_arms_that_differ_in_numbers_are_trained_together(data: dict[str, Any]) -> None:
    shuffled = data | {"y": np.random.default_rng(1).permutation(data["y"])}
    members = [
        SeedTraining(recipe=recipe(), data=data, seed=0),
        SeedTraining(recipe=recipe(optimizer=ADAM | {"learning_rate": 0.02}), data=data, seed=0),
        SeedTraining(recipe=recipe(optimizer=ADAM | {"weight_decay": 0.2}, clip_norm=0.1), data=shuffled, seed=0),
        SeedTraining(recipe=recipe(optimizer={"name": "sgd", "learning_rate": 0.2}), data=data, seed=0),
        SeedTraining(recipe=recipe(schedule={"name": "linear", "warmup_steps": 5}), data=data, seed=1),
        SeedTraining(recipe=recipe(), data=data, seed=1),
    ]
    found = train_together(members)
    check(members, found)
    assert min(apart(found[0], other) for other in found[1:]) > 1e-3


def test_examples_of_their_own_size_and_values_are_each_members(data: dict[str, Any]) -> None:
    other = data | {"x": data["x"][::-1].copy(), "x_test": data["x_test"] * 2}
    members = [SeedTraining(recipe=recipe(), data=of, seed=0) for of in (data, other)]
    check(members, train_together(members))


def test_more_test_examples_than_are_measured_at_once(data: dict[str, Any]) -> None:
    many = data | {"x_test": np.tile(data["x_test"], (17, 1)), "y_test": np.tile(data["y_test"], 17)}
    found = train_together([SeedTraining(recipe=recipe(), data=many, seed=0)])
    assert len(many["x_test"]) > 2000
    assert found == train_together([SeedTraining(recipe=recipe(), data=data, seed=0)])


def test_the_same_group_gives_the_same_numbers(data: dict[str, Any]) -> None:
    members = [SeedTraining(recipe=recipe(model=GRU), data=data, seed=seed) for seed in range(3)]
    assert train_together(members) == train_together(members)


def test_a_member_that_diverges_ends_for_itself(data: dict[str, Any]) -> None:
    wild = {"name": "sgd", "learning_rate": 1e30}
    members = [
        SeedTraining(recipe=recipe(optimizer=optimizer, clip_norm=clip), data=data, seed=0)
        for optimizer, clip in ((ADAM, 1.0), (wild, None), (ADAM, None))
    ]
    found = train_together(members)
    check([members[0], members[2]], [found[0], found[2]])
    lost, alone = found[1], train(members[1].recipe, data, seed=0)
    assert isinstance(lost, Training)
    assert math.isnan(lost.value)
    assert math.isnan(alone.value)
    assert len(lost.metric_curve) == len(lost.loss_curve) == len(alone.metric_curve) < 11


def test_a_group_of_which_all_diverge_ends(data: dict[str, Any]) -> None:
    wild = recipe(optimizer={"name": "sgd", "learning_rate": 1e30}, steps=10**9)
    found = train_together([SeedTraining(recipe=wild, data=data, seed=seed) for seed in range(2)], timeout_s=60)
    assert all(isinstance(of, Training) and math.isnan(of.value) for of in found)


def test_a_member_that_is_doomed_ends_for_itself(data: dict[str, Any]) -> None:
    def long(curve: list[tuple[int, float]]) -> str:
        return "long enough" if len(curve) == 3 else ""

    members = [SeedTraining(recipe=recipe(), data=data, seed=seed) for seed in range(2)]
    stopped, other = train_together([replace(members[0], is_doomed=long), members[1]])
    assert isinstance(stopped, NotWorthwhile)
    assert str(stopped) == "long enough"
    assert [step for step, _ in stopped.curve] == [0, 4, 8]
    check(members[1:], [other])


def test_a_group_that_takes_too_long_is_stopped(data: dict[str, Any]) -> None:
    endless = recipe(steps=10**9)
    wild = replace(endless, optimizer=replace(endless.optimizer, name="sgd", learning_rate=1e30))
    members = [SeedTraining(recipe=of, data=data, seed=0) for of in (endless, wild)]
    found = train_together(members, timeout_s=0.5)
    assert isinstance(found[0], TimeLimit)
    assert isinstance(found[1], Training)  # it had diverged before


def test_members_that_share_no_computation_are_refused(data: dict[str, Any]) -> None:
    one = SeedTraining(recipe=recipe(), data=data, seed=0)
    for changes in ({"model": CNN}, {"batching": {"size": 8, "order": "shuffled"}}, {"steps": 81}):
        with pytest.raises(RecipeMismatch, match="may differ in seed, data, optimizer, schedule and clip_norm only"):
            train_together([one, SeedTraining(recipe=recipe(**changes), data=data, seed=1)])


MISFITS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "layers": ({"model": [{"layer": "linear", "inputs": 12, "outputs": 4}, {"layer": "linear", "inputs": 5, "outputs": 3}]}, {},
               "do not fit each other"),
    "too few targets": ({}, {"y": np.zeros(10)}, "there are 72 examples and 10 targets"),
    "a negative class": ({}, {"y": np.full(72, -100)}, "the targets are classes -100 to -100"),
    "too many classes": ({}, {"y": np.arange(72)}, "the targets are classes 0 to 71"),
    "test labels": ({}, {"y_test": np.zeros(99)}, "for labels of shape"),
    "parameters": ({"num_parameters": 7}, {}, "the release says 7"),
    "stretched": ({"loss": "mean_squared_error"}, {"z": np.zeros((72, 1))}, "an example's output has the shape \\(3,\\)"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "arrays", "says"), MISFITS.values(), ids=MISFITS)
def test_what_does_not_fit_is_named_in_one_line(
    data: dict[str, Any], changes: dict[str, Any], arrays: dict[str, Any], says: str
) -> None:
    of = recipe(**changes)
    with pytest.raises(RecipeMismatch, match=says) as refused:
        train_together([SeedTraining(recipe=of, data=data | arrays, seed=seed) for seed in range(2)])
    assert "\n" not in str(refused.value)


def test_targets_of_any_member_are_looked_at(data: dict[str, Any]) -> None:
    wrong = data | {"y": np.full(72, 3)}
    with pytest.raises(RecipeMismatch, match="classes 3 to 3"):
        train_together([SeedTraining(recipe=recipe(), data=of, seed=0) for of in (data, wrong)])


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("case", ["mlp", "cnn", "gru", "mlp, clipped"])
def test_a_gpu_gives_the_same_but_for_rounding(case: str, data: dict[str, Any]) -> None:
    members = [SeedTraining(recipe=recipe(**CASES[case]), data=data, seed=seed) for seed in range(3)]
    for on_gpu, on_cpu in zip(train_together(members, device="cuda"), train_together(members), strict=True):
        assert apart(on_gpu, on_cpu) < 1e-4


@pytest.mark.parametrize("name", ["mlp", "cnn", "gru", "logistic"])
def test_recipes_that_were_measured_to_gain_are_trained_together(name: str) -> None:
    published = yaml.safe_load((REPO / f"conf/target/mnist1d_{name}.yaml").read_text())["rerun"]["recipe"]
    assert gains_together(parse(TrainingRecipe, published, name))


def test_a_training_that_keeps_the_processor_busy_is_not_trained_together() -> None:
    wide = recipe(
        model=[{"layer": "linear", "inputs": 784, "outputs": 512}, {"layer": "linear", "inputs": 512, "outputs": 10}]
    )
    assert not gains_together(wide)


@pytest.mark.parametrize("model", [MLP, CNN, GRU])
def test_the_number_of_weights_is_that_of_the_modules(model: list[Any]) -> None:
    of = recipe(model=model).model
    matrices = sum(value.numel() for name, value in build(of).named_parameters() if "bias" not in name)
    assert num_weights(of) == matrices


@pytest.fixture
def jobs(data: dict[str, Any], tmp_path: Path) -> list[Job]:
    save_arrays(tmp_path, data)
    arms = [Arm(), Arm(), Arm(permute=("y",)), Arm(set={"optimizer.learning_rate": 0.02})]
    return [
        Job(
            arm=arm, seed=seed, data=tmp_path, artifacts={}, python=None, glue=None, out=tmp_path, device="cpu", threads=1,
            timeout_s=60,
        )
        for arm, seed in zip(arms, (0, 1, 1, 1), strict=True)
    ]  # fmt: skip


DONE = RunResult(status=RerunStatus.FINISHED, cpu_s=1.0, device="cpu")


def native(**changes: Any) -> NativeDriver:
    return NativeDriver(driver="native", metric="accuracy", recipe=recipe(**changes), taken_from=(), scale=100)


def test_reruns_together_give_what_each_gives_by_itself(jobs: list[Job]) -> None:
    together, alone = native().execute_together(jobs), [native().execute(job) for job in jobs]
    for one, other in zip(together, alone, strict=True):
        assert (one.status, one.reason, one.log, one.device) == (other.status, other.reason, other.log, other.device)
        values = [of.measurements[0].value for of in (one, other)]
        assert values[0] == pytest.approx(values[1], abs=100 / 128)
        assert one.curves.keys() == other.curves.keys()
        assert [loss for _, loss in one.curves["train_loss"]] == pytest.approx(
            [loss for _, loss in other.curves["train_loss"]], rel=1e-4
        )
        assert one.cpu_s == together[0].cpu_s > 0
    assert together[0].curves != together[1].curves != together[2].curves != together[3].curves


def test_a_rerun_that_is_in_no_group_is_trained_by_itself(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []
    monkeypatch.setattr(NativeDriver, "execute", lambda _driver, job: used.append("alone") or DONE)
    monkeypatch.setattr(
        NativeDriver, "execute_together", lambda _driver, jobs: used.append("together") or [DONE] * len(jobs)
    )
    layout = Layout(jobs[0].out, "it")
    for seed, together in enumerate(((), (0,))):
        folder = layout.rerun("faithful", seed)
        rerun._execute([rerun._Task(
            target="it", arm_name="faithful", identity="i", registered={}, environment={}, driver=native(), layout=layout,
            job=replace(jobs[0], out=folder / "out"), record=folder / "record.json", together=together,
        )])  # fmt: skip
    assert used == ["alone", "together"]


def test_a_rerun_together_stops_when_it_has_left_its_published_curve(jobs: list[Job]) -> None:
    slow = native(steps=401, evaluation={"metric": "accuracy", "every": 20, "at_step": 400})
    family = CurveFamily(shares=(0.3, 0.6, 1.0), sds=(2.0, 2.0, 2.0), df=8, correlation=None, cited_at="a test")
    far = Watch(
        metric="accuracy", published=tuple((step, 5.0) for step in range(0, 401, 20)), num_published=1, family=family
    )
    found = slow.execute_together([replace(jobs[0], watch=far), jobs[1]])
    assert [of.status for of in found] == [RerunStatus.STOPPED, RerunStatus.FINISHED]
    assert "sd off the published curve" in found[0].reason


def test_reruns_together_have_the_time_of_all(jobs: list[Job]) -> None:
    endless = native(steps=10**9, evaluation={"metric": "accuracy", "every": 10**8, "at_step": 0})
    started = time.monotonic()
    found = endless.execute_together([replace(job, timeout_s=0.1) for job in jobs])
    assert time.monotonic() - started >= 0.4
    assert {of.status for of in found} == {RerunStatus.TIMED_OUT}
    assert found[0].reason == "stopped after 0.1 s, its time limit"


def test_reruns_together_that_do_not_fit_are_bad_input(jobs: list[Job]) -> None:
    with pytest.raises(BadInput, match="do not fit each other"):
        native(model=[{"layer": "linear", "inputs": 3, "outputs": 2}]).execute_together(jobs)
