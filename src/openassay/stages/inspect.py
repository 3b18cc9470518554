"""Which components are there, under which terms, and do the cited facts stand where they should?"""

from __future__ import annotations

import gzip
import zlib
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath
from typing import Literal

from openassay.checks import Inspected, findings_of
from openassay.checks.inspection import Declared, findings_of_checks, inspect_folder, merge_checks, merge_detected
from openassay.core.claims import Citation
from openassay.core.findings import CitationFound, ComponentFound, FetchRecord, InspectRecord
from openassay.faults import counted
from openassay.plan import Plan
from openassay.recompute.compute import recompute
from openassay.records import file_digest
from openassay.sources.roots import artifact_roots, listed_paths
from openassay.store import Store, files_below
from openassay.target import Component

MAX_TEXT_BYTES = 8 * 2**20
MAX_EVIDENCE = 5
MAX_UNREADABLE = 200


def run(plan: Plan, fetched: FetchRecord, store: Store) -> InspectRecord:
    """Look for every declared component, licence and quotation in the fetched artifacts, and ask all checks of them."""
    roots = {name: Path(root) for name, root in artifact_roots(store, fetched).items()}
    declared: Declared = {component.component: component.published for component in plan.components}
    released = {name: root for name, root in roots.items() if plan.artifacts[name].role == "release"}
    listed = {of.name: listed_paths(store, of, plan.artifacts[of.name].all_paths(store)) for of in fetched.artifacts}
    seen = {
        name: inspect_folder(
            root, name=name, declared=declared, is_part=plan.artifacts[name].is_part(), listed=listed[name]
        )
        for name, root in released.items()
    }
    detected = merge_detected({name: of.detected for name, of in seen.items()})
    checks = merge_checks({name: of.checks for name, of in seen.items()})
    unreadable = {f"{name}: {path}": why for name, of in seen.items() for path, why in sorted(of.unreadable.items())}
    components = tuple(_component(component, roots) for component in plan.components)
    citations = tuple(_citation(claim, cited, roots) for claim, cited in plan.citations.items())
    licences = {name: terms for name, root in roots.items() if (terms := _licence(root))}
    claims = bool(plan.citations)
    inspected = Inspected(components=components, citations=citations, has_claims=claims, detected=detected)
    if plan.recomputations:
        print(f"  recomputing {counted(len(plan.recomputations), 'claim')} from published files ...", flush=True)
    return InspectRecord(
        components=components, detected=detected, checks=checks, citations=citations, licences=licences,
        unreadable=dict(list(unreadable.items())[:MAX_UNREADABLE]),
        recomputed=recompute(plan.recomputations, plan.citations, roots),
        findings=(*findings_of(inspected), *findings_of_checks(checks)),
    )  # fmt: skip


def _matches(root: Path, glob: str) -> list[Path]:
    return [path for path in files_below(root) if PurePosixPath(path.relative_to(root)).match(glob)]


def _component(component: Component, roots: dict[str, Path]) -> ComponentFound:
    root = roots.get(component.artifact or "")
    found: Literal["found", "absent", "not fetched"] = "not fetched"
    evidence: list[str] = []
    if root and component.paths:
        matches = [_matches(root, glob) for glob in component.paths]
        found = "found" if all(matches) else "absent"
        paths = [path for group in matches for path in group][:MAX_EVIDENCE]
        evidence = [f"{path.relative_to(root).as_posix()} (sha256 {file_digest(path)[:12]})" for path in paths]
    return ComponentFound(
        component=component.component, published=component.published, licence=component.licence,
        found=found, evidence=tuple(evidence), where=component.where, note=component.note,
    )  # fmt: skip


def _citation(claim: str, cited: Citation, roots: dict[str, Path]) -> CitationFound:
    root = roots.get(cited.artifact or "")
    where = cited.url or f"{cited.artifact}: {cited.path}"
    if root is None or not cited.path or not cited.quote:
        return CitationFound(claim=claim, found="not fetched", quote=cited.quote, where=where)
    wanted = " ".join(cited.quote.split())
    stands = any(wanted in " ".join(_text(path).split()) for path in _matches(root, cited.path))
    return CitationFound(claim=claim, found="found" if stands else "absent", quote=cited.quote, where=where)


def _text(path: Path) -> str:
    """The start of a file as text; empty where a compressed file is damaged, so that nothing is found in it."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return file.read(MAX_TEXT_BYTES).decode("utf-8", "replace")
    except (gzip.BadGzipFile, zlib.error, EOFError):
        return ""


def _licence(root: Path) -> str:
    """What an artifact's own files say of its terms: package metadata first, then the first line of a licence file."""
    for path in [*_matches(root, "*.dist-info/METADATA"), *_matches(root, "PKG-INFO")]:
        headers = HeaderParser().parsestr(_text(path))
        stated = (headers.get("License-Expression") or headers.get("License") or "").strip()
        classified = [line for line in headers.get_all("Classifier", []) if line.startswith("License ::")]
        if stated not in {"", "UNKNOWN"} and "\n" not in stated:
            return f"{stated[:80]} ({path.name})"
        if classified:
            return f"{classified[0].rpartition('::')[2].strip()} ({path.name})"
    for pattern in ("LICENSE*", "LICENCE*", "COPYING*", "copyright"):
        for path in _matches(root, pattern):
            if text := _text(path).strip():
                return f"{text.splitlines()[0].strip()[:80]} ({path.name})"
    return ""
