"""What every driver answers. Plan, stages, report and commands ask these questions, and know no driver by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from openassay import stage_code
from openassay.core.claims import Citation, Claim, Published
from openassay.core.deviations import Deviation
from openassay.core.findings import FetchRecord, Finding
from openassay.core.rerun_records import Measurement, RerunsRecord, WeightsCompared
from openassay.core.verdict_records import Basis, ControlOutcome, Verdict
from openassay.drivers.job import Arm, Job, RunResult, Watch
from openassay.drivers.measures import Measure
from openassay.drivers.run import Run
from openassay.faults import BadInput
from openassay.layout import Layout, cache_home
from openassay.provenance import machine, package_versions
from openassay.records import declared, digest, read_record

if TYPE_CHECKING:
    from openassay.drivers.command import CommandRun


@dataclass(frozen=True, kw_only=True)
class TargetFacts:
    """What a driver may look at of the target that declares it."""

    title: str
    artifacts: Collection[str]
    claims: tuple[Claim, ...]
    has_changes: bool
    """Whether the target declares controls or probes."""
    cited: tuple[tuple[str, str | None], ...]
    """Every key of components and claims that names an artifact, with the name."""


@dataclass(frozen=True, kw_only=True)
class ScaledResult:
    """A number that the release publishes of a shorter training."""

    published: Published
    cited_at: Citation


@dataclass(frozen=True, kw_only=True)
class ScaledRerun:
    """A smaller rerun that would say something of the release, and what it could be compared with."""

    what: str
    reference: str
    """A published result of the same scale; or the words `no matched reference exists`, and why."""
    cost: str | None = None
    """As estimated, with its assumptions."""
    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Of the published training, where published code can be made to stop there."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """Values of the run's placeholders that make it so."""
    results: dict[str, ScaledResult] = field(default_factory=dict)
    """By claim: what is published of that scale. Other claims are not tested."""


@dataclass(frozen=True, kw_only=True)
class PublishedRun:
    """One run of the release's own code, as a target declares it."""

    stage: str
    run: Run | CommandRun
    parameters: dict[str, Any]
    measure: tuple[Measure, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Display:
    """What a report shows of a driver."""

    recipe: Any = None
    """The recipe that was taken from the publication, as JSON types; None where the release's own code ran."""
    taken_from: tuple[Any, ...] = ()
    run: Any = None
    """The run of the release's own code, as JSON types."""
    changes: tuple[int, int] | None = None
    """Changes of the recipe that it ran by itself: how many showed, and of how many."""
    template: str | None = None
    """A file beside the driver's, with the section on its further records (`records`)."""


@dataclass(frozen=True, kw_only=True)
class Driver(ABC):
    """How a target's claims are tested. The fields are the keys of `rerun:` in a target file; a driver adds its own.

    A driver must say what it measures (`metrics`) and make one rerun (`execute`); every other answer has a default.
    """

    driver: str
    protocol: str
    arms: dict[str, Arm] = field(default_factory=lambda: {"faithful": Arm()})
    max_runs: Annotated[int, Field(ge=2)] | None = None
    """Most reruns of an arm, where the profile would make more."""
    timeout_s: Annotated[float, Field(gt=0)] = 3600.0

    changes_by: ClassVar[Literal["parameters", "set"] | None] = None
    """The key by which controls, probes and sweeps change values of this driver; None where it takes no changes."""
    has_own_controls: ClassVar[bool] = False
    """Whether it makes its own controls and probes, so that the target declares none."""
    permutes_prepared: ClassVar[bool] = True
    """Whether `permute` names arrays of the prepared data, which the target must then prepare."""
    edits_release: ClassVar[bool] = False
    """Whether an arm may change the release's files."""
    runs_release_code: ClassVar[bool] = False
    """Whether it needs the target's environment."""
    not_identity: ClassVar[frozenset[str]] = frozenset({"arms", "max_runs", "timeout_s", "taken_from"})
    """Keys that change no single rerun."""
    records: ClassVar[Mapping[str, type]] = {}
    """Further records beside a rerun, by name: `NAME.json` and its type."""

    # Check ----------------------------------------------------------------------------------------------------------

    @abstractmethod
    def metrics(self) -> set[str]:
        """The names of what a rerun measures."""

    def basis(self, metric: str) -> tuple[Basis, ...]:  # noqa: ARG002
        """What a metric rests on, as far as the driver decides it."""
        return ("measured",)

    def check(self, target: TargetFacts) -> Iterator[str]:  # noqa: ARG002 - what others may need
        """All that is wrong with a target of this driver, as far as its file shows, one line each."""
        yield from ()

    def check_arm(self, arm: Arm, key: str) -> Iterator[str]:
        """What of an arm would not reach the recipe, one line each. key: where the arm stands in the target's file."""
        for name, given in (("parameters", arm.parameters), ("set", arm.set)):
            if given and name != self.changes_by:
                todo = f"use {self.changes_by}" if self.changes_by else "remove it"
                yield f"{key}.{name}: the {self.driver} driver takes none; {todo}"
        if arm.edit and not self.edits_release:
            yield f"{key}.edit: the {self.driver} driver takes none; remove it"
        if not self.runs_release_code and (arm.relabel or not all(isinstance(of, str) for of in arm.permute)):
            yield f"{key}: only published code is handed files or new names of classes; permute prepared arrays by their names"

    def same(self, changed: Arm, base: Arm) -> bool:  # noqa: ARG002
        """Whether a changed arm is known to be the same training as its base."""
        return False

    def unstated_arms(self) -> dict[str, dict[str, Arm]]:
        """Of each value that the release does not state and the target assumes, the arms with its other values, by name.

        While one of these may give a number, and while a value has no other that was tried, nobody is accused for it.
        """
        return {}

    def release_runs(self) -> tuple[PublishedRun, ...]:
        """The runs of the release's own code."""
        return ()

    def only_alternatives(self) -> frozenset[str]:
        """Artifacts that an audit does without."""
        return frozenset()

    def scaled_down(
        self, claims: tuple[Claim, ...], steps: float, declared: tuple[ScaledRerun, ...]  # noqa: ARG002
    ) -> tuple[Self, tuple[Claim, ...]] | str:  # fmt: skip
        """The driver and the claims at a share of the published updates; or why nothing of that scale is published.

        steps: above 0 and below 1. declared: what the target says of smaller reruns. A scaled-down rerun is
        never held against the full number.
        """
        return f"scaled down to {steps:g} of its updates: the driver {self.driver} cannot be scaled down"

    # Seeds, groups, identity ----------------------------------------------------------------------------------------

    def seeds(self, planned: tuple[int, ...]) -> tuple[int, ...]:
        """The seeds of a faithful arm, out of those that the profile plans."""
        return planned

    def groups(self, seeds: tuple[int, ...], arm: Arm, most: int) -> list[tuple[int, ...]]:  # noqa: ARG002
        """For each seed, the seeds that are trained in one computation with it; empty when it is trained by itself."""
        return [()] * len(seeds)

    def code(self, fetched: FetchRecord, glue: str | None) -> dict[str, object]:  # noqa: ARG002
        """Digests of the code that trains and measures. glue: sha256 of the target's script, None where it has none."""
        digests = stage_code.folder(cache_home()) / self.driver
        return {"ours": (digests / stage_code.TRAINING).read_text(encoding="ascii").strip()}

    def environment(self, of_release: dict[str, str]) -> dict[str, str]:  # noqa: ARG002
        """Versions of what a rerun's numbers depend on. of_release: those of the target's environment."""
        here = {key: machine()[key] for key in ("python", "machine")}
        return package_versions(("torch", "transformers", "numpy")) | here

    def identity(
        self, arm: Arm, seed: int, *, together: tuple[int, ...], data: object, code: object, environment: dict[str, str]
    ) -> str:
        """The digest of all that decides one rerun: recipe, arm, data, code, environment, seed, and whom it is trained with."""
        recipe = {key: value for key, value in declared(self).items() if key not in self.not_identity}
        return digest({
            "recipe": recipe, "arm": declared(arm), "data": data, "code": code, "environment": environment, "seed": seed,
            **({"together": together} if together else {}),
        })  # fmt: skip

    # Run ------------------------------------------------------------------------------------------------------------

    def watch(self, claims: tuple[Claim, ...], arm: str) -> Watch | None:  # noqa: ARG002
        """What stops a rerun of an arm early; None where nothing does."""
        return None

    def dry_start(self, job: Job) -> str:  # noqa: ARG002
        """Why no rerun can start, for a reason of the release's; empty where nothing is known. `BadInput` for the target's."""
        return ""

    @abstractmethod
    def execute(self, job: Job) -> RunResult:
        """Make one rerun: a failure of the release is a status with a reason, a fault of ours an exception."""

    def execute_together(self, jobs: Sequence[Job]) -> list[RunResult]:
        """Make the reruns of a group (`groups`); a rerun without a group is made by `execute`."""
        return [self.execute(job) for job in jobs]

    @property
    def has_released_model(self) -> bool:
        """Whether it measures the release's own weights by itself."""
        return False

    def measure_released(
        self, artifacts: Mapping[str, str], *, threads: int, device: str  # noqa: ARG002
    ) -> tuple[Measurement, ...]:  # fmt: skip
        """What the release's own weights reach. `RecipeMismatch` and `BadTokens` say what does not fit."""
        return ()

    def compared_weights(
        self, arm: str, reruns: Sequence[Path], artifacts: Mapping[str, str], where: str  # noqa: ARG002
    ) -> WeightsCompared | None:  # fmt: skip
        """What the weights that an arm's reruns wrote show. reruns: their folders. None where it keeps no weights."""
        return None

    # What its records mean ------------------------------------------------------------------------------------------

    def own_records(self, reruns: RerunsRecord, layout: Layout) -> dict[str, Any]:
        """The further records beside the first faithful rerun of this audit, by name."""
        found = [(name, kind, layout.rerun("faithful", 0) / f"{name}.json") for name, kind in self.records.items()]
        return {name: read_record(path, kind) for name, kind, path in found if reruns.identities and path.exists()}

    def rerun_findings(self, records: Mapping[str, Any]) -> list[Finding]:  # noqa: ARG002
        """What further records show as soon as the reruns are made. None of it changes a verdict."""
        return []

    def judge(self, claim: Claim, records: Mapping[str, Any], protocol: str) -> Verdict | None:  # noqa: ARG002
        """The verdict on a claim that further records decide; None for a claim on the noise of seeds."""
        return None

    def judge_controls(self, claim: Claim, records: Mapping[str, Any]) -> tuple[ControlOutcome, ...]:  # noqa: ARG002
        """The outcomes of the driver's own controls for such a claim."""
        return ()

    def judge_findings(self, claims: tuple[Claim, ...], records: Mapping[str, Any]) -> list[Finding]:  # noqa: ARG002
        """What a reader must know beside the verdict."""
        return []

    def deviations(self, environment: Mapping[str, str]) -> tuple[Deviation, ...]:
        """What is different from the release because this driver makes the reruns. environment: of a rerun."""
        if self.runs_release_code:
            return ()
        torch = f" (torch {environment['torch']})" if "torch" in environment else ""
        what = f"OpenAssay's own trainer{torch} in place of the release's code"
        return (Deviation(kind="other_code", what=what),)

    def speaks_for(self) -> str:
        """For whom a verdict does not speak; empty where it speaks for the release itself."""
        return ""

    # Display --------------------------------------------------------------------------------------------------------

    def meaning(self, verdict: Verdict) -> str:  # noqa: ARG002
        """What an outcome says of a claim that this driver has judged by a rule of its own; empty for the usual words."""
        return ""

    def display(self, records: Mapping[str, Any]) -> Display:  # noqa: ARG002
        """What a report shows of the recipe or the run, and of further records."""
        return Display()


def refused(key: str, check: Callable[..., object], *arguments: Any) -> Iterator[str]:
    """What a check that raises `BadInput` or ValueError says, behind a key."""
    try:
        check(*arguments)
    except (BadInput, ValueError) as problem:
        yield f"{key}{problem}"


def those_that_are(problems: Mapping[str, object]) -> Iterator[str]:
    """Of problems, each with whether it is there, those that are."""
    return (problem for problem, there in problems.items() if there)


def artifact_digests(fetched: FetchRecord) -> dict[str, object]:
    """What tells each fetched artifact from any other, by name."""
    return {of.name: [of.sha256, of.filename, of.root] for of in fetched.artifacts}


def beside_verdict(kind: str, message: str) -> Finding:
    """A finding that stands beside the verdict."""
    return Finding(stage="judge", kind=kind, message=message)


TAKEN_FROM_PUBLICATION = beside_verdict(
    "recipe_not_run_from_release",
    "the recipe was taken from the publication and run by OpenAssay's trainer, not by the release's own code",
)
