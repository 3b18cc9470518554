"""The store keeps what was published, and unpacks nothing that could reach outside its tree."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import shutil
import stat
import struct
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openassay import store as store_module
from openassay.store import (
    DamagedStore,
    FolderFile,
    LeftOut,
    RefusedArchive,
    Store,
    archive_kind,
    check_glob,
    files_below,
    payload_digest,
)

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb builds the package")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def put(store: Store, data: bytes) -> str:
    part = store.part("test")
    part.write_bytes(data)
    return store.add(part)


def everything(folder: Path) -> dict[str, bytes]:
    """Every entry below a folder, with its content: what a later look is compared with."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")
    }


def zip_of(*members: tuple[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return packed.getvalue()


def member(
    name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(data)
    return info, data


def tar_of(*members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:  # type: ignore[call-overload]
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def zip_link(name: str, to: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info


# Files


def test_a_file_is_stored_under_its_sha256_and_cannot_be_written(store: Store) -> None:
    sha256 = put(store, b"content")
    assert sha256 == hashlib.sha256(b"content").hexdigest()
    assert store.has(sha256)
    assert store.blob(sha256).read_bytes() == b"content"
    assert store.blob(sha256).stat().st_mode & 0o222 == 0
    assert not store.part("test").exists()
    assert not store.has("0" * 64)


def test_the_same_file_twice_is_stored_once(store: Store) -> None:
    assert put(store, b"content") == put(store, b"content")
    assert len(list((store.folder / "blobs").iterdir())) == 1
    assert not store.part("test").exists()


def test_parts_of_two_addresses_do_not_meet(store: Store) -> None:
    assert store.part("http://a/x") != store.part("http://b/x")
    assert store.part("http://a/x") == store.part("http://a/x")


def test_a_stored_file_is_had_under_its_published_name_without_a_copy(store: Store) -> None:
    sha256 = put(store, b"content")
    path = store.named(sha256, "demo-1.0-py3-none-any.whl")
    assert path.name == "demo-1.0-py3-none-any.whl"
    assert path.parent.name == sha256
    assert path.samefile(store.blob(sha256))
    assert store.named(sha256, "demo-1.0-py3-none-any.whl") == path
    assert store.named(sha256, "../../other.whl").parent == path.parent


def test_the_time_of_first_sight_is_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(["2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"])
    monkeypatch.setattr(store_module, "now", lambda: next(times))
    assert store.seen("pypi demo 1.0") == {}
    assert store.remember("pypi demo 1.0", "a") == "2024-01-01T00:00:00Z"
    assert store.remember("pypi demo 1.0", "a") == "2024-01-01T00:00:00Z"
    assert store.remember("pypi demo 1.0", "b") == "2025-01-01T00:00:00Z"
    assert Store(store.folder).seen("pypi demo 1.0") == {"a": "2024-01-01T00:00:00Z", "b": "2025-01-01T00:00:00Z"}
    assert store.seen("pypi demo 2.0") == {}


REMEMBER = """
import sys
from pathlib import Path
from openassay.store import Store
for number in range(20):
    Store(Path(sys.argv[1])).remember(sys.argv[2], str(number))
"""


def test_processes_that_remember_at_the_same_time_lose_nothing(store: Store) -> None:
    names = ["source 1", "source 2"]
    workers = [subprocess.Popen([sys.executable, "-c", REMEMBER, str(store.folder), name]) for name in names]
    assert [worker.wait(60) for worker in workers] == [0, 0]
    assert [len(store.seen(name)) for name in names] == [20, 20]


@pytest.mark.parametrize(
    "damaged", [b'{"git x": {"aa', b"", b"[]", b"\xff", b'{"git x": 3}', b'{"git x": {"aa": 3}}', b"[" * 10**5]
)
def test_damaged_dates_begin_anew_with_a_warning_and_stop_no_audit(
    store: Store, damaged: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    store.folder.mkdir()
    for name in ("seen.json", "answers.json"):
        (store.folder / name).write_bytes(damaged)
    assert store.seen("git x") == {}
    since = store.answered("git x", "gone")
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(" the dates")[0] for line in said] == [
        f"warning: {store.folder / name}.json: damaged, kept as {name}.damaged;" for name in ("seen", "answers")
    ]
    first = store.remember("git x", "a" * 64)
    assert Store(store.folder).seen("git x") == {"a" * 64: first}
    assert store.answered("git x", "gone") == since
    assert (store.folder / "seen.damaged").read_bytes() == damaged
    assert capsys.readouterr().err == ""


# Trees


@pytest.mark.parametrize(
    ("filename", "kind"),
    [
        ("demo-1.0-py3-none-any.whl", "zip"), ("a.ZIP", "zip"), ("a.tar", "tar"), ("a.tar.gz", "tar"), ("a.tgz", "tar"),
        ("a.tar.xz", "tar"), ("a.TAR.BZ2", "tar"), ("a.deb", "deb"), ("a.csv", "file"), ("a.gz", "file"), ("zip", "file"),
        ("weights.safetensors", "file"),
    ],
)  # fmt: skip
def test_the_name_says_how_a_file_is_packed(filename: str, kind: str) -> None:
    assert archive_kind(filename) == kind


FILES = [member("top/a.txt", b"a"), member("top/deep/b.bin", b"\x00\xff" * 1000), member("c", b"")]
PACKED: dict[str, Callable[[], bytes]] = {
    "x.zip": lambda: zip_of(*((info.name, data) for info, data in FILES)),
    "x.whl": lambda: zip_of(*((info.name, data) for info, data in FILES), compression=zipfile.ZIP_STORED),
    "x.tar": lambda: tar_of(*FILES),
    "x.tar.gz": lambda: tar_of(*FILES, mode="w:gz"),
    "x.tgz": lambda: tar_of(*FILES, mode="w:gz"),
    "x.tar.xz": lambda: tar_of(*FILES, mode="w:xz"),
    "x.tar.bz2": lambda: tar_of(*FILES, mode="w:bz2"),
}


@pytest.mark.parametrize("filename", PACKED)
def test_an_archive_unpacks_to_its_files(store: Store, filename: str) -> None:
    tree = store.tree(put(store, PACKED[filename]()), filename)
    found = {path.relative_to(tree).as_posix(): path.read_bytes() for path in files_below(tree)}
    assert found == {info.name: data for info, data in FILES}


def test_a_file_that_is_no_archive_is_a_tree_of_one_file_under_each_of_its_names(store: Store) -> None:
    sha256 = put(store, b"1,2\n")
    for name in ("a.csv", "b.csv"):
        assert [path.name for path in files_below(store.tree(sha256, name))] == [name]
    assert [path.name for path in files_below(store.tree(sha256, "../../c.csv"))] == ["c.csv"]


def test_a_tree_is_unpacked_once(store: Store) -> None:
    sha256 = put(store, PACKED["x.zip"]())
    tree = store.tree(sha256, "x.zip")
    before = (tree / "top" / "a.txt").stat()
    assert store.tree(sha256, "x.zip") == tree
    after = (tree / "top" / "a.txt").stat()
    assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)


def test_a_tree_that_was_not_finished_is_unpacked_anew(store: Store) -> None:
    sha256 = put(store, PACKED["x.zip"]())
    tree = store.tree(sha256, "x.zip")
    (tree.parent / ".complete").unlink()  # as after a kill in the middle
    (tree / "top" / "a.txt").write_bytes(b"half")
    (tree / "left over").touch()
    assert (store.tree(sha256, "x.zip") / "top" / "a.txt").read_bytes() == b"a"
    assert not (tree / "left over").exists()


def test_a_damaged_file_is_removed_and_named_and_can_be_fetched_again(store: Store) -> None:
    data = PACKED["x.zip"]()
    sha256 = put(store, data)
    store.blob(sha256).chmod(0o644)
    store.blob(sha256).write_bytes(data[:-10])
    with pytest.raises(DamagedStore, match=f"{sha256}: damaged, removed. Run the command again"):
        store.tree(sha256, "x.zip")
    assert not store.has(sha256)
    assert put(store, data) == sha256
    assert (store.tree(sha256, "x.zip") / "top" / "a.txt").read_bytes() == b"a"


def test_unpacked_files_can_be_read_whatever_their_mode_says(store: Store) -> None:
    info, data = member("locked/file", b"x")
    info.mode = 0o000
    folder, _ = member("locked", kind=tarfile.DIRTYPE)
    folder.mode = 0o000
    tree = store.tree(put(store, tar_of((folder, b""), (info, data))), "x.tar")
    assert (tree / "locked").stat().st_mode & 0o500 == 0o500
    assert (tree / "locked" / "file").stat().st_mode & 0o400


def test_an_unpacked_file_is_never_setuid(store: Store) -> None:
    info, data = member("tool", b"x")
    info.mode = 0o6777
    tree = store.tree(put(store, tar_of((info, data))), "x.tar")
    assert (tree / "tool").stat().st_mode & 0o7022 == 0


# Hostile archives

ODD_NAMES = ["../x", "a/../../x", "/tmp/openassay-escape", "..", "a\\b", "..\\x", "a\nb", "a\x01"]  # noqa: S108
ZIP_BOMB = 120 * 2**20


def _zeros(size: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("zeros", "w") as file:
        for _ in range(size // 2**20):
            file.write(bytes(2**20))
    return packed.getvalue()


def _encrypted() -> bytes:
    data = bytearray(zip_of(("secret.txt", b"x" * 50)))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + flags] |= 1
    return bytes(data)


def _unknown_compression() -> bytes:
    data = bytearray(zip_of(("a.txt", b"x" * 50)))
    for signature, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        place = data.index(signature) + method
        data[place : place + 2] = (97).to_bytes(2, "little")
    return bytes(data)


def _lying_size() -> bytes:
    """A member that says that it is ten bytes and holds a million."""
    data = bytearray(zip_of(("a.txt", b"x" * 1_000_000)))
    for signature, size in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = data.index(signature) + size
        data[place : place + 4] = (10).to_bytes(4, "little")
    return bytes(data)


def _pax(records: bytes, data: bytes = b"", size: int | None = None) -> bytes:
    """A tar of one member with these attributes."""
    header, info = tarfile.TarInfo("attributes"), tarfile.TarInfo("a")
    header.type, header.size, info.size = tarfile.XHDTYPE, len(records) if size is None else size, len(data)
    blocks = [header.tobuf(), records, bytes(-len(records) % 512), info.tobuf(), data, bytes(-len(data) % 512)]
    return b"".join(blocks) + bytes(1024)


def _record(key: bytes, value: bytes) -> bytes:
    length = next(n for n in range(10_000_000) if n == len(b"%d %s=%s\n" % (n, key, value)))
    return b"%d %s=%s\n" % (length, key, value)


SPARSE = _record(b"GNU.sparse.major", b"1") + _record(b"GNU.sparse.minor", b"0") + _record(b"GNU.sparse.name", b"a")
SPARSE += _record(b"GNU.sparse.realsize", b"9")


def _flipped(data: bytes, start: int, count: int = 40) -> bytes:
    return data[:start] + bytes(255 - byte for byte in data[start : start + count]) + data[start + count :]


NOISE = hashlib.shake_128(b"noise").digest(100_000)
MORE_NOISE = hashlib.shake_128(b"noise").digest(1_200_000)
TAR_GZ = tar_of(member("a", NOISE), mode="w:gz")

# (id, file name, content, what the refusal must name)
HOSTILE: list[tuple[str, str, Callable[[], bytes], str]] = [
    *[(f"zip name {name!r}", "x.zip", lambda name=name: zip_of(("good", b"x"), (name, b"x")), repr(name)) for name in ODD_NAMES],  # type: ignore[misc]
    *[(f"tar name {name!r}", "x.tar", lambda name=name: tar_of(member("good"), member(name, b"x")), repr(name)) for name in ODD_NAMES],  # type: ignore[misc]
    ("tar name that is not UTF-8", "x.tar", lambda: tar_of(member("caf\udce9", b"x")), r"'caf\udce9'"),
    ("zip symlink", "x.whl", lambda: zip_of((zip_link("away", "/etc"), b"/etc"), ("away/passwd", b"x")), "'away' is a symbolic link"),
    ("zip bomb", "x.zip", lambda: _zeros(ZIP_BOMB), f"it unpacks to {ZIP_BOMB} bytes"),
    ("tar bomb", "x.tar.gz", lambda: tar_of(member("zeros", bytes(ZIP_BOMB)), mode="w:gz"), f"it unpacks to {ZIP_BOMB} bytes"),
    ("tar character device", "x.tar", lambda: tar_of(member("null", kind=tarfile.CHRTYPE)), "'null' is a device or a pipe"),
    ("tar block device", "x.tar", lambda: tar_of(member("disk", kind=tarfile.BLKTYPE)), "'disk' is a device or a pipe"),
    ("tar pipe", "x.tar", lambda: tar_of(member("good"), member("pipe", kind=tarfile.FIFOTYPE)), "'pipe' is a device or a pipe"),
    ("zip file that is a folder too", "x.zip", lambda: zip_of(("a", b"x"), ("a/b", b"x")), "cannot be unpacked"),
    ("tar file that is a folder too", "x.tar", lambda: tar_of(member("a", b"x"), member("a/b", b"x")), "cannot be unpacked"),
    ("tar folder that is a file too", "x.tar", lambda: tar_of(member("a/b", b"x"), member("a", b"x")), "cannot be unpacked"),
    ("zip name too long", "x.zip", lambda: zip_of(("n" * 300, b"x")), "cannot be unpacked"),
    ("tar name too long", "x.tar", lambda: tar_of(member("n" * 300, b"x")), "cannot be unpacked"),
    ("zip that is encrypted", "x.zip", _encrypted, "encrypted"),
    ("zip compressed in an unknown way", "x.zip", _unknown_compression, "compression"),
    ("zip that lies about a size", "x.zip", _lying_size, "cannot be unpacked"),
    ("zip that is no zip", "x.zip", lambda: b"<html>404</html>", "cannot be unpacked"),
    ("zip that is empty", "x.zip", lambda: b"", "cannot be unpacked"),
    ("zip cut short", "x.zip", lambda: zip_of(("a", NOISE))[:-200], "cannot be unpacked"),
    ("zip with damaged content", "x.zip", lambda: _flipped(zip_of(("a", b"abc" * 9000)), 31, 1), "cannot be unpacked"),
    ("zip with another checksum", "x.zip", lambda: _flipped(zip_of(("a", NOISE), compression=zipfile.ZIP_STORED), 500, 1), "'a'"),
    ("tar that is no tar", "x.tar", lambda: b"<html>404</html>" * 100, "cannot be unpacked"),
    ("tar that is empty", "x.tar", lambda: b"", "cannot be unpacked"),
    ("tar cut short", "x.tar", lambda: tar_of(member("a", NOISE))[:5000], "cannot be unpacked"),
    ("tar.gz that is no gz", "x.tar.gz", lambda: b"<html>404</html>" * 100, "cannot be unpacked"),
    ("tar.gz cut short", "x.tar.gz", lambda: TAR_GZ[:5000], "cannot be unpacked"),
    ("tar.gz with damaged content", "x.tar.gz", lambda: _flipped(TAR_GZ, 300), "cannot be unpacked"),
    ("tar.xz cut short", "x.tar.xz", lambda: tar_of(member("a", NOISE), mode="w:xz")[:5000], "cannot be unpacked"),
    ("tar.xz with damaged content", "x.tar.xz", lambda: _flipped(tar_of(member("a", NOISE), mode="w:xz"), 300), "cannot be unpacked"),
    ("tar.xz with damage farther in", "x.tar.xz", lambda: _flipped(tar_of(member("a", NOISE), member("b", NOISE), mode="w:xz"), 90_000), "cannot be unpacked"),
    ("tar.bz2 with damage farther in", "x.tar.bz2", lambda: _flipped(tar_of(member("a", MORE_NOISE), mode="w:bz2"), 950_000), "cannot be unpacked"),
    ("tar.bz2 cut short", "x.tar.bz2", lambda: tar_of(member("a", NOISE), mode="w:bz2")[:5000], "cannot be unpacked"),
    ("tar with a huge attribute", "x.tar.gz", lambda: gzip.compress(_pax(b"a" * (2 * 2**20))), "headers of more than"),
    ("tar that promises a huge attribute", "x.tar", lambda: _pax(b"", size=2**32), "headers of more than"),
    ("tar with a huge name", "x.tar.xz", lambda: lzma.compress(tar_of(member("n" * 2 * 2**20))), "headers of more than"),
    ("tar with an endless map of holes", "x.tar.gz", lambda: gzip.compress(_pax(SPARSE, b"9999999\n" + b"1\n" * 2**20)), "headers of more than"),
    ("tar with a map of holes that is none", "x.tar", lambda: _pax(SPARSE, b"words" * 200), "cannot be unpacked"),
    ("tar with a size that is no number", "x.tar", lambda: _pax(_record(b"size", b"1" * 40)), "it unpacks to 1111"),
    ("tar.bz2 with damaged content", "x.tar.bz2", lambda: _flipped(tar_of(member("a", NOISE), mode="w:bz2"), 300), "cannot be unpacked"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("filename", "make", "names"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE]
)
def test_a_hostile_or_damaged_archive_is_refused_and_writes_nothing(
    store: Store, tmp_path: Path, filename: str, make: Callable[[], bytes], names: str
) -> None:
    sha256 = put(store, make())
    before = everything(tmp_path)
    with pytest.raises(RefusedArchive) as refused:
        store.tree(sha256, filename)
    assert names in str(refused.value)
    assert "\n" not in str(refused.value)
    after = {name: data for name, data in everything(tmp_path).items() if not name.endswith(".lock")}
    after.pop("store/trees", None)
    assert after == before  # nothing outside the tree, and no half tree either
    assert not Path("/tmp/openassay-escape").exists()  # noqa: S108
    with pytest.raises(RefusedArchive):  # a second look says the same
        store.tree(sha256, filename)


def test_links_of_a_tar_are_left_out(store: Store, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    sha256 = put(
        store,
        tar_of(
            member("kept", b"x"),
            member("link", kind=tarfile.SYMTYPE, link="kept"),
            member("away", kind=tarfile.SYMTYPE, link=str(outside)),
            member("up", kind=tarfile.SYMTYPE, link="../../../.."),
            member("hard", kind=tarfile.LNKTYPE, link="kept"),
            member("hard away", kind=tarfile.LNKTYPE, link=str(outside / "secret")),
        ),
    )
    tree = store.tree(sha256, "x.tar")
    assert sorted(path.name for path in tree.rglob("*")) == ["kept"]


def test_a_tar_that_writes_through_its_own_link_writes_into_the_tree(store: Store, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = member("away", kind=tarfile.SYMTYPE, link=str(outside))
    tree = store.tree(put(store, tar_of(link, member("away/file", b"x"))), "x.tar")
    assert list(outside.iterdir()) == []
    assert (tree / "away" / "file").read_bytes() == b"x"
    assert not (tree / "away").is_symlink()


@pytest.mark.parametrize("filename", ["x.zip", "x.tar"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_members_of_one_name_the_last_counts(store: Store, filename: str) -> None:
    data = zip_of(("a", b"1"), ("a", b"22")) if filename == "x.zip" else tar_of(member("a", b"1"), member("a", b"22"))
    assert (store.tree(put(store, data), filename) / "a").read_bytes() == b"22"


def test_an_archive_of_too_many_files_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "MAX_FILES", 5)
    for filename, data in (
        ("x.zip", zip_of(*((f"f{i}", b"") for i in range(6)))),
        ("x.tar", tar_of(*(member(f"f{i}") for i in range(6)))),
    ):
        with pytest.raises(RefusedArchive, match="it holds more than 5 files"):
            store.tree(put(store, data), filename)
    assert store.tree(put(store, tar_of(*(member(f"f{i}") for i in range(5)))), "x.tar").is_dir()


@pytest.mark.parametrize("comment", [b"", b"a comment"])
def test_a_zip_of_too_many_files_is_refused_before_its_members_are_listed(comment: bytes, store: Store) -> None:
    name = b"%06d"
    entry = struct.Struct("<4s6H3I5H2I")
    listed = b"".join(
        entry.pack(b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0) + name % i for i in range(200_001)
    )
    after64 = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 200_001, 200_001, len(listed), 0)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(listed), 0, len(comment))
    data = listed + after64 + struct.pack("<4sIQI", b"PK\6\7", 0, len(listed), 1) + end + comment
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert len(archive.infolist()) == 200_001  # to Python, a zip as any other
    sha256 = put(store, data)
    tracemalloc.start()
    try:
        with pytest.raises(RefusedArchive, match="it holds more than 200000 files"):
            store.tree(sha256, "x.zip")
        assert tracemalloc.get_traced_memory()[1] < 3 * len(data)  # a listing takes ten times as much
    finally:
        tracemalloc.stop()


def test_a_zip_with_a_directory_beyond_memory_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "MAX_HEADERS_BYTES", 100_000)
    with pytest.raises(RefusedArchive, match="its directory has more than 100000 bytes"):
        store.tree(put(store, zip_of(*((f"{i}" + "n" * 200, b"") for i in range(500)))), "x.zip")


def test_an_archive_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "MAX_UNPACKED_BYTES", 1000)
    for filename, data in (
        ("x.zip", zip_of(("a", NOISE[:600]), ("b", NOISE[:600]))),
        ("x.tar", tar_of(member("a", NOISE[:600]), member("b", NOISE[:600]))),
    ):
        with pytest.raises(RefusedArchive, match="it unpacks to 1200 bytes"):
            store.tree(put(store, data), filename)


def test_a_tar_of_many_attributes_is_refused_by_their_sum(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "MAX_HEADERS_BYTES", 100_000)
    data = tar_of(*(member("n" * 200 + str(i)) for i in range(100)))
    with pytest.raises(RefusedArchive, match="or too many of them"):
        store.tree(put(store, data), "x.tar")


def test_names_and_attributes_of_a_common_length_are_no_bomb(store: Store) -> None:
    long = "/".join(["caf\u00e9" * 20] * 10)
    for kind in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:bz2", format=kind) as archive:
            archive.addfile(member(long, b"x")[0], io.BytesIO(b"x"))
        tree = store.tree(put(store, packed.getvalue()), "x.tar.bz2")
        assert (tree / long).read_bytes() == b"x"


def test_well_compressed_data_is_no_bomb_while_it_is_small(store: Store) -> None:
    data = zip_of(("zeros", bytes(50 * 2**20)))
    assert 200 * len(data) < 50 * 2**20
    assert (store.tree(put(store, data), "x.zip") / "zeros").stat().st_size == 50 * 2**20


# Debian packages


def deb_of(folder: Path, files: dict[str, bytes], version: str = "1.0-1") -> bytes:
    """A small Debian package, made by dpkg-deb."""
    root = folder / "deb"
    shutil.rmtree(root, ignore_errors=True)
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        f"Package: demo-data\nVersion: {version}\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\n"
        "Description: data for a test\n"
    )
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    made = folder / "demo.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(root), str(made)], check=True, capture_output=True
    )
    return made.read_bytes()


@needs_dpkg
def test_a_debian_package_unpacks_to_what_it_would_install(store: Store, tmp_path: Path) -> None:
    data = deb_of(tmp_path, {"usr/share/demo/a.csv": b"1,2\n", "usr/share/doc/demo/copyright": b"terms"})
    tree = store.tree(put(store, data), "demo-data.deb")
    assert [path.relative_to(tree).as_posix() for path in files_below(tree)] == [
        "usr/share/demo/a.csv", "usr/share/doc/demo/copyright",
    ]  # fmt: skip
    assert sorted(path.name for path in tree.parent.iterdir()) == [".complete", "content"]


@needs_dpkg
def test_a_debian_package_that_is_a_bomb_is_refused(store: Store, tmp_path: Path) -> None:
    data = deb_of(tmp_path, {"usr/share/zeros": bytes(ZIP_BOMB)})
    with pytest.raises(RefusedArchive, match=r"it unpacks to \d+ bytes") as refused:
        store.tree(put(store, data), "demo-data.deb")
    said = int(str(refused.value).split("unpacks to ")[1].split()[0])
    assert 100 * 2**20 < said < ZIP_BOMB  # it was stopped on the way
    assert list((store.folder / "trees").glob("*/*")) == []


@needs_dpkg
@pytest.mark.parametrize("cut", [0, 10, 300])
def test_a_debian_package_that_is_damaged_is_refused(store: Store, tmp_path: Path, cut: int) -> None:
    data = deb_of(tmp_path, {"usr/share/noise": NOISE})
    with pytest.raises(RefusedArchive):
        store.tree(put(store, data[:cut]), "demo-data.deb")


# Globs


@pytest.mark.parametrize("glob", ["*", "a", "*/src", "**/a", "a/**/b*", "a.b", "..a", "a..", "[ab]?", "\u00e9 \u00e8"])
def test_a_glob_inside_an_archive_is_taken_and_can_be_matched(tmp_path: Path, glob: str) -> None:
    assert check_glob(glob) == glob
    list(tmp_path.glob(glob))
    PurePosixPath("a/b").match(glob)


@pytest.mark.parametrize(
    "glob", ["", ".", "/", "/a", "a/", "a//b", "./a", "a/.", "..", "a/../b", "a**", "**a", "a/b**c/d", "***", "a\0"]
)
def test_a_glob_that_leaves_or_cannot_be_matched_is_refused(glob: str) -> None:
    with pytest.raises(ValueError, match="is not a glob inside an archive"):
        check_glob(glob)


# Payloads


def tree_of(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


CONTENT = {"data/train.csv": b"1,2\n" * 1000, "data/test.csv": b"3,4\n" * 1000, "README": b"words"}


def test_a_payload_digest_is_what_it_says_it_is(tmp_path: Path) -> None:
    top = tree_of(tmp_path, CONTENT)
    lines = sorted(f"{hashlib.sha256(data).hexdigest()}  {name}" for name, data in CONTENT.items())
    assert payload_digest(top, ("*",)) == hashlib.sha256("\n".join(lines).encode()).hexdigest()


@pytest.mark.parametrize("filename", PACKED)
def test_the_same_files_packed_in_another_way_have_the_same_payload_digest(store: Store, filename: str) -> None:
    plain = store.tree(put(store, PACKED["x.tar"]()), "x.tar")
    packed = store.tree(put(store, PACKED[filename]()), filename)
    assert payload_digest(packed, ("*",)) == payload_digest(plain, ("*",))


def test_a_recompressed_file_has_the_same_payload_digest(tmp_path: Path) -> None:
    data = CONTENT["data/train.csv"]
    found = {
        payload_digest(tree_of(tmp_path / str(number), {name: packed}), ("*",))
        for number, (name, packed) in enumerate(
            [
                ("train.csv", data),
                ("train.csv.gz", gzip.compress(data, 1, mtime=1)),
                ("train.csv.gz", gzip.compress(data, 9, mtime=2)),
                ("train.csv.gz", gzip.compress(data[:10]) + gzip.compress(data[10:])),
            ]
        )
    }
    assert len(found) == 1


def test_a_changed_byte_a_changed_name_a_missing_and_an_added_file_change_the_payload_digest(tmp_path: Path) -> None:
    trees = [
        CONTENT,
        CONTENT | {"README": b"Words"},
        {"readme" if name == "README" else name: data for name, data in CONTENT.items()},
        {name: data for name, data in CONTENT.items() if name != "README"},
        CONTENT | {"more": b""},
        CONTENT | {"data/train.csv": CONTENT["data/test.csv"], "data/test.csv": CONTENT["data/train.csv"]},
    ]
    digests = {payload_digest(tree_of(tmp_path / str(i), files), ("*",)) for i, files in enumerate(trees)}
    assert len(digests) == len(trees)


def test_only_files_of_the_named_globs_count(tmp_path: Path) -> None:
    one = tree_of(tmp_path / "1", CONTENT)
    other = tree_of(tmp_path / "2", CONTENT | {"README": b"other words", "notes.txt": b"new"})
    assert payload_digest(one, ("*.csv",)) == payload_digest(other, ("*.csv",))
    assert payload_digest(one, ("data/*",)) == payload_digest(one, ("*.csv",))
    assert payload_digest(one, ("*.csv", "README")) == payload_digest(one, ("*",))
    assert payload_digest(one, ("train.csv",)) != payload_digest(one, ("*.csv",))


@pytest.mark.parametrize(
    "data", [b"not gzip", gzip.compress(NOISE)[:500], _flipped(gzip.compress(NOISE), 300), b"\x1f\x8b"]
)
def test_a_gz_file_that_cannot_be_decompressed_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    top = tree_of(tmp_path, {"deep/train.csv.gz": data})
    with pytest.raises(RefusedArchive, match=r"'deep/train\.csv\.gz' cannot be decompressed"):
        payload_digest(top, ("*",))


def test_links_do_not_count(tmp_path: Path) -> None:
    top = tree_of(tmp_path / "top", CONTENT)
    before = payload_digest(top, ("*",))
    outside = tree_of(tmp_path / "outside", {"secret": b"x"})
    (top / "link").symlink_to(outside / "secret")
    (top / "folder").symlink_to(outside)
    (top / "dangling").symlink_to("nowhere")
    assert payload_digest(top, ("*",)) == before
    assert {path.name for path in files_below(top)} == {"train.csv", "test.csv", "README"}


names = st.text("abc.-_ é", min_size=1, max_size=8).filter(
    lambda name: name not in {".", ".."} and not name.endswith(".gz")
)


@given(st.dictionaries(names, st.binary(max_size=50), min_size=1, max_size=5), st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_whatever_the_files_and_their_order_every_archive_of_them_has_one_payload_digest(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], random: object
) -> None:
    folder = tmp_path_factory.mktemp("law")
    items = list(files.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    store = Store(folder / "store")
    packed = {
        "x.zip": zip_of(*items),
        "x.tar": tar_of(*(member(name, data) for name, data in items)),
        "x.tar.xz": lzma.compress(tar_of(*(member(name, data) for name, data in files.items()))),
        "x.tar.bz2": bz2.compress(tar_of(*(member(name, data) for name, data in items))),
    }
    plain = payload_digest(tree_of(folder / "plain", files), ("*",))
    assert {payload_digest(store.tree(put(store, data), name), ("*",)) for name, data in packed.items()} == {plain}


# Folders


def folder_file(store: Store, path: str, data: bytes) -> FolderFile:
    store.part(path).write_bytes(data)
    return FolderFile(path=path, content=store.add(store.part(path)), size_bytes=len(data))


def test_a_folder_has_one_digest_whatever_the_order_of_its_files(store: Store) -> None:
    one, other = folder_file(store, "a/b.txt", b"1"), folder_file(store, "c.txt", b"2")
    digest = store.add_folder([one, other])
    assert store.add_folder([other, one]) == digest
    assert store.add_folder([one]) != digest
    assert store.add_folder([one, other], [LeftOut(path="l", what="link")]) != digest
    tree = store.tree(digest, "x/")
    assert {path.relative_to(tree).as_posix(): path.read_bytes() for path in files_below(tree)} == {
        "a/b.txt": b"1", "c.txt": b"2",
    }  # fmt: skip
    assert store.has_folder(digest)
    store.blob(other.content).unlink()
    assert not store.has_folder(digest)


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "a\\b", "a\nb", "a\udc80"])
def test_a_folder_with_a_name_that_leads_out_is_refused(store: Store, name: str) -> None:
    content = folder_file(store, "x", b"1").content
    with pytest.raises(RefusedArchive, match="it holds the name"):
        store.add_folder([FolderFile(path=name, content=content, size_bytes=1)])


def test_a_name_that_is_a_file_and_a_folder_is_refused(store: Store) -> None:
    files = [folder_file(store, "a", b"1"), folder_file(store, "a/b", b"2")]
    with pytest.raises(RefusedArchive, match="cannot be unpacked"):
        store.tree(store.add_folder(files), "x/")


def test_a_published_file_cannot_pass_for_a_folder(store: Store) -> None:
    """A manifest may name any blob, those of other releases too: only our own sources make one."""
    secret = folder_file(store, "secret", b"of another release")
    digest = store.add_folder([secret])
    for name in ("x", "x.tar", "x.json", "manifest"):
        assert archive_kind(name) != "folder"
    assert [path.read_bytes() for path in files_below(store.tree(digest, "manifest.json"))] == [
        store.blob(digest).read_bytes()
    ]


def test_a_damaged_manifest_is_dropped(store: Store) -> None:
    digest = store.add_folder([folder_file(store, "a", b"1")])
    store.blob(digest).chmod(0o644)
    store.blob(digest).write_text("{}")
    with pytest.raises(DamagedStore, match="damaged, removed"):
        store.manifest(digest)
    assert not store.has(digest)


def test_an_answer_is_dated_from_its_first_time_until_another_comes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter("abcdefgh")
    monkeypatch.setattr("openassay.store.now", lambda: next(times))
    said = [store.answered("git x", kind) for kind in ("served", "served", "gone", "gone", "served", "changed")]
    assert said == ["a", "a", "b", "b", "c", "d"]
    assert store.answered("git y", "gone") == "e"
