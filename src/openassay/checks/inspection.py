"""Inspects a folder, a file or an archive: components and all the checks."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

from openassay.checks.components import detect
from openassay.checks.registry import run_checks
from openassay.core.findings import CheckAnswer, ComponentDetected, Excerpt, FileSeen, Finding
from openassay.core.openness_records import ComponentName
from openassay.faults import BadInput
from openassay.published.links import ask_links
from openassay.published.read import read_release, short_digest
from openassay.sources.roots import paths_below
from openassay.store import RefusedArchive, Store, archive_kind

Declared = dict[str, Literal["yes", "no", "partly", "unknown"]]
Place = TypeVar("Place", Excerpt, FileSeen)
MAX_FINDINGS = 5
_OUTCOMES = ("cannot be asked", "pass", "noted", "fail")
_FOUND = ("not seen", "named", "found")


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What was seen in one place."""

    name: str
    num_files: int
    detected: tuple[ComponentDetected, ...]
    checks: tuple[CheckAnswer, ...]
    unreadable: dict[str, str]


def inspect_folder(
    folder: Path, *, name: str = "", declared: Declared | None = None, links: bool = False, is_part: bool = False,
    listed: dict[str, bool] | None = None,
    say: Callable[[str], None] = lambda _line: None,
) -> Inspection:  # fmt: skip
    """The components and the answers of all the checks for a folder or a file, which is read once.

    is_part: whether the release has more files than are there. listed: then all their paths from the folder on, and whether
    each is a link, where they are known. say: is told what is done where it takes long.
    """
    top = top_of(folder)
    below = None if listed is None or not top.is_dir() else paths_below(listed, top.relative_to(folder).as_posix())
    release = read_release(top, name=name, is_part=is_part, listed=below, say=say)
    if links:
        release = replace(release, links=ask_links(release), derived={})
    base = top if top.is_dir() else top.parent
    return Inspection(
        name=release.name, num_files=len(release.files),
        detected=detect(release, declared or {}, lambda path: short_digest(base / path)),
        checks=run_checks(release, say), unreadable=dict(release.unreadable),
    )  # fmt: skip


def top_of(folder: Path) -> Path:
    """The one folder in which everything lies, as in most archives; else the folder itself."""
    while folder.is_dir():
        inside = list(folder.iterdir())
        if len(inside) != 1 or not inside[0].is_dir() or inside[0].is_symlink():
            return folder
        folder = inside[0]
    return folder


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """The folder or file itself; an archive's content, unpacked for as long as it is looked at."""
    if path.is_dir() or archive_kind(path.name) == "file":
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        part = store.part(path.name)
        shutil.copyfile(path, part)
        try:
            yield store.tree(store.add(part), path.name)
        except RefusedArchive as problem:
            raise BadInput(f"{path}: it cannot be unpacked: {problem}") from None


def merge_detected(of: dict[str, tuple[ComponentDetected, ...]]) -> tuple[ComponentDetected, ...]:
    """One row for each component over several artifacts: the most that any of them shows."""
    rows: dict[ComponentName, list[tuple[str, ComponentDetected]]] = {}
    for artifact, detected in of.items():
        for component in detected:
            rows.setdefault(component.component, []).append((artifact, component))
    merged = []
    for several in rows.values():
        _, best = max(several, key=lambda pair: _FOUND.index(pair[1].found))
        showing = [(artifact, c) for artifact, c in several if c.found == best.found]
        files = tuple(_in(artifact, file) for artifact, component in showing for file in component.files)
        terms = "; ".join(dict.fromkeys(component.terms for _, component in showing if component.terms))
        merged.append(replace(best, files=files[:5], terms=terms))
    return tuple(merged)


def merge_checks(of: dict[str, tuple[CheckAnswer, ...]]) -> tuple[CheckAnswer, ...]:
    """One row for each check over several artifacts, its places named with their artifact."""
    rows: dict[str, list[CheckAnswer]] = {}
    for artifact, answers in of.items():
        for answer in answers:
            problems = tuple(replace(p, evidence=tuple(_in(artifact, e) for e in p.evidence)) for p in answer.problems)
            looked_at = tuple(_in(artifact, e) for e in answer.looked_at)
            rows.setdefault(answer.check, []).append(replace(answer, problems=problems, looked_at=looked_at))
    merged = []
    for several in rows.values():
        worst = max(several, key=lambda answer: _OUTCOMES.index(answer.outcome))
        why = "; ".join(dict.fromkeys(a.why for a in several if a.why and a.outcome == worst.outcome))
        problems = tuple(problem for answer in several for problem in answer.problems)
        looked_at = tuple(seen for answer in several for seen in answer.looked_at)[:6]
        merged.append(replace(worst, why=why, problems=problems, looked_at=looked_at))
    return tuple(merged)


def _in(artifact: str, seen: Place) -> Place:
    return replace(seen, path=f"{artifact}: {seen.path}")


def findings_of_checks(answers: tuple[CheckAnswer, ...]) -> tuple[Finding, ...]:
    """Each problem as a finding with its places; of many of one kind the first few."""
    found = []
    for answer in answers:
        for problem in answer.problems[:MAX_FINDINGS]:
            places = "; ".join(dict.fromkeys(place(evidence) for evidence in problem.evidence))
            message = f"{problem.message} ({places})" if places else problem.message
            found.append(Finding(stage="inspect", kind=answer.check, message=message))
        if (more := len(answer.problems) - MAX_FINDINGS) > 0:
            found.append(Finding(stage="inspect", kind=answer.check, message=f"and {more} more of the same kind"))
    return tuple(found)


def place(evidence: Excerpt) -> str:
    """A place in few words: path, line and key."""
    line = f":{evidence.line}" if evidence.line else ""
    key = f" {evidence.key}" if evidence.key else ""
    return f"{evidence.path}{line}{key}"
