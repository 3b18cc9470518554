"""Amber: LLM360 publishes the recipe as the constants of `main.py` and the arguments that `run.sh` gives it.

The Python is parsed, never run. Defaults of `main`'s arguments stand in the file; what `run.sh` says beside it (56 nodes) is read
when it lies in the same folder, for the batch is devices x sequences.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from openassay.faults import BadInput
from openassay.recipes.formats.draft import Draft, whole
from openassay.recipes.formats.marked import MAX_BYTES, Entry, Marked, read_text, shorten
from openassay.training.language import ReadRecipe, Value

COMMIT = "LLM360/amber-train@64bc595600324ebb7d6d559af76a8702f0872776"
LLAMA_7B = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "num_layers": 32,
    "num_heads": 32,
    "num_kv_heads": 32,
    "intermediate_size": 11008,
    "max_position": 2048,
}
"""LLaMA 7B, to which `huggyllama/llama-7b` points."""

IGNORED = {
    "TIMEZONE": "logging",
    "DATE": "logging",
    "PROJECT_NAME": "a name",
    "RUN_NAME": "a name",
    "WORKDIR": "a path",
    "ACCELERATOR": "where, not what",
    "MODEL_SIZE": "part of names",
    "main.run_wandb": "logging",
    "run.run_wandb": "logging",
}


def parse(text: str, where: str) -> Marked:
    """Module constants, the defaults of `main`, calls of AdamW, and run.sh's arguments, each with its line."""
    if len(text) > MAX_BYTES:
        raise BadInput(f"{where}: expected a recipe of at most {MAX_BYTES} bytes, found {len(text)}")
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise BadInput(f"{where}:{error.lineno or 1}: expected Python, found {shorten(error.msg)}") from None
    except (ValueError, RecursionError, MemoryError):
        raise BadInput(f"{where}:1: expected Python, found what Python cannot parse") from None
    constants: dict[str, Entry] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            constants[name] = _constant(node.value, constants, where, name)
        elif isinstance(node, ast.FunctionDef) and node.name == "main":
            constants["main"] = _defaults(node, constants, where)
    path = Path(where)
    script = path.parent / "run.sh"
    if path.is_file() and script.is_file():
        constants["run"] = _arguments(read_text(script), str(script))
    adam = next(
        (node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("AdamW")),
        None,
    )
    if adam is not None:
        named = {word.arg: _constant(word.value, constants, where, word.arg) for word in adam.keywords if word.arg}
        constants["AdamW"] = Entry(named, where, adam.lineno, name="AdamW")
    return Marked(where, Entry(constants, where, 1))


def _constant(node: ast.expr, known: dict[str, Entry], where: str, name: str) -> Entry:
    """A literal, another constant's value, or an f-string of those; anything else stays its source."""
    raw = shorten(ast.unparse(node))
    if isinstance(node, ast.Name) and node.id in known:
        return Entry(known[node.id].value, where, node.lineno, known[node.id].raw, name=name)
    if isinstance(node, ast.JoinedStr):
        parts = []
        for part in node.values:
            inner = part.value if isinstance(part, ast.FormattedValue) else part
            if isinstance(inner, ast.Name) and inner.id in known:
                parts.append(known[inner.id].raw)
            elif isinstance(inner, ast.Constant):
                parts.append(str(inner.value))
            else:
                parts.append("{}")
        return Entry("".join(parts)[:200], where, node.lineno, "".join(parts)[:200], True, name)
    if isinstance(node, ast.Tuple):
        return Entry([_constant(item, known, where, name) for item in node.elts], where, node.lineno, name=name)
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return Entry(raw, where, node.lineno, raw, True, name)
    if isinstance(value, (bool, int, float, str)) or value is None:
        return Entry(value, where, node.lineno, str(value)[:200], isinstance(value, str), name)
    return Entry(raw, where, node.lineno, raw, True, name)


def _defaults(node: ast.FunctionDef, known: dict[str, Entry], where: str) -> Entry:
    named = node.args.args[len(node.args.args) - len(node.args.defaults) :]
    pairs = zip(named, node.args.defaults, strict=True)
    return Entry(
        {word.arg: _constant(value, known, where, word.arg) for word, value in pairs}, where, node.lineno, name="main"
    )


def _arguments(text: str, where: str) -> Entry:
    found: dict[str, Entry] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if "main.py" not in line or line.lstrip().startswith("#"):
            continue
        for match in re.finditer(r"--([a-z_]+)(?:[ =]([0-9]{1,9}))?", line):
            value = int(match[2]) if match[2] else True
            found[match[1]] = Entry(value, where, number, match[2] or "true", name=match[1])
    return Entry(found, where, 1, name="run")


def recognise(marked: Marked) -> bool:
    """Has the module Amber's constants?"""
    return {"LEARNING_RATE", "WARMUP_GRAD_STEPS", "N_CHUNKS"} <= set(marked.root.value)


def read(marked: Marked) -> ReadRecipe:
    """The recipe of Amber's main.py."""
    draft = Draft("amber", marked)
    put = draft.stated
    _architecture(draft)
    put("optimizer.name", "AdamW", "adamw" if draft.has("AdamW") else None)
    first, second = draft.number("BETA1", 0, 1), draft.number("BETA2", 0, 1)
    if first is not None and second is not None:
        draft.put("optimizer.betas", (first, second), "stated", f"{draft.at('BETA1')}, {draft.at('BETA2')}")
    put("optimizer.eps", "AdamW.eps", draft.number("AdamW.eps", 0, 1), 1e-8, "torch.optim.AdamW")
    put("optimizer.weight_decay", "WEIGHT_DECAY", draft.number("WEIGHT_DECAY", 0, 100))
    draft.code(
        "optimizer.not_decayed", (), f"{COMMIT}:main.py: model.parameters() in one group, so that all are decayed"
    )
    draft.note(f"{draft.at('AdamW')}: weight decay on all parameters, norms and embeddings too")
    draft.code("optimizer.lr_multipliers", {}, f"{COMMIT}:main.py: one rate for all")
    for key in ("lr", "weight_decay", "betas", "foreach"):
        draft.find(f"AdamW.{key}")
    _batch(draft)
    _learning_rate(draft)
    put("clip_norm", "GRAD_NORM_CLIP", draft.number("GRAD_NORM_CLIP", 0, 1e9))
    names = {"bf16-mixed": "bf16", "16-mixed": "fp16", "32-true": "fp32", "32": "fp32"}
    put("precision", "PRECISION", names.get(draft.word("PRECISION", names) or ""))
    draft.code("z_loss", 0.0, f"{COMMIT}:main.py: cross entropy alone")
    return draft.finish(IGNORED)


def _architecture(draft: Draft) -> None:
    model = draft.word("HF_MODEL_NAME_OR_PATH")
    draft.code("architecture.family", "llama", f"{COMMIT}:model_utils/modeling_llama.py")
    if model == "huggyllama/llama-7b":
        for name, value in LLAMA_7B.items():
            draft.derived(f"architecture.{name}", value, f"{draft.at('HF_MODEL_NAME_OR_PATH')}: {model}")
        draft.derived("architecture.norm_eps", 1e-6, f"{draft.at('HF_MODEL_NAME_OR_PATH')}: {model}")
        draft.derived("architecture.tied_embeddings", False, f"{draft.at('HF_MODEL_NAME_OR_PATH')}: {model}")
        draft.derived("initialisation.std", 0.02, f"{draft.at('HF_MODEL_NAME_OR_PATH')}: {model}: initializer_range")
    else:
        draft.note(
            f"{draft.at('HF_MODEL_NAME_OR_PATH')}: the network is that of {shorten(model or 'no model')}, which is not known here"
        )
    where = f"{COMMIT}:model_utils/modeling_llama.py"
    fixed: dict[str, Value] = {
        "activation": "swiglu",
        "norm": "rms_norm",
        "rotary_share": 1.0,
        "rotary_base": 10000.0,
        "bias": False,
        "parallel_residual": False,
        "qk_norm": False,
        "attention_dropout": 0.0,
        "hidden_dropout": 0.0,
    }
    for key, known in fixed.items():
        draft.code(f"architecture.{key}", known, where)
    draft.code("initialisation.method", "normal", where)


def _batch(draft: Draft) -> None:
    def argument(name: str) -> tuple[int | None, str]:
        for path in (f"run.{name}", f"main.{name}"):
            if draft.has(path):
                return draft.integer(path, 1, 10**7), draft.at(path)
        return None, ""

    parts = {
        name: argument(name)
        for name in ("n_nodes", "n_devices_per_node", "per_device_batch_size", "accumulate_grad_batches")
    }
    nodes, per_node, each, accumulated = (value for value, _ in parts.values())
    if draft.has("main.n_nodes") and not draft.has("run.n_nodes"):
        draft.note(
            f"{draft.at('main.n_nodes')}: run.sh, which says the number of nodes, is not beside this file; the batch is unstated"
        )
        nodes = None
    examples, chunks = draft.integer("TRAIN_EXAMPLES_PER_CHUNK", 1), draft.integer("N_CHUNKS", 1)
    draft.code("data.sequence_length", 2048, f"{COMMIT}:main.py: items of 2,049 tokens, inputs and labels cut from one")
    draft.code("data.item_length", 2049, "LLM360/AmberDatasets: token_ids of 2,049")
    seed = draft.integer("RANDOM_SEED", 0, 2**32 - 1)
    draft.stated("data.seed", "RANDOM_SEED", seed)
    draft.put(
        "data.order",
        "unknown",
        "derived",
        f"{draft.at('RANDOM_SEED')}: the order within a chunk depends on where training was restarted, which is not published",
    )
    folder = draft.word("TRAIN_DATA_DIR")
    if folder and chunks and chunks <= 100_000:
        draft.derived(
            "data.files",
            tuple(f"{folder}/train_{at}.jsonl" for at in range(chunks)),
            f"{draft.at('TRAIN_DATA_DIR')}, {draft.at('N_CHUNKS')}",
        )
    draft.code("data.token_type", None, "JSON lines say it")
    if None in {nodes, per_node, each}:
        draft.unstated("batch_size", "it is nodes x devices x sequences of a device, which the file does not say whole")
        return
    micro = (nodes or 1) * (per_node or 1) * (each or 1)
    draft.derived(
        "batch_size",
        micro * (accumulated or 1),
        " x ".join(f"{value} ({place})" for value, place in parts.values() if place),
    )
    if examples and chunks:
        micro_steps = examples // micro
        steps = micro_steps * chunks // (accumulated or 1)
        draft.derived("steps", steps, f"{draft.at('TRAIN_EXAMPLES_PER_CHUNK')} // {micro} x {draft.at('N_CHUNKS')}")
        draft.derived("tokens_total", steps * micro * (accumulated or 1) * 2048, f"steps {steps} x batch x 2048")
        if examples % micro:
            draft.note(
                f"{draft.at('TRAIN_EXAMPLES_PER_CHUNK')}: {examples % micro} items of each chunk are never trained on"
            )
        if chunks <= 100_000 and steps % chunks == 0:
            every = steps // chunks
            draft.derived(
                "checkpoints", tuple(range(every, steps + 1, every)), f"{COMMIT}:main.py: one after each chunk"
            )


def _learning_rate(draft: Draft) -> None:
    kind = draft.word("LR_SCHEDULE_TYPE", ("cosine",))
    draft.stated("learning_rate.form", "LR_SCHEDULE_TYPE", "cosine_to_min" if kind else None)
    draft.stated("learning_rate.peak", "LEARNING_RATE", draft.number("LEARNING_RATE", 0, 1000))
    draft.stated("learning_rate.minimum", "END_LEARNING_RATE", draft.number("END_LEARNING_RATE", 0, 1000))
    warmup = draft.number("WARMUP_GRAD_STEPS", 0, 1e12)
    draft.stated("learning_rate.warmup_steps", "WARMUP_GRAD_STEPS", None if warmup is None else whole(warmup))
    if draft.values.get("steps"):
        draft.derived("learning_rate.decay_steps", draft.values["steps"], f"{COMMIT}:main.py: all updates")
    draft.code("learning_rate.first", "zero", f"{COMMIT}:main.py: read before the update is counted")
    draft.code("learning_rate.warmup_minimum", 0.0, f"{COMMIT}:main_utils.py")
