"""A published settings file as data: YAML 1.1 and JSON, with the file and line of every value.

Published files may use all that YAML 1.1 allows a settings file: anchors, aliases, merge keys, `yes` for true, `406_934`. What
they cannot do is run code, or grow: tags of Python objects are refused, and the expanded file is bounded.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from openassay.faults import BadInput, printable
from openassay.yaml_loader import QUICK

MAX_BYTES = 2 << 20
MAX_DEPTH = 24
MAX_ENTRIES = 200_000
"""Values of a file after its aliases are expanded."""
MAX_EXPANDED = 10_000
"""Of these, the values that aliases repeat."""
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
    is_plain: bool = False
    """YAML only: written out here without quotes or tag, so that its type is the reader's guess."""

    def plain(self) -> Any:
        """The value without the places."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value

    def at(self, path: str) -> Entry | None:
        """The entry below this one at a dotted path; None where there is none."""
        found: Entry | None = self
        for part in path.split("."):
            found = found.value.get(part) if found is not None and isinstance(found.value, dict) else None
        return found

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
    repeated: tuple[tuple[str, Entry, Entry], ...] = ()
    """Keys that stand twice in one mapping with different values: the dotted key, the first entry and a later one."""


class NotSettings(BadInput):
    """A text is no YAML, JSON or TOML; `problem` says why, in the parser's words, and `line` where."""

    def __init__(self, where: str, line: int | None, problem: str, form: str = "") -> None:
        self.line, self.problem = line, problem
        at = f"{where}:{line}" if line else where
        expected = f"{form}, found something else" if form else "YAML or JSON, found neither"
        super().__init__(f"{at}: expected {expected}: {shorten(problem)}")


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


def parse_marked(text: str, where: str, *, strict: bool = True) -> Marked:
    """YAML or JSON with places; `BadInput` names file and line, and is a `NotSettings` where the text is neither.

    strict: whether tags, keys that are no words and a second document are refused, as a recipe has none. Else a tag is passed
    over, such a key is `?`, and the first document is read.
    """
    if len(text) > MAX_BYTES:
        raise BadInput(f"{where}: expected a recipe of at most {MAX_BYTES} bytes, found {len(text)}")
    text = text.replace("\r\n", "\n").removeprefix("\ufeff")
    if text.lstrip().startswith(("{", "[")) and (marked := _json(text, where)):
        return marked
    if text.lstrip().startswith("{"):
        text = text.expandtabs(4)  # JSON may be indented by tabs, YAML may not; no string holds one
    try:
        _bound(text, where, strict=strict)
        loader = QUICK(text)
        node = loader.get_node() if loader.check_node() else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise NotSettings(where, mark.line + 1 if mark else None, problem) from None
    except (ValueError, OverflowError) as error:
        raise NotSettings(where, None, str(error)) from None
    except RecursionError:
        raise BadInput(f"{where}: expected at most {MAX_DEPTH} levels, found more") from None
    if node is None:
        raise BadInput(f"{where}:1: expected a recipe, found an empty file")
    reader = _Reader(where, text, strict=strict)
    return Marked(where, reader.entry(node, ""), comments_of(text), tuple(reader.notes), False, tuple(reader.repeated))


_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def _json(text: str, where: str) -> Marked | None:
    """A JSON text with places; None for another text."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    reader = _Reader(where, text, strict=False)
    tokens = _JSON_TOKEN.finditer(text)
    root = _JsonReader(reader, tokens, text).value(next(tokens), "", 0)
    return Marked(where, root, {}, tuple(reader.notes), True, tuple(reader.repeated))


def comments_of(text: str) -> dict[int, str]:
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


def _bound(text: str, where: str, *, strict: bool) -> None:
    depth, documents = 0, 0
    for event in yaml.parse(text, Loader=QUICK):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise BadInput(f"{where}:{line}: expected at most {MAX_DEPTH} levels, found more")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1 and strict:
                raise BadInput(f"{where}:{line}: expected one YAML document, found a second")
        elif isinstance(event, yaml.DocumentEndEvent) and not strict:
            return


class _Reader:
    """Nodes to entries, each alias expanded at its place, within the bound."""

    def __init__(self, where: str, text: str, *, strict: bool) -> None:
        self.where, self.text, self.strict = where, text, strict
        self.left = MAX_ENTRIES
        self.notes: list[str] = []
        self.repeated: list[tuple[str, Entry, Entry]] = []
        self.seen: set[int] = set()
        self.expanded = 0

    def count(self, line: int) -> None:
        """Count one value against the bound."""
        self.left -= 1
        if self.left < 0:
            raise BadInput(f"{self.where}:{line}: expected at most {MAX_ENTRIES} values, found more")

    def entry(self, node: yaml.Node, key: str, depth: int = 0) -> Entry:
        line = node.start_mark.line + 1
        self.count(line)
        if depth > MAX_DEPTH:
            raise BadInput(f"{self.where}:{line}: expected at most {MAX_DEPTH} levels, found more")
        tag = node.tag.rpartition(":")[2]
        if self.strict and not (node.tag.startswith("tag:yaml.org,2002:") and tag in _PLAIN):
            raise BadInput(f"{self.where}:{line}: expected plain data, found the tag {shorten(node.tag)}")
        again = id(node) in self.seen
        self.seen.add(id(node))
        self.expanded += again
        if self.expanded > MAX_EXPANDED:
            raise BadInput(
                f"{self.where}:{line}: expected aliases that repeat at most {MAX_EXPANDED} values, found more"
            )
        if isinstance(node, yaml.SequenceNode):
            items = [self.entry(item, inner(key, at), depth + 1) for at, item in enumerate(node.value)]
            return Entry(items, self.where, line)
        if isinstance(node, yaml.MappingNode):
            return Entry(self.mapping(node, key, depth), self.where, line)
        assert isinstance(node, yaml.ScalarNode)  # noqa: S101 - there is no fourth kind
        is_plain = not node.style and not again and not self.text.startswith(("!", "&"), node.start_mark.index)
        return Entry(_scalar(node, tag), self.where, line, node.value, bool(node.style), is_plain=is_plain)

    def mapping(self, node: yaml.MappingNode, key: str, depth: int) -> dict[str, Entry]:
        own: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) and self.strict:
                raise BadInput(f"{self.where}:{line}: expected a word as the key, found a list or mapping")
            name = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
            is_merge = key_node.tag.endswith(":merge")
            item = self.entry(value_node, key if is_merge else inner(key, name), depth + 1)
            if is_merge:
                for source in item.value if isinstance(item.value, list) else [item]:
                    if not isinstance(source.value, dict):
                        raise BadInput(f"{self.where}:{line}: <<: expected a mapping, found {shorten(source.raw)}")
                    merged = source.value | merged
                continue
            self.keep(own, key, name, item, line)
        return {**{name: item for name, item in merged.items() if name not in own}, **own}

    def keep(self, own: dict[str, Entry], key: str, name: str, item: Entry, line: int) -> None:
        """Keep the value of a key, and note a key that stands there already."""
        # the place of a value is the line of its key: a list starts one line below
        item = replace(item, line=line, name=name)
        if name in own and name != "?":
            self.notes.append(
                f"{self.where}:{line}: the key {shorten(name)} is given twice (first on line {own[name].line}); "
                "YAML loaders take the last"
            )
            if own[name].plain() != item.plain():
                self.repeated.append((inner(key, name), own[name], item))
        own[name] = item


class _JsonReader:
    """Tokens of a valid JSON text to entries."""

    def __init__(self, reader: _Reader, tokens: Iterator[re.Match[str]], text: str) -> None:
        self.reader, self.tokens, self.text = reader, tokens, text
        self.line, self.position = 1, 0

    def at(self, token: re.Match[str]) -> int:
        """The line of a token, which comes after those asked before."""
        self.line += self.text.count("\n", self.position, token.start())
        self.position = token.start()
        return self.line

    def value(self, token: re.Match[str], key: str, depth: int) -> Entry:
        """The value that begins with a token."""
        line, word, reader = self.at(token), token.group(), self.reader
        reader.count(line)
        if depth > MAX_DEPTH:
            raise BadInput(f"{reader.where}:{line}: expected at most {MAX_DEPTH} levels, found more")
        if word == "[":
            items: list[Entry] = []
            while (word := (token := next(self.tokens)).group()) != "]":
                if word != ",":
                    items.append(self.value(token, inner(key, len(items)), depth + 1))
            return Entry(items, reader.where, line)
        if word == "{":
            made: dict[str, Entry] = {}
            while (word := (token := next(self.tokens)).group()) != "}":
                if word == ",":
                    continue
                name, at = json.loads(word), self.at(token)
                next(self.tokens)  # the colon
                reader.keep(made, key, name, self.value(next(self.tokens), inner(key, name), depth + 1), at)
            return Entry(made, reader.where, line)
        found = json.loads(word)
        raw = found if isinstance(found, str) else word
        return Entry(found, reader.where, line, raw, isinstance(found, str))


def parse_toml(text: str, where: str) -> Marked:
    """TOML with places; `BadInput` names the file, and is a `NotSettings` where the text is none."""
    if len(text) > MAX_BYTES:
        raise BadInput(f"{where}: expected a recipe of at most {MAX_BYTES} bytes, found {len(text)}")
    try:
        document = tomllib.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise NotSettings(where, 1, str(error), "TOML") from None
    lines: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([\w.-]+)\s*\]", line):
            section = header[1]
            lines.setdefault(section, number)
        elif key := re.match(r"\s*[\"']?([\w.-]+)[\"']?\s*=", line):
            lines.setdefault(inner(section, key[1]), number)
    return Marked(where, _toml_entry(document, where, lines, "", 0), comments_of(text), is_json=True)


def _toml_entry(value: object, where: str, lines: dict[str, int], path: str, depth: int) -> Entry:
    line = lines.get(path) or next((at for key, at in lines.items() if path and key.startswith(f"{path}.")), 1)
    name = path.rpartition(".")[2]
    if depth > MAX_DEPTH:
        raise BadInput(f"{where}:{line}: expected at most {MAX_DEPTH} levels, found more")
    if isinstance(value, dict):
        items = {key: _toml_entry(one, where, lines, inner(path, key), depth + 1) for key, one in value.items()}
        return Entry(items, where, line, name=name)
    if isinstance(value, list):
        return Entry([_toml_entry(one, where, lines, path, depth + 1) for one in value], where, line, name=name)
    kept = value if isinstance(value, (bool, int, float, str)) else str(value)
    return Entry(kept, where, line, str(value), isinstance(value, str), name)


def inner(key: str, name: object) -> str:
    """The dotted key of a name inside the value of a key."""
    return f"{key}.{name}" if key else str(name)


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
