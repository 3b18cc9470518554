"""gin files of T5 (Mesh TensorFlow): bindings, macros and includes, read as data: nothing is imported, nothing is called.

A T5 file says only what differs from Mesh TensorFlow's `defaults.gin`; those defaults are cited at their commit. A macro is
resolved when everything is read, as gin does, so that a later file changes what an earlier one uses.
"""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from openassay.faults import BadInput
from openassay.published.marked import MAX_DEPTH, MAX_ENTRIES, Entry, Marked, comments_of, read_text, shorten
from openassay.published.recipes.draft import Draft, alone
from openassay.training.batch import text_length
from openassay.training.language import ReadRecipe

MESH = "tensorflow/mesh@da907937e68aa421186f1178d71eb5f736fcb069"
DEFAULTS = f"{MESH}:mesh_tensorflow/transformer/gin/defaults.gin"
LAYERS = f"{MESH}:mesh_tensorflow/transformer/transformer_layers.py"
MODEL = f"{MESH}:mesh_tensorflow/transformer/transformer.py"
RATES = f"{MESH}:mesh_tensorflow/transformer/learning_rate_schedules.py"
T5 = "google-research/text-to-text-transfer-transformer@e081111ccd51df425aa7124e8e311ed6d403d767"
PIECES = 32000
"""Of T5's vocabulary, without its sentinels."""
SHARED = "shared_embedding_and_softmax_weights"
MOST_TOKENS = 10**6
MOST_INCLUDES = 50
MOST_BINDINGS = 20_000

_STATEMENT = re.compile(r"(?P<key>[A-Za-z_][\w/.]*)\s*=\s*(?P<value>.*)\Z", re.DOTALL)
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?P<reference>@[\w/.]+(?:\(\))?)|(?P<macro>%[\w/.]+)"""
    r"""|(?P<number>[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)|(?P<word>True|False|None)|(?P<sign>[\[\](){},:]))""",
    re.DOTALL,
)

IGNORED = {
    "storage or evaluation": "run.*checkpoint*",
    "evaluation": (
        "run.eval* run.export* run.perplexity* run.*predict* run.output_eval* decode* Bitransformer.decode* "
        "Unitransformer.sample* infer* score* *.beam_size mesh_eval_dataset_fn.* *file*name* eval_checkpoint_step "
        "num_priming_tokens save_scores* Bitransformer.* mesh_inference_dataset_fn.* sample_autoregressive.*"
    ),
    "how it is started": "run.mode run.train_model_fn",
    "parallelism": "run.mesh_* run.layout_rules tpu_mesh_shape.* SimdMeshImpl.*",
    "logging": "run.iterations_per_loop tpu_estimator_model_fn.*",
    "speed, not values": "run.autostack pack_dataset.* *.combine_dims *.keep_query_heads_dims",
    "the tokenizer": "run.vocabulary get_vocabulary.*",
    "the part that is trained on": "run.dataset_split",
    "none": "run.ensemble_inputs *.ensemble",
    "restarts": "run.skip_seen_data run.total_run_steps",
    "all": "run.variable_filter",
    "memory: how the batch is cut": "serialize_num_microbatches.*",
    "storage": "rewrite_stack_variables.* get_variable_dtype.master_dtype get_variable_dtype.slice_dtype",
    "memory, not values": "*.recompute_grads",
    "a name": "*.name",
    "names": "make_bitransformer.encoder_name make_bitransformer.decoder_name",
    "data preparation": (
        "unsupervised.* select_random_chunk.* denoise.*_fn split_tokens* random_spans_helper.* reduce_concat_tokens.* "
        "*noise_mask.* relative_position_spans.*"
    ),
    "the mixture says it": "run.train_dataset_fn",
    "names of variables": "*.block_scope",
    "several examples in a sequence": "mesh_train_dataset_fn.pack",
    "initialisation": "VocabEmbedding.* VarianceScalingInitializer.* unit_scaling_convention.*",
    "an older name": "*/LayerStack.dropout_rate */LayerStack.norm_epsilon",
    "of absolute positions only": "*Unitransformer.max_length",
    "where the data lie": "mesh_train_dataset_fn.use_cached",
    "how it is written": "*.fold_scaling_into_initializer",
}
USUAL = {
    "SelfAttention.attention_func": None,
    "SelfAttention.attention_kwargs": None,
    "SelfAttention.num_memory_heads": 0,
    "SelfAttention.shared_kv": False,
    "Unitransformer.input_full_attention": False,
    "Unitransformer.loss_denominator": None,
    "Unitransformer.loss_fn": None,
    "Unitransformer.loss_on_targets_only": False,
    "Unitransformer.sinusoid_positional_embedding": False,
    "Unitransformer.token_dropout_rate": 0.0,
    "EncDecAttention.relative_attention_type": None,
}
"""Arguments that change nothing at these values; at others they are unknown to this reader."""

TELLING = {
    "d_model",
    "run",
    "denoise",
    "SelfAttention",
    "DenseReluDense",
    "Unitransformer",
    "learning_rate_schedule_noam",
}
"""One of these keys tells the format, in a file of another name than `*.gin`."""
T5X = {
    "DatasetConfig", "EncoderDecoderModel", "PjitPartitioner", "T5Config", "Trainer", "train_script", "OPTIMIZER", "VOCABULARY",
    "TASK_FEATURE_LENGTHS", "TRAIN_STEPS", "MIXTURE_OR_TASK_NAME", "SaveCheckpointConfig", "TransformerConfig", "BATCH_SIZE",
}  # fmt: skip
"""Keys that T5X's files have and Mesh TensorFlow's do not."""
NETWORK = {
    "d_model", "d_ff", "d_kv", "num_heads", "num_layers", "SelfAttention", "DenseReluDense", "Unitransformer", "make_layer_stack",
    "Bitransformer", "make_bitransformer", "LayerStack", "EncDecAttention",
}  # fmt: skip
NOT_T5X = "T5X: expected the gin of Mesh TensorFlow's T5, whose defaults this reader knows, found"


def parse(text: str, where: str, *, without_includes: bool = False) -> Marked:
    """gin text with its includes, each from the folder of the file or, for a path, from that folder's parent.

    without_includes: whether included files are left out.
    """
    path = Path(where)
    parser = _Parser(path.parent if path.is_file() else None, without_includes=without_includes)
    parser.file(text, where, 0)
    root: dict[str, Any] = {}
    for (selector, name), entry in parser.bindings.items():
        resolved = parser.resolved(entry, 0)
        if not selector:
            root[name] = replace(resolved, name=name)
        else:
            section = root.setdefault(selector, Entry({}, resolved.file, resolved.line, name=selector))
            if not isinstance(section.value, dict):
                raise BadInput(f"{resolved.place}: {shorten(selector)}: expected a macro or a function, found both")
            section.value[name] = replace(resolved, name=f"{selector}.{name}")
    return Marked(where, Entry(root, where, 1), comments_of(text), tuple(parser.notes), repeated=tuple(parser.repeated))


class _Parser:
    def __init__(self, folder: Path | None, *, without_includes: bool) -> None:
        self.folder, self.without_includes = folder, without_includes
        self.bindings: dict[tuple[str, str], Entry] = {}
        self.notes: list[str] = []
        self.repeated: list[tuple[str, Entry, Entry]] = []
        self.includes = 0
        self.left = MAX_ENTRIES

    def file(self, text: str, where: str, depth: int) -> None:
        """Take in the bindings of a text and of what it includes."""
        for line, statement in _statements(text, where):
            if statement.startswith(("import ", "from ")):
                if not self.without_includes and re.search(r"\b(__gin__|t5x)\b", statement):
                    raise BadInput(f"{where}:{line}: {NOT_T5X} {shorten(statement)}, which is not read")
                continue
            if statement.startswith("include"):
                self.include(statement, where, line, depth)
                continue
            match = _STATEMENT.match(statement)
            if not match:
                if statement.rstrip(":").rpartition(".")[2] in T5X:
                    raise BadInput(f"{where}:{line}: {NOT_T5X} {shorten(statement)}, which is not read")
                raise BadInput(f"{where}:{line}: expected a gin binding, found {shorten(statement)}")
            key, text_of_value = match["key"], match["value"]
            value, end = _value(text_of_value, 0, where, line, 0)
            if text_of_value[end:].strip():
                raise BadInput(f"{where}:{line}: {shorten(key)}: expected one value, found {shorten(text_of_value)}")
            scope, _, selector = key.rpartition("/")
            module, _, name = selector.rpartition(".")
            function = module.rpartition(".")[2]
            if scope and not function:
                expected = "expected a function's argument after the scope, found a macro"
                raise BadInput(f"{where}:{line}: {shorten(key)}: {expected}")
            bound = f"{scope}/{function}" if scope else function, name
            before = self.bindings.get(bound)
            if before is not None and before.file == where and before.plain() != value.plain():
                self.repeated.append((".".join(filter(None, bound)), before, value))
            self.bindings[bound] = value
            if len(self.bindings) > MOST_BINDINGS:
                raise BadInput(f"{where}:{line}: expected at most {MOST_BINDINGS} bindings, found more")

    def include(self, statement: str, where: str, line: int, depth: int) -> None:
        """Take in an included file."""
        place = f"{where}:{line}"
        where = f"{place}: include: expected"
        match = re.fullmatch(r"include\s+(['\"])([\w][\w ./+-]*)\1", statement)
        if not match or ".." in match[2]:
            raise BadInput(f"{where} a file's relative name in quotes, found {shorten(statement)}")
        if self.without_includes:
            return
        if match[2].startswith("t5x/"):
            raise BadInput(f"{place}: {NOT_T5X} {shorten(statement)}, which is not read")
        self.includes += 1
        if depth >= MAX_DEPTH or self.includes > MOST_INCLUDES:
            raise BadInput(f"{where} at most {MOST_INCLUDES} included files, found more (a circle?)")
        if self.folder is None:
            raise BadInput(f"{where} a file on disk beside {match[2]}, found bare text; give the path")
        name = PurePosixPath(match[2])
        places = [self.folder / name, self.folder.parent / name, self.folder / name.name]
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise BadInput(f"{where} {shorten(str(name))} beside this file, found none; fetch it too")
        self.file(read_text(found), str(found), depth + 1)

    def resolved(self, entry: Entry, depth: int) -> Entry:
        """The entry with its macros put in; one that is nowhere defined stays its name."""
        if depth > MAX_DEPTH:
            raise BadInput(f"{entry.place}: expected a macro with a value, found {shorten(entry.raw)} in a circle")
        self.left -= 1
        if self.left < 0:
            raise BadInput(f"{entry.place}: expected at most {MAX_ENTRIES} values, found more (macros count)")
        if isinstance(entry.value, list):
            return replace(entry, value=[self.resolved(item, depth + 1) for item in entry.value])
        if isinstance(entry.value, dict):
            return replace(entry, value={key: self.resolved(item, depth + 1) for key, item in entry.value.items()})
        if isinstance(entry.value, str) and entry.raw.startswith("%") and not entry.quoted:
            target = self.bindings.get(("", entry.raw[1:]))
            if target is not None:
                return self.resolved(target, depth + 1)
            self.notes.append(f"{entry.place}: the macro {shorten(entry.raw)} is defined nowhere in these files")
        return entry


def _statements(text: str, where: str) -> list[tuple[int, str]]:
    """Logical lines without comments: one goes on inside brackets and after a backslash."""
    found: list[tuple[int, str]] = []
    parts: list[str] = []
    depth, start = 0, 1
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        code, quote = "", ""
        for at, sign in enumerate(line):
            if quote:
                quote = "" if sign == quote and line[at - 1] != "\\" else quote
            elif sign in "'\"":
                quote = sign
            elif sign == "#":
                break
            elif sign in "([{":
                depth += 1
            elif sign in ")]}":
                depth -= 1
            code += sign
        if quote:
            raise BadInput(f"{where}:{number}: expected a closing quote, found the line's end")
        if depth < 0 or depth > MAX_DEPTH:
            expected = f"expected matching brackets, at most {MAX_DEPTH} deep"
            raise BadInput(f"{where}:{number}: {expected}, found {shorten(line)}")
        if not parts:
            start = number
        code = code.rstrip()
        goes_on = code.endswith("\\")
        parts.append(code[:-1] if goes_on else code)
        if depth or goes_on:
            continue
        if statement := "\n".join(parts).strip():
            found.append((start, statement))
        parts = []
    if depth or any(part.strip() for part in parts):
        raise BadInput(f"{where}:{start}: expected the end of the statement, found the file's end")
    return found


def _value(text: str, at: int, where: str, line: int, depth: int) -> tuple[Entry, int]:
    match = _TOKEN.match(text, at)
    if not match or depth > MAX_DEPTH:
        raise BadInput(f"{where}:{line}: expected a gin value, found {shorten(text[at : at + 60])}")
    raw = match[match.lastgroup or 0]
    if match.lastgroup == "sign":
        return _collection(raw, text, match.end(), where, line, depth)
    if match.lastgroup in {"reference", "macro"}:
        return Entry(raw, where, line, raw), match.end()
    if len(raw) > 40 and match.lastgroup == "number":
        raise BadInput(f"{where}:{line}: expected a number, found {shorten(raw)}")
    try:
        value = ast.literal_eval(raw)
    except (ValueError, SyntaxError):
        raise BadInput(f"{where}:{line}: expected a gin value, found {shorten(raw)}") from None
    quoted = match.lastgroup == "string"
    return Entry(value, where, line, value if quoted else raw, quoted), match.end()


def _collection(sign: str, text: str, at: int, where: str, line: int, depth: int) -> tuple[Entry, int]:
    close = {"[": "]", "(": ")", "{": "}"}.get(sign)
    if close is None:
        raise BadInput(f"{where}:{line}: expected a gin value, found {sign}")
    items: list[Entry] = []
    keyed: dict[str, Entry] = {}
    while True:
        match = _TOKEN.match(text, at)
        if match and match["sign"] == close:
            return Entry(keyed if sign == "{" else items, where, line), match.end()
        item, at = _value(text, at, where, line, depth + 1)
        match = _TOKEN.match(text, at)
        if sign == "{":
            if not match or match["sign"] != ":":
                raise BadInput(f"{where}:{line}: expected a colon after a key, found {shorten(text[at : at + 60])}")
            keyed[item.raw], at = _value(text, match.end(), where, line, depth + 1)
            match = _TOKEN.match(text, at)
        else:
            items.append(item)
        if match and match["sign"] == ",":
            at = match.end()
        elif not match or match["sign"] != close:
            raise BadInput(f"{where}:{line}: expected a comma or {close}, found {shorten(text[at : at + 60])}")


def recognise(marked: Marked) -> bool:
    """Whether it is a gin file by its name, or has keys of this model family."""
    keys = {key.rpartition("/")[2] for key in marked.root.value}
    return bool(keys) and (Path(marked.file).suffix.lower() == ".gin" or bool(keys & TELLING))


def read(marked: Marked) -> ReadRecipe:
    """The recipe of a T5 gin file and what it includes. `BadInput` for one of T5X, or with no key of T5."""
    for key, entry in marked.root.value.items():
        if key.rpartition("/")[2] in T5X:
            raise BadInput(f"{entry.place}: {NOT_T5X} {shorten(key)}, which is not read")
    draft = Draft("t5_gin", marked)
    _sequences(draft)
    _architecture(draft)
    _optimizer(draft)
    _learning_rate(draft)
    _batch(draft)
    _run(draft)
    _usual(draft)
    sections = {key.rpartition("/")[2] for key in marked.root.value}
    if not sections & NETWORK:
        part = f"{marked.file}: no key of the network; read this file together with the one that has them"
        for name in [
            name for name, one in draft.origins.items() if name.startswith(("architecture.", "initialisation."))
        ]:
            draft.unstated(name, part)
    found = draft.finish(IGNORED)
    if marked.root.value and all(one.kind != "stated" for one in found.origins.values()):
        first = next(iter(marked.root.value.values()))
        expected = "expected keys of the network or the training of Mesh TensorFlow's T5"
        raise BadInput(f"{first.place}: {expected}, found {shorten(first.name)} and no such key; it is a part at most")
    return found


def _either(draft: Draft, *paths: str) -> str:
    """The first of these paths that has a value. Encoder and decoder may be bound apart: another value is noted."""
    there = [path for path in paths if draft.has(path)]
    for path in there[1:]:
        first, other = draft.find(there[0]), draft.find(path)
        if first and other and first.plain() != other.plain():
            one = f"{other.name} differs from {first.name}; the canonical recipe has one value, and the latter counts"
            draft.note(f"{other.place}: {one}")
    return draft.first(*paths)


def _scoped(name: str) -> tuple[str, ...]:
    return (name, f"encoder/{name}", f"decoder/{name}")


def _architecture(draft: Draft) -> None:
    draft.derived("architecture.family", "t5", "the format")
    kind = draft.word("run.model_type")
    if kind not in {None, "bitransformer"}:
        draft.note_at("run.model_type", f"{shorten(kind or '')}: this is no encoder-decoder")
    divisor = draft.integer(_either(draft, *_scoped("Unitransformer.vocab_divisor")), 1, 10**6) or 128
    words = _words(draft)
    pieces = f"{PIECES} pieces and {words - PIECES} extra ids, padded to a multiple of {divisor}"
    draft.code(f"{T5}:t5/data/utils.py: {pieces}", {"architecture.vocab_size": -(-words // divisor) * divisor})
    for name, macro, argument, default in (
        ("hidden_size", "d_model", "Unitransformer.d_model", 1024),
        ("num_layers", "num_layers", "make_layer_stack.num_layers", 6),
        ("num_heads", "num_heads", "SelfAttention.num_heads", 8),
        ("head_size", "d_kv", "SelfAttention.key_value_size", 128),
        ("intermediate_size", "d_ff", "DenseReluDense.hidden_size", 4096),
    ):
        path = _either(draft, macro, *_scoped(argument))
        draft.take(f"architecture.{name}", path, default, DEFAULTS, (1, 10**7))
    draft.derived("architecture.num_kv_heads", draft.values["architecture.num_heads"], "as many as heads")
    length = draft.values["data.sequence_length"]
    if length is not None:
        draft.derived(
            "architecture.max_position", length, "relative positions have no greatest one; the sequence length"
        )
    _activation(draft)
    _layers(draft)
    draft.code(f"{DEFAULTS} sublayer_rms_norm", {"architecture.norm": "rms_norm"})
    draft.take("architecture.norm_eps", "sublayer_rms_norm.epsilon", 1e-6, MODEL)
    path = _either(draft, *_scoped("SelfAttention.relative_attention_type"))
    buckets = _either(draft, *_scoped("SelfAttention.relative_attention_num_buckets"))
    draft.integer(buckets, 1, 10**6)
    if draft.word(path, ("bias", "bias_shared", "contextual")) is not None:
        draft.take("architecture.relative_buckets", buckets, 32, f"{LAYERS} relative_attention_num_buckets")
    absolute = _either(draft, *_scoped("Unitransformer.positional_embedding"))
    if draft.boolean(absolute):
        draft.beyond(absolute, "learned absolute positions")
    draft.derived("architecture.rotary_share", None, "no rotary embedding")
    for name, argument, default, where in (
        ("bias", "DenseReluDense.use_bias", False, f"{LAYERS} DenseReluDense.use_bias"),
        ("tied_embeddings", f"Unitransformer.{SHARED}", True, f"{DEFAULTS} {SHARED}"),
    ):
        draft.take(f"architecture.{name}", _either(draft, *_scoped(argument)), default, where)
    attention = _either(draft, *_scoped("SelfAttention.dropout_rate"), "dropout_rate")
    draft.take("architecture.attention_dropout", attention, 0.1, f"{DEFAULTS} dropout_rate")
    hidden = _either(draft, "sublayer_dropout.dropout_rate", *_scoped("DenseReluDense.dropout_rate"), "dropout_rate")
    draft.take("architecture.hidden_dropout", hidden, 0.1, f"{DEFAULTS} dropout_rate")
    draft.boolean("Bitransformer.shared_embedding")
    draft.number("dropout_rate", 0, 1)
    queries = f"{LAYERS}: folded into the queries' initial weights"
    draft.code(queries, {"architecture.attention_scale": "inverse_sqrt"})
    draft.derived("initialisation.method", "mesh", "Mesh TensorFlow's own: each matrix by its fan-in")
    draft.derived("initialisation.std", None, "each matrix by its fan-in")


def _words(draft: Draft) -> int:
    """Words of the vocabulary: pieces and sentinels."""
    extra = draft.integer("num_sentinels", 0, 10**6)
    if draft.has("Vocabulary.extra_ids"):
        extra = draft.integer("Vocabulary.extra_ids", 0, 10**6)
    return PIECES + (100 if extra is None else extra)


def _activation(draft: Draft) -> None:
    path = _either(draft, *_scoped("DenseReluDense.activation"))
    entry = draft.find(path)
    names = {
        ("gelu", "linear"): "geglu",
        ("linear", "gelu"): "geglu",
        ("relu",): "relu",
        ("gelu",): "gelu_tanh",
        ("swish", "linear"): "swiglu",
    }
    if entry is None:
        draft.code(f"{LAYERS} DenseReluDense.activation", {"architecture.activation": "relu"})
        return
    said = tuple(item.raw for item in entry.value) if isinstance(entry.value, list) else (entry.raw,)
    if said in names:
        draft.stated("architecture.activation", path, names[said])
    else:
        draft.nameless("architecture.activation", path, repr(said))


def _layers(draft: Draft) -> None:
    """Note stacks that are not T5's: attention and feed-forward, alike in every layer."""
    ends = ["sublayer_rms_norm", "sublayer_dropout"]
    usual = {
        "encoder/make_layer_stack.layers": ["SelfAttention", "DenseReluDense"],
        "decoder/make_layer_stack.layers": ["SelfAttention", "EncDecAttention", "DenseReluDense"],
    }
    for stack in ("encoder/LayerStack", "decoder/LayerStack"):
        usual[f"{stack}.sublayers_initial"] = ends[1:]
        usual[f"{stack}.sublayers_final"] = ends
        usual[f"{stack}.sublayers_per_layer"] = [ends[0], "sublayer_call_layer", ends[1], "sublayer_residual"]
    for path, names in usual.items():
        found = draft.items(path)
        if found is not None and [item.raw.rpartition(".")[2] for item in found] != names:
            draft.beyond(path, f"other {'layers' if path.endswith('.layers') else 'parts'} than T5's")


def _sequences(draft: Draft) -> None:
    path = "run.sequence_length"
    entry, where = draft.find(path), draft.at(path)
    lengths: dict[str, int | None] = {}
    for name, side in (("data.sequence_length", "inputs"), ("data.target_length", "targets")):
        if entry is None:
            draft.code(f"{DEFAULTS} sequence_length", {name: 512})
        elif not _is_call(draft, f"{path}.{side}") and (length := draft.integer(f"{path}.{side}", 1)):
            lengths[side] = length
            draft.put(name, length, "stated", where)
        else:
            draft.unstated(name, where)
    inputs = lengths.get("inputs")
    density_path = _either(draft, "denoise.noise_density", "noise_density")
    density = draft.number(density_path, 0, 1)
    mask = draft.word("denoise.noise_mask_fn")
    span_path = _either(draft, "random_spans_noise_mask.mean_noise_span_length", "mean_noise_span_length")
    span = draft.number(span_path, 0.1, 10**6)
    if inputs and inputs <= MOST_TOKENS and density and density < 1 and span and mask and "random_spans" in mask:
        text, targets = text_length(inputs, density, span)
        if "targets" not in lengths:
            draft.derived("data.target_length", targets, f"{where}: computed as in T5's random_spans_helper")
        draft.derived("data.item_length", text, f"{where}: tokens of text that fill the inputs once spans are masked")
        last = f"{T5}:t5/data/preprocessors.py: the vocabulary's last"
        draft.code(last, {"data.first_sentinel": _words(draft) - 1})
    else:
        both = draft.values["data.sequence_length"], draft.values["data.target_length"]
        if isinstance(both[0], int) and isinstance(both[1], int):
            draft.derived("data.item_length", both[0] + both[1], "inputs and targets, one after another")
    if density is not None:
        draft.stated("data.noise_density", density_path, density)
    if mask is None or mask.endswith("random_spans_noise_mask"):
        draft.stated("data.mean_noise_span", span_path, span)
    draft.integer("inputs_length", 1)
    draft.word("targets_length")


def _usual(draft: Draft) -> None:
    """Count the arguments at their usual values as known."""
    for name, value in USUAL.items():
        for path in _scoped(name):
            section, _, key = path.rpartition(".")
            there = draft.marked.root.value.get(section)
            entry = there.value.get(key) if there is not None and isinstance(there.value, dict) else None
            if entry is not None and entry.value == value:
                draft.used.add(path)


def _is_call(draft: Draft, path: str) -> bool:
    entry = draft.find(path)
    return entry is not None and entry.raw.startswith("@")


def _function(entry: Entry) -> str:
    """The name of a function that is referred to, or called, without its module."""
    return entry.raw.lstrip("@").removesuffix("()").rpartition(".")[2]


def _optimizer(draft: Draft) -> None:
    entry = draft.find("run.optimizer")
    name = entry.raw.lstrip("@").rpartition(".")[2] if entry else "AdafactorOptimizer"
    if name != "AdafactorOptimizer":
        draft.nameless("optimizer.name", "run.optimizer", name)
        return
    optimize = f"{MESH}:mesh_tensorflow/optimize.py"
    said = "adafactor" if entry else None
    draft.stated("optimizer.name", "run.optimizer", said, "adafactor", f"{DEFAULTS} optimizer")
    draft.take("optimizer.eps", "AdafactorOptimizer.epsilon1", 1e-30, f"{optimize} epsilon1")
    if draft.number("AdafactorOptimizer.beta1", 0, 1):
        draft.beyond("AdafactorOptimizer.beta1", "Adafactor with momentum")
    usual = {
        "decay_rate": None,
        "clipping_threshold": 1.0,
        "epsilon2": 1e-3,
        "factored": True,
        "min_dim_size_to_factor": 128,
        "multiply_by_parameter_scale": True,
    }
    for key, default in usual.items():
        item = draft.find(f"AdafactorOptimizer.{key}")
        if item is not None and item.value != default:
            draft.beyond(f"AdafactorOptimizer.{key}", f"Adafactor's {key} {shorten(item.raw)}")
    draft.number("adafactor_decay_rate_pow.offset")
    draft.derived("optimizer.betas", None, "Adafactor has none")
    draft.code(f"{optimize}: has none", {"optimizer.weight_decay": 0.0, "optimizer.not_decayed": ()})
    draft.code(f"{MESH}: one rate for all, times each matrix's own scale", {"optimizer.lr_multipliers": {}})


def _learning_rate(draft: Draft) -> None:
    draft.code(f"{RATES}: read before the update is counted", {"learning_rate.first": "zero"})
    draft.number("product_learning_rate.offset")
    entry = draft.find("run.learning_rate_schedule")
    where = draft.at("run.learning_rate_schedule") if entry else f"{DEFAULTS} learning_rate_schedule"
    factors = entry.value if entry and isinstance(entry.value, list) else [entry] if entry else []
    names = [_function(item) for item in factors] or ["learning_rate_schedule_noam"]
    if names == ["product_learning_rate"]:
        names = [_function(item) for item in draft.items("product_learning_rate.factors") or ()]
    kind = "stated" if entry else "code default"
    if names in (["constant_learning_rate"], ["constant"]):
        draft.put("learning_rate.form", "constant", kind, where)
        if names == ["constant"]:
            rate = draft.take("learning_rate.peak", "constant.value", 1.0, f"{RATES} constant")
        else:
            rate = draft.take("learning_rate.peak", "constant_learning_rate.learning_rate")
        draft.derived("learning_rate.minimum", rate, f"{where}: constant")
        draft.derived("learning_rate.warmup_steps", 0, f"{where}: constant")
    elif "truncated_rsqrt" in names or names == ["learning_rate_schedule_noam"]:
        _inverse_sqrt(draft, names, kind, where)
    else:
        none = f"{where}: the schedule {shorten(', '.join(names))} has no canonical name"
        draft.unstated("learning_rate.form", none)
        draft.note(none)


def _inverse_sqrt(draft: Draft, names: list[str], kind: str, where: str) -> None:
    """Put rsqrt(max(n, warmup)) x constants; a linear fall to 0 over the last part is noted and has no form."""
    old = names == ["learning_rate_schedule_noam"]
    source = "learning_rate_schedule_noam" if old else "truncated_rsqrt"
    path = f"{source}.warmup_steps"
    steps = draft.stated("learning_rate.warmup_steps", path, draft.number(path, 1, 1e12), 10000, f"{RATES} {source}")
    assert isinstance(steps, (int, float))  # noqa: S101 - set above
    factor = None
    if old or "constant" in names:
        factor = draft.number("learning_rate_schedule_noam.multiplier" if old else "constant.value", 0, 1e6)
    factor = 1.0 if factor is None else factor
    peak = factor / steps**0.5
    draft.derived(
        "learning_rate.peak", peak, f"{where}: {factor:g} / sqrt(warmup_steps {steps:g}), constant until then"
    )
    draft.derived("learning_rate.minimum", 0.0, f"{where}: no floor")
    draft.derived("learning_rate.warmup_minimum", peak, f"{where}: the peak until then")
    path = "learning_rate_schedule_noam.linear_decay_fraction" if old else "linear_decay.steps_or_fraction"
    falls = draft.number(path, 0, 1e12)
    if not old and "linear_decay" not in names:
        falls = 0.0
    elif falls is None:
        falls = 0.1
    other = set(names) - {"learning_rate_schedule_noam", "truncated_rsqrt", "constant", "linear_decay"}
    if not falls and not other:
        draft.put("learning_rate.form", "inverse_sqrt", kind, where)
        return
    what = ", ".join(sorted(other))
    if falls:
        says = draft.at(path) if draft.has(path) else f"{RATES}: 0.1 where not stated"
        what = f"a linear fall to 0 over the last {falls:g} of the updates ({says})"
    draft.unstated("learning_rate.form", f"{where}: 1/sqrt and {shorten(what)}")
    draft.note(f"{where}: 1/sqrt, times {what}: the canonical recipe has only the first")


def _batch(draft: Draft) -> None:
    path = "run.batch_size"
    entry = draft.find(path)
    lengths = [draft.values[f"data.{name}_length"] for name in ("sequence", "target")]
    steps = None if _is_call(draft, "run.train_steps") else draft.integer("run.train_steps", 1)
    draft.stated("steps", "run.train_steps", steps)
    if entry is None:
        draft.unstated("batch_size", "run.batch_size is given when training starts")
        return
    if not isinstance(entry.value, list) or len(entry.value) != 2:
        raise draft.bad(entry, path, "(method, amount)")
    method, amount = entry.value[0].raw, draft.as_integer(entry.value[1], path, 1)
    if method == "sequences_per_batch":
        draft.stated("batch_size", path, amount)
    elif method == "tokens_per_batch" and isinstance(lengths[0], int):
        longest = max(length for length in lengths if isinstance(length, int))
        if amount % longest:
            raise draft.bad(entry, path, f"a multiple of the longest sequence, {longest}", str(amount))
        draft.derived("batch_size", amount // longest, f"{draft.at(path)}: {amount} tokens / {longest}")
        if steps:
            draft.derived("tokens_total", amount * steps, f"train_steps {steps} x {amount} tokens")
    else:
        unknown = "the file does not state the number of devices"
        draft.unstated("batch_size", f"{draft.at(path)}: {shorten(method)}, and {unknown}")


def _run(draft: Draft) -> None:
    steps = draft.values["steps"]
    every = draft.integer("run.save_checkpoints_steps", 1) or 0
    if isinstance(steps, int):
        draft.checkpoints(steps, [every], draft.at("run.save_checkpoints_steps"), steps)
    path = _either(draft, "mesh_train_dataset_fn.mixture_or_task_name", "MIXTURE_NAME")
    draft.word("MIXTURE_NAME")
    draft.stated("data.files", path, alone(draft.word(path)))
    draft.derived("data.order", "unknown", "seqio shuffles; the order is not published")
    draft.take("data.seed", "mesh_train_dataset_fn.seed")
    draft.code(f"{T5}:t5/data/utils.py: the vocabulary's end", {"data.eos_token_id": 1})
    draft.code(f"{MODEL}: 0 is padding, and what the decoder begins with", {"data.pad_token_id": 0})
    draft.take("z_loss", _either(draft, *_scoped("Unitransformer.z_loss")), 1e-4, f"{MODEL} z_loss")
    draft.code(f"{MODEL} loss_denominator: by all of the targets' positions", {"loss_divisor": "tokens"})
    path = _either(draft, *_scoped("Unitransformer.label_smoothing"))
    if draft.number(path, 0, 1):
        draft.beyond(path, "label smoothing")
    path = "get_variable_dtype.activation_dtype"
    kind = {"bfloat16": "bf16", "float32": "fp32"}.get(draft.word(path) or "")
    draft.stated("precision", path, kind, "bf16", f"{DEFAULTS} activation_dtype")
    clips = f"{MESH}:mesh_tensorflow/optimize.py: Adafactor clips each matrix's update instead"
    draft.code(clips, {"clip_norm": None})
