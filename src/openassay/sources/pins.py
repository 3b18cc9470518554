"""Looks sources up and gives their entries for a target file, with what pins them."""

from __future__ import annotations

from typing import Any

from openassay.records import parse
from openassay.sources import Source, hf
from openassay.sources.git import GitSource
from openassay.sources.http import HttpSource
from openassay.sources.pypi import PypiSource, files_of
from openassay.sources.roots import source_root
from openassay.store import Store, payload_digest


def pypi_entries(rest: str, source: str) -> list[dict[str, str]]:
    """An entry for every published file of `NAME==VERSION`; `source` names it in messages."""
    package, _, version = rest.partition("==")
    parse(PypiSource, {"kind": "pypi", "package": package, "version": version}, source)
    return [
        {
            "kind": "pypi", "package": package, "version": version, "file": link.filename,
            "sha256": (link.hashes or {}).get("sha256", "unknown: the index does not say"),
        }
        for link in files_of(package, version, source)
    ]  # fmt: skip


def pinned(kind: str, rest: str, source: str, store: Store, include: str = "*", root: str = "") -> Any:
    """`sources` with what fixes the one that is asked for, a commit or the digest of what it gives; else an artifact."""
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
    of: Any = parse(Source, entry, source)
    if kind in {"git", "hf", "http", "https"}:
        return [entry]
    fetched = of.fetch(store, source)
    payload = payload_digest(source_root(store, fetched.sha256, fetched.filename, root), (include,))
    return {"sources": [entry | {"sha256": fetched.sha256}], "payload": {"sha256": payload, "include": [include]}}
