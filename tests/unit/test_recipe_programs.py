"""Files of programs that are told apart: read by their own reader, or refused by their program's name and the reason."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
from recipe_samples import LLM_FOUNDRY, NANOTRON, TINYLLAMA
from releases.recipe_scripts import LEVANTER, NANO, OLMO_CORE, OPEN_LM_PARAMS, OPEN_LM_YAML

from openassay.faults import BadInput
from openassay.published.recipes import read_recipe
from openassay.training.language import ReadRecipe

NEOX = """num_layers: 4
hidden_size: 64
num_attention_heads: 8
seq_length: 128
max_position_embeddings: 128
pos_emb: rotary
train_iters: 100
optimizer: {type: Adam, params: {lr: 0.001, betas: [0.9, 0.95]}}
"""
SETTINGS = {
    "MaxText": "base_emb_dim: 64\nbase_num_decoder_layers: 2\ndecoder_block: llama2\nmodel_name_or_path: x\nbeta: 0.1\nlearning_rate: 1.e-4\nwarmup_ratio: 0.1\noutput_dir: x\n",
    "corenet": "taskname: lm\ncommon: {run_label: train}\ndataset: {category: language_modeling}\nmodel: {language_modeling: {name: general_gpt}}\noptim: {name: adamw, weight_decay: 0.1}\nscheduler: {name: cosine, max_iterations: 10}\n",
    "fairseq or metaseq": "task: {_name: language_modeling}\ncriterion: {_name: cross_entropy}\noptimization: {max_update: 10, lr: [0.1]}\n",
    "Cerebras model zoo 2": "trainer:\n  init:\n    model: {name: gpt3, hidden_size: 8}\n    loop: {max_steps: 3}\n",
    "OpenCLIP": "lr: 0.1\nwd: 0.1\nwarmup: 3\ntrain_num_samples: 4\nlr_cooldown_end: 0.0\nlock_image: false\n",
    "GPT-Neo": '{"n_embd": 8, "n_ctx": 4, "train_steps": 3, "mesh_shape": "x:1", "lr": 0.1}',
    "mesh-transformer-jax": '{"d_model": 8, "layers": 2, "pe": "rotary", "per_replica_batch": 1, "lr": 0.1}',
    "picotron": '{"distributed": {"tp_size": 1}, "training": {"learning_rate": 0.1}}',
    "gigaGPT": "backend: CSX\nwidth: 8\ndepth: 2\nheads: 2\nlearning_rate: 0.1\n",
    "NeMo RL": "policy: {model_name: x}\ngrpo: {num_prompts_per_step: 1}\ncluster: {num_nodes: 1}\n",
    "trlX": "method: {name: ppo}\ntrain: {seq_length: 4}\nmodel: {model_path: x}\noptimizer: {name: adamw}\n",
    "Meta Lingua": "model: {dim: 8}\noptim: {lr: 0.1}\ndata: {seq_len: 4}\nsteps: 5\n",
    "a speech program of transformers": "feature_extractor_name: x\nmodel_name_or_path: y\nlearning_rate: 0.1\nwarmup_steps: 3\n"
    "output_dir: z\nattn_implementation: eager\n",
    "Stanford's Mistral": "inherit: [a.yaml]\nartifacts: {run_dir: x}\n",
    "GPT-NeoX": "data_path: x\nvocab_file: y\nsave: z\n",
    "Composer": "max_duration: 3ba\noptimizer: {lr: 0.1}\ndataset: {name: x}\n",
    "Hydra": "defaults:\n  - model: small\nrun: 1\n",
    "Levanter": "cache_dir: x\ntokenizer: y\nconfigs: {a: {train_urls: []}}\n",
    "LLaMA-Factory": "model: x\nmodel_class: llm\ntrain_dataset: y\ncutoff_len: 8\nmicro_batch_size: 1\nmax_steps: 2\noutput_dir: z\nlearning_rate: 1.e-4\n",
    "PEFT": '{"peft_type": "LORA", "base_model_name_or_path": "x", "r": 8}',
    "Hugging Face's Trainer": '{"log_history": [], "global_step": 3}',
}  # fmt: skip
SCRIPTS = {
    "fairseq": ("a.sh", "#!/bin/bash\nfairseq-train data --lr 0.1 --max-update 5\n", 2),
    "metaseq": ("a.sh", "python -m metaseq.launcher.opt_baselines \\\n  --model-size 8m\n", 1),
    "LLaMA-Factory": ("a.sh", "llamafactory-cli train x.yaml\n", 1),
    "axolotl": ("a.sh", "accelerate launch -m axolotl.cli.train x.yml\n", 1),
    "torchtitan": ("a.py", "from torchtitan.config import JobConfig\nx = JobConfig()\n", 1),
    "Levanter": ("a.py", "# a comment: fairseq-train\nfrom experiments.llama import llama_1b\n", 2),
    "InternEvo or ColossalAI": ("a.py", "SEQ_LEN = 2048\nlr_scheduler = dict(total_steps=5)\n", 2),
    "xtuner": ("a.py", "from mmengine.config import read_base\nlr = 2e-5\n", 1),
    "transformers": ("a.py", "from transformers import Trainer\nargs = TrainingArguments(output_dir='x')\n", 2),
    "a command line": (
        "a.py",
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr', default=0.1)\n",
        2,
    ),
}


def read(text: str, name: str = "file.yaml") -> ReadRecipe:
    return read_recipe(text, name=name)


@pytest.mark.parametrize("program", SETTINGS)
def test_settings_of_programs_that_are_not_read_are_refused_by_name(program: str) -> None:
    with pytest.raises(
        BadInput, match=rf"^file\.yaml: {program}: expected a recipe that can be read, found its file, and"
    ):
        read(SETTINGS[program])


@pytest.mark.parametrize("program", SCRIPTS)
def test_scripts_of_programs_that_are_not_read_are_refused_by_name(program: str) -> None:
    name, text, line = SCRIPTS[program]
    with pytest.raises(
        BadInput, match=rf"^{name}:{line}: {program}: expected a recipe that can be read, found its words"
    ):
        read(text, name)


def test_a_script_of_an_unknown_program_is_refused_by_the_programs_name() -> None:
    text = "torchrun train/run_clm.py \\\n  --learning_rate 1e-4 --num_train_epochs 3\n"
    with pytest.raises(BadInput, match=r"a\.sh:2: .* found --learning_rate of run_clm\.py, whose options"):
        read(text, "a.sh")


def test_a_script_that_names_a_settings_file_says_which(tmp_path: Path) -> None:
    text = "accelerate launch \\\n  --config_file multi.yaml \\\n  src/train.py configs/sft.yaml\n"
    with pytest.raises(BadInput, match=r"a\.sh:3: .* found train\.py with configs/sft\.yaml; read that file"):
        read(text, "a.sh")


def test_newer_gpt_neox_states_its_heads_of_keys_and_takes_no_default_of_the_older() -> None:
    old, new = read(NEOX), read(f"{NEOX}num_kv_heads: 2\nuse_bias_in_attn_linear: false\nuse_bias_in_mlp: false\n")
    assert (old.values["architecture.num_kv_heads"], old.values["architecture.bias"]) == (8, True)
    assert old.origins["optimizer.eps"].kind == "code default"
    assert (new.values["architecture.num_kv_heads"], new.values["architecture.bias"]) == (2, False)
    assert new.values["learning_rate.peak"] == 0.001
    assert new.origins["initialisation.std"].kind == "unstated"
    for name in ("optimizer.eps", "clip_norm", "precision", "initialisation.method"):
        assert "num_kv_heads: a key of another version than v1.0" in new.origins[name].where
    assert read(f"{NEOX}lr_decay_style: cosine\n").values["learning_rate.form"] == "cosine_clamped"
    later = read(f"{NEOX}lr_decay_style: cosine\nnum_kv_heads: 2\n").origins["learning_rate.form"]
    assert (later.kind, "has changed after v1.0" in later.where) == ("unstated", True)
    one = read(f"{NEOX}use_bias_in_mlp: false\n")
    assert one.origins["architecture.bias"].kind == "unstated"


def test_gpt_neox_networks_that_are_no_transformer_of_full_attention_have_no_family() -> None:
    found = read(f'{NEOX}attention_config: [[["mamba"], 4]]\n')
    assert found.values["architecture.family"] is None
    assert any("layers of mamba" in note for note in found.notes)
    assert read(f'{NEOX}attention_config: [[["flash"], 4]]\n').values["architecture.family"] == "gpt_neox"
    gated = read(f"{NEOX}activation: swiglu\nintermediate_size: 256\n")
    assert (gated.values["architecture.activation"], gated.values["architecture.intermediate_size"]) == ("swiglu", None)
    assert any("experts" in note for note in read(f"{NEOX}moe_num_experts: 8\n").notes)


@pytest.mark.parametrize(
    "text",
    [
        "from __gin__ import dynamic_registration\nfrom t5x import utils\nTRAIN_STEPS = 5\n",
        "include 't5x/configs/runs/pretrain.gin'\nTRAIN_STEPS = 5\nnetwork.T5Config.emb_dim = 8\n",
        "VOCABULARY = @seqio.ByteVocabulary()\n",
        "network.T5Config:\n  emb_dim = 8\n",
        "include 't5x/examples/t5/base.gin'\n",
    ],
)
def test_t5x_is_not_read_with_the_defaults_of_mesh_tensorflow(tmp_path: Path, text: str) -> None:
    (tmp_path / "t5x/configs/runs").mkdir(parents=True)
    (tmp_path / "t5x/configs/runs/pretrain.gin").write_text("BATCH_SIZE = 4\n")
    (path := tmp_path / "a.gin").write_text(text)
    with pytest.raises(
        BadInput, match="T5X: expected the gin of Mesh TensorFlow's T5, whose defaults this reader knows"
    ):
        read_recipe(path)


def test_a_gin_file_without_a_key_of_t5_is_refused() -> None:
    for text in ("A = 3\nsome_function.b = 4\n", "decode_beam_size.beam_size = 4\nrun.mesh_shape = 'model:1'\n"):
        with pytest.raises(
            BadInput, match="expected keys of the network or the training of Mesh TensorFlow's T5, found"
        ):
            read(text, "a.gin")


def test_a_part_of_t5s_gin_takes_no_default_of_the_network() -> None:
    part = read("run.sequence_length = {'inputs': 1024, 'targets': 128}\n", "lengths.gin")
    assert (part.values["data.sequence_length"], part.values["architecture.hidden_size"]) == (1024, None)
    assert "no key of the network" in part.origins["architecture.hidden_size"].where
    assert read("d_model = 512\n", "model.gin").values["architecture.num_layers"] == 6


def test_levanters_includes_are_taken_in_or_named(tmp_path: Path) -> None:
    sections = dict(re.findall(r"^(\w+):\n((?:  .*\n)+)", LEVANTER, re.MULTILINE))
    optimizer = sections["optimizer"]
    text = LEVANTER.replace(f"optimizer:\n{optimizer}", "optimizer: !include parts/adam.yaml\n")
    text = text.replace(f"data:\n{sections['data']}", "data: !include parts/data.yaml\n")
    assert text.count("!include") == 2
    (path := tmp_path / "run.yaml").write_text(text)
    with pytest.raises(
        BadInput, match=r"run\.yaml:\d+: !include: expected parts/adam.yaml beside this file, found none"
    ):
        read_recipe(path)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/adam.yaml").write_text(textwrap.dedent(optimizer))
    found, plain = read_recipe(path), read(LEVANTER)
    assert found.values["learning_rate.peak"] == plain.values["learning_rate.peak"] is not None
    assert "adam.yaml:" in found.origins["learning_rate.peak"].where


def test_a_tag_of_another_program_stays_refused() -> None:
    with pytest.raises(BadInput, match="found the tag !include"):
        read("a: {b: !include x.yaml}\n")


def test_a_command_in_quotes_is_followed_line_by_line(tmp_path: Path) -> None:
    text = (
        "bcprun -p 8 -c 'python /mount/main.py \\\n--num-layers 80 \\\n--hidden-size 8192 \\\n--num-attention-heads 64 \\\n"
        "--lr 1.5e-4 \\\n--vocab-file <PATH TO vocab.json> \\\n--train-iters 338760\n'\n"
    )
    found = read(text, "train.sh")
    assert (found.values["architecture.num_layers"], found.values["steps"]) == (80, 338760)
    assert found.origins["learning_rate.peak"].where == "train.sh:5 lr"
    assert found.origins["learning_rate.first"].kind == found.origins["optimizer.eps"].kind == "unstated"


def test_a_fork_of_megatron_takes_no_default() -> None:
    text = (
        "python pretrain_gpt.py --num-layers 2 --hidden-size 64 --num-attention-heads 4 --lr 1e-4 --train-iters 10 "
        "--normalization rmsnorm"
    )
    plain = read(text, "a.sh")
    assert (plain.values["architecture.num_kv_heads"], plain.values["architecture.norm"]) == (4, "rms_norm")
    fork = read(f"{text} --attention-head-type multiquery", "a.sh")
    assert fork.values["architecture.num_kv_heads"] == 1
    assert "--attention-head-type is a flag of a fork" in fork.origins["optimizer.eps"].where
    assert read(f"{text} --xielu", "a.sh").origins["architecture.num_kv_heads"].kind == "unstated"
    with pytest.raises(BadInput, match="found pretrain_vision_dino.py, whose network is not a GPT"):
        read(text.replace("pretrain_gpt", "pretrain_vision_dino"), "a.sh")


def test_the_params_that_open_lm_writes(tmp_path: Path) -> None:
    (path := tmp_path / "params.txt").write_text(OPEN_LM_PARAMS)
    found = read_recipe(path)
    expected = {
        "steps": 800000 * 5 // 512, "tokens_total": 800000 * 5 * 2048, "batch_size": 512, "clip_norm": None, "precision": "bf16",
        "learning_rate.minimum": 3e-5, "learning_rate.form": "cosine_to_min", "learning_rate.first": None, "z_loss": 0.0,
        "architecture.norm": "rms_norm", "optimizer.weight_decay": 0.033, "data.seed": 124, "architecture.family": None,
    }  # fmt: skip
    assert {name: found.values[name] for name in expected} == expected
    assert (found.format, found.unknown) == ("open_lm_params", {})
    assert any("weights and moments kept in bfloat16" in note for note in found.notes)


def test_open_lms_settings_count_tokens_and_an_older_key_withholds_the_defaults() -> None:
    found = read(OPEN_LM_YAML)
    assert (found.values["tokens_total"], found.values["steps"], found.values["optimizer.eps"]) == (
        4_000_000,
        None,
        1e-8,
    )
    old = read(f"{OPEN_LM_YAML}batch-size: 16\nlr-scheduler: const\n")
    assert old.values["batch_size"] is old.values["optimizer.eps"] is old.values["tokens_total"] is None
    assert old.values["learning_rate.minimum"] == 3e-4
    with pytest.raises(BadInput, match="a.txt:1: expected a line"):
        read_recipe("# lr: 1\n", format="open_lm_params", name="a.txt")


def test_levanters_speech_networks_are_refused() -> None:
    with pytest.raises(BadInput, match="model.type: expected a language model, found whisper"):
        read(LEVANTER.replace("type: llama", "type: whisper"))


def test_nanogpts_constants_are_read_without_defaults() -> None:
    found = read(NANO, "train_small.py")
    expected = {
        "architecture.num_layers": 6, "architecture.hidden_size": 384, "architecture.hidden_dropout": 0.2, "data.sequence_length": 256,
        "learning_rate.peak": 1e-3, "learning_rate.minimum": 1e-4, "optimizer.betas": (0.9, 0.99), "clip_norm": None, "steps": 5000,
        "precision": "bf16", "batch_size": None, "optimizer.weight_decay": None, "learning_rate.form": None,
    }  # fmt: skip
    assert {name: found.values[name] for name in expected} == expected
    assert (found.format, found.unknown, found.origins["clip_norm"].kind) == ("nanogpt", {}, "stated")
    assert "does not name its program" in found.origins["optimizer.weight_decay"].where
    assert "12 x 40" in found.origins["batch_size"].where
    assert any("weights that another training left" in note for note in found.notes)
    constant = read(f"{NANO}decay_lr = False\n", "train_small.py")
    assert (constant.values["learning_rate.form"], constant.values["learning_rate.minimum"]) == ("constant", 1e-3)


def test_constants_of_a_program_are_not_its_configuration() -> None:
    with pytest.raises(
        BadInput, match="nanoGPT or alike: .* its constants are what a configuration or the command may change"
    ):
        read(f"{NANO}exec(open('configurator.py').read())\n", "train.py")
    with pytest.raises(BadInput, match=r"a\.py:2: PyTorch: .* a training that is code"):
        read("import torch\nopt = torch.optim.AdamW(net.parameters(), lr=3e-4)\n", "a.py")


def test_a_program_behind_an_unknown_folder_is_known_by_its_name() -> None:
    text = "dir=`pwd`\ndeepspeed ${dir}/../../%s --num-layers 2 --hidden-size 64 --num-attention-heads 4 --lr 1e-4 --train-iters 10\n"
    assert read(text % "pretrain_gpt.py", "a.sh").origins["optimizer.eps"].kind == "code default"
    with pytest.raises(BadInput, match="found pretrain_bert.py, whose network is not a GPT"):
        read(text % "pretrain_bert.py", "a.sh")
    prefix = read(text % "pretrain_prefix_lm.py", "a.sh")
    assert "pretrain_prefix_lm.py: its defaults are not known" in prefix.origins["optimizer.eps"].where


def test_a_part_of_gpt_neox_is_not_read_as_deepspeeds() -> None:
    text = "train_iters: 10\nzero_optimization: {stage: 1}\noptimizer: {type: Adam, params: {lr: 0.1}}\nfp16: {enabled: true}\n"
    with pytest.raises(BadInput, match="GPT-NeoX: .* a part without the network"):
        read(text)


def test_a_fork_of_llm_foundry_takes_no_default() -> None:
    found = read(LLM_FOUNDRY.replace("mpt_causal_lm", "mosaic_llama2_1.3b"))
    assert "mosaic_llama2_1.3b is no network of llm-foundry's" in found.origins["optimizer.not_decayed"].where
    assert found.values["learning_rate.peak"] == read(LLM_FOUNDRY).values["learning_rate.peak"] is not None
    assert not [name for name, one in found.origins.items() if one.kind == "code default"]


def test_a_schedule_of_a_fork_of_gpt_neox_is_unstated_and_takes_no_default() -> None:
    found = read(f"{NEOX}lr_decay_style: hybrid_cosine_inv_sqrt_2\nwarmup_iters: 9\nrotary_interleaved: true\n")
    assert (found.values["learning_rate.form"], found.values["learning_rate.warmup_steps"], found.values["steps"]) == (
        None,
        None,
        100,
    )
    assert "rotary_interleaved: a key of another version" in found.origins["optimizer.eps"].where


def test_olmos_experts_are_read_without_a_family() -> None:
    text = "model: {d_model: 64, n_layers: 2, n_heads: 4, block_type: moe, max_sequence_length: 128}\noptimizer: {name: adamw, learning_rate: 0.1}\n"
    found = read(text)
    assert (found.values["architecture.hidden_size"], found.values["architecture.family"]) == (64, None)
    assert found.values["architecture.intermediate_size"] is None
    assert any("layers of experts and their losses" in note for note in found.notes)
    with pytest.raises(BadInput, match="model.block_type: expected one of sequential, llama, moe"):
        read(text.replace("moe", "odd"))


def test_levanters_trainer_may_take_its_length_from_the_code() -> None:
    text = LEVANTER.replace("  num_train_steps: 10000\n", "").replace("  train_batch_size: 256\n", "")
    found = read(text)
    assert (found.format, found.values["steps"], found.origins["steps"].kind) == ("levanter", 400_000, "code default")


def test_a_shell_variable_is_no_constant_of_nanogpts() -> None:
    with pytest.raises(BadInput, match=r"a\.sh:2: .* found --learning_rate of sft\.py"):
        read("gradient_accumulation_steps=8\ntorchrun sft.py --learning_rate 1e-5\n", "a.sh")


def test_nanotrons_experts_leave_the_family_unstated() -> None:
    assert read(NANOTRON).values["architecture.family"] == "llama"
    found = read(NANOTRON.replace("    vocab_size", "    moe_config: {num_experts: 8}\n    vocab_size"))
    assert (found.values["architecture.family"], found.values["architecture.num_kv_heads"]) == (None, 2)
    assert "experts" in found.origins["architecture.family"].where


def test_a_network_of_olmo_core_that_is_changed_after_the_call_is_not_the_calls() -> None:
    call = "vocab_size=tokenizer.padded_vocab_size())"
    plain = read(OLMO_CORE, "a.py")
    scaled = read(OLMO_CORE.replace(call, f"{call}.with_rope_scaling(YaRNRoPEScalingConfig(factor=8))"), "a.py")
    names = ("architecture.hidden_size", "architecture.rotary_base", "architecture.family")
    assert [plain.values[name] for name in names] == [4096, 500000.0, "olmo2"]
    assert [scaled.values[name] for name in names] == [4096, None, None]
    assert any("rotary positions that are rescaled" in note for note in scaled.notes)
    other = read(OLMO_CORE.replace(call, f"{call}.with_something_else()"), "a.py")
    assert other.values["architecture.hidden_size"] is None


def test_tinyllamas_constants_may_continue_a_training() -> None:
    found = read(f"{TINYLLAMA}checkpoint_path = 'out/model.pth'\n", "tinyllama_code.py")
    assert any("weights that another training left" in note for note in found.notes)
    assert not found.unknown
