"""Reads a record of the Model Openness Tool: the components that it declares, and under which terms.

The format as published in github.com/lfai/model_openness_tool (schema/mof_schema.json, models/*.yml) in its two editions:
since April 2025 (`license`, and licences for the whole release), and before (`license_name`, all seventeen components listed).
The licence of a component is its own, else that of its kind of content, else that of the distribution, else none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from openassay.core.licences import identifiers, terms_of
from openassay.core.openness import CONTENT, Part
from openassay.core.openness_records import ComponentName
from openassay.core.types import Json
from openassay.faults import BadInput

NAMES: dict[str, ComponentName] = {
    "Model architecture": "model_architecture", "Data preprocessing code": "data_preprocessing_code",
    "Training code": "training_code", "Inference code": "inference_code", "Evaluation code": "evaluation_code",
    "Supporting libraries and tools": "supporting_libraries", "Model parameters (Final)": "params_final",
    "Model parameters (Intermediate)": "params_intermediate", "Datasets": "datasets", "Evaluation data": "evaluation_data",
    "Model metadata": "model_metadata", "Sample model outputs": "sample_outputs", "Model card": "model_card",
    "Data card": "data_card", "Technical report": "technical_report", "Research paper": "research_paper",
    "Evaluation results": "evaluation_results",
}  # fmt: skip

GLOBAL = ("distribution", "code", "data", "document")

_NOT_INCLUDED = re.compile(r"(component )+not includ", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a record declares."""

    name: str
    parts: tuple[Part, ...]
    licence_from: dict[str, str] = field(default_factory=dict)
    """Per component: where its licence stands: `component`, the kind of content, `distribution`, or `none`."""
    warnings: tuple[str, ...] = ()


def is_record(data: Json) -> bool:
    """Whether it looks like a record of the Model Openness Tool."""
    found = _mapping(data)
    return "framework" in found or _mapping(found.get("release")).get("components") is not None


def read(data: Json, where: str) -> Record:
    """The record; `BadInput` names the key that is wrong. Keys that we do not know are left alone."""
    if not isinstance(data, dict) or not isinstance(data.get("release"), dict):
        raise BadInput(f"{where}: release: a mapping is needed, with name, license and components")
    release = _mapping(data["release"])
    warnings: list[str] = []
    framework = _mapping(data.get("framework")).get("name")
    if framework != "Model Openness Framework":
        warnings.append(f"framework.name: expected 'Model Openness Framework', found {str(framework)[:60]!r}")
    overall = _overall(release.get("license"), f"{where}: release.license", warnings)
    listed = release.get("components", "missing")
    if not isinstance(listed, list):
        raise BadInput(f"{where}: release.components: a list is needed, found {str(listed)[:60]!r}")
    parts: dict[ComponentName, Part] = {}
    licence_from: dict[str, str] = {}
    for i, entry in enumerate(listed):
        key = f"{where}: release.components.{i}"
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise BadInput(f"{key}: a mapping with a name is needed, found {str(entry)[:60]!r}")
        if (component := NAMES.get(called := str(entry["name"]))) is None:
            warnings.append(f"components.{i}: {called[:60]!r} is not one of the framework's seventeen; left out")
            continue
        if component in parts:
            raise BadInput(f"{key}: {called!r} stands twice; remove one")
        licence, licence_from[component] = _licence(entry, component, overall, key)
        path = entry.get("component_path") or entry.get("location")
        parts[component] = Part(
            component=component, published=_published(licence), licence=licence, where=path if isinstance(path, str) else None
        )  # fmt: skip
    name = release.get("name")
    if not isinstance(name, str) or not name:
        warnings.append("release.name: missing")
    reads = "the Model Openness Tool reads only single SPDX identifiers, as SPDX spells them"
    warnings += [
        f"{part.component}: {part.licence!r} is open, but {reads}" for part in parts.values()
        if terms_of(part.licence).open == "passes" and part.licence not in identifiers()
    ]  # fmt: skip
    listed_parts, named = tuple(parts.values()), str(name or "unnamed")
    return Record(name=named, parts=listed_parts, licence_from=licence_from, warnings=tuple(warnings))


def _mapping(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _overall(value: Json, key: str, warnings: list[str]) -> dict[str, str]:
    """Licences of the distribution, and of each kind of content."""
    if value in (None, [], {}):
        return {}
    if not isinstance(value, dict):
        raise BadInput(f"{key}: a mapping is needed ({', '.join(GLOBAL)}), found {str(value)[:60]!r}")
    found = {}
    for kind, entry in value.items():
        if kind not in GLOBAL:
            warnings.append(f"license.{kind[:60]}: not one of {', '.join(GLOBAL)}; left out")
            continue
        if not isinstance(entry, dict | None):
            raise BadInput(f"{key}.{kind}: a mapping with a name is needed, found {str(entry)[:60]!r}")
        if name := _text(_mapping(entry).get("name"), f"{key}.{kind}.name"):
            found[kind] = name
    return found


def _text(value: Json, key: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise BadInput(f"{key}: a licence's name is needed, found {str(value)[:60]!r}; quote it if it is one")


def _licence(
    entry: dict[str, Json], component: ComponentName, overall: dict[str, str], key: str
) -> tuple[str | None, str]:
    """A component's licence, and where it stands."""
    own = entry.get("license", entry.get("license_name"))
    if (stated := _text(own, f"{key}.license")) is not None:
        return stated or None, "component"
    kind = next((kind for kind in (CONTENT[component], "distribution") if kind in overall), "none")
    return overall.get(kind), kind


def _published(licence: str | None) -> Literal["yes", "no", "unknown"]:
    """What a licence says of presence: the tool counts one "not included" as there, under a licence of that name."""
    if _NOT_INCLUDED.match(licence or ""):
        return "no"
    return "unknown" if (licence or "").lower() == "pending evaluation" else "yes"
