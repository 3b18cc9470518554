"""The folders and files of fetched artifacts."""

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
    return {of.name: str(root) for of in record.artifacts if (root := artifact_root(store, of)) is not None}


def listed_paths(store: Store, artifact: Artifact, listed: dict[str, bool] | None) -> dict[str, bool] | None:
    """Of all paths at a source those below the artifact's top, seen from there; None where they are not known."""
    root = artifact_root(store, artifact)
    if listed is None or root is None or artifact.sha256 is None or artifact.filename is None:
        return None
    return paths_below(listed, root.relative_to(store.tree(artifact.sha256, artifact.filename)).as_posix())


def paths_below(listed: dict[str, bool], folder: str) -> dict[str, bool]:
    """The paths below a folder, seen from there."""
    prefix = "" if folder in {"", "."} else f"{folder}/"
    return {path.removeprefix(prefix): is_link for path, is_link in listed.items() if path.startswith(prefix)}


def artifact_files(store: Store, record: FetchRecord, names: tuple[str, ...]) -> dict[str, Path]:
    """The published file of each named artifact under its own name, for installing."""
    found = {}
    for artifact in (of for of in record.artifacts if of.name in names):
        if artifact.sha256 is None or artifact.filename is None:
            raise Unavailable(f"the artifact {artifact.name} could not be fetched")
        if archive_kind(artifact.filename) == "folder":
            said = f"{artifact.name} came as a folder, {artifact.filename}; name one that is a wheel or sdist"
            raise BadInput(f"environment.install: the artifact {said}")
        found[artifact.name] = store.named(artifact.sha256, artifact.filename)
    return found
