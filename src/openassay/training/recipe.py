"""A declarative recipe: data, layers, loss, optimizer, batching and steps, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Discriminator, Field

from openassay.metrics import MetricName

Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveNumber = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A dense layer, torch's default initialisation."""

    layer: Literal["linear"]
    inputs: Positive
    outputs: Positive
    bias: bool = True


@dataclass(frozen=True, kw_only=True)
class Conv1d:
    """A one-dimensional convolution over (batch, channels, length)."""

    layer: Literal["conv1d"]
    inputs: Positive
    outputs: Positive
    kernel: Positive
    stride: Positive = 1
    padding: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True, kw_only=True)
class Gru:
    """A gated recurrent layer over (batch, length, inputs); gives every step's output."""

    layer: Literal["gru"]
    inputs: Positive
    hidden: Positive
    bidirectional: bool = False


@dataclass(frozen=True, kw_only=True)
class Activation:
    """An element-wise non-linearity."""

    layer: Literal["relu", "tanh", "gelu", "sigmoid"]


@dataclass(frozen=True, kw_only=True)
class Reshape:
    """Give each example this shape; -1 once for what is left. `[-1]` flattens."""

    layer: Literal["reshape"]
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Residual:
    """x + layers(x)."""

    layer: Literal["residual"]
    layers: tuple[Layer, ...]


Layer = Annotated[Linear | Conv1d | Gru | Activation | Reshape | Residual, Discriminator("layer")]


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """The arrays of the prepared `data.npz` that are the inputs and the targets."""

    x: str
    y: str


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """How the weights are changed. Defaults that are not given are torch's."""

    name: Literal["sgd", "adam", "adamw"]
    learning_rate: PositiveNumber
    weight_decay: NotNegative = 0.0
    momentum: NotNegative = 0.0
    """SGD only."""
    betas: tuple[NotNegative, NotNegative] = (0.9, 0.999)
    eps: PositiveNumber = 1e-8


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The factor on the learning rate: 0 to 1 over `warmup_steps`, then it stays or falls to 0 at the end."""

    name: Literal["constant", "cosine", "linear"] = "constant"
    warmup_steps: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True, kw_only=True)
class Batching:
    """The examples of a batch."""

    size: Positive
    order: Literal["sequential", "shuffled"]
    """`sequential`: the stored order, starting again when it is through. `shuffled`: a new permutation each epoch."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """When the model is measured, and by what."""

    metric: MetricName
    every: Positive
    """In updates; counted as the release counts its steps: after update number `step`, starting from 0."""
    at_step: Annotated[int, Field(ge=0)]
    """The step whose value is compared with the claim."""


@dataclass(frozen=True, kw_only=True)
class TrainingRecipe:
    """All that decides a training but its seed."""

    train: Arrays
    test: Arrays
    model: tuple[Layer, ...]
    num_parameters: Positive | None = None
    """As published; a model with another count is refused."""
    loss: Literal["cross_entropy", "mean_squared_error"]
    optimizer: Optimizer
    batching: Batching
    steps: Positive
    """Number of updates."""
    evaluation: Evaluation
    schedule: Schedule = Schedule()
    clip_norm: PositiveNumber | None = None

    def __post_init__(self) -> None:
        if self.evaluation.at_step % self.evaluation.every or self.evaluation.at_step >= self.steps:
            raise ValueError("evaluation.at_step must be a multiple of evaluation.every, and below steps")


SMALL = 2_500_000
"""Weights times examples of a batch up to which two trainings together cost about as much as one (docs/decisions/0012)."""


def gains_together(recipe: TrainingRecipe) -> bool:
    """Whether a training is so small that the time goes into starting kernels: several together cost less than one by one."""
    return num_weights(recipe.model) * recipe.batching.size <= SMALL


def num_weights(layers: tuple[Layer, ...]) -> int:
    """Parameters of the layers, biases aside."""
    total = 0
    for layer in layers:
        match layer:
            case Linear():
                total += layer.inputs * layer.outputs
            case Conv1d():
                total += layer.inputs * layer.outputs * layer.kernel
            case Gru():
                total += (1 + layer.bidirectional) * 3 * layer.hidden * (layer.inputs + layer.hidden)
            case Residual():
                total += num_weights(layer.layers)
    return total
