"""Whether this machine lets bubblewrap make a cage: in many containers the system refuses it."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from openassay import cage

ATTEMPTS = """
done = []
def attempt(what, act):
    try:
        if act() is not False:
            done.append(what)
    except BaseException:
        pass
def write(path):
    with open(path, "a") as file:
        file.write("was here")
"""
"""How hostile code of the tests notes what it could do."""
_FOUND = shutil.which("bwrap", path=cage.PROGRAMS)
_TRIED = ["--ro-bind", "/", "/", "--unshare-pid", "--unshare-net", "--proc", "/proc", "--dev", "/dev", "true"]
_WORKS = _FOUND is not None and subprocess.run([_FOUND, *_TRIED], capture_output=True, check=False).returncode == 0
needs_bwrap = pytest.mark.skipif(not _WORKS, reason="no bwrap here, or the system refuses it")
BEST_ISOLATION = f"isolation={'bubblewrap' if _WORKS else 'none'}"
"""For audits of which the default is asked for, where it can be had."""
