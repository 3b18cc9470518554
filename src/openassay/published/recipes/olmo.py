"""OLMo YAML (OLMo 1 and 2): sections model, optimizer, scheduler, data; defaults from the code's config.py.

The schedule is read at the number of updates done, this one included, and its warm-up starts at a tenth of the peak unless
`warmup_min_lr` says otherwise. `max_duration` is updates, tokens (`4e12T`) or epochs (`1ep`); with `units: tokens` the warm-up
and the decay are counted in tokens. `mlp_ratio` counts both halves of a gated feed-forward block.
"""

from __future__ import annotations

import math
import re

from openassay.published.marked import Marked, shorten
from openassay.published.recipes.draft import BIGGEST, Draft, whole
from openassay.training.language import ReadRecipe

COMMIT = "allenai/OLMo@59a53e3f68e546330ca5a99ec626e58f9ab96494"
CONFIG = f"{COMMIT}:olmo/config.py"
MODEL = f"{COMMIT}:olmo/model.py"
OPTIM = f"{COMMIT}:olmo/optim.py"
TRAIN = f"{COMMIT}:olmo/train.py"

IGNORED = {
    "a name": "run_name",
    "logging": (
        "wandb* console_log_interval speed_monitor* *metrics_log_interval *record_update_metrics *_profiling "
        "module_outputs_save_steps"
    ),
    "how it is started": "dry_run time_limit canceled_check_interval extra_steps_after_cancel early_stopping_factor",
    "the same function, another kernel": "model.flash_attention",
    "the same loss, another kernel": "fused_loss",
    "where, not what": "model.init_device",
    "set by the trainer": "model.precision",
    "parallelism": "model.block_group_size fsdp* ddp* single* distributed_strategy device_train_batch_size",
    "of ALiBi only": "model.alibi_bias_max",
    "speed; rounding only": "compile*",
    "memory, not values": "activation_checkpointing",
    "the token files are tokenised": "tokenizer*",
    "a path": "save_folder remote_save_folder hf_datasets_cache_dir",
    "storage": (
        "save_overwrite save_num_* sharded_checkpointer new_style_checkpoints force_save_unsharded "
        "no_pre_train_checkpoint save_data_indices load_path_sharded_checkpointer"
    ),
    "storage: not kept": "save_interval_ephemeral",
    "restarts": "try_load_latest_save restore_dataloader fast_forward_batches reset_trainer_state",
    "memory: how the batch is cut": "device_train_microbatch_size device_train_grad_accum",
    "evaluation": "device_eval_batch_size eval_* evaluators*",
    "speed, not values": (
        "gen1_gc_interval data.num_workers data.pin_memory data.prefetch_factor data.persistent_workers data.timeout"
    ),
    "every sequence is full": "data.pad_direction data.generate_attention_mask",
    "bears on the last batch of an epoch only": "data.drop_last",
}


def read(marked: Marked) -> ReadRecipe:
    """The recipe of an OLMo file."""
    draft = Draft("olmo", marked)
    read_model(draft)
    _optimizer(draft)
    _data(draft)
    _run(draft)
    _learning_rate(draft)
    return draft.finish(IGNORED)


def read_model(draft: Draft) -> None:
    """Fill in the network and how its weights begin, from the section `model`."""
    for name, key, default in (
        ("hidden_size", "d_model", 768),
        ("num_layers", "n_layers", 12),
        ("num_heads", "n_heads", 12),
        ("max_position", "max_sequence_length", 1024),
        ("norm_eps", "layer_norm_eps", 1e-5),
        ("bias", "include_bias", True),
        ("tied_embeddings", "weight_tying", True),
        ("qk_norm", "attention_layer_norm", False),
        ("attention_dropout", "attention_dropout", 0.1),
        ("hidden_dropout", "residual_dropout", 0.1),
        ("clip_qkv", "clip_qkv", None),
    ):
        draft.take(f"architecture.{name}", f"model.{key}", default, f"{CONFIG} {key}")
    draft.heads_divide(draft.integer("model.d_model"), "model.n_heads", draft.integer("model.n_heads"))
    heads = draft.values["architecture.num_heads"]
    draft.take("architecture.num_kv_heads", "model.n_kv_heads", heads, f"{CONFIG}: n_heads")
    if draft.boolean("model.multi_query_attention") and not draft.has("model.n_kv_heads"):
        draft.derived("architecture.num_kv_heads", 1, draft.at("model.multi_query_attention"))
    if draft.boolean("model.norm_after"):
        after = f"{draft.at('model.norm_after')}: norms after attention and feed-forward"
        draft.derived("architecture.family", "olmo2", after)
    else:
        draft.derived("architecture.family", "olmo", "the format, without norm_after")
    _vocabulary(draft)
    _feed_forward(draft)
    _norm(draft)
    _positions(draft)
    draft.code(MODEL, {"architecture.parallel_residual": False, "architecture.attention_scale": "inverse_sqrt"})
    draft.code(f"{MODEL}: has none", {"architecture.embedding_scale": 1.0})
    block = draft.word("model.block_type", ("sequential", "llama", "moe"))
    if block == "llama":
        draft.note_at("model.block_type", "the same function; the initial weights are drawn for other matrices")
    elif block == "moe":
        draft.beyond("model.block_type", "layers of experts and their losses")
        for name in ("family", "intermediate_size"):
            draft.unstated(f"architecture.{name}", f"{draft.at('model.block_type')}: layers of experts")
    if draft.boolean("model.attention_layer_norm_with_affine") is False and draft.values["architecture.qk_norm"]:
        draft.note_at("model.attention_layer_norm_with_affine", "the norms of queries and keys have no weights")
    embedding = draft.number("model.embedding_dropout", 0, 1)
    if (0.1 if embedding is None else embedding) != draft.values["architecture.hidden_dropout"]:
        draft.note_at("model.embedding_dropout", "the embedding has another dropout rate than the layers")
    if draft.boolean("model.scale_logits"):
        scale = 1 / math.sqrt(draft.integer("model.d_model") or 768)
        draft.derived("architecture.logits_scale", scale, f"{draft.at('model.scale_logits')}: 1 / sqrt(d_model)")
    else:
        said = 1.0 if draft.has("model.scale_logits") else None
        draft.stated("architecture.logits_scale", "model.scale_logits", said, 1.0, f"{CONFIG} scale_logits")
    if draft.boolean("model.embedding_layer_norm"):
        draft.beyond("model.embedding_layer_norm", "a norm on the embedding")
    _initialisation(draft)


def _vocabulary(draft: Draft) -> None:
    words, rows = draft.integer("model.vocab_size", 1, 10**8), draft.integer("model.embedding_size", 1, 10**8)
    if rows is None and "embedding_size" in draft.marked.root.value["model"].value:
        draft.stated("architecture.vocab_size", "model.vocab_size", words, 50257, f"{CONFIG} vocab_size")
        return
    default_at = f"{CONFIG} embedding_size: no key embedding_size"
    draft.stated("architecture.vocab_size", "model.embedding_size", rows, 50304, default_at)
    if words and rows is None and words > 50304:
        raise draft.refusal("model.vocab_size", "embedding_size beside it, as its default is 50304", str(words))
    if words and rows and rows < words:
        raise draft.refusal("model.embedding_size", f"at least vocab_size {words}", str(rows))


def _feed_forward(draft: Draft) -> None:
    draft.word("model.activation_type", ("gelu", "relu", "swiglu"))
    default_at = f"{CONFIG} activation_type"
    gated = draft.take("architecture.activation", "model.activation_type", "swiglu", default_at) == "swiglu"
    both, ratio = draft.integer("model.mlp_hidden_size", 1, 10**7), draft.number("model.mlp_ratio", 0, 10**4)
    width = draft.values["architecture.hidden_size"]
    assert isinstance(width, int)  # noqa: S101 - set above
    if both is not None:
        total, where = float(both), draft.at("model.mlp_hidden_size")
    elif ratio is not None:
        total, where = ratio * width, f"{draft.at('model.mlp_ratio')} x d_model {width}"
    else:
        total, where = 4.0 * width, f"{CONFIG} mlp_ratio is 4"
    halves = 2 if gated else 1
    if total % halves or total < halves:
        key = "model.mlp_ratio" if both is None else "model.mlp_hidden_size"
        raise draft.refusal(key, "a whole number of units in each half", f"{total:g} / {halves}")
    where += ": both halves of swiglu together" if gated else ""
    draft.derived("architecture.intermediate_size", int(total) // halves, where)


def _norm(draft: Draft) -> None:
    kind = draft.word("model.layer_norm_type", ("default", "low_precision", "rms"))
    weightless = draft.boolean("model.layer_norm_with_affine") is False
    where = draft.at("model.layer_norm_type") if kind else f"{CONFIG} layer_norm_type is default"
    if kind == "rms":
        name = "rms_norm"
        if weightless:
            draft.beyond("model.layer_norm_with_affine", "an RMS norm without weights")
    elif weightless:
        name = "layer_norm_without_weights"
        where += f", {draft.at('model.layer_norm_with_affine')}"
    else:
        name = "layer_norm"
    draft.put("architecture.norm", name, "stated" if kind else "code default", where)
    biased = draft.boolean("model.bias_for_layer_norm")
    if name == "layer_norm" and biased not in {None, draft.values["architecture.bias"]}:
        draft.note_at(
            "model.bias_for_layer_norm", "the norms have biases and the other layers have none, or the reverse"
        )


def _positions(draft: Draft) -> None:
    if draft.boolean("model.rope"):
        draft.derived("architecture.rotary_share", 1.0, f"{draft.at('model.rope')}: the whole head")
        draft.take("architecture.rotary_base", "model.rope_theta", 10000, f"{CONFIG} rope_theta")
    else:
        draft.no_rotary(draft.at("model.rope") if draft.has("model.rope") else f"{CONFIG} rope is false")
        draft.number("model.rope_theta", 1, 1e12)
    draft.boolean("model.rope_full_precision")
    if draft.boolean("model.alibi"):
        draft.beyond("model.alibi", "ALiBi")


def _initialisation(draft: Draft) -> None:
    draft.word("model.init_fn", ("normal", "mitchell", "full_megatron", "kaiming_normal", "fan_in"))
    name = draft.take("initialisation.method", "model.init_fn", "normal", f"{CONFIG} init_fn")
    draft.boolean("model.scale_emb_init")
    std = draft.take("initialisation.std", "model.init_std", 0.02, f"{CONFIG} init_std")
    cut = {"full_megatron": 3.0, "mitchell": 3.0}.get(name)
    draft.take("initialisation.truncated_at", "model.init_cutoff_factor", cut, MODEL)
    if name == "mitchell":
        draft.number("model.emb_init_std", 0, 100)
        draft.derived("initialisation.std", None, f"{MODEL}: 1 / sqrt(d_model), less in deeper layers' outputs")
        return
    draft.take("initialisation.embedding_std", "model.emb_init_std", None, f"{MODEL}: as the others")
    layers = draft.values["architecture.num_layers"]
    if name == "full_megatron" and isinstance(layers, int):
        draft.derived("initialisation.output_std", std / math.sqrt(2 * layers), f"{MODEL}: std / sqrt(2 x n_layers)")
    elif name == "normal":
        draft.derived("initialisation.output_std", None, f"{MODEL}: as the others")


def _optimizer(draft: Draft) -> None:
    names = {"adamw": "adamw", "lionw": "lion"}
    draft.word("optimizer.name", names)
    kind = draft.named("optimizer.name", "optimizer.name", names, "lion", f"{CONFIG} optimizer.name is lionw")
    if kind is None:
        draft.note(f"{CONFIG}: no optimizer.name, so the optimizer is LionW")
    draft.stated("optimizer.betas", "optimizer.betas", draft.betas("optimizer.betas"), (0.9, 0.95), f"{CONFIG} betas")
    draft.take("optimizer.eps", "optimizer.eps", 1e-5, f"{CONFIG} eps")
    if kind != "adamw":
        draft.derived("optimizer.eps", None, f"{OPTIM}: LionW has none")
    elif not draft.has("optimizer.eps"):
        draft.note(f"{CONFIG}: no optimizer.eps, so Adam's epsilon is 1e-5, not the usual 1e-8")
    draft.take("optimizer.weight_decay", "optimizer.weight_decay", 0.01, f"{CONFIG} weight_decay")
    keys = ("optimizer.decay_norm_and_bias", "optimizer.decay_embeddings")
    norms, embeddings = (draft.boolean(key) for key in keys)
    old = draft.boolean("optimizer.no_decay_norm_and_bias")
    if norms is None and old is not None:
        norms = not old
        draft.note_at("optimizer.no_decay_norm_and_bias", f"the old key; read as decay_norm_and_bias {norms}")
    spared = (() if norms else ("bias", "norm")) + (() if embeddings else ("embedding",))
    draft.partly("optimizer.not_decayed", spared, keys, f"{CONFIG}: false where not stated")
    if draft.boolean("optimizer.selective_updates"):
        draft.note_at("optimizer.selective_updates", "parameters without a gradient are not updated")
    draft.code(f"{OPTIM}: one rate for all", {"optimizer.lr_multipliers": {}})


def _data(draft: Draft) -> None:
    length, where = draft.values["architecture.max_position"], draft.origins["architecture.max_position"].where
    draft.derived("data.sequence_length", length, f"model.max_sequence_length: {where}")
    same = f"{COMMIT}:olmo/data/memmap_dataset.py: inputs and labels are the same tokens"
    draft.derived("data.item_length", length, same)
    draft.code(f"{COMMIT}:olmo/data/iterable_dataset.py", {"data.order": "olmo_shuffled"})
    draft.take("data.seed", "seed", 6198, f"{CONFIG} seed", (0, 2**63))
    if draft.has("data.seed"):
        draft.take("data.seed", "data.seed", limits=(0, 2**63))
    if draft.integer("epoch", 0, 10**6):
        draft.note_at("epoch", "the order's seed is seed + epoch")
    draft.stated("data.files", "data.paths", draft.words("data.paths"))
    for key in ("data.custom_dataset", "data.datasets"):
        if draft.has(key):
            draft.unstated("data.files", f"{draft.at(key)}: not a list of token files")
            draft.unstated("data.order", f"{draft.at(key)}: not a list of token files")
    for key in ("eos_token_id", "pad_token_id"):
        draft.take(f"data.{key}", f"model.{key}", 50256, f"{CONFIG} {key}")
    kind = draft.word("data.memmap_dtype", ("uint16", "uint32", "int32", "int64", "uint8", "uint64"))
    draft.stated("data.token_type", "data.memmap_dtype", kind, "uint16", f"{CONFIG} memmap_dtype")
    if kind in {"uint8", "uint64"}:
        draft.nameless("data.token_type", "data.memmap_dtype", kind)
    if draft.has("data.label_mask_paths"):
        draft.beyond("data.label_mask_paths", "masks of labels")
    if draft.boolean("data.generate_doc_lengths"):
        draft.beyond("data.generate_doc_lengths", "attention that stays within documents")
    if draft.has("data.instance_filter"):
        limits = []
        for key, usual in (("min_period", 1), ("max_period", 13), ("max_count", 32)):
            said = draft.integer(f"data.instance_filter.repetition_{key}", 0, 10**6)
            limits.append(usual if said is None else said)
        draft.put("data.repetition_filter", tuple(limits), "stated", draft.at("data.instance_filter"))
    else:
        draft.code(f"{CONFIG} instance_filter: none", {"data.repetition_filter": None})


def _run(draft: Draft) -> None:
    draft.take("batch_size", "global_train_batch_size", 512, f"{CONFIG} global_train_batch_size")
    draft.take("clip_norm", "max_grad_norm", None, f"{CONFIG} max_grad_norm: none")
    if draft.number("max_grad_norm_ratio", 0, 1e9) is not None:
        draft.beyond("max_grad_norm_ratio", "adaptive clipping")
    said = draft.word("precision", ("amp_bf16", "amp_fp16", "fp32", "bf16", "fp16")) or ""
    names = {"amp_bf16": "bf16", "amp_fp16": "fp16", "fp32": "fp32"}
    draft.stated("precision", "precision", names.get(said), "fp32", f"{CONFIG} precision: none")
    draft.take("z_loss", "auxiliary_loss_multiplier", 1e-4, f"{CONFIG} auxiliary_loss_multiplier")
    if not draft.boolean("softmax_auxiliary_loss"):
        none = 0.0 if draft.has("softmax_auxiliary_loss") else None
        draft.stated("z_loss", "softmax_auxiliary_loss", none, 0.0, f"{CONFIG}: false")
    draft.code(f"{TRAIN}: the sum of the losses by input_ids.numel()", {"loss_divisor": "tokens"})
    if draft.has("load_path"):
        draft.note_at("load_path", "the training continues from a checkpoint of another training")
    if draft.boolean("reset_optimizer_state"):
        draft.note_at("reset_optimizer_state", "the optimizer's state is not taken from that checkpoint")


def _duration(draft: Draft, unit: int) -> tuple[int | None, int | None, str]:
    """Updates, tokens and where it says so; None for what does not follow. `unit`: tokens of an update."""
    entry = draft.find("max_duration")
    if entry is None:
        return 10000, None, f"{CONFIG} max_duration"
    where = draft.at("max_duration")
    if isinstance(entry.value, int) and not isinstance(entry.value, bool):
        return draft.as_integer(entry, "max_duration", 1), None, where
    match = re.fullmatch(
        r"\s*([0-9][0-9_]*(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?)\s*(T|ep)?\s*", entry.raw if len(entry.raw) < 40 else ""
    )
    if not match or isinstance(entry.value, (dict, list)):
        raise draft.bad(entry, "max_duration", "updates, tokens with T, or epochs with ep")
    amount = float(match[1].replace("_", ""))
    if not 0 < amount <= BIGGEST:
        raise draft.bad(entry, "max_duration", f"more than 0 and at most {BIGGEST}")
    if match[2] == "ep":
        updates = "how many updates that is depends on the sizes of the data files"
        draft.note(f"{where}: {shorten(entry.raw)} epochs; {updates}")
        return None, None, where
    if match[2] == "T":
        return math.ceil(int(amount) / unit), int(amount), where
    return int(amount), None, where


def _learning_rate(draft: Draft) -> None:
    batch, length = draft.values["batch_size"], draft.values["data.sequence_length"]
    assert isinstance(batch, int)  # noqa: S101 - set above
    assert isinstance(length, int)  # noqa: S101 - set above
    updates, tokens, where = _duration(draft, batch * length)
    _steps(draft, updates, tokens, where, batch * length)
    forms = {
        "cosine_with_warmup": "cosine_to_min",
        "linear_with_warmup": "linear",
        "inverse_sqrt_with_warmup": "inverse_sqrt",
        "constant": "constant",
        "constant_with_warmup": "constant",
    }
    draft.word("scheduler.name", (*forms, "max_scheduler", "cosine_linear_envelope"))
    default_at = f"{CONFIG} scheduler.name"
    name = draft.named("learning_rate.form", "scheduler.name", forms, "cosine_to_min", default_at) or ""
    form = draft.values["learning_rate.form"]
    if form is None:
        draft.note_at("scheduler.name", f"{name} has no canonical name")
    peak = draft.take("learning_rate.peak", "optimizer.learning_rate", 1e-4, f"{CONFIG} learning_rate")
    share = draft.number("scheduler.alpha_f", 0, 1)
    if form in {"constant", "inverse_sqrt"}:
        draft.derived("learning_rate.minimum", peak if form == "constant" else 0.0, f"{OPTIM}: {name} has no alpha_f")
    else:
        least = float(f"{(0.1 if share is None else share) * peak:.15g}")
        says = f"{CONFIG} alpha_f is 0.1" if share is None else draft.at("scheduler.alpha_f")
        draft.derived("learning_rate.minimum", least, f"{says} x the peak")
    draft.code(f"{TRAIN}: the schedule is read after this update is counted", {"learning_rate.first": "one_step"})
    unit = batch * length if draft.word("scheduler.units", ("steps", "tokens")) == "tokens" else 1
    by = f" tokens / ({batch} x {length})" if unit > 1 else ""

    def counted(name: str, key: str) -> float | None:
        """Put a number of updates that the file states in its units, if it does."""
        amount = draft.number(f"scheduler.{key}", 0, 1e16)
        if amount is not None:
            where = draft.at(f"scheduler.{key}") + by
            draft.put(name, whole(int(amount) / unit), "derived" if by else "stated", where)
        return amount

    if counted("learning_rate.warmup_steps", "t_warmup") is None:
        draft.code(f"{CONFIG} t_warmup is 100{by}", {"learning_rate.warmup_steps": whole(100 / unit)})
    if name == "constant":
        draft.code(f"{OPTIM}: constant has no warm-up", {"learning_rate.warmup_steps": 0})
    if counted("learning_rate.decay_steps", "t_max") is None:
        if unit > 1 and tokens:
            draft.derived("learning_rate.decay_steps", whole(tokens / unit), f"{where}{by}: no scheduler.t_max")
        elif updates:
            draft.derived("learning_rate.decay_steps", updates, f"{where}: no scheduler.t_max")
        else:
            draft.unstated("learning_rate.decay_steps", f"{where}: {EPOCH}")
    if draft.values["learning_rate.warmup_steps"] and not draft.has("scheduler.warmup_min_lr"):
        draft.note(f"{OPTIM}: no warmup_min_lr, so the warm-up starts at a tenth of the peak, not at 0")
    tenth = float(f"{0.1 * peak:.15g}")
    draft.take("learning_rate.warmup_minimum", "scheduler.warmup_min_lr", tenth, f"{OPTIM}: a tenth of the peak")
    factor = draft.number("scheduler.grad_clip_warmup_factor", 0, 1e9)
    draft.stated("clip_warmup_factor", "scheduler.grad_clip_warmup_factor", factor)
    if counted("clip_warmup_steps", "grad_clip_warmup_steps") is None or factor is None:
        neither = {"clip_warmup_steps": 0, "clip_warmup_factor": 1.0}
        draft.code(f"{OPTIM}: none unless both keys are there", neither)


EPOCH = "an epoch, whose length depends on the data files"


def _steps(draft: Draft, updates: int | None, tokens: int | None, where: str, unit: int) -> None:
    """The updates, tokens and checkpoints of a run that `max_duration` limits to so many updates or tokens."""
    stop, after = draft.integer("stop_at", 1), draft.integer("stop_after", 1)
    if stop is not None:
        draft.stated("steps", "stop_at", stop)
        if updates and stop != updates:
            schedule = f"training stops at update {stop}, the schedule is for {updates} ({where})"
            draft.note_at("stop_at", schedule)
    elif after is not None:
        draft.stated("steps", "stop_after", after)
    elif updates:
        kind = "derived" if tokens else "stated" if draft.has("max_duration") else "code default"
        draft.put("steps", updates, kind, where + (f": tokens / {unit}" if tokens else ""))
        more = f"the code continues for 10 updates after max_duration's {updates}, while data last"
        draft.note(f"{TRAIN}: no stop_at, so {more}")
    else:
        draft.unstated("steps", f"{where}: {EPOCH}")
    steps = draft.values["steps"]
    if tokens is not None and stop is None:
        draft.put("tokens_total", tokens, "stated", where)
    elif isinstance(steps, int):
        draft.derived("tokens_total", steps * unit, f"steps {steps} x {unit} tokens of a batch")
    _comment(draft)
    kept = {}
    for key, count in (
        ("save_interval", "save_num_checkpoints_to_keep"),
        ("save_interval_unsharded", "save_num_unsharded_checkpoints_to_keep"),
    ):
        entry, keep = draft.find(key), draft.integer(count, -1)
        if entry and not entry.raw.startswith("${"):
            every = draft.as_integer(entry, key, 1)
            if keep is None or keep < 0:
                kept[key] = every
    where = ", ".join(draft.at(key) for key in kept) + ": where all are kept"
    draft.checkpoints(steps if isinstance(steps, int) else None, kept.values(), where)


def _comment(draft: Draft) -> None:
    """Note a comment beside max_duration that says another number of tokens."""
    entry, total = draft.find("max_duration"), draft.values.get("tokens_total")
    match = re.search(r"([0-9.]+)\s*([KMBT]) tokens", draft.marked.comments.get(entry.line, "")) if entry else None
    if not entry or not match or not isinstance(total, int) or match[1].count(".") > 1 or match[1] == ".":
        return
    said = float(match[1]) * {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}[match[2]]
    if abs(said - total) > 0.02 * total:
        draft.note(f"{entry.place}: the comment says {match[1]}{match[2]} tokens, the values give {total}")
