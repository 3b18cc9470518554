"""Mirrors audits into MLflow, and says where to open them: with tracking off, or its server lost, nothing else changes.

Here: the server, what is asked of it, and addresses of its pages. `mirror`: an audit's runs and its version of the target's
registered model. `exchange`: reviews, both ways.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from filelock import FileLock

from openassay.faults import Fault, printable
from openassay.layout import Layout, cache_home
from openassay.records import digest
from openassay.sources.download import within, without_credentials
from openassay.sources.fetched import Interrupted

T = TypeVar("T")
ENVIRONMENT_VARIABLE = "MLFLOW_TRACKING_URI"
SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
"""Variables by which MLflow logs in; their values are never shown."""
MANNERS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "25", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}  # fmt: skip
"""Of MLflow, where the user's variables say nothing: it gives up a server that answers nothing within a minute, and prints no
links of each run."""
DATABASE_PATIENCE_S = 25
DEADLINE_S = 600.0
"""For all that is asked of a server: one that answers slowly must not keep an audit."""


AUDITS = "openassay-audits"
AUDITS_VIEW = {
    f"mlflow.sharedViewState.{AUDITS}": json.dumps({
        "searchFilter": "tags.role = 'audit'", "orderByKey": "attributes.start_time", "orderByAsc": False,
        "selectedColumns": [
            "tags.`outcome`", "tags.`review`", "metrics.`score`", "metrics.`coverage`", "tags.`in_words`",
            "tags.`deviations`",
        ],
    })
}  # fmt: skip
"""A view that MLflow keeps with an experiment, as its own button "share" does: all audits, with their main columns."""


class TrackingLost(Fault):
    """The tracking server does not take the runs; the records and the report are complete."""


def tracking_uri(root: Path, configured: str | None) -> str:
    """The address of the runs: `MLFLOW_TRACKING_URI`, else the configured one, else `mlflow.db` in the project's root."""
    return os.environ.get(ENVIRONMENT_VARIABLE) or configured or f"sqlite:///{root.absolute() / 'mlflow.db'}"


def is_server(uri: str) -> bool:
    """Whether runs are sent to a server, which also shows them; else they lie in a database, and `openassay dashboard` does."""
    return uri.startswith(("http://", "https://"))


def served_at(uri: str, port: int = 5000) -> str:
    """Where the runs can be opened: the tracking server's own address, or that of `openassay dashboard` on this machine."""
    return without_credentials(uri).rstrip("/") if is_server(uri) else f"http://127.0.0.1:{port}"


def experiment_name(target: str) -> str:
    """The MLflow experiment of a target."""
    return f"openassay/{target}"


def model_name(target: str) -> str:
    """The registered model of a target, whose versions are its audits (MLflow takes no / in such a name)."""
    return f"openassay-{target}"


def chart_path(experiment_id: str, audit: str) -> str:
    """The path of one audit's chart view on an MLflow server: reruns and published values, without the audit's own figures."""
    return _runs_path(experiment_id, f"tags.audit = '{audit}' and tags.role != 'audit'", "CHART")


def audits_path(experiment_id: str) -> str:
    """The path of the table of all audits of a target, the newest first."""
    return f"/#/experiments/{quote(experiment_id)}/runs?{_TRAINING}&compareRunsMode=TABLE&viewStateShareKey={AUDITS}"


def model_path(target: str) -> str:
    """The path of the registered model whose versions are a target's audits."""
    return f"/#/models/{quote(model_name(target))}?{_TRAINING}"


def waiting_path(experiments: Sequence[str]) -> str:
    """The path of the table of the newest audits, of several targets, that nobody has approved or contested."""
    return _several_path(experiments, "tags.role = 'audit' and tags.review = 'waiting'")


def not_reproduced_path(experiments: Sequence[str], since: datetime) -> str:
    """The path of the table of audits, of several targets, that said NOT_REPRODUCED since a date."""
    at = int(since.timestamp() * 1000)
    chosen = f"tags.role = 'audit' and tags.outcome = 'NOT_REPRODUCED' and attributes.end_time >= {at}"
    return _several_path(experiments, chosen)


_TRAINING = "workflowType=machine_learning"
"""Opens the pages for the training of models: MLflow's own default is those for language models' traces."""


def _runs_path(experiment_id: str, chosen: str, mode: str) -> str:
    return f"/#/experiments/{quote(experiment_id)}/runs?{_TRAINING}&compareRunsMode={mode}&{_search(chosen)}"


def _several_path(experiments: Sequence[str], chosen: str) -> str:
    if len(experiments) == 1:  # of one, MLflow forgets the filter
        return _runs_path(experiments[0], chosen, "TABLE")
    return f"/#/compare-experiments/s?experiments={quote(json.dumps(list(experiments)))}&{_TRAINING}&{_search(chosen)}"


def _search(chosen: str) -> str:
    return f"searchFilter={quote(chosen)}&orderByKey=attributes.start_time&orderByAsc=false"


def experiment_ids(root: Path, configured: str | None, targets: Sequence[str]) -> dict[str, str]:
    """The ids of those targets' experiments that were tracked. Raises `TrackingLost` as `ask` does."""

    def look(client: Any) -> dict[str, str]:
        found = {target: client.get_experiment_by_name(experiment_name(target)) for target in targets}
        return {target: str(of.experiment_id) for target, of in found.items() if of is not None}

    return ask(tracking_uri(root, configured), look)


def ask(uri: str, do: Callable[[Any], T]) -> T:
    """What the server answers; `TrackingLost` where it takes too long, or nothing, or is not to be had."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - mlflow takes seconds to import
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    try:
        return within(DEADLINE_S, lambda: do(_client(uri)))
    except (MlflowException, SQLAlchemyError, OSError, Interrupted, ImportError) as error:
        said = str(error) or type(error).__name__
        if isinstance(error, ImportError):
            said += "; install the driver that this address needs beside OpenAssay"
        message = without_credentials(
            f"MLflow at {uri} does not take the runs: {printable(said.splitlines()[0])[:500]}"
        )
        for secret in filter(None, map(os.environ.get, SECRETS)):
            message = message.replace(secret, "***")
        raise TrackingLost(message) from None


def _client(uri: str) -> Any:
    warnings.filterwarnings("ignore")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for name, value in MANNERS.items():
        os.environ.setdefault(name, value)
    from mlflow.tracking import MlflowClient  # noqa: PLC0415

    if not uri.startswith("sqlite:///"):
        _look_at(uri)
        return MlflowClient(tracking_uri=uri)
    # Two processes that make the same fresh database at once break it.
    path = Path(uri.removeprefix("sqlite:///"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    return client


def _look_at(uri: str) -> None:
    """Open a database once: MLflow tries one that is not to be had again and again, for hours."""
    if uri.startswith(("postgresql", "mysql", "mssql")):
        from sqlalchemy import create_engine  # noqa: PLC0415

        waits = {} if uri.startswith("mssql") else {"connect_timeout": DATABASE_PATIENCE_S}
        engine = create_engine(uri, connect_args=waits)
        engine.connect().close()
        engine.dispose()


@contextmanager
def alone(layout: Layout) -> Iterator[None]:
    """Hold the lock on a target's mirror: two that mirror the same audit at once would each make its runs."""
    folder = cache_home() / "tracking"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{digest([str(layout.root.resolve()), layout.target])[:32]}.lock", timeout=DEADLINE_S):
        yield
