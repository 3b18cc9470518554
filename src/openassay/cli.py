"""The command line: `openassay --help`."""

from __future__ import annotations

import functools
import json
import math
import os
import shutil
import sys
from collections.abc import Collection
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
import yaml
from pydantic import TypeAdapter
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from openassay import __version__, model_openness_tool, scenario, schedule, tracking
from openassay.checks.inspection import Inspection, inspect_folder, merge_checks, merge_detected, opened, place
from openassay.core import licences
from openassay.core.evidence import share_terms_of, terms_of
from openassay.core.openness import CONTENT, Part, openness
from openassay.core.power import expect, power
from openassay.core.shares import chances
from openassay.core.types import FetchRecord, Outcome, ReleaseVerdict, Why
from openassay.core.verdict import headline
from openassay.faults import BadInput, faults_in_one_line, printable
from openassay.layout import Layout, cache_home, checked_name, find_root
from openassay.plan import ArtifactSpec, Plan, Target, make_plan, read_plan, read_target
from openassay.protocols.forensics import inspect_checkpoints
from openassay.recipes.formats import read_recipes
from openassay.recipes.formats.draft import UNITS
from openassay.recipes.replay import MARGIN as REPLAY_MARGIN
from openassay.recipes.replay import ReplayRecipe, checkpoints_record, explanation_to_plain
from openassay.records import parse, read_record, to_plain
from openassay.run_files import Unit, check_scale, read_runs
from openassay.sources import hf
from openassay.sources.fetched import Unavailable, Unreachable
from openassay.sources.git import GitSource
from openassay.sources.hf import HfSource
from openassay.sources.http import HttpSource
from openassay.sources.pypi import PypiSource, ask_every_index, project_files
from openassay.sources.roots import artifact_roots, source_root
from openassay.stages import fetch as fetch_stage
from openassay.store import RefusedArchive, Store, check_glob, payload_digest
from openassay.training.mismatch import RecipeMismatch
from openassay.training.tokens import BadTokens
from openassay.yaml_loader import MAX_BYTES, load_yaml, parse_yaml

app = typer.Typer(
    help="Is it really open? Rerun a published training recipe and get a verdict with controlled error rates.",
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
)  # fmt: skip

STYLES = {
    Outcome.REPRODUCED: "bold green",
    Outcome.NOT_REPRODUCED: "bold red",
    Outcome.INCONCLUSIVE: "bold yellow",
    Outcome.NOT_ATTEMPTED: "dim",
}

Targets = Annotated[list[str], typer.Argument(help="Names of targets: files in conf/target/ without .yaml")]
OptionalTargets = Annotated[
    list[str] | None, typer.Argument(help="Names of targets; every target of conf/pipeline.yaml when left out")
]


SETTINGS = ("profile", "judge", "tracking", "execution")
"""Keys of conf/pipeline.yaml that name a file in a folder of conf/ of the same name."""


def index(root: Path) -> list[str]:
    """The targets of conf/pipeline.yaml. `BadInput` when a name or a setting is odd, or a file is missing."""
    where = "conf/pipeline.yaml"
    data = load_yaml(root / where, where)
    if not isinstance(data, dict):
        raise BadInput(f"{where}: expected the keys targets, {', '.join(SETTINGS)}")
    for group in SETTINGS:  # dvc puts them into a shell's line
        _setting(root, group, str(data.get(group, "")), f"{where}: {group}")
    names = data.get("targets")
    if not isinstance(names, list) or not names:
        raise BadInput(f"{where}: targets: a list of target names is needed")
    checked = [checked_name(str(name), f"{where}: targets.{i}") for i, name in enumerate(names)]
    for i, name in enumerate(checked):
        if checked.index(name) != i:
            raise BadInput(f"{where}: targets.{i}: {name!r} stands twice; remove one")
        if not (root / "conf" / "target" / f"{name}.yaml").is_file():
            raise BadInput(f"{where}: targets.{i}: conf/target/{name}.yaml does not exist")
    return checked


def _setting(root: Path, group: str, name: str, where: str) -> str:
    """The name of a file in conf/GROUP/; `BadInput` when there is none of that name."""
    if not (root / "conf" / group / f"{checked_name(name, where)}.yaml").is_file():
        known = ", ".join(sorted(path.stem for path in (root / "conf" / group).glob("*.yaml")))
        raise BadInput(f"{where}: conf/{group}/{name}.yaml does not exist; there are: {known}")
    return name


def _chosen(root: Path, names: list[str] | None) -> list[str]:
    known = index(root)
    for name in names or []:
        checked_name(name, "target")
        if name not in known:
            file = root / "conf" / "target" / f"{name}.yaml"
            todo = "add it to targets in conf/pipeline.yaml" if file.is_file() else f"there are: {', '.join(known)}"
            raise BadInput(f"no target {name!r} in the index; {todo}")
    return names or known


@app.command()
def audit(
    targets: OptionalTargets = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Every target of conf/pipeline.yaml")] = False,
    due: Annotated[
        str | None,
        typer.Option(
            metavar="AGE",
            help="Only what is due: never audited, older than AGE (12h, 30d, 4w), or its plan or its sources have changed",
        ),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="Profile of conf/profile/, instead of the one in conf/pipeline.yaml")
    ] = None,
    force: Annotated[
        bool, typer.Option(help="Run every stage again, even if nothing changed; reruns are kept")
    ] = False,
) -> None:
    """Audit releases: run the pipeline for them, as `dvc repro report@TARGET` does, and show the verdicts.

    One target's failure never stops the others. Exit status: 0 as before; 1 an outcome changed for the worse; 2 a target could
    not be audited (3 for a single target, where the fault is not in its file). experiments/summary.md and .json say what came
    out of several.
    """
    root = find_root()
    if not targets and not every and due is None:
        raise BadInput("audit: name targets, or give --all, or --due 30d")
    if targets and every:
        raise BadInput("audit: give either the names of targets, or --all")
    age = schedule.parse_age(due) if due is not None else None
    names = list(dict.fromkeys(_chosen(root, targets)))
    settings = _settings(root, profile)
    if targets and due is None:
        for name in names:  # what can be said before anything runs is said now
            read_target(Layout(root, name))
    busy = "another round of audits is running in this project; wait for its end, then the same again"
    with ExitStack() as held:
        if every or due is not None:
            held.enter_context(schedule.alone(root, "schedule", busy, exit_code=2))
        summary = schedule.audit_all(
            root, names, settings, age=age, ask_upstream=due is not None, force=force, profile=profile
        )
        scheduled = every or due is not None or len(names) > 1
        markdown = None
        try:
            markdown = schedule.write_summary(root, summary)[0] if scheduled else None
        except OSError as problem:  # what was audited is audited, and the exit status says what came of it
            print(f"warning: no summary was written: {printable(str(problem))}", file=sys.stderr)
    _show(root, [of.target for of in summary.targets if of.status == "audited"])
    for of in summary.targets:
        for words in of.worse:
            print(f"worse than before: {of.target}: {printable(words)}", file=sys.stderr)
        if of.status == "fault" and len(names) > 1:
            print(f"could not be audited: {of.target}: {printable(of.message)}", file=sys.stderr)
    if markdown:
        print(f"summary: {markdown}")
    if summary.exit_code:  # of one target that was named: what its own fault says
        raise typer.Exit(summary.exit_code if scheduled else summary.targets[0].exit_status or summary.exit_code)


def _settings(root: Path, profile: str | None) -> list[str]:
    """Our part of the configuration as conf/pipeline.yaml has it, with another profile if one is given."""
    data: Any = load_yaml(root / "conf" / "pipeline.yaml", "conf/pipeline.yaml")
    chosen = {group: str(data[group]) for group in SETTINGS}
    if profile is not None:
        chosen["profile"] = _setting(root, "profile", profile, "--profile")
    return [f"{group}={name}" for group, name in chosen.items()]


@app.command()
def history(
    target: Annotated[str, typer.Argument(help="Name of a target")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON record a line")] = False,
) -> None:
    """Show the outcomes of all audits of a target, the oldest first."""
    root = find_root()
    _chosen(root, [target])
    entries = schedule.history(Layout(root, target))
    if as_json:
        for entry in entries:
            print(json.dumps(to_plain(entry), ensure_ascii=False))
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("finished", "outcome", "score", "why", "worse than before"):
        table.add_column(column, overflow="fold")
    for before, entry in zip([None, *entries], entries, strict=False):
        worse = schedule.got_worse(before, entry) if before else []
        table.add_row(
            entry.finished_at, f"[{STYLES[entry.outcome]}]{entry.outcome.value}[/]",
            "–" if entry.score is None else f"{entry.score:.2f}", _plain(entry.why), _plain("; ".join(worse)),
        )  # fmt: skip
    if entries:
        console.print(table)
    else:
        print(f"{target}: not audited yet")


@app.command()
def show(targets: OptionalTargets = None) -> None:
    """Show the verdicts of finished audits as a table."""
    root = find_root()
    _show(root, _chosen(root, targets))


def _show(root: Path, names: list[str]) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120  # a log keeps whole lines
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("target", "claim", "published", "reruns' mean", "difference, interval", "verdict"):
        table.add_column(column, overflow="fold")
    missing, lines = [], []
    for name in names:
        layout = Layout(root, name)
        if not layout.verdict.is_file():
            missing.append(name)
            continue
        verdict = read_record(layout.verdict, ReleaseVerdict)
        for claim in verdict.claims:
            given = sum(value is not None for value in claim.runs[: claim.runs_used])
            interval = f", {claim.interval[0]:+.3g} to {claim.interval[1]:+.3g}" if claim.interval else ""
            tested = claim.difference is not None
            table.add_row(
                name, _plain(claim.id), f"{claim.published.value:g} ± {claim.tolerance.margin:g}",
                f"{claim.published.value + claim.difference:.5g} of {given}" if claim.difference is not None else "–",
                f"{claim.difference:+.3g}{interval}" if tested else "–",
                f"[{STYLES[claim.outcome]}]{headline(claim)}[/]",
            )  # fmt: skip
        if not verdict.claims:
            table.add_row(name, "–", "–", "–", "–", f"[{STYLES[verdict.outcome]}]{verdict.outcome.value}[/]")
        score = "–" if verdict.score.value is None else f"{verdict.score.value:.2f}"
        lines.append(
            f"[{STYLES[verdict.outcome]}]{verdict.outcome.value}[/] {name}: {_plain(verdict.reason)}; score {score} at "
            f"{100 * verdict.score.coverage:.0f} % coverage\n  report: {_plain(str(layout.report))}"
        )
    if table.row_count:
        console.print(table)
        for line in lines:
            console.print(line, soft_wrap=True)
        console.print(
            f"MLflow dashboard: {_plain(_this_command())} dashboard {names[0] if len(names) == 1 else ''}",
            soft_wrap=True,
        )
    if missing:
        console.print(f"not audited yet: {', '.join(missing)}", soft_wrap=True)


def _plain(text: str) -> str:
    """Words of others for rich: without its markup, and without what a terminal obeys."""
    return escape(printable(text))


def _this_command() -> str:
    """How to call this command from here: by its name when it is on the path, else by where it lies."""
    command = Path(sys.executable).with_name("openassay")
    if shutil.which("openassay") == str(command):
        return "openassay"
    return os.path.relpath(command) if command.is_relative_to(Path.cwd()) else str(command)


@app.command()
def check(targets: OptionalTargets = None) -> None:
    """Check target files without running anything: every key, pin, reference and number."""
    root = find_root()
    for name in _chosen(root, targets):
        target = read_target(Layout(root, name))
        print(
            f"{name}: well formed; {len(target.artifacts)} artifacts, {len(target.claims)} claims, "
            f"{len(target.controls)} controls"
        )


@app.command("inspect")
def inspect_(
    what: Annotated[
        str, typer.Argument(help="A folder, a file or an archive of any release; or a target that was fetched")
    ],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON: components, checks, evidence")] = False,
    links: Annotated[bool, typer.Option("--links", help="Also ask the addresses that the READMEs name")] = False,
    every: Annotated[bool, typer.Option("--all", help="Also show the checks that cannot be asked, and why")] = False,
) -> None:
    """Find what is wrong with a release, as far as its own files tell: components, and files that contradict each other."""
    seen = _inspected(what, links=links)
    if as_json:
        print(json.dumps(to_plain(seen), indent=2, ensure_ascii=False))
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 160
    components = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("component", "declared", "found", "reachable", "evidence"):
        components.add_column(column, overflow="fold")
    for component in seen.detected:
        if component.found != "not seen" or component.declared not in {None, "no"} or every:
            evidence = "; ".join(f"{file.path} {file.why}" for file in component.files[:2])
            components.add_row(
                component.component, component.declared or "–", component.found, component.reachable, _plain(evidence)
            )
    checks = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("check", "outcome", "evidence"):
        checks.add_column(column, overflow="fold")
    for check in seen.checks:
        if check.outcome == "fail":
            for i, problem in enumerate(check.problems):
                places = "; ".join(dict.fromkeys(place(evidence) for evidence in problem.evidence))
                text = f"{problem.message}\n  {places}" if places else problem.message
                lines = "\n".join(_plain(line) for line in text.split("\n"))
                checks.add_row(check.check if i == 0 else "", "[bold red]fail[/]" if i == 0 else "", lines)
        elif check.outcome == "pass" or every:
            shown = check.why or "; ".join(place(evidence) for evidence in check.looked_at[:3])
            checks.add_row(check.check, check.outcome, _plain(shown))
    console.print(components)
    console.print(checks)
    for path, why in sorted(seen.unreadable.items())[:20]:
        console.print(f"not read: {_plain(path)}: {_plain(why)}", soft_wrap=True)
    if (more := len(seen.unreadable) - 20) > 0:
        console.print(f"and {more} more that were not read (--json lists them)")
    counts = {
        outcome: sum(check.outcome == outcome for check in seen.checks)
        for outcome in ("fail", "pass", "cannot be asked")
    }
    console.print(
        f"{_plain(seen.name)}: {seen.num_files} files; {counts['fail']} checks found something, {counts['pass']} pass, "
        f"{counts['cannot be asked']} cannot be asked of these files",
        soft_wrap=True,
    )


def _inspected(what: str, *, links: bool) -> Inspection:
    try:
        path = Path(what)
        there = path.exists()
    except OSError:
        there = False
    if not what.isprintable():
        raise BadInput(f"{what[:100]!r} is no path")
    if there:
        if not (path.is_dir() or path.is_file()):
            raise BadInput(f"{what}: neither a regular file nor a folder")
        with opened(path) as folder:
            return inspect_folder(folder, name=path.resolve().name, links=links)
    if os.sep in what or "." in what:
        raise BadInput(f"{what}: there is no such file or folder")
    root = find_root()
    name = _chosen(root, [what])[0]
    layout = Layout(root, name)
    if not layout.record("fetch").is_file():
        raise BadInput(f"{name}: not fetched yet; run `openassay audit {name}` first")
    roots = artifact_roots(Store(cache_home()), read_record(layout.record("fetch"), FetchRecord))
    declared: Any = {component.component: component.published for component in read_target(layout).components}
    seen = {
        artifact: inspect_folder(Path(folder), name=artifact, declared=declared, links=links)
        for artifact, folder in roots.items()
    }
    return Inspection(
        name=name, num_files=sum(of.num_files for of in seen.values()),
        detected=merge_detected({artifact: of.detected for artifact, of in seen.items()}),
        checks=merge_checks({artifact: of.checks for artifact, of in seen.items()}),
        unreadable={f"{artifact}: {file}": why for artifact, of in seen.items() for file, why in of.unreadable.items()},
    )  # fmt: skip


@app.command()
def explain(
    target: Annotated[str, typer.Argument(help="Name of a target with the driver `replay`, fetched before")],
    *,
    updates: Annotated[
        list[int] | None, typer.Option(help="Horizons, in updates; those of the target when left out")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the ranking as JSON")] = False,
) -> None:
    """Say why a replay does not match: standard and declared alternatives, ranked by how much of the difference each removes."""
    plan, replay, roots = _fetched_replay(target)
    roots |= _brought(plan, Layout(find_root(), target), plan.only_alternatives())
    try:
        found = replay.explained(
            roots, updates=tuple(updates or replay.updates), say=lambda line: print(f"  {line}", file=sys.stderr)
        )
    except (RecipeMismatch, BadTokens) as problem:
        raise BadInput(f"{target}: {problem}") from None
    if as_json:
        print(json.dumps(explanation_to_plain(found), indent=2))
        return
    print(
        f"the replay by the published recipe is {found.plain_in_floors:.3g} floors off; beyond {REPLAY_MARGIN:g} it differs"
    )
    for tried in found.ranked[:10]:
        mark = "explains it" if tried.explains else f"removes {100 * max(0.0, tried.removed):.0f} %"
        print(f"  {tried.in_floors:10.3g} floors  {mark:16}  {printable(tried.name)} ({tried.field})")
    if len(found.group) > 1:
        print(f"cannot be told apart here: {', '.join(found.group)}")
    for line in found.not_tried:
        print(printable(f"not tried: {line}"))
    print(printable(found.remainder))


@app.command()
def checkpoints(
    target: Annotated[str, typer.Argument(help="Name of a target with the driver `replay`, fetched before")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was seen as JSON")] = False,
) -> None:
    """Look at a release's published checkpoints by themselves, without training: copies, leaps, strangers, the initialisation."""
    _, replay, roots = _fetched_replay(target)
    try:
        found = inspect_checkpoints(replay.release(roots), say=lambda line: print(f"  {line}", file=sys.stderr))
    except (RecipeMismatch, BadTokens) as problem:
        raise BadInput(f"{target}: {problem}") from None
    record = checkpoints_record(found)
    if as_json:
        print(json.dumps(to_plain(record), indent=2))
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("step", "digest", "from the first", "from before", "largest move", "bound"):
        table.add_column(column, justify="left" if column == "digest" else "right")
    for look in record.looks:
        numbers = (look.from_first, look.from_before, look.largest_move, look.bound)
        table.add_row(
            str(look.step), look.digest[:12], *("–" if number is None else f"{number:.3g}" for number in numbers)
        )
    console.print(table)
    for odd in record.oddities:
        print(f"{odd.kind}: {printable(odd.message)}")
    print(f"odd things in {len(replay.checkpoints)} checkpoints: {len(record.oddities)}")


def _fetched_replay(target: str) -> tuple[Plan, ReplayRecipe, dict[str, str]]:
    """A target's plan and replay, and where its fetched artifacts lie."""
    root = find_root()
    _chosen(root, [target])
    layout = Layout(root, target)
    plan = read_plan(layout)
    if not isinstance(plan.rerun, ReplayRecipe):
        raise BadInput(f"conf/target/{target}.yaml: rerun: a replay is needed, and this target has none")
    record = layout.record("fetch")
    if not record.is_file():
        raise BadInput(f"{target}: nothing is fetched yet; run `openassay audit {target}`")
    roots = artifact_roots(Store(cache_home()), read_record(record, FetchRecord))
    if missing := sorted(set(plan.artifacts) - plan.only_alternatives() - set(roots)):
        raise BadInput(f"{target}: the artifact {missing[0]} could not be fetched: there is nothing to replay")
    return plan, plan.rerun, roots


@app.command()
def tokens(
    target: Annotated[str, typer.Argument(help="Name of a target with the driver `replay` whose tokens lie on a hub")],
    *,
    updates: Annotated[
        int | None, typer.Option(help="So many updates; the target's last horizon when left out")
    ] = None,
) -> None:
    """Print which bytes of the published token files a replay reads, ready to be pasted into the target.

    Where the order of training is scattered over large files, only the sequences of the first updates are brought then, and those
    beyond on which losses are paired. The recipe is fetched; of the tokens only the hub's list of sizes is.
    """
    root = find_root()
    _chosen(root, [target])
    layout = Layout(root, target)
    plan = make_plan(layout, _settings(root, None))
    where = f"conf/target/{target}.yaml"
    if not isinstance(plan.rerun, ReplayRecipe):
        raise BadInput(f"{where}: rerun: only a replay reads published tokens, and this target has none")
    rerun, name = plan.rerun, plan.rerun.tokens.artifact
    source = plan.artifacts[name].sources[0]
    if not isinstance(source, HfSource):
        raise BadInput(f"{where}: artifacts.{name}.sources.0: only of files on a hub single bytes can be asked for")
    steps = max(rerun.updates) if updates is None else updates
    if steps < 1:
        raise BadInput(f"--updates: at least 1, found {updates}")
    store = Store(cache_home())
    with redirect_stdout(sys.stderr):
        roots = artifact_roots(store, fetch_stage.run(plan, store, layout, [rerun.recipe.artifact]))
    if rerun.recipe.artifact not in roots:
        raise BadInput(
            f"{target}: the artifact {rerun.recipe.artifact} could not be fetched: the recipe says the order"
        )
    try:
        recipe = rerun.read(roots)
        sizes = source.sizes(store, rerun.tokens.files)
        found = rerun.token_ranges(recipe, sizes, *rerun.sequences(recipe, steps))
    except (Unavailable, BadTokens, RecipeMismatch) as problem:
        raise BadInput(f"{target}: {problem}") from None
    print(
        f"# {steps} updates and what losses are paired on: {sum(of.size for of in found)} bytes in {len(found)} pieces"
    )
    print(f"# artifacts.{name}.sources.0")
    print("files:")
    for of in found:
        print(f"- {{path: {json.dumps(of.file)}, bytes: [{of.start}, {of.stop}]}}")
    print("# rerun.tokens")
    print(f"sizes: {json.dumps(sizes)}")


def _brought(plan: Plan, layout: Layout, names: Collection[str]) -> dict[str, str]:
    """What only an explanation needs, as far as it can be had: a network that is down leaves an alternative untried."""
    found: dict[str, str] = {}
    for name in sorted(names):
        try:
            with redirect_stdout(sys.stderr):
                record = fetch_stage.run(plan, Store(cache_home()), layout, [name])
        except Unreachable as problem:
            print(f"  {name}: {printable(str(problem))}", file=sys.stderr)
            continue
        for finding in record.findings:
            print(f"  {printable(finding.message)}", file=sys.stderr)
        found |= artifact_roots(Store(cache_home()), record)
    return found


@app.command("plan-runs")
def plan_runs(
    targets: OptionalTargets = None,
    *,
    profile: Annotated[str, typer.Option(help="Profile of conf/profile/, for the most reruns of an arm")] = "cpu",
) -> None:
    """Say before any run whether each tolerance can be decided, and how many reruns to expect."""
    root = find_root()
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 130
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    steps = (5, 10, 20, 50, 100)
    by_runs = f"P(REPRODUCED) by {', '.join(map(str, steps))} runs"
    for column in ("target", "claim", "tolerance", "seed noise", by_runs, "caught", "reruns"):
        table.add_column(column, overflow="fold")
    for name in _chosen(root, targets):
        plan = make_plan(Layout(root, name), [f"profile={profile}", "judge=default", "tracking=none", "execution=cpu"])
        for claim in plan.claims:
            tolerance = f"± {claim.tolerance.margin:g}"
            if plan.rerun is None or not claim.testable:
                table.add_row(name, claim.id, tolerance, "–", "not tested", "–", "–")
                continue
            if claim.deterministic:
                table.add_row(name, claim.id, tolerance, "none", "1 if it is", "1", "2")
                continue
            design = plan.design(claim, {})
            most = design.max_runs
            if claim.success:
                share = share_terms_of(claim, design)
                off = share.published + (-2 if share.published > 0.5 else 2) * share.margin
                table.add_row(
                    name, claim.id, tolerance, "exact", f"{chances(share, share.published)[0]:.2f} by {most}",
                    f"{chances(share, min(1.0, max(0.0, off)))[1]:.2f}", f"{most} at most",
                )  # fmt: skip
                continue
            terms = terms_of(claim, design)
            known = "" if terms.prior()[1] > 0 else " if"
            for i, found in enumerate(expect(terms)):
                sd = found.noise * claim.tolerance.margin
                chance = " ".join(f"{power(terms, sd, 0.0, n):.2f}" if n <= most else "–" for n in steps)
                table.add_row(
                    *((name, claim.id, tolerance) if i == 0 else ("", "", "")), f"{found.noise:.2f}{known}", chance,
                    f"{found.not_reproduced:.2f}", f"{found.num_runs:.1f} of {most}",
                )  # fmt: skip
    console.print(table)
    console.print(
        "Seed noise: standard deviation in tolerances; followed by `if`, nothing is known of it beforehand. P(REPRODUCED): of a "
        "recipe without any difference, when so many runs are planned. Caught: P(NOT_REPRODUCED) of one off by two tolerances. "
        "Reruns: mean, of at most so many; the profile's budget of time may allow fewer.",
        soft_wrap=True,
    )


@app.command()
def judge(
    *,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="One scenario a line, one verdict a line")] = False,
    sequential: Annotated[
        bool,
        typer.Option(
            "--sequential",
            help="Look after each run, in the order in which they were made, and stop where an audit would",
        ),
    ] = False,
    fail_on: Annotated[
        str,
        typer.Option(
            metavar="VERDICTS",
            help="Exit with status 1 for these, comma between: not_reproduced, inconclusive, or a reason, as number_not_reached",
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Answer as JSON, also for --runs")] = False,
    runs: Annotated[
        list[Path] | None,
        typer.Option(
            "--runs",
            "--csv",
            help="File or folder with the runs' values: a table with one run a row, JSON, or what W&B, MLflow, TensorBoard or "
            "lm-evaluation-harness write; may be repeated for one run a file",
        ),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(
            help='Column or metric; its number where there is no header; "seed*" where one row has a run a column; TASK/METRIC '
            "of lm-evaluation-harness"
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            help="Point of each curve: last, last:each, a step, COLUMN=STEP, max:COLUMN or min:COLUMN (best by a validation one)"
        ),
    ] = None,
    run: Annotated[
        str | None, typer.Option(help="Columns that tell runs apart, or `row` where each row is a run")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(help="Only rows with COLUMN=PATTERN, or files with file=PATTERN; may be repeated"),
    ] = None,
    drop_rows: Annotated[str, typer.Option(help="Leave out rows or files of these names or words, e.g. mean,std")] = "",
    keep_rows: Annotated[str, typer.Option(help="Words such as min that are a run's name here")] = "",
    count_as_diverged: Annotated[
        str, typer.Option(help="States (crashed,failed) or names of runs that count as runs without a value")
    ] = "",
    unit: Annotated[
        str | None,
        typer.Option(help="How the file's values are to be read: fraction, percent, or same as the published"),
    ] = None,
    decimal: Annotated[str | None, typer.Option(help="Decimal sign of the file: . or ,")] = None,
    delimiter: Annotated[str | None, typer.Option(help="Sign between the file's cells, or `tab`")] = None,
    header: Annotated[bool | None, typer.Option(help="Is the file's first row names?")] = None,
    each_file_is_a_run: Annotated[
        bool, typer.Option(help="Files that evaluate a model of one name are trainings of their own")
    ] = False,
    published: Annotated[float | None, typer.Option(help="Published value")] = None,
    tolerance: Annotated[
        float | None, typer.Option(help="How far from it still counts as the same; declare it before you look")
    ] = None,
    trainings: Annotated[int, typer.Option(help="Trainings behind the published value")] = 1,
    sd: Annotated[float | None, typer.Option(help="Its spread; --sd-is says of what")] = None,
    sd_is: Annotated[
        str, typer.Option(help="sd (over trainings), standard_error, confidence_interval_95, over_units, over_items")
    ] = "sd",
    units: Annotated[int, typer.Option(help="Folds or splits that each value averages")] = 1,
    rounding: Annotated[float, typer.Option(help="Unit of its last digit")] = 0.0,
    direction: Annotated[str, typer.Option(help="two-sided, at_least or at_most")] = "two-sided",
    estimand: Annotated[
        str,
        typer.Option(help="number: the mean against the printed value; recipe: against the published recipe's mean"),
    ] = "number",
    alpha: Annotated[float, typer.Option(help="Each wrong verdict has this probability at most")] = 0.05,
    deterministic: Annotated[bool, typer.Option(help="The recipe gives the same value every time")] = False,
    max_runs: Annotated[int | None, typer.Option(help="Most runs that may be used, named beforehand")] = None,
) -> None:
    """Judge numbers alone: a scenario as JSON on standard input, or files with runs (docs/verdict.md has the format).

    Exit status: 0 judged; 1 the verdict is one of --fail-on; 2 the input cannot be read.
    """
    failing = _verdicts(fail_on)
    if runs is None:
        typed = {
            published,
            tolerance,
            column,
            at,
            run,
            *(where or ()),
            unit,
            decimal,
            delimiter,
            header,
            sd,
            max_runs,
        } - {None}
        settings = (trainings, units, rounding, direction, estimand, alpha, sd_is, deterministic)
        if typed or settings != (1, 1, 0.0, "two-sided", "number", 0.05, "sd", False):
            raise BadInput("judge: a scenario on standard input says all of this itself; options are for --runs FILE")
        raise typer.Exit(int(_judge_scenarios(failing, jsonl=jsonl, sequential=sequential)))
    if jsonl:
        raise BadInput("judge: --jsonl reads standard input, and --runs files; give one of them")
    if published is None or tolerance is None:
        raise BadInput("judge --runs: --published and --tolerance must be given too")
    for option, value, known in (("unit", unit, get_args(Unit)), ("decimal", decimal, (".", ","))):
        if value is not None and value not in known:
            raise BadInput(f"judge: --{option}: expected {' or '.join(known)}, found {value!r}")
    # What is typed is checked before the file is read.
    numbers = {"published": published, "tolerance": tolerance, "sd": sd, "rounding": rounding, "alpha": alpha}
    for option, number in numbers.items():
        if number is not None and not math.isfinite(number):
            raise BadInput(f"judge: --{option}: a finite number is needed, found {number}")
    claim = {"tolerance": tolerance, "direction": direction, "alpha": alpha, "estimand": estimand}
    reference = {"mean": published, "n": trainings, "sd": sd, "sd_is": sd_is, "units": units, "rounding": rounding}
    data: dict[str, Any] = {"claim": claim, "published": reference, "runs": [], "max_runs": max_runs}
    data["deterministic"] = deterministic
    parse(scenario.Scenario, data, "judge")
    found = read_runs(
        runs, column=column, delimiter=delimiter, decimal=decimal, header=header, at=at, run=run, where=where or (),  # type: ignore[arg-type]
        drop_rows=_words(drop_rows), keep_rows=_words(keep_rows), diverged=_words(count_as_diverged),
        each_file=each_file_is_a_run,
    )  # fmt: skip
    found = check_scale(found, published, unit)  # type: ignore[arg-type]
    verdict = scenario.judge(
        [parse(scenario.Scenario, data | {"runs": list(found.values)}, "judge")], look_often=sequential
    )[0]
    if as_json:
        print(json.dumps(verdict | {"notes": list(found.notes), "runs": list(found.values)}, indent=2))
    else:
        print(scenario.in_words(verdict, len(found.values)))
        for note in found.notes:
            print(f"  note: {note}")
    raise typer.Exit(int(_fails(verdict, failing)))


def _judge_scenarios(failing: frozenset[str], *, jsonl: bool, sequential: bool) -> bool:
    """Whether a verdict on the scenarios of standard input is one of those that fail; prints them."""
    if not jsonl:
        asked = scenario.read(sys.stdin.buffer.read(), "standard input")
        verdict = scenario.judge([asked], look_often=sequential)[0]
        print(json.dumps(verdict, indent=2))
        return _fails(verdict, failing)
    failed = False
    for line in scenario.judge_lines(sys.stdin.buffer, look_often=sequential):
        print(line)
        failed |= bool(failing) and _fails(json.loads(line), failing)
    return failed


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _verdicts(text: str) -> frozenset[str]:
    """The verdicts and reasons that --fail-on names."""
    known = {"reproduced", "not_reproduced", "inconclusive", *get_args(Why)}
    names = [name.lower().replace("-", "_") for name in _words(text)]
    if unknown := [name for name in names if name not in known]:
        raise BadInput(f"judge: --fail-on: {unknown[0]!r} is no verdict; there are: {', '.join(sorted(known))}")
    return frozenset(names)


def _fails(verdict: dict[str, Any], failing: frozenset[str]) -> bool:
    return bool(failing & {verdict["verdict"], verdict["why"]})


@app.command()
def classify(
    file: Annotated[
        str,
        typer.Argument(
            help="A record of the Model Openness Tool, a target file, a target's name, or - for standard input"
        ),
    ],
) -> None:
    """Say how open a release is, by what its record or target file declares: the framework's class, and the definition."""
    where, text = _read_declaration(file)
    data = parse_yaml(text, where)
    warnings: tuple[str, ...] = ()
    licence_from: dict[str, str] = {}
    if model_openness_tool.is_record(data):
        record = model_openness_tool.read(data, where)
        name, parts, kind = record.name, record.parts, "model openness tool"
        warnings, licence_from = record.warnings, record.licence_from
        found = openness(parts, record=True)
    elif isinstance(data, dict) and "schema_version" in data:
        target: Target = parse(Target, data, where)
        name, kind = target.name, "target"
        parts = tuple(
            Part(
                component=part.component,
                published=part.published,
                licence=part.licence,
                where=part.where,
                note=part.note,
            )
            for part in target.components
        )
        found = openness(parts, target.data_information, target.reviews)
    else:
        raise BadInput(
            f"{where}: neither a record of the Model Openness Tool (framework, release) nor a target file (schema_version)"
        )
    components = [
        {
            "component": part.component, "published": part.published, "licence": part.licence,
            "licence_from": licence_from.get(part.component, "component"),
            "open": terms.open, "osi_approved": terms.osi, "type_appropriate": CONTENT[part.component] in terms.fits,
        }
        for part in parts for terms in [licences.terms_of(part.licence, exact=kind != "target")]
    ]  # fmt: skip
    plain = to_plain(found)
    answer = {
        "name": name, "kind": kind, "mof_class": found.mof.mof_class, "mof_label": found.mof.label,
        "mof_class_if_unknown_pass": found.mof.if_unknown_pass, "missing": plain["mof"]["missing"],
        "conditional": plain["mof"]["conditional"], "osaid": plain["osaid"], "earlier_editions": plain["earlier"],
        "freedoms": plain["freedoms"], "to_release": plain["to_release"], "reviews": plain["reviews"],
        "components": components, "warnings": [*warnings, *_spelling(parts, kind)],
    }  # fmt: skip
    print(json.dumps(answer, indent=2))


def _spelling(parts: tuple[Part, ...], kind: str) -> list[str]:
    """Licences that the Model Openness Tool does not take for open, though by what they say they are."""
    return [] if kind == "target" else [
        f"{part.component}: {part.licence!r} is open, but the Model Openness Tool reads only single SPDX identifiers, as SPDX "
        "spells them"
        for part in parts if licences.terms_of(part.licence).open == "passes" and part.licence not in licences.identifiers()
    ]  # fmt: skip


def _read_declaration(file: str) -> tuple[str, str]:
    """The text that `classify` was given, and how messages call it."""
    if file == "-":
        where, data = "standard input", sys.stdin.buffer.read(MAX_BYTES + 1)
    else:
        path = Path(file)
        if not path.exists():
            path = (
                find_root() / "conf" / "target" / f"{checked_name(file, 'classify: no such file, and no target')}.yaml"
            )
            if not path.is_file():
                raise BadInput(f"classify: {file}: there is no such file, and no target of that name in conf/target/")
        where = file
        try:
            with path.open("rb") as opened:
                data = opened.read(MAX_BYTES + 1)
        except OSError as error:
            raise BadInput(f"{where}: cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise BadInput(f"{where}: more than {MAX_BYTES} bytes; a record or a target file has at most so many")
    try:
        return where, data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{where}: byte {error.start} is not UTF-8; save the file as UTF-8") from None


@app.command()
def schema(
    record: Annotated[
        str, typer.Argument(help="verdict, target (files in conf/target/) or scenario (for judge)")
    ] = "verdict",
) -> None:
    """Print the JSON Schema of verdict.json, of a target file, or of a scenario."""
    kinds: dict[str, Any] = {"verdict": ReleaseVerdict, "target": Target, "scenario": scenario.Scenario}
    if record not in kinds:
        raise BadInput(f"schema: {record!r} is not known; there are: {', '.join(kinds)}")
    print(json.dumps(TypeAdapter(kinds[record]).json_schema(), indent=2))


@app.command()
def recipe(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="a published recipe: YAML, JSON, gin, or Amber's main.py; several are joined"
        ),
    ],
    format: Annotated[str | None, typer.Option(help="the first file's, where it is not recognised")] = None,  # noqa: A002 - the word
    as_json: Annotated[bool, typer.Option("--json", help="print the values, origins and notes as JSON")] = False,
) -> None:
    """Print the canonical recipe of a published training recipe: each value with the line or the code it comes from."""
    found = read_recipes(files, format)
    if as_json:
        print(json.dumps({**to_plain(found), "units": UNITS}, indent=2))
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 160  # a log keeps whole lines
    console.print(f"{_plain(', '.join(map(str, files)))}: {_plain(found.format)}", soft_wrap=True)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("name", "value", "unit", "from", "where"):
        table.add_column(column, overflow="fold")
    for name, value in found.values.items():
        origin = found.origins[name]
        shown = "–" if origin.kind == "unstated" and value is None else _plain(_brief(value))
        where = functools.reduce(lambda text, file: text.replace(str(file), file.name), files, origin.where)
        table.add_row(name, shown, UNITS.get(name, ""), origin.kind, _plain(where))
    console.print(table)
    lists: dict[str, list[str]] = {
        "missing: without these there is no recipe to train from": list(found.missing),
        "unknown keys": [f"{where} {key}" for key, where in found.unknown.items()],
        "ignored keys": [f"{key}: {why}" for key, why in found.ignored.items()],
        "notes": list(found.notes),
    }
    for title, lines in lists.items():
        console.print(f"{title}: {len(lines) or 'none'}")
        for line in lines:
            console.print(f"  {_plain(line)}", soft_wrap=True)


def _brief(value: object) -> str:
    """A value in a table's cell: a long list by its ends."""
    if isinstance(value, tuple):
        words = [_brief(item) for item in value]
        return f"{len(words)}: {', '.join(words[:3])} … {words[-1]}" if len(words) > 6 else ", ".join(words) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_brief(item)}" for key, item in value.items()) or "none"
    return (
        {True: "yes", False: "no", None: "none"}.get(value, str(value))
        if isinstance(value, (bool, type(None)))
        else str(value)
    )


@app.command()
def pin(
    source: Annotated[
        str,
        typer.Argument(
            help="pypi:NAME==VERSION, debian:PACKAGE, local:PATH, git:URL[@REF], hf:[datasets/]OWNER/NAME[@REVISION] or https://..."
        ),
    ],
    include: Annotated[
        str,
        typer.Option(
            help="Glob of the files that a payload pin covers; of a hub's files, those to fetch; a path of a git repository"
        ),
    ] = "*",
    root: Annotated[str, typer.Option(help="Folder inside the archive that counts as its top")] = "",
) -> None:
    """Look a source up and print it with its sha256, ready to paste into a target file."""
    kind, _, rest = source.partition(":")
    try:
        check_glob(include.removesuffix("/"))  # a folder of a git repository ends in one
    except ValueError as error:
        raise BadInput(f"--include: {error}") from None
    try:
        entries: Any
        if kind in {"git", "hf", "http", "https"}:
            entries = [_pin_remote(kind, rest, source, include, root)]
        else:
            entries = _pin_pypi(rest, source) if kind == "pypi" else _pin_payload(kind, rest, source, include, root)
    except (Unavailable, RefusedArchive) as problem:
        raise BadInput(f"{source}: {problem}") from None
    print(yaml.safe_dump(entries, sort_keys=False), end="")


def _pin_pypi(rest: str, source: str) -> list[dict[str, str]]:
    package, _, version = rest.partition("==")
    parse(PypiSource, {"kind": "pypi", "package": package, "version": version}, source)
    files = project_files(package)
    if not (found := [link for known, link in files if known == version]):
        ask_every_index(package)
        known = ", ".join(dict.fromkeys(v for v, _ in files)) or "no such project"
        raise BadInput(f"{source}: not on the index; there is: {known[:300]}")
    return [
        {
            "kind": "pypi", "package": package, "version": version, "file": link.filename,
            "sha256": (link.hashes or {}).get("sha256", "unknown: the index does not say"),
        }
        for link in found
    ]  # fmt: skip


def _pin_remote(kind: str, rest: str, source: str, include: str, root: str) -> dict[str, Any]:
    """An entry of `sources` with what fixes it: a commit, or the digest of the file, which is downloaded for that."""
    name, _, at = rest.partition("@")
    entry: dict[str, Any] = {"kind": "http", "url": source}
    if kind == "git":
        entry = {"kind": "git", "url": name, "commit": "0" * 40}
        entry.update({"ref": at} if at else {})
        entry["commit"] = parse(GitSource, entry, source).upstream()
        entry.update({} if include == "*" else {"paths": [include]})
    elif kind == "hf":
        dataset = name.startswith("datasets/")
        entry = {"kind": "hf", "repo": name.removeprefix("datasets/"), "files": [include]}
        entry |= ({"repo_type": "dataset"} if dataset else {}) | ({"revision": at} if at else {})
        files, commit = hf.pin(parse(HfSource, entry, source), include, Store(cache_home()))
        entry |= {"commit": commit}
        entry["files"] = [{"path": file.path} | ({"sha256": file.sha256} if file.sha256 else {}) for file in files]
    else:
        fetched = parse(HttpSource, entry, source).fetch(Store(cache_home()), source)
        entry |= {"sha256": fetched.sha256, "bytes": fetched.size_bytes}
    entry |= {"root": root} if root else {}
    parse(ArtifactSpec, {"sources": [entry]}, source)
    return entry


def _pin_payload(kind: str, rest: str, source: str, include: str, root: str) -> dict[str, Any]:
    entry = {"kind": kind, ("path" if kind == "local" else "package"): rest} | ({"root": root} if root else {})
    spec: ArtifactSpec = parse(ArtifactSpec, {"sources": [entry]}, source)
    store = Store(cache_home())
    fetched = spec.sources[0].fetch(store, source)
    payload = payload_digest(source_root(store, fetched.sha256, fetched.filename, root), (include,))
    return {"sources": [entry | {"sha256": fetched.sha256}], "payload": {"sha256": payload, "include": [include]}}


@app.command()
def dashboard(
    target: Annotated[str | None, typer.Argument(help="Print the link to this target's chart")] = None,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1")] = 5000,
) -> None:
    """Start MLflow's server on this machine and print links that open each target's chart view."""
    root = find_root()
    uri = tracking.tracking_uri(root, None)
    names = _chosen(root, [target] if target else None)
    for name in names:
        layout = Layout(root, name)
        if layout.verdict.is_file() and (experiment := tracking.experiment_id(root, None, name)) is not None:
            audit = tracking.audit_name(read_record(layout.verdict, ReleaseVerdict))
            print(f"{name}: http://127.0.0.1:{port}{tracking.chart_path(experiment, audit)}", flush=True)
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


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


def main() -> None:
    """Entry point: faults end in one line and exit status 2 or 3, never in a traceback."""
    with faults_in_one_line():
        app()
