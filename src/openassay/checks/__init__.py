"""Small checks of a release by its own files, pure on data that is already read.

Here: what the target declares against what was found. To add a check: its kind and what gives its messages in CHECKS, a one-line
test. `check.py` explains the checks of `registry.py`, which ask whether the files agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

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


def _not_declared(inspected: Inspected) -> Iterator[str]:
    seen = [component for component in inspected.detected if component.found == "found" and component.declared is None]
    if seen:
        names = ", ".join(f"{component.component} ({component.files[0].path})" for component in seen)
        yield f"there, but not declared by the target: {names}"


def _seen(inspected: Inspected) -> Iterator[str]:
    told = {component.component for component in inspected.denied if component.found == "found"}
    for component in inspected.detected:
        if component.found == "found" and component.declared == "no" and component.component not in told:
            file = component.files[0]
            yield f"{component.component}: declared as not published, but {file.path} {file.why}"


CHECKS: dict[str, Callable[[Inspected], Iterator[str]]] = {
    "component_absent": lambda inspected: (
        f"{c.component}: declared as published, but not found in the fetched artifact"
        for c in inspected.published
        if c.found == "absent"
    ),
    "component_undeclared": lambda inspected: (
        f"{c.component}: declared as not published, but {c.evidence[0]} is there"
        for c in inspected.denied
        if c.found == "found"
    ),
    "component_seen": _seen,
    "component_not_declared": _not_declared,
    "component_not_published": lambda inspected: (
        f"{c.component}: not published" + (f" ({c.note})" if c.note else "")
        for c in inspected.denied
        if c.found != "found"
    ),
    "component_not_fetched": lambda inspected: (
        f"{c.component}: declared as published, not in any fetched artifact" + (f": {c.where}" if c.where else "")
        for c in inspected.published
        if c.found == "not fetched"
    ),
    "licence_unknown": lambda inspected: (
        f"{c.component}: published, but under terms that are not stated"
        for c in inspected.published
        if c.licence.lower().startswith(("unknown", "unclear"))
    ),
    "quote_absent": lambda inspected: (
        f"claim {citation.claim}: its source {citation.where} does not say {citation.quote!r}"
        for citation in inspected.citations
        if citation.found == "absent"
    ),
    "no_claim": lambda inspected: iter(
        () if inspected.has_claims else ["the release publishes no number that a rerun could test"]
    ),
}
"""A finding's kind: the messages of everything that is wrong."""


def findings_of(inspected: Inspected) -> tuple[Finding, ...]:
    """Everything that the checks find."""
    found = ((kind, message) for kind, check in CHECKS.items() for message in check(inspected))
    return tuple(Finding(stage="inspect", kind=kind, message=message) for kind, message in found)
