"""Labels in the data that we hand to a run: read, permuted, given other names in secret, or left out.

Every arm's data is written by the same hand, whether anything is changed or not: from inside a run, the broken recipe's files
cannot be told from the faithful one's by their names, sizes or dates.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from openassay.drivers.job import (
    DATA_FILE,
    LabelFile,
    kind_of_labels,
    load_arrays,
    open_written,
    read_array,
    read_member,
    save_arrays,
)
from openassay.faults import BadInput
from openassay.limits import MAX_FILE_BYTES

Labels = NDArray[np.generic]
_IDX_HEAD = b"\0\0\x08\x01"
_DATE = 1_600_000_000
"""Of every file that we hand over: when it was written says nothing of the arm."""


def read_labels(folder: Path, of: LabelFile) -> Labels:
    """The labels of a file in a folder, one for each row. ValueError says what stands there instead."""
    try:
        with open_written(folder / of.path, MAX_FILE_BYTES) as file:
            return _flat(_read(file, of), of)
    except (FileNotFoundError, ValueError):
        raise
    except Exception as problem:  # noqa: BLE001 - the parsers of zip, gzip and numpy raise nearly anything
        first_line = (str(problem) or type(problem).__name__).splitlines()[0]
        raise ValueError(f"{of.path} cannot be read: {first_line}") from None


def _read(file: BinaryIO, of: LabelFile) -> Labels:
    kind = kind_of_labels(of.path)
    if kind == "csv":
        return np.array([row[1] for row in _cells(file.read(), of)])
    if kind == "npz":
        with zipfile.ZipFile(file) as archive:
            if (name := f"{of.key}.npy") not in archive.namelist():
                raise ValueError(f"{of.path} has no array {of.key!r}")
            if (member := archive.getinfo(name)).file_size > MAX_FILE_BYTES:
                raise ValueError(f"{of} takes more than {MAX_FILE_BYTES} bytes")
            return read_member(archive, member)
    if kind == "npy":
        return read_array(file, of.path, os.fstat(file.fileno()).st_size)
    with gzip.open(file) if of.path.endswith(".gz") else file as stream:
        head, most = stream.read(8), MAX_FILE_BYTES
        count = int.from_bytes(head[4:], "big")
        content = stream.read(min(count, most) + 1)
    if head[:4] != _IDX_HEAD or count != len(content):
        raise ValueError(f"{of.path} is no IDX file of one byte a label")
    return np.frombuffer(content, np.uint8)


def _flat(array: NDArray[np.generic], of: str | LabelFile) -> Labels:
    if array.ndim == 0:
        raise ValueError(f"{of} is a single value; labels need a row each")
    if array.dtype.kind not in "biufSU":
        raise ValueError(f"{of} has the type {str(array.dtype)[:40]}; labels are numbers or words")
    return array


def _cells(content: bytes, of: LabelFile) -> list[tuple[int, str]]:
    """The cells of a column, each with the number of its line."""
    text = content.decode("utf-8")
    if '"' in text:
        raise ValueError(f"{of.path} has quoted cells; labels are changed in plain ones only")
    lines = text.split("\n")
    header = lines[0].rstrip("\r").split(_separator(of))
    if header.count(of.key) != 1:
        raise ValueError(f"{of.path}: expected one column {of.key!r}, found {', '.join(header)[:200]}")
    at = header.index(of.key)
    rows = [
        (number, line.rstrip("\r").split(_separator(of))) for number, line in enumerate(lines[1:], 1) if line.strip()
    ]
    if any(len(row) != len(header) for _, row in rows):
        raise ValueError(f"{of.path}: not every line has {len(header)} cells")
    return [(number, row[at]) for number, row in rows]


def _separator(of: LabelFile) -> str:
    return "\t" if of.path.endswith(".tsv") else ","


def write_labels(folder: Path, of: LabelFile, labels: Labels) -> None:
    """Put other labels into a file, and leave all else in it as it is."""
    path, kind = folder / of.path, kind_of_labels(of.path)
    content = path.read_bytes()
    path.unlink()  # not through a link into something that is shared
    if kind == "csv":
        lines, separator = content.decode("utf-8").split("\n"), _separator(of)
        at = lines[0].rstrip("\r").split(separator).index(of.key)
        for (number, _), label in zip(_cells(content, of), labels.tolist(), strict=True):
            cells = lines[number].split(separator)
            end = "\r" if at == len(cells) - 1 and cells[at].endswith("\r") else ""
            cells[at] = f"{label}{end}"
            lines[number] = separator.join(cells)
        path.write_bytes("\n".join(lines).encode())
    elif kind == "npz":
        with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(path, "w") as written:
            for member in archive.infolist():
                data = archive.read(member)
                if member.filename == f"{of.key}.npy":
                    data = _as_npy(labels)
                info = zipfile.ZipInfo(member.filename)
                info.compress_type = member.compress_type
                written.writestr(info, data)
    elif kind == "npy":
        path.write_bytes(_as_npy(labels))
    else:
        raw = _IDX_HEAD + len(labels).to_bytes(4, "big") + labels.astype(np.uint8).tobytes()
        path.write_bytes(gzip.compress(raw, mtime=0) if of.path.endswith(".gz") else raw)
    os.utime(path, (_DATE, _DATE))


def _as_npy(labels: Labels) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, labels, allow_pickle=False)
    return buffer.getvalue()


@dataclass(frozen=True, kw_only=True)
class Handed:
    """What was done to the labels of the data that a run is handed."""

    truth: dict[str | LabelFile, Labels]
    """Labels that measures use, as they are."""
    renamed: dict[Any, Any]
    """Each class, and the name that the run knows it by; empty where none was renamed."""

    def undone(self, predictions: Labels) -> Labels:
        """Predictions by the names that the classes really have. Scores keep their classes' columns apart."""
        if not self.renamed:
            return predictions
        if predictions.ndim == 2 and predictions.shape[1] >= 2:
            columns = list(range(predictions.shape[1]))
            if not all(isinstance(of, int) and of in columns for of in self.renamed):
                raise ValueError("scores are told apart by classes 0, 1, 2 ..., and these have other names")
            return predictions[:, [self.renamed.get(of, of) for of in columns]]
        back = {str(name): of for of, name in self.renamed.items()}
        values = [back.get(str(_plain(of)), _plain(of)) for of in predictions.tolist()]
        return np.array(values, dtype=np.result_type(predictions.dtype, np.array(list(self.renamed)).dtype))


def _plain(value: Any) -> Any:
    """A label as it is written: 3.0 is 3."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def hand_over(
    folder: Path, *, permute: Iterable[str | LabelFile], relabel: Iterable[str | LabelFile],
    withheld: Iterable[str | LabelFile], wanted: Iterable[str | LabelFile], touched: Iterable[str | LabelFile], seed: int,
    secret: str, where: str,
) -> Handed:  # fmt: skip
    """Change the labels in a run's own folder as its arm says, and leave out what is withheld.

    wanted: the labels that measures use. touched: what any arm changes, written anew in each, so that nothing shows which it is.
    secret: what the order of permuted rows, and the names, are drawn from beside the seed. `BadInput`, behind `where`, for labels
    that are not there.
    """
    permute, relabel, withheld, touched = tuple(permute), tuple(relabel), tuple(withheld), tuple(touched)
    arrays = load_arrays(folder)

    def read(of: str | LabelFile) -> Labels:
        try:
            if isinstance(of, LabelFile):
                return read_labels(folder, of)
            if of in arrays:
                return _flat(arrays[of], of)
        except FileNotFoundError:
            raise BadInput(f"{where}: {of}: there is no such file in the data that the run is given") from None
        except ValueError as problem:
            raise BadInput(f"{where}: {of}: no labels can be read there: {problem}") from None
        known = ", ".join(sorted(arrays)) or "none"
        raise BadInput(f"{where}: the prepared data has no array {of!r}; it has {known}")

    changed = {of: read(of) for of in dict.fromkeys([*touched, *permute, *relabel])}
    truth = {of: changed[of] if of in changed else read(of) for of in dict.fromkeys(withheld)}
    for of in wanted:  # what the preparation did not give is for the measure to say
        if isinstance(of, LabelFile) or of in arrays:
            truth[of] = changed[of] if of in changed else read(of)
    classes = sorted({_plain(of) for place in relabel for of in np.unique(changed[place]).tolist()})
    if relabel and any(of != of for of in classes):  # noqa: PLR0124 - only NaN is not itself
        raise BadInput(f"{where}: relabel: NaN among the labels is no class; leave its rows out")
    renamed = _renamed(classes, secret, seed, where) if relabel else {}
    for of in permute:
        order = np.random.default_rng(_digits(secret, seed, "order")).permutation(len(changed[of]))
        changed[of] = changed[of][order]
    for of in relabel:
        given = [renamed[_plain(one)] for one in changed[of].ravel().tolist()]
        dtype = (
            None if changed[of].dtype.kind in "US" else changed[of].dtype
        )  # a class may have a longer name than those there
        changed[of] = np.array(given, dtype=dtype).reshape(changed[of].shape)
    for of, labels in changed.items():
        if isinstance(of, LabelFile):
            _put(folder, of, labels, where)
        else:
            arrays[of] = labels
    for of in withheld:
        if isinstance(of, LabelFile):
            (folder / of.path).unlink()
            (folder / of.path).touch()
            os.utime(folder / of.path, (_DATE, _DATE))
        else:
            arrays.pop(of)
    if any(isinstance(of, str) for of in (*changed, *withheld)):
        (folder / DATA_FILE).unlink()
        save_arrays(folder, arrays)
        os.utime(folder / DATA_FILE, (_DATE, _DATE))
    return Handed(truth=truth, renamed=renamed)


def _put(folder: Path, of: LabelFile, labels: Labels, where: str) -> None:
    try:
        write_labels(folder, of, labels)
    except OSError:
        raise
    except Exception as problem:  # noqa: BLE001 - what else lies in an .npz may be damaged
        raise BadInput(f"{where}: {of}: other labels cannot be written there: {problem}") from None


def _digits(secret: str, seed: int, what: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{secret} {seed} {what}".encode()).digest(), "big")


def _renamed(classes: list[Any], secret: str, seed: int, where: str) -> dict[Any, Any]:
    """Another class's name for each class, drawn at random."""
    if not 2 <= len(classes) <= 10_000:
        raise BadInput(f"{where}: relabel needs 2 to 10,000 classes, found {len(classes)}")
    rng = np.random.default_rng(_digits(secret, seed, "names"))
    while True:
        drawn = rng.permutation(len(classes))
        if not np.any(drawn == np.arange(len(classes))):
            return {of: classes[at] for of, at in zip(classes, drawn.tolist(), strict=True)}
