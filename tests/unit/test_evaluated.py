"""Claims on released weights: what one measurement with its noise over test items says of a printed number."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from releases.miniature import REPO, make_project, write_target

from openassay.core.claims import Citation, Claim, Published, Tolerance
from openassay.core.rerun_records import EvaluateRecord, Measurement
from openassay.core.tier_verdicts import judge_evaluated, judge_tiers, tier_words
from openassay.core.tiers import CPU, GPU, NOT_STATED, Evaluated, PublishedEvaluation, ReleasedWeights
from openassay.core.verdict import headline
from openassay.core.verdict_records import Outcome
from openassay.layout import Layout
from openassay.target import look_over_target

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


AS_PUBLISHED = PublishedEvaluation(
    harness="lm-evaluation-harness", version="0.4.0", task="arc_challenge", shots=25, sequences=4, item_bytes=200.0, source="a test"
)  # fmt: skip
WEIGHTS = ReleasedWeights(parameters=5_000_000_000, bytes=10_000_000_000, source="a test")
NOT_EVALUATED = replace(measured(), status="none", reason="the target declares no evaluation of released weights")


def test_the_time_is_two_operations_for_each_parameter_and_token() -> None:
    asked = Evaluated(items=1000, as_published=AS_PUBLISHED)
    tokens = 1000 * 4 * 26 * 200 / 4
    assert asked.seconds(WEIGHTS, GPU) == pytest.approx(2 * 5e9 * tokens / 1.5e14)
    assert asked.seconds(WEIGHTS, CPU) == pytest.approx(2 * 5e9 * tokens / 5e11)
    assert asked.takes(WEIGHTS) == "10 GB of weights, about 5.8 minutes on a GPU or 29 hours on a CPU"


@pytest.mark.parametrize("missing", [{"shots": None}, {"item_bytes": None}, {"items": None}])
def test_no_time_is_told_where_the_size_is_not_known(missing: dict[str, None]) -> None:
    of = {"items": 1000, "as_published": replace(AS_PUBLISHED, **{k: v for k, v in missing.items() if k != "items"})}
    asked = Evaluated(**(of | {k: v for k, v in missing.items() if k == "items"}))  # type: ignore[arg-type]
    assert asked.takes(WEIGHTS) == "10 GB of weights; its time is not known"


@pytest.mark.parametrize(
    ("told", "by"),
    [
        ({}, "it is arc_challenge with 25 shots, by lm-evaluation-harness (version 0.4.0), and takes 10 GB"),
        ({"shots": 1}, "it is arc_challenge with 1 shot, by"),
        ({"shots": None}, "it is arc_challenge, by"),
        ({"harness": NOT_STATED}, "by a harness that is not stated, and takes"),
    ],
)
def test_what_is_not_measured_says_what_it_would_take(told: dict[str, object], by: str) -> None:
    asked = claim(40.0, as_published=replace(AS_PUBLISHED, **told))  # type: ignore[arg-type]
    verdict = judge_evaluated(asked, NOT_EVALUATED, alpha=0.05, basis=(), weights=WEIGHTS)
    assert (verdict.outcome, verdict.tier) == (Outcome.NOT_ATTEMPTED, "evaluated")
    assert by in verdict.reason
    told_why = judge_tiers((verdict,), not_rerun="there is no recipe")
    assert told_why[1].reason == f"no claim was evaluated: {verdict.reason}"
    assert tier_words(told_why[1]) == "evaluated: 1 not tested"
    assert told_why[2].reason == "nothing was rerun: there is no recipe"


def test_an_evaluation_that_failed_says_so() -> None:
    failed = replace(NOT_EVALUATED, status="failed", reason="the weights are gone")
    verdict = judge_evaluated(claim(40.0, as_published=AS_PUBLISHED), failed, alpha=0.05, basis=(), weights=WEIGHTS)
    assert verdict.reason == "the weights are gone"


@pytest.mark.parametrize(
    ("weights", "told", "wrong"),
    [
        ({}, {}, None),
        (None, {}, "release.weights: missing"),
        ({"parameters": 0}, {}, "release.weights: parameters and bytes are at least 1"),
        ({}, {"shots": -1}, "shots is at least 0, sequences at least 1, item_bytes more than 0"),
        ({}, {"sequences": 0}, "shots is at least 0"),
        ({}, {"item_bytes": 0}, "shots is at least 0"),
    ],
)
def test_what_is_told_of_a_published_evaluation_is_checked(
    tmp_path: Path, weights: dict[str, int] | None, told: dict[str, int], wrong: str | None
) -> None:
    root = make_project(tmp_path / "project")
    data: dict[str, Any] = yaml.safe_load((REPO / "conf/target/amber.yaml").read_text())
    if weights is None:
        del data["release"]["weights"]
    else:
        data["release"]["weights"] |= weights
    data["claims"] = [of for of in data["claims"] if of["id"] == "mmlu_5shot"]
    data["claims"][0]["evaluated"]["as_published"] |= told
    write_target(root, data)
    _, problems = look_over_target(Layout(root, "amber"))
    assert [wrong is not None and wrong in of for of in problems] == [True] * (wrong is not None)


def test_a_number_that_evaluate_measures_is_not_declared_as_left_out(tmp_path: Path) -> None:
    root = make_project(tmp_path / "project")
    data: dict[str, Any] = yaml.safe_load((REPO / "conf/target/amber.yaml").read_text())
    (root / "conf/target/glue").mkdir(parents=True, exist_ok=True)
    (root / "conf/target/glue/amber.py").write_text("def measure():\n    return {}\n")
    data |= {
        "glue": "amber.py",
        "environment": {},
        "evaluate": {
            "run": {"kind": "glue", "function": "measure"},
            "measure": [{"read_from": "return", "key": "acc", "metric": "mmlu_5shot"}],
        },
    }
    write_target(root, data)
    _, problems = look_over_target(Layout(root, "amber"))
    assert [of.partition(": ")[2] for of in problems] == [
        f"claims.{[of['id'] for of in data['claims']].index('mmlu_5shot')}.evaluated.as_published: "
        "`evaluate` measures 'mmlu_5shot'; leave it out"
    ]
