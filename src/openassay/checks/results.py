"""Published metrics against their ranges and each other: evaluation files, long tables, tables of READMEs."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from openassay.checks.check import Agreement, Contradiction, Noted, Seen, check, compared
from openassay.core.findings import Excerpt
from openassay.published.files import PublishedFiles, PublishedTable, Row, derived_once, excerpt, step_of
from openassay.published.scalars import as_number, is_integer, number
from openassay.published.tables import tables_of


@dataclass(frozen=True)
class Result:
    """One published number."""

    task: str
    metric: str
    value: float | None
    """None where the file gives no finite number."""
    shots: str
    evidence: Excerpt
    count: int | None = None
    """Items that it was measured on, where the file says so."""
    is_grouped: bool = False
    """Whether it is the mean of several tasks."""

    @property
    def base(self) -> str:
        """The metric without the filter that the evaluation harness adds after a comma."""
        return self.metric.partition(",")[0]

    def seen(self) -> Excerpt:
        """This number, to be cited."""
        return self.evidence


@dataclass(frozen=True)
class Sheet:
    """The results of one file for one model at one step."""

    path: str
    model: str
    revision: str | None
    """None for the rows of a table in long form."""
    step: int | None
    shots: str
    results: list[Result]

    @property
    def label(self) -> str:
        """Model and step."""
        return f"{self.model} step {self.step}"

    def seen(self, key: str, value: str) -> Excerpt:
        """This file, to be cited."""
        return excerpt(self.path, key, value)


@derived_once
def sheets(release: PublishedFiles) -> list[Sheet]:
    """Evaluation files (the lm-evaluation-harness' `results: {task: {metric: value}}`, and llm-foundry's, which DCLM and open_lm
    write), and tables of long form."""
    documents = [(config.path, _mapping(config.document)) for config in release.configs if config.format == "json"]
    found = [sheet for path, document in documents for sheet in (*_sheet(path, document), *_scores(path, document))]
    return found + [sheet for table in release.tables for sheet in _long_table(table)]


_NO_SETTING = {"pretrained", "revision", "use_accelerate", "device", "parallelize"}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _sheet(path: str, document: dict[str, Any]) -> Iterator[Sheet]:
    settings, measured = _mapping(document.get("config")), document.get("results")
    arguments = settings.get("model_args")
    if isinstance(arguments, str):
        arguments = dict(part.split("=", 1) for part in arguments.split(",") if "=" in part)
    named = _mapping(arguments)
    # The kind of a model (`hf`, `neox`) does not say which one it is.
    model, revision = str(named.get("pretrained") or document.get("model_name") or ""), str(named.get("revision") or "")
    if not model or not isinstance(measured, dict):
        return
    counts = {task: _mapping(of).get("effective") for task, of in _mapping(document.get("n-samples")).items()}
    groups = {
        *_mapping(document.get("groups")),
        *(k for k, of in _mapping(document.get("group_subtasks")).items() if of),
    }
    own_shots, shots = _mapping(document.get("n-shot")), _short(settings.get("num_fewshot"))
    others = sorted((key, str(value)) for key, value in named.items() if key not in _NO_SETTING)
    setup = tuple(_short(value) for value in (settings.get("limit"), settings.get("batch_size"), others))
    results = []
    for task, metric, value in ((task, *pair) for task, of in measured.items() for pair in _mapping(of).items()):
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            at = excerpt(path, f"results.{task}.{metric}", repr(value))
            few = _short(own_shots.get(task, shots)) + str(setup)
            n = counts.get(task)
            count = n if is_integer(n) and n > 1 else None
            results.append(Result(task, metric, as_number(value), few, at, count, task in groups))
    if results:
        yield Sheet(path, model, revision, step_of(revision), str((shots, *setup)), results)


def _scores(path: str, document: dict[str, Any]) -> Iterator[Sheet]:
    """`eval_metrics: {icl: {task: score}}`, for the model that its identifier or else the file's name tells."""
    model = document.get("model_uuid") or path.rpartition("/")[2].removesuffix(".json")
    of = _mapping(_mapping(document.get("eval_metrics")).get("icl"))
    results = [
        Result(task, "accuracy", as_number(value), "", excerpt(path, f"eval_metrics.icl.{task}", repr(value)))
        for task, value in of.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
    if results and isinstance(model, str):
        yield Sheet(path, model, None, None, str(document.get("name")), results)


def _short(value: Any) -> str:
    return "" if value is None else str(value)[:200]


def _long_table(table: PublishedTable) -> Iterator[Sheet]:
    model, metric = table.column("model", "model_name"), table.column("metric")
    task, value = table.column("task", "dataset", "benchmark"), table.column("value", "score")
    if model is None or task is None or value is None:
        return
    step = table.column("step", "revision")
    others = [i for i in range(len(table.columns)) if i not in {model, task, metric, value, step}]
    groups: dict[tuple[str, int | None], list[Result]] = defaultdict(list)
    for row in table.rows:
        cells, at = row.cells, None
        if step is not None and (at := step_of(cells[step])) is None and (given := number(cells[step])) is not None:
            at = int(given)
        measured = cells[metric].strip() if metric is not None else ""
        shots = "|".join(cells[i] for i in others)
        result = Result(cells[task].strip(), measured, number(cells[value]), shots, table.seen(row, value))
        groups[cells[model].strip(), at].append(result)
    for (name, at), results in groups.items():
        yield Sheet(table.path, name, None, at, "", results)


_UNIT = re.compile(
    r"(?i)^(acc|acc_norm|accuracy|exact_match|em|mc1|mc2|auc|auroc|roc_auc|precision|recall|pct_stereotype|pass@?\d*|accuracy_\w+)(,[\w-]+)?$"
)
_PERPLEXITY = re.compile(r"(?i)^(\w*_)?(ppl|perplexity)(,[\w-]+)?$")


@check(needs="published results in files or tables")
def metric_out_of_range(release: PublishedFiles) -> Iterator[Seen]:
    """{path}: {result.task} {result.metric} is {result.evidence.value}, which {why}"""
    for sheet in sheets(release):
        shares = [r.value for r in sheet.results if _UNIT.match(r.metric) and r.value is not None]
        fractions = len(shares) >= 5 and sum(0 <= value <= 1 for value in shares) >= 0.8 * len(shares)
        by_place = {(r.task, r.metric): r.value for r in sheet.results}
        found = ((r, _out_of_range(r, by_place, fractions=fractions)) for r in sheet.results)
        wrong: list[Seen] = [Contradiction(r, path=sheet.path, result=r, why=why) for r, why in found if why]
        yield from wrong or [Agreement(sheet.seen(sheet.model, f"{len(sheet.results)} numbers in their ranges"))]


def _out_of_range(result: Result, by_place: dict[tuple[str, str], float | None], *, fractions: bool) -> str:
    """Why a result cannot be; empty where it can. `fractions`: the file's other shares lie between 0 and 1."""
    value = result.value
    if value is None:
        return "is not a finite number"
    if result.base.endswith("_stderr") or result.base == "stderr":
        if value < 0:
            return "is a negative error"
        base = result.metric.replace("_stderr", "", 1)
        centre = by_place.get((result.task, base))
        impossible = value == 0 and _UNIT.match(base) and centre is not None and 0 < centre < 1
        return f"cannot be the error of {centre:g}" if impossible else ""
    if _UNIT.match(result.metric):
        if value < 0:
            return "is impossible for a share"
        if value > 100:
            return "is impossible for a share, even in per cent"
        if value > 1 and fractions:
            return "is more than one, in a file whose other shares are fractions"
    return "is impossible for a perplexity" if _PERPLEXITY.match(result.metric) and value < 1 else ""


@check(needs="the same model, task and metric in two places")
def results_disagree(release: PublishedFiles) -> Iterator[Seen]:
    """{task} {metric} of {model} is {first} here and {second} there"""
    known = sheets(release)
    seen: dict[tuple[object, ...], Result] = {}
    for sheet, result in ((one, result) for one in known for result in one.results):
        model = f"{sheet.model}@{'table' if sheet.revision is None else sheet.revision}".lower()
        first = seen.setdefault((model, sheet.step, result.task, result.metric, result.shots), result)
        one, two = first.evidence, result.evidence
        if first is result or (one.path, one.key, one.line) == (two.path, two.key, two.line):
            continue
        if ("baseline" in one.path.lower()) != ("baseline" in two.path.lower()):
            continue
        is_same = first.value == result.value or _is_near(first, result) or _is_hundredfold(first, result)
        if is_same or not (result.metric.endswith("stderr") or result.base.endswith("_stderr")):  # bootstrapped
            name = sheet.model if sheet.revision is None else f"{sheet.model}@{sheet.revision}"
            yield _same((first, result), is_same, result, name, one.value, two.value)
    yield from _tables_against_files(known)
    yield from _tables_of_documents(release, known)


def _same(places: tuple[Result, ...], is_same: bool, of: Result, model: str, first: str, second: str) -> Seen:
    return compared(is_same, *places, task=of.task, metric=of.metric, model=model, first=first, second=second)


def _tables_against_files(known: list[Sheet]) -> Iterator[Seen]:
    """A long table against result files: wrong where files answer the same question, and none gives the value."""
    given: dict[tuple[object, ...], list[Result]] = defaultdict(list)
    asked: list[tuple[Sheet, Result, list[Result]]] = []
    for sheet, result in ((one, result) for one in known for result in one.results):
        of = given[_own_words(sheet.model), sheet.step, result.task, result.metric]
        if sheet.revision is not None:
            of.append(result)
        elif not result.base.endswith("_stderr"):
            asked.append((sheet, result, of))
    for sheet, result, of in asked:
        if of:
            fitting = next((r for r in of if _is_near(r, result) or _is_hundredfold(r, result)), None)
            places = (result, fitting) if fitting is not None else (result, *of[:3])
            second = ", ".join(place.evidence.value for place in places[1:])
            yield _same(places, fitting is not None, result, sheet.label, result.evidence.value, second)


def _tables_of_documents(release: PublishedFiles, known: list[Sheet]) -> Iterator[Seen]:
    """A README's table of models and tasks against the files: only a cell that no metric of that task gives is wrong."""
    last: dict[str, Sheet] = {}
    for sheet in sorted(known, key=lambda sheet: -(sheet.step or 0)):
        last.setdefault(sheet.model.rpartition("/")[2].lower(), sheet)
    for text in release.texts:
        if not text.name.lower().startswith(("readme", "model_card", "modelcard")):
            continue
        for table in tables_of(text):
            for row in table.rows:
                label = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", row.cells[0]).strip("*` ")
                if of := last.get(label.rpartition("/")[2].lower()):
                    for i in range(1, len(table.columns)):
                        yield from _cell(table, row, i, of)


def _cell(table: PublishedTable, row: Row, i: int, sheet: Sheet) -> Iterator[Seen]:
    task = table.columns[i].strip("*` ").lower()
    of = [r for r in sheet.results if r.task.lower() == task and not r.base.endswith("stderr")]
    written = row.cells[i].strip("*` %")
    value = number(written)
    if not of or value is None:
        return
    slack = 0.51 * 10.0 ** -len(written.partition(".")[2])
    finite = [(r, r.value) for r in of if r.value is not None]
    fitting = next((r for r, own in finite if abs(own - value) <= slack or abs(100 * own - value) <= slack), None)
    if fitting is not None:
        yield Agreement(table.seen(row, i), fitting)
    elif len(finite) == len(of):
        metrics, second = " or ".join(r.metric for r in of), ", ".join(f"{own:.4g}" for _, own in finite)
        values = {"task": of[0].task, "metric": metrics, "model": sheet.model, "first": written, "second": second}
        yield Contradiction(table.seen(row, i), *of, **values)


def _is_near(first: Result, second: Result) -> bool:
    """True if two results are equal as far as the shorter one's digits go."""
    if first.value is None or second.value is None:
        return first.value is second.value
    digits = min(len(r.evidence.value.partition(".")[2]) for r in (first, second))
    return abs(first.value - second.value) <= max(0.51 * 10.0**-digits, 1e-12 * abs(first.value))


def _is_hundredfold(one: Result, two: Result) -> bool:
    """True if one of two results is a share's fraction and the other the same in per cent, as far as their digits go."""
    if one.value is None or two.value is None or not _UNIT.match(one.metric):
        return False
    small, large = sorted((one, two), key=lambda r: r.value or 0.0)
    fraction, per_cent = small.value or 0.0, large.value or 0.0
    places = (small.evidence.value.partition(".")[2][2:], large.evidence.value.partition(".")[2])
    return 0 < fraction <= 1 < per_cent <= 100 and abs(100 * fraction - per_cent) <= 0.51 * 10.0 ** -min(
        map(len, places)
    )


@check(needs="the same model, task and metric in two places")
def fraction_and_per_cent(release: PublishedFiles) -> Iterator[Seen]:
    """{task} {metric} of {model} is {first} in one place and {second} in another: a fraction and per cent"""
    seen: dict[tuple[object, ...], list[Result]] = defaultdict(list)
    for sheet in sheets(release):
        for result in sheet.results:
            if not _UNIT.match(result.metric):
                continue
            of = seen[_own_words(sheet.model), sheet.step, result.task, result.metric]
            if other := next((one for one in of if _is_hundredfold(one, result)), None):
                values = {"first": other.evidence.value, "second": result.evidence.value}
                yield Noted(other, result, task=result.task, metric=result.metric, model=sheet.model, **values)
            elif of:
                yield Agreement(of[0], result)
            of.append(result)


_MEASURED = re.compile(
    r"(?i)^(\w*_)?(acc|acc_norm|accuracy|exact_match|em|f1|auc|auroc|roc_auc|precision|recall|mcc|bleu|rouge\w{0,3}|wer|cer"
    r"|loss|mse|rmse|mae|ppl|perplexity)(_stderr)?(,[\w-]+)?$"
)
_METRICS_FILE = re.compile(
    r"(?i)^((all|train|training|eval|evaluation|test|predict)[_-])?(results?|metrics|scores)\.json$"
)


@check(needs="files of metrics in JSON that give at least one as a number")
def number_as_text(release: PublishedFiles) -> Iterator[Seen]:
    """{path}: {key} is the text {text}, where {other} is a number"""
    for config in (config for config in release.configs if config.format == "json"):
        document = _mapping(config.document)
        if isinstance(document.get("results"), dict):
            measured = [
                (
                    f"results.{task}.{metric}",
                    metric,
                    value,
                    excerpt(config.path, f"results.{task}.{metric}", repr(value)),
                )
                for task, of in document["results"].items()
                for metric, value in _mapping(of).items()
            ]
        elif _METRICS_FILE.match(config.name):
            measured = [(value.key, value.leaf, value.value, value.seen()) for value in config.values]
        else:
            continue
        measured = [of for of in measured if _MEASURED.match(of[1])]
        numbers = [
            (key, at) for key, _, value, at in measured if not isinstance(value, str) and as_number(value) is not None
        ]
        texts = [
            (key, value, at) for key, _, value, at in measured if isinstance(value, str) and number(value) is not None
        ]
        for key, value, at in texts if numbers else ():
            yield Contradiction(
                at, numbers[0][1], path=config.path, key=key, text=json.dumps(value), other=numbers[0][0]
            )
        if numbers and not texts:
            yield Agreement(numbers[0][1])


@check(needs="results of several checkpoints")
def equal_results_of_unequal_checkpoints(release: PublishedFiles) -> Iterator[Seen]:
    """{first} and {second} have equal results on all {count} numbers, though they are different checkpoints"""
    # Two trained states do not agree in every digit of many tasks.
    groups: dict[tuple[object, ...], list[Sheet]] = defaultdict(list)
    for sheet in sheets(release):
        values = tuple(sorted((r.task, r.metric, r.value) for r in sheet.results if r.value is not None))
        if len(values) >= 10 and len({value for *_, value in values}) >= 8:
            groups[values].append(sheet)
    for numbers, of in groups.items():
        first, count = of[0], len(numbers)
        other = next((sheet for sheet in of[1:] if _are_different(first, sheet)), None)
        if other is None:
            yield Agreement(*(sheet.seen(sheet.label, f"{count} numbers") for sheet in of[:2]))
        else:
            seen = {s.label: s.seen(s.label, f"{count} numbers, all equal") for s in (first, other)}
            yield Contradiction(*seen.values(), first=first.label, second=other.label, count=count)


def _are_different(one: Sheet, two: Sheet) -> bool:
    """True for two checkpoints whose results must differ. Steps 0 and 1 may be equal: the first update often has rate 0."""
    if one.step is None or two.step is None or max(one.step, two.step) <= 1:
        return False  # one initialisation may serve several models
    return one.step != two.step or _own_words(one.model) != _own_words(two.model)


def _own_words(model: str) -> frozenset[str]:
    """A model's name without its owner and its versions: one model may be listed under an old and a new name."""
    words = re.split(r"[-_ ]", model.rstrip("/").rpartition("/")[2].lower())
    return frozenset(word for word in words if not re.fullmatch(r"v\d[\w.]*|hf|base|final|main|new|old|release", word))


@check(
    needs="results of steps 0 and 1, and a GPT-NeoX schedule, whose first update has learning rate 0, or two other models of the "
    "suite whose results are equal at both"
)
def unequal_results_of_equal_checkpoints(release: PublishedFiles) -> Iterator[Seen]:
    """{model}: step 0 and step 1 differ in {first.task} {first.metric} ({first.evidence.value} and {second.evidence.value}),
    though {why}"""
    # With learning rate 0 the weights stay, and so must every result.
    by_model: dict[tuple[str, str], dict[int, Sheet]] = defaultdict(dict)
    for sheet in sheets(release):
        if sheet.step in {0, 1}:
            by_model[sheet.model, sheet.shots][sheet.step] = sheet
    pairs = [(steps[0], steps[1]) for steps in by_model.values() if len(steps) == 2]
    equal = [one for zero, one in pairs if _difference(zero, one) is None]
    for zero, one in pairs:
        difference = _difference(zero, one)
        if difference is None:
            seen = (s.seen(f"step {s.step}", f"{len(s.results)} numbers, equal at both steps") for s in (zero, one))
            yield Agreement(*seen)
            continue
        suite = [other for other in equal if _suite(other.model) == _suite(one.model)]
        if reason := _reason(release, one.model, suite):
            (why, evidence), (first, second) = reason, difference
            yield Contradiction(first, second, evidence, model=one.model, first=first, second=second, why=why)


def _difference(zero: Sheet, one: Sheet) -> tuple[Result, Result] | None:
    ones = {(r.task, r.metric): r for r in one.results}
    both = ((r, ones[r.task, r.metric]) for r in zero.results if (r.task, r.metric) in ones)
    return next(((a, b) for a, b in both if a.value != b.value), None)


def _reason(release: PublishedFiles, model: str, others: list[Sheet]) -> tuple[str, Excerpt] | None:
    """Why the results must be equal: the model's own schedule, or at least two other models of the suite."""
    for config in release.configs:
        warmup = config.by_key.get("warmup")
        if "train-iters" not in config.by_key or warmup is None or _own_words(config.stem) != _own_words(model):
            continue
        if isinstance(warmup.value, (int, float)) and warmup.value > 0:
            return "the first update's learning rate is 0", warmup.seen()
    models = {sheet.model for sheet in others}
    if len(models) < 2:
        return None
    at = others[0].seen("step 1", f"equal to step 0 in all {len(others[0].results)} numbers")
    return f"{len(models)} other models of the suite are equal at both steps", at


def _suite(model: str) -> tuple[str, str]:
    """A model's owner and the first word of its name."""
    owner, _, name = model.rpartition("/")
    return owner, re.split(r"[-_]", name)[0].lower()
