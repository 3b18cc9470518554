"""Reads and writes records: typed JSON, written whole or not at all; and the digest of any plain value."""

from __future__ import annotations

import difflib
import functools
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import Tag, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from openassay.faults import BadInput, Fault, naming

T = TypeVar("T")


class BrokenRecord(Fault):
    """A record on disk is not what this version writes."""


def to_plain(value: object) -> Any:
    """A value as JSON types. ValueError for a number that is not finite, TypeError for a type without a stable form."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("a record's keys must be strings")
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"a record cannot hold {value}; say why the number is missing instead")
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise TypeError(f"{type(value).__name__} has no stable form in a record; use plain values or a dataclass")


def declared(value: object) -> Any:
    """A value as JSON types, without what was left at its default: a new optional key changes no digest of it."""
    if is_dataclass(value) and not isinstance(value, type):
        given = ((field, getattr(value, field.name)) for field in fields(value))
        return {field.name: declared(one) for field, one in given if one != _default(field)}
    if isinstance(value, dict):
        return {key: declared(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [declared(item) for item in value]
    return to_plain(value)


def _default(field: Field[Any]) -> object:
    return field.default if field.default_factory is MISSING else field.default_factory()


def digest(value: object) -> str:
    """sha256 of a value's canonical JSON: equal values, equal digest, on every machine."""
    text = json.dumps(to_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all: to a temporary file beside it, flushed to disk, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with naming(path), os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def to_json(record: object, *, ascii_only: bool = False, indent: int | None = 2) -> str:
    """A record as readable JSON, in which what a terminal would obey is escaped."""
    text = json.dumps(to_plain(record), indent=indent, ensure_ascii=ascii_only, allow_nan=False)
    return "\n".join(line if line.isprintable() else _escaped(line) for line in text.split("\n"))


def _escaped(text: str) -> str:
    return "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in text)


def write_record(path: Path, record: object) -> None:
    """Write a record as readable JSON."""
    write_text(path, to_json(record) + "\n")


@functools.cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    """Pydantic's reader of a type; made once, for that takes longer than reading."""
    return TypeAdapter(kind)


def read_record(path: Path, kind: type[T]) -> T:
    """A record read from disk; `BrokenRecord` names a file that is missing, broken or of another version."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise BrokenRecord(f"{path}: there is no such record; run `openassay audit`, which makes it") from None
    try:
        record: T = adapter(kind).validate_json(data, strict=True, extra="forbid")  # type: ignore[arg-type]
    except ValidationError as error:
        raise BrokenRecord(f"{path}: {problems_of(error, kind)[0]}; remove it and run the stage again") from None
    return record


class Misfit(BadInput):
    """Data that is not of the expected kind. `problems`: one line each; the message is the first of them."""

    def __init__(self, where: str, problems: list[str]) -> None:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"{where}: {problems[0]}{more}")
        self.problems = [f"{where}: {problem}" for problem in problems]


def parse(kind: Any, data: object, where: str) -> Any:
    """Plain data as a typed value; `Misfit` names the file, the key, what was found and what was expected."""
    try:
        return adapter(kind).validate_json(json.dumps(data, allow_nan=False), strict=True, extra="forbid")
    except ValidationError as error:
        raise Misfit(where, problems_of(error, kind, data)) from None


_UNKNOWN = {"unexpected_keyword_argument", "extra_forbidden"}
_MISSING = {"missing", "missing_argument", "missing_keyword_only_argument"}


def problems_of(error: ValidationError, kind: Any, data: object = None) -> list[str]:
    """The problems that a schema found in data, a line each: key, message, what was found.

    Unknown keys come first. A missing key that an unknown one was probably meant for is left out.
    """
    problems = error.errors()
    missing = {problem["loc"] for problem in problems if problem["type"] in _MISSING}
    lines, hidden = [], set()
    for problem in problems:
        if problem["type"] in _UNKNOWN:
            *path, key = problem["loc"]
            known = [name for name in _keys_at(kind, path) if name not in _found_at(data, path)]
            lost = [name for name in known if (*path, name) in missing]
            near = [word for names in (lost, known) for word in difflib.get_close_matches(str(key), names, n=1)]
            hidden |= {(*path, name) for name in near[:1]}  # what the misspelt key was meant for
            todo = f"did you mean {near[0]}?" if near else "remove it or correct its spelling"
            lines.append(f"{'.'.join(map(str, problem['loc']))}: unknown key; {todo}")
    others = [problem for problem in problems if problem["type"] not in _UNKNOWN and problem["loc"] not in hidden]
    return list(dict.fromkeys([*lines, *map(_in_words, others)]))


def _in_words(problem: ErrorDetails) -> str:
    key = ".".join(str(part) for part in problem["loc"]) or "the file"
    found = problem["input"]
    shown = "" if isinstance(found, (dict, list)) else f", found {str(found)[:60]!r}"
    if problem["type"] in _MISSING:
        return f"{key}: missing; it must be given"
    if problem["type"] == "union_tag_invalid":
        context = problem["ctx"]
        name = context["discriminator"].strip("'")
        return f"{key}: unknown {name} {context['tag']!r}; known: {context['expected_tags']}"
    if problem["type"] == "union_tag_not_found":
        return f"{key}: the key {problem['ctx']['discriminator']} is missing"
    message = problem["msg"].removeprefix("Value error, ").replace("Input should", "should")
    return f"{key}: {message[0].lower()}{message[1:]}{shown}"


def _keys_at(kind: Any, path: Sequence[int | str]) -> list[str]:
    """The keys that data of a type may have at a path, as pydantic spells it; none where that is not known."""
    if get_origin(kind) is Annotated:
        return _keys_at(get_args(kind)[0], path)
    if get_origin(kind) in {Union, UnionType}:
        members = [member for member in get_args(kind) if member is not NoneType]
        if len(members) > 1 and path:  # pydantic puts the tag of the member into the path
            members, path = [member for member in members if path[0] in _tags(member)], path[1:]
        return _keys_at(members[0], path) if len(members) == 1 else []
    if is_dataclass(kind):
        if not path:
            return [field.name for field in fields(kind)]
        inside = get_type_hints(kind, include_extras=True).get(str(path[0]))
        return _keys_at(inside, path[1:])
    if not path or not (inner := get_args(kind)):
        return []
    return _keys_at(inner[1] if get_origin(kind) is dict else inner[0], path[1:])


def _found_at(data: Any, path: Sequence[int | str]) -> Any:
    """The part of the data at a path."""
    for part in path:
        if data and (isinstance(part, int) or part in data):  # else it is the tag of a union's member
            data = data[part]
    return data or ()


def _tags(member: Any) -> set[object]:
    """The tags that tell this member of a union from the others."""
    if get_origin(member) is Annotated:
        return {of.tag for of in get_args(member) if isinstance(of, Tag)}
    hints = get_type_hints(member).values() if is_dataclass(member) else ()
    return {tag for hint in hints if get_origin(hint) is Literal for tag in get_args(hint)}
