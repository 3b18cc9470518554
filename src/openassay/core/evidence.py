"""What is known of one claim before a rule has spoken: the reruns' values, what the test says of them, and the figures beside
it."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import scipy

from openassay.core import plausibility, sequential, shares
from openassay.core.boundaries import boundary
from openassay.core.claims import Claim, Estimand
from openassay.core.reasons import Seen
from openassay.core.rerun_records import Measurement, Rerun, RerunStatus
from openassay.core.sequential import (
    BEST_OF_ALPHA,
    DIVERGENCE_RATE,
    SCORE_HIGH_ALPHA,
    SIDES,
    Batch,
    Stop,
    Stopped,
    Terms,
    are_equal,
    to_batch,
)
from openassay.core.types import LARGEST
from openassay.core.verdict_records import Look, Plausibility, QuestionAnswer

QUESTIONS: tuple[Estimand, ...] = ("number", "recipe")

FUTILE = 0.01
"""Where reruns are expensive, a smaller chance of a decision by the last planned one stops an audit."""

BASELINE_LUCK = 10.0
"""Our differences from a baseline are taken seed by seed; the release's may not have been, and then its luck is larger, by
1/(1 - correlation). Up to a correlation of 0.9 nobody is accused for it."""

NO_VALUES = {RerunStatus.FAILED, RerunStatus.TIMED_OUT, RerunStatus.STOPPED}
"""How a rerun ends of which nothing can be said."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """How a claim is tested: the error rates, and how many reruns are planned. Frozen before the first of them is looked at."""

    alpha: float
    max_runs: int
    """Most reruns that were planned."""
    num_claims: int = 1
    """Claims of the release that can be tested: each is called NOT_REPRODUCED at alpha divided by it."""
    estimand: Estimand = "number"
    """The question of a claim that names none."""
    expensive: bool = False
    """Does an audit without prospects stop before its planned end?"""


def terms_of(claim: Claim, design: Design, *, at_end_of_range: bool = False) -> Terms:
    """What a claim says to the test of means."""
    published, family = claim.published, claim.family
    # Equal differences, seed by seed, from values that are not equal: then the seeds have arrived, and nothing else is random.
    follows_seeds = claim.paired and not same(published.values or (0.0,), claim.tolerance.margin)
    exact = follows_seeds and not max(claim.resolution, published.rounding)
    return Terms(
        published=0.0 if claim.paired else published.value, margin=claim.tolerance.margin, num_published=published.num_runs,
        published_sd=published.seed_sd(), published_df=published.seed_df(), rounding=published.rounding,
        extra_sd=published.extra_sd, best_of=published.best_of, higher_is_better=published.better == "higher",
        family_sd=family.sd if family else None, family_df=family.df if family else 0.0, step=claim.resolution,
        direction=SIDES[claim.direction], alpha=design.alpha, estimand=claim.estimand or design.estimand,
        alpha_outside=design.alpha / design.num_claims, divergence_rate=claim.divergence_rate,
        deterministic=claim.deterministic or exact, equal_decides_last=at_end_of_range, paired=claim.paired,
        max_runs=design.max_runs, futility=FUTILE if design.expensive else 0.0,
        luck=BASELINE_LUCK if claim.baseline else 1.0,
    )  # fmt: skip


def share_terms_of(claim: Claim, design: Design) -> shares.ShareTerms:
    """What a claim on the share of successful trainings says to the exact test."""
    return shares.ShareTerms(
        successes=round(claim.published.value * claim.published.num_runs), num_published=claim.published.num_runs,
        margin=claim.tolerance.margin, direction=SIDES[claim.direction], alpha=design.alpha,
        alpha_outside=design.alpha / design.num_claims, max_runs=design.max_runs, estimand=claim.estimand or design.estimand,
    )  # fmt: skip


def wants_more(evidence: list[Evidence]) -> bool:
    """Whether any of an arm's claims asks for another rerun, by the evidence so far.

    No, when a rerun failed: then nothing can be decided on the others.
    """
    if any(status in NO_VALUES for of in evidence for status in of.statuses):
        return False
    return any(of.stop in {Stop.NEEDS_RUNS, Stop.EQUAL} for of in evidence)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of one claim, before a rule has spoken."""

    claim: Claim
    design: Design
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
        cls, claim: Claim, design: Design, runs: tuple[Rerun, ...], baseline: tuple[Rerun, ...] = ()
    ) -> Evidence:
        """The evidence that reruns give by themselves; those of the baseline are taken seed by seed."""
        values, statuses = values_of(runs, claim.metric), statuses_of(runs, claim.metric)
        if claim.baseline is not None:
            both = min(len(runs), len(baseline))
            theirs, ended = values_of(baseline, claim.metric), statuses_of(baseline, claim.metric)
            pairs = zip(values[:both], theirs[:both], strict=True)
            values = tuple(None if ours is None or of is None else ours - of for ours, of in pairs)
            # A baseline that diverges says nothing of what is compared with it.
            statuses = tuple(
                one if other is RerunStatus.FINISHED or one in NO_VALUES else RerunStatus.FAILED
                for one, other in zip(statuses[:both], ended[:both], strict=True)
            )
        return cls(claim=claim, design=design, values=values, statuses=statuses)

    @property
    def estimand(self) -> Estimand:
        """The question that REPRODUCED answers."""
        return self.claim.estimand or self.design.estimand

    @property
    def used(self) -> tuple[float | None, ...]:
        """The values that the test has looked at."""
        return self.values[: self.num_used]

    @property
    def finite(self) -> tuple[float, ...]:
        """The finite ones of them."""
        return tuple(value for value in self.used if value is not None)

    @property
    def num_used(self) -> int:
        """Reruns that the test has looked at."""
        return self._of_share.num_used if self.claim.success else int(self._of_means[1].runs_used[0])

    @property
    def stop(self) -> Stop:
        """What the test says."""
        return self._of_share.stop if self.claim.success else Stop(int(self._of_means[1].stop[0]))

    @functools.cached_property
    def _of_means(self) -> tuple[Batch, Stopped]:
        """The test of means."""
        batch = self._batch(self.compared)
        return batch, sequential.run(batch)

    @property
    def compared(self) -> tuple[float | None, ...]:
        """The values, or for paired claims their differences from the published ones of the same seeds."""
        if not self.claim.paired:
            return self.values
        pairs = zip(self.values, self.claim.published.values or (), strict=False)
        return tuple(None if one is None else one - other for one, other in pairs)

    def _batch(self, *prefixes: tuple[float | None, ...]) -> Batch:
        first = next((value for value in self.values if value is not None), None)
        ends = [end for end in self.claim.bounds if end is not None]
        at_end = first is not None and any(same((first, end), self.claim.tolerance.margin) for end in ends)
        # Equal reruns are no sign of a lost seed where the metric has reached its end; but a few of them show little.
        asked = terms_of(self.claim, self.design, at_end_of_range=at_end and self.claim.resolution > 0)
        return to_batch([asked] * len(prefixes), prefixes)

    @functools.cached_property
    def share(self) -> shares.ShareTerms:
        """The terms of a claim on a share."""
        return share_terms_of(self.claim, self.design)

    @functools.cached_property
    def _of_share(self) -> shares.ShareStopped:
        """The exact test of a share."""
        return shares.run(self.share, self._successes)

    @property
    def _successes(self) -> tuple[bool, ...]:
        rule = self.claim.success
        return tuple(rule is not None and rule.holds(value) for value in self.values)

    @property
    def difference(self) -> float | None:
        """Mean of the used reruns minus the published value; None without any."""
        if self.claim.success:
            return self._of_share.difference
        found = float(self._of_means[1].estimate[0])
        if np.isfinite(found):
            return found
        return (
            float(np.mean(self.finite)) - self.claim.published.value if self.finite and not self.claim.paired else None
        )

    @functools.cached_property
    def answers(self) -> tuple[QuestionAnswer, ...]:
        """What the reruns say to each question; empty without two values."""
        found = []
        for question in QUESTIONS:
            if self.claim.success:
                if self.num_used < 2:
                    return ()
                low, high = self._of_share.interval(self.share, question, self.design.alpha)
                within, outside = (of(self.share, (low, high)) for of in (shares.is_within, shares.is_outside))
            else:
                batch, stopped = self._of_means
                if not stopped.known[0]:
                    return ()
                interval = sequential.interval(stopped, batch, question)
                low, high = float(interval.low[0]), float(interval.high[0])
                within, outside = (bool(of[0]) for of in sequential.standing(stopped, batch, interval))
            found.append(
                QuestionAnswer(
                    estimand=question, interval=(low, high),
                    standing="within" if within else "outside" if outside else "open",
                )
            )  # fmt: skip
        return tuple(found)

    def answer(self, question: Estimand) -> QuestionAnswer | None:
        """What the reruns say to a question; None without two values."""
        return next((of for of in self.answers if of.estimand == question), None)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Interval of the difference that the claim's question asks for."""
        found = self.answer(self.estimand)
        return found.interval if found else None

    @functools.cached_property
    def num_needed(self) -> int | None:
        """Values in all, of the same mean and standard deviation, that would decide; None where none up to MOST_NEEDED would."""
        if self.claim.success:
            successes = sum(self._successes[: self.num_used])
            return shares.runs_needed(self.share, successes, self.num_used) if self.num_used else None
        batch, stopped = self._of_means
        return int(sequential.runs_needed(stopped, batch)[0]) or None

    @property
    def remains(self) -> tuple[float, float, float]:
        """Half the interval of the claim's question after endless reruns: by luck alone, by all else alone, and by all of it."""
        if self.claim.success:
            luck = np.inf if self.estimand == "recipe" else 0.0
            return luck, 0.0, luck
        by_luck, rest, both = sequential.remains(self._of_means[1], self._of_means[0])
        return float(by_luck[0]), float(rest[0]), float(both[0])

    @functools.cached_property
    def seen(self) -> Seen:
        """What the test shows, as plain numbers; only with an interval."""
        found, (luck_remains, rest_remains, remains) = self.plausibility(), self.remains
        return Seen(
            stop=self.stop, estimand=self.estimand, margin=self.claim.tolerance.margin,
            direction=SIDES[self.claim.direction], difference=self.difference or 0.0,
            intervals={of.estimand: of.interval for of in self.answers},
            standings={of.estimand: of.standing for of in self.answers},
            num_values=self.num_used if self.claim.success else len(self.finite), runs_used=self.num_used,
            max_runs=self.design.max_runs, sequential=True, needed=self.num_needed, luck_remains=luck_remains,
            rest_remains=rest_remains, remains=remains, luck=found.luck if found else None, num_claims=self.design.num_claims,
        )  # fmt: skip

    def score(self) -> tuple[float, float, float] | None:
        """The score and its interval's ends; None without two values."""
        margin, direction = self.claim.tolerance.margin, SIDES[self.claim.direction]
        if not self.claim.success:
            batch, stopped = self._of_means
            if not stopped.known[0] and self.stop is not Stop.DIVERGED:
                return None
            value, least, most = (float(of[0]) for of in sequential.score(stopped, batch))
            return value, least, most
        if not self.answers or self.difference is None:
            return None
        se = self._of_share.se if self.estimand == "number" else self._of_share.recipe_se
        nodes = self.difference + se * scipy.special.ndtri((np.arange(100) + 0.5) / 100)
        value = float(sequential.credit_of(nodes, margin, direction).mean())
        low, high = self.interval or (np.nan, np.nan)
        wide = self._of_share.interval(self.share, self.estimand, self.design.alpha * SCORE_HIGH_ALPHA)
        least = min(float(sequential.credit_of(np.array(end), margin, direction)) for end in (low, high))
        most = max(float(sequential.credit_of(np.array(end), margin, direction)) for end in wide)
        most = 1.0 if wide[0] <= 0 <= wide[1] else most
        return value, least, min(most, 0.5) if self.stop is Stop.OUTSIDE else most

    def plausibility(self) -> Plausibility | None:
        """The figures beside the verdict; None without two values, or where the values are exact."""
        if self.difference is None or not self.answers:
            return None
        margin, direction, d = self.claim.tolerance.margin, SIDES[self.claim.direction], self.difference
        if self.claim.success:
            test, won = self._of_share, sum(self._successes[: self.num_used])
            se = test.se if self.estimand == "number" else test.recipe_se
            return Plausibility(
                within_flat=plausibility.within_flat(d, se, np.inf, margin, direction),
                within_sceptical=plausibility.within_sceptical(d, se, 1e6, margin, direction), share_within=None,
                one_more_draw_p=shares.p_equal(won, self.num_used, self.share.successes, self.share.num_published),
                luck=None, fewest_tried=None,
            )  # fmt: skip
        batch, stopped = self._of_means
        df, variance, n = float(stopped.df[0]), float(stopped.variance[0]), int(stopped.num_values[0])
        se = float(sequential.interval(stopped, batch, self.estimand).se[0])
        recipe_se = float(sequential.interval(stopped, batch, "recipe").se[0])
        lone = not self.claim.paired and self.claim.published.best_of == 1 and self.claim.published.num_runs == 1
        return Plausibility(
            within_flat=plausibility.within_flat(d, se, df, margin, direction),
            within_sceptical=plausibility.within_sceptical(d, se, df, margin, direction),
            share_within=plausibility.share_within(d, variance, df, n, margin, direction),
            one_more_draw_p=2 * plausibility.luck(d, recipe_se, df) if recipe_se > 0 else None,
            luck=plausibility.luck(d, recipe_se, df) if recipe_se > 0 else None,
            fewest_tried=plausibility.fewest_tried(d, variance, margin, direction) if lone else None,
        )  # fmt: skip

    def p_not_reproduced(self) -> float | None:
        """p-value of "the recipe's difference lies within the tolerance"; over all looks, by the order in which they were
        made."""
        if self.stop is Stop.DIVERGED:
            return p_of_lost(self.num_used - len(self.finite), self.num_used, self.claim.divergence_rate)
        if not self.answers or self.difference is None:
            return None
        if self.claim.success:
            return shares.p_outside(self.share, sum(self._successes[: self.num_used]), self.num_used)
        batch, stopped = self._of_means
        margin, d, direction = self.claim.tolerance.margin, self.difference, SIDES[self.claim.direction]
        interval, df = sequential.interval(stopped, batch, "recipe"), float(stopped.df[0])
        n, printed = int(stopped.num_values[0]), float(batch.rounding[0]) / 2
        if interval.se[0] == 0:
            return 0.0 if (self.answer("recipe") or self.answers[0]).standing == "outside" else 1.0
        se = (float(interval.high[0] - interval.low[0]) / 2 - printed) / float(interval.critical[0])
        beyond = ({0: abs(d), 1: -d, -1: d}[direction] - printed - margin) / se
        v, d0 = float(batch.v[0]), float(batch.prior_df[0])
        found = boundary(int(batch.max_runs[0]), v, d0, float(batch.alpha_outside[0])).p_value(n, beyond)
        far = 0.0 if direction else float(scipy.special.stdtr(df, -(abs(d) + margin) / se))
        share = BEST_OF_ALPHA if self.claim.published.best_of > 1 else 1.0
        return min(1.0, (found + far) / share)

    def looks(self) -> tuple[Look, ...]:
        """Every look, up to the one that decided."""
        if self.num_used < 2:
            return ()
        found = []
        if self.claim.success:
            for n in range(2, self.num_used + 1):
                test = shares.run(self.share, self._successes[:n])
                interval = test.interval(self.share, self.estimand, self.design.alpha)
                found.append(
                    Look(
                        num_runs=n, difference=test.difference, interval=interval, critical_value=None,
                        stop=test.stop.name.lower(),
                    )
                )  # fmt: skip
            return tuple(found)
        batch = self._batch(*(self.compared[:n] for n in range(2, self.num_used + 1)))
        stopped = sequential.run(batch)
        asked = sequential.asked_interval(stopped, batch)
        return tuple(
            Look(
                num_runs=n, difference=_number(stopped.estimate[i]), critical_value=_number(asked.critical[i]),
                interval=(float(asked.low[i]), float(asked.high[i])) if stopped.known[i] else None,
                stop=Stop(int(stopped.stop[i])).name.lower(),
            )
            for i, n in enumerate(range(2, self.num_used + 1))
        )  # fmt: skip


def _number(value: np.float64) -> float | None:
    return float(value) if np.isfinite(value) else None


def p_of_lost(lost: int, n: int, declared_rate: float = 0.0) -> float:
    """P(at least `lost` of `n` reruns give no value) for a recipe that diverges one time in ten, or as often as declared."""
    return float(sequential.at_least(lost, n, max(DIVERGENCE_RATE, declared_rate)))


def same(values: tuple[float, ...], margin: float) -> bool:
    """Whether these values are equal, but for the arithmetic's own error."""
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
        if run.status in NO_VALUES:
            statuses.append(run.status)
        elif found is None or (found.value is None and not found.raw):
            statuses.append(RerunStatus.FAILED)
        else:
            statuses.append(RerunStatus.DIVERGED if value is None else RerunStatus.FINISHED)
    return tuple(statuses)


def _measurement(run: Rerun, metric: str) -> Measurement | None:
    if run.status in NO_VALUES:
        return None
    return next((found for found in run.measurements if found.metric == metric), None)
