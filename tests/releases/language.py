"""A language model's release with known truth: a miniature Pythia, trained on Python's own documentation (PSF licence).

`release(seed)` is honest. Defects are planted in the training; what is published is the recipe without them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from openassay.protocols.prefix import ReplayInputs
from openassay.training.language import (
    Architecture,
    Initialisation,
    LanguageData,
    LanguageOptimizer,
    LanguageRecipe,
    LearningRate,
)
from openassay.training.lm import LanguageTraining, initial_weights
from openassay.training.numerics import ContiguousTokens, Numerics, Tokens

LENGTH = 128
VOCABULARY = 512


def recipe(*, hidden: int = 64, steps: int = 2048, length: int = LENGTH, **values: Any) -> LanguageRecipe:
    """The miniature's recipe."""
    return replace(
        LanguageRecipe(
            architecture=Architecture(
                family="gpt_neox", vocab_size=VOCABULARY, hidden_size=hidden, num_layers=2, num_heads=4,
                intermediate_size=4 * hidden, max_position=length, activation="gelu", norm="layer_norm", norm_eps=1e-5,
                rotary_share=0.25, parallel_residual=True, bias=True, tied_embeddings=False,
            ),
            initialisation=Initialisation(method="small_init", std=None, output_method="wang_init"),
            optimizer=LanguageOptimizer(
                name="adamw", betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, not_decayed=("bias", "norm"), lr_multipliers={}
            ),
            learning_rate=LearningRate(
                form="cosine_to_min", peak=3e-3, minimum=3e-4, warmup_steps=round(steps / 100), decay_steps=steps,
                first="one_step",
            ),
            data=LanguageData(sequence_length=length, item_length=length + 1, order="as_stored", seed=None, files=()),
            batch_size=8, steps=steps, tokens_total=None, clip_norm=1.0, precision="fp32",
        ),
        **values,
    )  # fmt: skip


@functools.cache
def text() -> str:
    """About a megabyte of English and code, from the standard library."""
    import ast
    import sysconfig
    from pathlib import Path
    from pydoc_data.topics import topics

    found = list(topics.values())
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        nodes = [node for node in ast.walk(module) if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))]
        found += [words for node in nodes if (words := ast.get_docstring(node)) and len(words) > 80]
    return "\n\n".join(found)


@functools.cache
def tokenizer(*, other: bool = False) -> Any:
    """A byte-pair encoding of 512 words, trained on the text; the other one on a fifth of it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    found = Tokenizer(models.BPE())
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
        special_tokens=["<|end|>"],
    )  # fmt: skip
    parts = text().split("\n\n")
    found.train_from_iterator(parts[: len(parts) // 5] if other else parts, trainer)
    return found


@functools.cache
def stream(*, end_of_text: bool = True, other_tokenizer: bool = False, deduplicated: bool = False) -> np.ndarray:
    """Its tokens; an end-of-text token (0) after each part. Deduplicated: each part once, in an order of its own."""
    parts = text().split("\n\n")
    if deduplicated:
        once = list(dict.fromkeys(parts))
        parts = [once[at] for at in np.random.default_rng(1).permutation(len(once))]
    end = [0] if end_of_text else []
    encoded = tokenizer(other=other_tokenizer).encode_batch(parts)
    return np.array([token for one in encoded for token in (*one.ids, *end)], dtype=np.uint16)


def tokens(length: int = LENGTH, order: int = 0, **kind: bool) -> Tokens:
    """The training's sequences; another `order` begins elsewhere in the text."""
    whole = stream(**kind)
    return ContiguousTokens(tokens=np.roll(whole, -order * (len(whole) // 20)), item_length=length + 1, stride=length)


def train(
    true: LanguageRecipe, sequences: Tokens, seed: int, keep: tuple[int, ...], *, numerics: Numerics | None = None,
    start: dict[str, np.ndarray] | None = None, make: Callable[..., LanguageTraining] = LanguageTraining, **options: Any,
) -> tuple[dict[int, dict[str, np.ndarray]], np.ndarray]:  # fmt: skip
    """The weights of the steps to keep, and the losses."""
    start = start if start is not None else initial_weights(true, seed)
    found: dict[int, dict[str, np.ndarray]] = {}
    training = make(true, start, numerics=numerics or Numerics(), **options)
    for step in sorted(keep):
        training.advance(sequences, step)
        found[step] = {name: value.copy() for name, value in training.weights().items()}
    return found, training.log().losses


def published(
    stated: LanguageRecipe,
    sequences: Tokens,
    weights: dict[int, dict[str, np.ndarray]],
    losses: np.ndarray | None,
    **values: Any,
) -> ReplayInputs:
    """A release of these weights under that recipe."""
    return ReplayInputs(
        recipe=stated, tokens=sequences, steps=tuple(sorted(weights)), weights=weights.__getitem__, losses=losses,
        **{"stored": "fp32", **values},
    )  # fmt: skip


def release(seed: int = 0, keep: tuple[int, ...] = (0, 16, 64), **values: Any) -> ReplayInputs:
    """An honest release."""
    stated, sequences = recipe(), tokens(order=seed)
    weights, losses = train(stated, sequences, seed, keep)
    return published(stated, sequences, weights, losses, **values)
