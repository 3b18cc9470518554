"""The finetune driver: a fine-tuned model's own card is the recipe, and transformers' Trainer reruns it from the base model.

The settings stand in the target; where a card is named, each one that the card states must be the card's. What a card leaves
unsaid is said so by the target (`unstated`), with where the value comes from. The card's own seed is rerun first.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from openassay.core.claims import Citation, Claim
from openassay.core.deviations import Deviation
from openassay.core.findings import Finding
from openassay.core.rerun_records import RerunStatus
from openassay.drivers.driver import Display, Driver, TargetFacts, beside_verdict, refused
from openassay.drivers.job import Arm, Job, RunResult, measurement, with_changes
from openassay.faults import BadInput
from openassay.provenance import machine, package_versions
from openassay.records import parse, to_plain
from openassay.training.fine_tuning import (
    CLASS_METRICS,
    ENDINGS,
    REGRESSION_METRICS,
    DataFiles,
    FineTuned,
    FineTuningRecipe,
    Format,
    Unusable,
    fine_tune,
)
from openassay.training.mismatch import RecipeMismatch, TimeLimit

if TYPE_CHECKING:
    from openassay.published.cards import ModelCard

_PACKAGES = ("transformers", "torch", "datasets", "tokenizers", "accelerate", "numpy", "scikit-learn")
_ROUNDS = 1e-9
_STATED = tuple(
    of.name for of in fields(FineTuningRecipe) if of.name not in {"task", "text", "label", "regression", "kept"}
)
"""Fields of the recipe that a card can state, or leave unsaid."""


@dataclass(frozen=True, kw_only=True)
class InArtifact:
    """A file or a folder inside an artifact; `.` is all of it."""

    artifact: str
    path: str = "."

    def under(self, artifacts: Mapping[str, str]) -> Path:
        """Where it lies. `BadInput` where it is not there, or outside."""
        top = Path(artifacts[self.artifact]).resolve()
        place = (top / self.path).resolve()
        if not place.is_relative_to(top) or not place.exists():
            raise BadInput(f"the artifact {self.artifact} has no {self.path}; name a path that it holds")
        return place


@dataclass(frozen=True, kw_only=True)
class FineTuningData:
    """The files that are trained on, and those that the published number is of."""

    train: Annotated[tuple[InArtifact, ...], Field(min_length=1)]
    evaluation: Annotated[tuple[InArtifact, ...], Field(min_length=1)]
    format: Format | None = None
    """By the files' ending where it is left out."""

    def files(self, artifacts: Mapping[str, str]) -> DataFiles:
        """Where the files lie, and their format."""
        train, evaluation = (tuple(of.under(artifacts) for of in places) for places in (self.train, self.evaluation))
        known = self.format or ENDINGS.get(train[0].suffix)
        if known is None:
            raise BadInput(f"{train[0].name}: its format is not known; name it under rerun.data.format")
        return DataFiles(train=train, evaluation=evaluation, format=known)


@dataclass(frozen=True, kw_only=True)
class Unstated:
    """A value that the card does not state."""

    value: Any
    source: str
    """Where it comes from: the default of a version of the trainer, a tutorial, a script."""
    others: tuple[Any, ...] = ()
    """Other values that it may have had. Each is rerun: only where none of them gives the number is the release accused."""


@dataclass(frozen=True, kw_only=True)
class FineTuneDriver(Driver):
    """Fine-tune the base model with the stated settings by transformers' Trainer, once a seed."""

    driver: Literal["finetune"]
    base: InArtifact
    """The folder of the base model: config.json, safetensors weights and tokenizer."""
    data: FineTuningData
    recipe: FineTuningRecipe
    """Every value of the training; those that the card does not state stand under `unstated` too."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    """As the card states it: the first rerun has it."""
    card: InArtifact | None = None
    """The card that states the settings; each must be the card's."""
    unstated: dict[str, Unstated] = field(default_factory=dict)
    taken_from: tuple[Citation, ...] = ()
    made_with: str | None = None
    """The version of transformers that the card names."""
    scale: float = 1.0
    """Factor from a metric's own unit to the claims': 100 for per cent. A loss and a perplexity are not scaled."""
    protocol: Literal["full"] = "full"

    changes_by = "set"
    permutes_prepared = False
    not_identity = Driver.not_identity | {"made_with", "unstated", "card"}

    # Check ----------------------------------------------------------------------------------------------------------

    def metrics(self) -> set[str]:
        """The metrics that a rerun measures."""
        if self.recipe.task != "text_classification":
            return {"loss", "perplexity"}
        return {"loss", *(REGRESSION_METRICS if self.recipe.regression else CLASS_METRICS)}

    def named(self) -> list[tuple[str, str]]:
        """Every key that names an artifact, with the name."""
        found = [("base", self.base.artifact), *([("card", self.card.artifact)] if self.card else [])]
        for name, places in (("train", self.data.train), ("evaluation", self.data.evaluation)):
            found += [(f"data.{name}.{i}", of.artifact) for i, of in enumerate(places)]
        return found

    def check(self, target: TargetFacts) -> Iterator[str]:
        """All that is wrong with a target of this driver, as far as its file shows."""
        for key, name in self.named():
            if name not in target.artifacts:
                yield f"rerun.{key}.artifact: there is no artifact {name!r}; there are: {', '.join(target.artifacts) or 'none'}"
        for name in self.unstated:
            if name not in (*_STATED, "kept"):
                yield f"rerun.unstated.{name}: the recipe has no such value; there are: {', '.join(_STATED)}, kept"
        for name, arms in self.unstated_arms().items():
            for arm in arms.values():
                yield from refused(f"rerun.unstated.{name}.others: ", self.of_arm, arm)
        for name, told in self.unstated.items():
            given = getattr(self.recipe, name, None)
            if name in (*_STATED, "kept") and given != told.value:
                yield f"rerun.unstated.{name}: it says {told.value!r}, and rerun.recipe.{name} is {given!r}; make them the same"
        if not (self.taken_from or self.card):
            yield "rerun.taken_from: missing; say where the settings are published, or name the card"

    def of_arm(self, arm: Arm) -> FineTuningRecipe:
        """The recipe with an arm's changes; `BadInput` when it names a field that is not there."""
        result: FineTuningRecipe = parse(FineTuningRecipe, with_changes(to_plain(self.recipe), arm.set), "recipe")
        return result

    def check_arm(self, arm: Arm, key: str) -> Iterator[str]:
        """Also fields that the recipe does not have, and values that it cannot take."""
        yield from super().check_arm(arm, key)
        yield from refused(f"{key}: ", self.of_arm, arm)
        wanted = "labels" if self.recipe.task == "text_classification" else "tokens"
        if set(arm.permute) - {wanted}:
            yield f"{key}.permute: only `{wanted}` can be shuffled"

    def same(self, changed: Arm, base: Arm) -> bool:
        """Whether both arms give one recipe."""
        return self.of_arm(changed) == self.of_arm(base)

    def unstated_arms(self) -> dict[str, dict[str, Arm]]:
        """Of each value that the card does not state, the arms with its other values."""
        return {
            name: {re.sub(r"[^A-Za-z0-9_.-]", "_", f"{name}_{value}"): Arm(set={name: value}) for value in of.others}
            for name, of in self.unstated.items()
        }

    # Seeds and identity ---------------------------------------------------------------------------------------------

    def seeds(self, planned: tuple[int, ...]) -> tuple[int, ...]:
        """The card's own seed, then others."""
        return (self.seed, *(of for of in planned if of != self.seed))[: len(planned)]

    def environment(self, of_release: dict[str, str]) -> dict[str, str]:  # noqa: ARG002
        """Versions of what a rerun's numbers depend on."""
        return package_versions(_PACKAGES) | {key: machine()[key] for key in ("python", "machine")}

    # Run ------------------------------------------------------------------------------------------------------------

    def dry_start(self, job: Job) -> str:
        """Empty: what a release lacks shows in its use. `BadInput` for a target that is not as the card, or names no files."""
        try:
            self.base.under(job.artifacts)
            self.data.files(job.artifacts)
            card = self._card(job.artifacts)
        except BadInput as problem:
            raise BadInput(f"{job.target_file}: {problem}") from None
        for line in self.not_as_stated(card) if card else ():
            raise BadInput(f"{job.target_file}: {line}")
        return ""

    def _card(self, artifacts: Mapping[str, str]) -> ModelCard | None:
        """The card that the target names."""
        if self.card is None:
            return None
        from openassay.published.cards import read_card  # noqa: PLC0415 - a plan reads no published file
        from openassay.published.files import Text  # noqa: PLC0415

        path = self.card.under(artifacts)
        lines = tuple(path.read_text(encoding="utf-8", errors="replace").splitlines())
        ends = [i for i, line in enumerate(lines) if line.rstrip() == "---"][
            :2
        ]  # the settings stand below the front matter
        start = ends[1] + 1 if len(ends) == 2 and ends[0] == 0 else 0
        card = read_card(Text(path=self.card.path, lines=lines, body_from=start))
        if card is None:
            raise BadInput(f"{self.card.path} says nothing of a fine-tuning")
        return card

    def not_as_stated(self, card: ModelCard) -> Iterator[str]:
        """Each setting of the target that is not the card's, and each that neither the card nor `unstated` accounts for."""
        stated = stated_settings(card)
        for name in (*_STATED, "seed"):
            ours = self.seed if name == "seed" else getattr(self.recipe, name)
            if name in stated and not _equal(ours, stated[name]):
                yield f"rerun.recipe.{name}: it is {ours!r}, and {card.path} states {stated[name]!r}; write the card's"
            elif name in stated or name in self.unstated or (name in _EITHER and _EITHER & set(stated)):
                continue
            elif name not in _DEFAULTS or not _equal(ours, _DEFAULTS[name]):
                yield f"rerun.unstated.{name}: missing; {card.path} does not state it: say where {ours!r} comes from"

    def execute(self, job: Job) -> RunResult:
        """One fine-tuning, in this process. `BadInput` for what the target's words or this machine's memory cause."""
        from openassay.training.trainer import pick_device  # noqa: PLC0415 - torch takes seconds to import

        started, device = time.process_time(), pick_device(job.device)
        try:
            made = fine_tune(
                self.of_arm(job.arm), self.base.under(job.artifacts), self.data.files(job.artifacts), seed=job.seed,
                device=device, threads=job.threads, timeout_s=job.timeout_s, out=job.out, shuffled=bool(job.arm.permute),
            )  # fmt: skip
        except TimeLimit:
            reason = f"stopped after {job.timeout_s:g} s, its time limit"
            return self._ended(RerunStatus.TIMED_OUT, reason, device, started)
        except Unusable as finding:
            return self._ended(RerunStatus.FAILED, str(finding), device, started)
        except RecipeMismatch as error:
            raise BadInput(f"{job.target_file}: {error}") from None
        finite = math.isfinite(made.values.get("loss", math.nan))
        status = RerunStatus.FINISHED if finite else RerunStatus.DIVERGED
        return self._ended(status, "" if finite else "the loss is not a finite number", device, started, made)

    def _ended(
        self, status: RerunStatus, reason: str, device: str, started: float, made: FineTuned | None = None
    ) -> RunResult:  # fmt: skip
        cpu_s = time.process_time() - started
        if made is None:
            return RunResult(status=status, reason=reason, cpu_s=cpu_s, device=device)
        scales = {name: 1.0 if name in {"loss", "perplexity"} else self.scale for name in made.values}
        log = f"fine-tuned {made.num_parameters} parameters on {made.num_examples} examples for {made.step} updates on {device}\n"
        curves = {
            name: tuple((step, value * scales.get(name, 1.0)) for step, value in of if math.isfinite(value))
            for name, of in made.curves.items()
        }
        values = tuple(
            measurement(name, value * scales[name], made.step) for name, value in sorted(made.values.items())
        )
        return RunResult(
            status=status, reason=reason, measurements=values, curves=curves, log=log, cpu_s=cpu_s, device=device
        )

    # What its records mean ------------------------------------------------------------------------------------------

    def deviations(self, environment: Mapping[str, str]) -> tuple[Deviation, ...]:
        """Another version of the Trainer than the card's, several devices' batches on one, and values that no card states."""
        here = environment.get("transformers", "unknown")
        found = []
        if self.made_with != here:
            with_ = f" in place of {self.made_with}" if self.made_with else " (the card's version is not known)"
            found.append(Deviation(kind="other_versions", what=f"transformers {here}{with_}"))
        if self.recipe.num_devices > 1:
            what = f"one device that accumulates the batches of {self.recipe.num_devices}"
            found.append(Deviation(kind="other_hardware", what=what))
        if self.unstated:
            told = [f"{name} {of.value}" for name, of in self.unstated.items()]
            found.append(
                Deviation(kind="assumed_values", what=f"values that the card does not state ({', '.join(told)[:140]})")
            )
        return tuple(found)

    def judge_findings(self, claims: tuple[Claim, ...], records: Mapping[str, Any]) -> list[Finding]:  # noqa: ARG002
        """The values that no card states, each with its source."""
        return [
            beside_verdict("value_not_stated", f"{name} is not stated; {of.value} is {of.source}")
            for name, of in self.unstated.items()
        ]

    def display(self, records: Mapping[str, Any]) -> Display:  # noqa: ARG002
        """The recipe."""
        return Display(recipe=to_plain(self.recipe), taken_from=self.taken_from)


def stated_settings(card: ModelCard) -> dict[str, Any]:
    """What a card states, by the names of a `FineTuningRecipe` where it has one, else by the card's own."""
    stated: dict[str, Any] = {name: of.value for name, of in card.settings.items()}
    steps, version = stated.get("lr_scheduler_warmup_steps"), card.versions.get("transformers")
    is_share = isinstance(steps, float) and 0 < steps < 1
    if is_share and version and int(version.written.partition(".")[0]) >= _SHARES_SINCE:
        stated["lr_scheduler_warmup_ratio"] = stated.pop("lr_scheduler_warmup_steps")
    if said := card.optimizer:
        name = said.name.lower()
        stated["optimizer"] = (
            "adamw_torch" if name in {"adam", "adamw_hf"} else name
        )  # `Adam`: up to 4.45, whatever AdamW it was
        if said.betas:
            stated |= {"adam_beta1": said.betas[0], "adam_beta2": said.betas[1]}
        if said.epsilon is not None:
            stated["adam_epsilon"] = said.epsilon
    return stated


_SHARES_SINCE = 5
"""The version of transformers since which a warm-up of less than 1 step is a share of the training; before, it is as written."""
_DEFAULTS: dict[str, Any] = {
    "gradient_accumulation_steps": 1, "num_devices": 1, "training_steps": None, "lr_scheduler_warmup_ratio": 0.0,
    "lr_scheduler_warmup_steps": 0, "label_smoothing_factor": 0.0,
}  # fmt: skip
"""What a card leaves out where it is so (`transformers/modelcard.py`, versions 4.6 to 5.24)."""
_EITHER = {"num_epochs", "training_steps"}
"""A card states one of them."""


def _equal(ours: Any, stated: Any) -> bool:
    """Whether two values are one: numbers within the rounding of their printing."""
    numbers = all(isinstance(of, (int, float)) and not isinstance(of, bool) for of in (ours, stated))
    if numbers:
        return math.isclose(ours, stated, rel_tol=_ROUNDS)
    return bool(ours == stated)
