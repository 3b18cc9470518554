"""Runs inside a target's own environment: calls the release's code once, and writes down what it returned.

Started as `ENV/bin/python child.py request.json`; never imported by the rest of OpenAssay, and imports nothing of it: the
environment holds the release's packages, not ours, and may be an older Python (3.8 or later).

Writes into the request's `out` folder: `result.json` {ok, error, returned, slip, missing} and, where arrays came back,
`data.npz`. A dict that is returned keeps its shape; nested names are joined by dots in `data.npz`. `slip`: the key of the request
that an error comes from, where not the release's own code has failed; `missing`: a package that was imported and is absent.
"""

import ctypes
import importlib
import importlib.util
import json
import os
import random
import resource
import runpy
import signal
import subprocess
import sys
import traceback
import zipfile
from typing import Any


def main() -> int:
    """Run one request; returns the exit status: 0 when the release's code returned, 1 when it raised."""
    with open(sys.argv[1], encoding="utf-8") as file:
        request = json.load(file)
    if request["caged"]:  # ends with its cage
        end_first()
    else:
        die_with_parent()
    if "forward" in request:
        forward(*request["forward"])
    sys.path.pop(0)  # this file's own folder: not for the release to see
    os.chdir(request["work"])
    resource.setrlimit(resource.RLIMIT_FSIZE, (request["max_file_bytes"], request["max_file_bytes"]))
    result: "dict[str, Any]" = {"ok": True, "error": "", "returned": None, "slip": "", "missing": ""}
    try:
        seed_generators(request["seeding"], request["seed"])
        if request["kind"] == "steps":
            result["error"] = run_steps(request)
            result["ok"] = not result["error"]
        returned = None if request["kind"] == "steps" else call(request)
        arrays: "dict[str, Any]" = {}
        result["returned"] = plain(returned, "", arrays)
        if arrays:
            save(os.path.join(request["out"], "data.npz"), arrays)
    except SystemExit as stop:
        if stop.code not in (0, None):
            result.update(ok=False, error="it exited with %r" % (stop.code,))
    except BaseException as error:  # the release's failure is a finding, whatever it is
        traceback.print_exc()
        result.update(ok=False, error="%s: %s" % (type(error).__name__, error), missing=missing_package(error))
        result["slip"] = slip(error, request)
    path = os.path.join(request["out"], "result.json")
    with open(path + ".tmp", "w", encoding="utf-8") as file:
        json.dump(result, file)
    os.replace(path + ".tmp", path)
    sys.stdout.flush()
    sys.stderr.flush()
    return 0 if result["ok"] else 1


def forward(port: int, path: str) -> None:
    """Lead what connects to a port of the cage's own loopback to a socket outside, by a process of its own."""
    import contextlib
    import socket
    import threading

    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(64)
    if os.fork():
        listener.close()
        return

    def pump(source: "Any", sink: "Any") -> None:
        with contextlib.suppress(OSError):
            while True:
                data = source.recv(65536)
                if not data:
                    break
                sink.sendall(data)
        for end, how in ((sink, socket.SHUT_WR), (source, socket.SHUT_RD)):
            with contextlib.suppress(OSError):
                end.shutdown(how)

    while True:
        inner, _ = listener.accept()
        outer = socket.socket(socket.AF_UNIX)
        outer.connect(path)
        for pair in ((inner, outer), (outer, inner)):
            threading.Thread(target=pump, args=pair, daemon=True).start()


def end_first() -> None:
    """Where the machine's memory runs out, this process is ended, and what it starts, before any of the audit's own (Linux)."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("1000")
    except OSError:
        pass


def die_with_parent() -> None:
    """A killed audit leaves no training behind (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() == 1:
            sys.exit("the audit that started this run is gone")


def missing_package(error: BaseException) -> str:
    """The package that an import did not find; empty where the package is there and only a module of it is not."""
    package = (getattr(error, "name", None) or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    try:
        return package if package and importlib.util.find_spec(package) is None else ""
    except (ImportError, ValueError):
        return ""


def slip(error: BaseException, request: "dict[str, Any]") -> str:
    """The key of the request that caused an error; empty where the release's own code raised it."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    if not isinstance(error, (ImportError, SyntaxError, NameError, AttributeError, TypeError, FileNotFoundError)):
        return ""
    its_file = getattr(error, "filename", None) == request.get("path", "")
    if request["kind"] == "glue" and (last.filename == request["path"] or its_file):
        return "glue"
    named = request.get("callable", request.get("module", "")).partition(":")[0]
    not_there = isinstance(error, ModuleNotFoundError) and (named + ".").startswith("%s." % error.name)
    if (
        not_there
        or (named and str(error) == "No module named %s" % named)
        or (isinstance(error, FileNotFoundError) and its_file)
    ):
        return "run"
    # in this file: what the request names is not there, or does not take its arguments
    return {"seed_generators": "seeding", "call": "run"}.get(last.name, "") if last.filename == __file__ else ""


def seed_generators(names: "list[str]", seed: "int | None") -> None:
    """Seed the global random generators that the target names."""
    if seed is None:
        return
    if "python" in names:
        random.seed(seed)
    if "numpy" in names:
        import numpy

        numpy.random.seed(seed)
    if "torch" in names:
        import torch

        torch.manual_seed(seed)


def call(request: "dict[str, Any]") -> "Any":
    """Call what the request names: a function, a module as a program, or a script."""
    kind, arguments = request["kind"], request["arguments"]
    if kind == "callable":
        module, _, name = request["callable"].partition(":")
        function: "Any" = importlib.import_module(module)
        for part in name.split("."):
            function = getattr(function, part)
        return function(**arguments)
    if kind == "glue":
        spec: "Any" = importlib.util.spec_from_file_location("glue", request["path"])
        glue = importlib.util.module_from_spec(spec)
        sys.modules["glue"] = glue
        spec.loader.exec_module(glue)
        return getattr(glue, request["function"])(**arguments)
    if kind == "module":
        sys.argv = [request["module"], *arguments]
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
        return None
    if kind == "script":
        sys.argv = [request["path"], *arguments]
        sys.path.insert(0, os.path.dirname(request["path"]))
        runpy.run_path(request["path"], run_name="__main__")
        return None
    raise ValueError("unknown kind of run: %r" % (kind,))


def run_steps(request: "dict[str, Any]") -> str:
    """Run commands one after another; gives the number of the first that fails and why, which ends the run, or nothing."""
    for number, words in enumerate(request["steps"]):
        print("$ " + " ".join(words), flush=True)
        try:
            status = subprocess.call(words, cwd=request["folder"])
        except OSError as error:
            return "step %d: %s: %s" % (number, words[0], error.strerror)
        if status != 0:
            return "step %d: status %d" % (number, status)
    return ""


def plain(value: "Any", name: str, arrays: "dict[str, Any]") -> "Any":
    """The value as JSON types; arrays go aside under their dotted name and leave {"array": name}."""
    if hasattr(value, "detach"):  # a torch tensor
        value = value.detach().cpu().numpy()
    if hasattr(value, "dtype") and getattr(value, "shape", None) == ():
        value = value.item()
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        if value.dtype.hasobject:
            return None
        arrays[name or "returned"] = value
        return {"array": name or "returned"}
    if isinstance(value, dict):
        return {str(k): plain(v, "%s.%s" % (name, k) if name else str(k), arrays) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v, "%s.%d" % (name, i) if name else str(i), arrays) for i, v in enumerate(value)]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return repr(value)


def save(path: str, arrays: "dict[str, Any]") -> None:
    """Write arrays as numpy.savez does, under any name: `file` is its own argument."""
    import numpy

    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(name + ".npy", "w", force_zip64=True) as file:
                numpy.lib.format.write_array(file, numpy.asanyarray(array), allow_pickle=False)


if __name__ == "__main__":
    status = main()
    # Threads or child processes that the release left behind must not keep the audit waiting.
    os._exit(status)
