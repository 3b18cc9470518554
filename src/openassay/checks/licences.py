"""Whether the places that declare a release's terms agree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations

from openassay.checks.check import Agreement, Contradiction, Seen, check, compared
from openassay.core.findings import Excerpt
from openassay.published.files import PublishedFiles, Text, excerpt
from openassay.published.licences import DeclaredTerms, declarations, meant, recognise


@check(needs="two places that declare the release's terms")
def licences_differ(release: PublishedFiles) -> Iterator[Seen]:
    """{one.evidence.path} ({one.what}) says {first}, {two.evidence.path} ({two.what}) says {second}; they cover {both}"""
    found = declarations(release)
    # Several licence files, or a place that names several, mean a choice or a mix.
    together: dict[object, frozenset[str]] = {}
    for of in found:
        together[_place(of)] = together.get(_place(of), frozenset()) | of.licences
    told = set()
    for one, two in combinations(found, 2):
        if not one.meets(two) or (_place(one) == _place(two) and one.what != "README"):
            continue
        left, right = (of.licences if one.what == two.what == "README" else together[_place(of)] for of in (one, two))
        pair = (one.what, two.what, left, right)
        if left & right:
            yield Agreement(one.evidence, two.evidence)
        elif pair not in told:
            told.add(pair)
            first, second = (" or ".join(sorted(names)) for names in (left, right))
            both = f"the {one.covers}" if one.covers == two.covers else f"the {one.covers} and the {two.covers}"
            yield Contradiction(one.evidence, two.evidence, one=one, two=two, first=first, second=second, both=both)


def _place(declared: DeclaredTerms) -> tuple[str, str, str]:
    """What is read together: all licence files of one thing, all lines of one place."""
    path = "" if declared.what.startswith("licence file") else declared.evidence.path
    return declared.what, path, declared.covers


_NAMED_FILE = re.compile(
    r"(?i)licen[cs]e[-._](?P<a>[a-z0-9.\-]+?)(\.(txt|md|rst))?$|(?P<b>[a-z0-9.\-]+?)[-._]licen[cs]e(\.(txt|md|rst))?$"
)


@check(needs="a licence file with a licence's name, or with an SPDX line")
def licence_text_of_another_name(release: PublishedFiles) -> Iterator[Seen]:
    """{path} is named {name}, but holds the text of {found}"""
    for text in release.texts:
        if re.search(r"(?i)third|3rd|vendor|node_modules", text.path):
            continue
        words, at = _licence_name(text)
        claimed = meant(words) if words else frozenset()
        recognised = recognise("\n".join(text.lines)) if claimed else frozenset()
        if not recognised:
            continue
        held, is_right = " and ".join(sorted(recognised)), recognised & claimed
        there = excerpt(text.path, "text", held if is_right else f"the text of {held}", 1)
        yield compared(is_right, at, there, path=text.path, name=words, found=held)


def _licence_name(text: Text) -> tuple[str, Excerpt]:
    """The licence that a file's name gives (`LICENSE-MIT`, `LICENSES/Apache-2.0.txt`) or its SPDX line, and the place."""
    at = excerpt(text.path, "name", text.name)
    if in_folder := re.search(r"(?:^|/)LICENSES/(?P<a>[^/]+)\.txt$", text.path):
        return in_folder["a"], at
    named = _NAMED_FILE.match(text.name)
    if named and (words := named["a"] or named["b"]):
        return words, at
    for number, line in enumerate(text.lines[:20] if re.match(r"(?i)(licen[cs]e|copying)", text.name) else (), 1):
        if found := re.search(r"SPDX-License-Identifier:\s*([\w.\-+]+)", line):
            return found.group(1), text.seen(number)
    return "", at
