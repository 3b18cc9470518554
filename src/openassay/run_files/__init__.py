"""Which value did each training run give? Read from the files that people have, one value a run.

Tables (CSV and its kin), JSON, JSON lines, and what Weights & Biases, MLflow, TensorBoard and lm-evaluation-harness write. All
become one table (`tables`), and one set of rules turns it into runs (`runs`). What could be read in two ways is refused in one
line that names the option to type: a point of a curve, a mean, or a run that was cut short is no run.
"""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Literal

from openassay.faults import printable
from openassay.run_files.runs import SUMMARY, Taken, same_end, take
from openassay.run_files.tables import Asked, Table, files_of, read_table, refuse, shown

__all__ = ["RunValues", "Unit", "check_scale", "read_runs"]

Unit = Literal["fraction", "percent", "same"]


@dataclass(frozen=True, kw_only=True)
class RunValues:
    """The values of one metric, one a training run."""

    values: tuple[float | None, ...]
    """In the file's order, or that of the runs' starts where the file says when; None for one that gave no finite value."""
    names: tuple[str, ...]
    column: str
    format: str
    notes: tuple[str, ...] = ()
    """What was left out, reordered or converted, and why."""
    percent: bool = False
    """The file has a per cent sign on each value."""


def read_runs(
    paths: Path | Sequence[Path], *, column: str | None = None, delimiter: str | None = None,
    decimal: Literal[".", ","] | None = None, header: bool | None = None, at: str | None = None, run: str | None = None,
    where: Sequence[str] = (), drop_rows: Sequence[str] = (), keep_rows: Sequence[str] = (), diverged: Sequence[str] = (),
    each_file: bool = False,
) -> RunValues:  # fmt: skip
    """One value a training run, from a file, a folder, or several files with one run each; `BadInput` says what is unclear.

    `at` takes one point of each curve: `last` (the same step in all runs), `last:each`, a step, `COLUMN=STEP`, or `max:COLUMN`
    or `min:COLUMN` for each run's best row by a validation metric. `run` names the columns that tell runs apart, or is `row`.
    `where` keeps rows by `COLUMN=PATTERN`, and files by `file=PATTERN`. `drop_rows` leaves out what has one of these names,
    states or words, `keep_rows` takes words of a summary for names, `diverged` counts runs of these names or states as without
    a value. `each_file`: files that evaluate a model of one name are trainings of their own.
    """
    asked = Asked(
        column=column, delimiter="\t" if delimiter in {"tab", "\\t"} else delimiter, decimal=decimal, header=header, at=at,
        run=run,        where=tuple(where), drop_rows=tuple(drop_rows), keep_rows=tuple(keep_rows), diverged=tuple(diverged),
    )  # fmt: skip
    files, notes = files_of([paths] if isinstance(paths, Path) else paths)
    if len(files) == 1:
        table = read_table(files[0][1], asked)
        taken = take(table, asked)
    else:
        table, taken = _one_run_a_file(files, asked, each_file=each_file)
    if all(value is None for value in taken.values):
        refuse(f"{table.where}: none of its {len(taken.values)} run(s) has a finite value of {taken.column!r}")
    notes += [*taken.notes, *_remarks(taken)]
    return RunValues(
        values=tuple(taken.values), names=tuple(taken.names), column=taken.column, format=table.format,
        notes=tuple(dict.fromkeys(printable(note) for note in notes)), percent=taken.percent,
    )  # fmt: skip


_SPLITS = {"train", "training", "val", "valid", "validation", "test", "eval"}


def _one_run_a_file(files: Sequence[tuple[str, Path]], asked: Asked, *, each_file: bool) -> tuple[Table, Taken]:
    """The runs of several files, which must hold one each and agree in what they measure."""
    patterns = [condition.partition("=")[2] for condition in asked.where if condition.startswith("file=")]
    names = [name for name, _ in files if all(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
    for word in {*asked.drop_rows, *asked.diverged} - set(names):
        refuse(f"no file is called {word!r}; they are {shown(names)}")
    kept = [(name, path) for name, path in files if name in names and name not in asked.drop_rows]
    if len(splits := {name.rsplit("/", 1)[-1] for name, _ in kept} & _SPLITS) > 1:
        refuse(
            f'the folders {shown(sorted(splits))} are splits of one run, not runs; say --where "file=*NAME" with one of them'
        )
    within = replace(asked, drop_rows=(), diverged=(), where=tuple(c for c in asked.where if not c.startswith("file=")))
    tables: list[Table] = []
    taken: list[Taken] = []
    seen: dict[bytes, Path] = {}
    for name, path in kept:
        if name in asked.diverged:
            taken.append(Taken(values=[None], names=[name], steps=[""], percent=False, column="", notes=[]))
            continue
        table = read_table(path, within)
        if table.stamped and (same := seen.setdefault(path.read_bytes(), path)) != path:
            refuse(f"{path}: the same as {same}, byte for byte: one run counts once; name one of the two")
        one = take(table, within)
        if len(one.values) != 1:
            refuse(
                f"{path}: {len(one.values)} runs, and one run a file is expected where several are given; give this file alone"
            )
        tables.append(table)
        taken.append(replace(one, names=[name]))
    if not tables:
        refuse(f"none of {len(files)} files is left to read; mend --where, --drop-rows or --count-as-diverged")
    read = [one for one in taken if one.column]
    pairs = list(zip(tables, read, strict=True))
    _agree(tables, "are of different formats", [table.format for table in tables])
    _agree(tables, "have different columns", [one.column for one in read])
    _agree(
        tables, "were evaluated differently", [t.settings.get(one.column.rpartition("/")[0], "") for t, one in pairs]
    )
    _agree(tables, "write their values differently", ["with %" if one.percent else "without %" for one in read])
    models = Counter(table.model for table in tables if table.model)
    if not each_file and (twice := next((model for model, count in models.items() if count > 1), None)):
        same_model = shown(table.where for table in tables if table.model == twice)
        refuse(
            f"{same_model}: evaluations of one model, {twice[:80]}: one training is one run; name one of them, or say "
            "--each-file-is-a-run if they were trained apart"
        )
    same_end(asked, [(one.names[0], one.steps[0]) for one in read], tables[0].where)
    dropped = [f"left out as asked: {shown(asked.drop_rows)}"] if asked.drop_rows else []
    return tables[0], Taken(
        values=[one.values[0] for one in taken], names=[one.names[0] for one in taken], steps=[one.steps[0] for one in taken],
        percent=read[0].percent, column=read[0].column, notes=[*dropped, *(note for one in taken for note in one.notes)],
    )  # fmt: skip


def _agree(tables: Sequence[Table], what: str, options: Iterable[str]) -> None:
    if len(found := dict.fromkeys(options)) > 1:
        refuse(f"{tables[0].where} and the other files {what}: {shown(found, 4)}; give files of one kind")


def _remarks(taken: Taken) -> list[str]:
    """What a reader should know of runs that were read without doubt."""
    notes = []
    if none := [name for name, value in zip(taken.names, taken.values, strict=True) if value is None]:
        notes.append(f"{len(none)} run(s) gave no finite value and count as diverged: {shown(none, 5)}")
    values = [value for value in taken.values if value is not None]
    if len(values) >= 5 and len(set(values)) > 1 and values in (sorted(values), sorted(values, reverse=True)):
        notes.append(
            "the values are sorted, as in a curve or a ranking; a verdict needs the runs in the order they were made"
        )
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
        ratio = median(large) / median(small) if small and large else 0
        if not found.percent and abs(ratio - 100) < 25:
            refuse(
                f"{found.column!r}: {seen}: fractions and per cents in one column? mend the file, or say --unit same if not"
            )
        is_percent = (found.percent or low > 1) and published <= 1 and middle > 3 * published
        is_fraction = not found.percent and high <= 1 and published > 1 and published > 3 * middle
        if is_percent or is_fraction:
            likely = "percent" if is_percent else "fraction"
            refuse(
                f"{found.column!r}: {seen}, and {published:g} was published: fractions against per cents? say --unit {likely} if "
                f"the file has {'per cents' if is_percent else 'fractions'}, or --unit same if both numbers have one scale"
            )
    if unit == "fraction" and published > 1:
        done, scaled = "multiplied by 100", [None if value is None else value * 100 for value in found.values]
    elif unit == "percent" and 0 < published <= 1 and middle > 3 * published:
        done, scaled = "divided by 100", [None if value is None else value / 100 for value in found.values]
    else:
        return found
    note = f"the file's values were {done} to have the scale of the published {published:g}"
    return replace(found, values=tuple(scaled), percent=published > 1, notes=(*found.notes, note))
