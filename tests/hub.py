"""A hub and a git host on this machine, with what goes wrong in real ones. For tests; and as a process:

    python -m tests.hub FOLDER        # serves FOLDER and prints the variables that lead there, ready for `export`

    with Hub(tmp_path / "hub") as hub:
        commit = hub.commit("owner/name", {"config.json": b"{}", "model.safetensors": Made(200 << 20)}, revision="step16")
        tip = hub.git("owner/code", {"train.py": b"print(1)"}, tag="v1.0")
        os.environ.update(hub.variables())         # HF_ENDPOINT, and git's insteadOf for https://github.com/
        hub.wrong("*/model.safetensors", cut=100 << 20)      # once: the plug is pulled after so many bytes
        hub.wrong("*/config.json", status=503, times=2)
        hub.sent("*/model.safetensors")            # bytes of content that were sent

`FOLDER` as a process: models/OWNER/NAME/REVISION/files, datasets/OWNER/NAME/REVISION/files, git/OWNER/NAME/files (made a
repository of one commit) or git/OWNER/NAME.git (a bare repository), web/files. It listens on 127.0.0.1 only.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any, Self
from urllib.parse import quote, unquote, urlsplit

import pytest

LFS_BYTES = 10_000_000
LFS_NAMES = (".safetensors", ".bin", ".idx", ".pt", ".npy", ".parquet")
BLOCK = 1 << 20


@dataclass(frozen=True)
class Made:
    """Content that is made while it is sent: no two blocks alike, equal for equal seeds."""

    size: int
    seed: int = 0

    def read(self, start: int, stop: int) -> bytes:
        """The bytes [start, stop)."""
        pieces = []
        for number in range(start // BLOCK, -(-stop // BLOCK)):
            block = number.to_bytes(8, "little") + _block(self.seed)[8:]
            first = number * BLOCK
            pieces.append(block[max(start - first, 0) : stop - first])
        return b"".join(pieces)


_blocks: dict[int, bytes] = {}


def _block(seed: int) -> bytes:
    if seed not in _blocks:
        _blocks[seed] = Random(seed).randbytes(BLOCK)
    return _blocks[seed]


Content = bytes | Path | Made


def size_of(content: Content) -> int:
    """Its length in bytes."""
    if isinstance(content, Path):
        return content.stat().st_size
    return len(content) if isinstance(content, bytes) else content.size


def read(content: Content, start: int, stop: int) -> bytes:
    """Its bytes [start, stop)."""
    if isinstance(content, Path):
        with content.open("rb") as file:
            file.seek(start)
            return file.read(stop - start)
    return content[start:stop] if isinstance(content, bytes) else content.read(start, stop)


def _of_what_is_made_once(function: Callable[[Content], str]) -> Callable[[Content], str]:
    """Large content has its digests worked out once."""
    remembered = functools.cache(function)
    return functools.wraps(function)(lambda content: (remembered if isinstance(content, Made) else function)(content))


@_of_what_is_made_once
def sha256_of(content: Content) -> str:
    """Its sha256, without holding all of it in memory."""
    return _digest(content, hashlib.sha256())


@_of_what_is_made_once
def md5_of(content: Content) -> str:
    """Its md5."""
    return _digest(content, hashlib.md5(usedforsecurity=False))


def _digest(content: Content, found: Any) -> str:
    for start in range(0, size_of(content), BLOCK):
        found.update(read(content, start, min(start + BLOCK, size_of(content))))
    digest: str = found.hexdigest()
    return digest


@dataclass
class Request:
    """One request, and how many bytes of content its answer brought."""

    method: str
    path: str
    range: str | None
    token: str | None
    cookie: str | None = None
    port: int = 0
    """The other end of its connection."""
    sent: int = 0


@dataclass
class Wrong:
    """What goes wrong at paths that match a glob, for the next `times` requests."""

    glob: str
    times: int
    status: int | None = None
    code: str = ""
    """X-Error-Code, which the hub's library reads."""
    retry_after: str = ""
    cut: int | None = None
    """The connection ends after so many bytes, though more was promised."""
    says: int | None = None
    """So many bytes more (or fewer) are announced than are sent."""
    endless: bool = False
    drip: float | None = None
    """One byte, and then so many seconds."""
    drip_headers: float | None = None
    """One more header, and then so many seconds, ninety times."""
    silent: bool = False
    redirect: str | None = None
    instead: Content | None = None
    """Sent instead of the file, under its announced digest."""
    no_ranges: bool = False
    no_version: bool = False
    """No ETag in the answer."""
    cookie: str = ""


@dataclass
class Repository:
    """A model or a data set: commits hold files, branches and tags name commits."""

    commits: dict[str, dict[str, Content]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    gated: bool = False


@dataclass
class Hub:
    """The Hub's API and files at `endpoint`, git repositories below `/git/`, anything else in `web` below `/web/`."""

    folder: Path
    token: str = ""
    """The token that opens what is gated."""
    smart_git: bool = True
    """False: repositories lie there as plain files (git's dumb protocol)."""
    repositories: dict[str, Repository] = field(default_factory=dict)
    """By `models/OWNER/NAME` or `datasets/OWNER/NAME`."""
    web: dict[str, Content] = field(default_factory=dict)
    faults: list[Wrong] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    # What is published

    def commit(self, repo: str, files: dict[str, Content], *, revision: str = "main", repo_type: str = "model") -> str:
        """Put a commit with these files, and no others, at the tip of a branch; gives its name."""
        repository = self.repositories.setdefault(f"{repo_type}s/{repo}", Repository())
        said = [
            repo,
            revision,
            repository.branches.get(revision, ""),
            {name: sha256_of(files[name]) for name in sorted(files)},
        ]
        name = hashlib.sha1(json.dumps(said).encode(), usedforsecurity=False).hexdigest()
        repository.commits[name] = dict(files)
        repository.branches[revision] = name
        repository.branches.setdefault("main", name)
        return name

    def repository(self, repo: str, repo_type: str = "model") -> Repository:
        """To gate, tag or remove."""
        return self.repositories[f"{repo_type}s/{repo}"]

    def git(
        self,
        repo: str,
        files: dict[str, bytes],
        *,
        branch: str = "main",
        tag: str | None = None,
        modes: dict[str, str] | None = None,
    ) -> str:
        """Put a commit with these files, and no others, at the tip of a branch of a git repository; gives its name.

        `modes`: 120000 for a symbolic link (its content is where it leads), 160000 for a submodule (its content a commit).
        """
        bare = self.bare(repo)
        if not bare.exists():
            bare.mkdir(parents=True)
            self._git(bare, "init", "--bare", "--quiet", "--template=", f"--initial-branch={branch}", ".")
            for name in ("allowFilter", "allowAnySHA1InWant"):
                self._git(bare, "config", f"uploadpack.{name}", "true")
        rows = b""
        for path, content in files.items():
            mode = (modes or {}).get(path, "100644")
            blob = (
                content.decode() if mode == "160000" else self._git(bare, "hash-object", "-w", "--stdin", said=content)
            )
            rows += f"{mode} {blob}\t{path}\0".encode()
        index = {"GIT_INDEX_FILE": str(bare / "tmp-index")}
        self._git(bare, "read-tree", "--empty", **index)
        self._git(bare, "update-index", "-z", "--index-info", said=rows, **index)
        tree = self._git(bare, "write-tree", **index)
        parents = subprocess.run(
            ["git", "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}"],
            cwd=bare,
            capture_output=True,
            text=True,
            check=False,
        ).stdout.split()
        more = [word for parent in parents for word in ("-p", parent)]
        commit = self._git(bare, "commit-tree", tree, *more, said=b"a commit\n")
        self._git(bare, "update-ref", f"refs/heads/{branch}", commit)
        if tag:
            self._git(bare, "tag", "--force", "-a", "-m", tag, tag, commit)
        self._git(bare, "update-server-info")
        return commit

    def bare(self, repo: str) -> Path:
        """The folder of a git repository."""
        return self.folder / "git" / f"{repo}.git"

    def _git(self, folder: Path, *arguments: str, said: bytes = b"", **variables: str) -> str:
        who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in _WHO.items()}
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            input=said,
            capture_output=True,
            check=True,
            env=os.environ | who | variables,
        )
        return done.stdout.decode().strip()

    # What goes wrong, and what was asked for

    def wrong(self, glob: str, *, times: int = 1, **how: Any) -> None:
        """From now on, for so many requests whose path matches; -1 for all."""
        self.faults.append(Wrong(glob, times, **how))

    def _fault(self, path: str) -> Wrong | None:
        for one in self.faults:
            if one.times and fnmatch(path, one.glob):
                one.times -= one.times > 0
                return one
        return None

    def asked(self, glob: str = "*", method: str = "GET") -> list[Request]:
        """The requests whose path matches."""
        return [request for request in list(self.requests) if request.method == method and fnmatch(request.path, glob)]

    def sent(self, glob: str = "*") -> int:
        """Bytes of content that were sent for paths that match."""
        return sum(request.sent for request in self.asked(glob))

    def reset(self) -> None:
        """Forget everything that was published, set and asked."""
        for part in (self.repositories, self.web, self.faults, self.requests):
            part.clear()
        shutil.rmtree(self.folder / "git", ignore_errors=True)
        self.token, self.smart_git = "", True

    # Where it is

    @property
    def endpoint(self) -> str:
        """For HF_ENDPOINT."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def url(self, name: str) -> str:
        """The address of something in `web`."""
        return f"{self.endpoint}/web/{quote(name)}"

    def variables(self) -> dict[str, str]:
        """What to set so that the hub's library and git come here instead of huggingface.co and github.com."""
        return {
            "HF_ENDPOINT": self.endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
            "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.{self.endpoint}/git/.insteadOf",
            "GIT_CONFIG_VALUE_0": "https://github.com/",
        }  # fmt: skip

    def lead(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Lead the hub's library and git here, whatever this machine's proxies, tokens and settings are."""
        for name in list(os.environ):
            if name.lower().endswith("_proxy") or name.startswith(("HF_", "GIT_")):
                monkeypatch.delenv(name)
        ours = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "NETRC": os.devnull}
        for name, value in (self.variables() | ours).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("OPENASSAY_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no token"))

    def __enter__(self) -> Self:
        hub = self

        class Handler(_Handler):
            """The handler of this hub."""

            @property
            def hub(self) -> Hub:
                return hub

        self.folder.mkdir(parents=True, exist_ok=True)
        self.stopped = threading.Event()
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # What lies where

    def find(self, path: str) -> tuple[Content, dict[str, str]] | tuple[int, str]:
        """Content and headers, or a status and the hub's word for it."""
        parts = path.strip("/").split("/")
        if parts[0] == "web":
            name = "/".join(parts[1:])
            return (self.web[name], _version(self.web[name])) if name in self.web else (404, "")
        if parts[0] == "git":  # the dumb protocol
            file = self.folder / path.strip("/")
            inside = ".." not in parts and file.is_file()
            return (file.read_bytes(), {}) if inside else (404, "")
        if parts[0] == "api":
            return self._api(parts[1], parts[2:])
        kind = parts.pop(0) if parts[0] == "datasets" else "models"
        if "resolve" in parts:
            at = parts.index("resolve")
            return self._resolve(kind, "/".join(parts[:at]), parts[at + 1], "/".join(parts[at + 2 :]))
        return 404, "RepoNotFound"

    def _api(self, kind: str, parts: list[str]) -> tuple[Content, dict[str, str]] | tuple[int, str]:
        at = next((i for i, part in enumerate(parts) if part in {"revision", "tree", "refs"}), len(parts))
        name, verb, rest = "/".join(parts[:at]), parts[at : at + 1], parts[at + 1 :]
        repository = self.repositories.get(f"{kind}/{name}")
        if repository is None:
            return 404, "RepoNotFound"
        if verb == ["refs"]:
            named = [("branches", "heads", repository.branches), ("tags", "tags", repository.tags)]
            refs: dict[str, Any] = {"converts": []}
            for key, word, names in named:
                refs[key] = [{"name": n, "ref": f"refs/{word}/{n}", "targetCommit": c} for n, c in names.items()]
            return _json(refs)
        commit = self.at(repository, unquote(rest[0]) if rest else "main")
        if commit is None:
            return 404, "RevisionNotFound"
        files = repository.commits[commit]
        if verb == ["tree"]:
            rows = [
                {"type": "file", "path": p, "size": size_of(c), "oid": blob_of(c)} | _lfs(p, c)
                for p, c in files.items()
            ]
            return _json(rows)
        siblings = [
            {"rfilename": p, "size": size_of(c), "blobId": blob_of(c)}
            | ({"lfs": lfs["lfs"] | {"sha256": lfs["lfs"]["oid"]}} if (lfs := _lfs(p, c)) else {})
            for p, c in files.items()
        ]
        about = {"_id": commit[:24], "id": name, "modelId": name, "sha": commit, "siblings": siblings, "private": False}
        return _json(about | {"tags": [], "downloads": 0, "gated": repository.gated, "disabled": False})

    def at(self, repository: Repository, revision: str) -> str | None:
        """The commit of a branch, a tag or a commit's own name."""
        named = repository.branches | repository.tags | {commit: commit for commit in repository.commits}
        return named.get(revision.removeprefix("refs/heads/"))

    def _resolve(
        self, kind: str, name: str, revision: str, path: str
    ) -> tuple[Content, dict[str, str]] | tuple[int, str]:
        repository = self.repositories.get(f"{kind}/{name}")
        if repository is None:
            return 404, "RepoNotFound"
        commit = self.at(repository, unquote(revision))
        if commit is None:
            return 404, "RevisionNotFound"
        content = repository.commits[commit].get(path)
        if content is None:
            return 404, "EntryNotFound"
        etag = sha256_of(content) if _lfs(path, content) else blob_of(content)
        return content, {"ETag": f'"{etag}"', "X-Repo-Commit": commit}

    def closed_to(self, path: str, token: str | None) -> tuple[int, str] | None:
        """Is this a gated repository, asked for without the token that opens it?"""
        for name, repository in self.repositories.items():
            kind, _, repo = name.partition("/")
            inside = path.startswith((f"/api/{name}", f"/{repo}/" if kind == "models" else f"/datasets/{repo}/"))
            if repository.gated and inside and token != self.token:
                return (403 if token else 401), "GatedRepo"
        return None


_WHO = {"NAME": "Nobody", "EMAIL": "n@example.org", "DATE": "2024-01-01T00:00:00+0000"}


@_of_what_is_made_once
def blob_of(content: Content) -> str:
    """A file's name in git."""
    return _digest(content, hashlib.sha1(f"blob {size_of(content)}\0".encode(), usedforsecurity=False))


def _lfs(path: str, content: Content) -> dict[str, Any]:
    if size_of(content) < LFS_BYTES and not path.endswith(LFS_NAMES):
        return {}
    return {"lfs": {"oid": sha256_of(content), "size": size_of(content), "pointerSize": 134}}


def _version(content: Content) -> dict[str, str]:
    return {"ETag": f'"{sha256_of(content)[:32]}"'}


def _json(value: object) -> tuple[Content, dict[str, str]]:
    return json.dumps(value).encode(), {"Content-Type": "application/json"}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a kept connection would wait 40 ms for each body

    @property
    def hub(self) -> Hub:
        raise NotImplementedError

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        pieces = urlsplit(self.path)
        path = unquote(pieces.path)
        authorization = self.headers.get("Authorization")
        token = authorization.removeprefix("Bearer ") if authorization else None
        self.record = Request(
            self.command, path, self.headers.get("Range"), authorization,
            cookie=self.headers.get("Cookie"), port=self.client_address[1],
        )  # fmt: skip
        self.hub.requests.append(self.record)
        wrong = self.hub._fault(path) or Wrong("", 0)
        if wrong.silent:
            self.hub.stopped.wait(20)
            self.close_connection = True
        elif wrong.status:
            more = {"Retry-After": wrong.retry_after} if wrong.retry_after else {}
            self._empty(wrong.status, wrong.code, **more)
        elif wrong.redirect:
            self._empty(302, "", Location=wrong.redirect)
        elif closed := self.hub.closed_to(path, token):
            self._empty(*closed)
        elif path.startswith("/git/") and self.hub.smart_git:
            self._smart_git(path, pieces.query, wrong)
        else:
            found = self.hub.find(pieces.path if "%2F" in pieces.path else path)
            if isinstance(found[0], int):
                self._empty(found[0], str(found[1]))
            else:
                self._content(found[0], dict(found[1]), wrong)  # type: ignore[arg-type]

    def _empty(self, status: int, code: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name, value)
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()

    def _content(self, content: Content, headers: dict[str, str], wrong: Wrong) -> None:
        if wrong.instead is not None:
            content = wrong.instead
        if wrong.no_version:
            headers.pop("ETag", None)
        total = size_of(content)
        start, stop, status = 0, total, 200
        asked, only_if = self.headers.get("Range"), self.headers.get("If-Range")
        if asked and not wrong.no_ranges and (not only_if or only_if == headers.get("ETag")):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, stop = int(first), min(int(last) + 1, total) if last else total
            if start >= total:
                self._empty(416, "", **{"Content-Range": f"bytes */{total}"})
                return
            status = 206
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{total + (wrong.says or 0)}"
        self.send_response(status)
        headers |= {"Set-Cookie": wrong.cookie} if wrong.cookie else {}
        if not wrong.endless:
            headers["Content-Length"] = str(stop - start + (wrong.says or 0))
        else:
            self.close_connection = True
        for name, value in headers.items():
            self.send_header(name, value)
        if wrong.drip_headers is not None:
            for number in range(90):
                self.send_header("X-Patience", str(number))
                self.flush_headers()
                if self.hub.stopped.wait(wrong.drip_headers):
                    return
        self.end_headers()
        if self.command == "HEAD":
            return
        until = stop if wrong.cut is None else min(stop, start + wrong.cut)
        self._send(content, start, until, wrong)
        if wrong.cut is not None or (wrong.says or 0) > 0:
            self.close_connection = True
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

    def _send(self, content: Content, start: int, stop: int, wrong: Wrong) -> None:
        if wrong.drip is not None:
            for at in range(start, stop):
                self._write(read(content, at, at + 1))
                if self.hub.stopped.wait(wrong.drip):
                    return
        at = start
        while at < stop:
            piece = read(content, at, min(at + BLOCK // 4, stop))
            self._write(piece)
            at += len(piece)
        while wrong.endless and not self.hub.stopped.is_set():
            self._write(b"and so on, " * 1000)

    def _write(self, piece: bytes) -> None:
        self.wfile.write(piece)
        self.record.sent += len(piece)

    def _smart_git(self, path: str, query: str, wrong: Wrong) -> None:
        """git's own server program, as a web server calls it (CGI)."""
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length) if length else b"".join(self._chunks())
        path = path.removeprefix("/git")
        repo = next((part for part in ("/info/", "/git-upload-pack", "/HEAD", "/objects/") if part in path), "")
        name = path.partition(repo)[0] if repo else path
        path = path if name.endswith(".git") else path.replace(name, f"{name}.git", 1)
        variables = {
            "GIT_PROJECT_ROOT": str(self.hub.folder / "git"), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
            "QUERY_STRING": query, "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)), "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": "127.0.0.1", "REMOTE_USER": "", "PATH": os.environ["PATH"], "HOME": str(self.hub.folder),
            "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
        }  # fmt: skip
        done = subprocess.run(["git", "http-backend"], input=body, capture_output=True, check=False, env=variables)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(row.split(": ", 1) for row in head.decode().split("\r\n") if ": " in row)
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if wrong.cut is not None:
            self._write(content[: wrong.cut])
            self.close_connection = True
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self._write(content)

    def _chunks(self) -> Iterator[bytes]:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()


def serve(folder: Path) -> Hub:
    """A hub of what lies in a folder, as the module's first lines say; not started yet."""
    hub = Hub(folder / ".served")
    for kind in ("models", "datasets"):
        for revision in sorted((folder / kind).glob("*/*/*")):
            files: dict[str, Content] = {
                path.relative_to(revision).as_posix(): path for path in sorted(revision.rglob("*")) if path.is_file()
            }
            repo = revision.parent.relative_to(folder / kind).as_posix()
            hub.commit(repo, files, revision=revision.name, repo_type=kind.removesuffix("s"))
        for name, repository in hub.repositories.items():
            if not (folder / name / "main").exists():
                repository.branches["main"] = list(repository.commits)[-1]
    for top in sorted((folder / "git").glob("*/*")):
        repo = top.relative_to(folder / "git").as_posix().removesuffix(".git")
        if top.name.endswith(".git"):
            shutil.copytree(top, hub.bare(repo), dirs_exist_ok=True)
        else:
            shutil.rmtree(hub.bare(repo), ignore_errors=True)
            hub.git(
                repo, {p.relative_to(top).as_posix(): p.read_bytes() for p in sorted(top.rglob("*")) if p.is_file()}
            )
    hub.web.update({p.relative_to(folder / "web").as_posix(): p for p in (folder / "web").rglob("*") if p.is_file()})
    return hub


def main() -> None:
    """Serve a folder until the process is ended."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit("usage: python -m tests.hub FOLDER")
    with serve(Path(sys.argv[1])) as hub:
        for name, value in hub.variables().items():
            print(f"export {name}={value}", flush=True)
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    main()
