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
from openassay.recipes.formats.draft import Draft
from openassay.recipes.formats.marked import MAX_DEPTH, Entry, Marked, read_text, shorten
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
    "run.*checkpoint*": "storage or evaluation",
    "run.eval*": "evaluation",
    "run.export*": "evaluation",
    "run.perplexity*": "evaluation",
    "run.*predict*": "evaluation",
    "run.output_eval*": "evaluation",
    "run.mode": "how it is started",
    "run.mesh_*": "parallelism",
    "run.layout_rules": "parallelism",
    "run.iterations_per_loop": "logging",
    "run.autostack": "speed, not values",
    "run.vocabulary": "the tokenizer",
    "run.dataset_split": "the part that is trained on",
    "run.ensemble_inputs": "none",
    "run.skip_seen_data": "restarts",
    "run.variable_filter": "all",
    "run.total_run_steps": "restarts",
    "tpu_mesh_shape.*": "parallelism",
    "serialize_num_microbatches.*": "memory: how the batch is cut",
    "tpu_estimator_model_fn.*": "logging",
    "rewrite_stack_variables.*": "storage",
    "get_vocabulary.*": "the tokenizer",
    "decode*": "evaluation",
    "Bitransformer.decode*": "evaluation",
    "Unitransformer.sample*": "evaluation",
    "infer*": "evaluation",
    "score*": "evaluation",
    "*.beam_size": "evaluation",
    "pack_dataset.*": "speed, not values",
    "mesh_eval_dataset_fn.*": "evaluation",
    "*.recompute_grads": "memory, not values",
    "*.name": "a name",
    "make_bitransformer.encoder_name": "names",
    "make_bitransformer.decoder_name": "names",
    "unsupervised.*": "data preparation",
    "select_random_chunk.*": "data preparation",
    "denoise.*_fn": "data preparation",
    "split_tokens*": "data preparation",
    "random_spans_helper.*": "data preparation",
    "reduce_concat_tokens.*": "data preparation",
    "*noise_mask.*": "data preparation",
    "run.train_dataset_fn": "the mixture says it",
    "*.block_scope": "names of variables",
    "mesh_train_dataset_fn.pack": "several examples in a sequence",
    "get_variable_dtype.master_dtype": "storage",
    "*file*name*": "evaluation",
    "SimdMeshImpl.*": "parallelism",
    "eval_checkpoint_step": "evaluation",
    "num_priming_tokens": "evaluation",
    "save_scores*": "evaluation",
    "Bitransformer.*": "evaluation",
    "VocabEmbedding.*": "how the weights begin",
    "VarianceScalingInitializer.*": "how the weights begin",
    "unit_scaling_convention.*": "how the weights begin",
    "*/LayerStack.dropout_rate": "an older name",
    "*/LayerStack.norm_epsilon": "an older name",
    "*Unitransformer.max_length": "of absolute positions only",
    "run.train_model_fn": "how it is started",
    "mesh_inference_dataset_fn.*": "evaluation",
    "sample_autoregressive.*": "evaluation",
    "relative_position_spans.*": "data preparation",
    "*.combine_dims": "speed, not values",
    "*.keep_query_heads_dims": "speed, not values",
    "*.ensemble": "none",
    "mesh_train_dataset_fn.use_cached": "where the data lie",
    "get_variable_dtype.slice_dtype": "storage",
    "*.fold_scaling_into_initializer": "how it is written",
}


def parse(text: str, where: str) -> Marked:
    """gin text with its includes, each from the folder of the file or, for a path, from that folder's parent."""
    path = Path(where)
    parser = _Parser(path.parent if path.is_file() else None)
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
    return Marked(where, Entry(root, where, 1), {}, tuple(parser.notes))


class _Parser:
    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.bindings: dict[tuple[str, str], Entry] = {}
        self.notes: list[str] = []
        self.includes = 0

    def file(self, text: str, where: str, depth: int) -> None:
        for line, statement in _statements(text, where):
            if statement.startswith(("import ", "from ")):
                continue
            if statement.startswith("include"):
                self.include(statement, where, line, depth)
                continue
            match = _STATEMENT.match(statement)
            if not match:
                raise BadInput(f"{where}:{line}: expected a gin binding, found {shorten(statement)}")
            value, end = _value(match["value"], 0, where, line, 0)
            if match["value"][end:].strip():
                raise BadInput(
                    f"{where}:{line}: {shorten(match['key'])}: expected one value, found {shorten(match['value'])}"
                )
            key = match["key"]
            scope, _, selector = key.rpartition("/")
            module, _, name = selector.rpartition(".")
            function = module.rpartition(".")[2]
            if scope and not function:
                raise BadInput(
                    f"{where}:{line}: {shorten(key)}: expected a function's argument after the scope, found a macro"
                )
            self.bindings[f"{scope}/{function}" if scope else function, name] = value
            if len(self.bindings) > MOST_BINDINGS:
                raise BadInput(f"{where}:{line}: expected at most {MOST_BINDINGS} bindings, found more")

    def include(self, statement: str, where: str, line: int, depth: int) -> None:
        match = re.fullmatch(r"include\s+(['\"])([\w][\w ./+-]*)\1", statement)
        if not match or ".." in match[2]:
            raise BadInput(
                f"{where}:{line}: include: expected a file's relative name in quotes, found {shorten(statement)}"
            )
        self.includes += 1
        if depth >= MAX_DEPTH or self.includes > MOST_INCLUDES:
            raise BadInput(
                f"{where}:{line}: include: expected at most {MOST_INCLUDES} included files, found more (a circle?)"
            )
        if self.folder is None:
            raise BadInput(
                f"{where}:{line}: include: expected a file on disk beside {match[2]}, found bare text; give the path"
            )
        name = PurePosixPath(match[2])
        places = [self.folder / name, self.folder.parent / name, self.folder / name.name]
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise BadInput(
                f"{where}:{line}: include: expected {shorten(str(name))} beside this file, found none; fetch it too"
            )
        self.file(read_text(found), str(found), depth + 1)

    def resolved(self, entry: Entry, depth: int) -> Entry:
        """With macros put in; one that is nowhere defined stays its name."""
        if depth > MAX_DEPTH:
            raise BadInput(f"{entry.place}: expected macros that end, found {shorten(entry.raw)} in a circle")
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
            raise BadInput(
                f"{where}:{number}: expected matching brackets, at most {MAX_DEPTH} deep, found {shorten(line)}"
            )
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
    """A gin file by its name; by another name, one with keys of this model family."""
    keys = {key.rpartition("/")[2] for key in marked.root.value}
    telling = {
        "d_model",
        "run",
        "denoise",
        "SelfAttention",
        "DenseReluDense",
        "Unitransformer",
        "learning_rate_schedule_noam",
    }
    return bool(keys) and (Path(marked.file).suffix.lower() == ".gin" or bool(keys & telling))


def read(marked: Marked) -> ReadRecipe:
    """The recipe of a T5 gin file and what it includes."""
    draft = Draft("t5_gin", marked)
    _sequences(draft)
    _architecture(draft)
    _optimizer(draft)
    _learning_rate(draft)
    _run(draft)
    _usual(draft)
    return draft.finish(IGNORED)


def _either(draft: Draft, *paths: str) -> str:
    """The first of these paths that has a value: encoder and decoder may be bound apart; both are then compared."""
    there = [path for path in paths if draft.has(path)]
    for path in there[1:]:
        first, other = draft.find(there[0]), draft.find(path)
        if first and other and first.plain() != other.plain():
            draft.note(
                f"{other.place}: {other.name} is not as {first.name}: the canonical recipe has one value, the first"
            )
    return there[0] if there else paths[0]


def _scoped(name: str) -> tuple[str, ...]:
    return (name, f"encoder/{name}", f"decoder/{name}")


def _architecture(draft: Draft) -> None:
    put = draft.stated
    draft.derived("architecture.family", "t5", "the format")
    kind = draft.word("run.model_type")
    if kind not in {None, "bitransformer"}:
        draft.note(f"{draft.at('run.model_type')}: {shorten(kind or '')}: not an encoder and decoder")
    divisor = draft.integer(_either(draft, *_scoped("Unitransformer.vocab_divisor")), 1, 10**6) or 128
    words = _words(draft)
    draft.code(
        "architecture.vocab_size",
        -(-words // divisor) * divisor,
        f"{T5}:t5/data/utils.py: {PIECES} pieces and {words - PIECES} extra ids, padded to a multiple of {divisor}",
    )
    for name, paths, default in (
        ("hidden_size", ("d_model", *_scoped("Unitransformer.d_model")), 1024),
        ("num_layers", ("num_layers", *_scoped("make_layer_stack.num_layers")), 6),
        ("num_heads", ("num_heads", *_scoped("SelfAttention.num_heads")), 8),
        ("head_size", ("d_kv", *_scoped("SelfAttention.key_value_size")), 128),
        ("intermediate_size", ("d_ff", *_scoped("DenseReluDense.hidden_size")), 4096),
    ):
        path = _either(draft, *paths)
        put(f"architecture.{name}", path, draft.integer(path, 1, 10**7), default, DEFAULTS)
    draft.derived("architecture.num_kv_heads", draft.values["architecture.num_heads"], "as many as heads")
    length = draft.values.get("data.sequence_length")
    if length is not None:
        draft.derived("architecture.max_position", length, "relative positions have no largest; the sequences' length")
    _activation(draft)
    _layers(draft)
    draft.code("architecture.norm", "rms_norm", f"{DEFAULTS} sublayer_rms_norm")
    put(
        "architecture.norm_eps",
        "sublayer_rms_norm.epsilon",
        draft.number("sublayer_rms_norm.epsilon", 0, 1),
        1e-6,
        MODEL,
    )
    path = _either(draft, *_scoped("SelfAttention.relative_attention_type"))
    buckets = _either(draft, *_scoped("SelfAttention.relative_attention_num_buckets"))
    count = draft.integer(buckets, 1, 10**6)
    if draft.word(path, ("bias", "bias_shared", "contextual")) is not None:
        put("architecture.relative_buckets", buckets, count, 32, f"{LAYERS} relative_attention_num_buckets")
    absolute = _either(draft, *_scoped("Unitransformer.positional_embedding"))
    if draft.boolean(absolute):
        draft.note(f"{draft.at(absolute)}: learned absolute positions, which the canonical recipe cannot say")
    draft.derived("architecture.rotary_share", None, "no rotary embedding")
    path = _either(draft, *_scoped("DenseReluDense.use_bias"))
    put("architecture.bias", path, draft.boolean(path), False, f"{LAYERS} DenseReluDense.use_bias")
    path = _either(draft, *(name for name in _scoped("Unitransformer.shared_embedding_and_softmax_weights")))
    put(
        "architecture.tied_embeddings",
        path,
        draft.boolean(path),
        True,
        f"{DEFAULTS} shared_embedding_and_softmax_weights",
    )
    draft.boolean("Bitransformer.shared_embedding")
    paths = (*_scoped("SelfAttention.dropout_rate"), "dropout_rate")
    attention = _either(draft, *paths)
    put("architecture.attention_dropout", attention, draft.number(attention, 0, 1), 0.1, f"{DEFAULTS} dropout_rate")
    hidden = _either(draft, "sublayer_dropout.dropout_rate", *_scoped("DenseReluDense.dropout_rate"), "dropout_rate")
    put("architecture.hidden_dropout", hidden, draft.number(hidden, 0, 1), 0.1, f"{DEFAULTS} dropout_rate")
    draft.code("architecture.attention_scale", "inverse_sqrt", f"{LAYERS}: folded into the queries' initial numbers")
    draft.number("dropout_rate", 0, 1)


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
        draft.code("architecture.activation", "relu", f"{LAYERS} DenseReluDense.activation")
        return
    said = tuple(item.raw for item in entry.value) if isinstance(entry.value, list) else (entry.raw,)
    if said in names:
        draft.stated("architecture.activation", path, names[said])
    else:
        draft.unstated("architecture.activation", f"{draft.at(path)}: {shorten(repr(said))} has no canonical name")


def _layers(draft: Draft) -> None:
    """Are the stacks T5's: attention and feed-forward, alike in every layer?"""
    usual = {
        "encoder": ["SelfAttention", "DenseReluDense"],
        "decoder": ["SelfAttention", "EncDecAttention", "DenseReluDense"],
    }
    for stack, names in usual.items():
        found = draft.items(f"{stack}/make_layer_stack.layers")
        if found is not None and [item.raw.rpartition(".")[2] for item in found] != names:
            draft.note(
                f"{draft.at(f'{stack}/make_layer_stack.layers')}: other layers than T5's, which the canonical recipe cannot say"
            )
        for part, there in (
            ("sublayers_initial", ["sublayer_dropout"]),
            ("sublayers_final", ["sublayer_rms_norm", "sublayer_dropout"]),
            (
                "sublayers_per_layer",
                ["sublayer_rms_norm", "sublayer_call_layer", "sublayer_dropout", "sublayer_residual"],
            ),
        ):
            found = draft.items(f"{stack}/LayerStack.{part}")
            if found is not None and [item.raw.rpartition(".")[2] for item in found] != there:
                draft.note(
                    f"{draft.at(f'{stack}/LayerStack.{part}')}: other parts than T5's, which the canonical recipe cannot say"
                )


def _sequences(draft: Draft) -> None:
    entry = draft.find("run.sequence_length")
    inputs, targets = (
        draft.integer(f"run.sequence_length.{side}", 1)
        if entry and not _is_call(draft, f"run.sequence_length.{side}")
        else None
        for side in ("inputs", "targets")
    )
    where = draft.at("run.sequence_length")
    density_path = _either(draft, "denoise.noise_density", "noise_density")
    density = draft.number(density_path, 0, 1)
    mask = draft.word("denoise.noise_mask_fn")
    span_path = _either(draft, "random_spans_noise_mask.mean_noise_span_length", "mean_noise_span_length")
    span = draft.number(span_path, 0.1, 10**6)
    if entry is None:
        draft.code("data.sequence_length", 512, f"{DEFAULTS} sequence_length")
        draft.code("data.target_length", 512, f"{DEFAULTS} sequence_length")
    else:
        draft.put("data.sequence_length", inputs, "stated" if inputs else "unstated", where)
        draft.put("data.target_length", targets, "stated" if targets else "unstated", where)
    lengths = None
    if inputs and inputs <= MOST_TOKENS and density and density < 1 and span and mask and "random_spans" in mask:
        lengths = text_length(inputs, density, span)
        if targets is None:
            draft.derived("data.target_length", lengths[1], f"{where}: T5's random_spans_helper, as its code")
    both = draft.values["data.sequence_length"], draft.values["data.target_length"]
    if lengths is not None:
        draft.derived("data.item_length", lengths[0], f"{where}: so many tokens of text fill the inputs, spans masked")
        draft.code("data.first_sentinel", _words(draft) - 1, f"{T5}:t5/data/preprocessors.py: the vocabulary's last")
    elif isinstance(both[0], int) and isinstance(both[1], int):
        draft.derived("data.item_length", both[0] + both[1], "inputs and targets, one after another")
    if density is not None:
        draft.stated("data.noise_density", density_path, density)
    if mask is None or mask.endswith("random_spans_noise_mask"):
        draft.stated("data.mean_noise_span", span_path, span)
    draft.integer("inputs_length", 1)
    draft.word("targets_length")


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


def _usual(draft: Draft) -> None:
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


def _optimizer(draft: Draft) -> None:
    entry = draft.find("run.optimizer")
    name = (entry.raw if entry else "").lstrip("@").rpartition(".")[2]
    if entry is None or name == "AdafactorOptimizer":
        draft.stated(
            "optimizer.name", "run.optimizer", "adafactor" if entry else None, "adafactor", f"{DEFAULTS} optimizer"
        )
        eps = draft.number("AdafactorOptimizer.epsilon1", 0, 1)
        draft.stated(
            "optimizer.eps", "AdafactorOptimizer.epsilon1", eps, 1e-30, f"{MESH}:mesh_tensorflow/optimize.py epsilon1"
        )
        beta = draft.number("AdafactorOptimizer.beta1", 0, 1)
        if beta:
            draft.note(
                f"{draft.at('AdafactorOptimizer.beta1')}: Adafactor with momentum, which the canonical recipe cannot say"
            )
        decay = draft.find("AdafactorOptimizer.decay_rate")
        if decay is not None:
            draft.note(
                f"{decay.place}: Adafactor's decay rate {shorten(decay.raw)}, which the canonical recipe cannot say"
            )
        usual = {
            "clipping_threshold": 1.0,
            "epsilon2": 1e-3,
            "factored": True,
            "min_dim_size_to_factor": 128,
            "multiply_by_parameter_scale": True,
        }
        for key, default in usual.items():
            item = draft.find(f"AdafactorOptimizer.{key}")
            if item is not None and item.value != default:
                draft.note(
                    f"{item.place}: Adafactor's {key} is {shorten(item.raw)}, not {default}: no place for it here"
                )
        draft.number("adafactor_decay_rate_pow.offset")
        draft.derived("optimizer.betas", None, "Adafactor has none")
        draft.code("optimizer.weight_decay", 0.0, f"{MESH}:mesh_tensorflow/optimize.py: has none")
        draft.code("optimizer.not_decayed", (), f"{MESH}:mesh_tensorflow/optimize.py: has none")
        draft.code("optimizer.lr_multipliers", {}, f"{MESH}: one rate for all, times each matrix's own scale")
    else:
        draft.unstated("optimizer.name", f"{draft.at('run.optimizer')}: {shorten(name)} has no canonical name here")


def _learning_rate(draft: Draft) -> None:
    entry = draft.find("run.learning_rate_schedule")
    where = draft.at("run.learning_rate_schedule") if entry else f"{DEFAULTS} learning_rate_schedule"
    factors = entry.value if entry and isinstance(entry.value, list) else [entry] if entry else []
    names = [item.raw.lstrip("@").removesuffix("()").rpartition(".")[2] for item in factors] or [
        "learning_rate_schedule_noam"
    ]
    if names == ["product_learning_rate"]:
        inner = draft.items("product_learning_rate.factors")
        names = [item.raw.lstrip("@").removesuffix("()").rpartition(".")[2] for item in inner or ()]
    kind = "stated" if entry else "code default"
    put = draft.stated
    if names in (["constant_learning_rate"], ["constant"]):
        path = "constant_learning_rate.learning_rate" if names == ["constant_learning_rate"] else "constant.value"
        draft.put("learning_rate.form", "constant", kind, where)
        rate = put(
            "learning_rate.peak",
            path,
            draft.number(path, 0, 1000),
            1.0 if path == "constant.value" else None,
            f"{RATES} constant" if path == "constant.value" else "",
        )
        draft.derived("learning_rate.minimum", rate, f"{where}: constant")
        draft.derived("learning_rate.warmup_steps", 0, f"{where}: constant")
    elif "truncated_rsqrt" in names or names == ["learning_rate_schedule_noam"]:
        _inverse_sqrt(draft, names, kind, where)
    else:
        draft.unstated("learning_rate.form", f"{where}: {shorten(', '.join(names))} has no canonical name")
        draft.note(f"{where}: the schedule {shorten(', '.join(names))} has no canonical name")
    draft.code("learning_rate.first", "zero", f"{RATES}: read before the update is counted")
    draft.number("product_learning_rate.offset")


def _inverse_sqrt(draft: Draft, names: list[str], kind: str, where: str) -> None:
    """rsqrt(max(n, warmup)) x constants x a linear fall to 0 over the last part."""
    old = names == ["learning_rate_schedule_noam"]
    source = "learning_rate_schedule_noam" if old else "truncated_rsqrt"
    warmup = draft.number(f"{source}.warmup_steps", 1, 1e12)
    steps = draft.stated(
        "learning_rate.warmup_steps",
        f"{source}.warmup_steps",
        None if warmup is None else warmup,
        10000,
        f"{RATES} {source}",
    )
    assert isinstance(steps, (int, float))  # noqa: S101 - set above
    factor = 1.0
    if old and (multiplier := draft.number("learning_rate_schedule_noam.multiplier", 0, 1e6)) is not None:
        factor = multiplier
    if "constant" in names and (value := draft.number("constant.value", 0, 1e6)) is not None:
        factor = value
    draft.derived(
        "learning_rate.peak",
        factor / steps**0.5,
        f"{where}: {factor:g} / sqrt(warmup_steps {steps:g}), and so until then",
    )
    draft.derived("learning_rate.minimum", 0.0, f"{where}: no floor")
    draft.derived("learning_rate.warmup_minimum", draft.values["learning_rate.peak"], f"{where}: the peak until then")
    path = "learning_rate_schedule_noam.linear_decay_fraction" if old else "linear_decay.steps_or_fraction"
    falls = draft.number(path, 0, 1e12)
    if falls is None and (old or "linear_decay" in names):
        falls = 0.1
    other = set(names) - {"learning_rate_schedule_noam", "truncated_rsqrt", "constant", "linear_decay"}
    if (falls and (old or "linear_decay" in names)) or other:
        says = draft.at(path) if draft.has(path) else f"{RATES}: 0.1 where not stated"
        what = (
            f"a linear fall to 0 over the last {falls:g} of the updates ({says})" if falls else ", ".join(sorted(other))
        )
        draft.unstated("learning_rate.form", f"{where}: 1/sqrt and {shorten(what)}")
        draft.note(f"{where}: 1/sqrt, times {what}: the canonical recipe has the first alone")
    else:
        draft.put("learning_rate.form", "inverse_sqrt", kind, where)


def _run(draft: Draft) -> None:
    entry = draft.find("run.batch_size")
    length, targets = draft.values.get("data.sequence_length"), draft.values.get("data.target_length")
    where = draft.at("run.batch_size")
    per = None
    if entry is None:
        draft.unstated("batch_size", "run.batch_size is given when training starts")
    elif isinstance(entry.value, list) and len(entry.value) == 2:
        method, amount = entry.value[0].raw, draft.as_integer(entry.value[1], "run.batch_size", 1)
        if method == "sequences_per_batch":
            draft.stated("batch_size", "run.batch_size", amount)
        elif method == "tokens_per_batch" and isinstance(length, int):
            longest = max(length, targets if isinstance(targets, int) else 0)
            if amount % longest:
                raise draft.bad(entry, "run.batch_size", f"a multiple of the longest sequence, {longest}", str(amount))
            per = amount
            draft.derived("batch_size", amount // longest, f"{where}: {amount} tokens / {longest}")
        else:
            draft.unstated("batch_size", f"{where}: {shorten(method)}, and the file does not say how many devices")
    else:
        raise draft.bad(entry, "run.batch_size", "(method, amount)", entry)
    steps = draft.integer("run.train_steps", 1) if not _is_call(draft, "run.train_steps") else None
    draft.stated("steps", "run.train_steps", steps)
    if per and steps:
        draft.derived("tokens_total", per * steps, f"train_steps {steps} x {per} tokens")
    every = draft.integer("run.save_checkpoints_steps", 1)
    if every and steps and steps // every <= 100_000:
        draft.derived(
            "checkpoints",
            tuple(sorted({*range(every, steps + 1, every), steps})),
            draft.at("run.save_checkpoints_steps"),
        )
    mixture = draft.word(_either(draft, "mesh_train_dataset_fn.mixture_or_task_name", "MIXTURE_NAME"))
    draft.word("MIXTURE_NAME")
    path = _either(draft, "mesh_train_dataset_fn.mixture_or_task_name", "MIXTURE_NAME")
    draft.stated("data.files", path, (mixture,) if mixture else None)
    draft.put("data.order", "unknown", "derived", "seqio shuffles; the order is not published")
    draft.stated("data.seed", "mesh_train_dataset_fn.seed", draft.integer("mesh_train_dataset_fn.seed"))
    draft.code("data.eos_token_id", 1, f"{T5}:t5/data/utils.py: the vocabulary's end")
    draft.code("data.pad_token_id", 0, f"{MODEL}: 0 is padding, and what the decoder begins with")
    path = _either(draft, *_scoped("Unitransformer.z_loss"))
    draft.stated("z_loss", path, draft.number(path, 0, 1e3), 1e-4, f"{MODEL} z_loss")
    draft.code("loss_divisor", "tokens", f"{MODEL} loss_denominator: by all of the targets' positions")
    path = _either(draft, *_scoped("Unitransformer.label_smoothing"))
    if draft.number(path, 0, 1):
        draft.note(f"{draft.at(path)}: label smoothing, which the canonical recipe cannot say")
    kinds = {"bfloat16": "bf16", "float32": "fp32"}
    kind = draft.word("get_variable_dtype.activation_dtype")
    draft.stated(
        "precision",
        "get_variable_dtype.activation_dtype",
        kinds.get(kind or ""),
        "bf16",
        f"{DEFAULTS} activation_dtype",
    )
    draft.code("clip_norm", None, f"{MESH}:mesh_tensorflow/optimize.py: Adafactor clips each matrix's update instead")
    draft.derived("initialisation.method", "mesh", "Mesh TensorFlow's own: each matrix by its fan-in")
    draft.derived("initialisation.std", None, "each matrix by its fan-in")
