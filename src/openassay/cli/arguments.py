"""Arguments and options that several commands take."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from openassay.faults import BadInput
from openassay.layout import find_root


def complete_targets(incomplete: str) -> list[str]:
    """Names of the project's targets that begin so, for a shell's completion."""
    try:
        folder = find_root() / "conf" / "target"
    except BadInput:
        return []
    return sorted(path.stem for path in folder.glob("*.yaml") if path.stem.startswith(incomplete))


AsJson = Annotated[bool, Option("--json", help="Print JSON")]
Age = Annotated[
    str | None,
    Option(
        metavar="AGE",
        help="Only, or say, what is due: never audited, or AGE (12h, 30d, 4w) ago; `audit` also asks whether the plan or the "
        "sources have changed",
    ),
]
TargetName = Annotated[str, Argument(help="Name of a target", autocompletion=complete_targets)]
ReplayName = Annotated[
    str, Argument(help="Name of a target with the driver `replay`, fetched before", autocompletion=complete_targets)
]
OptionalTargets = Annotated[
    list[str] | None,
    Argument(help="Names of targets; every target of conf/target/ when left out", autocompletion=complete_targets),
]
TargetsOrFiles = Annotated[
    list[str] | None,
    Argument(
        metavar="TARGET|FILE",
        help="Names of targets, or target files anywhere (a path that ends in .yaml or has a / in it); every target of "
        "conf/target/ when left out",
        autocompletion=complete_targets,
    ),
]
