"""In what may a language model's training differ from its recipe? One small change each, to probe a replay or explain one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openassay.training.language import LanguageRecipe
from openassay.training.numerics import Tokens


@dataclass(frozen=True, kw_only=True)
class Change:
    """One other training than the recipe's."""

    name: str
    field: str
    """The recipe's dotted name, or `tokens`, `gradient`, `overflow`."""
    recipe: LanguageRecipe
    tokens: Tokens
    loss_factor: float = 1.0
    left_out: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Reshuffled:
    """The `span` sequences from `begin` on in another order."""

    tokens: Tokens
    span: int
    seed: int
    begin: int = 0

    def items(self, first: int, count: int) -> NDArray[np.integer[Any]]:
        """As `Tokens`."""
        order = self.begin + np.random.default_rng(self.seed).permutation(self.span)
        inside = range(self.begin, self.begin + self.span)
        rows = [int(order[at - self.begin]) if at in inside else at for at in range(first, first + count)]
        return np.concatenate([self.tokens.items(row, 1) for row in rows])


@dataclass(frozen=True)
class Skipped:
    """From sequence `at` on, `count` sequences further."""

    tokens: Tokens
    at: int
    count: int

    def items(self, first: int, count: int) -> NDArray[np.integer[Any]]:
        """As `Tokens`."""
        rows = [at + self.count if at >= self.at else at for at in range(first, first + count)]
        if rows[-1] - rows[0] == count - 1:
            return self.tokens.items(rows[0], count)
        return np.concatenate([self.tokens.items(row, 1) for row in rows])


@dataclass(frozen=True)
class Halved:
    """Every sequence cut into two of half its length, side by side."""

    tokens: Tokens
    length: int
    """Of a half's item."""

    def items(self, first: int, count: int) -> NDArray[np.integer[Any]]:
        """As `Tokens`."""
        whole = self.tokens.items(first // 2, (first + count + 1) // 2 - first // 2)
        step = whole.shape[1] // 2
        halves = np.stack([whole[:, : self.length], whole[:, step : step + self.length]], axis=1)
        return halves.reshape(-1, self.length)[first % 2 :][:count]


Do = Callable[[LanguageRecipe], LanguageRecipe]


def changes(recipe: LanguageRecipe, tokens: Tokens, *, updates: int, first: int = 0) -> tuple[Change, ...]:
    """The standard changes that this recipe can have and whose weights still fit, for a replay of `updates` from step `first`."""
    found = [
        Change(name=name, field=field, recipe=changed, tokens=tokens)
        for field, name, changed in (*_schedule(recipe), *_optimizer(recipe), *_architecture(recipe))
        if changed != recipe
    ]
    size = recipe.batch_size
    span = updates * size

    def other_tokens(name: str, other: Tokens, changed: LanguageRecipe = recipe, field: str = "tokens") -> None:
        found.append(Change(name=name, field=field, recipe=changed, tokens=other))

    other_tokens("another order", Reshuffled(tokens, span, 1, first * size))
    other_tokens("begins one batch later", Skipped(tokens, first * size, size))
    if updates > 8:
        at = first + updates // 4
        other_tokens(f"a batch skipped at update {at}", Skipped(tokens, at * size, size))
    if (shifted := getattr(tokens, "shifted", None)) is not None:
        other_tokens("cut one token later", shifted(1))
    if size % 2 == 0:
        other_tokens("half the batch", tokens, replace(recipe, batch_size=size // 2), "batch_size")
        data = recipe.data
        if data.sequence_length % 2 == 0:
            half = data.sequence_length // 2
            item = half + data.item_length - data.sequence_length
            shorter = replace(recipe, data=replace(data, sequence_length=half, item_length=item), batch_size=2 * size)
            other_tokens("half the sequence length", Halved(tokens, item), shorter, "data.sequence_length")
    found += [
        Change(name=f"accumulation over {parts} without division", field="gradient", recipe=recipe, tokens=tokens,
               loss_factor=float(parts))
        for parts in (2, 8)
    ]  # fmt: skip
    if recipe.precision == "fp16":
        found += [
            Change(name=f"the first {count} updates overflowed", field="overflow", recipe=recipe, tokens=tokens,
                   left_out=frozenset(range(first, first + count)))
            for count in (1, 2, 4)
        ]  # fmt: skip
    return tuple(found)


Named = Iterator[tuple[str, str, LanguageRecipe]]


def _schedule(recipe: LanguageRecipe) -> Named:
    rate = recipe.learning_rate

    def other(field: str, name: str, /, **values: Any) -> tuple[str, str, LanguageRecipe]:
        return f"learning_rate.{field}", name, replace(recipe, learning_rate=replace(rate, **values))

    for factor in (1.1, 0.5, 2.0):
        # a schedule's floor and its warm-up's start usually are shares of its peak
        yield other(
            "peak", f"learning rate x{factor:g}", peak=rate.peak * factor, minimum=rate.minimum * factor,
            warmup_minimum=rate.warmup_minimum * factor,
        )  # fmt: skip
    if rate.warmup_steps:
        yield other("warmup_steps", "warm-up x2", warmup_steps=rate.warmup_steps * 2)
        yield other("warmup_steps", "warm-up x0.5", warmup_steps=rate.warmup_steps // 2)
        yield other("warmup_steps", "no warm-up", warmup_steps=0)
        if rate.warmup_minimum:
            yield other("warmup_minimum", "warm-up from 0", warmup_minimum=0.0)
    yield other("first", "schedule one update off", first="one_step" if rate.first == "zero" else "zero")
    if rate.decay_steps is not None:
        for factor in (0.5, 2.0):
            yield other("decay_steps", f"decay horizon x{factor:g}", decay_steps=round(rate.decay_steps * factor))
        yield other(
            "minimum",
            "decays to 0" if rate.minimum else "decays to a tenth",
            minimum=0.0 if rate.minimum else rate.peak / 10,
        )
        for form in ("cosine_to_min", "cosine_clamped", "linear", "constant"):
            yield other("form", f"schedule {form}", form=form)


def _optimizer(recipe: LanguageRecipe) -> Named:
    optimizer = recipe.optimizer

    def other(field: str, name: str, /, **values: Any) -> tuple[str, str, LanguageRecipe]:
        return f"optimizer.{field}", name, replace(recipe, optimizer=replace(optimizer, **values))

    if optimizer.weight_decay:
        yield other("weight_decay", "no weight decay", weight_decay=0.0)
        yield other("weight_decay", "weight decay x0.1", weight_decay=optimizer.weight_decay / 10)
        yield other(
            "not_decayed",
            "biases and norms decayed",
            not_decayed=tuple(k for k in optimizer.not_decayed if k == "embedding"),
        )
        yield other(
            "not_decayed",
            "biases and norms not decayed",
            not_decayed=tuple(sorted({*optimizer.not_decayed, "bias", "norm"})),
        )
        kept = {*optimizer.not_decayed} ^ {"embedding"}
        how = "not decayed" if "embedding" in kept else "decayed"
        yield other("not_decayed", f"embedding {how}", not_decayed=tuple(sorted(kept)))
        kind = {"adamw": "adam_l2", "adam_l2": "adamw"}.get(optimizer.name)
        if kind:
            yield other("name", "decay through the gradient" if kind == "adam_l2" else "decoupled decay", name=kind)
    if optimizer.betas is not None:
        for beta in (0.95, 0.98, 0.99, 0.999):
            yield other("betas", f"beta2 {beta}", betas=(optimizer.betas[0], beta))
        yield other("betas", "beta1 0.8", betas=(0.8, optimizer.betas[1]))
    if optimizer.eps is not None:
        for eps in (1e-8, 1e-6, 1e-5):
            yield other("eps", f"eps {eps:g}", eps=eps)
    if recipe.clip_norm is None:
        yield "clip_norm", "gradients clipped at 1", replace(recipe, clip_norm=1.0)
    else:
        yield "clip_norm", "no clipping", replace(recipe, clip_norm=None)
        yield "clip_norm", "clipped at half", replace(recipe, clip_norm=recipe.clip_norm / 2)
        if recipe.clip_warmup_steps:
            yield "clip_warmup_factor", "clipped alike from the start", replace(recipe, clip_warmup_factor=1.0)
    if recipe.loss_divisor == "tokens":
        yield "loss_divisor", "losses divided by the labels", replace(recipe, loss_divisor="labels")
    yield (
        "z_loss",
        "no z-loss" if recipe.z_loss else "z-loss 1e-4",
        replace(recipe, z_loss=0.0 if recipe.z_loss else 1e-4),
    )


def _architecture(recipe: LanguageRecipe) -> Named:
    architecture = recipe.architecture

    def other(field: str, name: str, /, **values: Any) -> tuple[str, str, LanguageRecipe]:
        return f"architecture.{field}", name, replace(recipe, architecture=replace(architecture, **values))

    if architecture.rotary_share is not None:
        for base in (1e4, 5e5):
            yield other("rotary_base", f"rotary base {base:g}", rotary_base=base)
    head = architecture.hidden_size // architecture.num_heads
    if architecture.num_kv_heads in {None, architecture.num_heads} and architecture.head_size in {None, head}:
        own = {"num_kv_heads": None, "head_size": None}
        if head % 8 == 0:
            yield other("num_heads", "twice the heads", num_heads=architecture.num_heads * 2, **own)
        if architecture.num_heads % 2 == 0:
            yield other("num_heads", "half the heads", num_heads=architecture.num_heads // 2, **own)
    gated = architecture.activation in {"swiglu", "geglu"}
    for activation in ("swiglu", "geglu") if gated else ("gelu", "gelu_tanh", "relu"):
        yield other("activation", f"activation {activation}", activation=activation)
    if architecture.family != "olmo":
        for eps in (1e-5, 1e-6, 1e-12):
            yield other("norm_eps", f"norm eps {eps:g}", norm_eps=eps)
    if architecture.family == "gpt_neox":
        for share in (0.25, 1.0):
            yield other("rotary_share", f"rotary share {share:g}", rotary_share=share)
        form = "sequential" if architecture.parallel_residual else "parallel"
        yield other("parallel_residual", f"{form} residual", parallel_residual=not architecture.parallel_residual)
        rate = 0.0 if architecture.hidden_dropout else 0.1
        yield other("hidden_dropout", f"dropout {rate:g}", hidden_dropout=rate, attention_dropout=rate)
