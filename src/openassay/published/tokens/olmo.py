"""OLMo's token files: raw token ids without a header, though they are named `.npy`; each is cut into sequences, its rest dropped.

The published order (olmo/data/iterable_dataset.py), of the first epoch: the sequences of all files, in the order of the
configuration, are numbered; the numbers are shuffled by Generator(PCG64(seed)). A batch is the next `global_train_batch_size` of
them; what `drop_last` and the number of devices change comes after the last whole batch.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from openassay.published.tokens.ranges import BadTokens, Batches, ByteRange, Bytes, Tokens, tokens_from

UINT16 = np.dtype("<u2")


def shuffled(num_sequences: int, *, seed: int) -> npt.NDArray[np.uint32]:
    """The numbers of the sequences in the order of training."""
    if not 0 < num_sequences < np.iinfo(np.uint32).max:
        raise BadTokens(f"expected from 1 to {np.iinfo(np.uint32).max - 1} sequences, found {num_sequences}")
    indices = np.arange(num_sequences, dtype=np.uint32)
    np.random.Generator(np.random.PCG64(seed=seed)).shuffle(indices)
    return indices


@dataclass(frozen=True, kw_only=True)
class Memmaps(Batches):
    """Batches over OLMo's files, each named with its size in bytes."""

    files: tuple[tuple[str, int], ...]
    sequence_length: int
    batch_size: int
    read: Bytes
    seed: int
    dtype: np.dtype[np.generic] = UINT16
    _ends: list[int] = field(init=False, repr=False, default_factory=list)
    """Sequences up to the end of each file."""
    _order: npt.NDArray[np.uint32] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        width, total = self.dtype.itemsize, 0
        for name, size in self.files:
            if size % width:
                raise BadTokens(
                    f"{name}: expected token ids of {width} bytes, found {size} bytes, {size % width} too many"
                )
            total += size // (width * self.sequence_length)
            self._ends.append(total)
        object.__setattr__(self, "_order", shuffled(total, seed=self.seed))

    def __len__(self) -> int:
        return len(self._order)

    def places(self, item: int) -> list[ByteRange]:
        """The bytes of an item."""
        sequence = int(self._order[item])
        file = bisect_right(self._ends, sequence)
        before = self._ends[file - 1] if file else 0
        width = self.sequence_length * self.dtype.itemsize
        start = (sequence - before) * width
        return [ByteRange(self.files[file][0], start, start + width)]

    def row(self, item: int) -> Tokens:
        """The `sequence_length` token ids of an item."""
        return tokens_from(self.read(self.places(item)[0]), self.dtype)
