"""Numbers that a release prints as results, and the lines of its code that print them again."""

from __future__ import annotations

import ast
import functools
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from openassay.draft.brought import RULE, shortened
from openassay.draft.commands import RunCandidate
from openassay.drivers.measures import MAX_PATTERN
from openassay.published.code_options import calls, last_name
from openassay.published.files import Code, PublishedFiles, Text
from openassay.published.tables import tables_of

MOST_TEXTS = 200
MOST_NUMBERS = 400
METRICS = {
    "loss": r"loss(?:es)?|nll|log-?prob", "accuracy": r"acc(?:uracy|uracies)?|top-?1|prec@1", "error": r"err(?:or)?(?: rate)?s?",
    "f1": r"f1(?:[ _-]?score)?", "perplexity": r"perplexit(?:y|ies)|ppl", "bleu": r"(?:sacre)?bleu",
    "rouge": r"rouge(?:-?[12l])?", "r2": r"r2|r\^2|r²|r-squared", "auc": r"(?:roc[ _-]?)?au(?:ro)?c",
    "rmse": "rmse", "mae": "mae", "mse": "mse",
    "iou": r"m?iou", "map": r"map(?=@|\b)", "bits": r"bpc|bpb|bits per (?:character|byte|dim)", "return": r"reward|returns?",
    "precision": "precision", "recall": "recall", "psnr": "psnr", "ssim": "ssim", "fid": "fid", "wer": "wer", "cer": "cer",
    "mrr": "mrr", "ndcg": "ndcg", "mape": "mape", "kappa": "kappa", "exact_match": "exact match|em",
}  # fmt: skip
"""Words for what is measured."""
_OF = {"val": "validation", "dev": "validation", "tes": "test", "tra": "training"}
_WORD = (
    r"(?<![A-Za-z])(?:(?P<of>train(?:ing)?|val(?:id|idation)?|test(?:ing)?|dev)(?:[ _-]+set)?[ _-]+)?"
    r"(?:average |mean |avg\.? )?(?:"
    + "|".join(f"(?P<{name}>{words})" for name, words in METRICS.items())
    + r")(?![A-Za-z])"
)
_NUMBER = (
    r"(?<![\w.,/-])(?P<value>-?\d{1,6}(?:\.\d{1,6})?)(?P<percent>\s?%|\spercent)?"
    r"(?!\w|[.,/]\d|\s*(?:M|B|K|k|GB|MB|ms|s|sec\w*|min\w*|hours?|epochs?|steps?|iter\w*|x|times|days?|points?)\b)"
)
_AFTER = re.compile(rf"(?i:{_WORD})(?:[^.\d\n|]|(?<![.\d])\d+(?=\s?[A-Za-z])){{0,40}}?{_NUMBER}")
_BEFORE = re.compile(rf"{_NUMBER}\s*(?:\w+\s+){{0,2}}?(?i:{_WORD})")
_NAMED = re.compile(rf"(?i:{_WORD})")
NUMBER = r"([-+]?[\d.]+(?:[eE][-+]?\d+)?)"
"""In a pattern: the number that is measured."""
_CELL = re.compile(rf"[*_`~ ]*{_NUMBER}[*_` ]*(?:\(?\s?(?:±|\+/-|\\pm|\().{{0,20}})?")
_OTHERS = re.compile(
    r"(?i)\b(papers?|published|report(ed|s)|original|official|baselines?|previous|prior|state[- ]of[- ]the[- ]art|sota|et al"
    r"|theirs?|authors'?|reference|target|compared (to|with)|literature|leaderboard|simply|naive\w*|chance|trivial|predicting"
    r"|random (guess\w*|baseline))\b|\[\d+\]\s*$"
)
"""Words of what another work has, not this release."""
_OURS = re.compile(r"(?i)\b(ours|this (repo\w*|impl\w*|work|code)|our (impl\w*|results?|code|model))\b")
_COMMON = {
    "python", "train", "main", "test", "data", "dataset", "model", "models", "run", "bash", "true", "false", "the", "and", "for",
    "with",
}  # fmt: skip
_ASIDE = re.compile(r"[\s*%]*\([^()\d]*\)")
_PAIR = re.compile(r"[`*% ]*/[`*% ]*\d")
_ROW = re.compile(r"\s*([-*+]|\d+[.)])\s|.*\|.*\|")
"""A line of a table, or of a list."""
_PRINTING = {"print", "info", "write", "log", "debug", "warning", "echo", "set_description"}
_PERCENT = re.compile(r"%[-+ #0]*\d*(?:\.\d+)?[sdifgeFGEr]")


@dataclass(frozen=True, kw_only=True)
class PrintedNumber:
    """A number beside a word for a metric, as a document prints it."""

    of: str
    """`validation`, `test`, `training`; empty where it does not say."""
    base: str
    value: float
    rounding: float
    percent: bool
    quote: str
    path: str
    line: int
    row: str = ""
    """In a table: the words of its row; numbers of one `table` share its first line."""
    table: int = 0
    printed: str = ""
    """In output that is shown: the line up to the number."""
    others: bool = False
    """Words about another work stand with it."""

    @property
    def metric(self) -> str:
        """The name that claims use."""
        return f"{self.of}_{self.base}" if self.of else self.base


def shown_numbers(path: str, output: Iterable[str]) -> list[PrintedNumber]:
    """The last number of each metric in the output that a notebook keeps."""
    lines = (line[:1000].rstrip() for line in islice(output, 10_000))
    found = (number for i, line in enumerate(lines, 1) for number in _in_line(path, i, line, printed=True))
    return list({number.metric: number for number in found}.values())


def printed_numbers(release: PublishedFiles) -> list[PrintedNumber]:
    """The numbers of READMEs that look like results, in their order."""
    found: list[PrintedNumber] = []
    texts = [text for text in release.texts if re.match(r"(?i)readme|results?\.md|model[_-]?card", text.name)]
    for text in map(shortened, sorted(texts, key=lambda text: (text.path.count("/"), text.path))[:MOST_TEXTS]):
        cells = {number.line: number for number in _in_tables(text)}
        shown: dict[tuple[int, str], PrintedNumber] = {}
        fence = table = 0
        for line, words in enumerate(text.lines, 1):
            fence = (fence or line) if line - 1 in text.fenced else 0
            table = (table or line) if _ROW.match(words) else 0
            if words.isprintable() and line - 1 not in text.commented and line not in cells:
                numbers = [*_in_line(text.path, line, words, table=table, printed=bool(fence))]
                found += numbers if not fence else []
                shown |= {(fence, of.metric): of for of in numbers if fence}  # of a log the last line counts
        found += [*_in_tables(text), *shown.values()]
    return sorted(found, key=lambda of: (of.path.count("/"), of.path, of.line))[:MOST_NUMBERS]


def _in_line(path: str, line: int, words: str, *, table: int = 0, printed: bool = False) -> Iterator[PrintedNumber]:
    seen: set[int] = set()
    for match in islice(itertools.chain(_AFTER.finditer(words), _BEFORE.finditer(words)), 40):
        at, end = match.span("value")
        paired = _PAIR.match(words[match.end() :]) or _PAIR.match(words[:at][::-1])  # validation / test, and the like
        if at not in seen and not paired and ("." in match["value"] or match["percent"]):
            seen.add(at)
            begin = words.rfind(". ", 0, match.start()) + 2 if ". " in words[: match.start()] else 0
            begin = match.start() if printed else begin
            before, after = re.split(r"\d[.%]", words[begin:at])[-1], re.split(r"[,.;()]|\band\b|\d", words[end:])[0]
            after += (_ASIDE.match(words[end:]) or [""])[0]
            quote = words[max(begin, match.start() - 120) : match.end()].strip()
            yield _number(
                match, match, quote, path, line, table=table, row=words if table else "",
                others=bool(_OTHERS.search(before + after)), printed=words[:at] if printed else "",
            )  # fmt: skip


def _in_tables(text: Text) -> Iterator[PrintedNumber]:
    for of, row in [(table, row) for table in tables_of(text) for row in table.rows]:
        whole, is_pair = text.lines[row.line - 1].strip(), len(row.cells) == 2
        for column, cell in zip(of.columns[1:], row.cells[1:], strict=True):
            named = (_NAMED.search(row.cells[0]) if is_pair else None) or _NAMED.search(column)
            if named and whole.isprintable() and (match := _CELL.fullmatch(cell[:100])):
                others = bool(_OTHERS.search(f"{column} {row.cells[0]} {cell}")) and not _OURS.search(column)
                more = {"row": whole, "table": of.rows[0].line, "others": others}
                yield _number(named, match, whole, text.path, row.line, percent="%" in column, **more)


def _number(
    named: re.Match[str], match: re.Match[str], quote: str, path: str, line: int, *, percent: bool = False, **more: Any
) -> PrintedNumber:
    digits = len(match["value"].partition(".")[2])
    return PrintedNumber(
        of=_OF.get((named["of"] or "").lower()[:3], ""), base=next(name for name in METRICS if named[name]),
        value=float(match["value"]), rounding=float(f"1e-{digits}"), percent=percent or bool(match["percent"]),
        quote=quote, path=path, line=line, **more,
    )  # fmt: skip


def own_numbers(
    numbers: list[PrintedNumber], step: RunCandidate, found: list[RunCandidate], text: Text | None, codes: list[Code]
) -> list[PrintedNumber]:
    """The numbers of one line that are a command's, at most three; none where they may be another's.

    found: the commands of the release. text: the document of this one.
    """
    ours = [of for of in numbers if not of.others]
    given = step.shown.split()
    words = _words(" ".join(word for word in given if word[0] != "-" or "=" in word))
    flags = {word.partition("=")[0] for word in given}
    own = codes if step.runs and step.runs[0].endswith(".py") else []  # a script of a shell gives options of its own
    words |= {word for code in own for names, of in _defaults(code) if not names & flags for word in of}
    there = sorted((of for of in found if of.path == step.path and of.kind != "prepare"), key=lambda of: of.line)
    lines = range(len(text.lines) + 1 if text else 0)
    heads = [i if text and i and _is_heading(text, i) else 0 for i in lines]
    sections = [*itertools.accumulate(heads, max)]

    def tie(of: PrintedNumber) -> int:
        """How many words a number's row or sentence shares with the command."""
        return len(words & _words(of.row or of.quote)) + bool(_OURS.search(of.row))

    def is_own(of: PrintedNumber) -> bool:
        key = (of.path, of.table, of.metric)
        if rivals := [
            one for one in ours if of.table and (one.path, one.table, one.metric) == key and one.line != of.line
        ]:
            return tie(of) > max(map(tie, rivals))
        if tie(of) or of.path != step.path:
            return bool(tie(of)) or len(found) == 1 or len({one.line for one in ours}) == 1
        inside = [one for one in there if sections and sections[one.line] == sections[of.line]]
        owner = next((one for one in reversed(inside) if one.line <= of.line), inside[0] if inside else step)
        return owner.shown == step.shown

    def far(of: PrintedNumber) -> tuple[bool, int, int, bool, int]:
        unread = printing_line(of, codes) is None and not of.printed
        kind, after = ["test", "", "validation", "training"].index(of.of), of.line - step.line
        return of.path != step.path, -tie(of), kind, unread, after if after >= 0 else 1000 - after

    near = [of for of in ours if is_own(of)]
    nearest = min(near, key=far, default=None)
    same = [of for of in near if nearest and (of.path, of.line) == (nearest.path, nearest.line)]
    return list({of.metric: of for of in reversed(same)}.values())[::-1][:3]


@functools.lru_cache(maxsize=1024)
def _defaults(code: Code) -> list[tuple[set[Any], set[str]]]:
    """The names of a file's options, and the words of their defaults."""
    declared = [call for call in calls(code) if last_name(call.func) in {"add_argument", "DEFINE_string", "option"}]
    values = [[of.value for of in call.keywords if of.arg == "default"] or call.args[1:2] for call in declared]
    return [
        ({getattr(of, "value", None) for of in call.args}, _words(str(getattr(given[0], "value", ""))))
        for call, given in zip(declared, values, strict=True) if given
    ]  # fmt: skip


def _words(text: str) -> set[str]:
    return {*re.findall(r"[a-z][a-z0-9]{2,}", text.lower())} - _COMMON - {*METRICS}


def _is_heading(text: Text, number: int) -> bool:
    line, below = text.lines[number - 1], text.lines[number] if number < len(text.lines) else ""
    return number - 1 not in text.fenced and bool(re.match(r"#{1,6} ", line) or (line.strip() and RULE.match(below)))


@dataclass(frozen=True, kw_only=True)
class PrintingLine:
    """A line of code that prints a metric, and the pattern that reads it."""

    pattern: str
    place: str
    percent: bool
    """Whether it prints hundredths."""
    fit: int


def printing_line(number: PrintedNumber, codes: list[Code]) -> PrintingLine | None:
    """The line of code that prints such a number, by its words; None where no line has them."""
    found = [of for code in codes for text in _texts(code) for of in _read(*text, code.path, number)]
    return max(found, key=lambda of: of.fit, default=None)


@functools.lru_cache(maxsize=1024)
def _texts(code: Code) -> list[tuple[str, int, bool]]:
    """What a file prints: texts with a null character for each value, their lines, and whether 100 stands in them."""
    nodes = [node for node in code.nodes if isinstance(node, (ast.Call, ast.JoinedStr, ast.BinOp))]
    try:
        texts = [(_printed(node), node) for node in nodes]
    except RecursionError:
        return []
    return [
        (text[:1000], of.lineno, any(isinstance(one, ast.Constant) and one.value == 100 for one in ast.walk(of)))
        for text, of in texts if text and "\0" in text
    ]  # fmt: skip


def _read(text: str, line: int, hundred: bool, path: str, number: PrintedNumber) -> Iterator[PrintingLine]:
    for value in re.finditer(r"\0(\s*%)?", text):
        before = text[: value.start()].rpartition("\n")[2]
        words = re.sub(r"(\0[\s/(]*)+$", "", before).rpartition("\0")[2]  # 93/100 (93 %) is of one word
        last = [*_NAMED.finditer(words)]
        if last and last[-1][number.base]:
            kinds = {long for word, long in _OF.items() if word in before.lower()}
            of = _OF.get((last[-1]["of"] or "").lower()[:3], "") or (kinds.pop() if len(kinds) == 1 else "")
            fit = 5 if of and of == number.of else {"test": 4, "validation": 3, "": 2, "training": 0}[of]
            start = _escaped((before if len(before) < 200 else before.rpartition("\0")[2]).lstrip())
            if start.isprintable() and len(start) + 60 < MAX_PATTERN:
                percent, ends = bool(value[1]) or hundred, r"\s*%" * bool(value[1])
                fit += percent and number.percent
                yield PrintingLine(pattern=f"{start}{NUMBER}{ends}", place=f"{path}:{line}", percent=percent, fit=fit)


def _printed(node: ast.AST) -> str | None:
    """What an expression prints, with a null character for each value; None where that is no text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_printed(of) or "\0" + "%" * ("%'" in ast.dump(of)) for of in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return (_printed(node.left) or "\0") + (_printed(node.right) or "\0")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and (text := _printed(node.left)):
        return _PERCENT.sub("\0", text).replace("%%", "%")
    if not isinstance(node, ast.Call):
        return None
    if isinstance(node.func, ast.Attribute) and node.func.attr == "format" and (text := _printed(node.func.value)):
        return re.sub(r"\{[^{}]*?(%?)\}", "\0\\1", text)
    if last_name(node.func) not in _PRINTING or not node.args:
        return None
    texts = [_printed(of) or "\0" for of in node.args]
    return _PERCENT.sub("\0", texts[0]) if len(texts) > 1 and _PERCENT.search(texts[0]) else " ".join(texts)


def shown_pattern(number: PrintedNumber) -> str:
    """The pattern that reads a number from the line in which output shows it."""
    return re.sub(r"(?<![\\\w])[-+]?\d[\d.]*", r"[-+\\d.e]+", _escaped(number.printed.lstrip()[-80:])) + NUMBER


def _escaped(text: str) -> str:
    plain = re.sub(r"([.^$*+?{}\[\]\\|()])", r"\\\1", text)
    return re.sub(r"[^\S ]\s*|\s{2,}", r"\\s+", plain.replace("\0", ".+?"))
