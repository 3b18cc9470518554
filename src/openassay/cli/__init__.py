"""The command line: `openassay --help`. Each command imports what it needs, so that help and completion cost nothing."""

from __future__ import annotations

from typing import Annotated

import typer
from typer import Option

from openassay.cli.audits import audit, history, show, sweep, verify
from openassay.cli.judging import judge
from openassay.cli.openness import classify, inspect_
from openassay.cli.projects import init, new, publish, site
from openassay.cli.recipes import checkpoints, explain, recipe, tokens
from openassay.cli.reviews import dashboard, review, sync
from openassay.cli.sources import pin, schema
from openassay.cli.targets import check, list_, plan_runs
from openassay.faults import faults_in_one_line
from openassay.provenance import name_user


def _say_version(asked: bool) -> None:
    if asked:
        version()
        raise typer.Exit


_Version = Annotated[bool, Option("--version", help="Print the version.", callback=_say_version, is_eager=True)]


def _options(*, version: _Version = False) -> None:
    pass


def version() -> None:
    """Print the version."""
    from openassay import __version__

    print(__version__)


app = typer.Typer(
    help="Is it really open? Rerun a published training recipe and get a verdict with controlled error rates.",
    callback=_options, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
for command in (
    init, new, audit, list_, show, verify, review, history, check, plan_runs, judge, sweep, publish, site, dashboard,
    inspect_, classify, recipe, pin, schema, explain, checkpoints, tokens, sync, version,
):  # fmt: skip
    name = command.__name__.strip("_").replace("_", "-")
    app.command(name, short_help=(command.__doc__ or "").split("\n")[0].partition(":")[0].rstrip("."))(command)


def main() -> None:
    """Entry point: faults end in one line and exit status 2 or 3, never in a traceback."""
    name_user()
    with faults_in_one_line():
        app()
