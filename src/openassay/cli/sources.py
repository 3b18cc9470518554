"""Looks sources up and pins them; prints the schemas of our files."""

from __future__ import annotations

import json
from typing import Annotated, Any

from typer import Argument, Option

from openassay.faults import BadInput
from openassay.layout import cache_home

SOURCE = (
    "pypi:NAME==VERSION, debian:PACKAGE, local:PATH, git:URL[@REF], hf:[datasets/]OWNER/NAME[@REVISION] or https://..."
)
INCLUDE = "Glob of the files that a payload pin covers; of a hub's files, those to fetch; a path of a git repository"


def pin(
    source: Annotated[str, Argument(help=SOURCE)],
    include: Annotated[str, Option(help=INCLUDE)] = "*",
    root: Annotated[str, Option(help="Folder inside the archive that counts as its top")] = "",
) -> None:
    """Look a source up and print it with its sha256, ready to paste into a target file."""
    import yaml

    from openassay.sources.fetched import Unavailable
    from openassay.store import RefusedArchive, check_glob

    kind, _, rest = source.partition(":")
    try:
        check_glob(include.removesuffix("/"))  # a folder of a git repository ends in one
    except ValueError as error:
        raise BadInput(f"--include: {error}") from None
    try:
        entries = _pin_pypi(rest, source) if kind == "pypi" else _pin(kind, rest, source, include, root)
    except (Unavailable, RefusedArchive) as problem:
        raise BadInput(f"{source}: {problem}") from None
    print(yaml.safe_dump(entries, sort_keys=False), end="")


def _pin_pypi(rest: str, source: str) -> list[dict[str, str]]:
    from openassay.records import parse
    from openassay.sources.pypi import PypiSource, files_of

    package, _, version = rest.partition("==")
    parse(PypiSource, {"kind": "pypi", "package": package, "version": version}, source)
    return [
        {
            "kind": "pypi", "package": package, "version": version, "file": link.filename,
            "sha256": (link.hashes or {}).get("sha256", "unknown: the index does not say"),
        }
        for link in files_of(package, version, source)
    ]  # fmt: skip


def _pin(kind: str, rest: str, source: str, include: str, root: str) -> Any:
    """`sources` with what fixes the one that is asked for, a commit or the digest of what it gives; else an artifact."""
    from openassay.records import parse
    from openassay.sources import hf
    from openassay.sources.git import GitSource
    from openassay.sources.http import HttpSource
    from openassay.sources.roots import source_root
    from openassay.store import Store, payload_digest
    from openassay.target import ArtifactSpec

    store = Store(cache_home())
    name, _, at = rest.partition("@")
    entry: dict[str, Any]
    if kind == "git":
        entry = {"kind": "git", "url": name, "commit": "0" * 40} | ({"ref": at} if at else {})
        paths = {} if include == "*" else {"paths": [include]}
        entry |= {"commit": parse(GitSource, entry, source).upstream()} | paths
    elif kind == "hf":
        entry = {"kind": "hf", "repo": name.removeprefix("datasets/"), "files": [include]}
        entry |= ({"repo_type": "dataset"} if name.startswith("datasets/") else {}) | ({"revision": at} if at else {})
        files, commit = hf.pin(parse(hf.HfSource, entry, source), include, store)
        each = [{"path": file.path} | ({"sha256": file.sha256} if file.sha256 else {}) for file in files]
        entry |= {"commit": commit, "files": each}
    elif kind in {"http", "https"}:
        fetched = parse(HttpSource, {"kind": "http", "url": source}, source).fetch(store, source)
        entry = {"kind": "http", "url": source, "sha256": fetched.sha256, "bytes": fetched.size_bytes}
    else:
        entry = {"kind": kind, ("path" if kind == "local" else "package"): rest}
    entry |= {"root": root} if root else {}
    spec: ArtifactSpec = parse(ArtifactSpec, {"sources": [entry]}, source)
    if kind in {"git", "hf", "http", "https"}:
        return [entry]
    fetched = spec.sources[0].fetch(store, source)
    payload = payload_digest(source_root(store, fetched.sha256, fetched.filename, root), (include,))
    return {"sources": [entry | {"sha256": fetched.sha256}], "payload": {"sha256": payload, "include": [include]}}


RECORD = "verdict, target (files in conf/target/) or scenario (for judge)"


def schema(record: Annotated[str, Argument(help=RECORD)] = "verdict") -> None:
    """Print the JSON Schema of verdict.json, of a target file, or of a scenario."""
    from pydantic import TypeAdapter

    from openassay.core.verdict_records import ReleaseVerdict
    from openassay.scenario import Scenario
    from openassay.target import Target

    kinds: dict[str, Any] = {"verdict": ReleaseVerdict, "target": Target, "scenario": Scenario}
    if record not in kinds:
        raise BadInput(f"schema: {record!r} is not known; there are: {', '.join(kinds)}")
    print(json.dumps(TypeAdapter(kinds[record]).json_schema(), indent=2))
