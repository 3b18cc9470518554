"""How alike are weights of honest trainings, and of copies? `python tests/calibration/likeness.py` (three minutes of one core).

Small networks are trained from random starts of their own, in numpy and in torch: some on easy data from tiny starts, where seeds end
nearly alike; with one layer, which has one best; and all from one start. Each in turn stands for the released one, and four others for
its reruns: these must not be called copied.
Copies are as they are, with noise, with permuted and rescaled units, or trained on a little.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from openassay.core.likeness import Likeness, comparable, likeness, matched, mean_of, near

Weights = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A network and its data: classes around random centres."""

    inputs: int
    hidden: tuple[int, ...]
    classes: int
    tanh: bool = False
    noise: float = 1.5
    start: float = 2.0
    """Variance of the first weights, times the inputs."""
    epochs: int = 15
    from_one: bool = False
    """All trainings begin with the same weights, as those that refine a published network do."""
    torch: bool = False
    """Adam with weight decay, in torch; else plain steps, in numpy."""

    def data(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        rng = np.random.default_rng(self.inputs)
        centres = rng.normal(size=(self.classes, self.inputs))
        labels = rng.integers(0, self.classes, 1000)
        return centres[labels] + self.noise * rng.normal(size=(1000, self.inputs)), labels

    def first(self, seed: int) -> list[NDArray[np.float64]]:
        rng = np.random.default_rng([0 if self.from_one else seed, 1])
        sizes = [self.inputs, *self.hidden, self.classes]
        return [rng.normal(size=pair) * np.sqrt(self.start / pair[0]) for pair in itertools.pairwise(sizes)]

    def train(self, seed: int, first: list[NDArray[np.float64]] | None = None, epochs: int | None = None) -> Weights:
        x, y = self.data()
        weights = [of.copy() for of in first or self.first(seed)]
        train = _with_torch if self.torch else _with_numpy
        found = train(self, x, y, weights, np.random.default_rng([seed, 2]), epochs or self.epochs)
        return {f"layer{i}.weight": of for i, of in enumerate(found)}


def _batches(rng: np.random.Generator, epochs: int, size: int) -> Any:
    for _ in range(epochs):
        order = rng.permutation(size)
        yield from (order[at : at + 32] for at in range(0, size, 32))


def _with_numpy(of: Recipe, x: Any, y: Any, weights: Any, rng: np.random.Generator, epochs: int) -> Any:
    for batch in _batches(rng, epochs, len(x)):
        values = [x[batch]]
        for weight in weights[:-1]:
            z = values[-1] @ weight
            values.append(np.tanh(z) if of.tanh else np.maximum(z, 0))
        scores = values[-1] @ weights[-1]
        shares = np.exp(scores - scores.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        shares[np.arange(len(batch)), y[batch]] -= 1
        slope = shares / len(batch)
        for layer in reversed(range(len(weights))):
            step = values[layer].T @ slope
            if layer:
                slope = slope @ weights[layer].T * (1 - values[layer] ** 2 if of.tanh else values[layer] > 0)
            weights[layer] -= 0.1 * step
    return weights


def _with_torch(of: Recipe, x: Any, y: Any, weights: Any, rng: np.random.Generator, epochs: int) -> Any:
    import torch

    x, y = torch.tensor(x), torch.tensor(y)
    tensors = [torch.tensor(weight, requires_grad=True) for weight in weights]
    optimizer = torch.optim.AdamW(tensors, lr=3e-3, weight_decay=0.01)
    for batch in _batches(rng, epochs, len(x)):
        value = x[batch]
        for weight in tensors[:-1]:
            value = torch.tanh(value @ weight) if of.tanh else torch.relu(value @ weight)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(value @ tensors[-1], y[batch]).backward()
        optimizer.step()
    return [tensor.detach().numpy() for tensor in tensors]


RECIPES = {
    "numpy, 64-32-10": Recipe(inputs=64, hidden=(32,), classes=10),
    "numpy, 16-16-5": Recipe(inputs=16, hidden=(16,), classes=5, epochs=30),
    "numpy, tanh, 40-64-10": Recipe(inputs=40, hidden=(64,), classes=10, tanh=True),
    "numpy, 98-64-64-10": Recipe(inputs=98, hidden=(64, 64), classes=10),
    "numpy, 20-128-3": Recipe(inputs=20, hidden=(128,), classes=3, epochs=30),
    "numpy, eight units": Recipe(inputs=16, hidden=(8,), classes=4, noise=0.5, epochs=60),
    "numpy, tiny start, tanh, two classes": Recipe(
        inputs=32, hidden=(16,), classes=2, tanh=True, noise=0.5, start=1e-3, epochs=60
    ),
    "numpy, tiny start, a unit a class": Recipe(
        inputs=32, hidden=(8,), classes=8, noise=0.5, start=1e-2, epochs=60
    ),
    "torch, 64-32-10": Recipe(inputs=64, hidden=(32,), classes=10, torch=True),
    "torch, tanh, 32-48-48-5": Recipe(inputs=32, hidden=(48, 48), classes=5, tanh=True, torch=True),
    "torch, small start, 40-32-10": Recipe(inputs=40, hidden=(32,), classes=10, start=0.05, epochs=30, torch=True),
    "numpy, one layer, 40-10: one best solution": Recipe(inputs=40, hidden=(), classes=10, noise=3.0, start=0.01),
    "numpy, one layer, short": Recipe(inputs=40, hidden=(), classes=10, noise=3.0, start=0.01, epochs=3),
    "numpy, 64-32-10, all from one start": Recipe(inputs=64, hidden=(32,), classes=10, from_one=True),
    "torch, 64-32-10, all from one start, short": Recipe(
        inputs=64, hidden=(32,), classes=10, from_one=True, epochs=3, torch=True
    ),
}  # fmt: skip


def like(one: Weights, other: Weights) -> Likeness:
    found = likeness(one, other, comparable(one, other))
    assert found
    return found


def named(released: Weights, reruns: list[Weights]) -> str:
    """What the reruns' weights are said to be: `equal`, `copied`, `one_start`, or nothing."""
    pairs = list(itertools.combinations(reruns, 2))
    if any(all(np.array_equal(one[name], other[name]) for name in one) for one, other in pairs):
        return "equal"
    return said([like(of, released) for of in reruns], [like(*pair) for pair in pairs], layers=len(released))


def said(to_released: list[Likeness], among: list[Likeness], *, layers: int) -> str:
    if near(to_released, among):
        return "copied"
    return "one_start" if layers > 1 and matched(mean_of(to_released)) else ""


def permuted(weights: Weights, seed: int) -> Weights:
    """The same network with its first hidden units in another order and at another scale."""
    if len(weights) == 1:
        return weights
    rng, (first, second, *rest) = np.random.default_rng(seed), list(weights)
    order = rng.permutation(weights[first].shape[1])
    scale = np.exp(rng.normal(size=len(order)))
    found = {first: weights[first][:, order] * scale, second: weights[second][order] / scale[:, None]}
    return found | {name: weights[name] for name in rest}


def noisy(share: float) -> Callable[[Recipe, Weights, int], Weights]:
    def add(_: Recipe, weights: Weights, seed: int) -> Weights:
        rng = np.random.default_rng(seed)
        return {name: of + share * of.std() * rng.normal(size=of.shape) for name, of in weights.items()}

    return add


COPIES: dict[str, Callable[[Recipe, Weights, int], Weights]] = {
    "as they are": lambda _, weights, seed: weights,
    "noise of a tenth": noisy(0.1), "noise of three tenths": noisy(0.3), "noise of a half": noisy(0.5),
    "permuted and rescaled": lambda _, weights, seed: permuted(weights, seed),
    "permuted, rescaled, noise of a tenth": lambda of, weights, seed: permuted(noisy(0.1)(of, weights, seed), seed),
    "trained on for two epochs": lambda of, weights, seed: of.train(seed, list(weights.values()), 2),
}  # fmt: skip
RERUNS = 4


@dataclass(frozen=True, kw_only=True)
class Measured:
    recipe: str
    trainings: int
    alike: tuple[float, float]
    distinct: tuple[float, float]
    """Least and largest over all pairs of honest trainings."""
    called_copied: int
    one_start: int
    """Of all trainings as the released one: those whose reruns are said to share its start."""
    copies: dict[str, float]
    """Share of copies that are named, by kind."""


def measure(name: str, trainings: int) -> Measured:
    of = RECIPES[name]
    made = [of.train(seed) for seed in range(trainings)]
    pairs = {pair: like(made[pair[0]], made[pair[1]]) for pair in itertools.combinations(range(trainings), 2)}
    words = []
    for released in range(trainings):
        reruns = [(released + step) % trainings for step in range(1, RERUNS + 1)]
        among = [pairs[min(a, b), max(a, b)] for a, b in itertools.combinations(reruns, 2)]
        to_released = [pairs[min(a, released), max(a, released)] for a in reruns]
        words.append(said(to_released, among, layers=len(made[0])))
    copies = {
        kind: float(np.mean([
            bool(named(made[at], [copy(of, made[at], 100 * at + i + 1) for i in range(RERUNS)]))
            for at in range(min(5, trainings))
        ]))
        for kind, copy in COPIES.items()
    }  # fmt: skip
    ends = [
        (min(values), max(values))
        for values in ([p.alike for p in pairs.values()], [p.distinct for p in pairs.values()])
    ]
    return Measured(
        recipe=name,
        trainings=trainings,
        alike=ends[0],
        distinct=ends[1],
        called_copied=words.count("copied"),
        one_start=words.count("one_start"),
        copies=copies,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainings", type=int, default=60, help="of each recipe")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    found = [measure(name, asked.trainings) for name in RECIPES]
    print("| recipe | honest pairs: alike | distinct | called copied | one start |", *COPIES, "", sep=" | ")
    for of in found:
        shares = " | ".join(f"{share:.2f}" for share in of.copies.values())
        print(f"| {of.recipe} | {of.alike[0]:.2f} to {of.alike[1]:.2f} | {of.distinct[0]:.2f} to {of.distinct[1]:.2f} | "
              f"{of.called_copied} of {of.trainings} | {of.one_start} of {of.trainings} | {shares} |")  # fmt: skip
    print(
        f"called copied: {sum(of.called_copied for of in found)} of {sum(of.trainings for of in found)} honest releases"
    )
    if asked.out:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(json.dumps([vars(of) for of in found], indent=1))


if __name__ == "__main__":
    main()
