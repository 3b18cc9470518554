"""DeepSpeed JSON (ds_config): batch sizes, optimizer, schedule, precision. A part of a recipe.

`auto` is a value that the program fills in, and so unstated.
"""

from __future__ import annotations

from dataclasses import replace

from openassay.published.marked import Entry, Marked
from openassay.published.recipes.draft import Draft
from openassay.training.language import ReadRecipe

IGNORED = {
    "memory, not values": "zero_optimization* activation_checkpointing* zero_allow_* zero_force_* aio*",
    "logging": "steps_per_print wall_clock_* dump_state flops_profiler* tensorboard* wandb* *monitor* comms_logger*",
    "parallelism": "communication_data_type* prescale_gradients gradient_predivide_factor sparse_gradients comms* "
    "pipeline* tensor_parallel* autotuning* elasticity* checkpoint*",
    "of fp16": "fp16* amp* bf16* bfloat16* data_types*",
    "speed, not values": "dataloader_drop_last torch_autocast* compile* disable_allgather",
}


def read(marked: Marked) -> ReadRecipe:
    """What a DeepSpeed file says of optimizer, schedule and batch."""
    draft = Draft("deepspeed", replace(marked, root=_without_auto(marked.root)))
    draft.note("DeepSpeed's file says optimizer, schedule and batch at most: the network and the data are missing")
    kinds = {"AdamW": "adamw", "Lion": "lion", "SGD": "sgd"}
    name = draft.named("optimizer.name", "optimizer.type", kinds | {"Adam": "adamw"})
    if name == "Adam":
        if draft.boolean("optimizer.params.adam_w_mode") is False:
            draft.stated("optimizer.name", "optimizer.params.adam_w_mode", "adam_l2")
        else:
            draft.note_at("optimizer.type", "DeepSpeed's Adam is AdamW unless adam_w_mode is false")
    draft.stated("optimizer.betas", "optimizer.params.betas", draft.betas("optimizer.params.betas"))
    draft.take("optimizer.eps", "optimizer.params.eps")
    draft.take("optimizer.weight_decay", "optimizer.params.weight_decay")
    draft.take("learning_rate.peak", "optimizer.params.lr")
    draft.take("batch_size", "train_batch_size")
    for key in ("train_micro_batch_size_per_gpu", "gradient_accumulation_steps"):
        draft.integer(key, 1, 10**7)
    clip = draft.take("clip_norm", "gradient_clipping")
    if clip == 0:
        draft.put("clip_norm", None, "stated", f"{draft.at('gradient_clipping')}: 0 is no clipping")
    section = draft.first("bf16.enabled", "bfloat16.enabled")
    brain, half = draft.boolean(section), draft.boolean("fp16.enabled")
    if brain or half:
        draft.stated("precision", section if brain else "fp16.enabled", "bf16" if brain else "fp16")
    if half and (power := draft.integer("fp16.initial_scale_power", 0, 64)) is not None:
        draft.derived("loss_scale", float(2**power), f"2 to {draft.at('fp16.initial_scale_power')}")
    _schedule(draft)
    return draft.finish(IGNORED)


def _without_auto(entry: Entry) -> Entry:
    """The entry with `auto` as null."""
    if isinstance(entry.value, dict):
        return replace(entry, value={key: _without_auto(item) for key, item in entry.value.items()})
    return replace(entry, value=None) if entry.value == "auto" else entry


def _schedule(draft: Draft) -> None:
    forms = {"WarmupDecayLR": "linear", "WarmupLR": "constant"}
    name = draft.named("learning_rate.form", "scheduler.type", forms)
    if name is None:
        return
    draft.take("learning_rate.warmup_steps", "scheduler.params.warmup_num_steps")
    draft.take("learning_rate.warmup_minimum", "scheduler.params.warmup_min_lr")
    if draft.has("scheduler.params.warmup_max_lr"):
        draft.take("learning_rate.peak", "scheduler.params.warmup_max_lr")
    if draft.word("scheduler.params.warmup_type") != "linear" and name in forms:
        draft.note_at(
            "scheduler.type",
            "the warm-up is logarithmic unless warmup_type is linear, which the canonical recipe cannot express",
        )
    if name == "WarmupDecayLR":
        draft.take("learning_rate.decay_steps", "scheduler.params.total_num_steps")
        draft.derived("learning_rate.minimum", 0.0, f"{draft.at('scheduler.type')}: to 0")
    elif name == "WarmupLR":
        draft.derived("learning_rate.minimum", draft.values["learning_rate.peak"], draft.at("scheduler.type"))
