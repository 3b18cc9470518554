"""Published recipes: each value with where it comes from, every trap noted, nothing silently ignored, no traceback."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
import recipe_samples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from releases import pythia
from releases.recipe_scripts import SCRIPTS
from typer.testing import CliRunner

from openassay.cli import app
from openassay.faults import BadInput
from openassay.published.recipes import FORMATS, read_recipe, read_recipes
from openassay.published.recipes.draft import NAMES, complete
from openassay.records import to_plain
from openassay.training.batch import text_length
from openassay.training.language import ReadRecipe

NEOX = """{
  "pipe-parallel-size": 1,
  "model-parallel-size": 2,
  "num-layers": 6,
  "hidden-size": 512,
  "num-attention-heads": 8,
  "seq-length": 2048,
  "max-position-embeddings": 2048,
  "pos-emb": "rotary",
  "rotary-pct": 0.25,
  "no-weight-tying": true,
  "gpt-j-residual": true,
  "bias-gelu-fusion": true,
  "init_method": "small_init",
  "output_layer_init_method": "wang_init",
  "optimizer": {
    "type": "Adam",
    "params": {"lr": 0.001, "betas": [0.9, 0.95], "eps": 1.0e-8}
  },
  "min_lr": 0.0001,
  "zero_optimization": {"stage": 1, "cpu_offload": false},
  # batch size (trained on 64 gpus)
  "train_micro_batch_size_per_gpu": 16,
  "gradient_accumulation_steps": 2,
  "data-impl": "mmap",
  "gradient_clipping": 1.0,
  "weight-decay": 0.1,
  "hidden-dropout": 0,
  "attention-dropout": 0,
  "fp16": {"enabled": true, "loss_scale": 0, "initial_scale_power": 12, "hysteresis": 2},
  "train-iters": 143000,
  "lr-decay-iters": 143000,
  "lr-decay-style": "cosine",
  "warmup": 0.01,
  "checkpoint-factor": 1000,
  "extra-save-iters": [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512],
  "train-data-paths": ["/data/pile_text_document"],
  "tokenizer-type": "HFTokenizer",
  "vocab-file": "/data/20B_tokenizer.json",
}
"""

OLMO = """run_name: OLMo-1B
seed: 6198
model:
  d_model: 2048
  n_heads: 16
  n_layers: 16
  mlp_ratio: 8
  weight_tying: true
  rope: true
  attention_dropout: 0.0
  include_bias: false
  layer_norm_type: default
  layer_norm_with_affine: false
  activation_type: swiglu
  residual_dropout: 0.0
  embedding_dropout: 0.0
  max_sequence_length: 2048
  vocab_size: 50280
  embedding_size: 50304
  eos_token_id: 50279
  pad_token_id: 1
  init_fn: mitchell
optimizer:
  name: adamw
  learning_rate: 4.0e-4
  weight_decay: 0.1
  betas:
  - 0.9
  - 0.95
scheduler:
  name: cosine_with_warmup
  t_warmup: 2000
  alpha_f: 0.1
save_folder: ${path.choose:${oc.env:SCRATCH_DIR,no_exist}/checkpoints,/results}
save_interval: 1000
save_num_checkpoints_to_keep: 9
save_interval_unsharded: 10000
save_num_unsharded_checkpoints_to_keep: -1
max_duration: 739_328  # 3.1T tokens
global_train_batch_size: 2048
precision: amp_bf16
max_grad_norm: 1.0
eval_interval: ${save_interval}
data:
  drop_last: true
  paths:
    - https://data.example/part-000.npy
    - https://data.example/part-001.npy
"""

OLMO2 = """seed: 6198
model:
  d_model: 2048
  n_heads: 16
  n_layers: 16
  mlp_ratio: 8
  weight_tying: false
  rope: true
  rope_theta: 500000
  attention_dropout: 0.0
  include_bias: false
  layer_norm_type: rms
  layer_norm_eps: 1e-6
  attention_layer_norm: true
  norm_after: true
  activation_type: swiglu
  residual_dropout: 0.0
  embedding_dropout: 0.0
  max_sequence_length: 4096
  vocab_size: 100278
  embedding_size: 100352
  init_fn: normal
  init_std: 0.02
  init_cutoff_factor: 3
softmax_auxiliary_loss: true
auxiliary_loss_multiplier: 1e-5
optimizer:
  name: adamw
  learning_rate: 4.0e-4
  weight_decay: 0.1
  eps: 1e-8
  decay_norm_and_bias: true
  decay_embeddings: false
scheduler:
  name: cosine_with_warmup
  units: tokens
  t_warmup: 8388608000
  t_max: 5e12
  alpha_f: 0.1
  warmup_min_lr: 0.0
max_duration: 4e12T
global_train_batch_size: 512
precision: amp_bf16
max_grad_norm: 1.0
data:
  memmap_dtype: uint32
  instance_filter:
    repetition_max_period: 13
    repetition_min_period: 1
    repetition_max_count: 32
  paths: [a.npy]
"""

CRYSTAL = """
train_input:
    # Tokens: 119931863040
    data_processor: "GptHDF5MapDataProcessor"
    shuffle: False
    shuffle_seed: 1
    batch_size: 2112
    mixture:
    - data_dir: "/path/css"
      weight: 0.25
    - data_dir: "/path/python"
      weight: 0.75
      data_subset: 0.0-0.1
model:
    hidden_size: 4096
    position_embedding_type: "rotary"
    share_embedding_weights: True
    max_position_embeddings: 2048
    vocab_size: 32032
    num_hidden_layers: 32
    dropout_rate: 0.0
    layer_norm_epsilon: 1.0e-05
    num_heads: 32
    attention_dropout_rate: 0.0
    filter_size: 10922
    nonlinearity: "swiglu"
    use_ffn_bias: True
    embedding_initializer: {mean: 0.0, name: "truncated_normal", std: 0.073, a: -0.146, b: 0.146}
    initializer: {mean: 0.0, name: "truncated_normal", std: 0.01825, a: -0.0365, b: 0.0365}
    output_layer_initializer: {mean: 0.0, name: "truncated_normal", std: 0.00228125, a: -0.0045625, b: 0.0045625}
    mixed_precision: True
    use_bfloat16: True
    output_logits_scale: 0.13875
    scale_qk_dot_by_d: True
    embeddings_scale: 14.6
    rotary_dim: 32
optimizer:
    optimizer_type: "AdamW"
    beta1: 0.9
    beta2: 0.95
    eps: 1.0e-09
    max_gradient_norm: 1.0
    learning_rate:
    - scheduler: "Linear"
      initial_learning_rate: 0.0
      end_learning_rate: 0.002
      steps: 276
    - scheduler: "Linear"
      initial_learning_rate: 0.002
      end_learning_rate: 0.0002
      decay_steps: 27452 # 27590 - 138
    weight_decay_rate: 0.1
    adjust_learning_rate:
        decoder_kernel: 0.0625
runconfig:
    max_steps: 27728
    checkpoint_steps: 1000
    is_pretrained_checkpoint: True
    mgmt_namespace: rel-191-g42
"""

AMBER = """
import torch
MODEL_SIZE = '7b'
HF_MODEL_NAME_OR_PATH = f'huggyllama/llama-{MODEL_SIZE}'
LEARNING_RATE = 3e-4
LR_SCHEDULE_TYPE = 'cosine'
END_LEARNING_RATE = 3e-5
WARMUP_GRAD_STEPS = 2000
GRAD_NORM_CLIP = 1.
WEIGHT_DECAY = 0.1
BETA1 = 0.9
BETA2 = 0.95
PRECISION = 'bf16-mixed'
RANDOM_SEED = 11111
TRAIN_DATA_DIR = './data'
TRAIN_EXAMPLES_PER_CHUNK = 1706976
N_CHUNKS = 360
SURPRISE = open('/etc/passwd').read()


def main(n_nodes=1, n_devices_per_node=4, per_device_batch_size=10, accumulate_grad_batches=1, run_wandb=False):
    raise SystemExit('this file is never run')
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, betas=(BETA1, BETA2))
"""

GIN = {
    "models/bi_bert_base.gin": 'utils.run.model_type = "bitransformer"\nd_model = 768\nnum_layers = 12\nd_ff = 3072\nnum_heads = 12\nd_kv = 64\n',
    "models/bi_v1.gin": "include 'models/bi_bert_base.gin'\n# a comment\ntransformer.Unitransformer.positional_embedding = False\n"
    'transformer_layers.SelfAttention.relative_attention_type = "bias_shared"\n',
    "models/t5.1.1.small.gin": "include 'models/bi_v1.gin'\nd_model = 512\nd_ff = 1024\nnum_layers = 8\nnum_heads = 6\n"
    'DenseReluDense.activation = ["gelu", "linear"]\ndropout_rate = 0.0\nUnitransformer.shared_embedding_and_softmax_weights = False\n'
    "utils.tpu_mesh_shape.model_parallelism = 2\n",
    "run.gin": "import mesh_tensorflow.optimize\ninclude 'models/t5.1.1.small.gin'\ninclude 'span.gin'\nutils.run.batch_size = ('tokens_per_batch', 65536)\n"
    "utils.run.train_steps = 524288\nMIXTURE_NAME = 'c4_v220_span_corruption'\n"
    "utils.run.learning_rate_schedule = @learning_rate_schedules.learning_rate_schedule_noam\n"
    "learning_rate_schedule_noam.linear_decay_fraction = 0.0\nsurprise.key = %nowhere\n",
    "span.gin": "inputs_length = 512\nnoise_density = 0.15\npreprocessors.denoise.noise_density = %noise_density\nmean_noise_span_length = 3.0\n"
    "preprocessors.denoise.noise_mask_fn = @preprocessors.random_spans_noise_mask\n"
    "preprocessors.random_spans_noise_mask.mean_noise_span_length = %mean_noise_span_length\n"
    "targets_length = @preprocessors.random_spans_targets_length()\n"
    'utils.run.sequence_length = {"inputs": %inputs_length,\n  "targets": %targets_length}\n',
}

LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 11008,
    "max_position_embeddings": 2048, "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
    "rope_scaling": None, "rope_theta": 500000.0, "tie_word_embeddings": False, "torch_dtype": "float16", "use_cache": True,
    "vocab_size": 32000, "surprise": 1,
}  # fmt: skip
PYTHIA_HF = {
    "model_type": "gpt_neox", "hidden_act": "gelu", "hidden_size": 512, "intermediate_size": 2048, "layer_norm_eps": 1e-05,
    "max_position_embeddings": 2048, "num_attention_heads": 8, "num_hidden_layers": 6, "rotary_emb_base": 10000, "rotary_pct": 0.25,
    "tie_word_embeddings": False, "use_parallel_residual": True, "vocab_size": 50304,
}  # fmt: skip
T5_HF = {
    "model_type": "t5", "d_ff": 2048, "d_kv": 64, "d_model": 512, "dropout_rate": 0.1, "feed_forward_proj": "gated-gelu", "num_layers": 6,
    "num_heads": 8, "n_positions": 512, "relative_attention_num_buckets": 32, "vocab_size": 32128, "layer_norm_epsilon": 1e-06,
}  # fmt: skip
ARGUMENTS = {
    "output_dir": "out", "learning_rate": 0.0003, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 8, "world_size": 2, "max_steps": 1000,
    "lr_scheduler_type": "cosine", "warmup_ratio": 0.0333, "weight_decay": 0.01, "adam_beta1": 0.9, "adam_beta2": 0.95, "bf16": True, "max_grad_norm": 0,
    "save_steps": 250, "logging_steps": 10, "seed": 7, "adam_epsilon": 1e-8, "optim": "adamw_torch", "surprise": True,
}  # fmt: skip


@pytest.fixture
def gin(tmp_path: Path) -> Path:
    for name, text in GIN.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def holds(found: ReadRecipe, expected: dict[str, object]) -> None:
    for name, value in expected.items():
        assert found.values[name] == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value), name


def noted(found: ReadRecipe, words: str) -> bool:
    return any(re.search(words, note) for note in found.notes)


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


# GPT-NeoX --------------------------------------------------------------------------------------------------------------


def test_a_gpt_neox_file_becomes_the_canonical_recipe() -> None:
    found = read_recipe(NEOX, name="pythia.yml")
    holds(found, {
        "architecture.family": "gpt_neox", "architecture.vocab_size": 50432, "architecture.intermediate_size": 2048,
        "architecture.rotary_share": 0.25, "architecture.parallel_residual": True, "architecture.bias": True,
        "architecture.tied_embeddings": False, "architecture.norm_eps": 1e-5, "architecture.activation": "gelu_tanh",
        "initialisation.std": math.sqrt(2 / (5 * 512)), "initialisation.output_std": 2 / 6 / math.sqrt(512),
        "optimizer.name": "adamw", "optimizer.betas": (0.9, 0.95), "optimizer.eps": 1e-8, "optimizer.not_decayed": ("bias", "norm"),
        "learning_rate.form": "cosine_clamped", "learning_rate.peak": 0.001, "learning_rate.minimum": 0.0001,
        "learning_rate.warmup_steps": 1430, "learning_rate.decay_steps": 143000, "learning_rate.first": "zero",
        "data.sequence_length": 2048, "data.item_length": 2049, "data.order": "megatron_shuffled", "data.seed": 1234,
        "batch_size": 1024, "steps": 143000, "tokens_total": 299892736000, "clip_norm": 1.0, "precision": "fp16", "loss_scale": 4096.0,
    })  # fmt: skip
    assert found.unknown == {}
    assert found.missing == ()
    assert found.recipe is not None
    assert found.recipe.learning_rate.warmup_steps == 1430
    checkpoints = found.recipe.checkpoints
    assert len(checkpoints) == 154
    assert checkpoints[:12] == (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
    assert checkpoints[-1] == 143000


def test_every_value_says_where_it_comes_from() -> None:
    found = read_recipe(NEOX, name="pythia.yml")
    assert set(found.values) == set(found.origins) == set(NAMES)
    assert found.origins["learning_rate.minimum"].kind == "stated"
    assert found.origins["learning_rate.minimum"].where == "pythia.yml:20 min_lr"
    assert found.origins["data.seed"].kind == "code default"
    assert "gpt-neox@71df4d5017f9f4919566a11454fe3a507ffdc632" in found.origins["data.seed"].where
    assert "pythia.yml:22 comment" in found.origins["batch_size"].where
    assert found.origins["architecture.vocab_size"].kind == "derived"
    assert "50277 entries" in found.origins["architecture.vocab_size"].where
    assert found.ignored["zero_optimization"] == "pythia.yml:21: parallelism"


def test_a_gpt_neox_batch_is_unstated_without_the_number_of_devices() -> None:
    found = read_recipe(changed(NEOX, "(trained on 64 gpus)", ""), name="pythia.yml")
    assert found.values["batch_size"] is None
    assert found.origins["batch_size"].kind == "unstated"
    assert found.missing == ("batch_size",)
    assert found.recipe is None


def test_gas_is_overwritten_and_its_contradiction_noted() -> None:
    text = changed(NEOX, '"gradient_accumulation_steps": 2', '"gas": 2')
    found = read_recipe(text, name="pythia.yml")
    assert found.values["batch_size"] == 512
    assert noted(found, "overwrites gas by gradient_accumulation_steps, which is 1")
    agrees = read_recipe(changed(NEOX, '"gradient_accumulation_steps": 2', '"gas": 1'), name="pythia.yml")
    assert not noted(agrees, "gas")


def test_two_spellings_of_one_key_are_at_odds() -> None:
    found = read_recipe(changed(NEOX, '"num-layers": 6,', '"num-layers": 6,\n"num_layers": 7,'), name="pythia.yml")
    assert found.values["architecture.num_layers"] == 7
    assert noted(found, r"pythia.yml:5: num_layers is also given as num-layers on line 4; NeoX takes the last")


def test_a_float_that_yaml_1_1_reads_as_text_is_read_and_noted() -> None:
    found = read_recipe(changed(NEOX, '"lr": 0.001', '"lr": 6e-4'), name="pythia.yml")
    assert found.values["learning_rate.peak"] == 6e-4
    assert noted(found, r"pythia.yml:18: optimizer.params.lr: 6e-4 is text to a YAML 1.1 loader")
    quoted = read_recipe(changed(NEOX, '"lr": 0.001', '"lr": "6e-4"'), name="pythia.yml")
    assert noted(quoted, "6e-4 is quoted")


def test_missing_init_keys_take_the_codes_defaults() -> None:
    found = read_recipe(
        NEOX.replace('  "init_method": "small_init",\n', "").replace('  "output_layer_init_method": "wang_init",\n', "")
    )
    holds(
        found,
        {
            "initialisation.method": "normal",
            "initialisation.std": 0.02,
            "initialisation.output_std": 0.02 / math.sqrt(12),
        },
    )


def test_heads_that_cannot_share_a_width_are_noted_not_refused() -> None:
    found = read_recipe(changed(NEOX, '"num-attention-heads": 8', '"num-attention-heads": 9'))
    assert found.values["architecture.num_heads"] == 9
    assert noted(found, "9 heads cannot share a width of 512")


def test_neoxs_linear_decay_has_no_canonical_name() -> None:
    found = read_recipe(changed(NEOX, '"cosine"', '"linear"'))
    assert found.values["learning_rate.form"] is None
    assert "learning_rate.form" in found.missing
    assert noted(found, "min_lr as a floor")


def test_a_split_matters_only_where_one_path_serves_all_three() -> None:
    found = read_recipe(NEOX)
    assert found.values["data.split"] is None
    assert noted(found, "no split, and asks for 1.005 times")
    single = read_recipe(changed(NEOX, '"train-data-paths": ["/data/pile_text_document"]', '"data-path": "/data/pile"'))
    assert single.values["data.split"] == "969, 30, 1"
    assert single.values["data.files"] == ("/data/pile",)


# OLMo ------------------------------------------------------------------------------------------------------------------


def test_an_olmo_file_becomes_the_canonical_recipe() -> None:
    found = read_recipe(OLMO, name="olmo.yaml")
    holds(found, {
        "architecture.family": "olmo", "architecture.vocab_size": 50304, "architecture.intermediate_size": 8192,
        "architecture.norm": "layer_norm_without_weights", "architecture.norm_eps": 1e-5, "architecture.rotary_share": 1.0,
        "architecture.tied_embeddings": True, "architecture.bias": False, "initialisation.method": "mitchell",
        "initialisation.truncated_at": 3.0, "optimizer.eps": 1e-5, "optimizer.betas": (0.9, 0.95),
        "optimizer.not_decayed": ("bias", "norm", "embedding"), "learning_rate.form": "cosine_to_min",
        "learning_rate.minimum": 4e-5, "learning_rate.warmup_steps": 2000, "learning_rate.warmup_minimum": 4e-5,
        "learning_rate.decay_steps": 739328, "learning_rate.first": "one_step", "data.item_length": 2048,
        "data.order": "olmo_shuffled", "data.seed": 6198, "data.token_type": "uint16", "batch_size": 2048, "steps": 739328,
        "tokens_total": 3100966387712, "precision": "bf16", "clip_norm": 1.0, "z_loss": 0.0,
    })  # fmt: skip
    assert found.recipe is not None
    assert found.unknown == {}
    assert noted(found, "epsilon is 1e-5, not the usual 1e-8")
    assert noted(found, "starts at a tenth of the peak")
    assert noted(found, "continues for 10 updates")
    assert found.values["checkpoints"] == tuple(range(10000, 739329, 10000))


def test_an_olmo_2_file_counts_its_schedule_in_tokens() -> None:
    found = read_recipe(OLMO2, name="olmo2.yaml")
    holds(found, {
        "architecture.family": "olmo2", "architecture.norm": "rms_norm", "architecture.norm_eps": 1e-6, "architecture.qk_norm": True,
        "architecture.rotary_base": 500000, "learning_rate.warmup_steps": 4000, "learning_rate.decay_steps": 5e12 / 2097152,
        "learning_rate.warmup_minimum": 0.0, "steps": 1907349, "tokens_total": 4000000000000, "z_loss": 1e-5,
        "optimizer.not_decayed": ("embedding",), "optimizer.eps": 1e-8, "data.token_type": "uint32",
        "data.repetition_filter": (1, 13, 32), "initialisation.truncated_at": 3,
    })  # fmt: skip
    assert noted(found, "olmo2.yaml:38: scheduler.t_max: 5e12 is text to a YAML 1.1 loader")
    assert found.recipe is not None


def test_the_parts_of_swiglu_are_halves_of_what_mlp_ratio_says() -> None:
    assert read_recipe(OLMO).values["architecture.intermediate_size"] == 8192
    both = changed(OLMO, "mlp_ratio: 8", "mlp_hidden_size: 22016")
    assert read_recipe(both).values["architecture.intermediate_size"] == 11008
    assert read_recipe(changed(OLMO, "swiglu", "gelu")).values["architecture.intermediate_size"] == 16384


@pytest.mark.parametrize(
    ("duration", "steps", "decay"),
    [
        ("max_duration: 739_328", 739328, 739328),
        ("max_duration: '1000'", 1000, 1000),
        ("max_duration: 2e12T", 476838, 476838),
        ("max_duration: 1ep", None, None),
        ("max_duration: 1ep\nstop_at: 406_934", 406934, None),
        ("max_duration: 100\nstop_at: 50", 50, 100),
    ],
)
def test_a_duration_is_updates_tokens_or_epochs(duration: str, steps: int | None, decay: int | None) -> None:
    found = read_recipe(changed(OLMO, "max_duration: 739_328  # 3.1T tokens", duration))
    assert found.values["steps"] == steps
    assert found.values["learning_rate.decay_steps"] == decay


def test_a_comment_that_contradicts_the_duration_is_noted() -> None:
    assert not noted(read_recipe(OLMO), "the comment says")
    found = read_recipe(changed(OLMO, "# 3.1T tokens", "# 2T tokens"), name="olmo.yaml")
    assert noted(found, "olmo.yaml:39: the comment says 2T tokens, the values give 3100966387712")


def test_clipping_may_be_looser_at_first() -> None:
    text = changed(
        OLMO, "  alpha_f: 0.1", "  alpha_f: 0.1\n  grad_clip_warmup_steps: 1000\n  grad_clip_warmup_factor: 10.0"
    )
    holds(read_recipe(text), {"clip_warmup_steps": 1000, "clip_warmup_factor": 10.0})


def test_olmos_own_optimizer_and_divisor_are_read() -> None:
    found = read_recipe(changed(OLMO, "  name: adamw\n", "  name: lionw\n"))
    holds(found, {"optimizer.name": "lion", "optimizer.eps": None, "loss_divisor": "tokens"})
    assert found.recipe is not None
    found = read_recipe(changed(OLMO, "  name: adamw\n", ""))
    assert found.origins["optimizer.name"].kind == "code default"
    assert noted(found, "LionW")


def test_schedules_without_a_floor_have_none() -> None:
    for name, least in (("constant_with_warmup", 4e-4), ("inverse_sqrt_with_warmup", 0.0)):
        found = read_recipe(changed(OLMO, "  name: cosine_with_warmup", f"  name: {name}"))
        assert found.values["learning_rate.minimum"] == least
        assert found.values["learning_rate.warmup_minimum"] == pytest.approx(4e-5)


def test_a_config_beside_it_adds_nothing_that_olmos_code_decided(tmp_path: Path) -> None:
    """Dropout is 0.1 in OLMo's code unless stated; the converted model's config.json says 0, and how it would be drawn anew."""
    (tmp_path / "olmo.yaml").write_text(
        changed(OLMO, "  attention_dropout: 0.0\n", "").replace("  init_std: 0.02\n", "")
    )
    values = {"model_type": "olmo", "attention_dropout": 0.0, "initializer_range": 0.5, "hidden_size": 1024}
    (tmp_path / "config.json").write_text(json.dumps(values))
    for order in (("olmo.yaml", "config.json"), ("config.json", "olmo.yaml")):
        found = read_recipes([tmp_path / name for name in order])
        holds(found, {"architecture.attention_dropout": 0.1, "architecture.hidden_size": 2048})
        assert found.values["initialisation.std"] != 0.5
        assert found.recipe is not None
        assert noted(found, "config.json:1 attention_dropout says 0.0; the first counts")
        assert noted(found, "config.json:1 hidden_size says 1024; the first counts")


# CrystalCoder ----------------------------------------------------------------------------------------------------------


def test_a_cerebras_file_becomes_the_canonical_recipe() -> None:
    found = read_recipe(CRYSTAL, name="params.yaml")
    holds(found, {
        "architecture.rotary_share": 0.25, "architecture.intermediate_size": 10922, "architecture.activation": "swiglu",
        "architecture.embedding_scale": 14.6, "architecture.logits_scale": 0.13875, "architecture.attention_scale": "inverse",
        "optimizer.lr_multipliers": {"decoder_kernel": 0.0625}, "optimizer.eps": 1e-9, "initialisation.std": 0.01825,
        "initialisation.embedding_std": 0.073, "initialisation.output_std": 0.00228125, "initialisation.truncated_at": 2.0,
        "learning_rate.form": "linear", "learning_rate.peak": 0.002, "learning_rate.minimum": 0.0002,
        "learning_rate.warmup_steps": 276, "learning_rate.decay_steps": 27728, "batch_size": 2112, "steps": 27728,
        "tokens_total": 119934025728, "precision": "bf16", "data.seed": 1, "data.order": "unknown",
    })  # fmt: skip
    assert found.unknown == {}
    assert noted(found, "params.yaml:3: the comment says 119931863040 tokens, the values give 119934025728")
    assert noted(found, "the comment says 27590 - 138, the values are max_steps 27728 and warm-up 276")
    assert noted(found, "data_subset 0.0-0.1")
    assert noted(found, "a checkpoint of another training")


def test_a_schedule_that_is_cut_short_is_noted() -> None:
    found = read_recipe(changed(CRYSTAL, "max_steps: 27728", "max_steps: 10000"))
    assert found.values["learning_rate.decay_steps"] == 27728
    assert noted(found, "training ends at update 10000, before the schedule does at 27728")


def test_weights_of_a_mixture_that_do_not_sum_to_one_are_noted() -> None:
    assert noted(read_recipe(changed(CRYSTAL, "weight: 0.25", "weight: 0.2")), "the weights sum to 0.95, not to 1")


def test_pieces_that_do_not_join_have_no_canonical_form() -> None:
    found = read_recipe(changed(CRYSTAL, "initial_learning_rate: 0.002", "initial_learning_rate: 0.001"))
    assert found.values["learning_rate.form"] is None


def test_a_preparation_states_its_part() -> None:
    found = read_recipe("setup:\n  output_dir: out\nprocessing:\n  eos_id: 2\n  max_seq_length: 2048\n  seed: 45\n")
    holds(found, {"data.sequence_length": 2048, "data.eos_token_id": 2, "data.files": ("out",)})
    assert found.recipe is None


# Amber -----------------------------------------------------------------------------------------------------------------


def test_ambers_constants_are_read_and_its_code_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(AMBER)
    (tmp_path / "run.sh").write_text("#SBATCH --nodes=56\nsrun python main.py --n_nodes 56 --run_wandb\n")
    found = read_recipe(tmp_path / "main.py")
    holds(found, {
        "architecture.family": "llama", "architecture.hidden_size": 4096, "architecture.intermediate_size": 11008,
        "learning_rate.peak": 3e-4, "learning_rate.minimum": 3e-5, "learning_rate.warmup_steps": 2000,
        "learning_rate.decay_steps": 274320, "optimizer.betas": (0.9, 0.95), "optimizer.eps": 1e-8, "optimizer.not_decayed": (),
        "batch_size": 2240, "steps": 274320, "data.item_length": 2049, "data.order": "unknown", "data.seed": 11111,
        "precision": "bf16",
    })  # fmt: skip
    assert found.recipe is not None
    assert list(found.unknown) == ["SURPRISE"]
    assert noted(found, "96 items of each chunk are never trained on")
    assert "run.sh:2 n_nodes" in found.origins["batch_size"].where


def test_a_chunk_smaller_than_a_batch_makes_no_update(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(changed(AMBER, "1706976", "1000"))
    (tmp_path / "run.sh").write_text("srun python main.py --n_nodes 56\n")
    holds(read_recipe(tmp_path / "main.py"), {"batch_size": 2240, "steps": 0, "checkpoints": ()})


def test_a_large_seed_in_quotes_keeps_its_last_digit() -> None:
    assert read_recipe(changed(OLMO, "seed: 6198", "seed: '9007199254740993'")).values["data.seed"] == 2**53 + 1


def test_without_run_sh_ambers_batch_is_unstated() -> None:
    found = read_recipe(AMBER, name="main.py")
    assert found.values["batch_size"] is None
    assert noted(found, "run.sh")


# T5 --------------------------------------------------------------------------------------------------------------------


def test_gin_files_are_read_with_their_includes_and_macros(gin: Path) -> None:
    found = read_recipe(gin / "run.gin")
    holds(found, {
        "architecture.family": "t5", "architecture.hidden_size": 512, "architecture.intermediate_size": 1024,
        "architecture.num_layers": 8, "architecture.num_heads": 6, "architecture.head_size": 64, "architecture.activation": "geglu",
        "architecture.tied_embeddings": False, "architecture.hidden_dropout": 0.0, "architecture.vocab_size": 32128,
        "architecture.relative_buckets": 32, "optimizer.name": "adafactor", "learning_rate.form": "inverse_sqrt",
        "learning_rate.warmup_steps": 10000, "learning_rate.peak": 0.01, "batch_size": 128, "steps": 524288,
        "data.sequence_length": 512, "data.target_length": 114, "data.noise_density": 0.15, "data.mean_noise_span": 3.0,
        "data.item_length": 568, "data.first_sentinel": 32099, "learning_rate.warmup_minimum": 0.01, "loss_divisor": "tokens",
        "data.files": ("c4_v220_span_corruption",),
    })  # fmt: skip
    assert found.recipe is not None
    assert found.origins["architecture.head_size"].where.endswith("bi_bert_base.gin:6 d_kv")
    assert found.origins["architecture.hidden_size"].where.endswith("t5.1.1.small.gin:2 d_model")
    assert list(found.unknown) == ["surprise.key"]
    assert noted(found, "the macro %nowhere is defined nowhere")


def test_t5_without_a_schedule_decays_to_zero_at_the_end(gin: Path) -> None:
    found = read_recipe(gin / "models" / "t5.1.1.small.gin")
    assert found.values["learning_rate.form"] is None
    assert noted(found, "a linear fall to 0 over the last 0.1")


def test_a_constant_rate_of_fine_tuning(gin: Path) -> None:
    text = "import x\nlearning_rate_schedules.constant_learning_rate.learning_rate = 0.001\nrun.learning_rate_schedule = @learning_rate_schedules.constant_learning_rate\n"
    holds(read_recipe(text, "t5_gin"), {"learning_rate.form": "constant", "learning_rate.peak": 0.001})


def test_targets_are_as_long_as_the_span_corruption_makes_them() -> None:
    assert text_length(512, 0.15, 3.0) == (568, 114)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("include 'a.gin'", "include: expected a file on disk beside a.gin, found bare text"),
        ("include '../a.gin'", "expected a file's relative name in quotes"),
        ("a = [1, 2", "1: expected the end of the statement"),
        ("a = 'x", "1: expected a closing quote"),
        ("a = 1 2", "1: a: expected one value"),
        ("a = b\nc", "1: expected a gin value, found b"),
        ("nothing here", "1: expected a gin binding"),
        ("a = {1 2}", "1: expected a colon after a key"),
        (
            "a = [1, 1]\n"
            + "\n".join(f"{b} = [{', '.join(['%' + a] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
            "expected at most 200000 values, found more",
        ),
        ("a = %b\nb = %a\nd = 1", "expected a macro with a value, found %a in a circle"),
        ("a = " + "[" * 50 + "]" * 50, "expected a gin value, found [[["),
        ("a = 1]", "expected matching brackets"),
        ("d_model = 'wide'", "1: d_model: expected a number, found wide"),
        ("run.batch_size = ('tokens_per_batch', 1000)", "expected a multiple of the longest sequence, 512, found 1000"),
    ],
)
def test_gin_that_cannot_be_read_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(BadInput, match=re.escape(says)) as error:
        read_recipe(text, "t5_gin")
    assert "\n" not in str(error.value)


def test_an_include_in_a_circle_or_of_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.gin").write_text("include 'a.gin'\n")
    with pytest.raises(BadInput, match="a circle"):
        read_recipe(tmp_path / "a.gin")
    (tmp_path / "b.gin").write_text("\ninclude 'c.gin'\n")
    with pytest.raises(BadInput, match=r"b.gin:2: include: expected c.gin beside this file, found none"):
        read_recipe(tmp_path / "b.gin")


# Hugging Face ----------------------------------------------------------------------------------------------------------


def test_a_config_json_says_the_network() -> None:
    found = read_recipe(json.dumps(LLAMA, indent="\t"), name="config.json")
    holds(found, {
        "architecture.family": "llama", "architecture.num_kv_heads": 8, "architecture.activation": "swiglu", "architecture.norm": "rms_norm",
        "architecture.norm_eps": 1e-5, "architecture.rotary_base": 500000.0, "architecture.bias": False, "data.eos_token_id": 2,
    })  # fmt: skip
    assert found.format == "hf_config"
    assert list(found.unknown) == ["surprise"]
    assert found.recipe is None
    assert "optimizer.name" in found.missing
    assert not noted(found, "YAML 1.1")  # a float of JSON needs no point
    neox = read_recipe(json.dumps(PYTHIA_HF))
    holds(
        neox,
        {
            "architecture.rotary_share": 0.25,
            "architecture.activation": "gelu",
            "architecture.bias": True,
            "architecture.norm": "layer_norm",
        },
    )
    t5 = read_recipe(json.dumps(T5_HF))
    holds(t5, {"architecture.head_size": 64, "architecture.activation": "geglu", "architecture.tied_embeddings": True})
    olmo = read_recipe(
        json.dumps({"model_type": "olmo2", "hidden_size": 64, "num_attention_heads": 4, "rms_norm_eps": 1e-6})
    )
    holds(
        olmo,
        {
            "architecture.qk_norm": True,
            "architecture.norm": "rms_norm",
            "architecture.norm_eps": 1e-6,
            "architecture.vocab_size": 50304,
        },
    )
    first = read_recipe(
        json.dumps(
            {"model_type": "hf_olmo", "d_model": 64, "n_heads": 4, "n_layers": 2, "mlp_ratio": 8, "embedding_size": 128}
        )
    )
    holds(first, {"architecture.family": "olmo", "architecture.intermediate_size": 256, "architecture.vocab_size": 128})
    crystal = {"model_type": "crystalcoder", "n_embd": 4096, "n_head": 32, "n_layer": 32, "rotary_dim": 32, "position_embedding_type": "rotary",
               "mup_output_alpha": 2.22, "mup_width_scale": 0.0625, "mup_scale_qk_dot_by_d": True}  # fmt: skip
    holds(read_recipe(json.dumps(crystal)), {"architecture.logits_scale": 0.13875, "architecture.rotary_share": 0.25})
    narrow = read_recipe(json.dumps(crystal | {"n_embd": 8}))
    assert narrow.values["architecture.rotary_share"] is None
    assert noted(narrow, "32 heads cannot share a width of 8")


def test_training_arguments_say_optimizer_and_schedule() -> None:
    found = read_recipe(json.dumps(ARGUMENTS), name="training_args.json")
    holds(found, {
        "optimizer.name": "adamw", "optimizer.betas": (0.9, 0.95), "optimizer.eps": 1e-8, "learning_rate.form": "cosine_to_min",
        "learning_rate.warmup_steps": 34, "learning_rate.decay_steps": 1000, "learning_rate.minimum": 0.0, "batch_size": 64, "steps": 1000,
        "clip_norm": None, "precision": "bf16", "data.seed": 7, "checkpoints": (250, 500, 750, 1000),
    })  # fmt: skip
    assert found.origins["clip_norm"].kind == "stated"
    assert list(found.unknown) == ["surprise"]
    epochs = read_recipe(
        json.dumps(
            {"num_train_epochs": 3, "learning_rate": 1e-4, "warmup_ratio": 0.1, "per_device_train_batch_size": 2}
        )
    )
    assert epochs.values["steps"] is epochs.values["learning_rate.warmup_steps"] is epochs.values["batch_size"] is None
    both = read_recipe(json.dumps(ARGUMENTS | {"warmup_steps": 10}))
    assert both.values["learning_rate.warmup_steps"] == 10
    assert noted(both, "warmup_steps beside it takes precedence")


# Nothing silently, nothing badly ---------------------------------------------------------------------------------------

SAMPLES = {
    "gpt_neox": NEOX, "olmo": OLMO, "cerebras": CRYSTAL, "amber": AMBER, "t5_gin": GIN["models/bi_bert_base.gin"] + GIN["span.gin"],
    "hf_config": json.dumps(LLAMA, indent=1), "hf_arguments": json.dumps(ARGUMENTS, indent=1),
    "cerebras_preparation": "setup:\n  output_dir: out\nprocessing:\n  eos_id: 2\n", **recipe_samples.FURTHER,
    **SCRIPTS,
}  # fmt: skip


def test_every_format_has_a_sample_here() -> None:
    assert {one.name for one in FORMATS} == set(SAMPLES)


@pytest.mark.parametrize("name", ["gpt_neox", "olmo", "cerebras"])
def test_an_unknown_key_is_listed_with_its_line(name: str) -> None:
    text = SAMPLES[name]
    lines = text.split("\n")
    found = read_recipe(
        "\n".join([lines[0], '"surprise": 1,' if name == "gpt_neox" else "surprise: 1", *lines[1:]]), name="file.yaml"
    )
    assert found.unknown == {"surprise": "file.yaml:2"}
    inner = changed(NEOX, '"type": "Adam",', '"type": "Adam", "wonder": {"of": 3},')
    assert read_recipe(inner, name="file.yaml").unknown == {"optimizer.wonder.of": "file.yaml:17"}


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_format_is_recognised_whatever_the_file_is_called(name: str) -> None:
    assert read_recipe(SAMPLES[name], name="recipe.txt").format == name
    assert read_recipe(SAMPLES[name], name="recipe").values == read_recipe(SAMPLES[name], name, name="recipe").values


def test_yaml_1_1_is_allowed_what_it_allows() -> None:
    text = changed(OLMO, "include_bias: false", "include_bias: no").replace("rope: true", "rope: on")
    text = "defaults: &usual\n  d_model: 2048\n" + changed(text, "  d_model: 2048\n", "  <<: *usual\n")
    found = read_recipe(text, name="olmo.yaml")
    holds(found, {"architecture.bias": False, "architecture.rotary_share": 1.0, "architecture.hidden_size": 2048})
    assert list(found.unknown) == ["defaults.d_model"]
    twice = read_recipe(changed(OLMO, "seed: 6198", "seed: 1\nseed: 6198"), name="olmo.yaml")
    assert twice.values["data.seed"] == 6198
    assert noted(twice, r"olmo.yaml:3: the key seed is given twice \(first on line 2\)")


BOMB = (
    "a: &a [1, 1]\n"
    + "\n".join(f"{b}: &{b} [{', '.join(['*' + a] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + "\n"
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (changed(NEOX, '"num-layers": 6', '"num-layers": "six"'), "f.yml:4: num_layers: expected a number, found six"),
        (changed(NEOX, '"num-layers": 6', '"num-layers": 6.5'), "f.yml:4: num_layers: expected a whole number from 1 to 10000, found 6.5"),
        (changed(NEOX, '"num-layers": 6', '"num-layers": -6'), "expected a whole number from 1 to 10000, found -6"),
        (changed(NEOX, '"num-layers": 6', '"num-layers": true'), "expected a whole number from 1 to 10000, found true"),
        (changed(NEOX, '"num-layers": 6', '"num-layers": [6]'), "num_layers: expected a number, found a list"),
        (changed(NEOX, '"lr": 0.001', '"lr": .nan'), "f.yml:18: optimizer.params.lr: expected a number from 0 to 1000, found .nan"),
        (changed(NEOX, '"lr": 0.001', '"lr": 1.0e+400'), "optimizer.params.lr: expected a number from 0 to 1000"),
        (changed(NEOX, "143000", "1" * 5000), "expected a number, found 1111"),
        (changed(NEOX, '[0.9, 0.95]', "[0.9]"), "optimizer.params.betas: expected two numbers, found 1"),
        (changed(NEOX, '"optimizer": {', '"optimizer": 5, "other": {'), "f.yml:16: optimizer: expected keys and values, found 5"),
        (changed(NEOX, '"cosine"', '"cosinus"'), "lr_decay_style: expected one of cosine, constant, linear, exponential, found cosinus"),
        (changed(NEOX, '"enabled": true', '"enabled": 1'), "fp16.enabled: expected true or false, found 1"),
        (changed(OLMO, "739_328", "12 parsecs"), "max_duration: expected updates, tokens with T, or epochs with ep, found 12 parsecs"),
        (changed(OLMO, "mlp_ratio: 8", "mlp_hidden_size: 22015"), "expected a whole number of units in each half"),
        (changed(OLMO, "embedding_size: 50304", "embedding_size: 5"), "expected at least vocab_size 50280, found 5"),
        (changed(CRYSTAL, "    - scheduler: \"Linear\"\n      initial_learning_rate: 0.0\n", "    - 5\n    - {}\n    - learning: 0\n"), "found 5"),
        (NEOX[:600], "f.yml"),
        ("", "f.yml:1: expected a recipe, found an empty file"),
        ("just words", "expected a recipe of a known format"),
        ("[1, 2]", "expected a recipe of a known format"),
        ("a: 1\n---\nb: 2\n", "f.yml:2: expected one YAML document, found a second"),
        ("model: !!python/object/apply:os.system [ls]\n", "f.yml:1: expected plain data, found the tag"),
        ("a: " + "[" * 100 + "]" * 100, "expected at most 24 levels, found more"),
        (BOMB, "expected aliases that repeat at most 10000 values"),
        ("a: &a [*a]\n", "expected at most 24 levels, found more"),
        ('{"model_type": "gpt5"}', "model_type: expected one of llama"),
        (json.dumps(ARGUMENTS | {"fp16": True}), "bf16: expected fp16 or bf16, found both"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(BadInput, match=re.escape(says)) as error:
        read_recipe(text, name="f.yml")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no such file"):
        read_recipe(tmp_path / "none.yaml")
    with pytest.raises(BadInput, match="found a folder"):
        read_recipe(tmp_path)
    (tmp_path / "a.yaml").write_bytes(b"a: \xff\n")
    with pytest.raises(BadInput, match="expected UTF-8 text, found byte 3"):
        read_recipe(tmp_path / "a.yaml")
    with pytest.raises(BadInput, match="format: expected one of gpt_neox"):
        read_recipe("a: 1", "word")


def read_or_refusal(text: str, format_name: str | None, name: str) -> ReadRecipe | str:
    try:
        return read_recipe(text, format_name, name)
    except BadInput as refused:
        return str(refused)


pieces = st.sampled_from([
    "", "null", "-1", "1e999", "9" * 30, "[]", "{}", "{a: 1}", "'x'", "true", "~", "&a", "*a", "!!float x", "!!int x", "<<", ": ", "\t", "\x00", "#", "%x", "@y",
    "1e-400", ".inf", "0x10", "1_0", "12:30", "2001-01-01", "\ud7ff", "\u2028", "\n", "  ", "- ", "\\", '"', "ep", "T",
])  # fmt: skip


@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(SAMPLES)), st.data())
def test_no_damaged_file_ends_in_a_traceback(name: str, data: st.DataObject) -> None:
    text = SAMPLES[name]
    for _ in range(data.draw(st.integers(1, 3))):
        words = [match.span() for match in re.finditer(r"[\w./+-]+|[^\w\s]", text)] or [(0, 0)]
        start, end = data.draw(st.sampled_from(words))
        text = text[:start] + data.draw(pieces) + text[end:]
    text = text[: data.draw(st.integers(0, len(text)) | st.just(len(text)))]
    found = read_or_refusal(
        text, data.draw(st.sampled_from([name, None])), data.draw(st.sampled_from(["f.yml", "f.gin", "f.py"]))
    )
    if isinstance(found, str):
        assert "\n" not in found
        assert found.startswith("f.")
    else:
        assert set(found.values) == set(NAMES)
        json.dumps(to_plain(found))


@given(st.text(max_size=80) | st.binary(max_size=80).map(lambda data: data.decode("latin-1")))
def test_no_text_ends_in_a_traceback(text: str) -> None:
    for one in FORMATS:
        found = read_or_refusal(text, one.name, "f.yml")
        assert not isinstance(found, str) or "\n" not in found


# The command -----------------------------------------------------------------------------------------------------------


def test_the_command_prints_values_origins_and_what_is_left(tmp_path: Path) -> None:
    path = tmp_path / "pythia.yml"
    path.write_text(changed(NEOX, '"num-layers": 6,', '"num-layers": 6, "surprise": 1,'))
    shown = CliRunner().invoke(app, ["recipe", str(path)])
    assert shown.exit_code == 0, shown.output
    assert re.search(r"learning_rate.warmup_steps +1430 +updates +derived +pythia.yml:34 warmup", shown.output)
    assert "checkpoints                      154: 0, 1, 2 … 143000" in shown.output
    assert re.search(r"unknown keys: 1\n  \S*pythia.yml:4 surprise", shown.output)
    assert "zero_optimization" in shown.output
    plain = CliRunner().invoke(app, ["recipe", str(path), "--json"])
    said = json.loads(plain.output)
    assert said["values"]["batch_size"] == 1024
    assert said["recipe"]["data"]["item_length"] == 2049
    assert said["units"]["batch_size"] == "sequences"
    assert said["origins"]["steps"] == {"kind": "stated", "where": f"{path}:31 train-iters"}


def test_what_a_file_leaves_unstated_can_be_given_and_what_it_states_cannot_be_changed(tmp_path: Path) -> None:
    path = tmp_path / "mini.yml"
    path.write_text(pythia.YAML)
    found = read_recipe(path)
    assert found.recipe is None
    other = pythia.SETTINGS | {"data.files": ["document.bin"]}
    assert complete(found, other, "rerun.settings").batch_size == pythia.SETTINGS["batch_size"]
    for name in ("learning_rate.peak", "learning_rate.warmup_steps", "steps"):
        with pytest.raises(
            BadInput, match=rf"rerun\.settings\.{name}: the published file states it \(.*; leave it out"
        ):
            complete(found, other | {name: 1}, "rerun.settings")
    with pytest.raises(BadInput, match="the published file does not state architecture.vocab_size"):
        complete(found, {"batch_size": 8, "data.files": ["x"]}, "rerun.settings")
    with pytest.raises(BadInput, match="rerun.settings.colour: a recipe has no such value"):
        complete(found, other | {"colour": 1}, "rerun.settings")
