"""Warnings about the record that a verdict rests on: they never decide, and are never left out."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import scipy

from openassay.core.sequential import Terms

CONFLICT = 0.01
"""Two-sided level of the F test between the reruns' noise and what was known before."""
TWO_GROUPS = 0.01
"""Level of the test that reruns fall in two groups."""
MOST_GROUPED = 50
"""Reruns that it looks at."""
SHARED_SHIFT = 0.05
"""Two-sided level of the sign test over a release's claims."""


def warnings(terms: Terms, values: Sequence[float | None]) -> Iterator[tuple[str, str]]:
    """What is odd about a published spread or the reruns that were used, as (kind, words)."""
    finite = [value for value in values if value is not None]
    if terms.published_sd is not None and terms.published_sd <= terms.rounding / 2 and terms.num_published > 1:
        spread_is = f"the published spread over {terms.num_published} trainings is 0"
        yield "published_spread_zero", f"{spread_is}: a coarse metric or a lost seed can explain it too"
    if len(set(finite)) < len(finite) and not terms.deterministic and not max(terms.step, terms.rounding):
        equal = f"{len(finite) - len(set(finite)) + 1} of {len(finite)} reruns"
        yield "duplicate_runs", f"{equal} give the same number to the last bit: are they separate trainings?"
    variance, df = terms.prior()
    spread = math.sqrt(_squares(finite) / (len(finite) - 1)) if len(finite) > 2 else 0.0
    if variance > 0 and df >= 1 and spread > max(terms.step, terms.rounding):
        ratio = spread**2 / variance
        within_reach = 0.5 < ratio < 2 and len(finite) <= 10  # not significant with any df; the tails take time
        tails = (scipy.special.fdtrc, scipy.special.fdtr)
        p = 1.0 if within_reach else 2 * min(float(tail(len(finite) - 1, df, ratio)) for tail in tails)
        if p <= CONFLICT:
            known = f"against {variance**0.5:.3g} known before (p = {p:.2g})"
            yield "noise_differs", f"the reruns' standard deviation is {spread:.3g}, {known}"
    if gap := two_groups(finite):
        words = (
            f"the reruns fall in two groups, up to {gap[0]:g} and from {gap[1]:g} on: a mean says little of them, and "
        )
        words += "the test's error rates do not hold; a claim on the share of successes would"
        yield "runs_in_two_groups", words


def two_groups(values: Sequence[float]) -> tuple[float, float] | None:
    """The largest of the lower and the least of the upper group, where runs fall in two groups of two or more; else None.

    When the best split leaves less of their sum of squares within the groups than TWO_GROUPS of normal samples do (by 20,000
    simulated ones; four values at least, for fewer show nothing).
    """
    if not 4 <= len(values) <= MOST_GROUPED:
        return None
    ordered = sorted(values)
    centre = sum(ordered) / len(ordered)
    squares = _squares(ordered)
    if not len(ordered) * (1e-9 * max(abs(ordered[0]), abs(ordered[-1]))) ** 2 < squares < math.inf:
        return None  # equal, but for the arithmetic's own error
    below, best, place = ordered[0] - centre, math.inf, 0
    for size in range(2, len(ordered) - 1):
        below += ordered[size - 1] - centre
        left = 1 - below**2 * len(ordered) / (size * (len(ordered) - size)) / squares
        best, place = (left, size) if left < best else (best, place)
    return (ordered[place - 1], ordered[place]) if best < _smallest_of_normal(len(ordered)) else None


def _squares(values: Sequence[float]) -> float:
    """Sum of squares about the mean. Plain numbers: this is asked of every scenario of a large batch."""
    centre = sum(values) / len(values)
    return sum((value - centre) ** 2 for value in values)


@functools.cache
def _smallest_of_normal(n: int) -> float:
    """The share of the sum of squares that the best split of n normal values leaves within the groups: its lower quantile."""
    ordered = np.sort(np.random.default_rng(n).standard_normal((20_000, n)), axis=1)
    centred = ordered - ordered.mean(axis=1, keepdims=True)
    sums = np.cumsum(centred, axis=1)[:, 1 : n - 2]
    sizes = np.arange(2, n - 1)
    left = 1 - sums**2 * n / (sizes * (n - sizes)) / (centred**2).sum(axis=1, keepdims=True)
    return float(np.quantile(left.min(axis=1), TWO_GROUPS))


def shared_shift(differences: Sequence[float]) -> float | None:
    """p-value of the sign test that the claims of a release differ in the same direction; None below six differences."""
    signs = [difference > 0 for difference in differences if difference != 0]
    if len(signs) < 6:
        return None
    return float(scipy.stats.binomtest(sum(signs), len(signs)).pvalue)
