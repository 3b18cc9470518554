"""Recognises the texts of licences by SPDX's own: nearly all of it must be there, and nothing foreign inside.

`licence_texts.json` holds, for each licence, hashes of every three words in a row of its text in SPDX's licence list; it says
which list, and `tests/licence_texts.py` makes it. Copyright lines, markup and the names of holders do not count.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

MOST_WORDS = 60_000
NEEDED = 0.9
"""Share of a licence's text that must be there."""
UNBROKEN = 0.88
"""Of its words, so many must stand in one stretch."""
SHORT = 1000
"""Words of a licence, up to which it is a short one."""
FOREIGN = {True: 6, False: 12}
"""Words in a row that are not the licence's and may stand inside a short one (names of holders), or a long one (addresses)."""
ADDITION = 150
"""Words beside the licences, up to which they may be terms that are added; more of them are notices of others."""
_COPYRIGHT = re.compile(
    r"^\W*((copyright|Copyright|COPYRIGHT)\s*(\([cC]\)|©|[\[<{]|\d{4})|(\([cC]\)|©)\s*\d{4}|Copyright [A-Z]"
    r"|[Aa]ll rights reserved).*$",
    re.MULTILINE,
)
_MARKUP = re.compile(r"https?://\S+|[#*_=<>/\\|`~-]+")
_ADDED = re.compile(
    r"\b(commons clause|non ?commercial|additional (terms|restrictions|conditions)|(shall|may|must) not|prohibit\w*|restrict\w*"
    r"|except (as|that|where)|notwithstanding|without specific|patent|governed|not (designed|licensed|intended))\b"
)
"""What a preface or an appendix that changes the terms would say."""


@dataclass(frozen=True)
class _Template:
    name: str
    num_words: int
    grams: frozenset[int]


def words_of(text: str) -> list[str]:
    """The words that count of a licence's text."""
    plain = _MARKUP.sub(" ", _COPYRIGHT.sub(" ", text)).lower().replace("licence", "license")
    return re.findall(r"[a-z0-9]+", plain)


def grams_of(words: list[str]) -> list[int]:
    """A hash of every three words in a row."""
    return [zlib.crc32(" ".join(words[at : at + 3]).encode()) for at in range(len(words) - 2)]


@cache
def _templates() -> tuple[_Template, ...]:
    known = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))["licences"]
    return tuple(
        _Template(name, of["words"], frozenset(np.frombuffer(base64.b64decode(of["grams"]), "<u4").tolist()))
        for name, of in known.items()
    )


@cache
def texts_in(text: str) -> frozenset[str]:
    """The SPDX identifiers of the licences whose whole texts a file holds, without `-only`; none where it adds terms to them."""
    words = words_of(text)
    if not 20 < len(words) <= MOST_WORDS:
        return frozenset()
    grams = grams_of(words)
    present, covered = set(grams), np.zeros(len(words), bool)
    found: list[_Template] = []
    shares = {of: len(of.grams & present) / len(of.grams) for of in _templates()}
    for template in sorted(shares, key=lambda of: (-shares[of], -of.num_words)):
        if shares[template] < NEEDED or any(_alike(template, better) for better in found):
            continue
        own = _covered(grams, template.grams, len(words))
        if _longest(own, FOREIGN[template.num_words <= SHORT]) >= UNBROKEN * template.num_words:
            found.append(template)
            covered |= own
    left = [word for word, is_known in zip(words, covered, strict=True) if not is_known]
    has_additions = len(left) <= ADDITION and _ADDED.search(" ".join(left))
    return frozenset() if has_additions else frozenset(of.name for of in found)


def _alike(one: _Template, two: _Template) -> bool:
    """Whether two licences share most of their words, so that one text cannot be both."""
    return len(one.grams & two.grams) > min(len(one.grams), len(two.grams)) / 2


def _covered(grams: list[int], known: frozenset[int], count: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether each word stands in three words in a row that a licence has."""
    hit = np.zeros(count, bool)
    hit[: len(grams)] = [gram in known for gram in grams]
    return hit | np.roll(hit, 1) | np.roll(hit, 2)


def _longest(covered: np.ndarray[tuple[int], np.dtype[np.bool_]], foreign: int) -> int:
    """The longest stretch, in words, in which at most so many foreign words stand in a row."""
    edges = np.flatnonzero(covered)
    breaks = np.flatnonzero(np.diff(edges) > foreign + 1)
    starts, ends = np.concatenate(([0], breaks + 1)), np.concatenate((breaks, [len(edges) - 1]))
    return int((edges[ends] - edges[starts]).max()) + 1
