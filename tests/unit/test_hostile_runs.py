"""Code that misbehaves harms its own run only, and a target's pattern cannot hang the audit."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from openassay.core.types import RerunStatus
from openassay.recipes import python as python_module
from openassay.recipes import run as run_module
from openassay.recipes.job import Arm, Job, load_arrays
from openassay.recipes.python import PythonRecipe, ReturnMeasure, StdoutMeasure, finite
from openassay.recipes.run import GlueRun
from openassay.store import Store


@pytest.fixture
def job(tmp_path: Path) -> Job:
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    out.mkdir()
    np.savez(data / "data.npz", y=np.arange(10))
    (data / "notes.txt").write_text("as prepared")
    return Job(
        arm=Arm(), seed=3, data=data, artifacts={}, python=sys.executable, glue=tmp_path / "glue.py", out=out, device="cpu",
        threads=1, timeout_s=60,
    )  # fmt: skip


def recipe(job: Job, code: str, **arguments: str) -> PythonRecipe:
    assert job.glue
    job.glue.write_text(code)
    return PythonRecipe(
        driver="python",
        run=GlueRun(kind="glue", function="f", arguments={"data": "{data}"} | arguments),
        measure=(ReturnMeasure(read_from="return", metric="m"),),
    )


def test_what_a_run_writes_to_its_data_no_other_run_sees(job: Job) -> None:
    code = "def f(data):\n    open(data + '/notes.txt', 'w').write('mine')\n    open(data + '/data.npz', 'w').close()\n    return 1\n"
    assert job.data
    assert recipe(job, code).execute(job).status is RerunStatus.FINISHED
    assert (job.data / "notes.txt").read_text() == "as prepared"
    assert load_arrays(job.data)["y"].tolist() == list(range(10))


def test_a_runaway_file_ends_its_run_and_not_the_disk(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "MAX_FILE_BYTES", 100_000)
    printed = recipe(job, "def f(data):\n    print('x' * 1_000_000, flush=True)\n    return 1\n").execute(job)
    assert printed.status is RerunStatus.FAILED
    assert (job.out / "log.txt").stat().st_size <= 100_000


def test_a_pattern_that_takes_for_ever_is_given_up(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_module, "PATTERN_S", 0.2)
    slow = recipe(job, "def f(data):\n    print('a' * 5000 + '!')\n    return 1\n")
    measure = StdoutMeasure(read_from="stdout", metric="m", pattern=r"^((?:a|aa)+)$")
    found = replace(slow, measure=(measure,)).execute(job)
    assert found.status is RerunStatus.FAILED
    assert "took more than" in found.reason


@pytest.mark.parametrize("text", ["1_000", "0x10", "٣", "1,5", "", " 1", "5%", "True", "one"])
def test_only_what_programs_print_as_numbers_is_a_number(text: str) -> None:
    with pytest.raises(python_module.NoMeasurement):
        finite(text, 1.0)


@pytest.mark.parametrize("text", ["nan", "NaN", "-inf", "Infinity", "1e999"])
def test_a_printed_number_that_is_not_finite_counts_as_diverged(text: str) -> None:
    assert finite(text, 1.0) == (None, text)


def test_a_tree_that_published_code_wrote_to_is_unpacked_anew(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("as published")
    store = Store(tmp_path / "store")
    sha256 = store.add(source)
    tree = store.tree(sha256, "a.txt")
    (tree / "a.txt").write_text("as changed..")
    (tree / "more.txt").write_text("new")
    again = store.tree(sha256, "a.txt")
    assert (again / "a.txt").read_text() == "as published"
    assert not (again / "more.txt").exists()
    before = (again / "a.txt").stat().st_ino
    assert (store.tree(sha256, "a.txt") / "a.txt").stat().st_ino == before
