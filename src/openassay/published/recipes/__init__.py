"""Readers of published training recipes. FORMATS is the registry; `read_recipe` tells the formats apart.

A format is recognised by the keys that its files must have, and ruled out by keys that its program does not know. A program that
we know and cannot read has a row in `unread.py`, so that its files are refused by its name and never read as another program's.
To add a format: one file with `read`, its row in FORMATS with its `Signs`, one test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from openassay.faults import BadInput
from openassay.published.marked import Marked, parse_marked, parse_toml, read_text, shorten
from openassay.published.recipes import (
    amber,
    cerebras,
    deepspeed,
    fine_tuning,
    gin,
    gpt_neox,
    hugging_face,
    levanter,
    litgpt,
    llm_foundry,
    megatron,
    nanogpt,
    nanotron,
    olmo,
    olmo_core,
    open_lm,
    tinyllama,
    torchtitan,
)
from openassay.published.recipes.joined import join
from openassay.published.recipes.signs import Signs
from openassay.published.recipes.unread import unread_script, unread_settings
from openassay.training.language import ReadRecipe


@dataclass(frozen=True)
class Format:
    """One way in which releases write a recipe down."""

    name: str
    says: str
    recognise: Callable[[Marked], bool]
    read: Callable[[Marked], ReadRecipe]
    parse: Callable[[str, str], Marked] = parse_marked
    suffixes: tuple[str, ...] = (".yaml", ".yml", ".json")
    hint: str = ""
    """Of a script: a word that stands in every one of them, so that others need not be parsed."""


GPT_NEOX = Signs(
    must=(
        "num-layers|num_layers",
        "hidden-size|hidden_size",
        "num-attention-heads|num_attention_heads",
        "train-iters|train_iters|train_micro_batch_size_per_gpu|train-micro-batch-size-per-gpu|pipe-parallel-size|pipe_parallel_size|"
        "lr-decay-style|lr_decay_style",
    ),
    cannot=("model_type",),
)
TINYLLAMA = Signs(must=("model_name", "global_batch_size", "num_of_devices", "max_step", "warmup_steps", "grad_clip"))
AMBER = Signs(must=("LEARNING_RATE", "WARMUP_GRAD_STEPS", "N_CHUNKS"))
OLMO = Signs(
    must=("model.d_model", "model.n_layers"),
    cannot=("model.name", "model.attn_config", "variables", "train_loader", "dataset", "train_module"),
)
HF_CONFIG = Signs(
    must=("model_type",), cannot=("model", "optimizer", "base_model", "model_name_or_path", "micro_batch_size")
)
AXOLOTL = Signs(must=("base_model", "micro_batch_size|num_epochs|sequence_len|lr_scheduler|datasets"))
OPEN_INSTRUCT = Signs(
    must=("model_name_or_path", "learning_rate", "warmup_ratio"),
    some=frozenset(
        (
            "use_slow_tokenizer",
            "with_tracking",
            "checkpointing_steps",
            "dataset_mixer_list",
            "dataset_mix_dir",
            "preprocessing_num_workers",
        )
    ),
    count=2,
    cannot=("num_warmup_steps", "block_size", "finetuning_type"),
)
NANOTRON = Signs(
    must=("model.model_config", "tokens", "parallelism", "general"),
)
LLM_FOUNDRY = Signs(must=("model.name", "optimizer.name", "scheduler.name", "max_duration", "train_loader"))
LITGPT = Signs(
    must=("train.micro_batch_size|train.global_batch_size", "model_name|checkpoint_dir", "precision|out_dir")
)
DEEPSPEED = Signs(
    must=(
        "zero_optimization|fp16.enabled|bf16.enabled",
        "train_micro_batch_size_per_gpu|train_batch_size|optimizer.params|steps_per_print",
    ),
    cannot=(
        "model", "base_model", "num-layers", "num_layers", "model_name_or_path", "learning_rate", "train-iters", "train_iters",
        "lr-decay-style", "lr_decay_style",
    ),
)  # fmt: skip
_OTHERS = (
    "base_model",
    "micro_batch_size",
    "num_epochs",
    "lr_scheduler",
    "sequence_len",
    "finetuning_type",
    "cutoff_len",
    "train_batch_size",
    "num_warmup_steps",
    "with_tracking",
    "base_emb_dim",
    "feature_extractor_name",
)
"""Keys of other programs that TrainingArguments and TRL do not have."""
ARGUMENTS = Signs(
    must=("per_device_train_batch_size|num_train_epochs|lr_scheduler_type|per_device_eval_batch_size|output_dir",),
    some=hugging_face.TELLING,
    count=2,
    cannot=(*_OTHERS, "optimizer", "scheduler", "batch_size", "epochs", "lr"),
)
TRL = Signs(
    must=(
        "dataset_mixer|dataset_mixture|packing|beta|loss_type|max_prompt_length|max_completion_length|assistant_only_loss|"
        "dataset_num_proc|use_peft|lora_target_modules|chat_template|attn_implementation|reward_funcs",
        "model_name_or_path|dataset_name|dataset_mixer|dataset_mixture",
    ),
    some=hugging_face.TELLING,
    count=2,
    cannot=(*_OTHERS, "optimizer", "model", "scheduler"),
)
PARAMS = "OpenLM's params.txt"
PREPARATION = "Cerebras model zoo data preparation"
MEGATRON = "Megatron-LM's arguments in a shell script (BLOOM, MAP-NEO)"
FORMATS = (
    Format("gpt_neox", "GPT-NeoX YAML (Pythia)", GPT_NEOX, gpt_neox.read),
    Format(
        "cerebras",
        "Cerebras model zoo params.yaml (CrystalCoder)",
        Signs(must=("model", "optimizer", "runconfig")),
        cerebras.read,
    ),
    Format("cerebras_preparation", PREPARATION, Signs(must=("setup", "processing")), cerebras.read_preparation),
    Format("olmo", "OLMo YAML (OLMo, OLMo 2)", OLMO, olmo.read),
    Format("hf_config", "Hugging Face config.json", HF_CONFIG, hugging_face.read_config),
    Format("axolotl", "axolotl YAML", AXOLOTL, fine_tuning.read_axolotl),
    Format("open_instruct", "open-instruct YAML (Tulu)", OPEN_INSTRUCT, fine_tuning.read_open_instruct),
    Format("trl", "TRL YAML (alignment-handbook)", TRL, hugging_face.read_trl),
    Format("hf_arguments", "Hugging Face TrainingArguments", ARGUMENTS, hugging_face.read_arguments),
    Format("nanotron", "nanotron YAML (SmolLM)", NANOTRON, nanotron.read),
    Format("llm_foundry", "llm-foundry YAML (MPT)", LLM_FOUNDRY, llm_foundry.read),
    Format("litgpt", "LitGPT YAML", LITGPT, litgpt.read),
    Format("deepspeed", "DeepSpeed JSON", DEEPSPEED, deepspeed.read),
    Format("t5_gin", "gin files of T5 (Mesh TensorFlow)", gin.recognise, gin.read, gin.parse, (".gin",)),
    Format("amber", "constants of LLM360's Amber main.py", AMBER, amber.read, amber.parse, (".py",), "LEARNING_RATE"),
    Format(
        "tinyllama",
        "constants of TinyLlama's tinyllama.py",
        TINYLLAMA,
        tinyllama.read,
        amber.parse,
        (".py",),
        "max_step",
    ),
    Format(
        "megatron",
        MEGATRON,
        megatron.recognise,
        megatron.read,
        megatron.parse,
        (".sh", ".slurm", ".sbatch"),
        "--num-layers",
    ),
    Format(
        "olmo_core", "OLMo-core's Python", olmo_core.recognise, olmo_core.read, olmo_core.parse, (".py",), "olmo_core"
    ),
    Format("nanogpt", "constants of nanoGPT and alike", nanogpt.recognise, nanogpt.read, nanogpt.parse, (".py",)),
    Format("levanter", "Levanter YAML (Marin)", levanter.recognise, levanter.read, levanter.parse),
    Format("dclm", "DCLM's scales", open_lm.is_scale, open_lm.read_scale),
    Format("open_lm_params", PARAMS, open_lm.is_arguments, open_lm.read_params, open_lm.parse_arguments, ()),
    Format("open_lm", "OpenLM's arguments", open_lm.is_arguments, open_lm.read_arguments),
    Format("open_lm_network", "OpenLM's networks", open_lm.is_network, open_lm.read_network),
    Format("torchtitan", "torchtitan TOML", torchtitan.recognise, torchtitan.read, parse_toml, (".toml",)),
)
"""Tried in this order, among those whose files end so."""


def read_recipe(source: Path | str, format: str | None = None, name: str = "recipe") -> ReadRecipe:  # noqa: A002 - the word
    """What a published file says about its training.

    `source` is a path, or the text itself (then `name` stands for the file in messages). `BadInput`, in one line with the file,
    the line and the key, for what cannot be read.
    """
    text, where = (read_text(source), str(source)) if isinstance(source, Path) else (source, name)
    if format is not None:
        chosen = next((one for one in FORMATS if one.name == format), None)
        if chosen is None:
            raise BadInput(f"format: expected one of {', '.join(one.name for one in FORMATS)}, found {format!r}")
        given = chosen.parse(text, where)
        if not chosen.recognise(given):
            raise BadInput(f"{where}:1: expected {chosen.says}, found none of its keys")
        return chosen.read(given)
    candidates = [one for one in FORMATS if Path(where).suffix.lower() in one.suffixes] or FORMATS
    refusals: list[BadInput] = []
    parsed: dict[Callable[[str, str], Marked], Marked | None] = {}
    for one in candidates:
        if one.parse not in parsed:
            try:
                parsed[one.parse] = one.parse(text, where)
            except BadInput as refused:
                parsed[one.parse] = None
                refusals.append(refused)
        marked = parsed[one.parse]
        if marked and one.recognise(marked):
            return one.read(marked)
    if len(refusals) == len(parsed):
        raise refusals[0 if candidates is FORMATS else -1]
    for marked in filter(None, parsed.values()):
        if known := unread_settings(marked):
            raise BadInput(known)
        for one in candidates:
            if (
                isinstance(one.recognise, Signs)
                and one.recognise.seen(marked)
                and (entry := one.recognise.barred(marked))
            ):
                raise BadInput(
                    f"{entry.place}: {shorten(entry.name)}: expected {one.says} only, found a key of another program"
                )
    if refusals and candidates is not FORMATS:
        raise refusals[-1]
    known = ", ".join(one.name for one in candidates)
    none = f"{where}: expected a recipe of a known format ({known}; see docs/recipes.md), found none of their keys"
    raise BadInput(unread_script(text, where) or none)


def parse_script(text: str, where: str) -> Marked | None:
    """A script as the format that recognises it parses it; None for any other."""
    suffix = Path(where).suffix.lower()
    for one in FORMATS:
        if one.hint and suffix in one.suffixes and one.hint in text:
            with suppress(BadInput):
                if one.recognise(marked := one.parse(text, where)):
                    return marked
    return None


def read_marked(marked: Marked) -> ReadRecipe | None:
    """What a file that is parsed already says about its training; None where no format recognises it.

    `BadInput` where a format does, and cannot read it.
    """
    suffix = Path(marked.file).suffix.lower()
    chosen = next((one for one in FORMATS if suffix in one.suffixes and one.recognise(marked)), None)
    return chosen.read(marked) if chosen else None


def read_recipes(files: Sequence[Path], format: str | None = None) -> ReadRecipe:  # noqa: A002 - the word
    """What these files of one training say together. `format` is the first one's; the others' formats are recognised."""
    first, *others = files
    parts = [read_recipe(first, format), *(read_recipe(other) for other in others)]
    return parts[0] if not others else join(parts, " and ".join(file.name for file in files))
