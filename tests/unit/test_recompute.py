"""Recomputed claims: numbers selected from published files, expressions that run nothing, and what they say of a printed number."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openassay.core.claims import Citation, Claim, Published, Tolerance
from openassay.core.findings import Recomputed
from openassay.core.tier_verdicts import judge_recomputed, judge_tiers, tier_words
from openassay.core.tiers import Recomputation, Selection
from openassay.core.verdict import headline
from openassay.core.verdict_records import Outcome, Verdict
from openassay.faults import BadInput
from openassay.recompute.compute import recompute
from openassay.recompute.declared import check_recomputation
from openassay.recompute.expressions import Calculator, Numbers, parse_expression
from openassay.recompute.selections import printed_number

README = """# Amberlike
Each sample has `2049` tokens. It has 6.7B parameters[^1], and was trained on 1.2 trillion tokens.

| Subset | Tokens (Billion) | Share |
|---|---|---|
| web | 30.00 | 50 % |
| **code** | 29.50† | 49 % |
| math | 0.61 | 1 % |
| Total | 60.11 | 100 % |

||MMLU (5-shot)|ARC|
|---|---|---|
|small|45.9|1,720,320|
|large|~70|15T+|
"""
TRAIN = "N_CHUNKS = 360\nPER_CHUNK = 1_000 * 20\n\nclass Args:\n    dim: int = 64\n    heads = 4\n\nmodel = Config(width=4 * 16, heads=8)\nother = Config(width=64, heads=2)\n"
SETTINGS = "train:\n  steps: 143000\n  saved: [0, 1, 2, 4]\n  rate: 1e-4\n"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    (folder / "README.md").write_text(README)
    (folder / "train.py").write_text(TRAIN)
    (folder / "settings.yaml").write_text(SETTINGS)
    (folder / "broken.json").write_text('{"results": ')
    for model in ("a", "b"):
        for step in (0, 1, 1000):
            tasks = {
                task: {"acc": round((at + (5 if step == 1000 else 0)) / 40, 6), "acc_stderr": 0.05 if at else 0.0}
                for at, task in enumerate(("arc", "piqa", "sciq"))
            }
            results = {"results": tasks | {"ppl": {"word_perplexity": 3.0}}}
            path = folder / "evals" / model / f"{model}_step{step}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(results))
    (folder / "steps.csv").write_text("Step,Where\n1000,a\n2000,b\n")
    return folder


def of(value: str, control: str = "0", **numbers: dict[str, Any]) -> Recomputation:
    selections = {name: Selection(artifact="code", **given) for name, given in numbers.items()}
    return Recomputation(numbers=selections, value=value, control=control, control_is="another number")


def found(root: Path, value: str, **numbers: dict[str, Any]) -> Recomputed:
    (one,) = recompute({"claim": of(value, **numbers)}, {"claim": Citation(url="https://example.org")}, {"code": root})
    return one


README_AT: dict[str, Any] = {"path": "README.md"}


@pytest.mark.parametrize(
    ("value", "numbers", "expected"),
    [
        ("n * m", {"n": {"path": "train.py", "constant": "N_CHUNKS"}, "m": {"path": "train.py", "constant": "PER_CHUNK"}}, 7_200_000),
        ("n", {"n": {"path": "train.py", "constant": "Args.dim"}}, 64),
        ("n", {"n": {"path": "train.py", "argument": "Config.width"}}, 64),
        ("n", {"n": {"path": "settings.yaml", "key": "train.steps"}}, 143000),
        ("n", {"n": {"path": "settings.yaml", "key": "train.rate"}}, 1e-4),
        ("count(n) + sum(n)", {"n": {"path": "settings.yaml", "key": "train.saved.*"}}, 11),
        ("n", {"n": {**README_AT, "words": "Each sample has `{}` tokens"}}, 2049),
        ("n", {"n": {**README_AT, "words": "trained on {} trillion tokens"}}, 1.2),
        ("n", {"n": {**README_AT, "table": ("Subset",), "row": ("Total",), "column": "Tokens (Billion)"}}, 60.11),
        ("sum(n)", {"n": {**README_AT, "table": ("Subset",), "without": ("Total",), "column": "Tokens (Billion)"}}, 60.11),
        ('n["ARC"] / 2', {"n": {**README_AT, "table": ("MMLU (5-shot)",), "row": ("small",)}}, 860160),
        ("max(n) - min(n)", {"n": {"path": "steps.csv", "table": ("Step",), "column": "Step"}}, 1000),
        ("sum(a.acc != b.acc)", {"a": {"path": "evals/*/*_step0.json", "key": "results.*"},
                                 "b": {"path": "evals/*/*_step1.json", "key": "results.*"}}, 0),
        ("sum(a.acc != b.acc)", {"a": {"path": "evals/*/*_step0.json", "key": "results.*"},
                                 "b": {"path": "evals/*/*_step1000.json", "key": "results.*"}}, 6),
        ("count(a.acc)", {"a": {"path": "evals/**/*.json", "key": "results.*"}}, 18),
        ("count(where(a.acc, a.acc_stderr > 0))", {"a": {"path": "evals/**/*.json", "key": "results.*"}}, 12),
        ("sum(not_whole(a.acc * 40))", {"a": {"path": "evals/**/*.json", "key": "results.*"}}, 0),
    ],
)  # fmt: skip
def test_a_number_is_read_where_it_stands(root: Path, value: str, numbers: dict[str, Any], expected: float) -> None:
    one = found(root, value, **numbers)
    assert one.problem == ""
    assert one.value is not None
    assert one.value.value == pytest.approx(expected)
    assert all(read.places and read.count for read in one.numbers)


def test_places_name_file_line_and_what_stands_there(root: Path) -> None:
    one = found(root, "n", n={**README_AT, "table": ("Subset",), "row": ("web",), "column": "Tokens (Billion)"})
    (place,) = one.numbers[0].places
    assert (place.path, place.line, place.key, place.value) == ("README.md", 6, "Tokens (Billion)", "30.00")


@pytest.mark.parametrize(
    ("value", "numbers", "told"),
    [
        ("n", {"n": {"path": "none.md", "words": "{}"}}, "code: none.md: expected a file of this name, found none"),
        ("n", {"n": {"path": "broken.json", "key": "a"}}, "code: broken.json: expected a file that can be read, found: not JSON"),
        ("n", {"n": {"path": "settings.yaml", "key": "other.steps"}}, "expected a value at the key 'other.steps', found none; there is train.steps"),
        ("n", {"n": {"path": "settings.yaml", "key": "train"}}, "expected a number at the key 'train', found {'steps': 143000"),
        ("n", {"n": {"path": "train.py", "constant": "OTHER"}}, "code: train.py: expected a number at the constant 'OTHER', found none"),
        ("n", {"n": {"path": "train.py", "argument": "Config.heads"}}, "expected one plain number for Config.heads, found 8 (line 8), 2 (line 9)"),
        ("n", {"n": {**README_AT, "words": "with {} tokens"}}, "expected the words 'with {} tokens' with a number, found none"),
        ("n", {"n": {**README_AT, "table": ("Set",), "column": "Tokens", "row": ("web",)}}, "found Subset | Tokens (Billion) | Share; "),
        ("n", {"n": {**README_AT, "table": ("Subset",), "column": "Share", "row": ("other",)}}, "and a row with 'other'"),
        ("n", {"n": {**README_AT, "table": ("ARC",), "column": "ARC", "row": ("large",)}}, "README.md:14, column 'ARC': expected a number, found '15T+'"),
        ("n", {"n": {**README_AT, "table": ("ARC",), "column": "MMLU (5-shot)", "row": ("large",)}}, "expected a number, found '~70'"),
        ("n / (n - n)", {"n": {"path": "settings.yaml", "key": "train.steps"}}, "`n / (n - n)`: expected a finite number, found a division by zero"),
        ("n", {"n": {"path": "settings.yaml", "key": "train.saved.*"}}, "`n`: expected one number, found 4; use sum, mean"),
        ("sum(a.acc - n)", {"a": {"path": "evals/a/*_step0.json", "key": "results.*"}, "n": {"path": "settings.yaml", "key": "train.saved.*"}},
         "expected common labels, found none"),
        ("sum(a.f1)", {"a": {"path": "evals/a/*.json", "key": "results.*"}}, "code: evals/a/*.json: expected a number at the key 'results.*', found none"),
    ],
)  # fmt: skip
def test_what_cannot_be_computed_is_one_line_with_its_place(
    root: Path, value: str, numbers: dict[str, Any], told: str
) -> None:
    one = found(root, value, **numbers)
    assert one.value is None
    assert told in one.problem
    assert "\n" not in one.problem


def test_an_artifact_that_could_not_be_fetched_is_named(root: Path) -> None:
    declared = {"c": of("n", n={"path": "train.py", "constant": "N_CHUNKS"})}
    (one,) = recompute(declared, {"c": Citation(url="https://example.org")}, {})
    assert one.problem == "the artifact code could not be fetched"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("31.22", (31.22, 0.005)), ("1,720,320", (1720320, 0)), ("64", (64, 0)), ("6.7B", (6.7e9, 0.05e9)), ("**45.9**†", (45.9, 0.05)),
        ("45.9[^1]", (45.9, 0.05)), ("50 %", (50, 0)), ("2.0T", (2e12, 0.05e12)), ("−0.5", (-0.5, 0.05)), ("7M", (7e6, 0.5e6)),
        ("1.2 trillion", (1.2e12, 0.05e12)), ("3e-4", (3e-4, 0.5e-4)), ("1.0e5", (1e5, 0.5e5)), ("45.9<sup>a</sup>", (45.9, 0.05)),
        ("15T+", None), ("~7B", None), ("10<sup>4</sup>", None), ("10⁴", None), ("–", None), ("", None), ("4k-8k", None), ("1,72", None),
    ],
)  # fmt: skip
def test_printed_numbers_have_the_rounding_of_their_digits(text: str, expected: tuple[float, float] | None) -> None:
    assert printed_number(text) == (pytest.approx(expected) if expected else None)


@pytest.mark.parametrize(
    "text",
    ["__import__('os').system('x')", "n.__class__.__mro__", "[n for n in m]", "lambda: 1", "n if m else n", "n and m", "n @ m", "n // m",
     "1 < n < 2", "sum(n, m)", "sum(n=1)", "f(n)", "'a' * 9", "True", "n[0]", "n[m]", "1e400", "n := 1", "", "n +", "~n", "where(n)"],
)  # fmt: skip
def test_nothing_but_arithmetic_is_an_expression(text: str) -> None:
    with pytest.raises(BadInput, match=r"^claim: expected ") as caught:
        parse_expression(text, "claim")
    assert "\n" not in str(caught.value)


def test_an_expression_without_an_end_is_refused() -> None:
    for text in ("(" * 300 + "n" + ")" * 300, "-" * 500 + "n", "+".join(["n"] * 1500), "n**" * 200 + "n"):
        with pytest.raises(BadInput, match="expected"):
            parse_expression(text, "claim")


def test_towers_of_powers_end_at_once() -> None:
    with pytest.raises(BadInput, match="overflow"):
        Calculator({}).compute(parse_expression("9**9**9**9**9", "claim"))


@pytest.mark.parametrize("text", ["1 / x", "x ** -1", "x ** -2", "x ** (0 - y)"])
def test_no_power_passes_over_a_division_by_zero(text: str) -> None:
    """Rounding may have made x of 0: then 1/x is anything."""
    sources = {"x": {"": Numbers.one(0.5, 1.5)}, "y": {"": Numbers.one(1.0)}}
    with pytest.raises(BadInput, match="found a division by zero"):
        Calculator(sources).compute(parse_expression(text, "claim"))


RANGE = st.floats(min_value=-50, max_value=50, allow_nan=False)


@given(
    st.sampled_from(["a + b * c", "a - b - c", "a * (b - c)", "(a + b) / (abs(c) + 1)", "abs(a) * b", "(a * b) ** 2", "(abs(a) + 1) ** -2", "a ** 3", "round(a) + ceil(b) - c"]),
    st.lists(st.tuples(RANGE, st.floats(0, 3), st.floats(-1, 1)), min_size=3, max_size=3),
)  # fmt: skip
def test_whatever_was_rounded_away_the_value_lies_within_the_ends(
    text: str, given_: list[tuple[float, float, float]]
) -> None:
    """Python computes the same text at a point of the intervals."""
    sources = {name: {"": Numbers.one(value, half)} for name, (value, half, _) in zip("abc", given_, strict=True)}
    ours = Calculator(sources).compute(parse_expression(text, "claim"))
    at = {name: value + share * half for name, (value, half, share) in zip("abc", given_, strict=True)}
    theirs = eval(text, {"__builtins__": {}, "abs": abs, "round": round, "ceil": math.ceil}, at)  # noqa: S307 - the test's own text
    slack = 1e-9 * max(1.0, abs(theirs))
    assert ours.low[0] - slack <= theirs <= ours.high[0] + slack


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-1, 1)), min_size=2, max_size=12))
def test_functions_of_many_agree_with_the_standard_library_within_their_ends(given_: list[tuple[float, float]]) -> None:
    values, half = np.array([value for value, _ in given_]), 0.05
    labels = tuple(map(str, range(len(values))))
    sources = {"x": {"": Numbers(value=values, low=values - half, high=values + half, labels=labels)}}
    moved = [value + share * half for value, share in given_]
    theirs = {"sum": sum, "mean": statistics.fmean, "min": min, "max": max, "sd": statistics.stdev}
    for name, function in theirs.items():
        ours = Calculator(sources).compute(parse_expression(f"{name}(x)", "claim"))
        assert ours.value[0] == pytest.approx(function(values.tolist()), abs=1e-9)
        assert ours.low[0] - 1e-9 <= function(moved) <= ours.high[0] + 1e-9


def claim(
    value: float, *, rounding: float = 0.0, margin: float = 0.5, recomputation: Recomputation | None = None
) -> Claim:
    return Claim(
        id="claim", metric="m", published=Published(value=value, rounding=rounding), cited_at=Citation(url="https://example.org"),
        tolerance=Tolerance(margin=margin, rationale="for a test"), recompute=recomputation or of("1"), testable=False,
    )  # fmt: skip


def judged(
    root: Path, printed: float, value: str, control: str, *, margin: float = 0.5, **numbers: dict[str, Any]
) -> Verdict:
    asked = claim(printed, margin=margin, recomputation=of(value, control, **numbers))
    return follows(root, asked)


def follows(root: Path, asked: Claim) -> Verdict:
    assert asked.recompute
    (one,) = recompute({asked.id: asked.recompute}, {asked.id: asked.cited_at}, {"code": root})
    return judge_recomputed(asked, one)


CHUNKS: dict[str, Any] = {"n": {"path": "train.py", "constant": "N_CHUNKS"}}
SUBSETS: dict[str, Any] = {
    "n": {**README_AT, "table": ("Subset",), "without": ("Total",), "column": "Tokens (Billion)"}
}


@pytest.mark.parametrize(
    ("printed", "value", "control", "margin", "numbers", "said"),
    [
        (360, "n", "n - 1", 0.5, CHUNKS, "REPRODUCED · recomputed"),
        (361, "n", "n - 1", 0.5, CHUNKS, "NOT_REPRODUCED · recomputed"),
        (360, "n", "n + 0.1", 0.5, CHUNKS, "INCONCLUSIVE · recomputed · control"),
        (60.11, "sum(n)", "max(n)", 0.02, SUBSETS, "REPRODUCED · recomputed"),  # three numbers rounded to 0.01: ± 0.015
        (60.11, "sum(n)", "max(n)", 0.01, SUBSETS, "INCONCLUSIVE · recomputed · rounding"),
        (60.14, "sum(n)", "max(n)", 0.01, SUBSETS, "NOT_REPRODUCED · recomputed"),
        (360, "n.x", "n", 0.5, CHUNKS, "NOT_ATTEMPTED"),
    ],
)  # fmt: skip
def test_the_verdict_is_that_of_the_whole_interval_and_of_the_control(
    root: Path, printed: float, value: str, control: str, margin: float, numbers: dict[str, Any], said: str
) -> None:
    verdict = judged(root, printed, value, control, margin=margin, **numbers)
    assert headline(verdict) == said
    assert verdict.tier == "recomputed"
    assert (verdict.score is None) == (verdict.outcome is Outcome.NOT_ATTEMPTED)


@pytest.mark.parametrize("altered", ["350", "361", "3600", "36"])
def test_one_changed_digit_is_caught(root: Path, tmp_path: Path, altered: str) -> None:
    (tmp_path / "train.py").write_text(TRAIN.replace("360", altered))
    assert judged(tmp_path, 360, "n", "n - 1", **CHUNKS).outcome is Outcome.NOT_REPRODUCED
    assert judged(root, 360, "n", "n - 1", **CHUNKS).outcome is Outcome.REPRODUCED


@pytest.mark.parametrize(
    ("quote", "where", "told"),
    [
        ("| Total | 60.11 | 100 % |", {**README_AT, "table": ("Subset",), "row": ("Total",), "column": "Tokens (Billion)"}, True),
        ("It has 6.7B parameters", {**README_AT, "table": ("Subset",), "row": ("Total",), "column": "Tokens (Billion)"}, False),
    ],
)  # fmt: skip
def test_a_number_does_not_follow_from_itself(root: Path, quote: str, where: dict[str, Any], told: bool) -> None:
    asked = replace(
        claim(60.11, recomputation=of("n", n=where)), cited_at=Citation(artifact="code", path="README.md", quote=quote)
    )
    verdict = follows(root, asked)
    assert (verdict.outcome is Outcome.NOT_ATTEMPTED) == told
    assert ("it would follow from itself" in verdict.reason) == told


@pytest.mark.parametrize(
    ("words", "told"),
    [("saw {}", "expected the words"), ("{} tokens", "expected the words"), ("of {}", "expected the words"), ("at {} and", None), ("use {} GPUs", None)],
)  # fmt: skip
def test_part_of_a_number_is_no_number(tmp_path: Path, words: str, told: str | None) -> None:
    (tmp_path / "README.md").write_text("It saw 15T+ and 12_049 tokens of 299,892,73, at 1.5 and 7, use 64 GPUs.\n")
    one = found(tmp_path, "n", n={**README_AT, "words": words})
    assert told in one.problem if told else one.problem == ""


def test_tiers_are_never_mixed(root: Path) -> None:
    """What follows from files makes no release REPRODUCED, and no rerun's score better."""
    agrees, differs = (judged(root, printed, "n", "n - 1", **CHUNKS) for printed in (360, 361))
    recomputed, evaluated, rerun = judge_tiers((agrees, differs))
    assert (recomputed.outcome, recomputed.num_tested, recomputed.num_reproduced, recomputed.share) == (
        Outcome.NOT_REPRODUCED,
        2,
        1,
        1.0,
    )
    assert tier_words(recomputed) == "recomputed: 1 of 2 agree, 1 does not"
    for of_tier in (evaluated, rerun):
        assert (of_tier.outcome, of_tier.num_claims, of_tier.score.value, of_tier.share) == (
            Outcome.NOT_ATTEMPTED,
            0,
            None,
            0.0,
        )
        assert tier_words(of_tier) == ""


@pytest.mark.parametrize(
    ("recomputation", "told"),
    [
        (of("n", "n - 1", n={"path": "a", "constant": "A"}), None),
        (of("n", "n", n={"path": "a", "constant": "A"}), "c.control: it is the value itself"),
        (of("n + m", "1", n={"path": "a", "constant": "A"}), "c.value: nothing is called 'm'; numbers has n"),
        (of("1", "2", n={"path": "a", "constant": "A"}), "c.numbers.n: no expression uses it"),
        (of("n", "1", n={"path": "a"}), "c.numbers.n: expected one of key, constant, argument, words, table, found none"),
        (of("n", "1", n={"path": "a", "constant": "A", "key": "b"}), "found key, constant"),
        (of("n", "1", n={"path": "a", "words": "no place"}), "c.numbers.n.words: expected {} once"),
        (of("n", "1", n={"path": "a", "key": "b", "column": "x"}), "c.numbers.n.column: it goes with table"),
        (of("n", "1", n={"path": "a", "argument": "x"}), "c.numbers.n.argument: expected callee.keyword"),
        (of("n.x", "1", n={"path": "a", "constant": "A"}), "c.value: n is one number a row, and has no column 'x'"),
        (of("n", "1", n={"path": "a", "table": ("T",)}), "c.value: n: name a column of the table, such as n['T']"),
        (of("n(", "1", n={"path": "a", "key": "b"}), "c.value: expected an expression"),
    ],
)  # fmt: skip
def test_a_target_is_told_what_is_wrong_with_a_recomputation(recomputation: Recomputation, told: str | None) -> None:
    problems = list(check_recomputation(recomputation, {"code": None}, "c"))
    assert told in " ".join(problems) if told else not problems
    if told:
        assert any(told in problem for problem in check_recomputation(recomputation, {"code": None}, "c"))


def test_an_unknown_artifact_is_told() -> None:
    problems = list(check_recomputation(of("n", "1", n={"path": "a", "key": "b"}), {"other": None}, "c"))
    assert problems == ["c.numbers.n.artifact: there is no artifact 'code'; there are: other"]
