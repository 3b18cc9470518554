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
    printed_low: bool = False, bimodal: bool = False, noise_ratio: float = 1.0, test_size: int = 0,
) -> Rates:  # fmt: skip
    """Shares of verdicts when the recipe's mean is off by `shift` margins and the seed noise is `noise` margins.

    The margin is 1. num_published: trainings behind the published value; 0 for an exact one. tails: degrees of freedom of
    heavier tails than normal, scaled to the same standard deviation. printed_low: every published value was rounded down by
    half a unit, the worst case. bimodal: one seed in five lands 2.5 standard deviations below the others. noise_ratio: the
    reruns' seed noise over the published recipe's. test_size: values move in steps of 1/test_size margins.
    """

    def draw(count: int, scale: float = noise) -> np.ndarray:
        size = (num_audits, count)
        if bimodal:
            return scale * (0.5 - 2.5 * (rng.random(size) < 0.2))
        if tails is not None:
            return scale * rng.standard_t(tails, size) / np.sqrt(tails / (tails - 2))
        return scale * rng.standard_normal(size)

    published_runs = draw(max(num_published, 1)) * (num_published > 0)
    runs = shift + draw(num_reruns, noise * noise_ratio)
    if test_size:
        published_runs, runs = (np.round(values * test_size) / test_size for values in (published_runs, runs))
    published = published_runs.mean(axis=1)
    if rounding:
        offset = rng.uniform(0, rounding, num_audits)  # the true value lies anywhere between two printed ones
        published = np.round((published + offset) / rounding) * rounding - offset
    if printed_low:
        published = published_runs.mean(axis=1) + rounding / 2
    sd = published_runs.std(axis=1, ddof=1) if published_sd else None
    if sd is not None and rounding:
        sd = np.round(sd / rounding) * rounding
    found = difference(
        runs, published, num_runs=num_published or np.inf, published_sd=sd, rounding=rounding,
        resolution=1 / test_size if test_size else 0.0,
    )  # fmt: skip
    return Rates(
        reproduced=float(found.agrees(1.0, alpha).mean()), not_reproduced=float(found.differs(1.0, alpha).mean())
    )
