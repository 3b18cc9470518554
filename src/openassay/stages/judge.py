"""Is each claim within its tolerance, and with which certainty?"""

from __future__ import annotations

import csv
import io
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from openassay import __version__
from openassay.core.axes import probe, study
from openassay.core.claims import Claim
from openassay.core.controls import doubts_of_weights, judge_control, not_learnt
from openassay.core.curves import judge_curve, scatter_of
from openassay.core.deviations import MOST_NAMED, ComparedNumber, Deviation, in_words, listed
from openassay.core.evidence import Evidence, values_of
from openassay.core.findings import FetchRecord, Finding, InspectRecord, PrepareRecord
from openassay.core.openness import openness, part_of
from openassay.core.reasons import OPEN
from openassay.core.rerun_records import EvaluateRecord, Rerun, RerunsRecord
from openassay.core.tier_verdicts import judge_evaluated, judge_recomputed, judge_tiers
from openassay.core.types import IsolationKind
from openassay.core.verdict import (
    RULES_VERSION,
    claims_shift_together,
    equal_reruns,
    joined,
    judge_claim,
    record_quality,
    unequal_deterministic,
)
from openassay.core.verdict_records import (
    Basis,
    ControlOutcome,
    CurveVerdict,
    Outcome,
    ProbeOutcome,
    Provenance,
    ReleaseVerdict,
    Verdict,
)
from openassay.drivers.driver import beside_verdict
from openassay.environments import EnvironmentSpec
from openassay.faults import BadInput
from openassay.layout import Layout
from openassay.plan import Plan, read_plan
from openassay.project import auditor
from openassay.provenance import git_state, machine, now, package_versions
from openassay.records import read_record, to_json

_SHORT = 300
"""Characters up to which two values are shown side by side."""


def run(
    plan: Plan, fetched: FetchRecord, inspected: InspectRecord, prepared: PrepareRecord, evaluated: EvaluateRecord,
    reruns: RerunsRecord, layout: Layout,
) -> ReleaseVerdict:  # fmt: skip
    """Judge every claim, the controls and the release, from the records alone."""
    runs = {arm: read_reruns(layout, plan, arm, identities) for arm, identities in reruns.identities.items()}
    findings = [of for record in (fetched, inspected, prepared, evaluated, reruns) for of in record.findings]
    controls = _controls(plan, runs, reruns)
    doubts = {claim.id: _doubts(plan, claim, runs, reruns) for claim in plan.claims}
    evidence = [_evidence(plan, claim, runs, controls, prepared, reruns, doubts[claim.id]) for claim in plan.claims]
    rerun, share = plan.rerun, plan.scale.steps
    protocol: str = rerun.protocol if rerun else "none"
    if share < 1:
        protocol = f"{protocol}, at most {share:g} of the updates"
    records = rerun.own_records(reruns, layout) if rerun else {}
    recomputed = {of.claim: of for of in inspected.recomputed}
    own = {claim.id: judge_recomputed(claim, recomputed[claim.id]) for claim in plan.claims if claim.recompute}
    tested = [claim for claim in plan.claims if claim.evaluated]
    measured = [claim for claim in tested if claim.evaluated and not claim.evaluated.as_published]
    own |= {
        claim.id: judge_evaluated(
            claim,
            evaluated,
            alpha=plan.judge.alpha / max(1, len(measured)),
            basis=_basis_of_weights(plan, claim, evaluated),
            weights=plan.release.weights,
        )
        for claim in tested
    }
    by_driver = {claim.id: found for claim in plan.claims if rerun and (found := rerun.judge(claim, records, protocol))}
    own |= by_driver
    verdicts = tuple(
        own.get(item.claim.id)
        or judge_claim(
            item, driver=rerun.driver if rerun else "none", protocol=protocol, basis=_basis(plan, item.claim, findings)
        )
        for item in evidence
    )
    if rerun:
        controls += tuple(
            of for claim in plan.claims if claim.id in by_driver for of in rerun.judge_controls(claim, records)
        )
    # the others are left out: their noise is not that of seeds
    on_seeds = [item for item in evidence if item.claim.id not in own]
    for look in (unequal_deterministic, equal_reruns):
        findings += [finding for item in on_seeds if (finding := look(item))]
    findings += [finding for item in on_seeds for finding in record_quality(item)]
    if together := claims_shift_together(tuple(of for of in verdicts if of.tier == "rerun")):
        findings.append(together)
    curves, not_judged = _curves(plan, verdicts, runs)
    findings += [*not_judged, *_mixed(runs)]
    if rerun and not reruns.not_attempted_because:
        told = [(item.claim.id, of) for item in on_seeds for of in doubts[item.claim.id]]
        findings += [replace(of, message=f"{claim}: {of.message}") for claim, of in told]
    missed = [of for of in controls if not of.caught]
    what = "the negative control {} of claim {} came out {}"
    findings += [beside_verdict("control_not_caught", what.format(of.arm, of.claim, of.outcome.value)) for of in missed]
    findings += [
        beside_verdict("not_controlled", f"{claim.id}: no negative control: {claim.uncontrolled}")
        for claim in plan.claims if claim.uncontrolled and claim.testable
    ]  # fmt: skip
    findings += _registration(plan, runs)
    tiers = judge_tiers(verdicts, not_rerun=reruns.not_attempted_because)
    outcome, reason = tiers[-1].outcome, tiers[-1].reason
    if rerun:
        findings += rerun.judge_findings(plan.claims, records)
        if share < 1:
            reason += (
                f"; scaled down to at most {share:g} of the updates, and held against what is published of that scale"
            )
        if only := rerun.speaks_for():
            reason = f"{reason}; {only}"
    parts = [part_of(found) for found in inspected.components]
    different = _deviations(plan, prepared, evaluated, runs)
    return ReleaseVerdict(
        schema_version=1, target=plan.name, plan_digest=plan.digest, rules_version=RULES_VERSION, alpha=plan.judge.alpha,
        outcome=outcome, basis=joined(verdicts), in_words=_in_words(plan, verdicts, different), deviations=different,
        reason=reason, score=tiers[-1].score, tiers=tiers,
        claims=verdicts, controls=controls, curves=curves,
        openness=openness(parts, plan.data_information, plan.reviews, told=plan.release.article_53)
        if plan.release.ai_system
        else None,
        study=study(fetched, inspected, prepared), modify=_modify(plan, runs),
        findings=tuple(findings),
        provenance=_provenance(layout, plan.isolation.kind, prepared, evaluated, runs, reruns.num_reused),
    )  # fmt: skip


def read_reruns(layout: Layout, plan: Plan, arm: str, identities: tuple[str, ...]) -> tuple[Rerun, ...]:
    """Exactly the reruns that the rerun stage has named, never what else may lie in the folder."""
    found = []
    # not all planned seeds were needed
    for seed, identity in zip(plan.seeds.arms.get(arm, ()), identities, strict=False):
        path = layout.rerun(arm, seed) / "record.json"
        rerun = read_record(path, Rerun)
        if (rerun.identity, rerun.seed, rerun.arm) != (identity, seed, arm):
            todo = f"run `openassay audit --force {layout.reference}`"
            raise BadInput(f"{path}: it is not the rerun that the rerun stage made; {todo}")
        found.append(rerun)
    return tuple(found)


def _controls(plan: Plan, runs: dict[str, tuple[Rerun, ...]], reruns: RerunsRecord) -> tuple[ControlOutcome, ...]:
    return tuple(
        judge_control(
            claim, plan.design(claim, reruns.planned), arm=control.arm, runs=runs[control.arm], faithful=runs[control.of],
            baseline=runs.get(claim.baseline or "", ()),
        )
        for control in plan.controls
        for claim in plan.claims
        if control.breaks(claim) and claim.testable and control.arm in runs
    )  # fmt: skip


def _basis(plan: Plan, claim: Claim, findings: list[Finding]) -> tuple[Basis, ...]:
    """What the reruns of a claim rest on."""
    if plan.rerun is None:
        return ()
    found = [*plan.rerun.basis(claim.metric)]
    if plan.rerun.runs_release_code:
        told = [control.by_data_alone() for control in plan.controls if control.breaks(claim)]
        weaknesses: dict[Basis, bool] = {
            "unprotected": plan.isolation.kind == "none", "visible_control": bool(told) and not any(told),
        }  # fmt: skip
        found += [word for word, there in weaknesses.items() if there]
    scale: dict[Basis, bool] = {
        "scaled_down": plan.scale.steps < 1,
        "other_versions": any(of.kind == "environment_not_as_published" for of in findings),
    }
    found += [word for word, there in scale.items() if there]
    return tuple(word for word in get_args(Basis) if word in found)


def _basis_of_weights(plan: Plan, claim: Claim, evaluated: EvaluateRecord) -> tuple[Basis, ...]:
    """What a measurement of the released weights rests on."""
    own = any(of.metric == claim.metric and of.self_reported for of in evaluated.measurements)
    found: dict[Basis, bool] = {
        "self_reported": own, "measured": not own,
        "unprotected": plan.isolation.kind == "none" and plan.evaluate is not None,
        "other_versions": any(of.kind == "environment_not_as_published" for of in evaluated.findings),
    }  # fmt: skip
    return tuple(word for word in get_args(Basis) if found.get(word))


def _deviations(
    plan: Plan, prepared: PrepareRecord, evaluated: EvaluateRecord, runs: dict[str, tuple[Rerun, ...]]
) -> tuple[Deviation, ...]:
    """What was different from the release: what the target says, and what the stages found. Empty where nothing was run."""
    rerun, made = plan.rerun, [of for arm in runs.values() for of in arm]
    if not made and evaluated.status == "none":
        return ()
    found: list[Deviation] = []
    here = made[0].environment if made else evaluated.environment
    release_code = plan.evaluate is not None or (rerun is not None and rerun.runs_release_code)
    if made and rerun:
        found += rerun.deviations(here)
    if plan.glue and release_code:
        found.append(Deviation(kind="other_code", what="the release's code called by a script of OpenAssay's target"))
    if made and rerun and any(arm.edit for name, arm in rerun.arms.items() if name not in plan.changed):
        found.append(Deviation(kind="other_code", what="lines of the release's code changed so that it runs"))
    if release_code and plan.environment:
        found += _other_versions(plan.environment, (*prepared.findings, *evaluated.findings), here)
    if failed := [check.array for check in prepared.checks if not check.passed]:
        found.append(
            Deviation(kind="other_data", what=f"data that are not the published ones ({', '.join(failed)[:100]})")
        )
    if made and plan.scale.steps < 1:
        found.append(Deviation(kind="scaled_down", what=f"at most {plan.scale.steps:g} of the published updates"))
    if release_code and plan.isolation.kind == "none":
        found.append(Deviation(kind="unprotected", what="the release's code in no cage"))
    told = {of.kind for of in plan.deviations}
    return (*plan.deviations, *(of for of in found if of.kind not in told))


def _other_versions(
    environment: EnvironmentSpec, findings: tuple[Finding, ...], here: dict[str, str]
) -> list[Deviation]:  # fmt: skip
    """Where packages are not, or not surely, those that the release was made with."""
    if any(of.kind == "environment_not_as_published" for of in findings):
        return [Deviation(kind="other_versions", what="other versions of packages than the release pins")]
    if environment.published or environment.as_of or not environment.requirements:
        return []
    named = [Requirement(of).name for of in environment.requirements]
    told = [f"{name} {here[key]}" if (key := canonicalize_name(name)) in here else name for name in named]
    return [
        Deviation(
            kind="other_versions", what=f"versions that the audit's target chose ({listed(told, MOST_NAMED)[:120]})"
        )
    ]


def _in_words(
    plan: Plan, verdicts: tuple[Verdict, ...], different: tuple[Deviation, ...]
) -> str:  # fmt: skip
    """What came out, in a sentence."""
    reruns = [of for of in verdicts if of.tier == "rerun"]
    own = {plan.rerun.meaning(of) for of in reruns if plan.rerun and of.outcome is not Outcome.NOT_ATTEMPTED} - {""}
    whys = {of.why for of in reruns if of.outcome is Outcome.INCONCLUSIVE}
    why = whys.pop() if len(whys) == 1 else None
    directions = {claim.id: claim.direction for claim in plan.claims}
    compared = [
        ComparedNumber(
            metric=of.metric, unit=of.unit, direction=directions[of.id], published=of.published.value,
            difference=of.difference, outcome=of.outcome.value,
        )
        for of in reruns
    ]  # fmt: skip
    return in_words(compared, different, OPEN[why] if why else "", own=" and ".join(sorted(own)))


def _curves(
    plan: Plan, verdicts: tuple[Verdict, ...], runs: dict[str, tuple[Rerun, ...]]
) -> tuple[tuple[CurveVerdict, ...], list[Finding]]:
    """The verdicts on published curves of reproduced values, and findings on curves that cannot be judged."""
    found, findings = [], []
    for claim, verdict in zip(plan.claims, verdicts, strict=True):
        if claim.curve is None or verdict.outcome is not Outcome.REPRODUCED:
            continue
        try:
            if claim.direction != "two-sided" or claim.published.best_of > 1:
                raise ValueError("only for two-sided claims about a mean")
            used = [rerun.curves.get(claim.metric, ()) for rerun in runs[claim.arm][: verdict.runs_used]]
            found.append(judge_curve(
                claim.curve, claim.published.num_runs, used, claim.tolerance.margin, plan.judge.alpha, claim=claim.id,
                metric=claim.metric, family=scatter_of(claim), rounding=claim.published.rounding,
                resolution=claim.resolution,
            ))  # fmt: skip
        except ValueError as problem:
            findings.append(beside_verdict("curve_not_judged", f"{claim.id}: {problem}"))
    return tuple(found), findings


def _modify(plan: Plan, runs: dict[str, tuple[Rerun, ...]]) -> tuple[ProbeOutcome, ...]:
    """Every change of the recipe with a predicted direction: the probes, and the controls that predict one."""
    asked = {(change.arm, change.of, change.metric): change.expects for change in plan.probes} | {
        (control.arm, control.of, claim.metric): control.expects
        for control in plan.controls for claim in plan.claims
        if control.expects and control.breaks(claim) and claim.testable
    }  # fmt: skip
    return tuple(
        probe(
            arm=arm, of=of, metric=metric, expects=expects, changed=values_of(runs[arm], metric),
            faithful=values_of(runs[of], metric), alpha=plan.judge.alpha,
            margin=next((claim.tolerance.margin for claim in plan.claims if (claim.arm, claim.metric) == (of, metric)), 0.0),
        )
        for (arm, of, metric), expects in asked.items() if arm in runs and of in runs
    )  # fmt: skip


def _evidence(
    plan: Plan, claim: Claim, runs: dict[str, tuple[Rerun, ...]], controls: tuple[ControlOutcome, ...],
    prepared: PrepareRecord, reruns: RerunsRecord, doubts: list[Finding],
) -> Evidence:  # fmt: skip
    because = reruns.not_attempted_because
    if not claim.testable and plan.rerun:
        because = "the reruns of this target do not measure this number"
        if plan.scale.steps < 1:
            because = f"the target states no published value at {plan.scale.steps:g} of its updates"
    of_arm, baseline = (() if because else runs.get(arm or "", ()) for arm in (claim.arm, claim.baseline))
    failed = [check.array for check in prepared.checks if not check.passed]
    own = [control for control in controls if control.claim == claim.id]
    missed = [control.arm for control in own if not control.caught]
    control = "" if own else "no negative control was run: this test has not shown that it notices a broken recipe"
    if missed:
        control = f"the negative control {missed[0]} was not caught: this test has no power to notice a broken recipe"
    # perhaps the faithful reruns are as broken as their control, by a slip in the target file
    alike = [control.arm for control in own if not control.differs_from_faithful]
    assumed = "" if because else _assumed(plan, claim, runs, reruns)
    question = "but they are not shown to differ from the broken recipe {}: are they run as published?"
    design = plan.design(claim, reruns.planned)
    return replace(
        Evidence.of_runs(claim, design, of_arm, baseline), not_attempted_because=because,
        not_trained="" if because else "; ".join(of.message for of in doubts),
        data_differs=f"the prepared data differs from the published ({', '.join(failed)})" if failed else "",
        assumed=assumed, control="" if claim.uncontrolled else control, broken_alike=question.format(alike[0]) if alike else "",
    )  # fmt: skip


def _assumed(plan: Plan, claim: Claim, runs: dict[str, tuple[Rerun, ...]], reruns: RerunsRecord) -> str:
    """Which values that the release does not state may be the reason of a difference, in words; empty where none may.

    One other value may give the number, or several together: then the most that each moves it reaches the tolerance in sum.
    """
    untried, may, moved = [], [], 0.0
    faithful = [of for of in values_of(runs.get(claim.arm, ()), claim.metric) if of is not None]
    for name, arms in (plan.rerun.unstated_arms() if plan.rerun else {}).items():
        untried += [name] if not arms else []
        most = 0.0
        for arm in arms:
            found = judge_control(
                claim, plan.design(claim, reruns.planned), arm=arm, runs=runs.get(arm, ()), faithful=runs[claim.arm]
            )
            values = [of for of in found.runs if of is not None]
            if found.outcome is not Outcome.NOT_REPRODUCED:
                may.append(f"{arm.replace('_', ' ')} gives {', '.join(f'{of:.4g}' for of in values) or 'nothing'}")
            elif values and faithful:
                most = max(most, abs(float(np.mean(values) - np.mean(faithful))))
        moved += most
    words = [f"the release does not state {', '.join(untried)}, and no other value was tried"] if untried else []
    words += [f"with other values of what it does not state, {'; '.join(may)}"] if may else []
    away = abs(float(np.mean(faithful)) - claim.published.value) - claim.tolerance.margin if faithful else 0.0
    if not words and moved >= away > 0:
        words.append(f"several other values together may move the number by {moved:.3g}, which would be enough")
    return "; ".join(words)


def _doubts(
    plan: Plan, claim: Claim, runs: dict[str, tuple[Rerun, ...]], reruns: RerunsRecord
) -> list[Finding]:  # fmt: skip
    """What speaks against the number having come from training, with its figures."""
    found = []
    for change in plan.probes:
        if (change.of, change.metric, change.expects) == (claim.arm, claim.metric, "same") and change.arm in runs:
            design = plan.design(claim, reruns.planned)
            said = not_learnt(claim, design, arm=change.arm, runs=runs[change.arm], faithful=runs[claim.arm])
            found.append(beside_verdict("no_training", said))
    for weights in reruns.weights:
        if weights.arm == claim.arm:
            found += [beside_verdict(*of) for of in doubts_of_weights(weights, deterministic=claim.deterministic)]
    return [of for of in found if of.message]


_CHANGED = {
    "claims": "a claim or a tolerance", "controls": "a control", "judge": "an error rate", "seeds": "the number of reruns",
}  # fmt: skip


def _registration(plan: Plan, runs: dict[str, tuple[Rerun, ...]]) -> list[Finding]:
    """A finding for each part of the pre-registration that was changed after reruns had been made."""
    now_registered = plan.registration()
    made = [rerun.registered for arm in runs.values() for rerun in arm]
    why = "was changed after reruns were made: the verdict is not pre-registered"
    return [
        beside_verdict(f"{part}_changed_after_runs", f"{what} {why}")
        for part, what in _CHANGED.items() if any(of.get(part) != now_registered[part] for of in made)
    ]  # fmt: skip


def _mixed(runs: dict[str, tuple[Rerun, ...]]) -> list[Finding]:
    """A finding where the reruns of one audit were made in different places: their scatter is not that of seeds alone."""
    made = [rerun for arm in runs.values() for rerun in arm]
    keys = sorted({key for rerun in made for key in rerun.environment})
    mixed = {key: sorted({rerun.environment.get(key, "none") for rerun in made}) for key in keys}
    told = [f"{key}: {', '.join(values)}" for key, values in mixed.items() if len(values) > 1]
    message = f"the reruns were not all made alike: {'; '.join(told[:5])}"
    return [beside_verdict("mixed_environments", message)] if told else []


def _provenance(
    layout: Layout, isolation: IsolationKind, prepared: PrepareRecord, evaluated: EvaluateRecord,
    runs: dict[str, tuple[Rerun, ...]],
    num_reused: int,
) -> Provenance:  # fmt: skip
    reruns = [rerun for arm in runs.values() for rerun in arm]
    commit, dirty = git_state(layout.root)
    here = machine()
    of_runs = reruns[0].environment if reruns else prepared.environment
    packages = {
        name: version
        for name, version in of_runs.items()
        if name not in {"device", "gpu", "python", "machine", "isolation"}
    }
    device, gpu = of_runs.get("device", "unknown"), of_runs.get("gpu")
    return Provenance(
        openassay=__version__, auditor=auditor(layout.root), git_commit=commit, git_dirty=dirty, python=here["python"],
        platform=f"{here['platform']}, {here['cores']} cores",
        device=(f"{device} ({gpu})" if gpu else device) if reruns else "none",
        packages=package_versions() | {f"environment:{name}": version for name, version in sorted(packages.items())},
        isolation=isolation,
        started_at=min((rerun.started_at for rerun in reruns), default=None), finished_at=now(),
        cpu_s=round(prepared.cpu_s + evaluated.cpu_s + sum(rerun.cpu_s for rerun in reruns), 1),
        num_reruns=len(reruns), num_reused=num_reused,
    )  # fmt: skip


def summary(verdict: ReleaseVerdict) -> dict[str, Any]:
    """The verdict's numbers, release and claims, for `dvc metrics` and `dvc exp show`; equal audits give equal ones."""
    outcomes = [claim.outcome for claim in verdict.claims if claim.tier == "rerun"]
    return {
        "outcome": verdict.outcome.value,
        "basis": " ".join(verdict.basis),
        "score": verdict.score.value,
        "coverage": verdict.score.coverage,
        "num_claims": len(outcomes),
        **{outcome.value.lower(): outcomes.count(outcome) for outcome in Outcome},
        "recipe_shown": sum("recipe" in claim.shown for claim in verdict.claims),
        "number_not_reached": sum(claim.why == "number_not_reached" for claim in verdict.claims),
        "tiers": {
            of.tier: {
                "claims": of.num_claims,
                "tested": of.num_tested,
                "reproduced": of.num_reproduced,
                "not_reproduced": of.num_not_reproduced,
                "share": of.share,
            }
            for of in verdict.tiers
            if of.num_claims
        },
        "claims": {claim.id: _figures(claim) for claim in verdict.claims},
    }


def _figures(claim: Verdict) -> dict[str, Any]:
    """One claim's numbers; those that it has not are left out."""
    low, high = claim.interval or (None, None)
    figures = {
        "outcome": claim.outcome.value,
        "tier": claim.tier,
        "basis": " ".join(claim.basis),
        "published": claim.published.value,
        "mean": None if claim.difference is None else claim.published.value + claim.difference,
        "difference": claim.difference,
        "difference_low": low,
        "difference_high": high,
        "runs": claim.runs_used,
    }
    return {name: value for name, value in figures.items() if value is not None}


def runs_table(verdict: ReleaseVerdict) -> str:
    """One row a rerun and claim as CSV, for `dvc plots`: its place in the order of the seeds, its difference in margins."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["claim", "run", "value", "published", "difference_in_margins"])
    for claim in verdict.claims:
        for run, value in enumerate(claim.runs):
            if value is not None:
                margins = (value - claim.published.value) / claim.tolerance.margin
                writer.writerow([claim.id, run, value, claim.published.value, margins])
    return text.getvalue()


def not_following(layout: Layout) -> list[str]:
    """What of a verdict's files does not follow from plan and records, each in words; judged anew, by the code that runs now."""
    kept = read_record(layout.verdict, ReleaseVerdict)
    again = replace(run(read_plan(layout), *read_all(layout), layout), provenance=kept.provenance)
    found = []
    for of in fields(kept):
        before, now_ = getattr(kept, of.name), getattr(again, of.name)
        if before != now_:
            short = f": {before}, and the records give {now_}" if len(f"{before}{now_}") < _SHORT else ""
            found.append(f"{layout.shown(layout.verdict)}: {of.name}{short}")
    return found + other_tables(layout, again)


def tables(layout: Layout, verdict: ReleaseVerdict) -> dict[Path, str]:
    """The tables of a verdict that git keeps, by their paths."""
    return {layout.metrics: to_json(summary(verdict)) + "\n", layout.runs: runs_table(verdict)}


def other_tables(layout: Layout, verdict: ReleaseVerdict) -> list[str]:
    """A line for each table that says something else than the verdict."""
    found = tables(layout, verdict).items()
    return [
        f"{layout.shown(path)}: it is not that of the verdict"
        for path, text in found
        if path.read_text("utf-8") != text
    ]


def read_all(layout: Layout) -> tuple[FetchRecord, InspectRecord, PrepareRecord, EvaluateRecord, RerunsRecord]:
    """The records that the verdict is made from."""
    path = layout.record
    return (
        read_record(path("fetch"), FetchRecord), read_record(path("inspect"), InspectRecord),
        read_record(path("prepare"), PrepareRecord), read_record(path("evaluate"), EvaluateRecord),
        read_record(path("rerun"), RerunsRecord),
    )  # fmt: skip
