"""How a claim is tested, and how its number follows from other published files, as a target declares it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tier = Literal["recomputed", "evaluated", "rerun"]
"""How a claim was tested. `recomputed`: its number follows from other published files; nothing was run. `evaluated`: the released
weights give it under the published evaluation. `rerun`: the published recipe gives it. None implies another."""


CPU, GPU = 5e11, 1.5e14
"""Floating-point operations a second that sizes are told for: 16 cores, and half of what an A100 can do in bfloat16."""
BYTES_PER_TOKEN = 4
"""Of English text."""
NOT_STATED = "not stated"
"""What stands for a harness, or its version, that the release does not name."""


@dataclass(frozen=True, kw_only=True)
class ReleasedWeights:
    """How large the released weights are."""

    parameters: int
    """Those that a token is multiplied by: of a mixture of experts, not all."""
    bytes: int
    source: str
    """Where this is published, or how it is computed."""


@dataclass(frozen=True, kw_only=True)
class PublishedEvaluation:
    """How a number was measured by those who published it, and how much text that is."""

    harness: str
    version: str
    """As the release names it; NOT_STATED where it does not."""
    task: str
    shots: int | None = None
    """None where it is not stated."""
    sequences: int = 1
    """That the model reads for an item: one for each answer to choose from."""
    item_bytes: float | None = None
    """Of an item's text, on average; None where nothing is known of it."""
    source: str


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """How a claim is tested on the released weights, by what the target's `evaluate` measures."""

    items: int | None = None
    """Test items, of which the claimed number is a share."""
    standard_error: str | None = None
    """The metric of `evaluate` that is the number's standard error over test items, where it is no such share."""
    differs: str | None = None
    """What of the published evaluation is not followed, or not known: the harness's version, the prompt, the number of shots.
    Then a number that is not reached accuses nobody."""
    as_published: PublishedEvaluation | None = None
    """How the number was measured, where `evaluate` does not measure it: what it would take."""

    def seconds(self, weights: ReleasedWeights, flops: float) -> float | None:
        """The time at so many operations a second, 2 for each parameter and token; None where the text's size is not known."""
        of = self.as_published
        if of is None or of.shots is None or not of.item_bytes or self.items is None:
            return None
        tokens = self.items * of.sequences * (of.shots + 1) * of.item_bytes / BYTES_PER_TOKEN
        return 2 * weights.parameters * tokens / flops

    def takes(self, weights: ReleasedWeights) -> str:
        """What measuring it would take, in words."""
        size = f"{weights.bytes / 1e9:.3g} GB of weights"
        times = [
            f"{_shown(seconds)} on {what}" for what, flops in (("a GPU", GPU), ("a CPU", CPU))
            if (seconds := self.seconds(weights, flops)) is not None
        ]  # fmt: skip
        return f"{size}, about {' or '.join(times)}" if times else f"{size}; its time is not known"


def _shown(seconds: float) -> str:
    """A time in the unit that fits."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.2g} {unit}" if seconds < 100 * length else f"{seconds / length:.0f} {unit}"
    return f"{max(1.0, seconds):.0f} s"


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Where a number stands in published files, or many numbers. One of `key`, `constant`, `argument`, `words` and `table`."""

    artifact: str
    path: str
    """A file inside the artifact, or a glob: what its wildcards (`*`, `**`, `?`) stand for labels the numbers of each file."""
    key: str | tuple[str, ...] | None = None
    """In YAML, JSON, TOML and gin: dotted, or its parts as a list; a part `*` stands for every key, and gives many numbers."""
    constant: str | None = None
    """In Python: a name that the module assigns once, or `Class.name` for what stands in a class."""
    argument: str | None = None
    """In Python: `callee.keyword`, the same wherever it is called."""
    words: str | None = None
    """In a document: words in which `{}` stands for the number, whatever the white space."""
    table: tuple[str, ...] | None = None
    """In a document, or a CSV or TSV file: columns that the table must have, at least one."""
    column: str | None = None
    """Of a table: the numbers' column; without it the expression names columns, `rows["Tokens"]`."""
    row: tuple[str, ...] | None = None
    """Of a table: cells that the one row must have; without it all rows are meant."""
    without: tuple[str, ...] = ()
    """Of a table: cells by which a row is left out, such as Total."""
    by: tuple[str, ...] = ()
    """Of a table: the columns that tell its rows apart; the first one when left out."""
    rounding: float | None = None
    """The unit of the last printed digit, in the number's own unit, where it is not what the digits say."""


@dataclass(frozen=True, kw_only=True)
class Recomputation:
    """How a claim's number follows from other published files, and what must not follow."""

    numbers: dict[str, Selection]
    value: str
    """An expression of the numbers (docs/tiers.md)."""
    control: str
    """Another one, with one thing changed on purpose, which must not give the published number."""
    control_is: str
    """What was changed in the control."""
    note: str | None = None
    """What a reader must know of the derivation."""
