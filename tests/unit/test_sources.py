"""Each source brings what was published, and says what is the matter when it cannot."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from loopback import PackageIndex, closed_port, self_signed, wheel
from releases.miniature import make_project

from openassay.core.findings import Artifact, FetchRecord
from openassay.faults import BadInput, Fault
from openassay.records import parse
from openassay.sources import Source, download, pypi
from openassay.sources.debian import DebianSource
from openassay.sources.download import without_credentials
from openassay.sources.fetched import Unavailable, Unreachable, WrongPin
from openassay.sources.local import LocalSource
from openassay.sources.pypi import DEFAULT_INDEX, PypiSource, package_index, project_files
from openassay.sources.roots import artifact_files, artifact_root, artifact_roots, source_root
from openassay.store import MAX_UNPACKED_BYTES, Store, files_below, payload_digest

WHERE = "conf/target/demo.yaml: artifacts.package.sources.0"
NAME = "demo-1.0-py3-none-any.whl"
DATA = wheel("demo", "1.0", {"demo/data.txt": "".join(f"line {i * i}\n" for i in range(20_000))})
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's folder is the root of a project."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "pipeline.yaml").touch()
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Between two tries nobody waits; how long they would have is kept."""
    waited: list[float] = []
    monkeypatch.setattr(download.time, "sleep", waited.append)
    return waited


def source(**keys: str) -> PypiSource:
    return PypiSource(**({"kind": "pypi", "package": "demo", "version": "1.0"} | keys))  # type: ignore[arg-type]


def test_the_kind_tells_the_sources_apart() -> None:
    assert isinstance(parse(Source, {"kind": "pypi", "package": "a", "version": "1"}, "f"), PypiSource)
    assert isinstance(parse(Source, {"kind": "debian", "package": "a-b"}, "f"), DebianSource)
    assert isinstance(parse(Source, {"kind": "local", "path": "a"}, "f"), LocalSource)
    with pytest.raises(BadInput, match="root"):
        parse(Source, {"kind": "local", "path": "a", "roott": "b"}, "f")


# A package index


@pytest.mark.parametrize("style", ["json", "html"])
def test_a_file_is_brought_as_published_and_asked_for_once(index: PackageIndex, store: Store, style: str) -> None:
    index.style = style  # type: ignore[assignment]
    index.publish("demo", NAME, DATA)
    first = source(sha256=SHA256).fetch(store, WHERE)
    assert (first.sha256, first.filename, first.size_bytes, first.downloaded) == (SHA256, NAME, len(DATA), True)
    assert store.blob(SHA256).read_bytes() == DATA
    again = source(sha256=SHA256).fetch(store, WHERE)
    assert (again.sha256, again.filename, again.size_bytes, again.downloaded) == (SHA256, NAME, len(DATA), False)
    assert len(index.asked(NAME)) == 1


def test_a_file_that_is_named_and_pinned_and_in_the_store_needs_no_index(index: PackageIndex, store: Store) -> None:
    index.publish("demo", NAME, DATA)
    source(sha256=SHA256).fetch(store, WHERE)
    index.reset()
    assert not source(sha256=SHA256, file=NAME).fetch(store, WHERE).downloaded
    assert index.requests == []


@pytest.mark.parametrize("lists_digests", [True, False])
@pytest.mark.parametrize("file", [NAME, None])
def test_a_pin_of_any_file_in_the_store_does_not_make_it_this_projects_file(
    index: PackageIndex, store: Store, lists_digests: bool, file: str | None
) -> None:
    index.lists_digests = lists_digests
    index.publish("demo", NAME, DATA)
    store.part("x").write_bytes(b"what another source gave")
    known = store.add(store.part("x"))
    with pytest.raises(WrongPin):
        source(sha256=known, **({"file": file} if file else {})).fetch(store, WHERE)


def test_a_file_that_the_index_lists_and_the_store_has_is_not_downloaded(index: PackageIndex, store: Store) -> None:
    index.publish("demo", NAME, DATA)
    store.part("x").write_bytes(DATA)
    store.add(store.part("x"))
    assert not source(sha256=SHA256).fetch(store, WHERE).downloaded
    index.reset()  # and now it is known to come from there
    assert not source(sha256=SHA256, file=NAME).fetch(store, WHERE).downloaded
    assert index.requests == []
    other = "demo-1.0-cp399-cp399-win_amd64.whl"
    with pytest.raises(WrongPin):  # under no other name
        source(sha256=SHA256, file=other).fetch(store, WHERE)


@pytest.mark.parametrize("style", ["json", "html"])
def test_a_pin_chooses_among_several_files(index: PackageIndex, store: Store, style: str) -> None:
    index.style = style  # type: ignore[assignment]
    index.publish("demo", "demo-1.0.tar.gz", b"an sdist")
    index.publish("demo", NAME, DATA)
    index.publish("demo", "demo-1.0-cp399-cp399-win_amd64.whl", b"for a machine that is not ours")
    assert source(sha256=SHA256).fetch(store, WHERE).filename == NAME
    other = hashlib.sha256(b"for a machine that is not ours").hexdigest()
    assert source(sha256=other).fetch(store, WHERE).filename == "demo-1.0-cp399-cp399-win_amd64.whl"
    assert source(file="demo-1.0.tar.gz").fetch(store, WHERE).sha256 == hashlib.sha256(b"an sdist").hexdigest()


def test_of_several_files_one_must_be_named(index: PackageIndex, store: Store) -> None:
    index.publish("demo", "demo-1.0.tar.gz", b"an sdist")
    index.publish("demo", NAME, DATA)
    with pytest.raises(WrongPin) as wrong:
        source().fetch(store, WHERE)
    assert str(wrong.value).startswith(f"{WHERE}.file: ")
    assert "demo-1.0.tar.gz" in str(wrong.value)
    assert NAME in str(wrong.value)


def test_a_lone_file_needs_no_name(index: PackageIndex, store: Store) -> None:
    index.publish("demo", NAME, DATA)
    index.publish("demo", "demo-2.0-py3-none-any.whl", b"later")
    assert source().fetch(store, WHERE).sha256 == SHA256


def test_a_withdrawn_version_is_fetched_still(index: PackageIndex, store: Store) -> None:
    index.publish("demo", NAME, DATA, yanked=True)
    assert source(sha256=SHA256).fetch(store, WHERE).filename == NAME


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"version": "9.9"}, f"{WHERE}.version: demo 9.9 is not on the index; it has 2.0, 1.0"),
        ({"package": "nowhere"}, f"{WHERE}.version: nowhere 1.0 is not on the index; there is no such project"),
        ({"file": "demo-1.0.zip"}, f"{WHERE}.file: 'demo-1.0.zip' is not among the files of this version: {NAME}"),
        ({"sha256": "0" * 64}, f"{WHERE}.sha256: no file of demo 1.0 has it; there are: {NAME}"),
        (
            {"sha256": "0" * 64, "file": NAME},
            f"{WHERE}.sha256: expected {'0' * 64}, but the index lists {SHA256} for {NAME}",
        ),
    ],
)
def test_what_the_index_does_not_have_is_the_target_files_mistake(
    index: PackageIndex, store: Store, keys: dict[str, str], says: str
) -> None:
    index.publish("demo", NAME, DATA)
    index.publish("demo", "demo-2.0-py3-none-any.whl", b"later")
    with pytest.raises(WrongPin) as wrong:
        source(**keys).fetch(store, WHERE)
    assert str(wrong.value).startswith(says)
    assert index.asked(NAME) == []


def test_a_wrong_file_is_dropped_and_the_right_one_can_come_later(index: PackageIndex, store: Store) -> None:
    index.publish("demo", NAME, DATA)
    wrong_file = b"x" * len(DATA)
    index.served[NAME] = wrong_file
    with pytest.raises(WrongPin, match=f"expected {SHA256}, got {hashlib.sha256(wrong_file).hexdigest()} for {NAME}"):
        source(sha256=SHA256).fetch(store, WHERE)
    assert not store.has(SHA256)
    assert list((store.folder / "parts").iterdir()) == []
    index.served.clear()
    assert source(sha256=SHA256).fetch(store, WHERE).downloaded


@pytest.mark.parametrize("style", ["json", "html"])
def test_an_index_without_digests_is_held_to_the_pin(index: PackageIndex, store: Store, style: str) -> None:
    index.style, index.lists_digests = style, False  # type: ignore[assignment]
    index.publish("demo", NAME, b"not what was pinned")
    with pytest.raises(WrongPin, match=f"expected {SHA256}, got"):
        source(sha256=SHA256, file=NAME).fetch(store, WHERE)
    index.publish("demo", NAME, DATA)
    assert source(sha256=SHA256, file=NAME).fetch(store, WHERE).sha256 == SHA256
    assert source(file=NAME).fetch(store, WHERE).sha256 == SHA256  # a payload pin needs none here


def test_without_a_pin_a_file_is_held_to_what_the_index_lists(index: PackageIndex, store: Store) -> None:
    index.publish("demo", NAME, DATA)
    index.served[NAME] = b"another"
    with pytest.raises(WrongPin, match=f"expected {SHA256}"):
        source().fetch(store, WHERE)


# Connections that break


def test_a_download_goes_on_where_the_connection_was_cut(index: PackageIndex, store: Store, waits: list[float]) -> None:
    index.publish("demo", NAME, DATA)
    index.cuts[NAME] = [1000, 5000]
    assert source(sha256=SHA256).fetch(store, WHERE).sha256 == SHA256
    assert [request.range for request in index.asked(NAME)] == [None, "bytes=1000-", "bytes=6000-"]
    assert waits == [2.0, 4.0]


def test_a_download_starts_over_where_the_server_knows_no_ranges(index: PackageIndex, store: Store) -> None:
    index.ranges = False
    index.publish("demo", NAME, DATA)
    index.cuts[NAME] = [1000]
    assert source(sha256=SHA256).fetch(store, WHERE).sha256 == SHA256
    assert [request.range for request in index.asked(NAME)] == [None, "bytes=1000-"]


def test_a_connection_that_is_cut_every_time_is_a_fault_and_the_next_audit_goes_on(
    index: PackageIndex, store: Store
) -> None:
    index.publish("demo", NAME, DATA)
    index.cuts[NAME] = [1000] * download.TRIES
    with pytest.raises(Unreachable, match=rf"{NAME}: .* \({download.TRIES} attempts\)"):
        source(sha256=SHA256).fetch(store, WHERE)
    assert len(index.asked(NAME)) == download.TRIES
    index.requests.clear()
    assert source(sha256=SHA256).fetch(store, WHERE).sha256 == SHA256
    assert [request.range for request in index.asked(NAME)] == [f"bytes={1000 * download.TRIES}-"]


@pytest.mark.parametrize("left", [DATA, DATA + b"more than there is"], ids=["whole", "too long"])
def test_a_part_that_is_as_long_as_the_file_does_not_stand_in_the_way(
    index: PackageIndex, store: Store, left: bytes
) -> None:
    index.publish("demo", NAME, DATA)
    part = store.part(f"{index.root}/files/{NAME}")
    part.write_bytes(left)  # as after a kill between download and check
    assert source(sha256=SHA256).fetch(store, WHERE).sha256 == SHA256
    assert index.asked(NAME)[0].range == f"bytes={len(left)}-"


def test_a_part_of_another_file_is_found_out_and_the_next_audit_starts_over(index: PackageIndex, store: Store) -> None:
    index.publish("demo", NAME, DATA)
    store.part(f"{index.root}/files/{NAME}").write_bytes(b"x" * 100)
    with pytest.raises(WrongPin, match="the download is dropped"):
        source(sha256=SHA256).fetch(store, WHERE)
    assert source(sha256=SHA256).fetch(store, WHERE).sha256 == SHA256


def test_a_server_that_does_not_tell_the_length_serves_too(index: PackageIndex, store: Store) -> None:
    index.chunked = True
    index.publish("demo", NAME, DATA)
    assert source(sha256=SHA256).fetch(store, WHERE).size_bytes == len(DATA)


def test_an_address_may_lead_to_another(index: PackageIndex, store: Store) -> None:
    index.publish("demo", NAME, DATA)
    index.redirects[f"/files/{NAME}"] = f"{index.root}/elsewhere"
    index.static["/elsewhere"] = DATA
    assert source(sha256=SHA256).fetch(store, WHERE).sha256 == SHA256
    index.redirects[f"/files/{NAME}"] = f"/files/{NAME}"
    with pytest.raises(Unreachable):
        download.download(f"{index.root}/files/{NAME}", store.part("x"), NAME)


@pytest.mark.parametrize("status", [401, 403, 404, 410, 451])
def test_a_file_that_is_refused_or_gone_is_a_finding_after_one_try(
    index: PackageIndex, store: Store, status: int
) -> None:
    index.publish("demo", NAME, DATA)
    index.status[f"/files/{NAME}"] = status
    with pytest.raises(Unavailable, match=f"HTTP {status} from {index.root}/files/{NAME}"):
        source(sha256=SHA256).fetch(store, WHERE)
    assert len(index.asked(NAME)) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_in_trouble_is_a_fault_after_a_few_tries(index: PackageIndex, store: Store, status: int) -> None:
    index.publish("demo", NAME, DATA)
    index.status[f"/files/{NAME}"] = status
    with pytest.raises(Unreachable, match=rf"HTTP {status} \({download.TRIES} attempts\)"):
        source(sha256=SHA256).fetch(store, WHERE)
    assert len(index.asked(NAME)) == download.TRIES


def test_a_server_that_says_nothing_is_a_fault(
    index: PackageIndex, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TIMEOUT_S", 0.2)
    index.publish("demo", NAME, DATA)
    index.silent.add(f"/files/{NAME}")
    with pytest.raises(Unreachable, match="timed out"):
        source(sha256=SHA256).fetch(store, WHERE)


def test_a_name_and_a_password_in_an_address_are_in_no_message(index: PackageIndex, store: Store) -> None:
    index.status["/files/x"] = 403
    index.status["/files/y"] = 500
    address = index.root.replace("//", "//alice:s3cret@")
    for name, kind in (("x", Unavailable), ("y", Unreachable)):
        with pytest.raises(kind) as problem:
            download.download(f"{address}/files/{name}?token=s3cret", store.part(name), name)
        assert "s3cret" not in str(problem.value)
        assert "alice" not in str(problem.value)
    assert without_credentials("https://u:p@h:1/a?b=c#d").startswith("https://h:1/a")
    said = "get https://u:p@ss@h/a?token=x and http://[x and file:///a@b from a@b.c?"
    assert without_credentials(said) == "get https://h/a and http://[x and file:///a@b from a@b.c?"


# An index in trouble


@pytest.mark.parametrize("status", [401, 403])
def test_an_index_that_lets_nobody_in_is_a_finding(index: PackageIndex, store: Store, status: int) -> None:
    index.status["/simple/demo/"] = status
    with pytest.raises(Unavailable, match=f"HTTP {status} from the package index"):
        source().fetch(store, WHERE)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_index_in_trouble_is_a_fault_and_not_a_missing_project(
    index: PackageIndex, store: Store, status: int
) -> None:
    index.publish("demo", NAME, DATA)
    index.status["/simple/demo/"] = status
    with pytest.raises(Unreachable, match=f"does not answer \\(HTTP {status}\\)"):
        source().fetch(store, WHERE)


def test_an_index_that_is_down_is_a_fault_without_its_password(store: Store, pip_settings: Callable[..., None]) -> None:
    pip_settings(PIP_INDEX_URL=f"http://alice:s3cret@127.0.0.1:{closed_port()}/simple")
    with pytest.raises(Unreachable, match="does not answer") as problem:
        source(sha256=SHA256).fetch(store, WHERE)
    assert "s3cret" not in str(problem.value)
    assert problem.value.exit_code == Fault.exit_code


@pytest.mark.parametrize("trouble", ["down", 503])
def test_one_index_of_several_that_fails_is_a_fault_that_names_it_and_not_a_missing_version(
    index: PackageIndex, store: Store, pip_settings: Callable[..., None], trouble: str | int
) -> None:
    index.publish("demo", NAME, DATA)
    with PackageIndex() as other:
        other.status["/simple/demo/"] = 503
        url = other.url if trouble == 503 else f"http://127.0.0.1:{closed_port()}/simple/"
        pip_settings(PIP_INDEX_URL=index.url, PIP_EXTRA_INDEX_URL=url.replace("//", "//alice:s3cret@"))
        with pytest.raises(Unreachable, match=f"{url} does not answer") as problem:
            source(version="2.0").fetch(store, WHERE)
    assert "s3cret" not in str(problem.value)


# pip's settings


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A certificate of 127.0.0.1 that nobody else trusts, with its key."""
    return self_signed(tmp_path_factory.mktemp("tls"))


def test_a_server_is_known_by_pips_certificate_or_trusted_by_name(
    store: Store, pip_settings: Callable[..., None], certificate: str
) -> None:
    with PackageIndex(certificate=certificate) as index:
        index.publish("demo", NAME, DATA)
        pip_settings(PIP_INDEX_URL=index.url)
        with pytest.raises(Unreachable, match="certificate"):
            source(sha256=SHA256).fetch(store, WHERE)
        pip_settings(PIP_INDEX_URL=index.url, PIP_CERT=certificate)
        assert source(sha256=SHA256).fetch(store, WHERE).downloaded
        for number, host in enumerate(["127.0.0.1", index.root.removeprefix("https://")]):
            pip_settings(PIP_INDEX_URL=index.url, PIP_TRUSTED_HOST=f"elsewhere {host}")
            fresh = Store(store.folder / str(number))
            assert source(sha256=SHA256).fetch(fresh, WHERE).downloaded


@pytest.mark.parametrize("by", ["address", "netrc", "nothing"])
def test_a_private_index_is_asked_with_its_password_for_the_file_too(
    store: Store, pip_settings: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    with PackageIndex(login="alice:s3/cret") as index:
        index.publish("demo", NAME, DATA)
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        if by == "netrc":
            (tmp_path / "netrc").write_text("machine 127.0.0.1 login alice password s3/cret\n")
            (tmp_path / "netrc").chmod(0o600)
        pip_settings(PIP_INDEX_URL=index.url.replace("//", "//alice:s3%2Fcret@") if by == "address" else index.url)
        if by == "nothing":
            with pytest.raises(Unavailable, match="HTTP 401 from the package index"):
                source(sha256=SHA256).fetch(store, WHERE)
        else:
            assert source(sha256=SHA256).fetch(store, WHERE).downloaded


def test_without_an_index_only_the_links_count(
    index: PackageIndex, store: Store, pip_settings: Callable[..., None], tmp_path: Path
) -> None:
    index.publish("demo", NAME, DATA)
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "demo-2.0-py3-none-any.whl").write_bytes(b"2")
    pip_settings(PIP_INDEX_URL=index.url, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path / "links"))
    assert [version for version, _ in project_files("demo")] == ["2.0"]
    with pytest.raises(WrongPin, match="demo 1.0 is not on the index; it has 2.0"):
        source().fetch(store, WHERE)
    assert index.requests == []
    pip_settings(PIP_INDEX_URL=index.url, PIP_NO_INDEX="false")
    assert package_index().index_urls == (index.url,)


def test_a_setting_of_pips_that_is_not_honoured_is_said_to_be_so(
    pip_settings: Callable[..., None], tmp_path: Path
) -> None:
    pip_settings(PIP_PROXY="http://alice:s3cret@proxy:1")
    with pytest.raises(BadInput, match="pip's setting proxy is not supported here; set https_proxy") as refused:
        package_index()
    assert "s3cret" not in str(refused.value)
    pip_settings(PIP_CERT=str(tmp_path / "gone.pem"))
    with pytest.raises(BadInput, match=r"pip's setting cert: .*gone\.pem does not exist"):
        package_index()


def test_pip_without_settings_means_the_public_index(pip_settings: Callable[..., None]) -> None:
    pip_settings()
    assert package_index() == pypi.PackageIndex(index_urls=(DEFAULT_INDEX,), find_links=())


def test_pips_variables_are_read_and_folders_that_are_not_there_passed_over(
    pip_settings: Callable[..., None], tmp_path: Path
) -> None:
    pip_settings(
        PIP_INDEX_URL="http://a/simple", PIP_EXTRA_INDEX_URL="http://b/simple http://c/simple",
        PIP_FIND_LINKS=f"{tmp_path} {tmp_path}/nowhere http://d/links",
    )  # fmt: skip
    assert package_index().index_urls == ("http://a/simple", "http://b/simple", "http://c/simple")
    assert package_index().find_links == (str(tmp_path), "http://d/links")


def test_pips_file_is_read_over_several_lines_and_a_variable_beats_it(
    pip_settings: Callable[..., None], tmp_path: Path
) -> None:
    settings = tmp_path / "pip.conf"
    settings.write_text(
        "[install]\nindex-url = http://install/simple\n[global]\nindex-url = http://it's\" odd/simple\n"
        "extra-index-url =\n    http://b/simple\n    http://c/simple\n[list]\nfind-links = http://not-for-us\n"
        "[download]\ntimeout = 5\n"
    )
    pip_settings(PIP_CONFIG_FILE=str(settings), PIP_FIND_LINKS="", PIP_EXTRA_INDEX_URL="  ")
    assert package_index().index_urls == ("http://install/simple", "http://b/simple", "http://c/simple")
    assert package_index().find_links == ()
    pip_settings(PIP_CONFIG_FILE=str(settings), PIP_INDEX_URL="http://variable/simple")
    assert package_index().index_urls[0] == "http://variable/simple"
    settings.write_text("[global]\nindex-url = http://it's\"odd/simple\n")
    pip_settings(PIP_CONFIG_FILE=str(settings))
    assert package_index().index_urls == ("http://it's\"odd/simple",)


def test_files_come_from_extra_indexes_and_from_folders_too(
    index: PackageIndex, store: Store, pip_settings: Callable[..., None], tmp_path: Path
) -> None:
    index.publish("demo", NAME, DATA)
    links, files = tmp_path / "links", tmp_path / "files index" / "simple" / "more"
    links.mkdir()
    files.mkdir(parents=True)
    (links / "demo-3.0-py3-none-any.whl").write_bytes(b"3")
    (files / "more-1.0-py3-none-any.whl").write_bytes(b"1")
    digest = hashlib.sha256(b"1").hexdigest()
    (files / "index.html").write_text(
        f'<a href="more-1.0-py3-none-any.whl#sha256={digest}">more-1.0-py3-none-any.whl</a>'
    )
    pip_settings(
        PIP_INDEX_URL=files.parent.as_uri(), PIP_EXTRA_INDEX_URL=index.url, PIP_FIND_LINKS=str(links)
    )  # fmt: skip
    assert [version for version, _ in project_files("demo")] == ["3.0", "1.0"]
    assert source(sha256=SHA256).fetch(store, WHERE).sha256 == SHA256
    assert source(version="3.0").fetch(store, WHERE).sha256 == hashlib.sha256(b"3").hexdigest()
    assert source(package="more", sha256=digest).fetch(store, WHERE).sha256 == digest
    with pytest.raises(WrongPin, match="there is no such project"):
        source(package="nowhere").fetch(store, WHERE)


def test_a_file_address_that_leads_nowhere_is_a_finding(store: Store, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"gone\.whl does not exist"):
        download.download((tmp_path / "gone.whl").as_uri(), store.part("x"), "gone.whl")
    (tmp_path / "with space.whl").write_bytes(b"x")
    download.download((tmp_path / "with space.whl").as_uri(), store.part("x"), "with space.whl")
    assert store.part("x").read_bytes() == b"x"


# This machine


def test_a_local_file_is_copied_into_the_store(store: Store, tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(DATA)
    fetched = LocalSource(kind="local", path=str(path), sha256=SHA256).fetch(store, WHERE)
    assert (fetched.sha256, fetched.filename, fetched.size_bytes) == (SHA256, NAME, len(DATA))
    assert path.read_bytes() == DATA


def test_a_local_path_is_relative_to_the_project(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "release").mkdir()
    (tmp_path / "release" / "a.csv").write_bytes(b"1\n")
    monkeypatch.chdir(tmp_path)
    fetched = LocalSource(kind="local", path="release/a.csv").fetch(store, WHERE)
    assert [path.read_bytes() for path in files_below(store.tree(fetched.sha256, fetched.filename))] == [b"1\n"]


@pytest.mark.parametrize("path", ["../secret", "link", "folder link/secret", "{}/secret", "/etc/passwd", "/dev/zero"])
def test_a_local_path_stays_in_the_project_unless_the_user_allows_its_folder(
    store: Store, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret").write_text("secret")
    (tmp_path.parent / "secret").write_text("secret")
    (tmp_path / "link").symlink_to(outside / "secret")
    (tmp_path / "folder link").symlink_to(outside)
    local = LocalSource(kind="local", path=path.format(outside))
    with pytest.raises(WrongPin, match=r"sources\.0\.path: .* lies outside the project; .* OPENASSAY_LOCAL"):
        local.fetch(store, WHERE)
    assert not (store.folder / "blobs").exists()
    monkeypatch.setenv("OPENASSAY_LOCAL", f"/nowhere::{tmp_path.parent}:{outside}")
    if "secret" in path or path == "link":
        assert local.fetch(store, WHERE).size_bytes == 6
    else:
        with pytest.raises(WrongPin, match="lies outside the project"):
            local.fetch(store, WHERE)


@pytest.mark.parametrize("path", [".", "..", "release/..", "{root}", "/"])
def test_a_local_path_that_holds_the_project_is_refused(
    path: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_project(tmp_path / "project")
    (root / "release").mkdir()
    monkeypatch.chdir(root)
    monkeypatch.setenv("OPENASSAY_LOCAL", "/")
    with pytest.raises(
        WrongPin, match=r"\.path: expected a file or a folder of the release, found .*holds the project itself"
    ):
        LocalSource(kind="local", path=path.format(root=root)).fetch(store, WHERE)


def test_a_local_path_is_of_a_file_or_a_folder_of_a_size_that_can_be_kept(store: Store, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "big").mkdir()
    with (tmp_path / "big" / "file").open("wb") as file:
        file.truncate(MAX_UNPACKED_BYTES + 1)  # takes no room: it is a hole
    for path, says in {
        "pipe": "'pipe' is neither a regular file nor a folder",
        "big": "'big' is larger than", "big/file": "'big/file' is larger than",
        "circle": "'circle' does not exist", "a/" * 3000: "does not exist", "n" * 300: "does not exist", "a\0b": "does not exist",
    }.items():  # fmt: skip
        with pytest.raises(WrongPin, match=says) as wrong:
            LocalSource(kind="local", path=path).fetch(store, WHERE)
        assert len(str(wrong.value)) < 500


FOLDER = {"train.py": b"print(1)\n", "data/x.csv": b"1,2\n", "data/empty": b"", "caf\u00e9": b"latte"}


def folder_of(path: Path, names: list[str]) -> Path:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(FOLDER[name])
    return path


def test_a_local_folder_has_one_digest_whatever_its_dates_modes_and_order(store: Store, tmp_path: Path) -> None:
    one = folder_of(tmp_path / "1" / "release", list(FOLDER))
    other = folder_of(tmp_path / "2" / "release", list(reversed(FOLDER)))
    for path in files_below(other):
        os.utime(path, (0, 1_000_000))
        path.chmod(0o700)
    (other / "empty folder").mkdir()
    first, second = (LocalSource(kind="local", path=str(path)).fetch(store, WHERE) for path in (one, other))
    assert first.sha256 == second.sha256
    assert first.filename == "release.tar"
    tree = store.tree(first.sha256, first.filename)
    assert {path.relative_to(tree).as_posix(): path.read_bytes() for path in files_below(tree)} == FOLDER
    assert payload_digest(tree, ("*",)) == payload_digest(one, ("*",))
    (one / "train.py").write_bytes(b"print(2)\n")
    assert LocalSource(kind="local", path=str(one)).fetch(store, WHERE).sha256 != first.sha256


def test_files_of_a_local_folder_that_are_hard_links_of_each_other_all_come(store: Store, tmp_path: Path) -> None:
    top = folder_of(tmp_path / "release", ["train.py"])
    os.link(top / "train.py", top / "same.py")
    fetched = LocalSource(kind="local", path=str(top)).fetch(store, WHERE)
    tree = store.tree(fetched.sha256, fetched.filename)
    assert {path.name: path.read_bytes() for path in files_below(tree)} == {
        "train.py": FOLDER["train.py"], "same.py": FOLDER["train.py"],
    }  # fmt: skip


def test_links_and_pipes_of_a_local_folder_stay_out(store: Store, tmp_path: Path) -> None:
    top = folder_of(tmp_path / "release", ["train.py"])
    outside = folder_of(tmp_path / "outside", ["data/x.csv"])
    (top / "file").symlink_to(outside / "data" / "x.csv")
    (top / "folder").symlink_to(outside)
    os.mkfifo(top / "pipe")
    fetched = LocalSource(kind="local", path=str(top)).fetch(store, WHERE)
    with tarfile.open(store.blob(fetched.sha256)) as archive:
        assert archive.getnames() == ["train.py"]


def test_a_local_path_that_is_not_there_and_a_wrong_pin_are_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(WrongPin, match=r"sources\.0\.path: '.*nowhere' does not exist"):
        LocalSource(kind="local", path=str(tmp_path / "nowhere")).fetch(store, WHERE)
    path = tmp_path / NAME
    path.write_bytes(b"other")
    with pytest.raises(WrongPin, match=f"sources.0.sha256: expected {SHA256}, got "):
        LocalSource(kind="local", path=str(path), sha256=SHA256).fetch(store, WHERE)
    assert not (store.folder / "blobs").exists()
    assert path.read_bytes() == b"other"


# Debian

needs_apt = pytest.mark.skipif(
    shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None, reason="this system has no apt"
)


@pytest.mark.parametrize(
    "name", ["", "a", "-o", "--help", "A", "a/../b", "a b", "a=1", "a_b", "a\n", "é-data", "+ab", ".ab", "a;id"]
)
def test_what_is_no_debian_package_name_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="is not a Debian package's name"):
        parse(Source, {"kind": "debian", "package": name}, "f")


def test_a_system_without_apt_is_said_to_be_one(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="this source needs apt"):
        DebianSource(kind="debian", package="demo-data").fetch(store, WHERE)


@pytest.fixture
def deb(index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A package in an apt repository on this machine, the only one that apt knows of."""
    root = tmp_path / "deb"
    (root / "DEBIAN").mkdir(parents=True)
    control = (
        "Package: demo-data\nVersion: 1.0-1\nArchitecture: all\nMaintainer: Nobody <n@example.org>\nDescription: test\n"
    )
    (root / "DEBIAN" / "control").write_text(control)
    (root / "usr/share/demo").mkdir(parents=True)
    (root / "usr/share/demo/a.csv").write_bytes(b"1,2\n")
    made = tmp_path / "demo.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", str(root), str(made)], check=True, capture_output=True)
    data = made.read_bytes()
    listed = f"{control}Filename: ./demo.deb\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n\n"
    index.static |= {"/apt/demo.deb": data, "/apt/Packages": listed.encode()}
    _apt_knows(f"deb [trusted=yes] {index.root}/apt/ ./", tmp_path, monkeypatch)
    return data


def _apt_knows(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "sources.list").write_text(line + "\n")
    (folder / "apt.conf").write_text(
        f'Dir::Etc::SourceList "{folder}/sources.list";\nDir::Etc::SourceParts "-";\nAcquire::Languages "none";\n'
        'Acquire::Retries "0";\nAcquire::http::Proxy "false";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(folder / "apt.conf"))


@needs_apt
def test_a_debian_package_is_downloaded_by_apt_and_unpacked(
    store: Store, deb: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    digest = hashlib.sha256(deb).hexdigest()
    fetched = DebianSource(kind="debian", package="demo-data", sha256=digest).fetch(store, WHERE)
    assert (fetched.sha256, fetched.filename, fetched.downloaded) == (digest, "demo-data.deb", True)
    tree = source_root(store, digest, "demo-data.deb", "usr/share/*")
    assert [(path.name, path.read_bytes()) for path in files_below(tree)] == [("a.csv", b"1,2\n")]
    store.part("x").write_bytes(b"other")
    forged = DebianSource(kind="debian", package="demo-data", sha256=store.add(store.part("x")))
    with pytest.raises(WrongPin, match="got"):  # a pin of another source's file proves nothing
        forged.fetch(store, WHERE)
    monkeypatch.setenv("PATH", str(tmp_path))  # what is in the store needs no apt
    assert not DebianSource(kind="debian", package="demo-data", sha256=digest).fetch(store, WHERE).downloaded
    assert not DebianSource(kind="debian", package="demo-data").fetch(store, WHERE).downloaded


@needs_apt
def test_a_debian_version_that_is_not_offered_is_a_finding_and_a_wrong_pin_the_target_files_mistake(
    index: PackageIndex, store: Store, deb: bytes
) -> None:
    with pytest.raises(Unavailable, match="demo-data=9"):
        DebianSource(kind="debian", package="demo-data", version="9").fetch(store, WHERE)
    with pytest.raises(Unavailable, match="nowhere-data"):
        DebianSource(kind="debian", package="nowhere-data").fetch(store, WHERE)
    with pytest.raises(WrongPin, match=f"expected {'0' * 64}, got {hashlib.sha256(deb).hexdigest()}"):
        DebianSource(kind="debian", package="demo-data", sha256="0" * 64).fetch(store, WHERE)
    fetched = DebianSource(kind="debian", package="demo-data", version="1.0-1").fetch(store, WHERE)
    assert fetched.sha256 == hashlib.sha256(deb).hexdigest()
    assert [request.path for request in index.requests].count(
        "/apt/InRelease"
    ) == 3  # once, and again for each that was not found


@needs_apt
def test_an_apt_repository_that_is_down_is_a_fault(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _apt_knows(f"deb [trusted=yes] http://127.0.0.1:{closed_port()}/ ./", tmp_path, monkeypatch)
    for _ in range(2):  # and the failed list is not taken for a list
        with pytest.raises(Unreachable, match="apt-get update"):
            DebianSource(kind="debian", package="demo-data").fetch(store, WHERE)


# Roots


@pytest.fixture
def release(store: Store, tmp_path: Path) -> str:
    top = tmp_path / "release"
    for name in ("demo-1.0/src/a.py", "demo-1.0/data/b.csv", "other/data/c.csv", "file"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(name)
    return LocalSource(kind="local", path=str(top)).fetch(store, WHERE).sha256


@pytest.mark.parametrize(
    ("root", "files"),
    [
        ("", ["demo-1.0/data/b.csv", "demo-1.0/src/a.py", "file", "other/data/c.csv"]),
        ("demo-*", ["data/b.csv", "src/a.py"]),
        ("demo-1.0/src", ["a.py"]),
        ("*/src", ["a.py"]),
    ],
)
def test_a_root_is_a_glob_of_one_folder(store: Store, release: str, root: str, files: list[str]) -> None:
    top = source_root(store, release, "release.tar", root)
    assert [path.relative_to(top).as_posix() for path in files_below(top)] == files


@pytest.mark.parametrize(("root", "count"), [("nowhere", 0), ("*/data", 2), ("file", 0), ("*", 2)])
def test_a_root_that_is_not_one_folder_is_a_finding(store: Store, release: str, root: str, count: int) -> None:
    with pytest.raises(Unavailable, match=f"{count} folders in release.tar match root"):
        source_root(store, release, "release.tar", root)


@pytest.mark.parametrize("root", ["..", "../..", "demo-1.0/../..", "/", "/etc"])
def test_a_root_cannot_leave_the_artifact(store: Store, release: str, root: str) -> None:
    with pytest.raises(BadInput, match="it must stay below the artifact"):
        source_root(store, release, "release.tar", root)


def test_an_artifact_that_could_not_be_had_has_no_root_and_cannot_be_installed(store: Store, release: str) -> None:
    def artifact(name: str, *, fetched: bool) -> Artifact:
        return Artifact(
            name=name, fetched=fetched, sha256=release if fetched else None, filename="release.tar" if fetched else None,
            size_bytes=1 if fetched else None, root="demo-*" if fetched else "", payload_sha256=None, first_seen=None,
            attempts=(),
        )  # fmt: skip

    here, gone = artifact("here", fetched=True), artifact("gone", fetched=False)
    record = FetchRecord(artifacts=(here, gone), findings=())
    assert artifact_root(store, gone) is None
    assert artifact_roots(store, record) == {"here": str(source_root(store, release, "release.tar", "demo-*"))}
    assert artifact_files(store, record, ("here",)) == {"here": store.named(release, "release.tar")}
    with pytest.raises(Unavailable, match="the artifact gone could not be fetched"):
        artifact_files(store, record, ("here", "gone"))
