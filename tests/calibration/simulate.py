"""Many audits at once: draw a published value and reruns, and apply the shipped interval and decision to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from openassay.core.equivalence import difference


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Shares of simulated audits that came out each way."""

    reproduced: float
    not_reproduced: float

    @property
    def inconclusive(self) -> float:
        return 1 - self.reproduced - self.not_reproduced


def rates(
    rng: np.random.Generator, *, num_audits: int, num_reruns: int, num_published: int, noise: float, shift: float,
    alpha: float = 0.05, published_sd: bool = False, rounding: float = 0.0, tails: float | None = None,
) -> Rates:  # fmt: skip
    """Shares of verdicts when the recipe's mean is off by `shift` margins and the seed noise is `noise` margins.

    The margin is 1. num_published: trainings behind the published value; 0 for an exact one. tails: degrees of freedom of
    heavier tails than normal, scaled to the same standard deviation.
    """

    def draw(count: int) -> np.ndarray:
        if tails is None:
            return noise * rng.standard_normal((num_audits, count))
        return noise * rng.standard_t(tails, (num_audits, count)) / np.sqrt(tails / (tails - 2))

    published_runs = draw(max(num_published, 1)) * (num_published > 0)
    published = published_runs.mean(axis=1)
    if rounding:
        offset = rng.uniform(0, rounding, num_audits)  # the true value lies anywhere between two printed ones
        published = np.round((published + offset) / rounding) * rounding - offset
    sd = published_runs.std(axis=1, ddof=1) if published_sd else None
    found = difference(
        shift + draw(num_reruns), published, num_runs=num_published or np.inf, published_sd=sd, rounding=rounding
    )
    return Rates(
        reproduced=float(found.agrees(1.0, alpha).mean()), not_reproduced=float(found.differs(1.0, alpha).mean())
    )
