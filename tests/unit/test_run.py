"""A release's code runs as a child of its own: what it gives, however it ends, is a value."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from small_disk import on_small_disk

import openassay
from openassay.core.rerun_records import RerunStatus
from openassay.drivers import run as run_module
from openassay.drivers.job import DATA_FILE, Arm, Job, RunResult, fill, load_arrays, permuted, placeholders
from openassay.drivers.measures import (
    BestEpoch,
    FileMeasure,
    Measure,
    PredictionsMeasure,
    ReturnMeasure,
    StdoutMeasure,
    finite,
    measured,
)
from openassay.drivers.native import NativeDriver
from openassay.drivers.python import PythonDriver
from openassay.drivers.run import (
    CallableRun,
    Ended,
    GlueRun,
    ModuleRun,
    Run,
    ScriptRun,
    child_environment,
    run_once,
)
from openassay.faults import BadInput
from openassay.records import parse

FINISHED, DIVERGED, FAILED, TIMED_OUT = (
    RerunStatus.FINISHED, RerunStatus.DIVERGED, RerunStatus.FAILED, RerunStatus.TIMED_OUT,
)  # fmt: skip


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """An execution in this Python, with a folder of its own."""
    out = tmp_path / "out"
    out.mkdir()
    return Job(
        arm=Arm(), seed=7, data=None, artifacts={}, python=sys.executable, glue=tmp_path / "glue.py", out=out,
        device="cpu", threads=1, timeout_s=60.0,
    )  # fmt: skip


def glue(job: Job, code: str, **arguments: Any) -> Ended:
    """Run a function `go` with this code as its body."""
    assert job.glue is not None
    job.glue.write_text("def go(**given):\n" + "".join(f"    {line}\n" for line in code.splitlines()))
    return run_once(GlueRun(kind="glue", function="go", arguments=arguments), job, {}, ())


def python_recipe(run: Run, *measure: Measure, **more: Any) -> PythonDriver:
    return PythonDriver(driver="python", run=run, measure=measure, **more)


def number(of: RunResult) -> float | None:
    assert of.status is FINISHED, of.reason
    return of.measurements[0].value


# Kinds of runs


def test_a_function_of_a_package_is_called_with_arguments(job: Job) -> None:
    run = CallableRun(kind="callable", callable="statistics:mean", arguments={"data": [1, 2, 6]})
    ended = run_once(run, job, {}, ())
    assert (ended.ok, ended.error, ended.returned, ended.log) == (True, "", 3, "")


def test_a_function_of_a_class_is_found_by_its_dotted_name(job: Job) -> None:
    run = CallableRun(kind="callable", callable="os:path.basename", arguments={"p": "/a/b"})
    assert run_once(run, job, {}, ()).returned == "b"


def test_a_glue_script_is_called_and_what_it_imports_is_not_ours(job: Job) -> None:
    code = "import sys, os\nprint('hello')\nreturn {'given': given, 'cwd': os.getcwd(), 'path': sys.path, 'modules': sorted(sys.modules)}"
    ended = glue(job, code, a=1, b=[True, None, "x"])
    assert ended.ok, ended.log
    assert ended.log == "hello\n"
    assert ended.returned["given"] == {"a": 1, "b": [True, None, "x"]}
    assert ended.returned["cwd"] == str((job.out / "work").resolve())
    assert str(Path(openassay.__file__).parent) not in ended.returned["path"]
    assert "openassay" not in ended.returned["modules"]


def test_a_module_runs_as_a_program_with_its_arguments(job: Job, tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('{"b":1}')
    run = ModuleRun(kind="module", module="json.tool", arguments=("--compact", "{in}", "{out}/made.json"))
    ended = run_once(run, job, {"in": str(tmp_path / "in.json")}, ())
    assert ended.ok, ended.log
    assert (job.out / "made.json").read_text() == '{"b":1}\n'


def test_a_script_of_an_artifact_runs_beside_its_own_modules(job: Job, tmp_path: Path) -> None:
    top = tmp_path / "artifact"
    (top / "src").mkdir(parents=True)
    (top / "src" / "helper.py").write_text("WORD = 'helped'\n")
    (top / "src" / "train.py").write_text(
        "import sys, helper\nif __name__ == '__main__':\n    print(helper.WORD, *sys.argv[1:])\n"
    )
    run = ScriptRun(
        kind="script", artifact="code", path="src/train.py", arguments=("--seed", "{seed}", "--from={artifact:code}")
    )
    ended = run_once(run, replace(job, artifacts={"code": str(top)}), {}, ())
    assert ended.ok, ended.log
    assert ended.log == "helped --seed 7 --from={artifact:code}\n"  # the path is told by its name only
    assert sorted(path.name for path in top.rglob("*")) == ["helper.py", "src", "train.py"]  # the artifact is as it was


def test_a_callable_must_name_module_and_function() -> None:
    with pytest.raises(BadInput, match=r"callable must read package\.module:function"):
        parse(CallableRun, {"kind": "callable", "callable": "statistics.mean"}, "f")


# Placeholders


def test_placeholders_keep_the_type_of_a_whole_value_and_turn_to_text_in_a_part(job: Job, tmp_path: Path) -> None:
    job = replace(job, data=tmp_path, artifacts={"code": "/a"}, arm=Arm(parameters={"epochs": 3}))
    run = GlueRun(
        kind="glue", function="go",
        arguments={
            "seed": "{seed}", "text": "s{seed}-{epochs}", "epochs": "{epochs}", "rate": ["{rate}", {"deep": "{flag}"}],
            "out": "{out}", "data": "{data}", "device": "{device}", "code": "{artifact:code}/x", "braces": '{"a": {}}',
        },
    )  # fmt: skip
    assert job.glue is not None
    job.glue.write_text("def go(**given):\n    return given\n")
    ended = run_once(run, job, {"epochs": 10, "rate": 0.5, "flag": None}, ())
    assert ended.returned == {
        "seed": 7, "text": "s7-3", "epochs": 3, "rate": [0.5, {"deep": None}], "out": str(job.out), "data": str(tmp_path),
        "device": "cpu", "code": "/a/x", "braces": '{"a": {}}',
    }  # fmt: skip


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("ab {}:_A", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(plain)
def test_every_placeholder_is_named_and_filling_leaves_the_rest_as_it_is(value: Any) -> None:
    names = placeholders(value)
    assert fill(value, {name: f"{{{name}}}" for name in names}) == value
    if not names:
        assert fill(value, {}) == value


# What the child gets of this machine


def test_no_variable_of_this_machine_reaches_the_child(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = "canary-1f0c"
    for name in (
        "HF_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "LD_PRELOAD",
        "https_proxy",
        "A_NEW_ONE",
    ):
        monkeypatch.setenv(name, canary)
    monkeypatch.setenv("HOME", f"/home/{canary}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    ended = glue(job, "import os\nassert os.path.samefile(os.environ['TMPDIR'], '.')\nreturn dict(os.environ)")
    assert ended.ok, ended.log
    found = ended.returned
    assert canary not in json.dumps(found)
    assert found["HOME"] == str(job.out / "work")
    assert found["CUDA_VISIBLE_DEVICES"] == ""  # the job says cpu
    assert (found["OMP_NUM_THREADS"], found["PYTHONHASHSEED"], found["HF_HUB_OFFLINE"]) == ("1", "0", "1")
    assert set(found) == set(child_environment(job, job.out / "work"))
    assert child_environment(replace(job, device="cuda"), job.out)["CUDA_VISIBLE_DEVICES"] == "0"
    assert child_environment(replace(job, threads=3), job.out)["MKL_NUM_THREADS"] == "3"


def test_processes_of_a_run_can_speak_through_sockets_however_long_its_folder_is(job: Job) -> None:
    long = job.out / ("long" * 30)
    long.mkdir()
    body = (
        "import tempfile\nfrom multiprocessing.connection import Listener\nListener(family='AF_UNIX').close()\n"
        "print(tempfile.gettempdir())\nreturn 1"
    )
    ended = glue(replace(job, out=long), body)
    assert ended.returned == 1, ended.log
    assert ended.log == "{out}/work\n"


def test_the_child_has_no_input_though_we_have(job: Job) -> None:
    here, there = os.pipe()
    os.write(there, b"what a person types\n")
    os.close(there)
    kept = os.dup(0)
    os.dup2(here, 0)
    try:
        assert glue(job, "return input()").error == "EOFError: EOF when reading a line"
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(here)


def test_the_generators_that_are_named_are_seeded_and_the_others_are_not(job: Job) -> None:
    assert job.glue is not None
    job.glue.write_text(
        "import random, numpy\ndef go(names):\n    found = [random.random(), float(numpy.random.rand())]\n"
        "    if 'torch' in names:\n        import torch\n        found.append(torch.rand(()).item())\n    return found\n"
    )

    def values(seed: int, *seeding: Any) -> Any:
        out = job.out.parent / f"seed {seed} {seeding}"
        out.mkdir()
        run = GlueRun(kind="glue", function="go", arguments={"names": list(seeding)})
        return run_once(run, replace(job, out=out, seed=seed), {}, seeding).returned

    of_python, of_numpy = random.Random(7).random(), np.random.RandomState(7).rand()
    of_torch = torch.rand((), generator=torch.Generator().manual_seed(7)).item()
    assert values(7, "python", "numpy", "torch") == [of_python, of_numpy, of_torch]
    assert values(7, "python")[0] == of_python
    assert values(7)[0] != of_python
    other = values(8, "numpy")
    assert other == [other[0], np.random.RandomState(8).rand()]
    assert other[0] != random.Random(8).random()


def test_a_generator_that_the_environment_does_not_have_is_a_slip_of_the_target(job: Job, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    job = replace(job, python=str(tmp_path / "bare" / "bin" / "python"))
    run = CallableRun(kind="callable", callable="statistics:mean", arguments={"data": [1]})
    with pytest.raises(BadInput, match="^the target: rerun.seeding: ModuleNotFoundError: No module named 'numpy'"):
        run_once(run, job, {}, ("numpy",))
    assert run_once(run, job, {}, ("python",)).returned == 1


# How it ends

ENDINGS = [
    ("raise ValueError('too few rows')", False, "ValueError: too few rows"),
    ("raise KeyboardInterrupt('stop')", False, "KeyboardInterrupt: stop"),
    ("raise MemoryError", False, "MemoryError: "),
    ("def deep(): deep()\ndeep()", False, "RecursionError: maximum recursion depth exceeded"),
    ("a = []\na.append(a)\nreturn a", False, "RecursionError: maximum recursion depth exceeded"),
    ("import sys\nsys.exit(3)", False, "it exited with 3"),
    ("import sys\nsys.exit('bad data')", False, "it exited with 'bad data'"),
    ("import sys\nsys.exit(0)", True, ""),
    ("raise SystemExit", True, ""),
    ("import os\nos._exit(0)", False, "it ended with status 0 and left no result"),
    ("import os\nos._exit(4)", False, "it ended with status 4 and left no result"),
    ("import os\nos.kill(os.getpid(), 9)", False, "it was killed: the machine may have run out of memory"),
    ("import os\nos.abort()", False, "it ended with status -6 and left no result"),
    (
        "class Rude(Exception):\n    def __str__(self): raise ValueError\nraise Rude",
        False,
        "it ended with status 1 and left no result",
    ),
    ("return 10**5000", False, "it ended with status 1 and left no result"),
    ("raise OSError('name \\udcff')", False, "OSError: name ?"),
]


@pytest.mark.parametrize(("code", "ok", "error"), ENDINGS)
def test_however_it_ends_is_a_value(job: Job, code: str, ok: bool, error: str) -> None:
    ended = glue(job, code)
    assert ended.ok is ok
    assert ended.error.startswith(error)
    assert bool(ended.error) is not ok
    assert not ended.timed_out
    assert ended.returned is None
    (job.out / "error.txt").write_text(ended.error + ended.log, encoding="utf-8")  # it can stand in a record


def test_a_script_that_exits_with_an_error_has_failed(job: Job, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import sys\nprint('half way')\nsys.exit(2)\n")
    recipe = python_recipe(
        ScriptRun(kind="script", artifact="code", path="train.py"),
        StdoutMeasure(read_from="stdout", metric="m", pattern="(half)"),
    )
    execution = recipe.execute(replace(job, artifacts={"code": str(tmp_path)}))
    assert (execution.status, execution.reason, execution.measurements) == (FAILED, "it exited with 2", ())
    assert execution.log == "half way\n"


SLIPS = [
    ("import nowhere_to_be_found", "environment.requirements: the glue script imports nowhere_to_be_found"),
    ("from os import nowhere", "glue: ImportError: cannot import name 'nowhere'"),
    ("return mean([1])", "glue: NameError: name 'mean' is not defined"),
    (
        "import statistics\nreturn statistics.meen([1])",
        "glue: AttributeError: module 'statistics' has no attribute 'meen'",
    ),
    ("import statistics\nreturn statistics.mean()", r"glue: TypeError: mean\(\) missing 1 required"),
    ("return (", "glue: SyntaxError: "),
]


@pytest.mark.parametrize(("code", "says"), SLIPS, ids=lambda text: text[:40])
def test_a_slip_of_the_glue_script_is_no_failure_of_the_release(job: Job, code: str, says: str) -> None:
    with pytest.raises(BadInput, match=f"^the target: {says}"):
        glue(job, code)


@pytest.mark.parametrize(
    ("run", "says"),
    [
        ({"kind": "callable", "callable": "statistic:mean"}, "rerun.run: ModuleNotFoundError: No module named 'statistic'"),
        ({"kind": "callable", "callable": "json.nothing:mean"}, "rerun.run: ModuleNotFoundError: No module named 'json.nothing'"),
        ({"kind": "callable", "callable": "statistics:meen"}, "rerun.run: AttributeError: module 'statistics' has no attribute"),
        ({"kind": "callable", "callable": "statistics:mean", "arguments": {"date": [1]}}, "rerun.run: TypeError: "),
        ({"kind": "module", "module": "no_such_module"}, "rerun.run: ImportError: No module named no_such_module"),
        ({"kind": "script", "artifact": "code", "path": "trian.py"}, "rerun.run: FileNotFoundError: "),
        ({"kind": "glue", "function": "gone"}, "rerun.run: AttributeError: module 'glue' has no attribute 'gone'"),
    ],
    ids=str,
)  # fmt: skip
def test_a_name_that_is_not_there_is_a_slip_of_the_target(
    job: Job, tmp_path: Path, run: dict[str, Any], says: str
) -> None:
    assert job.glue is not None
    job.glue.write_text("")
    (tmp_path / "code").mkdir()
    with pytest.raises(BadInput, match=f"^the target: {says}"):
        run_once(parse(Run, run, "run"), replace(job, artifacts={"code": str(tmp_path / "code")}), {}, ())


def test_what_the_releases_own_code_does_not_find_is_its_failure_unless_the_target_lists_what_is_installed(
    job: Job, tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text("def main():\n    import nowhere_to_be_found\nmain()\n")
    job, run = (
        replace(job, artifacts={"code": str(tmp_path)}),
        ScriptRun(kind="script", artifact="code", path="train.py"),
    )
    assert run_once(run, job, {}, ()).error == "ModuleNotFoundError: No module named 'nowhere_to_be_found'"
    with pytest.raises(BadInput, match="environment.requirements: the release's code imports nowhere_to_be_found"):
        run_once(run, replace(job, own_requirements=True), {}, ())
    (tmp_path / "train.py").write_text("import json\njson.nothing\n")
    assert run_once(run, job, {}, ()).error == "AttributeError: module 'json' has no attribute 'nothing'"


def test_a_network_that_does_not_answer_is_no_failure_of_the_release(job: Job) -> None:
    code = "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:9/data.csv', timeout=5)"
    with pytest.raises(BadInput, match="rerun.run: it asked for something on the network: .*refused"):
        glue(job, code)


RUN_ONCE = """
import sys
from pathlib import Path
from openassay.drivers.job import Arm, Job
from openassay.drivers.run import GlueRun, run_once
from openassay.faults import faults_in_one_line
out, glue = Path(sys.argv[1]) / "out", Path(sys.argv[2])
out.mkdir()
job = Job(
    arm=Arm(), seed=7, data=None, artifacts={}, python=sys.executable, glue=glue, out=out, device="cpu", threads=1, timeout_s=60
)
with faults_in_one_line():
    print(run_once(GlueRun(kind="glue", function="go"), job, {}, ()))
"""


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("open('model', 'w').write('1' * 10**7)", "less than 1048576 bytes are free"),  # for its last words, too
        (
            "print(1, file=open('/dev/full', 'w'), flush=True)",
            "OSError: [Errno 28] No space left on device",
        ),  # on another disk
        ("while True: print('1' * 10**5)", "less than 1048576 bytes are free"),  # its log fills it
        (
            "try: open('model', 'w').write('1' * 10**7)\n    except OSError: return 0.1",
            "less than 1048576 bytes are free",
        ),
    ],
)
def test_a_full_disk_is_no_failure_of_the_release(tmp_path: Path, code: str, says: str) -> None:
    disk, script = tmp_path / "disk", tmp_path / "glue.py"
    script.write_text(f"def go():\n    {code}\n")
    done = on_small_disk(disk, "3m", RUN_ONCE, str(disk), str(script))
    assert done.returncode == 3, done.stdout
    assert done.stderr.startswith(f"error: {disk / 'out'}: no space left for a run: {says}")


FORGED = [
    "[]",
    "{}",
    "null",
    '{"ok": true}',
    '{"ok": true, "error": "", "returned": 1}',
    '{"ok": 1, "error": "", "returned": 1, "slip": "", "missing": ""}',
    '{"ok": true, "error": null, "returned": 1, "slip": "", "missing": ""}',
    '{"ok": false, "error": "", "returned": 1, "slip": 1, "missing": ""}',
    "[" * 100_000,
    "x",
    "",
]


@pytest.mark.parametrize("forged", FORGED, ids=lambda text: text[:40])
def test_a_result_that_the_release_wrote_in_our_place_breaks_nothing(job: Job, forged: str) -> None:
    code = f"import os\nopen(os.path.join(given['out'], 'result.json'), 'w').write({forged!r})\nos._exit(0)"
    ended = glue(job, code, out="{out}")
    assert (ended.ok, ended.error) == (False, "it ended with status 0 and left no result")


def test_the_processor_time_is_counted(job: Job) -> None:
    ended = glue(job, "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass")
    assert ended.cpu_s >= 0.3


# Time-outs and what is left behind


def alive(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] not in {"Z", "X"}


def gone_soon(pid: int) -> bool:
    end = time.monotonic() + 10
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not alive(pid)


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
GRANDCHILD = (
    "import os, subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "open(os.path.join(given['out'], 'pids'), 'w').write('%d %d' % (os.getpid(), child.pid))\n"
    "print('started', flush=True)\n"
)


@needs_proc
def test_a_time_limit_ends_the_run_and_all_that_it_started_though_they_take_no_signal(job: Job) -> None:
    deaf = "import signal\nfor each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(each, signal.SIG_IGN)\n"
    started = time.monotonic()
    ended = glue(replace(job, timeout_s=4.0), deaf + GRANDCHILD + "while True: time.sleep(600)", out="{out}")
    assert time.monotonic() - started < 30
    assert (ended.ok, ended.timed_out, ended.error) == (False, True, "stopped after 4 s, its time limit")
    assert ended.log == "started\n"
    for pid in (job.out / "pids").read_text().split():
        assert gone_soon(int(pid))
    execution = measured(ended, (), job)
    assert (execution.status, execution.reason) == (TIMED_OUT, "stopped after 4 s, its time limit")


@needs_proc
def test_a_process_that_a_finished_run_left_behind_is_ended_and_not_waited_for(job: Job) -> None:
    started = time.monotonic()
    ended = glue(job, GRANDCHILD + "return 1", out="{out}")
    assert ended.ok
    assert time.monotonic() - started < 30
    for pid in (job.out / "pids").read_text().split():
        assert gone_soon(int(pid))


def test_a_thread_that_a_finished_run_left_behind_is_not_waited_for(job: Job) -> None:
    started = time.monotonic()
    assert (
        glue(job, "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\nreturn 5").returned
        == 5
    )
    assert time.monotonic() - started < 30


AUDIT = """
import sys
from pathlib import Path
from openassay.drivers.job import Arm, Job
from openassay.drivers.run import GlueRun, run_once
out = Path(sys.argv[1])
job = Job(arm=Arm(), seed=0, data=None, artifacts={}, python=sys.executable, glue=Path(sys.argv[2]), out=out,
          device="cpu", threads=1, timeout_s=600.0)
run_once(GlueRun(kind="glue", function="go", arguments={"out": "{out}"}), job, {}, ())
"""


@needs_proc
@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells a child of its parent's death")
def test_a_killed_audit_leaves_no_training_behind(job: Job) -> None:
    assert job.glue is not None
    job.glue.write_text(
        "import os, time\ndef go(out):\n    open(os.path.join(out, 'pid.tmp'), 'w').write(str(os.getpid()))\n"
        "    os.rename(os.path.join(out, 'pid.tmp'), os.path.join(out, 'pid'))\n    time.sleep(600)\n"
    )
    audit = subprocess.Popen([sys.executable, "-c", AUDIT, str(job.out), str(job.glue)])
    end = time.monotonic() + 60
    while not (job.out / "pid").exists() and time.monotonic() < end:
        time.sleep(0.02)
    pid = int((job.out / "pid").read_text())
    assert alive(pid)
    audit.send_signal(signal.SIGKILL)
    audit.wait(30)
    assert gone_soon(pid)


# Logs


def test_a_log_tells_nothing_of_this_machines_folders(job: Job, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "artifact").mkdir()
    job = replace(job, data=tmp_path / "data", artifacts={"code": str(tmp_path / "artifact")})
    code = (
        "import os, sys\nprint(given, os.getcwd(), sys.executable, os.path.realpath('.'))\n"
        "raise OSError('cannot read %(data)s/x and %(out)s/y' % given)"
    )
    ended = glue(job, code, out="{out}", data="{data}", package="{artifact:code}")
    for text in (ended.log, ended.error):
        assert str(tmp_path) not in text
        assert str(job.out) not in text
        assert sys.prefix not in text
        assert str(Path(openassay.__file__).parent) not in text
    assert ended.error == "OSError: cannot read {data}/x and {out}/y"
    assert "'package': '{artifact:code}'" in ended.log
    assert "{environment}/bin/python" in ended.log
    assert "Traceback (most recent call last)" in ended.log
    assert '"{glue}/glue.py"' in ended.log


def test_a_log_hides_a_folder_behind_a_link_too(job: Job, tmp_path: Path) -> None:
    (tmp_path / "really here").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "really here")
    (tmp_path / "link" / "out").mkdir()
    ended = glue(
        replace(job, out=tmp_path / "link" / "out"), "import os\nprint(os.getcwd(), given['out'])", out="{out}"
    )
    assert ended.log == "{out}/work {out}\n"


def test_of_a_long_log_the_end_is_kept(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "LOG_BYTES", 100)
    ended = glue(job, "for i in range(1000): print('accuracy %d' % i)")
    assert ended.log.endswith("accuracy 998\naccuracy 999\n")
    assert len(ended.log) == 100
    assert StdoutMeasure(read_from="stdout", metric="m", pattern=r"accuracy (\d+)").read(ended, job).value == "999"


def test_a_log_that_is_not_utf8_is_read_all_the_same(job: Job) -> None:
    ended = glue(job, "import sys\nsys.stdout.buffer.write(b'caf\\xe9 0.5\\n')")
    assert ended.log == "caf\ufffd 0.5\n"


def test_output_of_a_crash_is_in_the_log(job: Job) -> None:
    ended = glue(
        job,
        "import os, sys\nprint('to out')\nprint('to err', file=sys.stderr)\nos.system('echo from a shell')\nos.kill(os.getpid(), 9)",
    )
    assert ended.log == "to out\nto err\nfrom a shell\n"


# Measures: what was returned


def test_arrays_tensors_and_numbers_come_back_by_their_dotted_names(job: Job) -> None:
    code = (
        "import numpy, torch\n"
        "return {'a': numpy.arange(3), 'deep': {'t': torch.ones(2, requires_grad=True)}, 'list': [numpy.zeros(1), 5],\n"
        "        'f32': numpy.float32(0.5), 'true': numpy.bool_(True), 'scalar': torch.tensor(2.0), 'none': None, 3: 'three',\n"
        "        'object': object, 'objects': numpy.array([{}], dtype=object), 'nan': float('nan')}"
    )
    ended = glue(job, code)
    assert ended.ok, ended.log
    returned = ended.returned
    assert math.isnan(returned.pop("nan"))
    assert returned == {
        "a": {"array": "a"}, "deep": {"t": {"array": "deep.t"}}, "list": [{"array": "list.0"}, 5], "f32": 0.5, "true": True,
        "scalar": 2.0, "none": None, "3": "three", "object": "<class 'object'>", "objects": None,
    }  # fmt: skip
    arrays = load_arrays(job.out)
    assert sorted(arrays) == ["a", "deep.t", "list.0"]
    assert arrays["a"].tolist() == [0, 1, 2]
    assert arrays["deep.t"].tolist() == [1.0, 1.0]


def ended_with(returned: Any = None, log: str = "") -> Ended:
    return Ended(ok=True, timed_out=False, error="", returned=returned, log=log, cpu_s=0.5)


RETURN = ReturnMeasure(read_from="return", metric="accuracy")


@pytest.mark.parametrize(
    ("returned", "key", "value"),
    [
        (0.5, "", 0.5), (1, "", 1.0), ({"acc": 0.25}, "acc", 0.25), ({"a": {"b": [1, 2, 0.75]}}, "a.b.2", 0.75),
        ({"runs": [{"acc": 1}, {"acc": 0.5}]}, "runs.-1.acc", 0.5), (-0.0, "", 0.0), (10**20, "", 1e20), ({"0": 3}, "0", 3.0),
    ],
)  # fmt: skip
def test_a_returned_number_is_found_by_its_key(job: Job, returned: Any, key: str, value: float) -> None:
    execution = measured(ended_with(returned), (replace(RETURN, key=key),), job)
    assert number(execution) == value
    assert execution.measurements[0].self_reported
    assert (execution.cpu_s, execution.device, execution.curves) == (0.5, "cpu", {})


@pytest.mark.parametrize(
    ("returned", "key", "says"),
    [
        (None, "", "a number is needed, it gave 'None'"),
        (True, "", "a number is needed, it gave 'True'"),
        (False, "", "a number is needed, it gave 'False'"),
        ("high", "", "a number is needed, it gave 'high'"),
        ("", "", "a number is needed, it gave ''"),
        ([], "", "a number is needed"),
        ({"acc": {"array": "acc"}}, "acc", "a number is needed"),
        ({"acc": 0.5}, "accuracy", "there is no 'accuracy' in what it gave"),
        ({"a": {"b": 1}}, "a.c", "there is no 'a.c' in what it gave"),
        ({"a": [1, 2]}, "a.2", "there is no 'a.2' in what it gave"),
        ({"a": [1, 2]}, "a.b", "there is no 'a.b' in what it gave"),
        ({"a": 0.5}, "a.b", "there is no 'a.b' in what it gave"),
        ("text", "0", "there is no '0' in what it gave"),
        (None, "a", "there is no 'a' in what it gave"),
        ("x" * 1000, "", "a number is needed, it gave 'xxx"),
    ],
)
def test_a_run_that_gives_no_number_has_failed(job: Job, returned: Any, key: str, says: str) -> None:
    execution = measured(ended_with(returned), (replace(RETURN, key=key),), job)
    assert execution.status is FAILED
    assert execution.reason.startswith(says)
    assert len(execution.reason) < 150
    assert execution.measurements == ()


@pytest.mark.parametrize(
    "returned", [math.nan, math.inf, -math.inf, 1e300 * 1e10, "nan", "inf", "-Infinity", 10**400, 1e200]
)
def test_a_number_that_is_not_finite_or_absurd_means_that_the_run_diverged(job: Job, returned: Any) -> None:
    execution = measured(ended_with(returned), (RETURN,), job)
    assert execution.status is DIVERGED
    assert execution.reason == f"accuracy is {str(returned)[:60]}"
    (found,) = execution.measurements
    assert (found.value, found.raw) == (None, str(returned)[:60])


def test_a_measure_that_finds_nothing_does_not_hide_the_others(job: Job) -> None:
    measures = (replace(RETURN, key="acc"), replace(RETURN, metric="loss", key="loss"))
    execution = measured(ended_with({"acc": 0.5}), measures, job)
    assert execution.status is FINISHED
    assert execution.reason == "loss: there is no 'loss' in what it gave"
    assert [(m.value, m.raw) for m in execution.measurements] == [(0.5, "0.5"), (None, "")]


def test_one_diverged_measurement_does_not_hide_the_others(job: Job) -> None:
    measures = (replace(RETURN, metric="loss", key="loss"), replace(RETURN, key="acc"))
    execution = measured(ended_with({"loss": math.nan, "acc": 0.5}), measures, job)
    assert execution.status is DIVERGED
    assert [found.value for found in execution.measurements] == [None, 0.5]


@given(st.floats(-1e6, 1e6), st.sampled_from([1.0, 100.0, 0.01, -1.0]))
def test_a_finite_number_is_scaled_in_decimal_digits_and_its_text_is_what_stood_there(
    value: float, scale: float
) -> None:
    assert finite(value, scale) == (float(Decimal(repr(value)) * Decimal(repr(scale))), repr(value))
    assert finite(repr(value), scale) == finite(value, scale)
    assert finite(value, scale)[0] == pytest.approx(value * scale, rel=1e-15, abs=1e-300)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("return float('nan')", DIVERGED),
        ("return 1e308 * 10", DIVERGED),
        ("return 1", FINISHED),
        ("return '1'", FINISHED),
        ("return True", FAILED),
        ("pass", FAILED),
        ("raise ValueError", FAILED),
    ],
)
def test_a_rerun_ends_in_the_words_of_an_audit(job: Job, code: str, status: RerunStatus) -> None:
    assert job.glue is not None
    job.glue.write_text(f"def go():\n    {code}\n")
    assert python_recipe(GlueRun(kind="glue", function="go"), RETURN).execute(job).status is status


# Measures: predictions


@pytest.fixture
def prepared(job: Job, tmp_path: Path) -> Job:
    data = tmp_path / "data"
    data.mkdir()
    np.savez(data / DATA_FILE, x=np.arange(8.0).reshape(4, 2), y=np.array([0, 1, 1, 0]))
    return replace(job, data=data)


PREDICTIONS = PredictionsMeasure(
    read_from="predictions", metric="accuracy", predictions="p", labels="y", of="accuracy", scale=100.0
)


def test_our_metric_is_taken_of_the_predictions_and_not_the_releases_word(prepared: Job) -> None:
    assert prepared.glue is not None
    prepared.glue.write_text(
        "import numpy\ndef go(data):\n    y = numpy.load(data + '/data.npz')['y']\n"
        "    return {'p': 1 - numpy.where(numpy.arange(4) == 0, 1 - y, y), 'accuracy': 1.0}\n"
    )
    recipe = python_recipe(GlueRun(kind="glue", function="go", arguments={"data": "{data}"}), PREDICTIONS)
    execution = recipe.execute(prepared)
    assert number(execution) == 25.0
    assert not execution.measurements[0].self_reported


@pytest.mark.parametrize(
    ("predictions", "says"),
    [
        ({}, "it returned no array 'p'"),
        ({"q": np.zeros(4)}, "it returned no array 'p'"),
        ({"p": np.zeros(3)}, "predictions of shape (3,) for labels of shape (4,)"),
        ({"p": np.array([["a", "b"]] * 4)}, ""),
        ({"p": np.float64(1.0)}, ""),
        ({"p": np.zeros(4, dtype=[("a", int), ("b", int)])}, ""),
        ({"p": np.array([None] * 4, dtype=object)}, ""),
    ],
)
def test_predictions_that_cannot_be_measured_are_a_failure(
    prepared: Job, predictions: dict[str, Any], says: str
) -> None:
    np.savez(prepared.out / DATA_FILE, **predictions)
    for of in ("accuracy", "mean_squared_error"):
        execution = measured(ended_with(), (replace(PREDICTIONS, of=of),), prepared)  # type: ignore[arg-type]
        assert (execution.status, execution.measurements) == (FAILED, ())
        assert execution.reason == says or of != "accuracy" or not says


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not really", b"\x93NUMPY", b"\x80\x04K\x01.", b"text"])
def test_a_file_in_the_place_of_predictions_that_holds_no_arrays_is_a_failure(prepared: Job, content: bytes) -> None:
    (prepared.out / DATA_FILE).write_bytes(content)
    execution = measured(ended_with(), (PREDICTIONS,), prepared)
    assert execution.status is FAILED
    assert "does not hold arrays" in execution.reason


def test_labels_that_were_not_prepared_are_named(prepared: Job) -> None:
    np.savez(prepared.out / DATA_FILE, p=np.zeros(4))
    assert (
        measured(ended_with(), (replace(PREDICTIONS, labels="z"),), prepared).reason
        == "the prepared data has no array 'z'"
    )
    assert (
        measured(ended_with(), (PREDICTIONS,), replace(prepared, data=None)).reason
        == "the prepared data has no array 'y'"
    )


# Measures: what was printed


@pytest.mark.parametrize(
    ("log", "pattern", "value"),
    [
        ("acc: 0.1\nacc: 0.5\n", r"acc: ([\d.]+)", 0.5),
        ("epoch 1 acc=9e-1\n", r"acc=(\S+)", 0.9),
        ("0.25\nend\n", r"^([\d.]+)$", 0.25),
        ("acc: 7\r\n", r"acc: (\d+)", 7.0),
        ("loss (0.5)", r"loss \((.*)\)", 0.5),
    ],
)
def test_the_last_number_that_was_printed_counts(job: Job, log: str, pattern: str, value: float) -> None:
    measure = StdoutMeasure(read_from="stdout", metric="m", pattern=pattern)
    assert number(measured(ended_with(log=log), (measure,), job)) == value


EPOCHS = "".join(
    f"epoch {i}: val {val} test {test}\n"
    for i, (val, test) in enumerate(zip([0.5, 0.8, "nan", 0.8, 0.7], range(5), strict=True))
)


@pytest.mark.parametrize(("best", "value"), [("highest", 1.0), ("lowest", 0.0)])
def test_the_best_epoch_by_validation_counts(job: Job, best: Any, value: float) -> None:
    """The first of equal ones; an epoch without a finite validation value is not the best."""
    measure = StdoutMeasure(
        read_from="stdout", metric="m", pattern=r"test (\S+)", best_epoch=BestEpoch(by=r"val (\S+)", best=best)
    )
    assert number(measured(ended_with(log=EPOCHS), (measure,), job)) == value
    returned = {"val": [0.5, 0.8, 0.7], "test": [0.0, 1.0, 2.0]}
    by_key = ReturnMeasure(read_from="return", metric="m", key="test", best_epoch=BestEpoch(by="val", best=best))
    assert number(measured(ended_with(returned=returned), (by_key,), job)) == value


@pytest.mark.parametrize(
    ("log", "says"),
    [
        ("val 1\ntest 1\ntest 2\n", "one value an epoch is needed, found 2 measured and 1 of validation"),
        ("val nan\ntest 1\n", "no epoch has a finite validation value"),
        ("test 1\n", "it printed nothing that matches"),
    ],
)
def test_epochs_that_cannot_be_told_apart_give_no_measurement(job: Job, log: str, says: str) -> None:
    measure = StdoutMeasure(
        read_from="stdout", metric="m", pattern=r"test (\S+)", best_epoch=BestEpoch(by=r"val (\S+)", best="highest")
    )
    execution = measured(ended_with(log=log), (measure,), job)
    assert (execution.status, says in execution.reason) == (FAILED, True)


@pytest.mark.parametrize(
    ("log", "pattern", "status", "says"),
    [
        ("nothing", r"acc: (\d+)", FAILED, r"it printed nothing that matches 'acc: (\\d+)'"),
        ("acc: high", r"acc: (\w+)", FAILED, "a number is needed, it gave 'high'"),
        ("acc: 5\nacc: nan", r"acc: (\w+)", DIVERGED, "m is nan"),
    ],
)
def test_a_log_without_the_number_is_no_success(
    job: Job, log: str, pattern: str, status: RerunStatus, says: str
) -> None:
    measure = StdoutMeasure(read_from="stdout", metric="m", pattern=pattern)
    execution = measured(ended_with(log=log), (measure,), job)
    assert (execution.status, execution.reason) == (status, says)


@pytest.mark.parametrize(
    ("pattern", "says"),
    [("acc", "it has 0"), ("(a)(b)", "it has 2"), ("(", "not a regular expression"), ("(?:a)", "it has 0")],
)
def test_a_pattern_must_have_one_group(pattern: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        parse(StdoutMeasure, {"read_from": "stdout", "metric": "m", "pattern": pattern}, "f")


# Measures: a file


def file_measure(path: str, key: str = "") -> FileMeasure:
    return FileMeasure(read_from="file", metric="m", path=path, key=key)


def test_a_number_in_a_json_file_below_the_runs_folders_is_read(job: Job) -> None:
    code = (
        "import json, os\nos.makedirs('logs/v1')\njson.dump({'test': {'acc': 0.5}}, open('logs/v1/metrics.json', 'w'))\n"
        "json.dump([1, 2], open(os.path.join(given['out'], 'list.json'), 'w'))\nopen('result.json', 'w').write('3')"
    )
    ended = glue(job, code, out="{out}")
    for path, key, value in (
        ("logs/v1/metrics.json", "test.acc", 0.5), ("logs/*/metrics.json", "test.acc", 0.5), ("**/metrics.json", "test.acc", 0.5),
        ("work/logs/v1/metrics.json", "test.acc", 0.5), ("list.json", "1", 2.0), ("l*.json", "0", 1.0), ("result.json", "", 3.0),
    ):  # fmt: skip
        execution = measured(ended, (file_measure(path, key),), job)
        assert execution.status is FINISHED, (path, execution.reason)
        assert execution.measurements[0].value == value


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("nowhere.json", "0 files match 'nowhere.json'; one is needed"),
        ("folder", "0 files match"),
        ("text.txt", "text.txt is not JSON"),
        ("empty.txt", "empty.txt is not JSON"),
        ("latin.txt", "latin.txt is not JSON"),
        ("deep.txt", "deep.txt is not JSON"),
        ("request.json", "0 files match"),
        ("log.txt", "0 files match"),
        ("bool.txt", "a number is needed, it gave 'True'"),
        ("pipe", "0 files match"),
    ],
)
def test_a_file_that_gives_no_number_is_a_failure(job: Job, path: str, says: str) -> None:
    work = job.out / "work"
    (work / "folder").mkdir(parents=True)
    os.mkfifo(work / "pipe")
    for name, content in {
        "work/a.json": b"1", "b.json": b"2", "work/text.txt": b"acc 5", "work/empty.txt": b"", "work/latin.txt": b'"\xe9"',
        "work/deep.txt": b"[" * 100_000, "request.json": b"1", "result.json": b"1", "log.txt": b"1", "work/bool.txt": b"true",
    }.items():  # fmt: skip
        (job.out / name).write_bytes(content)
    execution = measured(ended_with(), (file_measure(path),), job)
    assert execution.status is FAILED
    assert execution.reason.startswith(says)


def test_a_link_to_a_file_outside_is_not_followed(job: Job, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "metrics.json").write_text("1.0")
    work = job.out / "work"
    work.mkdir()
    (work / "metrics.json").symlink_to(outside / "metrics.json")
    (work / "folder").symlink_to(outside)
    for path in ("metrics.json", "folder/metrics.json", "*/metrics.json"):
        execution = measured(ended_with(), (file_measure(path),), job)
        assert (execution.status, execution.reason) == (FAILED, f"0 files match {path!r}; one is needed")


def test_a_run_folder_that_is_itself_behind_a_link_is_read(job: Job, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(job.out)
    (job.out / "work").mkdir()
    (job.out / "work" / "m.json").write_text("0.5")
    assert number(measured(ended_with(), (file_measure("m.json"),), replace(job, out=tmp_path / "link"))) == 0.5


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.json", "a/../../x.json", ".."])
def test_a_files_path_must_stay_below_the_run(path: str) -> None:
    with pytest.raises(BadInput, match="path must be relative and stay below the run's folder"):
        parse(FileMeasure, {"read_from": "file", "metric": "m", "path": path}, "f")


# Arms


rows = hnp.arrays(
    st.sampled_from([np.int64, np.float64, np.dtype("<U3")]),
    hnp.array_shapes(min_dims=1, max_dims=3, max_side=6),
)


def multiset(array: np.ndarray[Any, Any]) -> Counter[bytes]:
    return Counter(row.tobytes() for row in array)


@given(rows, st.integers(0, 1000))
def test_shuffling_keeps_the_rows_and_leaves_the_other_arrays(y: np.ndarray[Any, Any], seed: int) -> None:
    x = np.arange(5)
    before = y.copy()
    shuffled = permuted({"x": x, "y": y}, ("y",), seed)
    assert multiset(shuffled["y"]) == multiset(y)
    assert shuffled["y"].shape == y.shape
    assert shuffled["y"].dtype == y.dtype
    assert shuffled["x"] is x
    assert y.tobytes() == before.tobytes()  # what was given is as it was
    again = permuted({"x": x, "y": y}, ("y",), seed)
    assert again["y"].tobytes() == shuffled["y"].tobytes()


def test_each_seed_shuffles_in_its_own_way_and_none_leaves_all_in_place() -> None:
    y = np.arange(50)
    orders = {tuple(permuted({"y": y}, ("y",), seed)["y"]) for seed in range(20)}
    assert len(orders) == 20
    assert tuple(y) not in orders


def test_an_array_that_is_not_there_cannot_be_shuffled() -> None:
    with pytest.raises(BadInput, match="the prepared data has no array 'z'; it has x, y"):
        permuted({"y": np.zeros(1), "x": np.zeros(1)}, ("z",), 0)
    with pytest.raises(BadInput, match="it has none"):
        permuted({}, ("z",), 0)


def test_an_arm_sees_shuffled_labels_and_the_prepared_data_stays(prepared: Job) -> None:
    assert prepared.glue is not None
    assert prepared.data is not None
    (prepared.data / "notes.txt").write_text("more")
    prepared.glue.write_text(
        "import numpy, os\ndef go(data):\n    file = numpy.load(data + '/data.npz')\n"
        "    return {'x': file['x'], 'y': file['y'], 'notes': open(data + '/notes.txt').read()}\n"
    )
    before = (prepared.data / DATA_FILE).read_bytes()
    run = GlueRun(kind="glue", function="go", arguments={"data": "{data}"})
    recipe = python_recipe(run)
    seed = next(
        s for s in range(20) if permuted({"y": np.array([0, 1, 1, 0])}, ("y",), s)["y"].tolist() != [0, 1, 1, 0]
    )
    execution = recipe.execute(replace(prepared, arm=Arm(permute=("y",)), seed=seed))
    assert execution.status is FINISHED, execution.log
    seen, given_ = load_arrays(prepared.out), load_arrays(prepared.data)
    assert seen["x"].tolist() == given_["x"].tolist()
    assert seen["y"].tolist() != given_["y"].tolist()
    assert sorted(seen["y"].tolist()) == sorted(given_["y"].tolist())
    assert (prepared.data / DATA_FILE).read_bytes() == before


def test_an_arms_parameters_take_the_place_of_the_recipes(job: Job) -> None:
    assert job.glue is not None
    job.glue.write_text("def go(epochs):\n    return epochs\n")
    run = GlueRun(kind="glue", function="go", arguments={"epochs": "{epochs}"})
    recipe = python_recipe(run, RETURN, parameters={"epochs": 10})
    assert list(recipe.check_arm(Arm(parameters={"epochs": 1}), "arm")) == []
    assert "the run has no {lr}" in next(recipe.check_arm(Arm(parameters={"lr": 1}), "arm"))
    assert recipe.metrics() == {"accuracy"}
    assert number(recipe.execute(job)) == 10
    (job.out.parent / "other").mkdir()
    assert number(recipe.execute(replace(job, out=job.out.parent / "other", arm=Arm(parameters={"epochs": 1})))) == 1


def test_a_folder_without_prepared_arrays_has_none(tmp_path: Path) -> None:
    assert load_arrays(tmp_path) == {}


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / DATA_FILE, y=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_arrays(tmp_path)


# The native driver


def native(**changes: Any) -> NativeDriver:
    training = {
        "train": {"x": "x", "y": "y"}, "test": {"x": "x", "y": "y"}, "model": [{"layer": "linear", "inputs": 2, "outputs": 2}],
        "loss": "cross_entropy", "optimizer": {"name": "sgd", "learning_rate": 0.1}, "steps": 11,
        "batching": {"size": 2, "order": "sequential"}, "evaluation": {"metric": "accuracy", "every": 10, "at_step": 10},
    }  # fmt: skip
    made: NativeDriver = parse(
        NativeDriver, {"driver": "native", "metric": "m", "recipe": training | changes, "taken_from": []}, "f"
    )
    return made


def test_a_native_training_keeps_its_time_limit(prepared: Job) -> None:
    endless = native(steps=10**9, evaluation={"metric": "accuracy", "every": 10, "at_step": 10})
    execution = endless.execute(replace(prepared, timeout_s=0.5))
    assert (execution.status, execution.reason) == (TIMED_OUT, "stopped after 0.5 s, its time limit")
    assert execution.measurements == ()
    assert native().execute(prepared).status is FINISHED


def test_native_layers_that_do_not_fit_are_bad_input(prepared: Job) -> None:
    with pytest.raises(BadInput, match="do not fit each other"):
        native(model=[{"layer": "linear", "inputs": 3, "outputs": 2}]).execute(prepared)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_bad_input(prepared: Job) -> None:
    with pytest.raises(BadInput, match="sees no GPU"):
        native().execute(replace(prepared, device="cuda"))
