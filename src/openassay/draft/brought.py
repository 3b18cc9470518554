"""Brings the release that a target is drafted for, and pins it."""

from __future__ import annotations

import itertools
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from packaging.version import InvalidVersion, Version

from openassay.faults import BadInput, printable
from openassay.published.files import PublishedFiles, Text
from openassay.published.read import read_release
from openassay.records import parse
from openassay.sources.fetched import Unavailable
from openassay.sources.folders import COMMIT
from openassay.sources.git import GitSource
from openassay.sources.local import ALLOWED_VARIABLE
from openassay.sources.pins import pinned, pypi_entries
from openassay.sources.pypi import project_files
from openassay.sources.roots import source_root
from openassay.store import RefusedArchive, Store
from openassay.target import ArtifactSpec

KINDS = "a git address (https://...[@REF]), hf:OWNER/NAME, pypi:NAME[==VERSION] or a local folder"
MOST_LINE = 4000
"""Characters of a line; a longer one is not looked at."""
RULE = re.compile(r"(={3,}|-{3,}|~{3,})\s*$")
"""What stands below a heading, or above it."""
_READ = (
    ".py", ".md", ".rst", ".txt", ".ipynb", ".json", ".yaml", ".yml", ".toml", ".cfg", ".sh", "license", "makefile",
)  # fmt: skip
"""How the names of a hub's files end that a draft reads."""
MOST_BYTES = 8 * 2**20
"""Of a file that is read for its commands or numbers."""
_GITHUB = re.compile(
    r"(?:git:)?(?:https?://|git@)?(?:www\.)?github\.com[/:](?P<of>[^/@\s]+/[^/@\s]+?)(?:\.git)?"
    r"(?:/(?:tree|commit|blob|releases/tag)/(?P<tree>[^/@]+)(?P<path>/[^@]*)?)?/?(?:@(?P<at>.+))?"
)
_HUB = re.compile(r"(?:https?://)?(?:www\.)?huggingface\.co/([^/\s]+/[^/@\s]+)(?:/tree/([^/]+)/?|/|@(.+))?")
_INDEX = re.compile(r"(?:https?://)?(?:www\.)?pypi\.org/project/([^/\s]+)(?:/([^/]+))?/?")
_PAPER = re.compile(r"(?i)(?:https?://)?(?:www\.)?(?:ar5iv|arxiv)(?:\.\w+)*[/:].*|(?:https?://)?(?:dx\.)?doi\.org/.*")


@dataclass(frozen=True, kw_only=True)
class BroughtRelease:
    """A release that is here and pinned."""

    artifact: dict[str, Any]
    """As a target file states it."""
    top: Path
    files: PublishedFiles
    name: str
    """What a target of it could be called."""
    version: str
    homepage: str
    notes: tuple[str, ...] = ()
    """What a person must know of the pin."""

    @property
    def readme(self) -> Text | None:
        """The README at its top."""
        named = (text for text in self.files.texts if not text.folder and re.match(r"(?i)readme", text.name))
        return min(
            named, key=lambda text: (not text.name.lower().endswith((".md", ".markdown")), text.name), default=None
        )

    @property
    def title(self) -> str:
        """The README's first heading, or the name."""
        lines = shortened(self.readme).lines[:20] if self.readme else ()
        heads = ("# " * bool(RULE.match(two)) + one for one, two in itertools.pairwise([*lines, ""]))
        found = next((head.lstrip("# ") for head in heads if re.match(r"#{1,2} +\w", head)), self.name)
        return printable(re.sub(r"<[^<>]*>|!?\[|\]\([^()]*\)", "", found)).strip()[:120] or self.name


def shortened(text: Text) -> Text:
    """A document without the lines that are of no reader's length."""
    return replace(text, lines=tuple(line if len(line) <= MOST_LINE else "" for line in text.lines))


def read_text(path: Path) -> str:
    """A file's text; empty for one that is large."""
    return path.read_text(encoding="utf-8", errors="replace") if path.stat().st_size <= MOST_BYTES else ""


def bring(asked: str, root: Path, store: Store) -> BroughtRelease:
    """Fetch a release, pin it and read its files; `BadInput` where there is none of that name. root: the project's."""
    if not os.path.isdir(asked[:1000]):  # not Path.is_dir, which raises where a name is too long
        asked = _canonical(asked)
    kind, _, rest = asked.partition(":")
    try:
        if github := _GITHUB.fullmatch(asked):
            return _github(github, store)
        if kind in {"http", "https", "git"}:
            return _git(rest if kind == "git" else asked, store)
        if kind == "hf":
            return _hf(rest, asked, store)
        if kind == "pypi":
            return _pypi(rest, asked, store)
        return _local(rest if kind == "local" else asked, asked, root, store)
    except (Unavailable, RefusedArchive) as problem:
        raise BadInput(f"{asked}: {problem}") from None


def _canonical(asked: str) -> str:
    """A page's address as the source that it shows."""
    if _PAPER.fullmatch(asked):
        raise BadInput(f"{asked[:200]}: a paper, which cannot be run; name the repository that holds its code")
    if index := _INDEX.fullmatch(asked):
        return f"pypi:{index[1]}" + f"=={index[2]}" * bool(index[2])
    hub = _HUB.fullmatch(asked)
    at = (hub[2] or hub[3]) if hub else ""
    return f"hf:{hub[1]}" + f"@{at}" * bool(at) if hub else asked


def _github(found: re.Match[str], store: Store) -> BroughtRelease:
    """A repository, or one folder of it where the address shows one."""
    at, folder = found["at"] or found["tree"] or "", (found["path"] or "").strip("/")
    if "/blob/" in found[0]:
        folder = folder.rpartition("/")[0]
    return _git(f"https://github.com/{found['of']}" + f"@{at}" * bool(at), store, unquote(folder))


def _git(address: str, store: Store, folder: str = "") -> BroughtRelease:
    if re.match(r"\w+://[^/]*@", address):
        raise BadInput(
            "SOURCE: an address with a name or a password in it; give it without: git asks its credential helper"
        )
    url, _, at = address.partition("@")
    url = url.rstrip("/")
    if COMMIT.match(at):
        entry: dict[str, Any] = {"kind": "git", "url": url, "commit": at}
        parse(GitSource, entry, address)
    else:
        entry = pinned("git", f"{url}@{at}" if at else url, address, store)[0]
    entry |= {"paths": [f"{folder}/"], "root": folder} if folder else {}
    name = (folder or url).rpartition("/")[2].removesuffix(".git")
    version = at if at and not COMMIT.match(at) else entry["commit"][:12]
    return _read({"sources": [entry]}, store, name=name, version=version, homepage=url.removesuffix(".git"))


def _hf(rest: str, asked: str, store: Store) -> BroughtRelease:
    entry = pinned("hf", rest, asked, store)[0]
    entry["files"] = [of for of in entry["files"] if of["path"].lower().endswith(_READ)][:1000]
    if not entry["files"]:
        raise BadInput(f"{asked}: none of its files is code or a document; write the target by hand (docs/target.md)")
    repo, commit = rest.partition("@")[0], entry["commit"][:12]
    notes = ("only its code, documents and settings are pinned; add the files that the commands read",)
    home = f"https://huggingface.co/{repo}"
    return _read({"sources": [entry]}, store, name=repo.rpartition("/")[2], version=commit, homepage=home, notes=notes)


def _pypi(rest: str, asked: str, store: Store) -> BroughtRelease:
    package, _, version = rest.partition("==")
    if not package:
        raise BadInput(f"{asked}: expected {KINDS}; it names no project")
    if not version:
        version = next((known for known, _ in project_files(package) if _is_final(known)), "0")
    entries = pypi_entries(f"{package}=={version}", asked)
    endings = (".tar.gz", ".zip", "none-any.whl", "")  # an sdist holds the README and the scripts
    entry: dict[str, Any] = next(of for ending in endings for of in entries if of["file"].endswith(ending))
    found = parse(ArtifactSpec, {"sources": [entry]}, asked).sources[0].fetch(store, asked)
    inside = list(source_root(store, found.sha256, found.filename, "").iterdir())
    if len(inside) == 1 and inside[0].is_dir() and not entry["file"].endswith(".whl"):
        entry = entry | {"root": inside[0].name}
    home = f"https://pypi.org/project/{package}/{version}/"
    return _read({"sources": [entry]}, store, name=package, version=version, homepage=home)


def _is_final(version: str) -> bool:
    try:
        return not Version(version).is_prerelease
    except InvalidVersion:
        return False


def _local(path: str, asked: str, root: Path, store: Store) -> BroughtRelease:
    folder = Path(path).absolute() if "\0" not in path and len(path) < 1000 else Path("?")
    if not os.path.isdir(folder):
        raise BadInput(f"{asked[:200]!r}: expected {KINDS}; there is no such folder")
    if folder == root or folder in root.parents:
        raise BadInput(f"{asked}: the project itself lies in this folder; name the release's own")
    named = folder.relative_to(root).as_posix() if folder.is_relative_to(root) else str(folder)
    notes = []
    if not folder.is_relative_to(root):
        os.environ[ALLOWED_VARIABLE] = f"{folder}:{os.environ.get(ALLOWED_VARIABLE, '')}"
        notes.append(f"it lies outside of the project: export {ALLOWED_VARIABLE}={folder} before an audit")
    if (folder / ".git").exists():
        notes.append(
            "its .git is part of the pin, which every commit changes: name a git address, or a copy without it"
        )
    artifact = pinned("local", named, asked, store)
    del artifact["sources"][0]["sha256"]  # of a tar of ours; the payload pins what the files say
    return _read(artifact, store, name=folder.name, version="unversioned", homepage="unknown", notes=tuple(notes))


def _read(
    artifact: dict[str, Any], store: Store, *, name: str, version: str, homepage: str, notes: tuple[str, ...] = ()
) -> BroughtRelease:
    source = parse(ArtifactSpec, artifact, name).sources[0]
    found = source.fetch(store, name)
    top = source_root(store, found.sha256, found.filename, source.root)
    missing = tuple(f"not in the fetched files: {note}" for note in found.left_out[:3])
    return BroughtRelease(
        artifact=artifact, top=top, files=read_release(top, name=name), name=name, version=version, homepage=homepage,
        notes=notes + missing,
    )  # fmt: skip
