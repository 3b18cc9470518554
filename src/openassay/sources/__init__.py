"""Where a release's artifacts can be had. The union below is the registry.

To add a source: one file with one frozen dataclass below `AnySource` (its fields are the YAML keys, `kind` tells them apart,
`fetch` does the work), its name in the union, one test.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator

from openassay.sources.debian import DebianSource
from openassay.sources.fetched import Unavailable, Unreachable
from openassay.sources.folders import FolderSource
from openassay.sources.git import GitSource
from openassay.sources.hf import HfSource
from openassay.sources.http import HttpSource
from openassay.sources.local import LocalSource
from openassay.sources.pypi import PypiSource

Source = Annotated[PypiSource | DebianSource | LocalSource | GitSource | HfSource | HttpSource, Discriminator("kind")]


def moved(source: Source) -> str:
    """Where the release's name of a pinned commit (tag, branch, revision) leads now; empty while it leads to that commit.

    The commit itself is fetched whatever became of its name. It is asked for once: where nobody answers, nothing is known.
    """
    if not isinstance(source, FolderSource) or (name := source.named()) is None or source.commit is None:
        return ""
    try:
        found = source.commit_now(tries=1)
    except Unavailable as problem:
        return f"{name} was commit {source.commit}, and is {problem.kind}: {problem}"
    except Unreachable:
        return ""
    return "" if found == source.commit else f"{name} was commit {source.commit}, and is now {found}"
