"""Arguments that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

OptionalTargets = Annotated[
    list[str] | None, typer.Argument(help="Names of targets; every target of conf/pipeline.yaml when left out")
]


def complete_targets(incomplete: str) -> list[str]:
    """Names of targets that begin so."""
    return [incomplete]
