"""What the unit tests share: a package index on this machine, and pip's settings that name it and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from loopback import PackageIndex
from users import User, user_of

from openassay.sources.pypi import package_index

settings.register_profile("unit", deadline=None)  # a machine that is busy is no failure
settings.load_profile("unit")


def _only(patch: pytest.MonkeyPatch, **variables: str) -> None:
    """pip's settings are these variables: no file of the machine's, no other variable."""
    kept = {"UV_CACHE_DIR", "UV_HTTP_RETRIES"}
    for name in set(os.environ) - kept:
        if name.startswith(("PIP_", "UV_")) or name.lower().endswith("_proxy"):
            patch.delenv(name)
    patch.setenv("PIP_CONFIG_FILE", os.devnull)
    patch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    for name, value in variables.items():
        patch.setenv(name, value)
    package_index.cache_clear()


@pytest.fixture(scope="module")
def served_index() -> Iterator[PackageIndex]:
    """One server a module, which pip is set up to use: it is slow to ask pip for its settings."""
    with PackageIndex() as index, pytest.MonkeyPatch.context() as patch:
        _only(patch, PIP_INDEX_URL=index.url)
        yield index
    package_index.cache_clear()


@pytest.fixture
def index(served_index: PackageIndex) -> PackageIndex:
    """An empty package index on 127.0.0.1 that pip is set up to use."""
    served_index.reset()
    return served_index


@pytest.fixture
def pip_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Set pip's settings, by variables alone, for one test."""

    def set_to(**variables: str) -> None:
        _only(monkeypatch, **variables)

    yield set_to
    package_index.cache_clear()


@pytest.fixture
def user(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[User]:
    """Who runs it: this user; with `both_users` again one without any rights."""
    yield from user_of(getattr(request, "param", "this user"), tmp_path)
