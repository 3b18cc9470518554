"""Published tables as claims: each row read exactly, and what is unclear refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from releases.miniature import add_release, make_project

from openassay.claim_tables import ClaimTable, claims_of
from openassay.faults import BadInput
from openassay.target import look_over_target

SHARED: dict[str, Any] = {
    "metric": "accuracy", "published": {"num_runs": 5}, "cited_at": {"url": "https://example.org/table"},
    "tolerance": {"margin": 0.5, "rationale": "for a test"},
}  # fmt: skip
MARKDOWN = """
| Model      | Accuracy      | Notes |
|:-----------|--------------:|-------|
| **GCN**    | 81.50 ± 0.3   |       |
| GAT (8x8)  | **83.0 ± 0.7**| best  |
| random     | –             |       |
| MLP        | 55.1 ± 0.25 % | a \\| b |
"""


def table(text: str = MARKDOWN, columns: dict[str, str] | None = None, **shared: Any) -> ClaimTable:
    columns = columns or {
        "id": "Model",
        "arm": "Model",
        "published.value": "Accuracy",
        "published.sd": "Accuracy",
    }
    return ClaimTable(text=text, columns=columns, claim=SHARED | shared)


def test_rows_may_be_tested_without_a_rerun(tmp_path: Path) -> None:
    """As claims that are written out, they are left alone by reruns without a word about that."""
    numbers = {"n": {"artifact": "code", "path": "README.md", "words": "{} runs"}}
    shared = {
        "metric": "runs", "cited_at": {"url": "https://example.org"}, "tolerance": {"margin": 0.5, "rationale": "for a test"},
        "recompute": {"numbers": numbers, "value": "n", "control": "n + 1", "control_is": "one more"},
    }  # fmt: skip
    tables = [{"text": "a,b\nx,1\ny,2\n", "columns": {"id": "a", "published.value": "b"}, "claim": shared}]
    layout = add_release(make_project(tmp_path), "honest", claim_tables=tables)
    found, problems = look_over_target(layout)
    assert problems == []
    assert found
    assert [(claim.id, claim.testable, claim.tier) for claim in found.claims[1:]] == [
        ("x", False, "recomputed"),
        ("y", False, "recomputed"),
    ]


def test_each_row_of_a_markdown_table_is_a_claim() -> None:
    found = claims_of(table(), "t")
    assert [(of["id"], of["arm"]) for of in found] == [("gcn", "GCN"), ("gat_8x8", "GAT (8x8)"), ("mlp", "MLP")]
    assert [of["published"] for of in found] == [
        {"num_runs": 5, "value": 81.5, "sd": 0.3, "rounding": 0.01},
        {"num_runs": 5, "value": 83.0, "sd": 0.7, "rounding": 0.1},
        {"num_runs": 5, "value": 55.1, "sd": 0.25, "rounding": 0.1},
    ]
    assert all(of["tolerance"] == SHARED["tolerance"] for of in found)
    assert SHARED["published"] == {"num_runs": 5}


def test_a_table_as_csv_gives_its_own_tolerances_and_counts() -> None:
    text = 'name,score,n,tol\n"a, b",1.2e-3,10,0.0004\nc,−7,3,2\n'
    columns = {"id": "name", "published.value": "score", "published.num_runs": "n", "tolerance.margin": "tol"}
    shared = {"published": {}, "tolerance": {"rationale": "for a test"}}
    first, second = claims_of(table(text, columns, **shared), "t")
    assert (first["id"], first["published"], first["tolerance"]["margin"]) == (
        "a_b", {"value": 0.0012, "num_runs": 10, "rounding": 0.0001}, 0.0004,
    )  # fmt: skip
    assert (second["published"]["value"], second["published"]["rounding"]) == (-7.0, 1.0)


def test_a_hundred_rows_are_a_hundred_claims() -> None:
    text = "m,v\n" + "\n".join(f"model {i},{i / 10:.1f}" for i in range(100))
    assert len(claims_of(table(text, {"id": "m", "published.value": "v"}), "t")) == 100


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        (MARKDOWN, {"id": "Model"}, r"t\.columns: published\.value is missing"),
        (MARKDOWN, {"id": "Model", "published.value": "Acc"}, r"0 columns are called 'Acc'; there are: Model, Accuracy"),
        (MARKDOWN, {"id": "Model", "published.value": "Accuracy", "seed": "Notes"}, r"'seed' cannot be read from a column"),
        (MARKDOWN, {"id": "Model", "published.value": "Notes"}, r"row 3, column 'Notes': a number is needed, found 'best'"),
        ("a,a,b\n1,2,3", {"id": "a", "published.value": "b"}, r"2 columns are called 'a'"),
        ("a,b\n1,2,3", {"id": "a", "published.value": "b"}, r"row 2: 2 cells are needed, found 3"),
        ("a,b", {"id": "a", "published.value": "b"}, r"a row of names and one row at least"),
        ("a,b\nx,0.1", {"id": "a", "published.value": "b", "published.sd": "b"}, r"expected a value ± its spread, found '0\.1'"),
        ("a,b,n\nx,0.1,7", {"id": "a", "published.value": "b", "published.num_runs": "n"}, r"published\.num_runs stands in the table and"),
        ("a,b\nx,1,234.5", {"id": "a", "published.value": "b"}, r"2 cells are needed, found 3"),
    ],
)  # fmt: skip
def test_what_is_unclear_is_refused_in_one_line(text: str, columns: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        claims_of(table(text, columns), "t")
    assert "\n" not in str(caught.value)
