"""Reruns: what each measured and how it ended, how many are planned, and what the released model scores."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from openassay.core.findings import Finding
from openassay.core.likeness import Likeness


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
    """What stood there before scaling, in its own words; empty when nothing did."""
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
class NotedSeed:
    """A place in published code that sets a random seed."""

    function: str
    seed: int
    place: str
    """File and line; empty where no file of the release is on the way."""


@dataclass(frozen=True, kw_only=True)
class CommandsRecord:
    """`commands.json` beside a rerun of published commands: how their seeds came about, and what they give as published."""

    seeds: tuple[NotedSeed, ...]
    """Set by the code itself, in the order of the calls."""
    passed: bool
    """Whether a step or a variable takes the rerun's seed."""
    replaced: bool
    """Whether the code's own seeds were replaced by others."""
    as_published: tuple[Measurement, ...] = ()
    """What the published commands gave with their own seeds, once."""
    as_published_failed: str = ""
    installs: tuple[str, ...] = ()
    """What the commands would have installed, which is left out."""
    not_kept: tuple[str, ...] = ()
    """Files that the target asks to keep, and that are too large."""


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
class WeightsCompared:
    """The weights that the reruns of an arm wrote, beside each other and the released ones."""

    arm: str
    num_reruns: int
    """Reruns whose weights were compared: the first."""
    problem: str
    """Why they cannot be compared; empty where they can."""
    tensors: tuple[str, ...]
    """Those that were matched."""
    equal: bool
    """Whether two reruns of different seeds wrote the same."""
    unmoved: bool
    """Whether one wrote the weights that it began with."""
    to_released: Likeness | None
    """Mean over the reruns; null where there is nothing to compare with."""
    among: Likeness | None
    """Mean over pairs of reruns."""
    near: bool
    """Whether they are nearer to the released weights than trainings of one recipe are to each other."""
    one_start: bool
    """Whether they, and the released ones, are alike as trainings that begin with the same weights are; of networks with more
    than one matrix, since a single one has one best."""


@dataclass(frozen=True, kw_only=True)
class RerunsRecord:
    """`rerun/record.json`: which reruns belong to this audit, and why there are none where there are none."""

    not_attempted_because: str
    planned: dict[str, PlannedRuns]
    """Per arm with claims; what is not there plans all of its seeds."""
    identities: dict[str, tuple[str, ...]]
    """Per arm: the identity of each seed's rerun, in the order of the plan's seeds."""
    weights: tuple[WeightsCompared, ...]
    """Of the arms whose runs leave weights, by the target's word."""
    num_reused: int
    """Reruns that an earlier, interrupted or unchanged audit had already finished."""
    findings: tuple[Finding, ...]
