"""What does a claim come out as, from its numbers alone? Scenarios: a published value, a tolerance, and reruns in order.

`openassay judge` reads them as JSON, one or one a line; this is where they become arrays for `sequential` and its answers become
records again.
"""

from __future__ import annotations

import csv
import functools
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from scipy import integrate, stats

from openassay.core.boundaries import ALPHAS, PLANS
from openassay.core.sequential import Batch, Stop, Stopped, choose_plan, run, score
from openassay.core.types import LARGEST
from openassay.faults import BadInput
from openassay.records import first_problem


def _bounded(value: float) -> float:
    if 0 < abs(value) < 1 / LARGEST or abs(value) > LARGEST:
        raise ValueError(f"a number is needed whose square is one too, between {1 / LARGEST:g} and {LARGEST:g} or 0")
    return value


Bounded = AfterValidator(_bounded)
Number = Annotated[float, Field(allow_inf_nan=False), Bounded]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), Bounded]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), Bounded]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]

MOST_RUNS = 10_000
PRIOR_DF = 4.0
"""Of a family's seed noise that was measured on MANY_DF degrees of freedom or more: recipes of a family differ in their noise."""
MANY_DF = 8
PRIOR_DF_FEW = 2.0
"""Of a family's seed noise that was measured on fewer."""
PRIOR_DF_TEST_SET = 1.0
"""Of the seed noise that a finite test set suggests: sqrt(error / (2 N)), Jordan (2023), arXiv:2304.01910."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What is measured?"""

    name: str = ""
    type: Literal["loss", "accuracy", "other"] = "other"
    test_n: Count | None = None
    """Items of the test set, for an accuracy between 0 and 1."""
    bounds: tuple[Number | None, Number | None] | None = None


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is claimed, and how sure must the answer be?"""

    tolerance: Positive
    direction: Literal["two-sided", "at_least", "at_most"] = "two-sided"
    alpha: Annotated[float, Field(ge=min(ALPHAS), le=max(ALPHAS))] = 0.05


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What was published: `values` of single trainings, or `mean` with `sd` over `n` trainings."""

    values: Annotated[tuple[Number, ...], Field(min_length=1, max_length=MOST_RUNS)] | None = None
    mean: Number | None = None
    sd: NotNegative | None = None
    n: Count | None = None
    best_of: Count | None = None
    """The published value is the best of this many trainings."""
    better: Literal["higher", "lower"] | None = None
    rounding: NotNegative | None = None
    extra_sd: NotNegative | None = None
    """Standard deviation of what else keeps the published value from the recipe's mean: another test set, an extrapolation."""

    def __post_init__(self) -> None:
        if (self.values is None) == (self.mean is None):
            raise ValueError("give either values, or mean")
        if self.values is not None and (self.sd is not None or self.n not in {None, len(self.values)}):
            raise ValueError("with values, sd and n follow from them")
        if self.sd is not None and (self.n or 1) < 2:
            raise ValueError("sd needs n of 2 or more: a spread over trainings")
        if self.best_of not in {None, 1} and self.better is None:
            raise ValueError("best_of needs better: higher or lower")
        if self.best_of not in {None, 1} and self.count > 1:
            raise ValueError("best_of is for one published value, the best of several")

    @property
    def count(self) -> int:
        """Trainings behind the value."""
        return len(self.values) if self.values is not None else self.n or 1


@dataclass(frozen=True, kw_only=True)
class Family:
    """Seed noise that is known from recipes of the same family."""

    sd: Positive
    df: Positive


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One claim with its reruns."""

    claim: Question
    published: Reference
    runs: Annotated[tuple[Number | None, ...], Field(max_length=MOST_RUNS)]
    """In the order in which they were made; null for one that gave no value."""
    id: str | int | None = None
    metric: Metric = field(default_factory=Metric)
    family: Family | None = None
    deterministic: bool | None = None
    paired: bool | None = None
    """Rerun i has the seed and the data order of published value i."""
    declared_divergence_rate: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] | None = None
    max_runs: Count | None = None

    def __post_init__(self) -> None:
        if self.paired and self.published.values is None:
            raise ValueError("paired reruns need published values to be paired with")


@functools.cache
def best_of(k: int) -> tuple[float, float]:
    """Mean and variance of the largest of k standard normal draws."""
    if k == 1:
        return 0.0, 1.0

    def density(x: float) -> float:
        return float(k * np.exp(stats.norm.logpdf(x) + (k - 1) * stats.norm.logcdf(x)))

    top = float(stats.norm.isf(1e-12 / k))
    mean = integrate.quad(lambda x: x * density(x), -8, top, limit=200)[0]
    square = integrate.quad(lambda x: x * x * density(x), -8, top, limit=200)[0]
    return float(mean), float(square - mean**2)


def to_batch(scenarios: list[Scenario]) -> Batch:
    """The scenarios as arrays, with the plan of each."""
    most = max([1, *(min(len(s.runs), max(p.max_runs for p in PLANS.values())) for s in scenarios)])
    size = len(scenarios)
    runs = np.full((size, most), np.nan)
    columns: dict[str, NDArray[np.float64]] = {
        name: np.zeros(size)
        for name in (
            "num_runs", "max_runs", "published", "v", "u2", "best_of", "better", "prior_variance", "prior_df", "floor_variance",
            "rounding", "margin", "direction", "alpha", "divergence_rate", "deterministic", "equal_decides",
        )
    }  # fmt: skip
    for row, scenario in enumerate(scenarios):
        values = scenario.runs[:most]
        runs[row, : len(values)] = [np.nan if value is None else value for value in values]
        for name, number in _columns(scenario).items():
            columns[name][row] = number
        if scenario.paired:
            theirs = np.array((scenario.published.values or ())[: len(values)])
            runs[row, : len(theirs)] -= theirs
    kinds = {"num_runs": int, "max_runs": int, "direction": int, "deterministic": bool, "equal_decides": bool}
    arrays: dict[str, Any] = {name: column.astype(kinds.get(name, float)) for name, column in columns.items()}
    plan = choose_plan(*(arrays[n] for n in ("prior_variance", "prior_df", "v", "u2", "margin", "max_runs")))
    return Batch(runs=runs, plan=plan, **arrays)


def _columns(scenario: Scenario) -> dict[str, float]:
    """One scenario's numbers."""
    published, question, metric = scenario.published, scenario.claim, scenario.metric
    values, k = published.values, published.count
    mean = published.mean if published.mean is not None else float(np.mean(values or ()))
    sd = published.sd if values is None or k < 2 else float(np.std(values, ddof=1))
    rounding = published.rounding or 0.0
    step = max(rounding, 1 / metric.test_n if metric.type == "accuracy" and metric.test_n else 0.0)
    shift, spread = best_of(published.best_of or 1)
    prior_variance, prior_df = _prior(scenario, mean, sd, k)
    num_runs = len(scenario.runs)
    if scenario.paired:
        mean, k, prior_variance, prior_df, num_runs = 0.0, 0, 0.0, 0.0, min(num_runs, published.count)
    return {
        "num_runs": num_runs, "max_runs": scenario.max_runs or MOST_RUNS, "published": mean,
        "v": 0.0 if scenario.paired else spread / k, "u2": rounding**2 / 12 + (published.extra_sd or 0.0) ** 2,
        "best_of": shift, "better": -1.0 if published.better == "lower" else 1.0,
        "prior_variance": prior_variance, "prior_df": prior_df, "floor_variance": step**2 / 12, "rounding": rounding,
        "margin": question.tolerance, "direction": {"two-sided": 0, "at_least": 1, "at_most": -1}[question.direction],
        "alpha": question.alpha, "divergence_rate": scenario.declared_divergence_rate or 0.0,
        "deterministic": bool(scenario.deterministic), "equal_decides": step > 0,
    }  # fmt: skip


def _prior(scenario: Scenario, mean: float, sd: float | None, k: int) -> tuple[float, float]:
    """Seed variance and its degrees of freedom, before the first rerun: the family's, and the published spread's."""
    variance, df = 0.0, 0.0
    family, metric = scenario.family, scenario.metric
    if family is not None:
        variance, df = family.sd**2, min(family.df, PRIOR_DF if family.df >= MANY_DF else PRIOR_DF_FEW)
    elif metric.type == "accuracy" and metric.test_n and 0 < mean < 1 and sd is None:
        variance, df = (1 - mean) / (2 * metric.test_n), PRIOR_DF_TEST_SET
    if sd is not None and k >= 2:
        sd += (scenario.published.rounding or 0.0) / 2
        variance, df = (df * variance + (k - 1) * sd**2) / (df + k - 1), df + k - 1
    return variance, df


_VERDICTS = {Stop.WITHIN: "reproduced", Stop.OUTSIDE: "not_reproduced", Stop.DIVERGED: "not_reproduced"}

_REASONS = {
    Stop.WITHIN: "the interval of the difference lies within the tolerance",
    Stop.OUTSIDE: "the interval of the difference lies outside the tolerance",
    Stop.DIVERGED: "more reruns diverged than chance allows",
    Stop.FUTILE: "futile: a decision by the last planned rerun has become unlikely",
    Stop.SPENT: "budget: the planned reruns are spent, and the interval straddles the tolerance's edge",
    Stop.NEEDS_RUNS: "needs runs: the rule asks for another rerun, and none was offered",
    Stop.EQUAL: "equal reruns: nothing says how large the seed noise is; declare the recipe deterministic if it is",
    Stop.ROUNDING: "the recipe is deterministic, and the published value's rounding decides",
}


def judge(scenarios: list[Scenario]) -> list[dict[str, Any]]:
    """One verdict for each scenario, in order, as plain values."""
    if not scenarios:
        return []
    batch = to_batch(scenarios)
    stopped = run(batch)
    value, least, most = score(stopped, batch)
    within = _within(stopped, batch)
    names = list(PLANS)
    answers: list[dict[str, Any]] = []
    for row, scenario in enumerate(scenarios):
        stop = Stop(int(stopped.stop[row]))
        known = bool(np.isfinite(stopped.df[row]))
        plan = names[int(batch.plan[row])]
        answers.append({
            "id": scenario.id, "verdict": _VERDICTS.get(stop, "inconclusive"), "runs_used": int(stopped.runs_used[row]),
            "score": float(value[row]) if np.isfinite(value[row]) else None, "interval": [float(least[row]), float(most[row])],
            "reason": _REASONS[stop], "plan": plan, "feasible": plan != "screen3" if batch.prior_df[row] > 0 else None,
            "difference": float(stopped.estimate[row]) if known else None,
            "difference_interval": [float(stopped.low[row]), float(stopped.high[row])] if known else None,
            "probability_within_tolerance": float(within[row]) if known else None,
        })  # fmt: skip
    return answers


_ADAPTER = TypeAdapter(Scenario)
CHUNK = 5_000
"""Scenarios that are judged together."""


def read(text: bytes, where: str) -> Scenario:
    """A scenario from its JSON; `BadInput` names the place, the key and what was found."""
    try:
        return _ADAPTER.validate_json(text, strict=True, extra="forbid")
    except ValidationError as error:
        raise BadInput(f"{where}: {first_problem(error)}") from None


def judge_lines(lines: Iterable[bytes]) -> Iterator[str]:
    """One verdict as JSON for each line, in order. What comes before a line with a mistake is judged."""
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    while chunk := list(itertools.islice(numbered, CHUNK)):
        scenarios, mistake = [], None
        try:
            for number, line in chunk:
                scenarios.append(read(line, f"standard input, line {number}"))
        except BadInput as error:
            mistake = error
        yield from (json.dumps(verdict) for verdict in judge(scenarios))
        if mistake:
            raise mistake


def read_column(path: Path, column: str | None) -> list[float | None]:
    """The numbers of one column of a CSV file, None for an empty cell or one that is not a finite number such as `nan`."""
    try:
        rows = [row for row in csv.reader(path.read_text(encoding="utf-8-sig").splitlines()) if any(row)]
    except FileNotFoundError:
        raise BadInput(f"{path}: there is no such file") from None
    except (UnicodeDecodeError, csv.Error, IsADirectoryError) as error:
        raise BadInput(f"{path}: not a CSV file: {error}") from None
    if not rows:
        raise BadInput(f"{path}: there is nothing in it")
    header = [cell.strip() for cell in rows[0]]
    has_header = not all(_NUMBER.fullmatch(cell) for cell in header)
    if column is None:
        if len(header) > 1:
            raise BadInput(f"{path}: it has {len(header)} columns; name one by --column: {', '.join(header)}")
        place = 0
    elif not has_header or column not in header:
        raise BadInput(f"{path}: there is no column {column!r}; it has {', '.join(header)}")
    else:
        place = header.index(column)
    numbers: list[float | None] = []
    for number, row in enumerate(rows[has_header:], start=1 + has_header):
        cell = row[place].strip() if place < len(row) else ""
        if cell and not _NUMBER.fullmatch(cell):
            raise BadInput(
                f"{path}: row {number}: a number is needed, found {cell[:40]!r}; leave it empty for a run that gave none"
            )
        value = float(cell or "nan")
        numbers.append(value if abs(value) <= LARGEST else None)
    return numbers


_NUMBER = re.compile(r"[-+]?(([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|nan|inf(inity)?)", re.IGNORECASE | re.ASCII)


def in_words(verdict: dict[str, Any], num_runs: int) -> str:
    """A verdict for people."""
    lines = [f"{verdict['verdict'].upper()} after {verdict['runs_used']} of {num_runs} runs: {verdict['reason']}"]
    if verdict["difference"] is not None:
        low, high = verdict["difference_interval"]
        lines.append(
            f"  difference from the published value {verdict['difference']:+.4g}, interval {low:+.4g} to {high:+.4g}"
        )
    if verdict["score"] is not None:
        low, high = verdict["interval"]
        lines.append(
            f"  score {verdict['score']:.3f}, interval {low:.3f} to {high:.3f} (0.5 is a difference as large as the tolerance)"
        )
    return "\n".join(lines)


def _within(stopped: Stopped, batch: Batch) -> NDArray[np.float64]:
    """P(theta within the margin), reading the t distribution around the estimate as a confidence distribution."""
    with np.errstate(divide="ignore", invalid="ignore"):
        upper = stats.t.cdf((batch.margin - stopped.estimate) / stopped.se, stopped.df)
        lower = stats.t.cdf((-batch.margin - stopped.estimate) / stopped.se, stopped.df)
    spread = np.where(batch.direction > 0, 1 - lower, np.where(batch.direction < 0, upper, upper - lower))
    return np.asarray(np.where(stopped.se > 0, spread, (stopped.stop == Stop.WITHIN).astype(float)))
