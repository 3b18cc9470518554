"""Files of settings (YAML, JSON, TOML, gin) as keys and values with their lines; nothing is constructed from a tag."""

from __future__ import annotations

import ast
import contextlib
import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import yaml

from openassay.published.files import Config, Value
from openassay.published.scalars import Unreadable, yaml_1_1, yaml_1_2

MAX_DEPTH = 64
MAX_SCALARS = 200_000
MAX_JSON_VALUES = 20_000
MAX_REPEATED = 1000
"""Keys of a JSON text that stand twice and are compared."""
MAX_LIST = 64
"""Items of a list that is kept as one value."""
_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'")
_GIN_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")


def _inner(key: str, name: object) -> str:
    return f"{key}.{name}" if key else str(name)


def _is_flat(items: list[Any]) -> bool:
    return len(items) <= MAX_LIST and not any(isinstance(item, (list, dict)) for item in items)


def read_yaml(path: str, text: str) -> Config:
    """The first document of a YAML text; `Unreadable` says why it is none."""
    reader = _YamlReader(path, text)
    try:
        document = reader.document()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise Unreadable(f"not YAML: {where}{getattr(error, 'problem', None) or str(error).splitlines()[0]}") from None
    except (ValueError, OverflowError) as error:
        raise Unreadable(f"not YAML: {error}") from None
    comments = tuple(_comments(text)) if reader.nodes else ()
    values, repeated = tuple(reader.values), tuple(reader.repeated)
    return Config(path=path, format="yaml", values=values, repeated=repeated, comments=comments, document=document)


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0


class _YamlReader:
    """Builds one document from its events. Aliases stay words, so that nothing is expanded."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.events = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        self.values: list[Value] = []
        self.repeated: list[tuple[Value, Value]] = []
        self.nodes = self.depth = 0

    def document(self) -> Any:
        for event in self.events:
            if isinstance(event, yaml.NodeEvent):
                found, _ = self._node(event, "")
                next(self.events)  # the document's end, which may be malformed
                return found
        return None

    def _node(self, event: yaml.Event, key: str) -> tuple[Any, str]:
        """The value of the node that begins with an event, and how it is written."""
        self.nodes += 1
        if self.nodes > MAX_SCALARS:
            raise Unreadable(f"more than {MAX_SCALARS} values")
        line = _line(event)
        if isinstance(event, yaml.AliasEvent):
            return self._keep(line, key, f"*{event.anchor}", plain=False)
        if isinstance(event, yaml.ScalarEvent):
            # A tag or quotes say what is meant; a plain scalar is for the reader to guess.
            return self._keep(line, key, str(event.value), plain=event.implicit[0] and event.style in {None, ""})
        if self.depth >= MAX_DEPTH:
            raise Unreadable(f"nested more than {MAX_DEPTH} deep")
        self.depth += 1
        found = self._list(key, line) if isinstance(event, yaml.SequenceStartEvent) else self._mapping(key)
        self.depth -= 1
        return found

    def _keep(self, line: int, key: str, text: str, *, plain: bool) -> tuple[Any, str]:
        meant = yaml_1_2(text) if plain else text
        if plain and isinstance(meant, str) and not isinstance(other := yaml_1_1(text), (bool, str)):
            meant = other  # 1_000 is meant as a number
        self.values.append(Value(path=self.path, line=line, key=key, value=meant, text=text, plain=plain))
        return meant, text

    def _list(self, key: str, line: int) -> tuple[list[Any], str]:
        made: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            made.append(self._node(event, _inner(key, len(made)))[0])
        if _is_flat(made):
            text = json.dumps(made, default=str)[:500]
            self.values.append(Value(path=self.path, line=line, key=key, value=tuple(made), text=text))
        return made, f"a list of {len(made)}"

    def _mapping(self, key: str) -> tuple[dict[str, Any], str]:
        made: dict[str, Any] = {}
        places: dict[str, Value] = {}
        pairs = 0
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            pairs += 1
            word, line = self._key(event), _line(event)
            inner = _inner(key, word)
            value, text = self._node(next(self.events), inner)
            here = Value(path=self.path, line=line, key=inner, value=value, text=text)
            if word in places and word not in {"<<", "?"} and made[word] != value:
                self.repeated.append((places[word], here))
            places[word], made[word] = here, value
        return made, f"a map of {pairs}"

    def _key(self, event: yaml.Event) -> str:
        """A key as a word; a list, a mapping or an alias as a key is `?`, and its values are not kept."""
        if isinstance(event, yaml.ScalarEvent):
            self.nodes += 1
            return str(event.value)
        values, repeated = len(self.values), len(self.repeated)
        self._node(event, "")
        del self.values[values:], self.repeated[repeated:]
        return "?"


def _masked(line: str, quoted: re.Pattern[str]) -> str:
    """A line of the same length with dots for what is in quotes."""
    return quoted.sub(lambda found: "." * len(found.group()), line)


def _comments(text: str) -> Iterator[tuple[int, str]]:
    """(line, comment), where a `#` begins one outside quotes."""
    for i, line in enumerate(text.splitlines()):
        if "#" in line and (found := re.search(r"(?:^|\s)#", _masked(line, _QUOTED))):
            yield i + 1, line[found.end() :].strip()


def parse_json(text: str) -> tuple[Any, list[str]]:
    """A JSON document, and the keys that one of its mappings holds twice with different values."""
    repeated: list[str] = []

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in pairs:
            if key in made and made[key] != value:
                repeated.append(key)
            made[key] = value
        return made

    return json.loads(text, object_pairs_hook=mapping), repeated


def json_config(path: str, text: str, document: dict[str, Any], repeated: list[str]) -> Config:
    """A parsed JSON document as settings. Measured values (`results`) are no settings and are kept as a whole only."""
    values = () if isinstance(document.get("results"), dict) else tuple(_json_values(path, text, document))
    twice = tuple(_repeated(path, text)) if repeated else ()
    return Config(path=path, format="json", values=values, repeated=twice, document=document)


_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


class _Open:
    """A mapping or a list of a JSON text that is being gone through: where it stands, and what it holds so far."""

    def __init__(self, key: str, begin: int, *, is_mapping: bool) -> None:
        self.key, self.begin, self.is_mapping = key, begin, is_mapping
        self.name: str | None = None
        self.count = 0
        self.spans: dict[str, tuple[int, int]] = {}

    @property
    def inner(self) -> str:
        """The dotted key of the item that comes now."""
        return _inner(self.key, self.count if self.name is None else self.name)


def _repeated(path: str, text: str) -> Iterator[tuple[Value, Value]]:
    """The keys of a valid JSON text that stand twice in one mapping with different values: the first place and a later one."""
    open_ones = [_Open("", 0, is_mapping=False)]
    compared = 0
    for token in _JSON_TOKEN.finditer(text):
        within, word = open_ones[-1], token.group()
        if word in {"{", "["}:
            open_ones.append(_Open(within.inner if len(open_ones) > 1 else "", token.start(), is_mapping=word == "{"))
            continue
        begin = token.start()
        if word in {"}", "]"}:
            begin = open_ones.pop().begin
            within = open_ones[-1]
        elif word == ",":
            within.name, within.count = None, within.count + 1
            continue
        elif word == ":":
            continue
        elif within.is_mapping and within.name is None:
            within.name = json.loads(word)
            continue
        if within.name is None:
            continue
        first, here = within.spans.setdefault(within.name, (begin, token.end())), (begin, token.end())
        if first == here:
            continue
        compared += 1
        if compared > MAX_REPEATED:
            return
        one, two = (text[start:end] for start, end in (first, here))
        if one != two and json.loads(one) != json.loads(two):
            yield _at(path, text, within.inner, first[0], one), _at(path, text, within.inner, here[0], two)


def _at(path: str, text: str, key: str, start: int, value: str) -> Value:
    line, written = text.count("\n", 0, start) + 1, " ".join(value[:500].split())
    return Value(path=path, line=line, key=key, value=value, text=written)


def _json_values(path: str, text: str, document: Any) -> Iterator[Value]:
    """The scalars of a JSON document with their lines, which are found by going through the text once."""
    position, line, given = 0, 1, 0
    stack: list[tuple[str, str | None, Any]] = [("", None, document)]
    while stack and given < MAX_JSON_VALUES:
        key, name, item = stack.pop()
        if name is not None:
            word = json.dumps(name, ensure_ascii=False)
            found = text.find(word, position)
            while found >= 0 and not text[found + len(word) : found + len(word) + 20].lstrip().startswith(":"):
                found = text.find(word, found + len(word))  # a value of the same spelling
            if found >= 0:
                line += text.count("\n", position, found)
                position = found
        if isinstance(item, dict):
            stack.extend((_inner(key, inner), inner, value) for inner, value in reversed(item.items()))
        elif isinstance(item, list) and not _is_flat(item):
            stack.extend((_inner(key, i), None, item[i]) for i in reversed(range(min(len(item), 2000))))
        else:
            given += 1
            written = repr(item) if isinstance(item, (int, float)) and not isinstance(item, bool) else json.dumps(item)
            value = tuple(item) if isinstance(item, list) else item
            yield Value(path=path, line=line, key=key, value=value, text=written[:500])


def read_toml(path: str, text: str) -> Config:
    """The settings of a TOML text; `Unreadable` says why it is none."""
    try:
        document = tomllib.loads(text)
    except ValueError as error:
        raise Unreadable(f"not TOML: {str(error)[:200]}") from None
    values: list[Value] = []
    stack: list[tuple[str, Any]] = [("", document)]
    lines = text.splitlines()
    while stack:
        key, item = stack.pop()
        if isinstance(item, list) and any(isinstance(part, dict) for part in item):
            item = dict(enumerate(item))
        if isinstance(item, dict):
            stack.extend((_inner(key, name), value) for name, value in item.items())
        else:
            word = re.compile(rf"\s*[\"']?{re.escape(key.rpartition('.')[2])}[\"']?\s*=")
            line = next((i for i, written in enumerate(lines, 1) if word.match(written)), None)
            value = tuple(item) if isinstance(item, list) else item
            values.append(Value(path=path, line=line, key=key, value=value, text=str(item)[:500]))
    return Config(path=path, format="toml", values=tuple(values), document=document)


def read_gin(path: str, text: str) -> Config:
    """The bindings `a/b.c = value` and macros of a gin file; values that are no literals stay words."""
    lines, i = text.splitlines(), 0
    values: list[Value] = []
    repeated: list[tuple[Value, Value]] = []
    seen: dict[str, Value] = {}
    while i < len(lines):
        start, line = i, _uncommented(lines[i])
        i += 1
        if found := re.match(r"([A-Za-z_][\w./]*)\s*=\s*(.*)\Z", line):
            key, written = found.group(1).replace("/", "."), found.group(2).strip()
            while i < len(lines) and (written.endswith("\\") or _is_open(written)) and i - start < 200:
                written = written.rstrip("\\").rstrip() + " " + _uncommented(lines[i]).strip()
                i += 1
            value: Any = written
            with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
                value = ast.literal_eval(written) if len(written) < 10_000 else written
            value = tuple(value) if isinstance(value, list) else value
            made = Value(path=path, line=start + 1, key=key, value=value, text=written[:500])
            if key in seen and seen[key].value != value:
                repeated.append((seen[key], made))
            seen[key] = made
            values.append(made)
    comments = tuple(_comments(text))
    return Config(path=path, format="gin", values=tuple(values), repeated=tuple(repeated), comments=comments)


def _uncommented(line: str) -> str:
    return line[: (_masked(line, _GIN_QUOTED) + "#").index("#")].rstrip()


def _is_open(text: str) -> bool:
    return sum(text.count(mark) for mark in "([{") > sum(text.count(mark) for mark in ")]}")


def front_matter(path: str, lines: tuple[str, ...]) -> tuple[Config | None, int, str]:
    """A card's front matter, the index of the first line after it, and why it cannot be read."""
    if not lines or lines[0].rstrip() != "---" or not path.lower().endswith((".md", ".markdown")):
        return None, 0, ""
    end = next((i for i, line in enumerate(lines[1:2000], 1) if line.rstrip() in {"---", "..."}), None)
    if end is None:
        return None, 0, ""
    try:
        # The empty line stands for `---`, so that the lines' numbers are the file's.
        return read_yaml(path, "\n".join(["", *lines[1:end]])), end + 1, ""
    except Unreadable as problem:
        return None, end + 1, str(problem)
