"""How is a published training recipe read, whatever its format? `read_recipe` tells the formats apart; FORMATS is the registry.

To add a format: one file with `recognise` and `read`, its row in FORMATS, one test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from openassay.faults import BadInput
from openassay.recipes.formats import amber, cerebras, gin, gpt_neox, hugging_face, olmo
from openassay.recipes.formats.joined import join
from openassay.recipes.formats.marked import Marked, parse_marked, read_text
from openassay.training.language import ReadRecipe


@dataclass(frozen=True, kw_only=True)
class Format:
    """One way in which releases write a recipe down."""

    name: str
    says: str
    recognise: Callable[[Marked], bool]
    read: Callable[[Marked], ReadRecipe]
    parse: Callable[[str, str], Marked] = parse_marked
    suffixes: tuple[str, ...] = (".yaml", ".yml", ".json")


FORMATS = (
    Format(name="gpt_neox", says="GPT-NeoX YAML (Pythia)", recognise=gpt_neox.recognise, read=gpt_neox.read),
    Format(
        name="cerebras",
        says="Cerebras model zoo params.yaml (CrystalCoder)",
        recognise=cerebras.recognise,
        read=cerebras.read,
    ),
    Format(
        name="cerebras_preparation",
        says="Cerebras model zoo data preparation",
        recognise=cerebras.is_preparation,
        read=cerebras.read_preparation,
    ),
    Format(name="olmo", says="OLMo YAML (OLMo, OLMo 2)", recognise=olmo.recognise, read=olmo.read),
    Format(
        name="hf_config",
        says="Hugging Face config.json",
        recognise=hugging_face.is_config,
        read=hugging_face.read_config,
    ),
    Format(
        name="hf_arguments",
        says="Hugging Face TrainingArguments",
        recognise=hugging_face.is_arguments,
        read=hugging_face.read_arguments,
    ),
    Format(
        name="t5_gin",
        says="gin files of T5 (Mesh TensorFlow)",
        recognise=gin.recognise,
        read=gin.read,
        parse=gin.parse,
        suffixes=(".gin",),
    ),
    Format(
        name="amber",
        says="constants of LLM360's Amber main.py",
        recognise=amber.recognise,
        read=amber.read,
        parse=amber.parse,
        suffixes=(".py",),
    ),
)
"""Tried in this order, among those whose files end so."""


def read_recipe(source: Path | str, format: str | None = None, name: str = "recipe") -> ReadRecipe:  # noqa: A002 - the word
    """What does this published file say about its training?

    `source` is a path, or the text itself (then `name` stands for the file in messages). `BadInput`, in one line with the file,
    the line and the key, for what cannot be read.
    """
    if isinstance(source, Path):
        text, where, suffix = read_text(source), str(source), source.suffix.lower()
    else:
        text, where, suffix = source, name, Path(name).suffix.lower()
    if format is not None:
        chosen = next((one for one in FORMATS if one.name == format), None)
        if chosen is None:
            raise BadInput(f"format: expected one of {', '.join(one.name for one in FORMATS)}, found {format!r}")
        given = chosen.parse(text, where)
        if not chosen.recognise(given):
            raise BadInput(f"{where}:1: expected {chosen.says}, found none of its keys")
        return chosen.read(given)
    candidates = [one for one in FORMATS if suffix in one.suffixes] or list(FORMATS)
    parsed: dict[Callable[[str, str], Marked], Marked | BadInput] = {}
    for one in candidates:
        if one.parse not in parsed:
            parsed[one.parse] = _parsed(one, text, where)
        marked = parsed[one.parse]
        if isinstance(marked, Marked) and one.recognise(marked):
            return one.read(marked)
    refusals = [marked for marked in parsed.values() if isinstance(marked, BadInput)]
    if len(refusals) == len(parsed):
        raise refusals[0]
    known = ", ".join(one.says for one in FORMATS)
    raise BadInput(f"{where}: expected a recipe of a known format ({known}), found none of their keys")


def read_recipes(files: Sequence[Path], format: str | None = None) -> ReadRecipe:  # noqa: A002 - the word
    """What do these files of one training say together? `format` is the first one's; the others' are found out."""
    first, *others = files
    parts = [read_recipe(first, format), *(read_recipe(other) for other in others)]
    return parts[0] if not others else join(parts, " and ".join(file.name for file in files))


def _parsed(one: Format, text: str, where: str) -> Marked | BadInput:
    try:
        return one.parse(text, where)
    except BadInput as refused:
        return refused
