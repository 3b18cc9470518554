"""The training of a declarative recipe: a short torch loop with the order of the data and the randomness in our hands.

Given the same recipe, data, seed and machine it gives the same numbers: one thread, seeded generators, deterministic
algorithms. Step `k` is measured after update number `k` (counted from 0), from weights in evaluation mode.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from openassay.metrics import METRICS
from openassay.training.mismatch import RecipeMismatch, TimeLimit, mismatches
from openassay.training.recipe import (
    Activation,
    Batching,
    Conv1d,
    Gru,
    Layer,
    Linear,
    Optimizer,
    Reshape,
    Residual,
    Schedule,
    TrainingRecipe,
)

PreparedArrays = dict[str, NDArray[np.generic]]
"""The prepared arrays by name."""
Curve = list[tuple[int, float]]
"""(step, value) at the evaluated steps."""


class NotWorthwhile(Exception):
    """The training was not finished, for the reason that it gives."""

    def __init__(self, why: str, curve: Curve) -> None:
        super().__init__(why)
        self.curve = curve


@dataclass(frozen=True, kw_only=True)
class Training:
    """What a training gave."""

    value: float
    """The metric at `evaluation.at_step`, in the metric's own unit; not finite when it diverged."""
    metric_curve: tuple[tuple[int, float], ...]
    loss_curve: tuple[tuple[int, float], ...]
    """Training loss of the batch at the evaluated steps."""
    num_parameters: int


@dataclass(kw_only=True)
class Progress:
    """A training's curves so far, and what became of it where it has ended before its last update."""

    recipe: TrainingRecipe
    y_test: NDArray[np.generic]
    num_parameters: int
    is_doomed: Callable[[Curve], str] | None
    metric_curve: Curve = field(default_factory=list)
    loss_curve: Curve = field(default_factory=list)
    ended: Training | NotWorthwhile | None = None

    def add(self, step: int, loss: float, predicted: NDArray[np.generic]) -> None:
        """Note a step's loss and the predictions' metric. A loss that is not finite ends the training, and so may `is_doomed`."""
        if not math.isfinite(loss):
            self.ended = self.result(math.nan)
            return
        self.metric_curve.append((step, METRICS[self.recipe.evaluation.metric](predicted, self.y_test)))
        self.loss_curve.append((step, loss))
        if self.is_doomed and (why := self.is_doomed(self.metric_curve)):
            self.ended = NotWorthwhile(why, self.metric_curve)

    def result(self, value: float | None = None) -> Training:
        """The training as finished; `value` instead of the metric at the step that the recipe names."""
        return Training(
            value=dict(self.metric_curve)[self.recipe.evaluation.at_step] if value is None else value,
            metric_curve=tuple(self.metric_curve), loss_curve=tuple(self.loss_curve), num_parameters=self.num_parameters,
        )  # fmt: skip


def pick_device(wanted: str) -> str:
    """`cpu`, or `cuda` when it is asked for or there (`auto`)."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise RecipeMismatch("the profile asks for cuda, and torch sees no GPU; use device: auto or cpu")
    return wanted


def train(
    recipe: TrainingRecipe,
    data: PreparedArrays,
    *,
    seed: int,
    device: str = "cpu",
    threads: int = 1,
    timeout_s: float = math.inf,
    is_doomed: Callable[[Curve], str] | None = None,
) -> Training:
    """Train once from scratch. `data` holds the arrays that the recipe names; stops early when the loss is not finite.

    is_doomed: asked with the metric's curve so far after each evaluation; what it answers is why the training is not finished.

    Raises `RecipeMismatch` when data, layers and loss do not fit each other, `TimeLimit` after `timeout_s`, and `NotWorthwhile`.
    """
    deadline = time.monotonic() + timeout_s
    with mismatches():
        be_deterministic(threads)
        model, num_parameters = initial(recipe, seed)
        model.to(device)
        x, y, x_test, y_test = tensors(recipe, data, device)
        criterion = nn.functional.cross_entropy if recipe.loss == "cross_entropy" else nn.functional.mse_loss
        optimizer = make_optimizer(recipe.optimizer, model.parameters())
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, learning_rate_factor(recipe.schedule, recipe.steps))
        progress = Progress(recipe=recipe, y_test=y_test, num_parameters=num_parameters, is_doomed=is_doomed)
        for step, rows in zip(range(recipe.steps), batches(recipe.batching, len(x), seed), strict=False):
            if time.monotonic() > deadline:
                raise TimeLimit
            given = model(x[rows])
            if step == 0:
                check_targets(given, y, recipe.loss)
            loss = criterion(given, y[rows])
            loss.backward()
            if recipe.clip_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
            if step % recipe.evaluation.every == 0:
                model.eval()
                with torch.no_grad():
                    predicted = model(x_test).float().cpu().numpy()
                model.train()
                progress.add(step, loss.item(), predicted)
                if isinstance(progress.ended, NotWorthwhile):
                    raise progress.ended
                if progress.ended:
                    return progress.ended
        return progress.result()


def be_deterministic(threads: int) -> None:
    """Set the number of torch's threads, and what makes it give the same numbers every time, on a GPU in fp32 as on a CPU."""
    torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else cuBLAS may sum in another order
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.allow_tf32 = False  # its own choice: convolutions and recurrent layers in TF32, of 10 bits


def initial(recipe: TrainingRecipe, seed: int) -> tuple[nn.Sequential, int]:
    """The model as a seed makes it, and its number of parameters."""
    torch.manual_seed(seed)
    model = build(recipe.model)
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    if recipe.num_parameters is not None and num_parameters != recipe.num_parameters:
        raise RecipeMismatch(
            f"recipe.num_parameters: the release says {recipe.num_parameters}, the layers have {num_parameters}"
        )
    return model, num_parameters


def tensors(
    recipe: TrainingRecipe, data: PreparedArrays, device: str
) -> tuple[Tensor, Tensor, Tensor, NDArray[np.generic]]:
    """Inputs and targets to train on, the inputs of the test set, and its targets."""

    def array(name: str) -> NDArray[np.generic]:
        if name not in data:
            raise RecipeMismatch(f"the prepared data has no array {name!r}; it has {', '.join(sorted(data))}")
        return data[name]

    def tensor(name: str, kind: torch.dtype = torch.float32) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(array(name))).to(device=device, dtype=kind)

    x, y = (
        tensor(recipe.train.x),
        tensor(recipe.train.y, torch.int64 if recipe.loss == "cross_entropy" else torch.float32),
    )
    if not len(x) == len(y) > 0:
        raise RecipeMismatch(f"there are {len(x)} examples and {len(y)} targets to train on")
    return x, y, tensor(recipe.test.x), np.asarray(array(recipe.test.y))


def check_targets(given: Tensor, y: Tensor, loss: str) -> None:
    """Raise `RecipeMismatch` where the targets cannot be those of such outputs.

    A GPU says so too late, and the squared error stretches shapes until they fit.
    """
    if loss == "mean_squared_error" and given.shape[1:] != y.shape[1:]:
        raise RecipeMismatch(
            f"an example's output has the shape {tuple(given.shape[1:])}, its target {tuple(y.shape[1:])}"
        )
    if loss == "cross_entropy" and (given.ndim < 2 or y.min() < 0 or y.max() >= given.shape[1]):
        raise RecipeMismatch(
            f"the targets are classes {y.min()} to {y.max()}, the outputs of one example have the shape {tuple(given.shape[1:])}"
        )


def batches(batching: Batching, num_examples: int, seed: int) -> Iterator[slice | Tensor]:
    """The rows of each batch, for ever. Sequential batches start at (step * size) mod num_examples."""
    if batching.order == "sequential":
        step = 0
        while True:
            start = (step * batching.size) % num_examples
            yield slice(start, start + batching.size)
            step += 1
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield from torch.randperm(num_examples, generator=generator).split(batching.size)


def learning_rate_factor(schedule: Schedule, steps: int) -> Callable[[int], float]:
    """The factor on the learning rate at an update, counted from 0."""

    def factor(step: int) -> float:
        if step < schedule.warmup_steps:
            return (step + 1) / schedule.warmup_steps
        done = min(1.0, (step - schedule.warmup_steps) / max(1, steps - schedule.warmup_steps))
        return {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 * (1.0 + math.cos(math.pi * done))}[schedule.name]

    return factor


def make_optimizer(
    optimizer: Optimizer, parameters: Iterable[Tensor], *, fused: bool | None = None
) -> torch.optim.Optimizer:
    """torch's optimizer of that name; `fused` is one kernel for all parameters, equal but for rounding."""
    common = {"lr": optimizer.learning_rate, "weight_decay": optimizer.weight_decay, "fused": fused}
    if optimizer.name == "sgd":
        return torch.optim.SGD(parameters, momentum=optimizer.momentum, **common)
    kind = torch.optim.Adam if optimizer.name == "adam" else torch.optim.AdamW
    return kind(parameters, betas=optimizer.betas, eps=optimizer.eps, **common)


def build(layers: tuple[Layer, ...]) -> nn.Sequential:
    """The layers as one module, initialised in their order from torch's global generator."""
    return nn.Sequential(*(_module(layer) for layer in layers))


def _module(layer: Layer) -> nn.Module:
    match layer:
        case Linear():
            return nn.Linear(layer.inputs, layer.outputs, bias=layer.bias)
        case Conv1d():
            return nn.Conv1d(layer.inputs, layer.outputs, layer.kernel, stride=layer.stride, padding=layer.padding)
        case Gru():
            return _GruOutputs(layer.inputs, layer.hidden, batch_first=True, bidirectional=layer.bidirectional)
        case Activation():
            return {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "sigmoid": nn.Sigmoid}[layer.layer]()
        case Reshape():
            return _Reshape(layer.shape)
        case Residual():
            return _Residual(build(layer.layers))


class _GruOutputs(nn.GRU):  # type: ignore[misc]
    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = super().forward(x)[0]
        return outputs


class _Reshape(nn.Module):  # type: ignore[misc]
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], *self.shape)


class _Residual(nn.Module):  # type: ignore[misc]
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.inner(x)
        return result
