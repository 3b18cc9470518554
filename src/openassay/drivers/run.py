"""One run of a release's own code: a child process in the target's environment, with a time limit.

The child gets a short list of environment variables (no tokens, no user folders), its own working folder, and no input.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator

from openassay import child
from openassay.cage import NoCage, caged, interpreter_folders
from openassay.drivers.job import MAX_JSON_BYTES, Job, fill, named_artifacts, open_written
from openassay.faults import BadInput, Fault, full_disk_line, naming
from openassay.limits import MAX_FILE_BYTES, Meter, limited, printed
from openassay.records import to_plain
from openassay.store import listing

LOG_BYTES = 16 * 2**20
"""More of a log than this is not kept: its end is what counts."""
_NO_NETWORK = re.compile(
    "Name or service not known|Temporary failure in name resolution|nodename nor servname|getaddrinfo failed|"
    "Could not resolve host|unable to resolve host address|Network is unreachable|No route to host|Connection refused|"
    "Connection timed out|Max retries exceeded|CERTIFICATE_VERIFY_FAILED|[Oo]ffline mode is enabled|OfflineModeIsEnabled|"
    "LocalEntryNotFoundError|Proxy[A-Za-z]*Error|Tunnel connection failed"
)
"""Words of a program that did not get what it asked another machine for."""
NO_GPU = re.compile(
    "Torch not compiled with CUDA enabled|Found no NVIDIA driver|No CUDA GPUs are available|no CUDA-capable device is detected"
)
"""Words of a program that wants a GPU and finds none."""
LEAST_FREE_BYTES = 2**20
"""On the disk of a run: below it, the run's files may not be whole."""
_LOOK_S = 600
KILLED = "it was killed: the machine may have run out of memory"
_LAST_WORDS = 4000
"""Characters at the end of a log that say why a run failed."""
MAX_ERROR = 2000
"""Characters of an error message that a record keeps."""


@dataclass(frozen=True, kw_only=True)
class CallableRun:
    """Call a function of an installed package."""

    kind: Literal["callable"]
    callable: str
    """`package.module:function`."""
    arguments: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if ":" not in self.callable:
            raise ValueError("callable must read package.module:function")


@dataclass(frozen=True, kw_only=True)
class ModuleRun:
    """Run a module of an installed package as a program, like `python -m`."""

    kind: Literal["module"]
    module: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ScriptRun:
    """Run a script of a fetched artifact."""

    kind: Literal["script"]
    artifact: str
    path: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class GlueRun:
    """Call a function of the short script in `conf/target/glue/`, for code that cannot be called as it is."""

    kind: Literal["glue"]
    function: str
    arguments: dict[str, Any] = field(default_factory=dict)


Run = Annotated[CallableRun | ModuleRun | ScriptRun | GlueRun, Discriminator("kind")]
Seeding = Literal["python", "numpy", "torch"]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a child process ended."""

    ok: bool
    timed_out: bool
    error: str
    returned: Any
    log: str
    cpu_s: float
    slip: str = ""
    """The key of the run that the error comes from, where the release's own code is not what failed."""
    missing: str = ""
    """A package that was imported and is not installed."""
    log_cut: bool = False
    """Whether the log's beginning was not kept."""


def run_once(run: Run, job: Job, parameters: dict[str, Any], seeding: tuple[Seeding, ...]) -> Ended:
    """Run the release's code once; whatever it does is a value. `BadInput` where the target's own words do not fit."""
    values = placeholder_values(job, parameters)
    request: dict[str, Any] = to_plain(run) | {"arguments": fill(run.arguments, values), "seeding": seeding}
    if isinstance(run, ScriptRun):
        request["path"] = str(Path(job.artifacts[run.artifact]) / run.path)
    if isinstance(run, GlueRun):
        assert job.glue is not None  # noqa: S101 - the plan has checked it
        request["path"] = str(job.glue.absolute())
    if isinstance(run, (ModuleRun, ScriptRun)):
        request["arguments"] = [str(argument) for argument in request["arguments"]]
    named = [f"{{artifact:{run.artifact}}}"] if isinstance(run, ScriptRun) else []
    ended = start(request, shown_named(job, [run.arguments, named]))
    if not ended.ok and (line := asked_network(ended)):
        todo = "fetch it as an artifact and pass its path, or use the command driver and its `provides`"
        raise BadInput(f"{job.target_file}: {job.stage}.run: it asked for something on the network: {line}; {todo}")
    return ended


def shown_named(job: Job, arguments: object) -> Job:
    """A job with the artifacts that a run's arguments name, and no others: a cage shows no more than these."""
    named = named_artifacts(arguments)
    return replace(job, artifacts={name: path for name, path in job.artifacts.items() if name in named})


def asked_network(ended: Ended) -> str:
    """The line by which a failed run says that another machine did not answer; empty where there is none.

    Whether the network or the release is to blame cannot be told from it: it is never a finding about the release.
    """
    lines = [*ended.log[-_LAST_WORDS:].splitlines(), ended.error]
    return next((line.strip()[:300] for line in reversed(lines) if _NO_NETWORK.search(line)), "")


def placeholder_values(job: Job, parameters: dict[str, Any]) -> dict[str, Any]:
    """The value of every placeholder, by name."""
    return {
        "seed": job.seed, "out": str(job.out.absolute()), "data": str(job.data.absolute()) if job.data else "",
        "device": job.device, **{f"artifact:{name}": path for name, path in job.artifacts.items()},
        **parameters, **job.arm.parameters,
    }  # fmt: skip


def start(
    request: dict[str, Any], job: Job, variables: Mapping[str, str] | None = None, readable: Iterable[Path] = ()
) -> Ended:
    """Do what a request to `child.py` says, in the target's environment; `variables` are added to the child's own.

    readable: what a caged child sees beside the job's own files.

    Whatever the release's code does is a value. `BadInput` says which of the target's own words do not fit.
    """
    if job.python is None:
        raise ValueError("a run needs the target's environment")
    work = job.out / "work"
    work.mkdir(parents=True, exist_ok=True)
    request = {"seed": job.seed, "seeding": [], "arguments": []} | request | {
        "max_file_bytes": MAX_FILE_BYTES, "out": str(job.out.absolute()), "work": str(work.absolute()),
        "caged": job.isolation != "none",
    }  # fmt: skip
    request_file = job.out / "request.json"
    with naming(request_file):
        request_file.write_text(json.dumps(request, allow_nan=False), encoding="utf-8")
    if problem := _changed(job):  # by a run before this one
        return Ended(ok=False, timed_out=False, error=problem, returned=None, log="", cpu_s=0.0)
    command = [job.python, child.__file__, str(request_file.absolute())]
    with _short_name(work) as short:
        environment = child_environment(job, work) | {"TMPDIR": short} | dict(variables or {})
        with in_cage(command, environment, job, [*readable, Path(short).parent]) as started:
            ended = _start(*started, job, work)
    if problem := _changed(job):
        return replace(ended, ok=False, timed_out=False, error=problem, returned=None)
    if ended.ok:
        return ended
    if job.device != "cpu" and job.isolation != "none" and (no_gpu := NO_GPU.search(ended.log[-_LAST_WORDS:])):
        raise NoCage(f"isolation={job.isolation}: a run finds no GPU in the cage ({no_gpu[0]}); ask for isolation=none")
    if ended.missing:
        raise_for_missing(ended.missing, job, "the glue script" if ended.slip == "glue" else "")
    if ended.slip:
        key = "glue" if ended.slip == "glue" else f"{job.stage}.{ended.slip}"
        raise BadInput(f"{job.target_file}: {key}: {ended.error}")
    return ended


@contextlib.contextmanager
def in_cage(
    command: list[str], variables: Mapping[str, str], job: Job, readable: Iterable[Path] = ()
) -> Iterator[tuple[list[str], Mapping[str, str], tuple[int, ...], Meter | None]]:
    """The command as the job's isolation has it run, its variables, the descriptors that it inherits, and what to wait by."""
    if job.isolation == "none":
        yield command, variables, (), None
        return
    own = [Path(child.__file__), *interpreter_folders(job.python or ""), *map(Path, job.artifacts.values())]
    own += [path for path in (job.glue, job.data) if path is not None]
    with (
        caged(
            command, variables, readable=[*readable, *own], writable=[job.out], device=job.device, limits=job.limits
        ) as (in_it, descriptors),
        limited(in_it, job.limits, [job.out]) as (within, meter),
    ):  # fmt: skip
        yield within, {}, descriptors, meter


def look(command: list[str], variables: Mapping[str, str], job: Job) -> subprocess.CompletedProcess[str]:
    """What a short command of ours prints in the target's environment, where the release's packages start with it."""
    job.out.mkdir(parents=True, exist_ok=True)
    with in_cage(command, variables, job) as (within, environment, descriptors, meter):
        if meter is not None:
            return printed(within, environment, descriptors, meter, timeout_s=_LOOK_S)
        return subprocess.run(within, env=environment, capture_output=True, text=True, timeout=_LOOK_S, check=False)


@contextlib.contextmanager
def _short_name(folder: Path) -> Iterator[str]:
    """A short path of a folder, as long as it is used: that of a socket in it (PyTorch's data workers) has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="openassay-") as made:
        link = Path(made) / "tmp"
        link.symlink_to(folder.absolute())
        yield str(link)


def _check_space(ended: Ended, job: Job, free_bytes: int) -> None:
    """Raise `Fault` where the disk is full after a run, or a failed one says that one was: it is none of the release's doing."""
    line = "" if ended.ok else full_disk_line(f"{ended.log[-_LAST_WORDS:]}\n{ended.error}")
    if line or free_bytes < LEAST_FREE_BYTES:
        line = line or f"less than {LEAST_FREE_BYTES} bytes are free"
        shared = f"{job.limits.memory_bytes / 2**31:.3g} GiB, half of isolation.memory_gib"
        where = f" (or raise what the cage's own /tmp and /dev/shm hold: {shared})" if job.isolation != "none" else ""
        raise Fault(f"{job.out}: no space left for a run: {line}; free some{where}, then run the command again")


def raise_for_missing(package: str, job: Job, by: str = "") -> None:
    """Raises `BadInput` for a package that is missing, where the target's own list should bring it.

    by: what of ours or the target's imports it; empty for the release's code, whose published requirements may be what lacks it.
    """
    if by or job.own_requirements:
        who = by or "the release's code"
        raise BadInput(
            f"{job.target_file}: environment.requirements: {who} imports {package}, which nothing there brings; add it, "
            "or name the Python whose standard library has it"
        )


def _changed(job: Job) -> str:
    """The first file of environment or artifacts that a run has changed, in words; empty for none."""
    for what, (folder, before) in job.watched.items():
        after = listing(folder)
        changed = [name for name in {*before, *after} if before.get(name) != after.get(name)]
        if changed:
            # A changed file changes the folders above it: the deepest name says most.
            name = max(changed, key=lambda name: (name.count("/"), name))
            return f"{what} was changed by a run: {os.fsencode(name).decode('utf-8', 'replace')}"
    return ""


def _start(
    command: list[str],
    environment: Mapping[str, str],
    descriptors: tuple[int, ...],
    meter: Meter | None,
    job: Job,
    work: Path,
) -> Ended:
    before, timed_out = resource.getrusage(resource.RUSAGE_CHILDREN), False
    known = _children()
    _adopt_orphans(True)
    with (
        (job.out / "log.txt").open("w+b") as log,
        subprocess.Popen(
            command, cwd=work, env=environment, stdin=subprocess.DEVNULL, stdout=log,
            stderr=subprocess.STDOUT, start_new_session=True, pass_fds=descriptors,
        ) as process,
    ):  # fmt: skip
        try:
            if meter is None:
                process.wait(job.timeout_s)
            else:
                meter.wait(process, job.timeout_s)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            with contextlib.suppress(ProcessLookupError):  # whatever the release's code has started and left
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            _kill_orphans(known)
            _adopt_orphans(False)
        # From our own handle: the release's code may have put something else in the file's place.
        not_kept = max(0, os.fstat(log.fileno()).st_size - LOG_BYTES)
        text = os.pread(log.fileno(), LOG_BYTES, not_kept)
        disk = os.fstatvfs(log.fileno())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    result, error, status = _result(job.out / "result.json"), "", process.returncode
    if job.isolation != "none" and status > 128:  # as a shell has it: the signal that ended what ran in the cage
        status = 128 - status
    if timed_out:
        error = f"stopped after {job.timeout_s:g} s, its time limit"
    elif result is None:
        error = KILLED if status == -signal.SIGKILL else f"it ended with status {status} and left no result"
    elif not result["ok"]:
        error = _without_paths(result["error"], job)[:MAX_ERROR] or "it failed and did not say why"
    elif status != 0:
        error = f"it ended with status {status} after it had left a result"
    ended = Ended(
        ok=not error, timed_out=timed_out, error=error, returned=result["returned"] if result and not error else None,
        log=_without_paths(text.decode("utf-8", "replace"), job),
        cpu_s=(after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) - (meter.cpu_s if meter else 0),
        slip=result["slip"] if result else "", missing=result["missing"] if result else "", log_cut=not_kept > 0,
    )  # fmt: skip
    # A file system that does not tell its size does not tell what is free of it either.
    _check_space(ended, job, disk.f_bavail * disk.f_frsize if disk.f_blocks else LEAST_FREE_BYTES)
    return ended


def _without_paths(text: str, job: Job) -> str:
    """A log that tells nothing of this machine's folders: it goes into a report that is passed on."""
    folders = {
        "out": job.out, "openassay": Path(child.__file__).parent,
        **{f"artifact:{name}": Path(path) for name, path in job.artifacts.items()},
        "data": job.data, "glue": job.glue and job.glue.parent,
        "environment": Path(job.python).absolute().parents[1] if job.python else None,
    }  # fmt: skip
    text = re.sub(re.escape(tempfile.gettempdir()) + r"/openassay-\w+/tmp", "{out}/work", text)
    # Both as we name it and as the system does, where a link is on the way.
    known = {path: name for name, of in folders.items() if of for path in (os.path.abspath(of), os.path.realpath(of))}
    for path in sorted(known, key=len, reverse=True):
        if len(path) > 1:
            text = text.replace(path, f"{{{known[path]}}}")
    return text


def _adopt_orphans(on: bool) -> None:
    """While a run lasts, what it starts in a session of its own becomes our child, once its parent is gone (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, int(on), 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def _kill_orphans(known: set[int]) -> None:
    """End every child that we did not have before; its own children are then ours, and come next."""
    while orphans := _children() - known:
        for pid in orphans:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _children() -> set[int]:
    """The processes whose parent is this one (Linux)."""
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else ()):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            parent = Path("/proc", name, "stat").read_bytes().rpartition(b")")[2].split()[1]
            if int(parent) == os.getpid():
                found.add(int(name))
    return found


def _result(path: Path) -> dict[str, Any] | None:
    """What the child wrote, if it is whole: the release's code can reach this file too."""
    try:
        with open_written(path, MAX_JSON_BYTES) as file:
            result: dict[str, Any] = json.loads(file.read().decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(result, dict) or set(result) != {"ok", "error", "returned", "slip", "missing"}:
        return None
    if not isinstance(result["ok"], bool) or not all(
        isinstance(result[key], str) for key in ("error", "slip", "missing")
    ):
        return None
    # A name that is not UTF-8 may stand in a message, and cannot stand in a record.
    result["error"] = result["error"].encode("utf-8", "replace").decode("utf-8")
    return result


def child_environment(job: Job, work: Path) -> dict[str, str]:
    """The environment variables of a child: an allow-list, so that no token or personal setting reaches published code."""
    passed_on = ("CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH", "OPENBLAS_CORETYPE", "SYSTEMROOT")
    return {
        "PATH": f"{Path(job.python or '').parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(work.absolute()),
        "USER": "openassay",  # a name that packages find also where the system has none for this user
        "TMPDIR": str(work.absolute()),
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        "PYTHONNOUSERSITE": "1",
        # environment and artifacts must stay as they were: nothing is compiled beside the code
        "PYTHONDONTWRITEBYTECODE": "1",
        "NUMBA_CACHE_DIR": str(work.absolute() / "numba"),
        "MPLBACKEND": "Agg",
        "HF_HUB_OFFLINE": "1",
        **{f"{name}_NUM_THREADS": str(job.threads) for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")},
        **{name: os.environ[name] for name in passed_on if name in os.environ},
        **({"CUDA_VISIBLE_DEVICES": ""} if job.device == "cpu" else {}),
    }
