"""Several published files of one training as one recipe: each value with its origin, contradictions noted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from openassay.published.marked import shorten
from openassay.published.recipes.draft import NAMES, complete, settle
from openassay.published.recipes.hugging_face import PARTS
from openassay.training.language import Origin, ReadRecipe, Value

STRENGTH = ("stated", "derived", "code default", "unstated")
"""Kinds of origins, the strongest first."""


def join(parts: Sequence[ReadRecipe], where: str) -> ReadRecipe:
    """One recipe of several files: of each value the strongest origin counts, and of equal ones the first file's.

    Where a file states another value than the one that counts, a note tells both.
    """
    values: dict[str, Value] = {}
    origins: dict[str, Origin] = {}
    notes = [note for part in parts for note in part.notes if note not in PARTS]
    for name in NAMES:
        chosen = min(parts, key=lambda part: _rank(part, name))
        values[name], origins[name] = chosen.values[name], chosen.origins[name]
        for part in parts:
            other, kind = part.values[name], part.origins[name].kind
            if kind in {"stated", "derived"} and other != values[name]:
                notes.append(
                    f"{name}: {origins[name].where} says {shorten(values[name])}, {part.origins[name].where} says "
                    f"{shorten(other)}; the first counts"
                )
    joined = ReadRecipe(
        format=" + ".join(part.format for part in parts), values=values, origins=origins,
        missing=settle(values, origins), recipe=None,
        ignored={f"{part.format}: {key}": why for part in parts for key, why in part.ignored.items()},
        unknown={f"{part.format}: {key}": place for part in parts for key, place in part.unknown.items()},
        notes=tuple(dict.fromkeys(notes)),
    )  # fmt: skip
    return joined if joined.missing else replace(joined, recipe=complete(joined, {}, where))


def _rank(part: ReadRecipe, name: str) -> tuple[bool, bool, int]:
    """The place of a part's origin of one value: the least counts.

    config.json comes last, as it describes the released model, perhaps a converted one: where the training's own file is silent,
    its code's default was used.
    """
    kind = part.origins[name].kind
    return kind == "unstated", part.format == "hf_config", STRENGTH.index(kind)
