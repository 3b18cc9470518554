"""`openassay inspect` speaks of any folder, file or archive; what it finds is no error, what is not there is."""

from __future__ import annotations

import datetime
import json
import pickle
import struct
import sys
import tarfile
import warnings
from pathlib import Path

import pytest
from releases.miniature import add_release, make_project, target, write_target
from releases.small import Files, write
from releases.stages import SETTINGS

from openassay import cli
from openassay.checks.check import answer
from openassay.checks.documentation import link_dead
from openassay.core.findings import InspectRecord
from openassay.layout import cache_home
from openassay.plan import make_plan
from openassay.published.links import ask_links, status_of
from openassay.published.read import read_release
from openassay.records import read_record, write_record
from openassay.stages import fetch, inspect
from openassay.store import Store

BAD = {"a.yaml": "eps: 1e-8\nname: '[red]x'\n", "broken.json": "{", "train.py": "loss.backward()\noptimizer.step()\n"}


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["openassay", "inspect", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_findings_are_printed_and_are_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, str(write(tmp_path, BAD))) == 0
    shown = capsys.readouterr().out
    for words in (
        "yaml_readers_differ",
        "a.yaml:1 eps",
        "training_code",
        "not read: broken.json",
        "3 checks found something",
    ):
        assert words in shown


def test_json_has_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, str(write(tmp_path, BAD)), "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    problem = next(c for c in shown["checks"] if c["check"] == "yaml_readers_differ")["problems"][0]
    assert problem["evidence"][0] == {
        "path": "a.yaml",
        "line": 1,
        "key": "eps",
        "value": "1e-8 (YAML 1.1: the word '1e-8')",
    }
    assert shown["unreadable"]["broken.json"].startswith("not JSON")


ODD = "\u202egnp\u2066 \x1b[31m\x9b2J\x85\u2028\x07"


@pytest.mark.parametrize("more", [[], ["--all"], ["--json"]])
def test_words_and_names_of_a_release_reach_no_terminal_as_they_are(
    more: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files: Files = {
        "a.json": json.dumps({"a": 1, ODD: 1})[:-1] + f', {json.dumps(ODD)}: {json.dumps(ODD)}}}',
        f"{ODD}.yaml": "a: [", "b.yaml": f'"{ODD[0]}k": 1e-8\nname: "x', "a.pkl": pickle.dumps({"x": datetime.date(2020, 1, 1)}),
        "config.json": {"auto_map": {"AutoModel": f"{ODD}.Model"}}, "LICENSES/MIT.txt": ODD, "LICENSE": f"MIT {ODD}",
        "m.index.json": {"weight_map": {ODD: f"../{ODD}"}}, "train.py": f"x = '\\{ODD[4]}'\nloss.backward()\n",
        "README.md": f"---\nlicense: {json.dumps(ODD)}\n---\n# {ODD}\n[a]({ODD}.md)\n\n```sh\npython train.py --{ODD}\n```\n",
        "a.safetensors": struct.pack("<Q", 8) + b"\x1b" * 8, "r.json": {"results": {ODD: {"acc": "0.5", "f1": 0.5}}},
    }  # fmt: skip
    write(tmp_path / "x", files)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert run(monkeypatch, str(tmp_path / "x"), *more) == 0
    assert not [one for one in warned if issubclass(one.category, SyntaxWarning | DeprecationWarning)]
    said = capsys.readouterr()
    assert "code_to_load" in said.out
    assert (said.out + said.err).replace("\n", "").isprintable()


def test_one_file_and_an_archive_can_be_inspected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "x-1.0", BAD)
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        archive.add(folder, "x-1.0")
    for place in (folder / "a.yaml", tmp_path / "x.tar.gz"):
        assert run(monkeypatch, str(place)) == 0
        assert "a.yaml:1 eps" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("./gone", "no such file"),
        ("a\0b", "not a path"),
        ("bad.tar.gz", "cannot be unpacked"),
        ("fifo", "neither a regular file"),
    ],
)
def test_bad_input_is_one_line(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import os

    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.tar.gz").write_bytes(b"no archive")
    os.mkfifo(tmp_path / "fifo")
    assert run(monkeypatch, words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_target_is_inspected_where_it_was_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = add_release(make_project(tmp_path), "honest")
    release = layout.root / "releases" / "honest"
    write(release, {"settings.yaml": "eps: 1e-8\n"})
    write_target(layout.root, target(layout.root, "honest", 0.9))
    (layout.root / "conf" / "pipeline.yaml").write_text(
        "targets: [honest]\nprofile: smoke\njudge: default\ntracking: none\nexecution: cpu\n"
    )
    monkeypatch.chdir(layout.root)
    assert run(monkeypatch, "honest") == 2
    assert "not fetched yet" in capsys.readouterr().err
    plan, store = make_plan(layout, SETTINGS), Store(cache_home())
    fetched = fetch.run(plan, store, layout)
    write_record(layout.record("fetch"), fetched)
    assert run(monkeypatch, "honest") == 0
    assert "code: settings.yaml:1 eps" in capsys.readouterr().out

    record = inspect.run(plan, fetched, store)
    assert any(f.kind == "yaml_readers_differ" and "settings.yaml:1" in f.message for f in record.findings)
    assert {c.component: c.found for c in record.detected}["training_code"] in {"found", "not seen"}
    write_record(layout.record("inspect"), record)
    assert read_record(layout.record("inspect"), InspectRecord) == record


def test_links_are_asked_only_when_wanted_and_only_gone_is_gone(tmp_path: Path) -> None:
    text = "[a](https://a.org/x) and https://b.org/y. <https://c.org> `https://localhost/z` https://a.org/x\n"
    release = read_release(write(tmp_path, {"README.md": text}))
    assert answer(link_dead, release).outcome == "cannot be asked"
    said: dict[str, tuple[int | None, str]] = {
        "https://a.org/x": (404, ""),
        "https://b.org/y": (503, "status 503"),
        "https://c.org": (200, ""),
    }
    links = ask_links(release, said.__getitem__)
    assert [link.url for link in links] == list(said)
    from dataclasses import replace

    found = answer(link_dead, replace(release, links=links))
    (problem,) = found.problems
    assert "https://a.org/x" in problem.message
    assert "404" in problem.message
    assert links[0].date in problem.message
    assert "status 503" in found.why


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x",
        "http://[::1]/",
        "file:///etc/passwd",
        "http://169.254.169.254/latest",
        "http://[x",
        "http://",
    ],
)
def test_no_place_inside_this_network_is_asked(url: str) -> None:
    status, problem = status_of(url)
    assert status is None
    assert problem
