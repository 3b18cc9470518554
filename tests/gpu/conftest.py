"""Tests that need an NVIDIA GPU: marked `cuda`, skipped where torch sees none. `OPENASSAY_TEST_DEVICE=cpu` rehearses them on a CPU."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
DEVICE = os.environ.get("OPENASSAY_TEST_DEVICE", "cuda")


@pytest.hookimpl(tryfirst=True)  # before `-m cuda` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = pytest.mark.skip(reason="torch sees no GPU")
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.cuda)
            if DEVICE == "cuda" and not torch.cuda.is_available():
                item.add_marker(missing)


@pytest.fixture(scope="session")
def device() -> str:
    """The device under test."""
    return DEVICE


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str, object], None]:
    """Puts a measured value into the results, which `--junitxml` writes: `figure(what, value)`."""

    def put(what: str, value: object) -> None:
        said = f"{value:.3g}" if isinstance(value, float) else str(value)
        request.node.user_properties.append((what, said))

    return put


@pytest.fixture(autouse=True)
def _settings_of_torch() -> Iterator[None]:
    """Each test begins with torch's own settings."""
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.allow_tf32 = True
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.allow_tf32 = True
