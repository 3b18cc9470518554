"""Releases that write where they should not: every stage says what is wrong, and the next audit starts clean."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from releases.miniature import VARIANTS, add_release, make_project
from releases.stages import audit

from openassay.core.findings import PrepareRecord
from openassay.core.rerun_records import Rerun, RerunStatus
from openassay.core.verdict_records import Outcome
from openassay.layout import cache_home
from openassay.records import read_record

PLANT = "import sysconfig; open(sysconfig.get_path('purelib') + '/sitecustomize.py', 'w').write('planted = 1')"
TAMPER = "open(sys.argv[0], 'a').write('#')"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(autouse=True)
def _in_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)


@pytest.mark.parametrize(
    ("name", "change", "changed"),
    [
        ("planting", PLANT, "/sitecustomize.py"),
        ("tampering", TAMPER, "its artifact code was changed by a run: train.py"),
    ],
)
def test_no_seed_counts_that_ran_where_another_had_written(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str, change: str, changed: str
) -> None:
    monkeypatch.setitem(VARIANTS, name, {"change": change})
    layout = add_release(project, name)
    verdict = audit(layout)
    assert verdict.outcome is Outcome.NOT_ATTEMPTED
    reruns = [read_record(path, Rerun) for path in (layout.folder / "rerun").glob("*/*/record.json")]
    assert len(reruns) >= 3
    assert {rerun.status for rerun in reruns} == {RerunStatus.FAILED}
    assert all(changed in rerun.reason for rerun in reruns)
    audit(layout)
    assert not list(cache_home().glob("envs/**/sitecustomize.py"))
    assert audit(add_release(project, "honest", f"after_{name}")).claims[0].difference is not None


PREPARE = {"run": {"kind": "script", "artifact": "code", "path": "train.py", "arguments": ["0", "real", "{out}"]}}
LEFT = {
    "link": ("os.symlink('/etc', place)", "'found' is a link"),
    "endless": ("os.symlink('/dev/zero', place)", "'found' is a link"),
    "pipe": ("os.mkfifo(place)", "'found' is a pipe"),
    "log": ("os.remove(out + '/log.txt'); os.mkfifo(out + '/log.txt')", "'log.txt' is a pipe"),
    "arrays": ("os.mkfifo(out + '/data.npz')", "'data.npz' is a pipe"),
    "inside": ("os.makedirs(place); os.symlink('/', place + '/up')", "'found/up' is a link"),
    "latin": ("open(os.fsencode(out) + b'/caf\\xe9', 'w')", "the name 'caf\\udce9' is not UTF-8"),
    "deep": ("os.chdir(out)\nfor _ in range(3000):\n    os.mkdir('d' * 9)\n    os.chdir('d' * 9)", "longer than 500"),
    "folder": ("import shutil; shutil.move(out, out + '-2'); os.symlink(out + '-2', out)", "its folder is a link"),
    "gone": ("import shutil; shutil.rmtree(out)", "left no result"),
}


@pytest.mark.parametrize("name", LEFT)
def test_prepared_data_that_no_run_can_be_given_are_a_finding(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    code, says = LEFT[name]
    monkeypatch.setitem(VARIANTS, name, {"change": f"import os\nplace = out + '/found'\n{code}\n"})
    layout = add_release(project, name, f"left_{name}", prepare=PREPARE)
    verdict = audit(layout)
    assert verdict.outcome is Outcome.NOT_ATTEMPTED
    prepared = read_record(layout.record("prepare"), PrepareRecord)
    assert prepared.status == "failed"
    assert says in prepared.reason
    assert [finding.kind for finding in prepared.findings] == ["preparation_failed"]
    assert os.listdir(layout.folder / "prepare") == ["record.json"]
