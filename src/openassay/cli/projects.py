"""A project of one's own: make it, and keep its records for others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument

from openassay.cli.arguments import target_argument
from openassay.layout import find_root


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


def publish(targets: Annotated[list[str], target_argument("Names of targets")]) -> None:
    """Keep the records of the last audits in experiments/TARGET/published/, to be committed: an audit never writes there."""
    from openassay.new_project import publish
    from openassay.project import layouts
    from openassay.schedule import alone

    for layout in layouts(find_root(), targets):
        with alone(layout.root, layout.target):
            print(publish(layout))


def sync() -> None:
    """Write the pipelines of the targets in the index, which plain `dvc repro` needs; an audit writes its own before it runs."""
    from openassay.pipeline import link_package, without_target, write_pipeline
    from openassay.project import index, layouts
    from openassay.target import read_target

    root = find_root()
    link_package(root)
    for layout in layouts(root, index(root)):
        if write_pipeline(layout, read_target(layout)):
            print(f"written: {layout.shown(layout.pipeline)}")
    for path in without_target(root):
        print(f"{path}: its target is gone. Delete this folder: plain `dvc repro` fails on it")
