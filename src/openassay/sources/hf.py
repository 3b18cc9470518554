"""Files of a repository on the Hugging Face Hub, or on a mirror of it: `$HF_ENDPOINT`.

The hub's own library resolves revisions and lists files; the content comes by our own download, which keeps every byte that
came and gives up on servers that hang. `$HF_TOKEN` (or what `hf auth login` left) is sent to the endpoint and nowhere else.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NoReturn
from urllib.parse import urlsplit

import huggingface_hub  # the only importer; it loads its parts when they are used
from pydantic import Discriminator, Field, Tag

from openassay.faults import printable
from openassay.records import digest, file_digest, to_plain, write_text
from openassay.sources import download
from openassay.sources.download import Wanted, bring, drop, tell, without_credentials
from openassay.sources.fetched import STATUS_KINDS, Fetched, Root, Unavailable, Unreachable, WrongPin
from openassay.store import MAX_UNPACKED_BYTES, FolderFile, Store, check_names

DEFAULT_ENDPOINT = "https://huggingface.co"
WORKERS = 6
LOOPBACK = {"127.0.0.1", "localhost", "::1"}

_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?\Z", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9][\w./+-]{0,199}\Z", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_YES = {"1", "on", "yes", "true"}


@dataclass(frozen=True, kw_only=True)
class HfFile:
    """One file of a repository, or a span of its bytes."""

    path: str
    bytes: tuple[Annotated[int, Field(ge=0)], int] | None = None
    """Only from the first of these bytes on and up to the second, that one not included."""
    sha256: str | None = None
    """Of what is fetched: of the span, where only a span is."""

    def __post_init__(self) -> None:
        if self.bytes and not self.bytes[0] < self.bytes[1]:
            raise ValueError(f"bytes: [{self.bytes[0]}, {self.bytes[1]}] is empty; the second must be larger")
        if self.sha256 is not None and not _SHA256.match(self.sha256):
            raise ValueError(f"sha256: a sha256 is 64 hexadecimal digits in lower case, found {self.sha256[:80]!r}")
        check_path(self.path)

    @property
    def name(self) -> str:
        """Where the file lies in the artifact: a span that does not begin the file says so in its name."""
        start, stop = self.bytes or (0, 0)
        return f"{self.path}.bytes-{start}-{stop}" if start else self.path


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One file as the hub lists it: its size, its sha256 where it is kept with LFS, else its git blob."""

    size_bytes: int
    sha256: str | None
    blob: str | None


@dataclass(frozen=True, kw_only=True)
class HfSource:
    """Files of a model or a data set on the hub."""

    kind: Literal["hf"]
    repo: str
    files: Annotated[
        tuple[
            Annotated[
                Annotated[str, Tag("name")] | Annotated[HfFile, Tag("file")],
                Discriminator(lambda given: "name" if isinstance(given, str) else "file"),
            ],
            ...,
        ],
        Field(min_length=1),
    ]
    """Names or globs (`*` crosses `/`), or a name with `bytes` and `sha256`."""
    repo_type: Literal["model", "dataset"] = "model"
    revision: str | None = None
    """What the release names: a branch or a tag; `main` when there is no commit either. Held against `commit`, if given."""
    commit: str | None = None
    """The pin, in full."""
    max_bytes: Annotated[int, Field(gt=0)] = MAX_UNPACKED_BYTES
    """Of all files together; more is not fetched."""
    sha256: str | None = None
    """Of the whole artifact, as a fetch record gives it: for those who trust no hub with the content of a commit."""
    root: Root = ""
    """Folder inside the repository that counts as its top."""

    def __post_init__(self) -> None:
        if not _REPO.match(self.repo) or ".." in self.repo or "--" in self.repo:
            raise ValueError(f"repo: {self.repo[:200]!r} is not the name of a repository: OWNER/NAME")
        if self.commit is not None and not _COMMIT.match(self.commit):
            raise ValueError(f"commit: a commit is 40 hexadecimal digits in lower case, found {self.commit[:80]!r}")
        if self.revision is not None and (not _REVISION.match(self.revision) or ".." in self.revision):
            raise ValueError(f"revision: {self.revision[:200]!r} is not the name of a branch or a tag")
        for file in self.files:
            if isinstance(file, str):
                check_path(file)
        if len({file if isinstance(file, str) else file.name for file in self.files}) < len(self.files):
            raise ValueError("files: the same file stands twice; remove one")

    def label(self) -> str:
        """This source in a few words."""
        prefix = "datasets/" if self.repo_type == "dataset" else ""
        return f"hf {prefix}{self.repo}@{self.revision or (self.commit or 'main')[:12]}"

    def may_change(self) -> bool:
        """Can other files come to lie there? Not at a commit."""
        return self.commit is None

    def pinned(self) -> bool:
        """Is it fixed by digests alone which bytes are meant?"""
        each = all(isinstance(file, HfFile) and file.sha256 for file in self.files)
        return self.commit is not None or self.sha256 is not None or each

    def fetch(self, store: Store, where: str) -> Fetched:
        """Bring the files into the store, several at a time; `where` names the source in messages."""
        with store.alone(self._key()):
            seen = store.seen(self._key())
            if self.pinned():
                for sha256 in seen:
                    if self.sha256 in {None, sha256} and store.has_folder(sha256):
                        return self._fetched(store, sha256, downloaded=False)
            commit = self._resolve()
            listed = self.listing(store, commit)
            chosen = self._chosen(listed, where)
            self._check_size(chosen, listed, where)
            with ThreadPoolExecutor(WORKERS) as pool:
                jobs = [pool.submit(self._bring, store, commit, file, listed[file.path]) for file in chosen]
                try:
                    files = [job.result() for job in jobs]
                except BaseException as problem:
                    pool.shutdown(wait=True, cancel_futures=True)
                    if isinstance(problem, Unavailable) and problem.kind == "changed":
                        self._list_of(store, commit).unlink()  # a list that was wrong once must not be so for ever
                    raise
            sha256 = store.add_folder(files)
            if self.sha256 and sha256 != self.sha256:
                raise Unavailable(
                    f"expected an artifact of sha256 {self.sha256}, the hub now gives {sha256}", "changed"
                )
            if self.commit and seen and sha256 not in seen:
                first, when = next(iter(seen.items()))
                raise Unavailable(f"commit {self.commit} gave {first} on {when}, and now {sha256}", "changed")
            store.remember(self._key(), sha256)
            return self._fetched(store, sha256, downloaded=True)

    def upstream(self, tries: int | None = None) -> str:
        """Which commit does the revision name now?"""
        return self._sha(self.revision or self.commit or "main", tries)

    def sizes(self, store: Store, paths: Sequence[str]) -> tuple[int, ...]:
        """Bytes of some of its files, from the hub's list."""
        listed = self.listing(store, self._resolve())
        for path in paths:
            if path not in listed:
                raise self._absent(path, f"{self.label()}: ", listed)
        return tuple(listed[path].size_bytes for path in paths)

    def wanted(self, store: Store, path: str) -> tuple[str, str | None, Wanted]:
        """For a span of one file: what the content is known as, its sha256 if the hub tells it, and what to ask for."""
        commit = self.commit or self._resolve()
        listed = self.listing(store, commit)
        if path not in listed:
            raise self._absent(path, f"{self.label()}: ", listed)
        return f"{self._at(commit)} {path}", listed[path].sha256, self._wanted(commit, HfFile(path=path), listed[path])

    def listing(self, store: Store, commit: str) -> dict[str, Listed]:
        """Every file of a commit, from the hub once and from the store ever after: a commit does not change."""
        kept = self._list_of(store, commit)
        if not kept.exists():
            info = self._info(commit, files=True)
            if info.sha != commit:
                raise Unavailable(
                    f"{self.repo}: asked for commit {commit}, the hub gives {printable(str(info.sha))}", "changed"
                )
            rows: dict[str, Any] = {}
            for file in info.siblings or ():
                sha256 = file.lfs.sha256 if file.lfs else None
                rows[file.rfilename] = [file.lfs.size if file.lfs else file.size, sha256, file.blob_id]
            if not all(isinstance(size, int) and size >= 0 for size, _, _ in rows.values()):
                raise Unreachable(f"{self.label()}: the hub's list of files has no sizes; is {endpoint()} a hub?")
            write_text(kept, json.dumps(rows, indent=1, sort_keys=True))
        rows = json.loads(kept.read_text(encoding="utf-8"))
        return {path: Listed(size_bytes=size, sha256=sha256, blob=blob) for path, (size, sha256, blob) in rows.items()}

    def _list_of(self, store: Store, commit: str) -> Path:
        return store.folder / "listings" / f"{digest([self.repo_type, self.repo, commit])}.json"

    def _fetched(self, store: Store, sha256: str, *, downloaded: bool) -> Fetched:
        name = f"{PurePosixPath(self.repo).name}@{(self.revision or self.commit or 'main').replace('/', '_')}/"
        size = store.manifest(sha256).size_bytes
        return Fetched(sha256=sha256, filename=name, size_bytes=size, downloaded=downloaded)

    def _key(self) -> str:
        said = {name: value for name, value in to_plain(self).items() if name not in {"max_bytes", "sha256", "root"}}
        return f"{self.label()} {digest(said)}"

    def _at(self, commit: str) -> str:
        return f"hf {self.repo_type} {self.repo} {commit}"

    def _resolve(self) -> str:
        return self.commit or self._sha(self.revision or "main")

    def _chosen(self, listed: dict[str, Listed], where: str) -> list[HfFile]:
        chosen: dict[str, HfFile] = {}
        for number, file in enumerate(self.files):
            if isinstance(file, HfFile):
                if file.path not in listed:
                    raise self._absent(file.path, f"{where}.files.{number}: ", listed)
                chosen[file.name] = file
                continue
            matching = [path for path in listed if path == file or fnmatchcase(path, file)]
            if not matching:
                raise self._absent(file, f"{where}.files.{number}: ", listed)
            check_names(matching)
            for path in matching:
                chosen.setdefault(path, HfFile(path=path))
        for file in chosen.values():
            if file.bytes and file.bytes[1] > listed[file.path].size_bytes:
                message = f"{file.path} has {listed[file.path].size_bytes} bytes, and bytes up to {file.bytes[1]} are asked for"
                raise WrongPin(f"{where}.files: {message}") if self.commit else Unavailable(message, "changed")
        return list(chosen.values())

    def _absent(self, path: str, where: str, listed: dict[str, Listed]) -> Exception:
        """A file that is not there: at a commit that is a mistake, for a commit does not lose files."""
        message = f"{path!r} matches no file of {self.repo}; it has {', '.join(list(listed)[:6]) or 'none'}"
        return WrongPin(f"{where}{message}") if self.commit else Unavailable(message, "gone")

    def _check_size(self, chosen: list[HfFile], listed: dict[str, Listed], where: str) -> None:
        total = sum(file.bytes[1] - file.bytes[0] if file.bytes else listed[file.path].size_bytes for file in chosen)
        if total > self.max_bytes:
            message = f"the files have {total} bytes together; at most {self.max_bytes} are fetched"
            if self.commit:
                raise WrongPin(f"{where}.files: {message}; name fewer, or raise max_bytes")
            raise Unavailable(message, "refused")

    def _bring(self, store: Store, commit: str, file: HfFile, listed: Listed) -> FolderFile:
        whole = file.bytes is None
        if whole and file.sha256 and listed.sha256 and file.sha256 != listed.sha256:
            raise Unavailable(f"{file.path}: expected sha256 {file.sha256}, the hub lists {listed.sha256}", "changed")
        key = f"{self._at(commit)} {file.path} {file.bytes}"
        with store.alone(key):  # another audit may want the same file among others
            return self._bring_alone(store, commit, file, listed, key)

    def _bring_alone(self, store: Store, commit: str, file: HfFile, listed: Listed, key: str) -> FolderFile:
        whole = file.bytes is None
        known = (listed.sha256 if whole else None) or store.noted(key)
        if known and store.has(known) and file.sha256 in {None, known}:
            return FolderFile(path=file.name, content=known, size_bytes=store.blob(known).stat().st_size)
        part = store.part(key)
        for fresh in (not part.exists(), True):
            bring(self._wanted(commit, file, listed), part)
            got = file_digest(part)
            problem = _mismatch(part, got, file, listed)
            if not problem:
                break
            drop(part)
            if fresh:  # it came in one piece: not two versions of the file joined
                raise Unavailable(f"{file.path}: {problem}", "changed")
        size = part.stat().st_size
        content = store.add(part, got)
        if not (whole and listed.sha256):
            store.note(key, content)
        tell(file.name, size)
        return FolderFile(path=file.name, content=content, size_bytes=size)

    def _wanted(self, commit: str, file: HfFile, listed: Listed) -> Wanted:
        where = endpoint()
        url = huggingface_hub.hf_hub_url(
            self.repo, file.path, repo_type=self.repo_type, revision=commit, endpoint=where
        )
        _refuse_if_offline(url)
        token = _token(where)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return Wanted(
            url=url,
            label=file.name,
            headers=headers,
            span=file.bytes,
            size_bytes=listed.size_bytes,
            most_bytes=self.max_bytes,
        )

    def _sha(self, revision: str, tries: int | None = None) -> str:
        found = str(self._info(revision, files=False, tries=tries).sha)
        if not _COMMIT.match(found):
            raise Unreachable(f"{self.label()}: the hub names no commit; is {endpoint()} a hub?")
        return found

    def _info(self, revision: str, *, files: bool, tries: int | None = None) -> Any:
        where = endpoint()
        _refuse_if_offline(where)
        api = huggingface_hub.HfApi(endpoint=where, token=_token(where) or False)
        return self._asked(
            lambda: api.repo_info(
                self.repo, revision=revision, repo_type=self.repo_type, timeout=download.TIMEOUT_S, files_metadata=files
            ),
            f"{where}: {self.repo}@{revision}",
            tries,
        )

    def _asked(self, call: Callable[[], Any], what: str, tries: int | None = None) -> Any:
        """The hub's answer, after a few tries. Raises `Unavailable` and `Unreachable`."""
        problem = ""
        for attempt in range(tries or download.TRIES):
            if attempt:
                download.pause(attempt)
            try:
                return call()
            except huggingface_hub.errors.HfHubHTTPError as error:
                status = error.response.status_code
                if status in STATUS_KINDS:
                    _refused(error, what)
                problem = f"HTTP {status}"
            except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:  # not what a hub says
                problem = _one_line(error)
                if isinstance(error, huggingface_hub.errors.OfflineModeIsEnabled):
                    break
            except Exception as error:
                # The library speaks through httpx or httpx2; both call their errors so.
                if not {"HTTPError", "InvalidURL"} & {kind.__name__ for kind in type(error).__mro__}:
                    raise
                problem = _one_line(error)
        raise Unreachable(without_credentials(f"the hub {what}: {problem}; check the network, then the same again"))


def check_path(path: str) -> None:
    """ValueError where this cannot be a file's path in a repository, or a glob of such."""
    if not path or {"", ".", ".."} & set(path.split("/")) or "\\" in path or not path.isprintable():
        raise ValueError(
            f"files: {path[:200]!r} is not a path in a repository: relative, names between single /, no . or .."
        )


def endpoint() -> str:
    """Which hub is asked? `$HF_ENDPOINT`, read at each call, or the public one."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or DEFAULT_ENDPOINT


def _token(where: str) -> str | None:
    """The user's token, if it may go there: over https, or to this machine."""
    pieces = urlsplit(where)
    if pieces.scheme != "https" and pieces.hostname not in LOOPBACK:
        return None
    return huggingface_hub.get_token()


def _refuse_if_offline(url: str) -> None:
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in _YES:
        raise Unreachable(f"{url}: HF_HUB_OFFLINE is set; unset it, then the same again")


def _refused(error: Any, what: str) -> NoReturn:
    status = error.response.status_code
    if isinstance(error, huggingface_hub.errors.GatedRepoError):
        raise Unavailable(f"HTTP {status} from {what}: gated", "gated") from None
    if isinstance(error, huggingface_hub.errors.RevisionNotFoundError):
        raise Unavailable(f"HTTP {status} from {what}: there is no such revision", "gone") from None
    if status == 401:
        said = "asks for a login: it is private, or gone (a hub says the same of both)"
        raise Unavailable(f"HTTP 401 from {what}: {said}", "gated") from None
    raise Unavailable(f"HTTP {status} from {what}", STATUS_KINDS[status]) from None


def _one_line(error: Exception) -> str:
    return printable((str(error) or type(error).__name__).splitlines()[0])[:300]


def _mismatch(part: Path, got: str, file: HfFile, listed: Listed) -> str:
    """In what is this, of sha256 `got`, not what was pinned, or what the hub lists? Empty when it is."""
    if file.sha256 and got != file.sha256:
        return f"expected sha256 {file.sha256}, the hub now gives {got}"
    if file.bytes:
        return ""
    if listed.sha256:
        return "" if got == listed.sha256 else f"the hub lists sha256 {listed.sha256} and gives {got}"
    if listed.blob:
        blob = _blob_id(part)
        return "" if blob == listed.blob else f"the hub lists the blob {listed.blob} and gives {blob}"
    return ""


def _blob_id(part: Path) -> str:
    """A file's name in git."""
    found = hashlib.sha1(f"blob {part.stat().st_size}\0".encode(), usedforsecurity=False)
    with part.open("rb") as content:
        while chunk := content.read(1 << 20):
            found.update(chunk)
    return found.hexdigest()


def pin(source: HfSource, include: str, store: Store) -> tuple[tuple[HfFile, ...], str]:
    """The files that a glob matches, with the digests that the hub lists, and the commit that the revision names now."""
    commit = source.upstream()
    listed = source.listing(store, commit)
    matching = {path: file for path, file in listed.items() if fnmatchcase(path, include)}
    files = tuple(HfFile(path=path, sha256=file.sha256) for path, file in matching.items())
    if not files:
        raise Unavailable(f"{include!r} matches no file; it has {', '.join(list(listed)[:6]) or 'none'}")
    return files, commit
