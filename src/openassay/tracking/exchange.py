"""Reviews both ways between the records and MLflow, and the versions of a target's registered model, which are its audits.

Somebody who looks at an audit in MLflow sets the tag `review` of its run to `approved` or `contested`, or moves the alias of that
name to its version; `review_note` and `review_by` say what and who. The next audit, `openassay review` or `openassay sync` takes
that over into the records, once. What the records say is mirrored as `review` and, one tag each, `review.1`, `review.2` ...
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from openassay import reviewing
from openassay.core.verdict_records import Outcome
from openassay.faults import printable
from openassay.layout import Layout
from openassay.provenance import now
from openassay.records import digest
from openassay.reviewing import MOST_LETTERS, STANDINGS, AuditReview, Word
from openassay.tracking import model_name

NOTE, WROTE = "mlflow.note.content", "openassay.note"
"""The tag of a description, and that with a digest of the one that we wrote: a person's own is left alone."""
MIRRORED = "openassay.review"
"""The tag of what we wrote as `review`, and how many reviews there were: anything else in `review` is a person's."""
OLDER = "superseded"
"""`review` of an audit that nobody reviewed before the next one."""
UNKNOWN = "unknown"
"""Who made a review in MLflow, which tells no names, unless its tag `review_by` does."""
MOST_TAGS = 100
MOST_SHOWN = 500
"""Letters of one review in a tag."""


def mark(note: str) -> str:
    """The digest by which a description that we wrote is known again."""
    return digest(note)[:16]


def is_ours(note: str | None, tags: Mapping[str, str]) -> bool:
    """Whether a description is the one that we wrote, or there is none."""
    return not note or tags.get(WROTE) == mark(note)


def versions(client: Any, layout: Layout, audits: Mapping[str, Any]) -> None:
    """Make each audit a version of the target's registered model; `newest` and `reproduced` lead to the last such ones.

    audits: the runs of the audits, by the audits' names.
    """
    model, there = model_name(layout.target), _versions(client, layout.target)
    if there is None:
        client.create_registered_model(model, description=f"The audits of {layout.target}: each version is one.")
    for name in _oldest_first(audits):
        run, found = audits[name], (there or {}).get(name)
        note = run.data.tags.get(NOTE, "")
        if found is None:
            tags = {"audit": name, "outcome": run.data.tags.get("outcome", ""), WROTE: mark(note)}
            client.create_model_version(
                model, run.info.artifact_uri, run.info.run_id, tags, description=note, await_creation_for=0
            )
        elif is_ours(found.description, found.tags) and (found.description or "") != note:
            client.update_model_version(model, found.version, note)
            client.set_model_version_tag(model, found.version, WROTE, mark(note))
    reproduced = [name for name in audits if audits[name].data.tags.get("outcome") == Outcome.REPRODUCED]
    _lead(client, layout.target, {"newest": _newest(audits), "reproduced": _newest(reproduced)})


def reviews(client: Any, layout: Layout, audits: Mapping[str, Any]) -> None:
    """Take over into the records what was reviewed in MLflow, then mirror into it what the records say."""
    for review in (*_in_tags(layout, audits), *_in_aliases(client, layout, audits)):
        reviewing.add(layout, review)
    said = reviewing.reviews(layout.root, layout.target)
    newest, standing = _newest(audits), {name: reviewing.standing(said, name) for name in audits}
    for name, run in audits.items():
        of = [review for review in said if review.audit == name]
        shown = OLDER if standing[name] == "waiting" and name != newest else standing[name]
        tags = {"review": shown, MIRRORED: f"{shown} {len(of)}"}
        tags |= {f"review.{number}": in_words(review)[:MOST_SHOWN] for number, review in enumerate(of, start=1)}
        changed = {key: value for key, value in tags.items() if run.data.tags.get(key) != value}
        set_tags(client, run.info.run_id, changed)
    last: dict[str, str | None] = {
        alias: _newest([name for name in audits if standing[name] == alias]) for alias in STANDINGS.values()
    }
    led = _lead(client, layout.target, last)
    for alias, version in led.items():
        client.set_registered_model_tag(model_name(layout.target), f"openassay.{alias}", version)


def set_tags(client: Any, run: str, tags: Mapping[str, str]) -> None:
    """Set tags of a run, all at once as far as MLflow takes so many."""
    from mlflow.entities import RunTag  # noqa: PLC0415 - mlflow takes seconds to import

    found = [RunTag(key, value) for key, value in tags.items()]
    for start in range(0, len(found), MOST_TAGS):
        client.log_batch(run, tags=found[start : start + MOST_TAGS])


def in_words(review: AuditReview) -> str:
    """A review in one line."""
    text = f": {printable(review.text)}" if review.text else ""
    return f"{review.word} by {printable(review.by)}, {review.at}{text}"


def _in_tags(layout: Layout, audits: Mapping[str, Any]) -> Iterator[AuditReview]:
    """The reviews that tags of audits' runs hold and the records do not."""
    said = reviewing.reviews(layout.root, layout.target)
    words = {standing: word for word, standing in STANDINGS.items()}
    for name, run in audits.items():
        tags = run.data.tags
        found, note = tags.get("review", "").strip(), tags.get("review_note", "").strip()
        wrote, _, count = tags.get(MIRRORED, " 0").partition(" ")
        noted = any(of.audit == name and of.via == "mlflow" and of.text == note for of in said)
        if found and found != wrote:
            word = words.get(found.lower())
            if word is None and found.lower() not in {"waiting", OLDER}:
                yield _seen(run, name, "note", found, f"tag {count} {found}")
            elif word and reviewing.standing(said, name) != found.lower():
                yield _seen(run, name, word, note, f"tag {count} {word}")
                noted = True
        if note and not noted:
            yield _seen(run, name, "note", note, f"note {note}")


def _in_aliases(client: Any, layout: Layout, audits: Mapping[str, Any]) -> Iterator[AuditReview]:
    """The reviews that aliases of the registered model hold and the records do not."""
    said = reviewing.reviews(layout.root, layout.target)
    found = client.get_registered_model(model_name(layout.target))
    names = {str(of.version): name for name, of in (_versions(client, layout.target) or {}).items()}
    for word, standing in STANDINGS.items():
        version, wrote = str(found.aliases.get(standing, "")), found.tags.get(f"openassay.{standing}", "")
        name = names.get(version)
        if name is not None and version != wrote and name in audits and reviewing.standing(said, name) != standing:
            yield _seen(audits[name], name, word, "", f"alias {wrote}")


def _seen(run: Any, audit: str, word: Word, text: str, how: str) -> AuditReview:
    by, outcome = run.data.tags.get("review_by", "").strip(), run.data.tags.get("outcome", "")
    return AuditReview(
        at=now(), by=by[:MOST_SHOWN] or UNKNOWN, word=word, text=text[:MOST_LETTERS], audit=audit, outcome=Outcome(outcome),
        via="mlflow", seen=digest([audit, word, how])[:16],
    )  # fmt: skip


def _versions(client: Any, target: str) -> dict[str, Any] | None:
    """The versions of a target's registered model, by the audits' names; None where there is no such model."""
    name = model_name(target)
    if not client.search_registered_models(f"name = '{name}'"):
        return None
    found: dict[str, Any] = {}
    token = None
    while True:
        page = client.search_model_versions(f"name = '{name}'", page_token=token)
        found |= {of.tags.get("audit", ""): of for of in page}
        if not (token := page.token):
            return found


def _lead(client: Any, target: str, aliases: Mapping[str, str | None]) -> dict[str, str]:
    """Let aliases lead to the versions of audits, or to none; returns the versions."""
    model, there = model_name(target), _versions(client, target) or {}
    now = client.get_registered_model(model).aliases
    led = {alias: str(there[name].version) if name else "" for alias, name in aliases.items()}
    for alias, version in led.items():
        if version and str(now.get(alias, "")) != version:
            client.set_registered_model_alias(model, alias, version)
        elif not version and alias in now:
            client.delete_registered_model_alias(model, alias)
    return led


def _oldest_first(audits: Mapping[str, Any]) -> list[str]:
    return sorted(audits, key=lambda name: name.partition(" ")[2])


def _newest(audits: Any) -> str | None:
    return max(audits, key=lambda name: name.partition(" ")[2], default=None)
