"""Where is an artifact's top folder, and what is in it?"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from openassay.core.findings import Artifact, FetchRecord
from openassay.faults import BadInput
from openassay.sources.fetched import Unavailable
from openassay.store import Store, archive_kind


def source_root(store: Store, sha256: str, filename: str, root: str) -> Path:
    """The unpacked artifact's top. `root` is a glob of one folder in it; empty for the whole.

    Raises `Unavailable` when no folder, or more than one, matches.
    """
    tree = store.tree(sha256, filename)
    if not root:
        return tree
    if PurePosixPath(root).is_absolute() or ".." in PurePosixPath(root).parts:
        raise BadInput(f"root: it must stay below the artifact, found {root!r}")
    found = [path for path in tree.glob(root) if path.is_dir()]
    if len(found) != 1:
        raise Unavailable(f"{len(found)} folders in {filename} match root {root!r}; one is needed", "refused")
    return found[0]


def artifact_root(store: Store, artifact: Artifact) -> Path | None:
    """The top of a fetched artifact; None when it could not be had."""
    if not artifact.fetched or artifact.sha256 is None or artifact.filename is None:
        return None
    return source_root(store, artifact.sha256, artifact.filename, artifact.root)


def artifact_roots(store: Store, record: FetchRecord) -> dict[str, str]:
    """The top folder of every fetched artifact, by name."""
    roots = ((artifact.name, artifact_root(store, artifact)) for artifact in record.artifacts)
    return {name: str(root) for name, root in roots if root is not None}


def artifact_files(store: Store, record: FetchRecord, names: tuple[str, ...]) -> dict[str, Path]:
    """The published file of each named artifact under its own name, for installing."""
    found = {}
    for artifact in record.artifacts:
        if artifact.name in names:
            if artifact.sha256 is None or artifact.filename is None:
                raise Unavailable(f"the artifact {artifact.name} could not be fetched")
            if archive_kind(artifact.filename) == "folder":
                raise BadInput(
                    f"environment.install: the artifact {artifact.name} came as a folder, {artifact.filename}; "
                    "name an artifact that is one wheel or sdist"
                )
            found[artifact.name] = store.named(artifact.sha256, artifact.filename)
    return found
