"""What do the published checkpoints say by themselves, without any training?

Copies under two names; a step 0 that is not the stated initialisation; weights that moved further than Adam can; checkpoints
that do not descend from step 0. Each is a finding with its numbers. Two checkpoints are in memory at a time, and step 0.
"""

from __future__ import annotations

import hashlib
import itertools
import math

import numpy as np

from openassay.core.replay import finite, spacing
from openassay.core.replay_records import CheckpointLook, CheckpointOddity, CheckpointsRecord
from openassay.protocols.prefix import ReplayInputs, Say
from openassay.training.language import LanguageRecipe
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
    """Look at every published checkpoint once, in the order of their steps.

    The first one with finite weights stands for step 0 where that is not published, or not finite.
    """
    looks: list[CheckpointLook] = []
    odd: list[CheckpointOddity] = []
    start: Weights = {}
    before: Weights = {}
    first = before_step = -1
    for step in sorted(release.steps):
        say(f"checkpoint of step {step}")
        now = release.weights(step)
        if start and {name: v.shape for name, v in now.items()} != {name: v.shape for name, v in start.items()}:
            odd.append(
                CheckpointOddity(
                    kind="tensors", steps=(step,), message=f"step {step} has other tensors than step {first}"
                )
            )
            continue
        bad = sorted(name for name, value in now.items() if not np.all(np.isfinite(value)))
        if bad:
            odd.append(
                CheckpointOddity(
                    kind="not finite",
                    steps=(step,),
                    message=f"step {step}: {len(bad)} tensors hold numbers that are not finite ({bad[0]})",
                )
            )
            continue
        if not start:
            start, before, first, before_step = now, now, step, step
            if step == 0:
                odd += initialisation(release.recipe, start)
        looks.append(_look(release, step, now, before_step, before, start))
        before, before_step = now, step
    odd += _copies(release, looks) + _moves(looks) + _orphans(looks)
    return CheckpointsRecord(looks=tuple(looks), oddities=tuple(odd))


def digest(weights: Weights) -> str:
    """One number for a checkpoint's content, whatever the file is called."""
    seen = hashlib.sha256()
    for name in sorted(weights):
        value = np.ascontiguousarray(weights[name], dtype=np.float32)
        seen.update(f"{name} {value.shape}\n".encode())
        seen.update(value.tobytes())
    return seen.hexdigest()


def initialisation(recipe: LanguageRecipe, start: Weights) -> list[CheckpointOddity]:
    """Is each weight matrix of step 0 spread as stated? sd(s) = sigma / sqrt(2 n) for a normal one."""
    from openassay.training.initial import stated_std  # noqa: PLC0415 - with scipy.stats, which takes half a second to import

    found = []
    for name, value in sorted(start.items()):
        std = stated_std(recipe, name, value.ndim)
        if std is None or value.size < 2:
            continue
        ratio = float(np.std(np.asarray(value, dtype=np.float64))) / std
        z = (ratio - 1) * math.sqrt(2 * value.size)
        if abs(z) > SURE and abs(ratio - 1) > SMALLEST:
            found.append(
                CheckpointOddity(kind="initialisation", steps=(0,), message=(
                    f"{name}: its standard deviation at step 0 is {ratio:.3g} times the stated {std:.4g}, "
                    f"{abs(z):.3g} standard errors off"
                ))
            )  # fmt: skip
    return found


def largest_step(recipe: LanguageRecipe, updates: int) -> float:
    """Adam's largest change of a weight after at most so many updates, in units of the learning rate, decay aside.

    |m^| / sqrt(v^) with bias corrections, by Cauchy and Schwarz over the gradients so far:
    (1 - b1) / (1 - b1^t) sqrt((1 - b2^t) / (1 - b2)) sqrt(sum_{i < t} (b1^2 / b2)^i).
    """
    if recipe.optimizer.betas is None or recipe.optimizer.name not in {"adamw", "adam_l2"}:
        raise ValueError("only Adam has this bound")
    first, second = recipe.optimizer.betas
    t = np.arange(1, updates + 1, dtype=float)
    share = first**2 / second
    sums = t if share == 1 else (1 - share**t) / (1 - share)
    bound = (1 - first) / (1 - first**t) * np.sqrt((1 - second**t) / (1 - second)) * np.sqrt(sums)
    return float(bound.max())


def move_bound(recipe: LanguageRecipe, first: int, last: int, largest_weight: float) -> float | None:
    """The furthest that one weight can move in updates `first` to `last - 1`; None where there is no bound."""
    optimizer = recipe.optimizer
    if optimizer.name not in {"adamw", "adam_l2"} or optimizer.betas is None:
        return None
    if recipe.learning_rate.decay_steps is None and recipe.learning_rate.form not in {"constant", "inverse_sqrt"}:
        return None
    if recipe.precision == "fp16":  # updates that overflowed delay the schedule, nobody says by how many
        total = recipe.learning_rate.peak * (last - first)
    else:
        total = math.fsum(learning_rate(recipe.learning_rate, update) for update in range(first, last))
    decay = optimizer.weight_decay * largest_weight if optimizer.name == "adamw" else 0.0
    factor = max((1.0, *optimizer.lr_multipliers.values()))
    return SLACK * factor * total * (largest_step(recipe, last) + decay)


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
            found.append(
                CheckpointOddity(kind="orphan", steps=(look.step,), message=(
                    f"step {look.step} does not descend from step {looks[0].step}: no weight matrix correlates with it, while "
                    "others do"
                ))
            )  # fmt: skip
    return found
