"""The native trainer: what a recipe says is what is trained."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from openassay.core.curves import CurveFamily
from openassay.core.rerun_records import RerunStatus
from openassay.drivers.job import Arm, Job, Watch, save_arrays
from openassay.drivers.native import NativeDriver
from openassay.records import parse
from openassay.training.mismatch import RecipeMismatch, TimeLimit
from openassay.training.recipe import Batching, Schedule, TrainingRecipe
from openassay.training.trainer import (
    batches,
    build,
    learning_rate_factor,
    pick_device,
    train,
)

RECIPE: dict[str, Any] = {
    "train": {"x": "x", "y": "y"},
    "test": {"x": "x_test", "y": "y_test"},
    "model": [
        {"layer": "linear", "inputs": 4, "outputs": 16},
        {"layer": "relu"},
        {"layer": "residual", "layers": [{"layer": "linear", "inputs": 16, "outputs": 16}, {"layer": "tanh"}]},
        {"layer": "linear", "inputs": 16, "outputs": 2},
    ],
    "loss": "cross_entropy",
    "optimizer": {"name": "adam", "learning_rate": 0.01},
    "batching": {"size": 20, "order": "sequential"},
    "steps": 101,
    "evaluation": {"metric": "accuracy", "every": 50, "at_step": 100},
}


def recipe(**changes: Any) -> TrainingRecipe:
    made: TrainingRecipe = parse(TrainingRecipe, RECIPE | changes, "recipe")
    return made


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    y = (x[:, 0] * x[:, 1] > 0).astype(np.int64)
    return {"x": x[:200], "y": y[:200], "x_test": x[200:], "y_test": y[200:]}


def test_it_learns_and_labels_in_random_order_teach_nothing(data: dict[str, Any]) -> None:
    steps = {"steps": 401, "evaluation": {"metric": "accuracy", "every": 100, "at_step": 400}}
    assert train(recipe(**steps), data, seed=0).value > 0.85
    broken = data | {"y": np.random.default_rng(1).permutation(data["y"])}
    assert train(recipe(**steps), broken, seed=0).value < 0.7


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(data: dict[str, Any]) -> None:
    one, again, other = (train(recipe(), data, seed=seed) for seed in (0, 0, 1))
    assert one == again
    assert one.loss_curve != other.loss_curve


def test_it_is_the_plain_torch_loop(data: dict[str, Any]) -> None:
    torch.manual_seed(7)
    model = torch.nn.Linear(4, 2)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    x, y = torch.tensor(data["x"], dtype=torch.float32), torch.tensor(data["y"])
    losses = []
    for step in range(101):
        rows = slice(step * 20 % 200, step * 20 % 200 + 20)
        loss = torch.nn.functional.cross_entropy(model(x[rows]), y[rows])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    found = train(recipe(model=[{"layer": "linear", "inputs": 4, "outputs": 2}]), data, seed=7)
    assert [point for _, point in found.loss_curve] == [losses[0], losses[50], losses[100]]


def test_the_published_number_of_parameters_is_checked(data: dict[str, Any]) -> None:
    count = sum(parameter.numel() for parameter in build(recipe().model).parameters())
    train(recipe(num_parameters=count), data, seed=0)
    with pytest.raises(RecipeMismatch, match=f"says {count + 1}, the layers have {count}"):
        train(recipe(num_parameters=count + 1), data, seed=0)


def test_an_array_that_is_not_there_is_named(data: dict[str, Any]) -> None:
    with pytest.raises(RecipeMismatch, match="no array 'z'"):
        train(recipe(train={"x": "z", "y": "y"}), data, seed=0)


def test_a_training_that_diverges_gives_no_finite_value(data: dict[str, Any]) -> None:
    wild = recipe(optimizer={"name": "sgd", "learning_rate": 1e30}, loss="mean_squared_error",
                  model=[{"layer": "linear", "inputs": 4, "outputs": 1}, {"layer": "reshape", "shape": []}],
                  evaluation={"metric": "mean_squared_error", "every": 50, "at_step": 100})  # fmt: skip
    assert math.isnan(train(wild, data, seed=0).value)


def test_sequential_batches_follow_the_stored_order_and_start_again() -> None:
    rows = list(islice(batches(Batching(size=4, order="sequential"), 10, 0), 4))
    assert rows == [slice(0, 4), slice(4, 8), slice(8, 12), slice(2, 6)]


def test_shuffled_batches_cover_every_example_each_epoch() -> None:
    drawn = list(islice(batches(Batching(size=4, order="shuffled"), 10, 0), 6))
    first = torch.cat([rows for rows in drawn[:3] if isinstance(rows, torch.Tensor)])
    second = torch.cat([rows for rows in drawn[3:] if isinstance(rows, torch.Tensor)])
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(10))
    assert first.tolist() != second.tolist()


@pytest.mark.parametrize(
    ("schedule", "step", "factor"),
    [
        (Schedule(), 50, 1.0),
        (Schedule(warmup_steps=10), 0, 0.1),
        (Schedule(warmup_steps=10), 9, 1.0),
        (Schedule(name="linear"), 50, 0.5),
        (Schedule(name="cosine"), 50, 0.5),
        (Schedule(name="cosine", warmup_steps=10), 100, 0.0),
    ],
)
def test_the_learning_rate_follows_its_schedule(schedule: Schedule, step: int, factor: float) -> None:
    assert learning_rate_factor(schedule, 100)(step) == pytest.approx(factor)


@pytest.mark.parametrize(
    ("layers", "shape", "num_parameters"),
    [
        ([{"layer": "reshape", "shape": [40, 1]}, {"layer": "gru", "inputs": 1, "hidden": 6, "bidirectional": True},
          {"layer": "reshape", "shape": [-1]}, {"layer": "linear", "inputs": 480, "outputs": 10}], (3, 10), 5134),
        ([{"layer": "reshape", "shape": [1, 40]},
          {"layer": "conv1d", "inputs": 1, "outputs": 25, "kernel": 5, "stride": 2, "padding": 1}, {"layer": "gelu"}], (3, 25, 19), 150),
        ([{"layer": "linear", "inputs": 40, "outputs": 2, "bias": False}, {"layer": "sigmoid"}], (3, 2), 80),
    ],
)  # fmt: skip
def test_layers_have_the_shapes_and_parameters_they_say(
    layers: list[Any], shape: tuple[int, ...], num_parameters: int
) -> None:
    model = build(recipe(model=layers).model)
    assert tuple(model(torch.zeros(3, 40)).shape) == shape
    assert sum(parameter.numel() for parameter in model.parameters()) == num_parameters


def test_the_value_is_read_at_the_step_that_the_recipe_names(data: dict[str, Any]) -> None:
    early = replace(recipe(), evaluation=replace(recipe().evaluation, at_step=50))
    found = train(early, data, seed=0)
    assert found.value == dict(found.metric_curve)[50]
    with pytest.raises(ValueError, match="multiple of evaluation.every"):
        replace(recipe(), evaluation=replace(recipe().evaluation, at_step=75))


def test_a_gpu_that_is_asked_for_and_not_there_is_named() -> None:
    if torch.cuda.is_available():
        assert pick_device("auto") == "cuda"
    else:
        assert pick_device("auto") == "cpu"
        with pytest.raises(RecipeMismatch, match="sees no GPU"):
            pick_device("cuda")


MISFITS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "layers": ({"model": [{"layer": "linear", "inputs": 4, "outputs": 3}, {"layer": "linear", "inputs": 5, "outputs": 2}]}, {},
               "do not fit each other: mat1 and mat2 shapes cannot be multiplied"),
    "data": ({"model": [{"layer": "linear", "inputs": 7, "outputs": 2}]}, {}, "mat1 and mat2"),
    "shape": ({"model": [{"layer": "linear", "inputs": 4, "outputs": 4}, {"layer": "reshape", "shape": [3, 5]}]}, {}, "shape '\\[20, 3, 5\\]' is invalid"),
    "test data": ({}, {"x_test": np.zeros((100, 9))}, "mat1 and mat2"),
    "test labels": ({}, {"y_test": np.zeros(99)}, "predictions of shape \\(100, 2\\) for labels of shape \\(99,\\)"),
    "too few targets": ({}, {"y": np.zeros(10)}, "there are 200 examples and 10 targets"),
    "no examples": ({}, {"x": np.zeros((0, 4)), "y": np.zeros(0)}, "there are 0 examples"),
    "a number": ({}, {"x": np.float64(3)}, "there are 1 examples and 200 targets"),
    "text": ({}, {"x": np.array(["a"] * 200)}, "can't convert np.ndarray of type numpy.str_"),
    "too many classes": ({}, {"y": np.arange(200)}, "the targets are classes 0 to 199, the outputs of one example have the shape \\(2,\\)"),
    "a negative class": ({}, {"y": np.full(200, -100)}, "the targets are classes -100 to -100"),
    "stretched": ({"loss": "mean_squared_error", "model": [{"layer": "linear", "inputs": 4, "outputs": 1}]}, {},
                  "an example's output has the shape \\(1,\\), its target \\(\\)"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "arrays", "says"), MISFITS.values(), ids=MISFITS)
def test_layers_data_and_loss_that_do_not_fit_are_named_in_one_line(
    data: dict[str, Any], changes: dict[str, Any], arrays: dict[str, Any], says: str
) -> None:
    with pytest.raises(RecipeMismatch, match=says) as refused:
        train(recipe(**changes), data | arrays, seed=0)
    assert "\n" not in str(refused.value)


def test_a_training_that_takes_too_long_is_stopped(data: dict[str, Any]) -> None:
    endless = recipe(steps=10**9, evaluation={"metric": "accuracy", "every": 10**8, "at_step": 0})
    with pytest.raises(TimeLimit):
        train(endless, data, seed=0, timeout_s=0.2)


@pytest.mark.parametrize(("published", "status"), [(50.0, RerunStatus.STOPPED), (None, RerunStatus.FINISHED)])
def test_a_training_that_has_left_its_published_curve_is_stopped(
    data: dict[str, Any], tmp_path: Path, published: float | None, status: RerunStatus
) -> None:
    """Against a curve of 50 where 90 % are reached, and against its own."""
    (tmp_path / "data").mkdir()
    save_arrays(tmp_path / "data", data)
    steps = {"steps": 401, "evaluation": {"metric": "accuracy", "every": 20, "at_step": 400}}
    native = NativeDriver(driver="native", metric="accuracy", recipe=recipe(**steps), taken_from=(), scale=100)
    job = Job(
        arm=Arm(), seed=0, data=tmp_path / "data", artifacts={}, python=None, glue=None, out=tmp_path, device="cpu", threads=1,
        timeout_s=60,
    )  # fmt: skip
    own = native.execute(job).curves["accuracy"]
    family = CurveFamily(shares=(0.3, 0.6, 1.0), sds=(2.0, 2.0, 2.0), df=8, correlation=None, cited_at="a test")
    curve = own if published is None else tuple((step, published) for step, _ in own)
    watch = Watch(metric="accuracy", published=curve, num_published=1, family=family)
    stopped = native.execute(replace(job, watch=watch))
    assert stopped.status is status
    if status is RerunStatus.STOPPED:
        assert "sd off the published curve" in stopped.reason
        assert stopped.measurements == ()
        assert 120 <= stopped.curves["accuracy"][-1][0] < 400  # from 30 % of the training on
