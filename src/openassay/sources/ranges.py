"""How does a part of a very large file get here, so that it is brought once?

A replay reads a few thousand rows of a token file of hundreds of gigabytes. Each file that is read in this way is a sparse file
in the store, `ranges/<key>/<name>`, with every byte at its own place, and a list of the pieces that are there.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

from openassay.records import write_text
from openassay.sources import Source
from openassay.sources.download import Span, bring, drop, tell
from openassay.sources.fetched import Unavailable, WrongPin
from openassay.sources.hf import HfSource
from openassay.sources.http import HttpSource
from openassay.sources.roots import source_root
from openassay.store import Store, check_names

CHUNK = 1 << 20


@dataclass(frozen=True)
class Piece:
    """Bytes that are here, with the sha256 that they came with."""

    start: int
    stop: int
    sha256: str


@dataclass(frozen=True)
class Pieces:
    """What of a file is here."""

    pieces: tuple[Piece, ...] = ()
    version: str = ""
    """By which the server tells versions of the file apart; pieces of two versions are not joined."""
    changed_ns: int = 0
    """When the sparse file was last written to by us: if it was since, its pieces are checked before they are used."""

    def missing(self, start: int, stop: int) -> list[Span]:
        """The spans of [start, stop) that are not here, in order."""
        gaps, at = [], start
        for piece in sorted(self.pieces, key=lambda piece: piece.start):
            if piece.start > at:
                gaps.append((at, min(piece.start, stop)))
            at = max(at, piece.stop)
            if at >= stop:
                break
        if at < stop:
            gaps.append((at, stop))
        return [(a, b) for a, b in gaps if a < b]


def fetch_range(source: Source, path: str, start: int, stop: int, store: Store) -> Path:
    """A local file that holds bytes [start, stop) of one of a source's files at their own places; the rest may be holes.

    Of a file on a hub or at an address of the web only those bytes are brought, and only once; other sources are fetched
    whole. Raises `Unavailable` and `Unreachable` as `fetch` does, and `WrongPin` for a file that is not there.
    """
    if not 0 <= start < stop:
        raise ValueError(f"[{start}, {stop}) is no range of bytes")
    if not isinstance(source, (HfSource, HttpSource)):
        return _whole(source, path, stop, store)
    if isinstance(source, HttpSource):
        if path not in {"", source.filename}:
            raise WrongPin(f"{source.label()}: {path!r} is not its file; it has {source.filename}")
        key, sha256, wanted = f"http {source.url}", source.sha256, source.wanted()
    else:
        key, sha256, wanted = source.wanted(store, path)
    name = PurePosixPath(path or wanted.label).name
    if sha256 and store.has(sha256):
        return store.named(sha256, name)
    folder = store.folder / "ranges" / hashlib.sha256(key.encode()).hexdigest()
    with store.alone(f"range {key}"):
        folder.mkdir(parents=True, exist_ok=True)
        content, listed = folder / name, folder / "pieces.json"
        pieces = _checked(_read(listed), content, start, stop)
        for gap in pieces.missing(start, stop):
            part = store.part(f"range {key} {gap}")
            version = bring(replace(wanted, span=gap, label=f"{name} {gap[0]}-{gap[1]}"), part)
            # A commit's file is one file; a hub's mirrors may tell its version each in their own way.
            if isinstance(source, HttpSource) and pieces.pieces and pieces.version != version:
                drop(part)
                raise Unavailable(f"{source.label()} {name}: another version of it lies there now", "changed")
            piece = _insert(part, content, gap)
            part.unlink()
            pieces = replace(
                pieces, pieces=(*pieces.pieces, piece), version=version, changed_ns=content.stat().st_mtime_ns
            )
            write_text(listed, json.dumps(asdict(pieces)))
            tell(f"{name} [{gap[0]}, {gap[1]})", gap[1] - gap[0])
    return content


def _whole(source: Source, path: str, stop: int, store: Store) -> Path:
    check_names([path])
    fetched = source.fetch(store, source.label())
    found = source_root(store, fetched.sha256, fetched.filename, source.root) / path
    if not found.is_file() or found.stat().st_size < stop:
        raise WrongPin(f"{source.label()}: it has no file {path!r} of {stop} bytes or more")
    return found


def _read(listed: Path) -> Pieces:
    if not listed.exists():
        return Pieces()
    said = json.loads(listed.read_text(encoding="utf-8"))
    return Pieces(tuple(Piece(**piece) for piece in said["pieces"]), said["version"], said["changed_ns"])


def _checked(pieces: Pieces, content: Path, start: int, stop: int) -> Pieces:
    """Without the pieces in this span that are not what they were, if anybody but us wrote to the file."""
    if not content.exists():
        return Pieces()
    if content.stat().st_mtime_ns == pieces.changed_ns:
        return pieces
    whole = [
        piece
        for piece in pieces.pieces
        if piece.stop <= start or piece.start >= stop or _digest(content, piece) == piece.sha256
    ]
    return replace(pieces, pieces=tuple(whole))


def _digest(content: Path, piece: Piece) -> str:
    found, left = hashlib.sha256(), piece.stop - piece.start
    with content.open("rb") as file:
        file.seek(piece.start)
        while left and (chunk := file.read(min(left, CHUNK))):
            found.update(chunk)
            left -= len(chunk)
    return found.hexdigest()


def _insert(part: Path, content: Path, span: Span) -> Piece:
    """Put a downloaded span at its place; it is on the disk before it is listed."""
    found = hashlib.sha256()
    with part.open("rb") as new, content.open("r+b" if content.exists() else "w+b") as file:
        file.seek(span[0])
        while chunk := new.read(CHUNK):
            found.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return Piece(span[0], span[1], found.hexdigest())
