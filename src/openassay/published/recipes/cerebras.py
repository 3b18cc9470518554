"""Cerebras model zoo params.yaml (CrystalCoder): sections model, optimizer, train_input, runconfig.

The learning rate is a list of pieces, each counted in updates from its own start; a run of `max_steps` may cut the last one.
Scales of the maximal update parametrisation stand as they are applied: embedding, logits, attention by the head's size, and a
factor on the learning rate of the layers' matrices.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from openassay.published.marked import Entry, Marked, shorten
from openassay.published.recipes.draft import Draft, alone
from openassay.training.language import ReadRecipe

COMMIT = "Cerebras/modelzoo@97bdaf4460ace1681ad437b07ba33f0e179f5ca4"
"""Release 1.9.1. The release names its namespace (`rel-191`), not a commit."""
MODEL = f"{COMMIT}:modelzoo/transformers/pytorch/gpt2/model.py"
BASE = f"{COMMIT}:modelzoo/common/pytorch/PyTorchBaseModel.py"
RATE = "optimizer.learning_rate"

IGNORED = {
    "how it is started": "cerebras*",
    "evaluation": "eval_input* model.compute_eval_metrics",
    "how it is started or logged": "runconfig.*",
    "the same function, another kernel": "model.attention_kernel",
    "rounding only": "model.attention_softmax_fp32 model.boundary_casting",
    "scaled by attention_scale": "model.attention_type",
    "see loss_weight": "model.loss_scaling",
    "with loss_scaling batch_size: the mean over the sequence": "model.loss_weight",
    "a name": "model.model_name",
    "logging": "optimizer.log_summaries",
    "speed, not values": (
        "train_input.num_workers train_input.persistent_workers train_input.prefetch_factor "
        "train_input.use_worker_cache train_input.use_multiple_workers"
    ),
    "the class that reads the files": "train_input.data_processor",
    "the data are read again when they end": "train_input.repeat",
    "as the model's": (
        "train_input.vocab_size train_input.max_sequence_length train_input.mixed_precision train_input.use_bfloat16"
    ),
    "memory: how the batch is cut": "train_input.micro_batch_size",
}
PREPARATION_IGNORED = {
    "where and how the preparation runs": "setup.*",
    "the tokenizer": "processing.tokenizer_type processing.*_file",
    "a name": "processing.output_name",
    "how the files are cut": "processing.files_per_record processing.write_*",
    "restarts": "processing.resume_from_checkpoint",
    "logging": "processing.display_pbar",
    "data preparation": "processing.short_seq_prob dataset.* processing.fim_*",
    "of the preparation, not of the training": "processing.seed",
}


def read(marked: Marked) -> ReadRecipe:
    """The recipe of a params.yaml."""
    draft = Draft("cerebras", marked)
    _architecture(draft)
    _initialisation(draft)
    _optimizer(draft)
    _data(draft)
    _run(draft)
    _learning_rate(draft)
    _comments(draft)
    return draft.finish(IGNORED)


def read_preparation(marked: Marked) -> ReadRecipe:
    """The part of a recipe that the settings of a data preparation state."""
    draft = Draft("cerebras_preparation", marked)
    draft.note("settings of a data preparation: network, optimizer and schedule are missing")
    draft.take("data.sequence_length", "processing.max_seq_length")
    draft.take("data.eos_token_id", "processing.eos_id")
    draft.take("data.pad_token_id", "processing.pad_id")
    draft.stated("data.files", "setup.output_dir", alone(draft.word("setup.output_dir")))
    return draft.finish(PREPARATION_IGNORED)


def _architecture(draft: Draft) -> None:
    draft.derived("architecture.family", "gpt2", "the format: GPT-2's blocks, with the positions stated")
    for name, key in (
        ("vocab_size", "vocab_size"),
        ("hidden_size", "hidden_size"),
        ("num_layers", "num_hidden_layers"),
        ("num_heads", "num_heads"),
        ("intermediate_size", "filter_size"),
        ("hidden_dropout", "dropout_rate"),
    ):
        draft.take(f"architecture.{name}", f"model.{key}")
    for name, key, default in (
        ("max_position", "max_position_embeddings", 1024),
        ("norm_eps", "layer_norm_epsilon", 1e-5),
        ("tied_embeddings", "share_embedding_weights", True),
        ("embedding_scale", "embeddings_scale", 1.0),
        ("logits_scale", "output_logits_scale", 1.0),
    ):
        draft.take(f"architecture.{name}", f"model.{key}", default, MODEL)
    width, heads = draft.integer("model.hidden_size"), draft.integer("model.num_heads")
    draft.derived("architecture.num_kv_heads", heads, "as many as heads")
    draft.heads_divide(width, "model.num_heads", heads)
    activations = {name: name for name in ("gelu", "relu", "swiglu", "geglu")}
    draft.named("architecture.activation", "model.nonlinearity", activations, "gelu", MODEL)
    norm = {True: "rms_norm", False: "layer_norm", None: None}[draft.boolean("model.use_rms_norm")]
    draft.stated("architecture.norm", "model.use_rms_norm", norm, "layer_norm", MODEL)
    _positions(draft, width, heads)
    draft.code(MODEL, {"architecture.parallel_residual": False, "architecture.qk_norm": False})
    _bias(draft)
    hidden = draft.values["architecture.hidden_dropout"]
    as_hidden = f"{MODEL}: as dropout_rate"
    draft.take("architecture.attention_dropout", "model.attention_dropout_rate", hidden, as_hidden)
    if draft.number("model.embedding_dropout_rate", 0, 1) not in {None, hidden}:
        draft.note_at("model.embedding_dropout_rate", "the embedding has another dropout rate than the layers")
    scale = {True: "inverse", False: "inverse_sqrt", None: None}[draft.boolean("model.scale_qk_dot_by_d")]
    draft.stated("architecture.attention_scale", "model.scale_qk_dot_by_d", scale, "inverse_sqrt", MODEL)


def _positions(draft: Draft, width: int | None, heads: int | None) -> None:
    position, used = draft.word("model.position_embedding_type"), draft.boolean("model.use_position_embedding")
    rotated = draft.integer("model.rotary_dim", 0, 10**6)
    if position != "rotary" or used is False:
        draft.no_rotary(draft.at("model.position_embedding_type") if position else f"{MODEL}: learned")
        return
    if width and heads and rotated:
        head = width // heads
        if rotated > head:
            raise draft.refusal("model.rotary_dim", f"at most the head's {head}", str(rotated))
        where = f"{draft.at('model.rotary_dim')} / head size {head}"
        draft.derived("architecture.rotary_share", rotated / head, where)
    draft.code(f"{COMMIT}: the model zoo's rotary embedding", {"architecture.rotary_base": 10000.0})


def _bias(draft: Draft) -> None:
    keys = ("model.use_projection_bias_in_attention", "model.use_ffn_bias_in_attention", "model.use_ffn_bias")
    values = {draft.boolean(key) is not False for key in keys}
    if len(values) == 1:
        draft.partly("architecture.bias", values.pop(), keys, MODEL)
    else:
        draft.unstated("architecture.bias", "some layers have a bias, some have none")
        draft.beyond("model.use_ffn_bias", "some layers have a bias, some have none")
    if draft.boolean("model.use_bias_in_output"):
        draft.beyond("model.use_bias_in_output", "the logits have a bias")


def _initialisation(draft: Draft) -> None:
    draft.take("initialisation.method", "model.initializer.name", "truncated_normal", MODEL)
    span = draft.number("model.initializer_range", 0, 100)
    draft.take("initialisation.std", "model.initializer.std", 0.02 if span is None else span, MODEL)
    draft.take("initialisation.output_method", "model.output_layer_initializer.name")
    draft.take("initialisation.output_std", "model.output_layer_initializer.std")
    draft.word("model.embedding_initializer.name")
    draft.take("initialisation.embedding_std", "model.embedding_initializer.std")
    cuts = set()
    for key in ("model.initializer", "model.output_layer_initializer", "model.embedding_initializer"):
        low, high, width = draft.number(f"{key}.a"), draft.number(f"{key}.b"), draft.number(f"{key}.std", 0, 100)
        if draft.number(f"{key}.mean"):
            draft.note_at(f"{key}.mean", "the mean is not 0")
        if high is not None and width:
            cuts.add(round(high / width, 9))
            if low is None or not math.isclose(low, -high):
                draft.note_at(f"{key}.a", "the bounds are not symmetric")
    if len(cuts) == 1:
        draft.derived("initialisation.truncated_at", cuts.pop(), f"{draft.at('model.initializer.b')} / std")
    elif cuts:
        draft.unstated("initialisation.truncated_at", "the initialisers are cut at different multiples")
    if draft.boolean("model.scale_glu_initialization"):
        draft.note_at(
            "model.scale_glu_initialization", "the gated block's first matrices start with another standard deviation"
        )
    draft.integer("model.weight_initialization_seed")


def _optimizer(draft: Draft) -> None:
    kind = draft.word("optimizer.optimizer_type")
    names = {"adamw": "adamw", "adam": "adam_l2", "sgd": "sgd", "adafactor": "adafactor"}
    name = names.get((kind or "").lower())
    draft.stated("optimizer.name", "optimizer.optimizer_type", name)
    if kind and name is None:
        draft.nameless("optimizer.name", "optimizer.optimizer_type", kind)
    if name in {"adamw", "adam_l2"}:
        draft.two_betas("optimizer.beta1", "optimizer.beta2", BASE)
        draft.take("optimizer.eps", "optimizer.eps", 1e-6, BASE)
        if draft.boolean("optimizer.correct_bias") is False:
            draft.note_at("optimizer.correct_bias", "Adam without bias correction")
    draft.take("optimizer.weight_decay", "optimizer.weight_decay_rate", 0.0, BASE)
    utils = f"{COMMIT}:modelzoo/common/pytorch/utils.py"
    draft.code(f"{utils}: norms and biases", {"optimizer.not_decayed": ("bias", "norm")})
    factors: dict[str, float] = {}
    path = "optimizer.adjust_learning_rate"
    entry = draft.find(path)
    if entry is not None and not isinstance(entry.value, dict):
        raise draft.bad(entry, path, "layers and factors")
    for key, item in entry.value.items() if entry else ():
        factors[shorten(key)] = draft.as_number(item, f"adjust_learning_rate.{shorten(key)}", 0, 1e6)
        draft.used.add(f"{path}.{key}")
    draft.stated("optimizer.lr_multipliers", path, factors or None, {}, f"{BASE}: one rate for all")
    scale = draft.find("optimizer.loss_scaling_factor")
    if scale is not None and scale.raw != "dynamic":
        draft.as_number(scale, "optimizer.loss_scaling_factor", 0, 1e12)


class _Piece(NamedTuple):
    """One piece of the learning rate: its rates at both ends, and its length in updates (None for no end)."""

    kind: str
    first: float
    last: float
    length: int | None
    place: str


def _learning_rate(draft: Draft) -> None:
    entry = draft.find(RATE)
    if entry is None:
        return
    if isinstance(entry.value, (list, dict)):
        pieces = entry.value if isinstance(entry.value, list) else [entry]
        _schedule(draft, [_piece(draft, piece) for piece in pieces], entry)
        return
    rate = draft.as_number(entry, RATE, 0, 1000)
    for name, value in (("form", "constant"), ("minimum", rate), ("warmup_steps", 0), ("first", "zero")):
        draft.derived(f"learning_rate.{name}", value, f"{draft.at(RATE)}: one number")
    draft.put("learning_rate.peak", rate, "stated", f"{draft.at(RATE)}: one number")


def _piece(draft: Draft, piece: Entry) -> _Piece:
    if not isinstance(piece.value, dict):
        raise draft.bad(piece, RATE, "a piece with scheduler, rates and steps")
    rates = ("initial_learning_rate", "learning_rate", "base_lr", "end_learning_rate")
    counts = ("steps", "decay_steps")
    for name, item in piece.value.items():
        if name not in {"scheduler", "disable_lr_steps_reset", *rates, *counts}:
            draft.note(f"{item.place}: {shorten(name)}: a key of the schedule that this reader does not know")
    there = {name: item for name, item in piece.value.items() if item.value is not None}
    number = {name: draft.as_number(there[name], f"{RATE}.{name}", 0, 1000) for name in rates if name in there}
    count = {name: draft.as_integer(there[name], f"{RATE}.{name}") for name in counts if name in there}
    kind = piece.value.get("scheduler")
    steps, decay = count.get("steps"), count.get("decay_steps")
    if steps is not None and decay is not None and steps != decay:
        odds = f"steps {steps} and decay_steps {decay} differ; decay_steps sets the slope"
        draft.note(f"{piece.place}: {RATE}: {odds}")
    first = next((number[name] for name in rates[:3] if name in number), None)
    if first is None:
        raise draft.bad(piece, RATE, "initial_learning_rate", "none")
    for name in rates[1:3]:
        if number.get(name, first) != first:
            odds = f"initial_learning_rate {first:g} and {name} {number[name]:g} differ"
            draft.note(f"{piece.place}: {RATE}: {odds}")
    last, length = number.get("end_learning_rate", first), steps if decay is None else decay
    return _Piece("constant" if kind is None else kind.raw.lower(), first, last, length, piece.place)


def _schedule(draft: Draft, pieces: list[_Piece], entry: Entry) -> None:
    """Put a warm-up and one decay, which is the canonical form; anything else is noted and left unstated."""
    if not pieces:
        raise draft.bad(entry, RATE, "at least one piece", "an empty list")
    start, *rest = pieces
    rises = bool(rest) and start.kind == "linear" and start.last > start.first
    warmup = 0
    if rises:
        if start.length is None:
            raise draft.bad(entry, RATE, "steps of the warm-up", "none")
        warmup = start.length
        draft.stated("learning_rate.warmup_minimum", RATE, start.first)
        draft.put("learning_rate.warmup_steps", warmup, "stated", f"{start.place} steps")
    else:
        rest = pieces
        draft.derived("learning_rate.warmup_steps", 0, f"{start.place}: the first piece does not rise")
        draft.derived("learning_rate.warmup_minimum", 0.0, f"{start.place}: no warm-up")
    scheduler = f"{COMMIT}:modelzoo/common/pytorch/optim/lr_scheduler.py: read before the update"
    draft.code(scheduler, {"learning_rate.first": "zero"})
    forms = {"linear": "linear", "cosine": "cosine_to_min", "cosinedecay": "cosine_to_min", "constant": "constant"}
    kind, first, last, length, place = rest[0]
    joined = not warmup or math.isclose(start.last, first, rel_tol=1e-9)
    if len(rest) > 1 or kind not in forms or not joined:
        many = f"{len(pieces)} pieces, which have no canonical form"
        draft.unstated("learning_rate.form", f"{place}: {many}")
        draft.note(f"{place}: the schedule is not a warm-up and one decay, and the canonical recipe has no other form")
    else:
        draft.put("learning_rate.form", forms[kind], "stated", f"{place} scheduler")
        least = first if kind == "constant" else last
        draft.put("learning_rate.minimum", least, "stated", f"{place} end_learning_rate")
    draft.put("learning_rate.peak", first, "stated", f"{place} initial_learning_rate")
    if length is not None:
        total, steps = warmup + length, draft.values.get("steps")
        draft.derived("learning_rate.decay_steps", total, f"{place}: warm-up {warmup} + decay {length}")
        if isinstance(steps, int) and steps < total:
            ends = f"training ends at update {steps}, before the schedule does at {total}"
            draft.note_at("runconfig.max_steps", ends)
        elif isinstance(steps, int) and steps > total:
            goes_on = f"training continues to update {steps}, the schedule ends at {total}"
            draft.note_at("runconfig.max_steps", goes_on)


def _data(draft: Draft) -> None:
    length = draft.values["architecture.max_position"]
    draft.derived("data.sequence_length", length, draft.origins["architecture.max_position"].where)
    draft.unstated("data.item_length", "only the HDF5 files tell: sequences, or inputs and labels apart")
    draft.take("data.seed", "train_input.shuffle_seed")
    shuffle, mixture = draft.boolean("train_input.shuffle"), draft.items("train_input.mixture")
    if mixture:
        where = f"{draft.at('train_input.mixture')}: the draws by weight are not published"
        draft.derived("data.order", "unknown", where)
        _mixture(draft, mixture)
        return
    if shuffle is False:
        draft.put("data.order", "as_stored", "stated", draft.at("train_input.shuffle"))
    else:
        draft.derived("data.order", "unknown", "the shuffle is not described")
    path = "train_input.data_dir"
    found = draft.find(path)
    files = draft.words(path) if found and isinstance(found.value, list) else alone(draft.word(path))
    draft.stated("data.files", path, files)


def _mixture(draft: Draft, mixture: list[Entry]) -> None:
    files, total = [], 0.0
    for item in mixture:
        if not isinstance(item.value, dict) or not {"data_dir", "weight"} <= set(item.value):
            raise draft.bad(item, "train_input.mixture", "data_dir and weight")
        files.append(item.value["data_dir"].raw)
        total += draft.as_number(item.value["weight"], "train_input.mixture.weight", 0, 1e9)
        for name in item.value.keys() - {"data_dir", "weight"}:
            other = item.value[name]
            draft.note(f"{other.place}: train_input.mixture: {shorten(name)} {shorten(other.raw)}")
    draft.put("data.files", tuple(files), "stated", draft.at("train_input.mixture"))
    if abs(total - 1) > 1e-6:
        draft.note_at("train_input.mixture", f"the weights sum to {total:.9g}, not to 1")
    else:
        draft.note_at("train_input.mixture", f"{len(files)} data sets drawn by weight; the weights sum to 1")


def _run(draft: Draft) -> None:
    batch = draft.take("batch_size", "train_input.batch_size")
    steps = draft.take("steps", "runconfig.max_steps")
    length = draft.values["data.sequence_length"]
    if batch and steps and isinstance(length, int):
        draft.derived("tokens_total", batch * steps * length, f"max_steps {steps} x batch {batch} x {length}")
    draft.take("clip_norm", "optimizer.max_gradient_norm", None, f"{BASE}: none")
    mixed, brain = draft.boolean("model.mixed_precision"), draft.boolean("model.use_bfloat16")
    if mixed and brain:
        draft.put("precision", "bf16", "stated", draft.at("model.mixed_precision", "model.use_bfloat16"))
    elif mixed is not None:
        draft.put("precision", "fp16" if mixed else "fp32", "stated", draft.at("model.mixed_precision"))
    draft.code(f"{MODEL}: has none", {"z_loss": 0.0})
    every = draft.integer("runconfig.checkpoint_steps", 0) or 0
    first = {0} if every and steps and draft.boolean("runconfig.save_initial_checkpoint") else set()
    where = f"{draft.at('runconfig.checkpoint_steps')}, and the last update"
    draft.checkpoints(steps, [every], where, steps, *first)
    if draft.boolean("runconfig.is_pretrained_checkpoint") or draft.has("runconfig.checkpoint_path"):
        draft.note_at(
            "runconfig.is_pretrained_checkpoint", "the training continues from a checkpoint of another training"
        )
    folder = draft.word("runconfig.model_dir")
    if folder and "restart" in folder:
        draft.note_at("runconfig.model_dir", f"{shorten(folder)}: its name suggests a restart")


def _comments(draft: Draft) -> None:
    """Note comments that contradict the values: a number of tokens, or the difference behind a number of updates."""
    total = draft.values.get("tokens_total")
    steps, warmup = draft.values["steps"], draft.values.get("learning_rate.warmup_steps")
    for line, text in draft.marked.comments.items():
        says = f"{draft.marked.file}:{line}: the comment says"
        tokens, parts = re.fullmatch(r"Tokens: (\d{1,18})", text), re.fullmatch(r"(\d{1,12}) - (\d{1,12})", text)
        if tokens and total is not None and int(tokens[1]) != total:
            draft.note(f"{says} {int(tokens[1])} tokens, the values give {total}")
        if parts and {int(parts[1]), int(parts[2])} != {steps, warmup}:
            draft.note(f"{says} {text}, the values are max_steps {steps} and warm-up {warmup}")
