"""Amber: LLM360 publishes the recipe as the constants of `main.py` and the arguments that `run.sh` gives it.

The Python is parsed, never run. Defaults of `main`'s arguments stand in the file; what `run.sh` says beside it (56 nodes) is read
when it lies in the same folder, for the batch is devices x sequences.
"""

from __future__ import annotations

import ast
import math
import re
from pathlib import Path

from openassay.published.marked import Entry, Marked, read_text, shorten
from openassay.published.recipes.constants import constant, constants_of, parse_module
from openassay.published.recipes.draft import MOST_CHECKPOINTS, Draft, whole
from openassay.training.language import ReadRecipe, Value

COMMIT = "LLM360/amber-train@64bc595600324ebb7d6d559af76a8702f0872776"
MODELING = f"{COMMIT}:model_utils/modeling_llama.py"
LLAMA_7B: dict[str, Value] = {
    "architecture.vocab_size": 32000,
    "architecture.hidden_size": 4096,
    "architecture.num_layers": 32,
    "architecture.num_heads": 32,
    "architecture.num_kv_heads": 32,
    "architecture.intermediate_size": 11008,
    "architecture.max_position": 2048,
    "architecture.norm_eps": 1e-6,
    "architecture.tied_embeddings": False,
    "initialisation.std": 0.02,
}
"""LLaMA 7B, to which `huggyllama/llama-7b` points."""

LLAMA: dict[str, Value] = {
    "architecture.family": "llama",
    "architecture.activation": "swiglu",
    "architecture.norm": "rms_norm",
    "architecture.rotary_share": 1.0,
    "architecture.rotary_base": 10000.0,
    "architecture.bias": False,
    "architecture.parallel_residual": False,
    "architecture.qk_norm": False,
    "architecture.attention_dropout": 0.0,
    "architecture.hidden_dropout": 0.0,
    "initialisation.method": "normal",
}
"""What every network of LLaMA's form has."""

IGNORED = {
    "logging": "TIMEZONE DATE main.run_wandb run.run_wandb",
    "a name": "PROJECT_NAME RUN_NAME",
    "a path": "WORKDIR",
    "where, not what": "ACCELERATOR",
    "part of names": "MODEL_SIZE",
}


def parse(text: str, where: str) -> Marked:
    """Module constants, the defaults of `main`, calls of AdamW, and run.sh's arguments, each with its line."""
    tree = parse_module(text, where)
    found = constants_of(tree, where)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "main":
            found["main"] = _defaults(node, found, where)
    script = Path(where).parent / "run.sh"
    if Path(where).is_file() and script.is_file():
        found["run"] = _arguments(read_text(script), str(script))
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("AdamW"):
            named = {word.arg: constant(word.value, found, where, word.arg) for word in call.keywords if word.arg}
            found["AdamW"] = Entry(named, where, call.lineno, name="AdamW")
            break
    return Marked(where, Entry(found, where, 1))


def _defaults(node: ast.FunctionDef, known: dict[str, Entry], where: str) -> Entry:
    named = node.args.args[len(node.args.args) - len(node.args.defaults) :]
    pairs = zip(named, node.args.defaults, strict=True)
    values = {word.arg: constant(value, known, where, word.arg) for word, value in pairs}
    return Entry(values, where, node.lineno, name="main")


def _arguments(text: str, where: str) -> Entry:
    found: dict[str, Entry] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if "main.py" not in line or line.lstrip().startswith("#"):
            continue
        for match in re.finditer(r"--([a-z_]+)(?:[ =]([0-9]{1,9}))?", line):
            value = int(match[2]) if match[2] else True
            found[match[1]] = Entry(value, where, number, match[2] or "true", name=match[1])
    return Entry(found, where, 1, name="run")


def read(marked: Marked) -> ReadRecipe:
    """The recipe of Amber's main.py."""
    draft = Draft("amber", marked)
    _architecture(draft)
    read_adamw(draft, "BETA1", "BETA2", "WEIGHT_DECAY")
    in_one = f"{COMMIT}:main.py: model.parameters() in one group, so that all are decayed"
    draft.code(in_one, {"optimizer.not_decayed": ()})
    draft.note_at("AdamW", "weight decay on all parameters, norms and embeddings too")
    draft.code(f"{COMMIT}:main.py: one rate for all", {"optimizer.lr_multipliers": {}})
    for key in ("lr", "weight_decay", "betas", "foreach"):
        draft.find(f"AdamW.{key}")
    _data(draft)
    _run(draft)
    _learning_rate(draft)
    draft.take("clip_norm", "GRAD_NORM_CLIP")
    names = {"bf16-mixed": "bf16", "16-mixed": "fp16", "32-true": "fp32", "32": "fp32"}
    draft.word("PRECISION", names)
    draft.named("precision", "PRECISION", names)
    draft.code(f"{COMMIT}:main.py: cross entropy alone", {"z_loss": 0.0})
    return draft.finish(IGNORED)


def read_adamw(draft: Draft, beta1: str, beta2: str, decay: str) -> None:
    """Put the values of a call of torch's AdamW and of the constants that it takes."""
    draft.stated("optimizer.name", "AdamW", "adamw" if draft.has("AdamW") else None)
    first, second = draft.number(beta1, 0, 1), draft.number(beta2, 0, 1)
    if first is not None and second is not None:
        draft.put("optimizer.betas", (first, second), "stated", draft.at(beta1, beta2))
    draft.take("optimizer.eps", "AdamW.eps", 1e-8, "torch.optim.AdamW")
    draft.take("optimizer.weight_decay", decay)


def _architecture(draft: Draft) -> None:
    model = draft.word("HF_MODEL_NAME_OR_PATH")
    if model == "huggyllama/llama-7b":
        where = f"{draft.at('HF_MODEL_NAME_OR_PATH')}: {model}"
        for name, value in LLAMA_7B.items():
            draft.derived(name, value, where + (": initializer_range" if name == "initialisation.std" else ""))
    else:
        unknown = f"the network is that of {shorten(model or 'no model')}, which this reader does not know"
        draft.note_at("HF_MODEL_NAME_OR_PATH", unknown)
    draft.code(MODELING, LLAMA)


def _data(draft: Draft) -> None:
    items = f"{COMMIT}:main.py: items of 2,049 tokens, inputs and labels cut from one"
    draft.code(items, {"data.sequence_length": 2048})
    draft.code("LLM360/AmberDatasets: token_ids of 2,049", {"data.item_length": 2049})
    draft.take("data.seed", "RANDOM_SEED", limits=(0, 2**32 - 1))
    restarts = "the order within a chunk depends on where training was restarted, which is not published"
    draft.derived("data.order", "unknown", f"{draft.at('RANDOM_SEED')}: {restarts}")
    folder, chunks = draft.word("TRAIN_DATA_DIR"), draft.integer("N_CHUNKS", 1)
    if folder and chunks and chunks <= MOST_CHECKPOINTS:
        files = tuple(f"{folder}/train_{at}.jsonl" for at in range(chunks))
        draft.derived("data.files", files, draft.at("TRAIN_DATA_DIR", "N_CHUNKS"))
    draft.code("JSON lines say it", {"data.token_type": None})


def _run(draft: Draft) -> None:
    """Put the batch, which is devices x sequences, and the updates, which follow from the chunks."""
    places = {}
    for name in ("n_nodes", "n_devices_per_node", "per_device_batch_size", "accumulate_grad_batches"):
        path = draft.first(f"run.{name}", f"main.{name}")
        if amount := draft.integer(path, 1, 10**7):
            places[name] = amount, draft.at(path)
    if draft.has("main.n_nodes") and not draft.has("run.n_nodes"):
        missing = "run.sh, which says the number of nodes, is not beside this file; the batch is unstated"
        draft.note_at("main.n_nodes", missing)
        del places["n_nodes"]
    examples, chunks = draft.integer("TRAIN_EXAMPLES_PER_CHUNK", 1), draft.integer("N_CHUNKS", 1)
    if not {"n_nodes", "n_devices_per_node", "per_device_batch_size"} <= set(places):
        draft.unstated(
            "batch_size", "it is nodes x devices x sequences per device, and the file does not state all three"
        )
        return
    batch = math.prod(amount for amount, _ in places.values())
    draft.derived("batch_size", batch, " x ".join(f"{amount} ({place})" for amount, place in places.values()))
    if not examples or not chunks:
        return
    accumulated, _ = places.get("accumulate_grad_batches", (1, ""))
    micro = batch // accumulated
    steps = examples // micro * chunks // accumulated
    draft.derived("steps", steps, f"{draft.at('TRAIN_EXAMPLES_PER_CHUNK')} // {micro} x {draft.at('N_CHUNKS')}")
    draft.derived("tokens_total", steps * batch * 2048, f"steps {steps} x batch x 2048")
    if examples % micro:
        draft.note_at("TRAIN_EXAMPLES_PER_CHUNK", f"{examples % micro} items of each chunk are never trained on")
    if steps % chunks == 0:
        draft.checkpoints(steps, [steps // chunks], f"{COMMIT}:main.py: one after each chunk")


def _learning_rate(draft: Draft) -> None:
    draft.word("LR_SCHEDULE_TYPE", ("cosine",))
    draft.named("learning_rate.form", "LR_SCHEDULE_TYPE", {"cosine": "cosine_to_min"})
    draft.take("learning_rate.peak", "LEARNING_RATE")
    draft.take("learning_rate.minimum", "END_LEARNING_RATE")
    warmup = draft.number("WARMUP_GRAD_STEPS", 0, 1e12)
    draft.stated("learning_rate.warmup_steps", "WARMUP_GRAD_STEPS", None if warmup is None else whole(warmup))
    if draft.values.get("steps"):
        draft.derived("learning_rate.decay_steps", draft.values["steps"], f"{COMMIT}:main.py: all updates")
    draft.code(f"{COMMIT}:main.py: read before the update is counted", {"learning_rate.first": "zero"})
    draft.code(f"{COMMIT}:main_utils.py", {"learning_rate.warmup_minimum": 0.0})
