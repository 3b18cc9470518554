"""llm-foundry YAML (MPT): sections model, optimizer, scheduler, algorithms; durations such as `4800ba`, `1ep`, `32e9tok`.

`${variables.x}` stands for another key. DecoupledAdamW and DecoupledLionW decay the weights by weight_decay x rate / peak: the
canonical decay, which is multiplied by the rate, is weight_decay / peak.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace

from openassay.published.marked import Entry, Marked, shorten
from openassay.published.recipes.draft import Draft, whole
from openassay.training.language import ReadRecipe

COMMIT = "mosaicml/llm-foundry@8c8dd48f72168c5d51e2f7b151595892a8fba43d"
CONFIG = f"{COMMIT}:llmfoundry/models/mpt/configuration_mpt.py"
TRAIN = f"{COMMIT}:llmfoundry/command_utils/train.py"
BUILDERS = f"{COMMIT}:llmfoundry/utils/builders.py"

IGNORED = {
    "other keys take it": "variables*",
    "a name": "run_name model.name",
    "the token files are tokenised": "tokenizer*",
    "evaluation": "eval_* icl_* device_eval_batch_size",
    "memory: how the batch is cut": "device_train_microbatch_size device_train_grad_accum",
    "parallelism": "fsdp_config* parallelism_config* dist_timeout tp_config*",
    "logging": "progress_bar log_* console_log_interval callbacks* loggers* python_log_level metadata* profiler*",
    "storage": "save_folder save_interval save_num* save_overwrite save_filename save_latest* save_weights_only save_ignore_keys",
    "restarts": "autoresume load_* only_*",
    "where, not what": "model.init_device",
    "of the model that the file names": "model.use_auth_token model.trust_remote_code model.peft_config*",
    "the same function, another kernel": "model.attn_config.attn_impl model.attn_config.rope_impl model.fc_type* "
    "model.use_flash_attention_2 compile_config*",
    "generation": "model.use_cache",
    "speed, not values": "train_loader.num_workers train_loader.prefetch_factor train_loader.pin_memory "
    "train_loader.persistent_workers train_loader.timeout",
    "bears on the last batch of an epoch only": "train_loader.drop_last",
    "where the data are": "train_loader.name train_loader.dataset.* train_loader.collate_fn*",
    "a text only": "description",
}
MODELS = {"mpt_causal_lm", "hf_causal_lm", "hf_prefix_lm", "hf_t5"}
"""Names that llm-foundry has registered: a file with another one is for a fork, whose defaults are not known."""
_DURATION = re.compile(r"([0-9][0-9_]*(?:\.[0-9]*)?(?:e\+?[0-9]+)?)(ep|ba|sp|tok|dur)\Z")


def read(marked: Marked) -> ReadRecipe:
    """The recipe of an llm-foundry file."""
    draft = Draft("llm_foundry", replace(marked, root=_resolved(marked.root, marked.root, 0)))
    if draft.word("model.name") == "mpt_causal_lm":
        _architecture(draft)
    else:
        model = draft.word("model.pretrained_model_name_or_path")
        draft.note_at("model.name", f"the network is that of {shorten(model or 'a model that is not named')}")
        if draft.boolean("model.pretrained") is not False:
            draft.beyond("model.name", "weights that another training left")
    length = draft.take(
        "data.sequence_length", draft.first("max_seq_len", "train_loader.dataset.max_seq_len"), limits=(1, 10**9)
    )
    if length:
        cut = f"{COMMIT}:llmfoundry/data/text_data.py: inputs and labels are the same tokens"
        draft.code(cut, {"data.item_length": length})
    seed = draft.first("train_loader.dataset.shuffle_seed", "seed")
    draft.take("data.seed", seed, limits=(0, 2**63))
    draft.integer("seed", 0, 2**63)
    draft.derived("data.order", "unknown", "a streamed data set's own order")
    batch = draft.take("batch_size", "global_train_batch_size")
    steps = _steps(draft, batch, length)
    _optimizer(draft)
    _learning_rate(draft, steps, batch, length)
    names = {"amp_bf16": "bf16", "amp_fp16": "fp16", "fp32": "fp32"}
    draft.named("precision", "precision", names)
    draft.code(f"{COMMIT}:llmfoundry/models: cross entropy alone", {"z_loss": 0.0})
    if (name := draft.word("model.name")) not in MODELS:
        draft.withhold(f"{draft.at('model.name')}: {shorten(name or '')} is no network of llm-foundry's", COMMIT)
    return draft.finish(IGNORED)


def _resolved(entry: Entry, root: Entry, depth: int) -> Entry:
    """The entry with `${a.b}` replaced by the value of that key."""
    if isinstance(entry.value, dict):
        return replace(entry, value={key: _resolved(item, root, depth) for key, item in entry.value.items()})
    if isinstance(entry.value, str) and (match := re.match(r"\$\{([a-zA-Z_.]+)\}\Z", entry.value)) and depth < 8:
        found: Entry | None = root
        for part in match[1].split("."):
            found = found.value.get(part) if found is not None and isinstance(found.value, dict) else None
        if found is not None and not isinstance(found.value, (dict, list)):
            return replace(_resolved(found, root, depth + 1), line=entry.line, name=entry.name)
    return entry


def _architecture(draft: Draft) -> None:
    draft.derived("architecture.family", "gpt2", f"{draft.at('model.name')}: GPT-2's blocks")
    for name, key, default in (
        ("vocab_size", "vocab_size", 50368),
        ("hidden_size", "d_model", 2048),
        ("num_layers", "n_layers", 24),
        ("num_heads", "n_heads", 16),
        ("max_position", "max_seq_len", 2048),
        ("norm_eps", "norm_eps", 1e-5),
        ("tied_embeddings", "tie_word_embeddings", True),
        ("hidden_dropout", "resid_pdrop", 0.0),
        ("head_size", "head_dim", None),
    ):
        draft.take(f"architecture.{name}", f"model.{key}", default, f"{CONFIG} {key}")
    width, heads = draft.values["architecture.hidden_size"], draft.values["architecture.num_heads"]
    assert isinstance(width, int)  # noqa: S101 - set above
    ratio = draft.number("model.expansion_ratio", 0, 1e4)
    where = draft.at("model.expansion_ratio") if ratio else f"{CONFIG} expansion_ratio is 4"
    draft.derived("architecture.intermediate_size", max(int((ratio or 4) * width), 1), f"{where} x d_model {width}")
    bare = draft.boolean("model.no_bias")
    draft.stated(
        "architecture.bias", "model.no_bias", None if bare is None else not bare, True, f"{CONFIG} no_bias is false"
    )
    norms = {
        "layernorm": "layer_norm",
        "low_precision_layernorm": "layer_norm",
        "rmsnorm": "rms_norm",
        "low_precision_rmsnorm": "rms_norm",
    }
    draft.named("architecture.norm", "model.norm_type", norms, "layer_norm", f"{CONFIG} norm_type")
    _feed_forward(draft)
    for name, key, default in (
        ("attention_dropout", "attn_pdrop", 0.0),
        ("clip_qkv", "clip_qkv", None),
        ("qk_norm", "qk_ln", False),
    ):
        draft.take(
            f"architecture.{name}",
            f"model.attn_config.{key}",
            default,
            f"{COMMIT}:llmfoundry/models/utils/config_defaults.py",
        )
    kind = draft.word(
        "model.attn_config.attn_type", ("multihead_attention", "multiquery_attention", "grouped_query_attention")
    )
    if kind == "multiquery_attention":
        draft.derived("architecture.num_kv_heads", 1, draft.at("model.attn_config.attn_type"))
    else:
        draft.take("architecture.num_kv_heads", "model.attn_config.kv_n_heads", heads, f"{CONFIG}: as many as heads")
    _positions(draft)
    for key in ("softmax_scale", "sliding_window_size", "attn_logit_softcapping", "attn_uses_sequence_id", "qk_gn"):
        entry = draft.find(f"model.attn_config.{key}")
        if entry is not None and entry.value not in (False, -1):
            draft.beyond(f"model.attn_config.{key}", "another attention")
    for key in (
        "emb_pdrop",
        "logit_scale",
        "block_overrides",
        "final_logit_softcapping",
        "embedding_fraction",
        "attention_bias",
    ):
        if draft.has(f"model.{key}"):
            draft.beyond(f"model.{key}", f"{key} of its own")
    draft.code(f"{CONFIG}: none", {"architecture.parallel_residual": False, "architecture.embedding_scale": 1.0})
    draft.take("initialisation.method", "model.init_config.name", "kaiming_normal_", f"{CONFIG} init_config")
    if draft.values["initialisation.method"] == "baseline_":
        draft.take("initialisation.std", "model.init_config.init_std")


def _feed_forward(draft: Draft) -> None:
    kind = draft.word("model.ffn_config.ffn_type")
    where = f"{COMMIT}:llmfoundry/models/utils/config_defaults.py: ffn_type is mptmlp"
    if kind in {None, "mptmlp"} and not draft.has("model.ffn_config.ffn_act_fn"):
        draft.stated("architecture.activation", "model.ffn_config.ffn_type", "gelu" if kind else None, "gelu", where)
    elif kind in {None, "mptmlp", "mptglu"}:
        name = draft.word("model.ffn_config.ffn_act_fn.name") or "gelu"
        names = {"silu": "swiglu", "gelu": "geglu"} if kind == "mptglu" else {"gelu": "gelu", "relu": "relu"}
        place = draft.first("model.ffn_config.ffn_act_fn.name", "model.ffn_config.ffn_type")
        draft.stated("architecture.activation", place, names.get(name))
    else:
        draft.nameless("architecture.activation", "model.ffn_config.ffn_type", kind or "")
        draft.beyond("model.ffn_config.ffn_type", f"the feed-forward block {shorten(kind or '')}")
        draft.unstated(
            "architecture.family", f"{draft.at('model.ffn_config.ffn_type')}: a feed-forward block of its own"
        )
        draft.unstated("architecture.intermediate_size", "the feed-forward block has no canonical form")


def _positions(draft: Draft) -> None:
    if draft.boolean("model.attn_config.rope"):
        draft.derived("architecture.rotary_share", 1.0, draft.at("model.attn_config.rope"))
        draft.take("architecture.rotary_base", "model.attn_config.rope_theta", 10000.0, f"{CONFIG} rope_theta")
        return
    key = "model.attn_config.alibi"
    draft.no_rotary(draft.at(key) if draft.has(key) else f"{CONFIG} rope is false")
    if draft.boolean(key):
        draft.beyond(key, "ALiBi")
        draft.integer("model.attn_config.alibi_bias_max")
    elif draft.boolean("model.learned_pos_emb") is not False:
        draft.note(f"{draft.marked.file}: positions are learned, which the canonical recipe cannot express")


def _optimizer(draft: Draft) -> None:
    names = {"decoupled_adamw": "adamw", "decoupled_lionw": "lion", "adam": "adam_l2"}
    name = draft.named("optimizer.name", "optimizer.name", names)
    peak = draft.take("learning_rate.peak", "optimizer.lr")
    draft.stated("optimizer.betas", "optimizer.betas", draft.betas("optimizer.betas"))
    draft.take("optimizer.eps", "optimizer.eps")
    if name == "decoupled_lionw":
        draft.derived("optimizer.eps", None, "lion has none")
    decay = draft.number("optimizer.weight_decay", 0, 100)
    if name in {"decoupled_adamw", "decoupled_lionw"} and decay and peak:
        value = float(f"{decay / peak:.15g}")
        draft.derived(
            "optimizer.weight_decay", value, f"{draft.at('optimizer.weight_decay')} / {draft.at('optimizer.lr')}"
        )
        draft.note_at(
            "optimizer.weight_decay", f"not multiplied by the learning rate; as that of AdamW it is {value:g}"
        )
    else:
        draft.take("optimizer.weight_decay", "optimizer.weight_decay")
    if draft.has("optimizer.param_groups") or draft.has("optimizer.disable_grad"):
        key = draft.first("optimizer.param_groups", "optimizer.disable_grad")
        draft.beyond(key, "groups of weights with settings of their own")
        draft.unstated("optimizer.not_decayed", f"{draft.at(key)}: groups of weights")
    else:
        draft.code(
            f"{BUILDERS}: all parameters in one group", {"optimizer.not_decayed": (), "optimizer.lr_multipliers": {}}
        )
    clipping = "algorithms.gradient_clipping"
    if draft.word(f"{clipping}.clipping_type") == "norm":
        draft.take("clip_norm", f"{clipping}.clipping_threshold")
    elif draft.has(clipping):
        draft.beyond(f"{clipping}.clipping_type", "clipping other than by the norm")
    else:
        draft.code(f"{TRAIN}: no algorithm clips", {"clip_norm": None})


def _updates(draft: Draft, path: str, batch: int | None, length: int | None, steps: float | None) -> float | None:
    """The duration at a path in updates; None where it counts epochs or what is not stated."""
    entry = draft.find(path)
    if entry is None:
        return None
    match = _DURATION.match(entry.raw)
    if match is None:
        raise draft.bad(entry, path, "a duration such as 100ba, 1ep, 2e9tok, 5000sp or 0.1dur")
    amount, unit = float(match[1].replace("_", "")), match[2]
    per = {"ba": 1, "sp": batch, "tok": batch * length if batch and length else None, "dur": 1}.get(unit)
    if unit == "ep" or not per or (unit == "dur" and steps is None):
        return None
    return whole(amount * steps if unit == "dur" and steps is not None else amount / per)


def _steps(draft: Draft, batch: int | None, length: int | None) -> int | None:
    found = _updates(draft, "max_duration", batch, length, None)
    entry = draft.find("max_duration")
    if entry is None or found is None:
        draft.unstated("steps", f"{draft.at('max_duration')}: epochs, whose length depends on the data")
        return None
    steps = max(math.ceil(found), 1)
    kind = "stated" if entry.raw.endswith("ba") else "derived"
    draft.put("steps", steps, kind, draft.at("max_duration"))
    if entry.raw.endswith("tok"):
        draft.put("tokens_total", int(float(entry.raw[:-3].replace("_", ""))), "stated", draft.at("max_duration"))
    elif batch and length:
        draft.derived("tokens_total", steps * batch * length, f"steps {steps} x batch {batch} x length {length}")
    return steps


def _learning_rate(draft: Draft, steps: int | None, batch: int | None, length: int | None) -> None:
    forms = {
        "cosine_with_warmup": "cosine_to_min",
        "linear_decay_with_warmup": "linear",
        "constant_with_warmup": "constant",
    }
    name = draft.named("learning_rate.form", "scheduler.name", forms)
    peak = draft.values["learning_rate.peak"]
    share = draft.number("scheduler.alpha_f", 0, 1)
    if name == "constant_with_warmup":
        draft.derived("learning_rate.minimum", peak, draft.at("scheduler.name"))
    elif name in forms and share is not None and isinstance(peak, (int, float)):
        draft.derived(
            "learning_rate.minimum", float(f"{share * peak:.15g}"), f"{draft.at('scheduler.alpha_f')} x the peak"
        )
    for path, field in (("scheduler.t_warmup", "warmup_steps"), ("scheduler.t_max", "decay_steps")):
        found = _updates(draft, path, batch, length, steps)
        entry = draft.find(path)
        if entry is not None and found is not None:
            draft.put(
                f"learning_rate.{field}", found, "stated" if entry.raw.endswith("ba") else "derived", draft.at(path)
            )
        elif entry is not None:
            draft.unstated(f"learning_rate.{field}", f"{draft.at(path)}: epochs, or a share of them")
    if not draft.has("scheduler.t_max") and steps and name in {"cosine_with_warmup", "linear_decay_with_warmup"}:
        draft.derived("learning_rate.decay_steps", steps, f"{draft.at('max_duration')}: no scheduler.t_max")
    if draft.boolean("scheduler.scale_warmup"):
        draft.beyond("scheduler.scale_warmup", "a warm-up that is scaled")
    if name in forms:
        draft.code("Composer: the rate of an update is read before it is counted", {"learning_rate.first": "zero"})
        draft.code("Composer: the warm-up starts at 0", {"learning_rate.warmup_minimum": 0.0})
