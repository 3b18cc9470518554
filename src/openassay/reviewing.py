"""Reviews of audits: what people say of a verdict, and the right of reply, in `experiments/TARGET/reviews.jsonl`.

They are about an audit, and are no evidence: no verdict changes by them. What other bodies say of a release's openness is
another thing (`reviews` in a target file). Lines are added and never rewritten; they bear no seal, because people on several
machines write them: who wrote one is as its line says, and as git says.
"""

from __future__ import annotations

import fcntl
import getpass
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from openassay.core.verdict_records import Outcome, ReleaseVerdict
from openassay.faults import BadInput, naming
from openassay.layout import Layout
from openassay.provenance import git
from openassay.records import parse, to_json

Word = Literal["approve", "contest", "note", "reply"]
Standing = Literal["approved", "contested", "waiting"]
STANDINGS: dict[Word, Standing] = {"approve": "approved", "contest": "contested"}
"""Of an audit, by the last word on it; without such a word it is waiting for a review."""
MOST_LETTERS = 20_000
"""Of one review's text."""


@dataclass(frozen=True, kw_only=True)
class AuditReview:
    """One thing that somebody said of an audit."""

    at: str
    """When it was written; of one made in MLflow, which tells no time: when it was seen there."""
    by: str
    """Who, as they say; `unknown` where MLflow does not tell."""
    word: Word
    """`reply`: the words of the release's author."""
    text: str
    audit: str
    """Which audit, by its name (`audit_name`)."""
    outcome: Outcome
    """What that audit said."""
    via: Literal["command", "mlflow"]
    seen: str
    """What tells a review that was made in MLflow from any other; empty for others."""


def audit_name(plan_digest: str, finished_at: str) -> str:
    """An audit's identity in history, MLflow and reviews: the plan that was frozen, and when its verdict was given."""
    return f"{plan_digest[:8]} {finished_at}"


def name_of(verdict: ReleaseVerdict) -> str:
    """The identity of the audit that gave a verdict."""
    return audit_name(verdict.plan_digest, verdict.provenance.finished_at)


def reviews(root: Path, target: str) -> tuple[AuditReview, ...]:
    """All that was said of a target's audits, the oldest first. `BadInput` names a line that is not a review."""
    layout = Layout(root, target)
    if not layout.reviews.is_file():
        return ()
    found = []
    for number, line in enumerate(layout.reviews.read_bytes().split(b"\n"), start=1):
        if line:
            where = f"{layout.shown(layout.reviews)}, line {number}"
            try:
                found.append(parse(AuditReview, json.loads(line), where))
            except (ValueError, RecursionError):  # a line of a merge, or one that a full disk cut off
                raise BadInput(
                    f"{where}: expected a review as `openassay review` writes it; correct the line"
                ) from None
    return tuple(found)


def add(layout: Layout, review: AuditReview) -> bool:
    """Add a review to a target's records; False where it is one of MLflow's that is there already."""
    layout.folder.mkdir(parents=True, exist_ok=True)
    with naming(layout.reviews), layout.reviews.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if review.seen and any(other.seen == review.seen for other in reviews(layout.root, layout.target)):
            return False
        before = layout.reviews.read_bytes()
        file.write(b"\n" if before and not before.endswith(b"\n") else b"")
        file.write((to_json(review, indent=None) + "\n").encode())
        file.flush()
        os.fsync(file.fileno())
    return True


def standing(said: Iterable[AuditReview], audit: str) -> Standing:
    """What the last word on an audit makes of it."""
    words = [STANDINGS[of.word] for of in said if of.audit == audit and of.word in STANDINGS]
    return words[-1] if words else "waiting"


def standing_in_words(said: Sequence[AuditReview], audit: str | None) -> str:
    """A target's standing, for a table: of its newest audit, or of an earlier one, which it then says; a dash for no review."""
    if audit is not None and (now := standing(said, audit)) != "waiting":
        return now
    words = [of for of in said if of.word in STANDINGS]
    if words:
        return f"{STANDINGS[words[-1].word]} (an earlier audit)"
    return f"{len(said)} noted" if said else "–"


def who(root: Path) -> str:
    """The person at this machine, as git knows them, else the name of this user; `BadInput` where neither is known."""
    name, mail = git(root, "config", "user.name"), git(root, "config", "user.email")
    if name:
        return f"{name} <{mail}>" if mail else name
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise BadInput(
            "review: who says so is not known here; name them: --by 'Ann Example <ann@example.org>'"
        ) from None
