"""Runs Python where a folder is a small disk of its own, in a mount namespace: it is gone with the process."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

import pytest

_MOUNTED = 'mount -t tmpfs -o "size=$0" tmpfs "$1" && shift && exec "$@"'


@functools.cache
def _is_possible() -> bool:
    return subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0


def on_small_disk(folder: Path, size: str, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What a program says for which `folder` is an empty disk of this size (`16k`). Skips the test where nobody may mount."""
    if not _is_possible():
        pytest.skip("this user may mount nothing")
    folder.mkdir(parents=True, exist_ok=True)
    command = ["unshare", "-rm", "sh", "-c", _MOUNTED, size, str(folder), sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)
