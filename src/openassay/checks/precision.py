"""The number format of a training, wherever a release states it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from openassay.checks.check import Agreement, Contradiction, NotAsked, Seen, check
from openassay.core.findings import Excerpt
from openassay.published.files import Config, PublishedFiles, Text, Value
from openassay.published.stated import documents, in_list, in_scope, recipes
from openassay.published.tables import tables_of

_KINDS = {"bf16": r"bf16|bfloat16", "fp16": r"(?<!b)fp16|(?<!b)float16|half precision", "fp32": r"fp32|float32"}
_KEY = re.compile(r"(^|\.)(precision|mixed_precision)$")
_SWITCH = re.compile(r"(^|\.)(bf16|fp16)(\.(enabled|fp16|bf16))?$")
_LABEL = re.compile(r"(?i)(training |numerical |mixed )*(precision|regime|dtype|number format)$")
_BULLET = re.compile(r"\s*[-*]\s+\**`?([A-Za-z][A-Za-z ]{2,30})`?\**\s*[:=]\**\s*(.{2,80})$")


def _kinds(words: str) -> list[str]:
    """The number formats that words name."""
    return [kind for kind, spelled in _KINDS.items() if re.search(spelled, words, re.IGNORECASE)]


def _stated(config: Config) -> Iterator[tuple[str, Value]]:
    """The formats that a settings file turns on, each with its place."""
    for value in config.values:
        if in_list(value.key):
            continue
        if (found := _SWITCH.search(value.key)) and value.value is True:
            yield found.group(2), value
        elif _KEY.search(value.key) and isinstance(value.value, str) and len(kinds := _kinds(value.value)) == 1:
            yield kinds[0], value


@check(needs="bf16 or fp16 stated twice for one training: in its settings, or by them and a document")
def precision_stated_twice(release: PublishedFiles) -> Iterator[Seen]:
    """{first.path} says {first.value} ({one}), {second.path} says {second.value} ({two}): a training has one of them"""
    known = {recipe.config.path: [*_stated(recipe.config)] for recipe in recipes(release)}
    for of in known.values():
        for i, (one, first) in enumerate(of):
            for two, second in of[i + 1 :]:
                if _section(first) == _section(second):
                    yield from _pair(one, first.seen(), two, second.seen())
    for text in documents(release):
        inside = [known[recipe.config.path] for recipe in recipes(release) if in_scope(text, recipe)]
        settings = [pair for of in inside for pair in of]
        if not all(inside) or len({kind for kind, _ in settings}) != 1:
            continue  # several trainings, or one that leaves it to a default
        two, value = settings[0]
        for one, at in _in_document(text):
            yield from _pair(one, at, two, value.seen())


def _section(value: Value) -> str:
    """The key without the switch itself."""
    return _SWITCH.sub("", _KEY.sub("", value.key))


def _pair(one: str, first: Excerpt, two: str, second: Excerpt) -> Iterator[Seen]:
    if one == two:
        yield Agreement(first, second)
    elif "fp32" in {one, two}:
        yield NotAsked("fp32 beside a half precision may be that of the optimizer or of the file")
    else:
        yield Contradiction(first, second, first=first, second=second, one=one, two=two)


def _in_document(text: Text) -> Iterator[tuple[str, Excerpt]]:
    """Rows and bullets of a document whose label is the precision of the training, and which name one format."""
    pairs = [
        (row.cells[0], row.cells[1], text.seen(row.line))
        for t in tables_of(text)
        for row in t.rows
        if len(row.cells) == 2
    ]
    pairs += [
        (found.group(1), found.group(2), text.seen(line))
        for line, words in text.prose
        if (found := _BULLET.match(words))
    ]
    for label, words, at in pairs:
        if _LABEL.fullmatch(label.strip("*`: ")) and len(kinds := _kinds(words)) == 1:
            yield kinds[0], at
