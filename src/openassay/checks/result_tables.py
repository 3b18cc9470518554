"""Tables of results in documents against themselves and against the same table in another document."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations

from openassay.checks.arithmetic import quantity
from openassay.checks.check import Agreement, Contradiction, Seen, check, compared
from openassay.published.files import PublishedFiles, PublishedTable, Row, derived_once
from openassay.published.scalars import number
from openassay.published.stated import canonical_header, documents, is_aside
from openassay.published.tables import tables_of

_MARKS = re.compile(r"\[([^\]]*)\]\([^)]*\)|[*`_]|<[^>]+>")
MIN_EQUAL = 6
"""Numbers that two different models do not share by chance."""


@derived_once
def _measured_tables(release: PublishedFiles) -> list[PublishedTable]:
    """The tables of documents, and small ones in files, of which no column is a setting and most cells are decimal fractions."""
    texts = (table for text in release.texts if not is_aside(text.path) for table in tables_of(text))
    small = (table for table in release.tables if not is_aside(table.path) and len(table.rows) <= 500)
    return [table for table in (*texts, *small) if _is_measured(table)]


def _is_measured(table: PublishedTable) -> bool:
    if any(canonical_header(column) for column in table.columns) or len(table.columns) < 3:
        return False
    cells = [cell for row in table.rows for cell in row.cells[1:]]
    return sum("." in cell and _number(cell) is not None for cell in cells) > 0.5 * len(cells)


def _plain(words: str) -> str:
    return _MARKS.sub(lambda found: found.group(1) or "", words).strip().lower()


def _number(cell: str) -> float | None:
    return number(_plain(cell).rstrip("% "))


@check(needs="a table with results of several models, at least six of each")
def models_of_equal_results(release: PublishedFiles) -> Iterator[Seen]:
    """{table.path}: {first} (line {one.line}) and {second} (line {two.line}) have the same {count} results in every digit"""
    for table in _measured_tables(release):
        by_values: dict[tuple[float, ...], list[Row]] = defaultdict(list)
        for row in table.rows:
            values = [value for cell in row.cells[1:] if "." in cell and (value := _number(cell)) is not None]
            if len({*values}) >= MIN_EQUAL:
                by_values[tuple(values)].append(row)
        alike = [
            (one, of[-1], len(values)) for values, of in by_values.items() for one in of[:1] if _are_others(one, of[-1])
        ]
        for one, two, count in alike:
            first, second = one.cells[0].strip(), two.cells[0].strip()
            given = {"table": table, "one": one, "two": two, "count": count}
            yield Contradiction(table.seen(one), table.seen(two), first=first, second=second, **given)
        if len(by_values) >= 2 and not alike:
            yield Agreement(*(table.seen(of[0]) for of in [*by_values.values()][:2]))


def _are_others(one: Row, two: Row) -> bool:
    """True for two labels of which neither has all the words of the other (`X` and `X (ours)` may be one model)."""
    first, second = ({*re.findall(r"[a-z0-9.]+", _plain(row.cells[0]))} for row in (one, two))
    return bool(first and second) and not (first <= second or second <= first)


@check(needs="one table of results in two documents: the same rows and columns, most of them with the same numbers")
def documents_differ_in_results(release: PublishedFiles) -> Iterator[Seen]:
    """{column} of {label} is {first} in {one.path} and {second} in {two.path}, where the tables agree in {count} other numbers"""
    tables = [table for table in _measured_tables(release) if len(table.rows) <= 200][:200]
    for one, two in combinations(tables, 2):
        if one.path == two.path or len(shared := {*one.columns[1:]} & {*two.columns[1:]} - {""}) < 2:
            continue
        pairs = [*_shared_cells(one, two, shared)]
        differ = [pair for pair in pairs if pair[1] != pair[3]]
        count = len(pairs) - len(differ)
        if count < MIN_EQUAL or len(differ) > 0.2 * len(pairs):
            continue  # other results, not a copy
        for row, _, other, _, i, j in differ or pairs[:1]:
            first, second = row.cells[i].strip(), other.cells[j].strip()
            values = {"column": one.columns[i].strip(), "label": row.cells[0].strip(), "first": first, "second": second}
            yield compared(not differ, one.seen(row, i), two.seen(other, j), one=one, two=two, count=count, **values)


def _shared_cells(
    one: PublishedTable, two: PublishedTable, shared: set[str]
) -> Iterator[tuple[Row, float, Row, float, int, int]]:
    """The numbers of the rows and columns that both tables have once, in the digits of the shorter."""
    rows = {_plain(row.cells[0]): row for row in two.rows}
    if len(rows) != len(two.rows) or len({_plain(row.cells[0]) for row in one.rows}) != len(one.rows):
        return
    columns = [(one.columns.index(name), two.columns.index(name)) for name in one.columns[1:] if name in shared]
    for row in one.rows:
        if (other := rows.get(_plain(row.cells[0]))) is None:
            continue
        for i, j in columns:
            first, second = _number(row.cells[i]), _number(other.cells[j])
            if first is not None and second is not None:
                digits = min(
                    len(_plain(cell).rstrip("% ").partition(".")[2]) for cell in (row.cells[i], other.cells[j])
                )
                is_same = abs(first - second) <= 0.51 * 10.0**-digits
                yield row, first, other, first if is_same else second, i, j


MIN_SIZES = 3
"""Models of the same size in two documents, from which on a table is taken for the other's copy."""


@check(needs="tables of two documents with the number of parameters of the same models")
def size_stated_twice(release: PublishedFiles) -> Iterator[Seen]:
    """{label} has {first} parameters in {one.path} and {second} in {two.path}"""
    sized = [
        (table, columns[0]) for text in documents(release) for table in tables_of(text)
        if len(columns := [i for i, of in enumerate(table.columns) if i and _PARAMETERS.match(_plain(of))]) == 1
    ][:100]  # fmt: skip
    for (one, i), (two, j) in combinations(sized, 2):
        rows = {_plain(row.cells[0]): row for row in two.rows}
        if one.path == two.path or len(rows) != len(two.rows):
            continue
        pairs = [(row, other) for row in one.rows if (other := rows.get(_plain(row.cells[0])))]
        sizes = [(row, other, quantity(row.cells[i]), quantity(other.cells[j])) for row, other in pairs]
        known = [(row, other, a, b) for row, other, a, b in sizes if a is not None and b is not None]
        differ = [(row, other) for row, other, a, b in known if abs(a[0] - b[0]) > a[1] + b[1]]
        if len(known) - len(differ) < max(MIN_SIZES, 2 * len(differ)):
            continue
        for row, other in differ or [known[0][:2]]:
            first, second = row.cells[i].strip(), other.cells[j].strip()
            values = {"label": _plain(row.cells[0]), "first": first, "second": second, "one": one, "two": two}
            yield compared(not differ, one.seen(row, i), two.seen(other, j), **values)


_PARAMETERS = re.compile(r"(#|num(ber)? of|no\.?|total)?\s*param(eter)?s?\b")
