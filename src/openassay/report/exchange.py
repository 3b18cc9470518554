"""Findings and verdicts in the formats of other programs: SARIF for code scanning, JUnit for CI."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote
from xml.etree import ElementTree

from openassay import __version__
from openassay.checks.inspection import Inspection, place
from openassay.core.findings import CheckAnswer, Excerpt, Problem
from openassay.faults import printable

SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVELS = {"fail": "warning", "noted": "note"}
"""Of SARIF; never `error`: two published places disagree, and only a person can say which is wrong."""


def to_sarif(seen: Inspection, prefix: str = "") -> str:
    """The contradictions and notes as SARIF 2.1.0. prefix: the inspected folder, from where the places are to be read."""
    asked = [check for check in seen.checks if check.outcome != "cannot be asked"]
    rules = [
        {"id": check.check, "shortDescription": {"text": _plain(check.check.replace("_", " "))}} for check in asked
    ]
    problems = [(number, check, of) for number, check in enumerate(asked) for of in check.problems]
    results = [_result(check, number, of, prefix) for number, check, of in problems if _places(of)]
    said = [
        f"{check.check}: {of.message}" for _, check, of in problems if not _places(of)
    ]  # readers refuse one without a place
    said += [f"not read: {path}: {why}" for path, why in sorted(seen.unreadable.items())]
    notes = [{"level": "note", "message": {"text": _plain(words)}} for words in said]
    run = {
        "tool": {"driver": {"name": "OpenAssay", "semanticVersion": __version__, "rules": rules}},
        "automationDetails": {"id": f"openassay/inspect/{_plain(seen.name)}"},
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": notes}],
        "results": results,
    }
    return json.dumps({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _result(check: CheckAnswer, number: int, problem: Problem, prefix: str) -> dict[str, Any]:
    places = _places(problem)
    message = re.sub(r":\d+", "", problem.message)  # lines move, the finding stays
    known_by = "|".join([check.check, message, *(of.path for of in places)])
    return {
        "ruleId": check.check, "ruleIndex": number, "level": LEVELS.get(check.outcome, "none"),
        "message": {"text": _plain(problem.message)},
        "locations": [_location(of, prefix) for of in places[:1]],
        "relatedLocations": [
            _location(of, prefix) | {"id": i, "message": {"text": _plain(": ".join(filter(None, (of.key, of.value)))) or "here"}}
            for i, of in enumerate(places[1:], start=1)
        ],
        "partialFingerprints": {"openassay/v1": hashlib.sha256(known_by.encode("utf-8", "replace")).hexdigest()},
    }  # fmt: skip


def _places(problem: Problem) -> list[Excerpt]:
    return [of for of in problem.evidence if of.path]


def _location(of: Excerpt, prefix: str) -> dict[str, Any]:
    region = {"region": {"startLine": of.line}} if of.line else {}
    uri = quote(f"{prefix}{of.path}".encode("utf-8", "replace"))
    return {"physicalLocation": {"artifactLocation": {"uri": uri}} | region}


@dataclass(frozen=True, kw_only=True)
class JunitCase:
    """One test of a JUnit report."""

    name: str
    outcome: Literal["pass", "fail", "skipped"]
    said: str
    """The message of one that failed or was skipped; what else is to be known of one that passed."""


def to_junit(suite: str, cases: Iterable[JunitCase]) -> str:
    """Tests as JUnit XML, which most CI servers read."""
    cases = list(cases)
    counts = {
        "tests": str(len(cases)), "failures": str(sum(of.outcome == "fail" for of in cases)), "errors": "0",
        "skipped": str(sum(of.outcome == "skipped" for of in cases)),
    }  # fmt: skip
    top = ElementTree.Element("testsuites", counts)
    inner = ElementTree.SubElement(top, "testsuite", {"name": _plain(suite), **counts})
    for of in cases:
        case = ElementTree.SubElement(inner, "testcase", {"classname": "openassay", "name": _plain(of.name)})
        if of.outcome == "pass":
            if of.said:
                ElementTree.SubElement(case, "system-out").text = _plain(of.said)
            continue
        kind = "failure" if of.outcome == "fail" else "skipped"
        ElementTree.SubElement(case, kind, {"message": _plain(of.said.partition("\n")[0])}).text = _plain(of.said)
    ElementTree.indent(top)
    return ElementTree.tostring(top, encoding="unicode", xml_declaration=True) + "\n"


def cases_of(seen: Inspection) -> list[JunitCase]:
    """Each check as a test: it fails where it found something, and is skipped where it could not be asked."""
    cases = []
    for check in seen.checks:
        lines = []
        for problem in check.problems:
            places = "; ".join(dict.fromkeys(map(place, problem.evidence)))
            lines.append(f"{problem.message} ({places})" if places else problem.message)
        outcome: Literal["pass", "fail", "skipped"] = (
            "fail" if check.outcome == "fail" else "skipped" if check.outcome == "cannot be asked" else "pass"
        )
        cases.append(JunitCase(name=check.check, outcome=outcome, said="\n".join(lines) or check.why))
    return cases


def case_of(verdict: dict[str, Any], number: int, failing: frozenset[str]) -> JunitCase:
    """A verdict of `openassay judge` as a test: it fails where it is one of `failing`, is skipped where nothing is decided.

    number: what it is called where it has no id.
    """
    names = {verdict["verdict"], verdict["why"]} - {None}
    outcome: Literal["pass", "fail", "skipped"] = (
        "fail" if names & failing else "skipped" if verdict["verdict"] == "inconclusive" else "pass"
    )
    head = verdict["verdict"].upper() + (f" · {verdict['why'].replace('_', ' ')}" if verdict["why"] else "")
    name = str(number) if verdict["id"] is None else str(verdict["id"])
    return JunitCase(name=name, outcome=outcome, said=f"{head}: {verdict['reason']}")


def _plain(text: str) -> str:
    """Words that every reader takes: without what XML forbids or a terminal obeys."""
    return printable(text, keep="\n\t")
