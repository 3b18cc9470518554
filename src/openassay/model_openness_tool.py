"""Which components does a record of the Model Openness Tool declare, and under which terms?

The format as published in github.com/lfai/model_openness_tool (schema/mof_schema.json, models/*.yml) in its two editions:
since April 2025 (`license`, and licences for the whole release), and before (`license_name`, all seventeen components listed).
The licence of a component is its own, else that of its kind of content, else that of the distribution, else none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

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
    licence_from: dict[str, str]
    """Per component: where its licence stands: `component`, the kind of content, `distribution`, or `none`."""
    warnings: tuple[str, ...]


def is_record(data: Json) -> bool:
    """Does it look like a record of the Model Openness Tool?"""
    return isinstance(data, dict) and (
        "framework" in data or _mapping(data.get("release")).get("components") is not None
    )


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
        component = NAMES.get(str(entry["name"]))
        if component is None:
            warnings.append(
                f"components.{i}: {str(entry['name'])[:60]!r} is none of the framework's seventeen; left out"
            )
            continue
        if component in parts:
            raise BadInput(f"{key}: {entry['name']!r} stands twice; remove one")
        licence, licence_from[component] = _licence(entry, component, overall, key)
        parts[component] = _part(component, licence, entry)
    name = release.get("name")
    if not isinstance(name, str) or not name:
        warnings.append("release.name: missing")
    return Record(
        name=str(name or "unnamed"), parts=tuple(parts.values()), licence_from=licence_from, warnings=tuple(warnings)
    )


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
        if entry is None:
            continue
        if not isinstance(entry, dict):
            raise BadInput(f"{key}.{kind}: a mapping with a name is needed, found {str(entry)[:60]!r}")
        if name := _text(entry.get("name"), f"{key}.{kind}.name"):
            found[kind] = name
    return found


def _text(value: Json, key: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise BadInput(f"{key}: a licence's name is needed, found {str(value)[:60]!r}; quote it if it is one")


def _licence(
    entry: dict[str, Json], component: ComponentName, overall: dict[str, str], key: str
) -> tuple[str | None, str]:  # fmt: skip
    own = entry.get("license", entry.get("license_name"))
    if (stated := _text(own, f"{key}.license")) is not None:
        return stated or None, "component"
    for kind in (CONTENT[component], "distribution"):
        if kind in overall:
            return overall[kind], kind
    return None, "none"


def _part(component: ComponentName, licence: str | None, entry: dict[str, Json]) -> Part:
    where = entry.get("component_path") or entry.get("location")
    place = where if isinstance(where, str) else None
    if licence and _NOT_INCLUDED.match(
        licence
    ):  # the tool counts it as there, under a licence of that name; not open either way
        return Part(component=component, published="no", licence=licence, where=place)
    if licence and licence.lower() == "pending evaluation":
        return Part(component=component, published="unknown", licence=licence, where=place)
    return Part(component=component, published="yes", licence=licence, where=place)
