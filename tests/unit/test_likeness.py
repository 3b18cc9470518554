"""Weights beside each other: copies are alike whatever was done to their units, honest trainings are not."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from calibration.likeness import RECIPES, like, measure, named, permuted
from safetensors.numpy import save_file

from openassay.core.controls import doubts_of_weights
from openassay.core.likeness import Likeness, comparable
from openassay.core.rerun_records import WeightsCompared
from openassay.drivers.job import WEIGHTS, Arm, Job, PublishedFile, save_arrays
from openassay.drivers.written_weights import TrainedWeights, compare_weights, keep_weights, read_weights


@pytest.mark.parametrize("name", ["numpy, 16-16-5", "torch, 64-32-10", "numpy, tiny start, tanh, two classes"])
def test_honest_trainings_are_not_called_copied_and_copies_are(name: str) -> None:
    """A slice of `make calibrate`: honest releases of three recipes; copies as they are, permuted, and trained on."""
    found = measure(name, 6)
    assert found.called_copied == found.one_start == 0
    assert found.copies["as they are"] == found.copies["permuted and rescaled"] == 1.0
    assert found.copies["trained on for two epochs"] == 1.0


def test_units_are_matched_through_two_layers_whatever_their_order_scale_and_sign() -> None:
    of = RECIPES["numpy, 98-64-64-10"]
    weights = of.train(0, epochs=2)
    names = list(weights)
    turned = permuted(weights, 1)
    flipped = turned | {names[0]: -turned[names[0]], names[1]: -turned[names[1]]}
    found = like(flipped, weights)
    assert found.alike == pytest.approx(1.0)
    assert found.distinct == pytest.approx(0.0, abs=1e-6)
    assert set(comparable(flipped, weights)) == {names[0], names[1], names[2]}
    assert like(of.train(1, epochs=2), weights).alike < 0.5


def test_what_is_too_small_or_not_finite_is_not_compared() -> None:
    one = {
        "small": np.ones((4, 4)),
        "vector": np.ones(99),
        "broken": np.full((9, 99), np.nan),
        "fine": np.ones((9, 99)),
    }
    assert comparable(one, one) == ("fine",)
    assert comparable(one, {"fine": np.ones((99, 9))}) == ()


def test_four_reruns_with_noise_of_their_own_are_nearer_to_their_source_than_to_each_other() -> None:
    of = RECIPES["numpy, 64-32-10"]
    released = of.train(0)
    rng = np.random.default_rng(0)
    copies = [
        {name: one + 0.6 * one.std() * rng.normal(size=one.shape) for name, one in released.items()} for _ in range(4)
    ]
    assert named(released, copies)
    assert like(copies[0], released).alike < 0.9


# Files


WRITERS: dict[str, Callable[[Path, dict[str, Any]], None]] = {
    "m.npz": lambda path, of: np.savez(path, **of),
    "m.safetensors": lambda path, of: save_file(of, path),
    "m.pt": lambda path, of: torch.save(
        {"model": {name: torch.tensor(one) for name, one in of.items()}, "epoch": 3}, path
    ),
}


@pytest.mark.parametrize("name", WRITERS)
def test_weights_are_read_from_every_format(name: str, tmp_path: Path) -> None:
    given = {"first": np.arange(32, dtype=np.float32).reshape(4, 8), "bias": np.ones(4, np.float32)}
    WRITERS[name](tmp_path / name, given)
    found = {key.removeprefix("model."): of for key, of in read_weights(tmp_path / name).items()}
    assert set(found) == {"first"}  # a vector has no units
    assert np.array_equal(found["first"], given["first"])


class Touches:
    """What a hostile pickle does as it is loaded."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self.path),)


def test_a_pickle_that_runs_code_is_not_read(tmp_path: Path) -> None:
    marker = tmp_path / "touched"
    torch.save({"w": Touches(str(marker))}, tmp_path / "m.pt")
    with pytest.raises(ValueError, match=r"m\.pt holds no tensors that can be read safely"):
        read_weights(tmp_path / "m.pt")
    assert not marker.exists()


def test_a_tensor_that_says_to_be_larger_than_its_file_is_left_out(tmp_path: Path) -> None:
    huge = torch.zeros(1).expand(2**20, 2**20)
    torch.save({"huge": huge, "w": torch.ones(8, 16)}, tmp_path / "m.pt")
    assert set(read_weights(tmp_path / "m.pt")) == {"w"}


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "m.npz").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="is a link"):
        read_weights(tmp_path / "m.npz")


# Compared


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., WeightsCompared]:
    def compared(*reruns: dict[str, Any], start: dict[str, Any] | None = None, **released: Any) -> WeightsCompared:
        folders = []
        for seed, weights in enumerate(reruns):
            folder = tmp_path / f"seed-{seed}"
            shutil.rmtree(folder, ignore_errors=True)
            for name, of in ((WEIGHTS, weights), (f"{WEIGHTS}-start", start)):
                if of:
                    (folder / "kept" / name).mkdir(parents=True)
                    save_arrays(folder / "kept" / name, of)
            folders.append(folder)
        np.savez(tmp_path / "released.npz", **released)
        spec = TrainedWeights(
            path="m.npz", released=PublishedFile(artifact="w", path="released.npz") if released else None
        )
        return compare_weights(spec, "faithful", folders, {"w": str(tmp_path)}, "x.yaml")

    return compared


def drawn(seed: int) -> dict[str, Any]:
    return {"first": np.random.default_rng(seed).normal(size=(16, 32))}


def kinds(found: WeightsCompared, *, deterministic: bool = False) -> list[str]:
    return [kind for kind, _ in doubts_of_weights(found, deterministic=deterministic)]


def test_weights_speak_against_training_only_where_they_do(made: Callable[..., WeightsCompared]) -> None:
    assert kinds(made(drawn(0), drawn(1), drawn(2), **drawn(9))) == []


def near_to(seed: int, noise: float, **of: Any) -> dict[str, Any]:
    rng = np.random.default_rng(100 + seed)
    return {name: weights + noise * rng.normal(size=weights.shape) for name, weights in of.items()}


def test_trainings_with_one_best_solution_are_no_copies_of_the_released(made: Callable[..., WeightsCompared]) -> None:
    """The released one is one more of them: as far from the reruns as they are from each other."""
    best = drawn(9)
    found = made(*(near_to(seed, 0.05, **best) for seed in range(4)), **near_to(9, 0.05, **best))
    assert found.to_released
    assert found.to_released.alike > 0.99
    assert kinds(found) == []
    assert kinds(made(*(near_to(seed, 0.05, **best) for seed in range(4)), **best)) == [
        "copied"
    ]  # all are made from it


def test_trainings_from_one_start_are_said_to_be_that(made: Callable[..., WeightsCompared]) -> None:
    start = drawn(9) | {"second": np.random.default_rng(7).normal(size=(10, 16))}
    found = made(*(near_to(seed, 0.05, **start) for seed in range(4)), **near_to(9, 0.05, **start))
    ((kind, said),) = doubts_of_weights(found, deterministic=False)
    assert kind == "one_start"
    assert "whether these are a fixed start or the released ones themselves is not told" in said


def test_the_released_weights_themselves_are_copies_of_them(made: Callable[..., WeightsCompared]) -> None:
    found = made(drawn(9), drawn(9), **drawn(9))
    assert kinds(found) == ["no_training"]
    assert kinds(made(drawn(9), drawn(1), drawn(2), **drawn(9))) == []  # one of the seeds is the published one's
    assert kinds(found, deterministic=True) == []  # then it is what the release says of itself


def test_equal_unmoved_and_missing_weights_are_named(made: Callable[..., WeightsCompared]) -> None:
    assert kinds(made(drawn(0), drawn(0))) == ["no_training"]


def test_weights_that_end_where_they_began_are_named(made: Callable[..., WeightsCompared]) -> None:
    found = made(drawn(0), drawn(1), start=drawn(0))
    assert (found.unmoved, kinds(found)) == (True, ["no_training"])
    assert not made(drawn(2), drawn(3)).unmoved


def test_what_cannot_be_compared_says_why(made: Callable[..., WeightsCompared]) -> None:
    assert "seed-1 left no weights" in made(drawn(0), {}).problem
    assert (
        "8 units of 16 inputs"
        in made({"first": np.ones((2, 3))}, {"first": np.zeros((2, 3))}, first=np.ones((3, 2))).problem
    )


def test_a_finding_states_figures_and_the_limit() -> None:
    near = Likeness(alike=0.991, distinct=0.01, reordered=0.75)
    found = WeightsCompared(
        arm="faithful", num_reruns=4, problem="", tensors=("w",), equal=False, unmoved=False, to_released=near, among=near, near=True,
        one_start=False,
    )  # fmt: skip
    ((_, said),) = doubts_of_weights(found, deterministic=False)
    assert "0.991 to the released weights, 0.991 to each other" in said
    assert "75% of the units stand in other places" in said
    assert doubts_of_weights(replace(found, near=False), deterministic=False) == []


def test_weights_that_a_run_did_not_write_are_told(tmp_path: Path) -> None:
    job = Job(
        arm=Arm(), seed=0, data=None, artifacts={}, python=sys.executable, glue=None, out=tmp_path, device="cpu", threads=1, timeout_s=9,
    )  # fmt: skip
    assert keep_weights(TrainedWeights(path="*.npz"), job) == "weights: 0 files match '*.npz'; one is needed"
    np.savez(tmp_path / "m.npz", w=np.ones((8, 16)))
    assert keep_weights(TrainedWeights(path="*.npz"), job) == ""
    assert (tmp_path / "kept" / WEIGHTS / "data.npz").exists()
