"""Where does each thing lie? The one place that spells paths."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from openassay.faults import BadInput

STAGES = ("plan", "fetch", "inspect", "prepare", "evaluate", "rerun", "judge", "report")
"""The sentence: a release claims; OpenAssay plans, fetches, inspects, prepares, evaluates, reruns, judges and reports."""

_NAME = re.compile(r"[a-z0-9_]{1,64}\Z")


def checked_name(name: str, where: str) -> str:
    """Is this a name that may enter a path and a shell line? `[a-z0-9_]`, at most 64; returned as it is."""
    if not _NAME.match(name):
        raise BadInput(f"{where}: {name!r} is not a name; use a-z, 0-9 and _ (at most 64)")
    return name


def cache_home() -> Path:
    """Where do downloads and built environments live? `$OPENASSAY_CACHE`, or `~/.cache/openassay`."""
    if given := os.environ.get("OPENASSAY_CACHE"):
        return Path(given).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "openassay"


def find_root(start: Path | None = None) -> Path:
    """Where is the project? The nearest folder upwards that holds `dvc.yaml` and `conf/pipeline.yaml`."""
    here = (start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").is_file() and (folder / "conf" / "pipeline.yaml").is_file():
            return folder
    raise BadInput(f"{here}: not inside an OpenAssay project (no dvc.yaml with conf/pipeline.yaml here or above)")


def named_target(argv: list[str]) -> Layout:
    """Which target was a stage's script called for? The first word of its command line."""
    if len(argv) < 2:
        raise BadInput(f"usage: python -P {argv[0]} TARGET")
    return Layout(find_root(), argv[1])


@dataclass(frozen=True)
class Layout:
    """The paths of one target's audit below a project root."""

    root: Path
    target: str

    def __post_init__(self) -> None:
        checked_name(self.target, "target")

    @property
    def conf(self) -> Path:
        """What to verify."""
        return self.root / "conf"

    @property
    def target_file(self) -> Path:
        """The release under verification, as data."""
        return self.conf / "target" / f"{self.target}.yaml"

    @property
    def glue_folder(self) -> Path:
        """Short scripts beside the target files, where a release needs one to be called."""
        return self.conf / "target" / "glue"

    @property
    def folder(self) -> Path:
        """All records of this target."""
        return self.root / "experiments" / self.target

    @property
    def plan(self) -> Path:
        """The frozen plan."""
        return self.folder / "plan.yaml"

    def record(self, stage: str) -> Path:
        """A stage's record (`fetch`, `inspect`, `prepare`, `evaluate`, `rerun`)."""
        return self.folder / stage / "record.json"

    @property
    def data(self) -> Path:
        """What the published preparation made."""
        return self.folder / "prepare" / "data"

    def rerun(self, arm: str, seed: int) -> Path:
        """The folder of one rerun."""
        return self.folder / "rerun" / arm / f"seed-{seed}"

    @property
    def planned(self) -> Path:
        """How many reruns of each arm are planned."""
        return self.folder / "rerun" / "planned.json"

    def replay(self, arm: str, seed: int) -> Path:
        """What a replay found, statistic by statistic and field by field."""
        return self.rerun(arm, seed) / "replay.json"

    def checkpoints(self, arm: str, seed: int) -> Path:
        """What the published checkpoints say by themselves, beside their replay."""
        return self.rerun(arm, seed) / "checkpoints.json"

    @property
    def verdict(self) -> Path:
        """The record that others rely on."""
        return self.folder / "verdict.json"

    @property
    def metrics(self) -> Path:
        """The verdict's few numbers, for `dvc metrics show`."""
        return self.folder / "metrics.json"

    @property
    def runs(self) -> Path:
        """One row a rerun and claim, for `dvc plots show`."""
        return self.folder / "runs.csv"

    @property
    def history(self) -> Path:
        """One line an audit, the oldest first."""
        return self.folder / "history.jsonl"

    @property
    def report(self) -> Path:
        """The page for people."""
        return self.folder / "report.html"
