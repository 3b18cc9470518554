"""Which bytes of which published files does a part of a training need, and where do they come from?

A plan of byte ranges is computed before any token is fetched; a reader then asks for exactly those. `Bytes` answers: from local
files here, from a hub or a web server through whatever the caller gives.
"""

from __future__ import annotations

import glob
import hashlib
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[np.int64]


class BadTokens(Exception):
    """A published token file is not what it says it is: a finding about the release, in one line."""


@dataclass(frozen=True, order=True)
class ByteRange:
    """Bytes [start, stop) of one of a release's files."""

    file: str
    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.stop:
            raise ValueError(f"[{self.start}, {self.stop}) is no range of bytes")

    @property
    def size(self) -> int:
        """Bytes."""
        return self.stop - self.start


Bytes = Callable[[ByteRange], bytes]
"""Gives exactly the bytes of a range, or raises BadTokens when the file ends before."""


class Batches(Protocol):
    """A training's batches in their published order."""

    @property
    def num_batches(self) -> int:
        """Whole batches."""

    def ranges(self, first: int, stop: int) -> list[ByteRange]:
        """The bytes that batches [first, stop) need, joined where they touch, in the files' order."""

    def batch(self, index: int) -> Tokens:
        """Token ids, (sequences, tokens of an item), in the order in which they are trained on."""


def local(folder: Path) -> Bytes:
    """Bytes of files under a folder. A file may be sparse, with only the ranges that were fetched at their places."""

    def read(wanted: ByteRange) -> bytes:
        path = folder / wanted.file
        try:
            with path.open("rb") as file:
                file.seek(wanted.start)
                found = file.read(wanted.size)
        except OSError as error:
            raise BadTokens(f"{wanted.file}: cannot be read: {error.strerror}") from None
        if len(found) != wanted.size:
            raise BadTokens(
                f"{wanted.file}: expected bytes [{wanted.start}, {wanted.stop}), found {wanted.start + len(found)} bytes in all"
            )
        return found

    return read


def spans(folder: Path) -> Bytes:
    """Bytes of files of which only spans are under a folder: `NAME` from its start, `NAME.bytes-START-STOP` from there."""
    here: dict[str, list[tuple[int, int, str]]] = {}

    def found(name: str) -> list[tuple[int, int, str]]:
        if name not in here:
            beside = (folder / name).parent
            listed = sorted(beside.glob(f"{glob.escape(Path(name).name)}*")) if beside.is_dir() else []
            here[name] = sorted(filter(None, (_span(Path(name).name, path) for path in listed)))
        return here[name]

    def read(wanted: ByteRange) -> bytes:
        known = found(wanted.file)
        at = bisect_right(known, wanted.start, key=lambda one: one[0])
        for start, stop, name in reversed(known[:at]):
            if wanted.stop <= stop:
                part = str(Path(wanted.file).with_name(name))
                return local(folder)(ByteRange(part, wanted.start - start, wanted.stop - start))
        raise BadTokens(f"{wanted.file}: expected bytes [{wanted.start}, {wanted.stop}), and they were not fetched")

    return read


def _span(name: str, path: Path) -> tuple[int, int, str] | None:
    if path.name == name:
        return 0, path.stat().st_size, name
    found = re.fullmatch(re.escape(name) + r"\.bytes-([0-9]{1,18})-([0-9]{1,18})", path.name)
    return (int(found[1]), int(found[2]), path.name) if found else None


def size_of(folder: Path, name: str) -> int:
    """Bytes of a file under a folder."""
    try:
        return (folder / name).stat().st_size
    except OSError as error:
        raise BadTokens(f"{name}: cannot be read: {error.strerror}") from None


def joined(ranges: Iterable[ByteRange], gap: int = 0) -> list[ByteRange]:
    """The same bytes in fewer ranges: sorted, without overlap, joined where at most `gap` bytes lie between."""
    found: list[ByteRange] = []
    for one in sorted(ranges):
        if one.size == 0:
            continue
        last = found[-1] if found else None
        if last and last.file == one.file and one.start <= last.stop + gap:
            found[-1] = ByteRange(last.file, last.start, max(last.stop, one.stop))
        else:
            found.append(one)
    return found


Parts = Sequence[tuple[str, int]]
"""A large file that is published in parts: their names and sizes in bytes, in order."""


def in_parts(parts: Parts, start: int, stop: int) -> list[ByteRange]:
    """Bytes [start, stop) of the whole file, as ranges of its parts."""
    found, at = [], 0
    for name, size in parts:
        low, high = max(start, at), min(stop, at + size)
        if low < high:
            found.append(ByteRange(name, low - at, high - at))
        at += size
    if stop > at:
        raise BadTokens(
            f"{parts[0][0] if parts else 'no file'}: expected {stop} bytes in {len(parts)} parts, found {at}"
        )
    return found


def tokens_from(data: bytes, dtype: np.dtype[np.generic]) -> Tokens:
    """Stored token ids, little-endian, as int64."""
    return np.frombuffer(data, dtype=dtype.newbyteorder("<")).astype(np.int64)


def check_span(first: int, stop: int, num_batches: int) -> None:
    """Our caller's slip, not the release's."""
    if not 0 <= first <= stop <= num_batches:
        raise ValueError(f"batches [{first}, {stop}) of {num_batches}")


def in_order(batches: Batches, first: int, stop: int) -> Iterator[Tokens]:
    """Batches [first, stop)."""
    check_span(first, stop, batches.num_batches)
    for index in range(first, stop):
        yield batches.batch(index)


def order_witness(batches: Iterable[Tokens]) -> str:
    """A fingerprint of an order: sha256 over the batches' token ids, one after another, as little-endian uint32.

    Two readers of the same release that agree on it have read the same tokens in the same order; it does not depend on how the
    tokens are stored. Shapes are no part of it: only the flow of tokens is.
    """
    digest = hashlib.sha256()
    for batch in batches:
        if batch.size and (batch.min() < 0 or batch.max() > 0xFFFFFFFF):
            raise BadTokens(f"expected token ids from 0 to {0xFFFFFFFF}, found {batch.min()} to {batch.max()}")
        digest.update(np.ascontiguousarray(batch, dtype="<u4").tobytes())
    return digest.hexdigest()
