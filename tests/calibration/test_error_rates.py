"""A small slice of the calibration: the promised error rates hold, with limits from binomial quantiles."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from scipy import stats

from calibration.simulate import rates

NUM_AUDITS = 20_000
LIMIT = stats.binom.ppf(0.9999, NUM_AUDITS, 0.05) / NUM_AUDITS
"""What a rate of exactly 5 % exceeds in one of 10,000 slices."""


def rng(*key: object) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


@pytest.mark.parametrize("num_reruns", [2, 5, 10])
@pytest.mark.parametrize("num_published", [1, 5, 0])
@pytest.mark.parametrize("noise", [0.1, 0.25, 1.0])
def test_a_recipe_at_the_edge_is_rarely_called_either_way(num_reruns: int, num_published: int, noise: float) -> None:
    key = (num_reruns, num_published, noise)
    found = rates(
        rng(*key), num_audits=NUM_AUDITS, num_reruns=num_reruns, num_published=num_published, noise=noise, shift=1.0
    )
    assert found.reproduced <= LIMIT
    assert found.not_reproduced <= LIMIT


def test_a_published_mean_and_sd_keep_the_rate() -> None:
    found = rates(
        rng("sd"), num_audits=NUM_AUDITS, num_reruns=3, num_published=10, noise=0.3, shift=1.0, published_sd=True
    )
    assert 0.02 < found.reproduced <= LIMIT


def test_rounding_keeps_the_rate() -> None:
    found = rates(
        rng("round"), num_audits=NUM_AUDITS, num_reruns=5, num_published=1, noise=0.1, shift=1.0, rounding=0.5
    )
    assert found.reproduced <= LIMIT


def test_a_faithful_recipe_with_little_noise_is_recognised_and_a_shifted_one_too() -> None:
    same = {"num_audits": NUM_AUDITS, "num_reruns": 5, "num_published": 5, "noise": 0.25}
    assert rates(rng("power", 0), shift=0.0, **same).reproduced > 0.98
    assert rates(rng("power", 3), shift=3.0, **same).not_reproduced > 0.99


def test_ignoring_the_published_noise_would_break_the_promise() -> None:
    """Why the published value's own noise is in the interval: without it, this is the rate of false verdicts."""
    from openassay.core.equivalence import difference, lies_within

    generator = rng("ignored")
    published = 0.5 * generator.standard_normal(NUM_AUDITS)
    runs = 1.0 + 0.5 * generator.standard_normal((NUM_AUDITS, 10))
    low, high = difference(runs, published, num_runs=np.inf).interval(0.05)
    assert lies_within(low, high, 1.0).mean() > 2 * LIMIT
