"""The tables of a document, in Markdown and in HTML."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from html.parser import HTMLParser

from openassay.published.files import PublishedTable, Row, Text

MAX_SPAN = 100
"""Columns or rows that one cell of an HTML table may span."""
MAX_CELLS = 100_000
"""Of a document's HTML tables."""


def tables_of(text: Text) -> list[PublishedTable]:
    """The tables of a document, each with the rows that have a cell for every column; those of Markdown first."""
    return [*_markdown(text), *_html(text)]


def _markdown(text: Text) -> Iterator[PublishedTable]:
    prose = dict(text.prose)
    for number, line in prose.items():
        rule = prose.get(number + 1, "")
        if "|" in line and "|" in rule and re.fullmatch(r"\s*\|?\s*:?-{2,}:?\s*(\|\s*:?-{2,}:?\s*)*\|?\s*", rule):
            columns = _cells(line)
            below = itertools.takewhile(lambda at: "|" in prose.get(at, ""), itertools.count(number + 2))
            rows = tuple(Row(line=at, cells=cells) for at in below if len(cells := _cells(prose[at])) == len(columns))
            yield PublishedTable(path=text.path, columns=columns, rows=rows)


def _cells(line: str) -> tuple[str, ...]:
    inside = re.sub(r"(?<!\\)\|$", "", line.strip().removeprefix("|"))  # one bar each, as an empty cell has its own
    return tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", inside))


def _html(text: Text) -> Iterator[PublishedTable]:
    prose = dict(text.prose)
    if not any("<table" in line.lower() for line in prose.values()):
        return
    reader = _TableReader()
    reader.feed("\n".join(prose.get(number, "") for number in range(1, len(text.lines) + 1)))
    reader.close()
    for rows in reader.tables:
        columns, below = rows[0].cells, [row for row in rows[1:] if len(row.cells) == len(rows[0].cells)]
        if len(columns) >= 2:
            yield PublishedTable(path=text.path, columns=columns, rows=tuple(below))


class _TableReader(HTMLParser):
    """Rows of the tables of an HTML text; a cell that spans rows or columns stands in each of them. Inner tables are left out."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[Row]] = []
        self.depth = self.left = 0
        self.cells: list[str] | None = None
        self.words: list[str] | None = None
        self.span = (1, 1)
        self.down: dict[int, tuple[str, int]] = {}
        """Cells of earlier rows that reach into this one: their column, words and rows still to come."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a table, a row or a cell."""
        if tag == "table":
            self.depth += 1
            if self.depth == 1:
                self.tables.append([])
                self.down, self.left = {}, MAX_CELLS
        elif self.depth == 1 and tag == "tr":
            self._end_row()
            self.cells, self.line = [], self.getpos()[0]
        elif self.depth == 1 and tag in {"td", "th"} and self.cells is not None:
            self._end_cell()
            given = dict(attrs)
            self.words, self.span = [], (_span(given.get("colspan")), _span(given.get("rowspan")))
        elif tag == "br" and self.words is not None:
            self.words.append(" ")

    def handle_endtag(self, tag: str) -> None:
        """End a cell, a row or a table."""
        if tag == "table" and self.depth:
            if self.depth == 1:
                self._end_row()
                if not self.tables[-1]:
                    self.tables.pop()
            self.depth -= 1
        elif self.depth == 1 and tag == "tr":
            self._end_row()
        elif self.depth == 1 and tag in {"td", "th"}:
            self._end_cell()

    def handle_data(self, data: str) -> None:
        """Take in the words of a cell."""
        if self.words is not None and self.depth == 1:
            self.words.append(data)

    def close(self) -> None:
        """Read what is left; a table that is not ended is no table."""
        super().close()
        if self.depth and self.tables:
            self.tables.pop()

    def _end_cell(self) -> None:
        if self.words is None or self.cells is None:
            return
        words, (columns, rows) = " ".join("".join(self.words).split()), self.span
        self.words = None
        self._fill()
        self.left -= columns
        for _ in range(columns if self.left > 0 else 0):
            if rows > 1:
                self.down[len(self.cells)] = (words, rows)
            self.cells.append(words)

    def _fill(self) -> None:
        """Put the cells that reach down from earlier rows in front of the next one."""
        assert self.cells is not None  # noqa: S101 - within a row
        while (at := len(self.cells)) in self.down:
            words, rows = self.down.pop(at)
            self.cells.append(words)
            if rows > 1:
                self.down[at] = (words, rows)

    def _end_row(self) -> None:
        self._end_cell()
        if self.cells is None:
            return
        self._fill()
        self.down = {at: (words, rows - 1) for at, (words, rows) in self.down.items() if rows > 1}
        if self.cells:
            self.tables[-1].append(Row(line=self.line, cells=tuple(self.cells)))
        self.cells = None


def _span(given: str | None) -> int:
    return min(int(given), MAX_SPAN) if given and re.fullmatch(r"[1-9]\d{0,8}", given) else 1
