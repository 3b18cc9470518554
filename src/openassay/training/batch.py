"""What an update sees of its items: spans are masked as T5 does, and sequences that bear no loss are told."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from openassay.training.language import LanguageRecipe
from openassay.training.mismatch import RecipeMismatch
from openassay.training.numerics import Items

OF_SPANS = ("mean_noise_span", "first_sentinel")


def check_items(recipe: LanguageRecipe) -> None:
    """Raise `RecipeMismatch` where the lengths or the objective do not fit the network."""
    data, length = recipe.data, recipe.data.sequence_length
    if recipe.architecture.family == "t5":
        _check_pairs(recipe)
        return
    for name in ("target_length", "noise_density", *OF_SPANS):
        if getattr(data, name) is not None:
            raise RecipeMismatch(f"data.{name}: it belongs to an encoder and decoder, not to a language model")
    if not length <= data.item_length <= length + 1:
        raise RecipeMismatch(f"data.item_length: expected {length} or {length + 1} tokens, found {data.item_length}")


def _check_pairs(recipe: LanguageRecipe) -> None:
    data = recipe.data
    if data.repetition_filter is not None:
        raise RecipeMismatch("data.repetition_filter: it belongs to a language model, not to an encoder and decoder")
    masks = data.noise_density is not None
    for name in ("target_length", "pad_token_id", *(("eos_token_id", *OF_SPANS) if masks else ())):
        if getattr(data, name) is None:
            raise RecipeMismatch(
                f"data.{name}: an encoder and decoder cannot be trained without it, and the release does not state it"
            )
    for name in () if masks else OF_SPANS:
        if getattr(data, name) is not None:
            raise RecipeMismatch(f"data.{name}: spans are masked only where data.noise_density says how much")
    length, found = data.sequence_length, (data.item_length, data.target_length or 0)
    expected = (length + found[1], found[1])
    if masks:
        expected = text_length(length, data.noise_density or 0.0, data.mean_noise_span or 1.0)
    if found != expected:
        raise RecipeMismatch(
            f"data.item_length and data.target_length: expected {expected[0]} and {expected[1]} for inputs of {length} tokens, "
            f"found {found[0]} and {found[1]}"
        )


def seen(recipe: LanguageRecipe, items: Items, first: int, seed: int) -> Items:
    """Items as the network gets them: an encoder-decoder's are inputs and targets, one after another.

    Where spans are masked, each sequence has its own generator, of the seed and of its place in the training. The published masks
    come from TensorFlow's generator, and nobody publishes them: this is the published algorithm with other random numbers.
    """
    data = recipe.data
    if data.noise_density is None:
        return items
    assert data.mean_noise_span and data.first_sentinel and data.target_length  # noqa: S101, PT018 - check_items has looked
    found = np.full((len(items), data.sequence_length + data.target_length), data.pad_token_id, np.int64)
    for at, row in enumerate(items):
        rng = np.random.default_rng((seed, first + at))
        mask = noise_mask(len(row), data.noise_density, data.mean_noise_span, rng)
        for begin, part in ((0, mask), (data.sequence_length, ~mask)):
            kept = np.append(with_sentinels(row, part, data.first_sentinel), data.eos_token_id or 0)
            found[at, begin:][: len(kept)] = kept
    return found


def text_length(inputs: int, density: float, mean_span: float) -> tuple[int, int]:
    """Tokens of text that become `inputs` tokens when spans are masked, and tokens of their targets.

    Each masked span becomes one sentinel, each kept one a sentinel of the targets, and both get an end. T5's
    `random_spans_helper`, t5/data/preprocessors.py.
    """

    def lengths(tokens: int) -> tuple[int, int]:
        noise = round(tokens * density)
        spans = round(noise / mean_span)
        return tokens - noise + spans + 1, noise + spans + 1

    tokens = inputs - 1
    while tokens < 100 * inputs and lengths(tokens + 1)[0] <= inputs:
        tokens += 1
    found, targets = lengths(tokens)
    if density == 0.5 and targets > found:
        return tokens - 1, targets - 1
    return tokens, targets


def noise_mask(length: int, density: float, mean_span: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """The tokens to mask, True for each: spans of random lengths and fixed numbers, kept and masked in turn, the kept first.

    T5's `random_spans_noise_mask`; all masks with these numbers are equally likely.
    """
    noise = min(max(round(length * density), 1), length - 1)
    spans = max(round(noise / mean_span), 1)
    if spans > length - noise:
        raise RecipeMismatch(f"data.noise_density: {spans} masked spans do not fit between {length - noise} tokens")

    def segments(tokens: int) -> NDArray[np.int64]:
        starts = np.append(True, rng.permutation(np.arange(tokens - 1) < spans - 1))
        return np.bincount(np.cumsum(starts) - 1)

    kept, masked = segments(length - noise), segments(noise)
    return np.repeat(np.tile([False, True], spans), np.stack([kept, masked], axis=1).ravel())


def with_sentinels(tokens: Items, mask: NDArray[np.bool_], first: int) -> Items:
    """Each masked span replaced by one sentinel, counted down from `first`. T5's `noise_span_to_unique_sentinel`."""
    begins = mask & ~np.append(False, mask[:-1])
    found: Items = np.where(begins, first + 1 - np.cumsum(begins), tokens)[begins | ~mask]
    return found


def bears_loss(recipe: LanguageRecipe, items: Items) -> NDArray[np.bool_] | None:
    """The sequences that bear loss by OLMo's filter of repetitions, True for each; None where the recipe has none.

    The same as `find_periodic_sequences` of olmo/data/util.py, held against it on 20,000 random sequences.
    """
    if recipe.data.repetition_filter is None:
        return None
    least, most, times = recipe.data.repetition_filter
    kept = np.ones(len(items), dtype=bool)
    for period in range(least, min(most, items.shape[1] // 3) + 1):
        same = items[:, period:] == items[:, :-period]
        # a run of n tokens that are as those one period before is n / period + 1 repetitions
        padded = np.pad(same, ((0, 0), (1, 1))).astype(np.int8)
        for row in np.flatnonzero(kept):
            edges = np.flatnonzero(np.diff(padded[row]))
            longest = int((edges[1::2] - edges[::2]).max(initial=0))
            if longest >= 2 * period and longest // period + 1 >= times:
                kept[row] = False
    return kept
