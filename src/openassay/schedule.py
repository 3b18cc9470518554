"""Rounds of audits that need nobody: which are due, and whether an outcome has changed for the worse.

`openassay audit --due 30d` asks of every target whether it was never audited, whether its audit is too old, and whether its
plan or what it was fetched from has changed since. It runs those that are due through DVC, each whatever became of the
others, and says in a summary what came out. Every audit adds a line to `experiments/TARGET/history.jsonl`.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from openassay import __version__
from openassay.core.findings import FetchRecord
from openassay.core.verdict import weaker
from openassay.core.verdict_records import Basis, Outcome, ReleaseVerdict
from openassay.faults import BadInput, Fault, in_markdown, message_and_status, printable
from openassay.layout import Layout, cache_home
from openassay.pipeline import note_audits, refresh_code, reproduce
from openassay.plan import Plan, make_plan, read_plan
from openassay.provenance import now
from openassay.records import BrokenRecord, digest, parse, read_record, to_plain, write_record, write_text
from openassay.seals import Edited, NotAsSealed, SealedElsewhere, check, doubt_of
from openassay.sources.fetched import Unavailable
from openassay.stages.judge import other_tables
from openassay.target import Target, read_target

WORST_FIRST = (Outcome.NOT_REPRODUCED, Outcome.NOT_ATTEMPTED, Outcome.INCONCLUSIVE, Outcome.REPRODUCED)
ASKING = 8
"""Sources that are asked at the same time whether they have changed."""

CLOCKS_DIFFER = timedelta(days=1)
"""How far a last audit may lie in the future; beyond that one of the clocks was wrong, and no age would ever be reached."""

_AGE = re.compile(r"([1-9][0-9]{0,5})([mhdw])\Z")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_age(text: str) -> timedelta:
    """An age such as `30d`: a whole number of minutes, hours, days or weeks (m, h, d, w)."""
    if not (found := _AGE.match(text)):
        raise BadInput(f"--due: {text!r} is not an age; write for example 12h, 30d or 4w")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


@dataclass(frozen=True, kw_only=True)
class PastAudit:
    """One audit in a target's history."""

    finished_at: str
    why: str
    """Why it was made."""
    outcome: Outcome
    reason: str
    score: float | None
    coverage: float
    claims: dict[str, Outcome]
    artifacts: dict[str, bool]
    """Per artifact: whether it could be had."""
    plan_digest: str
    rules_version: str
    openassay: str
    duration_s: float | None
    """Of the whole audit; null when it was not started from here."""
    upstream: dict[str, str] | None
    """Where each artifact's first source pointed before the audit; null when it was not asked."""
    basis: tuple[Basis, ...] = ()
    """What the outcome rests on; empty also in lines that were written before it was known."""
    asked: tuple[str, ...] = ()
    """Settings that were asked for, beside the project's."""


def entry_of(
    layout: Layout, *, why: str, duration_s: float | None, marks: dict[str, str] | None, asked: tuple[str, ...] = ()
) -> PastAudit | None:
    """The audit whose records lie there, or that was published; None when there is none. Raises as `seals.check` does."""
    path = layout.latest(layout.verdict)
    if not path.is_file():
        return None
    if path == layout.verdict:
        check(layout)
    verdict = read_record(path, ReleaseVerdict)
    fetch = layout.record("fetch")
    fetched = read_record(fetch, FetchRecord).artifacts if fetch.is_file() else ()
    return PastAudit(
        finished_at=verdict.provenance.finished_at, why=why, outcome=verdict.outcome, reason=verdict.reason,
        score=verdict.score.value, coverage=verdict.score.coverage, claims={claim.id: claim.outcome for claim in verdict.claims},
        artifacts={artifact.name: artifact.fetched for artifact in fetched}, plan_digest=verdict.plan_digest,
        rules_version=verdict.rules_version, openassay=__version__, duration_s=duration_s, upstream=marks,
        basis=verdict.basis, asked=asked,
    )  # fmt: skip


def history(layout: Layout) -> list[PastAudit]:
    """Every known audit of a target, the oldest first; one that plain `dvc repro` made is added by its records."""
    entries: list[PastAudit] = []
    if layout.history.is_file():
        # not splitlines: a reason may hold a letter that Unicode calls the end of a line
        lines = layout.history.read_bytes().removesuffix(b"\n").split(b"\n")
        for number, line in enumerate(lines if lines != [b""] else [], start=1):
            where = f"{layout.history.relative_to(layout.root).as_posix()}, line {number}"
            try:
                entry: PastAudit = parse(PastAudit, json.loads(line), where)
                if datetime.fromisoformat(entry.finished_at).tzinfo is None:
                    raise BadInput(f"{where}: finished_at: a time with its zone is needed, found {entry.finished_at!r}")
            except (ValueError, RecursionError):  # a line that was cut off by a full disk, a date that is none
                raise BadInput(f"{where}: it is not an entry of a history; remove the line") from None
            entries.append(entry)
    try:
        last = entry_of(layout, why="run by hand", duration_s=None, marks=None)
    except (BrokenRecord, NotAsSealed):  # of another version or machine, or broken: the next audit makes it anew
        last = None
    if last and (not entries or entries[-1].finished_at != last.finished_at):
        entries.append(last)
    return entries


def write_history(layout: Layout, entries: list[PastAudit]) -> None:
    """Keep a target's history."""
    write_text(layout.history, "".join(json.dumps(to_plain(entry), ensure_ascii=False) + "\n" for entry in entries))


def got_worse(before: PastAudit | None, after: PastAudit) -> list[str]:
    """What is worse than before, in words: outcomes of the release and of claims, and artifacts that are no longer there."""
    if before is None:
        return []
    worse = []
    rank = WORST_FIRST.index
    if rank(after.outcome) < rank(before.outcome):
        worse.append(f"{before.outcome.value} became {after.outcome.value}")
    worse += [
        f"claim {name}: {before.claims[name].value} became {outcome.value}"
        for name, outcome in after.claims.items()
        if name in before.claims and rank(outcome) < rank(before.claims[name])
    ]
    gone = [name for name, there in after.artifacts.items() if not there and before.artifacts.get(name)]
    return worse + [f"artifact {name} can no longer be had" for name in gone]


@dataclass(frozen=True, kw_only=True)
class Done:
    """What became of one target."""

    target: str
    status: Literal["audited", "not due", "fault"] = "fault"
    why: str = ""
    """Why it was due; empty for one that was not."""
    outcome: Outcome | None = None
    basis: tuple[Basis, ...] = ()
    before: Outcome | None = None
    """The outcome of the audit before."""
    worse: tuple[str, ...] = ()
    message: str = ""
    """The verdict's reason, or what the fault says."""
    exit_status: int = 0
    """Of its pipeline: 0, 2 for bad input, 3 for another fault."""
    duration_s: float = 0.0
    report: str | None = None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What came of a round of audits."""

    started_at: str
    finished_at: str
    exit_code: int
    """0 as before, 1 an outcome changed for the worse, 2 a target could not be audited."""
    targets: tuple[Done, ...]


def marks_of(target: Target) -> dict[str, str]:
    """Where each artifact's first source points now; `unknown: ...` where it cannot be asked."""

    def ask(name: str) -> str:
        try:
            return target.artifacts[name].sources[0].upstream()
        except Unavailable as problem:
            return problem.kind
        except Exception as problem:  # noqa: BLE001 - whatever a server says, the audit itself will tell
            return f"unknown: {printable(str(problem) or type(problem).__name__)[:200]}"

    with ThreadPoolExecutor(ASKING) as pool:
        return dict(zip(target.artifacts, pool.map(ask, target.artifacts), strict=True))


def why_due(
    last: PastAudit | None, plan_digest: str, age: timedelta | None, marks: dict[str, str] | None, today: datetime
) -> str:
    """The reason why an audit is due; empty when it is not.

    last: the newest audit; age: from which on it is due, None for at any age; marks: where the sources point now.
    """
    if last is None:
        return "never audited"
    if last.plan_digest != plan_digest:
        return "the plan has changed"
    known = last.upstream or {}
    moved = [
        f"{name} was {known[name][:60]}, is {mark[:60]}" for name, mark in (marks or {}).items()
        if name in known and mark != known[name] and not mark.startswith("unknown") and not known[name].startswith("unknown")
    ]  # fmt: skip
    if moved:
        return f"upstream has changed: {'; '.join(moved)}"
    if age is None:
        return "asked for"
    old = today - datetime.fromisoformat(last.finished_at)
    if old < -CLOCKS_DIFFER:
        return "its last audit lies in the future, by this machine's clock"
    return f"{old.days} days old" if old >= age else ""


@contextmanager
def alone(root: Path, target: str | None) -> Iterator[None]:
    """Hold the lock on a target's audits in a project, or on rounds of audits; `Fault` where another process holds it."""
    folder = cache_home() / "audits"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f"{digest([str(root.resolve()), target])[:32]}.lock", timeout=0):
            yield
    except Timeout:
        kind, what = (Fault, f"{target}: another audit of it") if target else (BadInput, "another round of audits")
        raise kind(f"{what} is running in this project. Wait for its end, then run the command again.") from None


def audit_all(
    root: Path, layouts: list[Layout], asked: tuple[str, ...], *, age: timedelta | None, ask_upstream: bool, force: bool,
    indexed: Collection[str],
) -> Summary:  # fmt: skip
    """Audit what is due of these targets, one after another; a target's failure never stops the others.

    asked: overrides of the settings. indexed: targets that the project's own dvc.yaml names.
    """
    started_at, done = now(), []
    refresh_code(root)
    for number, layout in enumerate(layouts, start=1):
        if len(layouts) > 1:
            print(f"== {layout.target} ({number} of {len(layouts)})", flush=True)
        started = time.monotonic()
        found = _audit_one(layout, asked, age=age, ask_upstream=ask_upstream, force=force)
        if len(layouts) > 1:
            print(f"== {layout.target}: {found.status}{': ' + printable(found.why) if found.why else ''}", flush=True)
        done.append(replace(found, duration_s=round(time.monotonic() - started, 1)))
    note_audits(root, {of.target for of in done if of.status == "audited"} & set(indexed))
    exit_code = 2 if any(of.status == "fault" for of in done) else 1 if any(of.worse for of in done) else 0
    return Summary(started_at=started_at, finished_at=now(), exit_code=exit_code, targets=tuple(done))


def _audit_one(
    layout: Layout, asked: tuple[str, ...], *, age: timedelta | None, ask_upstream: bool, force: bool
) -> Done:
    started = time.monotonic()
    done = Done(target=layout.target)
    try:
        target = read_target(layout)
        entries = history(layout)
        last = entries[-1] if entries else None
        done = replace(done, before=last.outcome if last else None)
        marks = marks_of(target) if ask_upstream else None
        planned, doubt = make_plan(layout, asked, target), doubt_of(layout)
        why = why_due(last, planned.digest, age, marks, datetime.now(UTC)) or (
            "its records are in doubt" if doubt else ""
        )
        if not why:
            if last and marks and (told := _told(last, marks)) != last.upstream:  # from now on a change shows
                with suppress(Fault), alone(layout.root, layout.target):  # an audit of it that is running keeps its own
                    if history(layout) == entries:
                        write_history(layout, [*entries[:-1], replace(last, upstream=told)])
            message, basis = (last.reason, last.basis) if last else ("", ())
            return replace(done, status="not due", message=message, outcome=done.before, basis=basis)
        done = replace(done, why=why)
        with alone(layout.root, layout.target):
            entries = history(layout)  # while this one waited for servers, another may have ended
            done = replace(done, before=entries[-1].outcome if entries else None)
            # an outcome is worse than one of the same settings: other error rates are another question
            same = next((entry for entry in reversed(entries) if entry.asked == asked), None)
            again = force or why.endswith(("days old", "clock")) or why.startswith("upstream")
            if isinstance(doubt, SealedElsewhere):
                print(f"note: {printable(str(doubt).partition(';')[0])}; everything is made anew", file=sys.stderr)
                again = True
            if isinstance(doubt, Edited) and not force:
                raise doubt
            status, message = reproduce(layout, target, asked, force=again)
            if status != 0:
                return replace(done, message=message, exit_status=status)
            after = entry_of(layout, why=why, duration_s=round(time.monotonic() - started, 1), marks=marks, asked=asked)
            if after is None:
                raise Fault("the pipeline ended without a verdict")
            _check_made(layout, planned)
            if not entries or entries[-1].finished_at != after.finished_at:
                entries.append(after)
            else:  # nothing had changed, and nothing was run
                entries[-1] = replace(entries[-1], upstream=marks or entries[-1].upstream)
            write_history(layout, entries)
    except (Fault, OSError) as problem:  # a full disk or a closed folder: perhaps this target's only
        message, status = message_and_status(problem)
        print(f"error: {message}", file=sys.stderr)
        return replace(done, message=message, exit_status=status)
    return replace(
        done, status="audited", message=after.reason, outcome=after.outcome, basis=after.basis,
        worse=tuple(got_worse(same, after)), report=layout.report.relative_to(layout.root).as_posix(),
    )  # fmt: skip


def _check_made(layout: Layout, planned: Plan) -> None:
    """Raise `BadInput` where what lies there after an audit is not what it makes: DVC's lock may have been edited to hide it."""
    problems = other_tables(layout, read_record(layout.verdict, ReleaseVerdict))
    if read_plan(layout) != planned:
        problems.append(f"{layout.shown(layout.plan)}: the target file and the settings say otherwise now")
    if problems:
        raise BadInput(f"{problems[0]}; run `openassay audit --force {layout.reference}`")


def _told(last: PastAudit, marks: dict[str, str]) -> dict[str, str]:
    """Where the sources pointed at the last audit, with what could not be asked then as it is now."""
    told = {name: (last.upstream or {}).get(name, mark) for name, mark in marks.items()}
    known = {name: mark for name, mark in marks.items() if not mark.startswith("unknown")}
    return told | {name: mark for name, mark in known.items() if told[name].startswith("unknown")}


def to_markdown(summary: Summary) -> str:
    """The summary for people: a CI job's page, a mail."""
    words = {0: "As before", 1: "An outcome has changed for the worse", 2: "Not every target could be audited"}
    audited = sum(of.status == "audited" for of in summary.targets)
    lines = [
        f"## OpenAssay: {words[summary.exit_code].lower()}", "",
        f"{audited} of {len(summary.targets)} targets audited, {summary.started_at} to {summary.finished_at}.", "",
        "| target | result | before | why | |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for of in summary.targets:
        result = of.outcome.value + weaker(of.outcome, of.basis) if of.outcome else "could not be audited"
        if of.status == "not due":
            result += " (not due)"
        said = "; ".join(of.worse) or of.message
        cells = (of.target, f"**{result}**" if of.worse or of.status == "fault" else result,
                 of.before.value if of.before else "–", of.why, said)  # fmt: skip
        lines.append("| " + " | ".join(in_markdown(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def write_summary(root: Path, summary: Summary) -> Path:
    """Write the summary as JSON and as Markdown, whose path it returns, and onto the page of a GitHub job if there is one."""
    markdown, path = to_markdown(summary), root / "experiments" / "summary.md"
    write_text(path, markdown)
    write_record(path.with_suffix(".json"), summary)
    if page := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(page).open("a", encoding="utf-8") as file:
            file.write(markdown)
    return path
