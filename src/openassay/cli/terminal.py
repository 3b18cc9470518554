"""What a terminal, or a log, is shown: tables, and words of others that it obeys in nothing."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from openassay.faults import printable

STYLES = {
    "REPRODUCED": "bold green", "NOT_REPRODUCED": "bold red", "INCONCLUSIVE": "bold yellow", "NOT_ATTEMPTED": "dim",
}  # fmt: skip
"""Of each outcome."""


def console(width: int) -> Console:
    """A console; where it is a log, with lines of `width` letters."""
    found = Console(highlight=False)
    if not found.is_terminal:
        found.width = width
    return found


def table(*columns: str) -> Table:
    """A table without rows."""
    found = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        found.add_column(column, overflow="fold")
    return found


def number(value: float | None, form: str) -> str:
    """A number in a table's cell; a dash where there is none."""
    return "–" if value is None else format(value, form)


def plain(text: str) -> str:
    """A stranger's words for rich: without its markup, and without what a terminal obeys."""
    return escape(printable(text))


def styled(outcome: str, words: str | None = None) -> str:
    """An outcome, or the words that stand for it, in its colour."""
    return f"[{STYLES.get(outcome, 'dim')}]{plain(words or outcome)}[/]"
