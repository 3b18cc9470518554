"""GPT-NeoX YAML (Pythia): one flat file, keys with `-` or `_`, defaults from the code at v1.0.

The learning rate is NeoX's own: `warmup` is a fraction of the decay's updates, the cosine has its full length after the warm-up,
`min_lr` is a floor, and the first update has the rate 0. Gradient accumulation is `gradient_accumulation_steps`; `gas` is
overwritten by it. The number of devices stands in a comment at best.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import PurePosixPath

from openassay.recipes.formats.draft import Draft, whole
from openassay.recipes.formats.marked import Entry, Marked, shorten
from openassay.training.language import ReadRecipe

COMMIT = "EleutherAI/gpt-neox@71df4d5017f9f4919566a11454fe3a507ffdc632"
ARGS = f"{COMMIT}:megatron/neox_arguments/neox_args.py"
ENTRIES = {"20B_tokenizer.json": 50277, "gpt2-vocab.json": 50257}
"""Entries of published tokenizer files, by name: GPT-NeoX-20B's with its added tokens, and GPT-2's."""
MOST_CHECKPOINTS = 100_000

IGNORED = {
    "*parallel_size": "parallelism",
    "*partition*": "parallelism",
    "zero_*": "parallelism",
    "output_layer_parallelism": "parallelism",
    "deepspeed*": "how it is started",
    "launcher": "how it is started",
    "hostfile": "how it is started",
    "num_nodes": "how it is started",
    "include": "how it is started",
    "exclude": "how it is started",
    "master_*": "how it is started",
    "num_gpus": "how it is started",
    "detect_nvlink_pairs": "how it is started",
    "comment": "how it is started",
    "user_script": "how it is started",
    "distributed_backend": "communication",
    "*allreduce*": "communication",
    "checkpoint_activations": "memory, not values",
    "checkpoint_num_layers": "memory, not values",
    "contiguous_checkpointing": "memory, not values",
    "checkpoint_in_cpu": "memory, not values",
    "profile_backward": "logging",
    "synchronize_each_layer": "speed, not values",
    "scaled_*_fusion": "speed; rounding only",
    "bias_dropout_fusion": "speed; rounding only",
    "gradient_predivide_factor": "communication",
    "eval_*": "evaluation",
    "do_valid": "evaluation",
    "do_test": "evaluation",
    "valid_*": "evaluation",
    "test_*": "evaluation",
    "log_*": "logging",
    "*wandb*": "logging",
    "tensorboard*": "logging",
    "steps_per_print": "logging",
    "wall_clock_breakdown": "logging",
    "dump_state": "logging",
    "flops_profiler*": "logging",
    "git_hash": "logging",
    "num_workers": "speed, not values",
    "data_impl": "the data files say it themselves",
    "mmap_warmup": "speed, not values",
    "save": "a path",
    "load": "a path",
    "keep_last_n_checkpoints": "storage",
    "no_save_*": "storage",
    "no_load_*": "storage",
    "merge_file": "a path",
    "tokenizer_type": "the token files are tokenised",
    "attention_config": "the same function, another kernel",
    "fp16.loss_scale_window": "of the loss scale's later course",
    "fp16.hysteresis": "of the loss scale's later course",
    "fp16.min_loss_scale": "of the loss scale's later course",
    "fp16.auto_cast": "speed, not values",
    "use_checkpoint_lr_scheduler": "restarts",
    "override_lr_scheduler": "restarts",
    "finetune": "restarts",
    "iteration": "restarts",
    "text_gen_type": "sampling",
    "temperature": "sampling",
    "top_*": "sampling",
    "maximum_tokens": "sampling",
    "sample_*": "sampling",
    "use_shared_fs": "speed, not values",
    "lazy_mpu_init": "speed, not values",
    "short_seq_prob": "not for this model",
}


def recognise(marked: Marked) -> bool:
    """Has the file NeoX's keys?"""
    if not isinstance(marked.root.value, dict):
        return False
    keys = {key.replace("-", "_") for key in marked.root.value}
    return {"num_layers", "hidden_size", "num_attention_heads"} <= keys and bool(
        keys & {"train_iters", "train_micro_batch_size_per_gpu", "pipe_parallel_size", "lr_decay_style"}
    )


def read(marked: Marked) -> ReadRecipe:
    """The recipe of a GPT-NeoX file."""
    draft = Draft("gpt_neox", marked)
    draft.marked = replace(marked, root=_underscored(draft, marked.root))
    _architecture(draft)
    _initialisation(draft)
    _optimizer(draft)
    _learning_rate(draft)
    _data(draft)
    _run(draft)
    return draft.finish(IGNORED)


def _underscored(draft: Draft, root: Entry) -> Entry:
    """NeoX takes `-` in its own keys for `_`."""
    if not isinstance(root.value, dict):
        raise draft.bad(root, "the file", "keys and values", root)
    found: dict[str, Entry] = {}
    for key, item in root.value.items():
        name = key.replace("-", "_")
        if name in found:
            draft.note(
                f"{item.place}: {shorten(key)} stands also as {shorten(found[name].name)} on line {found[name].line}; "
                "NeoX takes the last"
            )
        found[name] = item
    return replace(root, value=found)


def _architecture(draft: Draft) -> None:
    put = draft.stated
    draft.derived("architecture.family", "gpt_neox", "the format")
    width = draft.integer("hidden_size", 1, 10**6)
    layers = draft.integer("num_layers", 1, 10**4)
    put("architecture.hidden_size", "hidden_size", width)
    put("architecture.num_layers", "num_layers", layers)
    heads = draft.integer("num_attention_heads", 1, 10**5)
    put("architecture.num_heads", "num_attention_heads", heads)
    draft.divides(width, "num_attention_heads", heads)
    draft.derived("architecture.num_kv_heads", heads, "as many as heads: this format has no others")
    _vocabulary(draft)
    put("architecture.max_position", "max_position_embeddings", draft.integer("max_position_embeddings", 1))
    activation = draft.word("activation") or "gelu"
    fused = draft.boolean("bias_gelu_fusion")
    inner = draft.integer("intermediate_size", 1, 10**7)
    if inner is None and width and activation != "geglu":
        draft.code(
            "architecture.intermediate_size", 4 * width, f"{COMMIT}:megatron/model/transformer.py: 4 x hidden-size"
        )
    else:
        put("architecture.intermediate_size", "intermediate_size", inner)
    if activation == "gelu" and fused:
        draft.derived(
            "architecture.activation",
            "gelu_tanh",
            f"{draft.at('bias_gelu_fusion')}: the fused kernel is GELU's tanh form",
        )
        draft.note(
            f"{draft.at('bias_gelu_fusion')}: the model was trained with GELU's tanh form "
            f"({COMMIT}:megatron/model/activations.py); conversions to other libraries may say the exact one"
        )
    elif activation in {"gelu", "relu", "geglu"}:
        put(
            "architecture.activation",
            "activation",
            activation if draft.has("activation") else None,
            "gelu",
            f"{ARGS} activation",
        )
    else:
        draft.unstated(
            "architecture.activation", f"{draft.at('activation')}: {shorten(activation)} has no canonical name"
        )
    norm = draft.word("norm", ("layernorm", "rmsnorm", "scalenorm"))
    if norm == "scalenorm":
        draft.unstated("architecture.norm", f"{draft.at('norm')}: scalenorm has no canonical name")
    else:
        names = {"layernorm": "layer_norm", "rmsnorm": "rms_norm"}
        put("architecture.norm", "norm", names.get(norm or ""), "layer_norm", f"{ARGS} norm")
    eps = {"rmsnorm": ("rms_norm_epsilon", 1e-8), "scalenorm": ("scalenorm_epsilon", 1e-8)}
    key, default = eps.get(norm or "", ("layernorm_epsilon", 1e-5))
    put("architecture.norm_eps", key, draft.number(key, 0, 1), default, f"{ARGS} {key}")
    position = draft.word("pos_emb")
    share = draft.number("rotary_pct", 0, 1)
    if position == "rotary":
        put("architecture.rotary_share", "rotary_pct", share, 1.0, f"{ARGS} rotary_pct")
        base = draft.number("rotary_emb_base", 1, 1e12)
        put("architecture.rotary_base", "rotary_emb_base", base, 10000, f"{ARGS} rotary_emb_base")
    else:
        where = draft.at("pos_emb") if position else f"{ARGS} pos_emb is learned"
        draft.derived("architecture.rotary_share", None, f"{where}: no rotary embedding")
        draft.note(f"{where}: the canonical recipe has rotary positions only")
    put(
        "architecture.parallel_residual",
        "gpt_j_residual",
        draft.boolean("gpt_j_residual"),
        False,
        f"{ARGS} gpt_j_residual",
    )
    if draft.boolean("gpt_j_tied"):
        draft.note(
            f"{draft.at('gpt_j_tied')}: one norm for attention and feed-forward, which the canonical recipe cannot say"
        )
    draft.code("architecture.bias", True, f"{COMMIT}:megatron/model/transformer.py: every linear map has a bias")
    untied = draft.boolean("no_weight_tying")
    put(
        "architecture.tied_embeddings",
        "no_weight_tying",
        None if untied is None else not untied,
        True,
        f"{ARGS} no_weight_tying",
    )
    for name, key in (("attention_dropout", "attention_dropout"), ("hidden_dropout", "hidden_dropout")):
        put(f"architecture.{name}", key, draft.number(key, 0, 1), 0.1, f"{ARGS} {key}")


def _vocabulary(draft: Draft) -> None:
    multiple = draft.integer("make_vocab_size_divisible_by", 1, 10**6)
    parallel = draft.integer("model_parallel_size", 0, 10**5)
    padded = draft.integer("padded_vocab_size", 1, 10**8)
    file = draft.word("vocab_file")
    if padded:
        draft.stated("architecture.vocab_size", "padded_vocab_size", padded)
        return
    entries = ENTRIES.get(PurePosixPath(file or "").name)
    if entries is None:
        draft.unstated(
            "architecture.vocab_size",
            "it is the tokenizer's, padded; the file names a tokenizer that is not known here",
        )
        return
    step = (multiple or 128) * max(1, parallel or 1)
    draft.derived(
        "architecture.vocab_size",
        math.ceil(entries / step) * step,
        f"{draft.at('vocab_file')}: {entries} entries, padded to a multiple of {multiple or 128} x model-parallel-size "
        f"{max(1, parallel or 1)}",
    )


def _initialisation(draft: Draft) -> None:
    width, layers = draft.integer("hidden_size", 1, 10**6), draft.integer("num_layers", 1, 10**4)
    sigma = draft.number("init_method_std", 0, 100)
    base = 0.02 if sigma is None else sigma

    def std_of(method: str) -> float | None:
        if not width or not layers:
            return None
        return {
            "normal": base,
            "scaled_normal": base / math.sqrt(2 * layers),
            "small_init": math.sqrt(2 / (5 * width)),
            "wang_init": 2 / layers / math.sqrt(width),
        }.get(method)

    for key, default, name, std in (
        ("init_method", "normal", "method", "std"),
        ("output_layer_init_method", "scaled_normal", "output_method", "output_std"),
    ):
        said = draft.word(key)
        method = draft.stated(f"initialisation.{name}", key, said, default, f"{ARGS} {key}")
        value = std_of(str(method))
        where = draft.at(key) if said else f"{ARGS} {key}"
        formula = {
            "normal": "init_method_std",
            "scaled_normal": "init_method_std / sqrt(2 x num-layers)",
            "small_init": "sqrt(2 / (5 x hidden-size))",
            "wang_init": "2 / num-layers / sqrt(hidden-size)",
        }.get(str(method))
        if value is None:
            draft.unstated(
                f"initialisation.{std}", f"{where}: no standard deviation follows from {shorten(str(method))}"
            )
        else:
            draft.derived(f"initialisation.{std}", value, f"{where}: {formula}")
        if std == "std" and value is not None:
            draft.derived("initialisation.embedding_std", value, f"{where}: the embedding too")


def _optimizer(draft: Draft) -> None:
    kind = draft.word("optimizer.type")
    if kind is None or kind.lower() == "adam":
        draft.stated("optimizer.name", "optimizer.type", "adamw" if kind else None, "adamw", f"{ARGS} optimizer_type")
        where = f"{COMMIT}:megatron/training.py: FusedAdam"
        draft.stated(
            "optimizer.betas", "optimizer.params.betas", draft.betas("optimizer.params.betas"), (0.9, 0.999), where
        )
        draft.stated("optimizer.eps", "optimizer.params.eps", draft.number("optimizer.params.eps", 0, 1), 1e-8, where)
    else:
        draft.unstated("optimizer.name", f"{draft.at('optimizer.type')}: {shorten(kind)} has no canonical name")
        draft.stated("optimizer.betas", "optimizer.params.betas", draft.betas("optimizer.params.betas"))
        draft.stated("optimizer.eps", "optimizer.params.eps", draft.number("optimizer.params.eps", 0, 1))
    decay = draft.number("weight_decay", 0, 100)
    draft.stated("optimizer.weight_decay", "weight_decay", decay, 0.01, f"{ARGS} weight_decay")
    if draft.has("optimizer.params.weight_decay"):
        draft.note(
            f"{draft.at('optimizer.params.weight_decay')}: NeoX takes weight-decay at the top, and this one is at odds with it"
        )
    draft.code("optimizer.not_decayed", ("bias", "norm"), f"{COMMIT}:megatron/model/utils.py")
    draft.code("optimizer.lr_multipliers", {}, f"{COMMIT}:megatron/training.py: one rate for all")


def _learning_rate(draft: Draft) -> None:
    style = draft.word("lr_decay_style", ("cosine", "constant", "linear", "exponential"))
    code = f"{COMMIT}:megatron/learning_rates.py"
    if style in {"cosine", "constant"}:
        draft.put(
            "learning_rate.form", {"cosine": "cosine_clamped"}.get(style, style), "stated", draft.at("lr_decay_style")
        )
    else:
        where = draft.at("lr_decay_style") if style else f"{ARGS} lr_decay_style is linear"
        draft.unstated("learning_rate.form", f"{where}: NeoX's own form of it has no canonical name")
        draft.note(
            f"{where}: NeoX's {style or 'linear'} decay goes towards 0 over its full length, with min_lr as a floor ({code})"
        )
    peak = draft.number("optimizer.params.lr", 0, 1000)
    draft.stated(
        "learning_rate.peak", "optimizer.params.lr", peak, 0.001, f"{COMMIT}:megatron/neox_arguments/arguments.py"
    )
    draft.stated("learning_rate.minimum", "min_lr", draft.number("min_lr", 0, 1000), 0.0, f"{ARGS} min_lr")
    decay, steps = draft.integer("lr_decay_iters", 1), draft.integer("train_iters", 1)
    fraction = draft.number("warmup", 0, 1)
    length, key = (decay, "lr_decay_iters") if decay else (steps, "train_iters")
    if decay:
        draft.stated("learning_rate.decay_steps", "lr_decay_iters", decay)
    elif steps:
        draft.derived("learning_rate.decay_steps", steps, f"{draft.at('train_iters')}: no lr-decay-iters")
    if length:
        where = draft.at("warmup") if fraction is not None else f"{ARGS} warmup is 0.01"
        warmup = (0.01 if fraction is None else fraction) * length
        draft.derived(
            "learning_rate.warmup_steps",
            whole(round(warmup, 9)),
            f"{where}: a fraction of {key.replace('_', '-')} {length}",
        )
    draft.code("learning_rate.first", "zero", f"{code}: the first update has rate 0 and changes nothing")
    draft.code("learning_rate.warmup_minimum", 0.0, code)


def _data(draft: Draft) -> None:
    length = draft.integer("seq_length", 1)
    draft.stated("data.sequence_length", "seq_length", length)
    if length:
        draft.code(
            "data.item_length",
            length + 1,
            f"{COMMIT}:megatron/data/gpt2_dataset.py: inputs and labels are cut from one item",
        )
    draft.code("data.order", "megatron_shuffled", f"{COMMIT}:megatron/data/gpt2_dataset.py")
    draft.stated("data.seed", "seed", draft.integer("seed", 0, 2**32 - 1), 1234, f"{ARGS} seed")
    split = draft.word("split")
    paths, single = draft.words("train_data_paths"), draft.word("data_path")
    if paths:
        draft.stated("data.files", "train_data_paths", paths)
        if draft.has("train_data_weights") and len(paths) > 1:
            draft.note(
                f"{draft.at('train_data_weights')}: several data sets are blended; the order is not reconstructed from here"
            )
        draft.derived("data.split", None, f"{draft.at('train_data_paths')}: no split")
        draft.note(
            f"{draft.at('train_data_paths')}: with train-data-paths the code takes all documents of the path, no split, "
            f"and asks for 1.005 times the sequences ({COMMIT}:megatron/data/data_utils.py)"
        )
    else:
        draft.stated("data.files", "data_path", (single,) if single else None)
        draft.stated("data.split", "split", split, "969, 30, 1", f"{ARGS} split")
    draft.derived("data.token_type", None, "the .idx file says it")


def _run(draft: Draft) -> None:
    _batch(draft)
    steps = draft.integer("train_iters", 1)
    draft.stated("steps", "train_iters", steps)
    batch, length = draft.values.get("batch_size"), draft.values.get("data.sequence_length")
    if steps and isinstance(batch, int) and isinstance(length, int):
        draft.derived(
            "tokens_total", steps * batch * length, f"train-iters {steps} x batch {batch} x seq-length {length}"
        )
    clip = draft.number("gradient_clipping", 0, 1e9)
    if clip == 0 or clip is None:
        where = (
            draft.at("gradient_clipping") if clip is not None else f"{COMMIT}:megatron/neox_arguments/deepspeed_args.py"
        )
        draft.put("clip_norm", None, "stated" if clip is not None else "code default", f"{where}: 0 is no clipping")
    else:
        draft.stated("clip_norm", "gradient_clipping", clip)
    _precision(draft)
    draft.code("z_loss", 0.0, f"{COMMIT}: has none")
    _checkpoints(draft, steps)


def _batch(draft: Draft) -> None:
    """train_batch_size, or micro batch x accumulation x devices / (pipeline x model parallel)."""
    micro = draft.integer("train_micro_batch_size_per_gpu", 1, 10**7)
    accumulation = draft.integer("gradient_accumulation_steps", 1, 10**7)
    gas = draft.integer("gas", 1, 10**7)
    if gas is not None and gas != (accumulation or 1):
        draft.note(
            f"{draft.at('gas')}: the code overwrites gas by gradient_accumulation_steps, which is {accumulation or 1} "
            f"({COMMIT}:megatron/neox_arguments/arguments.py)"
        )
    whole_batch = draft.integer("train_batch_size", 1)
    if whole_batch:
        draft.stated("batch_size", "train_batch_size", whole_batch)
        return
    devices, where = draft.integer("global_num_gpus", 1, 10**7), draft.at("global_num_gpus")
    if devices is None:
        for line, text in draft.marked.comments.items():
            if match := re.search(r"trained on (\d{1,6}) gpus", text, re.IGNORECASE):
                devices, where = int(match[1]), f"{draft.marked.file}:{line} comment"
                break
    if micro is None or not devices:
        draft.unstated(
            "batch_size", "it is micro batch x accumulation x devices, and the file does not say how many devices"
        )
        return
    pipe, model = (max(1, draft.integer(f"{key}_parallel_size", 0, 10**6) or 1) for key in ("pipe", "model"))
    if devices % (pipe * model):
        raise draft.bad(
            draft.find("train_micro_batch_size_per_gpu") or draft.marked.root,
            "the number of devices",
            f"a multiple of {pipe * model}",
            f"{devices} ({where})",
        )
    copies = devices // (pipe * model)
    draft.derived(
        "batch_size",
        micro * (accumulation or 1) * copies,
        f"{draft.at('train_micro_batch_size_per_gpu')} {micro} x accumulation {accumulation or 1} x {copies} copies "
        f"({devices} devices from {where}, / pipeline {pipe} / model {model})",
    )


def _precision(draft: Draft) -> None:
    said = draft.word("precision", ("fp16", "fp32", "bfloat16"))
    kind = draft.word("fp16.type")
    enabled = draft.boolean("fp16.enabled")
    draft.boolean("fp16.fp16")
    if draft.boolean("bf16.enabled"):
        draft.put("precision", "bf16", "stated", draft.at("bf16.enabled"))
    elif "bfloat16" in {kind, said}:
        draft.put("precision", "bf16", "stated", draft.at("fp16.type") if kind else draft.at("precision"))
    elif enabled:
        draft.put("precision", "fp16", "stated", draft.at("fp16.enabled"))
    else:
        where = draft.at("fp16.enabled") if enabled is not None else "no fp16.enabled"
        draft.put("precision", "fp32", "derived", f"{where}: NeoX then computes in fp32")
        return
    if draft.values["precision"] != "fp16":
        return
    static, power = draft.number("fp16.loss_scale", 0, 2.0**40), draft.integer("fp16.initial_scale_power", 0, 40)
    if static:
        draft.stated("loss_scale", "fp16.loss_scale", static)
        draft.note(f"{draft.at('fp16.loss_scale')}: not 0, so the loss scale is fixed")
    elif power is not None:
        draft.derived(
            "loss_scale", 2.0**power, f"{draft.at('fp16.initial_scale_power')}: 2 to the power {power}, dynamic"
        )


def _checkpoints(draft: Draft, steps: int | None) -> None:
    factor = draft.integer("checkpoint_factor", 1)
    scale = draft.word("checkpoint_scale", ("linear", "log"))
    extra = [draft.as_integer(entry, "extra-save-iters") for entry in draft.items("extra_save_iters") or ()]
    if not steps or (factor is None and not extra):
        return
    saved = set(extra)
    if factor:
        at = factor
        while at < steps and len(saved) < MOST_CHECKPOINTS:
            saved.add(at)
            if scale == "log" and factor == 1:
                break
            at = at * factor if scale == "log" else at + factor
    if len(saved) >= MOST_CHECKPOINTS:
        draft.unstated("checkpoints", f"{draft.at('checkpoint_factor')}: more than {MOST_CHECKPOINTS}")
        return
    saved.add(steps)
    where = ", ".join(draft.at(key) for key in ("checkpoint_factor", "extra_save_iters") if draft.has(key))
    draft.derived("checkpoints", tuple(sorted(saved)), f"{where}, and the last update")
