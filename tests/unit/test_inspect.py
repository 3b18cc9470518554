"""What the release's own files say is looked up, and a file that cannot be read says nothing."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hub import Hub
from releases.miniature import add_release, make_project, target, write_target
from releases.stages import SETTINGS

from openassay.core.findings import InspectRecord
from openassay.layout import cache_home
from openassay.plan import make_plan
from openassay.records import read_record, write_record
from openassay.stages import fetch, inspect
from openassay.store import Store, payload_digest

WHOLE = gzip.compress(b"Test accuracy: 0.90\n" + b"MIT License\n" * 5000, mtime=0)


@pytest.mark.parametrize(
    ("name", "data", "terms", "cited"),
    [
        ("LICENSE.gz", WHOLE, "Test accuracy: 0.90 (LICENSE.gz)", "found"),
        ("LICENSE.gz", WHOLE[:60], None, "absent"),
        ("LICENSE.gz", b"Test accuracy: 0.90\n", None, "absent"),
        ("LICENSE.gz", WHOLE[:20] + b"\xff" * 20 + WHOLE[40:], None, "absent"),
        ("LICENSE.gz", b"", None, "absent"),
        ("LICENSE", b"\xff\xfe\x00MIT", "\ufffd\ufffd\x00MIT (LICENSE)", "absent"),
        ("PKG-INFO", b": no name\n\x00\xff: x\n From \nLicense\nLicense : ?\nClassifier:\rLicense ::", None, "absent"),
        ("PKG-INFO", b"From x\nLicense: =?utf-8?b?AA?=\n", "=?utf-8?b?AA?= (PKG-INFO)", "absent"),
    ],
)
def test_a_file_that_cannot_be_read_says_nothing_and_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, data: bytes, terms: str | None, cited: str
) -> None:
    layout = add_release(make_project(tmp_path), "honest")
    release = layout.root / "releases" / "honest"
    written = target(layout.root, "honest", 0.9)
    (release / "LICENSE").unlink()
    (release / name).write_bytes(data)
    written["artifacts"]["code"]["payload"] = {"sha256": payload_digest(release, ("*.py",)), "include": ["*.py"]}
    written["claims"][0]["cited_at"]["path"] = name
    write_target(layout.root, written)
    monkeypatch.chdir(layout.root)
    plan, store = make_plan(layout, SETTINGS), Store(cache_home())
    record = inspect.run(plan, fetch.run(plan, store, layout), store)
    assert record.licences.get("code") == terms
    assert [citation.found for citation in record.citations] == [cited]
    write_record(layout.record("inspect"), record)
    assert read_record(layout.record("inspect"), InspectRecord) == record


@pytest.mark.parametrize("paths", [None, ["README.md", "a.py", "b.py", "c/"]])
def test_a_file_that_the_target_does_not_fetch_is_not_called_absent_and_one_that_is_nowhere_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paths: list[str] | None
) -> None:
    with Hub(tmp_path / "hub") as hub:
        hub.lead(monkeypatch, tmp_path)
        files = {
            "README.md": b"[x](gone.md) [y](docs/more.md)\n",
            "a.py": b"",
            "b.py": b"",
            "c/d.py": b"",
            "docs/more.md": b"",
        }
        source = {"kind": "git", "url": "https://github.com/mini/code", "commit": hub.git("mini/code", files)}
        layout = add_release(make_project(tmp_path / "project"), "honest")
        written = target(layout.root, "honest", 0.9)
        written["artifacts"]["code"] = {"sources": [source | ({"paths": paths} if paths else {})]}
        write_target(layout.root, written)
        monkeypatch.chdir(layout.root)
        plan, store = make_plan(layout, SETTINGS), Store(cache_home())
        record = inspect.run(plan, fetch.run(plan, store, layout), store)
    (absent,) = (of.message for of in record.findings if of.kind == "named_file_absent")
    assert absent.startswith("README.md:1 names gone.md")
