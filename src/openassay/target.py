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
from openassay.core.deviations import Deviation
from openassay.core.openness_records import Article53Facts, ComponentName, DataInformation, Review
from openassay.core.types import LARGEST
from openassay.drivers import AnyDriver
from openassay.drivers.driver import PublishedRun, ScaledRerun, TargetFacts, refused, those_that_are
from openassay.drivers.job import Arm, placeholders
from openassay.drivers.measures import Measure, PredictionsMeasure
from openassay.drivers.run import GlueRun, Run, ScriptRun, Seeding
from openassay.environments import EnvironmentSpec
from openassay.faults import BadInput
from openassay.layout import Layout, checked_name
from openassay.recompute.declared import check_recomputation
from openassay.records import Misfit, parse
from openassay.sources import Source
from openassay.sources.git import GitSource
from openassay.sources.hf import HfSource
from openassay.store import Store, check_glob
from openassay.yaml_loader import load_yaml

Glob = Annotated[str, AfterValidator(check_glob)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_METRIC = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./ -]{0,99}\Z")

MOST_PUBLISHED_RUNS = 1_000_000
RESERVED = {"seed", "out", "data", "device"}
"""Placeholders that a parameter may not take: a parameter called seed would give every rerun the same one."""


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
    ai_system: bool = True
    """False for a data set, a benchmark, a method or a piece of code: definitions of open AI systems are not asked of it."""
    training_flop: Annotated[float, Field(gt=0)] | None = None
    """Compute of the training, in floating-point operations: as published, or computed from what is."""
    training_flop_is: str | None = None
    """Where it is published, or how it is computed."""
    copyright_policy: str | None = None
    """Where the provider's policy to comply with Union law on copyright is told."""
    training_summary: str | None = None
    """Where the summary of the content used for training is published."""

    @property
    def article_53(self) -> Article53Facts:
        """What is told for Article 53 of Regulation (EU) 2024/1689 only."""
        return Article53Facts(
            training_flop=self.training_flop, training_flop_is=self.training_flop_is,
            copyright_policy=self.copyright_policy, training_summary=self.training_summary,
        )  # fmt: skip


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
class Payload:
    """A pin of what files say, however they are packed."""

    sha256: Sha256
    include: Annotated[tuple[Glob, ...], Field(min_length=1)]
    """Globs, matched from the right, of the files that count."""


@dataclass(frozen=True, kw_only=True)
class ArtifactSpec:
    """A published thing, and where it may be had: sources are tried in order."""

    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    role: Literal["release", "data", "baseline", "tool"] = "release"
    """What it is to the release: only the release itself is asked the checks of `inspect`."""
    payload: Payload | None = None
    note: str | None = None

    def is_part(self) -> bool:
        """Whether the target may bring only some of the files that lie there: then nothing follows from one that is absent."""
        return any(source.is_part() for source in self.sources)

    def all_paths(self, store: Store) -> dict[str, bool] | None:
        """Every path that lies at the only source; None where it is not known, or where there are several, which may differ."""
        return self.sources[0].all_paths(store) if len(self.sources) == 1 else None


@dataclass(frozen=True, kw_only=True)
class ArrayCheck:
    """A published fact about the prepared data."""

    array: str
    sha256: Sha256
    """Of the array's bytes in C order; of its values rounded as little-endian float64 when `decimals` is given."""
    decimals: Annotated[int, Field(ge=0, le=15)] | None = None
    cited_at: Citation


@dataclass(frozen=True, kw_only=True)
class RunOnce:
    """A run of the release's code beside the reruns."""

    run: Run
    parameters: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    seeding: tuple[Seeding, ...] = ()
    timeout_s: Annotated[float, Field(gt=0)] = 3600.0


@dataclass(frozen=True, kw_only=True)
class Preparation(RunOnce):
    """How the published data preparation is run, and what should come out."""

    checks: tuple[ArrayCheck, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EvaluationSpec(RunOnce):
    """How the released model is measured under our evaluator."""

    measure: tuple[Measure, ...]


@dataclass(frozen=True, kw_only=True)
class ChangedArm(Arm):
    """An arm with a changed recipe."""

    arm: str
    of: str = "faithful"
    rationale: str

    def by_data_alone(self) -> bool:
        """Whether it differs from its base in the data that we hand over, and in nothing else."""
        return bool(self.permute or self.relabel) and not (self.parameters or self.set or self.edit)

    def as_arm(self, base: Arm) -> Arm:
        """The arm that it runs: the base arm with this control's changes."""
        parameters, values = base.parameters | self.parameters, base.set | self.set
        permute, relabel = base.permute + self.permute, base.relabel + self.relabel
        return Arm(parameters=parameters, set=values, permute=permute, relabel=relabel, edit=base.edit + self.edit)


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
    expects: Literal["lower", "higher", "same"]
    """`same` goes with `relabel` alone: what is learnt from the labels at hand does not depend on what the classes are called."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A release under verification: what `conf/target/NAME.yaml` holds."""

    schema_version: Literal[1]
    name: str
    release: Release
    artifacts: dict[str, ArtifactSpec]
    components: tuple[Component, ...] = ()
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
    deviations: tuple[Deviation, ...] = ()
    """What is known to be different from the release when it is rerun so, beside what the audit finds out by itself."""
    controls: tuple[Control, ...] = ()
    probes: tuple[Probe, ...] = ()
    claims: tuple[Claim, ...] = ()
    claim_tables: tuple[ClaimTable, ...] = ()
    """Published tables whose rows are claims too; `read_target` adds them to `claims`."""
    guesses: dict[str, str] = field(default_factory=dict)
    """What `openassay new` has guessed: dotted keys, each with the reason. Nothing is planned while one stands here."""


def read_target(layout: Layout) -> Target:
    """The target file, checked as far as it can be without fetching anything. `BadInput` names file, key and remedy."""
    where = layout.shown(layout.target_file)
    target: Target = parse(Target, _with_rows(_target_data(layout, where), where), where)
    for problem in _check_target(target, layout):
        raise BadInput(f"{where}: {problem}")
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
    return target, [f"{where}: {problem}" for problem in dict.fromkeys(_check_target(target, layout))]


def _target_data(layout: Layout, where: str) -> Any:
    data = load_yaml(layout.target_file, where)
    if not isinstance(data, dict):
        problem = "it is empty" if data is None else "it has no keys"
        raise BadInput(f"{where}: {problem}; docs/target.md shows a target file")
    return data


def _with_rows(data: dict[str, Any], where: str) -> dict[str, Any]:
    """The data of a target with the rows of its tables as claims; reruns leave alone what is tested on another tier."""
    claims = data.get("claims", [])
    if not isinstance(claims, list) or not (claims or data.get("claim_tables")):
        return data
    tables: tuple[ClaimTable, ...] = parse(
        tuple[ClaimTable, ...], data.get("claim_tables") or [], f"{where}: claim_tables"
    )
    rows = [claims_of(table, f"{where}: claim_tables.{i}") for i, table in enumerate(tables)]
    elsewhere = {"recompute", "evaluated"}
    return data | {"claims": [
        {"testable": False} | of if isinstance(of, dict) and elsewhere & set(of) else of
        for of in itertools.chain(claims, *rows)
    ]}  # fmt: skip


def _check_target(target: Target, layout: Layout) -> Iterator[str]:
    """All that is wrong with a target: a key and a line each."""
    if target.name != layout.target:
        yield f"name: expected {layout.target!r}, as the file is called, found {target.name!r}"
    for name in target.artifacts:
        yield from refused("", checked_name, name, "artifacts")
    yield from _check_pins(target)
    yield from _check_references(target)
    yield from _check_runs(target, layout)
    yield from _check_claims(target)
    for key, reason in target.guesses.items():
        yield f"guesses: {key}: {reason}; confirm it and remove this line"


def _check_pins(target: Target) -> Iterator[str]:
    for name, artifact in target.artifacts.items():
        for number, source in enumerate(artifact.sources):
            pin, key = source.sha256, f"artifacts.{name}.sources.{number}.sha256"
            # A revision whose commit nobody wrote down is taken as it is first seen; another one later is a finding.
            named = isinstance(source, HfSource) and (source.pinned() or source.revision is not None)
            if pin is None and artifact.payload is None and not named and not isinstance(source, GitSource):
                yield f"{key}: missing; pin the file here, or the artifact by payload (`openassay pin` prints both)"
            if pin is not None and not _SHA256.match(pin):
                yield f"{key}: a sha256 is 64 hexadecimal digits in lower case, found {pin!r}"


def _check_references(target: Target) -> Iterator[str]:
    of = target.environment
    installed = [(f"environment.install.{i}", name) for i, name in enumerate(of.install)] if of else []
    published = [("environment.published.artifact", of.published.artifact)] if of and of.published else []
    for key, name in [*_cited(target), *installed, *published]:
        if name is not None and name not in target.artifacts:
            yield f"{key}: there is no artifact {name!r}; there are: {', '.join(target.artifacts) or 'none'}"
    for i, claim in enumerate(target.claims):
        cited, key = claim.cited_at, f"claims.{i}.cited_at"
        if not cited.url and not (cited.artifact and cited.path and cited.quote):
            yield f"{key}: give a url, or artifact, path and quote: a claim without a source is not tested"
        yield from refused(f"{key}.path: ", check_glob, cited.path or "*")
    if (target.release.training_flop is None) != (target.release.training_flop_is is None):
        yield "release.training_flop: give it with training_flop_is: where it is published, or how it is computed"
    for i, component in enumerate(target.components):
        if component.paths and not component.artifact:
            yield f"components.{i}.paths: name the artifact that they are in"


def _cited(target: Target) -> list[tuple[str, str | None]]:
    """Every key of components and claims that names an artifact, with the name."""
    named = [(f"components.{i}.artifact", component.artifact) for i, component in enumerate(target.components)]
    return named + [(f"claims.{i}.cited_at.artifact", claim.cited_at.artifact) for i, claim in enumerate(target.claims)]


def _runs(target: Target) -> list[PublishedRun]:
    """Every run of the release's code."""
    once: dict[str, RunOnce | None] = {"prepare": target.prepare, "evaluate": target.evaluate}
    found = [
        PublishedRun(stage=stage, run=of.run, parameters=of.parameters, measure=getattr(of, "measure", ()))
        for stage, of in once.items() if of
    ]  # fmt: skip
    return [*found, *(target.rerun.release_runs() if target.rerun else ())]


def _check_runs(target: Target, layout: Layout) -> Iterator[str]:
    if target.glue is not None:
        path = layout.glue_folder / target.glue
        if Path(target.glue).name != target.glue or not target.glue.endswith(".py") or not path.is_file():
            yield f"glue: {target.glue!r} is not a .py file in {layout.shown(layout.glue_folder)}/"
    runs, arms = _runs(target), target.rerun.arms if target.rerun else {}
    if runs and target.environment is None:
        yield f"environment: missing; {runs[0].stage} runs the release's code, say what must be installed"
    changed = {name for of in (*arms.values(), *target.controls, *target.probes) for name in of.parameters}
    for of in runs:
        if of.stage != "rerun" and any(getattr(measure, "withheld", False) for measure in of.measure):
            yield f"{of.stage}.measure.withheld: only reruns are handed data without the labels; leave it out"
        if isinstance(of.run, GlueRun) and target.glue is None:
            yield f"{of.stage}.run: it calls the glue script, and `glue` names none"
        if isinstance(of.run, ScriptRun):
            if of.run.artifact not in target.artifacts:
                yield f"{of.stage}.run.artifact: there is no artifact {of.run.artifact!r}"
            if Path(of.run.path).is_absolute() or ".." in Path(of.run.path).parts:
                yield f"{of.stage}.run.path: it must stay below the artifact, found {of.run.path!r}"
        if taken := (set(of.parameters) | changed) & RESERVED:
            yield f"{of.stage}.parameters: {min(taken)!r} is given by OpenAssay; choose another name"
        common = {*RESERVED, *(f"artifact:{name}" for name in target.artifacts), *of.parameters}
        for name, arm in arms.items() if of.stage == "rerun" and arms else [("", Arm())]:
            given = common | set(arm.parameters)
            if missing := placeholders(of.run.arguments) - given:
                of_arm = f" (arm {name})" if name else ""
                known = ", ".join(sorted(given))
                yield f"{of.stage}.run.arguments: nothing gives {{{min(missing)}}}{of_arm}; known: {known}"


def _check_claims(target: Target) -> Iterator[str]:
    rerun = target.rerun
    if rerun is None:
        if not target.not_rerun_because:
            yield "not_rerun_because: missing; say why nothing is rerun, or give `rerun`"
        if target.controls or target.probes:
            yield "controls: there is no rerun that they could control"
    else:
        for name in [*rerun.arms, *(change.arm for change in (*target.controls, *target.probes))]:
            yield from refused("", checked_name, name, "rerun.arms")
        yield from rerun.check(TargetFacts(
            title=target.release.title, artifacts=target.artifacts, claims=target.claims,
            has_changes=bool(target.controls or target.probes), cited=tuple(_cited(target)),
        ))  # fmt: skip
        yield from _check_controls(target, rerun)
        yield from _check_scaled(target, rerun)
    yield from _check_metrics(target)
    ids = [claim.id for claim in target.claims]
    for i, claim in enumerate(target.claims):
        key = f"claims.{i}"
        yield from refused("", checked_name, claim.id, f"{key}.id")
        if claim.tier != "rerun":
            yield from _check_without_reruns(claim, target, key)
        if ids.count(claim.id) > 1:
            yield f"{key}.id: {claim.id!r} stands twice; each claim needs its own"
        yield from _check_numbers(claim, key)
        if rerun is None or not claim.testable:
            continue
        yield from _check_measured(claim.metric, rerun, key)
        for name, arm in (("arm", claim.arm), ("baseline", claim.baseline)):
            if arm is not None and arm not in rerun.arms:
                yield f"{key}.{name}: there is no arm {arm!r}; there are: {', '.join(rerun.arms)}"
        others = {other.published.seeds for other in target.claims if other.arm == claim.arm and other.paired}
        if claim.paired and len(others) > 1:
            yield f"{key}.published.seeds: the paired claims of one arm need the same seeds"


def _check_scaled(target: Target, rerun: AnyDriver) -> Iterator[str]:
    ids = [claim.id for claim in target.claims if claim.testable]
    for i, of in enumerate(target.scaled_reruns):
        key = f"scaled_reruns.{i}"
        given = {"share": of.share, "parameters": of.parameters, "results": of.results}
        if not any(given.values()):
            continue
        if rerun.changes_by != "parameters":
            yield f"{key}: only published code is scaled down by parameters; leave share, parameters and results out"
            continue
        yield from (f"{key}.{name}: missing beside the others" for name, value in given.items() if not value)
        yield from rerun.check_arm(Arm(parameters=of.parameters), key)
        for name in of.results:
            if name not in ids:
                yield f"{key}.results: there is no claim {name!r} that is tested; there are: {', '.join(ids) or 'none'}"


def _check_measured(metric: str, rerun: AnyDriver, key: str) -> Iterator[str]:
    if metric not in rerun.metrics():
        yield f"{key}.metric: no rerun measures {metric!r}; measured: {', '.join(sorted(rerun.metrics()))}"


def _check_metrics(target: Target) -> Iterator[str]:
    names = [*(claim.metric for claim in target.claims), *(target.rerun.metrics() if target.rerun else ())]
    for of in _runs(target):
        measured = [measure.metric for measure in of.measure]
        names += measured
        if twice := {name for name in measured if measured.count(name) > 1}:
            yield f"{of.stage}.measure: {min(twice)!r} is measured twice; name each metric once"
    for name in names:
        if not _METRIC.match(name):
            yield f"metric: {name!r} is not a metric's name; use letters, digits and _ . / -"


def _check_controls(target: Target, rerun: AnyDriver) -> Iterator[str]:
    changes: list[tuple[str, ChangedArm]] = [(f"controls.{i}", change) for i, change in enumerate(target.controls)]
    changes += [(f"probes.{i}", change) for i, change in enumerate(target.probes)]
    permuted = any(of.permute or of.relabel for of in (*rerun.arms.values(), *target.controls, *target.probes))
    if permuted and rerun.permutes_prepared and target.prepare is None:
        yield "permute: there are no prepared arrays to permute; give `prepare`, or use parameters"
    if rerun.has_own_controls:
        return
    lacking = not target.controls and not all(claim.uncontrolled for claim in target.claims if claim.testable)
    if lacking:
        yield (
            "controls: missing; a rerun needs a negative control, a broken recipe that must not pass "
            "(for example permute the training labels)"
        )
    for name, arm in rerun.arms.items():
        yield from rerun.check_arm(arm, f"rerun.arms.{name}")
    yield from check_changes(rerun, changes)
    for i, probe in enumerate(target.probes):
        yield from _check_measured(probe.metric, rerun, f"probes.{i}")
        yield from _check_relabelled(probe, target, rerun, f"probes.{i}")
    for i, control in enumerate(target.controls):
        if control.relabel:
            yield f"controls.{i}.relabel: a recipe with renamed classes is not broken; make it a probe that expects same"
    if not lacking:
        yield from _check_controlled(target, rerun)


def _check_relabelled(probe: Probe, target: Target, rerun: AnyDriver, key: str) -> Iterator[str]:
    if (probe.expects == "same") != bool(probe.relabel) or (probe.relabel and not probe.by_data_alone()):
        yield f"{key}.relabel: it goes with `expects: same`, and with no other change"
    if not probe.relabel:
        return
    measures = [measure for of in rerun.release_runs() for measure in of.measure if measure.metric == probe.metric]
    if not all(isinstance(of, PredictionsMeasure) and of.of == "accuracy" for of in measures):
        yield f"{key}.metric: the names of classes are undone in predictions, of accuracy; {probe.metric!r} is not measured so"
    if not any(claim.arm == probe.of and claim.metric == probe.metric and claim.testable for claim in target.claims):
        yield f"{key}.metric: no tested claim of the arm {probe.of} is on {probe.metric!r}, whose margin says what counts as same"


def check_changes(driver: AnyDriver, changes: list[tuple[str, ChangedArm]]) -> Iterator[str]:
    """What is wrong with changes of a recipe, each given with its key in the target file: that key and a line each."""
    names = list(driver.arms)
    for key, change in changes:
        if change.arm in names:
            yield f"{key}.arm: {change.arm!r} is taken; give it a name of its own"
        names.append(change.arm)
        base = driver.arms.get(change.of)
        if not (change.parameters or change.set or change.permute or change.edit or change.relabel):
            yield f"{key}: it changes nothing; give parameters, set, permute, relabel or edit"
        elif base is None:
            yield f"{key}.of: there is no arm {change.of!r}; there are: {', '.join(driver.arms)}"
        elif unfit := list(driver.check_arm(change.as_arm(base), key)):
            yield from unfit
        elif not (change.permute or change.relabel) and driver.same(change.as_arm(base), base):
            yield f"{key}: it sets what {change.of} has already, so that it changes nothing; give other values"


def _check_controlled(target: Target, rerun: AnyDriver) -> Iterator[str]:
    """A problem for each tested claim without a negative control or a reason for having none."""
    for i, control in enumerate(target.controls):
        of_arm = [claim.id for claim in target.claims if claim.arm == control.of]
        if unknown := set(control.claims or ()) - set(of_arm):
            known = ", ".join(of_arm) or "none"
            yield f"controls.{i}.claims: {min(unknown)!r} is no claim of the arm {control.of}; there are: {known}"
    for i, claim in enumerate(target.claims):
        if not claim.testable or claim.arm not in rerun.arms:
            continue
        named = any(claim.id in (control.claims or ()) for control in target.controls)
        if claim.uncontrolled is not None and (named or not claim.uncontrolled.strip()):
            yield f"claims.{i}.uncontrolled: say why no broken recipe could break it, and name it in no control"
        if claim.uncontrolled is None and not any(control.breaks(claim) for control in target.controls):
            yield (
                f"claims.{i}: no control is `of: {claim.arm}` and meant for it; each claim that is tested needs a broken recipe "
                "that must not pass, or `uncontrolled`: why none could break it"
            )


def _check_evaluated(claim: Claim, target: Target, key: str) -> Iterator[str]:
    """What is wrong with a claim that is tested on released weights."""
    of = claim.evaluated
    assert of is not None  # noqa: S101 - for such claims only
    if target.evaluate is None:
        yield f"{key}.evaluated: there is no `evaluate` that measures the released weights"
        return
    measured = [measure.metric for measure in target.evaluate.measure]
    for name, metric in (("metric", claim.metric), ("evaluated.standard_error", of.standard_error)):
        if metric is not None and metric not in measured:
            yield f"{key}.{name}: `evaluate` does not measure {metric!r}; measured: {', '.join(measured)}"
    yield from those_that_are({
        f"{key}.evaluated: give items or standard_error: what is the number's noise over test items?":
            (of.items is None) == (of.standard_error is None),
        f"{key}.evaluated.items: at least 2, found {of.items}": of.items is not None and of.items < 2,
        f"{key}.evaluated: recompute stands there too; a claim is tested in one way": claim.recompute is not None,
    })  # fmt: skip


def _check_without_reruns(claim: Claim, target: Target, key: str) -> Iterator[str]:
    """What is wrong with a claim that no rerun tests."""
    if claim.recompute:
        yield from check_recomputation(claim.recompute, target.artifacts, f"{key}.recompute")
    if claim.evaluated:
        yield from _check_evaluated(claim, target, key)
    how = "recompute" if claim.recompute else "evaluated"
    least = claim.published.rounding / 2
    yield from those_that_are({
        f"{key}.testable: it is not rerun; leave it out": claim.testable,
        f"{key}.{how}: it goes with none of success, paired, curve, baseline, family and estimand":
            bool(claim.success or claim.paired or claim.curve or claim.baseline or claim.family or claim.estimand),
        f"{key}.recompute: it goes with no direction": bool(claim.recompute) and claim.direction != "two-sided",
        f"{key}.tolerance.margin: expected at least half the unit of the printed value's last digit, {least:g}, "
        f"found {claim.tolerance.margin:g}": claim.tolerance.margin < least * (1 - 1e-9),
    })  # fmt: skip


def _check_numbers(claim: Claim, key: str) -> Iterator[str]:
    published, margin, family, (low, high) = claim.published, claim.tolerance.margin, claim.family, claim.bounds
    numbers = {
        "published.value": published.value, "published.rounding": published.rounding, "published.sd": published.sd,
        "tolerance.margin": margin, "resolution": claim.resolution, "bounds.0": low, "bounds.1": high,
        "published.extra_sd": published.extra_sd, "weight": claim.weight, "divergence_rate": claim.divergence_rate,
        "family.sd": family.sd if family else None, "family.df": family.df if family else None,
    }  # fmt: skip
    numbers = {name: value for name, value in numbers.items() if value is not None and not abs(value) <= LARGEST}
    if numbers:  # NaN and infinity too
        yield from (f"{key}.{name}: a finite number is needed, found {value}" for name, value in numbers.items())
        return
    for step, value in claim.curve or ():
        if step < 0 or not abs(value) <= LARGEST:
            yield f"{key}.curve: steps from 0 on and finite values are needed, found {step}: {value}"
    yield from refused(f"{key}.curve_scatter: ", scatter_of, claim)
    no_difference = claim.paired or claim.success or claim.curve
    yield from those_that_are({
        f"{key}.tolerance.margin: it must be above 0, found {margin}": margin <= 1 / LARGEST,
        f"{key}.tolerance.rationale: missing; say why this margin": not claim.tolerance.rationale.strip(),
        f"{key}: rounding, resolution, sd, extra_sd and divergence_rate cannot be negative":
            min(published.rounding, claim.resolution, published.sd or 0, published.extra_sd, claim.divergence_rate) < 0,
        f"{key}: weight must be above 0, and divergence_rate below 1": claim.weight <= 0 or claim.divergence_rate >= 1,
        f"{key}.family: sd and df above 0 are needed, and cited_at: where the noise was measured":
            family and (min(family.sd, family.df) <= 0 or not family.cited_at.strip()),
        f"{key}.bounds: least and largest value, in this order, found {low} and {high}":
            low is not None and high is not None and low >= high,
        f"{key}.baseline: another arm than the claim's own, and none of paired, success and curve":
            claim.baseline is not None and (no_difference or claim.baseline == claim.arm),
        f"{key}.paired: it needs published.values and published.seeds, and goes with neither success nor family":
            claim.paired and (not published.seeds or claim.success or family),
    })  # fmt: skip
    yield from _check_trainings(published, f"{key}.published")
    if claim.success:
        count = published.value * published.num_runs
        yield from those_that_are({
            f"{key}.success: give at_least or at_most: from which value on is a training a success?":
                (claim.success.at_least is None) == (claim.success.at_most is None),
            f"{key}.success: a share goes with none of deterministic, family, curve, sd and best_of":
                claim.deterministic or family or claim.curve or published.sd is not None or published.best_of > 1,
            f"{key}.published.value: the share of {published.num_runs} trainings that succeed is needed, a whole number of them, "
            f"found {published.value:g}": not 0 <= published.value <= 1
                or abs(count - round(count)) > published.rounding / 2 * published.num_runs + 1e-6,
        })  # fmt: skip


def _check_trainings(of: Published, key: str) -> Iterator[str]:
    """What is wrong with the published value's trainings: how many there are, their values, seeds and spread."""
    values, seeds, sd = of.values or (), of.seeds, of.sd
    odd = of.values is not None and (len(values) != of.num_runs or sd is not None or of.best_of > 1)
    finite = all(abs(value) <= LARGEST for value in values)
    mean = float(np.mean(values)) if values and finite and not odd else of.value
    yield from those_that_are({
        f"{key}.values: as many as num_runs are needed, found {len(values)}; without sd and best_of": odd,
        f"{key}.values: finite numbers are needed": not odd and not finite,
        f"{key}.value: expected the mean of values, {mean:.10g}, found {of.value:g}":
            mean != of.value and abs(mean - of.value) > of.rounding / 2 + 1e-9 * max(abs(mean), abs(of.value)),
        f"{key}.seeds: one of its own for each of values, from 0 on":
            seeds is not None and (of.values is None or len(set(seeds)) != len(values) or min(seeds, default=0) < 0),
        f"{key}.num_runs: at least 1, found {of.num_runs}": of.num_runs < 1,
        f"{key}.num_runs: at most {MOST_PUBLISHED_RUNS}, found {of.num_runs}": of.num_runs > MOST_PUBLISHED_RUNS,
        f"{key}.best_of: at least 1, and for one value, not for a mean of {of.num_runs}":
            of.best_of < 1 or (of.best_of > 1 and of.num_runs > 1),
        f"{key}.values_cited_at: one for each of values, in their order, found {len(of.values_cited_at or ())}":
            of.values_cited_at is not None and len(of.values_cited_at) != len(values),
        f"{key}.units: at least 1; a spread over units needs sd, and 2 units or more":
            of.units < 1 or (of.sd_is == "over_units" and (sd is None or of.units < 2)),
        f"{key}.sd: a standard deviation over runs needs num_runs of 2 or more; or say what it is (sd_is)":
            sd is not None and of.sd_is in {"sd", "standard_error", "confidence_interval_95"} and of.num_runs < 2,
    })  # fmt: skip
