"""The nouns, in the order in which an audit makes them: claim, finding, rerun, verdict, score.

Every one is a frozen dataclass. Records that cross a stage have no default values, so that a wrong or old file fails to
parse instead of passing as an empty record; the parts that a person writes (claims) may leave out what is optional.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

import numpy as np
import scipy

LARGEST = 1e150
"""A number beyond this (its square is no longer a number) counts as not finite, wherever it stands."""


class Outcome(StrEnum):
    """What can be said of a claim, or of a release."""

    REPRODUCED = "REPRODUCED"
    NOT_REPRODUCED = "NOT_REPRODUCED"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_ATTEMPTED = "NOT_ATTEMPTED"


@dataclass(frozen=True, kw_only=True)
class Citation:
    """Where a published fact stands: in a file of a fetched artifact, or at an address."""

    quote: str | None = None
    """The words or the table row, as published."""
    artifact: str | None = None
    """The artifact that holds it; then `inspect` looks for the quote in `path`."""
    path: str | None = None
    """A glob inside the artifact."""
    url: str | None = None
    """An address with a commit, a version or a date in it; not fetched."""
    note: str | None = None
    """What stands there, in our words."""


ComponentName = Literal[
    "model_architecture", "data_preprocessing_code", "training_code", "inference_code", "evaluation_code",
    "supporting_libraries", "params_final", "params_intermediate", "datasets", "evaluation_data", "model_metadata",
    "sample_outputs", "model_card", "data_card", "technical_report", "research_paper", "evaluation_results",
    "recipe", "training_logs",
]  # fmt: skip
"""The 17 components of the Model Openness Framework (arXiv:2403.13784; `params` are the model parameters), and two that a rerun
needs beside them: the training recipe's settings, and the logs."""


Answer = Literal["passes", "fails", "unknown"]
"""`unknown` is an answer of its own: nothing passes because nobody has looked."""

Freedom = Literal["use", "study", "modify", "share"]


@dataclass(frozen=True, kw_only=True)
class Clause:
    """A clause of custom terms that refuses a freedom."""

    clause: str
    effect: str
    hinders: tuple[Freedom, ...]
    source: str


@dataclass(frozen=True, kw_only=True)
class Duty:
    """One duty of data information (Open Source AI Definition 1.0), as the release meets it."""

    published: Literal["yes", "no", "partly", "unknown"]
    where: str | None = None
    licence: str = "unknown"
    """Terms of the description itself, not of the data."""
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class DataInformation:
    """What the release says of its training data: the three duties of the Open Source AI Definition 1.0."""

    description: Duty
    """Complete description of all training data, also of what cannot be shared: provenance, scope and characteristics, how it
    was obtained and selected, labelling, processing and filtering."""
    public_data: Duty
    """Listing of all publicly available training data, and where to obtain it."""
    third_party_data: Duty
    """Listing of all training data obtainable from third parties, and where, including for a fee."""


@dataclass(frozen=True, kw_only=True)
class Review:
    """What somebody else has found of this release's openness. Shown beside our own result; it never decides it."""

    by: str
    result: str
    source: str
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Gap:
    """What keeps a release from a class of the Model Openness Framework."""

    component: str
    classes: tuple[int, ...]
    """The classes (3, 2, 1) that need it."""
    problem: Literal["absent", "in part", "unknown", "licence"]
    reason: str


@dataclass(frozen=True, kw_only=True)
class MofResult:
    """The class of the Model Openness Framework that a release reaches."""

    mof_class: Literal[0, 1, 2, 3]
    """1 open science, 2 open tooling, 3 open model, 0 none: what is certain. What is unknown counts as missing."""
    label: str
    if_unknown_pass: Literal[0, 1, 2, 3]
    """The class that it would reach if all that is unknown turned out well."""
    missing: tuple[Gap, ...]
    """For every class that it does not reach, the next one first."""
    conditional: tuple[str, ...]
    """Components whose licence is open but not made for their kind of content."""


@dataclass(frozen=True, kw_only=True)
class Element:
    """One element that the Open Source AI Definition asks for."""

    element: Literal["data_information", "code", "parameters"]
    outcome: Answer
    reasons: tuple[str, ...]
    """What fails, then what is unknown; empty where it passes."""


@dataclass(frozen=True, kw_only=True)
class OsaidResult:
    """What one edition of the Open Source AI Definition says of a release. A reading, not a certification."""

    edition: str
    source: str
    outcome: Answer
    elements: tuple[Element, ...]
    note: str | None


@dataclass(frozen=True, kw_only=True)
class FreedomResult:
    """Whether everybody can exercise one of the four freedoms."""

    freedom: Freedom
    outcome: Answer
    obstacles: tuple[str, ...]
    """What stands in the way, then what is unknown."""


@dataclass(frozen=True, kw_only=True)
class Openness:
    """How open a release is: by the Open Source AI Definition, freedom by freedom, and by the Model Openness Framework."""

    osaid: OsaidResult
    """Edition 1.0."""
    earlier: tuple[OsaidResult, ...]
    """The draft checklists 0.0.9 and 0.0.8."""
    freedoms: tuple[FreedomResult, ...]
    mof: MofResult
    to_release: tuple[str, ...]
    """What the publisher would have to release, or license otherwise, for edition 1.0 to pass."""
    reviews: tuple[Review, ...]


Estimand = Literal["number", "recipe"]
"""The two questions. `number`: the mean of the recipe as rerun minus the printed value. `recipe`: minus the unknown mean of the
published recipe, so that the luck of the published trainings counts."""

Spread = Literal["sd", "standard_error", "confidence_interval_95", "over_units", "over_episodes", "over_items"]


@dataclass(frozen=True, kw_only=True)
class Published:
    """What was published: a number, and all that is known of its noise."""

    value: float
    rounding: float = 0.0
    """The unit of the last printed digit, in the claim's unit: 1 for "68 %", 0.01 for "89.28 %", 0 for an exact number."""
    num_runs: int = 1
    """Trainings behind the value. 1 when the release does not say."""
    sd: float | None = None
    """The spread that is printed beside the value, if any; `sd_is` says of what. Half a unit of rounding is added to it."""
    sd_is: Spread = "sd"
    """`sd`: standard deviation over training runs (ddof=1). `standard_error`: of the mean over them.
    `confidence_interval_95`: half the width of its interval. `over_units`: standard deviation over the `units` that one value
    averages, each with a training of its own. A spread over episodes or test items of one training says nothing of other
    seeds, and is not used."""
    units: int = 1
    """Folds, splits or other units that one value averages, in the publication and in each rerun."""
    values: tuple[float, ...] | None = None
    """Of the single trainings, where they are published; `value` is their mean and `num_runs` their number."""
    values_cited_at: tuple[Citation, ...] | None = None
    """Where each of `values` stands, where a release publishes one number several times and not alike."""
    seeds: tuple[int, ...] | None = None
    """Of these trainings, in the same order; needed for paired reruns."""
    best_of: int = 1
    """The value is the best of this many trainings."""
    better: Literal["higher", "lower"] = "higher"
    """What best means; matters only with `best_of`."""
    extra_sd: float = 0.0
    """Standard deviation of what else keeps the value from the recipe's mean: another test set, an extrapolation, the
    differences between laboratories. `cited_at.note` says where it comes from."""

    def seed_sd(self) -> float | None:
        """The standard deviation over training runs, as far as the single values or the printed spread tell it."""
        if self.values is not None and len(self.values) > 1:
            return float(np.std(self.values, ddof=1)) + self.rounding / 2
        return None if self.sd is None else seed_sd(self.sd + self.rounding / 2, self.sd_is, self.num_runs, self.units)

    def seed_df(self) -> int:
        """Degrees of freedom of `seed_sd`."""
        return self.units - 1 if self.values is None and self.sd_is == "over_units" else self.num_runs - 1


def seed_sd(sd: float, sd_is: Spread, num_runs: int, units: int) -> float | None:
    """The standard deviation of one training's value, by a printed spread of `num_runs` trainings or of `units`; None if it
    cannot say.

    A mean of u independent units has their standard deviation / sqrt(u); a standard error times sqrt(k) is the standard
    deviation over k trainings, and half a 95 % interval is t(0.975, k - 1) standard errors.
    """
    if sd_is == "over_units":
        return sd / units**0.5 if units > 1 else None
    if num_runs < 2 or sd_is in {"over_episodes", "over_items"}:
        return None
    if sd_is == "sd":
        return sd
    per_error = 1.0 if sd_is == "standard_error" else float(scipy.special.stdtrit(num_runs - 1, 0.975))
    return float(sd / per_error * num_runs**0.5)


@dataclass(frozen=True, kw_only=True)
class Family:
    """Seed noise that is known from recipes of the same family."""

    sd: float
    """In the claim's unit."""
    df: float
    """Degrees of freedom that it was measured on: seeds minus one, summed over the recipes."""
    cited_at: str
    """Where it was measured."""


@dataclass(frozen=True, kw_only=True)
class SuccessRule:
    """When a training counts as a success, for claims on the share of trainings that succeed."""

    at_least: float | None = None
    at_most: float | None = None

    def holds(self, value: float | None) -> bool:
        """Whether a value is a success; a rerun without a finite value is none."""
        if value is None or (self.at_least is not None and value < self.at_least):
            return False
        return self.at_most is None or value <= self.at_most


@dataclass(frozen=True, kw_only=True)
class CurveScatter:
    """How seeds scatter along the training, known from recipes of the same family."""

    shares: tuple[float, ...]
    """Of the training, increasing, the last is 1."""
    sds: tuple[float, ...]
    """Standard deviation over seeds at each share, in the claim's unit."""
    df: float
    """Degrees of freedom that they were measured on."""
    cited_at: str
    """Where it was measured."""
    correlation: tuple[tuple[float, ...], ...] | None = None
    """Over seeds, between the shares."""


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far the reruns' mean may lie from the published value, declared before anything runs."""

    margin: float
    """In the claim's unit, > 0. The claim is reproduced when the difference is shown to lie within +- margin."""
    rationale: str
    """Why this margin: a reader must be able to disagree with it."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One published number that a rerun can confirm or contradict."""

    id: str
    metric: str
    published: Published
    cited_at: Citation
    tolerance: Tolerance
    unit: str = "1"
    """`1` for a plain number or fraction, otherwise for example `percent`, `nats`, `reward`."""
    arm: str = "faithful"
    """The arm whose reruns test it."""
    baseline: str | None = None
    """Another arm: then the claim is on the metric minus the baseline's, seed by seed ("B beats A by 1.2 points")."""
    estimand: Estimand | None = None
    """The question that REPRODUCED answers; that of the judge's settings when left out, `number` by default."""
    uncontrolled: str | None = None
    """Why no broken recipe could break this number, such as that of a random baseline; then no control is asked for."""
    direction: Literal["two-sided", "at_least", "at_most"] = "two-sided"
    """`at_least`: only reruns that fall short of the value speak against it; `at_most`: only those that exceed it."""
    family: Family | None = None
    divergence_rate: float = 0.0
    """Share of trainings that the release says diverge."""
    deterministic: bool = False
    """The recipe is declared to give the same value every time: two equal reruns decide, unequal ones are a finding."""
    resolution: float = 0.0
    """The smallest step that the metric can take (1/num_examples for an accuracy). The noise is never taken as less."""
    bounds: tuple[float | None, float | None] = (None, None)
    """Least and largest value that the metric can take. Equal reruns at a bound, with a resolution, are a metric that has
    reached its end; equal reruns elsewhere may be a seed that never arrived, and decide nothing."""
    testable: bool = True
    """False for a published number that nothing in the release lets anybody test."""
    weight: float = 1.0
    """In the release's score, relative to its other claims; > 0."""
    paired: bool = False
    """Rerun i has the seed, the initial weights and the data order of published training i: the differences are judged, seed by
    seed. It needs `published.values` and `published.seeds`."""
    success: SuccessRule | None = None
    """The claim is on the share of trainings that succeed, `published.value` of `num_runs`: an exact test."""
    curve: tuple[tuple[int, float], ...] | None = None
    """(step, value) along the published training, its end included: one secondary claim, judged when the value is reproduced."""
    curve_scatter: CurveScatter | None = None
    """Sharpens the curve's test, and lets the native trainer stop a rerun that has left the curve for good."""


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
    """Why it did not serve; empty for the one that did."""
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
    """Two places in a release that cannot both be right, or one that contradicts itself."""

    message: str
    evidence: tuple[Excerpt, ...]


@dataclass(frozen=True, kw_only=True)
class CheckAnswer:
    """What one consistency check says of a release's files."""

    check: str
    outcome: Literal["pass", "fail", "cannot be asked"]
    why: str
    """For `cannot be asked`: what it would need."""
    problems: tuple[Problem, ...]
    looked_at: tuple[Excerpt, ...]
    """Some of what was compared and agrees, or was recorded."""


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


@dataclass(frozen=True, kw_only=True)
class EvaluateRecord:
    """`evaluate/record.json`: what the released model scores under our evaluator."""

    status: Literal["done", "failed", "none"]
    reason: str
    measurements: tuple[Measurement, ...]
    environment: dict[str, str]
    log_tail: str
    cpu_s: float
    findings: tuple[Finding, ...]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One number that a rerun gave."""

    metric: str
    value: float | None
    """None when the rerun gave no finite number."""
    raw: str
    """What stood there, in its own words; empty when nothing did."""
    step: int | None
    self_reported: bool
    """True when the release's own code computed it; False when ours did, from predictions or from our trainer."""


class RerunStatus(StrEnum):
    """How a rerun ended."""

    FINISHED = "finished"
    DIVERGED = "diverged"
    """It ran, but a measurement is not a finite number."""
    FAILED = "failed"
    """It exited non-zero, raised, or gave none of its measurements."""
    TIMED_OUT = "timed_out"
    STOPPED = "stopped"
    """It had left the published curve for good, and was not finished."""


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """One seeded execution of a recipe."""

    target: str
    arm: str
    seed: int
    identity: str
    """sha256 of recipe, data, code, environment and seed. A finished rerun with the same identity is never run again."""
    registered: dict[str, str]
    """Digests of `claims`, `controls`, `judge` and `seeds` as they stood when this rerun was made: a later change shows."""
    status: RerunStatus
    reason: str
    measurements: tuple[Measurement, ...]
    curves: dict[str, tuple[tuple[int, float], ...]]
    """Per metric: (step, value) points, finite only."""
    environment: dict[str, str]
    """Python, packages and device that it ran on."""
    log_tail: str
    """The end of what it printed."""
    started_at: str
    duration_s: float
    cpu_s: float
    together: tuple[int, ...]
    """Seeds of this arm that were trained in one computation with it, its own among them, and shared its times. Empty when it
    was trained by itself. Part of the identity."""


@dataclass(frozen=True, kw_only=True)
class ReplayStatistic:
    """One statistic of a replay at one horizon, beside its floor."""

    statistic: Literal["loss_rms", "distance", "log_norm_ratio"]
    horizon: int
    value: float
    floor: float
    """The largest among faithful replicas in other numerics on this machine."""
    limit: float
    """What faithful replays on other hardware stay below."""
    in_floors: float
    used: bool
    """False where the floor is so high that it says nothing."""


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """Whether a replay would have noticed another value of one field of the recipe."""

    field: str
    change: str
    in_floors: float
    statistic: str | None
    horizon: int | None
    exercised: bool
    control: bool
    """One of those that a replay must notice before it may say that a release matches."""

    def __str__(self) -> str:
        if self.exercised:
            where = f"{self.statistic} at step {self.horizon}"
            return f"{self.field}: {self.change} would show, {self.in_floors:.3g} floors ({where})"
        return f"{self.field}: {self.change} is not exercised by this replay ({self.in_floors:.2g} floors)"


@dataclass(frozen=True, kw_only=True)
class ReplayRecord:
    """`replay.json` beside a rerun: whether published checkpoints follow from an earlier one by the published recipe."""

    standing: Literal["MATCHES", "DIFFERS", "INCONCLUSIVE"]
    reasons: tuple[str, ...]
    horizons: tuple[int, ...]
    statistics: tuple[ReplayStatistic, ...]
    replicas: tuple[str, ...]
    settings: tuple[str, ...]
    """Values that the published recipe does not state; the target says where they stand."""
    exercise: tuple[Exercise, ...]
    first: int = 0
    """The published step that it starts from."""
    burned_in_from: int | None = None
    """The earlier step from which it was trained up to `first` for Adam's moments, where those are not published."""


@dataclass(frozen=True, kw_only=True)
class CheckpointLook:
    """One published checkpoint beside the first one and the one before."""

    step: int
    digest: str
    """sha256 of names, shapes and values as fp32."""
    from_first: float
    """Euclidean distance from the first one, step 0 where that is published."""
    from_before: float
    largest_move: float
    """Of one weight, from the checkpoint before."""
    bound: float | None
    """Of such a move, by optimizer, schedule and storage."""
    correlation: float | None
    """Largest correlation of a weight matrix with the first checkpoint's, in standard errors of no correlation."""


@dataclass(frozen=True, kw_only=True)
class CheckpointOddity:
    """One thing about checkpoints that cannot be so, if they and the recipe are as stated."""

    kind: Literal["same", "initialisation", "too far", "unmoved", "orphan", "not finite", "tensors"]
    steps: tuple[int, ...]
    message: str


@dataclass(frozen=True, kw_only=True)
class CheckpointsRecord:
    """`checkpoints.json` beside a rerun: what the published checkpoints say by themselves, without any training."""

    looks: tuple[CheckpointLook, ...]
    oddities: tuple[CheckpointOddity, ...]


@dataclass(frozen=True, kw_only=True)
class PlannedRuns:
    """How many reruns an arm's sequential test plans: by the cost of the first two, never by their values.

    Set once, when the first two are finished; later audits of the same reruns and the same profile keep it.
    """

    num_runs: int
    """N: most reruns of the test."""
    identities: tuple[str, ...]
    """Of the reruns whose cost was taken."""
    durations_s: tuple[float, ...]
    """What each of them took."""
    budget_s: float
    most: int
    """The profile's largest N, or the target's."""
    expensive: bool
    """Whether one takes so long that an audit without prospects stops before its planned end."""


@dataclass(frozen=True, kw_only=True)
class PlannedRecord:
    """`rerun/planned.json`: the planned reruns of each arm with claims."""

    arms: dict[str, PlannedRuns]


@dataclass(frozen=True, kw_only=True)
class RerunsRecord:
    """`rerun/record.json`: which reruns belong to this audit, and why there are none where there are none."""

    not_attempted_because: str
    planned: dict[str, PlannedRuns]
    """Per arm with claims; what is not there plans all of its seeds."""
    identities: dict[str, tuple[str, ...]]
    """Per arm: the identity of each seed's rerun, in the order of the plan's seeds."""
    num_reused: int
    """Reruns that an earlier, interrupted or unchanged audit had already finished."""
    findings: tuple[Finding, ...]


@dataclass(frozen=True, kw_only=True)
class ControlOutcome:
    """Whether a deliberately broken recipe was caught. If not, the audit's test has no power."""

    arm: str
    of: str
    claim: str
    runs: tuple[float | None, ...]
    outcome: Outcome
    caught: bool
    """It is shown not to reproduce the claim."""
    differs_from_faithful: bool
    """It is shown to differ from the faithful reruns; if not, what broke the control may have broken them too."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one look at the reruns showed."""

    num_runs: int
    """Reruns that had been made."""
    difference: float | None
    interval: tuple[float, float] | None
    """Of the claim's question."""
    critical_value: float | None
    """Half the interval's width in standard errors, the half unit of the printed value's rounding aside."""
    stop: str
    """What the test said: within, outside, diverged, futile, spent, equal, rounding, or needs_runs."""


@dataclass(frozen=True, kw_only=True)
class QuestionAnswer:
    """What the reruns say to one of the two questions."""

    estimand: Estimand
    interval: tuple[float, float]
    """Of the difference, in the claim's unit; each end errs with at most `alpha`, over all looks together."""
    standing: Literal["within", "outside", "open"]
    """Whether the difference is shown to lie within the tolerance, or outside."""


Why = Literal[
    "number_not_reached", "more_runs", "budget", "at_the_edge", "published_noise", "rounding", "divergence", "equal_runs",
    "control", "data", "failed_runs",
]  # fmt: skip
"""Why a claim is INCONCLUSIVE. `number_not_reached`: the printed number is shown not to be what the recipe gives on average;
whether the recipe differs is open. `more_runs`: fewer were made than planned. `budget`: the planned ones are spent, and more
would decide. `at_the_edge`: the difference is as large as the tolerance, as far as anybody can tell. `published_noise`,
`rounding`: no number of reruns decides, since the published trainings' luck or the printed value's rounding remains.
`divergence`: reruns diverged, too often to accept and too seldom to accuse. `equal_runs`: their noise is unknown. `control`:
a broken recipe was not caught, or broke nothing. `data`: the prepared data are not the published ones. `failed_runs`: reruns
did not run to their end."""


@dataclass(frozen=True, kw_only=True)
class Plausibility:
    """Figures beside a verdict, which never decide it (core/plausibility.py)."""

    within_flat: float
    """P(the difference lies within the tolerance), flat prior."""
    within_sceptical: float
    """The same under a prior by which both answers are equally likely."""
    share_within: float | None
    """Share of single trainings that would fall within the tolerance; null for claims on a share."""
    one_more_draw_p: float | None
    """p-value of "the published value is one more draw of what was rerun"."""
    luck: float | None
    """P(a published value at least so far out, on its side), if the published recipe is the one that was rerun."""
    fewest_tried: int | None
    """The least K for which the published value, as the best of K trainings, is within the tolerance; null when above 100."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the reruns say of one claim."""

    id: str
    metric: str
    unit: str
    weight: float
    published: Published
    tolerance: Tolerance
    cited_at: Citation
    driver: str
    """How it was tested (`openassay.drivers`); `none` where nothing was rerun."""
    protocol: str
    estimand: Estimand
    """The question that REPRODUCED answers, and that difference, interval and score are of."""
    runs: tuple[float | None, ...]
    """One value a rerun, in the order of the seeds; null without a finite value. For a claim with a baseline, differences."""
    runs_used: int
    """The first so many decided; later ones were made at the same time, and were not looked at."""
    max_runs: int | None
    """Most reruns that were planned; null where nothing was run."""
    difference: float | None
    """Mean of the used reruns minus the published value, in the claim's unit."""
    interval: tuple[float, float] | None
    """Interval of that difference; each end errs with at most `alpha`, over all looks together."""
    outcome: Outcome
    shown: tuple[Estimand, ...]
    """Of a REPRODUCED claim: the differences shown to lie within the tolerance. Empty for a replay, which asks otherwise."""
    why: Why | None
    """Of an INCONCLUSIVE claim; null otherwise."""
    answers: tuple[QuestionAnswer, ...]
    """To `number`, then to `recipe`; empty without two values."""
    looks: tuple[Look, ...]
    """Every look at the reruns, up to the one that decided."""
    plausibility: Plausibility | None
    p_not_reproduced: float | None
    """p-value of "the recipe's difference lies within the tolerance", over all looks; small speaks against the release."""
    more_runs_needed: int | None
    """Of an INCONCLUSIVE claim: so many reruns more, like those that were made, would decide it; null where none would."""
    score: float | None
    score_interval: tuple[float, float] | None
    reason: str
    rule: str


class CurveOutcome(StrEnum):
    """What can be said of a curve."""

    AGREES = "AGREES"
    """Every point is shown to lie within its margin."""
    DIFFERS = "DIFFERS"
    """Some point is shown to lie outside its margin, also after Holm's correction."""
    OPEN = "OPEN"


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """The curves at one step, in the metric's unit."""

    step: int
    published: float
    rerun: float
    """Mean over the reruns."""
    interval: tuple[float, float]
    """Of rerun minus published; each end errs with at most the verdict's `alpha`."""
    margin: float
    deviation: float
    """The difference in standard errors, the published curve's own noise included."""


@dataclass(frozen=True, kw_only=True)
class CurveVerdict:
    """What the reruns' curves say of one claim: a secondary claim, which never changes the primary one."""

    claim: str
    metric: str
    num_published: int
    num_reruns: int
    alpha: float
    points: tuple[CurvePoint, ...]
    largest_at: int
    """The step whose deviation is largest."""
    p: float
    """p-value of "the recipes' curves are the same", by that deviation. Small speaks for some difference, however slight."""
    family: str | None
    """Where the seeds' scatter along the curve was measured; null when only the reruns tell of it."""
    outcome: CurveOutcome
    reason: str


@dataclass(frozen=True, kw_only=True)
class StudyCheck:
    """One thing that a release must allow to be studied."""

    check: str
    outcome: Literal["pass", "fail", "unknown"]
    detail: str


@dataclass(frozen=True, kw_only=True)
class ProbeOutcome:
    """Whether a changed recipe changed the result as predicted."""

    arm: str
    of: str
    metric: str
    expects: Literal["lower", "higher"]
    num_pairs: int
    difference: float | None
    """Mean of changed minus faithful over the seeds that both were run on."""
    p: float | None
    """One-sided; small for a change in the predicted direction."""
    outcome: Literal["as predicted", "opposite", "not shown"]


@dataclass(frozen=True, kw_only=True)
class Score:
    """How well the release reproduces. Never to be quoted without its coverage."""

    value: float | None
    """0 to 1; 0.5 is a difference as large as the tolerance. Null when nothing was tested."""
    interval: tuple[float, float] | None
    coverage: float
    """Share of the release's claims that were tested, by weight."""
    bounds: tuple[float, float]
    """What the interval would be if the untested claims had scored 0, or 1."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Who ran what, where and when."""

    openassay: str
    git_commit: str | None
    git_dirty: bool | None
    python: str
    platform: str
    device: str
    packages: dict[str, str]
    isolation: Literal["none"]
    """How the published code was fenced in. This version runs it as an ordinary child process."""
    started_at: str | None
    finished_at: str
    cpu_s: float
    num_reruns: int
    num_reused: int
    """Reruns that were made in an earlier audit of the same recipe, data, code, environment and seed."""


@dataclass(frozen=True, kw_only=True)
class ReleaseVerdict:
    """The record that others rely on: `experiments/TARGET/verdict.json`."""

    schema_version: Literal[1]
    target: str
    plan_digest: str
    rules_version: str
    alpha: float
    outcome: Outcome
    reason: str
    score: Score
    claims: tuple[Verdict, ...]
    controls: tuple[ControlOutcome, ...]
    curves: tuple[CurveVerdict, ...]
    """Secondary claims: whether the reruns follow the published curves."""
    openness: Openness
    """By the Open Source AI Definition and the Model Openness Framework, from what is declared and found."""
    study: tuple[StudyCheck, ...]
    """What could be fetched, found, prepared and matched."""
    modify: tuple[ProbeOutcome, ...]
    """Whether a changed recipe changes the result as predicted."""
    findings: tuple[Finding, ...]
    provenance: Provenance


Json = dict[str, Any] | list[Any] | str | int | float | bool | None
