"""What do the reruns say of each claim, and of the release? An ordered tuple of rules: the first that answers decides.

The numbers are judged by the group-sequential equivalence test (`sequential`): its interval lies within the tolerance, outside,
or straddles an edge, and each wrong verdict has probability `alpha` at most at the edge, over all looks together. The rules
around it keep it honest: about data, lost reruns, seeds that never arrived, and controls.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from openassay.core import shares
from openassay.core.boundaries import PLANS
from openassay.core.equivalence import difference
from openassay.core.quality import SHARED_SHIFT, shared_shift, warnings
from openassay.core.score import credit
from openassay.core.sequential import (
    DIVERGENCE_ALPHA,
    DIVERGENCE_RATE,
    SAME,
    SIDES,
    Batch,
    Stop,
    Stopped,
    Terms,
    are_equal,
    p_outside,
    probability_within,
    score,
    to_batch,
)
from openassay.core.sequential import run as run_test
from openassay.core.types import (
    LARGEST,
    Claim,
    ControlOutcome,
    Finding,
    Look,
    Measurement,
    Outcome,
    ReplayRecord,
    Rerun,
    RerunStatus,
    Score,
    Verdict,
)

RULES_VERSION = "2.1.0"

Driver = Literal["python", "native", "replay", "pretrain", "none"]


def terms_of(claim: Claim, alpha: float, max_runs: int, *, num_claims: int = 1, at_end_of_range: bool = False) -> Terms:
    """What a claim, one of `num_claims` of its release, says to the sequential test."""
    published, family = claim.published, claim.family
    # Equal differences, seed by seed, from values that are not equal: then the seeds have arrived, and nothing else is random.
    follows_seeds = claim.paired and not same(published.values or (0.0,), claim.tolerance.margin)
    exact = follows_seeds and not max(claim.resolution, published.rounding)
    return Terms(
        published=0.0 if claim.paired else published.value, margin=claim.tolerance.margin, num_published=published.num_runs,
        published_sd=published.seed_sd(), rounding=published.rounding, extra_sd=published.extra_sd,
        best_of=published.best_of, higher_is_better=published.better == "higher",
        family_sd=family.sd if family else None, family_df=family.df if family else 0.0, step=claim.resolution,
        direction=SIDES[claim.direction], alpha=alpha,
        alpha_outside=alpha / num_claims, divergence_rate=claim.divergence_rate, deterministic=claim.deterministic or exact,
        equal_decides_last=at_end_of_range, paired=claim.paired, max_runs=max_runs,
    )  # fmt: skip


def share_terms_of(claim: Claim, alpha: float, max_runs: int, *, num_claims: int = 1) -> shares.ShareTerms:
    """What a claim on the share of successful trainings says to the exact test."""
    return shares.ShareTerms(
        successes=round(claim.published.value * claim.published.num_runs), num_published=claim.published.num_runs,
        margin=claim.tolerance.margin, direction=SIDES[claim.direction],
        alpha=alpha, alpha_outside=alpha / num_claims, max_runs=max_runs,
    )  # fmt: skip


def wants_more(
    claims: tuple[Claim, ...], alpha: float, max_runs: int, runs: tuple[Rerun, ...], *, num_claims: int
) -> bool:
    """Does any of an arm's claims ask for another rerun? `runs` are the arm's first ones, none left out.

    num_claims: claims of the release that can be tested. No, when a rerun failed: then nothing can be decided on the others.
    """
    evidence = [Evidence.of_runs(claim, alpha, max_runs, runs, num_claims=num_claims) for claim in claims]
    if any(status in _NO_VALUES for of in evidence for status in of.statuses):
        return False
    return any(of.stop in {Stop.NEEDS_RUNS, Stop.EQUAL} for of in evidence)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of one claim, before a rule has spoken."""

    claim: Claim
    alpha: float
    max_runs: int
    """Most reruns that were planned: the sequential test's plan is chosen for it."""
    num_claims: int
    """Claims of the release that can be tested: each is called NOT_REPRODUCED at alpha divided by it."""
    values: tuple[float | None, ...]
    """One a rerun, None where it gave no finite value; empty when nothing was run."""
    statuses: tuple[RerunStatus, ...]
    not_attempted_because: str = ""
    """Why nothing was run; empty otherwise."""
    data_differs: str = ""
    """What is wrong with the prepared data; empty when it is as published, or nothing was published to compare with."""
    control: str = ""
    """Why the arm's negative control has not shown power; empty when it was caught."""
    broken_alike: str = ""
    """Why the faithful reruns may be as broken as the control; empty when the two are shown to differ."""

    @classmethod
    def of_runs(
        cls, claim: Claim, alpha: float, max_runs: int, runs: tuple[Rerun, ...], *, num_claims: int
    ) -> Evidence:
        """The evidence that reruns give by themselves."""
        return cls(
            claim=claim, alpha=alpha, max_runs=max_runs, num_claims=num_claims, values=values_of(runs, claim.metric),
            statuses=statuses_of(runs, claim.metric),
        )  # fmt: skip

    @property
    def used(self) -> tuple[float | None, ...]:
        """The values that the sequential test has looked at."""
        return self.values[: self.num_used]

    @property
    def finite(self) -> tuple[float, ...]:
        """The finite ones of them."""
        return tuple(value for value in self.used if value is not None)

    @property
    def num_used(self) -> int:
        """Reruns that the sequential test has looked at."""
        return int(self._stopped[1].runs_used[0])

    @property
    def stop(self) -> Stop:
        """What the sequential test says."""
        return Stop(int(self._stopped[1].stop[0]))

    @functools.cached_property
    def _stopped(self) -> tuple[Batch, Stopped]:
        return self._run(self.values)

    def _run(self, *prefixes: tuple[float | None, ...]) -> tuple[Batch, Stopped]:
        ends = [end for end in self.claim.bounds if end is not None]
        successes = [self._successes(prefix) for prefix in prefixes] if self.claim.success else []
        if successes:
            prefixes = tuple(tuple(map(float, of)) for of in successes)
        if self.claim.paired:
            prefixes = tuple(self._pairs(prefix) for prefix in prefixes)
        first = next((value for value in self.values if value is not None), None)
        at_end = first is not None and any(same((first, end), self.claim.tolerance.margin) for end in ends)
        # Equal reruns are no sign of a lost seed where the metric has reached its end; but a few of them show little.
        asked = terms_of(
            self.claim, self.alpha, self.max_runs, num_claims=self.num_claims,
            at_end_of_range=at_end and self.claim.resolution > 0,
        )  # fmt: skip
        batch = to_batch([asked] * len(prefixes), prefixes)
        return batch, self._share_stopped(successes) if successes else run_test(batch)

    def _pairs(self, values: tuple[float | None, ...]) -> tuple[float | None, ...]:
        """The reruns minus the published values of the same seeds."""
        return tuple(
            None if ours is None else ours - theirs
            for ours, theirs in zip(values, self.claim.published.values or (), strict=False)
        )

    def _successes(self, values: tuple[float | None, ...]) -> tuple[bool, ...]:
        """Which reruns succeeded?"""
        rule = self.claim.success
        return tuple(rule is not None and rule.holds(value) for value in values)

    @functools.cached_property
    def share(self) -> shares.ShareTerms:
        """The terms of a claim on a share."""
        return share_terms_of(self.claim, self.alpha, self.max_runs, num_claims=self.num_claims)

    def _share_stopped(self, successes: list[tuple[bool, ...]]) -> Stopped:
        """The exact test's answers in the sequential test's words."""
        found = [shares.run(self.share, of) for of in successes]

        def column(values: Iterable[float | None]) -> NDArray[np.float64]:
            return np.array([np.nan if value is None else value for value in values], dtype=float)

        used = np.array([of.num_used for of in found])
        return Stopped(
            stop=np.array([int(of.stop) for of in found]), runs_used=used, num_values=used,
            estimate=column(of.difference for of in found), se=column(of.se for of in found),
            df=np.where(used >= 2, np.inf, np.nan), critical=np.full(len(found), np.nan),
            low=column(of.low for of in found), high=column(of.high for of in found),
        )  # fmt: skip

    def numbers(self) -> _Numbers:
        """The figures that stand beside the verdict."""
        batch, stopped = self._stopped
        plan = list(PLANS)[int(batch.plan[0])] if self.values else None
        feasible = bool(batch.feasible[0]) if plan and batch.prior_df[0] > 0 else None
        if plan and self.claim.success:
            plan, feasible = "exact", shares.is_feasible(self.share)
        if np.isnan(stopped.df[0]):
            mean = float(np.mean(self.finite)) - self.claim.published.value if self.finite else None
            if self.claim.paired or self.claim.success:
                mean = None
            return _Numbers(
                difference=mean, interval=None, within=None, p=None, prediction=None, score=None, score_interval=None,
                plan=plan, feasible=feasible,
            )  # fmt: skip
        value, least, most = (float(found[0]) for found in score(stopped, batch))
        return _Numbers(
            difference=float(stopped.estimate[0]), interval=(float(stopped.low[0]), float(stopped.high[0])),
            within=float(probability_within(stopped, batch)[0]), p=self._p(), prediction=self._prediction_p(), score=value,
            score_interval=(least, most), plan=plan, feasible=feasible,
        )  # fmt: skip

    def _p(self) -> float:
        """The smallest alpha at which one of these looks would have shown that the recipe differs."""
        if self.stop is Stop.DIVERGED:
            return p_of_lost(self.num_used - len(self.finite), self.num_used, self.claim.divergence_rate)
        if self.claim.success:
            return shares.p_outside(self.share, self._num_successes, self.num_used)
        batch, stopped = self._run(*self._prefixes())
        return float(np.nanmin(p_outside(stopped, batch)))

    def _prefixes(self) -> list[tuple[float | None, ...]]:
        return [self.used[:n] for n in range(2, len(self.used) + 1)]

    def _prediction_p(self) -> float | None:
        """p-value of "the published value is one more draw", with the noise that the reruns show."""
        _, stopped = self._stopped
        if self.claim.success:
            theirs = self.share
            return shares.p_equal(self._num_successes, self.num_used, theirs.successes, theirs.num_published)
        if stopped.se[0] == 0 or np.isnan(stopped.df[0]):
            return None
        return float(2 * stats.t.sf(abs(stopped.estimate[0]) / stopped.se[0], stopped.df[0]))

    @property
    def _num_successes(self) -> int:
        return sum(self._successes(self.used))

    def looks(self) -> tuple[Look, ...]:
        """Every look, up to the one that decided."""
        if len(self.used) < 2:
            return ()
        prefixes = self._prefixes()
        _, found = self._run(*prefixes)
        return tuple(
            Look(
                num_runs=len(prefix), difference=_number(found.estimate[i]), critical_value=_number(found.critical[i]),
                interval=None if np.isnan(found.df[i]) else (float(found.low[i]), float(found.high[i])),
                stop=Stop(int(found.stop[i])).name.lower(),
            )
            for i, prefix in enumerate(prefixes)
        )  # fmt: skip


def _number(value: np.float64) -> float | None:
    return float(value) if np.isfinite(value) else None


@dataclass(frozen=True, kw_only=True)
class _Numbers:
    difference: float | None
    interval: tuple[float, float] | None
    within: float | None
    p: float | None
    prediction: float | None
    score: float | None
    score_interval: tuple[float, float] | None
    plan: str | None
    feasible: bool | None


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
    if not evidence.values or all(status in _NO_VALUES for status in evidence.statuses):
        return Decision(outcome=Outcome.NOT_ATTEMPTED, reason="no rerun ran to its end; see the findings")
    return None


def p_of_lost(lost: int, n: int, declared_rate: float = 0.0) -> float:
    """P(at least `lost` of `n` reruns give no value) for a recipe that diverges one time in ten, or as often as declared."""
    return float(stats.binom.sf(lost - 1, n, max(DIVERGENCE_RATE, declared_rate)))


def data_differs(evidence: Evidence) -> Decision | None:
    """A match on other data than the published is no reproduction."""
    if evidence.data_differs:
        return Decision(outcome=Outcome.INCONCLUSIVE, reason=evidence.data_differs)
    return None


def some_runs_failed(evidence: Evidence) -> Decision | None:
    """Reruns that failed or gave no measurement may be the machine's fault: nothing is decided on the others."""
    failed = sum(status in _NO_VALUES for status in evidence.statuses)
    if failed:
        reason = f"{failed} of {len(evidence.values)} reruns did not run to their end; see the findings"
        return Decision(outcome=Outcome.INCONCLUSIVE, reason=reason)
    return None


def too_many_runs_diverged(evidence: Evidence) -> Decision | None:
    """More reruns than chance allows diverged: the recipe as published does not train."""
    if evidence.stop is not Stop.DIVERGED:
        return None
    reason = f"{evidence.num_used - len(evidence.finite)} of {evidence.num_used} reruns diverged"
    if evidence.broken_alike:
        return Decision(outcome=Outcome.INCONCLUSIVE, reason=f"{reason}; {evidence.broken_alike}")
    return Decision(outcome=Outcome.NOT_REPRODUCED, reason=reason)


def too_few_runs(evidence: Evidence) -> Decision | None:
    """One value shows no noise."""
    if len(evidence.used if evidence.claim.success else evidence.finite) < 2:
        return Decision(outcome=Outcome.INCONCLUSIVE, reason="fewer than two reruns gave a value", more_runs_needed=2)
    return None


def equal_runs(evidence: Evidence) -> Decision | None:
    """Equal reruns of a recipe that is not declared deterministic: the seeds may never have reached it."""
    if evidence.stop is not Stop.EQUAL:
        return None
    return Decision(
        outcome=Outcome.INCONCLUSIVE,
        reason=f"all {len(evidence.finite)} reruns give {evidence.finite[0]:g}: their noise is unknown, the seeds may never "
        "have reached the recipe; if it is deterministic, or this is the end of the metric's range, the claim must declare it "
        "(deterministic, or bounds and resolution)",
    )


def outside_tolerance(evidence: Evidence) -> Decision | None:
    """The recipe is shown to differ by more than the tolerance."""
    if evidence.stop is not Stop.OUTSIDE:
        return None
    reason = f"{_interval_of(evidence)}, outside {_tolerance(evidence.claim)}"
    if evidence.broken_alike:
        return Decision(outcome=Outcome.INCONCLUSIVE, reason=f"{reason}; {evidence.broken_alike}")
    return Decision(outcome=Outcome.NOT_REPRODUCED, reason=reason)


def control_not_caught(evidence: Evidence) -> Decision | None:
    """A test that a broken recipe passes has no power."""
    if evidence.control and evidence.stop is Stop.WITHIN:
        return Decision(outcome=Outcome.INCONCLUSIVE, reason=evidence.control)
    return None


def within_tolerance(evidence: Evidence) -> Decision | None:
    """The recipe is shown to agree within the tolerance."""
    if evidence.stop is not Stop.WITHIN:
        return None
    reason = f"{_interval_of(evidence)}, within {_tolerance(evidence.claim)}"
    return Decision(outcome=Outcome.REPRODUCED, reason=reason)


def interval_straddles(evidence: Evidence) -> Decision | None:
    """The interval holds both differences within the tolerance and outside it."""
    margin = evidence.claim.tolerance.margin
    low, high = evidence.numbers().interval or (np.nan, np.nan)
    where = (
        "partly within"
        if low <= margin and high >= -margin
        else f"not surely enough for one of {evidence.num_claims} claims outside"
    )
    reason = f"{_interval_of(evidence)}, {where} {_tolerance(evidence.claim)}"
    needed = None
    if evidence.stop is Stop.ROUNDING:
        reason += "; the published value's rounding decides"
    elif evidence.stop is Stop.FUTILE:
        reason += "; a decision by the plan's last rerun has become unlikely"
    elif evidence.stop is Stop.SPENT:
        reason += "; the plan's reruns are spent"
    else:
        batch, _ = evidence._stopped
        needed = min(evidence.max_runs, list(PLANS.values())[int(batch.plan[0])].max_runs)
        if evidence.claim.success:
            needed = evidence.max_runs
        reason += f"; the plan has up to {needed} reruns, and {len(evidence.values)} were made"
    if evidence.numbers().feasible is False:
        reason += (
            f"; not even {evidence.max_runs} successes of {evidence.max_runs}, or none, would show that this tolerance is kept"
            if evidence.claim.success
            else "; no number of reruns could show that this tolerance is kept: the published value's own noise is too large"
        )
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
        id=claim.id, metric=claim.metric, unit=claim.unit, weight=claim.weight, published=claim.published,
        tolerance=claim.tolerance,
        cited_at=claim.cited_at, driver=driver, protocol=protocol, runs=evidence.values, runs_used=evidence.num_used,
        difference=numbers.difference, interval=numbers.interval, outcome=decision.outcome,
        plan=numbers.plan, feasible=numbers.feasible, looks=evidence.looks(),
        probability_within_tolerance=numbers.within, p_not_reproduced=numbers.p, prediction_p=numbers.prediction,
        more_runs_needed=decision.more_runs_needed, score=numbers.score, score_interval=numbers.score_interval,
        reason=decision.reason, rule=decision.rule,
    )  # fmt: skip


def judge_replay(claim: Claim, found: ReplayRecord, *, protocol: str) -> Verdict:
    """What does a replay say of the claim that published checkpoints follow from an earlier one by the published recipe?

    Its own rule decides (`core/replay.py`): a statistic beyond three floors, or none and the controls seen. The value is the
    largest statistic in floors.
    """
    used = [of.in_floors for of in found.statistics if of.used]
    value = max(used) if used else None
    outcome, rule = {
        "MATCHES": (Outcome.REPRODUCED, "replay_matches"), "DIFFERS": (Outcome.NOT_REPRODUCED, "replay_differs"),
        "INCONCLUSIVE": (Outcome.INCONCLUSIVE, "replay_open"),
    }[found.standing]  # fmt: skip
    score = None if value is None else float(credit(value, claim.tolerance.margin))
    not_seen = sum(not of.exercised for of in found.exercise)
    reason = "; ".join(found.reasons)
    if outcome is Outcome.REPRODUCED and found.exercise:
        reason += f"; {len(found.exercise) - not_seen} of {len(found.exercise)} changes of the recipe would have shown"
    return Verdict(
        id=claim.id, metric=claim.metric, unit=claim.unit, weight=claim.weight, published=claim.published,
        tolerance=claim.tolerance, cited_at=claim.cited_at, driver="replay", protocol=protocol, runs=(value,), runs_used=1,
        difference=value, interval=None, outcome=outcome, plan=None, feasible=None, looks=(),
        probability_within_tolerance=None, p_not_reproduced=None, prediction_p=None, more_runs_needed=None, score=score,
        score_interval=None if score is None else (score, score), reason=reason, rule=rule,
    )  # fmt: skip


def judge_replay_controls(claim: Claim, found: ReplayRecord) -> tuple[ControlOutcome, ...]:
    """Which deliberately wrong replays were noticed?"""
    return tuple(
        ControlOutcome(
            arm=of.change, of=claim.arm, claim=claim.id, runs=(of.in_floors,),
            outcome=Outcome.NOT_REPRODUCED if of.exercised else Outcome.INCONCLUSIVE, caught=of.exercised,
            differs_from_faithful=of.exercised,
        )
        for of in found.exercise if of.control
    )  # fmt: skip


def judge_control(
    claim: Claim, *, arm: str, runs: tuple[Rerun, ...], faithful: tuple[Rerun, ...], alpha: float
) -> ControlOutcome:
    """Was the broken recipe caught: are its reruns shown not to reproduce the claim, or unable to train at all?

    All of its reruns are judged at once, by Welch's test: the published value's noise is that of the published recipe, which the
    faithful reruns show, and not the control's own.
    """
    values, theirs = values_of(runs, claim.metric), values_of(faithful, claim.metric)
    outcome = _control_outcome(claim, values, theirs, statuses_of(runs, claim.metric), alpha)
    return ControlOutcome(
        arm=arm, of=claim.arm, claim=claim.id, runs=values, outcome=outcome,
        caught=outcome is Outcome.NOT_REPRODUCED, differs_from_faithful=_differ(values, theirs, claim, alpha),
    )  # fmt: skip


def _control_outcome(
    claim: Claim, values: tuple[float | None, ...], faithful: tuple[float | None, ...], statuses: tuple[RerunStatus, ...],
    alpha: float,
) -> Outcome:  # fmt: skip
    if all(status in _NO_VALUES for status in statuses):
        return Outcome.NOT_ATTEMPTED
    finite = [value for value in values if value is not None]
    lost = len(values) - len(finite)
    if any(status in _NO_VALUES for status in statuses):
        return Outcome.INCONCLUSIVE
    if claim.success:
        terms = share_terms_of(claim, alpha, len(values))
        found_share = shares.answer(terms, sum(map(claim.success.holds, values)), len(values))
        if found_share is None:
            return Outcome.INCONCLUSIVE
        return Outcome.REPRODUCED if found_share is Stop.WITHIN else Outcome.NOT_REPRODUCED
    if lost and p_of_lost(lost, len(values), claim.divergence_rate) <= DIVERGENCE_ALPHA * alpha * (1 + SAME):
        return Outcome.NOT_REPRODUCED
    if len(finite) < 2:
        return Outcome.INCONCLUSIVE
    published, margin = claim.published, claim.tolerance.margin
    theirs = [value for value in faithful if value is not None]
    found = difference(
        finite, published.value, num_runs=published.num_runs, rounding=published.rounding, resolution=claim.resolution,
        published_recipe=theirs if len(theirs) >= 2 else None,
    )  # fmt: skip
    wrong_side = {"two-sided": True, "at_least": found.estimate < 0, "at_most": found.estimate > 0}[claim.direction]
    if wrong_side and found.differs(margin, alpha):
        return Outcome.NOT_REPRODUCED
    return Outcome.REPRODUCED if found.agrees(margin, alpha) and not lost else Outcome.INCONCLUSIVE


def _differ(control: tuple[float | None, ...], faithful: tuple[float | None, ...], claim: Claim, alpha: float) -> bool:
    """Are the control's reruns shown to differ from the faithful ones? By Welch's test of means, or because only one diverges."""
    if claim.success:
        won, theirs_won = (sum(map(claim.success.holds, values)) for values in (control, faithful))
        return bool(shares.p_equal(won, len(control), theirs_won, len(faithful)) <= alpha)
    ours, theirs = ([value for value in values if value is not None] for values in (control, faithful))
    if len(ours) < 2 or len(theirs) < 2:
        return bool(ours) != bool(theirs)
    found = difference(
        ours, float(np.mean(theirs)), num_runs=len(theirs), published_recipe=theirs, resolution=claim.resolution
    )
    return bool(found.differs(SAME * claim.tolerance.margin, alpha))


def same(values: tuple[float, ...], margin: float) -> bool:
    """Are these values equal, but for the arithmetic's own error?"""
    return bool(are_equal(min(values), max(values), margin))


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


_NO_VALUES = {RerunStatus.FAILED, RerunStatus.TIMED_OUT, RerunStatus.STOPPED}


def _measurement(run: Rerun, metric: str) -> Measurement | None:
    if run.status in _NO_VALUES:
        return None
    return next((found for found in run.measurements if found.metric == metric), None)


def judge_release(verdicts: tuple[Verdict, ...]) -> tuple[Outcome, str]:
    """What do the claims say together?

    REPRODUCED when every claim is (an intersection-union test: no correction needed). NOT_REPRODUCED when a claim is: each is
    called so at alpha divided by the number of claims, the first step of Holm's correction for having looked at several.
    NOT_ATTEMPTED when nothing was tested.
    """
    if not verdicts:
        return Outcome.NOT_ATTEMPTED, "the release makes no claim that a rerun could test"
    tested = [verdict for verdict in verdicts if verdict.outcome is not Outcome.NOT_ATTEMPTED]
    if not tested:
        return Outcome.NOT_ATTEMPTED, "no claim could be tested: " + verdicts[0].reason
    by_rule = [v for v in tested if v.outcome is Outcome.NOT_REPRODUCED]
    if by_rule:
        return Outcome.NOT_REPRODUCED, "not reproduced: " + ", ".join(verdict.id for verdict in by_rule)
    if all(verdict.outcome is Outcome.REPRODUCED for verdict in verdicts):
        return Outcome.REPRODUCED, "every claim is reproduced"
    if len(verdicts) == 1:
        return Outcome.INCONCLUSIVE, verdicts[0].reason
    reproduced = sum(verdict.outcome is Outcome.REPRODUCED for verdict in verdicts)
    return Outcome.INCONCLUSIVE, f"{reproduced} of {len(verdicts)} claims are reproduced, the others are open"


def score_release(verdicts: tuple[Verdict, ...]) -> Score:
    """The weighted mean of the tested claims' scores with that of their intervals' ends, and the share that was tested."""
    tested = [(v.weight, v.score, *v.score_interval) for v in verdicts if v.score is not None and v.score_interval]
    all_weight = sum(v.weight for v in verdicts)
    coverage = sum(weight for weight, *_ in tested) / all_weight if verdicts else 0.0
    if not tested:
        return Score(value=None, interval=None, coverage=coverage, bounds=(0.0, 1.0))
    weights, *columns = np.array(tested).T
    value, low, high = (float(np.average(column, weights=weights)) for column in columns)
    bounds = (coverage * low, coverage * high + 1 - coverage)
    return Score(value=value, interval=(low, high), coverage=coverage, bounds=bounds)


def unequal_deterministic(evidence: Evidence) -> Finding | None:
    """A recipe that is declared deterministic gave different values."""
    values = set(evidence.finite)
    if evidence.claim.deterministic and values and not same(tuple(values), evidence.claim.tolerance.margin):
        return Finding(
            stage="judge", kind="not_deterministic",
            message=f"{evidence.claim.id}: declared deterministic, but the reruns give {len(values)} different values, "
            f"{min(values):g} to {max(values):g}; judged as noisy",
        )  # fmt: skip
    return None


def equal_reruns(evidence: Evidence) -> Finding | None:
    """Equal reruns of a recipe that is not declared deterministic: what they leave open."""
    values = evidence.finite
    claim = evidence.claim
    if claim.deterministic or claim.success or len(values) < 2 or not same(values, claim.tolerance.margin):
        return None
    share = 1 - evidence.alpha ** (1 / len(values))
    return Finding(
        stage="judge", kind="equal_reruns",
        message=f"{evidence.claim.id}: all {len(values)} reruns give {values[0]:g}; up to {100 * share:.0f} % of seeds may still "
        "give something else",
    )  # fmt: skip


def record_quality(evidence: Evidence) -> list[Finding]:
    """What is odd about the published spread or the reruns that the verdict rests on."""
    claim = evidence.claim
    terms = terms_of(claim, evidence.alpha, evidence.max_runs)
    used = evidence._pairs(evidence.used) if claim.paired else evidence.used
    found = warnings(terms, used) if used and not claim.success else []
    if claim.published.sd is not None and claim.published.seed_sd() is None and claim.published.num_runs > 1:
        found.append(
            (
                "spread_not_over_trainings",
                f"the published spread is {claim.published.sd_is.replace('_', ' ')}: not used",
            )
        )
    return [Finding(stage="judge", kind=kind, message=f"{claim.id}: {words}") for kind, words in found]


def claims_shift_together(verdicts: tuple[Verdict, ...]) -> Finding | None:
    """Do many claims of one release differ in the same direction? One cause may lie behind them."""
    differences = [verdict.difference for verdict in verdicts if verdict.difference is not None]
    p = shared_shift(differences)
    if p is None or p > SHARED_SHIFT:
        return None
    above = sum(difference > 0 for difference in differences)
    return Finding(
        stage="judge", kind="claims_shift_together",
        message=f"the reruns lie above the published value in {above} of {len(differences)} claims (sign test p = {p:.2g}): "
        "one cause may lie behind them, such as changed data or another version of a library",
    )  # fmt: skip


def _interval_of(evidence: Evidence) -> str:
    low, high = evidence.numbers().interval or (np.nan, np.nan)
    what = (
        f"{len(evidence.finite)} equal reruns differ by"
        if evidence.stop is Stop.ROUNDING or low == high
        else "the interval of the difference is"
    )
    return f"{what} {low:+.3g} to {high:+.3g}"


def _tolerance(claim: Claim) -> str:
    margin = claim.tolerance.margin
    return {"two-sided": f"±{margin:g}", "at_least": f"{-margin:g} and above", "at_most": f"+{margin:g} and below"}[
        claim.direction
    ]
