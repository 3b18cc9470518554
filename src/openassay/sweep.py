"""A sweep over values of a recipe, rerun beside a target's audit: the freedom to modify, used.

Nothing of it bears on the verdict: its reruns lie in `experiments/TARGET/sweep/`, and are kept by their identity as all are.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from openassay.core.evidence import values_of
from openassay.core.findings import FetchRecord, PrepareRecord
from openassay.drivers import AnyDriver
from openassay.faults import BadInput
from openassay.layout import Layout, cache_home
from openassay.plan import Seeds, read_plan
from openassay.records import read_record
from openassay.stages import judge, rerun
from openassay.store import Store
from openassay.target import Probe, check_changes

MOST_ARMS = 100


@dataclass(frozen=True)
class _Beside(Layout):
    """The same target, with its reruns in a folder of their own."""

    def rerun(self, arm: str, seed: int) -> Path:
        """The folder of one rerun."""
        return self.folder / "sweep" / arm / f"seed-{seed}"

    @property
    def planned(self) -> Path:
        """How many reruns of each arm are planned: all."""
        return self.folder / "sweep" / "planned.json"


@dataclass(frozen=True, kw_only=True)
class Point:
    """One metric at one point of a sweep."""

    changes: str
    """What was changed, as it was asked for."""
    metric: str
    values: tuple[float | None, ...]
    """One a seed; None where a rerun gave no number."""
    faithful: tuple[float | None, ...]
    """Of the recipe as published, on the same seeds."""

    def difference(self) -> tuple[float, float] | None:
        """The mean difference to the recipe as published, seed by seed, and its standard error; None below two pairs."""
        pairs = [a - b for a, b in zip(self.values, self.faithful, strict=False) if a is not None and b is not None]
        if len(pairs) < 2:
            return None
        return float(np.mean(pairs)), float(np.std(pairs, ddof=1)) / len(pairs) ** 0.5


def points(overrides: Sequence[str]) -> list[dict[str, Any]]:
    """Every combination of the values that sweeps in Hydra's grammar ask for: `a=1,2 b=range(3)` has six."""
    from hydra.core.override_parser.overrides_parser import OverridesParser  # noqa: PLC0415 - takes a while to import
    from hydra.errors import HydraException  # noqa: PLC0415

    axes: dict[str, list[Any]] = {}
    try:
        for of in OverridesParser.create().parse_overrides(list(overrides)):
            if of.type is None or of.type.name != "CHANGE" or of.package:
                raise BadInput(f"sweep: {of.input_line!r}: expected KEY=VALUE,VALUE")
            axes[str(of.key_or_group)] = (
                list(itertools.islice(of.sweep_iterator(), MOST_ARMS + 1)) if of.is_sweep_override() else [of.value()]
            )
    except HydraException as error:
        raise BadInput(f"sweep: {str(error).splitlines()[0]}") from None
    plain = {key: [getattr(value, "text", value) for value in values] for key, values in axes.items()}
    every = itertools.islice(itertools.product(*plain.values()), MOST_ARMS + 1)
    found = [dict(zip(plain, chosen, strict=True)) for chosen in every]
    if not axes or len(found) > MOST_ARMS:
        raise BadInput(f"sweep: 1 to {MOST_ARMS} combinations of values are needed, found {'more' if axes else 'none'}")
    return found


def sweep(layout: Layout, overrides: Sequence[str], num_runs: int, of: str = "faithful") -> list[Point]:
    """Rerun an audited target's recipe at every point of a sweep, on the first seeds of the arm that it changes.

    num_runs: seeds a point, 2 or more. Raises `BadInput` for a target without an audit, an arm or a value that is not there.
    """
    plan = read_plan(layout)
    recipe = plan.rerun
    where = f"sweep of {layout.target}"
    if recipe is None or recipe.changes_by is None:
        why = f"the driver {recipe.driver} takes no changes" if recipe else "nothing is rerun"
        raise BadInput(f"{where}: it has no recipe with values to change ({why})")
    if of not in recipe.arms:
        raise BadInput(f"{where}: there is no arm {of!r}; there are: {', '.join(recipe.arms)}")
    if num_runs < 2:
        raise BadInput(f"{where}: --runs: at least 2, found {num_runs}")
    chosen = points(overrides)
    changes = [_change(recipe, i, of, values) for i, values in enumerate(chosen, 1)]
    for problem in check_changes(recipe, list(zip(map(_words, chosen), changes, strict=True))):
        raise BadInput(f"{where}: {problem}")
    seeds = plan.seeds.arms[of][:num_runs]
    if len(seeds) < num_runs:
        seeds = tuple(range(num_runs))
    arms = {of: seeds, **{change.arm: seeds for change in changes}}
    aside = replace(plan, claims=(), controls=(), probes=tuple(changes), seeds=Seeds(arms=arms))
    fetched = read_record(layout.record("fetch"), FetchRecord)
    prepared = read_record(layout.record("prepare"), PrepareRecord)
    beside = _Beside(layout.root, layout.target, layout.file)
    with beside.alone():
        made = rerun.run(replace(aside, digest=aside.identity()), fetched, prepared, Store(cache_home()), beside)
    if made.not_attempted_because:
        raise BadInput(f"{where}: {made.not_attempted_because}")
    runs = {arm: judge.read_reruns(beside, aside, arm, made.identities.get(arm, ())) for arm in arms}
    return [
        Point(
            changes=_words(values), metric=metric,
            values=values_of(runs[change.arm], metric), faithful=values_of(runs[of], metric),
        )
        for change, values in zip(changes, chosen, strict=True) for metric in sorted(recipe.metrics())
    ]  # fmt: skip


def _words(values: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in values.items())


def _change(driver: AnyDriver, number: int, of: str, values: dict[str, Any]) -> Probe:
    """One point of a sweep as a change of the recipe: of the run's parameters, or of a declarative recipe's fields."""
    own: dict[str, Any] = {driver.changes_by or "set": values}
    metric = min(driver.metrics())
    return Probe(arm=f"point_{number}", of=of, rationale="asked for", metric=metric, expects="higher", **own)
