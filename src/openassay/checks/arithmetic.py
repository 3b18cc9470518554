"""Numbers that a release states against the arithmetic of its own numbers: totals of tables, batches, sizes of models."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from openassay.checks.check import Agreement, Contradiction, NotAsked, Seen, check, compared
from openassay.core.findings import Excerpt
from openassay.published.files import Config, PublishedFiles, PublishedTable, Row, Value, excerpt
from openassay.published.recipes.constants import plain_number
from openassay.published.scalars import number
from openassay.published.stated import documents, is_aside
from openassay.published.tables import tables_of

_TOTAL = re.compile(r"(?i)(grand )?(total|sum)s?$")
_NOT_SUMMED = re.compile(r"(?i)mean|average|avg|ratio|rate|median|max|min|epoch|acc|score|loss|ppl|perplexity|std|per ")
_SUMMED = re.compile(
    r"(?i)(time |training )?\(?gpu[ -]?hours\b|carbon emitted|(carbon |co2 )?emissions\b"
    r"|((number of|num|#|no\.|raw|effective|disk|compressed) ?)*(tokens?|documents?|docs?|size|count|bytes|samples?"
    r"|rows?|examples?|hours|instances|items?|words|files?|share|weight|proportion|percentage|%|(lines of )?code|lines?|blank"
    r"|comments?)\b"
)
_COUNTED = re.compile(
    r"(?i)((number of|num|#|no\.) ?)?(files?|(lines of )?code|lines|blank|comments?|documents|docs|rows|examples|items|instances)"
)
"""Columns whose whole numbers are not rounded."""
_QUANTITY = re.compile(
    r"~?\s*(\d[\d,]*(?:\.\d+)?)\s*(%|[KMGTP]i?B|bytes|[kKMBT]|bn|billion|million|trillion|thousand)?\Z"
)
_FACTOR = {
    "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12, "bn": 1e9, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12,
    **{f"{unit}b": 1000.0 ** (i + 1) for i, unit in enumerate("kmgtp")},
    **{f"{unit}ib": 1024.0 ** (i + 1) for i, unit in enumerate("kmgtp")},
}  # fmt: skip


def quantity(cell: str) -> tuple[float, float] | None:
    """A cell's number in its unit, and half a unit of its last digit; None where the cell is no number."""
    found = _QUANTITY.match(cell.strip().strip("*`_ "))
    value = number(found.group(1)) if found else None
    if found is None or value is None:
        return None
    factor = _FACTOR.get((found.group(2) or "").lower(), 1.0)
    return value * factor, 0.5 * factor * 10.0 ** -len(found.group(1).partition(".")[2])


@check(needs="a table of a document with a row `Total` below rows of numbers")
def total_differs_from_rows(release: PublishedFiles) -> Iterator[Seen]:
    """{table.path}: the column {column} has the total {stated} in line {row.line}, but its {count} rows above are {sum:.10g}
    together, in the same unit"""
    for table in (table for text in release.texts for table in tables_of(text)):
        totals = [i for i, row in enumerate(table.rows) if _TOTAL.match(row.cells[0].strip("*`_: "))]
        if len(totals) == 1 and totals[0] == len(table.rows) - 1 >= 2:
            yield from _columns(table, table.rows[:-1], table.rows[-1])


def _columns(table: PublishedTable, rows: tuple[Row, ...], last: Row) -> Iterator[Seen]:
    for i, column in enumerate(table.columns[1:], 1):
        given = [quantity(row.cells[i]) for row in rows]
        stated, parts = quantity(last.cells[i]), [one for one in given if one is not None]
        if stated is None or len(parts) != len(given) or _NOT_SUMMED.search(column):
            continue
        total = sum(value for value, _ in parts)
        is_exact = _COUNTED.fullmatch(column.strip("*`_ ")) and all(
            of.cells[i].strip("*`_ ").isdigit() for of in (*rows, last)
        )
        slack = 1.01 * (stated[1] + sum(half for _, half in parts)) * (not is_exact) + 1e-9 * total
        if abs(total - stated[0]) <= slack:
            yield Agreement(table.seen(last, i), table.seen(rows[0], i), table.seen(rows[-1], i))
        elif not _SUMMED.match(column.strip("*`_ ")) or not 0.5 <= stated[0] / total <= 2:
            yield NotAsked(
                f"{table.path}: the total of {column.strip()[:40]} may be something else than the sum of the rows"
            )
        else:
            unit = stated[0] / (number(_digits(last.cells[i])) or 1)
            values = {
                "column": column.strip(),
                "stated": last.cells[i].strip("* "),
                "count": len(rows),
                "sum": total / unit,
            }
            yield Contradiction(
                table.seen(last, i), table.seen(rows[0], i), table.seen(rows[-1], i), table=table, row=last, **values
            )


_AVERAGE = re.compile(r"(?i)[*_\s]*(avg\.?|averaged?|mean)( score| acc(uracy)?)?[*_\s]*$")
MIN_AVERAGES = 3
"""Rows of which the average is the mean of the others' cells, from which on it is taken to be so in every row."""


@check(needs="a table of a document with a column `Average` that is the mean of the row's other numbers, in most rows")
def average_differs_from_row(release: PublishedFiles) -> Iterator[Seen]:
    """{table.path}: the {column} in line {row.line} is {stated}, but the mean of its {count} other numbers is {mean:.5g}, as in
    {others} other rows"""
    for table in (table for text in release.texts for table in tables_of(text)):
        columns = [i for i, column in enumerate(table.columns) if i and _AVERAGE.match(column)]
        found = (
            [one for row in table.rows if (one := _mean(table, row, columns[0])) is not None]
            if columns[1:] == [] and columns
            else []
        )
        fitting = [one for one in found if abs(one[2] - one[1]) <= one[3]]
        wrong = [one for one in found if one not in fitting]
        if len(fitting) < max(MIN_AVERAGES, 4 * len(wrong)):
            continue
        for row, stated, mean, _ in wrong or fitting[:1]:
            values = {"column": table.columns[columns[0]].strip(), "stated": f"{stated:g}", "mean": mean}
            at = table.seen(row, columns[0]), table.seen(row)
            yield compared(
                not wrong, *at, table=table, row=row, count=len(row.cells) - 2, others=len(fitting), **values
            )


def _mean(table: PublishedTable, row: Row, at: int) -> tuple[Row, float, float, float] | None:
    """A row, its average, the mean of its other cells, and how far apart rounding can make them; None unless all are numbers."""
    cells = [quantity(cell) for cell in row.cells[1:]]
    stated, others = cells[at - 1], [one for i, one in enumerate(cells, 1) if i != at and one is not None]
    if stated is None or len(others) < 2 or len(others) < len(table.columns) - 2:
        return None
    mean = sum(value for value, _ in others) / len(others)
    return row, stated[0], mean, 1.01 * (stated[1] + max(half for _, half in others)) + 1e-9 * abs(mean)


def _digits(cell: str) -> str:
    found = _QUANTITY.match(cell.strip().strip("*`_ "))
    return found.group(1) if found else ""


_BATCH = re.compile(
    r"(?i)\bbatch[ _-]?size(?: of|:| is| =)?\s+(\d{1,7})\s+(?:with|on|for|using)\s+(\d{1,5})\s+(nodes?|gpus?|devices?)\b"
)
MAX_GPUS_IN_NODE = 16


@check(needs="a comment such as `batch size 128 with 2 nodes` beside a batch for each device and its accumulation")
def batch_in_comment_differs(release: PublishedFiles) -> Iterator[Seen]:
    """{micro.path}: the comment says batch size {batch} with {count} {what}, but {micro.key} {micro.text} x {gas.key}
    {gas.text} makes {each:g} on a device: {batch} would need {needed:g} devices{in_node}"""
    for config in release.configs:
        micros = [
            v for v in config.values if v.word in {"per_device_train_batch_size", "train_micro_batch_size_per_gpu"}
        ]
        gases = [v for v in config.values if v.word in {"gradient_accumulation_steps", "gas"}]
        if len(micros) != 1 or len(gases) != 1 or not micros[0].number or not gases[0].number:
            continue
        micro, gas = micros[0], gases[0]
        each = (micro.number or 0) * (gas.number or 0)
        for line, comment in config.comments:
            found = _BATCH.search(comment)
            if found is None or line not in {micro.line, gas.line}:
                continue
            batch, count, what = int(found.group(1)), int(found.group(2)), found.group(3)
            needed, is_nodes = batch / each, what.lower().startswith("node")
            fits = needed == count if not is_nodes else needed % count == 0 and needed / count <= MAX_GPUS_IN_NODE
            in_node = (
                f" in each node, more than {MAX_GPUS_IN_NODE}" if is_nodes and needed / count > MAX_GPUS_IN_NODE else ""
            )
            values = {"batch": batch, "count": count, "what": what, "each": each, "in_node": in_node}
            at = Value(path=config.path, line=line, key="comment", value=comment, text=comment)
            yield compared(
                fits, at, micro, gas, micro=micro, gas=gas, needed=needed / (count if is_nodes else 1), **values
            )


_SUM = re.compile(r"[\d\s.,eE_+*/()x×-]*\d\s*[*/x×]\s*\(?\d[\d\s.,eE_+*/()x×-]*")
_ROUND = re.compile(r"\b(?:round|int|floor|ceil)(?=\()")


@check(needs="a comment that computes the number beside it, such as `# round(50e9 / (1024 * 4096)) + 10`")
def comment_computes_otherwise(release: PublishedFiles) -> Iterator[Seen]:
    """{value.path}: {value.key} is {value.text}, but the comment beside it computes {comment} = {computed:.10g}"""
    for config in release.configs:
        by_line = {v.line: v for v in config.values if v.number is not None}
        for line, comment in config.comments:
            value = by_line.get(line)
            words = _ROUND.sub("", comment.strip().lstrip("=~").strip())
            if value is None or not _SUM.fullmatch(words) or (computed := _computed(words)) is None:
                continue
            at = Value(path=config.path, line=line, key="comment", value=comment, text=comment)
            given = value.number or 0.0
            # A comment that computes something else by far is about something else.
            if abs(computed - given) <= max(1.0, 0.005 * abs(given)):
                yield Agreement(at, value)
            elif 0.8 <= computed / (given or 1) <= 1.25:
                yield Contradiction(at, value, value=value, comment=comment, computed=computed)


def _computed(words: str) -> float | None:
    """The value of a sum of plain numbers; None for anything else."""
    try:
        tree = ast.parse(words.replace("x", "*").replace("×", "*").replace(",", "").strip(), mode="eval")
        return plain_number(tree.body, {})
    except (SyntaxError, ValueError, RecursionError):
        return None


_SIZE = re.compile(r"(?<![\w.])(\d{1,4}(?:\.\d{1,3})?)([mb])(?![\w.])", re.IGNORECASE)
_OTHER = re.compile(r"(?i)moe|mixtral|\d+x\d|expert|vision|clip|lora|draft|distil|\d[bm]-a?\d+(\.\d+)?b")
MOST_OFF = 1.5
"""A name may be this factor off: some count embeddings and some do not, and all round."""


@check(needs="a model's shape in its config.json or settings, and a size such as 7B in its name")
def size_in_name_differs(release: PublishedFiles) -> Iterator[Seen]:
    """{value.path} is named {name}, but its shape ({shape}) makes {without:.3g} billion parameters, {total:.3g} with
    embeddings"""
    for config in release.configs:
        if is_aside(config.path) or _OTHER.search(config.path) or any("expert" in key for key in config.by_key):
            continue
        sized = [(part, _SIZE.findall(part.replace("_", "-"))) for part in _names(config)]
        sizes = {float(digits) * {"m": 1e-3, "b": 1.0}[unit.lower()] for _, found in sized for digits, unit in found}
        counted = _parameters(config)
        if len(sizes) != 1 or counted is None or not 0.01 <= (size := sizes.pop()) <= 1000:
            continue
        without, total, places = counted
        name = next(part for part, found in sized if found)
        fits = without / MOST_OFF <= size <= total * MOST_OFF
        shape = ", ".join(f"{v.leaf} {v.text}" for v in places)
        yield compared(fits, *places, value=places[0], name=name, shape=shape, without=without, total=total)


def _names(config: Config) -> list[str]:
    """The file's own name; of a config.json, its folder's."""
    path = PurePosixPath(config.path)
    return [path.parent.name if path.name == "config.json" else path.stem]


def _parameters(config: Config) -> tuple[float, float, list[Value]] | None:
    """Billions of weights without and with embeddings, and the fields they come from; None where a field is missing.

    Of a transformer's usual layer: attention, and a feed-forward part of the stated width (twice in and once out where gated),
    else of four times the model's.
    """

    def one(*names: str) -> Value | None:
        found = [v for v in config.values if v.word in names and v.number and v.number >= 1]
        return found[0] if len({v.number for v in found}) == 1 else None

    width, layers = (
        one("hidden_size", "d_model", "n_embd"),
        one("num_hidden_layers", "n_layers", "n_layer", "num_layers"),
    )
    vocabulary, ffn = one("vocab_size", "embedding_size"), one("intermediate_size", "ffn_hidden_size", "n_inner")
    vocabularies = [v.number or 0 for v in config.values if v.word in {"vocab_size", "embedding_size"} and v.number]
    if width is None or layers is None or not (vocabulary or vocabularies):
        return None
    if any(
        v.word in {"mlp_ratio", "mlp_hidden_size", "expansion_ratio", "kv_lora_rank", "d_state"} for v in config.values
    ):
        return None  # the width of the feed-forward part is said in a way of its own
    kind = next((str(v.value) for v in config.values if v.word == "model_type"), "")
    if ffn is None and kind not in {"gpt2", "gpt_neox", "gptj", "opt", "bloom"}:
        return None
    d, n = width.number or 0, layers.number or 0
    heads, shared = one("num_attention_heads", "n_head"), one("num_key_value_heads")
    share = (shared.number or 1) / (heads.number or 1) if shared and heads else 1.0
    wide = (ffn.number or 0) if ffn else 4 * d
    gated = 3 if kind not in {"gpt2", "gpt_neox", "gptj", "opt", "bloom", "bert", "roberta", "phi"} else 2
    # Where it is not told whether a layer is gated, both readings must be allowed for.
    least = n * (d * d * (2 + 2 * min(share, 1)) + 2 * d * wide) / 1e9
    most = n * (d * d * (2 + 2 * max(share, 1)) + gated * d * wide) / 1e9
    places = [v for v in (width, layers, ffn) if v is not None]
    return least, most + 2 * max(vocabularies) * d / 1e9, places


_FLOATS = {"F64", "F32", "F16", "BF16"}
_EMBEDS = re.compile(r"embed|wte|wpe|lm_head|word_embeddings")


@check(
    needs="safetensors of a whole model, and its number of parameters in a card or a README beside them, or in its folder's name"
)
def size_differs_from_weights(release: PublishedFiles) -> Iterator[Seen]:
    """{at.path} gives {stated} for the model's size, but its weights in {path} hold {total:.4g} numbers, {without:.4g} without
    embeddings"""
    folders: dict[str, list[str]] = {}
    for path in release.weights:
        if path.endswith(".safetensors") and not re.search(r"(?i)adapter|lora|optim|ema", path):
            folders.setdefault(path.rpartition("/")[0], []).append(path)
    for folder, paths in folders.items():
        tensors = [(name, of) for path in paths for name, of in release.weights[path].items()]
        mapped = [_mapped(config) for config in release.configs if config.folder == folder and _mapped(config)]
        is_whole = mapped[0] == {name for name, _ in tensors} if len(mapped) == 1 else len(paths) == 1 and not mapped
        if not is_whole or any(dtype not in _FLOATS for _, (dtype, *_) in tensors):
            continue
        counts = [(name, math.prod(shape)) for name, (_, shape, *_) in tensors]
        total = sum(count for _, count in counts)
        without = sum(count for name, count in counts if not _EMBEDS.search(name))
        for stated, size, at, slack in _sizes_said(release, folder):
            fits = without / slack <= size <= total * slack
            values = {"at": at, "stated": stated, "path": paths[0], "total": float(total), "without": float(without)}
            yield compared(fits, at, excerpt(paths[0], "tensors", f"{total} numbers"), **values)


def _mapped(config: Config) -> set[str]:
    """The tensors that a weights' index names."""
    document = config.document if config.name.endswith(".safetensors.index.json") else None
    weight_map = document.get("weight_map") if isinstance(document, dict) else None
    return {*map(str, weight_map)} if isinstance(weight_map, dict) else set()


def _sizes_said(release: PublishedFiles, folder: str) -> Iterator[tuple[str, float, Excerpt, float]]:
    """(what is written, the size, its place, the factor that it may be off) of a folder's cards and its own name."""
    for text in (text for text in documents(release) if text.folder == folder):
        for line, words in text.prose:
            found = _SIZE_SAID.match(words)
            size = quantity(found.group(1)) if found else None
            if found and size is not None and size[0] >= 1e4:
                yield found.group(1).strip(), size[0], text.seen(line), 1.1
    name = folder.rpartition("/")[2] or release.name
    sizes = {digits + unit.lower() for digits, unit in _SIZE.findall(name.replace("_", "-"))}
    if len(sizes) == 1 and not _OTHER.search(name):
        stated = sizes.pop()
        size_of_name = float(stated[:-1]) * {"m": 1e6, "b": 1e9}[stated[-1]]
        yield stated, size_of_name, excerpt(folder or release.name, "name", name), MOST_OFF


_SIZE_SAID = re.compile(
    r"(?i)\s*(?:[-*|]\s*)?\**(?:number of |total |model )?(?:param(?:eter)?s?(?: count)?|size)\**\s*[:|]\s*\**\s*"
    r"(~?\d[\d.,]*\s*(?:[KMBT]|million|billion)?)(?: param(?:eter)?s)?\**\s*\|?\s*$"
)
