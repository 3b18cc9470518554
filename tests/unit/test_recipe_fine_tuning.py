"""Fine-tuning files: each program's own meaning of a key, never another program's, and defaults of that program only.

Held against the programs' code: open-instruct's finetune.py at e6c3044a; axolotl's own HyperparametersConfig at 067b021c on its
256 example files (773 values, all the same); TrainingArguments of transformers 5.23.0 on published files for TRL (184 values, all
the same).
"""

from __future__ import annotations

import pytest
from recipe_samples import AXOLOTL, OPEN_INSTRUCT, TRL

from openassay.faults import BadInput
from openassay.published.recipes import read_recipe


def test_axolotl_is_not_read_as_training_arguments() -> None:
    found = read_recipe(AXOLOTL, name="a.yaml")
    assert found.format == "axolotl"
    assert found.unknown == {}
    assert found.values["learning_rate.form"] == "cosine_to_min"
    assert found.origins["learning_rate.form"].where == "a.yaml:13 lr_scheduler"
    assert found.values["learning_rate.peak"] == 2e-4
    assert found.values["data.sequence_length"] == 2048
    assert "a.yaml:11 num_epochs 3: epochs" in found.origins["steps"].where
    assert "a.yaml:10 micro_batch_size 2 x a.yaml:9 gradient_accumulation_steps 4" in found.origins["batch_size"].where
    assert found.origins["precision"].kind == "unstated"
    assert any("low-rank" in note for note in found.notes)


@pytest.mark.parametrize(("lines", "expected"), [
    ("max_steps: 100\n", {"steps": 100, "learning_rate.decay_steps": 100, "learning_rate.warmup_steps": 10}),
    ("warmup_steps: 7\n", {"steps": None, "learning_rate.warmup_steps": 7}),
    ("cosine_min_lr_ratio: 0.1\n", {"learning_rate.minimum": 2e-5}),
    ("max_grad_norm: 0.3\nadam_beta2: 0.95\n", {"clip_norm": 0.3, "optimizer.betas": (0.9, 0.95)}),
    ("lr_quadratic_warmup: true\n", {"learning_rate.form": None, "learning_rate.minimum": None}),
])  # fmt: skip
def test_axolotl_keys_mean_what_axolotl_makes_of_them(lines: str, expected: dict[str, object]) -> None:
    found = read_recipe(AXOLOTL + lines, name="a.yaml")
    assert {name: found.values[name] for name in expected} == expected


def test_an_axolotl_schedule_or_optimizer_without_a_canonical_name_stays_unstated() -> None:
    text = AXOLOTL.replace("cosine", "rex").replace("adamw_torch", "muon")
    found = read_recipe(text, name="a.yaml")
    for name in ("learning_rate.form", "learning_rate.minimum", "optimizer.name", "optimizer.betas"):
        assert found.values[name] is None, name
        assert found.origins[name].kind == "unstated"


def test_open_instruct_has_its_own_defaults() -> None:
    found = read_recipe(OPEN_INSTRUCT, name="o.yaml")
    assert found.format == "open_instruct"
    assert found.unknown == {}
    assert found.origins["clip_norm"].kind == "code default"
    assert found.values["clip_norm"] is None
    assert "open-instruct@" in found.origins["clip_norm"].where
    assert found.values["learning_rate.form"] == "linear"
    preferences = read_recipe(OPEN_INSTRUCT + "dpo_beta: 5\n", name="o.yaml")
    assert preferences.origins["clip_norm"].kind == "unstated"
    assert any("preferences" in note for note in preferences.notes)


def test_trl_never_lends_the_learning_rate_of_training_arguments() -> None:
    found = read_recipe(TRL, name="t.yaml")
    assert found.format == "trl"
    assert found.unknown == {}
    assert found.values["learning_rate.peak"] == 5e-7
    assert found.values["precision"] == "bf16"
    assert found.values["data.sequence_length"] == 1024
    silent = read_recipe(TRL.replace("learning_rate: 5.0e-7\n", "").replace("bf16: true\n", ""), name="t.yaml")
    assert silent.origins["learning_rate.peak"].kind == "unstated"
    assert silent.origins["precision"].kind == "unstated"


def test_a_foreign_key_beside_training_arguments_withholds_their_defaults() -> None:
    plain = "learning_rate: 0.001\nlr_scheduler_type: linear\n"
    assert read_recipe(plain, name="x.yaml").values["clip_norm"] == 1.0
    found = read_recipe(plain + "own_key: 1\n", name="x.yaml")
    assert found.values["learning_rate.peak"] == 1e-3
    assert found.origins["clip_norm"].kind == "unstated"
    assert "x.yaml:3: own_key is no key of TrainingArguments" in found.origins["clip_norm"].where


@pytest.mark.parametrize(("text", "reason"), [
    ("compute_environment: LOCAL_MACHINE\ndistributed_type: FSDP\nnum_processes: 8\nmixed_precision: bf16\n", "x.yaml: accelerate: "),
    ("model_name_or_path: a\nstage: sft\nfinetuning_type: full\nlearning_rate: 1e-5\nnum_train_epochs: 3\n", "x.yaml: LLaMA-Factory: "),
    ("model:\n  _component_: torchtune.models.llama\noptimizer:\n  _component_: torch.optim.AdamW\n", "x.yaml: torchtune: "),
    ("learning_rate: 0.001\nweight_decay: 0.1\nbatch_size: 4\nmodel: own\n", "x.yaml: expected a recipe of a known format"),
    ("learning_rate: 0.001\noutput_dir: a\nweight_decay: 0.1\nmicro_batch_size: 4\n", "x.yaml:4: micro_batch_size: expected .*TrainingArguments only"),
    ("learning_rate: 0.001\nnum_train_epochs: 3\nlr_scheduler: cosine\n", "x.yaml:3: lr_scheduler: expected "),
    ("model_name_or_path: a\nlearning_rate: 1e-4\nlr_scheduler_type: linear\nnum_warmup_steps: 5\nwith_tracking: true\ncheckpointing_steps: epoch\n",
     "x.yaml:4: num_warmup_steps: expected .*, found a key of another program"),
    ("model_type: qwen3\n", "x.yaml:1: model_type: .*found qwen3"),
    ("model_type: mixtral\n", "layers of experts"),
])  # fmt: skip
def test_a_file_that_cannot_be_read_is_refused_by_its_programs_name(text: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        read_recipe(text, name="x.yaml")


def test_mistral_and_qwen2_are_llamas_blocks_as_far_as_that_is_true() -> None:
    sizes = "hidden_size: 64\nnum_attention_heads: 4\nnum_hidden_layers: 2\nintermediate_size: 128\nvocab_size: 100\n"
    mistral = read_recipe(
        "model_type: mistral\nnum_key_value_heads: 2\nsliding_window: null\n" + sizes, name="config.json"
    )
    assert mistral.values["architecture.family"] == "llama"
    assert mistral.values["architecture.num_kv_heads"] == 2
    assert not any("window" in note for note in mistral.notes)
    windowed = read_recipe("model_type: mistral\nnum_key_value_heads: 2\n" + sizes, name="config.json")
    assert any("sliding_window is 4096" in note for note in windowed.notes)
    qwen = read_recipe("model_type: qwen2\nnum_key_value_heads: 4\n" + sizes, name="config.json")
    assert qwen.origins["architecture.bias"].kind == "unstated"
