"""A project with two audited releases: made once, and a copy of it for whoever asks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock
from releases.commands import audits_run, command, commit
from releases.miniature import add_release, make_project, write_index

AUDITED = ("honest", "inflated")


def said_by(shared_folder: Path, name: str) -> Path:
    """The file of what the audit of a release has printed."""
    return shared_folder / f"audited-{name}.txt"


@pytest.fixture(scope="session")
def copy_audited(shared_folder: Path, session_cache: Path) -> Callable[[Path], Path]:
    """Copies a project of two releases to a new folder: both audited at once, both in the index, and committed."""
    made = shared_folder / "audited"
    with FileLock(f"{made}.lock"):
        if not made.exists():
            new = make_project(shared_folder / "new", git=True)
            os.environ["OPENASSAY_CACHE"] = str(session_cache)  # session scope comes before the function's fixture
            for name in AUDITED:
                add_release(new, name)
            write_index(new, list(AUDITED))
            with ThreadPoolExecutor() as both:
                done = list(both.map(lambda name: command(new, "openassay", "audit", name), AUDITED))
            assert [len(audits_run(of)) for of in done] == [8, 8]
            for of in done:
                said_by(shared_folder, of.args[-1]).write_text(of.stdout + of.stderr)
            commit(new)
            new.rename(made)

    def copied(folder: Path) -> Path:
        return Path(shutil.copytree(made, folder, symlinks=True))

    return copied


@pytest.fixture(scope="session")
def said(shared_folder: Path, copy_audited: Callable[[Path], Path]) -> dict[str, str]:
    """What the two audits of that project have printed, by release."""
    return {name: said_by(shared_folder, name).read_text() for name in AUDITED}


@pytest.fixture
def fresh(tmp_path: Path, copy_audited: Callable[[Path], Path]) -> Path:
    """A test's own copy of the audited project, to edit as it likes."""
    return copy_audited(tmp_path / "project")


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory, copy_audited: Callable[[Path], Path]) -> Path:
    """A file's own copy of the audited project."""
    return copy_audited(tmp_path_factory.mktemp("dvc") / "project")


@pytest.fixture(scope="module")
def project(audited: Path) -> Path:
    """The same project, for tests that bring releases of their own."""
    return audited
