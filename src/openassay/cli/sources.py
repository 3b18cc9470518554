"""Looks sources up and pins them; prints the schemas of our files."""

from __future__ import annotations

from typing import Annotated, Any

from typer import Argument, Option

from openassay.faults import BadInput
from openassay.layout import cache_home

SOURCE = (
    "pypi:NAME==VERSION, debian:PACKAGE, local:PATH, git:URL[@REF], hf:[datasets/]OWNER/NAME[@REVISION] or https://..."
)
INCLUDE = "Glob of the files that a payload pin covers; of a hub's files, those to fetch; a path of a git repository"


def pin(
    source: Annotated[str, Argument(help=SOURCE)],
    include: Annotated[str, Option(help=INCLUDE)] = "*",
    root: Annotated[str, Option(help="Folder inside the archive that counts as its top")] = "",
) -> None:
    """Look a source up and print it with its sha256, ready to paste into a target file."""
    import yaml

    from openassay.sources.fetched import Unavailable
    from openassay.sources.pins import pinned, pypi_entries
    from openassay.store import RefusedArchive, Store, check_glob

    kind, _, rest = source.partition(":")
    try:
        check_glob(include.removesuffix("/"))  # a folder of a git repository ends in one
    except ValueError as error:
        raise BadInput(f"--include: {error}") from None
    try:
        if kind == "pypi":
            entries: Any = pypi_entries(rest, source)
        else:
            entries = pinned(kind, rest, source, Store(cache_home()), include, root)
    except (Unavailable, RefusedArchive) as problem:
        raise BadInput(f"{source}: {problem}") from None
    print(yaml.safe_dump(entries, sort_keys=False), end="")


RECORD = (
    "verdict, target (files in conf/target/), scenario (for judge), inspection, or a record: fetch, inspect, prepare"
)


def schema(record: Annotated[str, Argument(help=RECORD)] = "verdict") -> None:
    """Print the JSON Schema of verdict.json, of a target file, of a scenario, or of another record."""
    from openassay.schemas import KINDS, schema

    if record not in KINDS:
        raise BadInput(f"schema: {record!r} is not known; there are: {', '.join(KINDS)}")
    print(schema(record), end="")
