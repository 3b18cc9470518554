"""Where a run of the release's code leaves its measurements, and how they are read."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import regex
from pydantic import Discriminator, Field

from openassay.core.rerun_records import Measurement, RerunStatus
from openassay.core.types import LARGEST
from openassay.drivers.job import COPY, MAX_JSON_BYTES, OUR_FILES, Job, RunResult, load_arrays, open_written
from openassay.drivers.run import Ended
from openassay.metrics import METRICS, MetricName

Scale = Annotated[float, Field(gt=0, allow_inf_nan=False)]
PATTERN_S = 60.0
"""A regular expression that takes longer over a log is given up."""
MAX_PATTERN = 500
"""Characters of a regular expression."""

_NUMBER = re.compile(r"[-+]?(([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|nan|inf(inity)?)", re.IGNORECASE | re.ASCII)
"""A number as programs print it, NaN and infinity included, which then count as not finite."""


class NoMeasurement(Exception):
    """The run gave nothing where the target says that the measurement stands."""


@dataclass(frozen=True, kw_only=True)
class PredictionsMeasure:
    """Our metric over the predictions that the run returned: what the release's code says of itself is not used."""

    read_from: Literal["predictions"]
    metric: str
    predictions: str
    """Name of the returned array."""
    labels: str
    """Name of the prepared array with the truth."""
    of: MetricName
    scale: Scale = 1.0
    self_reported = False

    def read(self, ended: Ended, job: Job) -> float:  # noqa: ARG002 - one signature for all members
        """The metric's value, before scaling."""
        returned = load_arrays(job.out)
        if self.predictions not in returned:
            raise NoMeasurement(f"it returned no array {self.predictions!r}")
        labels = load_arrays(job.data) if job.data else {}
        if self.labels not in labels:
            raise NoMeasurement(f"the prepared data has no array {self.labels!r}")
        return METRICS[self.of](returned[self.predictions], labels[self.labels])


@dataclass(frozen=True, kw_only=True)
class BestEpoch:
    """The epoch whose value counts, where a release reports the test result of its best epoch by validation."""

    by: str
    """Where the validation values stand: a pattern for `stdout`, a dotted place of a list otherwise; one an epoch, as many as
    of the measured values. Of equal ones the first counts."""
    best: Literal["highest", "lowest"]

    def of(self, values: object, validation: object) -> object:
        """The measured value of the best epoch."""
        if not isinstance(values, list) or not isinstance(validation, list) or len(values) != len(validation):
            shown = [str(len(of)) if isinstance(of, list) else "no list of" for of in (values, validation)]
            raise NoMeasurement(f"one value an epoch is needed, found {shown[0]} measured and {shown[1]} of validation")
        known = [(number, i) for i, of in enumerate(validation) if (number := finite(of, 1.0)[0]) is not None]
        if not known:
            raise NoMeasurement(f"no epoch has a finite validation value in {self.by!r}")
        best = (max if self.best == "highest" else min)(number for number, _ in known)
        return values[next(i for number, i in known if number == best)]


@dataclass(frozen=True, kw_only=True)
class StatedNumber:
    """A number that the release's code gives, or the one of its best epoch."""

    metric: str
    best_epoch: BestEpoch | None = None
    scale: Scale = 1.0
    self_reported = True

    def at_best(self, content: Any, key: str) -> object:
        """What stands at a dotted place of JSON types, of the best epoch where one counts."""
        found = _at(content, key)
        return self.best_epoch.of(found, _at(content, self.best_epoch.by)) if self.best_epoch else found


@dataclass(frozen=True, kw_only=True)
class ReturnMeasure(StatedNumber):
    """A number in what the run returned."""

    read_from: Literal["return"]
    key: str = ""
    """Dotted place in the returned value; empty when the number itself is returned."""

    def read(self, ended: Ended, job: Job) -> object:  # noqa: ARG002
        """The number, before scaling."""
        return self.at_best(ended.returned, self.key)


@dataclass(frozen=True, kw_only=True)
class StdoutMeasure(StatedNumber):
    """A number in what the run printed: the last match of a pattern with one group, or that of the best epoch."""

    read_from: Literal["stdout"]
    pattern: str

    def __post_init__(self) -> None:
        for pattern in [self.pattern, *([self.best_epoch.by] if self.best_epoch else [])]:
            if len(pattern) > MAX_PATTERN:
                raise ValueError(f"the pattern has {len(pattern)} characters, more than {MAX_PATTERN}")
            try:
                groups = regex.compile(pattern, flags=regex.MULTILINE).groups
            except Exception as error:  # noqa: BLE001 - besides its own error, the compiler raises nearly anything
                raise ValueError(f"not a regular expression: {error or type(error).__name__}") from None
            if groups != 1:
                raise ValueError(f"the pattern must have one group around the number, it has {groups}")

    def read(self, ended: Ended, job: Job) -> object:  # noqa: ARG002
        """The number, before scaling."""
        found = _matches(self.pattern, ended.log)
        return self.best_epoch.of(found, _matches(self.best_epoch.by, ended.log)) if self.best_epoch else found[-1]


@dataclass(frozen=True, kw_only=True)
class FileMeasure(StatedNumber):
    """A number in a JSON file that the run wrote below `{out}` or its working folder."""

    read_from: Literal["file"]
    path: str
    """Relative; a glob that matches one file."""
    key: str = ""

    def __post_init__(self) -> None:
        if Path(self.path).is_absolute() or ".." in Path(self.path).parts:
            raise ValueError("path must be relative and stay below the run's folder")

    def read(self, ended: Ended, job: Job) -> object:  # noqa: ARG002
        """The number, before scaling."""
        try:
            out = job.out.resolve()
            ours = {out / name for name in OUR_FILES}
            folders = (out, out / "work", out / COPY)
            matches = {path for folder in folders for path in folder.glob(self.path)} - ours
            # A link may lead to a file that is not the run's.
            found = [path for path in sorted(matches) if path.is_file() and path.resolve() == path]
        except (OSError, RuntimeError):  # too deep, closed to us, or links in a circle
            raise NoMeasurement(f"its folders cannot be searched for {self.path!r}") from None
        if len(found) != 1:
            raise NoMeasurement(f"{len(found)} files match {self.path!r}; one is needed")
        with open_written(found[0], MAX_JSON_BYTES) as file:
            text = file.read()
        try:
            content = json.loads(text.decode("utf-8"))
        except (ValueError, RecursionError):
            raise NoMeasurement(f"{self.path} is not JSON") from None
        return self.at_best(content, self.key)


Measure = Annotated[PredictionsMeasure | ReturnMeasure | StdoutMeasure | FileMeasure, Discriminator("read_from")]


def measured(ended: Ended, measures: tuple[Measure, ...], job: Job) -> RunResult:
    """What a run measured, and how it ended in the words of an audit."""
    result = RunResult(status=RerunStatus.FINISHED, log=ended.log, cpu_s=ended.cpu_s, device=job.device)
    if not ended.ok:
        status = RerunStatus.TIMED_OUT if ended.timed_out else RerunStatus.FAILED
        return replace(result, status=status, reason=ended.error)
    measurements, problems = [], []
    for of in measures:
        value, raw = None, ""
        try:
            value, raw = finite(of.read(ended, job), of.scale)
        except (NoMeasurement, ValueError, TypeError) as error:  # the last two: arrays that no metric can be taken of
            problems.append(f"{of.metric}: {error}" if len(measures) > 1 else str(error))
        if raw and value is None:
            result = replace(result, status=RerunStatus.DIVERGED)
            problems.append(f"{of.metric} is {raw}")
        own = of.self_reported
        measurements.append(Measurement(metric=of.metric, value=value, raw=raw, step=None, self_reported=own))
    result = replace(result, reason="; ".join(problems))
    if measurements and not any(measurement.raw for measurement in measurements):
        return replace(result, status=RerunStatus.FAILED)
    return replace(result, measurements=tuple(measurements))


def finite(found: object, scale: float) -> tuple[float | None, str]:
    """A measurement as a finite number, or None with what stood there; anything but a number is refused."""
    if isinstance(found, bool) or found is None or isinstance(found, (dict, list)):
        raise NoMeasurement(f"a number is needed, it gave {str(found)[:60]!r}")
    if isinstance(found, str) and not _NUMBER.fullmatch(found):
        raise NoMeasurement(f"a number is needed, it gave {found[:60]!r}")
    try:
        value = float(found)  # type: ignore[arg-type]
    except OverflowError:
        value = math.inf
    value *= scale
    return (value, repr(value)) if abs(value) <= LARGEST else (None, str(found)[:60] or repr(value))


def _matches(pattern: str, log: str) -> list[str]:
    try:
        found: list[str] = regex.findall(pattern, log, flags=regex.MULTILINE, timeout=PATTERN_S)
    except MemoryError:
        raise NoMeasurement(f"the pattern {pattern!r} takes too much memory over the log") from None
    except TimeoutError:
        raise NoMeasurement(f"the pattern {pattern!r} took more than {PATTERN_S:g} s over the log") from None
    if not found:
        raise NoMeasurement(f"it printed nothing that matches {pattern!r}")
    return found


def _at(value: Any, key: str) -> Any:
    for part in key.split(".") if key else []:
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, TypeError, ValueError):
            raise NoMeasurement(f"there is no {key!r} in what it gave") from None
    return value
