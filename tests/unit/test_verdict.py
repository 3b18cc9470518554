"""Each rule of the verdict, and that nothing odd ever passes."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openassay.core.claims import Citation, Claim, Family, Published, Spread, SuccessRule, Tolerance
from openassay.core.controls import judge_control
from openassay.core.evidence import Design, Evidence, statuses_of, terms_of, values_of, wants_more
from openassay.core.rerun_records import Measurement, Rerun, RerunStatus
from openassay.core.sequential import Stop, to_batch
from openassay.core.verdict import (
    RULES,
    decide,
    equal_reruns,
    headline,
    judge_claim,
    judge_release,
    score_release,
    unequal_deterministic,
)
from openassay.core.verdict_records import ControlOutcome, Outcome, Verdict

FINISHED, DIVERGED, FAILED = RerunStatus.FINISHED, RerunStatus.DIVERGED, RerunStatus.FAILED


def claim(
    value: float = 10.0,
    margin: float = 1.0,
    *,
    deterministic: bool = False,
    resolution: float = 0.0,
    bounds: tuple[float | None, float | None] = (None, None),
    direction: str = "two-sided",
    family: Family | None = None,
    **published: object,
) -> Claim:
    return Claim(
        id="c", metric="m", published=Published(value=value, **published), cited_at=Citation(url="https://example.org/1"),  # type: ignore[arg-type]
        tolerance=Tolerance(margin=margin, rationale="for a test"), deterministic=deterministic, resolution=resolution,
        bounds=bounds, direction=direction, family=family,  # type: ignore[arg-type]
    )  # fmt: skip


DESIGN = Design(alpha=0.05, max_runs=10)


def evidence(
    values: list[float | None], of: Claim | None = None, design: Design = DESIGN, **changes: object
) -> Evidence:
    statuses = tuple(FINISHED if value is not None else DIVERGED for value in values)
    made = Evidence(claim=of or claim(num_runs=5), design=design, values=tuple(values), statuses=statuses)
    return replace(made, **changes)  # type: ignore[arg-type]


CLOSE = [10.0, 10.1, 9.9, 10.05, 9.95]
FAR = [14.0, 14.1, 13.9, 14.05, 13.95]
EDGE = [11.0, 11.05, 10.95, 11.02, 10.98, 11.0, 11.03, 10.97, 11.01, 10.99]

CASES = [
    ("within", evidence(CLOSE), Outcome.REPRODUCED, "within_tolerance"),
    ("outside", evidence(FAR), Outcome.NOT_REPRODUCED, "outside_tolerance"),
    ("straddles", evidence(EDGE), Outcome.INCONCLUSIVE, "still_open"),
    ("noisy", evidence([5.0, 15.0, 9.0, 12.0]), Outcome.INCONCLUSIVE, "still_open"),
    ("needs more", evidence([10.0, 10.1]), Outcome.INCONCLUSIVE, "still_open"),
    ("nothing run", evidence([], not_attempted_because="no code"), Outcome.NOT_ATTEMPTED, "nothing_was_run"),
    ("all failed", evidence([None, None], statuses=(FAILED, FAILED)), Outcome.NOT_ATTEMPTED, "nothing_was_run"),
    ("all diverged", evidence([None, None]), Outcome.NOT_REPRODUCED, "too_many_runs_diverged"),
    ("all diverged, as the control", evidence([None, None], broken_alike="like the control"), Outcome.INCONCLUSIVE, "too_many_runs_diverged"),
    ("most failed", evidence([10.0, None, None], statuses=(FINISHED, FAILED, FAILED)), Outcome.INCONCLUSIVE, "some_runs_failed"),
    ("one failed, far", evidence([*FAR, None], statuses=(*[FINISHED] * 5, FAILED)), Outcome.INCONCLUSIVE, "some_runs_failed"),
    ("one stopped, far", evidence([*FAR, None], statuses=(*[FINISHED] * 5, RerunStatus.TIMED_OUT)), Outcome.INCONCLUSIVE, "some_runs_failed"),
    ("one of six diverged", evidence([10.0, None, 10.1, 9.9, 10.05, 9.95]), Outcome.REPRODUCED, "within_tolerance"),
    ("two of five diverged", evidence([10.0, None, 10.1, None, 9.9]), Outcome.INCONCLUSIVE, "still_open"),
    ("two of six diverged, far", evidence([14.0, None, 14.1, None, 13.9, 14.05]), Outcome.NOT_REPRODUCED, "outside_tolerance"),
    ("far, like the control", evidence(FAR, broken_alike="like the control"), Outcome.INCONCLUSIVE, "outside_tolerance"),
    ("one value", evidence([10.0]), Outcome.INCONCLUSIVE, "too_few_runs"),
    ("other data", evidence(CLOSE, data_differs="array x differs"), Outcome.INCONCLUSIVE, "data_differs"),
    ("other data, far", evidence(FAR, data_differs="array x differs"), Outcome.INCONCLUSIVE, "data_differs"),
    ("no power", evidence(CLOSE, control="not caught"), Outcome.INCONCLUSIVE, "control_not_caught"),
    ("not by training", evidence(CLOSE, not_trained="copied"), Outcome.INCONCLUSIVE, "not_trained"),
    ("not by training, far", evidence(FAR, not_trained="copied"), Outcome.NOT_REPRODUCED, "outside_tolerance"),
    ("equal, undeclared", evidence([10.0] * 5), Outcome.INCONCLUSIVE, "equal_runs"),
    ("equal and far, undeclared", evidence([20.0] * 5), Outcome.INCONCLUSIVE, "equal_runs"),
    ("equal, steps", evidence([10.0] * 5, claim(resolution=0.1, num_runs=5)), Outcome.INCONCLUSIVE, "equal_runs"),
    ("equal, known noise", evidence([10.0] * 5, claim(num_runs=5, sd=0.1)), Outcome.INCONCLUSIVE, "equal_runs"),
    ("equal, at the end", evidence([10.0] * 10, claim(resolution=0.1, bounds=(0, 10.0), num_runs=5)), Outcome.REPRODUCED, "within_tolerance"),
    ("equal, at the end, not all planned", evidence([10.0] * 5, claim(resolution=0.1, bounds=(0, 10.0), num_runs=5)), Outcome.INCONCLUSIVE, "equal_runs"),
    ("a published spread of nothing", evidence([10.0, 10.3, 9.7], claim(resolution=0.2, num_runs=5, sd=0.0)), Outcome.REPRODUCED, "within_tolerance"),
    ("equal, at no end", evidence([9.9] * 5, claim(resolution=0.1, bounds=(0, 10.0), num_runs=5)), Outcome.INCONCLUSIVE, "equal_runs"),
    ("equal but for the last bit", evidence([10.0, 10.0 + 1e-15], claim(deterministic=True)), Outcome.REPRODUCED, "within_tolerance"),
    ("equal but for the last bit, undeclared", evidence([10.0, 10.0 + 1e-12] * 3), Outcome.INCONCLUSIVE, "equal_runs"),
    ("exact", evidence([10.0, 10.0], claim(deterministic=True)), Outcome.REPRODUCED, "within_tolerance"),
    ("exact, off", evidence([0.57] * 3, claim(0.511, 0.01, deterministic=True)), Outcome.NOT_REPRODUCED, "outside_tolerance"),
    ("exact, at the rounding", evidence([11.0] * 2, claim(deterministic=True, rounding=1.0)), Outcome.INCONCLUSIVE, "still_open"),
    ("declared exact, is not", evidence(CLOSE, claim(deterministic=True, num_runs=5)), Outcome.REPRODUCED, "within_tolerance"),
    ("at least, above", evidence(FAR, claim(num_runs=5, direction="at_least")), Outcome.REPRODUCED, "within_tolerance"),
    ("at most, above", evidence(FAR, claim(num_runs=5, direction="at_most")), Outcome.NOT_REPRODUCED, "outside_tolerance"),
]  # fmt: skip


@pytest.mark.parametrize(("item", "outcome", "rule"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_each_kind_of_evidence_is_decided_by_its_rule(item: Evidence, outcome: Outcome, rule: str) -> None:
    decision = decide(item)
    assert (decision.outcome, decision.rule) == (outcome, rule)
    assert decision.reason


def test_a_difference_as_large_as_the_tolerance_does_not_convict() -> None:
    item = evidence([0.93, 0.93], claim(0.90, 0.03, deterministic=True))
    assert decide(item).outcome is Outcome.REPRODUCED


def test_every_rule_decides_some_case() -> None:
    assert {rule.__name__ for rule in RULES} == {decide(item).rule for _, item, _, _ in CASES}


RECIPE = replace(DESIGN, estimand="recipe")
LONE = claim(94.0, 2.0, num_runs=1, rounding=1.0)
CNN = [93.0, 93.9, 92.8, 94.1, 93.2, 93.7, 93.1, 94.0, 93.5, 93.3]


def test_a_number_is_reproduced_though_the_luck_of_its_lone_training_hides_the_recipe() -> None:
    noisy = [value + 2 * (value - 93.5) for value in CNN]
    number, recipe = evidence(noisy, LONE), evidence(noisy, LONE, RECIPE)
    found = judge_claim(number, driver="native", protocol="full")
    assert (found.outcome, found.shown, found.why) == (Outcome.REPRODUCED, ("number",), None)
    assert headline(found) == "REPRODUCED (number)"
    asked = judge_claim(recipe, driver="native", protocol="full")
    assert (asked.outcome, asked.estimand, asked.why) == (Outcome.INCONCLUSIVE, "recipe", "published_noise")
    assert "no number of reruns decides" in asked.reason
    assert asked.more_runs_needed is None
    both = judge_claim(
        evidence([*CNN[:4], *CNN], replace(LONE, published=replace(LONE.published, num_runs=20))),
        driver="native",
        protocol="full",
    )
    assert both.shown == ("number", "recipe")
    assert both.reason.endswith("; and so does the recipe behind it")


def test_a_number_that_is_not_reached_accuses_nobody() -> None:
    """All reruns lie below the band; a lucky published training can explain it."""
    item = evidence(
        [64.5, 65.9, 62.9, 66.0, 64.2, 63.9, 66.4, 65.0, 64.1, 65.5], claim(68.5, 2.0, num_runs=1, rounding=1.0)
    )
    found = judge_claim(item, driver="native", protocol="full")
    assert (found.outcome, found.why) == (Outcome.INCONCLUSIVE, "number_not_reached")
    assert headline(found) == "INCONCLUSIVE · number not reached"
    assert found.reason.startswith("number not reached: the interval of the difference is ")
    assert found.plausibility is not None
    assert f"with probability {found.plausibility.luck:.2g}" in found.reason
    assert found.score_interval is not None
    assert found.score_interval[1] <= 0.5
    exact = evidence([*item.values], claim(68.5, 2.0, num_runs=1000, rounding=1.0))
    assert decide(exact).outcome is Outcome.NOT_REPRODUCED


def test_a_claim_may_ask_for_the_recipe_itself() -> None:
    asked = replace(LONE, estimand="recipe")
    assert judge_claim(evidence(CNN, asked), driver="native", protocol="full").estimand == "recipe"
    assert (
        judge_claim(evidence(CNN, replace(LONE, estimand="number"), RECIPE), driver="native", protocol="full").estimand
        == "number"
    )


def test_an_open_claim_says_how_many_more_reruns_would_decide_it() -> None:
    few = judge_claim(evidence([10.0, 10.1]), driver="native", protocol="full")
    assert few.why == "more_runs"
    assert few.more_runs_needed is not None
    assert "2 of 10 planned reruns are made" in few.reason
    noisy: list[float | None] = [8.2, 12.4, 8.9, 10.4, 9.1, 12.6, 10.2, 7.8, 11.3, 10.7]
    spent = judge_claim(evidence(noisy), driver="native", protocol="full")
    assert (spent.why, spent.outcome) == ("budget", Outcome.INCONCLUSIVE)
    more = spent.more_runs_needed or 0
    assert 0 < more < 100
    # So many more of the same mean and standard deviation, in an audit that planned them, do decide.
    center, sd = statistics.mean(noisy), statistics.stdev(noisy)  # type: ignore[type-var]
    total = len(noisy) + more
    scale = sd * ((total - 1) / (total - total % 2)) ** 0.5
    alike: list[float | None] = [center + scale * (-1) ** i for i in range(total - total % 2)] + [center] * (total % 2)
    assert decide(evidence(alike, design=replace(DESIGN, max_runs=total))).outcome is Outcome.REPRODUCED
    edge = judge_claim(evidence(EDGE), driver="native", protocol="full")
    assert (edge.why, edge.more_runs_needed) == ("at_the_edge", None)


def test_an_expensive_audit_without_prospects_stops_early_and_a_cheap_one_goes_on() -> None:
    cheap, dear = evidence(EDGE[:9]), evidence(EDGE[:9], design=replace(DESIGN, expensive=True))
    assert wants_more([cheap])
    assert not wants_more([dear])
    decision = decide(dear)
    assert decision.why == "at_the_edge"
    near = decide(evidence([value - 0.004 for value in EDGE[:9]], design=replace(DESIGN, expensive=True)))
    assert (near.why, "below 1 %" in near.reason, near.more_runs_needed is None) == ("budget", True, False)


def test_reruns_beyond_the_one_that_decides_are_not_looked_at() -> None:
    item, more = evidence(CLOSE), evidence([*CLOSE, 50.0, -20.0])
    assert more.num_used == item.num_used == 4
    one, other = (judge_claim(of, driver="native", protocol="full") for of in (item, more))
    assert replace(one, runs=()) == replace(other, runs=())
    assert [look.stop for look in one.looks] == ["needs_runs", "needs_runs", "within"]
    assert (one.looks[-1].difference, one.looks[-1].interval) == (one.difference, one.interval)
    assert one.max_runs == 10


def test_an_arm_wants_reruns_until_each_of_its_claims_is_decided() -> None:
    def of(claimed: Claim, runs: tuple[Rerun, ...], design: Design = DESIGN) -> Evidence:
        return Evidence.of_runs(claimed, design, runs)

    runs = tuple(map(rerun, CLOSE))
    tight, loose = claim(margin=0.02, num_runs=5), claim(num_runs=5)
    assert wants_more([of(loose, runs[:2])])
    assert not wants_more([of(loose, runs[:4])])
    assert wants_more([of(loose, runs[:4]), of(tight, runs[:4])])
    assert not wants_more([of(loose, runs[:2], replace(DESIGN, max_runs=2))])  # no more were planned
    assert not wants_more([of(loose, (runs[0], rerun(1.0, status=FAILED)))])


def test_a_claim_with_a_baseline_is_on_the_differences_seed_by_seed() -> None:
    """Both arms scatter by 3, their differences by 0.05."""
    shared = [3.0, -2.5, 1.0, -0.4, 2.2, -3.1]
    ours = tuple(map(rerun, [80 + x + 0.05 * (-1) ** i for i, x in enumerate(shared)]))
    theirs = tuple(map(rerun, [78.8 + x for x in shared]))
    claimed = replace(claim(1.2, 0.5, num_runs=3), baseline="b")
    found = judge_claim(Evidence.of_runs(claimed, DESIGN, ours, theirs), driver="python", protocol="full")
    assert found.outcome is Outcome.REPRODUCED
    assert found.difference == pytest.approx(0.0, abs=0.1)
    assert len(Evidence.of_runs(claimed, DESIGN, ours, theirs[:3]).values) == 3
    broken = (*theirs[:1], rerun(0.0, status=FAILED))
    assert Evidence.of_runs(claimed, DESIGN, ours, broken).statuses == (FINISHED, FAILED)
    control = judge_control(
        claimed, DESIGN, arm="x", runs=tuple(map(rerun, [10.0, 11.0, 9.0, 10.5])), faithful=ours, baseline=theirs
    )
    assert control.caught


@pytest.mark.parametrize(
    ("sd_is", "expected"),
    [
        ("sd", 0.2),
        ("standard_error", 0.4),
        ("confidence_interval_95", 0.2 * 2 / 3.182446),
        ("over_episodes", None),
        ("over_items", None),
    ],
)
def test_a_printed_spread_is_read_as_what_it_is(sd_is: Spread, expected: float | None) -> None:
    found = Published(value=1.0, num_runs=4, sd=0.2, sd_is=sd_is).seed_sd()
    assert found == (pytest.approx(expected, rel=1e-5) if expected else None)


odd = st.sampled_from([math.nan, math.inf, -math.inf, 1e308, -1e308, 0.0, 1e-308])


@given(st.lists(st.one_of(odd, st.floats(allow_nan=True, allow_infinity=True)), min_size=1, max_size=8))
def test_a_value_that_is_not_finite_never_passes(raw: list[float]) -> None:
    runs = tuple(rerun(value) for value in raw)
    values = values_of(runs, "m")
    decision = decide(evidence(list(values), statuses=statuses_of(runs, "m")))
    if any(not math.isfinite(value) for value in raw):
        assert decision.outcome is not Outcome.REPRODUCED


def rerun(value: float, seed: int = 0, status: RerunStatus = FINISHED) -> Rerun:
    measurement = Measurement(metric="m", value=value, raw=str(value), step=None, self_reported=False)
    return Rerun(
        target="t", arm="faithful", seed=seed, identity="0" * 64, registered={}, status=status, reason="",
        measurements=(measurement,), curves={}, environment={}, log_tail="", started_at="", duration_s=1.0, cpu_s=1.0, together=(),
    )  # fmt: skip


def reruns(values: list[float]) -> tuple[Rerun, ...]:
    return tuple(rerun(value, seed) for seed, value in enumerate(values))


def test_a_measurement_of_a_failed_rerun_does_not_count() -> None:
    runs = (rerun(10.0, status=FAILED), rerun(10.0))
    assert values_of(runs, "m") == (None, 10.0)
    assert statuses_of(runs, "m") == (FAILED, FINISHED)


def test_a_metric_that_is_not_finite_says_nothing_of_another_one() -> None:
    found = rerun(10.0, status=DIVERGED)
    other = Measurement(metric="other", value=None, raw="nan", step=None, self_reported=False)
    unread = Measurement(metric="unread", value=None, raw="", step=None, self_reported=False)
    found = replace(found, measurements=(*found.measurements, other, unread))
    assert [values_of((found,), name)[0] for name in ("m", "other", "unread", "unknown")] == [10.0, None, None, None]
    statuses = [statuses_of((found,), name)[0] for name in ("m", "other", "unread", "unknown")]
    assert statuses == [FINISHED, DIVERGED, FAILED, FAILED]


@pytest.mark.parametrize(
    ("values", "caught"),
    [([1.0, 1.2], True), ([1.0, 1.0], True), ([10.0, 10.05, 9.95], False), ([9.0, 12.0], False), ([], False)],
)
def test_a_control_is_caught_only_when_it_is_shown_to_differ(values: list[float], caught: bool) -> None:
    found = judge_control(
        claim(num_runs=5), DESIGN, arm="broken", runs=tuple(rerun(value) for value in values), faithful=()
    )
    assert found.caught is caught


def test_a_noisy_control_is_judged_with_the_published_recipes_noise_not_its_own() -> None:
    """Where the published training's luck counts; where it does not, the control's own noise is all there is."""
    faithful, wild = tuple(map(rerun, CLOSE)), tuple(map(rerun, [7.0, 5.0, 2.0, 6.0]))
    lone = claim(num_runs=1, resolution=0.01)
    assert judge_control(lone, RECIPE, arm="b", runs=wild, faithful=faithful).caught
    assert not judge_control(lone, RECIPE, arm="b", runs=wild, faithful=()).caught
    assert judge_control(lone, DESIGN, arm="b", runs=wild, faithful=()).caught


def test_a_control_that_cannot_train_at_all_is_caught_when_it_diverges_and_not_when_it_crashes() -> None:
    nothing = Measurement(metric="m", value=None, raw="nan", step=None, self_reported=False)
    diverged = replace(rerun(0.0, status=DIVERGED), measurements=(nothing,))
    crashed = replace(rerun(0.0, status=FAILED), measurements=())
    assert judge_control(claim(), DESIGN, arm="b", runs=(diverged, diverged), faithful=()).caught
    assert not judge_control(claim(), DESIGN, arm="b", runs=(crashed, crashed), faithful=()).caught


def verdict(item: Evidence, name: str) -> Verdict:
    return replace(judge_claim(item, driver="native", protocol="full"), id=name)


def test_a_release_is_reproduced_only_when_every_claim_is() -> None:
    good, open_ = verdict(evidence(CLOSE), "a"), verdict(evidence([9.0, 12.0, 10.0]), "b")
    untested = verdict(evidence([], not_attempted_because="no code"), "c")
    assert judge_release((good,))[0] is Outcome.REPRODUCED
    assert judge_release((good, open_))[0] is Outcome.INCONCLUSIVE
    assert judge_release((good, untested))[0] is Outcome.INCONCLUSIVE
    assert judge_release((untested,))[0] is Outcome.NOT_ATTEMPTED
    assert judge_release(())[0] is Outcome.NOT_ATTEMPTED
    other = replace(untested, reason="no file of step 0")
    assert judge_release((untested, untested))[1] == f"no claim was rerun: {untested.reason}"
    assert judge_release((untested, other))[1] == "no claim was rerun, for 2 reasons; each claim says its own"


def test_one_clear_failure_among_many_claims_decides() -> None:
    good, bad = verdict(evidence(CLOSE), "a"), verdict(evidence(FAR), "b")
    assert judge_release((good, bad)) == (Outcome.NOT_REPRODUCED, "not reproduced: b")


def test_one_of_many_claims_needs_more_to_be_called_not_reproduced() -> None:
    """Each is called so at alpha / m: then no correction is left to be made for the release."""
    barely: list[float | None] = [11.4, 11.65, 11.3, 11.6, 11.5]
    alone, one_of_many = evidence(barely), evidence(barely, design=replace(DESIGN, num_claims=20))
    assert decide(alone).outcome is Outcome.NOT_REPRODUCED
    assert decide(one_of_many).outcome is Outcome.INCONCLUSIVE
    assert (alone.p_not_reproduced() or 1) < 0.05 < (one_of_many.p_not_reproduced() or 0) * 20
    assert decide(evidence(FAR, design=replace(DESIGN, num_claims=8))).outcome is Outcome.NOT_REPRODUCED
    many = evidence(CLOSE, design=replace(DESIGN, num_claims=20))
    assert decide(many).outcome is decide(evidence(CLOSE)).outcome


def test_the_release_score_travels_with_its_coverage() -> None:
    good, untested = verdict(evidence(CLOSE), "a"), verdict(evidence([], not_attempted_because="no code"), "c")
    score = score_release((good, untested))
    assert score.coverage == 0.5
    assert score.value == good.score
    assert score_release(()).value is None


@given(
    st.lists(st.floats(-30, 30), min_size=2, max_size=8),
    st.sampled_from([1, 2, 5, 20]),
    st.sampled_from([0.0, 0.1, 1.0]),
)
def test_score_interval_and_verdict_agree(values: list[float], num_runs: int, rounding: float) -> None:
    found = judge_claim(
        evidence([*values], claim(num_runs=num_runs, rounding=rounding, resolution=0.001)),
        driver="native",
        protocol="full",
    )
    if found.why == "equal_runs":
        assert (found.score, found.score_interval, found.interval) == (None, None, None)
        return
    assert found.score is not None
    assert found.score_interval is not None
    assert found.score_interval[0] <= found.score <= found.score_interval[1]
    if found.outcome is Outcome.REPRODUCED:
        assert found.score_interval[0] >= 0.5 - 1e-6
    if found.outcome is Outcome.NOT_REPRODUCED:
        assert found.score_interval[1] <= 0.5


@given(st.lists(st.floats(0, 20), min_size=2, max_size=8), st.floats(0.01, 20), st.floats(1, 10))
def test_a_wider_margin_never_loses_a_reproduced(values: list[float], margin: float, wider: float) -> None:
    narrow, wide = (
        evidence([*values], claim(margin=of, num_runs=5, resolution=0.01)) for of in (margin, margin * wider)
    )
    if narrow.stop is Stop.WITHIN:
        assert decide(narrow).outcome is decide(wide).outcome is Outcome.REPRODUCED


def test_a_recipe_declared_deterministic_that_is_not_is_a_finding() -> None:
    found = unequal_deterministic(evidence(CLOSE, claim(deterministic=True)))
    assert found is not None
    assert found.kind == "not_deterministic"
    assert unequal_deterministic(evidence([1.0, 1.0], claim(deterministic=True))) is None


def test_equal_reruns_say_what_share_of_seeds_they_leave_open() -> None:
    found = equal_reruns(
        evidence([500.0] * 5, claim(500.0, resolution=0.01, bounds=(0, 500)), replace(DESIGN, max_runs=5))
    )
    assert found is not None
    assert "45 %" in found.message  # 1 - .05^(1/5)
    assert equal_reruns(evidence(CLOSE)) is None
    assert equal_reruns(evidence([1.0, 1.0], claim(deterministic=True))) is None


def test_large_noise_against_the_tolerance_accuses_at_the_promised_rate_only() -> None:
    """An interval that merely misses a narrow tolerance would accuse faithful recipes twice too often."""
    item = evidence([1.55, 0.45, 0.5, 1.5, 1.45, 0.55] * 2, claim(0.0, 0.05, num_runs=1000))
    found = judge_claim(item, driver="native", protocol="full")
    assert found.p_not_reproduced is not None
    assert (found.outcome is Outcome.NOT_REPRODUCED) == (found.p_not_reproduced <= 0.05)


def test_a_control_outcome_is_a_plain_record() -> None:
    found = ControlOutcome(
        arm="a",
        of="b",
        claim="c",
        runs=(1.0, None),
        outcome=Outcome.NOT_REPRODUCED,
        caught=True,
        differs_from_faithful=True,
    )
    assert found.outcome == "NOT_REPRODUCED"


@pytest.mark.parametrize(
    ("control", "faithful", "differ"),
    [
        ([4.0, 4.1, 3.9], CLOSE, True),
        ([10.0, 10.1, 9.9], CLOSE, False),  # a slip broke both alike
        ([4.0, 4.0], [10.0, 10.0], True),
        ([4.0, 4.0], [4.0, 4.0], False),
        ([None, None], CLOSE, True),
        ([None, None], [None, None], False),
    ],
)
def test_a_control_is_also_compared_with_the_faithful_reruns(
    control: list[float | None], faithful: list[float | None], differ: bool
) -> None:
    def runs(values: list[float | None]) -> tuple[Rerun, ...]:
        nan = Measurement(metric="m", value=None, raw="nan", step=None, self_reported=False)
        return tuple(
            rerun(value) if value is not None else replace(rerun(0.0, status=DIVERGED), measurements=(nan,))
            for value in values
        )

    found = judge_control(claim(num_runs=5), DESIGN, arm="b", runs=runs(control), faithful=runs(faithful))
    assert found.differs_from_faithful is differ


SUCCESS = replace(claim(0.9, 0.6, num_runs=20), success=SuccessRule(at_least=475.0))


@pytest.mark.parametrize(
    ("values", "margin", "outcome", "rule"),
    [
        ([500.0] * 9 + [9.0], 0.6, Outcome.REPRODUCED, "within_tolerance"),
        ([500.0] * 9 + [None], 0.6, Outcome.REPRODUCED, "within_tolerance"),  # a rerun without a value is no success
        ([9.0] * 10, 0.3, Outcome.NOT_REPRODUCED, "outside_tolerance"),
        ([9.0] * 10, 0.6, Outcome.INCONCLUSIVE, "still_open"),
        ([500.0] * 3, 0.6, Outcome.INCONCLUSIVE, "still_open"),
    ],
)
def test_a_share_of_successes_is_judged_exactly(
    values: list[float | None], margin: float, outcome: Outcome, rule: str
) -> None:
    claimed = replace(SUCCESS, tolerance=Tolerance(margin=margin, rationale="for a test"))
    found = judge_claim(evidence(values, claimed), driver="python", protocol="full")
    assert (found.outcome, found.rule) == (outcome, rule)
    assert found.score is not None
    assert found.score_interval is not None
    if outcome is Outcome.REPRODUCED:
        assert found.score_interval[0] >= 0.5
    if outcome is Outcome.NOT_REPRODUCED:
        assert found.score_interval[1] <= 0.5
        assert found.p_not_reproduced is not None
        assert found.p_not_reproduced <= 0.05


def test_an_arm_with_a_share_wants_reruns_until_none_could_change_the_answer() -> None:
    wanted = [wants_more([Evidence.of_runs(SUCCESS, RECIPE, reruns([500.0] * n))]) for n in (2, 5, 10)]
    assert wanted == [True, True, False]
    narrow = replace(SUCCESS, tolerance=Tolerance(margin=0.05, rationale="for a test"))
    assert not wants_more([Evidence.of_runs(narrow, RECIPE, reruns([500.0] * 6))])
    assert decide(evidence([500.0] * 9 + [9.0], narrow, RECIPE)).why == "budget"


@pytest.mark.parametrize(("control", "caught"), [([9.0] * 6, True), ([500.0] * 6, False)])
def test_a_control_of_a_share_is_caught_when_too_few_succeed(control: list[float], caught: bool) -> None:
    claimed = replace(SUCCESS, tolerance=Tolerance(margin=0.2, rationale="for a test"))
    found = judge_control(claimed, DESIGN, arm="broken", runs=reruns(control), faithful=reruns([500.0] * 8))
    assert (found.caught, found.differs_from_faithful) == (caught, caught)


PAIRED = replace(claim(10.0, 0.05, num_runs=5, values=(8.0, 9.0, 10.0, 11.0, 12.0), seeds=(0, 1, 2, 3, 4)), paired=True)


@pytest.mark.parametrize(
    ("shifts", "outcome"),
    [
        ([0.001, -0.002, 0.0015, 0.0, -0.001], Outcome.REPRODUCED),  # seeds scatter by 1.6, pairs by 0.001
        ([0.2, 0.21, 0.19, 0.2, 0.205], Outcome.NOT_REPRODUCED),
        ([0.0, 0.0], Outcome.REPRODUCED),  # each seed gives its own published value
        ([0.3, 0.3], Outcome.NOT_REPRODUCED),
    ],
)
def test_paired_reruns_are_judged_seed_by_seed(shifts: list[float], outcome: Outcome) -> None:
    values = [theirs + shift for theirs, shift in zip(PAIRED.published.values or (), shifts, strict=False)]
    found = judge_claim(evidence(values, PAIRED), driver="python", protocol="full")
    assert found.outcome is outcome
    assert found.difference == pytest.approx(sum(shifts) / len(shifts) if len(set(shifts)) == 1 else found.difference)
    unpaired = replace(PAIRED, paired=False)
    assert decide(evidence(values, unpaired)).outcome is Outcome.INCONCLUSIVE


def test_paired_reruns_that_ignore_their_seed_show_nothing() -> None:
    same_for_all = [10.0] * 5
    assert decide(evidence(list(same_for_all), PAIRED)).outcome is Outcome.INCONCLUSIVE
    equal_published = replace(PAIRED, published=replace(PAIRED.published, values=(10.0,) * 5))
    assert decide(evidence(list(same_for_all), equal_published)).rule == "equal_runs"


def test_a_best_of_k_audit_stops_as_futile_at_the_level_that_it_is_judged_at() -> None:
    """The chance of a decision must count with the quarter of alpha that the best of K gets."""
    asked = terms_of(claim(10.0, 1.0, best_of=5, family=Family(sd=0.25, df=20, cited_at="a test")), DESIGN)
    plain = to_batch([replace(asked, best_of=1)], [()])
    best = to_batch([asked], [()])
    assert best.alpha[0] == pytest.approx(plain.alpha[0] / 4)
    assert best.alpha_diverged[0] == plain.alpha_diverged[0]
