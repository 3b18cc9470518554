"""Replays and checkpoints: what they show of the published updates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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
    """Would a replay have noticed another value of one field of the recipe?"""

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
    """`replay.json` beside a rerun: do published checkpoints follow from an earlier one by the published recipe?"""

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
    """`checkpoints.json` beside a rerun: what do the published checkpoints say by themselves, without any training?"""

    looks: tuple[CheckpointLook, ...]
    oddities: tuple[CheckpointOddity, ...]
