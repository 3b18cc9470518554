"""Critical values: against their own simulation, by their laws, and between the nodes of the table."""

from __future__ import annotations

import numpy as np
import pytest
from calibration.boundaries import critical_values, statistics
from scipy import stats

from openassay.core.boundaries import ALPHAS, PLANS, PRIOR_DFS, REFERENCE_VARIANCES, critical_value, spent_share

NAMES = list(PLANS)


@pytest.mark.parametrize("plan", NAMES)
@pytest.mark.parametrize(("v", "d0"), [(0.0, 0), (1.0, 4), (0.2, np.inf)])
def test_the_table_is_what_its_script_computes(plan: str, v: float, d0: float) -> None:
    found = statistics(np.random.default_rng(7), v, d0, PLANS[plan].max_runs, 100_000)
    again = critical_values(found, plan, v, 0.05)
    for n, c in enumerate(again, start=2):
        level, expected = (stats.t.sf(x, d0 + n - 1) for x in (critical_value(NAMES.index(plan), n, v, d0, 0.05), c))
        assert float(level) == pytest.approx(float(expected), abs=0.002)  # about four Monte Carlo standard errors


@pytest.mark.parametrize("plan", NAMES)
@pytest.mark.parametrize(
    ("v", "d0", "alpha"), [(0.07, 5, 0.05), (0.6, 2, 0.05), (0.45, 10, 0.03), (1.5, 0, 0.05), (0.35, 30, 0.02)]
)
def test_between_the_nodes_too_a_wrong_verdict_at_the_edge_keeps_its_rate(
    plan: str, v: float, d0: float, alpha: float
) -> None:
    num_audits = 100_000
    found = statistics(np.random.default_rng(11), v, d0, PLANS[plan].max_runs, num_audits)
    crossed = np.zeros(num_audits, dtype=bool)
    for n, values in found.items():
        crossed |= values > critical_value(NAMES.index(plan), n, v, d0, alpha)
    assert crossed.mean() <= stats.binom.ppf(0.9999, num_audits, alpha) / num_audits * 1.03  # the table's own error


@pytest.mark.parametrize("plan", NAMES)
def test_alpha_is_spent_by_the_last_look_and_never_given_back(plan: str) -> None:
    n = np.arange(2, PLANS[plan].max_runs + 1)
    for v in REFERENCE_VARIANCES:
        share = spent_share(plan, n, v)
        assert (np.diff(share) > 0).all()
        assert share[-1] == pytest.approx(1.0)


def test_a_smaller_error_rate_asks_for_more() -> None:
    n, d0 = 3, 4.0
    values = [float(critical_value(0, n, 1.0, d0, alpha)) for alpha in sorted(ALPHAS)]
    assert values == sorted(values, reverse=True)


def test_arrays_broadcast_and_ends_hold() -> None:
    found = critical_value(np.array([0, 2]), np.array([2, 5]), np.array([0.0, 9.0]), np.array([0.0, 1e9]), 0.05)
    assert found.shape == (2,)
    assert found[1] == pytest.approx(float(critical_value(2, 5, max(REFERENCE_VARIANCES), np.inf, 0.05)), rel=1e-6)
    assert len(PRIOR_DFS) == len(set(PRIOR_DFS))
