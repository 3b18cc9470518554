"""Where a run of the release's code leaves its measurements, and how they are read."""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import regex
from pydantic import Discriminator, Field

from openassay.core.rerun_records import Measurement, RerunStatus
from openassay.drivers.job import (
    COPY,
    OUR_FILES,
    Curve,
    Job,
    LabelFile,
    LabelPlace,
    RunResult,
    load_arrays,
    open_written,
)
from openassay.drivers.labels import read_labels
from openassay.drivers.readings import (
    MAX_POINTS,
    NUMBER,
    AtStep,
    BestEpoch,
    NoMeasurement,
    Reading,
    Take,
    Taken,
    Unclear,
    choose,
    finite,
    numbers_in,
    one_of,
)
from openassay.drivers.run import LOG_BYTES, Ended
from openassay.drivers.written_files import (
    Format,
    JsonRows,
    Rows,
    format_of,
    json_of,
    records_at,
    rows_of,
    stated_at,
)
from openassay.faults import BadInput
from openassay.limits import MAX_FILE_BYTES
from openassay.metrics import METRICS, MetricName
from openassay.run_files.tables import shown

Scale = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Pattern = str | Annotated[tuple[str, ...], Field(min_length=1)]
"""A regular expression, or several, of which the first that fits anything counts."""
PATTERN_S = 60.0
"""A regular expression that takes longer over a log is given up."""
MAX_PATTERN = 500
"""Characters of a regular expression."""

_CONTROLS = re.compile(r"\x1b(\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[()][0-9A-Z]|[=>78])|\x08+")
"""What colours a terminal's text and moves in it."""


@dataclass(frozen=True, kw_only=True)
class PredictionsMeasure:
    """Our metric over the predictions that the run returned: what the release's code says of itself is not used."""

    read_from: Literal["predictions"]
    metric: str
    predictions: LabelPlace
    """Name of the returned array, or a file that the run writes."""
    labels: LabelPlace
    """Name of the prepared array with the truth, or a file of the data."""
    of: MetricName
    withheld: bool = False
    """Whether the labels are left out of what the run is shown: only by the target's word, since many honest scripts read
    their test set."""
    scale: Scale = 1.0
    self_reported = False

    def read(self, ended: Ended, job: Job) -> Taken:  # noqa: ARG002 - one signature for all members
        """The metric's value, before scaling."""
        if isinstance(self.predictions, LabelFile):
            path = written_file(job, self.predictions.path)
            returned = read_labels(path.parent, replace(self.predictions, path=path.name))
        else:
            arrays = load_arrays(job.out)
            if self.predictions not in arrays:
                raise NoMeasurement(f"it returned no array {self.predictions!r}")
            returned = arrays[self.predictions]
        if job.handed is None:
            truth = load_arrays(job.data).get(str(self.labels)) if job.data else None
        else:
            truth = job.handed.truth.get(self.labels)
            returned = job.handed.undone(returned)
        if truth is None:
            raise NoMeasurement(f"the prepared data has no array {str(self.labels)!r}")
        if truth.dtype.kind == "U" and returned.dtype.kind != "U":  # a column of words that may be numbers
            truth = np.array([float(of) for of in truth.tolist()])
        return Taken(value=METRICS[self.of](returned, truth))


@dataclass(frozen=True, kw_only=True)
class StatedNumber:
    """A number that the release's code gives: of several the one that `take` names, or that of its best epoch."""

    metric: str
    best_epoch: BestEpoch | None = None
    scale: Scale = 1.0
    take: Take | None = None
    """Which of several values counts. Left out: the last of a text and of rows; of JSON types there must be one."""
    self_reported = True

    def __post_init__(self) -> None:
        if self.best_epoch and self.take is not None:
            raise ValueError("best_epoch and take both say which value counts; give one of them")

    def of_json(self, content: Any, key: str, steps: str = "") -> Taken:
        """What stands at a dotted place of JSON types, or in the objects of a list there."""
        if listed := records_at(content, key):
            records, rest = listed
            if self.take is None and self.best_epoch is None and len(records) > 1:
                raise Unclear(f"{len(records)} objects of a list have {rest!r}; say take, or one's place in the key")
            before, best = key.removesuffix(rest), self.best_epoch
            of = replace(self, best_epoch=best and replace(best, by=best.by.removeprefix(before)))
            return of.of_rows(JsonRows(records=records), rest, steps)
        found = stated_at(content, key)
        if self.best_epoch:
            return Taken(value=self.best_epoch.of(found, stated_at(content, self.best_epoch.by)))
        values = found if isinstance(found, list) and self.take is not None else [one_of(found)]
        return _there(choose((Reading(value=of) for of in values), self.take), "a list without values")

    def of_rows(self, rows: Rows, key: str, steps: str) -> Taken:
        """What stands in a column of rows, those left out that have nothing there."""
        key = key or rows.only_column()
        values = rows.column(key)
        if self.best_epoch:
            pairs = zip(values, rows.column(self.best_epoch.by), strict=True)
            both = [pair for pair in pairs if None not in pair]
            return Taken(value=self.best_epoch.of([of for of, _ in both], [by for _, by in both]))
        steps = steps or rows.steps(needed=isinstance(self.take, AtStep))
        at = rows.column(steps) if steps else [None] * len(values)
        readings = (Reading(value=of, step=step) for of, step in zip(values, at, strict=True) if of is not None)
        return _there(choose(readings, self.take), f"no value of {key!r}")

    def of_text(self, pattern: Pattern, text: str, *, cut: bool) -> Taken:
        """What the first pattern that fits anything finds in a text. cut: the text's beginning was not kept."""
        text = re.split(r"[\r\n]", text, maxsplit=1)[-1] if cut else text  # a number in its first line may be cut
        plain = _CONTROLS.sub("", text).replace("\r\n", "\n")
        # As it was printed only where nothing else fits: a pattern may ask for what is taken away.
        tried = (self._of(one, of, cut=cut) for one in _all(pattern) for of in dict.fromkeys([plain, text]))
        found = next((of for of in tried if of), None)
        not_read = f"of more than {LOG_BYTES >> 20} MiB of text only the end is read, and"
        todo = "let the run print less, or read a file that it writes"
        if found is None and cut:
            raise Unclear(f"{not_read} nothing there matches; {todo}")
        if found is None:
            raise NoMeasurement(f"nothing that matches {' or '.join(map(repr, _all(pattern)))}{numbers_in(plain)}")
        if cut and (self.best_epoch or self.take in {"first", "highest", "lowest"}):
            raise Unclear(f"{not_read} what counts may stand before; {todo}")
        if cut and self.take == "all" and found.step is None:
            return replace(found, curve=(), no_curve=f"{not_read} its points cannot be numbered")
        return found

    def _of(self, pattern: str, text: str, *, cut: bool) -> Taken | None:
        """What one pattern finds; None for no match."""
        if self.best_epoch is None:
            try:
                return choose(_matches(pattern, text, last=self.take in {None, "last"}), self.take)
            except NoMeasurement as error:
                if cut and isinstance(self.take, AtStep):
                    raise Unclear(f"{error}, and only the end of the text is read") from None
                raise
        values, by = (
            [of.value for of in islice(_matches(one, text), MAX_POINTS + 1)] for one in (pattern, self.best_epoch.by)
        )
        if max(len(values), len(by)) > MAX_POINTS:
            raise Unclear(f"more than {MAX_POINTS} matches are no epochs; make the pattern narrower")
        if values and not by:
            raise NoMeasurement(f"nothing that matches {self.best_epoch.by!r}{numbers_in(text)}")
        return Taken(value=self.best_epoch.of(values, by)) if values else None

    def check_pattern(self, pattern: Pattern) -> None:
        """ValueError for a pattern that is none, or that does not have its groups."""
        for one in [*_all(pattern), *([self.best_epoch.by] if self.best_epoch else [])]:
            if len(one) > MAX_PATTERN:
                raise ValueError(f"the pattern has {len(one)} characters, more than {MAX_PATTERN}")
            try:
                compiled = regex.compile(one, flags=regex.MULTILINE)
            except Exception as error:  # noqa: BLE001 - besides its own error, the compiler raises nearly anything
                raise ValueError(f"not a regular expression: {error or type(error).__name__}") from None
            named = set(compiled.groupindex) == {"step", "value"} and one in _all(pattern)
            if compiled.groups != 1 + named:
                words = "the pattern must have one group around the number, or two of the names step and value"
                raise ValueError(f"{words}; it has {compiled.groups}")
            if isinstance(self.take, AtStep) and not named:
                raise ValueError(
                    "to take the value at a step, the pattern needs the groups (?P<step>...) and (?P<value>...)"
                )


@dataclass(frozen=True, kw_only=True)
class ReturnMeasure(StatedNumber):
    """A number in what the run returned."""

    read_from: Literal["return"]
    key: str = ""
    """Dotted place in the returned value; empty when the number itself is returned."""

    def read(self, ended: Ended, job: Job) -> Taken:  # noqa: ARG002
        """What counts, before scaling."""
        return self.of_json(ended.returned, self.key)


@dataclass(frozen=True, kw_only=True)
class StdoutMeasure(StatedNumber):
    """A number in what the run printed: what one group of a pattern matches, or its group `value`, beside one `step`."""

    read_from: Literal["stdout"]
    pattern: Pattern

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_pattern(self.pattern)

    def read(self, ended: Ended, job: Job) -> Taken:  # noqa: ARG002
        """What counts, before scaling."""
        try:
            return self.of_text(self.pattern, ended.log, cut=ended.log_cut)
        except NoMeasurement as error:
            raise NoMeasurement(f"it printed {error}" if str(error).startswith("nothing") else str(error)) from None


@dataclass(frozen=True, kw_only=True)
class FileMeasure(StatedNumber):
    """A number in a file that the run wrote below `{out}`, its working folder or its copy of the release."""

    read_from: Literal["file"]
    path: str
    """Relative; a glob that matches one file."""
    key: str = ""
    """Dotted place in JSON, column of a table, tag of TensorBoard, name of a metric."""
    format: Format | None = None
    """Of the file; by its name when left out, and JSON where that says nothing."""
    pattern: Pattern | None = None
    """For a text: as for what is printed."""
    steps: str = ""
    """Where the steps stand: a column, or a dotted place in the same JSON object; by the format or its name when left out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if Path(self.path).is_absolute() or ".." in Path(self.path).parts:
            raise ValueError("path must be relative and stay below the run's folder")
        if (self.format or "text") != "text" if self.pattern else self.format == "text":
            raise ValueError("a file of text needs a pattern, and no other format takes one")
        if self.pattern is not None:
            self.check_pattern(self.pattern)
            if self.key or self.steps:
                raise ValueError("key and steps are not for a text; its pattern says what is read")

    def read(self, ended: Ended, job: Job) -> Taken:  # noqa: ARG002
        """What counts, before scaling."""
        path = written_file(job, self.path)
        if self.pattern is not None:
            with open_written(path, MAX_FILE_BYTES) as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - LOG_BYTES))
                text = file.read(LOG_BYTES).decode("utf-8", "replace")
            try:
                return self.of_text(self.pattern, text, cut=size > LOG_BYTES)
            except NoMeasurement as error:
                raise NoMeasurement(
                    f"{self.path} has {error}" if str(error).startswith("nothing") else str(error)
                ) from None
        kind = self.format or format_of(path)
        if kind == "json":
            return self.of_json(json_of(path, self.path), self.key, self.steps)
        return self.of_rows(rows_of(path, kind, self.path, self.key), self.key, self.steps)


def written_file(job: Job, pattern: str) -> Path:
    """The one file of a run that a glob matches. `NoMeasurement` for none, `Unclear` for several."""
    try:
        out = job.out.resolve()
        ours = {out / name for name in OUR_FILES}
        folders = (out, out / "work", out / COPY)
        matches = {path for folder in folders for path in folder.glob(pattern)} - ours
        # A link may lead to a file that is not the run's.
        found = [path for path in sorted(matches) if path.is_file() and path.resolve() == path]
    except (OSError, RuntimeError):  # too deep, closed to us, or links in a circle
        raise NoMeasurement(f"its folders cannot be searched for {pattern!r}") from None
    if not found:
        raise NoMeasurement(f"0 files match {pattern!r}; one is needed")
    if len(found) > 1:
        names = shown(path.relative_to(out).as_posix() for path in found)
        raise Unclear(f"{len(found)} files match {pattern!r}; one is needed: {names}; name one")
    return found[0]


Measure = Annotated[PredictionsMeasure | ReturnMeasure | StdoutMeasure | FileMeasure, Discriminator("read_from")]


def measured(ended: Ended, measures: tuple[Measure, ...], job: Job) -> RunResult:
    """What a run measured, and how it ended in the words of an audit; `BadInput` where a measure can mean several numbers."""
    result = RunResult(status=RerunStatus.FINISHED, log=ended.log, cpu_s=ended.cpu_s, device=job.device)
    if not ended.ok:
        status = RerunStatus.TIMED_OUT if ended.timed_out else RerunStatus.FAILED
        return replace(result, status=status, reason=ended.error)
    measurements, problems, curves = [], [], {}
    for of in measures:
        value, raw, taken = None, "", Taken(value=None)
        try:
            taken = of.read(ended, job)
            value, raw = finite(taken.value, of.scale)
            curves[of.metric] = _curve(taken, of.scale)
        except Unclear as error:
            raise BadInput(f"{job.target_file}: {job.stage}.measure: {of.metric}: {error}") from None
        except _NoCurve as error:
            problems.append(f"{of.metric} has no curve: {error}")
        except (NoMeasurement, ValueError, TypeError) as error:  # the last two: arrays that no metric can be taken of
            problems.append(f"{of.metric}: {error}" if len(measures) > 1 else str(error))
        if raw and value is None:
            result = replace(result, status=RerunStatus.DIVERGED)
            problems.append(f"{of.metric} is {raw}")
        own = of.self_reported
        measurements.append(Measurement(metric=of.metric, value=value, raw=raw, step=taken.step, self_reported=own))
    result = replace(result, reason="; ".join(problems))
    if measurements and not any(measurement.raw for measurement in measurements):
        return replace(result, status=RerunStatus.FAILED)
    curves = {metric: curve for metric, curve in curves.items() if curve}
    return replace(result, measurements=tuple(measurements), curves=curves)


class _NoCurve(Exception):
    """The measurement is there, and the curve that should be is not."""


def _curve(taken: Taken, scale: float) -> Curve:
    """The points that are finite numbers, scaled."""
    if taken.no_curve:
        raise _NoCurve(taken.no_curve)
    try:
        points = [(step, finite(value, scale)[0]) for step, value in taken.curve]
    except NoMeasurement as error:
        raise _NoCurve(str(error)) from None
    return tuple((step, value) for step, value in points if value is not None)


def _there(found: Taken | None, nothing: str) -> Taken:
    if found is None:
        raise NoMeasurement(f"it gave {nothing}")
    return found


def _all(pattern: Pattern) -> tuple[str, ...]:
    return (pattern,) if isinstance(pattern, str) else pattern


def _matches(pattern: str, text: str, *, last: bool = False) -> Iterator[Reading]:
    """What a pattern finds in a text. Of a line that was written over, as progress bars do, the last state of a step counts.

    last: without steps, the last match is enough.
    """
    lines = text.replace("\r", "\n")
    value, step = ("value", "step") if regex.compile(pattern, flags=regex.MULTILINE).groups == 2 else (1, None)
    before, at, deadline = None, 0, time.monotonic() + PATTERN_S
    try:
        found = regex.finditer(pattern, lines, flags=regex.MULTILINE, timeout=PATTERN_S)
        for match in deque(found, maxlen=1) if last and not step else found:
            if time.monotonic() > deadline:
                raise TimeoutError
            reading = Reading(value=_number(match, value), step=step and _number(match, step))
            if before and not (step and before.step == reading.step and _is_written_over(text[at : match.start()])):
                yield before
            before, at = reading, match.start()
    except MemoryError:
        raise NoMeasurement(f"the pattern {pattern!r} takes too much memory over the log") from None
    except TimeoutError:
        raise NoMeasurement(f"the pattern {pattern!r} took more than {PATTERN_S:g} s over the log") from None
    if before:
        yield before


def _is_written_over(text: str) -> bool:
    return "\r" in text and "\n" not in text


_BEFORE = re.compile(r"[0-9]+\.?\Z")
_AFTER = re.compile(r"([.,](?=[0-9]))?[0-9]*([eE][-+]?[0-9]+)?")
_AFTER_FRACTION = re.compile(r"[0-9]*([eE][-+]?[0-9]+)?")


def _number(match: Any, group: str | int) -> str:
    """What a group matches; Unclear where it is a part of a longer number."""
    found: str = match[group] or ""
    if NUMBER.fullmatch(found) and found[-1] in "0123456789.":
        start, end = match.span(group)
        before = None if found[0] in "-+" else _BEFORE.search(match.string, max(0, start - 20), start)
        # What the pattern itself says of the text after the number is meant so.
        after = (_AFTER_FRACTION if "." in found else _AFTER).match(match.string, end, end + 20 * (match.end() == end))
        if before or (after and after[0]):
            longer = f"{before[0] if before else ''}{found}{after[0] if after else ''}"[:60]
            raise Unclear(
                f"the pattern takes {found[:40]!r} out of {longer!r}; make it say what stands before and after"
            )
    return found
