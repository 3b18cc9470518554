"""Do the published metrics agree with each other, and can they be? Evaluation files, tables, digests and lists of addresses."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

from openassay.checks.check import Agreement, Contradiction, Seen
from openassay.checks.release import Hashed, PublishedFiles, PublishedTable, Row, step_of, tables_of
from openassay.checks.scalars import number
from openassay.core.types import Excerpt


@dataclass(frozen=True)
class Result:
    """One published number."""

    model: str
    step: int | None
    task: str
    metric: str
    value: float | None
    """None where the file gives no finite number."""
    shots: str
    evidence: Excerpt

    @property
    def same_question(self) -> tuple[str, int | None, str, str, str]:
        """What must give one answer."""
        return (self.model.lower(), self.step, self.task, self.metric, self.shots)


@dataclass(frozen=True)
class Sheet:
    """The results of one file for one model at one step."""

    path: str
    model: str
    step: int | None
    shots: str
    results: tuple[Result, ...]


def sheets(release: PublishedFiles) -> list[Sheet]:
    """Evaluation files of the lm-evaluation-harness' form (`results: {task: {metric: value}}`), and tables of long form."""
    if "sheets" in release.derived:
        return list(release.derived["sheets"])
    found: list[Sheet] = []
    for config in release.configs:
        document = config.document
        if config.format == "json" and isinstance(document, dict) and isinstance(document.get("results"), dict):
            sheet = _sheet(config.path, document)
            if sheet is not None:
                found.append(sheet)
    for table in release.tables:
        found.extend(_long_table(table))
    release.derived["sheets"] = tuple(found)
    return found


def _sheet(path: str, document: dict[str, Any]) -> Sheet | None:
    settings = document.get("config") if isinstance(document.get("config"), dict) else {}
    assert isinstance(settings, dict)  # noqa: S101
    arguments = settings.get("model_args")
    named: dict[str, Any] = {}
    if isinstance(arguments, str):
        named = dict(part.split("=", 1) for part in arguments.split(",") if "=" in part)
    elif isinstance(arguments, dict):
        named = arguments
    # The kind of a model (`hf`, `neox`) does not say which one it is.
    model = str(named.get("pretrained") or document.get("model_name") or "")
    revision = str(named.get("revision") or "")
    if not model:
        return None
    step = step_of(revision)
    shots = json_word(settings.get("num_fewshot"))
    per_task = document.get("n-shot") if isinstance(document.get("n-shot"), dict) else {}
    assert isinstance(per_task, dict)  # noqa: S101
    setup = (
        shots,
        json_word(settings.get("limit")),
        json_word(settings.get("batch_size")),
        json_word(
            sorted(
                (k, str(v))
                for k, v in named.items()
                if k not in {"pretrained", "revision", "use_accelerate", "device", "parallelize"}
            )
        ),
    )
    results = []
    for task, metrics in document["results"].items():
        if not isinstance(metrics, dict):
            continue
        for metric, value in metrics.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                continue
            finite = float(value) if math.isfinite(value) else None
            at = Excerpt(path=path, line=None, key=f"results.{task}.{metric}", value=repr(value))
            own = json_word(per_task.get(task, shots))
            results.append(
                Result(f"{model}@{revision}", step, str(task), str(metric), finite, own + str(setup[1:]), at)
            )
    return Sheet(path, model, step, str(setup), tuple(results)) if results else None


def json_word(value: Any) -> str:
    """A setting as a short word."""
    return "" if value is None else str(value)[:200]


def _long_table(table: PublishedTable) -> Iterator[Sheet]:
    model, task, metric, value = (
        table.column(*names)
        for names in (("model", "model_name"), ("task", "dataset", "benchmark"), ("metric",), ("value", "score"))
    )
    if model is None or task is None or value is None:
        return
    step = table.column("step", "revision")
    others = [i for i in range(len(table.columns)) if i not in {model, task, metric, value, step}]
    groups: dict[tuple[str, int | None], list[Result]] = defaultdict(list)
    for row in table.rows:
        at = step_of(row.cells[step]) if step is not None else None
        if step is not None and at is None and (given := number(row.cells[step])) is not None:
            at = int(given)
        name = row.cells[model].strip()
        rest = "|".join(row.cells[i] for i in others)
        groups[name, at].append(
            Result(
                f"{name}@table",
                at,
                row.cells[task].strip(),
                row.cells[metric].strip() if metric is not None else "",
                number(row.cells[value]),
                rest,
                table.seen(row, value),
            )
        )
    for (name, at), results in groups.items():
        yield Sheet(table.path, name, at, "", tuple(results))


_UNIT = re.compile(
    r"(?i)^(acc|acc_norm|accuracy|exact_match|em|mc1|mc2|auc|auroc|roc_auc|precision|recall|pct_stereotype|pass@?\d*|accuracy_\w+)(,[\w-]+)?$"
)
_PERPLEXITY = re.compile(r"(?i)^(\w*_)?(ppl|perplexity)(,[\w-]+)?$")


class MetricOutOfRange:
    """{path}: {task} {metric} is {value}, which {why}"""

    kind = "metric_out_of_range"
    needs = "published results in files or tables"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """Shares above one, perplexities below one, errors that are negative, zero or no number."""
        for sheet in sheets(release):
            shares = [r.value for r in sheet.results if _UNIT.match(r.metric) and r.value is not None]
            fractions = len(shares) >= 5 and sum(0 <= value <= 1 for value in shares) >= 0.8 * len(shares)
            by_place = {(r.task, r.metric): r.value for r in sheet.results}
            wrong = False
            for result in sheet.results:
                why = self._why(result, by_place, fractions=fractions)
                if why:
                    wrong = True
                    values = {
                        "path": sheet.path,
                        "task": result.task,
                        "metric": result.metric,
                        "value": result.evidence.value,
                        "why": why,
                    }
                    yield Contradiction(values, (result.evidence,))
            if not wrong:
                yield Agreement(
                    (
                        Excerpt(
                            path=sheet.path,
                            line=None,
                            key=sheet.model,
                            value=f"{len(sheet.results)} numbers in their ranges",
                        ),
                    )
                )

    def _why(self, result: Result, by_place: dict[tuple[str, str], float | None], *, fractions: bool) -> str:
        value = result.value
        plain = result.metric.partition(",")[0]
        error = plain.endswith("_stderr") or plain == "stderr"
        if value is None:
            return "is no finite number"
        if error:
            if value < 0:
                return "is a negative error"
            base = result.metric.replace("_stderr", "", 1)
            centre = by_place.get((result.task, base))
            if value == 0 and _UNIT.match(base) and centre is not None and 0 < centre < 1:
                return f"cannot be the error of {centre:g}"
            return ""
        if _UNIT.match(result.metric):
            if value < 0:
                return "no share can be"
            if value > 100:
                return "no share can be, not even in per cent"
            if value > 1 and fractions:
                return "is more than one, in a file whose other shares are fractions"
        if _PERPLEXITY.match(result.metric) and value < 1:
            return "no perplexity can be"
        return ""


class ResultsDisagree:
    """{task} {metric} of {model} is {first} here and {second} there"""

    kind = "results_disagree"
    needs = "the same model, task and metric in two places"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """Same model, step, task, metric and settings: one value."""
        seen: dict[tuple[object, ...], Result] = {}
        known = sheets(release)
        for sheet in known:
            for result in sheet.results:
                first = seen.setdefault(result.same_question, result)
                if first is result or (
                    first.evidence.path == result.evidence.path
                    and first.evidence.key == result.evidence.key
                    and first.evidence.line == result.evidence.line
                ):
                    continue
                if ("baseline" in first.evidence.path.lower()) != ("baseline" in result.evidence.path.lower()):
                    continue
                if first.value == result.value or _near(first, result):
                    yield Agreement((first.evidence, result.evidence))
                elif result.metric.endswith("stderr") or first.metric.partition(",")[0].endswith("_stderr"):
                    continue  # bootstrapped
                else:
                    values = {
                        "task": result.task,
                        "metric": result.metric,
                        "model": result.model.partition("@table")[0],
                        "first": first.evidence.value,
                        "second": result.evidence.value,
                    }
                    yield Contradiction(values, (first.evidence, result.evidence))
        yield from self._tables_against_files(known)
        yield from self._tables_of_documents(release, known)

    def _tables_against_files(self, known: list[Sheet]) -> Iterator[Seen]:
        """A long table against result files: wrong where files answer the same question, and none gives the value."""
        given: dict[tuple[object, ...], list[Result]] = defaultdict(list)
        for sheet in known:
            if not sheet.results[0].model.endswith("@table"):
                for result in sheet.results:
                    given[_own_words(sheet.model), sheet.step, result.task, result.metric].append(result)
        for sheet in known:
            if not sheet.results[0].model.endswith("@table"):
                continue
            for result in sheet.results:
                of = given.get((_own_words(sheet.model), sheet.step, result.task, result.metric), [])
                if not of or result.metric.partition(",")[0].endswith("_stderr"):
                    continue
                fitting = next((r for r in of if _near(r, result)), None)
                if fitting is not None:
                    yield Agreement((result.evidence, fitting.evidence))
                else:
                    values = {
                        "task": result.task, "metric": result.metric, "model": f"{sheet.model} step {sheet.step}",
                        "first": result.evidence.value, "second": ", ".join(r.evidence.value for r in of[:3]),
                    }  # fmt: skip
                    yield Contradiction(values, (result.evidence, *(r.evidence for r in of[:3])))

    def _tables_of_documents(self, release: PublishedFiles, known: list[Sheet]) -> Iterator[Seen]:
        """A README's table of models and tasks against the files: only a cell that no metric of that task gives is wrong."""
        last: dict[str, Sheet] = {}
        for sheet in known:
            name = sheet.model.rpartition("/")[2].lower()
            if name not in last or (sheet.step or 0) > (last[name].step or 0):
                last[name] = sheet
        for text in release.texts:
            if not text.path.rpartition("/")[2].lower().startswith(("readme", "model_card", "modelcard")):
                continue
            for table in tables_of(text):
                for row in table.rows:
                    sheet_of = last.get(
                        re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", row.cells[0]).strip("*` ").rpartition("/")[2].lower()
                    )
                    if sheet_of is None:
                        continue
                    for i, column in enumerate(table.columns[1:], 1):
                        yield from self._cell(table, row, i, column, sheet_of)

    def _cell(self, table: PublishedTable, row: Row, i: int, column: str, sheet: Sheet) -> Iterator[Seen]:
        of = [
            r
            for r in sheet.results
            if r.task.lower() == column.strip("*` ").lower() and not r.metric.partition(",")[0].endswith("stderr")
        ]
        written = row.cells[i].strip("*` %")
        value = number(written)
        if not of or value is None:
            return
        slack = 0.51 * 10.0 ** -len(written.partition(".")[2])
        fits = [
            r
            for r in of
            if r.value is not None and (abs(r.value - value) <= slack or abs(100 * r.value - value) <= slack)
        ]
        if fits:
            yield Agreement((table.seen(row, i), fits[0].evidence))
        elif all(r.value is not None for r in of):
            values = {
                "task": of[0].task,
                "metric": " or ".join(r.metric for r in of),
                "model": sheet.model,
                "first": written,
                "second": ", ".join(f"{r.value:.4g}" for r in of if r.value is not None),
            }
            yield Contradiction(values, (table.seen(row, i), *(r.evidence for r in of)))


def _near(first: Result, second: Result) -> bool:
    """Equal as far as the shorter one's digits go."""
    if first.value is None or second.value is None:
        return first.value is second.value
    digits = min(len(r.evidence.value.partition(".")[2]) for r in (first, second))
    return abs(first.value - second.value) <= 0.51 * 10.0**-digits or abs(first.value - second.value) <= 1e-12 * abs(
        first.value
    )


class EqualResultsOfUnequalSteps:
    """{first} and {second} have equal results on all {count} numbers, though they are different checkpoints"""

    kind = "equal_results_of_unequal_checkpoints"
    needs = "results of several checkpoints"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """Two trained states do not agree in every digit of many tasks. Steps 0 and 1 may: the first update often has rate 0."""
        groups: dict[tuple[object, ...], list[Sheet]] = defaultdict(list)
        for sheet in sheets(release):
            values = tuple(sorted((r.task, r.metric, r.value) for r in sheet.results if r.value is not None))
            if len(values) >= 10 and len({value for *_, value in values}) >= 8:
                groups[values].append(sheet)
        for numbers, of in groups.items():
            first = of[0]
            other = next((sheet for sheet in of[1:] if self._different(first, sheet)), None)
            if other is None:
                yield Agreement(
                    tuple(
                        Excerpt(path=s.path, line=None, key=f"{s.model} step {s.step}", value=f"{len(numbers)} numbers")
                        for s in of[:2]
                    )
                )
                continue
            names = {f"{s.model} step {s.step}": s for s in (first, other)}
            yield Contradiction(
                {"first": next(iter(names)), "second": list(names)[-1], "count": len(numbers)},
                tuple(
                    Excerpt(path=s.path, line=None, key=name, value=f"{len(numbers)} numbers, all equal")
                    for name, s in names.items()
                ),
            )

    def _different(self, one: Sheet, two: Sheet) -> bool:
        if one.step is None or two.step is None:
            return False
        if max(one.step, two.step) <= 1:
            return False  # one initialisation may serve several models
        return one.step != two.step or _own_words(one.model) != _own_words(two.model)


def _own_words(model: str) -> frozenset[str]:
    """A model's name without its owner and its versions: one model may be listed under an old and a new name."""
    words = re.split(r"[-_ ]", model.rstrip("/").rpartition("/")[2].lower())
    return frozenset(word for word in words if not re.fullmatch(r"v\d[\w.]*|hf|base|final|main|new|old|release", word))


class UnequalResultsOfEqualSteps:
    """{model}: step 0 and step 1 differ in {metric} ({first} and {second}), though {why}"""

    kind = "unequal_results_of_equal_checkpoints"
    needs = (
        "results of steps 0 and 1, and a GPT-NeoX schedule, whose first update has learning rate 0, or two other models of the "
        "suite whose results are equal at both"
    )

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """With learning rate 0 the weights stay, and so must every result."""
        by_model: dict[tuple[str, str], dict[int, Sheet]] = defaultdict(dict)
        for sheet in sheets(release):
            if sheet.step in {0, 1}:
                by_model[sheet.model, sheet.shots][sheet.step] = sheet
        pairs = {key: (steps[0], steps[1]) for key, steps in by_model.items() if len(steps) == 2}
        differ = {key: self._difference(*pair) for key, pair in pairs.items()}
        equal = [key for key, difference in differ.items() if difference is None]
        for key, (zero, one) in pairs.items():
            difference = differ[key]
            if difference is None:
                seen = [(sheet, f"{len(sheet.results)} numbers, equal at both steps") for sheet in (zero, one)]
                yield Agreement(tuple(Excerpt(path=s.path, line=None, key=f"step {s.step}", value=v) for s, v in seen))
                continue
            why, evidence = self._reason(
                release, key, [pairs[other][1] for other in equal if _owner(other) == _owner(key)]
            )
            if evidence is not None:
                a, b = difference
                values = {
                    "model": key[0], "metric": f"{a.task} {a.metric}", "first": a.evidence.value, "second": b.evidence.value,
                    "why": why,
                }  # fmt: skip
                yield Contradiction(values, (a.evidence, b.evidence, evidence))

    def _difference(self, zero: Sheet, one: Sheet) -> tuple[Result, Result] | None:
        ones = {(r.task, r.metric): r for r in one.results}
        both = ((r, ones[r.task, r.metric]) for r in zero.results if (r.task, r.metric) in ones)
        return next(((a, b) for a, b in both if a.value != b.value), None)

    def _reason(self, release: PublishedFiles, key: tuple[str, str], others: list[Sheet]) -> tuple[str, Excerpt | None]:
        """Why the two must be equal: the model's own schedule, or at least two other models of the suite."""
        words = _own_words(key[0])
        for config in release.configs:
            warmup = config.by_key.get("warmup")
            if "train-iters" not in config.by_key or warmup is None or _own_words(config.name) != words:
                continue
            if isinstance(warmup.value, (int, float)) and warmup.value > 0:
                return "the first update's learning rate is 0", warmup.seen()
        models = {sheet.model for sheet in others}
        if len(models) < 2:
            return "", None
        at = Excerpt(
            path=others[0].path,
            line=None,
            key="step 1",
            value=f"equal to step 0 in all {len(others[0].results)} numbers",
        )
        return f"{len(models)} other models of the suite are equal at both steps", at


def _owner(key: tuple[str, str]) -> tuple[str, str]:
    """The suite: a model's owner and the first word of its name."""
    owner, _, name = key[0].rpartition("/")
    return owner, re.split(r"[-_]", name)[0].lower()


EMPTY = {
    "d41d8cd98f00b204e9800998ecf8427e",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
}
"""Digests of nothing."""


class DigestMalformed:
    """{path}: the digest of {name} has {length} characters where the others have {usual}"""

    kind = "digest_malformed"
    needs = "a list of digests"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """One list, one kind of digest."""
        for hashes in release.hashes:
            usual, count = Counter(len(hashed.digest) for hashed in hashes).most_common(1)[0]
            odd = [hashed for hashed in hashes if len(hashed.digest) != usual] if count > 0.5 * len(hashes) else []
            example = next(hashed for hashed in hashes if len(hashed.digest) == usual)
            for hashed in odd:
                values = {"path": hashed.path, "name": hashed.name, "length": len(hashed.digest), "usual": usual}
                yield Contradiction(values, (hashed.seen(), example.seen()))
            if not odd:
                yield Agreement(
                    (
                        Excerpt(
                            path=hashes[0].path, line=None, key="", value=f"{len(hashes)} digests of {usual} characters"
                        ),
                    )
                )


class DigestTwice:
    """{path}: {first} and {second} have one digest"""

    kind = "digest_twice"
    needs = "a list of digests of numbered files"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """Files of one numbered series, or checkpoints of different steps, hold different things."""
        for hashes in release.hashes:
            by_digest: dict[str, list[Hashed]] = defaultdict(list)
            names: dict[str, Hashed] = {}
            wrong = False
            for hashed in hashes:
                if hashed.digest.lower() not in EMPTY:
                    by_digest[hashed.digest.lower()].append(hashed)
                other = names.setdefault(hashed.name, hashed)
                if other.digest.lower() != hashed.digest.lower():
                    wrong = True
                    values = {
                        "path": hashed.path,
                        "first": f"{hashed.name} (line {other.line})",
                        "second": f"line {hashed.line}, which is the same name, cannot",
                    }
                    yield Contradiction(values, (other.seen(), hashed.seen()))
            for of in by_digest.values():
                for one, two in pairwise(of):
                    if one.name != two.name and _series(one.name) == _series(two.name):
                        wrong = True
                        yield Contradiction(
                            {"path": one.path, "first": one.name, "second": two.name}, (one.seen(), two.seen())
                        )
            if not wrong:
                yield Agreement(
                    (
                        Excerpt(
                            path=hashes[0].path,
                            line=None,
                            key="",
                            value=f"{len(hashes)} names, {len(by_digest)} different digests",
                        ),
                    )
                )
        yield from self._tables(release)

    def _tables(self, release: PublishedFiles) -> Iterator[Seen]:
        """A table of steps and digests."""
        for table in release.tables:
            step, digest = (
                table.column("step", "revision", "branch", "checkpoint"),
                table.column("sha256", "digest", "hash", "blob", "etag", "md5", "oid"),
            )
            if step is None or digest is None:
                continue
            first: dict[str, Row] = {}
            wrong = False
            for row in table.rows:
                found = row.cells[digest].strip().lower()
                if len(found) < 24 or found in EMPTY:
                    continue
                other = first.setdefault(found, row)
                if other is row or other.cells[step].strip() == row.cells[step].strip():
                    continue
                keys = [i for i in range(len(table.columns)) if i not in {step, digest}]
                steps = [
                    step_of(r.cells[step]) if step_of(r.cells[step]) is not None else number(r.cells[step])
                    for r in (other, row)
                ]
                if (
                    any(
                        other.cells[i] != row.cells[i]
                        for i in keys
                        if table.columns[i].lower() in {"file", "filename", "path", "shard", "model"}
                    )
                    or None in steps
                    or max(s for s in steps if s is not None) <= 1
                ):
                    continue
                wrong = True
                values = {
                    "path": table.path,
                    "first": f"step {other.cells[step].strip()}",
                    "second": f"step {row.cells[step].strip()}",
                }
                yield Contradiction(values, (table.seen(other, digest), table.seen(row, digest)))
            if first and not wrong:
                yield Agreement(
                    (
                        Excerpt(
                            path=table.path,
                            line=None,
                            key=table.columns[digest],
                            value=f"{len(first)} different digests",
                        ),
                    )
                )


def _series(name: str) -> str:
    """A name without its numbers, if it has any; else itself."""
    return re.sub(r"\d+", "#", name)


_SHARD = re.compile(r"^(?P<head>.*?)(?P<number>\d{2,6})-of-(?P<last>\d{2,6})(?P<tail>.*)$")


class ShardMissing:
    """{where}: {missing} is missing between {first} and {last}{stated}"""

    kind = "shard_missing"
    needs = "files or list entries named NUMBER-of-NUMBER"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """A series must be whole. Only lists and folders that hold some of a series are asked."""
        series: dict[tuple[str, str, str, str], dict[int, Excerpt]] = defaultdict(dict)
        for hashes in release.hashes:
            for hashed in hashes:
                self._keep(series, hashed.path, hashed.name, hashed.seen())
        for config in release.configs:
            if (
                config.path.endswith(".index.json")
                and isinstance(config.document, dict)
                and isinstance(config.document.get("weight_map"), dict)
            ):
                for name in dict.fromkeys(str(v) for v in config.document["weight_map"].values()):
                    self._keep(
                        series, config.path, name, Excerpt(path=config.path, line=None, key="weight_map", value=name)
                    )
        for file in release.files:
            self._keep(series, "", file.path, Excerpt(path=file.path, line=None, key="", value="present"))
        for (where, head, last, tail), of in series.items():
            if len(of) < 2:
                continue
            lowest, highest = min(of), max(of)
            width = len(last)
            # n-of-N counts from 1 to N, from 0 to N - 1, or (as some do) from 0 to N
            end = int(last) if lowest == 1 or highest == int(last) else int(last) - 1
            missing = [n for n in range(min(lowest, 1), max(end, highest) + 1) if n not in of]
            if len(missing) > max(10, len(of)):
                continue  # a sample of a series
            name = f"{head}{{}}-of-{last}{tail}"
            if missing:
                values = {
                    "where": where or "the release's files",
                    "missing": ", ".join(name.format(str(n).zfill(width)) for n in missing[:3])
                    + (f" and {len(missing) - 3} more" if len(missing) > 3 else ""),
                    "first": str(min(lowest, 1)).zfill(width),
                    "last": str(end).zfill(width),
                    "stated": "",
                }
                yield Contradiction(values, (of[lowest], of[highest]))
            else:
                yield Agreement((of[lowest], of[highest]))

    def _keep(
        self, series: dict[tuple[str, str, str, str], dict[int, Excerpt]], where: str, name: str, seen: Excerpt
    ) -> None:
        if found := _SHARD.match(name):
            series[where, found["head"], found["last"], found["tail"]].setdefault(int(found["number"]), seen)


class IndexNamesAbsentFile:
    """{path} names {name}, which is not in its folder, though {present} is"""

    kind = "index_names_absent_file"
    needs = "a weights' index with at least one of the files that it names"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """`*.index.json` against the files beside it."""
        for config in release.configs:
            if not config.path.endswith(".index.json") or not isinstance(config.document, dict):
                continue
            weight_map = config.document.get("weight_map")
            if not isinstance(weight_map, dict):
                continue
            prefix = f"{config.folder}/" if config.folder else ""
            names = list(dict.fromkeys(str(name) for name in weight_map.values()))
            present = [name for name in names if prefix + name in release.by_path]
            for name in names:
                if present and name not in present:
                    seen = Excerpt(path=config.path, line=None, key="weight_map", value=name)
                    yield Contradiction(
                        {"path": config.path, "name": name, "present": present[0]},
                        (seen, Excerpt(path=prefix + present[0], line=None, key="", value="present")),
                    )
            if present and len(present) == len(names):
                yield Agreement(
                    (Excerpt(path=config.path, line=None, key="weight_map", value=f"{len(names)} files, all there"),)
                )


_URL = re.compile(r"https?://\S+|s3://\S+|gs://\S+")


def _url_column(table: PublishedTable) -> int | None:
    for i in range(len(table.columns)):
        cells = [row.cells[i].strip() for row in table.rows[:50]]
        if cells and sum(bool(_URL.fullmatch(cell)) for cell in cells) >= 0.9 * len(cells):
            return i
    return None


class AddressTwice:
    """{path}: line {first} and line {second} give one address, {url}"""

    kind = "address_twice"
    needs = "a table with a column of addresses"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """A list of checkpoints or data files names each once."""
        for table in release.tables:
            column = _url_column(table)
            if column is None:
                continue
            first: dict[str, Row] = {}
            wrong = False
            for row in table.rows:
                url = row.cells[column].strip()
                other = first.setdefault(url, row)
                if other is not row:
                    wrong = True
                    yield Contradiction(
                        {"path": table.path, "first": other.line, "second": row.line, "url": url},
                        (table.seen(other, column), table.seen(row, column)),
                    )
            if first and not wrong:
                yield Agreement(
                    (
                        Excerpt(
                            path=table.path,
                            line=None,
                            key=table.columns[column],
                            value=f"{len(first)} addresses, all different",
                        ),
                    )
                )


class StepTwice:
    """{path}: step {step} stands twice, with {first} and {second}"""

    kind = "step_twice"
    needs = "a table of steps and addresses"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """One step, one checkpoint; where steps begin anew, the list is of several trainings and is not asked."""
        for table, step, column in _step_tables(release):
            if not _one_training(table, step):
                continue
            first: dict[str, Row] = {}
            wrong = False
            for row in table.rows:
                other = first.setdefault(row.cells[step].strip(), row)
                if other is not row and other.cells[column] != row.cells[column]:
                    wrong = True
                    values = {
                        "path": table.path,
                        "step": row.cells[step].strip(),
                        "first": other.cells[column].strip(),
                        "second": row.cells[column].strip(),
                    }
                    yield Contradiction(values, (table.seen(other), table.seen(row)))
            if first and not wrong:
                yield Agreement(
                    (
                        Excerpt(
                            path=table.path, line=None, key=table.columns[step], value=f"{len(first)} different steps"
                        ),
                    )
                )


class StepAgainstAddress:
    """{path}: step {step} is listed with the address {url}"""

    kind = "step_against_address"
    needs = "a table of steps and addresses that hold the step"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """The step in the address is the step beside it."""
        for table, step, column in _step_tables(release):
            right = 0
            for row in table.rows:
                given = number(row.cells[step])
                named = [
                    n for part in PurePosixPath(row.cells[column].strip()).parts if (n := step_of(part)) is not None
                ]
                if given is None or not named:
                    continue
                if int(given) not in named:
                    yield Contradiction(
                        {"path": table.path, "step": row.cells[step].strip(), "url": row.cells[column].strip()},
                        (table.seen(row, step), table.seen(row, column)),
                    )
                else:
                    right += 1
            if right:
                yield Agreement(
                    (
                        Excerpt(
                            path=table.path,
                            line=None,
                            key=table.columns[column],
                            value=f"{right} addresses name their row's step",
                        ),
                    )
                )


class ListHasGaps:
    """{path}: {usual} of {all} rows follow each other after {modal} steps, but {count} gaps are longer; the longest is from
    {first} to {second}{claim}"""

    kind = "checkpoint_list_has_gaps"
    needs = "a table of at least 10 steps, most of them at one distance"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """Distances between neighbouring steps against the usual one."""
        for table, step, _ in _step_tables(release):
            if not _one_training(table, step):
                continue
            rows = sorted(
                ((int(n), row) for row in table.rows if (n := number(row.cells[step])) is not None),
                key=lambda pair: pair[0],
            )
            if len(rows) < 10:
                continue
            distances = Counter(b - a for (a, _), (b, _) in pairwise(rows) if b > a)
            modal, usual = distances.most_common(1)[0]
            if usual < 0.5 * (len(rows) - 1):
                continue
            gaps = [(b - a, one, two) for (a, one), (b, two) in pairwise(rows) if b - a > modal]
            if not gaps:
                yield Agreement(
                    (
                        Excerpt(
                            path=table.path,
                            line=None,
                            key=table.columns[step],
                            value=f"{len(rows)} rows, none farther apart than {modal}",
                        ),
                    )
                )
                continue
            _, one, two = max(gaps, key=lambda gap: gap[0])
            claims = _cadence_claims(release, table, modal, max(gap[0] for gap in gaps))
            values = {
                "path": table.path,
                "usual": usual,
                "all": len(rows) - 1,
                "modal": modal,
                "count": len(gaps),
                "first": one.cells[step].strip(),
                "second": two.cells[step].strip(),
                "claim": f", though {claims[0].path} says {claims[0].value!r}" if claims else "",
            }
            yield Contradiction(values, (table.seen(one, step), table.seen(two, step), *claims[:1]))


def _cadence_claims(release: PublishedFiles, table: PublishedTable, modal: int, longest: int) -> list[Excerpt]:
    """Sentences such as `at minimum every 1000 steps` near a mention of the list."""
    found = []
    for text in release.texts:
        names_it = table.path.rpartition("/")[2] in "\n".join(text.lines)
        for line, words in text.prose:
            claim = re.search(r"every\s+([\d,]+)\s+(?:\w+\s+)?steps", words)
            every = number(claim.group(1)) if claim else None
            if claim and every is not None and modal <= every < longest and names_it:
                found.append(text.seen(line))
    return found


def _one_training(table: PublishedTable, step: int) -> bool:
    steps = [number(row.cells[step]) or 0 for row in table.rows]
    return steps == sorted(steps)


def _step_tables(release: PublishedFiles) -> Iterator[tuple[PublishedTable, int, int]]:
    for table in release.tables:
        step, column = table.column("step", "steps", "training step", "global_step"), _url_column(table)
        if step is not None and column is not None and step != column and table.rows:
            steps = [number(row.cells[step]) for row in table.rows]
            known = [n for n in steps if n is not None]
            # Steps that begin anew are those of several trainings in one list.
            if len(known) == len(steps):
                yield table, step, column
