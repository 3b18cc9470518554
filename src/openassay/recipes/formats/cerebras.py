"""Cerebras model zoo params.yaml (CrystalCoder): sections model, optimizer, train_input, runconfig.

The learning rate is a list of pieces, each counted in updates from its own start; a run of `max_steps` may cut the last one.
Scales of the maximal update parametrisation stand as they are applied: embedding, logits, attention by the head's size, and a
factor on the learning rate of the layers' matrices.
"""

from __future__ import annotations

import math
import re

from openassay.recipes.formats.draft import Draft
from openassay.recipes.formats.marked import Entry, Marked, shorten
from openassay.training.language import ReadRecipe

COMMIT = "Cerebras/modelzoo@97bdaf4460ace1681ad437b07ba33f0e179f5ca4"
"""Release 1.9.1. The release names its namespace (`rel-191`), not a commit."""
MODEL = f"{COMMIT}:modelzoo/transformers/pytorch/gpt2/model.py"
BASE = f"{COMMIT}:modelzoo/common/pytorch/PyTorchBaseModel.py"

IGNORED = {
    "cerebras*": "how it is started",
    "eval_input*": "evaluation",
    "runconfig.*": "how it is started or logged",
    "model.attention_kernel": "the same function, another kernel",
    "model.attention_softmax_fp32": "rounding only",
    "model.boundary_casting": "rounding only",
    "model.attention_type": "scaled by attention_scale",
    "model.loss_scaling": "see loss_weight",
    "model.loss_weight": "with loss_scaling batch_size: the mean over the sequence",
    "model.compute_eval_metrics": "evaluation",
    "model.model_name": "a name",
    "optimizer.log_summaries": "logging",
    "train_input.num_workers": "speed, not values",
    "train_input.persistent_workers": "speed, not values",
    "train_input.prefetch_factor": "speed, not values",
    "train_input.use_worker_cache": "speed, not values",
    "train_input.data_processor": "the class that reads the files",
    "train_input.repeat": "the data are read again when they end",
    "train_input.vocab_size": "as the model's",
    "train_input.micro_batch_size": "memory: how the batch is cut",
    "train_input.use_multiple_workers": "speed, not values",
    "train_input.max_sequence_length": "as the model's",
    "train_input.mixed_precision": "as the model's",
    "train_input.use_bfloat16": "as the model's",
}


def recognise(marked: Marked) -> bool:
    """Has the file the model zoo's sections?"""
    root = marked.root.value
    return isinstance(root, dict) and {"model", "optimizer", "runconfig"} <= set(root)


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


def _architecture(draft: Draft) -> None:
    put = draft.stated
    draft.derived("architecture.family", "gpt2", "the format: GPT-2's blocks, with the positions stated")
    width, heads = draft.integer("model.hidden_size", 1, 10**6), draft.integer("model.num_heads", 1, 10**5)
    put("architecture.vocab_size", "model.vocab_size", draft.integer("model.vocab_size", 1, 10**8))
    put("architecture.hidden_size", "model.hidden_size", width)
    put("architecture.num_layers", "model.num_hidden_layers", draft.integer("model.num_hidden_layers", 1, 10**4))
    put("architecture.num_heads", "model.num_heads", heads)
    draft.derived("architecture.num_kv_heads", heads, "as many as heads")
    draft.divides(width, "model.num_heads", heads)
    inner = draft.integer("model.filter_size", 1, 10**7)
    put("architecture.intermediate_size", "model.filter_size", inner)
    put(
        "architecture.max_position",
        "model.max_position_embeddings",
        draft.integer("model.max_position_embeddings", 1),
        1024,
        MODEL,
    )
    activation = draft.word("model.nonlinearity")
    if activation in {None, "gelu", "relu", "swiglu", "geglu"}:
        put("architecture.activation", "model.nonlinearity", activation, "gelu", MODEL)
    else:
        draft.unstated(
            "architecture.activation",
            f"{draft.at('model.nonlinearity')}: {shorten(activation or '')} has no canonical name",
        )
    rms = draft.boolean("model.use_rms_norm")
    put(
        "architecture.norm",
        "model.use_rms_norm",
        None if rms is None else "rms_norm" if rms else "layer_norm",
        "layer_norm",
        MODEL,
    )
    put(
        "architecture.norm_eps", "model.layer_norm_epsilon", draft.number("model.layer_norm_epsilon", 0, 1), 1e-5, MODEL
    )
    position = draft.word("model.position_embedding_type")
    used = draft.boolean("model.use_position_embedding")
    rotated = draft.integer("model.rotary_dim", 0, 10**6)
    if position == "rotary" and used is not False:
        if width and heads and rotated:
            head = width // heads
            if rotated > head:
                raise draft.bad(
                    draft.find("model.rotary_dim") or draft.marked.root,
                    "model.rotary_dim",
                    f"at most the head's {head}",
                    str(rotated),
                )
            draft.derived(
                "architecture.rotary_share", rotated / head, f"{draft.at('model.rotary_dim')} / head size {head}"
            )
        draft.code("architecture.rotary_base", 10000.0, f"{COMMIT}: the model zoo's rotary embedding")
    else:
        where = draft.at("model.position_embedding_type") if position else f"{MODEL}: learned"
        draft.derived("architecture.rotary_share", None, f"{where}: no rotary embedding")
        draft.note(f"{where}: the canonical recipe has rotary positions only")
    draft.code("architecture.parallel_residual", False, MODEL)
    _bias(draft)
    put(
        "architecture.tied_embeddings",
        "model.share_embedding_weights",
        draft.boolean("model.share_embedding_weights"),
        True,
        MODEL,
    )
    draft.code("architecture.qk_norm", False, MODEL)
    hidden = draft.number("model.dropout_rate", 0, 1)
    put("architecture.hidden_dropout", "model.dropout_rate", hidden)
    attention = draft.number("model.attention_dropout_rate", 0, 1)
    put(
        "architecture.attention_dropout", "model.attention_dropout_rate", attention, hidden, f"{MODEL}: as dropout_rate"
    )
    if draft.number("model.embedding_dropout_rate", 0, 1) not in {None, hidden}:
        draft.note(f"{draft.at('model.embedding_dropout_rate')}: the embedding's dropout is not the layers'")
    put(
        "architecture.embedding_scale",
        "model.embeddings_scale",
        draft.number("model.embeddings_scale", 0, 1e6),
        1.0,
        MODEL,
    )
    put(
        "architecture.logits_scale",
        "model.output_logits_scale",
        draft.number("model.output_logits_scale", 0, 1e6),
        1.0,
        MODEL,
    )
    inverse = draft.boolean("model.scale_qk_dot_by_d")
    put(
        "architecture.attention_scale",
        "model.scale_qk_dot_by_d",
        None if inverse is None else "inverse" if inverse else "inverse_sqrt",
        "inverse_sqrt",
        MODEL,
    )


def _bias(draft: Draft) -> None:
    keys = ("use_projection_bias_in_attention", "use_ffn_bias_in_attention", "use_ffn_bias")
    said = [draft.boolean(f"model.{key}") for key in keys]
    output = draft.boolean("model.use_bias_in_output")
    values = {True if value is None else value for value in said}
    if len(values) == 1:
        where = ", ".join(draft.at(f"model.{key}") for key in keys if draft.has(f"model.{key}")) or MODEL
        draft.put("architecture.bias", values.pop(), "stated" if None not in said else "code default", where)
    else:
        draft.unstated("architecture.bias", "some layers have a bias, some have none")
        draft.note(
            f"{draft.at('model.use_ffn_bias')}: some layers have a bias, some have none, which the canonical recipe cannot say"
        )
    if output:
        draft.note(
            f"{draft.at('model.use_bias_in_output')}: the logits have a bias, which the canonical recipe cannot say"
        )


def _initialisation(draft: Draft) -> None:
    method = draft.word("model.initializer.name")
    std = draft.number("model.initializer.std", 0, 100)
    span = draft.number("model.initializer_range", 0, 100)
    draft.stated("initialisation.method", "model.initializer.name", method, "truncated_normal", MODEL)
    draft.stated("initialisation.std", "model.initializer.std", std, 0.02 if span is None else span, MODEL)
    for key, name in (("output_layer_initializer", "output_std"), ("embedding_initializer", "embedding_std")):
        draft.stated(f"initialisation.{name}", f"model.{key}.std", draft.number(f"model.{key}.std", 0, 100))
    output = draft.word("model.output_layer_initializer.name")
    draft.stated("initialisation.output_method", "model.output_layer_initializer.name", output)
    draft.word("model.embedding_initializer.name")
    cuts = set()
    for key in ("initializer", "output_layer_initializer", "embedding_initializer"):
        low, high = draft.number(f"model.{key}.a"), draft.number(f"model.{key}.b")
        width = draft.number(f"model.{key}.std", 0, 100)
        if draft.number(f"model.{key}.mean"):
            draft.note(f"{draft.at(f'model.{key}.mean')}: the mean is not 0")
        if high is not None and width:
            cuts.add(round(high / width, 9))
            if low is None or not math.isclose(low, -high):
                draft.note(f"{draft.at(f'model.{key}.a')}: the bounds are not symmetric")
    if len(cuts) == 1:
        draft.derived("initialisation.truncated_at", cuts.pop(), f"{draft.at('model.initializer.b')} / std")
    elif cuts:
        draft.unstated("initialisation.truncated_at", "the initialisers are cut at different multiples")
    if draft.boolean("model.scale_glu_initialization"):
        draft.note(
            f"{draft.at('model.scale_glu_initialization')}: the gated block's first matrices begin at another scale"
        )
    draft.integer("model.weight_initialization_seed")


def _optimizer(draft: Draft) -> None:
    kind = draft.word("optimizer.optimizer_type")
    names = {"adamw": "adamw", "adam": "adam_l2", "sgd": "sgd", "adafactor": "adafactor"}
    name = names.get((kind or "").lower())
    if kind and name is None:
        draft.unstated(
            "optimizer.name", f"{draft.at('optimizer.optimizer_type')}: {shorten(kind)} has no canonical name"
        )
    else:
        draft.stated("optimizer.name", "optimizer.optimizer_type", name)
    if name in {"adamw", "adam_l2"}:
        first, second = draft.number("optimizer.beta1", 0, 1), draft.number("optimizer.beta2", 0, 1)
        where = ", ".join(draft.at(f"optimizer.{key}") for key in ("beta1", "beta2") if draft.has(f"optimizer.{key}"))
        draft.put(
            "optimizer.betas",
            (0.9 if first is None else first, 0.999 if second is None else second),
            "stated" if None not in {first, second} else "code default",
            where or BASE,
        )
        draft.stated("optimizer.eps", "optimizer.eps", draft.number("optimizer.eps", 0, 1), 1e-6, BASE)
        if draft.boolean("optimizer.correct_bias") is False:
            draft.note(f"{draft.at('optimizer.correct_bias')}: Adam without correction of its bias")
    decay = draft.number("optimizer.weight_decay_rate", 0, 100)
    draft.stated("optimizer.weight_decay", "optimizer.weight_decay_rate", decay, 0.0, BASE)
    draft.code(
        "optimizer.not_decayed", ("bias", "norm"), f"{COMMIT}:modelzoo/common/pytorch/utils.py: norms and biases"
    )
    factors: dict[str, float] = {}
    entry = draft.find("optimizer.adjust_learning_rate")
    if entry is not None:
        if not isinstance(entry.value, dict):
            raise draft.bad(entry, "optimizer.adjust_learning_rate", "layers and factors", entry)
        for key in entry.value:
            factors[shorten(key)] = draft.as_number(entry.value[key], f"adjust_learning_rate.{shorten(key)}", 0, 1e6)
            draft.used.add(f"optimizer.adjust_learning_rate.{key}")
    draft.put(
        "optimizer.lr_multipliers",
        factors,
        "stated" if factors else "code default",
        draft.at("optimizer.adjust_learning_rate") if factors else f"{BASE}: one rate for all",
    )
    scale = draft.find("optimizer.loss_scaling_factor")
    if scale is not None and scale.raw != "dynamic":
        draft.as_number(scale, "optimizer.loss_scaling_factor", 0, 1e12)


def _learning_rate(draft: Draft) -> None:
    entry = draft.find("optimizer.learning_rate")
    if entry is None:
        return
    where = draft.at("optimizer.learning_rate")
    if not isinstance(entry.value, (list, dict)):
        rate = draft.as_number(entry, "optimizer.learning_rate", 0, 1000)
        for name, value in (
            ("form", "constant"),
            ("peak", rate),
            ("minimum", rate),
            ("warmup_steps", 0),
            ("first", "zero"),
        ):
            draft.put(f"learning_rate.{name}", value, "stated" if name == "peak" else "derived", f"{where}: one number")
        return
    pieces = entry.value if isinstance(entry.value, list) else [entry]
    parsed = [_piece(draft, piece) for piece in pieces]
    _pieces(draft, parsed, entry)


def _piece(draft: Draft, piece: Entry) -> tuple[str, float, float, int | None, str]:
    """kind, first rate, last rate, length in updates, place."""
    key = "optimizer.learning_rate"
    if not isinstance(piece.value, dict):
        raise draft.bad(piece, key, "a piece with scheduler, rates and steps", piece)
    known = {
        "scheduler",
        "initial_learning_rate",
        "end_learning_rate",
        "learning_rate",
        "base_lr",
        "steps",
        "decay_steps",
        "disable_lr_steps_reset",
    }
    for name, item in piece.value.items():
        if name not in known:
            draft.note(f"{item.place}: {shorten(name)}: a key of the schedule that this reader does not know")

    def number(name: str) -> float | None:
        item = piece.value.get(name)
        return None if item is None or item.value is None else draft.as_number(item, f"{key}.{name}", 0, 1000)

    def count(name: str) -> int | None:
        item = piece.value.get(name)
        return None if item is None or item.value is None else draft.as_integer(item, f"{key}.{name}")

    kind = piece.value.get("scheduler")
    name = kind.raw.lower() if kind is not None else "constant"
    steps, decay = count("steps"), count("decay_steps")
    if steps is not None and decay is not None and steps != decay:
        draft.note(
            f"{piece.place}: {key}: steps {steps} and decay_steps {decay} are at odds; decay_steps sets the slope"
        )
    first = number("initial_learning_rate")
    for other in ("learning_rate", "base_lr"):
        value = number(other)
        if first is None:
            first = value
        elif value is not None and value != first:
            draft.note(f"{piece.place}: {key}: initial_learning_rate {first:g} and {other} {value:g} are at odds")
    last = number("end_learning_rate")
    if first is None:
        raise draft.bad(piece, key, "initial_learning_rate", "none")
    return name, first, first if last is None else last, decay if decay is not None else steps, piece.place


def _pieces(draft: Draft, parsed: list[tuple[str, float, float, int | None, str]], entry: Entry) -> None:
    """A warm-up and one decay are canonical; anything else is noted and left unstated."""
    key = "optimizer.learning_rate"
    if not parsed:
        raise draft.bad(entry, key, "at least one piece", "an empty list")
    warmup = 0
    rest = parsed
    kind, first, last, length, place = parsed[0]
    if len(parsed) > 1 and kind == "linear" and last > first:
        if length is None:
            raise draft.bad(entry, key, "steps of the warm-up", "none")
        warmup, rest = length, parsed[1:]
        draft.stated("learning_rate.warmup_minimum", key, first)
        draft.put("learning_rate.warmup_steps", warmup, "stated", f"{place} steps")
    else:
        draft.derived("learning_rate.warmup_steps", 0, f"{place}: the first piece does not rise")
        draft.derived("learning_rate.warmup_minimum", 0.0, f"{place}: no warm-up")
    draft.code(
        "learning_rate.first", "zero", f"{COMMIT}:modelzoo/common/pytorch/optim/lr_scheduler.py: read before the update"
    )
    forms = {"linear": "linear", "cosine": "cosine_to_min", "cosinedecay": "cosine_to_min", "constant": "constant"}
    before = last if warmup else None
    kind, first, last, length, place = rest[0]
    if len(rest) > 1 or kind not in forms or (before is not None and not math.isclose(before, first, rel_tol=1e-9)):
        draft.unstated("learning_rate.form", f"{place}: {len(parsed)} pieces of which the canonical recipe has no form")
        draft.note(
            f"{place}: the schedule is not a warm-up and one decay, which is all that the canonical recipe can say"
        )
    else:
        draft.put("learning_rate.form", forms[kind], "stated", f"{place} scheduler")
        draft.put(
            "learning_rate.minimum", last if kind != "constant" else first, "stated", f"{place} end_learning_rate"
        )
    draft.put("learning_rate.peak", first, "stated", f"{place} initial_learning_rate")
    if length is not None:
        total = warmup + length
        draft.derived("learning_rate.decay_steps", total, f"{place}: warm-up {warmup} + decay {length}")
        steps = draft.values.get("steps")
        if isinstance(steps, int) and steps < total:
            draft.note(
                f"{draft.at('runconfig.max_steps')}: training ends at update {steps}, before the schedule does at {total}"
            )
        elif isinstance(steps, int) and steps > total:
            draft.note(
                f"{draft.at('runconfig.max_steps')}: training goes on to update {steps}, the schedule ends at {total}"
            )


def _data(draft: Draft) -> None:
    length = draft.values.get("architecture.max_position")
    if length is not None:
        draft.derived("data.sequence_length", length, draft.origins["architecture.max_position"].where)
    draft.unstated("data.item_length", "the HDF5 files say it: sequences, or inputs and labels apart")
    shuffle = draft.boolean("train_input.shuffle")
    seed = draft.integer("train_input.shuffle_seed")
    mixture = draft.items("train_input.mixture")
    if mixture:
        draft.put(
            "data.order",
            "unknown",
            "derived",
            f"{draft.at('train_input.mixture')}: the draws by weight are not published",
        )
    elif shuffle is False:
        draft.put("data.order", "as_stored", "stated", draft.at("train_input.shuffle"))
    else:
        draft.put("data.order", "unknown", "derived", "the shuffle is not described")
    draft.stated("data.seed", "train_input.shuffle_seed", seed)
    if mixture:
        _mixture(draft, mixture)
        return
    folders = draft.find("train_input.data_dir")
    if folders is not None and isinstance(folders.value, list):
        draft.stated("data.files", "train_input.data_dir", draft.words("train_input.data_dir"))
    else:
        folder = draft.word("train_input.data_dir")
        draft.stated("data.files", "train_input.data_dir", (folder,) if folder else None)


def _mixture(draft: Draft, mixture: list[Entry]) -> None:
    files, total = [], 0.0
    for item in mixture:
        folder = item.value.get("data_dir") if isinstance(item.value, dict) else None
        weight = item.value.get("weight") if isinstance(item.value, dict) else None
        if folder is None or weight is None:
            raise draft.bad(item, "train_input.mixture", "data_dir and weight", item)
        files.append(folder.raw)
        total += draft.as_number(weight, "train_input.mixture.weight", 0, 1e9)
        for name in item.value.keys() - {"data_dir", "weight"}:
            draft.note(
                f"{item.value[name].place}: train_input.mixture: {shorten(name)} {shorten(item.value[name].raw)}"
            )
    draft.put("data.files", tuple(files), "stated", draft.at("train_input.mixture"))
    if abs(total - 1) > 1e-6:
        draft.note(f"{draft.at('train_input.mixture')}: the weights sum to {total:.9g}, not to 1")
    else:
        draft.note(f"{draft.at('train_input.mixture')}: {len(files)} data sets drawn by weight; the weights sum to 1")


def _run(draft: Draft) -> None:
    batch = draft.integer("train_input.batch_size", 1, 10**9)
    draft.stated("batch_size", "train_input.batch_size", batch)
    steps = draft.integer("runconfig.max_steps", 1)
    draft.stated("steps", "runconfig.max_steps", steps)
    length = draft.values.get("data.sequence_length")
    if batch and steps and isinstance(length, int):
        draft.derived("tokens_total", batch * steps * length, f"max_steps {steps} x batch {batch} x {length}")
    clip = draft.number("optimizer.max_gradient_norm", 0, 1e9)
    draft.stated("clip_norm", "optimizer.max_gradient_norm", clip, None, f"{BASE}: none")
    mixed, brain = draft.boolean("model.mixed_precision"), draft.boolean("model.use_bfloat16")
    if mixed and brain:
        draft.put(
            "precision", "bf16", "stated", f"{draft.at('model.mixed_precision')}, {draft.at('model.use_bfloat16')}"
        )
    elif mixed:
        draft.put("precision", "fp16", "stated", draft.at("model.mixed_precision"))
    elif mixed is False:
        draft.put("precision", "fp32", "stated", draft.at("model.mixed_precision"))
    draft.code("z_loss", 0.0, f"{MODEL}: has none")
    every = draft.integer("runconfig.checkpoint_steps", 0)
    if every and steps and steps // every <= 100_000:
        saved = set(range(every, steps + 1, every)) | {steps}
        if draft.boolean("runconfig.save_initial_checkpoint"):
            saved.add(0)
        draft.derived(
            "checkpoints", tuple(sorted(saved)), f"{draft.at('runconfig.checkpoint_steps')}, and the last update"
        )
    if draft.boolean("runconfig.is_pretrained_checkpoint") or draft.has("runconfig.checkpoint_path"):
        draft.note(
            f"{draft.at('runconfig.is_pretrained_checkpoint')}: the training goes on from another one's checkpoint"
        )
    folder = draft.word("runconfig.model_dir")
    if folder and "restart" in folder:
        draft.note(f"{draft.at('runconfig.model_dir')}: {shorten(folder)}: its name tells of a restart")


def _comments(draft: Draft) -> None:
    """Comments that say a number of tokens, or the sum behind a number."""
    for line, text in draft.marked.comments.items():
        if (match := re.fullmatch(r"Tokens: (\d{1,18})", text)) and isinstance(
            total := draft.values.get("tokens_total"), int
        ):
            said = int(match[1])
            if said != total:
                draft.note(f"{draft.marked.file}:{line}: the comment says {said} tokens, the values give {total}")
        if match := re.fullmatch(r"(\d{1,12}) - (\d{1,12})", text):
            steps, warmup = draft.values.get("steps"), draft.values.get("learning_rate.warmup_steps")
            if {int(match[1]), int(match[2])} != {steps, warmup}:
                draft.note(
                    f"{draft.marked.file}:{line}: the comment says {match[1]} - {match[2]}, the values are max_steps {steps} and "
                    f"warm-up {warmup}"
                )


# The settings of the model zoo's data preparation ----------------------------------------------------------------------

PREPARATION_IGNORED = {
    "setup.*": "where and how the preparation runs",
    "processing.tokenizer_type": "the tokenizer",
    "processing.*_file": "the tokenizer",
    "processing.output_name": "a name",
    "processing.files_per_record": "how the files are cut",
    "processing.write_*": "how the files are cut",
    "processing.resume_from_checkpoint": "restarts",
    "processing.display_pbar": "logging",
    "processing.short_seq_prob": "data preparation",
    "dataset.*": "data preparation",
    "processing.fim_*": "data preparation",
    "processing.seed": "of the preparation, not of the training",
}


def is_preparation(marked: Marked) -> bool:
    """Has the file the sections of a preparation?"""
    root = marked.root.value
    return isinstance(root, dict) and {"setup", "processing"} <= set(root)


def read_preparation(marked: Marked) -> ReadRecipe:
    """The part of a recipe that a preparation of data states."""
    draft = Draft("cerebras_preparation", marked)
    draft.note("settings of a data preparation: network, optimizer and schedule are missing")
    draft.stated("data.sequence_length", "processing.max_seq_length", draft.integer("processing.max_seq_length", 1))
    draft.stated("data.eos_token_id", "processing.eos_id", draft.integer("processing.eos_id", 0, 10**8))
    draft.stated("data.pad_token_id", "processing.pad_id", draft.integer("processing.pad_id", 0, 10**8))
    folder = draft.word("setup.output_dir")
    draft.stated("data.files", "setup.output_dir", (folder,) if folder else None)
    return draft.finish(PREPARATION_IGNORED)
