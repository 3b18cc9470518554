"""One audit in MLflow: its runs, and its version of the target's registered model.

One experiment a target. Runs are flat and tagged (`audit`, `role`, `arm`, `seed`, `outcome`), because nested runs stay collapsed
in the chart view: a run for the audit, one for each rerun (`role` seed or control) with its curve, and one for each published
value (`role` claim), so that the chart overlays it. Each audit has runs of its own. What is there is never deleted: a run that
is mirrored again keeps its tags and notes, and gets ours anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from openassay.core.findings import Artifact
from openassay.core.rerun_records import Rerun, RerunStatus
from openassay.core.tier_verdicts import beside, tier_words
from openassay.core.verdict import headline, weaker
from openassay.core.verdict_records import Outcome, ReleaseVerdict
from openassay.drivers.job import Arm
from openassay.faults import in_markdown, printable
from openassay.layout import Layout
from openassay.plan import Plan
from openassay.records import digest, to_plain
from openassay.reviewing import name_of
from openassay.sources.download import without_credentials
from openassay.tracking import AUDITS_VIEW, alone, ask, exchange, experiment_name, tracking_uri
from openassay.tracking.exchange import NOTE, WROTE, is_ours, mark

MOST_RUNS = 50_000
"""Of one experiment that are looked up: the most that MLflow gives at once."""
MOST_PARAMS, MOST_LETTERS, MOST_POINTS = 80, 500, 900
"""Of one run's parameters, of one value's letters, and of points that are sent at once (MLflow takes 1000 of all together)."""
KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Makes MLflow's pages open for the training of models; otherwise it guesses, and may open those for language models' traces."""

Curves = dict[str, tuple[tuple[int, float], ...]]


@dataclass(frozen=True, kw_only=True)
class Audit:
    """One audit with its evidence, as far as it is there: of a published one, no reruns and no artifacts are."""

    verdict: ReleaseVerdict
    plan: Plan
    runs: dict[str, tuple[Rerun, ...]] = field(default_factory=dict)
    artifacts: tuple[Artifact, ...] = ()
    files: tuple[Path, ...] = ()
    """Kept with the audit's run: plan, verdict, report."""


@dataclass(frozen=True, kw_only=True)
class EarlierAudit:
    """What a target's history keeps of an earlier audit."""

    name: str
    outcome: Outcome
    basis: Sequence[str]
    reason: str
    finished_at: str
    plan_digest: str
    rules_version: str
    score: float | None
    coverage: float
    claims: Mapping[str, Outcome]


def track(layout: Layout, configured: str | None, audits: Sequence[Audit | EarlierAudit]) -> str:
    """Mirror audits of a target, and exchange reviews; returns the experiment's id. Raises `TrackingLost` as `ask` does.

    Each audit is there once, however often and from wherever it is mirrored.
    """

    def do(client: Any) -> str:
        with alone(layout):
            shown = _Shown(client, _experiment(client, layout))
            for of in audits:
                if isinstance(of, Audit):
                    _mirror_audit(shown, of)
                elif of.name not in shown.audits:
                    _mirror_summary(shown, layout.target, of)
            exchange.versions(client, layout, shown.audits)
            exchange.reviews(client, layout, shown.audits)
        return shown.experiment

    return ask(tracking_uri(layout.root, configured), do)


def _experiment(client: Any, layout: Layout) -> str:
    name = experiment_name(layout.target)
    found = client.get_experiment_by_name(name)
    if found is None:
        local = client.tracking_uri.startswith("sqlite:///")
        location = (layout.root / "mlartifacts" / layout.target).absolute().as_uri() if local else None
        return str(client.create_experiment(name, location, KIND | AUDITS_VIEW))
    for key, value in (KIND | AUDITS_VIEW).items():
        if key not in found.tags:
            client.set_experiment_tag(found.experiment_id, key, value)
    return str(found.experiment_id)


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One run as it is to stand in MLflow."""

    name: str
    tags: dict[str, str]
    """With `role`, and `arm`, `seed` or `claim`, which tell an audit's runs from each other."""
    curves: Curves = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    note: str = ""
    start: int
    """Milliseconds, as MLflow counts time."""
    end: int
    ended: str = "FINISHED"
    inputs: tuple[Artifact, ...] = ()


class _Shown:
    """What an experiment shows."""

    def __init__(self, client: Any, experiment: str) -> None:
        self.client, self.experiment = client, experiment
        self.audits = {
            run.data.tags["audit"]: run for run in self.find("tags.role = 'audit'") if "audit" in run.data.tags
        }

    def find(self, chosen: str) -> Sequence[Any]:
        """The runs that a filter chooses."""
        found: Sequence[Any] = self.client.search_runs([self.experiment], chosen, max_results=MOST_RUNS)
        return found

    def runs_of(self, audit: str) -> dict[tuple[str, ...], Any]:
        """The runs of an audit, by what tells them from each other."""
        return {_key(run.data.tags): run for run in self.find(f"tags.audit = '{audit}'")}

    def put(self, there: Any, wanted: _Run) -> Any:
        """The run, made if it is not `there`; of one that has ended, tags alone are set, and the description if it is ours."""
        from mlflow.entities import Metric, Param  # noqa: PLC0415 - mlflow takes seconds to import

        tags = {key: printable(value)[:MOST_LETTERS] for key, value in wanted.tags.items()}
        if wanted.note:
            tags |= {NOTE: wanted.note, WROTE: mark(wanted.note)}
        if there is None:
            there = self.client.create_run(self.experiment, wanted.start, tags, printable(wanted.name)[:MOST_LETTERS])
        else:
            has = there.data.tags
            if not is_ours(has.get(NOTE), has):
                tags = {key: value for key, value in tags.items() if key not in {NOTE, WROTE}}
            tags |= {"mlflow.runName": printable(wanted.name)[:MOST_LETTERS]}
            changed = {key: value for key, value in tags.items() if has.get(key) != value}
            exchange.set_tags(self.client, there.info.run_id, changed)
        run = str(there.info.run_id)
        if there.info.status == "RUNNING":  # new, or its mirroring did not reach its end: equal points are kept once
            points = [
                Metric(name, value, wanted.end, step) for name, curve in wanted.curves.items() for step, value in curve
            ]
            params = [Param(key[:250], printable(value)[:MOST_LETTERS]) for key, value in wanted.params.items()][
                :MOST_PARAMS
            ]
            for start in range(0, max(len(points), 1), MOST_POINTS):
                batch = points[start : start + MOST_POINTS]
                self.client.log_batch(run, metrics=batch, params=[] if start else params)
            if wanted.inputs:
                self.client.log_inputs(run, [_dataset(of) for of in wanted.inputs])
            self.client.set_terminated(run, wanted.ended, wanted.end)
        return there


def _key(tags: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(tags.get(name, "") for name in ("role", "arm", "seed", "claim"))


def _dataset(of: Artifact) -> Any:
    """A fetched artifact as an input of a run. MLflow takes 36 letters of a digest; the whole one stands in the source."""
    from mlflow.entities import Dataset, DatasetInput, InputTag  # noqa: PLC0415

    served = next((attempt.source for attempt in of.attempts if attempt.kind == "served"), "unknown")
    whole = of.sha256 or of.payload_sha256 or digest([of.name, of.filename])
    source = {
        "source": without_credentials(served), "file": of.filename, "root": of.root, "sha256": of.sha256,
        "payload_sha256": of.payload_sha256,
    }  # fmt: skip
    shown = Dataset(
        of.name, whole[:36], "published", json.dumps(source), profile=json.dumps({"size_bytes": of.size_bytes})
    )
    return DatasetInput(shown, [InputTag("mlflow.data.context", "published artifact")])


def _mirror_audit(shown: _Shown, audit: Audit) -> None:
    verdict = audit.verdict
    name, end = name_of(verdict), milliseconds(verdict.provenance.finished_at)
    there = shown.runs_of(name)
    for wanted in (*_of_reruns(audit), *_of_values(audit, end), *_of_claims(audit, end), _of_audit(audit, end)):
        tags = {"audit": name, "target": verdict.target} | wanted.tags
        found = shown.put(there.get(_key(tags)), replace(wanted, tags=tags))
    shown.audits[name] = found
    run = found.info.run_id
    figures = {key: value for key, value in _figures(verdict).items() if value is not None}
    if found.info.status != "RUNNING" and any(found.data.metrics.get(key) != value for key, value in figures.items()):
        for key, value in figures.items():  # judged again within the same second, or a summary before
            shown.client.log_metric(run, key, value)
    for path in audit.files:
        shown.client.log_artifact(run, str(path))


def _of_reruns(audit: Audit) -> Iterator[_Run]:
    """A run for each rerun."""
    controls = {control.arm for control in audit.verdict.controls}
    arms = audit.plan.arms()
    for arm, of in audit.runs.items():
        recipe = _recipe(audit.plan, arms.get(arm))
        for rerun in of:
            tags = {
                "role": "control" if arm in controls else "seed",
                "arm": arm,
                "seed": str(rerun.seed),
                "status": rerun.status.value,
            }
            tags |= {"why": rerun.reason} if rerun.reason else {}
            finals = {f"final_{m.metric}": ((0, m.value),) for m in rerun.measurements if m.value is not None}
            start = milliseconds(rerun.started_at)
            yield _Run(
                name=f"{arm}: seed {rerun.seed}", tags=tags, curves=finals | rerun.curves,
                params={"arm": arm, "seed": str(rerun.seed)} | rerun.environment | recipe,
                start=start, end=start + round(1000 * rerun.duration_s),
                ended="FINISHED" if rerun.status is RerunStatus.FINISHED else "FAILED",
            )  # fmt: skip


def _of_values(audit: Audit, end: int) -> Iterator[_Run]:
    """A run for each rerun of a published audit, which keeps their values alone."""
    values: dict[tuple[str, int], Curves] = {}
    arms = {claim.id: claim.arm for claim in audit.plan.claims}
    for claim in audit.verdict.claims if not audit.runs else ():
        arm = arms.get(claim.id, "faithful")
        for seed, value in zip(audit.plan.seeds.arms.get(arm, ()), claim.runs, strict=False):
            finals = values.setdefault((arm, seed), {})
            finals |= {f"final_{claim.metric}": ((0, value),)} if value is not None else {}
    for (arm, seed), finals in values.items():
        tags, params = {"role": "seed", "arm": arm, "seed": str(seed)}, {"arm": arm, "seed": str(seed)}
        yield _Run(name=f"{arm}: seed {seed}", tags=tags, curves=finals, params=params, start=end, end=end)


def _of_claims(audit: Audit, end: int) -> Iterator[_Run]:
    """A run for each published value. The chart shows the newest ten runs: these come first, in the order of the claims."""
    curves = {claim.id: claim.curve for claim in audit.plan.claims}
    for back, claim in enumerate(reversed(audit.verdict.claims), start=1):
        tags = {
            "role": "claim", "claim": claim.id, "outcome": claim.outcome.value, "shown": ",".join(claim.shown),
            "tier": claim.tier, "why": claim.why or "", "estimand": claim.estimand, "basis": ",".join(claim.basis),
        }  # fmt: skip
        steps = {step for of in audit.runs.values() for rerun in of for step, _ in rerun.curves.get(claim.metric, ())}
        # The published curve; where only a value is published, that as a line over the reruns' steps. And it as a bar at step 0.
        line = tuple((step, claim.published.value) for step in sorted({min(steps), max(steps)})) if steps else ()
        finals = {f"final_{claim.metric}": ((0, claim.published.value),), claim.metric: curves.get(claim.id) or line}
        figures = {"difference": claim.difference, "score": claim.score}
        tags |= {key: f"{value:.6g}" for key, value in figures.items() if value is not None}
        cited = claim.cited_at.path or claim.cited_at.url or ""
        params = {
            "claim": claim.id, "metric": claim.metric, "published": f"{claim.published.value:g}",
            "tolerance": f"{claim.tolerance.margin:g}", "cited_at": cited,
        }  # fmt: skip
        yield _Run(
            name=f"published: {claim.id}", tags=tags, curves=finals, params=params, note=in_markdown(claim.reason),
            start=end + back, end=end + back,
        )  # fmt: skip


def _of_audit(audit: Audit, end: int) -> _Run:
    verdict, plan = audit.verdict, audit.plan
    came = verdict.provenance
    tags = _audit_tags(verdict.outcome, verdict.basis, verdict.reason, verdict.plan_digest, verdict.rules_version)
    tags |= {"in_words": verdict.in_words, "deviations": "; ".join(of.what for of in verdict.deviations)}
    if openness := verdict.openness:
        tags |= {"osaid": openness.osaid.outcome, "mof": openness.mof.label}
    tags |= {f"tier.{of.tier}": tier_words(of) or of.outcome.value for of in verdict.tiers if of.num_claims}
    params = {
        "release": plan.release.title, "driver": plan.rerun.driver if plan.rerun else "none", "profile": plan.profile.name,
        "judge": plan.judge.name, "alpha": f"{verdict.alpha:g}", "scale": plan.scale.name, "device": came.device,
        "isolation": came.isolation, "openassay": came.openassay, "python": came.python, "platform": came.platform,
    } | came.packages  # fmt: skip
    began = milliseconds(came.started_at) if came.started_at and not came.num_reused else end
    return _Run(
        name=f"audit: {verdict.outcome.value}{weaker(verdict.outcome, verdict.basis)}", tags=tags, params=params,
        curves={key: ((0, value),) for key, value in _figures(verdict).items() if value is not None},
        note=described(verdict, plan.release.title), start=began, end=end,
        inputs=tuple(of for of in audit.artifacts if of.fetched),
    )  # fmt: skip


def _audit_tags(outcome: Outcome, basis: Sequence[str], reason: str, plan_digest: str, rules: str) -> dict[str, str]:
    return {
        "role": "audit", "outcome": outcome.value, "basis": ",".join(basis), "plan_digest": plan_digest,
        "rules_version": rules, "reason": reason,
    }  # fmt: skip


def _figures(verdict: ReleaseVerdict) -> dict[str, float | None]:
    score, cpu_s = verdict.score, verdict.provenance.cpu_s
    figures = {"coverage": score.coverage, "score": score.value, "cpu_s": cpu_s}
    return figures | {f"share_{of.tier}": of.share for of in verdict.tiers}


def _mirror_summary(shown: _Shown, target: str, of: EarlierAudit) -> None:
    """The run of an audit whose records are no longer there: history keeps its outcome and its claims'."""
    tags = {"audit": of.name, "target": target} | _audit_tags(
        of.outcome, of.basis, of.reason, of.plan_digest, of.rules_version
    )
    tags |= {f"claim.{claim}"[:250]: outcome.value for claim, outcome in of.claims.items()}
    figures = {"score": of.score, "coverage": of.coverage}
    kept = "Only what history.jsonl keeps: a later audit replaced its records."
    note = f"**{of.outcome.value}**\n\n{in_markdown(of.reason)}\n\n{kept}"
    end = milliseconds(of.finished_at)
    wanted = _Run(
        name=f"audit: {of.outcome.value}{weaker(of.outcome, of.basis)}", tags=tags, note=note, start=end, end=end,
        curves={key: ((0, value),) for key, value in figures.items() if value is not None},
    )  # fmt: skip
    shown.audits[of.name] = shown.put(shown.audits.get(of.name), wanted)


def described(verdict: ReleaseVerdict, title: str) -> str:
    """The verdict in Markdown."""
    different = "; ".join(of.what for of in verdict.deviations)
    score = "none" if verdict.score.value is None else f"{verdict.score.value:.2f}"
    lines = [
        f"**{verdict.outcome.value}**{weaker(verdict.outcome, verdict.basis)}: {in_markdown(title)}", "",
        f"{in_markdown(verdict.in_words or verdict.reason)}.", "",
        *([f"What was different: {in_markdown(different)}.", ""] if different else []),
        f"Score {score} at {100 * verdict.score.coverage:.0f} % coverage. {in_markdown('; '.join(beside(verdict)))}", "",
        "| claim | published | difference | verdict |", "|---|---|---|---|",
    ]  # fmt: skip
    for claim in verdict.claims:
        difference = "–" if claim.difference is None else f"{claim.difference:+.3g}"
        cells = (claim.id, f"{claim.published.value:g} ± {claim.tolerance.margin:g}", difference, headline(claim))
        lines.append("| " + " | ".join(in_markdown(cell) for cell in cells) + " |")
    plan = f"Plan {verdict.plan_digest[:16]}, rules {verdict.rules_version}, {verdict.provenance.finished_at}."
    lines += ["", plan]
    return "\n".join(lines)


def _recipe(plan: Plan, arm: Arm | None) -> dict[str, str]:
    """The main values of an arm's recipe, by dotted name."""
    driver = plan.rerun
    if driver is None:
        return {}
    runs = [run.parameters for run in driver.release_runs() if run.stage == "rerun"]
    found = flat({"recipe": driver.display({}).recipe} | (runs[0] if runs else {}))
    changed = (arm.parameters | {f"recipe.{key}": value for key, value in arm.set.items()}) if arm else {}
    return found | flat(changed)


def flat(value: object, name: str = "") -> dict[str, str]:
    """Nested values by dotted name; a list as JSON, and nothing for what is null."""
    if isinstance(value, dict):
        parts = [flat(of, f"{name}.{key}" if name else str(key)) for key, of in value.items()]
        return {key: of for part in parts for key, of in part.items()}
    if value is None:
        return {}
    return {name: value if isinstance(value, str) else json.dumps(to_plain(value), ensure_ascii=False)}


def milliseconds(time: str) -> int:
    """An ISO 8601 time as MLflow counts it."""
    return round(1000 * datetime.fromisoformat(time).timestamp())
