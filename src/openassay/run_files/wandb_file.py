"""The `run-ID.wandb` file that Weights & Biases writes beside each run, offline runs included.

A log of LevelDB's form: blocks of 32 KiB with records (checksum, length, kind, bytes). Each whole record is a protobuf message,
`wandb.proto.wandb_internal_pb2.Record`; of its parts only the history's rows (2) and the summary (3) are read here.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from openassay.core.types import Json
from openassay.run_files.tables import MOST_BYTES, Table, check_cells, refuse

_BLOCK = 32768
_HEAD = b":W&B\xe1\xbe\x00"
_PADDING, _FULL, _FIRST, _MIDDLE, _LAST = range(5)
_HISTORY, _SUMMARY = 2, 3
_ITEM, _KEY, _NESTED, _VALUE = 1, 1, 2, 16


class _Broken(Exception):
    """The bytes are not what W&B writes."""


def wandb_table(path: Path) -> Table:
    """The rows of a run's history, and a last one with what stands in its summary alone; `BadInput` for another file."""
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        refuse(f"{path}: larger than {MOST_BYTES // 1_000_000} MB")
    history: list[dict[str, Json]] = []
    summary: dict[str, Json] = {}
    try:
        for record in _records(data):
            for kind, message in _fields(record):
                if kind == _HISTORY:
                    history.append(_items(message))
                elif kind == _SUMMARY:
                    summary |= _items(message)
    except (_Broken, ValueError, RecursionError) as error:
        refuse(f"{path}: not a file of a W&B run: {error}")
    for number, row in enumerate(history):
        row.setdefault("_step", number)
    logged = {key for row in history for key in row}
    last: dict[str, Json] = {"_step": history[-1]["_step"]} if history else {}
    history.append(
        last | {key: of for key, of in summary.items() if key not in logged and not key.startswith("_wandb")}
    )
    header = ["_step", *dict.fromkeys(key for row in history for key in row if key != "_step")]
    if len(header) == 1:
        refuse(f"{path}: nothing was logged in it")
    check_cells(len(history), len(header), path)
    return Table(
        where=str(path), format="W&B run", header=header, rows=[[row.get(key) for key in header] for row in history],
        places=[f"record {i}" for i in range(1, len(history) + 1)], step="_step", runs=(), typed=True, tasks=True, stamped=True,
    )  # fmt: skip


def _records(data: bytes) -> Iterator[bytes]:
    """The whole records; one that was cut off at the end, as by a killed run, is left out."""
    if not data.startswith(_HEAD):
        raise _Broken("it begins otherwise")
    at, parts = len(_HEAD), b""
    while at + 7 <= len(data):
        left = _BLOCK - at % _BLOCK
        if left < 7:
            at += left
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        body = data[at + 7 : at + 7 + length]
        if kind == _PADDING and not length:
            at += left
            continue
        if len(body) < length:
            return
        if kind > _LAST or int.from_bytes(data[at : at + 4], "little") != zlib.crc32(data[at + 6 : at + 7] + body):
            raise _Broken(f"the record at byte {at} is damaged")
        parts = body if kind in {_FULL, _FIRST} else parts + body
        if kind in {_FULL, _LAST}:
            yield parts
        at += 7 + length


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The number and the bytes of each field of a protobuf message that has a length; numbers are passed over."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        if tag & 7 == 2:
            length, at = _varint(message, at)
            yield tag >> 3, message[at : at + length]
            at += length
        elif tag & 7 == 0:
            _, at = _varint(message, at)
        elif tag & 7 in {1, 5}:
            at += 8 if tag & 7 == 1 else 4
        else:
            raise _Broken("a record is no message")
    if at > len(message):
        raise _Broken("a record ends too early")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number, and where it ends."""
    number = 0
    for i in range(10):
        if at + i >= len(message):
            break
        number |= (message[at + i] & 127) << 7 * i
        if message[at + i] < 128:
            return number, at + i + 1
    raise _Broken("a number in a record has no end")


def _items(message: bytes) -> dict[str, Json]:
    """The keys and values of a history's row or of a summary."""
    found: dict[str, Json] = {}
    for kind, item in _fields(message):
        if kind != _ITEM:
            continue
        names, value = [], b"null"
        for part, content in _fields(item):
            if part in {_KEY, _NESTED}:
                names.append(content.decode("utf-8"))
            elif part == _VALUE:
                value = content
        parsed: Any = json.loads(value)
        found[".".join(name for name in names if name)] = parsed
    return found
