"""A release is read once, bounded, and nothing in it runs; what cannot be read is listed with its reason."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import struct
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from releases.small import NEOX, Files, megatron, release, safetensors, write

from openassay import store
from openassay.checks.inspection import inspect_folder
from openassay.checks.registry import run_checks
from openassay.published import read, weights
from openassay.published.marked import parse_marked
from openassay.published.read import read_release
from openassay.published.scalars import Unreadable, as_number, number, yaml_1_1, yaml_1_2
from openassay.published.settings import read_settings


def values(folder: Path, name: str) -> dict[str, Any]:
    config = next(config for config in read_release(folder).configs if config.path == name)
    return {value.key: (value.value, value.line) for value in config.values}


def test_settings_of_every_format_keep_their_lines(tmp_path: Path) -> None:
    write(tmp_path, {
        "a.yaml": "a: 1\nb:\n  c: [1, 2]\n  d: 'x'\n", "b.json": '{\n "lr": 1e-3,\n "m": {"lr": "lr",\n "n": [1, 2]}\n}',
        "c.toml": "[project]\nname = 'x'\n", "d.gin": "# no\nrun.steps = 100\nx/run.list = \\\n  [1,\n   2]\n",
    })  # fmt: skip
    assert values(tmp_path, "a.yaml")["b.d"] == ("x", 4)
    assert values(tmp_path, "a.yaml")["b.c"] == ((1, 2), 3)
    assert values(tmp_path, "b.json") == {
        "lr": (1e-3, 2),
        "m.lr": ("lr", 3),
        "m.n.0": (1, 4),
        "m.n.1": (2, 4),
        "m.n": ((1, 2), 4),
    }
    assert values(tmp_path, "c.toml")["project.name"] == ("x", 2)
    assert values(tmp_path, "d.gin") == {
        "run.steps": (100, 2),
        "x.run.list.0": (1, 3),
        "x.run.list.1": (2, 3),
        "x.run.list": ((1, 2), 3),
    }


def test_settings_in_json_with_comments_as_gpt_neox_has_them_are_yaml(tmp_path: Path) -> None:
    write(tmp_path, {"m.yml": NEOX})
    assert values(tmp_path, "m.yml")["optimizer.params.lr"] == (0.001, 8)
    config = read_release(tmp_path).configs[0]
    assert (9, "batch size (trained on 32 gpus)") in config.comments


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.yaml", "[" * 5000, "levels"),
        ("a.yaml", "a: [1, 2", "not YAML"),
        ("a.yaml", b"a: \xff\x00b\n", "zero bytes"),
        ("a.json", '{"a": ', "not JSON"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.toml", "= 1", "not TOML"),
        ("a.py", "def (", "not Python 3"),
        ("a.csv", "a,b\n1,2,3\n", "3 cells, expected 2"),
        ("a.safetensors", b"", "empty"),
        ("a.safetensors", struct.pack("<Q", 2**60) + b"{}", "not safetensors"),
        ("a.safetensors", struct.pack("<Q", 2) + b"[]", "not safetensors"),
        ("a.safetensors", struct.pack("<Q", 79) + b'{"w": {"dtype": "F32", "shape": [1099511627776], "data_offsets": [0, 4398046]}}', "outside the file"),
        ("a.pt", b"PK\x03\x04" + b"x" * 50, "not a torch file"),
        ("a.idx", b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, 8, 2**50, 1), "cut off"),
        ("a.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': broken", "malformed"),
        ("a.jsonl", '{"token_ids": [1]}\n{"token', "line 2 is not JSON"),
    ],
)  # fmt: skip
def test_what_is_broken_is_listed_with_its_reason(name: str, content: Any, reason: str, tmp_path: Path) -> None:
    found = release(tmp_path, {name: content})
    assert reason in found.unreadable[name]
    run_checks(found)


def test_aliases_are_expanded_within_a_bound(tmp_path: Path) -> None:
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        found = release(tmp_path, {"bomb.yaml": BOMB})
    finally:
        sys.setprofile(before)
    assert calls < 1_000_000  # all of it would take 3 to the power of 39
    assert "aliases that repeat" in found.unreadable["bomb.yaml"]
    small = release(tmp_path / "small", {"a.yaml": "a: &x {lr: 0.1}\nb: *x\nc: {<<: *x, d: 1}\n"}).configs[0]
    assert {key: value.value for key, value in small.by_key.items()} == {
        "a.lr": 0.1,
        "b.lr": 0.1,
        "c.lr": 0.1,
        "c.d": 1,
    }


def test_links_are_not_followed_and_large_files_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("lr: 1\n")
    folder = write(tmp_path / "release", {"a.yaml": "a: 1\n"})
    (folder / "link.yaml").symlink_to(tmp_path / "secret")
    (folder / "up").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.yaml")
    with (folder / "big.yaml").open("wb") as file:
        file.truncate(10 * 2**30)
    found = read_release(folder)
    assert [config.path for config in found.configs] == ["a.yaml"]
    assert {file.path for file in found.files} == {"a.yaml", "big.yaml"}
    assert "at most" in found.unreadable["big.yaml"]


def test_more_files_than_are_looked_at_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "MAX_FILES", 3)
    found = release(tmp_path, {f"{i}.txt": "" for i in range(5)})
    assert len(found.files) == 3
    assert "more than 3 files" in found.unreadable["."]


def test_more_bytes_than_are_read_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "MAX_READ", 10)
    found = release(tmp_path, {"a.yaml": "a: 123456789\n"})
    assert "in all" in found.unreadable["a.yaml"]


def test_a_pickle_in_a_torch_file_runs_nothing(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path}/run",)

    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"w": Evil(), "v": [Evil()]}))
    found = read_release(tmp_path)
    assert not (tmp_path / "run").exists()
    assert found.weights["model.pt"] == {}


def test_a_torch_file_of_more_members_than_are_read_is_not_called_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        for i in range(6):
            archive.writestr(f"archive/data/{i}", b"")
    monkeypatch.setattr(store, "MAX_FILES", 5)
    found = read_release(tmp_path)
    assert found.unreadable == {"model.pt": "not read: it holds more than 5 files"}
    assert all(given.outcome != "fail" for given in run_checks(found))


def test_torch_files_are_read_as_torch_reads_them(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    state = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.bfloat16), "n": torch.tensor(3)}
    torch.save({"state_dict": state, "step": 5}, tmp_path / "model.pt")
    torch.save(state, tmp_path / "plain.bin")
    for name in ("model.pt", "plain.bin"):
        header = weights.read_header(tmp_path / name)
        assert header is not None
        assert {name: tensor[:2] for name, tensor in header.tensors.items()} == {
            "a": ("F32", (2, 3)),
            "b": ("BF16", (4,)),
            "n": ("I64", ()),
        }
        numbers = weights._numbers(header, "a", 0, 6)
        assert numbers is not None
        assert numbers.tolist() == state["a"].flatten().tolist()
        halves = weights._numbers(header, "b", 0, 4)
        assert halves is not None
        assert halves.tolist() == [1.0] * 4


def test_one_checkpoint_in_two_packings_has_one_digest(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    array = np.arange(6, dtype=np.float32)
    write(tmp_path, {"step1/model.safetensors": safetensors(w=array)})
    (tmp_path / "step2").mkdir()
    torch.save({"w": torch.from_numpy(array)}, tmp_path / "step2" / "model.pt")
    one, two = read_release(tmp_path).checkpoints
    assert one.sha256 == two.sha256
    assert (one.step, two.step) == (1, 2)


def test_movements_are_measured_in_pieces_as_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    before = generator.normal(size=(40, 50)).astype(np.float32)
    after = before + generator.normal(size=before.shape).astype(np.float32)
    files = {"step1/a.safetensors": safetensors(w=before), "step2/a.safetensors": safetensors(w=after)}
    whole = release(tmp_path, files).movements[0]
    monkeypatch.setattr(weights, "PIECE", 7)
    assert read_release(tmp_path).movements[0] == whole
    assert whole.largest == pytest.approx(float(np.abs(after - before).max()), rel=1e-5)
    assert whole.tensor == "w"


def test_a_megatron_index_gives_the_items_and_the_witness_of_their_order(tmp_path: Path) -> None:
    index, data = megatron([[i] * 2049 for i in range(4)])
    (found,) = release(tmp_path, {"d.idx": index, "d.bin": data}).items
    assert (found.num_items, found.length, found.problem) == (4, 2049, "")


def test_a_pointer_of_git_lfs_is_no_file(tmp_path: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"
    found = release(tmp_path, {"model.safetensors": pointer})
    assert found.pointers == {"model.safetensors"}
    assert not found.weights


def test_front_matter_keeps_the_lines_of_its_file(tmp_path: Path) -> None:
    (text,) = release(tmp_path, {"README.md": "---\nlicense: mit\ntags:\n- x\n---\n# Title\n"}).texts
    assert text.front is not None
    assert text.front.by_key["license"].line == 2
    assert [line for line, _ in text.prose] == [6]


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for name in ("a.yaml", "a.json", "a.gin", "a.csv", "README.md", "a.safetensors", "a.idx", "a.npy", "a.jsonl"):
            Path(folder, name).write_bytes(data)
        assert not [of for of in run_checks(read_release(Path(folder))) if of.why.startswith("a slip")]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_no_scalar_breaks_the_readings(text: str) -> None:
    yaml_1_1(text)
    yaml_1_2(text)
    number(text)
    with contextlib.suppress(Unreadable):
        read_settings("a.yaml", text, "yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [("3e-4", 3e-4), ("1,024", 1024.0), ("3×10^-4", 3e-4), ("`0.1`", 0.1), ("−2", -2.0), ("nan", None), ("1e999", None), ("3 layers", None), ("1_000", 1000.0)],
)  # fmt: skip
def test_numbers_of_prose_are_read(text: str, value: float | None) -> None:
    assert number(text) == value


def test_a_truth_value_is_no_number() -> None:
    assert as_number(True) is None
    assert as_number("1e-4") == 1e-4
    assert as_number(10**400) is None


def test_a_record_of_json_lines_under_json_is_not_called_broken(tmp_path: Path) -> None:
    found = release(tmp_path, {"a.json": '{"a": 1}\n{"a": 2}\n', "b.json": "[1, 2]\n[3]\n"})
    assert not found.unreadable


def test_the_pickle_reader_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(
            "archive/data.pkl", b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01ctorch._utils\n_rebuild_tensor_v2\n)Rq\x02u."
        )
    found = release(tmp_path, {"a.pt": stream.getvalue(), "b.json": json.dumps({"a": 1})})
    assert "not a torch file" in found.unreadable["a.pt"]


def _named(header: object) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(8)


@pytest.mark.parametrize("wrong", [{"dtype": ["F32"]}, {"shape": [float("inf")]}, {"data_offsets": [0, float("inf")]}])
def test_a_header_of_weights_with_odd_types_is_told_and_breaks_nothing(wrong: dict[str, Any], tmp_path: Path) -> None:
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | wrong
    found = release(tmp_path, {"a.safetensors": _named({"w": entry})})
    assert found.unreadable["a.safetensors"].endswith(("malformed", "not JSON"))  # there is no Infinity in JSON


@pytest.mark.parametrize(
    ("line", "most_s"),
    [("[" * 100_000, 5), ("[a](" * 10_000, 10), (" " * 200_000 + "x", 5), ("license" + " " * 200_000, 5)],
)
def test_no_line_of_a_readme_takes_for_ever(line: str, most_s: float, tmp_path: Path) -> None:
    write(tmp_path, {"README.md": line + "\n", "a.py": "", "b.py": "", "c.py": "", "d.py": ""})
    before = time.process_time()
    run_checks(read_release(tmp_path))
    assert time.process_time() - before < most_s


INDEX = b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, 8, 2, 1) + struct.pack("<ii", -5, -5) + bytes(24)
DIGEST = "0123456789abcdef" * 4
HOSTILE: dict[str, Files] = {
    "items of negative length": {"d.idx": INDEX, "d.bin": b"0" * 9},
    "an address that is none": {"README.md": "[a](http://[x) [b](//[x)\n", "a.py": "", "b.py": "", "c.py": ""},
    "one step in all rows": {"c.csv": "step,url\n" + "5,https://a.org/x\n" * 12},
    "braces in a shard's name": {"h.txt": "".join(f"{{x}}-0000{i}-of-00004.bin {DIGEST}\n" for i in (1, 2, 4))},
    "as many series as fit": {"h.txt": "".join(f"{i // 2}-{i % 2:06}-of-999999 {DIGEST}\n" for i in range(20_000))},
    "a digit that is no decimal": {
        "tokenizer.json": {"model": {"vocab": {"a": 0}}},
        "tokenizer_config.json": {"added_tokens_decoder": {"\u00b2": {"content": "b"}}},
    },
    "a result beyond floats": {
        "r.json": {"config": {"model_args": "pretrained=m"}, "results": {"t": {"acc": 10**400}}}
    },
    "a log that is a number": {"trainer_state.json": {"log_history": 5}},
    "a class that is its own base": {
        "README.md": "```bash\npython a.py --x 1\n```\n",
        "a.py": "from transformers import HfArgumentParser\nclass A(A):\n    b: int\nHfArgumentParser(A)\n",
    },
    "a default beyond floats": {
        "README.md": "`--lr` (default: 10)\n",
        "a.py": f"import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr', default={10**400})\n",
    },
    "names without end": {"a.py": "a" + ".b" * 2000 + "()\n"},
    "gpus without end": {"m.yml": NEOX.replace("32 gpus", "9" * 5000 + " gpus")},
    "checkpoints without end": {
        "m.yml": NEOX.replace("143000", "1e18").replace('"checkpoint-factor": 1000', '"checkpoint-factor": 1'),
        "README.md": "9" * 5000 + " checkpoints\n",
    },
    "tokens without end": {"m.yml": NEOX, "c.csv": "a,b\nstep" + "9" * 400 + "-tokens1B,1\n"},
}


@pytest.mark.parametrize("what", HOSTILE)
def test_no_hostile_release_breaks_a_check(what: str, tmp_path: Path) -> None:
    inspect_folder(write(tmp_path, HOSTILE[what]))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=10,
)  # fmt: skip


@given(st.dictionaries(st.text(max_size=5), JSON_VALUES, max_size=4), st.sampled_from([None, 1, "\t"]))
def test_json_is_read_as_the_standard_library_reads_it(document: Any, indent: Any) -> None:
    text = json.dumps(document, indent=indent)
    marked = parse_marked(text, "a.json")
    assert marked.is_json
    assert marked.root.plain() == document
    for key, item in marked.root.value.items():
        assert json.dumps(key) in text.split("\n")[item.line - 1]


def test_a_symbolic_link_is_a_name_and_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path, {
        "pkg/__init__.py": "", "pkg/a.py": "from .linked.b import x\nfrom .gone import y\n", "real/b.py": "x = 1\n", "c.py": "",
        "README.md": "[here](docs/guide.md) and [there](docs/none.md), [nowhere](none.md)\n", "manual/guide.md": "",
    })  # fmt: skip
    (tmp_path / "pkg/linked").symlink_to(tmp_path / "real")
    (tmp_path / "docs").symlink_to("manual")
    found = read_release(tmp_path)
    assert found.symlinks == {"pkg/linked", "docs"}
    assert "pkg/linked/b.py" not in found.by_path
    answers = {answer.check: answer for answer in run_checks(found)}
    assert [problem.message for problem in answers["import_absent"].problems] == [
        "pkg/a.py:2 imports .gone, which is not in the release"
    ]
    assert [problem.message for problem in answers["named_file_absent"].problems] == [
        "README.md:1 names none.md, which is not in the release"
    ]


def test_what_was_not_fetched_is_not_called_absent_and_what_is_nowhere_is(tmp_path: Path) -> None:
    write(tmp_path, {
        "p/__init__.py": "", "p/a.py": "from .b import x\nfrom .gone import y\n",
        "README.md": "[here](docs/guide.md), [linked](ext/x.md) and [nowhere](none.md)\n",
        "model.safetensors.index.json": '{"weight_map": {"x": "a-1-of-2.bin", "y": "a-2-of-2.bin"}}', "a-1-of-2.bin": "",
    })  # fmt: skip
    listed = {
        "p/__init__.py": False,
        "p/a.py": False,
        "p/b.py": False,
        "README.md": False,
        "docs/guide.md": False,
        "ext": True,
    }
    listed |= {"model.safetensors.index.json": False, "a-1-of-2.bin": False, "a-2-of-2.bin": False}
    answers = {answer.check: answer for answer in run_checks(read_release(tmp_path, is_part=True, listed=listed))}
    assert [problem.message for problem in answers["import_absent"].problems] == [
        "p/a.py:2 imports .gone, which is not in the release"
    ]
    assert [problem.message for problem in answers["named_file_absent"].problems] == [
        "README.md:1 names none.md, which is not in the release"
    ]
    assert answers["index_names_absent_file"].problems == answers["shard_missing"].problems == ()
    unknown = {answer.check: answer for answer in run_checks(read_release(tmp_path, is_part=True))}
    for check in ("import_absent", "named_file_absent", "index_names_absent_file"):
        assert unknown[check].outcome == "cannot be asked"
