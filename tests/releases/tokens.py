"""Miniature releases of tokens, in the layouts that real ones are published in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from openassay.published.tokens.megatron import HEADER, MAGIC, TYPES
from openassay.published.tokens.ranges import Tokens
from openassay.published.tokens.rows import COLUMN


def write_megatron(prefix: Path, sequences: Iterable[Sequence[int]], dtype: str = "<u2") -> Path:
    """`prefix.bin` and `prefix.idx`, one document for each sequence; the path of the `.idx`."""
    kind = np.dtype(dtype)
    code = next(code for code, known in TYPES.items() if known == kind)
    sizes = []
    with prefix.with_suffix(".bin").open("wb") as file:
        for sequence in sequences:
            file.write(np.asarray(sequence, dtype=kind).tobytes())
            sizes.append(len(sequence))
    lengths = np.asarray(sizes, dtype="<i4")
    pointers = np.zeros(len(sizes), dtype="<i8")
    np.cumsum(lengths[:-1].astype(np.int64) * kind.itemsize, out=pointers[1:])
    boundaries = np.arange(len(sizes) + 1, dtype="<i8")
    header = HEADER.pack(MAGIC, 1, code, len(sizes), len(boundaries))
    path = prefix.with_suffix(".idx")
    path.write_bytes(header + lengths.tobytes() + pointers.tobytes() + boundaries.tobytes())
    return path


def write_preshuffled(folder: Path, items: Tokens, part_bytes: int | None = None) -> list[tuple[str, int]]:
    """Items one after another as uint16, without an index, in parts of a size (the last is smaller); their names and sizes."""
    data = np.ascontiguousarray(items, dtype="<u2").tobytes()
    step = part_bytes or max(len(data), 1)
    found = []
    for number, start in enumerate(range(0, len(data), step)):
        name = f"document-{number:05}.bin"
        (folder / name).write_bytes(data[start : start + step])
        found.append((name, len(data[start : start + step])))
    return found


def write_memmap(path: Path, tokens: Tokens | Sequence[int], dtype: str = "<u2") -> tuple[str, int]:
    """Raw token ids, as OLMo's files named `.npy` hold them; name and size."""
    path.write_bytes(np.ascontiguousarray(tokens, dtype=np.dtype(dtype)).tobytes())
    return path.name, path.stat().st_size


def write_lines(path: Path, items: Tokens) -> Path:
    """JSON lines as Amber's chunks."""
    with path.open("w", encoding="utf-8") as file:
        for item in items:
            file.write(json.dumps({COLUMN: item.tolist(), "source": "made"}) + "\n")
    return path


def write_parquet(path: Path, items: Tokens, group_rows: int) -> Path:
    """The same rows as Parquet, in groups."""
    table = pa.table({"source": ["made"] * len(items), COLUMN: [item.tolist() for item in items]})
    pq.write_table(table, path, row_group_size=group_rows)
    return path
