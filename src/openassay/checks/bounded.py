"""Asks the checks in a process of their own, so that one without an end, or one that eats the memory, ends all the same."""

from __future__ import annotations

import contextlib
import multiprocessing
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

from openassay.checks.check import ConsistencyCheck, answer
from openassay.core.findings import CheckAnswer
from openassay.faults import printable
from openassay.published.files import PublishedFiles


@dataclass(frozen=True, kw_only=True)
class CheckLimits:
    """What the checks of one release may take."""

    one_s: float = 60.0
    """One check."""
    all_s: float = 600.0
    """All the checks together."""
    memory_bytes: int = 4 * 2**30
    """What they may take beyond what reading the release took."""


def answers_within(
    limits: CheckLimits, checks: Sequence[ConsistencyCheck], release: PublishedFiles, say: Callable[[str], None]
) -> tuple[CheckAnswer, ...]:
    """The answer of each check; one that does not end within the limits cannot be asked, and says so.

    say: is told which check is asked, once the checks take more than two seconds.
    """
    given: list[CheckAnswer] = []
    began = time.monotonic()
    while len(given) < len(checks):
        left = limits.all_s - (time.monotonic() - began)
        if left <= 0:
            why = f"the checks before it took {limits.all_s:g} s together"
            given += [_not_asked(check, why) for check in checks[len(given) :]]
            break
        # Forked, so that nothing is copied: a release that was read may be large.
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe(duplex=False)
        rest = checks[len(given) :]
        child = context.Process(target=_ask, args=(rest, release, theirs, limits), daemon=True)
        child.start()
        theirs.close()
        try:
            for check in rest:
                if time.monotonic() - began > 2:
                    say(f"check {len(given) + 1} of {len(checks)}: {check.kind}")
                left = limits.all_s - (time.monotonic() - began)
                allowed = max(0.0, min(limits.one_s, left))
                if not ours.poll(allowed):
                    given.append(_not_asked(check, f"it ran longer than {allowed:.3g} s"))
                    break
                given.append(ours.recv())
        except (EOFError, OSError):  # it was ended from outside, usually for its memory
            given.append(_not_asked(checks[len(given)], "its process ended before it had an answer"))
        finally:
            child.kill()
            child.join()
            ours.close()
    return tuple(given)


def _not_asked(check: ConsistencyCheck, why: str) -> CheckAnswer:
    return CheckAnswer(check=check.kind, outcome="cannot be asked", why=why, problems=(), looked_at=())


def _ask(checks: Sequence[ConsistencyCheck], release: PublishedFiles, to: Connection, limits: CheckLimits) -> None:
    _bound("RLIMIT_AS", _used_bytes() + limits.memory_bytes)
    _bound("RLIMIT_CPU", int(limits.all_s) + 60)  # also where nobody is left to end it
    for check in checks:
        try:
            found = answer(check, release)
        except MemoryError:
            found = _not_asked(check, f"it needs more than {limits.memory_bytes / 2**30:.3g} GiB of memory")
        except Exception as problem:  # noqa: BLE001 - one check's slip takes no other's answer
            said = printable(f"{type(problem).__name__}: {problem}")[:200]
            found = _not_asked(check, f"a slip of this program, please report it: {said}")
        to.send(found)


def _used_bytes() -> int:
    """The address space that this process has; 2 GiB where the system does not tell."""
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * resource.getpagesize()
    return 2 * 2**30


def _bound(name: str, most: int) -> None:
    kind = getattr(resource, name)
    hard = resource.getrlimit(kind)[1]
    with contextlib.suppress(OSError, ValueError):  # macOS bounds no address space
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
