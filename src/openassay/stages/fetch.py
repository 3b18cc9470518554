"""Can what was published be had, and is it what was pinned?"""

from __future__ import annotations

from collections.abc import Collection

from openassay.core.findings import Artifact, Attempt, AttemptKind, FetchRecord, Finding
from openassay.faults import BadInput, printable
from openassay.layout import Layout
from openassay.plan import Plan
from openassay.records import digest
from openassay.sources import Source, moved
from openassay.sources.fetched import Fetched, Unavailable, WrongPin
from openassay.sources.roots import source_root
from openassay.store import RefusedArchive, Store, payload_digest
from openassay.target import ArtifactSpec


def run(plan: Plan, store: Store, layout: Layout, names: Collection[str] | None = None) -> FetchRecord:
    """Bring every artifact of an audit into the store, or the named ones, trying its sources in order.

    A source that does not serve is a finding, also where the next one does; a pin that no source meets is the target file's
    mistake (`WrongPin`); a network that is down is a fault, and what came so far is kept.
    """
    where = layout.shown(layout.target_file)
    findings: list[Finding] = []
    wanted = set(plan.artifacts) - plan.only_alternatives() if names is None else set(names)
    artifacts = tuple(
        _fetch(name, spec, store, where, findings) for name, spec in plan.artifacts.items() if name in wanted
    )
    for artifact in artifacts:
        # Where another source served, a mistake of the target's or a lack of this machine's says nothing of the release.
        silent = {"served", "wrong_pin", "unsupported"} if artifact.fetched else {"served"}
        said = "; ".join(_said(attempt) for attempt in artifact.attempts if attempt.kind not in silent)
        if said:
            kind = "source_unavailable" if artifact.fetched else "artifact_unavailable"
            findings.append(Finding(stage="fetch", kind=kind, message=f"{artifact.name}: {said}"))
    return FetchRecord(artifacts=artifacts, findings=tuple(findings))


def _said(attempt: Attempt) -> str:
    return f"{attempt.source}: {attempt.problem} ({attempt.kind.replace('_', ' ')}, since {attempt.since})"


def _fetch(name: str, spec: ArtifactSpec, store: Store, where: str, findings: list[Finding]) -> Artifact:
    attempts: list[Attempt] = []
    wrong: list[BadInput] = []

    def attempt(source: Source, kind: AttemptKind, problem: str) -> None:
        since = store.answered(f"{source.label()} {digest(source)}", kind)
        attempts.append(Attempt(source=source.label(), kind=kind, problem=problem, since=since))

    for number, source in enumerate(spec.sources):
        key = f"{where}: artifacts.{name}.sources.{number}"
        try:
            fetched = source.fetch(store, key)
            payload = _payload(spec, fetched, store, source, f"{where}: artifacts.{name}.payload")
        except (Unavailable, RefusedArchive) as problem:
            attempt(source, problem.kind if isinstance(problem, Unavailable) else "refused", str(problem))
            continue
        except WrongPin as problem:
            wrong.append(problem)
            attempt(source, "wrong_pin", str(problem))
            continue
        findings.extend(
            Finding(stage="fetch", kind="not_content", message=f"{name}: its content is not there: {note}")
            for note in fetched.left_out
        )
        attempt(source, "served", "")
        if elsewhere := moved(source):
            since = store.answered(f"{source.label()} {digest(source)}", "changed")
            message = f"{name}: {source.label()}: {elsewhere} (since {since}); the commit that was pinned is audited"
            findings.append(Finding(stage="fetch", kind="name_moved", message=message))
        sight = f"{source.label()} {digest(source)}"
        earlier = {seen: when for seen, when in store.seen(sight).items() if seen != fetched.sha256}
        if earlier and source.may_change():
            first, when = next(iter(earlier.items()))
            message = (
                f"{name}: {source.label()}: it gave {first} on {when}, and now {fetched.sha256}; no commit is pinned"
            )
            findings.append(Finding(stage="fetch", kind="changed_since_first_sight", message=message))
        store.remember(sight, fetched.sha256)
        size = f"{fetched.size_bytes / 1e6:.1f} MB" if fetched.size_bytes >= 1e5 else f"{fetched.size_bytes} bytes"
        how = "downloaded" if fetched.downloaded else "in the store"
        print(f"  {name}: {printable(fetched.filename)} ({size}, {how})")
        return Artifact(
            name=name, fetched=True, sha256=fetched.sha256, filename=fetched.filename, size_bytes=fetched.size_bytes,
            root=source.root, payload_sha256=payload, first_seen=store.remember(source.label(), fetched.sha256),
            attempts=tuple(attempts),
        )  # fmt: skip
    if wrong:
        raise wrong[0]
    return Artifact(
        name=name, fetched=False, sha256=None, filename=None, size_bytes=None, root="", payload_sha256=None,
        first_seen=None, attempts=tuple(attempts),
    )  # fmt: skip


def _payload(spec: ArtifactSpec, fetched: Fetched, store: Store, source: Source, where: str) -> str | None:
    top = source_root(store, fetched.sha256, fetched.filename, source.root)  # unpacks, so that a bad archive shows here
    if spec.payload is None:
        return None
    found = payload_digest(top, spec.payload.include)
    if found != spec.payload.sha256:
        if source.may_change():
            raise Unavailable(f"expected the payload {spec.payload.sha256}, it now has {found}", "changed")
        raise WrongPin(f"{where}.sha256: expected {spec.payload.sha256}, got {found} from {fetched.filename}")
    return found
