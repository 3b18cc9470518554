"""Critical values: against simulated audits, against the multivariate normal integral, and by their laws."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from calibration.boundaries import compare, known_variance, p_values, statistics
from scipy import stats

from openassay.core import boundaries
from openassay.core.boundaries import MOST_RUNS, boundary, critical_value, spent_share

NUM_AUDITS = 30_000


@functools.cache
def simulated(v: float, d0: float) -> dict[int, np.ndarray]:
    return statistics(np.random.default_rng(7), v, d0, 50, NUM_AUDITS)


@pytest.mark.parametrize("alpha", [0.05, 0.01])
@pytest.mark.parametrize("max_runs", [2, 5, 20, 50])
@pytest.mark.parametrize(("v", "d0"), [(0.0, 0.0), (0.0, 4.0), (0.2, 1.0), (1.0, 4.0), (1.0, 1e6)])
def test_simulated_audits_spend_at_each_look_what_is_promised(v: float, d0: float, max_runs: int, alpha: float) -> None:
    found = compare(boundary(max_runs, v, d0, alpha), simulated(v, d0))
    assert max(found.most_over, found.most_under) < 4.5
    error = np.sqrt(alpha * (1 - alpha) / (2 * NUM_AUDITS))
    assert found.total == pytest.approx(alpha, abs=4 * error + 0.01 * alpha)


def test_with_a_known_variance_they_are_those_of_the_multivariate_normal_integral() -> None:
    """The integral first gives what gsDesign (R) prints of its default one-sided design of three looks."""
    thirds = np.array([1, 2, 3]) / 3
    spent = 0.025 * np.expm1(4 * thirds) / np.expm1(4)
    assert known_variance(thirds, spent) == pytest.approx([3.01, 2.55, 2.00], abs=0.005)
    for max_runs, v in ((3, 0.0), (3, 1.0), (4, 0.2)):
        found = boundary(max_runs, v, 1e6, 0.05)
        information = 1 / (1 / np.arange(2, max_runs + 1) + v)
        expected = known_variance(information / information[-1], np.array(found.spent))
        assert found.critical == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize(("v", "d0"), [(0.0, 0.0), (1.0, 4.0)])
@pytest.mark.parametrize("max_runs", [5, 20])
def test_at_the_edge_a_small_p_value_is_as_rare_as_it_says(v: float, d0: float, max_runs: int) -> None:
    """At levels that do cross; a larger one is rarer, as other looks would have crossed at it too."""
    p = p_values(boundary(max_runs, v, d0, 0.05), {n: of[:10_000] for n, of in simulated(v, d0).items()})
    for level in (0.002, 0.01, 0.03, 0.05):
        low, high = stats.binom.ppf([1e-4, 1 - 1e-4], len(p), level) / len(p)
        assert low <= (p <= level).mean() <= high
    for level in (0.1, 0.3, 0.9):
        assert (p <= level).mean() < level


def test_the_p_value_at_the_critical_value_is_alpha() -> None:
    for n, c in enumerate(boundary(10, 0.5, 2.0, 0.05).critical, start=2):
        found = [boundary(10, 0.5, 2.0, 0.05).p_value(n, c + more) for more in (-0.1, 0.0, 0.1)]
        assert found[1] == pytest.approx(0.05, rel=1e-3)
        assert found == sorted(found, reverse=True)


@pytest.mark.parametrize("max_runs", [2, 3, 10, 50, MOST_RUNS])
def test_all_of_alpha_is_spent_and_at_no_look_given_back(max_runs: int) -> None:
    share = spent_share(np.arange(2, max_runs + 1), max_runs)
    assert (np.diff(share) > 0).all()
    assert share[0] > 0
    assert share[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("df", [10.0, 40.0, 2000.0])
def test_deviates_read_from_a_table_are_the_exact_ones(df: float) -> None:
    statistic = np.linspace(-30.0, 30.0, 5001)
    exact = boundaries._deviate(statistic, df)
    seen = abs(exact) < 15  # what lies further out is cut off
    assert boundaries._deviates(statistic, df)[seen] == pytest.approx(exact[seen], abs=1e-7)


def test_two_reruns_are_one_look_of_student_s_t() -> None:
    for d0 in (0.0, 3.0):
        assert boundary(2, 0.3, d0, 0.05).critical == pytest.approx([stats.t.isf(0.05, d0 + 1)], rel=2e-3)


@pytest.mark.parametrize("d0", [0.0, 4.0])
def test_looking_more_often_or_erring_less_asks_for_more(d0: float) -> None:
    c = boundary(30, 0.2, d0, 0.05).critical
    assert all(stats.t.sf(one, d0 + n - 1) < 0.05 for n, one in enumerate(c, start=2))
    by_alpha = [boundary(30, 0.2, d0, alpha).critical[8] for alpha in (0.001, 0.01, 0.05, 0.1)]
    assert by_alpha == sorted(by_alpha, reverse=True)
    by_plan = [boundary(most, 0.2, d0, 0.05).critical[3] for most in (5, 10, 50)]
    assert by_plan == sorted(by_plan)


def test_arrays_broadcast() -> None:
    found = critical_value(np.array([[2], [5]]), np.array([5, 10]), 0.0, np.array([0.0, 1e9]), 0.05)
    assert found.shape == (2, 2)
    assert found[1, 0] == boundary(5, 0.0, 0.0, 0.05).critical[-1]
    assert found[0, 1] == boundary(10, 0.0, 1e9, 0.05).critical[0]


@pytest.mark.parametrize("max_runs", [1, MOST_RUNS + 1])
def test_a_plan_has_two_to_a_thousand_reruns(max_runs: int) -> None:
    with pytest.raises(ValueError, match="2 to 1000 reruns"):
        boundary(max_runs, 0.0, 0.0, 0.05)
