"""Files of pretraining programs: nanotron, llm-foundry, LitGPT, DeepSpeed.

Held against the programs' code: nanotron's config.py, helpers.py (its schedule, run beside ours, gives the same rates) and
parametrization.py at 2411b022, llm-foundry's
configuration_mpt.py and config_defaults.py at 8c8dd48f, LitGPT's args.py and pretrain.py at 26857050. The files of these repositories
and of SmolLM 1 to 3 were read.
"""

from __future__ import annotations

import math

import pytest
from recipe_samples import DEEPSPEED, LITGPT, LLM_FOUNDRY, NANOTRON, TINYLLAMA

from openassay.faults import BadInput
from openassay.published.recipes import read_recipe
from openassay.training.language import ReadRecipe


def holds(found: ReadRecipe, expected: dict[str, object]) -> None:
    assert {name: found.values[name] for name in expected} == expected


def test_nanotron_says_a_whole_recipe() -> None:
    found = read_recipe(NANOTRON, name="n.yaml")
    assert (found.format, found.unknown, found.missing) == ("nanotron", {}, ())
    holds(found, {
        "architecture.family": "llama", "architecture.vocab_size": 1002, "architecture.num_kv_heads": 2, "architecture.activation": "swiglu",
        "batch_size": 64, "steps": 1000, "tokens_total": 1000 * 64 * 256, "learning_rate.form": "cosine_to_min",
        "learning_rate.warmup_steps": 100, "learning_rate.decay_steps": 1000, "learning_rate.minimum": 3e-4, "optimizer.not_decayed": (),
        "data.files": ("tokens/a", "tokens/b"), "data.seed": 42, "data.item_length": 257, "checkpoints": (500, 1000), "precision": "bf16",
    })  # fmt: skip
    assert found.values["initialisation.output_std"] == pytest.approx(0.02 / math.sqrt(16))
    assert any("mixed by weight" in note for note in found.notes)


def test_nanotron_constant_then_decay_is_no_canonical_schedule() -> None:
    text = NANOTRON.replace("    lr_decay_steps: 900\n", "    lr_decay_steps: 200\n    lr_decay_starting_step: 800\n")
    found = read_recipe(text, name="n.yaml")
    holds(found, {"learning_rate.form": None, "learning_rate.decay_steps": None})
    assert any("a constant rate from the warm-up to update 800" in note for note in found.notes)
    root = read_recipe(NANOTRON.replace("style: cosine", "style: 1-sqrt"), name="n.yaml")
    assert root.values["learning_rate.form"] is None


def test_nanotron_files_of_other_networks_are_refused() -> None:
    with pytest.raises(BadInput, match="is_mamba_config: expected one of is_llama_config"):
        read_recipe(NANOTRON.replace("is_llama_config", "is_mamba_config"), name="n.yaml")
    odd = read_recipe(
        NANOTRON.replace("    vocab_size", "    no_rope_layer: 4\n    is_qwen2_config: true\n    vocab_size"),
        name="n.yaml",
    )
    assert any("layers without rotary positions" in note for note in odd.notes)


def test_llm_foundry_is_not_read_as_olmo() -> None:
    found = read_recipe(LLM_FOUNDRY, name="m.yaml")
    assert (found.format, found.unknown) == ("llm_foundry", {})
    holds(found, {
        "architecture.family": "gpt2", "architecture.max_position": 2048, "architecture.intermediate_size": 3072, "architecture.bias": False,
        "architecture.rotary_share": None, "data.sequence_length": 2048, "data.seed": 17, "batch_size": 256, "steps": 4800,
        "learning_rate.warmup_steps": 100, "learning_rate.decay_steps": 4800, "clip_norm": 1.0, "precision": "bf16",
        "tokens_total": 4800 * 256 * 2048, "optimizer.weight_decay": 0.1,
    })  # fmt: skip
    assert found.values["learning_rate.minimum"] == pytest.approx(6e-5)
    assert found.origins["architecture.max_position"].where == "m.yaml:11 max_seq_len"
    assert any("ALiBi" in note for note in found.notes)


@pytest.mark.parametrize(("said", "steps"), [("1ep", None), ("52428800tok", 100), ("512sp", 2), ("10ba", 10)])
def test_llm_foundry_durations(said: str, steps: int | None) -> None:
    assert read_recipe(LLM_FOUNDRY.replace("4800ba", said), name="m.yaml").values["steps"] == steps


def test_llm_foundry_refuses_what_is_no_duration() -> None:
    with pytest.raises(BadInput, match="m.yaml:34: max_duration: expected a duration"):
        read_recipe(LLM_FOUNDRY.replace("4800ba", "soon"), name="m.yaml")


def test_litgpt_pretraining_and_fine_tuning_differ() -> None:
    found = read_recipe(LITGPT, name="l.yaml")
    assert (found.format, found.unknown) == ("litgpt", {})
    holds(found, {
        "steps": 3 * 10**12 // (512 * 2048), "batch_size": 512, "learning_rate.minimum": 4e-5, "learning_rate.warmup_steps": 2000,
        "optimizer.betas": (0.9, 0.95), "optimizer.not_decayed": (), "clip_norm": 1.0, "precision": "bf16", "learning_rate.first": None,
    })  # fmt: skip
    tuned = read_recipe(
        LITGPT.replace("model_name: small-1b", "checkpoint_dir: small").replace(
            "  max_tokens: 3000000000000\n", "  epochs: 2\n"
        )
    )
    holds(tuned, {"steps": None, "learning_rate.minimum": 0.0, "clip_norm": None})


def test_deepspeed_says_a_part_and_auto_is_unstated() -> None:
    found = read_recipe(DEEPSPEED, name="ds.json")
    assert (found.format, found.unknown) == ("deepspeed", {})
    holds(found, {
        "batch_size": 64, "clip_norm": 1.0, "precision": "fp16", "loss_scale": 4096.0, "optimizer.name": "adamw", "learning_rate.peak": 3e-4,
        "optimizer.weight_decay": None, "learning_rate.form": "linear", "learning_rate.warmup_steps": 10, "learning_rate.decay_steps": 100,
    })  # fmt: skip
    assert found.origins["optimizer.weight_decay"].kind == "unstated"


def test_tinyllama_constants_are_read_without_running_them() -> None:
    found = read_recipe(TINYLLAMA, name="tinyllama.py")
    assert (found.format, found.unknown) == ("tinyllama", {})
    holds(found, {
        "architecture.num_kv_heads": 4, "architecture.intermediate_size": 5632, "steps": 2000, "learning_rate.decay_steps": 2000,
        "learning_rate.warmup_steps": 20, "learning_rate.minimum": 4e-5, "optimizer.betas": (0.9, 0.95), "checkpoints": (500, 1000, 1500, 2000),
        "batch_size": None, "learning_rate.first": None,
    })  # fmt: skip
    assert "is the batch of a node of 8 devices" in found.origins["batch_size"].where
    other = read_recipe(
        TINYLLAMA.replace("1000 * 2", "int(input())").replace("tiny_LLaMA_1b", "other"), name="tinyllama.py"
    )
    holds(other, {"steps": None, "architecture.num_layers": None})
