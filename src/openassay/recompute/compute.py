"""Computes claims from published files: selections read the numbers, expressions compute with them, nothing is run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from openassay.core.claims import Citation
from openassay.core.findings import Computed, NumberRead, Recomputed
from openassay.core.tiers import Recomputation
from openassay.faults import BadInput, printable
from openassay.published.files import PublishedFiles
from openassay.published.read import read_release
from openassay.recompute.expressions import Calculator, Expression, Rows, parse_expression
from openassay.recompute.selections import pattern_of, select


def recompute(
    declared: Mapping[str, Recomputation], citations: Mapping[str, Citation], roots: Mapping[str, Path]
) -> tuple[Recomputed, ...]:
    """What follows from the published files for each claim. roots: the artifacts' folders, of those that could be fetched.

    Of each artifact only the files that a selection names are read, once.
    """
    paths: dict[str, set[str]] = {}
    for of in declared.values():
        for selection in of.numbers.values():
            paths.setdefault(selection.artifact, set()).add(selection.path)
    releases = {name: _read(name, roots[name], globs) for name, globs in paths.items() if name in roots}
    return tuple(_recompute(claim, of, citations[claim], releases, roots) for claim, of in declared.items())


def _read(name: str, root: Path, globs: set[str]) -> PublishedFiles:
    patterns = [pattern_of(glob) for glob in globs]
    return read_release(root, name=name, only=lambda path: any(of.match(path) for of in patterns))


def _recompute(
    claim: str, of: Recomputation, cited: Citation, releases: Mapping[str, PublishedFiles], roots: Mapping[str, Path]
) -> Recomputed:
    numbers: list[NumberRead] = []
    value = control = None
    notes: tuple[str, ...] = ()
    try:
        wanted, broken = parse_expression(of.value, "value"), parse_expression(of.control, "control")
        sources: dict[str, Rows] = {}
        for name, selection in of.numbers.items():
            if selection.artifact not in releases:
                raise BadInput(f"the artifact {selection.artifact} could not be fetched")
            columns = wanted.uses.get(name, frozenset()) | broken.uses.get(name, frozenset())
            sources[name], read = select(name, selection, columns, releases[selection.artifact])
            at_citation = _stands_at(cited, selection.artifact, read, roots[selection.artifact])
            numbers.append(replace(read, at_citation=at_citation))
        calculator = Calculator(sources)
        value = _computed(calculator, wanted)
        notes = tuple(dict.fromkeys(calculator.notes))
        control = _computed(calculator, broken)
        problem = ""
    except BadInput as why:
        problem = printable(str(why))
    value = None if problem else value
    return Recomputed(claim=claim, value=value, control=control, numbers=tuple(numbers), problem=problem, notes=notes)


def _stands_at(cited: Citation, artifact: str, read: NumberRead, root: Path) -> bool:
    """Whether a number was read where the claim is cited."""
    place = read.places[0]
    if cited.artifact != artifact or not cited.quote or place.line is None:
        return False
    text = (root / place.path).read_text(encoding="utf-8", errors="replace")
    for found in re.finditer(r"\s+".join(map(re.escape, cited.quote.split())), text):
        first, last = (text.count("\n", 0, at) + 1 for at in found.span())
        if first - 1 <= place.line <= last:  # a row of HTML begins a line above its cells
            return True
    return False


def _computed(calculator: Calculator, expression: Expression) -> Computed:
    found = calculator.compute(expression)
    return Computed(
        expression=expression.text.strip(),
        value=float(found.value[0]),
        low=float(found.low[0]),
        high=float(found.high[0]),
    )
