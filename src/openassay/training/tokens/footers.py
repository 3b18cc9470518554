"""The footer of a Parquet file: where each group of rows has its columns. pyarrow ends the process on some damaged ones.

Thrift's compact protocol (github.com/apache/thrift, doc/specs/thrift-compact-protocol.md) and the fields of FileMetaData
(github.com/apache/parquet-format, src/main/thrift/parquet.thrift).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _MAP, _STRUCT = 1, 2, 3, 7, 8, 11, 12
_NUMBERS, _LISTS = {4, 5, 6}, {9, 10}
_LONGEST = 10
"""Bytes of a number."""


class _Compact:
    """Reads values one after another. A struct is a mapping of its fields' numbers."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        found = self.data[self.at : self.at + count]
        if len(found) < count:
            raise ValueError("the footer ends too early")
        self.at += count
        return found

    def varint(self) -> int:
        number = 0
        for i in range(_LONGEST):
            byte = self.take(1)[0]
            number |= (byte & 127) << 7 * i
            if byte < 128:
                return number
        raise ValueError("the footer has a number without an end")

    def integer(self) -> int:
        number = self.varint()
        return (number >> 1) ^ -(number & 1)

    def value(self, kind: int) -> Any:
        if kind in _NUMBERS:
            return self.integer()
        if kind in _LISTS:
            head = self.take(1)[0]
            count = head >> 4 if head >> 4 < 15 else self.varint()
            return [self.item(head & 15) for _ in range(count)]
        if kind == _MAP:
            count = self.varint()
            kinds = self.take(1)[0] if count else 0
            return [(self.item(kinds >> 4), self.item(kinds & 15)) for _ in range(count)]
        if kind == _STRUCT:
            return self.struct()
        if kind in {_TRUE, _FALSE}:
            return kind == _TRUE
        if kind not in {_BYTE, _DOUBLE, _BINARY}:
            raise ValueError(f"the footer has a value of the unknown kind {kind}")
        return self.take({_BYTE: 1, _DOUBLE: 8}.get(kind) or self.varint())

    def item(self, kind: int) -> Any:
        """A value of a list or a map, where a truth value has a byte of its own."""
        return self.take(1) if kind in {_TRUE, _FALSE} else self.value(kind)

    def struct(self) -> dict[int, Any]:
        found: dict[int, Any] = {}
        number = 0
        while head := self.take(1)[0]:
            number = number + (head >> 4) if head >> 4 else self.integer()
            found[number] = self.value(head & 15)
        return found


def columns_of(path: Path, column: str) -> list[tuple[int, int, int]]:
    """Rows, first byte and number of bytes of a column in each group of rows. ValueError says what the file is instead."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 8))
        end = file.read(8)
        length = int.from_bytes(end[:4], "little")
        if end[4:] != b"PAR1" or length > size - 8:
            raise ValueError("it does not end as one")
        file.seek(size - 8 - length)
        data = file.read(length)
    try:
        groups = [_column(group, column, size) for group in _Compact(data).struct()[4]]
    except (KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise ValueError("its footer is damaged") from None
    return groups


def _column(group: dict[int, Any], column: str, size: int) -> tuple[int, int, int]:
    described = next((of[3] for of in group[1] if of[3][3][0] == column.encode()), None)
    if described is None:
        raise LookupError(f"expected a column {column}, found none")
    start, length, rows = min(described[9], described.get(11) or described[9]), described[7], group[3]
    if rows < 0 or not 0 <= start <= start + length <= size:
        raise ValueError("its footer names bytes that are not in it")
    return rows, start, length
