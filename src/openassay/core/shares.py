"""Is the share of trainings that succeed the published one? Exact tests, for metrics of which a mean says little.

A reward that is 500 or 9, an accuracy that is either chance or 98 %: there the t-test of means has no ground, and the
honest claim is "9 of 10 trainings reach 475". The intervals are Clopper and Pearson's (1934), with the
published share's own noise:

    [L(x, n) - U(y, k), U(x, n) - L(y, k)],  L and U at alpha/2 each

for x successes of n reruns against y of k published trainings; each end errs with alpha at most, whatever the shares are.
The test is made once, at the last planned rerun. It stops earlier when the reruns that are left cannot change its answer, which
costs no error.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from openassay.core.sequential import SAME, Stop


@dataclass(frozen=True, kw_only=True)
class ShareTerms:
    """What is known of a claim on a share, before its first rerun?"""

    successes: int
    """Published trainings that succeeded, of `num_published`."""
    num_published: int
    margin: float
    direction: int
    """0 two-sided, +1 at least the published share, -1 at most."""
    alpha: float
    alpha_outside: float
    max_runs: int

    @property
    def published(self) -> float:
        """The published share."""
        return self.successes / self.num_published

    def interval(self, successes: int, num_runs: int, alpha: float) -> tuple[float, float]:
        """Interval of the reruns' share minus the published recipe's; each end errs with `alpha` at most."""
        low, high = bounds(successes, num_runs, alpha / 2)
        least, most = bounds(self.successes, self.num_published, alpha / 2)
        return low - most, high - least


@dataclass(frozen=True, kw_only=True)
class ShareStopped:
    """Where the test of a share stopped."""

    stop: Stop
    """WITHIN, OUTSIDE, FUTILE (no outcome of the reruns that are left would decide), SPENT or NEEDS_RUNS."""
    num_used: int
    difference: float | None
    low: float
    """Of the interval, over all that the reruns that are left may give."""
    high: float
    se: float
    """Plain standard error of the difference, for the score."""


@functools.lru_cache(maxsize=10_000)
def bounds(successes: int, num: int, alpha: float) -> tuple[float, float]:
    """Clopper and Pearson's bounds of a share; each is wrong with probability `alpha` at most."""
    low = 0.0 if successes == 0 else float(stats.beta.ppf(alpha, successes, num - successes + 1))
    high = 1.0 if successes == num else float(stats.beta.isf(alpha, successes + 1, num - successes))
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
            undecided = Stop.FUTILE if left else Stop.SPENT
            return _stopped(terms, successes, n, undecided if found is None else found, left)
    n = min(len(outcomes), terms.max_runs)
    return _stopped(terms, successes, n, Stop.NEEDS_RUNS, terms.max_runs - n)


def _stopped(terms: ShareTerms, successes: int, n: int, stop: Stop, left: int) -> ShareStopped:
    ends = [terms.interval(successes + more, n + left, terms.alpha) for more in range(left + 1)]
    share, published = successes / max(n, 1), terms.published
    variance = share * (1 - share) / max(n, 1) + published * (1 - published) / terms.num_published
    return ShareStopped(
        stop=stop, num_used=n, difference=share - published if n else None, low=min(low for low, _ in ends),
        high=max(high for _, high in ends), se=float(np.sqrt(variance)),
    )  # fmt: skip


def answer(terms: ShareTerms, successes: int, num_runs: int) -> Stop | None:
    """WITHIN, OUTSIDE, or None for neither, after all planned reruns."""
    edge = terms.margin * (1 + SAME)
    low, high = terms.interval(successes, num_runs, terms.alpha)
    above, below = low >= -edge, high <= edge
    if {0: above and below, 1: above, -1: below}[terms.direction]:
        return Stop.WITHIN
    low, high = terms.interval(successes, num_runs, terms.alpha_outside)
    too_low, too_high = high < -edge, low > edge
    return Stop.OUTSIDE if {0: too_low or too_high, 1: too_low, -1: too_high}[terms.direction] else None


def p_outside(terms: ShareTerms, successes: int, num_runs: int) -> float:
    """The smallest alpha at which so many successes would have shown that the share lies outside the margin."""
    edge = terms.margin * (1 + SAME)

    def is_outside(alpha: float) -> bool:
        low, high = terms.interval(successes, num_runs, alpha)
        return bool((terms.direction <= 0 and low > edge) or (terms.direction >= 0 and high < -edge))

    least, most = 0.0, 1.0
    for _ in range(50):
        middle = (least + most) / 2
        least, most = (least, middle) if is_outside(middle) else (middle, most)
    return most


def p_equal(successes: int, num: int, others: int, num_others: int) -> float:
    """Fisher's exact test that two shares are one."""
    return float(stats.fisher_exact([[successes, num - successes], [others, num_others - others]]).pvalue)


def chances(terms: ShareTerms, share: float) -> tuple[float, float]:
    """P(reproduced) and P(not reproduced) at a true share of the reruns, given what was published."""
    weights = stats.binom.pmf(np.arange(terms.max_runs + 1), terms.max_runs, share)
    answers = [answer(terms, successes, terms.max_runs) for successes in range(terms.max_runs + 1)]
    within, outside = (
        float(sum(weight for weight, found in zip(weights, answers, strict=True) if found is wanted))
        for wanted in (Stop.WITHIN, Stop.OUTSIDE)
    )
    return within, outside


def is_feasible(terms: ShareTerms) -> bool:
    """Is there any number of successes that would show that the tolerance is kept?"""
    return any(answer(terms, won, terms.max_runs) is Stop.WITHIN for won in range(terms.max_runs + 1))
