"""Files of results as tables of cells: one reader a format, and none of them knows what a run is."""

from __future__ import annotations

import csv
import importlib
import io
import itertools
import json
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NoReturn

from openassay.core.types import Json
from openassay.faults import BadInput, printable

MOST_BYTES = 50_000_000
MOST_CELLS = 20_000_000
"""Of a table whose rows have columns of their own: a small file may make a large one."""


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How files are read, as `openassay judge --runs` is told."""

    column: str | None = None
    """The metric, or a pattern for the columns of one row with a run each."""
    delimiter: str | None = None
    """Between cells; `tab` for a tab."""
    decimal: Literal[".", ","] | None = None
    header: bool | None = None
    at: str | None = None
    """One point of each curve: `last` (the same step in all runs), `last:each`, a step, `COLUMN=STEP`, or `max:COLUMN` or
    `min:COLUMN` for each run's best row by a validation metric."""
    run: str | None = None
    """The columns that tell runs apart, or `row`."""
    where: Sequence[str] = ()
    """Keep rows by `COLUMN=PATTERN`, and files by `file=PATTERN`."""
    drop_rows: Sequence[str] = ()
    """Leave out what has one of these names, states or words."""
    keep_rows: Sequence[str] = ()
    """Words of a summary that are names here."""
    diverged: Sequence[str] = ()
    """Runs of these names or states count as without a value."""


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

    def refuse(self, words: str) -> NoReturn:
        """End the reading in one line that names the file."""
        refuse(f"{self.where}: {words}")

    def columns(self, names: Collection[str]) -> list[int]:
        """The places of the columns of these names, in small letters."""
        return [i for i, name in enumerate(self.header) if name.casefold() in names]

    def the(self, name: str, option: str) -> int:
        """The place of the only column of this name, which an option asks for."""
        if self.header.count(name) != 1:
            self.refuse(f"{option}: there is no single column {name!r}; it has {shown(self.header)}")
        return self.header.index(name)

    def cells(self, place: int) -> list[str]:
        """A column as text."""
        return [text_of(row[place]) for row in self.rows]

    def only(self, kept: Sequence[int]) -> Table:
        """The table with some of its rows."""
        return replace(self, rows=[self.rows[i] for i in kept], places=[self.places[i] for i in kept])


def refuse(words: str) -> NoReturn:
    """End the reading in one line."""
    raise BadInput(printable(words)) from None


def check_cells(num_rows: int, num_columns: int, where: object) -> None:
    """End the reading where a table would have more than `MOST_CELLS` cells."""
    if num_rows * num_columns > MOST_CELLS:
        words = f"{num_rows} rows and {num_columns} columns are more than {MOST_CELLS} cells"
        refuse(f"{where}: {words}; keep one row a run, with its final value")


def shown(names: Iterable[object], most: int = 12) -> str:
    """Names for a message, not too many and not too long."""
    texts = [str(name)[:60] for name in names]
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")


def text_of(cell: Json) -> str:
    """A cell as text."""
    return "" if cell is None else str(cell).strip()


# Files and folders

_SUMMARY = "wandb-summary.json"
_IN_FOLDERS = {
    "TensorBoard": re.compile(r".*\.tfevents\..*"), _SUMMARY: re.compile(re.escape(_SUMMARY)),
    "lm-evaluation-harness": re.compile(r"results(_.*)?\.json"),
}  # fmt: skip
"""The formats of which a folder may be named, and the names of their files."""


def files_of(paths: Sequence[Path]) -> tuple[list[tuple[str, Path]], list[str]]:
    """A name and a path for each file, or for each folder of TensorBoard's event files, in order; and notes."""
    once: dict[Path, tuple[str, Path]] = {}
    notes = []
    try:
        pairs = [_folder(path) if path.is_dir() else [(_name(path, path.parent), path)] for path in paths]
        for name, path in itertools.chain(*pairs):
            if (real := path.resolve()) in once:
                notes.append(f"{path} is {once[real][1]} by another name; it counts once")
            else:
                once[real] = (name, path)
    except (OSError, ValueError, RuntimeError) as error:
        refuse(f"{paths[0]}: cannot be read: {error}")
    if not once:
        refuse("no file of runs was named")
    count = Counter(name for name, _ in once.values())
    return [(str(path) if count[name] > 1 else name, path) for name, path in once.values()], notes


def _name(path: Path, folder: Path) -> str:
    """A file's name inside the folder that was asked for; of a W&B summary the name of its run's folder."""
    if path.name == _SUMMARY:
        parent = path.absolute().parent
        return parent.parent.name if parent.name == "files" else parent.name
    inside = path.relative_to(folder).as_posix()
    return path.absolute().name if inside == "." else inside


def _folder(folder: Path) -> list[tuple[str, Path]]:
    found: dict[str, dict[Path, str]] = {}
    for root, _, names in os.walk(folder):
        for name, (kind, pattern) in itertools.product(names, _IN_FOLDERS.items()):
            if pattern.fullmatch(name):
                path = Path(root) if kind == "TensorBoard" else Path(root, name)
                found.setdefault(kind, {})[path] = _name(path, folder)
    if not found:
        kinds = "wandb-summary.json, results_*.json of lm-evaluation-harness or TensorBoard's event files"
        refuse(f"{folder}: a folder without {kinds}; name the CSV or JSON files in it")
    if len(found) > 1:
        refuse(f"{folder}: a folder with files of {' and of '.join(found)}; name the files themselves")
    return sorted(((name, path) for path, name in found.popitem()[1].items()), key=lambda pair: _natural(pair[0]))


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text)]


def read_table(path: Path, asked: ReadOptions) -> Table:
    """The table that a file holds, by what is in it; its name counts only for TensorBoard and W&B's summaries."""
    if _IN_FOLDERS["TensorBoard"].fullmatch(path.name) or path.is_dir():
        return _tensorboard(path)
    if path.suffix == ".wandb":
        from openassay.run_files.wandb_file import wandb_table  # noqa: PLC0415 - it makes the tables of this module

        return wandb_table(path)
    text, notes = _text(path)
    if "metrics" in path.parts[:-1] and _MLFLOW_LINE.match(text):
        return _mlflow(text, path)
    table = _json(text, path) if text.lstrip()[0] in "{[" else _csv(text, path, asked)
    return replace(table, notes=(*table.notes, *notes))


_MAGIC = {
    b"PK\x03\x04": "an Excel workbook or another zip archive", b"\xd0\xcf\x11\xe0": "an old Excel workbook", b"PAR1": "Parquet",
    b"\x1f\x8b": "a gzip archive", b"%PDF": "PDF", b"BZh": "a bzip2 archive", b"\xfd7zXZ": "an xz archive", b"ARROW1": "Arrow",
    b"\x28\xb5\x2f\xfd": "a zstd archive", b"SQLite format 3": "an SQLite database", b"\x89HDF": "HDF5", b"{\\rtf": "RTF",
    b"\x93NUMPY": "a NumPy array", b"\x89PNG": "a picture", b"\xff\xd8\xff": "a picture", b"\x80\x02": "a Python pickle",
    b"\x80\x03": "a Python pickle", b"\x80\x04": "a Python pickle", b"\x80\x05": "a Python pickle",
}  # fmt: skip
_MARKS = {b"\xff\xfe\x00\x00": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def _text(path: Path) -> tuple[str, list[str]]:
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
    notes = []
    try:
        text = data.decode(next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8-sig"))
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
        notes.append(f"{path.name} is not UTF-8; it was read as Windows-1252")
    if re.search(r"[\x00-\x08\x0e-\x1f\x7f\ufffd]", text):
        refuse(f"{path}: not text but binary data, or text in an unknown encoding; export it as CSV in UTF-8")
    if not text.strip():
        refuse(f"{path}: there is nothing in it")
    if re.match(r"\s*<(!doctype|html|\?xml|table)", text, re.IGNORECASE):
        refuse(f"{path}: looks like a web page or XML; export the table as CSV")
    return text, notes


# Tables of text

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
NOT_FINITE = re.compile(r"[-+]?(nan|inf(inity)?)", re.IGNORECASE)
MISSING = {"", "na", "n/a", "null", "none", "-"}
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


def is_number(text: str) -> bool:
    """Whether a text is a number with a decimal point, or nan or inf."""
    text = text.removesuffix("%").strip()
    return bool(NUMBER.fullmatch(text) or NOT_FINITE.fullmatch(text))


def _like_number(text: str) -> bool:
    """Whether a text is a number in any writing that a column may have: a decimal comma, a typographic minus."""
    return is_number(re.sub(r"^([-+]?\d*),(\d+%?)$", r"\1.\2", text.replace("\u2212", "-").strip()))


Rows = list[tuple[int, list[str]]]
"""The number of its last line, and the cells, of each row."""


def _split(lines: Sequence[str], delimiter: str) -> Rows:
    """The rows that have any cell; raises `csv.Error`."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
    return [(reader.line_num, cells) for row in reader if any(cells := [cell.strip() for cell in row])]


def _trimmed(row: list[str], width: int = 1) -> list[str]:
    """The row without empty cells at its end, but for `width`."""
    while len(row) > width and not row[-1]:
        row = row[:-1]
    return row


def _fit(lines: Sequence[str], delimiter: str) -> int:
    """How well a delimiter fits: 0, the first row has none of it; 1, rows of unequal length; 2, all of one length."""
    try:
        rows = [row for _, row in _split(lines[:5000], delimiter)]
    except csv.Error:
        return 0
    if not rows or len(rows[0]) < 2:
        return 0
    width = len(_trimmed(rows[0]))
    return 1 + all(len(_trimmed(row)) <= width <= len(row) for row in rows)


def _delimiter(lines: Sequence[str], path: Path, asked: ReadOptions) -> str:
    fits = {mark: _fit(lines, mark) for mark in _DELIMITERS if mark != asked.decimal}
    best = [mark for mark, fit in fits.items() if fit == max(fits.values()) > 0]
    if len(best) > 1 and fits[best[0]] == 2:
        names = " or ".join(_DELIMITERS[mark] for mark in best)
        refuse(f"{path}: are cells separated by {names}? say --delimiter and the sign")
    return best[0] if best else ";" if asked.decimal == "," else ","


def _csv(text: str, path: Path, asked: ReadOptions) -> Table:
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
    given = "\t" if asked.delimiter in {"tab", "\\t"} else asked.delimiter
    delimiter = given or (sign[1] if sign else _delimiter(lines, path, asked))
    try:
        rows = [(numbers[last - 1], row) for last, row in _split(lines, delimiter)]
    except (csv.Error, TypeError) as error:
        refuse(f"{path}: not a CSV file: {error}")
    if not rows:
        refuse(f"{path}: there is nothing in it but comments")
    header, rows = _header(rows, path, asked)
    for number, row in rows:
        cells = len(_trimmed(row, len(header)))
        decimal = delimiter == "," and all(map(is_number, _trimmed(row)))
        hint = "correct the row, or put its cells in quotes"
        if decimal:
            hint = "if the comma is the decimal sign, say --decimal ,"
            hint += ", and separate the cells by semicolons" if len(header) > 1 else ""
        if cells != len(header):
            words = f"{len(header)} cell(s) expected, as in the first row, found {cells}"
            refuse(f"{path}: line {number}: {words}; {hint}")
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


def _header(rows: Rows, path: Path, asked: ReadOptions) -> tuple[list[str], Rows]:
    """The names of the columns, or their numbers where there are none, and the other rows."""
    number, first = rows[0][0], _trimmed(rows[0][1])
    has = asked.header
    if has is None:
        values = [_like_number(cell) or (len(first) == 1 and cell.casefold() in MISSING) for cell in first if cell]
        has = not all(values) or (len(first) > 1 and not first[0])
    if not has and asked.header is None:
        others = [row[0] for _, row in rows[1:] if not (row[0].casefold() in MISSING or NOT_FINITE.fullmatch(row[0]))]
        like_a_name = len(first) == 1 and first[0].isdecimal() and others and not any(map(str.isdecimal, others))
        if like_a_name or asked.column in first:
            cell = asked.column if asked.column in first else first[0]
            refuse(f"{path}: line {number}: {cell}: a column's name or a value? say --header or --no-header")
        if len(first) > 1 and not (asked.column or "").isdecimal():
            comma = len(first) == 2 and asked.decimal is None
            hint = ", or --decimal , if the comma is the decimal sign" if comma else ""
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
        table.refuse(f"{grouped!r} is the mean of a group, not a run; ungroup the runs in W&B and export again")
    places = {(run, metric): i for i, run, metric in pairs}
    if len(places) < len(pairs):
        table.refuse("two runs have one name; rename them in W&B and export again, or export its table of runs")
    runs, metrics = (list(dict.fromkeys(key[part] for key in places)) for part in (0, 1))
    axis = table.header[0] or "Step"
    check_cells(len(runs) * len(table.rows), 2 + len(metrics), table.where)
    rows = [
        [run, row[0], *(row[places[run, name]] if (run, name) in places else None for name in metrics)]
        for run in runs for row in table.rows
    ]  # fmt: skip
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
    is_summary = path.name == _SUMMARY
    one_run = False
    if isinstance(data, dict):
        if isinstance(results := data.get("results"), dict) and results:
            return _lm_eval(data, results, path)
        is_summary = is_summary or "_wandb" in data
        key = next((key for key in ("runs", "log_history", "metrics") if isinstance(data.get(key), list)), None)
        one_run = key == "log_history"
        data = data[key] if key else [data]
    if not data or data == [{}]:
        refuse(f"{path}: no runs in it")
    if all(isinstance(record, dict) for record in data):
        records = [dict(_flat(record)) for record in data]
        header = list(dict.fromkeys(key for record in records for key in record))
        check_cells(len(records), len(header), path)
        rows = [[record.get(key) for key in header] for record in records]
    elif not any(isinstance(record, dict | list) for record in data):
        header, rows = ["value"], [[record] for record in data]
    else:
        refuse(f"{path}: a list of numbers, or of objects with a run each, is expected; found lists or a mixture")
    return Table(
        where=str(path), format=_SUMMARY if is_summary else "JSON", header=header, rows=rows, typed=True,
        places=[f"record {i}" for i in range(1, len(rows) + 1)], runs=() if one_run or is_summary else None, tasks=is_summary,
        stamped=is_summary, notes=(f"{_SUMMARY} does not say whether the run finished",) if is_summary else (),
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
    asides = {"alias", "name", "sample_len", "sample_count"}
    for task, values in results.items():
        if not isinstance(values, dict):
            refuse(f"{path}: results.{task}: the task's metrics are expected, as lm-evaluation-harness writes them")
        kept = [key for key in values if key.split(",")[0] not in asides and "_stderr" not in key]
        cells |= {f"{task}/{key}": values[key] for key in kept}
    parts = [data.get(key) for key in ("config", "n-shot", "versions")]
    config, shots, versions = (part if isinstance(part, dict) else {} for part in parts)
    limit, model = config.get("limit"), data.get("model_name") or config.get("model_args")
    notes = ["the harness's stderr is over the items of a task, not over trainings; it is not used"]
    notes += [f"{path.name}: evaluated on a part of the items, limit {limit}"] if limit is not None else []
    return Table(
        where=str(path), format="lm-evaluation-harness", header=list(cells), rows=[list(cells.values())],
        places=["results"], runs=(), typed=True, tasks=True, stamped=True, notes=tuple(notes),
        model=json.dumps(model) if model else "",
        settings={task: f"{shots.get(task)} shots, version {versions.get(task)}, limit {limit}" for task in results},
    )  # fmt: skip


_MLFLOW_LINE = re.compile(r"\d{9,} \S+ -?\d+( .*)?$", re.MULTILINE)


def _mlflow(text: str, path: Path) -> Table:
    """The history of one metric as MLflow's file store keeps it: a line of time, value and step for each point."""
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        if not _MLFLOW_LINE.fullmatch(line):
            refuse(f"{path}: line {number}: a time, a value and a step are expected, found {line[:60]!r}")
    after = len(path.parts) - path.parts[::-1].index("metrics")
    return Table(
        where=str(path), format="MLflow", header=["step", "/".join(path.parts[after:])], step="step", runs=(),
        rows=[list[Json](line.split(" ")[2:0:-1]) for line in lines], places=[f"line {i}" for i in range(1, len(lines) + 1)],
    )  # fmt: skip


def _tensorboard(path: Path) -> Table:
    """The scalars of one run's event files, a step a row, read by TensorBoard's own reader."""
    try:
        reader: Any = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
        tensors: Any = importlib.import_module("tensorboard.util.tensor_util")
    except ImportError:
        todo = "pip install tensorboard, or export the scalars as CSV"
        refuse(f"{path}: TensorBoard's event files need its reader: {todo}")
    try:
        events = reader.EventAccumulator(str(path), size_guidance={"scalars": 0, "tensors": 0}).Reload()
        series = {tag: [(point.step, point.value) for point in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
        for tag in events.Tags()["tensors"]:
            arrays = [(point.step, tensors.make_ndarray(point.tensor_proto)) for point in events.Tensors(tag)]
            if all(array.dtype.kind == "f" and array.size == 1 for _, array in arrays):
                series[tag] = [(step, array.item()) for step, array in arrays]
    except Exception as error:  # noqa: BLE001 - on hostile bytes it raises nearly anything, protobuf's errors among them
        refuse(f"{path}: TensorBoard cannot read it: {str(error).partition(chr(10))[0][:200] or type(error).__name__}")
    points: dict[int, dict[str, float]] = {}
    for tag, (step, value) in [(tag, point) for tag, curve in series.items() for point in curve]:
        if repr(points.setdefault(step, {}).setdefault(tag, value)) != repr(value):
            words = "stands twice, as after a restart or with two runs in a folder; separate them"
            refuse(f"{path}: step {step} of {tag!r} {words}")
    check_cells(len(points), 1 + len(series), path)
    if not points:
        refuse(f"{path}: no scalars in its event files")
    return Table(
        where=str(path), format="TensorBoard", header=["step", *series], step="step", runs=(), typed=True, tasks=True,
        rows=[[step, *(points[step].get(tag) for tag in series)] for step in sorted(points)],
        places=[f"step {step}" for step in sorted(points)],
    )  # fmt: skip
