"""Small recipes of three families in which every value matters, and text for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from openassay.training.batch import text_length
from openassay.training.language import LanguageRecipe
from releases import language as mini

NEOX = mini.recipe(
    hidden=32, length=16, steps=64, clip_norm=0.2, clip_warmup_steps=2, clip_warmup_factor=2.0, batch_size=4
)
NEOX = replace(
    NEOX, learning_rate=replace(NEOX.learning_rate, warmup_steps=2, decay_steps=4, warmup_minimum=1e-4),
    architecture=replace(NEOX.architecture, rotary_share=0.5),
)  # fmt: skip
OLMO = replace(
    NEOX, loss_divisor="tokens", data=replace(NEOX.data, item_length=16, repetition_filter=(1, 3, 6)),
    architecture=replace(
        NEOX.architecture, family="olmo", norm="layer_norm_without_weights", rotary_share=1.0, parallel_residual=False,
        bias=False, activation="swiglu",
    ),
    initialisation=replace(NEOX.initialisation, method="normal", std=0.02, output_method=None),
    optimizer=replace(NEOX.optimizer, name="lion", eps=None),
)  # fmt: skip
TEXT, TARGETS = text_length(16, 0.2, 2.0)
T5 = replace(
    NEOX,
    architecture=replace(
        NEOX.architecture, family="t5", norm="rms_norm", rotary_share=None, parallel_residual=False, bias=False,
        activation="relu", relative_buckets=8, tied_embeddings=True, head_size=16,
    ),
    initialisation=replace(NEOX.initialisation, method="mesh", output_method=None),
    optimizer=replace(NEOX.optimizer, name="adafactor", betas=None, eps=1e-30, factored_from=16),
    learning_rate=replace(NEOX.learning_rate, form="inverse_sqrt", decay_steps=None, minimum=0.0),
    data=replace(
        NEOX.data, item_length=TEXT, target_length=TARGETS, noise_density=0.2, mean_noise_span=2.0, first_sentinel=500,
        eos_token_id=1, pad_token_id=0,
    ),
)  # fmt: skip
PAIRS = replace(
    T5,
    data=replace(
        T5.data, item_length=24, target_length=8, noise_density=None, mean_noise_span=None, first_sentinel=None
    ),
)


class Text:
    """Random text; the first sequence of each batch is one word, and the second ends early."""

    def __init__(self, length: int) -> None:
        self.length = length

    def items(self, first: int, count: int) -> np.ndarray:
        found = np.random.default_rng(first).integers(8, 400, (count, self.length))
        found[0] = 9
        found[1, -3:] = 0
        return found


def with_value(recipe: LanguageRecipe, name: str, value: Any) -> LanguageRecipe:
    part, _, last = name.rpartition(".")
    if not part:
        now = getattr(recipe, last)
        return replace(recipe, **{last: value(now) if callable(value) else value})
    inner = getattr(recipe, part)
    value = value(getattr(inner, last)) if callable(value) else value
    return replace(recipe, **{part: replace(inner, **{last: value})})
