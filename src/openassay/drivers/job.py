"""What one rerun is given and what it gives back, and the arrays of prepared data."""

from __future__ import annotations

import math
import os
import re
import stat
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Discriminator, Field, Tag

from openassay.core.curves import CurveFamily, doomed
from openassay.core.rerun_records import Measurement, RerunStatus
from openassay.core.types import IsolationKind
from openassay.faults import BadInput
from openassay.limits import MAX_FILE_BYTES, Limits
from openassay.store import Listing

if TYPE_CHECKING:
    from openassay.drivers.labels import Handed

Curve = tuple[tuple[int, float], ...]
"""(step, value)."""
DATA_FILE = "data.npz"
"""The file that holds the arrays which a preparation gave."""
OUR_FILES = ("request.json", "result.json", "log.txt")
"""What we write ourselves into a run's folder."""
WEIGHTS = "openassay-weights"
"""The folder of a rerun's weights among what is kept of it; `WEIGHTS-start` holds those before the first update."""
COPY = "release"
"""The working copy of the release's files, in a run's folder (command driver)."""
MAX_JSON_BYTES = 64 * 2**20
"""A JSON file that a run wrote is not read when it is larger."""


def inside(path: str) -> str:
    """A path below an artifact's top, as it is; ValueError for any other."""
    if {"", ".", ".."} & set(path.split("/")) or not path.isprintable():
        raise ValueError(f"it must stay below the artifact, found {path[:200]!r}")
    return path


Inside = Annotated[str, AfterValidator(inside)]


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """A file of an artifact."""

    artifact: str
    path: Inside


@dataclass(frozen=True, kw_only=True)
class Edit:
    """A change of one of the release's files: a text that stands in it once, and what stands there instead."""

    path: Inside
    find: Annotated[str, Field(min_length=1)]
    replace: str


_LABEL_FILES = {r"\.npy$": "npy", r"\.npz$": "npz", r"\.[ct]sv$": "csv", r"(-idx1-ubyte|\.idx1?)(\.gz)?$": "idx"}


def kind_of_labels(path: str) -> str:
    """The format of a file with labels, by its name; ValueError for one that we cannot read."""
    for pattern, kind in _LABEL_FILES.items():
        if re.search(pattern, path):
            return kind
    raise ValueError(f"labels are read from .npy, .npz, .csv, .tsv and IDX files; found {path!r}")


@dataclass(frozen=True, kw_only=True)
class LabelFile:
    """Labels in a file that we can read: `.npy`, an array of `.npz`, a column of `.csv` or `.tsv`, or IDX (`-idx1-ubyte`)."""

    path: Inside
    key: str = ""
    """The array or the column."""

    def __post_init__(self) -> None:
        if (kind := kind_of_labels(self.path)) in {"npz", "csv"} and not self.key:
            raise ValueError(f"key: missing; name the {'array' if kind == 'npz' else 'column'} with the labels")

    def __str__(self) -> str:
        return f"{self.path}:{self.key}" if self.key else self.path


LabelPlace = Annotated[
    Annotated[str, Tag("array")] | Annotated[LabelFile, Tag("file")],
    Discriminator(lambda of: "array" if isinstance(of, str) else "file"),
]
"""The name of a prepared array, or a file."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """How an arm differs from the recipe as published. The faithful arm differs in nothing."""

    parameters: dict[str, Any] = field(default_factory=dict)
    """Values for `{name}` placeholders in the run's arguments (python and command drivers)."""
    set: dict[str, Any] = field(default_factory=dict)
    """Other values for the recipe's fields, by dotted name (native and pretrain drivers)."""
    permute: tuple[LabelPlace, ...] = ()
    """Arrays of the prepared data, or files of the data, whose rows are shuffled, each seed in its own way: labels, for a
    negative control. With the pretrain driver `tokens`: those of each trained sequence."""
    relabel: tuple[LabelPlace, ...] = ()
    """Labels whose classes get each other's names, in secret and each seed in its own way. Predictions are read by the true
    names."""
    edit: tuple[Edit, ...] = ()
    """Changes of the release's files, in the run's own copy (command driver)."""


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
    touched: tuple[str | LabelFile, ...] = ()
    """Labels that any arm changes: they are written anew in each, so that no run can see which arm it is."""
    secret: str = ""
    """What the run cannot know: permuted labels and new names of classes are drawn from it and the seed."""
    handed: Handed | None = None
    """What was done to the labels that the run is given."""
    watch: Watch | None = None
    """Lets the native trainer stop early."""
    watched: dict[str, tuple[Path, Listing]] = field(default_factory=dict)
    """Folders that the run must leave as they are, by what they are, with what was in them before the first run."""
    isolation: IsolationKind = "none"
    limits: Limits = field(default_factory=Limits)
    """What a caged run may use."""
    target_file: str = "the target"
    stage: str = "rerun"
    """The key of the target's file that says what is run; with the file, for an error that the target's words cause."""
    own_requirements: bool = False
    """Whether a package that is missing is for the target's author to name."""


@dataclass(frozen=True, kw_only=True)
class Watch:
    """The published curve that a training must follow to be worth finishing."""

    metric: str
    published: tuple[tuple[int, float], ...]
    num_published: int
    family: CurveFamily

    def doomed(self, curve: Curve) -> str:
        """Why the training need not be finished; empty while it may."""
        found = doomed(self.published, self.num_published, curve, self.family) if curve else None
        return "" if found is None else f"at step {found.step} it is {found.deviation:+.1f} sd off the published curve"


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """How it ended and what it measured."""

    status: RerunStatus
    cpu_s: float
    device: str
    reason: str = ""
    measurements: tuple[Measurement, ...] = ()
    curves: dict[str, Curve] = field(default_factory=dict)
    log: str = ""
    records: dict[str, Any] = field(default_factory=dict)
    """Further records of the driver, by name (`Driver.records`)."""
    beside_s: float = 0.0
    """Seconds of what was run beside the rerun: no part of what one rerun costs."""
    kept: Path | None = None
    """A folder of files that stay beside the record, as `kept`."""


def measurement(metric: str, value: float | None, step: int) -> Measurement:
    """What our own code measured after an update; without a value where there is no finite one."""
    known = value is not None and math.isfinite(value)
    raw = "" if value is None else repr(value)
    return Measurement(metric=metric, value=value if known else None, raw=raw, step=step, self_reported=False)


_KINDS = {
    stat.S_IFDIR: "a folder", stat.S_IFLNK: "a link", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip


def kind_of(mode: int) -> str:
    """The kind of a file by its mode, in words; empty for a regular file."""
    return _KINDS.get(stat.S_IFMT(mode), "")


def open_written(path: Path, max_bytes: int) -> BinaryIO:
    """A file that published code wrote, to read; FileNotFoundError when there is none.

    Raises ValueError for what is no regular file, is closed to us or is larger than `max_bytes`; never waits for a pipe.
    """
    try:
        status = path.lstat()
        too_large = f"larger than {max_bytes} bytes" if status.st_size > max_bytes else ""
        if problem := kind_of(status.st_mode) or too_large:
            raise ValueError(f"{path.name} is {problem}")
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    except FileNotFoundError:
        raise
    except OSError as error:  # closed to us, or the folder above is something else by now
        raise ValueError(f"{path.name} cannot be read: {error.strerror}") from None


def load_arrays(data: Path, name: str = DATA_FILE) -> dict[str, NDArray[np.generic]]:
    """The arrays of a prepared data folder; empty when it holds none. Raises ValueError when the file is something else."""
    try:
        file = open_written(data / name, MAX_FILE_BYTES)
    except FileNotFoundError:
        return {}
    with file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = {of.filename.removesuffix(".npy"): of for of in archive.infolist()}
                if len(members) != len(archive.infolist()):
                    raise ValueError("two arrays have one name")
                if sum(of.file_size for of in members.values()) > MAX_FILE_BYTES:
                    raise ValueError(f"they take more than {MAX_FILE_BYTES} bytes")
                return {member: read_member(archive, of) for member, of in members.items()}
        except Exception as error:  # noqa: BLE001 - the parsers of zip and numpy raise nearly anything on hostile bytes
            first_line = (str(error) or type(error).__name__).splitlines()[0]
            raise ValueError(f"{name} does not hold arrays: {first_line}") from None


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[np.generic]:
    """One array of an `.npz` file, as by `read_array`."""
    with archive.open(member) as file:
        return read_array(file, member.filename, member.file_size)


def read_array(file: IO[bytes], name: str, size: int) -> NDArray[np.generic]:
    """The array of a `.npy` file, after its header is found to fit its size: numpy would allocate whatever the header says."""
    version = np.lib.format.read_magic(file)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in read_header:
        raise ValueError(f"{name!r} has the unknown format {version}")
    shape, _, dtype = read_header[version](file)
    if not dtype.hasobject and math.prod(shape) * max(1, dtype.itemsize) > size:
        raise ValueError(f"{name!r} says that it has the shape {shape}, and is not as long")
    file.seek(0)
    array: NDArray[np.generic] = np.lib.format.read_array(file, allow_pickle=False)
    if array.dtype.kind == "U" and (np.frombuffer(array.tobytes(), array.dtype.str[0] + "u4") > sys.maxunicode).any():
        raise ValueError(f"{name!r} holds words of what are no letters")
    return array


def save_arrays(data: Path, arrays: dict[str, NDArray[np.generic]]) -> None:
    """Write a data folder's arrays; unlike numpy.savez, under any name (`file` is its own argument)."""
    with zipfile.ZipFile(data / DATA_FILE, "w") as archive:
        for name, array in arrays.items():
            # without the time: it would tell the data of one arm from another's
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def permuted(
    arrays: dict[str, NDArray[np.generic]], names: tuple[str | LabelFile, ...], seed: int
) -> dict[str, NDArray[np.generic]]:
    """The same arrays with the rows of `names` shuffled: values kept, their tie to the other arrays broken."""
    result = dict(arrays)
    for name in map(str, names):
        if name not in arrays:
            known = ", ".join(sorted(arrays)) or "none"
            raise BadInput(f"permute: the prepared data has no array {name!r}; it has {known}")
        result[name] = np.random.default_rng([seed, 20]).permutation(arrays[name])
    return result


def with_changes(data: Any, changes: Mapping[str, Any]) -> Any:
    """Plain data with other values at dotted names; `BadInput` when it names a field that is not there."""
    for dotted, value in changes.items():
        place: Any = data
        *path, last = dotted.split(".")
        try:
            for part in path:
                place = place[int(part)] if isinstance(place, list) else place[part]
            if last not in place:
                raise KeyError(last)
        except (KeyError, IndexError, TypeError, ValueError):
            raise BadInput(f"set.{dotted}: the recipe has no such field") from None
        place[last] = value
    return data


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


def named_artifacts(value: Any) -> set[str]:
    """The artifacts that a value names by `{artifact:NAME}`."""
    return {name.removeprefix("artifact:") for name in placeholders(value) if name.startswith("artifact:")}


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
