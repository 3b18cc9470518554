"""What is said of claims that no rerun tests, and what the claims of each tier say together."""

from __future__ import annotations

from typing import get_args

import scipy

from openassay.core.claims import Claim
from openassay.core.findings import Recomputed
from openassay.core.rerun_records import EvaluateRecord
from openassay.core.sequential import SIDES, credit, shortfall
from openassay.core.tiers import Tier
from openassay.core.verdict import judge_release, of_claim, score_release
from openassay.core.verdict_records import Basis, Outcome, ReleaseVerdict, TierVerdict, Verdict, Why

_NO_CLAIM: dict[Tier, str] = {
    "recomputed": "the target declares no claim that follows from other published files",
    "evaluated": "the target declares no claim that is tested on the released weights",
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
    itself = next((of.name for of in found.numbers if of.at_citation and of.value == printed), None)
    if found.value is None or found.control is None:
        outcome, rule, reason = Outcome.NOT_ATTEMPTED, "not_recomputed", found.problem
    elif itself:
        reason = f"{itself} is the printed number itself, read where the claim is cited: it would follow from itself"
        outcome, rule = Outcome.NOT_ATTEMPTED, "not_recomputed"
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
        **of_claim(claim), tier="recomputed", driver="recompute", protocol="recomputed from published files", estimand="number",
        runs=(), runs_used=0, max_runs=None, difference=difference, interval=interval, outcome=outcome, basis=(), shown=(),
        why=why, answers=(), looks=(), plausibility=None, p_not_reproduced=None, more_runs_needed=None,
        score=None if score is None else float(credit(abs(difference or 0.0), margin)), score_interval=score,
        reason=reason, rule=rule,
    )  # fmt: skip


def _shown(value: float) -> str:
    """A number with its digits: whole ones in full, others with ten."""
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.10g}"


def judge_evaluated(claim: Claim, found: EvaluateRecord, *, alpha: float, basis: tuple[Basis, ...]) -> Verdict:
    """What the released weights say of a number that is claimed of them, measured once.

    Reproduced where the number that they give lies within the tolerance of the printed one. Not reproduced only where it lies
    outside, where the test items' own noise could not move it so far (with probability `alpha` at most, by the normal
    distribution), and where the evaluation is the published one.
    """
    declared, margin, printed = claim.evaluated, claim.tolerance.margin, claim.published.value
    assert declared is not None  # noqa: S101 - for such claims only
    values = {of.metric: of.value for of in found.measurements}
    value = values.get(claim.metric)
    why: Why | None = None
    difference = interval = score = None
    if value is None:
        outcome, rule = Outcome.NOT_ATTEMPTED, "not_evaluated"
        reason = found.reason or "the evaluation of the released weights gave no finite number"
    else:
        difference, error = value - printed, _standard_error(claim, value, values)
        short = float(shortfall(difference, SIDES[claim.direction]))
        score = float(credit(short, margin))
        said = f"the released weights give {_shown(value)}, {difference:+.3g} from the printed {_shown(printed)}"
        said += f"; {declared.differs}" if declared.differs else ""
        noise = float(scipy.special.ndtri(1 - alpha)) * (error or 0.0)
        interval = (difference - noise, difference + noise) if error is not None else None
        if short <= margin * (1 + 1e-9):
            outcome, rule, reason = Outcome.REPRODUCED, "evaluated_within", f"{said}: within ±{margin:g}"
        elif error is None or short - claim.published.rounding / 2 <= max(margin, noise):
            outcome, rule, why = Outcome.INCONCLUSIVE, "evaluated_open", "items"
            but = "and the test items' own noise is not known"
            if error is not None:
                but = f"but not beyond what the test items' own noise explains (standard error {error:.3g})"
            reason = f"{said}: beyond ±{margin:g}, {but}"
        elif declared.differs:
            outcome, rule, why = Outcome.INCONCLUSIVE, "evaluated_otherwise", "protocol"
            reason = f"{said}: beyond ±{margin:g}, which the other evaluation may explain"
        else:
            outcome, rule = Outcome.NOT_REPRODUCED, "evaluated_outside"
            reason = f"{said}: beyond ±{margin:g}, and beyond what the test items' noise explains (standard error {error:.3g})"
    return Verdict(
        **of_claim(claim), tier="evaluated", driver="evaluate", protocol="released weights under the published evaluation",
        estimand="number", runs=() if value is None else (value,), runs_used=0 if value is None else 1, max_runs=None,
        difference=difference, interval=interval, outcome=outcome, basis=() if value is None else basis, shown=(), why=why,
        answers=(), looks=(), plausibility=None, p_not_reproduced=None, more_runs_needed=None, score=score,
        score_interval=None if score is None else (score, score), reason=reason, rule=rule,
    )  # fmt: skip


def _standard_error(claim: Claim, value: float, values: dict[str, float | None]) -> float | None:
    """Over the test items; None where it is not known."""
    of = claim.evaluated
    if of is None or of.items is None:
        return values.get(of.standard_error or "") if of else None
    scale = 100.0 if claim.unit == "percent" else 1.0
    share = min(1.0, max(0.0, value / scale))
    return float((share * (1 - share) / (of.items - 1)) ** 0.5 * scale)


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
        outcome, reason = (
            judge_release(own) if own or tier not in _NO_CLAIM else (Outcome.NOT_ATTEMPTED, _NO_CLAIM[tier])
        )
        tested = [of for of in own if of.outcome is not Outcome.NOT_ATTEMPTED]
        found.append(TierVerdict(
            tier=tier, outcome=outcome, reason=reason, score=score_release(own), num_claims=len(own), num_tested=len(tested),
            num_reproduced=sum(of.outcome is Outcome.REPRODUCED for of in own),
            num_not_reproduced=sum(of.outcome is Outcome.NOT_REPRODUCED for of in own),
            share=sum(of.weight for of in tested) / weight if weight else 0.0,
        ))  # fmt: skip
    return tuple(found)


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
    found = [*filter(None, map(tier_words, verdict.tiers))]
    if openness := verdict.openness:
        found += [
            f"Open Source AI Definition: {openness.osaid.outcome}",
            f"Model Openness Framework: {openness.mof.label}",
        ]
    return found
