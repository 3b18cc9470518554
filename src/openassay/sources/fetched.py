"""What can come of asking a source for an artifact?

`Fetched` when it is here; `Unavailable` when the source does not serve it (a finding about the release); `WrongPin` when
the target file names something that is not there (the file's author can mend it); `Unreachable` when nobody answered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

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


class Unavailable(Exception):
    """The source answered, and does not serve this artifact (gone, gated, or a kind of system that we are not on)."""


class WrongPin(BadInput):
    """What the target file names or pins is not what the source has."""


class Unreachable(Fault):
    """The source did not answer: no verdict can come of that."""
