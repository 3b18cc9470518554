"""The verdict on numbers alone: what stops an audit, what it may look at, and that nothing odd passes."""

from __future__ import annotations

import json
import re
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
from openassay.scenario import Scenario, in_words, judge, judge_lines, read

ADAPTER = TypeAdapter(Scenario)
FAMILY = {"sd": 0.1, "df": 20}


def verdict(
    runs: list[float | None], *, tolerance: float = 1.0, direction: str = "two-sided", estimand: str = "number",
    look_often: bool = False, **more: Any,
) -> dict[str, Any]:  # fmt: skip
    data = {
        "claim": {"tolerance": tolerance, "direction": direction, "estimand": estimand},
        "published": {"mean": 10.0, "n": 5},
        "runs": runs,
    } | more
    return judge([ADAPTER.validate_python(data)], look_often=look_often)[0]


CLOSE, FAR, BETWEEN = [10.0, 10.05, 9.95, 10.02] * 3, [14.0, 14.1, 13.9, 14.05] * 3, [11.0, 11.05, 10.95, 11.02] * 3

CASES: list[tuple[str, dict[str, Any], str, str | None, str]] = [
    ("close", {"runs": CLOSE, "family": FAMILY}, "reproduced", None, "the recipe gives the published number"),
    ("close, the recipe asked", {"runs": CLOSE, "family": FAMILY, "estimand": "recipe"}, "reproduced", None, "what the published one does"),
    ("far", {"runs": FAR, "family": FAMILY}, "not_reproduced", None, "outside"),
    ("at the edge", {"runs": BETWEEN, "family": FAMILY}, "inconclusive", "more_runs", "all 12 runs are used"),
    ("one run", {"runs": CLOSE[:1], "family": FAMILY}, "inconclusive", "more_runs", "fewer than two runs"),
    ("no run", {"runs": []}, "inconclusive", "more_runs", "fewer than two runs"),
    ("two runs, noise unknown", {"runs": [9.5, 10.5]}, "inconclusive", "more_runs", "would decide"),
    ("noise unknown", {"runs": CLOSE}, "reproduced", None, "within"),
    ("below, one published training", {"runs": [8.5, 9.0, 8.2, 7.9], "published": {"mean": 10.0}}, "inconclusive", "number_not_reached", "number not reached: "),
    ("below, its luck small", {"runs": [8.5, 8.6, 8.2, 8.4], "published": {"mean": 10.0, "n": 50}}, "not_reproduced", None, "differs from the published one"),
    ("equal, noise unknown", {"runs": [10.0] * 10}, "inconclusive", "equal_runs", "equal runs"),
    ("equal, rounded", {"runs": [10.0] * 10, "published": {"mean": 10.0, "rounding": 0.1}}, "reproduced", None, "within"),
    ("deterministic", {"runs": [10.2, 10.2], "deterministic": True}, "reproduced", None, "2 equal reruns differ by +0.2"),
    ("deterministic, off", {"runs": [12.0, 12.0], "deterministic": True}, "not_reproduced", None, "outside"),
    ("deterministic, rounding", {"runs": [11.0] * 3, "deterministic": True, "published": {"mean": 10.0, "rounding": 1.0}}, "inconclusive", "rounding", "rounding decides"),
    ("deterministic, but is not", {"runs": CLOSE, "deterministic": True}, "reproduced", None, "within"),
    ("diverged", {"runs": [None, None, None, 10.0]}, "not_reproduced", None, "3 of 4 runs diverged"),
    ("one of three diverged", {"runs": [10.0, None, 10.01], "family": FAMILY}, "inconclusive", "divergence", "1 of 3 reruns diverged"),
    ("one of six diverged", {"runs": [10.0, None, 10.01, 10.0, 9.99, 10.02], "family": FAMILY}, "reproduced", None, "within"),
    ("hopeless for the recipe", {"runs": [10.0, 14.0, 7.0, 12.0, 9.0, 13.0], "published": {"mean": 10.0}, "estimand": "recipe"}, "inconclusive", "published_noise", "own luck is too large"),
    ("the same number", {"runs": [10.0, 14.0, 7.0, 12.0, 9.0, 13.0], "published": {"mean": 10.0}}, "inconclusive", "more_runs", "would decide"),
    ("a coarse print", {"runs": CLOSE, "published": {"mean": 10.0, "rounding": 6.0}}, "inconclusive", "rounding", "is too coarse"),
    ("the edge itself", {"runs": [11.0 + 0.5 * (-1) ** i for i in range(400)], "published": {"mean": 10.0}}, "inconclusive", "at_the_edge", "as large as the tolerance"),
    ("paired", {"runs": [1.0, 5.0, 9.0, 3.0], "published": {"values": [1.01, 4.98, 9.0, 3.02]}, "paired": True}, "reproduced", None, "within"),
    ("best of 10, mean lower", {"runs": CLOSE, "published": {"mean": 10.15, "best_of": 10, "better": "higher"}, "family": FAMILY}, "reproduced", None, "within"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "outcome", "why", "reason"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_each_kind_of_evidence_is_judged_as_it_should_be(
    data: dict[str, Any], outcome: str, why: str | None, reason: str
) -> None:
    found = verdict(**data)
    assert (found["verdict"], found["why"]) == (outcome, why), found
    assert reason in found["reason"]
    assert found["runs_used"] == len(data["runs"])  # a finished sample is used as a whole
    assert (found["verdict"] == "reproduced") == bool(found["shown"])


LOOKS: list[tuple[str, dict[str, Any], str, str | None, int]] = [
    ("close", {"runs": CLOSE, "family": FAMILY, "max_runs": 10}, "reproduced", None, 3),
    ("far", {"runs": FAR, "family": FAMILY, "max_runs": 10}, "not_reproduced", None, 2),
    ("noise unknown", {"runs": CLOSE, "max_runs": 10}, "reproduced", None, 3),
    ("too few offered", {"runs": CLOSE[:2]}, "inconclusive", "more_runs", 2),
    ("planned and spent", {"runs": BETWEEN, "max_runs": 8}, "inconclusive", "budget", 8),
    ("expensive and without prospects", {"runs": [10.996, 11.026, 10.936, 11.01, 10.98] * 3, "max_runs": 15, "expensive": True}, "inconclusive", "budget", 14),
    ("diverged", {"runs": [None, None, 10.0]}, "not_reproduced", None, 2),
]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "outcome", "why", "used"), [case[1:] for case in LOOKS], ids=[case[0] for case in LOOKS]
)
def test_a_sequential_test_stops_where_it_should(
    data: dict[str, Any], outcome: str, why: str | None, used: int
) -> None:
    found = verdict(**data, look_often=True)
    assert (found["verdict"], found["why"], found["runs_used"]) == (outcome, why, used), found


@given(st.permutations(list(range(9))))
def test_the_order_of_a_finished_sample_does_not_matter(order: list[int]) -> None:
    runs: list[float | None] = [10.3, 9.2, None, 10.9, 11.4, 8.7, 10.05, 9.6, 12.1]
    assert verdict([runs[i] for i in order]) == verdict(runs)


def test_an_open_sample_says_how_many_more_runs_decide_it_and_they_do() -> None:
    rng = np.random.default_rng(5)
    for _ in range(40):
        runs = rng.normal(10 + rng.uniform(-1.5, 1.5), rng.uniform(0.4, 2.5), int(rng.integers(3, 12)))
        found = verdict(runs.tolist())
        if found["verdict"] != "inconclusive" or found["more_runs_needed"] is None:
            continue
        total = len(runs) + found["more_runs_needed"]
        if total > 9_000:
            continue
        spread = np.std(runs, ddof=1)
        alike = np.random.default_rng(0).standard_normal(total)
        alike = (alike - alike.mean()) / np.std(alike, ddof=1) * spread + runs.mean()
        decided = verdict(alike.tolist())
        before = "number_not_reached" if found["why"] != "number_not_reached" else "never"
        assert decided["verdict"] != "inconclusive" or decided["why"] == before, (found, decided)


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
    data = (KINDS | INFEASIBLE)[kind](np.random.default_rng(seed), theta) | {"max_runs": 10}
    found = judge([ADAPTER.validate_python(data)], look_often=True)[0]
    used = found["runs_used"]
    assume(not data.get("paired") and found["verdict"] != "inconclusive")
    cut = judge([ADAPTER.validate_python(data | {"runs": data["runs"][:used]})], look_often=True)[0]
    more = data | {"runs": [*data["runs"][:used], 1.0, None, 0.0]}
    other = judge([ADAPTER.validate_python(more)], look_often=True)[0]
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
    elif found["why"] not in {"equal_runs", "divergence"}:
        assert low < 0.5
    if found["verdict"] == "not_reproduced":
        assert high <= 0.5


@pytest.mark.parametrize("look_often", [False, True])
def test_many_are_judged_as_one_by_one(look_often: bool) -> None:
    """Also their reasons: what one row says does not depend on its neighbours."""
    rng = np.random.default_rng(3)
    data = [
        ADAPTER.validate_python(make(rng, theta) | {"max_runs": 15})
        for make in (KINDS | INFEASIBLE).values() for theta in (0.0, 1.0)
    ]  # fmt: skip
    together = judge(data, look_often=look_often)
    for one, scenario in zip(together, data, strict=True):
        alone = judge([scenario], look_often=look_often)[0]
        assert one == alone | {"score": pytest.approx(alone["score"]), "interval": pytest.approx(alone["interval"])}


def test_an_accuracy_s_test_set_is_on_its_own_scale() -> None:
    text = {
        "metric": {"type": "accuracy", "test_n": 100},
        "claim": {"tolerance": 1},
        "published": {"mean": 94},
        "runs": [94, 94],
    }
    with pytest.raises(BadInput, match="an accuracy with test_n lies between 0 and 1; divide per cents by 100"):
        read(json.dumps(text).encode(), "standard input")


def test_equal_runs_accuse_nobody_and_show_no_interval() -> None:
    """Unless the recipe is declared deterministic: the seeds may never have arrived."""
    for more in ({"published": {"mean": 10.0, "rounding": 0.1}}, {"family": FAMILY}, {}):
        found = verdict([14.0] * 5, **more)
        assert (found["verdict"], found["why"], found["difference_interval"]) == ("inconclusive", "equal_runs", None), (
            more
        )
    exact = verdict([10.12345] * 5, published={"mean": 10.0, "rounding": 1.0})
    assert exact["why"] == "equal_runs"  # printed more finely than the published value
    assert verdict([14.0] * 5, deterministic=True)["verdict"] == "not_reproduced"
    other = {"published": {"mean": 10.0, "extra_sd": 5.0}, "deterministic": True}
    assert verdict([14.0] * 3, **other)["verdict"] == "inconclusive"
    lost = verdict([10.1, 10.1, None, None], deterministic=True)
    assert (lost["verdict"], lost["why"]) == ("inconclusive", "divergence")


def test_a_coarse_print_of_a_standard_error_is_widened_before_it_is_scaled() -> None:
    runs: list[float | None] = [10.45, 10.40]
    zero = {"mean": 10.0, "n": 30, "rounding": 0.1, "sd": 0.0, "sd_is": "standard_error"}
    found = verdict(runs, tolerance=0.2, published=zero)
    assert found["verdict"] == "inconclusive"


@pytest.mark.parametrize(
    ("spread", "equal_to"),
    [
        ({"sd": 0.1, "sd_is": "standard_error", "n": 4}, {"sd": 0.2, "n": 4}),
        ({"sd": 0.1 * 3.182446305284263, "sd_is": "confidence_interval_95", "n": 4}, {"sd": 0.2, "n": 4}),
        ({"sd": 0.6, "sd_is": "over_units", "units": 9, "n": 10}, {"sd": 0.2, "n": 10}),
        ({"sd": 0.6, "sd_is": "over_items", "n": 4}, {"n": 4}),
    ],
)
def test_a_published_spread_is_read_as_what_it_is(spread: dict[str, Any], equal_to: dict[str, Any]) -> None:
    runs: list[float | None] = [10.1, 9.8, 10.3]
    found, expected = (verdict(runs, published={"mean": 10.0} | of) for of in (spread, equal_to))
    if spread["sd_is"] != "over_units":  # whose degrees of freedom are those of the units
        assert found["difference_interval"] == pytest.approx(expected["difference_interval"])
    assert found["difference"] == expected["difference"]


def test_a_spread_over_units_counts_with_their_degrees_of_freedom() -> None:
    runs: list[float | None] = [10.1, 9.8, 10.3]
    of_units = verdict(runs, published={"mean": 10.0, "sd": 0.6, "sd_is": "over_units", "units": 9})
    variance = (8 * 0.2**2 + 2 * np.var(runs, ddof=1)) / 10  # type: ignore[arg-type]
    half = stats.t.isf(0.05, 10) * np.sqrt(variance / 3)
    low, high = of_units["number_interval"]
    assert (high - low) / 2 == pytest.approx(half)


def test_the_largest_of_k_draws() -> None:
    draws = np.random.default_rng(0).standard_normal((200_000, 7)).max(axis=1)
    mean, variance = best_of(7)
    assert mean == pytest.approx(draws.mean(), abs=0.01)
    assert variance == pytest.approx(draws.var(), abs=0.01)
    assert best_of(1) == (0.0, 1.0)
    assert best_of(2)[0] == pytest.approx(1 / np.sqrt(np.pi))


NUM = 200
LIMIT = stats.binom.ppf(0.9999, NUM * len(KINDS), 0.055) / (NUM * len(KINDS))


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
    (
        '{"claim": {"tolerance": 1, "tolerance": 2}, "published": {"mean": 1}, "runs": []}',
        r"tolerance: it stands twice",
    ),
    ("[" * 100_000, r"invalid JSON|nested too deep"),
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
            (
                {"published": {"mean": 1, "sd": 0.1, "sd_is": "over_units"}},
                r"published: sd_is over_units needs sd, and units",
            ),
            ({"claim": {"tolerance": 1, "estimand": "both"}}, r"claim\.estimand: should be 'number' or 'recipe'"),
            ({"published": {}}, r"published: give either values, or mean"),
            ({"published": {"mean": 1, "values": [1]}}, r"published: give either values, or mean"),
            ({"published": {"values": []}}, r"published\.values: "),
            ({"published": {"mean": 1, "best_of": 3}}, r"published: best_of needs better"),
            ({"paired": True}, r"paired reruns need published values"),
            ({"declared_divergence_rate": 1.0}, r"declared_divergence_rate: should be less than 1"),
            ({"max_runs": 1}, r"max_runs: should be greater than or equal to 2"),
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
    path.write_text("\ufeffseed,loss\r\n0,3.279\r\n1,3.281\r\n2,3.2805\r\n3,3.2795\r\n4,3.28\r\n")
    done = command("--csv", str(path), "--published", "3.28", "--tolerance", "0.006")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("REPRODUCED (shown: number and recipe), by 5 of 5 runs: ")
    assert "number: " in done.stdout
    as_json = json.loads(command("--runs", str(path), "--published", "3.28", "--tolerance", "0.006", "--json").stdout)
    assert (as_json["verdict"], as_json["runs"][0]) == ("reproduced", 3.279)
    path.write_text("3.279\nhigh\n")
    done = command("--csv", str(path), "--published", "3.28", "--tolerance", "0.006")
    assert (done.returncode, "'high'" in done.stderr, done.stderr.count("\n")) == (2, True, 1)
    assert command("--csv", str(path)).returncode == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--published", "nan", "--tolerance", "1"), r"judge: --published: a finite number is needed, found"),
        (("--published", "inf", "--tolerance", "1"), r"judge: --published: a finite number is needed, found"),
        (("--published", "1", "--tolerance", "nan"), r"judge: --tolerance: a finite number is needed, found nan"),
        (("--published", "1", "--tolerance", "0"), r"judge: claim\.tolerance: should be greater than 0"),
        (
            ("--published", "1", "--tolerance", "1", "--estimand", "mean"),
            r"judge: claim\.estimand: should be 'number' or",
        ),
        (
            ("--published", "1", "--tolerance", "1", "--unit", "points"),
            r"judge: --unit: expected fraction or percent or",
        ),
        (
            ("--published", "1", "--tolerance", "1", "--fail-on", "bad"),
            r"judge: --fail-on: 'bad' is not a verdict; there are",
        ),
        (
            ("--published", "1", "--tolerance", "1", "--alpha", "0.5"),
            r"judge: claim\.alpha: should be less than or equal",
        ),
    ],
)
def test_a_wrong_option_is_one_line(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("1.0\n1.1\n")
    done = command("--runs", str(path), *options)
    assert done.returncode == 2
    assert re.match(f"error: {message}", done.stderr), done.stderr
    assert done.stderr.count("\n") == 1


def test_the_exit_status_is_for_ci(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(str(8.5 + 0.1 * i) for i in range(5)))
    options = ("--runs", str(path), "--published", "10", "--tolerance", "1")
    assert "INCONCLUSIVE · number not reached" in command(*options).stdout
    assert command(*options).returncode == 0
    assert command(*options, "--fail-on", "not-reproduced").returncode == 0
    assert command(*options, "--fail-on", "not-reproduced,number-not-reached").returncode == 1
    text = json.dumps(GOOD | {"runs": [1.0, 1.01, 0.99, 1.005]})
    assert command("--fail-on", "inconclusive", words=text).returncode == 0
    assert command("--jsonl", "--fail-on", "reproduced", words=text + "\n").returncode == 1


def test_what_is_odd_about_the_runs_is_said() -> None:
    found = verdict([10.0, 10.0, 10.1, 10.05], tolerance=0.3)
    assert ["to the last bit" in words for words in found["warnings"]] == [True]
    assert "warning: 2 of 4 reruns give the same number" in in_words(found, 4)
    assert verdict(CLOSE[:4])["warnings"] == []


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
    assert in_words(verdict([]), 0).startswith("INCONCLUSIVE · more runs, by 0 of 0 runs: too few reruns were made")
