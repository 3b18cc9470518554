"""Licence texts are told apart as SPDX tells them: held against every text of its licence list."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from licence_texts import NAMES, spdx_texts, template, templates

from openassay.published import licence_texts
from openassay.published.licences import recognise

TEXTS = spdx_texts()
EQUAL = {
    "BSD-2-Clause-FreeBSD": "BSD-2-Clause", "BSD-2-Clause-NetBSD": "BSD-2-Clause", "BSD-2-Clause-Views": "BSD-2-Clause",
    "MPL-2.0-no-copyleft-exception": "MPL-2.0",
}  # fmt: skip
"""Other names for the same terms, but for disclaimers of views and notices."""
TOLD_WRONGLY = {"FSL-1.1-MIT", "ImageMagick", "Net-SNMP", "Sleepycat"}
"""They hold another licence's whole text, and add to it."""


def plain(name: str) -> str:
    return re.sub(r"(-only|-or-later|\+)$", "", name)


def test_every_text_of_the_list_is_its_own_licence_or_none_of_ours() -> None:
    wrong = {}
    for name, text in TEXTS.items():
        wanted = {EQUAL.get(name, plain(name))} & set(NAMES)
        if name not in TOLD_WRONGLY and (found := recognise(text)) != wanted:
            wrong[name] = found
    assert len(TEXTS) > 600
    assert wrong == {}


def test_the_file_is_made_from_these_texts() -> None:
    kept = json.loads(Path(licence_texts.__file__).with_suffix(".json").read_text(encoding="utf-8"))["licences"]
    assert kept == templates()


@pytest.mark.parametrize(
    ("name", "changed", "found"),
    [
        ("MIT", lambda text: "# Licence\n\nCopyright (c) 2020-2024 Somebody Else\n\n" + text, {"MIT"}),
        ("MIT", lambda text: text.replace("\n\n", "\n").upper(), {"MIT"}),
        ("MIT", lambda text: text + "\n\nThe Software may not be used by companies.\n", set()),
        ("MIT", lambda text: text.replace("The above copyright", "The Software shall be used for good, never for evil, and by nobody else.\n\nThe above copyright"), set()),
        ("MIT", lambda text: text[: len(text) // 2], set()),
        ("BSD-3-Clause", lambda text: text.replace("the copyright holder", "the University of Somewhere"), {"BSD-3-Clause"}),
        ("MIT", lambda text: text + "\n\n" + TEXTS["Apache-2.0"], {"MIT", "Apache-2.0"}),
        ("GPL-3.0", lambda text: text.partition("END OF TERMS")[0], {"GPL-3.0"}),
        ("LGPL-3.0", lambda text: text, {"LGPL-3.0"}),
    ],
)  # fmt: skip
def test_a_text_may_be_laid_out_otherwise_but_not_changed(name: str, changed: object, found: set[str]) -> None:
    assert callable(changed)
    assert recognise(changed(template(name, TEXTS))) == found


def test_a_long_text_has_an_end() -> None:
    assert recognise("permission is hereby granted " * 400_000) == set()
    assert recognise("\n".join(f"word{i}" for i in range(59_000))) == set()
