"""Can what was published be had, and is it what was pinned?"""

from __future__ import annotations

from openassay.core.types import Artifact, Attempt, FetchRecord, Finding
from openassay.faults import BadInput, printable
from openassay.layout import Layout
from openassay.plan import ArtifactSpec, Plan
from openassay.sources.fetched import Fetched, Unavailable, WrongPin
from openassay.sources.roots import source_root
from openassay.store import RefusedArchive, Store, payload_digest


def run(plan: Plan, store: Store, layout: Layout) -> FetchRecord:
    """Bring every artifact into the store, trying its sources in order.

    A source that does not serve is a finding; a pin that no source meets is the target file's mistake (`WrongPin`); a network
    that is down is a fault, and what came so far is kept.
    """
    where = layout.target_file.relative_to(layout.root).as_posix()
    artifacts = tuple(_fetch(name, spec, store, where) for name, spec in plan.artifacts.items())
    findings = [
        Finding(
            stage="fetch",
            kind="artifact_unavailable",
            message=f"{artifact.name}: " + "; ".join(f"{a.source}: {a.problem}" for a in artifact.attempts),
        )
        for artifact in artifacts
        if not artifact.fetched
    ]
    return FetchRecord(artifacts=artifacts, findings=tuple(findings))


def _fetch(name: str, spec: ArtifactSpec, store: Store, where: str) -> Artifact:
    attempts: list[Attempt] = []
    wrong: list[BadInput] = []
    for number, source in enumerate(spec.sources):
        key = f"{where}: artifacts.{name}.sources.{number}"
        try:
            fetched = source.fetch(store, key)
            payload = _payload(spec, fetched, store, source.root, f"{where}: artifacts.{name}.payload")
        except (Unavailable, RefusedArchive) as problem:
            attempts.append(Attempt(source=source.label(), problem=str(problem)))
            continue
        except WrongPin as problem:
            wrong.append(problem)
            attempts.append(Attempt(source=source.label(), problem=str(problem)))
            continue
        size = f"{fetched.size_bytes / 1e6:.1f} MB" if fetched.size_bytes >= 1e5 else f"{fetched.size_bytes} bytes"
        how = "downloaded" if fetched.downloaded else "in the store"
        print(f"  {name}: {printable(fetched.filename)} ({size}, {how})")
        return Artifact(
            name=name, fetched=True, sha256=fetched.sha256, filename=fetched.filename, size_bytes=fetched.size_bytes,
            root=source.root, payload_sha256=payload, first_seen=store.remember(source.label(), fetched.sha256),
            attempts=(*attempts, Attempt(source=source.label(), problem="")),
        )  # fmt: skip
    if wrong:
        raise wrong[0]
    return Artifact(
        name=name, fetched=False, sha256=None, filename=None, size_bytes=None, root="", payload_sha256=None,
        first_seen=None, attempts=tuple(attempts),
    )  # fmt: skip


def _payload(spec: ArtifactSpec, fetched: Fetched, store: Store, root: str, where: str) -> str | None:
    top = source_root(store, fetched.sha256, fetched.filename, root)  # unpacks, so that a bad archive shows here
    if spec.payload is None:
        return None
    found = payload_digest(top, spec.payload.include)
    if found != spec.payload.sha256:
        raise WrongPin(f"{where}.sha256: expected {spec.payload.sha256}, got {found} from {fetched.filename}")
    return found
