"""The sequences of a training: changes of their order and content, and a search for those that it should not see."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openassay.training.numerics import Items, Tokens

RUN = 4
"""A run of tokens as long as an item's RUN-th part is no chance."""


@dataclass(frozen=True)
class Rearranged(ABC):
    """The same sequences at other places."""

    tokens: Tokens

    @abstractmethod
    def place(self, at: int) -> int:
        """Which of `tokens` is sequence `at`."""

    def items(self, first: int, count: int) -> Items:
        """As `Tokens.items`."""
        return np.concatenate([self.tokens.items(self.place(at), 1) for at in range(first, first + count)])


@dataclass(frozen=True)
class Reordered(Rearranged):
    """The same sequences in the given order."""

    order: NDArray[np.integer[Any]]

    def place(self, at: int) -> int:
        """As `Rearranged.place`."""
        return int(self.order[at])


@dataclass(frozen=True, kw_only=True)
class Scrambled:
    """The tokens of each sequence change places: all that is left to learn is how frequent they are."""

    tokens: Tokens
    seed: int

    def items(self, first: int, count: int) -> Items:
        """As `Tokens.items`."""
        return np.random.default_rng([self.seed, 20, first]).permuted(self.tokens.items(first, count), axis=1)


def trained_on(held_out: Items, tokens: Tokens, num_items: int, at_once: int) -> int | None:
    """The first held-out item that is among the `num_items` sequences of a training; None for none.

    One counts when half of its tokens or more stand in runs of a quarter item that are trained on, wherever these begin: an item
    that was cut elsewhere from the same text is found, and a boilerplate paragraph is no hit.
    """
    num, length = held_out.shape
    width = max(1, length // RUN)
    weights = np.random.default_rng(0).integers(2**63, size=width, dtype=np.uint64) * 2 + 1  # a linear hash modulo 2^64
    windows = np.lib.stride_tricks.sliding_window_view(held_out.astype(np.uint64), width, axis=1)
    known, place = np.unique(windows @ weights, return_index=True)
    covered = np.zeros((num, length), dtype=bool)
    for first in range(0, num_items, at_once):
        rows = tokens.items(first, min(at_once, num_items - first)).astype(np.uint64)
        blocks = rows[:, : rows.shape[1] // width * width].reshape(-1, width) @ weights
        at = np.searchsorted(known, blocks) % len(known)
        hits = place[at[known[at] == blocks]]
        for hit in hits:
            item, offset = divmod(int(hit), windows.shape[1])
            covered[item, offset : offset + width] = True
        if len(hits) and (seen := covered.mean(axis=1) >= 0.5).any():
            return int(seen.argmax())
    return None
