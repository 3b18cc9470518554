"""The language-model trainer against torch's and transformers' own parts, and the schedule's traps."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from releases import language as mini
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy

from openassay.core.replay import weight_statistics
from openassay.training import lm
from openassay.training.language import Architecture, Initialisation, LearningRate
from openassay.training.lm import LanguageTraining, build, initial_weights, read_safetensors
from openassay.training.mismatch import RecipeMismatch
from openassay.training.numerics import ContiguousTokens, Numerics
from openassay.training.schedule import learning_rate

RECIPE = mini.recipe(hidden=32, length=16, steps=64)
TOKENS = ContiguousTokens(
    tokens=np.random.default_rng(0).integers(0, mini.VOCABULARY, 20_000), item_length=17, stride=16
)
START = initial_weights(RECIPE, 0)


def train(recipe=RECIPE, updates: int = 6, tokens=TOKENS, **options):
    training = LanguageTraining(recipe, START, **options)
    training.advance(tokens, updates)
    return training


def apart(one, other) -> float:
    """Their distance as a share of what was learnt; a key's bias has no gradient but rounding, so single weights say little."""
    return weight_statistics(one.weights(), other.weights(), START)[0]


def moved(training) -> dict[str, bool]:
    now = training.weights()
    return {name: not np.array_equal(now[name], START[name]) for name in START}


def test_it_trains_as_a_loop_written_out_in_torch_does() -> None:
    model = build(RECIPE.architecture)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.tensor(START[name]))
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.1},
            {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
        ],
        lr=0.0, betas=(0.9, 0.95), eps=1e-8,
    )  # fmt: skip
    losses = []
    for update in range(6):
        rows = torch.tensor(TOKENS.items(update * 8, 8))
        loss = cross_entropy(model(rows[:, :-1]).logits.flatten(0, 1), rows[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            warmup, total, k = 1, 64, update + 1
            group["lr"] = 3e-4 + 2.7e-3 * (1 + math.cos(math.pi * (k - warmup) / (total - warmup))) / 2
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    training = train()
    assert training.log().losses == pytest.approx(losses, abs=1e-6)
    theirs = {name: parameter.detach().numpy() for name, parameter in model.named_parameters()}
    assert weight_statistics(training.weights(), theirs, START)[0] < 1e-3


def test_the_same_training_gives_the_same_bits_and_leaves_torch_as_it_was() -> None:
    before = torch.get_num_threads()
    assert apart(train(), train()) == 0
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    "numerics",
    [Numerics(micro_batch=3), Numerics(permuted=4), Numerics(attention="eager"), Numerics(threads=2)],
    ids=lambda numerics: str(numerics)[:40],
)
def test_numerics_change_nothing_but_rounding(numerics: Numerics) -> None:
    assert apart(train(), train(numerics=numerics)) < 1e-3
    assert train(numerics=numerics).log().losses == pytest.approx(train().log().losses, abs=1e-5)


def test_a_batch_that_does_not_fit_is_cut_by_itself(monkeypatch) -> None:
    sizes: list[int] = []
    monkeypatch.setitem(lm.AT_ONCE, "cpu", 140_000)  # 16 tokens of 512 words and two layers of 32 take 42 thousand
    training = LanguageTraining(RECIPE, START)
    training.model.register_forward_hook(lambda _module, _given, result: sizes.append(len(result.logits)))
    training.advance(TOKENS, 6)
    assert set(sizes) == {3, 2}
    assert sum(sizes) == 6 * 8
    assert training.log().losses == pytest.approx(train().log().losses, abs=1e-5)
    assert len(training.sequence_losses(TOKENS.items(0, 10))) == 10
    assert max(sizes) == 3


@pytest.mark.parametrize(("precision", "least", "most"), [("bf16", 1e-6, 3e-3), ("fp16", 1e-7, 1e-3)])
def test_low_precision_is_near_and_not_the_same(precision, least: float, most: float) -> None:
    gap = np.abs(train().log().losses - train(replace(RECIPE, precision=precision)).log().losses).max()
    assert least < gap < most


def test_fp16_leaves_out_what_overflows_and_the_schedule_waits() -> None:
    recipe = replace(RECIPE, precision="fp16", loss_scale=2.0**30)
    training = train(recipe, updates=12)
    rates = training.log().learning_rates
    assert training.num_skipped >= 1
    assert np.all(rates[: training.num_skipped] == 0)
    assert rates[training.num_skipped] == learning_rate(recipe.learning_rate, 0)
    assert np.array_equal(
        train(left_out={0, 1}, updates=4).log().learning_rates,
        [0.0, 0.0, *(learning_rate(RECIPE.learning_rate, k) for k in (0, 1))],
    )


def test_it_goes_on_from_weights_and_moments_as_if_it_had_not_stopped() -> None:
    half = train(updates=3)
    rest = LanguageTraining(RECIPE, half.weights(), step=3, moments=half.moments())
    rest.advance(TOKENS, 6)
    whole = train(updates=6)
    assert apart(rest, whole) < 1e-5
    assert rest.log().losses == pytest.approx(whole.log().losses[3:], abs=1e-6)


def test_what_is_not_decayed_is_told_by_kind() -> None:
    frozen = replace(RECIPE, learning_rate=replace(RECIPE.learning_rate, peak=1.0, minimum=1.0, warmup_steps=0))

    def decays(*kept: str) -> set[str]:
        training = LanguageTraining(replace(frozen, optimizer=replace(frozen.optimizer, not_decayed=kept)), START)
        found = set()
        for group in training.optimizer.param_groups:
            if group["weight_decay"]:
                found |= {
                    name for name, p in training.model.named_parameters() if any(p is one for one in group["params"])
                }
        return found

    every = decays()
    assert every == set(START)
    assert {name for name in every - decays("norm") if "norm" not in name} == set()
    assert all(name.endswith("bias") for name in every - decays("bias"))
    assert every - decays("embedding") == {"gpt_neox.embed_in.weight"}
    assert "gpt_neox.final_layer_norm.bias" in every - decays("norm")


def test_rates_can_differ_by_part() -> None:
    optimizer = replace(RECIPE.optimizer, lr_multipliers={"embed_in": 0.0})
    assert [n for n, did in moved(train(replace(RECIPE, optimizer=optimizer), updates=2)).items() if not did] == [
        "gpt_neox.embed_in.weight"
    ]


def rate(**values) -> LearningRate:
    return LearningRate(
        **{
            "form": "cosine_to_min",
            "peak": 1.0,
            "minimum": 0.1,
            "warmup_steps": 10,
            "decay_steps": 110,
            "first": "zero",
            **values,
        }
    )


@pytest.mark.parametrize(
    ("schedule", "update", "expected"),
    [
        (rate(), 0, 0.0),
        (rate(first="one_step"), 0, 0.1),
        (rate(), 10, 1.0),
        (rate(), 60, 0.55),
        (rate(), 110, 0.1),
        (rate(), 500, 0.1),
        (rate(form="cosine_clamped"), 65, 0.5),  # full length from the warm-up's end, falling to 0
        (rate(form="cosine_clamped"), 115, 0.1),  # where the floor holds
        (rate(form="linear"), 60, 0.55),
        (rate(form="constant", decay_steps=None), 1000, 1.0),
        (rate(form="inverse_sqrt", decay_steps=None), 5, 0.5),
        (rate(form="inverse_sqrt", decay_steps=None, warmup_minimum=1.0), 0, 1.0),  # T5's: at the peak from the start
        (rate(warmup_minimum=0.2), 0, 0.2),
        (rate(warmup_minimum=0.2, first="one_step"), 4, 0.6),
        (rate(form="linear", warmup_minimum=0.2), 10, 1.0),
        (rate(form="inverse_sqrt", decay_steps=None), 40, 0.5),
        (rate(warmup_steps=0), 0, 1.0),
    ],
)  # fmt: skip
def test_a_schedule_gives_the_rate_that_it_states(schedule: LearningRate, update: int, expected: float) -> None:
    assert learning_rate(schedule, update) == pytest.approx(expected)


def test_what_the_release_does_not_say_is_not_guessed() -> None:
    with pytest.raises(RecipeMismatch, match="decay_steps"):
        learning_rate(rate(decay_steps=None), 20)
    with pytest.raises(RecipeMismatch, match="betas or eps"):
        LanguageTraining(replace(RECIPE, optimizer=replace(RECIPE.optimizer, eps=None)), START)


def test_weights_that_do_not_fit_are_refused_by_name() -> None:
    with pytest.raises(RecipeMismatch, match=r"lm_head.weight"):
        LanguageTraining(RECIPE, {name: value for name, value in START.items() if name != "lm_head.weight"})
    with pytest.raises(RecipeMismatch, match="shape"):
        LanguageTraining(RECIPE, {**START, "lm_head.weight": np.zeros((2, 2), np.float32)})
    with pytest.raises(RecipeMismatch, match="tokens end"):
        train(updates=2000)


OTHERS = {
    "olmo": {"norm": "layer_norm_without_weights"},
    "olmo2": {"norm": "rms_norm", "qk_norm": True},
    "llama": {"norm": "rms_norm", "num_kv_heads": 2},
}


def other_family(family, **more) -> Architecture:
    return replace(
        RECIPE.architecture,
        **{
            "family": family,
            "rotary_share": 1.0,
            "parallel_residual": False,
            "bias": False,
            "activation": "swiglu",
            **more,
        },
    )


@pytest.mark.parametrize("family", OTHERS)
def test_every_family_learns(family: str) -> None:
    recipe = replace(
        RECIPE, architecture=other_family(family, **OTHERS[family]), z_loss=1e-4,
        initialisation=Initialisation(method="normal", std=0.02, truncated_at=3.0),
    )  # fmt: skip
    training = LanguageTraining(recipe, initial_weights(recipe, 0))

    class Same:
        def items(self, first: int, count: int):
            return TOKENS.items(0, count)

    training.advance(Same(), 12)
    losses = training.log().losses
    assert losses[-1] < losses[0] - 0.3


@pytest.mark.parametrize(
    ("family", "wrong"),
    [("gpt_neox", {"activation": "swiglu"}), ("olmo", {"norm": "rms_norm"}), ("llama", {"norm": "layer_norm"})],
)
def test_an_architecture_that_a_family_cannot_have_is_refused(family: str, wrong: dict[str, str]) -> None:
    base = RECIPE.architecture if family == "gpt_neox" else other_family(family, **OTHERS[family])
    with pytest.raises(RecipeMismatch, match="architecture"):
        build(replace(base, **wrong))


def test_scales_of_maximal_update_parametrisation_are_applied() -> None:
    ids = torch.tensor(TOKENS.items(0, 2)[:, :-1])
    plain = build(RECIPE.architecture)
    scaled = build(replace(RECIPE.architecture, embedding_scale=2.0))
    scaled.load_state_dict(plain.state_dict())
    assert not torch.allclose(plain(ids).logits, scaled(ids).logits, atol=1e-3)
    with torch.no_grad():
        plain.get_input_embeddings().weight *= 2
    assert torch.allclose(plain(ids).logits, scaled(ids).logits, atol=1e-6)


def test_files_are_read_with_their_precision_and_todays_names(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    tensors = {name: torch.tensor(value) for name, value in START.items() if name != "lm_head.weight"}
    old = {
        "embed_out.weight": torch.tensor(START["lm_head.weight"]).half(),
        "gpt_neox.layers.0.attention.rotary_emb.inv_freq": torch.ones(2),
    }
    save_file({**tensors, **old}, path)
    weights, stored = read_safetensors(path)
    assert stored == "fp16"
    assert set(weights) == set(START)
    LanguageTraining(RECIPE, weights)
