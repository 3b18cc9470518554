"""The verdict on numbers alone: what stops an audit, what it may look at, and that nothing odd passes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calibration.scenarios import INFEASIBLE, KINDS
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from scipy import stats

from openassay.core.quality import two_groups
from openassay.core.sequential import best_of
from openassay.faults import BadInput
from openassay.scenario import Scenario, in_words, judge, judge_lines, read, read_column

ADAPTER = TypeAdapter(Scenario)
FAMILY = {"sd": 0.1, "df": 20}


def verdict(
    runs: list[float | None], *, tolerance: float = 1.0, direction: str = "two-sided", **more: Any
) -> dict[str, Any]:
    data = {
        "claim": {"tolerance": tolerance, "direction": direction},
        "published": {"mean": 10.0, "n": 5},
        "runs": runs,
    } | more
    return judge([ADAPTER.validate_python(data)])[0]


CLOSE, FAR, BETWEEN = [10.0, 10.05, 9.95, 10.02] * 3, [14.0, 14.1, 13.9, 14.05] * 3, [11.0, 11.05, 10.95, 11.02] * 3

CASES: list[tuple[str, dict[str, Any], str, int, str]] = [
    ("close", {"runs": CLOSE, "family": FAMILY}, "reproduced", 2, "within"),
    ("far", {"runs": FAR, "family": FAMILY}, "not_reproduced", 2, "outside"),
    ("at the edge", {"runs": BETWEEN, "family": FAMILY}, "inconclusive", 2, "futile"),
    ("one run", {"runs": CLOSE[:1], "family": FAMILY}, "inconclusive", 1, "needs runs"),
    ("no run", {"runs": []}, "inconclusive", 0, "needs runs"),
    ("two runs, noise unknown", {"runs": CLOSE[:2]}, "inconclusive", 2, "needs runs"),
    ("noise unknown", {"runs": CLOSE}, "reproduced", 3, "within"),
    ("equal, noise unknown", {"runs": [10.0] * 10}, "inconclusive", 10, "equal reruns"),
    ("equal, rounded", {"runs": [10.0] * 10, "published": {"mean": 10.0, "rounding": 0.1}}, "reproduced", 2, "within"),
    ("deterministic", {"runs": [10.2, 10.2], "deterministic": True}, "reproduced", 2, "within"),
    ("deterministic, off", {"runs": [12.0, 12.0], "deterministic": True}, "not_reproduced", 2, "outside"),
    ("deterministic, rounding", {"runs": [11.0] * 3, "deterministic": True, "published": {"mean": 10.0, "rounding": 1.0}}, "inconclusive", 2, "rounding"),
    ("deterministic, but is not", {"runs": CLOSE, "deterministic": True}, "reproduced", 3, "within"),
    ("diverged", {"runs": [None, None, 10.0]}, "not_reproduced", 2, "diverged"),
    ("one of three diverged", {"runs": [10.0, None, 10.01], "family": FAMILY}, "reproduced", 3, "within"),
    ("two of five diverged", {"runs": [None, 10.0, 10.01, None, 10.0, 10.0], "family": FAMILY}, "reproduced", 3, "within"),
    ("too many diverged to accept", {"runs": [10.0, None, None], "family": FAMILY}, "inconclusive", 3, "needs runs"),
    ("hopeless", {"runs": [10.0, 14.0, 7.0, 12.0, 9.0, 13.0, 8.0, 11.0, 10.0, 12.0], "published": {"mean": 10.0}}, "inconclusive", 4, "futile"),
    ("infeasible", {"runs": CLOSE, "family": {"sd": 5.0, "df": 20}}, "inconclusive", 2, "futile"),
    ("max_runs", {"runs": [9.6, 10.4, 10.1, 9.9, 10.0], "max_runs": 3}, "inconclusive", 3, "budget"),
    ("paired", {"runs": [1.0, 5.0, 9.0, 3.0], "published": {"values": [1.01, 4.98, 9.0, 3.02]}, "paired": True}, "reproduced", 3, "within"),
    ("best of 10, mean lower", {"runs": CLOSE, "published": {"mean": 10.15, "best_of": 10, "better": "higher"}, "family": FAMILY}, "reproduced", 2, "within"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "outcome", "used", "reason"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_each_kind_of_evidence_stops_where_it_should(
    data: dict[str, Any], outcome: str, used: int, reason: str
) -> None:
    found = verdict(**data)
    assert (found["verdict"], found["runs_used"]) == (outcome, used), found
    assert found["reason"].startswith(reason) or reason in found["reason"]


@pytest.mark.parametrize(
    ("direction", "shift", "outcome"),
    [
        ("at_least", 3.0, "reproduced"), ("at_least", -3.0, "not_reproduced"), ("at_least", 0.0, "reproduced"),
        ("at_most", 3.0, "not_reproduced"), ("at_most", -3.0, "reproduced"), ("at_most", 0.0, "reproduced"),
        ("two-sided", 3.0, "not_reproduced"), ("two-sided", -3.0, "not_reproduced"),
    ],
)  # fmt: skip
def test_a_one_sided_claim_has_one_edge(direction: str, shift: float, outcome: str) -> None:
    found = verdict([run + shift for run in CLOSE], direction=direction, family=FAMILY)
    assert found["verdict"] == outcome
    assert (found["score"] > 0.5) == (outcome == "reproduced")


any_kind = st.sampled_from([*KINDS, *INFEASIBLE])


@given(any_kind, st.integers(0, 10**6), st.sampled_from([0.0, 0.5, 1.0, 2.0]))
def test_runs_beyond_those_that_were_used_do_not_matter(kind: str, seed: int, theta: float) -> None:
    data = (KINDS | INFEASIBLE)[kind](np.random.default_rng(seed), theta)
    found = judge([ADAPTER.validate_python(data)])[0]
    used = found["runs_used"]
    assume(not data.get("paired"))
    cut = judge([ADAPTER.validate_python(data | {"runs": data["runs"][:used]})])[0]
    other = judge([ADAPTER.validate_python(data | {"runs": [*data["runs"][:used], 1e6, None, -1e6]})])[0]
    assert found == cut == other


@given(any_kind, st.integers(0, 10**6), st.sampled_from([0.0, 1.0, 2.0]))
def test_both_directions_are_treated_alike(kind: str, seed: int, theta: float) -> None:
    data = (KINDS | INFEASIBLE)[kind](np.random.default_rng(seed), theta)
    assume(data.get("metric", {}).get("type") != "accuracy")
    mirrored = json.loads(json.dumps(data))
    published = mirrored["published"]
    if "values" in published:
        published["values"] = [-x for x in published["values"]]
    else:
        published["mean"] = -published["mean"]
    if "better" in published:
        published["better"] = "lower"
    mirrored["runs"] = [None if x is None else -x for x in data["runs"]]
    mirrored["claim"]["direction"] = {"at_least": "at_most", "at_most": "at_least"}.get(
        data["claim"]["direction"], "two-sided"
    )
    one, other = judge([ADAPTER.validate_python(data)])[0], judge([ADAPTER.validate_python(mirrored)])[0]
    assert (one["verdict"], one["runs_used"]) == (other["verdict"], other["runs_used"])
    if one["score"] is not None:
        assert one["score"] == pytest.approx(other["score"], abs=1e-9)


@given(any_kind, st.integers(0, 10**6), st.sampled_from([0.0, 0.9, 1.0, 1.1, 3.0]))
def test_the_score_interval_says_what_the_verdict_says(kind: str, seed: int, theta: float) -> None:
    found = judge([ADAPTER.validate_python((KINDS | INFEASIBLE)[kind](np.random.default_rng(seed), theta))])[0]
    low, high = found["interval"]
    assert 0 <= low <= high <= 1
    if found["verdict"] == "reproduced":
        assert low >= 0.5 - 1e-9
    elif "equal" not in found["reason"] and "diverged" not in found["reason"]:
        assert low < 0.5
    if found["verdict"] == "not_reproduced":
        assert high <= 0.5


def test_many_are_judged_as_one_by_one() -> None:
    rng = np.random.default_rng(3)
    data = [ADAPTER.validate_python(make(rng, theta)) for make in (KINDS | INFEASIBLE).values() for theta in (0.0, 1.0)]
    together = judge(data)
    for one, scenario in zip(together, data, strict=True):
        alone = judge([scenario])[0]
        assert (one["verdict"], one["runs_used"], one["reason"]) == (
            alone["verdict"],
            alone["runs_used"],
            alone["reason"],
        )
        assert one["interval"] == pytest.approx(alone["interval"])


def test_a_hint_from_the_test_set_calls_no_tolerance_infeasible() -> None:
    accuracy = {"type": "accuracy", "test_n": 175}
    runs: list[float | None] = [0.817, 0.823, 0.811]
    found = verdict(runs, tolerance=0.0114, metric=accuracy, published={"mean": 0.814})
    assert found["plan"] == "std10"
    known = verdict(runs, tolerance=0.0114, metric=accuracy, published={"mean": 0.814, "sd": 0.009, "n": 10})
    assert (known["plan"], known["feasible"]) == ("std10", True)


def test_the_largest_of_k_draws() -> None:
    draws = np.random.default_rng(0).standard_normal((200_000, 7)).max(axis=1)
    mean, variance = best_of(7)
    assert mean == pytest.approx(draws.mean(), abs=0.01)
    assert variance == pytest.approx(draws.var(), abs=0.01)
    assert best_of(1) == (0.0, 1.0)
    assert best_of(2)[0] == pytest.approx(1 / np.sqrt(np.pi))


NUM = 400
LIMIT = stats.binom.ppf(0.9999, NUM * len(KINDS), 0.065) / (NUM * len(KINDS))


@pytest.fixture(scope="module")
def measured() -> dict[float, list[dict[str, Any]]]:
    rng = np.random.default_rng(17)
    return {
        theta: judge([ADAPTER.validate_python(make(rng, theta)) for make in KINDS.values() for _ in range(NUM)])
        for theta in (0.0, 1.0, 1.5, 2.0)
    }


def share(found: list[dict[str, Any]], outcome: str) -> float:
    return float(np.mean([one["verdict"] == outcome for one in found]))


def test_on_scenarios_of_many_kinds_the_error_rates_are_those_promised(
    measured: dict[float, list[dict[str, Any]]],
) -> None:
    assert share(measured[1.0], "reproduced") <= LIMIT
    assert share(measured[1.0], "not_reproduced") <= LIMIT
    assert share(measured[1.5], "reproduced") <= 0.02
    assert share(measured[0.0], "not_reproduced") <= 0.01
    assert share(measured[0.0], "reproduced") >= 0.80
    assert share(measured[2.0], "not_reproduced") >= 0.90
    assert np.mean([one["runs_used"] for found in measured.values() for one in found]) <= 3.5


def test_the_score_interval_covers_the_true_score(measured: dict[float, list[dict[str, Any]]]) -> None:
    covered = [
        one["interval"][0] - 1e-9 <= 2 ** -(theta**2) <= one["interval"][1] + 1e-9
        for theta, found in measured.items() for one in found
    ]  # fmt: skip
    assert np.mean(covered) >= 0.93


GOOD = {"claim": {"tolerance": 1.0}, "published": {"mean": 1.0}, "runs": [1.0, 2.0]}

BAD: list[tuple[str, str]] = [
    ("", r"invalid JSON"),
    ("[]", r"should be an object"),
    ('{"claim": {"tolerance": 1}, "published": {"mean": 1}, "runs": [NaN]}', r"runs\.0: should be a finite number"),
    ('{"claim": {"tolerance": 1}, "published": {"mean": 1}, "runs": [1e999]}', r"runs\.0: should be a finite number"),
    *[
        (json.dumps(GOOD | change), message)
        for change, message in [
            ({"runs": ["1.0"]}, r"runs\.0: should be a valid number"),
            ({"runs": [True]}, r"runs\.0: should be a valid number"),
            ({"runs": [1e200]}, r"runs\.0: a number is needed whose square is one too"),
            ({"runs": None}, r"runs: "),
            ({"claim": {"tolerance": 0}}, r"claim\.tolerance: should be greater than 0"),
            ({"claim": {"tolerance": -1}}, r"claim\.tolerance: should be greater than 0"),
            ({"claim": {"tolerance": 1e-300}}, r"claim\.tolerance: a number is needed whose square"),
            ({"claim": {"tolerance": 1, "alpha": 0.5}}, r"claim\.alpha: should be less than or equal to 0\.1"),
            ({"claim": {"tolerance": 1, "direction": "up"}}, r"claim\.direction: should be 'two-sided'"),
            ({"published": {"mean": 1, "sd": -0.1, "n": 3}}, r"published\.sd: should be greater than or equal to 0"),
            ({"published": {"mean": 1, "n": 0}}, r"published\.n: should be greater than or equal to 1"),
            ({"published": {"mean": 1, "sd": 0.1}}, r"published: sd needs n of 2 or more"),
            ({"published": {}}, r"published: give either values, or mean"),
            ({"published": {"mean": 1, "values": [1]}}, r"published: give either values, or mean"),
            ({"published": {"values": []}}, r"published\.values: "),
            ({"published": {"mean": 1, "best_of": 3}}, r"published: best_of needs better"),
            ({"paired": True}, r"paired reruns need published values"),
            ({"declared_divergence_rate": 1.0}, r"declared_divergence_rate: should be less than 1"),
            ({"max_runs": 0}, r"max_runs: should be greater than or equal to 1"),
            ({"tolerence": 1}, r"tolerence: unknown key"),
        ]
    ],
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_a_mistake_is_named_in_one_line(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        read(text.encode(), "standard input")
    assert "\n" not in str(caught.value)


@given(
    st.lists(st.one_of(st.none(), st.floats(-1e150, 1e150).filter(lambda x: x == 0 or abs(x) > 1e-150)), max_size=12),
    st.floats(1e-149, 1e149),
    st.floats(-1e149, 1e149).filter(lambda x: x == 0 or abs(x) > 1e-149),
)
def test_huge_and_tiny_numbers_end_in_an_answer(runs: list[float | None], tolerance: float, mean: float) -> None:
    found = verdict(runs, tolerance=tolerance, published={"mean": mean})
    assert found["verdict"] in {"reproduced", "not_reproduced", "inconclusive"}
    json.dumps(found, allow_nan=False)


def command(*arguments: str, words: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("openassay")), "judge", *arguments],
        input=words,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_answers_line_by_line_and_stops_at_a_mistake() -> None:
    good = json.dumps(GOOD)
    done = command("--jsonl", words=f"{good}\n\n{good}\n{{}}\n{good}\n")
    assert done.returncode == 2
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr == "error: standard input, line 4: claim: missing; it must be given\n"
    assert json.loads(command(words=good).stdout) == json.loads(done.stdout.splitlines()[0])


def test_lines_are_judged_in_order_though_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openassay.scenario.CHUNK", 2)
    lines = [json.dumps(GOOD | {"id": number}).encode() for number in range(5)]
    assert [json.loads(line)["id"] for line in judge_lines(lines)] == list(range(5))


def test_a_table_of_runs_is_judged(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("\ufeffseed,loss\r\n0,3.279\r\n1,3.281\r\n2,\r\n3,nan\r\n4,3.28\r\n")
    assert read_column(path, "loss") == [3.279, 3.281, None, None, 3.28]
    with pytest.raises(BadInput, match="it has 2 columns; name one by --column: seed, loss"):
        read_column(path, None)
    with pytest.raises(BadInput, match="there is no column 'acc'; it has seed, loss"):
        read_column(path, "acc")
    path.write_text("3.279\n3.281\n3.28\n3.2795\n")
    done = command("--csv", str(path), "--published", "3.28", "--tolerance", "0.006")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("REPRODUCED after ")
    assert "score" in done.stdout
    path.write_text("3.279\nhigh\n")
    done = command("--csv", str(path), "--published", "3.28", "--tolerance", "0.006")
    assert done.returncode == 2
    assert "row 2: a number is needed, found 'high'" in done.stderr
    assert command("--csv", str(path)).returncode == 2


def test_what_is_odd_about_the_runs_is_said() -> None:
    found = verdict([10.0, 10.0, 10.1, 10.05], tolerance=0.3)
    assert ["to the last bit" in words for words in found["warnings"]] == [True]
    assert "warning: 2 of" in in_words(found, 4)
    assert verdict(CLOSE)["warnings"] == []


def test_runs_in_two_groups_are_noticed_and_normal_ones_are_not() -> None:
    assert two_groups([9.0, 500.0, 10.0, 498.0, 499.0]) == (10.0, 498.0)
    assert two_groups([1.0, 1.0, 1.0, 1.0]) is None
    assert two_groups([9.0, 500.0, 500.0]) is None
    rng = np.random.default_rng(0)
    for n in (4, 5, 10):
        alarms = sum(two_groups(rng.standard_normal(n).tolist()) is not None for _ in range(2000))
        assert alarms <= stats.binom.ppf(0.9999, 2000, 0.011)
        assert (
            sum(two_groups([*rng.normal(0, 0.1, n - 2), *rng.normal(5, 0.1, 2)]) is not None for _ in range(50)) >= 45
        )
    assert any("two groups" in words for words in verdict([9.0, 20.0, 9.5, 20.5, 9.2], tolerance=0.3)["warnings"])


def test_paired_runs_that_give_their_own_seeds_values_are_reproduced() -> None:
    scenario = {"published": {"values": [1.0, 2.0, 3.0]}, "claim": {"tolerance": 0.1}, "paired": True}
    text = json.dumps({**scenario, "runs": [1.0, 2.0, 3.0]}).encode()
    assert judge([read(text, "here")])[0]["verdict"] == "reproduced"
    rounded = {**scenario, "published": {"values": [1.0, 2.0, 3.0], "rounding": 1.0}, "runs": [1.0, 2.0]}
    assert judge([read(json.dumps(rounded).encode(), "here")])[0]["verdict"] == "inconclusive"


def test_a_verdict_without_values_has_words_too() -> None:
    assert in_words(verdict([]), 0).startswith("INCONCLUSIVE after 0 of 0 runs: needs runs")
