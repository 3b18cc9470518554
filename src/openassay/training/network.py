"""The network that a recipe describes: transformers' model of its family; every value bears on it or is refused."""

from __future__ import annotations

from typing import Any

import transformers
from torch import nn

from openassay.training.language import Architecture
from openassay.training.mismatch import RecipeMismatch

_PLAIN = {"gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "relu": "relu"}
_GATES = {"swiglu": "silu", "geglu": "gelu"}
_OF_T5 = {"relu": "relu", "geglu": "gated-gelu", "swiglu": "gated-silu", "gelu": "gelu", "gelu_tanh": "gelu_new"}
"""T5's `gated-gelu` is the tanh form of GELU."""


def build(architecture: Architecture, attention: str = "sdpa") -> Any:
    """The network, with random weights. `RecipeMismatch` names the value that this family cannot have."""
    config = _config(architecture)
    config._attn_implementation = attention
    if architecture.family == "t5":
        model = transformers.T5ForConditionalGeneration(config)
        if not architecture.tied_embeddings:  # transformers 5 ties them whatever the configuration says
            model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())
        return model
    model = transformers.AutoModelForCausalLM._model_mapping[type(config)](config)
    if architecture.attention_scale == "inverse":
        for module in model.modules():
            if hasattr(module, "scaling"):
                module.scaling = module.scaling**2
    if architecture.embedding_scale != 1:
        scale = architecture.embedding_scale
        model.get_input_embeddings().register_forward_hook(lambda _module, _given, result: result * scale)
    return model


def _config(a: Architecture) -> Any:
    """transformers' description of the network."""

    def only(what: str, can: bool) -> None:
        if not can:
            raise RecipeMismatch(f"architecture.{what}: {a.family} cannot be built with {getattr(a, what)!r}")

    own_head = a.hidden_size // a.num_heads
    only("family", a.family != "gpt2")
    only("norm", a.norm == {"gpt_neox": "layer_norm", "olmo": "layer_norm_without_weights"}.get(a.family, "rms_norm"))
    only("bias", a.family == "llama" or a.bias == (a.family == "gpt_neox"))
    only("qk_norm", a.qk_norm == (a.family == "olmo2"))
    only("clip_qkv", a.clip_qkv is None or (a.family == "olmo" and a.clip_qkv > 0))
    only("head_size", a.family in {"t5", "llama"} or a.head_size in {None, own_head})
    only("relative_buckets", (a.relative_buckets is not None) == (a.family == "t5"))
    only("num_kv_heads", a.family not in {"gpt_neox", "t5"} or a.num_kv_heads in {None, a.num_heads})
    only("parallel_residual", a.family == "gpt_neox" or not a.parallel_residual)
    common: dict[str, Any] = {
        "vocab_size": a.vocab_size, "tie_word_embeddings": a.tied_embeddings, "use_cache": False,
        "bos_token_id": None, "eos_token_id": None, "pad_token_id": None,
    }  # fmt: skip
    if a.family == "t5":
        only("hidden_dropout", a.hidden_dropout == a.attention_dropout)
        only("activation", a.activation in _OF_T5)
        only("rotary_share", a.rotary_share is None)
        only("rotary_base", a.rotary_base == 10000)
        only("embedding_scale", a.embedding_scale == 1)
        only("attention_scale", a.attention_scale == "inverse_sqrt")
        return transformers.T5Config(
            d_model=a.hidden_size, d_kv=a.head_size or own_head, d_ff=a.intermediate_size, num_layers=a.num_layers,
            num_heads=a.num_heads, dropout_rate=a.hidden_dropout, layer_norm_epsilon=a.norm_eps,
            feed_forward_proj=_OF_T5[a.activation], relative_attention_num_buckets=a.relative_buckets, **common,
        )  # fmt: skip
    if a.rotary_share is None:
        raise RecipeMismatch(f"rotary_share: {a.family} has rotary embeddings, and the recipe does not say their share")
    common |= {
        "hidden_size": a.hidden_size, "num_hidden_layers": a.num_layers, "num_attention_heads": a.num_heads,
        "intermediate_size": a.intermediate_size, "max_position_embeddings": a.max_position,
        "attention_dropout": a.attention_dropout, "attention_bias": a.bias,
        "rope_parameters": {"rope_type": "default", "rope_theta": a.rotary_base, "partial_rotary_factor": a.rotary_share},
    }  # fmt: skip
    if a.family == "gpt_neox":
        only("activation", a.activation in _PLAIN)
        return transformers.GPTNeoXConfig(
            hidden_act=_PLAIN[a.activation], layer_norm_eps=a.norm_eps, hidden_dropout=a.hidden_dropout,
            use_parallel_residual=a.parallel_residual, **common,
        )  # fmt: skip
    only("activation", a.activation in _GATES)
    only("hidden_dropout", a.hidden_dropout == 0)
    only("rotary_share", a.rotary_share == 1)
    common |= {"hidden_act": _GATES[a.activation], "num_key_value_heads": a.num_kv_heads or a.num_heads}
    if a.family == "olmo":
        only("norm_eps", a.norm_eps == 1e-5)
        return transformers.OlmoConfig(clip_qkv=a.clip_qkv, **common)
    if a.family == "olmo2":
        return transformers.Olmo2Config(rms_norm_eps=a.norm_eps, **common)
    return transformers.LlamaConfig(
        rms_norm_eps=a.norm_eps, mlp_bias=a.bias, head_dim=a.head_size or own_head, **common
    )  # fmt: skip
