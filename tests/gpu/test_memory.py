"""A training that does not fit into the GPU's memory is said so, and the next one has the memory again."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from releases import language as mini

from openassay.training.lm import SHARE_OF_GPU, LanguageTraining, initial_weights
from openassay.training.numerics import ContiguousTokens, Numerics
from openassay.training.pretraining import TooLarge, loss_of, pretrain
from openassay.training.trainer import RecipeMismatch, mismatches

LIMIT = 2 * 2**30
"""Bytes that the process may take: of a small card."""
SMALL = mini.recipe(hidden=256, length=512, batch_size=64, precision="bf16")
RECIPE = replace(SMALL, architecture=replace(SMALL.architecture, vocab_size=50304))
TOKENS = ContiguousTokens(
    tokens=np.random.default_rng(0).integers(0, 50304, 2 * 64 * 512 + 1), item_length=513, stride=512
)  # fmt: skip


@pytest.fixture
def small_card(device: str) -> Iterator[None]:
    """Of the card's memory, this process may take two gigabytes."""
    if device != "cuda":
        pytest.skip("a GPU's memory is limited, not a CPU's")
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(LIMIT / torch.cuda.get_device_properties(0).total_memory)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def pretrained(**numerics: int) -> np.ndarray:
    weights = initial_weights(RECIPE, 0)
    return pretrain(
        RECIPE, weights, TOKENS, None, points=(2,), numerics=Numerics(**numerics), device="cuda",
        deadline=time.monotonic() + 300,
    ).losses  # fmt: skip


@pytest.mark.usefixtures("small_card")
def test_what_does_not_fit_is_said_and_a_smaller_micro_batch_fits(figure: Callable[..., None]) -> None:
    with pytest.raises(TooLarge, match="out of memory"):
        pretrained(micro_batch=64)
    with pytest.raises(TooLarge, match="out of memory"):
        loss_of(RECIPE, initial_weights(RECIPE, 0), TOKENS.items(0, 64), numerics=Numerics(), device="cuda")
    gc.collect()  # the exceptions hold the training
    torch.cuda.empty_cache()
    losses = pretrained(micro_batch=1)
    figure(
        "64 sequences in 2 GiB, then one at a time in the same process", f"out of memory, then loss {losses[-1]:.3f}"
    )
    assert np.isfinite(losses).all()


@pytest.mark.usefixtures("small_card")
def test_a_small_training_that_does_not_fit_is_said() -> None:
    with pytest.raises(RecipeMismatch, match="does not fit into the memory of the device"), mismatches():
        torch.empty(LIMIT, device="cuda", dtype=torch.float32)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_pass_takes_no_more_memory_than_is_reckoned(attention: str, device: str, figure: Callable[..., None]) -> None:
    if device != "cuda":
        pytest.skip("a GPU's memory is measured, not a CPU's")
    for precision in ("fp32", "bf16"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        training = LanguageTraining(
            RECIPE,
            initial_weights(RECIPE, 0),
            numerics=Numerics(precision=precision, attention=attention),
            device="cuda",
        )
        training.advance(TOKENS, 1)  # now gradients and moments are there, and cuBLAS has its workspace
        torch.cuda.reset_peak_memory_stats()
        state = torch.cuda.memory_allocated()
        training.advance(TOKENS, 2)
        rows = min(RECIPE.batch_size, training._at_once())
        taken = torch.cuda.max_memory_allocated() - state
        room = torch.cuda.get_device_properties(0).total_memory / SHARE_OF_GPU
        each = f"{taken / rows / 2**20:.0f} MiB a sequence, {rows} at once"
        figure(
            f"512 tokens, width 256, {precision}, {attention}: a pass takes",
            f"{each}: {100 * taken / room:.0f} % of its room",
        )
        gradients = 4 * sum(p.numel() for p in training.model.parameters())
        assert taken < room + gradients
        del training
