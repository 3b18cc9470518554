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
    specs = {name: spec for name, spec in plan.artifacts.items() if name in wanted}
    artifacts = tuple(_fetch(name, spec, store, where, findings) for name, spec in specs.items())
    for artifact in artifacts:
        # Where another source served, a mistake of the target's or a lack of this machine's says nothing of the release.
        silent = {"served", "wrong_pin", "unsupported"} if artifact.fetched else {"served"}
        said = [
            f"{of.source}: {of.problem} ({of.kind.replace('_', ' ')}, since {of.since})"
            for of in artifact.attempts if of.kind not in silent
        ]  # fmt: skip
        if said:
            kind = "source_unavailable" if artifact.fetched else "artifact_unavailable"
            findings.append(_finding(kind, f"{artifact.name}: {'; '.join(said)}"))
    return FetchRecord(artifacts=artifacts, findings=tuple(findings))


def _finding(kind: str, message: str) -> Finding:
    return Finding(stage="fetch", kind=kind, message=message)


def _fetch(name: str, spec: ArtifactSpec, store: Store, where: str, findings: list[Finding]) -> Artifact:
    attempts: list[Attempt] = []
    wrong: list[BadInput] = []

    for number, source in enumerate(spec.sources):
        label, sight = source.label(), f"{source.label()} {digest(source)}"

        def attempt(kind: AttemptKind, problem: str, label: str = label, sight: str = sight) -> None:
            attempts.append(Attempt(source=label, kind=kind, problem=problem, since=store.answered(sight, kind)))

        try:
            fetched = source.fetch(store, f"{where}: artifacts.{name}.sources.{number}")
            payload = _payload(spec, fetched, store, source, f"{where}: artifacts.{name}.payload")
        except (Unavailable, RefusedArchive) as problem:
            attempt(problem.kind if isinstance(problem, Unavailable) else "refused", str(problem))
            continue
        except WrongPin as problem:
            wrong.append(problem)
            attempt("wrong_pin", str(problem))
            continue
        findings += [_finding("not_content", f"{name}: its content is not there: {note}") for note in fetched.left_out]
        attempt("served", source.detour())
        if elsewhere := moved(source):
            told = f"{elsewhere} (since {store.answered(sight, 'changed')}); the commit that was pinned is audited"
            findings.append(_finding("name_moved", f"{name}: {label}: {told}"))
        earlier = {seen: when for seen, when in store.seen(sight).items() if seen != fetched.sha256}
        if earlier and source.may_change():
            first, when = next(iter(earlier.items()))
            told = f"it gave {first} on {when}, and now {fetched.sha256}; no commit is pinned"
            findings.append(_finding("changed_since_first_sight", f"{name}: {label}: {told}"))
        store.remember(sight, fetched.sha256)
        size = f"{fetched.size_bytes / 1e6:.1f} MB" if fetched.size_bytes >= 1e5 else f"{fetched.size_bytes} bytes"
        how = "downloaded" if fetched.downloaded else "in the store"
        print(f"  {name}: {printable(fetched.filename)} ({size}, {how})")
        return Artifact(
            name=name, fetched=True, sha256=fetched.sha256, filename=fetched.filename, size_bytes=fetched.size_bytes,
            root=source.root, payload_sha256=payload, first_seen=store.remember(label, fetched.sha256),
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
