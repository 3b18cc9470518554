"""OLMo's token files: raw token ids without a header, though they are named `.npy`; each is cut into sequences, its rest dropped.

The published order (olmo/data/iterable_dataset.py): the sequences of all files, in the order of the configuration, are numbered;
the numbers are shuffled by Generator(PCG64(seed + epoch)); with `drop_last` they are cut to a multiple of the number of devices,
else filled up from the start. A batch is the next `global_train_batch_size` of them; how it is dealt to devices matters not here.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from openassay.training.tokens.ranges import BadTokens, ByteRange, Bytes, Tokens, check_span, joined, tokens_from

UINT16 = np.dtype("<u2")
NPY_MAGIC = b"\x93NUMPY"


def shuffled(
    num_sequences: int, *, seed: int, epoch: int = 0, world_size: int = 1, drop_last: bool = True
) -> npt.NDArray[np.uint32]:
    """The numbers of the sequences in the order of training."""
    if not 0 < num_sequences < np.iinfo(np.uint32).max:
        raise BadTokens(f"expected from 1 to {np.iinfo(np.uint32).max - 1} sequences, found {num_sequences}")
    indices = np.arange(num_sequences, dtype=np.uint32)
    np.random.Generator(np.random.PCG64(seed=seed + epoch)).shuffle(indices)
    if drop_last:
        return indices[: num_sequences // world_size * world_size]
    return np.resize(indices, math.ceil(num_sequences / world_size) * world_size)


@dataclass(frozen=True, kw_only=True)
class Memmaps:
    """Batches over OLMo's files, each named with its size in bytes."""

    files: tuple[tuple[str, int], ...]
    sequence_length: int
    batch_size: int
    read: Bytes
    seed: int
    epoch: int = 0
    world_size: int = 1
    drop_last: bool = True
    dtype: np.dtype[np.generic] = UINT16
    _ends: list[int] = field(init=False, repr=False)
    _order: npt.NDArray[np.uint32] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        width = self.dtype.itemsize
        ends, total = [], 0
        for name, size in self.files:
            if size % width:
                raise BadTokens(
                    f"{name}: expected token ids of {width} bytes, found {size} bytes, {size % width} too many"
                )
            total += size // (width * self.sequence_length)
            ends.append(total)
        object.__setattr__(self, "_ends", ends)
        order = shuffled(total, seed=self.seed, epoch=self.epoch, world_size=self.world_size, drop_last=self.drop_last)
        object.__setattr__(self, "_order", order)

    @property
    def num_batches(self) -> int:
        """Whole batches of the epoch."""
        return len(self._order) // self.batch_size

    def place(self, sequence: int) -> ByteRange:
        """Where a sequence lies."""
        file = bisect_right(self._ends, sequence)
        before = self._ends[file - 1] if file else 0
        width = self.sequence_length * self.dtype.itemsize
        start = (sequence - before) * width
        return ByteRange(self.files[file][0], start, start + width)

    def _places(self, first: int, stop: int) -> list[ByteRange]:
        return [self.place(int(at)) for at in self._order[first * self.batch_size : stop * self.batch_size]]

    def ranges(self, first: int, stop: int) -> list[ByteRange]:
        """The bytes that batches [first, stop) need."""
        check_span(first, stop, self.num_batches)
        return joined(self._places(first, stop))

    def batch(self, index: int) -> Tokens:
        """(batch_size, sequence_length) token ids."""
        check_span(index, index + 1, self.num_batches)
        return np.stack([tokens_from(self.read(place), self.dtype) for place in self._places(index, index + 1)])


def check_raw(data: bytes, name: str) -> None:
    """A file of this kind has no header: one that begins as numpy's own would be read shifted."""
    if data.startswith(NPY_MAGIC):
        raise BadTokens(f"{name}: expected raw token ids, found numpy's own header: the tokens begin after it")
