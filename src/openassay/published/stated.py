"""The settings of a training as a release's files state them, under one name for each setting's usual spellings."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from operator import itemgetter

from openassay.core.findings import Excerpt
from openassay.published.files import Config, PublishedFiles, Text, Value, derived_once

_SPELLINGS = {
    "learning_rate": "lr learning_rate max_lr peak_lr peak_learning_rate max_learning_rate",
    "min_lr": "min_lr min_learning_rate minimum_learning_rate",
    "weight_decay": "weight_decay weight_decay_rate wd",
    "beta1": "beta1 adam_beta1 beta_1",
    "beta2": "beta2 adam_beta2 beta_2",
    "adam_eps": "adam_eps adam_epsilon optimizer_eps",
    "steps": "train_iters max_steps num_train_steps total_steps training_steps train_steps max_iters num_steps"
    " total_training_steps n_steps max_train_steps",
    "warmup_steps": "warmup_steps num_warmup_steps lr_warmup_steps lr_warmup_iters warmup_iters t_warmup",
    "sequence_length": "seq_length seq_len max_seq_length max_seq_len max_sequence_length sequence_length context_length"
    " context_window block_size max_length max_position_embeddings n_positions n_ctx context_size",
    "batch_size": "global_train_batch_size global_batch_size train_batch_size total_batch_size batch_size",
    "d_model": "hidden_size d_model n_embd model_dim hidden_dim dim d_hidden embedding_dim",
    "n_layers": "num_layers num_hidden_layers n_layers n_layer layers number_of_layers",
    "n_heads": "num_attention_heads num_heads n_heads n_head attention_heads number_of_heads",
    "seed": "seed random_seed",
    "clip_norm": "gradient_clipping max_grad_norm clip_grad grad_clip clip_norm max_gradient_norm gradient_clip_val",
    "vocab_size": "vocab_size vocabulary_size n_vocab",
    "dropout": "dropout dropout_rate resid_pdrop hidden_dropout",
    "epochs": "num_train_epochs num_epochs epochs max_epochs",
}
NAMES = {name: tuple(spellings.split()) for name, spellings in _SPELLINGS.items()}
"""Each setting's usual spellings (dashes count as underscores)."""

_CANONICAL = {spelling: name for name, spellings in NAMES.items() for spelling in spellings}
_ELSEWHERE = re.compile(
    r"(^|\.)(eval|valid|test|vision|text|audio|encoder|decoder|speech|image|teacher|draft|lora|reward|critic|inference|generation)[^.]*\.",
    re.IGNORECASE,
)
_HEADERS = {"heads": "n_heads", "steps": "steps", "tokens": "tokens", "training tokens": "tokens", "batch size": None}
"""What a table's heads mean beyond the spellings of settings; whose batch is not told there."""


def canonical(key: str) -> str | None:
    """Our name of a setting, by the last word of its key; None for an unknown one."""
    word = key.rpartition(".")[2].strip().strip("`*").lower().replace("-", "_").replace(" ", "_")
    return _CANONICAL.get(word)


def in_list(key: str) -> bool:
    """True for the key of something inside a list."""
    return bool(re.search(r"\.\d+(\.|$)", key))


def canonical_header(words: str) -> str | None:
    """Our name of a table's column or row head; None for an unknown one."""
    plain = re.sub(r"[*`_]+(?=\s|$)|(?<!\w)[*`_]+", "", words).strip().rstrip(":").lower()
    plain = re.sub(r"\s*\((?!b|t|m).*?\)\s*$", "", plain)
    return _HEADERS[plain] if plain in _HEADERS else canonical(plain)


@dataclass(frozen=True)
class Recipe:
    """What one file states of a training."""

    config: Config
    values: dict[str, Value]
    gpus: Value | None
    """A comment such as `trained on 32 gpus`."""

    @property
    def name(self) -> str:
        """The file's name, which usually is the model's."""
        return self.config.stem

    def number(self, name: str) -> float | None:
        """A setting as a number."""
        return self.values[name].number if name in self.values else None


_TRAINING = {"learning_rate", "steps", "batch_size", "warmup_steps", "weight_decay"}
_ASIDE = {
    "test", "tests", "test_data", "testdata", "test_fixtures", "fixtures", "third_party", "dependencies", "vendor",
}  # fmt: skip


@derived_once
def recipes(release: PublishedFiles) -> list[Recipe]:
    """The files that state a training: a learning rate, and at least one more of its settings. Tests' own are left out."""
    result = re.compile(r"(?i)results?[^/]*\.json$")
    usable = (c for c in release.configs if c.format != "toml" and not is_aside(c.path) and not result.search(c.path))
    found = (Recipe(config, stated(config), _gpus(config)) for config in usable)
    return [recipe for recipe in found if "learning_rate" in recipe.values and len(_TRAINING & set(recipe.values)) >= 2]


def is_aside(path: str) -> bool:
    """True for a file of tests, of another project that was copied in, or in a hidden folder."""
    return any(part.lower() in _ASIDE or part.startswith(".") for part in path.split("/"))


def stated(config: Config) -> dict[str, Value]:
    """Our name to the one value that a file gives it; a name with several different values is left out."""
    several: dict[str, list[Value]] = defaultdict(list)
    for value in config.values:
        if _ELSEWHERE.search(value.key) or in_list(value.key):
            continue
        name = canonical(value.key)
        if value.leaf == "betas" and isinstance(value.value, tuple) and len(value.value) == 2:
            for i, beta in enumerate(value.value):
                several[f"beta{i + 1}"].append(replace(value, key=f"{value.key}.{i}", value=beta, text=str(beta)))
        elif value.leaf in {"eps", "epsilon"} and "optimizer" in value.key.lower():
            several["adam_eps"].append(value)
        elif value.word == "batch_size" and "train" not in value.key.lower():
            continue  # whose batch, and of how many devices?
        elif name is not None and value.value is not None and not (name == "seed" and value.key.count(".") > 1):
            several[name].append(value)
    if "learning_rate" not in several:
        piece = re.compile(r"learning_rate\.\d+\.(initial_learning_rate|end_learning_rate)$")
        peaks = [v for v in config.values if piece.search(v.key) and v.number is not None]
        several["learning_rate"] = sorted(peaks, key=lambda v: -(v.number or 0.0))[:1]
    return {name: values[0] for name, values in several.items() if len({str(v.value) for v in values}) == 1}


def _gpus(config: Config) -> Value | None:
    for line, comment in config.comments:
        if found := re.search(r"\b(?:trained|train|run)\s+on\s+(\d{1,9})\s*(?:x\s*)?gpus?\b", comment, re.IGNORECASE):
            return Value(path=config.path, line=line, key="comment", value=int(found.group(1)), text=comment)
    return None


@dataclass(frozen=True)
class TokenTotal:
    """The tokens of a training as its settings give them."""

    total: float | None
    """None where the number of steps is not stated."""
    per_step: float
    evidence: tuple[Excerpt, ...]


def tokens_of(recipe: Recipe) -> TokenTotal | None:
    """Steps x batch x sequence length as a file states them; None where batch or length is missing or ambiguous."""
    length, batch, steps = _length(recipe), _batch(recipe), _steps(recipe)
    if length is None or batch is None:
        return None
    sequences, seen = batch
    per_step = sequences * (length.number or 0)
    total = (steps.number or 0) * per_step if steps is not None else None
    places = (value for value in (steps, *seen, length) if value is not None)
    return TokenTotal(total, per_step, tuple(value.seen() for value in places))


def _length(recipe: Recipe) -> Value | None:
    """The training's sequence length; None where a file states several."""
    given = [v for v in recipe.config.values if canonical(v.key) == "sequence_length" and not _ELSEWHERE.search(v.key)]
    given = [v for v in given if v.number is not None]
    return given[0] if len({v.number for v in given}) == 1 and (given[0].number or 0) >= 1 else None


def _batch(recipe: Recipe) -> tuple[float, list[Value]] | None:
    """Sequences in a step: stated as a whole, or per device with the number of devices."""
    config = recipe.config
    is_neox = config.format == "yaml" and "train-iters" in config.by_key  # its train_batch_size is the whole one
    whole = (
        [v for v in config.values if v.word in {"global_train_batch_size", "global_batch_size"}]
        or [v for v in config.values if re.fullmatch(r"train(ing)?_(input|data)\.batch_size", v.key)]
        or [v for v in config.values if is_neox and v.key.replace("-", "_") == "train_batch_size"]
    )
    if len(whole) == 1 and (size := whole[0].number) is not None and size >= 1:
        return size, whole
    micro = [v for v in config.values if v.word == "train_micro_batch_size_per_gpu"]
    if len(micro) != 1 or recipe.gpus is None or (size := micro[0].number) is None:
        return None
    gas = [v for v in config.values if v.word in {"gas", "gradient_accumulation_steps"}]
    accumulated = gas[0].number if gas else 1.0
    if len({str(v.value) for v in gas}) > 1 or accumulated is None:
        return None
    # Devices that share one copy of the model do not add to the batch.
    parallel = ("model_parallel_size", "pipe_parallel_size")
    shared = [v for v in config.values if v.key.replace("-", "_") in parallel and (v.number or 0) > 1]
    shards = math.prod(v.number or 1 for v in shared)
    return size * accumulated * float(recipe.gpus.value) / shards, [micro[0], recipe.gpus, *gas[:1], *shared]


def _steps(recipe: Recipe) -> Value | None:
    """The number of steps; OLMo's `max_duration` counts steps where it has no unit."""
    stops = [v for v in recipe.config.values if v.key == "stop_at"]
    if any(v.number for v in stops):
        return stops[0]
    steps = recipe.config.by_key.get("max_duration") or recipe.values.get("steps")
    return steps if steps is not None and (steps.number or 0) >= 1 else None


def documents(release: PublishedFiles) -> list[Text]:
    """The READMEs and cards; without one at the top, the description in a package's metadata, which is its README."""
    found = [text for text in release.texts if re.match(r"(?i)(readme|model[_-]?card|.*card\.md)", text.name)]
    described = (text for text in release.texts if text.name in {"METADATA", "PKG-INFO"} and text.body_from)
    return found if any(not text.folder for text in found) else [*found, *described]


def in_scope(text: Text, recipe: Recipe) -> bool:
    """True if a document may speak of a training: the training's file lies at its place or below."""
    return not text.folder or text.name == "METADATA" or recipe.config.path.startswith(f"{text.folder}/")


def _words(name: str) -> set[str]:
    return set(re.findall(r"\d+(?:\.\d+)?[a-z]*|[a-z]+", name.lower()))


def subject_of(label: str, training: list[Recipe]) -> Recipe | None:
    """The training that a row's label means: its name has all the label's words, a size among them, and fewest others.

    What the name has beyond the label must stand in other names too (the family's name), or the label is another model's.
    """
    wanted = _words(re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", label))
    names = Counter(recipe.name for recipe in training)
    words = [(recipe, _words(recipe.name)) for recipe in training if names[recipe.name] == 1]
    counts = Counter(word for _, of in words for word in of)
    is_sized = any(word[0].isdigit() for word in wanted)
    found = [
        (len(of - wanted), recipe)
        for recipe, of in words
        if of == wanted or (is_sized and wanted <= of and all(counts[word] > 1 for word in of - wanted))
    ]
    fewest = [recipe for beyond, recipe in found if beyond == min(found, key=itemgetter(0))[0]]
    return fewest[0] if wanted and len(fewest) == 1 else None
