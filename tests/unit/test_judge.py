"""The judge stage's own parts: curves as secondary claims."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from openassay.core.claims import Citation, Claim, CurveScatter, Published, Tolerance
from openassay.core.rerun_records import Rerun, RerunStatus
from openassay.core.verdict_records import CurveOutcome, Outcome
from openassay.stages.judge import _curves, _mixed

PUBLISHED = tuple((step, 3.0 + 1000 / (step + 100)) for step in range(0, 1001, 50))
CLAIM = Claim(
    id="loss", metric="loss", published=Published(value=PUBLISHED[-1][1], num_runs=5), cited_at=Citation(url="https://example.org"),
    tolerance=Tolerance(margin=0.2, rationale="for a test"), curve=PUBLISHED,
)  # fmt: skip


def rerun(seed: int, *, bump: float = 0.0) -> Rerun:
    rng = np.random.default_rng(seed)
    curve = tuple(
        (step, value + 0.02 * rng.standard_normal() + bump * (600 <= step <= 800)) for step, value in PUBLISHED
    )
    return Rerun(
        target="t", arm="faithful", seed=seed, identity="0" * 64, registered={}, status=RerunStatus.FINISHED, reason="",
        measurements=(), curves={"loss": curve}, environment={}, log_tail="", started_at="", duration_s=1.0, cpu_s=1.0, together=(),
    )  # fmt: skip


def judged(runs: tuple[Rerun, ...], claim: Claim = CLAIM, outcome: Outcome = Outcome.REPRODUCED) -> Any:
    plan: Any = SimpleNamespace(claims=(claim,), judge=SimpleNamespace(alpha=0.05))
    verdict: Any = SimpleNamespace(outcome=outcome, runs_used=len(runs))
    return _curves(plan, (verdict,), {"faithful": runs})


def test_a_curve_is_judged_when_its_value_is_reproduced() -> None:
    curves, findings = judged(tuple(rerun(seed) for seed in range(4)))
    assert [(curve.claim, curve.outcome) for curve in curves] == [("loss", CurveOutcome.AGREES)]
    assert findings == []
    assert judged(tuple(rerun(seed) for seed in range(4)), outcome=Outcome.INCONCLUSIVE) == ((), [])
    assert judged((rerun(0), rerun(1)), replace(CLAIM, curve=None)) == ((), [])


def test_a_bump_in_the_middle_shows_though_the_end_agrees() -> None:
    curves, _ = judged(tuple(rerun(seed, bump=0.6) for seed in range(4)))
    assert curves[0].outcome is CurveOutcome.DIFFERS
    assert 600 <= curves[0].largest_at <= 800


def test_a_curve_that_cannot_be_judged_is_a_finding() -> None:
    no_curve = replace(rerun(0), curves={})
    for runs, claim in (((no_curve, no_curve), CLAIM), ((rerun(0), rerun(1)), replace(CLAIM, direction="at_least"))):
        curves, findings = judged(runs, claim)
        assert curves == ()
        assert [finding.kind for finding in findings] == ["curve_not_judged"]


def test_known_scatter_along_the_curve_is_used() -> None:
    scatter = CurveScatter(shares=(0.3, 1.0), sds=(0.02, 0.02), df=20, cited_at="a test")
    curves, _ = judged((rerun(0), rerun(1)), replace(CLAIM, curve_scatter=scatter))
    alone, _ = judged((rerun(0), rerun(1)))
    assert (curves[0].family, alone[0].family) == ("a test", None)
    assert curves[0].outcome is CurveOutcome.AGREES


def test_reruns_from_different_places_are_a_finding() -> None:
    here = replace(rerun(0), environment={"device": "cpu", "torch": "2.13.0"})
    assert _mixed({"faithful": (here, here)}) == []
    (found,) = _mixed({"faithful": (here, replace(here, environment={"device": "cuda", "torch": "2.13.0"}))})
    assert (found.kind, "device: cpu, cuda" in found.message) == ("mixed_environments", True)
