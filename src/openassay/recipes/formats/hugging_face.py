"""Hugging Face: `config.json` says the network, `TrainingArguments` optimizer and schedule; each is a part of a recipe."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from openassay.faults import BadInput
from openassay.recipes.formats import olmo
from openassay.recipes.formats.draft import Draft, whole
from openassay.recipes.formats.marked import Entry, Marked, shorten
from openassay.training.language import ReadRecipe, Value

VERSION = "huggingface/transformers@v5.23.0"
ARGUMENTS = f"{VERSION}:src/transformers/training_args.py"
SCHEDULES = f"{VERSION}:src/transformers/optimization.py"

Defaults = Mapping[str, Value]

PARTS = (
    "config.json says the network only: optimizer, schedule and data are missing",
    "TrainingArguments say optimizer and schedule only: the network and the data are missing",
)
"""Notes of files that say a part; they do not hold of several together."""

COMMON = {
    "architectures": "names of classes",
    "auto_map": "names of classes",
    "model_type": "tells the families apart",
    "transformers_version": "a version",
    "torch_dtype": "how the weights are stored, not how they were trained",
    "dtype": "how the weights are stored, not how they were trained",
    "use_cache": "generation",
    "bos_token_id": "generation",
    "decoder_start_token_id": "generation",
    "task_specific_params*": "generation",
    "pretraining_tp": "parallelism",
    "_name_or_path": "a path",
    "classifier_dropout": "not for this model",
    "is_decoder": "not for this model",
    "is_encoder_decoder": "the family says it",
    "output_past": "generation",
    "n_positions": "the format's older name of the length",
    "gradient_checkpointing": "memory",
    "_attn_implementation*": "the same function, another kernel",
    "attn_implementation": "the same function, another kernel",
    "use_flash_attn": "the same function, another kernel",
    "chunk_size_feed_forward": "memory",
    "problem_type": "not for this model",
    "scale_decoder_outputs": "as tied embeddings say",
    "id2label*": "not for this model",
    "label2id*": "not for this model",
    "output_attentions": "generation",
    "output_hidden_states": "generation",
    "return_dict*": "generation",
    "torchscript": "speed",
    "init_device": "where, not what",
    "max_length": "generation",
}

FAMILIES: dict[str, Defaults] = {
    "llama": {
        "vocab_size": 32000,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "hidden_act": "silu",
        "max_position_embeddings": 2048,
        "norm_eps": 1e-6,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "eos": 2,
        "pad": None,
    },
    "gpt_neox": {
        "vocab_size": 50432,
        "hidden_size": 6144,
        "intermediate_size": 24576,
        "num_hidden_layers": 44,
        "num_attention_heads": 64,
        "hidden_act": "gelu",
        "max_position_embeddings": 2048,
        "norm_eps": 1e-5,
        "attention_bias": True,
        "attention_dropout": 0.0,
        "eos": 2,
        "pad": None,
    },
    "olmo": {
        "vocab_size": 50304,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "hidden_act": "silu",
        "max_position_embeddings": 2048,
        "norm_eps": 1e-5,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "eos": 50279,
        "pad": 1,
    },
    "olmo2": {
        "vocab_size": 50304,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "hidden_act": "silu",
        "max_position_embeddings": 2048,
        "norm_eps": 1e-5,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "eos": 50279,
        "pad": 1,
    },
}
TYPES = (*FAMILIES, "t5", "crystalcoder", "hf_olmo")
GATED = {"silu": "swiglu", "swish": "swiglu", "gelu": "geglu"}
PLAIN = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}


def is_config(marked: Marked) -> bool:
    """Has the file config.json's keys?"""
    root = marked.root.value
    return isinstance(root, dict) and "model_type" in root and not ({"model", "optimizer"} & set(root))


def read_config(marked: Marked) -> ReadRecipe:
    """The network of a config.json."""
    draft = Draft("hf_config", marked)
    kind = draft.word("model_type", TYPES)
    if kind is None:
        raise BadInput(f"{marked.file}:1: model_type: expected one of {', '.join(TYPES)}, found none")
    draft.note(PARTS[0])
    if "d_model" in marked.root.value and kind in {"olmo", "hf_olmo"}:
        return _own_olmo(marked)
    if kind == "t5":
        _t5(draft)
    elif kind == "crystalcoder":
        _crystal(draft)
    elif kind == "hf_olmo":
        raise BadInput(f"{marked.root.place}: d_model: expected OLMo's own keys with model_type hf_olmo, found none")
    else:
        _decoder(draft, kind, FAMILIES[kind])
    return draft.finish(COMMON)


def _own_olmo(marked: Marked) -> ReadRecipe:
    """OLMo's first config.json holds the keys of its model section."""
    inner = replace(marked, root=Entry({"model": marked.root}, marked.file, 1))
    draft = Draft("hf_config", inner)
    draft.note(PARTS[0])
    olmo._architecture(draft)
    olmo._initialisation(draft)
    draft.integer("model.eos_token_id")
    draft.integer("model.pad_token_id")
    return draft.finish({**olmo.IGNORED, **{f"model.{key}": why for key, why in COMMON.items()}})


def _sizes(draft: Draft, where: str, keys: Mapping[str, str], defaults: Defaults) -> None:
    for name, key in keys.items():
        default = defaults.get(key)
        value = draft.integer(key, 1, 10**8)
        draft.stated(f"architecture.{name}", key, value, default, where if default is not None else "")
    width, heads = draft.values["architecture.hidden_size"], draft.values["architecture.num_heads"]
    if isinstance(width, int) and isinstance(heads, int) and not draft.has("head_dim") and not draft.has("d_kv"):
        draft.divides(width, keys["num_heads"], heads)


def _decoder(draft: Draft, kind: str, defaults: Defaults) -> None:
    put, where = draft.stated, f"{VERSION}:src/transformers/models/{kind}/configuration_{kind}.py"
    draft.put("architecture.family", kind, "stated", draft.at("model_type"))
    _sizes(
        draft,
        where,
        {
            "vocab_size": "vocab_size",
            "hidden_size": "hidden_size",
            "num_layers": "num_hidden_layers",
            "num_heads": "num_attention_heads",
            "intermediate_size": "intermediate_size",
            "max_position": "max_position_embeddings",
        },
        defaults,
    )
    shared = draft.integer("num_key_value_heads", 1, 10**5)
    heads = draft.values["architecture.num_heads"]
    if shared and isinstance(heads, int) and heads % shared:
        raise draft.bad(
            draft.find("num_key_value_heads") or draft.marked.root,
            "num_key_value_heads",
            f"a divisor of {heads}",
            str(shared),
        )
    put("architecture.num_kv_heads", "num_key_value_heads", shared, heads, f"{where}: as many as heads")
    draft.stated(
        "architecture.head_size", "head_dim", draft.integer("head_dim", 1, 10**6), None, f"{where}: hidden_size / heads"
    )
    act = draft.word("hidden_act") or str(defaults["hidden_act"])
    names = PLAIN if kind == "gpt_neox" else GATED
    if act in names:
        put("architecture.activation", "hidden_act", names[act] if draft.has("hidden_act") else None, names[act], where)
    else:
        draft.unstated(
            "architecture.activation", f"{draft.at('hidden_act')}: {shorten(act)} has no canonical name here"
        )
    norm, key = {
        "llama": ("rms_norm", "rms_norm_eps"),
        "gpt_neox": ("layer_norm", "layer_norm_eps"),
        "olmo": ("layer_norm_without_weights", "layer_norm_eps"),
        "olmo2": ("rms_norm", "rms_norm_eps"),
    }[kind]
    code = f"{VERSION}:src/transformers/models/{kind}/modeling_{kind}.py"
    draft.code("architecture.norm", norm, code)
    put("architecture.norm_eps", key, draft.number(key, 0, 1), defaults["norm_eps"], where)
    draft.code("architecture.qk_norm", kind == "olmo2", code)
    _rotary(draft, kind, where)
    if kind == "gpt_neox":
        put(
            "architecture.parallel_residual",
            "use_parallel_residual",
            draft.boolean("use_parallel_residual"),
            True,
            where,
        )
        put("architecture.hidden_dropout", "hidden_dropout", draft.number("hidden_dropout", 0, 1), 0.0, where)
    else:
        draft.code("architecture.parallel_residual", False, code)
        draft.code("architecture.hidden_dropout", 0.0, code)
    bias, inner = draft.boolean("attention_bias"), draft.boolean("mlp_bias")
    put("architecture.bias", "attention_bias", bias, defaults["attention_bias"], where)
    if inner is not None and inner != draft.values["architecture.bias"]:
        draft.note(
            f"{draft.at('mlp_bias')}: some layers have a bias, some have none, which the canonical recipe cannot say"
        )
    put("architecture.tied_embeddings", "tie_word_embeddings", draft.boolean("tie_word_embeddings"), False, where)
    put(
        "architecture.attention_dropout",
        "attention_dropout",
        draft.number("attention_dropout", 0, 1),
        defaults["attention_dropout"],
        where,
    )
    put("architecture.clip_qkv", "clip_qkv", draft.number("clip_qkv", 0, 1e6), None, where)
    put("initialisation.std", "initializer_range", draft.number("initializer_range", 0, 100), 0.02, where)
    if kind in {"gpt_neox", "olmo", "olmo2"} and draft.has("initializer_range"):
        draft.note(
            f"{draft.at('initializer_range')}: how transformers would begin the weights, not how the published training did"
        )
    _token(draft, "eos", defaults["eos"], where)
    _token(draft, "pad", defaults["pad"], where)


def _token(draft: Draft, kind: str, default: Value, where: str) -> None:
    key = f"{kind}_token_id"
    entry = draft.find(key)
    if entry is not None and isinstance(entry.value, list):
        draft.unstated(f"data.{key}", f"{draft.at(key)}: several, for generation")
        return
    draft.stated(f"data.{key}", key, draft.integer(key, -1, 10**8), default, where)


def _rotary(draft: Draft, kind: str, where: str) -> None:
    usual = 0.25 if kind == "gpt_neox" else 1.0
    path = next(
        (p for p in ("rope_parameters.partial_rotary_factor", "rotary_pct", "partial_rotary_factor") if draft.has(p)),
        "rotary_pct",
    )
    draft.stated("architecture.rotary_share", path, draft.number(path, 0, 1), usual, where)
    path = next(
        (p for p in ("rope_parameters.rope_theta", "rope_theta", "rotary_emb_base") if draft.has(p)), "rope_theta"
    )
    draft.stated("architecture.rotary_base", path, draft.number(path, 1, 1e12), 10000.0, where)
    for path in ("rope_parameters.rope_type", "rope_scaling.rope_type", "rope_scaling.type"):
        scaled = draft.word(path)
        if scaled not in {None, "default"}:
            draft.note(
                f"{draft.at(path)}: rotary positions are rescaled ({shorten(scaled or '')}): no place for it here"
            )
    for section in ("rope_scaling", "rope_parameters"):
        entry = draft.find(section)
        for key in entry.value if entry and isinstance(entry.value, dict) else ():
            draft.used.add(f"{section}.{key}")


def _t5(draft: Draft) -> None:
    put, where = draft.stated, f"{VERSION}:src/transformers/models/t5/configuration_t5.py"
    draft.put("architecture.family", "t5", "stated", draft.at("model_type"))
    defaults: Defaults = {
        "vocab_size": 32128,
        "d_model": 512,
        "num_layers": 6,
        "num_heads": 8,
        "d_ff": 2048,
        "d_kv": 64,
    }
    _sizes(
        draft,
        where,
        {
            "vocab_size": "vocab_size",
            "hidden_size": "d_model",
            "num_layers": "num_layers",
            "num_heads": "num_heads",
            "intermediate_size": "d_ff",
            "head_size": "d_kv",
        },
        defaults,
    )
    draft.derived("architecture.num_kv_heads", draft.values["architecture.num_heads"], "as many as heads")
    if draft.integer("num_decoder_layers", 1, 10**4) not in {None, draft.values["architecture.num_layers"]}:
        draft.note(
            f"{draft.at('num_decoder_layers')}: the decoder has another number of layers, which the canonical recipe cannot say"
        )
    length = draft.integer("n_positions", 1)
    put("architecture.max_position", "n_positions", length)
    inner = draft.word("feed_forward_proj")
    names = {"relu": "relu", "gated-gelu": "geglu", "gelu": "gelu", "gated-silu": "swiglu"}
    if inner is None or inner in names:
        put("architecture.activation", "feed_forward_proj", names.get(inner or ""), "relu", where)
    else:
        draft.unstated(
            "architecture.activation", f"{draft.at('feed_forward_proj')}: {shorten(inner)} has no canonical name here"
        )
    draft.word("dense_act_fn")
    draft.boolean("is_gated_act")
    draft.code("architecture.norm", "rms_norm", f"{VERSION}:src/transformers/models/t5/modeling_t5.py")
    put("architecture.norm_eps", "layer_norm_epsilon", draft.number("layer_norm_epsilon", 0, 1), 1e-6, where)
    put(
        "architecture.relative_buckets",
        "relative_attention_num_buckets",
        draft.integer("relative_attention_num_buckets", 1, 10**6),
        32,
        where,
    )
    if draft.integer("relative_attention_max_distance", 1, 10**6) not in {None, 128}:
        draft.note(f"{draft.at('relative_attention_max_distance')}: not 128, which the canonical recipe cannot say")
    draft.derived("architecture.rotary_share", None, "no rotary embedding")
    draft.code("architecture.bias", False, f"{VERSION}:src/transformers/models/t5/modeling_t5.py")
    put("architecture.tied_embeddings", "tie_word_embeddings", draft.boolean("tie_word_embeddings"), True, where)
    rate = draft.number("dropout_rate", 0, 1)
    put("architecture.hidden_dropout", "dropout_rate", rate, 0.1, where)
    put("architecture.attention_dropout", "dropout_rate", rate, 0.1, where)
    draft.number("initializer_factor", 0, 1e6)
    _token(draft, "eos", 1, where)
    _token(draft, "pad", 0, where)


def _crystal(draft: Draft) -> None:
    put = draft.stated
    draft.put("architecture.family", "gpt2", "derived", f"{draft.at('model_type')}: GPT-2's blocks")
    _sizes(
        draft,
        "",
        {
            "vocab_size": "vocab_size",
            "hidden_size": "n_embd",
            "num_layers": "n_layer",
            "num_heads": "n_head",
            "intermediate_size": "n_inner",
            "max_position": "n_positions",
        },
        {},
    )
    draft.derived("architecture.num_kv_heads", draft.values["architecture.num_heads"], "as many as heads")
    act = draft.word("activation_function")
    known = {**PLAIN, "swiglu": "swiglu"}
    put("architecture.activation", "activation_function", known.get(act or ""))
    draft.code(
        "architecture.norm",
        "layer_norm",
        "LLM360/crystalcoder-train@03efa544085152c3dc54c7d80797046999e78a7b: modeling_crystalcoder.py",
    )
    put("architecture.norm_eps", "layer_norm_epsilon", draft.number("layer_norm_epsilon", 0, 1))
    rotated, width, heads = (
        draft.integer("rotary_dim", 0, 10**6),
        draft.values["architecture.hidden_size"],
        draft.values["architecture.num_heads"],
    )
    if (
        draft.word("position_embedding_type") == "rotary"
        and rotated
        and isinstance(width, int)
        and isinstance(heads, int)
    ):
        draft.derived(
            "architecture.rotary_share",
            rotated / (width // heads),
            f"{draft.at('rotary_dim')} / head size {width // heads}",
        )
    put("architecture.tied_embeddings", "tie_word_embeddings", draft.boolean("tie_word_embeddings"))
    put(
        "architecture.embedding_scale",
        "mup_embeddings_scale",
        draft.number("mup_embeddings_scale", 0, 1e6),
        1.0,
        "its configuration class",
    )
    alpha, scale = draft.number("mup_output_alpha", 0, 1e6), draft.number("mup_width_scale", 0, 1e6)
    if alpha is not None and scale is not None:
        draft.derived(
            "architecture.logits_scale",
            float(f"{alpha * scale:.15g}"),
            f"{draft.at('mup_output_alpha')} x {draft.at('mup_width_scale')}",
        )
    inverse = draft.boolean("mup_scale_qk_dot_by_d")
    put(
        "architecture.attention_scale",
        "mup_scale_qk_dot_by_d",
        None if inverse is None else "inverse" if inverse else "inverse_sqrt",
    )
    put("architecture.attention_dropout", "attn_pdrop", draft.number("attn_pdrop", 0, 1))
    put("architecture.hidden_dropout", "resid_pdrop", draft.number("resid_pdrop", 0, 1))
    draft.number("embd_pdrop", 0, 1)
    draft.boolean("scale_attn_weights")
    _token(draft, "eos", None, "")
    _token(draft, "pad", None, "")


# TrainingArguments -----------------------------------------------------------------------------------------------------

TELLING = {
    "per_device_train_batch_size",
    "num_train_epochs",
    "learning_rate",
    "lr_scheduler_type",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "warmup_steps",
    "warmup_ratio",
    "max_steps",
    "gradient_accumulation_steps",
    "weight_decay",
    "max_grad_norm",
}

ARGUMENTS_IGNORED = {
    "output_dir": "a path",
    "overwrite_output_dir": "storage",
    "do_*": "how it is started",
    "eval*": "evaluation",
    "per_device_eval*": "evaluation",
    "per_gpu_*": "an old name",
    "prediction_loss_only": "evaluation",
    "batch_eval_metrics": "evaluation",
    "include_*": "evaluation",
    "logging_*": "logging",
    "log_*": "logging",
    "disable_tqdm": "logging",
    "report_to": "logging",
    "run_name": "a name",
    "project": "logging",
    "trackio*": "logging",
    "save_*": "storage",
    "load_best*": "storage",
    "metric_for_best*": "storage",
    "greater_is_better": "storage",
    "hub_*": "storage",
    "push_to_hub*": "storage",
    "enable_jit*": "storage",
    "restore_callback*": "restarts",
    "ignore_data_skip": "restarts",
    "resume_from_checkpoint": "restarts",
    "no_cuda": "where, not what",
    "use_*": "where, not what",
    "torch_compile*": "speed; rounding only",
    "torchdynamo": "speed; rounding only",
    "tf32": "rounding only",
    "jit_mode_eval": "evaluation",
    "local_rank": "parallelism",
    "ddp_*": "parallelism",
    "fsdp*": "parallelism",
    "deepspeed": "parallelism",
    "accelerator_config*": "parallelism",
    "parallelism_config*": "parallelism",
    "tpu_*": "where, not what",
    "debug": "logging",
    "dataloader_*": "speed, not values",
    "past_index": "not for this model",
    "gradient_checkpointing*": "memory, not values",
    "activation_checkpointing*": "memory, not values",
    "skip_memory_metrics": "logging",
    "auto_find_batch_size": "memory, not values",
    "full_determinism": "rounding only",
    "ray_scope": "how it is started",
    "mp_parameters": "parallelism",
    "half_precision_backend": "rounding only",
    "fp16_opt_level": "rounding only",
    "fp16_backend": "rounding only",
    "*_full_eval": "evaluation",
    "remove_unused_columns": "the data's columns",
    "label_names": "the data's columns",
    "length_column_name": "the data's columns",
    "liger_kernel_config*": "the same function, another kernel",
    "torch_empty_cache_steps": "memory, not values",
    "xpu_backend": "parallelism",
    "dispatch_batches": "parallelism",
    "split_batches": "parallelism",
    "optim_args": "read by the optimizer",
    "optim_target_modules": "read by the optimizer",
    "_n_gpu": "parallelism",
    "average_tokens*": "parallelism",
}


def is_arguments(marked: Marked) -> bool:
    """Has the file keys of TrainingArguments?"""
    root = marked.root.value
    return isinstance(root, dict) and len(TELLING & set(root)) >= 2


def read_arguments(marked: Marked) -> ReadRecipe:
    """The optimizer and schedule of TrainingArguments written as JSON or YAML."""
    draft = Draft("hf_arguments", marked)
    put = draft.stated
    draft.note(PARTS[1])
    kind = draft.word("optim")
    name = "adamw" if kind is None or kind.startswith("adamw") else {"adafactor": "adafactor", "sgd": "sgd"}.get(kind)
    if draft.boolean("adafactor"):
        kind, name = "adafactor", "adafactor"
    if name is None:
        draft.unstated("optimizer.name", f"{draft.at('optim')}: {shorten(kind or '')} has no canonical name here")
    else:
        put("optimizer.name", "optim", name if draft.has("optim") else None, name, f"{ARGUMENTS} optim")
    if name == "adamw":
        first, second = draft.number("adam_beta1", 0, 1), draft.number("adam_beta2", 0, 1)
        said = [draft.at(key) for key in ("adam_beta1", "adam_beta2") if draft.has(key)]
        draft.put(
            "optimizer.betas",
            (0.9 if first is None else first, 0.999 if second is None else second),
            "stated" if len(said) == 2 else "code default",
            ", ".join(said) + ("" if len(said) == 2 else f" {ARGUMENTS}"),
        )
        put("optimizer.eps", "adam_epsilon", draft.number("adam_epsilon", 0, 1), 1e-8, f"{ARGUMENTS} adam_epsilon")
    else:
        for key in ("adam_beta1", "adam_beta2", "adam_epsilon"):
            draft.number(key, 0, 1)
        if name is not None:
            draft.derived("optimizer.betas", None, f"{name} has none")
            draft.derived("optimizer.eps", None, f"{name} has none")
    if name == "adafactor":
        where = f"{VERSION}:src/transformers/trainer_optimizer.py and optimization.py Adafactor"
        draft.code("optimizer.eps", 1e-30, where)
        draft.code("optimizer.scaled_by_parameter", False, where)
        draft.code("optimizer.factored_from", 1, where)
    put(
        "optimizer.weight_decay", "weight_decay", draft.number("weight_decay", 0, 100), 0.0, f"{ARGUMENTS} weight_decay"
    )
    draft.code("optimizer.not_decayed", ("bias", "norm"), f"{VERSION}:src/transformers/trainer.py: biases and norms")
    draft.code("optimizer.lr_multipliers", {}, f"{VERSION}:src/transformers/trainer.py: one rate for all")
    steps = draft.integer("max_steps", -1)
    _arguments_run(draft, steps)
    _arguments_rate(draft, steps if steps and steps > 0 else None)
    return draft.finish(ARGUMENTS_IGNORED)


def _arguments_run(draft: Draft, steps: int | None) -> None:
    put = draft.stated
    epochs = draft.number("num_train_epochs", 0, 1e9)
    if steps and steps > 0:
        put("steps", "max_steps", steps)
    else:
        where = draft.at("num_train_epochs") if epochs is not None else f"{ARGUMENTS} num_train_epochs is 3"
        draft.unstated("steps", f"{where}: epochs, whose length is the data's")
    each, accumulated = (
        draft.integer("per_device_train_batch_size", 1, 10**7),
        draft.integer("gradient_accumulation_steps", 1, 10**7),
    )
    devices = draft.integer("world_size", 1, 10**7)
    if devices:
        draft.derived(
            "batch_size",
            (each or 8) * (accumulated or 1) * devices,
            f"{draft.at('per_device_train_batch_size')} {each or 8} x accumulation {accumulated or 1} x {draft.at('world_size')}",
        )
    else:
        draft.unstated(
            "batch_size",
            f"it is {each or 8} x accumulation {accumulated or 1} x devices, and the file does not say how many devices",
        )
    clip = draft.number("max_grad_norm", 0, 1e9)
    if clip == 0:
        draft.put("clip_norm", None, "stated", f"{draft.at('max_grad_norm')}: 0 is no clipping")
    else:
        put("clip_norm", "max_grad_norm", clip, 1.0, f"{ARGUMENTS} max_grad_norm")
    half, brain = draft.boolean("fp16"), draft.boolean("bf16")
    if half and brain:
        raise draft.bad(draft.find("bf16") or draft.marked.root, "bf16", "fp16 or bf16", "both")
    key = "bf16" if brain else "fp16"
    draft.put(
        "precision",
        "bf16" if brain else "fp16" if half else "fp32",
        "stated" if half or brain else "code default",
        draft.at(key) if half or brain else f"{ARGUMENTS}: neither fp16 nor bf16",
    )
    own, run = draft.integer("data_seed", 0, 2**63), draft.integer("seed", 0, 2**63)
    if own is not None:
        put("data.seed", "data_seed", own)
    else:
        put("data.seed", "seed", run, 42, f"{ARGUMENTS} seed")
    draft.code(
        "data.order",
        "unknown",
        f"{VERSION}:src/transformers/trainer.py: a torch generator of that seed, over data that are not named here",
    )
    every, strategy = draft.number("save_steps", 0, 1e12), draft.word("save_strategy")
    if steps and steps > 0 and every and every >= 1 and strategy in {None, "steps"} and steps // every <= 100_000:
        draft.derived("checkpoints", tuple(range(int(every), steps + 1, int(every))), draft.at("save_steps"))
    if draft.number("label_smoothing_factor", 0, 1):
        draft.note(f"{draft.at('label_smoothing_factor')}: label smoothing, which the canonical recipe cannot say")
    if draft.number("neftune_noise_alpha", 0, 1e9):
        draft.note(f"{draft.at('neftune_noise_alpha')}: noise on the embedding, which the canonical recipe cannot say")
    if draft.boolean("group_by_length"):
        draft.note(f"{draft.at('group_by_length')}: sequences are ordered by length")
    if draft.word("train_sampling_strategy") not in {None, "random"}:
        draft.note(f"{draft.at('train_sampling_strategy')}: the sequences are not drawn at random")
    draft.code("z_loss", 0.0, f"{VERSION}:src/transformers/trainer.py: has none")


def _arguments_rate(draft: Draft, steps: int | None) -> None:
    put = draft.stated
    kind = draft.word("lr_scheduler_type") or "linear"
    kind = kind.rpartition("SchedulerType.")[2].lower()
    peak = put(
        "learning_rate.peak",
        "learning_rate",
        draft.number("learning_rate", 0, 1000),
        5e-5,
        f"{ARGUMENTS} learning_rate",
    )
    assert isinstance(peak, (int, float))  # noqa: S101 - set above
    forms = {
        "linear": "linear",
        "cosine": "cosine_to_min",
        "cosine_with_min_lr": "cosine_to_min",
        "constant": "constant",
        "constant_with_warmup": "constant",
        "inverse_sqrt": "inverse_sqrt",
    }
    if kind in forms:
        put(
            "learning_rate.form",
            "lr_scheduler_type",
            forms[kind] if draft.has("lr_scheduler_type") else None,
            forms[kind],
            f"{ARGUMENTS} lr_scheduler_type",
        )
    else:
        draft.unstated("learning_rate.form", f"{draft.at('lr_scheduler_type')}: {shorten(kind)} has no canonical name")
        draft.note(f"{draft.at('lr_scheduler_type')}: {shorten(kind)} has no canonical name")
    low, share = (
        draft.number("lr_scheduler_kwargs.min_lr", 0, 1000),
        draft.number("lr_scheduler_kwargs.min_lr_rate", 0, 1),
    )
    if kind == "cosine_with_min_lr" and (low is not None or share is not None):
        path = "lr_scheduler_kwargs.min_lr" if low is not None else "lr_scheduler_kwargs.min_lr_rate"
        draft.put(
            "learning_rate.minimum",
            low if low is not None else float(f"{(share or 0) * peak:.15g}"),
            "stated",
            draft.at(path),
        )
    else:
        draft.code(
            "learning_rate.minimum", peak if forms.get(kind) == "constant" else 0.0, f"{SCHEDULES} {shorten(kind)}"
        )
    warmup, ratio = draft.number("warmup_steps", 0, 1e12), draft.number("warmup_ratio", 0, 1)
    if kind == "constant":
        draft.code("learning_rate.warmup_steps", 0, f"{SCHEDULES}: constant has no warm-up")
        if warmup or ratio:
            draft.note(f"{draft.at('lr_scheduler_type')}: constant ignores the warm-up that the file states")
    elif warmup and warmup >= 1:
        put("learning_rate.warmup_steps", "warmup_steps", whole(warmup))
        if ratio:
            draft.note(f"{draft.at('warmup_ratio')}: warmup_steps beside it takes precedence")
    elif part := warmup or ratio:
        path = "warmup_steps" if warmup else "warmup_ratio"
        if steps:
            draft.derived(
                "learning_rate.warmup_steps",
                math.ceil(steps * part),
                f"{draft.at(path)}: a fraction of max_steps {steps}, rounded up",
            )
        else:
            draft.unstated(
                "learning_rate.warmup_steps", f"{draft.at(path)}: a fraction of updates that the file does not say"
            )
    else:
        put("learning_rate.warmup_steps", "warmup_steps", 0 if warmup == 0 else None, 0, f"{ARGUMENTS} warmup_steps")
    if kind == "inverse_sqrt" and not draft.values["learning_rate.warmup_steps"]:
        draft.note(f"{draft.at('lr_scheduler_type')}: without a warm-up the time scale is 10000 ({SCHEDULES})")
    if steps and forms.get(kind) in {"linear", "cosine_to_min"}:
        draft.derived("learning_rate.decay_steps", steps, draft.at("max_steps"))
    draft.code("learning_rate.first", "zero", f"{SCHEDULES}: read before the update is counted")
    draft.code("learning_rate.warmup_minimum", 0.0, SCHEDULES)
