"""How does a format's reader fill the canonical recipe? Value by value, each with its origin; what it does not take is listed."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from pydantic import TypeAdapter, ValidationError

from openassay.faults import BadInput
from openassay.recipes.formats.marked import MAX_NUMBER, Entry, Marked, shorten
from openassay.training.language import LanguageRecipe, Origin, ReadRecipe, Value

BIGGEST = 10**15
_FLOAT = re.compile(r"[-+]?(\.[0-9][0-9_]*|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?\Z")
_ADAPTER = TypeAdapter(LanguageRecipe)


def _leaves(kind: Any, prefix: str = "") -> Iterable[tuple[str, bool]]:
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            yield from _leaves(hint, f"{prefix}{field.name}.")
        else:
            can_be_none = isinstance(hint, types.UnionType) and type(None) in typing.get_args(hint)
            has_default = field.default is not dataclasses.MISSING
            yield prefix + field.name, not (can_be_none or has_default)


NAMES: dict[str, bool] = dict(_leaves(LanguageRecipe))
"""Every dotted name of the canonical recipe, and whether there is no recipe without it."""

UNITS = {
    "architecture.vocab_size": "tokens",
    "architecture.max_position": "tokens",
    "data.sequence_length": "tokens",
    "data.item_length": "tokens",
    "data.target_length": "tokens",
    "data.mean_noise_span": "tokens",
    "batch_size": "sequences",
    "steps": "updates",
    "tokens_total": "tokens",
    "learning_rate.warmup_steps": "updates",
    "learning_rate.decay_steps": "updates",
    "clip_warmup_steps": "updates",
    "checkpoints": "updates",
    "clip_norm": "L2 norm",
    "initialisation.truncated_at": "std",
}


class Draft:
    """The values found so far, their origins, and which keys of the file were looked at."""

    def __init__(self, format_name: str, marked: Marked) -> None:
        self.format = format_name
        self.marked = marked
        self.values: dict[str, Value] = {}
        self.origins: dict[str, Origin] = {}
        self.notes: list[str] = list(marked.notes)
        self.used: set[str] = set()

    # What the file says ------------------------------------------------------------------------------------------------

    def find(self, path: str) -> Entry | None:
        """The entry at a dotted path, which is then no unknown key; None for one that is absent or null."""
        entry = self.marked.root
        walked: list[str] = []
        for part in path.split("."):
            if entry.value is None and walked:
                return None
            if not isinstance(entry.value, dict):
                raise self.bad(entry, ".".join(walked) or "the file", "keys and values", entry)
            if part not in entry.value:
                return None
            walked.append(part)
            entry = entry.value[part]
        self.used.add(path)
        return None if entry.value is None else entry

    def has(self, path: str) -> bool:
        """Is the key there, with a value?"""
        return self.find(path) is not None

    def at(self, path: str) -> str:
        """file:line and key."""
        entry = self.find(path)
        return f"{entry.place} {entry.name or path.rpartition('.')[2]}" if entry else path

    def bad(self, entry: Entry, key: str, expected: str, found: Entry | str) -> BadInput:
        """One line: file, line, key, expected, found."""
        if isinstance(found, Entry):
            if isinstance(found.value, (dict, list)):
                found = "a list" if isinstance(found.value, list) else "keys and values"
            else:
                found = shorten(found.raw) or "nothing"
        return BadInput(f"{entry.place}: {shorten(key)}: expected {expected}, found {found}")

    def number(self, path: str, low: float = -1e30, high: float = 1e30) -> float | None:
        """A finite number in a range, however YAML 1.1 reads it; a trap that it reads as text is noted."""
        entry = self.find(path)
        return None if entry is None else self.as_number(entry, path, low, high)

    def as_number(self, entry: Entry, key: str, low: float = -1e30, high: float = 1e30) -> float:
        """As `number`, for an entry at hand."""
        value = entry.value
        expected = f"a number from {low:g} to {high:g}" if abs(high) < 1e30 else "a number"
        if isinstance(value, str) and len(value) <= MAX_NUMBER and _FLOAT.match(value):
            kind = (
                "quoted, and so text" if entry.quoted else "text to a YAML 1.1 loader, which wants a point and a sign"
            )
            if not self.marked.is_json or entry.quoted:
                self.note(f"{entry.place}: {key}: {value} is {kind}; read as the number")
            value = float(value.replace("_", ""))
            value = int(value) if _is_whole(entry.value) else value
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise self.bad(entry, key, expected, entry)
        return value

    def integer(self, path: str, low: int = 0, high: int = BIGGEST) -> int | None:
        """A whole number in a range."""
        entry = self.find(path)
        return None if entry is None else self.as_integer(entry, path, low, high)

    def as_integer(self, entry: Entry, key: str, low: int = 0, high: int = BIGGEST) -> int:
        """As `integer`, for an entry at hand."""
        number = entry.value
        if not isinstance(number, int):
            number = self.as_number(entry, key)
        if isinstance(number, bool) or number != math.floor(number) or not low <= number <= high:
            raise self.bad(entry, key, f"a whole number from {low} to {high}", entry)
        return int(number)

    def boolean(self, path: str) -> bool | None:
        """True or false, as YAML 1.1 says them."""
        entry = self.find(path)
        if entry is None:
            return None
        if not isinstance(entry.value, bool):
            raise self.bad(entry, path, "true or false", entry)
        return entry.value

    def word(self, path: str, choices: Iterable[str] | None = None) -> str | None:
        """A text; one of the choices where there are some."""
        entry = self.find(path)
        if entry is None:
            return None
        choices = None if choices is None else tuple(choices)
        if isinstance(entry.value, (dict, list)) or (choices is not None and entry.raw not in choices):
            raise self.bad(entry, path, "one of " + ", ".join(choices) if choices else "a text", entry)
        return entry.raw

    def items(self, path: str) -> list[Entry] | None:
        """A list's entries."""
        entry = self.find(path)
        if entry is None:
            return None
        if not isinstance(entry.value, list):
            raise self.bad(entry, path, "a list", entry)
        return entry.value

    def words(self, path: str) -> tuple[str, ...] | None:
        """A list of texts."""
        found = self.items(path)
        for entry in found or ():
            if isinstance(entry.value, (dict, list)):
                raise self.bad(entry, path, "a list of texts", entry)
        return None if found is None else tuple(entry.raw for entry in found)

    def betas(self, path: str) -> tuple[float, float] | None:
        """Adam's two decay rates."""
        found = self.items(path)
        if found is None:
            return None
        if len(found) != 2:
            raise self.bad(self.find(path) or self.marked.root, path, "two numbers", f"{len(found)}")
        first, second = (self.as_number(entry, path, 0, 1) for entry in found)
        return first, second

    # What the recipe gets ----------------------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Something that a reader should know; said once."""
        if text not in self.notes:
            self.notes.append(text)

    def put(self, name: str, value: Value, kind: str, where: str) -> None:
        """Set a value; a later one replaces an earlier."""
        assert name in NAMES, name  # noqa: S101 - a slip of ours, not of the file
        self.values[name] = value
        self.origins[name] = Origin(kind=kind, where=where)  # type: ignore[arg-type]

    def divides(self, width: int | None, path: str, heads: int | None) -> None:
        """A width that the heads cannot share is the publisher's slip: it is noted, not refused."""
        if width and heads and width % heads:
            self.note(f"{self.at(path)}: {heads} heads cannot share a width of {width}: no network has these numbers")

    def stated(self, name: str, path: str, value: Value, default: Value = None, where: str = "") -> Value:
        """A value that the file states at `path`; where it does not, the code's default at a pinned commit, else unstated."""
        if value is not None:
            self.put(name, value, "stated", self.at(path))
        elif where:
            self.put(name, default, "code default", where)
        else:
            self.put(name, None, "unstated", f"no key {path}")
        return self.values[name]

    def derived(self, name: str, value: Value, how: str) -> None:
        """A value that follows from stated ones."""
        self.put(name, value, "derived", how)

    def code(self, name: str, value: Value, where: str) -> None:
        """A value that the release's code fixes."""
        self.put(name, value, "code default", where)

    def unstated(self, name: str, why: str) -> None:
        """A value that nothing says."""
        self.put(name, None, "unstated", why)

    def finish(self, ignored: Mapping[str, str]) -> ReadRecipe:
        """The recipe as read. `ignored`: patterns of dotted paths, each with the reason why it bears on no value."""
        without: dict[str, str] = {}
        unknown: dict[str, str] = {}
        self._sort(self.marked.root, "", ignored, without, unknown)
        for name in NAMES:
            if name not in self.values:
                self.unstated(name, "the file does not say")
        given = {name: value for name, value in self.values.items() if self.origins[name].kind != "unstated"}
        missing = settle(self.values, self.origins)
        recipe = None
        if not missing:
            optional = {name for name, needed in NAMES.items() if not needed and name not in given}
            recipe = self._build({**given, **{name: None for name in optional if _without_default(name)}})
        return ReadRecipe(
            format=self.format,
            values={name: self.values[name] for name in NAMES},
            origins={name: self.origins[name] for name in NAMES},
            missing=missing,
            recipe=recipe,
            ignored=without,
            unknown=unknown,
            notes=tuple(self.notes),
        )

    def _build(self, values: dict[str, Value]) -> LanguageRecipe:
        nested: dict[str, Any] = {}
        for name, value in values.items():
            place = nested
            *path, last = name.split(".")
            for part in path:
                place = place.setdefault(part, {})
            place[last] = value
        try:
            return _ADAPTER.validate_python(nested)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"] if isinstance(part, str))
            where = self.origins[name].where if name in self.origins else self.marked.file
            raise BadInput(f"{where}: {name}: {first['msg']}, found {shorten(first['input'])}") from None

    def _sort(
        self, entry: Entry, path: str, ignored: Mapping[str, str], without: dict[str, str], unknown: dict[str, str]
    ) -> None:
        if not isinstance(entry.value, dict):
            return
        for key, item in entry.value.items():
            below = f"{path}.{key}" if path else key
            reason = next((why for pattern, why in ignored.items() if fnmatchcase(below, pattern)), None)
            inner = any(used.startswith(below + ".") for used in self.used)
            if isinstance(item.value, dict) and item.value and (inner or below in self.used or reason is None):
                self._sort(item, below, ignored, without, unknown)
            elif below in self.used:
                continue
            elif reason is not None:
                without[shorten(below)] = f"{item.place}: {reason}"
            else:
                unknown[shorten(below)] = item.place


def settle(values: dict[str, Value], origins: dict[str, Origin]) -> tuple[str, ...]:
    """What is missing; where nothing is, optional parts that nothing states get the canonical recipe's default."""
    given = {name for name in NAMES if origins[name].kind != "unstated"}
    missing = tuple(name for name, needed in NAMES.items() if needed and (name not in given or values[name] is None))
    for name, needed in () if missing else NAMES.items():
        if not needed and name not in given and not _without_default(name):
            values[name] = _default(name)
            if (default := values[name]) is not None:
                where = origins[name].where.partition("; as in every recipe")[0]
                origins[name] = Origin(kind="unstated", where=f"{where}; as in every recipe: {default}")
    return missing


def complete(read: ReadRecipe, settings: Mapping[str, Any], where: str) -> LanguageRecipe:
    """The recipe, with values that its file leaves unstated given by dotted name. `BadInput` in one line, `where` in front."""
    if odd := sorted(set(settings) - set(NAMES)):
        raise BadInput(f"{where}.{odd[0]}: a recipe has no such value; `openassay recipe FILE` shows its names")
    stated = [name for name in sorted(settings) if read.origins[name].kind in {"stated", "derived"}]
    if stated:  # else a target could train another recipe under the release's name
        raise BadInput(
            f"{where}.{stated[0]}: the published file states it ({read.origins[stated[0]].where}); leave it out"
        )
    given = {name: value for name, value in read.values.items() if value is not None} | dict(settings)
    missing = [name for name, needed in NAMES.items() if needed and given.get(name) is None]
    if missing:
        raise BadInput(
            f"{where}: the published file does not state {', '.join(missing)}; say here where it stands elsewhere"
        )
    return _checked({name: given.get(name) for name in NAMES if name in given or _without_default(name)}, where)


def with_values(recipe: LanguageRecipe, values: Mapping[str, Any], where: str) -> LanguageRecipe:
    """The recipe with other values, by dotted name, whatever its file states. `BadInput` in one line, `where` in front."""
    check_values(values, where)
    now = {name: functools.reduce(getattr, name.split("."), recipe) for name in NAMES}
    return _checked(now | dict(values), where)


def check_values(values: Mapping[str, Any], where: str) -> None:
    """Are these values that a recipe can have, as far as that shows without the others? `BadInput` in one line."""
    for name, value in values.items():
        if name not in NAMES:
            raise BadInput(f"{where}.{name}: a recipe has no such value; `openassay recipe FILE` shows its names")
        try:
            TypeAdapter(_hint(name)).validate_python(value)
        except ValidationError as error:
            raise BadInput(f"{where}.{name}: {error.errors()[0]['msg']}, found {shorten(value)}") from None


def _checked(values: Mapping[str, Any], where: str) -> LanguageRecipe:
    nested: dict[str, Any] = {}
    for name, value in values.items():
        place = nested
        *path, last = name.split(".")
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    try:
        return _ADAPTER.validate_python(nested)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"] if isinstance(part, str))
        raise BadInput(f"{where}.{name}: {first['msg']}, found {shorten(first['input'])}") from None


def _without_default(name: str) -> bool:
    return _default(name) is dataclasses.MISSING


def _hint(name: str) -> Any:
    return functools.reduce(lambda kind, part: typing.get_type_hints(kind)[part], name.split("."), LanguageRecipe)


def _default(name: str) -> Any:
    *path, last = name.split(".")
    kind = _hint(".".join(path)) if path else LanguageRecipe
    return next(f for f in dataclasses.fields(kind) if f.name == last).default


def _is_whole(text: str) -> bool:
    return re.fullmatch(r"[-+]?[0-9_]+", text) is not None


def whole(value: float) -> float:
    """An int where it is one."""
    return int(value) if value == math.floor(value) else value


Reader = Callable[[Marked], ReadRecipe]
