"""The training losses that a release published, by update: a CSV or JSONL file, as Weights & Biases exports it."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from openassay.core.claims import Citation
from openassay.core.replay import Stored, round_to, spacing
from openassay.drivers.job import PublishedFile
from openassay.training.mismatch import RecipeMismatch

MAX_BYTES = 256 * 2**20
"""A log is not read when it is larger: a million updates are 30 MB."""


@dataclass(frozen=True, kw_only=True)
class LossLog(PublishedFile):
    """The file with the published training losses, `.csv` or `.jsonl`."""

    step_column: str
    loss_column: str
    """The cross-entropy alone, in nats, of the whole batch: without z-loss and other terms."""
    step_is: Literal["updates_done", "update"]
    """What the logged step counts: `updates_done`, so that step s is of update s - 1, or the `update` itself, counted from 0."""
    mean_over: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Updates whose mean one logged loss is, the last of them that of the step: the logging interval, with many trainers."""
    cited_at: Citation
    """Where it stands what a step and a loss of this log mean."""

    def read(self, artifacts: Mapping[str, str], updates: int) -> tuple[NDArray[np.float64], float]:
        """The loss of updates 0 to `updates` - 1, not a number where none is published; and the unit that they are rounded to.

        `RecipeMismatch` says why a file cannot be that log.
        """
        path = Path(artifacts[self.artifact]) / self.path
        losses, texts, two = np.full(updates, np.nan), list[str](), set[int]()
        for line, step_text, loss_text in self._rows(path):
            where = f"{path.name}: line {line}"
            loss = _number(loss_text, f"{where}: {self.loss_column}")
            step = _number(step_text, f"{where}: {self.step_column}", whole=True)
            update = int(step) - (self.step_is == "updates_done")
            if not math.isfinite(loss):
                continue
            texts.append(loss_text)
            if 0 <= update < updates:
                if not math.isnan(losses[update]) and losses[update] != loss:
                    two.add(update)  # after a restart; which of them led to the weights, nobody knows
                losses[update] = loss
        if not texts:
            columns = f"{self.step_column!r} and {self.loss_column!r}"
            raise RecipeMismatch(f"{path.name}: no line has a number both as {columns}")
        losses[list(two)] = np.nan
        return losses, rounding_unit(texts)

    def _rows(self, path: Path) -> Iterator[tuple[int, str, str]]:
        """Line, step and loss, as printed, of each line that has both."""
        if not path.is_file():
            raise RecipeMismatch(f"{path.name} of the losses is not in its artifact")
        if path.stat().st_size > MAX_BYTES:
            raise RecipeMismatch(f"{path.name}: a log of more than {MAX_BYTES} bytes is not read")
        read = {".csv": self._csv, ".jsonl": self._jsonl}.get(path.suffix)
        if read is None:
            raise RecipeMismatch(f"{path.name}: losses are read from .csv and .jsonl files")
        try:
            yield from read(path)
        except (UnicodeDecodeError, csv.Error, RecursionError) as problem:
            raise RecipeMismatch(f"{path.name} is no {path.suffix} file: {str(problem)[:200]}") from None

    def _csv(self, path: Path) -> Iterator[tuple[int, str, str]]:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            names = rows.fieldnames or ()
            for column in (self.step_column, self.loss_column):
                if column not in names:
                    known = ", ".join(repr(name[:40]) for name in names[:10])
                    raise RecipeMismatch(f"{path.name}: there is no column {column!r}; there are: {known or 'none'}")
            for row in rows:
                step, loss = row[self.step_column], row[self.loss_column]
                if step and step.strip() and loss and loss.strip():
                    yield rows.line_num, step, loss

    def _jsonl(self, path: Path) -> Iterator[tuple[int, str, str]]:
        with path.open(encoding="utf-8") as file:
            for line, text in enumerate(file, start=1):
                if not text.strip():
                    continue
                try:  # numbers stay as they are printed
                    row = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
                except json.JSONDecodeError as problem:
                    raise RecipeMismatch(f"{path.name}: line {line} is no JSON: {problem.msg}") from None
                found = row if isinstance(row, dict) else {}
                step, loss = found.get(self.step_column), found.get(self.loss_column)
                if isinstance(step, str) and isinstance(loss, str):
                    yield line, step, loss


def _number(text: str, where: str, *, whole: bool = False) -> float:
    try:
        value = float(text)
    except ValueError:
        raise RecipeMismatch(f"{where}: expected a number, found {text[:40]!r}") from None
    if whole and not (value >= 0 and value.is_integer()):
        raise RecipeMismatch(f"{where}: expected a whole number from 0 on, found {text[:40]!r}")
    return value


def rounding_unit(texts: list[str]) -> float:
    """The unit that these printed numbers are rounded to, at the largest of them.

    That of the last digit that is printed, for as many decimals or as many digits as any of them has; and where all could have
    come out of bf16 or fp16, the spacing of those, which is wider than the digits let one think.
    """
    try:
        parts = [Decimal(text.strip()) for text in texts]
    except InvalidOperation:  # an underscore, which float() takes
        return 0.0
    decimals = min(int(part.as_tuple().exponent) for part in parts)
    digits = max(len(part.as_tuple().digits) for part in parts)
    values = np.array([float(part) for part in parts])
    largest = max(float(np.abs(values).max()), 1e-300)
    unit = max(10.0 ** min(decimals, 0), 10.0 ** (math.floor(math.log10(largest)) - digits + 1))
    narrow: tuple[Stored, ...] = ("fp16", "bf16")
    for stored in narrow:
        with np.errstate(over="ignore"):
            gap = np.abs(round_to(values, stored).astype(np.float64) - values)
        if (gap <= unit / 2).all():
            unit = max(unit, float(spacing(np.array([largest]), stored)[0]))
    return unit
