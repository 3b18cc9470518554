"""The numbers that a target selects in published files, through the one reader of these files."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from openassay.core.findings import Excerpt, NumberRead
from openassay.core.tiers import Selection
from openassay.faults import BadInput, printable
from openassay.published.files import Config, PublishedFiles, PublishedTable, Row, excerpt
from openassay.published.recipes.constants import constants_of, fixed_constants, plain_number
from openassay.published.scalars import as_number, number
from openassay.published.tables import tables_of
from openassay.recompute.declared import KINDS, check_columns
from openassay.recompute.expressions import Numbers, Rows

MOST = 2_000_000
"""Numbers of one selection."""
_SHOWN = 3

_SCALES = {
    "k": 1e3,
    "K": 1e3,
    "M": 1e6,
    "B": 1e9,
    "T": 1e12,
    "thousand": 1e3,
    "million": 1e6,
    "billion": 1e9,
    "trillion": 1e12,
}
_FOOTNOTE = re.compile(r"(\[\^?\w{1,3}\]|[†‡§¶*])+$|<sup>[^<>\d+−-]*</sup>$")
_PRINTED = re.compile(r"(?P<digits>.+?)\s*(?P<scale>k|K|M|B|T|thousand|million|billion|trillion)?\s*%?")


@dataclass(frozen=True)
class _Found:
    """One row of numbers with its label and place."""

    label: str
    columns: Mapping[str, tuple[float, float]]
    """By column, the number and half its rounding; the empty name where there is only one."""
    place: Excerpt


def printed_number(text: str) -> tuple[float, float] | None:
    """A number as people print it, and half the unit of its last digit; None for anything else.

    `1,720,320` and `64` are exact; `31.22`, `6.7B` and `2.0T` are rounded. Emphasis, a per cent sign and marks of footnotes are
    passed over; `15T+`, `~7B` and a raised digit, which may be an exponent, are no numbers.
    """
    plain = _FOOTNOTE.sub("", text.strip().strip("*`_$ ")).strip().strip("*`_$ ")
    found = _PRINTED.fullmatch(plain)
    value = number(found["digits"]) if found else None
    if found is None or value is None:
        return None
    scale = _SCALES[found["scale"]] if found["scale"] else 1.0
    digits = re.fullmatch(r"[-+−]?[\d,_\s]*\.?\d*", found["digits"].strip())
    decimals = len(found["digits"].strip().partition(".")[2]) if digits else 0
    if not digits:
        exponent = Decimal(repr(value)).normalize().as_tuple().exponent
        return value * scale, 0.5 * 10.0 ** int(exponent) * scale
    return value * scale, 0.5 * 10.0**-decimals * scale if decimals or found["scale"] else 0.0


def select(name: str, of: Selection, columns: frozenset[str], release: PublishedFiles) -> tuple[Rows, NumberRead]:
    """The numbers of a selection, by column, and where they were read; `BadInput` names file and place of what is amiss.

    columns: those that the expressions ask for.
    """
    for problem in check_columns(of, name, columns):
        raise BadInput(problem)
    pattern = pattern_of(of.path)
    matched = {file.path: match.groups() for file in release.files if (match := pattern.match(file.path))}
    where = f"{of.artifact}: {of.path}"
    if not matched:
        raise BadInput(f"{where}: expected a file of this name, found none")
    for path in sorted(matched):
        if why := release.unreadable.get(path):
            raise BadInput(f"{of.artifact}: {path}: expected a file that can be read, found: {why}")
    found = list(_READERS[_kind(of)](of, matched, columns, release))
    if len(found) > MOST:
        raise BadInput(f"{where}: expected at most {MOST} numbers, found {len(found)}")
    if not found:
        raise BadInput(f"{where}: expected {_wanted(of)}, found none")
    single = not _is_many(of) and len(matched) == 1
    labels = None if single else tuple(one.label for one in found)
    if labels is None and len(found) > 1:
        places = ", ".join(f"{one.place.path}:{one.place.line}" for one in found[:_SHOWN])
        raise BadInput(f"{where}: expected {_wanted(of)} in one place, found {len(found)} that differ: {places}")
    rows = {}
    for column in columns:
        values = np.array([one.columns[column] for one in found])
        halves = values[:, 1] if of.rounding is None else np.full(len(found), of.rounding / 2)
        rows[column] = Numbers(value=values[:, 0], low=values[:, 0] - halves, high=values[:, 0] + halves, labels=labels)
    files = len({one.place.path for one in found})
    first = tuple(one.place for one in found[:_SHOWN])
    value = float(rows[""].value[0]) if labels is None and "" in rows else None
    return rows, NumberRead(
        name=name, value=value, count=len(found), num_files=files, places=first, at_citation=False
    )  # fmt: skip


def _kind(of: Selection) -> str:
    """Where in its file a selection looks, of `KINDS`."""
    return next(kind for kind in KINDS if getattr(of, kind) is not None)


def _is_many(of: Selection) -> bool:
    return "*" in _parts(of) or (of.table is not None and of.row is None)


def _wanted(of: Selection) -> str:
    if of.table is not None:
        with_row = f" and a row with {', '.join(map(repr, of.row))}" if of.row else ""
        return f"a table with the columns {', '.join(map(repr, (*of.table, *([of.column] if of.column else []))))}{with_row}"
    what = getattr(of, _kind(of))
    return f"a number at the {_kind(of)} {what if isinstance(what, str) else '.'.join(what)!r}"


def pattern_of(glob: str) -> re.Pattern[str]:
    """A glob of whole paths as a regular expression, to be matched at their start, with a group for each wildcard."""
    pieces = (
        "(.*)" if part == "**" else "([^/]*)" if part == "*" else "([^/])" if part == "?" else re.escape(part)
        for part in re.split(r"(\*\*|\*|\?)", glob)
    )  # fmt: skip
    return re.compile("".join(pieces) + r"\Z")


def _parts(of: Selection) -> tuple[str, ...]:
    if of.key is None:
        return ()
    return tuple(of.key.split(".")) if isinstance(of.key, str) else of.key


_Matched = Mapping[str, tuple[str, ...]]
"""Of each file, what the wildcards stand for."""


def _by_key(of: Selection, matched: _Matched, columns: frozenset[str], release: PublishedFiles) -> Iterator[_Found]:
    by_path, parts = {config.path: config for config in release.configs}, _parts(of)
    for path, wild in matched.items():
        if path not in by_path:
            raise BadInput(f"{of.artifact}: {path}: expected settings or results (YAML, JSON, TOML, gin), found none")
        config = by_path[path]
        there = list(_below(config.document, parts, ()))
        if not there and "*" not in parts:
            at = ".".join(parts)
            raise BadInput(
                f"{of.artifact}: {path}: expected a value at the key {at!r}, found none{_near(config, parts)}"
            )
        for keys, value in there:
            numbers = {}
            for column in columns:
                one = value.get(column) if column and isinstance(value, dict) else None if column else value
                if (read := as_number(one)) is not None:
                    numbers[column] = (read, 0.0)
            stars = [key for key, part in zip(keys, parts, strict=True) if part == "*"]
            at = ".".join(keys)
            stated = config.by_key.get(at)
            place = stated.seen() if stated else excerpt(path, at[:200], printable(repr(value))[:100])
            if len(numbers) == len(columns):
                yield _Found("/".join([*wild, *stars]), numbers, place)
            elif "*" not in parts:
                shown = printable(repr(value))[:60]
                raise BadInput(f"{of.artifact}: {path}: expected a number at the key {at!r}, found {shown}")


def _below(value: object, parts: tuple[str, ...], keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    if not parts:
        yield keys, value
        return
    part, rest = parts[0], parts[1:]
    if isinstance(value, list):
        value = {str(i): item for i, item in enumerate(value)}
    inside = value if isinstance(value, dict) else {}
    for name in inside if part == "*" else [part]:
        if name in inside:
            yield from _below(inside[name], rest, (*keys, str(name)))


def _near(config: Config, parts: tuple[str, ...]) -> str:
    like = [value.key for value in config.values if value.leaf == parts[-1]][:_SHOWN]
    return f"; there is {', '.join(like)}" if like else ""


def _by_code(of: Selection, matched: _Matched, _columns: frozenset[str], release: PublishedFiles) -> Iterator[_Found]:
    for path, wild in matched.items():
        if path not in release.code_by_path:
            raise BadInput(f"{of.artifact}: {path}: expected Python, found something else")
        tree = release.code_by_path[path].tree
        given = list((_constants if of.constant else _arguments)(of, tree, path))
        if not given:
            raise BadInput(f"{of.artifact}: {path}: expected {_wanted(of)}, found none")
        line, text, value = given[0]
        if value is None or any(other != value for _, _, other in given):
            shown = ", ".join(f"{text} (line {line})" for line, text, _ in given[:_SHOWN])
            raise BadInput(
                f"{of.artifact}: {path}: expected one plain number for {of.constant or of.argument}, found {shown}"
            )
        yield _Found("/".join(wild), {"": (value, 0.0)}, excerpt(path, of.constant or of.argument or "", text, line))


def _constants(of: Selection, tree: ast.Module, path: str) -> Iterator[tuple[int, str, float | None]]:
    owner, _, name = (of.constant or "").rpartition(".")
    if owner:
        known = constants_of(tree, path)
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name == owner:
                inside = constants_of(ast.Module(body=node.body, type_ignores=[]), path)
                if name in inside:
                    yield inside[name].line, inside[name].raw, as_number((known | inside)[name].value)
        return
    found = fixed_constants(tree, path).get(name)
    if found is not None:
        yield found.line, found.raw, as_number(found.value)


def _arguments(of: Selection, tree: ast.Module, path: str) -> Iterator[tuple[int, str, float | None]]:
    callee, _, keyword = (of.argument or "").partition(".")
    known = fixed_constants(tree, path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and callee == getattr(node.func, "id", getattr(node.func, "attr", None)):
            for given in node.keywords:
                if given.arg == keyword:
                    yield given.value.lineno, ast.unparse(given.value)[:100], plain_number(given.value, known)


def _by_words(of: Selection, matched: _Matched, _columns: frozenset[str], release: PublishedFiles) -> Iterator[_Found]:
    before, _, after = (of.words or "").partition("{}")
    pieces = [r"\s+".join(map(re.escape, part.split())) for part in (before, after)]
    gap = [r"\s+" if part[-1:].isspace() else r"" for part in (before, after[:1])]
    one = r"([-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?)"
    # where no words bound it, nothing may that could belong to the number
    bounds = ("" if before.strip() else r"(?<![\w.,])", "" if after.strip() else r"(?![\w+%]|[.,]\d)")
    pattern = re.compile(pieces[0] + gap[0] + bounds[0] + one + bounds[1] + gap[1] + pieces[1])
    texts = {text.path: text for text in release.texts}
    for path, wild in matched.items():
        if path not in texts:
            raise BadInput(f"{of.artifact}: {path}: expected a document, found something else")
        whole = "\n".join(texts[path].lines)
        found = list(pattern.finditer(whole))
        if not found:
            raise BadInput(f"{of.artifact}: {path}: expected the words {of.words!r} with a number, found none")
        if len({match[1] for match in found}) > 1:
            shown = ", ".join(match[1] for match in found[:_SHOWN])
            raise BadInput(f"{of.artifact}: {path}: expected one number in the words {of.words!r}, found {shown}")
        value = printed_number(found[0][1])
        assert value is not None  # noqa: S101 - the pattern is one of numbers
        line = whole.count("\n", 0, found[0].start(1)) + 1
        yield _Found("/".join(wild), {"": value}, texts[path].seen(line))


def _by_table(of: Selection, matched: _Matched, columns: frozenset[str], release: PublishedFiles) -> Iterator[_Found]:
    texts = {text.path: text for text in release.texts}
    listed: dict[str, list[PublishedTable]] = {}
    for each in release.tables:
        listed.setdefault(each.path, []).append(each)
    needed = (*(of.table or ()), *([of.column] if of.column else sorted(columns)), *of.by)
    for path, wild in matched.items():
        tables = listed.get(path) or (tables_of(texts[path]) if path in texts else [])
        fitting = [
            table for table in tables if all([*map(_cell, table.columns)].count(_cell(head)) == 1 for head in needed)
        ]
        chosen = [(table, rows) for table in fitting if (rows := _rows(of, table))]
        if not chosen:
            heads = (
                "; ".join(" | ".join(_cell(head) for head in table.columns)[:80] for table in tables[:_SHOWN])
                or "no table"
            )
            raise BadInput(f"{of.artifact}: {path}: expected {_wanted(of)}, found {heads}")
        if len(chosen) > 1 or (of.row is not None and len(chosen[0][1]) > 1):
            lines = ", ".join(str(row.line) for _, rows in chosen for row in rows[:1] + rows[1:][:_SHOWN])
            todo = "name more of its columns or cells"
            raise BadInput(f"{of.artifact}: {path}: expected {_wanted(of)} once, found it at the lines {lines}; {todo}")
        table, rows = chosen[0]
        at = {_cell(head): i for i, head in enumerate(table.columns)}
        for row in rows:
            yield _in_table(of, table, row, at, columns, wild)


def _in_table(
    of: Selection,
    table: PublishedTable,
    row: Row,
    at: Mapping[str, int],
    columns: frozenset[str],
    wild: tuple[str, ...],
) -> _Found:
    numbers = {}
    for column in columns:
        cell = row.cells[at[_cell(column or of.column or "")]]
        if (value := printed_number(cell)) is None:
            where = f"{of.artifact}: {table.path}:{row.line}, column {column or of.column!r}"
            raise BadInput(f"{where}: expected a number, found {printable(cell.strip())[:60]!r}")
        numbers[column] = value
    label = [_cell(row.cells[at[_cell(name)]]) for name in of.by] or [_cell(row.cells[0])]
    return _Found("/".join([*wild, *label]), numbers, table.seen(row, at[_cell(of.column)] if of.column else None))


def _rows(of: Selection, table: PublishedTable) -> list[Row]:
    """The rows that are meant."""
    wanted, left_out = set(map(_cell, of.row or ())), set(map(_cell, of.without))
    cells = [(row, set(map(_cell, row.cells))) for row in table.rows]
    return [row for row, there in cells if wanted <= there and not left_out & there]


def _cell(text: str) -> str:
    """A cell's words without emphasis, whatever their white space."""
    return " ".join(text.replace("**", "").replace("`", "").split()).strip("*_ ")


_Reader = Callable[[Selection, _Matched, frozenset[str], PublishedFiles], Iterable[_Found]]
_READERS: dict[str, _Reader] = {
    "key": _by_key, "constant": _by_code, "argument": _by_code, "words": _by_words, "table": _by_table,
}  # fmt: skip
