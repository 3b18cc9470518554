"""Findings, and the records of what was fetched, inspected and prepared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from openassay.core.claims import Citation
from openassay.core.openness_records import ComponentName


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that an audit saw about the release: a value, never an exception."""

    stage: str
    kind: str
    """A short stable name, for example `component_absent`."""
    message: str


AttemptKind = Literal["served", "gone", "changed", "gated", "refused", "unsupported", "wrong_pin"]
"""What came of asking a source. `gone`: it is not there (any more); `changed`: something else is there than was pinned, named,
or first seen; `gated`: not for everybody; `refused`: we do not take what is there (a bomb, a limit); `unsupported`: this
machine cannot ask; `wrong_pin`: the target file names what never was there."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One source that was asked for an artifact."""

    source: str
    kind: AttemptKind
    problem: str
    """Why it did not serve; of the one that did, how, where that was not by its own address."""
    since: str
    """When this machine first got this kind of answer from it; an answer of another kind in between starts anew."""


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A published thing, and whether it could be had."""

    name: str
    fetched: bool
    sha256: str | None
    """Of the file as published."""
    filename: str | None
    size_bytes: int | None
    root: str
    """Folder inside the archive that counts as its top."""
    payload_sha256: str | None
    """Of what its files say, however packed; null where the target pins none."""
    first_seen: str | None
    """When this machine first saw this digest from this source."""
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, kw_only=True)
class FetchRecord:
    """`fetch/record.json`: whether what was published can be had, and is what was pinned."""

    artifacts: tuple[Artifact, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, kw_only=True)
class ComponentFound:
    """One declared component against what was found of it."""

    component: str
    published: str
    licence: str
    found: Literal["found", "absent", "not fetched"]
    evidence: tuple[str, ...]
    """Files that match, with the start of their sha256."""
    where: str | None
    note: str | None


@dataclass(frozen=True, kw_only=True)
class CitationFound:
    """One claim's source against what stands there."""

    claim: str
    found: Literal["found", "absent", "not fetched"]
    quote: str | None
    where: str


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """One place in a release's files, and what stands there."""

    path: str
    line: int | None
    key: str
    """The key, column or option that is meant; empty where the whole line or file is."""
    value: str


@dataclass(frozen=True, kw_only=True)
class FileSeen:
    """A file that shows a component, and why it does."""

    path: str
    why: str
    sha256: str | None
    """None for a file that is too large to be read whole."""
    date: str
    """When it was last changed, as its archive or folder says (YYYY-MM-DD)."""


@dataclass(frozen=True, kw_only=True)
class ComponentDetected:
    """One component against what the artifacts' own files show of it, whatever the target declares."""

    component: ComponentName
    declared: Literal["yes", "no", "partly", "unknown"] | None
    """None where the target does not speak of it."""
    found: Literal["found", "named", "not seen"]
    """`named`: the files point at it (an address, a citation, a list), but it is not among them. `not seen` proves nothing: a
    component is recognised by its usual names and contents only."""
    reachable: Literal["yes", "no", "not asked"]
    terms: str
    """What the files themselves say of its terms; empty where they say nothing."""
    files: tuple[FileSeen, ...]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Two places in a release that cannot both be right, one that contradicts itself, or a fact that is noted."""

    message: str
    evidence: tuple[Excerpt, ...]


@dataclass(frozen=True, kw_only=True)
class CheckAnswer:
    """What one consistency check says of a release's files."""

    check: str
    outcome: Literal["pass", "noted", "fail", "cannot be asked"]
    """`noted`: the problems are facts to be known, and nothing is wrong."""
    why: str
    """For `cannot be asked`: what it would need."""
    problems: tuple[Problem, ...]
    looked_at: tuple[Excerpt, ...]
    """Some of what was compared and agrees, or was recorded."""


@dataclass(frozen=True, kw_only=True)
class NumberRead:
    """What was read for one name of an expression."""

    name: str
    value: float | None
    """The number, where it is a single one."""
    count: int
    """How many numbers, or rows of them."""
    num_files: int
    places: tuple[Excerpt, ...]
    """The first of them."""
    at_citation: bool
    """Whether the first stands where the claim is cited."""


@dataclass(frozen=True, kw_only=True)
class Computed:
    """What an expression gives."""

    expression: str
    value: float
    low: float
    """The least that it can be, by the rounding of what was read."""
    high: float


@dataclass(frozen=True, kw_only=True)
class Recomputed:
    """A claim's number as it follows from published files."""

    claim: str
    value: Computed | None
    """None where it cannot be computed; `problem` says why."""
    control: Computed | None
    numbers: tuple[NumberRead, ...]
    problem: str
    """Where, expected, found; empty where the value was computed."""
    notes: tuple[str, ...]
    """What was left out, such as rows without a partner."""


@dataclass(frozen=True, kw_only=True)
class InspectRecord:
    """`inspect/record.json`: the components that are there, their terms, and whether the published facts agree."""

    components: tuple[ComponentFound, ...]
    detected: tuple[ComponentDetected, ...]
    checks: tuple[CheckAnswer, ...]
    citations: tuple[CitationFound, ...]
    licences: dict[str, str]
    """Per artifact: the terms that its own metadata and licence files state."""
    unreadable: dict[str, str]
    """Files that should have been read and could not be, with the reason."""
    recomputed: tuple[Recomputed, ...]
    """The claims whose numbers follow from other published files."""
    findings: tuple[Finding, ...]


@dataclass(frozen=True, kw_only=True)
class ArrayFound:
    """One array that the preparation gave."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    sha256: str


@dataclass(frozen=True, kw_only=True)
class CheckFound:
    """One published fact about the data against what the preparation gave."""

    array: str
    expected: str
    found: str
    passed: bool
    cited_at: Citation


@dataclass(frozen=True, kw_only=True)
class PrepareRecord:
    """`prepare/record.json`: whether the published data preparation runs, and gives the published data."""

    status: Literal["done", "failed", "none"]
    reason: str
    arrays: tuple[ArrayFound, ...]
    files: dict[str, str]
    """Other files that it wrote, with their sha256."""
    checks: tuple[CheckFound, ...]
    environment: dict[str, str]
    log_tail: str
    cpu_s: float
    findings: tuple[Finding, ...]
