"""A consistency check is one function: its name is the check's, its docstring is the message's template.

It yields a `Contradiction` for each thing that is wrong (its values fill the template's braces), a `Noted` for a fact that is to
be known and is nothing wrong, an `Agreement` for what was compared and agrees, and a `NotAsked` for a part that could not be
compared. One that yields nothing cannot be asked of these files; `needs` says what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from openassay.core.findings import CheckAnswer, Excerpt, Problem
from openassay.published.files import PublishedFiles

MAX_PROBLEMS = 40
MAX_LOOKED_AT = 6
MAX_REASONS = 8


class Citable(Protocol):
    """Something with a place in the release."""

    def seen(self) -> Excerpt:
        """Its place."""


class Compared:
    """Places that were compared, and the values of the message."""

    def __init__(self, *evidence: Excerpt | Citable, **values: Any) -> None:
        self.evidence = tuple(one if isinstance(one, Excerpt) else one.seen() for one in evidence)
        self.values = values


class Contradiction(Compared):
    """Something is wrong."""


class Noted(Compared):
    """A fact that who uses the release should know; it contradicts nothing."""


class Agreement(Compared):
    """Something was compared and is right, or was recorded."""


def compared(is_right: object, *evidence: Excerpt | Citable, **values: Any) -> Compared:
    """An agreement of these places where their comparison is right, else a contradiction."""
    return (Agreement if is_right else Contradiction)(*evidence, **values)


@dataclass(frozen=True)
class NotAsked:
    """A part of the question could not be asked, and why."""

    why: str


Seen = Compared | NotAsked
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
    """The answer of one check: fail where anything contradicts, noted where a fact is told, pass where something was compared."""
    seen = list(asked.look(release))
    wrong = sorted(
        (one for one in seen if isinstance(one, Contradiction | Noted)), key=lambda one: isinstance(one, Noted)
    )
    is_wrong = any(isinstance(one, Contradiction) for one in wrong)
    agreed = [place for one in seen if isinstance(one, Agreement) for place in one.evidence]
    reasons = [*dict.fromkeys(one.why for one in seen if isinstance(one, NotAsked))]
    problems = [
        Problem(message=asked.message.format(**one.values), evidence=one.evidence) for one in wrong[:MAX_PROBLEMS]
    ]
    if len(wrong) > MAX_PROBLEMS:
        problems.append(Problem(message=f"and {len(wrong) - MAX_PROBLEMS} more of the same kind", evidence=()))
    return CheckAnswer(
        check=asked.kind,
        outcome="fail" if is_wrong else "noted" if problems else "pass" if agreed else "cannot be asked",
        why="; ".join(reasons[:MAX_REASONS]) or ("" if problems or agreed else asked.needs),
        problems=tuple(problems),
        looked_at=tuple(agreed[:MAX_LOOKED_AT]),
    )
