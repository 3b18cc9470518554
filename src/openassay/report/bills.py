"""What an audit knows of a release, for other programs: a CycloneDX bill of materials, and an RO-Crate of the records.

Both are made of the frozen plan and the verdict alone. A licence is an SPDX expression only where the target
file's words are one.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from license_expression import Licensing, get_spdx_licensing

from openassay.core.openness import CONTENT
from openassay.core.verdict import headline
from openassay.core.verdict_records import ReleaseVerdict, Verdict
from openassay.faults import printable
from openassay.plan import Plan
from openassay.sources.git import GitSource
from openassay.sources.hf import HfSource
from openassay.sources.http import HttpSource
from openassay.sources.pypi import PypiSource

TYPES = {"code": "application", "data": "data", "document": "file"}
"""CycloneDX's word for a kind of content; of parameters it is `machine-learning-model`."""
MEDIA = {"json": "application/json", "html": "text/html", "yaml": "application/yaml", "svg": "image/svg+xml"}
CRATE = "https://w3id.org/ro/crate/1.1"


def to_cyclonedx(plan: Plan, verdict: ReleaseVerdict) -> str:
    """The release's published components, fetched artifacts and claims as CycloneDX 1.6, a model with its card."""
    there = [of for of in plan.components if of.published in {"yes", "partly"}]
    absent = [of.component for of in plan.components if of.published == "no"]
    facts = {
        "outcome": verdict.outcome.value, "reason": verdict.in_words or verdict.reason,
        "score": "" if verdict.score.value is None else f"{verdict.score.value:.4g}", "coverage": f"{verdict.score.coverage:.4g}",
        "plan_digest": verdict.plan_digest, "not_published": ", ".join(absent),
        "osaid": verdict.openness.osaid.outcome if verdict.openness else "",
        "mof": verdict.openness.mof.label if verdict.openness else "",
        **{f"deviation:{i}": of.what for i, of in enumerate(verdict.deviations)},
        **{f"claim:{of.id}": headline(of) for of in verdict.claims},
    }  # fmt: skip
    release = plan.release
    main: dict[str, Any] = {
        "type": "machine-learning-model" if any(of.component.startswith("params") for of in there) else "application",
        "bom-ref": plan.name, "name": printable(release.title), "version": printable(release.version),
        "externalReferences": _references("website", release.homepage),
    }  # fmt: skip
    if main["type"] == "machine-learning-model":
        data = [{"ref": f"component/{of.component}"} for of in there if of.component == "datasets"]
        main["modelCard"] = {
            "modelParameters": {"datasets": data[:1]},
            "quantitativeAnalysis": {
                "performanceMetrics": [metric for of in verdict.claims for metric in _metrics(of)]
            },
        }
    parts = []
    for i, of in enumerate(there):
        kind = "machine-learning-model" if of.component.startswith("params") else TYPES[CONTENT[of.component]]
        first = next(j for j, other in enumerate(there) if other.component == of.component)
        parts.append({
            "type": kind, "bom-ref": f"component/{of.component}" + (f"/{i}" if i > first else ""),
            "name": of.component, "licenses": _licences(of.licence), "externalReferences": _references("other", of.where),
            "properties": _properties({"published": of.published, "where": of.where or "", "source": of.source or ""}),
        })  # fmt: skip
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json", "bomFormat": "CycloneDX", "specVersion": "1.6",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, f"openassay:bom:{plan.name}:{_when(verdict)}").urn, "version": 1,
        "metadata": {
            "timestamp": _when(verdict), "component": main | {"properties": _properties(facts)},
            "tools": {"components": [{"type": "application", "name": "openassay", "version": verdict.provenance.openassay}]},
        },
        "components": [*parts, *(_artifact(plan, name) for name in plan.artifacts)],
    }  # fmt: skip
    return json.dumps(bom, indent=2, ensure_ascii=False) + "\n"


def _metrics(of: Verdict) -> list[dict[str, Any]]:
    """A claim as published, and as it was found."""
    name = printable(f"{of.metric} ({of.id})")
    found: list[dict[str, Any]] = [{"type": f"{name}, as published", "value": f"{of.published.value:.9g}"}]
    if of.difference is not None and of.estimand == "number":
        ends = of.interval or (of.difference, of.difference)
        bounds = [f"{of.published.value + end:.9g}" for end in ends]
        found.append({
            "type": f"{name}, {of.tier}", "value": f"{of.published.value + of.difference:.9g}",
            "confidenceInterval": {"lowerBound": bounds[0], "upperBound": bounds[1]},
        })  # fmt: skip
    return found


def _artifact(plan: Plan, name: str) -> dict[str, Any]:
    """What was to be fetched: where it is, and by which digest it is known."""
    source = plan.artifacts[name].sources[0]
    sha256 = getattr(source, "sha256", None)
    made: dict[str, Any] = {"type": "file", "bom-ref": f"artifact/{name}", "name": name}
    made |= {"hashes": [{"alg": "SHA-256", "content": sha256}]} if sha256 else {}
    match source:
        case PypiSource():
            made |= {"version": source.version, "purl": f"pkg:pypi/{_project(source.package)}@{quote(source.version)}"}
        case GitSource():
            made |= {"version": source.commit, "externalReferences": _references("vcs", source.url)}
        case HfSource():
            made |= {"externalReferences": _references("distribution", f"https://huggingface.co/{source.repo}")}
        case HttpSource():
            made |= {"externalReferences": _references("distribution", source.url)}
    return made | {"properties": _properties({"source": source.label(), "role": plan.artifacts[name].role})}


def _project(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _licences(text: str) -> list[dict[str, Any]]:
    if text == "unknown":
        return []
    try:
        told = _spdx().validate(text)
        is_spdx = not told.errors
    except Exception:  # noqa: BLE001 - words that its scanner cannot take are no expression
        is_spdx = False
    return [{"expression": text}] if is_spdx else [{"license": {"name": printable(text)}}]


@functools.cache
def _spdx() -> Licensing:
    """Reads SPDX expressions; made once, for that takes long."""
    return get_spdx_licensing()


def _references(kind: str, address: str | None) -> list[dict[str, Any]]:
    """An address where it is one, and no words about one."""
    if not address or not re.fullmatch(r"https?://[^\s\"<>\\^`{|}]+", address) or not urlsplit(address).hostname:
        return []
    return [{"type": kind, "url": address}]


def _properties(facts: Mapping[str, str]) -> list[dict[str, str]]:
    return [
        {"name": f"openassay:{printable(name)}", "value": printable(value)} for name, value in facts.items() if value
    ]


def to_ro_crate(plan: Plan, verdict: ReleaseVerdict, files: Mapping[str, bytes]) -> str:
    """The records in a folder as `ro-crate-metadata.json` (RO-Crate 1.1). files: what lies there, by name."""
    release, when = plan.release, _when(verdict)
    about: dict[str, Any] = {"@id": "#release", "@type": "CreativeWork", "name": printable(release.title)}
    about |= {"version": printable(release.version)}
    for reference in _references("website", release.homepage):
        about["url"] = reference["url"]
    who = printable(verdict.provenance.auditor or "an auditor who is not named")
    graph: list[dict[str, Any]] = [
        {
            "@id": "ro-crate-metadata.json", "@type": "CreativeWork", "conformsTo": {"@id": CRATE}, "about": {"@id": "./"},
        },
        {
            "@id": "./", "@type": "Dataset", "name": printable(f"Audit of {release.title}"), "datePublished": when,
            "description": printable(f"{verdict.outcome.value}: {verdict.in_words or verdict.reason}"),
            "license": "Records of an audit: facts about a release. The release keeps its own terms.",
            "about": {"@id": "#release"}, "author": {"@id": "#auditor"}, "mentions": [{"@id": "#audit"}],
            "hasPart": [{"@id": name} for name in files],
        },
        about,
        {"@id": "#auditor", "@type": "Organization", "name": who},
        {
            "@id": "#openassay", "@type": "SoftwareApplication", "name": "OpenAssay", "version": verdict.provenance.openassay,
        },
        {
            "@id": "#audit", "@type": "CreateAction", "name": "The audit", "endTime": when, "instrument": {"@id": "#openassay"},
            "object": {"@id": "#release"}, "result": [{"@id": name} for name in files], "agent": {"@id": "#auditor"},
        } | ({"startTime": verdict.provenance.started_at} if verdict.provenance.started_at else {}),
    ]  # fmt: skip
    graph += [
        {
            "@id": name, "@type": "File", "name": name, "contentSize": str(len(data)), "sha256": hashlib.sha256(data).hexdigest(),
            "encodingFormat": MEDIA[name.rpartition(".")[2]],
        } for name, data in files.items()
    ]  # fmt: skip
    return json.dumps({"@context": f"{CRATE}/context", "@graph": graph}, indent=2, ensure_ascii=False) + "\n"


def _when(verdict: ReleaseVerdict) -> str:
    return verdict.provenance.finished_at
