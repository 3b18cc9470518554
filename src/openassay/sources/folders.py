"""What the sources of whole folders have in common: they give many files, best at a commit."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator

from openassay.records import digest, to_plain
from openassay.sources.fetched import AnySource, Fetched, Unavailable
from openassay.store import FolderFile, LeftOut, Store

COMMIT = re.compile(r"[0-9a-f]{40}\Z")


def _check_commit(commit: str) -> str:
    if not COMMIT.match(commit):
        raise ValueError(f"a commit is 40 hexadecimal digits in lower case, found {commit[:80]!r}")
    return commit


Commit = Annotated[str, AfterValidator(_check_commit)]
"""A commit in full."""


class FolderSource(AnySource):
    """Files at a commit, or at what a branch or a tag names now."""

    commit: str | None
    sha256: str | None
    """Of the whole artifact, as a fetch record gives it."""

    def named(self) -> str | None:
        """The branch or tag that the release names."""
        raise NotImplementedError

    def filename(self) -> str:
        """What a record calls the folder; it ends in a slash."""
        raise NotImplementedError

    def bring(self, store: Store, where: str) -> tuple[Iterable[FolderFile], Iterable[LeftOut]]:
        """The files, now in the store, and what is none; `where` names the source in messages."""
        raise NotImplementedError

    def commit_now(self, tries: int | None = None) -> str:
        """The commit that the branch or tag names now. `tries`: how often it is asked for where nobody answers."""
        raise NotImplementedError

    def upstream(self) -> str:
        """The commit that the branch or tag names now."""
        return self.commit_now()

    def may_change(self) -> bool:
        """Yes, but not at a commit."""
        return self.commit is None

    def pinned(self) -> bool:
        """Whether digests alone fix which bytes are meant."""
        return self.commit is not None or self.sha256 is not None

    def fetch(self, store: Store, where: str) -> Fetched:
        """Bring the files into the store, unless they are there; `where` names the source in messages."""
        said = {name: value for name, value in to_plain(self).items() if name not in {"max_bytes", "sha256", "root"}}
        key = f"{self.label()} {digest(said)}"
        with store.alone(key):
            seen = store.seen(key)
            right = (of for of in seen if self.pinned() and self.sha256 in {None, of} and store.has_folder(of))
            known = next(right, None)
            sha256 = known or store.add_folder(*self.bring(store, where))
            if self.sha256 not in {None, sha256}:
                raise Unavailable(f"expected an artifact of sha256 {self.sha256}, it now gives {sha256}", "changed")
            if self.commit and seen and sha256 not in seen:
                first, when = next(iter(seen.items()))
                raise Unavailable(f"commit {self.commit} gave {first} on {when}, and now {sha256}", "changed")
            store.remember(key, sha256)
        manifest = store.manifest(sha256)
        return Fetched(
            sha256=sha256, filename=self.filename(), size_bytes=manifest.size_bytes, downloaded=known is None,
            left_out=manifest.notes(),
        )  # fmt: skip


def check_path(path: str, key: str) -> None:
    """Raise ValueError where this cannot be a file's path in a repository, or a glob of such; `key` names it."""
    if {"", ".", ".."} & set(path.split("/")) or "\\" in path or not path.isprintable():
        raise ValueError(
            f"{key}: {path[:200]!r} is not a path in a repository: relative, names between single /, no . or .."
        )
