"""Shared by all tests: a cache of their own, no tracking server but theirs, sockets on this machine only."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub import Hub

_connect = socket.socket.connect
os.environ.setdefault(
    "OMP_WAIT_POLICY", "PASSIVE"
)  # torch's threads else wait busily for each other: 7 times as long under load
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each stage is a process of its own, and would compile everything anew


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this test run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def session_cache(shared_folder: Path) -> Path:
    """One cache for the test run: the miniature releases share an environment."""
    cache = shared_folder / "cache"
    cache.mkdir(exist_ok=True)
    return cache


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with Hub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture
def hub(served: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Hub:
    """An empty hub that the hub's library and git are led to; no settings of this machine's user."""
    served.reset()
    served.lead(monkeypatch, tmp_path)
    return served


@pytest.fixture(autouse=True)
def _own_surroundings(monkeypatch: pytest.MonkeyPatch, session_cache: Path) -> None:
    monkeypatch.setenv("OPENASSAY_CACHE", str(session_cache))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(session_cache / "dvc"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(autouse=True)
def _loopback_only(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test reaches no other machine, unless it is marked `network`."""
    if request.node.get_closest_marker("network"):
        yield
        return

    def connect(self: socket.socket, address: object) -> None:
        if (
            self.family != socket.AF_UNIX
            and isinstance(address, tuple)
            and address[0] not in {"127.0.0.1", "::1", "localhost"}
        ):
            raise OSError(f"a test tried to reach {address}")
        _connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", connect)
    yield
