"""What the published checkpoints say by themselves, without any training.

Copies under two names; a step 0 that is not the stated initialisation; weights that moved further than Adam can; checkpoints
that do not descend from step 0. Each is a finding with its numbers. Two checkpoints are in memory at a time, and step 0.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from typing import Literal

import numpy as np

from openassay.core.replay import finite, spacing
from openassay.core.replay_records import CheckpointLook, CheckpointOddity, CheckpointsRecord
from openassay.protocols.prefix import ReplayInputs, Say
from openassay.training.initial import stated_std
from openassay.training.language import ADAM, LanguageRecipe
from openassay.training.numerics import Weights
from openassay.training.schedule import learning_rate

SURE = 5.0
"""Standard errors beyond which a spread is not the stated one."""
SMALLEST = 0.01
"""Relative difference of a spread below which it is not worth a word."""
DESCENDS = 20.0
"""Standard errors of correlation with step 0 that a descendant shows."""
STRANGER = 5.0
"""Standard errors below which there is no correlation."""
SLACK = 1.01


def inspect_checkpoints(release: ReplayInputs, *, say: Say = lambda _line: None) -> CheckpointsRecord:
    """Look at every published checkpoint once, in the order of their steps; gives the looks and the oddities.

    The first one with finite weights stands for step 0 where that is not published, or not finite.
    """
    looks: list[CheckpointLook] = []
    odd: list[CheckpointOddity] = []
    start: Weights = {}
    before: Weights = {}

    def oddity(kind: Literal["tensors", "not finite"], step: int, message: str) -> None:
        odd.append(CheckpointOddity(kind=kind, steps=(step,), message=f"step {step}{message}"))

    for step in sorted(release.steps):
        say(f"checkpoint of step {step}")
        now = release.weights(step)
        if start and {name: v.shape for name, v in now.items()} != {name: v.shape for name, v in start.items()}:
            oddity("tensors", step, f" has other tensors than step {looks[0].step}")
            continue
        if bad := sorted(name for name, value in now.items() if not np.all(np.isfinite(value))):
            oddity("not finite", step, f": {len(bad)} tensors hold numbers that are not finite ({bad[0]})")
            continue
        if not start:
            start = before = now
            odd += initialisation(release.recipe, start) if step == 0 else []
        looks.append(_look(release, step, now, looks[-1].step if looks else step, before, start))
        before = now
    odd += _copies(release, looks) + _moves(looks) + _orphans(looks)
    return CheckpointsRecord(looks=tuple(looks), oddities=tuple(odd))


def digest(weights: Weights) -> str:
    """The sha256 of a checkpoint's names, shapes and values in fp32, whatever the file is called."""
    seen = hashlib.sha256()
    for name in sorted(weights):
        value = np.ascontiguousarray(weights[name], dtype=np.float32)
        seen.update(f"{name} {value.shape}\n".encode())
        seen.update(value.tobytes())
    return seen.hexdigest()


def initialisation(recipe: LanguageRecipe, start: Weights) -> list[CheckpointOddity]:
    """The weight matrices of step 0 that are not spread as stated. sd(s) = sigma / sqrt(2 n) for a normal one."""
    found = []
    for name, value in sorted(start.items()):
        std = stated_std(recipe, name, value.ndim)
        if std is None or value.size < 2:
            continue
        ratio = float(np.std(np.asarray(value, dtype=np.float64))) / std
        z = (ratio - 1) * math.sqrt(2 * value.size)
        if abs(z) > SURE and abs(ratio - 1) > SMALLEST:
            message = (
                f"{name}: its standard deviation at step 0 is {ratio:.3g} times the stated {std:.4g}, "
                f"{abs(z):.3g} standard errors off"
            )
            found.append(CheckpointOddity(kind="initialisation", steps=(0,), message=message))
    return found


def largest_step(betas: tuple[float, float], updates: int) -> float:
    """Adam's largest change of a weight after at most so many updates, in units of the learning rate, decay aside.

    |m^| / sqrt(v^) with bias corrections, by Cauchy and Schwarz over the gradients so far:
    (1 - b1) / (1 - b1^t) sqrt((1 - b2^t) / (1 - b2)) sqrt(sum_{i < t} (b1^2 / b2)^i).
    """
    first, second = betas
    t = np.arange(1, updates + 1, dtype=float)
    share = first**2 / second
    sums = t if share == 1 else (1 - share**t) / (1 - share)
    bound = (1 - first) / (1 - first**t) * np.sqrt((1 - second**t) / (1 - second)) * np.sqrt(sums)
    return float(bound.max())


def move_bound(recipe: LanguageRecipe, first: int, last: int, largest_weight: float) -> float | None:
    """The furthest that one weight can move in updates `first` to `last - 1`; None where there is no bound."""
    optimizer, rate = recipe.optimizer, recipe.learning_rate
    if optimizer.name not in ADAM or optimizer.betas is None:
        return None
    if rate.decay_steps is None and rate.form not in {"constant", "inverse_sqrt"}:
        return None
    if recipe.precision == "fp16":  # updates that overflowed delay the schedule, nobody says by how many
        total = rate.peak * (last - first)
    else:
        total = math.fsum(learning_rate(rate, update) for update in range(first, last))
    decay = optimizer.weight_decay * largest_weight if optimizer.name == "adamw" else 0.0
    factor = max((1.0, *optimizer.lr_multipliers.values()))
    return SLACK * factor * total * (largest_step(optimizer.betas, last) + decay)


def _look(
    release: ReplayInputs, step: int, now: Weights, before_step: int, before: Weights, start: Weights
) -> CheckpointLook:
    from_start = from_before = largest = biggest = rounding = 0.0
    correlation = -math.inf
    for name, value in now.items():
        w, last, first = (np.asarray(part[name], dtype=np.float64) for part in (now, before, start))
        if w.size == 0:
            continue
        from_start += float(((w - first) ** 2).sum())
        from_before += float(((w - last) ** 2).sum())
        largest = max(largest, float(np.abs(w - last).max()))
        biggest = max(biggest, float(np.abs(w).max()), float(np.abs(last).max()))
        if release.stored != "fp32":
            rounding = max(rounding, float(spacing(w, release.stored).max()))
        if value.ndim >= 2 and w.std() > 0 and first.std() > 0:
            r = float(((w - w.mean()) * (first - first.mean())).mean() / (w.std() * first.std()))
            correlation = max(correlation, r * math.sqrt(w.size))
    bound = move_bound(release.recipe, before_step, step, biggest) if step > before_step else None
    return CheckpointLook(
        step=step, digest=digest(now), from_first=finite(math.sqrt(from_start)), from_before=finite(math.sqrt(from_before)),
        largest_move=finite(largest), bound=None if bound is None else finite(bound + rounding),
        correlation=correlation if math.isfinite(correlation) else None,
    )  # fmt: skip


def _copies(release: ReplayInputs, looks: list[CheckpointLook]) -> list[CheckpointOddity]:
    """Checkpoints of different steps with the same content, where the schedule lets the weights move."""
    skipped = " (updates that overflow in fp16 are left out)" if release.recipe.precision == "fp16" else ""
    by_digest: dict[str, list[int]] = {}
    for look in looks:
        by_digest.setdefault(look.digest, []).append(look.step)
    rate = release.recipe.learning_rate
    return [
        CheckpointOddity(
            kind="same" if steps[0] else "unmoved", steps=tuple(steps),
            message=f"the checkpoints of steps {', '.join(map(str, steps))} have the same content{skipped}",
        )
        for steps in by_digest.values()
        if len(steps) > 1 and any(learning_rate(rate, k) > 0 for k in range(steps[0], min(steps[-1], steps[0] + 64)))
    ]  # fmt: skip


def _moves(looks: list[CheckpointLook]) -> list[CheckpointOddity]:
    return [
        CheckpointOddity(kind="too far", steps=(before.step, look.step), message=(
            f"from step {before.step} to {look.step} a weight moved by {look.largest_move:.3g}; "
            f"optimizer and schedule allow {look.bound:.3g}"
        ))
        for before, look in itertools.pairwise(looks)
        if look.bound is not None and look.largest_move > look.bound
    ]  # fmt: skip


def _orphans(looks: list[CheckpointLook]) -> list[CheckpointOddity]:
    """Checkpoints that have nothing of the first one, though a later one has."""
    found = []
    correlations = [-math.inf if look.correlation is None else look.correlation for look in looks]
    for at, look in enumerate(looks[1:], start=1):
        others = correlations[at + 1 :] + (correlations[at - 1 : at] if at > 1 else [])
        if correlations[at] < STRANGER and max(others, default=-math.inf) > DESCENDS:
            message = (
                f"step {look.step} does not descend from step {looks[0].step}: no weight matrix correlates with it, while "
                "others do"
            )
            found.append(CheckpointOddity(kind="orphan", steps=(look.step,), message=message))
    return found
