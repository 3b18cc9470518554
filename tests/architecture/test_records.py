"""The audits that are committed: they parse, they fit the schema, and the tables show them as they are."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from pydantic import TypeAdapter

from openassay.core.claims import Claim
from openassay.core.evidence import Design, Evidence
from openassay.core.rerun_records import RerunStatus
from openassay.core.tier_verdicts import tier_words
from openassay.core.tiers import NOT_STATED
from openassay.core.verdict import headline, judge_claim
from openassay.core.verdict_records import ReleaseVerdict, Verdict
from openassay.layout import Layout
from openassay.plan import Plan, make_plan, read_plan
from openassay.project import index
from openassay.records import read_record
from openassay.stages.judge import summary
from openassay.target import read_target

REPO = Path(__file__).parents[2]
RECORDS = sorted(REPO.glob("experiments/*/published/verdict.json"))


@functools.cache
def plan_of(target: str) -> Plan:
    layout = Layout(REPO, target)
    return read_plan(layout, layout.published / "plan.yaml")


def test_every_target_that_package_registries_serve_has_a_committed_audit() -> None:
    """The others, on hubs and git hosts, are audited where those can be reached."""
    kinds = {
        name: {
            source.kind
            for artifact in read_target(Layout(REPO, name)).artifacts.values()
            for source in artifact.sources
        }
        for name in index(REPO)
    }
    near = {name for name, of in kinds.items() if of <= {"pypi", "debian", "local"}}
    assert near <= {path.parents[1].name for path in RECORDS} <= set(kinds)


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.parents[1].name)
def test_a_committed_verdict_fits_the_schema_and_its_plan(path: Path) -> None:
    jsonschema.validate(json.loads(path.read_text()), TypeAdapter(ReleaseVerdict).json_schema())
    verdict = read_record(path, ReleaseVerdict)
    plan = plan_of(verdict.target)
    assert verdict.plan_digest == plan.digest == make_plan(Layout(REPO, verdict.target)).digest
    assert json.loads((path.parent / "metrics.json").read_text()) == summary(verdict)
    assert [claim.id for claim in verdict.claims] == [claim.id for claim in plan.claims]
    for claim, planned in zip(verdict.claims, plan.claims, strict=True):
        assert (claim.tolerance, claim.tier) == (planned.tolerance, planned.tier)
        if claim.tier != "rerun":
            continue
        assert claim.runs_used <= len(claim.runs) <= len(plan.seeds.arms.get(planned.arm, ()))
    page = (path.parent / "report.html").read_text()
    assert verdict.outcome.value in page
    assert verdict.plan_digest in page


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.parents[1].name)
def test_a_committed_verdict_follows_from_its_numbers(path: Path) -> None:
    verdict = read_record(path, ReleaseVerdict)
    plan = plan_of(verdict.target)
    for claim, planned in zip(verdict.claims, plan.claims, strict=True):
        if claim.interval is None:
            continue
        if claim.tier == "recomputed":
            within = max(map(abs, claim.interval)) <= claim.tolerance.margin * (1 + 1e-6)
            outside = min(claim.interval) > claim.tolerance.margin or max(claim.interval) < -claim.tolerance.margin
            assert (claim.outcome == "REPRODUCED", claim.outcome == "NOT_REPRODUCED") == (within, outside)
            continue
        again = judge_claim(
            evidence_of(claim, planned, verdict, claim.runs), driver=claim.driver, protocol=claim.protocol
        )
        assert (again.outcome, again.runs_used, again.reason) == (claim.outcome, claim.runs_used, claim.reason)
        assert again.interval == pytest.approx(claim.interval)


def evidence_of(
    claim: Verdict, planned: Claim, verdict: ReleaseVerdict, runs: tuple[float | None, ...], max_runs: int | None = None
) -> Evidence:
    plan = plan_of(verdict.target)
    statuses = tuple(RerunStatus.FINISHED if value is not None else RerunStatus.DIVERGED for value in runs)
    design = Design(
        alpha=verdict.alpha, max_runs=max_runs or claim.max_runs or 2, num_claims=plan.num_testable,
        estimand=plan.judge.estimand,
    )  # fmt: skip
    missed = [of.arm for of in verdict.controls if of.claim == claim.id and not of.caught]
    control = (
        f"the negative control {missed[0]} was not caught: this test has no power to notice a broken recipe"
        if missed
        else ""
    )
    return Evidence(claim=planned, design=design, values=runs, statuses=statuses, control=control)


def alike(runs: tuple[float | None, ...], total: int) -> tuple[float, ...]:
    """So many values of the same mean and standard deviation."""
    values = np.array([value for value in runs if value is not None])
    drawn = np.random.default_rng(0).standard_normal(total)
    drawn = (drawn - drawn.mean()) / drawn.std(ddof=1) * values.std(ddof=1) + values.mean()
    return tuple(drawn.tolist())


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.parents[1].name)
def test_what_a_record_says_of_more_reruns_is_so(path: Path) -> None:
    """Where it says that so many more would decide, they do, in an audit that planned them; where none would, a thousand do not."""
    verdict = read_record(path, ReleaseVerdict)
    for claim, planned in zip(verdict.claims, plan_of(verdict.target).claims, strict=True):
        if claim.why is None or claim.interval is None or claim.tier != "rerun":
            assert claim.more_runs_needed is None or claim.why == "more_runs"
            continue
        used = claim.runs[: claim.runs_used]
        if claim.more_runs_needed is None:
            later = evidence_of(claim, planned, verdict, alike(used, 1000), 1000)
        else:
            total = round(1.15 * (claim.runs_used + claim.more_runs_needed)) + 2
            if total > 1000:
                continue
            later = evidence_of(claim, planned, verdict, alike(used, total), total)
        again = judge_claim(later, driver=claim.driver, protocol=claim.protocol)
        changed = (again.outcome, again.why) != (claim.outcome, claim.why) and again.why not in {"budget", "more_runs"}
        assert changed == (claim.more_runs_needed is not None), (claim.id, claim.reason, again.reason)


def test_all_four_outcomes_occur_on_real_releases() -> None:
    outcomes = {claim.outcome for path in RECORDS for claim in read_record(path, ReleaseVerdict).claims}
    assert outcomes == {"REPRODUCED", "NOT_REPRODUCED", "INCONCLUSIVE", "NOT_ATTEMPTED"}


SYSTEMS = {
    "amber": "Amber 7B", "crystalcoder": "CrystalCoder 7B", "olmo_1b": "OLMo 1B", "pythia_160m": "Pythia (160M, and the suite)",
    "t5_small": "T5 (small)", "grok1": "Grok-1", "llama2_7b": "Llama 2 7B", "llama3_8b": "Llama 3 8B", "mixtral_8x7b": "Mixtral 8x7B",
    "phi2": "Phi-2",
}  # fmt: skip
"""The ten named systems, open ones first, by their target's name."""


def systems() -> str:
    """The table of the ten systems, from the records."""
    rows = ["| system | Open Source AI Definition | recomputed | evaluated | rerun |", "|---|---|---|---|---|"]
    for name, title in SYSTEMS.items():
        verdict = read_record(Layout(REPO, name).published / "verdict.json", ReleaseVerdict)
        told = {of.tier: tier_words(of).removeprefix(f"{of.tier}: ") or "–" for of in verdict.tiers}
        told["rerun"] = verdict.outcome.value
        cells = " | ".join((verdict.openness.osaid.outcome, *told.values()))
        rows.append(f"| [{title}](REPORTS{name}/published/report.html) | {cells} |")
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    ("page", "reports"), [("experiments/README.md", ""), ("docs/ten-systems.md", "../experiments/")]
)
def test_the_ten_systems_are_shown_as_they_were_audited(page: str, reports: str) -> None:
    shown = re.search(r"<!-- systems:.*?-->\n(.*?)<!-- /systems -->", (REPO / page).read_text(), re.DOTALL)
    assert shown
    assert shown.group(1) == systems().replace("REPORTS", reports)


def evaluations() -> str:
    """The table of the ten systems' results that need their weights, from the targets."""
    rows = ["| system | result | published | measured as | harness | takes |", "|---|---|---|---|---|---|"]
    for name, title in SYSTEMS.items():
        target = read_target(Layout(REPO, name))
        for claim in target.claims:
            if (asked := claim.evaluated) is None or (of := asked.as_published) is None:
                continue
            assert target.release.weights
            shots = "" if of.shots is None else f", {of.shots} shots"
            harness = of.harness if of.harness == NOT_STATED else f"{of.harness}, version {of.version}"
            takes = asked.takes(target.release.weights).replace("; its time is not known", "")
            rows.append(
                f"| {title} | {claim.id} | {claim.published.value:.5g} | {of.task}{shots} | {harness} | {takes} |"
            )
    return "\n".join(rows) + "\n"


def test_the_results_that_need_weights_are_shown_with_what_they_take() -> None:
    page = (REPO / "docs" / "ten-systems.md").read_text()
    shown = re.search(r"<!-- evaluations:.*?-->\n(.*?)<!-- /evaluations -->", page, re.DOTALL)
    assert shown
    assert shown.group(1) == evaluations()


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_number_of_a_system_is_recomputed_or_says_how_it_was_measured(name: str) -> None:
    left = [of.id for of in read_target(Layout(REPO, name)).claims if of.tier == "rerun"]
    assert bool(left) == (name == "t5_small")  # fine-tunings, which no driver runs


def table() -> str:
    """The table of claims, from the records."""
    rows = ["| target | claim | published | reruns' mean | verdict |", "|---|---|---|---|---|"]
    for name in index(REPO):
        path = Layout(REPO, name).published / "verdict.json"
        if not path.exists() or name in SYSTEMS:
            continue
        verdict = read_record(path, ReleaseVerdict)
        for claim in verdict.claims:
            given = sum(value is not None for value in claim.runs[: claim.runs_used])
            mean = "–" if claim.difference is None else f"{claim.published.value + claim.difference:.5g} ({given} runs)"
            rows.append(
                f"| [{name}]({name}/published/report.html) | {claim.id} | {claim.published.value:g} ± {claim.tolerance.margin:g} | {mean} | {headline(claim)} |"
            )
        if not verdict.claims:
            rows.append(
                f"| [{name}]({name}/published/report.html) | none published | – | – | {verdict.outcome.value} |"
            )
    return "\n".join(rows) + "\n"


def test_the_table_of_claims_shows_the_committed_verdicts() -> None:
    shown = re.search(
        r"<!-- verdicts:.*?-->\n(.*?)<!-- /verdicts -->", (REPO / "experiments/README.md").read_text(), re.DOTALL
    )
    assert shown
    assert shown.group(1) == table()
