"""Nothing of a recipe is silently ignored by the trainer: a value changes the training, is refused, or is on the list."""

from __future__ import annotations

import functools
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pytest
import torch
from releases.recipes import NEOX, OLMO, PAIRS, T5, TEXT, Text, with_value

from openassay.published.recipes.draft import NAMES
from openassay.training.batch import bears_loss
from openassay.training.language import LanguageRecipe
from openassay.training.lm import WITHOUT_EFFECT, LanguageTraining, initial_weights
from openassay.training.mismatch import RecipeMismatch

BASES = {"neox": NEOX, "olmo": OLMO, "t5": T5, "t5 without masks": PAIRS}

OTHER: dict[str, Any] = {
    "architecture.family": "llama", "architecture.vocab_size": 640, "architecture.hidden_size": 48,
    "architecture.num_layers": 3, "architecture.num_heads": 8, "architecture.num_kv_heads": 2,
    "architecture.intermediate_size": 64, "architecture.max_position": 24, "architecture.activation": "geglu",
    "architecture.norm": "layer_norm_with_another", "architecture.norm_eps": 1e-2, "architecture.rotary_share": 0.25,
    "architecture.rotary_base": 500.0, "architecture.parallel_residual": lambda now: not now,
    "architecture.bias": lambda now: not now, "architecture.tied_embeddings": lambda now: not now,
    "architecture.qk_norm": True, "architecture.attention_dropout": 0.2, "architecture.hidden_dropout": 0.2,
    "architecture.embedding_scale": 2.0, "architecture.logits_scale": 0.5, "architecture.attention_scale": "inverse",
    "architecture.head_size": 4, "architecture.relative_buckets": lambda now: 4 if now else 8, "architecture.clip_qkv": 0.01,
    "initialisation.method": "other", "initialisation.std": 0.5, "initialisation.output_method": "other",
    "initialisation.output_std": 0.5, "initialisation.embedding_std": 0.5, "initialisation.truncated_at": 2.0,
    "optimizer.name": "sgd", "optimizer.betas": (0.8, 0.9), "optimizer.eps": 1e-3, "optimizer.weight_decay": 0.5,
    "optimizer.not_decayed": ("embedding",), "optimizer.lr_multipliers": {"e": 0.5},
    "optimizer.scaled_by_parameter": False, "optimizer.factored_from": 1000,
    "learning_rate.form": "constant", "learning_rate.peak": 1e-3, "learning_rate.minimum": 1e-3,
    "learning_rate.warmup_steps": 3, "learning_rate.decay_steps": 6, "learning_rate.first": "zero",
    "learning_rate.warmup_minimum": 2e-4,
    "data.sequence_length": 14, "data.item_length": 18, "data.order": "unknown", "data.seed": 7, "data.files": ("a",),
    "data.eos_token_id": 3, "data.pad_token_id": 7, "data.token_type": "int32", "data.split": "969,30,1",
    "data.repetition_filter": lambda now: None if now else (1, 3, 6), "data.target_length": 12, "data.noise_density": 0.4,
    "data.mean_noise_span": 4.0, "data.first_sentinel": 490,
    "batch_size": 2, "steps": 32, "tokens_total": 1000, "clip_norm": None, "precision": "bf16", "loss_scale": 4.0,
    "z_loss": 0.1, "loss_divisor": lambda now: "tokens" if now == "labels" else "labels", "clip_warmup_steps": 1,
    "clip_warmup_factor": 4.0, "checkpoints": (1, 2),
}  # fmt: skip
SOMETIMES = {
    "t5": {"data.eos_token_id", "data.pad_token_id"},
    "t5 without masks": {"data.pad_token_id"},
    "neox": {"learning_rate.minimum", "learning_rate.decay_steps"},
    "olmo": {"learning_rate.minimum", "learning_rate.decay_steps"},
}
"""Of the list, what bears on these recipes."""


@functools.cache
def start(base: str) -> dict[str, np.ndarray]:
    return initial_weights(BASES[base], 0)


UPDATES = 5


def seen(training: LanguageTraining) -> list[np.ndarray]:
    """Losses, rates and weights up to now."""
    log = training.log()
    return [log.losses, log.learning_rates, *(value.copy() for _, value in sorted(training.weights().items()))]


@functools.cache
def as_published(base: str) -> list[list[np.ndarray]]:
    """What is seen after each of five updates."""
    training, found = LanguageTraining(BASES[base], start(base)), []
    for update in range(UPDATES):
        training.advance(Text(BASES[base].data.item_length), update + 1)
        found.append(seen(training))
    return found


def same(base: str, recipe: LanguageRecipe) -> bool | str:
    """Whether this recipe trains as the base does, up to the first update that shows a difference; or why it does not train."""
    try:
        training = LanguageTraining(recipe, start(base))
        for update, then in enumerate(as_published(base)):
            training.advance(Text(BASES[base].data.item_length), update + 1)
            now = seen(training)
            if len(now) != len(then) or not all(np.array_equal(one, two) for one, two in zip(now, then, strict=True)):
                return False
    except RecipeMismatch as refused:
        return str(refused)
    return True


def test_the_table_of_this_test_has_every_value_of_a_recipe() -> None:
    assert set(OTHER) == set(NAMES)
    assert all(any(fnmatchcase(name, pattern) for name in NAMES) for pattern in WITHOUT_EFFECT)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("name", OTHER)
def test_a_value_changes_the_training_is_refused_or_is_on_the_list(name: str, base: str) -> None:
    other = with_value(BASES[base], name, OTHER[name])
    assert other != BASES[base]
    listed = any(fnmatchcase(name, pattern) for pattern in WITHOUT_EFFECT) and name not in SOMETIMES[base]
    found = same(base, other)
    if isinstance(found, str):
        assert not listed
        assert "\n" not in found
    else:
        assert found == listed


def test_gradients_are_clipped_otherwise_in_the_first_updates_after_the_very_first() -> None:
    """With plain gradient descent at rate 1, a step is as long as the limit."""
    recipe = replace(
        NEOX, clip_norm=1e-3, clip_warmup_steps=2, clip_warmup_factor=10.0,
        optimizer=replace(NEOX.optimizer, name="sgd", betas=None, eps=None, weight_decay=0.0),
        learning_rate=replace(NEOX.learning_rate, form="constant", peak=1.0, warmup_steps=0),
    )  # fmt: skip
    training = LanguageTraining(recipe, start("neox"))
    lengths, before = [], {name: value.astype(float) for name, value in start("neox").items()}
    for step in range(1, 5):
        training.advance(Text(17), step)
        now = {name: value.astype(float) for name, value in training.weights().items()}
        lengths.append(sum(float(((now[name] - before[name]) ** 2).sum()) for name in now) ** 0.5)
        before = now
    assert lengths == pytest.approx([1e-3, 1e-2, 1e-2, 1e-3], rel=0.02)


def test_lion_takes_the_steps_of_its_paper() -> None:
    training = LanguageTraining(OLMO, start("olmo"))
    name = "model.layers.0.self_attn.q_proj.weight"
    parameter = dict(training.model.named_parameters())[name]
    expected, moment = torch.tensor(start("olmo")[name]), torch.zeros_like(parameter)
    seen: list[torch.Tensor] = []
    training.optimizer.register_step_pre_hook(lambda *_: seen.append(parameter.grad.clone()))
    for update in range(4):
        training.advance(Text(16), update + 1)
        rate, grad = training.log().learning_rates[update], seen[update]
        expected = expected - rate * 0.1 * expected - rate * torch.sign(0.9 * moment + 0.1 * grad)
        moment = 0.95 * moment + 0.05 * grad
    assert torch.allclose(parameter.detach(), expected, atol=1e-7)
    assert not torch.allclose(parameter.detach(), torch.tensor(start("olmo")[name]), atol=1e-4)


@pytest.mark.parametrize(
    "name", ["shared.weight", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
)
def test_adafactor_takes_mesh_tensorflows_steps(name: str) -> None:
    """Their formula written out: the embedding is factored, the bias of 8 by 4 is not."""
    recipe = with_value(T5, "optimizer.weight_decay", 0.0)
    training = LanguageTraining(recipe, start("t5"))
    parameter = dict(training.model.named_parameters())[name]
    expected = torch.tensor(start("t5")[name]).double()
    rows, columns, full = (torch.zeros(()).double() for _ in range(3))
    seen: list[torch.Tensor] = []
    training.optimizer.register_step_pre_hook(lambda *_: seen.append(parameter.grad.double()))
    for update in range(4):
        training.advance(Text(TEXT), update + 1)
        rate, grad = training.log().learning_rates[update], seen[update]
        kept = 1 - (update + 1.0) ** -0.8
        square = grad**2 + 1e-30
        scale = max(1e-3, float((expected**2).mean() ** 0.5))
        if min(grad.shape) >= 16:
            rows, columns = kept * rows + (1 - kept) * square.mean(1), kept * columns + (1 - kept) * square.mean(0)
            step = grad * (rows / rows.mean()).rsqrt()[:, None] * columns.rsqrt()[None]
        else:
            full = kept * full + (1 - kept) * square
            step = grad * full.rsqrt()
        expected = expected - rate * scale * step / max(1.0, float((step**2).mean() ** 0.5))
    moved = (expected - torch.tensor(start("t5")[name])).abs().max()
    assert (parameter.detach() - expected).abs().max() < 1e-4 * moved


def test_a_multiplier_for_no_parameter_is_refused() -> None:
    refused = same("neox", with_value(NEOX, "optimizer.lr_multipliers", {"decoder_kernel": 0.5}))
    assert refused == "optimizer.lr_multipliers: no parameter's name has 'decoder_kernel' in it"


def test_repetitions_of_olmos_filter_are_found() -> None:
    recipe = with_value(OLMO, "data.repetition_filter", (1, 3, 5))
    rows = np.arange(80).reshape(4, 20)
    rows[1, 3:18] = np.tile([7, 8, 9], 5)  # five times
    rows[2, 3:17] = np.tile([7, 8, 9], 5)[:14]  # four times and two thirds
    rows[3, 4:9] = 3  # one word, five times
    kept = bears_loss(recipe, rows)
    assert kept is not None
    assert kept.tolist() == [True, False, True, False]


def test_what_bears_no_loss_still_counts_in_olmos_divisor() -> None:
    """Three of four sequences of 16 tokens bear loss, on 15 labels each."""
    free = LanguageTraining(with_value(OLMO, "data.repetition_filter", None), start("olmo"))
    rows = Text(16).items(0, 4)
    each = free.sequence_losses(rows)
    training = LanguageTraining(OLMO, start("olmo"))
    training.advance(Text(16), 1)
    assert training.log().losses[0] == pytest.approx(each[1:].sum() * 15 / (4 * 16), rel=1e-5)
    by_labels = LanguageTraining(with_value(OLMO, "loss_divisor", "labels"), start("olmo"))
    by_labels.advance(Text(16), 1)
    assert by_labels.log().losses[0] == pytest.approx(each[1:].mean(), rel=1e-5)
