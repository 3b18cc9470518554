"""Recomputes claims from published files: selections read the numbers, expressions compute with them, nothing is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from openassay.core.findings import Computed, NumberRead, Recomputed
from openassay.core.recomputation import Recomputation
from openassay.faults import BadInput, printable
from openassay.published.files import PublishedFiles
from openassay.published.read import read_release
from openassay.recompute.expressions import Calculator, Expression, Rows, parse_expression
from openassay.recompute.selections import check_selection, pattern_of, select


def check_recomputation(of: Recomputation, artifacts: Mapping[str, object], key: str) -> Iterator[str]:
    """All that is wrong with a recomputation, one line each. key: where it stands in the target file."""
    used: set[str] = set()
    for name, text in (("value", of.value), ("control", of.control)):
        try:
            expression = parse_expression(text, f"{key}.{name}")
        except BadInput as problem:
            yield str(problem)
            used |= set(of.numbers)
            continue
        used |= set(expression.uses)
        for unknown in sorted(set(expression.uses) - set(of.numbers)):
            yield f"{key}.{name}: nothing is called {unknown!r}; numbers has {', '.join(of.numbers) or 'none'}"
    for name, selection in of.numbers.items():
        at = f"{key}.numbers.{name}"
        if not name.isidentifier():
            yield f"{at}: expected a name of letters, digits and _, found {name!r}"
        elif name not in used:
            yield f"{at}: no expression uses it; remove it"
        if selection.artifact not in artifacts:
            yield f"{at}.artifact: there is no artifact {selection.artifact!r}; there are: {', '.join(artifacts) or 'none'}"
        yield from check_selection(selection, at)
    if "".join(of.value.split()) == "".join(of.control.split()):
        yield f"{key}.control: it is the value itself; change one thing in it that must show"
    if not of.control_is.strip():
        yield f"{key}.control_is: missing; say what the control changes"


def recompute(declared: Mapping[str, Recomputation], roots: Mapping[str, Path]) -> tuple[Recomputed, ...]:
    """What follows from the published files for each claim. roots: the artifacts' folders, of those that could be fetched.

    Of each artifact only the files that a selection names are read, once.
    """
    paths: dict[str, set[str]] = {}
    for of in declared.values():
        for selection in of.numbers.values():
            paths.setdefault(selection.artifact, set()).add(selection.path)
    releases = {name: _read(name, roots[name], globs) for name, globs in paths.items() if name in roots}
    return tuple(_recompute(claim, of, releases) for claim, of in declared.items())


def _read(name: str, root: Path, globs: set[str]) -> PublishedFiles:
    patterns = [pattern_of(glob) for glob in globs]
    return read_release(root, name=name, only=lambda path: any(of.match(path) for of in patterns))


def _recompute(claim: str, of: Recomputation, releases: Mapping[str, PublishedFiles]) -> Recomputed:
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
            numbers.append(read)
        calculator = Calculator(sources)
        value = _computed(calculator, wanted)
        notes = tuple(dict.fromkeys(calculator.notes))
        control = _computed(calculator, broken)
        problem = ""
    except BadInput as why:
        problem = printable(str(why))
    value = None if problem else value
    return Recomputed(claim=claim, value=value, control=control, numbers=tuple(numbers), problem=problem, notes=notes)


def _computed(calculator: Calculator, expression: Expression) -> Computed:
    found = calculator.compute(expression)
    return Computed(
        expression=expression.text.strip(),
        value=float(found.value[0]),
        low=float(found.low[0]),
        high=float(found.high[0]),
    )
