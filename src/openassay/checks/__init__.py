"""What is wrong with a release, as far as its own files tell? Small checks, pure on data that is already read.

Here: what the target declares, against what was found. A check is a class: its docstring is the finding's message, `find` gives
what the message's braces need, once for each thing that is wrong. To add one: the class, its name in CHECKS, a one-line test.
Whether the release's files agree with each other is asked by the checks of `registry.py`, which `check.py` explains.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from openassay.core.types import CitationFound, ComponentDetected, ComponentFound, Finding


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """What the checks look at."""

    components: tuple[ComponentFound, ...]
    citations: tuple[CitationFound, ...]
    licences: dict[str, str]
    has_claims: bool
    detected: tuple[ComponentDetected, ...] = ()


class DeclarationCheck(Protocol):
    """One question to a release."""

    @property
    def kind(self) -> str:
        """The finding's name."""
        ...

    def find(self, inspected: Inspected) -> Iterator[dict[str, Any]]:
        """What is wrong, once for each."""
        ...


class ComponentAbsent:
    """{component}: declared as published, but not found in the fetched artifact"""

    kind = "component_absent"

    def find(self, inspected: Inspected) -> Iterator[dict[str, Any]]:
        """Declared and looked for, not there."""
        for component in inspected.components:
            if component.published in {"yes", "partly"} and component.found == "absent":
                yield {"component": component.component}


class ComponentUndeclared:
    """{component}: declared as not published, but {evidence} is there"""

    kind = "component_undeclared"

    def find(self, inspected: Inspected) -> Iterator[dict[str, Any]]:
        """Declared as missing, and there."""
        for component in inspected.components:
            if component.published == "no" and component.found == "found":
                yield {"component": component.component, "evidence": component.evidence[0]}


class ComponentSeen:
    """{component}: declared as not published, but {path} {why}"""

    kind = "component_seen"

    def find(self, inspected: Inspected) -> Iterator[dict[str, Any]]:
        """The files show what the target denies."""
        told = {c.component for c in inspected.components if c.published == "no" and c.found == "found"}
        for component in inspected.detected:
            if component.found == "found" and component.declared == "no" and component.component not in told:
                seen = component.files[0]
                yield {"component": component.component, "path": seen.path, "why": seen.why}


class ComponentNotDeclared:
    """there, but not declared by the target: {components}"""

    kind = "component_not_declared"

    def find(self, inspected: Inspected) -> Iterator[dict[str, Any]]:
        """The files show what the target does not speak of."""
        seen = [
            component for component in inspected.detected if component.found == "found" and component.declared is None
        ]
        if seen:
            yield {"components": ", ".join(f"{component.component} ({component.files[0].path})" for component in seen)}


class ComponentNotPublished:
    """{component}: not published{where}"""

    kind = "component_not_published"

    def find(self, inspected: Inspected) -> Iterator[dict[str, Any]]:
        """What a skilled person would need and does not get."""
        for component in inspected.components:
            if component.published == "no" and component.found != "found":
                yield {"component": component.component, "where": f" ({component.note})" if component.note else ""}


class ComponentNotFetched:
    """{component}: declared as published, not in any fetched artifact{where}"""

    kind = "component_not_fetched"

    def find(self, inspected: Inspected) -> Iterator[dict[str, Any]]:
        """Taken on the release's word."""
        for component in inspected.components:
            if component.published in {"yes", "partly"} and component.found == "not fetched":
                yield {"component": component.component, "where": f": {component.where}" if component.where else ""}


class LicenceUnknown:
    """{component}: published, but under terms that are not stated"""

    kind = "licence_unknown"

    def find(self, inspected: Inspected) -> Iterator[dict[str, Any]]:
        """Published without known terms."""
        for component in inspected.components:
            if component.published in {"yes", "partly"} and component.licence.lower().startswith(
                ("unknown", "unclear")
            ):
                yield {"component": component.component}


class QuoteAbsent:
    """claim {claim}: its source {where} does not say {quote!r}"""

    kind = "quote_absent"

    def find(self, inspected: Inspected) -> Iterator[dict[str, Any]]:
        """The cited words do not stand where they are said to."""
        for citation in inspected.citations:
            if citation.found == "absent":
                yield {"claim": citation.claim, "where": citation.where, "quote": citation.quote}


class NoClaim:
    """the release publishes no number that a rerun could test"""

    kind = "no_claim"

    def find(self, inspected: Inspected) -> Iterator[dict[str, Any]]:
        """Nothing to compare with."""
        if not inspected.has_claims:
            yield {}


CHECKS: tuple[DeclarationCheck, ...] = (
    ComponentAbsent(),
    ComponentUndeclared(),
    ComponentSeen(),
    ComponentNotDeclared(),
    ComponentNotPublished(),
    ComponentNotFetched(),
    LicenceUnknown(),
    QuoteAbsent(),
    NoClaim(),
)


def findings_of(inspected: Inspected) -> tuple[Finding, ...]:
    """Everything that the checks find."""
    return tuple(
        Finding(stage="inspect", kind=check.kind, message=(type(check).__doc__ or "").format(**found))
        for check in CHECKS
        for found in check.find(inspected)
    )
