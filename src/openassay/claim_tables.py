"""Claims from a published table: one row of a CSV or Markdown table, as it stands in a paper or README, is one claim."""

from __future__ import annotations

import copy
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from openassay.faults import BadInput

MOST_ROWS = 1000
_NUMBER = re.compile(r"[-+−]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_PLUS_MINUS = re.compile(r"\s*(?:±|\+/-|\+-|\\pm)\s*")
_NOTHING = {"", "-", "–", "—", "n/a", "na", "nan", "none", "null"}
_NUMBERS = {"published.value", "published.sd", "published.num_runs", "published.rounding", "tolerance.margin", "weight"}
_TEXTS = {"id", "arm", "baseline", "metric", "unit"}


@dataclass(frozen=True, kw_only=True)
class ClaimTable:
    """A published table of which each row is a claim."""

    text: str
    """The table as published: Markdown with bars, or CSV; its first row names the columns."""
    columns: dict[str, str]
    """Key of a claim to the column that it is read from: `id`, `arm`, `baseline`, `metric`, `unit`, `published.value`,
    `published.sd`, `published.num_runs`, `tolerance.margin`, ... `id` and `published.value` are needed. A cell `93.1 ± 0.2`
    gives value and sd where both name its column. The unit of the last printed digit is the rounding."""
    claim: dict[str, Any]
    """What all rows share: the other keys of a claim."""


def claims_of(table: ClaimTable, where: str) -> list[dict[str, Any]]:
    """One claim a row, as plain data; rows without a published value make none. `BadInput` names row and column."""
    for key in ("id", "published.value"):
        if key not in table.columns:
            raise BadInput(f"{where}.columns: {key} is missing; say which column holds it")
    if unknown := set(table.columns) - _NUMBERS - _TEXTS:
        known = ", ".join(sorted(_NUMBERS | _TEXTS))
        raise BadInput(f"{where}.columns: {min(unknown)!r} cannot be read from a column; known: {known}")
    header, *rows = list(_rows(table.text, where))
    for key, column in table.columns.items():
        if (count := header.count(column)) != 1:
            found = f"{count} columns are called {column!r}; there are: {', '.join(header)}"
            raise BadInput(f"{where}.columns.{key}: {found}")
    if len(rows) > MOST_ROWS:
        raise BadInput(f"{where}.text: {len(rows)} rows, more than {MOST_ROWS}")
    claims = []
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise BadInput(f"{where}.text: row {number}: {len(header)} cells are needed, found {len(row)}")
        cells = dict(zip(header, row, strict=True))
        if cells[table.columns["published.value"]].lower() not in _NOTHING:
            claims.append(_claim(table, cells, f"{where}.text: row {number}"))
    return claims


def _rows(text: str, where: str) -> Iterator[list[str]]:
    """The cells of each row, without the marks of Markdown."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        raise BadInput(f"{where}.text: a row of names and one row at least are needed")
    if lines[0].startswith("|"):
        for line in lines:
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
            if not all(re.fullmatch(r":?-+:?", cell) for cell in cells):
                yield [cell.replace("\\|", "|").strip("*`_ ") for cell in cells]
        return
    for cells in csv.reader(lines):
        yield [cell.strip() for cell in cells]


def _claim(table: ClaimTable, cells: dict[str, str], where: str) -> dict[str, Any]:
    claim: dict[str, Any] = copy.deepcopy(table.claim)
    with_spread = table.columns.get("published.sd") == table.columns["published.value"]
    for key, column in table.columns.items():
        text, at = cells[column], f"{where}, column {column!r}"
        if key in _TEXTS:
            _put(claim, key, re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") if key == "id" else text, where)
            continue
        if with_spread and key in {"published.value", "published.sd"}:
            parts = _PLUS_MINUS.split(text)
            if len(parts) != 2:
                raise BadInput(f"{at}: expected a value ± its spread, found {text!r}")
            text = parts[key == "published.sd"]
        elif text.lower() in _NOTHING:
            continue
        number, unit = _number(text, at)
        _put(claim, key, int(number) if key == "published.num_runs" else number, where)
        if key == "published.value" and "published.rounding" not in table.columns:
            claim["published"].setdefault("rounding", unit)
    return claim


def _number(text: str, where: str) -> tuple[float, float]:
    """A number as printed, and the unit of its last digit."""
    plain = text.rstrip("% ").replace("−", "-")
    if not _NUMBER.fullmatch(plain):
        raise BadInput(f"{where}: a number is needed, found {text[:40]!r}")
    exponent = Decimal(plain).as_tuple().exponent
    return float(plain), float(Decimal(1).scaleb(int(exponent)))


def _put(claim: dict[str, Any], key: str, value: object, where: str) -> None:
    """Set a dotted key; `BadInput` when the shared part has it already, or something else in its place."""
    *folders, name = key.split(".")
    for folder in folders:
        claim = claim.setdefault(folder, {})
        if not isinstance(claim, dict):
            raise BadInput(f"{where}: {folder}: keys are needed, found {str(claim)[:40]!r}")
    if name in claim:
        raise BadInput(f"{where}: {key} stands in the table and in `claim`; remove one")
    claim[name] = value
