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
from pathlib import Path

import numpy as np
import numpy.typing as npt

from openassay.training.tokens.ranges import (
    BadTokens,
    ByteRange,
    Bytes,
    Parts,
    Tokens,
    check_span,
    in_parts,
    joined,
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
    documents: npt.NDArray[np.int64]
    """Boundaries: document k is sequences [k, k + 1)."""

    @property
    def num_tokens(self) -> int:
        """Of all sequences."""
        return int(self.sizes.sum(dtype=np.int64))

    @property
    def bin_bytes(self) -> int:
        """Where the last sequence ends: the least size of the `.bin`."""
        if not len(self.sizes):
            return 0
        return int((self.pointers + self.sizes.astype(np.int64) * self.dtype.itemsize).max())


def read_header(data: bytes, name: str) -> tuple[np.dtype[np.generic], int, int]:
    """Token type, number of sequences, number of boundaries; from the first 34 bytes."""
    if len(data) < HEADER.size:
        raise BadTokens(f"{name}: expected a header of {HEADER.size} bytes, found {len(data)}")
    magic, version, code, sequences, boundaries = HEADER.unpack(data[: HEADER.size])
    if magic != MAGIC:
        raise BadTokens(f"{name}: expected the magic {MAGIC!r}, found {magic!r}")
    if version != 1:
        raise BadTokens(f"{name}: expected version 1, found {version}")
    if code not in TYPES:
        raise BadTokens(f"{name}: expected a token type from 1 to 8, found the code {code}")
    if TYPES[code].kind == "f":
        raise BadTokens(f"{name}: expected token ids, found the type {TYPES[code].name}")
    if sequences > MOST_SEQUENCES or boundaries > MOST_SEQUENCES:
        raise BadTokens(f"{name}: expected at most {MOST_SEQUENCES} sequences, found {max(sequences, boundaries)}")
    return TYPES[code], sequences, boundaries


def index_ranges(header: bytes, name: str) -> ByteRange:
    """The whole `.idx` file, whose size follows from its header."""
    _, sequences, boundaries = read_header(header, name)
    return ByteRange(name, 0, HEADER.size + sequences * 12 + boundaries * 8)


def read_index(path: Path, bin_bytes: int | None = None) -> Index:
    """An `.idx` file; `BadTokens` for one that contradicts itself, or the size of its `.bin` where that is given."""
    read, name = local(path.parent), path.name
    size = size_of(path.parent, name)
    dtype, sequences, boundaries = read_header(read(ByteRange(name, 0, min(size, HEADER.size))), name)
    needed = HEADER.size + sequences * 12 + boundaries * 8
    if size != needed:
        raise BadTokens(
            f"{name}: expected {needed} bytes for {sequences} sequences and {boundaries} boundaries, found {size}"
        )
    at = HEADER.size
    sizes = np.fromfile(path, "<i4", sequences, offset=at)
    pointers = np.fromfile(path, "<i8", sequences, offset=at + sequences * 4)
    documents = np.fromfile(path, "<i8", boundaries, offset=at + sequences * 12)
    index = Index(name=name, dtype=dtype, sizes=sizes, pointers=pointers, documents=documents)
    _check(index, bin_bytes)
    return index


def _check(index: Index, bin_bytes: int | None) -> None:
    if len(index.sizes):
        if index.sizes.min() < 0:
            at = int(index.sizes.argmin())
            raise BadTokens(f"{index.name}: sequence {at}: expected a size of 0 or more, found {index.sizes[at]}")
        if index.pointers.min() < 0 or index.pointers.max() > 2**62:
            at = int(index.pointers.argmin() if index.pointers.min() < 0 else index.pointers.argmax())
            raise BadTokens(
                f"{index.name}: sequence {at}: expected an offset into the .bin, found {index.pointers[at]}"
            )
        if bin_bytes is not None and index.bin_bytes > bin_bytes:
            ends = index.pointers + index.sizes.astype(np.int64) * index.dtype.itemsize
            at = int((ends > bin_bytes).argmax())
            raise BadTokens(f"{index.name}: sequence {at}: ends at byte {ends[at]}, beyond the .bin's {bin_bytes}")
    boundaries = index.documents
    if len(boundaries) and (boundaries[0] < 0 or boundaries[-1] > len(index.sizes) or (np.diff(boundaries) < 0).any()):
        raise BadTokens(f"{index.name}: expected document boundaries from 0 up to {len(index.sizes)}, found others")


@dataclass(frozen=True, kw_only=True)
class Order:
    """Which tokens make which sample, in the order of training."""

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


def num_epochs(tokens: int, sequence_length: int, samples: int) -> int:
    """Passes over the documents until there are so many samples."""
    if tokens < 1:
        raise BadTokens("expected documents with tokens, found none")
    return max(1, -(-(samples * sequence_length + 1) // tokens))


def shuffled(
    sizes: npt.NDArray[np.int32],
    documents: npt.NDArray[np.int32] | Sequence[int],
    *,
    sequence_length: int,
    num_samples: int,
    seed: int,
) -> Order:
    """GPT-NeoX's order. `num_samples` is what the trainer asked for: it sets the number of epochs, and so the whole shuffle."""
    chosen = np.asarray(documents, dtype=np.int32)
    tokens = int(sizes[chosen].sum(dtype=np.int64))
    epochs = num_epochs(tokens, sequence_length, num_samples)
    generator = np.random.RandomState(seed=seed)
    order = np.tile(chosen, epochs)
    generator.shuffle(order)
    starts = np.zeros(len(order) + 1, dtype=np.int64)
    np.cumsum(sizes[order], out=starts[1:])
    total = (epochs * tokens - 1) // sequence_length
    kind = np.int64 if total >= np.iinfo(np.uint32).max - 1 else np.uint32
    samples = np.arange(total, dtype=kind)
    generator.shuffle(samples)
    return Order(documents=order, starts=starts, samples=samples.astype(np.int64), sequence_length=sequence_length)


def samples_asked(steps: int, batch_size: int, *, by_paths: bool, weight: float = 1.0) -> int:
    """Samples that GPT-NeoX v1.0 asks of a data set: with `train-data-paths` half a per cent more than are trained on."""
    wanted = steps * batch_size
    return math.ceil(wanted * weight * 1.005) if by_paths else wanted


def split_documents(split: str, num_documents: int) -> tuple[int, int, int, int]:
    """Where training, validation and test documents begin and end, from shares such as `969, 30, 1`."""
    parts = split.replace("/", ",").split(",")
    try:
        shares = ([float(part) for part in parts] + [0.0, 0.0])[:3]
    except ValueError:
        raise BadTokens(f"split: expected shares such as 969, 30, 1, found {split[:60]!r}") from None
    total = sum(shares)
    if not total > 0 or min(shares) < 0 or not math.isfinite(total):
        raise BadTokens(f"split: expected shares that are not all 0, found {split[:60]!r}")
    ends = [0]
    for share in shares:
        ends.append(ends[-1] + round(share / total * num_documents))
    off = ends[-1] - num_documents
    ends = [0, *(end - off for end in ends[1:])]
    return ends[0], ends[1], ends[2], ends[3]


@dataclass(frozen=True, kw_only=True)
class Shuffled:
    """Batches in GPT-NeoX's order over a `.bin`, which may be published in parts."""

    index: Index
    order: Order
    batch_size: int
    read: Bytes
    parts: Parts

    @property
    def num_batches(self) -> int:
        """Whole batches."""
        return len(self.order.samples) // self.batch_size

    def _pieces(self, sample: int) -> list[tuple[int, int]]:
        width = self.index.dtype.itemsize
        found = []
        for sequence, first, size in self.order.pieces(sample):
            start = int(self.index.pointers[sequence]) + first * width
            found.append((start, start + size * width))
        return found

    def ranges(self, first: int, stop: int) -> list[ByteRange]:
        """The bytes that batches [first, stop) need."""
        check_span(first, stop, self.num_batches)
        samples = range(first * self.batch_size, stop * self.batch_size)
        spans = (span for sample in samples for span in self._pieces(sample))
        return joined(part for start, end in spans for part in in_parts(self.parts, start, end))

    def batch(self, index: int) -> Tokens:
        """(batch_size, sequence_length + 1) token ids."""
        check_span(index, index + 1, self.num_batches)
        rows = []
        for sample in range(index * self.batch_size, (index + 1) * self.batch_size):
            parts = (part for start, end in self._pieces(sample) for part in in_parts(self.parts, start, end))
            rows.append(tokens_from(b"".join(self.read(part) for part in parts), self.index.dtype))
        return np.stack(rows)


@dataclass(frozen=True, kw_only=True)
class Preshuffled:
    """Items of equal length in the order of training: batch k is items [k x batch, (k + 1) x batch).

    Pythia's have 2,049 uint16 tokens. The file may be cut into parts, each named with its size in bytes, in order; an item, or a
    token, may lie across two.
    """

    parts: Parts
    item_length: int
    batch_size: int
    read: Bytes
    dtype: np.dtype[np.generic] = UINT16
    num_items: int | None = None
    """As an `.idx` says; None for as many as there are bytes for."""

    def __post_init__(self) -> None:
        size, item = sum(size for _, size in self.parts), self.item_length * self.dtype.itemsize
        if self.num_items is None and size % item:
            raise BadTokens(
                f"{self._names()}: expected items of {self.item_length} tokens ({item} bytes), found {size} bytes"
            )
        if self.num_items is not None and self.num_items * item > size:
            raise BadTokens(
                f"{self._names()}: expected {self.num_items} items ({self.num_items * item} bytes), found {size} bytes"
            )

    def _names(self) -> str:
        first, last = self.parts[0][0] if self.parts else "no file", self.parts[-1][0] if self.parts else ""
        return first if len(self.parts) < 2 else f"{first} to {last}"

    @property
    def num_batches(self) -> int:
        """Whole batches."""
        items = self.num_items
        if items is None:
            items = sum(size for _, size in self.parts) // (self.item_length * self.dtype.itemsize)
        return items // self.batch_size

    def ranges(self, first: int, stop: int) -> list[ByteRange]:
        """The bytes that batches [first, stop) need: one run, cut at the parts' ends."""
        check_span(first, stop, self.num_batches)
        width = self.batch_size * self.item_length * self.dtype.itemsize
        return in_parts(self.parts, first * width, stop * width)

    def batch(self, index: int) -> Tokens:
        """(batch_size, item_length) token ids."""
        data = b"".join(self.read(part) for part in self.ranges(index, index + 1))
        return tokens_from(data, self.dtype).reshape(self.batch_size, self.item_length)


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
