"""The figures beside a verdict, against brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import integrate, stats

from openassay.core.plausibility import (
    MOST_TRIED,
    SCEPTICAL_SD,
    fewest_tried,
    luck,
    share_within,
    within_flat,
    within_sceptical,
)

NUM_DRAWS = 200_000
CASES = [(0.2, 0.3, 4, 5, 1.0), (-0.9, 0.5, 9, 10, 1.0), (1.5, 1.0, 2, 3, 1.0), (0.0, 2.0, 20, 21, 0.5)]
"""d, sd, degrees of freedom, reruns, margin."""


def inside(values: np.ndarray, margin: float, direction: int) -> float:
    return float({0: abs(values) <= margin, 1: values >= -margin, -1: values <= margin}[direction].mean())


@pytest.mark.parametrize("direction", [0, 1, -1])
@pytest.mark.parametrize(("d", "sd", "df", "n", "margin"), CASES)
def test_the_share_within_is_that_of_drawn_trainings(
    d: float, sd: float, df: int, n: int, margin: float, direction: int
) -> None:
    """A variance and a mean from what is known after the reruns, and one more training from these."""
    rng = np.random.default_rng(1)
    sigma = sd * np.sqrt(df / rng.chisquare(df, NUM_DRAWS))
    mean = d + sigma / n**0.5 * rng.standard_normal(NUM_DRAWS)
    one_more = mean + sigma * rng.standard_normal(NUM_DRAWS)
    assert share_within(d, sd**2, df, n, margin, direction) == pytest.approx(
        inside(one_more, margin, direction), abs=0.005
    )
    assert within_flat(d, sd / n**0.5, df, margin, direction) == pytest.approx(
        inside(mean, margin, direction), abs=0.005
    )


@pytest.mark.parametrize("direction", [0, 1, -1])
@pytest.mark.parametrize(
    ("d", "se", "df", "margin"),
    [*((d, sd / n**0.5, float(df), margin) for d, sd, df, n, margin in CASES), (0.5, 1e-3, 3.0, 1.0), (30.0, 0.5, 1e6, 1.0), (1.0, 5.0, 1.0, 1e-2)],
)  # fmt: skip
def test_under_the_sceptical_prior_it_is_the_integral(
    d: float, se: float, df: float, margin: float, direction: int
) -> None:
    scale = SCEPTICAL_SD * margin
    top = stats.t.logpdf(np.linspace(-8 * scale, 8 * scale, 20001) / se - d / se, df)
    top = (top + stats.norm.logpdf(np.linspace(-8, 8, 20001))).max()

    def density(theta: float) -> float:
        return float(np.exp(stats.t.logpdf((d - theta) / se, df) + stats.norm.logpdf(theta / scale) - top))

    def integral(low: float, high: float) -> float:
        cuts = sorted(
            {
                low,
                high,
                *(x for x in (d - 9 * se, d - se, d, d + se, d + 9 * se, -margin, 0.0, margin) if low < x < high),
            }
        )
        return sum(integrate.quad(density, one, other, limit=200)[0] for one, other in itertools.pairwise(cuts))

    far = 12 * scale
    asked = integral(-far if direction < 0 else -margin, far if direction > 0 else margin)
    assert within_sceptical(d, se, df, margin, direction) == pytest.approx(asked / integral(-far, far), abs=1e-3)


def test_beforehand_the_sceptic_holds_both_answers_for_equally_likely() -> None:
    assert within_sceptical(0.0, 1e4, 1e6, 1.0, 0) == pytest.approx(0.5, abs=1e-3)
    assert within_sceptical(0.0, 0.0, 5.0, 1.0, 0) == 1.0
    assert within_sceptical(1.5, 0.0, 5.0, 1.0, 0) == 0.0


@pytest.mark.parametrize(("d", "sd", "df", "n", "margin"), CASES)
@pytest.mark.parametrize("k", [1, 3])
def test_luck_is_the_share_of_published_values_so_far_out(
    d: float, sd: float, df: int, n: int, margin: float, k: int
) -> None:
    rng = np.random.default_rng(2)
    sigma = sd * np.sqrt(df / rng.chisquare(df, NUM_DRAWS))
    mean = sigma / n**0.5 * rng.standard_normal(NUM_DRAWS)
    published = mean + sigma / k**0.5 * rng.standard_normal(NUM_DRAWS)
    found = luck(d, sd * (1 / n + 1 / k) ** 0.5, df)
    assert found == pytest.approx(float((published >= abs(d)).mean()), abs=0.005)
    assert luck(-d, sd, df) == luck(d, sd, df) <= 0.5


@pytest.mark.parametrize("d", [-2.1, 0.4, 1.3, 1.8, 2.3])
def test_fewest_tried_is_the_first_best_of_so_many_that_comes_near_enough(d: float) -> None:
    draws = np.random.default_rng(3).standard_normal((20_000, MOST_TRIED))
    best = np.maximum.accumulate(draws, axis=1).mean(axis=0)
    sd, margin = 0.7, 0.8
    near = np.flatnonzero(abs(d) - best * sd <= margin)
    clear = abs(abs(d) - margin - best * sd).min() > 0.01
    found = fewest_tried(d, sd**2, margin, 0)
    assert found == near[0] + 1 or not clear
    assert found is not None
    assert abs(found - near[0] - 1) <= 1


def test_no_number_of_tries_explains_what_is_too_far() -> None:
    assert fewest_tried(5.0, 1.0, 1.0, 0) is None
    assert fewest_tried(0.9, 1.0, 1.0, 0) == 1
    assert [fewest_tried(5.0, 1.0, 1.0, direction) for direction in (1, -1)] == [1, None]
