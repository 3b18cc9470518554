"""What can come of asking a source for an artifact?

`Fetched` when it is here; `Unavailable` when the source does not serve it (a finding about the release, of a kind that
programs can read); `WrongPin` when the target file names something that never was there (the file's author can mend it);
`Unreachable` when nobody answered (a fault: nothing is said about the release).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

from openassay.core.findings import AttemptKind
from openassay.faults import BadInput, Fault
from openassay.store import check_glob

Root = Annotated[str, AfterValidator(lambda root: root and check_glob(root))]
"""A glob of one folder inside an archive; empty for the archive's top."""


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
    """A transfer that went wrong in a way that another try may mend; what came is kept."""


class WrongPin(BadInput):
    """What the target file names or pins is not what the source has."""


class Unreachable(Fault):
    """The source did not answer: no verdict can come of that."""


STATUS_KINDS: dict[int, AttemptKind] = {401: "gated", 403: "gated", 404: "gone", 410: "gone", 451: "refused"}
"""HTTP statuses that are answers about the artifact; all others are trouble on the way."""
