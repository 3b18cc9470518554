"""What the reruns say of each claim, and of the release: the first of an ordered tuple of rules that answers decides.

The numbers are judged by the equivalence test of two questions (`sequential`): an interval lies within the tolerance, outside, or
straddles an edge, and each wrong verdict has probability `alpha` at most at the edge, over all looks together. The rules
around it keep it honest: about data, lost reruns, seeds that never arrived, and controls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np

from openassay.core import reasons
from openassay.core.claims import Claim
from openassay.core.evidence import NO_VALUES, Evidence, same, terms_of
from openassay.core.findings import Finding
from openassay.core.quality import SHARED_SHIFT, shared_shift, warnings
from openassay.core.replay_records import ReplayRecord
from openassay.core.sequential import Stop, credit
from openassay.core.verdict_records import Basis, Outcome, Score, Verdict, Why

RULES_VERSION = "3.1.0"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A rule's answer."""

    outcome: Outcome
    reason: str
    rule: str = ""
    why: Why | None = None
    more_runs_needed: int | None = None


def _open(why: Why, reason: str, more_runs_needed: int | None = None) -> Decision:
    return Decision(outcome=Outcome.INCONCLUSIVE, why=why, reason=reason, more_runs_needed=more_runs_needed)


def nothing_was_run(evidence: Evidence) -> Decision | None:
    """No rerun was made, or none of them gave anything."""
    why = evidence.not_attempted_because
    if not why and evidence.values and not all(status in NO_VALUES for status in evidence.statuses):
        return None
    return Decision(outcome=Outcome.NOT_ATTEMPTED, reason=why or "no rerun ran to its end; see the findings")


def data_differs(evidence: Evidence) -> Decision | None:
    """A match on other data than the published is no reproduction."""
    return _open("data", evidence.data_differs) if evidence.data_differs else None


def some_runs_failed(evidence: Evidence) -> Decision | None:
    """Reruns that failed or gave no measurement may be the machine's fault: nothing is decided on the others."""
    failed = sum(status in NO_VALUES for status in evidence.statuses)
    words = f"{failed} of {len(evidence.values)} reruns did not run to their end; see the findings"
    return _open("failed_runs", words) if failed else None


def _accused(evidence: Evidence, reason: str) -> Decision:
    """Not reproduced; open where our reruns may be broken as the control is, or a value that we assumed may be the reason."""
    if evidence.broken_alike:
        return _open("control", f"{reason}; {evidence.broken_alike}")
    if evidence.assumed:
        return _open("assumed_values", f"{reason}; {evidence.assumed}")
    return Decision(outcome=Outcome.NOT_REPRODUCED, reason=reason)


def too_many_runs_diverged(evidence: Evidence) -> Decision | None:
    """More reruns than chance allows diverged: the recipe as published does not train."""
    if evidence.stop is not Stop.DIVERGED:
        return None
    return _accused(evidence, f"{evidence.num_used - len(evidence.finite)} of {evidence.num_used} reruns diverged")


def too_few_runs(evidence: Evidence) -> Decision | None:
    """One value shows no noise."""
    given = evidence.num_used if evidence.claim.success else len(evidence.finite)
    return _open("more_runs", "fewer than two reruns gave a value", 2 - given) if given < 2 else None


def equal_runs(evidence: Evidence) -> Decision | None:
    """Equal reruns of a recipe that is not declared deterministic: the seeds may never have reached it."""
    if evidence.stop is not Stop.EQUAL:
        return None
    seen = f"all {len(evidence.finite)} reruns give {evidence.finite[0]:g}"
    return _open("equal_runs", (
        f"{seen}: their noise is unknown, the seeds may never have reached the recipe; if it is deterministic, or this is the "
        "end of the metric's range, the claim must declare it (deterministic, or bounds and resolution)"
    ))  # fmt: skip


def outside_tolerance(evidence: Evidence) -> Decision | None:
    """The recipe is shown to differ by more than the tolerance, whatever the luck of the published trainings."""
    return _accused(evidence, reasons.not_reproduced(evidence.seen)) if evidence.stop is Stop.OUTSIDE else None


def control_not_caught(evidence: Evidence) -> Decision | None:
    """A test that a broken recipe passes has no power."""
    return _open("control", evidence.control) if evidence.control and evidence.stop is Stop.WITHIN else None


def not_trained(evidence: Evidence) -> Decision | None:
    """A number that does not come from training shows nothing of the recipe."""
    return _open("no_training", evidence.not_trained) if evidence.not_trained and evidence.stop is Stop.WITHIN else None


def within_tolerance(evidence: Evidence) -> Decision | None:
    """The difference that the claim's question asks for is shown to lie within the tolerance."""
    within = evidence.stop is Stop.WITHIN
    return Decision(outcome=Outcome.REPRODUCED, reason=reasons.reproduced(evidence.seen)) if within else None


def still_open(evidence: Evidence) -> Decision:
    """Neither is shown; the printed number may be shown not to be reached."""
    found = reasons.still_open(evidence.seen)
    if evidence.assumed and found.why == "number_not_reached":
        return _open("assumed_values", f"{found.reason}; {evidence.assumed}", found.more_runs_needed)
    return _open(*found)


Rule = Callable[[Evidence], Decision | None]

RULES: tuple[Rule, ...] = (
    nothing_was_run, data_differs, some_runs_failed, too_many_runs_diverged, too_few_runs, equal_runs, outside_tolerance,
    control_not_caught, not_trained, within_tolerance, still_open,
)  # fmt: skip


def decide(evidence: Evidence) -> Decision:
    """The first rule's answer, with the rule's name."""
    for rule in RULES:
        if decision := rule(evidence):
            return replace(decision, rule=rule.__name__)
    raise AssertionError("the last rule always answers")


def of_claim(claim: Claim) -> dict[str, Any]:
    """What a verdict repeats of its claim."""
    keys = ("id", "metric", "unit", "weight", "published", "tolerance", "cited_at")
    return {key: getattr(claim, key) for key in keys}


def judge_claim(evidence: Evidence, *, driver: str, protocol: str, basis: tuple[Basis, ...] = ("measured",)) -> Verdict:
    """What the reruns say of a claim. basis: what they rest on, if there are any."""
    decision, claim, score = decide(evidence), evidence.claim, evidence.score()
    within = tuple(of.estimand for of in evidence.answers if of.standing == "within")
    return Verdict(
        **of_claim(claim), tier="rerun", driver=driver, protocol=protocol, estimand=evidence.estimand,
        runs=evidence.values, runs_used=evidence.num_used, max_runs=evidence.design.max_runs if evidence.values else None,
        difference=evidence.difference, interval=evidence.interval, outcome=decision.outcome,
        basis=() if decision.outcome is Outcome.NOT_ATTEMPTED else basis,
        shown=within if decision.outcome is Outcome.REPRODUCED else (), why=decision.why, answers=evidence.answers,
        looks=evidence.looks(), plausibility=evidence.plausibility(), p_not_reproduced=evidence.p_not_reproduced(),
        more_runs_needed=decision.more_runs_needed, score=score[0] if score else None,
        score_interval=score[1:] if score else None, reason=decision.reason, rule=decision.rule,
    )  # fmt: skip


def headline(verdict: Verdict) -> str:
    """The outcome in a few words, for tables and badges: what is shown, or why nothing is."""
    shown = f" ({' and '.join(verdict.shown)})" if verdict.outcome is Outcome.REPRODUCED and verdict.shown else ""
    tier = f" · {verdict.tier}" if verdict.tier != "rerun" and verdict.outcome is not Outcome.NOT_ATTEMPTED else ""
    words = f"{verdict.outcome.value}{shown}{tier}"
    return (
        f"{words} · {verdict.why.replace('_', ' ')}" if verdict.why else words + weaker(verdict.outcome, verdict.basis)
    )


def weaker(outcome: str | None, basis: Sequence[str]) -> str:
    """What stands behind a REPRODUCED that rests on less than our own measurement of protected code; empty for all else."""
    words = [of.replace("self_", "self-").replace("_", " ") for of in basis if of != "measured"]
    return f" · {', '.join(words)}" if words and outcome == Outcome.REPRODUCED else ""


def joined(verdicts: tuple[Verdict, ...]) -> tuple[Basis, ...]:
    """What the verdicts rest on together."""
    known: tuple[Basis, ...] = get_args(Basis)
    return tuple(of for of in known if any(of in verdict.basis for verdict in verdicts))


def judge_replay(claim: Claim, found: ReplayRecord, *, protocol: str) -> Verdict:
    """What a replay says of the claim that published checkpoints follow from an earlier one by the published recipe.

    Its own rule decides (`core/replay.py`): a statistic beyond three floors, or none and the controls seen. The value is the
    largest statistic in floors.
    """
    value = max((of.in_floors for of in found.statistics if of.used), default=None)
    outcome, rule = {
        "MATCHES": (Outcome.REPRODUCED, "replay_matches"), "DIFFERS": (Outcome.NOT_REPRODUCED, "replay_differs"),
        "INCONCLUSIVE": (Outcome.INCONCLUSIVE, "replay_open"),
    }[found.standing]  # fmt: skip
    score = None if value is None else float(credit(value, claim.tolerance.margin))
    reason = "; ".join(found.reasons)
    if outcome is Outcome.REPRODUCED and found.exercise:
        seen = sum(of.exercised for of in found.exercise)
        reason += f"; {seen} of {len(found.exercise)} changes of the recipe would have shown"
    return Verdict(
        **of_claim(claim), tier="rerun", driver="replay", protocol=protocol, estimand="recipe",
        runs=(value,), runs_used=1, max_runs=1, difference=value, interval=None, outcome=outcome, basis=("measured",), shown=(),
        why="control" if outcome is Outcome.INCONCLUSIVE else None, answers=(), looks=(), plausibility=None,
        p_not_reproduced=None, more_runs_needed=None, score=score,
        score_interval=None if score is None else (score, score), reason=reason, rule=rule,
    )  # fmt: skip


def judge_release(verdicts: tuple[Verdict, ...]) -> tuple[Outcome, str]:
    """What the claims of one tier say together.

    REPRODUCED when every claim is (an intersection-union test: no correction needed). NOT_REPRODUCED when a claim is: each is
    called so at alpha divided by the number of claims, the first step of Holm's correction for having looked at several.
    NOT_ATTEMPTED when nothing was tested.
    """
    if not verdicts:
        return Outcome.NOT_ATTEMPTED, "the release makes no claim that a rerun could test"
    outcomes = [verdict.outcome for verdict in verdicts]
    if set(outcomes) == {Outcome.NOT_ATTEMPTED}:
        told = {verdict.reason for verdict in verdicts}
        why = f": {verdicts[0].reason}" if len(told) == 1 else f", for {len(told)} reasons; each claim says its own"
        return Outcome.NOT_ATTEMPTED, f"no claim was {verdicts[0].tier}{why}"
    if accused := [verdict.id for verdict in verdicts if verdict.outcome is Outcome.NOT_REPRODUCED]:
        return Outcome.NOT_REPRODUCED, "not reproduced: " + ", ".join(accused)
    if set(outcomes) == {Outcome.REPRODUCED}:
        return Outcome.REPRODUCED, "every claim is reproduced"
    if len(verdicts) == 1:
        return Outcome.INCONCLUSIVE, verdicts[0].reason
    reproduced = outcomes.count(Outcome.REPRODUCED)
    return Outcome.INCONCLUSIVE, f"{reproduced} of {len(verdicts)} claims are reproduced, the others are open"


def score_release(verdicts: tuple[Verdict, ...]) -> Score:
    """The weighted mean of the tested claims' scores with that of their intervals' ends, and the share that was tested."""
    tested = [(v.weight, v.score, *v.score_interval) for v in verdicts if v.score is not None and v.score_interval]
    coverage = sum(weight for weight, *_ in tested) / sum(v.weight for v in verdicts) if verdicts else 0.0
    if not tested:
        return Score(value=None, interval=None, coverage=coverage, bounds=(0.0, 1.0))
    weights, *columns = np.array(tested).T
    value, low, high = (float(np.average(column, weights=weights)) for column in columns)
    bounds = (coverage * low, coverage * high + 1 - coverage)
    return Score(value=value, interval=(low, high), coverage=coverage, bounds=bounds)


def _finding(kind: str, message: str) -> Finding:
    return Finding(stage="judge", kind=kind, message=message)


def unequal_deterministic(evidence: Evidence) -> Finding | None:
    """A recipe that is declared deterministic gave different values."""
    values, claim = set(evidence.finite), evidence.claim
    if not claim.deterministic or not values or same(tuple(values), claim.tolerance.margin):
        return None
    seen = f"the reruns give {len(values)} different values, {min(values):g} to {max(values):g}"
    return _finding("not_deterministic", f"{claim.id}: declared deterministic, but {seen}; judged as noisy")


def equal_reruns(evidence: Evidence) -> Finding | None:
    """Equal reruns of a recipe that is not declared deterministic: what they leave open."""
    values, claim = evidence.finite, evidence.claim
    if claim.deterministic or claim.success or len(values) < 2 or not same(values, claim.tolerance.margin):
        return None
    share = 100 * (1 - evidence.design.alpha ** (1 / len(values)))
    left = f"up to {share:.0f} % of seeds may still give something else"
    return _finding("equal_reruns", f"{claim.id}: all {len(values)} reruns give {values[0]:g}; {left}")


def record_quality(evidence: Evidence) -> list[Finding]:
    """What is odd about the published spread or the reruns that the verdict rests on."""
    claim = evidence.claim
    used = evidence.compared[: evidence.num_used]
    found = list(warnings(terms_of(claim, evidence.design), used)) if used and not claim.success else []
    if claim.published.sd is not None and claim.published.seed_sd() is None:
        spread = claim.published.sd_is.replace("_", " ")
        found.append(("spread_not_over_trainings", f"the published spread is {spread}: not used"))
    return [_finding(kind, f"{claim.id}: {words}") for kind, words in found]


def claims_shift_together(verdicts: tuple[Verdict, ...]) -> Finding | None:
    """Many claims of one release differ in the same direction: one cause may lie behind them."""
    differences = [verdict.difference for verdict in verdicts if verdict.difference is not None]
    if (p := shared_shift(differences)) is None or p > SHARED_SHIFT:
        return None
    above = sum(difference > 0 for difference in differences)
    return _finding(
        "claims_shift_together",
        f"the reruns lie above the published value in {above} of {len(differences)} claims (sign test p = {p:.2g}): "
        "one cause may lie behind them, such as changed data or another version of a library",
    )
