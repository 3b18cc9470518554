"""LitGPT YAML: `train:` says batch, length and schedule, `optimizer:` a class with its arguments. The network is named only.

A pretraining (`model_name`) ends after `max_tokens`, at `min_lr`; a fine-tuning (`checkpoint_dir`) after its epochs, at 0.
"""

from __future__ import annotations

from openassay.published.marked import Marked, shorten
from openassay.published.recipes.draft import Draft
from openassay.training.language import ReadRecipe

COMMIT = "Lightning-AI/litgpt@26857050fe3ff627cd714fe92f5838f51a3d5efa"
PRETRAIN = f"{COMMIT}:litgpt/pretrain.py"

IGNORED = {
    "a path": "out_dir tokenizer_dir",
    "evaluation": "eval*",
    "logging": "logger_name train.log_interval log*",
    "storage": "train.save_interval",
    "restarts": "resume",
    "parallelism": "num_nodes devices",
    "memory: how the batch is cut": "train.micro_batch_size",
    "of the low-rank matrices": "lora_* quantize",
    "where the data are": "data*",
    "the network's own sizes, which this reader does not know": "model_config*",
    "who may fetch the weights": "access_token",
}


def read(marked: Marked) -> ReadRecipe:
    """The optimizer, schedule and lengths of a litgpt file."""
    draft = Draft("litgpt", marked)
    model = draft.first("model_name", "checkpoint_dir")
    pretrained = not draft.has("model_name")
    draft.note_at(
        model, f"the network is that of {shorten(draft.word(model) or 'no model')}, which the file names only"
    )
    if draft.has("initial_checkpoint_dir"):
        draft.beyond("initial_checkpoint_dir", "weights that another training left")
    for key in ("lora_r", "quantize"):
        if draft.has(key):
            draft.beyond(key, "low-rank matrices beside the weights, or weights of fewer bits")
    _optimizer(draft)
    batch = draft.take("batch_size", "train.global_batch_size")
    length = draft.take("data.sequence_length", "train.max_seq_length", limits=(1, 10**9))
    if pretrained and length:
        draft.note_at("train.max_seq_length", "the greatest length; the examples are not packed, and most are shorter")
    draft.take("data.seed", "seed", limits=(0, 2**63))
    steps, tokens = draft.integer("train.max_steps", 1), draft.integer("train.max_tokens", 1)
    if steps is not None and pretrained:
        draft.stated("steps", "train.max_steps", steps)
    elif tokens is not None and batch and length:
        steps = tokens // (batch * length)
        draft.put("tokens_total", tokens, "stated", draft.at("train.max_tokens"))
        draft.derived("steps", steps, f"{draft.at('train.max_tokens')} // ({batch} x {length})")
    else:
        draft.unstated("steps", f"{draft.at('train.max_tokens', 'train.epochs')}: it depends on the data")
    draft.number("train.epochs", 0, 1e6)
    if draft.take("clip_norm", "train.max_norm") is None and pretrained:
        draft.code(f"{COMMIT}:litgpt/finetune: does not clip", {"clip_norm": None})
    elif pretrained:
        draft.note_at("train.max_norm", "a fine-tuning of litgpt does not clip")
        draft.code(f"{COMMIT}:litgpt/finetune: does not clip", {"clip_norm": None})
    _learning_rate(draft, steps, pretrained)
    _precision(draft)
    draft.boolean("train.tie_embeddings")
    if draft.has("train.tie_embeddings"):
        draft.take("architecture.tied_embeddings", "train.tie_embeddings")
    draft.derived("data.order", "unknown", "the data module's own order")
    draft.code(f"{PRETRAIN}: cross entropy alone", {"z_loss": 0.0})
    return draft.finish(IGNORED)


def _optimizer(draft: Draft) -> None:
    names = {
        "torch.optim.AdamW": "adamw",
        "AdamW": "adamw",
        "torch.optim.SGD": "sgd",
        "torch.optim.Adam": "adam_l2",
        "Adam": "adam_l2",
    }
    section = draft.find("optimizer")
    inner = section is not None and isinstance(section.value, dict)
    draft.named("optimizer.name", "optimizer.class_path" if inner else "optimizer", names)
    draft.code(
        f"{COMMIT}: model.parameters() in one group", {"optimizer.not_decayed": (), "optimizer.lr_multipliers": {}}
    )
    if inner:
        draft.take("learning_rate.peak", "optimizer.init_args.lr")
        draft.take("optimizer.weight_decay", "optimizer.init_args.weight_decay")
        draft.stated("optimizer.betas", "optimizer.init_args.betas", draft.betas("optimizer.init_args.betas"))
        draft.take("optimizer.eps", "optimizer.init_args.eps", 1e-8, "torch.optim")
        draft.boolean("optimizer.init_args.fused")


def _learning_rate(draft: Draft, steps: int | None, pretrained: bool) -> None:
    draft.code(f"{COMMIT}: a cosine after a warm-up", {"learning_rate.form": "cosine_to_min"})
    draft.code(f"{COMMIT}: from 0", {"learning_rate.warmup_minimum": 0.0})
    if pretrained:
        draft.code(f"{COMMIT}:litgpt/finetune: CosineAnnealingLR", {"learning_rate.minimum": 0.0})
        draft.number("train.min_lr", 0, 1000)
    else:
        draft.take("learning_rate.minimum", "train.min_lr")
        why = f"{PRETRAIN}: the rate is counted in passes of one device, so that it depends on the accumulation"
        draft.unstated("learning_rate.first", why)
    draft.take("learning_rate.warmup_steps", "train.lr_warmup_steps")
    if draft.has("train.lr_warmup_fraction"):
        draft.unstated(
            "learning_rate.warmup_steps",
            f"{draft.at('train.lr_warmup_fraction')}: of an epoch, whose length is not stated",
        )
    if steps:
        draft.derived("learning_rate.decay_steps", steps, "at the training's end")


def _precision(draft: Draft) -> None:
    names = {
        "bf16-mixed": "bf16",
        "bf16-true": "bf16",
        "16-mixed": "fp16",
        "16-true": "fp16",
        "32-true": "fp32",
        "32": "fp32",
    }
    name = draft.named("precision", "precision", names)
    if name in {"bf16-true", "16-true"}:
        draft.beyond("precision", "weights that are themselves kept in half precision")
