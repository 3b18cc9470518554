"""The replay driver: the published first updates of a language model, again, from its step 0 and in its order.

Where initial weights, data order and early checkpoints are published, nothing is left to chance but the rounding of the
arithmetic, and the floor of that is measured on this machine (`protocols.prefix`). One replay says more than many trainings from
other seeds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from openassay.core.replay import FACTOR
from openassay.core.types import LARGEST, Citation, Exercise, Measurement, ReplayRecord, ReplayStatistic, RerunStatus
from openassay.faults import BadInput
from openassay.protocols.explain import Explanation
from openassay.protocols.prefix import CONTROLS, PrefixReport, Release, replay_prefix
from openassay.recipes.formats import read_recipe
from openassay.recipes.formats.draft import complete
from openassay.recipes.job import Arm, Execution, Job
from openassay.training.language import LanguageRecipe
from openassay.training.mismatch import RecipeMismatch
from openassay.training.numerics import Numerics, Weights
from openassay.training.tokens import BadTokens, Batches, local, size_of
from openassay.training.tokens.megatron import Preshuffled, preshuffled, read_index
from openassay.training.tokens.olmo import Memmaps

METRIC = "replay_in_floors"
"""The largest statistic of a replay in units of its floor: beyond 3 it is not noise."""
MARGIN = FACTOR


@dataclass(frozen=True, kw_only=True)
class RecipeFile:
    """The file in which the release publishes its recipe."""

    artifact: str
    path: str
    format: str | None = None
    """One of `openassay recipe --help`; found out when left out."""


@dataclass(frozen=True, kw_only=True)
class TokenFiles:
    """The published tokens, in the order of training."""

    artifact: str
    layout: Literal["preshuffled", "olmo"]
    """`preshuffled`: items one after another, batch k from item k x batch on (Pythia). `olmo`: memory maps in a seeded order."""
    files: Annotated[tuple[str, ...], Field(min_length=1)]
    index: str | None = None
    """A Megatron `.idx` beside them."""
    dtype: Literal["uint16", "uint32"] = "uint16"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Published weights of one step, as safetensors."""

    step: Annotated[int, Field(ge=0)]
    artifact: str
    path: str = "model.safetensors"


@dataclass(frozen=True, kw_only=True)
class ReplayRecipe:
    """Replay the first updates and compare with the published checkpoints."""

    driver: Literal["replay"]
    recipe: RecipeFile
    tokens: TokenFiles
    checkpoints: Annotated[tuple[Checkpoint, ...], Field(min_length=2)]
    """Step 0 and those that are compared with."""
    updates: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (16, 64)
    """Horizons: at each, the last published step up to there is compared."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Values of the canonical recipe, by dotted name, that its file leaves unstated; `taken_from` says where they stand."""
    taken_from: tuple[Citation, ...] = ()
    exercise: bool = True
    """Probe every field of the recipe: what would this replay have noticed? About forty replays more."""
    metric: str = METRIC
    arms: dict[str, Arm] = field(default_factory=lambda: {"faithful": Arm()})
    max_runs: int | None = None
    timeout_s: Annotated[float, Field(gt=0)] = 86400.0
    """Looked at before each replica and probe: the training that is under way is finished."""
    protocol: Literal["prefix"] = "prefix"
    """`prefix`: from the published step 0."""

    def metrics(self) -> set[str]:
        """The metrics that a replay measures."""
        return {self.metric}

    def placeholders(self) -> set[str]:
        """A replay runs none of the release's code."""
        return set()

    def execute(self, job: Job) -> Execution:
        """One replay with its replicas and probes, in this process."""
        started, said, deadline = time.process_time(), [""], time.monotonic() + job.timeout_s
        device = _device(job.device)

        def say(line: str) -> None:
            if time.monotonic() > deadline:
                raise _TimeLimit
            said.append(line)
            print(f"  {line}", flush=True)

        try:
            release = self.release(job.artifacts)
            report = replay_prefix(
                release, updates=self.updates, numerics=Numerics(threads=job.threads), device=device, probes=self.exercise,
                say=say,
            )  # fmt: skip
            problem = report.problem
        except _TimeLimit:
            return Execution(
                status=RerunStatus.TIMED_OUT, reason=f"stopped after {job.timeout_s:g} s, its time limit", measurements=(),
                curves={}, log="\n".join(said).strip() + "\n", cpu_s=time.process_time() - started, device=device,
            )  # fmt: skip
        except (RecipeMismatch, BadTokens, BadInput) as finding:  # what was published does not fit together
            report, problem = None, str(finding)
        cpu_s = time.process_time() - started
        log = "\n".join(said).strip() + "\n"
        if report is None or report.verdict is None:
            return Execution(
                status=RerunStatus.FAILED, reason=f"no replay: {problem}", measurements=(), curves={}, log=log, cpu_s=cpu_s,
                device=device,
            )  # fmt: skip
        record = _record(report, tuple(sorted(self.settings)))
        value = max((of.in_floors for of in record.statistics if of.used), default=None)
        measurement = Measurement(
            metric=self.metric, value=value, raw="" if value is None else repr(value), step=record.horizons[-1],
            self_reported=False,
        )  # fmt: skip
        return Execution(
            status=RerunStatus.FINISHED, reason="", measurements=(measurement,), curves={}, log=log, cpu_s=cpu_s,
            device=device, replay=record,
        )  # fmt: skip

    def release(self, artifacts: Mapping[str, str]) -> Release:
        """What was published, ready for a replay. `BadInput`, `BadTokens` or `RecipeMismatch` say what does not fit."""
        read = read_recipe(Path(artifacts[self.recipe.artifact]) / self.recipe.path, self.recipe.format)
        files = {} if read.values["data.files"] else {"data.files": self.tokens.files}
        recipe = complete(read, files | self.settings, "rerun.settings")
        paths = {of.step: Path(artifacts[of.artifact]) / of.path for of in self.checkpoints}
        missing = next((path for path in paths.values() if not path.is_file()), None)
        if missing is not None:
            raise RecipeMismatch(f"{missing.name} of a checkpoint is not in its artifact")
        return Release(
            recipe=recipe, tokens=_InOrder(self._batches(artifacts, recipe)), steps=tuple(sorted(paths)),
            weights=lambda step: _weights(paths[step])[0], stored=_stored(tuple(paths.values())),
        )  # fmt: skip

    def _batches(self, artifacts: Mapping[str, str], recipe: LanguageRecipe) -> Batches:
        folder = Path(artifacts[self.tokens.artifact])
        dtype: np.dtype[Any] = np.dtype(self.tokens.dtype)
        read, parts = local(folder), tuple((name, size_of(folder, name)) for name in self.tokens.files)
        if self.tokens.layout == "olmo":
            return Memmaps(
                files=parts, sequence_length=recipe.data.sequence_length, batch_size=recipe.batch_size, read=read,
                seed=recipe.data.seed or 0, dtype=dtype,
            )  # fmt: skip
        if self.tokens.index:
            found = preshuffled(read_index(folder / self.tokens.index), parts, recipe.batch_size, read)
            if found.item_length != recipe.data.item_length:
                raise BadTokens(
                    f"{self.tokens.index}: expected items of {recipe.data.item_length} tokens, found {found.item_length}"
                )
            return found
        item = recipe.data.item_length * dtype.itemsize
        whole = sum(size for _, size in parts) // item  # the start of a file may be all that was fetched
        return Preshuffled(
            parts=parts, item_length=recipe.data.item_length, batch_size=recipe.batch_size, read=read, dtype=dtype,
            num_items=whole,
        )  # fmt: skip


class _TimeLimit(Exception):
    pass


@dataclass(frozen=True)
class _InOrder:
    """Batches as sequences in the order of training."""

    batches: Batches

    def items(self, first: int, count: int) -> NDArray[np.integer[Any]]:
        size = self._batch(0).shape[0]
        rows = [self._batch(at // size)[at % size] for at in range(first, first + count)]
        return np.stack(rows)

    def _batch(self, index: int) -> NDArray[np.integer[Any]]:
        if index >= self.batches.num_batches:
            raise RecipeMismatch(f"the published tokens end before batch {index}")
        return _cached(self, index)


@lru_cache(maxsize=4)
def _cached(order: _InOrder, index: int) -> NDArray[np.integer[Any]]:
    return order.batches.batch(index)


@lru_cache(maxsize=2)
def _weights(path: Path) -> tuple[Weights, str]:
    from openassay.training.lm import read_safetensors  # noqa: PLC0415 - torch takes seconds to import

    return read_safetensors(path)


def _stored(paths: tuple[Path, ...]) -> Literal["fp32", "fp16", "bf16"]:
    """The coarsest precision in which any of these files holds weights."""
    kinds = {_weights(path)[1] for path in paths}
    return next((kind for kind in ("bf16", "fp16") if kind in kinds), "fp32")


def _device(wanted: str) -> str:
    from openassay.training.trainer import pick_device  # noqa: PLC0415

    return pick_device(wanted)


def _record(report: PrefixReport, settings: tuple[str, ...]) -> ReplayRecord:
    assert report.verdict is not None  # noqa: S101 - the caller has looked
    return ReplayRecord(
        standing=report.verdict.standing.value, reasons=report.verdict.reasons, horizons=report.horizons,
        statistics=tuple(
            ReplayStatistic(
                statistic=of.statistic, horizon=of.horizon, value=_finite(of.value), floor=_finite(of.floor), limit=of.limit,
                used=of.used, in_floors=_finite(of.in_floors),
            )
            for of in report.verdict.statistics
        ),
        replicas=report.replicas, settings=settings,
        exercise=tuple(
            Exercise(
                field=of.field, change=of.change, in_floors=_finite(of.in_floors), statistic=of.statistic, horizon=of.horizon,
                exercised=of.exercised, control=of.change in CONTROLS,
            )
            for of in report.exercise
        ),
    )  # fmt: skip


def _finite(value: float) -> float:
    """A weight that is no number is as far off as a record can say."""
    return min(value, LARGEST)


def explanation_to_plain(found: Explanation) -> dict[str, Any]:
    """An explanation as JSON types."""
    return {
        "plain_in_floors": _finite(found.plain_in_floors), "group": list(found.group), "remainder": found.remainder,
        "not_tried": list(found.not_tried),
        "ranked": [
            {"change": of.name, "field": of.field, "in_floors": _finite(of.in_floors), "removed": of.removed,
             "explains": of.explains}
            for of in found.ranked
        ],
    }  # fmt: skip
