"""Target files: whether they are well formed, and what their tolerances cost."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option

from openassay.cli.arguments import Age, AsJson, TargetsOrFiles
from openassay.faults import BadInput, counted, printable
from openassay.layout import Layout, find_root

MOST_LINES = 20
"""Of one file's problems; the others are counted."""
_DRIVER = re.compile(r"(?:^|[\s{,])['\"]?driver['\"]?:\s*['\"]?(\w+)")


def check(targets: TargetsOrFiles = None) -> None:
    """Check target files without running anything: every key, pin, reference and number; of a whole project its index too.

    All that is wrong is said, a line each; exit status 2 then. A file may lie anywhere, its script in glue/ beside it.
    """
    from openassay.project import index, meant
    from openassay.settings import compose
    from openassay.target import look_over_target

    broken = False
    for layout in meant(targets):
        target, problems = look_over_target(layout)
        broken |= bool(problems)
        for line in problems[:MOST_LINES]:
            print(f"error: {printable(line)}", file=sys.stderr)
        if (more := len(problems) - MOST_LINES) > 0:
            print(f"error: {printable(layout.shown(layout.target_file))}: and {more} more", file=sys.stderr)
        if target and not problems:
            name = printable(layout.shown(layout.file)) if layout.file else layout.target
            print(
                f"{name}: well formed; {counted(len(target.artifacts), 'artifact')}, {counted(len(target.claims), 'claim')}, "
                f"{counted(len(target.controls), 'control')}",
                flush=True,
            )
    if not targets:  # of a whole project, its index too
        try:
            index(find_root())
            compose(find_root())
        except BadInput as problem:
            print(f"error: {printable(str(problem))}", file=sys.stderr)
            broken = True
    if broken:
        raise typer.Exit(BadInput.exit_code)


def list_(*, due: Age = None, as_json: AsJson = False) -> None:
    """List every target of the project: its driver, whether plain `dvc repro` audits it, and what its last audit said."""
    from openassay.project import index, target_names
    from openassay.records import to_json

    age = None
    if due is not None:
        from openassay.schedule import parse_age

        age = parse_age(due)
    root = find_root()
    names, indexed = target_names(root), set(index(root))
    rows = [_listed(Layout(root, name), age) | {"in_index": name in indexed} for name in names]
    if as_json:
        print(to_json(rows))
        return
    from openassay.cli import terminal
    from openassay.core.verdict import weaker

    reviewed = any(row["review"] != "–" for row in rows)
    columns = [*(["review"] if reviewed else []), *(["due"] if due else [])]
    table = terminal.table("target", "driver", "index", "outcome", "score", "finished", *columns)
    for row in rows:
        table.add_row(
            row["target"], terminal.plain(row["driver"] or "–"), "yes" if row["in_index"] else "no",
            terminal.styled(row["outcome"] or "–", (row["outcome"] or "–") + weaker(row["outcome"], row["basis"])),
            terminal.number(row["score"], ".2f"),
            terminal.plain(row["finished_at"] or "–"), *([row["review"]] if reviewed else []),
            *([terminal.plain(row["why_due"] or "no")] if due else []),
        )  # fmt: skip
    terminal.console(120).print(table)


def _listed(layout: Layout, age: timedelta | None) -> dict[str, Any]:
    """What `list` says of one target: its files are looked into, and not checked."""
    from openassay.reviewing import audit_name
    from openassay.seals import NotAsSealed, check_files

    row: dict[str, Any] = {"target": layout.target, "driver": _driver(layout.target_file)}
    audit = None
    row |= {"outcome": None, "basis": [], "score": None, "finished_at": None}
    try:
        if layout.verdict.is_file():
            check_files(layout, "judge")
        verdict = json.loads(layout.latest(layout.verdict).read_bytes())
        score = verdict["score"]["value"]
        row |= {
            "outcome": str(verdict["outcome"]),
            "basis": [str(of) for of in verdict.get("basis", ())],
            "score": None if score is None else float(score),
            "finished_at": str(verdict["provenance"]["finished_at"]),
        }
        audit = audit_name(str(verdict.get("plan_digest", "")), row["finished_at"])
    except NotAsSealed:
        row["outcome"] = "not as sealed"
    except FileNotFoundError:
        pass
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        row["outcome"] = "unreadable"
    row["review"] = _reviewed(layout, audit)
    row["why_due"] = _why_due(row["finished_at"], age) if age else None
    return row


def _reviewed(layout: Layout, audit: str | None) -> str:
    """What people said of a target's audits, in a word or two."""
    from openassay.reviewing import reviews, standing_in_words

    try:
        return standing_in_words(reviews(layout.root, layout.target), audit)
    except BadInput:
        return "unreadable"


def _driver(path: Path) -> str | None:
    """How a target's release is rerun, by the first line of `rerun` that says it: a parser takes a hundred times as long."""
    inside = False
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        if line and not line.startswith((" ", "\t", "#")):
            inside = line.startswith("rerun:")
        if inside and (found := _DRIVER.search(line)):
            return found[1]
    return None


def _why_due(finished_at: str | None, age: timedelta) -> str:
    """Why an audit of such an age is due; empty when it is not."""
    if finished_at is None:
        return "never audited"
    try:
        old = datetime.now(UTC) - datetime.fromisoformat(finished_at)
    except (ValueError, TypeError):
        return "its last audit has no date"
    return f"{old.days} days old" if old >= age else ""


def plan_runs(
    targets: TargetsOrFiles = None,
    *,
    profile: Annotated[str, Option(help="Profile, for the most reruns of an arm")] = "cpu",
) -> None:
    """Say before any run whether each tolerance can be decided, and how many reruns to expect."""
    from openassay.cli import terminal
    from openassay.core.evidence import share_terms_of, terms_of
    from openassay.core.power import expect, power
    from openassay.core.shares import chances
    from openassay.plan import make_plan
    from openassay.project import meant

    steps = (5, 10, 20, 50, 100)
    by_runs = f"P(REPRODUCED) by {', '.join(map(str, steps))} runs"
    console = terminal.console(130)
    table = terminal.table("target", "claim", "tolerance", "seed noise", by_runs, "caught", "reruns")
    for layout in meant(targets):
        name, plan = layout.target, make_plan(layout, [f"profile={profile}"])
        for claim in plan.claims:
            tolerance = f"± {claim.tolerance.margin:g}"
            untested = plan.rerun is None or not claim.testable
            if untested or claim.deterministic:
                how = "not tested" if claim.tier == "rerun" else f"{claim.tier}, without a rerun"
                if claim.evaluated and claim.evaluated.as_published and plan.release.weights:
                    how = f"not tested: {claim.evaluated.takes(plan.release.weights)}"
                cells = ("–", how, "–", "–") if untested else ("none", "1 if it is", "1", "2")
                table.add_row(name, claim.id, tolerance, *cells)
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
