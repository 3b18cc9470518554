"""How does a lab get a project of its own? `openassay init` makes one; and its records are published when it asks for it."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from openassay import __version__
from openassay.core.verdict_records import ReleaseVerdict
from openassay.faults import BadInput
from openassay.layout import Layout, cache_home, checked_name, find_root, is_path
from openassay.pipeline import link_package
from openassay.plan import read_plan
from openassay.provenance import git
from openassay.records import digest, read_record, write_text
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
    """Make a project in a folder, which may be a git repository; gives the files that were written.

    Raises `BadInput`, before anything is written, inside a project and where a file of a project's lies already.
    """
    folder = folder.absolute()
    try:
        root = find_root(folder)
    except BadInput:
        pass
    else:
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
    """Write a project's files, and those that a folder has none of yet; gives their names. `top`: of its git repository."""
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
        raise BadInput(f"{folder}: it lies in a git repository, yet not in its working tree; choose another folder")
    return Path(git(there, "rev-parse", "--show-toplevel") or there) if inside else None


def init_dvc(folder: Path, top: Path | None) -> None:
    """Set DVC up in a folder, unless it or one above it is: with git where there is git (`top`, its top folder)."""
    from dvc.exceptions import NotDvcRepoError  # noqa: PLC0415 - takes a while to import
    from dvc.repo import Repo  # noqa: PLC0415

    with suppress(NotDvcRepoError):
        Repo.find_root(str(folder))
        return
    subdir = top is not None and top.resolve() != folder.resolve()
    logger = logging.getLogger("dvc")
    level = logger.level
    logger.setLevel(logging.WARNING)  # without its words on what to do next
    try:
        repo = Repo.init(str(folder), no_scm=top is None, subdir=subdir)
    finally:
        logger.setLevel(level)
    with repo.config.edit("repo") as config:
        config["core"]["analytics"] = False
    ignored = folder / ".dvcignore"
    write_text(
        ignored,
        ignored.read_text(encoding="utf-8") + "".join(f"{name}/\n" for name in (".venv", "venv", "__pycache__")),
    )


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
    print(f"outside of a project: the records are kept in {root}", file=sys.stderr)
    return root


def publish(layout: Layout) -> Path:
    """Keep the records of a target's last audit where they are committed; gives the folder."""
    if not layout.verdict.is_file():
        raise BadInput(f"{layout.target}: not audited yet; run `openassay audit {layout.target}` first")
    if read_plan(layout).digest != read_record(layout.verdict, ReleaseVerdict).plan_digest:
        raise BadInput(
            f"{layout.target}: plan and verdict are of two audits; run `openassay audit {layout.reference}` first"
        )
    for path in (layout.plan, layout.verdict, layout.metrics, layout.report):
        write_text(layout.published / path.name, path.read_text(encoding="utf-8"))
    return layout.published
