"""A safetensors header is refused where the library of safetensors refuses it, and nowhere else."""

from __future__ import annotations

import json
import struct
import time
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
from hypothesis import given, settings
from hypothesis import strategies as st
from releases.small import release
from safetensors.numpy import save_file

from openassay.checks.check import answer
from openassay.checks.registry import CONSISTENCY
from openassay.published import weights
from openassay.published.scalars import Unreadable
from openassay.published.weights import read_header


def written(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(begin: int, end: int, shape: Any = None, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": [(end - begin) // 4] if shape is None else shape, "data_offsets": [begin, end]}


def library_reads(content: bytes) -> bool:
    try:
        safetensors.deserialize(content)
    except safetensors.SafetensorError:
        return False
    return True


REFUSED: dict[str, tuple[bytes, str]] = {
    "overlap": (written({"a": entry(0, 8), "b": entry(4, 12)}, bytes(12)), "'b' overlaps the tensor before it by 4 bytes"),
    "hole": (written({"a": entry(0, 8), "b": entry(12, 20)}, bytes(20)), "4 bytes before 'b' belong to no tensor"),
    "hole at the start": (written({"a": entry(4, 8)}, bytes(8)), "4 bytes before 'a' belong to no tensor"),
    "unknown type": (written({"a": entry(0, 8, dtype="F33")}, bytes(8)), "'a' is of type 'F33'"),
    "trailing bytes": (written({"a": entry(0, 8)}, bytes(11)), "3 bytes after the last tensor belong to none"),
    "bytes without a tensor": (written({}, bytes(3)), "3 bytes after the last tensor"),
    "beyond the file": (written({"a": entry(0, 8)}, bytes(4)), "'a' lies outside the file"),
    "shape and bytes": (written({"a": entry(0, 8, [3])}, bytes(8)), "'a' has 8 bytes, its type and shape need 12 bytes"),
    "half a byte": (written({"a": entry(0, 2, [3], "F4")}, bytes(2)), "need 12 bits"),
    "end before start": (written({"a": entry(8, 4, [1])}, bytes(8)), "'a' has -4 bytes"),
    "a shape beyond 64 bits": (written({"a": entry(0, 0, [2**63, 2, 0])}), "larger than 64 bits"),
    "a negative length": (written({"a": entry(0, 8, [-1, -2])}, bytes(8)), "malformed"),
    "a length that is no whole number": (written({"a": entry(0, 8, [2.0])}, bytes(8)), "malformed"),
    "three offsets": (written({"a": entry(0, 8) | {"data_offsets": [0, 8, 8]}}, bytes(8)), "malformed"),
    "a field twice": (written(b'{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8)), "malformed"),
    "metadata twice": (written(b'{"__metadata__":{},"__metadata__":{}}'), "'__metadata__' stands twice"),
    "metadata that are no words": (written({"__metadata__": {"a": 1}}), "'__metadata__' is no mapping"),
    "a constant that is no JSON": (written({"a": entry(0, 8) | {"scale": float("nan")}}, bytes(8)), "not JSON"),
    "half a surrogate pair": (written(b'{"\\ud800":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8)), "not JSON"),
    "another encoding": (written(json.dumps({"a": entry(0, 8)}).encode("utf-16"), bytes(8)), "not JSON"),
    "a list": (written([]), "no mapping"),
    "a header beyond the file": (struct.pack("<Q", 100) + b"{}", "a header of 100 bytes"),
    "nothing after the length": (b"\x02\0\0", "shorter than its header"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_library_refuses_is_refused_with_tensor_and_rule(what: str, tmp_path: Path) -> None:
    content, says = REFUSED[what]
    assert not library_reads(content)
    found = release(tmp_path, {"a.safetensors": content})
    assert says in found.unreadable["a.safetensors"]
    (problem,) = answer(next(check for check in CONSISTENCY if check.kind == "not_readable"), found).problems
    assert problem.evidence[0].path == "a.safetensors"
    assert says in problem.message


def test_a_tensor_that_is_named_twice_loads_and_is_named(tmp_path: Path) -> None:
    given = ",".join(f'"a":{json.dumps(entry(0, 8, shape))}' for shape in ([2], [1, 2]))
    content = written(f"{{{given}}}".encode(), bytes(8))
    ((name, loaded),) = safetensors.deserialize(content)
    assert (name, loaded["shape"]) == ("a", [1, 2])  # the last, and nothing is said
    found = release(tmp_path, {"a.safetensors": content})
    assert found.weights["a.safetensors"]["a"][1] == (1, 2)
    assert not found.unreadable
    (problem,) = answer(next(check for check in CONSISTENCY if check.kind == "tensor_stands_twice"), found).problems
    assert "names 'a' more than once" in problem.message


READ = {
    "no tensors": written({}),
    "spaces around the header": written(b'  {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}  ', bytes(8)),
    "tensors of no bytes": written({"a": entry(0, 8), "b": entry(8, 8, [0, 5]), "c": entry(0, 0, [0])}, bytes(8)),
    "tensors in another order": written({"b": entry(8, 12), "a": entry(0, 8)}, bytes(12)),
    "a field more": written({"a": entry(0, 8) | {"scale": 2}}, bytes(8)),
    "no metadata": written({"__metadata__": None, "a": entry(0, 8)}, bytes(8)),
    "small floats": written({"a": entry(0, 3, [6], "F4"), "b": entry(3, 5, [2], "F8_E4M3FNUZ")}, bytes(5)),
}


@pytest.mark.parametrize("what", READ)
def test_what_the_library_reads_is_read(what: str, tmp_path: Path) -> None:
    assert library_reads(READ[what])
    assert not release(tmp_path, {"a.safetensors": READ[what]}).unreadable


def test_files_of_the_librarys_own_writer_are_read(tmp_path: Path) -> None:
    kinds = (np.float64, np.float32, np.float16, np.int64, np.int32, np.int16, np.int8, np.uint8, np.uint16, np.bool_)
    arrays = {f"t{i}": np.ones((i, 2), kind) for i, kind in enumerate(kinds)}
    save_file(arrays, tmp_path / "a.safetensors", metadata={"format": "np"})
    header = read_header(tmp_path / "a.safetensors")
    assert header is not None
    assert {name: shape for name, (_, shape, _, _) in header.tensors.items()} == {n: a.shape for n, a in arrays.items()}


NUMBERS = st.sampled_from([0, 1, 2, 4, 8, 12, 16, 2**32, 2**63, -1, True, 1.0, None, "8"])
LIKELY = st.sampled_from([0, 4, 8, 12, 16])
ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F32", "F16", "F4", "F6_E2M3", "C64", "F33", 1]),
        "shape": st.lists(LIKELY | NUMBERS, max_size=3),
        "data_offsets": st.tuples(LIKELY, LIKELY).map(sorted) | st.lists(NUMBERS, max_size=3),
    },
    optional={"more": NUMBERS},
)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), ENTRIES | NUMBERS, max_size=3), st.sampled_from([0, 4, 8, 12, 16]))
def test_the_library_and_the_check_agree_on_every_header(header: dict[str, Any], num_bytes: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.safetensors")
        path.write_bytes(written(header, bytes(num_bytes)))
        try:
            read_header(path)
            is_read = True
        except Unreadable:
            is_read = False
        assert is_read == library_reads(path.read_bytes())


def torch_file(path: Path, index: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", index)
        archive.writestr("archive/data/0", bytes(64))
    return path


def tensor(shape: bytes) -> bytes:
    """A state dict with the tensor `a` of a shape, by opcodes."""
    stored = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x10tQ"
    return b"\x80\x02}X\x01\0\0\0actorch._utils\n_rebuild_tensor_v2\n(" + stored + b"K\0" + shape + shape + b"tRs."


def test_an_index_by_opcodes_names_its_tensor_and_one_of_too_many_axes_is_refused(tmp_path: Path) -> None:
    assert read_header(torch_file(tmp_path / "a.pt", tensor(b"K\x01\x85"))).tensors["a"][:2] == ("F32", (1,))  # type: ignore[union-attr]
    begun = time.process_time()
    for shape in (b"(" + b"K\x01" * 50_000 + b"t", b"\x8a\x09" + bytes(8) + b"\x01\x85"):
        with pytest.raises(Unreadable, match="not a torch file"):
            read_header(torch_file(tmp_path / "a.pt", tensor(shape)))
    assert time.process_time() - begun < 5


def test_an_index_takes_no_more_memory_than_it_has_bytes(tmp_path: Path) -> None:
    path = torch_file(tmp_path / "a.pt", b"\x80\x05\x96" + struct.pack("<Q", 2**28) + b"abc.")
    tracemalloc.start()
    try:
        with pytest.raises(Unreadable, match="not a torch file"):
            read_header(path)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_an_index_cannot_change_what_reads_the_next_one(tmp_path: Path) -> None:
    """By a state that Python's unpickler would set as attributes of the function that the file names."""
    hostile = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x0c\0\0\0__defaults__Ns\x86b."
    assert read_header(torch_file(tmp_path / "a.pt", hostile)).tensors == {}  # type: ignore[union-attr]
    assert read_header(torch_file(tmp_path / "b.pt", tensor(b")"))).tensors["a"][:2] == ("F32", ())  # type: ignore[union-attr]
    assert weights._rebuilt.__defaults__
