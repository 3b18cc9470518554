"""Faults: ours, the machine's or the user's, not findings about the release. They stop a stage with one clear line.

A fault says *where: expected, found; what to do*. The release's own failures are findings, never faults.
"""

from __future__ import annotations

import difflib
import errno
import os
import re
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from openassay.processes import end_with_parent

STATUS_VARIABLE = "OPENASSAY_STATUS_FILE"
"""Names a file that takes the exit status of a failed stage and its message, which dvc does not pass on."""
_FULL = {errno.ENOSPC, errno.EDQUOT}
_SAYS_FULL = re.compile(
    "No space left on device|Disk quota exceeded|You don't have enough free space in|(out of|insufficient) shared memory"
)
_WRITING = _FULL | {errno.EFBIG, errno.EIO}


class Fault(Exception):
    """Something on our side, or on the machine, that stops the work; nothing finished is lost."""

    exit_code = 3


class BadInput(Fault):
    """A file or an argument that the user can correct."""

    exit_code = 2


def printable(text: str, keep: str = "") -> str:
    """A stranger's words, fit for a terminal: one line, with nothing in it that moves the cursor, recolours or reorders.

    keep: what stays besides, such as the ends of lines.
    """
    if text.isprintable():
        return text
    letters = (letter if letter.isprintable() or letter in keep else " " if letter.isspace() else "" for letter in text)
    return "".join(letters)


def in_markdown(text: str) -> str:
    """A stranger's words for Markdown, also for a cell of a table: no markup, no second line."""
    plain = printable(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return re.sub(r"([`\[\]!])", r"\\\1", plain)


def full_disk_line(text: str) -> str:
    """The line in which a program says that a disk is full; empty where there is none."""
    return next((printable(line).strip()[:300] for line in text.splitlines() if _SAYS_FULL.search(line)), "")


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 claim`, `2 claims`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What to say of a name that is not known: the one that may be meant, or all that there are."""
    there = list(known)
    near = difflib.get_close_matches(name, there, n=1)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(there) or 'none'}"


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name this file where the system fails to write it: of a full disk it names none, or the file that is copied."""
    try:
        yield
    except OSError as problem:
        if problem.errno in _WRITING:
            problem.filename = problem.filename2 or str(path)
        raise


@contextmanager
def faults_in_one_line() -> Iterator[None]:
    """End a command in which something goes wrong with one line on stderr and 2 (correct the input) or 3 (try again).

    A stage that DVC has started ends with DVC: an audit whose first process is ended (`timeout`, `kill`) leaves nothing running.
    """
    if "DVC_STAGE" in os.environ:
        end_with_parent(signal.SIGTERM)
    try:
        yield
    except (Fault, OSError) as problem:
        message, status = message_and_status(problem)
        print(f"error: {message}", file=sys.stderr)
        if path := os.environ.get(STATUS_VARIABLE):
            Path(path).write_text(f"{status}\n{message}\n", encoding="utf-8")
        sys.exit(status)
    except KeyboardInterrupt:
        print("\nStopped. Finished reruns are kept. Run the same command again to resume.", file=sys.stderr)
        sys.exit(130)


def message_and_status(problem: Fault | OSError) -> tuple[str, int]:
    """What to say of a fault, or of a full disk or a closed folder, in one line, and the exit status that it calls for."""
    if isinstance(problem, Fault):
        return printable(str(problem)), problem.exit_code
    # A name that is too long stands in a file that the user can correct; all else is the machine's, not the release's.
    status = BadInput.exit_code if problem.errno == errno.ENAMETOOLONG else Fault.exit_code
    todo = "; free some space, then run the command again: what is finished is kept" if problem.errno in _FULL else ""
    return printable(f"{str(problem.filename or 'this machine')[-300:]}: {problem.strerror or problem}{todo}"), status
