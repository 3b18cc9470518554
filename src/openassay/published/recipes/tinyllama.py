"""TinyLlama: the recipe is the constants of `pretrain/tinyllama.py`. The Python is parsed, never run.

The batch of the constants is that of one node, and how many nodes there were is an option of the launcher: the batch is unstated.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable

from openassay.published.marked import Marked, shorten
from openassay.published.recipes.draft import BIGGEST, Draft
from openassay.training.language import ReadRecipe, Value

COMMIT = "jzhang38/TinyLlama@bf122247c486b6b897050e98cbb7bedae8eeba73"
MAIN = f"{COMMIT}:pretrain/tinyllama.py"
CONFIG = f"{COMMIT}:lit_gpt/config.py"
WEIGHTS = f"{COMMIT}:lit_gpt/model.py"
TINY_1B: dict[str, Value] = {
    "architecture.vocab_size": 32000,
    "architecture.hidden_size": 2048,
    "architecture.num_layers": 22,
    "architecture.num_heads": 32,
    "architecture.num_kv_heads": 4,
    "architecture.intermediate_size": 5632,
    "architecture.max_position": 2048,
    "architecture.norm_eps": 1e-5,
    "data.sequence_length": 2048,
    "data.item_length": 2049,
    "initialisation.std": math.sqrt(2 / 5 / 2048),
    "initialisation.output_std": 1 / math.sqrt(2048) / 22,
}
"""`tiny_LLaMA_1b` of the release's table of networks, with the first weights that its width and depth give."""

IGNORED = {
    "a name": "name",
    "a path": "out_dir wd",
    "logging": "log_step_interval log_iter_interval hparams logger wandb_logger",
    "evaluation": "eval_iters eval_step_interval val_data_config",
    "follows from others": "batch_size gradient_accumulation_steps warmup_iters max_iters lr_decay_iters",
    "the shares of the data": "train_data_config",
    "a call of the optimizer, whose values are constants above": "AdamW*",
    "options of the start": "main*",
}
_SIGNS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Mult: operator.mul,
    ast.Add: operator.add,
    ast.Sub: operator.sub,
}


def read(marked: Marked) -> ReadRecipe:
    """The recipe of TinyLlama's constants."""
    draft = Draft("tinyllama", marked)
    _architecture(draft)
    draft.stated("optimizer.name", "AdamW", "adamw" if draft.has("AdamW") else None)
    first, second = draft.number("beta1", 0, 1), draft.number("beta2", 0, 1)
    if first is not None and second is not None:
        draft.put("optimizer.betas", (first, second), "stated", draft.at("beta1", "beta2"))
    draft.take("optimizer.eps", "AdamW.eps", 1e-8, "torch.optim.AdamW")
    draft.take("optimizer.weight_decay", "weight_decay")
    draft.code(
        f"{MAIN}: model.parameters() in one group", {"optimizer.not_decayed": (), "optimizer.lr_multipliers": {}}
    )
    draft.take("clip_norm", "grad_clip")
    draft.code(f"{MAIN}: cross entropy alone", {"z_loss": 0.0})
    draft.code(f"{MAIN}: seed_everything", {"data.seed": 3407})
    draft.derived("data.order", "unknown", "files are drawn by their shares, an order that is not published")
    each, devices = draft.integer("global_batch_size", 1, 10**7), draft.integer("num_of_devices", 1, 10**6)
    draft.integer("micro_batch_size", 1, 10**7)
    nodes = f"{draft.at('global_batch_size')} {each} is the batch of a node of {devices} devices, whose number is not stated"
    draft.unstated("batch_size", nodes)
    steps = _product(draft, "max_step")
    draft.stated("steps", "max_step", steps)
    every = draft.integer("save_step_interval", 1)
    draft.checkpoints(steps, [every or 0], draft.at("save_step_interval"))
    _learning_rate(draft, steps)
    return draft.finish(IGNORED)


def _architecture(draft: Draft) -> None:
    model = draft.word("model_name")
    if model == "tiny_LLaMA_1b":
        for name, value in TINY_1B.items():
            draft.derived(name, value, f"{draft.at('model_name')}: {WEIGHTS if name.startswith('init') else CONFIG}")
    else:
        draft.note_at("model_name", f"the network is {shorten(model or 'no model')}, which this reader does not know")
    fixed: dict[str, Value] = {
        "architecture.family": "llama",
        "architecture.activation": "swiglu",
        "architecture.norm": "rms_norm",
        "architecture.rotary_share": 1.0,
        "architecture.rotary_base": 10000.0,
        "architecture.bias": False,
        "architecture.tied_embeddings": False,
        "architecture.parallel_residual": False,
        "architecture.qk_norm": False,
        "architecture.attention_dropout": 0.0,
        "architecture.hidden_dropout": 0.0,
        "initialisation.method": "normal",
    }
    draft.code(WEIGHTS, fixed)


def _product(draft: Draft, path: str) -> int | None:
    """A whole number, which may be written as a product or a sum of numbers; None where it is anything else."""
    entry = draft.find(path)
    if entry is None or not isinstance(entry.value, str):
        return draft.integer(path, 1)
    try:
        found = _fold(ast.parse(entry.raw, mode="eval").body)
    except (SyntaxError, ValueError, RecursionError):
        return None
    return found if found is not None and 1 <= found <= BIGGEST else None


def _fold(node: ast.expr) -> int | None:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in _SIGNS:
        left, right = _fold(node.left), _fold(node.right)
        if left is not None and right is not None and max(abs(left), abs(right)) <= BIGGEST:
            return _SIGNS[type(node.op)](left, right)
    return None


def _learning_rate(draft: Draft, steps: int | None) -> None:
    peak = draft.take("learning_rate.peak", "learning_rate")
    draft.code(f"{MAIN}: from 0", {"learning_rate.warmup_minimum": 0.0})
    if draft.boolean("decay_lr") is False:
        draft.stated("learning_rate.form", "decay_lr", "constant")
        draft.derived("learning_rate.minimum", peak, draft.at("decay_lr"))
        draft.derived("learning_rate.warmup_steps", 0, draft.at("decay_lr"))
        return
    draft.code(f"{MAIN} get_lr", {"learning_rate.form": "cosine_to_min"})
    draft.take("learning_rate.minimum", "min_lr")
    draft.take("learning_rate.warmup_steps", "warmup_steps")
    if steps:
        draft.derived("learning_rate.decay_steps", steps, draft.at("max_step"))
    passes = f"{MAIN} get_lr counts passes, of which an update has several: its first rate is neither 0 nor one step's"
    draft.unstated("learning_rate.first", passes)
