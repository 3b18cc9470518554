"""A content-addressed store of downloads, by sha256, so that a second audit downloads nothing.

    blobs/<sha256>            the file as published
    trees/<sha256>-<format>/  the same, unpacked; its `.complete` file is written last
    parts/                    unfinished downloads
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
import stat
import struct
import subprocess
import sys
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from filelock import FileLock
from pydantic import ValidationError

from openassay.faults import Fault, counted, naming
from openassay.provenance import now
from openassay.records import adapter, file_digest, to_plain, write_text

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


def check_glob(glob: str) -> str:
    """A glob that stays inside an archive, as it is; ValueError otherwise."""
    parts = glob.split("/")
    if {"", ".", ".."} & set(parts) or any("**" in part and part != "**" for part in parts) or "\0" in glob:
        raise ValueError(f"{glob!r} is not a glob inside an archive: relative, names between single /, no . or ..")
    return glob


_DATES: dict[str, Any] = {"seen.json": dict[str, dict[str, str]], "answers.json": dict[str, tuple[str, str]]}
"""What the files of dates hold, by source: digests with their time, or an answer with its."""


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
        paths: dict[str, list[str]] = {}
        for out in self.left_out:
            paths.setdefault(out.what, []).append(out.path)
        return tuple(
            f"{counted(len(of), what)}: {', '.join(of[:3])}{f' and {len(of) - 3} more' if len(of) > 3 else ''}"
            for what, of in paths.items()
        )


@dataclass(frozen=True)
class Store:
    """A content-addressed store below one folder."""

    folder: Path

    def blob(self, sha256: str) -> Path:
        """The path of a stored file."""
        return self.folder / "blobs" / sha256

    def has(self, sha256: str) -> bool:
        """Whether this file is here."""
        return self.blob(sha256).is_file()

    def part(self, key: str) -> Path:
        """Where an unfinished download waits to be resumed."""
        return self._place("parts", key)

    def _place(self, folder: str, key: str) -> Path:
        """The path of what a key names, in a folder that is there."""
        (self.folder / folder).mkdir(parents=True, exist_ok=True)
        return self.folder / folder / hashlib.sha256(key.encode()).hexdigest()

    def add(self, path: Path, sha256: str | None = None) -> str:
        """Take a finished file into the store (it is moved); returns its sha256, which the caller may know already."""
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
        """Take a folder whose files are in the store already; returns the sha256 of its manifest. Raises `RefusedArchive`."""
        manifest = Manifest(
            files=tuple(sorted(files, key=lambda file: file.path)),
            left_out=tuple(sorted(left_out, key=lambda out: out.path)),
        )
        check_names([file.path for file in manifest.files])
        part = self.part(f"manifest {os.getpid()} {threading.get_ident()}")
        write_text(part, json.dumps(to_plain(manifest), indent=1, ensure_ascii=True, allow_nan=False) + "\n")
        return self.add(part)

    def checked(self, sha256: str) -> Path:
        """The path of a stored file that still is what its name says; `DamagedStore` otherwise, and it is removed."""
        blob = self.blob(sha256)
        if not blob.is_file():
            raise DamagedStore(f"{blob}: missing; run the fetch stage again")
        if file_digest(blob) != sha256:
            blob.unlink()
            raise DamagedStore(f"{blob}: damaged, removed. Run the command again.")
        return blob

    def manifest(self, sha256: str) -> Manifest:
        """What a stored folder holds."""
        data = self.checked(sha256).read_bytes()
        found: Manifest = adapter(Manifest).validate_json(data, strict=True, extra="forbid")
        return found

    def has_folder(self, sha256: str) -> bool:
        """Whether this folder and all of its files are here."""
        return self.has(sha256) and all(self.has(file.content) for file in self.manifest(sha256).files)

    @contextmanager
    def alone(self, key: str) -> Iterator[None]:
        """Hold the download lock for `key`: two audits at once must not write one part together."""
        with self._place("locks", key).open("ab") as lock:  # closing it frees it; FileLock takes ten times as long
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def named(self, sha256: str, filename: str) -> Path:
        """The stored file under its published name (a hard link), for tools that read meaning into names."""
        path = self.folder / "named" / sha256 / PurePosixPath(filename).name
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.link(self.blob(sha256), path)
        return path

    def note(self, key: str, sha256: str) -> None:
        """Keep the digest of one file of many, without a time: `seen.json` would be written anew for each."""
        self._place("files", key).write_text(sha256, encoding="ascii")

    def noted(self, key: str) -> str | None:
        """The digest that was noted, if the file of that digest is here."""
        try:
            sha256 = self._place("files", key).read_text(encoding="ascii")
        except FileNotFoundError:
            return None
        return sha256 if len(sha256) == 64 and self.has(sha256) else None  # shorter: it was being written in a crash

    def remember(self, source: str, sha256: str) -> str:
        """The time when this source first gave this digest: now, where it is new."""
        with self._to_write("seen.json") as seen:
            times: dict[str, str] = seen.setdefault(source, {})
            if sha256 not in times:
                times[sha256] = now()
            return times[sha256]

    def seen(self, source: str) -> dict[str, str]:
        """The digests that this source ever gave, with the time of first sight."""
        with self._to_write("seen.json") as seen:
            known: dict[str, str] = seen.get(source, {})
            return known

    def answered(self, source: str, kind: str) -> str:
        """The time since when this source answers in this way: kept until it answers in another."""
        with self._to_write("answers.json") as answers:
            if answers.get(source, ("", ""))[0] != kind:
                answers[source] = kind, now()
            since: str = answers[source][1]
            return since

    def _read(self, name: str) -> dict[str, Any]:
        """What a JSON file of the store says; nothing where it is damaged, and then it is put aside."""
        path = self.folder / name
        try:
            found: dict[str, Any] = adapter(_DATES[name]).validate_json(path.read_bytes(), strict=True)
        except FileNotFoundError:
            return {}
        except ValidationError:
            os.replace(path, aside := path.with_suffix(".damaged"))
            lost = "the dates of what was seen before are lost, and begin anew"
            print(f"warning: {path}: damaged, kept as {aside.name}; {lost}", file=sys.stderr)
            return {}
        return found

    @contextmanager
    def _to_write(self, name: str) -> Iterator[dict[str, Any]]:
        """What a JSON file of the store says; what the block changes of it is written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "seen.lock"):
            data, before = self._read(name), self._read(name)
            yield data
            if data != before:
                write_text(self.folder / name, json.dumps(data, indent=1, sort_keys=True))

    def tree(self, sha256: str, filename: str) -> Path:
        """The unpacked content of a stored archive. Raises `RefusedArchive`."""
        kind = archive_kind(filename)
        # What is no archive keeps its name in the tree: the same bytes under two names are two trees.
        name = "-" + hashlib.sha256(PurePosixPath(filename).name.encode()).hexdigest()[:16] if kind == "file" else ""
        folder = self.folder / "trees" / f"{sha256}-{kind}{name}"
        content, complete = folder / "content", folder / ".complete"
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            # Published code runs beside this tree: one that was written to is unpacked anew.
            if complete.exists() and complete.read_text() == listing_digest(content):
                return content
            remove_tree(folder)
            blob = self.checked(sha256)
            content.mkdir(parents=True)
            try:
                with naming(content):
                    if kind == "folder":
                        self._assemble(self.manifest(sha256), content)
                    else:
                        _unpack(blob, kind, filename, content)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            complete.write_text(listing_digest(content))
        return content

    def _assemble(self, manifest: Manifest, content: Path) -> None:
        check_names([file.path for file in manifest.files])
        for file in manifest.files:
            blob, path = self.checked(file.content), content / file.path
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
    """Size and time of change (ns) of everything below a folder, by name: a tripwire, not a proof.

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


def copy_tree(source: Path, copy: Path) -> None:
    """Copy a file or a folder with its dates; without hard links, through which a run could write to the source."""
    command = ["cp", "-a", "--reflink=auto", "--", str(source), str(copy)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise Fault(f"{copy}: {made.stderr.strip()[:300]}")


def remove_tree(folder: Path) -> None:
    """Remove a folder that published code wrote to; it may be deeper than shutil.rmtree can go."""
    subprocess.run(["rm", "-rf", "--", str(folder)], check=False, stderr=subprocess.DEVNULL)


def archive_kind(filename: str) -> str:
    """How a file of this name is packed: `zip`, `tar`, `deb`, `file` (not an archive) or `folder` (a manifest).

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
            with opened_zip(blob) as archive:
                members = archive.infolist()
                _check_size(sum(member.file_size for member in members), packed)
                check_names([member.filename for member in members])
                if outside := [m.filename for m in members if m.header_offset < 0]:
                    raise RefusedArchive(f"it cannot be unpacked: {outside[0]!r} lies before its beginning")
                if links := [m.filename for m in members if stat.S_ISLNK(m.external_attr >> 16)]:
                    raise RefusedArchive(f"{links[0]!r} is a symbolic link")
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


class _Directory:
    """A zip as zipfile reads its directory, which it keeps as a whole: too many members are refused before it does."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.seek, self.tell, self.close = stream.seek, stream.tell, stream.close

    def read(self, size: int = -1) -> bytes:
        if size > MAX_HEADERS_BYTES:
            raise RefusedArchive(f"its directory has more than {MAX_HEADERS_BYTES} bytes")
        data = self.stream.read(size)
        at = count = 0
        while data.startswith(b"PK\1\2", at) and len(data) >= at + 46:
            count += 1
            if count > MAX_FILES:
                raise RefusedArchive(f"it holds more than {MAX_FILES} files")
            at += 46 + sum(struct.unpack_from("<3H", data, at + 28))
        return data


@contextmanager
def opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip, open; `RefusedArchive` for one of more than `MAX_FILES` members, before they are listed."""
    with path.open("rb") as stream, zipfile.ZipFile(cast("IO[bytes]", _Directory(stream))) as archive:
        archive.fp = stream
        yield archive


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
    check_names([member.name for member in members])
    if odd := [m.name for m in members if not (m.isfile() or m.isdir() or m.issym() or m.islnk())]:
        raise RefusedArchive(f"{odd[0]!r} is a device or a pipe")
    return members


def check_names(names: list[str]) -> None:
    """Raise `RefusedArchive` where files of these names may not be unpacked together."""
    if len(names) > MAX_FILES:
        raise RefusedArchive(f"it holds more than {MAX_FILES} files")
    for name in names:
        path = PurePosixPath(name)
        odd = not name or "\\" in name or any(letter < " " or "\ud800" <= letter <= "\udfff" for letter in name)
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
        if any(PurePosixPath(name).match(glob) for glob in include):
            try:
                with gzip.open(path) if name.endswith(".gz") else path.open("rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
            except (gzip.BadGzipFile, zlib.error, EOFError) as error:
                raise RefusedArchive(f"{name!r} cannot be decompressed: {_first_line(error)}") from None
            lines.append(f"{content}  {name.removesuffix('.gz')}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
