"""OpenLM: a scale's JSON of DCLM, the network's JSON that it names, and OpenLM's arguments (YAML, or the `params.txt` it writes).

The warm-up is read at the number of updates done, this one included, and the cosine at the number without it, so that no form of
the canonical recipe is the same. The tokens are multiplied by `chinchilla_multiplier`.
"""

from __future__ import annotations

import ast
import re
from dataclasses import replace

from openassay.faults import BadInput
from openassay.published.marked import Entry, Marked, shorten
from openassay.published.recipes.guarded import GuardedDraft
from openassay.training.language import ReadRecipe, Value

DCLM = "mlfoundations/dclm@361714bdd60bb9b7f4b2d8354cebbf0dec0c329e"
OPEN_LM = "mlfoundations/open_lm@9bb92ef1689333534b7057942a20d18a46d1fa52"
ARGS = f"{DCLM}:training/params.py"
MODEL = f"{OPEN_LM}:open_lm/model.py"
ODD = f"{OPEN_LM}:open_lm/scheduler.py: the warm-up is read at update k + 1 and the cosine at k, which no canonical word says"
SCALE = {"model", "tokens", "warmup", "lr", "wd", "cd", "global_bs", "acc"}
NETWORK = {"hidden_dim", "n_layers", "n_heads", "seq_len", "vocab_size", "post_embed_norm", "weight_tying"}
IGNORED = {
    "memory: how the batch is cut": "acc",
    "memory, not values": "grad_checkpointing",
    "counts, not settings": "params params_no_embed",
}


OWN = {
    "z_loss_coefficient", "model_norm", "ffn_type", "qk_norm", "attn_name", "dataset_manifest", "fsdp", "data_key", "moe_freq",
    "positional_embedding_type", "target_mask_left", "fsdp_amp", "fsdp_pure_bf16", "train_num_samples", "lr_cooldown_end",
}  # fmt: skip
CLIP = {
    "lock_image",
    "force_quick_gelu",
    "zeroshot_frequency",
    "imagenet_val",
    "local_loss",
    "gather_with_grad",
    "aug_cfg",
}
"""Keys of OpenCLIP, from which OpenLM's arguments come."""
ARGUMENTS = {
    "logging": "log* report_to wandb* debug verbose name *local_rank tensorboard* save_logs",
    "a path": "logs resume remote_sync* checkpoint_path *_path copy_codebase pretrained config",
    "parallelism": "fsdp* ddp* dist* world_size rank device local_rank no_set_device_rank force_distributed preset_world_size",
    "memory, not values": "grad_checkpointing accum_freq per_gpu* workers experimental_meta_device",
    "speed; rounding only": "torchcompile torchscript trace use_bn_sync",
    "evaluation": "val_* global_val_batch_size",
    "storage": "save_* delete_previous_checkpoint",
    "where the data are": "data_* train_data* dataset_* ignore_parse_errors disable_buffer multiple_data_passes",
    "averages of the weights beside the training": "average* averagers",
    "the same function, another kernel": "attn_name attn_seq_scalar* attn_activation",
    "of experts": "moe_*",
    "of a network of Hugging Face": "hf_*",
}


def parse_arguments(text: str, where: str) -> Marked:
    """The lines `name: value` of a params.txt, each value as Python prints it. `BadInput` for another line."""
    found: dict[str, Entry] = {}
    for line, given in enumerate(text.split("\n"), 1):
        if not given.strip():
            continue
        match = re.match(r"([a-z]\w*): (.*)\Z", given.rstrip("\r"))
        if not match or len(given) > 100_000:
            raise BadInput(
                f"{where}:{line}: expected a line `name: value` of OpenLM's params.txt, found {shorten(given)}"
            )
        name, raw = match[1], match[2]
        try:
            value = ast.literal_eval(raw)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            value = raw
        kept = value if value is None or isinstance(value, (bool, int, float, str)) else raw
        found[name] = Entry(kept, where, line, raw[:400], isinstance(kept, str), name)
    return Marked(where, Entry(found, where, 1), is_json=True)


def is_arguments(marked: Marked) -> bool:
    """Whether the file has the keys of OpenLM's arguments."""
    root = marked.root.value
    keys = {key.replace("-", "_") for key in root} if isinstance(root, dict) else set()
    return keys >= {"lr", "wd", "warmup"} and len(keys & OWN) >= 2 and not keys & CLIP


def read_params(marked: Marked) -> ReadRecipe:
    """As `read_arguments`, of a params.txt."""
    return read_arguments(marked, "open_lm_params")


def read_arguments(marked: Marked, name: str = "open_lm") -> ReadRecipe:
    """The recipe of OpenLM's arguments; the network stands in the file that `model` names."""
    root = {key.replace("-", "_"): entry for key, entry in marked.root.value.items()}
    draft = GuardedDraft(name, replace(marked, root=replace(marked.root, value=root)))
    where = f"{OPEN_LM}:open_lm/params.py"
    if "batch_size" in root:
        draft.open_because = f"{draft.at('batch_size')}: a key of an older version, whose defaults are not known"
    if draft.has("model"):
        draft.note_at("model", "the network stands in the file of this name; read both files together")
    names: dict[str, Value] = {"adamw": "adamw"}
    draft.named("optimizer.name", "optimizer", names, "adamw", f"{where} optimizer")
    one, two = draft.number("beta1", 0, 1), draft.number("beta2", 0, 1)
    if draft.open_because and None in {one, two}:
        draft.unstated("optimizer.betas", draft.open_because)
    else:
        both = (0.9 if one is None else one, 0.95 if two is None else two)
        draft.partly("optimizer.betas", both, ("beta1", "beta2"), f"{where} beta1, beta2")
    draft.take("optimizer.eps", "eps", 1e-8, f"{where} eps")
    draft.take("optimizer.weight_decay", "wd")
    everything = f"{OPEN_LM}:open_lm/main.py: no_decay_params is empty, so that all are decayed"
    if not draft.open_because:
        draft.code(everything, {"optimizer.not_decayed": (), "optimizer.lr_multipliers": {}})
    draft.take("clip_norm", "grad_clip_norm", None, f"{where} grad_clip_norm is None: no clipping")
    draft.take("z_loss", "z_loss_coefficient", 0.0, f"{where} z_loss_coefficient")
    draft.take("data.seed", "seed", 0, f"{where} seed", (0, 2**63))
    draft.take("architecture.qk_norm", "qk_norm")
    draft.take("architecture.vocab_size", "vocab_size")
    _norm(draft, "model_norm") if draft.has("model_norm") else draft.unstated("architecture.norm", "no key model_norm")
    draft.word("ffn_type"), draft.word("positional_embedding_type")
    for key, what in (
        ("moe_num_experts", "layers of experts"),
        ("target_mask_left", "labels that bear no loss"),
        ("target_mask_individual", "labels that bear no loss"),
        ("pretrained", "weights that another training left"),
        ("distill_model", "a loss towards another network"),
        ("epochs_cooldown", "a decay after a stretch at the peak"),
    ):
        if draft.has(key):
            draft.beyond(key, what)
    if draft.has("hf_model"):
        draft.note_at("hf_model", "the network is that of Hugging Face's model of this name")
    _arguments_rate(draft, where)
    _arguments_run(draft, where)
    draft.number("lr_cooldown_power"), draft.boolean("squash_mask_left")
    return draft.finish(ARGUMENTS)


def _arguments_rate(draft: GuardedDraft, where: str) -> None:
    peak = draft.take("learning_rate.peak", "lr")
    forms: dict[str, Value] = {"cosine": "cosine_to_min", "const": "constant"}
    kind = draft.named("learning_rate.form", "lr_scheduler", forms, "cosine_to_min", f"{where} lr_scheduler")
    draft.take("learning_rate.warmup_steps", "warmup")
    draft.take("learning_rate.minimum", "lr_cooldown_end", 0.0, f"{where} lr_cooldown_end")
    if kind == "const":
        draft.derived("learning_rate.minimum", peak, f"{draft.at('lr_scheduler')}: a constant stays at its peak")
    if draft.number("force_min_lr", 0, 1000):
        draft.beyond("force_min_lr", "a floor under the rate")
    if draft.boolean("skip_scheduler"):
        draft.beyond("skip_scheduler", "no schedule is followed")
        draft.unstated("learning_rate.form", f"{draft.at('skip_scheduler')}: no schedule is followed")
    draft.unstated("learning_rate.first", ODD)


def _arguments_run(draft: GuardedDraft, where: str) -> None:
    batch = draft.take("batch_size", "global_batch_size", 64, f"{where} global_batch_size")
    if draft.integer("batch_size", 1):
        draft.unstated(
            "batch_size", f"{draft.at('batch_size')}: of a device, in an older version; the devices are not stated"
        )
    length = draft.take("data.sequence_length", "seq_len")
    amount, epochs = draft.integer("train_num_samples", 1), draft.integer("epochs", 1, 10**6)
    at = draft.at("train_num_samples", "epochs")
    if draft.open_because:
        draft.unstated("tokens_total", draft.open_because)
    elif amount and epochs and length:  # params.txt: OpenLM has divided the tokens by the length
        draft.derived(
            "tokens_total", amount * length * epochs, f"{at}, {draft.at('seq_len')}: sequences x length x epochs"
        )
    elif amount and epochs:
        draft.derived("tokens_total", amount * epochs, f"{at}: tokens x epochs")
    if amount and epochs and length and batch and draft.has("dataset_manifest"):
        steps = amount * epochs // batch
        draft.derived("steps", steps, f"{at} // {draft.at('global_batch_size')}")
        draft.derived("learning_rate.decay_steps", steps, "to the last update")
    else:
        draft.unstated(
            "steps", f"{at}: the updates follow from the length or the data's shards, which the file does not state"
        )
    kinds: dict[str, Value] = {
        "amp_bf16": "bf16",
        "amp_bfloat16": "bf16",
        "bf16": "bf16",
        "fp16": "fp16",
        "fp32": "fp32",
        "amp": "fp16",
    }
    draft.named("precision", "precision", kinds, "fp16", f"{where} precision is amp")
    if draft.boolean("fsdp_pure_bf16"):
        draft.beyond("fsdp_pure_bf16", "weights and moments kept in bfloat16")


def is_scale(marked: Marked) -> bool:
    """Whether the file has the keys of DCLM's scales."""
    return isinstance(marked.root.value, dict) and set(marked.root.value) >= SCALE


def is_network(marked: Marked) -> bool:
    """Whether the file has the keys of OpenLM's networks."""
    return isinstance(marked.root.value, dict) and set(marked.root.value) >= NETWORK


def read_scale(marked: Marked) -> ReadRecipe:
    """The recipe of one of DCLM's scales; its network stands in the file that `model` names."""
    draft = GuardedDraft("dclm", marked)
    draft.word("model")
    draft.note_at("model", "the network stands in that file; read both files together")
    draft.code(f"{OPEN_LM}:open_lm/main.py: torch.optim.AdamW", {"optimizer.name": "adamw"})
    draft.code(
        f"{ARGS} --beta2; {OPEN_LM}:open_lm/params.py beta1, eps",
        {"optimizer.betas": (0.9, 0.95), "optimizer.eps": 1e-8},
    )
    draft.take("optimizer.weight_decay", "wd")
    everything = f"{OPEN_LM}:open_lm/main.py: no_decay_params is empty, so that all are decayed"
    draft.code(everything, {"optimizer.not_decayed": (), "optimizer.lr_multipliers": {}})
    draft.take("learning_rate.peak", "lr")
    draft.take("learning_rate.minimum", "cd")
    draft.take("learning_rate.warmup_steps", "warmup")
    draft.code(f"{OPEN_LM}:open_lm/params.py lr_scheduler", {"learning_rate.form": "cosine_to_min"})
    draft.code(f"{OPEN_LM}:open_lm/scheduler.py", {"learning_rate.warmup_minimum": 0.0})
    draft.unstated("learning_rate.first", ODD)
    draft.take("batch_size", "global_bs")
    tokens, times = draft.integer("tokens", 1), draft.number("chinchilla_multiplier", 0, 1e6)
    if tokens and times is not None:
        draft.derived("tokens_total", int(tokens * times), draft.at("tokens", "chinchilla_multiplier"))
    elif tokens:
        draft.unstated(
            "tokens_total", f"{draft.at('tokens')}: times chinchilla_multiplier, which the file does not state"
        )
    draft.unstated("steps", "the updates follow from the shards of the data, which the file does not state")
    draft.take("architecture.qk_norm", "qk_norm")
    draft.take("z_loss", "z_loss")
    draft.code(f"{ARGS} --grad-clip-norm", {"clip_norm": 1.0})
    draft.take("data.seed", "seed", limits=(0, 2**63))
    flags = draft.words("fsdp_flags") or ()
    if "--fsdp-pure-bf16" in flags:
        draft.put("precision", "bf16", "stated", draft.at("fsdp_flags"))
        draft.beyond("fsdp_flags", "weights and moments kept in bfloat16")
    elif "--fsdp-amp" in flags:
        draft.put("precision", "bf16", "stated", draft.at("fsdp_flags"))
    draft.take("architecture.vocab_size", "vocab_size", 50432, f"{DCLM}:training/hyperparameters.py vocab_size")
    _norm(draft, "norm")
    masked = "labels before a token 50300, and 50400, bear no loss, which the canonical recipe cannot express"
    draft.note(f"{ARGS} --target-mask-left, --target-mask-individual: {masked}")
    return draft.finish(IGNORED)


def _norm(draft: GuardedDraft, key: str) -> None:
    names: dict[str, Value] = {"default_layer_norm": "layer_norm", "rms_norm": "rms_norm"}
    word = draft.word(key)
    if word in names:
        draft.named("architecture.norm", key, names)
    elif word:
        draft.nameless("architecture.norm", key, word)
    else:
        default = "gain_only_lp_layer_norm, a layer norm without a bias, has no canonical name"
        draft.unstated("architecture.norm", f"{DCLM}:training/hyperparameters.py norm: {default}")


def read_network(marked: Marked) -> ReadRecipe:
    """The network of an OpenLM JSON; what the command line may give besides stays unstated."""
    draft = GuardedDraft("open_lm_network", marked)
    width = draft.take("architecture.hidden_size", "hidden_dim")
    draft.take("architecture.num_layers", "n_layers")
    heads = draft.take("architecture.num_heads", "n_heads")
    draft.heads_divide(width, "n_heads", heads)
    draft.derived("architecture.num_kv_heads", heads, "as many as heads: this format has no others")
    draft.take("architecture.vocab_size", "vocab_size")
    draft.take("architecture.max_position", "seq_len")
    draft.take("data.sequence_length", "seq_len")
    draft.take("architecture.tied_embeddings", "weight_tying")
    draft.take("architecture.qk_norm", "qk_norm")
    if draft.boolean("post_embed_norm"):
        draft.beyond("post_embed_norm", "a norm on the embedding")
    kinds: dict[str, Value] = {"swiglu": "swiglu", "swiglu_torch": "swiglu", "gelu": "gelu"}
    kind = draft.named("architecture.activation", "ffn_type", kinds)
    if kind in {"swiglu", "swiglu_torch"} and isinstance(width, int):
        size = 256 * ((int(2 * 4 * width / 3) + 255) // 256)
        draft.code(f"{MODEL}: 8/3 x hidden_dim, up to a multiple of 256", {"architecture.intermediate_size": size})
    elif kind == "gelu" and isinstance(width, int):
        draft.code(f"{MODEL}: 4 x hidden_dim", {"architecture.intermediate_size": 4 * width})
    word = draft.word("positional_embedding_type")
    if word == "rotary":
        draft.put("architecture.rotary_share", 1.0, "stated", draft.at("positional_embedding_type"))
    _norm(draft, "model_norm") if draft.has("model_norm") else draft.unstated("architecture.norm", "no key model_norm")
    draft.unstated("architecture.family", "OpenLM's network is not one that the canonical recipe names")
    draft.code(f"{MODEL}: no linear map has a bias", {"architecture.bias": False})
    draft.code(
        f"{MODEL}: cut normal, 1 / sqrt of the input's width, less in deeper layers",
        {"initialisation.method": "open_lm"},
    )
    return draft.finish()
