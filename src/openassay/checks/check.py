"""A consistency check is one function: its name is the check's, its docstring is the message's template.

It yields a `Contradiction` for each thing that is wrong (its values fill the template's braces), an `Agreement` for what was
compared and agrees, and a `NotAsked` for a part that could not be compared. One that yields nothing cannot be asked of these
files; `needs` says what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from openassay.checks.release import PublishedFiles
from openassay.core.findings import CheckAnswer, Excerpt, Problem

MAX_PROBLEMS = 40
MAX_LOOKED_AT = 6
MAX_REASONS = 8


class Contradiction:
    """Something is wrong: the places that show it, and the values of the message."""

    def __init__(self, *evidence: Excerpt, **values: Any) -> None:
        self.evidence, self.values = evidence, values


class Agreement:
    """Something was compared and is right, or was recorded."""

    def __init__(self, *evidence: Excerpt) -> None:
        self.evidence = evidence


@dataclass(frozen=True)
class NotAsked:
    """A part of the question could not be asked, and why."""

    why: str


Seen = Contradiction | Agreement | NotAsked
Look = Callable[[PublishedFiles], Iterator[Seen]]


@dataclass(frozen=True)
class ConsistencyCheck:
    """One question to a release's files."""

    kind: str
    """Its name in records."""
    needs: str
    """What a release must hold for the question to be asked."""
    message: str
    look: Look


def check(needs: str) -> Callable[[Look], ConsistencyCheck]:
    """Make a function a consistency check that needs these files."""
    return lambda look: ConsistencyCheck(look.__name__, needs, " ".join((look.__doc__ or "").split()), look)


def answer(asked: ConsistencyCheck, release: PublishedFiles) -> CheckAnswer:
    """The answer of one check: fail where anything contradicts, pass where something was compared, else it cannot be asked."""
    problems: list[Problem] = []
    agreed: list[Excerpt] = []
    reasons: list[str] = []
    more = 0
    for seen in asked.look(release):
        if isinstance(seen, NotAsked):
            if seen.why not in reasons and len(reasons) < MAX_REASONS:
                reasons.append(seen.why)
        elif isinstance(seen, Agreement):
            if len(agreed) < MAX_LOOKED_AT:
                agreed.extend(seen.evidence)
        elif len(problems) < MAX_PROBLEMS:
            problems.append(Problem(message=asked.message.format(**seen.values), evidence=seen.evidence))
        else:
            more += 1
    if more:
        problems.append(Problem(message=f"and {more} more of the same kind", evidence=()))
    return CheckAnswer(
        check=asked.kind,
        outcome="fail" if problems else "pass" if agreed else "cannot be asked",
        why="; ".join(reasons) or ("" if problems or agreed else asked.needs),
        problems=tuple(problems),
        looked_at=tuple(agreed[:MAX_LOOKED_AT]),
    )
