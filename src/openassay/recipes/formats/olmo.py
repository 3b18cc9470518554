"""OLMo YAML (OLMo 1 and 2): sections model, optimizer, scheduler, data; defaults from the code's config.py.

The schedule is read at the number of updates done, this one included, and its warm-up starts at a tenth of the peak unless
`warmup_min_lr` says otherwise. `max_duration` is updates, tokens (`4e12T`) or epochs (`1ep`); with `units: tokens` the warm-up
and the decay are counted in tokens. `mlp_ratio` counts both halves of a gated feed-forward block.
"""

from __future__ import annotations

import math
import re

from openassay.recipes.formats.draft import BIGGEST, Draft, whole
from openassay.recipes.formats.marked import Marked, shorten
from openassay.training.language import ReadRecipe

COMMIT = "allenai/OLMo@59a53e3f68e546330ca5a99ec626e58f9ab96494"
CONFIG = f"{COMMIT}:olmo/config.py"
OPTIM = f"{COMMIT}:olmo/optim.py"
TRAIN = f"{COMMIT}:olmo/train.py"

IGNORED = {
    "run_name": "a name",
    "wandb*": "logging",
    "dry_run": "how it is started",
    "console_log_interval": "logging",
    "speed_monitor*": "logging",
    "*metrics_log_interval": "logging",
    "*record_update_metrics": "logging",
    "*_profiling": "logging",
    "module_outputs_save_steps": "logging",
    "model.flash_attention": "the same function, another kernel",
    "fused_loss": "the same loss, another kernel",
    "model.init_device": "where, not what",
    "model.precision": "set by the trainer",
    "model.block_group_size": "parallelism",
    "model.alibi_bias_max": "of ALiBi only",
    "fsdp*": "parallelism",
    "ddp*": "parallelism",
    "single*": "parallelism",
    "distributed_strategy": "parallelism",
    "compile*": "speed; rounding only",
    "activation_checkpointing": "memory, not values",
    "tokenizer*": "the token files are tokenised",
    "save_folder": "a path",
    "remote_save_folder": "a path",
    "save_overwrite": "storage",
    "save_num_*": "storage",
    "save_interval_ephemeral": "storage: not kept",
    "sharded_checkpointer": "storage",
    "new_style_checkpoints": "storage",
    "force_save_unsharded": "storage",
    "no_pre_train_checkpoint": "storage",
    "save_data_indices": "storage",
    "load_path_sharded_checkpointer": "storage",
    "try_load_latest_save": "restarts",
    "restore_dataloader": "restarts",
    "fast_forward_batches": "restarts",
    "reset_trainer_state": "restarts",
    "device_train_microbatch_size": "memory: how the batch is cut",
    "device_train_batch_size": "parallelism",
    "device_train_grad_accum": "memory: how the batch is cut",
    "device_eval_batch_size": "evaluation",
    "eval_*": "evaluation",
    "evaluators*": "evaluation",
    "gen1_gc_interval": "speed, not values",
    "time_limit": "how it is started",
    "canceled_check_interval": "how it is started",
    "extra_steps_after_cancel": "how it is started",
    "early_stopping_factor": "how it is started",
    "hf_datasets_cache_dir": "a path",
    "data.num_workers": "speed, not values",
    "data.pin_memory": "speed, not values",
    "data.prefetch_factor": "speed, not values",
    "data.persistent_workers": "speed, not values",
    "data.timeout": "speed, not values",
    "data.pad_direction": "every sequence is full",
    "data.drop_last": "bears on the last batch of an epoch only",
    "data.generate_attention_mask": "every sequence is full",
}


def recognise(marked: Marked) -> bool:
    """Has the file OLMo's sections?"""
    root = marked.root.value
    model = root.get("model") if isinstance(root, dict) else None
    return model is not None and isinstance(model.value, dict) and {"d_model", "n_layers"} <= set(model.value)


def read(marked: Marked) -> ReadRecipe:
    """The recipe of an OLMo file."""
    draft = Draft("olmo", marked)
    _architecture(draft)
    _initialisation(draft)
    _optimizer(draft)
    _data(draft)
    _run(draft)
    _learning_rate(draft)
    return draft.finish(IGNORED)


def _architecture(draft: Draft) -> None:
    put = draft.stated
    width = draft.integer("model.d_model", 1, 10**6)
    heads = draft.integer("model.n_heads", 1, 10**5)
    put("architecture.hidden_size", "model.d_model", width, 768, f"{CONFIG} d_model")
    put(
        "architecture.num_layers", "model.n_layers", draft.integer("model.n_layers", 1, 10**4), 12, f"{CONFIG} n_layers"
    )
    put("architecture.num_heads", "model.n_heads", heads, 12, f"{CONFIG} n_heads")
    draft.divides(width, "model.n_heads", heads)
    shared = draft.integer("model.n_kv_heads", 1, 10**5)
    single = draft.boolean("model.multi_query_attention")
    if single and shared is None:
        draft.derived("architecture.num_kv_heads", 1, draft.at("model.multi_query_attention"))
    else:
        put(
            "architecture.num_kv_heads",
            "model.n_kv_heads",
            shared,
            draft.values["architecture.num_heads"],
            f"{CONFIG}: n_heads",
        )
    after = draft.boolean("model.norm_after")
    draft.derived(
        "architecture.family",
        "olmo2" if after else "olmo",
        f"{draft.at('model.norm_after')}: norms after attention and feed-forward"
        if after
        else "the format, without norm_after",
    )
    _vocabulary(draft)
    put(
        "architecture.max_position",
        "model.max_sequence_length",
        draft.integer("model.max_sequence_length", 1),
        1024,
        f"{CONFIG} max_sequence_length",
    )
    _feed_forward(draft)
    _norm(draft)
    if draft.boolean("model.rope"):
        draft.derived("architecture.rotary_share", 1.0, f"{draft.at('model.rope')}: the whole head")
        put(
            "architecture.rotary_base",
            "model.rope_theta",
            draft.number("model.rope_theta", 1, 1e12),
            10000,
            f"{CONFIG} rope_theta",
        )
    else:
        where = draft.at("model.rope") if draft.has("model.rope") else f"{CONFIG} rope is false"
        draft.derived("architecture.rotary_share", None, f"{where}: no rotary embedding")
        draft.number("model.rope_theta", 1, 1e12)
        draft.note(f"{where}: the canonical recipe has rotary positions only")
    draft.boolean("model.rope_full_precision")
    if draft.boolean("model.alibi"):
        draft.note(f"{draft.at('model.alibi')}: ALiBi, which the canonical recipe cannot say")
    draft.code("architecture.parallel_residual", False, f"{COMMIT}:olmo/model.py")
    kind = draft.word("model.block_type", ("sequential", "llama"))
    if kind == "llama":
        draft.note(
            f"{draft.at('model.block_type')}: the same function; the initial numbers are drawn for other matrices"
        )
    put("architecture.bias", "model.include_bias", draft.boolean("model.include_bias"), True, f"{CONFIG} include_bias")
    norm_bias = draft.boolean("model.bias_for_layer_norm")
    if (
        norm_bias is not None
        and norm_bias != draft.values["architecture.bias"]
        and draft.values.get("architecture.norm") == "layer_norm"
    ):
        draft.note(f"{draft.at('model.bias_for_layer_norm')}: the norms' biases are not as the other layers'")
    put(
        "architecture.tied_embeddings",
        "model.weight_tying",
        draft.boolean("model.weight_tying"),
        True,
        f"{CONFIG} weight_tying",
    )
    put(
        "architecture.qk_norm",
        "model.attention_layer_norm",
        draft.boolean("model.attention_layer_norm"),
        False,
        f"{CONFIG} attention_layer_norm",
    )
    weighted = draft.boolean("model.attention_layer_norm_with_affine")
    if draft.values["architecture.qk_norm"] and weighted is False:
        draft.note(
            f"{draft.at('model.attention_layer_norm_with_affine')}: the norms of queries and keys have no weights"
        )
    put(
        "architecture.attention_dropout",
        "model.attention_dropout",
        draft.number("model.attention_dropout", 0, 1),
        0.1,
        f"{CONFIG} attention_dropout",
    )
    put(
        "architecture.hidden_dropout",
        "model.residual_dropout",
        draft.number("model.residual_dropout", 0, 1),
        0.1,
        f"{CONFIG} residual_dropout",
    )
    embedding = draft.number("model.embedding_dropout", 0, 1)
    if (0.1 if embedding is None else embedding) != draft.values["architecture.hidden_dropout"]:
        draft.note(f"{draft.at('model.embedding_dropout')}: the embedding's dropout is not the layers'")
    put("architecture.clip_qkv", "model.clip_qkv", draft.number("model.clip_qkv", 0, 1e6), None, f"{CONFIG} clip_qkv")
    if draft.boolean("model.scale_logits"):
        scale = 1 / math.sqrt(width or 768)
        draft.derived("architecture.logits_scale", scale, f"{draft.at('model.scale_logits')}: 1 / sqrt(d_model)")
    else:
        put(
            "architecture.logits_scale",
            "model.scale_logits",
            1.0 if draft.has("model.scale_logits") else None,
            1.0,
            f"{CONFIG} scale_logits",
        )
    if draft.boolean("model.embedding_layer_norm"):
        draft.note(
            f"{draft.at('model.embedding_layer_norm')}: a norm on the embedding, which the canonical recipe cannot say"
        )
    draft.code("architecture.embedding_scale", 1.0, f"{COMMIT}:olmo/model.py: has none")
    draft.code("architecture.attention_scale", "inverse_sqrt", f"{COMMIT}:olmo/model.py")


def _vocabulary(draft: Draft) -> None:
    words, rows = draft.integer("model.vocab_size", 1, 10**8), draft.integer("model.embedding_size", 1, 10**8)
    model = draft.marked.root.value["model"].value
    if rows is None and "embedding_size" in model:
        draft.stated("architecture.vocab_size", "model.vocab_size", words, 50257, f"{CONFIG} vocab_size")
        return
    draft.stated(
        "architecture.vocab_size",
        "model.embedding_size",
        rows,
        50304,
        f"{CONFIG} embedding_size: no key embedding_size",
    )
    if words and rows is None and words > 50304:
        raise draft.bad(
            draft.find("model.vocab_size") or draft.marked.root,
            "model.vocab_size",
            "embedding_size beside it: its default is 50304",
            str(words),
        )
    if words and rows and rows < words:
        raise draft.bad(
            draft.find("model.embedding_size") or draft.marked.root,
            "model.embedding_size",
            f"at least vocab_size {words}",
            str(rows),
        )


def _feed_forward(draft: Draft) -> None:
    said = draft.word("model.activation_type", ("gelu", "relu", "swiglu"))
    activation = draft.stated(
        "architecture.activation", "model.activation_type", said, "swiglu", f"{CONFIG} activation_type"
    )
    both, ratio = draft.integer("model.mlp_hidden_size", 1, 10**7), draft.number("model.mlp_ratio", 0, 10**4)
    width = draft.values["architecture.hidden_size"]
    assert isinstance(width, int)  # noqa: S101 - set above
    if both is not None:
        total, where = float(both), draft.at("model.mlp_hidden_size")
    elif ratio is not None:
        total, where = ratio * width, f"{draft.at('model.mlp_ratio')} x d_model {width}"
    else:
        total, where = 4.0 * width, f"{CONFIG} mlp_ratio is 4"
    halves = 2 if activation == "swiglu" else 1
    if total % halves or total < halves:
        key = "model.mlp_hidden_size" if both is not None else "model.mlp_ratio"
        raise draft.bad(
            draft.find(key) or draft.marked.root, key, "a whole number of units in each half", f"{total:g} / {halves}"
        )
    draft.derived(
        "architecture.intermediate_size",
        int(total) // halves,
        where + (": both halves of swiglu together" if halves == 2 else ""),
    )


def _norm(draft: Draft) -> None:
    kind = draft.word("model.layer_norm_type", ("default", "low_precision", "rms"))
    weighted = draft.boolean("model.layer_norm_with_affine")
    where = draft.at("model.layer_norm_type") if kind else f"{CONFIG} layer_norm_type is default"
    if kind == "rms":
        name = "rms_norm"
        if weighted is False:
            draft.note(
                f"{draft.at('model.layer_norm_with_affine')}: an RMS norm without weights, which the canonical recipe cannot say"
            )
    else:
        name = "layer_norm_without_weights" if weighted is False else "layer_norm"
        if weighted is False:
            where += f", {draft.at('model.layer_norm_with_affine')}"
    draft.put("architecture.norm", name, "stated" if kind else "code default", where)
    draft.stated(
        "architecture.norm_eps",
        "model.layer_norm_eps",
        draft.number("model.layer_norm_eps", 0, 1),
        1e-5,
        f"{CONFIG} layer_norm_eps",
    )


def _initialisation(draft: Draft) -> None:
    method = draft.word("model.init_fn", ("normal", "mitchell", "full_megatron", "kaiming_normal", "fan_in"))
    name = draft.stated("initialisation.method", "model.init_fn", method, "normal", f"{CONFIG} init_fn")
    std, cut = draft.number("model.init_std", 0, 100), draft.number("model.init_cutoff_factor", 0, 100)
    source = f"{COMMIT}:olmo/model.py"
    embedding = draft.number("model.emb_init_std", 0, 100)
    draft.boolean("model.scale_emb_init")
    if name == "mitchell":
        draft.derived("initialisation.std", None, f"{source}: 1 / sqrt(d_model), less in deeper layers' outputs")
        draft.put(
            "initialisation.truncated_at",
            3.0 if cut is None else cut,
            "code default" if cut is None else "stated",
            source if cut is None else draft.at("model.init_cutoff_factor"),
        )
        return
    draft.stated("initialisation.std", "model.init_std", std, 0.02, f"{CONFIG} init_std")
    if name == "full_megatron":
        layers = draft.values["architecture.num_layers"]
        base = draft.values["initialisation.std"]
        if isinstance(layers, int) and isinstance(base, (int, float)):
            draft.derived(
                "initialisation.output_std", base / math.sqrt(2 * layers), f"{source}: std / sqrt(2 x n_layers)"
            )
    elif name == "normal":
        draft.derived("initialisation.output_std", None, f"{source}: as the others")
    draft.stated(
        "initialisation.truncated_at",
        "model.init_cutoff_factor",
        cut,
        3.0 if name == "full_megatron" else None,
        f"{source}",
    )
    draft.stated("initialisation.embedding_std", "model.emb_init_std", embedding, None, f"{source}: as the others")


def _optimizer(draft: Draft) -> None:
    kind = draft.word("optimizer.name", ("adamw", "lionw"))
    name = "adamw" if kind == "adamw" else "lion"
    draft.stated(
        "optimizer.name", "optimizer.name", name if kind else None, "lion", f"{CONFIG} optimizer.name is lionw"
    )
    if kind is None:
        draft.note(f"{CONFIG}: no optimizer.name, so the optimizer is LionW")
    draft.stated("optimizer.betas", "optimizer.betas", draft.betas("optimizer.betas"), (0.9, 0.95), f"{CONFIG} betas")
    eps = draft.number("optimizer.eps", 0, 1)
    if name == "lion":
        draft.derived("optimizer.eps", None, f"{OPTIM}: LionW has none")
    else:
        draft.stated("optimizer.eps", "optimizer.eps", eps, 1e-5, f"{CONFIG} eps")
        if eps is None:
            draft.note(f"{CONFIG}: no optimizer.eps, so Adam's epsilon is 1e-5, not the usual 1e-8")
    decay = draft.number("optimizer.weight_decay", 0, 100)
    draft.stated("optimizer.weight_decay", "optimizer.weight_decay", decay, 0.01, f"{CONFIG} weight_decay")
    norms, embeddings = draft.boolean("optimizer.decay_norm_and_bias"), draft.boolean("optimizer.decay_embeddings")
    old = draft.boolean("optimizer.no_decay_norm_and_bias")
    if norms is None and old is not None:
        norms = not old
        draft.note(f"{draft.at('optimizer.no_decay_norm_and_bias')}: the old key; read as decay_norm_and_bias {norms}")
    spared = (() if norms else ("bias", "norm")) + (() if embeddings else ("embedding",))
    said = [
        draft.at(f"optimizer.{key}")
        for key in ("decay_norm_and_bias", "decay_embeddings")
        if draft.has(f"optimizer.{key}")
    ]
    draft.put(
        "optimizer.not_decayed",
        spared,
        "stated" if len(said) == 2 else "code default",
        ", ".join([*said, *([] if len(said) == 2 else [f"{CONFIG}: false where not stated"])]),
    )
    if draft.boolean("optimizer.selective_updates"):
        draft.note(f"{draft.at('optimizer.selective_updates')}: parameters without a gradient are not updated")
    draft.code("optimizer.lr_multipliers", {}, f"{OPTIM}: one rate for all")


def _data(draft: Draft) -> None:
    length = draft.values["architecture.max_position"]
    draft.derived(
        "data.sequence_length", length, f"model.max_sequence_length: {draft.origins['architecture.max_position'].where}"
    )
    draft.derived(
        "data.item_length", length, f"{COMMIT}:olmo/data/memmap_dataset.py: inputs and labels are the same tokens"
    )
    draft.code("data.order", "olmo_shuffled", f"{COMMIT}:olmo/data/iterable_dataset.py")
    own, run = draft.integer("data.seed", 0, 2**63), draft.integer("seed", 0, 2**63)
    if own is not None:
        draft.stated("data.seed", "data.seed", own)
    else:
        draft.stated("data.seed", "seed", run, 6198, f"{CONFIG} seed")
    if draft.integer("epoch", 0, 10**6):
        draft.note(f"{draft.at('epoch')}: the order's seed is seed + epoch")
    paths = draft.words("data.paths")
    if draft.has("data.datasets") or draft.has("data.custom_dataset"):
        key = "data.datasets" if draft.has("data.datasets") else "data.custom_dataset"
        draft.unstated("data.files", f"{draft.at(key)}: not a list of token files")
        draft.unstated("data.order", f"{draft.at(key)}: not a list of token files")
    else:
        draft.stated("data.files", "data.paths", paths)
    draft.stated(
        "data.eos_token_id",
        "model.eos_token_id",
        draft.integer("model.eos_token_id", 0, 10**8),
        50256,
        f"{CONFIG} eos_token_id",
    )
    draft.stated(
        "data.pad_token_id",
        "model.pad_token_id",
        draft.integer("model.pad_token_id", 0, 10**8),
        50256,
        f"{CONFIG} pad_token_id",
    )
    kind = draft.word("data.memmap_dtype", ("uint16", "uint32", "int32", "int64", "uint8", "uint64"))
    if kind in {"uint8", "uint64"}:
        draft.unstated("data.token_type", f"{draft.at('data.memmap_dtype')}: {kind} has no canonical name")
    else:
        draft.stated("data.token_type", "data.memmap_dtype", kind, "uint16", f"{CONFIG} memmap_dtype")
    if draft.has("data.label_mask_paths"):
        draft.note(f"{draft.at('data.label_mask_paths')}: masks of labels, which the canonical recipe cannot say")
    if draft.boolean("data.generate_doc_lengths"):
        draft.note(
            f"{draft.at('data.generate_doc_lengths')}: attention stays within documents, which the canonical recipe cannot say"
        )
    if draft.find("data.instance_filter"):
        limits = tuple(
            draft.integer(f"data.instance_filter.repetition_{key}", 0, 10**6)
            for key in ("min_period", "max_period", "max_count")
        )
        low, high, count = (
            number if number is not None else usual for number, usual in zip(limits, (1, 13, 32), strict=True)
        )
        draft.put("data.repetition_filter", (low, high, count), "stated", draft.at("data.instance_filter"))
    else:
        draft.put("data.repetition_filter", None, "code default", f"{CONFIG} instance_filter: none")


def _run(draft: Draft) -> None:
    batch = draft.integer("global_train_batch_size", 1, 10**9)
    draft.stated("batch_size", "global_train_batch_size", batch, 512, f"{CONFIG} global_train_batch_size")
    draft.stated(
        "clip_norm", "max_grad_norm", draft.number("max_grad_norm", 0, 1e9), None, f"{CONFIG} max_grad_norm: none"
    )
    if draft.number("max_grad_norm_ratio", 0, 1e9) is not None:
        draft.note(f"{draft.at('max_grad_norm_ratio')}: adaptive clipping, which the canonical recipe cannot say")
    said = draft.word("precision", ("amp_bf16", "amp_fp16", "fp32", "bf16", "fp16"))
    names = {"amp_bf16": "bf16", "amp_fp16": "fp16", "fp32": "fp32"}
    draft.stated("precision", "precision", names.get(said or ""), "fp32", f"{CONFIG} precision: none")
    if draft.boolean("softmax_auxiliary_loss"):
        draft.stated(
            "z_loss",
            "auxiliary_loss_multiplier",
            draft.number("auxiliary_loss_multiplier", 0, 1e3),
            1e-4,
            f"{CONFIG} auxiliary_loss_multiplier",
        )
    else:
        draft.number("auxiliary_loss_multiplier", 0, 1e3)
        draft.stated(
            "z_loss",
            "softmax_auxiliary_loss",
            0.0 if draft.has("softmax_auxiliary_loss") else None,
            0.0,
            f"{CONFIG}: false",
        )
    draft.code("loss_divisor", "tokens", f"{TRAIN}: the sum of the losses by input_ids.numel()")
    if draft.has("load_path"):
        draft.note(f"{draft.at('load_path')}: the training goes on from another one's checkpoint")
    if draft.boolean("reset_optimizer_state"):
        draft.note(f"{draft.at('reset_optimizer_state')}: the optimizer's state is not taken from that checkpoint")


def _duration(draft: Draft) -> tuple[int | None, int | None, str]:
    """Updates, tokens and where it says so; None for what does not follow."""
    entry = draft.find("max_duration")
    batch, length = draft.values["batch_size"], draft.values["data.sequence_length"]
    assert isinstance(batch, int)  # noqa: S101 - set above
    assert isinstance(length, int)  # noqa: S101 - set above
    if entry is None:
        return 10000, None, f"{CONFIG} max_duration"
    where = draft.at("max_duration")
    if isinstance(entry.value, int) and not isinstance(entry.value, bool):
        return draft.as_integer(entry, "max_duration", 1), None, where
    match = re.fullmatch(
        r"\s*([0-9][0-9_]*(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?)\s*(T|ep)?\s*", entry.raw if len(entry.raw) < 40 else ""
    )
    if not match or isinstance(entry.value, (dict, list)):
        raise draft.bad(entry, "max_duration", "updates, tokens with T, or epochs with ep", entry)
    amount = float(match[1].replace("_", ""))
    if not 0 < amount <= BIGGEST:
        raise draft.bad(entry, "max_duration", f"more than 0 and at most {BIGGEST}", entry)
    if match[2] == "ep":
        draft.note(
            f"{where}: {shorten(entry.raw)} epochs; how many updates that is depends on the sizes of the data files"
        )
        return None, None, where
    if match[2] == "T":
        return math.ceil(int(amount) / (batch * length)), int(amount), where
    return int(amount), None, where


def _learning_rate(draft: Draft) -> None:
    batch, length = draft.values["batch_size"], draft.values["data.sequence_length"]
    assert isinstance(batch, int)  # noqa: S101 - set above
    assert isinstance(length, int)  # noqa: S101 - set above
    updates, tokens, where = _duration(draft)
    _steps(draft, updates, tokens, where, batch * length)
    forms = {
        "cosine_with_warmup": "cosine_to_min",
        "linear_with_warmup": "linear",
        "inverse_sqrt_with_warmup": "inverse_sqrt",
        "constant": "constant",
        "constant_with_warmup": "constant",
    }
    name = draft.word("scheduler.name", (*forms, "max_scheduler", "cosine_linear_envelope"))
    if name is None or name in forms:
        draft.stated(
            "learning_rate.form", "scheduler.name", forms.get(name or ""), "cosine_to_min", f"{CONFIG} scheduler.name"
        )
    else:
        draft.unstated("learning_rate.form", f"{draft.at('scheduler.name')}: {name} has no canonical name")
        draft.note(f"{draft.at('scheduler.name')}: {name} has no canonical name")
    rate = draft.number("optimizer.learning_rate", 0, 1000)
    peak = draft.stated("learning_rate.peak", "optimizer.learning_rate", rate, 1e-4, f"{CONFIG} learning_rate")
    assert isinstance(peak, (int, float))  # noqa: S101 - set above
    share = draft.number("scheduler.alpha_f", 0, 1)
    if forms.get(name or "") in {"constant", "inverse_sqrt"}:
        least = peak if forms[name or ""] == "constant" else 0.0
        draft.derived("learning_rate.minimum", least, f"{OPTIM}: {name} has no alpha_f")
    else:
        says = draft.at("scheduler.alpha_f") if share is not None else f"{CONFIG} alpha_f is 0.1"
        draft.derived(
            "learning_rate.minimum", float(f"{(0.1 if share is None else share) * peak:.15g}"), f"{says} x the peak"
        )
    units = draft.word("scheduler.units", ("steps", "tokens"))
    unit = batch * length if units == "tokens" else 1
    warmup, last = draft.number("scheduler.t_warmup", 0, 1e16), draft.number("scheduler.t_max", 0, 1e16)
    by = f" tokens / ({batch} x {length})" if unit > 1 else ""
    if name == "constant":
        draft.code("learning_rate.warmup_steps", 0, f"{OPTIM}: constant has no warm-up")
    elif warmup is None:
        draft.put("learning_rate.warmup_steps", whole(100 / unit), "code default", f"{CONFIG} t_warmup is 100{by}")
    else:
        draft.put(
            "learning_rate.warmup_steps",
            whole(int(warmup) / unit),
            "derived" if by else "stated",
            draft.at("scheduler.t_warmup") + by,
        )
    if last is not None:
        draft.put(
            "learning_rate.decay_steps",
            whole(int(last) / unit),
            "derived" if by else "stated",
            draft.at("scheduler.t_max") + by,
        )
    elif unit > 1 and tokens:
        draft.derived("learning_rate.decay_steps", whole(tokens / unit), f"{where}{by}: no scheduler.t_max")
    elif updates:
        draft.derived("learning_rate.decay_steps", updates, f"{where}: no scheduler.t_max")
    else:
        draft.unstated("learning_rate.decay_steps", f"{where}: an epoch, whose length is the data files'")
    draft.code("learning_rate.first", "one_step", f"{TRAIN}: the schedule is read after this update is counted")
    low = draft.number("scheduler.warmup_min_lr", 0, 1000)
    if draft.values["learning_rate.warmup_steps"] and low is None:
        draft.note(f"{OPTIM}: no warmup_min_lr, so the warm-up starts at a tenth of the peak, not at 0")
    draft.stated(
        "learning_rate.warmup_minimum",
        "scheduler.warmup_min_lr",
        low,
        float(f"{0.1 * peak:.15g}"),
        f"{OPTIM}: a tenth of the peak",
    )
    steps, factor = (
        draft.number("scheduler.grad_clip_warmup_steps", 0, 1e16),
        draft.number("scheduler.grad_clip_warmup_factor", 0, 1e9),
    )
    if steps is not None and factor is not None:
        draft.put(
            "clip_warmup_steps",
            whole(int(steps) / unit),
            "derived" if by else "stated",
            draft.at("scheduler.grad_clip_warmup_steps") + by,
        )
        draft.stated("clip_warmup_factor", "scheduler.grad_clip_warmup_factor", factor)
    else:
        draft.code("clip_warmup_steps", 0, f"{OPTIM}: none unless both keys are there")
        draft.code("clip_warmup_factor", 1.0, f"{OPTIM}: none unless both keys are there")


def _steps(draft: Draft, updates: int | None, tokens: int | None, where: str, unit: int) -> None:
    stop, after = draft.integer("stop_at", 1), draft.integer("stop_after", 1)
    if after is not None and stop is None:
        draft.stated("steps", "stop_after", after)
    elif stop is not None:
        draft.stated("steps", "stop_at", stop)
        if updates and stop != updates:
            draft.note(
                f"{draft.at('stop_at')}: training stops at update {stop}, the schedule is for {updates} ({where})"
            )
    elif updates:
        kind = "stated" if tokens is None and draft.has("max_duration") else "derived" if tokens else "code default"
        draft.put("steps", updates, kind, where + (f": tokens / {unit}" if tokens else ""))
        draft.note(
            f"{TRAIN}: no stop_at, so the code goes on for 10 updates after max_duration's {updates}, while data last"
        )
    else:
        draft.unstated("steps", f"{where}: an epoch, whose length is the data files'")
    steps = draft.values["steps"]
    if tokens is not None and stop is None:
        draft.put("tokens_total", tokens, "stated", where)
    elif isinstance(steps, int):
        draft.derived("tokens_total", steps * unit, f"steps {steps} x {unit} tokens of a batch")
    _comment(draft)
    _checkpoints(draft, steps if isinstance(steps, int) else None)


def _comment(draft: Draft) -> None:
    """Does the comment beside max_duration say the same number of tokens?"""
    entry, total = draft.find("max_duration"), draft.values.get("tokens_total")
    match = re.search(r"([0-9.]+)\s*([KMBT]) tokens", draft.marked.comments.get(entry.line, "")) if entry else None
    if not entry or not match or not isinstance(total, int) or match[1].count(".") > 1 or match[1] == ".":
        return
    said = float(match[1]) * {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}[match[2]]
    if abs(said - total) > 0.02 * total:
        draft.note(f"{entry.place}: the comment says {match[1]}{match[2]} tokens, the values give {total}")


def _checkpoints(draft: Draft, steps: int | None) -> None:
    kept = {}
    for key, count in (
        ("save_interval", "save_num_checkpoints_to_keep"),
        ("save_interval_unsharded", "save_num_unsharded_checkpoints_to_keep"),
    ):
        every, keep = _interval(draft, key), draft.integer(count, -1)
        if every and (keep is None or keep < 0):
            kept[key] = every
    if steps and kept and sum(steps // every for every in kept.values()) <= 100_000:
        found = {at for every in kept.values() for at in range(every, steps + 1, every)}
        draft.derived(
            "checkpoints", tuple(sorted(found)), ", ".join(draft.at(key) for key in kept) + ": where all are kept"
        )


def _interval(draft: Draft, key: str) -> int | None:
    entry = draft.find(key)
    return None if entry is None or entry.raw.startswith("${") else draft.as_integer(entry, key, 1)
