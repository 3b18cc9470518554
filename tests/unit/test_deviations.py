"""What was different is named beside what came out, and the direction of a difference is always said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openassay.core.deviations import ComparedNumber, Deviation, better, figure, in_words, listed, way


def compared(outcome: str = "REPRODUCED", difference: float | None = 0.5, **changes: Any) -> ComparedNumber:
    """A claim on an accuracy of 80 per cent."""
    values = {"metric": "accuracy", "unit": "percent", "direction": "two-sided", "published": 80.0} | changes
    return ComparedNumber(outcome=outcome, difference=difference, **values)


DATA = Deviation(kind="other_data", what="the data as changed in 2017")
CODE = Deviation(kind="other_code", what="OpenAssay's own trainer")
FREE = Deviation(kind="unprotected", what="the release's code in no cage")


def test_one_claim_says_both_numbers_and_what_differed() -> None:
    said = in_words([compared()], [DATA, FREE, CODE])
    assert said == (
        "With the data as changed in 2017 and OpenAssay's own trainer, the reruns give 80.5 % for the published 80 %: within the "
        "tolerance that was declared beforehand"
    )


def test_a_difference_says_its_direction_and_what_it_means_for_the_release() -> None:
    said = in_words([compared("NOT_REPRODUCED", 5.0)], [])
    assert "The reruns give 85 % for the published 80 %, which is higher (better): outside" in said
    assert "lower (worse)" in in_words([compared("NOT_REPRODUCED", -5.0)], [])
    said = in_words([compared("INCONCLUSIVE", -3.0)], [], "too few reruns were made")
    assert said.endswith("80 %, which is lower (worse). Nothing is decided: too few reruns were made")


def test_several_claims_are_counted_by_what_came_out() -> None:
    claims = [
        compared("NOT_REPRODUCED", 5.0), compared("NOT_REPRODUCED", 2.0), compared(), compared("INCONCLUSIVE", 1.0),
        compared("NOT_ATTEMPTED", None),
    ]  # fmt: skip
    said = in_words(claims, [DATA])
    assert said == (
        "With the data as changed in 2017, 2 of 5 published numbers come out higher (better) than published, outside the declared "
        "tolerance, 1 comes out within the tolerance that was declared beforehand, 1 was not tested and 1 is not decided: higher "
        "(better) than published so far"
    )
    mixed = in_words([compared("NOT_REPRODUCED", 5.0), compared("NOT_REPRODUCED", -5.0), compared()], [])
    assert "come out 1 higher (better) and 1 lower (worse) than published" in mixed
    assert in_words([compared(), compared()], []).startswith("All 2 published numbers come out within")
    open_ = in_words([compared(), compared("INCONCLUSIVE", 1.0)], [], "more reruns would decide")
    assert open_.startswith("1 of 2 published numbers comes out within")
    assert open_.endswith("and 1 is not decided: higher (better) than published so far; more reruns would decide")
    diverged = in_words([compared("NOT_REPRODUCED", None), compared()], [])
    assert diverged.startswith("1 of 2 published numbers does not come out and 1 comes out within")


def test_nothing_tested_says_nothing_and_a_driver_says_its_own() -> None:
    assert in_words([compared("NOT_ATTEMPTED", None)], [DATA]) == ""
    assert in_words([], []) == ""
    own = in_words([compared()], [CODE], own="the checkpoints follow")
    assert own == "With OpenAssay's own trainer, the checkpoints follow"


@pytest.mark.parametrize(
    ("metric", "wanted"),
    [
        ("accuracy", "higher"), ("test_accuracy", "higher"), ("F1", "higher"), ("mean_episode_reward", "higher"),
        ("validation_loss", "lower"), ("word error rate", "lower"), ("test/perplexity", "lower"), ("wer", "lower"),
        ("num_parameters", None), ("released_tables", None), ("accuracy_loss", None), ("logprob", None), ("map", "higher"),
    ],
)  # fmt: skip
def test_which_way_a_metric_gets_better_is_said_only_where_it_is_known(metric: str, wanted: str | None) -> None:
    assert better(metric) == wanted


def test_a_claims_own_direction_goes_before_its_metrics_name() -> None:
    assert better("loss", "at_least") == "higher"
    assert better("accuracy", "at_most") == "lower"
    assert way(compared(difference=0.0)) == "equal"
    assert way(compared(metric="num_parameters", difference=1.0)) == "higher"
    assert way(compared(difference=None)) == ""


@given(
    st.lists(
        st.sampled_from(["REPRODUCED", "NOT_REPRODUCED", "INCONCLUSIVE", "NOT_ATTEMPTED"]), min_size=2, max_size=30
    )
)
def test_every_claim_is_counted_once(outcomes: list[str]) -> None:
    claims = [compared(of, None if of == "NOT_ATTEMPTED" else 1.0) for of in outcomes]
    said = in_words(claims, [])
    if set(outcomes) == {"NOT_ATTEMPTED"}:
        assert said == ""
        return
    if set(outcomes) == {"REPRODUCED"}:
        assert (
            said == f"All {len(outcomes)} published numbers come out within the tolerance that was declared beforehand"
        )
        return
    words = said.replace(",", "").split()
    counts = [int(word) for before, word in zip(["", *words], words, strict=False) if word.isdigit() and before != "of"]
    assert sum(counts) == len(outcomes)
    assert f"of {len(outcomes)} published numbers" in said


def test_figures_and_lists_are_written_as_people_do() -> None:
    assert figure(-0.5, "1") == "−0.5"
    assert figure(12.0, "nats") == "12 nats"
    assert listed(["a"], 3) == "a"
    assert listed(["a", "b", "c", "d", "e"], 3) == "a, b, c and 2 more"
    assert listed([], 3) == ""
