"""In what a language model's training may differ from its recipe: one small change each, to probe a replay or explain one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openassay.training.language import Architecture, LanguageOptimizer, LanguageRecipe, LearningRate
from openassay.training.numerics import Items, Tokens
from openassay.training.sequences import Rearranged


@dataclass(frozen=True, kw_only=True)
class Change:
    """A training that differs from the recipe's in one thing."""

    name: str
    field: str
    """The recipe's dotted name, or `tokens`, `gradient`, `overflow`."""
    recipe: LanguageRecipe
    tokens: Tokens
    loss_factor: float = 1.0
    left_out: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Reshuffled(Rearranged):
    """The `span` sequences from `begin` on in another order."""

    span: int
    seed: int
    begin: int = 0

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        return self.begin + np.random.default_rng(self.seed).permutation(self.span)

    def place(self, at: int) -> int:
        """As `Rearranged.place`."""
        return int(self._order[at - self.begin]) if self.begin <= at < self.begin + self.span else at


@dataclass(frozen=True)
class Skipped(Rearranged):
    """The same sequences, with `count` of them left out from sequence `at` on."""

    at: int
    count: int

    def place(self, at: int) -> int:
        """As `Rearranged.place`."""
        return at + self.count if at >= self.at else at


@dataclass(frozen=True)
class Halved:
    """Every sequence cut into two of half its length, side by side."""

    tokens: Tokens
    length: int
    """Of a half's item."""

    def items(self, first: int, count: int) -> Items:
        """As `Tokens.items`."""
        whole = self.tokens.items(first // 2, (first + count + 1) // 2 - first // 2)
        step = whole.shape[1] // 2
        halves = np.stack([whole[:, : self.length], whole[:, step : step + self.length]], axis=1)
        return halves.reshape(-1, self.length)[first % 2 :][:count]


def changes(recipe: LanguageRecipe, tokens: Tokens, *, updates: int, first: int = 0) -> tuple[Change, ...]:
    """The standard changes that this recipe can have and whose weights still fit, for a replay of `updates` from step `first`."""
    found: list[Change] = []

    def add(field: str, name: str, changed: LanguageRecipe = recipe, fed: Tokens = tokens, **values: Any) -> None:
        found.append(Change(name=name, field=field, recipe=changed, tokens=fed, **values))

    for part, named in (
        ("learning_rate", _schedule(recipe.learning_rate)),
        ("optimizer", _optimizer(recipe.optimizer)),
        ("", _whole(recipe)),
        ("architecture", _architecture(recipe.architecture)),
    ):
        for field, name, values in named:
            changed = replace(recipe, **({part: replace(getattr(recipe, part), **values)} if part else values))
            if changed != recipe:
                add(f"{part}.{field}" if part else field, name, changed)
    size, data = recipe.batch_size, recipe.data
    add("tokens", "another order", fed=Reshuffled(tokens, updates * size, 1, first * size))
    add("tokens", "begins one batch later", fed=Skipped(tokens, first * size, size))
    if updates > 8:
        at = first + updates // 4
        add("tokens", f"a batch skipped at update {at}", fed=Skipped(tokens, at * size, size))
    if (shifted := getattr(tokens, "shifted", None)) is not None:
        add("tokens", "cut one token later", fed=shifted(1))
    if size % 2 == 0:
        add("batch_size", "half the batch", replace(recipe, batch_size=size // 2))
    if size % 2 == 0 and data.sequence_length % 2 == 0:
        half = data.sequence_length // 2
        item = half + data.item_length - data.sequence_length
        shorter = replace(recipe, data=replace(data, sequence_length=half, item_length=item), batch_size=2 * size)
        add("data.sequence_length", "half the sequence length", shorter, Halved(tokens, item))
    for parts in (2, 8):
        add("gradient", f"accumulation over {parts} without division", loss_factor=float(parts))
    if recipe.precision == "fp16":
        for count in (1, 2, 4):
            left_out = frozenset(range(first, first + count))
            add("overflow", f"the first {count} updates overflowed", left_out=left_out)
    return tuple(found)


Named = Iterator[tuple[str, str, dict[str, Any]]]
"""A field, the name of the change, and its values."""


def _schedule(rate: LearningRate) -> Named:
    for factor in (1.1, 0.5, 2.0):
        # a schedule's floor and its warm-up's start usually are shares of its peak
        values = {name: getattr(rate, name) * factor for name in ("peak", "minimum", "warmup_minimum")}
        yield "peak", f"learning rate x{factor:g}", values
    if rate.warmup_steps:
        yield "warmup_steps", "warm-up x2", {"warmup_steps": rate.warmup_steps * 2}
        yield "warmup_steps", "warm-up x0.5", {"warmup_steps": rate.warmup_steps // 2}
        yield "warmup_steps", "no warm-up", {"warmup_steps": 0}
        if rate.warmup_minimum:
            yield "warmup_minimum", "warm-up from 0", {"warmup_minimum": 0.0}
    yield "first", "schedule one update off", {"first": "one_step" if rate.first == "zero" else "zero"}
    if rate.decay_steps is not None:
        for factor in (0.5, 2.0):
            yield "decay_steps", f"decay horizon x{factor:g}", {"decay_steps": round(rate.decay_steps * factor)}
        name, minimum = ("decays to 0", 0.0) if rate.minimum else ("decays to a tenth", rate.peak / 10)
        yield "minimum", name, {"minimum": minimum}
        for form in ("cosine_to_min", "cosine_clamped", "linear", "constant"):
            yield "form", f"schedule {form}", {"form": form}


def _optimizer(optimizer: LanguageOptimizer) -> Named:
    if optimizer.weight_decay:
        yield "weight_decay", "no weight decay", {"weight_decay": 0.0}
        yield "weight_decay", "weight decay x0.1", {"weight_decay": optimizer.weight_decay / 10}
        kept = set(optimizer.not_decayed)
        how = "decayed" if "embedding" in kept else "not decayed"
        for name, kinds in (
            ("biases and norms decayed", kept & {"embedding"}),
            ("biases and norms not decayed", kept | {"bias", "norm"}),
            (f"embedding {how}", kept ^ {"embedding"}),
        ):
            yield "not_decayed", name, {"not_decayed": tuple(sorted(kinds))}
        if optimizer.name == "adamw":
            yield "name", "decay through the gradient", {"name": "adam_l2"}
        if optimizer.name == "adam_l2":
            yield "name", "decoupled decay", {"name": "adamw"}
    if optimizer.betas is not None:
        for beta in (0.95, 0.98, 0.99, 0.999):
            yield "betas", f"beta2 {beta}", {"betas": (optimizer.betas[0], beta)}
        yield "betas", "beta1 0.8", {"betas": (0.8, optimizer.betas[1])}
    if optimizer.eps is not None:
        for eps in (1e-8, 1e-6, 1e-5):
            yield "eps", f"eps {eps:g}", {"eps": eps}


def _whole(recipe: LanguageRecipe) -> Named:
    if recipe.clip_norm is None:
        yield "clip_norm", "gradients clipped at 1", {"clip_norm": 1.0}
    else:
        yield "clip_norm", "no clipping", {"clip_norm": None}
        yield "clip_norm", "clipped at half", {"clip_norm": recipe.clip_norm / 2}
        if recipe.clip_warmup_steps:
            yield "clip_warmup_factor", "clipped alike from the start", {"clip_warmup_factor": 1.0}
    if recipe.loss_divisor == "tokens":
        yield "loss_divisor", "losses divided by the labels", {"loss_divisor": "labels"}
    name, weight = ("no z-loss", 0.0) if recipe.z_loss else ("z-loss 1e-4", 1e-4)
    yield "z_loss", name, {"z_loss": weight}


def _architecture(architecture: Architecture) -> Named:
    if architecture.rotary_share is not None:
        for base in (1e4, 5e5):
            yield "rotary_base", f"rotary base {base:g}", {"rotary_base": base}
    heads = architecture.num_heads
    head = architecture.hidden_size // heads
    if architecture.num_kv_heads in {None, heads} and architecture.head_size in {None, head}:
        own = {"num_kv_heads": None, "head_size": None}
        if head % 8 == 0:
            yield "num_heads", "twice the heads", {"num_heads": heads * 2, **own}
        if heads % 2 == 0:
            yield "num_heads", "half the heads", {"num_heads": heads // 2, **own}
    gated = architecture.activation in {"swiglu", "geglu"}
    for activation in ("swiglu", "geglu") if gated else ("gelu", "gelu_tanh", "relu"):
        yield "activation", f"activation {activation}", {"activation": activation}
    if architecture.family != "olmo":
        for eps in (1e-5, 1e-6, 1e-12):
            yield "norm_eps", f"norm eps {eps:g}", {"norm_eps": eps}
    if architecture.family == "gpt_neox":
        for share in (0.25, 1.0):
            yield "rotary_share", f"rotary share {share:g}", {"rotary_share": share}
        form = "sequential" if architecture.parallel_residual else "parallel"
        yield "parallel_residual", f"{form} residual", {"parallel_residual": not architecture.parallel_residual}
        rate = 0.0 if architecture.hidden_dropout else 0.1
        yield "hidden_dropout", f"dropout {rate:g}", {"hidden_dropout": rate, "attention_dropout": rate}
