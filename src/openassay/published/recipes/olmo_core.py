"""OLMo-core's Python scripts (OLMo 2 32B, OLMo 3): the calls that make its configs, read from the syntax tree and never run.

Followed: literals, whole and decimal arithmetic, `int(...)`, and names that are given once in the file. A call that stands twice
or under a condition, and a field that is set again later, are not followed. The schedule is read at the updates done, this one
included.
"""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Iterator

from openassay.faults import BadInput
from openassay.published.marked import MAX_BYTES, Entry, Marked, shorten
from openassay.published.recipes.draft import BIGGEST, whole
from openassay.published.recipes.guarded import GuardedDraft, unfollowed
from openassay.training.language import ReadRecipe, Value

COMMIT = "allenai/OLMo-core@fa6c5014c9f6e9ee789da2d9c20d5126fee8df0d"
MODEL = f"{COMMIT}:src/olmo_core/nn/transformer/config.py"
OPTIM = f"{COMMIT}:src/olmo_core/optim/adamw.py"
SCHEDULE = f"{COMMIT}:src/olmo_core/optim/scheduler.py"
TRAINER = f"{COMMIT}:src/olmo_core/train/trainer.py"
SIZES: dict[str, tuple[int, int, int, int, int]] = {
    "olmo2_190M": (768, 12, 12, 12, 3072),
    "olmo2_370M": (1024, 16, 16, 16, 4096),
    "olmo2_760M": (1536, 16, 16, 16, 6144),
    "olmo2_1B_v2": (2048, 16, 16, 16, 8192),
    "olmo2_7B": (4096, 32, 32, 32, 11008),
    "olmo2_13B": (5120, 40, 40, 40, 13824),
    "olmo2_32B": (5120, 64, 40, 8, 27648),
}
"""Width, layers, heads, heads of keys, and units of the feed-forward block."""
TOKENIZERS = {
    "dolma2": (100278, 100257, 100277),
    "gpt_neox_olmo_dolma_v1_5": (50280, 50279, 1),
    "gpt2": (50257, 50256, 50256),
}
"""Entries, end of a document and padding."""
HARMLESS = {"vocab_size", "fused_ops", "use_flash", "attn_backend", "with_rope_scaling"}
"""Arguments of a network that change no size."""
CALLS = {
    "model": ("TransformerConfig.",),
    "optim": ("AdamWConfig", "SkipStepAdamWConfig", "LionConfig", "SkipStepLionConfig", "MuonConfig", "DionConfig", "AdamConfig"),
    "scheduler": (
        "CosWithWarmup", "LinearWithWarmup", "ConstantScheduler", "ConstantWithWarmup", "WSD", "WSDS", "InvSqrtWithWarmup",
        "HalfCosWithWarmup", "CosWithWarmupAndLinearDecay", "SequentialScheduler", "PowerLR",
    ),
    "loader": ("NumpyDataLoaderConfig",),
    "train": ("TransformerTrainModuleConfig", "TransformerPipelineTrainModuleConfig"),
    "trainer": ("TrainerConfig",),
    "checkpoints": ("CheckpointerCallback",),
    "tokenizer": ("TokenizerConfig.",),
    "parallel": ("TransformerDataParallelConfig",),
    "outer": ("partial", "build_config"),
    "dataset": ("NumpyFSLDatasetConfig", "NumpyFSLDatasetConfig.", "NumpyVSLDatasetConfig", "NumpyVSLDatasetConfig."),
}  # fmt: skip
KEPT = {
    "model": None,
    "optim": None,
    "scheduler": None,
    "loader": ("global_batch_size", "seed"),
    "train": ("max_sequence_length", "z_loss_multiplier", "max_grad_norm", "label_smoothing"),
    "trainer": ("max_duration", "hard_stop", "load_path"),
    "checkpoints": ("save_interval",),
    "parallel": ("param_dtype",),
    "outer": ("global_batch_size", "max_sequence_length", "data_seed"),
}
"""The arguments of each call that bear on the recipe; None for all."""
FIELDS = {
    "model": {
        "model", "d_model", "n_layers", "n_heads", "n_kv_heads", "head_dim", "block", "block_pattern", "block_overrides",
        "lm_head", "vocab_size", "init_method", "init_std", "embedding_init_std", "feed_forward", "feed_forward_moe", "rope",
        "hidden_size", "sequence_mixer", "attention", "qk_norm", "layer_norm", "theta", "scaling", "sliding_window",
        "embed_scale",
    },
    "optim": {"optim", "lr", "betas", "eps", "weight_decay", "group_overrides"},
    "scheduler": {
        "scheduler", "warmup", "warmup_steps", "warmup_fraction", "alpha_f", "t_max", "warmup_min_lr", "units", "decay",
    },
    "loader": {"data_loader", "global_batch_size", "seed"},
    "train": {"train_module", "max_sequence_length", "z_loss_multiplier", "max_grad_norm", "label_smoothing"},
    "trainer": {"trainer", "max_duration", "hard_stop", "load_path"},
    "checkpoints": {"save_interval"},
    "parallel": {"dp_config", "param_dtype"},
    "outer": {"global_batch_size", "max_sequence_length", "data_seed"},
}  # fmt: skip
"""What a script may set again after the call, so that the call's own word is not the last."""
IGNORED = {
    "speed; rounding only": "optim.compile optim.foreach optim.fused model.use_flash model.attn_backend model.fused_ops",
}


PARTS = ("model", "optim", "scheduler", "data_loader", "train_module", "trainer", "dp_config")
"""Fields that hold a whole config."""


class _Unfollowed(Exception):
    """Why an expression's value is not known."""


class _Script:
    """One module: its names, its calls, and what stands under a condition."""

    def __init__(self, tree: ast.Module, where: str) -> None:
        self.where = where
        self.parents: dict[ast.AST, ast.AST] = {
            child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)
        }
        self.given: dict[tuple[ast.AST | None, str], list[ast.expr | None]] = {}
        self.changed: dict[str, int] = {}
        self.notes: list[str] = []
        for node in ast.walk(tree):
            if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.For, ast.NamedExpr)):
                self._assign(node)
            elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in {
                "replace",
                "setattr",
                "update",
            }:
                words = [word.arg for word in node.keywords] + [
                    one.value for one in node.args if isinstance(one, ast.Constant)
                ]
                for word in words:
                    if isinstance(word, str):
                        self.changed.setdefault(word, node.lineno)
        self.calls: dict[str, list[ast.Call]] = {part: [] for part in CALLS}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = ".".join(ast.unparse(node.func).split(".")[-2:])
                for part, names in CALLS.items():
                    if any(
                        name.startswith(one) if one.endswith(".") else name.rpartition(".")[2] == one for one in names
                    ):
                        self.calls[part].append(node)

    def _assign(self, node: ast.Assign | ast.AnnAssign | ast.AugAssign | ast.For | ast.NamedExpr) -> None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in (one for outer in targets for one in ast.walk(outer)):
            if isinstance(target, ast.Attribute) and isinstance(target.ctx, ast.Store):
                self.changed.setdefault(target.attr, node.lineno)
            elif isinstance(target, ast.Name):
                plain = isinstance(node, (ast.Assign, ast.AnnAssign)) and target in targets and not self.condition(node)
                value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) and plain else None
                self.given.setdefault((self.function(node), target.id), []).append(value)

    def function(self, node: ast.AST) -> ast.AST | None:
        """The function in which a node stands; None for the module."""
        while node in self.parents:
            node = self.parents[node]
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
                return node
        return None

    def condition(self, node: ast.AST) -> int:
        """The line of the condition or loop under which a node stands; 0 for none."""
        while node in self.parents:
            node = self.parents[node]
            is_main = isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)
            if (
                isinstance(node, (ast.If, ast.IfExp, ast.For, ast.While, ast.Try, ast.Match, ast.comprehension))
                and not is_main
            ):
                return node.lineno if isinstance(node, (ast.stmt, ast.expr)) else 1
        return 0

    def lookup(self, name: str, at: ast.AST, depth: int) -> ast.expr:
        scope: ast.AST | None = self.function(at)
        for where in (scope, None):
            found = self.given.get((where, name))
            if found is None:
                if isinstance(where, ast.FunctionDef) and name in {
                    one.arg for one in ast.walk(where.args) if isinstance(one, ast.arg)
                }:
                    raise _Unfollowed(f"{name} is an argument of {where.name}")
                continue
            if len(found) > 1 or found[0] is None or depth > 20:
                raise _Unfollowed(f"{name} is given more than once, or under a condition")
            return found[0]
        raise _Unfollowed(f"{name} is not given in this file")

    def resolve(self, node: ast.expr, depth: int = 0) -> ast.expr:
        """The expression that a name stands for."""
        while isinstance(node, ast.Name):
            node, depth = self.lookup(node.id, node, depth), depth + 1
        return node

    def value(self, node: ast.expr, depth: int = 0) -> Value:
        """A literal, arithmetic of literals, or what a name given once stands for; `_Unfollowed` with the reason."""
        if depth > 20:
            raise _Unfollowed("it is too deep")
        if isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float, str, type(None))):
            return node.value
        if isinstance(node, ast.Name):
            return self.value(self.lookup(node.id, node, depth), depth + 1)
        if isinstance(node, (ast.Tuple, ast.List)):
            return tuple(self.value(one, depth + 1) for one in node.elts)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self.number(node.operand, depth)
        if isinstance(node, ast.BinOp):
            return self.arithmetic(node, depth)
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in {"int", "float"}
            and len(node.args) == 1
        ):
            number = self.number(node.args[0], depth)
            return int(number) if node.func.id == "int" else float(number)
        is_option = isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or) and len(node.values) == 2
        if is_option and isinstance(node, ast.BoolOp) and ast.unparse(node.values[0]).startswith(("opts.", "args.")):
            found = self.value(node.values[1], depth + 1)
            self.notes.append(f"{self.where}:{node.lineno}: {shorten(ast.unparse(node))}: read as without that option")
            return found
        if ast.unparse(node) in {"common.max_sequence_length", "common.sequence_length"}:
            for call in self.calls["outer"]:
                for word in call.keywords:
                    if word.arg in {"max_sequence_length", "sequence_length"}:
                        return self.value(word.value, depth + 1)
        raise _Unfollowed(f"{shorten(ast.unparse(node))} is not followed")

    def number(self, node: ast.expr, depth: int) -> int | float:
        value = self.value(node, depth + 1)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e30:
            raise _Unfollowed(f"{shorten(ast.unparse(node))} is no number")
        return value

    def arithmetic(self, node: ast.BinOp, depth: int) -> int | float:
        one, two = self.number(node.left, depth), self.number(node.right, depth)
        if isinstance(node.op, ast.Add):
            return one + two
        if isinstance(node.op, ast.Sub):
            return one - two
        if isinstance(node.op, ast.Mult):
            return one * two
        if isinstance(node.op, (ast.Div, ast.FloorDiv)) and two:
            return one / two if isinstance(node.op, ast.Div) else one // two
        if isinstance(node.op, ast.Pow) and 0 <= two <= 64 and abs(one) <= 1024:
            return one**two
        raise _Unfollowed(f"{shorten(ast.unparse(node))} is not followed")


def parse(text: str, where: str) -> Marked:
    """The arguments of the calls that make OLMo-core's configs, by the call's part, each with its line."""
    if len(text) > MAX_BYTES:
        raise BadInput(f"{where}: expected a recipe of at most {MAX_BYTES} bytes, found {len(text)}")
    if "olmo_core" not in text:
        return Marked(where, Entry({}, where, 1), is_json=True)
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(text)
            script = _Script(tree, where)
            found = {part: entry for part in KEPT if (entry := _part(script, part))}
            _agree_on_length(script, found)
            if tokenizer := _tokenizer(script):
                found["tokenizer"] = tokenizer
    except SyntaxError as error:
        raise BadInput(f"{where}:{error.lineno or 1}: expected Python, found {shorten(error.msg)}") from None
    except (ValueError, RecursionError, MemoryError, OverflowError):
        raise BadInput(f"{where}:1: expected Python, found text that Python cannot parse") from None
    return Marked(where, Entry(found, where, 1), notes=tuple(dict.fromkeys(script.notes)), is_json=True)


def _part(script: _Script, part: str) -> Entry | None:
    calls = script.calls[part]
    if part == "outer":
        calls = [one for one in calls if any(word.arg == "global_batch_size" for word in one.keywords)]
    if not calls:
        return None
    call = calls[0]
    name = ast.unparse(call.func).rpartition(".")[2]
    why = f"there are {len(calls)} such calls" if len(calls) > 1 else ""
    if line := script.condition(call):
        why = f"it stands under the condition on line {line}"
    kept = KEPT[part]
    changed = {name: line for name, line in script.changed.items() if name in FIELDS[part]}
    whole_part = part if part == "model" and changed else next(iter(changed), "") if set(changed) & set(PARTS) else ""
    if whole_part and not why:
        why = f"the script sets {next(iter(changed))} again on line {next(iter(changed.values()))}"
    if why:
        fields = {
            word.arg: unfollowed(why, script.where, word.value.lineno, word.arg) for word in call.keywords if word.arg
        }
        fields["name"] = unfollowed(why, script.where, call.lineno, "name")
    else:
        fields = dict(_fields(script, call, part))
        fields["name"] = Entry(name, script.where, call.lineno, name, True, "name")
    above = script.parents.get(call)
    while part == "model" and isinstance(
        above, ast.Attribute
    ):  # TransformerConfig.olmo3_7B(...).with_rope_scaling(...)
        fields[above.attr] = Entry(True, script.where, above.lineno, above.attr, name=above.attr)
        above = script.parents.get(script.parents[above])
    for field, line in changed.items():
        fields[field] = unfollowed(f"it is set again on line {line}", script.where, line, field)
    chosen = {key: one for key, one in fields.items() if kept is None or key in kept or key == "name"}
    return Entry(chosen, script.where, call.lineno, name=part)


def _fields(script: _Script, call: ast.Call, part: str) -> Iterator[tuple[str, Entry]]:
    if call.args and part == "model":
        yield "vocab_size", unfollowed("it is the tokenizer's", script.where, call.lineno, "vocab_size")
    for word in call.keywords:
        line = word.value.lineno
        if word.arg is None:
            yield "more", unfollowed("** gives more", script.where, line, "more")
            continue
        try:
            node = script.resolve(word.value)
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("Duration.") and len(node.args) == 1:
                unit = ast.unparse(node.func).partition(".")[2]
                amount = script.number(node.args[0], 0)
                yield (
                    word.arg,
                    Entry({unit: Entry(amount, script.where, line, f"{amount:g}", name=unit)}, script.where, line),
                )
            elif ast.unparse(node).startswith("DType."):
                kind = ast.unparse(node).partition(".")[2]
                yield word.arg, Entry(kind, script.where, line, kind, True, word.arg)
            elif word.arg == "group_overrides":
                text = " ".join(ast.unparse(node).split())
                yield word.arg, Entry(text, script.where, line, text, True, word.arg)
            elif (value := script.value(node)) is not None:
                yield word.arg, _scalar(value, script.where, line, word.arg)
        except _Unfollowed as why_not:
            yield word.arg, unfollowed(str(why_not), script.where, line, word.arg)


def _scalar(value: Value, where: str, line: int, name: str) -> Entry:
    if isinstance(value, tuple):
        return Entry([_scalar(one, where, line, name) for one in value], where, line, name=name)
    return Entry(value, where, line, str(value)[:400], isinstance(value, str), name)


def _agree_on_length(script: _Script, found: dict[str, Entry]) -> None:
    """Leave the length unfollowed where the data set has, or may have, another one than the training."""
    for call in script.calls["dataset"]:
        for word in call.keywords:
            if word.arg not in {"sequence_length", "min_sequence_length"}:
                continue
            try:
                length = script.value(word.value)
            except _Unfollowed:
                length = None
            for part in (found[name] for name in ("train", "outer") if name in found):
                entry = part.value.get("max_sequence_length")
                if entry is not None and entry.value != length:
                    why = f"the data set has a length of its own on line {word.value.lineno}"
                    part.value["max_sequence_length"] = unfollowed(why, script.where, entry.line, "max_sequence_length")


def _tokenizer(script: _Script) -> Entry | None:
    kinds = {ast.unparse(call.func).rpartition(".")[2]: call.lineno for call in script.calls["tokenizer"]}
    if len(kinds) != 1:
        return None
    ((kind, line),) = kinds.items()
    return Entry(kind, script.where, line, kind, True, "tokenizer")


def recognise(marked: Marked) -> bool:
    """Whether the module calls OLMo-core's configs of a network and of its training."""
    root = marked.root.value
    return isinstance(root, dict) and "model" in root and "optim" in root


def read(marked: Marked) -> ReadRecipe:
    """The recipe of an OLMo-core script."""
    draft = GuardedDraft("olmo_core", marked)
    _network(draft)
    _vocabulary(draft)
    _optimizer(draft)
    _data(draft)
    _learning_rate(draft)
    if draft.boolean("train.label_smoothing"):
        draft.beyond("train.label_smoothing", "label smoothing")
    clip = draft.number("train.max_grad_norm", 0, 1e9)
    draft.stated("clip_norm", "train.max_grad_norm", clip, None, f"{COMMIT}: no max_grad_norm")
    draft.take("z_loss", "train.z_loss_multiplier", 0.0, f"{COMMIT}: no z_loss_multiplier")
    kinds: dict[str, Value] = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
    draft.named("precision", "parallel.param_dtype", kinds)
    for part in ("model", "optim", "scheduler", "loader", "train", "trainer", "checkpoints", "parallel", "outer"):
        draft.used.add(f"{part}.name")
    if draft.find("trainer.load_path") or draft.why_not("trainer.load_path"):
        draft.note_at("trainer.load_path", "the training continues from a checkpoint of another training")
    return draft.finish(IGNORED)


def _network(draft: GuardedDraft) -> None:
    name = draft.word("model.name") or ""
    place = draft.at("model.name")
    why = draft.why_not("model.name")
    fields = draft.marked.root.value["model"].value
    odd = sorted(set(fields) - HARMLESS - {"name"})
    is_3 = name.startswith("olmo3_")
    key = name.replace("olmo3_", "olmo2_")
    if why or key not in SIZES or odd:
        reason = why or f"{place}: TransformerConfig.{shorten(name)}" + (f" with {', '.join(odd)}" if odd else "")
        for value in ("family", "hidden_size", "num_layers", "num_heads", "intermediate_size"):
            draft.unstated(
                f"architecture.{value}", f"{reason}: the code has the sizes, and this reader does not know them"
            )
        return
    width, layers, heads, groups, inner = SIZES[key]
    fixed: dict[str, Value] = {
        "family": "olmo2", "hidden_size": width, "num_layers": layers, "num_heads": heads, "num_kv_heads": groups,
        "intermediate_size": inner, "activation": "swiglu", "norm": "rms_norm", "norm_eps": 1e-6, "rotary_share": 1.0,
        "rotary_base": 500000.0, "bias": False, "tied_embeddings": False, "qk_norm": True, "parallel_residual": False,
        "attention_dropout": 0.0, "hidden_dropout": 0.0,
    }  # fmt: skip
    draft.code(f"{MODEL} {name}", {f"architecture.{one}": value for one, value in fixed.items()})
    draft.code(f"{MODEL} init_method, init_std", {"initialisation.method": "normal", "initialisation.std": 0.02})
    draft.code(f"{COMMIT}:src/olmo_core/nn/transformer/init.py", {"initialisation.truncated_at": 3.0})
    if draft.boolean("model.with_rope_scaling"):
        scaled = "rotary positions that are rescaled"
        draft.beyond("model.with_rope_scaling", scaled)
        for value in ("family", "rotary_base"):
            draft.unstated(f"architecture.{value}", f"{draft.at('model.with_rope_scaling')}: {scaled}")
    if is_3:
        windows = "attention within windows of 4096 in three of four layers, which the canonical recipe cannot express"
        draft.note(f"{place}: {windows}")
        draft.unstated("architecture.family", f"{place}: {windows}")


def _vocabulary(draft: GuardedDraft) -> None:
    kind = draft.word("tokenizer") or ""
    draft.find("model.vocab_size")
    stated = draft.integer("model.vocab_size", 1, 10**8)
    draft.used |= {"model.vocab_size", "tokenizer"}
    if stated is not None:
        draft.stated("architecture.vocab_size", "model.vocab_size", stated)
        return
    if kind not in TOKENIZERS:
        draft.unstated(
            "architecture.vocab_size", "it is the tokenizer's, padded, and the file does not name one that is known"
        )
        return
    entries, end, padding = TOKENIZERS[kind]
    where = f"{draft.at('tokenizer')}: {COMMIT}:src/olmo_core/data/tokenizer.py {kind}"
    draft.code(where, {"data.eos_token_id": end, "data.pad_token_id": padding})
    padded = f"{where}: {entries} entries, padded to a multiple of 128"
    why = draft.marked.root.value["model"].value.get("vocab_size")
    if why is not None and "padded_vocab_size()" in why.raw:
        draft.derived("architecture.vocab_size", math.ceil(entries / 128) * 128, padded)
    else:
        draft.unstated("architecture.vocab_size", f"{where}: whether it is padded is not followed")


def _optimizer(draft: GuardedDraft) -> None:
    names: dict[str, Value] = {"AdamWConfig": "adamw", "SkipStepAdamWConfig": "adamw"}
    kind = draft.named("optimizer.name", "optim.name", names)
    known = kind in names
    if kind == "SkipStepAdamWConfig":
        draft.beyond("optim.name", "updates that are left out where the loss is an outlier")
    if not known:
        for name in ("betas", "eps", "weight_decay", "not_decayed"):
            draft.unstated(
                f"optimizer.{name}", draft.why_not("optim.name") or f"{draft.at('optim.name')}: of another optimizer"
            )
        draft.take("learning_rate.peak", "optim.lr")
        return
    draft.stated("optimizer.betas", "optim.betas", draft.betas("optim.betas"), (0.9, 0.999), f"{OPTIM} betas")
    draft.take("optimizer.eps", "optim.eps", 1e-8, f"{OPTIM} eps")
    draft.take("optimizer.weight_decay", "optim.weight_decay", 0.01, f"{OPTIM} weight_decay")
    draft.take("learning_rate.peak", "optim.lr", 1e-3, f"{OPTIM} lr")
    text = draft.word("optim.group_overrides")
    usual = "[OptimGroupOverride(params=['embeddings.weight'], opts=dict(weight_decay=0.0))]"
    if text is None and not draft.why_not("optim.group_overrides"):
        draft.code(f"{OPTIM}: no group_overrides", {"optimizer.not_decayed": (), "optimizer.lr_multipliers": {}})
    elif text == usual:
        draft.put("optimizer.not_decayed", ("embedding",), "stated", draft.at("optim.group_overrides"))
        draft.derived("optimizer.lr_multipliers", {}, f"{draft.at('optim.group_overrides')}: one rate for all")
    else:
        draft.unstated("optimizer.not_decayed", f"{draft.at('optim.group_overrides')}: these groups are not followed")


def _data(draft: GuardedDraft) -> None:
    key = draft.first("train.max_sequence_length", "outer.max_sequence_length")
    draft.find("outer.max_sequence_length")
    length = draft.take("data.sequence_length", key)
    draft.stated("architecture.max_position", key, length)
    draft.stated("data.item_length", key, length)
    if isinstance(length, int):
        draft.derived("data.item_length", length, f"{draft.at(key)}: inputs and labels are the same tokens")
    draft.take("data.seed", draft.first("loader.seed", "outer.data_seed"), limits=(0, 2**63))
    draft.derived(
        "data.order", "unknown", "OLMo-core's shuffle of instances is not one that the canonical recipe names"
    )
    draft.unstated("data.files", "the script names a mixture, whose files stand elsewhere")
    key = draft.first("loader.global_batch_size", "outer.global_batch_size")
    tokens = draft.integer(key, 1, BIGGEST)
    why = draft.why_not(key)
    if tokens and isinstance(length, int) and tokens % length == 0:
        draft.derived("batch_size", tokens // length, f"{draft.at(key)} {tokens} tokens / {length}")
    else:
        draft.unstated("batch_size", why or f"{draft.at(key)}: in tokens, and the sequences do not follow")


def _duration(draft: GuardedDraft, key: str) -> tuple[int | None, int | None]:
    """Updates and tokens of a duration."""
    entry = draft.find(key)
    if entry is None or not isinstance(entry.value, dict):
        return None, None
    steps, tokens = (draft.integer(f"{key}.{unit}", 1, BIGGEST) for unit in ("steps", "tokens"))
    for unit in ("epochs", "chinchilla", "chinchilla_tokens"):
        draft.find(f"{key}.{unit}")
    batch, length = draft.values["batch_size"], draft.values["data.sequence_length"]
    if tokens and isinstance(batch, int) and isinstance(length, int):
        steps = math.ceil(tokens / (batch * length))
    return steps, tokens


def _learning_rate(draft: GuardedDraft) -> None:
    steps, tokens = _duration(draft, "trainer.max_duration")
    stop, _ = _duration(draft, "trainer.hard_stop")
    place = draft.at("trainer.max_duration")
    halted = draft.has("trainer.hard_stop") or bool(draft.why_not("trainer.hard_stop"))
    if halted:
        draft.note_at("trainer.hard_stop", "the training stops before its schedule ends")
    if halted and not stop:
        draft.unstated("steps", f"{draft.at('trainer.hard_stop')}: the updates do not follow")
    elif stop or steps:
        where = draft.at("trainer.hard_stop") if stop else place
        draft.derived(
            "steps", stop or steps, where if stop or not tokens else f"{where}: {tokens} tokens / batch, rounded up"
        )
    else:
        draft.unstated("steps", draft.why_not("trainer.max_duration") or f"{place}: the updates do not follow")
    if tokens and not halted:
        draft.put("tokens_total", tokens, "stated", place)
    every = draft.integer("checkpoints.save_interval", 1)
    last = draft.values["steps"]
    if every and isinstance(last, int):
        draft.checkpoints(last, [every], f"{draft.at('checkpoints.save_interval')}, and the last update", last)
    names: dict[str, Value] = {
        "CosWithWarmup": "cosine_to_min", "LinearWithWarmup": "linear", "ConstantWithWarmup": "constant",
    }  # fmt: skip
    kind = draft.named("learning_rate.form", "scheduler.name", names)
    draft.code(f"{TRAINER}: the update is counted before its rate is read", {"learning_rate.first": "one_step"})
    if draft.find("scheduler.units") or draft.why_not("scheduler.units"):
        draft.unstated("learning_rate.form", f"{draft.at('scheduler.units')}: a schedule in other units")
    _warmup(draft, kind, steps)


def _warmup(draft: GuardedDraft, kind: str | None, steps: int | None) -> None:
    peak = draft.values["learning_rate.peak"]
    share = draft.number("scheduler.alpha_f", 0, 1)
    end = draft.integer("scheduler.t_max", 1)
    warmup, place = draft.first("scheduler.warmup", "scheduler.warmup_steps"), draft.at("scheduler.warmup_fraction")
    fraction = draft.number("scheduler.warmup_fraction", 0, 1)
    start = draft.number("scheduler.warmup_min_lr", 0, 1000)
    if kind not in {"CosWithWarmup", "LinearWithWarmup", "ConstantWithWarmup"}:
        return
    draft.stated("learning_rate.warmup_minimum", "scheduler.warmup_min_lr", start, 0.0, f"{SCHEDULE} warmup_min_lr")
    usual = 0.1 if kind == "CosWithWarmup" else None
    if draft.why_not("scheduler.alpha_f", "optim.lr"):
        draft.unstated("learning_rate.minimum", draft.why_not("scheduler.alpha_f", "optim.lr"))
    elif isinstance(peak, (int, float)) and (share is not None or usual is not None):
        final = peak * (share if share is not None else usual or 0.0)
        how = f"{draft.at('scheduler.alpha_f')} x lr" if share is not None else f"{SCHEDULE} alpha_f is 0.1, x lr"
        draft.put("learning_rate.minimum", final, "derived" if share is not None else "code default", how)
    last = end or steps
    why = draft.why_not("scheduler.t_max")
    if kind != "ConstantWithWarmup" and last and not why:
        where = draft.at("scheduler.t_max") if end else f"{SCHEDULE}: all updates of {draft.at('trainer.max_duration')}"
        draft.derived("learning_rate.decay_steps", last, where)
    if fraction is not None and last and not why:
        draft.derived("learning_rate.warmup_steps", round(last * fraction), f"{place} x {last}, rounded")
    elif draft.has("scheduler.warmup_fraction") or draft.why_not("scheduler.warmup_fraction"):
        draft.unstated("learning_rate.warmup_steps", f"{place}: of a length that does not follow")
    else:
        amount = draft.number(warmup, 0, 1e15)
        draft.stated("learning_rate.warmup_steps", warmup, None if amount is None else whole(amount))
