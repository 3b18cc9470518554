"""When a value that a release does not state may be the reason of a difference."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from openassay.core.claims import Citation, Claim, Published, Tolerance
from openassay.core.verdict_records import Outcome
from openassay.drivers.job import Arm
from openassay.stages import judge

CLAIM = Claim(
    id="accuracy", metric="accuracy", published=Published(value=90.0), cited_at=Citation(url="https://example.org/1"),
    tolerance=Tolerance(margin=2.0, rationale="two points"),
)  # fmt: skip


def assumed(
    monkeypatch: pytest.MonkeyPatch, faithful: tuple[float, ...], arms: dict[str, dict[str, tuple[float, ...]]],
    outcome: Outcome = Outcome.NOT_REPRODUCED,
) -> str:  # fmt: skip
    """arms: of each unstated value, what the reruns of its other values gave."""
    given = {arm: values for of in arms.values() for arm, values in of.items()}
    told = lambda _claim, _design, *, arm, **_more: SimpleNamespace(runs=given[arm], outcome=outcome)  # noqa: E731
    monkeypatch.setattr(judge, "judge_control", told)
    monkeypatch.setattr(judge, "values_of", lambda runs, _metric: runs)
    rerun = SimpleNamespace(unstated_arms=lambda: {name: {arm: Arm() for arm in of} for name, of in arms.items()})
    plan = SimpleNamespace(rerun=rerun, design=lambda *_: None)
    return judge._assumed(
        cast("Any", plan), CLAIM, {"faithful": cast("Any", faithful)}, cast("Any", SimpleNamespace(planned={}))
    )


def test_a_value_without_another_one_may_always_be_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    assert assumed(monkeypatch, (80.0, 80.0), {"a": {}}) == "the release does not state a, and no other value was tried"


def test_another_value_that_is_not_shown_to_miss_the_number_may_be_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    said = assumed(monkeypatch, (80.0, 80.0), {"a": {"a_1": (89.0, 90.0)}}, Outcome.INCONCLUSIVE)
    assert said == "with other values of what it does not state, a 1 gives 89, 90"


def test_values_that_move_the_number_far_enough_only_together_may_be_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    near = {"a": {"a_1": (84.0, 84.0), "a_2": (79.0, 79.0)}, "b": {"b_1": (84.0, 84.0)}}
    assert "several other values together may move the number by 8" in assumed(monkeypatch, (80.0, 80.0), near)
    far = {"a": {"a_1": (83.0, 83.0)}, "b": {"b_1": (84.0, 84.0)}}
    assert assumed(monkeypatch, (80.0, 80.0), far) == ""


def test_nothing_unstated_is_no_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    assert assumed(monkeypatch, (80.0, 80.0), {}) == ""
