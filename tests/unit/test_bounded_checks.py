"""A check without an end, one that eats the memory and one that dies are told, and the others are asked."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from releases.small import release

from openassay.checks.bounded import CheckLimits, answers_within
from openassay.checks.check import Agreement, Seen, check
from openassay.core.findings import CheckAnswer
from openassay.published.files import PublishedFiles, excerpt


@check(needs="a file")
def right(release: PublishedFiles) -> Iterator[Seen]:
    """it is right"""
    yield Agreement(excerpt(release.files[0].path, "", "seen"))


@check(needs="nothing")
def endless(_release: PublishedFiles) -> Iterator[Seen]:
    """it never ends"""
    while True:
        pass
    yield


@check(needs="nothing")
def greedy(_release: PublishedFiles) -> Iterator[Seen]:
    """it takes all the memory"""
    kept = []
    while True:
        kept.append(bytearray(2**26))
    yield


@check(needs="nothing")
def slipping(_release: PublishedFiles) -> Iterator[Seen]:
    """it has a slip"""
    raise KeyError("a\x1b[31mb")
    yield


@check(needs="nothing")
def dying(_release: PublishedFiles) -> Iterator[Seen]:
    """it is killed"""
    os.kill(os.getpid(), signal.SIGKILL)
    yield


def asked(tmp_path: Path, *checks: object, said: list[str] | None = None, **limits: float) -> tuple[CheckAnswer, ...]:
    bounds = CheckLimits(**{"one_s": 1.0, "memory_bytes": 2**29} | limits)  # type: ignore[arg-type]
    files = release(tmp_path, {"a.txt": "x"})
    return answers_within(bounds, checks, files, (said if said is not None else []).append)  # type: ignore[arg-type]


def test_a_check_without_an_end_is_not_asked_and_the_next_one_is(tmp_path: Path) -> None:
    began = time.monotonic()
    first, second, third = asked(tmp_path, right, endless, right)
    assert (first.outcome, second.outcome, third.outcome) == ("pass", "cannot be asked", "pass")
    assert second.why == "it ran longer than 1 s"
    assert time.monotonic() - began < 10


def test_a_check_that_eats_the_memory_is_not_asked(tmp_path: Path) -> None:
    first, second = asked(tmp_path, greedy, right, one_s=60.0)
    assert (first.outcome, second.outcome) == ("cannot be asked", "pass")
    assert first.why == "it needs more than 0.5 GiB of memory"


def test_a_check_whose_process_is_killed_is_not_asked(tmp_path: Path) -> None:
    first, second = asked(tmp_path, dying, right, one_s=60.0)
    assert (first.outcome, second.outcome) == ("cannot be asked", "pass")
    assert first.why == "its process ended before it had an answer"


def test_all_the_checks_together_have_an_end_and_say_what_they_are_at(tmp_path: Path) -> None:
    said: list[str] = []
    answers = asked(tmp_path, endless, endless, endless, endless, right, said=said, one_s=1.5, all_s=4.0)
    assert [answer.outcome for answer in answers] == ["cannot be asked"] * 5
    assert answers[-1].why == "the checks before it took 4 s together"
    assert said == ["check 3 of 5: endless"]


def test_a_slip_of_ours_is_told_and_the_next_check_is_asked(tmp_path: Path) -> None:
    found, after = answers_within(CheckLimits(), (slipping, right), release(tmp_path, {"a.py": ""}), lambda _line: None)
    assert found.outcome == "cannot be asked"
    assert found.why.startswith("a slip of this program, please report it: KeyError: ")
    assert "\x1b" not in found.why
    assert after.outcome == "pass"
