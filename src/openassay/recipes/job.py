"""What does one execution of a recipe get, and what does it give?"""

from __future__ import annotations

import re
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openassay.core.types import Measurement, RerunStatus
from openassay.faults import BadInput

DATA_FILE = "data.npz"
"""The file that holds the arrays which a preparation gave."""
OUR_FILES = ("request.json", "result.json", "log.txt")
"""What we write ourselves into a run's folder."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """How does an arm differ from the recipe as published? The faithful arm differs in nothing."""

    parameters: dict[str, Any] = field(default_factory=dict)
    """Values for `{name}` placeholders in the run's arguments (python driver)."""
    set: dict[str, Any] = field(default_factory=dict)
    """Other values for the recipe's fields, by dotted name (native driver)."""
    permute: tuple[str, ...] = ()
    """Arrays of the prepared data whose rows are shuffled, each seed in its own way: labels, for a negative control."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One execution: the arm and seed, and where things are."""

    arm: Arm
    seed: int
    data: Path | None
    """Folder with the prepared data; None when the target prepares none."""
    artifacts: dict[str, str]
    """Unpacked artifacts, by name."""
    python: str | None
    """Interpreter of the target's environment; None when it has none."""
    glue: Path | None
    out: Path
    """An existing empty folder of this execution's own."""
    device: str
    threads: int
    timeout_s: float


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How it ended and what it measured."""

    status: RerunStatus
    reason: str
    measurements: tuple[Measurement, ...]
    curves: dict[str, tuple[tuple[int, float], ...]]
    log: str
    cpu_s: float
    device: str


def load_arrays(data: Path) -> dict[str, NDArray[np.generic]]:
    """The arrays of a prepared data folder; empty when it holds none. Raises ValueError when the file is something else."""
    path = data / DATA_FILE
    if not path.exists():
        return {}
    try:
        with zipfile.ZipFile(path):  # np.load would take other formats too
            pass
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{DATA_FILE} does not hold arrays: {error}") from None


def permuted(
    arrays: dict[str, NDArray[np.generic]], names: tuple[str, ...], seed: int
) -> dict[str, NDArray[np.generic]]:
    """The same arrays with the rows of `names` shuffled: values kept, their tie to the other arrays broken."""
    result = dict(arrays)
    for name in names:
        if name not in arrays:
            raise BadInput(
                f"permute: the prepared data has no array {name!r}; it has {', '.join(sorted(arrays)) or 'none'}"
            )
        result[name] = np.random.default_rng([seed, 20]).permutation(arrays[name])
    return result


_PLACEHOLDER = re.compile(r"\{([a-z0-9_]+(?::[a-z0-9_]+)?)\}")


def placeholders(value: Any) -> set[str]:
    """The names in `{name}` anywhere in a value."""
    if isinstance(value, str):
        return set(_PLACEHOLDER.findall(value))
    if isinstance(value, dict):
        return {name for item in value.values() for name in placeholders(item)}
    if isinstance(value, (list, tuple)):
        return {name for item in value for name in placeholders(item)}
    return set()


def fill(value: Any, values: dict[str, Any]) -> Any:
    """The value with every `{name}` replaced: whole strings by the typed value, parts of a string by its text."""
    if isinstance(value, str):
        if whole := _PLACEHOLDER.fullmatch(value):
            return values[whole.group(1)]
        return _PLACEHOLDER.sub(lambda match: str(values[match.group(1)]), value)
    if isinstance(value, dict):
        return {key: fill(item, values) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [fill(item, values) for item in value]
    return value
