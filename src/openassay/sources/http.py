"""A file at an address of the web, for releases that publish on a page of their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field

from openassay.records import digest
from openassay.sources.download import Wanted, bring_checked, look, netrc_login
from openassay.sources.fetched import LOOPBACK, AnySource, Fetched, Root, stored
from openassay.store import Store


@dataclass(frozen=True, kw_only=True)
class HttpSource(AnySource):
    """One file, by its address. A name and a password for its host are taken from the user's .netrc."""

    kind: Literal["http"]
    url: str
    sha256: str | None = None
    """The pin. May be left out when the artifact has a payload pin."""
    bytes: Annotated[int, Field(ge=0)] | None = None
    """The file's length. A server that has another is not asked for its content."""
    root: Root = ""
    """Folder inside the archive that counts as its top."""

    def __post_init__(self) -> None:
        check_address(self.url)
        if not PurePosixPath(urlsplit(self.url).path).name:
            raise ValueError(f"url: {self.url[:200]!r} names no file: its last part is empty")
        if self.filename in {"", ".", ".."} or not self.filename.isprintable():
            raise ValueError(f"url: {self.url[:200]!r}: its last part cannot be the name of a file")

    @property
    def filename(self) -> str:
        """The address's last part."""
        return PurePosixPath(unquote(urlsplit(self.url).path)).name

    def label(self) -> str:
        """This source in a few words."""
        return f"http {self.url.partition('?')[0]}"

    def key(self) -> str:
        """What the store knows it by: a query may hold what is nobody's business."""
        return f"{self.label()} {digest(self.url)}"

    def fetch(self, store: Store, where: str) -> Fetched:  # noqa: ARG002 - a pin that is not met is no mistake here
        """Bring the file into the store."""
        with store.alone(self.key()):
            seen = store.seen(self.key())  # what this address gave before: a pin alone proves no origin
            known = self.sha256 or next(iter(seen), None)
            if known and known in seen and store.has(known):
                return stored(store, known, self.filename, downloaded=False)
            part = store.part(self.key())
            got = bring_checked(self.wanted(), part, self._problem)
            store.remember(self.key(), got)
            return stored(store, store.add(part, got), self.filename, downloaded=True)

    def _problem(self, got: str) -> str:
        right = self.sha256 in {None, got}
        return "" if right else f"expected sha256 {self.sha256}, the address now gives {got}"

    def may_change(self) -> bool:
        """Yes: whoever owns the address may put another file there."""
        return True

    def upstream(self) -> str:
        """The version that lies there now: its ETag, or its date and length."""
        return look(self.wanted())

    def wanted(self) -> Wanted:
        """What is asked for."""
        pieces = urlsplit(self.url)
        host = pieces.hostname or ""
        # A stranger's target names the host: no password in the clear, and none that is not for this host.
        login = netrc_login(host, default=False) if pieces.scheme == "https" or host in LOOPBACK else None
        return Wanted(url=self.url, label=self.filename, login=login, size_bytes=self.bytes)


def check_address(url: str) -> None:
    """Raise ValueError where this is no address of a file on the web, or one with a password in it."""
    try:
        pieces = urlsplit(url)
        _ = pieces.port
    except ValueError:
        raise ValueError(f"url: {url[:200]!r} is not an address") from None
    if pieces.scheme not in {"http", "https"} or not pieces.hostname or any(c <= " " or c == "\x7f" for c in url):
        raise ValueError(f"url: {url[:200]!r} is not an address that starts with https:// or http://")
    if "@" in pieces.netloc:
        raise ValueError("url: an address with a name or a password in it; put them into ~/.netrc")
    if pieces.fragment or "\\" in url:
        raise ValueError(f"url: {url[:200]!r}: an address of a file has no # and no backslash in it")
