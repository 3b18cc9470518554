"""Sources: look them up and pin them; and the schemas of our files."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from openassay.faults import BadInput
from openassay.layout import cache_home


def pin(
    source: Annotated[
        str,
        typer.Argument(
            help="pypi:NAME==VERSION, debian:PACKAGE, local:PATH, git:URL[@REF], hf:[datasets/]OWNER/NAME[@REVISION] or https://..."
        ),
    ],
    include: Annotated[
        str,
        typer.Option(
            help="Glob of the files that a payload pin covers; of a hub's files, those to fetch; a path of a git repository"
        ),
    ] = "*",
    root: Annotated[str, typer.Option(help="Folder inside the archive that counts as its top")] = "",
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
        entries: Any
        if kind in {"git", "hf", "http", "https"}:
            entries = [_pin_remote(kind, rest, source, include, root)]
        else:
            entries = _pin_pypi(rest, source) if kind == "pypi" else _pin_payload(kind, rest, source, include, root)
    except (Unavailable, RefusedArchive) as problem:
        raise BadInput(f"{source}: {problem}") from None
    print(yaml.safe_dump(entries, sort_keys=False), end="")


def _pin_pypi(rest: str, source: str) -> list[dict[str, str]]:
    from openassay.records import parse
    from openassay.sources.pypi import PypiSource, ask_every_index, project_files

    package, _, version = rest.partition("==")
    parse(PypiSource, {"kind": "pypi", "package": package, "version": version}, source)
    files = project_files(package)
    if not (found := [link for known, link in files if known == version]):
        ask_every_index(package)
        known = ", ".join(dict.fromkeys(v for v, _ in files)) or "no such project"
        raise BadInput(f"{source}: not on the index; there is: {known[:300]}")
    return [
        {
            "kind": "pypi", "package": package, "version": version, "file": link.filename,
            "sha256": (link.hashes or {}).get("sha256", "unknown: the index does not say"),
        }
        for link in found
    ]  # fmt: skip


def _pin_remote(kind: str, rest: str, source: str, include: str, root: str) -> dict[str, Any]:
    """An entry of `sources` with what fixes it: a commit, or the digest of the file, which is downloaded for that."""
    from openassay.records import parse
    from openassay.sources import hf
    from openassay.sources.git import GitSource
    from openassay.sources.http import HttpSource
    from openassay.store import Store
    from openassay.target import ArtifactSpec

    name, _, at = rest.partition("@")
    entry: dict[str, Any] = {"kind": "http", "url": source}
    if kind == "git":
        entry = {"kind": "git", "url": name, "commit": "0" * 40}
        entry.update({"ref": at} if at else {})
        entry["commit"] = parse(GitSource, entry, source).upstream()
        entry.update({} if include == "*" else {"paths": [include]})
    elif kind == "hf":
        dataset = name.startswith("datasets/")
        entry = {"kind": "hf", "repo": name.removeprefix("datasets/"), "files": [include]}
        entry |= ({"repo_type": "dataset"} if dataset else {}) | ({"revision": at} if at else {})
        files, commit = hf.pin(parse(hf.HfSource, entry, source), include, Store(cache_home()))
        entry |= {"commit": commit}
        entry["files"] = [{"path": file.path} | ({"sha256": file.sha256} if file.sha256 else {}) for file in files]
    else:
        fetched = parse(HttpSource, entry, source).fetch(Store(cache_home()), source)
        entry |= {"sha256": fetched.sha256, "bytes": fetched.size_bytes}
    entry |= {"root": root} if root else {}
    parse(ArtifactSpec, {"sources": [entry]}, source)
    return entry


def _pin_payload(kind: str, rest: str, source: str, include: str, root: str) -> dict[str, Any]:
    from openassay.records import parse
    from openassay.sources.roots import source_root
    from openassay.store import Store, payload_digest
    from openassay.target import ArtifactSpec

    entry = {"kind": kind, ("path" if kind == "local" else "package"): rest} | ({"root": root} if root else {})
    spec: ArtifactSpec = parse(ArtifactSpec, {"sources": [entry]}, source)
    store = Store(cache_home())
    fetched = spec.sources[0].fetch(store, source)
    payload = payload_digest(source_root(store, fetched.sha256, fetched.filename, root), (include,))
    return {"sources": [entry | {"sha256": fetched.sha256}], "payload": {"sha256": payload, "include": [include]}}


def schema(
    record: Annotated[
        str, typer.Argument(help="verdict, target (files in conf/target/) or scenario (for judge)")
    ] = "verdict",
) -> None:
    """Print the JSON Schema of verdict.json, of a target file, or of a scenario."""
    from pydantic import TypeAdapter

    from openassay.core.verdict_records import ReleaseVerdict
    from openassay.scenario import Scenario
    from openassay.target import Target

    kinds: dict[str, Any] = {"verdict": ReleaseVerdict, "target": Target, "scenario": Scenario}
    if record not in kinds:
        raise BadInput(f"schema: {record!r} is not known; there are: {', '.join(kinds)}")
    print(json.dumps(TypeAdapter(kinds[record]).json_schema(), indent=2))
