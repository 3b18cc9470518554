"""Steps x batch x length against each number of tokens that a release states."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from openassay.checks.check import Agreement, NotAsked, Seen, check, compared
from openassay.core.findings import Excerpt
from openassay.published.files import PublishedFiles, Text, excerpt
from openassay.published.scalars import number
from openassay.published.stated import (
    Recipe,
    TokenTotal,
    canonical_header,
    documents,
    in_scope,
    recipes,
    subject_of,
    tokens_of,
)
from openassay.published.tables import tables_of

_UNITS = {
    "": 1.0, "k": 1e3, "thousand": 1e3, "m": 1e6, "million": 1e6, "b": 1e9, "bn": 1e9, "billion": 1e9, "t": 1e12,
    "trillion": 1e12,
}  # fmt: skip
_AMOUNT = re.compile(
    r"(?P<about>~=?\s*|≈\s*|about\s+|around\s+|approximately\s+|roughly\s+|nearly\s+|almost\s+|over\s+|more than\s+"
    r"|up to\s+|at least\s+)?"
    r"(?<![\w.,-])(?P<number>\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?(?:e\d+)?)\s?(?P<unit>[kKmMbBtT]|[Bb]n|thousand|million|billion|trillion|Million|Billion|Trillion)?"
    r"\+?[\s-]*(?:training\s+)?tokens\b(?!\s*(?:/|per\b))",
    re.IGNORECASE,
)
_TRAINED = re.compile(r"\b(pre-?train(ed|ing)?|train(ed|ing)|saw|sees|seen|consum(ed|es))\b", re.IGNORECASE)
_NO_TOTAL = re.compile(r"\b(batch|per step|each step|vocab|window|context)\b", re.IGNORECASE)
_OURS = re.compile(
    r"\b(this|our|the) (model|network|release)\b|\bwe (pre-?)?train|\b(each|every|all)( of)?( the| our)?( \w+)? models?\b",
    re.IGNORECASE,
)
Known = list[tuple[Recipe, TokenTotal]]


@dataclass(frozen=True)
class Amount:
    """A number of tokens as it is written, and how far it may be off."""

    value: float
    slack: float
    evidence: Excerpt
    at_least: bool = False

    def fits(self, total: float, per_step: float) -> bool:
        """True if both are the same as far as the digits say: rounded, cut off or rounded up; one step more or less."""
        if self.at_least:
            return total >= self.value - max(self.slack, per_step) - 0.05 * self.value
        return abs(total - self.value) < self.slack or abs(total - self.value) <= per_step


def amount(text: str, unit: str, about: str, evidence: Excerpt) -> Amount | None:
    """An amount from its digits, its unit and a word such as `about`; None where the digits are no number."""
    value, factor = number(text), _UNITS.get(unit.lower())
    if value is None or factor is None:
        return None
    digits = text.replace(",", "").lower()
    last = 1.0
    if "e" in digits:
        last = value * 0.05
    elif "." in digits:
        last = 10.0 ** -len(digits.partition(".")[2])
    elif factor == 1 and value:  # trailing zeros of a number that is written out may be rounding
        last = 10.0 ** (len(digits) - len(digits.rstrip("0")))
    about, slack = about.strip().lower(), last * factor
    is_least = about.startswith(("over", "more", "at least"))
    if about and not is_least and not about.startswith("up"):
        slack = max(slack, 0.1 * value * factor)
    return Amount(value * factor, slack, evidence, at_least=is_least)


def amounts_in(line: str, evidence: Excerpt) -> Iterator[Amount]:
    """The numbers of tokens that a line speaks of."""
    for found in _AMOUNT.finditer(line):
        if made := amount(found["number"], found["unit"] or "", found["about"] or "", evidence):
            yield made


@check(needs="steps, batch and sequence length in one settings file, and a number of tokens stated somewhere")
def tokens_disagree(release: PublishedFiles) -> Iterator[Seen]:
    """{what} is {stated} tokens, but {how} = {computed}"""
    known = [(recipe, tokens) for recipe in recipes(release) if (tokens := tokens_of(recipe)) is not None]
    timed = [(recipe, tokens) for recipe, tokens in known if tokens.total is not None]
    for recipe, tokens in timed:
        yield from _in_comments(recipe, tokens)
    if timed:
        yield from _in_documents(release, timed)
    yield from _in_names(release, known)


def _same(what: str, given: Amount, tokens: TokenTotal, at: tuple[Excerpt, ...] | None = None) -> Seen:
    assert tokens.total is not None  # noqa: S101
    values = {"what": what, "stated": _short(given.value), "computed": _short(tokens.total)}
    at = tokens.evidence if at is None else at
    how = " x ".join(f"{e.key} {e.value}" for e in at)
    return compared(given.fits(tokens.total, tokens.per_step), given.evidence, *at, how=how, **values)


def _short(value: float) -> str:
    size, unit = next((pair for pair in ((1e12, "T"), (1e9, "B"), (1e6, "M")) if value >= pair[0]), (1, ""))
    return f"{value / size:.4g}{unit}" if unit else f"{value:.10g}"


_OF_A_STEP = re.compile(r"(?i)\bGBS\b|batch|(per|each|a) (step|update|iter\w*)")


def _in_comments(recipe: Recipe, tokens: TokenTotal) -> Iterator[Seen]:
    config = recipe.config
    keys = {e.key for e in tokens.evidence}
    for line, comment in config.comments:
        seen = excerpt(config.path, "comment", comment[:200], line)
        head = re.match(r"\s*tokens\s*[:=]\s*([\d,_]+)\s*$", comment, re.IGNORECASE)
        if head and (given := amount(head.group(1).replace("_", ""), "", "", seen)):
            yield _same("the comment", Amount(given.value, tokens.per_step, seen), tokens)
        elif any(v.line == line and v.key in keys for v in config.values):
            for given in amounts_in(comment, seen):
                if abs(given.value - tokens.per_step) < given.slack:  # one step's
                    yield Agreement(seen, *tokens.evidence)
                elif not _OF_A_STEP.search(comment):
                    yield _same("the comment", given, tokens)


def _in_documents(release: PublishedFiles, totals: Known) -> Iterator[Seen]:
    for text in documents(release):
        of = [(recipe, tokens) for recipe, tokens in totals if in_scope(text, recipe)]
        yield from _in_tables(text, of)
        if len({round(tokens.total or 0) for _, tokens in of}) != 1 or not _is_about(text, of, release):
            continue  # several trainings: the text does not say which one it means
        tokens = of[0][1]
        given = [
            found
            for line, words in text.prose
            if not words.lstrip().startswith("|") and _TRAINED.search(words)
            for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z])", words)
            if _TRAINED.search(sentence) and not _NO_TOTAL.search(sentence)
            for found in amounts_in(sentence, text.seen(line, sentence))
        ]
        fitting = next((found for found in given if found.fits(tokens.total or 0, tokens.per_step)), None)
        own = next((found for found in given if _OURS.search(found.evidence.value)), None)
        if chosen := fitting or own:
            yield _same("the document's number", chosen, tokens)
        elif given:
            yield NotAsked("numbers of tokens in the text may be those of other models")


def _is_about(text: Text, of: Known, release: PublishedFiles) -> bool:
    """True for a document at the top, beside the settings or with a training's name, and in a release of few files."""
    if not text.folder or text.folder in {recipe.config.folder for recipe, _ in of} or len(release.files) < 20:
        return True
    return any(recipe.name in "\n".join(text.lines) for recipe, _ in of)


_CELL = re.compile(r"~?\s*([\d.,]+)\s*([kKmMbBtT]|million|billion|trillion)?\s*(tokens)?", re.IGNORECASE)


def _counts_tokens(head: str) -> bool:
    named = re.fullmatch(r"(training\s+)?tokens\s*(\(\w+\))?", head.strip("* "), re.IGNORECASE)
    return named is not None or canonical_header(head) == "tokens"


def _in_tables(text: Text, of: Known) -> Iterator[Seen]:
    for table in tables_of(text):
        at = next((i for i, column in enumerate(table.columns) if _counts_tokens(column)), 0)
        unit = re.search(r"\((B|T|M|billions?|trillions?|millions?)\)", table.columns[at], re.IGNORECASE)
        for row in table.rows if at else ():
            recipe = subject_of(row.cells[0], [recipe for recipe, _ in of])
            cell = _CELL.fullmatch(row.cells[at].strip("* "))
            if recipe is None or not cell:
                continue
            written = cell.group(2) or (unit.group(1).rstrip("s") if unit else "")
            tokens = next(tokens for other, tokens in of if other is recipe)
            if given := amount(cell.group(1), written, "", table.seen(row, at)):
                yield _same(f"the table's row {row.cells[0][:60]!r}", given, tokens)


def _in_names(release: PublishedFiles, known: Known) -> Iterator[Seen]:
    """Folders and addresses such as `step20000-tokens84B`."""
    if len({tokens.per_step for _, tokens in known}) != 1:
        return
    tokens = known[0][1]
    evidence = tokens.evidence[-2:] if tokens.total is None else tokens.evidence[1:]
    named = [(part, excerpt(file.path, "name", part)) for file in release.files for part in file.path.split("/")]
    named += [(cell, table.seen(row)) for table in release.tables for row in table.rows for cell in row.cells]
    seen_parts = set()
    for part, at in named:
        found = re.search(r"step[-_]?(\d{1,12})[-_]tokens[-_]?(\d+(?:\.\d+)?)([kKMBT])\b", part)
        if not found or found.group() in seen_parts:
            continue
        seen_parts.add(found.group())
        if given := amount(found.group(2), found.group(3), "", at):
            total = TokenTotal(int(found.group(1)) * tokens.per_step, tokens.per_step, tokens.evidence)
            yield _same(f"the name {found.group()}", given, total, evidence)
