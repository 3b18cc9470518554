"""The cage: what published code could reach without it is not there, and what it needs is."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cages import ATTEMPTS, needs_bwrap
from users import User, both_users

from openassay import cage
from openassay.cage import NoCage, check_cage, interpreter_folders
from openassay.core.rerun_records import RerunStatus
from openassay.drivers.command import CommandDriver
from openassay.drivers.job import COPY, Arm, Job, RunResult
from openassay.records import parse


@pytest.fixture
def job(user: User) -> Job:
    """A job in the cage, beside a project that it must not see."""
    release = user.folder / "artifact"
    out = user.folder / "project" / "experiments" / "mini" / "rerun" / "faithful" / "seed-0" / "out"
    release.mkdir()
    out.mkdir(parents=True)
    return Job(
        arm=Arm(), seed=0, data=None, artifacts={"code": str(release)}, python=user.python, glue=None, out=out, device="cpu",
        threads=1, timeout_s=60, target_file="x.yaml", isolation="bubblewrap",
    )  # fmt: skip


def run(job: Job, code: str, **more: Any) -> RunResult:
    """What a script gives as a published command."""
    (Path(job.artifacts["code"]) / "train.py").write_text(code)
    keys = {"artifact": "code", "steps": [["python", "train.py"]], "reseed": False} | more
    measure = [{"read_from": "stdout", "metric": "m", "pattern": r"^m: ([\d.]+)"}]
    driver: CommandDriver = parse(CommandDriver, {"driver": "command", "run": keys, "measure": measure}, "x.yaml")
    return driver.execute(job)


ESCAPES = (
    ATTEMPTS
    + """
import glob, json, os, signal, socket, subprocess, sys
asked = json.load(open("asked.json"))
def has(path, words):
    with open(path, "rb") as file:
        return words in file.read()
token = asked["token"].encode()
def others():
    found = []
    for of in os.listdir("/proc"):
        try:
            found += [of] if of.isdigit() and has("/proc/%s/cmdline" % of, asked["command"].encode()) else []
        except OSError:
            pass
    return found
attempt("read the auditor's tokens from the ancestors' variables", lambda: any(has(of, token) for of in glob.glob("/proc/[0-9]*/environ")))
attempt("read its own variables", lambda: asked["token"] in os.environ.values())
attempt("open the memory of the audit", lambda: open("/proc/%d/mem" % asked["audit"], "rb").close())
attempt("open the memory of its parents", lambda: len([open("/proc/%s/mem" % of, "r+b") for of in others()]) > 0)
attempt("signal the audit", lambda: os.kill(asked["audit"], 0))
attempt("write into the environment", lambda: write(os.path.join(asked["site"], "openassay_escape.pth")))
attempt("write into the project's git", lambda: write(asked["project"] + "/.git/config"))
attempt("write beside another seed's record", lambda: write(asked["project"] + "/experiments/mini/rerun/faithful/seed-1/record.json"))
attempt("write another target's verdict", lambda: write(asked["project"] + "/experiments/other/verdict.json"))
attempt("make its own record", lambda: [write(asked["project"] + "/experiments/mini/rerun/faithful/seed-0/record.json")] == [])
attempt("write to the artifact", lambda: write(asked["artifact"] + "/train.py"))
attempt("read the home folder", lambda: os.listdir(asked["home"] + "/.ssh"))
attempt("read the passwords", lambda: has("/etc/shadow", b":"))
attempt("reach a server of this machine", lambda: socket.create_connection(("127.0.0.1", asked["port"]), 2))
attempt("reach an abstract socket", lambda: socket.socket(socket.AF_UNIX).connect(chr(0) + asked["abstract"]))
attempt("reach the network", lambda: socket.create_connection(("192.0.2.1", 80), 2))
attempt("resolve a name", lambda: socket.getaddrinfo("example.org", 80))
attempt("write to the system", lambda: os.access("/usr/bin", os.W_OK))
attempt("write to a disk", lambda: any(os.access(of, os.W_OK) for of in glob.glob("/dev/[sv]d*") + glob.glob("/dev/nvme*")))
attempt("mount", lambda: int(open("/proc/self/status").read().partition("CapEff:")[2].split()[0], 16) >> 21 & 1 == 1)
attempt("trace", lambda: __import__("ctypes").CDLL(None).ptrace(0x4206, asked["audit"], 0, 0) == 0)
attempt("see the audit's command", lambda: others() != [])
attempt("use an inherited descriptor", lambda: [of for of in os.listdir("/proc/self/fd") if int(of) > 2 and os.path.realpath("/proc/self/fd/" + of).startswith(asked["project"] + "/secret")] or False)
attempt("type into the terminal", lambda: open("/dev/tty", "w").write("x"))
print("done: " + json.dumps(done))
print("m: 1")
"""
)


@pytest.fixture
def asked(job: Job, user: User, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What a hostile script looks for, all of it there: a token, a server, other records, a home folder."""
    project, home = user.folder / "project", user.folder / "home"
    for name in (
        ".git/config",
        "experiments/mini/rerun/faithful/seed-1/record.json",
        "experiments/other/verdict.json",
        "secret",
    ):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("as it was\n")
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "id").write_text("key\n")
    monkeypatch.setenv("HF_TOKEN", "hf_secret_of_the_auditor")
    with (
        socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as abstract, (project / "secret").open() as secret,
    ):  # fmt: skip
        os.set_inheritable(secret.fileno(), True)
        abstract.bind(b"\0openassay-test-cage-%d" % os.getpid())
        abstract.listen()
        yield {
            "token": "hf_secret_of_the_auditor", "command": Path("/proc/self/cmdline").read_text(),
            "site": str(next(Path(user.python).parents[1].glob("lib/python*/site-packages"))),
            "project": str(project), "artifact": job.artifacts["code"], "home": str(home), "port": server.getsockname()[1],
            "abstract": f"openassay-test-cage-{os.getpid()}",
        }  # fmt: skip


def escaped(job: Job, user: User, asked: dict[str, Any]) -> list[str]:
    def try_all() -> RunResult:
        (Path(job.artifacts["code"]) / "asked.json").write_text(json.dumps(asked | {"audit": os.getpid()}))
        return run(job, ESCAPES)

    result = user.does(try_all)
    assert result.status is RerunStatus.FINISHED, result.log
    found: list[str] = json.loads(result.log.partition("done: ")[2].splitlines()[0])
    return found


@needs_bwrap
@both_users
def test_hostile_code_finds_no_way_out(job: Job, user: User, asked: dict[str, Any]) -> None:
    assert escaped(job, user, asked) == []
    project = Path(asked["project"])
    assert (project / ".git" / "config").read_text() == "as it was\n"
    assert (project / "experiments" / "other" / "verdict.json").read_text() == "as it was\n"
    assert not (job.out.parent / "record.json").exists()


@both_users
def test_without_the_cage_the_same_code_finds_ways_out(job: Job, user: User, asked: dict[str, Any]) -> None:
    """The attempts are real ones: each that an ordinary user may make succeeds where nothing hinders it."""
    asked |= {
        "site": str(user.folder / "home"),
        "artifact": str(user.folder / "home"),
    }  # of this machine nothing is harmed
    found = set(escaped(replace(job, isolation="none"), user, asked))
    assert (job.out.parent / "record.json").exists()
    assert {
        "signal the audit", "write into the environment", "write into the project's git", "write beside another seed's record",
        "write another target's verdict", "write to the artifact", "read the home folder",
        "reach a server of this machine", "reach an abstract socket", "see the audit's command",
    } <= found  # fmt: skip


@needs_bwrap
@both_users
def test_what_code_leaves_behind_ends_with_the_cage(job: Job, user: User) -> None:
    code = """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            open("alive", "a").write("x")
            time.sleep(0.05)
    os._exit(0)
time.sleep(0.3)
print("m: 1")
"""
    assert user.does(lambda: run(job, code)).status is RerunStatus.FINISHED
    alive = job.out / COPY / "alive"
    size = alive.stat().st_size
    assert size > 0
    time.sleep(0.5)
    assert alive.stat().st_size == size


@needs_bwrap
def test_a_run_in_the_cage_ends_as_it_would_outside(job: Job) -> None:
    killed = run(job, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    assert killed.status is RerunStatus.FAILED
    assert killed.reason == "python train.py ended with status -9: $ python train.py"
    late = run(replace(job, timeout_s=1, out=another(job, "late")), "import time\ntime.sleep(60)")
    assert late.status is RerunStatus.TIMED_OUT
    failed = run(replace(job, out=another(job, "failed")), "raise ValueError('no such file: weights.bin')")
    assert failed.reason == "python train.py ended with status 1: ValueError: no such file: weights.bin"


def another(job: Job, name: str) -> Path:
    out = job.out.with_name(name)
    out.mkdir()
    return out


@needs_bwrap
def test_training_in_the_cage_gives_the_same_bits(job: Job) -> None:
    code = """
import torch
torch.manual_seed(0)
x = torch.randn(512, 16)
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True)), 32, shuffle=True, num_workers=1)
model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
optimizer = torch.optim.Adam(model.parameters())
for inputs, wanted in loader:
    optimizer.zero_grad()
    loss = ((model(inputs) - wanted) ** 2).mean()
    loss.backward()
    optimizer.step()
print("m: %.17g" % loss.item())
"""
    inside = run(job, code)
    outside = run(replace(job, isolation="none", out=another(job, "outside")), code)
    assert inside.status is outside.status is RerunStatus.FINISHED, inside.log
    assert inside.measurements[0].raw == outside.measurements[0].raw


@needs_bwrap
@pytest.mark.parametrize("address", ["http://data.example.org/number.txt", "https://data.example.org/number.txt"])
def test_what_is_declared_is_served_into_the_cage(job: Job, tmp_path: Path, address: str) -> None:
    (Path(job.artifacts["code"]) / "number.txt").write_text("0.75" * 100_000)
    code = f"import urllib.request\ntext = urllib.request.urlopen({address!r}).read().decode()\nprint('m:', text[:4])\nassert len(text) == 400_000"
    result = run(job, code, provides={address: {"artifact": "code", "path": "number.txt"}})
    assert result.status is RerunStatus.FINISHED, result.log
    assert result.measurements[0].value == 0.75


@needs_bwrap
def test_a_gpu_that_does_not_show_in_the_cage_is_no_failure_of_the_release(job: Job) -> None:
    words = "RuntimeError: No CUDA GPUs are available"
    with pytest.raises(
        NoCage, match=r"a run finds no GPU in the cage \(No CUDA GPUs are available\); ask for isolation=none"
    ):
        run(replace(job, device="cuda"), f"raise SystemExit({words!r})")


def fake(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "bwrap").write_text(script)
    (folder / "bwrap").chmod(0o755)
    monkeypatch.setattr(cage, "PROGRAMS", str(folder))


@needs_bwrap
@both_users
def test_a_cage_is_tried_before_anything_runs_in_it(user: User) -> None:
    user.does(lambda: check_cage(user.python, interpreter_folders(user.python)))


OPEN = '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done; shift; exec "$@"\n'


def test_a_cage_that_is_open_is_refused_with_what_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    fake(tmp_path / "bin", OPEN, monkeypatch)
    with pytest.raises(NoCage, match="the cage is open on this machine: a file outside is read") as refused:
        check_cage(sys.executable, [locked])
    for what in (
        "the machine's network answers",
        "an abstract socket answers",
        f"{locked} may be written to",
        "the audit's process is seen",
    ):
        assert what in str(refused.value)


@needs_bwrap
def test_a_key_of_the_seals_in_a_folder_that_is_shown_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENASSAY_SEAL_KEY", str(tmp_path / "seal.key"))
    (tmp_path / "seal.key").write_bytes(bytes(32))
    with pytest.raises(
        NoCage, match="the cage is open on this machine: the key of the seals is there; nothing was run"
    ):
        check_cage(sys.executable, [*interpreter_folders(sys.executable), tmp_path])


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (None, "this machine has no bwrap in .*; install it .*or add isolation=none"),
        ("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n", "the system refuses user namespaces to this user"),
        ("#!/bin/sh\necho 'bwrap: broken' >&2\nexit 1\n", r"bwrap does not work here \(bwrap: broken\); mend it, or add isolation=none"),
    ],
)  # fmt: skip
def test_where_there_is_no_cage_it_is_said_with_what_to_do(
    script: str | None, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if script:
        fake(tmp_path / "bin", script, monkeypatch)
    else:
        monkeypatch.setattr(cage, "PROGRAMS", str(tmp_path))
    with pytest.raises(NoCage, match=says):
        check_cage(sys.executable, [])
