"""Which components do the files themselves show? Recognised by name and content together, each with its reason.

Careful on purpose: what is not recognised is `not seen`, which proves nothing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, get_args

from openassay.checks.code_options import dotted_name
from openassay.checks.hyperparameters import recipes
from openassay.checks.licences import card_kind, declarations
from openassay.checks.release import Code, Config, File, PublishedFiles, step_of
from openassay.checks.results import sheets
from openassay.checks.weights import is_optimizer
from openassay.core.types import ComponentDetected, ComponentName, FileSeen

MAX_FILES = 5

Found = tuple[str, str]
"""A path, and why it shows the component."""


def _is_test(path: str) -> bool:
    """Does a file belong to tests, or to another project that was copied in?"""
    return any(
        part
        in {
            "tests",
            "test",
            "testing",
            "test_data",
            "test_fixtures",
            "fixtures",
            "third_party",
            "vendor",
            "dependencies",
            "external",
        }
        for part in path.lower().split("/")[:-1]
    ) or bool(re.match(r"(test_|conftest)", path.rpartition("/")[2]))


def _own_code(release: PublishedFiles) -> Iterator[Code]:
    return (code for code in release.code if not _is_test(code.path))


_BASES = {
    "nn.Module",
    "torch.nn.Module",
    "Module",
    "PreTrainedModel",
    "keras.Model",
    "tf.keras.Model",
    "flax.linen.Module",
    "hk.Module",
    "LightningModule",
    "pl.LightningModule",
    "FlaxPreTrainedModel",
    "MegatronModule",
    "GPT2PreTrainedModel",
    "LlamaPreTrainedModel",
}


_NETWORK = re.compile(r"(?i)forcausal|model$|^gpt|transformer$|net$|network$|^bert|vit$")


def model_architecture(release: PublishedFiles) -> Iterator[Found]:
    """Classes that are neural networks, by their base class."""
    for code in _own_code(release):
        classes = [
            node
            for node in code.tree.body
            if isinstance(node, ast.ClassDef) and {dotted_name(base) for base in node.bases} & _BASES
        ]
        whole = [
            c.name
            for c in classes
            if re.search(
                r"(?i)(model|forcausal|lm$|transformer|net$|network|gpt|bert|vit|resnet|mlp|cnn|rnn|gru|lstm|classifier|autoencoder)",
                c.name,
            )
        ]
        if whole:
            yield (
                code.path,
                f"defines the network {max(whole, key=lambda name: (_NETWORK.search(name) is not None, name))}",
            )


def _calls(code: Code) -> set[str]:
    return {dotted_name(node.func).rpartition(".")[2] for node in ast.walk(code.tree) if isinstance(node, ast.Call)}


_TRAIN = re.compile(r"(?i)(^|[_\-])(pre)?train(er|ing)?s?([_\-]|\.py|$)|(^|[_\-])finetun|^main")
_PREPARE = re.compile(
    r"(?i)^prepare(?!_?(changelog|release|docs?|env|submission))([_\-]|$)"
    r"|(^|[_\-])(preprocess\w*|tokeni[sz]e(?!r)\w*|dedup\w*|make_dataset|build_dataset|data_prep\w*|convert_dataset\w*|mix_and_split"
    r"|generate_data\w*|create_data\w*|process_data\w*|pack_data\w*|shard_data\w*)([_\-]|$)"
)
_EVALUATE = re.compile(r"(?i)(^|[_\-])(eval|evaluat\w*|benchmark\w*|lm_eval\w*|score_\w*|harness)([_\-]|$)")
_INFER = re.compile(
    r"(?i)^(sample|chat|demo|decode|serve)$|^(infer|inference|predict|generate)([_\-]|$)|[_\-](inference|predict|generate|demo)\d*$"
)
_STEPS = {"backward", "apply_gradients", "minimize", "train_batch", "train_step", "train_on_batch"}


def training_code(release: PublishedFiles) -> Iterator[Found]:
    """Code that takes optimization steps, or starts a trainer."""
    for code in _own_code(release):
        calls = _calls(code)
        name = code.path.rpartition("/")[2]
        if "backward" in calls and ({"step"} & calls or {"zero_grad"} & calls):
            yield code.path, "takes optimization steps (backward, step)"
        elif _TRAIN.search(name) and (
            calls & _STEPS
            or {"fit"} & calls
            or ("train" in calls and any("Trainer" in call for call in calls))
            or calls & {"pretrain", "train_model", "run_training"}
        ):
            yield code.path, f"is named {name} and starts a training"
    for file in release.files:
        if (
            file.name.endswith((".sh", ".slurm", ".sbatch"))
            and re.search(r"(?i)(pre)?train", file.name)
            and not _is_test(file.path)
        ):
            yield file.path, "is a script named for training"


def _named(pattern: re.Pattern[str], why: str) -> Callable[[PublishedFiles], Iterator[Found]]:
    def find(release: PublishedFiles) -> Iterator[Found]:
        for code in _own_code(release):
            name = code.path.rpartition("/")[2].removesuffix(".py")
            functions = any(
                isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in code.tree.body
            ) or "ArgumentParser" in _calls(code)
            if pattern.search(name) and (functions or len(code.tree.body) > 5):
                yield code.path, why
        for file in release.files:
            if (
                file.name.endswith((".sh", ".ipynb"))
                and pattern.search(file.name.rpartition(".")[0])
                and not _is_test(file.path)
            ):
                yield file.path, why

    return find


def inference_code(release: PublishedFiles) -> Iterator[Found]:
    """Scripts named for inference, and code that generates or predicts with a model."""
    yield from _named(_INFER, "is named for inference")(release)
    for code in _own_code(release):
        defined = {node.name for node in ast.walk(code.tree) if isinstance(node, ast.FunctionDef)}
        if {"generate", "predict", "predict_one", "predict_proba", "classify"} & defined:
            yield code.path, "defines generate or predict"


_REQUIREMENTS = re.compile(
    r"(?i)^(requirements[\w.-]*\.(txt|in)|environment\.ya?ml|pipfile|poetry\.lock|uv\.lock|conda\.ya?ml|setup\.cfg|dockerfile)$"
)


def supporting_libraries(release: PublishedFiles) -> Iterator[Found]:
    """Lists of the packages that are needed."""
    for file in release.files:
        if _REQUIREMENTS.match(file.name) and not _is_test(file.path):
            yield file.path, "lists the packages that are needed"
    for config in release.configs:
        if config.path.endswith("pyproject.toml") and (
            "project.dependencies" in config.by_key
            or any(key.startswith("tool.poetry.dependencies") for key in config.by_key)
        ):
            yield config.path, "lists the packages that are needed"
    for code in release.code:
        if code.path.rpartition("/")[2] == "setup.py" and any(
            isinstance(n, ast.keyword) and n.arg == "install_requires" for n in ast.walk(code.tree)
        ):
            yield code.path, "lists the packages that are needed (install_requires)"
    for text in release.texts:
        if text.path.rpartition("/")[2] in {"METADATA", "PKG-INFO"} and any(
            line.startswith("Requires-Dist:") for line in text.lines
        ):
            yield text.path, "lists the packages that are needed (Requires-Dist)"


def _step(path: str) -> int | None:
    parts = path.split("/")
    found = [step_of(part.rpartition(".")[0] or part if i == len(parts) - 1 else part) for i, part in enumerate(parts)]
    return next((step for step in reversed(found) if step is not None), None)


def _weight_files(release: PublishedFiles) -> Iterator[tuple[str, int | None]]:
    for path, tensors in release.weights.items():
        if tensors and not is_optimizer(path) and not _is_test(path):
            yield path, _step(path)
    for path, kind in release.magic.items():
        if kind == "gguf" or (kind == "hdf5" and path.endswith(".h5")):
            yield path, _step(path)


def params_final(release: PublishedFiles) -> Iterator[Found]:
    """Weights whose path names no step."""
    for path, step in _weight_files(release):
        if step is None:
            shapes = release.weights.get(path)
            yield path, f"holds {len(shapes)} tensors" if shapes else f"is a {release.magic[path]} file"


def params_intermediate(release: PublishedFiles) -> Iterator[Found]:
    """Weights of two or more steps."""
    found = [(path, step) for path, step in _weight_files(release) if step is not None]
    if len({step for _, step in found}) >= 2:
        for path, step in found:
            yield path, f"holds the weights of step {step}"


_DATA = (".parquet", ".arrow", ".tfrecord", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".npz", ".csv.gz", ".mds", ".tar.zst")
_EVAL_WORDS = re.compile(r"(?i)(^|[/_\-.])(test|valid|validation|val|dev|eval|evaluation|heldout|benchmark)([/_\-.]|$)")
_TRAIN_WORDS = re.compile(r"(?i)(^|[/_\-.])(train\w*|data|dataset|corpus|shard\w*|part)([/_\-.\d]|$)")


def _data_files(release: PublishedFiles) -> Iterator[tuple[str, str]]:
    for items in release.items:
        yield items.path, f"holds {items.num_items} tokenised items ({items.format})"
    known = {items.path for items in release.items}
    for file in release.files:
        if file.path in release.pointers or file.path in known or file.size_bytes == 0:
            continue
        if file.name.endswith(_DATA) and re.search(
            r"(?i)data|train|test|valid|corpus|shard|split|part-|set", file.path
        ):
            kind = release.magic.get(file.path)
            if file.name.endswith((".parquet", ".arrow")) and kind == "unknown":
                continue
            yield file.path, f"is a data file ({file.size_bytes} bytes)"
        elif re.search(r"(?i)(train|t10k|test)[-_](images|labels)[-.]idx\d", file.name):
            yield file.path, "is in MNIST's form"


def datasets(release: PublishedFiles) -> Iterator[Found]:
    """Data that is not named as a test's."""
    return (
        (path, why)
        for path, why in _data_files(release)
        if not _EVAL_WORDS.search(path) and not re.search(r"(?i)sample|example|bad_", path)
    )


def evaluation_data(release: PublishedFiles) -> Iterator[Found]:
    """Data that is named as a test's."""
    return (
        (path, why)
        for path, why in _data_files(release)
        if _EVAL_WORDS.search(path) and not re.search(r"(?i)sample|tests?/", path)
    )


def _model_settings(release: PublishedFiles) -> Iterator[Config]:
    return (
        c
        for c in release.configs
        if c.format == "json"
        and not _is_test(c.path)
        and c.path.rpartition("/")[2].endswith("config.json")
        and ("model_type" in c.by_key or "architectures" in c.by_key)
    )


def model_metadata(release: PublishedFiles) -> Iterator[Found]:
    """The model's own settings, its tokenizer, the state of its optimizer."""
    for config in _model_settings(release):
        yield config.path, f"describes the model ({config.get('model_type') or 'architectures'})"
    for tokenizer in release.tokenizers:
        if not _is_test(tokenizer.path):
            yield tokenizer.path, f"is a tokenizer of {len(tokenizer.ids)} tokens"
    for file in release.files:
        if (
            (file.path in release.weights or file.name.endswith((".pt", ".bin")))
            and re.search(r"(?i)optim", file.name)
            and not _is_test(file.path)
            and file.path not in release.pointers
        ):
            yield file.path, "is an optimizer's state, by its name"


def sample_outputs(release: PublishedFiles) -> Iterator[Found]:
    """Files named as outputs of the model."""
    for file in release.files:
        if (
            re.search(
                r"(?i)(^|/)(sample_outputs?|generations?|generated_samples|model_outputs|outputs?_samples?)(/|[\w-]*\.(jsonl?|txt|md|csv))",
                file.path,
            )
            and file.size_bytes
            and not _is_test(file.path)
        ):
            yield file.path, "is named as the model's output"


def model_card(release: PublishedFiles) -> Iterator[Found]:
    """Cards of models: by their name, or by the front matter of a README."""
    for text in release.texts:
        name = text.path.rpartition("/")[2]
        if re.match(r"(?i)model[_-]?card", name):
            yield text.path, f"is named {name}"
        elif re.match(r"(?i)readme\.md$", name) and text.front is not None and card_kind(text) == "model":
            keys = sorted({value.key.partition(".")[0] for value in text.front.values})
            yield text.path, f"has a model card's front matter ({', '.join(keys[:4])})"


def data_card(release: PublishedFiles) -> Iterator[Found]:
    """Cards and sheets of data."""
    for text in release.texts:
        name = text.path.rpartition("/")[2]
        if re.match(r"(?i)(data[_-]?card|dataset[_-]?card|data[_-]?sheet|datasheet)", name):
            yield text.path, f"is named {name}"
        elif re.match(r"(?i)readme\.md$", name) and text.front is not None and card_kind(text) == "data":
            yield text.path, "has a data card's front matter"


def technical_report(release: PublishedFiles) -> Iterator[Found]:
    """Reports by their name."""
    for file in release.files:
        if (
            re.search(r"(?i)(tech(nical)?[_\- ]?report|whitepaper)[^/]*\.(pdf|md|tex)$", file.name)
            and release.magic.get(file.path, "pdf") == "pdf"
        ):
            yield file.path, "is named as a report"


def research_paper(release: PublishedFiles) -> Iterator[Found]:
    """Papers that lie in the release."""
    for file in release.files:
        if (
            re.search(r"(?i)(paper|article|arxiv|\d{4}\.\d{4,5})[^/]*\.(pdf|tex)$", file.path)
            and release.magic.get(file.path, "pdf") == "pdf"
        ):
            yield file.path, "is named as a paper"


def evaluation_results(release: PublishedFiles) -> Iterator[Found]:
    """Measured values: evaluation files, tables of metrics, a card's model-index."""
    for sheet in sheets(release):
        if not _is_test(sheet.path):
            yield sheet.path, f"holds {len(sheet.results)} results of {sheet.model}"
    for text in release.texts:
        if text.front is not None and any(
            value.key.startswith("model-index") and value.leaf == "value" for value in text.front.values
        ):
            yield text.path, "states results in its model-index"


def recipe(release: PublishedFiles) -> Iterator[Found]:
    """Settings files of a training."""
    for found in recipes(release):
        if not _is_test(found.config.path):
            yield found.config.path, f"states {', '.join(sorted(found.values)[:5])}"
    for config in release.configs:
        if config.format == "gin" and config.values and not _is_test(config.path):
            yield config.path, f"binds {len(config.values)} settings (gin)"


def training_logs(release: PublishedFiles) -> Iterator[Found]:
    """Logs: TensorBoard's events, W&B's folders, a trainer's state, tables of steps and losses."""
    for file in release.files:
        if _is_test(file.path) or not file.size_bytes:
            continue
        if "tfevents" in file.name:
            yield file.path, "is a TensorBoard log"
        elif re.search(r"(?i)(^|/)(train\w*|loss|wandb)[^/]*\.log$|(^|/)wandb/run-", file.path):
            yield file.path, "is a log by its name"
    for config in release.configs:
        if (
            config.path.endswith("trainer_state.json")
            and isinstance(config.document, dict)
            and config.document.get("log_history")
        ):
            yield config.path, f"holds {len(config.document['log_history'])} entries of a trainer's log"
    for table in release.tables:
        columns = {column.strip().lower() for column in table.columns}
        if (
            columns & {"step", "iteration", "epoch"}
            and any("loss" in column for column in columns)
            and len(table.rows) >= 5
        ):
            yield table.path, f"gives losses over {len(table.rows)} steps"


DETECTORS: dict[ComponentName, Callable[[PublishedFiles], Iterable[Found]]] = {
    "model_architecture": model_architecture,
    "data_preprocessing_code": _named(_PREPARE, "is named for the preparation of data"),
    "training_code": training_code,
    "inference_code": inference_code,
    "evaluation_code": _named(_EVALUATE, "is named for evaluation"),
    "supporting_libraries": supporting_libraries,
    "params_final": params_final,
    "params_intermediate": params_intermediate,
    "datasets": datasets,
    "evaluation_data": evaluation_data,
    "model_metadata": model_metadata,
    "sample_outputs": sample_outputs,
    "model_card": model_card,
    "data_card": data_card,
    "technical_report": technical_report,
    "research_paper": research_paper,
    "evaluation_results": evaluation_results,
    "recipe": recipe,
    "training_logs": training_logs,
}
"""One for each name; the first files that it gives are shown."""

assert set(DETECTORS) == set(get_args(ComponentName))  # noqa: S101


def _pointed_at(component: ComponentName, release: PublishedFiles) -> Iterator[Found]:  # noqa: PLR0912 - one branch a kind of place
    """What the files name without holding it: LFS pointers, lists of addresses, citations, logs on a server."""
    if component in {"params_final", "params_intermediate"}:
        for path in sorted(release.pointers):
            if path.endswith((".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5")) and (_step(path) is not None) == (
                component == "params_intermediate"
            ):
                yield path, "is a Git LFS pointer: the file itself is not here"
    if component == "datasets":
        for path in sorted(release.pointers):
            if path.endswith(_DATA):
                yield path, "is a Git LFS pointer: the file itself is not here"
        for hashes in release.hashes:
            if any(
                hashed.name.endswith((".bin", ".idx", ".jsonl", ".parquet", ".npy", ".gz", ".zst")) for hashed in hashes
            ):
                yield hashes[0].path, f"lists the digests of {len(hashes)} data files"
    for table in release.tables:
        cells = [cell for row in table.rows[:20] for cell in row.cells if cell.strip().startswith(("http", "s3://"))]
        if component == "params_intermediate" and table.column("step") is not None and cells and len(table.rows) > 1:
            yield table.path, f"lists {len(table.rows)} checkpoints by address, for example {cells[0].strip()[:80]}"
        if component == "datasets" and table.column("dataset", "data") is not None and cells:
            yield table.path, f"lists {len(table.rows)} data files by address"
    patterns = {
        "research_paper": r"arxiv\.org/(?:abs|pdf)/\d{4}\.\d{4,5}|doi\.org/10\.\d+/\S+|openreview\.net/\S+id=\w+",
        "training_logs": r"(?:api\.)?wandb\.ai/\S+|tensorboard\.dev/\S+",
        "params_final": r"huggingface\.co/(?!datasets/|spaces/|docs|blog|papers|collections)[\w.-]+/[\w.-]+",
        "datasets": r"huggingface\.co/datasets/[\w.-]+/[\w.-]+",
    }
    pattern = patterns.get(component)
    if pattern is not None:
        for text in release.texts:
            name = text.path.rpartition("/")[2]
            if _is_test(text.path) or not re.match(r"(?i)readme|model.?card|citation|metadata|pkg-info", name):
                continue
            for i, line in enumerate(text.lines):
                if found := re.search(pattern, line):
                    yield f"{text.path}", f"line {i + 1} names {found.group().rstrip(').,>')[:100]}"
                    break


def detect(
    release: PublishedFiles,
    declared: dict[str, Literal["yes", "no", "partly", "unknown"]],
    digest: Callable[[str], str | None],
) -> tuple[ComponentDetected, ...]:
    """Every component, as far as the files show it. `digest` gives a file's sha256."""
    terms = "; ".join(
        dict.fromkeys(f"{' or '.join(sorted(d.licences))} ({d.evidence.path})" for d in declarations(release))
    )
    found = []
    for name, look in DETECTORS.items():
        held = _first(look(release))
        named = [] if held else _first(_pointed_at(name, release))
        asked = [link for link in release.links or () for _, why in named if link.url in why]
        reachable: Literal["yes", "no", "not asked"] = "yes" if held else "not asked"
        if asked:
            gone = any(link.status in {404, 410} for link in asked)
            there = any(link.status is not None and 200 <= link.status < 300 for link in asked)
            reachable = "no" if gone else "yes" if there else "not asked"
        files = tuple(_seen(path, why, release, digest) for path, why in held or named)
        found.append(
            ComponentDetected(
                component=name,
                declared=declared.get(name),
                found="found" if held else "named" if named else "not seen",
                reachable=reachable,
                terms=terms if held else "",
                files=files,
            )
        )
    return tuple(found)


def _first(found: Iterable[Found]) -> list[Found]:
    kept: dict[str, str] = {}
    for path, why in found:
        kept.setdefault(path, why)
        if len(kept) >= MAX_FILES:
            break
    return list(kept.items())


def _seen(path: str, why: str, release: PublishedFiles, digest: Callable[[str], str | None]) -> FileSeen:
    file: File | None = release.by_path.get(path)
    return FileSeen(
        path=path,
        why=why,
        sha256=digest(path) if file is not None else None,
        date=file.date if file is not None else "unknown",
    )


__all__ = ["DETECTORS", "detect"]
