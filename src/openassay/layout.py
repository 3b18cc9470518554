"""The paths of a project. No other module spells them."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from openassay.faults import BadInput, Fault

GROUPS = ("profile", "judge", "scale", "execution", "isolation", "tracking")
"""Groups of settings: folders of conf/ with an option a file, of which conf/pipeline.yaml names one each."""

CATALOGUE = "catalogue:"
"""Stands before the name of a target that comes with OpenAssay, where the project's own are meant otherwise."""
OUR_CONF = Path(__file__).parent / "conf"
"""The groups of settings and the targets that come with OpenAssay."""

_NAME = re.compile(r"[a-z0-9_]{1,64}\Z")


def checked_name(name: str, where: str) -> str:
    """The name, if it may stand in a path and on a shell line (`[a-z0-9_]`, at most 64); `BadInput` otherwise."""
    if not _NAME.match(name):
        raise BadInput(f"{where}: {name!r} is not a name; use a-z, 0-9 and _ (at most 64)")
    return name


def is_path(reference: str) -> bool:
    """Whether a target is given by the path of its file, not by its name."""
    return "/" in reference or reference.endswith((".yaml", ".yml"))


def cache_home() -> Path:
    """The folder of downloads and built environments: `$OPENASSAY_CACHE`, or `~/.cache/openassay`."""
    if given := os.environ.get("OPENASSAY_CACHE"):
        return Path(given).absolute()
    home = os.path.expanduser("~")
    if not (users := os.environ.get("XDG_CACHE_HOME")) and home == "~":
        raise BadInput("this user has no home folder: set OPENASSAY_CACHE, or HOME, to a folder for downloads")
    return Path(users or f"{home}/.cache").absolute() / "openassay"


def find_root(start: Path | None = None) -> Path:
    """The project's folder: the nearest one upwards that holds `dvc.yaml` and `conf/pipeline.yaml`."""
    here = (start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").is_file() and (folder / "conf" / "pipeline.yaml").is_file():
            return folder
    raise BadInput(f"{here}: not inside an OpenAssay project (no dvc.yaml with conf/pipeline.yaml here or above)")


def named_target(argv: list[str]) -> Layout:
    """The target that a stage's script was called for: the first word of its command line."""
    if len(argv) < 2:
        raise BadInput("no target is given; give its name, catalogue:NAME or the path of its file")
    root = find_root()
    link = root / ".openassay" / "conf"
    if link.is_symlink() and link.readlink() != OUR_CONF.absolute():
        raise BadInput(f"{root}: DVC looks at another installation of OpenAssay here; run `openassay sync` first")
    return Layout.named(root, argv[1])


class _Below:
    """A path below a target's folder."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, layout: Layout, owner: type[Layout]) -> Path:
        return layout.folder / self.name


@dataclass(frozen=True)
class Layout:
    """The paths of one target's audit below a project's root."""

    root: Path
    target: str
    file: Path | None = None
    """The target's file, where it is not conf/target/TARGET.yaml of the project."""

    plan = _Below("plan.yaml")
    """The frozen plan."""
    data = _Below("prepare/data")
    """What the published preparation made."""
    pipeline = _Below("dvc.yaml")
    """The DVC pipeline of this target alone."""
    published = _Below("published")
    """The records that are shown to others: an audit never writes here, `openassay publish` does."""
    verdict = _Below("verdict.json")
    """The record that others rely on."""
    metrics = _Below("metrics.json")
    """The verdict's few numbers, for `dvc metrics show`."""
    runs = _Below("runs.csv")
    """One row a rerun and claim, for `dvc plots show`."""
    history = _Below("history.jsonl")
    """One line an audit, the oldest first."""
    reviews = _Below("reviews.jsonl")
    """What people said of this target's audits: one line each, the oldest first; for git, and never rewritten."""
    report = _Below("report.html")
    """The page for people."""

    def __post_init__(self) -> None:
        checked_name(self.target, "target")

    @classmethod
    def named(cls, root: Path, reference: str) -> Layout:
        """The layout of the target that `NAME`, `catalogue:NAME` or the path of a file means, whether it is there or not."""
        if reference.startswith(CATALOGUE):
            name = checked_name(reference.removeprefix(CATALOGUE), "target")
            return cls(root, name, OUR_CONF / "target" / f"{name}.yaml")
        if is_path(reference):
            path = Path(os.path.abspath(reference))  # without `..`, and with links as they are
            own = path.parent == root / "conf" / "target" and path.suffix == ".yaml"
            return cls(root, checked_name(path.stem, reference), None if own else path)
        return cls(root, checked_name(reference, "target"))

    @property
    def reference(self) -> str:
        """The shortest text by which `named` finds this target again."""
        if self.file is None:
            return self.target
        ours = self.file == OUR_CONF / "target" / f"{self.target}.yaml"
        return f"{CATALOGUE}{self.target}" if ours else str(self.file)

    @property
    def target_file(self) -> Path:
        """The release under verification, as data."""
        return self.file or self.root / "conf" / "target" / f"{self.target}.yaml"

    @property
    def glue_folder(self) -> Path:
        """Short scripts beside the target files, where a release needs one to be called."""
        return self.target_file.parent / "glue"

    def shown(self, path: Path) -> str:
        """A path as messages show it: from the project's root where it lies below it."""
        if path.is_relative_to(OUR_CONF) and not path.is_relative_to(self.root):
            return f"{CATALOGUE}{path.relative_to(OUR_CONF / 'target').with_suffix('').as_posix()}"
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)

    @property
    def folder(self) -> Path:
        """All records of this target."""
        return self.root / "experiments" / self.target

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the folder of this target's runs; `Fault` where another process does, for each would remove the other's."""
        self.folder.mkdir(parents=True, exist_ok=True)
        held = os.open(self.folder, os.O_RDONLY)
        try:
            with suppress(OSError):  # of a file system that knows no locks
                try:
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    todo = "Wait for its end, then run the command again."
                    raise Fault(f"{self.shown(self.folder)}: another audit or sweep runs there. {todo}") from None
            yield
        finally:
            os.close(held)

    def record(self, stage: str) -> Path:
        """A stage's record (`fetch`, `inspect`, `prepare`, `evaluate`, `rerun`)."""
        return self.folder / stage / "record.json"

    def rerun(self, arm: str, seed: int) -> Path:
        """The folder of one rerun."""
        return self.folder / "rerun" / arm / f"seed-{seed}"

    @property
    def planned(self) -> Path:
        """How many reruns of each arm are planned."""
        return self.folder / "rerun" / "planned.json"

    def inputs(self, stage: str) -> Path:
        """Digests of the sections of the plan that a stage reads."""
        return self.folder / "inputs" / f"{stage}.json"

    def latest(self, path: Path) -> Path:
        """A record of this machine's last audit, or the one that was published where this machine has made none."""
        return path if path.is_file() or not self.published.is_dir() else self.published / path.name
