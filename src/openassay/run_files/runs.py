"""Which rows of a table are training runs, and the value that each gave. What could be meant in two ways is refused."""

from __future__ import annotations

import difflib
import fnmatch
import itertools
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from openassay.core.types import LARGEST, Json
from openassay.run_files.tables import (
    MISSING,
    NOT_FINITE,
    NUMBER,
    ReadOptions,
    Table,
    is_number,
    refuse,
    shown,
    text_of,
)

Numbers = Sequence[float | None]
"""Of a column: None for no value, nan for one that is not finite."""
Rows = Sequence[int]
Key = tuple[str, ...]
"""The cells that tell a row's run from others."""

_RUN = {
    "run", "run id", "run_id", "run name", "run_name", "name", "seed", "random_seed", "trial", "replicate", "replica", "rep",
}  # fmt: skip
_MLFLOW_NAME = "tags.mlflow.runname"
_STARTED = {"start_time", "start time", "created", "created_at"}
_TIMES = _STARTED | {"timestamp", "_timestamp", "_runtime", "runtime", "end_time", "duration", "wall time"}
_STATE = {"state", "status"}
_RECIPE = {
    "model", "method", "dataset", "task", "split", "config", "variant", "arch", "architecture", "algorithm", "metric", "key",
    "group", "fold",
}  # fmt: skip
"""Columns in which the runs of one recipe are equal."""
STEP = re.compile(
    r"(?!(.*[/_ ])?(best|last|final|total|max|num|n)[_ ])(.*[/_ ])?(steps?|epochs?|iter(ation)?s?|updates?|tokens)",
    re.IGNORECASE,
)
_FINEST_FIRST = ("step", "Step", "_step", "global_step", "trainer/global_step", "train/global_step")
_AXIS = re.compile(r".*(time|hours|minutes|seconds|elapsed|flops|samples|examples|images)", re.IGNORECASE)
_BANDS = ("__MIN", "__MAX")
SUMMARY = re.compile(
    r"mean|std|avg|average|avg\d+|median|mittelwert|moyenne|media|best|all|\d\d? ?%|sd|total|min|max|sem|stderr|stdev|"
    r"std[ .]*(dev|err)\w*|var(iance)?|count|sum|overall|(95%? ?)?ci|(mean|average|avg|std)[ (/±+].*|.*(±|\+/-|\\pm).*|"
    r"group: .*",
    re.IGNORECASE,
)
_ENDED = {"finished", "completed", "complete", "success", "succeeded", "done", "ok"}
_CUT_SHORT = {
    "crashed", "failed", "killed", "running", "pending", "scheduled", "preempted", "preempting", "cancelled", "canceled",
    "timeout",
}  # fmt: skip
_COMMA = re.compile(r"[-+]?(\d*),(\d+)([eE][-+]?\d+)?", re.ASCII)
_THOUSANDS = re.compile(r"[-+]?\d{1,3}([ ,'\u00a0\u202f]\d{3})+(\.\d*)?|[-+]?\d{1,3}(\.\d{3})+,\d*")


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
    steps: tuple[str, ...] = ()
    """Where each value was taken of a curve; empty texts for values that are none."""


def take(table: Table, asked: ReadOptions) -> RunValues:
    """The runs of a table: rows that are none are left out or refused, and each run gives one value."""
    table, asked, column = _of_metric(table, asked)
    for condition in asked.where:
        name, _, pattern = condition.partition("=")
        cells = table.cells(table.the(name, f"--where {condition}"))
        kept = [i for i, cell in enumerate(cells) if fnmatch.fnmatchcase(cell, pattern)]
        if not kept:
            table.refuse(f"--where {condition}: no such row; the column has {shown(dict.fromkeys(cells))}")
        table = table.only(kept)
    place = None if asked.column is None else _exact(table, asked.column)
    if place is None and asked.column is not None and re.search(r"[*?\[]", asked.column):
        table, place, column = _wide(table, asked.column), 1, asked.column
    place = _find(table, asked.column) if place is None else place
    notes = list(table.notes)
    table = _dropped(table, asked, notes, place)
    table, lost = _states(table, asked, notes)
    if not table.rows:
        table.refuse(f"no run is left: {'; '.join(notes) or 'no rows'}")
    _no_summaries(table, asked, place)
    _one_recipe(table, asked, notes)
    numbers, percent = _numbers(table, place, asked)
    chosen, names, steps = _runs(table, place, numbers, asked, notes)
    for word in asked.diverged:
        if word not in names and not any(word.casefold() in _labels(table, row, place) for row in table.rows):
            table.refuse(f"--count-as-diverged {word}: no run has this name or state; they are {shown(names)}")
    lost |= {i for i, name in zip(chosen, names, strict=True) if name in asked.diverged}
    # An empty cell is no divergence: a run that was logged without this metric accuses nobody.
    there = [k for k, i in enumerate(chosen) if i in lost or numbers[i] is not None]
    if left_out := [name for k, name in enumerate(names) if k not in set(there)]:
        words = "write nan, or say --count-as-diverged, for those that diverged"
        notes.append(f"{len(left_out)} run(s) without a value left out: {shown(left_out, 5)}; {words}")
    return RunValues(
        values=tuple(None if (i := chosen[k]) in lost else _finite(numbers[i]) for k in there), format=table.format,
        names=tuple(names[k] for k in there), steps=tuple(steps[k] for k in there), percent=percent,
        column=column or table.header[place], notes=tuple(notes),
    )  # fmt: skip


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


# Which column?


def _of_metric(table: Table, asked: ReadOptions) -> tuple[Table, ReadOptions, str | None]:
    """A table of many metrics, one a row (MLflow's histories), as one of the asked metric, and the metric's name."""
    keys = table.columns({"metric", "key"})
    if not keys or table.header.count("value") != 1 or asked.column is None or asked.column in table.header:
        return table, asked, None
    found = table.cells(keys[0])
    if asked.column not in found:
        names = shown(dict.fromkeys(found))
        table.refuse(f"no metric {asked.column!r} in the column {table.header[keys[0]]!r}; it has {names}")
    kept = [i for i, name in enumerate(found) if name == asked.column]
    return table.only(kept), replace(asked, column="value"), asked.column


def _exact(table: Table, name: str) -> int | None:
    """The place of the column of that name, as the format writes names; None if there is none."""
    for option in (name, f"metrics.{name}"):
        if (count := table.header.count(option)) > 1:
            table.refuse(f"{count} columns are called {option!r}; rename one")
        if count:
            return table.header.index(option)
    if table.format != "lm-evaluation-harness":
        return None
    if "_stderr" in name:
        table.refuse(f"{name!r} is an error over a task's items, not a run's value; name the metric itself")
    options = [option for option in table.header if option.rpartition(",")[0] == name]
    if len(options) > 1:
        table.refuse(f"{name!r} exists under several filters; say --column with one of {shown(options)}")
    return table.header.index(options[0]) if options else None


def _find(table: Table, asked: str | None) -> int:
    """The place of the only column that can be the metric; refuses with what there is."""
    names = [name for name in table.header if name]
    if asked is not None:
        near = [n for n in names if n.casefold() == asked.casefold() or n.endswith(("/" + asked, "." + asked))]
        near += [name for name in difflib.get_close_matches(asked, names) if name not in near]
        hint = f"; did you mean {shown(map(repr, near), 3)}?" if near else ""
        if any(cell.startswith("{") for i in table.columns({"summary"}) for cell in table.cells(i)):
            hint = "; the column 'summary' holds Python dicts: write each of their keys as a column of its own"
        table.refuse(f"there is no column {asked!r}{hint}; it has {shown(names)}")
    if len(table.header) == 1:
        return 0
    aside = set(table.columns(_RUN | _TIMES | _RECIPE | _STATE | {""}))
    free = [
        i for i, name in enumerate(table.header)
        if i not in aside and not STEP.fullmatch(name) and name != table.step and not name.endswith(_BANDS)
    ]  # fmt: skip
    if len(free) != 1:
        numeric = [n for i in free if all(map(_is_cell, table.cells(i))) and (n := table.header[i])]
        stems = {re.sub(r"\d+", "*", name) for name in numeric}
        if len(table.rows) == 1 and len(numeric) > 1 and len(stems) == 1 and not any(map(is_number, numeric)):
            table.refuse(f'one row with {shown(numeric, 4)}; if each is a run, say --column "{stems.pop()}"')
        table.refuse(f"it has {len(table.header)} columns; name one by --column: {shown(numeric or names)}")
    return free[0]


def _is_cell(text: str) -> bool:
    """Whether a cell can stand in a column of numbers."""
    return is_number(text) or text.casefold() in MISSING or bool(_COMMA.fullmatch(text))


def _wide(table: Table, pattern: str) -> Table:
    """The cells of one row under the columns that a pattern names, as a run a row."""
    places = [i for i, name in enumerate(table.header) if fnmatch.fnmatchcase(name, pattern)]
    names = [table.header[i] for i in places]
    if not names or table.tasks or table.runs is not None:
        table.refuse(f"there are no columns with a run each called {pattern!r}; it has {shown(table.header)}")
    if len({re.sub(r"\d+", "", name) for name in names}) > 1:
        table.refuse(f"the columns {shown(names)} differ in more than a number; make {pattern!r} narrower")
    if len(set(names)) < len(names):
        table.refuse(f"two of the columns {shown(names)} have one name; rename one")
    if len(table.rows) != 1:
        rows = f"one row is expected where each column is a run, found {len(table.rows)}"
        table.refuse(f'--column "{pattern}": {rows}; say --where "COLUMN=NAME"')
    return replace(
        table, header=["run", "value"], rows=[[name, table.rows[0][i]] for name, i in zip(names, places, strict=True)],
        places=[f"{table.places[0]}, column {name}" for name in names],
    )  # fmt: skip


# Which rows?


def _labels(table: Table, row: list[Json], place: int) -> set[str]:
    """The words in a row that name it, in small letters: text, and what stands in a column of runs."""
    named = set(table.columns(_RUN))
    cells = {i: text_of(cell).strip(" .:").casefold() for i, cell in enumerate(row) if i != place}
    return {cell for i, cell in cells.items() if cell and (i in named or not is_number(cell))}


def _dropped(table: Table, asked: ReadOptions, notes: list[str], place: int) -> Table:
    """The table without the rows that the user leaves out."""
    if not asked.drop_rows:
        return table
    labels = [_labels(table, row, place) for row in table.rows]
    words = {word.casefold() for word in asked.drop_rows}
    for word in sorted(words - set().union(*labels)):
        table.refuse(f"--drop-rows {word}: no row has it")
    kept = [i for i, label in enumerate(labels) if not label & words]
    notes.append(f"{len(labels) - len(kept)} row(s) left out as asked: {shown(asked.drop_rows)}")
    return table.only(kept)


def _states(table: Table, asked: ReadOptions, notes: list[str]) -> tuple[Table, set[int]]:
    """The table without the runs that did not end, and which of its rows count as diverged by their state."""
    counted = {word.casefold() for word in asked.diverged} | {"diverged"}
    for place in table.columns(_STATE):
        name, states = table.header[place], [cell.casefold() for cell in table.cells(place)]
        if not set(states) & (_ENDED | _CUT_SHORT | {"diverged"}):
            continue  # not a run's state: "CA", "open"
        for state, where in zip(states, table.places, strict=True):
            if state not in _ENDED | _CUT_SHORT | counted:
                table.refuse(f'{where}: the {name} {state!r} is unknown; say --where "{name}=..." for runs that ended')
        out = Counter(state for state in states if state in _CUT_SHORT - counted)
        for state, count in out.items():
            words = f"--count-as-diverged {state} counts them as runs without a value"
            notes.append(f"{count} row(s) with the {name} {state} left out; {words}")
        kept = [i for i, state in enumerate(states) if state not in out]
        return table.only(kept), {row for row, i in enumerate(kept) if states[i] in counted}
    return table, set()


def _no_summaries(table: Table, asked: ReadOptions, place: int) -> None:
    """Refuses a row that sums up others: a mean is no run."""
    keep = {word.casefold() for word in asked.keep_rows}
    names = set(table.columns(_RUN))
    # A table of runs has many settings as text, such as pooling=mean.
    looked_at = names if table.columns(_STATE) else set(range(len(table.header))) - {place}
    for i in sorted(looked_at):
        cells = [cell.strip(" .:") for cell in table.cells(i)]
        found = [row for row, cell in enumerate(cells) if cell.casefold() not in keep and SUMMARY.fullmatch(cell)]
        if found and not (len(cells) > 1 and len(set(cells)) == 1 and i not in names):
            word = repr(cells[found[0]].casefold())
            todo = f"say --drop-rows {word}, or --keep-rows {word} if it is a run"
            table.refuse(f"{table.places[found[0]]}: {word} sums up runs and is not one; {todo}")
        if i in names and i != place and "" in cells and any(cells):
            where = table.places[cells.index("")]
            table.refuse(f"{where}: no {table.header[i]}, as in a row of means; name the run, or delete the row")


def _one_recipe(table: Table, asked: ReadOptions, notes: list[str]) -> None:
    """Refuses rows of several models, tasks and the like; notes other parameters that differ."""
    for i, name in enumerate(table.header):
        found = dict.fromkeys(table.cells(i)) if name.casefold() in _RECIPE or name.startswith("params.") else {}
        if len(found) < 2 or any(condition.startswith(f"{name}=") for condition in asked.where):
            continue
        if name.casefold() in _RECIPE:
            todo = f'say --where "{name}=NAME", or "{name}=*" if they are'
            table.refuse(f"the column {name!r} has {shown(found, 4)}, and runs of one recipe are expected; {todo}")
        if "seed" not in name:
            notes.append(f"{name} has {len(found)} values over these runs: {shown(found, 4)}")


# Which numbers?


def _numbers(table: Table, place: int, asked: ReadOptions) -> tuple[list[float | None], bool]:
    """The numbers of a column, and whether they have per cent signs."""
    texts, name = table.cells(place), table.header[place]
    comma = _decimal_comma(table, place, texts, asked)
    numbers: list[float | None] = []
    signs: dict[bool, str] = {}
    for text, row, where in zip(texts, table.rows, table.places, strict=True):
        bare = text.removesuffix("%").strip().replace("\u2212", "-")
        bare = bare.replace(",", ".") if comma else bare
        quoted = table.typed and isinstance(row[place], str)
        if text.casefold() in MISSING:
            numbers.append(None)
        elif NOT_FINITE.fullmatch(bare):
            numbers.append(math.nan)
        elif quoted or not NUMBER.fullmatch(bare):
            table.refuse(f"{where}: a number is needed in {name!r}, found {text[:40]!r}; {_hint(text, quoted=quoted)}")
        else:
            signs.setdefault(text.endswith("%"), where)
            numbers.append(value if abs(value := float(bare)) <= LARGEST else math.nan)
    if len(signs) > 1:
        places = f"in {signs[True]} and none in {signs[False]}"
        table.refuse(f"{name!r} has a per cent sign {places}; write all values in one way")
    return numbers, True in signs


def _hint(text: str, *, quoted: bool) -> str:
    if SUMMARY.fullmatch(text):
        return "a mean with its spread is no run"
    if quoted and NUMBER.fullmatch(text):
        return "a number in JSON has no quotes"
    if _THOUSANDS.fullmatch(text):
        return "write it without thousands separators"
    if text.startswith("["):
        return "a list is no run's value"
    return "leave it empty for a run without a value, or write nan for one that diverged"


def _decimal_comma(table: Table, place: int, texts: Sequence[str], asked: ReadOptions) -> bool:
    """Whether the commas in a column are decimal signs; refuses where they could part thousands."""
    bare = [text.removesuffix("%").strip() for text in texts]
    commas = [(i, match) for i, text in enumerate(bare) if (match := _COMMA.fullmatch(text))]
    points = [i for i, text in enumerate(bare) if "." in text and NUMBER.fullmatch(text)]
    if asked.decimal == ",":
        if points and not table.typed:
            table.refuse(f"{table.places[points[0]]}: --decimal , was asked, and {bare[points[0]]!r} has a point")
        return True
    if asked.decimal == "." or not commas:
        others = (cell for i in range(len(table.header)) if i != place for cell in table.cells(i))
        unclear = asked.decimal is None and points and not table.comma and not table.typed
        if unclear and any(map(_COMMA.fullmatch, others)):
            name = table.header[place]
            table.refuse(f"{name!r} has points and another column commas; say --decimal . or --decimal ,")
        return False
    unsure = [i for i, match in commas if match[1].strip("0") and len(match[2]) == 3]
    if points or unsure:
        i = (unsure or [commas[0][0]])[0]
        todo = "say --decimal , if it is, else write numbers without thousands separators"
        table.refuse(f"{table.places[i]}: is the comma in {bare[i]!r} a decimal sign? {todo}")
    return True


# Which runs?


def _runs(
    table: Table, place: int, numbers: Numbers, asked: ReadOptions, notes: list[str]
) -> tuple[list[int], list[str], list[str]]:
    """The row of each run's value, the runs' names, and the steps where they are points of curves."""
    by = _run_columns(table, place, asked)
    keys = [tuple(text_of(row[i]) for i in by or ()) for row in table.rows]
    steps = [n for i, n in enumerate(table.header) if i != place and (n == table.step or STEP.fullmatch(n))]
    if asked.at is not None and asked.run == "row":
        refuse(f"--at {asked.at} is for curves, and --run row says that each row is a run; leave one of them out")
    if asked.at is not None:
        groups: dict[Key, list[int]] = {}
        for i, key in enumerate(keys):
            groups.setdefault(key, []).append(i)
        names = [_name(key, table) for key in groups]
        curves = zip(groups.values(), names, strict=True)
        points = [_point(table, place, numbers, rows, name, steps, asked) for rows, name in curves]
        ends = [step for _, step in points]
        same_end(asked, list(zip(names, ends, strict=True)), table.where)
        if by is None and len(table.rows) > 1:
            notes.append(f"all {len(table.rows)} rows were read as the curve of one run")
        return [i for i, _ in points], names, ends
    if asked.run != "row":
        _a_row_a_run(table, place, by, keys, steps, asked)
    names = [_name(key, table) if key else where for key, where in zip(keys, table.places, strict=True)]
    for i in table.columns({_MLFLOW_NAME}):
        names = [cell or name for cell, name in zip(table.cells(i), names, strict=True)]
    order = list(range(len(table.rows)))
    for i in table.columns(_STARTED)[:1]:
        stamps = table.cells(i)
        if all(re.match(r"\d{4}-\d\d-\d\d", stamp) for stamp in stamps) and stamps != sorted(stamps):
            order.sort(key=stamps.__getitem__)
            order_is = f"in the order of {table.header[i]!r}, the oldest first; the file has another"
            notes.append(f"the runs are taken {order_is}")
    return order, [names[i] for i in order], [""] * len(order)


def _name(key: Key, table: Table) -> str:
    return "/".join(dict.fromkeys(part for part in key if part)) or Path(table.where).stem


def _run_columns(table: Table, place: int, asked: ReadOptions) -> list[int] | None:
    """The columns that tell runs apart: [] if the table is one run, None if nothing tells."""
    if asked.run == "row":
        return None
    if asked.run is not None:
        names = [asked.run] if asked.run in table.header else asked.run.split(",")
        return [table.the(name, f"--run {asked.run}") for name in names]
    if table.runs is not None:
        return [table.header.index(name) for name in table.runs]
    finest = [i for i in table.columns({"run_id", "run id"}) if i != place]
    return finest or [i for i in table.columns(_RUN) if i != place] or None


def _a_row_a_run(
    table: Table, place: int, by: list[int] | None, keys: Sequence[Key], steps: Sequence[str], asked: ReadOptions
) -> None:
    """Refuses rows that are points of curves, or several rows of one run."""
    count = Counter(keys)
    repeated = next((key for key, rows in count.items() if rows > 1), None) if by is not None else None
    varied = next((name for name in steps if len(set(table.cells(table.header.index(name))) - {""}) > 1), None)
    if by is None and not varied and len(keys) > 3:
        axes = [(i, name) for i, name in enumerate(table.header) if _AXIS.fullmatch(name) and i != place]
        varied = next((name for i, name in axes if _rises(table.cells(i))), None)
    options = "say --at last, --at STEP or --at max:COLUMN"
    if repeated is not None and (len(count) > 1 or not varied):
        rows = f"{count[repeated]} rows of run {_name(repeated, table)!r}"
        if varied:
            table.refuse(f"{rows}, by {varied!r}: points of a curve are not runs; {options}")
        table.refuse(f'{rows}; say --where "COLUMN=NAME" to take one, or --run row if each row is a run')
    if varied and (repeated is not None or by is None):
        what = f"{len(keys)} points of one training's curve (by {varied!r}) are one run"
        table.refuse(f"{what}; {options}, --run COLUMN to tell runs apart, or --run row if each row is a run")
    if varied and asked.run is None and not table.columns(_STATE):
        table.refuse(f"{varied!r} differs from row to row: points of a curve? {options}, or --run row if each is a run")


def _rises(cells: Sequence[str]) -> bool:
    return all(map(NUMBER.fullmatch, cells)) and all(float(a) < float(b) for a, b in itertools.pairwise(cells))


def _point(
    table: Table, place: int, numbers: Numbers, rows: Rows, name: str, steps: Sequence[str], asked: ReadOptions
) -> tuple[int, str]:
    """The row of a run's curve that `--at` names, and its step."""
    at, metric, run = asked.at or "", table.header[place], f"run {name!r}"
    logged = [i for i in rows if numbers[i] is not None]
    if not logged:
        todo = "say --drop-rows NAME if it crashed, --count-as-diverged NAME if it diverged"
        table.refuse(f"{run}: no {metric!r} at any step; {todo}")
    by_best = re.fullmatch(r"(max|min):(.+)", at)
    column, _, wanted = at.rpartition("=")
    is_step = bool(NUMBER.fullmatch(wanted))
    if not by_best and not is_step and at not in {"last", "last:each"}:
        refuse(f"--at {at}: last, last:each, STEP, COLUMN=STEP, max:COLUMN or min:COLUMN is expected")
    curve = _curve(table, logged, steps, column if is_step else "", asked)
    if not curve and not by_best:
        table.refuse(f"--at {at}: no column of steps or epochs; it has {shown(table.header)}")
    here: dict[float, int] = {}
    for step, i in curve:
        if repr(numbers[j := here.setdefault(step, i)]) != repr(numbers[i]):
            both = f"{table.places[j]} and {table.places[i]}"
            table.refuse(f"{run}: two values at step {step:g}, {both}; say --run COLUMN to tell runs apart")
    if by_best:
        return _best(table, by_best[1], by_best[2], rows, numbers, run, asked), "best"
    end = float(wanted) if is_step else max(here)
    if end not in here:
        table.refuse(f"{run}: no value at step {end:g}; its steps are {min(here):g} to {max(here):g}")
    row = here[end]
    finite = [step for step, i in curve if _finite(numbers[i]) is not None]
    if _finite(numbers[row]) is None and any(step < max(finite, default=step) for step in set(here) - set(finite)):
        todo = "not logged, or diverged? leave cells empty that were not logged"
        table.refuse(f"{run}: nan among the numbers of {metric!r}: {todo}")
    bands = [table.header.index(metric + end) for end in _BANDS if metric + end in table.header]
    band = [text_of(table.rows[row][i]) for i in bands]
    if len(set(band)) > 1:
        mean = f"{table.places[row]} is a mean of points from {band[0]} to {band[1]}"
        table.refuse(f"{run}: {mean}; export W&B's table of runs, or the chart ungrouped and unsmoothed")
    return row, f"{end:g}"


def _curve(table: Table, rows: Rows, steps: Sequence[str], column: str, asked: ReadOptions) -> list[tuple[float, int]]:
    """The step of each row, by the asked column or the finest one; empty if the table has none."""
    if column:
        table.the(column, f"--at {asked.at}")
    elif NUMBER.fullmatch(asked.at or "") and len(steps) > 1:
        table.refuse(f"--at {asked.at}: a step in which of {shown(steps)}? say --at {steps[0]}={asked.at}")
    options = [column] if column else [name for name in (table.step, *_FINEST_FIRST, *steps) if name in steps]
    if not options:
        return []
    found, _ = _numbers(table.only(rows), table.header.index(options[0] or ""), asked)
    for step, i in zip(found, rows, strict=True):
        if step is None or math.isnan(step):
            table.refuse(f"{table.places[i]}: no step in {options[0]!r}")
    return [(step, i) for step, i in zip(found, rows, strict=True) if step is not None]


def _best(table: Table, kind: str, column: str, rows: Rows, numbers: Numbers, run: str, asked: ReadOptions) -> int:
    """The first row with a run's best value of the validation metric."""
    found, _ = _numbers(table.only(rows), table.the(column, f"--at {asked.at}"), asked)
    scored = [(value, i) for value, i in zip(found, rows, strict=True) if value is not None and math.isfinite(value)]
    if not scored:
        if all(_finite(numbers[i]) is None for i in rows):
            return rows[-1]
        table.refuse(f"{run}: no finite {column!r} to choose by; say --drop-rows NAME or --count-as-diverged NAME")
    _, row = (max if kind == "max" else min)(scored, key=lambda pair: pair[0])
    if numbers[row] is None:
        where = f"{table.places[row]} has the best {column!r}"
        table.refuse(f"{run}: {where} and no value beside it; both must stand in one row")
    return row


def same_end(asked: ReadOptions, ends: Sequence[tuple[str, str]], where: str) -> None:
    """Refuses `--at last` where runs end at different steps: the last of a run that was cut short is not its end."""
    other = next((end for end in ends if end[1] != ends[0][1]), None)
    if asked.at == "last" and other:
        what = f"run {ends[0][0]!r} ends at step {ends[0][1]} and run {other[0]!r} at {other[1]}"
        refuse(f"{where}: {what}; say --at STEP, or --at last:each if each was trained to its end")
