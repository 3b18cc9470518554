"""What do K trainings in one computation cost, in units of one by the ordinary trainer? `python tests/bench/parallel.py [mlp gru cnn]`.

The recipes of MNIST-1D's README on random data of the same shape, one thread, 1501 updates (GRU 251, CNN 501) with an evaluation
every 250. One process runs all in turn; the figure is the median over the rounds of CPU time over the ordinary training of the
same round.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml

from openassay.records import parse
from openassay.training.parallel import SeedTraining, train_together
from openassay.training.recipe import TrainingRecipe
from openassay.training.trainer import train

REPO = Path(__file__).parents[2]
TOGETHER = (1, 2, 4, 8)
ROUNDS = int(os.environ.get("ROUNDS", "7"))
DEVICE = os.environ.get("DEVICE", "cpu")


def recipe(name: str) -> TrainingRecipe:
    """The published recipe, cut short."""
    published = yaml.safe_load((REPO / f"conf/target/mnist1d_{name}.yaml").read_text())["rerun"]["recipe"]
    updates = {"gru": 250, "cnn": 500}.get(name, 1500)
    short = published | {"steps": updates + 1, "evaluation": published["evaluation"] | {"at_step": updates}}
    made: TrainingRecipe = parse(TrainingRecipe, short, name)
    return made


def seconds(work: Callable[[], object]) -> float:
    """CPU time, or time on the clock where another device computes."""
    clock = time.process_time if DEVICE == "cpu" else time.perf_counter
    started = clock()
    work()
    return clock() - started


def main() -> None:
    """Measure and print."""
    rng = np.random.default_rng(0)
    data = {
        "x": rng.normal(size=(4000, 40)), "y": rng.integers(0, 10, 4000),
        "x_test": rng.normal(size=(1000, 40)), "y_test": rng.integers(0, 10, 1000),
    }  # fmt: skip
    for name in sys.argv[1:] or ("mlp", "gru", "cnn", "logistic"):
        of = recipe(name)
        works: dict[int, Callable[[], object]] = {0: lambda of=of: train(of, data, seed=0, device=DEVICE)}  # type: ignore[misc]
        for count in TOGETHER:
            members = [SeedTraining(recipe=of, data=data, seed=seed) for seed in range(count)]
            works[count] = lambda members=members: train_together(members, device=DEVICE)  # type: ignore[misc]
        taken: dict[int, list[float]] = {count: [] for count in works}
        for _ in range(ROUNDS + 1):
            for count, work in works.items():
                taken[count].append(seconds(work))
        once = taken[0][1:]  # the first round warms up
        said = []
        for count in TOGETHER:
            ratios = [of_group / of_one for of_group, of_one in zip(taken[count][1:], once, strict=True)]
            said.append(f"K={count}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        print(
            f"{name}: one training {1000 * statistics.median(once) / of.steps:.2f} ms an update; {'; '.join(said)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
