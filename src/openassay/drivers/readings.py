"""The values that a run gave of one metric: which of them counts, and the curve that they make."""

from __future__ import annotations

import contextlib
import decimal
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from openassay.core.types import LARGEST
from openassay.faults import printable

MAX_POINTS = 100_000
"""Points of a curve that is kept, and epochs among which a best one is looked for."""
_DIGITS = 1000
"""Digits in which a printed number is multiplied."""
NUMBER = re.compile(r"[-+]?(([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|nan|inf(inity)?)", re.IGNORECASE | re.ASCII)
"""A number as programs print it, NaN and infinity included, which then count as not finite."""


class NoMeasurement(Exception):
    """The run gave nothing where the target says that the measurement stands."""


class Unclear(Exception):
    """The target's words fit several of the numbers that the run gave, or cut one: its author must name one."""


@dataclass(frozen=True, kw_only=True)
class AtStep:
    """The value at a step of the training."""

    step: Annotated[int, Field(ge=0)]


def _kind_of_take(value: object) -> str:
    return "word" if isinstance(value, str) else "step"


Take = Annotated[
    Annotated[Literal["last", "first", "highest", "lowest", "all"], Tag("word")] | Annotated[AtStep, Tag("step")],
    Discriminator(_kind_of_take),
]
"""Which of several values counts. `all` is the last one, and a curve of all, numbered from 1 where they have no steps."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One of the values that a run gave."""

    value: object
    step: object = None
    """As it stands there; None where nothing does."""


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What counts, before scaling."""

    value: object
    step: int | None = None
    curve: tuple[tuple[int, object], ...] = ()
    """Steps increase."""
    no_curve: str = ""
    """Why the values make no curve, where they should."""


@dataclass(frozen=True, kw_only=True)
class BestEpoch:
    """The epoch whose value counts, where a release reports the test result of its best epoch by validation."""

    by: str
    """Where the validation values stand: a pattern for text, a column of a table, a dotted place of JSON types; one an epoch,
    as many as of the measured values. Of equal ones the first counts."""
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


def choose(readings: Iterable[Reading], take: Take | None) -> Taken | None:
    """The reading that counts, the last one if nothing is asked, and the curve of all; None for no readings.

    NoMeasurement where none is at the asked step, or one that must be compared is no number; Unclear where two are at the step.
    """
    chosen: Reading | None = None
    count, points, problem = 0, dict[int, object](), ""
    for count, reading in enumerate(readings, start=1):
        try:
            step = whole(reading.step) if reading.step is not None else count if take == "all" else None
        except NoMeasurement as error:
            step, problem = None, problem or str(error)
        if isinstance(take, AtStep) and step == take.step and chosen and not _alike(chosen.value, reading.value):
            raise Unclear(f"{_two_at(step, chosen.value, reading.value)}; make what is read fit one of them only")
        if step is not None and not problem:
            if not _alike(before := points.setdefault(step, reading.value), reading.value):
                problem = _two_at(step, before, reading.value)
            elif len(points) > MAX_POINTS:
                problem = f"it has more than {MAX_POINTS} points"
        if isinstance(take, AtStep):
            chosen = reading if step == take.step else chosen
        elif chosen is None or _counts(reading, chosen, take):
            chosen = reading
    curve = () if problem else tuple(sorted(points.items(), key=lambda point: point[0]))
    if chosen is None:
        if isinstance(take, AtStep) and count:
            there = (
                f"its steps are {min(points)} to {max(points)}" if points else problem or "its values stand at no step"
            )
            raise NoMeasurement(f"it gave no value at step {take.step}; {there}")
        return None
    with contextlib.suppress(NoMeasurement):
        return Taken(
            value=chosen.value, step=None if chosen.step is None else whole(chosen.step), curve=curve, no_curve=problem
        )
    return Taken(value=chosen.value, curve=curve, no_curve=problem)


def _alike(one: object, other: object) -> bool:
    return str(one) == str(other)


def _two_at(step: object, one: object, other: object) -> str:
    return f"step {step} has two values, {str(one)[:40]} and {str(other)[:40]}"


def _counts(reading: Reading, before: Reading, take: Take | None) -> bool:
    """Whether a later reading takes the place of the one that counted before."""
    if take in {"highest", "lowest"}:
        number, best = finite(reading.value, 1.0)[0], finite(before.value, 1.0)[0]
        return number is not None and (best is None or (number > best if take == "highest" else number < best))
    return take != "first"


def whole(step: object) -> int:
    """A step as a number; NoMeasurement for what is no whole number."""
    text = str(step).strip()
    if not isinstance(step, bool) and re.fullmatch(
        r"[0-9]{1,18}(\.0*)?|[0-9.]{1,18}e\+?[0-9]{1,2}", text, re.IGNORECASE
    ):
        try:
            number = Decimal(text)
        except decimal.InvalidOperation:
            number = Decimal("0.5")
        if number == number.to_integral_value() and number < 2**63:
            return int(number)
    raise NoMeasurement(f"a step is a whole number, found {text[:40]!r}")


def finite(found: object, scale: float) -> tuple[float | None, str]:
    """A measurement as a finite number, or None, and the text that stood there; anything but a number is refused.

    The product with `scale` is taken in decimal digits, so that 0.143 times 100 is 14.3.
    """
    if isinstance(found, bool) or found is None or isinstance(found, (dict, list)):
        raise NoMeasurement(f"a number is needed, it gave {str(found)[:60]!r}")
    if isinstance(found, str) and not NUMBER.fullmatch(found):
        raise NoMeasurement(f"a number is needed, it gave {found[:60]!r}{_hint(found)}")
    try:
        value = float(found)  # type: ignore[arg-type]
    except OverflowError:
        value = math.inf
    text = str(found) if isinstance(found, (str, int)) else repr(value)
    if scale != 1.0 and value and math.isfinite(value):
        with decimal.localcontext(decimal.Context(prec=_DIGITS)):
            value = float(Decimal(text) * Decimal(repr(scale)))
    return (value if abs(value) <= LARGEST else None), text[:60]


def _hint(text: str) -> str:
    """What may be meant by a text that is no number, where that can be told."""
    if "," in text and NUMBER.fullmatch(text.replace(",", "")):
        return "; whether its comma parts thousands or is the decimal sign is not guessed"
    if NUMBER.fullmatch(text.strip().removesuffix("%").strip()):
        return "; leave the space or the per cent sign out of what is read"
    return ""


def numbers_in(text: str) -> str:
    """The last lines of a text that hold a number, as a hint; empty for none."""
    lines = [printable(line.strip())[:100] for line in text[-4000:].splitlines() if re.search("[0-9]", line)]
    return f"; the last lines with numbers are {', '.join(map(repr, lines[-3:]))}" if lines else ""


def one_of(found: Any) -> Any:
    """The number that stands at a place; Unclear for a list, or an object, of several, with what there is to name."""
    if isinstance(found, list) and found:
        shown = ", ".join(str(of)[:20] for of in found[:5]) + (", ..." if len(found) > 5 else "")
        raise Unclear(
            f"it gave a list of {len(found)}, {shown}; say take, or end key in a place: 0 to {len(found) - 1}"
        )
    if isinstance(found, dict) and found and set(found) != {"array"}:
        shown = ", ".join(str(of)[:40] for of in list(found)[:12])
        raise Unclear(f"it gave an object with {shown}; end key in one of them")
    return found
