"""What exactly will be tested, and with which tolerance: the plan that is frozen from a target file and the settings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from openassay.core.claims import Citation, Claim
from openassay.core.deviations import Deviation
from openassay.core.evidence import Design
from openassay.core.openness_records import DataInformation, Review
from openassay.core.rerun_records import PlannedRuns
from openassay.core.tiers import Recomputation
from openassay.drivers import AnyDriver
from openassay.drivers.driver import ScaledRerun
from openassay.drivers.job import Arm
from openassay.environments import EnvironmentSpec
from openassay.faults import BadInput
from openassay.layout import Layout
from openassay.records import declared, digest, file_digest, parse, to_plain, write_text
from openassay.settings import Execution, Isolation, JudgeConfig, Profile, Scale, compose
from openassay.target import (
    ArtifactSpec,
    ChangedArm,
    Checkpoints,
    Component,
    Control,
    EvaluationSpec,
    Preparation,
    Probe,
    Release,
    Sha256,
    Target,
    read_target,
)
from openassay.yaml_loader import QUICK

DETERMINISTIC_RUNS = 3
"""Reruns of an arm whose claims are all declared deterministic: two must agree, a third makes chance unlikely."""

SECTIONS: dict[str, tuple[str, ...]] = {
    "fetch": ("artifacts", "rerun"),
    "inspect": ("artifacts", "components", "citations", "recomputations"),
    "prepare": ("artifacts", "environment", "glue", "isolation", "prepare"),
    "evaluate": ("artifacts", "environment", "evaluate", "glue", "isolation", "rerun"),
    "rerun": (
        "artifacts", "claims", "controls", "environment", "glue", "isolation", "judge", "not_rerun_because", "probes",
        "profile", "rerun", "seeds",
    ),
}  # fmt: skip
"""The sections of the plan that a stage reads, beside where and how fast it runs; `judge` and `report` read all of it."""


@dataclass(frozen=True, kw_only=True)
class Glue:
    """The target's script, pinned."""

    file: str
    sha256: Sha256


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """The seeds of each arm: 0, 1, 2 ..., or those of paired claims, as published. Nobody picks lucky ones."""

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
    rerun: AnyDriver | None
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
    deviations: tuple[Deviation, ...] = ()
    scale: Scale = field(default_factory=Scale)
    """Its default changes no digest: plans that were frozen before it stay what they are."""
    recomputations: dict[str, Recomputation] = field(default_factory=dict)
    """How claims follow from published files: a section of its own, as `citations` is, and of as little weight in a digest."""

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
        return self.rerun.only_alternatives() if self.rerun else frozenset()

    @property
    def changed(self) -> dict[str, ChangedArm]:
        """Controls and probes by their arms, whose reruns are all made, whatever they give."""
        return {change.arm: change for change in (*self.controls, *self.probes)}

    @property
    def variants(self) -> dict[str, Arm]:
        """Arms with other values of what the release does not state."""
        found = self.rerun.unstated_arms().values() if self.rerun else ()
        return {name: arm for arms in found for name, arm in arms.items()}

    @property
    def beside(self) -> frozenset[str]:
        """The arms whose reruns are all made, whatever they give: controls, probes and variants."""
        return frozenset((*self.changed, *self.variants))

    def arms(self) -> dict[str, Arm]:
        """Every arm that is run: the faithful ones, the controls, the probes and the variants."""
        if self.rerun is None:
            return {}
        own = self.rerun.arms
        return own | self.variants | {name: change.as_arm(own[change.of]) for name, change in self.changed.items()}


def make_plan(layout: Layout, asked: Sequence[str] = (), target: Target | None = None) -> Plan:
    """Freeze the plan of a target: what is tested, on which seeds, with which tolerance and error rate.

    asked: overrides of the project's settings, in Hydra's grammar. target: what its file says, if it was read already.
    """
    settings = compose(layout.root, asked)
    target = _scaled(target or read_target(layout), settings.scale)
    glue = Glue(file=target.glue, sha256=file_digest(layout.glue_folder / target.glue)) if target.glue else None
    plain = {key: value for key, value in to_plain(target).items() if key not in {"claim_tables", "guesses"}}
    data = plain | to_plain(settings) | {
        "digest": "0" * 64, "glue": to_plain(glue), "seeds": {"arms": to_plain(_seeds(target, settings.profile))},
        "citations": {claim.id: to_plain(claim.cited_at) for claim in target.claims},
        "recomputations": {claim.id: to_plain(claim.recompute) for claim in target.claims if claim.recompute},
    }  # fmt: skip
    plan: Plan = parse(Plan, data, "plan")
    return replace(plan, digest=plan.identity())


def _scaled(target: Target, scale: Scale) -> Target:
    """A target whose training is scaled down, with the claims that can be held against something of that scale."""
    if scale.steps == 1 or target.rerun is None:
        return target
    found = target.rerun.scaled_down(target.claims, scale.steps, target.scaled_reruns)
    if isinstance(found, str):
        return replace(target, rerun=None, not_rerun_because=found, controls=(), probes=())
    return replace(target, rerun=found[0], claims=found[1])


def _seeds(target: Target, profile: Profile) -> dict[str, tuple[int, ...]]:
    """The seeds of every arm: as many as the profile says, fewer where the target says so or nothing is random."""
    if target.rerun is None:
        return {}
    arms = {}
    for name in target.rerun.arms:
        claims = [claim for claim in target.claims if claim.arm == name and claim.tier == "rerun"]
        fixed = bool(claims) and all(claim.deterministic for claim in claims)
        runs = min(profile.runs, target.rerun.max_runs or profile.runs, *([DETERMINISTIC_RUNS] if fixed else []))
        paired = [claim.published.seeds for claim in claims if claim.paired and claim.published.seeds]
        arms[name] = target.rerun.seeds(paired[0][:runs] if paired else tuple(range(runs)))
    beside = [change.arm for change in (*target.controls, *target.probes)]
    beside += [name for of in target.rerun.unstated_arms().values() for name in of]
    return arms | {name: tuple(range(profile.control_runs)) for name in beside}


class _PlanDumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Numbers side by side: an arm may have a hundred seeds."""

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:
        numbers = bool(sequence) and all(type(item) in {int, float} for item in sequence)
        node: yaml.SequenceNode = super().represent_sequence(tag, sequence, flow_style=True if numbers else flow_style)
        return node


def write_plan(path: Path, plan: Plan) -> None:
    """Write a plan as YAML."""
    plain = to_plain(plan)
    # Where a letter ends lines, or reorders them for the eye, all that is not ASCII is escaped.
    readable = json.dumps(plain, ensure_ascii=False).isprintable()
    text = yaml.dump(plain, Dumper=_PlanDumper, sort_keys=False, allow_unicode=readable, width=120)
    write_text(path, f"# Frozen by the plan stage; edit conf/target/{plan.name}.yaml instead.\n{text}")


def write_inputs(layout: Layout, plan: Plan) -> None:
    """Write for each stage the digests of the sections of the plan that it reads: what makes it stale."""
    plan = replace(plan, isolation=Isolation(kind=plan.isolation.kind))  # another limit makes nothing stale
    for stage, sections in SECTIONS.items():
        found = {name: digest(declared(getattr(plan, name))) for name in sections}
        write_text(layout.inputs(stage), json.dumps(found, indent=1) + "\n")


def read_plan(layout: Layout, path: Path | None = None) -> Plan:
    """The frozen plan, or that of another audit; a plan that was edited by hand is refused."""
    path = path or layout.plan
    where, again = layout.shown(path), f"run `openassay audit --force {layout.reference}`"
    if not path.exists():
        raise BadInput(f"{where}: there is no plan yet; run `openassay audit {layout.reference}`")
    try:
        plain = yaml.load(path.read_text(encoding="utf-8"), Loader=QUICK)  # noqa: S506 - it is a safe one
        plan: Plan = parse(Plan, plain, where)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, BadInput) as error:
        problem = str(error).splitlines()[0].removeprefix(f"{where}: ")
        raise BadInput(f"{where}: it is no plan ({problem}); {again}") from None
    if plan.identity() != plan.digest:
        raise BadInput(f"{where}: it was changed after it was frozen; {again}")
    return plan
