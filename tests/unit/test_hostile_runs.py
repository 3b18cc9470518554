"""Code that misbehaves harms its own run only, and a target's pattern cannot hang the audit."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from openassay.core.claims import Citation
from openassay.core.rerun_records import RerunStatus
from openassay.drivers import job as job_module
from openassay.drivers import measures as measures_module
from openassay.drivers import run as run_module
from openassay.drivers.job import Arm, Job, load_arrays, save_arrays
from openassay.drivers.measures import FileMeasure, PredictionsMeasure, ReturnMeasure, StdoutMeasure, finite, measured
from openassay.drivers.python import PythonDriver
from openassay.drivers.run import Ended, GlueRun
from openassay.faults import BadInput
from openassay.records import parse
from openassay.stages.prepare import check_array
from openassay.store import Store, listing, remove_tree
from openassay.target import ArrayCheck


@pytest.fixture
def job(tmp_path: Path) -> Job:
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    out.mkdir()
    np.savez(data / "data.npz", y=np.arange(10))
    (data / "notes.txt").write_text("as prepared")
    return Job(
        arm=Arm(), seed=3, data=data, artifacts={}, python=sys.executable, glue=tmp_path / "glue.py", out=out, device="cpu",
        threads=1, timeout_s=60,
    )  # fmt: skip


def recipe(job: Job, code: str, **arguments: str) -> PythonDriver:
    assert job.glue
    job.glue.write_text(code)
    return PythonDriver(
        driver="python",
        run=GlueRun(kind="glue", function="f", arguments={"data": "{data}"} | arguments),
        measure=(ReturnMeasure(read_from="return", metric="m"),),
    )


def test_what_a_run_writes_to_its_data_no_other_run_sees(job: Job) -> None:
    code = "def f(data):\n    open(data + '/notes.txt', 'w').write('mine')\n    open(data + '/data.npz', 'w').close()\n    return 1\n"
    assert job.data
    assert recipe(job, code).execute(job).status is RerunStatus.FINISHED
    assert (job.data / "notes.txt").read_text() == "as prepared"
    assert load_arrays(job.data)["y"].tolist() == list(range(10))


def test_a_runaway_file_ends_its_run_and_not_the_disk(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "MAX_FILE_BYTES", 100_000)
    printed = recipe(job, "def f(data):\n    print('x' * 1_000_000, flush=True)\n    return 1\n").execute(job)
    assert printed.status is RerunStatus.FAILED
    assert (job.out / "log.txt").stat().st_size <= 100_000


def test_a_pattern_that_takes_for_ever_is_given_up(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures_module, "PATTERN_S", 0.2)
    slow = recipe(job, "def f(data):\n    print('a' * 5000 + '!')\n    return 1\n")
    measure = StdoutMeasure(read_from="stdout", metric="m", pattern=r"^((?:a|aa)+)$")
    found = replace(slow, measure=(measure,)).execute(job)
    assert found.status is RerunStatus.FAILED
    assert "took more than" in found.reason


@pytest.mark.parametrize("text", ["1_000", "0x10", "٣", "1,5", "", " 1", "5%", "True", "one"])
def test_only_what_programs_print_as_numbers_is_a_number(text: str) -> None:
    with pytest.raises(measures_module.NoMeasurement):
        finite(text, 1.0)


@pytest.mark.parametrize("text", ["nan", "NaN", "-inf", "Infinity", "1e999"])
def test_a_printed_number_that_is_not_finite_counts_as_diverged(text: str) -> None:
    assert finite(text, 1.0) == (None, text)


def test_a_tree_that_published_code_wrote_to_is_unpacked_anew(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("as published")
    store = Store(tmp_path / "store")
    sha256 = store.add(source)
    tree = store.tree(sha256, "a.txt")
    (tree / "a.txt").write_text("as changed..")
    (tree / "more.txt").write_text("new")
    again = store.tree(sha256, "a.txt")
    assert (again / "a.txt").read_text() == "as published"
    assert not (again / "more.txt").exists()
    before = (again / "a.txt").stat().st_ino
    assert (store.tree(sha256, "a.txt") / "a.txt").stat().st_ino == before


# What a run leaves behind outside its own folder


@pytest.fixture
def bare(job: Job, tmp_path: Path) -> Job:
    """An execution in an environment and beside an artifact of its own, both watched."""
    environment, artifact = tmp_path / "environment", tmp_path / "artifact"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    artifact.mkdir()
    (artifact / "train.py").write_text("rate = 0.1\n")
    watched = {"its environment": environment, "its artifact code": artifact}
    return replace(
        job, python=str(environment / "bin" / "python"), artifacts={"code": str(artifact)},
        watched={what: (folder, listing(folder)) for what, folder in watched.items()},
    )  # fmt: skip


PLANTING = {
    "import sysconfig\nplace = sysconfig.get_path('purelib') + '/x.pth'\nopen(place, 'w').write('import os')": (
        f"its environment was changed by a run: lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages/x.pth"
    ),
    "import os\nopen(top + '/train.py', 'w').write('rate = 0.2\\n')": "its artifact code was changed by a run: train.py",
    "import os\nos.remove(top + '/train.py')": "its artifact code was changed by a run: train.py",
    "import os\nopen(os.fsencode(top) + b'/\\xff', 'w')": "its artifact code was changed by a run: \ufffd",
    "import shutil\nshutil.rmtree(top)": "its artifact code was changed by a run: train.py",
}


@pytest.mark.parametrize(("planting", "reason"), PLANTING.items(), ids=range(len(PLANTING)))
def test_a_run_that_changes_what_others_run_in_has_failed_and_so_have_those_after_it(
    bare: Job, planting: str, reason: str, tmp_path: Path
) -> None:
    code = "def f(data, top):\n" + "".join(f"    {line}\n" for line in planting.splitlines()) + "    return 1\n"
    found = recipe(bare, code, top="{artifact:code}").execute(bare)
    assert (found.status, found.reason, found.measurements) == (RerunStatus.FAILED, reason, ())
    (tmp_path / "later").mkdir()
    marking = f"def f(data, top):\n    open({str(tmp_path / 'ran')!r}, 'w')\n    return 1\n"
    later = recipe(bare, marking, top="{artifact:code}").execute(replace(bare, out=tmp_path / "later"))
    assert (later.status, later.reason) == (RerunStatus.FAILED, reason)
    assert not (tmp_path / "ran").exists()


def test_a_run_that_is_stopped_has_still_changed_its_environment(bare: Job) -> None:
    code = "import os, time\ndef f(data, top):\n    os.remove(top + '/train.py')\n    time.sleep(600)\n"
    found = recipe(bare, code, top="{artifact:code}").execute(replace(bare, timeout_s=2))
    assert (found.status, found.reason) == (RerunStatus.FAILED, "its artifact code was changed by a run: train.py")


def test_ordinary_code_leaves_nothing_beside_what_it_imports(bare: Job) -> None:
    module = Path(bare.artifacts["code"]) / "train.py"
    code = f"import sys, json, tempfile\nsys.path.insert(0, {str(module.parent)!r})\nimport train\ndef f(data): return train.rate\n"
    assert recipe(bare, code).execute(bare).status is RerunStatus.FINISHED


def test_compiled_kernels_are_cached_in_the_runs_own_folder(bare: Job) -> None:
    found = recipe(bare, "import os\ndef f(data):\n    print(os.environ['NUMBA_CACHE_DIR'])\n    return 1\n").execute(
        bare
    )
    assert found.log == "{out}/work/numba\n"


def processes(word: str) -> list[str]:
    """The processes whose command line holds a word."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if word.encode() in path.read_bytes():
                found.append(path.parent.name)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and only Linux has subreapers")
def test_a_daemon_in_a_session_of_its_own_is_ended_with_its_run_and_no_other_process(job: Job) -> None:
    word = f"daemon-of-{job.out}"
    daemon = (
        "import os, subprocess, sys, time\nif os.fork(): os._exit(0)\nos.setsid()\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', sys.argv[1]], start_new_session=True)\n"
        "open(sys.argv[2], 'w').close()\ntime.sleep(600)\n"
    )
    code = (
        "import os, subprocess, sys, time\ndef f(data):\n"
        f"    subprocess.Popen([sys.executable, '-c', {daemon!r}, {word!r}, 'up'], start_new_session=True).wait()\n"
        "    while not os.path.exists('up'): time.sleep(0.01)\n    return 1\n"
    )
    ours = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        assert recipe(job, code).execute(job).status is RerunStatus.FINISHED
        assert (job.out / "work" / "up").exists()
        assert processes(word) == []
        assert ours.poll() is None
    finally:
        ours.kill()
        ours.wait()
        for pid in processes(word):
            os.kill(int(pid), signal.SIGKILL)


def test_a_link_among_the_data_is_copied_as_a_link(job: Job) -> None:
    assert job.data
    (job.data / "endless").symlink_to("/dev/zero")
    found = recipe(job, "import os\ndef f(data):\n    return int(os.path.islink(data + '/endless'))\n").execute(job)
    assert found.measurements[0].value == 1


def test_text_that_should_be_rounded_is_not_what_was_published() -> None:
    check = ArrayCheck(array="y", sha256="0" * 64, decimals=3, cited_at=Citation(url="https://example.org/v1"))
    found = check_array(check, {"y": np.array(["a", "b"])})
    assert (found.passed, found.found) == (False, "not numbers")


# What a run leaves in its own folder


RESULT = '{"ok": true, "error": "", "returned": 1, "slip": "", "missing": ""}'


def test_a_crash_beside_a_result_is_a_crash(job: Job) -> None:
    code = f"import os\ndef f(data, out):\n    open(out + '/result.json', 'w').write({RESULT!r})\n    os._exit(3)\n"
    found = recipe(job, code, out="{out}").execute(job)
    assert (found.status, found.reason) == (RerunStatus.FAILED, "it ended with status 3 after it had left a result")


def test_a_failure_without_a_word_has_a_reason_all_the_same(job: Job) -> None:
    forged = RESULT.replace("true", "false")
    code = f"import os\ndef f(data, out):\n    open(out + '/result.json', 'w').write({forged!r})\n    os._exit(0)\n"
    found = recipe(job, code, out="{out}").execute(job)
    assert (found.status, found.reason) == (RerunStatus.FAILED, "it failed and did not say why")


def test_an_endless_error_message_is_cut(job: Job) -> None:
    found = recipe(job, "def f(data):\n    raise ValueError('x' * 10**7)\n").execute(job)
    assert found.reason == "ValueError: " + "x" * 1988


ODD = {
    "a pipe": "os.mkfifo(place)",
    "a link": "os.symlink('/dev/zero', place)",
    "a folder": "os.mkdir(place)",
    "larger than": "open(place, 'w').truncate(5 * 2**26)",
    "a socket": "s = socket.socket(socket.AF_UNIX); os.chdir(os.path.dirname(place)); s.bind(os.path.basename(place))",
}


def leaving(file: str, what: str, returned: str) -> str:
    return (
        f"import os, socket, numpy\ndef f(data, out):\n    place = out + '/{file}'\n"
        "    if os.path.exists(place): os.remove(place)\n"
        f"    print('said', flush=True)\n    {ODD[what]}\n    {returned}\n"
    )


@pytest.mark.parametrize("what", ODD)
def test_a_log_that_is_something_else_is_read_from_our_own_handle(job: Job, what: str) -> None:
    found = recipe(job, leaving("log.txt", what, "return 1"), out="{out}").execute(job)
    assert (found.status, found.log) == (RerunStatus.FINISHED, "said\n")


@pytest.mark.parametrize("what", ODD)
def test_a_result_that_is_something_else_is_none(job: Job, what: str) -> None:
    found = recipe(job, leaving("result.json", what, "os._exit(0)"), out="{out}").execute(job)
    assert (found.status, found.reason) == (RerunStatus.FAILED, "it ended with status 0 and left no result")


@pytest.mark.parametrize("what", ODD)
def test_predictions_in_something_else_are_none(job: Job, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "MAX_FILE_BYTES", 2**20)
    measure = PredictionsMeasure(read_from="predictions", metric="m", predictions="p", labels="y", of="accuracy")
    made = recipe(job, leaving("data.npz", what, "return 1"), out="{out}")
    found = replace(made, measure=(measure,)).execute(job)
    assert found.status is RerunStatus.FAILED
    assert found.reason.startswith(f"data.npz is {what}")


def test_a_measured_file_without_end_is_not_read(job: Job) -> None:
    made = recipe(job, leaving("metrics.json", "larger than", "return 1"), out="{out}")
    found = replace(made, measure=(FileMeasure(read_from="file", metric="m", path="metrics.json"),)).execute(job)
    assert (found.status, found.reason) == (RerunStatus.FAILED, f"metrics.json is larger than {2**26} bytes")


DEEP = "    for _ in range(3000):\n        os.mkdir('d' * 10)\n        os.chdir('d' * 10)\n"


ENDED = Ended(ok=True, timed_out=False, error="", returned=1, log="", cpu_s=1.0)
REMOVE = "    shutil.rmtree(out)\n"
SPOILING = {
    "nothing": REMOVE,
    "a file": REMOVE + "    open(out, 'w').close()\n",
    "a circle": REMOVE + "    os.symlink(out, out)\n",
    "a deep folder": DEEP,
}


@pytest.mark.parametrize("body", SPOILING.values(), ids=SPOILING)
@pytest.mark.parametrize("path", ["**/metrics.json", "metrics.json"])
def test_a_run_that_makes_something_else_of_its_folder_has_failed_and_nothing_is_left(
    job: Job, body: str, path: str
) -> None:
    made = recipe(job, f"import os, shutil\ndef f(data, out):\n{body}    return 1\n", out="{out}")
    try:
        found = replace(made, measure=(FileMeasure(read_from="file", metric="m", path=path),)).execute(job)
        assert found.status is RerunStatus.FAILED
        measure = PredictionsMeasure(read_from="predictions", metric="m", predictions="p", labels="y", of="accuracy")
        assert measured(ENDED, (measure,), job).status is RerunStatus.FAILED
        remove_tree(job.out)
        assert not os.path.lexists(job.out)
    finally:
        subprocess.run(["rm", "-rf", str(job.out)], check=True)  # pytest could not remove it


def test_a_run_may_write_four_gigabytes_to_a_file(job: Job) -> None:
    code = "import resource\ndef f(data):\n    return resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
    found = recipe(job, code).execute(job)
    assert found.measurements[0].value == 4 * 2**30


# Arrays that are not what they seem


def member(header: str, content: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    return b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header.encode() + content


def header(descr: object, shape: object) -> str:
    return repr({"descr": descr, "fortran_order": False, "shape": shape}) + "\n"


FALSE_ARRAYS = {
    "a huge shape": [("y.npy", member(header("<f8", (2**40,)), b"12345678"))],
    "a huge dtype": [("y.npy", member(header("<U500000000", (3,)), b"12345678"))],
    "a huge subarray": [("y.npy", member(header([("a", "<f8", (2**28,))], (64,)), b"12345678"))],
    "nothing, often": [("y.npy", member(header("|V0", (2**40,))))],
    "a negative shape": [("y.npy", member(header("<f8", (-1,)), b"12345678"))],
    "a shape of words": [("y.npy", member(header("<f8", ("a",)), b"12345678"))],
    "too short": [("y.npy", member(header("<f8", (10,)), b"12345678"))],
    "an unknown version": [("y.npy", member(header("<f8", (1,)), b"12345678", b"\x09\x00"))],
    "no header": [("y.npy", b"")],
    "a nested header": [("y.npy", member("(" * 5000))],
    "an open header": [("y.npy", member("{'descr': '''"))],
    "an unknown dtype": [("y.npy", member(header("<q99", (1,)), b"12345678"))],
    "text": [("notes.txt", b"text")],
    "two of a name": [("y.npy", member(header("<f8", (1,)), b"12345678")), ("y", member(header("<f8", (1,)), b"12345678"))],
    "objects": [("y.npy", member(header("|O", (1,)), b"\x80\x04K\x01."))],
}  # fmt: skip


@pytest.mark.parametrize("members", FALSE_ARRAYS.values(), ids=FALSE_ARRAYS)
def test_a_file_that_only_looks_like_arrays_is_refused_in_one_line_and_little_memory(
    tmp_path: Path, members: list[tuple[str, bytes]]
) -> None:
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    with pytest.raises(ValueError, match=r"data\.npz does not hold arrays: [^\n]+\Z"):
        load_arrays(tmp_path)


def test_a_flipped_byte_gives_arrays_or_a_clear_refusal(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", y=np.arange(5))
    whole = (tmp_path / "data.npz").read_bytes()
    for at in range(len(whole)):
        (tmp_path / "data.npz").write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        with contextlib.suppress(ValueError):
            load_arrays(tmp_path)


def test_arrays_that_unpack_to_more_than_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "data.npz", y=np.zeros(10**6))
    monkeypatch.setattr(job_module, "MAX_FILE_BYTES", 10**6)
    with pytest.raises(ValueError, match="take more than 1000000 bytes"):
        load_arrays(tmp_path)


NAMES = ("file", "args", "allow_pickle", "arr_0", "a/b", "ä", "y.npy", "")


def test_arrays_may_have_any_name_in_a_run_and_in_its_shuffled_copy(job: Job) -> None:
    assert job.data
    made = {name: np.arange(i + 2.0) for i, name in enumerate(NAMES)}
    save_arrays(job.data, made)
    code = "import numpy\ndef f(data, out):\n    return {k + '!': v for k, v in numpy.load(data + '/data.npz').items()} | {'file': numpy.ones(2)}\n"
    shuffled = replace(job, arm=Arm(permute=("file",)))
    found = replace(recipe(job, code, out="{out}"), measure=()).execute(shuffled)
    assert found.status is RerunStatus.FINISHED, found.reason
    arrays = load_arrays(job.out)
    assert arrays.pop("file").tolist() == [1, 1]
    assert {name.removesuffix("!"): sorted(array) for name, array in arrays.items()} == {
        name: sorted(array) for name, array in made.items()
    }


# Patterns


@pytest.mark.parametrize(
    "pattern",
    [
        "(" * 499,
        "(a)" * 300,
        f"({'a' * 500})",
        "(" * 249 + ")" * 249,
        "(a{9999999999999})",
        r"(\L<a>)",
        "(?P<a>x)(?P>b)",
    ],
)
def test_a_pattern_that_cannot_be_compiled_is_bad_input(pattern: str) -> None:
    with pytest.raises(BadInput, match="not a regular expression|the pattern"):
        parse(StdoutMeasure, {"read_from": "stdout", "metric": "m", "pattern": pattern}, "f")
