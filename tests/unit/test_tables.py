"""Tables of documents, in Markdown and in HTML."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from releases.small import OLMO, release

from openassay.checks.registry import run_checks
from openassay.published.files import PublishedTable, Text
from openassay.published.tables import tables_of


def tables(text: str) -> list[PublishedTable]:
    return tables_of(Text(path="README.md", lines=tuple(text.splitlines())))


def rows(text: str) -> list[tuple[tuple[str, ...], list[tuple[int, tuple[str, ...]]]]]:
    return [(table.columns, [(row.line, row.cells) for row in table.rows]) for table in tables(text)]


def test_a_markdown_table_may_have_a_bar_in_a_cell() -> None:
    assert rows("| a | b |\n|---|---|\n| x \\| y | 2 |\n") == [(("a", "b"), [(3, ("x \\| y", "2"))])]


def test_a_markdown_table_may_have_an_empty_first_cell() -> None:
    assert rows("||a|\n|---|---|\n|x|1|\n||2|\n") == [(("", "a"), [(3, ("x", "1")), (4, ("", "2"))])]
    assert rows("|a||\n|---|---|\n|1||\n") == [(("a", ""), [(3, ("1", ""))])]


def test_an_html_table_has_the_lines_of_its_file() -> None:
    text = "# T\n\n<table>\n<tr><th>Model</th><th>Size<br>(B)</th></tr>\n<tr>\n<td><b>OLMo</b> 7B</td>\n<td>6.9</td></tr>\n</table>\n"
    assert rows(text) == [(("Model", "Size (B)"), [(5, ("OLMo 7B", "6.9"))])]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<tr><th>a<th>b<tr><td>1<td>2", [(("a", "b"), [(1, ("1", "2"))])]),  # ends may be left out
        ("<tr><th>a<th>b<th>c<tr><td rowspan=3>x<td>1<td>2<tr><td>3<td>4<tr><td colspan=2>5<tr><td>y<td>6<td>7", [
            (("a", "b", "c"), [(1, ("x", "1", "2")), (1, ("x", "3", "4")), (1, ("x", "5", "5")), (1, ("y", "6", "7"))]),
        ]),
        ("<tr><td>a<td>b<tr><td><table><tr><td>in<td>ner</table><td>2", [(("a", "b"), [(1, ("", "2"))])]),
        ("<tr><td>only</tr>", []),
    ],
)  # fmt: skip
def test_cells_that_span_stand_in_each_row_and_column(text: str, found: object) -> None:
    assert rows(f"<table>{text}</table>") == found


def test_tables_in_comments_and_code_are_none() -> None:
    table = "<table><tr><td>a<td>b<tr><td>1<td>2</table>"
    assert rows(f"<!--\n{table}\n-->\n```html\n{table}\n```\n<table><tr><td>a<td>b") == []


@given(
    st.lists(
        st.sampled_from(
            ["<table>", "</table>", "<tr>", "</tr>", "<td rowspan=99>", "<td colspan=99>", "x", "</td>", "<"]
        ),
        max_size=60,
    )
)
def test_no_html_breaks_the_reader(parts: list[str]) -> None:
    for table in tables("".join(parts)):
        assert all(len(row.cells) == len(table.columns) for row in table.rows)


def test_a_setting_in_an_html_table_is_compared(tmp_path: Path) -> None:
    table = "<table><tr><td>Setting</td><td>Value</td></tr><tr><td>Layers</td><td>{}</td></tr><tr><td>Weight decay</td><td>0.1</td></tr></table>\n"
    for layers, outcome in ((16, "pass"), (12, "fail")):
        made = release(tmp_path / str(layers), {"run.yaml": OLMO, "README.md": table.format(layers)})
        assert {answer.check: answer.outcome for answer in run_checks(made)}["value_stated_twice"] == outcome
