"""Where does a release publish its training: recipe, tokens in their order, weights of some steps?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from openassay.core.types import Citation
from openassay.recipes.formats import read_recipes
from openassay.recipes.formats.draft import complete
from openassay.training.language import LanguageRecipe
from openassay.training.mismatch import RecipeMismatch
from openassay.training.numerics import Tokens, Weights
from openassay.training.tokens import BadTokens, Batches, local, size_of
from openassay.training.tokens.megatron import (
    Preshuffled,
    Shuffled,
    preshuffled,
    read_index,
    samples_asked,
    shuffled,
    split_documents,
)
from openassay.training.tokens.olmo import Memmaps
from openassay.training.tokens.rows import COLUMN, JsonLines, Parquet, line_ranges, row_groups


@dataclass(frozen=True, kw_only=True)
class RecipeFile:
    """The file in which the release publishes its recipe."""

    artifact: str
    path: str
    format: str | None = None
    """One of `openassay recipe --help`; found out when left out."""
    more: tuple[str, ...] = ()
    """Further files of the artifact that say the rest, as config.json beside TrainingArguments does."""


@dataclass(frozen=True, kw_only=True)
class TokenFiles:
    """The published tokens, in the order of training."""

    artifact: str
    layout: Literal["preshuffled", "megatron", "olmo", "jsonl", "parquet"]
    """`preshuffled`: items one after another, batch k from item k x batch on (Pythia). `megatron`: documents in GPT-NeoX's seeded
    order. `olmo`: memory maps in a seeded order. `jsonl` and `parquet`: a row is an item, as stored (Amber)."""
    files: Annotated[tuple[str, ...], Field(min_length=1)]
    index: str | None = None
    """A Megatron `.idx` beside them; `megatron` needs it."""
    dtype: Literal["uint16", "uint32"] = "uint16"
    column: str = COLUMN
    """Of rows: where the token ids are."""

    def batches(self, artifacts: Mapping[str, str], recipe: LanguageRecipe) -> Batches:
        """The batches of the recipe. `BadTokens` says what does not fit."""
        folder = Path(artifacts[self.artifact])
        dtype: np.dtype[Any] = np.dtype(self.dtype)
        read, parts = local(folder), tuple((name, size_of(folder, name)) for name in self.files)
        if self.layout == "olmo":
            return Memmaps(
                files=parts, sequence_length=recipe.data.sequence_length, batch_size=recipe.batch_size, read=read,
                seed=recipe.data.seed or 0, dtype=dtype,
            )  # fmt: skip
        if self.layout in {"jsonl", "parquet"}:
            return self._rows(folder, recipe)
        if self.layout == "megatron":
            return self._shuffled(folder, recipe)
        if self.index:
            found = preshuffled(read_index(folder / self.index), parts, recipe.batch_size, read)
            if found.item_length != recipe.data.item_length:
                raise BadTokens(
                    f"{self.index}: expected items of {recipe.data.item_length} tokens, found {found.item_length}"
                )
            return found
        item = recipe.data.item_length * dtype.itemsize
        whole = sum(size for _, size in parts) // item  # the start of a file may be all that was fetched
        return Preshuffled(
            parts=parts, item_length=recipe.data.item_length, batch_size=recipe.batch_size, read=read, dtype=dtype,
            num_items=whole,
        )  # fmt: skip

    def _rows(self, folder: Path, recipe: LanguageRecipe) -> Batches:
        paths = {name: folder / name for name in self.files}
        for name in paths:
            size_of(folder, name)  # a file that is not there is a finding
        item, batch = recipe.data.item_length, recipe.batch_size
        if self.layout == "parquet":
            groups = [group for name, path in paths.items() for group in row_groups(path, name, self.column)]
            return Parquet(groups=groups, paths=paths, item_length=item, batch_size=batch, column=self.column)
        lines = [line for name, path in paths.items() for line in line_ranges(path, name)]
        return JsonLines(lines=lines, item_length=item, batch_size=batch, read=local(folder), column=self.column)

    def _shuffled(self, folder: Path, recipe: LanguageRecipe) -> Batches:
        data = recipe.data
        if self.index is None or data.seed is None or recipe.steps is None:
            raise RecipeMismatch("a shuffled Megatron data set needs its .idx, the seed and the number of updates")
        parts = tuple((name, size_of(folder, name)) for name in self.files)
        index = read_index(folder / self.index, sum(size for _, size in parts))
        stop = len(index.sizes) if data.split is None else split_documents(data.split, len(index.sizes))[1]
        asked = samples_asked(recipe.steps, recipe.batch_size, by_paths=data.split is None)
        order = shuffled(
            index.sizes, range(stop), sequence_length=data.sequence_length, num_samples=asked, seed=data.seed
        )  # fmt: skip
        return Shuffled(index=index, order=order, batch_size=recipe.batch_size, read=local(folder), parts=parts)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Published weights of one step, as safetensors."""

    step: Annotated[int, Field(ge=0)]
    artifact: str
    path: str = "model.safetensors"


@dataclass(frozen=True, kw_only=True)
class PublishedTraining:
    """The part of a target's `rerun` that says where the training is published; drivers add what they do with it."""

    recipe: RecipeFile
    tokens: TokenFiles
    settings: dict[str, Any] = field(default_factory=dict)
    """Values of the canonical recipe, by dotted name, that its file leaves unstated; `taken_from` says where they stand."""
    taken_from: tuple[Citation, ...] = ()

    def read(self, artifacts: Mapping[str, str]) -> LanguageRecipe:
        """The canonical recipe. `BadInput` says which value it lacks."""
        folder = Path(artifacts[self.recipe.artifact])
        read = read_recipes([folder / path for path in (self.recipe.path, *self.recipe.more)], self.recipe.format)
        files = {} if read.values["data.files"] else {"data.files": self.tokens.files}
        return complete(read, files | self.settings, "rerun.settings")

    def in_order(self, artifacts: Mapping[str, str], recipe: LanguageRecipe) -> Tokens:
        """The published sequences in the order of training. `BadTokens` says what does not fit."""
        return _InOrder(self.tokens.batches(artifacts, recipe))


@dataclass(frozen=True, eq=False)
class _InOrder:
    """Batches as sequences in the order of training."""

    batches: Batches

    def items(self, first: int, count: int) -> NDArray[np.integer[Any]]:
        size = self._batch(0).shape[0]
        rows = [self._batch(at // size)[at % size] for at in range(first, first + count)]
        return np.stack(rows)

    def _batch(self, index: int) -> NDArray[np.integer[Any]]:
        if index >= self.batches.num_batches:
            raise RecipeMismatch(f"the published tokens end before batch {index}")
        return _cached(self, index)


@lru_cache(maxsize=4)
def _cached(order: _InOrder, index: int) -> NDArray[np.integer[Any]]:
    return order.batches.batch(index)


@lru_cache(maxsize=2)
def weights_of(path: Path) -> tuple[Weights, str]:
    """The weights of a safetensors file, and the precision that it stores them in."""
    from openassay.training.lm import read_safetensors  # noqa: PLC0415 - torch takes seconds to import

    return read_safetensors(path)


def stored_as(paths: tuple[Path, ...]) -> Literal["fp32", "fp16", "bf16"]:
    """The coarsest precision in which any of these files holds weights."""
    kinds = {weights_of(path)[1] for path in paths}
    return next((kind for kind in ("bf16", "fp16") if kind in kinds), "fp32")
