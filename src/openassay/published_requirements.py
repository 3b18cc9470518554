"""What a release says must be installed, read from its files as text: nothing of it is executed.

requirements.txt, pyproject.toml (PEP 621 and Poetry), setup.cfg, environment.yml (conda) and Dockerfile. What cannot be taken
from a package index, or is left out, is a line with its reason, never passed over.
"""

from __future__ import annotations

import configparser
import platform
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from string import Template
from typing import Any
from urllib.parse import unquote

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from openassay.faults import BadInput
from openassay.sources.download import without_credentials
from openassay.store import check_glob
from openassay.yaml_loader import parse_bytes

_MOST_BYTES = 2**20
_MOST_FILES = 50
_COMMENT = re.compile(r"(^|\s)#.*")
_HASH = re.compile(r"--hash[= ](sha(?:256|384|512):[0-9a-f]+)")
_EGG = re.compile(r"[#&]egg=([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_CONDA = re.compile(r"(?:[^\s:]+::)?([A-Za-z0-9_.-]+)\s*(.*)\Z")
_CONDA_EXPORT = re.compile(r"[A-Za-z0-9_.-]+=[A-Za-z0-9_.+!-]+=[A-Za-z0-9_.]+\Z")
_ARCHIVES = (".whl", ".tar.gz", ".zip", ".tar.bz2", ".tgz")
_INDEXES = {"-i", "--index-url", "--pypi-url", "--extra-index-url", "-f", "--find-links"}
_INCLUDES = {"-r", "--requirement", "-c", "--constraint"}
_EDITABLE = {"-e", "--editable"}
_MORE_VALUES = {
    "-t",
    "--target",
    "--prefix",
    "--root",
    "--src",
    "--timeout",
    "--retries",
    "--proxy",
    "--cache-dir",
    "--python",
}
"""Options of `pip install` that take a value and say nothing of what is installed."""

_SAYS_MORE = re.compile(
    r"-[rifec].|--(requirement|index-url|extra-index-url|find-links|editable|constraint)=|--(pre|no-deps)\Z"
)

_CONDA_NAMES = {
    "pytorch": "torch", "pytorch-cpu": "torch", "pytorch-gpu": "torch", "opencv": "opencv-python", "py-opencv": "opencv-python",
    "pytables": "tables", "matplotlib-base": "matplotlib", "msgpack-python": "msgpack", "dask-core": "dask",
    "ruamel_yaml": "ruamel.yaml", "tensorflow-base": "tensorflow", "seaborn-base": "seaborn",
}  # fmt: skip
"""Conda's names of Python packages that package indexes call otherwise."""
_CONDA_ONLY = re.compile(
    r"(_|lib(?!rosa|cst|sass)|cuda|cudnn|nccl|(gcc|gxx|gfortran|binutils|ld_impl|sysroot|kernel-headers)(_|-|$)|aws-|r-|gst-|qt-"
    r"|(mkl|mkl-devel|mkl-include|intel-openmp|blas|openblas|lapack|fftw|openssl|ca-certificates|sqlite|readline|zlib|bzip2|xz|zstd"
    r"|lz4-c|lzo|tk|ncurses|ffmpeg|freetype|jpeg|openjpeg|giflib|icu|hdf5|boost|boost-cpp|eigen|gmp|mpfr|mpc|mpich|openmpi|nodejs"
    r"|pytorch-cuda|pytorch-mutex|torchtriton|git|git-lfs|cmake|make|compilers|c-compiler|cxx-compiler|openh264|x264|x265|lame|nss"
    r"|gnutls|nettle|nspr|expat|fontconfig|glib|gstreamer|dbus|pcre|pcre2|qt|krb5|c-ares|curl|wget|unzip|tar|perl|openjdk|faiss"
    r"|faiss-gpu|yaml|snappy)$)"
)
"""Conda's packages that hold no Python package of a package index, by how their names begin."""


@dataclass(frozen=True, kw_only=True)
class PublishedEnvironment:
    """Where a release says what must be installed."""

    artifact: str
    path: str
    """Of the file, below the artifact's top."""
    more: tuple[str, ...] = ()
    """Further files of the artifact, which are installed with it."""
    extras: tuple[str, ...] = ()
    """Optional groups of pyproject.toml or setup.cfg."""

    def __post_init__(self) -> None:
        for path in (self.path, *self.more):
            check_glob(path)


@dataclass(frozen=True, kw_only=True)
class RequirementLine:
    """One published requirement."""

    where: str
    """File and line."""
    published: str
    """As it stands there."""
    requirement: str
    """The same for a package index; empty where it has no name."""
    hashes: tuple[str, ...] = ()
    problem: str = ""
    """Why it cannot be had as published; empty where nothing speaks against it."""

    def applies(self, python: str) -> bool:
        """Whether its marker lets it be installed here, by a Python such as 3.11."""
        marker = Requirement(self.requirement).marker if self.requirement else None
        version = {"python_version": python, "python_full_version": f"{python}.0"} if python[0].isdigit() else {}
        return marker is None or marker.evaluate({**version, "extra": ""})

    def loosened(self, *, pins: bool) -> str:
        """The requirement by name. pins: with the least version that it allows, where it states one."""
        parsed = Requirement(self.requirement)
        stated = (of for of in parsed.specifier if of.operator in {"==", ">=", "~=", ">", "==="})
        least = [version for of in stated if _is_version(version := of.version.removesuffix(".*").partition("+")[0])]
        parsed.specifier = SpecifierSet(f">={least[0]}" if pins and least else "")
        return str(parsed)


@dataclass(kw_only=True)
class PublishedRequirements:
    """What the files of a release say, line by line."""

    lines: list[RequirementLine] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    """The release's own folders and packages that are installed too: paths on this machine, with extras."""
    python: str | None = None
    """The Python that is asked for, `3.7` or `>=3.6,<3.9`."""
    python_from: str = ""
    indexes: list[str] = field(default_factory=list)
    """Package indexes that the files name."""
    left_out: list[str] = field(default_factory=list)
    """What of them is not followed, with the reason."""

    def python_here(self) -> str:
        """The Python to build with: the one that runs OpenAssay where the files allow it, else the one that they ask for."""
        here = ".".join(platform.python_version_tuple()[:2])
        return here if self.python is None or self.asks_for(platform.python_version()) else self.python

    def asks_for(self, version: str) -> bool:
        """Whether a Python of this version is what the files ask for."""
        asked = self.python or ">=2"
        return SpecifierSet(f"=={asked}.*" if asked[0].isdigit() else asked).contains(version, prereleases=True)


def read_published(of: PublishedEnvironment, folder: Path, where: str) -> PublishedRequirements:
    """What the files name, from the artifact's unpacked folder. `BadInput` for a path or an extra that is not there."""
    made = _RequirementsReader(folder, set(of.extras))
    for key, path in [("path", of.path), *((f"more.{i}", path) for i, path in enumerate(of.more))]:
        if not (folder / path).is_file():
            raise BadInput(f"{where}.{key}: there is no file {path!r} in the artifact {of.artifact}")
        if path.endswith(".py"):
            raise BadInput(
                f"{where}.{key}: {path} is code, which is not run for reading; write what it needs under requirements"
            )
        made.read(path)
    if unknown := sorted(set(of.extras) - made.known_extras):
        there = ", ".join(sorted(made.known_extras)) or "none"
        raise BadInput(f"{where}.extras: the files have no group {unknown[0]!r}; there are: {there}")
    return made.found


class _RequirementsReader:
    """Reads files of one artifact into one list."""

    def __init__(self, root: Path, extras: set[str]) -> None:
        self.root, self.extras = root.resolve(), extras
        self.known_extras: set[str] = set()
        self.found = PublishedRequirements()
        self.seen: set[str] = set()

    def read(self, path: str, *, constraint: bool = False) -> None:
        """Read a file of the artifact by what its name says that it is."""
        name = PurePosixPath(path).name.lower()
        if path in self.seen:
            return
        self.seen.add(path)
        if len(self.seen) > _MOST_FILES:
            self._problem(path, "", f"the files include each other: more than {_MOST_FILES} of them")
            return
        readers: list[tuple[bool, Callable[[str, str], None]]] = [
            (name.endswith(".toml"), self._pyproject),
            (name.endswith(".cfg"), self._setup_cfg),
            (name.endswith((".yml", ".yaml")), self._conda_file),
            ("dockerfile" in name, self._dockerfile),
            (constraint, self._constraints),
            (True, self._requirements),
        ]
        try:
            next(reader for fits, reader in readers if fits)(path, self._text(path))
        except (BadInput, ValueError, OSError, RecursionError, configparser.Error) as error:
            self._problem(path, "", f"{path} cannot be read: {' '.join(str(error).split())[:200]}")

    def _text(self, path: str) -> str:
        with (self.root / path).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise BadInput(f"more than {_MOST_BYTES} bytes")
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):  # as PowerShell writes what it redirects
            return data.decode("utf-16")
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            return data.decode("latin-1")

    def _inside(self, path: str, beside: str = "") -> Path | None:
        """A path as the files name it, if it lies in the artifact: beside the file that names it, or at the artifact's top."""
        for start in (PurePosixPath(beside).parent, PurePosixPath()):
            found = (self.root / start / path).resolve()
            if found.is_relative_to(self.root) and found.exists():
                return found
        return None

    def _problem(self, where: str, published: str, problem: str, name: str = "") -> None:
        try:
            requirement = str(Requirement(name))
        except InvalidRequirement:
            requirement = ""
        shown = without_credentials(published)
        self.found.lines.append(RequirementLine(where=where, published=shown, requirement=requirement, problem=problem))

    def _python(self, specifier: str, where: str) -> None:
        """Note which Python a file asks for; one that only a patch version tells apart is taken by its minor version."""
        try:
            asked = list(SpecifierSet(specifier))
        except InvalidSpecifier:
            self.found.left_out.append(f"{where}: the Python {specifier!r} is not understood")
            return
        if not asked or self.found.python:
            return
        exact = (
            re.match(r"([0-9]+\.[0-9]+)", asked[0].version)
            if asked[0].operator in {"==", "==="} and len(asked) == 1
            else None
        )
        self.found.python, self.found.python_from = exact[1] if exact else specifier.replace(" ", ""), where

    # One line

    def _line(self, text: str, where: str, path: str) -> None:
        """A line of a requirements file."""
        if not text:
            return
        if text.startswith("-"):
            self._option(text, where, path)
            return
        body, *options = re.split(r"\s(?=--)", text)
        hashes = tuple(_HASH.findall(" ".join(options)))
        if len(hashes) < len(options):
            self.found.left_out.append(f"{where}: options of {body.strip()}")
        body = body.strip()
        local = body.startswith((".", "/", "~", "file:")) or re.split(r"\[|#", body)[0].endswith(_ARCHIVES)
        if "://" not in body and local:
            self._local(body, where, path)
        elif re.match(r"[a-z+]+://|git@", body):
            self._address(body, where)
        else:
            self._named(body, where, hashes)

    def _option(self, text: str, where: str, path: str) -> None:
        try:
            words = shlex.split(text)
        except ValueError:
            words = text.split()
        name, _, value = words[0].partition("=")
        if not name.startswith("--") and len(name) > 2:  # -rother.txt
            name, value = name[:2], text[2:].strip()
        value = value or " ".join(words[1:])
        if name in _INCLUDES:
            found, constraint = self._inside(value, path), name in {"-c", "--constraint"}
            if found and found.is_file():
                self.read(found.relative_to(self.root).as_posix(), constraint=constraint)
            else:
                self._problem(where, text, f"{where} includes {value}, which is not in the artifact as it was fetched")
        elif name in _EDITABLE:
            if "://" in value or value.startswith("git@"):
                self._address(value, where)
            else:
                self._local(value, where, path)
        elif name in _INDEXES:
            self.found.indexes.append(value)
        else:
            self.found.left_out.append(f"{where}: the option {text[:80]}")

    def _local(self, text: str, where: str, path: str) -> None:
        name, bracket, extras = text.removeprefix("file:").partition("[")
        # pip takes it from the folder that it is started in, which is nearly always the top
        found = self._inside(unquote(name.partition("#")[0])) or self._inside(unquote(name.partition("#")[0]), path)
        told = re.fullmatch(r"[\w.,\s-]*\]", extras) or not bracket
        if found and told and (found.is_file() or any((found / of).is_file() for of in ("pyproject.toml", "setup.py"))):
            self.found.folders.append(f"{found}{bracket}{extras}")
        else:
            self._problem(where, text, f"{where} names {text}, which is no package in the artifact as it was fetched")

    def _address(self, text: str, where: str) -> None:
        """A package by its address: nothing is fetched from where a stranger's file says."""
        egg, file = _EGG.search(text), PurePosixPath(text.partition("#")[0].partition("?")[0]).name
        name = egg[1] if egg else ""
        if not egg and file.endswith(".whl"):
            try:
                name = parse_wheel_filename(unquote(file))[0]
            except InvalidWheelFilename:
                name = ""
        shown = without_credentials(text)
        self._problem(where, text, f"{where} needs {shown}, which is no package of a package index", name)

    def _named(self, text: str, where: str, hashes: tuple[str, ...] = ()) -> None:
        if _CONDA_EXPORT.match(text):  # `conda list --export`, which many publish as requirements.txt
            self.found.left_out.append(f"{where}: the build of {text}, which is conda's")
            self._conda(text, where)
            return
        try:
            if not text.isprintable():  # a line end in a marker would be a line of its own
                raise InvalidRequirement(text)
            parsed = Requirement(text)
            if parsed.marker:
                parsed.marker.evaluate({"extra": ""})  # which not every marker that is well formed can be
        except (InvalidRequirement, UndefinedComparison, UndefinedEnvironmentName):
            found = _NAME.match(text)
            why = f"{where}: {text[:80]!r} is no requirement that today's installers understand"
            self._problem(where, text, why, found[0] if found else "")
            return
        if parsed.url:
            shown = without_credentials(parsed.url)
            parsed.url = None
            self._problem(
                where, text, f"{where} needs {parsed.name} from {shown}, which is no package index", str(parsed)
            )
        else:
            self.found.lines.append(
                RequirementLine(where=where, published=text, requirement=str(parsed), hashes=hashes)
            )

    # The formats

    def _requirements(self, path: str, text: str) -> None:
        for number, line in _logical_lines(text):
            self._line(line, f"{path}:{number}", path)

    def _constraints(self, path: str, text: str) -> None:
        for number, line in _logical_lines(text):
            try:
                self.found.constraints.append(str(Requirement(re.split(r"\s--", line)[0])))
            except InvalidRequirement:
                self.found.left_out.append(f"{path}:{number}: the constraint {line[:80]}")

    def _pyproject(self, path: str, text: str) -> None:
        document = tomllib.loads(text)
        project, tool = _table(document, "project"), _table(document, "tool")
        self._python(str(project.get("requires-python", "")), path)
        for line in _words(project.get("dependencies")):
            self._named(line, path)
        groups = _table(project, "optional-dependencies")
        self.known_extras |= groups.keys()
        for group in self.extras & groups.keys():
            for line in _words(groups[group]):
                self._named(line, f"{path} [{group}]")
        if "dependencies" in _words(project.get("dynamic")):
            dynamic = _table(_table(_table(tool, "setuptools"), "dynamic"), "dependencies").get("file")
            files = [dynamic] if isinstance(dynamic, str) else _words(dynamic)
            for file in files:
                self._option(f"-r {shlex.quote(file)}", path, path)
            if not files:
                self._problem(path, "", f"{path} leaves its dependencies to its build, which is not run for reading")
        self._poetry(path, _table(tool, "poetry"))

    def _poetry(self, path: str, poetry: dict[str, Any]) -> None:
        groups = _table(poetry, "extras")
        self.known_extras |= groups.keys()
        wanted = {canonicalize_name(name) for group in self.extras & groups.keys() for name in _words(groups[group])}
        for name, stated in _table(poetry, "dependencies").items():
            for one in stated if isinstance(stated, list) else [stated]:
                entry = one if isinstance(one, dict) else {"version": one}
                if name == "python":
                    self._python(_poetry_versions(str(entry.get("version", ""))), path)
                elif not entry.get("optional") or canonicalize_name(name) in wanted:
                    self._poetry_entry(path, name, entry)

    def _poetry_entry(self, path: str, name: str, entry: dict[str, Any]) -> None:
        if source := next((entry[key] for key in ("git", "url") if key in entry), None):
            self._problem(
                path,
                name,
                f"{path} needs {name} from {without_credentials(str(source))}, which is no package index",
                name,
            )
            return
        if "path" in entry:
            self._local(str(entry["path"]), path, path)
            return
        markers = [f"({entry['markers']})"] if entry.get("markers") else []
        if entry.get("python"):
            parts = re.findall(r"([<>=!~]+)([^,]+)", _poetry_versions(str(entry["python"])))
            markers += [f'python_version {operator} "{version}"' for operator, version in parts]
        extras = f"[{','.join(_words(entry.get('extras')))}]" if entry.get("extras") else ""
        marker = f" ; {' and '.join(markers)}" if markers else ""
        version = str(entry.get("version", "*"))
        if "|" in version:
            self.found.left_out.append(f"{path}: the version of {name}, {version}")
            version = "*"
        self._named(f"{name}{extras}{_poetry_versions(version)}{marker}", path)

    def _setup_cfg(self, path: str, text: str) -> None:
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        parser.read_string(text)
        options = dict(parser["options"]) if parser.has_section("options") else {}
        groups = dict(parser["options.extras_require"]) if parser.has_section("options.extras_require") else {}
        self.known_extras |= groups.keys()
        self._python(options.get("python_requires", ""), path)
        for stated in (options.get("install_requires", ""), *(groups[of] for of in self.extras & groups.keys())):
            if stated.strip().startswith("file:"):
                for file in stated.strip().removeprefix("file:").split(","):
                    self._option(f"-r {shlex.quote(file.strip())}", path, path)
                continue
            for line in stated.splitlines() if "\n" in stated else stated.split(";"):
                if line.strip() and not line.strip().startswith("#"):
                    self._named(line.strip(), path)

    def _conda_file(self, path: str, text: str) -> None:
        document = parse_bytes(text.encode(), path)
        entries = document.get("dependencies") if isinstance(document, dict) else None
        if not isinstance(entries, list):
            self._problem(path, "", f"{path} has no list of dependencies")
            return
        self.found.left_out.append(
            f"{path}: it is for conda, which is not used here: what it names is installed by pip's names"
        )
        for entry in entries:
            if isinstance(entry, dict):
                for line in _words(entry.get("pip")):
                    self._line(_COMMENT.sub("", line).strip(), f"{path} (pip)", path)
            elif isinstance(entry, str):
                self._conda(entry, path)

    def _conda(self, text: str, where: str) -> None:
        """A package as conda names it: `numpy`, `numpy=1.19`, `conda-forge::numpy==1.19.2=py37h54aff64_0`, `numpy 1.19.*`."""
        found = _CONDA.match(text)
        if not found:
            self.found.left_out.append(f"{where}: {text[:80]}")
            return
        name, rest = found[1].lower(), found[2].strip()
        version, build = rest, ""
        if exact := re.match(r"={0,2}\s*([^=<>!~,|\s]+)(?:[=\s]([^=<>!~,|\s]+))?\Z", rest):
            version, build = exact[1], exact[2] or ""
            whole = bool(build) or rest.startswith("==")
            version = (
                f"=={version}" if whole and "*" not in version else f"=={version.removesuffix('*').removesuffix('.')}.*"
            )
        if rest == "*":
            version = ""
        if name == "python":
            self._python(version, where)
            return
        try:
            SpecifierSet(version)
        except InvalidSpecifier:
            self.found.left_out.append(f"{where}: the version of {text[:80]}")
            version = ""
        if _CONDA_ONLY.match(name) or (build and "py" not in build):
            self.found.left_out.append(f"{where}: {name}, which is not installable by pip")
        else:
            self._named(f"{_CONDA_NAMES.get(name, name)}{version}", where)

    def _dockerfile(self, path: str, text: str) -> None:
        values: dict[str, str] = {}
        for number, line in _logical_lines(text):
            instruction, _, rest = line.partition(" ")
            rest = Template(rest.strip()).safe_substitute(values)
            if instruction.upper() in {"ARG", "ENV"}:
                words = re.split(r"[=\s]", rest, maxsplit=1) if "=" not in rest else [""]
                pairs = [words] if len(words) == 2 else [of.partition("=")[::2] for of in rest.split() if "=" in of]
                values |= {name: value.strip("'\"") for name, value in pairs}
            elif instruction.upper() == "FROM":
                image = next((word for word in rest.split() if not word.startswith("--")), "")
                if of_python := re.search(r"(?:^|/)python:(\d+\.\d+)", image):
                    self._python(f"=={of_python[1]}.*", f"{path}:{number}")
                else:
                    self.found.left_out.append(f"{path}:{number}: what the image {image} brings")
            elif instruction.upper() == "RUN":
                for command in _commands(rest):
                    self._pip_install(command, f"{path}:{number}", path)

    def _pip_install(self, words: list[str], where: str, path: str) -> None:
        """The arguments of `pip install`, as lines of a requirements file."""
        start = next((i for i, word in enumerate(words) if PurePosixPath(word).name in {"pip", "pip3", "pip2"}), None)
        if start is None or words[start + 1 : start + 2] != ["install"]:
            return
        arguments = iter(words[start + 2 :])
        for word in arguments:
            if re.match(r"\d?[<>]", word):
                break
            if word in _INCLUDES | _INDEXES | _EDITABLE:
                self._line(f"{word} {self._in_image(next(arguments, ''), word)}", where, path)
            elif word in _MORE_VALUES:
                next(arguments, None)
            elif not word.startswith("-") or _SAYS_MORE.match(word):
                self._line(word, where, path)

    def _in_image(self, value: str, option: str) -> str:
        """A file that an image has at a place of its own, by its name in the artifact."""
        if option in _INCLUDES and value.startswith("/"):
            parts = PurePosixPath(value).parts[1:]
            tails = ["/".join(parts[i:]) for i in range(len(parts))]
            return next((tail for tail in tails if (self.root / tail).is_file()), value)
        return value


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines with their numbers, without comments and blank ones; those that a backslash joins are one."""
    joined, first = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = _COMMENT.sub("", raw) if not (joined and raw.lstrip().startswith("#")) else ""
        first = first if joined else number
        if joined and not line.strip():  # a comment between joined lines
            continue
        if line.rstrip().endswith("\\"):
            joined += line.rstrip()[:-1] + " "
            continue
        if whole := (joined + line).strip():
            yield first, whole
        joined = ""
    if joined.strip():
        yield first, joined.strip()


def _commands(text: str) -> Iterator[list[str]]:
    """The commands of a shell line, as words."""
    if text.startswith("["):
        yield re.findall(r'"([^"]*)"', text)
        return
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";&|()")
    lexer.whitespace_split = True
    words: list[str] = []
    try:
        for word in lexer:
            if set(word) <= set(";&|()"):
                yield words
                words = []
            else:
                words.append(word)
    except ValueError:  # an open quote
        pass
    yield words


def _poetry_versions(text: str) -> str:
    """Poetry's constraint as PEP 440 writes it: `^1.2` is `>=1.2,<2`, `~1.2` is `>=1.2,<1.3`, `1.2` is `==1.2`."""
    parts = []
    for one in (part.strip() for part in text.split(",")):
        version = one.lstrip("^~=").strip()
        if one.startswith("^") or re.match(r"~\s*\d", one):
            try:
                numbers = Version(version).release
            except InvalidVersion:
                return f" {text}"  # which no installer takes either
            stated = len(version.split("."))
            kept = 1 if one.startswith("~") and stated == 1 else 2
            if one.startswith("^"):
                kept = next((i for i, number in enumerate(numbers, 1) if number), stated)
            numbers = (*numbers, 0, 0)[:kept]
            parts += [f">={version}", f"<{'.'.join(map(str, (*numbers[:-1], numbers[-1] + 1)))}"]
        elif one[:1].isdigit():
            parts.append(f"=={one}")
        elif one not in {"", "*"}:
            parts.append(one.replace(" ", ""))
    return ",".join(parts)


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _table(of: dict[str, Any], key: str) -> dict[str, Any]:
    found = of.get(key)
    return found if isinstance(found, dict) else {}


def _words(value: object) -> list[str]:
    return [of for of in value if isinstance(of, str)] if isinstance(value, list) else []
