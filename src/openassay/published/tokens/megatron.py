"""Megatron's memory-mapped data sets (`.bin` and `.idx`), as GPT-NeoX trains on them; and Pythia's preshuffled form.

`.idx`: magic `MMIDIDX\\0\\0`, version 1 (uint64), the token type's code (uint8), the number of sequences and of document
boundaries (uint64 each), then sizes (int32), byte offsets into the `.bin` (int64) and document boundaries (int64), all
little-endian.

The published order (GPT-NeoX, megatron/data/gpt2_dataset.py): with one RandomState(seed) the documents of all epochs are shuffled
together, laid end to end and cut every `sequence_length` tokens into samples of one token more; then the samples are shuffled.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import numpy.typing as npt

from openassay.published.tokens.ranges import (
    BadTokens,
    Batches,
    ByteRange,
    Bytes,
    Parts,
    Tokens,
    in_parts,
    local,
    size_of,
    tokens_from,
)

MAGIC = b"MMIDIDX\x00\x00"
HEADER = struct.Struct("<9sQBQQ")
TYPES: dict[int, np.dtype[np.generic]] = {
    code: np.dtype(name)
    for code, name in ((1, "u1"), (2, "i1"), (3, "<i2"), (4, "<i4"), (5, "<i8"), (6, "<f4"), (7, "<f8"), (8, "<u2"))
}
"""GPT-NeoX's codes; 6 and 7 are no token ids."""
MOST_SEQUENCES = 2**40
MOST_DOCUMENTS = 2**30
"""Of all epochs together, which are shuffled in memory."""
UINT16 = np.dtype("<u2")


@dataclass(frozen=True, kw_only=True)
class Index:
    """What an `.idx` file says: where each sequence lies in the `.bin`."""

    name: str
    dtype: np.dtype[np.generic]
    sizes: npt.NDArray[np.int32]
    """Tokens of each sequence."""
    pointers: npt.NDArray[np.int64]
    """Bytes from the `.bin`'s start."""

    @property
    def ends(self) -> npt.NDArray[np.int64]:
        """The end of each sequence in the `.bin`, in bytes."""
        return self.pointers + self.sizes.astype(np.int64) * self.dtype.itemsize


def read_index(path: Path, bin_bytes: int | None = None) -> Index:
    """Read an `.idx` file. Raises `BadTokens` where it contradicts itself, or the size of its `.bin` if that is given."""
    name, size = path.name, size_of(path.parent, path.name)
    dtype, sequences, boundaries = _read_header(local(path.parent)(ByteRange(name, 0, min(size, HEADER.size))), name)
    needed = HEADER.size + sequences * 12 + boundaries * 8
    if size != needed:
        raise BadTokens(
            f"{name}: expected {needed} bytes for {sequences} sequences and {boundaries} boundaries, found {size}"
        )
    sizes = np.fromfile(path, "<i4", sequences, offset=HEADER.size)
    pointers = np.fromfile(path, "<i8", sequences, offset=HEADER.size + sequences * 4)
    documents = np.fromfile(path, "<i8", boundaries, offset=HEADER.size + sequences * 12)
    _check(name, sizes, sizes < 0, "a size of 0 or more")
    _check(name, pointers, (pointers < 0) | (pointers > 2**62), "an offset into the .bin")
    index = Index(name=name, dtype=dtype, sizes=sizes, pointers=pointers)
    if bin_bytes is not None:
        _check(name, index.ends, index.ends > bin_bytes, f"an end up to byte {bin_bytes}, the .bin's last")
    if len(documents) and (documents[0] < 0 or documents[-1] > sequences or (np.diff(documents) < 0).any()):
        raise BadTokens(f"{name}: expected document boundaries from 0 up to {sequences}, found others")
    return index


def _read_header(data: bytes, name: str) -> tuple[np.dtype[np.generic], int, int]:
    """Token type, number of sequences, number of boundaries; from the first 34 bytes."""
    if len(data) < HEADER.size:
        raise BadTokens(f"{name}: expected a header of {HEADER.size} bytes, found {len(data)}")
    magic, version, code, sequences, boundaries = HEADER.unpack(data)
    if magic != MAGIC:
        raise BadTokens(f"{name}: expected the magic {MAGIC!r}, found {magic!r}")
    if version != 1:
        raise BadTokens(f"{name}: expected version 1, found {version}")
    if code not in TYPES:
        raise BadTokens(f"{name}: expected a token type from 1 to 8, found the code {code}")
    if TYPES[code].kind == "f":
        raise BadTokens(f"{name}: expected token ids, found the type {TYPES[code].name}")
    if max(sequences, boundaries) > MOST_SEQUENCES:
        raise BadTokens(f"{name}: expected at most {MOST_SEQUENCES} sequences, found {max(sequences, boundaries)}")
    return TYPES[code], sequences, boundaries


def _check(name: str, values: npt.NDArray[np.generic], wrong: npt.NDArray[np.bool_], expected: str) -> None:
    """Raise `BadTokens` for the first sequence whose value is wrong."""
    if wrong.any():
        at = int(wrong.argmax())
        raise BadTokens(f"{name}: sequence {at}: expected {expected}, found {values[at]}")


@dataclass(frozen=True, kw_only=True)
class Order:
    """The tokens of each sample, in the order of training."""

    documents: npt.NDArray[np.int32]
    """All epochs' documents, shuffled together."""
    starts: npt.NDArray[np.int64]
    """Where each of these documents begins in the flow of tokens; one more for the end."""
    samples: npt.NDArray[np.int64]
    """Sample k of the training is this one of the flow."""
    sequence_length: int

    def pieces(self, sample: int) -> list[tuple[int, int, int]]:
        """Sample k of the training as (sequence of the `.bin`, first token, tokens)."""
        at = int(self.samples[sample]) * self.sequence_length
        end = at + self.sequence_length + 1
        here = int(np.searchsorted(self.starts, at, side="right")) - 1
        found = []
        while at < end:
            size = min(end, int(self.starts[here + 1])) - at
            if size:
                found.append((int(self.documents[here]), at - int(self.starts[here]), size))
            at += size
            here += 1
        return found


def shuffled(
    sizes: npt.NDArray[np.int32], documents: Sequence[int], *, sequence_length: int, num_samples: int, seed: int
) -> Order:
    """GPT-NeoX's order. `num_samples` is what the trainer asked for: it sets the number of epochs, and so the whole shuffle."""
    chosen = np.asarray(documents, dtype=np.int32)
    tokens = int(sizes[chosen].sum(dtype=np.int64))
    if tokens < 1:
        raise BadTokens("expected documents with tokens, found none")
    epochs = max(1, -(-(num_samples * sequence_length + 1) // tokens))
    if epochs * len(chosen) > MOST_DOCUMENTS:
        raise BadTokens(
            f"expected tokens for {num_samples} samples, found {tokens}: {epochs} epochs of {len(chosen)} documents are needed"
        )
    generator = np.random.RandomState(seed=seed)
    order = np.tile(chosen, epochs)
    generator.shuffle(order)
    starts = np.zeros(len(order) + 1, dtype=np.int64)
    np.cumsum(sizes[order], out=starts[1:])
    total = (epochs * tokens - 1) // sequence_length
    samples = np.arange(total, dtype=np.int64 if total >= np.iinfo(np.uint32).max - 1 else np.uint32)
    generator.shuffle(samples)
    return Order(documents=order, starts=starts, samples=samples.astype(np.int64), sequence_length=sequence_length)


def samples_asked(steps: int, batch_size: int, *, by_paths: bool) -> int:
    """Samples that GPT-NeoX v1.0 asks of a data set: with `train-data-paths` half a per cent more than are trained on."""
    wanted = steps * batch_size
    return math.ceil(wanted * 1.005) if by_paths else wanted


def split_documents(split: str, num_documents: int) -> tuple[int, int, int, int]:
    """Where training, validation and test documents begin and end, from shares such as `969, 30, 1`."""
    try:
        shares = [*map(float, split.replace("/", ",").split(",")), 0.0, 0.0][:3]
    except ValueError:
        raise BadTokens(f"split: expected shares such as 969, 30, 1, found {split[:60]!r}") from None
    total = sum(shares)
    if not total > 0 or min(shares) < 0 or not math.isfinite(total):
        raise BadTokens(f"split: expected shares that are not all 0, found {split[:60]!r}")
    ends = list(accumulate(round(share / total * num_documents) for share in shares))
    off = ends[-1] - num_documents  # of rounding
    return 0, ends[0] - off, ends[1] - off, num_documents


@dataclass(frozen=True, kw_only=True)
class Shuffled(Batches):
    """Batches in GPT-NeoX's order over a `.bin`, which may be published in parts."""

    index: Index
    order: Order
    batch_size: int
    read: Bytes
    parts: Parts

    def __len__(self) -> int:
        return len(self.order.samples)

    def places(self, item: int) -> list[ByteRange]:
        """The bytes of a sample, from one document or several."""
        width, pointers = self.index.dtype.itemsize, self.index.pointers
        return [
            part
            for sequence, first, size in self.order.pieces(item)
            for start in [int(pointers[sequence]) + first * width]
            for part in in_parts(self.parts, start, start + size * width)
        ]

    def row(self, item: int) -> Tokens:
        """The `sequence_length` + 1 token ids of a sample."""
        return tokens_from(b"".join(map(self.read, self.places(item))), self.index.dtype)


@dataclass(frozen=True, kw_only=True)
class Preshuffled(Batches):
    """Items of equal length in the order of training: batch k is items [k x batch, (k + 1) x batch).

    Pythia's have 2,049 uint16 tokens. The file may be cut into parts, each named with its size in bytes, in order; an item, or a
    token, may lie across two.
    """

    parts: Parts
    item_length: int
    batch_size: int
    read: Bytes
    dtype: np.dtype[np.generic] = UINT16
    num_items: int
    """As an `.idx` says, or as many as there are bytes for."""

    def __post_init__(self) -> None:
        size, needed = sum(size for _, size in self.parts), self.num_items * self._width
        if needed > size:
            names = " to ".join(dict.fromkeys([self.parts[0][0], self.parts[-1][0]])) if self.parts else "no file"
            raise BadTokens(f"{names}: expected {self.num_items} items ({needed} bytes), found {size} bytes")

    @property
    def _width(self) -> int:
        """Bytes of an item."""
        return self.item_length * self.dtype.itemsize

    def __len__(self) -> int:
        return self.num_items

    def places(self, item: int) -> list[ByteRange]:
        """The bytes of an item, cut at the parts' ends."""
        return in_parts(self.parts, item * self._width, (item + 1) * self._width)

    def row(self, item: int) -> Tokens:
        """The `item_length` token ids of an item."""
        return tokens_from(b"".join(map(self.read, self.places(item))), self.dtype)

    def ranges(self, first: int, stop: int) -> list[ByteRange]:
        """The bytes that batches [first, stop) need: one run, cut at the parts' ends."""
        items = self._items(first, stop)
        return in_parts(self.parts, items.start * self._width, items.stop * self._width)


def preshuffled(index: Index, parts: Parts, batch_size: int, read: Bytes) -> Preshuffled:
    """Preshuffled items from their `.idx`: all of one length, one after another."""
    lengths = np.unique(index.sizes)
    if len(lengths) != 1:
        raise BadTokens(f"{index.name}: expected items of one length, found {len(lengths)} different lengths")
    length = int(lengths[0])
    step = length * index.dtype.itemsize
    wrong = index.pointers != np.arange(len(index.sizes), dtype=np.int64) * step
    if wrong.any():
        at = int(wrong.argmax())
        raise BadTokens(
            f"{index.name}: item {at}: expected at byte {at * step}, one after another, found at {index.pointers[at]}"
        )
    return Preshuffled(
        parts=parts, item_length=length, batch_size=batch_size, read=read, dtype=index.dtype,
        num_items=len(index.sizes),
    )  # fmt: skip
