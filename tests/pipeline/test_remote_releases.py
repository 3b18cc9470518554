"""A release that lies on a hub or a git host is audited as one on this machine is; what went wrong there is told apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub import Hub
from loopback import closed_port
from releases.miniature import add_release, make_project, write_index
from releases.stages import SETTINGS, audit

from openassay import cli
from openassay.core.findings import Artifact, FetchRecord
from openassay.core.verdict_records import Outcome
from openassay.faults import BadInput
from openassay.layout import Layout
from openassay.plan import make_plan
from openassay.records import parse, read_record
from openassay.sources import Source, download
from openassay.sources.fetched import Unreachable, WrongPin
from openassay.stages import fetch
from openassay.store import Store, files_below
from openassay.target import read_target


@pytest.fixture
def hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.setattr(download, "pause", lambda *_: None)
    return hub


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    root = make_project(tmp_path / "project")
    layout = add_release(root, "honest")
    write_index(root, ["honest"])
    monkeypatch.chdir(root)
    return layout


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def released(layout: Layout) -> dict[str, bytes]:
    """The files of the miniature release."""
    folder = layout.root / "releases" / "honest"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files_below(folder)}


def publish(layout: Layout, *sources: dict[str, Any], payload: bool = False) -> None:
    """Let the target's artifact come from these sources."""
    data = yaml.safe_load(layout.target_file.read_text())
    artifact = data["artifacts"]["code"]
    artifact["sources"] = list(sources)
    if not payload:
        del artifact["payload"]
    layout.target_file.write_text(yaml.safe_dump(data))


def fetched(layout: Layout, store: Store) -> tuple[FetchRecord, Artifact]:
    record = fetch.run(make_plan(layout, SETTINGS), store, layout)
    return record, record.artifacts[0]


@pytest.mark.parametrize("kind", ["git", "hf"])
def test_a_release_on_a_host_is_audited_like_any_other(hub: Hub, layout: Layout, kind: str) -> None:
    if kind == "git":
        commit = hub.git("owner/code", released(layout), tag="v1")
        publish(
            layout, {"kind": "git", "url": "https://github.com/owner/code", "commit": commit, "ref": "v1"}, payload=True
        )
    else:
        commit = hub.commit("owner/code", dict(released(layout)))
        publish(layout, {"kind": "hf", "repo": "owner/code", "commit": commit, "files": ["*"]}, payload=True)
    verdict = audit(layout)
    assert verdict.outcome is Outcome.REPRODUCED, verdict.reason
    artifact = read_record(layout.record("fetch"), FetchRecord).artifacts[0]
    assert artifact.filename == f"code@{'v1' if kind == 'git' else commit}/"
    assert artifact.first_seen
    hub.requests.clear()
    audit(layout)
    assert sum(request.sent for request in hub.requests) < 2000  # where the tag leads
    assert hub.requests == [] or kind == "git"


def test_gone_changed_and_gated_are_findings_with_their_date_and_the_next_source_is_tried(
    hub: Hub, layout: Layout, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.commit("owner/code", dict(released(layout)))
    hub.commit("owner/closed", {"a": b"1"})
    hub.repository("owner/closed").gated = True
    old = hub.git("owner/code", released(layout), tag="v1")
    hub.git("owner/code", {"a": b"1"}, tag="v1")
    publish(
        layout,
        {"kind": "http", "url": hub.url("code.tar"), "sha256": "0" * 64},
        {"kind": "git", "url": "https://github.com/owner/code", "commit": old, "sha256": "0" * 64},
        {"kind": "hf", "repo": "owner/closed", "files": ["*"], "commit": "1" * 40},
        {"kind": "hf", "repo": "owner/code", "files": ["*"], "commit": commit},
    )
    monkeypatch.setattr("openassay.store.now", lambda: "2026-01-01T00:00:00Z")
    record, artifact = fetched(layout, store)
    assert [attempt.kind for attempt in artifact.attempts] == ["gone", "changed", "gated", "served"]
    assert {attempt.since for attempt in artifact.attempts} == {"2026-01-01T00:00:00Z"}
    found = next(finding for finding in record.findings if finding.kind == "source_unavailable")
    for words in ("(gone, since 2026-01-01T00:00:00Z)", "(changed, since", "(gated, since"):
        assert words in found.message
    monkeypatch.setattr("openassay.store.now", lambda: "2026-02-02T00:00:00Z")
    assert fetched(layout, store)[0] == record  # a later audit with the same answers has the same record
    hub.web["code.tar"] = b"another"
    _, artifact = fetched(layout, store)
    assert [(attempt.kind, attempt.since[:7]) for attempt in artifact.attempts[:2]] == [
        ("changed", "2026-02"), ("changed", "2026-01"),
    ]  # fmt: skip


def test_a_release_that_nobody_serves_is_not_attempted_and_a_network_that_is_down_is_a_fault(
    hub: Hub, layout: Layout, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(layout, {"kind": "hf", "repo": "owner/nowhere", "files": ["*"], "commit": "1" * 40})
    verdict = audit(layout)
    assert verdict.outcome is Outcome.NOT_ATTEMPTED
    message = next(finding.message for finding in verdict.findings if finding.kind == "artifact_unavailable")
    assert "(gone, since 20" in message
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(Unreachable) as fault:
        fetched(layout, store)
    assert fault.value.exit_code == 3


def test_a_payload_that_differs_is_news_of_an_address_and_a_mistake_at_a_commit(
    hub: Hub, layout: Layout, store: Store
) -> None:
    files = dict(released(layout)) | {"train.py": b"# another\n"}
    commit = hub.commit("owner/code", dict(files))
    publish(layout, {"kind": "hf", "repo": "owner/code", "files": ["*"]}, payload=True)
    _, artifact = fetched(layout, store)
    assert [attempt.kind for attempt in artifact.attempts] == ["changed"]
    publish_again = yaml.safe_load(layout.target_file.read_text())
    publish_again["artifacts"]["code"]["sources"][0]["commit"] = commit
    layout.target_file.write_text(yaml.safe_dump(publish_again))
    with pytest.raises(WrongPin, match=r"payload\.sha256: expected"):
        fetched(layout, store)


def test_what_a_tree_only_points_to_is_a_finding(hub: Hub, layout: Layout, store: Store) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9\n"
    files = released(layout) | {"weights.bin": pointer, "link": b"/etc/passwd"}
    commit = hub.git("owner/code", files, modes={"link": "120000"})
    publish(layout, {"kind": "git", "url": "https://github.com/owner/code", "commit": commit})
    record, artifact = fetched(layout, store)
    assert artifact.fetched
    assert [finding.message for finding in record.findings if finding.kind == "not_content"] == [
        "code: its content is not there: 1 symbolic link: link",
        "code: its content is not there: 1 Git LFS pointer: weights.bin",
    ]


def test_a_folder_is_no_package_to_install(hub: Hub, layout: Layout, store: Store) -> None:
    data = yaml.safe_load(layout.target_file.read_text())
    data["environment"] = {"install": ["code"]}
    layout.target_file.write_text(yaml.safe_dump(data))
    commit = hub.git("owner/code", released(layout))
    publish(layout, {"kind": "git", "url": "https://github.com/owner/code", "commit": commit})
    with pytest.raises(BadInput, match=r"environment\.install: the artifact code came as a folder"):
        audit(layout)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({"kind": "hf", "repo": "a/b", "files": ["*"]}, r"sources\.0\.sha256: missing; pin the file here"),
        ({"kind": "hf", "repo": "a/b", "files": ["x"], "sha256": "x"}, "a sha256 is 64"),
        ({"kind": "http", "url": "https://example.org/x"}, r"sources\.0\.sha256: missing; pin the file here"),
        ({"kind": "git", "url": "https://example.org/x"}, "commit: missing"),
        ({"kind": "git", "url": "ext::x", "commit": "1" * 40}, "url: 'ext::x' is not an address"),
        ({"kind": "hg", "url": "x"}, "unknown kind 'hg'"),
    ],
)
def test_a_source_without_a_pin_is_refused(layout: Layout, source: dict[str, Any], says: str) -> None:
    publish(layout, source)
    with pytest.raises(BadInput, match=says) as problem:
        read_target(layout)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize("source", ["git", "git tag", "git folder", "hf", "hf branch", "hf data", "http"])
def test_a_printed_pin_can_be_pasted_and_fetched(
    hub: Hub, layout: Layout, store: Store, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    tip = hub.git("owner/code", {"a.py": b"1", "b/c.py": b"2"}, tag="v1/x")
    hub.commit("owner/tiny", {"m.safetensors": b"later", "x.json": b"{}"})
    step = hub.commit("owner/tiny", {"m.safetensors": b"weights", "x.json": b"{}"}, revision="step16")
    hub.commit("owner/d", {"m.csv": b"1"}, repo_type="dataset")
    hub.web["d.csv"] = b"1,2\n"
    asked, include, files = {
        "git": ("git:https://github.com/owner/code", "*", {"a.py", "b/c.py"}),
        "git tag": ("git:https://github.com/owner/code@v1/x", "*", {"a.py", "b/c.py"}),
        "git folder": ("git:https://github.com/owner/code", "b/", {"b/c.py"}),
        "hf": ("hf:owner/tiny", "*", {"m.safetensors", "x.json"}),
        "hf branch": ("hf:owner/tiny@step16", "*.safetensors", {"m.safetensors"}),
        "hf data": ("hf:datasets/owner/d", "*", {"m.csv"}),
        "http": (hub.url("d.csv"), "*", {"d.csv"}),
    }[source]
    cli.pin(asked, include=include, root="")
    entries = yaml.safe_load(capsys.readouterr().out)
    assert entries[0].get("commit", tip) in {tip, step} or source in {"hf", "hf data"}
    publish(layout, *entries)
    read_target(layout)
    _, artifact = fetched(layout, store)
    assert artifact.fetched
    tree = store.tree(artifact.sha256, artifact.filename)
    assert {path.relative_to(tree).as_posix() for path in files_below(tree)} == files


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("git:https://github.com/owner/nowhere", "not found"),
        ("git:ext::sh", "is not an address"),
        ("hf:owner/nowhere", "HTTP 404"),
        ("hf:owner/tiny@step9", "no such revision"),
        ("http://127.0.0.1/", "names no file"),
    ],
)
def test_a_pin_of_what_is_not_there_is_one_line(hub: Hub, layout: Layout, asked: str, says: str) -> None:
    hub.commit("owner/tiny", {"a": b"1"})
    with pytest.raises(BadInput, match=says) as problem:
        cli.pin(asked, include="*", root="")
    assert "\n" not in str(problem.value)


def test_every_kind_of_source_says_what_it_is() -> None:
    each = [
        {"kind": "pypi", "package": "a", "version": "1"}, {"kind": "debian", "package": "ab"}, {"kind": "local", "path": "a"},
        {"kind": "git", "url": "https://h/x", "commit": "1" * 40}, {"kind": "hf", "repo": "a/b", "files": ["x"]},
        {"kind": "http", "url": "https://h/x"},
    ]  # fmt: skip
    said = [(parse(Source, data, "f").label(), parse(Source, data, "f").may_change()) for data in each]
    assert json.loads(json.dumps(said)) == [
        ["pypi a 1", False], ["debian ab", False], ["local a", False], ["git https://h/x@111111111111", False],
        ["hf a/b@main", True], ["http https://h/x", True],
    ]  # fmt: skip


def test_a_revision_without_a_commit_is_taken_as_first_seen_and_another_one_is_a_finding(
    hub: Hub, layout: Layout, store: Store
) -> None:
    hub.commit("owner/code", dict(released(layout)), revision="step16")
    publish(layout, {"kind": "hf", "repo": "owner/code", "revision": "step16", "files": ["*"]})
    record, artifact = fetched(layout, store)
    assert (artifact.fetched, record.findings) == (True, ())
    assert fetched(layout, store)[0].findings == ()
    hub.commit("owner/code", released(layout) | {"NEWS": b"other weights"}, revision="step16")
    record, later = fetched(layout, store)
    assert later.fetched
    assert [finding.kind for finding in record.findings] == ["changed_since_first_sight"]
    assert f"it gave {artifact.sha256} on 20" in record.findings[0].message
    layout.target_file.write_text(layout.target_file.read_text().replace("      revision: step16\n", ""))
    with pytest.raises(BadInput, match="sha256: missing; pin the file here"):
        read_target(layout)
