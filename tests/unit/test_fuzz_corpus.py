"""What fuzzing has found and kept is read without harm: only what a reader says it refuses is refused, in time and memory."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from fuzz.readers import CORPUS, READERS, FuzzedReader, TooSlow, read_input


def test_every_reader_has_a_corpus_that_is_small_and_starts_from_sound_files() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(READERS)
    for name in READERS:
        files = list((CORPUS / name).iterdir())
        assert any(path.name.startswith("seed-") for path in files)
        assert len(files) <= 60
        assert sum(path.stat().st_size for path in files) <= 200 * 1024


@pytest.mark.parametrize("name", sorted(READERS))
def test_every_kept_input_is_read_or_refused(name: str, tmp_path: Path) -> None:
    for path in sorted((CORPUS / name).iterdir()):
        try:
            read_input(READERS[name], path.read_bytes(), tmp_path)
        except BaseException as error:
            error.add_note(f"tests/fuzz/corpus/{name}/{path.name}")
            raise
    assert list(tmp_path.iterdir()) == []


def test_what_a_reader_does_not_say_it_raises_is_told(tmp_path: Path) -> None:
    def read(path: Path, _: Path) -> None:
        raise {"a": ValueError, "b": KeyError}[path.name](path.read_text())

    reader = FuzzedReader(names=("a", "b"), read=read, refusals=(ValueError,))
    read_input(reader, b"0refused", tmp_path)
    with pytest.raises(KeyError, match="told"):
        read_input(reader, b"1told", tmp_path)


def test_a_reader_that_takes_too_long_or_too_much_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzz.readers.SECONDS", 0.05)

    def hangs(_: Path, __: Path) -> None:
        while True:
            with suppress(Exception):  # as a reader that catches everything
                sum(range(1000))

    with pytest.raises(TooSlow):
        read_input(FuzzedReader(names=("a",), read=hangs), b"0", tmp_path)
    with pytest.raises(MemoryError):
        read_input(FuzzedReader(names=("a",), read=lambda *_: print(len(bytearray(2**31)))), b"0", tmp_path)


def test_a_reader_is_fuzzed_for_as_long_as_is_said(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    shutil.copytree(CORPUS.parents[1], tmp_path / "tests", ignore=lambda folder, names: {"unit", "pipeline"} & {*names})
    (tmp_path / "src").symlink_to(CORPUS.parents[2] / "src")
    command = [sys.executable, str(tmp_path / "tests/fuzz/run.py"), "yaml", "--seconds", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert list((tmp_path / ".fuzz" / "yaml").iterdir())
