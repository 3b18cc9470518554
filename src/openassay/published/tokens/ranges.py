"""Byte ranges of published files: which ones a part of a training needs, and where they come from.

A plan of byte ranges is computed before any token is fetched; a reader then asks for exactly those. `Bytes` answers: from local
files here, from a hub or a web server through whatever the caller gives.
"""

from __future__ import annotations

import glob
import re
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[np.int64]


class BadTokens(Exception):
    """A published token file is not what it should be: a finding about the release, in one line."""


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


class Batches(ABC):
    """A training's batches in their published order. A layout says where each item lies, and reads it."""

    batch_size: int

    @abstractmethod
    def __len__(self) -> int:
        """The number of items."""

    @abstractmethod
    def places(self, item: int) -> list[ByteRange]:
        """The bytes of an item of the training, in the order of its tokens."""

    @abstractmethod
    def row(self, item: int) -> Tokens:
        """The token ids of an item of the training. Raises `BadTokens` where the file holds something else."""

    @property
    def num_batches(self) -> int:
        """The number of whole batches."""
        return len(self) // self.batch_size

    def ranges(self, first: int, stop: int) -> list[ByteRange]:
        """The bytes that batches [first, stop) need, joined where they touch, in the files' order."""
        return joined(place for item in self._items(first, stop) for place in self.places(item))

    def batch(self, index: int) -> Tokens:
        """Token ids, (sequences, tokens of an item), in the order in which they are trained on."""
        return np.stack([self.row(item) for item in self._items(index, index + 1)])

    def _items(self, first: int, stop: int) -> range:
        if not 0 <= first <= stop <= self.num_batches:  # our caller's slip, not the release's
            raise ValueError(f"batches [{first}, {stop}) of {self.num_batches}")
        return range(first * self.batch_size, stop * self.batch_size)


def local(folder: Path) -> Bytes:
    """A reader of files under a folder. A file may be sparse, with only the ranges that were fetched at their places."""

    def read(wanted: ByteRange) -> bytes:
        try:
            with (folder / wanted.file).open("rb") as file:
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
    """A reader of files of which only spans are under a folder: `NAME` from its start, `NAME.bytes-START-STOP` from there."""
    here: dict[str, list[tuple[int, int, str]]] = {}

    def found(name: str) -> list[tuple[int, int, str]]:
        if name not in here:
            path = folder / name
            listed = path.parent.glob(f"{glob.escape(path.name)}*") if path.parent.is_dir() else []
            here[name] = sorted(filter(None, (_span(path.name, beside) for beside in listed)))
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
    """The size of a file under a folder, in bytes."""
    try:
        return (folder / name).stat().st_size
    except OSError as error:
        raise BadTokens(f"{name}: cannot be read: {error.strerror}") from None


def joined(ranges: Iterable[ByteRange]) -> list[ByteRange]:
    """The same bytes in fewer ranges: sorted, without overlap, joined where they touch."""
    found: list[ByteRange] = []
    for one in sorted(of for of in ranges if of.size):
        last = found[-1] if found else None
        if last and last.file == one.file and one.start <= last.stop:
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
