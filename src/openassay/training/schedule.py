"""The learning rate of an update, and where its gradients are clipped."""

from __future__ import annotations

import math

from openassay.training.language import LanguageRecipe, LearningRate
from openassay.training.mismatch import RecipeMismatch


def learning_rate(schedule: LearningRate, update: int) -> float:
    """The learning rate of an update, counted from 0."""
    k = update if schedule.first == "zero" else update + 1
    warmup, peak, least, low = schedule.warmup_steps, schedule.peak, schedule.minimum, schedule.warmup_minimum
    if k < warmup:
        return peak * k / warmup if low == 0 else low + (peak - low) * k / warmup
    if schedule.form == "inverse_sqrt":
        return peak * math.sqrt(max(1, warmup)) / math.sqrt(max(k, 1))
    if schedule.form == "constant":
        return peak
    if schedule.decay_steps is None:
        raise RecipeMismatch("learning_rate.decay_steps: the schedule needs it, and the release does not state it")
    if schedule.form == "cosine_clamped":
        done = min(1.0, (k - warmup) / schedule.decay_steps)
        return max(least, peak * (1 + math.cos(math.pi * done)) / 2)
    done = min(1.0, (k - warmup) / max(1, schedule.decay_steps - warmup))
    if schedule.form == "linear":
        return peak + (least - peak) * done
    return least + (peak - least) * (1 + math.cos(math.pi * done)) / 2


def clip_norm(recipe: LanguageRecipe, update: int) -> float:
    """The gradient norm beyond which an update, counted from 0, is clipped; infinite for none."""
    if not recipe.clip_norm:
        return math.inf
    return recipe.clip_norm * (recipe.clip_warmup_factor if 1 <= update <= recipe.clip_warmup_steps else 1.0)
