"""Claims on the share of trainings that succeed: exact error rates, and the same answer wherever the test stops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from openassay.core.sequential import MOST_NEEDED, Stop
from openassay.core.shares import (
    ShareTerms,
    answer,
    bounds,
    chances,
    is_outside,
    p_equal,
    p_outside,
    run,
    runs_needed,
)


def terms(successes: int = 9, num: int = 10, margin: float = 0.6, **changes: object) -> ShareTerms:
    known = {"direction": 0, "alpha": 0.05, "alpha_outside": 0.05, "max_runs": 10} | changes
    return ShareTerms(successes=successes, num_published=num, margin=margin, **known)  # type: ignore[arg-type]


@pytest.mark.parametrize(("won", "num"), [(0, 3), (3, 3), (1, 2), (7, 10), (50, 100)])
def test_the_bounds_are_those_of_scipys_exact_binomial_test(won: int, num: int) -> None:
    expected = stats.binomtest(won, num).proportion_ci(confidence_level=0.9, method="exact")
    assert bounds(won, num, 0.05) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("direction", [0, 1, -1])
@pytest.mark.parametrize(("num", "most"), [(1, 5), (5, 10), (20, 10), (10, 30)])
def test_wrong_verdicts_are_rarer_than_promised_whatever_the_shares_are(direction: int, num: int, most: int) -> None:
    """About the published recipe's share, which is unknown, and both samples are random."""
    margin = 0.3
    found = {
        (y, x): answer(terms(y, num, margin, direction=direction, max_runs=most, estimand="recipe"), x, most)
        for y, x in itertools.product(range(num + 1), range(most + 1))
    }
    for theirs in np.linspace(0, 1, 21):
        for shift, wrong in ((1.0, Stop.WITHIN), (-1.0, Stop.WITHIN), (0.999, Stop.OUTSIDE), (-0.999, Stop.OUTSIDE)):
            ours = theirs + shift * margin
            bad_side = direction == 0 or direction * shift < 0
            if not 0 <= ours <= 1 or (wrong is Stop.WITHIN and not bad_side):
                continue
            weights = np.outer(
                stats.binom.pmf(range(num + 1), num, theirs), stats.binom.pmf(range(most + 1), most, ours)
            )
            rate = sum(float(weights[at]) for at, verdict in found.items() if verdict is wrong)
            assert rate <= 0.05 + 1e-12


@pytest.mark.parametrize("direction", [0, 1, -1])
@pytest.mark.parametrize("most", [5, 10, 30, 100])
def test_about_the_printed_share_a_wrong_reproduced_is_as_rare(direction: int, most: int) -> None:
    """Whatever was printed: its luck does not enter."""
    num, margin = 10, 0.3
    for won in range(num + 1):
        known = terms(won, num, margin, direction=direction, max_runs=most)
        assert known.estimand == "number"
        within = np.array([answer(known, x, most) is Stop.WITHIN for x in range(most + 1)])
        for shift in (1.0, -1.0):
            ours = won / num + shift * margin
            # a share of 0 or 1 that lies at the edge is seen without an error, and within
            if 1e-9 < ours < 1 - 1e-9 and (direction == 0 or direction * shift < 0):
                assert stats.binom.pmf(range(most + 1), most, ours)[within].sum() <= 0.05 + 1e-12


def test_the_printed_share_is_reached_with_fewer_reruns_than_the_recipes() -> None:
    number, recipe = (terms(9, 10, 0.35, max_runs=20, estimand=of) for of in ("number", "recipe"))
    assert answer(number, 18, 20) is Stop.WITHIN
    assert answer(recipe, 18, 20) is None


@given(
    st.lists(st.booleans(), min_size=10, max_size=10),
    st.integers(0, 10),
    st.floats(0.05, 0.9),
    st.sampled_from(["number", "recipe"]),
)
def test_stopping_early_never_changes_the_answer(
    outcomes: list[bool], successes: int, margin: float, estimand: str
) -> None:
    known = terms(successes, 10, margin, estimand=estimand)
    last = answer(known, sum(outcomes), 10)
    found = run(known, outcomes)
    undecided = Stop.FUTILE if found.num_used < 10 else Stop.SPENT
    assert found.stop is (undecided if last is None else last)
    low, high = known.interval(sum(outcomes), 10, 0.05, estimand)
    least, most = found.interval(estimand, 0.05)
    assert least <= low
    assert most >= high
    assert run(known, outcomes[: found.num_used]) == found


@pytest.mark.parametrize("estimand", ["number", "recipe"])
@pytest.mark.parametrize("margin", [0.2, 0.3, 0.45])
def test_so_many_more_runs_alike_would_decide(estimand: str, margin: float) -> None:
    asked = 0
    for won, num in ((8, 10), (6, 10), (3, 4), (10, 12), (5, 10)):
        known = terms(16, 20, margin, estimand=estimand, max_runs=num)
        if answer(known, won, num) is not None:
            continue
        asked += 1
        needed = runs_needed(known, won, num)
        assert is_decided(known, won, num, needed or MOST_NEEDED) == (needed is not None)
        fewer = int(0.8 * (needed or 0)) // num * num  # exactly as many of them successes
        assert not is_decided(known, won, num, fewer)
    assert asked


def is_decided(known: ShareTerms, won: int, num: int, total: int) -> bool:
    """By as many successes out of `total`; the number counts as decided when it is newly missed."""
    if total <= num:
        return False
    more = round(won / num * total)
    missed_now, missed_then = (
        is_outside(known, known.interval(x, n, known.alpha, "number")) for x, n in ((won, num), (more, total))
    )
    return answer(known, more, total) is not None or (missed_then and not missed_now)


def test_reruns_that_cannot_change_the_answer_are_not_asked_for() -> None:
    assert run(terms(9, 10, 0.1), [True, True]).stop is Stop.FUTILE  # no ten reruns could show so narrow a tolerance
    lost = run(terms(20, 20, 0.3), [False] * 10)
    assert (lost.stop, lost.num_used < 10) == (Stop.OUTSIDE, True)
    assert run(terms(20, 20, 0.6), [True] * 3).stop is Stop.NEEDS_RUNS
    assert run(terms(20, 20, 0.6), [True] * 10).stop is Stop.WITHIN


def test_the_p_value_turns_where_the_verdict_does() -> None:
    known = terms(20, 20, 0.3)
    p = p_outside(known, 2, 10)
    assert answer(terms(20, 20, 0.3, alpha_outside=p * 1.001), 2, 10) is Stop.OUTSIDE
    assert answer(terms(20, 20, 0.3, alpha_outside=p * 0.999), 2, 10) is None


def test_chances_are_those_of_simulated_audits() -> None:
    known = terms(19, 20, 0.4)
    rng = np.random.default_rng(0)
    draws = rng.random((4000, 10)) < 0.3
    rates = [np.mean([run(known, row).stop is stop for row in draws.tolist()]) for stop in (Stop.WITHIN, Stop.OUTSIDE)]
    assert chances(known, 0.3) == pytest.approx(rates, abs=0.03)


def test_equal_shares_are_compared_by_fishers_test() -> None:
    assert p_equal(10, 10, 0, 10) < 1e-4
    assert p_equal(5, 10, 5, 10) == pytest.approx(1.0)
