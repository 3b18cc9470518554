"""Scalars as files write them, read by YAML 1.1's rules, by YAML 1.2's and as people write numbers."""

from __future__ import annotations

import math
import re
from typing import Any, TypeGuard

import yaml

MAX_DIGITS = 400


class Unreadable(Exception):
    """A file is not what its name says; the message says why."""


_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_WORDS: dict[str, float | bool | None] = {
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    "null": None, "Null": None, "NULL": None, "~": None, "": None, ".nan": math.nan, ".NaN": math.nan, ".NAN": math.nan,
    **{f"{sign}.{word}": float(f"{sign}inf") for sign in ("", "+", "-") for word in ("inf", "Inf", "INF")},
}  # fmt: skip


def yaml_1_2(text: str) -> Any:
    """A plain scalar by YAML 1.2's core schema."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > MAX_DIGITS:
        return text
    if re.match(r"[-+]?[0-9]+\Z", text):
        return int(text)
    if re.match(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z", text):
        return int(text, 0)
    return float(text) if _FLOAT.match(text) else text


_RESOLVER = yaml.resolver.Resolver()


def yaml_1_1(text: str) -> Any:
    """A plain scalar by YAML 1.1, as PyYAML reads it; dates stay words."""
    if len(text) > MAX_DIGITS:
        return text
    tag = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    if tag.endswith((":str", ":timestamp", ":merge", ":value")):
        return text
    try:
        return yaml.constructor.SafeConstructor().construct_object(yaml.ScalarNode(tag, text))
    except (ValueError, OverflowError, KeyError, yaml.YAMLError):
        return text


def number(text: str) -> float | None:
    """A finite number as people write it in tables and prose: `3e-4`, `2,048`, `1 000`, `3×10^-4`; None for anything else."""
    text = text.strip().strip("`*$ ").replace("−", "-").replace("\u202f", "").replace("\xa0", "")
    text = re.sub(r"(?<=\d)[,_](?=\d{3}\b)", "", text)
    text = re.sub(r"(?<=\d)\s*(?:×|x|\*|\\times|\\cdot)\s*10\s*(?:\^|\*\*)\s*\{?([-+]?\d+)\}?\Z", r"e\1", text)
    if not _FLOAT.match(text) or len(text) > 40:
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def as_number(value: Any) -> float | None:
    """A setting as a finite number, also one that a YAML 1.1 reader leaves a word (`1e-4`); None for anything else."""
    if isinstance(value, str):
        return number(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def is_integer(value: Any) -> TypeGuard[int]:
    """True for an integer that is no truth value."""
    return isinstance(value, int) and not isinstance(value, bool)
