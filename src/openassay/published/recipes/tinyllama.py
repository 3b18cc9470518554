"""TinyLlama: the recipe is the constants of `pretrain/tinyllama.py`. The Python is parsed, never run.

The batch of the constants is that of one node, and how many nodes there were is an option of the launcher: the batch is unstated.
"""

from __future__ import annotations

import math

from openassay.published.marked import Marked, shorten
from openassay.published.recipes.amber import LLAMA, read_adamw
from openassay.published.recipes.draft import Draft
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


def read(marked: Marked) -> ReadRecipe:
    """The recipe of TinyLlama's constants."""
    draft = Draft("tinyllama", marked)
    if draft.has("checkpoint_path"):
        draft.beyond("checkpoint_path", "weights that another training left")
    _architecture(draft)
    read_adamw(draft, "beta1", "beta2", "weight_decay")
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
    said = draft.find("max_step")
    steps = None if said is None or isinstance(said.value, str) else draft.integer("max_step", 1)
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
    draft.code(WEIGHTS, {**LLAMA, "architecture.tied_embeddings": False})


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
