"""What is expected of an audit, against simulated ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from calibration.simulate import Setting, rates, rng_of

from openassay.core.boundaries import critical_value
from openassay.core.power import NOISES, expect, noises, power
from openassay.core.sequential import BEST_OF_DF, Terms, half_width, to_batch

NUM_AUDITS = 60_000


def simulated(terms: Terms, sd: float, theta: float, n: int) -> float:
    """Share of audits whose interval lies within the margin at the last look."""
    rng = np.random.default_rng(5)
    batch = to_batch([terms], [()])
    v, d0 = (float(batch.v[0]) if terms.estimand == "recipe" else 0.0), float(batch.prior_df[0])
    shift = float(batch.best_of[0])
    runs = theta + sd * rng.standard_normal((NUM_AUDITS, n))
    reference = (sd * v**0.5) * rng.standard_normal(NUM_AUDITS) + rng.uniform(-0.5, 0.5, NUM_AUDITS) * terms.rounding
    df = d0 + n - 1
    variance = np.maximum((d0 * batch.prior_variance[0] + runs.var(axis=1) * n) / df, batch.floor_variance[0])
    estimate = runs.mean(axis=1) - (reference + shift * sd - shift * np.sqrt(variance))
    critical = critical_value(n, n, v, d0, batch.alpha[0])
    half, _ = half_width(batch, variance, np.array(df), n, terms.estimand, critical)
    above, below = estimate - half >= -terms.margin, estimate + half <= terms.margin
    return float({0: above & below, 1: above, -1: below}[terms.direction].mean())


@pytest.mark.parametrize(
    ("changes", "within"),
    [
        ({}, 0.01), ({"estimand": "recipe"}, 0.01), ({"estimand": "recipe", "num_published": 5}, 0.01),
        ({"direction": 1}, 0.01), ({"direction": -1, "estimand": "recipe", "num_published": 3}, 0.01),
        ({"family_sd": 0.5, "family_df": 10.0}, 0.01), ({"num_published": 4, "published_sd": 0.4}, 0.01),
        ({"alpha": 0.01}, 0.01), ({"rounding": 0.2}, 0.02),
        ({"best_of": 4}, 0.05),  # its correction is taken for normal
    ],
    ids=str,
)  # fmt: skip
def test_the_power_is_that_of_simulated_last_looks(changes: dict[str, Any], within: float) -> None:
    terms = Terms(**{"published": 0.0, "margin": 1.0} | changes)
    for sd, theta, n in ((0.3, 0.0, 3), (0.5, 0.5, 10), (1.0, 0.0, 12), (0.5, -1.0, 8)):
        if terms.best_of > 1 and n - 1 < BEST_OF_DF:
            continue
        assert power(terms, sd, theta, n) == pytest.approx(simulated(terms, sd, theta, n), abs=within)


def test_at_the_edge_it_is_alpha_at_most_and_with_many_reruns_all_but_certain_within() -> None:
    terms = Terms(published=0.0, margin=1.0)
    for n in (2, 5, 50):
        assert power(terms, 0.2, 1.0, n) <= 0.0501
    assert power(terms, 1.0, 0.0, 100) > 0.999
    assert power(Terms(published=0.0, margin=1.0, estimand="recipe"), 1.0, 0.0, 100) < 0.01


@pytest.mark.parametrize("estimand", ["number", "recipe"])
def test_what_is_expected_is_what_simulated_audits_give(estimand: Any) -> None:
    terms = Terms(published=0.3, margin=1.0, estimand=estimand, max_runs=20, family_sd=0.5, family_df=10.0)
    (found,) = expect(terms)
    assert found.noise == 0.5
    # the family's sd is exact here
    setting = Setting(estimand=estimand, noise=0.5, max_runs=20, family=10.0, family_spread=0.0)
    none, off = (rates(rng_of("expect", estimand, theta), setting, theta, 4000) for theta in (0.0, 2.0))
    assert found.reproduced == pytest.approx(none.reproduced, abs=0.05)
    assert found.not_reproduced == pytest.approx(off.not_reproduced, abs=0.05)
    assert found.num_runs == pytest.approx(none.runs, abs=0.7)


def test_where_nothing_is_known_it_is_computed_for_several_noises() -> None:
    assert noises(Terms(published=0.0, margin=2.0)) == NOISES
    assert noises(Terms(published=0.0, margin=2.0, family_sd=1.0, family_df=5.0)) == (0.5,)
