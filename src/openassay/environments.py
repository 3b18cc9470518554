"""The environments in which releases' own code runs: one each, built from pinned requirements, cached by digest.

Built by uv from the package indexes that pip is set up to use. `as_of` builds it from what was published up to that date,
so that a release from 2023 meets the NumPy of 2023. What a release publishes itself (`published`) and cannot be built is a
finding; what the target's author wrote and cannot be met is a mistake in the target file.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import uv
from filelock import FileLock
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from openassay.cage import check_cage, interpreter_folders
from openassay.core.findings import Finding
from openassay.faults import BadInput, Fault, printable
from openassay.layout import cache_home
from openassay.limits import Limits
from openassay.published_requirements import PublishedEnvironment, PublishedRequirements, read_published
from openassay.records import digest, to_plain, write_text
from openassay.sources.download import without_credentials
from openassay.sources.fetched import Unavailable
from openassay.sources.pypi import PackageIndex, ask_every_index, package_index, project_files
from openassay.store import copy_tree, listing_digest, remove_tree
from openassay.workshop import Workshop, shared_cache, with_logins, workshop

_PYTHON = re.compile(r"3\.[0-9]{1,2}(\.[0-9]{1,2})?\Z")
_NETWORK = ("error sending request", "dns error", "Failed to fetch", "tcp connect", "Connection refused", "timed out")
_MACHINE = re.compile(
    r"No space left on device|Disk quota exceeded|Cannot allocate memory|virtual memory exhausted|"
    r"Killed signal terminated|Too many open files|Input/output error|Read-only file system \(os error"
)
_NO_PLACE = ("Failed to initialize cache", "Failed to create virtual environment")
_UNSOLVABLE = ("No solution found", "no version of", "not found in the package registry", "has no wheels with")
_NO_PACKAGE = (
    "Failed to build", "Failed to download and build", "build backend", "Failed to read", "Failed to extract",
    "wheel filename", "not appear to be a Python project", "Hash mismatch",
)  # fmt: skip
_INSTALLABLE = (".whl", ".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_LOG = re.compile(r"\[std(?:out|err)\]")
_MISSING = re.compile(r"\b([a-z0-9][a-z0-9-]*)(?=[<>=!~]=?\S| was not found)|versions? of ([a-z0-9-]+)")
"""The packages that uv's words are about."""
_NO_WHEELS = re.compile(r"Wheels are required for `([a-z0-9-]+)`")
_NO_NEWS = ("warning: ", "hint: Build failures usually", "hint: This usually")
_BETTER_WORDS = (
    (r"error: |cause: ", ""), (r",? we can conclude that your requirements are unsatisfiable", ""),
    (r"\.?\s*And because", "; because"),
    (r"\.?\s*hint: You require CPython", "; the environment has CPython"), (r"\b[Yy]ou require", "the release requires"),
    (r"your requirements", "the requirements"), (r"^Because ", ""),
    (r"hint: ", ""),
)  # fmt: skip
_HERE = ".".join(platform.python_version_tuple()[:2])
PYTHONS = ("3.13", "3.12", "3.11", "3.10", "3.9", "3.8", "3.7", "3.6")
"""Which are tried, the newest first, for a release that states none and cannot be installed for the one that is here."""
_COPIED = ("--link-mode", "copy")
"""No hard links, which would share files with other environments."""
_COMPILED = ("--quiet", "--compile-bytecode", *_COPIED)
"""Compiled now, since runs may not write there."""
_LISTED = ("pip", "list", "--format", "json", "--python")
_MANY = 2000
"""Files that are compiled faster by several processes."""
_NO_CHANGE = "Would make no changes"
_MOST_TOLD = 10
_MOST_WORDS = 600
_MOST_READ = 5000

AS_PUBLISHED = "as published"
RUNGS = {"oldest": "oldest that installs", "current": "current versions"}
"""What may be built where the published environment cannot be, in this order."""

PASSED_ON = (
    "PATH", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "NETRC",
    "UV_HTTP_RETRIES", "UV_HTTP_TIMEOUT", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
)  # fmt: skip
"""Variables of the user's that uv gets, and with it every build script that it runs."""


class NotBuilt(Exception):
    """The environment cannot be built, for a reason of the release's. A finding."""


class _Unsolvable(NotBuilt):
    """No versions that the indexes have meet the requirements."""


class _NoPython(NotBuilt):
    """This machine has not the Python that is asked for."""


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
    published: PublishedEnvironment | None = None
    """Files of the release that say what must be installed; `requirements` are the target author's own additions."""
    or_else: tuple[Literal["oldest", "current"], ...] = ()
    """What is built where the published environment cannot be; the verdict says so."""

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
        if self.or_else and (
            self.published is None or list(self.or_else) != [of for of in RUNGS if of in self.or_else]
        ):
            raise ValueError("or_else is for `published`: oldest, current, or both in this order")


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
    rung: str = AS_PUBLISHED
    """What was built: as published, or what of `RUNGS` stands for it."""
    why: str = ""
    """Why it is not as published, and what differs; empty where it is."""
    left_out: tuple[str, ...] = ()
    """What the published files say that was not followed."""
    chosen: str = ""
    """Which Python was taken where the release names none and the one that is here would not do, and why."""

    def identity(self) -> dict[str, str]:
        """What of it bears on a result: packages, Python, the kind of machine, and the rung where it is not as published."""
        rung = {} if self.rung == AS_PUBLISHED else {"rung": self.rung}
        return {**self.packages, "python": self.version, "machine": platform.machine(), **rung}

    def findings(self, stage: str) -> tuple[Finding, ...]:
        """What must stand beside a result that was made in it."""
        more = f"; and {len(self.left_out) - _MOST_TOLD} more" if len(self.left_out) > _MOST_TOLD else ""
        told = {
            "environment_not_as_published": f"{self.rung}: {self.why}" if self.why else "",
            "environment_python_chosen": self.chosen,
            "environment_left_out": "; ".join(self.left_out[:_MOST_TOLD]) + more,
        }
        return tuple(Finding(stage=stage, kind=kind, message=message) for kind, message in told.items() if message)


@dataclass(frozen=True, kw_only=True)
class _Attempt:
    """One set of packages that is installed."""

    python: str
    paths: tuple[str, ...]
    """Files and folders of the release's."""
    lines: tuple[str, ...] = ()
    """As of a requirements file."""
    constraints: tuple[str, ...] = ()
    as_of: str | None = None
    options: tuple[str, ...] = ()
    limits: Limits | None = None
    """Of the cage in which it is built; None for none."""


def build(
    spec: EnvironmentSpec,
    installed: dict[str, Path],
    where: str,
    target: str,
    roots: dict[str, str] | None = None,
    limits: Limits | None = None,
) -> Environment:
    """The environment of a target, from the cache or built now. `installed` gives the file of each artifact of `install`.

    roots: the unpacked folder of each artifact, which `published` is read from. limits: of a cage in which all of a stranger's
    code runs; None for none. Raises `NotBuilt` (a finding) when a package of the release does not build or what it publishes
    cannot be installed, `BadInput` when what the target's author wrote cannot be met, `UvFault` when the network or the machine
    fails.
    """
    published = None
    if spec.published:
        published = read_published(spec.published, Path((roots or {})[spec.published.artifact]), f"{where}.published")
    python = spec.python or (published.python_here() if published else _HERE)
    files = [installed[name] for name in spec.install]
    what = {
        "files": [path.parent.name for path in files],  # the store names the folder by sha256
        "requirements": list(spec.requirements), "python": python, "as_of": spec.as_of,
        "machine": platform.machine(), "system": platform.system(),
    }  # fmt: skip
    if published is not None:
        what |= {"published": to_plain(published), "or_else": list(spec.or_else)}
    if limits is not None:  # what was built outside of a cage is never met in one
        what["caged"] = "yes"
    # What one release's code does to its environment, another's never meets: each gets a copy of one that nobody runs in.
    folder, template = (cache_home() / "envs" / digest(what | more)[:32] for more in ({"target": target}, {}))
    with _kept(folder) as to_make:
        if to_make:
            with _kept(template) as to_build:
                if to_build:
                    print(f"building the release's environment (Python {printable(python)}) ...", flush=True)
                    if limits is not None:
                        check_cage(sys.executable, interpreter_folders(sys.executable))
                    _build(template, python, files, spec, published, where, limits)
                _copy(template, folder)
    found = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    return Environment(
        python=str(folder / "bin" / "python"), packages=found["packages"], version=found["version"],
        rung=found.get("rung", AS_PUBLISHED), why=found.get("why", ""), left_out=tuple(found.get("left_out", ())),
        chosen=found.get("chosen", ""),
    )  # fmt: skip


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
    """Copy an environment, with its dates, which bytecode goes by."""
    copy_tree(template, folder)
    old, new = str(template).encode(), str(folder).encode()
    for script in (folder / "bin").iterdir():  # they name the interpreter; of nothing else does the place matter
        if stat.S_ISREG(script.lstat().st_mode) and old in (content := script.read_bytes()):
            script.write_bytes(content.replace(old, new))


def _build(
    folder: Path,
    python: str,
    files: list[Path],
    spec: EnvironmentSpec,
    published: PublishedRequirements | None,
    where: str,
    limits: Limits | None,
) -> None:
    if odd := [path.name for path in files if not path.name.lower().endswith(_INSTALLABLE)]:
        raise BadInput(f"{where}.install: {odd[0]} is neither a wheel nor an sdist; name an artifact that is one")
    own = _Attempt(
        python=python, paths=tuple(map(str, files)), lines=spec.requirements, as_of=spec.as_of, limits=limits
    )
    try:
        found = _install(folder, own) if published is None else _published(folder, own, spec, published, where)
    except _NoPython:
        todo = f"install it (uv python install {python}, or by pyenv), or name another"
        raise BadInput(f"{where}.python: no Python {python} on this machine; {todo}") from None
    except _Unsolvable as problem:
        raise BadInput(f"{where}.requirements: they contradict each other: {str(problem)[:400]}") from None
    write_text(folder / "environment.json", json.dumps(found, indent=1))


def _install(folder: Path, attempt: _Attempt) -> dict[str, Any]:
    """What is in a new environment of these packages: `packages` and `version`."""
    interpreter, version = _make(folder, attempt)
    index = package_index()
    if attempt.limits is not None and (attempt.paths or attempt.lines):
        listed = _install_caged(folder, attempt, attempt.limits)
    else:
        with tempfile.TemporaryDirectory() as home:
            bare = _bare_environment(home, index) | _cache(attempt)
            if attempt.paths or attempt.lines:
                _pip_install(bare, interpreter, attempt, *_COMPILED)
            listed = _uv(bare, *_LISTED, interpreter)
    if listed.returncode != 0:
        raise _problem(listed.stderr)
    packages = {entry["name"]: entry["version"] for entry in json.loads(listed.stdout)}
    return {"packages": packages, "version": version}


def _make(folder: Path, attempt: _Attempt) -> tuple[str, str]:
    """Make an empty environment; gives its interpreter and the version of that."""
    remove_tree(folder)
    # Nothing of the release runs yet, and finding a Python may need the user's own variables; but pip's settings decide, as
    # everywhere here: a user's own settings of uv would build another environment.
    ours = {name for name in os.environ if name in {"VIRTUAL_ENV", "PYTHONPATH"} or name.startswith("UV_")}
    users = {name: value for name, value in os.environ.items() if name not in ours} | _cache(attempt)
    for python in (attempt.python, *_of_pyenv(attempt.python)):
        made = _uv(users, "venv", "--quiet", "--python", python, "--no-python-downloads", str(folder))
        if made.returncode == 0:
            break
        _check_machine(made.stderr, *_NO_PLACE)
    else:
        raise _NoPython(f"this machine has no Python {attempt.python}")
    interpreter = str(folder / "bin" / "python")
    told = [interpreter, "-I", "-S", "-c", "import platform; print(platform.python_version())"]
    version = subprocess.run(told, capture_output=True, text=True, check=True, env=users).stdout.strip()
    return interpreter, version


def _install_caged(folder: Path, attempt: _Attempt, limits: Limits) -> subprocess.CompletedProcess[str]:
    """Install packages so that a stranger's code runs in a cage alone; gives uv's list of them.

    Where no package has to be built, uv installs them outside, with the cache that all environments share, and starts nothing of
    them. In the cage it is asked again, since it may have to build a newer version to know whether it would rather have that.
    """
    interpreter, base = str(folder / "bin" / "python"), os.path.realpath(folder / "bin" / "python")
    empty, index = _names(folder), package_index()
    bare = {name: value for name, value in _bare_environment("", index).items() if name != "NETRC"}
    programs = [Path(uv.find_uv_bin()), *(Path(path.partition("[")[0]) for path in attempt.paths)]
    with workshop(folder, index, bare, programs, limits) as shop:
        bare |= _cache(attempt) | {"HOME": str(shop.home)}
        there = False
        if all(path.endswith(".whl") for path in attempt.paths):
            with suppress(NotBuilt, UvFault):
                _pip_install(bare, interpreter, attempt, "--quiet", "--no-build", *_COPIED)
                there = True
        shop.stock()
        if there and _NO_CHANGE in _pip_install(bare, interpreter, attempt, "--dry-run", "--upgrade", shop=shop):
            many = sum(1 for site in _sites(folder) for _ in site.rglob("*.py")) > _MANY
            compiled = ["-I", "-S", "-m", "compileall", "-q", "-j", "0" if many else "1", *map(str, _sites(folder))]
            shop.run([interpreter, *compiled], bare, changes=True)  # what it cannot compile, uv passes over too
        else:
            if _names(folder) != empty:
                _make(folder, attempt)
            _pip_install(bare, interpreter, attempt, *_COMPILED, shop=shop)
        listed = _uv(bare, *_LISTED, interpreter, shop=shop)
        if not shop.keeps(base):
            raise NotBuilt("a package puts something else in the place of the environment's Python")
    return listed


def _names(folder: Path) -> list[str]:
    """What is installed, by the names of the files."""
    return sorted(name for site in _sites(folder) for name in os.listdir(site))


def _sites(folder: Path) -> list[Path]:
    return [path for path in folder.glob("lib/python*/site-packages") if path.is_dir()]


def _of_pyenv(version: str) -> list[str]:
    """Interpreters of a version that pyenv has, the newest first; uv finds only the one that pyenv has chosen."""
    root = Path(os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")) / "versions"
    names = [path.name for path in root.glob("*") if _PYTHON.match(path.name)]
    fitting = sorted((name for name in names if f"{name}.".startswith(f"{version}.")), key=Version, reverse=True)
    return [str(root / name / "bin" / "python") for name in fitting]


def _pip_install(
    bare: dict[str, str], interpreter: str, attempt: _Attempt, *more: str, shop: Workshop | None = None
) -> str:
    """Have uv install packages; gives its words."""
    index, home = with_logins(package_index()) if shop else package_index(), Path(bare["HOME"])
    lines = [*attempt.lines]
    if attempt.constraints:
        (home / "constraints.txt").write_text("\n".join(attempt.constraints), encoding="utf-8")
        lines.append(f"-c {home / 'constraints.txt'}")
    options = ["--exclude-newer", attempt.as_of] if attempt.as_of else []
    done = _uv(
        bare, "pip", "install", "--python", interpreter, *index_options(index), *options, *attempt.options, *more,
        "-r", "-", *_copies(attempt.paths, home), words=index_lines(index) + "".join(f"{line}\n" for line in lines), shop=shop,
    )  # fmt: skip
    if done.returncode != 0:
        problem = _problem(done.stderr)
        if isinstance(problem, _Unsolvable) and "--no-build" not in more:
            _ask_again(problem)
        raise problem
    return done.stderr


def _copies(paths: tuple[str, ...], home: Path) -> Iterator[str]:
    """Paths to install from: a folder is copied, as building it writes there."""
    for number, path in enumerate(paths):
        place, bracket, extras = path.partition("[")
        if Path(place).is_dir():
            shutil.copytree(place, home / str(number) / Path(place).name, symlinks=True)
            place = str(home / str(number) / Path(place).name)
        yield f"{place}{bracket}{extras}"


def _published(
    folder: Path, own: _Attempt, spec: EnvironmentSpec, published: PublishedRequirements, where: str
) -> dict[str, Any]:
    """What is in the environment that a release publishes, or else in that of the first rung that can be built."""
    alone = replace(
        own, paths=(*own.paths, *published.folders), constraints=tuple(published.constraints), as_of=None,
        lines=tuple(" ".join([of.requirement, *(f"--hash={sha}" for sha in of.hashes)]) for of in published.lines),
    )  # fmt: skip
    index = package_index()
    known = {url.rstrip("/") for url in (*index.index_urls, *index.find_links)}
    others = [without_credentials(of) for of in published.indexes if of.rstrip("/") not in known]
    left_out = [*(f"the package index {of}, which is not among pip's here" for of in others), *published.left_out]
    problems = [of.problem for of in published.lines if of.problem and of.applies(own.python)]
    python, empty = own.python, _tried(folder, replace(own, paths=(), lines=()))
    if isinstance(empty, _NoPython):
        if spec.python:
            raise empty
        why, python = f"{empty}, which {published.python_from} asks for", _HERE
    elif problems:
        why = "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
    else:
        found = _as_published(folder, own, alone, spec, published, where)
        if isinstance(found, dict):
            return found | {"left_out": left_out}
        why, other = _in_words(found, own.python, published), ""
        if published.python is None and spec.python is None and (other := _other_python(folder, alone)):
            there = [replace(of, python=other) for of in (own, alone)]
            built = _as_published(folder, there[0], there[1], spec, published, where)
            if isinstance(built, dict):
                taken = f"what is read of the release names no Python: {built['version']} was taken"
                chosen = f"{taken}, since with {own.python} {why}"
                return built | {"left_out": left_out, "chosen": chosen}
            why += f"; for Python {other} there are versions that fit: "
            why += f"{built}; install it" if isinstance(built, _NoPython) else _readable(built)
    why += f"; not followed: {'; '.join(left_out[:3])}" if left_out else ""
    for name in spec.or_else:
        loose = tuple(of.loosened(pins=name == "oldest") for of in published.lines if of.requirement)
        attempt = replace(alone, python=python, lines=(*loose, *own.lines), constraints=(), as_of=own.as_of)
        found = _oldest(folder, attempt) if name == "oldest" else _tried(folder, attempt)
        if isinstance(found, dict):
            why = f"the published environment cannot be built: {why}{_differences(published, found)}"
            unnamed = [of.problem for of in published.lines if not of.requirement]
            return found | {"rung": RUNGS[name], "why": why, "left_out": [*left_out, *unnamed]}
        why += f"; {RUNGS[name]}: {_readable(found)}"
    raise NotBuilt(why)


def _as_published(
    folder: Path, own: _Attempt, alone: _Attempt, spec: EnvironmentSpec, published: PublishedRequirements, where: str
) -> dict[str, Any] | NotBuilt:
    """What is in the environment as published, with the target author's additions, or why it cannot be built.

    alone: it without the additions. `BadInput` where it can be built without what the author wrote.
    """
    problem = found = _tried(folder, replace(alone, lines=(*alone.lines, *own.lines), as_of=own.as_of))
    if isinstance(found, dict):
        return found
    if given := [key for key in ("requirements", "as_of") if getattr(spec, key)]:
        problem = _tried(folder, alone)
        if isinstance(problem, dict):
            without = "the published environment can be built without, and not with"
            raise BadInput(f"{where}.{' and '.join(given)}: {without}: {_readable(found)}")
    here = published.python_here()
    if spec.python not in {None, here} and isinstance(_tried(folder, replace(alone, python=here)), dict):
        raise BadInput(
            f"{where}.python: with Python {here} the published environment can be built, with {spec.python} not"
        )
    if isinstance(problem, _Unsolvable):
        _check_indexes(published)
    return problem


def _tried(folder: Path, attempt: _Attempt) -> dict[str, Any] | NotBuilt:
    try:
        return _install(folder, attempt)
    except NotBuilt as problem:
        return problem


def _oldest(folder: Path, attempt: _Attempt) -> dict[str, Any] | NotBuilt:
    """The least versions that have wheels for this Python; packages that never had any are built."""
    wheels = {canonicalize_name(Requirement(line).name) for line in attempt.lines}
    while True:
        only = [option for name in sorted(wheels) for option in ("--only-binary", name)]
        found = _tried(folder, replace(attempt, options=("--resolution", "lowest-direct", *only)))
        without = set(_NO_WHEELS.findall(str(found))) & wheels if isinstance(found, NotBuilt) else set()
        if not without:
            return found
        wheels -= without


def _check_indexes(published: PublishedRequirements) -> None:
    """Raises `UvFault` where it is not sure that the indexes which lack a package are whole ones."""
    index = package_index()
    if not index.index_urls:
        raise UvFault("pip is set up to use no package index (no-index): what a release publishes cannot be looked for")
    names = [Requirement(of.requirement).name for of in published.lines if of.requirement]
    try:
        if any(project_files(name) for name in [*names, "pip"]):
            return
    except Unavailable as refused:
        raise UvFault(f"the environment could not be built: {refused}") from None
    asked = without_credentials(", ".join(index.index_urls))
    raise UvFault(
        f"none of the published packages is on the package index, and pip is not either: is {asked} a whole one"
    )


def _in_words(problem: NotBuilt, python: str, published: PublishedRequirements) -> str:
    """Why the published environment cannot be built, with what a reader needs to see whether that is the release's doing."""
    words = f"{_readable(problem)} (with Python {python} on {platform.system()} {platform.machine()})"
    if python != published.python and not published.asks_for(python):
        words += f"; {published.python_from} asks for Python {published.python}"
    return words


def _other_python(folder: Path, alone: _Attempt) -> str:
    """The newest Python for which an index has wheels of what is published; empty where there is none."""
    interpreter, _ = _make(folder, alone)  # nothing was installed in it that could start with it
    with tempfile.TemporaryDirectory() as home:
        for version in PYTHONS:
            options = ("--dry-run", "--only-binary", ":all:", "--python-version", version)
            try:
                bare = _bare_environment(home, package_index()) | _cache(alone)
                _pip_install(bare, interpreter, replace(alone, paths=(), options=options))
            except NotBuilt:
                continue
            return version
    return ""


def _readable(problem: NotBuilt) -> str:
    """uv's words as a reader of a report needs them."""
    text = re.sub(r"^.*?(?=Because )", "", str(problem)) if isinstance(problem, _Unsolvable) else str(problem)
    for pattern, better in _BETTER_WORDS:
        text = re.sub(pattern, better, text)
    return text[: _MOST_WORDS + 5].strip(" .")


def _differences(published: PublishedRequirements, found: dict[str, Any]) -> str:
    """The main versions that are not the published ones, as the end of a sentence."""
    versions = {canonicalize_name(name): version for name, version in found["packages"].items()}
    told = (
        [] if published.asks_for(found["version"]) else [f"Python {found['version']} (published: {published.python})"]
    )
    for line in (of for of in published.lines if of.requirement):
        parsed = Requirement(line.requirement)
        version = versions.get(canonicalize_name(parsed.name))
        if version and (line.problem or not parsed.specifier.contains(version, prereleases=True)):
            told.append(f"{parsed.name} {version} (published: {line.published})")
    more = f" and {len(told) - _MOST_TOLD} more" if len(told) > _MOST_TOLD else ""
    return f"; installed: {', '.join(told[:_MOST_TOLD])}{more}" if told else ""


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


def _cache(attempt: _Attempt) -> dict[str, str]:
    """The variable that names uv's cache: build scripts outside of a cage write to another one."""
    return {"UV_CACHE_DIR": str(cache_home() / "uv" if attempt.limits is None else shared_cache())}


def _uv(
    variables: dict[str, str], *arguments: str, words: str = "", shop: Workshop | None = None
) -> subprocess.CompletedProcess[str]:
    command, env = [uv.find_uv_bin(), *arguments], variables | {"UV_NO_CONFIG": "1"}
    if shop is not None:
        installs = "install" in arguments and "--dry-run" not in arguments
        done = shop.run(command, env, words, changes=installs, wheels=installs)
    else:
        done = subprocess.run(command, input=words, capture_output=True, text=True, check=False, env=env)
    ended = 128 - done.returncode if shop is not None and done.returncode > 128 else done.returncode
    if ended < 0:
        said = signal.strsignal(-ended) or -ended
        raise UvFault(f"the environment could not be built: uv was ended by a signal of this machine: {said}")
    return done


def _check_machine(stderr: str, *words: str) -> None:
    """Raise `UvFault` where uv's words, or a build script's, are about this machine: a full disk says nothing of a release.

    words: more of them that are.
    """
    lines = [line.strip(" ×╰─▶│├") for line in stderr.splitlines() if line.strip()]
    told = next((line for line in lines if _MACHINE.search(line)), "")
    if not told and any(word in stderr for word in words):
        told = lines[-1]
    if told:
        todo = "free some space or memory, or set OPENASSAY_CACHE to a folder on another disk"
        told = without_credentials(told.removeprefix("cause: "))[-300:]
        raise UvFault(f"the environment could not be built: this machine: {told}; {todo}")


def _problem(stderr: str) -> NotBuilt:
    """What uv's words say of the release or the requirements. Raises `UvFault` where they speak of the network or the machine."""
    _check_machine(stderr)
    lines = [line.strip(" ×╰─▶│├") for line in stderr.splitlines() if line.strip()]
    said = without_credentials(" ".join(line for line in lines if not line.startswith(_NO_NEWS)))
    said = said.replace(str(cache_home()), "{cache}")
    own = _LOG.split(said, maxsplit=1)[0]  # after it comes what a build script said
    if any(word in own for word in _NETWORK):
        raise UvFault(f"the environment could not be built: the package index does not answer: {own[:300]}")
    if any(word in own for word in _UNSOLVABLE):
        return _Unsolvable(own[:_MOST_READ])
    if any(word in own for word in _NO_PACKAGE):
        # of a long log, the last words say most
        return NotBuilt(
            said if len(said) <= _MOST_WORDS else f"{said[: _MOST_WORDS // 2]} ... {said[-_MOST_WORDS // 2 :]}"
        )
    raise UvFault(f"uv failed: {own[:400]}")


def _ask_again(problem: _Unsolvable) -> None:
    """Raise `UvFault` where an index refuses or does not answer for what is missing: uv takes 401 and 403 for "not there"."""
    for name in sorted({next(filter(None, of.groups())) for of in _MISSING.finditer(str(problem))}):
        try:
            ask_every_index(name)
        except Unavailable as refused:
            raise UvFault(f"the environment could not be built: {refused}") from None
