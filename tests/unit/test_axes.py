"""Study, modify, and the quality of a record: each can pass, fail and say that nobody has looked."""

from __future__ import annotations

import pytest

from openassay.core.axes import NEEDED, probe, study
from openassay.core.claims import Citation
from openassay.core.findings import (
    Artifact,
    CheckFound,
    CitationFound,
    ComponentFound,
    FetchRecord,
    InspectRecord,
    PrepareRecord,
)
from openassay.core.power import expect, power
from openassay.core.quality import shared_shift, warnings
from openassay.core.sequential import Terms


def component(name: str, published: str, found: str) -> ComponentFound:
    return ComponentFound(
        component=name, published=published, licence="MIT", found=found, evidence=(), where=None, note=None,  # type: ignore[arg-type]
    )  # fmt: skip


def records(
    *, fetched: bool, found: str, status: str, matches: bool
) -> tuple[FetchRecord, InspectRecord, PrepareRecord]:
    artifact = Artifact(
        name="code", fetched=fetched, sha256=None, filename=None, size_bytes=None, root="", payload_sha256=None,
        first_seen=None, attempts=(),
    )  # fmt: skip
    check = CheckFound(array="x", expected="a", found="b", passed=matches, cited_at=Citation(url="https://example.org"))
    return (
        FetchRecord(artifacts=(artifact,), findings=()),
        InspectRecord(
            components=tuple(component(name, "yes", found) for name in NEEDED),
            citations=(CitationFound(claim="c", found=found, quote="q", where="README"),),  # type: ignore[arg-type]
            licences={}, detected=(), checks=(), unreadable={}, recomputed=(), findings=(),
        ),
        PrepareRecord(
            status=status, reason="it raised", arrays=(), files={}, checks=(check,) if status == "done" else (),  # type: ignore[arg-type]
            environment={}, log_tail="", cpu_s=0.0, findings=(),
        ),
    )  # fmt: skip


def test_everything_that_could_be_studied_passes() -> None:
    checks = study(*records(fetched=True, found="found", status="done", matches=True))
    assert {check.outcome for check in checks} == {"pass"}
    assert len(checks) == 4 + len(NEEDED)


def test_what_is_missing_fails_and_says_what() -> None:
    checks = {
        check.check: check for check in study(*records(fetched=False, found="absent", status="failed", matches=False))
    }
    assert checks["artifacts are there"].detail == "code"
    assert checks["data preparation runs"].detail == "it raised"
    assert checks["prepared data are the published data"].outcome == "unknown"
    assert all(checks[f"published: {name.replace('_', ' ')}"].outcome == "fail" for name in NEEDED)
    differ = study(*records(fetched=True, found="found", status="done", matches=False))
    assert [check.detail for check in differ if check.outcome == "fail"] == ["x"]


def test_where_nobody_has_looked_the_answer_is_unknown() -> None:
    checks = study(*records(fetched=True, found="not fetched", status="none", matches=True))
    assert [check.outcome for check in checks] == ["pass"] + ["unknown"] * (len(checks) - 1)


@pytest.mark.parametrize(
    ("changed", "expects", "outcome"),
    [
        ((1.0, 1.1, 0.9), "lower", "as predicted"), ((1.0, 1.1, 0.9), "higher", "opposite"),
        ((10.1, 9.8, 10.2), "lower", "not shown"), ((1.0, None, None), "lower", "not shown"),
        ((9.0, 9.1, 8.9), "lower", "as predicted"),  # the same step down for each seed
        ((10.0, 10.1, 9.9), "lower", "not shown"), ((), "lower", "not shown"),
    ],
)  # fmt: skip
def test_a_changed_recipe_is_compared_seed_by_seed(
    changed: tuple[float | None, ...], expects: str, outcome: str
) -> None:
    found = probe(
        arm="a", of="faithful", metric="m", expects=expects, changed=changed, faithful=(10.0, 10.1, 9.9, 10.0), alpha=0.05,  # type: ignore[arg-type]
    )  # fmt: skip
    assert found.outcome == outcome
    assert found.num_pairs == sum(value is not None for value in changed)


KNOWN = Terms(published=1.0, margin=0.1, num_published=5, published_sd=0.01)


@pytest.mark.parametrize(
    ("terms", "values", "kinds"),
    [
        (KNOWN, (1.0, 1.01, 0.99), []),
        (KNOWN, (1.0, 1.5, 0.5, 1.2), ["noise_differs"]),
        (KNOWN, (1.0, 1.01, 1.01), ["duplicate_runs"]),
        (
            Terms(published=1.0, margin=0.1, num_published=5, published_sd=0.0, step=0.01),
            (1.0, 1.0, 1.01),
            ["published_spread_zero"],
        ),
        (Terms(published=1.0, margin=0.1, deterministic=True), (1.0, 1.0), []),
        (Terms(published=1.0, margin=0.1), (None, 1.0), []),
    ],
)
def test_what_is_odd_about_a_record_is_said(terms: Terms, values: tuple[float | None, ...], kinds: list[str]) -> None:
    assert [kind for kind, _ in warnings(terms, values)] == kinds


def test_claims_that_all_lie_on_one_side_are_a_finding_of_their_own() -> None:
    assert shared_shift([0.01] * 10) == pytest.approx(2 / 2**10)  # ten of ten
    assert shared_shift([0.01] * 5) is None
    assert (shared_shift([0.01, -0.01] * 5) or 0) == 1.0
    assert shared_shift([0.0] * 10) is None


def test_what_to_expect_is_told_before_any_run() -> None:
    (small,) = expect(Terms(published=1.0, margin=0.1, num_published=5, family_sd=0.01, family_df=10, max_runs=10))
    assert small.reproduced > 0.99
    assert small.not_reproduced > 0.99
    assert small.num_runs < 4
    (noisy,) = expect(Terms(published=1.0, margin=0.1, family_sd=0.2, family_df=10, max_runs=10))
    assert noisy.reproduced < 0.05
    unknown = expect(Terms(published=1.0, margin=0.1, max_runs=20))
    assert [found.reproduced for found in unknown] == sorted((found.reproduced for found in unknown), reverse=True)
    assert [found.num_runs for found in unknown] == sorted(found.num_runs for found in unknown)


def test_power_grows_with_the_runs_and_falls_with_the_difference() -> None:
    terms = Terms(published=1.0, margin=0.1)
    by_runs = [power(terms, 0.1, 0.0, n) for n in (5, 10, 20, 50, 100)]
    assert by_runs == sorted(by_runs)
    assert by_runs[0] < 0.3
    assert by_runs[-1] > 0.99
    by_difference = [power(terms, 0.05, theta, 20) for theta in (0.0, 0.05, 0.1, 0.2)]
    assert by_difference == sorted(by_difference, reverse=True)
    assert by_difference[2] <= 0.05
    lone = Terms(published=1.0, margin=0.1, estimand="recipe")
    assert power(lone, 0.1, 0.0, 100) < 0.05  # the luck of one published training remains
