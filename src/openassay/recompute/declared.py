"""What is wrong with a recomputation as a target declares it, as far as no published file is needed to see it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from openassay.core.tiers import Recomputation, Selection
from openassay.faults import BadInput
from openassay.recompute.expressions import parse_expression

KINDS = ("key", "constant", "argument", "words", "table")


def check_recomputation(of: Recomputation, artifacts: Mapping[str, object], key: str) -> Iterator[str]:
    """All that is wrong with a recomputation, one line each. key: where it stands in the target file."""
    asked: dict[str, frozenset[str]] = {}
    for name, text in (("value", of.value), ("control", of.control)):
        try:
            expression = parse_expression(text, f"{key}.{name}")
        except BadInput as problem:
            yield str(problem)
            asked |= {other: asked.get(other, frozenset()) for other in of.numbers}
            continue
        asked |= {other: asked.get(other, frozenset()) | columns for other, columns in expression.uses.items()}
        for unknown in sorted(set(expression.uses) - set(of.numbers)):
            yield f"{key}.{name}: nothing is called {unknown!r}; numbers has {', '.join(of.numbers) or 'none'}"
    for name, selection in of.numbers.items():
        at = f"{key}.numbers.{name}"
        if not name.isidentifier():
            yield f"{at}: expected a name of letters, digits and _, found {name!r}"
        elif name not in asked:
            yield f"{at}: no expression uses it; remove it"
        if selection.artifact not in artifacts:
            yield f"{at}.artifact: there is no artifact {selection.artifact!r}; there are: {', '.join(artifacts) or 'none'}"
        yield from check_selection(selection, at)
        yield from (
            f"{key}.value: {problem}" for problem in check_columns(selection, name, asked.get(name, frozenset()))
        )
    if "".join(of.value.split()) == "".join(of.control.split()):
        yield f"{key}.control: it is the value itself; change one thing in it that must show"
    if not of.control_is.strip():
        yield f"{key}.control_is: missing; say what the control changes"


def check_selection(of: Selection, key: str) -> Iterator[str]:
    """All that is wrong with a selection, one line each. key: where it stands in the target file."""
    given = [kind for kind in KINDS if getattr(of, kind) is not None]
    if len(given) != 1:
        yield f"{key}: expected one of {', '.join(KINDS)}, found {', '.join(given) or 'none'}"
    if of.words is not None and of.words.count("{}") != 1:
        yield f"{key}.words: expected {{}} once, where the number stands, found {of.words[:60]!r}"
    if of.table is not None and not of.table:
        yield f"{key}.table: expected a column at least, by which the table is found"
    only_tables = {"column": of.column, "row": of.row, "without": of.without, "by": of.by}
    if of.table is None and (odd := [name for name, value in only_tables.items() if value]):
        yield f"{key}.{odd[0]}: it goes with table"
    if of.argument is not None and of.argument.count(".") != 1:
        yield f"{key}.argument: expected callee.keyword, found {of.argument!r}"
    if of.rounding is not None and not 0 < of.rounding < 1e150:
        yield f"{key}.rounding: expected a number above 0, found {of.rounding}"


def check_columns(of: Selection, name: str, columns: frozenset[str]) -> Iterator[str]:
    """All that is wrong with the columns that expressions ask of a selection, one line each."""
    if of.table is not None and of.column is None:
        yield from (
            f"{name}: name a column of the table, such as {name}[{head!r}]" for head in of.table[:1] if "" in columns
        )
    elif of.key is None:
        yield from (f"{name} is one number a row, and has no column {column!r}" for column in sorted(columns - {""}))
