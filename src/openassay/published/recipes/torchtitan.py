"""torchtitan's TOML (v0.1 to v0.2): sections model, optimizer, lr_scheduler, training; defaults from its job_config.py at v0.2.0.

The warm-up is read at the number of updates done, this one included, and the decay at the number without it, so that no form
of the canonical recipe is the same. The batch of all devices is stated only by `training.global_batch_size`.
"""

from __future__ import annotations

from openassay.faults import BadInput
from openassay.published.marked import Marked, shorten
from openassay.published.recipes.guarded import GuardedDraft
from openassay.training.language import ReadRecipe, Value

COMMIT = "pytorch/torchtitan@29624e37fa6dd319fd671b009338651b5c665da2"
CONFIG = f"{COMMIT}:torchtitan/config/job_config.py"
SCHEDULE = f"{COMMIT}:torchtitan/components/lr_scheduler.py"
LLAMA = f"{COMMIT}:torchtitan/models/llama3"
SIZES: dict[str, tuple[int, int, int, int]] = {
    "8B": (4096, 32, 32, 14336),
    "70B": (8192, 80, 64, 28672),
    "405B": (16384, 126, 128, 53248),
}
"""Llama 3's flavors: width, layers, heads, units of the feed-forward block; each has 8 heads of keys."""
SECTIONS = {"model", "optimizer", "training"}
OTHER_VERSION = (
    "training.batch_size", "training.warmup_steps", "training.data_parallel_degree", "training.mixed_precision",
    "lr_scheduler.lr_min", "experimental", "model.norm_type", "training.compile",
    "training.data_parallel_shard_degree", "training.tensor_parallel_degree", "training.global_max_norm",
)  # fmt: skip
"""Keys that v0.2.0 does not have: where one stands, its defaults are not this file's."""
NO_LANGUAGE = {"flux", "flux-dev", "flux-schnell", "vlm", "llama3-siglip2"}
IGNORED = {
    "of model.converters only": "quantize* float8* mx*",
    "where, not what": "job*",
    "logging": "profiling* metrics* comm* model.print_after_conversion",
    "parallelism": "parallelism* fault_tolerance*",
    "speed; rounding only": "compile* optimizer.implementation optimizer.f* memory_estimation* training.gc_*",
    "memory, not values": "activation_checkpoint* training.enable_cpu_offload optimizer.early_step_in_backward",
    "evaluation": "validation* eval*",
    "a path": "model.tokenizer_path model.hf_assets_path",
    "storage": (
        "checkpoint.folder checkpoint.enable* checkpoint.*_async* checkpoint.async* checkpoint.export* checkpoint.keep* "
        "checkpoint.last* checkpoint.model* checkpoint.interval_type checkpoint.create*"
    ),
}


def recognise(marked: Marked) -> bool:
    """Whether the file has torchtitan's sections and the keys that say how long it trains."""
    root = marked.root.value
    if (
        not isinstance(root, dict)
        or not set(root) >= SECTIONS
        or not all(isinstance(root[one].value, dict) for one in SECTIONS)
    ):
        return False
    return {"name", "flavor"} <= set(root["model"].value) and bool({"steps", "seq_len"} & set(root["training"].value))


def read(marked: Marked) -> ReadRecipe:
    """The recipe of a torchtitan file. `BadInput` for one that trains no language model."""
    kind = marked.root.value["model"].value["name"]
    if kind.raw in NO_LANGUAGE:
        raise BadInput(f"{kind.place}: model.name: expected a language model, found {kind.raw}")
    draft = GuardedDraft("torchtitan", marked)
    if old := [key for key in OTHER_VERSION if draft.has(key)]:
        draft.open_because = f"{draft.at(old[0])}: a key of another version than v0.2.0, whose defaults are not cited"
        draft.note(draft.open_because)
    _network(draft)
    names = {"AdamW": "adamw"}
    draft.named("optimizer.name", "optimizer.name", names, "adamw", f"{CONFIG} optimizer.name")
    one, two = draft.number("optimizer.beta1", 0, 1), draft.number("optimizer.beta2", 0, 1)
    why = draft.why_not("optimizer.beta1", "optimizer.beta2")
    if why and None in (one, two):
        draft.unstated("optimizer.betas", why)
    else:
        both = (0.9 if one is None else one, 0.95 if two is None else two)
        draft.partly("optimizer.betas", both, ("optimizer.beta1", "optimizer.beta2"), f"{CONFIG} beta1, beta2")
    draft.take("optimizer.eps", "optimizer.eps", 1e-8, f"{CONFIG} eps")
    draft.take("optimizer.weight_decay", "optimizer.weight_decay", 0.1, f"{CONFIG} weight_decay")
    if not draft.open_because:
        everything = f"{COMMIT}:torchtitan/components/optimizer.py: one group, so that all are decayed"
        draft.code(everything, {"optimizer.not_decayed": (), "optimizer.lr_multipliers": {}, "z_loss": 0.0})
    _learning_rate(draft)
    _run(draft)
    return draft.finish(IGNORED)


def _network(draft: GuardedDraft) -> None:
    name, flavor = draft.word("model.name"), draft.word("model.flavor") or ""
    place = draft.at("model.name", "model.flavor")
    if draft.items("model.converters"):
        draft.beyond("model.converters", "layers that are converted (float8)")
    if name != "llama3" or flavor not in SIZES or draft.open_because:
        unknown = "the code has the sizes, and this reader knows only llama3's 8B, 70B and 405B at v0.2.0"
        for value in ("family", "hidden_size", "num_layers", "num_heads", "vocab_size"):
            draft.unstated(f"architecture.{value}", f"{place}: {unknown}")
        return
    width, layers, heads, inner = SIZES[flavor]
    fixed: dict[str, Value] = {
        "family": "llama", "vocab_size": 128256, "hidden_size": width, "num_layers": layers, "num_heads": heads,
        "num_kv_heads": 8, "intermediate_size": inner, "activation": "swiglu", "norm": "rms_norm", "norm_eps": 1e-5,
        "rotary_share": 1.0, "rotary_base": 500000.0, "bias": False, "tied_embeddings": False, "qk_norm": False,
        "attention_dropout": 0.0, "hidden_dropout": 0.0, "parallel_residual": False,
    }  # fmt: skip
    draft.code(f"{LLAMA}/__init__.py {flavor}", {f"architecture.{key}": value for key, value in fixed.items()})
    scaled = "rotary frequencies are scaled as in Llama 3.1 (factor 8), which the canonical recipe cannot express"
    draft.note(f"{place}: {LLAMA}/model/args.py: {scaled}")
    draft.unstated("architecture.rotary_base", f"{LLAMA}/model/args.py: {scaled}")
    draft.unstated("architecture.family", f"{LLAMA}/model/args.py: {scaled}")
    draft.code(
        f"{LLAMA}/model/model.py: cut normal, less in deeper layers' outputs", {"initialisation.method": "trunc_normal"}
    )


def _learning_rate(draft: GuardedDraft) -> None:
    rate = draft.take("learning_rate.peak", "optimizer.lr", 8e-4, f"{CONFIG} lr")
    forms: dict[str, Value] = {"linear": "linear", "cosine": "cosine_to_min"}
    draft.word("lr_scheduler.decay_type", ("linear", "sqrt", "cosine"))
    draft.named("learning_rate.form", "lr_scheduler.decay_type", forms, "linear", f"{CONFIG} decay_type")
    if draft.has("lr_scheduler.decay_ratio"):
        draft.beyond("lr_scheduler.decay_ratio", "a stretch at the peak before the decay")
        draft.unstated(
            "learning_rate.form",
            f"{draft.at('lr_scheduler.decay_ratio')}: warm-up, stable, decay has no canonical name",
        )
    factor = draft.number("lr_scheduler.min_lr_factor", 0, 1)
    why = draft.why_not("lr_scheduler.min_lr_factor")
    if factor is None and why:
        draft.unstated("learning_rate.minimum", why)
    elif isinstance(rate, (int, float)):
        how = f"{draft.at('lr_scheduler.min_lr_factor')} x {draft.at('optimizer.lr')}"
        absent = f"{CONFIG} min_lr_factor is 0"
        kind = "code default" if factor is None else "derived"
        draft.put("learning_rate.minimum", (factor or 0.0) * rate, kind, absent if factor is None else how)
    key = draft.first("lr_scheduler.warmup_steps", "training.warmup_steps")
    draft.take("learning_rate.warmup_steps", key, 200, f"{CONFIG} warmup_steps")
    odd = "the warm-up is read at update k + 1 and the decay at k, which neither canonical word says"
    draft.unstated("learning_rate.first", f"{SCHEDULE}: {odd}")


def _run(draft: GuardedDraft) -> None:
    length = draft.take("data.sequence_length", "training.seq_len", 2048, f"{CONFIG} seq_len")
    draft.stated("architecture.max_position", "training.seq_len", length)
    if isinstance(length, int):
        draft.derived(
            "data.item_length", length + 1, f"{draft.at('training.seq_len')}: inputs and labels are cut from one item"
        )
    batch = draft.integer("training.global_batch_size", -1, 10**9)
    local = draft.integer("training.local_batch_size", 1, 10**9)
    draft.integer("training.batch_size", 1, 10**9)
    if batch is not None and batch > 0:
        draft.take("batch_size", "training.global_batch_size")
    else:
        said = f" {local}" if local else ""
        draft.unstated(
            "batch_size", f"{draft.at('training.local_batch_size')}:{said} a device, and the devices are not stated"
        )
    steps = draft.take("steps", "training.steps", 10000, f"{CONFIG} steps")
    if draft.values["learning_rate.form"] and isinstance(steps, int):
        draft.derived("learning_rate.decay_steps", steps, f"{SCHEDULE}: to the end, {draft.origins['steps'].where}")
    if isinstance(steps, int) and isinstance(length, int) and batch and batch > 0:
        draft.derived("tokens_total", steps * batch * length, f"{draft.at('training.steps')} x batch x seq_len")
    draft.take("clip_norm", "training.max_norm", 1.0, f"{CONFIG} max_norm")
    draft.take("data.seed", "training.seed", limits=(0, 2**63))
    dataset = draft.word("training.dataset")
    draft.word("training.dataset_path")
    files = f"{draft.at('training.dataset')}: {shorten(dataset or 'no name')} is a data set's name, not files of tokens"
    draft.unstated("data.files", files)
    kinds: dict[str, Value] = {"bfloat16": "bf16", "float32": "fp32"}
    draft.named("precision", "training.mixed_precision_param", kinds, "bf16", f"{CONFIG} mixed_precision_param")
    draft.word("training.mixed_precision_reduce")
    if draft.word("training.dtype") == "bfloat16":
        draft.beyond("training.dtype", "weights and moments kept in bfloat16")
    if draft.boolean(draft.first("checkpoint.enable", "checkpoint.enable_checkpoint")):
        every = draft.integer("checkpoint.interval", 1)
        if every and isinstance(steps, int):
            draft.checkpoints(steps, [every], f"{draft.at('checkpoint.interval')}, and the last update", steps)
    draft.integer("checkpoint.interval", 1)
    if draft.has("checkpoint.initial_load_path"):
        draft.note_at("checkpoint.initial_load_path", "the training continues from a checkpoint of another training")
