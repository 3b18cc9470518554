"""What every record shares.

Every record is a frozen dataclass, in the module of its noun: claims, findings, openness, reruns, replays, verdicts. Records
that cross a stage have no default values, so that a wrong or old file fails to parse instead of passing as an empty record; the
parts that a person writes (claims) may leave out what is optional.
"""

from __future__ import annotations

from typing import Any, Literal

LARGEST = 1e150
"""A number beyond this (its square is no longer a number) counts as not finite, wherever it stands."""

Json = dict[str, Any] | list[Any] | str | int | float | bool | None

IsolationKind = Literal["none", "bubblewrap"]
"""How published code is kept from the machine that runs it: not at all, or in a cage."""
