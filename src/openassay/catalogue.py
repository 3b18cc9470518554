"""The catalogue: static pages of all targets and their audits, with feeds and badges, made of records alone.

No server, no build tool, nothing fetched; it can be read without JavaScript. The same records give the same bytes. Every string
of a release is escaped, and holds nothing that reorders what a reader sees.
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import jinja2
from markupsafe import Markup

from openassay import __version__
from openassay.core.tier_verdicts import beside, tier_words
from openassay.core.verdict import headline, weaker
from openassay.core.verdict_records import Basis, Outcome, ReleaseVerdict
from openassay.faults import BadInput, Fault, counted, naming, printable
from openassay.layout import OUR_CONF, Layout
from openassay.plan import Plan, read_plan
from openassay.project import target_names
from openassay.records import read_record
from openassay.report.bills import to_cyclonedx, to_ro_crate
from openassay.report.page import COLOURS, first_screen, number, shown, stamp, web_address
from openassay.reviewing import name_of, reviews, standing_in_words
from openassay.schedule import history
from openassay.seals import check
from openassay.target import Release, read_target

MEANING = {
    Outcome.REPRODUCED: "The published training, run again, gives the published numbers within a tolerance declared beforehand.",
    Outcome.NOT_REPRODUCED: "The training, as rerun, differs from the published one by more than the tolerance; luck cannot "
    "explain it. What was different is said beside it. It does not say that anybody did wrong.",
    Outcome.INCONCLUSIVE: "Neither is shown: it counts neither for the release nor against it. The reason is given.",
    Outcome.NOT_ATTEMPTED: "No training was rerun; the reason is given. It does not say that the release cannot be reproduced.",
}
"""What each outcome says, for a reader who knows nothing else."""
MOST_ITEMS = 200
"""Audits in a feed, the newest first."""
TEMPLATES = files("openassay.report") / "templates"


@dataclass(frozen=True, kw_only=True)
class ShownAudit:
    """One audit in a target's history."""

    finished_at: str
    outcome: Outcome
    basis: tuple[Basis, ...]
    score: float | None
    coverage: float
    reason: str
    plan_digest: str

    @property
    def words(self) -> str:
        """Its outcome, with what makes it weaker."""
        return self.outcome.value + weaker(self.outcome, self.basis)


@dataclass(frozen=True, kw_only=True)
class CatalogueEntry:
    """One target, as the catalogue shows it."""

    target: str
    release: Release
    ours: bool
    """Whether it comes with OpenAssay, so that `catalogue:NAME` audits it anywhere."""
    verdict: ReleaseVerdict | None
    """Of the newest audit; None where there is none."""
    plan: Plan | None
    """Of that audit."""
    audits: tuple[ShownAudit, ...]
    """The newest first."""
    files: dict[str, bytes]
    """The newest audit's records, by name."""
    review: str
    """What reviewers made of the newest audit; empty for nothing."""


def read_catalogue(root: Path, *, own: bool) -> tuple[list[CatalogueEntry], list[str]]:
    """The targets of a project by their titles, and a line for each record that cannot be used.

    own: take this machine's own audits too; otherwise only those that were published.
    """
    entries, problems = [], []
    for name in target_names(root):
        layout = Layout(root, name)
        found: list[tuple[ReleaseVerdict, Plan, Path]] = []
        for folder in (layout.published, layout.folder) if own else (layout.published,):
            if (path := folder / layout.verdict.name).is_file():
                try:
                    if folder == layout.folder:
                        check(layout)
                    found.append(
                        (read_record(path, ReleaseVerdict), read_plan(layout, folder / layout.plan.name), folder)
                    )
                except Fault as problem:
                    problems.append(str(problem))
        entries.append(_entry(layout, sorted(found, key=lambda of: of[0].provenance.finished_at), own=own))
    return sorted(entries, key=lambda of: (printable(of.release.title).casefold(), of.target)), problems


def _entry(layout: Layout, found: list[tuple[ReleaseVerdict, Plan, Path]], *, own: bool) -> CatalogueEntry:
    past = {of.finished_at: ShownAudit(
        finished_at=of.finished_at, outcome=of.outcome, basis=of.basis, score=of.score, coverage=of.coverage, reason=of.reason,
        plan_digest=of.plan_digest,
    ) for of in (history(layout) if own else ())}  # fmt: skip
    past |= {of.provenance.finished_at: ShownAudit(
        finished_at=of.provenance.finished_at, outcome=of.outcome, basis=of.basis, score=of.score.value,
        coverage=of.score.coverage, reason=of.in_words or of.reason, plan_digest=of.plan_digest,
    ) for of, _, _ in found}  # fmt: skip
    verdict, plan, folder = found[-1] if found else (None, None, layout.folder)
    names = (layout.verdict.name, layout.report.name, layout.plan.name) if verdict else ()
    return CatalogueEntry(
        target=layout.target, release=read_target(layout).release, verdict=verdict, review=_reviewed(layout, verdict),
        plan=plan,
        ours=(OUR_CONF / "target" / f"{layout.target}.yaml").is_file(),
        audits=tuple(past[at] for at in sorted(past, reverse=True)),
        files={name: (folder / name).read_bytes() for name in names if (folder / name).is_file()},
    )  # fmt: skip


def _reviewed(layout: Layout, verdict: ReleaseVerdict | None) -> str:
    try:
        said = reviews(layout.root, layout.target)
    except BadInput:  # `openassay review TARGET` names the line
        return "unreadable"
    return standing_in_words(said, name_of(verdict) if verdict else None) if said else ""


def pages(entries: Iterable[CatalogueEntry], url: str = "") -> dict[str, bytes]:
    """Every file of the catalogue by its path. url: where it will stand, for feeds and badges; empty where that is not known."""
    if url and (urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).netloc):
        raise BadInput(f"--url: expected the catalogue's own address, http(s)://..., found {url!r}")
    url, entries = f"{url.rstrip('/')}/" if url else "", list(entries)
    style, script = ((TEMPLATES / f"catalogue.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("openassay.report", "templates"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, finalize=shown,
    )  # fmt: skip
    environment.filters.update(number=number, web=web_address)
    environment.globals.update(
        version=__version__, url=url, meaning=MEANING, style=Markup(style), script=Markup(script),  # noqa: S704 - our own files
        style_hash=_hash(style), script_hash=_hash(script), colours=COLOURS, stamp=stamp, headline=headline, weaker=weaker,
        first_screen=first_screen, beside=beside, others=_others, counted=counted,
    )  # fmt: skip

    def made(template: str, **values: object) -> bytes:
        return environment.get_template(template).render(**values).encode()

    audited = [of for of in entries if of.verdict]
    counts = Counter(of.verdict.outcome for of in audited if of.verdict)
    newest = _newest(entries)
    written = {
        "index.html": made(
            "catalogue.html.j2", entries=audited, waiting=[of for of in entries if not of.verdict],
            counts={outcome: counts[outcome] for outcome in Outcome}, changed=newest[0][1].finished_at if newest else "",
        ),
        "feed.json": _json_feed(newest, url), "feed.xml": made(
            "feed.xml.j2", items=newest, feed_id=_urn(url or "openassay:catalogue"), urn=_identity,
            updated=newest[0][1].finished_at if newest else "1970-01-01T00:00:00Z",
        ),
    }  # fmt: skip
    for entry in entries:
        if entry.verdict:
            words = badge_words(entry.verdict)
            written[f"{entry.target}/badge.svg"] = badge = made(
                "badge.svg.j2", words=words, colour=COLOURS[entry.verdict.outcome],
                width=[_wide("OpenAssay") + 16, max(_wide(words[0]) + 16, _wide(words[1], 5.6) - _wide("OpenAssay"))],
            )  # fmt: skip
            there = dict(entry.files)
            if entry.plan:
                there["bom.cdx.json"] = to_cyclonedx(entry.plan, entry.verdict).encode()
                there["ro-crate-metadata.json"] = to_ro_crate(entry.plan, entry.verdict, there).encode()
            written |= {f"{entry.target}/{name}": data for name, data in there.items()}
            shown_badge = "data:image/svg+xml;base64," + base64.b64encode(badge).decode()
        else:
            shown_badge = ""
        written[f"{entry.target}/index.html"] = made("target.html.j2", entry=entry, badge=shown_badge)
    return written


def write(folder: Path, written: dict[str, bytes]) -> None:
    """Write the pages into a folder. `BadInput` where other things lie there; pages of an earlier run are written over."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"--out: {folder} is no folder; name another one")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "feed.json").is_file():
        raise BadInput(f"--out: expected an empty folder or an earlier catalogue, found other files in {folder}")
    for path, data in written.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        with naming(folder / path):
            (folder / path).write_bytes(data)


def badge_words(verdict: ReleaseVerdict) -> tuple[str, str]:
    """A badge's two lines: the outcome; what makes it weaker or was different, or what the other tiers say, and the date."""
    kinds = dict.fromkeys([*(of for of in verdict.basis if of != "measured"), *(of.kind for of in verdict.deviations)])
    said = [of.replace("self_", "self-").replace("_", " ") for of in kinds] or _others(verdict)
    return verdict.outcome.value, " · ".join(filter(None, (", ".join(said), verdict.provenance.finished_at[:10])))


def _others(verdict: ReleaseVerdict) -> list[str]:
    """What the tiers other than the reruns say."""
    return list(filter(None, map(tier_words, verdict.tiers)))


def _newest(entries: Iterable[CatalogueEntry]) -> list[tuple[CatalogueEntry, ShownAudit]]:
    """The newest audits of all targets."""
    every = sorted(((of, audit) for of in entries for audit in of.audits), key=lambda pair: pair[0].target)
    return sorted(every, key=lambda pair: pair[1].finished_at, reverse=True)[:MOST_ITEMS]


def _json_feed(newest: list[tuple[CatalogueEntry, ShownAudit]], url: str) -> bytes:
    """The audits as JSON Feed 1.1 (https://www.jsonfeed.org/version/1.1/)."""
    feed = {
        "version": "https://jsonfeed.org/version/1.1", "title": "OpenAssay: audits of open AI releases", "language": "en",
        "authors": [{"name": f"OpenAssay {__version__}"}],
    } | ({"home_page_url": url, "feed_url": f"{url}feed.json"} if url else {})  # fmt: skip
    items = [
        {"id": _identity(entry, audit)} | ({"url": f"{url}{entry.target}/"} if url else {}) | {
            "title": printable(f"{entry.release.title}: {audit.words}"), "content_text": printable(audit.reason) or audit.words,
            "date_published": audit.finished_at, "tags": [audit.outcome.value],
        } for entry, audit in newest
    ]  # fmt: skip
    return (json.dumps(feed | {"items": items}, indent=2, ensure_ascii=False) + "\n").encode()


def _identity(entry: CatalogueEntry, audit: ShownAudit) -> str:
    """An audit's name in feeds: the same wherever the catalogue stands."""
    return _urn(f"openassay:{entry.target}:{audit.plan_digest}:{audit.finished_at}")


def _urn(name: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, name).urn


def _hash(text: str) -> str:
    """What a Content-Security-Policy names a style or a script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _wide(text: str, per_letter: float = 7.0) -> int:
    """About how wide a text is, in pixels; the badge's letters are fitted to it."""
    return round(per_letter * len(text))
