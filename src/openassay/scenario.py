"""Verdicts on claims by their numbers alone. A scenario: a published value, a tolerance, and reruns in order.

`openassay judge` reads them as JSON, one or one a line; this is where they become arrays for `sequential` and its answers become
records again. A finished sample is looked at once; `sequential` looks after each run, as an audit does.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from openassay.core import boundaries, plausibility, reasons, sequential
from openassay.core.claims import Citation, Claim, Estimand, Family, Published, Spread, Tolerance
from openassay.core.evidence import QUESTIONS, Design, less, terms_of
from openassay.core.quality import warnings
from openassay.core.reasons import Seen, Standing
from openassay.core.sequential import SEQUENTIAL_RUNS, SIDES, Stop, Terms, to_batch
from openassay.core.types import LARGEST
from openassay.faults import BadInput, printable
from openassay.records import problems_of


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
LEAST_ALPHA, LARGEST_ALPHA = 0.001, 0.1


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What is measured."""

    name: str = ""
    type: Literal["loss", "accuracy", "other"] = "other"
    test_n: Count | None = None
    """Items of the test set, for an accuracy between 0 and 1."""
    bounds: tuple[Number | None, Number | None] | None = None


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is claimed, and how sure the answer must be."""

    tolerance: Positive
    direction: Literal["two-sided", "at_least", "at_most"] = "two-sided"
    alpha: Annotated[float, Field(ge=LEAST_ALPHA, le=LARGEST_ALPHA)] = 0.05
    estimand: Estimand = "number"
    """`number`: the recipe's mean against the printed value; `recipe`: against the published recipe's unknown mean."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What was published: `values` of single trainings, or `mean` with `sd` over `n` trainings."""

    values: Annotated[tuple[Number, ...], Field(min_length=1, max_length=MOST_RUNS)] | None = None
    mean: Number | None = None
    sd: NotNegative | None = None
    sd_is: Spread = "sd"
    """What `sd` is a spread of, or an error: see Published.sd_is."""
    n: Count | None = None
    units: Count = 1
    """Folds, splits or other units that each value averages."""
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
        if self.sd_is == "over_units" and (self.sd is None or self.units < 2):
            raise ValueError("sd_is over_units needs sd, and units of 2 or more")
        if self.sd is not None and (self.n or 1) < 2 and not self.sd_is.startswith("over_"):
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
class FamilyNoise:
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
    family: FamilyNoise | None = None
    deterministic: bool | None = None
    paired: bool | None = None
    """Rerun i has the seed and the data order of published value i."""
    declared_divergence_rate: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] | None = None
    max_runs: Annotated[int, Field(ge=2, le=MOST_RUNS)] | None = None
    """Most runs that may be used; of a sequential test the number that is planned, SEQUENTIAL_RUNS when left out."""
    expensive: bool = False
    """Whether a sequential test stops when a decision within its runs has become unlikely."""

    def __post_init__(self) -> None:
        if self.paired and len(self.runs) > len(self.published.values or ()):
            raise ValueError("paired reruns need published values to be paired with, one for each run")
        if self.metric.type == "accuracy" and self.metric.test_n:
            known = [self.published.mean, *(self.published.values or ()), *self.runs]
            if not all(0 <= value <= 1 for value in known if value is not None):
                raise ValueError("an accuracy with test_n lies between 0 and 1; divide per cents by 100")


def terms(scenario: Scenario) -> Terms:
    """What a scenario says of its claim: as an audit's claim and design do, and whether equal runs decide."""
    published, question, family = scenario.published, scenario.claim, scenario.family
    values, rounding = published.values, published.rounding or 0.0
    items = scenario.metric.test_n if scenario.metric.type == "accuracy" else None
    step = 1 / items if items else 0.0
    # Equal differences, seed by seed, from values that are not equal: then the seeds have arrived, and nothing else is random.
    follows_seeds = bool(scenario.paired) and len(set(values or ())) > 1 and not (step or rounding)
    claim = Claim(
        id="", metric="", cited_at=Citation(), tolerance=Tolerance(margin=question.tolerance, rationale=""),
        published=Published(
            value=float(np.mean(values or ())) if published.mean is None else published.mean, rounding=rounding,
            num_runs=published.count, sd=published.sd, sd_is=published.sd_is, units=published.units, values=values,
            best_of=published.best_of or 1, better=published.better or "higher", extra_sd=published.extra_sd or 0.0,
        ),
        direction=question.direction, family=Family(sd=family.sd, df=family.df, cited_at="") if family else None,
        divergence_rate=scenario.declared_divergence_rate or 0.0, resolution=step, paired=bool(scenario.paired),
        deterministic=bool(scenario.deterministic) or follows_seeds,
    )  # fmt: skip
    found = terms_of(claim, Design(
        alpha=question.alpha, max_runs=scenario.max_runs or MOST_RUNS, estimand=question.estimand, expensive=scenario.expensive,
    ))  # fmt: skip
    return replace(found, equal_decides=step > 0 or found.prior()[1] > 0 or _as_coarse(scenario))


def _as_coarse(scenario: Scenario) -> bool:
    """Whether the runs are printed as coarsely as the published value, so that equal ones are no wonder."""
    unit = scenario.published.rounding or 0.0
    steps = [value / unit for value in scenario.runs if value is not None] if unit else []
    return bool(steps) and all(abs(of - round(of)) < 1e-6 for of in steps)


_VERDICTS = {Stop.WITHIN: "reproduced", Stop.OUTSIDE: "not_reproduced", Stop.DIVERGED: "not_reproduced"}
_EQUAL = "equal runs: nothing says how large the seed noise is; declare the recipe deterministic if it is"
_STANDINGS: tuple[Standing, ...] = ("open", "within", "outside")


def judge(scenarios: list[Scenario], *, look_often: bool = False) -> list[dict[str, Any]]:
    """One verdict for each scenario, in order, as plain values: by one look, or by a look after each run."""
    if not scenarios:
        return []
    known = [terms(scenario) for scenario in scenarios]
    # Paired runs are differences from the published values of the same seeds.
    offered = [less(of.runs, of.published.values or ()) if of.paired else of.runs for of in scenarios]
    if look_often:
        known = [replace(of, max_runs=min(of.max_runs, SEQUENTIAL_RUNS if scenario.max_runs is None else boundaries.MOST_RUNS))
                 for of, scenario in zip(known, scenarios, strict=True)]  # fmt: skip
    batch = to_batch(known, offered)
    stopped = sequential.run(batch) if look_often else sequential.look_once(batch)
    value, least, most = (of.tolist() for of in sequential.score(stopped, batch))
    intervals = {question: sequential.interval(stopped, batch, question) for question in QUESTIONS}
    standings = {
        question: within + 2 * outside
        for question, of in intervals.items()
        for within, outside in [np.array(sequential.standing(stopped, batch, of), dtype=int)]
    }
    undecided = np.flatnonzero(~(stopped.reproduced | stopped.not_reproduced))
    needed = np.zeros(len(scenarios), dtype=int)
    needed[undecided] = sequential.runs_needed(stopped.at(undecided), batch.at(undecided))
    # Plain lists: one number of an array at a time is slow.
    ends = {question: (of.low.tolist(), of.high.tolist(), of.se.tolist()) for question, of in intervals.items()}
    luck_remains, rest_remains, remains = (of.tolist() for of in sequential.remains(stopped, batch))
    columns = (stopped.stop, stopped.runs_used, stopped.num_values, stopped.estimate, stopped.df)
    answers: list[dict[str, Any]] = []
    for row, (code, runs_used, num_values, d, df) in enumerate(zip(*(of.tolist() for of in columns), strict=True)):
        stop, scenario = Stop(code), scenarios[row]
        claim = scenario.claim
        answer: dict[str, Any] = {
            "id": scenario.id, "verdict": _VERDICTS.get(stop, "inconclusive"), "shown": [], "why": None, "reason": "",
            "more_runs_needed": None, "runs_used": runs_used, "estimand": claim.estimand,
            "score": None if math.isnan(value[row]) else value[row], "interval": [least[row], most[row]],
            "difference": None, "difference_interval": None, "number_interval": None, "recipe_interval": None,
            "probability_within_tolerance": None, "luck": None,
            "warnings": [words for _, words in warnings(known[row], offered[row][:runs_used])],
        }  # fmt: skip
        answers.append(answer)
        if stop is Stop.DIVERGED:
            answer["reason"] = f"{runs_used - num_values} of {runs_used} runs diverged, more than chance allows"
        elif stop is Stop.EQUAL:
            answer |= {"why": "equal_runs", "reason": _EQUAL}
        elif not math.isfinite(df):
            few = "fewer than two runs gave a value"
            answer |= {"why": "more_runs", "reason": few, "more_runs_needed": 2 - num_values}
        else:
            recipe_se = ends["recipe"][2][row]
            answer |= _answer(Seen(
                stop=stop, estimand=claim.estimand, margin=claim.tolerance, direction=SIDES[claim.direction], difference=d,
                intervals={question: (of[0][row], of[1][row]) for question, of in ends.items()},
                standings={question: _STANDINGS[of[row]] for question, of in standings.items()}, num_values=num_values,
                runs_used=runs_used, max_runs=known[row].max_runs, sequential=look_often, needed=int(needed[row]) or None,
                luck_remains=luck_remains[row], rest_remains=rest_remains[row], remains=remains[row],
                luck=plausibility.luck(d, recipe_se, df) if recipe_se > 0 else None,
            ), ends[claim.estimand][2][row], df)  # fmt: skip
    return answers


def _answer(seen: Seen, se: float, df: float) -> dict[str, Any]:
    """What is shown of a claim with an interval; `se` and `df` of the difference that it asks for."""
    answer: dict[str, Any] = {
        "difference": seen.difference, "difference_interval": list(seen.intervals[seen.estimand]), "luck": seen.luck,
        "number_interval": list(seen.intervals["number"]), "recipe_interval": list(seen.intervals["recipe"]),
        "probability_within_tolerance": plausibility.within_flat(seen.difference, se, df, seen.margin, seen.direction),
    }  # fmt: skip
    if seen.stop is Stop.WITHIN:
        within = [question for question in QUESTIONS if seen.standings[question] == "within"]
        return answer | {"shown": within, "reason": reasons.reproduced(seen)}
    if seen.stop is Stop.OUTSIDE:
        return answer | {"reason": reasons.not_reproduced(seen)}
    return answer | reasons.still_open(seen)._asdict()


_ADAPTER = TypeAdapter(Scenario)
CHUNK = 5_000
"""Scenarios that are judged together."""


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)}: it stands twice; remove one")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_no_key_twice)


def read(text: bytes, where: str) -> Scenario:
    """A scenario from its JSON; `BadInput` names the place, the key and what was found."""
    try:
        _DECODER.decode(text.decode())
    except (json.JSONDecodeError, UnicodeDecodeError):
        pass  # pydantic says where
    except ValueError as error:
        raise BadInput(f"{where}: {error}") from None
    except RecursionError:
        raise BadInput(f"{where}: it is nested too deep for a scenario") from None
    try:
        return _ADAPTER.validate_json(text, strict=True, extra="forbid")
    except ValidationError as error:
        raise BadInput(f"{where}: {problems_of(error, Scenario)[0]}") from None


def judge_lines(lines: Iterable[bytes], *, look_often: bool = False) -> Iterator[str]:
    """One verdict as JSON for each line, in order. What comes before a line with a mistake is judged."""
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    while chunk := list(itertools.islice(numbered, CHUNK)):
        scenarios, mistake = [], None
        try:
            for number, line in chunk:
                scenarios.append(read(line, f"standard input, line {number}"))
        except BadInput as error:
            mistake = error
        yield from (json.dumps(verdict) for verdict in judge(scenarios, look_often=look_often))
        if mistake:
            raise mistake


_PLAIN = {
    "reproduced": "the runs give the published value, within the tolerance",
    "not_reproduced": "the runs do not give the published value within the tolerance, and luck does not explain that",
}
"""What a decided verdict says to a reader who knows no statistics."""


def in_words(verdict: dict[str, Any], num_runs: int) -> str:
    """A verdict for people."""
    headline = verdict["verdict"].upper() + (f" · {verdict['why'].replace('_', ' ')}" if verdict["why"] else "")
    shown = f" (shown: {' and '.join(verdict['shown'])})" if verdict["shown"] else ""
    plain = "more runs diverge than chance explains" if verdict["difference"] is None else ""
    plain = reasons.OPEN[verdict["why"]] if verdict["why"] else plain or _PLAIN[verdict["verdict"]]
    lines = [f"{headline}{shown}, by {verdict['runs_used']} of {num_runs} runs: {plain}", f"  {verdict['reason']}"]
    if verdict["difference"] is not None:
        lines.append(f"  difference from the published value {verdict['difference']:+.4g}")
        against = {"number": "the printed value", "recipe": "the published recipe's mean"}
        for question, what in against.items():
            low, high = verdict[f"{question}_interval"]
            lines.append(f"  {question}: {low:+.4g} to {high:+.4g}, against {what}")
    if verdict["score"] is not None:
        low, high = verdict["interval"]
        score = f"{verdict['score']:.3f}, interval {low:.3f} to {high:.3f}"
        lines.append(f"  score {score} (0.5 is a difference as large as the tolerance)")
    return "\n".join(map(printable, [*lines, *(f"  warning: {words}" for words in verdict["warnings"])]))
