"""Is a licence open? SPDX expressions, told by published lists; for terms that are not, which clause refuses which freedom.

The lists are facts of others (`licences.json` says whose, and when): nothing here judges a text. What stands on no list is
`unknown`, never open.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from boolean.boolean import ParseError
from license_expression import ExpressionError, LicenseExpression, LicenseSymbol, LicenseWithExceptionSymbol, Licensing

from openassay.core.openness_records import Answer, Clause

Content = Literal["code", "data", "document"]

MAX_CHARACTERS = 500
"""Of a licence's name or expression; longer texts are not read."""

_NONE = {"", "unlicensed", "none", "no licence", "no license", "licence not specified", "license not specified"}
_UNKNOWN = {"unknown", "noassertion", "undisclosed", "unverified", "pending evaluation", "mixed", "conflict", "other"}


_WORD = re.compile(r"\b(and|or|with)\b")
_FORMER = {
    "GPL-2.0-with-GCC-exception": "GPL-2.0-only WITH GCC-exception-2.0",
    "GPL-2.0-with-autoconf-exception": "GPL-2.0-only WITH Autoconf-exception-2.0",
    "GPL-2.0-with-bison-exception": "GPL-2.0-only WITH Bison-exception-2.2",
    "GPL-2.0-with-classpath-exception": "GPL-2.0-only WITH Classpath-exception-2.0",
    "GPL-2.0-with-font-exception": "GPL-2.0-only WITH Font-exception-2.0",
    "GPL-3.0-with-autoconf-exception": "GPL-3.0-only WITH Autoconf-exception-3.0",
    "BSD-2-Clause-NetBSD": "BSD-2-Clause", "eCos-2.0": "GPL-2.0-or-later WITH eCos-exception-2.0", "StandardML-NJ": "SMLNJ",
}  # fmt: skip
"""Identifiers that SPDX has replaced: the same terms under another name, on which OSI's approval is listed."""


@dataclass(frozen=True, kw_only=True)
class LicenceTerms:
    """What the published lists say of one licence or expression."""

    text: str | None
    """As stated; none for no licence."""
    osi: Answer
    """Is it approved by the Open Source Initiative?"""
    open: Answer
    """Is it on any list of open licences: OSI, FSF, open data and documents, open models?"""
    fits: tuple[Content, ...]
    """Kinds of content that the Model Openness Tool calls it type-appropriate for."""
    clauses: tuple[Clause, ...]
    """What refuses a freedom, where it is not open and we know the terms."""
    reason: str
    """Why it is not (known to be) open; empty where it is."""


@dataclass(frozen=True)
class _Custom:
    match: re.Pattern[str]
    clauses: tuple[Clause, ...]


@dataclass(frozen=True)
class _Lists:
    osi: frozenset[str]
    open: frozenset[str]
    known: frozenset[str]
    spelling: dict[str, str]
    """Lower case to the identifier as SPDX writes it."""
    exceptions: frozenset[str]
    fits: dict[str, tuple[Content, ...]]
    custom: tuple[_Custom, ...]


@cache
def _lists() -> _Lists:
    data = json.loads(Path(__file__).with_name("licences.json").read_text(encoding="utf-8"))
    approved = frozenset(data["osi_approved"])
    is_open = approved.union(data["fsf_libre"], data["open_data"], data["open_model"])
    known = is_open.union(data["known_not_open"])
    kinds: tuple[Content, ...] = ("code", "data", "document")
    fits = {name: tuple(kind for kind in kinds if name in data["type_appropriate"][kind]) for name in known}
    custom = tuple(
        _Custom(
            re.compile(entry["match"]),
            tuple(
                Clause(
                    clause=clause["clause"], effect=clause["effect"], hinders=tuple(clause["hinders"]),
                    source=entry["source"] + ("" if entry["read"] == "yes" else f" (text read: {entry['read']})"),
                )
                for clause in entry["clauses"]
            ),
        )
        for entry in data["custom"]
    )  # fmt: skip
    return _Lists(
        osi=approved, open=is_open, known=known, spelling={name.lower(): name for name in known},
        exceptions=frozenset(name.lower() for name in data["exceptions"]), fits=fits, custom=custom,
    )  # fmt: skip


def identifiers() -> frozenset[str]:
    """Every identifier that the lists know, as SPDX spells it."""
    return _lists().known


def every(answers: list[Answer]) -> Answer:
    """All must pass: one that fails fails all, else one that is unknown leaves all unknown. Nothing asked is nothing known."""
    if "fails" in answers:
        return "fails"
    return "passes" if answers and all(answer == "passes" for answer in answers) else "unknown"


def some(answers: list[Answer]) -> Answer:
    """One that passes is enough; all fail only where each one does."""
    if "passes" in answers:
        return "passes"
    return "fails" if answers and all(answer == "fails" for answer in answers) else "unknown"


def terms_of(text: str | None, *, exact: bool = False) -> LicenceTerms:
    """What do the lists say of this licence? `exact`: as in the Model Openness Tool, only SPDX's own spelling counts."""
    plain = (text or "").strip()
    if plain.lower() in _NONE:
        return _terms(None, "fails", "fails", reason="no licence: nothing is permitted beyond what the law permits")
    if plain.lower() in _UNKNOWN:
        return _terms(text, "unknown", "unknown", reason="its terms are not known")
    if len(plain) > MAX_CHARACTERS:
        return _terms(text, "unknown", "unknown", reason="its terms are a long text and stand on no list")
    try:
        tree = Licensing().parse(plain)
    except (ExpressionError, ParseError):
        tree = None
    if tree is None:
        return _unlisted(plain, f"{plain!r} is no SPDX expression, and stands on no list that we know")
    found = _of_tree(tree, exact)
    if not (_WORD.search(plain) and any(" " in str(symbol.key) for symbol in Licensing().license_symbols(tree))):
        return found
    # A sentence with `and` or `or` in it is no expression: of "not MIT or Apache-2.0" no part says what it grants.
    whole = _unlisted(plain, f"{plain!r} is no SPDX expression, and stands on no list that we know")
    if whole.open == "fails" and found.open != "fails":
        return _terms(text, "unknown", "unknown", reason=f"{plain!r} is no SPDX expression, and may be a choice")
    return whole


def _terms(
    text: str | None, osi: Answer, is_open: Answer, *, reason: str = "", fits: tuple[Content, ...] = (),
    clauses: tuple[Clause, ...] = (),
) -> LicenceTerms:  # fmt: skip
    return LicenceTerms(text=text, osi=osi, open=is_open, fits=fits, clauses=clauses, reason=reason)


def _unlisted(text: str, reason: str) -> LicenceTerms:
    """LicenceTerms that SPDX does not list: refused where we know a clause that refuses, else unknown."""
    clauses = tuple(c for custom in _lists().custom if custom.match.search(text.lower()) for c in custom.clauses)
    if not clauses:
        return _terms(text, "unknown", "unknown", reason=reason)
    named = "; ".join(f"{clause.clause}: {clause.effect}" for clause in clauses)
    return _terms(text, "fails", "fails", clauses=clauses, reason=f"{text} is not open ({named})")


def _of_tree(tree: LicenseExpression, exact: bool) -> LicenceTerms:
    if isinstance(tree, LicenseWithExceptionSymbol):
        base = _of_identifier(str(tree.license_symbol.key), exact)
        exception = str(tree.exception_symbol.key)
        if exception.lower() in _lists().exceptions or base.open != "passes":
            return _renamed(base, f"{base.text} WITH {exception}")
        return _terms(
            f"{base.text} WITH {exception}", "unknown", "unknown", reason=f"SPDX lists no exception {exception}"
        )
    if isinstance(tree, LicenseSymbol):
        return _of_identifier(str(tree.key), exact)
    parts = [_of_tree(part, exact) for part in tree.args]
    either = tree.operator.strip().upper() == "OR"
    combine = some if either else every
    is_open = combine([part.open for part in parts])
    used = [part for part in parts if not either or part.open == is_open]  # of a choice, the better sides
    kinds: tuple[Content, ...] = ("code", "data", "document")
    fits = tuple(k for k in kinds if (any if either else all)(k in part.fits for part in used))
    return _terms(
        f" {'OR' if either else 'AND'} ".join(_bracketed(part.text or "") for part in parts),
        combine([part.osi for part in parts]), is_open, fits=fits,
        clauses=() if is_open == "passes" else tuple(dict.fromkeys(c for part in used for c in part.clauses)),
        reason="" if is_open == "passes" else "; ".join(part.reason for part in parts if part.reason),
    )  # fmt: skip


def _bracketed(text: str) -> str:
    return f"({text})" if " OR " in text or " AND " in text else text


def _renamed(terms: LicenceTerms, text: str) -> LicenceTerms:
    return _terms(text, terms.osi, terms.open, reason=terms.reason, fits=terms.fits, clauses=terms.clauses)


def _of_identifier(name: str, exact: bool) -> LicenceTerms:
    lists = _lists()
    for candidate in (name, name.removesuffix("+")):
        listed = candidate if exact else lists.spelling.get(candidate.lower(), candidate)
        if listed not in lists.known:
            continue
        if not exact and listed in _FORMER:
            return _renamed(terms_of(_FORMER[listed]), name)
        if listed in lists.open:
            approved: Answer = "passes" if listed in lists.osi else "fails"
            return _terms(name, approved, "passes", fits=lists.fits[listed])
        refused = _unlisted(name, f"{name} is on no list of open licences")
        # not approved is a fact; not open is one only where we know what it refuses
        return _terms(
            name, "fails", refused.open, fits=lists.fits[listed], clauses=refused.clauses, reason=refused.reason
        )  # fmt: skip
    if lists.spelling.get(name.lower()):
        proper = lists.spelling[name.lower()]
        if proper not in lists.open:  # not open in any spelling
            return _of_identifier(proper, exact)
        return _terms(name, "unknown", "unknown", reason=f"{name!r} is not how SPDX spells it ({proper})")
    if name.lower() in _NONE | _UNKNOWN:
        return terms_of(name)
    return _unlisted(name, f"{name} is no SPDX licence, and its terms stand on no list that we know")
