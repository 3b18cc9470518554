"""Which of our code does a stage use? What changes it makes that stage stale, and no other."""

from __future__ import annotations

import ast
import functools
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from releases.miniature import add_release, make_project, write_index

from openassay import stage_code
from openassay.stage_code import STAGES, drivers, modules, script

DRIVERS = drivers()

WHICH = """
import json, runpy, sys
stage, target, told = sys.argv[1:]
sys.argv = [stage, target]
runpy.run_module(stage, run_name="__main__")
with open(told, "w") as file:
    json.dump([name for name in sys.modules if name.split(".")[0] == "openassay"], file)
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, as it is installed."""
    copy = tmp_path_factory.mktemp("site") / "openassay"
    shutil.copytree(stage_code.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture(scope="module")
def before(package: Path) -> dict[str, str]:
    """DRIVER/STAGE: digest, as the copy itself writes them."""
    folder = package.parent / "before"
    command = [sys.executable, "-P", str(package / "stage_code.py"), str(folder)]
    subprocess.run(command, check=True, timeout=120)
    return written(folder)


def written(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.glob("*/*")}


@pytest.fixture(scope="module")
def digests(package: Path) -> Callable[[], dict[str, str]]:
    """The same of the copy as it is now, in this process: a file is parsed again only where its text is another one."""
    copy = importlib.util.spec_from_file_location("stage_code_of_the_copy", package / "stage_code.py")
    assert copy
    assert copy.loader
    code: Any = importlib.util.module_from_spec(copy)
    copy.loader.exec_module(code)
    parsed, dumped = functools.cache(ast.parse), functools.cache(ast.dump)
    code.ast = SimpleNamespace(**vars(ast) | {"parse": parsed, "dump": dumped})

    def now() -> dict[str, str]:
        for kept in (code.drivers, code._imported, code._digest):
            kept.cache_clear()
        code.write(package.parent / "now")
        return written(package.parent / "now")

    return now


@contextmanager
def changed(*files: Path, by: str) -> Iterator[None]:
    """Files with something more at their end, for a while."""
    texts = {file: file.read_text() for file in files}
    for file, text in texts.items():
        file.write_text(text + by)
    try:
        yield
    finally:
        for file, text in texts.items():
            file.write_text(text)


def test_every_driver_has_a_digest_of_every_stage_and_of_what_makes_a_rerun(before: dict[str, str]) -> None:
    expected = {f"{driver}/{stage}": stage_code.digest(stage, driver) for driver in DRIVERS for stage in STAGES}
    expected |= {f"{driver}/training": stage_code.training(driver) for driver in DRIVERS}
    assert before == {name: digest + "\n" for name, digest in expected.items()}


def test_a_state_of_the_files_has_one_folder_of_digests(tmp_path: Path, before: dict[str, str]) -> None:
    folder = stage_code.folder(tmp_path)
    assert written(folder) == before
    assert list(folder.parent.iterdir()) == [folder]
    made = folder.stat().st_mtime_ns
    assert stage_code.folder(tmp_path) == folder
    assert folder.stat().st_mtime_ns == made


def test_a_comment_anywhere_makes_nothing_stale(
    package: Path, before: dict[str, str], digests: Callable[[], dict[str, str]]
) -> None:
    with changed(*package.rglob("*.py"), by="\n\n# a comment\n"):
        assert digests() == before


@pytest.mark.parametrize(
    ("file", "by", "names"),
    [
        ("published/tokens/olmo.py", "\nMORE = 1\n", {f"{of}/{stage}" for of in ("replay", "pretrain") for stage in ("evaluate", "inspect", "rerun", "training")}),
        ("published/recipes/gpt_neox.py", "\nMORE = 1\n", {f"{of}/{stage}" for of in ("replay", "pretrain") for stage in (*STAGES, "training")} | {f"{of}/inspect" for of in DRIVERS}),
        ("drivers/native.py", "\nMORE = 1\n", {f"native/{stage}" for stage in (*STAGES, "training")}),
        ("protocols/prefix.py", "\nMORE = 1\n", {"replay/evaluate", "replay/rerun", "replay/training"}),
        ("report/page.py", "\nMORE = 1\n", {f"{driver}/report" for driver in DRIVERS}),
        ("report/templates/report.html.j2", "\nmore\n", {f"{driver}/report" for driver in DRIVERS}),
        ("core/licences.json", "\n", {f"{driver}/judge" for driver in DRIVERS}),
        ("stages/fetch.py", "\nMORE = 1\n", {f"{driver}/fetch" for driver in DRIVERS}),
        ("pipelines/judge.py", "\nMORE = 1\n", {f"{driver}/judge" for driver in DRIVERS}),
        ("cli/audits.py", "\nMORE = 1\n", set()),
        ("schedule.py", "\nMORE = 1\n", set()),
        ("conf/judge/strict.yaml", "\n# ours\n", set()),
    ],
)  # fmt: skip
def test_a_change_makes_stale_what_uses_it(
    package: Path, before: dict[str, str], digests: Callable[[], dict[str, str]], file: str, by: str, names: set[str]
) -> None:
    with changed(package / file, by=by):
        after = digests()
    assert {name for name in before if before[name] != after[name]} == names


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_project(tmp_path_factory.mktemp("project"))
    add_release(root, "honest")
    write_index(root, ["honest"])
    return root


def test_every_module_that_a_stage_imports_is_in_its_list(project: Path, tmp_path: Path) -> None:
    """What is imported and not listed is what other drivers run."""
    for stage in STAGES:
        told = tmp_path / f"{stage}.json"
        command = [sys.executable, "-P", "-c", WHICH, script(stage), "honest", str(told)]
        done = subprocess.run(
            command, cwd=project, env=os.environ, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        unlisted = set(json.loads(told.read_text())) - {"openassay.pipelines"} - set(modules(stage, "python"))
        others = {name for driver in DRIVERS for name in modules("rerun", driver)}
        assert unlisted <= others, stage
