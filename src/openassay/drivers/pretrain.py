"""The pretrain driver: a published language model, trained whole from first weights of our own, one training a seed.

Where the first weights or the order of the data are not published, or the schedule's end is what one asks about, a replay cannot
help. Then only other seeds can: trainings of the full published length, judged as all unpaired reruns are. `full` trains the
release itself; `family` its smallest published member, and speaks for no larger one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from openassay.core.claims import Citation, Claim
from openassay.core.findings import Finding
from openassay.core.rerun_records import Measurement, RerunStatus
from openassay.drivers.driver import (
    TAKEN_FROM_PUBLICATION,
    Display,
    Driver,
    TargetFacts,
    beside_verdict,
    those_that_are,
)
from openassay.drivers.job import Arm, Curve, Job, RunResult, measurement, with_changes
from openassay.drivers.published import Checkpoint, PublishedTraining, device_for, weights_of
from openassay.faults import BadInput
from openassay.protocols.ladder import FEWEST, LABEL, ladder
from openassay.published.recipes.draft import NAMES, NO_SUCH_VALUE
from openassay.published.tokens import BadTokens, ByteRange, local
from openassay.published.tokens.ranges import tokens_from
from openassay.records import parse, to_plain
from openassay.training.language import LanguageRecipe
from openassay.training.mismatch import RecipeMismatch, TimeLimit
from openassay.training.numerics import Items, Numerics, Tokens
from openassay.training.sequences import Reordered, Scrambled, trained_on

if TYPE_CHECKING:
    from openassay.training.pretraining import Pretraining

VALIDATION = "validation_loss"
ABOVE_RELEASED = "validation_loss_above_released"
"""The rerun's loss on the held-out items minus that of the release's own checkpoints on the same ones."""
SHORTER = 0.9
"""Of the stated tokens: a training that sees fewer is not the published one."""
NUM_POINTS = 20
"""Of a curve, where the target does not say how many."""
_ORDERS = {
    "published": "the published order: the seeds' scatter is that of the first weights, and not of the order",
    "shuffled": "the published sequences in an order of its own",
}

Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, kw_only=True)
class Member:
    """The member of a family that is trained in the others' place, as the release names it."""

    name: str
    family: str
    parameters: Count | None = None
    """As published, exactly; a model with another number is not trained."""
    cited_at: Citation
    """Where the release lists the family's members."""


@dataclass(frozen=True, kw_only=True)
class LossAt:
    """A training loss as releases log it: the mean over the last updates before a step."""

    step: Count
    last: Count
    """Updates that are averaged: `step - last` to `step - 1`."""

    @property
    def metric(self) -> str:
        """The name that claims use."""
        return f"train_loss_at_{self.step}"


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Published items that the training never sees, one after another as the training's are stored."""

    artifact: str
    path: str
    count: Count
    first: Annotated[int, Field(ge=0)] = 0
    """The first item, counted from the file's start."""
    dtype: Literal["uint16", "uint32"] = "uint16"

    def items(self, artifacts: Mapping[str, str], length: int) -> Items:
        """Token ids, shape (count, length). `BadTokens` says what does not fit."""
        dtype: np.dtype[Any] = np.dtype(self.dtype)
        size = length * dtype.itemsize
        wanted = ByteRange(self.path, self.first * size, (self.first + self.count) * size)
        return tokens_from(local(Path(artifacts[self.artifact]))(wanted), dtype).reshape(self.count, length)


@dataclass(frozen=True, kw_only=True)
class Rung:
    """The published loss of a smaller member."""

    parameters: Annotated[float, Field(gt=0)]
    """Without embeddings, if that is how all of them are counted."""
    loss: Annotated[float, Field(gt=0)]
    cited_at: Citation


@dataclass(frozen=True, kw_only=True)
class LadderCheck:
    """A published loss compared with those of smaller members: a remark, never part of a verdict."""

    members: Annotated[tuple[Rung, ...], Field(min_length=FEWEST)]
    parameters: Annotated[float, Field(gt=0)]
    """Of the model whose loss is looked at, larger than all of `members`."""
    published: Annotated[float, Field(gt=0)]
    cited_at: Citation

    def remark(self) -> str:
        """What the ladder says, labelled."""
        sizes, losses = [of.parameters for of in self.members], [of.loss for of in self.members]
        found = ladder(sizes, losses, self.parameters, self.published)
        where = "is in line with" if found.in_line else "lies beside"
        return (
            f"{LABEL}: the published loss {self.published:g} of {self.parameters:g} parameters {where} what {len(self.members)} "
            f"smaller members predict, {found.low:.4g} to {found.high:.4g} by the fitted form; no part of the verdict"
        )


@dataclass(frozen=True, kw_only=True)
class PretrainDriver(PublishedTraining):
    """Train the published recipe whole, from first weights drawn as it states."""

    driver: Literal["pretrain"]
    protocol: Literal["full", "family"]
    """`full`: the release itself. `family`: the smallest published member of its family, which `member` names."""
    member: Member | None = None
    train_loss: tuple[LossAt, ...] = ()
    """Training losses that claims are about, each the metric `train_loss_at_STEP`."""
    held_out: HeldOut | None = None
    """Gives the metric `validation_loss`, in nats a token, after the last update."""
    released: tuple[Checkpoint, ...] = ()
    """The release's own last checkpoint, or those of several of its trainings: the reference of
    `validation_loss_above_released`, measured by us on the same items."""
    order: Literal["published", "shuffled"] = "published"
    """`published`: every seed sees the published order. `shuffled`: each sees the same sequences in an order of its own."""
    every: Count | None = None
    """Updates between two points of the curves; a twentieth of the training when left out."""
    precision: Literal["fp32", "bf16", "fp16"] | None = None
    """None for the recipe's."""
    micro_batch: Count | None = None
    """Sequences of one forward pass; None for the whole batch."""
    ladder: LadderCheck | None = None
    timeout_s: Annotated[float, Field(gt=0)] = 86400.0

    changes_by = "set"
    permutes_prepared = False
    not_identity = Driver.not_identity | {"ladder"}

    def metrics(self) -> set[str]:
        """The metrics that a rerun measures."""
        return {metric for metric, _ in self._wanted(0)}

    def _wanted(self, steps: int) -> list[tuple[str, int]]:
        """Each metric and the updates after which it is taken. steps: of the whole training."""
        found = [(of.metric, of.step) for of in self.train_loss]
        found += [(VALIDATION, steps)] if self.held_out else []
        return found + ([(ABOVE_RELEASED, steps)] if self.released else [])

    def named(self) -> list[tuple[str, str]]:
        """As `PublishedTraining.named`."""
        found = super().named() + ([("held_out", self.held_out.artifact)] if self.held_out else [])
        return found + [(f"released.{i}", of.artifact) for i, of in enumerate(self.released)]

    # Check ----------------------------------------------------------------------------------------------------------

    def check(self, target: TargetFacts) -> Iterator[str]:
        """All that is wrong with a target of this driver, as far as its file shows."""
        yield from super().check(target)
        name, steps = self.member.name if self.member else "", [of.step for of in self.train_loss]
        held, files = self.held_out, self.tokens.files
        in_training = held is not None and held.artifact == self.tokens.artifact and held.path in files
        sizes = [of.parameters for of in self.ladder.members] if self.ladder else []
        yield from those_that_are({
            "rerun.arms: claims are tested on the recipe as published; give changes as controls or probes":
                self.arms != {"faithful": Arm()},
            "rerun.member: the protocol family needs it, and no other takes it: it names the member that is trained":
                (self.member is not None) != (self.protocol == "family"),
            f"release.title: it must name {name}, the member that is trained, so that nobody takes the verdict for a "
            "larger one's": name.lower() not in target.title.lower(),
            "rerun: it measures nothing; give train_loss or held_out": not self.metrics(),
        } | {
            f"rerun.train_loss.{i}: each step once, and at most {of.step} updates before it are needed":
                of.last > of.step or steps.count(of.step) > 1
            for i, of in enumerate(self.train_loss)
        } | {
            "rerun.held_out: missing; say on which items the released checkpoint is measured": self.released and held is None,
            f"rerun.held_out.path: the training draws its sequences from all of {held and held.path}; name another file":
                in_training and self.tokens.layout == "olmo",
            f"rerun.held_out.first: the training begins with the first item of {files[0]}; choose later ones":
                in_training and self.tokens.layout != "olmo" and held and held.path == files[0] and held.first == 0,
            f"rerun.ladder.members: expected {FEWEST} of different size, all smaller than ladder.parameters, found {sizes}":
                self.ladder and (len(set(sizes)) < FEWEST or max(sizes) >= self.ladder.parameters),
        })  # fmt: skip
        for i, claim in enumerate(target.claims):
            yield from self._check_claim(claim, f"claims.{i}")

    def check_arm(self, arm: Arm, key: str) -> Iterator[str]:
        """Also what the recipe has no name for. Whether it changes anything shows when the published recipe is read."""
        yield from super().check_arm(arm, key)
        for name in arm.set:
            if name not in NAMES:
                yield f"{key}.set.{name}: {NO_SUCH_VALUE}"
            elif name in {"steps", "data.sequence_length", "data.item_length"}:
                yield f"{key}.set.{name}: a training of another scale has no reference here; break it otherwise"
        if set(arm.permute) - {"tokens"}:
            yield f"{key}.permute: only `tokens`, those of each trained sequence, can be shuffled"

    def _check_claim(self, claim: Claim, key: str) -> Iterator[str]:
        if not claim.testable:
            return
        if claim.paired:
            yield f"{key}.paired: the first weights are our own, so that no rerun has a published partner"
        of = claim.published
        asked = (of.value, of.rounding, of.sd, of.values, of.best_of, of.num_runs)
        plain = asked == (0.0, 0.0, None, None, 1, len(self.released)) and not (claim.curve or claim.success)
        if claim.metric == ABOVE_RELEASED and not plain:
            yield (
                f"{key}.published: {ABOVE_RELEASED} is held to value 0 and num_runs {len(self.released)}, as many as there are "
                "released checkpoints, each with its own seed's noise; without rounding, sd, values, best_of, curve and success"
            )

    # What its records mean ------------------------------------------------------------------------------------------

    def speaks_for(self) -> str:
        """For whom a verdict of this rerun does not speak; empty where it speaks for the release itself."""
        of = self.member
        return f"of {of.name} only, a member of {of.family}: nothing is said of larger ones" if of else ""

    def judge_findings(self, claims: tuple[Claim, ...], records: Mapping[str, Any]) -> list[Finding]:  # noqa: ARG002
        """What a reader must know beside the verdict."""
        found = []
        if of := self.member:
            trained = f"{of.name}, as the target says the smallest published member of {of.family}"
            only = "the verdict is on this member and on the recipe that the family shares, and on no larger member"
            found.append(beside_verdict("one_member_of_a_family", f"what was trained is {trained}: {only}"))
        found.append(beside_verdict("data_order", f"every rerun saw {_ORDERS[self.order]}"))
        found += self.settings_findings(self.settings)
        if self.precision:
            message = f"the reruns were trained in {self.precision}, as the target says"
            found.append(beside_verdict("precision_chosen", message))
        if self.ladder:
            found.append(beside_verdict("ladder_sanity_only", self.ladder.remark()))
        return [*found, TAKEN_FROM_PUBLICATION]

    def display(self, records: Mapping[str, Any]) -> Display:  # noqa: ARG002
        """Where everything is published."""
        return Display(recipe=to_plain(self), taken_from=self.taken_from)

    @property
    def has_released_model(self) -> bool:
        """Whether the target names released checkpoints."""
        return bool(self.released)

    def measure_released(self, artifacts: Mapping[str, str], *, threads: int, device: str) -> tuple[Measurement, ...]:
        """What the release's own checkpoints reach on the items that the reruns are measured on."""
        recipe, held_out = self.published(artifacts)
        losses = self.released_losses(artifacts, recipe, held_out, threads, device_for(device))
        return tuple(measurement(VALIDATION, loss, recipe.steps or 0) for loss in losses)

    # What a rerun does --------------------------------------------------------------------------------------------------

    def of_arm(self, recipe: LanguageRecipe, arm: Arm) -> LanguageRecipe:
        """The recipe with an arm's changes; `BadInput` when they change nothing or make no recipe."""
        if not arm.set:
            return recipe
        changed: LanguageRecipe = parse(LanguageRecipe, with_changes(to_plain(recipe), arm.set), "set")
        if changed == recipe:
            raise BadInput(f"set.{min(arm.set)}: the published recipe has this value already: nothing is changed")
        return changed

    def published(self, artifacts: Mapping[str, str]) -> tuple[LanguageRecipe, Items | None]:
        """The recipe and the held-out items; `BadInput`, `BadTokens` or `RecipeMismatch` say what does not fit."""
        try:
            recipe = self.read(artifacts)
        except BadInput as finding:  # the published file's own, or a value that it lacks
            raise RecipeMismatch(str(finding)) from None
        if recipe.steps is None:
            raise BadInput("rerun.settings.steps: missing; the published recipe does not say how many updates it has")
        said, seen = recipe.tokens_total, recipe.steps * recipe.batch_size * recipe.data.sequence_length
        if "steps" in self.settings and said and seen < SHORTER * said:
            raise BadInput(
                f"rerun.settings.steps: {recipe.steps} updates see {seen:.3g} tokens, the release's training {said:.3g}: a "
                "shorter training has no reference of the same scale"
            )
        for loss in self.train_loss:
            if loss.step > recipe.steps:
                raise BadInput(f"rerun.train_loss: the training has {recipe.steps} updates, found step {loss.step}")
        for of in self.released:
            if of.step != recipe.steps:
                raise BadInput(
                    f"rerun.released: the checkpoint after the last update, {recipe.steps}, is needed, found step {of.step}: "
                    "another one is no reference of the same scale"
                )
        held_out = self.held_out.items(artifacts, recipe.data.item_length) if self.held_out else None
        return recipe, held_out

    def released_losses(
        self, artifacts: Mapping[str, str], recipe: LanguageRecipe, held_out: Items | None, threads: int, device: str
    ) -> tuple[float, ...]:
        """What the release's own checkpoints reach on the held-out items."""
        from openassay.training.pretraining import TooLarge, loss_of  # noqa: PLC0415 - torch takes seconds to import

        found = []
        for of in self.released:
            path = Path(artifacts[of.artifact]) / of.path
            if held_out is None or not path.is_file():
                raise RecipeMismatch(f"{of.path} of the released checkpoint is not in its artifact")
            try:
                loss = loss_of(recipe, weights_of(path)[0], held_out, numerics=self._numerics(threads), device=device)
            except TooLarge as error:
                raise BadInput(_too_large(error)) from None
            if not math.isfinite(loss):
                raise RecipeMismatch(f"{of.path}: the released checkpoint's loss is not a finite number")
            found.append(loss)
        return tuple(found)

    def execute(self, job: Job) -> RunResult:
        """One training, in this process."""
        from openassay.training import lm, pretraining  # noqa: PLC0415

        started, deadline = time.process_time(), time.monotonic() + job.timeout_s
        device = device_for(job.device)
        said: list[str] = []

        def ended(status: RerunStatus, reason: str) -> RunResult:
            log, cpu_s = "".join(f"{line}\n" for line in said), time.process_time() - started
            return RunResult(status=status, reason=reason, log=log, cpu_s=cpu_s, device=device)

        published_fits = False
        try:
            recipe, held_out = self.published(job.artifacts)
            trained = self.of_arm(recipe, job.arm)
            self._check_unseen(held_out, job, recipe)
            released = self.released_losses(job.artifacts, recipe, held_out, job.threads, device)
            published_fits = True
            tokens = self._tokens(job, trained)
            weights, steps = lm.initial_weights(trained, job.seed), trained.steps or 0
            num_parameters, member = sum(of.size for of in weights.values()), self.member
            if member and member.parameters and not job.arm.set and num_parameters != member.parameters:
                told = f"{member.parameters} parameters as published, the recipe's model {num_parameters}"
                raise RecipeMismatch(f"{member.name} has {told}")
            said.append(
                f"{num_parameters} parameters, {steps} updates on {device}, first weights of seed {job.seed}, "
                f"{'the published order' if self.order == 'published' else 'an order of its own'}"
            )
            said.extend(f"released checkpoint: {VALIDATION} {loss:.6g}" for loss in released)
            found = pretraining.pretrain(
                trained, weights, tokens, held_out, points=self._points(steps),
                numerics=self._numerics(job.threads, job.seed), device=device, deadline=deadline,
            )  # fmt: skip
        except TimeLimit:
            return ended(RerunStatus.TIMED_OUT, f"stopped after {job.timeout_s:g} s, its time limit")
        except pretraining.TooLarge as error:
            raise BadInput(_too_large(error)) from None
        except (RecipeMismatch, BadTokens) as finding:
            if job.arm.set and published_fits:  # the target's doing
                raise BadInput(f"set: the changed recipe cannot be trained: {finding}") from None
            return ended(RerunStatus.FAILED, f"no training: {finding}")
        curves = self._curves(found, released, steps)
        wanted = self._wanted(steps)
        measurements = tuple(measurement(name, dict(curves[name]).get(step, math.nan), step) for name, step in wanted)
        lost = any(of.value is None for of in measurements)
        return replace(
            ended(RerunStatus.DIVERGED if lost else RerunStatus.FINISHED, "the loss is not a finite number" if lost else ""),
            measurements=measurements,
            curves={name: tuple(of for of in points if math.isfinite(of[1])) for name, points in curves.items()},
        )  # fmt: skip

    def _numerics(self, threads: int, seed: int = 0) -> Numerics:
        return Numerics(precision=self.precision, micro_batch=self.micro_batch, threads=threads, dropout_seed=seed)

    def _points(self, steps: int) -> list[int]:
        every = self.every or max(1, steps // NUM_POINTS)
        return sorted({*range(every, steps, every), steps, *(of.step for of in self.train_loss)})

    def _published_order(self, job: Job, recipe: LanguageRecipe) -> Tokens:
        """The sequences in their published order, as many as the recipe needs."""
        num_batches = self.tokens.batches(job.artifacts, recipe).num_batches
        if num_batches < (recipe.steps or 0):
            raise RecipeMismatch(f"the published tokens have {num_batches} batches, the recipe {recipe.steps} updates")
        return self.in_order(job.artifacts, recipe)

    def _tokens(self, job: Job, recipe: LanguageRecipe) -> Tokens:
        """The arm's sequences in the order of this seed."""
        tokens = self._published_order(job, recipe)
        if self.order == "shuffled":
            order = np.random.default_rng([job.seed, 21]).permutation((recipe.steps or 0) * recipe.batch_size)
            tokens = Reordered(tokens=tokens, order=order)
        if job.arm.permute:
            tokens = Scrambled(tokens=tokens, seed=job.seed)
        return tokens

    def _check_unseen(self, items: Items | None, job: Job, recipe: LanguageRecipe) -> None:
        held, size = self.held_out, recipe.batch_size
        if held is None or items is None:
            return
        seen = trained_on(items, self._published_order(job, recipe), (recipe.steps or 0) * size, size)
        if seen is not None:
            raise BadInput(
                f"rerun.held_out: item {held.first + seen} of {held.path} is trained on; choose items that the training does not "
                "hold"
            )

    def _curves(self, found: Pretraining, released: tuple[float, ...], steps: int) -> dict[str, Curve]:
        """Every metric along the training, its own step last; shorter where the weights were lost on the way."""
        losses, points = found.losses, [point for point in self._points(steps) if point <= len(found.losses)]
        curves = {"train_loss": tuple((to, float(losses[at:to].mean())) for at, to in pairwise([0, *points]))}
        for of in self.train_loss:
            ends = [to for to in points if of.last <= to <= of.step]
            curves[of.metric] = tuple((to, float(losses[to - of.last : to].mean())) for to in ends)
        if self.held_out:
            curves[VALIDATION] = found.held_out
        if released:
            reference = float(np.mean(released))
            curves[ABOVE_RELEASED] = tuple((step, loss - reference) for step, loss in found.held_out)
        return curves


def _too_large(error: Exception) -> str:
    return f"rerun.micro_batch: the training does not fit into the memory of the device; give a smaller one ({error})"
