"""Fine-tuning settings with key names of their own: axolotl YAML and open-instruct YAML. Each is a part of a recipe.

Both train with an update as transformers' Trainer does; the network is the one that they start from, which they name only.
"""

from __future__ import annotations

from openassay.published.marked import Marked, shorten
from openassay.published.recipes.draft import Draft, whole
from openassay.published.recipes.hugging_face import EPOCHS, SCHEDULES, TRAINER
from openassay.training.language import ReadRecipe

AXOLOTL = "axolotl-ai-cloud/axolotl@067b021c8b87a9e5e380b9173c704cf7340e30f5"
HYPERPARAMETERS = f"{AXOLOTL}:src/axolotl/utils/schemas/training.py"
BUILDER = f"{AXOLOTL}:src/axolotl/core/builders/base.py"
OPEN_INSTRUCT = "allenai/open-instruct@e6c3044aa6201c8bfa4573c1b03142af599e730d"
FINETUNE = f"{OPEN_INSTRUCT}:open_instruct/finetune.py"

PART = "a fine-tuning: the network and its first weights are those of the model that the file names"
LOW_RANK = "low-rank matrices beside the weights are trained, not the weights"
SHARED = {
    "a name": "model_revision* revision_of_model tokenizer* hub_model_id hub_* hf_* processor_type version description",
    "the model's classes": "model_type is_llama_derived_model is_*_derived_model trust_remote_code cls_model_config",
    "a path": "output_dir dataset_prepared_path dataset_mix_dir lora_model_dir cache_dir",
    "logging": "logging_* log_* wandb* mlflow* comet* trackio* use_tensorboard report_to with_tracking verbose profiler*",
    "evaluation": "eval* test_datasets* do_eval evals_per_epoch do_bench_eval bench_* val_set_size early_stopping_patience",
    "storage": "save* keep_last_n_checkpoints push_to_hub push_dataset_to_hub checkpointing_steps clean_checkpoints*",
    "restarts": "resume_from_checkpoint auto_resume_from_checkpoints",
    "parallelism": "fsdp* deepspeed ddp* dp_* tensor_parallel_size context_parallel_size expert_parallel_size fp8* "
    "sequence_parallel_* heads_k_stride device_map local_rank",
    "memory, not values": "gradient_checkpointing* activation_offloading low_cpu_mem_usage lora_on_cpu auto_find_batch_size",
    "the same function, another kernel": "attn_implementation use_flash_attn flash_attention* flash_attn* xformers* "
    "sdp_attention sdpa* flex_attention* flex_attn* liger_* use_liger_kernel lora_*_kernel use_kernels fused_optimizer",
    "speed; rounding only": "tf32 torch_compile*",
    "speed, not values": "dataloader_* dataset_num_proc preprocessing_num_workers dataset_processes overwrite_cache timeout",
    "the data's text form": "datasets* chat_template* special_tokens* tokens* eot_tokens dataset_* shuffle_merged_datasets "
    "remove_unused_columns strict skip_prepare_dataset use_slow_tokenizer add_bos add_seed_and_date* plugins* debug",
}

_TORCH = dict.fromkeys(("adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw_apex_fused", "adamw_torch_xla"), "adamw")
_COARSE = dict.fromkeys(("adamw_bnb_8bit", "adamw_8bit", "paged_adamw_8bit"), "adamw")
OPTIMIZERS = {**_TORCH, **_COARSE, "paged_adamw_32bit": "adamw", "paged_adamw": "adamw", "sgd": "sgd"}
"""transformers' names of optimizers that the canonical recipe has."""
FORMS = {
    "linear": "linear",
    "cosine": "cosine_to_min",
    "constant": "constant",
    "constant_with_warmup": "constant",
    "inverse_sqrt": "inverse_sqrt",
}
"""transformers' names of schedules that the canonical recipe has."""


def read_axolotl(marked: Marked) -> ReadRecipe:
    """The optimizer, schedule and lengths of an axolotl file."""
    draft = Draft("axolotl", marked)
    _start(draft, "base_model", "adapter")
    kind = draft.named("optimizer.name", "optimizer", OPTIMIZERS, "adamw", f"{HYPERPARAMETERS} optimizer")
    if kind in _COARSE:
        draft.beyond("optimizer", "moments kept in 8 bits")
    if kind is None or OPTIMIZERS.get(kind) == "adamw":
        draft.two_betas("adam_beta1", "adam_beta2", f"{BUILDER}: as TrainingArguments")
        draft.take("optimizer.eps", "adam_epsilon", 1e-8, f"{BUILDER}: as TrainingArguments")
    elif kind == "sgd":
        for name in ("betas", "eps"):
            draft.derived(f"optimizer.{name}", None, "sgd has none")
    draft.take("optimizer.weight_decay", "weight_decay", 0.0, f"{HYPERPARAMETERS} weight_decay")
    draft.take("clip_norm", "max_grad_norm", 1.0, f"{BUILDER}: as TrainingArguments")
    steps = _length(draft, "num_epochs", "max_steps")
    _batch(draft, "micro_batch_size", "gradient_accumulation_steps")
    _axolotl_schedule(draft, steps)
    _axolotl_precision(draft)
    draft.take("data.seed", "seed", limits=(0, 2**63))
    draft.take("data.sequence_length", "sequence_len", limits=(1, 10**9))
    if not draft.boolean("sample_packing") and draft.has("sequence_len"):
        draft.note_at("sequence_len", "the greatest length; the examples are not packed, and most are shorter")
    draft.boolean("pad_to_sequence_len")
    if not draft.boolean("train_on_inputs"):
        draft.note(
            f"{marked.file}: the loss is that of the answers only, where the data's form tells prompt from answer"
        )
    for key, what in (
        ("rl", "a loss over preferences or rewards"),
        ("relora_steps", "low-rank matrices that are merged from time to time"),
        ("neftune_noise_alpha", "noise on the embedding"),
        ("unfrozen_parameters", "only some of the weights are trained"),
        ("lr_groups", "learning rates by groups of weights"),
        ("embedding_lr", "a learning rate of the embedding"),
        ("loraplus_lr_ratio", "learning rates by groups of weights"),
        ("pretraining_dataset", "a streamed data set"),
    ):
        entry = draft.find(key)
        if entry is not None and entry.value is not False:
            draft.beyond(key, what)
    lora = {"of the low-rank matrices": "lora_* peft* load_in_4bit load_in_8bit bnb_config_kwargs*"}
    return draft.finish(SHARED, lora, {"old names": "eval_batch_size batch_size"})


def read_open_instruct(marked: Marked) -> ReadRecipe:
    """The optimizer, schedule and lengths of a file for open-instruct's finetune.py or dpo_tune.py."""
    draft = Draft("open_instruct", marked)
    _start(draft, "model_name_or_path", "")
    draft.code(f"{FINETUNE}: torch.optim.AdamW", {"optimizer.name": "adamw", "optimizer.betas": (0.9, 0.999)})
    draft.code(f"{FINETUNE}: torch.optim.AdamW", {"optimizer.eps": 1e-8})
    groups = f"{OPEN_INSTRUCT}:open_instruct/utils.py: biases and norms"
    draft.code(groups, {"optimizer.not_decayed": ("bias", "norm")})
    preferences = [key for key in marked.root.value if key.startswith(("dpo_", "beta", "loss_type", "gamma_beta"))]
    for key in preferences:
        draft.beyond(key, "a loss over preferences")
    where = "" if preferences else FINETUNE
    draft.take("optimizer.weight_decay", "weight_decay", 0.0, where and f"{where} weight_decay")
    clip = draft.number("clip_grad_norm", -1e9, 1e9)
    draft.stated("clip_norm", "clip_grad_norm", clip, None, where and f"{where} clip_grad_norm is -1: no clipping")
    if clip is not None and clip <= 0:
        draft.put("clip_norm", None, "stated", f"{draft.at('clip_grad_norm')}: no clipping")
    steps = _length(draft, draft.first("num_train_epochs", "num_epochs"), "max_train_steps")
    _batch(draft, "per_device_train_batch_size", "gradient_accumulation_steps")
    draft.take("learning_rate.peak", "learning_rate", 2e-5, where and f"{where} learning_rate")
    name = draft.named(
        "learning_rate.form", "lr_scheduler_type", FORMS, "linear", where and f"{where} lr_scheduler_type"
    )
    _ends(draft, FORMS.get(name or "linear"), steps, "max_train_steps")
    if draft.has("final_lr_ratio"):
        draft.unstated("learning_rate.minimum", f"{draft.at('final_lr_ratio')}: the line ends beyond the last update")
    _warmup(draft, None, "warmup_ratio", steps)
    if not draft.has("warmup_ratio") and where:
        unknown = f"{where} warmup_ratio is 0.03 of the updates, whose number the file does not state"
        draft.unstated("learning_rate.warmup_steps", unknown)
    draft.take("data.seed", "seed", 42, where and f"{where} seed", (0, 2**63))
    draft.take("data.sequence_length", "max_seq_length", limits=(1, 10**9))
    if draft.has("max_seq_length") and not draft.boolean("packing"):
        draft.note_at("max_seq_length", "the greatest length; the examples are not packed, and most are shorter")
    for key, what in (
        ("use_lora", LOW_RANK),
        ("use_qlora", LOW_RANK),
        ("use_8bit_optimizer", "moments kept in 8 bits"),
    ):
        if draft.boolean(key):
            draft.beyond(key, what)
    if draft.boolean("load_balancing_loss"):
        draft.beyond("load_balancing_loss", "a loss that balances experts")
    draft.note("the precision is an option of `accelerate launch`, which this file does not state")
    return draft.finish(SHARED, {"of the low-rank matrices": "lora_*", "of the experts": "load_balancing_weight"})


def _start(draft: Draft, model: str, adapter: str) -> None:
    draft.note(PART)
    if draft.has(model):
        draft.note_at(model, f"it starts from {shorten(draft.word(model) or '')}")
    if adapter and draft.has(adapter):
        draft.beyond(adapter, LOW_RANK)
    draft.code(f"{TRAINER}: has none", {"z_loss": 0.0})
    draft.code(f"{TRAINER}: one rate for all", {"optimizer.lr_multipliers": {}})
    draft.code(f"{TRAINER}: biases and norms", {"optimizer.not_decayed": ("bias", "norm")})
    draft.code(f"{SCHEDULES}: read before the update is counted", {"learning_rate.first": "zero"})
    draft.code(SCHEDULES, {"learning_rate.warmup_minimum": 0.0})
    draft.unstated("data.order", "drawn at random over data that are not named by files here")


def _length(draft: Draft, epochs: str, limit: str) -> int | None:
    """Put the updates that the file states; None where epochs count, which depend on the data."""
    steps = draft.integer(limit, -1)
    if steps and steps > 0:
        draft.stated("steps", limit, steps)
        draft.number(epochs, 0, 1e9)
        return steps
    said = draft.number(epochs, 0, 1e9)
    where = draft.at(epochs) + f" {said:g}" if said is not None else f"no key {epochs}"
    draft.unstated("steps", f"{where}: {EPOCHS}")
    return None


def _batch(draft: Draft, micro: str, accumulation: str) -> None:
    parts = []
    for key in (micro, accumulation):
        amount = draft.integer(key, 1, 10**7)
        parts.append(f"{draft.at(key)} {amount}" if amount else f"{key}, which is not stated,")
    draft.unstated(
        "batch_size", f"it is {parts[0]} x {parts[1]} x devices, and the file does not state the number of devices"
    )


def _axolotl_schedule(draft: Draft, steps: int | None) -> None:
    draft.take("learning_rate.peak", "learning_rate")
    name = draft.named("learning_rate.form", "lr_scheduler", FORMS, "cosine_to_min", f"{HYPERPARAMETERS} lr_scheduler")
    _ends(draft, FORMS.get(name or "cosine"), steps, "max_steps")
    share = draft.number("cosine_min_lr_ratio", 0, 1)
    peak = draft.values["learning_rate.peak"]
    if share and (name or "cosine") == "cosine" and isinstance(peak, (int, float)):
        draft.derived(
            "learning_rate.minimum", float(f"{share * peak:.15g}"), f"{draft.at('cosine_min_lr_ratio')} x the peak"
        )
    for key in ("cosine_constant_lr_ratio", "lr_quadratic_warmup", "lr_scheduler_kwargs", "eta_min"):
        entry = draft.find(key)
        if entry is not None and entry.value not in (False, {}):
            draft.beyond(key, "another form of the schedule")
            draft.unstated("learning_rate.form", f"{draft.at(key)}: another form of the schedule")
            draft.unstated("learning_rate.minimum", f"{draft.at(key)}: another form of the schedule")
    _warmup(draft, "warmup_steps", "warmup_ratio", steps)
    if not draft.has("warmup_steps") and not draft.has("warmup_ratio"):
        if steps:
            count = min(int(0.03 * steps), 100)
            where = f"{BUILDER}: 0.03 of {draft.at('max_steps')}, at most 100"
            draft.code(where, {"learning_rate.warmup_steps": 2 if count == 1 else count})
        else:
            draft.unstated("learning_rate.warmup_steps", f"{BUILDER}: 0.03 of the updates, at most 100")
    if draft.values["learning_rate.warmup_steps"] == 1:
        draft.derived("learning_rate.warmup_steps", 2, f"{BUILDER}: 2 where it is 1")
    if name == "constant":
        draft.code(f"{SCHEDULES}: constant has no warm-up", {"learning_rate.warmup_steps": 0})


def _ends(draft: Draft, form: str | None, steps: int | None, limit: str) -> None:
    """Put where a schedule of transformers ends: at 0 after all updates."""
    peak = draft.values.get("learning_rate.peak")
    if form is None:
        draft.unstated("learning_rate.minimum", "the schedule has no canonical name")
    elif form == "constant":
        draft.derived("learning_rate.minimum", peak, f"{SCHEDULES}: a constant stays at its peak")
    else:
        draft.code(f"{SCHEDULES} {form}", {"learning_rate.minimum": 0.0})
    if steps and form in {"linear", "cosine_to_min"}:
        draft.derived("learning_rate.decay_steps", steps, draft.at(limit))


def _warmup(draft: Draft, count: str | None, share: str, steps: int | None) -> None:
    """Put the warm-up: so many updates, or a share of them, rounded down."""
    name = "learning_rate.warmup_steps"
    amount = draft.number(count, 0, 1e12) if count else None
    if count and amount is not None and 0 < amount < 1:
        share, amount = count, None
    part = draft.number(share, 0, 1)
    if count and amount is not None and (amount >= 1 or amount == 0):
        draft.stated(name, count, whole(amount))
        if part:
            draft.note_at(share, f"{count} beside it takes precedence")
    elif part is not None:
        if steps or part == 0:
            how = f"{draft.at(share)}: a fraction of {steps} updates, rounded down" if part else draft.at(share)
            draft.derived(name, int((steps or 0) * part), how)
        else:
            draft.unstated(
                name, f"{draft.at(share)} {part:g}: a fraction of the updates, whose number the file does not state"
            )


def _axolotl_precision(draft: Draft) -> None:
    brain, half = draft.find("bf16"), draft.boolean("fp16")
    if draft.boolean("bfloat16") or draft.boolean("float16"):
        key = "bfloat16" if draft.boolean("bfloat16") else "float16"
        draft.beyond(key, "weights that are themselves kept in half precision")
    if brain is not None and brain.value is True:
        draft.stated("precision", "bf16", "bf16")
    elif brain is not None and brain.raw == "full":
        draft.beyond("bf16", "weights that are themselves kept in bfloat16")
        draft.stated("precision", "bf16", "bf16")
    elif half:
        draft.stated("precision", "fp16", "fp16")
    elif brain is None or brain.raw == "auto":
        where = draft.at("bf16") if brain else f"{AXOLOTL}:src/axolotl/utils/schemas/config.py bf16"
        draft.unstated("precision", f"{where}: auto is bf16 where the device has it, else fp16")
    elif brain.value is False:
        draft.stated("precision", "bf16", "fp32")
    else:
        raise draft.bad(brain, "bf16", "true, false, auto or full")
