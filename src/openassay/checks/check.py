"""What is a consistency check? A small class: its docstring is the message, `look` gives what was seen.

`look` yields a `Contradiction` for each thing that is wrong (its values fill the message's braces) and an `Agreement` for what
was compared and agrees. Nothing at all means that the question cannot be asked here; `needs` says what it would need.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from openassay.checks.release import PublishedFiles
from openassay.core.types import CheckAnswer, Excerpt, Problem

MAX_PROBLEMS = 40
MAX_LOOKED_AT = 6


@dataclass(frozen=True)
class Contradiction:
    """Something is wrong: what fills the message, and the places that show it."""

    values: dict[str, Any]
    evidence: tuple[Excerpt, ...]


@dataclass(frozen=True)
class Agreement:
    """Something was compared and is right, or was recorded."""

    evidence: tuple[Excerpt, ...]


@dataclass(frozen=True)
class NotAsked:
    """A part of the question could not be asked, and why."""

    why: str


Seen = Contradiction | Agreement | NotAsked


class ConsistencyCheck(Protocol):
    """One question to a release's files."""

    @property
    def kind(self) -> str:
        """Its name in records."""
        ...

    @property
    def needs(self) -> str:
        """What a release must hold for the question to be asked."""
        ...

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """What is there, as far as the question goes."""
        ...


def answer(check: ConsistencyCheck, release: PublishedFiles) -> CheckAnswer:
    """Ask one check: fail where anything contradicts, pass where something was compared, otherwise it cannot be asked."""
    problems: list[Problem] = []
    agreed: list[Excerpt] = []
    reasons: list[str] = []
    more = 0
    template = " ".join((type(check).__doc__ or "").split())
    for seen in check.look(release):
        if isinstance(seen, NotAsked):
            if seen.why not in reasons and len(reasons) < 8:
                reasons.append(seen.why)
        elif isinstance(seen, Agreement):
            if len(agreed) < MAX_LOOKED_AT:
                agreed.extend(seen.evidence)
        elif len(problems) < MAX_PROBLEMS:
            problems.append(Problem(message=template.format(**seen.values), evidence=seen.evidence))
        else:
            more += 1
    if more:
        problems.append(Problem(message=f"and {more} more of the same kind", evidence=()))
    outcome: Literal["pass", "fail", "cannot be asked"] = (
        "fail" if problems else "pass" if agreed else "cannot be asked"
    )
    why = "; ".join(reasons) if reasons else "" if problems or agreed else check.needs
    return CheckAnswer(
        check=check.kind,
        outcome=outcome,
        why=why,
        problems=tuple(problems),
        looked_at=tuple(agreed[:MAX_LOOKED_AT]),
    )
