"""What is rerun of a training that is scaled down, and what published value of the same scale is it held against?

A scaled-down rerun is never held against the full number, but a native recipe against the release's own published curve at that
step, a replay against the checkpoints that it still reaches. Where the target states none of that scale, nothing is rerun.
"""

from __future__ import annotations

from dataclasses import replace

from openassay.core.types import Claim, Published
from openassay.recipes import Recipe
from openassay.recipes.native import NativeRecipe
from openassay.recipes.replay import ReplayRecipe


def scaled_down(
    recipe: Recipe, claims: tuple[Claim, ...], steps: float
) -> tuple[Recipe | None, tuple[Claim, ...], str]:
    """The recipe and the claims at a share of the updates, or no recipe and why there is nothing to hold it against.

    steps: share of the published updates, above 0 and below 1.
    """
    share = f"scaled down to {steps:g} of its updates"
    if isinstance(recipe, ReplayRecipe):
        reached = tuple(updates for updates in recipe.updates if updates <= steps * max(recipe.updates))
        if not reached:
            return (
                None,
                claims,
                f"{share}, the replay reaches none of its horizons ({min(recipe.updates)} updates is the first)",
            )
        return replace(recipe, updates=reached), claims, ""
    if not isinstance(recipe, NativeRecipe):
        return None, claims, f"{share}: how long its training is, the release's own code decides"
    if recipe.recipe.schedule.name != "constant":
        return None, claims, f"{share}: its learning rate is planned for the whole training"
    every = recipe.recipe.evaluation.every
    curves = {claim.id: dict(claim.curve) for claim in claims if claim.testable and claim.curve}
    shared = set.intersection(*map(set, curves.values())) if curves else set()
    at = max((step for step in shared if 0 < step <= steps * recipe.recipe.steps and step % every == 0), default=None)
    if at is None:
        return (
            None,
            claims,
            f"{share}: the target states no published value of that scale (no claim has a `curve` with such a step)",
        )
    training = replace(recipe.recipe, steps=at + 1, evaluation=replace(recipe.recipe.evaluation, at_step=at))
    held = tuple(_at_step(claim, curves[claim.id][at]) if claim.id in curves else _untested(claim) for claim in claims)
    return replace(recipe, recipe=training), held, ""


def _at_step(claim: Claim, value: float) -> Claim:
    """A claim on the published curve's value; what was published of the final value's noise says nothing of it."""
    published = Published(value=value, rounding=claim.published.rounding, num_runs=claim.published.num_runs)
    return replace(claim, published=published, curve=None, curve_scatter=None, family=None, paired=False)


def _untested(claim: Claim) -> Claim:
    return replace(claim, testable=False)
