"""Shows audits in MLflow, keeps it as the records are, and takes reviews of them."""

from __future__ import annotations

import json
import os
import socket
import sys
import urllib.request
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Exit, Option

from openassay.cli.arguments import AsJson, OptionalTargets, TargetName, target_argument, the_layout
from openassay.faults import BadInput, Fault, counted, printable
from openassay.layout import Layout, find_root

if TYPE_CHECKING:
    from openassay.reviewing import AuditReview

REPLY = "A file with the words of the release's author (right of reply): text or Markdown"
BY = "Who says so; by default as git knows you"


def review(
    target: TargetName,
    *,
    approve: Annotated[bool, Option("--approve", help="The audit is as it should be")] = False,
    contest: Annotated[bool, Option("--contest", help="It is not; say why with --note")] = False,
    note: Annotated[str, Option(help="What to say of it")] = "",
    reply: Annotated[Path | None, Option(help=REPLY)] = None,
    by: Annotated[str, Option(help=BY)] = "",
    as_json: AsJson = False,
) -> None:
    """Review the last audit of a target, or show what was said of its audits.

    A review is a line of experiments/TARGET/reviews.jsonl, to be committed; no verdict changes by it. It is shown in the report,
    in `list` and `show` and in MLflow. There, reviews are made by the tags review (approved, contested), review_note and
    review_by of an audit's run, or by an alias of its version: the next audit, review or `openassay sync` takes them over.
    """
    from openassay.records import to_json
    from openassay.reviewing import reviews

    layout = the_layout(target)
    words = [
        word for word, given in (("approve", approve), ("contest", contest), ("reply", reply is not None)) if given
    ]
    if len(words) > 1:
        raise BadInput(f"review: --{words[0]} and --{words[1]}: give one of them")
    if words or note:
        _add(layout, words[0] if words else "note", note, reply, by)
    said = reviews(layout.root, layout.target)
    if as_json:
        for of in said:
            print(to_json(of, indent=None))
        return
    for of in said:
        print(in_words(of))
    if not said:
        print(f"{target}: nobody has reviewed an audit of it yet")


def in_words(of: AuditReview) -> str:
    """A review for a terminal, in one line."""
    said = {"approve": "approved", "contest": "contested", "note": "noted", "reply": "reply of the release's author"}[
        of.word
    ]
    text = f": {printable(of.text)}" if of.text else ""
    return f"{of.at}  {said} by {printable(of.by)} (audit {of.audit}, {of.outcome.value}){text}"


def _add(layout: Layout, word: Any, note: str, reply: Path | None, by: str) -> None:
    from openassay.core.verdict_records import ReleaseVerdict
    from openassay.provenance import now
    from openassay.records import read_record
    from openassay.reviewing import MOST_LETTERS, AuditReview, add, name_of, who
    from openassay.seals import check
    from openassay.stages import report

    path, own = layout.latest(layout.verdict), layout.verdict.is_file()
    if not path.is_file():
        raise BadInput(f"{layout.target}: not audited yet; run `openassay audit {layout.reference}` first")
    if own:
        check(layout)
    text = note
    if reply:
        try:
            text = reply.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise BadInput(f"{reply}: expected text (UTF-8), as which it cannot be read") from None
    if len(text) > MOST_LETTERS or (reply and not text.strip()):
        raise BadInput(f"review: expected a text of 1 to {MOST_LETTERS} letters, found {len(text)}")
    verdict = read_record(path, ReleaseVerdict)
    made = AuditReview(
        at=now(), by=by or who(layout.root), word=word, text=text, audit=name_of(verdict), outcome=verdict.outcome,
        via="command", seen="",
    )  # fmt: skip
    add(layout, made)
    if own:
        report.write_page(layout)
    print(f"kept in {layout.shown(layout.reviews)}, to be committed", file=sys.stderr)
    _mirror_review(layout)


def _mirror_review(layout: Layout) -> None:
    """Show a review in MLflow, where audits are mirrored; a server that is lost is a warning."""
    from openassay import tracking

    configured = _configured(layout.root)
    uri = tracking.tracking_uri(layout.root, configured)
    if _is_off(layout.root) or (uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists()):
        return
    try:
        _mirror(layout, configured, published=False)
    except tracking.TrackingLost as problem:
        print(f"warning: {problem}; `openassay sync {layout.reference}` shows it there later", file=sys.stderr)


def sync(
    targets: OptionalTargets = None,
    *,
    published: Annotated[bool, Option(help="Also mirror committed records, where this machine has made none")] = False,
) -> None:
    """Bring what follows from the records up to date: the pipelines that plain `dvc repro` needs, and MLflow.

    Each audit that the records and history know is in MLflow once, whatever a lost, killed or new server holds; nothing that is
    there is deleted. Reviews are exchanged. Of targets that are named, committed records are mirrored too.

    Exit status: 0; 2 where a target's records cannot be read, which is named; the others are mirrored.
    """
    from openassay import tracking
    from openassay.project import layouts, target_names

    root = find_root()
    if not targets:
        _write_pipelines(root)
    if _is_off(root):
        return
    configured, mirrored, failed = _configured(root), 0, False
    for layout in layouts(root, targets or sorted(_recorded(root, target_names(root), published))):
        try:
            found = _mirror(layout, configured, published=published or bool(targets))
        except tracking.TrackingLost:
            raise
        except Fault as problem:  # of this target's records alone
            print(f"error: {printable(str(problem))}", file=sys.stderr)
            failed = True
            continue
        if found:
            print(f"{layout.target}: {counted(found, 'audit')} in MLflow")
            mirrored += 1
        elif targets:
            print(f"{layout.target}: not audited yet")
    if mirrored:
        uri = tracking.tracking_uri(root, configured)
        print(f"open: {tracking.served_at(uri)}" if tracking.is_server(uri) else "open: openassay dashboard")
    if failed:
        raise Exit(BadInput.exit_code)


def _recorded(root: Path, names: list[str], published: bool) -> set[str]:
    """The targets that this machine has audited; with those that others have."""
    there = {name for name in names if (of := Layout(root, name)).verdict.is_file() or of.history.is_file()}
    return there | (
        {name for name in names if (Layout(root, name).published / "verdict.json").is_file()} if published else set()
    )


def _write_pipelines(root: Path) -> None:
    from openassay.pipeline import link_package, without_target, write_pipeline
    from openassay.project import index, layouts
    from openassay.target import read_target

    link_package(root)
    for layout in layouts(root, index(root)):
        if write_pipeline(layout, read_target(layout)):
            print(f"written: {layout.shown(layout.pipeline)}")
    for path in without_target(root):
        print(f"{path}: its target is gone. Delete this folder: plain `dvc repro` fails on it")


def _mirror(layout: Layout, configured: str | None, *, published: bool) -> int:
    """Mirror all audits of a target that its records know; returns how many."""
    from openassay.plan import read_plan
    from openassay.reviewing import audit_name, name_of, reviews
    from openassay.schedule import history
    from openassay.seals import check
    from openassay.stages import report
    from openassay.tracking.mirror import Audit, EarlierAudit, track

    whole: dict[str, Audit] = {}
    if layout.verdict.is_file():
        check(layout)
        found = report.audit_of(report.read_evidence(read_plan(layout), layout), layout)
        whole[name_of(found.verdict)] = found
    if (published or not whole) and (other := report.published_audit(layout)):
        whole.setdefault(name_of(other.verdict), other)
    known = {
        audit_name(of.plan_digest, of.finished_at): EarlierAudit(
            name=audit_name(of.plan_digest, of.finished_at), outcome=of.outcome, basis=of.basis, reason=of.reason,
            finished_at=of.finished_at, plan_digest=of.plan_digest, rules_version=of.rules_version, score=of.score,
            coverage=of.coverage, claims=of.claims,
        )
        for of in history(layout)
    }  # fmt: skip
    audits = known | whole
    if audits:
        before = reviews(layout.root, layout.target)
        track(layout, configured, list(audits.values()))
        if layout.verdict.is_file() and reviews(layout.root, layout.target) != before:
            report.write_page(layout)
    return len(audits)


def _configured(root: Path) -> str | None:
    """The address of the runs that the project's settings name."""
    from openassay.settings import compose

    uri = compose(root).tracking.get("uri")
    return str(uri) if uri else None


def _is_off(root: Path) -> bool:
    from openassay.settings import compose

    return bool(compose(root).tracking.get("kind") == "none")


def dashboard(
    target: Annotated[str | None, target_argument("Print the links to this target's audits only")] = None,
    *,
    port: Annotated[int, Option(help="Port on 127.0.0.1")] = 5000,
    since: Annotated[
        str, Option(metavar="DATE", help="NOT_REPRODUCED since then (2026-11-01); 90 days ago by default")
    ] = "",
    mirror: Annotated[
        bool, Option("--sync", help="First mirror the records, committed ones too, as `openassay sync` does")
    ] = False,
) -> None:
    """Print links that open the audits in MLflow, and start its server on this machine where none is in use.

    A server that already shows these audits is used. With MLFLOW_TRACKING_URI, or tracking=server, the links lead there.
    """
    from openassay import tracking
    from openassay.core.verdict_records import ReleaseVerdict
    from openassay.project import layouts, target_names
    from openassay.records import read_record
    from openassay.reviewing import name_of

    root = find_root()
    day = _day(since)
    chosen = layouts(root, [target] if target else target_names(root))
    configured = _configured(root)
    uri = tracking.tracking_uri(root, configured)
    running = not tracking.is_server(uri) and _is_running(uri, port)
    if mirror:
        with suppress(Exit):  # for records that cannot be read, which are named again below
            sync([layout.reference for layout in chosen], published=True)
    names = [layout.target for layout in chosen if layout.latest(layout.verdict).is_file()]
    found, server = tracking.experiment_ids(root, configured, names), tracking.served_at(uri, port)
    for layout in chosen:
        name = layout.target
        if name in found:
            try:
                audit = name_of(read_record(layout.latest(layout.verdict), ReleaseVerdict))
            except Fault as problem:
                print(f"{name}: {printable(str(problem))}")
                continue
            print(f"{name}: {server}{tracking.chart_path(found[name], audit)}")
            print(f"  all audits: {server}{tracking.audits_path(found[name])}")
            print(f"  versions and aliases: {server}{tracking.model_path(name)}")
        elif name in names:
            print(f"{name}: its records are not in MLflow; `openassay sync {layout.reference}` mirrors them")
        elif target:
            print(f"{name}: not audited yet; run `openassay audit {layout.reference}`")
    if without := [layout.target for layout in chosen if layout.target not in names and not target]:
        print(f"without records: {', '.join(without)}")
    if found:
        ids = sorted(found.values(), key=int)
        print(f"waiting for a review: {server}{tracking.waiting_path(ids)}")
        print(f"NOT_REPRODUCED since {day:%Y-%m-%d}: {server}{tracking.not_reproduced_path(ids, day)}")
    sys.stdout.flush()
    if running:
        print(f"an MLflow server shows these audits at {server} already", file=sys.stderr)
    elif not tracking.is_server(uri):
        _serve(root, uri, port)


def _day(since: str) -> datetime:
    try:
        found = datetime.fromisoformat(since) if since else datetime.now(UTC) - timedelta(days=90)
    except ValueError:
        raise BadInput(f"--since: expected a date such as 2026-11-01, found {since!r}") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _is_running(uri: str, port: int) -> bool:
    """Whether an MLflow server at this port shows the runs of this database; `BadInput` where the port is somebody else's."""
    from openassay import tracking

    with socket.socket() as asked:
        asked.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            asked.bind(("127.0.0.1", port))
        except OSError as error:
            problem = error.strerror
        else:
            return False
    other = BadInput(f"--port: expected a free port, found {port} ({problem}); name another one: --port {port + 1}")
    address = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get?experiment_id=0"
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            there = json.loads(answer.read(100_000))["experiment"]
    except (OSError, ValueError, LookupError, TypeError):
        raise other from None
    ours = tracking.ask(uri, lambda client: client.get_experiment("0"))
    if str(there.get("creation_time")) != str(ours.creation_time):
        raise BadInput(f"--port: an MLflow server with other runs is at {port}; name another one: --port {port + 1}")
    return True


def _serve(root: Path, uri: str, port: int) -> None:
    """Let MLflow's server take this process's place, and its signals."""
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--workers", "1"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    variables = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "ignore"}
    os.chdir(root)
    os.execve(command[0], command, variables)  # noqa: S606
