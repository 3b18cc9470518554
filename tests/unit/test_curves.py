"""The curve as a secondary claim: by hand, by its laws, and its error rates by simulation."""

from __future__ import annotations

import dataclasses
import json
import math
import zlib
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests

from openassay.core.boundaries import critical_value
from openassay.core.curves import (
    Correlation,
    Curve,
    CurveFamily,
    CurveOutcome,
    CurveVerdict,
    compare,
    differs_at,
    doomed,
    judge_curve,
    largest_deviation,
    log_spaced_steps,
    null_of_largest,
    p_of_largest,
    values_at,
)
from openassay.core.equivalence import Difference, difference
from openassay.core.sequential import Terms, family_prior_df, run, to_batch

Floats = NDArray[np.float64]
EVERY_250 = range(0, 6001, 250)
STEPS = log_spaced_steps(6000)
INDEPENDENT: Correlation = tuple(tuple(float(i == j) for j in range(5)) for i in range(5))
SPEEDRUN_SHARES = (0.3, 0.45, 0.6, 0.75, 0.9, 1.0)
SPEEDRUN_WITH_FINAL = (0.55, 0.68, 0.86, 0.93, 0.99, 1.0)
"""Correlation of the validation loss at these shares with the final one, over seeds of the same recipe: 647 public curves of 44
recipes for language models of GPT-2's size with a cooldown."""


def markov_correlation(with_final: Sequence[float]) -> Correlation:
    """r_i / r_j for i before j: of a process whose future depends on its past through the present alone."""
    r = np.array(with_final)
    return tuple(map(tuple, (np.minimum.outer(r, r) / np.maximum.outer(r, r)).tolist()))


SPEEDRUN = markov_correlation(np.interp(np.array(STEPS) / 6000, SPEEDRUN_SHARES, SPEEDRUN_WITH_FINAL).tolist())


def curve_of(values: Sequence[float] | Floats, steps: Sequence[int] = EVERY_250) -> Curve:
    return tuple((step, float(value)) for step, value in zip(steps, values, strict=True))


def flat(value: float, steps: Sequence[int] = EVERY_250) -> Curve:
    return curve_of([value] * len(steps), steps)


def family_of(**changes: object) -> CurveFamily:
    parts: dict[str, object] = {
        "shares": (0.3, 0.5, 1.0), "sds": (3.0, 2.0, 1.0), "df": 20.0, "correlation": None, "cited_at": "a table",
    }  # fmt: skip
    return CurveFamily(**{**parts, **changes})  # type: ignore[arg-type]


def judged(
    published: Curve, reruns: Sequence[Curve], margin: float = 1.0, *, alpha: float = 0.05, **more: object
) -> CurveVerdict:
    return judge_curve(published, 1, reruns, margin, alpha, claim="loss", metric="val_loss", **more)  # type: ignore[arg-type]


def test_points_are_log_spaced_from_45_percent_to_the_end() -> None:
    assert STEPS == (2700, 3297, 4025, 4915, 6000)
    assert np.diff(np.log(STEPS)) == pytest.approx(math.log(1 / 0.45) / 4, abs=1e-3)
    assert log_spaced_steps(3) == (2, 3)  # a short training has few whole steps


def test_a_training_of_one_step_makes_no_curve() -> None:
    with pytest.raises(ValueError, match="two steps at least"):
        log_spaced_steps(1)


def test_values_go_linearly_between_recorded_steps() -> None:
    one, other = curve_of([0.0, 10.0, 30.0], [0, 10, 20]), curve_of([1.0, 1.0, 3.0], [0, 10, 20])
    assert values_at([one, other], [5, 12, 20]).tolist() == [[5.0, 14.0, 30.0], [1.0, 1.4, 3.0]]


def test_a_curve_that_is_recorded_seldom_does_not_seem_to_differ() -> None:
    def loss(steps: range) -> Curve:
        return curve_of([3 + 40 / (1 + step) ** 0.5 for step in steps], steps)

    seldom, often = loss(range(0, 6001, 1500)), loss(range(0, 6001, 10))
    read = values_at([seldom, often], STEPS)
    assert np.abs(read[0] - read[1]).max() < 1e-9
    shifted = values_at([loss(range(5, 6006, 10)), often], STEPS)
    assert np.abs(shifted[0] - shifted[1]).max() < 1e-4
    naive = np.interp(STEPS, *np.array(seldom).T) - np.interp(STEPS, *np.array(often).T)
    assert np.abs(naive).max() > 0.02  # what it would have been


GOOD = flat(1.0)
BAD = {
    "does not reach": (flat(1.0, range(0, 5001, 250)), flat(1.0, range(3000, 6001, 250))),
    "no points": ((),),
    "not finite": (((0, 1.0), (3000, math.nan), (6000, 1.0)), ((0, 1.0), (6000, math.inf)), ((0, 1e200), (6000, 1.0))),
    "do not increase": (((0, 1.0), (4000, 1.0), (3000, 1.0), (6000, 1.0)), ((0, 1.0), (0, 1.0), (6000, 1.0))),
    "fewer than 5 points": (((0, 1.0), (6000, 1.0)),),
}


@pytest.mark.parametrize(("match", "curve"), [(match, curve) for match, curves in BAD.items() for curve in curves])
def test_curves_that_cannot_be_compared_are_refused_with_a_reason(match: str, curve: Curve) -> None:
    with pytest.raises(ValueError, match=match):
        judged(GOOD, [GOOD, curve])


def test_what_else_cannot_be_judged_is_refused_with_a_reason() -> None:
    with pytest.raises(ValueError, match="two reruns"):
        judged(GOOD, [GOOD])
    with pytest.raises(ValueError, match="two reruns"):
        compare(np.zeros((1, 5)), np.zeros(5), num_published=1)
    with pytest.raises(ValueError, match="reruns are equal"):
        judged(GOOD, [GOOD, GOOD])
    with pytest.raises(ValueError, match="not finite"):
        judged(curve_of([math.nan], [6000]), [GOOD, GOOD])
    for wrong in ({"margin": 0.0}, {"margin": math.inf}, {"alpha": 0.5}):
        with pytest.raises(ValueError, match="are needed"):
            judged(GOOD, [flat(1.0), flat(1.1)], **wrong)  # type: ignore[arg-type]


def test_the_standard_error_by_hand() -> None:
    found = compare([[1.0, 5.0], [3.0, 5.0]], [0.0, 4.0], num_published=2, resolution=0.6)
    # mean 2 and s^2 = 2; equal values with s^2 = 0.6^2/12 = 0.03
    assert found.estimate == pytest.approx([2.0, 1.0])
    assert found.se**2 == pytest.approx([2 * (1 / 2 + 1 / 2), 0.03])
    assert found.df.tolist() == [1.0, 1.0]
    with_prior = compare([[1.0], [3.0]], [0.0], num_published=1, prior_sds=[2.0], prior_df=3.0, rounding=0.1)
    assert with_prior.se**2 == pytest.approx([(3 * 4 + 2) / 4 * 1.5 + 0.01 / 12])
    assert with_prior.df.tolist() == [4.0]


def test_every_point_is_judged_as_a_final_value_would_be_and_leading_axes_broadcast() -> None:
    rng = np.random.default_rng(1)
    runs, published = rng.normal(size=(4, 3, 6, 5)), rng.normal(size=(3, 5))
    found = compare(runs, published, num_published=3, rounding=0.2)
    one_by_one = difference(np.moveaxis(runs, -2, -1), published, num_runs=3, rounding=0.2)
    assert found.estimate == pytest.approx(one_by_one.estimate)
    assert found.se == pytest.approx(one_by_one.se)
    assert found.df.tolist() == one_by_one.df.tolist()
    assert largest_deviation(found).shape == found.agrees(np.ones(5), 0.05).all(axis=-1).shape == (4, 3)
    assert differs_at(found, np.ones(5), 0.05).shape == (4, 3, 5)


def test_the_null_of_one_point_is_students_t() -> None:
    for n, prior_df in ((3, 0.0), (5, 4.0)):
        null = null_of_largest(n, prior_df, ((1.0,),))
        for level in (0.1, 0.05, 0.01):
            above = int((null > stats.t.isf(level / 2, prior_df + n - 1)).sum())
            assert stats.binomtest(above, len(null), level).pvalue > 0.001


def test_the_null_of_points_that_move_together_is_that_of_one_and_of_independent_ones_sidaks() -> None:
    together = null_of_largest(5, 4.0, tuple((1.0,) * 3 for _ in range(3)))
    assert np.quantile(together, 0.95) == pytest.approx(stats.t.isf(0.025, 8), rel=0.05)
    apart = null_of_largest(40, 0.0, INDEPENDENT)
    sidak = stats.t.isf((1 - 0.95**0.2) / 2, 39)
    assert np.quantile(apart, 0.95) == pytest.approx(sidak, rel=0.03)


@pytest.mark.parametrize("n", [2, 3, 10])
@pytest.mark.parametrize("prior_df", [0.0, 4.0])
def test_independent_points_are_the_least_favourable(n: int, prior_df: float) -> None:
    levels = (0.8, 0.9, 0.95)
    smooth, apart = (np.quantile(null_of_largest(n, prior_df, c), levels) for c in (SPEEDRUN, INDEPENDENT))
    assert (smooth < apart * 1.02).all()  # with two reruns and no family they nearly coincide


def test_a_p_value_counts_the_draws() -> None:
    null = np.array([1.0, 2.0, 2.0, 5.0])
    assert p_of_largest([0.0, 2.0, 3.0, 9.0], null).tolist() == [1.0, 4 / 5, 2 / 5, 1 / 5]


def test_points_outside_are_those_of_holms_procedure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gc.collect", lambda: 0)  # statsmodels calls it each time
    rng = np.random.default_rng(3)
    found = Difference(estimate=rng.normal(0, 3, (25, 5)), se=np.full((25, 5), 0.5), df=np.full((25, 5), 6.0))
    by_holm = [multipletests(p, 0.05, method="holm")[0].tolist() for p in found.p_not_within(1.0)]
    assert differs_at(found, 1.0, 0.05).tolist() == by_holm


def test_a_curve_that_is_followed_agrees() -> None:
    found = judged(flat(2.0), [flat(2.0 + e) for e in (-0.01, 0.0, 0.01)], 0.1)
    assert found.outcome is CurveOutcome.AGREES
    assert found.reason == "the curve lies within its margin at 5 steps from 2700 on"
    assert [point.step for point in found.points] == list(STEPS)
    half = stats.t.isf(0.05, 2) * 0.01 * math.sqrt(4 / 3)
    assert found.points[0].interval == pytest.approx((-half, half))
    assert found.p == 1.0
    assert (found.num_reruns, found.num_published, found.family, found.alpha) == (3, 1, None, 0.05)


def test_a_curve_that_leaves_and_comes_back_differs_and_its_steps_are_named() -> None:
    bump = np.array([1.0 if 3000 < step < 5000 else 0.0 for step in EVERY_250])
    found = judged(flat(2.0), [curve_of(2.0 + bump + e) for e in (-0.01, 0.0, 0.02)], 0.2)
    assert found.outcome is CurveOutcome.DIFFERS
    assert found.reason == "the curve lies outside its margin at step 3297, 4025, 4915"
    assert found.largest_at in {3297, 4025}  # between two bumped records
    assert found.p < 0.01


def test_a_curve_that_is_seen_through_too_much_noise_is_open_and_says_where() -> None:
    noisy_early = np.array([30.0 if step < 4000 else 1.0 for step in EVERY_250])
    found = judged(flat(2.0), [curve_of(2.0 + noisy_early * e) for e in (-0.01, 0.0, 0.01)], 0.1)
    assert found.outcome is CurveOutcome.OPEN
    assert found.reason.startswith(
        "at 2 of 5 steps the interval is not within the margin, first at step 2700: -1.01 to +1.01"
    )


def test_what_happens_before_45_percent_is_ignored() -> None:
    steps = range(0, 6001, 300)
    early = np.array([5.0 if step < 2700 else 0.0 for step in steps])
    same, other = ([curve_of(2 + shape + e, steps) for e in (-0.01, 0.0, 0.01)] for shape in (np.zeros(21), early))
    assert judged(flat(2.0, steps), same, 0.1) == judged(flat(2.0, steps), other, 0.1)


def test_the_margin_widens_with_the_familys_scatter_and_only_with_that() -> None:
    reruns, family = [flat(2.0), flat(2.5), flat(3.0)], family_of(sds=(1.5, 1.0, 0.5))
    alone, known = judged(flat(2.0), reruns, 0.5), judged(flat(2.0), reruns, 0.5, family=family)
    assert [point.margin for point in alone.points] == [0.5] * 5
    sds = np.interp(np.array(STEPS) / 6000, [0.3, 0.5, 1.0], [3.0, 2.0, 1.0])
    assert [point.margin for point in known.points] == pytest.approx(0.5 * sds)
    assert known.family == "a table"


def test_a_verdict_is_made_of_the_parts_with_all_that_the_family_tells() -> None:
    rng = np.random.default_rng(6)
    values = rng.normal(size=(5, 5))
    family = family_of(df=100.0, correlation=markov_correlation([0.6, 0.9, 1.0]))
    found = judged(curve_of(values[0], STEPS), [curve_of(row, STEPS) for row in values[1:]], 9.0, family=family)
    shares = np.array(STEPS) / 6000
    parts = compare(values[1:], values[0], num_published=1, prior_sds=family.sds_at(shares), prior_df=4.0)
    assert pytest.approx(np.array(parts.interval(0.05))) == np.array([point.interval for point in found.points]).T
    null = null_of_largest(4, 4.0, family.correlation_at(shares))
    assert found.p == float(p_of_largest(largest_deviation(parts), null))
    assert found.p != float(p_of_largest(largest_deviation(parts), null_of_largest(4, 4.0, INDEPENDENT)))
    assert found.largest_at == STEPS[int(np.argmax(np.abs(parts.estimate / parts.se)))]


def test_the_record_holds_plain_finite_numbers_and_is_the_same_every_time() -> None:
    rng = np.random.default_rng(2)
    reruns = [curve_of(rng.normal(size=25)) for _ in range(4)]
    found = judged(GOOD, reruns, family=family_of())
    text = json.dumps(dataclasses.asdict(found), allow_nan=False)
    null_of_largest.cache_clear()
    assert json.dumps(dataclasses.asdict(judged(GOOD, reruns, family=family_of()))) == text


small = st.floats(-3, 3).map(lambda x: round(x, 3))
curves = st.lists(st.lists(small, min_size=5, max_size=5), min_size=4, max_size=5).filter(
    lambda rows: np.ptp(np.array(rows[1:]), axis=0).min() > 0.1
)


@given(curves, st.randoms(), st.floats(0.01, 100), st.floats(-50, 50), st.sampled_from([-1, 1]))
def test_order_shift_scale_and_sign_change_nothing(
    rows: list[list[float]], random: object, scale: float, shift: float, sign: int
) -> None:
    first = judged(curve_of(rows[0], STEPS), [curve_of(row, STEPS) for row in rows[1:]], 2.0)
    moved = [curve_of(sign * scale * np.array(row) + shift, STEPS) for row in rows]
    reruns = moved[1:]
    random.shuffle(reruns)  # type: ignore[attr-defined]
    second = judged(moved[0], reruns, 2.0 * scale)
    for one, other in zip(first.points, second.points, strict=True):
        assert other.deviation == pytest.approx(sign * one.deviation, rel=1e-6, abs=1e-6)
        assert other.margin == pytest.approx(scale * one.margin)
    assert second.p == pytest.approx(first.p, abs=2 / 20_001)
    decided = min(abs(abs(end) - point.margin) for point in first.points for end in point.interval)
    if decided > 1e-6 and first.outcome is not CurveOutcome.DIFFERS and second.outcome is not CurveOutcome.DIFFERS:
        assert second.outcome is first.outcome


@given(curves, st.floats(0.1, 10), st.floats(1, 5), st.floats(1, 5))
def test_a_wider_margin_or_a_larger_error_rate_never_loses_agreement(
    rows: list[list[float]], margin: float, wider: float, larger: float
) -> None:
    published, *reruns = (curve_of(row, STEPS) for row in rows)
    first = judged(published, reruns, margin, alpha=0.05)
    wide = judged(published, reruns, margin * wider, alpha=0.05)
    loose = judged(published, reruns, margin, alpha=0.05 * larger)
    if first.outcome is CurveOutcome.AGREES:
        assert wide.outcome is CurveOutcome.AGREES
        assert loose.outcome is not CurveOutcome.OPEN
    if first.outcome is CurveOutcome.DIFFERS:
        assert loose.outcome is CurveOutcome.DIFFERS
    if wide.outcome is CurveOutcome.DIFFERS:
        assert first.outcome is CurveOutcome.DIFFERS


@given(curves, st.floats(0.1, 10), st.floats(0.01, 0.3))
def test_no_curve_both_agrees_and_differs(rows: list[list[float]], margin: float, alpha: float) -> None:
    found = compare(rows[1:], rows[0], num_published=1)
    assert not (found.agrees(margin, alpha).all(axis=-1) and differs_at(found, margin, alpha).any())


# Error rates. Seeds scatter with sd 1 at every point; a family's sd is measured on `prior_df` degrees of freedom.

NUM = 20_000
LIMIT = stats.binom.ppf(0.9999, NUM, 0.05) / NUM
"""What a rate of exactly 5 % exceeds once in 10,000 tests."""
DESIGNS = [(2, 1, 0), (2, 1, 4), (3, 1, 0), (3, 1, 4), (5, 1, 0), (3, 3, 4), (10, 5, 0)]
"""Reruns, published trainings, the family's degrees of freedom."""


def simulated(
    shift: Sequence[float], design: tuple[int, int, int], truth: Correlation = SPEEDRUN, num: int = NUM
) -> Difference:
    n, k, prior_df = design
    rng = np.random.default_rng(zlib.crc32(repr((tuple(shift), design, truth)).encode()))
    root = np.linalg.cholesky(np.array(truth))
    published = rng.standard_normal((num, 5)) @ root.T / math.sqrt(k)
    reruns = rng.standard_normal((num, n, 5)) @ root.T + np.array(shift)
    sds = np.sqrt(rng.chisquare(prior_df, (num, 1)) / prior_df) if prior_df else 0.0
    return compare(reruns, published, num_published=k, prior_sds=sds, prior_df=float(prior_df))


def rejected(found: Difference, design: tuple[int, int, int], assumed: Correlation = INDEPENDENT) -> float:
    null = null_of_largest(design[0], float(design[2]), assumed)
    return float((p_of_largest(largest_deviation(found), null) <= 0.05).mean())


@pytest.mark.parametrize("design", DESIGNS)
def test_the_largest_deviation_rarely_rejects_the_same_recipe(design: tuple[int, int, int]) -> None:
    for truth in (SPEEDRUN, INDEPENDENT):
        found = simulated([0.0] * 5, design, truth)
        known = rejected(found, design, assumed=truth)
        assert 0.044 < known <= LIMIT + 0.002  # the null's own draws err by .0015
        assert rejected(found, design) <= LIMIT + 0.002


def test_assuming_smooth_curves_where_points_are_independent_would_break_the_promise() -> None:
    design = (3, 1, 4)
    assert rejected(simulated([0.0] * 5, design, INDEPENDENT), design, assumed=SPEEDRUN) > 0.08


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("edge", [(1, 1, 1, 1, 1), (0, 0, 1, 0, 0), (0, 0, 0, 0, 1), (1, 0, 0, 0, -1)])
def test_a_curve_at_its_edge_is_rarely_called_either_way(design: tuple[int, int, int], edge: tuple[float, ...]) -> None:
    margin = 4.0
    for truth in (SPEEDRUN, INDEPENDENT):
        found = simulated(margin * np.array(edge), design, truth)  # type: ignore[arg-type]
        assert found.agrees(margin, 0.05).all(axis=-1).mean() <= LIMIT
        assert differs_at(found, margin, 0.05).any(axis=-1).mean() <= LIMIT


def test_faithful_curves_agree_and_broken_ones_differ() -> None:
    design, margin = (3, 3, 4), 4.0
    assert simulated([0.0] * 5, design).agrees(margin, 0.05).all(axis=-1).mean() > 0.96
    for shift in ([8.0] * 5, [0.0, 4.0, 8.0, 4.0, 0.0], [0.0, 2.0, 4.0, 6.0, 8.0]):
        found = simulated(shift, design)
        assert found.agrees(margin, 0.05).all(axis=-1).mean() < 0.001
        assert differs_at(found, margin, 0.05).any(axis=-1).mean() > 0.89


@pytest.mark.parametrize(("k", "prior_df"), [(1, 0), (50, 4)])
def test_reruns_that_a_sequential_test_has_ended_keep_the_rate_at_its_last_looks_level(k: int, prior_df: int) -> None:
    num, margin = 4000, 1 / 0.15
    rng = np.random.default_rng(k)
    root = np.linalg.cholesky(np.array(SPEEDRUN))
    published = rng.standard_normal((num, 5)) @ root.T / math.sqrt(k)
    reruns = rng.standard_normal((num, 10, 5)) @ root.T + np.array([0, 0, 0, 0, margin])
    sds = np.sqrt(rng.chisquare(prior_df, num) / prior_df) if prior_df else np.ones(num)
    terms = [
        Terms(
            published=value,
            margin=margin,
            estimand="recipe",
            num_published=k,
            family_sd=sd if prior_df else None,
            family_df=8,
            max_runs=10,
        )
        for value, sd in zip(published[:, -1].tolist(), sds.tolist(), strict=True)
    ]
    batch = to_batch(terms, reruns[:, :, -1].tolist())
    stopped = run(batch)
    passed = {"same alpha": 0, "and final value reproduced": 0, "last look's level": 0}
    for n in np.unique(stopped.runs_used).tolist():
        of = stopped.runs_used == n
        found = compare(
            reruns[of, :n], published[of], num_published=k, prior_sds=sds[of, None], prior_df=float(prior_df)
        )
        level = float(stats.t.sf(critical_value(n, 10, 1 / k, prior_df, 0.05), prior_df + n - 1))
        within = found.agrees(margin, 0.05).all(axis=-1)
        passed["same alpha"] += within.sum()
        passed["and final value reproduced"] += (within & stopped.reproduced[of]).sum()
        passed["last look's level"] += found.agrees(margin, level).all(axis=-1).sum()
    for name, promised in (("same alpha", 0.07), ("and final value reproduced", 0.05), ("last look's level", 0.05)):
        assert passed[name] <= stats.binom.ppf(0.999, num, promised), name


SHAPES = {
    "constant 2 sd": ([2.0] * 5, 0.17),
    "constant 4 sd": ([4.0] * 5, 0.64),
    "late ramp to 4 sd": ([0.0, 1.0, 2.0, 3.0, 4.0], 0.49),
    "bump of 4 sd in the middle": ([0.0, 2.0, 4.0, 2.0, 0.0], 0.49),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_three_reruns_notice_a_difference_in_any_place_after_45_percent(shape: str) -> None:
    shift, least = SHAPES[shape]
    found, design = simulated(shift, (3, 1, 4)), (3, 1, 4)
    assert rejected(found, design) > least
    assert rejected(found, design, assumed=SPEEDRUN) > least + 0.08  # a known correlation is worth having


# Doomed reruns.

SCATTER = family_of(shares=SPEEDRUN_SHARES, sds=(1.0,) * 6)


def test_a_rerun_far_off_is_doomed_from_30_percent_on() -> None:
    published = flat(0.0, range(0, 6001, 200))
    edge = 6 * math.sqrt(1.5)
    for height, expected in ((edge * 1.01, 1800), (edge * 0.99, None), (-edge * 1.01, 1800)):
        found = doomed(published, 2, flat(height, range(0, 3001, 200)), SCATTER)
        assert (found.step if found else None) == expected
    late = curve_of([0.0] * 12 + [20.0] * 13)  # from step 3000 on
    found = doomed(published, 1, late, SCATTER)
    assert found is not None
    assert (found.step, found.deviation) == (3600, pytest.approx(20 / math.sqrt(2)))


def test_a_rerun_is_not_doomed_by_what_is_not_known_yet() -> None:
    published = flat(0.0)
    assert doomed(published, 1, flat(100.0, range(0, 1751, 250)), SCATTER) is None  # before 30 %
    assert (
        doomed(curve_of([0.0, 0.0], [0, 6000]), 1, flat(100.0, range(0, 3001, 250)), SCATTER) is None
    )  # nothing published
    between = doomed(published, 1, flat(100.0, range(1900, 2501, 100)), SCATTER)
    assert between is None  # neither of the family's shares lies there
    with pytest.raises(ValueError, match="not finite"):
        doomed(published, 1, curve_of([0.0, math.nan], [0, 3000]), SCATTER)


@pytest.mark.parametrize(("df", "most"), [(math.inf, 0.0002), (8, 0.0017), (4, 0.0105)])
def test_false_alarms_of_the_doomed_rule_are_rare(df: float, most: float) -> None:
    rng = np.random.default_rng(4)
    num = 3000 if df == math.inf else 6000
    root = np.linalg.cholesky(np.array(markov_correlation(SPEEDRUN_WITH_FINAL)))
    steps = [round(share * 6000) for share in SPEEDRUN_SHARES]
    one, other = rng.standard_normal((2, num, 6)) @ root.T
    measured = np.sqrt(rng.chisquare(df, num) / df) if df < math.inf else np.ones(num)
    farthest = np.abs(one - other).max(axis=1) / (measured * math.sqrt(2))
    rows = [*np.flatnonzero(farthest > 3), *range(100)]  # asked one by one; the others are far from an alarm
    alarms = {
        row: doomed(
            curve_of(one[row], steps), 1, curve_of(other[row], steps),
            dataclasses.replace(SCATTER, sds=(measured[row],) * 6),
        )
        for row in rows
    }  # fmt: skip
    assert all((found is not None) == (farthest[row] > 6) for row, found in alarms.items())
    assert sum(found is not None for found in alarms.values()) <= stats.binom.ppf(0.999, num, most)


def test_a_slower_recipe_is_doomed_by_60_percent_of_the_training() -> None:
    def loss(speed: float, noise: float) -> Curve:
        return curve_of([3 + (1 + step * speed) ** -0.3 + noise for step in EVERY_250])

    rng = np.random.default_rng(5)
    family = family_of(sds=(0.0004,) * 3)
    for speed, expected in ((1.0, 0.0), (0.8, 1.0)):
        hits = [
            doomed(loss(1.0, a), 1, loss(speed, b)[:15], family) is not None
            for a, b in 0.0004 * rng.standard_normal((50, 2))
        ]
        assert np.mean(hits) == expected


def test_a_family_is_read_between_its_shares() -> None:
    family = family_of(correlation=markov_correlation([0.5, 0.8, 1.0]))
    assert family.sds_at(np.array([0.3, 0.4, 0.75, 1.0])) == pytest.approx([3.0, 2.5, 1.5, 1.0])
    own = np.array(family.correlation_at(np.array([0.3, 0.5, 1.0])))
    assert own == pytest.approx(np.array(family.correlation))
    halfway = np.array(family.correlation_at(np.array([0.5, 0.75, 1.0])))
    assert halfway[0, 1] == halfway[1, 2] == pytest.approx(0.9 / math.sqrt(0.25 + 0.25 + 2 * 0.25 * 0.8))
    assert np.array(family_of().correlation_at(np.array([0.5, 1.0]))).tolist() == [[1.0, 0.0], [0.0, 1.0]]
    with pytest.raises(ValueError, match="known from 30%"):
        family.sds_at(np.array([0.2]))
    assert [family_prior_df(df) for df in (1.0, 5.0, 8.0, 100.0)] == [1.0, 2.0, 4.0, 4.0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"shares": ()}, {"shares": (0.3, 0.5, 0.9)}, {"shares": (0.5, 0.3, 1.0)}, {"shares": (0.0, 0.5, 1.0)},
        {"sds": (1.0, 1.0)}, {"sds": (1.0, 0.0, 1.0)}, {"sds": (1.0, math.nan, 1.0)}, {"df": 0.0}, {"df": math.nan},
        {"correlation": ((1.0,),)}, {"correlation": ((1.0, 0.9, -0.9), (0.9, 1.0, 0.9), (-0.9, 0.9, 1.0))},
        {"correlation": ((1.0, 0.5, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))},
        {"correlation": ((2.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))},
    ],
)  # fmt: skip
def test_a_family_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="a family"):
        family_of(**wrong)
