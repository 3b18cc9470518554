"""How is a language model trained, update by update? A short torch loop with every choice in our hands.

Given the same recipe, weights, tokens, numerics and machine it gives the same bits. An update is counted from 0; the weights
after update k are those of step k + 1. `Numerics` is what may differ between two faithful trainings, and all that may.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor, nn

from openassay.training.initial import EMBEDDINGS, stated_std
from openassay.training.language import Architecture, LanguageRecipe
from openassay.training.mismatch import RecipeMismatch
from openassay.training.numerics import Moments, Numerics, Precision, Tokens, Weights
from openassay.training.schedule import learning_rate

LOGGED_TOGETHER = 64
"""Updates whose numbers wait on the device, so that a GPU need not stop after each."""

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
    """Mean cross-entropy of a token before the update, in nats, without z-loss."""
    gradient_norms: NDArray[np.float64]
    """Before clipping."""
    learning_rates: NDArray[np.float64]
    """0 where fp16 overflowed and the update was left out."""


def build(architecture: Architecture, attention: str = "sdpa") -> Any:
    """The network, with random weights."""
    config = _config(architecture)
    config._attn_implementation = attention
    kind = (
        transformers.T5ForConditionalGeneration
        if architecture.family == "t5"
        else transformers.AutoModelForCausalLM._model_mapping[type(config)]
    )
    model = kind(config)
    if architecture.attention_scale == "inverse":
        for module in model.modules():
            if hasattr(module, "scaling"):
                module.scaling = module.scaling**2
    if architecture.embedding_scale != 1:
        scale = architecture.embedding_scale
        model.get_input_embeddings().register_forward_hook(lambda _module, _given, result: result * scale)
    return model


def _config(architecture: Architecture) -> Any:
    """transformers' description of the network; `RecipeMismatch` for one that it cannot build."""
    a = architecture
    common: dict[str, Any] = {"vocab_size": a.vocab_size, "tie_word_embeddings": a.tied_embeddings, "use_cache": False}
    gates = {"swiglu": "silu", "geglu": "gelu"}
    plain = {"gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "relu": "relu"}
    if a.family == "t5":
        if a.hidden_dropout != a.attention_dropout:
            raise RecipeMismatch("T5 has one dropout rate for all")
        kind = {"relu": "relu", "geglu": "gated-gelu"}.get(a.activation)
        _only("activation", a.activation, kind is not None)
        return transformers.T5Config(
            d_model=a.hidden_size, d_kv=a.hidden_size // a.num_heads, d_ff=a.intermediate_size, num_layers=a.num_layers,
            num_heads=a.num_heads, dropout_rate=a.hidden_dropout, layer_norm_epsilon=a.norm_eps,
            feed_forward_proj=kind, decoder_start_token_id=0, **common,
        )  # fmt: skip
    if a.rotary_share is None:
        raise RecipeMismatch(f"rotary_share: {a.family} has rotary embeddings, and the recipe does not say their share")
    common |= {
        "hidden_size": a.hidden_size, "num_hidden_layers": a.num_layers, "num_attention_heads": a.num_heads,
        "intermediate_size": a.intermediate_size, "max_position_embeddings": a.max_position,
        "attention_dropout": a.attention_dropout, "attention_bias": a.bias,
        "rope_parameters": {"rope_type": "default", "rope_theta": a.rotary_base, "partial_rotary_factor": a.rotary_share},
        "bos_token_id": None, "eos_token_id": None, "pad_token_id": None,
    }  # fmt: skip
    if a.family == "gpt_neox":
        _only("norm", a.norm, a.norm == "layer_norm")
        _only("activation", a.activation, a.activation in plain)
        _only("bias", a.bias, a.bias)
        _only("num_kv_heads", a.num_kv_heads, a.num_kv_heads in {None, a.num_heads})
        return transformers.GPTNeoXConfig(
            hidden_act=plain[a.activation], layer_norm_eps=a.norm_eps, hidden_dropout=a.hidden_dropout,
            use_parallel_residual=a.parallel_residual, **common,
        )  # fmt: skip
    _only("activation", a.activation, a.activation in gates)
    _only("parallel_residual", a.parallel_residual, not a.parallel_residual)
    _only("hidden_dropout", a.hidden_dropout, a.hidden_dropout == 0)
    _only("rotary_share", a.rotary_share, a.rotary_share == 1)
    common |= {"hidden_act": gates[a.activation], "num_key_value_heads": a.num_kv_heads or a.num_heads}
    if a.family == "olmo":
        _only("norm", a.norm, a.norm == "layer_norm_without_weights")
        _only("norm_eps", a.norm_eps, a.norm_eps == 1e-5)
        _only("bias", a.bias, not a.bias)
        return transformers.OlmoConfig(**common)
    _only("norm", a.norm, a.norm == "rms_norm")
    if a.family == "olmo2":
        _only("bias", a.bias, not a.bias)
        _only("qk_norm", a.qk_norm, a.qk_norm)
        return transformers.Olmo2Config(rms_norm_eps=a.norm_eps, **common)
    _only("qk_norm", a.qk_norm, not a.qk_norm)
    return transformers.LlamaConfig(rms_norm_eps=a.norm_eps, mlp_bias=a.bias, **common)


def _only(what: str, value: object, can: bool) -> None:
    if not can:
        raise RecipeMismatch(f"architecture.{what}: this family cannot be built with {value!r}")


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
            wide = stated_std(recipe, name, parameter.ndim) or 0.0
            values = nn.init.trunc_normal_(torch.empty(parameter.shape), std=1.0, a=-cut, b=cut, generator=generator)
            values *= wide / float(values.std())
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
        """`moments` are those of `step`. Two things no recipe has: `loss_factor` multiplies the loss that gradients are taken of;
        updates `left_out` see their batch and change nothing, as when fp16 overflows.
        """
        if recipe.architecture.family == "t5":
            raise RecipeMismatch("T5 can be built but not trained here: its batches need inputs and targets")
        self.recipe, self.numerics, self.device, self.step = recipe, numerics, device, step
        self.loss_factor, self.left_out = loss_factor, frozenset(left_out)
        self.precision: Precision = numerics.precision or recipe.precision
        self.model = build(recipe.architecture, numerics.attention).to(device)
        self.put(weights)
        self.optimizer = self._make_optimizer(moments)
        initial_scale = recipe.loss_scale or 2.0**16
        self.scaler = torch.amp.GradScaler(device, init_scale=initial_scale, enabled=self.precision == "fp16")
        self.num_skipped = 0
        self._first = step
        self._waiting: list[tuple[Tensor, Tensor]] = []
        self._seen: list[tuple[float, float]] = []
        self._rates: list[float] = []

    def put(self, weights: Weights) -> None:
        """Overwrite the weights; moments and schedule stay."""
        parameters = dict(self.model.named_parameters())
        missing = sorted(set(parameters) - set(weights))
        shared = set(self.model.state_dict()) - set(parameters)
        extra = sorted(name for name in weights if name not in parameters and name not in shared)
        if missing or extra:
            raise RecipeMismatch(
                f"the published weights and the recipe's architecture do not fit: {len(missing)} parameters are missing"
                f"{_first_of(missing)}, {len(extra)} are not the recipe's{_first_of(extra)}"
            )
        with torch.no_grad():
            for name, parameter in parameters.items():
                given = np.asarray(weights[name])
                if given.shape != tuple(parameter.shape):
                    raise RecipeMismatch(
                        f"{name}: the recipe's architecture has the shape {tuple(parameter.shape)}, the weights {given.shape}"
                    )
                parameter.copy_(torch.tensor(given))

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """The weights as they are now. On a CPU they change with the next update: copy what must last."""
        return {name: p.detach().float().cpu().numpy() for name, p in self.model.named_parameters()}

    def moments(self) -> Moments:
        """Adam's moments as they are now (copies)."""
        return {
            name: (state["exp_avg"].float().cpu().numpy().copy(), state["exp_avg_sq"].float().cpu().numpy().copy())
            for name, p in self.model.named_parameters()
            if (state := self.optimizer.state.get(p))
        }

    def advance(
        self,
        tokens: Tokens,
        to: int,
        *,
        keep: Collection[int] = (),
        visit: Callable[[int, Weights], None] = lambda _step, _weights: None,
    ) -> None:
        """Train up to step `to`; `visit` gets the weights of every step in `keep`, the present one included."""
        with _threads(self.numerics.threads):
            if self.step in keep:
                visit(self.step, self.weights())
            while self.step < to:
                self._update(tokens)
                if self.step in keep:
                    visit(self.step, self.weights())
        self._flush()

    def log(self) -> Log:
        """Everything seen since the training began."""
        self._flush()
        seen = np.array(self._seen, dtype=float).reshape(-1, 2)
        return Log(
            first=self._first, losses=seen[:, 0], gradient_norms=seen[:, 1], learning_rates=np.array(self._rates)
        )

    def sequence_losses(self, items: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """Mean cross-entropy of each sequence under the present weights, without dropout; shape (sequences,)."""
        found = []
        self.model.eval()
        with torch.no_grad(), _threads(self.numerics.threads):
            for rows in torch.from_numpy(np.asarray(items).astype(np.int64)).split(self.recipe.batch_size):
                inputs, labels = self._split(rows.to(self.device))
                losses = nn.functional.cross_entropy(self._logits(inputs).transpose(1, 2), labels, reduction="none")
                found.append(losses.mean(1).double().cpu().numpy())
        self.model.train()
        return np.concatenate(found)

    def _update(self, tokens: Tokens) -> None:
        recipe, numerics, update = self.recipe, self.numerics, self.step
        size = recipe.batch_size
        items = np.asarray(tokens.items(update * size, size))
        if items.shape != (size, recipe.data.item_length):
            raise RecipeMismatch(
                f"the tokens of update {update} have the shape {items.shape}, the recipe {(size, recipe.data.item_length)}"
            )
        if numerics.permuted is not None:
            items = items[np.random.default_rng((numerics.permuted, update)).permutation(size)]
        if recipe.architecture.attention_dropout or recipe.architecture.hidden_dropout:
            torch.manual_seed(numerics.dropout_seed * 1_000_003 + update)
        rate = learning_rate(
            recipe.learning_rate, update - self.num_skipped
        )  # as DeepSpeed: what is skipped does not count
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["multiplier"]
        loss = self._backward(torch.from_numpy(items.astype(np.int64)))
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip_norm or math.inf)
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

    def _backward(self, items: Tensor) -> Tensor:
        """Gradients of the batch's mean loss; gives that loss."""
        size = len(items)
        micro = self.numerics.micro_batch or size
        total = torch.zeros((), device=self.device)
        for rows in items.split(micro):
            share = len(rows) / size
            inputs, labels = self._split(rows.to(self.device, non_blocking=True))
            with self._autocast():
                logits = self._logits(inputs)
            logits = logits.float().flatten(0, 1)
            loss = nn.functional.cross_entropy(logits, labels.flatten())
            total += loss.detach() * share
            if self.recipe.z_loss:
                loss = loss + self.recipe.z_loss * logits.logsumexp(1).pow(2).mean()
            self.scaler.scale(loss * (share * self.loss_factor)).backward()
        return total

    def _autocast(self) -> Any:
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.split(":")[0], dtype=_DTYPES[self.precision])

    def _split(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and labels: the label of a token is the next one."""
        if self.recipe.data.item_length > self.recipe.data.sequence_length:
            return rows[:, : self.recipe.data.sequence_length], rows[:, 1 : self.recipe.data.sequence_length + 1]
        return rows, rows[:, 1:]

    def _logits(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.model(input_ids=inputs, use_cache=False).logits
        if self.recipe.data.item_length <= self.recipe.data.sequence_length:
            logits = logits[:, :-1]
        scale = self.recipe.architecture.logits_scale
        return logits if scale == 1 else logits * scale

    def _make_optimizer(self, moments: Moments | None) -> torch.optim.Optimizer:
        stated = self.recipe.optimizer
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, kind, parameter in _kinds(self.model):
            decay = 0.0 if kind in stated.not_decayed else stated.weight_decay
            factors = [factor for part, factor in stated.lr_multipliers.items() if part in name]
            groups.setdefault((decay, math.prod(factors)), []).append(parameter)
        listed = [
            {"params": members, "weight_decay": decay, "multiplier": multiplier}
            for (decay, multiplier), members in groups.items()
        ]
        if stated.name == "sgd":
            return torch.optim.SGD(listed, lr=0.0)
        if stated.name == "adafactor":
            raise RecipeMismatch("optimizer.name: adafactor is not built in")
        if stated.betas is None or stated.eps is None:
            raise RecipeMismatch(
                "optimizer: the release does not say betas or eps, and the trainer does not guess them"
            )
        make = torch.optim.AdamW if stated.name == "adamw" else torch.optim.Adam
        optimizer = make(listed, lr=0.0, betas=stated.betas, eps=stated.eps, fused=True)
        if moments is not None:
            for name, parameter in self.model.named_parameters():
                if name not in moments:
                    raise RecipeMismatch(f"the optimizer state has nothing for {name}")
                first, second = (torch.tensor(part).to(parameter) for part in moments[name])
                optimizer.state[parameter] = {
                    "step": torch.tensor(float(self.step), device=self.device), "exp_avg": first, "exp_avg_sq": second,
                }  # fmt: skip
        return optimizer

    def _flush(self) -> None:
        if self._waiting:
            losses, norms = (torch.stack(part).double().cpu().numpy() for part in zip(*self._waiting, strict=True))
            self._seen += zip(losses.tolist(), norms.tolist(), strict=True)
            self._waiting.clear()


def _kinds(model: nn.Module) -> Iterator[tuple[str, str, nn.Parameter]]:
    """Every parameter once, with its name and what it is: `norm`, `bias`, `embedding` or `matrix`."""
    norms = {
        id(p) for module in model.modules() if "Norm" in type(module).__name__ for p in module.parameters(recurse=False)
    }
    for name, parameter in model.named_parameters():
        if id(parameter) in norms:
            yield name, "norm", parameter
        elif name.endswith(".bias"):
            yield name, "bias", parameter
        else:
            yield name, "embedding" if name.endswith(EMBEDDINGS) else "matrix", parameter


def _first_of(names: list[str]) -> str:
    return f" ({names[0]})" if names else ""


@contextlib.contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
