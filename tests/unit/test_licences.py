"""Is a licence open? Published lists, the operators of SPDX expressions, and the clauses that refuse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openassay.core.licences import MAX_CHARACTERS, every, identifiers, some, terms_of
from openassay.core.openness_records import Answer

OPEN = ["MIT", "Apache-2.0", "GPL-3.0-only", "BSD-3-Clause"]
REFUSED = ["CC-BY-NC-4.0", "LicenseRef-Llama-2-Community", "CC-BY-ND-4.0", "LicenseRef-OpenRAIL-M"]
UNKNOWN = ["unknown", "NOASSERTION", "LicenseRef-of-our-own"]
ANY = st.sampled_from(OPEN + REFUSED + UNKNOWN)
RANK = {"fails": 0, "unknown": 1, "passes": 2}


@pytest.mark.parametrize(
    ("text", "osi", "is_open"),
    [
        ("Apache-2.0", "passes", "passes"),
        ("apache-2.0", "passes", "passes"),  # SPDX compares identifiers without regard to case
        ("MIT AND Apache-2.0", "passes", "passes"),
        ("MIT OR CC-BY-NC-4.0", "passes", "passes"),  # whoever takes it may choose
        ("MIT AND CC-BY-NC-4.0", "fails", "fails"),
        ("MIT AND unknown", "unknown", "unknown"),
        ("CC-BY-NC-4.0 AND unknown", "fails", "fails"),
        ("(MIT OR CC-BY-NC-4.0) AND Apache-2.0", "passes", "passes"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "passes", "passes"),
        ("GPL-2.0-only WITH Unheard-of-exception", "unknown", "unknown"),
        ("CC-BY-NC-4.0 WITH Unheard-of-exception", "fails", "fails"),
        ("GPL-2.0+", "passes", "passes"),
        ("Apache-2.0+", "passes", "passes"),
        ("CC-BY-4.0", "fails", "passes"),  # open for data and documents, but not OSI-approved
        ("CDLA-Permissive-2.0", "fails", "passes"),
        ("OpenMDW-1.0", "fails", "passes"),
        ("PDDL-1.0", "fails", "unknown"),  # SPDX lists it, no list calls it open, and we know of no clause that refuses
        ("CC-BY-NC-SA-4.0", "fails", "fails"),
        ("unlicensed", "fails", "fails"),
        (None, "fails", "fails"),
        ("", "fails", "fails"),
        ("unknown", "unknown", "unknown"),
        ("NOASSERTION", "unknown", "unknown"),
        ("MIT license", "unknown", "unknown"),  # neither an identifier nor terms that we know
        ("(MIT", "unknown", "unknown"),
        ("MIT OR", "unknown", "unknown"),
        ("WITH", "unknown", "unknown"),
        ("M" * (MAX_CHARACTERS + 1), "unknown", "unknown"),
        ("Llama 2 Community License", "fails", "fails"),
        ("Meta Llama 3 Community License Agreement", "fails", "fails"),
        ("Llama 3.1 Community License", "fails", "fails"),
        ("bigscience-bloom-rail-1.0", "fails", "fails"),
        ("Gemma LicenceTerms of Use", "fails", "fails"),
        ("arXiv.org perpetual, non-exclusive license 1.0", "fails", "fails"),
        ("arXiv", "unknown", "unknown"),  # arXiv offers several licences
        ("microsoft-research-license", "fails", "fails"),
        ("Proprietary", "fails", "fails"),
        ("(c) 2020 A Company. All rights reserved.", "fails", "fails"),
        (
            "BSD. (c) 2020 A Company. All rights reserved.",
            "unknown",
            "unknown",
        ),  # these words stand in every BSD licence
        ("free for commercial and non-commercial use", "unknown", "unknown"),  # a permission, not a refusal
        ("free for non-commercial use", "fails", "fails"),
        ("neither MIT or Apache-2.0", "unknown", "unknown"),  # a sentence, not a choice
        ("mit or apache-2.0", "passes", "passes"),
        ("Llama 2 Community License or MIT", "unknown", "unknown"),
        ("research only and non-commercial", "fails", "fails"),
        ("GPL-2.0-with-classpath-exception", "passes", "passes"),  # SPDX's former name of GPL-2.0-only WITH ...
        ("BSD-2-Clause-NetBSD", "passes", "passes"),
    ],
)
def test_terms(text: str | None, osi: Answer, is_open: Answer) -> None:
    found = terms_of(text)
    assert (found.osi, found.open) == (osi, is_open)
    assert bool(found.reason) == (is_open != "passes")


def test_the_spelling_of_an_identifier_counts_where_it_is_asked_for() -> None:
    assert terms_of("apache-2.0", exact=True).open == "unknown"
    assert "Apache-2.0" in terms_of("apache-2.0", exact=True).reason
    assert terms_of("Apache-2.0", exact=True).open == "passes"
    assert terms_of("cc-by-nc-4.0", exact=True).open == "fails"  # not open in any spelling
    assert terms_of("GPL-2.0-with-GCC-exception", exact=True).open != "passes"


@pytest.mark.parametrize(
    ("text", "clause", "hinders"),
    [
        ("LicenseRef-Llama-2-Community", "section 2", {"use", "modify", "share"}),
        ("LicenseRef-Llama-2-Community", "section 1.b.v", {"use", "modify"}),
        ("LicenseRef-Llama-2-Community", "section 1.b.iv", {"use", "share"}),
        ("Llama 3 Community License", "section 1.b.v", {"use", "modify"}),
        ("Llama 3.1 Community License", "section 1.b.i", {"modify", "share"}),
        ("CC-BY-NC-4.0", "NonCommercial", {"use", "modify", "share"}),
        ("CC-BY-ND-4.0", "NoDerivatives", {"modify", "share"}),
        ("OpenRAIL", "use-based restrictions (Attachment A)", {"use", "modify", "share"}),
    ],
)
def test_a_refusing_clause_is_named_with_its_source(text: str, clause: str, hinders: set[str]) -> None:
    found = {item.clause: item for item in terms_of(text).clauses}
    assert set(found[clause].hinders) == hinders
    assert found[clause].source


@pytest.mark.parametrize(
    ("text", "free"),
    [
        ("MIT", "passes"), ("MIT OR CC-BY-NC-4.0", "passes"), ("CC-BY-NC-4.0", "fails"), ("MIT AND CC-BY-NC-4.0", "fails"),
        ("OpenRAIL", "unknown"), ("LicenseRef-OpenRAIL OR CC-BY-NC-4.0", "unknown"), ("LicenseRef-OpenRAIL AND CC-BY-NC-4.0", "fails"),
        ("Llama 3.1 Community License", "fails"), ("unknown", "unknown"), ("NOASSERTION AND MIT", "unknown"), (None, "fails"),
    ],
)  # fmt: skip
def test_free_in_the_sense_of_the_regulation(text: str | None, free: str) -> None:
    """Use-based restrictions alone decide nothing: its guidelines let terms for safety pass."""
    assert terms_of(text).free == free


def test_every_clause_of_a_licence_with_two_restrictions_is_named() -> None:
    assert {item.clause for item in terms_of("CC-BY-NC-ND-4.0").clauses} == {"NonCommercial", "NoDerivatives"}


def test_llama_3_1_no_longer_forbids_to_improve_other_models() -> None:
    assert "section 1.b.v" not in {item.clause for item in terms_of("Llama 3.1 Community License").clauses}


def test_no_open_licence_carries_a_refusing_clause() -> None:
    for name in identifiers():
        found = terms_of(name)
        assert found.osi != "unknown"
        assert (found.open == "fails") == bool(found.clauses)
        assert (found.open == "passes") == (found.free == "passes")


@given(ANY, ANY)
def test_a_conjunction_is_never_better_than_its_parts_and_a_choice_never_worse(one: str, other: str) -> None:
    a, b = RANK[terms_of(one).open], RANK[terms_of(other).open]
    assert RANK[terms_of(f"{one} AND {other}").open] == min(a, b)
    assert RANK[terms_of(f"{one} OR {other}").open] == max(a, b)


@given(st.text(max_size=600))
def test_no_text_is_more_than_a_reader_can_bear(text: str) -> None:
    assert terms_of(text).open in RANK
    assert terms_of(text, exact=True).open in RANK


@given(st.lists(st.sampled_from(["passes", "fails", "unknown"]), max_size=5))
def test_an_unknown_never_passes(answers: list[Answer]) -> None:
    if "unknown" in answers:
        assert every(answers) != "passes"
    if "passes" not in answers:
        assert some(answers) != "passes"
    assert every([]) == some([]) == "unknown"
