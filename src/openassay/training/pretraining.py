"""A language model's whole training, from first weights of its own, and what it reaches on items held out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openassay.training.language import LanguageRecipe
from openassay.training.lm import LanguageTraining
from openassay.training.mismatch import TimeLimit, mismatches
from openassay.training.numerics import Items, Numerics, Tokens, Weights

TOGETHER = 64
"""Updates between two looks at the clock."""
LOST = 16
"""So many losses in a row that are no number: the weights are lost. A few may be fp16's, whose update is left out."""


class TooLarge(Exception):
    """The training does not fit into the device's memory: our machine's limit, and nothing of the release's."""


@dataclass(frozen=True, kw_only=True)
class Pretraining:
    """What a training gave."""

    losses: NDArray[np.float64]
    """Mean cross-entropy of each update's batch, in nats; as many as updates, fewer where the weights were lost on the way."""
    held_out: tuple[tuple[int, float], ...]
    """(step, mean cross-entropy of a held-out token, in nats)."""


def pretrain(
    recipe: LanguageRecipe, weights: Weights, tokens: Tokens, held_out: Items | None, *, points: Sequence[int],
    numerics: Numerics, device: str, deadline: float,
) -> Pretraining:  # fmt: skip
    """Train up to the last of `points` (increasing steps) and measure the held-out items at each.

    Raises `TimeLimit` after `deadline` (of `time.monotonic`), `TooLarge`, or `RecipeMismatch` where recipe and tokens do not fit.
    """
    with mismatches("recipe and tokens", TooLarge):
        training = LanguageTraining(recipe, weights, numerics=numerics, device=device)
        reached = []
        for point in points:
            while training.step < point:
                if time.monotonic() > deadline:
                    raise TimeLimit
                training.advance(tokens, min(point, training.step + TOGETHER))
            if not np.isfinite(training.log().losses[-LOST:]).any():
                break
            if held_out is not None:
                reached.append((point, _mean_loss(training, held_out)))
        return Pretraining(losses=training.log().losses, held_out=tuple(reached))


def loss_of(recipe: LanguageRecipe, weights: Weights, items: Items, *, numerics: Numerics, device: str) -> float:
    """Mean cross-entropy of a token under given weights, in nats. Raises as `pretrain`."""
    with mismatches("weights and items", TooLarge):
        return _mean_loss(LanguageTraining(recipe, weights, numerics=numerics, device=device), items)


def _mean_loss(training: LanguageTraining, items: Items) -> float:
    size = training.numerics.micro_batch or training.recipe.batch_size
    losses = [training.sequence_losses(items[at : at + size]) for at in range(0, len(items), size)]
    return float(np.concatenate(losses).mean())
