"""Files of settings (YAML, JSON, TOML, gin) as keys and values with their lines; nothing is constructed from a tag."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from openassay.faults import BadInput
from openassay.published.files import Config, Value
from openassay.published.marked import Entry, Marked, NotSettings, inner, parse_marked, parse_toml
from openassay.published.recipes import gin
from openassay.published.scalars import Unreadable, yaml_1_2

MAX_VALUES = 20_000
"""Values of one file that are kept one by one."""
MAX_ITEMS = 2000
"""Items of one list that are kept one by one."""
MAX_LIST = 64
"""Items of a list that is kept as one value."""


def _is_flat(items: list[Any]) -> bool:
    return len(items) <= MAX_LIST and not any(isinstance(item, (list, dict)) for item in items)


def read_settings(path: str, text: str, form: str) -> Config:
    """The settings of a YAML or JSON text, of YAML the first document; `Unreadable` says why it is none."""
    if not text.strip():
        return Config(path=path, format=form)
    try:
        marked = parse_marked(text, path, strict=False)
    except NotSettings as problem:
        where = f"line {problem.line}: " if problem.line else ""
        raise Unreadable(f"not {form.upper()}: {where}{problem.problem}") from None
    except BadInput as problem:
        raise Unreadable(str(problem).removeprefix(f"{path}:")) from None
    return config_of(marked, form)


def parse_json(text: str) -> tuple[Any, bool]:
    """A JSON document, and whether one of its mappings has a key twice; ValueError for another text."""
    is_repeated = False

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal is_repeated
        made = dict(pairs)
        is_repeated = is_repeated or len(made) < len(pairs)
        return made

    return json.loads(text, object_pairs_hook=mapping), is_repeated


def read_json(path: str, text: str, document: Any, *, is_repeated: bool) -> Config:
    """The settings of a JSON text that is parsed already; places of measured values are looked for only where a key is twice."""
    if _is_measured(document) and not is_repeated:
        return Config(path=path, format="json", document=document)
    return read_settings(path, text, "json")


def _is_measured(document: Any) -> bool:
    """Measured values (`results`) are no settings, and are kept as a whole only."""
    return isinstance(document, dict) and isinstance(document.get("results"), dict)


def config_of(marked: Marked, form: str) -> Config:
    """A file that is read with its places, as settings."""
    document = _meant(marked.root)
    is_measured = form == "json" and _is_measured(document)
    values = () if is_measured else tuple(islice(_values(marked.root, ""), MAX_VALUES))
    repeated = tuple((_value(key, one), _value(key, two)) for key, one, two in marked.repeated)
    return Config(
        path=marked.file, format=form, values=values, repeated=repeated, comments=tuple(marked.comments.items()),
        document=document, marked=marked,
    )  # fmt: skip


def _meant(entry: Entry) -> Any:
    """The value as its author means it: of a plain YAML scalar by YAML 1.2, and `1_000` is a number."""
    if isinstance(entry.value, dict):
        return {key: _meant(item) for key, item in entry.value.items()}
    if isinstance(entry.value, list):
        return [_meant(item) for item in entry.value]
    if not entry.is_plain:
        return entry.value
    meant = yaml_1_2(entry.raw)
    return entry.value if isinstance(meant, str) and not isinstance(entry.value, (bool, str)) else meant


def _value(key: str, entry: Entry) -> Value:
    value, written = _meant(entry), entry.raw
    if isinstance(value, (list, dict)):
        written = json.dumps(value, default=str)
    value = tuple(value) if isinstance(value, list) else value
    return Value(path=entry.file, line=entry.line, key=key, value=value, text=written[:500], plain=entry.is_plain)


def _values(entry: Entry, key: str) -> Iterator[Value]:
    """The scalars and the short lists below an entry, with their dotted keys."""
    if isinstance(entry.value, dict):
        for name, item in entry.value.items():
            yield from _values(item, inner(key, name))
        return
    for i, item in enumerate(entry.value[:MAX_ITEMS]) if isinstance(entry.value, list) else ():
        yield from _values(item, inner(key, i))
    if not isinstance(entry.value, list) or _is_flat([item.value for item in entry.value]):
        yield _value(key, entry)


def read_toml(path: str, text: str) -> Config:
    """The settings of a TOML text; `Unreadable` says why it is none."""
    try:
        return config_of(parse_toml(text, path), "toml")
    except NotSettings as problem:
        raise Unreadable(f"not TOML: {problem.problem[:200]}") from None
    except BadInput as problem:
        raise Unreadable(str(problem).removeprefix(f"{path}:")) from None


def read_gin(path: str, text: str) -> Config:
    """The bindings `a/b.c = value` and macros of a gin file, without what it includes; `Unreadable` says why it is none."""
    try:
        config = config_of(gin.parse(text, path, without_includes=True), "gin")
    except BadInput as problem:
        raise Unreadable(f"not gin: {str(problem).removeprefix(f'{path}:')}") from None
    return replace(config, values=tuple(replace(of, key=of.key.replace("/", ".")) for of in config.values))


def front_matter(path: str, lines: tuple[str, ...]) -> tuple[Config | None, int, str]:
    """A card's front matter, the index of the first line after it, and why it cannot be read."""
    if not lines or lines[0].rstrip() != "---" or not path.lower().endswith((".md", ".markdown")):
        return None, 0, ""
    end = next((i for i, line in enumerate(lines[1:2000], 1) if line.rstrip() in {"---", "..."}), None)
    if end is None:
        return None, 0, ""
    try:
        # The empty line stands for `---`, so that the lines' numbers are the file's.
        return read_settings(path, "\n".join(["", *lines[1:end]]), "yaml"), end + 1, ""
    except Unreadable as problem:
        return None, end + 1, str(problem)
