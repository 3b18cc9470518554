"""Rows of token ids in JSON lines and Parquet (Amber's chunks), and a hub's data set read as a stream.

A Parquet file's footer says where each group of rows lies, so that a part is fetched without the rest. JSON lines have no index:
a prefix is read from the start, until it is whole; `line_ranges` indexes what is here.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from openassay.training.tokens.ranges import BadTokens, ByteRange, Bytes, Tokens, check_span, joined

COLUMN = "token_ids"
MAX_LINE = 64 << 20
MAX_TOKEN = 2**32 - 1


def checked(row: object, where: str, item_length: int) -> Tokens:
    """A row's token ids; `BadTokens` when they are not so many whole numbers."""
    if not isinstance(row, (list, tuple, np.ndarray)):
        raise BadTokens(f"{where}: expected a list of {item_length} token ids, found {type(row).__name__}")
    if len(row) != item_length:
        raise BadTokens(f"{where}: expected {item_length} token ids, found {len(row)}")
    if not all(
        type(token) is int and 0 <= token <= MAX_TOKEN
        for token in (row.tolist() if isinstance(row, np.ndarray) else row)
    ):
        raise BadTokens(f"{where}: expected whole numbers from 0 to {MAX_TOKEN}, found others")
    return np.asarray(row, dtype=np.int64)


def parse_line(line: bytes, where: str, item_length: int, column: str = COLUMN) -> Tokens:
    """One JSON line."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise BadTokens(f"{where}: expected a line of JSON, found what is none") from None
    if not isinstance(row, dict) or column not in row:
        raise BadTokens(f"{where}: expected an object with {column}, found none")
    return checked(row[column], where, item_length)


def line_ranges(path: Path, name: str | None = None, most: int | None = None) -> list[ByteRange]:
    """Where each line lies, without its end; of the first `most` lines only, so that a prefix needs no more than itself."""
    found: list[ByteRange] = []
    at = 0
    with path.open("rb") as file:
        while most is None or len(found) < most:
            line = file.readline(MAX_LINE + 1)
            if not line:
                break
            if len(line) > MAX_LINE:
                raise BadTokens(
                    f"{name or path.name}: line {len(found) + 1}: expected at most {MAX_LINE} bytes, found more"
                )
            found.append(ByteRange(name or path.name, at, at + len(line.rstrip(b"\r\n"))))
            at += len(line)
    return found


@dataclass(frozen=True, kw_only=True)
class JsonLines:
    """Batches over JSON lines, in the order of `lines`, or in `order`'s where one is given."""

    lines: Sequence[ByteRange]
    item_length: int
    batch_size: int
    read: Bytes
    column: str = COLUMN
    order: Sequence[int] | None = None

    @property
    def num_batches(self) -> int:
        """Whole batches."""
        return len(self.lines if self.order is None else self.order) // self.batch_size

    def _lines(self, first: int, stop: int) -> list[tuple[int, ByteRange]]:
        rows = range(first * self.batch_size, stop * self.batch_size)
        numbers = rows if self.order is None else [self.order[row] for row in rows]
        return [(number, self.lines[number]) for number in numbers]

    def ranges(self, first: int, stop: int) -> list[ByteRange]:
        """The bytes that batches [first, stop) need."""
        check_span(first, stop, self.num_batches)
        return joined(line for _, line in self._lines(first, stop))

    def batch(self, index: int) -> Tokens:
        """(batch_size, item_length) token ids."""
        check_span(index, index + 1, self.num_batches)
        return np.stack(
            [
                parse_line(self.read(line), f"{line.file}: line {number + 1}", self.item_length, self.column)
                for number, line in self._lines(index, index + 1)
            ]
        )


# Parquet ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RowGroup:
    """Rows that lie together in a Parquet file, and the bytes of their token column."""

    file: str
    number: int
    rows: int
    column: ByteRange


def row_groups(path: Path, name: str | None = None, column: str = COLUMN) -> list[RowGroup]:
    """What the footer says: the file may be sparse, with the footer alone in its place."""
    import pyarrow  # noqa: PLC0415 - a large library, for this form only
    import pyarrow.parquet as pq  # noqa: PLC0415 - a large library, for this form only

    name = name or path.name
    try:
        footer = pq.read_metadata(path)
        found = []
        for number in range(footer.num_row_groups):
            group = footer.row_group(number)
            chunks = [group.column(at) for at in range(group.num_columns)]
            chunk = next((one for one in chunks if one.path_in_schema.split(".")[0] == column), None)
            if chunk is None:
                raise BadTokens(f"{name}: expected a column {column}, found none")
            start = chunk.data_page_offset
            if chunk.has_dictionary_page and chunk.dictionary_page_offset:
                start = min(start, chunk.dictionary_page_offset)
            span = ByteRange(name, start, start + chunk.total_compressed_size)
            found.append(RowGroup(file=name, number=number, rows=group.num_rows, column=span))
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise BadTokens(
            f"{name}: expected a Parquet file, found what is none: {str(error).splitlines()[0][:120]}"
        ) from None
    return found


@dataclass(frozen=True, kw_only=True)
class Parquet:
    """Batches over the rows of Parquet files, in the files' order. `paths` may be sparse: only the asked ranges are read."""

    groups: Sequence[RowGroup]
    paths: Mapping[str, Path]
    item_length: int
    batch_size: int
    column: str = COLUMN
    _ends: list[int] = field(init=False, repr=False)
    _held: dict[int, Any] = field(init=False, repr=False, default_factory=dict)
    """The last group that was read, by its place: groups are large, and asked for row by row."""

    def __post_init__(self) -> None:
        ends, total = [], 0
        for group in self.groups:
            total += group.rows
            ends.append(total)
        object.__setattr__(self, "_ends", ends)

    @property
    def num_batches(self) -> int:
        """Whole batches."""
        return (self._ends[-1] if self._ends else 0) // self.batch_size

    def _groups(self, first: int, stop: int) -> range:
        if first == stop:
            return range(0)
        return range(
            bisect_right(self._ends, first * self.batch_size), bisect_right(self._ends, stop * self.batch_size - 1) + 1
        )

    def ranges(self, first: int, stop: int) -> list[ByteRange]:
        """The bytes that batches [first, stop) need: whole groups of rows, for they are compressed together."""
        check_span(first, stop, self.num_batches)
        return joined(self.groups[at].column for at in self._groups(first, stop))

    def batch(self, index: int) -> Tokens:
        """(batch_size, item_length) token ids."""
        check_span(index, index + 1, self.num_batches)
        wanted = range(index * self.batch_size, (index + 1) * self.batch_size)
        rows: list[Tokens] = []
        for at in self._groups(index, index + 1):
            group, before = self.groups[at], self._ends[at - 1] if at else 0
            low, high = max(wanted.start - before, 0), min(wanted.stop - before, group.rows)
            rows.extend(
                checked(value, f"{group.file}: row {before + low + number}", self.item_length)
                for number, value in enumerate(self._read(at).slice(low, high - low).to_pylist())
            )
        return np.stack(rows)

    def _read(self, at: int) -> Any:
        """The token column of a group."""
        import pyarrow  # noqa: PLC0415 - a large library, for this form only
        import pyarrow.parquet as pq  # noqa: PLC0415 - a large library, for this form only

        if at not in self._held:
            group = self.groups[at]
            try:
                table = pq.ParquetFile(self.paths[group.file]).read_row_group(group.number, columns=[self.column])
            except (pyarrow.ArrowException, OSError, ValueError) as error:
                raise BadTokens(f"{group.file}: row group {group.number}: {str(error).splitlines()[0][:120]}") from None
            self._held.clear()
            self._held[at] = table.column(self.column)
        return self._held[at]


# A hub's data set as a stream ------------------------------------------------------------------------------------------
