"""Do the recipe's numbers agree, wherever they stand? Steps, batch, length and tokens; one setting in several places."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

from openassay.checks import code_options
from openassay.checks.check import Agreement, Contradiction, NotAsked, Seen
from openassay.checks.release import Config, PublishedFiles, PublishedTable, Row, Text, Value, tables_of
from openassay.checks.scalars import as_number, number
from openassay.core.types import Excerpt

NAMES: dict[str, tuple[str, ...]] = {
    "learning_rate": ("lr", "learning_rate", "max_lr", "peak_lr", "peak_learning_rate", "max_learning_rate"),
    "min_lr": ("min_lr", "min_learning_rate", "minimum_learning_rate"),
    "weight_decay": ("weight_decay", "weight_decay_rate", "wd"),
    "beta1": ("beta1", "adam_beta1", "beta_1"),
    "beta2": ("beta2", "adam_beta2", "beta_2"),
    "adam_eps": ("adam_eps", "adam_epsilon", "optimizer_eps"),
    "steps": (
        "train_iters",
        "max_steps",
        "num_train_steps",
        "total_steps",
        "training_steps",
        "train_steps",
        "max_iters",
        "num_steps",
        "total_training_steps",
        "n_steps",
        "max_train_steps",
    ),
    "warmup_steps": (
        "warmup_steps",
        "num_warmup_steps",
        "lr_warmup_steps",
        "lr_warmup_iters",
        "warmup_iters",
        "t_warmup",
    ),
    "sequence_length": (
        "seq_length",
        "seq_len",
        "max_seq_length",
        "max_seq_len",
        "max_sequence_length",
        "sequence_length",
        "context_length",
        "context_window",
        "block_size",
        "max_length",
        "max_position_embeddings",
        "n_positions",
        "n_ctx",
        "context_size",
    ),
    "batch_size": (
        "global_train_batch_size",
        "global_batch_size",
        "train_batch_size",
        "total_batch_size",
        "batch_size",
    ),
    "d_model": ("hidden_size", "d_model", "n_embd", "model_dim", "hidden_dim", "dim", "d_hidden", "embedding_dim"),
    "n_layers": ("num_layers", "num_hidden_layers", "n_layers", "n_layer", "layers", "number_of_layers"),
    "n_heads": ("num_attention_heads", "num_heads", "n_heads", "n_head", "attention_heads", "number_of_heads"),
    "seed": ("seed", "random_seed"),
    "clip_norm": (
        "gradient_clipping",
        "max_grad_norm",
        "clip_grad",
        "grad_clip",
        "clip_norm",
        "max_gradient_norm",
        "gradient_clip_val",
    ),
    "vocab_size": ("vocab_size", "vocabulary_size", "n_vocab"),
    "dropout": ("dropout", "dropout_rate", "resid_pdrop", "hidden_dropout"),
    "epochs": ("num_train_epochs", "num_epochs", "epochs", "max_epochs"),
}
"""One name for each setting's usual spellings (dashes count as underscores)."""

_CANONICAL = {spelling: name for name, spellings in NAMES.items() for spelling in spellings}
_ELSEWHERE = re.compile(
    r"(^|\.)(eval|valid|test|vision|text|audio|encoder|decoder|speech|image|teacher|draft|lora|reward|critic|inference|generation)[^.]*\.",
    re.IGNORECASE,
)


def canonical(key: str) -> str | None:
    """Our name of a setting, by the last word of its key."""
    word = key.rpartition(".")[2].strip().strip("`*").lower().replace("-", "_").replace(" ", "_")
    return _CANONICAL.get(word)


_HEADERS = {
    "parameters": None,
    "params": None,
    "learning rate": "learning_rate",
    "lr": "learning_rate",
    "peak lr": "learning_rate",
    "peak learning rate": "learning_rate",
    "layers": "n_layers",
    "num layers": "n_layers",
    "number of layers": "n_layers",
    "hidden size": "d_model",
    "model dim": "d_model",
    "attention heads": "n_heads",
    "heads": "n_heads",
    "num heads": "n_heads",
    "context length": "sequence_length",
    "sequence length": "sequence_length",
    "vocab size": "vocab_size",
    "vocabulary size": "vocab_size",
    "warmup steps": "warmup_steps",
    "weight decay": "weight_decay",
    "training steps": "steps",
    "train steps": "steps",
    "steps": "steps",
    "training tokens": "tokens",
    "tokens": "tokens",
    "seed": "seed",
    "epochs": "epochs",
    "batch size": None,
}


def canonical_header(words: str) -> str | None:
    """Our name of a table's column or row head."""
    plain = re.sub(r"[*`_]+(?=\s|$)|(?<!\w)[*`_]+", "", words).strip().rstrip(":").lower()
    plain = re.sub(r"\s*\((?!b|t|m).*?\)\s*$", "", plain)
    if plain in _HEADERS:
        return _HEADERS[plain]
    return canonical(plain)


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
        return self.config.name

    def number(self, name: str) -> float | None:
        """A setting as a number."""
        return as_number(self.values[name].value) if name in self.values else None


_TRAINING = {"learning_rate", "steps", "batch_size", "warmup_steps", "weight_decay"}


def recipes(release: PublishedFiles) -> list[Recipe]:
    """The files that state a training: a learning rate, and at least one more of its settings. Tests' own are left out."""
    if "recipes" in release.derived:
        return list(release.derived["recipes"])
    found: list[Recipe] = []
    for config in release.configs:
        if config.format == "toml" or _is_aside(config.path) or re.search(r"(?i)results?[^/]*\.json$", config.path):
            continue
        values = stated(config)
        if "learning_rate" in values and len(_TRAINING & set(values)) >= 2:
            found.append(Recipe(config=config, values=values, gpus=_gpus(config)))
    release.derived["recipes"] = tuple(found)
    return found


def _is_aside(path: str) -> bool:
    return any(
        part.lower()
        in {
            "test",
            "tests",
            "test_data",
            "testdata",
            "test_fixtures",
            "fixtures",
            "third_party",
            "dependencies",
            "vendor",
        }
        or part.startswith(".")
        for part in path.split("/")
    )


def stated(config: Config) -> dict[str, Value]:
    """Our name to the one value that a file gives it; a name with several different values is left out."""
    several: dict[str, list[Value]] = {}
    listed = re.compile(r"\.\d+(\.|$)")
    for value in config.values:
        if _ELSEWHERE.search(f"{value.key}") or listed.search(value.key):
            continue
        name = canonical(value.key)
        if value.leaf == "betas" and isinstance(value.value, tuple) and len(value.value) == 2:
            for i, beta in enumerate(("beta1", "beta2")):
                part = Value(
                    path=value.path,
                    line=value.line,
                    key=f"{value.key}.{i}",
                    value=value.value[i],
                    text=str(value.value[i]),
                )
                several.setdefault(beta, []).append(part)
        elif value.leaf in {"eps", "epsilon"} and "optimizer" in value.key.lower():
            several.setdefault("adam_eps", []).append(value)
        elif (
            name == "batch_size"
            and value.leaf.replace("-", "_") == "batch_size"
            and not re.search(r"train", value.key, re.IGNORECASE)
        ):
            continue  # whose batch, and of how many devices?
        elif name is not None and value.value is not None:
            if name == "seed" and value.key.count(".") > 1:
                continue
            several.setdefault(name, []).append(value)
    if "learning_rate" not in several:
        pieces = [
            v
            for v in config.values
            if re.search(r"learning_rate\.\d+\.(initial_learning_rate|end_learning_rate)$", v.key)
        ]
        peaks = [v for v in pieces if as_number(v.value) is not None]
        if peaks:
            several["learning_rate"] = [max(peaks, key=lambda v: as_number(v.value) or 0.0)]
    return {name: values[0] for name, values in several.items() if len({str(v.value) for v in values}) == 1}


def _gpus(config: Config) -> Value | None:
    for line, comment in config.comments:
        if found := re.search(r"\b(?:trained|train|run)\s+on\s+(\d+)\s*(?:x\s*)?gpus?\b", comment, re.IGNORECASE):
            return Value(path=config.path, line=line, key="comment", value=int(found.group(1)), text=comment)
    return None


@dataclass(frozen=True)
class TokenTotal:
    """TokenTotal of a training as its settings give them."""

    total: float | None
    per_step: float
    evidence: tuple[Excerpt, ...]
    stated_total: float | None = None


def tokens_of(recipe: Recipe) -> TokenTotal | None:
    """Steps x batch x sequence length, where a file states all three; None where one is missing or ambiguous."""
    length = _length(recipe)
    batch = _batch(recipe)
    if length is None or batch is None:
        return None
    sequences, batch_seen = batch
    per_step = sequences * float(as_number(length.value) or 0)
    steps = _steps(recipe)
    if steps is None:
        return TokenTotal(None, per_step, (*batch_seen, length.seen()))
    return TokenTotal(
        float(as_number(steps.value) or 0) * per_step, per_step, (steps.seen(), *batch_seen, length.seen())
    )


def _length(recipe: Recipe) -> Value | None:
    """Training length: of several different ones under one roof, none."""
    order = [v for v in recipe.config.values if canonical(v.key) == "sequence_length" and not _ELSEWHERE.search(v.key)]
    numbers = {as_number(v.value) for v in order} - {None}
    if len(numbers) != 1:
        return None
    length = next(v for v in order if as_number(v.value) is not None)
    return length if (as_number(length.value) or 0) >= 1 else None


def _batch(recipe: Recipe) -> tuple[float, tuple[Excerpt, ...]] | None:
    """Sequences in a step: stated as a whole, or per device with the number of devices."""
    config = recipe.config
    whole = [v for v in config.values if v.leaf.replace("-", "_") in {"global_train_batch_size", "global_batch_size"}]
    if not whole:
        whole = [v for v in config.values if re.fullmatch(r"train(ing)?_(input|data)\.batch_size", v.key)]
    if not whole:  # DeepSpeed: train_batch_size is the whole one
        whole = [
            v
            for v in config.values
            if v.key.replace("-", "_") == "train_batch_size"
            and config.format == "yaml"
            and "train-iters" in config.by_key
        ]
    if len(whole) == 1 and (size := as_number(whole[0].value)) is not None and size >= 1:
        return size, (whole[0].seen(),)
    micro = [v for v in config.values if v.leaf.replace("-", "_") == "train_micro_batch_size_per_gpu"]
    if len(micro) != 1 or recipe.gpus is None or (size := as_number(micro[0].value)) is None:
        return None
    gas = [v for v in config.values if v.leaf.replace("-", "_") in {"gas", "gradient_accumulation_steps"}]
    if len({str(v.value) for v in gas}) > 1:
        return None
    accumulated = as_number(gas[0].value) if gas else 1.0
    shards = 1.0  # devices that share one copy of the model do not add to the batch
    seen = [micro[0].seen(), recipe.gpus.seen(), *(v.seen() for v in gas[:1])]
    for v in config.values:
        if (
            v.key.replace("-", "_") in {"model_parallel_size", "pipe_parallel_size"}
            and (ways := as_number(v.value)) is not None
            and ways > 1
        ):
            shards *= ways
            seen.append(v.seen())
    if accumulated is None:
        return None
    return size * accumulated * float(recipe.gpus.value) / shards, tuple(seen)


def _steps(recipe: Recipe) -> Value | None:
    """Steps as the settings give them; OLMo's `max_duration` counts steps where it has no unit."""
    if any(v.key == "stop_at" and as_number(v.value) for v in recipe.config.values):
        return next(v for v in recipe.config.values if v.key == "stop_at")
    duration = recipe.config.by_key.get("max_duration")
    if duration is not None:
        return duration if as_number(duration.value) is not None and (as_number(duration.value) or 0) >= 1 else None
    steps = recipe.values.get("steps")
    return steps if steps is not None and (as_number(steps.value) or 0) >= 1 else None


_UNITS = {
    "": 1.0,
    "k": 1e3,
    "thousand": 1e3,
    "m": 1e6,
    "million": 1e6,
    "b": 1e9,
    "bn": 1e9,
    "billion": 1e9,
    "t": 1e12,
    "trillion": 1e12,
}
_AMOUNT = re.compile(
    r"(?P<about>~=?\s*|≈\s*|about\s+|around\s+|approximately\s+|roughly\s+|nearly\s+|almost\s+|over\s+|more than\s+"
    r"|up to\s+|at least\s+)?"
    r"(?<![\w.,-])(?P<number>\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?(?:e\d+)?)\s?(?P<unit>[kKmMbBtT]|[Bb]n|thousand|million|billion|trillion|Million|Billion|Trillion)?"
    r"\+?[\s-]*(?:training\s+)?tokens\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Amount:
    """A number of tokens as it is written, and how far it may be off."""

    value: float
    slack: float
    evidence: Excerpt
    at_least: bool = False

    def fits(self, total: float, per_step: float) -> bool:
        """Is it the same, as far as its digits say? Rounded, cut off or rounded up; a step more or less."""
        if self.at_least:
            return total >= self.value - max(self.slack, per_step) - 0.05 * self.value
        return abs(total - self.value) < self.slack or abs(total - self.value) <= per_step


def amount(text: str, unit: str, about: str, evidence: Excerpt) -> Amount | None:
    """An amount from its digits and its unit."""
    value = number(text)
    factor = _UNITS.get(unit.lower())
    if value is None or factor is None:
        return None
    digits = text.replace(",", "")
    if "." in digits and "e" not in digits.lower():
        last = 10.0 ** -len(digits.partition(".")[2])
    elif factor > 1 or "e" in digits.lower():
        last = 1.0 if "e" not in digits.lower() else value * 0.05
    else:  # trailing zeros of a number that is written out may be rounding
        last = 10.0 ** (len(digits) - len(digits.rstrip("0"))) if value else 1.0
    about = about.strip().lower()
    slack = last * factor
    if about and not about.startswith(("over", "more", "at least", "up")):
        slack = max(slack, 0.1 * value * factor)
    return Amount(value * factor, slack, evidence, at_least=about.startswith(("over", "more", "at least")))


def amounts_in(line: str, evidence: Excerpt) -> Iterator[Amount]:
    """The numbers of tokens that a line speaks of."""
    for found in _AMOUNT.finditer(line):
        made = amount(found["number"], found["unit"] or "", found["about"] or "", evidence)
        if made is not None:
            yield made


_TRAINED = re.compile(r"\b(pre-?train(ed|ing)?|train(ed|ing)|saw|sees|seen|consum(ed|es))\b", re.IGNORECASE)


def _words(name: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\d+(?:\.\d+)?[a-z]*|[a-z]+", name.lower()))


def subject_of(label: str, names: list[str]) -> str | None:
    """Which file is meant by a row's label? The one that has all the label's words, a size among them, and fewest others.

    What the name has beyond the label must stand in other names too (the family's name), or the label is another model's.
    """
    label = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", label)
    wanted = set(_words(label))
    if not wanted or (
        len(set(names)) != len(names) and Counter(names).most_common(1)[0][1] > 1 and set(names) == {names[0]}
    ):
        return None
    sized = any(re.match(r"\d", word) for word in wanted)
    words = {name: set(_words(name)) for name in names if names.count(name) == 1}
    counts = Counter(word for of in words.values() for word in of)
    found = []
    for name, of in words.items():
        rest = of - wanted
        if wanted <= of and (not rest or (sized and all(counts[word] > 1 for word in rest))):
            found.append((len(rest), name))
    found.sort()
    if not found or (len(found) > 1 and found[0][0] == found[1][0]):
        return None
    return found[0][1]


def _documents(release: PublishedFiles) -> list[Text]:
    return [
        text
        for text in release.texts
        if re.match(r"(?i)(readme|model[_-]?card|.*card\.md)", text.path.rpartition("/")[2])
    ]


def _of_same_project(text: Text, recipe: Recipe) -> bool:
    """A document speaks of the files at its place and below."""
    return not text.folder or recipe.config.path.startswith(text.folder + "/")


_OURS = re.compile(
    r"\b(this|our|the) (model|network|release)\b|\bwe (pre-?)?train|\b(each|every|all)( of)?( the| our)?( \w+)? models?\b",
    re.IGNORECASE,
)


class TokensDisagree:
    """{what} is {stated} tokens, but {how} = {computed}"""

    kind = "tokens_disagree"
    needs = "steps, batch and sequence length in one settings file, and a number of tokens stated somewhere"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """Each stated number of tokens against steps x batch x length."""
        known = [(recipe, tokens) for recipe in recipes(release) if (tokens := tokens_of(recipe)) is not None]
        for recipe, tokens in known:
            yield from self._within(recipe, tokens)
        if known:
            yield from self._in_documents(release, known)
            yield from self._in_names(release, known)

    def _judge(self, what: str, given: Amount, tokens: TokenTotal, at: tuple[Excerpt, ...]) -> Seen:
        assert tokens.total is not None  # noqa: S101
        if given.fits(tokens.total, tokens.per_step):
            return Agreement((given.evidence, *at))
        values = {
            "what": what,
            "stated": _short(given.value),
            "computed": _short(tokens.total),
            "how": " x ".join(f"{e.key} {e.value}" for e in at),
        }
        return Contradiction(values, (given.evidence, *at))

    def _within(self, recipe: Recipe, tokens: TokenTotal) -> Iterator[Seen]:
        config = recipe.config
        duration = config.by_key.get("max_duration")
        total = tokens.total
        if (
            duration is not None
            and isinstance(duration.value, str)
            and (found := re.fullmatch(r"([\d.e+]+)T", duration.value))
        ):
            total = number(found.group(1))  # OLMo: so many tokens
            if total is None:
                return
            tokens = TokenTotal(total, tokens.per_step, (duration.seen(),))
        if total is None:
            return
        for line, comment in config.comments:
            near = any(v.line == line and v.key in {e.key for e in tokens.evidence} for v in config.values)
            seen = Excerpt(path=config.path, line=line, key="comment", value=comment[:200])
            head = re.match(r"\s*tokens\s*[:=]\s*([\d,_]+)\s*$", comment, re.IGNORECASE)
            if head and (given := amount(head.group(1).replace("_", ""), "", "", seen)):
                yield self._judge("the comment", Amount(given.value, tokens.per_step, seen), tokens, tokens.evidence)
            elif near:
                for given in amounts_in(comment, seen):
                    yield self._judge("the comment", given, tokens, tokens.evidence)

    def _in_documents(self, release: PublishedFiles, known: list[tuple[Recipe, TokenTotal]]) -> Iterator[Seen]:
        totals = [
            (recipe, whole) for recipe, tokens in known if (whole := _with_duration(recipe, tokens)).total is not None
        ]
        if not totals:
            return
        for text in _documents(release):
            of = [(recipe, tokens) for recipe, tokens in totals if _of_same_project(text, recipe)]
            yield from self._in_tables(text, of)
            alike = {round(tokens.total or 0) for _, tokens in of}
            if len(alike) != 1 or not any(_named_in(text, recipe, release) for recipe, _ in of):
                continue  # several trainings: which one does the text speak of?
            _recipe, tokens = of[0]
            given = [
                found
                for line, words in text.prose
                if not words.lstrip().startswith("|") and _TRAINED.search(words)
                for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z])", words)
                if _TRAINED.search(sentence)
                and not re.search(r"\b(batch|per step|each step|vocab|window|context)\b", sentence, re.IGNORECASE)
                for found in amounts_in(sentence, text.seen(line, sentence))
            ]
            fitting = [found for found in given if found.fits(tokens.total or 0, tokens.per_step)]
            for found in fitting[:1]:
                yield Agreement((found.evidence, *tokens.evidence))
            if given and not fitting:
                own = [found for found in given if _OURS.search(found.evidence.value)]
                if own:
                    yield self._judge("the document's number", own[0], tokens, tokens.evidence)
                else:
                    yield NotAsked("numbers of tokens in the text may be those of other models")

    def _in_tables(self, text: Text, of: list[tuple[Recipe, TokenTotal]]) -> Iterator[Seen]:
        for table in tables_of(text):
            at = next(
                (
                    i
                    for i, column in enumerate(table.columns)
                    if canonical_header(column) == "tokens"
                    or re.fullmatch(r"(training\s+)?tokens\s*(\(\w+\))?", column.strip("* "), re.IGNORECASE)
                ),
                None,
            )
            if at is None or at == 0:
                continue
            unit = re.search(r"\((B|T|M|billions?|trillions?|millions?)\)", table.columns[at], re.IGNORECASE)
            for row in table.rows:
                name = subject_of(row.cells[0], [recipe.name for recipe, _ in of]) if of else None
                cell = re.fullmatch(
                    r"~?\s*([\d.,]+)\s*([kKmMbBtT]|million|billion|trillion)?\s*(tokens)?",
                    row.cells[at].strip("* "),
                    re.IGNORECASE,
                )
                if name is None or not cell:
                    continue
                written = cell.group(2) or (unit.group(1).rstrip("s") if unit else "")
                given = amount(cell.group(1), written, "", table.seen(row, at))
                tokens = next(tokens for recipe, tokens in of if recipe.name == name)
                if given is not None:
                    yield self._judge(f"the table's row {row.cells[0][:60]!r}", given, tokens, tokens.evidence)

    def _in_names(self, release: PublishedFiles, known: list[tuple[Recipe, TokenTotal]]) -> Iterator[Seen]:
        """Folders and addresses such as `step20000-tokens84B`."""
        sizes = {tokens.per_step for _, tokens in known}
        if len(sizes) != 1:
            return
        per_step, tokens = sizes.pop(), known[0][1]
        named = [
            (part, Excerpt(path=file.path, line=None, key="name", value=part))
            for file in release.files
            for part in PurePosixPath(file.path).parts
        ]
        named += [(cell, table.seen(row)) for table in release.tables for row in table.rows for cell in row.cells]
        seen_parts = set()
        for part, at in named:
            found = re.search(r"step[-_]?(\d+)[-_]tokens[-_]?(\d+(?:\.\d+)?)([kKMBT])\b", part)
            if not found or found.group() in seen_parts:
                continue
            seen_parts.add(found.group())
            given = amount(found.group(2), found.group(3), "", at)
            if given is not None:
                total = TokenTotal(int(found.group(1)) * per_step, per_step, tokens.evidence)
                yield self._judge(
                    f"the name {found.group()}",
                    given,
                    total,
                    tokens.evidence[-2:] if tokens.total is None else tokens.evidence[1:],
                )


def _named_in(text: Text, recipe: Recipe, release: PublishedFiles) -> bool:
    """Is the document about this training? It lies at the top of a release with few models, or beside the settings."""
    return (
        not text.folder
        or text.folder == recipe.config.folder
        or recipe.name in "\n".join(text.lines)
        or len(release.files) < 20
    )


def _with_duration(recipe: Recipe, tokens: TokenTotal) -> TokenTotal:
    duration = recipe.config.by_key.get("max_duration")
    if (
        duration is not None
        and isinstance(duration.value, str)
        and (found := re.fullmatch(r"([\d.e+]+)T", duration.value))
    ):
        return TokenTotal(number(found.group(1)), tokens.per_step, (duration.seen(),))
    return tokens


def _short(value: float) -> str:
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if value >= size:
            return f"{value / size:.4g}{unit}"
    return f"{value:.10g}"


def _same(a: float, b: float, written: str) -> bool:
    """Equal as far as the digits of a document go: half a unit of the last one."""
    if a == b:
        return True
    digits = written.strip("`*~ ").lower().replace(",", "")
    mantissa, _, exponent = digits.partition("e")
    decimals = len(mantissa.partition(".")[2])
    try:
        unit = 10.0 ** (int(exponent or 0) - decimals)
    except (ValueError, OverflowError):
        return False
    fits = abs(a - b) <= 0.5000001 * unit and (decimals > 0 or bool(exponent))
    return fits or abs(a - b) <= 1e-9 * max(abs(a), abs(b))


class ValueStatedTwice:
    """{name}: {document} says {first}, {settings} says {second}"""

    kind = "value_stated_twice"
    needs = "a setting that a document and a settings file, or two settings files of one model, both state"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """Tables and lists of documents against settings files; settings files of one model against each other."""
        training = recipes(release)
        for text in _documents(release):
            of = [recipe for recipe in training if _of_same_project(text, recipe)]
            for table in tables_of(text):
                yield from self._rows_are_models(table, of)
                yield from self._rows_are_settings(text, table, of)
            yield from self._bullets(text, of)
        yield from self._architectures(release, training)

    def _compare(self, name: str, cell: str, at: Excerpt, recipe: Recipe) -> Iterator[Seen]:
        value = recipe.values.get(name)
        written = number(re.sub(r"\s*\(.*\)$", "", cell.strip()).removeprefix("~"))
        if value is None or written is None or (settled := as_number(value.value)) is None:
            return
        if _same(written, settled, cell):
            yield Agreement((at, value.seen()))
        else:
            values = {
                "name": name,
                "document": at.path,
                "first": cell.strip(),
                "settings": value.path,
                "second": value.text,
            }
            yield Contradiction(values, (at, value.seen()))

    def _rows_are_models(self, table: PublishedTable, of: list[Recipe]) -> Iterator[Seen]:
        names = [recipe.name for recipe in of]
        columns = [
            (i, name)
            for i, column in enumerate(table.columns)
            if i and (name := canonical_header(column)) not in {None, "tokens", "batch_size"}
        ]
        if len(columns) < 2 or not names:
            return
        for row in table.rows:
            subject = subject_of(row.cells[0], names)
            if subject is None:
                continue
            recipe = next(recipe for recipe in of if recipe.name == subject)
            for i, name in columns:
                if name is not None:
                    yield from self._compare(name, row.cells[i], table.seen(row, i), recipe)

    def _rows_are_settings(self, text: Text, table: PublishedTable, of: list[Recipe]) -> Iterator[Seen]:
        recipe = _the_one(text, of)
        if recipe is None or len(table.columns) != 2:
            return
        names = [(row, canonical_header(row.cells[0])) for row in table.rows]
        if sum(name is not None for _, name in names) < 2:
            return
        for row, name in names:
            if name is not None and name not in {"tokens", "batch_size", "steps"}:
                yield from self._compare(name, row.cells[1], table.seen(row, 1), recipe)

    def _bullets(self, text: Text, of: list[Recipe]) -> Iterator[Seen]:
        recipe = _the_one(text, of)
        if recipe is None:
            return
        for line, words in text.prose:
            found = re.match(
                r"\s*[-*]\s+\**`?([A-Za-z][\w \-]{1,30})`?\**\s*[:=]\s*\**\s*`?([\d.,eE+\-]+)`?\s*$", words
            )
            name = canonical_header(found.group(1)) if found else None
            if found and name is not None and name not in {"tokens", "batch_size", "steps"}:
                yield from self._compare(name, found.group(2), text.seen(line), recipe)

    def _one_model(self, model: dict[str, Value], training: list[Recipe]) -> bool:
        """Does every training speak of one shape, with the model's vocabulary?"""
        shapes = {tuple(r.number(name) for name in ("d_model", "n_layers", "n_heads", "vocab_size")) for r in training}
        vocabulary = as_number(model["vocab_size"].value) if "vocab_size" in model else None
        return len(shapes) == 1 and vocabulary is not None and next(iter(shapes))[3] == vocabulary

    def _architectures(self, release: PublishedFiles, training: list[Recipe]) -> Iterator[Seen]:
        """A model's own config.json against the training file of the same shape, or beside it."""
        models = [config for config in release.configs if _is_model(config)]
        if len(models) != 1 or not training:
            return
        model = stated(models[0])
        shape = ("d_model", "n_layers", "n_heads")
        for recipe in training:
            if any(name not in model or name not in recipe.values for name in shape):
                continue
            differ = [n for n in shape if as_number(model[n].value) != as_number(recipe.values[n].value)]
            if len(differ) > 1 or (differ and not self._one_model(model, training)):
                continue  # another model's settings
            for name in shape:
                seen = (model[name].seen(), recipe.values[name].seen())
                if name not in differ:
                    yield Agreement(seen)
                    continue
                values = {
                    "name": name, "document": seen[0].path, "first": seen[0].value, "settings": seen[1].path,
                    "second": seen[1].value,
                }  # fmt: skip
                yield Contradiction(values, seen)
            tied = [
                v
                for v in recipe.config.values
                if v.leaf.replace("-", "_")
                in {"share_embedding_weights", "weight_tying", "tie_word_embeddings", "no_weight_tying"}
                and isinstance(v.value, bool)
            ]
            own = models[0].by_key.get("tie_word_embeddings")
            if own is not None and isinstance(own.value, bool) and len(tied) == 1:
                meant = tied[0].value != (tied[0].leaf.replace("-", "_") == "no_weight_tying")
                if meant == own.value:
                    yield Agreement((own.seen(), tied[0].seen()))
                else:
                    values = {
                        "name": "tied embeddings",
                        "document": own.path,
                        "first": own.text,
                        "settings": tied[0].path,
                        "second": f"{tied[0].leaf} {tied[0].text}",
                    }
                    yield Contradiction(values, (own.seen(), tied[0].seen()))
            small, large = (
                as_number(model["vocab_size"].value) if "vocab_size" in model else None,
                recipe.number("vocab_size"),
            )
            if small is not None and large is not None and small < large:
                values = {
                    "name": "vocab_size",
                    "document": model["vocab_size"].path,
                    "first": model["vocab_size"].text,
                    "settings": recipe.config.path,
                    "second": f"{recipe.values['vocab_size'].text}, which does not fit into it",
                }
                yield Contradiction(values, (model["vocab_size"].seen(), recipe.values["vocab_size"].seen()))


def _the_one(text: Text, of: list[Recipe]) -> Recipe | None:
    """The training that a document means when it names none: the only one there is, or the only one beside it."""
    if len(of) == 1:
        return of[0]
    beside = [recipe for recipe in of if recipe.config.folder == text.folder and text.folder]
    return beside[0] if len(beside) == 1 else None


def _is_model(config: Config) -> bool:
    return (
        config.format == "json"
        and not _is_aside(config.path)
        and "model_type" in config.by_key
        and any(canonical(key) == "d_model" for key in config.by_key)
    )


class VocabularyStatedTwice:
    """{path} gives vocab_size {first} and {second} for one model"""

    kind = "vocabulary_stated_twice"
    needs = "a settings file that states vocab_size in several sections"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """Within one file, model and data must speak of one vocabulary."""
        for recipe in recipes(release):
            stated_here = [
                v
                for v in recipe.config.values
                if v.leaf == "vocab_size"
                and as_number(v.value) is not None
                and not re.search(
                    r"vision|text|audio|encoder|decoder|image|speech|teacher|draft|source|target|src|tgt", v.key
                )
            ]
            if len(stated_here) < 2:
                continue
            other = next((v for v in stated_here if as_number(v.value) != as_number(stated_here[0].value)), None)
            if other is None:
                yield Agreement(tuple(v.seen() for v in stated_here[:3]))
            else:
                values = {"path": recipe.config.path, "first": stated_here[0].text, "second": other.text}
                yield Contradiction(values, (stated_here[0].seen(), other.seen()))


class ValueUnstated:
    """{path} does not state {key}: it is left to the code's default{default}; {others} of its {siblings} sibling files
    state it"""

    kind = "value_unstated"
    needs = "settings files of one family, of which some state what others do not, or the code with its defaults"

    ESSENTIAL = ("seed", "adam_eps", "weight_decay", "warmup_steps", "beta1", "clip_norm")

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """What siblings state and one does not; what none states, where the code tells its default."""
        families: dict[frozenset[str], list[Recipe]] = {}
        training = recipes(release)
        if not training:
            return
        for recipe in training:
            families.setdefault(_family(recipe, families), []).append(recipe)
        options = code_options.defaults(release)
        for siblings in families.values():
            yield from self._against_siblings(siblings, options)
        yield from self._essentials([recipe for of in families.values() for recipe in of], options)

    def _against_siblings(
        self, siblings: list[Recipe], options: dict[str, list[code_options.Option]]
    ) -> Iterator[Seen]:
        if len(siblings) < 4:
            return
        keys = [
            {
                _plain(key)
                for key, value in recipe.config.by_key.items()
                if not re.search(r"\.\d+(\.|$)", key) and (value.value is not None or key in recipe.values)
            }
            for recipe in siblings
        ]
        nulls = [
            {_plain(key) for key, value in recipe.config.by_key.items() if value.value is None} for recipe in siblings
        ]
        counts = Counter(key for of in keys for key in of)
        common = [key for key, count in counts.items() if count >= 0.75 * len(siblings) and _matters(key)]
        for recipe, own, null in zip(siblings, keys, nulls, strict=True):
            missing = [key for key in common if key not in own and key not in null]
            if not missing:
                yield Agreement(
                    (
                        Excerpt(
                            path=recipe.config.path,
                            line=None,
                            key="",
                            value=f"states all {len(common)} settings that its siblings state",
                        ),
                    )
                )
            for key in missing:
                if _otherwise(key, own, common) or (
                    key.startswith("fp16") and own & {"bf16.enabled", "bf16.bf16", "precision", "bf16"}
                ):
                    continue
                stating = [v for r in siblings for v in r.config.values if _plain(v.key) == key]
                if len({str(v.value) for v in stating}) > 1:
                    continue  # no constant of the family
                if any(str(o.default) == str(stating[0].value) for o in options.get(key.rpartition(".")[2], [])):
                    continue  # the default is what the siblings state
                example = next(r for r, of in zip(siblings, keys, strict=True) if key in of)
                stated_at = next(v for v in example.config.values if _plain(v.key) == key)
                found = options.get(key.rpartition(".")[2], [])
                default = f" ({found[0].default} in {found[0].path})" if len({o.default for o in found}) == 1 else ""
                values = {
                    "path": recipe.config.path,
                    "key": stated_at.key,
                    "default": default,
                    "others": counts[key],
                    "siblings": len(siblings) - 1,
                }
                seen = [
                    Excerpt(path=recipe.config.path, line=None, key=stated_at.key, value="not stated"),
                    stated_at.seen(),
                ]
                yield Contradiction(values, (*seen, *(o.seen() for o in found[:1] if default)))

    def _essentials(self, all_of: list[Recipe], options: dict[str, list[code_options.Option]]) -> Iterator[Seen]:
        for name in self.ESSENTIAL:
            without = [
                recipe
                for recipe in all_of
                if not any(canonical(key) == name for key in recipe.config.by_key)
                and name not in recipe.values
                and not _says_otherwise(name, recipe)
            ]
            if not without:
                continue
            found = [option for spelling in NAMES[name] for option in options.get(spelling, [])]
            files = ", ".join(recipe.config.path for recipe in without[:3]) + (
                f" and {len(without) - 3} more" if len(without) > 3 else ""
            )
            where = (
                f"; the code's default: {found[0].default} ({found[0].path}:{found[0].line})"
                if found and len({o.default for o in found}) == 1
                else ""
            )
            yield NotAsked(f"{name} is stated nowhere in {files}{where}")


def _says_otherwise(name: str, recipe: Recipe) -> bool:
    keys = {_plain(key) for key in recipe.config.by_key}
    if name == "warmup_steps":
        return any("warmup" in key for key in keys)
    if name in {"adam_eps", "beta1"}:
        return any(key.endswith((".eps", "betas", "epsilon")) or key == "eps" for key in keys) or any(
            "adafactor" in str(v.value).lower() or "sgd" in str(v.value).lower() for v in recipe.config.values
        )
    return name == "clip_norm" and any("clip" in key or "max_grad" in key for key in keys)


def _otherwise(key: str, own: set[str], common: list[str]) -> bool:
    """Does a file state the same by another key (`mlp_ratio` for `mlp_hidden_size`)?"""
    section, _, leaf = key.rpartition(".")
    head = leaf.partition("_")[0]
    if len(head) < 3:
        return False
    return any(
        k.rpartition(".")[0] == section and k.rpartition(".")[2].startswith(f"{head}_") and k not in common for k in own
    )


_SAME = {"gas": "gradient_accumulation_steps", "rotary_percent": "rotary_pct"}


def _plain(key: str) -> str:
    """A key without what only its spelling tells."""
    plain = key.lower().replace("-", "_")
    return _SAME.get(plain, plain)


_SMALL_MATTER = re.compile(
    r"(^|[._])(wandb|log|logging|print|eval|valid|test|launcher|slurm|deepspeed|path|paths|dir|folder|name|group|project|entity|save|load|checkpoint|workers|interval|iters_per|profil|backend|hostfile|master|cache|timeout|prefetch|pin_memory|tensorboard|zero_optimization|breakdown|user|upload|s3|label|evaluators|gc|monitor|comm|bucket|partition|persistent|overwrite|compile|fsdp|ddp|dry|run|desc\w*|device|keep|wall|distributed|master|evaluator|stop|fused|flash|stage|restore|reset|try|no_pre|num_nodes|devices|num_gpus|nproc)",
    re.IGNORECASE,
)


def _matters(key: str) -> bool:
    """Can this setting change the trained model? Logging, paths and the machine's own are left out."""
    return not _SMALL_MATTER.search(key) and not key.startswith("data.") and key != "fp16.fp16"


def _family(recipe: Recipe, families: dict[frozenset[str], list[Recipe]]) -> frozenset[str]:
    """Files of one family share a name, but for sizes and variants, and most keys; they lie in one tree."""
    own = frozenset(_plain(key) for key in recipe.config.by_key if not re.search(r"\.\d+(\.|$)", key))
    place = (
        *(PurePosixPath(recipe.config.path).parts[:1] if "/" in recipe.config.path else ()),
        _stem(recipe.name) or recipe.config.folder,
    )
    for keys, of in families.items():
        head = (
            *(PurePosixPath(of[0].config.path).parts[:1] if "/" in of[0].config.path else ()),
            _stem(of[0].name) or of[0].config.folder,
        )
        if (
            head == place
            and of[0].config.format == recipe.config.format
            and len(keys & own) >= 0.8 * max(len(keys), len(own))
        ):
            return keys
    return own


def _stem(name: str) -> str:
    """What a name has before its size; nothing where it is only a size."""
    return re.split(r"[-_.]?(?<![a-z])\d", name.lower(), maxsplit=1)[0]


class DataOfAnotherName:
    """{path} is named {name}, {sibling} tells {word} apart by its name, and yet {key} {verb} {value!r}"""

    kind = "data_of_another_name"
    needs = "settings files that come in pairs, such as NAME and NAME-deduped, and state their data's paths"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """The variant in a file's name against the variant in its data's path."""
        training = [recipe for recipe in recipes(release) if _data_paths(recipe.config)]
        names = {recipe.name: recipe for recipe in training}
        words = Counter(
            longer[len(name) :].strip("-_.")
            for name in names
            for longer in names
            if longer.startswith((f"{name}-", f"{name}_"))
        )
        for word, pairs in words.items():
            if not re.fullmatch(r"[a-z]{4,}", word):
                continue
            having = [r for name, r in names.items() if _has(name, word)]
            without = [r for name, r in names.items() if not _has(name, word)]
            # The word must be one that the data's paths use as well, and that tells most files apart.
            right = sum(_in_paths(r, word) for r in having) + sum(not _in_paths(r, word) for r in without)
            if pairs < 2 or right < 0.6 * len(names) or not any(_in_paths(r, word) for r in having):
                continue
            sibling = having[0].config
            for recipe in training:
                path = _data_paths(recipe.config)[0]
                named, used = _has(recipe.name, word), _in_paths(recipe, word)
                if named == used:
                    yield Agreement((path.seen(),))
                    continue
                at = next((p for p in _data_paths(recipe.config) if _has(p.text, word) == used), path)
                values = {
                    "path": recipe.config.path,
                    "name": recipe.name,
                    "sibling": sibling.path,
                    "word": word,
                    "key": at.key,
                    "verb": "names" if used else "does not name it:",
                    "value": at.text,
                }
                name_seen = Excerpt(path=recipe.config.path, line=None, key="name", value=recipe.name)
                yield Contradiction(values, (name_seen, at.seen(), _data_paths(sibling)[0].seen()))


def _has(text: str, word: str) -> bool:
    return bool(re.search(rf"(?<![a-z]){re.escape(word)}(?![a-z])", text.lower()))


def _in_paths(recipe: Recipe, word: str) -> bool:
    return any(_has(value.text, word) for value in _data_paths(recipe.config))


def _data_paths(config: Config) -> list[Value]:
    keys = re.compile(
        r"(?:train[-_]data[-_]paths?|data[-_]paths?|data[-_]dir|train[-_]data|dataset|data_prefix|train_file)\Z",
        re.IGNORECASE,
    )
    return [v for v in config.values if keys.match(v.key) and isinstance(v.value, (str, tuple)) and "/" in v.text]


class KeyStandsTwice:
    """{path}: the key {key} stands twice, {first} in line {line} and {second} in line {other}; most readers take the last"""

    kind = "key_stands_twice"
    needs = "YAML, JSON or gin files"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """Keys that one mapping holds twice with different values."""
        for config in release.configs:
            for first, second in config.repeated:
                values = {
                    "path": config.path,
                    "key": first.key,
                    "first": first.text[:60],
                    "line": first.line,
                    "second": second.text[:60],
                    "other": second.line,
                }
                yield Contradiction(values, (first.seen(), second.seen()))
            if not config.repeated and config.values:
                yield Agreement((Excerpt(path=config.path, line=None, key="", value=f"{len(config.values)} keys"),))


class ScheduleCutOff:
    """{path}: the schedule's pieces have {total} steps together, but {key} is {steps}"""

    kind = "schedule_longer_than_training"
    needs = "a learning rate schedule in pieces with their steps, and the training's steps"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """Warm-up and decay must fill the training; a longer schedule that is cut off is recorded as such."""
        for recipe in recipes_with_pieces(release):
            config, pieces = recipe
            steps = next(
                (v for v in config.values if canonical(v.key) == "steps" and not re.search(r"\.\d+\.", v.key)), None
            )
            total = sum(as_number(v.value) or 0 for v in pieces)
            if steps is None or (wanted := as_number(steps.value)) is None:
                continue
            joined = self._joined(config, pieces)
            if joined is not None:
                yield joined
            seen = (*(v.seen() for v in pieces), steps.seen())
            if total == wanted:
                yield Agreement(seen)
            else:
                values = {"path": config.path, "total": f"{total:g}", "key": steps.key, "steps": steps.text}
                yield Contradiction(values, seen)

    def _joined(self, config: Config, pieces: list[Value]) -> Seen | None:
        """A piece begins where the one before it ends."""
        heads = [piece.key.rpartition(".")[0] for piece in pieces]
        for one, two in pairwise(heads):
            end, start = (
                config.by_key.get(f"{one}.end_learning_rate"),
                config.by_key.get(f"{two}.initial_learning_rate"),
            )
            if end is not None and start is not None and as_number(end.value) == as_number(start.value):
                return Agreement((end.seen(), start.seen()))
        return None


def recipes_with_pieces(release: PublishedFiles) -> Iterator[tuple[Config, list[Value]]]:
    """Settings files whose learning rate is a list of pieces, with the steps of each."""
    for config in release.configs:
        heads = sorted(
            {found.group(1) for key in config.by_key if (found := re.match(r"(.*learning_rate\.\d+)\.", key))}
        )
        pieces = [
            v
            for head in heads
            for name in ("decay_steps", "steps", "total_iters")
            if (v := config.by_key.get(f"{head}.{name}"))
        ]
        by_head = {v.key.rpartition(".")[0]: v for v in reversed(pieces)}
        if len(heads) >= 2 and set(by_head) == set(heads):
            yield config, [by_head[head] for head in heads]


__all__ = [
    "DataOfAnotherName",
    "KeyStandsTwice",
    "Recipe",
    "Row",
    "ScheduleCutOff",
    "TokensDisagree",
    "ValueStatedTwice",
    "ValueUnstated",
    "VocabularyStatedTwice",
    "canonical",
    "recipes",
    "stated",
    "tokens_of",
]
