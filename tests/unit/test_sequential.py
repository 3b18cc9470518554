"""The sequential test and the single look, where no simulation is needed: what may be accepted of recipes that diverge, by
enumeration; how many more runs would decide, by samples made to measure; and the looks themselves."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from openassay.core.boundaries import boundary
from openassay.core.sequential import (
    DIVERGENCE_ALPHA,
    DIVERGENCE_EDGE,
    DIVERGENCE_RATE,
    Stop,
    Terms,
    interval,
    is_missed,
    look_once,
    may_accept,
    run,
    runs_needed,
    to_batch,
)

ALPHA = 0.05


def accepted_and_accused(share: float, declared: float, max_runs: int) -> tuple[float, float]:
    """P(some look may accept, before one accuses) and P(some look accuses, before one accepts) where each rerun diverges with
    probability `share`: by the numbers of reruns and of diverged ones. Whatever the values are, no more is accepted."""
    alive, accepted, accused = {0: 1.0}, 0.0, 0.0
    for n in range(1, max_runs + 1):
        following: dict[int, float] = {}
        for lost, chance in alive.items():
            for came, weight in ((True, 1 - share), (False, share)):
                now, probability = lost + (not came), chance * weight
                tail = stats.binom.sf(now - 1, n, max(declared, DIVERGENCE_RATE))
                if n >= 2 and now and tail <= DIVERGENCE_ALPHA * ALPHA:
                    accused += probability
                elif n - now >= 2 and came and may_accept(n, now, declared, sequential=True):
                    accepted += probability
                else:
                    following[now] = following.get(now, 0.0) + probability
        alive = following
    return accepted, accused


DECLARED = (0.0, 0.1, 0.3, 0.5)


@pytest.mark.parametrize("declared", DECLARED)
@pytest.mark.parametrize("max_runs", [2, 3, 10, 50, 100])
def test_a_recipe_that_diverges_at_the_edge_is_rarely_accepted(declared: float, max_runs: int) -> None:
    edge = declared + DIVERGENCE_EDGE * (1 - declared)
    for share in (edge, (1 + edge) / 2):
        assert accepted_and_accused(share, declared, max_runs)[0] <= ALPHA


@pytest.mark.parametrize("declared", DECLARED)
@pytest.mark.parametrize("num_runs", [3, 4, 5, 10, 50, 300])
def test_neither_is_it_by_one_look(declared: float, num_runs: int) -> None:
    lost = np.arange(num_runs + 1)
    edge = declared + DIVERGENCE_EDGE * (1 - declared)
    accepted = may_accept(num_runs, lost, declared, sequential=False)
    assert stats.binom.pmf(lost, num_runs, edge)[accepted].sum() <= ALPHA


def test_two_runs_that_came_are_taken_where_they_are_all_there_is() -> None:
    assert may_accept(2, 0, 0.0, sequential=False)
    assert not may_accept(2, 0, 0.0, sequential=True)
    assert may_accept(3, 0, 0.0, sequential=True)
    assert not may_accept(3, 2, 0.0, sequential=False)


@pytest.mark.parametrize("declared", DECLARED)
def test_a_recipe_that_diverges_as_declared_can_be_accepted_and_is_rarely_accused(declared: float) -> None:
    accepted, accused = accepted_and_accused(declared, declared, 50)
    assert accepted > 0.9
    assert accused <= ALPHA


def test_an_audit_counts_what_was_lost_as_the_enumeration_does() -> None:
    """Values that are all well within the margin: then only the losses decide."""
    rng = np.random.default_rng(3)
    num, share = 4000, 0.4
    runs = np.where(rng.random((num, 20)) < share, np.nan, rng.normal(0, 1e-6, (num, 20)))
    terms = Terms(published=0.0, margin=1.0, max_runs=20, family_sd=1e-6, family_df=10.0, equal_decides=True)
    found = run(replace(to_batch([terms] * num, [(0.0,) * 20] * num), runs=runs))
    accepted, accused = accepted_and_accused(share, 0.0, 20)
    for expected, shown in ((accepted, found.reproduced), (accused, found.stop == Stop.DIVERGED)):
        assert shown.mean() == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / num))


def sample(n: int, mean: float, sd: float) -> list[float]:
    """Values of exactly this mean and standard deviation."""
    if n % 2:
        return [mean, *appended(n - 1, mean, sd * np.sqrt((n - 1) / n) * np.sqrt(n / (n - 1)))]
    return appended(n, mean, sd * np.sqrt((n - 1) / n))


def appended(num: int, mean: float, deviation: float) -> list[float]:
    """So many more values, with this root mean square deviation from a mean; not one."""
    middle = [mean] * (num % 2)
    away = deviation * np.sqrt(num / max(num - num % 2, 1))
    return [mean + sign * away for _ in range(num // 2) for sign in (1, -1)] + middle


def is_decided(terms: Terms, values: list[float], missed: bool) -> bool:
    batch = to_batch([terms], [values])
    found = look_once(batch)
    newly_missed = bool(is_missed(found, batch)[0]) and not missed and terms.estimand == "number"
    return bool(found.reproduced[0] or found.not_reproduced[0]) or newly_missed


FINISHED = [
    {"estimand": estimand, "num_published": k, "n": n, "sd": sd, "d": d, **more}
    for estimand, k, n, sd, d, more in itertools.product(
        ("number", "recipe"), (1, 3), (3, 10), (0.3, 0.8, 2.0), (0.0, 0.5, 0.95, 1.1, 1.6),
        ({}, {"direction": 1}, {"rounding": 0.4}, {"family_sd": 0.5, "family_df": 10.0}, {"best_of": 3}),
    )
]  # fmt: skip


@pytest.mark.parametrize("estimand", ["number", "recipe"])
def test_so_many_more_runs_alike_decide_and_fewer_do_not(estimand: str) -> None:
    asked, counts = 0, {"decided": 0, "never": 0}
    for case in FINISHED:
        if case["estimand"] != estimand:
            continue
        known: dict[str, Any] = dict(case)
        n, sd, d = known.pop("n"), known.pop("sd"), known.pop("d")
        terms = Terms(published=0.0, margin=1.0, max_runs=10_000, **known)
        values = sample(n, -d if terms.direction else d, sd)
        assert np.std(values, ddof=1) == pytest.approx(sd)
        batch = to_batch([terms], [values])
        found = look_once(batch)
        if found.stop[0] != Stop.SPENT:
            continue
        asked += 1
        missed, needed = bool(is_missed(found, batch)[0]), int(runs_needed(found, batch)[0])
        total = needed or 10_000
        more = total - n if total - n != 1 else 2
        enough = is_decided(terms, values + appended(more, float(np.mean(values)), sd), missed)
        assert enough == (needed > 0), (case, needed)
        counts["decided" if needed else "never"] += 1
        fewer = int(0.8 * total)
        if needed and fewer - n > 1 and fewer < needed - 1:
            assert not is_decided(terms, values + appended(fewer - n, float(np.mean(values)), sd), missed), (
                case,
                needed,
            )
    assert asked > 100
    assert min(counts.values()) > 10


@pytest.mark.parametrize("sd", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("d", [0.0, 0.4])
def test_of_a_sequential_test_too_within_its_plan(sd: float, d: float) -> None:
    terms = Terms(published=0.0, margin=1.0, max_runs=60)
    values = sample(4, d, sd)
    batch = to_batch([terms], [values])
    found = run(batch)
    assert found.stop[0] == Stop.NEEDS_RUNS
    needed = int(runs_needed(found, batch)[0])
    assert 4 < needed <= 60
    longer = run(to_batch([terms], [values + appended(60, d, sd)]))
    assert longer.reproduced[0]
    assert 0.8 * needed - 1 <= longer.runs_used[0] <= needed + 1


def test_each_look_is_at_the_plan_s_critical_value() -> None:
    values = [0.31, -0.2, 0.5, 0.1, -0.4, 0.25, 0.0, 0.7]
    for estimand, v in (("number", 0.0), ("recipe", 0.25)):
        terms = Terms(published=0.1, margin=0.1, num_published=4, max_runs=8, estimand=estimand)
        critical = boundary(8, v, 0.0, 0.05).critical
        for n in range(2, 9):
            batch = to_batch([terms], [values[:n]])
            found = run(batch)
            half = critical[n - 2] * np.std(values[:n], ddof=1) * np.sqrt(1 / n + v)
            seen = interval(found, batch, estimand)
            assert (seen.low[0], seen.high[0]) == pytest.approx(
                (np.mean(values[:n]) - 0.1 - half, np.mean(values[:n]) - 0.1 + half)
            )
        assert found.stop[0] == Stop.SPENT


def test_a_coarse_print_counts_as_half_its_unit_at_most() -> None:
    values, rounding = [1.0, 1.1], 1.0
    batch = to_batch([Terms(published=1.0, margin=2.0, rounding=rounding)], [values])
    found = look_once(batch)
    seen = interval(found, batch, "number")
    sd = max(np.std(values, ddof=1), rounding / 12**0.5)
    assert seen.high[0] == pytest.approx(1.05 - 1 - special.stdtrit(1, 0.05) * sd / 2**0.5 + rounding / 2)


def test_deterministic_reruns_are_compared_exactly_but_for_the_print() -> None:
    for value, stop in ((1.04, Stop.WITHIN), (1.08, Stop.ROUNDING), (1.2, Stop.OUTSIDE)):
        terms = Terms(published=1.0, margin=0.1, rounding=0.1, deterministic=True)
        for test in (run, look_once):
            assert test(to_batch([terms], [[value] * 3])).stop[0] == stop


def test_equal_reruns_of_which_nothing_is_known_decide_nothing() -> None:
    terms = Terms(published=1.0, margin=0.1)
    assert run(to_batch([terms], [[1.0] * 5])).stop[0] == Stop.EQUAL
    assert look_once(to_batch([terms], [[1.0] * 5])).stop[0] == Stop.EQUAL


def test_both_questions_agree_where_the_published_value_is_the_mean_of_very_many() -> None:
    values = [0.3, -0.1, 0.2, 0.4]
    batch = to_batch([Terms(published=0.0, margin=1.0, num_published=10**8)], [values])
    found = look_once(batch)
    number, recipe = interval(found, batch, "number"), interval(found, batch, "recipe")
    assert (number.low[0], number.high[0]) == pytest.approx((recipe.low[0], recipe.high[0]), rel=1e-6)
