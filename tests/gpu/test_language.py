"""The language trainer on a GPU: the losses and weights of the CPU but for rounding, in every family, precision and optimizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from releases import family
from releases import language as mini
from releases.recipes import NEOX, OLMO, PAIRS, T5, Text

from openassay.core.replay import weight_statistics
from openassay.drivers.job import Arm, Job
from openassay.drivers.pretrain import PretrainDriver
from openassay.records import parse
from openassay.training.devices import ShardedTraining, train_on
from openassay.training.lm import LanguageTraining, initial_weights
from openassay.training.numerics import Numerics

LLAMA = replace(
    OLMO, data=replace(OLMO.data, repetition_filter=None), optimizer=NEOX.optimizer,
    architecture=replace(OLMO.architecture, family="llama", norm="rms_norm", num_kv_heads=2),
)  # fmt: skip
OLMO2 = replace(LLAMA, architecture=replace(OLMO.architecture, family="olmo2", norm="rms_norm", qk_norm=True))
FAMILIES = {
    "gpt_neox, adamw": NEOX, "olmo, lion": OLMO, "t5, adafactor": T5, "t5 of pairs": PAIRS, "llama": LLAMA, "olmo2": OLMO2,
    "gpt_neox, sgd": replace(
        NEOX, optimizer=replace(NEOX.optimizer, name="sgd", betas=None, eps=None, weight_decay=0.01)
    ),
}  # fmt: skip
MINI = mini.recipe()


@cache
def start(seed: int = 0) -> dict[str, np.ndarray]:
    return initial_weights(MINI, seed)


def trained(device: str, updates: int = 16, **options: Any) -> LanguageTraining:
    training = LanguageTraining(options.pop("recipe", MINI), start(), device=device, **options)
    training.advance(mini.tokens(), updates)
    return training


def distance(one: Any, other: Any) -> float:
    """Of two trainings' weights, as a share of how far the second's have moved."""
    return weight_statistics(one.weights(), other.weights(), start())[0]


def same(one: Any, other: Any) -> bool:
    """Equal to the last bit: losses and weights."""
    ours, theirs = one.weights(), other.weights()
    return np.array_equal(one.log().losses, other.log().losses) and all(
        np.array_equal(ours[name], theirs[name]) for name in theirs
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_and_optimizer_trains_as_on_the_cpu(
    name: str, device: str, figure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = FAMILIES[name]
    weights, text = initial_weights(recipe, 0), Text(recipe.data.item_length)
    here, there = (LanguageTraining(recipe, weights, device=on) for on in (device, "cpu"))
    for training in (here, there):
        training.advance(text, 6)
    losses = float(np.abs(here.log().losses - there.log().losses).max())
    moved = weight_statistics(here.weights(), there.weights(), weights)[0]
    held_out = text.items(100, 3)
    measured = float(np.abs(here.sequence_losses(held_out) - there.sequence_losses(held_out)).max())
    figure(f"{name}, fp32: losses apart from the CPU's, nats", losses)
    figure(f"{name}, fp32: weights apart, share of their way", moved)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    twice = [LanguageTraining(recipe, weights, device=device) for _ in range(2)]
    for training in twice:
        training.advance(text, 6)
        training.sequence_losses(held_out)
    figure(f"{name}, fp32: two with deterministic algorithms", "equal" if same(*twice) else "differ")
    assert here.log().gradient_norms == pytest.approx(there.log().gradient_norms, rel=1e-3)
    assert max(losses, measured) < 1e-4
    assert moved < 0.02


def test_bf16_rounds_no_more_on_a_gpu_than_on_a_cpu(device: str, figure: Callable[..., None]) -> None:
    exact = trained("cpu")
    here, there = (trained(on, numerics=Numerics(precision="bf16")) for on in (device, "cpu"))
    figure("miniature, fp32 on the GPU from fp32 on the CPU: weights apart", distance(trained(device), exact))
    figure("miniature, bf16 on the GPU from fp32 on the CPU: weights apart", distance(here, exact))
    figure("miniature, bf16 on the CPU from fp32 on the CPU: weights apart", distance(there, exact))
    assert distance(here, exact) < 2 * distance(there, exact)


def test_fp16_leaves_out_the_same_updates(device: str, figure: Callable[..., None]) -> None:
    recipe = replace(MINI, precision="fp16", loss_scale=2.0**30)
    here, there = (trained(on, recipe=recipe, updates=20) for on in (device, "cpu"))
    figure("miniature, fp16: updates left out on the GPU, on the CPU", f"{here.num_skipped}, {there.num_skipped}")
    assert 0 < here.num_skipped < 20
    assert abs(here.num_skipped - there.num_skipped) <= 1  # whether 65,504 is passed is a matter of rounding
    assert np.isfinite(here.log().losses[-1])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_two_trainings_are_equal_with_deterministic_algorithms(
    precision: Any, attention: Any, device: str, figure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    numerics = Numerics(precision=precision, attention=attention)
    as_it_is = [trained(device, numerics=numerics) for _ in range(2)]
    figure(
        f"miniature, {precision}, {attention}: two trainings as they are",
        "equal" if same(*as_it_is) else distance(*as_it_is),
    )
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    asked = [trained(device, numerics=numerics) for _ in range(2)]
    figure(
        f"miniature, {precision}, {attention}: two with deterministic algorithms",
        "equal" if same(*asked) else distance(*asked),
    )
    assert same(*asked)
    assert distance(asked[0], as_it_is[0]) < 0.05


def test_a_training_goes_on_from_its_weights_and_moments(
    device: str, figure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    half = trained(device, 8)
    rest = LanguageTraining(MINI, half.weights(), step=8, moments=half.moments(), device=device)
    rest.advance(mini.tokens(), 16)
    whole = trained(device, 16)
    equal = np.array_equal(rest.log().losses, whole.log().losses[8:])
    figure("miniature: 8 updates, saved, 8 more, from 16 at once", "equal" if equal else distance(rest, whole))
    assert rest.log().losses == pytest.approx(whole.log().losses[8:], abs=1e-5)
    assert distance(rest, whole) < 1e-3


def test_a_sharded_training_on_one_gpu_is_the_ordinary_one(device: str, figure: Callable[..., None]) -> None:
    one = trained(device, 8)
    where = "cuda:0" if device == "cuda" else device
    sharded = ShardedTraining(MINI, start(), devices=(where,))
    sharded.advance(mini.tokens(), 8)
    figure("miniature, FSDP2 with one GPU: weights apart", distance(sharded, one))
    assert sharded.log().losses == pytest.approx(one.log().losses, abs=1e-5)
    sharded.close()
    if device == "cuda" and torch.cuda.device_count() == 1:
        assert isinstance(train_on(MINI, start(), device="cuda"), LanguageTraining)


def test_a_whole_pretraining_measures_what_it_measures_on_a_cpu(
    device: str, figure: Callable[..., None], tmp_path: Path
) -> None:
    family.files(tmp_path / "release", 40)
    spec = {
        "driver": "pretrain", "protocol": "full", "recipe": {"artifact": "all", "path": "mini.yml"},
        "settings": family.SETTINGS, "tokens": {"artifact": "all", "layout": "preshuffled", "files": ["document.bin"]},
        "train_loss": [{"step": 40, "last": 3}],
        "held_out": {"artifact": "all", "path": "validation.bin", "count": family.NUM_HELD_OUT},
    }  # fmt: skip
    found = {}
    for on in (device, "cpu"):
        job = Job(
            arm=Arm(), seed=5, data=None, artifacts={"all": str(tmp_path / "release")}, python=None, glue=None,
            out=tmp_path, device=on, threads=1, timeout_s=600,
        )  # fmt: skip
        done = parse(PretrainDriver, spec, "rerun").execute(job)
        assert (done.status.value, done.device) == ("finished", on), done.reason
        found[on] = {of.metric: of.value for of in done.measurements}
    apart = max(abs(found[device][name] - value) for name, value in found["cpu"].items())
    figure("pretrain driver, 40 updates: measurements apart from the CPU's, nats", apart)
    assert apart < 1e-3
