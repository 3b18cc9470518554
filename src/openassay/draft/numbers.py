"""Numbers that a release prints as results, and the lines of its code that print them again."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from openassay.checks.code_options import calls, last_name
from openassay.checks.release import Code, PublishedFiles, Text, tables_of
from openassay.draft.brought import shortened
from openassay.drivers.measures import MAX_PATTERN

MOST_TEXTS = 200
METRICS = {
    "loss": r"loss(?:es)?", "accuracy": r"acc(?:uracy|uracies)?", "f1": r"f1(?:[ _-]?score)?", "perplexity": r"perplexity|ppl",
    "bleu": r"(?:sacre)?bleu", "rouge": r"rouge(?:-?[12l])?", "r2": r"r2|r\^2|r²|r-squared", "auc": r"(?:roc[ _-]?)?au(?:ro)?c",
    "rmse": "rmse", "mae": "mae", "mse": "mse", "error": r"error(?: rate)?", "iou": r"m?iou", "map": r"map(?=@|\b)",
    "bits": r"bpc|bpb|bits per (?:character|byte|dim)", "return": r"reward|returns?",
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
_CELL = re.compile(rf"[*_`~ ]*{_NUMBER}[*_` ]*(?:\(?\s?(?:±|\+/-|\\pm).{{0,20}})?")
_PRINTING = {"print", "info", "write", "log", "debug", "warning", "echo", "set_description"}
_PERCENT = re.compile(r"%[-+ #0]*\d*(?:\.\d+)?[sdifgeFGEr]")
_BRACES = re.compile(r"\{[^{}]*\}")


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

    @property
    def metric(self) -> str:
        """The name that claims use."""
        return f"{self.of}_{self.base}" if self.of else self.base


def printed_numbers(release: PublishedFiles) -> list[PrintedNumber]:
    """The numbers of READMEs that look like results, in their order; those of code blocks last."""
    found: list[PrintedNumber] = []
    inside: list[PrintedNumber] = []
    texts = [text for text in release.texts if re.match(r"(?i)readme|results?\.md|model[_-]?card", text.name)]
    for text in sorted(texts, key=lambda text: text.path.count("/"))[:MOST_TEXTS]:
        short = Text(path=text.path, lines=shortened(text), front=text.front, body_from=text.body_from)
        tables = list(_in_tables(short))
        rows = {number.line for number in tables}
        for line, words in enumerate(short.lines, 1):
            if words.isprintable() and line - 1 not in short.commented and line not in rows:
                (inside if line - 1 in short.fenced else found).extend(_in_line(short, line, words))
        found += tables
    return sorted(found, key=lambda of: (of.path.count("/"), of.path, of.line)) + inside


def _in_line(text: Text, line: int, words: str) -> Iterator[PrintedNumber]:
    ends: set[int] = set()
    for pattern in (_AFTER, _BEFORE):
        for match in pattern.finditer(words):
            whole = "." in match["value"] or match["percent"]
            if whole and match.start("value") not in ends:
                ends.add(match.start("value"))
                begin = max(words.rfind(". ", 0, match.start()) + 2, 0) if ". " in words[: match.start()] else 0
                quote = words[max(begin, match.start() - 120) : match.end()].strip()
                yield _number(match, match, quote, text, line)


def _in_tables(text: Text) -> Iterator[PrintedNumber]:
    for table in tables_of(text):
        for row in (row for row in table.rows if text.lines[row.line - 1].isprintable()):
            heads = [row.cells[0]] * len(row.cells) if len(row.cells) == 2 else table.columns
            for head, cell in list(zip(heads, row.cells, strict=True))[1:]:
                named = _NAMED.search(head) or _NAMED.search(table.columns[1] if len(row.cells) == 2 else "")
                if named and (match := _CELL.fullmatch(cell[:100])):
                    yield _number(named, match, text.lines[row.line - 1].strip(), text, row.line, percent="%" in head)


def _number(
    named: re.Match[str], match: re.Match[str], quote: str, text: Text, line: int, *, percent: bool = False
) -> PrintedNumber:
    digits = len(match["value"].partition(".")[2])
    return PrintedNumber(
        of=_OF.get((named["of"] or "").lower()[:3], ""), base=next(name for name in METRICS if named[name]),
        value=float(match["value"]), rounding=float(f"1e-{digits}"), percent=percent or bool(match["percent"]),
        quote=quote, path=text.path, line=line,
    )  # fmt: skip


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
    found = [
        of
        for code in codes
        for call in calls(code)
        if last_name(call.func) in _PRINTING
        for of in _read(call, code, number)
    ]
    return max(found, key=lambda of: of.fit, default=None)


def _read(call: ast.Call, code: Code, number: PrintedNumber) -> Iterator[PrintingLine]:
    try:
        pieces = [piece for i, given in enumerate(call.args) for piece in ([" "] if i else []) + _pieces(given)]
    except RecursionError:
        return
    first = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else ""
    if len(call.args) > 1 and _PERCENT.search(str(first)):
        pieces = _split(str(first), _PERCENT, list(call.args[1:]))  # logging's own way
    text = ""
    for i, piece in enumerate(pieces):
        if isinstance(piece, str):
            text = (text + piece).rpartition("\n")[2][-1000:]
            continue
        last = [*_NAMED.finditer(text.rpartition("\0")[2])]
        after = pieces[i + 1] if i + 1 < len(pieces) and isinstance(pieces[i + 1], str) else ""
        if last and last[-1][number.base]:
            kinds = {long for word, long in _OF.items() if word in text.lower()}
            of = _OF.get((last[-1]["of"] or "").lower()[:3], "") or (kinds.pop() if len(kinds) == 1 else "")
            fit = 5 if of and of == number.of else {"test": 4, "validation": 3, "": 2, "training": 0}[of]
            percent = after.lstrip().startswith("%") or "%" in piece[1] or piece[2]
            before = _escaped((text if len(text) < 200 else text.rpartition("\0")[2]).lstrip())
            ends = r"\s*%" if after.lstrip().startswith("%") else ""
            if before.isprintable() and len(before) + 60 < MAX_PATTERN:
                yield PrintingLine(
                    pattern=f"{before}{NUMBER}{ends}", place=f"{code.path}:{call.lineno}", percent=percent,
                    fit=fit + (percent and number.percent),
                )  # fmt: skip
        text += "\0" if not re.fullmatch(r"[\s/(]*", after) else "\1"


def _escaped(text: str) -> str:
    plain = re.sub(r"([.^$*+?{}\[\]\\|()])", r"\\\1", text)
    return re.sub(r"[^\S ]\s*|\s{2,}", r"\\s+", re.sub("[\0\1]", ".+?", plain))


def _pieces(node: ast.expr) -> list[Any]:
    """What an expression prints: texts, and values as (`value`, format, whether 100 stands in it)."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return [piece for value in node.values for piece in _pieces(value)]
    if isinstance(node, ast.FormattedValue):
        spec = node.format_spec.values if isinstance(node.format_spec, ast.JoinedStr) else []
        return [_value(node.value, "".join(str(of.value) for of in spec if isinstance(of, ast.Constant)))]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _pieces(node.left) + _pieces(node.right)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and isinstance(node.left, ast.Constant):
        given = node.right.elts if isinstance(node.right, ast.Tuple) else [node.right]
        return _split(str(node.left.value), _PERCENT, list(given))
    made = node.func if isinstance(node, ast.Call) else None
    if isinstance(node, ast.Call) and isinstance(made, ast.Attribute) and isinstance(made.value, ast.Constant):
        return _split(str(made.value.value), _BRACES, [*node.args, *(of.value for of in node.keywords)])
    return [_value(node, "")]


def _value(node: ast.expr, spec: str) -> tuple[str, str, bool]:
    hundred = any(isinstance(of, ast.Constant) and of.value == 100 for of in ast.walk(node))
    return "value", "%" if spec.endswith("%") else "", hundred


def _split(text: str, pattern: re.Pattern[str], values: list[ast.expr]) -> list[Any]:
    """A template's texts and values in turn."""
    pieces: list[Any] = []
    at = 0
    for i, found in enumerate(pattern.finditer(text)):
        value = values[i] if i < len(values) else ast.Constant(value=None)
        pieces += [text[at : found.start()], _value(value, found[0].strip("{}"))]
        at = found.end()
    return [*pieces, text[at:]]
