"""The settings of a training as a release's files state them, under one name for each setting.

A file of a known format is read as `openassay recipe` reads it; only another file's keys are taken by their usual spellings.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from operator import itemgetter

from openassay.core.findings import Excerpt
from openassay.faults import BadInput
from openassay.published.files import Config, PublishedFiles, Text, Value, derived_once
from openassay.published.recipes import read_marked
from openassay.training.language import Origin, ReadRecipe

_SPELLINGS = {
    "learning_rate": "lr learning_rate max_lr peak_lr peak_learning_rate max_learning_rate",
    "min_lr": "min_lr min_learning_rate minimum_learning_rate",
    "weight_decay": "weight_decay weight_decay_rate wd",
    "beta1": "beta1 adam_beta1 beta_1",
    "beta2": "beta2 adam_beta2 beta_2",
    "adam_eps": "adam_eps adam_epsilon optimizer_eps",
    "steps": "train_iters max_steps num_train_steps total_steps training_steps train_steps max_iters num_steps"
    " total_training_steps n_steps max_train_steps max_step",
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

_OF_RECIPES = {
    "learning_rate": "learning_rate.peak", "min_lr": "learning_rate.minimum", "warmup_steps": "learning_rate.warmup_steps",
    "weight_decay": "optimizer.weight_decay", "beta1": "optimizer.betas", "beta2": "optimizer.betas",
    "adam_eps": "optimizer.eps", "steps": "steps", "batch_size": "batch_size", "clip_norm": "clip_norm",
    "sequence_length": "data.sequence_length", "seed": "data.seed", "d_model": "architecture.hidden_size",
    "n_layers": "architecture.num_layers", "n_heads": "architecture.num_heads", "tokens": "tokens_total",
}  # fmt: skip
"""Where the canonical recipe of a known format has a setting."""

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
    is_known: bool
    """Whether its format is known, so that the values are what its program takes them for."""

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
    found = map(recipe_of, usable)
    return [recipe for recipe in found if "learning_rate" in recipe.values and len(_TRAINING & set(recipe.values)) >= 2]


def is_aside(path: str) -> bool:
    """True for a file of tests, of another project that was copied in, or in a hidden folder."""
    return any(part.lower() in _ASIDE or part.startswith(".") for part in path.split("/"))


def recipe_of(config: Config) -> Recipe:
    """Our name to the one value that a file gives it, by its format or else by the usual spellings of the keys."""
    spelled = _spelled(config)
    try:
        read = read_marked(config.marked) if config.marked is not None else None
    except BadInput:  # its program would not take it either
        read = None
    if read is None:
        return Recipe(config, spelled, is_known=False)
    others = {name: value for name, value in spelled.items() if name not in _OF_RECIPES}
    return Recipe(config, _as_read(config, read) | others, is_known=True)


def _as_read(config: Config, read: ReadRecipe) -> dict[str, Value]:
    """The values that a file of a known format states, or that follow from what it states, with their places."""
    found: dict[str, Value] = {}
    for name, of in _OF_RECIPES.items():
        value, origin = read.values[of], read.origins[of]
        if origin.kind not in {"stated", "derived"} or value is None:
            continue
        place = re.search(re.escape(config.path) + r":(\d+)", origin.where)
        at = [v for v in config.values if v.line == int(place.group(1))] if place else []
        if name in {"beta1", "beta2"} and isinstance(value, tuple):
            value = value[name == "beta2"]
        if at:
            named = next((v for v in at if re.search(rf"(?<!\w){re.escape(v.leaf)}(?!\w)", origin.where)), at[0])
            text = _text(value, at, named, origin)
            found[name] = Value(path=config.path, line=at[0].line, key=named.key, value=value, text=text)
    return found


def _text(value: object, at: list[Value], named: Value, origin: Origin) -> str:
    """A value as the file writes it, or with how it follows from what is written there."""
    written = next((v.text for v in at if v.number == value), None)
    if written is None and origin.kind == "stated" and isinstance(named.value, str):
        written = named.text
    return written or f"{value} ({origin.where.replace(at[0].path + ':', 'line ')})"


def _spelled(config: Config) -> dict[str, Value]:
    """Our name to the one value of the keys that usually mean it; a name with several different values is left out."""
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


@dataclass(frozen=True)
class TokenTotal:
    """The tokens of a training as its settings give them."""

    total: float | None
    """None where the number of steps is not stated."""
    per_step: float
    evidence: tuple[Excerpt, ...]


def tokens_of(recipe: Recipe) -> TokenTotal | None:
    """Steps x batch x sequence length as a file states them; None where batch or length is missing or ambiguous."""
    length, batch, steps = (recipe.values.get(name) for name in ("sequence_length", "batch_size", "steps"))
    if not recipe.is_known:
        length, batch = _length(recipe), _batch(recipe)
    if length is None or batch is None or not length.number or not batch.number:
        return None
    per_step = batch.number * length.number
    stated = recipe.values.get("tokens")
    if stated is not None and stated.number and steps is not None and steps.line == stated.line:
        return TokenTotal(stated.number, per_step, (stated.seen(),))  # the duration is stated in tokens
    total = steps.number * per_step if steps is not None and steps.number else None
    return TokenTotal(total, per_step, tuple(value.seen() for value in (steps, batch, length) if value is not None))


def _length(recipe: Recipe) -> Value | None:
    """The sequence length by the keys' spellings; None where a file states several."""
    given = [v for v in recipe.config.values if canonical(v.key) == "sequence_length" and not _ELSEWHERE.search(v.key)]
    given = [v for v in given if v.number is not None]
    return given[0] if len({v.number for v in given}) == 1 and (given[0].number or 0) >= 1 else None


def _batch(recipe: Recipe) -> Value | None:
    """The sequences of a step by the keys' spellings, where they are stated as a whole."""
    config = recipe.config
    whole = [v for v in config.values if v.word in {"global_train_batch_size", "global_batch_size"}] or [
        v for v in config.values if re.fullmatch(r"train(ing)?_(input|data)\.batch_size", v.key)
    ]
    return whole[0] if len(whole) == 1 and (whole[0].number or 0) >= 1 else None


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
