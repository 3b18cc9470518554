"""A published settings file as data: YAML 1.1 and JSON, with the file and line of every value.

Published files may use all that YAML 1.1 allows a settings file: anchors, aliases, merge keys, `yes` for true, `406_934`. What
they cannot do is run code, or grow: tags of Python objects are refused, and the expanded file is bounded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from openassay.faults import BadInput, printable

MAX_BYTES = 2 << 20
MAX_DEPTH = 24
MAX_ENTRIES = 200_000
"""Values of a file after its aliases are expanded."""
MAX_NUMBER = 40
"""Characters of a number."""

_PLAIN = {"null", "bool", "int", "float", "str", "timestamp", "merge", "map", "seq", "value", "omap", "set", "binary"}
_MAKE = yaml.constructor.SafeConstructor()


@dataclass(frozen=True)
class Entry:
    """One value with its place. `value` is a dict or list of entries, or a scalar."""

    value: Any
    file: str
    line: int
    raw: str = ""
    """As written, for a scalar."""
    quoted: bool = False
    name: str = ""
    """The key as written, where the reader looks it up by another spelling."""

    def plain(self) -> Any:
        """The value without the places."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value

    @property
    def place(self) -> str:
        """file:line."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Marked:
    """A whole file: its values, its comments by line, and the oddities met while reading it."""

    file: str
    root: Entry
    comments: dict[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    is_json: bool = False


def shorten(value: object) -> str:
    """A stranger's value for a message: one line, not long."""
    text = printable(value if isinstance(value, str) else repr(value))
    return text if len(text) <= 60 else text[:57] + "..."


def read_text(path: Path) -> str:
    """The text of a published file; `BadInput` when it is not there, not text, or too large to be one."""
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise BadInput(f"{path}: expected a file, found a folder or a device")
        if size > MAX_BYTES:
            raise BadInput(f"{path}: expected a recipe of at most {MAX_BYTES} bytes, found {size}")
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise BadInput(f"{path}: there is no such file") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: expected UTF-8 text, found byte {error.start}, which is not UTF-8") from None


def parse_marked(text: str, where: str) -> Marked:
    """YAML or JSON with places; `BadInput` names file and line."""
    if len(text) > MAX_BYTES:
        raise BadInput(f"{where}: expected a recipe of at most {MAX_BYTES} bytes, found {len(text)}")
    text = text.replace("\r\n", "\n").removeprefix("\ufeff")
    is_json = _is_json(text)
    comments: dict[int, str] = {}
    if text.lstrip().startswith("{"):
        text = text.expandtabs(4)  # JSON may be indented by tabs, YAML may not; no string holds one
    if not is_json:
        comments = _comments(text)
    try:
        _bound(text, where)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise BadInput(f"{where}{line}: expected YAML or JSON, found neither: {shorten(problem)}") from None
    except (ValueError, OverflowError) as error:
        raise BadInput(f"{where}: expected YAML or JSON, found neither: {shorten(str(error))}") from None
    except RecursionError:
        raise BadInput(f"{where}: expected at most {MAX_DEPTH} levels, found more") from None
    if node is None:
        raise BadInput(f"{where}:1: expected a recipe, found an empty file")
    reader = _Reader(where)
    return Marked(where, reader.entry(node, 0), comments, tuple(reader.notes), is_json)


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _comments(text: str) -> dict[int, str]:
    """The comments by line: what stands after a `#` at the line's start or after white space, outside quotes."""
    found: dict[int, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if "#" not in line:
            continue
        quote = ""
        for at, sign in enumerate(line):
            if quote:
                quote = "" if sign == quote else quote
            elif sign in "'\"" and (at == 0 or line[at - 1] in " \t[{,:("):
                quote = sign
            elif sign == "#" and (at == 0 or line[at - 1] in " \t"):
                found[number] = line[at + 1 :].strip()
                break
    return found


def _bound(text: str, where: str) -> None:
    depth, documents = 0, 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise BadInput(f"{where}:{line}: expected at most {MAX_DEPTH} levels, found more")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise BadInput(f"{where}:{line}: expected one YAML document, found a second")


class _Reader:
    """Nodes to entries, each alias expanded at its place, within the bound."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.left = MAX_ENTRIES
        self.notes: list[str] = []

    def entry(self, node: yaml.Node, depth: int) -> Entry:
        line = node.start_mark.line + 1
        self.left -= 1
        if self.left < 0:
            raise BadInput(f"{self.where}:{line}: expected at most {MAX_ENTRIES} values, found more (aliases count)")
        if depth > MAX_DEPTH:
            raise BadInput(f"{self.where}:{line}: expected at most {MAX_DEPTH} levels, found more")
        tag = node.tag.rpartition(":")[2]
        if not node.tag.startswith("tag:yaml.org,2002:") or tag not in _PLAIN:
            raise BadInput(f"{self.where}:{line}: expected plain data, found the tag {shorten(node.tag)}")
        if isinstance(node, yaml.SequenceNode):
            return Entry([self.entry(item, depth + 1) for item in node.value], self.where, line)
        if isinstance(node, yaml.MappingNode):
            return Entry(self.mapping(node, depth), self.where, line)
        assert isinstance(node, yaml.ScalarNode)  # noqa: S101 - there is no fourth kind
        return Entry(_scalar(node, tag), self.where, line, node.value, node.style is not None)

    def mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Entry]:
        own: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise BadInput(f"{self.where}:{line}: expected a word as the key, found a list or mapping")
            key = key_node.value
            item = self.entry(value_node, depth + 1)
            if key_node.tag.endswith(":merge"):
                for source in item.value if isinstance(item.value, list) else [item]:
                    if not isinstance(source.value, dict):
                        raise BadInput(f"{self.where}:{line}: <<: expected a mapping, found {shorten(source.raw)}")
                    merged = source.value | merged
                continue
            if key in own:
                self.notes.append(
                    f"{self.where}:{line}: the key {shorten(key)} is given twice (first on line {own[key].line}); "
                    "YAML loaders take the last"
                )
            # the place of a value is the line of its key: a list starts one line below
            own[key] = replace(item, line=line, name=key)
        return {**{key: item for key, item in merged.items() if key not in own}, **own}


def _scalar(node: yaml.ScalarNode, tag: str) -> Any:
    text: str = node.value
    if tag in {"int", "float"} and len(text) > MAX_NUMBER:
        return text
    try:
        if tag == "int":
            return _MAKE.construct_yaml_int(node)
        if tag == "float":
            return _MAKE.construct_yaml_float(node)
        if tag == "bool":
            return _MAKE.construct_yaml_bool(node)
    except (ValueError, KeyError, IndexError, OverflowError):
        return text
    return None if tag == "null" else text
