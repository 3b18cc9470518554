"""Readers of published training recipes. FORMATS is the registry; `read_recipe` tells the formats apart.

To add a format: one file with `recognise` and `read`, its row in FORMATS, one test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from openassay.faults import BadInput
from openassay.published.recipes import (
    amber,
    cerebras,
    gin,
    gpt_neox,
    hugging_face,
    levanter,
    megatron,
    olmo,
    olmo_core,
    open_lm,
    torchtitan,
)
from openassay.published.recipes.joined import join
from openassay.published.recipes.marked import Marked, parse_marked, read_text
from openassay.training.language import ReadRecipe


@dataclass(frozen=True)
class Format:
    """One way in which releases write a recipe down."""

    name: str
    says: str
    recognise: Callable[[Marked], bool]
    read: Callable[[Marked], ReadRecipe]
    parse: Callable[[str, str], Marked] = parse_marked
    suffixes: tuple[str, ...] = (".yaml", ".yml", ".json")


PREPARATION = "Cerebras model zoo data preparation"
MEGATRON = "Megatron-LM's arguments in a shell script (BLOOM, MAP-NEO)"
FORMATS = (
    Format("gpt_neox", "GPT-NeoX YAML (Pythia)", gpt_neox.recognise, gpt_neox.read),
    Format("cerebras", "Cerebras model zoo params.yaml (CrystalCoder)", cerebras.recognise, cerebras.read),
    Format("cerebras_preparation", PREPARATION, cerebras.is_preparation, cerebras.read_preparation),
    Format("olmo", "OLMo YAML (OLMo, OLMo 2)", olmo.recognise, olmo.read),
    Format("hf_config", "Hugging Face config.json", hugging_face.is_config, hugging_face.read_config),
    Format("hf_arguments", "Hugging Face TrainingArguments", hugging_face.is_arguments, hugging_face.read_arguments),
    Format("t5_gin", "gin files of T5 (Mesh TensorFlow)", gin.recognise, gin.read, gin.parse, (".gin",)),
    Format("amber", "constants of LLM360's Amber main.py", amber.recognise, amber.read, amber.parse, (".py",)),
    Format("megatron", MEGATRON, megatron.recognise, megatron.read, megatron.parse, (".sh", ".slurm", ".sbatch")),
    Format("olmo_core", "OLMo-core's Python", olmo_core.recognise, olmo_core.read, olmo_core.parse, (".py",)),
    Format("levanter", "Levanter YAML (Marin)", levanter.recognise, levanter.read),
    Format("dclm", "DCLM's scales", open_lm.is_scale, open_lm.read_scale),
    Format("open_lm_network", "OpenLM's networks", open_lm.is_network, open_lm.read_network),
    Format("torchtitan", "torchtitan TOML", torchtitan.recognise, torchtitan.read, torchtitan.parse, (".toml",)),
)
"""Tried in this order, among those whose files end so."""


def read_recipe(source: Path | str, format: str | None = None, name: str = "recipe") -> ReadRecipe:  # noqa: A002 - the word
    """What a published file says about its training.

    `source` is a path, or the text itself (then `name` stands for the file in messages). `BadInput`, in one line with the file,
    the line and the key, for what cannot be read.
    """
    text, where = (read_text(source), str(source)) if isinstance(source, Path) else (source, name)
    if format is not None:
        chosen = next((one for one in FORMATS if one.name == format), None)
        if chosen is None:
            raise BadInput(f"format: expected one of {', '.join(one.name for one in FORMATS)}, found {format!r}")
        given = chosen.parse(text, where)
        if not chosen.recognise(given):
            raise BadInput(f"{where}:1: expected {chosen.says}, found none of its keys")
        return chosen.read(given)
    candidates = [one for one in FORMATS if Path(where).suffix.lower() in one.suffixes] or FORMATS
    refusals: list[BadInput] = []
    parsed: dict[Callable[[str, str], Marked], Marked | None] = {}
    for one in candidates:
        if one.parse not in parsed:
            try:
                parsed[one.parse] = one.parse(text, where)
            except BadInput as refused:
                parsed[one.parse] = None
                refusals.append(refused)
        marked = parsed[one.parse]
        if marked and one.recognise(marked):
            return one.read(marked)
    if len(refusals) == len(parsed):
        raise refusals[0]
    known = ", ".join(one.says for one in FORMATS)
    raise BadInput(f"{where}: expected a recipe of a known format ({known}), found none of their keys")


def read_recipes(files: Sequence[Path], format: str | None = None) -> ReadRecipe:  # noqa: A002 - the word
    """What these files of one training say together. `format` is the first one's; the others' formats are recognised."""
    first, *others = files
    parts = [read_recipe(first, format), *(read_recipe(other) for other in others)]
    return parts[0] if not others else join(parts, " and ".join(file.name for file in files))
