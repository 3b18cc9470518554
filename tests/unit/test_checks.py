"""Each check finds what it is for, and nothing in a sound release."""

from __future__ import annotations

from typing import Any

import pytest

from openassay.checks import CHECKS, Inspected, findings_of
from openassay.core.findings import CitationFound, ComponentDetected, ComponentFound, FileSeen


def component(**changes: Any) -> ComponentFound:
    sound = {
        "component": "recipe",
        "published": "yes",
        "licence": "MIT",
        "found": "found",
        "evidence": ("a.py",),
        "where": None,
        "note": None,
    }
    return ComponentFound(**(sound | changes))


def inspected(
    *components: ComponentFound,
    quote: str = "found",
    has_claims: bool = True,
    detected: tuple[ComponentDetected, ...] = (),
) -> Inspected:
    citation = CitationFound(claim="c", found=quote, quote="68 %", where="README")  # type: ignore[arg-type]
    return Inspected(components=components, citations=(citation,), has_claims=has_claims, detected=detected)


def seen(declared: str | None) -> tuple[ComponentDetected, ...]:
    file = FileSeen(path="train.py", why="takes optimization steps", sha256=None, date="2026-01-01")
    return (
        ComponentDetected(
            component="training_code", declared=declared, found="found", reachable="yes", terms="", files=(file,)
        ),  # type: ignore[arg-type]
    )


CASES = [
    ("component_seen", inspected(detected=seen("no")), "declared as not published, but train.py takes optimization steps"),
    ("component_not_declared", inspected(detected=seen(None)), "not declared by the target: training_code (train.py)"),
    ("component_absent", inspected(component(found="absent", evidence=())), "recipe: declared as published, but not found"),
    ("component_undeclared", inspected(component(published="no")), "a.py is there"),
    ("component_not_published", inspected(component(published="no", found="not fetched", evidence=(), note="lost")), "recipe: not published (lost)"),
    ("component_not_fetched", inspected(component(found="not fetched", evidence=(), where="in git")), "not in any fetched artifact: in git"),
    ("licence_unknown", inspected(component(licence="unknown")), "terms that are not stated"),
    ("quote_absent", inspected(quote="absent"), "claim c: its source README does not say '68 %'"),
    ("no_claim", inspected(has_claims=False), "no number"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "release", "message"), CASES, ids=[case[0] for case in CASES])
def test_a_check_finds_what_it_is_for(kind: str, release: Inspected, message: str) -> None:
    found = findings_of(release)
    assert [finding.kind for finding in found] == [kind]
    assert message in found[0].message


def test_every_check_has_a_case() -> None:
    assert set(CHECKS) == {case[0] for case in CASES}


def test_a_sound_release_has_no_findings() -> None:
    assert findings_of(inspected(component(), detected=seen("yes"))) == ()


def test_braces_in_a_release_are_not_read_as_ours() -> None:
    release = inspected(component(found="not fetched", evidence=(), where="{evidence} {0}"))
    assert "{evidence} {0}" in findings_of(release)[0].message
