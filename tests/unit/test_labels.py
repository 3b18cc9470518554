"""Labels in the data that a run is handed: every format is read and written back, and no arm's files tell which it is."""

from __future__ import annotations

import gzip
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from openassay.drivers.job import LabelFile, load_arrays, save_arrays
from openassay.drivers.labels import Handed, hand_over, read_labels, write_labels
from openassay.faults import BadInput
from openassay.records import parse

TRUE = np.array([0, 1, 2, 1, 0, 2, 2, 1])


def idx(labels: Any) -> bytes:
    return b"\0\0\x08\x01" + len(labels).to_bytes(4, "big") + bytes(labels.tolist())


FILES: dict[str, LabelFile] = {
    "npy": LabelFile(path="y.npy"), "npz": LabelFile(path="d/all.npz", key="y"), "csv": LabelFile(path="all.csv", key="label"),
    "tsv": LabelFile(path="all.tsv", key="label"), "idx": LabelFile(path="t10k-labels-idx1-ubyte"),
    "idx.gz": LabelFile(path="t10k-labels-idx1-ubyte.gz"),
}  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "d").mkdir(parents=True)
    np.save(folder / "y.npy", TRUE)
    np.savez(folder / "d" / "all.npz", x=np.arange(8.0), y=TRUE)
    for name, separator, end in (("all.csv", ",", "\r\n"), ("all.tsv", "\t", "\n")):
        rows = [
            separator.join(["x", "label", "name"]),
            *(separator.join([f"{i}.50", str(of), "a b"]) for i, of in enumerate(TRUE)),
        ]
        (folder / name).write_bytes((end.join(rows) + end).encode())
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(TRUE))
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(TRUE)))
    save_arrays(folder, {"x": np.arange(8.0), "y": TRUE})
    return folder


def handed(folder: Path, touched: tuple[str | LabelFile, ...], **more: Any) -> Handed:
    given: dict[str, Any] = {"permute": (), "relabel": (), "withheld": (), "wanted": (), "secret": "s"}
    return hand_over(folder, **given | more, touched=touched, seed=1, where="x.yaml: rerun")


@pytest.mark.parametrize("of", FILES.values(), ids=FILES)
def test_labels_are_read_and_written_back_and_nothing_else_changes(of: LabelFile, data: Path) -> None:
    found = read_labels(data, of)
    assert found.astype(int).tolist() == TRUE.tolist()
    plain = (data / of.path).read_bytes()
    write_labels(data, of, found)
    if of.path.endswith((".csv", ".tsv", "ubyte", ".npy")):
        assert (data / of.path).read_bytes() == plain
    write_labels(data, of, found[::-1])
    assert read_labels(data, of).astype(int).tolist() == TRUE[::-1].tolist()
    if of.key == "y":
        assert np.load(data / of.path)["x"].tolist() == list(range(8))


@pytest.mark.parametrize("of", [*FILES.values(), "y"], ids=[*FILES, "array"])
def test_no_arms_files_tell_which_it_is(of: str | LabelFile, data: Path, tmp_path: Path) -> None:
    """Of one size and date; what differs is the labels' order or names, drawn from what the run cannot know."""
    path = of.path if isinstance(of, LabelFile) else "data.npz"
    seen = {}
    for arm, change in (("faithful", {}), ("permuted", {"permute": [of]}), ("renamed", {"relabel": [of]})):
        folder = Path(shutil.copytree(data, tmp_path / arm))
        handed(folder, (of,), **change)
        stat = (folder / path).stat()
        labels = read_labels(folder, of) if isinstance(of, LabelFile) else load_arrays(folder)["y"]
        seen[arm] = (stat.st_size, stat.st_mtime_ns), labels.astype(int).tolist()
    if not path.endswith(".gz"):  # how well labels compress depends on their order
        assert len({of for of, _ in seen.values()}) == 1
    assert seen["faithful"][1] == TRUE.tolist()
    assert sorted(seen["permuted"][1]) == sorted(TRUE.tolist())
    assert seen["permuted"][1] != TRUE.tolist()
    names = {(a, b) for a, b in zip(TRUE.tolist(), seen["renamed"][1], strict=True)}
    assert len(names) == 3
    assert all(a != b for a, b in names)
    other = Path(shutil.copytree(data, tmp_path / "other"))
    handed(other, (of,), secret="another", permute=[of])
    order = read_labels(other, of) if isinstance(of, LabelFile) else load_arrays(other)["y"]
    assert order.astype(int).tolist() != seen["permuted"][1]


def test_what_is_withheld_is_not_there_and_our_evaluator_has_it(data: Path) -> None:
    of = FILES["csv"]
    found = handed(data, (), withheld=[of, "y"], wanted=[of, "y"])
    assert (data / of.path).read_bytes() == b""
    assert sorted(load_arrays(data)) == ["x"]
    assert found.truth["y"].tolist() == TRUE.tolist()
    assert found.truth[of].tolist() == [str(label) for label in TRUE]


def test_new_names_of_classes_are_undone_in_predictions_and_in_scores(data: Path) -> None:
    found = handed(data, ("y",), relabel=["y"])
    given = load_arrays(data)["y"]
    assert given.tolist() != TRUE.tolist()
    assert found.undone(given).tolist() == TRUE.tolist()
    assert found.undone(given.astype(float)).tolist() == TRUE.tolist()
    scores = np.eye(3)[given]
    assert np.argmax(found.undone(scores), axis=1).tolist() == TRUE.tolist()
    words = replace(found, renamed={"a": "b", "b": "a"})
    assert words.undone(np.array(["a", "b", "c"])).tolist() == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("of", "content", "says"),
    [
        (LabelFile(path="gone.npy"), b"", "there is no such file"),
        ("z", b"", "no array 'z'; it has x, y"),
        (LabelFile(path="all.csv", key="class"), b"", "expected one column 'class'"),
        (LabelFile(path="q.csv", key="label"), b'label\n"a,b"\n', "quoted cells"),
        (LabelFile(path="q.csv", key="label"), b"x,label\n1\n", "not every line has 2 cells"),
        (LabelFile(path="q-idx1-ubyte"), b"\0\0\x08\x03", "no IDX file of one byte a label"),
        (LabelFile(path="q.npz", key="y"), b"PK", "no labels can be read there"),
    ],
)  # fmt: skip
def test_labels_that_are_not_there_are_the_targets_slip(
    of: str | LabelFile, content: bytes, says: str, data: Path
) -> None:
    if content and isinstance(of, LabelFile):
        (data / of.path).write_bytes(content)
    with pytest.raises(BadInput, match=r"^x\.yaml: rerun: ") as caught:
        handed(data, (of,))
    assert says in str(caught.value)


@pytest.mark.parametrize(("path", "key"), [("y.parquet", "y"), ("y.csv", ""), ("y.npz", ""), ("../y.npy", "")])
def test_a_place_of_labels_that_we_cannot_read_is_refused(path: str, key: str) -> None:
    with pytest.raises(BadInput):
        parse(LabelFile, {"path": path, "key": key}, "x.yaml")
