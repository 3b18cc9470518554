"""The cage around published code: bubblewrap shows it its own files and nothing else of the machine, and no network.

Inside, every path is the one outside. Readable: the system's programs, the environment, the artifacts; writable: the run's own
folder. Processes of others, their variables and the machine's network are not there. What is not closed in this version:
SECURITY.md.
"""

from __future__ import annotations

import glob
import json
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from openassay.faults import Fault
from openassay.limits import Limits
from openassay.seals import key_file

PROGRAMS = "/usr/bin:/bin:/usr/local/bin"
"""Where bwrap is looked for: never in a folder that published code could write to."""
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SETTINGS = (
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/ssl",
    "/etc/localtime",
)
_NETWORK = (
    "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/pki", "/etc/ca-certificates",
)  # fmt: skip
_NVIDIA = ("/dev/nvidia[0-9]*", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/dri")
_OR_NONE = "or add isolation=none to the command, which runs the release's code as an ordinary process"


class NoCage(Fault):
    """The isolation that is asked for is not to be had here, or is not tight."""


@contextmanager
def caged(
    command: list[str],
    variables: Mapping[str, str],
    *,
    readable: Iterable[Path],
    writable: Iterable[Path],
    device: str,
    limits: Limits,
    network: bool = False,
    elsewhere: Mapping[Path, Path] | None = None,
) -> Iterator[tuple[list[str], tuple[int, ...]]]:
    """A command that runs another in the cage, and the descriptors that it needs; it must be started without variables.

    readable, writable: files and folders that the command sees, at their own places. device: `cpu`, or the GPUs are shown too.
    limits: the cage's own /tmp and /dev/shm each hold at most half of its memory. network: whether it has the machine's.
    elsewhere: by places in what it may write to, files and folders that it sees there, and may only read.
    """
    words = ["--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try"]
    words += [] if network else ["--unshare-net"]
    words += ["--die-with-parent", "--new-session", "--clearenv", "--hostname", "cage", "--cap-drop", "ALL"]
    for path in _SYSTEM:
        if os.path.islink(path):
            words += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            words += ["--ro-bind", path, path]
    for path in (*_SETTINGS, *(_NETWORK if network else ())):
        words += ["--ro-bind-try", path, path]
    words += ["--proc", "/proc", "--dev", "/dev"]
    for path in ("/dev/shm", "/tmp"):  # noqa: S108 - of the cage's own
        words += ["--perms", "1777", "--size", str(limits.memory_bytes // 2), "--tmpfs", path]
    if device != "cpu":
        for path in (path for pattern in _NVIDIA for path in sorted(glob.glob(pattern))):
            words += ["--dev-bind", path, path]
        words += ["--ro-bind", "/sys", "/sys"]
    # after what may lie above them: a folder of ours may be below /tmp
    for how, paths in (("--ro-bind", readable), ("--bind", writable)):
        for path in sorted({os.path.abspath(path) for path in paths}):
            words += [how, path, path]
    for place, source in (elsewhere or {}).items():
        words += ["--ro-bind", os.path.abspath(source), os.path.abspath(place)]
    with tempfile.TemporaryFile() as users, tempfile.TemporaryFile() as arguments:
        users.write(f"openassay:x:{os.getuid()}:{os.getgid()}::/tmp:/bin/sh\n".encode())
        users.seek(0)
        words += ["--ro-bind-data", str(users.fileno()), "/etc/passwd", "--remount-ro", "/"]
        for name, value in variables.items():
            words += ["--setenv", name, value]
        # Not on the command line, which the process shows to all that can see it.
        arguments.write(b"".join(os.fsencode(word) + b"\0" for word in words))
        arguments.seek(0)
        yield [_bwrap(), "--args", str(arguments.fileno()), "--", *command], (users.fileno(), arguments.fileno())


def interpreter_folders(python: str) -> list[Path]:
    """What an environment's interpreter needs to be seen: the environment, and the Python that it was made with."""
    return [Path(python).absolute().parents[1], Path(os.path.realpath(python)).parents[1]]


def _bwrap() -> str:
    found = shutil.which("bwrap", path=PROGRAMS)
    if found is None:
        todo = "install it (Debian, Ubuntu: apt-get install bubblewrap; Fedora: dnf install bubblewrap)"
        raise NoCage(f"isolation=bubblewrap: this machine has no bwrap in {PROGRAMS}; {todo}, {_OR_NONE}")
    return found


def check_cage(python: str, readable: Sequence[Path]) -> None:
    """Try to break out of the cage, as the release's code could; raises `NoCage` where it cannot be had, or is not tight."""
    canary = secrets.token_hex(16)
    shown, home = [os.path.abspath(path) for path in readable], os.path.expanduser("~")
    own = [os.path.join(home, name) for name in os.listdir(home)] if os.path.isdir(home) else []
    hidden = [
        path for path in own if not any(f"{of}/".startswith(f"{path}/") or path.startswith(f"{of}/") for of in shown)
    ]
    with (
        tempfile.TemporaryDirectory() as inside,
        tempfile.TemporaryDirectory() as outside,
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        secret = Path(outside, "secret")
        secret.write_text(canary)
        abstract.bind(f"\0openassay-{canary}".encode())
        abstract.listen()
        asked = {
            "canary": canary, "secret": str(secret), "port": listener.getsockname()[1],
            "abstract": f"openassay-{canary}", "locked": shown, "hidden": hidden, "key": str(key_file()), "inside": inside,
        }  # fmt: skip
        with caged(
            [python, "-I", "-S", "-c", _PROBE, json.dumps(asked)], {"PATH": "/usr/bin:/bin"}, readable=readable,
            writable=[Path(inside)], device="cpu", limits=Limits(),
        ) as (command, descriptors):  # fmt: skip
            done = subprocess.run(
                command, env={}, pass_fds=descriptors, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                check=False,
            )  # fmt: skip
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise NoCage(f"isolation=bubblewrap: bwrap does not work here ({said[:300]}); {_hint(said)}")
    if found := json.loads(done.stdout):
        raise NoCage(f"isolation=bubblewrap: the cage is open on this machine: {', '.join(found)}; nothing was run")


def _hint(said: str) -> str:
    if "namespace" in said or "uid map" in said or "Permission denied" in said or "not permitted" in said:
        return (
            "the system refuses user namespaces to this user (sysctl kernel.apparmor_restrict_unprivileged_userns, "
            "kernel.unprivileged_userns_clone or user.max_user_namespaces; in a container its seccomp profile): allow them, "
            f"{_OR_NONE}"
        )
    return f"mend it, {_OR_NONE}"


_PROBE = """
import json, os, socket, sys
asked = json.loads(sys.argv[1])
found = []
def check(what, attempt):
    try:
        if attempt():
            found.append(what)
    except Exception:
        pass
def text_of(path):
    with open(path, "rb") as file:
        return file.read()
def may_write(path):
    return os.access(path, os.W_OK)
def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        probe.connect(address)
        return True
canary = asked["canary"].encode()
check("a file outside is read", lambda: text_of(asked["secret"]) == canary)
check("the key of the seals is there", lambda: os.path.lexists(asked["key"]))
check("files of the home folder are there", lambda: any(os.path.lexists(path) for path in asked["hidden"]))
passed_on = set(b"PATH PWD LC_CTYPE OLDPWD SHLVL _".split())
for of in os.listdir("/proc"):
    check("variables of the audit are read", lambda of=of: of.isdigit() and {
        line.partition(b"=")[0] for line in text_of("/proc/%s/environ" % of).split(bytes(1)) if line
    } - passed_on)
check("the audit's process is seen", lambda: len([of for of in os.listdir("/proc") if of.isdigit()]) > 3)
check("the machine's network answers", lambda: connect(socket.AF_INET, ("127.0.0.1", asked["port"])))
check("an abstract socket answers", lambda: connect(socket.AF_UNIX, chr(0) + asked["abstract"]))
for path in asked["locked"]:
    check("%s may be written to" % path, lambda path=path: may_write(path))
check("the system may be written to", lambda: may_write("/usr") or may_write("/usr/bin"))
check("rights of root are left", lambda: int(text_of("/proc/self/status").partition(b"CapEff:")[2].split()[0], 16))
with open(os.path.join(asked["inside"], "probe"), "w"):  # this must work
    pass
print(json.dumps(found))
"""
"""Looks for ways out, and harms nothing where it finds one; prints those that it finds."""
