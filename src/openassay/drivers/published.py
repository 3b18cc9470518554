"""Where a release publishes its training: the recipe, the tokens in their order, the weights of some steps."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from openassay.core.claims import Citation
from openassay.core.findings import FetchRecord, Finding
from openassay.drivers.driver import Driver, TargetFacts, artifact_digests, beside_verdict
from openassay.drivers.job import Inside, PublishedFile
from openassay.faults import BadInput
from openassay.published.recipes import read_recipes
from openassay.published.recipes.draft import complete
from openassay.published.tokens import BadTokens, Batches, ByteRange, Bytes, local, size_of, spans
from openassay.published.tokens.megatron import (
    Preshuffled,
    Shuffled,
    preshuffled,
    read_index,
    samples_asked,
    shuffled,
    split_documents,
)
from openassay.published.tokens.olmo import Memmaps
from openassay.published.tokens.rows import COLUMN, JsonLines, Parquet, line_ranges, row_groups
from openassay.training.language import LanguageRecipe
from openassay.training.mismatch import RecipeMismatch
from openassay.training.numerics import Tokens, Weights

Parts = tuple[tuple[str, int], ...]
"""Files, each with its bytes."""


@dataclass(frozen=True, kw_only=True)
class RecipeFile(PublishedFile):
    """The file in which the release publishes its recipe."""

    format: str | None = None
    """One of `openassay recipe --help`; found out when left out."""
    more: tuple[Inside, ...] = ()
    """Further files of the artifact that say the rest, as config.json beside TrainingArguments does."""


NUMPY = b"\x93NUMPY"
"""How a file with numpy's own header begins."""
BY_PLACE = ("preshuffled", "olmo")
"""Layouts whose items lie where the files' sizes say, so that parts of the files are enough."""


@dataclass(frozen=True, kw_only=True)
class TokenFiles:
    """The published tokens, in the order of training."""

    artifact: str
    layout: Literal["preshuffled", "megatron", "olmo", "jsonl", "parquet"]
    """`preshuffled`: items one after another, batch k from item k x batch on (Pythia). `megatron`: documents in GPT-NeoX's seeded
    order. `olmo`: memory maps in a seeded order. `jsonl` and `parquet`: a row is an item, as stored (Amber)."""
    files: Annotated[tuple[Inside, ...], Field(min_length=1)]
    index: Inside | None = None
    """A Megatron `.idx` beside them; `megatron` needs it."""
    dtype: Literal["uint16", "uint32"] = "uint16"
    column: str = COLUMN
    """Of rows: where the token ids are."""
    sizes: tuple[Annotated[int, Field(ge=1)], ...] | None = None
    """Bytes of each file as published, where the artifact holds spans of them: `openassay tokens TARGET` prints both."""

    def __post_init__(self) -> None:
        if self.sizes is not None and len(self.sizes) != len(self.files):
            raise ValueError(f"sizes: one for each of {len(self.files)} files is needed, found {len(self.sizes)}")
        if self.sizes is not None and (self.index or self.layout not in BY_PLACE):
            why = "an index" if self.index else f"layout {self.layout}"
            raise ValueError(f"sizes: with {why} the files are read whole; leave it out")

    def batches(self, artifacts: Mapping[str, str], recipe: LanguageRecipe, *, one_by_one: bool = False) -> Batches:
        """The batches of the recipe, or its sequences as batches of one. `BadTokens` says what does not fit."""
        folder, item = Path(artifacts[self.artifact]), recipe.data.item_length
        batch_size = 1 if one_by_one else recipe.batch_size
        if self.sizes is not None:
            return self.laid_out(self.sizes, recipe, spans(folder), batch_size)
        parts = tuple((name, size_of(folder, name)) for name in self.files)
        paths, read = {name: folder / name for name in self.files}, local(folder)
        for name, size in parts if self.layout == "olmo" else ():
            if size >= len(NUMPY) and read(ByteRange(name, 0, len(NUMPY))) == NUMPY:
                raise BadTokens(f"{name}: expected raw token ids, found numpy's own header; the tokens begin after it")
        if self.layout == "parquet":
            groups = [group for name, path in paths.items() for group in row_groups(path, name, self.column)]
            return Parquet(groups=groups, paths=paths, item_length=item, batch_size=batch_size, column=self.column)
        if self.layout == "jsonl":
            lines = [line for name, path in paths.items() for line in line_ranges(path, name)]
            return JsonLines(lines=lines, item_length=item, batch_size=batch_size, read=read, column=self.column)
        if self.layout == "megatron":
            return self._shuffled(folder, parts, recipe, batch_size)
        if self.index:
            found = preshuffled(read_index(folder / self.index), parts, batch_size, read)
            if found.item_length != item:
                raise BadTokens(f"{self.index}: expected items of {item} tokens, found {found.item_length}")
            return found
        return self.laid_out([size for _, size in parts], recipe, read, batch_size)

    def check_order(self, recipe: LanguageRecipe) -> None:
        """Raises `BadInput` unless these are all files of the recipe, in its order.

        In OLMo's layout both set the order of training: a mistake of the target's would be taken for one of the release's.
        """
        stated = recipe.data.files
        if self.layout != "olmo" or stated == self.files:
            return
        if len(stated) != len(self.files):
            names = f"the recipe names {len(stated)} files, found {len(self.files)}"
            raise BadInput(f"rerun.tokens.files: {names}; all of them set the order")
        for at, (theirs, ours) in enumerate(zip(stated, self.files, strict=True)):
            if PurePosixPath(theirs).name != PurePosixPath(ours).name:
                raise BadInput(f"rerun.tokens.files.{at}: the recipe has {theirs} there, found {ours}")

    def laid_out(self, sizes: Sequence[int], recipe: LanguageRecipe, read: Bytes, batch_size: int) -> Batches:
        """The batches over files of these sizes, by the recipe; nothing is read yet. Of a layout in `BY_PLACE`."""
        if self.layout not in BY_PLACE:
            raise BadTokens(f"layout {self.layout}: sizes alone do not say where its items lie")
        parts = tuple(zip(self.files, sizes, strict=True))
        dtype: np.dtype[Any] = np.dtype(self.dtype)
        length, item, seed = recipe.data.sequence_length, recipe.data.item_length, recipe.data.seed
        if self.layout == "preshuffled":
            whole = sum(sizes) // (item * dtype.itemsize)  # the start of a file may be all that was fetched
            return Preshuffled(
                parts=parts, item_length=item, batch_size=batch_size, read=read, dtype=dtype, num_items=whole
            )
        if seed is None:
            raise RecipeMismatch("data.seed: the recipe does not say it, and it sets the order of these files")
        return Memmaps(files=parts, sequence_length=length, batch_size=batch_size, read=read, seed=seed, dtype=dtype)

    def _shuffled(self, folder: Path, parts: Parts, recipe: LanguageRecipe, batch_size: int) -> Batches:
        data = recipe.data
        if self.index is None or data.seed is None or recipe.steps is None:
            raise RecipeMismatch("a shuffled Megatron data set needs its .idx, the seed and the number of updates")
        index = read_index(folder / self.index, sum(size for _, size in parts))
        stop = len(index.sizes) if data.split is None else split_documents(data.split, len(index.sizes))[1]
        asked = samples_asked(recipe.steps, recipe.batch_size, by_paths=data.split is None)
        length = data.sequence_length
        order = shuffled(index.sizes, range(stop), sequence_length=length, num_samples=asked, seed=data.seed)
        return Shuffled(index=index, order=order, batch_size=batch_size, read=local(folder), parts=parts)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Published weights of one step, as safetensors."""

    step: Annotated[int, Field(ge=0)]
    artifact: str
    path: Inside = "model.safetensors"
    optimizer: PublishedFile | None = None
    """Adam's moments at that step, where they are published: safetensors or what `torch.save` writes."""


@dataclass(frozen=True, kw_only=True)
class PublishedTraining(Driver):
    """The part of a target's `rerun` that says where the training is published; drivers add what they do with it."""

    recipe: RecipeFile
    tokens: TokenFiles
    settings: dict[str, Any] = field(default_factory=dict)
    """Values of the canonical recipe, by dotted name, that its file leaves unstated; `taken_from` says where they stand."""
    taken_from: tuple[Citation, ...] = ()

    def code(self, fetched: FetchRecord, glue: str | None) -> dict[str, object]:
        """Ours, and what is trained on, by what was fetched."""
        return super().code(fetched, glue) | {"artifacts": artifact_digests(fetched)}

    def settings_findings(self, settings: Collection[str]) -> list[Finding]:
        """That these values of the recipe do not stand in its published file."""
        stated = f"the published recipe does not state {', '.join(sorted(settings))}: taken from elsewhere, as the target says"
        return [beside_verdict("recipe_not_whole", stated)] if settings else []

    def named(self) -> list[tuple[str, str]]:
        """Every artifact that is needed, after the key that names it."""
        return [("recipe", self.recipe.artifact), ("tokens", self.tokens.artifact)]

    def check(self, target: TargetFacts) -> Iterator[str]:
        """Whether every artifact that it names, and the source of the settings, is there."""
        for part, artifact in self.named():
            if artifact not in target.artifacts:
                yield f"rerun.{part}.artifact: there is no artifact {artifact!r}"
        if self.settings and not self.taken_from:
            yield "rerun.taken_from: missing; say where the settings stand"

    def read(self, artifacts: Mapping[str, str]) -> LanguageRecipe:
        """The canonical recipe. `BadInput` says which value it lacks."""
        folder = Path(artifacts[self.recipe.artifact])
        read = read_recipes([folder / path for path in (self.recipe.path, *self.recipe.more)], self.recipe.format)
        files = {} if read.values["data.files"] else {"data.files": self.tokens.files}
        return complete(read, files | self.settings, "rerun.settings")

    def in_order(
        self, artifacts: Mapping[str, str], recipe: LanguageRecipe, instead: TokenFiles | None = None
    ) -> Tokens:
        """The published sequences in the order of training. `BadTokens` says what does not fit. `instead`: other files."""
        files = instead or self.tokens
        if instead is None:
            files.check_order(recipe)
        single = files.batches(artifacts, recipe, one_by_one=True)  # for a part of a batch may be all that is here
        return _InOrder(single, recipe.batch_size, recipe.architecture.vocab_size)

    def token_ranges(self, recipe: LanguageRecipe, sizes: Sequence[int], first: int, stop: int) -> list[ByteRange]:
        """The bytes of sequences [first, stop) of the training in files of these sizes. `BadTokens` when there are fewer."""
        self.tokens.check_order(recipe)
        single = self.tokens.laid_out(sizes, recipe, _nothing, 1)
        if stop > single.num_batches:
            raise BadTokens(f"{self.tokens.files[0]}: expected {stop} sequences, found {single.num_batches}")
        return single.ranges(first, stop)


def _nothing(wanted: ByteRange) -> bytes:
    raise BadTokens(f"{wanted.file}: not read yet")


@dataclass(frozen=True, eq=False)
class _InOrder:
    """Batches of one sequence, as sequences in the order of training."""

    single: Batches
    batch_size: int
    num_words: int
    """Rows of the model's embedding."""

    def items(self, first: int, count: int) -> NDArray[np.integer[Any]]:
        """As `Tokens`."""
        if first + count > self.single.num_batches:
            cut = max(first, self.single.num_batches) // self.batch_size
            raise RecipeMismatch(f"the published tokens end before batch {cut} is whole")
        rows = np.concatenate([self.single.batch(at) for at in range(first, first + count)])
        if rows.min() < 0 or rows.max() >= self.num_words:
            raise BadTokens(
                f"sequences {first} to {first + count - 1}: expected token ids below {self.num_words}, the rows of the "
                f"embedding, found {rows.max()}"
            )
        return rows


def device_for(wanted: str) -> str:
    """`cpu` or `cuda`; `BadInput` where there is none."""
    from openassay.training.trainer import pick_device  # noqa: PLC0415 - torch takes seconds to import

    try:
        return pick_device(wanted)
    except RecipeMismatch as error:
        raise BadInput(str(error)) from None


@lru_cache(maxsize=2)
def weights_of(path: Path) -> tuple[Weights, str]:
    """The weights of a safetensors file, and the precision that it stores them in."""
    from safetensors import SafetensorError  # noqa: PLC0415

    from openassay.training.lm import read_safetensors  # noqa: PLC0415 - torch takes seconds to import

    try:
        return read_safetensors(path)
    except SafetensorError as problem:
        raise RecipeMismatch(f"{path.name} of a checkpoint is no safetensors file: {str(problem)[:200]}") from None


def stored_as(paths: tuple[Path, ...]) -> Literal["fp32", "fp16", "bf16"]:
    """The coarsest precision in which any of these files holds weights."""
    kinds = {weights_of(path)[1] for path in paths}
    return next((kind for kind in ("bf16", "fp16") if kind in kinds), "fp32")
