"""Arguments and options that several commands take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from openassay.faults import BadInput
from openassay.layout import Layout, cache_home, find_root

if TYPE_CHECKING:
    from openassay.target import Target


def complete_targets(incomplete: str) -> list[str]:
    """Names of the project's targets that begin so, for a shell's completion."""
    try:
        folder = find_root() / "conf" / "target"
    except BadInput:
        return []
    return sorted(path.stem for path in folder.glob("*.yaml") if path.stem.startswith(incomplete))


def the_layout(target: str) -> Layout:
    """Where the files of a target lie."""
    from openassay.project import layouts

    return layouts(find_root(), [target])[0]


def fetched_roots(layout: Layout) -> dict[str, str]:
    """Where a target's fetched artifacts lie; `BadInput` when it was not fetched."""
    from openassay.core.findings import FetchRecord
    from openassay.records import read_record
    from openassay.sources.roots import artifact_roots
    from openassay.store import Store

    record, name = layout.record("fetch"), layout.target
    if not record.is_file():
        raise BadInput(f"{name}: not fetched yet; run `openassay audit {name}` first")
    return artifact_roots(Store(cache_home()), read_record(record, FetchRecord))


def fetched_paths(layout: Layout, target: Target) -> dict[str, dict[str, bool] | None]:
    """Of each artifact every path that lies at its source, and whether it is a link; None where that is not known."""
    from openassay.core.findings import FetchRecord
    from openassay.records import read_record
    from openassay.sources.roots import listed_paths
    from openassay.store import Store

    store = Store(cache_home())
    record = read_record(layout.record("fetch"), FetchRecord)
    return {of.name: listed_paths(store, of, target.artifacts[of.name].all_paths(store)) for of in record.artifacts}


AsJson = Annotated[bool, Option("--json", help="Print JSON")]
_AGE = (
    "Only, or say, what is due: never audited, or AGE (12h, 30d, 4w) ago; `audit` also asks whether the plan or the sources have "
    "changed"
)
Age = Annotated[str | None, Option(metavar="AGE", help=_AGE)]


def target_argument(words: str, **more: Any) -> Any:
    """An argument that takes names of targets, with their completion."""
    return Argument(help=words, autocompletion=complete_targets, **more)


TargetName = Annotated[str, target_argument("Name of a target")]
ReplayName = Annotated[str, target_argument("Name of a target with the driver `replay`, fetched before")]
OptionalTargets = Annotated[
    list[str] | None, target_argument("Names of targets; every target of conf/target/ when left out")
]
_FILES = (
    "Names of targets, or target files anywhere (a path that ends in .yaml or has a / in it); every target of conf/target/ when "
    "left out"
)
TargetsOrFiles = Annotated[list[str] | None, target_argument(_FILES, metavar="TARGET|FILE")]
