"""Audits: run them, and show what came of them."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from openassay.cli.arguments import OptionalTargets, TargetName, complete_targets
from openassay.faults import BadInput, printable
from openassay.layout import Layout, find_root


def audit(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TARGET|SETTING]...",
            help="Targets: a name of conf/target/, catalogue:NAME for one of OpenAssay's own, or the path of a file. Settings, "
            "as on Hydra's command line: judge=strict, profile.runs=50",
            autocompletion=complete_targets,
        ),
    ] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Every target of conf/target/")] = False,
    due: Annotated[
        str | None,
        typer.Option(
            metavar="AGE",
            help="Only what is due: never audited, older than AGE (12h, 30d, 4w), or its plan or its sources have changed",
        ),
    ] = None,
    profile: Annotated[str | None, typer.Option(help="The same as the setting profile=NAME")] = None,
    force: Annotated[
        bool, typer.Option(help="Run every stage again, even if nothing changed; reruns are kept")
    ] = False,
    publish: Annotated[
        bool, typer.Option(help="Then keep the records in experiments/TARGET/published/, to be committed")
    ] = False,
) -> None:
    """Audit releases: run the pipeline for them, as `dvc repro -s experiments/TARGET/dvc.yaml` does, and show the verdicts.

    One target's failure never stops the others. Exit status: 0 as before; 1 an outcome changed for the worse; 2 a target could
    not be audited (3 for a single target, where the fault is not in its file). experiments/summary.md and .json say what came
    out of several. Outside of a project, the path of a file is audited in a project of its own below the cache.
    """
    from openassay import schedule
    from openassay.new_project import project_for
    from openassay.new_project import publish as keep
    from openassay.project import index, layouts, target_names
    from openassay.settings import compose
    from openassay.target import read_target

    named = [word for word in targets or [] if "=" not in word]
    asked = tuple(word for word in targets or [] if "=" in word) + ((f"profile={profile}",) if profile else ())
    if bool(named) == every and (named or due is None):
        raise BadInput("audit: name targets, or give --all, or --due 30d; either names or --all")
    root = project_for(named)
    indexed = index(root)
    compose(root, asked)
    age = schedule.parse_age(due) if due is not None else None
    chosen = layouts(root, named or target_names(root))
    if named and due is None:
        for layout in chosen:  # what can be said before anything runs is said now
            read_target(layout)
    busy = "another round of audits is running in this project; wait for its end, then the same again"
    with ExitStack() as held:
        if every or due is not None:
            held.enter_context(schedule.alone(root, "schedule", busy, exit_code=2))
        summary = schedule.audit_all(
            root, chosen, asked, age=age, ask_upstream=due is not None, force=force, indexed=indexed
        )
        scheduled = every or due is not None or len(chosen) > 1
        markdown = None
        try:
            markdown = schedule.write_summary(root, summary)[0] if scheduled else None
        except OSError as problem:  # what was audited is audited, and the exit status says what came of it
            print(f"warning: no summary was written: {printable(str(problem))}", file=sys.stderr)
    done = {of.target for of in summary.targets if of.status == "audited"}
    audited = [layout for layout in chosen if layout.target in done]
    _show(audited)
    if publish:
        for layout in audited:
            print(f"published: {keep(layout)}")
    for of in summary.targets:
        for words in of.worse:
            print(f"worse than before: {of.target}: {printable(words)}", file=sys.stderr)
        if of.status == "fault" and len(chosen) > 1:
            print(f"could not be audited: {of.target}: {printable(of.message)}", file=sys.stderr)
    if markdown:
        print(f"summary: {markdown}")
    if summary.exit_code:  # of one target that was named: what its own fault says
        raise typer.Exit(summary.exit_code if scheduled else summary.targets[0].exit_status or summary.exit_code)


def history(
    target: TargetName,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON record a line")] = False,
) -> None:
    """Show the outcomes of all audits of a target, the oldest first."""
    from openassay import schedule
    from openassay.cli import terminal
    from openassay.cli.terminal import plain, styled
    from openassay.project import layouts
    from openassay.records import to_plain

    entries = schedule.history(layouts(find_root(), [target])[0])
    if as_json:
        for entry in entries:
            print(json.dumps(to_plain(entry), ensure_ascii=False))
        return
    console = terminal.console(120)
    table = terminal.table("finished", "outcome", "score", "why", "worse than before")
    for before, entry in zip([None, *entries], entries, strict=False):
        worse = schedule.got_worse(before, entry) if before else []
        table.add_row(
            entry.finished_at, styled(entry.outcome),
            "–" if entry.score is None else f"{entry.score:.2f}", plain(entry.why), plain("; ".join(worse)),
        )  # fmt: skip
    if entries:
        console.print(table)
    else:
        print(f"{target}: not audited yet")


def show(targets: OptionalTargets = None) -> None:
    """Show the verdicts of finished audits as a table."""
    from openassay.project import layouts, target_names

    root = find_root()
    _show(layouts(root, targets or target_names(root)))


def _show(layouts: list[Layout]) -> None:
    from openassay.cli import terminal
    from openassay.cli.terminal import plain, styled
    from openassay.core.verdict import headline
    from openassay.core.verdict_records import ReleaseVerdict
    from openassay.project import nearest_root
    from openassay.records import read_record

    console = terminal.console(120)
    table = terminal.table("target", "claim", "published", "reruns' mean", "difference, interval", "verdict")
    missing, lines = [], []
    for layout in layouts:
        name = layout.target
        path = layout.latest(layout.verdict)
        if not path.is_file():
            missing.append(name)
            continue
        verdict = read_record(path, ReleaseVerdict)
        for claim in verdict.claims:
            given = sum(value is not None for value in claim.runs[: claim.runs_used])
            interval = f", {claim.interval[0]:+.3g} to {claim.interval[1]:+.3g}" if claim.interval else ""
            tested = claim.difference is not None
            table.add_row(
                name, plain(claim.id), f"{claim.published.value:g} ± {claim.tolerance.margin:g}",
                f"{claim.published.value + claim.difference:.5g} of {given}" if claim.difference is not None else "–",
                f"{claim.difference:+.3g}{interval}" if tested else "–",
                styled(claim.outcome, headline(claim)),
            )  # fmt: skip
        if not verdict.claims:
            table.add_row(name, "–", "–", "–", "–", styled(verdict.outcome))
        score = "–" if verdict.score.value is None else f"{verdict.score.value:.2f}"
        lines.append(
            f"{styled(verdict.outcome)} {name}: {plain(verdict.reason)}; score {score} at "
            f"{100 * verdict.score.coverage:.0f} % coverage\n  report: {plain(str(layout.latest(layout.report)))}"
        )
    if table.row_count:
        console.print(table)
        for line in lines:
            console.print(line, soft_wrap=True)
        root = layouts[0].root
        if root == nearest_root() and ((root / "mlflow.db").exists() or os.environ.get("MLFLOW_TRACKING_URI")):
            one = shlex.quote(layouts[0].reference) if len(layouts) == 1 else ""
            console.print(f"MLflow dashboard: {plain(_this_command())} dashboard {plain(one)}", soft_wrap=True)
    if missing:
        console.print(f"not audited yet: {', '.join(missing)}", soft_wrap=True)


def _this_command() -> str:
    """How to call this command from here: by its name when it is on the path, else by where it lies."""
    command = Path(sys.executable).with_name("openassay")
    if shutil.which("openassay") == str(command):
        return "openassay"
    return os.path.relpath(command) if command.is_relative_to(Path.cwd()) else str(command)


def sweep(
    target: TargetName,
    changes: Annotated[
        list[str],
        typer.Argument(
            metavar="KEY=V1,V2...",
            help="Values of the recipe in Hydra's grammar: fields of a declarative recipe (optimizer.learning_rate=0.001,0.01), "
            "or parameters of the published run. Several keys: every combination",
        ),
    ],
    *,
    runs: Annotated[int, typer.Option(help="Seeds at each point")] = 3,
    of: Annotated[str, typer.Option(help="The arm that is changed")] = "faithful",
    as_json: Annotated[bool, typer.Option("--json", help="Print the values as JSON")] = False,
) -> None:
    """Rerun an audited target's recipe with other values, and show what they change: the freedom to modify, used.

    It bears on no verdict. Its reruns lie in experiments/TARGET/sweep/ and are kept: a longer sweep makes only what is new.
    """
    from contextlib import redirect_stdout

    from openassay.cli import terminal
    from openassay.cli.terminal import plain
    from openassay.project import layouts
    from openassay.records import to_plain
    from openassay.sweep import sweep

    with redirect_stdout(sys.stderr):
        found = sweep(layouts(find_root(), [target])[0], changes, runs, of)
    if as_json:
        print(json.dumps(to_plain(found), indent=2))
        return
    console = terminal.console(120)
    table = terminal.table("changed", "metric", "mean", f"{of}, same seeds", "difference ± standard error")
    for point in found:
        given = [value for value in point.values if value is not None]
        same = [value for value in point.faithful if value is not None]
        difference = point.difference()
        table.add_row(
            plain(point.changes), point.metric, f"{sum(given) / len(given):.5g} of {len(given)}" if given else "–",
            f"{sum(same) / len(same):.5g}" if same else "–",
            "–" if difference is None else f"{difference[0]:+.4g} ± {difference[1]:.2g}",
        )  # fmt: skip
    console.print(table)


def dashboard(
    target: Annotated[
        str | None, typer.Argument(help="Print the link to this target's chart", autocompletion=complete_targets)
    ] = None,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1")] = 5000,
) -> None:
    """Start MLflow's server on this machine and print links that open each target's chart view."""
    from openassay import tracking
    from openassay.core.verdict_records import ReleaseVerdict
    from openassay.project import layouts, target_names
    from openassay.records import read_record

    root = find_root()
    uri = tracking.tracking_uri(root, None)
    for layout in layouts(root, [target] if target else target_names(root)):
        if layout.verdict.is_file() and (experiment := tracking.experiment_id(root, None, layout.target)) is not None:
            audit = tracking.audit_name(read_record(layout.verdict, ReleaseVerdict))
            print(f"{layout.target}: http://127.0.0.1:{port}{tracking.chart_path(experiment, audit)}", flush=True)
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        uri,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    variables = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "ignore"}
    os.chdir(root)
    os.execve(command[0], command, variables)  # noqa: S606 - the server takes this process's place, and its signals
