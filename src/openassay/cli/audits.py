"""Runs audits, and shows what came of them."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from openassay.cli.arguments import Age, AsJson, OptionalTargets, TargetName, target_argument, the_layout
from openassay.faults import BadInput, Fault, counted, printable
from openassay.layout import Layout, find_root

if TYPE_CHECKING:
    from openassay.core.verdict_records import ReleaseVerdict

TARGETS = (
    "Targets: a name of conf/target/, catalogue:NAME for one of OpenAssay's own, or the path of a file. Settings, as on Hydra's "
    "command line: judge=strict, profile.runs=50"
)
PUBLISH = "Then keep the records in experiments/TARGET/published/, to be committed"
CHANGES = (
    "Values of the recipe in Hydra's grammar: fields of a declarative recipe (optimizer.learning_rate=0.001,0.01), or "
    "parameters of the published run. Several keys: every combination"
)


def audit(
    targets: Annotated[list[str] | None, target_argument(TARGETS, metavar="[TARGET|SETTING]...")] = None,
    *,
    every: Annotated[bool, Option("--all", help="Every target of conf/target/")] = False,
    due: Age = None,
    profile: Annotated[str | None, Option(help="The same as the setting profile=NAME")] = None,
    force: Annotated[bool, Option(help="Run every stage again, even if nothing changed; reruns are kept")] = False,
    publish: Annotated[bool, Option(help=PUBLISH)] = False,
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
        raise BadInput("audit: give names of targets, or --all, or --due 30d; not both names and --all")
    root = project_for(named)
    indexed = index(root)
    compose(root, asked)
    age = schedule.parse_age(due) if due is not None else None
    chosen = layouts(root, named or target_names(root))
    if named and due is None:
        for layout in chosen:  # what can be said before anything runs is said now
            read_target(layout)
    rounds = every or due is not None
    with schedule.alone(root, None) if rounds else nullcontext():
        upstream = due is not None
        summary = schedule.audit_all(root, chosen, asked, age=age, ask_upstream=upstream, force=force, indexed=indexed)
        scheduled, markdown = rounds or len(chosen) > 1, None
        try:
            markdown = schedule.write_summary(root, summary) if scheduled else None
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


def history(target: TargetName, *, as_json: AsJson = False) -> None:
    """Show the outcomes of all audits of a target, the oldest first. As JSON, each is a record on a line of its own."""
    from openassay import schedule
    from openassay.cli import terminal
    from openassay.core.verdict import weaker
    from openassay.records import to_json

    entries = schedule.history(the_layout(target))
    if as_json:
        for entry in entries:
            print(to_json(entry, indent=None))
        return
    if not entries:
        print(f"{target}: not audited yet")
        return
    table = terminal.table("finished", "outcome", "score", "why", "worse than before")
    for before, entry in zip([None, *entries], entries, strict=False):
        table.add_row(
            entry.finished_at, terminal.styled(entry.outcome, entry.outcome.value + weaker(entry.outcome, entry.basis)),
            terminal.number(entry.score, ".2f"), terminal.plain(entry.why),
            terminal.plain("; ".join(schedule.got_worse(before, entry))),
        )  # fmt: skip
    terminal.console(120).print(table)


def show(targets: OptionalTargets = None) -> None:
    """Show the verdicts of finished audits as a table."""
    from openassay.project import layouts, target_names

    root = find_root()
    _show(layouts(root, targets or target_names(root)))


def verify(targets: OptionalTargets = None) -> None:
    """Check the seals of finished audits, and judge their reruns' records anew: whether each verdict follows from them.

    Exit status: 0 all is as it was made, and follows; 2 something is not, which is named.
    """
    from openassay.core.verdict_records import ReleaseVerdict
    from openassay.project import layouts, target_names
    from openassay.records import read_record
    from openassay.seals import check
    from openassay.stages.judge import not_following

    root, failed = find_root(), False
    chosen = layouts(root, targets or [name for name in target_names(root) if Layout(root, name).verdict.is_file()])
    for layout in chosen:
        if not layout.verdict.is_file():
            raise BadInput(f"{layout.target}: not audited here yet; run `openassay audit {layout.reference}` first")
        problems: list[str] = []
        for look in (check, not_following):
            try:
                problems += look(layout) or []
            except Fault as problem:
                problems.append(str(problem))
        failed = failed or bool(problems)
        for line in problems:
            print(f"error: {printable(line)}", file=sys.stderr)
        if not problems:
            verdict = read_record(layout.verdict, ReleaseVerdict)
            runs = counted(verdict.provenance.num_reruns, "rerun")
            print(
                f"{layout.target}: {verdict.outcome.value} follows from the records of {runs}; every record is as it was made"
            )
    if failed:
        raise typer.Exit(BadInput.exit_code)


def _show(layouts: list[Layout]) -> None:
    from openassay.cli import terminal
    from openassay.cli.terminal import plain, styled
    from openassay.core.verdict import headline
    from openassay.core.verdict_records import ReleaseVerdict
    from openassay.records import read_record

    console = terminal.console(120)
    table = terminal.table("target", "claim", "published", "found", "difference, interval", "verdict")
    missing, lines = [], []
    problems = {layout.target: problem for layout in layouts if (problem := _not_as_sealed(layout))}
    for layout in layouts:
        name, path = layout.target, layout.latest(layout.verdict)
        if not path.is_file():
            missing.append(name)
            continue
        if name in problems:
            continue
        verdict = read_record(path, ReleaseVerdict)
        for claim in verdict.claims:
            mean = difference = "–"
            if claim.difference is not None:
                given = sum(value is not None for value in claim.runs[: claim.runs_used])
                by = f" of {given}" if given else ""
                mean = f"{claim.published.value + claim.difference:.{5 if given else 9}g}{by}"
                low, high = claim.interval or (0.0, 0.0)
                interval = f", {low:+.3g} to {high:+.3g}" if low < high else ""
                difference = f"{claim.difference:+.3g}{interval}"
            published = f"{claim.published.value:g} ± {claim.tolerance.margin:g}"
            table.add_row(name, plain(claim.id), published, mean, difference, styled(claim.outcome, headline(claim)))
        if not verdict.claims:
            table.add_row(name, "–", "–", "–", "–", styled(verdict.outcome))
        lines.append(_in_lines(layout, verdict, alone=len(layouts) == 1))
    if table.row_count:
        console.print(table)
        for line in lines:
            console.print(line, soft_wrap=True)
        if command := _dashboard_of(layouts):
            console.print(f"MLflow dashboard: {plain(command)}", soft_wrap=True)
    if missing:
        console.print(f"not audited yet: {', '.join(missing)}", soft_wrap=True)
    if problems:
        print("\n".join(f"error: {problem}" for problem in problems.values()), file=sys.stderr)
        raise typer.Exit(BadInput.exit_code)


def _dashboard_of(layouts: list[Layout]) -> str:
    """The command that opens these targets in MLflow; empty where nothing was mirrored from here."""
    from openassay.project import nearest_root

    root = layouts[0].root
    if root != nearest_root() or not ((root / "mlflow.db").exists() or os.environ.get("MLFLOW_TRACKING_URI")):
        return ""
    return f"{_this_command()} dashboard {shlex.quote(layouts[0].reference) if len(layouts) == 1 else ''}"


def _in_lines(layout: Layout, verdict: ReleaseVerdict, *, alone: bool) -> str:
    """What came out of one audit, in words. alone: no other is shown, so that there is room for more."""
    from openassay.cli import terminal
    from openassay.cli.reviews import in_words as said_of
    from openassay.cli.terminal import plain
    from openassay.core.openness import in_words
    from openassay.core.tier_verdicts import beside
    from openassay.core.verdict import weaker
    from openassay.reviewing import reviews

    of, openness = verdict.score, verdict.openness
    score = f"score {terminal.number(of.value, '.2f')} at {100 * of.coverage:.0f} % coverage"
    lines = [
        f"{terminal.styled(verdict.outcome)} {layout.target}{weaker(verdict.outcome, verdict.basis)}: "
        f"{plain(verdict.in_words or verdict.reason)}",
        plain("; ".join([score, *beside(verdict)])),
    ]
    if alone and openness and openness.osaid.outcome != "passes":
        lines.append(plain(in_words(openness.osaid)))
    lines.append(f"report: {plain(str(layout.latest(layout.report)))}")
    lines += [plain(said_of(review)) for review in reviews(layout.root, layout.target)] if alone else []
    return "\n  ".join(lines)


def _not_as_sealed(layout: Layout) -> str:
    """Why this machine's own records of a target are not to be shown, in words; empty where they are."""
    from openassay.seals import Outdated, doubt_of

    doubt = doubt_of(layout)
    if doubt is None:
        return ""
    if not isinstance(doubt, Outdated):
        return printable(str(doubt))
    print(f"warning: {printable(str(doubt))}", file=sys.stderr)  # an audit is under way, or did not reach its end
    return ""


def _this_command() -> str:
    """How to call this command from here: by its name when it is on the path, else by where it lies."""
    command = Path(sys.executable).with_name("openassay")
    if shutil.which("openassay") == str(command):
        return "openassay"
    return os.path.relpath(command) if command.is_relative_to(Path.cwd()) else str(command)


def sweep(
    target: TargetName,
    changes: Annotated[list[str], Argument(metavar="KEY=V1,V2...", help=CHANGES)],
    *,
    runs: Annotated[int, Option(help="Seeds at each point")] = 3,
    of: Annotated[str, Option(help="The arm that is changed")] = "faithful",
    as_json: AsJson = False,
) -> None:
    """Rerun an audited target's recipe with other values, and show what they change: the freedom to modify, used.

    It bears on no verdict. Its reruns lie in experiments/TARGET/sweep/ and are kept: a longer sweep makes only what is new.
    """
    from openassay.cli import terminal
    from openassay.records import to_json
    from openassay.sweep import sweep

    with redirect_stdout(sys.stderr):
        found = sweep(the_layout(target), changes, runs, of)
    if as_json:
        print(to_json(found, ascii_only=True))
        return
    table = terminal.table("changed", "metric", "mean", f"{of}, same seeds", "difference ± standard error")
    for point in found:
        given, same = ([value for value in of if value is not None] for of in (point.values, point.faithful))
        difference = point.difference()
        table.add_row(
            terminal.plain(point.changes), point.metric, f"{sum(given) / len(given):.5g} of {len(given)}" if given else "–",
            f"{sum(same) / len(same):.5g}" if same else "–",
            "–" if difference is None else f"{difference[0]:+.4g} ± {difference[1]:.2g}",
        )  # fmt: skip
    terminal.console(120).print(table)
