"""Constants of nanoGPT's configurations, and of programs like it: a Python file of plain assignments, parsed and never run.

The file does not name the program that reads it, and programs differ, so that what it does not say takes no default.
"""

from __future__ import annotations

import ast

from openassay.published.marked import Entry, Marked
from openassay.published.recipes.constants import constants_of, parse_module
from openassay.published.recipes.guarded import GuardedDraft
from openassay.training.language import ReadRecipe, Value

OWN = {
    "learning_rate", "max_iters", "lr_decay_iters", "warmup_iters", "min_lr", "block_size", "n_layer", "n_head", "n_embd",
    "batch_size", "gradient_accumulation_steps", "weight_decay", "decay_lr", "init_from", "eval_iters",
}  # fmt: skip
OPEN = "the file does not name its program, whose defaults are not known"
IGNORED = {
    "logging": "log* wandb* *_log",
    "evaluation": "eval_*",
    "storage": "always_save_checkpoint save_* ckpt*",
    "a path": "out_dir data_dir",
    "speed; rounding only": "compile",
    "how it is started": "device backend",
}


def parse(text: str, where: str) -> Marked:
    """The constants of a file that does nothing but assign and import; none of another file."""
    tree = parse_module(text, where)
    plain = all(
        isinstance(node, ast.Assign | ast.AnnAssign | ast.Import | ast.ImportFrom)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in tree.body
    )
    return Marked(where, Entry(constants_of(tree, where) if plain else {}, where, 1), is_json=True)


def recognise(marked: Marked) -> bool:
    """Whether the file has three keys of nanoGPT's, one of them of the training."""
    keys = set(marked.root.value)
    return len(keys & OWN) >= 3 and bool(keys & {"max_iters", "lr_decay_iters", "warmup_iters", "learning_rate"})


def read(marked: Marked) -> ReadRecipe:
    """What the constants say of network, optimizer and schedule."""
    draft = GuardedDraft("nanogpt", marked, OPEN)
    draft.note(f"{marked.file}: {OPEN}")
    for name, key in (
        ("architecture.num_layers", "n_layer"), ("architecture.num_heads", "n_head"), ("architecture.hidden_size", "n_embd"),
        ("architecture.vocab_size", "vocab_size"), ("architecture.max_position", "block_size"), ("architecture.bias", "bias"),
        ("architecture.hidden_dropout", "dropout"), ("architecture.attention_dropout", "dropout"),
        ("data.sequence_length", "block_size"), ("learning_rate.peak", "learning_rate"), ("learning_rate.minimum", "min_lr"),
        ("learning_rate.warmup_steps", "warmup_iters"), ("learning_rate.decay_steps", "lr_decay_iters"),
        ("optimizer.weight_decay", "weight_decay"), ("clip_norm", "grad_clip"), ("steps", "max_iters"),
    ):  # fmt: skip
        draft.take(name, key)
    draft.take("data.seed", "seed", limits=(0, 2**63))
    if draft.has("max_iters"):
        draft.note_at("max_iters", "nanoGPT's own loop makes one update more")
    if draft.values["clip_norm"] == 0:
        draft.put("clip_norm", None, "stated", f"{draft.at('grad_clip')}: 0 is no clipping")
    betas = [draft.number(key, 0, 1) for key in ("beta1", "beta2")]
    draft.stated("optimizer.betas", "beta1", None if None in betas else tuple(betas))
    if draft.boolean("decay_lr") is False:
        draft.put("learning_rate.form", "constant", "stated", draft.at("decay_lr"))
        for name in ("decay_steps", "minimum"):
            value = draft.values["learning_rate.peak"] if name == "minimum" else None
            draft.derived(f"learning_rate.{name}", value, draft.at("decay_lr"))
    kinds: dict[str, Value] = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
    draft.named("precision", "dtype", kinds)
    amount, passes = draft.integer("batch_size", 1), draft.integer("gradient_accumulation_steps", 1)
    said = f"{amount or 'batch_size'} x {passes or 'gradient_accumulation_steps'}"
    differs = "whether times the devices as well differs by program and version"
    draft.unstated("batch_size", f"{draft.at('batch_size', 'gradient_accumulation_steps')}: {said}, and {differs}")
    draft.word("dataset"), draft.word("init_from")
    if draft.has("init_from") and draft.word("init_from") != "scratch":
        draft.beyond("init_from", "weights that another training left")
    return draft.finish(IGNORED)
