"""A Debian package, for data sets that ship as one: downloaded by apt, unpacked, never installed.

No root is needed, and the system's own package lists are not touched: the lists live in the store.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from openassay.faults import Fault, full_disk_line
from openassay.records import file_digest
from openassay.sources.fetched import (
    CHECK_NETWORK,
    AnySource,
    Fetched,
    Root,
    Unavailable,
    Unreachable,
    WrongPin,
    stored,
)
from openassay.store import Store

_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]{1,199}\Z")
_NETWORK = ("Could not resolve", "Could not connect", "Connection failed", "Temporary failure", "Unable to connect")


@dataclass(frozen=True, kw_only=True)
class DebianSource(AnySource):
    """A binary package of the Debian suite that this machine runs.

    A suite replaces its packages, but a pin that never matched is a mistake; apt's lists do not tell the digest beforehand.
    """

    kind: Literal["debian"]
    package: str
    version: str | None = None
    """If given and the suite offers another version, this source is not available."""
    sha256: str | None = None
    """The pin. May be left out when the artifact has a payload pin."""
    root: Root = ""
    """Folder inside the package that counts as its top."""

    def __post_init__(self) -> None:
        if not _PACKAGE.match(self.package):
            raise ValueError(f"{self.package!r} is not a Debian package's name")

    def label(self) -> str:
        """This source in a few words."""
        return f"debian {self.package} {self.version or ''}".strip()

    def fetch(self, store: Store, where: str) -> Fetched:
        """Bring the package into the store; `where` names the source in messages."""
        filename = f"{self.package}.deb"
        seen = store.seen(self.label())  # what apt gave before: a pin alone proves no origin
        known = self.sha256 or next(iter(seen), None)
        if known and known in seen and store.has(known):
            return stored(store, known, filename, downloaded=False)
        if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
            raise Unavailable("this source needs apt (Debian or Ubuntu), and this system has none", "unsupported")
        folder = store.folder / "apt"
        for name in ("lists", "archives"):
            (folder / name / "partial").mkdir(parents=True, exist_ok=True)
        if not (folder / "updated").exists():
            self._apt(folder, "update")
            (folder / "updated").touch()
        wanted = self.package + (f"={self.version}" if self.version else "")
        for old in folder.glob(f"{self.package}_*.deb"):
            old.unlink()
        try:
            self._apt(folder, "download", wanted)
        except Unavailable:  # the lists may be older than the archive
            self._apt(folder, "update")
            self._apt(folder, "download", wanted)
        found = next(folder.glob(f"{self.package}_*.deb"), None)
        if found is None:
            raise Unavailable(f"apt brought no file for {wanted}")
        got = file_digest(found)
        if self.sha256 and got != self.sha256:
            raise WrongPin(f"{where}.sha256: expected {self.sha256}, got {got} for {found.name}")
        store.remember(self.label(), got)
        return stored(store, store.add(found, got), filename, downloaded=True)

    def _apt(self, folder: Path, command: str, *arguments: str) -> None:
        options = [
            "-qq", "-o", f"Dir::State::Lists={folder / 'lists'}", "-o", f"Dir::Cache={folder / 'archives'}",
            "-o", "APT::Sandbox::User=root",
        ]  # fmt: skip
        try:
            done = subprocess.run(
                ["apt-get", *options, command, *arguments],
                cwd=folder, capture_output=True, text=True, check=False, timeout=1800,
                env=os.environ | {"LC_ALL": "C"},  # its messages are read below, in English
            )  # fmt: skip
        except subprocess.TimeoutExpired as late:
            raise Unreachable(f"apt-get {command}: it took more than {late.timeout:g} s. {CHECK_NETWORK}") from None
        said = done.stderr.strip()
        if full := full_disk_line(said):
            raise Fault(f"{folder}: apt-get {command}: {full}; free some space, then run the command again")
        if any(word in said for word in _NETWORK):
            raise Unreachable(f"apt-get {command}: {said.splitlines()[-1]}. {CHECK_NETWORK}")
        if done.returncode != 0:
            raise Unavailable(f"apt-get {command} {' '.join(arguments)}: {said.splitlines()[-1] if said else 'failed'}")
