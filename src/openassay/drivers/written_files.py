"""What a run wrote, as JSON types or as columns of rows. TensorBoard, W&B, MLflow and CSV by the readers of `run_files`."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from openassay.drivers.job import MAX_JSON_BYTES, open_written
from openassay.drivers.readings import NoMeasurement, Unclear
from openassay.faults import BadInput, did_you_mean
from openassay.run_files.runs import STEP
from openassay.run_files.tables import MISSING, ReadOptions, Table, read_table, shown, text_of

Format = Literal["json", "jsonl", "csv", "text", "tensorboard", "wandb", "mlflow"]
_BY_NAME: tuple[tuple[str, Format], ...] = (
    (r"\.(jsonl|ndjson)$", "jsonl"), (r"\.(csv|tsv)$", "csv"), (r"\.tfevents\.", "tensorboard"), (r"\.wandb$", "wandb"),
    (r"/mlruns/.*/metrics/", "mlflow"),
)  # fmt: skip
_TABLES = {"csv": "CSV", "tensorboard": "TensorBoard", "wandb": "W&B", "mlflow": "MLflow"}


def format_of(path: Path) -> Format:
    """The format that a file's name says; JSON where it says none."""
    return next((kind for pattern, kind in _BY_NAME if re.search(pattern, path.as_posix(), re.IGNORECASE)), "json")


class Rows(ABC):
    """What a file holds in columns of equal length."""

    step: str = ""
    """The column of steps that the format has."""

    @abstractmethod
    def names(self) -> list[str]:
        """The names of the columns."""

    @abstractmethod
    def column(self, name: str) -> list[object]:
        """A column's values, None where a row has none; NoMeasurement if there is none, Unclear if there are two."""

    def only_column(self) -> str:
        """The column to read where none was named; Unclear if there are several."""
        names = [name for name in self.names() if name != self.step and not STEP.fullmatch(name)]
        if len(names) != 1:
            raise Unclear(f"which of {shown(names or self.names())} is meant? name it by key")
        return names[0]

    def steps(self, *, needed: bool) -> str:
        """The column of steps; empty if the format has none and it is not needed."""
        if self.step or not needed:
            return self.step
        names = [name for name in self.names() if STEP.fullmatch(name)]
        if len(names) != 1:
            raise Unclear(f"which of {shown(names or self.names())} holds the steps? name it by steps")
        return names[0]


@dataclass(frozen=True, kw_only=True)
class JsonRows(Rows):
    """JSON objects, whose columns are dotted places."""

    records: Sequence[Any]

    def names(self) -> list[str]:
        """The keys that any of the objects has."""
        return list(dict.fromkeys(str(key) for record in self.records for key in record))

    def column(self, name: str) -> list[object]:
        """What stands at a dotted place of each object."""
        found = [_stated_or_none(record, name) for record in self.records]
        if all(of is None for of in found):
            raise NoMeasurement(f"there is no {name!r} in what it gave: {did_you_mean(name, self.names()[:40])}")
        return found


@dataclass(frozen=True, kw_only=True)
class TableRows(Rows):
    """A table that `run_files` has read."""

    table: Table

    @property
    def step(self) -> str:  # type: ignore[override]
        """The column of steps that the format has."""
        return self.table.step or ""

    def names(self) -> list[str]:
        """The header."""
        return self.table.header

    def column(self, name: str) -> list[object]:
        """The cells of a column, as they are written."""
        if (count := self.table.header.count(name)) > 1:
            raise Unclear(f"{count} columns are called {name!r}; read another file, or the text by a pattern")
        if not count:
            raise NoMeasurement(f"it has no column {name!r}: {did_you_mean(name, self.table.header[:40])}")
        cells = [row[self.table.header.index(name)] for row in self.table.rows]
        if self.table.typed:
            return [_shortest(of) if isinstance(of, float) else of for of in cells]
        return [None if text_of(of).casefold() in MISSING else text_of(of) for of in cells]


def _shortest(value: float) -> str:
    """The shortest text of a number: TensorBoard keeps 14.3 in 32 bits, which reads 14.300000190734863 in 64."""
    with np.errstate(over="ignore"):
        single = np.float32(value)
    return str(single) if float(single) == value else repr(value)


def rows_of(path: Path, kind: Format, name: str, key: str) -> Rows:
    """The rows of a run's file; ValueError for what is no regular file or too large, NoMeasurement for another format.

    name: the file's, for messages. key: the column that will be read.
    """
    if kind == "jsonl":
        return JsonRows(records=_lines(path, name))
    open_written(path, MAX_JSON_BYTES).close()
    try:
        table = read_table(path, ReadOptions(column=key or None))
    except BadInput as error:  # its advice is on the options of a command
        words = re.split(r"; |\? say ", str(error).replace(str(path), name))[0]
        raise NoMeasurement(words) from None
    if not table.format.startswith(_TABLES[kind]) and not (kind == "csv" and not table.typed):
        raise NoMeasurement(f"{name} is no file of {_TABLES[kind]}")
    return TableRows(table=table)


def json_of(path: Path, name: str) -> Any:
    """What a JSON file of a run holds, its numbers as the texts that stand there."""
    with open_written(path, MAX_JSON_BYTES) as file:
        data = file.read()
    try:
        return _parsed(data.decode("utf-8"))
    except (ValueError, RecursionError):
        raise NoMeasurement(f"{name} is not JSON") from None


def _parsed(text: str) -> Any:
    return json.loads(text, parse_float=str, parse_int=str, parse_constant=str)


def _lines(path: Path, name: str) -> list[Any]:
    records = []
    with open_written(path, MAX_JSON_BYTES) as file:
        for number, line in enumerate(file, start=1):
            try:
                record = _parsed(line.decode("utf-8")) if line.strip() else {}
            except (ValueError, RecursionError):
                record = None
            if not isinstance(record, dict):
                raise NoMeasurement(f"{name}: line {number} is no JSON object")
            records.append(record)
    return records


def stated_at(value: Any, key: str) -> Any:
    """What stands at a dotted place of JSON types; NoMeasurement for nothing."""
    for part in key.split(".") if key else []:
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, TypeError, ValueError):
            raise NoMeasurement(f"there is no {key!r} in what it gave") from None
    return value


def records_at(content: Any, key: str) -> tuple[list[Any], str] | None:
    """The objects of the list that a dotted place goes through without a number, and their own part of the place.

    Those alone that have it; None where it goes through no such list.
    """
    value, parts = content, key.split(".")
    for i, part in enumerate(parts):
        if isinstance(value, list) and not re.fullmatch(r"-?[0-9]+", part):
            rest = ".".join(parts[i:])
            there = [of for of in value if isinstance(of, dict) and _stated_or_none(of, rest) is not None]
            return (there, rest) if there else None
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    return None


def _stated_or_none(record: Any, key: str) -> Any:
    try:
        return stated_at(record, key)
    except NoMeasurement:
        return None
