"""Settings against each other, wherever a release states them: files, documents, siblings, the code's defaults."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise

from openassay.checks.check import Agreement, Contradiction, NotAsked, Noted, Seen, check, compared
from openassay.core.findings import Excerpt
from openassay.published.code_options import defaults
from openassay.published.files import Config, PublishedFiles, Text, Value, excerpt
from openassay.published.scalars import number
from openassay.published.stated import (
    NAMES,
    Recipe,
    canonical,
    canonical_header,
    documents,
    in_list,
    in_scope,
    is_aside,
    recipe_of,
    recipes,
    subject_of,
)
from openassay.published.tables import tables_of


@check(needs="a setting that a document and a settings file, or two settings files of one model, both state")
def value_stated_twice(release: PublishedFiles) -> Iterator[Seen]:
    """{name}: {place} says {first}, {value.path} says {second}"""
    training = recipes(release)
    for text in documents(release):
        of = [recipe for recipe in training if in_scope(text, recipe)]
        for recipe, name, cell, at in _statements(text, of):
            value = recipe.values.get(name)
            written = number(re.sub(r"\s*\(.*\)$", "", cell.strip()).removeprefix("~"))
            if value is not None and written is not None and value.number is not None:
                fits, first = _is_same(written, value.number, cell), cell.strip()
                yield compared(fits, at, value, name=name, place=at.path, first=first, value=value, second=value.text)
    yield from _architectures(release, training)


def _is_same(a: float, b: float, written: str) -> bool:
    """True if two numbers are equal as far as the digits of a document go: half a unit of the last one."""
    if a == b:
        return True
    mantissa, _, exponent = written.strip("`*~ ").lower().replace(",", "").partition("e")
    decimals = len(mantissa.partition(".")[2])
    try:
        unit = 10.0 ** (int(exponent or 0) - decimals)
    except (ValueError, OverflowError):
        return False
    fits = abs(a - b) <= 0.5000001 * unit and (decimals > 0 or bool(exponent))
    return fits or abs(a - b) <= 1e-9 * max(abs(a), abs(b))


_BULLET = re.compile(r"\s*[-*]\s+\**`?([A-Za-z][\w \-]{1,30})`?\**\s*[:=]\s*\**\s*`?([\d.,eE+\-]+)`?\s*$")
_NOT_COMPARED = {"tokens", "batch_size", "steps"}


def _statements(text: Text, of: list[Recipe]) -> Iterator[tuple[Recipe, str, str, Excerpt]]:
    """(training, setting, what is written, its place): tables of models or of one training's settings, and bullets."""
    # A document that names no training means the only one there is, or the only one beside it.
    beside = of if len(of) == 1 else [r for r in of if r.config.folder == text.folder and text.folder]
    only = beside[0] if len(beside) == 1 else None
    for table in tables_of(text):
        heads = [(i, canonical_header(column)) for i, column in enumerate(table.columns)][1:]
        columns = [(i, name) for i, name in heads if name is not None and name not in {"tokens", "batch_size"}]
        for row in table.rows if len(columns) >= 2 else ():
            if (recipe := subject_of(row.cells[0], of)) is not None:
                yield from ((recipe, name, row.cells[i], table.seen(row, i)) for i, name in columns)
        if only is not None and len(table.columns) == 2:
            names = [(row, canonical_header(row.cells[0])) for row in table.rows]
            for row, name in names if sum(name is not None for _, name in names) >= 2 else ():
                if name is not None and name not in _NOT_COMPARED:
                    yield only, name, row.cells[1], table.seen(row, 1)
    for line, words in text.prose if only is not None else ():
        found = _BULLET.match(words)
        name = canonical_header(found.group(1)) if found else None
        if only is not None and found and name is not None and name not in _NOT_COMPARED:
            yield only, name, found.group(2), text.seen(line)


def _architectures(release: PublishedFiles, training: list[Recipe]) -> Iterator[Seen]:
    """A model's own config.json against the training file of the same shape, or beside it."""
    models = [config for config in release.configs if _is_model(config)]
    if len(models) != 1:
        return
    model = recipe_of(models[0]).values
    shape = ("d_model", "n_layers", "n_heads")
    for recipe in training:
        if any(name not in model or name not in recipe.values for name in shape):
            continue
        differ = [name for name in shape if model[name].number != recipe.number(name)]
        if len(differ) > 1 or (differ and not _is_one_model(model, training)):
            continue  # another model's settings
        for name in shape:
            yield _both(name not in differ, name, model[name], recipe.values[name], recipe.values[name].text)
        yield from _tied(models[0], recipe)
        own, vocabulary = model.get("vocab_size"), recipe.values.get("vocab_size")
        sizes = [value.number for value in (own, vocabulary) if value is not None and value.number is not None]
        if own is not None and vocabulary is not None and len(sizes) == 2 and sizes[0] < sizes[1]:
            yield _both(False, "vocab_size", own, vocabulary, f"{vocabulary.text}, which does not fit into it")


def _both(is_same: bool, name: str, one: Value, two: Value, second: str) -> Seen:
    return compared(is_same, one, two, name=name, place=one.path, first=one.text, value=two, second=second)


def _is_one_model(model: dict[str, Value], training: list[Recipe]) -> bool:
    """True if every training speaks of one shape, with the model's vocabulary."""
    shapes = {tuple(r.number(name) for name in ("d_model", "n_layers", "n_heads", "vocab_size")) for r in training}
    vocabulary = model["vocab_size"].number if "vocab_size" in model else None
    return len(shapes) == 1 and vocabulary is not None and next(iter(shapes))[3] == vocabulary


def _is_model(config: Config) -> bool:
    is_settings = config.format == "json" and not is_aside(config.path) and "model_type" in config.by_key
    return is_settings and any(canonical(key) == "d_model" for key in config.by_key)


def _tied(model: Config, recipe: Recipe) -> Iterator[Seen]:
    keys = {"share_embedding_weights", "weight_tying", "tie_word_embeddings", "no_weight_tying"}
    tied = [v for v in recipe.config.values if v.word in keys and isinstance(v.value, bool)]
    own = model.by_key.get("tie_word_embeddings")
    if own is not None and isinstance(own.value, bool) and len(tied) == 1:
        is_same = own.value == (tied[0].value != (tied[0].word == "no_weight_tying"))
        yield _both(is_same, "tied embeddings", own, tied[0], f"{tied[0].leaf} {tied[0].text}")


_PART = re.compile(r"vision|text|audio|encoder|decoder|image|speech|teacher|draft|source|target|src|tgt")


@check(needs="a settings file that states vocab_size in several sections")
def vocabulary_stated_twice(release: PublishedFiles) -> Iterator[Seen]:
    """{first.path} gives vocab_size {first.text} and {second.text} for one model"""
    for recipe in recipes(release):
        stated = (v for v in recipe.config.values if v.leaf == "vocab_size" and not _PART.search(v.key))
        values = [v for v in stated if v.number is not None]
        other = next((v for v in values if v.number != values[0].number), None)
        if other is not None:
            yield Contradiction(values[0], other, first=values[0], second=other)
        elif len(values) >= 2:
            yield Agreement(*values[:3])


ESSENTIAL = ("seed", "adam_eps", "weight_decay", "warmup_steps", "beta1", "clip_norm")
Options = dict[str, list[Value]]


@check(needs="settings files of one family, of which some state what others do not, or the code with its defaults")
def value_unstated(release: PublishedFiles) -> Iterator[Seen]:
    """{path} does not state {value.key}, so the code's default{default} applies; {others} sibling files state it"""
    families: dict[frozenset[str], list[Recipe]] = {}
    for recipe in recipes(release):
        families.setdefault(_family(recipe, families), []).append(recipe)
    options = defaults(release) if families else {}
    for siblings in families.values():
        if len(siblings) >= 4 and siblings[0].config.format != "python":  # modules may take the rest from another
            yield from _against_siblings(siblings, options)
    yield from _essentials([recipe for of in families.values() for recipe in of], options)


def _family(recipe: Recipe, families: dict[frozenset[str], list[Recipe]]) -> frozenset[str]:
    """The keys of a file's family: its files share a name but for sizes and variants, and most keys; they lie in one tree."""
    own = frozenset(_plain(key) for key in recipe.config.by_key if not in_list(key))
    for keys, of in families.items():
        is_alike = len(keys & own) >= 0.8 * max(len(keys), len(own))
        if is_alike and _place(of[0]) == _place(recipe) and of[0].config.format == recipe.config.format:
            return keys
    return own


def _place(recipe: Recipe) -> tuple[str, ...]:
    """The folder of a file without the sizes in it, and what its name has before the size."""
    folder = re.sub(r"(?<![a-z])\d+(\.\d+)?[kmbt]?(?![a-z])", "#", recipe.config.folder.lower())
    return (folder, re.split(r"[-_.]?(?<![a-z])\d", recipe.name.lower(), maxsplit=1)[0] or recipe.config.folder)


def _plain(key: str) -> str:
    """A key without what only its spelling tells."""
    plain = key.lower().replace("-", "_")
    return {"gas": "gradient_accumulation_steps", "rotary_percent": "rotary_pct"}.get(plain, plain)


def _against_siblings(siblings: list[Recipe], options: Options) -> Iterator[Seen]:
    keys = [
        {
            _plain(key)
            for key, v in r.config.by_key.items()
            if not in_list(key) and (v.value is not None or key in r.values)
        }
        for r in siblings
    ]
    counts = Counter(key for of in keys for key in of)
    common = sorted(key for key, count in counts.items() if count >= 0.75 * len(siblings) and _matters(key))
    stating: dict[str, list[Value]] = defaultdict(list)
    for value in (v for recipe in siblings for v in recipe.config.values):
        stating[_plain(value.key)].append(value)
    for recipe, own in zip(siblings, keys, strict=True):
        path = recipe.config.path
        null = {_plain(key) for key, value in recipe.config.by_key.items() if value.value is None}
        missing = [key for key in common if key not in own | null]
        if not missing:
            yield Agreement(excerpt(path, "", f"states all {len(common)} settings that its siblings state"))
        for key in missing:
            found = options.get(key.rpartition(".")[2], [])
            section = key.rpartition(".")[0]
            if (
                (section and not any(other.startswith(f"{section}.") for other in own))  # another optimizer's, say
                or _is_said_otherwise(key, own, common)
                or len({str(v.value) for v in stating[key]}) > 1  # no constant of the family
                or any(str(o.value) == str(stating[key][0].value) for o in found)
            ):
                continue
            example = next(r for r, of in zip(siblings, keys, strict=True) if key in of)
            at = next(v for v in example.config.values if _plain(v.key) == key)
            known = found[:1] if len({o.value for o in found}) == 1 else []
            default = "".join(f" ({o.value} in {o.path})" for o in known)
            others, here = f"{counts[key]} of its {len(siblings) - 1}", excerpt(path, at.key, "not stated")
            yield Contradiction(here, at, *known, path=path, value=at, default=default, others=others)


def _is_said_otherwise(key: str, own: set[str], common: list[str]) -> bool:
    """True if a file states the same by another key (`mlp_ratio` for `mlp_hidden_size`)."""
    if key.startswith("fp16") and own & {"bf16.enabled", "bf16.bf16", "precision", "bf16"}:
        return True
    section, _, leaf = key.rpartition(".")
    head = leaf.partition("_")[0]
    alike = (k for k in own if k.rpartition(".")[0] == section and k.rpartition(".")[2].startswith(f"{head}_"))
    return len(head) >= 3 and any(k not in common for k in alike)


_SMALL_MATTER = re.compile(
    r"(^|[._])(wandb|log|logging|print|eval|valid|test|launcher|slurm|deepspeed|path|paths|dir|folder|name|group|project|entity"
    r"|save|load|checkpoint|workers|interval|iters_per|profil|backend|hostfile|master|cache|timeout|prefetch|pin_memory"
    r"|tensorboard|zero_optimization|breakdown|user|upload|s3|label|evaluators|gc|monitor|comm|bucket|partition|persistent"
    r"|overwrite|compile|fsdp|ddp|dry|run|desc\w*|device|keep|wall|distributed|evaluator|stop|fused|flash|stage|restore|reset|try"
    r"|no_pre|loss_scale|num_nodes|devices|num_gpus|nproc|attn_impl|adapter|q?lora|peft|unfrozen|freez)|/|(^|\.)_",
    re.IGNORECASE,
)


def _matters(key: str) -> bool:
    """True if a setting can change the trained model; logging, paths and the machine's own cannot.

    Names of data sets, YAML's anchors and what only adapters need are not every sibling's to state.
    """
    return not _SMALL_MATTER.search(key) and not key.startswith("data.") and key != "fp16.fp16"


def _essentials(training: list[Recipe], options: Options) -> Iterator[Seen]:
    for name in ESSENTIAL:
        without = [recipe for recipe in training if not _has_setting(name, recipe)]
        if not without:
            continue
        found = [option for spelling in NAMES[name] for option in options.get(spelling, [])]
        files = ", ".join(recipe.config.path for recipe in without[:3])
        more = f" and {len(without) - 3} more" if len(without) > 3 else ""
        known = found[:1] if len({o.value for o in found}) == 1 else []
        where = "".join(f"; the code's default: {o.value} ({o.path}:{o.line})" for o in known)
        yield NotAsked(f"{name} is stated nowhere in {files}{more}{where}")


def _has_setting(name: str, recipe: Recipe) -> bool:
    """True if a file states a setting, or something that decides it."""
    keys = {_plain(key) for key in recipe.config.by_key}
    if name in recipe.values or any(canonical(key) == name for key in recipe.config.by_key):
        return True
    if name in {"adam_eps", "beta1"}:
        adaptive = any(other in str(v.value).lower() for v in recipe.config.values for other in ("adafactor", "sgd"))
        return adaptive or any(key.endswith((".eps", "betas", "epsilon")) or key == "eps" for key in keys)
    parts = {"warmup_steps": ("warmup",), "clip_norm": ("clip", "max_grad")}.get(name, ())
    return any(part in key for key in keys for part in parts)


@check(needs="settings files that come in pairs, such as NAME and NAME-deduped, and state their data's paths")
def data_of_another_name(release: PublishedFiles) -> Iterator[Seen]:
    """{recipe.config.path} is named {recipe.name}, {with_it} {word!r}, but {at.key} is {at.text!r}; other files, such as
    {sibling.config.path}, have {word!r} in both or in neither"""
    training = [recipe for recipe in recipes(release) if _data_paths(recipe)]
    names = {recipe.name: recipe for recipe in training}
    pairs_of = ((name, longer) for name in names for longer in names if longer.startswith((f"{name}-", f"{name}_")))
    words = Counter(longer[len(name) :].strip("-_.") for name, longer in pairs_of)
    for word, pairs in words.items():
        having = [r for name, r in names.items() if _has(name, word)]
        # The word must be one that the data's paths use as well, and that tells most files apart.
        right = sum(_in_paths(r, word) == _has(name, word) for name, r in names.items())
        if pairs < 2 or not re.fullmatch(r"[a-z]{4,}", word) or right < 0.6 * len(names):
            continue
        if not any(_in_paths(r, word) for r in having):
            continue
        for recipe in training:
            path, used = _data_paths(recipe)[0], _in_paths(recipe, word)
            if _has(recipe.name, word) == used:
                yield Agreement(path)
                continue
            at = next((p for p in _data_paths(recipe) if _has(p.text, word) == used), path)
            seen = (excerpt(recipe.config.path, "name", recipe.name), at, _data_paths(having[0])[0])
            with_it = "without" if used else "with"
            yield Contradiction(*seen, recipe=recipe, sibling=having[0], word=word, at=at, with_it=with_it)


def _has(text: str, word: str) -> bool:
    return bool(re.search(rf"(?<![a-z]){re.escape(word)}(?![a-z])", text.lower()))


def _in_paths(recipe: Recipe, word: str) -> bool:
    return any(_has(value.text, word) for value in _data_paths(recipe))


_DATA_PATH = re.compile(
    r"(?:train[-_]data[-_]paths?|data[-_]paths?|data[-_]dir|train[-_]data|dataset|data_prefix|train_file)\Z",
    re.IGNORECASE,
)


def _data_paths(recipe: Recipe) -> list[Value]:
    values = (v for v in recipe.config.values if isinstance(v.value, (str, tuple)) and "/" in v.text)
    return [v for v in values if _DATA_PATH.match(v.key)]


@check(needs="YAML, JSON or gin files")
def key_stands_twice(release: PublishedFiles) -> Iterator[Seen]:
    """{first.path}: the key {first.key} stands twice, {first.text:.60} in line {first.line} and {second.text:.60} in line
    {second.line}; most readers take the last"""
    for config in release.configs:
        for first, second in config.repeated:
            yield Contradiction(first, second, first=first, second=second)
        if not config.repeated and config.values:
            yield Agreement(excerpt(config.path, "", f"{len(config.values)} keys"))


@check(needs="a learning rate schedule in pieces with their steps, and the training's steps")
def schedule_longer_than_training(release: PublishedFiles) -> Iterator[Seen]:
    """{steps.path}: the schedule's pieces have {total:g} steps together, but {steps.key} is {steps.text}"""
    # Warm-up and decay must fill the training; a longer schedule that is cut off is recorded as such.
    for config in release.configs:
        pieces = _pieces(config)
        at = (v for v in config.values if canonical(v.key) == "steps" and not re.search(r"\.\d+\.", v.key))
        steps = next(at, None)
        if len(pieces) < 2 or steps is None or steps.number is None:
            continue
        for one, two in pairwise(piece.key.rpartition(".")[0] for piece in pieces):
            end = config.by_key.get(f"{one}.end_learning_rate")
            start = config.by_key.get(f"{two}.initial_learning_rate")
            if end is not None and start is not None and end.number == start.number:
                yield Agreement(end, start)  # a piece begins where the one before it ends
                break
        total = sum(v.number or 0 for v in pieces)
        is_part = total > steps.number and re.search(r"(?i)(phase|stage|part)[-_]?\d", config.path)
        made = Agreement if total == steps.number else Noted if is_part else Contradiction
        yield made(*pieces, steps, total=total, steps=steps)


@check(needs="OLMo settings with a schedule and a duration, both in tokens")
def schedule_beyond_training(release: PublishedFiles) -> Iterator[Seen]:
    """{end.path}: the learning rate's schedule ends at {end.key} {end.text}, the training at {stop.key} {stop.text}: it is cut
    off before its end"""
    for config in release.configs:
        end, stop = config.by_key.get("scheduler.t_max"), config.by_key.get("max_duration")
        units = config.by_key.get("scheduler.units")
        if end is None or end.number is None or stop is None or units is None or units.value != "tokens":
            continue
        tokens = number(stop.text[:-1]) if stop.text.endswith("T") else None
        if tokens is not None:
            made = Noted if end.number > 1.001 * tokens else Agreement
            yield made(end, stop, end=end, stop=stop)


def _pieces(config: Config) -> list[Value]:
    """The numbers of steps of a learning rate's pieces, where each piece states one; else nothing."""
    heads = sorted({found.group(1) for key in config.by_key if (found := re.match(r"(.*learning_rate\.\d+)\.", key))})
    names = ("decay_steps", "steps", "total_iters")
    pieces = [next((v for name in names if (v := config.by_key.get(f"{head}.{name}"))), None) for head in heads]
    return [piece for piece in pieces if piece is not None] if None not in pieces else []
