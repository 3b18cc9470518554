"""Does every YAML reader give a value the same type?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from openassay.checks.check import Agreement, Contradiction, Seen
from openassay.checks.release import PublishedFiles, Value
from openassay.checks.scalars import yaml_1_1, yaml_1_2
from openassay.core.types import Excerpt

_TOOLS = re.compile(
    r"(?i)(^|/)(\.[^/]+/|\.|mkdocs|docker-compose|compose|environment|conda|codecov|appveyor|readthedocs|citation|_config|"
    r"dependabot|action|workflow|pre-commit|meta)[^/]*\.(ya?ml)\Z|(^|/)\.[^/]+/|\.cff\Z"
)
_FOR_TESTS = re.compile(r"(?i)(^|/)(tests?|testing|testdata|test_data|fixtures?)/")
"""Files that are broken on purpose lie there."""
_VERSION = re.compile(r"(?i)(^|[._-])(version|python|release|tag|revision)$")


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the truth value {str(value).lower()}"
    if isinstance(value, (int, float)):
        return f"the number {value!r}"
    return f"the word {value!r}"


def _usual_types(release: PublishedFiles) -> dict[str, set[str]]:
    """Key to the types that a YAML 1.1 reader gives it over the whole release."""
    if "yaml types" not in release.derived:
        found: dict[str, set[str]] = {}
        for config in release.configs:
            for value in config.values:
                if not isinstance(value.value, tuple):
                    read = yaml_1_1(value.text) if value.plain else value.value
                    found.setdefault(value.leaf, set()).add(type(read).__name__)
        release.derived["yaml types"] = found
    known: dict[str, set[str]] = release.derived["yaml types"]
    return known


class YamlReadersDiffer:
    """{path}: {key}: {text} is {first} to a YAML 1.1 reader such as PyYAML, and {second} to a YAML 1.2 reader{note}"""

    kind = "yaml_readers_differ"
    needs = "YAML files with settings"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """Every plain scalar by both versions' rules. Dates are left out: both mean a day."""
        for config in release.configs:
            if config.format != "yaml" or _TOOLS.search(config.path):
                continue
            omega = any("${" in value.text for value in config.values)
            clean, told = True, set()
            for value in config.values:
                if not value.plain:
                    continue
                first, second = yaml_1_1(value.text), yaml_1_2(value.text)
                if type(first) is type(second) and (first == second or first != first):  # noqa: PLR0124 - nan
                    continue
                clean = False
                key = re.sub(r"\.\d+(?=\.|$)", "[]", value.key)
                if (key, value.text) in told:
                    continue
                told.add((key, value.text))
                yield Contradiction(
                    {
                        "path": config.path, "key": value.key, "text": value.text, "first": _kind(first), "second": _kind(second),
                        "note": self._note(value, release, first, omega=omega),
                    },
                    tuple(value.seen(f"{value.text} (YAML {v}: {_kind(r)})") for v, r in (("1.1", first), ("1.2", second))),
                )  # fmt: skip
            if clean and any(value.plain for value in config.values):
                yield Agreement(
                    (Excerpt(path=config.path, line=None, key="", value="every plain scalar has one reading"),)
                )

    def _note(self, value: Value, release: PublishedFiles, first: object, *, omega: bool) -> str:
        if omega and isinstance(first, str) and re.search(r"[eE]", value.text):
            return "; OmegaConf, whose ${} this file uses, reads the number"
        usual = _usual_types(release).get(value.leaf, set()) - {"NoneType"}
        if usual - {"str"} and usual <= {"int", "float", "str"} and isinstance(first, str):
            return "; elsewhere in the release this key is a number"
        return ""


class VersionReadAsNumber:
    """{path}: {key}: {text} is read as the number {number}, which is not what is written"""

    kind = "version_read_as_number"
    needs = "YAML files with a version that is not quoted"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """A version such as 1.10 without quotes loses its last digit."""
        for config in release.configs:
            if config.format != "yaml" or _TOOLS.search(config.path):
                continue
            for value in config.values:
                if (
                    not value.plain
                    or not _VERSION.search(value.key)
                    or not isinstance(value.value, (int, float))
                    or isinstance(value.value, bool)
                ):
                    continue
                if re.fullmatch(r"\d+\.\d*[1-9]0+", value.text):
                    values = {"path": config.path, "key": value.key, "text": value.text, "number": f"{value.value:g}"}
                    yield Contradiction(values, (value.seen(), value.seen(f"read as {value.value:g}")))
                else:
                    yield Agreement((value.seen(),))


class NotReadable:
    """{path} cannot be read as what its name says: {why}"""

    kind = "not_readable"
    needs = "files of a known format"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """Settings, code, weights and tables that are broken; files that are merely too large are listed elsewhere."""
        for path, why in release.unreadable.items():
            if _FOR_TESTS.search(path):
                continue
            if why.startswith(
                (
                    "not YAML",
                    "not JSON",
                    "not TOML",
                    "not safetensors",
                    "safetensors",
                    "not a torch file",
                    "a Megatron index that is cut",
                    "a .npy file",
                )
            ):
                yield Contradiction({"path": path, "why": why}, (Excerpt(path=path, line=None, key="", value=why),))
        for config in release.configs[:2]:
            yield Agreement((Excerpt(path=config.path, line=None, key="", value=f"read as {config.format}"),))
