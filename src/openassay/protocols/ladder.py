"""A ladder: a model's published loss beside smaller models of the same recipe. A sanity check, never a verdict.

A power law through a few small models misses the next one by more than the seeds' noise: its form is the error. So the band
around the prediction is the spread of several forms, and even a value outside it only asks for a closer look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

LABEL = "sanity only"
FEWEST = 3


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """What a fitted ladder says of one model."""

    predicted: float
    low: float
    high: float
    """Over the forms, in nats; their spread, not a confidence interval."""
    published: float
    label: str = LABEL

    @property
    def in_line(self) -> bool:
        """Whether the published loss lies between the forms, or no further outside than they are apart."""
        width = self.high - self.low
        return self.low - width <= self.published <= self.high + width


def ladder(sizes: Sequence[float], losses: Sequence[float], size: float, published: float) -> Ladder:
    """Predict the loss of `size` parameters (not embeddings) from smaller members of a family; three at least.

    Forms: log loss linear in log size over all members and without the smallest; with four members also E + A size^-a.
    """
    n, loss = (np.asarray(values, dtype=float) for values in (sizes, losses))
    if len(n) != len(loss) or len(set(n.tolist())) < FEWEST:
        raise ValueError(f"a ladder needs {FEWEST} members of different size at least")
    order = np.argsort(n)
    n, loss = n[order], loss[order]
    predictions = [_power(n[drop:], loss[drop:], size) for drop in ((0, 1) if len(n) > FEWEST else (0,))]
    predictions.append(_power(n[-2:], loss[-2:], size))
    if len(n) > FEWEST:
        x = np.log(n / n.mean())

        def misfit(parameters: np.ndarray) -> np.ndarray:
            least, height, slope = np.exp(parameters)
            return np.asarray(least + height * np.exp(-slope * x) - loss)

        fit = scipy.optimize.least_squares(misfit, np.log([loss.min() / 2, loss.max() / 2, 0.1]))
        least, height, slope = np.exp(fit.x)
        predictions.append(float(least + height * (size / n.mean()) ** -slope))
    return Ladder(
        predicted=float(np.median(predictions)), low=min(predictions), high=max(predictions), published=published
    )


def _power(n: np.ndarray, loss: np.ndarray, size: float) -> float:
    slope, height = np.polyfit(np.log(n), np.log(loss), 1)
    return float(np.exp(height + slope * np.log(size)))
