"""What a command's code asks for: seeds, downloads and packages, by its text alone."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from openassay.checks.code_options import calls, last_name
from openassay.checks.release import Code, PublishedFiles, Text
from openassay.draft.brought import shortened
from openassay.draft.commands import RunCandidate, reached, read_text

SEEDERS = {"seed", "manual_seed", "manual_seed_all", "set_seed", "seed_everything", "set_random_seed", "PRNGKey"}
DOWNLOADERS = {
    "get", "urlretrieve", "urlopen", "download", "read_csv", "download_url", "get_file", "retrieve", "system", "run",
}  # fmt: skip
_ADDRESS = re.compile(r"https?://[^\s'\"<>|;()]{4,500}", re.ASCII)
_PACKAGES = {
    "sklearn": "scikit-learn",
    "PIL": "pillow",
    "cv2": "opencv-python",
    "yaml": "pyyaml",
    "skimage": "scikit-image",
}
"""Packages by what is imported of them, where the names differ."""
_ALL = re.compile(r"(?i)requirements[\w.-]*\.txt")


def seeds_set(codes: list[Code]) -> list[tuple[str, str]]:
    """Where code sets a seed by itself, as (place, what it calls)."""
    found = [
        (f"{code.path}:{call.lineno}", last_name(call.func))
        for code in codes for call in calls(code) if last_name(call.func) in SEEDERS and (call.args or call.keywords)
    ]  # fmt: skip
    return found + [
        (f"{code.path}:{call.lineno}", "random_state")
        for code in codes for call in calls(code) for given in call.keywords
        if given.arg in {"random_state", "seed"} and isinstance(given.value, ast.Constant) and isinstance(given.value.value, int)
    ]  # fmt: skip


def downloads(codes: list[Code]) -> dict[str, str]:
    """The addresses that code downloads from, each with its place."""
    found: dict[str, str] = {}
    for code in codes:
        texts = {
            target.id: node.value.value
            for node in ast.walk(code.tree) if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets if isinstance(target, ast.Name) and isinstance(node.value.value, str)
        }  # fmt: skip
        for call in (call for call in calls(code) if last_name(call.func) in DOWNLOADERS):
            for given in [*call.args[:3], *(of.value for of in call.keywords)]:
                text = given.value if isinstance(given, ast.Constant) else texts.get(getattr(given, "id", ""))
                if isinstance(text, str) and (at := _ADDRESS.search(text[:2000])) and at[0].isprintable():
                    found.setdefault(at[0], f"{code.path}:{call.lineno}")
    return found


def own_downloads(codes: list[Code]) -> list[str]:
    """Where a library downloads data by a name, whose address is not to be seen."""
    own = {node.name for code in codes for node in ast.walk(code.tree) if isinstance(node, ast.FunctionDef)}
    return [
        f"{code.path}:{call.lineno}: {last_name(call.func)}"
        for code in codes for call in calls(code)
        if last_name(call.func) in {"load_dataset", "snapshot_download", "fetch_openml", "load_data"} - own
        or any(of.arg == "download" and getattr(of.value, "value", True) is True for of in call.keywords)
    ]  # fmt: skip


def requirements(release: PublishedFiles, top: Path, of: RunCandidate, readme: Text | None) -> tuple[list[str], str]:
    """The packages that must be installed, and where they are named: in a file for that, the README, or by imports."""
    found = ((_parsable(lines), place) for lines, place in _named_packages(release, top, of, readme))
    imports = f"the imports of {of.script.path if of.script else of.path}"
    return next(((lines, place) for lines, place in found if lines), (_imported(release, of), imports))


def _named_packages(
    release: PublishedFiles, top: Path, of: RunCandidate, readme: Text | None
) -> Iterator[tuple[Iterable[Any], str]]:
    """Words that may be requirements, with their place, the surest place first."""
    names = [file.path for file in release.files if file.folder in {"", of.folder} and _ALL.fullmatch(file.name)]
    for path in sorted(names, key=lambda path: (path.rpartition("/")[2].lower() != "requirements.txt", path)):
        yield (line.partition(" #")[0] for line in read_text(top / path).splitlines()), path
    if (config := {config.path: config for config in release.configs}.get("pyproject.toml")) is not None:
        given = [value.value for value in config.values if re.match(r"project\.dependencies(\.\d+)?$", value.key)]
        yield [one for of in given for one in (of if isinstance(of, (tuple, list)) else [of])], config.path
    if "setup.cfg" in release.by_path:
        settings = configparser.ConfigParser(interpolation=None)
        with suppress(configparser.Error):
            settings.read_string(read_text(top / "setup.cfg"))
        yield settings.get("options", "install_requires", fallback="").splitlines(), "setup.cfg"
    if (setup := release.code_by_path.get("setup.py")) is not None:
        for listing in (one.value for call in calls(setup) for one in call.keywords if one.arg == "install_requires"):
            words = [one.value for one in ast.walk(listing) if isinstance(one, ast.Constant)]
            yield words, f"setup.py:{listing.lineno}"
    for config in (config for config in release.configs if re.fullmatch(r"environment\.ya?ml", config.path)):
        given = [of.value for of in config.values if re.match(r"dependencies\.\d+(\.pip\.\d+)?$", of.key)]
        pinned = [re.sub(r"^([\w.-]+)=([\w.]+)(=\w+)?$", r"\1==\2", str(line)) for line in given]
        theirs = [line for line in pinned if not re.match(r"(python|pip|cudatoolkit|pytorch-cuda)\b(?!-)", line)]
        yield [re.sub(r"^pytorch(?=\W|$)", "torch", line) for line in theirs], config.path
    for number, line in enumerate(shortened(readme) if readme else (), 1):
        if at := re.search(r"pip3? install ((?:[^`]|`(?=\w))+)", line):
            yield re.sub("[\"']", "", at[1]).split(), f"{readme.path if readme else ''}:{number}"


def _parsable(lines: Iterable[Any]) -> list[str]:
    """The lines that are requirements without an address, each package once."""
    found: dict[str, str] = {}
    for line in islice(lines, 500):
        try:
            requirement = Requirement(str(line).strip())
        except InvalidRequirement:
            continue
        if not requirement.url:
            found.setdefault(requirement.name.lower(), str(requirement))
    return list(found.values())[:100]


def _imported(release: PublishedFiles, of: RunCandidate) -> list[str]:
    names: set[str] = set()
    for node in (node for code in reached(of, release) for node in ast.walk(code.tree)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    own = {part.removesuffix(".py") for file in release.files for part in PurePosixPath(file.path).parts}
    return sorted(_PACKAGES.get(name, name) for name in names - own - sys.stdlib_module_names)[:50]
