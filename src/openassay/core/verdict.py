"""What do the reruns say of each claim, and of the release? An ordered tuple of rules: the first that answers decides.

The decision is made by the interval of the difference: *reproduced* when it lies within the tolerance, *not reproduced* when
it lies outside, *inconclusive* when it straddles an edge. Each wrong verdict has probability `alpha` at most at the edge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import stats

from openassay.core.equivalence import Difference, difference, exact_difference, lies_outside, lies_within, runs_needed
from openassay.core.score import credit, score, score_interval
from openassay.core.types import (
    LARGEST,
    Claim,
    ControlOutcome,
    Finding,
    Measurement,
    Outcome,
    Rerun,
    RerunStatus,
    Score,
    Verdict,
)

RULES_VERSION = "1.1.0"

MOST_RUNS = 1000
DIVERGENCE_RATE = 0.1
"""A faithful rerun may diverge about this often before it speaks against the release."""
DIVERGENCE_ALPHA = 0.2
"""Share of alpha, on top of it, that may go to accusing a release whose recipe diverges at that rate."""
SAME = 1e-9
"""Values that differ by less, relative to their size or the margin, are equal: the arithmetic's own error."""

Driver = Literal["python", "native", "none"]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of one claim, before a rule has spoken."""

    claim: Claim
    alpha: float
    values: tuple[float | None, ...]
    """One a rerun, None where it gave no finite value; empty when nothing was run."""
    statuses: tuple[RerunStatus, ...]
    not_attempted_because: str
    """Why nothing was run; empty otherwise."""
    data_differs: str
    """What is wrong with the prepared data; empty when it is as published, or nothing was published to compare with."""
    faithful: tuple[float, ...]
    """For a control: the faithful reruns' values, which show the published recipe's noise; empty otherwise."""
    control: str
    """Why the arm's negative control has not shown power; empty when it was caught."""
    broken_alike: str
    """Why the faithful reruns may be as broken as the control; empty when the two are shown to differ."""

    @property
    def finite(self) -> tuple[float, ...]:
        """The finite values."""
        return tuple(value for value in self.values if value is not None)

    @property
    def num_lost(self) -> int:
        """Reruns without a finite value."""
        return len(self.values) - len(self.finite)

    @property
    def equal(self) -> bool:
        """Do all reruns with a value give the same one?"""
        values = self.finite
        return bool(values) and same(values, self.claim.tolerance.margin)

    @property
    def deterministic(self) -> bool:
        """Is the claim declared deterministic, and are the reruns equal?"""
        return self.claim.deterministic and self.equal

    @property
    def at_bound(self) -> bool:
        """Are the reruns equal because the metric has reached an end of its range?"""
        ends = [end for end in self.claim.bounds if end is not None]
        return self.equal and any(same((*self.finite, end), self.claim.tolerance.margin) for end in ends)

    def interval(self) -> tuple[float, float] | None:
        """Interval of the difference from the published value; None with fewer than two values."""
        published = self.claim.published
        if len(self.finite) < 2:
            return None
        if self.deterministic:
            return exact_difference(self.finite[0], published.value, published.rounding)
        low, high = self._difference().interval(self.alpha)
        return float(low), float(high)

    def _difference(self) -> Difference:
        published = self.claim.published
        return difference(
            self.finite, published.value, num_runs=published.num_runs, published_sd=published.sd,
            rounding=published.rounding, resolution=self.claim.resolution,
            published_recipe=self.faithful if len(self.faithful) >= 2 else None,
        )  # fmt: skip

    def agrees(self) -> bool:
        """Is the recipe shown to agree within the tolerance?"""
        interval, margin = self.interval(), self.claim.tolerance.margin
        if interval is None or self.deterministic:
            return interval is not None and bool(lies_within(*interval, margin))
        return bool(self._difference().agrees(margin, self.alpha))

    def differs(self) -> bool:
        """Is the recipe shown to differ by more than the tolerance?"""
        interval, margin = self.interval(), self.claim.tolerance.margin
        if interval is None or self.deterministic:
            return interval is not None and bool(lies_outside(*interval, margin))
        return bool(self._difference().differs(margin, self.alpha))

    def numbers(self) -> _Numbers:
        """The figures that stand beside the verdict."""
        interval, margin = self.interval(), self.claim.tolerance.margin
        if interval is None:
            mean = float(np.mean(self.finite)) - self.claim.published.value if self.finite else None
            return _Numbers(difference=mean, interval=None, within=None, p=None, score=None, score_interval=None)
        low, high = score_interval(interval[0], interval[1], margin)
        ends = (float(low), float(high))
        if self.deterministic:
            middle = (interval[0] + interval[1]) / 2
            inside = max(0.0, min(interval[1], margin) - max(interval[0], -margin))
            width = interval[1] - interval[0]
            within = inside / width if width > 0 else float(abs(middle) <= margin)
            p = float(not self.differs())
            value = float(credit(middle, margin))
            return _Numbers(difference=middle, interval=interval, within=within, p=p, score=value, score_interval=ends)
        found = self._difference()
        return _Numbers(
            difference=float(found.estimate), interval=interval, within=float(found.probability_within(margin)),
            p=float(found.p_not_within(margin)), score=float(score(found, margin)), score_interval=ends,
        )  # fmt: skip

    def runs_needed(self) -> int | None:
        """About how many reruns in all would decide; None when no number would."""
        published, found = self.claim.published, self._difference()
        inverse = 1 / published.num_runs
        unrounded = float(found.se) ** 2 - published.rounding**2 / 12
        return runs_needed(
            float(found.estimate), unrounded / (1 / len(self.finite) + inverse),
            margin=self.claim.tolerance.margin, alpha=self.alpha, inverse_num_runs=inverse,
            rounding=published.rounding, most=MOST_RUNS,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Numbers:
    difference: float | None
    interval: tuple[float, float] | None
    within: float | None
    p: float | None
    score: float | None
    score_interval: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A rule's answer."""

    outcome: Outcome
    reason: str
    rule: str = ""
    more_runs_needed: int | None = None


def nothing_was_run(evidence: Evidence) -> Decision | None:
    """No rerun was made, or none of them gave anything."""
    if evidence.not_attempted_because:
        return Decision(outcome=Outcome.NOT_ATTEMPTED, reason=evidence.not_attempted_because)
    broken = {RerunStatus.FAILED, RerunStatus.TIMED_OUT}
    if not evidence.values or all(status in broken for status in evidence.statuses):
        return Decision(outcome=Outcome.NOT_ATTEMPTED, reason="no rerun ran to its end; see the findings")
    return None


def p_of_lost(lost: int, n: int) -> float:
    """P(at least `lost` of `n` reruns give no value) for a recipe that fails one time in ten."""
    return float(stats.binom.sf(lost - 1, n, DIVERGENCE_RATE))


def some_runs_failed(evidence: Evidence) -> Decision | None:
    """Reruns that failed or gave no measurement may be the machine's fault: nothing is decided on the others."""
    failed = sum(status in {RerunStatus.FAILED, RerunStatus.TIMED_OUT} for status in evidence.statuses)
    if failed:
        reason = f"{failed} of {len(evidence.values)} reruns did not run to their end; see the findings"
        return Decision(outcome=Outcome.INCONCLUSIVE, reason=reason)
    return None


def too_many_runs_diverged(evidence: Evidence) -> Decision | None:
    """More reruns than chance allows diverged: the recipe as published does not train."""
    lost, n = evidence.num_lost, len(evidence.values)
    if not lost or p_of_lost(lost, n) > DIVERGENCE_ALPHA * evidence.alpha * (1 + SAME):
        return None
    if evidence.broken_alike:
        return Decision(outcome=Outcome.INCONCLUSIVE, reason=f"{lost} of {n} reruns diverged; {evidence.broken_alike}")
    return Decision(outcome=Outcome.NOT_REPRODUCED, reason=f"{lost} of {n} reruns diverged")


def equal_runs(evidence: Evidence) -> Decision | None:
    """Equal reruns of a recipe that is not declared deterministic: the seeds may never have reached it."""
    claim = evidence.claim
    if not evidence.equal or claim.deterministic or (evidence.at_bound and claim.resolution):
        return None
    return Decision(
        outcome=Outcome.INCONCLUSIVE,
        reason=f"all {len(evidence.finite)} reruns give {evidence.finite[0]:g}: their noise is unknown, the seeds may never "
        "have reached the recipe; if it is deterministic, or this is the end of the metric's range, the claim must declare it "
        "(deterministic, or bounds and resolution)",
    )


def too_few_runs(evidence: Evidence) -> Decision | None:
    """One value shows no noise."""
    if len(evidence.finite) < 2:
        return Decision(outcome=Outcome.INCONCLUSIVE, reason="fewer than two reruns gave a value", more_runs_needed=2)
    return None


def outside_tolerance(evidence: Evidence) -> Decision | None:
    """The recipe is shown to differ by more than the tolerance."""
    interval, margin = evidence.interval(), evidence.claim.tolerance.margin
    if interval is None or not evidence.differs():
        return None
    what = (
        f"{len(evidence.finite)} equal reruns differ by"
        if evidence.deterministic
        else "the interval of the difference is"
    )
    reason = f"{what} {_shown(interval)}, wholly outside ±{margin:g}"
    if evidence.broken_alike:
        return Decision(outcome=Outcome.INCONCLUSIVE, reason=f"{reason}; {evidence.broken_alike}")
    return Decision(outcome=Outcome.NOT_REPRODUCED, reason=reason)


def some_runs_diverged(evidence: Evidence) -> Decision | None:
    """A recipe that sometimes gives no value has not been shown to reproduce."""
    if evidence.num_lost:
        reason = f"{evidence.num_lost} of {len(evidence.values)} reruns diverged"
        return Decision(outcome=Outcome.INCONCLUSIVE, reason=reason)
    return None


def data_differs(evidence: Evidence) -> Decision | None:
    """A match on other data than the published is no reproduction."""
    if evidence.data_differs:
        return Decision(outcome=Outcome.INCONCLUSIVE, reason=evidence.data_differs)
    return None


def control_not_caught(evidence: Evidence) -> Decision | None:
    """A test that a broken recipe passes has no power."""
    if evidence.control and evidence.agrees():
        return Decision(outcome=Outcome.INCONCLUSIVE, reason=evidence.control)
    return None


def within_tolerance(evidence: Evidence) -> Decision | None:
    """The recipe is shown to agree within the tolerance."""
    interval, margin = evidence.interval(), evidence.claim.tolerance.margin
    if interval is None or not evidence.agrees():
        return None
    reason = f"the interval of the difference is {_shown(interval)}, wholly within ±{margin:g}"
    return Decision(outcome=Outcome.REPRODUCED, reason=reason)


def interval_straddles(evidence: Evidence) -> Decision | None:
    """The interval holds both differences within the tolerance and outside it."""
    interval, margin = evidence.interval(), evidence.claim.tolerance.margin
    if interval is None:
        return None
    reason = f"the interval of the difference is {_shown(interval)}, partly within ±{margin:g}"
    if evidence.deterministic:
        return Decision(outcome=Outcome.INCONCLUSIVE, reason=f"{reason}; the published value's rounding decides")
    needed = evidence.runs_needed()
    if needed is None:
        reason += "; no number of reruns would decide: the published value's own noise is too large for this tolerance"
    elif needed <= len(evidence.finite):
        needed = None
    else:
        reason += f"; about {needed} reruns would decide, if they went on like these"
    return Decision(outcome=Outcome.INCONCLUSIVE, reason=reason, more_runs_needed=needed)


Rule = Callable[[Evidence], Decision | None]

RULES: tuple[Rule, ...] = (
    nothing_was_run,
    data_differs,
    some_runs_failed,
    too_many_runs_diverged,
    too_few_runs,
    equal_runs,
    outside_tolerance,
    some_runs_diverged,
    control_not_caught,
    within_tolerance,
    interval_straddles,
)


def decide(evidence: Evidence) -> Decision:
    """The first rule's answer, with the rule's name."""
    for rule in RULES:
        if decision := rule(evidence):
            return replace(decision, rule=rule.__name__)
    raise AssertionError("the last rule always answers")


def judge_claim(evidence: Evidence, *, driver: Driver, protocol: str) -> Verdict:
    """What do the reruns say of this claim?"""
    decision, numbers, claim = decide(evidence), evidence.numbers(), evidence.claim
    return Verdict(
        id=claim.id, metric=claim.metric, unit=claim.unit, published=claim.published, tolerance=claim.tolerance,
        cited_at=claim.cited_at, driver=driver, protocol=protocol, runs=evidence.values,
        difference=numbers.difference, interval=numbers.interval, outcome=decision.outcome,
        probability_within_tolerance=numbers.within, p_not_reproduced=numbers.p,
        more_runs_needed=decision.more_runs_needed, score=numbers.score, score_interval=numbers.score_interval,
        reason=decision.reason, rule=decision.rule,
    )  # fmt: skip


def judge_control(
    claim: Claim, *, arm: str, runs: tuple[Rerun, ...], faithful: tuple[Rerun, ...], alpha: float
) -> ControlOutcome:
    """Was the broken recipe caught: are its reruns shown not to reproduce the claim, or unable to train at all?

    The published value's noise is that of the published recipe: the faithful reruns show it, not the control's own.
    """
    values = values_of(runs, claim.metric)
    theirs = values_of(faithful, claim.metric)
    finite = tuple(value for value in values if value is not None)
    evidence = Evidence(
        claim=replace(
            claim, deterministic=bool(finite) and same(finite, claim.tolerance.margin),
            published=replace(claim.published, sd=None),
        ),
        alpha=alpha, values=values, statuses=statuses_of(runs, claim.metric),
        not_attempted_because="" if runs else "the control was not run", data_differs="",
        faithful=tuple(value for value in theirs if value is not None), control="", broken_alike="",
    )  # fmt: skip
    outcome = decide(evidence).outcome
    return ControlOutcome(
        arm=arm, of=claim.arm, claim=claim.id, runs=values, outcome=outcome,
        caught=outcome is Outcome.NOT_REPRODUCED, differs_from_faithful=_differ(values, theirs, claim, alpha),
    )  # fmt: skip


def _differ(control: tuple[float | None, ...], faithful: tuple[float | None, ...], claim: Claim, alpha: float) -> bool:
    """Are the control's reruns shown to differ from the faithful ones? By Welch's test of means, or because only one diverges."""
    ours, theirs = ([value for value in values if value is not None] for values in (control, faithful))
    if len(ours) < 2 or len(theirs) < 2:
        return bool(ours) != bool(theirs)
    found = difference(
        ours, float(np.mean(theirs)), num_runs=len(theirs), published_recipe=theirs, resolution=claim.resolution
    )
    return bool(found.differs(SAME * claim.tolerance.margin, alpha))


def same(values: tuple[float, ...], margin: float) -> bool:
    """Are these values equal, but for the arithmetic's own error?"""
    largest = max(abs(value) for value in values)
    return max(values) - min(values) <= min(SAME * max(largest, margin), margin / 1000)


def values_of(runs: tuple[Rerun, ...], metric: str) -> tuple[float | None, ...]:
    """The value of a metric in each rerun, None where it gave none that is finite."""
    return tuple(
        found.value if found and found.value is not None and abs(found.value) <= LARGEST else None
        for found in (_measurement(run, metric) for run in runs)
    )


def statuses_of(runs: tuple[Rerun, ...], metric: str) -> tuple[RerunStatus, ...]:
    """How each rerun ended for one metric: another metric that is not finite says nothing of this one."""
    statuses = []
    for run, value in zip(runs, values_of(runs, metric), strict=True):
        found = _measurement(run, metric)
        if run.status in _NO_VALUES:
            statuses.append(run.status)
        elif found is None or (found.value is None and not found.raw):
            statuses.append(RerunStatus.FAILED)
        else:
            statuses.append(RerunStatus.DIVERGED if value is None else RerunStatus.FINISHED)
    return tuple(statuses)


_NO_VALUES = {RerunStatus.FAILED, RerunStatus.TIMED_OUT}


def _measurement(run: Rerun, metric: str) -> Measurement | None:
    if run.status in _NO_VALUES:
        return None
    return next((found for found in run.measurements if found.metric == metric), None)


def judge_release(verdicts: tuple[Verdict, ...], alpha: float) -> tuple[Outcome, str]:
    """What do the claims say together?

    REPRODUCED when every claim is (an intersection-union test: no correction needed). NOT_REPRODUCED when a claim is, and
    still is after Holm's correction for having looked at several. NOT_ATTEMPTED when nothing was tested.
    """
    if not verdicts:
        return Outcome.NOT_ATTEMPTED, "the release makes no claim that a rerun could test"
    tested = [verdict for verdict in verdicts if verdict.outcome is not Outcome.NOT_ATTEMPTED]
    if not tested:
        return Outcome.NOT_ATTEMPTED, "no claim could be tested: " + verdicts[0].reason
    by_rule = [v for v in tested if v.outcome is Outcome.NOT_REPRODUCED]
    if by_rule:
        smallest = min(
            p_of_lost(v.runs.count(None), len(v.runs))
            if v.rule == too_many_runs_diverged.__name__
            else v.p_not_reproduced or 0.0
            for v in by_rule
        )
        names = ", ".join(v.id for v in by_rule)
        if smallest <= alpha / len(tested):
            return Outcome.NOT_REPRODUCED, f"not reproduced: {names}"
        return (
            Outcome.INCONCLUSIVE,
            f"{names}: not reproduced on its own, but not after Holm's correction for {len(tested)} claims",
        )
    if all(verdict.outcome is Outcome.REPRODUCED for verdict in verdicts):
        return Outcome.REPRODUCED, "every claim is reproduced"
    if len(verdicts) == 1:
        return Outcome.INCONCLUSIVE, verdicts[0].reason
    reproduced = sum(verdict.outcome is Outcome.REPRODUCED for verdict in verdicts)
    return Outcome.INCONCLUSIVE, f"{reproduced} of {len(verdicts)} claims are reproduced, the others are open"


def score_release(verdicts: tuple[Verdict, ...]) -> Score:
    """The mean of the tested claims' scores with the mean of their intervals' ends, and the share that was tested."""
    tested = [v for v in verdicts if v.score is not None and v.score_interval is not None]
    coverage = len(tested) / len(verdicts) if verdicts else 0.0
    if not tested:
        return Score(value=None, interval=None, coverage=coverage)
    low = float(np.mean([v.score_interval[0] for v in tested if v.score_interval]))
    high = float(np.mean([v.score_interval[1] for v in tested if v.score_interval]))
    return Score(value=float(np.mean([v.score for v in tested])), interval=(low, high), coverage=coverage)


def unequal_deterministic(evidence: Evidence) -> Finding | None:
    """A recipe that is declared deterministic gave different values."""
    values = set(evidence.finite)
    if evidence.claim.deterministic and values and not evidence.equal:
        return Finding(
            stage="judge", kind="not_deterministic",
            message=f"{evidence.claim.id}: declared deterministic, but the reruns give {len(values)} different values, "
            f"{min(values):g} to {max(values):g}; judged as noisy",
        )  # fmt: skip
    return None


def equal_reruns(evidence: Evidence) -> Finding | None:
    """Equal reruns of a recipe that is not declared deterministic: what they leave open."""
    values = evidence.finite
    if evidence.claim.deterministic or len(values) < 2 or not evidence.equal:
        return None
    share = 1 - evidence.alpha ** (1 / len(values))
    return Finding(
        stage="judge", kind="equal_reruns",
        message=f"{evidence.claim.id}: all {len(values)} reruns give {values[0]:g}; up to {100 * share:.0f} % of seeds may still "
        "give something else",
    )  # fmt: skip


def _shown(interval: tuple[float, float]) -> str:
    return f"{interval[0]:+.3g} to {interval[1]:+.3g}"
