"""A small slice of the calibration: the promised error rates hold, with limits from binomial quantiles."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from calibration.simulate import Rates, Setting, rates, rng_of, simulate
from openassay.core.sequential import run

NUM_AUDITS = 20_000


def limit(promised: float) -> float:
    """What a rate of exactly `promised` exceeds in one of 10,000 slices."""
    return float(stats.binom.ppf(0.9999, NUM_AUDITS, promised)) / NUM_AUDITS


def measured(theta: float, **setting: Any) -> Rates:
    return rates(rng_of(theta, sorted(setting.items())), Setting(**setting), theta, NUM_AUDITS)


@pytest.mark.parametrize("family", [10.0, None])
@pytest.mark.parametrize("k", [1, 2, 5, 0])
@pytest.mark.parametrize("noise", [0.1, 0.25, 1.0])
def test_a_recipe_at_the_edge_is_rarely_called_either_way(family: float | None, k: int, noise: float) -> None:
    found = measured(1.0, family=family, k=k, noise=noise)
    assert found.reproduced <= limit(0.05)
    assert found.not_reproduced <= limit(0.05)
    assert 1 - found.coverage <= 0.1 + 4 * np.sqrt(0.09 / 10_000)


@pytest.mark.parametrize(
    "setting",
    [
        {"max_runs": 2}, {"max_runs": 3}, {"max_runs": 7}, {"rounding": 0.5}, {"family_spread": 0.4}, {"family": 4.0},
        {"k": 4, "published_sd": True, "noise": 0.1}, {"k": 3, "published_sd": True, "noise": 0.4, "family": None},
        {"tried": 5, "declared": 5}, {"tried": 10, "declared": 10, "noise": 0.4},
        {"tried": 3, "declared": 3, "family": None}, {"tried": 10, "declared": 10, "family": None, "noise": 0.15},
        {"k": 7, "alpha": 0.1}, {"family": None, "alpha": 0.03}, {"k": 5, "family": None, "alpha": 0.002, "noise": 0.5},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("edge", [1.0, -1.0])
def test_both_edges_hold_for_other_publications_and_plans(setting: dict[str, Any], edge: float) -> None:
    found = measured(edge, **setting)
    assert found.reproduced <= limit(setting.get("alpha", 0.05))
    assert found.not_reproduced <= limit(setting.get("alpha", 0.05))


@pytest.mark.parametrize("direction", [1, -1])
def test_a_one_sided_claim_errs_at_its_one_edge_only(direction: int) -> None:
    found = measured(-1.0 * direction, direction=direction)
    assert found.reproduced <= limit(0.05)
    assert found.not_reproduced <= limit(0.05)
    assert measured(3.0 * direction, direction=direction).not_reproduced == 0.0


def test_wrong_verdicts_are_rarer_away_from_the_edge() -> None:
    assert measured(1.3).reproduced < measured(1.0).reproduced / 2
    assert measured(0.7).not_reproduced < measured(1.0).not_reproduced / 2


def test_faithful_and_shifted_recipes_are_told_apart_in_few_runs() -> None:
    faithful, shifted = measured(0.0, k=5), measured(2.0, k=5)
    assert faithful.reproduced > 0.98
    assert shifted.not_reproduced > 0.98
    assert faithful.runs < 2.5
    assert shifted.runs < 2.5


def test_a_tolerance_that_cannot_be_shown_is_given_up_soon() -> None:
    assert measured(0.0, noise=1.0).runs < 2.5


def test_ignoring_the_published_noise_would_break_the_promise() -> None:
    """Why the published value's own noise is in the interval: without it, this is the rate of false verdicts."""
    batch = simulate(rng_of("ignored"), Setting(noise=0.5, family=None), 1.0, NUM_AUDITS)
    ignored = run(replace(batch, v=np.zeros(NUM_AUDITS)))
    assert ignored.reproduced.mean() > 2 * limit(0.05)


def test_looking_often_at_one_look_s_level_would_break_the_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Why the critical values are those of a sequential test."""
    monkeypatch.setattr(
        "openassay.core.sequential.critical_value", lambda plan, n, v, prior_df, alpha: stats.t.isf(alpha, prior_df + n - 1)
    )  # fmt: skip
    assert measured(1.0, family=None, k=5).reproduced > 2 * limit(0.05)


def test_a_family_s_noise_that_is_too_small_does_break_the_promise() -> None:
    """Why a family counts for four degrees of freedom at most: with more, this would be worse."""
    assert limit(0.05) < measured(1.0, family_ratio=0.5).reproduced < 0.2
