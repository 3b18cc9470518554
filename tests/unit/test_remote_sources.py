"""git, hf and http bring what was published and pinned, and say which of four things is the matter when they cannot."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from hub import Hub, Made, md5_of, sha256_of
from loopback import PackageIndex, closed_port
from small_disk import on_small_disk

from openassay.faults import BadInput, Fault
from openassay.records import parse
from openassay.sources import Source, download, moved, pypi
from openassay.sources import git as git_source
from openassay.sources.fetched import TELL_ITS_OWNER, Interrupted, Unavailable, Unreachable, WrongPin
from openassay.sources.git import GitSource
from openassay.sources.hf import WORKERS, HfSource
from openassay.sources.http import HttpSource
from openassay.store import LINKED_BYTES, DamagedStore, RefusedArchive, Store, files_below

WHERE = "conf/target/demo.yaml: artifacts.weights.sources.0"
REPO = "owner/tiny"
CODE = "https://github.com/owner/code"
MB = 1 << 20


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Between two tries nobody waits; how long they would have is kept."""
    waited: list[float] = []
    monkeypatch.setattr(download, "pause", lambda attempt, patience_s=0.0: waited.append(max(2.0**attempt, patience_s)))
    return waited


def hf(*files: Any, **keys: Any) -> HfSource:
    source: HfSource = parse(HfSource, {"kind": "hf", "repo": REPO, "files": list(files)} | keys, "f")
    return source


def git(commit: str, **keys: Any) -> GitSource:
    source: GitSource = parse(GitSource, {"kind": "git", "url": CODE, "commit": commit} | keys, "f")
    return source


def http(url: str, **keys: Any) -> HttpSource:
    source: HttpSource = parse(HttpSource, {"kind": "http", "url": url} | keys, "f")
    return source


def content(store: Store, fetched: Any) -> dict[str, bytes]:
    tree = store.tree(fetched.sha256, fetched.filename)
    return {path.relative_to(tree).as_posix(): path.read_bytes() for path in files_below(tree)}


def finding(source: Source, store: Store) -> tuple[str, str]:
    with pytest.raises(Unavailable) as problem:
        source.fetch(store, WHERE)
    assert "\n" not in str(problem.value)
    return problem.value.kind, str(problem.value)


# What a target may say

SHA40, SHA64 = "a" * 40, "b" * 64


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"kind": "git", "url": "ext::sh -c touch% x", "commit": SHA40}, "url.*not an address that starts with https"),
        ({"kind": "git", "url": "file:///etc", "commit": SHA40}, "not an address that starts with https"),
        ({"kind": "git", "url": "--upload-pack=x", "commit": SHA40}, "not an address that starts with https"),
        ({"kind": "git", "url": "http://example.org/x", "commit": SHA40}, "is not an https:// address"),
        ({"kind": "git", "url": "https://u:p@example.org/x", "commit": SHA40}, "put them into ~/.netrc"),
        ({"kind": "git", "url": "https://example.org/x", "commit": "main"}, "a commit is 40 hexadecimal digits"),
        ({"kind": "git", "url": "https://example.org/x", "commit": SHA40[:12]}, "a commit is 40 hexadecimal digits"),
        ({"kind": "git", "url": "https://example.org/x", "commit": SHA40, "ref": "--x"}, "not the name of a tag"),
        ({"kind": "git", "url": "https://example.org/x", "commit": SHA40, "paths": ["../x"]}, "not a path in a repo"),
        ({"kind": "git", "url": "https://example.org/x", "commit": SHA40, "paths": []}, "paths"),
        ({"kind": "git", "url": "https://example.org/x", "commit": SHA40, "branch": "x"}, "branch: unknown key"),
        ({"kind": "hf", "repo": "../x", "files": ["a"]}, "is not the name of a repository"),
        ({"kind": "hf", "repo": "a/b/c", "files": ["a"]}, "is not the name of a repository"),
        ({"kind": "hf", "repo": REPO, "files": []}, "files"),
        ({"kind": "hf", "repo": REPO, "files": ["/etc/passwd"]}, "is not a path in a repository"),
        ({"kind": "hf", "repo": REPO, "files": ["a", "a"]}, "stands twice"),
        ({"kind": "hf", "repo": REPO, "files": [{"path": "a", "bytes": [4, 4]}]}, r"bytes: \[4, 4\] is empty"),
        ({"kind": "hf", "repo": REPO, "files": [{"path": "a", "bytes": [-1, 4]}]}, "bytes"),
        ({"kind": "hf", "repo": REPO, "files": [{"path": "a", "sha256": "x"}]}, "a sha256 is 64"),
        ({"kind": "hf", "repo": REPO, "files": ["a"], "repo_type": "space"}, "repo_type"),
        ({"kind": "hf", "repo": REPO, "files": ["a"], "revision": "a b"}, "not the name of a branch or a tag"),
        ({"kind": "http", "url": "ftp://example.org/x"}, "not an address that starts with https"),
        ({"kind": "http", "url": "https://example.org/"}, "names no file"),
        ({"kind": "http", "url": "https://example.org/a b"}, "not an address that starts with https"),
        ({"kind": "http", "url": "https://[x/y"}, "is not an address"),
        ({"kind": "http", "url": "https://example.org/x", "bytes": -1}, "bytes"),
    ],
)
def test_what_no_source_can_be_is_refused_in_one_line(data: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says) as problem:
        parse(Source, data, "f")
    assert "\n" not in str(problem.value)


# The hub


def test_files_of_a_hub_are_listed_checked_and_brought_once(hub: Hub, store: Store) -> None:
    files = {"config.json": b"{}", "model.safetensors": Made(3 * MB), "README.md": b"# Tiny", "data/x.csv": b"1,2\n"}
    commit = hub.commit(REPO, files, revision="step16")
    source = hf("config.json", "*.safetensors", "data/*", revision="step16", commit=commit)
    first = source.fetch(store, WHERE)
    assert (first.downloaded, first.filename, first.size_bytes) == (True, "tiny@step16/", 2 + 3 * MB + 4)
    found = content(store, first)
    assert sorted(found) == ["config.json", "data/x.csv", "model.safetensors"]
    assert hashlib.sha256(found["model.safetensors"]).hexdigest() == sha256_of(files["model.safetensors"])
    assert hub.sent("*/resolve/*") == first.size_bytes
    hub.requests.clear()
    assert source.fetch(store, WHERE) == type(first)(**(vars(first) | {"downloaded": False}))
    assert hub.requests == []  # pinned and here: nobody is asked
    other = Store(store.folder / "other")
    assert source.fetch(other, WHERE).sha256 == first.sha256


def test_a_large_file_is_kept_once_and_a_small_one_is_a_copy(hub: Hub, store: Store) -> None:
    commit = hub.commit(REPO, {"a.bin": Made(LINKED_BYTES), "b.json": b"{}"})
    fetched = hf("*", commit=commit).fetch(store, WHERE)
    tree = store.tree(fetched.sha256, fetched.filename)
    blobs = {file.path: store.blob(file.content) for file in store.manifest(fetched.sha256).files}
    assert (tree / "a.bin").samefile(blobs["a.bin"])
    assert not (tree / "b.json").samefile(blobs["b.json"])
    marker = tree.parent / ".complete"
    before = marker.stat().st_mtime_ns
    os.link(blobs["a.bin"], store.folder / "another tree")  # another release with the same file
    assert store.tree(fetched.sha256, fetched.filename) == tree
    assert marker.stat().st_mtime_ns == before  # the tree was not made anew, and no run is suspected
    (tree / "b.json").write_bytes(b"[]")
    assert (store.tree(fetched.sha256, fetched.filename) / "b.json").read_bytes() == b"{}"


def test_a_damaged_or_lost_file_of_a_folder_is_brought_again_and_no_other(hub: Hub, store: Store) -> None:
    commit = hub.commit(REPO, {"a.bin": Made(2 * MB), "b.bin": Made(2 * MB, seed=1)})
    source = hf("*", commit=commit)
    fetched = source.fetch(store, WHERE)
    blob = store.blob(sha256_of(Made(2 * MB, seed=1)))
    blob.chmod(0o644)
    blob.write_bytes(b"x")
    with pytest.raises(Fault, match="damaged, removed. Run the command again"):
        store.tree(fetched.sha256, fetched.filename)
    hub.requests.clear()
    assert source.fetch(store, WHERE).sha256 == fetched.sha256
    assert [request.path.rpartition("/")[2] for request in hub.asked("*/resolve/*")] == ["b.bin"]
    assert set(content(store, fetched)) == {"a.bin", "b.bin"}


def test_a_revision_is_resolved_and_one_that_was_moved_is_a_finding(hub: Hub, store: Store) -> None:
    first = hub.commit(REPO, {"a.txt": b"1"}, revision="step16")
    assert hf("*", revision="step16").upstream() == first
    second = hub.commit(REPO, {"a.txt": b"2"}, revision="step16")
    assert moved(hf("*", revision="step16", commit=first)) == f"step16 was commit {first}, and is now {second}"
    assert moved(hf("*", revision="step16", commit=second)) == moved(hf("*", commit=first)) == ""
    assert content(store, hf("*", revision="step16", commit=first).fetch(store, WHERE)) == {"a.txt": b"1"}
    assert content(store, hf("*", commit=first).fetch(store, WHERE)) == {"a.txt": b"1"}  # it is there still
    assert hf("*", revision="step16", commit=first).upstream() == second


def test_files_that_are_pinned_by_digest_need_no_commit(hub: Hub, store: Store) -> None:
    hub.commit(REPO, {"a.txt": b"1"})
    file = {"path": "a.txt", "sha256": hashlib.sha256(b"1").hexdigest()}
    assert content(store, hf(file).fetch(store, WHERE)) == {"a.txt": b"1"}
    hub.commit(REPO, {"a.txt": b"2"})
    assert not hf(file).fetch(store, WHERE).downloaded
    kind, said = finding(hf(file), Store(store.folder / "fresh"))
    assert kind == "changed"
    assert file["sha256"] in said


def test_what_a_commit_does_not_hold_is_the_target_files_mistake_and_what_a_branch_lost_is_a_finding(
    hub: Hub, store: Store
) -> None:
    commit = hub.commit(REPO, {"a.txt": b"1"})
    with pytest.raises(WrongPin, match=r"sources\.0\.files\.1: '\*\.bin' matches no file of owner/tiny; it has a\.txt"):
        hf("a.txt", "*.bin", commit=commit).fetch(store, WHERE)
    assert finding(hf("*.bin"), store)[0] == "gone"
    with pytest.raises(WrongPin, match="a.txt has 1 bytes, and bytes up to 9 are asked for"):
        hf({"path": "a.txt", "bytes": [0, 9]}, commit=commit).fetch(store, WHERE)


def test_more_than_was_declared_is_not_fetched(hub: Hub, store: Store) -> None:
    commit = hub.commit(REPO, {"a.bin": Made(5 * MB)})
    with pytest.raises(WrongPin, match=f"the files have {5 * MB} bytes together; at most 1000 are fetched; name fewer"):
        hf("*", commit=commit, max_bytes=1000).fetch(store, WHERE)
    assert finding(hf("*", max_bytes=1000), store)[0] == "refused"
    assert hub.sent("*/resolve/*") == 0
    span = {"path": "a.bin", "bytes": [0, 900]}
    assert hf(span, commit=commit, max_bytes=1000).fetch(store, WHERE).size_bytes == 900


def test_spans_of_a_large_file_are_brought_and_nothing_else_of_it(hub: Hub, store: Store) -> None:
    tokens = Made(1 << 40)  # a terabyte, which nobody could bring
    hub.repositories.clear()
    commit = hub.commit(REPO, {"document.bin": b""})
    hub.repository(REPO).commits[commit]["document.bin"] = _Vast(tokens.size)
    start = (1 << 39) + 17
    source = hf(
        {"path": "document.bin", "bytes": [0, 1000]},
        {"path": "document.bin", "bytes": [start, start + 5]},
        commit=commit,
    )
    found = content(store, source.fetch(store, WHERE))
    assert found == {
        "document.bin": tokens.read(0, 1000), f"document.bin.bytes-{start}-{start + 5}": tokens.read(start, start + 5),
    }  # fmt: skip
    assert hub.sent("*/resolve/*") == 1005


class _Vast(Made):
    """Content whose digest nobody waits for."""


@pytest.fixture(autouse=True)
def _vast(monkeypatch: pytest.MonkeyPatch) -> None:
    import hub as module

    real = {name: getattr(module, name) for name in ("sha256_of", "blob_of")}
    monkeypatch.setattr(module, "sha256_of", lambda c: "c" * 64 if isinstance(c, _Vast) else real["sha256_of"](c))
    monkeypatch.setattr(module, "blob_of", lambda c: "c" * 40 if isinstance(c, _Vast) else real["blob_of"](c))


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "RepoNotFound", "gone"), (404, "RevisionNotFound", "gone"), (410, "", "gone"), (401, "RepoNotFound", "gated"),
        (401, "GatedRepo", "gated"), (403, "GatedRepo", "gated"), (403, "", "gated"), (451, "", "refused"),
    ],
)  # fmt: skip
def test_a_hub_that_refuses_is_a_finding_of_its_kind(hub: Hub, store: Store, status: int, code: str, kind: str) -> None:
    commit = hub.commit(REPO, {"a.txt": b"1"})
    hub.wrong("/api/*", status=status, code=code, times=-1)
    for source in (hf("*"), hf("*", commit=commit)):
        found, said = finding(source, store)
        assert found == kind
        assert f"HTTP {status}" in said
        with pytest.raises(Unavailable) as problem:
            source.upstream()
        assert problem.value.kind == kind


@pytest.mark.parametrize(("status", "kind"), [(401, "gated"), (403, "gated"), (404, "gone"), (410, "gone")])
def test_a_file_of_a_hub_that_is_refused_is_a_finding(hub: Hub, store: Store, status: int, kind: str) -> None:
    commit = hub.commit(REPO, {"a.txt": b"1"})
    hub.wrong("*/resolve/*", status=status)
    assert finding(hf("*", commit=commit), store)[0] == kind


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_hub_in_trouble_is_asked_again_and_then_it_is_a_fault(
    hub: Hub, store: Store, waits: list[float], status: int
) -> None:
    hub.commit(REPO, {"a.txt": b"1"})
    hub.wrong("/api/*", status=status, times=2)
    hub.wrong("*/resolve/*", status=status, times=2, retry_after="7")
    assert content(store, hf("*").fetch(store, WHERE)) == {"a.txt": b"1"}
    assert waits == [2.0, 4.0, 7.0, 7.0]
    hub.wrong("/api/*", status=status, times=-1)
    with pytest.raises(Unreachable, match=f"HTTP {status}") as problem:
        hf("*").fetch(store, WHERE)
    assert problem.value.exit_code == 3
    with pytest.raises(Unreachable):
        hf("*").upstream()


def test_no_hub_and_no_hub_wanted_are_faults_and_what_is_here_needs_none(
    hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.commit(REPO, {"a.txt": b"1"})
    hf("*", commit=commit).fetch(store, WHERE)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(Unreachable, match="Check the network"):
        hf("*").fetch(store, WHERE)
    assert content(store, hf("*", commit=commit).fetch(store, WHERE)) == {"a.txt": b"1"}
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(Unreachable, match="HF_HUB_OFFLINE"):
        hf("*").fetch(store, WHERE)  # a branch: who knows where it is now
    assert content(store, hf("a.txt", commit=commit).fetch(store, WHERE)) == {"a.txt": b"1"}
    with pytest.raises(Unreachable, match="HF_HUB_OFFLINE"):
        hf("*", commit=commit).fetch(Store(store.folder / "fresh"), WHERE)
    hub.wrong("/api/*", times=-1, redirect=hub.url("page"))
    hub.web["page"] = b"<html>log in to this network</html>"
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with pytest.raises(Unreachable):
        hf("*").fetch(store, WHERE)


def test_what_a_hub_gives_is_held_against_what_it_lists(hub: Hub, store: Store) -> None:
    commit = hub.commit(REPO, {"small.json": b"{}", "large.bin": Made(MB)})
    for path, instead in (("small.json", b"[]"), ("large.bin", Made(MB, seed=9))):
        hub.wrong(f"*/{path}", instead=instead, times=-1)
        kind, said = finding(hf(path, commit=commit), store)
        assert kind == "changed"
        assert "the hub lists" in said
    hub.faults.clear()
    assert set(content(store, hf("*", commit=commit).fetch(store, WHERE))) == {"small.json", "large.bin"}


@pytest.mark.parametrize("more", [-1000, 1000])
def test_a_hub_that_lies_about_a_length_is_believed_in_nothing(hub: Hub, store: Store, more: int) -> None:
    commit = hub.commit(REPO, {"a.bin": Made(MB)})
    hub.wrong("*/a.bin", says=more, times=-1)
    kind, said = finding(hf("*", commit=commit), store)
    assert kind == "changed"
    assert f"expected {MB} bytes, the server has {MB + more}" in said
    hub.faults.clear()
    hub.wrong("*/a.bin", says=more, times=1)  # an accident
    assert hf("*", commit=commit).fetch(store, WHERE).size_bytes == MB


def test_a_token_goes_to_the_hub_and_to_no_other_host(
    hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub.token = "hf_canary"
    commit = hub.commit(REPO, {"a.bin": Made(2 * MB), "b.json": b"{}"})
    hub.repository(REPO).gated = True
    assert finding(hf("*", commit=commit), store)[0] == "gated"
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    with Hub(tmp_path / "elsewhere") as elsewhere:
        elsewhere.web["a"] = Made(2 * MB)
        hub.wrong("*/a.bin", redirect=elsewhere.url("a"), times=-1)
        assert hf("*", commit=commit).fetch(store, WHERE).size_bytes == 2 * MB + 2
        hub.wrong("/api/*", redirect=elsewhere.url("api"))
        elsewhere.web["api"] = b"{}"
        with pytest.raises((Unreachable, Unavailable)):
            hf("*", revision="x").upstream()
        assert len(elsewhere.requests) >= 2
        assert [request.token for request in elsewhere.requests] == [None] * len(elsewhere.requests)
    assert {request.token for request in hub.asked("*/resolve/*")} == {None, "Bearer hf_canary"} - {None}
    written = [path.read_bytes() for path in files_below(store.folder) if path.stat().st_size < MB]
    assert not any(b"hf_canary" in text for text in written)


def test_a_wrong_token_is_gated_and_stands_in_no_message(
    hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.token = "hf_right"
    hub.commit(REPO, {"a": b"1"})
    hub.repository(REPO).gated = True
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    kind, said = finding(hf("*"), store)
    assert kind == "gated"
    assert "hf_canary" not in said


def test_a_token_does_not_cross_a_network_unencrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    from openassay.sources.hf import _token

    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    assert _token("http://mirror.example.org") is None
    assert _token("https://mirror.example.org") == "hf_canary"


def test_names_that_leave_the_folder_are_refused(hub: Hub, store: Store) -> None:
    commit = hub.commit(REPO, {"../../evil": b"1"})
    with pytest.raises(RefusedArchive, match="evil"):
        hf("*", commit=commit).fetch(store, WHERE)
    assert hub.sent("*/resolve/*") == 0


def test_a_name_that_no_terminal_shows_is_fetched_as_any(hub: Hub, store: Store) -> None:
    commit = hub.commit(REPO, {"a\u202eb.bin": b"1"})
    assert content(store, hf("*", commit=commit).fetch(store, WHERE)) == {"a\u202eb.bin": b"1"}


def test_a_list_of_files_that_was_wrong_once_is_asked_for_anew(hub: Hub, store: Store) -> None:
    commit = hub.commit(REPO, {"a.bin": Made(MB)})
    hub.repository(REPO).commits[commit]["a.bin"] = Made(MB, seed=1)
    source = hf("*", commit=commit)
    source.listing(store, commit)
    hub.repository(REPO).commits[commit]["a.bin"] = Made(MB)
    assert finding(source, store)[0] == "changed"
    assert source.fetch(store, WHERE).downloaded


@pytest.mark.parametrize("damaged", [b'{"a.bin": [104', b"", b'{"a.bin": ["1", null, null]}'])
def test_a_list_of_files_that_is_damaged_here_is_asked_for_anew(hub: Hub, store: Store, damaged: bytes) -> None:
    commit = hub.commit(REPO, {"a.bin": b"1"})
    source = hf("*", commit=commit)
    listed = source.listing(store, commit)
    source._list_of(store, commit).write_bytes(damaged)
    assert source.listing(store, commit) == listed
    assert source.fetch(store, WHERE).downloaded


def test_proxies_of_the_environment_are_used(hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = hub.commit(REPO, {"a.txt": b"1"})
    hub.web["b"] = b"2"
    monkeypatch.setenv("http_proxy", hub.endpoint)
    huggingface_hub.close_session()  # a process's first call settles its proxies
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example.org")
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    assert content(store, hf("*", commit=commit).fetch(store, WHERE)) == {"a.txt": b"1"}
    assert http("http://files.example.org/web/b").fetch(store, WHERE).size_bytes == 1
    assert len(hub.requests) == 3
    assert {request.token for request in hub.requests} == {None}  # not over an open line
    huggingface_hub.close_session()


def test_two_audits_at_once_bring_a_file_once(hub: Hub, store: Store) -> None:
    commit = hub.commit(REPO, {"a.bin": Made(8 * MB), "b.json": b"{}"})
    sources = [hf("a.bin", commit=commit), hf("*", commit=commit), hf("*.bin", commit=commit)]
    results: list[Any] = []
    threads = [threading.Thread(target=lambda one=one: results.append(one.fetch(store, WHERE))) for one in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.size_bytes for result in results) == [8 * MB, 8 * MB, 8 * MB + 2]
    assert hub.sent("*/resolve/*") == 8 * MB + 2


# Connections that break


def test_a_plug_that_is_pulled_in_a_large_download_costs_nothing_that_came(hub: Hub, store: Store) -> None:
    weights = Made(200 * MB)
    commit = hub.commit(REPO, {"model.safetensors": weights})
    hub.wrong("*/model.safetensors", cut=120 * MB)
    fetched = hf("*", commit=commit).fetch(store, WHERE)
    path = store.tree(fetched.sha256, fetched.filename) / "model.safetensors"
    with path.open("rb") as file:
        assert hashlib.file_digest(file, "md5").hexdigest() == md5_of(weights)
    asked = [request.range for request in hub.asked("*/resolve/*")]
    assert asked[0] is None
    assert asked[1].startswith("bytes=")
    assert 100 * MB < int(asked[1].removeprefix("bytes=").rstrip("-")) <= 120 * MB
    assert hub.sent("*/resolve/*") < 1.05 * weights.size


def test_a_download_that_was_killed_goes_on_in_another_process(hub: Hub, store: Store) -> None:
    commit = hub.commit(REPO, {"a.bin": Made(30 * MB)})
    hub.wrong("*/a.bin", cut=10 * MB)
    hub.wrong("*/a.bin", silent=True)
    program = (
        "import sys; from pathlib import Path; from openassay.sources.hf import HfSource; from openassay.store import Store\n"
        f"HfSource(kind='hf', repo={REPO!r}, files=('*',), commit={commit!r}).fetch(Store(Path({str(store.folder)!r})), 'x')"
    )
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL) as process:
        stuck = threading.Event()
        for _ in range(400):
            if len(hub.asked("*/a.bin")) == 2:
                break
            stuck.wait(0.05)
        process.kill()
    hub.requests.clear()
    assert hf("*", commit=commit).fetch(store, WHERE).size_bytes == 30 * MB
    assert hub.sent("*/resolve/*") <= 21 * MB
    assert store.has(sha256_of(Made(30 * MB)))


def test_two_versions_of_a_file_are_not_joined(hub: Hub, store: Store) -> None:
    url = hub.url("a.bin")
    hub.web["a.bin"] = Made(3 * MB)
    hub.wrong("*/a.bin", cut=MB, times=1)
    hub.wrong("*/a.bin", silent=False, status=500, times=3)
    with pytest.raises(Unreachable):
        http(url).fetch(store, WHERE)
    hub.web["a.bin"] = Made(3 * MB, seed=1)
    fetched = http(url).fetch(store, WHERE)
    assert fetched.sha256 == sha256_of(Made(3 * MB, seed=1))


def test_a_part_without_a_version_that_joins_badly_is_brought_whole_before_anybody_is_blamed(
    hub: Hub, store: Store
) -> None:
    hub.web["a.bin"] = Made(2 * MB)
    hub.wrong("*/a.bin", times=-1, no_version=True)
    source = http(hub.url("a.bin"), sha256=sha256_of(Made(2 * MB)))
    store.part(source.key()).write_bytes(b"of another time" * 1000)
    assert source.fetch(store, WHERE).sha256 == source.sha256


class Clock:
    """A time that passes only where somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize("took_s", [0.0, 1.0, 9.0, 20.0, 25.0, 30.0, 50.0])
@pytest.mark.parametrize("patience_s", [0.0, 5.0, 25.0, 55.0, 1e9])
def test_no_server_is_waited_for_longer_than_a_minute_in_all(
    monkeypatch: pytest.MonkeyPatch, took_s: float, patience_s: float
) -> None:
    clock, calls = Clock(), []
    monkeypatch.setattr(download, "time", clock)
    monkeypatch.setattr(download, "pause", lambda *about: clock.sleep(download.pause_s(*about)))

    def call() -> None:
        calls.append(clock.now)
        clock.sleep(took_s)
        raise Interrupted("HTTP 503", None, patience_s)

    with pytest.raises(Unreachable, match=r"^http://example\.org/x: HTTP 503.* \(\d attempts?\)\. Check") as said:
        download.tried(call, "http://example.org/x")
    assert clock.now <= download.PATIENCE_S
    assert len(calls) <= download.TRIES
    assert ("it asks to be left alone for 1000000000 s" in str(said.value)) == (patience_s == 1e9)
    assert len(calls) > 1 or took_s >= 30 or patience_s >= 55 or (took_s, patience_s) in {(20.0, 25.0), (25.0, 25.0)}


def test_a_download_that_makes_progress_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, came = Clock(), [0]
    monkeypatch.setattr(download, "time", clock)
    monkeypatch.setattr(download, "pause", lambda *about: clock.sleep(download.pause_s(*about)))

    def call() -> str:
        clock.sleep(3600)
        came[0] += download.SLOW_BYTES
        if came[0] < 4 * download.SLOW_BYTES:
            raise Interrupted("the connection closed before the end", None, 30.0)
        return "whole"

    assert download.tried(call, "x", came=lambda: came[0]) == "whole"


@pytest.mark.parametrize("retry_after", ["61", "1000000000", "1e300"])
def test_a_server_that_asks_for_more_patience_than_there_is_gets_none(
    hub: Hub, store: Store, waits: list[float], retry_after: str
) -> None:
    hub.web["a.bin"] = b"1"
    hub.wrong("/web/a.bin", status=429, times=9, retry_after=retry_after)
    with pytest.raises(
        Unreachable, match=rf"{hub.url('a.bin')}: HTTP 429; it asks to be left alone for .* \(1 attempt\)"
    ):
        http(hub.url("a.bin"), sha256=SHA64).fetch(store, WHERE)
    assert waits == []


@pytest.mark.parametrize("kind", ["git", "hf", "pypi"])
def test_pages_that_never_end_are_given_up_and_their_host_is_named(
    store: Store, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(download, "PATIENCE_S", 1.0)
    monkeypatch.setattr(git_source, "PATIENCE_S", 1.0)
    monkeypatch.setattr(pypi, "PATIENCE_S", 1.0)
    with PackageIndex() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.root)
        monkeypatch.setenv("PIP_INDEX_URL", server.url)
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        pypi.package_index.cache_clear()
        source: Source = parse(Source, {
            "git": {"kind": "git", "url": f"{server.root}/x.git", "commit": SHA40},
            "hf": {"kind": "hf", "repo": REPO, "files": ["a"], "commit": SHA40},
            "pypi": {"kind": "pypi", "package": "demo", "version": "1.0"},
        }[kind], "f")  # fmt: skip
        server.silent |= {"/x.git/info/refs", f"/api/models/{REPO}/revision/{SHA40}", "/simple/demo/"}
        with pytest.raises(Unreachable, match=r"it (takes|took) more than 1 s.* Check the network") as said:
            source.fetch(store, WHERE)
        assert server.root in str(said.value)
    pypi.package_index.cache_clear()


@pytest.mark.parametrize("way", ["drip", "drip_headers", "silent"])
def test_a_server_that_hardly_moves_is_given_up_in_time(
    hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(download, "TIMEOUT_S", 0.3)
    monkeypatch.setattr(download, "SLOW_S", 0.3)
    monkeypatch.setattr(download, "TRIES", 2)
    hub.web["a"] = b"x" * 1000
    hub.wrong("*/a", times=-1, **{way: True if way == "silent" else 0.2})
    with pytest.raises(Unreachable, match="2 attempts"):
        http(hub.url("a")).fetch(store, WHERE)


def test_many_small_files_come_over_few_connections_which_share_no_cookies(hub: Hub, store: Store) -> None:
    hub.commit(REPO, {f"{number}.json": b"%d" % number for number in range(40)})
    hub.wrong("*.json", times=-1, cookie="who=me")
    hf("*").fetch(store, WHERE)
    asked = hub.asked("*.json")
    assert len(asked) == 40
    assert len({request.port for request in asked}) <= WORKERS
    assert {request.cookie for request in asked} == {None}


@pytest.mark.parametrize("way", ["drip_headers", "silent"])
def test_a_server_that_stops_moving_on_a_kept_connection_is_given_up_in_time(
    hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(download, "TIMEOUT_S", 0.3)
    monkeypatch.setattr(download, "TRIES", 1)
    hub.web.update({"a": b"x", "b": b"y" * 1000})
    hub.wrong("*/b", times=-1, **{way: True if way == "silent" else 0.2})
    http(hub.url("a")).fetch(store, WHERE)
    with pytest.raises(Unreachable, match=r"\(1 attempt\)"):
        http(hub.url("b")).fetch(store, WHERE)
    assert len({request.port for request in hub.asked("/web/*")}) == 1


def test_a_body_without_end_is_given_up(hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.web["a"] = b""
    hub.wrong("*/a", times=-1, endless=True)
    source = http(hub.url("a"))
    monkeypatch.setattr(HttpSource, "wanted", lambda self: download.Wanted(url=self.url, label="a", most_bytes=4 * MB))
    kind, said = finding(source, store)
    assert (kind, f"more than {4 * MB} bytes, the most that are accepted" in said) == ("refused", True)
    assert not list((store.folder / "parts").iterdir())


# The web


def test_a_file_of_the_web_is_brought_once_and_known_by_its_first_digest(hub: Hub, store: Store) -> None:
    hub.web["data set.csv"] = b"1,2\n"
    digest = hashlib.sha256(b"1,2\n").hexdigest()
    source = http(hub.url("data set.csv"), sha256=digest, bytes=4)
    first = source.fetch(store, WHERE)
    assert (first.sha256, first.filename, first.downloaded) == (digest, "data set.csv", True)
    hub.web.clear()
    assert not source.fetch(store, WHERE).downloaded
    assert not http(source.url).fetch(store, WHERE).downloaded  # unpinned: what it gave first
    assert len(hub.asked("/web/*")) == 1


def test_an_address_with_another_file_is_a_finding(hub: Hub, store: Store) -> None:
    hub.web["a"] = b"new"
    old = hashlib.sha256(b"old").hexdigest()
    kind, said = finding(http(hub.url("a"), sha256=old), store)
    assert (kind, said) == (
        "changed",
        f"expected sha256 {old}, the address now gives {hashlib.sha256(b'new').hexdigest()}",
    )
    kind, said = finding(http(hub.url("a"), sha256=old, bytes=4), store)
    assert (kind, "expected 4 bytes, the server has 3" in said) == ("changed", True)
    assert not list((store.folder / "parts").iterdir())


@pytest.mark.parametrize(
    ("status", "kind"), [(401, "gated"), (403, "gated"), (404, "gone"), (410, "gone"), (451, "refused")]
)
def test_an_address_that_refuses_is_a_finding_and_one_in_trouble_a_fault(
    hub: Hub, store: Store, status: int, kind: str
) -> None:
    hub.wrong("*/a", status=status, times=-1)
    assert finding(http(hub.url("a")), store)[0] == kind
    with pytest.raises(Unavailable) as problem:
        http(hub.url("a")).upstream()
    assert problem.value.kind == kind
    hub.faults.clear()
    hub.wrong("*/a", status=502, times=-1)
    with pytest.raises(Unreachable):
        http(hub.url("a")).fetch(store, WHERE)
    with pytest.raises(Unreachable):
        http(hub.url("a")).upstream()


def test_a_refusal_by_the_host_that_an_address_leads_to_is_tried_again(hub: Hub, store: Store, tmp_path: Path) -> None:
    with Hub(tmp_path / "mirror") as mirror:
        mirror.web["a"] = b"1"
        hub.wrong("*/a", redirect=mirror.url("a").replace("127.0.0.1", "localhost"), times=-1)
        mirror.wrong("*/a", status=403, times=1)  # the link had expired
        assert http(hub.url("a")).fetch(store, WHERE).size_bytes == 1
        mirror.wrong("*/a", status=403, times=-1)
        kind, said = finding(http(hub.url("a")), Store(tmp_path / "fresh"))
        assert (kind, "which leads to localhost" in said) == ("gated", True)


def test_what_lies_at_an_address_is_looked_at_without_bringing_it(hub: Hub) -> None:
    hub.web["a"] = Made(5 * MB)
    seen = http(hub.url("a")).upstream()
    assert seen == http(hub.url("a")).upstream()
    hub.web["a"] = Made(5 * MB, seed=1)
    assert http(hub.url("a")).upstream() != seen
    hub.wrong("*/a", times=1, status=405)
    assert http(hub.url("a")).upstream() != seen
    assert hub.sent("/web/*") < MB


def test_a_password_of_netrc_goes_to_its_host_only(
    hub: Hub, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login alice password s3cret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with Hub(tmp_path / "elsewhere") as elsewhere:
        elsewhere.web["a"] = b"1"
        hub.wrong("*/a", redirect=elsewhere.url("a"), times=-1)
        http(hub.url("a")).fetch(store, WHERE)
        assert hub.requests[-1].token.startswith("Basic ")
        assert elsewhere.requests[-1].token is None


@pytest.mark.parametrize("end", ["..", "%2e%2e", "a%2f..", "%2f", "%00", "a%0ab"])
def test_an_address_whose_last_part_is_no_name_is_refused(end: str) -> None:
    with pytest.raises(BadInput, match="cannot be the name of a file"):
        http(f"https://example.org/{end}")


@pytest.mark.parametrize(
    ("url", "login"),
    [
        ("https://ours.example/a", ("alice", "s3cret")),
        ("http://ours.example/a", None),  # in the clear
        ("https://other.example/a", None),  # the entry for all other hosts is not for one that a target names
    ],
)
def test_a_password_of_netrc_is_not_sent_in_the_clear_nor_to_any_host(
    url: str, login: tuple[str, str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "machine ours.example login alice password s3cret\ndefault login bob password any\n"
    (tmp_path / "netrc").write_text(text)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert http(url).wanted().login == login


# Git


def test_a_commits_files_are_brought_without_its_history_and_once(hub: Hub, store: Store) -> None:
    first = hub.git("owner/code", {"train.py": b"print(1)\n", "old.bin": os.urandom(3 * MB)}, tag="v0.9")
    commit = hub.git(
        "owner/code",
        {"train.py": b"print(2)\n", "models/a.yml": b"a: 1\n", "data/big.bin": os.urandom(2 * MB)},
        tag="v1.0",
    )
    source = git(commit, ref="v1.0", paths=["models/", "train.py"])
    fetched = source.fetch(store, WHERE)
    assert (fetched.downloaded, fetched.filename) == (True, "code@v1.0/")
    assert content(store, fetched) == {"train.py": b"print(2)\n", "models/a.yml": b"a: 1\n"}
    assert sum(request.sent for request in hub.requests) < 20_000  # neither the old nor the large file
    hub.requests.clear()
    assert not source.fetch(store, WHERE).downloaded
    assert hub.requests == []
    whole = git(commit).fetch(store, WHERE)
    assert set(content(store, whole)) == {"train.py", "models/a.yml", "data/big.bin"}
    assert content(store, git(first, ref="v0.9", paths=["train.py"]).fetch(store, WHERE)) == {"train.py": b"print(1)\n"}
    fresh = Store(store.folder / "fresh")
    assert git(commit).fetch(fresh, WHERE).sha256 == whole.sha256


def test_what_lies_beside_the_files_that_were_fetched_is_known_by_its_name(hub: Hub, store: Store) -> None:
    commit = hub.git("owner/code", {"README.md": b"See [it](docs/a.md).\n", "docs/a.md": b"a\n", "b.py": b""})
    source = git(commit, paths=["README.md"])
    assert source.all_paths(store) is None  # nothing was fetched yet
    source.fetch(store, WHERE)
    hub.requests.clear()
    assert source.all_paths(store) == {"README.md": False, "docs/a.md": False, "b.py": False}
    assert hub.requests == []


def test_what_an_earlier_fetch_of_a_commit_brought_is_not_asked_for_again(
    hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_source, "BATCH", 2)
    files = {f"{number}.bin": os.urandom(MB // 4) for number in range(6)}
    commit = hub.git("owner/code", files)
    git(commit, paths=["0.bin", "1.bin", "2.bin", "3.bin"]).fetch(store, WHERE)
    before = hub.sent() + sum(request.sent for request in hub.asked(method="POST"))
    assert before > MB
    hub.requests.clear()
    assert content(store, git(commit).fetch(store, WHERE)) == files
    assert sum(request.sent for request in hub.requests) < 0.6 * MB


@pytest.mark.parametrize("server", ["no bare commits", "no filter", "plain files"])
def test_older_servers_serve_too(hub: Hub, store: Store, server: str) -> None:
    commit = hub.git("owner/code", {"a.py": b"1\n", "b/c.py": b"2\n"})
    hub.git("owner/code", {"a.py": b"later\n"})
    if server == "plain files":
        hub.smart_git = False
    else:
        name = "allowAnySHA1InWant" if server == "no bare commits" else "allowFilter"
        subprocess.run(["git", "config", f"uploadpack.{name}", "false"], cwd=hub.bare("owner/code"), check=True)
    url = CODE + (".git" if server == "plain files" else "")
    fetched = git(commit, url=url).fetch(store, WHERE)
    assert content(store, fetched) == {"a.py": b"1\n", "b/c.py": b"2\n"}


def test_a_tag_that_was_moved_or_taken_away_is_a_finding(hub: Hub, store: Store) -> None:
    first = hub.git("owner/code", {"a.py": b"1"}, tag="v1")
    second = hub.git("owner/code", {"a.py": b"2"}, tag="v1")
    assert moved(git(first, ref="v1")) == f"v1 was commit {first}, and is now {second}"
    assert moved(git(first, ref="v9")).startswith(f"v9 was commit {first}, and is gone")
    assert moved(git(second, ref="v1")) == moved(git(first)) == ""
    assert content(store, git(first, ref="v1").fetch(store, WHERE)) == {"a.py": b"1"}
    assert (git(first).upstream(), git(first, ref="v1").upstream(), git(first, ref="main").upstream()) == (second,) * 3


def test_a_commit_or_a_repository_that_is_not_there_is_a_finding(hub: Hub, store: Store) -> None:
    hub.git("owner/code", {"a.py": b"1"})
    kind, said = finding(git("1" * 40), store)
    assert (kind, "1" * 40 in said) == ("gone", True)
    for smart in (True, False):
        hub.smart_git = smart
        assert finding(git("1" * 40, url="https://github.com/owner/nowhere.git"), store)[0] == "gone"
    with pytest.raises(Unavailable) as problem:
        git("1" * 40, url="https://github.com/owner/nowhere").upstream()
    assert problem.value.kind == "gone"


@pytest.mark.parametrize(("status", "kind"), [(401, "gated"), (403, "gated"), (404, "gone"), (410, "gone")])
def test_a_git_host_that_refuses_is_a_finding(hub: Hub, store: Store, status: int, kind: str) -> None:
    commit = hub.git("owner/code", {"a.py": b"1"})
    hub.wrong("/git/*", status=status, times=-1)
    assert finding(git(commit), store)[0] == kind


def test_a_git_host_in_trouble_is_a_fault(
    hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    commit = hub.git("owner/code", {"a.py": b"1", "b.bin": os.urandom(MB)})
    hub.wrong("/git/*", status=503, times=1)
    hub.wrong("/git/*/git-upload-pack", cut=100, times=1)
    assert set(content(store, git(commit).fetch(store, WHERE))) == {"a.py", "b.bin"}
    assert waits
    hub.wrong("/git/*", status=500, times=-1)
    with pytest.raises(Unreachable, match="500"):
        git(commit, paths=["a.py"]).fetch(Store(store.folder / "fresh"), WHERE)
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.http://127.0.0.1:{closed_port()}/.insteadOf")
    with pytest.raises(Unreachable, match="Check the network"):
        git(commit).upstream()


def test_nothing_of_a_repository_is_run_or_followed(
    hub: Hub, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
    files = {
        "a.py": b"1\r\n", ".gitattributes": b"*.bin filter=evil\n* text=auto eol=lf\n*.py ident working-tree-encoding=utf-16\n",
        ".lfsconfig": b"[lfs]\nurl = http://127.0.0.1:1/\n", "w.bin": pointer, "x.bin": pointer,
        ".gitmodules": b"[submodule \"s\"]\n path = s\n url = ext::sh -c touch\n", "s": b"1" * 40, "link": b"/etc/passwd", "up": b"..",
    }  # fmt: skip
    modes = {"s": "160000", "link": "120000", "up": "120000"}
    commit = hub.git("owner/code", files, modes=modes)
    marker = tmp_path / "marker"
    template = tmp_path / "template"
    (template / "hooks").mkdir(parents=True)
    for hook in ("post-checkout", "reference-transaction", "post-merge"):
        (template / "hooks" / hook).write_text(f"#!/bin/sh\ntouch {marker}\n")
        (template / "hooks" / hook).chmod(0o755)
    (tmp_path / "gitconfig").write_text(f'[init]\ntemplateDir = {template}\n[filter "evil"]\nsmudge = touch {marker}\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    fetched = git(commit).fetch(store, WHERE)
    taken = {name: data for name, data in files.items() if name not in modes}
    assert content(store, fetched) == taken
    assert fetched.left_out == ("2 symbolic links: link, up", "1 submodule: s", "2 Git LFS pointers: w.bin, x.bin")
    assert git(commit).fetch(store, WHERE).left_out == fetched.left_out  # also from the store
    assert not marker.exists()


def test_a_path_that_a_commit_does_not_hold_is_the_target_files_mistake(hub: Hub, store: Store) -> None:
    commit = hub.git("owner/code", {"models/a.yml": b"1", "b": b"2"})
    for path in ("nowhere", "models", "b/"):
        with pytest.raises(
            WrongPin, match=rf"sources\.0\.paths\.1: '{path}' is not in commit {commit[:12]}; a folder ends"
        ):
            git(commit, paths=["b", path]).fetch(store, WHERE)


def test_the_users_insteadof_may_lead_to_a_folder_and_to_no_program(
    hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commit = hub.git("owner/code", {"a.py": b"1"})
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.file://{hub.folder}/git/.insteadOf")
    assert content(store, git(commit, url=f"{CODE}.git").fetch(store, WHERE)) == {"a.py": b"1"}
    told = git(commit, url=f"{CODE}.git").detour()
    assert "insteadOf" in told
    assert str(hub.folder) not in told  # it may be private
    assert git(commit, url="https://example.org/a/b").detour() == ""
    marker = tmp_path / "marker"
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.ext::sh -c touch% {marker}% .insteadOf")
    with pytest.raises(BadInput, match="that protocol is not allowed"):
        git(commit).fetch(Store(tmp_path / "fresh"), WHERE)
    assert not marker.exists()


def test_a_git_that_was_killed_leaves_nothing_in_the_way(hub: Hub, store: Store) -> None:
    commit = hub.git("owner/code", {"a.py": b"1"})
    later = hub.git("owner/code", {"a.py": b"2"})
    git(commit).fetch(store, WHERE)
    clone = next((store.folder / "git").iterdir())
    for name in ("shallow.lock", "config.lock", "objects/pack/tmp_pack_x"):
        (clone / name).write_text("")
    assert content(store, git(later).fetch(store, WHERE)) == {"a.py": b"2"}


def test_a_system_without_git_is_said_to_be_one(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hub: Hub
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert finding(git(SHA40), store)[0] == "unsupported"


def test_a_repository_that_sends_without_end_is_given_up(
    hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.git("owner/code", {"a": os.urandom(2 * MB)})
    monkeypatch.setattr(git_source, "MAX_UNPACKED_BYTES", MB)
    assert finding(git(commit), store)[0] == "refused"


# Parts of large files


def test_a_span_is_brought_alone_and_goes_on_where_the_connection_was_cut(hub: Hub, store: Store) -> None:
    commit = hub.commit(REPO, {"d.bin": Made(9 * MB)})
    hub.wrong("*/d.bin", cut=2 * MB)
    fetched = hf({"path": "d.bin", "bytes": [MB, 6 * MB]}, commit=commit).fetch(store, WHERE)
    assert content(store, fetched) == {f"d.bin.bytes-{MB}-{6 * MB}": Made(9 * MB).read(MB, 6 * MB)}
    assert hub.sent("*/d.bin") < 5.1 * MB


def test_a_span_of_a_file_that_came_is_not_asked_for_again_and_a_longer_one_starts_over(hub: Hub, store: Store) -> None:
    hub.web["d"] = Made(MB)
    part = store.part("d")
    for left, asked in ((b"", "bytes=10-19"), (b"x" * 4, "bytes=14-19"), (b"x" * 11, "bytes=10-19"), (b"x" * 10, None)):
        part.write_bytes(left)
        hub.requests.clear()
        download.bring(download.Wanted(url=hub.url("d"), label="d", span=(10, 20)), part)
        assert [request.range for request in hub.requests] == ([asked] if asked else [])
        assert part.stat().st_size == 10


def test_a_server_without_ranges_and_a_file_that_ends_early_are_findings(hub: Hub, store: Store) -> None:
    def bring(first: int, stop: int) -> Path:
        part = store.part(f"{first} {stop}")
        download.bring(download.Wanted(url=hub.url("d"), label="d", span=(first, stop)), part)
        return part

    hub.web["d"] = b"x" * 1000
    hub.wrong("*/d", no_ranges=True)
    with pytest.raises(Unavailable, match="does not support byte ranges") as problem:
        bring(10, 20)
    assert problem.value.kind == "refused"
    for start in (990, 5000):
        with pytest.raises(Unavailable, match="ends") as problem:
            bring(start, 5010)
        assert problem.value.kind == "changed"
    hub.wrong("*/d", no_ranges=True)
    assert bring(0, 20).read_bytes() == b"x" * 20


SCALE = 64
"""Everything of Pythia-14M's replay of steps 0 to 16, divided by this."""


def test_a_replay_brings_no_more_than_five_per_cent_beyond_what_it_reads(hub: Hub, store: Store) -> None:
    """Checkpoints of steps 0, 1, 2, 4, 8, 16, the first rows of the preshuffled tokens, and the head of their index."""
    checkpoint, batch_bytes = 28_140_000 // SCALE, 1024 * 2049 * 2 // SCALE
    steps = (0, 1, 2, 4, 8, 16)
    commits = {
        step: hub.commit(
            REPO, {"model.safetensors": Made(checkpoint, seed=step), "config.json": b"{}"}, revision=f"step{step}"
        )
        for step in steps
    }
    tokens, heads = Made(143_000 * batch_bytes), Made(12_000_000 // SCALE, seed=77)
    data = "owner/tokens"
    at = hub.commit(data, {"document.bin": b"", "document.idx": heads}, repo_type="dataset")
    hub.repository(data, "dataset").commits[at]["document.bin"] = _Vast(tokens.size)
    needed = 0
    for step in steps:
        found = hf("model.safetensors", revision=f"step{step}", commit=commits[step]).fetch(store, WHERE)
        needed += found.size_bytes
    header = 34 + 12 * 1024 // SCALE
    spans = [{"path": "document.idx", "bytes": [0, header]}, {"path": "document.bin", "bytes": [0, 16 * batch_bytes]}]
    fetched = hf(*spans, commit=at, repo=data, repo_type="dataset").fetch(store, WHERE)
    needed += header + 16 * batch_bytes
    assert content(store, fetched)["document.bin"] == tokens.read(0, 16 * batch_bytes)
    sent = sum(request.sent for request in hub.requests)  # the hub's lists of files included
    print(f"bytes sent {sent}, bytes needed {needed}, ratio {sent / needed:.4f}")
    assert sent / needed <= 1.05
    assert hub.sent("*/resolve/*") == needed


# All sources


def test_one_artifact_is_one_digest_whatever_brought_it(hub: Hub, store: Store) -> None:
    files = {"a.py": b"1\n", "data/b.csv": b"2\n"}
    one = hf("*", commit=hub.commit(REPO, dict(files))).fetch(store, WHERE)
    other = git(hub.git("owner/code", files)).fetch(store, WHERE)
    assert one.sha256 == other.sha256
    pinned = hf("*", sha256=one.sha256)
    assert pinned.fetch(store, WHERE).sha256 == one.sha256
    hub.commit(REPO, {"a.py": b"3\n"})
    assert finding(pinned, Store(store.folder / "fresh"))[0] == "changed"


def test_progress_is_a_line_for_each_file_where_nobody_watches(
    hub: Hub, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    hf("*", commit=hub.commit(REPO, {"a.bin": b"1", "b.bin": b"22"})).fetch(store, WHERE)
    said = capsys.readouterr()
    assert said.out == ""
    assert sorted(said.err.split("\n")) == ["", "    a.bin: 1 bytes", "    b.bin: 2 bytes"]


def test_the_hub_runs_as_a_process_of_its_own(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch, hub: Hub
) -> None:
    for name in (
        "models/owner/tiny/step0/a.json",
        "models/owner/tiny/step1/a.json",
        "datasets/owner/d/main/x.csv",
        "git/owner/code/a.py",
        "web/f",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    repo = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.hub", str(tmp_path)], cwd=repo, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            for _ in hub.variables():
                name, _, value = process.stdout.readline().removeprefix("export ").strip().partition("=")
                monkeypatch.setenv(name, value)
            found = content(store, hf("*", revision="step0").fetch(store, WHERE))
            assert found == {"a.json": b"models/owner/tiny/step0/a.json"}
            found = content(store, hf("*", repo="owner/d", repo_type="dataset").fetch(store, WHERE))
            assert found == {"x.csv": b"datasets/owner/d/main/x.csv"}
            tip = git(SHA40).upstream()
            assert content(store, git(tip).fetch(store, WHERE)) == {"a.py": b"git/owner/code/a.py"}
            assert http(os.environ["HF_ENDPOINT"] + "/web/f").fetch(store, WHERE).size_bytes == len("web/f")
        finally:
            process.kill()


def flip(path: Path, at: float) -> None:
    """Change one byte of a file, at this share of its length."""
    data = bytearray(path.read_bytes())
    data[int(len(data) * at)] ^= 0xFF
    path.chmod(0o644)
    path.write_bytes(data)


@pytest.mark.parametrize(("pack", "at"), [(0, 0.1), (0, 0.5), (1, 0.1), (1, 0.5)])
def test_a_clone_that_is_damaged_here_is_removed_and_brought_anew(hub: Hub, store: Store, pack: int, at: float) -> None:
    source = git(hub.git("owner/code", {f"f{n}.bin": os.urandom(1000) for n in range(3)}))
    sha256 = source.fetch(store, WHERE).sha256
    flip(sorted((store.folder / "git").rglob("*.pack"), key=lambda path: path.stat().st_size)[pack], at)
    (store.folder / "seen.json").unlink()
    with pytest.raises(
        DamagedStore, match=r"git/[0-9a-f]{32}: damaged, removed \(git .*\)\. Run the command again\."
    ) as said:
        source.fetch(store, WHERE)
    assert "\n" not in str(said.value)
    assert source.fetch(store, WHERE).sha256 == sha256


def test_a_users_broken_setting_of_git_removes_no_clone(
    hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = git(hub.git("owner/code", {"a": b"1"}))
    source.fetch(store, WHERE)
    (store.folder / "seen.json").unlink()
    (tmp_path / "gitconfig").write_text("[core\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    with pytest.raises(Fault, match="bad config line 1 in file"):
        source.fetch(store, WHERE)
    assert list((store.folder / "git").rglob("*.pack"))


@pytest.mark.parametrize("kind", ["blob", "tree", "commit"])
def test_an_object_that_is_damaged_on_the_server_is_the_servers(hub: Hub, store: Store, kind: str) -> None:
    tip = hub.git("owner/code", {"a.bin": os.urandom(1000)})
    bare = hub.bare("owner/code")
    name = subprocess.check_output(
        ["git", "-C", str(bare), "rev-parse", tip + {"blob": ":a.bin", "tree": "^{tree}", "commit": ""}[kind]],
        text=True,
    ).strip()
    flip(bare / "objects" / name[:2] / name[2:], 0.5)
    with pytest.raises(Unreachable) as said:
        git(tip).fetch(store, WHERE)
    assert TELL_ITS_OWNER in str(said.value)
    assert "Check the network" not in str(said.value)
    assert ("corrupt" in str(said.value)) == (kind != "commit")  # of a commit, the server says nothing at all


@pytest.mark.parametrize(
    ("to", "says"),
    [("", "redirect"), ("file:///etc/passwd", "file"), ("gopher://127.0.0.1/x", "gopher")],
)
@pytest.mark.parametrize("kind", ["http", "git", "hf"])
def test_a_redirect_that_leads_nowhere_is_the_servers(
    store: Store, monkeypatch: pytest.MonkeyPatch, kind: str, to: str, says: str
) -> None:
    with PackageIndex() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.root)
        path, source = {
            "http": ("/x.bin", http(f"{server.root}/x.bin", sha256=SHA64)),
            "git": ("/x.git/info/refs", parse(GitSource, {"kind": "git", "url": f"{server.root}/x.git", "commit": SHA40}, "f")),
            "hf": (f"/api/models/{REPO}/revision/{SHA40}", hf("a", commit=SHA40)),
        }[kind]  # fmt: skip
        server.redirects[path] = to or f"{path}?service=git-upload-pack"
        with pytest.raises(Unreachable) as said:
            source.fetch(store, WHERE)
    assert server.root in str(said.value)
    assert says in str(said.value)
    assert str(said.value).endswith(TELL_ITS_OWNER)


# This machine

FETCH = """
import sys
from pathlib import Path
from openassay.faults import faults_in_one_line
from openassay.records import parse
from openassay.sources import Source
from openassay.store import Store
store = Store(Path(sys.argv[1]))
with faults_in_one_line():
    fetched = parse(Source, {"kind": sys.argv[2], **eval(sys.argv[3])}, "f").fetch(store, "f")
    store.tree(fetched.sha256, fetched.filename)
"""


@pytest.mark.parametrize(("size", "kind"), [("1m", "http"), ("3m", "http"), ("1m", "hf"), ("1m", "git"), ("3m", "git")])
def test_a_full_disk_is_a_fault_that_says_so(hub: Hub, tmp_path: Path, size: str, kind: str) -> None:
    hub.web["data.bin"] = Made(2 * MB)
    keys = {
        "http": {"url": hub.url("data.bin"), "sha256": sha256_of(Made(2 * MB))},
        "hf": {"repo": REPO, "files": ["a.bin"], "commit": hub.commit(REPO, {"a.bin": Made(2 * MB)})},
        "git": {"url": CODE, "commit": hub.git("owner/code", {"a.bin": Made(2 * MB).read(0, 2 * MB)})},
    }[kind]
    done = on_small_disk(tmp_path / "store", size, FETCH, str(tmp_path / "store"), kind, repr(keys))
    assert done.returncode == 3
    said = done.stderr.splitlines()[-1]
    assert said.startswith("error: ")
    assert "No space left on device" in said
    assert "free some" in said
    assert "network" not in said
