"""The habits that no tool keeps: one version in three files, one set of tools, any Python that fits."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

REPO = Path(__file__).parents[2]
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")


def test_the_files_that_name_a_version_name_the_same() -> None:
    release = runpy.run_path(str(REPO / ".ci/release_notes.py"))
    assert set(release["versions"]().values()) == {PROJECT["version"]}
    assert release["section"](PROJECT["version"])
    assert not release["section"]("0.0.0")


def test_the_wheel_has_every_file_that_the_package_reads() -> None:
    package = REPO / "src/openassay"
    wanted = tomllib.loads((REPO / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["openassay"]
    packed = {path for pattern in wanted for path in package.glob(pattern)}
    data = {path for path in package.rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}}
    assert data - packed == set()


def test_every_locked_file_has_its_hash_and_the_version_that_was_tested() -> None:
    """But for PyTorch, which has a build for each device."""
    lock = (REPO / "requirements.lock").read_text()
    locked = dict(re.findall(r"^([a-z0-9.-]+)==([^\s;]+)", lock, re.MULTILINE))
    assert lock.count("==") >= len(locked) > 200
    for entry in re.split(r"\n(?=[a-z])", lock.strip()):
        assert re.search(r" --hash=sha256:[0-9a-f]{64}$", entry), entry
    tested = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", (REPO / "constraints.txt").read_text(), re.MULTILINE))
    tested = {canonicalize_name(name): version for name, version in tested.items()}
    for name, version in locked.items():
        assert tested.get(name, version) == version
    asked = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    assert asked - {"torch"} <= set(locked)


def test_what_other_people_write_for_ci_is_pinned_by_commit() -> None:
    files = [REPO / "action.yml", *(REPO / ".github").rglob("*.yml"), REPO / "src/openassay/project_files/workflow.yml"]
    used = [
        line.split("uses:")[1].strip() for path in files for line in path.read_text().splitlines() if "uses:" in line
    ]
    assert len(used) > 15
    for action in used:
        assert action.startswith("./") or re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d[\d.]*.*", action), action


def test_every_promise_of_the_threat_model_names_tests_that_are_there() -> None:
    text = (REPO / "docs/threat-model.md").read_text()
    promises = text.split("## What is promised")[1].split("## What is not promised")[0]
    rows = [line for line in promises.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 12
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)`", row.split("|")[3])
        assert named, row
        for path in named:
            assert "def test_" in (REPO / path).read_text()


def test_a_commit_is_checked_by_the_tools_of_make_check() -> None:
    hooks = yaml.safe_load((REPO / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    recipe = re.search(r"^check: .*\n((?:\t.*\n)+)", (REPO / "Makefile").read_text(), re.MULTILINE)
    assert recipe

    def tools(commands: list[str], venv: str) -> list[str]:
        words = [command.removeprefix(venv).split() for command in commands]
        return [" ".join(word for word in of[:2] if not word.startswith("--")) for of in words]

    assert tools([hook["entry"] for hook in hooks], ".venv/bin/") == tools(
        [line.strip() for line in recipe[1].splitlines()], "@$(BIN)/"
    )


def pretend(path: Path, version: str) -> None:
    """Put a Python at this path that says it is of this version."""
    path.parent.mkdir(exist_ok=True)
    said = (*map(int, version.split(".")), "final", 0)
    path.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -I -c "import sys; sys.version_info = {said}; exec(sys.argv[2])" "$@"\n'.replace(
            "'", '\\"'
        )
    )
    path.chmod(0o755)


@needs_make
@pytest.mark.parametrize(
    ("there", "taken"),
    [
        ({"a/python3.11": "3.11.2", "b/python3.12": "3.12.1"}, "b/python3.12"),
        ({"a/python3.11": "3.11.2", "b/python3.11": "3.11.4"}, "b/python3.11"),
        ({"a b/python3.13": "3.13.0", "b/python3": "3.14.0"}, "a b/python3.13"),
        ({"a/python3": "3.12.0"}, "a/python3"),
        ({"a/python3.11": "3.11.3", "b/python3": "3.14.0"}, None),
        ({}, None),
    ],
)
def test_make_takes_the_first_python_that_fits_and_the_package_promises_no_other(
    tmp_path: Path, there: dict[str, str], taken: str | None
) -> None:
    for name, version in there.items():
        pretend(tmp_path / name, version)
        assert (version in SpecifierSet(PROJECT["requires-python"])) == (name == taken)
    done = subprocess.run(
        [str(shutil.which("make")), "--no-print-directory", "--eval", 'found: ; @echo "$(PYTHON)"', "found"],
        cwd=REPO,
        env={"PATH": ":".join(dict.fromkeys(str((tmp_path / name).parent) for name in there))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == (str(tmp_path / taken) if taken else "")


@needs_make
def test_make_says_which_python_is_too_old(tmp_path: Path) -> None:
    pretend(tmp_path / "python3.11", "3.11.2")
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "requirements.lock"):
        shutil.copy(REPO / name, tmp_path)
    done = subprocess.run(
        [str(shutil.which("make")), "setup", f"PYTHON={tmp_path / 'python3.11'}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"found {tmp_path / 'python3.11'}" in done.stdout
    assert not (tmp_path / ".venv").exists()
