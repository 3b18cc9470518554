"""What does a file hold, as rows of cells? One function a format, and none of them knows what a run is."""

from __future__ import annotations

import csv
import importlib
import io
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from openassay.core.types import Json
from openassay.faults import BadInput, printable

MOST_BYTES = 50_000_000


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The options of `read_runs`."""

    column: str | None
    delimiter: str | None
    decimal: str | None
    header: bool | None
    at: str | None
    run: str | None
    where: tuple[str, ...]
    drop_rows: tuple[str, ...]
    keep_rows: tuple[str, ...]
    diverged: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Any of the formats. A cell of a CSV file is text, one of a JSON file what JSON says."""

    where: str
    format: str
    header: list[str]
    rows: list[list[Json]]
    places: list[str]
    """Where each row stands: `line 3`, `record 2`."""
    typed: bool = False
    """A number is a number, not its text."""
    comma: bool = False
    """A comma parts the cells."""
    runs: tuple[str, ...] | None = None
    """Columns that tell the runs apart, where the format says so; () for one run."""
    step: str | None = None
    tasks: bool = False
    """The columns are tasks or metrics of one run, never runs."""
    stamped: bool = False
    """The file bears a time: a copy of it is no other run."""
    model: str = ""
    """What was evaluated, where the file says so: twice the same is one training, not two."""
    settings: dict[str, str] = field(default_factory=dict)
    """How each task was evaluated: runs are comparable under one setting."""
    notes: tuple[str, ...] = ()


def refuse(words: str) -> NoReturn:
    """Ends the reading in one line."""
    raise BadInput(printable(words)) from None


def shown(names: Iterable[object], most: int = 12) -> str:
    """Names for a message, not too many and not too long."""
    texts = [str(name)[:60] for name in names]
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")


def text_of(cell: Json) -> str:
    """A cell as text."""
    return "" if cell is None else str(cell).strip()


# Files and folders

_EVENTS = re.compile(r".*\.tfevents\..*")
_KINDS = (
    ("TensorBoard", _EVENTS), ("wandb-summary.json", re.compile(r"wandb-summary\.json")),
    ("lm-evaluation-harness", re.compile(r"results(_.*)?\.json")),
)  # fmt: skip


def files_of(paths: Sequence[Path]) -> tuple[list[tuple[str, Path]], list[str]]:
    """A name and a path for each file, or for each folder of TensorBoard's event files, in order; and notes."""
    found: list[tuple[str, Path]] = []
    try:
        for path in paths:
            is_summary = path.name == "wandb-summary.json"
            found += _folder(path) if path.is_dir() else [(_run_of(path) if is_summary else path.name, path)]
        once: dict[Path, tuple[str, Path]] = {}
        notes = []
        for name, path in found:
            if (real := path.resolve()) in once:
                notes.append(f"{path} is {once[real][1]} by another name; it counts once")
            else:
                once[real] = (name, path)
    except (OSError, ValueError, RuntimeError) as error:
        refuse(f"{paths[0]}: cannot be read: {error}")
    if not once:
        refuse("no file of runs was named")
    repeated = {name for name, count in Counter(name for name, _ in once.values()).items() if count > 1}
    return [(str(path) if name in repeated else name, path) for name, path in once.values()], notes


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text)]


def _run_of(path: Path) -> str:
    """The name of the run's folder around a wandb-summary.json."""
    folder = path.absolute().parent
    return folder.parent.name if folder.name == "files" else folder.name


def _folder(folder: Path) -> list[tuple[str, Path]]:
    found: dict[str, dict[Path, str]] = {}
    for root, _, names in os.walk(folder):
        for name in names:
            for kind, pattern in _KINDS:
                if pattern.fullmatch(name):
                    path = Path(root) if kind == "TensorBoard" else Path(root, name)
                    inside = path.relative_to(folder).as_posix()
                    is_summary = kind == "wandb-summary.json"
                    shown_as = _run_of(path) if is_summary else path.absolute().name if inside == "." else inside
                    found.setdefault(kind, {})[path] = shown_as
    if not found:
        refuse(
            f"{folder}: a folder without wandb-summary.json, results_*.json of lm-evaluation-harness or TensorBoard's event "
            "files; name the CSV or JSON files in it"
        )
    if len(found) > 1:
        refuse(f"{folder}: a folder with files of {' and of '.join(found)}; name the files themselves")
    return sorted(((name, path) for path, name in found.popitem()[1].items()), key=lambda pair: _natural(pair[0]))


def read_table(path: Path, asked: Asked) -> Table:
    """The table that a file holds, by what is in it; its name counts only for TensorBoard and W&B's summaries."""
    if _EVENTS.fullmatch(path.name) or path.is_dir():
        return _tensorboard(path)
    text, note = _text(path)
    table = _json(text, path) if text.lstrip()[0] in "{[" else _csv(text, path, asked)
    return replace(table, notes=(*table.notes, note)) if note else table


_MAGIC = {
    b"PK\x03\x04": "an Excel workbook or another zip archive", b"\xd0\xcf\x11\xe0": "an old Excel workbook", b"PAR1": "Parquet",
    b"\x1f\x8b": "a gzip archive", b"%PDF": "PDF", b"BZh": "a bzip2 archive", b"\xfd7zXZ": "an xz archive", b"ARROW1": "Arrow",
    b"\x28\xb5\x2f\xfd": "a zstd archive", b"SQLite format 3": "an SQLite database", b"\x89HDF": "HDF5", b"{\\rtf": "RTF",
    b"\x93NUMPY": "a NumPy array", b"\x89PNG": "a picture", b"\xff\xd8\xff": "a picture", b"\x80\x02": "a Python pickle",
    b"\x80\x03": "a Python pickle", b"\x80\x04": "a Python pickle", b"\x80\x05": "a Python pickle",
}  # fmt: skip


def _text(path: Path) -> tuple[str, str]:
    """The text of a file, and a note if its encoding had to be guessed."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except FileNotFoundError:
        refuse(f"{path}: there is no such file")
    except (OSError, ValueError) as error:
        refuse(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}")
    if len(data) > MOST_BYTES:
        refuse(f"{path}: larger than {MOST_BYTES // 1_000_000} MB; keep one row a run, with its final value")
    if looks := next((words for magic, words in _MAGIC.items() if data.startswith(magic)), None):
        refuse(f"{path}: looks like {looks}; export it as CSV with one row a run")
    marks = {b"\xff\xfe\x00\x00": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
    encoding = next((name for mark, name in marks.items() if data.startswith(mark)), "utf-8-sig")
    note = ""
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text, note = data.decode("cp1252", errors="replace"), f"{path.name} is not UTF-8; it was read as Windows-1252"
    if re.search(r"[\x00-\x08\x0e-\x1f\x7f\ufffd]", text):
        refuse(f"{path}: not text but binary data, or text in an unknown encoding; export it as CSV in UTF-8")
    if not text.strip():
        refuse(f"{path}: there is nothing in it")
    if re.match(r"\s*<(!doctype|html|\?xml|table)", text, re.IGNORECASE):
        refuse(f"{path}: looks like a web page or XML; export the table as CSV")
    return text, note


# Tables of text

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
NOT_FINITE = re.compile(r"[-+]?(nan|inf(inity)?)", re.IGNORECASE)
MISSING = {"", "na", "n/a", "null", "none", "-"}
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


def is_number(text: str) -> bool:
    """Is it a number with a decimal point, or nan or inf?"""
    text = text.removesuffix("%").strip()
    return bool(NUMBER.fullmatch(text) or NOT_FINITE.fullmatch(text))


def _like_number(text: str) -> bool:
    """Is it a number in any writing that a column may have: a decimal comma, a typographic minus?"""
    return is_number(re.sub(r"^([-+]?\d*),(\d+%?)$", r"\1.\2", text.replace("\u2212", "-").strip()))


def _split(lines: Sequence[str], delimiter: str) -> list[tuple[int, list[str]]]:
    """The number of its last line, and the cells, of each row that has any; raises `csv.Error`."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
    return [(reader.line_num, cells) for row in reader if any(cells := [cell.strip() for cell in row])]


def _trimmed(row: list[str], width: int = 1) -> list[str]:
    """The row without empty cells at its end, but for `width`."""
    while len(row) > width and not row[-1]:
        row = row[:-1]
    return row


def _fit(lines: Sequence[str], delimiter: str) -> int:
    """How well does a delimiter fit? 0: the first row has none of it, 1: rows of unequal length, 2: all of one length."""
    try:
        rows = [row for _, row in _split(lines[:5000], delimiter)]
    except csv.Error:
        return 0
    if not rows or len(rows[0]) < 2:
        return 0
    width = len(_trimmed(rows[0]))
    return 1 + all(len(_trimmed(row)) <= width <= len(row) for row in rows)


def _delimiter(lines: Sequence[str], path: Path, asked: Asked) -> str:
    fits = {mark: _fit(lines, mark) for mark in _DELIMITERS if mark != asked.decimal}
    best = [mark for mark, fit in fits.items() if fit == max(fits.values()) > 0]
    if len(best) > 1 and fits[best[0]] == 2:
        refuse(
            f"{path}: are cells parted by {' or '.join(_DELIMITERS[mark] for mark in best)}? say --delimiter and the sign"
        )
    return best[0] if best else ";" if asked.decimal == "," else ","


def _csv(text: str, path: Path, asked: Asked) -> Table:
    """The table in a text file with delimiters."""
    lines: list[str] = []
    numbers: list[int] = []
    comments, quoted = 0, False
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        if not quoted and line.lstrip().startswith("#"):
            comments += bool(lines)
            continue
        quoted ^= line.count('"') % 2 == 1
        lines.append(line)
        numbers.append(number)
    sign = re.fullmatch(r"sep=(.)\s*", lines[0], re.IGNORECASE) if lines else None  # as Excel writes it
    lines, numbers = (lines[1:], numbers[1:]) if sign else (lines, numbers)
    delimiter = asked.delimiter or (sign[1] if sign else _delimiter(lines, path, asked))
    try:
        rows = [(numbers[last - 1], row) for last, row in _split(lines, delimiter)]
    except (csv.Error, TypeError) as error:
        refuse(f"{path}: not a CSV file: {error}")
    if not rows:
        refuse(f"{path}: there is nothing in it but comments")
    header, rows = _header(rows, path, asked)
    for number, row in rows:
        cells = _trimmed(row, len(header))
        decimal = delimiter == "," and all(is_number(cell) for cell in _trimmed(row))
        hint = "if the comma is the decimal sign, say --decimal ," if decimal else "mend the row, or quote its cells"
        hint += ", and part the cells by semicolons" if decimal and len(header) > 1 else ""
        if len(cells) != len(header):
            refuse(
                f"{path}: line {number}: {len(header)} cell(s) expected, as in the first row, found {len(cells)}; {hint}"
            )
        if any(cell and not name for cell, name in list(zip(row, header, strict=False))[1:]):
            refuse(f"{path}: line {number}: a value in a column without a name; name the column, or {hint}")
    notes = [f"{comments} line(s) that start with # are comments and no runs"] if comments else []
    if len(header) == 1 and any(not line.strip() for line in "".join(lines).strip().splitlines()):
        notes.append("blank lines are no runs; write nan for a run that gave no value")
    names = {name.casefold() for name in header}
    source = "MLflow" if {"status"} < names and names & {"run_id", "run id"} else "CSV"
    source = "W&B runs" if {"Name", "State"} <= set(header) else source
    if source != "CSV":
        notes.append(f"a table of runs from {source.split()[0]} holds the last value that each run logged")
    return _chart(Table(
        where=str(path), format=source, header=header, rows=[list(row[: len(header)]) for _, row in rows],
        places=[f"line {number}" for number, _ in rows], comma=delimiter == ",", notes=tuple(notes),
        stamped=header == ["Wall time", "Step", "Value"],
    ))  # fmt: skip


def _header(
    rows: list[tuple[int, list[str]]], path: Path, asked: Asked
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The names of the columns, or their numbers where there are none, and the other rows."""
    number, first = rows[0][0], _trimmed(rows[0][1])
    has = asked.header
    if has is None:
        values = [_like_number(cell) or (len(first) == 1 and cell.casefold() in MISSING) for cell in first if cell]
        has = not all(values) or (len(first) > 1 and not first[0])
        others = [
            row[0] for _, row in rows[1:] if row[0].casefold() not in MISSING and not NOT_FINITE.fullmatch(row[0])
        ]
        like_a_name = len(first) == 1 and first[0].isdecimal() and others and not any(map(str.isdecimal, others))
        if not has and (like_a_name or asked.column in first):
            cell = asked.column if asked.column in first else first[0]
            refuse(f"{path}: line {number}: {cell}: a column's name or a value? say --header or --no-header")
        if not has and len(first) > 1 and not (asked.column or "").isdecimal():
            hint = (
                ", or --decimal , if the comma is the decimal sign" if len(first) == 2 and asked.decimal is None else ""
            )
            refuse(f"{path}: no header above {shown(first, 4)}; say --column and a number from 1 to {len(first)}{hint}")
    if not has:
        return [str(i) for i in range(1, len(first) + 1)], rows
    if len(rows) == 1:
        refuse(f"{path}: a header and no rows: {shown(first)}")
    return first, rows[1:]


def _chart(table: Table) -> Table:
    """A table as it is; the CSV of a W&B chart (`RUN - METRIC`, its __MIN and __MAX) as a point a row."""
    cut = [(i, *name.rpartition(" - ")) for i, name in enumerate(table.header)]
    pairs = [(i, run, metric) for i, run, dash, metric in cut if i and dash]
    bands = any(name.endswith(("__MIN", "__MAX")) for name in table.header)
    if not pairs or len(pairs) != len(table.header) - 1 or not (bands or table.header[0] in {"Step", "_step"}):
        return table
    if grouped := next((run for _, run, _ in pairs if run.startswith("Group: ")), None):
        refuse(
            f"{table.where}: {grouped!r} is the mean of a group, not a run; ungroup the runs in W&B and export again"
        )
    places = {(run, metric): i for i, run, metric in pairs}
    if len(places) < len(pairs):
        refuse(
            f"{table.where}: two runs have one name; rename them in W&B and export again, or export its table of runs"
        )
    runs, metrics = list(dict.fromkeys(run for run, _ in places)), list(dict.fromkeys(metric for _, metric in places))
    axis = table.header[0] or "Step"
    rows = [
        [run, row[0], *(row[places[run, name]] if (run, name) in places else None for name in metrics)]
        for run in runs
        for row in table.rows
    ]
    return replace(
        table, format="W&B chart", header=["run", axis, *metrics], rows=rows, places=table.places * len(runs),
        runs=("run",), step=axis,
    )  # fmt: skip


# JSON, and the formats in JSON


def _pairs(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    if repeated := next((key for key, count in Counter(key for key, _ in pairs).items() if count > 1), None):
        raise ValueError(f"the key {repeated[:60]!r} stands twice in one object")
    return dict(pairs)


def _json(text: str, path: Path) -> Table:
    """The table in a JSON file, or in one with an object a line."""
    try:
        try:
            data = json.loads(text, object_pairs_hook=_pairs)
        except json.JSONDecodeError as error:
            if error.msg != "Extra data":
                raise
            data = [json.loads(line, object_pairs_hook=_pairs) for line in text.splitlines() if line.strip()]
        for record in data if isinstance(data, list) else [data]:
            _pairs(list(_flat(record)) if isinstance(record, dict) else [])
    except (ValueError, RecursionError) as error:
        refuse(f"{path}: not JSON: {error}")
    if isinstance(data, dict) and isinstance(results := data.get("results"), dict) and results:
        return _lm_eval(data, results, path)
    is_summary = path.name == "wandb-summary.json" or (isinstance(data, dict) and "_wandb" in data)
    one_run = is_summary
    if isinstance(data, dict):
        key = next((key for key in ("runs", "log_history", "metrics") if isinstance(data.get(key), list)), None)
        one_run = one_run or key == "log_history"
        data = data[key] if key else [data]
    if not data or data == [{}]:
        refuse(f"{path}: no runs in it")
    if all(isinstance(record, dict) for record in data):
        records = [dict(_flat(record)) for record in data]
        header = list(dict.fromkeys(key for record in records for key in record))
        rows = [[record.get(key) for key in header] for record in records]
    elif not any(isinstance(record, dict | list) for record in data):
        header, rows = ["value"], [[record] for record in data]
    else:
        refuse(f"{path}: a list of numbers, or of objects with a run each, is expected; found lists or a mixture")
    return Table(
        where=str(path), format="wandb-summary.json" if is_summary else "JSON", header=header, rows=rows, typed=True,
        places=[f"record {i}" for i in range(1, len(rows) + 1)], runs=() if one_run else None, tasks=is_summary,
        stamped=is_summary, notes=("wandb-summary.json does not say whether the run finished",) if is_summary else (),
    )  # fmt: skip


def _flat(record: dict[str, Json], before: str = "") -> Iterator[tuple[str, Json]]:
    for key, value in record.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield before + key, value


def _lm_eval(data: dict[str, Json], results: dict[str, Json], path: Path) -> Table:
    """The results of lm-evaluation-harness as one row, with a column `TASK/METRIC,FILTER` for each value but the errors."""
    cells: dict[str, Json] = {}
    for task, values in results.items():
        if not isinstance(values, dict):
            refuse(f"{path}: results.{task}: the task's metrics are expected, as lm-evaluation-harness writes them")
        asides = {"alias", "name", "sample_len", "sample_count"}
        cells |= {
            f"{task}/{key}": v for key, v in values.items() if key.split(",")[0] not in asides and "_stderr" not in key
        }
    config, shots, versions = (
        part if isinstance(part := data.get(k), dict) else {} for k in ("config", "n-shot", "versions")
    )
    limit, model = config.get("limit"), data.get("model_name") or config.get("model_args")
    notes = ["the harness's stderr is over the items of a task, not over trainings; it is not used"]
    notes += [f"{path.name}: evaluated on a part of the items, limit {limit}"] if limit is not None else []
    return Table(
        where=str(path), format="lm-evaluation-harness", header=list(cells), rows=[list(cells.values())],
        places=["results"], runs=(), typed=True, tasks=True, stamped=True, notes=tuple(notes),
        model=json.dumps(model) if model else "",
        settings={task: f"{shots.get(task)} shots, version {versions.get(task)}, limit {limit}" for task in results},
    )  # fmt: skip


def _tensorboard(path: Path) -> Table:
    """The scalars of one run's event files, a step a row, read by TensorBoard's own reader."""
    try:
        reader: Any = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
        tensors: Any = importlib.import_module("tensorboard.util.tensor_util")
    except ImportError:
        refuse(
            f"{path}: TensorBoard's event files need its reader: pip install tensorboard, or export the scalars as CSV"
        )
    try:
        events = reader.EventAccumulator(str(path), size_guidance={"scalars": 0, "tensors": 0}).Reload()
        series = {tag: [(point.step, point.value) for point in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
        for tag in events.Tags()["tensors"]:
            arrays = [(point.step, tensors.make_ndarray(point.tensor_proto)) for point in events.Tensors(tag)]
            if all(array.dtype.kind == "f" and array.size == 1 for _, array in arrays):
                series[tag] = [(step, array.item()) for step, array in arrays]
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        refuse(f"{path}: TensorBoard cannot read it: {error}")
    points: dict[int, dict[str, float]] = {}
    for tag, curve in series.items():
        for step, value in curve:
            if repr(points.setdefault(step, {}).setdefault(tag, value)) != repr(value):
                refuse(
                    f"{path}: step {step} of {tag!r} stands twice, as after a restart or with two runs in a folder; part them"
                )
    if not points:
        refuse(f"{path}: no scalars in its event files")
    return Table(
        where=str(path), format="TensorBoard", header=["step", *series], step="step", runs=(), typed=True, tasks=True,
        rows=[[step, *(points[step].get(tag) for tag in series)] for step in sorted(points)],
        places=[f"step {step}" for step in sorted(points)],
    )  # fmt: skip
