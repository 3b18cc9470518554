"""Whether what a release says of its Python package agrees: versions, requirements, and the syntax that it may use."""

from __future__ import annotations

import ast
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations

from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from openassay.checks.check import Agreement, Contradiction, NotAsked, Seen, check, compared
from openassay.checks.code import own_code, seen_at
from openassay.published.files import PublishedFiles
from openassay.published.packages import Fact, is_ignored, package_facts, requirement

MOST_PLACES = 8
"""Places that name one requirement and are compared."""


@check(needs="a package's version in two of pyproject.toml, setup.py, CITATION.cff and its `__version__`")
def version_stated_twice(release: PublishedFiles) -> Iterator[Seen]:
    """{one.at.path} says version {one.value}, {two.at.path} says {two.value}"""
    versions = [fact for fact in package_facts(release) if fact.kind == "version" and _version(fact) is not None]
    for one, two in combinations(versions, 2):
        if one.folder == two.folder and one.at.path != two.at.path:
            yield compared(_version(one) == _version(two), one.at, two.at, one=one, two=two)


def _version(fact: Fact) -> Version | None:
    try:
        return Version(fact.value)
    except InvalidVersion:
        return None


@check(needs="a requirement that two of requirements.txt, setup.py, pyproject.toml and a README's `pip install` name")
def requirements_differ(release: PublishedFiles) -> Iterator[Seen]:
    """{one.at.path} asks for {one.value}, {two.at.path} for {two.value}: no version is both"""
    named: dict[tuple[str, str], list[tuple[Fact, Requirement]]] = defaultdict(list)
    for fact in package_facts(release):
        asked = requirement(fact.value) if fact.kind == "requirement" else None
        if asked is not None and asked.marker is None:
            named[fact.folder, canonicalize_name(asked.name)].append((fact, asked))
    for several in named.values():
        for (one, left), (two, right) in combinations(several[:MOST_PLACES], 2):
            pins = [
                other.specifier.contains(of.version, prereleases=True)
                for asked, other in ((left, right), (right, left)) for of in asked.specifier
                if of.operator == "==" and "*" not in of.version
            ]  # fmt: skip
            yield compared(not pins or any(pins), one.at, two.at, one=one, two=two)


@check(needs="a file that requirements.txt or a Dockerfile takes in, or a program that pyproject.toml declares")
def build_names_absent(release: PublishedFiles) -> Iterator[Seen]:
    """{fact.at.path}:{fact.at.line} names {fact.value}, which is not in the release"""
    if "." in release.unreadable or any(file.name == "PKG-INFO" for file in release.files):
        yield NotAsked("only a part of the repository is here")
        return
    for fact in package_facts(release):
        if fact.kind == "file":
            places = [posixpath.normpath(f"{folder}/{fact.value}".lstrip("/")) for folder in _above(fact.folder)]
        elif fact.kind == "program":
            module = fact.value.partition(":")[0].strip().replace(".", "/")
            base = f"{fact.folder}/" if fact.folder else ""
            if not any(f"{base}{of}{module.partition('/')[0]}" in release.folders for of in ("", "src/")):
                continue  # its package lies elsewhere
            places = [f"{base}{of}{module}{end}" for of in ("", "src/") for end in (".py", "/__init__.py")]
        else:
            continue
        is_there = any(place == "." or release.has(place) for place in places)
        if not is_there and any(is_ignored(release, place) for place in places):
            yield NotAsked(f"{fact.at.path}: git leaves out {fact.value}, which a build may make")
        else:
            yield compared(is_there, fact.at, fact=fact)


def _above(folder: str) -> list[str]:
    """A folder and those around it: a build may run in any of them."""
    parts = folder.split("/") if folder else []
    return ["/".join(parts[:count]) for count in range(len(parts), -1, -1)]


_NEWER: dict[type[ast.AST], tuple[int, str]] = {
    ast.NamedExpr: (8, ":="), ast.Match: (10, "match"), ast.TryStar: (11, "except*"),
}  # fmt: skip


@check(needs="a lowest version of Python in setup.py or pyproject.toml, and Python files")
def syntax_newer_than_declared(release: PublishedFiles) -> Iterator[Seen]:
    """{path}:{line} has {what}, which Python 3.{needs} brought; {at.path} declares {declared}"""
    for fact in (fact for fact in package_facts(release) if fact.kind == "python"):
        folder, declared, at = fact.folder, fact.value, fact.at
        lowest = _minor(declared)
        if lowest is None:
            continue
        inside = [of for of in own_code(release) if not folder or of.path.startswith(f"{folder}/")]
        newest = next(((of, node, *new) for of in inside for node in of.nodes if (new := _newer(node, lowest))), None)
        if newest is not None:
            code, node, needs, what = newest
            seen = seen_at(code, node, what, f"Python 3.{needs}")
            yield Contradiction(
                seen,
                at,
                path=code.path,
                line=getattr(node, "lineno", 0),
                what=what,
                needs=needs,
                at=at,
                declared=declared,
            )
        elif inside:
            yield Agreement(at)


def _newer(node: ast.AST, lowest: int) -> tuple[int, str] | None:
    found = _NEWER.get(type(node))
    if isinstance(node, ast.arguments) and node.posonlyargs:
        found = (8, "parameters before /")
    elif getattr(node, "type_params", None):
        found = (12, "type parameters")
    return found if found is not None and found[0] > lowest else None


def _minor(declared: str) -> int | None:
    """The lowest 3.x that a specifier allows; None where it gives no bound, or is none."""
    try:
        allowed = SpecifierSet(declared)
    except InvalidSpecifier:
        return None
    if not re.search(r">|~=|==", declared):
        return None
    return next((minor for minor in range(30) if any(f"3.{minor}.{patch}" in allowed for patch in (0, 99))), None)
