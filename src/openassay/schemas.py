"""The JSON Schemas of what others read and write, with the words that our code says of each key."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator
from dataclasses import is_dataclass
from itertools import pairwise
from textwrap import dedent
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter

from openassay.checks.inspection import Inspection
from openassay.core.findings import FetchRecord, InspectRecord, PrepareRecord
from openassay.core.verdict_records import ReleaseVerdict
from openassay.scenario import Scenario
from openassay.target import Target

KINDS: dict[str, tuple[Any, str]] = {
    "verdict": (ReleaseVerdict, "experiments/TARGET/verdict.json: what an audit says of a release"),
    "target": (Target, "conf/target/TARGET.yaml: a release under verification"),
    "scenario": (Scenario, "What `openassay judge` reads on standard input"),
    "inspection": (Inspection, "What `openassay inspect PATH --format json` prints"),
    "fetch": (FetchRecord, "experiments/TARGET/fetch/record.json: what could be had, and the findings about it"),
    "inspect": (
        InspectRecord,
        "experiments/TARGET/inspect/record.json: components, terms, and the findings about them",
    ),
    "prepare": (PrepareRecord, "experiments/TARGET/prepare/record.json: what the published data preparation gave"),
}
"""By name: the type, and where such a file is met."""
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, str]:
    """Every schema, as JSON, by its name."""
    return {name: schema(name) for name in KINDS}


def schema(name: str) -> str:
    """A schema as JSON. Its `$id` names what it is of, and the version; it is no address."""
    kind, title = KINDS[name]
    made = TypeAdapter(kind).json_schema()
    version = made["properties"].get("schema_version", {}).get("const", 1)
    for of in set(_dataclasses(kind)):
        known = made if of is kind else made.get("$defs", {}).get(of.__name__, {})
        for key, words in _told(of).items():
            if key in known.get("properties", {}):
                known["properties"][key].setdefault("description", words)
    whole = {"$schema": DIALECT, "$id": f"urn:openassay:schema:{name}:{version}", "title": title}
    return json.dumps(whole | {key: value for key, value in made.items() if key != "title"}, indent=2) + "\n"


def _dataclasses(kind: Any, above: tuple[Any, ...] = ()) -> Iterator[Any]:
    """Our dataclasses that a type is made of."""
    if kind in above:
        return
    if is_dataclass(kind) and kind.__module__.startswith("openassay."):  # pydantic's marks are dataclasses, too
        yield kind
        inside = tuple(get_type_hints(kind, include_extras=True).values())
    else:
        inside = get_args(kind)
    for of in inside:
        yield from _dataclasses(of, (*above, kind))


def _told(kind: Any) -> dict[str, str]:
    """What stands below each key of a class."""
    body = ast.parse(dedent(inspect.getsource(kind))).body[0].body  # type: ignore[attr-defined]
    return {
        key.target.id: " ".join(words.value.value.split())
        for key, words in pairwise(body)
        if isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name)
        and isinstance(words, ast.Expr) and isinstance(words.value, ast.Constant) and isinstance(words.value.value, str)
    }  # fmt: skip
