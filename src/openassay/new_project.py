"""Makes a project of a lab's own (`openassay init`), and keeps its records for others (`openassay publish`)."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from openassay import __version__
from openassay.faults import BadInput
from openassay.layout import Layout, cache_home, checked_name, find_root, is_path
from openassay.pipeline import link_package
from openassay.project import nearest_root
from openassay.provenance import git
from openassay.records import digest, write_text
from openassay.seals import check
from openassay.sources.local import ALLOWED_VARIABLE

WORKFLOW = ".github/workflows/openassay.yml"
FILES = {
    "conf/pipeline.yaml": "pipeline.yaml", "conf/index.yaml": "index.yaml", "dvc.yaml": "project.yaml",
    "experiments/.gitignore": "experiments.gitignore", WORKFLOW: "workflow.yml",
}  # fmt: skip
"""What a new project gets, each from a file of `project_files/`."""
IF_NONE = {"README.md": "README.md", ".gitignore": "gitignore"}
"""The same, where there is none of that name: these may be somebody's own."""


def init(folder: Path) -> list[str]:
    """Make a project in a folder, which may be a git repository; returns the files that were written.

    Raises `BadInput`, before anything is written, inside a project and where a file of a project's lies already.
    """
    folder = folder.absolute()
    if root := nearest_root(folder):
        raise BadInput(f"{folder}: {root} is an OpenAssay project already; nothing was written")
    if there := [name for name in [*FILES, "conf/target"] if (folder / name).exists()]:
        raise BadInput(f"{folder}: {', '.join(there)} is there already; move it, or choose another folder")
    # what cannot be written is found before anything is
    for name in (*FILES, "conf/target", ".dvc/config", ".openassay/conf"):
        above = next(of for of in (folder / name).parents if of.exists())
        if not above.is_dir():
            raise BadInput(f"{above}: a folder is needed here; move the file, or choose another folder")
        if not os.access(above, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "Permission denied", str(above))
    top = git_top(folder)
    written = write_files(folder, top)
    init_dvc(folder, top)
    link_package(folder)
    return written


def write_files(folder: Path, top: Path | None = None) -> list[str]:
    """Write a project's files, and some that a folder may have already; returns the names of those that were written.

    top: the top folder of its git repository, where it has one.
    """
    written = {name: of for name, of in (FILES | IF_NONE).items() if not (folder / name).exists()}
    if top is not None and top.resolve() != folder.resolve():
        del written[WORKFLOW]  # only those of a repository's top folder are run
    for name, of in written.items():
        text = (Path(__file__).parent / "project_files" / of).read_text(encoding="utf-8")
        write_text(folder / name, text.replace("VERSION", __version__))
    (folder / "conf" / "target" / "glue").mkdir(parents=True)
    return sorted(written)


def git_top(folder: Path) -> Path | None:
    """The top folder of the git repository that a folder lies in; None outside of one. `BadInput` in its own folder."""
    there = next(above for above in (folder, *folder.parents) if above.is_dir())
    inside = git(there, "rev-parse", "--is-inside-work-tree")
    if inside == "false":
        raise BadInput(f"{folder}: it is inside a git repository, but not in its working tree; choose another folder")
    return Path(git(there, "rev-parse", "--show-toplevel") or there) if inside else None


def init_dvc(folder: Path, top: Path | None) -> None:
    """Set DVC up in a folder, unless it or one above it is: with git where there is git (`top`, its top folder)."""
    from dvc.exceptions import NotDvcRepoError  # noqa: PLC0415 - takes a while to import
    from dvc.repo import Repo  # noqa: PLC0415

    with suppress(NotDvcRepoError):
        Repo.find_root(str(folder))
        return
    subdir = top is not None and top.resolve() != folder.resolve()
    logging.getLogger("dvc").setLevel(logging.WARNING)  # without its words on what to do next
    repo = Repo.init(str(folder), no_scm=top is None, subdir=subdir)
    with repo.config.edit("repo") as config:
        config["core"]["analytics"] = False
    ignored = folder / ".dvcignore"
    write_text(ignored, ignored.read_text(encoding="utf-8") + ".venv/\nvenv/\n__pycache__/\n")


def project_for(references: Sequence[str]) -> Path:
    """The project that a command is about: the one around it; outside of any, one in the cache for the file that it names."""
    try:
        return find_root()
    except BadInput:
        if not references or not all(is_path(reference) and Path(reference).is_file() for reference in references):
            raise
    path = Path(references[0]).resolve()
    root = cache_home() / "projects" / f"{checked_name(path.stem, references[0])}-{digest(str(path.parent))[:8]}"
    if not (root / "dvc.yaml").is_file():
        init(root)
    # its own folder is what the file may take local files from
    os.environ[ALLOWED_VARIABLE] = f"{path.parent}:{os.environ.get(ALLOWED_VARIABLE, '')}"
    print(f"Outside of a project: the records are kept in {root}.", file=sys.stderr)
    return root


def publish(layout: Layout) -> Path:
    """Copy the records of a target's last audit to where they are committed; returns the folder."""
    if not layout.verdict.is_file():
        raise BadInput(f"{layout.target}: not audited yet; run `openassay audit {layout.target}` first")
    check(layout)
    for path in (layout.plan, layout.verdict, layout.metrics, layout.report):
        write_text(layout.published / path.name, path.read_text(encoding="utf-8"))
    return layout.published
