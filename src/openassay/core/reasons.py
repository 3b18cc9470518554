"""The words of a verdict: what is shown, or why nothing is, and how many reruns would change that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from openassay.core.claims import Estimand
from openassay.core.sequential import MOST_NEEDED, Stop, shortfall
from openassay.core.verdict_records import Why

Standing = Literal["within", "outside", "open"]

FAR, NEAR = 10_000, 0.1
"""More reruns than FAR for a difference within NEAR tolerances of the edge: it stands at the edge."""


OPEN: dict[Why, str] = {
    "number_not_reached": "on average the rerun recipe does not give the printed number; the published training may have "
    "been lucky, so its recipe is not accused",
    "more_runs": "too few reruns were made to decide; more reruns would decide",
    "budget": "all planned reruns were made and do not decide; more reruns would",
    "at_the_edge": "the difference is about as large as the tolerance: no affordable number of reruns shows on which side it is",
    "published_noise": "no number of reruns decides: the luck of the published training is unknown and may exceed the tolerance",
    "rounding": "no number of reruns decides: the published number is not precise enough for this tolerance",
    "divergence": "the values agree, but it is not shown that the recipe trains reliably: some reruns diverged, or too few were "
    "made",
    "equal_runs": "all reruns gave the same value, so the effect of the seed is unknown: the recipe may have ignored the seeds",
    "control": "it is not shown that this test notices a recipe that was broken on purpose, so it decides nothing",
    "no_training": "the reruns give the number, but it is not shown that they give it by training on the data at hand",
    "data": "the prepared data differ from the published data, so the reruns do not test the published number",
    "assumed_values": "the reruns do not give the number, but the release leaves values unsaid that may be the reason",
    "items": "the number that the released weights give is not the printed one, but the test items' own noise could explain it",
    "protocol": "the released weights do not give the number under an evaluation that is not, or not surely, the published one",
    "failed_runs": "some reruns did not finish, perhaps for a reason outside the release; the other reruns alone decide nothing",
}
"""Why a claim is INCONCLUSIVE, in one plain sentence."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the test of one claim shows, as plain numbers."""

    stop: Stop
    estimand: Estimand
    margin: float
    direction: int
    difference: float
    intervals: dict[Estimand, tuple[float, float]]
    standings: dict[Estimand, Standing]
    num_values: int
    runs_used: int
    max_runs: int
    """Most reruns that were planned; of a finished sample all of its rows."""
    sequential: bool
    needed: int | None
    """Values in all that would decide; None where none would."""
    luck_remains: float
    """Half the interval of the claim's question after endless reruns, by the published trainings' luck alone."""
    rest_remains: float
    """The same by the rounding, and what else is known to separate the two."""
    remains: float
    """The same by all of it."""
    luck: float | None
    """P(a published value at least so far out, on its side)."""
    num_claims: int = 1

    @property
    def distance(self) -> float:
        """How far the difference lies from the tolerance's edge, on either side."""
        return abs(shortfall(self.difference, self.direction) - self.margin)

    @property
    def more(self) -> int | None:
        """Reruns that would decide, beyond those that gave a value."""
        return None if self.needed is None else max(1, self.needed - self.num_values)


class Open(NamedTuple):
    """Why a claim is open."""

    why: Why
    reason: str
    more_runs_needed: int | None = None


def interval(seen: Seen, question: Estimand) -> str:
    """The interval of a question's difference, in words."""
    low, high = seen.intervals[question]
    exact = seen.stop is Stop.ROUNDING or low == high
    what = f"{seen.num_values} equal reruns differ by" if exact else "the interval of the difference is"
    return f"{what} {low:+.3g} to {high:+.3g}"


def tolerance(seen: Seen) -> str:
    """The tolerance, in words."""
    margin = f"{seen.margin:g}"
    return {0: f"±{margin}", 1: f"-{margin} and above", -1: f"+{margin} and below"}[seen.direction]


def reproduced(seen: Seen) -> str:
    """What is shown of a claim that is reproduced."""
    what = {"number": "the published number", "recipe": "what the published one does"}[seen.estimand]
    words = f"the recipe gives {what}: {interval(seen, seen.estimand)}, within {tolerance(seen)}"
    also = seen.estimand == "number" and seen.standings["recipe"] == "within"
    return f"{words}; and so does the recipe behind it" if also else words


def not_reproduced(seen: Seen) -> str:
    """What is shown of a claim that is not reproduced."""
    return f"the recipe differs from the published one: {interval(seen, 'recipe')}, outside {tolerance(seen)}"


def still_open(seen: Seen) -> Open:
    """Why neither is shown, of a claim with an interval."""
    asked = seen.standings[seen.estimand]
    if seen.estimand == "number" and asked == "outside" and seen.stop is not Stop.ROUNDING:
        return _number_not_reached(seen)
    words = f"{interval(seen, seen.estimand)}, "
    if seen.stop is Stop.ROUNDING:
        return Open("rounding", f"{words}partly within {tolerance(seen)}: the published value's rounding decides")
    if asked == "within":  # and yet not accepted
        return _may_diverge(seen, f"{words}within {tolerance(seen)}, but ")
    words += _place(seen) + tolerance(seen)
    if seen.more is None:
        return _nothing_decides(seen, words)
    if seen.more > FAR and seen.distance < NEAR * seen.margin:
        edge = f"the difference is nearly as large as the tolerance: {_reruns(seen.more)} would decide"
        return Open("at_the_edge", f"{words}; {edge}", seen.more)
    why: Why = "budget"
    if not seen.sequential:
        why, state = "more_runs", f"all {seen.runs_used} runs are used"
    elif seen.runs_used >= seen.max_runs:
        state = f"all {seen.max_runs} planned reruns are made"
    elif seen.stop is Stop.FUTILE:
        state = f"stopped after {seen.runs_used} reruns: the chance of a decision by the {seen.max_runs} planned is below 1 %"
    else:
        why, state = "more_runs", f"{seen.runs_used} of {seen.max_runs} planned reruns are made"
    return Open(why, f"{words}; {state}; {_reruns(seen.more)} would decide", seen.more)


def _place(seen: Seen) -> str:
    """Where the interval lies, of a claim that is open all the same."""
    low, high = seen.intervals[seen.estimand]
    if seen.standings["recipe"] == "outside" and seen.num_claims > 1:
        return f"not surely enough for one of {seen.num_claims} claims outside "
    too_high, too_low = low > seen.margin, high < -seen.margin
    beyond = {0: too_high or too_low, 1: too_low, -1: too_high}[seen.direction]
    inside = {0: max(-low, high), 1: -low, -1: high}[seen.direction] <= seen.margin
    return "not surely enough outside " if beyond else "not surely enough within " if inside else "partly within "


def _number_not_reached(seen: Seen) -> Open:
    words = f"number not reached: {interval(seen, 'number')}, outside {tolerance(seen)}; "
    if seen.luck is not None:
        words += f"by luck, a published value would lie so far out with probability {seen.luck:.2g}; "
    tell = "no number of reruns would tell whether the published recipe was another: its own luck remains"
    if seen.more is not None:
        tell = f"{_reruns(seen.more)} would show that the published recipe was another"
    return Open("number_not_reached", words + tell, seen.more)


def _may_diverge(seen: Seen, words: str) -> Open:
    why: Why = "budget" if seen.runs_used >= seen.max_runs else "more_runs"
    found = f"{seen.runs_used} reruns do not show that it rarely diverges"
    if lost := seen.runs_used - seen.num_values:
        why, found = "divergence", f"{lost} of {seen.runs_used} reruns diverged"
    todo = "no number of reruns makes up for it"
    if seen.more is not None:
        todo = f"{_reruns(seen.more)}, none of them diverged, would decide"
    return Open(why, f"{words}{found}; {todo}", seen.more)


def _nothing_decides(seen: Seen, words: str) -> Open:
    """The published value's own noise remains, or the difference is as large as the tolerance."""
    if seen.remains <= seen.distance or seen.remains == 0:
        edge = f"the difference is as large as the tolerance, as far as {MOST_NEEDED:,} reruns could tell"
        return Open("at_the_edge", f"{words}; {edge}")
    why: Why = "rounding"
    noise = "the published value's rounding, and what else is unknown of it, is too coarse"
    if seen.luck_remains > seen.rest_remains:
        why, noise = "published_noise", "the published trainings' own luck is too large for this tolerance"
    return Open(why, f"{words}; no number of reruns decides: {noise}")


def _reruns(more: int) -> str:
    return f"about {more:,} more like these" if more > 1 else "one more like these"
