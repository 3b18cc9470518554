"""Checkpoints against their names and settings: digests, distances between neighbours, the schedule, token files."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from openassay.checks.check import Agreement, Contradiction, NotAsked, Seen, check, compared
from openassay.published.files import Items, PublishedFiles, SavedWeights, Value
from openassay.published.stated import Recipe, recipes


@check(needs="weights of two or more steps of one training")
def checkpoints_alike(release: PublishedFiles) -> Iterator[Seen]:
    """{first.path} and {second.path} hold the same weights, though they are steps {first.step} and {second.step} of one
    training"""
    # Steps 0 and 1 may be alike: the first update often has learning rate 0.
    families: dict[str, dict[str, list[SavedWeights]]] = defaultdict(lambda: defaultdict(list))
    for checkpoint in release.checkpoints:
        families[checkpoint.family][checkpoint.sha256].append(checkpoint)
    for of in families.values():
        wrong = [alike for alike in of.values() if len({c.step for c in alike}) > 1 and max(c.step for c in alike) > 1]
        for alike in wrong:
            yield Contradiction(*alike, first=alike[-2], second=alike[-1])
        if not wrong and sum(len(alike) for alike in of.values()) >= 2:
            yield Agreement(*(alike[0] for alike in [*of.values()][:4]))


def update_factor(beta1: float, beta2: float) -> float:
    """The most that Adam moves a weight in one update, in learning rates.

    By Cauchy-Schwarz |m|/sqrt(v) <= (1 - b1)/sqrt(1 - b2) * sqrt(sum_k (b1^2/b2)^k), corrected for bias at each update; the
    largest over all updates. 1 for the first update, 7.3 for betas 0.9 and 0.999.
    """
    if not (0 <= beta1 < 1 and 0 < beta2 < 1) or beta1**2 >= beta2:
        return float("inf")
    ratio, largest, power, total = beta1**2 / beta2, 1.0, 1.0, 0.0
    for t in range(1, 20_001):
        total += power
        power *= ratio
        correction = (1 - beta2**t) ** 0.5 / (1 - beta1**t)
        largest = max(largest, (1 - beta1) / (1 - beta2) ** 0.5 * total**0.5 * correction)
        if t > 50 and power < 1e-12 and beta2**t < 1e-9:
            break
    return largest


_OPTIMIZER = re.compile(r"(optimizer|optim)(\.|_)?(type|name|class|$)|optimizer$", re.IGNORECASE)


def _is_adam(recipe: Recipe) -> bool:
    """True for settings that name an Adam-like optimizer."""
    words = (v.value for v in recipe.config.values if _OPTIMIZER.search(v.key) and isinstance(v.value, str))
    named = " ".join(words).lower()
    return "adam" in named and "adamax" not in named and "8bit" not in named


def _rates(recipe: Recipe, first: int, last: int) -> float:
    """The most that the rates of the updates first+1 to last can be together: linear warm-up if stated, else the peak."""
    peak = recipe.number("learning_rate") or 0.0
    warmup = recipe.number("warmup_steps") or 0.0
    fraction, steps = recipe.config.by_key.get("warmup"), recipe.number("steps")
    if fraction is not None and 0 < (fraction.number or 0) < 1 and steps:
        warmup = (fraction.number or 0) * steps
    if warmup <= 0 or first >= warmup:
        return peak * (last - first)
    inside = int(min(last, warmup))
    # Update k has at most (k + 1)/warmup of the peak, wherever an implementation begins to count.
    ramp = sum(min(1.0, (k + 1) / warmup) for k in range(first, min(inside, first + 200_000)))
    return peak * (ramp + max(0, last - inside))


def _recipe_of(checkpoint: SavedWeights, release: PublishedFiles) -> Recipe | None:
    """The settings with a learning rate that a checkpoint's path names, or the only ones there are."""
    usable = [recipe for recipe in recipes(release) if recipe.number("learning_rate")]
    named = [recipe for recipe in usable if recipe.name in checkpoint.path.split("/")]
    return named[0] if len(named) == 1 else usable[0] if len(usable) == 1 else None


@check(needs="weights of neighbouring steps, and the settings of their Adam-like training")
def too_far_for_its_learning_rate(release: PublishedFiles) -> Iterator[Seen]:
    """{move.tensor} moves by {move.largest:.4g} from step {move.earlier.step} to step {move.later.step}; {updates} updates with
    these learning rates reach {bound:.4g} at most, so {move.later.path} does not descend from {move.earlier.path}"""
    # The largest change of any weight against the sum of the rates between; rounding to the stored type is allowed for.
    for move in release.movements:
        of = _recipe_of(move.later, release)
        if of is None:
            yield NotAsked(f"which settings belong to {move.later.family} is not clear, or they give no learning rate")
            continue
        if not _is_adam(of):
            yield NotAsked(f"{of.config.path} names no Adam-like optimizer")
            continue
        first, second = move.earlier, move.later
        factor = update_factor(of.number("beta1") or 0.9, of.number("beta2") or 0.999)
        decay = of.number("weight_decay") or 0.0
        bound = _rates(of, first.step, second.step) * (factor + decay * move.largest_weight)
        rate = of.values["learning_rate"]
        if move.largest <= bound * 1.001 + 1e-12:
            yield Agreement(second.seen(f"moves by {move.largest:.3g}, {bound:.3g} at most"), rate)
        else:
            yield Contradiction(first, second, rate, move=move, updates=second.step - first.step, bound=bound)


@check(needs="weights of steps 0 and 1 and a GPT-NeoX schedule, whose first update has learning rate 0")
def moved_without_learning(release: PublishedFiles) -> Iterator[Seen]:
    """{move.tensor} moves by {move.largest:.4g} from step 0 to step 1, though the first update of {warmup.path} has learning
    rate 0"""
    # GPT-NeoX warms up from 0: its first update changes nothing.
    for move in release.movements:
        of = _recipe_of(move.later, release)
        if (move.earlier.step, move.later.step) != (0, 1) or of is None or "train-iters" not in of.config.by_key:
            continue
        warmup = of.config.by_key.get("warmup")
        if warmup is None or (warmup.number or 0) <= 0:
            continue
        if move.largest > 0:
            yield Contradiction(move.earlier, move.later, warmup, move=move, warmup=warmup)
        else:
            yield Agreement(move.earlier, move.later)


@check(needs="a number of checkpoints in a document, and settings that say when they are saved")
def checkpoints_claimed_and_saved(release: PublishedFiles) -> Iterator[Seen]:
    """{text.path} speaks of {claimed} checkpoints, but the settings in {path} save {saved}"""
    counts = [count for recipe in recipes(release) if (count := _num_saved(recipe))]
    if len({saved for saved, _ in counts}) != 1:
        return
    saved, seen = counts[0]
    pattern = re.compile(r"(?<![\d,])\b(\d[\d,]{0,11})\s+(?:intermediate\s+|saved\s+|training\s+)*checkpoints\b")
    for text in release.texts:
        if text.folder or not text.path.lower().startswith("readme"):
            continue
        claims = [
            (int(found.group(1).replace(",", "")), line)
            for line, words in text.prose
            if (found := pattern.search(words))
        ]
        right = next((line for claimed, line in claims if abs(claimed - saved) <= 1), None)
        if claims:
            claimed, line = claims[0]
            at = text.seen(right or line)
            yield compared(right is not None, at, *seen, text=text, claimed=claimed, path=seen[0].path, saved=saved)


def _num_saved(recipe: Recipe) -> tuple[int, tuple[Value, ...]] | None:
    """How often GPT-NeoX saves, every `checkpoint-factor` steps and at `extra-save-iters`; and the settings that say so."""
    keys = {key.replace("-", "_"): value for key, value in recipe.config.by_key.items()}
    stated = [keys.get(key) for key in ("checkpoint_factor", "train_iters", "extra_save_iters")]
    every, steps, extra = stated
    if every is None or steps is None or (every.number or 0) < 1 or not steps.number:
        return None
    interval, last = int(every.number or 0), int(steps.number)
    listed = extra.value if extra is not None and isinstance(extra.value, tuple) else ()
    regular = range(interval, last + 1, interval)
    others = {int(step) for step in listed if isinstance(step, int) and step not in regular}
    return last // interval + len(others), tuple(value for value in stated if value is not None)


@check(needs="tokenised data of one length, and one sequence length in the settings")
def items_of_another_length(release: PublishedFiles) -> Iterator[Seen]:
    """{items.path} holds items of {items.length} tokens; {value.path} trains on sequences of {sequence}, which need items of
    {sequence} tokens or one more"""
    # One token more serves the shifted labels.
    stated = [v for recipe in recipes(release) if (v := recipe.values.get("sequence_length")) and v.number]
    lengths = {int(v.number or 0): v for v in reversed(stated)}
    for items in release.items:
        if items.length is None or items.length < 16 or items.num_items < 2:
            continue
        fitting = lengths.get(items.length) or lengths.get(items.length - 1)
        if fitting is not None:
            yield Agreement(items, fitting)
        elif len(lengths) == 1:
            sequence, value = next(iter(lengths.items()))
            yield Contradiction(items, value, items=items, value=value, sequence=sequence)


@check(needs="a Megatron index with its data")
def items_contradict_themselves(release: PublishedFiles) -> Iterator[Seen]:
    """{items.path}: {items.problem}"""
    for items in release.items:
        if items.problem or (items.format == "MMIDIDX" and items.num_first):
            yield compared(not items.problem, items, items=items)


@check(needs="two files of the same tokenised items")
def order_differs(release: PublishedFiles) -> Iterator[Seen]:
    """{first.path} and {second.path} hold the same {first.num_items} items in different order: the same data, not the same
    order"""
    # Same data and same order are two claims. The digest of the first items tells two orders apart.
    by_set: dict[tuple[str, int], list[Items]] = defaultdict(list)
    for items in release.items:
        if items.set_digest is not None and items.num_items >= 2:
            by_set[items.set_digest, items.num_items].append(items)
    for first, *others in by_set.values():
        alike = (items for items in others if items.format == first.format)
        other = next((items for items in alike if items.first_digest != first.first_digest), None)
        if others:
            yield compared(other is None, first, other or others[0], first=first, second=other)
    if all(len(of) == 1 for of in by_set.values()):
        yield from (Agreement(items) for items in release.items if items.num_first)
