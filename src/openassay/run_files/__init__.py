"""The value that each training run gave, from the files that people have.

Tables (CSV and its kin), JSON, JSON lines, and what Weights & Biases, MLflow, TensorBoard and lm-evaluation-harness write. All
become one table (`tables`), and one set of rules turns it into runs (`runs`). What could be read in two ways is refused in one
line that names the option to type: a point of a curve, a mean, or a run that was cut short is no run.
"""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, Literal

from openassay.faults import printable
from openassay.run_files.runs import SUMMARY, RunValues, same_end, take
from openassay.run_files.tables import ReadOptions, Table, files_of, read_table, refuse, shown

__all__ = ["RunValues", "Unit", "check_scale", "read_runs"]

Unit = Literal["fraction", "percent", "same"]


def read_runs(paths: Path | Sequence[Path], *, each_file: bool = False, **options: Any) -> RunValues:
    """One value a training run, from a file, a folder, or several files with one run each; `BadInput` says what is unclear.

    each_file: files that evaluate a model of one name are trainings of their own. options: those of `ReadOptions`.
    """
    asked = ReadOptions(**options)
    files, notes = files_of([paths] if isinstance(paths, Path) else paths)
    if len(files) == 1:
        where, found = str(files[0][1]), take(read_table(files[0][1], asked), asked)
    else:
        where, found = _one_run_a_file(files, asked, each_file=each_file)
    if all(value is None for value in found.values):
        refuse(f"{where}: none of its {len(found.values)} run(s) has a finite value of {found.column!r}")
    notes += [*found.notes, *_remarks(found)]
    return replace(found, notes=tuple(dict.fromkeys(map(printable, notes))))


_SPLITS = {"train", "training", "val", "valid", "validation", "test", "eval"}


def _one_run_a_file(files: Sequence[tuple[str, Path]], asked: ReadOptions, *, each_file: bool) -> tuple[str, RunValues]:
    """The runs of several files, which must hold one each and agree in what they measure; and the first file."""
    patterns = [condition.removeprefix("file=") for condition in asked.where if condition.startswith("file=")]
    names = [name for name, _ in files if all(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
    for word in sorted({*asked.drop_rows, *asked.diverged} - set(names)):
        refuse(f"no file is called {word!r}; they are {shown(names)}")
    kept = [(name, path) for name, path in files if name in names and name not in asked.drop_rows]
    if len(splits := {name.rsplit("/", 1)[-1] for name, _ in kept} & _SPLITS) > 1:
        todo = 'say --where "file=*NAME" with one of them'
        refuse(f"the folders {shown(sorted(splits))} are splits of one run, not runs; {todo}")
    within = replace(asked, drop_rows=(), diverged=(), where=[c for c in asked.where if not c.startswith("file=")])
    tables: list[Table] = []
    read: dict[str, RunValues] = {}
    seen: dict[bytes, Path] = {}
    for name, path in kept:
        if name in asked.diverged:
            continue
        table = read_table(path, within)
        if table.stamped and (same := seen.setdefault(path.read_bytes(), path)) != path:
            refuse(f"{path}: the same as {same}, byte for byte: one run counts once; name one of the two")
        one = read[name] = take(table, within)
        if (count := len(one.values)) != 1:
            expected = "one run a file is expected where several are given; give this file alone"
            refuse(f"{path}: {count} runs, and {expected}")
        tables.append(table)
    if not tables:
        refuse(f"none of {len(files)} files is left to read; correct --where, --drop-rows or --count-as-diverged")
    found = list(read.values())
    settings = [t.settings.get(of.column.rpartition("/")[0], "") for t, of in zip(tables, found, strict=True)]
    for what, kinds in {
        "are of different formats": [table.format for table in tables],
        "have different columns": [of.column for of in found],
        "were evaluated differently": settings,
        "write their values differently": ["with %" if of.percent else "without %" for of in found],
    }.items():
        if len(unlike := dict.fromkeys(kinds)) > 1:
            refuse(f"{tables[0].where} and the other files {what}: {shown(unlike, 4)}; give files of one kind")
    models = Counter(table.model for table in tables if table.model)
    if not each_file and (twice := next((model for model, count in models.items() if count > 1), None)):
        same_model = shown(table.where for table in tables if table.model == twice)
        todo = "name one of them, or say --each-file-is-a-run if they were trained apart"
        refuse(f"{same_model}: evaluations of one model, {twice[:80]}: one training is one run; {todo}")
    same_end(asked, [(name, of.steps[0]) for name, of in read.items()], tables[0].where)
    dropped = [f"left out as asked: {shown(asked.drop_rows)}"] if asked.drop_rows else []
    return tables[0].where, replace(
        found[0], values=tuple(read[name].values[0] if name in read else None for name, _ in kept),
        names=tuple(name for name, _ in kept), notes=(*dropped, *(note for of in found for note in of.notes)),
    )  # fmt: skip


def _remarks(taken: RunValues) -> list[str]:
    """What a reader should know of runs that were read without doubt."""
    notes = []
    if none := [name for name, value in zip(taken.names, taken.values, strict=True) if value is None]:
        notes.append(f"{len(none)} run(s) gave no finite value and count as diverged: {shown(none, 5)}")
    values = [value for value in taken.values if value is not None]
    if len(values) >= 5 and len(set(values)) > 1 and values in (sorted(values), sorted(values, reverse=True)):
        order = "a verdict needs the runs in the order they were made"
        notes.append(f"the values are sorted, as in a curve or a ranking; {order}")
    if any(SUMMARY.fullmatch(part) for part in re.split(r"[_/. ,]", taken.column)):
        notes.append(f"the column {taken.column!r} sounds like a summary; the values of single runs are needed")
    return notes


def check_scale(found: RunValues, published: float, unit: Unit | None = None) -> RunValues:
    """The values on the published number's scale. `unit` says how the file's are to be read; `same` leaves them alone."""
    values = [value for value in found.values if value is not None]
    if unit == "same" or not values:
        return found
    low, high, middle = min(values), max(values), median(values)
    seen = f"the file's values run from {low:g} to {high:g}" + (" per cent" if found.percent else "")
    if unit == "fraction" and (found.percent or low < 0 or high > 1):
        refuse(f"--unit fraction: {seen}, and fractions lie between 0 and 1; say --unit percent, or leave it out")
    if unit == "percent" and (low < 0 or high > 100):
        refuse(f"--unit percent: {seen}, and per cents lie between 0 and 100; leave --unit out")
    if unit is None and low >= 0 and high <= 100 and 0 < published <= 100:
        small, large = [value for value in values if 0 < value <= 1], [value for value in values if value > 1]
        if not found.percent and small and large and abs(median(large) / median(small) - 100) < 25:
            todo = "correct the file, or say --unit same if not"
            refuse(f"{found.column!r}: {seen}: fractions and per cents in one column? {todo}")
        likely = ""
        if (found.percent or low > 1) and published <= 1 and middle > 3 * published:
            likely = "percent if the file has per cents"
        elif not found.percent and high <= 1 and published > 1 and published > 3 * middle:
            likely = "fraction if the file has fractions"
        if likely:
            todo = f"say --unit {likely}, or --unit same if both numbers have one scale"
            refuse(f"{found.column!r}: {seen}, and {published:g} was published: fractions against per cents? {todo}")
    if unit == "fraction" and published > 1:
        done, times, parts = "multiplied by 100", 100, 1
    elif unit == "percent" and 0 < published <= 1 and middle > 3 * published:
        done, times, parts = "divided by 100", 1, 100
    else:
        return found
    scaled = tuple(None if value is None else value * times / parts for value in found.values)
    note = f"the file's values were {done} to have the scale of the published {published:g}"
    return replace(found, values=scaled, percent=published > 1, notes=(*found.notes, note))
