"""What does a scalar mean? Read as YAML 1.1 does, as YAML 1.2 does; and whole documents, without following aliases.

Nothing is constructed from a tag: a release's file is data.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_DEPTH = 64
MAX_SCALARS = 200_000
MAX_DIGITS = 400


class Unreadable(Exception):
    """A file is not what its name says; the message says why."""


@dataclass
class Node:
    """A YAML node: a scalar (`text`), or `items` of (key node or None, value node)."""

    line: int
    text: str = ""
    plain: bool = False
    kind: str = "scalar"
    items: list[tuple[Node | None, Node]] = field(default_factory=list)


def parse_yaml(text: str) -> Node | None:  # noqa: PLR0912 - one branch for each kind of event
    """The first document of a text as nodes. Aliases stay words, so that nothing can be expanded; `Unreadable` says why not."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    stack: list[tuple[Node, Node | None]] = []
    top: Node | None = None
    scalars = 0
    try:
        for event in yaml.parse(text, Loader=loader):
            if isinstance(event, yaml.DocumentEndEvent):
                return top
            line = event.start_mark.line + 1 if event.start_mark else 0
            if isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
                stack.pop()
                continue
            if isinstance(event, yaml.ScalarEvent):
                # A tag or quotes say what is meant; a plain scalar is for the reader to guess.
                node = Node(line, str(event.value), plain=event.implicit[0] and event.style in {None, ""})
            elif isinstance(event, yaml.AliasEvent):
                node = Node(line, f"*{event.anchor}", kind="alias")
            elif isinstance(event, yaml.SequenceStartEvent):
                node = Node(line, kind="list")
            elif isinstance(event, yaml.MappingStartEvent):
                node = Node(line, kind="map")
            else:
                continue
            scalars += 1
            if scalars > MAX_SCALARS:
                raise Unreadable(f"more than {MAX_SCALARS} values")
            if top is None:
                top = node
            else:
                parent, key = stack[-1]
                if parent.kind == "list":
                    parent.items.append((None, node))
                elif key is None:
                    stack[-1] = (parent, node)
                else:
                    parent.items.append((key, node))
                    stack[-1] = (parent, None)
            if node.kind in {"list", "map"}:
                if len(stack) >= MAX_DEPTH:
                    raise Unreadable(f"nested more than {MAX_DEPTH} deep")
                stack.append((node, None))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise Unreadable(f"not YAML: {where}{getattr(error, 'problem', None) or str(error).splitlines()[0]}") from None
    except (ValueError, OverflowError, UnicodeError) as error:
        raise Unreadable(f"not YAML: {error}") from None
    return top


_INT12 = re.compile(r"[-+]?[0-9]+\Z")
_OCT12 = re.compile(r"0o[0-7]+\Z")
_HEX12 = re.compile(r"0x[0-9a-fA-F]+\Z")
_FLOAT12 = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_INF12 = re.compile(r"([-+]?)\.(inf|Inf|INF)\Z")
_WORDS12: dict[str, bool | None] = {
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    "null": None, "Null": None, "NULL": None, "~": None, "": None,
}  # fmt: skip


def yaml_1_2(text: str) -> Any:
    """A plain scalar by YAML 1.2's core schema."""
    if text in _WORDS12:
        return _WORDS12[text]
    if len(text) > MAX_DIGITS:
        return text
    if _INT12.match(text):
        return int(text)
    if _OCT12.match(text):
        return int(text, 0)
    if _HEX12.match(text):
        return int(text, 16)
    if _FLOAT12.match(text):
        return float(text)
    if found := _INF12.match(text):
        return -math.inf if found.group(1) == "-" else math.inf
    return math.nan if text in {".nan", ".NaN", ".NAN"} else text


_RESOLVER = yaml.resolver.Resolver()


def yaml_1_1(text: str) -> Any:
    """A plain scalar by YAML 1.1, as PyYAML reads it."""
    if len(text) > MAX_DIGITS:
        return text
    tag = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    if tag.endswith((":str", ":timestamp", ":merge", ":value")):
        return text
    node = yaml.ScalarNode(tag, text)
    try:
        return yaml.constructor.SafeConstructor().construct_object(node)
    except (ValueError, OverflowError, KeyError, yaml.YAMLError):
        return text


def number(text: str) -> float | None:
    """A finite number as people write it in tables and prose: `3e-4`, `2,048`, `1 000`, `3×10^-4`; None for anything else."""
    text = text.strip().strip("`*$ ").replace("−", "-").replace("\u202f", "").replace("\xa0", "")
    text = re.sub(r"(?<=\d)[,_](?=\d{3}\b)", "", text)
    text = re.sub(r"(?<=\d)\s*(?:×|x|\*|\\times|\\cdot)\s*10\s*(?:\^|\*\*)\s*\{?([-+]?\d+)\}?\Z", r"e\1", text)
    if not _FLOAT12.match(text) or len(text) > 40:
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def as_number(value: Any) -> float | None:
    """A finite number of a config, also one that a YAML 1.1 reader left a word (`1e-4`)."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        try:
            return float(value) if math.isfinite(value) else None
        except OverflowError:
            return None
    return number(value) if isinstance(value, str) else None
