"""Seals: what a stage or a rerun wrote, and what it was made from, under a key of this machine's user.

Whoever may write to a project can edit a record; a seal that fits it cannot be made without the key, and published code in a cage
does not see that. It names the files by their sha256, so that the seals of the stages form a chain from the plan to the report.
"""

from __future__ import annotations

import hmac
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from openassay.faults import BadInput
from openassay.layout import Layout
from openassay.records import BrokenRecord, digest, file_digest, read_record, write_record
from openassay.stage_code import STAGES

KEY_VARIABLE = "OPENASSAY_SEAL_KEY"
"""Names the file of the key, where it is not ~/.local/state/openassay/seal.key."""
_KEY_BYTES = 32

_WRITTEN = {
    "plan": ("plan.yaml", "inputs/*.json"),
    "fetch": ("fetch/record.json",),
    "inspect": ("inspect/record.json",),
    "prepare": ("prepare/record.json", "prepare/data/**/*"),
    "evaluate": ("evaluate/record.json",),
    "rerun": ("rerun/record.json",),
    "judge": ("verdict.json",),
    "report": ("report.html",),
}
"""Patterns of what each stage writes and others rely on, from the target's folder. Reruns have seals of their own; the tables
that git keeps follow from the verdict."""
_RERUNS = "rerun/*/seed-*/record.json"
_FROM = {
    "plan": (),
    "fetch": ("plan",),
    "inspect": ("plan", "fetch"),
    "prepare": ("plan", "fetch"),
    "evaluate": ("plan", "fetch", "prepare"),
    "rerun": ("plan", "fetch", "prepare"),
    "judge": ("plan", "fetch", "inspect", "prepare", "evaluate", "rerun"),
    "report": ("plan", "fetch", "inspect", "prepare", "evaluate", "rerun", "judge"),
}
"""The stages whose files each stage reads."""
_DATA = "prepare/data/"
"""Prepared data may be large: only the stages that read them check them."""


class NotAsSealed(BadInput):
    """Records are not what this machine has made."""


class Edited(NotAsSealed):
    """A record is not what was sealed."""


class Outdated(NotAsSealed):
    """A record was made from others than those that lie there: the last audit did not reach its end."""


class SealedElsewhere(NotAsSealed):
    """Records bear no seal of this machine's key: another machine, another user or an earlier version made them."""


@dataclass(frozen=True, kw_only=True)
class Seal:
    """What was written by a stage or a rerun, and from what; paths from the target's folder, with their sha256."""

    key: str
    """Which key: the first 16 digits of a digest of it."""
    files: dict[str, str]
    made_from: dict[str, str]
    code: str
    """HMAC-SHA256 of all else (RFC 2104)."""


def key_file() -> Path:
    """The file of the key: `$OPENASSAY_SEAL_KEY`, or one in the user's folder of states."""
    if given := os.environ.get(KEY_VARIABLE):
        return Path(given).absolute()
    home = os.path.expanduser("~")
    if not (states := os.environ.get("XDG_STATE_HOME")) and home == "~":
        raise BadInput(f"this user has no home folder: set {KEY_VARIABLE} to a file for the key of the seals")
    return Path(states or f"{home}/.local/state").absolute() / "openassay" / "seal.key"


def _key() -> bytes:
    """The key; made where there is none yet."""
    path = key_file()
    with suppress(FileNotFoundError):
        key = path.read_bytes()
        if len(key) != _KEY_BYTES:
            raise BadInput(
                f"{path}: a key of {_KEY_BYTES} bytes is expected, found {len(key)}; put the right one there"
            )
        return key
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, temporary = tempfile.mkstemp(dir=path.parent)  # readable to this user only
    with os.fdopen(handle, "wb") as file:
        file.write(secrets.token_bytes(_KEY_BYTES))
    with suppress(FileExistsError):  # another process was faster
        os.link(temporary, path)
    Path(temporary).unlink()
    return path.read_bytes()


@contextmanager
def sealing(layout: Layout, stage: str) -> Iterator[None]:
    """Check what a stage reads, before it, and seal what it has written, after it. Raises as `check` does."""
    _seal_file(layout, stage).unlink(missing_ok=True)
    made_from: dict[str, str] = {}
    for source in _FROM[stage]:
        check_files(layout, source, data=stage in {"evaluate", "rerun"})
        own = layout.inputs(stage)
        of_plan = [own if own.is_file() else layout.plan]
        made_from |= _digests(layout, of_plan if source == "plan" else _files(layout, source, data=False))
    yield
    if stage == "rerun":
        for record in layout.folder.glob(_RERUNS):
            with suppress(NotAsSealed):  # left by others, and not used: what is used was checked before
                made_from |= check_files(layout, record.parent.relative_to(layout.folder).as_posix()).files
    seal(layout, stage, _digests(layout, _files(layout, stage, data=True)), made_from)


def seal(layout: Layout, name: str, files: Mapping[str, str], made_from: Mapping[str, str]) -> None:
    """Seal files of a target's folder under a name: their sha256 by their paths from that folder."""
    write_record(_seal_file(layout, name), _made(layout, name, files, made_from))


def check(layout: Layout, last: str = "report") -> None:
    """Check the records of all stages up to one, and that each was made from those that lie there.

    Raises `Edited` and `SealedElsewhere` as `check_files` does, and `Outdated`.
    """
    stages = [of for of in STAGES[: STAGES.index(last) + 1] if any(_files(layout, of, data=False))]
    seals = {stage: check_files(layout, stage) for stage in stages}
    for stage, found in seals.items():
        for path, expected in found.made_from.items():
            if not _is(layout.folder / path, expected):
                older, newer = (layout.shown(layout.folder / of) for of in (next(iter(found.files), stage), path))
                raise Outdated(f"{older}: {newer} is another than it was made from; {_again(layout)}")


def doubt_of(layout: Layout) -> NotAsSealed | None:
    """Why the records of a verdict are not what this machine has made; None where they are, or where there is no verdict."""
    try:
        if layout.verdict.is_file():
            check(layout)
    except NotAsSealed as problem:
        return problem
    return None


def check_files(layout: Layout, name: str, *, data: bool = False) -> Seal:
    """The seal of a stage, or of a rerun by the path of its folder; the files that lie there are those that it names.

    Those of its reruns are, too. data: prepared data are looked at. Raises `Edited` with the file that is not as it was written,
    `SealedElsewhere` where this machine has not sealed it. What is missing was not edited: it is made anew.
    """
    where, again = _seal_file(layout, name), _again(layout)
    if "/" in name:  # reruns are kept, also by that
        again = f"remove {layout.shown(layout.folder / name)}, then run the audit again: it makes that rerun anew"
    try:
        found = read_record(where, Seal)
    except BrokenRecord:
        what = layout.shown(layout.folder / next(iter(_WRITTEN.get(name, (name,)))))
        raise SealedElsewhere(f"{what}: it bears no seal of this machine; {again}") from None
    made = _made(layout, name, found.files, found.made_from)
    if found.key != made.key:
        raise SealedElsewhere(f"{layout.shown(where)}: it was made with another key than {key_file()}; {again}")
    if not hmac.compare_digest(found.code, made.code):
        raise Edited(f"{layout.shown(where)}: it was edited; {again}")
    for path, expected in found.files.items():
        if (data or not path.startswith(_DATA)) and not _is(layout.folder / path, expected):
            raise Edited(f"{layout.shown(layout.folder / path)}: it was edited after it was written; {again}")
    for rerun in sorted({str(Path(path).parent) for path in found.made_from if Path(path).match(_RERUNS)}):
        if (layout.folder / rerun).is_dir():
            check_files(layout, rerun)
    return found


def _again(layout: Layout) -> str:
    return f"run `openassay audit --force {layout.reference}`, which makes it anew"


def _is(path: Path, expected: str) -> bool:
    """Whether a file has this sha256, or is missing."""
    try:
        return file_digest(path) == expected
    except FileNotFoundError:
        return True


def _made(layout: Layout, name: str, files: Mapping[str, str], made_from: Mapping[str, str]) -> Seal:
    key = _key()
    said = {"target": layout.target, "name": name, "files": dict(files), "made_from": dict(made_from)}
    code = hmac.digest(key, digest(said).encode(), "sha256").hex()
    return Seal(key=digest(key.hex())[:16], files=dict(files), made_from=dict(made_from), code=code)


def _seal_file(layout: Layout, name: str) -> Path:
    return layout.folder / "seals" / f"{name}.json"


def _files(layout: Layout, stage: str, *, data: bool) -> Iterator[Path]:
    for pattern in _WRITTEN[stage]:
        if data or not pattern.startswith(_DATA):
            yield from (path for path in layout.folder.glob(pattern) if path.is_file())


def _digests(layout: Layout, paths: Iterable[Path]) -> dict[str, str]:
    return {path.relative_to(layout.folder).as_posix(): file_digest(path) for path in sorted(paths)}
