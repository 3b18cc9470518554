"""Where can a release's artifacts be had? The union below is the registry.

To add a source: one file with one frozen dataclass (its fields are the YAML keys, `kind` tells them apart, `fetch` does the
work, `upstream` looks without fetching, `may_change` says whether a digest that differs is news or a mistake), its name in
the union, one test. `sources/ranges.py` brings parts of large files.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator

from openassay.sources.debian import DebianSource
from openassay.sources.fetched import Unavailable, Unreachable
from openassay.sources.git import GitSource
from openassay.sources.hf import HfSource
from openassay.sources.http import HttpSource
from openassay.sources.local import LocalSource
from openassay.sources.pypi import PypiSource

Source = Annotated[PypiSource | DebianSource | LocalSource | GitSource | HfSource | HttpSource, Discriminator("kind")]


def upstream(source: Source) -> str:
    """What does a source's address point to now, without fetching it? A commit, a digest, an ETag; "unknown" if it cannot tell.

    Two equal answers mean that nothing moved. Raises `Unavailable` (gone, gated), `WrongPin` and `Unreachable`, as `fetch` does.
    """
    return source.upstream()


def moved(source: Source) -> str:
    """Does what the release calls this commit, a tag, a branch or a revision, lead elsewhere by now? Empty while it does not.

    The commit itself is fetched whatever became of its name. It is asked for once: where nobody answers, nothing is known.
    """
    name = source.ref if isinstance(source, GitSource) else source.revision if isinstance(source, HfSource) else None
    if not isinstance(source, GitSource | HfSource) or name is None or source.commit is None:
        return ""
    try:
        found = source.upstream(tries=1)
    except Unavailable as problem:
        return f"{name} was commit {source.commit}, and is {problem.kind}: {problem}"
    except Unreachable:
        return ""
    return "" if found == source.commit else f"{name} was commit {source.commit}, and is now {found}"
