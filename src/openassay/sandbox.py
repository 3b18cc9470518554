"""The room in which a target's code runs: its environment, its artifacts, its glue script, and a folder of its own.

Published code runs in a cage (`cage.py`), or, with `isolation=none`, as an ordinary child process with few variables.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from openassay.cage import check_cage, interpreter_folders
from openassay.core.findings import FetchRecord, Finding
from openassay.drivers.job import Arm, Job
from openassay.drivers.run import Ended, run_once
from openassay.environments import Environment, NotBuilt, build
from openassay.faults import BadInput
from openassay.layout import Layout
from openassay.plan import Plan
from openassay.records import file_digest
from openassay.settings import Isolation
from openassay.sources.fetched import Unavailable
from openassay.sources.roots import artifact_files, artifact_roots
from openassay.store import Listing, Store, listing
from openassay.target import RunOnce

LOG_TAIL = 2000
"""Characters of a log that a record keeps."""


class NotPossible(Exception):
    """The release's code cannot be run here, for a reason of the release's: a finding."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """Everything that one execution of the release's code needs, but its arm, seed and folder."""

    environment: Environment | None
    artifacts: dict[str, str]
    glue: Path | None
    watched: dict[str, tuple[Path, Listing]]
    """Folders that runs must leave as they are, by what they are, with what was in them before the first run."""
    target_file: str
    isolation: Isolation
    own_requirements: bool
    """Whether a package that is missing is for the target's author to name."""

    def job(
        self, *, out: Path, data: Path | None, arm: Arm, seed: int, device: str, threads: int, timeout_s: float,
        stage: str = "rerun",
    ) -> Job:  # fmt: skip
        """One execution in this room. stage: the key of the target's file that asks for it."""
        return Job(
            arm=arm, seed=seed, data=data, artifacts=self.artifacts,
            python=self.environment.python if self.environment else None, glue=self.glue, out=out,
            device=device, threads=threads, timeout_s=timeout_s, watched=self.watched, stage=stage,
            target_file=self.target_file, own_requirements=self.own_requirements, isolation=self.isolation.kind,
            limits=self.isolation,
        )  # fmt: skip

    def run(self, of: RunOnce, stage: str, *, out: Path, data: Path | None, threads: int) -> tuple[Job, Ended]:
        """Run the release's code beside the reruns, on the CPU."""
        job = self.job(
            out=out,
            data=data,
            arm=Arm(),
            seed=of.seed,
            device="cpu",
            threads=threads,
            timeout_s=of.timeout_s,
            stage=stage,
        )
        return job, run_once(of.run, job, of.parameters, of.seeding)

    def findings(self, stage: str) -> tuple[Finding, ...]:
        """What its environment leaves to be said beside a result."""
        return self.environment.findings(stage) if self.environment else ()

    @property
    def versions(self) -> dict[str, str]:
        """What is installed in the target's environment."""
        return self.environment.identity() if self.environment else {}


def make_room(plan: Plan, fetched: FetchRecord, store: Store, layout: Layout, *, needs_environment: bool) -> Room:
    """Set up what the release's code needs. Raises `NotPossible` when an artifact is missing or a package does not build."""
    if missing := [artifact.name for artifact in fetched.artifacts if not artifact.fetched]:
        raise NotPossible(f"the artifact {missing[0]} could not be fetched")
    environment = None
    if needs_environment and plan.environment is not None:
        try:
            files = artifact_files(store, fetched, plan.environment.install)
            where = f"{layout.shown(layout.target_file)}: environment"
            limits = None if plan.isolation.kind == "none" else plan.isolation
            environment = build(plan.environment, files, where, plan.name, artifact_roots(store, fetched), limits)
        except (Unavailable, NotBuilt) as problem:
            what = "published environment" if plan.environment.published else "environment"
            raise NotPossible(f"the {what} cannot be built: {problem}") from None
    glue = layout.glue_folder / plan.glue.file if plan.glue else None
    if glue and plan.glue and not (glue.is_file() and file_digest(glue) == plan.glue.sha256):
        raise BadInput(f"{glue}: changed since the plan was made; run `openassay audit {layout.reference}`")
    artifacts = artifact_roots(store, fetched)
    folders = {f"its artifact {name}": Path(path) for name, path in artifacts.items()}
    # What the release lists itself, in its files or its package, and lacks is its own slip, unless something of that was not
    # followed. An environment that the target leaves empty says nothing of the release.
    spec = plan.environment
    own = bool(spec and not spec.published and (spec.requirements or not spec.install))
    own = own or bool(environment and environment.left_out)
    if environment is not None:
        if plan.isolation.kind != "none":
            check_cage(environment.python, [*interpreter_folders(environment.python), *folders.values()])
        folders["its environment"] = Path(environment.python).parents[1]
    return Room(
        environment=environment, artifacts=artifacts, glue=glue,
        watched={what: (folder, listing(folder)) for what, folder in folders.items()},
        target_file=layout.shown(layout.target_file),
        own_requirements=own, isolation=plan.isolation,
    )  # fmt: skip
