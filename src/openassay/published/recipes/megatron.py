"""Megatron-LM's and Megatron-DeepSpeed's arguments in the shell script that starts the training (BLOOM, Apertus, MAP-NEO).

The learning rate is read before the update is counted, so that the first update has the rate `lr-warmup-init`, 0 unless stated.
Defaults are those that both programs have had in all their versions; one that only one of them has is cited from that one.
"""

from __future__ import annotations

import math
import re
from pathlib import PurePosixPath

from openassay.faults import BadInput
from openassay.published.marked import Entry, Marked, shorten
from openassay.published.recipes.draft import whole
from openassay.published.recipes.gpt_neox import ENTRIES
from openassay.published.recipes.guarded import GuardedDraft, unfollowed
from openassay.published.recipes.shell import Word, parse_script
from openassay.training.language import ReadRecipe

LM = "NVIDIA/Megatron-LM@d580efc68a9f0dbf1945f834f6f6200cd01d3343"
DEEPSPEED = "bigscience-workshop/Megatron-DeepSpeed@8387ae17c4704f6579f88a84500b535d19d7fbbf"

IGNORED = {
    "parallelism": (
        "*parallel-size *parallel sequence-parallel use-distributed-optimizer overlap-* tp-comm-* ddp-* num-layers-per-* "
        "*-pipeline-* pp-partition-method zero-* deepspeed* distributed-* no-async-* no-scatter-* use-torch-fsdp2 nproc* nnodes* "
        "node* master* rdzv* max-restarts tee local-rank expert-model-* sync-tp-* use-ring-exchange-* use-tp-pp-* no-pipeline-*"
    ),
    "memory, not values": "recompute* checkpoint-activations* *-offload* partition-activations checkpoint-num-layers",
    "logging": "log-* *log-dir *tensorboard* wandb* timing-* no-log-* no-barrier-* profile* one-logger* *-one-logger kill-*",
    "evaluation": "eval-* valid-* test-* skip-train",
    "a path": "save load ckpt-* data-cache-path merge-file tokenizer-model tokenizer-name* *-checkpoint* exit-* non-persistent-*",
    "storage": "no-save-* no-load-* use-dist-ckpt async-save dist-ckpt-* use-checkpoint-* override-* no-ckpt-* save-retain-*",
    "the token files are tokenised": "tokenizer-type data-impl",
    "speed; rounding only": (
        "no-*-fusion *-fusion use-flash-attn* attention-backend *-in-fp32 attention-softmax-in-fp32 transformer-impl manual-gc* "
        "num-workers no-mmap-* no-create-attention-mask* use-mcore-models use-legacy-models dataloader-type adlr-* te-* "
        "abort-on-* use-cpu-initialization init-model-with-* grad-reduce-in-* no-check-for-* check-for-* mmap-warmup"
    ),
    "of the loss scale's later course": "loss-scale-window hysteresis min-loss-scale",
}
BOOLEANS = (
    "swiglu", "squared-relu", "openai-gelu", "disable-bias-linear", "untie-embeddings-and-output-weights", "qk-layernorm",
    "group-query-attention", "use-rotary-position-embeddings", "bf16", "fp16", "apply-layernorm-1p", "embed-layernorm",
    "init-method-xavier-uniform", "finetune", "multi-latent-attention", "add-qkv-bias", "reset-position-ids",
    "reset-attention-mask", "eod-mask-loss", "calculate-per-token-loss", "use-rope-scaling", "no-position-embedding",
    "apply-residual-connection-post-layernorm", "no-data-sharding", "mock-data",
)  # fmt: skip
"""Flags without a value that bear on the recipe."""
NO_GPT = {
    "pretrain_bert.py", "pretrain_t5.py", "pretrain_mamba.py", "pretrain_ict.py", "pretrain_vlm.py", "pretrain_retro.py",
}  # fmt: skip
"""Programs that train other networks."""
NOT_GPT = {
    "num-experts": "experts",
    "multi-latent-attention": "multi-latent attention",
    "embed-layernorm": "a norm on the embedding",
    "apply-residual-connection-post-layernorm": "residuals taken after the norm",
    "apply-layernorm-1p": "norms whose weights are kept less one",
    "add-qkv-bias": "biases of queries, keys and values alone",
    "use-rope-scaling": "scaled rotary positions",
    "window-size": "sliding windows",
    "rotary-seq-len-interpolation-factor": "interpolated positions",
    "hybrid-override-pattern": "layers of several kinds",
    "hybrid-attention-ratio": "layers of several kinds",
    "moe-layer-freq": "experts",
    "mtp-num-layers": "prediction of several tokens",
    "xielu": "the activation xIELU",
    "reset-attention-mask": "attention that stays within documents",
    "eod-mask-loss": "a loss mask at the ends of documents",
    "calculate-per-token-loss": "a loss divided over all tokens of the batch",
    "ademamix": "AdEMAMix",
    "goldfish-loss": "the goldfish loss",
    "fp8-format": "training in fp8",
    "img-h": "a part that sees images",
    "language-model-type": "a part that sees images",
    "retro-workdir": "a part that retrieves",
    "retro-add-retriever": "a part that retrieves",
    "grpo-group-size": "a loss over rewards",
    "mup-input-mult": "rates and sizes by maximal update parametrisation",
    "mup": "rates and sizes by maximal update parametrisation",
    "norm-target-loss": "a loss divided by the targets' lengths",
    "loss-on-targets-only": "a loss on targets only",
    "use-bnb-optimizer": "an optimizer in 8 bits",
    "train-tokens": "an end counted in tokens",
    "curriculum-learning": "sequences that grow",
    "skip-train-iteration-range": "updates that are left out",
}
"""Flags that ask for what the canonical recipe cannot express."""
FORKS = (
    "attention-head-type", "fim-rate", "tokenizer-file", "structured-logs", "train-weighted-split-paths-path", "quick-geglu",
    "glu-linear-offset", "softmax-type", "enable-gpt-oss", "rope-type", "bitfit", "mup-input-mult", "xielu", "goldfish-loss",
    "qknorm-impl", "ademamix-alpha", "data-base-path", "use-flash-attn-v2",
)  # fmt: skip
"""Flags that neither program has at its commit: of forks and later versions, whose defaults are not known."""
VALUED = re.compile(
    r"(lr|split|seed|save|load|optimizer|data-path|.*-(path|dir|file|name|size|interval|iters|samples|config|model|style|type|"
    r"layers|heads|length|embeddings|groups|channels|fraction|decay|beta1|beta2|eps|epsilon|std|dropout|base|percent|grad|init|"
    r"workers|scale|project|exp-name|split|mins|addr|port|node|rank|count|stage|prefix|config|backend|style|by|lr|to))\Z"
)
_NUMBER = re.compile(r"[-+]?(\d[\d_]*(\.\d*)?|\.\d+)([eE][-+]?\d+)?\Z")


def parse(text: str, where: str) -> Marked:
    """The arguments of the script's one training, by flag, each with its line."""
    script = parse_script(text, where)
    trainings = [
        (name, args) for words in (*script.commands, *script.variables.values()) for name, args in _programs(words)
    ]
    if not trainings:
        parts = [words for words in script.variables.values() if words and (words[0].text or "").startswith("--")]
        loose = [words for words in script.commands if words and (words[0].text or "").startswith("--")]
        trainings = [("", [word for words in (*parts, *loose) for word in words])]
    given = [(name, _arguments(args, where)) for name, args in trainings]
    first, *others = given
    for name, other in others:
        if {key: one.plain() for key, one in other.items()} != {key: one.plain() for key, one in first[1].items()}:
            raise BadInput(
                f"{where}: expected the arguments of one training, found two: {shorten(first[0])} and {shorten(name)}"
            )
    values = first[1]
    notes = [] if first[0] else [f"{where}: the script does not name the program; its defaults are unstated"]
    values["program"] = Entry(first[0], where, 1, first[0], True)
    return Marked(where, Entry(values, where, 1), notes=tuple(notes), is_json=True)


def _programs(words: list[Word]) -> list[tuple[str, list[Word]]]:
    """The Python file that the words start and the words after it, where these are a network's arguments."""
    for at, word in enumerate(words):
        name = word.end if word.text is None else word.text
        if name.endswith(".py") and any(one.text == "--num-layers" for one in words[at:]):
            return [(PurePosixPath(name).name, words[at + 1 :])]
        if " " in name and ".py" in name and "--num-layers" in name:
            lines = enumerate(name.split("\n"), word.line)
            pieces = [(piece, line) for line, text in lines for piece in text.split() if piece != "\\"]
            return _programs([Word(piece, line, word.why, word.maybe) for piece, line in pieces])
    return []


def _arguments(words: list[Word], where: str) -> dict[str, Entry]:
    """The flags' values. A value that is not followed is None; the key `open` says why there may be more flags."""
    found: dict[str, Entry] = {}
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word.text is None or not re.match(r"--[A-Za-z]", word.text):
            if word.text is None:
                found.setdefault("open", Entry(word.why, where, word.line, word.why, True))
            continue
        flag, equals, inline = word.text[2:].partition("=")
        line, values = word.line, [Word(inline, word.line)] if equals else []
        while not equals and at < len(words) and not re.match(r"--[A-Za-z]", words[at].text or ""):
            if words[at].text is None and values and not flag.startswith("data"):
                break
            is_flag = flag in BOOLEANS or words[at].start.startswith("-")
            if words[at].text is None and (is_flag or not (words[at].is_glued or VALUED.match(flag))):
                break
            values.append(words[at])
            at += 1
        flag = flag.replace("_", "-")
        lost = next((one for one in values if one.text is None), None)
        if word.maybe or any(one.maybe for one in values):
            found[flag] = unfollowed("it is given under a condition", where, line, flag)
        elif lost is not None:
            found[flag] = unfollowed(lost.why, where, line, flag)
        elif len(values) > 1 and (values[0].text or "").startswith("<") and (values[-1].text or "").endswith(">"):
            found[flag] = _scalar(Word(" ".join(one.text or "" for one in values), line), where, line, flag)
        elif flag in BOOLEANS or not values:
            found[flag] = Entry(True, where, line, "true", name=flag)
        elif len(values) == 1:
            found[flag] = _scalar(values[0], where, line, flag)
        else:
            found[flag] = Entry([_scalar(one, where, line, flag) for one in values], where, line, name=flag)
    return found


def _scalar(word: Word, where: str, line: int, flag: str) -> Entry:
    text = (word.text or "").strip("'\"")
    value: int | float | str = text
    if len(text) <= 40 and _NUMBER.match(text):
        digits = text.replace("_", "")
        value = int(digits) if re.fullmatch(r"[-+]?\d+", digits) else float(digits)
    return Entry(value, where, line, text[:400], isinstance(value, str), flag)


def recognise(marked: Marked) -> bool:
    """Whether the script gives a network's sizes by Megatron's names."""
    root = marked.root.value
    if not isinstance(root, dict) or not {"num-layers", "hidden-size", "num-attention-heads"} <= set(root):
        return False
    return not root["program"].raw or bool({"lr", "train-iters", "train-samples"} & set(root))


def read(marked: Marked) -> ReadRecipe:
    """The recipe of a script that starts Megatron's pretraining of a GPT."""
    root = marked.root.value
    program = root["program"].raw
    more = f"{root['open'].place}: more words may be given: {root['open'].raw}" if "open" in root else ""
    if program in NO_GPT or program.startswith("pretrain_vision"):
        raise BadInput(f"{marked.file}: program: expected pretrain_gpt.py, found {program}, whose network is not a GPT")
    if not more and program != "pretrain_gpt.py":
        more = f"the script's program {shorten(program) or 'is not named'}: its defaults are not known"
    fork = next((key for key in FORKS if key in root), None)
    if fork and not more:
        more = f"{root[fork].place}: --{fork} is a flag of a fork or of a later version, whose defaults are not known"
    draft = GuardedDraft("megatron", marked, more)
    draft.used |= {"program", "open"}
    if more:
        draft.note(f"{more}; keys that are absent here are unstated")
    deepspeed = any(key.startswith(("deepspeed", "zero-stage")) for key in root)
    commit = DEEPSPEED if deepspeed else LM
    args = f"{commit}:megatron/arguments.py" if deepspeed else f"{commit}:megatron/training/arguments.py"
    for key, what in NOT_GPT.items():
        if key in root:
            draft.used.add(key)
            draft.beyond(key, what)
    _architecture(draft, args)
    _vocabulary(draft, args)
    _optimizer(draft, args, commit)
    _data(draft, args)
    _run(draft, args)
    _learning_rate(draft, args)
    return draft.finish(IGNORED)


def _flag(draft: GuardedDraft, name: str, key: str, given: object, absent: object, args: str) -> None:
    """Set a value that a flag without a value turns on."""
    draft.stated(name, key, given if draft.boolean(key) else None, absent, f"{args}: no --{key}")  # type: ignore[arg-type]


def _architecture(draft: GuardedDraft, args: str) -> None:
    width = draft.take("architecture.hidden_size", "hidden-size")
    draft.take("architecture.num_layers", "num-layers")
    heads = draft.take("architecture.num_heads", "num-attention-heads")
    draft.heads_divide(width, "num-attention-heads", heads)
    groups = draft.integer("num-query-groups", 1, 10**5)
    if draft.word("attention-head-type") == "multiquery":
        draft.put("architecture.num_kv_heads", 1, "stated", draft.at("attention-head-type"))
    elif why := draft.why_not("group-query-attention", "num-query-groups"):
        draft.unstated("architecture.num_kv_heads", why)
    elif draft.boolean("group-query-attention"):
        draft.stated("architecture.num_kv_heads", "num-query-groups", groups, 1, f"{args} num-query-groups")
    else:
        draft.code(f"{args}: no --group-query-attention", {"architecture.num_kv_heads": heads})
    draft.take("architecture.head_size", "kv-channels", None, f"{args}: hidden-size / heads")
    draft.take("architecture.max_position", "max-position-embeddings")
    _activation(draft, args)
    names = ("layer_norm", "LayerNorm", "layernorm"), ("rms_norm", "RMSNorm", "rmsnorm")
    norms = {word: norm for norm, *words in names for word in words}
    draft.named("architecture.norm", "normalization", norms, "layer_norm", f"{args} normalization")
    draft.take("architecture.norm_eps", draft.first("norm-epsilon", "layernorm-epsilon"), 1e-5, f"{args} norm-epsilon")
    _positions(draft, args)
    _flag(draft, "architecture.bias", "disable-bias-linear", False, True, args)
    _flag(draft, "architecture.tied_embeddings", "untie-embeddings-and-output-weights", False, True, args)
    _flag(draft, "architecture.qk_norm", "qk-layernorm", True, False, args)
    for key in ("attention-dropout", "hidden-dropout"):
        draft.take(f"architecture.{key.replace('-', '_')}", key, 0.1, f"{args} {key}")
    if not draft.open_because:
        draft.code(f"{args}: has none", {"architecture.parallel_residual": False})
    _family(draft)
    _initialisation(draft, args)


def _activation(draft: GuardedDraft, args: str) -> None:
    name, keys = "architecture.activation", ("swiglu", "squared-relu", "openai-gelu", "glu-activation")
    on = [key for key in ("swiglu", "squared-relu", "openai-gelu") if draft.boolean(key)]
    if on == ["swiglu"]:
        draft.put(name, "swiglu", "stated", draft.at("swiglu"))
    elif beyond := [key for key in ("squared-relu", "glu-activation", "xielu") if draft.has(key)]:
        draft.unstated(name, f"{draft.at(*beyond)} has no canonical name")
    elif why := draft.why_not(*keys):
        draft.unstated(name, why)
    elif on == ["openai-gelu"]:
        draft.put(name, "gelu_tanh", "stated", draft.at("openai-gelu"))
    else:
        unsure = "GELU, in its tanh form where the bias is fused with it, and exact where not: the default has changed"
        draft.unstated(name, f"{args}: {unsure}")
    width, inner = (
        draft.values["architecture.hidden_size"],
        draft.take("architecture.intermediate_size", "ffn-hidden-size"),
    )
    why = draft.why_not("ffn-hidden-size", "swiglu") if not on else draft.why_not("ffn-hidden-size")
    if inner is None and not why and isinstance(width, int):
        gated = "swiglu" in on
        size = int((4 * width * 2 / 3) / 64) * 64 if gated else 4 * width
        how = "hidden-size x 8/3, down to a multiple of 64" if gated else "4 x hidden-size"
        draft.code(f"{args}: {how}", {"architecture.intermediate_size": size})


def _positions(draft: GuardedDraft, args: str) -> None:
    kind = draft.word("position-embedding-type")
    rotary = draft.boolean("use-rotary-position-embeddings") or kind in {"rope", "rotary"}
    if rotary:
        share = draft.number("rotary-percent", 0, 1)
        draft.stated("architecture.rotary_share", "rotary-percent", share, 1.0, f"{args} rotary-percent")
        draft.take("architecture.rotary_base", "rotary-base", 10000, f"{args} rotary-base")
        return
    draft.number("rotary-percent"), draft.number("rotary-base")
    why = draft.why_not("position-embedding-type", "use-rotary-position-embeddings")
    if why and kind is None:
        draft.unstated("architecture.rotary_share", why)
        return
    draft.no_rotary(draft.at("position-embedding-type") if kind else f"{args}: learned positions")


def _family(draft: GuardedDraft) -> None:
    """Name the canonical network that these flags make, where one is the same function."""
    values = {name.rpartition(".")[2]: value for name, value in draft.values.items()}
    llama = values.get("activation") == "swiglu" and values.get("norm") == "rms_norm" and values.get("bias") is False
    whole_head = values.get("rotary_share") == 1.0 and values.get("qk_norm") is False
    odd = [key for key in NOT_GPT if key in draft.marked.root.value]
    if llama and whole_head and not odd:
        draft.derived(
            "architecture.family", "llama", "swiglu, RMS norms, rotary positions of the whole head and no biases"
        )
    else:
        draft.unstated("architecture.family", "the flags make no network that has a canonical name")


def _initialisation(draft: GuardedDraft, args: str) -> None:
    std = draft.take("initialisation.std", "init-method-std", 0.02, f"{args} init-method-std")
    layers = draft.values["architecture.num_layers"]
    if draft.boolean("init-method-xavier-uniform"):
        draft.put("initialisation.method", "xavier_uniform", "stated", draft.at("init-method-xavier-uniform"))
        draft.unstated("initialisation.std", "the method gives each matrix its own")
    elif why := draft.why_not("init-method-xavier-uniform"):
        draft.unstated("initialisation.method", why)
    else:
        draft.code(f"{args}: no --init-method-xavier-uniform", {"initialisation.method": "normal"})
        if std is not None and isinstance(layers, int):
            how = f"{draft.origins['initialisation.std'].where} / sqrt(2 x num-layers)"
            draft.derived("initialisation.output_method", "scaled_normal", how)
            draft.derived("initialisation.output_std", std / math.sqrt(2 * layers), how)


def _vocabulary(draft: GuardedDraft, args: str) -> None:
    draft.integer("vocab-size")
    if draft.has("pad-vocab-size-to"):
        draft.take("architecture.vocab_size", "pad-vocab-size-to")
        return
    divisor, parallel = draft.integer("make-vocab-size-divisible-by", 1), draft.integer("tensor-model-parallel-size", 1)
    entries = ENTRIES.get(PurePosixPath(draft.word("vocab-file") or "").name)
    why = draft.why_not("pad-vocab-size-to", "vocab-file", "make-vocab-size-divisible-by", "tensor-model-parallel-size")
    if entries is None or why:
        draft.unstated(
            "architecture.vocab_size", why or "it is the tokenizer's, padded, which the script does not state"
        )
        return
    step = (divisor or 128) * (parallel or 1)
    how = f"{entries} entries, padded to a multiple of {step} ({args} make-vocab-size-divisible-by)"
    draft.derived("architecture.vocab_size", math.ceil(entries / step) * step, f"{draft.at('vocab-file')}: {how}")


def _optimizer(draft: GuardedDraft, args: str, commit: str) -> None:
    draft.named(
        "optimizer.name", "optimizer", {"adam": "adamw"}, "adamw", f"{args} optimizer: adam, its decay decoupled"
    )
    pair = [draft.number(f"adam-beta{at}", 0, 1) for at in (1, 2)]
    if (why := draft.why_not("adam-beta1", "adam-beta2")) and None in pair:
        draft.unstated("optimizer.betas", why)
    else:
        draft.two_betas("adam-beta1", "adam-beta2", f"{args} adam-beta1, adam-beta2")
    draft.take("optimizer.eps", "adam-eps", 1e-8, f"{args} adam-eps")
    draft.take("optimizer.weight_decay", "weight-decay", 0.01, f"{args} weight-decay")
    for key in ("start-weight-decay", "end-weight-decay"):
        if draft.has(key):
            draft.beyond(key, "a weight decay that changes")
    if draft.has("decoupled-lr"):
        draft.beyond("decoupled-lr", "another rate for the embeddings")
    if not draft.open_because:
        draft.code(f"{commit}: biases and all of one dimension", {"optimizer.not_decayed": ("bias", "norm")})
        draft.code(f"{commit}: one rate for all", {"optimizer.lr_multipliers": {}})


def _data(draft: GuardedDraft, args: str) -> None:
    length = draft.take("data.sequence_length", "seq-length")
    if isinstance(length, int):
        draft.derived(
            "data.item_length", length + 1, f"{draft.at('seq-length')}: inputs and labels are cut from one item"
        )
    draft.take("data.seed", "seed", 1234, f"{args} seed", (0, 2**32 - 1))
    if draft.open_because:
        draft.unstated("data.order", draft.open_because)
    else:
        draft.code(f"{args}: pretrain_gpt.py's GPTDataset", {"data.order": "megatron_shuffled"})
    entry = draft.find("data-path")
    if entry is not None and isinstance(entry.value, list):
        draft.beyond("data-path", "a weighted mixture of files")
        draft.unstated("data.files", f"{draft.at('data-path')}: a mixture, or several files")
    else:
        draft.stated("data.files", "data-path", (entry.raw,) if entry else None)
    draft.take("data.split", "split")


def _run(draft: GuardedDraft, args: str) -> None:
    batch = draft.take("batch_size", "global-batch-size")
    for key in ("rampup-batch-size", "step-batch-size-schedule"):
        if draft.find(key) is not None or key in draft.marked.root.value:
            draft.beyond(key, "a batch that grows")
            draft.unstated("batch_size", f"{draft.at(key)}: the batch grows, so there is no one size")
            batch = None
    draft.integer("micro-batch-size", 1)
    samples = draft.integer("train-samples", 1)
    steps = draft.take("steps", "train-iters")
    if steps is None and (why := draft.why_not("train-iters", "train-samples")):
        draft.unstated("steps", why)
    if steps is None and samples and batch:
        steps = samples // batch
        draft.derived("steps", steps, f"{draft.at('train-samples')} // global-batch-size {batch}")
    elif steps is None and draft.has("train-samples"):
        draft.unstated(
            "steps", f"{draft.at('train-samples')}: the updates depend on the batch, which is not one known size"
        )
    length = draft.values["data.sequence_length"]
    if cut := [key for key in ("train-tokens", "skip-train-iteration-range") if key in draft.marked.root.value]:
        draft.unstated("steps", f"{draft.at(*cut)}: the number of updates does not follow")
    elif isinstance(length, int) and (samples or (steps and batch)):
        total = (samples or (steps or 0) * (batch or 0)) * length
        draft.derived(
            "tokens_total", total, f"{draft.at('train-samples', 'train-iters')}: sequences x seq-length {length}"
        )
    if draft.take("clip_norm", "clip-grad", 1.0, f"{args} clip-grad") == 0:
        draft.put("clip_norm", None, "stated", f"{draft.at('clip-grad')}: 0, so nothing is clipped")
    _precision(draft, args)
    every = draft.integer("save-interval", 1)
    if every:
        draft.checkpoints(
            steps, [every], f"{draft.at('save-interval')}, and the last update", *([steps] if steps else [])
        )
    if draft.boolean("finetune"):
        draft.note_at("finetune", "the training continues from a checkpoint of another training")
    if not draft.open_because:
        draft.code(f"{args}: cross entropy alone", {"z_loss": 0.0})


def _precision(draft: GuardedDraft, args: str) -> None:
    on = [key for key in ("bf16", "fp16") if draft.boolean(key)]
    if len(on) == 2:
        raise draft.refusal("bf16", "bf16 or fp16", "both")
    if on:
        draft.put("precision", on[0], "stated", draft.at(on[0]))
    elif why := draft.why_not("bf16", "fp16"):
        draft.unstated("precision", why)
    else:
        draft.code(f"{args}: neither --bf16 nor --fp16", {"precision": "fp32"})
    if on == ["fp16"]:
        fixed = draft.number("loss-scale", 0, 2.0**60)
        if fixed is not None:
            draft.stated("loss_scale", "loss-scale", fixed)
            draft.note_at("loss-scale", "the loss scale is fixed")
        else:
            scale = draft.number("initial-loss-scale", 0, 2.0**60)
            draft.stated("loss_scale", "initial-loss-scale", scale, 2.0**32, f"{args} initial-loss-scale")


def _length(draft: GuardedDraft, what: str, batch: object) -> tuple[float | None, str]:
    """Updates of the warm-up or the decay from its key in updates or in samples, and where they stand."""
    iterations, samples = draft.number(f"{what}-iters", 0, 1e15), draft.number(f"{what}-samples", 0, 1e15)
    if iterations is not None:
        return iterations, draft.at(f"{what}-iters")
    if samples is not None and isinstance(batch, int):
        return whole(samples / batch), f"{draft.at(f'{what}-samples')} / global-batch-size {batch}"
    return None, draft.at(f"{what}-samples")


def _learning_rate(draft: GuardedDraft, args: str) -> None:
    forms = {
        "cosine": "cosine_to_min",
        "linear": "linear",
        "constant": "constant",
        "inverse-square-root": "inverse_sqrt",
    }
    draft.named("learning_rate.form", "lr-decay-style", forms, "linear", f"{args} lr-decay-style")
    draft.take("learning_rate.peak", "lr")
    draft.take("learning_rate.minimum", "min-lr", 0.0, f"{args} min-lr")
    draft.take("learning_rate.warmup_minimum", "lr-warmup-init", 0.0, f"{args} lr-warmup-init")
    scheduler = f"{LM}:megatron/core/optimizer_param_scheduler.py: read before the update is counted"
    if draft.marked.root.value["program"].raw == "pretrain_gpt.py":
        draft.code(scheduler, {"learning_rate.first": "zero"})
    batch, steps = draft.values["batch_size"], draft.values["steps"]
    decay, where = _length(draft, "lr-decay", batch)
    why = draft.why_not("lr-decay-iters", "lr-decay-samples")
    if decay is not None:
        draft.put("learning_rate.decay_steps", decay, "stated" if draft.has("lr-decay-iters") else "derived", where)
    elif why or draft.has("lr-decay-samples") or steps is None:
        draft.unstated("learning_rate.decay_steps", why or f"{where}: in samples, and the updates do not follow")
    else:
        decay = float(str(steps))
        draft.derived("learning_rate.decay_steps", whole(decay), f"{args}: all updates, {draft.origins['steps'].where}")
    share = draft.number("lr-warmup-fraction", 0, 1)
    warmup, where = _length(draft, "lr-warmup", batch)
    why = draft.why_not("lr-warmup-fraction", "lr-warmup-iters", "lr-warmup-samples")
    if share is not None and decay is not None:
        at = f"{draft.at('lr-warmup-fraction')} x {draft.origins['learning_rate.decay_steps'].where}"
        draft.derived("learning_rate.warmup_steps", whole(share * decay), at)
    elif warmup is not None and share is None:
        draft.put("learning_rate.warmup_steps", warmup, "stated" if draft.has("lr-warmup-iters") else "derived", where)
    elif why or share is not None or draft.has("lr-warmup-samples"):
        draft.unstated("learning_rate.warmup_steps", why or f"{where}: the updates do not follow")
    else:
        draft.code(f"{args} lr-warmup-iters: none", {"learning_rate.warmup_steps": 0})
    if draft.values["learning_rate.form"] in {"constant", "inverse_sqrt"}:
        form = draft.origins["learning_rate.form"].where
        if draft.values["learning_rate.minimum"] and draft.values["learning_rate.form"] == "inverse_sqrt":
            draft.beyond("min-lr", "a floor under this form")
        draft.derived("learning_rate.decay_steps", None, f"{form}: it has no end")
