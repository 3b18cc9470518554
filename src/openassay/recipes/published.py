"""Where does a release publish its training: recipe, tokens in their order, weights of some steps?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from openassay.core.types import Citation
from openassay.recipes.formats import read_recipe
from openassay.recipes.formats.draft import complete
from openassay.training.language import LanguageRecipe
from openassay.training.mismatch import RecipeMismatch
from openassay.training.numerics import Tokens, Weights
from openassay.training.tokens import BadTokens, Batches, local, size_of
from openassay.training.tokens.megatron import Preshuffled, preshuffled, read_index
from openassay.training.tokens.olmo import Memmaps

_SPAN = re.compile(r"\.bytes-(\d+)-\d+\Z")
"""How a fetched span of a file is called that does not begin it (`sources.hf.HfFile`)."""


def _inside(path: str) -> str:
    """A path below an artifact's top, as it is; ValueError for any other."""
    if {"", ".", ".."} & set(path.split("/")) or not path.isprintable():
        raise ValueError(f"it must stay below the artifact, found {path[:200]!r}")
    return path


Inside = Annotated[str, AfterValidator(_inside)]


@dataclass(frozen=True, kw_only=True)
class RecipeFile:
    """The file in which the release publishes its recipe."""

    artifact: str
    path: Inside
    format: str | None = None
    """One of `openassay recipe --help`; found out when left out."""


@dataclass(frozen=True, kw_only=True)
class TokenFiles:
    """The published tokens, in the order of training."""

    artifact: str
    layout: Literal["preshuffled", "olmo"]
    """`preshuffled`: items one after another, batch k from item k x batch on (Pythia). `olmo`: memory maps in a seeded order."""
    files: Annotated[tuple[Inside, ...], Field(min_length=1)]
    index: Inside | None = None
    """A Megatron `.idx` beside them."""
    dtype: Literal["uint16", "uint32"] = "uint16"
    starts_at: Annotated[int, Field(ge=0)] = 0
    """Byte of the whole tokens at which the first of `files` begins, where only a later part was fetched (`preshuffled`)."""

    @property
    def problem(self) -> str:
        """What is wrong with `starts_at`, in a line; empty when nothing is."""
        begins = [int(found[1]) if (found := _SPAN.search(name)) else 0 for name in self.files]
        if self.starts_at and (self.layout != "preshuffled" or self.index):
            return "only preshuffled tokens without an index can begin in their middle"
        if self.starts_at % np.dtype(self.dtype).itemsize:
            return f"it lies within a token: tokens of {self.dtype} begin at each {np.dtype(self.dtype).itemsize} bytes"
        if self.starts_at < begins[0]:
            return (
                f"{self.files[0]} begins at byte {begins[0]} of its file, so at that byte of the tokens or a later one"
            )
        if any(begins[1:]):
            return "only the first file can begin in its middle"
        return ""

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
        if self.index:
            found = preshuffled(read_index(folder / self.index), parts, recipe.batch_size, read)
            if found.item_length != recipe.data.item_length:
                raise BadTokens(
                    f"{self.index}: expected items of {recipe.data.item_length} tokens, found {found.item_length}"
                )
            return found
        item = recipe.data.item_length * dtype.itemsize
        stops_at = self.starts_at + sum(size for _, size in parts)  # a part of a file may be all that was fetched
        return Preshuffled(
            parts=parts, item_length=recipe.data.item_length, batch_size=recipe.batch_size, read=read, dtype=dtype,
            num_items=stops_at // item, starts_at=self.starts_at,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class OptimizerState:
    """The file with Adam's moments at a step: safetensors or what `torch.save` writes (`training.optimizer_state`)."""

    artifact: str
    path: Inside


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Published weights of one step, as safetensors."""

    step: Annotated[int, Field(ge=0)]
    artifact: str
    path: Inside = "model.safetensors"
    optimizer: OptimizerState | None = None
    """The optimizer's state at that step, where it is published."""


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
        read = read_recipe(Path(artifacts[self.recipe.artifact]) / self.recipe.path, self.recipe.format)
        files = {} if read.values["data.files"] else {"data.files": self.tokens.files}
        return complete(read, files | self.settings, "rerun.settings")

    def in_order(self, artifacts: Mapping[str, str], recipe: LanguageRecipe) -> Tokens:
        """The published sequences in the order of training. `BadTokens` says what does not fit."""
        return _InOrder(self.tokens.batches(artifacts, recipe), recipe.batch_size)


@dataclass(frozen=True, eq=False)  # by identity it can be a cache's key, whatever its batches are
class _InOrder:
    """Batches as sequences in the order of training."""

    batches: Batches
    size: int
    """Of a batch: the first one may not be here."""

    def items(self, first: int, count: int) -> NDArray[np.integer[Any]]:
        size = self.size
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
