"""What a release says of itself as a Python package: name, version, lowest Python and requirements, with their places."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from openassay.core.findings import Excerpt
from openassay.published.code_options import calls, last_name
from openassay.published.commands import commands, readmes
from openassay.published.files import Code, Config, PublishedFiles, Text, Value, derived_once, excerpt


@dataclass(frozen=True)
class Fact:
    """One thing that a file says of a package."""

    folder: str
    """The package's; empty at the release's top."""
    kind: str
    """`name`, `version`, `python`, `requirement`, `licence`, `classifier`; `file` of the build; `program`, a module to call."""
    value: str
    at: Excerpt


@derived_once
def package_facts(release: PublishedFiles) -> tuple[Fact, ...]:
    """Everything that setup.py, pyproject.toml, CITATION.cff, requirements.txt, Dockerfiles and `__version__` say plainly."""
    found = [fact for config in release.configs for fact in _of_config(config)]
    found += [fact for code in release.code if code.name == "setup.py" for fact in _of_setup(code)]
    found += [fact for text in release.texts if text.name == "requirements.txt" for fact in _of_requirements(text)]
    found += [fact for text in release.texts if text.name.lower() == "dockerfile" for fact in _of_dockerfile(text)]
    found += [fact for text in readmes(release) for fact in _of_readme(text, release)]
    for name in [fact for fact in found if fact.kind == "name"]:
        found += _of_module(release, name)
    return tuple(found)


def _of_config(config: Config) -> Iterator[Fact]:
    if config.name == "CITATION.cff":
        wanted = {"version": "version"}
    elif config.name == "pyproject.toml":
        wanted = {"name": "project.name", "version": "project.version", "python": "project.requires-python"}
        for value in config.values:
            if value.key.startswith(("project.scripts.", "project.gui-scripts.")) and isinstance(value.value, str):
                yield Fact(config.folder, "program", value.value, value.seen())
        listed = config.by_key.get("project.dependencies")
        if listed is not None and isinstance(listed.value, tuple):
            for line in (of for of in listed.value if isinstance(of, str)):
                yield Fact(config.folder, "requirement", line, listed.seen(line))
    else:
        return
    for kind, key in wanted.items():
        said: Value | None = config.by_key.get(key)
        if said is not None and said.value is not None:
            yield Fact(config.folder, kind, said.text.strip("\"'"), said.seen())


_SETUP = {"name": "name", "version": "version", "python_requires": "python", "license": "licence"}
_SETUP_LISTS = {"install_requires": "requirement", "classifiers": "classifier"}


def _of_setup(code: Code) -> Iterator[Fact]:
    """What the call of `setup` says in plain words."""
    for call in calls(code):
        for given in call.keywords if last_name(call.func) == "setup" else ():
            word = given.arg or ""
            is_list = word in _SETUP_LISTS and isinstance(given.value, ast.List | ast.Tuple)
            listed = given.value.elts if isinstance(given.value, ast.List | ast.Tuple) and is_list else [given.value]
            for node in listed if is_list or word in _SETUP else ():
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    at = excerpt(code.path, word, node.value[:200], node.lineno)
                    yield Fact(code.folder, _SETUP.get(word) or _SETUP_LISTS[word], node.value, at)


def _of_requirements(text: Text) -> Iterator[Fact]:
    for number, line in enumerate(text.lines, 1):
        words = re.sub(r"(^|\s)#.*", "", line).strip()
        if named := re.fullmatch(r"(?:-r|-c|--requirement|--constraint)[ =]\s*(\S+)", words):
            yield Fact(text.folder, "file", named.group(1), text.seen(number))
        elif words and not words.startswith("-") and "://" not in words:
            yield Fact(text.folder, "requirement", words, text.seen(number))


def _of_readme(text: Text, release: PublishedFiles) -> Iterator[Fact]:
    """What a README's `pip install NAME==VERSION` pins, where it names one version of it only."""
    pins: dict[str, dict[str, Fact]] = {}
    for command in commands(text, release):
        head = next((i for i, word in enumerate(command.words) if word in {"pip", "pip3"}), None)
        if head is None or command.words[head + 1 : head + 2] != ("install",):
            continue
        for word in command.words[head + 2 :]:
            asked = requirement(word) if "==" in word and "*" not in word else None
            if asked is not None:
                at = text.seen(command.line, word)
                pins.setdefault(canonicalize_name(asked.name), {})[word] = Fact(text.folder, "requirement", word, at)
    yield from (fact for of in pins.values() if len(of) == 1 for fact in of.values())


def _of_dockerfile(text: Text) -> Iterator[Fact]:
    """What `COPY` takes from the folder of the build, where it names it plainly."""
    for number, line in enumerate(text.lines, 1):
        words = line.split()
        if (
            words[:1] in (["COPY"], ["ADD"])
            and len(words) >= 3
            and not re.search(r"--from|[$*?\[\]{}\\\"']|://|<<", line)
        ):
            for name in (of for of in words[1:-1] if not of.startswith("--")):
                yield Fact(text.folder, "file", name, text.seen(number))


def _of_module(release: PublishedFiles, name: Fact) -> Iterator[Fact]:
    """`__version__ = "1.0"` of the package of that name."""
    module = canonicalize_name(name.value).replace("-", "_")
    for file in ("__init__", "version", "_version", "__version__"):
        for base in ("", "src/"):
            path = f"{name.folder}/{base}{module}/{file}.py".lstrip("/")
            code = release.code_by_path.get(path)
            for node in code.tree.body if code else ():
                is_version = isinstance(node, ast.Assign) and [last_name(of) for of in node.targets] == ["__version__"]
                if is_version and isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                    value = str(node.value.value)
                    yield Fact(name.folder, "version", value, excerpt(path, "__version__", value, node.lineno))


def requirement(words: str) -> Requirement | None:
    """A requirement as pip reads it; None for another text."""
    try:
        return Requirement(words)
    except InvalidRequirement:
        return None


def is_ignored(release: PublishedFiles, path: str) -> bool:
    """Whether git may leave out a path, as ignored or in a submodule: rather too often than too seldom."""
    return any(pattern.search(path) for pattern in _ignored(release))


@derived_once
def _ignored(release: PublishedFiles) -> tuple[re.Pattern[str], ...]:
    """What the release's `.gitignore` files leave out, wherever they stand, and its submodules."""
    found = []
    for text in release.texts:
        if text.name == ".gitmodules":
            paths = (path for line in text.lines for path in re.findall(r"^\s*path\s*=\s*(\S+)", line))
            found += [re.compile(f"(^|/){re.escape(path.strip('/'))}(/|$)") for path in paths]
        for line in text.lines if text.name == ".gitignore" else ():
            word = line.strip().strip("/")
            if word and not word.startswith(("#", "!")):
                pattern = re.escape(word).replace(r"\*", "[^/]*")
                found.append(re.compile(f"(^|/){pattern}(/|$)"))
    return tuple(found)


MOST_ABSENT = 3
"""Modules that a package takes in and that are absent, from which on it may be a part of another project's package."""


@derived_once
def laid_over(release: PublishedFiles) -> tuple[str, ...]:
    """Folders that are meant to be copied over another project: a package's `__init__` takes in modules of which most are absent.

    Of each the folder of the nearest README, else the package's own.
    """
    readmes = {text.folder for text in release.texts if text.folder and text.name.lower().startswith("readme")}
    found = []
    for code in (code for code in release.code if code.name == "__init__.py" and code.folder):
        taken = {
            f"{code.folder}/{node.module.replace('.', '/')}"
            for node in code.tree.body if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module
        }  # fmt: skip
        absent = [path for path in taken if not (release.has(path) or release.has(f"{path}.py"))]
        if len(absent) >= max(MOST_ABSENT, len(taken) / 2) and not any(is_ignored(release, of) for of in absent):
            around = (str(folder) for folder in (PurePosixPath(code.folder), *PurePosixPath(code.folder).parents))
            found.append(next((folder for folder in around if folder in readmes), code.folder))
    return tuple(dict.fromkeys(found))
