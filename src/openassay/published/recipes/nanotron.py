"""Nanotron YAML (SmolLM 1 to 3): sections model, optimizer, tokens, parallelism, data_stages; defaults from the code's classes.

The batch is micro-batch x accumulation x `parallelism.dp`. The decay takes `lr_decay_steps` from `lr_decay_starting_step`, which
is the end of the warm-up unless the file says otherwise; the first update has the rate of step 0.
"""

from __future__ import annotations

import math

from openassay.published.marked import Entry, Marked, shorten
from openassay.published.recipes.draft import Draft
from openassay.training.language import ReadRecipe

COMMIT = "huggingface/nanotron@2411b022a75fb7f7561a1bb4166706da5e1b76de"
CONFIG = f"{COMMIT}:src/nanotron/config/config.py"
MODELS = f"{COMMIT}:src/nanotron/config/models_config.py"
HELPERS = f"{COMMIT}:src/nanotron/helpers.py"
WEIGHTS = f"{COMMIT}:src/nanotron/scaling/parametrization.py"

IGNORED = {
    "a name": "general.project general.run",
    "restarts": (
        "general.step general.consumed_train_samples checkpoints.load_* checkpoints.resume_checkpoint_path "
        "general.ignore_sanity_checks"
    ),
    "a path": "checkpoints.checkpoints_path* general.benchmark_csv_path",
    "storage": "s3_upload* checkpoints.save_initial_state checkpoints.save_final_state",
    "logging": "logging* metrics_logging* profiler* wandb* experiment_logger* slurm* kill_switch_path",
    "evaluation": "lighteval* tokens.val_check_interval tokens.limit_*",
    "parallelism": "parallelism* optimizer.zero_stage model.ddp_bucket_cap_mb model.model_config.pretraining_tp",
    "another kernel": "model.model_config._fused_* model.model_config._use_qkv_packed model.model_config._attn_implementation "
    "optimizer.optimizer_factory.torch_adam_is_fused model.model_config.flex_attention_mask",
    "generation": "model.model_config.use_cache model.model_config.bos_token_id",
    "tells the families apart": "model.model_config.is_*_config",
    "logging of the attention": "model.model_config.log_attn_probs",
    "not used: init_method.std counts": "model.model_config.initializer_range",
    "of the z-loss": "model.model_config.z_loss_coefficient",
    "the token files are tokenised": "tokenizer*",
    "general.seed draws the first weights": "general.seed",
}
KNOWN = ("is_llama_config", "is_qwen2_config")
_NET = "model.model_config"
_RATE = "optimizer.learning_rate_scheduler"


def read(marked: Marked) -> ReadRecipe:
    """The recipe of a nanotron file."""
    draft = Draft("nanotron", marked)
    for key in draft.marked.root.value["model"].value["model_config"].value or ():
        if key.startswith("is_") and key.endswith("_config") and key not in KNOWN:
            raise draft.refusal(
                f"{_NET}.{key}", f"one of {', '.join(KNOWN)} for nanotron", "a model that this reader does not know"
            )
    _architecture(draft)
    _initialisation(draft)
    _optimizer(draft)
    steps = draft.take("steps", "tokens.train_steps")
    _learning_rate(draft, steps)
    length = draft.take("data.sequence_length", "tokens.sequence_length", limits=(1, 10**9))
    _batch(draft, steps, length)
    _data(draft, length)
    names = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
    draft.named("precision", "model.dtype", names, "bf16", f"{CONFIG} ModelArgs.dtype")
    if draft.boolean("optimizer.accumulate_grad_in_fp32") is False and draft.values["precision"] == "bf16":
        draft.beyond("optimizer.accumulate_grad_in_fp32", "weights that are themselves kept in bfloat16")
    every = draft.integer("checkpoints.checkpoint_interval", 1)
    draft.checkpoints(steps, [every or 0], draft.at("checkpoints.checkpoint_interval"))
    return draft.finish(IGNORED)


def _architecture(draft: Draft) -> None:
    name = "Qwen2Config" if draft.boolean(f"{_NET}.is_qwen2_config") else "LlamaConfig"
    where = f"{MODELS} {name}"
    draft.derived("architecture.family", "llama", f"{name} of nanotron: Llama's blocks")
    for field, key, default in (
        ("vocab_size", "vocab_size", 32000),
        ("hidden_size", "hidden_size", 4096),
        ("num_layers", "num_hidden_layers", 32),
        ("num_heads", "num_attention_heads", 32),
        ("intermediate_size", "intermediate_size", 11008),
        ("max_position", "max_position_embeddings", 2048),
        ("norm_eps", "rms_norm_eps", 1e-6),
        ("rotary_base", "rope_theta", 10000.0),
        ("tied_embeddings", "tie_word_embeddings", False),
        ("bias", "attention_bias", False),
    ):
        draft.take(f"architecture.{field}", f"{_NET}.{key}", default, f"{where} {key}")
    heads = draft.values["architecture.num_heads"]
    draft.take("architecture.num_kv_heads", f"{_NET}.num_key_value_heads", heads, f"{where}: as many as heads")
    draft.heads_divide(
        draft.integer(f"{_NET}.hidden_size"), f"{_NET}.num_attention_heads", heads if isinstance(heads, int) else None
    )
    _padded(draft)
    draft.named("architecture.activation", f"{_NET}.hidden_act", {"silu": "swiglu"}, "swiglu", f"{where} hidden_act")
    code = f"{COMMIT}:src/nanotron/models/{'qwen' if name == 'Qwen2Config' else 'llama'}.py"
    draft.code(
        code,
        {
            "architecture.norm": "rms_norm",
            "architecture.rotary_share": 1.0,
            "architecture.parallel_residual": False,
            "architecture.qk_norm": False,
            "architecture.attention_dropout": 0.0,
            "architecture.hidden_dropout": 0.0,
            "architecture.embedding_scale": 1.0,
            "architecture.logits_scale": 1.0,
            "architecture.attention_scale": "inverse_sqrt",
            "architecture.clip_qkv": None,
        },
    )
    for key, what in (
        ("no_rope_layer", "layers without rotary positions"),
        ("moe_config", "experts"),
        ("sliding_window_size", "attention in a window"),
        ("_use_doc_masking", "attention that stays within documents"),
        ("rope_scaling", "rotary positions that are rescaled"),
        ("rope_interleaved", "rotary positions that turn neighbours"),
        ("rope_seq_len_interpolation_factor", "rotary positions that are rescaled"),
        ("attention_bias", "biases of the queries, keys and values only"),
    ):
        entry = draft.find(f"{_NET}.{key}")
        if entry is not None and entry.value is not False:
            draft.beyond(f"{_NET}.{key}", what)
            draft.unstated("architecture.family", f"{draft.at(f'{_NET}.{key}')}: {what}")
            for inner in entry.value if isinstance(entry.value, dict) else ():
                draft.used.add(f"{_NET}.{key}.{inner}")
    if draft.boolean(f"{_NET}.z_loss_enabled"):
        draft.take("z_loss", f"{_NET}.z_loss_coefficient", 1e-4, f"{where} z_loss_coefficient")
    else:
        draft.code(f"{where} z_loss_enabled", {"z_loss": 0.0})


def _padded(draft: Draft) -> None:
    """Round the vocabulary up to what each tensor-parallel rank can share."""
    words = draft.values["architecture.vocab_size"]
    unit = (draft.integer("model.make_vocab_size_divisible_by", 1, 10**6) or 1) * (
        draft.integer("parallelism.tp", 1, 10**5) or 1
    )
    if words == -1 or not isinstance(words, int):
        draft.unstated("architecture.vocab_size", f"{draft.at(f'{_NET}.vocab_size')}: that of the token files")
    elif words % unit:
        where = f"{draft.at(f'{_NET}.vocab_size')} rounded up to a multiple of {unit}"
        draft.derived("architecture.vocab_size", math.ceil(words / unit) * unit, where)


def _initialisation(draft: Draft) -> None:
    for key, what in (
        ("path", "weights that another training left"),
        ("use_mup", "the spectral form of the maximal update parametrisation"),
    ):
        if draft.has(f"model.init_method.{key}"):
            draft.beyond(f"model.init_method.{key}", what)
            return
    std = draft.take("initialisation.std", "model.init_method.std")
    draft.code(WEIGHTS, {"initialisation.method": "normal", "initialisation.truncated_at": None})
    scaling = draft.word("model.init_method.scaling_method", ("NONE", "NUM_LAYERS"))
    layers = draft.values["architecture.num_layers"]
    if scaling == "NONE":
        draft.derived(
            "initialisation.output_std", None, f"{draft.at('model.init_method.scaling_method')}: as the others"
        )
    elif std is not None and isinstance(layers, int):
        draft.derived("initialisation.output_std", std / math.sqrt(2 * layers), f"{WEIGHTS}: std / sqrt(2 x layers)")


def _optimizer(draft: Draft) -> None:
    factory = "optimizer.optimizer_factory" if draft.has("optimizer.optimizer_factory") else "optimizer"
    name = draft.named(
        "optimizer.name", f"{factory}.name", {"adamW": "adamw", "sgd": "sgd"}, "adamw", f"{CONFIG} AdamWOptimizerArgs"
    )
    if name == "sgd":
        draft.derived("optimizer.betas", None, "sgd has none")
        draft.derived("optimizer.eps", None, "sgd has none")
    else:
        first, second = (draft.number(f"{factory}.adam_beta{at}", 0, 1) for at in (1, 2))
        if first is not None and second is not None:
            draft.put(
                "optimizer.betas", (first, second), "stated", draft.at(f"{factory}.adam_beta1", f"{factory}.adam_beta2")
            )
        draft.take("optimizer.eps", f"{factory}.adam_eps")
    draft.take("optimizer.weight_decay", "optimizer.weight_decay")
    spared = draft.words("optimizer.weight_decay_exclude_named_params")
    if not spared:
        draft.code(f"{HELPERS}: all are decayed, norms too", {"optimizer.not_decayed": ()})
    elif all(pattern.strip(".*") == "token_embedding" for pattern in spared):
        draft.stated("optimizer.not_decayed", "optimizer.weight_decay_exclude_named_params", ("embedding",))
    else:
        draft.nameless("optimizer.not_decayed", "optimizer.weight_decay_exclude_named_params", ", ".join(spared))
    if draft.has("model.init_method.use_mup"):
        draft.unstated(
            "optimizer.lr_multipliers", f"{draft.at('model.init_method.use_mup')}: rates by the layers' widths"
        )
    else:
        draft.code(f"{HELPERS}: one rate for all", {"optimizer.lr_multipliers": {}})
    draft.take("clip_norm", "optimizer.clip_grad")
    if not draft.has("optimizer.clip_grad"):
        draft.code(f"{CONFIG} clip_grad: none", {"clip_norm": None})


def _learning_rate(draft: Draft, steps: int | None) -> None:
    peak = draft.take("learning_rate.peak", f"{_RATE}.learning_rate")
    warmup = draft.take("learning_rate.warmup_steps", f"{_RATE}.lr_warmup_steps", 0, f"{CONFIG} lr_warmup_steps")
    if draft.word(f"{_RATE}.lr_warmup_style", ("linear", "constant")) == "constant" and warmup:
        draft.derived("learning_rate.warmup_minimum", peak, draft.at(f"{_RATE}.lr_warmup_style"))
    else:
        draft.code(HELPERS, {"learning_rate.warmup_minimum": 0.0})
    draft.code(f"{HELPERS}: a LambdaLR, first read at 0", {"learning_rate.first": "zero"})
    draft.take("learning_rate.minimum", f"{_RATE}.min_decay_lr", peak, f"{CONFIG} min_decay_lr: the learning rate")
    forms = {"linear": "linear", "cosine": "cosine_to_min"}
    style = draft.named("learning_rate.form", f"{_RATE}.lr_decay_style", forms, "linear", f"{CONFIG} lr_decay_style")
    start, length = draft.integer(f"{_RATE}.lr_decay_starting_step"), draft.integer(f"{_RATE}.lr_decay_steps")
    if style not in {None, *forms}:
        draft.beyond(f"{_RATE}.lr_decay_style", f"the decay {shorten(style or '')}")
    if start is not None and start != warmup:
        draft.beyond(f"{_RATE}.lr_decay_starting_step", f"a constant rate from the warm-up to update {start}")
        draft.unstated(
            "learning_rate.form", f"{draft.at(f'{_RATE}.lr_decay_starting_step')}: constant first, then a decay"
        )
        draft.unstated(
            "learning_rate.decay_steps", f"{draft.at(f'{_RATE}.lr_decay_starting_step')}: constant first, then a decay"
        )
    elif length is not None:
        where = f"{draft.at(f'{_RATE}.lr_decay_steps')} after the warm-up"
        draft.derived("learning_rate.decay_steps", (start or warmup) + length, where)
    elif steps:
        draft.derived("learning_rate.decay_steps", steps, f"{CONFIG} lr_decay_steps: train_steps - lr_warmup_steps")


def _batch(draft: Draft, steps: int | None, length: int | None) -> None:
    keys = ("tokens.micro_batch_size", "tokens.batch_accumulation_per_replica", "parallelism.dp")
    amounts = [draft.integer(key, 1, 10**7) for key in keys]
    if all(amounts):
        batch = math.prod(amount or 1 for amount in amounts)
        draft.derived(
            "batch_size",
            batch,
            " x ".join(f"{amount} ({draft.at(key)})" for key, amount in zip(keys, amounts, strict=True)),
        )
        if steps and length:
            draft.derived("tokens_total", steps * batch * length, f"steps {steps} x batch {batch} x length {length}")


def _data(draft: Draft, length: int | None) -> None:
    stages = draft.items("data_stages") or []
    names = [_inner(stage, "name") for stage in stages]
    if len(stages) > 1:
        draft.beyond("data_stages", f"{len(stages)} stages with data of their own")
    if not stages:
        return
    kinds = ("dataset_folder", "dataset_read_path")
    folders = next(
        (found for kind in kinds if (found := _inner(stages[0], f"data.dataset.{kind}")) and found.value), None
    )
    for stage, name in zip(stages, names, strict=True):
        for key, entry in stage.value.items() if isinstance(stage.value, dict) else ():
            if key not in {"name", "start_training_step", "data", "sequence_length"}:
                draft.unknown[shorten(f"data_stages.{name.raw if name else ''}.{key}")] = entry.place
        if (entry := _inner(stage, "sequence_length")) and entry.value not in {None, length}:
            draft.note(
                f"{entry.place}: sequence_length: a stage with another length, which the canonical recipe cannot express"
            )
    seed = _inner(stages[0], "data.seed")
    if seed is not None and seed.value is not None:
        draft.put("data.seed", draft.as_integer(seed, "data.seed", 0, 2**63), "stated", f"{seed.place} data.seed")
    else:
        draft.code(f"{CONFIG} DEFAULT_SEED", {"data.seed": 42})
    if folders is not None:
        items = folders.value if isinstance(folders.value, list) else [folders]
        draft.put("data.files", tuple(item.raw for item in items), "stated", f"{folders.place} {folders.name}")
        if length:
            draft.code(
                f"{COMMIT}:src/nanotron/data/nanoset.py: a token more than the length", {"data.item_length": length + 1}
            )
        draft.derived("data.order", "unknown", f"{folders.place}: drawn from the folders by weight")
        if (weights := _inner(stages[0], "data.dataset.dataset_weights")) and weights.value:
            draft.note(
                f"{weights.place}: dataset_weights: the data are mixed by weight, which the canonical recipe cannot express"
            )
    for key, field in (("data.eos_token_id", "eos_token_id"), ("data.pad_token_id", "pad_token_id")):
        draft.take(key, f"{_NET}.{field}", limits=(-1, 10**8))


def _inner(entry: Entry | None, path: str) -> Entry | None:
    """The entry at a dotted path below another; None where there is none."""
    for part in path.split("."):
        entry = entry.value.get(part) if entry is not None and isinstance(entry.value, dict) else None
    return entry
