"""What is known of one claim before a rule has spoken: the reruns' values, what the test says of them, the figures beside."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy

from openassay.core import plausibility, sequential, shares
from openassay.core.boundaries import boundary
from openassay.core.claims import Claim, Estimand
from openassay.core.reasons import Seen, Standing
from openassay.core.rerun_records import Rerun, RerunStatus
from openassay.core.sequential import SIDES, Batch, Stop, Stopped, Terms
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
    """Whether an audit without prospects stops before its planned end."""


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
    """Whether any of an arm's claims asks for another rerun; none does after one that failed, which leaves all undecided."""
    failed = any(status in NO_VALUES for of in evidence for status in of.statuses)
    return not failed and any(of.stop in {Stop.NEEDS_RUNS, Stop.EQUAL} for of in evidence)


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
    not_trained: str = ""
    """Why the reruns do not show that the recipe gives its number by training; empty where nothing speaks against it."""
    assumed: str = ""
    """Which values that the release does not state may be the reason of a difference; empty where none may."""
    broken_alike: str = ""
    """Why the faithful reruns may be as broken as the control; empty when the two are shown to differ."""

    @classmethod
    def of_runs(
        cls, claim: Claim, design: Design, runs: tuple[Rerun, ...], baseline: tuple[Rerun, ...] = ()
    ) -> Evidence:
        """The evidence that reruns give by themselves; those of the baseline are taken seed by seed."""
        ended = [_outcome(run, claim.metric) for run in runs]
        if claim.baseline is not None:
            # A baseline that diverges says nothing of what is compared with it.
            ended = [
                (
                    None if value is None or other is None else value - other,
                    status if other_status is RerunStatus.FINISHED or status in NO_VALUES else RerunStatus.FAILED,
                )
                for (value, status), of in zip(ended, baseline, strict=False)
                for other, other_status in [_outcome(of, claim.metric)]
            ]
        return cls(
            claim=claim, design=design, values=tuple(of[0] for of in ended), statuses=tuple(of[1] for of in ended)
        )

    @property
    def estimand(self) -> Estimand:
        """The question that REPRODUCED answers."""
        return self.claim.estimand or self.design.estimand

    @property
    def finite(self) -> tuple[float, ...]:
        """The finite values that the test has looked at."""
        return tuple(value for value in self.values[: self.num_used] if value is not None)

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
        return less(self.values, self.claim.published.values or ()) if self.claim.paired else self.values

    def _batch(self, *prefixes: tuple[float | None, ...]) -> Batch:
        first = next((value for value in self.values if value is not None), None)
        ends = [end for end in self.claim.bounds if end is not None]
        at_end = first is not None and any(same((first, end), self.claim.tolerance.margin) for end in ends)
        # Equal reruns are no sign of a lost seed where the metric has reached its end; but a few of them show little.
        asked = terms_of(self.claim, self.design, at_end_of_range=at_end and self.claim.resolution > 0)
        return sequential.to_batch([asked] * len(prefixes), prefixes)

    @functools.cached_property
    def _of_share(self) -> shares.ShareStopped:
        """The exact test of a share."""
        return shares.run(share_terms_of(self.claim, self.design), self._successes)

    @property
    def _successes(self) -> tuple[bool, ...]:
        return tuple(self.claim.success is not None and self.claim.success.holds(value) for value in self.values)

    @property
    def difference(self) -> float | None:
        """Mean of the used reruns minus the published value; None without any."""
        if self.claim.success:
            return self._of_share.difference
        if np.isfinite(found := float(self._of_means[1].estimate[0])):
            return found
        lone = self.finite and not self.claim.paired
        return float(np.mean(self.finite)) - self.claim.published.value if lone else None

    @functools.cached_property
    def answers(self) -> tuple[QuestionAnswer, ...]:
        """What the reruns say to each question; empty without two values."""
        known = self.num_used >= 2 if self.claim.success else self._of_means[1].known[0]
        return tuple(map(self._answered, QUESTIONS)) if known else ()

    def _answered(self, question: Estimand) -> QuestionAnswer:
        if self.claim.success:
            low, high = self._of_share.interval(question, self.design.alpha)
            within, outside = (of(self._of_share.terms, (low, high)) for of in (shares.is_within, shares.is_outside))
        else:
            batch, stopped = self._of_means
            found = sequential.interval(stopped, batch, question)
            low, high = float(found.low[0]), float(found.high[0])
            within, outside = (bool(of[0]) for of in sequential.standing(stopped, batch, found))
        standing: Standing = "within" if within else "outside" if outside else "open"
        return QuestionAnswer(estimand=question, interval=(low, high), standing=standing)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Interval of the difference that the claim's question asks for."""
        return next((of.interval for of in self.answers if of.estimand == self.estimand), None)

    @functools.cached_property
    def seen(self) -> Seen:
        """What the test shows, as plain numbers; only with an interval."""
        found = self.plausibility()
        if self.claim.success:
            needed = shares.runs_needed(self._of_share.terms, self._of_share.successes, self.num_used)
            luck_remains = remains = np.inf if self.estimand == "recipe" else 0.0
            rest_remains = 0.0
        else:
            batch, stopped = self._of_means
            needed = int(sequential.runs_needed(stopped, batch)[0]) or None
            luck_remains, rest_remains, remains = (float(of[0]) for of in sequential.remains(stopped, batch))
        return Seen(
            stop=self.stop, estimand=self.estimand, margin=self.claim.tolerance.margin,
            direction=SIDES[self.claim.direction], difference=self.difference or 0.0,
            intervals={of.estimand: of.interval for of in self.answers},
            standings={of.estimand: of.standing for of in self.answers},
            num_values=self.num_used if self.claim.success else len(self.finite), runs_used=self.num_used,
            max_runs=self.design.max_runs, sequential=True, needed=needed, luck_remains=luck_remains,
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
        nodes = self.difference + self._of_share.se_of(self.estimand) * scipy.special.ndtri(sequential.NODES)
        value = float(sequential.credit(nodes, margin, direction).mean())
        wide = self._of_share.interval(self.estimand, self.design.alpha * sequential.SCORE_HIGH_ALPHA)
        least = float(sequential.credit(np.array(self.interval), margin, direction).min())
        most = float(sequential.credit(np.array(wide), margin, direction).max())
        most = 1.0 if wide[0] <= 0 <= wide[1] else most
        return value, least, min(most, 0.5) if self.stop is Stop.OUTSIDE else most

    def plausibility(self) -> Plausibility | None:
        """The figures beside the verdict; None without two values, or where the values are exact."""
        if self.difference is None or not self.answers:
            return None
        margin, direction, d = self.claim.tolerance.margin, SIDES[self.claim.direction], self.difference
        if self.claim.success:
            won, se, terms = self._of_share.successes, self._of_share.se_of(self.estimand), self._of_share.terms
            return Plausibility(
                within_flat=plausibility.within_flat(d, se, np.inf, margin, direction),
                within_sceptical=plausibility.within_sceptical(d, se, 1e6, margin, direction), share_within=None,
                one_more_draw_p=shares.p_equal(won, self.num_used, terms.successes, terms.num_published),
                luck=None, fewest_tried=None,
            )  # fmt: skip
        batch, stopped = self._of_means
        df, variance, n = float(stopped.df[0]), float(stopped.variance[0]), int(stopped.num_values[0])
        se, recipe_se = (float(sequential.interval(stopped, batch, of).se[0]) for of in (self.estimand, "recipe"))
        luck = plausibility.luck(d, recipe_se, df) if recipe_se > 0 else None
        lone = not self.claim.paired and self.claim.published.best_of == 1 and self.claim.published.num_runs == 1
        return Plausibility(
            within_flat=plausibility.within_flat(d, se, df, margin, direction),
            within_sceptical=plausibility.within_sceptical(d, se, df, margin, direction),
            share_within=plausibility.share_within(d, variance, df, n, margin, direction),
            one_more_draw_p=None if luck is None else 2 * luck, luck=luck,
            fewest_tried=plausibility.fewest_tried(d, variance, margin, direction) if lone else None,
        )  # fmt: skip

    def p_not_reproduced(self) -> float | None:
        """p-value of "the recipe's difference lies within the tolerance", over all looks in their order."""
        if self.stop is Stop.DIVERGED:
            return p_of_lost(self.num_used - len(self.finite), self.num_used, self.claim.divergence_rate)
        if not self.answers or self.difference is None:
            return None
        if self.claim.success:
            return shares.p_outside(self._of_share.terms, self._of_share.successes, self.num_used)
        batch, stopped = self._of_means
        margin, d, direction = self.claim.tolerance.margin, self.difference, SIDES[self.claim.direction]
        interval, df = sequential.interval(stopped, batch, "recipe"), float(stopped.df[0])
        n, printed = int(stopped.num_values[0]), float(batch.rounding[0]) / 2
        if interval.se[0] == 0:
            return 0.0 if self.answers[QUESTIONS.index("recipe")].standing == "outside" else 1.0
        se = (float(interval.high[0] - interval.low[0]) / 2 - printed) / float(interval.critical[0])
        beyond = (sequential.shortfall(d, direction) - printed - margin) / se
        v, d0 = float(batch.v[0]), float(batch.prior_df[0])
        found = boundary(int(batch.max_runs[0]), v, d0, float(batch.alpha_outside[0])).p_value(n, beyond)
        far = 0.0 if direction else float(scipy.special.stdtr(df, -(abs(d) + margin) / se))
        share = sequential.BEST_OF_ALPHA if self.claim.published.best_of > 1 else 1.0
        return min(1.0, (found + far) / share)

    def looks(self) -> tuple[Look, ...]:
        """Every look, up to the one that decided."""
        if self.num_used < 2:
            return ()
        counts = range(2, self.num_used + 1)
        if self.claim.success:
            return tuple(
                Look(
                    num_runs=of.num_used, difference=of.difference, critical_value=None, stop=of.stop.name.lower(),
                    interval=of.interval(self.estimand, self.design.alpha),
                )
                for of in (shares.run(self._of_share.terms, self._successes[:n]) for n in counts)
            )  # fmt: skip
        batch = self._batch(*(self.compared[:n] for n in counts))
        stopped = sequential.run(batch)
        asked = sequential.asked_interval(stopped, batch)
        return tuple(
            Look(
                num_runs=n, difference=_number(stopped.estimate[i]), critical_value=_number(asked.critical[i]),
                interval=(float(asked.low[i]), float(asked.high[i])) if stopped.known[i] else None,
                stop=Stop(int(stopped.stop[i])).name.lower(),
            )
            for i, n in enumerate(counts)
        )  # fmt: skip


def less(values: Iterable[float | None], others: Iterable[float]) -> tuple[float | None, ...]:
    """The differences of paired values, None where the first is none."""
    return tuple(None if one is None else one - other for one, other in zip(values, others, strict=False))


def _number(value: np.float64) -> float | None:
    return float(value) if np.isfinite(value) else None


def p_of_lost(lost: int, n: int, declared_rate: float = 0.0) -> float:
    """P(at least `lost` of `n` reruns give no value) for a recipe that diverges one time in ten, or as often as declared."""
    return float(sequential.at_least(lost, n, max(sequential.DIVERGENCE_RATE, declared_rate)))


def same(values: tuple[float, ...], margin: float) -> bool:
    """Whether these values are equal, but for the arithmetic's own error."""
    return bool(sequential.are_equal(min(values), max(values), margin))


def values_of(runs: tuple[Rerun, ...], metric: str) -> tuple[float | None, ...]:
    """The value of a metric in each rerun, None where it gave none that is finite."""
    return tuple(_outcome(run, metric)[0] for run in runs)


def statuses_of(runs: tuple[Rerun, ...], metric: str) -> tuple[RerunStatus, ...]:
    """How each rerun ended for one metric: another metric that is not finite says nothing of this one."""
    return tuple(_outcome(run, metric)[1] for run in runs)


def _outcome(run: Rerun, metric: str) -> tuple[float | None, RerunStatus]:
    """The value of a metric in a rerun, and how the rerun ended for it."""
    if run.status in NO_VALUES:
        return None, run.status
    found = next((found for found in run.measurements if found.metric == metric), None)
    if found is None or (found.value is None and not found.raw):
        return None, RerunStatus.FAILED
    if found.value is None or not abs(found.value) <= LARGEST:
        return None, RerunStatus.DIVERGED
    return found.value, RerunStatus.FINISHED
