"""What exactly will be tested, and with which tolerance? The target file, and the plan that is frozen from it.

A target file is data and may be a stranger's: it is read by our own strict loader, never by Hydra. Hydra composes only what
is ours around it: how far to scale down (profile), the error rates (judge) and the tracking.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from pydantic import AfterValidator, Field

from openassay.claim_tables import ClaimTable, claims_of
from openassay.core.boundaries import MOST_RUNS
from openassay.core.curves import scatter_of
from openassay.core.evidence import Design
from openassay.core.types import (
    LARGEST,
    Citation,
    Claim,
    ComponentName,
    DataInformation,
    Estimand,
    PlannedRuns,
    Published,
    Review,
)
from openassay.environments import EnvironmentSpec
from openassay.faults import BadInput, did_you_mean
from openassay.layout import GROUPS, OUR_CONF, Layout, checked_name
from openassay.recipes import Recipe
from openassay.recipes.formats.draft import check_values
from openassay.recipes.job import Arm, placeholders
from openassay.recipes.native import NativeRecipe
from openassay.recipes.pretrain import PretrainRecipe
from openassay.recipes.python import Measure, PythonRecipe
from openassay.recipes.replay import MARGIN as REPLAY_MARGIN
from openassay.recipes.replay import ReplayRecipe
from openassay.recipes.run import GlueRun, Run, ScriptRun, Seeding
from openassay.recipes.scaled import scaled_down
from openassay.records import Misfit, declared, digest, file_digest, parse, to_plain, write_text
from openassay.sources import Source
from openassay.sources.git import GitSource
from openassay.sources.hf import HfSource
from openassay.store import check_glob
from openassay.yaml_loader import QUICK, load_yaml

Glob = Annotated[str, AfterValidator(check_glob)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_LINE_ENDS = "\x85\u2028\u2029"

DETERMINISTIC_RUNS = 3
"""Reruns of an arm whose claims are all declared deterministic: two must agree, a third makes chance unlikely."""

MOST_PUBLISHED_RUNS = 1_000_000

LEAST_ALPHA, LARGEST_ALPHA = 0.001, 0.1

RESERVED = {"seed", "out", "data", "device"}
"""Placeholders that a parameter may not take: a parameter called seed would give every rerun the same one."""

SECTIONS: dict[str, tuple[str, ...]] = {
    "fetch": ("artifacts", "rerun"),
    "inspect": ("components", "citations"),
    "prepare": ("artifacts", "environment", "glue", "prepare"),
    "evaluate": ("artifacts", "environment", "evaluate", "glue", "rerun"),
    "rerun": (
        "artifacts", "claims", "controls", "environment", "glue", "judge", "not_rerun_because", "probes", "profile",
        "rerun", "seeds",
    ),
}  # fmt: skip
"""The sections of the plan that a stage reads, beside where and how fast it runs; `judge` and `report` read all of it."""

_OVERRIDE = re.compile(r"[A-Za-z0-9_.,:+/=\[\]-]{1,200}\Z")
_METRIC = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./ -]{0,99}\Z")


@dataclass(frozen=True, kw_only=True)
class Release:
    """Which release is under verification?"""

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
    """Which checkpoints along the training does the release publish? For readers, and for a later rerun of a part of it."""

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
    """How is the published data preparation run, and what should come out?"""

    run: Run
    parameters: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    seeding: tuple[Seeding, ...] = ()
    checks: tuple[ArrayCheck, ...] = ()
    timeout_s: Annotated[float, Field(gt=0)] = 3600.0


@dataclass(frozen=True, kw_only=True)
class EvaluationSpec:
    """How is the released model measured under our evaluator?"""

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
    """A modified recipe whose effect is predicted: does the release allow to modify, with the result that one expects?"""

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
    rerun: Recipe | None = None
    not_rerun_because: str | None = None
    """Why nothing can be rerun; needed when `rerun` is left out."""
    controls: tuple[Control, ...] = ()
    probes: tuple[Probe, ...] = ()
    claims: tuple[Claim, ...] = ()
    claim_tables: tuple[ClaimTable, ...] = ()
    """Published tables whose rows are claims too; `read_target` adds them to `claims`."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How many reruns? By a budget of time, which the first two of an arm are measured by, and by a largest number."""

    name: str
    runs: Annotated[int, Field(ge=2, le=MOST_RUNS)]
    """Most reruns of each faithful arm: the sequential test stops earlier where it can."""
    budget_s: Annotated[float, Field(gt=0)]
    """Time for the reruns of one arm, one after another: `runs` is cut to what it allows, by the time that the first two took."""
    expensive_s: Annotated[float, Field(ge=0)]
    """Where a rerun takes this long or longer, an arm stops when the chance of a decision within its runs falls below 1 %."""
    control_runs: Annotated[int, Field(ge=2, le=100)]
    """Reruns of each control arm."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """Where and how fast: no part of what is tested."""

    workers: Annotated[int, Field(ge=0)]
    """Reruns at the same time; 0 for one a core."""
    threads: Annotated[int, Field(ge=1)]
    """Threads of one rerun."""
    device: Literal["auto", "cpu", "cuda"]
    together: Annotated[int, Field(ge=1)] = 1
    """Most reruns of a small native recipe that are trained in one computation; 1 trains each by itself."""


@dataclass(frozen=True, kw_only=True)
class Isolation:
    """How is a release's code kept from the machine that runs it? No part of what is tested."""

    kind: Literal["none"]


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How far is each training scaled down? What it is then held against, `recipes.scaled` says."""

    name: str = "full"
    steps: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the published updates."""


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """Which error rates does the verdict promise?"""

    name: str
    alpha: Annotated[float, Field(ge=LEAST_ALPHA, le=LARGEST_ALPHA)]
    """Each wrong verdict at the tolerance's edge, at most."""
    rationale: str
    estimand: Estimand = "number"
    """The question that REPRODUCED answers, of claims that name none."""


@dataclass(frozen=True, kw_only=True)
class Glue:
    """The target's script, pinned."""

    file: str
    sha256: Sha256


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """Which seeds does each arm run? 0, 1, 2 ..., or those of paired claims, as published: nobody picks lucky ones."""

    arms: dict[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that bears on the verdict, frozen before anything runs: `experiments/TARGET/plan.yaml`."""

    digest: Sha256
    """The pre-registration: sha256 of everything below, but `execution`, `isolation` and `tracking`."""
    schema_version: Literal[1]
    name: str
    release: Release
    components: tuple[Component, ...]
    artifacts: dict[str, ArtifactSpec]
    data_information: DataInformation | None
    reviews: tuple[Review, ...]
    checkpoints: Checkpoints | None
    scaled_reruns: tuple[ScaledRerun, ...]
    glue: Glue | None
    environment: EnvironmentSpec | None
    prepare: Preparation | None
    evaluate: EvaluationSpec | None
    rerun: Recipe | None
    not_rerun_because: str | None
    controls: tuple[Control, ...]
    probes: tuple[Probe, ...]
    claims: tuple[Claim, ...]
    citations: dict[str, Citation]
    """Where each claim's number stands: a section of its own, so that a changed tolerance does not inspect again."""
    seeds: Seeds
    profile: Profile
    judge: JudgeConfig
    execution: Execution
    isolation: Isolation
    tracking: dict[str, Any]
    scale: Scale = Scale()
    """Its default changes no digest: plans that were frozen before it stay what they are."""

    @property
    def num_testable(self) -> int:
        """Claims that a rerun can test: each wrong NOT_REPRODUCED has its share of alpha."""
        return max(1, sum(claim.testable for claim in self.claims))

    def design(self, claim: Claim, planned: dict[str, PlannedRuns]) -> Design:
        """How a claim is tested, with what is planned for its arm (and that of its baseline)."""
        arms = [claim.arm, *([claim.baseline] if claim.baseline else [])]
        most = [planned[arm].num_runs if arm in planned else len(self.seeds.arms.get(arm, ())) for arm in arms]
        return Design(
            alpha=self.judge.alpha, max_runs=max(2, min(most)), num_claims=self.num_testable,
            estimand=self.judge.estimand, expensive=any(planned[arm].expensive for arm in arms if arm in planned),
        )  # fmt: skip

    def registration(self) -> dict[str, str]:
        """Digests of what bears on the verdict beside the reruns; each rerun keeps them, so that a later change shows."""
        parts = {
            "claims": self.claims,
            "controls": (self.controls, self.probes),
            "judge": self.judge,
            "seeds": (self.seeds, self.profile),
        }
        return {name: digest(declared(part)) for name, part in parts.items()}

    def identity(self) -> str:
        """The digest of all that bears on the verdict."""
        plain: dict[str, object] = declared(self)
        elsewhere = {"digest", "execution", "isolation", "tracking"}
        return digest({key: value for key, value in plain.items() if key not in elsewhere})

    def only_alternatives(self) -> frozenset[str]:
        """Artifacts that only an explanation needs: an audit goes without them."""
        return self.rerun.only_alternatives() if isinstance(self.rerun, ReplayRecipe) else frozenset()

    def arms(self) -> dict[str, Arm]:
        """Every arm that is run: the faithful ones, the controls and the probes."""
        if self.rerun is None:
            return {}
        arms = dict(self.rerun.arms)
        for change in (*self.controls, *self.probes):
            arms[change.arm] = change.as_arm(self.rerun.arms[change.of])
        return arms


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


def _refused(key: str, check: Callable[..., object], *arguments: Any) -> Iterator[str]:
    """What a check of another module says, behind a key."""
    try:
        check(*arguments)
    except (BadInput, ValueError) as problem:
        yield f"{key}{problem}"


def _check_target(target: Target, layout: Layout, where: str) -> Iterator[str]:
    """All that is wrong with a target, one line each."""
    if target.name != layout.target:
        yield f"{where}: name: expected {layout.target!r}, as the file is called, found {target.name!r}"
    for name in target.artifacts:
        yield from _refused("", checked_name, name, f"{where}: artifacts")
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
    named = [(f"components.{i}.artifact", component.artifact) for i, component in enumerate(target.components)]
    named += [(f"claims.{i}.cited_at.artifact", claim.cited_at.artifact) for i, claim in enumerate(target.claims)]
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
        yield from _refused(f"{where}: claims.{i}.cited_at.path: ", check_glob, cited.path or "*")
    for i, component in enumerate(target.components):
        if component.paths and not component.artifact:
            yield f"{where}: components.{i}.paths: name the artifact that they are in"


def _runs(target: Target) -> list[tuple[str, Run, dict[str, Any], tuple[Measure, ...]]]:
    """Every run of the release's code, with its key, parameters and measures."""
    found: list[tuple[str, Run, dict[str, Any], tuple[Measure, ...]]] = []
    if target.prepare:
        found.append(("prepare", target.prepare.run, target.prepare.parameters, ()))
    if target.evaluate:
        found.append(("evaluate", target.evaluate.run, target.evaluate.parameters, target.evaluate.measure))
    if isinstance(target.rerun, PythonRecipe):
        found.append(("rerun", target.rerun.run, target.rerun.parameters, target.rerun.measure))
    return found


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
        yield f"{where}: environment: missing; {runs[0][0]} runs the release's code, say what must be installed"
    for stage, run, parameters, _ in runs:
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
            yield from _refused("", checked_name, name, f"{where}: rerun.arms")
        if isinstance(rerun, PretrainRecipe):
            yield from _refused("", rerun.check, target.release.title, target.artifacts, target.claims, where)
        yield from _check_controls(target, where)
    yield from _check_metrics(target, where)
    ids = [claim.id for claim in target.claims]
    for i, claim in enumerate(target.claims):
        key = f"{where}: claims.{i}"
        yield from _refused("", checked_name, claim.id, f"{key}.id")
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


def _check_arms(claim: Claim, rerun: Recipe, key: str) -> Iterator[str]:
    for name, arm in (("arm", claim.arm), ("baseline", claim.baseline)):
        if arm is not None and arm not in rerun.arms:
            yield f"{key}.{name}: there is no arm {arm!r}; there are: {', '.join(rerun.arms)}"


def _check_metrics(target: Target, where: str) -> Iterator[str]:
    measured = []
    for stage, _, _, measures in _runs(target):
        names = [measure.metric for measure in measures]
        measured += names
        if twice := {name for name in names if names.count(name) > 1}:
            yield f"{where}: {stage}.measure: {min(twice)!r} is measured twice; name each metric once"
    of_rerun = target.rerun.metrics() if target.rerun else set()
    for metric in [*measured, *(claim.metric for claim in target.claims), *of_rerun]:
        if not _METRIC.match(metric):
            yield f"{where}: metric: {metric!r} is not a metric's name; use letters, digits and _ . / -"


def _check_controls(target: Target, where: str) -> Iterator[str]:
    assert target.rerun is not None  # noqa: S101 - the caller has looked
    changes: list[tuple[str, ChangedArm]] = [(f"controls.{i}", change) for i, change in enumerate(target.controls)]
    changes += [(f"probes.{i}", change) for i, change in enumerate(target.probes)]
    permuted = [arm.permute for arm in target.rerun.arms.values()] + [change.permute for _, change in changes]
    prepared = target.prepare is not None or isinstance(target.rerun, PretrainRecipe)  # which permutes what it reads
    if any(permuted) and not prepared:
        yield f"{where}: permute: there are no prepared arrays to permute; give `prepare`, or use parameters"
    if isinstance(target.rerun, ReplayRecipe):
        yield from _check_replay(target, target.rerun, where)
        return
    lacking = not target.controls and not all(claim.uncontrolled for claim in target.claims if claim.testable)
    if lacking:
        yield (
            f"{where}: controls: missing; a rerun needs a negative control, a broken recipe that must not pass "
            "(for example permute the training labels)"
        )
    for name, arm in target.rerun.arms.items():
        yield from _check_arm(target.rerun, arm, f"{where}: rerun.arms.{name}")
    yield from check_changes(target.rerun, changes, where)
    for i, probe in enumerate(target.probes):
        if probe.metric not in target.rerun.metrics():
            known = ", ".join(sorted(target.rerun.metrics()))
            yield f"{where}: probes.{i}.metric: no rerun measures {probe.metric!r}; measured: {known}"
    if not lacking:
        yield from _check_controlled(target, where)


def check_changes(recipe: Recipe, changes: list[tuple[str, ChangedArm]], where: str) -> Iterator[str]:
    """What is wrong with changes of a recipe, each given with its key in the target file."""
    names = list(recipe.arms)
    for key, change in changes:
        if change.arm in names:
            yield f"{where}: {key}.arm: {change.arm!r} is taken; give it a name of its own"
        names.append(change.arm)
        if not (change.parameters or change.set or change.permute):
            yield f"{where}: {key}: it changes nothing; give parameters, set or permute"
        elif change.of not in recipe.arms:
            yield f"{where}: {key}.of: there is no arm {change.of!r}; there are: {', '.join(recipe.arms)}"
        elif unfit := list(_check_arm(recipe, change.as_arm(recipe.arms[change.of]), f"{where}: {key}")):
            yield from unfit
        else:
            yield from _check_difference(recipe, change, f"{where}: {key}")


def _check_controlled(target: Target, where: str) -> Iterator[str]:
    """Has each claim that is tested a broken recipe that must not pass, or a reason why none could break it?"""
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


def _check_replay(target: Target, recipe: ReplayRecipe, where: str) -> Iterator[str]:
    """A replay has its controls and probes built in, and one question: does it stay within three floors?"""
    if target.controls or target.probes or set(recipe.arms) != {"faithful"} or recipe.arms["faithful"] != Arm():
        yield f"{where}: rerun: a replay takes no controls, probes or arms: it has its own"
    yield from _refused("", recipe.check_sources, target.artifacts, f"{where}: rerun")
    if recipe.problem:
        yield f"{where}: rerun.{recipe.problem}"
    yield from _check_alternatives(target, recipe, where)
    for i, claim in enumerate(target.claims):
        asked = (claim.published.value, claim.direction, claim.tolerance.margin)
        if claim.testable and claim.metric == recipe.metric and asked != (0.0, "at_most", REPLAY_MARGIN):
            yield (
                f"{where}: claims.{i}: a replay is held to value 0, direction at_most and a margin of {REPLAY_MARGIN:g} floors"
            )


def _check_alternatives(target: Target, recipe: ReplayRecipe, where: str) -> Iterator[str]:
    names = [of.name for of in recipe.alternatives]
    for i, of in enumerate(recipe.alternatives):
        key = f"{where}: rerun.alternatives.{i}"
        if not of.name.strip() or names.count(of.name) > 1:
            yield f"{key}.name: each alternative needs a name of its own, found {of.name!r}"
        if of.tokens is None and not of.set:
            yield f"{key}: it changes nothing; give tokens or set"
        if of.tokens == recipe.tokens and not of.set:
            yield f"{key}.tokens: they are those of the replay; name the other variant"
        if of.tokens and of.tokens.artifact not in target.artifacts:
            yield f"{key}.tokens.artifact: there is no artifact {of.tokens.artifact!r}"
        if not (of.cited_at.url or (of.cited_at.artifact in target.artifacts and of.cited_at.path)):
            yield f"{key}.cited_at: give a url, or an artifact and a path: what in the release suggests it?"
        yield from _refused("", check_values, of.set, f"{key}.set")
    named = [(f"components.{i}.artifact", component.artifact) for i, component in enumerate(target.components)]
    named += [(f"claims.{i}.cited_at.artifact", claim.cited_at.artifact) for i, claim in enumerate(target.claims)]
    for key, artifact in named:
        if artifact in recipe.only_alternatives():
            yield f"{where}: {key}: an audit does not bring {artifact!r}, which only an alternative needs"


def _check_arm(recipe: Recipe, arm: Arm, key: str) -> Iterator[str]:
    """Does everything that an arm sets reach the recipe?"""
    if isinstance(recipe, NativeRecipe):
        if arm.parameters:
            yield f"{key}.parameters: a native recipe takes none; use set"
        yield from _refused(f"{key}: ", recipe.of_arm, arm)
        return
    if isinstance(recipe, PretrainRecipe):
        yield from _refused("", recipe.check_arm, arm, key)
        return
    if arm.set:
        yield f"{key}.set: only a native recipe (or pretrain) has fields to set; use parameters"
    if unused := set(arm.parameters) - recipe.placeholders():
        yield f"{key}.parameters: the run has no {{{min(unused)}}}: it would change nothing"


def _check_difference(recipe: Recipe, change: ChangedArm, key: str) -> Iterator[str]:
    """Does a change change anything: do its values differ from those of the arm that it is a change of?"""
    base = recipe.arms[change.of]
    if change.permute:
        return
    if isinstance(recipe, NativeRecipe):
        same = recipe.of_arm(change.as_arm(base)) == recipe.of_arm(base)
    elif isinstance(recipe, PythonRecipe):
        before = recipe.parameters | base.parameters
        same = before | change.parameters == before
    else:
        return
    if same:
        yield f"{key}: it sets what {change.of} has already, so that it changes nothing; give other values"


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
    yield from _refused(f"{key}.curve_scatter: ", scatter_of, claim)
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


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What Hydra composes around a target."""

    profile: Profile
    execution: Execution
    judge: JudgeConfig
    isolation: Isolation
    scale: Scale
    tracking: dict[str, Any]


def compose(root: Path | None, asked: Sequence[str] = ()) -> Settings:
    """Our own part of the configuration, composed by Hydra: a project's choices, then what is asked for, in Hydra's grammar.

    root: the project whose conf/pipeline.yaml chooses, and whose conf/ may hold options of its own beside ours; None outside of
    one. asked: `judge=strict` chooses an option, `profile.runs=50` sets one of its values; such a value is named in the option's
    name, and no longer has the option's rationale. Raises `BadInput` for an unknown group, option, key or type.
    """
    root = root if root and (root / "conf" / "pipeline.yaml").is_file() else None
    return _compose(root, tuple(choices(root).items()), tuple(asked))


@functools.cache
def _compose(root: Path | None, choice: tuple[tuple[str, str], ...], asked: tuple[str, ...]) -> Settings:
    """As `compose`, once for a round of audits."""
    from hydra import compose as hydra_compose  # noqa: PLC0415 - only the plan stage needs Hydra
    from hydra import initialize_config_dir  # noqa: PLC0415
    from hydra.core.override_parser.overrides_parser import OverridesParser  # noqa: PLC0415
    from hydra.errors import HydraException  # noqa: PLC0415
    from omegaconf import OmegaConf  # noqa: PLC0415
    from omegaconf.errors import OmegaConfBaseException  # noqa: PLC0415

    chosen = dict(choice)
    where = f"settings ({' '.join(asked)})" if asked else "conf/pipeline.yaml"
    try:
        parsed = [_parsed_override(word, OverridesParser.create(), where) for word in asked]
        keys = [str(of.key_or_group) for of in parsed]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise BadInput(f"{where}: {twice[0]} is asked for twice; give one value")
        given = {str(of.key_or_group): str(of.get_value_element_as_str()) for of in parsed}
        chosen |= {group: given[group] for group in chosen if group in given}
        values = {key: value for key, value in given.items() if key not in chosen}
        for group, name in chosen.items():
            _check_option(root, group, name, {key for key in values if key.startswith(f"{group}.")}, where)
        overrides = [f"{key}={value}" for key, value in (chosen | values).items()]
        if root and (root / "conf").resolve() != OUR_CONF.resolve():
            # within quotes Hydra reads a backslash as itself, unless it stands before a quote
            quoted = re.sub(r"(\\+)(?='|\Z)", r"\1\1", str((root / "conf").resolve())).replace("'", "\\'")
            overrides.append(f"hydra.searchpath=['file://{quoted}']")
        with initialize_config_dir(config_dir=str(OUR_CONF.resolve()), version_base="1.3"):
            composed = hydra_compose("plan", overrides=overrides)
        plain: Any = OmegaConf.to_container(composed, resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise BadInput(f"{where}: {str(error).strip().splitlines()[0].rstrip('.')}") from None
    for group in ("profile", "judge", "scale"):
        own = {key.removeprefix(f"{group}."): value for key, value in values.items() if key.startswith(f"{group}.")}
        plain[group]["name"] = ", ".join([chosen[group], *(f"{key} {value}" for key, value in own.items())])
        if group == "judge" and own and "rationale" not in own:
            plain[group]["rationale"] = f"Asked for: {', '.join(f'{key} {value}' for key, value in own.items())}."
    try:
        settings: Settings = parse(Settings, plain, where)
    except ValueError:  # of numbers that JSON has no words for
        raise BadInput(f"{where}: finite numbers are needed") from None
    return settings


def choices(root: Path | None) -> dict[str, str]:
    """The option of each group that a project's conf/pipeline.yaml chooses; of those that it does not name, ours."""
    ours: Any = load_yaml(OUR_CONF / "pipeline.yaml", "conf/pipeline.yaml")
    theirs: Any = {}
    if root:
        theirs = load_yaml(root / "conf" / "pipeline.yaml", "conf/pipeline.yaml")
    if not isinstance(theirs, dict):
        raise BadInput(f"conf/pipeline.yaml: expected the keys schema_version, {', '.join(GROUPS)}")
    return {group: str(theirs.get(group, ours[group])) for group in GROUPS}


def option_file(root: Path | None, group: str, name: str) -> Path | None:
    """The file of an option of a group, the project's own or ours; None where there is none, `BadInput` where there are two."""
    files = [conf / group / f"{name}.yaml" for conf in _folders(root)]
    found = [path for path in files if path.is_file()]
    if len(found) > 1:
        raise BadInput(f"conf/{group}/{name}.yaml: OpenAssay has an option of that name; give yours another one")
    return found[0] if found else None


def _folders(root: Path | None) -> list[Path]:
    """Where options lie: in a project's conf/, if it is not ours, and in ours."""
    own = [root / "conf"] if root else []
    return own if own and own[0].resolve() == OUR_CONF.resolve() else [*own, OUR_CONF]


def _check_option(root: Path | None, group: str, name: str, keys: set[str], where: str) -> None:
    """Is there an option of that name, and has it these keys?"""
    path = option_file(root, group, checked_name(name, f"{where}: {group}"))
    if path is None:
        known = sorted({path.stem for conf in _folders(root) for path in (conf / group).glob("*.yaml")})
        raise BadInput(f"{where}: {group}: there is no option {name!r}; {did_you_mean(name, known)}")
    data = load_yaml(path, f"conf/{group}/{name}.yaml")
    if isinstance(data, dict) and ("defaults" in data or "${" in json.dumps(data)):
        raise BadInput(f"conf/{group}/{name}.yaml: defaults and ${{...}} are not taken; write the values out")
    if not isinstance(data, dict):
        raise BadInput(f"conf/{group}/{name}.yaml: expected keys with values, as in OpenAssay's own options")
    there = {f"{group}.{key}" for key in data}
    if unknown := sorted(keys - there):
        raise BadInput(f"{where}: there is no {unknown[0]}; {did_you_mean(unknown[0], sorted(there))}")


def _parsed_override(word: str, parser: Any, where: str) -> Any:
    """A plain `group=option` or `group.key=value`, as Hydra reads it. Sweeps, additions and deletions are not taken here."""
    from hydra.errors import HydraException  # noqa: PLC0415 - only the plan stage needs Hydra

    problem = BadInput(
        f"{where}: {word!r}: expected group=option or group.key=value, of letters, digits and _ . , : + - / = [ ]"
    )
    if not _OVERRIDE.match(word):
        raise problem
    try:
        override = parser.parse_override(word)
    except HydraException:
        raise problem from None
    if override.type is None or override.type.name != "CHANGE" or override.is_sweep_override() or override.package:
        raise problem
    group = str(override.key_or_group).partition(".")[0]
    if group not in GROUPS:
        raise BadInput(f"{where}: there is no group {group!r}; {did_you_mean(group, GROUPS)}")
    return override


def make_plan(layout: Layout, asked: Sequence[str] = (), target: Target | None = None) -> Plan:
    """Freeze the plan of a target: what is tested, on which seeds, with which tolerance and error rate.

    asked: overrides of the project's settings, in Hydra's grammar. target: what its file says, if it was read already.
    """
    settings = compose(layout.root, asked)
    target = _scaled(target or read_target(layout), settings.scale)
    glue = Glue(file=target.glue, sha256=file_digest(layout.glue_folder / target.glue)) if target.glue else None
    arms = _seeds(target, settings.profile)
    plain = {key: value for key, value in to_plain(target).items() if key != "claim_tables"}
    data = plain | {
        "digest": "0" * 64, "glue": to_plain(glue), "seeds": {"arms": to_plain(arms)},
        "citations": {claim.id: to_plain(claim.cited_at) for claim in target.claims},
        "profile": to_plain(settings.profile), "judge": to_plain(settings.judge),
        "execution": to_plain(settings.execution), "isolation": to_plain(settings.isolation),
        "tracking": settings.tracking, "scale": to_plain(settings.scale),
    }  # fmt: skip
    plan: Plan = parse(Plan, data, "plan")
    return replace(plan, digest=plan.identity())


def _scaled(target: Target, scale: Scale) -> Target:
    """A target whose training is scaled down, with the claims that can be held against something of that scale."""
    if scale.steps == 1 or target.rerun is None:
        return target
    recipe, claims, problem = scaled_down(target.rerun, target.claims, scale.steps)
    if recipe is None:
        return replace(target, rerun=None, not_rerun_because=problem, controls=(), probes=())
    return replace(target, rerun=recipe, claims=claims)


def _seeds(target: Target, profile: Profile) -> dict[str, tuple[int, ...]]:
    """The seeds of every arm: as many as the profile says, fewer where the target says so or nothing is random."""
    if target.rerun is None:
        return {}
    arms = {}
    for name in target.rerun.arms:
        claims = [claim for claim in target.claims if claim.arm == name]
        fixed = bool(claims) and all(claim.deterministic for claim in claims)
        runs = min(profile.runs, target.rerun.max_runs or profile.runs, *([DETERMINISTIC_RUNS] if fixed else []))
        paired = [claim.published.seeds for claim in claims if claim.paired and claim.published.seeds]
        arms[name] = paired[0][:runs] if paired else tuple(range(runs))
        if isinstance(target.rerun, ReplayRecipe):
            arms[name] = (0,)  # its replicas show the noise
    changes = (*target.controls, *target.probes)
    return arms | {change.arm: tuple(range(profile.control_runs)) for change in changes}


class _PlanDumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Numbers side by side: an arm may have a hundred seeds."""

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:
        numbers = bool(sequence) and all(type(item) in {int, float} for item in sequence)
        node: yaml.SequenceNode = super().represent_sequence(tag, sequence, flow_style=True if numbers else flow_style)
        return node


def write_plan(path: Path, plan: Plan) -> None:
    """Write a plan as YAML."""
    plain = to_plain(plan)
    # YAML takes these for ends of lines: where one occurs, all that is not ASCII is escaped.
    readable = not set(_LINE_ENDS) & set(json.dumps(plain, ensure_ascii=False))
    text = yaml.dump(plain, Dumper=_PlanDumper, sort_keys=False, allow_unicode=readable, width=120)
    write_text(path, f"# Frozen by the plan stage; edit conf/target/{plan.name}.yaml instead.\n{text}")


def write_inputs(layout: Layout, plan: Plan) -> None:
    """Write for each stage the digests of the sections of the plan that it reads: what makes it stale."""
    for stage, sections in SECTIONS.items():
        found = {name: digest(declared(getattr(plan, name))) for name in sections}
        write_text(layout.inputs(stage), json.dumps(found, indent=1) + "\n")


def read_plan(layout: Layout, path: Path | None = None) -> Plan:
    """The frozen plan, or that of another audit; a plan that was edited by hand is refused."""
    path = path or layout.plan
    where = layout.shown(path)
    if not path.exists():
        raise BadInput(f"{where}: there is no plan yet; run `openassay audit {layout.reference}`")
    try:
        plain = yaml.load(path.read_text(encoding="utf-8"), Loader=QUICK)  # noqa: S506 - it is a safe one
        plan: Plan = parse(Plan, plain, where)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, BadInput) as error:
        problem = str(error).splitlines()[0].removeprefix(f"{where}: ")
        raise BadInput(
            f"{where}: it is no plan ({problem}); run `openassay audit --force {layout.reference}`"
        ) from None
    if plan.identity() != plan.digest:
        raise BadInput(f"{where}: it was changed after it was frozen; run `openassay audit --force {layout.reference}`")
    return plan
