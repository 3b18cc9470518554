"""OpenLM as DCLM publishes it: a scale's JSON (`training/configs`), and the network's JSON that it names.

The warm-up is read at the number of updates done, this one included, and the cosine at the number without it, so that no form of
the canonical recipe is the same. The tokens are multiplied by `chinchilla_multiplier`.
"""

from __future__ import annotations

from openassay.published.marked import Marked
from openassay.published.recipes.guarded import GuardedDraft
from openassay.training.language import ReadRecipe, Value

DCLM = "mlfoundations/dclm@361714bdd60bb9b7f4b2d8354cebbf0dec0c329e"
OPEN_LM = "mlfoundations/open_lm@9bb92ef1689333534b7057942a20d18a46d1fa52"
ARGS = f"{DCLM}:training/params.py"
MODEL = f"{OPEN_LM}:open_lm/model.py"
SCALE = {"model", "tokens", "warmup", "lr", "wd", "cd", "global_bs", "acc"}
NETWORK = {"hidden_dim", "n_layers", "n_heads", "seq_len", "vocab_size", "post_embed_norm", "weight_tying"}
IGNORED = {
    "memory: how the batch is cut": "acc",
    "memory, not values": "grad_checkpointing",
    "counts, not settings": "params params_no_embed",
}


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
    odd = "the warm-up is read at update k + 1 and the cosine at k, which neither canonical word says"
    draft.unstated("learning_rate.first", f"{OPEN_LM}:open_lm/scheduler.py: {odd}")
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
