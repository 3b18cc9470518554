"""Who runs what a test runs: this user, or, where that is root, also one without any rights."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trustme  # noqa: F401 - a plain user may not read where it lies

from openassay import child, hook

Given = TypeVar("Given")
PLAIN = 65534
both_users = pytest.mark.parametrize("user", ["this user", "a plain user"], indirect=True)
SETPRIV = ["setpriv", f"--reuid={PLAIN}", f"--regid={PLAIN}", "--clear-groups", "/bin/sh", "-c", 'exec "$0" "$@"']
"""By a shell: setpriv itself still finds what only root may."""


@dataclass(frozen=True)
class User:
    """A user, and what is theirs."""

    folder: Path
    python: str
    """An interpreter that they may run; without packages for a plain user."""
    plain: bool

    def does(self, act: Callable[[], Given]) -> Given:
        """What a function gives where this user calls it; what it raises is raised."""
        return _in_child(act, self.folder) if self.plain else act()


def _in_child(act: Callable[[], Given], folder: Path) -> Given:
    subprocess.run(["chown", "-R", "-h", f"{PLAIN}:{PLAIN}", "--", str(folder)], check=True)
    with tempfile.TemporaryFile() as told:
        if (pid := os.fork()) == 0:
            try:
                os.setgroups([])
                os.setresgid(PLAIN, PLAIN, PLAIN)
                os.setresuid(PLAIN, PLAIN, PLAIN)
                os.environ["HOME"] = tempfile.tempdir = str(folder)
                found: Any = (True, act())
            except BaseException as problem:  # noqa: BLE001 - it is handed on
                problem.add_note(traceback.format_exc())
                found = (False, problem)
            told.write(pickle.dumps(found))
            told.flush()
            os._exit(0)
        os.waitpid(pid, 0)
        told.seek(0)
        worked, given = pickle.load(told)  # noqa: S301 - our own
    if not worked:
        raise given
    return given


def _python_for_all() -> str:
    """An interpreter that a plain user may run; empty where there is none."""
    tried = [of for of in (sys.executable, "/usr/bin/python3") if os.path.exists(of)]
    asked = f"import sys; assert sys.version_info >= (3, 8); [open(of).close() for of in {[child.__file__, hook.__file__]!r}]"
    for python in tried:
        if subprocess.run([*SETPRIV, python, "-c", asked], capture_output=True, env={}, check=False).returncode == 0:
            return python
    return ""


def user_of(kind: str, tmp_path: Path) -> Iterator[User]:
    """The user of a kind, `this user` or `a plain user`; skips the test where there is none."""
    if kind == "this user":
        yield User(folder=tmp_path, python=sys.executable, plain=False)
        return
    if os.getuid() != 0:
        pytest.skip("this is a plain user already")
    if shutil.which("setpriv") is None or not (python := _python_for_all()):
        pytest.skip("no setpriv here, or a plain user may run no Python or read none of this code")
    folder = Path(tempfile.mkdtemp(prefix="openassay-plain-"))  # pytest's own are closed to others
    folder.chmod(0o755)
    subprocess.run([python, "-m", "venv", "--without-pip", folder / "env"], check=True)
    yield User(folder=folder, python=str(folder / "env" / "bin" / "python"), plain=True)
    shutil.rmtree(folder, ignore_errors=True)
