"""The difference between the reruns' mean and the published value, with its standard error and tests.

It estimates theta = mean of the reruns' distribution - mean of the published recipe's. The published value is one draw, or a
mean of few, so its own noise belongs in the interval; treating it as exact accepts false recipes more often the more reruns are
made.

Functions broadcast over leading axes: runs have shape (..., n), results have shape (...).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Reruns minus published value, with what is needed for intervals and tail probabilities. All of shape (...)."""

    estimate: Floats
    se: Floats
    """Standard error of the estimate, the published value's noise included."""
    df: Floats
    """Degrees of freedom of the t distribution; infinity when nothing was estimated."""

    def interval(self, alpha: float) -> tuple[Floats, Floats]:
        """Lower and upper end of the 1 - 2 alpha interval: each errs with probability `alpha`. Two one-sided tests at `alpha`
        accept exactly when it lies within the margins (Schuirmann 1987)."""
        half = scipy.special.stdtrit(self.df, 1 - alpha) * self.se
        return self.estimate - half, self.estimate + half

    def p_not_within(self, margin: ArrayLike) -> Floats:
        """p-value of the hypothesis |theta| <= margin, at its edge; small is evidence that the recipe differs.

        Both tails count: P(T >= (|d| - margin)/se) + P(T >= (|d| + margin)/se). Without the second, noise that is large against
        the margin would accuse up to twice too often.
        """
        margin = np.asarray(margin, dtype=float)
        distance = np.abs(self.estimate)
        with np.errstate(divide="ignore", invalid="ignore"):
            near, far = (margin - distance) / self.se, -(margin + distance) / self.se
            p = scipy.special.stdtr(self.df, near) + scipy.special.stdtr(self.df, far)
        return np.asarray(np.where(self.se > 0, np.minimum(p, 1.0), (distance <= margin).astype(float)))

    def agrees(self, margin: ArrayLike, alpha: float) -> NDArray[np.bool_]:
        """Whether theta is shown to lie within ± margin; wrong with probability `alpha` at most, wherever theta lies outside."""
        low, high = self.interval(alpha)
        edge = np.asarray(margin, dtype=float) * (1 + 1e-9)  # the arithmetic's own error, far below any tolerance
        return np.asarray((low >= -edge) & (high <= edge))

    def differs(self, margin: ArrayLike, alpha: float) -> NDArray[np.bool_]:
        """Whether theta is shown to lie outside ± margin; wrong with probability `alpha` at most, wherever theta lies within."""
        return np.asarray(self.p_not_within(margin) <= alpha)


def difference(
    runs: ArrayLike, published: ArrayLike, *, num_runs: ArrayLike = 1, prior_sd: ArrayLike = 0.0, prior_df: ArrayLike = 0.0,
    rounding: ArrayLike = 0.0, resolution: ArrayLike = 0.0, published_recipe: ArrayLike | None = None,
) -> Difference:  # fmt: skip
    """Reruns minus the published value, with its standard error.

        se^2 = s~^2 (1/n + 1/k) + rounding^2/12,   s~^2 = (d0 s0^2 + (n-1) s^2) / (d0 + n - 1)

    runs: shape (..., n), n >= 2, finite; else ValueError. published: the published value, a mean over `num_runs` = k trainings.
    prior_sd: s0, a standard deviation over seeds that is known from elsewhere and counts for d0 = `prior_df` degrees of freedom
    (Smyth 2004). rounding: unit of the published value's last digit, a uniform error of variance rounding^2/12. resolution:
    smallest step of the metric; s~ is never taken below resolution/sqrt(12), nor below rounding/sqrt(12), so that equal reruns
    do not pass for a noiseless recipe.

    published_recipe: values of shape (..., m), m >= 2, that show the published recipe's seed noise when `runs` are of another
    recipe (a control); then se^2 = s^2/n + s_p^2/k + rounding^2/12 with Welch and Satterthwaite's degrees of freedom.

    Otherwise assumes equal seed variance in both recipes; and exchangeable seeds always.
    """
    runs = np.asarray(runs, dtype=float)
    n = runs.shape[-1]
    if n < 2:
        raise ValueError(f"two reruns at least are needed, found {n}")
    k, rounding, df = (np.asarray(of, dtype=float) for of in (num_runs, rounding, prior_df))
    mean = runs.mean(axis=-1)
    squares = ((runs - mean[..., None]) ** 2).sum(axis=-1)
    floor = np.maximum(np.asarray(resolution, dtype=float), rounding) ** 2 / 12
    variance = np.maximum((df * np.asarray(prior_sd, dtype=float) ** 2 + squares) / (df + n - 1), floor)
    df = df + n - 1
    total = variance * (1 / n + 1 / k)
    if published_recipe is not None:
        theirs = np.asarray(published_recipe, dtype=float)
        ours_of_mean, theirs_of_mean = variance / n, np.maximum(theirs.var(axis=-1, ddof=1), floor) / k
        total = ours_of_mean + theirs_of_mean
        with np.errstate(invalid="ignore"):
            welch = total**2 / (ours_of_mean**2 / (n - 1) + theirs_of_mean**2 / (theirs.shape[-1] - 1))
        df = np.where(total > 0, welch, n - 1)
    se = np.asarray(np.sqrt(total + rounding**2 / 12))
    return Difference(estimate=np.asarray(mean - published), se=se, df=np.broadcast_to(df, se.shape))
