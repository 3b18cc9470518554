"""Programs whose files we know by sight and do not read: each is refused by its name, with the reason and what to do.

Settings are known by their keys, scripts by the words in which they start or import a program.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from openassay.published.marked import Marked, shorten
from openassay.published.recipes.signs import Signs

SCRIPTS = {".py", ".sh", ".slurm", ".sbatch", ".gin"}
DEFAULTS = "this reader does not know its defaults"
BY_CODE = "its objects are built by code"

UNREAD = (
    (
        "accelerate",
        Signs(
            must=("compute_environment|distributed_type", "num_processes|mixed_precision|deepspeed_config|machine_rank")
        ),
        "its file says how processes are started; no value of a training but the precision stands in it",
    ),
    (
        "MaxText",
        Signs(
            must=(
                "base_emb_dim|base_num_decoder_layers|per_device_batch_size|base_config",
                "decoder_block|base_num_query_heads|dcn_data_parallelism|ici_fsdp_parallelism|max_target_length|model_name",
            )
        ),
        DEFAULTS,
    ),
    (
        "corenet",
        Signs(
            must=(
                "common|dataset",
                "optim.name|scheduler.name|model.language_modeling|model.classification|stats",
                "taskname|model|dataset.category",
            ),
            cannot=("optimizer", "task", "trainer"),
        ),
        DEFAULTS,
    ),
    (
        "fairseq or metaseq",
        Signs(
            must=("task._name|task|criterion._name|criterion", "optimization|dataset|checkpoint|lr_scheduler|common")
        ),
        DEFAULTS,
    ),
    ("fairseq's MMPT", Signs(must=("fairseq", "task_type|model|dataset")), DEFAULTS),
    (
        "Cerebras model zoo 2",
        Signs(must=("trainer.init",)),
        "this reader knows release 1.9: model, optimizer, runconfig",
    ),
    (
        "OpenCLIP",
        Signs(must=("lock_image|force_quick_gelu|zeroshot_frequency", "lr|wd")),
        "it trains no language model",
    ),
    ("GPT-Neo", Signs(must=("n_embd", "train_steps|n_ctx", "mesh_shape|layout")), DEFAULTS),
    ("mesh-transformer-jax", Signs(must=("d_model", "pe", "per_replica_batch|cores_per_replica")), DEFAULTS),
    ("picotron", Signs(must=("distributed.tp_size", "training.learning_rate|training.seq_length")), DEFAULTS),
    ("gigaGPT", Signs(must=("backend", "width", "depth", "heads")), DEFAULTS),
    ("NeMo RL", Signs(must=("policy", "grpo|dpo|sft|rm|loss_fn|cluster")), DEFAULTS),
    ("NeMo", Signs(must=("exp_manager", "trainer", "model")), DEFAULTS),
    ("trlX", Signs(must=("method", "train.seq_length|train.batch_size|train.epochs", "model")), DEFAULTS),
    ("verl", Signs(must=("actor_rollout_ref|trainer.project_name", "data|algorithm")), DEFAULTS),
    (
        "GPT-NeoX",
        Signs(
            must=(
                "vocab_file|vocab-file|tokenizer_type|tokenizer-type",
                "data_path|data-path|train_data_paths|train-data-paths|merge_file|merge-file|save|load",
            ),
            cannot=("model", "model_name_or_path", "learning_rate"),
        ),
        "it is the part that says where data and checkpoints lie; read the file with num_layers and optimizer",
    ),
    (
        "GPT-NeoX",
        Signs(must=("train-iters|train_iters|lr-decay-style|lr_decay_style", "optimizer.params|min-lr|min_lr")),
        "it is a part without the network; read the file with num_layers",
    ),
    ("Meta Lingua", Signs(must=("model", "optim", "data", "distributed|checkpoint|steps")), DEFAULTS),
    ("eole or OpenNMT", Signs(must=("src_vocab|share_vocab", "data|training|model")), DEFAULTS),
    (
        "Stanford's Mistral",
        Signs(must=("inherit", "artifacts|effective_bsz")),
        "it is one part of settings that are put together",
    ),
    ("Stanford's Mistral", Signs(must=("training_arguments",)), "it is one part of settings that are put together"),
    (
        "a speech program of transformers",
        Signs(must=("feature_extractor_name", "learning_rate")),
        "it trains no language model",
    ),
    (
        "Composer",
        Signs(must=("max_duration", "optimizer", "dataset|train_dataset|model")),
        "it is no file of llm-foundry's",
    ),
    (
        "Levanter",
        Signs(must=("cache_dir", "tokenizer|id", "configs|train_urls|train_weights|id")),
        "it is the data of a training; read the file that includes it",
    ),
    ("Levanter", Signs(must=("trainer", "eval_harness|lora|engine|checkpoint_path")), "it is no pre-training"),
    (
        "llm-foundry",
        Signs(must=("model.name|models", "tokenizer.name|model.d_model|icl_tasks")),
        "it states no whole training",
    ),
    (
        "MosaicML's launcher",
        Signs(must=("command", "image|integrations|compute")),
        "the recipe stands below `parameters`, if it has any, or in the file that `command` names",
    ),
    ("Beaker", Signs(must=("tasks", "budget|version")), "it says how a job is started"),
    (
        "LLaMA-Factory",
        Signs(
            must=("model_name_or_path", "stage|finetuning_type", "template|cutoff_len|finetuning_type|learning_rate")
        ),
        DEFAULTS,
    ),
    ("LLaMA-Factory", Signs(must=("model", "train_dataset|model_class", "cutoff_len|template|dist_config")), DEFAULTS),
    (
        "torchtune",
        Signs(must=("model._component_|optimizer._component_|tokenizer._component_",)),
        "its network is built by code",
    ),
    ("Hydra", Signs(must=("model._target_|optimizer._target_|trainer._target_",)), BY_CODE),
    ("Hydra", Signs(must=("hydra|defaults",)), "it is one part of settings that Hydra puts together"),
    (
        "OLMo-core",
        Signs(must=("train_module", "trainer|data_loader|model")),
        "this reader knows OLMo's own YAML, with model.d_model and optimizer.learning_rate",
    ),
    ("Lightning", Signs(must=("trainer", "model.class_path|model.init_args")), BY_CODE),
    (
        "Hugging Face tokenizer",
        Signs(must=("tokenizer_class", "model_max_length")),
        "it says nothing about training",
    ),
    ("PEFT", Signs(must=("peft_type", "base_model_name_or_path|task_type")), "it says the low-rank matrices only"),
    (
        "Hugging Face's Trainer",
        Signs(must=("log_history", "global_step")),
        "it is the log of a training; its arguments stand in training_args.bin or in the script",
    ),
    (
        "Hugging Face generation",
        Signs(
            must=("_from_model_config|do_sample|max_new_tokens", "eos_token_id|temperature|top_p"),
            cannot=("model_type",),
        ),
        "it says nothing about training",
    ),
)
"""Programs that we know and cannot read: their names, the signs of their files, and why."""

_NAMED = "the settings stand in the file that it names; read that"
_STARTS = (
    ("fairseq", r"\bfairseq(?:-hydra)?-train\b|\bfairseq_cli[./](?:hydra_)?train|^(?:from|import) fairseq\b", DEFAULTS),
    ("metaseq", r"\bmetaseq[./-]|\bopt-baselines\b|^(?:from|import) metaseq\b", DEFAULTS),
    ("LLaMA-Factory", r"\bllamafactory-cli\b|\btrain_bash\.py\b|--finetuning_type\b", DEFAULTS),
    ("axolotl", r"\baxolotl[. ](?:cli\.)?(?:train|preprocess)\b", _NAMED),
    ("torchtune", r"\btune run\b", _NAMED),
    ("LitGPT", r"\blitgpt (?:pretrain|finetune\w*)\b", _NAMED),
    ("torchtitan", r"\btorchtitan\b|--job\.config_file\b", "its TOML is read; its Python and its commands are not"),
    ("llm-foundry", r"\bcomposer\b.*\btrain", _NAMED),
    ("GPT-NeoX", r"\bdeepy\.py\b", _NAMED),
    (
        "Levanter",
        r"\blevanter[./]main\b|\btrain_lm\.py\b|^(?:from|import) (?:levanter|marin|experiments)\b",
        "its YAML is read",
    ),
    ("open-instruct", r"\bopen_instruct/\w+\.py\b", "its YAML is read; its commands are not"),
    ("OpenLM", r"\bopen_lm[./]main\b", "its YAML and params.txt are read; its commands are not"),
    ("T5X", r"\bt5x\b", "this reader knows the gin files of Mesh TensorFlow's T5 only"),
    ("xtuner", r"\bxtuner\b|^(?:from|import) mmengine\b", DEFAULTS),
    ("ms-swift", r"\bswift (?:sft|pt|rlhf)\b", DEFAULTS),
    ("NeMo", r"^(?:from|import) nemo(?:_run)?\b", DEFAULTS),
    ("OLMo-core", r"^(?:from|import) olmo_core\b", "no network and optimizer are configured in it"),
)
"""Programs that scripts start or import: the words by which they are known, and why they are not read."""
_CODE = (
    (
        "InternEvo or ColossalAI",
        r"^(?:parallel|hybrid_zero_optimizer|lr_scheduler|beta2_scheduler) = dict\(",
        DEFAULTS,
    ),
    (
        "transformers",
        r"\b(?:TrainingArguments|HfArgumentParser|(?:SFT|DPO|GRPO)Config)\(",
        "its values are set by code or come from the command that starts it",
    ),
    (
        "nanoGPT or alike",
        r"^(?:max_iters|lr_decay_iters|gradient_accumulation_steps)\s*=",
        "its constants are what a configuration or the command may change: read the configuration",
    ),
    (
        "a command line",
        r"\bArgumentParser\(|\b(?:click|typer|absl|fire)\b|\bflags\.DEFINE_",
        "these are its options: what a training got stands in the command that starts it",
    ),
    (
        "PyTorch",
        r"\.backward\(|\boptim\.AdamW?\(|\bAdamW?\(",
        "a training that is code: its values are not read from it",
    ),
)
"""As `_STARTS`, of Python code."""
_STARTED = re.compile(r"(?:^|[\s/])([\w-]+\.py|-m +[\w.]+)(?=\s|\\|\"|'|$)")
_SETTINGS = re.compile(r"([\w-]+\.py)\b(?:[^\n]|\\\n){0,400}?[\s=\"']([\w./${}-]+\.(?:ya?ml|toml|gin))\b")
_OPTION = re.compile(
    r"--((?:[\w.-]*[_.-])?(?:lr|learning[_-]rate|batch[_-]size|num[_-]train[_-]epochs|epochs|max[_-]steps|train[_-]iters|warmup[\w-]*))\b"
)


def unread_settings(marked: Marked) -> str:
    """Why settings of a program that is known are not read; empty where none is known, and for scripts."""
    if PurePosixPath(marked.file).suffix.lower() in SCRIPTS:
        return ""
    for program, signs, why in UNREAD:
        if signs(marked):
            return f"{marked.file}: {program}: expected a recipe that can be read, found its file, and {why}"
    return ""


def unread_script(text: str, where: str) -> str:
    """Why a script is not read: the program that it starts or imports, by name; empty where none is known."""
    suffix = PurePosixPath(where).suffix.lower()
    if suffix not in SCRIPTS:
        return ""
    code = "\n".join("" if line.lstrip().startswith("#") else line for line in text.split("\n"))
    for program, words, why in (*_STARTS, *(_CODE if suffix == ".py" else ())):
        if match := re.search(words, code, re.MULTILINE):
            line = code.count("\n", 0, match.start()) + 1
            return f"{where}:{line}: {program}: expected a recipe that can be read, found its words, and {why}"
    if suffix == ".py":
        return ""
    option = _OPTION.search(code)
    if option is None:
        if not (match := _SETTINGS.search(code)):
            return ""
        line = code.count("\n", 0, match.start(1)) + 1
        return f"{where}:{line}: expected Megatron-LM's arguments, found {match[1]} with {shorten(match[2])}; read that file"
    line = code.count("\n", 0, option.start()) + 1
    started = [match[1] for match in _STARTED.finditer(code, 0, option.start())]
    name = shorten(started[-1]) if started else "a program that it does not name"
    found = f"--{option[1]} of {name}, whose options this reader does not know"
    return f"{where}:{line}: expected Megatron-LM's arguments, found {found}"
