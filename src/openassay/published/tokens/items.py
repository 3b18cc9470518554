"""The items of a file of tokenised training data: how many, how long, and digests by which orders and sets are compared."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np

from openassay.published.files import Items
from openassay.published.scalars import Unreadable
from openassay.published.tokens.megatron import HEADER, MAGIC, TYPES

FIRST_ITEMS = 1024
MAX_INDEX = 64 * 2**20
MAX_SET = 2**28
"""Bytes of items whose digest without order is computed."""


def megatron_items(path: Path, name: str, most: int) -> Items | None:
    """A Megatron index (`MMIDIDX`, version 1) and its `.bin`: number and length of items, digest of the first ones."""
    with path.open("rb") as file:
        head = file.read(HEADER.size)
        if head[: len(MAGIC)] != MAGIC:
            return None
        if len(head) < HEADER.size:
            raise Unreadable("a Megatron index that is cut off")
        _, version, code, count, documents = HEADER.unpack(head)
        if version != 1 or code not in TYPES:
            raise Unreadable(f"a Megatron index of version {version} with type {code}, which is not known")
        if path.stat().st_size < HEADER.size + count * 12 + documents * 8:
            raise Unreadable(f"a Megatron index that is cut off: {count} items do not fit")
        read = min(count, MAX_INDEX // 4)
        sizes = np.frombuffer(file.read(read * 4), "<i4").astype(np.int64)
    if (sizes < 0).any():
        raise Unreadable("a Megatron index with items of negative length")
    data = path.with_suffix(".bin")
    problem, first_digest, set_digest, num_first = "", "", None, 0
    length = int(sizes[0]) if len(sizes) and (sizes == sizes[0]).all() and read == count else None
    if data.is_file() and not data.is_symlink():
        size, width = data.stat().st_size, TYPES[code].itemsize
        wanted = int(sizes.sum()) * width
        if read == count and size != wanted:
            problem = f"the index counts {wanted} bytes, {data.name} has {size}"
        is_whole = bool(length) and not problem and size <= min(most, MAX_SET)
        num_first = min(len(sizes), FIRST_ITEMS)
        with data.open("rb") as file:
            items = (file.read(n * width) for n in sizes[: None if is_whole else num_first].tolist())
            first_digest, set_digest = _digests(items, is_whole=is_whole)
    return Items(
        path=name, format="MMIDIDX", num_items=int(count), length=length, first_digest=first_digest, num_first=num_first,
        set_digest=set_digest, problem=problem,
    )  # fmt: skip


def _digests(items: Iterable[bytes], *, is_whole: bool) -> tuple[str, str | None]:
    """sha256 of the first items, and sha256 of all items' digests in sorted order; None for items that are not the whole."""
    first, digests = hashlib.sha256(), list[bytes]()
    for item in items:
        if len(digests) < FIRST_ITEMS:
            first.update(item)
        digests.append(hashlib.sha256(item).digest())
    return first.hexdigest(), hashlib.sha256(b"".join(sorted(digests))).hexdigest() if is_whole else None


def numpy_items(path: Path, name: str, most: int) -> Items | None:
    """A .npy file of integer rows. OLMo's raw memmaps, which have no header, have no items either: None."""
    with path.open("rb") as file:
        if file.read(6) != b"\x93NUMPY":
            return None
        width = 2 if file.read(2)[:1] == b"\x01" else 4
        raw = file.read(width)
        if len(raw) < width:
            raise Unreadable("a .npy file that is cut off")
        length = int.from_bytes(raw, "little")
        if length > 65536:
            raise Unreadable("a .npy file with a header that is too long")
        try:
            header = ast.literal_eval(file.read(length).decode("latin-1"))
            dtype, shape = np.dtype(header["descr"]), tuple(int(n) for n in header["shape"])
        except (ValueError, SyntaxError, TypeError, KeyError, OverflowError, RecursionError, MemoryError):
            raise Unreadable("a .npy file with a malformed header") from None
        if dtype.kind not in "iu" or len(shape) != 2 or header.get("fortran_order") or min(shape) < 1:
            return None
        row = shape[1] * dtype.itemsize
        if path.stat().st_size < file.tell() + shape[0] * row:
            raise Unreadable(f"a .npy file that is cut off: {shape[0]} rows do not fit")
        is_whole = shape[0] * row <= min(most, MAX_SET)
        num_first = min(shape[0], FIRST_ITEMS)
        rows = islice(iter(lambda: file.read(row), b""), shape[0] if is_whole else num_first)
        first, whole = _digests(rows, is_whole=is_whole)
    return Items(
        path=name, format="npy", num_items=shape[0], length=shape[1], first_digest=first, num_first=num_first,
        set_digest=whole,
    )  # fmt: skip


def jsonl_items(path: Path, name: str, most: int) -> Items | None:
    """JSON lines of token ids (`token_ids` or `input_ids`); None for other lines."""
    lengths: set[int] = set()
    first = hashlib.sha256()
    digests = []
    number, complete = 0, True
    with path.open("rb") as file:
        read = 0
        while line := file.readline(2**22):
            read += len(line)
            if read > most or number >= 200_000:
                complete = False
                break
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                where = f"line {number + 1}" if number else "its first line"
                raise Unreadable(f"{where} is not JSON") from None
            tokens = entry.get("token_ids", entry.get("input_ids")) if isinstance(entry, dict) else None
            if not isinstance(tokens, list):
                return None
            written = json.dumps(tokens).encode()
            if number < FIRST_ITEMS:
                first.update(written)
            digests.append(hashlib.sha256(written).digest())
            lengths.add(len(tokens))
            number += 1
    if not number:
        return None
    whole = hashlib.sha256(b"".join(sorted(digests))).hexdigest() if complete else None
    return Items(
        path=name, format="jsonl", num_items=number, length=lengths.pop() if len(lengths) == 1 else None,
        first_digest=first.hexdigest(), num_first=min(number, FIRST_ITEMS), set_digest=whole,
    )  # fmt: skip
