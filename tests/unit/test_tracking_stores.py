"""MLflow with other stores: PostgreSQL and an S3-compatible store, real ones, and a server that is killed in the middle.

They need `pip install 'openassay[stores]'` (psycopg, moto's server) and PostgreSQL's programs; without them the tests are skipped.
"""

from __future__ import annotations

import glob
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from releases.commands import LONG_S
from releases.miniature import add_release, make_project
from releases.stages import audit
from users import PLAIN, SETPRIV

from openassay import tracking
from openassay.layout import Layout
from openassay.plan import read_plan
from openassay.reviewing import AuditReview, add, name_of, reviews
from openassay.stages import report
from openassay.tracking import mirror

POSTGRES = shutil.which("initdb") or next(
    iter(sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), reverse=True)), None
)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def started(command: list[str], address: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server, from when it answers at an address."""
    server = subprocess.Popen(
        command,
        env=os.environ | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        ends = time.monotonic() + LONG_S
        while True:
            try:
                urllib.request.urlopen(address, timeout=5).close()  # noqa: S310 - it is of this machine
            except OSError:
                assert server.poll() is None, f"{command} has ended"
                assert time.monotonic() < ends, f"{address} does not answer"
                time.sleep(0.3)
            else:
                break
        yield server
    finally:
        end(server)


def end(server: subprocess.Popen[bytes]) -> None:
    """Kill a server and the processes that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait(LONG_S)


def mlflow_server(store: str, port: int, *more: str) -> list[str]:
    start = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--workers", "1"]
    return [*start, "--host", "127.0.0.1", "--port", str(port), *more]


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory, session_cache: Path) -> Layout:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENASSAY_CACHE", str(session_cache))
        root = make_project(tmp_path_factory.mktemp("stores"))
        patch.chdir(root)
        layout = add_release(root, "honest")
        audit(layout)
    return layout


def of(layout: Layout) -> mirror.Audit:
    return report.audit_of(report.read_evidence(read_plan(layout), layout), layout)


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a database of a PostgreSQL server of its own."""
    psycopg = pytest.importorskip("psycopg", reason="needs psycopg: pip install 'openassay[stores]'")
    if POSTGRES is None:
        pytest.skip("needs PostgreSQL's programs (initdb)")
    folder, port = Path(tempfile.mkdtemp()), free_port()  # a plain user may not read where pytest's folders lie
    as_user: list[str] = []
    if os.getuid() == 0:  # PostgreSQL refuses root
        os.chown(folder, PLAIN, PLAIN)
        as_user = SETPRIV
    try:
        (folder / "word").write_text("s3cr3t")
        (folder / "word").chmod(0o644)
        make = [POSTGRES, "-D", f"{folder}/data", "-U", "ann", "-A", "scram-sha-256", "--pwfile", f"{folder}/word"]
        subprocess.run([*as_user, *make], check=True, capture_output=True, cwd=folder, timeout=LONG_S)
        run = [
            f"{Path(POSTGRES).parent}/postgres",
            "-D",
            f"{folder}/data",
            "-p",
            str(port),
            "-k",
            str(folder),
            "-c",
            "fsync=off",
        ]
        server = subprocess.Popen([*as_user, *run], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        address = f"postgresql://ann:s3cr3t@127.0.0.1:{port}/postgres"
        for _ in range(100):
            try:
                psycopg.connect(address).close()
                break
            except psycopg.OperationalError:
                time.sleep(0.3)
        yield address
        server.send_signal(signal.SIGINT)
        server.wait(LONG_S)
    finally:
        shutil.rmtree(folder)


def test_a_postgresql_database_takes_audits_once_and_gives_reviews_back(
    layout: Layout, postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(tracking.ENVIRONMENT_VARIABLE, postgresql)
    monkeypatch.chdir(layout.root)  # MLflow's artifacts of a database without a server lie where it is called
    layout.reviews.unlink(missing_ok=True)
    for _ in range(2):
        experiment = mirror.track(layout, None, [of(layout)])
    client = MlflowClient(postgresql)
    found = client.search_runs([experiment])
    assert len(found) == 2 + sum(len(reruns) for reruns in of(layout).runs.values())
    (run,) = (one.info.run_id for one in found if one.data.tags["role"] == "audit")
    client.set_tag(run, "review", "contested")
    mirror.track(layout, None, [of(layout)])
    assert [said.word for said in reviews(layout.root, "honest")] == ["contest"]


@pytest.mark.parametrize(
    ("change", "says"),
    [(("s3cr3t", "wr0ng"), "password authentication failed"), (("/postgres", "/none"), "does not exist")],
)
def test_a_database_that_refuses_is_one_line_at_once_and_tells_no_password(
    layout: Layout, postgresql: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    change: tuple[str, str], says: str,
) -> None:  # fmt: skip
    monkeypatch.setenv(tracking.ENVIRONMENT_VARIABLE, postgresql.replace(*change))
    found = report.read_evidence(read_plan(layout), layout)
    started_at = time.monotonic()
    report.track(replace(found, plan=replace(found.plan, tracking={"kind": "server", "uri": None})), layout)
    out, err = capfd.readouterr()
    assert says in err
    assert err.startswith("warning: MLflow at postgresql://127.0.0.1:")
    assert err.count("\n") == 1
    assert "s3cr3t" not in out + err
    assert "wr0ng" not in out + err
    assert time.monotonic() - started_at < LONG_S


def test_files_reach_an_s3_store_through_the_server(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boto3 = pytest.importorskip("boto3", reason="needs boto3: pip install 'openassay[stores]'")
    pytest.importorskip("moto.server", reason="needs moto's server: pip install 'openassay[stores]'")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "for-a-test")
    s3, port = f"http://127.0.0.1:{free_port()}", free_port()
    moto = [sys.executable, "-c", "import sys; from moto.server import main; main(sys.argv[1:])"]
    command = mlflow_server(f"sqlite:///{tmp_path}/m.db", port, "--artifacts-destination", "s3://audits")
    settings = {
        "MLFLOW_S3_ENDPOINT_URL": s3,
        "AWS_DEFAULT_REGION": "us-east-1",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with started([*moto, "-H", "127.0.0.1", "-p", s3.rpartition(":")[2]], f"{s3}/moto-api/"):
        store = boto3.client("s3", endpoint_url=s3, region_name="us-east-1")
        store.create_bucket(Bucket="audits")
        with started(command, f"http://127.0.0.1:{port}/health", **settings):
            monkeypatch.setenv(tracking.ENVIRONMENT_VARIABLE, f"http://127.0.0.1:{port}")
            mirror.track(layout, None, [of(layout)])
        kept = [one["Key"].rpartition("/")[2] for one in store.list_objects_v2(Bucket="audits")["Contents"]]
    assert sorted(kept) == ["plan.yaml", "report.html", "verdict.json"]


def test_a_server_that_is_killed_and_one_that_is_new_are_repaired_from_the_records(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    monkeypatch.setenv(tracking.ENVIRONMENT_VARIABLE, address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    layout.reviews.unlink(missing_ok=True)
    whole = of(layout)
    add(layout, AuditReview(
        at="2026-01-01T00:00:00Z", by="Ann", word="approve", text="", audit=name_of(whole.verdict), outcome=whole.verdict.outcome,
        via="command", seen="",
    ))  # fmt: skip
    command = mlflow_server(f"sqlite:///{tmp_path}/first.db", port, "--artifacts-destination", f"{tmp_path}/first")
    with started(command, f"{address}/health", **quiet) as server, monkeypatch.context() as patch:
        terminated = MlflowClient.set_terminated

        def killing(self: MlflowClient, *given: object, **named: object) -> None:
            end(server)
            terminated(self, *given, **named)

        patch.setattr(MlflowClient, "set_terminated", killing)
        with pytest.raises(tracking.TrackingLost):
            mirror.track(layout, None, [whole])
    for store in ("first", "second"):  # the one that was killed, again; and one that knows nothing
        command = mlflow_server(
            f"sqlite:///{tmp_path}/{store}.db", port, "--artifacts-destination", f"{tmp_path}/{store}"
        )
        with started(command, f"{address}/health", **quiet):
            for _ in range(2):
                experiment = mirror.track(layout, None, [whole])
            runs = MlflowClient(address).search_runs([experiment])
            assert len(runs) == 2 + sum(map(len, whole.runs.values()))
            assert {run.info.status for run in runs} == {"FINISHED"}
            assert [run.data.tags["review"] for run in runs if run.data.tags["role"] == "audit"] == ["approved"]
    assert len(reviews(layout.root, "honest")) == 1
