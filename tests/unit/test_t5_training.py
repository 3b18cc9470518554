"""An encoder and decoder: spans are masked by T5's algorithm, and the trainer does as transformers' own loss does."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from releases.recipes import T5, TARGETS, TEXT, Text, with_value

from openassay.training.batch import noise_mask, seen, text_length, with_sentinels
from openassay.training.initial import stated_std
from openassay.training.lm import LanguageTraining, initial_weights
from openassay.training.mismatch import RecipeMismatch
from openassay.training.network import build

START = initial_weights(T5, 0)


def test_masked_spans_become_sentinels_as_in_t5s_paper() -> None:
    """Thank you [for inviting] me to your party [last] week."""
    words = np.array([11, 12, 13, 14, 15, 16, 17, 18, 19, 20])
    mask = np.zeros(10, dtype=bool)
    mask[[2, 3, 8]] = True
    assert with_sentinels(words, mask, 99).tolist() == [11, 12, 99, 15, 16, 17, 18, 98, 20]
    assert with_sentinels(words, ~mask, 99).tolist() == [99, 13, 14, 98, 19, 97]


@pytest.mark.parametrize(
    ("inputs", "density", "span", "expected"),
    [(512, 0.15, 3.0, (568, 114)), (512, 0.5, 3.0, (732, 489)), (16, 0.2, 2.0, (16, 6))],
)
def test_so_many_tokens_of_text_fill_the_inputs(inputs: int, density: float, span: float, expected) -> None:
    text, targets = text_length(inputs, density, span)
    mask = noise_mask(text, density, span, np.random.default_rng(0))
    words = np.arange(100, 100 + text)
    assert len(with_sentinels(words, mask, 99)) + 1 <= inputs
    assert len(with_sentinels(words, ~mask, 99)) + 1 == targets
    if density != 0.5:
        assert (text, targets) == expected


def test_a_mask_has_the_published_numbers_and_all_its_lengths_vary() -> None:
    lengths = set()
    for seed in range(20):
        mask = noise_mask(568, 0.15, 3.0, np.random.default_rng(seed))
        edges = np.flatnonzero(np.diff(mask.astype(int)))
        assert mask.sum() == 85
        assert not mask[0]
        assert mask[-1]
        assert len(edges) == 2 * 28 - 1
        lengths |= set(np.diff(edges)[::2].tolist())
    assert {1, 2, 3, 4, 5} <= lengths


def test_masks_are_of_the_seed_and_of_the_place() -> None:
    rows = np.tile(np.arange(10, 10 + TEXT), (3, 1))
    one = seen(T5, rows, 5, seed=1)
    assert one.shape == (3, 16 + TARGETS)
    assert np.array_equal(one, seen(T5, rows, 5, seed=1))
    assert np.array_equal(one[1:], seen(T5, rows, 6, seed=1)[:2])
    assert not np.array_equal(one, seen(T5, rows, 5, seed=2))
    for row in one:  # nothing is lost: inputs and targets together hold the text
        assert sorted(set(row) - {0, 1, *range(490, 501)}) == list(range(10, 10 + TEXT))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("activation", ["relu", "geglu"])
def test_it_trains_as_transformers_own_loss_does(tied: bool, activation: str) -> None:
    recipe = replace(
        with_value(with_value(T5, "architecture.tied_embeddings", tied), "architecture.activation", activation),
        optimizer=replace(T5.optimizer, name="adamw", betas=(0.9, 0.99), eps=1e-6, factored_from=128), loss_divisor="labels",
    )  # fmt: skip
    first = initial_weights(recipe, 3)
    assert ("lm_head.weight" in first) != tied
    assert ("encoder.block.0.layer.1.DenseReluDense.wi_1.weight" in first) == (activation == "geglu")
    training = LanguageTraining(recipe, first)
    model = build(recipe.architecture)
    model.config.decoder_start_token_id, model.config.pad_token_id = 0, 0
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.tensor(first[name]))
    rows = torch.tensor(seen(recipe, Text(TEXT).items(0, 4), 0, 0))
    inputs, labels = rows[:, :16], rows[:, 16:].clone()
    labels[labels == 0] = -100
    theirs = model(input_ids=inputs, attention_mask=(inputs != 0).long(), labels=labels).loss.item()
    training.advance(Text(TEXT), 1)
    assert training.log().losses[0] == pytest.approx(theirs, abs=1e-6)
    assert model.config.scale_decoder_outputs == tied


def test_its_weights_begin_as_mesh_tensorflows() -> None:
    weights = START
    for name, value in weights.items():
        if value.ndim > 1:
            assert float(value.std()) == pytest.approx(
                stated_std(T5, name, 2) or 0, rel=0.2 if value.size > 200 else 0.5
            ), name
    query = "decoder.block.1.layer.1.EncDecAttention.q.weight"
    assert stated_std(T5, query, 2) == pytest.approx(1 / math.sqrt(32 * 16))
    assert stated_std(T5, query.replace(".q.", ".o."), 2) == pytest.approx(1 / math.sqrt(4 * 16))
    assert stated_std(T5, query.replace(".q.", ".k."), 2) == pytest.approx(1 / math.sqrt(32))


def test_it_learns() -> None:
    class Same:
        def items(self, first: int, count: int) -> np.ndarray:
            return np.tile(np.arange(20, 20 + TEXT), (count, 1))

    recipe = with_value(T5, "learning_rate.peak", 0.05)
    training = LanguageTraining(recipe, START)
    training.advance(Same(), 30)
    losses = training.log().losses
    assert losses[-3:].mean() < losses[:3].mean() - 1


def test_what_its_training_needs_is_not_guessed() -> None:
    for name in ("data.first_sentinel", "data.eos_token_id", "data.pad_token_id", "data.target_length"):
        with pytest.raises(RecipeMismatch, match=name):
            LanguageTraining(with_value(T5, name, None), START)
