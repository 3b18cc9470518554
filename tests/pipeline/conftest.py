"""A project with two audited releases; each file of tests that asks for it has one of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from releases.commands import audits_run, command, commit
from releases.miniature import add_release, make_project, write_index


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("dvc"), git=True)


@pytest.fixture(scope="module")
def audited(project: Path, session_cache: Path) -> Path:
    """Two releases, audited once, both in the index, and committed."""
    for name in ("honest", "inflated"):
        add_release(project, name)
    write_index(project, ["honest", "inflated"])
    os.environ["OPENASSAY_CACHE"] = str(session_cache)  # module scope comes before the function's fixture
    for name in ("honest", "inflated"):
        assert len(audits_run(command(project, "openassay", "audit", name))) == 8
    commit(project)
    return project
