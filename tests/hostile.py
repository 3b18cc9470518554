"""What a hostile release may call itself."""

from __future__ import annotations

from dataclasses import replace

from openassay.catalogue import CatalogueEntry
from openassay.core.deviations import Deviation

HOSTILE = [
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "</td></table><h1 id='owned'>REPRODUCED</h1>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:document.title='owned'",
    "\u202egnp.exe",
    "]]><!--",
]


def hostile_entry(entries: list[CatalogueEntry]) -> CatalogueEntry:
    """An audited release whose every word is an attack."""
    entry = next(of for of in entries if of.target == "mnist1d_mlp")
    assert entry.verdict
    words = " ".join(HOSTILE)
    release = replace(entry.release, title=words, version=words, homepage=HOSTILE[4], paper=words, note=words)
    claims = tuple(replace(of, id=words, metric=words, unit=words, reason=words) for of in entry.verdict.claims)
    verdict = replace(
        entry.verdict, claims=claims, reason=words, in_words=words,
        deviations=tuple(Deviation(kind="other_data", what=of) for of in HOSTILE),
        provenance=replace(entry.verdict.provenance, auditor=words),
    )  # fmt: skip
    audits = tuple(replace(of, reason=words) for of in entry.audits)
    return replace(entry, release=release, verdict=verdict, audits=audits, review=words)
