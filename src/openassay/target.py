"""The target file: a release under verification as data, and all that can be wrong with it.

A target file may be a stranger's: it is read by our own strict loader, never by Hydra.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field

from openassay.claim_tables import ClaimTable, claims_of
from openassay.core.claims import Citation, Claim, Published
from openassay.core.curves import scatter_of
from openassay.core.openness_records import ComponentName, DataInformation, Review
from openassay.core.types import LARGEST
from openassay.drivers import AnyDriver
from openassay.drivers.driver import PublishedRun, TargetFacts, refused
from openassay.drivers.job import Arm, placeholders
from openassay.drivers.measures import Measure
from openassay.drivers.run import GlueRun, Run, ScriptRun, Seeding
from openassay.environments import EnvironmentSpec
from openassay.faults import BadInput
from openassay.layout import Layout, checked_name
from openassay.records import Misfit, parse
from openassay.sources import Source
from openassay.sources.git import GitSource
from openassay.sources.hf import HfSource
from openassay.store import check_glob
from openassay.yaml_loader import load_yaml

Glob = Annotated[str, AfterValidator(check_glob)]

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")

MOST_PUBLISHED_RUNS = 1_000_000

RESERVED = {"seed", "out", "data", "device"}
"""Placeholders that a parameter may not take: a parameter called seed would give every rerun the same one."""

_METRIC = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./ -]{0,99}\Z")


@dataclass(frozen=True, kw_only=True)
class Release:
    """The release under verification."""

    title: str
    version: str
    homepage: str
    published_on: str | None = None
    """Date of the release, YYYY-MM-DD; unknown when left out."""
    paper: str | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Component:
    """One part of a release, as the release declares it."""

    component: ComponentName
    published: Literal["yes", "no", "partly", "unknown"]
    licence: str = "unknown"
    """SPDX expression where one fits, else the terms in words."""
    artifact: str | None = None
    """The artifact in which `inspect` looks for it; none when it lies where we do not fetch."""
    paths: tuple[Glob, ...] = ()
    """Globs that must each match a file of the artifact."""
    where: str | None = None
    """Where the release says that it is, in words or as an address."""
    note: str | None = None
    source: str | None = None
    """Where these facts are taken from: an address, or a repository with commit and path."""


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """The checkpoints along the training that the release publishes: information for readers."""

    naming: str
    """How a step's checkpoint is called."""
    steps: str
    """Which steps there are."""
    source: str
    count: Annotated[int, Field(ge=0)] | None = None
    optimizer_states: str | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class ScaledRerun:
    """The smallest rerun that would say something of the release, and what it could be compared with."""

    what: str
    reference: str
    """A published result of the same scale; or the words `no matched reference exists`, and why."""
    cost: str | None = None
    """As estimated, with its assumptions."""


@dataclass(frozen=True, kw_only=True)
class Payload:
    """A pin of what files say, however they are packed."""

    sha256: Sha256
    include: Annotated[tuple[Glob, ...], Field(min_length=1)]
    """Globs, matched from the right, of the files that count."""


@dataclass(frozen=True, kw_only=True)
class ArtifactSpec:
    """A published thing, and where it may be had: sources are tried in order."""

    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    payload: Payload | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class ArrayCheck:
    """A published fact about the prepared data."""

    array: str
    sha256: Sha256
    """Of the array's bytes in C order; of its values rounded as little-endian float64 when `decimals` is given."""
    decimals: Annotated[int, Field(ge=0, le=15)] | None = None
    cited_at: Citation


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How the published data preparation is run, and what should come out."""

    run: Run
    parameters: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    seeding: tuple[Seeding, ...] = ()
    checks: tuple[ArrayCheck, ...] = ()
    timeout_s: Annotated[float, Field(gt=0)] = 3600.0


@dataclass(frozen=True, kw_only=True)
class EvaluationSpec:
    """How the released model is measured under our evaluator."""

    run: Run
    measure: tuple[Measure, ...]
    parameters: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    seeding: tuple[Seeding, ...] = ()
    timeout_s: Annotated[float, Field(gt=0)] = 3600.0


@dataclass(frozen=True, kw_only=True)
class ChangedArm:
    """A changed recipe."""

    arm: str
    of: str = "faithful"
    rationale: str
    parameters: dict[str, Any] = field(default_factory=dict)
    set: dict[str, Any] = field(default_factory=dict)
    permute: tuple[str, ...] = ()

    def as_arm(self, base: Arm) -> Arm:
        """The arm that it runs: the base arm with this control's changes."""
        return Arm(
            parameters=base.parameters | self.parameters, set=base.set | self.set, permute=base.permute + self.permute
        )


@dataclass(frozen=True, kw_only=True)
class Control(ChangedArm):
    """A deliberately broken recipe that must not pass: if it does, the audit's test has no power."""

    claims: tuple[str, ...] | None = None
    """The claims of its arm that it can break; all of them when left out."""
    expects: Literal["lower", "higher"] | None = None
    """Where the claimed metrics should go; then the control is a probe too."""

    def breaks(self, claim: Claim) -> bool:
        """Whether it is meant to break a claim."""
        return claim.arm == self.of and (self.claims is None or claim.id in self.claims) and not claim.uncontrolled


@dataclass(frozen=True, kw_only=True)
class Probe(ChangedArm):
    """A modified recipe with a predicted effect: evidence for the freedom to modify."""

    metric: str
    expects: Literal["lower", "higher"]


@dataclass(frozen=True, kw_only=True)
class Target:
    """A release under verification: what `conf/target/NAME.yaml` holds."""

    schema_version: Literal[1]
    name: str
    release: Release
    components: tuple[Component, ...]
    artifacts: dict[str, ArtifactSpec]
    data_information: DataInformation | None = None
    """What is said of the training data: more than components can tell."""
    reviews: tuple[Review, ...] = ()
    checkpoints: Checkpoints | None = None
    scaled_reruns: tuple[ScaledRerun, ...] = ()
    glue: str | None = None
    """A script in `conf/target/glue/`, for code that cannot be called as it is."""
    environment: EnvironmentSpec | None = None
    prepare: Preparation | None = None
    evaluate: EvaluationSpec | None = None
    rerun: AnyDriver | None = None
    not_rerun_because: str | None = None
    """Why nothing can be rerun; needed when `rerun` is left out."""
    controls: tuple[Control, ...] = ()
    probes: tuple[Probe, ...] = ()
    claims: tuple[Claim, ...] = ()
    claim_tables: tuple[ClaimTable, ...] = ()
    """Published tables whose rows are claims too; `read_target` adds them to `claims`."""


def read_target(layout: Layout) -> Target:
    """The target file, checked as far as it can be without fetching anything. `BadInput` names file, key and remedy."""
    where = layout.shown(layout.target_file)
    target: Target = parse(Target, _with_rows(_target_data(layout, where), where), where)
    for problem in _check_target(target, layout, where):
        raise BadInput(problem)
    return target


def look_over_target(layout: Layout) -> tuple[Target | None, list[str]]:
    """The target, if its file can be read as one, and all that is wrong with it, a line each."""
    where = layout.shown(layout.target_file)
    try:
        data = _target_data(layout, where)
        parse(Target, data, where)  # first without the rows of tables, which need tables that are well formed
        target: Target = parse(Target, _with_rows(data, where), where)
    except Misfit as problem:
        return None, problem.problems
    except BadInput as problem:
        return None, [str(problem)]
    return target, list(dict.fromkeys(_check_target(target, layout, where)))


def _target_data(layout: Layout, where: str) -> Any:
    data = load_yaml(layout.target_file, where)
    if not isinstance(data, dict):
        raise BadInput(
            f"{where}: {'it is empty' if data is None else 'it has no keys'}; docs/target.md shows a target file"
        )
    return data


def _with_rows(data: dict[str, Any], where: str) -> dict[str, Any]:
    """The data of a target with the rows of its tables as claims."""
    if not data.get("claim_tables"):
        return data
    tables: tuple[ClaimTable, ...] = parse(tuple[ClaimTable, ...], data["claim_tables"], f"{where}: claim_tables")
    rows = [claims_of(table, f"{where}: claim_tables.{i}") for i, table in enumerate(tables)]
    claims = data.get("claims", [])
    return data | {"claims": [*claims, *itertools.chain(*rows)]} if isinstance(claims, list) else data


def _check_target(target: Target, layout: Layout, where: str) -> Iterator[str]:
    """All that is wrong with a target, one line each."""
    if target.name != layout.target:
        yield f"{where}: name: expected {layout.target!r}, as the file is called, found {target.name!r}"
    for name in target.artifacts:
        yield from refused("", checked_name, name, f"{where}: artifacts")
    yield from _check_pins(target, where)
    yield from _check_references(target, where)
    yield from _check_runs(target, layout, where)
    yield from _check_claims(target, where)


def _check_pins(target: Target, where: str) -> Iterator[str]:
    for name, artifact in target.artifacts.items():
        for number, source in enumerate(artifact.sources):
            pin = source.sha256
            key = f"{where}: artifacts.{name}.sources.{number}.sha256"
            # A revision whose commit nobody wrote down is taken as it is first seen; another one later is a finding.
            named = isinstance(source, HfSource) and (source.pinned() or source.revision is not None)
            fixed = isinstance(source, GitSource) or named
            if pin is None and artifact.payload is None and not fixed:
                yield f"{key}: missing; pin the file here, or the artifact by payload (`openassay pin` prints both)"
            if pin is not None and not _SHA256.match(pin):
                yield f"{key}: a sha256 is 64 hexadecimal digits in lower case, found {pin!r}"


def _check_references(target: Target, where: str) -> Iterator[str]:
    known = ", ".join(target.artifacts) or "none"
    named = _cited(target)
    if target.environment:
        named += [(f"environment.install.{i}", name) for i, name in enumerate(target.environment.install)]
    for key, name in named:
        if name is not None and name not in target.artifacts:
            yield f"{where}: {key}: there is no artifact {name!r}; there are: {known}"
    for i, claim in enumerate(target.claims):
        cited = claim.cited_at
        if not cited.url and not (cited.artifact and cited.path and cited.quote):
            yield (
                f"{where}: claims.{i}.cited_at: give a url, or artifact, path and quote: a claim without a source is not tested"
            )
        yield from refused(f"{where}: claims.{i}.cited_at.path: ", check_glob, cited.path or "*")
    for i, component in enumerate(target.components):
        if component.paths and not component.artifact:
            yield f"{where}: components.{i}.paths: name the artifact that they are in"


def _cited(target: Target) -> list[tuple[str, str | None]]:
    """Every key of components and claims that names an artifact, with the name."""
    named = [(f"components.{i}.artifact", component.artifact) for i, component in enumerate(target.components)]
    return named + [(f"claims.{i}.cited_at.artifact", claim.cited_at.artifact) for i, claim in enumerate(target.claims)]


def _runs(target: Target) -> list[PublishedRun]:
    """Every run of the release's code."""
    found = []
    if target.prepare:
        found.append(PublishedRun(stage="prepare", run=target.prepare.run, parameters=target.prepare.parameters))
    if target.evaluate:
        evaluate = target.evaluate
        found.append(
            PublishedRun(
                stage="evaluate", run=evaluate.run, parameters=evaluate.parameters, measure=evaluate.measure
            )
        )  # fmt: skip
    return [*found, *(target.rerun.release_runs() if target.rerun else ())]


def _arms(target: Target) -> list[Arm]:
    return [
        *(target.rerun.arms.values() if target.rerun else ()),
        *(Arm(parameters=change.parameters) for change in (*target.controls, *target.probes)),
    ]


def _check_runs(target: Target, layout: Layout, where: str) -> Iterator[str]:
    if target.glue is not None:
        path = layout.glue_folder / target.glue
        if Path(target.glue).name != target.glue or not target.glue.endswith(".py") or not path.is_file():
            yield f"{where}: glue: {target.glue!r} is not a .py file in {layout.shown(layout.glue_folder)}/"
    runs = _runs(target)
    if runs and target.environment is None:
        yield f"{where}: environment: missing; {runs[0].stage} runs the release's code, say what must be installed"
    for of in runs:
        stage, run, parameters = of.stage, of.run, of.parameters
        if isinstance(run, GlueRun) and target.glue is None:
            yield f"{where}: {stage}.run: it calls the glue script, and `glue` names none"
        if isinstance(run, ScriptRun):
            if run.artifact not in target.artifacts:
                yield f"{where}: {stage}.run.artifact: there is no artifact {run.artifact!r}"
            if Path(run.path).is_absolute() or ".." in Path(run.path).parts:
                yield f"{where}: {stage}.run.path: it must stay below the artifact, found {run.path!r}"
        taken = (set(parameters) | {name for arm in _arms(target) for name in arm.parameters}) & RESERVED
        if taken:
            yield f"{where}: {stage}.parameters: {min(taken)!r} is given by OpenAssay; choose another name"
        arms: list[tuple[str, Arm]] = []
        if stage == "rerun" and target.rerun:
            arms = list(target.rerun.arms.items())
        given = {*RESERVED, *(f"artifact:{name}" for name in target.artifacts), *parameters}
        for key, arm in arms or [("", Arm())]:
            if missing := placeholders(run.arguments) - given - set(arm.parameters):
                of_arm = f" (arm {key})" if key else ""
                yield (
                    f"{where}: {stage}.run.arguments: nothing gives {{{min(missing)}}}{of_arm}; "
                    f"known: {', '.join(sorted(given | set(arm.parameters)))}"
                )


def _check_claims(target: Target, where: str) -> Iterator[str]:
    rerun = target.rerun
    if rerun is None:
        if not target.not_rerun_because:
            yield f"{where}: not_rerun_because: missing; say why nothing is rerun, or give `rerun`"
        if target.controls or target.probes:
            yield f"{where}: controls: there is no rerun that they could control"
    else:
        for name in [*rerun.arms, *(change.arm for change in (*target.controls, *target.probes))]:
            yield from refused("", checked_name, name, f"{where}: rerun.arms")
        facts = TargetFacts(
            where=where, title=target.release.title, artifacts=target.artifacts, claims=target.claims,
            has_changes=bool(target.controls or target.probes), cited=tuple(_cited(target)),
        )  # fmt: skip
        yield from rerun.check(facts)
        yield from _check_controls(target, where)
    yield from _check_metrics(target, where)
    ids = [claim.id for claim in target.claims]
    for i, claim in enumerate(target.claims):
        key = f"{where}: claims.{i}"
        yield from refused("", checked_name, claim.id, f"{key}.id")
        if ids.count(claim.id) > 1:
            yield f"{key}.id: {claim.id!r} stands twice; each claim needs its own"
        yield from _check_numbers(claim, key)
        if rerun is None or not claim.testable:
            continue
        if claim.metric not in rerun.metrics():
            yield f"{key}.metric: no rerun measures {claim.metric!r}; measured: {', '.join(sorted(rerun.metrics()))}"
        yield from _check_arms(claim, rerun, key)
        others = [other.published.seeds for other in target.claims if other.arm == claim.arm and other.paired]
        if claim.paired and len(set(others)) > 1:
            yield f"{key}.published.seeds: the paired claims of one arm need the same seeds"


def _check_arms(claim: Claim, rerun: AnyDriver, key: str) -> Iterator[str]:
    for name, arm in (("arm", claim.arm), ("baseline", claim.baseline)):
        if arm is not None and arm not in rerun.arms:
            yield f"{key}.{name}: there is no arm {arm!r}; there are: {', '.join(rerun.arms)}"


def _check_metrics(target: Target, where: str) -> Iterator[str]:
    measured = []
    for of in _runs(target):
        names = [measure.metric for measure in of.measure]
        measured += names
        if twice := {name for name in names if names.count(name) > 1}:
            yield f"{where}: {of.stage}.measure: {min(twice)!r} is measured twice; name each metric once"
    of_rerun = target.rerun.metrics() if target.rerun else set()
    for metric in [*measured, *(claim.metric for claim in target.claims), *of_rerun]:
        if not _METRIC.match(metric):
            yield f"{where}: metric: {metric!r} is not a metric's name; use letters, digits and _ . / -"


def _check_controls(target: Target, where: str) -> Iterator[str]:
    assert target.rerun is not None  # noqa: S101 - the caller has looked
    changes: list[tuple[str, ChangedArm]] = [(f"controls.{i}", change) for i, change in enumerate(target.controls)]
    changes += [(f"probes.{i}", change) for i, change in enumerate(target.probes)]
    permuted = [arm.permute for arm in target.rerun.arms.values()] + [change.permute for _, change in changes]
    if any(permuted) and target.rerun.permutes_prepared and target.prepare is None:
        yield f"{where}: permute: there are no prepared arrays to permute; give `prepare`, or use parameters"
    if target.rerun.has_own_controls:
        return
    lacking = not target.controls and not all(claim.uncontrolled for claim in target.claims if claim.testable)
    if lacking:
        yield (
            f"{where}: controls: missing; a rerun needs a negative control, a broken recipe that must not pass "
            "(for example permute the training labels)"
        )
    for name, arm in target.rerun.arms.items():
        yield from target.rerun.check_arm(arm, f"{where}: rerun.arms.{name}")
    yield from check_changes(target.rerun, changes, where)
    for i, probe in enumerate(target.probes):
        if probe.metric not in target.rerun.metrics():
            known = ", ".join(sorted(target.rerun.metrics()))
            yield f"{where}: probes.{i}.metric: no rerun measures {probe.metric!r}; measured: {known}"
    if not lacking:
        yield from _check_controlled(target, where)


def check_changes(driver: AnyDriver, changes: list[tuple[str, ChangedArm]], where: str) -> Iterator[str]:
    """What is wrong with changes of a recipe, each given with its key in the target file."""
    names = list(driver.arms)
    for key, change in changes:
        if change.arm in names:
            yield f"{where}: {key}.arm: {change.arm!r} is taken; give it a name of its own"
        names.append(change.arm)
        if not (change.parameters or change.set or change.permute):
            yield f"{where}: {key}: it changes nothing; give parameters, set or permute"
        elif change.of not in driver.arms:
            yield f"{where}: {key}.of: there is no arm {change.of!r}; there are: {', '.join(driver.arms)}"
        elif unfit := list(driver.check_arm(change.as_arm(driver.arms[change.of]), f"{where}: {key}")):
            yield from unfit
        elif not change.permute and driver.same(change.as_arm(driver.arms[change.of]), driver.arms[change.of]):
            yield f"{where}: {key}: it sets what {change.of} has already, so that it changes nothing; give other values"


def _check_controlled(target: Target, where: str) -> Iterator[str]:
    """A problem for each tested claim without a negative control or a reason for having none."""
    assert target.rerun is not None  # noqa: S101 - the caller has looked
    for i, control in enumerate(target.controls):
        of_arm = [claim.id for claim in target.claims if claim.arm == control.of]
        if control.claims is not None and (unknown := set(control.claims) - set(of_arm)):
            yield (
                f"{where}: controls.{i}.claims: {min(unknown)!r} is no claim of the arm {control.of}; "
                f"there are: {', '.join(of_arm) or 'none'}"
            )
    for i, claim in enumerate(target.claims):
        key = f"{where}: claims.{i}"
        if not claim.testable or claim.arm not in target.rerun.arms:
            continue
        own = [control for control in target.controls if control.breaks(claim)]
        named = any(claim.id in (control.claims or ()) for control in target.controls)
        if claim.uncontrolled is not None and (named or not claim.uncontrolled.strip()):
            yield f"{key}.uncontrolled: say why no broken recipe could break it, and name it in no control"
        if claim.uncontrolled is None and not own:
            yield (
                f"{key}: no control is `of: {claim.arm}` and meant for it; each claim that is tested needs a broken recipe that "
                "must not pass, or `uncontrolled`: why none could break it"
            )


def _check_numbers(claim: Claim, key: str) -> Iterator[str]:
    published, margin = claim.published, claim.tolerance.margin
    numbers = {
        "published.value": published.value, "published.rounding": published.rounding, "published.sd": published.sd,
        "tolerance.margin": margin, "resolution": claim.resolution, "bounds.0": claim.bounds[0], "bounds.1": claim.bounds[1],
        "published.extra_sd": published.extra_sd, "weight": claim.weight, "divergence_rate": claim.divergence_rate,
        "family.sd": claim.family.sd if claim.family else None, "family.df": claim.family.df if claim.family else None,
    }  # fmt: skip
    numbers = {name: value for name, value in numbers.items() if value is not None and not abs(value) <= LARGEST}
    if numbers:  # NaN and infinity too
        yield from (f"{key}.{name}: a finite number is needed, found {value}" for name, value in numbers.items())
        return
    if margin <= 1 / LARGEST:
        yield f"{key}.tolerance.margin: it must be above 0, found {margin}"
    if not claim.tolerance.rationale.strip():
        yield f"{key}.tolerance.rationale: missing; say why this margin"
    if min(published.rounding, claim.resolution, published.sd or 0, published.extra_sd, claim.divergence_rate) < 0:
        yield f"{key}: rounding, resolution, sd, extra_sd and divergence_rate cannot be negative"
    if claim.weight <= 0 or claim.divergence_rate >= 1:
        yield f"{key}: weight must be above 0, and divergence_rate below 1"
    if claim.family and (min(claim.family.sd, claim.family.df) <= 0 or not claim.family.cited_at.strip()):
        yield f"{key}.family: sd and df above 0 are needed, and cited_at: where the noise was measured"
    for step, value in claim.curve or ():
        if step < 0 or not abs(value) <= LARGEST:
            yield f"{key}.curve: steps from 0 on and finite values are needed, found {step}: {value}"
    yield from refused(f"{key}.curve_scatter: ", scatter_of, claim)
    low, high = claim.bounds
    if low is not None and high is not None and low >= high:
        yield f"{key}.bounds: least and largest value, in this order, found {low} and {high}"
    yield from _check_trainings(published, f"{key}.published")
    yield from _check_kind(claim, key)
    if claim.paired and (not published.seeds or claim.success or claim.family):
        yield f"{key}.paired: it needs published.values and published.seeds, and goes with neither success nor family"


def _check_kind(claim: Claim, key: str) -> Iterator[str]:
    if claim.baseline is not None and (claim.paired or claim.success or claim.curve or claim.baseline == claim.arm):
        yield f"{key}.baseline: another arm than the claim's own, and none of paired, success and curve"
    if claim.success is None:
        return
    published, rule = claim.published, claim.success
    if (rule.at_least is None) == (rule.at_most is None):
        yield f"{key}.success: give at_least or at_most: from which value on is a training a success?"
    if claim.deterministic or claim.family or claim.curve or published.sd is not None or published.best_of > 1:
        yield f"{key}.success: a share goes with none of deterministic, family, curve, sd and best_of"
    count = published.value * published.num_runs
    if not 0 <= published.value <= 1 or abs(count - round(count)) > published.rounding / 2 * published.num_runs + 1e-6:
        yield (
            f"{key}.published.value: the share of {published.num_runs} trainings that succeed is needed, a whole number of them, "
            f"found {published.value:g}"
        )


def _check_trainings(published: Published, key: str) -> Iterator[str]:
    values, seeds = published.values, published.seeds
    if values is not None:
        if len(values) != published.num_runs or published.sd is not None or published.best_of > 1:
            yield f"{key}.values: as many as num_runs are needed, found {len(values)}; without sd and best_of"
        elif not all(abs(value) <= LARGEST for value in values):
            yield f"{key}.values: finite numbers are needed"
        else:
            mean = float(np.mean(values or (0.0,)))
            if abs(mean - published.value) > published.rounding / 2 + 1e-9 * max(abs(mean), abs(published.value)):
                yield f"{key}.value: expected the mean of values, {mean:.10g}, found {published.value:g}"
    if seeds is not None and (values is None or len(set(seeds)) != len(values) or min(seeds, default=0) < 0):
        yield f"{key}.seeds: one of its own for each of values, from 0 on"
    if published.num_runs < 1:
        yield f"{key}.num_runs: at least 1, found {published.num_runs}"
    if published.num_runs > MOST_PUBLISHED_RUNS:
        yield f"{key}.num_runs: at most {MOST_PUBLISHED_RUNS}, found {published.num_runs}"
    if published.best_of < 1 or (published.best_of > 1 and published.num_runs > 1):
        yield f"{key}.best_of: at least 1, and for one value, not for a mean of {published.num_runs}"
    cited = published.values_cited_at
    if cited is not None and len(cited) != len(values or ()):
        yield f"{key}.values_cited_at: one for each of values, in their order, found {len(cited)}"
    if published.units < 1 or (published.sd_is == "over_units" and (published.sd is None or published.units < 2)):
        yield f"{key}.units: at least 1; a spread over units needs sd, and 2 units or more"
    over_trainings = published.sd_is in {"sd", "standard_error", "confidence_interval_95"}
    if published.sd is not None and over_trainings and published.num_runs < 2:
        yield f"{key}.sd: a standard deviation over runs needs num_runs of 2 or more; or say what it is (sd_is)"
