"""Judges numbers alone, without a pipeline."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from typer import Option

from openassay.cli.arguments import AsJson
from openassay.faults import BadInput

FAIL_ON = (
    "Exit with status 1 for these, comma between: not_reproduced, inconclusive, or a reason, as number_not_reached"
)
JUNIT = "Also write the verdicts into this file as JUnit XML; a test fails by --fail-on, or else where not reproduced"
RUNS = (
    "File or folder with the runs' values: a table with one run a row, JSON, or what W&B, MLflow, TensorBoard or "
    "lm-evaluation-harness write; may be repeated for one run a file"
)
COLUMN = (
    'Column or metric; its number where there is no header; "seed*" where one row has a run a column; TASK/METRIC of '
    "lm-evaluation-harness"
)
AT = "Point of each curve: last, last:each, a step, COLUMN=STEP, max:COLUMN or min:COLUMN (best by a validation one)"
WHERE = "Only rows with COLUMN=PATTERN, or files with file=PATTERN; may be repeated"
SEQUENTIAL = "Look after each run, in the order they were made; stop as an audit would"
UNIT = "Of the file's values: fraction, percent, or same as the published"
EACH_FILE = "Files that evaluate models of one name are different trainings"
TOLERANCE = "How far from it is still the same; declare it before you look"
SD_IS = "sd (over trainings), standard_error, confidence_interval_95, over_units, over_items"
ESTIMAND = "number: the mean against the printed value; recipe: against the published recipe's mean"


def judge(
    context: typer.Context,
    *,
    jsonl: Annotated[bool, Option("--jsonl", help="One scenario a line, one verdict a line")] = False,
    sequential: Annotated[bool, Option("--sequential", help=SEQUENTIAL)] = False,
    fail_on: Annotated[str, Option(metavar="VERDICTS", help=FAIL_ON)] = "",
    as_json: AsJson = False,
    junit: Annotated[Path | None, Option(metavar="FILE", help=JUNIT)] = None,
    runs: Annotated[list[Path] | None, Option("--runs", "--csv", help=RUNS)] = None,
    column: Annotated[str | None, Option(help=COLUMN)] = None,
    at: Annotated[str | None, Option(help=AT)] = None,
    run: Annotated[str | None, Option(help="Columns that tell runs apart, or `row` where each row is a run")] = None,
    where: Annotated[list[str] | None, Option(help=WHERE)] = None,
    drop_rows: Annotated[str, Option(help="Leave out rows or files of these names or words, e.g. mean,std")] = "",
    keep_rows: Annotated[str, Option(help="Words such as min that are a run's name here")] = "",
    count_as_diverged: Annotated[str, Option(help="States (crashed,failed) or names of runs without a value")] = "",
    unit: Annotated[str | None, Option(help=UNIT)] = None,
    decimal: Annotated[str | None, Option(help="Decimal sign of the file: . or ,")] = None,
    delimiter: Annotated[str | None, Option(help="Sign between the file's cells, or `tab`")] = None,
    header: Annotated[bool | None, Option(help="Whether the file's first row holds names")] = None,
    each_file_is_a_run: Annotated[bool, Option(help=EACH_FILE)] = False,
    published: Annotated[float | None, Option(help="Published value")] = None,
    tolerance: Annotated[float | None, Option(help=TOLERANCE)] = None,
    trainings: Annotated[int, Option(help="Trainings behind the published value")] = 1,
    sd: Annotated[float | None, Option(help="Its spread; --sd-is says of what")] = None,
    sd_is: Annotated[str, Option(help=SD_IS)] = "sd",
    units: Annotated[int, Option(help="Folds or splits that each value averages")] = 1,
    rounding: Annotated[float, Option(help="Unit of its last digit")] = 0.0,
    direction: Annotated[str, Option(help="two-sided, at_least or at_most")] = "two-sided",
    estimand: Annotated[str, Option(help=ESTIMAND)] = "number",
    alpha: Annotated[float, Option(help="Each wrong verdict has this probability at most")] = 0.05,
    deterministic: Annotated[bool, Option(help="The recipe gives the same value every time")] = False,
    max_runs: Annotated[int | None, Option(help="Most runs that may be used, named beforehand")] = None,
) -> None:
    """Judge numbers alone: a scenario as JSON on standard input, or files with runs (docs/verdict.md has the format).

    Exit status: 0 judged; 1 the verdict is one of --fail-on; 2 the input cannot be read.
    """
    from openassay import scenario
    from openassay.records import parse, to_json
    from openassay.run_files import Unit, check_scale, read_runs

    failing = _verdicts(fail_on)
    if runs is None:
        ours = {"jsonl", "sequential", "fail_on", "as_json", "junit"}
        sources = [context.get_parameter_source(name) for name in set(context.params) - ours]
        if any(source is not None and source.name == "COMMANDLINE" for source in sources):
            raise BadInput("judge: these options are for --runs FILE; a scenario on standard input holds all of them")
        raise typer.Exit(int(_judge_scenarios(failing, jsonl=jsonl, sequential=sequential, junit=junit)))
    if jsonl:
        raise BadInput("judge: --jsonl reads standard input, and --runs files; give one of them")
    if published is None or tolerance is None:
        raise BadInput("judge --runs: --published and --tolerance must be given too")
    for option, value, known in (("unit", unit, get_args(Unit)), ("decimal", decimal, (".", ","))):
        if value is not None and value not in known:
            raise BadInput(f"judge: --{option}: expected {' or '.join(known)}, found {value!r}")
    # What is typed is checked before the file is read.
    numbers = {"published": published, "tolerance": tolerance, "sd": sd, "rounding": rounding, "alpha": alpha}
    for option, number in numbers.items():
        if number is not None and not math.isfinite(number):
            raise BadInput(f"judge: --{option}: a finite number is needed, found {number}")
    claim = {"tolerance": tolerance, "direction": direction, "alpha": alpha, "estimand": estimand}
    reference = {"mean": published, "n": trainings, "sd": sd, "sd_is": sd_is, "units": units, "rounding": rounding}
    data: dict[str, Any] = {
        "claim": claim, "published": reference, "runs": [], "max_runs": max_runs, "deterministic": deterministic,
    }  # fmt: skip
    parse(scenario.Scenario, data, "judge")
    found = read_runs(
        runs, column=column, delimiter=delimiter, decimal=decimal, header=header, at=at, run=run, where=where or (),
        drop_rows=_words(drop_rows), keep_rows=_words(keep_rows), diverged=_words(count_as_diverged),
        each_file=each_file_is_a_run,
    )  # fmt: skip
    found = check_scale(found, published, unit)  # type: ignore[arg-type]
    asked = parse(scenario.Scenario, data | {"runs": list(found.values)}, "judge")
    verdict = scenario.judge([asked], look_often=sequential)[0]
    if as_json:
        print(to_json(verdict | {"notes": found.notes, "runs": found.values}, ascii_only=True))
    else:
        print(scenario.in_words(verdict, len(found.values)))
        for note in found.notes:
            print(f"  note: {note}")
    _write_junit(junit, [verdict], failing)
    raise typer.Exit(int(_fails(verdict, failing)))


def _judge_scenarios(failing: frozenset[str], *, jsonl: bool, sequential: bool, junit: Path | None) -> bool:
    """Whether a verdict on the scenarios of standard input is one of those that fail; prints them."""
    from openassay import scenario
    from openassay.records import to_json

    if not jsonl:
        verdict = scenario.judge([scenario.read(sys.stdin.buffer.read(), "standard input")], look_often=sequential)[0]
        print(to_json(verdict, ascii_only=True))
        _write_junit(junit, [verdict], failing)
        return _fails(verdict, failing)
    failed, kept = False, []
    for line in scenario.judge_lines(sys.stdin.buffer, look_often=sequential):
        print(line)
        if failing or junit:
            verdict = json.loads(line)
            failed |= _fails(verdict, failing)
            kept += [verdict] if junit else []
    _write_junit(junit, kept, failing)
    return failed


def _write_junit(path: Path | None, verdicts: list[dict[str, Any]], failing: frozenset[str]) -> None:
    from openassay.records import write_text
    from openassay.report.exchange import case_of, to_junit

    if path:
        cases = [
            case_of(of, number, failing or frozenset({"not_reproduced"})) for number, of in enumerate(verdicts, start=1)
        ]
        write_text(path, to_junit("openassay judge", cases))


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _verdicts(text: str) -> frozenset[str]:
    """The verdicts and reasons that --fail-on names."""
    from openassay.core.verdict_records import Why

    known = {"reproduced", "not_reproduced", "inconclusive", *get_args(Why)}
    names = [name.lower().replace("-", "_") for name in _words(text)]
    if unknown := [name for name in names if name not in known]:
        raise BadInput(f"judge: --fail-on: {unknown[0]!r} is not a verdict; there are: {', '.join(sorted(known))}")
    return frozenset(names)


def _fails(verdict: dict[str, Any], failing: frozenset[str]) -> bool:
    return bool(failing & {verdict["verdict"], verdict["why"]})
