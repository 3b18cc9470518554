"""A file or folder on this machine: for a lab that checks its own release before it publishes.

A target file may be a stranger's: what it names must lie, links followed, below the project's root, or below a folder that
the user lists in `$OPENASSAY_LOCAL` (several are separated by colons).
"""

from __future__ import annotations

import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from openassay.layout import find_root
from openassay.records import file_digest
from openassay.sources.fetched import AnySource, Fetched, Root, WrongPin, stored
from openassay.store import MAX_UNPACKED_BYTES, Store, files_below

ALLOWED_VARIABLE = "OPENASSAY_LOCAL"
"""Names the folders outside the project that a target may take files from; what is not in the project is looked for there."""


@dataclass(frozen=True, kw_only=True)
class LocalSource(AnySource):
    """A file or a folder, relative to the project's root or absolute."""

    kind: Literal["local"]
    path: str
    sha256: str | None = None
    """The pin of a file. For a folder, pin the artifact's payload instead."""
    root: Root = ""
    """Folder inside the archive that counts as its top."""

    def label(self) -> str:
        """This source in a few words."""
        return f"local {self.path}"

    def fetch(self, store: Store, where: str) -> Fetched:
        """Copy the file, or the folder as a tar with fixed dates, into the store; `where` names the source."""
        path = self._path(where)
        files = list(files_below(path)) if path.is_dir() else [path]
        if sum(file.stat().st_size for file in files) > MAX_UNPACKED_BYTES:
            raise WrongPin(
                f"{where}.path: {self.path!r} is larger than {MAX_UNPACKED_BYTES} bytes, the largest allowed"
            )
        part = store.part(str(path))
        if path.is_dir():
            filename = f"{path.name}.tar"
            with tarfile.open(part, "w", dereference=True) as archive:
                for file in files:
                    member = archive.gettarinfo(file, file.relative_to(path).as_posix())
                    member.uid = member.gid = 0
                    member.uname = member.gname = ""
                    member.mtime, member.mode = 0, 0o644
                    with file.open("rb") as content:
                        archive.addfile(member, content)
        else:
            filename = path.name
            shutil.copyfile(path, part)
        got = file_digest(part)
        if self.sha256 and got != self.sha256:
            part.unlink()
            raise WrongPin(f"{where}.sha256: expected {self.sha256}, got {got} for {self.path}")
        return stored(store, store.add(part, got), filename, downloaded=True)

    def _path(self, where: str) -> Path:
        """The file or folder itself, links followed, if a target may name it."""
        allowed = [find_root(), *map(Path, filter(None, os.environ.get(ALLOWED_VARIABLE, "").split(":")))]
        allowed = [folder.resolve() for folder in allowed]
        path, root = next(filter(None, map(self._there, allowed)), None), allowed[0]
        if path is None:
            raise WrongPin(
                f"{where}.path: {self.path[:200]!r} does not exist; paths are relative to the project's root, or to a "
                f"folder of {ALLOWED_VARIABLE}"
            )
        if root.is_relative_to(path):
            raise WrongPin(
                f"{where}.path: expected a file or a folder of the release, found {self.path!r}, which holds the project "
                f"itself ({root}) with its records; put the release into a folder of its own, or name its files"
            )
        if not any(path.is_relative_to(folder) for folder in allowed):
            allow = f"to allow it, name its folder in {ALLOWED_VARIABLE}"
            raise WrongPin(f"{where}.path: {self.path!r} lies outside the project; {allow}")
        if not (path.is_file() or path.is_dir()):
            raise WrongPin(f"{where}.path: {self.path!r} is neither a regular file nor a folder")
        return path

    def _there(self, folder: Path) -> Path | None:
        """What lies there, links followed; None where nothing does."""
        try:
            return (folder / self.path).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):  # also a name too long, a zero byte, links in a circle
            return None
