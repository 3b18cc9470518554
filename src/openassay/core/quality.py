"""How good is the record that a verdict rests on? Warnings: they never decide, and are never left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from openassay.core.sequential import Terms

CONFLICT = 0.01
"""Two-sided level of the F test between the reruns' noise and what was known before."""
SHARED_SHIFT = 0.05
"""Two-sided level of the sign test over a release's claims."""


def warnings(terms: Terms, values: Sequence[float | None]) -> list[tuple[str, str]]:
    """What is odd about a published spread or the reruns that were used, as (kind, words)."""
    found = []
    finite = [value for value in values if value is not None]
    if terms.published_sd == 0 and terms.num_published > 1:
        found.append((
            "published_spread_zero",
            f"the published spread over {terms.num_published} trainings is 0: a coarse metric or a lost seed can explain it too",
        ))  # fmt: skip
    if len(set(finite)) < len(finite) and not terms.deterministic and not max(terms.step, terms.rounding):
        found.append((
            "duplicate_runs",
            f"{len(finite) - len(set(finite)) + 1} of {len(finite)} reruns give the same number to the last bit: "
            "are they separate trainings?",
        ))  # fmt: skip
    variance, df = terms.prior()
    spread = float(np.std(finite, ddof=1)) if len(finite) > 2 else 0.0
    if variance > 0 and df >= 1 and spread > max(terms.step, terms.rounding):
        ratio = spread**2 / variance
        within_reach = 0.5 < ratio < 2 and len(finite) <= 10  # not significant with any df; the tails take time
        p = 1.0 if within_reach else _two_sided_p(ratio, len(finite) - 1, df)
        if p <= CONFLICT:
            found.append((
                "noise_differs",
                f"the reruns' standard deviation is {spread:.3g}, against {variance**0.5:.3g} known before (p = {p:.2g})",
            ))  # fmt: skip
    return found


def _two_sided_p(ratio: float, df: float, other_df: float) -> float:
    return float(2 * min(stats.f.sf(ratio, df, other_df), stats.f.cdf(ratio, df, other_df)))


def shared_shift(differences: Sequence[float]) -> float | None:
    """p-value of the sign test: do the claims of a release differ in the same direction? None below six differences."""
    signs = [difference > 0 for difference in differences if difference != 0]
    if len(signs) < 6:
        return None
    return float(stats.binomtest(sum(signs), len(signs)).pvalue)
