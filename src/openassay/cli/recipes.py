"""Recipes: as they are published, and what a replay by them says."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from openassay.cli.arguments import AsJson, ReplayName, fetched_roots, the_layout
from openassay.faults import BadInput, printable
from openassay.layout import Layout, cache_home, find_root

if TYPE_CHECKING:
    from openassay.drivers.replay import ReplayDriver
    from openassay.plan import Plan


FILES = "a published recipe: YAML, JSON, gin, or Amber's main.py; several are joined"


def recipe(
    files: Annotated[list[Path], Argument(metavar="FILE...", help=FILES)],
    format: Annotated[str | None, Option(help="the first file's, where it is not recognised")] = None,  # noqa: A002 - the word
    as_json: AsJson = False,
) -> None:
    """Print the canonical recipe of a published training recipe: each value with the line or the code it comes from."""
    from openassay.cli.terminal import console, plain, table
    from openassay.published.recipes import read_recipes
    from openassay.published.recipes.draft import UNITS
    from openassay.records import to_json, to_plain

    found = read_recipes(files, format)
    if as_json:
        print(to_json({**to_plain(found), "units": UNITS}, ascii_only=True))
        return
    screen, rows = console(160), table("name", "value", "unit", "from", "where")
    screen.print(f"{plain(', '.join(map(str, files)))}: {plain(found.format)}", soft_wrap=True)
    for name, value in found.values.items():
        origin = found.origins[name]
        shown = "–" if origin.kind == "unstated" and value is None else plain(_brief(value))
        where = functools.reduce(lambda text, file: text.replace(str(file), file.name), files, origin.where)
        rows.add_row(name, shown, UNITS.get(name, ""), origin.kind, plain(where))
    screen.print(rows)
    lists = {
        "missing: without these there is no recipe to train from": found.missing,
        "unknown keys": [f"{where} {key}" for key, where in found.unknown.items()],
        "ignored keys": [f"{key}: {why}" for key, why in found.ignored.items()],
        "notes": found.notes,
    }
    for title, lines in lists.items():
        screen.print(f"{title}: {len(lines) or 'none'}")
        for line in lines:
            screen.print(f"  {plain(line)}", soft_wrap=True)


def _brief(value: object) -> str:
    """A value in a table's cell: a long list by its ends."""
    if isinstance(value, tuple):
        words = [_brief(item) for item in value]
        return f"{len(words)}: {', '.join(words[:3])} … {words[-1]}" if len(words) > 6 else ", ".join(words) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_brief(item)}" for key, item in value.items()) or "none"
    return {"True": "yes", "False": "no", "None": "none"}.get(repr(value), str(value))


def explain(
    target: ReplayName,
    *,
    updates: Annotated[list[int] | None, Option(help="Horizons, in updates; those of the target when left out")] = None,
    as_json: AsJson = False,
) -> None:
    """Say why a replay does not match: standard and declared alternatives, ranked by how much of the difference each removes."""
    from openassay.drivers.replay import MARGIN, explanation_to_plain

    plan, replay, roots = _fetched_replay(target)
    roots |= _brought(plan, Layout(find_root(), target), plan.only_alternatives())
    with _wrong_files_of(target):
        found = replay.explained(roots, updates=tuple(updates or replay.updates), say=_say)
    if as_json:
        print(json.dumps(explanation_to_plain(found), indent=2))
        return
    print(f"the replay by the published recipe is {found.plain_in_floors:.3g} floors off; beyond {MARGIN:g} it differs")
    for tried in found.ranked[:10]:
        mark = "explains it" if tried.explains else f"removes {100 * max(0.0, tried.removed):.0f} %"
        print(f"  {tried.in_floors:10.3g} floors  {mark:16}  {printable(tried.name)} ({tried.field})")
    if len(found.group) > 1:
        print(f"cannot be told apart here: {', '.join(found.group)}")
    for line in found.not_tried:
        print(printable(f"not tried: {line}"))
    print(printable(found.remainder))


def checkpoints(target: ReplayName, *, as_json: AsJson = False) -> None:
    """Look at a release's published checkpoints by themselves, without training: copies, leaps, strangers, the initialisation."""
    from openassay.cli import terminal
    from openassay.protocols.forensics import inspect_checkpoints
    from openassay.records import to_json

    _, replay, roots = _fetched_replay(target)
    with _wrong_files_of(target):
        record = inspect_checkpoints(replay.release(roots), say=_say)
    if as_json:
        print(to_json(record, ascii_only=True))
        return
    table = terminal.table("step", "digest", "from the first", "from before", "largest move", "bound")
    for column in table.columns:
        column.justify = "left" if column.header == "digest" else "right"
    for look in record.looks:
        numbers = (look.from_first, look.from_before, look.largest_move, look.bound)
        table.add_row(str(look.step), look.digest[:12], *(terminal.number(number, ".3g") for number in numbers))
    terminal.console(120).print(table)
    for odd in record.oddities:
        print(f"{odd.kind}: {printable(odd.message)}")
    print(f"odd things in {len(replay.checkpoints)} checkpoints: {len(record.oddities)}")


def _say(line: str) -> None:
    print(f"  {printable(line)}", file=sys.stderr)


@contextmanager
def _wrong_files_of(target: str) -> Iterator[None]:
    """Say in one line what is wrong with a release's recipe or token files."""
    from openassay.published.tokens import BadTokens
    from openassay.sources.fetched import Unavailable
    from openassay.training.mismatch import RecipeMismatch

    try:
        yield
    except (Unavailable, BadTokens, RecipeMismatch) as problem:
        raise BadInput(f"{target}: {problem}") from None


def _fetched_replay(target: str) -> tuple[Plan, ReplayDriver, dict[str, str]]:
    """A target's plan and replay, and where its fetched artifacts lie."""
    from openassay.drivers.replay import replay_of
    from openassay.plan import read_plan

    layout = the_layout(target)
    plan = read_plan(layout)
    replay = replay_of(plan.rerun, f"conf/target/{target}.yaml: rerun")
    roots = fetched_roots(layout)
    if missing := sorted(set(plan.artifacts) - plan.only_alternatives() - set(roots)):
        raise BadInput(f"{target}: the artifact {missing[0]} could not be fetched: there is nothing to replay")
    return plan, replay, roots


def tokens(
    target: ReplayName,
    *,
    updates: Annotated[int | None, Option(help="So many updates; the target's last horizon when left out")] = None,
) -> None:
    """Print which bytes of the published token files a replay reads, ready to be pasted into the target.

    Where the order of training is scattered over large files, only the sequences of the first updates are brought then, and those
    beyond on which losses are paired. The recipe is fetched; of the tokens only the hub's list of sizes is.
    """
    from openassay.drivers.replay import replay_of
    from openassay.plan import make_plan
    from openassay.sources.hf import HfSource
    from openassay.sources.roots import artifact_roots
    from openassay.stages import fetch
    from openassay.store import Store

    layout, where = the_layout(target), f"conf/target/{target}.yaml"
    plan = make_plan(layout)
    rerun = replay_of(plan.rerun, f"{where}: rerun")
    name, order = rerun.tokens.artifact, rerun.recipe.artifact
    source = plan.artifacts[name].sources[0]
    if not isinstance(source, HfSource):
        raise BadInput(f"{where}: artifacts.{name}.sources.0: single bytes can be asked for only from a hub")
    steps = max(rerun.updates) if updates is None else updates
    if steps < 1:
        raise BadInput(f"--updates: at least 1, found {updates}")
    store = Store(cache_home())
    with redirect_stdout(sys.stderr):
        roots = artifact_roots(store, fetch.run(plan, store, layout, [order]))
    if order not in roots:
        raise BadInput(f"{target}: the artifact {order} could not be fetched: the recipe says the order")
    with _wrong_files_of(target):
        recipe = rerun.read(roots)
        sizes = source.sizes(store, rerun.tokens.files)
        found = rerun.token_ranges(recipe, sizes, *rerun.sequences(recipe, steps))
    size = f"{sum(of.size for of in found)} bytes in {len(found)} pieces"
    print(f"# {steps} updates and what losses are paired on: {size}")
    print(f"# artifacts.{name}.sources.0")
    print("files:")
    for of in found:
        print(f"- {{path: {json.dumps(of.file)}, bytes: [{of.start}, {of.stop}]}}")
    print("# rerun.tokens")
    print(f"sizes: {json.dumps(sizes)}")


def _brought(plan: Plan, layout: Layout, names: Collection[str]) -> dict[str, str]:
    """What only an explanation needs, as far as it can be had: a network that is down leaves an alternative untried."""
    from openassay.sources.fetched import Unreachable
    from openassay.sources.roots import artifact_roots
    from openassay.stages import fetch
    from openassay.store import Store

    found: dict[str, str] = {}
    store = Store(cache_home())
    for name in sorted(names):
        try:
            with redirect_stdout(sys.stderr):
                record = fetch.run(plan, store, layout, [name])
        except Unreachable as problem:
            _say(f"{name}: {problem}")
            continue
        for finding in record.findings:
            _say(finding.message)
        found |= artifact_roots(store, record)
    return found
