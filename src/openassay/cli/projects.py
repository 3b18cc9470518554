"""A project of one's own: make it, draft its targets, and keep its records for others."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from openassay.cli.arguments import target_argument
from openassay.faults import BadInput, counted, printable
from openassay.layout import Layout, cache_home, checked_name, find_root


def init(folder: Annotated[Path, Argument(help="An empty folder or a git repository")] = Path()) -> None:
    """Make a project: settings, an index of targets, the pipeline and a CI workflow. Nothing that is there is overwritten.

    Its targets are files of conf/target/; settings that it does not name, and options without a file there, are OpenAssay's own.
    """
    from openassay.new_project import IF_NONE, WORKFLOW, init

    written = init(folder)
    print(f"created a project in {folder.absolute()}: {', '.join(written)}")
    for name in IF_NONE:
        if name not in written:
            more = "; let it name .venv/, mlflow.db* and mlartifacts/" if name == ".gitignore" else ""
            print(f"{name} was there and is left as it is{more}")
    if WORKFLOW not in written:
        print("without a CI workflow: only those in the top folder of the git repository are run")
    print("next: put a target into conf/target/NAME.yaml (`openassay check NAME`), then `openassay audit NAME`;")
    print("or audit one that comes with OpenAssay: `openassay audit catalogue:mnist1d_logistic`")


RELEASE = "https://... of a git repository [@TAG or @COMMIT], hf:OWNER/NAME, pypi:NAME[==VERSION], or a local folder"


def new(
    source: Annotated[str, Argument(help=RELEASE)],
    *,
    name: Annotated[str, Option(help="Name of the target; by default the release's own")] = "",
    try_: Annotated[bool, Option("--try", help="Then also build its environment and run it once, on the CPU")] = False,
) -> None:
    """Draft a target file from a release's own files, with every guess marked. Nothing of the release is run without --try.

    An audit refuses the target until each line under `guesses` is confirmed and removed. No file is overwritten.
    """
    from openassay.draft.brought import bring
    from openassay.draft.fine_tuning import card_of, draft_fine_tuning
    from openassay.draft.written import draft, try_out
    from openassay.records import parse, write_text
    from openassay.store import Store
    from openassay.target import Target, look_over_target

    root, store = find_root(), Store(cache_home())
    if name:
        _refuse_if_there(Layout(root, checked_name(name, "--name")))
    brought = bring(source, root, store)
    name = name or re.sub(r"[^a-z0-9]+", "_", brought.name.lower()).strip("_")[:64]
    layout = Layout(root, checked_name(name, "--name"))
    _refuse_if_there(layout)
    card = card_of(brought)
    drafted = draft_fine_tuning(brought, card, name, store) if card else draft(brought, name, store)
    write_text(layout.target_file, drafted.text())
    file = layout.shown(layout.target_file)
    lines = [
        f"written: {file}",
        "seen:",
        *(f"  {line}" for line in drafted.seen),
        "to decide, in the file under `guesses`:",
    ]
    lines += [f"  {i}. {key}: {reason}" for i, (key, reason) in enumerate(drafted.guesses.items(), 1)]
    wrong = [line for line in look_over_target(layout)[1] if ": guesses: " not in line]
    lines += [*(["to correct:"] if wrong else []), *(f"  {line}" for line in wrong)]
    lines += [f"next: edit it; then openassay check {name}; openassay plan-runs {name}; openassay audit {name}"]
    lines += [f"      conf/index.yaml: add `- {name}` under targets, once its audit is to belong to plain `dvc repro`"]
    print(*map(printable, lines), sep="\n")
    if try_:
        target: Target = parse(Target, {"schema_version": 1} | drafted.data, file)
        print(*map(printable, try_out(target, layout, store)), sep="\n")


def _refuse_if_there(layout: Layout) -> None:
    if layout.target_file.exists():
        raise BadInput(f"{layout.shown(layout.target_file)}: it is there already; give another --name, or remove it")


def publish(targets: Annotated[list[str], target_argument("Names of targets")]) -> None:
    """Keep the records of the last audits in experiments/TARGET/published/, to be committed: an audit never writes there."""
    from openassay.new_project import publish
    from openassay.project import layouts
    from openassay.schedule import alone

    for layout in layouts(find_root(), targets):
        with alone(layout.root, layout.target):
            print(publish(layout))


def site(
    out: Annotated[Path, Option(help="Folder for the pages: empty, or with an earlier catalogue")] = Path("catalogue"),
    *,
    url: Annotated[str, Option(help="Where they will stand, https://...: for feeds and badges that others embed")] = "",
    published: Annotated[
        bool, Option("--published", help="Only the committed audits, none of this machine's own")
    ] = False,
) -> None:
    """Write the catalogue: static pages of all targets and their audits, with feeds and badges. No server is needed.

    Exit status: 0; 2 where a record could not be used, which is named: the other pages are written.
    """
    import typer

    from openassay.catalogue import pages, read_catalogue, write

    entries, problems = read_catalogue(find_root(), own=not published)
    write(out, pages(entries, url))
    for line in problems:
        print(f"error: {printable(line)}", file=sys.stderr)
    print(f"written: {out / 'index.html'}: {counted(sum(of.verdict is not None for of in entries), 'audited release')}")
    if problems:
        raise typer.Exit(BadInput.exit_code)
