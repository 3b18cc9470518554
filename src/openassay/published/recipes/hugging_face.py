"""Hugging Face: `config.json` says the network, `TrainingArguments` optimizer and schedule; each is a part of a recipe."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from openassay.faults import BadInput
from openassay.published.marked import Entry, Marked, shorten
from openassay.published.recipes import olmo
from openassay.published.recipes.draft import Draft, whole
from openassay.training.language import ReadRecipe, Value

VERSION = "huggingface/transformers@v5.23.0"
ARGUMENTS = f"{VERSION}:src/transformers/training_args.py"
SCHEDULES = f"{VERSION}:src/transformers/optimization.py"
TRAINER = f"{VERSION}:src/transformers/trainer.py"

PARTS = (
    "config.json says the network only: optimizer, schedule and data are missing",
    "TrainingArguments say optimizer and schedule only: the network and the data are missing",
)
"""Notes of files that say a part; they do not hold of several together."""

COMMON = {
    "names of classes": "architectures auto_map",
    "tells the families apart": "model_type",
    "a version": "transformers_version",
    "how the weights are stored, not how they were trained": "torch_dtype dtype",
    "generation": (
        "use_cache bos_token_id decoder_start_token_id task_specific_params* output_past output_attentions "
        "output_hidden_states return_dict* max_length"
    ),
    "parallelism": "pretraining_tp",
    "a path": "_name_or_path",
    "not for this model": "classifier_dropout is_decoder problem_type id2label* label2id*",
    "the family says it": "is_encoder_decoder",
    "the format's older name of the length": "n_positions",
    "memory": "gradient_checkpointing chunk_size_feed_forward",
    "the same function, another kernel": "_attn_implementation* attn_implementation use_flash_attn",
    "as tied embeddings say": "scale_decoder_outputs",
    "speed": "torchscript",
    "where, not what": "init_device",
}

_OLMO: Mapping[str, Any] = {
    "vocab_size": 50304, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
    "max_position_embeddings": 2048, "hidden_act": "silu", "norm_eps": 1e-5, "attention_bias": False, "eos": 50279, "pad": 1,
}  # fmt: skip
FAMILIES: Mapping[str, Mapping[str, Any]] = {
    "llama": {
        "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
        "max_position_embeddings": 2048, "hidden_act": "silu", "norm_eps": 1e-6, "attention_bias": False, "eos": 2, "pad": None,
        "norm": "rms_norm",
    },
    "gpt_neox": {
        "vocab_size": 50432, "hidden_size": 6144, "intermediate_size": 24576, "num_hidden_layers": 44, "num_attention_heads": 64,
        "max_position_embeddings": 2048, "hidden_act": "gelu", "norm_eps": 1e-5, "attention_bias": True, "eos": 2, "pad": None,
        "norm": "layer_norm",
    },
    "mistral": {
        "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
        "max_position_embeddings": 131072, "hidden_act": "silu", "norm_eps": 1e-6, "attention_bias": False, "eos": 2, "pad": None,
        "norm": "rms_norm", "kv": 8,
    },
    "qwen2": {
        "vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32, "num_attention_heads": 32,
        "max_position_embeddings": 32768, "hidden_act": "silu", "norm_eps": 1e-6, "attention_bias": True, "eos": None,
        "pad": None, "norm": "rms_norm", "kv": 32,
    },
    "olmo": {**_OLMO, "norm": "layer_norm_without_weights"},
    "olmo2": {**_OLMO, "norm": "rms_norm"},
}  # fmt: skip
"""Each decoder's defaults, and which norm its code has."""

UNREAD = {
    **dict.fromkeys(
        ("mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "dbrx", "deepseek_v3", "phimoe"), "layers of experts"
    ),
    **dict.fromkeys(("gpt2", "opt", "gpt_neo", "gpt_bigcode", "biogpt"), "learned positions"),
    **dict.fromkeys(("bloom", "mpt"), "ALiBi"),
    **dict.fromkeys(("qwen3", "olmo3", "gemma3", "gemma3_text"), "a norm of each head's queries and keys, or windows"),
    **dict.fromkeys(("gemma", "gemma2"), "norms of 1 + weight and a scaled embedding"),
    **dict.fromkeys(("phi", "gptj", "codegen", "falcon"), "one norm for two parallel blocks"),
    **dict.fromkeys(("stablelm", "starcoder2"), "biases in some layers and not in others"),
    **dict.fromkeys(("mamba", "mamba2", "rwkv", "jamba", "recurrent_gemma"), "layers that are not attention"),
    "smollm3": "layers without rotary positions",
    "granite": "multipliers of its own",
    "apertus": "the activation xIELU",
    "cohere": "norms without biases in parallel blocks",
}
"""Types whose networks the canonical recipe cannot express, and why."""

TYPES = (*FAMILIES, "t5", "crystalcoder", "hf_olmo")
GATED = {"silu": "swiglu", "swish": "swiglu", "gelu": "geglu"}
PLAIN = {"gelu": "gelu", "relu": "relu", **dict.fromkeys(("gelu_new", "gelu_fast", "gelu_pytorch_tanh"), "gelu_tanh")}


def read_config(marked: Marked) -> ReadRecipe:
    """The network of a config.json."""
    draft = Draft("hf_config", marked)
    said = draft.word("model_type")
    if said in UNREAD:
        raise draft.refusal(
            "model_type", "a network that the canonical recipe can express", f"{said}, which has {UNREAD[said]}"
        )
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
    """The network of OLMo's first config.json, which holds the keys of its model section."""
    draft = Draft("hf_config", replace(marked, root=Entry({"model": marked.root}, marked.file, 1)))
    draft.note(PARTS[0])
    olmo.read_model(draft)
    draft.integer("model.eos_token_id")
    draft.integer("model.pad_token_id")
    inner = {why: " ".join(f"model.{key}" for key in keys.split()) for why, keys in COMMON.items()}
    return draft.finish(olmo.IGNORED, inner)


def _sizes(draft: Draft, where: str, keys: Mapping[str, tuple[str, Value]]) -> None:
    """Put the sizes by name in the recipe: each with its key and the code's default, None for one that must be stated."""
    for name, (key, default) in keys.items():
        draft.take(f"architecture.{name}", key, default, where if default is not None else "", (1, 10**8))
    width, heads = draft.values["architecture.hidden_size"], draft.values["architecture.num_heads"]
    if isinstance(width, int) and isinstance(heads, int) and not draft.has("head_dim") and not draft.has("d_kv"):
        draft.heads_divide(width, keys["num_heads"][0], heads)


def _decoder(draft: Draft, kind: str, defaults: Mapping[str, Any]) -> None:
    where = f"{VERSION}:src/transformers/models/{kind}/configuration_{kind}.py"
    code = f"{VERSION}:src/transformers/models/{kind}/modeling_{kind}.py"
    if kind in {"mistral", "qwen2"}:
        draft.derived("architecture.family", "llama", f"{draft.at('model_type')}: Llama's blocks")
    else:
        draft.put("architecture.family", kind, "stated", draft.at("model_type"))
    keys = {
        "vocab_size": "vocab_size",
        "hidden_size": "hidden_size",
        "num_layers": "num_hidden_layers",
        "num_heads": "num_attention_heads",
        "intermediate_size": "intermediate_size",
        "max_position": "max_position_embeddings",
    }
    _sizes(draft, where, {name: (key, defaults[key]) for name, key in keys.items()})
    heads = draft.values["architecture.num_heads"]
    as_heads = f"{where}: as many as heads"
    shared = draft.take(
        "architecture.num_kv_heads",
        "num_key_value_heads",
        defaults.get("kv", heads),
        where if "kv" in defaults else as_heads,
    )
    if isinstance(heads, int) and heads % shared:
        raise draft.refusal("num_key_value_heads", f"a divisor of {heads}", str(shared))
    draft.take("architecture.head_size", "head_dim", None, f"{where}: hidden_size / heads")
    names = PLAIN if kind == "gpt_neox" else GATED
    draft.named("architecture.activation", "hidden_act", names, names[defaults["hidden_act"]], where)
    draft.code(code, {"architecture.norm": defaults["norm"], "architecture.qk_norm": kind == "olmo2"})
    key = "rms_norm_eps" if defaults["norm"] == "rms_norm" else "layer_norm_eps"
    draft.take("architecture.norm_eps", key, defaults["norm_eps"], where)
    _rotary(draft, kind, where)
    if kind == "gpt_neox":
        draft.take("architecture.parallel_residual", "use_parallel_residual", True, where)
        draft.take("architecture.hidden_dropout", "hidden_dropout", 0.0, where)
    else:
        draft.code(code, {"architecture.parallel_residual": False, "architecture.hidden_dropout": 0.0})
    bias = draft.take("architecture.bias", "attention_bias", defaults["attention_bias"], where)
    if kind == "qwen2":
        draft.unstated("architecture.bias", f"{code}: queries, keys and values have one, the other layers have none")
    _windows(draft, kind, where)
    if draft.boolean("mlp_bias") not in {None, bias}:
        draft.beyond("mlp_bias", "some layers have a bias, some have none")
    draft.take("architecture.tied_embeddings", "tie_word_embeddings", False, where)
    draft.take("architecture.attention_dropout", "attention_dropout", 0.0, where)
    draft.take("architecture.clip_qkv", "clip_qkv", None, where)
    draft.take("initialisation.std", "initializer_range", 0.02, where)
    if kind != "llama" and draft.has("initializer_range"):
        ours = "how transformers would initialise the weights, not how the published training did"
        draft.note_at("initializer_range", ours)
    _tokens(draft, defaults["eos"], defaults["pad"], where)


def _windows(draft: Draft, kind: str, where: str) -> None:
    """Note attention in a window, which Mistral has unless the file says null, and Qwen2 only where the file says so."""
    windowed = draft.boolean("use_sliding_window") if kind == "qwen2" else None
    found = draft.integer("sliding_window", 0, 10**9)
    draft.integer("max_window_layers", 0, 10**5)
    draft.words("layer_types")
    if kind == "mistral" and "sliding_window" not in draft.marked.root.value:
        draft.note(f"{where} sliding_window is 4096: attention in a window, which the canonical recipe cannot express")
    elif found is not None and (kind == "mistral" or windowed):
        draft.beyond("sliding_window", "attention in a window")


def _tokens(draft: Draft, eos: int | None, pad: int | None, where: str) -> None:
    """Put the tokens that end a text and that fill a sequence, with the code's defaults."""
    for key, default in (("eos_token_id", eos), ("pad_token_id", pad)):
        entry = draft.find(key)
        if entry is not None and isinstance(entry.value, list):
            draft.unstated(f"data.{key}", f"{draft.at(key)}: several, for generation")
        else:
            draft.take(f"data.{key}", key, default, where, (-1, 10**8))


def _rotary(draft: Draft, kind: str, where: str) -> None:
    share = draft.first("rope_parameters.partial_rotary_factor", "rotary_pct", "partial_rotary_factor")
    draft.take("architecture.rotary_share", share, 0.25 if kind == "gpt_neox" else 1.0, where)
    base = draft.first("rope_parameters.rope_theta", "rope_theta", "rotary_emb_base")
    draft.take("architecture.rotary_base", base, 10000.0, where)
    for path in ("rope_parameters.rope_type", "rope_scaling.rope_type", "rope_scaling.type"):
        scaled = draft.word(path)
        if scaled not in {None, "default"}:
            draft.beyond(path, f"rotary positions that are rescaled ({shorten(scaled or '')})")
    for section in ("rope_scaling", "rope_parameters"):
        entry = draft.find(section)
        for key in entry.value if entry and isinstance(entry.value, dict) else ():
            draft.used.add(f"{section}.{key}")


def _t5(draft: Draft) -> None:
    where = f"{VERSION}:src/transformers/models/t5/configuration_t5.py"
    code = f"{VERSION}:src/transformers/models/t5/modeling_t5.py"
    draft.put("architecture.family", "t5", "stated", draft.at("model_type"))
    sizes: dict[str, tuple[str, Value]] = {
        "vocab_size": ("vocab_size", 32128),
        "hidden_size": ("d_model", 512),
        "num_layers": ("num_layers", 6),
        "num_heads": ("num_heads", 8),
        "intermediate_size": ("d_ff", 2048),
        "head_size": ("d_kv", 64),
    }
    _sizes(draft, where, sizes)
    draft.derived("architecture.num_kv_heads", draft.values["architecture.num_heads"], "as many as heads")
    if draft.integer("num_decoder_layers", 1, 10**4) not in {None, draft.values["architecture.num_layers"]}:
        draft.beyond("num_decoder_layers", "the decoder has another number of layers")
    draft.take("architecture.max_position", "n_positions")
    names = {"relu": "relu", "gated-gelu": "geglu", "gelu": "gelu", "gated-silu": "swiglu"}
    draft.named("architecture.activation", "feed_forward_proj", names, "relu", where)
    draft.word("dense_act_fn")
    draft.boolean("is_gated_act")
    draft.code(code, {"architecture.norm": "rms_norm", "architecture.bias": False})
    draft.take("architecture.norm_eps", "layer_norm_epsilon", 1e-6, where)
    draft.take("architecture.relative_buckets", "relative_attention_num_buckets", 32, where)
    if draft.integer("relative_attention_max_distance", 1, 10**6) not in {None, 128}:
        draft.beyond("relative_attention_max_distance", "another distance than 128")
    draft.derived("architecture.rotary_share", None, "no rotary embedding")
    draft.take("architecture.tied_embeddings", "tie_word_embeddings", True, where)
    draft.take("architecture.hidden_dropout", "dropout_rate", 0.1, where)
    draft.take("architecture.attention_dropout", "dropout_rate", 0.1, where)
    draft.number("initializer_factor", 0, 1e6)
    _tokens(draft, 1, 0, where)


def _crystal(draft: Draft) -> None:
    draft.put("architecture.family", "gpt2", "derived", f"{draft.at('model_type')}: GPT-2's blocks")
    keys = {
        "vocab_size": "vocab_size",
        "hidden_size": "n_embd",
        "num_layers": "n_layer",
        "num_heads": "n_head",
        "intermediate_size": "n_inner",
        "max_position": "n_positions",
    }
    _sizes(draft, "", {name: (key, None) for name, key in keys.items()})
    width, heads = draft.values["architecture.hidden_size"], draft.values["architecture.num_heads"]
    draft.derived("architecture.num_kv_heads", heads, "as many as heads")
    act = draft.word("activation_function")
    known = {**PLAIN, "swiglu": "swiglu"}
    draft.stated("architecture.activation", "activation_function", known.get(act or ""))
    commit = "LLM360/crystalcoder-train@03efa544085152c3dc54c7d80797046999e78a7b"
    draft.code(f"{commit}: modeling_crystalcoder.py", {"architecture.norm": "layer_norm"})
    rotated = draft.integer("rotary_dim", 0, 10**6)
    rotary = draft.word("position_embedding_type") == "rotary"
    if rotary and rotated and isinstance(width, int) and isinstance(heads, int) and width >= heads:
        where = f"{draft.at('rotary_dim')} / head size {width // heads}"
        draft.derived("architecture.rotary_share", rotated / (width // heads), where)
    for name, key in (
        ("norm_eps", "layer_norm_epsilon"),
        ("tied_embeddings", "tie_word_embeddings"),
        ("attention_dropout", "attn_pdrop"),
        ("hidden_dropout", "resid_pdrop"),
    ):
        draft.take(f"architecture.{name}", key)
    draft.take("architecture.embedding_scale", "mup_embeddings_scale", 1.0, "its configuration class")
    alpha, scale = draft.number("mup_output_alpha", 0, 1e6), draft.number("mup_width_scale", 0, 1e6)
    if alpha is not None and scale is not None:
        where = f"{draft.at('mup_output_alpha')} x {draft.at('mup_width_scale')}"
        draft.derived("architecture.logits_scale", float(f"{alpha * scale:.15g}"), where)
    inverse = {True: "inverse", False: "inverse_sqrt", None: None}[draft.boolean("mup_scale_qk_dot_by_d")]
    draft.stated("architecture.attention_scale", "mup_scale_qk_dot_by_d", inverse)
    draft.number("embd_pdrop", 0, 1)
    draft.boolean("scale_attn_weights")
    _tokens(draft, None, None, "")


# TrainingArguments -----------------------------------------------------------------------------------------------------

TELLING = frozenset({
    "per_device_train_batch_size", "num_train_epochs", "learning_rate", "lr_scheduler_type", "adam_beta1", "adam_beta2",
    "adam_epsilon", "warmup_steps", "warmup_ratio", "max_steps", "gradient_accumulation_steps", "weight_decay", "max_grad_norm",
})  # fmt: skip
"""Two of these tell the format."""

EPOCHS = "epochs, whose length depends on the data"
ARGUMENTS_IGNORED = {
    "a path": "output_dir",
    "storage": (
        "overwrite_output_dir save_* load_best* metric_for_best* greater_is_better hub_* push_to_hub* enable_jit*"
    ),
    "how it is started": "do_* ray_scope",
    "evaluation": "eval* per_device_eval* prediction_loss_only batch_eval_metrics include_* jit_mode_eval *_full_eval",
    "an old name": "per_gpu_*",
    "logging": "logging_* log_* disable_tqdm report_to project trackio* debug skip_memory_metrics",
    "a name": "run_name",
    "restarts": "restore_callback* ignore_data_skip resume_from_checkpoint",
    "where, not what": "no_cuda use_* tpu_*",
    "speed; rounding only": "torch_compile* torchdynamo",
    "rounding only": "tf32 full_determinism half_precision_backend fp16_opt_level fp16_backend",
    "parallelism": (
        "local_rank ddp_* fsdp* deepspeed accelerator_config* parallelism_config* mp_parameters xpu_backend "
        "dispatch_batches split_batches _n_gpu average_tokens*"
    ),
    "speed, not values": "dataloader_*",
    "not for this model": "past_index",
    "memory, not values": (
        "gradient_checkpointing* activation_checkpointing* auto_find_batch_size torch_empty_cache_steps"
    ),
    "the data's columns": "remove_unused_columns label_names length_column_name",
    "the same function, another kernel": "liger_kernel_config*",
    "read by the optimizer": "optim_args optim_target_modules",
}


def read_arguments(marked: Marked) -> ReadRecipe:
    """The optimizer and schedule of TrainingArguments written as JSON or YAML."""
    draft = Draft("hf_arguments", marked)
    draft.note(PARTS[1])
    _training(draft)
    read = draft.finish(ARGUMENTS_IGNORED)
    if not read.unknown:
        return read
    first = next(iter(read.unknown))
    foreign = f"{read.unknown[first]}: {first} is no key of TrainingArguments"
    why = f"{foreign}, so the file is for a program that may have other defaults"
    _without_defaults(draft, why)
    return draft.finish(ARGUMENTS_IGNORED)


def read_trl(marked: Marked) -> ReadRecipe:
    """The optimizer and schedule of a file for TRL's trainers (SFT, DPO, ORPO), as alignment-handbook's are.

    TRL's classes have learning rates and precisions of their own, which differ by class and version: they are never cited.
    """
    draft = Draft("trl", marked)
    draft.note(PARTS[1])
    _training(draft)
    _without_defaults(draft, "TRL's default, which differs by class and version", ("learning_rate.", "precision"))
    length = draft.first("max_seq_length", "max_length")
    draft.take("data.sequence_length", length, limits=(1, 10**9))
    if draft.has(length) and not draft.boolean("packing"):
        draft.note_at(length, "the greatest length; the examples are not packed, and most are shorter")
    if draft.has("model_name_or_path"):
        draft.note_at("model_name_or_path", f"it starts from {shorten(draft.word('model_name_or_path') or '')}")
    for key, what in TRL_BEYOND.items():
        entry = draft.find(key)
        if entry is not None and entry.value is not False:
            draft.beyond(key, what)
    read = draft.finish(ARGUMENTS_IGNORED, TRL_IGNORED)
    if read.unknown:
        first = next(iter(read.unknown))
        _without_defaults(draft, f"{read.unknown[first]}: {first} is no key of TRL's that this reader knows")
    return draft.finish(ARGUMENTS_IGNORED, TRL_IGNORED) if read.unknown else read


TRL_BEYOND = {
    "beta": "a loss over preferences or rewards",
    "loss_type": "the loss of TRL's trainer",
    "reward_funcs": "a loss over rewards",
    "use_peft": "low-rank matrices beside the weights are trained, not the weights",
    "load_in_4bit": "weights kept in 4 bits",
    "load_in_8bit": "weights kept in 8 bits",
    "assistant_only_loss": "a loss of the answers only",
    "completion_only_loss": "a loss of the answers only",
}
TRL_IGNORED = {
    "a name": "model_revision tokenizer_name* hub_*",
    "the data's text form": "dataset* chat_template* eos_token pad_token text_column preprocessing_num_workers auto_insert* "
    "max_prompt_length max_completion_length truncation_mode padding_free packing_strategy strategy system_prompt",
    "of the low-rank matrices": "lora_* bnb_4bit* use_bnb_nested_quant",
    "the weights as loaded": "torch_dtype dtype attn_implementation trust_remote_code model_init_kwargs*",
    "the same function, another kernel": "use_liger*",
    "logging": "wandb_* callbacks* benchmarks*",
    "generation": "num_generations temperature top_p top_k use_vllm vllm_*",
    "of the loss over rewards": "reward_* scale_rewards mask_* cosine_* repetition_* max_completion_len code_* e2b_*",
    "speed, not values": "precompute_ref_log_probs ref_model_* sync_ref_model",
}


def _training(draft: Draft) -> None:
    _optimizer(draft)
    steps = draft.integer("max_steps", -1)
    steps = steps if steps and steps > 0 else None
    _run(draft, steps)
    _learning_rate(draft, steps)


def _without_defaults(draft: Draft, why: str, names: tuple[str, ...] = ("",)) -> None:
    """Leave unstated what only a default of TrainingArguments says, among the values whose names begin so."""
    ours = [name for name, one in draft.origins.items() if one.kind == "code default" and ARGUMENTS in one.where]
    for name in ours:
        if name.startswith(names):
            draft.unstated(name, why)
    form, peak = (draft.origins[f"learning_rate.{name}"].kind for name in ("form", "peak"))
    kind = draft.values["learning_rate.form"]
    scaled = kind == "constant" or (draft.has("lr_scheduler_kwargs.min_lr_rate") and not draft.has("learning_rate"))
    if form == "unstated" or (peak == "unstated" and scaled):
        draft.unstated("learning_rate.minimum", why)


def _optimizer(draft: Draft) -> None:
    kind = draft.word("optim")
    name = "adamw" if kind is None or kind.startswith("adamw") else {"adafactor": "adafactor", "sgd": "sgd"}.get(kind)
    if draft.boolean("adafactor"):
        name = "adafactor"
    if name is None:
        draft.nameless("optimizer.name", "optim", kind or "")
    else:
        draft.stated("optimizer.name", "optim", name if draft.has("optim") else None, name, f"{ARGUMENTS} optim")
    draft.two_betas("adam_beta1", "adam_beta2", ARGUMENTS)
    draft.take("optimizer.eps", "adam_epsilon", 1e-8, f"{ARGUMENTS} adam_epsilon")
    for key in ("betas", "eps"):
        if name is None:
            draft.unstated(f"optimizer.{key}", "the file does not state it")
        elif name != "adamw":
            draft.derived(f"optimizer.{key}", None, f"{name} has none")
    if name == "adafactor":
        where = f"{VERSION}:src/transformers/trainer_optimizer.py and optimization.py Adafactor"
        draft.code(
            where, {"optimizer.eps": 1e-30, "optimizer.scaled_by_parameter": False, "optimizer.factored_from": 1}
        )
    draft.take("optimizer.weight_decay", "weight_decay", 0.0, f"{ARGUMENTS} weight_decay")
    draft.code(f"{TRAINER}: biases and norms", {"optimizer.not_decayed": ("bias", "norm")})
    draft.code(f"{TRAINER}: one rate for all", {"optimizer.lr_multipliers": {}})


def _run(draft: Draft, steps: int | None) -> None:
    """Put what is not of the optimizer; `steps` is None where the epochs count."""
    epochs = draft.number("num_train_epochs", 0, 1e9)
    if steps:
        draft.stated("steps", "max_steps", steps)
    else:
        where = f"{ARGUMENTS} num_train_epochs is 3" if epochs is None else draft.at("num_train_epochs")
        draft.unstated("steps", f"{where}: {EPOCHS}")
    each = draft.integer("per_device_train_batch_size", 1, 10**7) or 8
    accumulated = draft.integer("gradient_accumulation_steps", 1, 10**7) or 1
    devices = draft.integer("world_size", 1, 10**7)
    if devices:
        product = f"{each} x accumulation {accumulated} x {draft.at('world_size')}"
        where = f"{draft.at('per_device_train_batch_size')} {product}"
        draft.derived("batch_size", each * accumulated * devices, where)
    else:
        unknown = "the file does not state the number of devices"
        draft.unstated("batch_size", f"it is {each} x accumulation {accumulated} x devices, and {unknown}")
    if draft.take("clip_norm", "max_grad_norm", 1.0, f"{ARGUMENTS} max_grad_norm") == 0:
        draft.put("clip_norm", None, "stated", f"{draft.at('max_grad_norm')}: 0 is no clipping")
    half, brain = draft.boolean("fp16"), draft.boolean("bf16")
    if half and brain:
        raise draft.refusal("bf16", "fp16 or bf16", "both")
    key = "bf16" if brain else "fp16"
    said = key if half or brain else None
    if half is False and brain is False:
        draft.put("precision", "fp32", "stated", draft.at("fp16", "bf16"))
    else:
        draft.stated("precision", key, said, "fp32", f"{ARGUMENTS}: neither fp16 nor bf16")
    draft.take("data.seed", "seed", 42, f"{ARGUMENTS} seed", (0, 2**63))
    if draft.has("data_seed"):
        draft.take("data.seed", "data_seed", limits=(0, 2**63))
    order = "a torch generator of that seed, over data that are not named here"
    draft.code(f"{TRAINER}: {order}", {"data.order": "unknown"})
    every, strategy = draft.number("save_steps", 0, 1e12), draft.word("save_strategy")
    if strategy in {None, "steps"}:
        draft.checkpoints(steps, [int(every or 0)], draft.at("save_steps"))
    if draft.number("label_smoothing_factor", 0, 1):
        draft.beyond("label_smoothing_factor", "label smoothing")
    if draft.number("neftune_noise_alpha", 0, 1e9):
        draft.beyond("neftune_noise_alpha", "noise on the embedding")
    if draft.boolean("group_by_length"):
        draft.note_at("group_by_length", "sequences are ordered by length")
    if draft.word("train_sampling_strategy") not in {None, "random"}:
        draft.note_at("train_sampling_strategy", "the sequences are not drawn at random")
    draft.code(f"{TRAINER}: has none", {"z_loss": 0.0})


def _learning_rate(draft: Draft, steps: int | None) -> None:
    said = draft.word("lr_scheduler_type")
    kind = (said or "linear").rpartition("SchedulerType.")[2].lower()
    peak = draft.take("learning_rate.peak", "learning_rate", 5e-5, f"{ARGUMENTS} learning_rate")
    form = {
        "linear": "linear",
        "cosine": "cosine_to_min",
        "cosine_with_min_lr": "cosine_to_min",
        "constant": "constant",
        "constant_with_warmup": "constant",
        "inverse_sqrt": "inverse_sqrt",
    }.get(kind)
    if form:
        stated = None if said is None else form
        draft.stated("learning_rate.form", "lr_scheduler_type", stated, form, f"{ARGUMENTS} lr_scheduler_type")
    else:
        draft.nameless("learning_rate.form", "lr_scheduler_type", kind)
        draft.note_at("lr_scheduler_type", f"{shorten(kind)} has no canonical name")
    least = peak if form == "constant" else 0.0
    draft.code(f"{SCHEDULES} {shorten(kind)}", {"learning_rate.minimum": least})
    low, share = (
        draft.number("lr_scheduler_kwargs.min_lr", 0, 1000),
        draft.number("lr_scheduler_kwargs.min_lr_rate", 0, 1),
    )
    if kind == "cosine_with_min_lr" and low is not None:
        draft.stated("learning_rate.minimum", "lr_scheduler_kwargs.min_lr", low)
    elif kind == "cosine_with_min_lr" and share is not None:
        draft.stated("learning_rate.minimum", "lr_scheduler_kwargs.min_lr_rate", float(f"{share * peak:.15g}"))
    _warmup(draft, kind, steps)
    if kind == "inverse_sqrt" and not draft.values["learning_rate.warmup_steps"]:
        draft.note_at("lr_scheduler_type", f"without a warm-up the time scale is 10000 ({SCHEDULES})")
    if steps and form in {"linear", "cosine_to_min"}:
        draft.derived("learning_rate.decay_steps", steps, draft.at("max_steps"))
    draft.code(f"{SCHEDULES}: read before the update is counted", {"learning_rate.first": "zero"})
    draft.code(SCHEDULES, {"learning_rate.warmup_minimum": 0.0})


def _warmup(draft: Draft, kind: str, steps: int | None) -> None:
    name = "learning_rate.warmup_steps"
    warmup, ratio = draft.number("warmup_steps", 0, 1e12), draft.number("warmup_ratio", 0, 1)
    if kind == "constant":
        draft.code(f"{SCHEDULES}: constant has no warm-up", {name: 0})
        if warmup or ratio:
            draft.note_at("lr_scheduler_type", "constant ignores the warm-up that the file states")
    elif warmup and warmup >= 1:
        draft.stated(name, "warmup_steps", whole(warmup))
        if ratio:
            draft.note_at("warmup_ratio", "warmup_steps beside it takes precedence")
    elif part := warmup or ratio:
        where = draft.at("warmup_steps" if warmup else "warmup_ratio")
        if steps:
            how = f"{where}: a fraction of max_steps {steps}, rounded up"
            draft.derived(name, math.ceil(steps * part), how)
        else:
            draft.unstated(name, f"{where}: a fraction of the updates, whose number the file does not state")
    else:
        draft.stated(name, "warmup_steps", 0 if warmup == 0 else None, 0, f"{ARGUMENTS} warmup_steps")
