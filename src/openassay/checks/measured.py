"""Shares that were measured on whole items: a share times their number is whole, and its standard error follows from both.

The evaluation harness gives the sample's standard deviation (n - 1) over the root of n; of right and wrong answers that is the
root of p (1 - p) / (n - 1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from openassay.checks.check import Agreement, Contradiction, NotAsked, Seen, check
from openassay.checks.results import Result, Sheet, sheets
from openassay.published.files import PublishedFiles

_COUNTED = re.compile(r"(acc|acc_norm|exact_match)(,[\w-]+)?$")
"""Shares of right answers. A grouped task's are means of several tasks, and are left out."""
MIN_DIGITS = 8
"""Digits of a number that was written out in full."""


@check(needs="result files of the evaluation harness with shares and their standard errors, written out in full")
def share_of_no_whole_count(release: PublishedFiles) -> Iterator[Seen]:
    """{one.evidence.path}: {one.task} {one.metric} {one.evidence.value} {why}"""
    for sheet in sheets(release):
        agreed = 0
        found: list[Seen] = []
        for result, error in _pairs(sheet):
            if result.count is None:
                continue
            n, p = result.count, result.value or 0.0
            right = round(p * n)
            if abs(p * n - right) > max(1e-6 * n, 1e-3):
                why = f"is {p * n:.4f} right answers of {n}, which is no whole number"
                found.append(Contradiction(result, error, one=result, why=why))
            else:
                agreed += 1
        yield from found
        if agreed:
            yield Agreement(sheet.seen(sheet.model, f"{agreed} shares are whole numbers of right answers"))


@check(needs="result files of the evaluation harness with shares and their standard errors, written out in full")
def error_of_another_count(release: PublishedFiles) -> Iterator[Seen]:
    """{one.evidence.path}: {one.task} {one.metric} {one.evidence.value} with the standard error {error.evidence.value} is that of
    {estimated:.1f} items, but {other}"""
    for sheet in sheets(release):
        agreed: list[Result] = []
        first: dict[str, tuple[float, Result]] = {}
        for result, error in _pairs(sheet):
            p, deviation = result.value or 0.0, error.value or 0.0
            estimated = p * (1 - p) / deviation**2 + 1
            if result.count is not None:
                known, at, other = float(result.count), error, f"the file says {result.count} items"
            elif result.task in first:
                known, at = first[result.task]
                other = f"{at.metric} of the same task is that of {known:.1f}"
            else:
                first[result.task] = (estimated, result)
                continue
            if abs(estimated - known) <= max(1.0, 0.002 * known):  # some divide by n, some by n - 1
                agreed.append(result)
            elif result.count is None and abs(estimated - round(estimated)) > 0.02:
                yield NotAsked("some standard errors are not those of right and wrong answers")
            else:
                yield Contradiction(result, error, at, one=result, error=error, estimated=estimated, other=other)
        if agreed:
            yield Agreement(*agreed[:2])


def _pairs(sheet: Sheet) -> Iterator[tuple[Result, Result]]:
    """Each share strictly between 0 and 1 with its standard error, both written out in full."""
    errors = {(r.task, r.metric.replace("_stderr", "", 1)): r for r in sheet.results if r.base.endswith("_stderr")}
    for result in sheet.results:
        error = errors.get((result.task, result.metric))
        if error is None or not _COUNTED.match(result.metric) or result.is_grouped:
            continue
        if 0 < (result.value or 0.0) < 1 and (error.value or 0.0) > 0 and _is_full(error):
            yield result, error


def _is_full(result: Result) -> bool:
    return len(result.evidence.value.replace(".", "").lstrip("0")) >= MIN_DIGITS
