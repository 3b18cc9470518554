"""Rows of token ids in JSON lines and Parquet (Amber's chunks).

A Parquet file's footer says where each group of rows lies, so that a part can be fetched without the rest. JSON lines have no
index: `line_ranges` makes one of what is here.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from openassay.published.tokens.ranges import BadTokens, Batches, ByteRange, Bytes, Tokens

COLUMN = "token_ids"
MAX_LINE = 64 << 20
MAX_TOKEN = 2**32 - 1


def checked(row: object, where: str, item_length: int) -> Tokens:
    """A row's token ids. `BadTokens` unless they are `item_length` whole numbers from 0 to `MAX_TOKEN`."""
    if not isinstance(row, list):
        raise BadTokens(f"{where}: expected a list of {item_length} token ids, found {type(row).__name__}")
    if len(row) != item_length:
        raise BadTokens(f"{where}: expected {item_length} token ids, found {len(row)}")
    if not all(type(token) is int and 0 <= token <= MAX_TOKEN for token in row):
        raise BadTokens(f"{where}: expected whole numbers from 0 to {MAX_TOKEN}, found others")
    return np.asarray(row, dtype=np.int64)


def line_ranges(path: Path, name: str) -> list[ByteRange]:
    """Where each line of a file lies, without its end."""
    found: list[ByteRange] = []
    at = 0
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE + 1):
            if len(line) > MAX_LINE:
                raise BadTokens(f"{name}: line {len(found) + 1}: expected at most {MAX_LINE} bytes, found more")
            found.append(ByteRange(name, at, at + len(line.rstrip(b"\r\n"))))
            at += len(line)
    return found


@dataclass(frozen=True, kw_only=True)
class JsonLines(Batches):
    """Batches over JSON lines, in their order."""

    lines: Sequence[ByteRange]
    item_length: int
    batch_size: int
    read: Bytes
    column: str = COLUMN

    def __len__(self) -> int:
        return len(self.lines)

    def places(self, item: int) -> list[ByteRange]:
        """The line of an item."""
        return [self.lines[item]]

    def row(self, item: int) -> Tokens:
        """The `item_length` token ids of a line."""
        line = self.lines[item]
        where = f"{line.file}: line {item + 1}"
        try:
            found = json.loads(self.read(line))
        except (ValueError, RecursionError):
            raise BadTokens(f"{where}: expected a line of JSON, found none") from None
        if not isinstance(found, dict) or self.column not in found:
            raise BadTokens(f"{where}: expected an object with {self.column}, found none")
        return checked(found[self.column], where, self.item_length)


# Parquet ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RowGroup:
    """Rows that lie together in a Parquet file, and the bytes of their token column."""

    file: str
    number: int
    rows: int
    column: ByteRange


@contextmanager
def _pyarrow(where: str) -> Iterator[Any]:
    """pyarrow.parquet, a large library for this form only; what it raises within, as `BadTokens`."""
    import pyarrow  # noqa: PLC0415
    import pyarrow.parquet  # noqa: PLC0415

    try:
        yield pyarrow.parquet
    except (pyarrow.ArrowException, OSError, ValueError, LookupError) as error:
        raise BadTokens(f"{where}: {(str(error) or type(error).__name__).splitlines()[0][:120]}") from None


def row_groups(path: Path, name: str, column: str = COLUMN) -> list[RowGroup]:
    """The groups of rows that the footer names. The file may be sparse, with the footer alone in its place."""
    found = []
    with _pyarrow(f"{name}: expected a Parquet file, found none") as parquet:
        footer = parquet.read_metadata(path)
        for number in range(footer.num_row_groups):
            group = footer.row_group(number)
            chunks = [group.column(at) for at in range(group.num_columns)]
            chunk = next((one for one in chunks if one.path_in_schema.split(".")[0] == column), None)
            if chunk is None:
                raise BadTokens(f"{name}: expected a column {column}, found none")
            start = chunk.data_page_offset
            if chunk.has_dictionary_page and chunk.dictionary_page_offset:
                start = min(start, chunk.dictionary_page_offset)
            if group.num_rows < 0 or start < 0 or chunk.total_compressed_size < 0:
                raise BadTokens(f"{name}: expected a Parquet file, found a damaged footer")
            span = ByteRange(name, start, start + chunk.total_compressed_size)
            found.append(RowGroup(file=name, number=number, rows=group.num_rows, column=span))
    return found


@dataclass(frozen=True, kw_only=True)
class Parquet(Batches):
    """Batches over the rows of Parquet files, in the files' order. `paths` may be sparse: only the asked ranges are read."""

    groups: Sequence[RowGroup]
    paths: Mapping[str, Path]
    item_length: int
    batch_size: int
    column: str = COLUMN
    _ends: list[int] = field(init=False, repr=False, default_factory=list)
    """Rows up to the end of each group."""
    _held: dict[int, Any] = field(init=False, repr=False, default_factory=dict)
    """The token column of the last group that was read, by its place: groups are large, and asked for row by row."""

    def __post_init__(self) -> None:
        self._ends.extend(accumulate(group.rows for group in self.groups))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def places(self, item: int) -> list[ByteRange]:
        """The whole group of an item's row, since its rows are compressed together."""
        return [self.groups[bisect_right(self._ends, item)].column]

    def row(self, item: int) -> Tokens:
        """The `item_length` token ids of a row."""
        at = bisect_right(self._ends, item)
        group, number = self.groups[at], item - (self._ends[at - 1] if at else 0)
        with _pyarrow(f"{group.file}: row group {group.number}") as parquet:
            if at not in self._held:
                table = parquet.ParquetFile(self.paths[group.file]).read_row_group(group.number, columns=[self.column])
                self._held.clear()
                self._held[at] = table.column(self.column)
            row = self._held[at][number].as_py()
        return checked(row, f"{group.file}: row {item}", self.item_length)
