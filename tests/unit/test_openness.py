"""The framework's class and the definition's verdict: known cases, and laws that hold for all releases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openassay.core.openness import CLASS_NEEDS, MOF_COMPONENTS, Part, classify, in_words, openness
from openassay.core.openness_records import Article53Facts, ComponentName, DataInformation, Duty, Openness

ALL: tuple[ComponentName, ...] = tuple(name for needs in CLASS_NEEDS.values() for name in needs)  # type: ignore[misc]
YES = Duty(published="yes", licence="CC-BY-4.0")
FULL = DataInformation(description=YES, public_data=YES, third_party_data=YES)


def parts(*names: str, licence: str | None = "Apache-2.0", **changed: dict[str, Any]) -> tuple[Part, ...]:
    made = {name: Part(component=name, published="yes", licence=licence) for name in names}  # type: ignore[arg-type]
    for name, change in changed.items():
        made[name] = replace(made[name], **change)
    return tuple(made.values())


def rank(mof_class: int) -> int:
    """0 for none, 1 for class III, 3 for class I."""
    return 0 if mof_class == 0 else 4 - mof_class


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (ALL, 1),
        ([n for n in ALL if n != "datasets"], 2),
        ([n for n in ALL if n not in CLASS_NEEDS[1]], 2),
        ([n for n in ALL if n in CLASS_NEEDS[3]], 3),
        ([n for n in ALL if n in CLASS_NEEDS[3] and n != "data_card"], 0),
        ([n for n in ALL if n != "technical_report"], 1),  # the paper stands in for it
        ([n for n in ALL if n != "research_paper"], 2),  # but not the other way round
        ([n for n in ALL if n not in {"technical_report", "research_paper"}], 0),
        ([n for n in ALL if n != "training_code"], 3),
        ([], 0),
    ],
)
def test_class(names: list[str], expected: int) -> None:
    assert classify(parts(*names), record=True).mof_class == expected


def test_a_component_under_terms_that_are_not_open_does_not_count() -> None:
    for licence in ("Llama 2 Community License", "CC-BY-NC-4.0", None, "unknown", "MIT license"):
        found = classify(parts(*ALL, params_final={"licence": licence}), record=True)
        assert found.mof_class == 0
        assert [gap.component for gap in found.missing if 3 in gap.classes] == ["params_final"]


def test_an_open_licence_of_the_wrong_kind_counts_with_a_note() -> None:
    found = classify(parts(*ALL, datasets={"licence": "MIT"}), record=True)
    assert found.mof_class == 1
    assert "datasets" in found.conditional
    assert "training_code" not in found.conditional


def test_what_is_missing_is_told_for_the_next_class_first() -> None:
    found = classify(parts(*(n for n in ALL if n not in {"training_code", "datasets"})), record=True)
    assert found.mof_class == 3
    assert [(gap.component, gap.classes) for gap in found.missing] == [("training_code", (2, 1)), ("datasets", (1,))]
    assert found.missing[0].problem == "absent"


def test_what_is_unknown_counts_as_missing_and_shows_what_could_be() -> None:
    found = classify(parts(*ALL, data_card={"published": "unknown"}, datasets={"published": "no"}))
    assert (found.mof_class, found.if_unknown_pass) == (0, 2)
    assert {gap.component: gap.problem for gap in found.missing} == {"data_card": "unknown", "datasets": "absent"}


def test_an_unknown_answer_names_the_component_and_the_fact_that_is_not_known() -> None:
    """Once for each place that tells it: the element, the duty, the freedom, the class, and the line in words."""
    fact = "the list names no licence of libfoo"
    described = replace(FULL, description=Duty(published="yes", note="the paper's terms were not found"))
    made = parts(
        *MOF_COMPONENTS, supporting_libraries={"licence": "unknown", "note": fact},
        params_final={"licence": "unknown", "note": "no card"}, model_card={"note": "a remark that hinders nothing"},
    )  # fmt: skip
    found = openness(made, described)
    data, code, parameters = found.osaid.elements
    assert data.reasons == (
        "a complete description of all training data: published; its terms are not known (the paper's terms were not found)",
    )
    assert code.reasons == (f"supporting libraries: its terms are not known ({fact})",)
    assert parameters.reasons == ("final parameters: its terms are not known (no card)",)
    assert [item.obstacles for item in found.freedoms if item.freedom == "use"] == [parameters.reasons]
    assert {gap.component: gap.reason for gap in found.mof.missing} == {
        "params_final": "its terms are not known (no card)"
    }
    said = [*data.reasons, *code.reasons, *parameters.reasons]
    assert in_words(found.osaid) == f"Open Source AI Definition 1.0: unknown: {'; '.join(said)}"
    assert in_words(openness(parts(*MOF_COMPONENTS), FULL).osaid) == "Open Source AI Definition 1.0: passes"


def test_a_record_that_leaves_a_component_out_says_no_and_a_target_says_nothing() -> None:
    listed = parts(*(n for n in ALL if n != "training_code"))
    assert classify(listed, record=True).if_unknown_pass == 3
    assert classify(listed).if_unknown_pass == 1
    assert openness(listed, FULL).osaid.outcome == "unknown"
    assert openness(listed, FULL, record=True).osaid.outcome == "fails"


def whole() -> tuple[Part, ...]:
    return parts(*MOF_COMPONENTS, "recipe")


def element(found: Openness, name: str) -> str:
    return next(item.outcome for item in found.osaid.elements if item.element == name)


def freedom(found: Openness, name: str) -> str:
    return next(item.outcome for item in found.freedoms if item.freedom == name)


def test_a_release_that_publishes_everything_passes_every_edition() -> None:
    found = openness(whole(), FULL)
    assert found.osaid.outcome == "passes"
    assert [edition.outcome for edition in found.earlier] == ["passes", "passes"]
    assert {item.outcome for item in found.freedoms} == {"passes"}
    assert found.to_release == ()


@pytest.mark.parametrize("duty", ["description", "public_data", "third_party_data"])
def test_each_duty_of_data_information_is_needed(duty: str) -> None:
    for published, expected in (("no", "fails"), ("partly", "unknown"), ("unknown", "unknown")):
        info = replace(FULL, **{duty: replace(YES, published=published)})
        found = openness(whole(), info)
        assert element(found, "data_information") == expected
        assert (freedom(found, "study"), freedom(found, "modify")) == (expected, expected)
        assert (freedom(found, "use"), freedom(found, "share")) == ("passes", "passes")


def test_data_information_needs_open_terms_of_its_own() -> None:
    for licence, expected in (("unknown", "unknown"), ("CC-BY-NC-4.0", "fails"), ("CC-BY-SA-4.0", "passes")):
        info = replace(FULL, description=replace(YES, licence=licence))
        found = openness(whole(), info)
        assert element(found, "data_information") == expected
        assert freedom(found, "study") == "passes"  # what is published can be read


def test_components_alone_never_show_data_information_but_may_rule_it_out() -> None:
    assert element(openness(whole()), "data_information") == "unknown"
    silent = [
        name for name in MOF_COMPONENTS if name not in {"datasets", "research_paper", "technical_report", "data_card"}
    ]
    assert element(openness(parts(*silent), record=True), "data_information") == "fails"


def test_code_must_be_osi_approved_and_parameters_open() -> None:
    other = parts(*MOF_COMPONENTS, training_code={"licence": "CC-BY-4.0"}, params_final={"licence": "CC-BY-4.0"})
    found = openness(other, FULL)
    assert element(found, "code") == "fails"
    assert element(found, "parameters") == "passes"
    assert any("OSI-approved" in line for line in found.to_release)


def test_an_open_licence_for_the_weights_of_a_closed_training_leaves_use_and_share_only() -> None:
    closed = {"published": "no"}
    made = parts(*MOF_COMPONENTS, training_code=closed, data_preprocessing_code=closed, datasets=closed)
    none = Duty(published="no")
    found = openness(made, DataInformation(description=none, public_data=none, third_party_data=none))
    assert {item.freedom: item.outcome for item in found.freedoms} == {
        "use": "passes", "study": "fails", "modify": "fails", "share": "passes"
    }  # fmt: skip
    assert "publish the training code" in found.to_release
    assert element(found, "parameters") == "passes"


def test_a_clause_hinders_the_freedoms_that_it_refuses_and_no_other() -> None:
    found = openness(parts(*MOF_COMPONENTS, params_final={"licence": "CC-BY-ND-4.0"}), FULL)
    assert {item.freedom: item.outcome for item in found.freedoms} == {
        "use": "passes", "study": "passes", "modify": "fails", "share": "fails"
    }  # fmt: skip
    told = next(item for item in found.freedoms if item.freedom == "share").obstacles
    assert any("NoDerivatives" in line and "creativecommons.org" in line for line in told)


def test_to_share_one_need_not_have_what_is_not_published() -> None:
    found = openness(parts("params_final"), FULL, record=True)
    assert (freedom(found, "share"), freedom(found, "use"), freedom(found, "modify")) == ("passes", "fails", "fails")


def test_a_component_that_is_declared_but_was_not_found_is_unknown() -> None:
    found = openness(parts(*MOF_COMPONENTS, training_code={"absent": True}), FULL)
    assert element(found, "code") == "unknown"


@pytest.mark.parametrize("published", ["partly", "unknown"])
def test_a_component_published_in_part_is_for_a_person_to_judge(published: str) -> None:
    found = openness(parts(*MOF_COMPONENTS, training_code={"published": published, "note": "half of it"}), FULL)
    assert (element(found, "code"), freedom(found, "study"), found.mof.mof_class) == ("unknown", "unknown", 3)
    assert "half of it" in found.osaid.elements[1].reasons[0]
    assert found.to_release == ()


def test_all_parts_of_a_component_must_pass() -> None:
    two = (*parts(*ALL), Part(component="datasets", published="no", licence=None))
    assert classify(two, record=True).mof_class == 2


def test_editions_differ_in_what_they_ask_of_the_data() -> None:
    """0.0.9 is content with an open paper; 1.0 asks for the three duties."""
    found = openness(whole())
    assert found.osaid.outcome == "unknown"
    assert {edition.edition: edition.outcome for edition in found.earlier} == {"0.0.9": "passes", "0.0.8": "unknown"}
    assert found.earlier[1].note


PUBLISHED = st.sampled_from(["yes", "no", "partly", "unknown"])
LICENCES = st.sampled_from(["Apache-2.0", "CC-BY-4.0", "CC-BY-NC-4.0", "unknown", None, "Llama 2 Community License"])
PART = st.builds(
    Part, component=st.sampled_from(MOF_COMPONENTS), published=PUBLISHED, licence=LICENCES, absent=st.booleans()
)
RELEASE = st.lists(PART, max_size=17, unique_by=lambda part: part.component).map(tuple)
DUTY = st.builds(Duty, published=PUBLISHED, licence=st.sampled_from(["CC-BY-4.0", "unknown", "CC-BY-NC-4.0"]))
INFO = st.none() | st.builds(DataInformation, description=DUTY, public_data=DUTY, third_party_data=DUTY)
SCORE = {"fails": 0, "unknown": 1, "passes": 2}


@given(RELEASE, st.sampled_from(ALL), st.booleans())
def test_adding_an_open_component_never_lowers_the_class(release: tuple[Part, ...], name: Any, record: bool) -> None:
    added = tuple(part for part in release if part.component != name)
    added += (Part(component=name, published="yes", licence="Apache-2.0"),)
    assert rank(classify(added, record=record).mof_class) >= rank(classify(release, record=record).mof_class)


@given(RELEASE, st.sampled_from(["CC-BY-NC-4.0", "unknown", None, "Llama 2 Community License"]), st.data(), INFO)
def test_a_worse_licence_never_raises_anything(
    release: tuple[Part, ...], licence: str | None, data: Any, info: DataInformation | None
) -> None:
    if not release:
        return
    which = data.draw(st.integers(0, len(release) - 1))
    before = "Apache-2.0"
    good = (*release[:which], replace(release[which], licence=before), *release[which + 1 :])
    bad = (*release[:which], replace(release[which], licence=licence), *release[which + 1 :])
    better, worse = openness(good, info), openness(bad, info)
    assert rank(worse.mof.mof_class) <= rank(better.mof.mof_class)
    assert rank(worse.mof.if_unknown_pass) <= rank(better.mof.if_unknown_pass)
    assert SCORE[worse.osaid.outcome] <= SCORE[better.osaid.outcome]
    for low, high in zip(worse.freedoms, better.freedoms, strict=True):
        assert SCORE[low.outcome] <= SCORE[high.outcome]


@given(RELEASE, st.data(), INFO)
def test_an_unknown_component_never_passes_for_a_yes(
    release: tuple[Part, ...], data: Any, info: DataInformation | None
) -> None:
    which = data.draw(st.sampled_from(ALL))
    known = tuple(part for part in release if part.component != which)
    unsure = (*known, Part(component=which, published="unknown", licence="Apache-2.0"))
    absent = (*known, Part(component=which, published="no", licence="Apache-2.0"))
    assert classify(unsure).mof_class == classify(absent).mof_class
    if which in {"training_code", "params_final", "data_preprocessing_code"}:
        assert openness(unsure, info).osaid.outcome != "passes"


@given(RELEASE, INFO, st.booleans())
def test_results_agree_with_their_reasons(
    release: tuple[Part, ...], info: DataInformation | None, record: bool
) -> None:
    found = openness(release, info, record=record)
    for item in (found.osaid, *found.earlier):
        for asked in item.elements:
            assert (asked.outcome == "passes") == (not asked.reasons)
    for one in found.freedoms:
        assert (one.outcome == "passes") == (not one.obstacles)
    assert rank(found.mof.if_unknown_pass) >= rank(found.mof.mof_class)
    assert bool(found.mof.missing) == (found.mof.mof_class != 1)
    if found.to_release:
        assert found.osaid.outcome == "fails"


@given(RELEASE, st.permutations(range(17)))
def test_the_order_of_the_components_is_irrelevant(release: tuple[Part, ...], order: list[int]) -> None:
    shuffled = tuple(release[i] for i in order if i < len(release))
    assert classify(shuffled) == classify(release)


def facts(flop: float | None = 1e24, **told: str | None) -> Article53Facts:
    where = {"training_flop_is": "6 × parameters × tokens", "copyright_policy": None, "training_summary": None} | told
    return Article53Facts(training_flop=flop, **where)  # type: ignore[arg-type]


NO = {"published": "no"}
NOT_SAID = {"published": "unknown"}
PAPERS = {"technical_report": NO, "research_paper": NO, "model_card": NO, "inference_code": NO}
LICENCE, WEIGHTS, ARCHITECTURE, USAGE, RISK = range(5)


@pytest.mark.parametrize(
    ("changed", "flop", "condition", "outcome", "told"),
    [
        ({}, 1e24, LICENCE, "passes", "final parameters: Apache-2.0"),
        ({}, 1e24, WEIGHTS, "passes", "final parameters"),
        ({}, 1e24, ARCHITECTURE, "passes", "model architecture"),
        ({}, 1e24, USAGE, "passes", "model card"),
        ({}, 1e24, RISK, "passes", "1e+24 FLOP (6 × parameters × tokens): not more than 1e25"),
        ({}, None, RISK, "unknown", "the compute of the training is not known here"),
        ({}, 1.2e25, RISK, "unknown", "too near to 1e25"),
        ({}, 0.8e25, RISK, "unknown", "too near to 1e25"),
        ({}, 2e25, RISK, "fails", "2e+25 FLOP"),
        ({"params_final": {"licence": "LicenseRef-Meta-Llama-3-Community"}}, 1e24, LICENCE, "fails", "section 2: whoever had more than 700 million"),
        ({"params_final": {"licence": "CC-BY-NC-4.0"}}, 1e24, LICENCE, "fails", "NonCommercial: only non-commercial use"),
        ({"params_final": {"licence": "CC-BY-ND-4.0"}}, 1e24, LICENCE, "fails", "NoDerivatives"),
        ({"params_final": {"licence": "research only"}}, 1e24, LICENCE, "fails", "only use for research"),
        ({"params_final": {"licence": None}}, 1e24, LICENCE, "fails", "no licence"),
        ({"params_final": {"licence": "OpenRAIL-M"}}, 1e24, LICENCE, "unknown", "a person must judge"),
        ({"params_final": {"licence": "Gemma Terms of Use"}}, 1e24, LICENCE, "unknown", "a person must judge"),
        ({"params_final": {"licence": "unknown", "note": "no card"}}, 1e24, LICENCE, "unknown", "its terms are not known (no card)"),
        ({"params_final": {"licence": "GPL-3.0-only"}}, 1e24, LICENCE, "passes", "GPL-3.0-only"),
        ({"params_final": NO}, 1e24, LICENCE, "fails", "final parameters: not published"),
        ({"params_final": NO}, 1e24, WEIGHTS, "fails", "final parameters: not published"),
        ({"params_final": {"absent": True}}, 1e24, WEIGHTS, "unknown", "not found where it was looked for"),
        ({"params_final": {"note": "gated"}}, 1e24, WEIGHTS, "passes", "final parameters: gated"),
        ({"model_architecture": NO}, 1e24, ARCHITECTURE, "unknown", "technical report, research paper, model card, inference code: published;"),
        ({"model_architecture": NO, **PAPERS}, 1e24, ARCHITECTURE, "fails", "model architecture: not published"),
        ({"model_architecture": NO, **PAPERS, "research_paper": NOT_SAID}, 1e24, ARCHITECTURE, "unknown", "research paper: not known"),
        (PAPERS, 1e24, USAGE, "fails", "model card: not published"),
        ({"model_card": NO}, 1e24, USAGE, "passes", "inference code"),
        ({**PAPERS, "inference_code": {}}, 1e24, USAGE, "unknown", "inference code: published;"),
        ({**PAPERS, "model_card": NOT_SAID}, 1e24, USAGE, "unknown", "model card: not known whether it is published"),
    ],
)  # fmt: skip
def test_the_european_exemption_is_read_condition_by_condition(
    changed: dict[str, dict[str, Any]], flop: float | None, condition: int, outcome: str, told: str
) -> None:
    found = openness(parts(*MOF_COMPONENTS, **changed), FULL, told=facts(flop)).eu_exemption
    answered = found.conditions[condition]
    assert answered.outcome == outcome
    assert any(told in reason for reason in answered.reasons)
    outcomes = {of.outcome for of in found.conditions}
    assert found.outcome == ("fails" if "fails" in outcomes else "unknown" if "unknown" in outcomes else "passes")
    words = {"passes": "are met", "fails": "are not met", "unknown": "it is not known whether"}
    assert words[found.outcome] in found.says
    assert found.says.startswith("by what is published")


def test_what_makes_a_licence_unfree_is_told_without_what_only_may() -> None:
    """Of Llama 3's clauses: the threshold of users, not the use policy, which may be a term for safety."""
    found = openness(parts("params_final", licence="LicenseRef-Meta-Llama-3-Community"), told=facts()).eu_exemption
    reasons = found.conditions[LICENCE].reasons
    assert any("meta-llama/llama3@" in reason for reason in reasons)
    assert not any("acceptable use policy" in reason for reason in reasons)


def test_the_european_reading_says_what_stays_due_and_what_it_does_not_decide() -> None:
    made = parts(*MOF_COMPONENTS)
    by_record = openness(made, record=True).eu_exemption
    assert [(of.article, of.where) for of in by_record.still_due] == [
        ("53(1)(c); recital 104", None), ("53(1)(d); recital 104", None)
    ]  # fmt: skip
    assert "no legal advice" in by_record.note
    assert "general-purpose AI models only" in by_record.note
    assert "by this record alone" in by_record.note
    assert any("recital 103" in line for line in by_record.not_decided)
    at = "https://example.org/summary"
    told = openness(made, FULL, told=facts(training_summary=at)).eu_exemption
    assert [of.where for of in told.still_due] == [None, at]
    assert told.outcome == "passes"
