"""Verdicts: on claims, curves, controls and probes, and the record of a release that others rely on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from openassay.core.claims import Citation, Estimand, Published, Tolerance
from openassay.core.deviations import Deviation
from openassay.core.findings import Finding
from openassay.core.openness_records import Openness
from openassay.core.tiers import Tier
from openassay.core.types import IsolationKind


class Outcome(StrEnum):
    """What can be said of a claim, or of a release."""

    REPRODUCED = "REPRODUCED"
    NOT_REPRODUCED = "NOT_REPRODUCED"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_ATTEMPTED = "NOT_ATTEMPTED"


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
    "control", "no_training", "data", "failed_runs", "assumed_values", "items", "protocol",
]  # fmt: skip
"""Why a claim is INCONCLUSIVE. `number_not_reached`: the printed number is shown not to be what the recipe gives on average;
whether the recipe differs is open. `more_runs`: fewer were made than planned. `budget`: the planned ones are spent, and more
would decide. `at_the_edge`: the difference is as large as the tolerance, as far as anybody can tell. `published_noise`,
`rounding`: no number of reruns decides, since the published trainings' luck or the printed value's rounding remains.
`divergence`: reruns diverged, too often to accept and too seldom to accuse. `equal_runs`: their noise is unknown. `control`:
a broken recipe was not caught, or broke nothing. `no_training`: it is not shown that the number comes from training, since
weights are too near the released ones or equal for different seeds, or the number goes where classes have other names.
`data`: the prepared data are not the published ones. `failed_runs`: reruns did not run to their end. `assumed_values`: the number
is not reached, and a value that the release does not state, and the target assumes, may be the reason. Of released weights,
`items`: the test items' own noise could explain the difference; `protocol`: the published evaluation is not followed, or not
known."""


Basis = Literal[
    "measured", "self_reported", "unprotected", "labels_in_reach", "visible_control", "scaled_down", "other_versions",
]  # fmt: skip
"""What a verdict rests on. `measured`: our evaluator or our trainer took the number; `self_reported`: the release's own code
did. The others say what makes it weaker. `unprotected`: that code ran without a cage. `labels_in_reach`: it was shown the
labels that our evaluator uses. `visible_control`: it could tell the broken recipe from the faithful one by its arguments or
its code. `scaled_down`: a shorter training, held to what is published of that one. `other_versions`: not in the published
environment."""


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
    tier: Tier
    driver: str
    """What tested it (`openassay.drivers`, or `recompute`); `none` where nothing was rerun."""
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
    basis: tuple[Basis, ...]
    """What the outcome rests on; empty where nothing was rerun. REPRODUCED is shown without a word more only where this is
    `measured` alone."""
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
    expects: Literal["lower", "higher", "same"]
    """`same`: classes were renamed, and the claim's margin says what counts as the same."""
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
class TierVerdict:
    """What the claims of one tier say together."""

    tier: Tier
    outcome: Outcome
    reason: str
    score: Score
    """Of this tier's claims alone, its coverage too."""
    num_claims: int
    num_tested: int
    num_reproduced: int
    num_not_reproduced: int
    share: float
    """Share of all the release's claims, by weight, that were tested on this tier."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Who ran what, where and when."""

    openassay: str
    auditor: str | None
    """Who audited, and how to reach them; null where the project does not say."""
    git_commit: str | None
    git_dirty: bool | None
    python: str
    platform: str
    device: str
    packages: dict[str, str]
    isolation: IsolationKind
    """How the published code was kept from the machine; `none`: it ran as an ordinary child process."""
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
    """Of the reruns: a number that follows from other files, or that released weights give, makes no release REPRODUCED."""
    basis: tuple[Basis, ...]
    """Of all claims that were rerun."""
    in_words: str
    """What came out of the reruns, in one plain sentence that names what was different; empty where nothing was rerun."""
    deviations: tuple[Deviation, ...]
    """What was different from the release when its numbers were tested; empty where nothing was run."""
    reason: str
    score: Score
    """Of the claims that a rerun would test."""
    tiers: tuple[TierVerdict, ...]
    """Recomputed, evaluated, rerun, in this order."""
    claims: tuple[Verdict, ...]
    controls: tuple[ControlOutcome, ...]
    curves: tuple[CurveVerdict, ...]
    """Secondary claims: whether the reruns follow the published curves."""
    openness: Openness | None
    """By the Open Source AI Definition and the Model Openness Framework, from what is declared and found; null for a release that
    is no AI system."""
    study: tuple[StudyCheck, ...]
    """What could be fetched, found, prepared and matched."""
    modify: tuple[ProbeOutcome, ...]
    """Whether a changed recipe changes the result as predicted."""
    findings: tuple[Finding, ...]
    provenance: Provenance
