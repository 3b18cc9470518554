"""What can come of asking a source for an artifact, and what every source answers.

`Fetched` when it is here; `Unavailable` when the source does not serve it (a finding about the release, of a kind that
programs can read); `WrongPin` when the target file names something that never was there (the file's author can correct it);
`Unreachable` when nobody answered (a fault: nothing is said about the release).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

from openassay.core.findings import AttemptKind
from openassay.faults import BadInput, Fault
from openassay.store import Store, check_glob

Root = Annotated[str, AfterValidator(lambda root: root and check_glob(root))]
"""A glob of one folder inside an archive; empty for the archive's top."""
CHECK_NETWORK = "Check the network, then run the command again."
TELL_ITS_OWNER = "This is the server's, and not the network's: tell its owner, or name another source."
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
STATUS_KINDS: dict[int, AttemptKind] = {401: "gated", 403: "gated", 404: "gone", 410: "gone", 451: "refused"}
"""HTTP statuses that are answers about the artifact; all others are trouble on the way."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A file of the release, now in the store."""

    sha256: str
    filename: str
    size_bytes: int
    downloaded: bool
    """False when the store had it already."""
    left_out: tuple[str, ...] = ()
    """What the source holds and we did not take, or not as what it stands for: links, submodules, LFS pointers."""


class Unavailable(Exception):
    """The source answered, and does not serve this artifact: a finding. `kind` says in which way."""

    def __init__(self, message: str, kind: AttemptKind = "gone") -> None:
        super().__init__(message)
        self.kind: AttemptKind = kind


class Interrupted(Exception):
    """A transfer that went wrong in a way that another try may mend; what came is kept.

    finding: what is raised where the last try ends so too; without it, `Unreachable` is, which says what `todo` says.
    patience_s: how long the server asks to be left alone, in seconds.
    """

    def __init__(
        self, message: str, finding: Unavailable | None = None, patience_s: float = 0.0, todo: str = CHECK_NETWORK
    ) -> None:
        super().__init__(message)
        self.finding, self.patience_s, self.todo = finding, patience_s, todo


class WrongPin(BadInput):
    """What the target file names or pins is not what the source has."""


class Unreachable(Fault):
    """The source did not answer: no verdict can come of that."""


class AnySource:
    """What every source answers."""

    def label(self) -> str:
        """The source in a few words."""
        raise NotImplementedError

    def fetch(self, store: Store, where: str) -> Fetched:
        """Bring the artifact into the store; `where` names the source in messages. Raises all of the above."""
        raise NotImplementedError

    def may_change(self) -> bool:
        """Whether a digest that differs is news about the release, and no mistake in the target file."""
        return False

    def detour(self) -> str:
        """Where this machine goes in place of the source's own address, in words; empty where it goes there."""
        return ""

    def is_part(self) -> bool:
        """Whether the target names only some of the files that lie there."""
        return False

    def all_paths(self, store: Store) -> dict[str, bool] | None:
        """Every path that lies there, also of what is not fetched, and whether it stands for what lies elsewhere (links,
        submodules); None where that is not known on this machine."""
        del store
        return None

    def upstream(self) -> str:
        """What lies there now, without fetching it: a commit, a digest, an ETag; "unknown" where it cannot be told.

        Two equal answers mean that nothing moved. Raises `Unavailable` (gone, gated), `WrongPin` and `Unreachable`.
        """
        return "unknown"


def stored(store: Store, sha256: str, filename: str, *, downloaded: bool) -> Fetched:
    """A file of the store as what came of a fetch."""
    size = store.blob(sha256).stat().st_size
    return Fetched(sha256=sha256, filename=filename, size_bytes=size, downloaded=downloaded)
