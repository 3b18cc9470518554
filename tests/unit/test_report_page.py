"""The report page over verdicts of made-up reruns: what a reader is told of each claim, and that one line a claim holds."""

from __future__ import annotations

import base64
import html
import re
import time
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
from releases.miniature import REPO, add_release, make_project
from releases.stages import SETTINGS

from openassay.core.claims import Citation, Claim, Published, SuccessRule, Tolerance
from openassay.core.deviations import Deviation
from openassay.core.evidence import Evidence
from openassay.core.findings import FetchRecord, InspectRecord, PrepareRecord
from openassay.core.openness import Part, openness
from openassay.core.openness_records import Article53Facts
from openassay.core.rerun_records import EvaluateRecord, PlannedRuns, RerunStatus
from openassay.core.tier_verdicts import judge_tiers
from openassay.core.verdict import headline, joined, judge_claim, judge_release, score_release
from openassay.core.verdict_records import Outcome, Provenance, ReleaseVerdict, Why
from openassay.layout import Layout
from openassay.plan import Glue, Plan
from openassay.report.page import OPEN, PageInputs, best_of, chance, meaning, power_table, render, stamp
from openassay.stages import judge
from openassay.stages import plan as planning
from openassay.target import read_target

PLANNED = PlannedRuns(
    num_runs=60, identities=("a", "b"), durations_s=(14.6, 15.0), budget_s=900.0, most=100, expensive=False
)
HOSTILE = "<script>alert(1)</script> $x^2$ {{ 7 * 7 }} \u202egnp.exe\u2066 \x1b[31m\x9b2J\x85\u2028\x00"


def claim(name: str = "accuracy", *, value: float = 68.0, margin: float = 2.0, **more: Any) -> Claim:
    published = more.pop("published", {"rounding": 1.0})
    return Claim(
        id=name, metric="accuracy", unit="percent", published=Published(value=value, **published),
        cited_at=Citation(quote="accuracy: 68", url="https://example.org/1"),
        tolerance=Tolerance(margin=margin, rationale="for a test"), **more,
    )  # fmt: skip


def values(mean: float, sd: float = 0.8, n: int = 60) -> tuple[float, ...]:
    drawn = np.random.default_rng(0).standard_normal(n)
    return tuple((mean + sd * (drawn - drawn.mean()) / drawn.std()).tolist())


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    with pytest.MonkeyPatch.context() as patch:
        root = make_project(tmp_path_factory.mktemp("page"))
        patch.chdir(root)
        return planning.run(add_release(root, "honest"), SETTINGS)


def evidence(plan: Plan, *given: tuple[Claim, tuple[float | None, ...]], control: str = "") -> PageInputs:
    """Claims and their reruns, judged as an audit would."""
    plan = replace(plan, claims=tuple(claim for claim, _ in given))
    planned = {"faithful": PLANNED}
    verdicts = []
    for of, runs in given:
        statuses = tuple(RerunStatus.DIVERGED if value is None else RerunStatus.FINISHED for value in runs)
        found = Evidence(
            claim=of, design=plan.design(of, planned), values=runs, statuses=statuses, control=control,
            not_attempted_because="" if runs else "the data are gone",
        )  # fmt: skip
        verdicts.append(judge_claim(found, driver="python", protocol="none"))
    claims = tuple(verdicts)
    outcome, reason = judge_release(claims)
    provenance = Provenance(
        openassay="0", auditor="A. Auditor, a@example.org", git_commit=None, git_dirty=None, python="3", platform="p", device="cpu", packages={}, isolation="none",
        started_at=None, finished_at="2026-01-01T00:00:00Z", cpu_s=0.0, num_reruns=60, num_reused=0,
    )  # fmt: skip
    verdict = ReleaseVerdict(
        schema_version=1, target=plan.name, plan_digest=plan.digest, rules_version="3", alpha=plan.judge.alpha, outcome=outcome,
        basis=joined(claims), in_words="The reruns give 65 % for the published 68 %",
        deviations=(Deviation(kind="other_data", what="the data as changed in 2017"),), reason=reason, score=score_release(claims), tiers=judge_tiers(claims), claims=claims, controls=(), curves=(), openness=openness([], None, ()),
        study=(), modify=(), findings=(), provenance=provenance,
    )  # fmt: skip
    return PageInputs(
        plan=plan, verdict=verdict, runs={}, planned=planned, glue=None, fetched=FetchRecord(artifacts=(), findings=()),
        inspected=InspectRecord(
            components=(), detected=(), checks=(), citations=(), licences={}, unreadable={}, recomputed=(), findings=()
        ),
        prepared=PrepareRecord(
            status="none", reason="", arrays=(), files={}, checks=(), environment={}, log_tail="", cpu_s=0.0, findings=()
        ),
        evaluated=EvaluateRecord(
            status="none", reason="", measurements=(), environment={}, log_tail="", cpu_s=0.0, findings=()
        ),
    )  # fmt: skip


def text(page: str) -> str:
    """What the page says, without its marks."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page.split("<body>")[1])))


def rows(page: str, table: str) -> list[str]:
    """The rows of a table below its head."""
    found = re.search(rf'<table id="{table}".*?</table>', page, re.DOTALL)
    return re.findall(r"<tr>.*?</tr>", found.group(), re.DOTALL)[1:] if found else []


def figure(page: str) -> str:
    found = re.search(r"base64,([^\"]+)", page)
    assert found
    return base64.b64decode(found.group(1)).decode()


def test_a_number_that_is_not_reached_is_said_and_accuses_nobody(plan: Plan) -> None:
    found = evidence(plan, (claim(), values(64.0, 1.2)))
    page = render(found)
    assert stamp(found.verdict) == "INCONCLUSIVE · number not reached"
    assert page.count("INCONCLUSIVE · number not reached") == 3  # title, stamp and row
    assert (
        "On average the rerun recipe does not give the printed number; the published training may have been lucky"
        in text(page)
    )
    assert "so its recipe is not accused" in text(page)
    assert "if 68 was picked as the highest of K trainings: from K = " in text(page)
    (row,) = rows(page, "questions")
    assert "outside" in row
    assert "open" in row


def test_the_first_screen_says_what_was_tested_what_came_out_what_differed_and_what_is_not_said(plan: Plan) -> None:
    page = text(render(evidence(plan, (claim(), values(64.0, 1.2)))))
    first = page[: page.index("In a statistician's words")]
    for words in (
        "finished 2026-01-01 · by A. Auditor, a@example.org",
        "What was tested 1 published number (", "by 60 reruns of the training, controls included.",
        "What came out The reruns give 65 % for the published 68 %.",
        "What was different The data as changed in 2017.",
        "What this does not say Anything for the release or against it.",
        f"How to repeat it openassay audit {plan.name}",
    ):  # fmt: skip
        assert words in first
    accused = evidence(plan, (claim(), values(55.0, 1.2)))
    assert accused.verdict.outcome is Outcome.NOT_REPRODUCED
    assert "That anybody did wrong, or why the numbers differ. What was different here may be the reason." in text(
        render(accused)
    )
    alike = replace(accused, verdict=replace(accused.verdict, deviations=()))
    assert "may be the reason" not in render(alike)
    assert "What was different Nothing that is known, but for the machine." in text(render(alike))


def test_reproduced_says_what_is_shown_and_what_is_not(plan: Plan) -> None:
    alone = evidence(plan, (claim(), values(68.2, 0.8)))
    (verdict,) = alone.verdict.claims
    assert verdict.shown == ("number",)
    said = text(render(alone))
    assert "The rerun recipe gives the published number within the tolerance" in said
    assert "its training may have been lucky" in said
    assert "REPRODUCED (number)" in said
    both = replace(alone, verdict=replace(alone.verdict, claims=(replace(verdict, shown=("number", "recipe")),)))
    said = text(render(both))
    assert "the number is reproduced, and so is the recipe behind it" in said
    assert "REPRODUCED (number and recipe)" in said
    assert "the printed number itself is open" in meaning(replace(verdict, shown=("recipe",)), both.plan.claims[0])


def test_not_reproduced_leaves_nothing_to_luck(plan: Plan) -> None:
    found = evidence(plan, (claim(), values(55.0)))
    assert found.verdict.outcome is Outcome.NOT_REPRODUCED
    said = text(render(found))
    assert "no luck of the published training explains the difference" in said


def test_a_claim_that_asks_for_the_recipe_is_read_off_the_recipes_interval(plan: Plan) -> None:
    strict = claim(estimand="recipe", published={"num_runs": 20, "sd": 0.8})
    found = evidence(plan, (strict, values(68.2)), (claim("plain"), values(68.2)))
    said = text(render(found))
    first, second = found.verdict.claims
    assert (first.estimand, second.estimand) == ("recipe", "number")
    assert "own question (thick for 1 of 2, thin for 1 of 2) is wholly" in said
    assert "so is the recipe behind it" in said
    assert "with the error rate divided by the 2 claims" in said
    strict_only = replace(plan, judge=replace(plan.judge, estimand="recipe"))
    assert "own question (thin) is wholly" in text(render(evidence(strict_only, (claim(), values(64.0, 1.2)))))


def test_every_reason_for_open_has_its_sentence(plan: Plan) -> None:
    assert set(OPEN) == set(get_args(Why))
    found = evidence(plan, (claim(), values(64.0, 1.2)))
    (verdict,) = found.verdict.claims
    said = {meaning(replace(verdict, why=why), found.plan.claims[0]) for why in OPEN}
    assert len(said) == len(OPEN)
    assert not any("NOT_REPRODUCED" in words or words.endswith(".") for words in said)


def test_the_stamp_names_the_reason_only_where_all_open_claims_share_it(plan: Plan) -> None:
    missed, good = (claim("a"), values(64.0, 1.2)), (claim("b"), values(68.2))
    assert stamp(evidence(plan, missed, good).verdict) == "INCONCLUSIVE · number not reached"
    more = claim("c"), values(68.2)[:2]
    assert stamp(evidence(plan, missed, more).verdict) == "INCONCLUSIVE"
    assert stamp(evidence(plan, missed, (claim("d"), ())).verdict) == "INCONCLUSIVE"
    assert stamp(evidence(plan, good).verdict) == "REPRODUCED"
    assert "for the open claims, on average the rerun recipe" in text(render(evidence(plan, missed, good))).lower()


def test_a_hundred_claims_are_a_line_each_and_quick(plan: Plan) -> None:
    means = (68.2, 64.0, 55.0, 70.0)
    given = [
        (claim(f"table_1_row_{i}", margin=2 + i / 100), values(means[i % 4] + i / 500, 0.8 + i / 500)[:20])
        for i in range(100)
    ]
    found = evidence(plan, *given)
    render(found)  # imports matplotlib
    started = time.process_time()
    page = render(found)
    assert time.process_time() - started < 5
    lines = rows(page, "claims")
    assert len(lines) == 100
    for line, verdict in zip(lines, found.verdict.claims, strict=True):
        assert "<br>" not in line
        assert verdict.reason not in line
        assert verdict.id in line
        assert headline(verdict) in line
    for table in ("questions", "plausibility", "power"):
        assert len(rows(page, table)) == 100
    assert "<details><summary>What is shown, question by question" in page
    assert "mathdefault" not in figure(page)
    assert all(name in figure(page) for name in ("table_1_row_0", "table_1_row_99"))


def test_the_chance_that_an_audit_had(plan: Plan) -> None:
    one_sided = claim("at least", direction="at_least")
    share = claim("share", value=0.9, margin=0.2, success=SuccessRule(at_least=60.0), published={"num_runs": 10})
    fixed, short = claim("fixed", deterministic=True), claim("short")
    found = evidence(
        plan, (claim(), values(68.2)), (one_sided, values(68.2)), (share, values(68.2)), (fixed, values(68.2)),
        (short, (68.0,)),
    )  # fmt: skip
    table = power_table(found)
    assert set(table) == {"accuracy", "at least"}
    for chances in table.values():
        assert list(chances) == sorted(chances, reverse=True)
        assert chances[0] > 0.9
        assert chances[-1] < 0.05
    assert "What this audit could have shown" in render(found)
    assert "−2 or more" in render(found)


def test_how_many_trainings_a_value_must_have_been_picked_from(plan: Plan) -> None:
    found = evidence(plan, (claim(), values(64.0, 1.2)))
    (verdict,) = found.verdict.claims
    of = found.plan.claims[0]
    assert verdict.plausibility

    def said(fewest: int | None, asked: Claim = of, difference: float = -4.0) -> str:
        assert verdict.plausibility
        return best_of(
            replace(verdict, difference=difference, plausibility=replace(verdict.plausibility, fewest_tried=fewest)),
            asked,
        )

    assert (
        said(7)
        == "if 68 was picked as the highest of K trainings: from K = 7 on the difference would be within the tolerance"
    )
    assert "lowest of K trainings: not needed" in said(1, difference=1.0)
    assert "not even K = 100" in said(None)
    for asked in (
        claim(published={"num_runs": 5, "sd": 1.0}),
        claim(published={"best_of": 5}),
        claim(success=SuccessRule(at_least=1)),
        claim(direction="at_most"),
    ):
        assert said(None, asked) == ""
    assert best_of(replace(verdict, plausibility=None), of) == ""


def test_a_probability_is_never_a_certainty() -> None:
    assert [chance(p) for p in (None, 0.0, 0.004, 0.5, 0.999, 1.0)] == [
        "–",
        "< 1 %",
        "< 1 %",
        "50 %",
        "> 99 %",
        "> 99 %",
    ]


def test_what_was_planned_and_used_is_said(plan: Plan) -> None:
    found = evidence(plan, (claim(), values(68.2)))
    said = text(render(found))
    assert "faithful: planned 60 reruns: 900 s of budget at 14.8 s each (the first two), at most 100" in said
    assert f"{found.verdict.claims[0].runs_used} of at most 60 planned reruns" in said


def test_what_a_claim_declares_of_itself_is_said(plan: Plan) -> None:
    found = evidence(
        plan, (claim("gain", value=1.2, baseline="plain_arm"), values(1.3, 0.3)),
        (claim("random", uncontrolled="a random baseline: nothing can break it"), values(68.2)),
        (
            claim("twice", published={"values": (67.0, 69.0), "num_runs": 2, "values_cited_at": (Citation(quote="in the text: 67"),
                  Citation(quote="in the table: 69", url="https://example.org/2"))}),
            values(68.2),
        ),
    )  # fmt: skip
    page = render(found)
    said = text(page)
    assert "minus the arm plain_arm, seed by seed" in said
    assert "random has no control: a random baseline: nothing can break it" in said
    assert "67: “in the text: 67”" in said
    assert "69: “in the table: 69”" in said
    assert 'href="https://example.org/2"' in page
    assert "this audit has not shown that it would notice a broken recipe" in said
    alone = evidence(plan, (claim(uncontrolled="nothing can break it"), values(68.2)))
    assert "would notice a broken recipe" not in text(render(alone)).split("Negative controls")[1].split("Openness")[0]


def test_the_page_says_condition_by_condition_what_article_53_asks(plan: Plan) -> None:
    facts = Article53Facts(
        training_flop=None, training_flop_is=None, copyright_policy="a <policy> on paper", training_summary="https://example.org/summary"
    )  # fmt: skip
    weights = Part(component="params_final", published="yes", licence="CC-BY-NC-4.0")
    given = evidence(plan, (claim(), values(68.2)))
    page = render(replace(given, verdict=replace(given.verdict, openness=openness([weights], told=facts))))
    said = text(page)
    assert (
        "European Union: by what is published, the conditions of Article 53(2) of Regulation (EU) 2024/1689 are not met"
        in said
    )
    assert "this is no legal advice" in said
    assert "Not decided here: whether it is a general-purpose AI model" in said
    shown = rows(page, "exemption")
    assert [re.findall(r"(not met|not known|met|told)</td>", row) for row in shown] == [
        ["not met"], ["met"], ["not known"], ["not known"], ["not known"], ["told"], ["told"]
    ]  # fmt: skip
    assert "NonCommercial" in shown[0]
    assert "a &lt;policy&gt; on paper" in shown[5]
    assert 'href="https://example.org/summary"' in shown[6]
    untold = render(given)
    assert untold.count("the target does not say where") == 2


def test_a_test_without_power_and_nothing_run(plan: Plan) -> None:
    page = render(evidence(plan, (claim(), values(68.2)), control="the control was not caught"))
    assert "INCONCLUSIVE · control" in page
    nothing = evidence(plan, (claim(), ()))
    assert "Nothing could be rerun or compared." in text(render(nothing))
    assert nothing.verdict.outcome is Outcome.NOT_ATTEMPTED
    diverged = evidence(plan, (claim(), (None,) * 60))
    assert "fails to train more often than chance explains" in text(render(diverged))
    assert render(evidence(plan))  # no claim at all


def test_a_replay_speaks_of_checkpoints(plan: Plan) -> None:
    found = evidence(plan, (claim(), values(68.2)))
    (verdict,) = found.verdict.claims
    replay = read_target(Layout(REPO, "pythia_14m")).rerun
    said: dict[Outcome, str] = {
        outcome: meaning(replace(verdict, outcome=outcome, shown=()), found.plan.claims[0], replay)
        for outcome in (Outcome.REPRODUCED, Outcome.NOT_REPRODUCED)
    }
    assert said[Outcome.REPRODUCED] == "the published checkpoints follow from an earlier one by the published recipe"
    assert said[Outcome.NOT_REPRODUCED].startswith("it is shown not to be so")


def test_the_figure_holds_both_intervals(plan: Plan) -> None:
    one = figure(render(evidence(plan, (claim(), values(64.0, 1.2)))))
    none = evidence(plan, (claim(), values(64.0, 1.2)))
    (verdict,) = none.verdict.claims
    half = replace(none, verdict=replace(none.verdict, claims=(replace(verdict, answers=verdict.answers[:1]),)))
    assert one.count("<path") > figure(render(half)).count("<path")


def test_hostile_words_stay_words_and_no_formulas(plan: Plan) -> None:
    hostile = claim(
        HOSTILE, uncontrolled=HOSTILE, published={"values": (67.0, 69.0), "num_runs": 2, "values_cited_at": (
            Citation(quote=HOSTILE, url="javascript:alert(1)"), Citation(quote=HOSTILE))},
        baseline=HOSTILE,
    )  # fmt: skip
    hostile = replace(hostile, metric=HOSTILE, unit=HOSTILE, tolerance=replace(hostile.tolerance, rationale=HOSTILE))
    found = evidence(plan, (hostile, values(64.0, 1.2)))
    found = replace(found, planned={HOSTILE: PLANNED})
    verdict = replace(found.verdict, reason=HOSTILE, claims=(replace(found.verdict.claims[0], reason=HOSTILE),))
    inspected = replace(found.inspected, unreadable={HOSTILE: HOSTILE}, licences={HOSTILE: HOSTILE})
    prepared = replace(found.prepared, status="done", log_tail=f"one\n\ttwo {HOSTILE}")
    shown = replace(found.plan, glue=Glue(file=HOSTILE, sha256="0" * 64))
    glue = f"if x:\n\ty = '{HOSTILE}'\n"
    page = render(replace(found, plan=shown, verdict=verdict, inspected=inspected, prepared=prepared, glue=glue))
    assert "one\n\ttwo" in page
    assert "<script" not in page
    assert 'href="javascript' not in page
    assert "{{ 7 * 7 }}" in page
    assert "<script" not in figure(page)
    assert "$x^2$" in figure(page)
    for shown in (page, figure(page)):
        assert all(letter.isprintable() or letter in "\n\t" for letter in shown)


def test_the_few_numbers_of_the_summary(plan: Plan) -> None:
    found = evidence(plan, (claim("a"), values(64.0, 1.2)), (claim("b"), values(68.2))).verdict
    first, second = found.claims
    told = judge.summary(replace(found, claims=(first, replace(second, shown=("number", "recipe")))))
    assert (told["recipe_shown"], told["number_not_reached"], told["reproduced"]) == (1, 1, 1)
