"""The weights that a run writes: kept beside its record, compared with those of other seeds and with the released ones."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from openassay.core.likeness import LEAST_INPUTS, LEAST_UNITS, Weights, comparable, likeness, matched, mean_of, near
from openassay.core.rerun_records import WeightsCompared
from openassay.drivers.job import WEIGHTS, Job, PublishedFile, load_arrays, open_written, save_arrays
from openassay.drivers.measures import written_file
from openassay.drivers.readings import NoMeasurement, Unclear
from openassay.faults import BadInput
from openassay.limits import MAX_FILE_BYTES
from openassay.store import remove_tree

MOST_WEIGHTS = 2**26
"""Bytes of the weights that are kept and compared; of more, the first."""
COMPARED = 5
"""Reruns of an arm whose weights are compared: the first."""
READ_S = 600.0
"""A file that takes longer to read is given up."""
UNMOVED = 1e-6
"""Of their length: weights that have moved by less have not been trained."""


@dataclass(frozen=True, kw_only=True)
class TrainedWeights:
    """Where a run leaves its weights, for recipes whose every rerun draws first weights of its own."""

    path: str
    """A file of the run: `.npz`, `.safetensors`, or tensors as `torch.save` writes them; a glob that matches one."""
    start: str | None = None
    """The file with the weights before the first update."""
    released: PublishedFile | None = None
    """The published weights, under the same names. The run itself must not be shown their artifact."""


def read_weights(path: Path) -> Weights:
    """The matrices of a file, by name. ValueError says why it cannot be read."""
    if path.suffix == ".npz":
        found = load_arrays(path.parent, path.name)
    else:
        with open_written(path, MAX_FILE_BYTES):  # a regular file, and not too large
            pass
        with tempfile.TemporaryDirectory() as folder:
            # torch reads tensors only (weights_only), and in a process of its own
            command = [sys.executable, "-I", "-c", _READ, str(path.absolute()), f"{folder}/data.npz", str(MOST_WEIGHTS)]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=READ_S, env={}, check=False)
            except subprocess.TimeoutExpired:
                raise ValueError(f"{path.name} takes more than {READ_S:g} s to be read") from None
            if done.returncode != 0:
                said = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
                raise ValueError(f"{path.name} holds no tensors that can be read safely: {said[:200]}")
            found = load_arrays(Path(folder))
    kept, size = {}, 0
    for name, array in found.items():
        size += array.nbytes
        if array.dtype.kind == "f" and array.ndim >= 2 and size <= MOST_WEIGHTS:
            kept[name] = array
    return kept


def keep_weights(of: TrainedWeights, job: Job) -> str:
    """Keep what a run has written in its folder `kept`; returns why it cannot be compared, empty where it can."""
    problem = ""
    for pattern, folder in ((of.path, WEIGHTS), (of.start, f"{WEIGHTS}-start")):
        if pattern is None:
            continue
        place = job.out / "kept" / folder
        remove_tree(place)
        try:
            weights = read_weights(written_file(job, pattern))
        except Unclear as error:
            raise BadInput(f"{job.target_file}: rerun.weights: {error}") from None
        except (NoMeasurement, ValueError) as error:
            problem = problem or f"weights: {error}"
            continue
        place.mkdir(parents=True)
        save_arrays(place, dict(weights))
    return problem


def compare_weights(
    of: TrainedWeights, arm: str, reruns: Sequence[Path], artifacts: Mapping[str, str], where: str
) -> WeightsCompared:
    """The weights of an arm's reruns beside each other and the released ones. reruns: their folders.

    `BadInput` where the released file cannot be read.
    """
    reruns = reruns[:COMPARED]
    made: list[Weights] = [load_arrays(folder / "kept" / WEIGHTS) for folder in reruns]
    found = WeightsCompared(
        arm=arm, num_reruns=len(made), problem="", tensors=(), equal=False, unmoved=False, to_released=None,
        among=None, near=False, one_start=False,
    )  # fmt: skip
    if not all(made):
        missing = next(folder.name for folder, weights in zip(reruns, made, strict=True) if not weights)
        return replace(found, problem=f"{missing} left no weights that can be read")
    pairs = list(itertools.combinations(made, 2))
    found = replace(found, equal=any(_equal(*pair) for pair in pairs), unmoved=any(map(_unmoved, reruns, made)))
    released: Weights = {}
    if of.released:
        path = Path(artifacts[of.released.artifact]) / of.released.path
        try:
            released = read_weights(path)
        except (OSError, ValueError) as problem:
            raise BadInput(f"{where}: rerun.weights.released: {problem}") from None
    beside = [*made, *([released] if of.released else [])]
    # what is the same in all is no weight that is trained
    names = tuple(
        name for name in comparable(made[0], beside[-1])
        if all(name in comparable(made[0], other) for other in beside)
        and not all(np.array_equal(made[0][name], other[name]) for other in beside)
    )  # fmt: skip
    among = [one for pair in pairs if (one := likeness(*pair, names))]
    to_released = [one for weights in made if of.released and (one := likeness(weights, released, names))]
    if not names and of.released and not found.equal:
        found = replace(
            found,
            problem=f"no matrix has the name and shape of a released one, and {LEAST_UNITS} units of {LEAST_INPUTS} inputs",
        )
    middle, is_near = mean_of(to_released), near(to_released, among)
    return replace(
        found, tensors=names, among=mean_of(among), to_released=middle, near=is_near,
        one_start=not is_near and not found.equal and matched(middle) and len(made[0]) > 1,
    )  # fmt: skip


def _equal(one: Weights, other: Weights) -> bool:
    return bool(one) and one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def _unmoved(folder: Path, weights: Weights) -> bool:
    """Whether a rerun's weights are those before its first update."""
    start: Weights = load_arrays(folder / "kept" / f"{WEIGHTS}-start")
    return bool(start) and start.keys() == weights.keys() and all(
        start[name].shape == of.shape and np.linalg.norm(of - start[name]) <= UNMOVED * np.linalg.norm(of)
        for name, of in weights.items()
    )  # fmt: skip


_READ = """
import sys, zipfile
import numpy, torch
path, out, most = sys.argv[1], sys.argv[2], int(sys.argv[3])
if path.endswith(".safetensors"):
    from safetensors.torch import load_file
    loaded = load_file(path)
else:
    loaded = torch.load(path, map_location="cpu", weights_only=True)
found = {}
def walk(value, name):
    if isinstance(value, torch.Tensor):
        if value.layout == torch.strided and value.is_floating_point() and value.dim() >= 2:
            if value.numel() * value.element_size() <= value.untyped_storage().nbytes():
                found[name or "tensor"] = value
    elif isinstance(value, dict):
        for key, of in value.items():
            walk(of, "%s.%s" % (name, key) if name else str(key))
walk(loaded, "")
size = 0
with zipfile.ZipFile(out, "w") as archive:
    for name, value in found.items():
        size += 4 * value.numel()
        if size > most:
            break
        with archive.open(name + ".npy", "w", force_zip64=True) as file:
            numpy.lib.format.write_array(file, value.detach().to(torch.float32).numpy(), allow_pickle=False)
"""
"""Reads the tensors of a file that torch or safetensors wrote, and writes them for numpy."""
