"""Files of a repository on the Hugging Face Hub, or on a mirror of it: `$HF_ENDPOINT`.

The hub's own library resolves revisions and lists files; the content comes by our own download, which keeps every byte that
came and gives up on servers that hang. `$HF_TOKEN` (or what `hf auth login` left) is sent to the endpoint and nowhere else.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

import huggingface_hub  # the only importer; it loads its parts when they are used
from pydantic import Discriminator, Field, Tag, ValidationError

from openassay.faults import printable
from openassay.records import adapter, digest, write_text
from openassay.sources import download
from openassay.sources.download import Wanted, bring_checked, tell, tried, within
from openassay.sources.fetched import LOOPBACK, STATUS_KINDS, Interrupted, Root, Unavailable, Unreachable, WrongPin
from openassay.sources.folders import COMMIT, Commit, FolderSource, check_path
from openassay.store import MAX_UNPACKED_BYTES, FolderFile, Store, check_names

DEFAULT_ENDPOINT = "https://huggingface.co"
WORKERS = 6

_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?\Z", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9][\w./+-]{0,199}\Z", re.ASCII)
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

    @property
    def name(self) -> str:
        """Where the file lies in the artifact: a span that does not begin the file says so in its name."""
        start, stop = self.bytes or (0, 0)
        return f"{self.path}.bytes-{start}-{stop}" if start else self.path


class Listed(NamedTuple):
    """One file as the hub lists it: its size, its sha256 where it is kept with LFS, else its git blob."""

    size_bytes: int
    sha256: str | None
    blob: str | None


@dataclass(frozen=True, kw_only=True)
class HfSource(FolderSource):
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
    commit: Commit | None = None
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
        if self.revision is not None and (not _REVISION.match(self.revision) or ".." in self.revision):
            raise ValueError(f"revision: {self.revision[:200]!r} is not the name of a branch or a tag")
        for file in self.files:
            check_path(file if isinstance(file, str) else file.path, "files")
        if len({file if isinstance(file, str) else file.name for file in self.files}) < len(self.files):
            raise ValueError("files: the same file stands twice; remove one")

    def label(self) -> str:
        """This source in a few words."""
        prefix = "datasets/" if self.repo_type == "dataset" else ""
        return f"hf {prefix}{self.repo}@{self.revision or (self.commit or 'main')[:12]}"

    def is_part(self) -> bool:
        """Whether `files` are fewer than all."""
        return "*" not in self.files

    def named(self) -> str | None:
        """The branch or tag that the release names."""
        return self.revision

    def filename(self) -> str:
        """The repository's name and the revision."""
        return f"{PurePosixPath(self.repo).name}@{(self.revision or self.commit or 'main').replace('/', '_')}/"

    def pinned(self) -> bool:
        """Whether digests alone fix which bytes are meant: also those of all files."""
        return super().pinned() or all(isinstance(file, HfFile) and file.sha256 for file in self.files)

    def bring(self, store: Store, where: str) -> tuple[list[FolderFile], tuple[()]]:
        """The files, now in the store, several at a time."""
        commit = self.commit or self.commit_now()
        listed = self.listing(store, commit)
        chosen = self._chosen(listed, where)
        with ThreadPoolExecutor(WORKERS) as pool:
            jobs = [pool.submit(self._bring, store, commit, file, listed[file.path]) for file in chosen]
            try:
                return [job.result() for job in jobs], ()
            except BaseException as problem:
                pool.shutdown(wait=True, cancel_futures=True)
                if isinstance(problem, Unavailable) and problem.kind == "changed":
                    self._list_of(store, commit).unlink()  # a list that was wrong once must not be so for ever
                raise

    def commit_now(self, tries: int | None = None) -> str:
        """The commit that the revision names now."""
        found = str(self._info(self.revision or self.commit or "main", files=False, tries=tries).sha)
        if not COMMIT.match(found):
            raise Unreachable(f"{self.label()}: the hub names no commit; check that {endpoint()} is a hub")
        return found

    def sizes(self, store: Store, paths: Sequence[str]) -> tuple[int, ...]:
        """Bytes of some of its files, from the hub's list."""
        listed = self.listing(store, self.commit or self.commit_now())
        if absent := [path for path in paths if path not in listed]:
            raise self._absent(absent[0], self.label(), listed)
        return tuple(listed[path].size_bytes for path in paths)

    def listing(self, store: Store, commit: str) -> dict[str, Listed]:
        """Every file of a commit, from the hub once and from the store ever after: a commit does not change."""
        kept = self._list_of(store, commit)
        with suppress(FileNotFoundError, ValidationError):  # a damaged one is asked for anew
            known: dict[str, Listed] = adapter(dict[str, Listed]).validate_json(kept.read_bytes(), strict=True)
            return known
        info = self._info(commit, files=True)
        if info.sha != commit:
            found = printable(str(info.sha))
            raise Unavailable(f"{self.repo}: asked for commit {commit}, the hub gives {found}", "changed")
        rows: dict[str, Listed] = {}
        for file in info.siblings or ():
            size, sha256 = (file.lfs.size, file.lfs.sha256) if file.lfs else (file.size, None)
            rows[file.rfilename] = Listed(size, sha256, file.blob_id)
        if not all(isinstance(row.size_bytes, int) and row.size_bytes >= 0 for row in rows.values()):
            raise Unreachable(f"{self.label()}: the hub lists no sizes; check that {endpoint()} is a hub")
        write_text(kept, json.dumps(rows, indent=1, sort_keys=True))
        return rows

    def all_paths(self, store: Store) -> dict[str, bool] | None:
        """Every path of the commit, from the list that a fetch brought."""
        if self.commit is None or not self._list_of(store, self.commit).is_file():
            return None
        return dict.fromkeys(self.listing(store, self.commit), False)

    def _list_of(self, store: Store, commit: str) -> Path:
        return store.folder / "listings" / f"{digest([self.repo_type, self.repo, commit])}.json"

    def _chosen(self, listed: dict[str, Listed], where: str) -> list[HfFile]:
        """The files that are meant, with globs resolved. Raises where one is missing, too short, or all are too large."""
        chosen: dict[str, HfFile] = {}
        for number, file in enumerate(self.files):
            if isinstance(file, HfFile):
                named = {file.name: file} if file.path in listed else {}
                chosen |= named
            else:
                matching = [path for path in listed if path == file or fnmatchcase(path, file)]
                check_names(matching)
                named = {path: HfFile(path=path) for path in matching}
                chosen = named | chosen
            if not named:
                raise self._absent(file if isinstance(file, str) else file.path, f"{where}.files.{number}", listed)
        total = 0
        for file in chosen.values():
            size = listed[file.path].size_bytes
            first, stop = file.bytes or (0, size)
            total += stop - first
            if stop > size:
                message = f"{file.path} has {size} bytes, and bytes up to {stop} are asked for"
                raise WrongPin(f"{where}.files: {message}") if self.commit else Unavailable(message, "changed")
        if total > self.max_bytes:
            message = f"the files have {total} bytes together; at most {self.max_bytes} are fetched"
            if self.commit:
                raise WrongPin(f"{where}.files: {message}; name fewer, or raise max_bytes")
            raise Unavailable(message, "refused")
        return list(chosen.values())

    def _absent(self, path: str, where: str, listed: dict[str, Listed]) -> Exception:
        """A file that is not there: at a commit that is a mistake, for a commit does not lose files."""
        message = f"{path!r} matches no file of {self.repo}; it has {', '.join(list(listed)[:6]) or 'none'}"
        return WrongPin(f"{where}: {message}") if self.commit else Unavailable(message, "gone")

    def _bring(self, store: Store, commit: str, file: HfFile, listed: Listed) -> FolderFile:
        """One file, in the store."""
        known = listed.sha256 if file.bytes is None else None
        if known and file.sha256 not in {None, known}:
            raise Unavailable(f"{file.path}: expected sha256 {file.sha256}, the hub lists {known}", "changed")
        key = f"hf {self.repo_type} {self.repo} {commit} {file.path} {file.bytes}"
        with store.alone(key):  # another audit may want the same file among others
            content = known or store.noted(key)
            if content is None or not store.has(content) or file.sha256 not in {None, content}:
                part = store.part(key)
                got = bring_checked(
                    self._wanted(commit, file, listed), part, lambda got: _mismatch(part, got, file, listed)
                )
                content = store.add(part, got)
                if not known:
                    store.note(key, content)
                tell(file.name, store.blob(content).stat().st_size)
        return FolderFile(path=file.name, content=content, size_bytes=store.blob(content).stat().st_size)

    def _wanted(self, commit: str, file: HfFile, listed: Listed) -> Wanted:
        where = endpoint()
        url = huggingface_hub.hf_hub_url(
            self.repo, file.path, repo_type=self.repo_type, revision=commit, endpoint=where
        )
        _refuse_if_offline(url)
        token = _token(where)
        return Wanted(
            url=url, label=file.name, headers={"Authorization": f"Bearer {token}"} if token else {}, span=file.bytes,
            size_bytes=listed.size_bytes, most_bytes=self.max_bytes,
        )  # fmt: skip

    def _info(self, revision: str, *, files: bool, tries: int | None = None) -> Any:
        """What the hub says of a revision, after a few tries. Raises `Unavailable` and `Unreachable`."""
        where = endpoint()
        _refuse_if_offline(where)
        what = f"{where}: {self.repo}@{revision}"

        def ask() -> Any:
            return huggingface_hub.HfApi(endpoint=where, token=_token(where) or False).repo_info(
                self.repo, revision=revision, repo_type=self.repo_type, timeout=download.TIMEOUT_S, files_metadata=files
            )  # fmt: skip

        def once() -> Any:
            try:
                return within(download.PATIENCE_S, ask)
            except Interrupted:
                raise
            except Exception as error:  # noqa: BLE001 - `_problem` gives back what is not the hub's
                raise _problem(error, what) from None

        return tried(once, f"the hub {what}", tries)


def endpoint() -> str:
    """The hub that is asked: `$HF_ENDPOINT`, read at each call, or the public one."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or DEFAULT_ENDPOINT


def _token(where: str) -> str | None:
    """The user's token, if it may go there: over https, or to this machine."""
    pieces = urlsplit(where)
    if pieces.scheme != "https" and pieces.hostname not in LOOPBACK:
        return None
    return huggingface_hub.get_token()


def _refuse_if_offline(url: str) -> None:
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in _YES:
        raise Unreachable(f"{url}: HF_HUB_OFFLINE is set. Unset it, then run the command again.")


def _problem(error: Exception, what: str) -> Exception:
    """What a failure of the hub's library says: `Unavailable`, `Interrupted`, or, where it is no word of a hub, itself."""
    known = huggingface_hub.errors
    said = printable((str(error) or type(error).__name__).splitlines()[0])[:300]
    if isinstance(error, known.OfflineModeIsEnabled):
        return Unreachable(f"the hub {what}: {said}")
    if isinstance(error, known.HfHubHTTPError):
        status = error.response.status_code
        if status not in STATUS_KINDS:
            return Interrupted(f"HTTP {status}")
        if isinstance(error, known.GatedRepoError):
            return Unavailable(f"HTTP {status} from {what}: gated", "gated")
        if isinstance(error, known.RevisionNotFoundError):
            return Unavailable(f"HTTP {status} from {what}: there is no such revision", "gone")
        private = ": asks for a login: it is private, or gone (a hub says the same of both)" if status == 401 else ""
        return Unavailable(f"HTTP {status} from {what}{private}", STATUS_KINDS[status])
    # The library speaks through httpx or httpx2; both call their errors so.
    of_http = {"HTTPError", "InvalidURL"} & {kind.__name__ for kind in type(error).__mro__}
    if of_http or isinstance(error, (OSError, ValueError, TypeError, KeyError, AttributeError)):  # not what a hub says
        return download.failure_of(error)
    return error


def _mismatch(part: Path, got: str, file: HfFile, listed: Listed) -> str:
    """In what this, of sha256 `got`, is not what was pinned, or what the hub lists; empty when it is."""
    if file.sha256 and got != file.sha256:
        return f"{file.path}: expected sha256 {file.sha256}, the hub now gives {got}"
    if file.bytes or got == listed.sha256:
        return ""
    if listed.sha256:
        return f"{file.path}: the hub lists sha256 {listed.sha256} and gives {got}"
    if listed.blob and (blob := _blob_id(part)) != listed.blob:
        return f"{file.path}: the hub lists the blob {listed.blob} and gives {blob}"
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
