"""The components that a release's files show, recognised by name and content together, each with its reason.

Careful on purpose: what is not recognised is `not seen`, which proves nothing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Sized
from itertools import islice
from typing import Literal, TypeVar, get_args

from openassay.checks.results import sheets
from openassay.core.findings import ComponentDetected, FileSeen
from openassay.core.openness_records import ComponentName
from openassay.published.code_options import calls, dotted_name, last_name
from openassay.published.files import Code, Placed, PublishedFiles, marked_step
from openassay.published.licences import card_kind, declarations
from openassay.published.stated import recipes
from openassay.published.weights import is_optimizer

MAX_FILES = 5

Found = tuple[str, str]
"""A path, and why it shows the component."""
Detector = Callable[[PublishedFiles], Iterable[Found]]
P = TypeVar("P", bound=Placed)

_FOREIGN = {
    "tests", "test", "testing", "test_data", "test_fixtures", "fixtures", "third_party", "vendor", "dependencies", "external",
}  # fmt: skip


def _is_foreign(path: str) -> bool:
    """True for a file of tests, or of another project that was copied in."""
    *folders, name = path.split("/")
    return any(folder.lower() in _FOREIGN for folder in folders) or bool(re.match(r"(test_|conftest)", name))


def _own(placed: Iterable[P]) -> list[P]:
    return [one for one in placed if not _is_foreign(one.path)]


_BASES = {
    "nn.Module", "torch.nn.Module", "Module", "PreTrainedModel", "keras.Model", "tf.keras.Model", "flax.linen.Module",
    "hk.Module", "LightningModule", "pl.LightningModule", "FlaxPreTrainedModel", "MegatronModule", "GPT2PreTrainedModel",
    "LlamaPreTrainedModel",
}  # fmt: skip
_MODEL = re.compile(
    r"(?i)(model|forcausal|lm$|transformer|net$|network|gpt|bert|vit|resnet|mlp|cnn|rnn|gru|lstm|classifier|autoencoder)"
)
_NETWORK = re.compile(r"(?i)forcausal|model$|^gpt|transformer$|net$|network$|^bert|vit$")


def model_architecture(release: PublishedFiles) -> Iterator[Found]:
    """Classes that are neural networks, by their base class."""
    for code in _own(release.code):
        classes = [node for node in code.tree.body if isinstance(node, ast.ClassDef) and _MODEL.search(node.name)]
        names = [node.name for node in classes if {dotted_name(base) for base in node.bases} & _BASES]
        if names:
            best = max(names, key=lambda name: (_NETWORK.search(name) is not None, name))
            yield code.path, f"defines the network {best}"


def _called(code: Code) -> set[str]:
    return {last_name(call.func) for call in calls(code)}


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
_STEPS = {
    "backward", "apply_gradients", "minimize", "train_batch", "train_step", "train_on_batch", "fit", "pretrain", "train_model",
    "run_training",
}  # fmt: skip


def training_code(release: PublishedFiles) -> Iterator[Found]:
    """Code that takes optimization steps, or starts a trainer."""
    for code in _own(release.code):
        called = _called(code)
        if "backward" in called and {"step", "zero_grad"} & called:
            yield code.path, "takes optimization steps (backward, step)"
        elif _TRAIN.search(code.name) and (
            called & _STEPS or ("train" in called and any("Trainer" in call for call in called))
        ):
            yield code.path, f"is named {code.name} and starts a training"
    for file in _own(release.files):
        if file.name.endswith((".sh", ".slurm", ".sbatch")) and re.search(r"(?i)(pre)?train", file.name):
            yield file.path, "is a script named for training"


def _named(pattern: re.Pattern[str], why: str) -> Detector:
    def find(release: PublishedFiles) -> Iterator[Found]:
        for code in _own(release.code):
            body = code.tree.body
            if pattern.search(code.name.removesuffix(".py")) and (
                len(body) > 5
                or any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in body)
                or "ArgumentParser" in _called(code)
            ):
                yield code.path, why
        for file in _own(release.files):
            if file.name.endswith((".sh", ".ipynb")) and pattern.search(file.name.rpartition(".")[0]):
                yield file.path, why

    return find


def inference_code(release: PublishedFiles) -> Iterator[Found]:
    """Scripts named for inference, and code that generates or predicts with a model."""
    yield from _named(_INFER, "is named for inference")(release)
    for code in _own(release.code):
        defined = {node.name for node in code.nodes if isinstance(node, ast.FunctionDef)}
        if {"generate", "predict", "predict_one", "predict_proba", "classify"} & defined:
            yield code.path, "defines generate or predict"


_REQUIREMENTS = re.compile(
    r"(?i)^(requirements[\w.-]*\.(txt|in)|environment\.ya?ml|pipfile|poetry\.lock|uv\.lock|conda\.ya?ml|setup\.cfg|dockerfile)$"
)


def supporting_libraries(release: PublishedFiles) -> Iterator[Found]:
    """Lists of the packages that are needed."""
    why = "lists the packages that are needed"
    for file in _own(release.files):
        if _REQUIREMENTS.match(file.name):
            yield file.path, why
    for config in (config for config in release.configs if config.path.endswith("pyproject.toml")):
        if any(key == "project.dependencies" or key.startswith("tool.poetry.dependencies") for key in config.by_key):
            yield config.path, why
    for code in (code for code in release.code if code.name == "setup.py"):
        if any(isinstance(node, ast.keyword) and node.arg == "install_requires" for node in code.nodes):
            yield code.path, f"{why} (install_requires)"
    for text in release.texts:
        if text.name in {"METADATA", "PKG-INFO"} and any(line.startswith("Requires-Dist:") for line in text.lines):
            yield text.path, f"{why} (Requires-Dist)"


def _step(path: str) -> int | None:
    return (marked_step(path) or (0, None))[1]


def _weight_files(release: PublishedFiles) -> list[tuple[str, int | None, str]]:
    """(path, the step that it names, what it holds) of each file of weights."""
    held = {path: f"holds {len(tensors)} tensors" for path, tensors in release.weights.items() if tensors}
    found = [path for path in held if not is_optimizer(path) and not _is_foreign(path)]
    found += [p for p, kind in release.magic.items() if kind == "gguf" or (kind == "hdf5" and p.endswith(".h5"))]
    return [(path, _step(path), held.get(path) or f"is a {release.magic[path]} file") for path in found]


def params_final(release: PublishedFiles) -> Iterator[Found]:
    """Weights whose path names no step."""
    return ((path, why) for path, step, why in _weight_files(release) if step is None)


def params_intermediate(release: PublishedFiles) -> list[Found]:
    """Weights of two or more steps."""
    steps = {path: step for path, step, _ in _weight_files(release) if step is not None}
    return [(path, f"holds the weights of step {step}") for path, step in steps.items() if len({*steps.values()}) >= 2]


_DATA = (".parquet", ".arrow", ".tfrecord", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".npz", ".csv.gz", ".mds", ".tar.zst")
_EVAL_WORDS = re.compile(r"(?i)(^|[/_\-.])(test|valid|validation|val|dev|eval|evaluation|heldout|benchmark)([/_\-.]|$)")


def _data_files(release: PublishedFiles) -> Iterator[Found]:
    known = {items.path for items in release.items} | release.pointers
    for items in release.items:
        yield items.path, f"holds {items.num_items} tokenised items ({items.format})"
    named = re.compile(r"(?i)data|train|test|valid|corpus|shard|split|part-|set")
    for file in (file for file in release.files if file.path not in known and file.size_bytes):
        if file.name.endswith(_DATA) and named.search(file.path):
            if not file.name.endswith((".parquet", ".arrow")) or release.magic.get(file.path) != "unknown":
                yield file.path, f"is a data file ({file.size_bytes} bytes)"
        elif re.search(r"(?i)(train|t10k|test)[-_](images|labels)[-.]idx\d", file.name):
            yield file.path, "is in MNIST's form"


def _data(other: str, *, for_tests: bool) -> Detector:
    """Data whose names say that it is a test's, or do not, without what another pattern names."""
    return lambda release: (
        (path, why)
        for path, why in _data_files(release)
        if bool(_EVAL_WORDS.search(path)) == for_tests and not re.search(other, path)
    )


def model_metadata(release: PublishedFiles) -> Iterator[Found]:
    """The model's own settings, its tokenizer, the state of its optimizer."""
    for config in _own(release.configs):
        given = config.by_key.get("model_type") or config.by_key.get("architectures")
        if config.format == "json" and config.name.endswith("config.json") and given is not None:
            kind = given.value if given.key == "model_type" else None
            yield config.path, f"describes the model ({kind or 'architectures'})"
    for tokenizer in _own(release.tokenizers):
        yield tokenizer.path, f"is a tokenizer of {len(tokenizer.ids)} tokens"
    for file in _own(release.files):
        is_state = file.path in release.weights or file.name.endswith((".pt", ".bin"))
        if is_state and re.search(r"(?i)optim", file.name) and file.path not in release.pointers:
            yield file.path, "is an optimizer's state, by its name"


_REPORT = r"(?i)(tech(nical)?[_\- ]?report|whitepaper)[^/]*\.(pdf|md|tex)$"
_PAPER = r"(?i)(paper|article|arxiv|\d{4}\.\d{4,5})[^/]*\.(pdf|tex)$"
_OUTPUTS = re.compile(
    r"(?i)(^|/)(sample_outputs?|generations?|generated_samples|model_outputs|outputs?_samples?)(/|[\w-]*\.(jsonl?|txt|md|csv))"
)


def sample_outputs(release: PublishedFiles) -> Iterator[Found]:
    """Files named as outputs of the model."""
    outputs = (file.path for file in _own(release.files) if file.size_bytes and _OUTPUTS.search(file.path))
    return ((path, "is named as the model's output") for path in outputs)


def _cards(named: str, kind: Literal["model", "data"]) -> Detector:
    """Cards by their name, or by the front matter of a README."""

    def find(release: PublishedFiles) -> Iterator[Found]:
        for text in release.texts:
            if re.match(named, text.name):
                yield text.path, f"is named {text.name}"
            elif text.front is not None and re.match(r"(?i)readme\.md$", text.name) and card_kind(text) == kind:
                keys = ", ".join(sorted({value.key.partition(".")[0] for value in text.front.values})[:4])
                yield text.path, f"has a {kind} card's front matter" + (f" ({keys})" if kind == "model" else "")

    return find


def _document(pattern: str, why: str) -> Detector:
    """Documents by their path; a PDF must be one."""
    return lambda release: (
        (file.path, why)
        for file in release.files
        if re.search(pattern, file.path) and release.magic.get(file.path, "pdf") == "pdf"
    )


def evaluation_results(release: PublishedFiles) -> Iterator[Found]:
    """Measured values: evaluation files, tables of metrics, a card's model-index."""
    for sheet in (sheet for sheet in sheets(release) if not _is_foreign(sheet.path)):
        yield sheet.path, f"holds {len(sheet.results)} results of {sheet.model}"
    for text in release.texts:
        values = text.front.values if text.front is not None else ()
        if any(value.key.startswith("model-index") and value.leaf == "value" for value in values):
            yield text.path, "states results in its model-index"


def recipe(release: PublishedFiles) -> Iterator[Found]:
    """Settings files of a training."""
    for found in (found for found in recipes(release) if not _is_foreign(found.config.path)):
        yield found.config.path, f"states {', '.join([*found.values][:5])}"
    for config in _own(release.configs):
        if config.format == "gin" and config.values:
            yield config.path, f"binds {len(config.values)} settings (gin)"


def training_logs(release: PublishedFiles) -> Iterator[Found]:
    """Logs: TensorBoard's events, W&B's folders, a trainer's state, tables of steps and losses."""
    for file in _own(release.files):
        if "tfevents" in file.name and file.size_bytes:
            yield file.path, "is a TensorBoard log"
        elif file.size_bytes and re.search(r"(?i)(^|/)(train\w*|loss|wandb)[^/]*\.log$|(^|/)wandb/run-", file.path):
            yield file.path, "is a log by its name"
    for config in release.configs:
        history = config.document.get("log_history") if config.path.endswith("trainer_state.json") else None
        if history and isinstance(history, Sized):
            yield config.path, f"holds {len(history)} entries of a trainer's log"
    for table in release.tables:
        columns = {column.strip().lower() for column in table.columns}
        has_losses = any("loss" in column for column in columns) and columns & {"step", "iteration", "epoch"}
        if has_losses and len(table.rows) >= 5:
            yield table.path, f"gives losses over {len(table.rows)} steps"


DETECTORS: dict[ComponentName, Detector] = {
    "model_architecture": model_architecture,
    "data_preprocessing_code": _named(_PREPARE, "is named for the preparation of data"),
    "training_code": training_code,
    "inference_code": inference_code,
    "evaluation_code": _named(_EVALUATE, "is named for evaluation"),
    "supporting_libraries": supporting_libraries,
    "params_final": params_final,
    "params_intermediate": params_intermediate,
    "datasets": _data(r"(?i)sample|example|bad_", for_tests=False),
    "evaluation_data": _data(r"(?i)sample|tests?/", for_tests=True),
    "model_metadata": model_metadata,
    "sample_outputs": sample_outputs,
    "model_card": _cards(r"(?i)model[_-]?card", "model"),
    "data_card": _cards(r"(?i)(data[_-]?card|dataset[_-]?card|data[_-]?sheet|datasheet)", "data"),
    "technical_report": _document(_REPORT, "is named as a report"),
    "research_paper": _document(_PAPER, "is named as a paper"),
    "evaluation_results": evaluation_results,
    "recipe": recipe,
    "training_logs": training_logs,
}
"""One for each name; the first files that it gives are shown."""

assert set(DETECTORS) == set(get_args(ComponentName))  # noqa: S101


_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5")
_LISTED_DATA = (".bin", ".idx", ".jsonl", ".parquet", ".npy", ".gz", ".zst")
_ADDRESSES = {
    "research_paper": r"arxiv\.org/(?:abs|pdf)/\d{4}\.\d{4,5}|doi\.org/10\.\d+/\S+|openreview\.net/\S+id=\w+",
    "training_logs": r"(?:api\.)?wandb\.ai/\S+|tensorboard\.dev/\S+",
    "params_final": r"huggingface\.co/(?!datasets/|spaces/|docs|blog|papers|collections)[\w.-]+/[\w.-]+",
    "datasets": r"huggingface\.co/datasets/[\w.-]+/[\w.-]+",
}


def _pointed_at(component: ComponentName, release: PublishedFiles) -> Iterator[Found]:
    """What the files name without holding it: LFS pointers, lists of addresses, citations, logs on a server."""
    for path in sorted(release.pointers):
        steps = "params_final" if _step(path) is None else "params_intermediate"
        if (component == steps and path.endswith(_WEIGHTS)) or (component == "datasets" and path.endswith(_DATA)):
            yield path, "is a Git LFS pointer: the file itself is not here"
    for hashes in release.hashes if component == "datasets" else ():
        if any(hashed.key.endswith(_LISTED_DATA) for hashed in hashes):
            yield hashes[0].path, f"lists the digests of {len(hashes)} data files"
    for table in release.tables:
        cells = (cell.strip() for row in table.rows[:20] for cell in row.cells)
        first = next((cell for cell in cells if cell.startswith(("http", "s3://"))), None)
        if first and component == "params_intermediate" and table.column("step") is not None and len(table.rows) > 1:
            yield table.path, f"lists {len(table.rows)} checkpoints by address, for example {first[:80]}"
        if first and component == "datasets" and table.column("dataset", "data") is not None:
            yield table.path, f"lists {len(table.rows)} data files by address"
    if pattern := _ADDRESSES.get(component):
        named = re.compile(r"(?i)readme|model.?card|citation|metadata|pkg-info")
        for text in (text for text in _own(release.texts) if named.match(text.name)):
            found = ((i, match.group()) for i, line in enumerate(text.lines, 1) if (match := re.search(pattern, line)))
            for i, address in islice(found, 1):
                yield text.path, f"line {i} names {address.rstrip(').,>')[:100]}"


def detect(
    release: PublishedFiles,
    declared: dict[str, Literal["yes", "no", "partly", "unknown"]],
    digest: Callable[[str], str | None],
) -> tuple[ComponentDetected, ...]:
    """Every component, as far as the files show it. `digest` gives a file's sha256."""
    places = (f"{' or '.join(sorted(d.licences))} ({d.evidence.path})" for d in declarations(release))
    terms = "; ".join(dict.fromkeys(places))
    detected = []
    for name, look in DETECTORS.items():
        held = _first(look(release))
        named = [] if held else _first(_pointed_at(name, release))
        files = []
        for path, why in held or named:
            file = release.by_path.get(path)
            sha256, date = (digest(path), file.date) if file is not None else (None, "unknown")
            files.append(FileSeen(path=path, why=why, sha256=sha256, date=date))
        detected.append(
            ComponentDetected(
                component=name, declared=declared.get(name), found="found" if held else "named" if named else "not seen",
                reachable="yes" if held else _reachable(named, release), terms=terms if held else "", files=tuple(files),
            )
        )  # fmt: skip
    return tuple(detected)


def _reachable(named: list[Found], release: PublishedFiles) -> Literal["yes", "no", "not asked"]:
    """What the servers said of the addresses that stand for a component."""
    asked = [link.status for link in release.links or () for _, why in named if link.url in why]
    if {404, 410} & {*asked}:
        return "no"
    return "yes" if any(status is not None and 200 <= status < 300 for status in asked) else "not asked"


def _first(found: Iterable[Found]) -> list[Found]:
    """The first reason of each of the first files."""
    kept: dict[str, str] = {}
    for path, why in found:
        kept.setdefault(path, why)
        if len(kept) >= MAX_FILES:
            break
    return list(kept.items())
