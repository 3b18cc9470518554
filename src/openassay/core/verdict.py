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
from openassay.core.findings import Finding, Recomputed
from openassay.core.quality import SHARED_SHIFT, shared_shift, warnings
from openassay.core.recomputation import Tier
from openassay.core.replay_records import ReplayRecord
from openassay.core.sequential import Stop, credit
from openassay.core.verdict_records import Basis, Outcome, ReleaseVerdict, Score, TierVerdict, Verdict, Why

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
    """Not reproduced; open where the control shows that our reruns may be broken as it is."""
    if evidence.broken_alike:
        return _open("control", f"{reason}; {evidence.broken_alike}")
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
    return _open(*reasons.still_open(evidence.seen))


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


def _of(claim: Claim) -> dict[str, Any]:
    keys = ("id", "metric", "unit", "weight", "published", "tolerance", "cited_at")
    return {key: getattr(claim, key) for key in keys}


def judge_claim(evidence: Evidence, *, driver: str, protocol: str, basis: tuple[Basis, ...] = ("measured",)) -> Verdict:
    """What the reruns say of a claim. basis: what they rest on, if there are any."""
    decision, claim, score = decide(evidence), evidence.claim, evidence.score()
    within = tuple(of.estimand for of in evidence.answers if of.standing == "within")
    return Verdict(
        **_of(claim), tier="rerun", driver=driver, protocol=protocol, estimand=evidence.estimand,
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


def tier_words(of: TierVerdict) -> str:
    """A tier's result in a few words; empty where no claim is tested on it, and for the reruns, whose word is the release's."""
    if of.tier == "rerun" or not of.num_claims:
        return ""
    words = [f"{of.num_reproduced} of {of.num_claims} agree"]
    words += (
        [f"{of.num_not_reproduced} do{'es' if of.num_not_reproduced == 1 else ''} not"] if of.num_not_reproduced else []
    )
    words += [f"{left} open"] if (left := of.num_tested - of.num_reproduced - of.num_not_reproduced) else []
    words += [f"{left} not tested"] if (left := of.num_claims - of.num_tested) else []
    return f"{of.tier}: {', '.join(words)}"


def beside(verdict: ReleaseVerdict) -> list[str]:
    """What stands beside a release's outcome wherever it is named: its other tiers, and its openness."""
    openness = verdict.openness
    return [
        *filter(None, map(tier_words, verdict.tiers)),
        f"Open Source AI Definition: {openness.osaid.outcome}", f"Model Openness Framework: {openness.mof.label}",
    ]  # fmt: skip


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
        **_of(claim), tier="rerun", driver="replay", protocol=protocol, estimand="recipe",
        runs=(value,), runs_used=1, max_runs=1, difference=value, interval=None, outcome=outcome, basis=("measured",), shown=(),
        why="control" if outcome is Outcome.INCONCLUSIVE else None, answers=(), looks=(), plausibility=None,
        p_not_reproduced=None, more_runs_needed=None, score=score,
        score_interval=None if score is None else (score, score), reason=reason, rule=rule,
    )  # fmt: skip


_NO_CLAIM: dict[Tier, str] = {
    "recomputed": "the target declares no claim that follows from other published files",
    "evaluated": "the target declares no claim that is tested on the released weights",
    "rerun": "the release makes no claim that a rerun could test",
}


def judge_recomputed(claim: Claim, found: Recomputed) -> Verdict:
    """What published files say of a number that follows from them: exact but for the rounding of what was read.

    Reproduced where the whole interval of the difference lies within the tolerance, and the control's does not touch it.
    """
    margin, printed = claim.tolerance.margin, claim.published.value
    why: Why | None = None
    difference = None
    interval: tuple[float, float] | None = None
    score: tuple[float, float] | None = None
    if found.value is None or found.control is None:
        outcome, rule, reason = Outcome.NOT_ATTEMPTED, "not_recomputed", found.problem
    else:
        difference, *ends = (of - printed for of in (found.value.value, found.value.low, found.value.high))
        interval = ends[0], ends[1]
        low, high = (abs(end) for end in _nearest_and_farthest(interval))
        score = float(credit(high, margin)), float(credit(low, margin))
        said = f"published files give {_shown(found.value.value)}, {difference:+.3g} from the printed {_shown(printed)}"
        slack = margin + 1e-9 * max(abs(printed), margin)  # of the arithmetic, not of the claim
        broken = _nearest_and_farthest((found.control.low - printed, found.control.high - printed))[0]
        if low > slack:
            outcome, rule, reason = Outcome.NOT_REPRODUCED, "recomputed_outside", f"{said}: beyond ±{margin:g}"
        elif broken <= slack:
            outcome, rule, why = Outcome.INCONCLUSIVE, "recomputed_control", "control"
            so_does = f"but so does the control, {_shown(found.control.value)}"
            reason = f"{said}; {so_does}: this test would not notice a changed number"
        elif high <= slack:
            outcome, rule, reason = Outcome.REPRODUCED, "recomputed_within", f"{said}: within ±{margin:g}"
        else:
            outcome, rule, why = Outcome.INCONCLUSIVE, "recomputed_open", "rounding"
            between = f"{interval[0]:+.3g} to {interval[1]:+.3g}"
            reason = f"{said}; by the rounding of what was read, {between}: partly within ±{margin:g}"
        reason = "; ".join((reason, *found.notes))
    return Verdict(
        **_of(claim), tier="recomputed", driver="recompute", protocol="recomputed from published files", estimand="number",
        runs=(), runs_used=0, max_runs=None, difference=difference, interval=interval, outcome=outcome, basis=(), shown=(),
        why=why, answers=(), looks=(), plausibility=None, p_not_reproduced=None, more_runs_needed=None,
        score=None if score is None else float(credit(abs(difference or 0.0), margin)), score_interval=score,
        reason=reason, rule=rule,
    )  # fmt: skip


def _shown(value: float) -> str:
    """A number with its digits: whole ones in full, others with ten."""
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.10g}"


def _nearest_and_farthest(interval: tuple[float, float]) -> tuple[float, float]:
    """The least and the largest distance from 0 within an interval."""
    low, high = interval
    ends = abs(low), abs(high)
    return (0.0 if low <= 0 <= high else min(ends)), max(ends)


def judge_tiers(verdicts: tuple[Verdict, ...]) -> tuple[TierVerdict, ...]:
    """What the claims of each tier say together; a release's own outcome is that of the last one, its reruns."""
    weight = sum(of.weight for of in verdicts)
    found = []
    for tier in get_args(Tier):
        own = tuple(of for of in verdicts if of.tier == tier)
        outcome, reason = judge_release(own, tier)
        tested = [of for of in own if of.outcome is not Outcome.NOT_ATTEMPTED]
        found.append(TierVerdict(
            tier=tier, outcome=outcome, reason=reason, score=score_release(own), num_claims=len(own), num_tested=len(tested),
            num_reproduced=sum(of.outcome is Outcome.REPRODUCED for of in own),
            num_not_reproduced=sum(of.outcome is Outcome.NOT_REPRODUCED for of in own),
            share=sum(of.weight for of in tested) / weight if weight else 0.0,
        ))  # fmt: skip
    return tuple(found)


def judge_release(verdicts: tuple[Verdict, ...], tier: Tier = "rerun") -> tuple[Outcome, str]:
    """What the claims of one tier say together.

    REPRODUCED when every claim is (an intersection-union test: no correction needed). NOT_REPRODUCED when a claim is: each is
    called so at alpha divided by the number of claims, the first step of Holm's correction for having looked at several.
    NOT_ATTEMPTED when nothing was tested.
    """
    if not verdicts:
        return Outcome.NOT_ATTEMPTED, _NO_CLAIM[tier]
    outcomes = [verdict.outcome for verdict in verdicts]
    if set(outcomes) == {Outcome.NOT_ATTEMPTED}:
        told = {verdict.reason for verdict in verdicts}
        why = f": {verdicts[0].reason}" if len(told) == 1 else f", for {len(told)} reasons; each claim says its own"
        return Outcome.NOT_ATTEMPTED, f"no claim could be tested{why}"
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
