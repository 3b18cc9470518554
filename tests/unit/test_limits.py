"""What published code may use is bounded, whoever of it uses it, and meeting a bound is no failure of the release.

Each attack is bounded by itself: where a limit failed, it would end with little used and with a number, and its test fail.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cages import needs_bwrap
from users import User, both_users

from openassay import limits
from openassay.drivers.job import Arm, Job
from openassay.drivers.run import Ended, ScriptRun, run_once
from openassay.faults import BadInput, Fault
from openassay.limits import LimitMet, Limits, limited
from openassay.settings import Isolation, compose

MIB = 2**20


@pytest.fixture(params=["kept by the kernel", "watched"])
def kept(request: pytest.FixtureRequest, user: User, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """How memory and processes are bounded: by cgroups, and as where there are none."""
    if request.param == "watched":
        monkeypatch.setattr(limits, "CGROUPS", tmp_path / "none")
    elif not user.does(cgroups_are_there):
        pytest.skip("this user may make no cgroup here")


def cgroups_are_there() -> bool:
    with limited(["true"], Limits(), [Path("/")]) as (command, _):
        return "/cgroup.procs" in command[2] and command[5] != "--"


@pytest.fixture
def job(user: User) -> Job:
    """A caged job that may use little."""
    release, out = user.folder / "artifact", user.folder / "out"
    release.mkdir()
    out.mkdir()
    few = Limits(memory_gib=0.25, processes=64, disk_gib=0.0625, files=2000)
    return Job(
        arm=Arm(), seed=0, data=None, artifacts={"code": str(release)}, python=user.python, glue=None, out=out, device="cpu",
        threads=1, timeout_s=60, target_file="x.yaml", isolation="bubblewrap", limits=few,
    )  # fmt: skip


def run(job: Job, code: str) -> Ended:
    """How a script of the release's ends."""
    (Path(job.artifacts["code"]) / "train.py").write_text(code)
    return run_once(ScriptRun(kind="script", artifact="code", path="train.py"), job, {}, ())


def another(job: Job, name: str) -> Job:
    (job.out / name).mkdir()
    return replace(job, out=job.out / name)


FORK_BOMB = """
import os, time
for _ in range(400):
    try:
        if os.fork() == 0:
            os.setsid()
            time.sleep(20)
            os._exit(0)
    except OSError:
        time.sleep(0.05)
time.sleep(2)
"""
THREADS = "import threading, time\nfor _ in range(300):\n    threading.Thread(target=time.sleep, args=[20], daemon=True).start()\ntime.sleep(2)"
MEMORY = "import time\nkept = []\nfor _ in range(60):\n    kept.append(b'x' * 10 * 2**20)\n    time.sleep(0.01)\ntime.sleep(2)"
MANY_CHILDREN = """
import os, time
for _ in range(6):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            kept = b'x' * 80 * 2**20
            time.sleep(20)
        os._exit(0)
time.sleep(3)
"""
SHARED = """
import time
for number in range(40):
    with open("/dev/shm/%d" % number if number % 2 else "/tmp/%d" % number, "wb") as file:
        file.write(b"x" * 10 * 2**20)
    time.sleep(0.02)
time.sleep(2)
"""
DISK = "import time\nfor number in range(20):\n    open(str(number), 'wb').write(b'x' * 10 * 2**20)\n    time.sleep(0.05)\ntime.sleep(2)"
UNNAMED = """
import os, time
kept = [open(str(number), "wb") for number in range(20)]
for number, file in enumerate(kept):
    os.unlink(str(number))
    file.write(b"x" * 10 * 2**20)
    file.flush()
    time.sleep(0.05)
time.sleep(4)
"""
BY_A_SURVIVOR = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(20):
            open(str(number), "wb").write(b"x" * 10 * 2**20)
            time.sleep(0.05)
        time.sleep(20)
    os._exit(0)
time.sleep(3)
"""
SMALL_FILES = "import time\nfor number in range(20000):\n    open('file%d' % number, 'w').close()\ntime.sleep(4)"


@needs_bwrap
@both_users
@pytest.mark.parametrize(
    ("code", "says"),
    [
        (
            FORK_BOMB,
            r"isolation\.processes: expected at most 64 of processes and threads, .* came to \d+; .*processes=128",
        ),
        (THREADS, r"isolation\.processes: "),
        (
            MEMORY,
            r"isolation\.memory_gib: expected at most 0\.25 GiB of memory, .* came to 0\.\d+ GiB; .*memory_gib=0\.5",
        ),
        (MANY_CHILDREN, r"isolation\.memory_gib: "),
    ],
    ids=["fork bomb", "threads", "memory", "children in sessions of their own"],
)
@pytest.mark.usefixtures("kept")
def test_memory_and_processes_are_bounded(job: Job, user: User, code: str, says: str) -> None:
    began = time.monotonic()
    with pytest.raises(LimitMet, match=says):
        user.does(lambda: run(job, code))
    assert time.monotonic() - began < 15  # and not when its children end


@needs_bwrap
@both_users
@pytest.mark.usefixtures("kept")
def test_what_lies_in_the_cages_own_tmp_is_memory(job: Job, user: User) -> None:
    with pytest.raises(Fault, match=r"isolation\.memory_gib"):
        user.does(lambda: run(job, SHARED))


@needs_bwrap
@both_users
@pytest.mark.parametrize(
    ("code", "says"),
    [
        (DISK, r"isolation\.disk_gib: expected at most 0\.0625 GiB of disk, .* came to 0\.\d+ GiB; .*disk_gib=0\.12"),
        (UNNAMED, r"isolation\.disk_gib: "),
        (BY_A_SURVIVOR, r"isolation\.disk_gib: "),
        (SMALL_FILES, r"isolation\.files: expected at most 2000 of files, .* came to \d+; .*files=4000"),
        ("for _ in range(150):\n    print('x' * 2**20)", r"isolation\.disk_gib: "),
    ],
    ids=["large files", "files without a name", "a survivor's files", "many small files", "a flood of words"],
)
def test_what_is_written_is_bounded(job: Job, user: User, code: str, says: str) -> None:
    with pytest.raises(LimitMet, match=says):
        user.does(lambda: run(job, code))
    assert sum(path.stat().st_size for path in job.out.rglob("*") if path.is_file()) < 230 * MIB


@needs_bwrap
@both_users
@pytest.mark.usefixtures("kept")
def test_a_run_below_its_limits_ends_as_without(job: Job, user: User) -> None:
    code = "import os\nkept = b'x' * 60 * 2**20\nopen('/dev/shm/a', 'wb').write(kept)\nopen('b', 'wb').write(kept[: 40 * 2**20])"
    ended = user.does(lambda: run(job, f"{code}\nprint('all of it')"))
    assert (ended.ok, ended.log) == (True, "all of it\n")
    assert not left_groups()


@needs_bwrap
@pytest.mark.usefixtures("kept")
def test_a_failure_of_the_releases_stays_its_own(job: Job) -> None:
    for number, (code, error) in enumerate((
        ("raise MemoryError('mine')", "MemoryError: mine"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "it was killed: the machine may have run out of memory"),
        ("raise BlockingIOError(11, 'Resource temporarily unavailable')", "BlockingIOError: [Errno 11] Resource temporarily unavailable"),
    )):  # fmt: skip
        assert run(another(job, str(number)), code).error == error
    late = run(replace(another(job, "late"), timeout_s=0.5), "import time\ntime.sleep(60)")
    assert (late.timed_out, late.error) == (True, "stopped after 0.5 s, its time limit")


def left_groups() -> list[str]:
    return [str(of) for path in Path("/proc/self/cgroup").read_text().split() for of in groups_of(path)]


def groups_of(line: str) -> Iterator[Path]:
    _, controllers, path = line.split(":", 2)
    for of in controllers.split(","):
        yield from (limits.CGROUPS / of / path.lstrip("/")).glob("openassay-*")


def test_limits_are_settings_of_the_cage_alone() -> None:
    asked = compose(None, ["isolation=bubblewrap", "isolation.memory_gib=2", "isolation.processes=99"]).isolation
    assert (asked.kind, asked.memory_gib, asked.processes, asked.memory_bytes) == ("bubblewrap", 2, 99, 2 * 2**30)
    assert compose(None, ["isolation=bubblewrap"]).isolation == Isolation(
        kind="bubblewrap"
    )  # the defaults stand in one place too
    with pytest.raises(BadInput, match="there is no isolation.memory_gib"):
        compose(None, ["isolation=none", "isolation.memory_gib=2"])
    with pytest.raises(BadInput, match="isolation.disk_gib: should be greater than 0"):
        compose(None, ["isolation=bubblewrap", "isolation.disk_gib=0"])


def test_without_a_limit_most_of_the_machines_memory_is_allowed() -> None:
    whole = int(re.search(r"MemTotal: *(\d+)", Path("/proc/meminfo").read_text())[1]) * 1024
    assert 0 < Limits().memory_bytes <= 0.9 * whole
