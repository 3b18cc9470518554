"""Where do downloads go, so that a second audit downloads nothing? Into a content-addressed store, by sha256.

    blobs/<sha256>            the file as published
    trees/<sha256>-<format>/  the same, unpacked; its `.complete` file is written last
    parts/                    unfinished downloads
    ranges/                   pieces of large files (sources/ranges.py)
    git/                      clones without the files' contents (sources/git.py)
    listings/                 the files of a hub's commits
    locks/                    who is bringing what
    files/                    which digest a file of a hub's commit has
    seen.json                 which source gave which digest, and when first
    answers.json              what each source answers, and since when

A folder of a release (a git tree, files of a hub) is a blob too: a manifest, the list of its files with their digests. Its
sha256 says everything that is in the folder; unpacking it links the files' blobs together.

Unpacking refuses what a hostile archive may hold: absolute names, `..`, links, devices, bombs. Nothing of it is executed.
"""

from __future__ import annotations

import bz2
import errno
import fcntl
import gzip
import hashlib
import json
import lzma
import os
import shutil
import subprocess
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from filelock import FileLock

from openassay.faults import Fault
from openassay.provenance import now
from openassay.records import adapter, file_digest, to_plain, write_text


def check_glob(glob: str) -> str:
    """A glob that stays inside an archive, as it is; ValueError otherwise."""
    parts = glob.split("/")
    if {"", ".", ".."} & set(parts) or any("**" in part and part != "**" for part in parts) or "\0" in glob:
        raise ValueError(f"{glob!r} is not a glob inside an archive: relative, names between single /, no . or ..")
    return glob


MAX_FILES = 200_000
MAX_UNPACKED_BYTES = 16 * 2**30
MAX_HEADER_BYTES = 2**20
"""Of one member of a tar, with its long name and its attributes: all of it is read into memory."""
MAX_HEADERS_BYTES = 512 * 2**20
"""Of all members of a tar together."""
MAX_RATIO = 200
"""Unpacked over packed size, above which an archive of more than 100 MB unpacked is refused as a bomb."""


LINKED_BYTES = 2**20
"""Files of a folder at least this large are hard links of their blobs, smaller ones are copies: a checkpoint is not kept
twice, and the many small files that releases share do not share an inode, whose dates would tell of changes elsewhere."""


_DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError,
    ValueError, OverflowError,  # tarfile: a header holds what is no number, or a number beyond all files
    RuntimeError, NotImplementedError,  # zipfile: a member is encrypted, or compressed in an unknown way
)  # fmt: skip
_CLASHING = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}
"""What the system says when a member is both a file and a folder, or its name is too long."""


class RefusedArchive(Exception):
    """The archive holds something that we do not unpack. A finding about the release, not a fault."""


class DamagedStore(Fault):
    """A file in the store is not what its name says."""


@dataclass(frozen=True, kw_only=True)
class FolderFile:
    """One file of a folder: `content` is its blob's sha256."""

    path: str
    content: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Something in a published folder that is no content of its own: `what` is a link, a submodule, or a Git LFS pointer."""

    path: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All that a published folder holds. Equal folders have equal manifests, whatever their source and dates."""

    files: tuple[FolderFile, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(file.size_bytes for file in self.files)

    def notes(self) -> tuple[str, ...]:
        """What was left out, in a line for each kind of it."""
        kinds = dict.fromkeys(out.what for out in self.left_out)
        return tuple(self._note(kind, [out.path for out in self.left_out if out.what == kind]) for kind in kinds)

    def _note(self, kind: str, paths: list[str]) -> str:
        more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
        return f"{len(paths)} {kind}{'s' if len(paths) > 1 else ''}: {', '.join(paths[:3])}{more}"


@dataclass(frozen=True)
class Store:
    """A content-addressed store below one folder."""

    folder: Path

    def blob(self, sha256: str) -> Path:
        """The path of a stored file."""
        return self.folder / "blobs" / sha256

    def has(self, sha256: str) -> bool:
        """Is this file here?"""
        return self.blob(sha256).is_file()

    def part(self, key: str) -> Path:
        """Where an unfinished download waits to be resumed."""
        path = self.folder / "parts" / hashlib.sha256(key.encode()).hexdigest()
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def add(self, path: Path, sha256: str | None = None) -> str:
        """Take a finished file into the store (it is moved); gives its sha256, which the caller may know already."""
        sha256 = sha256 or file_digest(path)
        blob = self.blob(sha256)
        blob.parent.mkdir(parents=True, exist_ok=True)
        if blob.exists():
            path.unlink()
        else:
            os.replace(path, blob)
            blob.chmod(0o444)
        return sha256

    def add_folder(self, files: Iterable[FolderFile], left_out: Iterable[LeftOut] = ()) -> str:
        """Take a folder whose files are in the store already; gives the sha256 of its manifest. Raises `RefusedArchive`."""
        manifest = Manifest(
            files=tuple(sorted(files, key=lambda file: file.path)),
            left_out=tuple(sorted(left_out, key=lambda out: out.path)),
        )
        check_names([file.path for file in manifest.files])
        part = self.part(f"manifest {os.getpid()} {threading.get_ident()}")
        write_text(part, json.dumps(to_plain(manifest), indent=1, ensure_ascii=True, allow_nan=False) + "\n")
        return self.add(part)

    def manifest(self, sha256: str) -> Manifest:
        """What a stored folder holds."""
        blob = self.blob(sha256)
        if file_digest(blob) != sha256:
            raise self._damaged(blob)
        found: Manifest = adapter(Manifest).validate_json(blob.read_bytes(), strict=True, extra="forbid")
        return found

    def has_folder(self, sha256: str) -> bool:
        """Are this folder and all of its files here?"""
        return self.has(sha256) and all(self.has(file.content) for file in self.manifest(sha256).files)

    def _damaged(self, blob: Path) -> DamagedStore:
        blob.unlink()
        return DamagedStore(f"{blob}: damaged, removed; run the same command again")

    @contextmanager
    def alone(self, key: str) -> Iterator[None]:
        """Is nobody else on this machine bringing the same? Two audits at once must not write one part together."""
        path = self.folder / "locks" / hashlib.sha256(key.encode()).hexdigest()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as lock:  # closing it gives the lock back; FileLock takes ten times as long
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def named(self, sha256: str, filename: str) -> Path:
        """The stored file under its published name (a hard link), for tools that read meaning into names."""
        folder = self.folder / "named" / sha256
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / PurePosixPath(filename).name
        if not path.exists():
            with FileLock(folder / ".lock"):
                if not path.exists():
                    os.link(self.blob(sha256), path)
        return path

    def note(self, key: str, sha256: str) -> None:
        """Keep the digest of one file of many, without a time: `seen.json` would be written anew for each."""
        path = self._note(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(sha256, encoding="ascii")

    def noted(self, key: str) -> str | None:
        """The digest that was noted, if the file of that digest is here."""
        try:
            sha256 = self._note(key).read_text(encoding="ascii")
        except FileNotFoundError:
            return None
        return sha256 if len(sha256) == 64 and self.has(sha256) else None  # shorter: it was being written in a crash

    def _note(self, key: str) -> Path:
        return self.folder / "files" / hashlib.sha256(key.encode()).hexdigest()

    def remember(self, source: str, sha256: str) -> str:
        """When did this source first give this digest? Recorded on first sight; gives that time."""
        path = self.folder / "seen.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "seen.lock"):
            seen: dict[str, dict[str, str]] = json.loads(path.read_text()) if path.exists() else {}
            times = seen.setdefault(source, {})
            if sha256 not in times:
                times[sha256] = now()
                write_text(path, json.dumps(seen, indent=1, sort_keys=True))
            return times[sha256]

    def seen(self, source: str) -> dict[str, str]:
        """The digests that this source ever gave, with the time of first sight."""
        path = self.folder / "seen.json"
        known: dict[str, dict[str, str]] = json.loads(path.read_text()) if path.exists() else {}
        return known.get(source, {})

    def answered(self, source: str, kind: str) -> str:
        """Since when does this source answer in this way? Kept until it answers in another."""
        path = self.folder / "answers.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "seen.lock"):
            answers: dict[str, list[str]] = json.loads(path.read_text()) if path.exists() else {}
            if answers.get(source, [""])[0] != kind:
                answers[source] = [kind, now()]
                write_text(path, json.dumps(answers, indent=1, sort_keys=True))
            return answers[source][1]

    def tree(self, sha256: str, filename: str) -> Path:
        """The unpacked content of a stored archive. Raises `RefusedArchive`."""
        kind = archive_kind(filename)
        # What is no archive keeps its name in the tree: the same bytes under two names are two trees.
        name = "-" + hashlib.sha256(PurePosixPath(filename).name.encode()).hexdigest()[:16] if kind == "file" else ""
        folder = self.folder / "trees" / f"{sha256}-{kind}{name}"
        complete = folder / ".complete"
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            # Published code runs beside this tree: one that was written to is unpacked anew.
            if not complete.exists() or complete.read_text() != listing_digest(folder / "content"):
                remove_tree(folder)
                content = folder / "content"
                content.mkdir(parents=True)
                if file_digest(self.blob(sha256)) != sha256:
                    raise self._damaged(self.blob(sha256))
                try:
                    if kind == "folder":
                        self._assemble(self.manifest(sha256), content)
                    else:
                        _unpack(self.blob(sha256), kind, filename, content)
                except BaseException:
                    shutil.rmtree(folder, ignore_errors=True)
                    raise
                complete.write_text(listing_digest(content))
        return folder / "content"

    def _assemble(self, manifest: Manifest, content: Path) -> None:
        check_names([file.path for file in manifest.files])
        for file in manifest.files:
            blob, path = self.blob(file.content), content / file.path
            if not blob.is_file():
                raise DamagedStore(f"{blob}: missing; run the fetch stage again")
            if file_digest(blob) != file.content:
                raise self._damaged(blob)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                link_or_copy(blob, path)
            except OSError as error:
                if error.errno in _CLASHING:
                    raise RefusedArchive(f"it cannot be unpacked: {file.path!r}: {error.strerror}") from None
                raise


def link_or_copy(blob: Path, path: Path) -> None:
    """A stored file at another path: a hard link when it is large and the system allows it, else a copy."""
    if blob.stat().st_size >= LINKED_BYTES:
        try:
            os.link(blob, path)
        except OSError as error:
            if error.errno not in {errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP}:
                raise
        else:
            return
    shutil.copyfile(blob, path)


Listing = dict[str, tuple[int, int]]


def listing(folder: Path) -> Listing:
    """What is below a folder? Size and time of change (ns) of everything in it, by name: a tripwire, not a proof.

    Of a hard link it is the time when the content changed: the other changes when somebody links the same file elsewhere.
    """
    found: Listing = {}
    folders = [""]
    while folders:
        inside = folders.pop()
        try:
            with os.scandir(f"{folder}/{inside}") as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    is_folder = entry.is_dir(follow_symlinks=False)
                    shared = status.st_nlink > 1 and not is_folder
                    found[inside + entry.name] = (status.st_size, status.st_mtime_ns if shared else status.st_ctime_ns)
                    if is_folder:
                        folders.append(f"{inside}{entry.name}/")
        except OSError as error:  # too deep, or closed to us: not as it was made
            found[inside] = (-1, error.errno or 0)
    return found


def listing_digest(folder: Path) -> str:
    """sha256 over a folder's listing."""
    return hashlib.sha256(repr(sorted(listing(folder).items())).encode()).hexdigest()


def remove_tree(folder: Path) -> None:
    """Remove a folder that published code wrote to; it may be deeper than shutil.rmtree can go."""
    subprocess.run(["rm", "-rf", "--", str(folder)], check=False, stderr=subprocess.DEVNULL)


def archive_kind(filename: str) -> str:
    """How is a file of this name packed? `zip`, `tar`, `deb`, `file` (not an archive) or `folder` (a manifest).

    Only a name that ends in `/` is a folder's, and no source takes such a name from a stranger: a published file must not be
    able to pass for a manifest, which may name any blob of this machine.
    """
    if filename.endswith("/"):
        return "folder"
    name = filename.lower()
    if name.endswith((".whl", ".zip")):
        return "zip"
    if name.endswith((".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")):
        return "tar"
    return "deb" if name.endswith(".deb") else "file"


def _unpack(blob: Path, kind: str, filename: str, content: Path) -> None:
    packed = blob.stat().st_size
    try:
        if kind == "zip":
            with zipfile.ZipFile(blob) as archive:
                members = archive.infolist()
                _check([(m.filename, m.file_size) for m in members], packed)
                link = next((m for m in members if (m.external_attr >> 16) & 0o170000 == 0o120000), None)
                if link:
                    raise RefusedArchive(f"{link.filename!r} is a symbolic link")
                archive.extractall(content)  # noqa: S202 - names and sizes were checked above
        elif kind == "tar":
            _unpack_tar(blob, packed, content)
        elif kind == "deb":
            with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(blob)], stdout=subprocess.PIPE) as process:
                plain = content.parent / "payload.tar"
                with plain.open("wb") as file:
                    assert process.stdout is not None  # noqa: S101 - PIPE was asked for
                    while chunk := process.stdout.read(1 << 20):
                        file.write(chunk)
                        _check_size(file.tell(), packed)
            if process.returncode != 0:
                raise RefusedArchive("dpkg-deb cannot read it")
            _unpack_tar(plain, packed, content)
            plain.unlink()
        else:
            shutil.copyfile(blob, content / PurePosixPath(filename).name)
    except _DAMAGED as error:
        raise RefusedArchive(f"it cannot be unpacked: {_first_line(error)}") from None
    except OSError as error:
        if error.errno in _CLASHING or error.errno is None:  # None: what the decompressors say of bad data
            raise RefusedArchive(f"it cannot be unpacked: {error.strerror or _first_line(error)}") from None
        raise


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(":")


class _Headers:
    """A tar's content as tarfile reads its headers: what it wants at once is bounded, for it keeps all of that."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.of_member, self.of_all = stream, 0, 0
        self.seek, self.tell, self.close = stream.seek, stream.tell, stream.close

    def read(self, size: int) -> bytes:
        self.of_member += size
        self.of_all += size
        if self.of_member > MAX_HEADER_BYTES or self.of_all > MAX_HEADERS_BYTES:
            raise RefusedArchive(f"it has headers of more than {MAX_HEADER_BYTES} bytes, or too many of them")
        return self.stream.read(size)


def _decompressed(blob: Path) -> IO[bytes]:
    with blob.open("rb") as file:
        start = file.read(6)
    openers: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
    opener = next((opener for magic, opener in openers.items() if start.startswith(magic)), open)
    stream: IO[bytes] = opener(blob, "rb")
    return stream


def _unpack_tar(blob: Path, packed: int, content: Path) -> None:
    with _decompressed(blob) as stream:
        headers = _Headers(stream)
        with tarfile.open(fileobj=headers, mode="r:") as archive:  # type: ignore[call-overload]
            members = _members(archive, headers, packed)
            # On to the end, where a compressed file has its checksum.
            total = sum(member.size for member in members)
            while chunk := stream.read(1 << 20):
                total += len(chunk)
                _check_size(total, packed)
            archive.fileobj = stream
            for member in members:
                # Links are left out, not followed: nothing that we read needs them.
                if member.isfile() or member.isdir():
                    archive.extract(member, content, filter="data")


def _members(archive: tarfile.TarFile, headers: _Headers, packed: int) -> list[tarfile.TarInfo]:
    members = []
    total = 0
    for member in archive:  # checked one by one: to list all of a bomb takes all of the memory
        members.append(member)
        headers.of_member = 0
        total += member.size
        _check_size(total, packed)
        if len(members) > MAX_FILES:
            break
    _check([(m.name, m.size) for m in members], packed)
    odd = next((m for m in members if not (m.isfile() or m.isdir() or m.issym() or m.islnk())), None)
    if odd:
        raise RefusedArchive(f"{odd.name!r} is a device or a pipe")
    return members


def _check(members: list[tuple[str, int]], packed: int) -> None:
    _check_size(sum(size for _, size in members), packed)
    check_names([name for name, _ in members])


def check_names(names: list[str]) -> None:
    """May files of these names be unpacked together? Raises `RefusedArchive`."""
    if len(names) > MAX_FILES:
        raise RefusedArchive(f"it holds more than {MAX_FILES} files")
    for name in names:
        path = PurePosixPath(name)
        odd = "\\" in name or any(letter < " " or "\ud800" <= letter <= "\udfff" for letter in name)
        if path.is_absolute() or ".." in path.parts or odd:
            raise RefusedArchive(f"it holds the name {name!r}")


def _check_size(unpacked: int, packed: int) -> None:
    if unpacked > MAX_UNPACKED_BYTES or (unpacked > 100 * 2**20 and unpacked > MAX_RATIO * packed):
        raise RefusedArchive(f"it unpacks to {unpacked} bytes or more from {packed}")


def files_below(folder: Path) -> Iterator[Path]:
    """The regular files below a folder, sorted by name; links are passed over."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path


def payload_digest(root: Path, include: tuple[str, ...]) -> str:
    """sha256 of what files *say*, however they were packed.

    Over the sorted lines `<sha256 of content>  <name>` of the files below `root` that match a glob of `include`, where a
    `.gz` file counts as its decompressed content under its name without `.gz`: a recompressed archive gives the same digest.
    """
    lines = []
    for path in files_below(root):
        name = path.relative_to(root).as_posix()
        if not any(PurePosixPath(name).match(glob) for glob in include):
            continue
        if name.endswith(".gz"):
            content = hashlib.sha256()
            try:
                with gzip.open(path) as file:
                    while chunk := file.read(1 << 20):
                        content.update(chunk)
            except (gzip.BadGzipFile, zlib.error, EOFError) as error:
                raise RefusedArchive(f"{name!r} cannot be decompressed: {_first_line(error)}") from None
            lines.append(f"{content.hexdigest()}  {name.removesuffix('.gz')}")
        else:
            lines.append(f"{file_digest(path)}  {name}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
