"""A training spread over two processes (gloo, 127.0.0.1) is the training of one, up to rounding."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from releases.recipes import NEOX, OLMO, T5, Text, with_value

from openassay.core.replay import weight_statistics
from openassay.training.devices import ShardedTraining, gpus_for, train_on
from openassay.training.lm import LanguageTraining, initial_weights
from openassay.training.mismatch import RecipeMismatch
from openassay.training.numerics import Numerics

TWO = ("cpu", "cpu")
ADAM = replace(NEOX, clip_norm=0.5)
TIED = with_value(
    with_value(OLMO, "architecture.tied_embeddings", True), "optimizer", ADAM.optimizer
)  # fmt: skip


@pytest.mark.parametrize("name", ["neox", "olmo, tied, filtered"])
def test_two_devices_train_as_one_does(name: str) -> None:
    recipe = ADAM if name == "neox" else TIED
    text, start = Text(recipe.data.item_length), initial_weights(recipe, 0)
    one = LanguageTraining(recipe, start)
    two = ShardedTraining(recipe, start, devices=TWO)
    kept: dict[int, dict[str, np.ndarray]] = {}
    one.advance(text, 6)
    for step in (0, 3, 6):
        two.advance(text, step)
        kept[step] = two.weights()
    assert two.log().losses == pytest.approx(one.log().losses, abs=2e-6)
    assert two.log().gradient_norms == pytest.approx(one.log().gradient_norms, rel=1e-5)
    assert np.array_equal(two.log().learning_rates, one.log().learning_rates)
    assert all(np.array_equal(kept[0][key], start[key]) for key in start)
    assert weight_statistics(kept[6], one.weights(), start)[0] < 1e-3
    items = text.items(100, 3)
    assert two.sequence_losses(items) == pytest.approx(one.sequence_losses(items), abs=1e-5)
    moments, theirs = two.moments(), one.moments()
    assert all(np.allclose(moments[key][0], theirs[key][0], atol=1e-6) for key in theirs)
    rest = ShardedTraining(recipe, kept[6], devices=TWO, step=6, moments=moments, numerics=Numerics(micro_batch=1))
    rest.advance(text, 8)
    one.advance(text, 8)
    assert rest.log().losses == pytest.approx(one.log().losses[6:], abs=2e-6)
    two.put(start)
    assert all(np.array_equal(value, start[key]) for key, value in two.weights().items())
    processes = list(two._processes)
    two.close()
    rest.close()
    assert not any(process.is_alive() for process in processes)


def test_fp16_overflows_on_all_devices_or_on_none() -> None:
    recipe = replace(ADAM, precision="fp16", loss_scale=2.0**30)
    start = initial_weights(recipe, 0)
    one, two = LanguageTraining(recipe, start), ShardedTraining(recipe, start, devices=TWO)
    for training in (one, two):
        training.advance(Text(17), 10)
    assert two.num_skipped == one.num_skipped > 0
    assert np.array_equal(one.log().learning_rates, two.log().learning_rates)
    assert two.log().losses == pytest.approx(one.log().losses, abs=5e-3)


def test_what_cannot_be_shared_is_refused_and_what_fails_there_is_said_here() -> None:
    start = initial_weights(ADAM, 0)
    with pytest.raises(RecipeMismatch, match="4 sequences cannot be shared equally by 3 devices"):
        ShardedTraining(ADAM, start, devices=("cpu",) * 3)
    with pytest.raises(RecipeMismatch, match="adafactor needs whole matrices"):
        ShardedTraining(T5, start, devices=TWO)
    with pytest.raises(RecipeMismatch, match="parameters are missing"):
        ShardedTraining(ADAM, {}, devices=TWO)


@pytest.mark.parametrize(
    ("gpus", "batch", "length", "memory", "expected"),
    [
        (1, 1024, 2048, 1e11, 1),
        (4, 1024, 2048, 1e11, 4),  # a large batch
        (8, 12, 64, 1e11, 1),  # a small one, and the model fits
        (8, 12, 64, 1e6, 6),  # it does not fit; 12 sequences cannot be shared by 8 or 7
    ],
)
def test_so_many_gpus_are_taken(monkeypatch, gpus: int, batch: int, length: int, memory: float, expected: int) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=memory))
    recipe = replace(NEOX, batch_size=batch, data=replace(NEOX.data, sequence_length=length))
    weights = {"a": np.zeros((100, 1000), np.float32)}  # 1.6 MB in training
    assert gpus_for(recipe, weights) == expected


def test_a_cpu_is_one_device() -> None:
    assert isinstance(train_on(ADAM, initial_weights(ADAM, 0), device="cpu"), LanguageTraining)
