"""Exact tests of the share of trainings that succeed, for metrics of which a mean says little.

A reward that is 500 or 9, an accuracy that is either chance or 98 %: there the t-test of means has no ground, and the honest
claim is "9 of 10 trainings reach 475". For x successes of n reruns against y of k published trainings, the intervals of the
two questions are Clopper and Pearson's (1934):

    number:  [L(x, n) - y/k, U(x, n) - y/k],           L and U at alpha
    recipe:  [L(x, n) - U(y, k), U(x, n) - L(y, k)],   L and U at alpha/2 each

each end errs with alpha at most, whatever the shares are.
The test is made once, at the last planned rerun. It stops earlier when the reruns that are left cannot change its answer, which
costs no error.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from openassay.core.claims import Estimand
from openassay.core.sequential import MOST_NEEDED, SAME, Stop


@dataclass(frozen=True, kw_only=True)
class ShareTerms:
    """What is known of a claim on a share before its first rerun."""

    successes: int
    """Published trainings that succeeded, of `num_published`."""
    num_published: int
    margin: float
    direction: int
    """0 two-sided, +1 at least the published share, -1 at most."""
    alpha: float
    alpha_outside: float
    max_runs: int
    estimand: Estimand = "number"

    @property
    def published(self) -> float:
        """The published share."""
        return self.successes / self.num_published

    def interval(self, successes: int, num_runs: int, alpha: float, question: Estimand) -> tuple[float, float]:
        """Interval of the reruns' share minus the printed one, or the published recipe's; each end errs with `alpha` at most."""
        if question == "number":
            low, high = bounds(successes, num_runs, alpha)
            return low - self.published, high - self.published
        low, high = bounds(successes, num_runs, alpha / 2)
        least, most = bounds(self.successes, self.num_published, alpha / 2)
        return low - most, high - least


@dataclass(frozen=True, kw_only=True)
class ShareStopped:
    """Where the test of a share stopped."""

    terms: ShareTerms
    stop: Stop
    """WITHIN, OUTSIDE, FUTILE (no outcome of the reruns that are left would decide), SPENT or NEEDS_RUNS."""
    num_used: int
    successes: int

    @property
    def difference(self) -> float | None:
        """The reruns' share minus the published one."""
        return self.successes / self.num_used - self.terms.published if self.num_used else None

    def se_of(self, question: Estimand) -> float:
        """The standard error of a question's difference: that of the reruns' share, and for `recipe` of the published one."""
        n, published = max(self.num_used, 1), self.terms.published
        share = self.successes / n
        theirs = published * (1 - published) / self.terms.num_published if question == "recipe" else 0.0
        return float((share * (1 - share) / n + theirs) ** 0.5)

    def interval(self, question: Estimand, alpha: float) -> tuple[float, float]:
        """Interval of a question's difference, over all that the planned reruns that are left may give."""
        total = self.terms.max_runs
        left = range(total - self.num_used + 1)
        ends = [self.terms.interval(self.successes + more, total, alpha, question) for more in left]
        return min(low for low, _ in ends), max(high for _, high in ends)


@functools.lru_cache(maxsize=10_000)
def bounds(successes: int, num: int, alpha: float) -> tuple[float, float]:
    """Clopper and Pearson's bounds of a share; each is wrong with probability `alpha` at most."""
    low = 0.0 if successes == 0 else float(scipy.stats.beta.ppf(alpha, successes, num - successes + 1))
    high = 1.0 if successes == num else float(scipy.stats.beta.isf(alpha, successes + 1, num - successes))
    return low, high


def run(terms: ShareTerms, outcomes: Sequence[bool]) -> ShareStopped:
    """Look at the reruns one after another, and stop when the answer at the last planned one is certain."""
    successes = 0
    for n, success in enumerate(outcomes[: terms.max_runs], start=1):
        successes += success
        left = terms.max_runs - n
        answers = {answer(terms, successes + more, terms.max_runs) for more in range(left + 1)}
        if n >= 2 and len(answers) == 1:
            found = answers.pop()
            stop = (Stop.FUTILE if left else Stop.SPENT) if found is None else found
            return ShareStopped(terms=terms, stop=stop, num_used=n, successes=successes)
    n = min(len(outcomes), terms.max_runs)
    return ShareStopped(terms=terms, stop=Stop.NEEDS_RUNS, num_used=n, successes=successes)


def answer(terms: ShareTerms, successes: int, num_runs: int) -> Stop | None:
    """WITHIN, OUTSIDE, or None for neither, after all planned reruns."""
    if is_within(terms, terms.interval(successes, num_runs, terms.alpha, terms.estimand)):
        return Stop.WITHIN
    outside = is_outside(terms, terms.interval(successes, num_runs, terms.alpha_outside, "recipe"))
    return Stop.OUTSIDE if outside else None


def is_within(terms: ShareTerms, interval: tuple[float, float]) -> bool:
    """Whether an interval of the difference lies within the margin."""
    edge = terms.margin * (1 + SAME)
    above, below = interval[0] >= -edge, interval[1] <= edge
    return {0: above and below, 1: above, -1: below}[terms.direction]


def is_outside(terms: ShareTerms, interval: tuple[float, float]) -> bool:
    """Whether an interval of the difference lies outside the margin."""
    edge = terms.margin * (1 + SAME)
    too_low, too_high = interval[1] < -edge, interval[0] > edge
    return {0: too_low or too_high, 1: too_low, -1: too_high}[terms.direction]


def p_outside(terms: ShareTerms, successes: int, num_runs: int) -> float:
    """The smallest alpha at which so many successes would have shown that the share lies outside the margin."""
    least, most = 0.0, 1.0
    for _ in range(50):
        middle = (least + most) / 2
        shown = is_outside(terms, terms.interval(successes, num_runs, middle, "recipe"))
        least, most = (least, middle) if shown else (middle, most)
    return most


def p_equal(successes: int, num: int, others: int, num_others: int) -> float:
    """Fisher's exact test that two shares are one."""
    return float(scipy.stats.fisher_exact([[successes, num - successes], [others, num_others - others]]).pvalue)


def chances(terms: ShareTerms, share: float) -> tuple[float, float]:
    """P(reproduced) and P(not reproduced) at a true share of the reruns, given what was published."""
    weights = scipy.stats.binom.pmf(np.arange(terms.max_runs + 1), terms.max_runs, share)
    chance = {Stop.WITHIN: 0.0, Stop.OUTSIDE: 0.0, None: 0.0}
    for successes, weight in enumerate(weights.tolist()):
        chance[answer(terms, successes, terms.max_runs)] += weight
    return chance[Stop.WITHIN], chance[Stop.OUTSIDE]


def runs_needed(terms: ShareTerms, successes: int, num_runs: int) -> int | None:
    """Reruns in all that would decide, if more of them succeeded as often; None where none up to MOST_NEEDED would."""
    share = successes / num_runs

    missed = is_outside(terms, terms.interval(successes, num_runs, terms.alpha, "number"))

    def decided(total: int) -> bool:
        won = round(share * total)
        by_number = not missed and is_outside(terms, terms.interval(won, total, terms.alpha, "number"))
        return answer(terms, won, total) is not None or by_number

    low, high = num_runs, MOST_NEEDED
    if not decided(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decided(middle) else (middle, high)
    return high
