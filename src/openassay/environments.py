"""In which environment does a release's own code run? In one of its own, built from pinned requirements, cached by digest.

Built by uv from the package indexes that pip is set up to use. `as_of` builds it from what was published up to that date,
so that a release from 2023 meets the NumPy of 2023.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import uv
from filelock import FileLock
from packaging.requirements import InvalidRequirement, Requirement

from openassay.faults import BadInput, Fault
from openassay.layout import cache_home
from openassay.records import digest, write_text
from openassay.sources.pypi import package_index
from openassay.store import listing_digest, remove_tree

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
_PYTHON = re.compile(r"3\.[0-9]{1,2}(\.[0-9]{1,2})?\Z")
_NETWORK = ("error sending request", "dns error", "Failed to fetch", "tcp connect", "Connection refused", "timed out")
_UNSOLVABLE = ("No solution found", "no version of", "not found in the package registry", "has no wheels with")


class NotBuilt(Exception):
    """The environment cannot be built because the release's package does not build. A finding."""


class UvFault(Fault):
    """uv failed for a reason of the machine's or the network's."""


@dataclass(frozen=True, kw_only=True)
class EnvironmentSpec:
    """What must be installed for the release's code to run?"""

    install: tuple[str, ...] = ()
    """Artifacts that are installed as fetched (wheels or sdists)."""
    requirements: tuple[str, ...] = ()
    """Pinned requirements (`name==version`; a range where the release leaves one)."""
    python: str | None = None
    """`3.11`; the Python that runs OpenAssay when left out."""
    as_of: str | None = None
    """Date (YYYY-MM-DD): nothing published later is installed."""

    def __post_init__(self) -> None:
        for requirement in self.requirements:
            try:
                parsed = Requirement(requirement)
            except InvalidRequirement:
                raise ValueError(f"{requirement!r} is not a requirement such as numpy==2.4.6") from None
            if parsed.url:
                raise ValueError(f"{requirement!r}: name an artifact under `install` instead of an address")
        if self.python is not None and not _PYTHON.match(self.python):
            raise ValueError(f"python must read like 3.11, found {self.python!r}")
        if self.as_of is not None and not _is_date(self.as_of):
            raise ValueError(f"as_of must read YYYY-MM-DD, found {self.as_of!r}")


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return _DATE.match(text) is not None


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A built environment."""

    python: str
    """Path of its interpreter."""
    packages: dict[str, str]
    """Installed versions, by name."""
    version: str
    """Of Python, for example 3.11.7."""

    def identity(self) -> dict[str, str]:
        """What of it bears on a result: packages, Python, and the kind of machine."""
        return {**self.packages, "python": self.version, "machine": platform.machine()}


def build(spec: EnvironmentSpec, installed: dict[str, Path], where: str, target: str) -> Environment:
    """The environment of a target, from the cache or built now. `installed` gives the file of each artifact of `install`.

    Raises `NotBuilt` (a finding) when a package of the release does not build, `BadInput` when the requirements cannot be
    met together, `UvFault` when the network or the machine fails.
    """
    python = spec.python or ".".join(platform.python_version_tuple()[:2])
    files = [installed[name] for name in spec.install]
    key = digest(
        {
            "target": target,  # what one release's code does to its environment, another's never meets
            "files": [path.parent.name for path in files],  # the store names the folder by sha256
            "requirements": list(spec.requirements), "python": python, "as_of": spec.as_of,
            "machine": platform.machine(), "system": platform.system(),
        }
    )  # fmt: skip
    folder = cache_home() / "envs" / key[:32]
    done = folder / "environment.json"
    listed = folder.with_suffix(".listing")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        # Published code runs in this environment: one that was written to is built anew.
        if not done.exists() or not listed.exists() or listed.read_text() != listing_digest(folder):
            print(f"building the release's environment (Python {python}) ...", flush=True)
            remove_tree(folder)
            try:
                _build(folder, python, files, spec, where)
                listed.write_text(listing_digest(folder))
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
    found = json.loads(done.read_text(encoding="utf-8"))
    return Environment(python=str(folder / "bin" / "python"), packages=found["packages"], version=found["version"])


def _build(folder: Path, python: str, files: list[Path], spec: EnvironmentSpec, where: str) -> None:
    made = _uv("venv", "--quiet", "--python", python, "--no-python-downloads", str(folder))
    if made.returncode != 0:
        raise BadInput(f"{where}.python: no Python {python} on this machine; install it, or name another")
    interpreter = str(folder / "bin" / "python")
    if files or spec.requirements:
        options = ["--exclude-newer", spec.as_of] if spec.as_of else []
        done = _uv(
            "pip", "install", "--quiet", "--python", interpreter, *index_options(), *options,
            # compiled now, since runs may not write here; no hard links, which would share files with other environments
            "--compile-bytecode", "--link-mode", "copy",
            *(str(path) for path in files), *spec.requirements,
        )  # fmt: skip
        if done.returncode != 0:
            _raise_for(done.stderr, where)
    listed = _uv("pip", "list", "--python", interpreter, "--format", "json")
    packages = {entry["name"]: entry["version"] for entry in json.loads(listed.stdout)}
    version = subprocess.run(
        [interpreter, "-c", "import platform; print(platform.python_version())"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    write_text(folder / "environment.json", json.dumps({"packages": packages, "version": version}, indent=1))


def index_options() -> list[str]:
    """uv's options for the package indexes that pip uses here."""
    index = package_index()
    options = ["--default-index", index.index_urls[0], "--index-strategy", "unsafe-best-match"]
    for url in index.index_urls[1:]:
        # An index folder that does not exist stops uv; pip passes it over.
        if not url.startswith("file://") or Path(url.removeprefix("file://")).is_dir():
            options += ["--index", url]
    for link in index.find_links:
        options += ["--find-links", link]
    return options


def _uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    # pip's settings decide, as everywhere here; a user's own settings of uv would build another environment
    ours = {name for name in os.environ if name in {"VIRTUAL_ENV", "PYTHONPATH"} or name.startswith("UV_")}
    variables = {name: value for name, value in os.environ.items() if name not in ours - {"UV_CACHE_DIR"}}
    return subprocess.run(
        [uv.find_uv_bin(), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=variables | {"UV_NO_CONFIG": "1"},
    )


def _raise_for(stderr: str, where: str) -> None:
    said = " ".join(line.strip(" ×╰─▶│├") for line in stderr.splitlines() if line.strip())
    if any(word in said for word in _NETWORK):
        raise UvFault(f"the environment could not be built, the package index does not answer: {said[:300]}")
    if any(word in said for word in _UNSOLVABLE):
        raise BadInput(f"{where}.requirements: they cannot be met together: {said[:400]}")
    if "Failed to build" in said or "build backend" in said:
        raise NotBuilt(said[:600])
    raise UvFault(f"uv failed: {said[:400]}")
