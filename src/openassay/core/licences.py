"""Whether a licence is open: SPDX expressions, told by published lists; for terms that are not, the clauses that refuse.

The lists are facts of others (`licences.json` says whose, and when): nothing here judges a text. What stands on no list is
`unknown`, never open.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

from boolean.boolean import ParseError
from license_expression import ExpressionError, LicenseExpression, LicenseSymbol, LicenseWithExceptionSymbol, Licensing

from openassay.core.openness_records import Answer, Clause

Content = Literal["code", "data", "document"]
KINDS: tuple[Content, ...] = ("code", "data", "document")

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


@dataclass(frozen=True)
class LicenceTerms:
    """What the published lists say of one licence or expression."""

    text: str | None
    """As stated; none for no licence."""
    osi: Answer
    """Whether the Open Source Initiative has approved it."""
    open: Answer
    """Whether it is on any list of open licences: OSI, FSF, open data and documents, open models."""
    free: Answer
    """Whether it is free and open-source in the sense of Article 53(2) of Regulation (EU) 2024/1689: open terms are, terms with a
    clause that takes use, modification or distribution away are not; for one that only names purposes a person must judge."""
    fits: tuple[Content, ...] = ()
    """Kinds of content that the Model Openness Tool calls it type-appropriate for."""
    clauses: tuple[Clause, ...] = ()
    """What refuses a freedom, where it is not open and we know the terms."""
    reason: str = ""
    """Why it is not (known to be) open; empty where it is."""


@dataclass(frozen=True)
class _Lists:
    osi: frozenset[str]
    open: frozenset[str]
    known: frozenset[str]
    spelling: dict[str, str]
    """Lower case to the identifier as SPDX writes it."""
    exceptions: frozenset[str]
    fits: dict[str, tuple[Content, ...]]
    custom: tuple[tuple[re.Pattern[str], tuple[Clause, ...]], ...]
    """What matches a text in small letters, and the clauses of such terms that refuse a freedom."""


@cache
def _lists() -> _Lists:
    data = json.loads(Path(__file__).with_name("licences.json").read_text(encoding="utf-8"))
    approved = frozenset(data["osi_approved"])
    is_open = approved.union(data["fsf_libre"], data["open_data"], data["open_model"])
    known = is_open.union(data["known_not_open"])
    fits = {name: tuple(kind for kind in KINDS if name in data["type_appropriate"][kind]) for name in known}
    custom = []
    for entry in data["custom"]:
        source = entry["source"] + ("" if entry["read"] == "yes" else f" (text read: {entry['read']})")
        clauses = (Clause(**of | {"hinders": tuple(of["hinders"]), "source": source}) for of in entry["clauses"])
        custom.append((re.compile(entry["match"]), tuple(clauses)))
    return _Lists(
        osi=approved, open=is_open, known=known, spelling={name.lower(): name for name in known},
        exceptions=frozenset(name.lower() for name in data["exceptions"]), fits=fits, custom=tuple(custom),
    )  # fmt: skip


def identifiers() -> frozenset[str]:
    """Every identifier that the lists know, as SPDX spells it."""
    return _lists().known


def every(answers: list[Answer]) -> Answer:
    """All must pass: one that fails fails all, else one that is unknown leaves all unknown. Nothing asked is nothing known."""
    return "fails" if "fails" in answers else "passes" if set(answers) == {"passes"} else "unknown"


def some(answers: list[Answer]) -> Answer:
    """One that passes is enough; all fail only where each one does."""
    return "passes" if "passes" in answers else "fails" if set(answers) == {"fails"} else "unknown"


def terms_of(text: str | None, *, exact: bool = False) -> LicenceTerms:
    """What the lists say of a licence. `exact`: as in the Model Openness Tool, only SPDX's own spelling counts."""
    plain = (text or "").strip()
    if plain.lower() in _NONE:
        reason = "no licence: nothing is permitted beyond what the law permits"
        return LicenceTerms(None, "fails", "fails", "fails", reason=reason)
    if plain.lower() in _UNKNOWN:
        return _unknown(text, "its terms are not known")
    if len(plain) > MAX_CHARACTERS:
        return _unknown(text, "its terms are a long text and stand on no list")
    whole = _unlisted(plain, f"{plain!r} is no SPDX expression, and stands on no list that we know")
    try:
        tree = Licensing().parse(plain)
    except (ExpressionError, ParseError):
        return whole
    if tree is None:
        return whole
    found = _of_tree(tree, exact)
    if not (_WORD.search(plain) and any(" " in str(symbol.key) for symbol in Licensing().license_symbols(tree))):
        return found
    # A sentence with `and` or `or` in it is no expression: of "not MIT or Apache-2.0" no part says what it grants.
    if whole.open == "fails" and found.open != "fails":
        return _unknown(text, f"{plain!r} is no SPDX expression, and may be a choice")
    return whole


def _unknown(text: str | None, reason: str) -> LicenceTerms:
    return LicenceTerms(text, "unknown", "unknown", "unknown", reason=reason)


def _unlisted(text: str, reason: str) -> LicenceTerms:
    """LicenceTerms that SPDX does not list: refused where we know a clause that refuses, else unknown."""
    clauses = tuple(c for match, of in _lists().custom if match.search(text.lower()) for c in of)
    if not clauses:
        return _unknown(text, reason)
    named = "; ".join(f"{clause.clause}: {clause.effect}" for clause in clauses)
    free = every([clause.free for clause in clauses])
    return LicenceTerms(text, "fails", "fails", free, clauses=clauses, reason=f"{text} is not open ({named})")


def _of_tree(tree: LicenseExpression, exact: bool) -> LicenceTerms:
    if isinstance(tree, LicenseWithExceptionSymbol):
        base, exception = _of_identifier(str(tree.license_symbol.key), exact), str(tree.exception_symbol.key)
        text = f"{base.text} WITH {exception}"
        if exception.lower() in _lists().exceptions or base.open != "passes":
            return replace(base, text=text)
        return _unknown(text, f"SPDX lists no exception {exception}")
    if isinstance(tree, LicenseSymbol):
        return _of_identifier(str(tree.key), exact)
    parts = [_of_tree(part, exact) for part in tree.args]
    either = tree.operator.strip().upper() == "OR"
    combine = some if either else every
    is_open = combine([part.open for part in parts])
    used = [part for part in parts if not either or part.open == is_open]  # of a choice, the better sides
    fits = tuple(k for k in KINDS if (any if either else all)(k in part.fits for part in used))
    return LicenceTerms(
        f" {'OR' if either else 'AND'} ".join(_bracketed(part.text or "") for part in parts),
        combine([part.osi for part in parts]), is_open, combine([part.free for part in parts]), fits=fits,
        clauses=() if is_open == "passes" else tuple(dict.fromkeys(c for part in used for c in part.clauses)),
        reason="" if is_open == "passes" else "; ".join(part.reason for part in parts if part.reason),
    )  # fmt: skip


def _bracketed(text: str) -> str:
    return f"({text})" if " OR " in text or " AND " in text else text


def _of_identifier(name: str, exact: bool) -> LicenceTerms:
    lists = _lists()
    for candidate in (name, name.removesuffix("+")):
        listed = candidate if exact else lists.spelling.get(candidate.lower(), candidate)
        if listed not in lists.known:
            continue
        if not exact and listed in _FORMER:
            return replace(terms_of(_FORMER[listed]), text=name)
        if listed in lists.open:
            approved: Answer = "passes" if listed in lists.osi else "fails"
            return LicenceTerms(name, approved, "passes", "passes", fits=lists.fits[listed])
        refused = _unlisted(name, f"{name} is on no list of open licences")
        # not approved is a fact; not open is one only where we know what it refuses
        return replace(refused, osi="fails", fits=lists.fits[listed])
    if proper := lists.spelling.get(name.lower()):
        if proper not in lists.open:  # not open in any spelling
            return _of_identifier(proper, exact)
        return _unknown(name, f"{name!r} is not how SPDX spells it ({proper})")
    if name.lower() in _NONE | _UNKNOWN:
        return terms_of(name)
    return _unlisted(name, f"{name} is no SPDX licence, and its terms stand on no list that we know")
