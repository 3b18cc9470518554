"""How is a language model trained whole, from first weights of its own, and what does it reach on items held out?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from openassay.training.language import LanguageRecipe
from openassay.training.lm import LanguageTraining
from openassay.training.mismatch import RecipeMismatch, TimeLimit
from openassay.training.numerics import Numerics, Tokens, Weights
from openassay.training.sequences import Items

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
    try:
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
                reached.append((point, mean_loss(training, held_out)))
        return Pretraining(losses=training.log().losses, held_out=tuple(reached))
    except torch.OutOfMemoryError as error:
        raise TooLarge(_first_line(error)) from None
    except (RuntimeError, ValueError, TypeError, IndexError) as error:  # as torch and transformers say it
        raise RecipeMismatch(f"recipe and tokens do not fit each other: {_first_line(error)}") from None


def loss_of(recipe: LanguageRecipe, weights: Weights, items: Items, *, numerics: Numerics, device: str) -> float:
    """Mean cross-entropy of a token under given weights, in nats."""
    try:
        return mean_loss(LanguageTraining(recipe, weights, numerics=numerics, device=device), items)
    except torch.OutOfMemoryError as error:
        raise TooLarge(_first_line(error)) from None
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise RecipeMismatch(f"weights and items do not fit each other: {_first_line(error)}") from None


def mean_loss(training: LanguageTraining, items: Items) -> float:
    """Mean cross-entropy of a token under the present weights, in nats."""
    size = training.numerics.micro_batch or training.recipe.batch_size
    return float(
        np.concatenate([training.sequence_losses(items[at : at + size]) for at in range(0, len(items), size)]).mean()
    )


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
