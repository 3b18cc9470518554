"""Mirrors the records of an audit into MLflow: with tracking off, or its server lost, nothing else changes.

One experiment a target. Runs are flat and tagged (`audit`, `role`, `arm`, `seed`, `outcome`), because nested runs stay collapsed
in the chart view: a run for the audit, one for each rerun (`role` seed or control) with its curve, and one for each published
value (`role` claim), so that the chart overlays it. What is there is never deleted: a run that is mirrored again keeps its
tags and notes, and gets ours anew.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from filelock import FileLock

from openassay.core.rerun_records import Rerun, RerunStatus
from openassay.core.tier_verdicts import tier_words
from openassay.core.verdict import weaker
from openassay.core.verdict_records import ReleaseVerdict
from openassay.faults import Fault, printable
from openassay.sources.download import within, without_credentials
from openassay.sources.fetched import Interrupted

T = TypeVar("T")
ENVIRONMENT_VARIABLE = "MLFLOW_TRACKING_URI"
PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "25", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
"""Of one request, where the user's variables say nothing: a server that answers nothing is given up within a minute."""
MOST_RUNS = 50_000
"""Of one audit that are looked up: the most that MLflow gives at once."""
DEADLINE_S = 600.0
"""For all that is asked of a server: one that answers slowly must not keep an audit."""


class TrackingLost(Fault):
    """The tracking server does not take the runs; the records and the report are complete."""


def tracking_uri(root: Path, configured: str | None) -> str:
    """The address of the runs: `MLFLOW_TRACKING_URI`, else the configured one, else `mlflow.db` in the project's root."""
    return os.environ.get(ENVIRONMENT_VARIABLE) or configured or f"sqlite:///{root.absolute() / 'mlflow.db'}"


def served_at(uri: str, port: int = 5000) -> str:
    """Where the runs can be opened: the tracking server's own address, or that of `openassay dashboard` on this machine."""
    at_server = uri.startswith(("http://", "https://"))
    return without_credentials(uri).rstrip("/") if at_server else f"http://127.0.0.1:{port}"


def chart_path(experiment_id: str, audit: str) -> str:
    """The path of one audit's chart view on an MLflow server (the experiment's plain address opens another page)."""
    chosen = quote(f"tags.audit = '{audit}'")
    view = f"workflowType=machine_learning&compareRunsMode=CHART&searchFilter={chosen}"
    return f"/#/experiments/{quote(experiment_id)}/runs?{view}"


def experiment_id(root: Path, configured: str | None, target: str) -> str | None:
    """The id of a target's experiment; None when it was never tracked. Raises `TrackingLost` as `track` does."""
    name = experiment_name(target)
    experiment = _ask(tracking_uri(root, configured), lambda client: client.get_experiment_by_name(name))
    return None if experiment is None else str(experiment.experiment_id)


def experiment_name(target: str) -> str:
    """The MLflow experiment of a target."""
    return f"openassay/{target}"


def track(
    verdict: ReleaseVerdict, runs: dict[str, tuple[Rerun, ...]], report: Path, root: Path, configured: str | None
) -> str:
    """Mirror one audit into MLflow; returns the experiment's id. Raises `TrackingLost` when the server does not take it."""
    uri = tracking_uri(root, configured)
    return _ask(uri, lambda client: _track(client, verdict, runs, report, root, uri))


def _ask(uri: str, do: Callable[[Any], T]) -> T:
    """What the server answers; `TrackingLost` where it takes too long, or nothing."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - mlflow takes seconds to import
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    try:
        return within(DEADLINE_S, lambda: do(_client(uri)))
    except (MlflowException, SQLAlchemyError, OSError, Interrupted, ImportError) as error:
        said = str(error) or type(error).__name__
        if isinstance(error, ImportError):
            said += "; install the driver that this address needs beside OpenAssay"
        message = f"MLflow at {uri} does not take the runs: {printable(said.splitlines()[0])[:500]}"
        raise TrackingLost(without_credentials(message)) from None


def _client(uri: str) -> Any:
    warnings.filterwarnings("ignore")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    from mlflow.tracking import MlflowClient  # noqa: PLC0415

    if not uri.startswith("sqlite:///"):
        return MlflowClient(tracking_uri=uri)
    # Two processes that make the same fresh database at once break it.
    path = Path(uri.removeprefix("sqlite:///"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    return client


def audit_name(verdict: ReleaseVerdict) -> str:
    """One audit's name: the plan that was frozen, and when its first rerun began."""
    return f"{verdict.plan_digest[:8]} {verdict.provenance.started_at or verdict.provenance.finished_at}"


def _track(
    client: Any, verdict: ReleaseVerdict, runs: dict[str, tuple[Rerun, ...]], report: Path, root: Path, uri: str
) -> str:
    experiment = _experiment(client, verdict.target, root, uri)
    common = {"audit": audit_name(verdict), "target": verdict.target}
    runs_of = _RunsOf(client, experiment, common)
    # The chart shows the newest ten runs: the published values are made last, and before them the seeds, the first one last.
    _track_audit(runs_of, verdict, report)
    controls = {control.arm for control in verdict.controls}
    for arm, of in sorted(runs.items(), key=lambda item: item[0] not in controls):
        for rerun in reversed(of):
            role = "control" if arm in controls else "seed"
            tags = {"role": role, "arm": arm, "seed": str(rerun.seed), "status": rerun.status.value}
            finals = {f"final_{m.metric}": ((0, m.value),) for m in rerun.measurements if m.value is not None}
            ended = "FINISHED" if rerun.status is RerunStatus.FINISHED else "FAILED"
            runs_of.mirror(f"{arm}: seed {rerun.seed}", tags, finals | rerun.curves, ended)
    for claim in reversed(verdict.claims):
        tags = {
            "role": "claim", "claim": claim.id, "outcome": claim.outcome.value, "shown": ",".join(claim.shown),
            "tier": claim.tier, "why": claim.why or "", "estimand": claim.estimand, "basis": ",".join(claim.basis),
        }  # fmt: skip
        steps = {step for of in runs.values() for rerun in of for step, _ in rerun.curves.get(claim.metric, ())}
        # The published value as a line from the first to the last step of the reruns' curves, and as a bar at step 0.
        line = tuple((step, claim.published.value) for step in sorted({min(steps), max(steps)})) if steps else ()
        published = {f"final_{claim.metric}": ((0, claim.published.value),), claim.metric: line}
        runs_of.mirror(f"published: {claim.id}", tags, published)
    return experiment


Curves = dict[str, tuple[tuple[int, float], ...]]


class _RunsOf:
    """The runs of one audit: those that are there already are told from each other by role, arm, seed and claim."""

    def __init__(self, client: Any, experiment: str, common: dict[str, str]) -> None:
        self.client, self.experiment, self.common = client, experiment, common
        found = client.search_runs([experiment], f"tags.audit = '{common['audit']}'", max_results=MOST_RUNS)
        self.there = {self._key(run.data.tags): run.info for run in found}

    @staticmethod
    def _key(tags: dict[str, str]) -> tuple[str, ...]:
        return tuple(tags.get(name, "") for name in ("role", "arm", "seed", "claim"))

    def mirror(self, name: str, tags: dict[str, str], curves: Curves, ended: str = "FINISHED") -> str:
        """The id of a run with these tags and curves; of one that is there already and has ended, the tags alone are set."""
        tags = {key: printable(value) for key, value in (self.common | tags).items()}
        there = self.there.get(self._key(tags))
        if there is None:
            run = str(self.client.create_run(self.experiment, run_name=printable(name), tags=tags).info.run_id)
        else:
            run = str(there.run_id)
            for key, value in ({"mlflow.runName": printable(name)} | tags).items():
                self.client.set_tag(run, key, value)
        if there is None or there.status == "RUNNING":
            _log(self.client, run, curves)
            self.client.set_terminated(run, status=ended)
        return run


def _experiment(client: Any, target: str, root: Path, uri: str) -> str:
    name = experiment_name(target)
    with FileLock(root / "mlflow.db.lock"):
        found = client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        local = uri.startswith("sqlite:///")
        location = (root / "mlartifacts" / target).absolute().as_uri() if local else None
        return str(client.create_experiment(name, artifact_location=location))


def _track_audit(runs_of: _RunsOf, verdict: ReleaseVerdict, report: Path) -> None:
    outcome, basis = verdict.outcome.value, ",".join(verdict.basis)
    name = f"audit: {outcome}{weaker(verdict.outcome, verdict.basis)}"
    tags = {"role": "audit", "outcome": outcome, "basis": basis, "in_words": verdict.in_words}
    tags["deviations"] = "; ".join(of.what for of in verdict.deviations)
    if openness := verdict.openness:
        tags |= {"osaid": openness.osaid.outcome, "mof": openness.mof.label}
    tags |= {f"tier.{of.tier}": tier_words(of) or of.outcome.value for of in verdict.tiers if of.num_claims}
    figures = {"coverage": verdict.score.coverage, "cpu_s": verdict.provenance.cpu_s, "score": verdict.score.value}
    figures |= {f"share_{of.tier}": of.share for of in verdict.tiers}
    tags |= {"plan_digest": verdict.plan_digest, "rules_version": verdict.rules_version}
    tags["reason"] = printable(verdict.reason)[:500]
    run = runs_of.mirror(name, tags, {})
    # also of a run that is there: judged again, the same reruns may give other figures
    _log(runs_of.client, run, {key: ((0, value),) for key, value in figures.items() if value is not None})
    runs_of.client.log_artifact(run, str(report))


def _log(client: Any, run: str, curves: Curves) -> None:
    """Log all points of a run in batches: one call a point takes seconds."""
    from mlflow.entities import Metric  # noqa: PLC0415

    at = int(time.time() * 1000)
    points = [Metric(name, value, at, step) for name, curve in curves.items() for step, value in curve]
    for start in range(0, len(points), 1000):
        client.log_batch(run, metrics=points[start : start + 1000])
