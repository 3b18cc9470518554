"""A file or folder on this machine: for a lab that checks its own release before it publishes."""

from __future__ import annotations

import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from openassay.records import file_digest
from openassay.sources.fetched import Fetched, Root, WrongPin
from openassay.store import Store, files_below


@dataclass(frozen=True, kw_only=True)
class LocalSource:
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
        path = Path(self.path)
        if not path.exists():
            raise WrongPin(f"{where}.path: {self.path!r} does not exist; paths are relative to the project's root")
        part = store.part(str(path.absolute()))
        if path.is_dir():
            filename = f"{path.name}.tar"
            with tarfile.open(part, "w", dereference=True) as archive:
                for file in files_below(path):
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
        size = part.stat().st_size
        return Fetched(sha256=store.add(part), filename=filename, size_bytes=size, downloaded=True)
