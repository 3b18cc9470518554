"""GPT-NeoX YAML (Pythia): one flat file, keys with `-` or `_`, defaults from the code at v1.0.

The learning rate is NeoX's own: `warmup` is a fraction of the decay's updates, the cosine has its full length after the warm-up,
`min_lr` is a floor, and the first update has the rate 0. Gradient accumulation is `gradient_accumulation_steps`; `gas` is
overwritten by it. The number of devices stands in a comment at best.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import PurePosixPath

from openassay.published.marked import Entry, Marked, shorten
from openassay.published.recipes.draft import BIGGEST, MOST_CHECKPOINTS, Draft, alone, whole
from openassay.published.recipes.guarded import GuardedDraft
from openassay.training.language import ReadRecipe

COMMIT = "EleutherAI/gpt-neox@71df4d5017f9f4919566a11454fe3a507ffdc632"
ARGS = f"{COMMIT}:megatron/neox_arguments/neox_args.py"
NEWER = (
    "base_shapes_file coord_check dim_att dpo_beta dpo_fp32 dpo_reference_free expansion_factor ffn_dim fp32_reinforce head_size "
    "intermediate_size kto_beta kto_fp32 layernorm_fusion lr_decay_fraction mamba_selective_scan_fusion mlp_multiple_of mlp_type "
    "moe_num_experts num_kv_heads pack_impl reinforce_leave_one_out rmsnorm_fusion rope_fusion rotary_save_freqs_buffer "
    "sequence_parallel sliding_window_width te_columnparallel train_epochs train_impl train_label_data_paths "
    "train_reward_data_paths use_bias_in_attn_linear use_bias_in_mlp use_bias_in_norms use_flashattn_swiglu use_mup "
    "use_qk_layernorm z_loss attention_head_type rotary_interleaved dataset_impl allow_chopped"
)
"""Keys of later versions and of forks: the defaults of v1.0 are not theirs."""
ENTRIES = {"20B_tokenizer.json": 50277, "gpt2-vocab.json": 50257}
"""Entries of published tokenizer files, by name: GPT-NeoX-20B's with its added tokens, and GPT-2's."""

IGNORED = {
    "parallelism": "*parallel_size *partition* zero_* output_layer_parallelism",
    "how it is started": (
        "deepspeed* launcher hostfile num_nodes include exclude master_* num_gpus detect_nvlink_pairs comment "
        "user_script"
    ),
    "communication": "distributed_backend *allreduce* gradient_predivide_factor",
    "memory, not values": "checkpoint_activations checkpoint_num_layers contiguous_checkpointing checkpoint_in_cpu",
    "logging": (
        "profile_backward log_* *wandb* tensorboard* steps_per_print wall_clock_breakdown dump_state flops_profiler* "
        "git_hash"
    ),
    "speed, not values": "synchronize_each_layer num_workers mmap_warmup fp16.auto_cast use_shared_fs lazy_mpu_init",
    "speed; rounding only": "scaled_*_fusion bias_dropout_fusion rope_fusion *norm_fusion use_flashattn_swiglu",
    "evaluation": "eval_* do_valid do_test valid_* test_*",
    "the data files say it themselves": "data_impl",
    "a path": "save load merge_file",
    "storage": "keep_last_n_checkpoints no_save_* no_load_*",
    "the token files are tokenised": "tokenizer_type",
    "of the loss scale's later course": "fp16.loss_scale_window fp16.hysteresis fp16.min_loss_scale",
    "restarts": "use_checkpoint_lr_scheduler override_lr_scheduler finetune iteration",
    "sampling": "text_gen_type temperature top_* maximum_tokens sample_*",
    "not for this model": "short_seq_prob",
}


def read(marked: Marked) -> ReadRecipe:
    """The recipe of a GPT-NeoX file."""
    draft = GuardedDraft("gpt_neox", marked)
    draft.marked = replace(marked, root=_underscored(draft, marked.root))
    if newer := sorted(set(NEWER.split()) & set(draft.marked.root.value)):
        draft.open_because = f"{draft.at(newer[0])}: a key of another version than v1.0, whose defaults are not cited"
        draft.note(draft.open_because)
    _architecture(draft)
    _activation(draft)
    _vocabulary(draft)
    _initialisation(draft)
    _optimizer(draft)
    _learning_rate(draft)
    _data(draft)
    _run(draft)
    if draft.open_because:
        draft.withhold(draft.open_because, COMMIT)
        if not draft.has("fp16.enabled") and draft.origins["precision"].kind == "derived":
            draft.unstated("precision", draft.open_because)
    return draft.finish(IGNORED)


def _underscored(draft: Draft, root: Entry) -> Entry:
    """The file with `_` for `-` in its own keys, as NeoX takes them."""
    if not isinstance(root.value, dict):
        raise draft.bad(root, "the file", "keys and values")
    found: dict[str, Entry] = {}
    for key, item in root.value.items():
        name = key.replace("-", "_")
        if name in found:
            also = f"{shorten(key)} is also given as {shorten(found[name].name)} on line {found[name].line}"
            draft.note(f"{item.place}: {also}; NeoX takes the last")
        found[name] = item
    return replace(root, value=found)


def _architecture(draft: Draft) -> None:
    draft.derived("architecture.family", "gpt_neox", "the format")
    width = draft.take("architecture.hidden_size", "hidden_size")
    draft.take("architecture.num_layers", "num_layers")
    heads = draft.take("architecture.num_heads", "num_attention_heads")
    draft.heads_divide(width, "num_attention_heads", heads)
    _attention(draft, heads)
    draft.take("architecture.max_position", "max_position_embeddings")
    norm = draft.word("norm", ("layernorm", "rmsnorm", "scalenorm"))
    names = {"layernorm": "layer_norm", "rmsnorm": "rms_norm"}
    draft.named("architecture.norm", "norm", names, "layer_norm", f"{ARGS} norm")
    eps = {"rmsnorm": ("rms_norm_epsilon", 1e-8), "scalenorm": ("scalenorm_epsilon", 1e-8)}
    key, default = eps.get(norm or "", ("layernorm_epsilon", 1e-5))
    draft.take("architecture.norm_eps", key, default, f"{ARGS} {key}")
    position = draft.word("pos_emb")
    draft.take("architecture.rotary_share", "rotary_pct", 1.0, f"{ARGS} rotary_pct")
    if position == "rotary":
        draft.take("architecture.rotary_base", "rotary_emb_base", 10000, f"{ARGS} rotary_emb_base")
    else:
        draft.no_rotary(draft.at("pos_emb") if position else f"{ARGS} pos_emb is learned")
    draft.take("architecture.parallel_residual", "gpt_j_residual", False, f"{ARGS} gpt_j_residual")
    if draft.boolean("gpt_j_tied"):
        draft.beyond("gpt_j_tied", "one norm for attention and feed-forward")
    biases = [draft.boolean(f"use_bias_in_{part}") for part in ("attn_linear", "mlp")]
    if None not in biases and biases[0] == biases[1]:
        draft.put("architecture.bias", biases[0], "stated", draft.at("use_bias_in_attn_linear", "use_bias_in_mlp"))
    elif biases != [None, None]:
        some = "some linear maps have a bias, or may have one"
        draft.unstated("architecture.bias", f"{draft.at('use_bias_in_attn_linear', 'use_bias_in_mlp')}: {some}")
    else:
        draft.code(f"{COMMIT}:megatron/model/transformer.py: every linear map has a bias", {"architecture.bias": True})
    tied = {True: False, False: True, None: None}[draft.boolean("no_weight_tying")]
    draft.stated("architecture.tied_embeddings", "no_weight_tying", tied, True, f"{ARGS} no_weight_tying")
    for key in ("attention_dropout", "hidden_dropout"):
        draft.take(f"architecture.{key}", key, 0.1, f"{ARGS} {key}")


def _attention(draft: Draft, heads: int | None) -> None:
    """Put the heads of keys; a layer that is no full attention leaves the family unstated."""
    if draft.has("attention_head_type"):
        draft.unstated("architecture.num_kv_heads", f"{draft.at('attention_head_type')}: a key of a fork")
    elif draft.take("architecture.num_kv_heads", "num_kv_heads") is None:
        draft.derived("architecture.num_kv_heads", heads, "as many as heads: no key num_kv_heads")
    for key, what in (
        ("moe_num_experts", "layers of experts"),
        ("sliding_window_width", "attention in a window"),
        ("use_qk_layernorm", "norms of queries and keys"),
        ("use_mup", "rates and sizes by maximal update parametrisation"),
        ("use_bnb_optimizer", "moments kept in 8 bits"),
    ):
        entry = draft.find(key)
        if entry is not None and entry.raw.lower() not in {"false", "0", "1"}:
            draft.beyond(key, what)
    if draft.word("train_impl") not in {None, "normal"}:
        draft.beyond("train_impl", "a loss over preferences or rewards")
    entry = draft.find("attention_config")
    kinds = set(re.findall(r"[a-z_]{3,}", str(entry.plain()))) - {"global", "flash", "all"} if entry else set()
    if kinds:
        what = f"layers of {', '.join(sorted(kinds))}"
        draft.beyond("attention_config", what)
        draft.unstated("architecture.family", f"{draft.at('attention_config')}: {what}")


def _activation(draft: Draft) -> None:
    names = {name: name for name in ("gelu", "relu", "geglu", "swiglu")}
    kind = draft.named("architecture.activation", "activation", names, "gelu", f"{ARGS} activation") or "gelu"
    if draft.boolean("bias_gelu_fusion") and kind == "gelu":
        fused = f"{draft.at('bias_gelu_fusion')}: the fused kernel is GELU's tanh form"
        draft.derived("architecture.activation", "gelu_tanh", fused)
        draft.note_at(
            "bias_gelu_fusion",
            f"the model was trained with GELU's tanh form ({COMMIT}:megatron/model/activations.py); "
            "conversions to other libraries may state the exact form",
        )
    width = draft.values["architecture.hidden_size"]
    inner = draft.take("architecture.intermediate_size", "intermediate_size")
    if draft.has("mlp_type") or kind not in {"gelu", "relu", "softsign", "swish", "mish"}:
        gated = "the width of a gated layer is two thirds of it, rounded up in ways that differ by version"
        draft.unstated(
            "architecture.intermediate_size", f"{draft.at('intermediate_size', 'activation', 'mlp_type')}: {gated}"
        )
    elif inner is None and isinstance(width, int):
        where = f"{COMMIT}:megatron/model/transformer.py: 4 x hidden-size"
        draft.code(where, {"architecture.intermediate_size": 4 * width})


def _vocabulary(draft: Draft) -> None:
    multiple = draft.integer("make_vocab_size_divisible_by", 1, 10**6) or 128
    parallel = max(1, draft.integer("model_parallel_size", 0, 10**5) or 1)
    entries = ENTRIES.get(PurePosixPath(draft.word("vocab_file") or "").name)
    if draft.take("architecture.vocab_size", "padded_vocab_size"):
        return
    if entries is None:
        unknown = "this reader does not know the tokenizer that the file names"
        draft.unstated("architecture.vocab_size", f"it is the tokenizer's, padded; {unknown}")
        return
    step = multiple * parallel
    where = f"{entries} entries, padded to a multiple of {multiple} x model-parallel-size {parallel}"
    draft.derived("architecture.vocab_size", math.ceil(entries / step) * step, f"{draft.at('vocab_file')}: {where}")


def _initialisation(draft: Draft) -> None:
    width, layers = draft.values["architecture.hidden_size"], draft.values["architecture.num_layers"]
    sigma = draft.number("init_method_std", 0, 100)
    base = 0.02 if sigma is None else sigma
    known: dict[str, tuple[float, str]] = {}
    if isinstance(width, int) and isinstance(layers, int):
        known = {
            "normal": (base, "init_method_std"),
            "scaled_normal": (base / math.sqrt(2 * layers), "init_method_std / sqrt(2 x num-layers)"),
            "small_init": (math.sqrt(2 / (5 * width)), "sqrt(2 / (5 x hidden-size))"),
            "wang_init": (2 / layers / math.sqrt(width), "2 / num-layers / sqrt(hidden-size)"),
        }
    for key, default, output in (
        ("init_method", "normal", ""),
        ("output_layer_init_method", "scaled_normal", "output_"),
    ):
        method = draft.take(f"initialisation.{output}method", key, default, f"{ARGS} {key}")
        where = draft.at(key) if draft.has(key) else f"{ARGS} {key}"
        if method not in known:
            none = f"{where}: no standard deviation follows from {shorten(method)}"
            draft.unstated(f"initialisation.{output}std", none)
            continue
        value, formula = known[method]
        draft.derived(f"initialisation.{output}std", value, f"{where}: {formula}")
        if not output:
            draft.derived("initialisation.embedding_std", value, f"{where}: the embedding too")


def _optimizer(draft: Draft) -> None:
    kind = draft.word("optimizer.type")
    adam = kind is None or kind.lower() == "adam"
    where = f"{COMMIT}:megatron/training.py: FusedAdam" if adam else ""
    said = "adamw" if kind and adam else None
    draft.stated("optimizer.name", "optimizer.type", said, "adamw", f"{ARGS} optimizer_type")
    if kind and not adam:
        draft.nameless("optimizer.name", "optimizer.type", kind)
    betas = "optimizer.params.betas"
    draft.stated("optimizer.betas", betas, draft.betas(betas), (0.9, 0.999), where)
    draft.take("optimizer.eps", "optimizer.params.eps", 1e-8, where)
    draft.take("optimizer.weight_decay", "weight_decay", 0.01, f"{ARGS} weight_decay")
    if draft.has("optimizer.params.weight_decay"):
        draft.note_at("optimizer.params.weight_decay", "NeoX reads weight-decay at the top level, not here")
    draft.code(f"{COMMIT}:megatron/model/utils.py", {"optimizer.not_decayed": ("bias", "norm")})
    draft.code(f"{COMMIT}:megatron/training.py: one rate for all", {"optimizer.lr_multipliers": {}})


def _learning_rate(draft: GuardedDraft) -> None:
    forms = ("cosine", "constant", "linear", "exponential")
    style = draft.word("lr_decay_style", None if draft.open_because else forms)
    code = f"{COMMIT}:megatron/learning_rates.py"
    if style == "cosine" and draft.open_because:
        later = "its form has changed after v1.0, and the file's version is not stated"
        draft.unstated("learning_rate.form", f"{draft.at('lr_decay_style')}: {later}")
    elif style in {"cosine", "constant"}:
        form = "cosine_clamped" if style == "cosine" else style
        draft.put("learning_rate.form", form, "stated", draft.at("lr_decay_style"))
    else:
        where = draft.at("lr_decay_style") if style else f"{ARGS} lr_decay_style is linear"
        draft.unstated("learning_rate.form", f"{where}: NeoX's own form of it has no canonical name")
        falls = f"NeoX's {style or 'linear'} decay goes towards 0 over its full length, with min_lr as a floor"
        if style in {"linear", "exponential"} or (style is None and not draft.open_because):
            draft.note(f"{where}: {falls} ({code})")
    arguments = f"{COMMIT}:megatron/neox_arguments/arguments.py"
    draft.take("learning_rate.peak", "optimizer.params.lr", 0.001, arguments)
    draft.take("learning_rate.minimum", "min_lr", 0.0, f"{ARGS} min_lr")
    decay, steps = draft.integer("lr_decay_iters", 1), draft.integer("train_iters", 1)
    fraction = draft.number("warmup", 0, 1)
    length, key = (decay, "lr-decay-iters") if decay else (steps, "train-iters")
    if decay:
        draft.stated("learning_rate.decay_steps", "lr_decay_iters", decay)
    elif steps:
        draft.derived("learning_rate.decay_steps", steps, f"{draft.at('train_iters')}: no lr-decay-iters")
    if length:
        warmup = whole(round((0.01 if fraction is None else fraction) * length, 9))
        where = f"{ARGS} warmup is 0.01" if fraction is None else draft.at("warmup")
        draft.derived("learning_rate.warmup_steps", warmup, f"{where}: a fraction of {key} {length}")
    draft.code(f"{code}: the first update has rate 0 and changes nothing", {"learning_rate.first": "zero"})
    draft.code(code, {"learning_rate.warmup_minimum": 0.0})


def _data(draft: Draft) -> None:
    length = draft.take("data.sequence_length", "seq_length")
    dataset = f"{COMMIT}:megatron/data/gpt2_dataset.py"
    if length:
        draft.code(f"{dataset}: inputs and labels are cut from one item", {"data.item_length": length + 1})
    draft.code(dataset, {"data.order": "megatron_shuffled"})
    draft.take("data.seed", "seed", 1234, f"{ARGS} seed", (0, 2**32 - 1))
    draft.take("data.split", "split", "969, 30, 1", f"{ARGS} split")
    paths, single = draft.words("train_data_paths"), draft.word("data_path")
    if paths:
        draft.stated("data.files", "train_data_paths", paths)
        if draft.has("train_data_weights") and len(paths) > 1:
            blended = "several data sets are blended; the order is not reconstructed from here"
            draft.note_at("train_data_weights", blended)
        draft.derived("data.split", None, f"{draft.at('train_data_paths')}: no split")
        draft.note_at(
            "train_data_paths",
            "with train-data-paths the code takes all documents of the path, no split, and asks for 1.005 times the "
            f"sequences ({COMMIT}:megatron/data/data_utils.py)",
        )
    else:
        draft.stated("data.files", "data_path", alone(single))
    draft.derived("data.token_type", None, "the .idx file says it")


def _run(draft: Draft) -> None:
    _batch(draft)
    steps = draft.take("steps", "train_iters")
    batch, length = draft.values["batch_size"], draft.values["data.sequence_length"]
    if steps and isinstance(batch, int) and isinstance(length, int):
        how = f"train-iters {steps} x batch {batch} x seq-length {length}"
        draft.derived("tokens_total", steps * batch * length, how)
    defaults = f"{COMMIT}:megatron/neox_arguments/deepspeed_args.py: 0 is no clipping"
    if draft.take("clip_norm", "gradient_clipping", None, defaults) == 0:
        draft.put("clip_norm", None, "stated", f"{draft.at('gradient_clipping')}: 0 is no clipping")
    _precision(draft)
    draft.take("z_loss", "z_loss", 0.0, f"{COMMIT}: has none")
    _checkpoints(draft, steps)


def _batch(draft: Draft) -> None:
    """Put train_batch_size, or micro batch x accumulation x devices / (pipeline x model parallel)."""
    micro = draft.integer("train_micro_batch_size_per_gpu", 1, 10**7)
    accumulation = draft.integer("gradient_accumulation_steps", 1, 10**7) or 1
    if draft.integer("gas", 1, 10**7) not in {None, accumulation}:
        overwrites = f"the code overwrites gas by gradient_accumulation_steps, which is {accumulation}"
        draft.note_at("gas", f"{overwrites} ({COMMIT}:megatron/neox_arguments/arguments.py)")
    if draft.take("batch_size", "train_batch_size", limits=(1, BIGGEST)):
        return
    devices, where = draft.integer("global_num_gpus", 1, 10**7), draft.at("global_num_gpus")
    for line, text in draft.marked.comments.items() if devices is None else ():
        if match := re.search(r"trained on (\d{1,6}) gpus", text, re.IGNORECASE):
            devices, where = int(match[1]), f"{draft.marked.file}:{line} comment"
            break
    if micro is None or not devices:
        unknown = "the file does not state the number of devices"
        draft.unstated("batch_size", f"it is micro batch x accumulation x devices, and {unknown}")
        return
    pipe, model = (max(1, draft.integer(f"{key}_parallel_size", 0, 10**6) or 1) for key in ("pipe", "model"))
    key = "train_micro_batch_size_per_gpu"
    if devices % (pipe * model):
        place = draft.find(key) or draft.marked.root
        expected = f"a multiple of {pipe * model}"
        raise draft.bad(place, "the number of devices", expected, f"{devices} ({where})")
    copies = devices // (pipe * model)
    cut = f"({devices} devices from {where}, / pipeline {pipe} / model {model})"
    how = f"{draft.at(key)} {micro} x accumulation {accumulation} x {copies} copies {cut}"
    draft.derived("batch_size", micro * accumulation * copies, how)


def _precision(draft: Draft) -> None:
    said, kind = draft.word("precision", ("fp16", "fp32", "bfloat16")), draft.word("fp16.type")
    enabled = draft.boolean("fp16.enabled")
    draft.boolean("fp16.fp16")
    if draft.boolean("bf16.enabled"):
        draft.put("precision", "bf16", "stated", draft.at("bf16.enabled"))
    elif "bfloat16" in {kind, said}:
        draft.put("precision", "bf16", "stated", draft.at("fp16.type") if kind else draft.at("precision"))
    elif enabled:
        draft.put("precision", "fp16", "stated", draft.at("fp16.enabled"))
    else:
        where = "no fp16.enabled" if enabled is None else draft.at("fp16.enabled")
        draft.derived("precision", "fp32", f"{where}: NeoX then computes in fp32")
    if draft.values["precision"] != "fp16":
        return
    static, power = draft.number("fp16.loss_scale", 0, 2.0**40), draft.integer("fp16.initial_scale_power", 0, 40)
    if static:
        draft.stated("loss_scale", "fp16.loss_scale", static)
        draft.note_at("fp16.loss_scale", "not 0, so the loss scale is fixed")
    elif power is not None:
        how = f"{draft.at('fp16.initial_scale_power')}: 2 to the power {power}, dynamic"
        draft.derived("loss_scale", 2.0**power, how)


def _checkpoints(draft: Draft, steps: int | None) -> None:
    factor, scale = draft.integer("checkpoint_factor", 1), draft.word("checkpoint_scale", ("linear", "log"))
    extra = [draft.as_integer(entry, "extra-save-iters") for entry in draft.items("extra_save_iters") or ()]
    if not steps or (factor is None and not extra):
        return
    saved = set(extra)
    at = factor or steps
    while at < steps and len(saved) < MOST_CHECKPOINTS:
        saved.add(at)
        if scale == "log" and factor == 1:
            break
        at = at * (factor or 1) if scale == "log" else at + (factor or 1)
    if len(saved) >= MOST_CHECKPOINTS:
        draft.unstated("checkpoints", f"{draft.at('checkpoint_factor')}: more than {MOST_CHECKPOINTS}")
        return
    where = f"{draft.at('checkpoint_factor', 'extra_save_iters')}, and the last update"
    draft.derived("checkpoints", tuple(sorted({*saved, steps})), where)
