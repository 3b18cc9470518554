"""A run gets a device that is there, and its record states that device, not the one that was asked for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from releases.commands import LONG_S, command
from releases.miniature import REPO, add_release, make_project
from releases.stages import audit

from openassay.core.findings import FetchRecord, PrepareRecord
from openassay.core.rerun_records import Rerun
from openassay.devices import device_here, gpus, seen
from openassay.faults import BadInput
from openassay.layout import cache_home
from openassay.plan import read_plan
from openassay.records import read_record
from openassay.stages import rerun
from openassay.store import Store, payload_digest

without_gpu = pytest.mark.skipif(bool(gpus()), reason="this machine has a GPU")
AUTO = ["profile=smoke", "judge=default", "tracking=none", "execution=auto"]
REFUSED = (
    "execution.device: cuda is asked for, and CUDA's driver shows no GPU here; use execution=auto or execution=cpu"
)

DRIVER = """
int cuInit(unsigned flags) { return 0; }
int cuDeviceGetCount(int *count) { *count = 2; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
int cuDeviceGetName(char *name, int len, int device) { __builtin_strcpy(name, device ? "Other" : "Made of C"); return 0; }
"""
"""As CUDA's driver answers."""
AUDIT = """
from pathlib import Path

from openassay.layout import Layout
from releases.stages import audit

audit(Layout(Path.cwd(), "honest"), ["profile=smoke", "judge=default", "tracking=none", "execution=cuda"])
"""


@without_gpu
def test_a_gpu_that_is_not_there_is_refused_in_one_line_before_anything_is_fetched(tmp_path: Path) -> None:
    project = make_project(tmp_path, dvc=True)
    layout = add_release(project, "honest")
    done = command(project, "openassay", "audit", "honest", "execution=cuda", expect=2)
    assert done.stderr == f"error: {REFUSED}\n"
    assert not layout.plan.exists()
    assert not layout.record("fetch").exists()


@without_gpu
def test_a_record_states_the_device_that_there_was_and_a_release_is_told_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(tmp_path)
    monkeypatch.chdir(project)
    layout = add_release(project, "honest")
    script = project / "releases" / "honest" / "train.py"
    script.write_text(script.read_text() + "print('device', sys.argv[-1])\n")
    data = yaml.safe_load(layout.target_file.read_text())
    data["rerun"]["run"]["arguments"].append("{device}")
    data["artifacts"]["code"]["payload"]["sha256"] = payload_digest(script.parent, ("*",))
    layout.target_file.write_text(yaml.safe_dump(data))
    verdict = audit(layout, AUTO)
    made = read_record(layout.rerun("faithful", 0) / "record.json", Rerun)
    assert "device cpu\n" in made.log_tail
    assert (made.environment["device"], verdict.provenance.device) == ("cpu", "cpu")
    # a plan that was made where there is a GPU
    plan = read_plan(layout)
    elsewhere = replace(plan, execution=replace(plan.execution, device="cuda"))
    fetched, prepared = (
        read_record(layout.record(of), kind) for of, kind in (("fetch", FetchRecord), ("prepare", PrepareRecord))
    )
    with pytest.raises(BadInput, match=REFUSED):
        rerun.run(elsewhere, fetched, prepared, Store(cache_home()), layout)


@pytest.mark.skipif(shutil.which("cc") is None, reason="a C compiler makes the driver")
def test_the_kind_of_gpu_is_taken_from_cudas_driver(tmp_path: Path) -> None:
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(tmp_path / "libcuda.so.1")],
        input=DRIVER,
        text=True,
        check=True,
    )
    project = make_project(tmp_path / "project")
    layout = add_release(project, "honest")
    # a process of its own, since libraries are looked for where its start says
    environment = os.environ | {"LD_LIBRARY_PATH": f"{tmp_path}:{os.environ.get('LD_LIBRARY_PATH', '')}"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPO / "tests"), os.environ.get("PYTHONPATH")]))
    subprocess.run([sys.executable, "-c", AUDIT], cwd=project, env=environment, timeout=LONG_S, check=True)
    made = read_record(layout.rerun("faithful", 0) / "record.json", Rerun)
    assert (made.environment["device"], made.environment["gpu"]) == ("cuda", "Made of C, Other")
    provenance = json.loads(layout.verdict.read_text())["provenance"]
    assert provenance["device"] == "cuda (Made of C, Other)"
    assert "environment:gpu" not in provenance["packages"]


def test_a_cpu_is_always_there() -> None:
    assert device_here("cpu") == "cpu"
    assert seen("cpu") == {"device": "cpu"}
