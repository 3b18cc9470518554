"""Small checks of a release by its own files, pure on data that is already read.

Here: what the target declares against what was found. A check is a function: its name is the finding's kind, its docstring the
message's template, and it yields what fills the template's braces, once for each thing that is wrong. To add one: the function,
its name in CHECKS, a one-line test. `check.py` explains the checks of `registry.py`, which ask whether the files agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from openassay.core.findings import CitationFound, ComponentDetected, ComponentFound, Finding


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """What the checks look at."""

    components: tuple[ComponentFound, ...]
    citations: tuple[CitationFound, ...]
    has_claims: bool
    detected: tuple[ComponentDetected, ...] = ()

    @property
    def published(self) -> list[ComponentFound]:
        """The components that the target declares as published, whole or in part."""
        return [component for component in self.components if component.published in {"yes", "partly"}]

    @property
    def denied(self) -> list[ComponentFound]:
        """The components that the target declares as not published."""
        return [component for component in self.components if component.published == "no"]


Values = dict[str, Any]


def component_absent(inspected: Inspected) -> Iterator[Values]:
    """{component}: declared as published, but not found in the fetched artifact"""
    for component in inspected.published:
        if component.found == "absent":
            yield {"component": component.component}


def component_undeclared(inspected: Inspected) -> Iterator[Values]:
    """{component}: declared as not published, but {evidence} is there"""
    for component in inspected.denied:
        if component.found == "found":
            yield {"component": component.component, "evidence": component.evidence[0]}


def component_seen(inspected: Inspected) -> Iterator[Values]:
    """{component}: declared as not published, but {file.path} {file.why}"""
    told = {component.component for component in inspected.denied if component.found == "found"}
    for component in inspected.detected:
        if component.found == "found" and component.declared == "no" and component.component not in told:
            yield {"component": component.component, "file": component.files[0]}


def component_not_declared(inspected: Inspected) -> Iterator[Values]:
    """there, but not declared by the target: {components}"""
    seen = [component for component in inspected.detected if component.found == "found" and component.declared is None]
    if seen:
        yield {"components": ", ".join(f"{component.component} ({component.files[0].path})" for component in seen)}


def component_not_published(inspected: Inspected) -> Iterator[Values]:
    """{component}: not published{where}"""
    for component in inspected.denied:
        if component.found != "found":
            yield {"component": component.component, "where": f" ({component.note})" if component.note else ""}


def component_not_fetched(inspected: Inspected) -> Iterator[Values]:
    """{component}: declared as published, not in any fetched artifact{where}"""
    for component in inspected.published:
        if component.found == "not fetched":
            yield {"component": component.component, "where": f": {component.where}" if component.where else ""}


def licence_unknown(inspected: Inspected) -> Iterator[Values]:
    """{component}: published, but under terms that are not stated"""
    for component in inspected.published:
        if component.licence.lower().startswith(("unknown", "unclear")):
            yield {"component": component.component}


def quote_absent(inspected: Inspected) -> Iterator[Values]:
    """claim {citation.claim}: its source {citation.where} does not say {citation.quote!r}"""
    for citation in inspected.citations:
        if citation.found == "absent":
            yield {"citation": citation}


def no_claim(inspected: Inspected) -> Iterator[Values]:
    """the release publishes no number that a rerun could test"""
    if not inspected.has_claims:
        yield {}


CHECKS: tuple[Callable[[Inspected], Iterator[Values]], ...] = (
    component_absent,
    component_undeclared,
    component_seen,
    component_not_declared,
    component_not_published,
    component_not_fetched,
    licence_unknown,
    quote_absent,
    no_claim,
)


def findings_of(inspected: Inspected) -> tuple[Finding, ...]:
    """Everything that the checks find."""
    return tuple(
        Finding(stage="inspect", kind=check.__name__, message=(check.__doc__ or "").format(**found))
        for check in CHECKS
        for found in check(inspected)
    )
