"""A commit of a git repository, whole or some of its folders, as plain files.

The user's own git brings it, with the user's settings (mirrors by `insteadOf`, proxies, credential helpers). Nothing of the
repository's decides anything here: there is no checkout, so no hooks, filters, attributes, submodules or Git LFS. Files are
read object by object, and only those that are asked for.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field
from tqdm import tqdm

from openassay.core.findings import AttemptKind
from openassay.faults import BadInput, Fault, full_disk_line, naming, printable
from openassay.sources.download import PATIENCE_S, tell, tried, without_credentials
from openassay.sources.fetched import LOOPBACK, TELL_ITS_OWNER, Interrupted, Root, Unavailable, Unreachable, WrongPin
from openassay.sources.folders import COMMIT, Commit, FolderSource, check_path
from openassay.sources.http import check_address
from openassay.store import MAX_FILES, MAX_UNPACKED_BYTES, DamagedStore, FolderFile, LeftOut, Store, check_names

DEADLINE_S = 4 * 3600.0
"""For one call of git; a connection that hardly moves ends long before."""
BATCH = 2000
"""Files that are asked for at once: what came of earlier batches is kept."""
POINTER_BYTES = 1024

_REF = re.compile(r"[A-Za-z0-9][\w./+-]{0,199}\Z", re.ASCII)
_PROTOCOLS = {"https", "http", "ssh", "file"}
_POINTER = b"version https://git-lfs.github.com/spec/"
_OURS = {  # git is to work in our folder, whatever the user works in
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE", "GIT_COMMON_DIR", "GIT_SHALLOW_FILE", "GIT_TRACE", "GIT_TRACE_CURL", "GIT_CURL_VERBOSE",
    "GIT_EXTERNAL_DIFF", "GIT_PROTOCOL_FROM_USER", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN",
}  # fmt: skip
_SETTINGS = {
    "core.hooksPath": "/dev/null", "core.fsmonitor": "false", "core.symlinks": "false", "gc.auto": "0",
    "maintenance.auto": "false", "submodule.recurse": "false", "fetch.recurseSubmodules": "false",
    "fetch.negotiationAlgorithm": "noop", "http.lowSpeedLimit": "1000", "http.lowSpeedTime": "50",
    "advice.detachedHead": "false", "fetch.writeCommitGraph": "false", "protocol.ext.allow": "never",
}  # fmt: skip
_REFUSES_SHA = (
    "not our ref", "unadvertised object", "dumb http transport does not support", "couldn't find remote ref",
    "does not support shallow",
)  # fmt: skip
_ANSWERS: tuple[tuple[AttemptKind, tuple[str, ...]], ...] = (
    ("gated", ("returned error: 403", "returned error: 401", "Authentication failed", "could not read Username",
               "could not read Password", "Permission denied", "terminal prompts disabled")),
    ("gone", ("returned error: 404", "returned error: 410", "Repository not found", "repository not found",
              "does not appear to be a git repository", "' not found", "not our ref")),
    ("refused", ("returned error: 451",)),
)  # fmt: skip
"""What git's words (in English) say about the repository; all else is trouble on the way."""
_SERVERS_OWN = re.compile(
    r"redirects followed|Protocol .(?!https\b)\w+. (not supported|disabled)|redirect target URL|url base from redirection|"
    r"repository corruption on the remote side|remote: fatal: .* is corrupt|expected 'packfile'"
)
_READING = {"ls-tree", "rev-list", "cat-file"}


@dataclass(frozen=True, kw_only=True)
class GitSource(FolderSource):
    """Files of one commit."""

    kind: Literal["git"]
    url: str
    commit: Commit
    """The pin, in full."""
    ref: str | None = None
    """What the release names, a tag or a branch: one that was moved away from the commit is a finding."""
    paths: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Files, and folders with a slash at the end. All when left out."""
    sha256: str | None = None
    """Of the whole artifact, as a fetch record gives it: for those to whom git's sha1 is not enough."""
    root: Root = ""
    """Folder inside the repository that counts as its top."""

    def __post_init__(self) -> None:
        check_address(self.url)
        pieces = urlsplit(self.url)
        if pieces.query or (pieces.scheme == "http" and pieces.hostname not in LOOPBACK):
            raise ValueError(f"url: {self.url[:200]!r} is not an https:// address of a repository")
        if self.ref is not None and (not _REF.match(self.ref) or ".." in self.ref or self.ref.endswith("/")):
            raise ValueError(f"ref: {self.ref[:200]!r} is not the name of a tag or a branch")
        for path in self.paths or ():
            check_path(path.removesuffix("/"), "paths")

    def label(self) -> str:
        """This source in a few words."""
        return f"git {self.url}@{self.ref or self.commit[:12]}"

    def is_part(self) -> bool:
        """Whether `paths` are given."""
        return self.paths is not None

    def all_paths(self, store: Store) -> dict[str, bool] | None:
        """Every path of the commit, from the objects that a fetch brought."""
        clone = self._folder(store)
        try:
            rows = (
                _run(["ls-tree", "-r", "-z", "--full-tree", self.commit], clone).split(b"\0") if clone.is_dir() else []
            )
        except Fault:
            return None
        found = ((row.partition(b"\t")[2].decode("utf-8", "replace"), row[:6]) for row in rows if row)
        return {path: mode in {b"120000", b"160000"} for path, mode in found} or None

    def named(self) -> str | None:
        """The tag or branch that the release names."""
        return self.ref

    def detour(self) -> str:
        """Whether the user's git goes elsewhere; the address may be private, and is not told."""
        if _leads_to(self.url) == self.url:
            return ""
        return "from another address that git's settings give in its place (insteadOf); each file is that of the commit"

    def filename(self) -> str:
        """The repository's name and the ref or commit."""
        name = PurePosixPath(urlsplit(self.url).path).name.removesuffix(".git") or "repository"
        return f"{name}@{(self.ref or self.commit[:12]).replace('/', '_')}/"

    def bring(self, store: Store, where: str) -> tuple[list[FolderFile], list[LeftOut]]:
        """The commit's files, now in the store, and its links, submodules and LFS pointers."""
        with store.alone(f"git {self.url}"):  # one clone serves all commits
            clone = self._clone(store)
            try:
                self._bring_commit(clone)
                wanted, left_out = self._entries(clone, where)
                self._bring_blobs(clone, {blob for _, blob in wanted})
                files, pointers = _export(clone, wanted, store)
            except _Damaged as problem:
                shutil.rmtree(clone, ignore_errors=True)
                raise DamagedStore(f"{clone}: damaged, removed ({problem}). Run the command again.") from None
        return files, left_out + pointers

    def commit_now(self, tries: int | None = None) -> str:
        """The commit that the address names now: the ref's, or that of the default branch."""
        ref = self.ref
        names = ["HEAD"] if ref is None else [f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}", f"refs/heads/{ref}", ref]
        with tempfile.TemporaryDirectory() as folder:
            said = _network(["ls-remote", "--", self.url, *names], Path(folder), self.url, tries=tries)
        rows = [row.split("\t", 1) for row in said.decode("utf-8", "replace").splitlines() if "\t" in row]
        commits = {name: commit for commit, name in rows}
        found = next((commits[name] for name in names if name in commits), "")
        if not COMMIT.match(found):
            raise Unavailable(f"{self.url}: there is no tag or branch {ref or 'HEAD'}", "gone")
        return found

    def _folder(self, store: Store) -> Path:
        return store.folder / "git" / hashlib.sha256(self.url.encode()).hexdigest()[:32]

    def _clone(self, store: Store) -> Path:
        """The folder of this address's objects, without what an interrupted git may have left in the way."""
        clone = self._folder(store)
        if not (clone / "config").exists():
            self._new(clone)
        for left in clone.rglob("*.lock"):
            left.unlink()
        for left in (clone / "objects" / "pack").glob("tmp_*"):
            left.unlink()
        return clone

    def _new(self, clone: Path) -> None:
        shutil.rmtree(clone, ignore_errors=True)
        clone.mkdir(parents=True)
        _run(["init", "--bare", "--quiet", "--template=", "."], clone)
        _run(["config", "remote.origin.url", self.url], clone)

    def _bring_commit(self, clone: Path) -> None:
        """The commit with its folders, without files; its history only where the server gives a commit in no other way."""
        if _has_commit(clone, self.commit):
            return
        fetch = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head"]
        sparse = "--filter=blob:none"
        try:
            _network([*fetch, sparse, "--depth=1", "origin", self.commit], clone, self.url, watched=True)
        except _RefusesSha as refused:
            if "dumb http" in str(refused):  # it has plain files only, all or nothing
                # git would start itself over and over to get what is missing, had it been told that something is.
                self._new(clone)
            else:
                fetch.append(sparse)
            everything = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"]
            try:
                _network([*fetch, "origin", *everything], clone, self.url, watched=True)
            except _RefusesSha as refused:
                raise Unavailable(str(refused), "gone") from None
        if not _has_commit(clone, self.commit):
            raise Unavailable(f"{self.url}: commit {self.commit} is not there, or no longer there", "gone")

    def _entries(self, clone: Path, where: str) -> tuple[list[tuple[str, str]], list[LeftOut]]:
        """The files that are wanted, as (path, blob), and what is no file."""
        done = _run(["ls-tree", "-r", "-z", "--full-tree", self.commit], clone)
        wanted, left_out = [], []
        found: set[str] = set()
        for row in done.split(b"\0"):
            if not row:
                continue
            about, _, raw = row.partition(b"\t")
            mode, _, name = about.split(b" ")
            path = raw.decode("utf-8", "surrogateescape")
            matching = [
                each for each in self.paths or () if path == each or (each.endswith("/") and path.startswith(each))
            ]
            if self.paths and not matching:
                continue
            found.update(matching)
            if mode in {b"120000", b"160000"}:
                what = "symbolic link" if mode == b"120000" else "submodule"
                left_out.append(LeftOut(path=raw.decode("utf-8", "replace"), what=what))
            else:
                wanted.append((path, name.decode()))
        for number, each in enumerate(self.paths or ()):
            if each not in found:
                said = f"{each!r} is not in commit {self.commit[:12]}; a folder ends in /"
                raise WrongPin(f"{where}.paths.{number}: {said}")
        check_names([path for path, _ in wanted])
        if any(part.lower() == ".git" for path, _ in wanted for part in path.split("/")):
            raise Unavailable("it holds a folder .git, which no honest commit can", "refused")
        return wanted, left_out

    def _bring_blobs(self, clone: Path, blobs: set[str]) -> None:
        listed = _run(["rev-list", "--objects", "--no-object-names", "--missing=print", "-n", "1", self.commit], clone)
        missing = sorted(blobs & {row[1:].decode() for row in listed.split() if row.startswith(b"?")})
        for start in range(0, len(missing), BATCH):
            names = "".join(f"{name}\n" for name in missing[start : start + BATCH])
            _network(
                ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--filter=blob:none", "--stdin", "origin"],
                clone, self.url, said=names.encode(), watched=True,
            )  # fmt: skip


class _RefusesSha(Unavailable):
    """The server gives no commit by its name, or has none of this name."""


def _export(clone: Path, wanted: list[tuple[str, str]], store: Store) -> tuple[list[FolderFile], list[LeftOut]]:
    """The objects as files of the store."""
    names = list(dict.fromkeys(blob for _, blob in wanted))
    asked = "".join(f"{name}\n" for name in names).encode()
    sizes = [row.split()[2] for row in _run(["cat-file", "--batch-check"], clone, said=asked).splitlines()]
    if any(not size.isdigit() for size in sizes):
        raise Unreachable("git did not bring all files of the commit. Run the command again.")
    if sum(map(int, sizes)) > MAX_UNPACKED_BYTES or len(wanted) > MAX_FILES:
        raise Unavailable(f"it has more than {MAX_UNPACKED_BYTES} bytes, or than {MAX_FILES} files", "refused")
    contents: dict[str, tuple[str, int]] = {}
    pointers = set()
    with tempfile.TemporaryFile() as questions:
        questions.write(asked)
        questions.seek(0)
        with subprocess.Popen(
            _command(["cat-file", "--batch"]), cwd=clone, env=_environment(), stdin=questions, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            assert process.stdout is not None  # noqa: S101 - PIPE was asked for
            for name, size in zip(names, map(int, sizes), strict=True):
                if (head := process.stdout.readline()) != f"{name} blob {size}\n".encode():
                    raise _Damaged(f"git cat-file: expected {name}, found {head!r:.100}")
                part = store.part(f"git object {os.getpid()} {name}")
                _copy(process.stdout, part, size)
                process.stdout.read(1)
                if size <= POINTER_BYTES and part.read_bytes().startswith(_POINTER):
                    pointers.add(name)
                contents[name] = store.add(part), size
    files = [FolderFile(path=path, content=contents[blob][0], size_bytes=contents[blob][1]) for path, blob in wanted]
    return files, [LeftOut(path=path, what="Git LFS pointer") for path, blob in wanted if blob in pointers]


def _copy(stream: IO[bytes], part: Path, size: int) -> None:
    """Write the next `size` bytes of a stream into a file."""
    with naming(part), part.open("wb") as file:
        while size:
            if not (chunk := stream.read(min(size, 1 << 20))):
                raise _Damaged("git cat-file ended early")
            file.write(chunk)
            size -= len(chunk)


def _has_commit(clone: Path, commit: str) -> bool:
    """Whether it is here already, by the objects themselves: git would go and fetch what is missing."""
    rows = _run(["cat-file", "--batch-all-objects", "--batch-check=%(objecttype) %(objectname)"], clone)
    return f"commit {commit}".encode() in rows.splitlines()


def _command(arguments: list[str]) -> list[str]:
    settings = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
    return ["git", *settings, *arguments]


def _environment(url: str = "") -> dict[str, str]:
    """The user's, for mirrors, proxies and passwords; git asks nobody, and speaks English, for its words are read here."""
    kept = {name: value for name, value in os.environ.items() if name not in _OURS}
    return kept | {
        "GIT_TERMINAL_PROMPT": "0", "GIT_LFS_SKIP_SMUDGE": "1", "LC_ALL": "C", "LANGUAGE": "C", "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": f"https:{_protocol(url)}" if url else "none",
        "GIT_SSH_COMMAND": kept.get("GIT_SSH_COMMAND", "ssh -o BatchMode=yes"),
    }  # fmt: skip


def _leads_to(url: str) -> str:
    """Where git goes for this address, with the user's insteadOf."""
    return _run(["ls-remote", "--get-url", url], Path(tempfile.gettempdir())).decode("utf-8", "replace").strip()


def _protocol(url: str) -> str:
    """How this address is reached. A target names https (http on this machine); all else is the user's own insteadOf."""
    led_to = _leads_to(url)
    scheme = led_to.partition("://")[0] if "://" in led_to else "file" if led_to.startswith("/") else "ssh"
    if scheme not in _PROTOCOLS or "::" in led_to.partition("/")[0]:
        led_to = without_credentials(led_to)
        raise BadInput(f"git's setting insteadOf leads {url} to {led_to}: that protocol is not allowed")
    return scheme


class _Damaged(Fault):
    """git cannot read what it brought earlier."""


def _run(arguments: list[str], folder: Path, said: bytes = b"") -> bytes:
    """What git says on this machine alone; `Fault` where it fails, `_Damaged` where it cannot read its objects."""
    status, heard, complained = _git(arguments, folder, said=said)
    if status != 0:
        _check_space(complained, folder)
        last = _last_line(complained)
        ended = -status in {signal.SIGKILL, signal.SIGTERM}  # of damaged objects git may die by itself, too
        kind = Fault if ended or arguments[0] not in _READING or "config" in last else _Damaged
        raise kind(f"git {arguments[0]}: {'it was ended on this machine' if ended else last}")
    return heard


def _check_space(complained: bytes, folder: Path) -> None:
    if full := full_disk_line(complained.decode("utf-8", "replace")):
        raise Fault(f"{folder}: git: {full}; free some space, then run the command again")


def _network(
    arguments: list[str], folder: Path, url: str, *, said: bytes = b"", watched: bool = False, tries: int | None = None
) -> bytes:
    """What git says with a server, after a few tries. Raises `Unavailable`, `Unreachable`, `_RefusesSha`."""
    progress = _Progress()

    def once() -> bytes:
        status, heard, complained = _git(arguments, folder, url, said=said, progress=progress, watched=watched)
        if status != 0:
            _check_space(complained, folder)
            raise _problem(complained, url)
        return heard

    return tried(once, f"git {arguments[0]} {url}", tries, lambda: progress.came)


@dataclass
class _Progress:
    """How many bytes have come, in all calls of git."""

    came: int = 0


def _git(
    arguments: list[str], folder: Path, url: str = "", *, said: bytes, progress: _Progress | None = None, watched: bool = False
) -> tuple[int, bytes, bytes]:  # fmt: skip
    """The exit status of git, and what it wrote to its two outputs. Only with a url it may reach a server.

    progress: for a call that does. watched: what comes lies in the folder, and is counted.
    """
    environment = _environment(url)
    with tempfile.TemporaryFile() as heard, tempfile.TemporaryFile() as complaints, tempfile.TemporaryFile() as asked:
        asked.write(said)
        asked.seek(0)
        try:
            process = subprocess.Popen(
                _command(arguments), cwd=folder, env=environment, stdin=asked, stdout=heard, stderr=complaints,
                start_new_session=True,
            )  # fmt: skip
        except FileNotFoundError:
            raise Unavailable("this source needs git, and this system has none", "unsupported") from None
        with process:
            try:
                _wait(process, folder if watched else None, url, progress)
            finally:
                if process.poll() is None:  # with the programs that it started
                    os.killpg(process.pid, signal.SIGKILL)
        heard.seek(0)
        complaints.seek(0)
        return process.returncode, heard.read(), complaints.read(1 << 20)


def _wait(process: subprocess.Popen[bytes], folder: Path | None, url: str, progress: _Progress | None) -> None:
    """Until git ends, or has brought more than is taken, or takes too long: of a server, first for anything to come."""
    began, limit_s = time.monotonic(), PATIENCE_S if progress else DEADLINE_S
    before, most = _size(folder) if folder else 0, 0
    with tqdm(unit="B", unit_scale=True, desc=printable(url), disable=None if folder else True) as bar:
        while True:
            try:
                process.wait(0.5)
                break
            except subprocess.TimeoutExpired:
                came = _size(folder) - before if folder else 0
                bar.update(came - bar.n)
                if progress and came > most:
                    progress.came += came - most
                    most, limit_s = came, DEADLINE_S  # git itself ends a connection that hardly moves from then on
                if came > MAX_UNPACKED_BYTES:
                    raise Unavailable(f"{url}: it sends more than {MAX_UNPACKED_BYTES} bytes", "refused") from None
                if time.monotonic() - began > limit_s:
                    raise Interrupted(f"it took more than {limit_s:g} s") from None
    if folder and process.returncode == 0:
        tell(url, _size(folder) - before)


def _size(folder: Path) -> int:
    total = 0
    for path in (folder / "objects").rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # git renames its files when they are whole
            continue
    return total


def _problem(complained: bytes, url: str) -> Exception:
    """What git's failure says."""
    text = complained.decode("utf-8", "replace")
    last = _last_line(complained)
    led_to = _leads_to(url)
    said = without_credentials(f"{url}{'' if led_to == url else f' (through {led_to})'}: {last}")
    if any(words in text for words in _REFUSES_SHA):
        return _RefusesSha(said, "gone")
    for kind, phrases in _ANSWERS:
        if any(words in text for words in phrases):
            if kind == "gated":
                said += " (it is private, or gone: many servers say the same of both)"
            return Unavailable(said, kind)
    if own := _SERVERS_OWN.search(text):
        telling = text[text.rfind("\n", 0, own.start()) + 1 :].splitlines()[0]
        return Interrupted(printable(telling).strip()[:300], todo=TELL_ITS_OWNER)
    return Interrupted(last)


def _last_line(complained: bytes) -> str:
    lines = [printable(line) for line in complained.decode("utf-8", "replace").splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:", "remote:"))]
    return (telling or lines or ["git said nothing"])[-1][:300]
