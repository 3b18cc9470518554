"""YAML files whose readers differ, and files that are not what their names say."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator

from openassay.checks.check import Agreement, Contradiction, Noted, Seen, check
from openassay.core.findings import Excerpt
from openassay.published.files import Config, PublishedFiles, Value, derived_once, excerpt
from openassay.published.scalars import yaml_1_1, yaml_1_2
from openassay.published.stated import is_aside

_TOOLS = re.compile(
    r"(?i)(^|/)(\.[^/]+/|\.|mkdocs|docker-compose|compose|environment|conda|codecov|appveyor|readthedocs|citation|_config|"
    r"dependabot|action|workflow|pre-commit|meta)[^/]*\.(ya?ml)\Z|(^|/)\.[^/]+/|\.cff\Z"
)
_FOR_TESTS = re.compile(r"(?i)(^|/)(tests?|testing|testdata|test_data|fixtures?)/|template[^/]*$|(^|/)\.[^/]+/")
"""Files that are broken on purpose lie there, are no files of their kind yet, or are another program's (in hidden folders)."""
_VERSION = re.compile(r"(?i)(^|[._-])(version|python|release|tag|revision)$")


_BROKEN = (
    "not YAML", "not JSON", "not TOML", "not safetensors", "safetensors", "not a torch file", "a Megatron index that is cut",
    "a .npy file", "begins as a pickle",
)  # fmt: skip


def _settings(release: PublishedFiles) -> Iterator[Config]:
    """The YAML files that are not those of tools such as CI, nor sweeps of W&B, whose values become words of a command."""
    own = (config for config in release.configs if config.format == "yaml" and not _TOOLS.search(config.path))
    return (config for config in own if not {"method", "program"} <= {*config.by_key} or "parameters" in config.by_key)


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the truth value {str(value).lower()}"
    return f"the {'number' if isinstance(value, (int, float)) else 'word'} {value!r}"


@derived_once
def _usual_types(release: PublishedFiles) -> dict[str, set[str]]:
    """The types that a YAML 1.1 reader gives each key over the whole release."""
    found: dict[str, set[str]] = defaultdict(set)
    for value in (value for config in release.configs for value in config.values):
        if not isinstance(value.value, tuple):
            found[value.leaf].add(type(yaml_1_1(value.text) if value.plain else value.value).__name__)
    return found


@check(needs="YAML files with settings")
def yaml_readers_differ(release: PublishedFiles) -> Iterator[Seen]:
    """{at.path}: {at.key}: {at.text} is {first} to a YAML 1.1 reader such as PyYAML, and {second} to a YAML 1.2 reader{note}"""
    # Dates are left out: both versions mean a day. Where the release's own code reads YAML, its reader decides.
    readers = _readers(release)
    differing: list[tuple[Value, Config]] = []
    for config in _settings(release):
        plain = [value for value in config.values if value.plain]
        unlike = {(re.sub(r"\.\d+(?=\.|$)", "[]", v.key), v.text): v for v in reversed(plain) if _is_read_twice(v)}
        differing += [(value, config) for value in reversed(unlike.values())]
        if plain and not unlike:
            yield Agreement(excerpt(config.path, "", "every plain scalar has one reading"))
    for value, config in differing[:1] if readers else differing:
        one, two = yaml_1_1(value.text), yaml_1_2(value.text)
        first, second = _kind(one), _kind(two)
        shown = (f"{value.text} (YAML 1.1: {first})", f"{value.text} (YAML 1.2: {second})")
        if readers:
            names = " and ".join(f"{name} ({at.path}:{at.line})" for name, at in readers.items())
            more = f"; {len(differing) - 1} more values are alike" if len(differing) > 1 else ""
            note = f"; the release's code reads YAML by {names}{more}"
            yield Noted(*map(value.seen, shown), *readers.values(), at=value, first=first, second=second, note=note)
        else:
            note = _note(value, config, release) if isinstance(one, str) else ""
            # `10_000` can only be meant as the number that nearly every reader takes it for.
            made = Noted if isinstance(one, (int, float)) and "_" in value.text else Contradiction
            yield made(*map(value.seen, shown), at=value, first=first, second=second, note=note)


def _is_read_twice(value: Value) -> bool:
    one, two = yaml_1_1(value.text), yaml_1_2(value.text)
    return not (type(one) is type(two) and (one == two or one != one))  # noqa: PLR0124 - nan


_READERS = {
    "omegaconf": "OmegaConf", "hydra": "OmegaConf", "jsonargparse": "jsonargparse", "ruamel": "ruamel.yaml",
    "ruamel_yaml": "ruamel.yaml", "yaml": "PyYAML",
}  # fmt: skip


def _readers(release: PublishedFiles) -> dict[str, Excerpt]:
    """The libraries by which the release's code reads YAML, each with the first import of it."""
    found: dict[str, Excerpt] = {}
    for code in (code for code in release.code if not is_aside(code.path)):
        for node in code.tree.body:
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            for name in names:
                if reader := _READERS.get(name.partition(".")[0]):
                    found.setdefault(reader, excerpt(code.path, "import", name, node.lineno))
    return found


def _note(value: Value, config: Config, release: PublishedFiles) -> str:
    """What speaks for a number, where a YAML 1.1 reader reads a word."""
    if re.search(r"[eE]", value.text) and any("${" in other.text for other in config.values):
        return "; OmegaConf, whose ${} this file uses, reads the number"
    usual = _usual_types(release).get(value.leaf, set()) - {"NoneType", "str"}
    return "; elsewhere in the release this key is a number" if usual and usual <= {"int", "float"} else ""


@check(needs="YAML files with a version that is not quoted")
def version_read_as_number(release: PublishedFiles) -> Iterator[Seen]:
    """{at.path}: {at.key}: {at.text} is read as the number {at.value:g}, which is not what is written"""
    # A version such as 1.10 without quotes loses its last digit.
    for value in (value for config in _settings(release) for value in config.values):
        is_number = isinstance(value.value, (int, float)) and not isinstance(value.value, bool)
        if not value.plain or not is_number or not _VERSION.search(value.key):
            continue
        if re.fullmatch(r"\d+\.\d*[1-9]0+", value.text):
            yield Contradiction(value, value.seen(f"read as {value.value:g}"), at=value)
        else:
            yield Agreement(value)


@check(needs="files of a known format")
def not_readable(release: PublishedFiles) -> Iterator[Seen]:
    """{path} cannot be read as what its name says: {why}"""
    # Files that are merely too large are listed elsewhere.
    for path, why in release.unreadable.items():
        if why.startswith(_BROKEN) and not _FOR_TESTS.search(path):
            yield Contradiction(excerpt(path, "", why), path=path, why=why)
    for config in release.configs[:2]:
        yield Agreement(excerpt(config.path, "", f"read as {config.format}"))
    for code in release.code[:2]:
        yield Agreement(excerpt(code.path, "", "read as Python"))
