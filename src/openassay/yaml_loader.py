"""Reads a stranger's YAML safely, as data only: no tags, anchors, aliases, merges or duplicate keys, and bounded.

Scalars follow the YAML 1.2 core schema (JSON's types), so that `no` is a word, `1e-3` a number and `010` ten. Numbers that
are not finite stay words, and the schema then refuses them.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from openassay.faults import BadInput

if TYPE_CHECKING:
    from openassay.core.types import Json

MAX_BYTES = 64 * 1024
MAX_DEPTH = 12
MAX_NUMBER = 25
"""Characters of a number; more of them are a word."""

QUICK: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser, fifteen times as fast. What it refuses is left to the one in Python, whose messages name more."""
_ALIKE = re.compile(r"(?!.*[|>][-+0-9]*#)[\n -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd]*", re.DOTALL)
"""Texts that both parsers take for the same: without tabs, carriage returns and marks of the bytes' order; and no `|#`."""

_INT = re.compile(r"[-+]?[0-9]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_WORDS: dict[str, bool | None] = {
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    "null": None, "Null": None, "NULL": None, "~": None, "": None,
}  # fmt: skip


def load_yaml(path: Path, where: str | None = None) -> Json:
    """A YAML file as values of JSON's types; `BadInput` names the file (as `where`), the line and what to do."""
    where = where or str(path)
    try:
        with path.open("rb") as file:
            return parse_bytes(file.read(MAX_BYTES + 1), where)
    except FileNotFoundError:
        raise BadInput(f"{where}: there is no such file") from None
    except IsADirectoryError:
        raise BadInput(f"{where}: it is a folder; give a file") from None


def parse_bytes(data: bytes, where: str) -> Json:
    """YAML as values of JSON's types, as by `load_yaml`, from bytes; `where` names them in messages."""
    if len(data) > MAX_BYTES:
        raise BadInput(f"{where}: more than {MAX_BYTES} bytes, the most that such a file may have")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{where}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    return parse_yaml(text, where)


def parse_yaml(text: str, where: str) -> Json:
    """YAML as values of JSON's types, as by `load_yaml`, from a text; `where` names it in messages."""
    if _ALIKE.fullmatch(text):
        try:
            return _parsed(text, where, QUICK)
        except (BadInput, yaml.YAMLError, ValueError, OverflowError):
            pass
    try:
        return _parsed(text, where, yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise BadInput(f"{where}{line}: not YAML: {problem}") from None
    except (ValueError, OverflowError) as error:
        # An escape or a directive with a number that is no character or version.
        raise BadInput(f"{where}: not YAML: {error}") from None
    except RecursionError:
        raise BadInput(f"{where}: nested too deeply; at most {MAX_DEPTH} levels") from None


def _parsed(text: str, where: str, loader: Any) -> Json:
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise BadInput(f"{where}:{line}: anchors and aliases are not allowed; write the value out")
        if isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)) and event.tag:
            raise BadInput(f"{where}:{line}: the tag {event.tag!r} is not allowed; a target file is plain data")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise BadInput(f"{where}:{line}: nested too deeply; at most {MAX_DEPTH} levels")
    node = yaml.compose(text, Loader=loader)
    return None if node is None else _value(node, where)


def _value(node: yaml.Node, where: str, *, flow: bool = False) -> Json:
    inside = bool(getattr(node, "flow_style", False))
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, where, flow=inside) for item in node.value]
    if not isinstance(node, yaml.MappingNode):
        return _scalar(node, where, flow=flow)
    result: dict[str, Json] = {}
    for key_node, value_node in node.value:
        line, key = key_node.start_mark.line + 1, key_node.value
        if not isinstance(key_node, yaml.ScalarNode):
            raise BadInput(f"{where}:{line}: a key must be a word")
        if key == "<<":
            raise BadInput(f"{where}:{line}: merge keys are not allowed; write the values out")
        if key in result:
            raise BadInput(f"{where}:{line}: the key '{key}' stands twice; remove one")
        _scalar(key_node, where, flow=inside)
        result[key] = _value(value_node, where, flow=inside)
    return result


def _scalar(node: yaml.Node, where: str, *, flow: bool) -> Json:
    if not isinstance(node, yaml.ScalarNode):
        raise BadInput(f"{where}:{node.start_mark.line + 1}: unexpected YAML {type(node).__name__}")
    text: str = node.value
    if node.style:  # quoted or block: always a word
        return text
    if flow and "?" in text:  # only libyaml gets here
        raise BadInput(f"{where}:{node.start_mark.line + 1}: a word in brackets that holds a ? needs quotes")
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > MAX_NUMBER:  # a digest may be all digits
        return text
    if _INT.match(text):
        return int(text)
    if _FLOAT.match(text) and math.isfinite(number := float(text)):
        return number
    return text
