"""What does a claim come out as, from its numbers alone? Scenarios: a published value, a tolerance, and reruns in order.

`openassay judge` reads them as JSON, one or one a line; this is where they become arrays for `sequential` and its answers become
records again.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from openassay.core.boundaries import ALPHAS, PLANS
from openassay.core.quality import warnings
from openassay.core.sequential import SIDES, Stop, Terms, probability_within, run, score, to_batch
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


def terms(scenario: Scenario) -> Terms:
    """What a scenario says of its claim."""
    published, question, metric, family = scenario.published, scenario.claim, scenario.metric, scenario.family
    values, k = published.values, published.count
    mean = published.mean if published.mean is not None else float(np.mean(values or ()))
    sd = published.sd if values is None or k < 2 else float(np.std(values, ddof=1))
    items = metric.test_n if metric.type == "accuracy" and metric.test_n else 0
    step = max(published.rounding or 0.0, 1 / items if items else 0.0)
    # Equal differences, seed by seed, from values that are not equal: then the seeds have arrived, and nothing else is random.
    follows_seeds = bool(scenario.paired) and len(set(values or ())) > 1 and not step
    found = Terms(
        published=0.0 if scenario.paired else mean, margin=question.tolerance, num_published=k, published_sd=sd,
        rounding=published.rounding or 0.0, extra_sd=published.extra_sd or 0.0, best_of=published.best_of or 1,
        higher_is_better=published.better != "lower", family_sd=family.sd if family else None,
        family_df=family.df if family else 0.0, test_error=1 - mean if items else None, test_items=items, step=step,
        direction=SIDES[question.direction], alpha=question.alpha,
        divergence_rate=scenario.declared_divergence_rate or 0.0,
        deterministic=bool(scenario.deterministic) or follows_seeds,
        paired=bool(scenario.paired), max_runs=scenario.max_runs or MOST_RUNS,
    )  # fmt: skip
    return replace(found, equal_decides=step > 0 or found.prior()[1] > 0)


def _runs(scenario: Scenario) -> Sequence[float | None]:
    """The reruns, or their differences from the published values of the same seeds."""
    if not scenario.paired:
        return scenario.runs
    pairs = zip(scenario.runs, scenario.published.values or (), strict=False)
    return [None if ours is None else ours - theirs for ours, theirs in pairs]


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
    known, offered = [terms(scenario) for scenario in scenarios], [_runs(scenario) for scenario in scenarios]
    batch = to_batch(known, offered)
    stopped = run(batch)
    value, least, most = score(stopped, batch)
    within = probability_within(stopped, batch)
    names = list(PLANS)
    answers: list[dict[str, Any]] = []
    for row, scenario in enumerate(scenarios):
        stop = Stop(int(stopped.stop[row]))
        has_interval = bool(np.isfinite(stopped.df[row]))
        used = offered[row][: int(stopped.runs_used[row])]
        plan = names[int(batch.plan[row])]
        answers.append({
            "id": scenario.id, "verdict": _VERDICTS.get(stop, "inconclusive"), "runs_used": int(stopped.runs_used[row]),
            "score": float(value[row]) if np.isfinite(value[row]) else None, "interval": [float(least[row]), float(most[row])],
            "reason": _REASONS[stop], "plan": plan, "feasible": bool(batch.feasible[row]) if batch.prior_df[row] > 0 else None,
            "difference": float(stopped.estimate[row]) if has_interval else None,
            "difference_interval": [float(stopped.low[row]), float(stopped.high[row])] if has_interval else None,
            "probability_within_tolerance": float(within[row]) if has_interval else None,
            "warnings": [words for _, words in warnings(known[row], used)],
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
    return "\n".join([*lines, *(f"  warning: {words}" for words in verdict["warnings"])])
