"""A recipe while a format's reader fills it: each value with its origin, and the keys of the file that no value takes."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from openassay.faults import BadInput
from openassay.published.marked import MAX_NUMBER, Entry, Marked, shorten
from openassay.records import adapter
from openassay.training.language import LanguageRecipe, Origin, ReadRecipe, Value

BIGGEST = 10**15
MOST_CHECKPOINTS = 100_000
_FLOAT = re.compile(r"[-+]?(\.[0-9][0-9_]*|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?\Z")
_WHOLE = re.compile(r"[-+]?[0-9_]+\Z")
_MISSING = dataclasses.MISSING


class Leaf(NamedTuple):
    """One value of the canonical recipe: its type, and its default (`dataclasses.MISSING` for none)."""

    hint: Any
    default: Any

    @property
    def kinds(self) -> tuple[Any, ...]:
        """The types of the union, or the one type."""
        return typing.get_args(self.hint) if isinstance(self.hint, types.UnionType) else (self.hint,)

    @property
    def needed(self) -> bool:
        """Whether there is no recipe without it."""
        return self.default is _MISSING and types.NoneType not in self.kinds


def _leaves(kind: Any, prefix: str = "") -> Iterable[tuple[str, Leaf]]:
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(hints[field.name]):
            yield from _leaves(hints[field.name], f"{field.name}.")
        else:
            yield prefix + field.name, Leaf(hints[field.name], field.default)


NAMES: dict[str, Leaf] = dict(_leaves(LanguageRecipe))
"""Every value of the canonical recipe by its dotted name."""

UNITS = {
    **dict.fromkeys(("architecture.vocab_size", "architecture.max_position"), "tokens"),
    **dict.fromkeys(("data.sequence_length", "data.item_length", "data.target_length"), "tokens"),
    **dict.fromkeys(("data.mean_noise_span", "tokens_total"), "tokens"),
    **dict.fromkeys(("learning_rate.warmup_steps", "learning_rate.decay_steps"), "updates"),
    **dict.fromkeys(("steps", "clip_warmup_steps", "checkpoints"), "updates"),
    "batch_size": "sequences",
    "clip_norm": "L2 norm",
    "initialisation.truncated_at": "std",
}

LIMITS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("architecture.num_heads", "architecture.num_kv_heads"), (1, 10**5)),
    **dict.fromkeys(("architecture.hidden_size", "architecture.head_size"), (1, 10**6)),
    **dict.fromkeys(("data.eos_token_id", "data.pad_token_id"), (0, 10**8)),
    **dict.fromkeys(("architecture.max_position", "data.sequence_length", "steps"), (1, BIGGEST)),
    **dict.fromkeys(("architecture.norm_eps", "optimizer.eps", "architecture.rotary_share"), (0, 1)),
    **dict.fromkeys(("architecture.attention_dropout", "architecture.hidden_dropout"), (0, 1)),
    **dict.fromkeys(("architecture.embedding_scale", "architecture.logits_scale", "architecture.clip_qkv"), (0, 1e6)),
    **dict.fromkeys(("initialisation.std", "initialisation.output_std", "initialisation.embedding_std"), (0, 100)),
    **dict.fromkeys(("initialisation.truncated_at", "optimizer.weight_decay"), (0, 100)),
    **dict.fromkeys(("learning_rate.peak", "learning_rate.minimum", "learning_rate.warmup_minimum"), (0, 1000)),
    "architecture.vocab_size": (1, 10**8),
    "architecture.num_layers": (1, 10**4),
    "architecture.intermediate_size": (1, 10**7),
    "architecture.relative_buckets": (1, 10**6),
    "architecture.rotary_base": (1, 1e12),
    "batch_size": (1, 10**9),
    "clip_norm": (0, 1e9),
    "z_loss": (0, 1e3),
}
"""The least and the greatest number that a file may state; another one is refused."""


class Draft:
    """The values found so far, their origins, and which keys of the file were looked at."""

    def __init__(self, format_name: str, marked: Marked) -> None:
        self.format = format_name
        self.marked = marked
        self.values: dict[str, Value] = {}
        self.origins: dict[str, Origin] = {}
        self.notes: list[str] = list(marked.notes)
        self.used: set[str] = set()
        self.ignored: dict[str, str] = {}
        self.unknown: dict[str, str] = {}

    # What the file says ------------------------------------------------------------------------------------------------

    def find(self, path: str) -> Entry | None:
        """The entry at a dotted path, and its key is marked as known; None for one that is absent or null."""
        entry = self.marked.root
        walked: list[str] = []
        for part in path.split("."):
            if entry.value is None and walked:
                return None
            if not isinstance(entry.value, dict):
                raise self.bad(entry, ".".join(walked) or "the file", "keys and values")
            if part not in entry.value:
                return None
            walked.append(part)
            entry = entry.value[part]
        self.used.add(path)
        return None if entry.value is None else entry

    def has(self, path: str) -> bool:
        """Whether the key is there, with a value."""
        return self.find(path) is not None

    def first(self, *paths: str) -> str:
        """The first of these paths that has a value, or else the first path."""
        return next((path for path in paths if self.has(path)), paths[0])

    def at(self, *paths: str) -> str:
        """file:line and key of each path that is there, or else the first path."""
        there = [(entry, path) for path in paths if (entry := self.find(path))]
        return ", ".join(f"{one.place} {one.name or path.rpartition('.')[2]}" for one, path in there) or paths[0]

    def bad(self, entry: Entry, key: str, expected: str, found: str | None = None) -> BadInput:
        """A refusal in one line: file, line, key, what was expected, and what was found (the entry, unless told)."""
        if found is None and isinstance(entry.value, (dict, list)):
            found = "a list" if isinstance(entry.value, list) else "keys and values"
        elif found is None:
            found = shorten(entry.raw) or "nothing"
        return BadInput(f"{entry.place}: {shorten(key)}: expected {expected}, found {found}")

    def refusal(self, path: str, expected: str, found: str) -> BadInput:
        """As `bad`, for the key at a path."""
        return self.bad(self.find(path) or self.marked.root, path, expected, found)

    def number(self, path: str, low: float = -1e30, high: float = 1e30) -> float | None:
        """A finite number in a range. One that YAML 1.1 reads as text is noted, and read as a number."""
        entry = self.find(path)
        return None if entry is None else self.as_number(entry, path, low, high)

    def as_number(self, entry: Entry, key: str, low: float = -1e30, high: float = 1e30) -> float:
        """As `number`, for an entry at hand."""
        value = entry.value
        if isinstance(value, str) and len(value) <= MAX_NUMBER and _FLOAT.match(value):
            loader = "text to a YAML 1.1 loader, which needs a point and a sign"
            kind = "quoted, and so text" if entry.quoted else loader
            if not self.marked.is_json or entry.quoted:
                self.note(f"{entry.place}: {key}: {value} is {kind}; it is read as a number")
            digits = value.replace("_", "")
            value = int(digits) if _WHOLE.match(value) else float(digits)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise self.bad(entry, key, f"a number from {low:g} to {high:g}" if abs(high) < 1e30 else "a number")
        return value

    def integer(self, path: str, low: float = 0, high: float = BIGGEST) -> int | None:
        """A whole number in a range."""
        entry = self.find(path)
        return None if entry is None else self.as_integer(entry, path, low, high)

    def as_integer(self, entry: Entry, key: str, low: float = 0, high: float = BIGGEST) -> int:
        """As `integer`, for an entry at hand."""
        number = entry.value
        if not isinstance(number, int):
            number = self.as_number(entry, key)
        if isinstance(number, bool) or number != math.floor(number) or not low <= number <= high:
            raise self.bad(entry, key, f"a whole number from {low} to {high}")
        return int(number)

    def boolean(self, path: str) -> bool | None:
        """True or false, as YAML 1.1 says them."""
        entry = self.find(path)
        if entry is None:
            return None
        if not isinstance(entry.value, bool):
            raise self.bad(entry, path, "true or false")
        return entry.value

    def word(self, path: str, choices: Collection[str] | None = None) -> str | None:
        """A text; one of the choices where there are some."""
        entry = self.find(path)
        if entry is None:
            return None
        if isinstance(entry.value, (dict, list)) or (choices is not None and entry.raw not in choices):
            raise self.bad(entry, path, "one of " + ", ".join(choices) if choices else "a text")
        return entry.raw

    def items(self, path: str) -> list[Entry] | None:
        """A list's entries."""
        entry = self.find(path)
        if entry is None:
            return None
        if not isinstance(entry.value, list):
            raise self.bad(entry, path, "a list")
        return entry.value

    def words(self, path: str) -> tuple[str, ...] | None:
        """A list of texts."""
        found = self.items(path)
        for entry in found or ():
            if isinstance(entry.value, (dict, list)):
                raise self.bad(entry, path, "a list of texts")
        return None if found is None else tuple(entry.raw for entry in found)

    def betas(self, path: str) -> tuple[float, float] | None:
        """Adam's two decay rates from a list."""
        found = self.items(path)
        if found is None:
            return None
        if len(found) != 2:
            raise self.refusal(path, "two numbers", f"{len(found)}")
        first, second = (self.as_number(entry, path, 0, 1) for entry in found)
        return first, second

    # What the recipe gets ----------------------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Keep something that a reader should know; the same text only once."""
        if text not in self.notes:
            self.notes.append(text)

    def note_at(self, path: str, text: str) -> None:
        """As `note`, about the key at a path."""
        self.note(f"{self.at(path)}: {text}")

    def beyond(self, path: str, what: str) -> None:
        """Note that the file asks for something that the canonical recipe has no value for."""
        self.note_at(path, f"{what}, which the canonical recipe cannot express")

    def heads_divide(self, width: int | None, path: str, heads: int | None) -> None:
        """Note a width that is no multiple of the heads: the publisher's slip, which is not refused."""
        if width and heads and width % heads:
            self.note_at(path, f"{heads} heads cannot share a width of {width}, so no network has these sizes")

    def no_rotary(self, where: str) -> None:
        """Set no rotary positions, and note that there must be others."""
        self.derived("architecture.rotary_share", None, f"{where}: no rotary embedding")
        self.note(f"{where}: the canonical recipe has rotary positions only")

    def put(self, name: str, value: Value, kind: str, where: str) -> None:
        """Set a value; a later one replaces an earlier."""
        assert name in NAMES, name  # noqa: S101 - a slip of ours, not of the file
        self.values[name] = value
        self.origins[name] = Origin(kind=kind, where=where)  # type: ignore[arg-type]

    def stated(self, name: str, path: str, value: Value, default: Value = None, where: str = "") -> Value:
        """Set a value that the file states at `path`; without one the code's default, which stands at `where`, or unstated."""
        if value is not None:
            self.put(name, value, "stated", self.at(path))
        elif where:
            self.put(name, default, "code default", where)
        else:
            self.put(name, None, "unstated", f"no key {path}")
        return self.values[name]

    def take(
        self, name: str, path: str, default: Value = None, where: str = "", limits: tuple[float, float] | None = None
    ) -> Any:
        """As `stated`, with the value at `path` read as the canonical recipe's type, within `limits` or those of `LIMITS`."""
        kinds = NAMES[name].kinds
        limits = limits or LIMITS.get(name)
        if bool in kinds:
            value: Value = self.boolean(path)
        elif int in kinds:
            value = self.integer(path, *limits or ())
        elif float in kinds:
            value = self.number(path, *limits or ())
        else:
            value = self.word(path)
        return self.stated(name, path, value, default, where)

    def named(
        self, name: str, path: str, names: Mapping[str, Value], default: Value = None, where: str = ""
    ) -> str | None:
        """As `stated`, with the word at `path` translated; unstated for a word that is not in `names`. The word itself."""
        word = self.word(path)
        if word is None or word in names:
            self.stated(name, path, None if word is None else names[word], default, where)
        else:
            self.nameless(name, path, word)
        return word

    def nameless(self, name: str, path: str, word: str) -> None:
        """Leave a value unstated, as the canonical recipe has no name for the file's word."""
        self.unstated(name, f"{self.at(path)}: {shorten(word)} has no canonical name")

    def partly(self, name: str, value: Value, paths: Collection[str], default_at: str) -> None:
        """Set a value that several keys state together: a code default where one of them is absent."""
        said = [self.at(path) for path in paths if self.has(path)]
        kind = "stated" if len(said) == len(paths) else "code default"
        self.put(name, value, kind, ", ".join(said if kind == "stated" else [*said, default_at]))

    def two_betas(self, first: str, second: str, default_at: str) -> None:
        """Set Adam's two decay rates, each with a key of its own; the usual ones where one is absent."""
        one, two = self.number(first, 0, 1), self.number(second, 0, 1)
        usual = (0.9 if one is None else one, 0.999 if two is None else two)
        self.partly("optimizer.betas", usual, (first, second), default_at)

    def derived(self, name: str, value: Value, how: str) -> None:
        """Set a value that follows from stated ones."""
        self.put(name, value, "derived", how)

    def code(self, where: str, values: Mapping[str, Value]) -> None:
        """Set values that the release's code fixes at one place."""
        for name, value in values.items():
            self.put(name, value, "code default", where)

    def withhold(self, why: str, cited: str = "") -> None:
        """Leave unstated each code default, and what is derived from code whose name is `cited`: the file is for other code."""
        for name, origin in list(self.origins.items()):
            if origin.kind == "code default" or (origin.kind == "derived" and cited and cited in origin.where):
                self.unstated(name, why)

    def unstated(self, name: str, why: str) -> None:
        """Set a value to None, as nothing states it."""
        self.put(name, None, "unstated", why)

    def checkpoints(self, steps: int | None, every: Iterable[int], where: str, *others: int) -> None:
        """Derive the checkpoints: after each so many updates, and the others; none where they would be too many."""
        kept = [one for one in every if one]
        if steps and kept and sum(steps // one for one in kept) <= MOST_CHECKPOINTS:
            found = {at for one in kept for at in range(one, steps + 1, one)} | set(others)
            self.derived("checkpoints", tuple(sorted(found)), where)

    def finish(self, *ignored: Mapping[str, str]) -> ReadRecipe:
        """The recipe as read. `ignored`: each reason why keys bear on no value, with the patterns of their dotted paths."""
        reasons = [(one, why) for table in ignored for why, patterns in table.items() for one in patterns.split()]
        self._sort(self.marked.root, "", reasons)
        for name in NAMES:
            if name not in self.values:
                self.unstated(name, "the file does not state it")
        missing = settle(self.values, self.origins)
        given = {
            name for name, leaf in NAMES.items() if leaf.default is _MISSING or self.origins[name].kind != "unstated"
        }
        return ReadRecipe(
            format=self.format,
            values={name: self.values[name] for name in NAMES},
            origins={name: self.origins[name] for name in NAMES},
            missing=missing,
            recipe=None if missing else _build({name: self.values[name] for name in given}, self._place),
            ignored=self.ignored,
            unknown=self.unknown,
            notes=tuple(self.notes),
        )

    def _place(self, name: str) -> str:
        return f"{self.origins[name].where if name in self.origins else self.marked.file}: {name}"

    def _sort(self, entry: Entry, path: str, reasons: Collection[tuple[str, str]]) -> None:
        """Sort the keys that no value takes into the ignored and the unknown."""
        for key, item in entry.value.items() if isinstance(entry.value, dict) else ():
            below = f"{path}.{key}" if path else key
            reason = next((why for pattern, why in reasons if fnmatchcase(below, pattern)), None)
            inner = any(used.startswith(below + ".") for used in self.used)
            if isinstance(item.value, dict) and item.value and (inner or below in self.used or reason is None):
                self._sort(item, below, reasons)
            elif below in self.used:
                continue
            elif reason is not None:
                self.ignored[shorten(below)] = f"{item.place}: {reason}"
            else:
                self.unknown[shorten(below)] = item.place


def settle(values: dict[str, Value], origins: dict[str, Origin]) -> tuple[str, ...]:
    """The names that are missing. Where none is, values that nothing states get the canonical recipe's default."""
    given = {name for name in NAMES if origins[name].kind != "unstated"}
    missing = tuple(name for name, leaf in NAMES.items() if leaf.needed and (name not in given or values[name] is None))
    for name, leaf in () if missing else NAMES.items():
        if name not in given and leaf.default is not _MISSING:
            values[name] = leaf.default
            if leaf.default is not None:
                where = origins[name].where.partition("; as in every recipe")[0]
                origins[name] = Origin(kind="unstated", where=f"{where}; as in every recipe: {leaf.default}")
    return missing


def complete(read: ReadRecipe, settings: Mapping[str, Any], where: str) -> LanguageRecipe:
    """The recipe, with `settings` by dotted name for what its file leaves unstated. `BadInput` in one line, `where` in front."""
    if odd := sorted(set(settings) - set(NAMES)):
        raise BadInput(f"{where}.{odd[0]}: {NO_SUCH_VALUE}")
    stated = [name for name in sorted(settings) if read.origins[name].kind in {"stated", "derived"}]
    if stated:  # else a target could train another recipe under the release's name
        place = read.origins[stated[0]].where
        raise BadInput(f"{where}.{stated[0]}: the published file states it ({place}); leave it out")
    given = {name: value for name, value in read.values.items() if value is not None} | dict(settings)
    missing = [name for name, leaf in NAMES.items() if leaf.needed and given.get(name) is None]
    if missing:
        raise BadInput(
            f"{where}: the published file does not state {', '.join(missing)}; add here what the release states elsewhere"
        )
    values = {name: given.get(name) for name, leaf in NAMES.items() if name in given or leaf.default is _MISSING}
    return _build(values, lambda name: f"{where}.{name}")


def with_values(recipe: LanguageRecipe, values: Mapping[str, Any], where: str) -> LanguageRecipe:
    """The recipe with other values, by dotted name, whatever its file states. `BadInput` in one line, `where` in front."""
    check_values(values, where)
    now = {name: functools.reduce(getattr, name.split("."), recipe) for name in NAMES}
    return _build(now | dict(values), lambda name: f"{where}.{name}")


def check_values(values: Mapping[str, Any], where: str) -> None:
    """Refuse values, by dotted name, that no recipe can have, as far as each alone shows it. `BadInput` in one line."""
    for name, value in values.items():
        if name not in NAMES:
            raise BadInput(f"{where}.{name}: {NO_SUCH_VALUE}")
        try:
            TypeAdapter(NAMES[name].hint).validate_python(value)
        except ValidationError as error:
            raise BadInput(f"{where}.{name}: {error.errors()[0]['msg']}, found {shorten(value)}") from None


NO_SUCH_VALUE = "a recipe has no such value; run `openassay recipe FILE` to see the names"


def _build(values: Mapping[str, Any], place: Callable[[str], str]) -> LanguageRecipe:
    """The recipe of these values by dotted name. `BadInput` in one line, the `place` of the odd value's name in front."""
    nested: dict[str, Any] = {}
    for name, value in values.items():
        part, _, last = name.rpartition(".")
        (nested.setdefault(part, {}) if part else nested)[last] = value
    try:
        recipe: LanguageRecipe = adapter(LanguageRecipe).validate_python(nested)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(part for part in first["loc"] if isinstance(part, str))
        raise BadInput(f"{place(name)}: {first['msg']}, found {shorten(first['input'])}") from None
    return recipe


def whole(value: float) -> float:
    """An int where it is one."""
    return int(value) if value == math.floor(value) else value


def alone(word: str | None) -> tuple[str] | None:
    """One word as a list of one; None for none."""
    return (word,) if word else None
