"""Commands in a project, as a user types them, and what they ran."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from openassay import cli

BIN = Path(sys.executable).parent
LONG_S = 1800
"""After which a command hangs, and is not slow, also on a machine with twenty busy processes for each of its cores."""


def command(project: Path, *arguments: str, expect: int | None = 0) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [str(BIN / arguments[0]), *arguments[1:]], cwd=project, env=environment, capture_output=True, text=True,
        timeout=LONG_S, check=False,
    )  # fmt: skip
    if expect is not None:
        assert done.returncode == expect, done.stdout + done.stderr
    return done


def called(project: Path, *words: str, expect: int | None = 0, given: str = "") -> subprocess.CompletedProcess[str]:
    """A command of `openassay` that starts no process, run in this one: a new interpreter takes longer than the command.

    given: what it reads from standard input.
    """
    said, complaints, status = io.StringIO(), io.StringIO(), 0
    told = patch.multiple(sys, argv=["openassay", *words], stdin=io.TextIOWrapper(io.BytesIO(given.encode())))
    surroundings = chdir(project), patch.dict(os.environ), told
    with surroundings[0], surroundings[1], surroundings[2], redirect_stdout(said), redirect_stderr(complaints):
        try:
            cli.main()
        except SystemExit as end:
            status = int(end.code or 0)
    assert expect in {None, status}, said.getvalue() + complaints.getvalue()
    return subprocess.CompletedProcess(words, status, said.getvalue(), complaints.getvalue())


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    """Until a condition holds; fails where it never does, or where the process that should bring it about has ended."""
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None
        time.sleep(0.05)


def stages_run(done: subprocess.CompletedProcess[str]) -> list[str]:
    """STAGE@TARGET of each stage that DVC ran, and `audit@TARGET` of the index."""
    found = re.findall(r"Running stage '(?:experiments/([a-z_0-9]+)/dvc.yaml:)?([a-z_@0-9]+)'", done.stdout)
    return [f"{stage}@{target}" if target else stage for target, stage in found]


def audits_run(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The stages that `openassay audit` ran."""
    return re.findall(r"^([a-z]+) \.\.\.$", done.stdout, re.MULTILINE)


def is_clean(project: Path) -> bool:
    return "up to date" in command(project, "dvc", "status").stdout


def commit(project: Path) -> None:
    subprocess.run(["git", "add", "-A"], cwd=project, check=True)
    author = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *author, "commit", "--allow-empty", "-qm", "state"], cwd=project, check=True)


@contextmanager
def edited(path: Path, before: str, after: str) -> Iterator[None]:
    """A file that says something else for a while."""
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    try:
        yield
    finally:
        path.write_text(text)
