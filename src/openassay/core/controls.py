"""Negative controls: whether deliberately broken recipes were caught. If not, the audit's test has no power."""

from __future__ import annotations

import numpy as np

from openassay.core import shares
from openassay.core.claims import Claim
from openassay.core.equivalence import difference
from openassay.core.evidence import NO_VALUES, Design, Evidence, p_of_lost, share_terms_of
from openassay.core.replay_records import ReplayRecord
from openassay.core.rerun_records import Rerun, WeightsCompared
from openassay.core.sequential import DIVERGENCE_ALPHA, SAME
from openassay.core.verdict_records import ControlOutcome, Outcome


def judge_replay_controls(claim: Claim, found: ReplayRecord) -> tuple[ControlOutcome, ...]:
    """Which deliberately wrong replays were noticed."""
    return tuple(
        ControlOutcome(
            arm=of.change, of=claim.arm, claim=claim.id, runs=(of.in_floors,), caught=of.exercised,
            outcome=Outcome.NOT_REPRODUCED if of.exercised else Outcome.INCONCLUSIVE, differs_from_faithful=of.exercised,
        )
        for of in found.exercise if of.control
    )  # fmt: skip


def judge_control(
    claim: Claim, design: Design, *, arm: str, runs: tuple[Rerun, ...], faithful: tuple[Rerun, ...],
    baseline: tuple[Rerun, ...] = (),
) -> ControlOutcome:  # fmt: skip
    """Whether the broken recipe was caught: its reruns are shown not to answer the claim's question, or cannot train at all.

    All of its reruns are judged at once, by Welch's test: where the published value's luck counts, it is that of the published
    recipe, which the faithful reruns show, and not the control's own.
    """
    broken, whole = (Evidence.of_runs(claim, design, of, baseline) for of in (runs, faithful))
    outcome = _control_outcome(claim, broken, whole.values)
    return ControlOutcome(
        arm=arm, of=claim.arm, claim=claim.id, runs=broken.values, outcome=outcome,
        caught=outcome is Outcome.NOT_REPRODUCED,
        differs_from_faithful=_differ(broken.values, whole.values, claim, design.alpha),
    )  # fmt: skip


def not_learnt(
    claim: Claim, design: Design, *, arm: str, runs: tuple[Rerun, ...], faithful: tuple[Rerun, ...]
) -> str:  # fmt: skip
    """Why reruns whose classes were renamed show that the number does not come from the labels at hand; empty where they do not.

    What is learnt from labels is the same whatever the classes are called; what was known beforehand is not.
    """
    renamed, whole = (Evidence.of_runs(claim, design, of) for of in (runs, faithful))
    ours, theirs = ([of for of in values if of is not None] for values in (renamed.values, whole.values))
    if theirs and not ours:
        return f"no rerun gave a value once its classes had other names ({arm}), and {len(theirs)} did with the published names"
    if len(ours) < 2 or len(theirs) < 2:
        return ""
    mean = float(np.mean(theirs))
    found = difference(ours, mean, num_runs=len(theirs), published_recipe=theirs, resolution=claim.resolution)
    if not found.differs(claim.tolerance.margin, design.alpha):
        return ""
    seen = f"{np.mean(ours):.4g} where the classes had other names ({arm}), read by their true ones, and {mean:.4g} as published"
    return f"the reruns give {seen}; a recipe that learns from the labels and treats all classes alike gives the same"


def doubts_of_weights(found: WeightsCompared, *, deterministic: bool) -> list[tuple[str, str]]:
    """What the weights that reruns wrote speak against, each a kind of finding and a sentence with its figures.

    deterministic: the recipe is declared to give the same every time; then equal weights, and the released ones, are its result.
    """
    if found.problem:
        return [("weights_not_compared", f"the reruns' weights cannot be compared: {found.problem}")]
    doubts = []
    if found.unmoved:
        doubts.append(("no_training", "a rerun ends with the weights that it says it began with"))
    if deterministic:
        return doubts
    if found.equal:
        seen = f"reruns of different seeds wrote equal weights (of {found.num_reruns} compared)"
        doubts.append(("no_training", f"{seen}: nothing in them is trained anew, or no seed reaches what is random"))
    if (of := found.to_released) and (found.near or found.one_start):
        other = found.among
        seen = f"mean |cosine| of matched units {of.alike:.3f} to the released weights"
        seen += f", {other.alike:.3f} to each other" if other else ""
        seen += f"; {of.distinct:.3f} of the way to the next best unit; {of.reordered:.0%} of the units stand in other places"
        message = f"the reruns' weights are nearer to the released ones than trainings of one recipe are to each other ({seen})"
        if found.one_start:
            message = f"the reruns and the released weights are alike as trainings that begin with the same weights are ({seen});"
            message += " whether these are a fixed start or the released ones themselves is not told"
        doubts.append(("copied" if found.near else "one_start", message))
    return doubts


def _control_outcome(claim: Claim, broken: Evidence, faithful: tuple[float | None, ...]) -> Outcome:
    values, alpha, question = broken.values, broken.design.alpha, broken.estimand
    failed = [status in NO_VALUES for status in broken.statuses]
    if all(failed):
        return Outcome.NOT_ATTEMPTED
    if any(failed):
        return Outcome.INCONCLUSIVE
    finite = [value for value in values if value is not None]
    lost = len(values) - len(finite)
    if claim.success:
        terms = share_terms_of(claim, broken.design)
        interval = terms.interval(sum(map(claim.success.holds, values)), len(values), alpha, question)
        if shares.is_outside(terms, interval):
            return Outcome.NOT_REPRODUCED
        return Outcome.REPRODUCED if shares.is_within(terms, interval) else Outcome.INCONCLUSIVE
    if lost and p_of_lost(lost, len(values), claim.divergence_rate) <= DIVERGENCE_ALPHA * alpha * (1 + SAME):
        return Outcome.NOT_REPRODUCED
    if len(finite) < 2:
        return Outcome.INCONCLUSIVE
    published, margin = claim.published, claim.tolerance.margin
    theirs = [value for value in faithful if value is not None]
    found = difference(
        finite, published.value, num_runs=published.num_runs if question == "recipe" else np.inf, rounding=published.rounding,
        resolution=claim.resolution, published_recipe=theirs if len(theirs) >= 2 else None,
    )  # fmt: skip
    wrong_side = {"two-sided": True, "at_least": found.estimate < 0, "at_most": found.estimate > 0}[claim.direction]
    if wrong_side and found.differs(margin, alpha):
        return Outcome.NOT_REPRODUCED
    return Outcome.REPRODUCED if found.agrees(margin, alpha) and not lost else Outcome.INCONCLUSIVE


def _differ(control: tuple[float | None, ...], faithful: tuple[float | None, ...], claim: Claim, alpha: float) -> bool:
    """Whether the control's reruns are shown to differ from the faithful ones: by Welch's test, or because only one diverges."""
    if claim.success:
        won, theirs_won = (sum(map(claim.success.holds, values)) for values in (control, faithful))
        return bool(shares.p_equal(won, len(control), theirs_won, len(faithful)) <= alpha)
    ours, theirs = ([value for value in values if value is not None] for values in (control, faithful))
    if len(ours) < 2 or len(theirs) < 2:
        return bool(ours) != bool(theirs)
    mean, step = float(np.mean(theirs)), claim.resolution
    found = difference(ours, mean, num_runs=len(theirs), published_recipe=theirs, resolution=step)
    return bool(found.differs(SAME * claim.tolerance.margin, alpha))
