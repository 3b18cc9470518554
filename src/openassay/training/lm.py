"""The training of a language model, update by update: a short torch loop with every choice in our hands.

Given the same recipe, weights, tokens, numerics and machine it gives the same bits on a CPU; on a GPU the gradients of `sdpa`
attention may differ in their rounding (docs/gpu.md). An update is counted from 0; the weights
after update k are those of step k + 1. `Numerics` is what may differ between two faithful trainings, and all that may.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor, nn

from openassay.training.batch import bears_loss, check_items, seen
from openassay.training.initial import stated_std
from openassay.training.language import ADAM, LanguageRecipe
from openassay.training.mismatch import RecipeMismatch
from openassay.training.network import build
from openassay.training.numerics import Items, Moments, Numerics, Precision, Tokens, Weights
from openassay.training.optimizers import make_optimizer
from openassay.training.schedule import clip_norm, learning_rate

LOGGED_TOGETHER = 64
"""Updates whose numbers wait on the device, so that a GPU need not stop after each."""
AT_ONCE = {"cpu": 3 * 2**28}
"""Numbers that one pass may keep for its gradients: three gigabytes of them."""
SHARE_OF_GPU = 4
"""On a GPU, one pass may take one part of so many of its memory."""
IGNORED = -100
"""The label of a position without loss."""
WITHOUT_EFFECT = {
    "steps": "how long a training lasts is said to `advance`",
    "tokens_total": "as `steps`",
    "checkpoints": "as `steps`",
    "initialisation.*": "the weights are given; `initial_weights` draws them",
    **dict.fromkeys(("data.files", "data.order", "data.seed", "data.split"), "the tokens are given, in their order"),
    "data.token_type": "the tokens are given",
    "data.eos_token_id": "the tokens hold it; only where spans are masked is it put at their end",
    "data.pad_token_id": "whole sequences have none; only an encoder and decoder is told",
    "architecture.max_position": "rotary and relative positions have no table; the length of the sequences counts",
    "learning_rate.minimum": "of the schedules that fall to it: `constant` and `inverse_sqrt` do not",
    "learning_rate.decay_steps": "as its minimum",
    "loss_scale": "of fp16 only",
}
"""Values of a recipe that bear on no update, or only on those that it says. All others change the training or are refused."""

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_RENAMED = {"embed_out.weight": "lm_head.weight"}
"""Names that transformers has changed since."""
_NOT_WEIGHTS = ("inv_freq", "masked_bias", ".attention.bias")
"""Buffers that older files hold beside the weights."""


@dataclass(frozen=True, kw_only=True)
class Log:
    """What was seen at each update, in their order."""

    first: int
    """The first update."""
    losses: NDArray[np.float64]
    """Cross-entropy of a token before the update, in nats, without z-loss: the sum over the batch by the recipe's divisor."""
    gradient_norms: NDArray[np.float64]
    """Before clipping."""
    learning_rates: NDArray[np.float64]
    """0 where fp16 overflowed and the update was left out."""


def initial_weights(recipe: LanguageRecipe, seed: int) -> dict[str, NDArray[np.float32]]:
    """Weights drawn from the stated initialisation: normal matrices, biases of 0, norms of 1."""
    generator = torch.Generator().manual_seed(seed)
    cut = recipe.initialisation.truncated_at
    found = {}
    for name, parameter in build(recipe.architecture).named_parameters():
        std = stated_std(recipe, name, parameter.ndim)
        if parameter.ndim < 2:
            values = torch.full(parameter.shape, 0.0 if name.endswith("bias") else 1.0)
        elif std is None:
            raise RecipeMismatch(f"initialisation: the recipe does not say how {name} begins")
        elif cut is not None:
            values = nn.init.trunc_normal_(torch.empty(parameter.shape), std=1.0, a=-cut, b=cut, generator=generator)
            values *= std / float(values.std())
        else:
            values = torch.randn(parameter.shape, generator=generator) * std
        found[name] = values.numpy()
    return found


def current_name(name: str) -> str:
    """A parameter's name as transformers has it now."""
    return _RENAMED.get(name, name)


def read_safetensors(path: Path) -> tuple[dict[str, NDArray[np.float32]], Precision]:
    """The weights of a file, in fp32, and the coarsest precision in which they are stored."""
    found: dict[str, NDArray[np.float32]] = {}
    kinds = set()
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 - not a mapping
            tensor = file.get_tensor(name)
            if not name.endswith(_NOT_WEIGHTS):
                kinds.add(tensor.dtype)
                found[current_name(name)] = tensor.float().numpy()
    order: tuple[Precision, ...] = ("bf16", "fp16", "fp32")
    stored: Precision = next((name for name in order if _DTYPES[name] in kinds), "fp32")
    return found, stored


class LanguageTraining:
    """A training under way: weights, moments, schedule and log."""

    rank, num_devices = 0, 1
    """Which device of how many."""

    def __init__(
        self,
        recipe: LanguageRecipe,
        weights: Weights,
        *,
        step: int = 0,
        moments: Moments | None = None,
        numerics: Numerics = Numerics(),  # noqa: B008 - frozen
        device: str = "cpu",
        loss_factor: float = 1.0,
        left_out: Collection[int] = (),
    ) -> None:
        """Begin at `step` with these weights and its `moments`. Two things no recipe has: `loss_factor` multiplies the loss that
        gradients are taken of; updates `left_out` see their batch and change nothing, as when fp16 overflows.
        """
        check_items(recipe)
        self.recipe, self.numerics, self.device, self.step = recipe, numerics, device, step
        self.loss_factor, self.left_out = loss_factor, frozenset(left_out)
        self.precision: Precision = numerics.precision or recipe.precision
        self._kind = device.split(":", maxsplit=1)[0]
        self.model = self._model(weights)
        self.optimizer = self._make_optimizer(moments)
        initial_scale = recipe.loss_scale or 2.0**16
        self.scaler = torch.amp.GradScaler(self._kind, init_scale=initial_scale, enabled=self.precision == "fp16")
        self.num_skipped = 0
        self._first = step
        self._waiting: list[tuple[Tensor, Tensor]] = []
        self._seen: list[tuple[float, float]] = []
        self._rates: list[float] = []

    def _model(self, weights: Weights) -> Any:
        """The network with these weights, on its device."""
        model = build(self.recipe.architecture, self.numerics.attention).to(self.device)
        self._put(model, weights)
        return model

    def put(self, weights: Weights) -> None:
        """Overwrite the weights; moments and schedule stay."""
        self._put(self.model, weights)

    def _put(self, model: Any, weights: Weights) -> None:
        parameters = dict(model.named_parameters())
        missing = sorted(set(parameters) - set(weights))
        shared = set(model.state_dict()) - set(parameters)
        extra = sorted(name for name in weights if name not in parameters and name not in shared)
        if missing or extra:
            raise RecipeMismatch(
                "the published weights and the recipe's architecture do not fit: "
                f"{_listed(missing)} parameters are missing, {_listed(extra)} are not the recipe's"
            )
        with torch.no_grad():
            for name, parameter in parameters.items():
                given = np.asarray(weights[name])
                if given.shape != tuple(parameter.shape):
                    raise RecipeMismatch(
                        f"{name}: the recipe's architecture has the shape {tuple(parameter.shape)}, the weights {given.shape}"
                    )
                parameter.copy_(self._placed(torch.tensor(given), parameter))

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """The weights as they are now. On a CPU they change with the next update: copy what must last."""
        return {name: self._whole(p.detach()).float().cpu().numpy() for name, p in self.model.named_parameters()}

    def moments(self) -> Moments:
        """Adam's moments as they are now (copies); none of another optimizer."""
        if self.recipe.optimizer.name not in ADAM:
            return {}
        found: Moments = {}
        for name, p in self.model.named_parameters():
            if state := self.optimizer.state.get(p):
                first, second = (self._whole(state[key]).float().cpu() for key in ("exp_avg", "exp_avg_sq"))
                found[name] = first.numpy().copy(), second.numpy().copy()
        return found

    def advance(self, tokens: Tokens, to: int) -> None:
        """Train up to step `to`."""
        with _threads(self.numerics.threads):
            while self.step < to:
                self.update(tokens.items(self.step * self.recipe.batch_size, self.recipe.batch_size))
        self._flush()

    def log(self) -> Log:
        """Everything seen since the training began."""
        self._flush()
        seen = np.array(self._seen, dtype=float).reshape(-1, 2)
        rates = np.array(self._rates)
        return Log(first=self._first, losses=seen[:, 0], gradient_norms=seen[:, 1], learning_rates=rates)

    def sequence_losses(self, items: Items) -> NDArray[np.float64]:
        """Mean cross-entropy of each sequence under the present weights, without dropout; shape (sequences,)."""
        found = []
        self.model.eval()
        whole = torch.from_numpy(seen(self.recipe, np.asarray(items), 0, self.numerics.dropout_seed).astype(np.int64))
        with torch.no_grad(), _threads(self.numerics.threads):
            for rows in whole.split(min(self.recipe.batch_size, self._at_once())):
                inputs, labels = self._split(rows.to(self.device))
                losses = nn.functional.cross_entropy(self._logits(inputs).transpose(1, 2), labels, reduction="none")
                bearing = labels != IGNORED
                means = losses.mean(1) if bearing.all() else losses.sum(1) / bearing.sum(1).clamp(min=1)
                found.append(means.double().cpu().numpy())
        self.model.train()
        return np.concatenate(found)

    def update(self, items: Items) -> None:
        """Train one update, on its whole batch."""
        recipe, numerics, update = self.recipe, self.numerics, self.step
        size, items = recipe.batch_size, np.asarray(items)
        if items.shape != (size, recipe.data.item_length):
            raise RecipeMismatch(
                f"the tokens of update {update} have the shape {items.shape}, the recipe {(size, recipe.data.item_length)}"
            )
        items = seen(recipe, items, update * size, numerics.dropout_seed)
        if numerics.permuted is not None:
            items = items[np.random.default_rng((numerics.permuted, update)).permutation(size)]
        if recipe.architecture.attention_dropout or recipe.architecture.hidden_dropout:
            torch.manual_seed((numerics.dropout_seed * 1_000_003 + update) * self.num_devices + self.rank)
        counted = update - self.num_skipped  # as DeepSpeed: what is skipped does not count
        rate = learning_rate(recipe.learning_rate, counted)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["multiplier"]
        loss = self._mean(self._backward(items))
        self.scaler.unscale_(self.optimizer)
        norm = self._whole(nn.utils.clip_grad_norm_(self.model.parameters(), clip_norm(recipe, counted)))
        scale = self.scaler.get_scale() if self.precision == "fp16" else 0.0
        if update not in self.left_out:
            self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        if update in self.left_out or (self.precision == "fp16" and self.scaler.get_scale() < scale):
            self.num_skipped += 1
            rate = 0.0
        self._waiting.append((loss, norm))
        self._rates.append(rate)
        self.step += 1
        if len(self._waiting) >= LOGGED_TOGETHER:
            self._flush()

    def _backward(self, items: Items) -> Tensor:
        """Take the gradients of the batch's mean loss, and return that loss. Several devices take a part each, and average.

        Where all labels bear loss and it is divided by their number, the parts are means by torch; elsewhere sums by the divisor.
        """
        rows, is_t5 = torch.from_numpy(items.astype(np.int64)), self.recipe.architecture.family == "t5"
        labels, kept = self._split(rows)[1], bears_loss(self.recipe, items)
        if kept is not None:
            labels = labels.masked_fill(~torch.from_numpy(kept)[:, None], IGNORED)
        by_tokens = self.recipe.loss_divisor == "tokens"
        counted = (labels if is_t5 else rows).numel() if by_tokens else max(1, int((labels != IGNORED).sum()))
        means = kept is None and not by_tokens and not is_t5
        divisor = 1.0 if means else counted / self.num_devices
        rows, labels = (of.chunk(self.num_devices)[self.rank] for of in (rows, labels))
        total, size = torch.zeros((), device=self.device), len(rows)
        micro = min(self.numerics.micro_batch or size, self._at_once())
        for own, wanted in zip(rows.split(micro), labels.split(micro), strict=True):
            with self._autocast():
                logits = self._logits(self._split(own.to(self.device, non_blocking=True))[0])
            logits, flat = logits.float().flatten(0, 1), wanted.to(self.device, non_blocking=True).flatten()
            share = len(own) / size if means else 1.0
            reduction = "mean" if means else "sum"
            loss = nn.functional.cross_entropy(logits, flat, reduction=reduction, ignore_index=IGNORED) / divisor
            total += loss.detach() * share
            if self.recipe.z_loss:
                squares = logits.logsumexp(1).pow(2)
                whole = squares.mean() if means else (squares * (flat != IGNORED)).sum()
                loss = loss + self.recipe.z_loss * whole / divisor
            del logits  # the largest tensor of a pass, and not needed any more
            self.scaler.scale(loss * (share * self.loss_factor)).backward()
        return total

    def _at_once(self) -> int:
        """Sequences of one pass that fit into memory: about three copies of the logits and 17 of each layer's width a token; on a
        GPU, as measured (docs/gpu.md), 4 and 21 (12 with autocast), and two of eager attention's squares.
        """
        data, architecture = self.recipe.data, self.recipe.architecture
        length, targets = data.sequence_length, data.target_length or 0
        words = architecture.vocab_size * (targets or length)
        widths = architecture.hidden_size * architecture.num_layers * (length + targets)
        if self._kind == "cpu":
            return max(1, AT_ONCE["cpu"] // (3 * words + 17 * widths))
        squares = architecture.num_heads * architecture.num_layers * (length + targets) ** 2
        numbers = 4 * words + (21 if self.precision == "fp32" else 12) * widths
        numbers += 2 * squares if self.numerics.attention == "eager" else 0
        room: int = torch.cuda.get_device_properties(self.device).total_memory // (4 * SHARE_OF_GPU)
        return max(1, room // numbers)

    def _autocast(self) -> Any:
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self._kind, dtype=_DTYPES[self.precision])

    def _split(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and labels: the label of a token is the next one. An encoder-decoder's inputs hold its targets."""
        data = self.recipe.data
        if self.recipe.architecture.family == "t5":
            labels = rows[:, data.sequence_length :]
            return rows, labels.masked_fill(labels == data.pad_token_id, IGNORED)
        if data.item_length > data.sequence_length:
            return rows[:, : data.sequence_length], rows[:, 1 : data.sequence_length + 1]
        return rows, rows[:, 1:]

    def _logits(self, inputs: Tensor) -> Tensor:
        data, scale = self.recipe.data, self.recipe.architecture.logits_scale
        if self.recipe.architecture.family == "t5":
            text, targets = inputs.tensor_split([data.sequence_length], dim=1)
            shifted = nn.functional.pad(targets[:, :-1], (1, 0), value=data.pad_token_id)
            there = (text != data.pad_token_id).long()
            logits: Tensor = self.model(
                input_ids=text, attention_mask=there, decoder_input_ids=shifted, use_cache=False
            ).logits
        else:
            logits = self.model(input_ids=inputs, use_cache=False).logits
            if data.item_length <= data.sequence_length:
                logits = logits[:, :-1]
        return logits if scale == 1 else logits * scale

    def _make_optimizer(self, moments: Moments | None) -> torch.optim.Optimizer:
        optimizer = make_optimizer(self.recipe.optimizer, self.model)
        if moments is None:
            return optimizer
        if self.recipe.optimizer.name not in ADAM:
            raise RecipeMismatch(f"the optimizer state of {self.recipe.optimizer.name} cannot be taken, only Adam's")
        for name, parameter in self.model.named_parameters():
            if name not in moments:
                raise RecipeMismatch(f"the optimizer state has nothing for {name}")
            first, second = (self._placed(torch.tensor(part), parameter) for part in moments[name])
            optimizer.state[parameter] = {
                "step": torch.tensor(float(self.step), device=self.device), "exp_avg": first, "exp_avg_sq": second,
            }  # fmt: skip
        return optimizer

    # What several devices do otherwise ------------------------------------------------------------------------------------

    def _whole(self, tensor: Tensor) -> Tensor:
        """All of a parameter or of what belongs to it."""
        return tensor

    def _placed(self, whole: Tensor, like: Tensor) -> Tensor:
        """The part of it that lies here, as that of `like`."""
        return whole.to(like)

    def _mean(self, loss: Tensor) -> Tensor:
        """Of all devices' parts of the batch."""
        return loss

    def _flush(self) -> None:
        if self._waiting:
            losses, norms = (torch.stack(part).double().cpu().numpy() for part in zip(*self._waiting, strict=True))
            self._seen += zip(losses.tolist(), norms.tolist(), strict=True)
            self._waiting.clear()


def _listed(names: list[str]) -> str:
    return f"{len(names)} ({names[0]})" if names else "0"


@contextlib.contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
