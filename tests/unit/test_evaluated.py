"""Claims on released weights: what one measurement with its noise over test items says of a printed number."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from openassay.core.claims import Citation, Claim, Published, Tolerance
from openassay.core.rerun_records import EvaluateRecord, Measurement
from openassay.core.tier_verdicts import judge_evaluated, judge_tiers, tier_words
from openassay.core.tiers import Evaluated
from openassay.core.verdict import headline
from openassay.core.verdict_records import Outcome

ITEMS = 1000
SE = 100 * (0.4 * 0.6 / (ITEMS - 1)) ** 0.5
"""Of 40 % in per cent: 1.55."""


def claim(printed: float, *, margin: float = 1.0, **more: object) -> Claim:
    told = {"items": ITEMS} | more
    return Claim(
        id="arc", metric="acc", unit="percent", published=Published(value=printed, rounding=0.01), cited_at=Citation(url="https://example.org"),
        tolerance=Tolerance(margin=margin, rationale="for a test"), evaluated=Evaluated(**told), testable=False,  # type: ignore[arg-type]
    )  # fmt: skip


def measured(**values: float | None) -> EvaluateRecord:
    taken = tuple(
        Measurement(metric=name, value=value, raw=str(value), step=None, self_reported=True)
        for name, value in values.items()
    )
    return EvaluateRecord(
        status="done", reason="", measurements=taken, environment={}, log_tail="", cpu_s=0.0, findings=()
    )


@pytest.mark.parametrize(
    ("printed", "more", "said"),
    [
        (40.0, {}, "REPRODUCED · evaluated · self-reported"),
        (40.9, {}, "REPRODUCED · evaluated · self-reported"),
        (40.0 + 2 * SE, {}, "NOT_REPRODUCED · evaluated"),
        (40.0 - 2 * SE, {}, "NOT_REPRODUCED · evaluated"),
        (40.0 + 1.2 * SE, {}, "INCONCLUSIVE · evaluated · items"),
        (40.0 + 2 * SE, {"differs": "the prompt is not published"}, "INCONCLUSIVE · evaluated · protocol"),
        (40.0, {"differs": "another version of the harness"}, "REPRODUCED · evaluated · self-reported"),
        (40.0 + 2 * SE, {"items": None, "standard_error": "acc_stderr"}, "NOT_REPRODUCED · evaluated"),
        (40.0 + 2 * SE, {"items": None, "standard_error": "unknown"}, "INCONCLUSIVE · evaluated · items"),
    ],
)  # fmt: skip
def test_a_number_of_released_weights_is_held_to_tolerance_items_and_protocol(
    printed: float, more: dict[str, object], said: str
) -> None:
    verdict = judge_evaluated(
        claim(printed, **more), measured(acc=40.0, acc_stderr=SE), alpha=0.05, basis=("self_reported",)
    )
    assert headline(verdict) == said
    assert more.get("differs", "") in verdict.reason  # type: ignore[operator]


@pytest.mark.parametrize(
    ("printed", "direction", "outcome"),
    [
        (50.0, "at_least", Outcome.NOT_REPRODUCED),
        (30.0, "at_least", Outcome.REPRODUCED),
        (30.0, "at_most", Outcome.NOT_REPRODUCED),
    ],
)
def test_one_sided_claims_are_held_to_their_side(printed: float, direction: str, outcome: Outcome) -> None:
    one_sided = replace(claim(printed), direction=direction)
    assert judge_evaluated(one_sided, measured(acc=40.0), alpha=0.05, basis=("measured",)).outcome is outcome


def test_a_noise_that_is_not_known_is_not_said_to_explain_anything() -> None:
    verdict = judge_evaluated(
        claim(45.0, items=None, standard_error="unknown"), measured(acc=40.0), alpha=0.05, basis=("measured",)
    )
    assert verdict.why == "items"
    assert verdict.reason.endswith("beyond ±1, and the test items' own noise is not known")


def test_without_a_number_nothing_is_said() -> None:
    for found in (measured(), measured(acc=None)):
        verdict = judge_evaluated(claim(40.0), found, alpha=0.05, basis=("measured",))
        assert (verdict.outcome, verdict.rule, verdict.score, verdict.basis) == (
            Outcome.NOT_ATTEMPTED,
            "not_evaluated",
            None,
            (),
        )


def test_the_tier_stands_beside_the_reruns_and_gives_no_release_its_outcome() -> None:
    verdict = judge_evaluated(claim(40.0), measured(acc=40.0), alpha=0.05, basis=("measured",))
    _, evaluated, rerun = judge_tiers((verdict,))
    assert (tier_words(evaluated), evaluated.share) == ("evaluated: 1 of 1 agree", 1.0)
    assert rerun.outcome is Outcome.NOT_ATTEMPTED


@pytest.mark.parametrize("share", [0.0, 0.004, 0.4, 0.998, 1.0])
def test_weights_that_give_their_number_are_never_accused(share: float) -> None:
    for printed in np.round(100 * share + np.linspace(-1, 1, 21), 2):
        verdict = judge_evaluated(claim(float(printed)), measured(acc=100 * share), alpha=0.05, basis=("measured",))
        assert verdict.outcome is Outcome.REPRODUCED
