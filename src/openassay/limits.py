"""What published code may use: memory, processes and disk of all that one run in a cage has started, whoever started it.

Where a cgroup can be had, the kernel keeps memory and processes; elsewhere, and for the disk, the run is looked at a few times a
second, and ended. A run that meets a limit has not failed: the limit is ours.
"""

from __future__ import annotations

import os
import re
import resource
import secrets
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated

from pydantic import Field

from openassay.faults import Fault

CGROUPS = Path("/sys/fs/cgroup")
MAX_FILE_BYTES = 4 * 2**30
"""No file that a run writes may be larger, and no arrays that it gives: a runaway print or loop ends that run, not the disk.

One limit for data and for the log, since the system knows only one a process; 4 GiB holds any array that we read, and a few
runs at a time fit on a disk.
"""
PERIOD_S = 0.2
"""Between two looks at a run."""
_GIB = 2**30
_MOST_SAID = 2**24
"""Bytes that are read of what a program prints."""
_SHARE = 0.9
"""Of the machine's memory, where no other limit is set."""
_LEAST_MEMORY, _LEAST_DISK, _LEAST_SHARE = 2**29, 2**28, 0.02
"""Bytes, or this share of the whole where it is less: a run is ended before the machine has no more left, whoever took it."""
_DISK_PERIOD_S = 5.0
_MOST_DUTY = 0.05
"""Of one core, for measuring folders and shared memory."""
_KINDS = {"memory_gib": "memory", "disk_gib": "disk", "files": "files", "processes": "processes and threads"}
_MEASURE = 'du -sxc --block-size=1 -- "$@" | tail -n 1; du -sxc --inodes -- "$@" | tail -n 1'
_ENTER = (
    'ulimit -f "$1" || exit 1; shift; while [ "$1" != -- ]; do echo 0 >"$1/cgroup.procs" || exit 1; shift; done; '
    'shift; exec "$@"'
)
"""A shell enters cgroups and becomes a command, none of whose files may be larger than so many blocks of 512 bytes."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What all that one run starts may use together."""

    memory_gib: Annotated[float, Field(ge=0)] = 0.0
    """GiB of memory, with what lies in the cage's own /tmp and /dev/shm; 0 for nine tenths of the machine's."""
    processes: Annotated[int, Field(ge=16)] = 4096
    """Processes and threads."""
    disk_gib: Annotated[float, Field(gt=0)] = 32.0
    """GiB in the folders that it may write to."""
    files: Annotated[int, Field(ge=1000)] = 1_000_000
    """Files and folders in them."""

    @property
    def memory_bytes(self) -> int:
        """The most memory that a run may use."""
        if self.memory_gib:
            return int(self.memory_gib * _GIB)
        groups = _own_groups()
        ours = [
            groups[of] / name for of, name in (("memory", "memory.limit_in_bytes"), ("", "memory.max")) if of in groups
        ]
        return int(
            _SHARE
            * min([*_fields("/proc/meminfo", "MemTotal"), *(int(said) for of in ours if (said := _text(of)).isdigit())])
        )


class LimitMet(Fault):
    """A run needs more than it may use, or than the machine has left."""


@contextmanager
def limited(command: list[str], limits: Limits, folders: Sequence[Path]) -> Iterator[tuple[list[str], Meter]]:
    """A command that runs another, a cage, within limits, and the meter by which it must be waited for.

    folders: all that it may write to, on one disk.
    """
    groups = _make_groups(limits)
    meter = Meter(limits, groups, [os.path.abspath(folder) for folder in folders])
    try:
        yield [*_entering(groups), *command], meter
    finally:
        meter.close()
        for group in groups:
            _remove(group)


def printed(
    command: list[str],
    variables: Mapping[str, str],
    descriptors: tuple[int, ...],
    meter: Meter,
    *,
    timeout_s: float,
    words: str = "",
) -> subprocess.CompletedProcess[str]:
    """What a program within limits prints, and its status; of a flood the end. `LimitMet` and `TimeoutExpired` end it.

    words: its input, by a pipe: a file could be read again by what it starts.
    """  # fmt: skip
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        with subprocess.Popen(
            command, env=variables, pass_fds=descriptors, stdin=subprocess.PIPE, stdout=out, stderr=errors
        ) as process:
            assert process.stdin is not None  # noqa: S101 - it is a pipe
            writer = threading.Thread(target=_hand_over, args=(process.stdin, words), daemon=True)
            writer.start()
            try:
                meter.wait(process, timeout_s)
            except BaseException:
                process.kill()  # and with it all that is in its cage
                raise
            finally:
                process.wait()
                writer.join()
        said = [
            os.pread(of.fileno(), _MOST_SAID, max(0, os.fstat(of.fileno()).st_size - _MOST_SAID))
            for of in (out, errors)
        ]
    texts = [of.decode("utf-8", "replace") for of in said]
    return subprocess.CompletedProcess(command, process.returncode, *texts)


def _hand_over(sink: IO[bytes], words: str) -> None:
    with suppress(BrokenPipeError), sink:
        sink.write(words.encode())


class Meter:
    """What one run uses."""

    def __init__(self, limits: Limits, groups: Sequence[Path], folders: Sequence[str]) -> None:
        self._limits, self._groups, self._folders = limits, groups, folders
        self._memory = limits.memory_bytes
        self._free = _free(folders[0])
        self._left = limits.disk_gib * _GIB, float(limits.files)
        self._du: subprocess.Popen[str] | None = None
        self.cpu_s = 0.0
        """Processor time of the programs that have measured."""
        self._du_soonest = self._exact_soonest = time.monotonic()
        self._du_next = self._du_soonest + _DISK_PERIOD_S

    def wait(self, process: subprocess.Popen[bytes], timeout_s: float) -> None:
        """Wait for a run's first process. Raises `subprocess.TimeoutExpired` or `LimitMet`, and then leaves it."""
        end = time.monotonic() + timeout_s
        while True:
            try:
                process.wait(max(0.0, min(PERIOD_S, end - time.monotonic())))
            except subprocess.TimeoutExpired:
                self._look(process.pid)
                if time.monotonic() >= end:
                    raise
            else:
                break
        self._check_groups()
        if self._du is None and self._is_near(_free(self._folders[0])):
            self._measure()
        self._check_measured([])

    def close(self) -> None:
        """End what it has started."""
        if self._du is not None:
            self._du.kill()
            self._du.communicate()

    def _look(self, pid: int) -> None:
        # The first process is bwrap; its child is the first in the cage, whose root and processes are the cage's.
        first = _text(Path(f"/proc/{pid}/task/{pid}/children")).split()
        root = f"/proc/{first[0]}/root" if first else ""
        inside = []
        with suppress(OSError):
            inside = [f"{root}/proc/{of}" for of in os.listdir(f"{root}/proc") if root and of.isdigit()]
        if self._groups:
            self._check_groups()
        elif inside:
            self._check_processes(root, inside)
        self._check_disk(inside)
        whole, left = _fields("/proc/meminfo", "MemTotal", "MemAvailable")
        if left < min(_LEAST_MEMORY, _LEAST_SHARE * whole):
            raise LimitMet(
                f"this machine: {_gib(left)} GiB of its memory are left, and a run of published code goes on; run fewer at once "
                "(execution.workers), or let each use less (isolation.memory_gib)"
            )

    def _check_groups(self) -> None:
        for group in self._groups:
            for name in ("memory.oom_control", "memory.events"):
                if _counted(group / name, "oom_kill"):
                    peak = _text(group / "memory.max_usage_in_bytes") or _text(group / "memory.peak")
                    raise self._met("memory_gib", int(peak) / _GIB if peak.isdigit() else self._memory / _GIB)
            if _counted(group / "pids.events", "max"):
                raise self._met("processes", self._limits.processes)

    def _check_processes(self, root: str, inside: list[str]) -> None:
        own = shared = threads = 0
        for of in inside:
            told = _fields(f"{of}/status", "RssAnon", "RssShmem", "Threads")
            own, shared, threads = own + told[0], shared + told[1], threads + told[2] // 1024
        if threads > self._limits.processes:
            raise self._met("processes", threads)
        files = 0
        for path in ("tmp", "dev/shm"):
            with suppress(OSError):
                disk = os.statvfs(f"{root}/{path}")
                files += (disk.f_blocks - disk.f_bfree) * disk.f_frsize
        began = time.monotonic()
        if own + max(shared, files) <= self._memory or began < self._exact_soonest:
            return
        own = shared = 0  # forked processes share pages, each of which is to be counted once: what takes time
        for of in inside:
            told = _fields(f"{of}/smaps_rollup", "Pss_Anon", "Pss_Shmem", "Pss")
            own, shared = own + (told[0] or told[2]), shared + told[1]
        self._exact_soonest = time.monotonic() + (time.monotonic() - began) / _MOST_DUTY
        if (used := own + max(shared, files)) > self._memory:
            raise self._met("memory_gib", used / _GIB)

    def _check_disk(self, inside: list[str]) -> None:
        if self._du is not None:
            if os.waitid(os.P_PID, self._du.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                self._check_measured(inside)
            return
        free, now = _free(self._folders[0]), time.monotonic()
        if free[2] and free[0] < min(_LEAST_DISK, _LEAST_SHARE * free[2]):
            raise LimitMet(
                f"{self._folders[0]}: {_gib(free[0])} GiB of this disk are left, and a run of published code goes on; free some, "
                "or let a run write less (isolation.disk_gib)"
            )
        if now >= (self._du_soonest if self._is_near(free) else self._du_next):
            self._measure()

    def _is_near(self, free: tuple[float, float, float]) -> bool:
        """Whether the disk has lost half of what was left to the run, by whomever."""
        return any(before - now > left / 2 for before, now, left in zip(self._free, free, self._left, strict=False))

    def _measure(self) -> None:
        self._free = _free(self._folders[0])
        self._du = subprocess.Popen(
            ["/bin/sh", "-c", _MEASURE, "sh", *self._folders], env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def _check_measured(self, inside: list[str]) -> None:
        if self._du is None:
            return
        before = _cpu_of_children()
        said = self._du.communicate()[0].split()
        self._du, cpu_s, now = None, _cpu_of_children() - before, time.monotonic()
        self.cpu_s += cpu_s
        self._du_soonest = now + cpu_s / _MOST_DUTY
        self._du_next = max(self._du_soonest, now + _DISK_PERIOD_S)
        if len(said) < 4:
            return
        used, files = int(said[0]) + _unnamed(inside, self._folders[0]), int(said[2])
        self._left = self._limits.disk_gib * _GIB - used, self._limits.files - files
        if self._left[0] < 0:
            raise self._met("disk_gib", used / _GIB)
        if self._left[1] < 0:
            raise self._met("files", files)

    def _met(self, key: str, used: float) -> LimitMet:
        most = {"memory_gib": self._memory / _GIB, "disk_gib": self._limits.disk_gib}
        allowed, unit = (most[key], " GiB") if key in most else (getattr(self._limits, key), "")
        return LimitMet(
            f"isolation.{key}: expected at most {allowed:.5g}{unit} of {_KINDS[key]}, a run of published code came to "
            f"{used:.5g}{unit}; that is no failure of the release: allow more, as with isolation.{key}={_rounded(2 * allowed)}"
        )


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _rounded(value: float) -> str:
    return f"{value:.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"


def _gib(number_bytes: float) -> str:
    return f"{number_bytes / _GIB:.2f}"


def _text(path: Path) -> str:
    """What a file of the system's says; empty where there is none."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _fields(path: str, *names: str) -> list[int]:
    """Fields of a file such as /proc/PID/status: bytes of what is given in kB; 0 for what is not there."""
    found = dict(re.findall(r"^(\w+):\s*(\d+)", _text(Path(path)), re.MULTILINE))
    return [1024 * int(found.get(name, 0)) for name in names]


def _free(folder: str) -> tuple[float, float, float]:
    """Free bytes and files of a disk, and its size in bytes (0 where it tells none)."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize, disk.f_favail, disk.f_blocks * disk.f_frsize


def _unnamed(inside: list[str], folder: str) -> int:
    """Bytes of files that processes hold open on a folder's disk, and that no folder names any more."""
    disk, found = os.stat(folder).st_dev, {}
    for of in inside:
        with suppress(OSError):
            for name in os.listdir(f"{of}/fd"):
                with suppress(OSError):
                    status = os.stat(f"{of}/fd/{name}")
                    if status.st_nlink == 0 and status.st_dev == disk and stat.S_ISREG(status.st_mode):
                        found[status.st_ino] = status.st_blocks * 512
    return sum(found.values())


def _own_groups() -> dict[str, Path]:
    """The folder of this process's cgroup, by controller; by an empty name that of version 2."""
    found = {}
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        for of in controllers.split(","):
            found[of] = CGROUPS / of / path.lstrip("/")
    return {of: folder for of, folder in found.items() if os.path.isdir(folder)}


def _make_groups(limits: Limits) -> list[Path]:
    """Empty cgroups that keep memory and processes: one (version 2), two (version 1), none where they are not to be had."""
    own = _own_groups()
    if {"memory", "pids"} <= set(own):
        above = [own["memory"], own["pids"]]
        asked = {"memory.limit_in_bytes": limits.memory_bytes, "memory.memsw.limit_in_bytes": limits.memory_bytes}
    elif "" in own and {"memory", "pids"} <= set(_text(own[""].parent / "cgroup.subtree_control").split()):
        above = [own[""].parent]  # beside ours: one that holds processes passes no controller on
        asked = {"memory.max": limits.memory_bytes, "memory.swap.max": 0}
    else:
        return []
    made: list[Path] = []
    try:
        for folder in above:
            for left in folder.glob("openassay-*"):  # by an audit that was killed
                if not Path("/proc", left.name.split("-")[1]).exists():
                    with suppress(OSError):
                        left.rmdir()
            made.append(folder / f"openassay-{os.getpid()}-{secrets.token_hex(4)}")
            made[-1].mkdir()
        for group in made:
            for name, value in (asked | {"pids.max": limits.processes}).items():
                if (group / name).exists():
                    (group / name).write_text(str(value), encoding="utf-8")
        subprocess.run([*_entering(made), "true"], check=True, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        for group in made:
            _remove(group)
        return []
    return made


def _entering(groups: Sequence[Path]) -> list[str]:
    return ["/bin/sh", "-c", _ENTER, "sh", str(MAX_FILE_BYTES // 512), *map(str, groups), "--"]


def _counted(path: Path, word: str) -> int:
    """A number that a cgroup's file gives after a word."""
    words = _text(path).split()
    return int(words[words.index(word) + 1]) if word in words else 0


def _remove(group: Path) -> None:
    """Remove a cgroup whose processes have been ended: the last may take a moment."""
    for _ in range(40):
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
