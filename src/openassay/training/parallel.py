"""How are several trainings done in one computation? Those that differ only in their seed, data and a few numbers.

A member has the initial weights, batches and settings that `trainer.train` would give it, and the same numbers but for rounding:
its sums are added in another order. See docs/decisions/0012.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from openassay.metrics import METRICS
from openassay.training import trainer
from openassay.training.mismatch import RecipeMismatch
from openassay.training.recipe import Optimizer, Schedule, TrainingRecipe
from openassay.training.stacked import Layers, Weight
from openassay.training.trainer import NotWorthwhile, TimeLimit, Training

MEASURED_AT_ONCE = 1000
"""Test examples of each member that go through the layers at a time: the room for them is kept."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One of the trainings, as `trainer.train` takes it."""

    recipe: TrainingRecipe
    data: dict[str, NDArray[np.generic]]
    seed: int
    is_doomed: Callable[[list[tuple[int, float]]], str] | None = None


Ended = Training | NotWorthwhile | TimeLimit
"""What became of a member; the exceptions as `trainer.train` would raise them."""


def train_together(
    members: Sequence[Member], *, device: str = "cpu", threads: int = 1, timeout_s: float = math.inf
) -> list[Ended]:
    """Train all from scratch. A member that diverges or is doomed ends for itself; the others go on.

    Raises `RecipeMismatch` when data, layers and loss do not fit each other, or the members one another.
    """
    with trainer.mismatches(), torch.no_grad():
        return _Group(members, device, threads).run(time.monotonic() + timeout_s)


def _common(recipe: TrainingRecipe) -> TrainingRecipe:
    """What the members of a group must have in common."""
    return replace(recipe, optimizer=Optimizer(name="sgd", learning_rate=1.0), schedule=Schedule(), clip_norm=None)


class _Group:
    def __init__(self, members: Sequence[Member], device: str, threads: int) -> None:
        trainer.settle(threads)
        self.members = members
        self.recipe = recipe = members[0].recipe
        if any(_common(member.recipe) != _common(recipe) for member in members):
            raise RecipeMismatch(
                "trainings that are done together may differ in seed, data, optimizer, schedule and clip_norm only"
            )
        models, counts = zip(*(trainer.initial(recipe, member.seed) for member in members), strict=True)
        self.num_parameters: int = counts[0]
        weights = zip(*(model.parameters() for model in models), strict=True)
        self.weights: list[Weight] = [(of, torch.zeros_like(of)) for of in (torch.stack(w).to(device) for w in weights)]
        self.layers = Layers(recipe.model, iter(self.weights))
        given = [trainer.tensors(member.recipe, member.data, device) for member in members]
        self.x, self.y, self.x_test = (_of_all([of[i] for of in given]) for i in range(3))
        self.y_test = [of[3] for of in given]
        self.optimizers = self._optimizers()
        limits = [member.recipe.clip_norm for member in members]
        self.limits = (
            None if limits == [None] * len(limits) else torch.tensor([x or math.inf for x in limits]).to(device)
        )
        self.metric_curves: list[list[tuple[int, float]]] = [[] for _ in members]
        self.loss_curves: list[list[tuple[int, float]]] = [[] for _ in members]
        self.ended: dict[int, Ended] = {}

    def _optimizers(self) -> list[tuple[torch.optim.Optimizer, float, Callable[[int], float]]]:
        """One for each run of members with the same settings, its learning rate and the factor on that at each update."""
        found = []
        settings = [(member.recipe.optimizer, member.recipe.schedule) for member in self.members]
        for (optimizer, schedule), numbers in itertools.groupby(range(len(settings)), settings.__getitem__):
            own = list(numbers)
            parameters = []
            for value, grad in self.weights:
                parameters.append(value[own[0] : own[-1] + 1])
                parameters[-1].grad = grad[own[0] : own[-1] + 1]
            factor = trainer.learning_rate_factor(schedule, self.recipe.steps)
            found.append((trainer.make_optimizer(optimizer, parameters, fused=True), optimizer.learning_rate, factor))
        return found

    def _rows(self) -> Iterator[slice | tuple[Tensor, Tensor]]:
        """Which examples each member takes, for ever."""
        size = self.x.shape[1]
        of_members = [trainer.batches(self.recipe.batching, size, member.seed) for member in self.members]
        each = torch.arange(len(self.members)).unsqueeze(1)
        for rows in zip(*of_members, strict=True):
            # in the stored order, all members take the same
            yield rows[0] if isinstance(rows[0], slice) else (each, torch.stack(rows))

    def run(self, deadline: float) -> list[Ended]:
        recipe = self.recipe
        for step, rows in zip(range(recipe.steps), self._rows(), strict=False):
            if time.monotonic() > deadline:
                return [self.ended.get(number, TimeLimit()) for number in range(len(self.members))]
            x, y = (of[:, rows] if isinstance(rows, slice) else of[rows] for of in (self.x, self.y))
            given = self.layers.forward(x)
            if step == 0:
                for of_member, targets in zip(given, self.y, strict=True):
                    trainer.check_targets(of_member, targets, recipe.loss)
            self.layers.backward(_gradient(given, y, recipe.loss))
            self._clip()
            for optimizer, learning_rate, factor in self.optimizers:
                optimizer.param_groups[0]["lr"] = learning_rate * factor(step)
                optimizer.step()
            if step % recipe.evaluation.every == 0:
                self._evaluate(step, _losses(given, y, recipe.loss).tolist())
                if len(self.ended) == len(self.members):
                    break
        return [self.ended.get(number) or self._result(number) for number in range(len(self.members))]

    def _clip(self) -> None:
        """As torch's clip_grad_norm_, for each member by itself."""
        if self.limits is None:
            return
        norms = torch.stack([grad.flatten(1).norm(dim=1) for _, grad in self.weights]).norm(dim=0)
        factors = torch.where(self.limits.isinf(), 1.0, (self.limits / (norms + 1e-6)).clamp(max=1.0))
        for _, grad in self.weights:
            grad.mul_(factors.view(-1, *[1] * (grad.ndim - 1)))

    def _evaluate(self, step: int, losses: list[float]) -> None:
        metric = METRICS[self.recipe.evaluation.metric]
        parts = [self.layers.forward(part).float().cpu().clone() for part in self.x_test.split(MEASURED_AT_ONCE, 1)]
        predicted = torch.cat(parts, 1).numpy()
        for number, member in enumerate(self.members):
            if number in self.ended:
                continue
            if not math.isfinite(losses[number]):
                self.ended[number] = self._result(number, math.nan)
                continue
            curve = self.metric_curves[number]
            curve.append((step, metric(predicted[number], self.y_test[number])))
            self.loss_curves[number].append((step, losses[number]))
            if member.is_doomed and (why := member.is_doomed(curve)):
                self.ended[number] = NotWorthwhile(why, curve)

    def _result(self, number: int, value: float | None = None) -> Training:
        curve = self.metric_curves[number]
        return Training(
            value=dict(curve)[self.recipe.evaluation.at_step] if value is None else value, metric_curve=tuple(curve),
            loss_curve=tuple(self.loss_curves[number]), num_parameters=self.num_parameters,
        )  # fmt: skip


def _of_all(tensors: list[Tensor]) -> Tensor:
    """(members, ...); one copy where all have the same."""
    first = tensors[0]
    if all(other is first or torch.equal(other, first) for other in tensors):
        return first.expand(len(tensors), *first.shape)
    return torch.stack(tensors)


def _gradient(given: Tensor, y: Tensor, loss: str) -> Tensor:
    """Of each member's mean loss, by its outputs."""
    if loss == "mean_squared_error":
        return (given - y).mul_(2 / given[0].numel())
    # rounded as torch's cross_entropy does; ten times as fast over the first axis as over a short last one
    gradient = torch.log_softmax(given.movedim(2, 0).contiguous(), 0).exp_()
    right = y.reshape(1, *y.shape)
    gradient.scatter_add_(0, right, torch.full_like(right, -1, dtype=gradient.dtype))
    return gradient.div_(y[0].numel()).movedim(0, 2)


def _losses(given: Tensor, y: Tensor, loss: str) -> Tensor:
    """Each member's mean loss."""
    if loss == "mean_squared_error":
        each = nn.functional.mse_loss(given, y, reduction="none")
    else:
        each = nn.functional.cross_entropy(given.flatten(0, 1), y.flatten(0, 1), reduction="none")
    return each.reshape(len(given), -1).mean(1)
