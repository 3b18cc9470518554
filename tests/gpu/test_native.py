"""The trainer of small declarative recipes on a GPU: the published MNIST-1D recipes, cut short, on data of the same shape."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from openassay.records import parse
from openassay.training import trainer
from openassay.training.parallel import Member, train_together
from openassay.training.recipe import TrainingRecipe
from openassay.training.trainer import train

TARGETS = Path(__file__).parents[2] / "conf" / "target"
NAMES = ("logistic", "mlp", "cnn", "gru")
STEPS = 61


@cache
def recipe(name: str) -> TrainingRecipe:
    published = yaml.safe_load((TARGETS / f"mnist1d_{name}.yaml").read_text())["rerun"]["recipe"]
    whole = parse(TrainingRecipe, published, name)
    return replace(whole, steps=STEPS, evaluation=replace(whole.evaluation, every=20, at_step=STEPS - 1))


@cache
def data() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, 5000)
    x = rng.normal(size=(10, 40))[y] + 3 * rng.normal(size=(5000, 40))
    return {"x": x[:4000], "y": y[:4000], "x_test": x[4000:], "y_test": y[4000:]}


def apart(one: Any, other: Any) -> float:
    """The largest relative distance of two trainings' losses."""
    pairs = zip(one.loss_curve, other.loss_curve, strict=True)
    return max(abs(mine - theirs) / theirs for (_, mine), (_, theirs) in pairs)


@pytest.mark.parametrize("name", NAMES)
def test_one_training_is_that_of_the_cpu_but_for_rounding(
    name: str, device: str, figure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_cpu = train(recipe(name), data(), seed=0)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        found, again = (train(recipe(name), data(), seed=0, device=device) for _ in range(2))
    figure(f"{name}, {STEPS} updates: losses apart from the CPU's, relative", apart(found, on_cpu))
    figure(f"{name}: accuracy on the GPU, on the CPU", f"{found.value:.4f}, {on_cpu.value:.4f}")
    figure(
        f"{name}: a second training on the GPU", "equal" if found == again else f"apart by {apart(found, again):.2g}"
    )
    monkeypatch.setattr(trainer, "settle", lambda _threads: None)
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.allow_tf32 = True
    figure(
        f"{name}: the same with torch's own settings", apart(train(recipe(name), data(), seed=0, device=device), on_cpu)
    )
    assert found == again
    assert apart(found, on_cpu) < 1e-3
    assert [str(one.message) for one in warned] == []


@pytest.mark.parametrize("name", NAMES)
def test_seeds_together_are_those_of_the_cpu_but_for_rounding(
    name: str, device: str, figure: Callable[..., None]
) -> None:
    members = [Member(recipe=recipe(name), data=data(), seed=seed) for seed in range(4)]
    on_cpu = train_together(members)
    found, again = (train_together(members, device=device) for _ in range(2))
    largest = max(apart(*both) for both in zip(found, on_cpu, strict=True))
    alone = apart(found[3], train(recipe(name), data(), seed=3, device=device))
    figure(f"{name}, 4 seeds together: losses apart from the CPU's, relative", largest)
    figure(f"{name}, 4 seeds together: apart from one alone on the GPU", alone)
    assert found == again
    assert max(largest, alone) < 1e-3
