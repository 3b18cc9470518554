"""What loading a pickle would import is named from its opcodes, as the unpickler itself would ask for it; nothing runs."""

from __future__ import annotations

import bz2
import datetime
import gzip
import io
import os
import pickle
import random
import time
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from releases.small import release, write
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from torch._weights_only_unpickler import _get_allowed_globals

from openassay.checks.check import answer
from openassay.checks.registry import CONSISTENCY
from openassay.core.findings import CheckAnswer
from openassay.published import pickles
from openassay.published.pickles import PickleReader
from openassay.published.read import read_release

IMPORTS = next(check for check in CONSISTENCY if check.kind == "pickle_imports")


class Nothing:
    """Takes whatever an unpickler gives it."""

    def __new__(cls, *_: Any, **__: Any) -> Any:
        return object.__new__(cls)

    def nothing(self, *_: Any) -> None: ...

    __setstate__ = __setitem__ = append = extend = add = update = nothing


class Recorded(pickle._Unpickler):
    """Python's own unpickler, which asks for names and gets nothing."""

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self.asked: list[str] = []

    def find_class(self, module: str, name: str) -> Any:
        self.asked.append(f"{module}.{name}")
        return Nothing


class Runs:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


def asked(path: Path) -> CheckAnswer:
    return answer(IMPORTS, read_release(path))


def imports(path: Path) -> list[str]:
    (found,) = PickleReader().read(path, path.name, path.suffix)
    assert (found.problem, found.unread, found.unnamed) == ("", "", 0)
    return list(found.imports)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_names_what_pythons_unpickler_asks_for(protocol: int, tmp_path: Path) -> None:
    values = {
        "run": Runs(f"touch {tmp_path}/run"), "day": datetime.date(2020, 1, 1), "again": [datetime.date(2021, 1, 1)],
        "array": np.arange(3), "order": OrderedDict(a=1), "set": {1}, "path": tmp_path, "big": 2**70, "f": -1.5, "b": b"x",
    }  # fmt: skip
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(values, protocol=protocol))
    with path.open("rb") as file:
        python = Recorded(file)
        python.load()
    assert imports(path) == list(dict.fromkeys(python.asked))
    (problem,) = asked(path).problems
    assert "a.pkl: unpickling it imports posix.system, datetime.date, pathlib" in problem.message
    assert "numpy" not in problem.message
    assert not (tmp_path / "run").exists()


def test_an_import_is_a_fact_and_no_failure(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(datetime.date(2020, 1, 1)))
    assert asked(tmp_path).outcome == "noted"


def test_what_torch_loads_with_weights_only_is_ordinary(tmp_path: Path) -> None:
    from openassay.checks.loading import _ORDINARY

    assert not [name for name in _get_allowed_globals() if not _ORDINARY.fullmatch(name)]
    for dangerous in ("torch.load", "torch.storage._load_from_bytes", "torch.hub.load", "builtins.eval", "os.system"):
        assert not _ORDINARY.fullmatch(dangerous)
    network = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1).bfloat16())
    optimizer = torch.optim.AdamW(network.parameters())
    network[0](torch.ones(1, 2)).sum().backward()
    optimizer.step()
    state = {"model": network.state_dict(), "optimizer": optimizer.state_dict(), "step": torch.tensor(3)}
    torch.save(state, tmp_path / "zip.pt")
    torch.save(state, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    torch.save(np.arange(624, dtype=np.uint32), tmp_path / "rng_state.pth")
    torch.jit.script(network[0]).save(str(tmp_path / "script.pt"))
    found = asked(tmp_path)
    assert found.outcome == "pass"
    assert {seen.path.partition(":")[0] for seen in found.looked_at} == {
        "zip.pt",
        "old.bin",
        "rng_state.pth",
        "script.pt",
    }


def test_a_whole_network_in_a_torch_file_names_its_classes(tmp_path: Path) -> None:
    torch.save(torch.nn.Sequential(torch.nn.ReLU()), tmp_path / "network.pth")
    torch.save(torch.nn.ReLU(), tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    messages = [problem.message for problem in asked(tmp_path).problems]
    assert messages[0].startswith(
        "network.pth: network/data.pkl: unpickling it imports torch.nn.modules.container.Sequential"
    )
    assert messages[1].startswith("old.bin: unpickling it imports torch.nn.modules.activation.ReLU")


@pytest.mark.parametrize(
    ("name", "compress"),
    [("m.joblib", 0), ("m.joblib", 3), ("m.pkl", ("gzip", 3)), ("m.pkl", ("bz2", 3)), ("m.pkl", ("xz", 3)), ("m.pkl", ("lzma", 3))],
)  # fmt: skip
def test_joblib_is_read_past_its_arrays(name: str, compress: Any, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    inputs = generator.random((60, 4))
    labels = np.array(["a", "b"])[(inputs[:, 0] > 0.5).astype(int)]
    objects = np.array(["x", None, datetime.date(2020, 1, 1)], dtype=object)
    records = np.array([(1, objects[0])], dtype=[("n", "i4"), ("o", "O")])
    model = {
        "forest": RandomForestClassifier(2, random_state=0).fit(inputs, labels), "objects": objects, "records": records,
        "dates": np.array(["2020-01-01"], "M8[D]"), "empty": np.zeros((0, 3)), "one": np.array(1.0),
        "line": LogisticRegression().fit(inputs, labels), "last": Runs("true"),
    }  # fmt: skip
    joblib.dump(model, tmp_path / name, compress=compress)
    if compress == ("lzma", 3):  # the old container of xz has no mark at its start
        assert PickleReader().read(tmp_path / name, name, ".pkl") == []
        return
    found = imports(tmp_path / name)
    assert found[0] == "sklearn.ensemble._forest.RandomForestClassifier"
    assert found[-2:] == ["sklearn.linear_model._logistic.LogisticRegression", "posix.system"]
    assert "datetime.date" in found


def zipped(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"archive/{name}.pkl", content)
    return stream.getvalue()


DATE = pickle.dumps([datetime.date(2020, 1, 1), {"a": "b" * 300}])
CUT: dict[str, tuple[str, bytes]] = {
    "cut off": ("a.pkl", DATE[:-20]),
    "without its end": ("a.pkl", DATE[:-1]),
    "an unknown opcode": ("a.pt", b"\x80\x04\xff."),
    "an empty stack": ("a.pkl", b"\x80\x04R."),
    "a stack without a mark": ("a.pkl", b"\x80\x04]K\x01e."),
    "a memo without the entry": ("a.pkl", b"\x80\x04h\x05."),
    "bytes beyond the file": ("a.ckpt", b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b"x."),
    "a cut torch file": ("a.bin", pickles._TORCH_MAGIC + b"\x80\x02M\xe9\x03.\x80\x02}q\x00(X"),
    "a cut gzip": ("a.pkl", gzip.compress(pickle.dumps([bytes(range(256)), os.system, random.Random(0).randbytes(9000)]))[:5000]),
    "inside a zip": ("a.pt", zipped(data=DATE[:-1])),
}  # fmt: skip


@pytest.mark.parametrize("what", CUT)
def test_a_pickle_that_cannot_be_read_to_its_end_is_named(what: str, tmp_path: Path) -> None:
    name, content = CUT[what]
    found = release(tmp_path, {name: content})
    (broken,) = found.pickles
    assert broken.problem
    check = next(check for check in CONSISTENCY if check.kind == "not_readable")
    messages = [problem.message for problem in answer(check, found).problems]
    assert any("begins as a pickle, but cannot be read to its end" in message for message in messages)


NONE: dict[str, bytes] = {
    "a.bin": b"\x80\x02" + np.arange(500, dtype="<u2").tobytes(),  # tokens
    "b.bin": np.arange(500, dtype="<f4").tobytes(),
    "c.pth": b"import sys; exec('')\n/somewhere\n",
    "d.pkl": b"a text, not a pickle.\n",
    "e.ckpt": b"\x00\x00\x01tensorflow",
    "f.pkl": bz2.compress(b"words"),
    "g.pkl": b"x\x9cwords",
    "h.pt": b"PK\x03\x04 no zip",
    "i.joblib": b"",
    "j.pkl": b".",
}


@pytest.mark.parametrize("name", NONE)
def test_other_content_under_the_same_names_is_no_pickle(name: str, tmp_path: Path) -> None:
    found = release(tmp_path, {name: NONE[name]})
    assert found.pickles == []
    assert not any("pickle" in why for why in found.unreadable.values())


def test_a_name_that_only_loading_tells_is_counted(tmp_path: Path) -> None:
    made = b"\x80\x04\x8c\x02os\x8c\x08builtins\x8c\x03str\x93)R\x93."  # os, and what str() gives
    write(tmp_path, {"a.pkl": made, "b.pkl": b"\x80\x04\x82\x01."})
    messages = [problem.message for problem in asked(tmp_path).problems]
    assert messages == [
        f"{name}: unpickling it imports 1 that the file does not name in words, which tensors and arrays do not need"
        for name in ("a.pkl", "b.pkl")
    ]  # fmt: skip


def test_a_word_from_the_memo_and_a_doubled_one_name_an_import(tmp_path: Path) -> None:
    write(tmp_path, {"a.pkl": b"\x80\x04\x8c\x02os\x94\x8c\x06system\x9400h\x00h\x01\x93."})
    assert imports(tmp_path / "a.pkl") == ["os.system"]
    write(tmp_path, {"a.pkl": b"\x80\x04\x8c\x04math2\x93."})
    assert imports(tmp_path / "a.pkl") == ["math.math"]


def test_what_exceeds_a_limit_is_told_and_accuses_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "MAX_OPCODES", 1000)
    write(tmp_path, {"a.pkl": pickle.dumps([*range(2000)]), "b.pkl": DATE})
    found = read_release(tmp_path)
    assert "a pickle that was not read to its end: more than 1000 opcodes in all" in found.unreadable["a.pkl"]
    given = answer(IMPORTS, found)
    assert given.problems == ()
    assert "a.pkl was not read to its end" in given.why
    monkeypatch.undo()
    monkeypatch.setattr(pickles, "MAX_BYTES", 1000)
    found = release(tmp_path, {"a.pkl": pickle.dumps(b"x" * 2000), "b.pkl": DATE})
    assert "more than 1000 bytes" in found.unreadable["a.pkl"]
    assert answer(IMPORTS, found).outcome == "noted"


def test_a_bomb_of_opcodes_takes_seconds(tmp_path: Path) -> None:
    write(tmp_path, {f"{i}.pkl": b"\x80\x04" + b"]0" * 1_000_000 + b"." for i in range(3)})
    before = time.process_time()
    found = read_release(tmp_path)
    assert time.process_time() - before < 40
    assert len(found.pickles) == 3


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.integers(2, 5), st.integers(0, 2**32))
def test_no_bytes_break_the_reader_and_names_are_those_of_python(data: bytes, protocol: int, seed: int) -> None:
    import tempfile

    mixed = random.Random(seed)
    pieces = [b"\x8c\x02os", b"\x8c\x06system", b"\x93", b"cos\nsystem\n", b"(", b")", b"\x85", b"\x86", b"t", b"R", b"\x94", b"h\x00", b"h\x01", b"2", b"0", b"1", b"}", b"s", b"u", b"b", b"\x81", b"]", b"a", b"e", b"N"]  # fmt: skip
    content = bytes([0x80, protocol]) + b"".join(mixed.choices(pieces, k=mixed.randrange(20))) + data + b"."
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.pkl")
        path.write_bytes(content)
        found = PickleReader().read(path, "a.pkl", ".pkl")
        python = Recorded(io.BytesIO(content))
        try:
            python.load()
        except Exception:  # noqa: BLE001 - hostile bytes raise anything
            return
        if found and not found[0].problem and not found[0].unread:
            assert list(found[0].imports) == list(dict.fromkeys(python.asked)) or found[0].unnamed
