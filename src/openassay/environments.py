"""The environments in which releases' own code runs: one each, built from pinned requirements, cached by digest.

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
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import unquote

import uv
from filelock import FileLock
from packaging.requirements import InvalidRequirement, Requirement

from openassay.faults import BadInput, Fault
from openassay.layout import cache_home
from openassay.records import digest, write_text
from openassay.sources.download import without_credentials
from openassay.sources.pypi import PackageIndex, package_index
from openassay.store import listing_digest, remove_tree

_PYTHON = re.compile(r"3\.[0-9]{1,2}(\.[0-9]{1,2})?\Z")
_NETWORK = ("error sending request", "dns error", "Failed to fetch", "tcp connect", "Connection refused", "timed out")
_UNSOLVABLE = ("No solution found", "no version of", "not found in the package registry", "has no wheels with")
_NO_PACKAGE = (
    "Failed to build", "Failed to download and build", "build backend", "Failed to read", "Failed to extract",
    "wheel filename", "not appear to be a Python project",
)  # fmt: skip
_INSTALLABLE = (".whl", ".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_LOG = re.compile(r"\[std(?:out|err)\]")

PASSED_ON = (
    "PATH", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "NETRC",
    "UV_HTTP_RETRIES", "UV_HTTP_TIMEOUT", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
)  # fmt: skip
"""Variables of the user's that uv gets, and with it every build script that it runs."""


class NotBuilt(Exception):
    """The environment cannot be built because the release's package does not build. A finding."""


class UvFault(Fault):
    """uv failed for a reason of the machine's or the network's."""


@dataclass(frozen=True, kw_only=True)
class EnvironmentSpec:
    """What must be installed for the release's code to run."""

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
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


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
    what = {
        "files": [path.parent.name for path in files],  # the store names the folder by sha256
        "requirements": list(spec.requirements), "python": python, "as_of": spec.as_of,
        "machine": platform.machine(), "system": platform.system(),
    }  # fmt: skip
    # What one release's code does to its environment, another's never meets: each gets a copy of one that nobody runs in.
    folder, template = (cache_home() / "envs" / digest(what | more)[:32] for more in ({"target": target}, {}))
    with _kept(folder) as to_make:
        if to_make:
            with _kept(template) as to_build:
                if to_build:
                    print(f"building the release's environment (Python {python}) ...", flush=True)
                    _build(template, python, files, spec, where)
                _copy(template, folder)
    found = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    return Environment(python=str(folder / "bin" / "python"), packages=found["packages"], version=found["version"])


@contextmanager
def _kept(folder: Path) -> Iterator[bool]:
    """Whether the caller must make this environment, in the block: it is not there, not finished, or was written to since.

    Published code runs in environments: one that was written to is made anew.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    listed = folder.with_suffix(".listing")
    with FileLock(f"{folder}.lock"):
        if (folder / "environment.json").exists() and listed.exists() and listed.read_text() == listing_digest(folder):
            yield False
            return
        remove_tree(folder)
        try:
            yield True
            listed.write_text(listing_digest(folder))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _copy(template: Path, folder: Path) -> None:
    """Copy an environment: without hard links, through which a run could write, and with its dates, which bytecode goes by."""
    command = ["cp", "-a", "--reflink=auto", "--", str(template), str(folder)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise Fault(f"{folder}: {made.stderr.strip()[:300]}")
    old, new = str(template).encode(), str(folder).encode()
    for script in (folder / "bin").iterdir():  # they name the interpreter; of nothing else does the place matter
        if not script.is_symlink() and old in (content := script.read_bytes()):
            script.write_bytes(content.replace(old, new))


def _build(folder: Path, python: str, files: list[Path], spec: EnvironmentSpec, where: str) -> None:
    if odd := [path.name for path in files if not path.name.lower().endswith(_INSTALLABLE)]:
        raise BadInput(f"{where}.install: {odd[0]} is neither a wheel nor an sdist; name an artifact that is one")
    # Nothing of the release runs yet, and finding a Python may need the user's own variables; but pip's settings decide, as
    # everywhere here: a user's own settings of uv would build another environment.
    ours = {name for name in os.environ if name in {"VIRTUAL_ENV", "PYTHONPATH"} or name.startswith("UV_")}
    users = {name: value for name, value in os.environ.items() if name not in ours}
    made = _uv(users, "venv", "--quiet", "--python", python, "--no-python-downloads", str(folder))
    if made.returncode != 0:
        raise BadInput(f"{where}.python: no Python {python} on this machine; install it, or name another")
    interpreter = str(folder / "bin" / "python")
    index = package_index()
    with tempfile.TemporaryDirectory() as home:
        bare = _bare_environment(home, index)
        if files or spec.requirements:
            options = ["--exclude-newer", spec.as_of] if spec.as_of else []
            done = _uv(
                bare, "pip", "install", "--quiet", "--python", interpreter, *index_options(index), *options,
                # compiled now, since runs may not write here; no hard links, which would share files with other environments
                "--compile-bytecode", "--link-mode", "copy",
                "-r", "-", *(str(path) for path in files), *spec.requirements, words=index_lines(index),
            )  # fmt: skip
            if done.returncode != 0:
                _raise_for(done.stderr, where)
        listed = _uv(bare, "pip", "list", "--python", interpreter, "--format", "json")
        packages = {entry["name"]: entry["version"] for entry in json.loads(listed.stdout)}
        asked = [interpreter, "-c", "import platform; print(platform.python_version())"]
        version = subprocess.run(asked, capture_output=True, text=True, check=True, env=bare).stdout.strip()
    write_text(folder / "environment.json", json.dumps({"packages": packages, "version": version}, indent=1))


def index_options(index: PackageIndex) -> list[str]:
    """uv's options for the package indexes, which everybody on the machine can read."""
    trusted = [option for host in index.trusted_hosts for option in ("--allow-insecure-host", host)]
    return ["--index-strategy", "unsafe-best-match", *trusted]


def index_lines(index: PackageIndex) -> str:
    """The package indexes, as lines of a requirements file for uv's standard input.

    An address may hold a password: on the command line every user of the machine could read it, in a variable or a file
    every build script.
    """
    # An index folder that does not exist stops uv; pip passes it over.
    there = [url for url in index.index_urls[1:] if not url.startswith("file://") or Path(unquote(url[7:])).is_dir()]
    lines = [f"--index-url {url}" for url in index.index_urls[:1]] or ["--no-index"]
    lines += [f"--extra-index-url {url}" for url in there] + [f"--find-links {link}" for link in index.find_links]
    return "\n".join(lines) + "\n"


def _bare_environment(home: str, index: PackageIndex) -> dict[str, str]:
    """What uv, the build scripts and the finished environment get: a short list, so that no token gets into a build's log."""
    variables = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    users_netrc = Path(os.path.expanduser("~/.netrc"))
    if "NETRC" not in variables and users_netrc.is_file():
        variables["NETRC"] = str(users_netrc)
    if index.cert:
        variables["SSL_CERT_DIR" if Path(index.cert).is_dir() else "SSL_CERT_FILE"] = index.cert
    return variables | {"HOME": home}


def _uv(variables: dict[str, str], *arguments: str, words: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [uv.find_uv_bin(), *arguments],
        input=words, capture_output=True, text=True, check=False,
        env=variables | {"UV_NO_CONFIG": "1", "UV_CACHE_DIR": str(cache_home() / "uv")},
    )  # fmt: skip


def _raise_for(stderr: str, where: str) -> None:
    said = without_credentials(" ".join(line.strip(" ×╰─▶│├") for line in stderr.splitlines() if line.strip()))
    said = said.replace(str(cache_home()), "{cache}")
    own = _LOG.split(said, maxsplit=1)[0]  # after it comes what a build script said
    if any(word in own for word in _NETWORK):
        raise UvFault(f"the environment could not be built: the package index does not answer: {own[:300]}")
    if any(word in own for word in _UNSOLVABLE):
        raise BadInput(f"{where}.requirements: they contradict each other: {own[:400]}")
    if any(word in own for word in _NO_PACKAGE):
        raise NotBuilt(said[:600])
    raise UvFault(f"uv failed: {own[:400]}")
