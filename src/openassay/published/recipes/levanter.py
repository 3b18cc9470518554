"""Levanter's YAML (Marin): sections trainer, optimizer, model; defaults from its code, the model's for `type: llama` only.

`warmup` is a share of the updates up to 1, and updates above. The schedule is read at the updates done without this one.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from openassay.faults import BadInput
from openassay.published.marked import Marked, parse_marked, read_text, shorten
from openassay.published.recipes.guarded import GuardedDraft
from openassay.training.language import ReadRecipe, Value

COMMIT = "stanford-crfm/levanter@9263f81e8b453241332c2c0b2d2001bfb2d2241c"
OPTIM = f"{COMMIT}:src/levanter/optim/config.py"
TRAINER = f"{COMMIT}:src/levanter/trainer.py"
LLAMA = f"{COMMIT}:src/levanter/models/llama.py"
TRAIN = f"{COMMIT}:src/levanter/main/train_lm.py"

_INCLUDE = re.compile(r"^(\w+):[ \t]+!include[ \t]+([\w./-]+)[ \t]*$", re.MULTILINE)
IGNORED = {
    "logging": "trainer.tracker* trainer.wandb* trainer.log_* trainer.profiler* log_entropy",
    "a name": "trainer.id trainer.run_base_dir",
    "parallelism": (
        "trainer.*axis* trainer.*axes* trainer.*parallelism* trainer.replica* trainer.distributed* trainer.ray* trainer.mesh*"
    ),
    "how it is started": "trainer.require_accelerator trainer.shutdown* trainer.jax_* trainer.allow_*",
    "evaluation": "trainer.steps_per_eval trainer.max_eval_batches trainer.eval* eval_harness* trainer.per_device_eval*",
    "memory, not values": "model.gradient_checkpointing model.scan_layers model.cross_entropy_block_size",
    "the same function, another kernel": "model.attn_backend model.flash_attention_block_size model.use_flash_attention",
    "speed; rounding only": "model.upcast_attn",
    "the data files are named elsewhere": "data*",
    "storage": "trainer.checkpointer* hf_save* hf_upload* trainer.load_checkpoint*",
    "conversion": "model.reference_checkpoint",
}
BEYOND = {
    "optimizer.update_rms_clipping": "clipping of the update's size",
    "optimizer.clip_update_norm": "clipping of the update's norm",
    "optimizer.skip_bad_steps": "updates that are left out where the loss is an outlier",
    "optimizer.adamc_weight_decay": "a weight decay that follows the rate",
    "optimizer.nesterov": "Nesterov's moment",
    "trainer.quantization": "layers in fewer bits",
    "model.hybrid_norm": "norms after attention and feed-forward as well",
    "model.input_embedding_norm": "a norm on the embedding",
    "model.rope": "rotary positions with settings of their own",
    "lora": "low-rank matrices beside the weights",
    "initialize_from_hf": "a start from published weights",
    "use_hf_model_config": "another file's network",
    "trainer.initialize_from": "a start from a checkpoint of another training",
    "initialize_from_checkpoint_path": "a start from a checkpoint of another training",
    "epoch": "data read more than once",
}
"""Keys that ask for what the canonical recipe cannot express."""
FINE_TUNING = ("supervised_data", "chat_train_urls", "mixture_weights")
OWN_NETWORK = ("model.hybrid_norm", "model.input_embedding_norm", "model.rope", "use_hf_model_config")


def parse(text: str, where: str) -> Marked:
    """YAML whose sections may be `!include FILE`: the file beside it is taken in, but for the data, which bear on no value."""
    marked = parse_marked(_INCLUDE.sub(r"\1: \2", text), where)
    for section, name in _INCLUDE.findall(text):
        entry, path = marked.root.value[section], Path(where).parent / name
        if section == "data":
            continue
        if ".." in name or not path.is_file():
            raise BadInput(f"{entry.place}: !include: expected {name} beside this file, found none; fetch it too")
        marked.root.value[section] = replace(parse_marked(read_text(path), str(path)).root, name=section)
    return marked


def recognise(marked: Marked) -> bool:
    """Whether the file has Levanter's trainer and network."""
    root = marked.root.value
    if not isinstance(root, dict) or not {"trainer", "model"} <= set(root):
        return False
    trainer, model = root["trainer"].value, root["model"].value
    if not isinstance(trainer, dict) or not isinstance(model, dict):
        return False
    own = {"train_batch_size", "mp", "model_axis_size", "tracker", "per_device_eval_parallelism"}
    trains = "num_train_steps" in trainer or ("optimizer" in root and bool(own & set(trainer)))
    return trains and bool({"type", "hidden_dim"} & set(model))


def read(marked: Marked) -> ReadRecipe:
    """The recipe of a Levanter file. `BadInput` for one of its fine-tuning, whose data have another form."""
    if tuned := [key for key in FINE_TUNING if key in marked.root.value]:
        place = marked.root.value[tuned[0]].place
        raise BadInput(f"{place}: {tuned[0]}: expected Levanter's pre-training, found fine-tuning, which is not read")
    kind = marked.root.at("model.type")
    if kind is not None and kind.raw == "whisper":
        raise BadInput(f"{kind.place}: model.type: expected a language model, found whisper, which hears speech")
    draft = GuardedDraft("levanter", marked)
    for key, what in BEYOND.items():
        entry = draft.find(key)
        if entry is not None and entry.value is not False and entry.value != 0:
            draft.beyond(key, what)
            for name in entry.value if isinstance(entry.value, dict) else ():
                draft.used.add(f"{key}.{name}")
    _network(draft)
    _optimizer(draft)
    _run(draft)
    _learning_rate(draft)
    return draft.finish(IGNORED)


def _network(draft: GuardedDraft) -> None:
    kind = draft.word("model.type")
    llama = kind == "llama"
    keys: tuple[tuple[str, str, Value], ...] = (
        ("hidden_size", "hidden_dim", 4096),
        ("intermediate_size", "intermediate_dim", 11008),
        ("num_layers", "num_layers", 32),
        ("num_heads", "num_heads", 32),
        ("num_kv_heads", "num_kv_heads", 32),
        ("head_size", "head_dim", None),
        ("max_position", "seq_len", 2048),
        ("norm_eps", "layer_norm_epsilon", 1e-5),
        ("tied_embeddings", "tie_word_embeddings", False),
        ("bias", "use_bias", False),
    )
    for name, key, default in keys:
        draft.take(f"architecture.{name}", f"model.{key}", default, f"{LLAMA} {key}" if llama else "")
    draft.take("initialisation.std", "model.initializer_range", 0.02, f"{LLAMA} initializer_range" if llama else "")
    length = draft.values["architecture.max_position"]
    where = draft.origins["architecture.max_position"].where
    if isinstance(length, int):
        draft.derived("data.sequence_length", length, f"model.seq_len: {where}")
        draft.derived("data.item_length", length, f"model.seq_len: {where}: inputs and labels are the same tokens")
    draft.unstated(
        "architecture.vocab_size", "it is the tokenizer's, padded to the devices, which the file does not state"
    )
    if not llama:
        draft.unstated("architecture.family", f"{draft.at('model.type')}: {shorten(kind or 'no type')} is not read")
        return
    activation = draft.word("model.activation_function")
    gated = activation in {None, "silu"} and not draft.why_not("model.activation_function")
    weights = draft.boolean("model.use_layer_norm_weight") is not False
    own = [key for key in OWN_NETWORK if (entry := draft.find(key)) and entry.value is not False]
    plain = draft.values["architecture.bias"] is False and gated and weights and not own
    if gated:
        default_at = f"{LLAMA} activation_function is silu"
        draft.stated(
            "architecture.activation",
            "model.activation_function",
            "swiglu" if activation else None,
            "swiglu",
            default_at,
        )
    fixed: dict[str, Value] = {"norm": "rms_norm", "rotary_share": 1.0, "parallel_residual": False, "qk_norm": False}
    draft.code(LLAMA, {f"architecture.{name}": value for name, value in fixed.items()})
    if "model.rope" in own:
        draft.unstated("architecture.rotary_share", f"{draft.at('model.rope')}: its settings are not read")
    else:
        draft.code(f"{COMMIT}:src/levanter/models/rotary.py theta", {"architecture.rotary_base": 10000.0})
    if not weights:
        draft.beyond("model.use_layer_norm_weight", "an RMS norm without weights")
    if plain:
        draft.derived("architecture.family", "llama", draft.at("model.type"))
    else:
        draft.unstated("architecture.family", f"{draft.at('model.type', *own)}: with keys that make another network")


def _optimizer(draft: GuardedDraft) -> None:
    names: dict[str, Value] = {"adam": "adamw"}
    kind = (
        draft.named("optimizer.name", "optimizer.type", names, "adamw", f"{OPTIM}: adam, its decay decoupled") or "adam"
    )
    if draft.values["optimizer.name"] is None:
        for name in ("betas", "eps", "not_decayed"):
            draft.unstated(f"optimizer.{name}", f"{draft.at('optimizer.type')}: of {shorten(kind)}, which is not read")
    else:
        one, two = (draft.number(f"optimizer.beta{at}", 0, 1) for at in (1, 2))
        both = (0.9 if one is None else one, 0.95 if two is None else two)
        draft.partly("optimizer.betas", both, ("optimizer.beta1", "optimizer.beta2"), f"{OPTIM} beta1, beta2")
        draft.take("optimizer.eps", "optimizer.epsilon", 1e-8, f"{OPTIM} epsilon")
        masked = [
            key for key in ("optimizer.weight_decay_modules", "optimizer.default_weight_decay_mask") if draft.has(key)
        ]
        if masked:
            draft.unstated("optimizer.not_decayed", f"{draft.at(*masked)}: a mask of its own, which is not read")
        else:
            draft.code(f"{OPTIM} build_weight_decay_mask", {"optimizer.not_decayed": ("bias", "norm", "embedding")})
        draft.code(f"{OPTIM}: one rate for all", {"optimizer.lr_multipliers": {}})
        if draft.why_not("optimizer.max_grad_norm"):
            draft.put(
                "clip_norm", None, "stated", f"{draft.at('optimizer.max_grad_norm')}: null, so nothing is clipped"
            )
        elif draft.take("clip_norm", "optimizer.max_grad_norm", 1.0, f"{OPTIM} max_grad_norm") == 0:
            draft.put("clip_norm", None, "stated", f"{draft.at('optimizer.max_grad_norm')}: 0, so nothing is clipped")
    draft.take("optimizer.weight_decay", "optimizer.weight_decay", 0.1, f"{OPTIM} weight_decay")


def _run(draft: GuardedDraft) -> None:
    entry = draft.find("trainer.train_batch_size")
    if entry is not None and isinstance(entry.value, (list, dict)):
        draft.beyond("trainer.train_batch_size", "a batch that changes")
        draft.unstated(
            "batch_size", f"{draft.at('trainer.train_batch_size')}: the batch changes, so there is no one size"
        )
    else:
        draft.take("batch_size", "trainer.train_batch_size", 512, f"{TRAINER} train_batch_size")
    steps = draft.take("steps", "trainer.num_train_steps", 400_000, f"{TRAINER} num_train_steps")
    batch, length = draft.values["batch_size"], draft.values.get("data.sequence_length")
    if isinstance(steps, int) and isinstance(batch, int) and isinstance(length, int):
        how = f"{draft.at('trainer.num_train_steps')} x batch x seq_len"
        draft.derived("tokens_total", steps * batch * length, how)
    draft.take("data.seed", "trainer.seed", 0, f"{TRAINER} seed", (0, 2**63))
    if draft.has("data_seed"):
        draft.take("data.seed", "data_seed", limits=(0, 2**63))
    draft.derived("data.order", "unknown", "Levanter's order of the cache is not one that the canonical recipe names")
    draft.unstated("data.files", "the section data names raw files, and not files of tokens")
    draft.take("z_loss", "z_loss_weight", 0.0, f"{TRAIN} z_loss_weight")
    policy = draft.word("trainer.mp")
    if policy is None:
        draft.stated("precision", "trainer.mp", None, "fp32", f"{TRAINER} mp is f32")
        return
    parts = dict(part.strip().partition("=")[::2] for part in policy.split(","))
    computed = parts.get("c", parts.get("compute", policy if "=" not in policy else ""))
    names = {"bfloat16": "bf16", "bf16": "bf16", "float32": "fp32", "f32": "fp32", "float16": "fp16", "f16": "fp16"}
    if computed in names:
        draft.put("precision", names[computed], "stated", draft.at("trainer.mp"))
    else:
        draft.nameless("precision", "trainer.mp", policy)


def _learning_rate(draft: GuardedDraft) -> None:
    rate = draft.take("learning_rate.peak", "optimizer.learning_rate", 6e-4, f"{OPTIM} learning_rate")
    forms: dict[str, Value] = {"cosine": "cosine_to_min", "linear": "linear", "constant": "constant"}
    entry = draft.find("optimizer.lr_schedule")
    if entry is not None and isinstance(entry.value, dict):
        draft.unstated(
            "learning_rate.form", f"{draft.at('optimizer.lr_schedule')}: a schedule with settings of its own"
        )
        draft.used |= {f"optimizer.lr_schedule.{key}" for key in entry.value}
    else:
        draft.named(
            "learning_rate.form", "optimizer.lr_schedule", forms, "cosine_to_min", f"{OPTIM} lr_schedule is cosine"
        )
    ratio = draft.number("optimizer.min_lr_ratio", 0, 1)
    if isinstance(rate, (int, float)) and not draft.why_not("optimizer.min_lr_ratio"):
        kind = "code default" if ratio is None else "derived"
        where = (
            f"{OPTIM} min_lr_ratio is 0.1" if ratio is None else f"{draft.at('optimizer.min_lr_ratio')} x learning_rate"
        )
        draft.put("learning_rate.minimum", rate * (0.1 if ratio is None else ratio), kind, where)
    draft.code(
        f"{OPTIM}: the warm-up starts at 0", {"learning_rate.warmup_minimum": 0.0, "learning_rate.first": "zero"}
    )
    staged = [key for key in ("decay", "cycles", "cycle_length", "cooldown", "haps") if draft.has(f"optimizer.{key}")]
    draft.find("optimizer.rewarmup")
    steps = draft.values["steps"]
    if staged:
        place = draft.at(*(f"optimizer.{key}" for key in staged))
        for name in ("form", "decay_steps", "warmup_steps"):
            draft.unstated(f"learning_rate.{name}", f"{place}: stages or cycles, which have no canonical name")
        draft.number("optimizer.warmup", 0, 1e12)
        return
    if not isinstance(steps, int):
        return
    draft.derived("learning_rate.decay_steps", steps, f"{OPTIM}: all updates, {draft.origins['steps'].where}")
    warmup = draft.number("optimizer.warmup", 0, 1e12)
    amount = 0.01 if warmup is None else warmup
    if why := draft.why_not("optimizer.warmup"):
        draft.unstated("learning_rate.warmup_steps", why)
    elif amount > 1 and amount % 1:
        raise draft.refusal("optimizer.warmup", "a share up to 1, or whole updates", f"{amount:g}")
    elif amount > 1:
        draft.stated("learning_rate.warmup_steps", "optimizer.warmup", int(amount))
    else:
        where = draft.at("optimizer.warmup") if warmup is not None else f"{OPTIM} warmup is 0.01"
        kind = "derived" if warmup is not None else "code default"
        draft.put("learning_rate.warmup_steps", int(amount * steps), kind, f"{where} x {steps} updates, rounded down")
    if draft.values["learning_rate.form"] == "constant":
        draft.derived("learning_rate.decay_steps", None, f"{draft.at('optimizer.lr_schedule')}: it has no end")
