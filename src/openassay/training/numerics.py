"""What two faithful trainings share, and in what they may differ: tokens, weights and numerics, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from openassay.training.mismatch import RecipeMismatch

Weights = Mapping[str, NDArray[np.floating[Any]]]
"""Parameters by transformers' names."""
Precision = Literal["fp32", "bf16", "fp16"]
Moments = dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Adam's first and second moment of each parameter."""
Items = NDArray[np.integer[Any]]
"""Token ids; shape (sequences, tokens of an item)."""


class Tokens(Protocol):
    """The sequences of a training, in its order."""

    def items(self, first: int, count: int) -> Items:
        """Sequences `first` to `first + count - 1` of the training; shape (count, item_length)."""
        ...


@dataclass(frozen=True, kw_only=True)
class Numerics:
    """How the arithmetic is done. None of it may matter to a faithful replay, beyond rounding."""

    precision: Precision | None = None
    """None for the recipe's."""
    micro_batch: int | None = None
    """Sequences of one forward pass; None for the whole batch. Fewer where so many do not fit into memory."""
    permuted: int | None = None
    """Seed by which the sequences of each batch change places."""
    threads: int = 1
    attention: Literal["sdpa", "eager"] = "sdpa"
    dropout_seed: int = 0
    """Matters only to a recipe with dropout: its masks are nobody's to match."""


@dataclass(frozen=True, kw_only=True)
class ContiguousTokens:
    """Sequences cut one after another from one long array of tokens, which may be a memory map."""

    tokens: Items
    item_length: int
    stride: int
    """Tokens from one sequence's start to the next one's: the item's length, or one less where inputs and labels overlap."""
    offset: int = 0

    def items(self, first: int, count: int) -> Items:
        """Sequences `first` to `first + count - 1`; `RecipeMismatch` beyond the end."""
        begin = self.offset + first * self.stride
        if begin + (count - 1) * self.stride + self.item_length > len(self.tokens):
            raise RecipeMismatch(f"the tokens end before sequence {first + count - 1}")
        return np.stack(
            [self.tokens[at : at + self.item_length] for at in range(begin, begin + count * self.stride, self.stride)]
        )

    def shifted(self, by: int) -> ContiguousTokens:
        """The same, cut `by` tokens later."""
        return replace(self, offset=self.offset + by)
