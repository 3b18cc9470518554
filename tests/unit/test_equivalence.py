"""The interval of the difference, against an oracle and by its laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from openassay.core.equivalence import difference
from openassay.core.sequential import credit

values = st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), min_size=2, max_size=12)


def test_against_an_exact_reference_it_is_the_two_one_sided_tests_of_statsmodels() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        runs, published, margin = rng.normal(1.0, 0.3, 6), 0.9, 0.25
        found = difference(runs, published, num_runs=np.inf)
        p, _, _ = DescrStatsW(runs - published).ttost_mean(-margin, margin)
        low, high = found.interval(0.05)
        assert (low >= -margin and high <= margin) == (p <= 0.05)
        for alpha in (p * 0.999, p * 1.001):  # p is the level at which the verdict turns
            low, high = found.interval(alpha)
            assert (low >= -margin and high <= margin) == (alpha > p)


def test_a_published_mean_and_sd_over_runs_is_the_pooled_two_sample_test_of_statsmodels() -> None:
    rng = np.random.default_rng(2)
    ours, theirs = rng.normal(0, 1, 7), rng.normal(0.2, 1, 5)
    found = difference(ours, theirs.mean(), num_runs=5, prior_sd=theirs.std(ddof=1), prior_df=4)
    low, high = CompareMeans(DescrStatsW(ours), DescrStatsW(theirs)).tconfint_diff(alpha=0.1, usevar="pooled")
    assert found.interval(0.05) == pytest.approx((low, high))


def test_against_another_recipes_noise_it_is_welchs_interval() -> None:
    rng = np.random.default_rng(5)
    control, faithful = rng.normal(2, 3, 4), rng.normal(0, 0.2, 6)
    found = difference(control, faithful.mean(), num_runs=6, published_recipe=faithful)
    low, high = CompareMeans(DescrStatsW(control), DescrStatsW(faithful)).tconfint_diff(alpha=0.1, usevar="unequal")
    assert found.interval(0.05) == pytest.approx((low, high))


def test_leading_axes_broadcast() -> None:
    runs = np.random.default_rng(3).normal(size=(4, 3, 5))
    found = difference(runs, np.zeros((4, 1)), num_runs=np.array([1, 3, 10]))
    assert found.estimate.shape == found.se.shape == found.df.shape == (4, 3)
    one = difference(runs[2, 1], 0.0, num_runs=3)
    assert found.interval(0.05)[0][2, 1] == pytest.approx(float(one.interval(0.05)[0]))


def test_more_runs_cannot_remove_the_noise_of_a_lone_published_number() -> None:
    many = np.random.default_rng(4).normal(0, 1, 100_000)
    assert float(difference(many, 0.0, num_runs=1).se) == pytest.approx(1.0, rel=0.02)
    assert float(difference(many, 0.0, num_runs=np.inf).se) < 0.01


def test_equal_runs_are_not_taken_as_noiseless_when_the_metric_moves_in_steps() -> None:
    found = difference([1.0, 1.0, 1.0], 1.0, resolution=0.01)
    assert float(found.se) == pytest.approx(0.01 / np.sqrt(12) * np.sqrt(1 / 3 + 1))
    assert float(difference([1.0, 1.0], 1.0).se) == 0.0


def test_fewer_than_two_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="two reruns"):
        difference([1.0], 1.0)


@given(values, st.randoms())
def test_the_order_of_the_seeds_is_irrelevant(runs: list[float], random: object) -> None:
    shuffled = list(runs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = difference(runs, 0.5, rounding=0.1), difference(shuffled, 0.5, rounding=0.1)
    assert float(one.estimate) == pytest.approx(float(other.estimate), abs=1e-9)
    assert float(one.se) == pytest.approx(float(other.se), abs=1e-9)


@given(values, st.floats(0.01, 50), st.floats(0.01, 100), st.floats(-50, 50))
def test_a_change_of_unit_changes_no_probability(runs: list[float], margin: float, factor: float, shift: float) -> None:
    assume(np.std(runs) > 1e-3)
    here = difference(runs, 0.5, num_runs=2, rounding=0.1, resolution=0.01)
    there = difference(
        np.array(runs) * factor + shift,
        0.5 * factor + shift,
        num_runs=2,
        rounding=0.1 * factor,
        resolution=0.01 * factor,
    )
    assert float(here.p_not_within(margin)) == pytest.approx(float(there.p_not_within(margin * factor)), abs=1e-6)


@given(values, st.floats(0.01, 50), st.floats(1.0, 10))
def test_a_wider_margin_never_lowers_a_p_value(runs: list[float], margin: float, wider: float) -> None:
    found = difference(runs, 0.5, rounding=0.1)
    assert float(found.p_not_within(margin * wider)) >= float(found.p_not_within(margin)) - 1e-12


def test_half_a_credit_is_the_tolerance() -> None:
    assert credit([0.0, 2.0, -2.0, 4.0], 2.0) == pytest.approx([1.0, 0.5, 0.5, 2**-4])
