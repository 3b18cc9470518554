"""What the card of a fine-tuned model says of its own training: base, data, settings, results, versions, each with its line.

Cards are written by a trainer (transformers since 4.6, and TRL, PEFT, sentence-transformers and SetFit on top of it), and edited
by people. The wording of each version is read as `transformers/modelcard.py` writes it; what a card leaves out stays out.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from openassay.core.findings import Excerpt
from openassay.published.files import Placed, PublishedTable, Text, Value, excerpt
from openassay.published.scalars import number, yaml_1_2
from openassay.published.tables import tables_of

MOST_ITEMS = 400
"""Of one list; sentence-transformers' cards list some 120 settings."""
_ITEM = re.compile(
    r"[ \t]*[-*][ \t]+(?P<tick>[`*]*)(?P<name>[A-Za-z][\w .@/()-]{0,59}?)(?P=tick)[ \t]*:(?P=tick)?[ \t]*(?P<value>.*)\Z"
)
_VERSION = re.compile(
    r"[ \t]*[-*][ \t]+\**(?P<name>[A-Za-z][A-Za-z -]{1,30}?)\**:?[ \t]+v?(?P<value>\d[\w.+-]*)[ \t]*\Z"
)
_LINK = r"\[(?P<name>[^\]]*)\]\([^)]*\)"
_BASE = re.compile(
    rf"(?i)fine-?tuned (?:version of|from) (?:the )?(?:\*\*)?{_LINK}"
    rf"|(?:base model|transformer body):\**\s*{_LINK.replace('name', 'other')}"
)
_SCRATCH = re.compile(r"(?i)\btrained from scratch\b")
_DATA = re.compile(r"(?i)\bon (?:the|an|a) (?P<names>.+?) datasets?\b")
_NO_DATA = {"none", "unknown", "unkown", "null", ""}
_ACHIEVES = re.compile(r"(?i)achieves? the following results?")
_SETTINGS = {
    "learning_rate",
    "train_batch_size",
    "per_device_train_batch_size",
    "body_learning_rate",
    "num_train_epochs",
}
_OPTIMIZER = re.compile(
    r"(?:Use )?(?P<name>[\w.]+?)(?: with betas=\((?P<one>[^,)]+), ?(?P<two>[^)]+)\) and epsilon=(?P<epsilon>[^\s]+))?"
    r"(?: and (?:the args are:|optimizer_args=)\s*(?P<more>.*))?\Z", re.DOTALL,
)  # fmt: skip
_RUNTIME = re.compile(
    r"(?i)(eval_)?(runtime|samples per second|steps per second|samples_per_second|steps_per_second)\Z"
)


@dataclass(frozen=True, kw_only=True)
class Said(Placed):
    """One value as a card says it, with its line."""

    key: str
    value: Any
    """Read by YAML 1.2's rules: a number, a truth value, null or words."""
    written: str
    line: int

    def seen(self) -> Excerpt:
        """Its place, to be cited."""
        return excerpt(self.path, self.key[:200], self.written[:200], self.line)

    @property
    def number(self) -> float | None:
        """The value as a finite number; None if it is none."""
        return number(self.written)

    @property
    def half_unit(self) -> float:
        """Half of one of the last digit that is printed."""
        mantissa, _, exponent = self.written.strip().lower().partition("e")
        return 0.5 * 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))


@dataclass(frozen=True, kw_only=True)
class CardOptimizer:
    """The optimizer's line. Up to transformers 4.45 it says `Adam` whatever was used."""

    name: str
    """As `optim` names it (`adamw_torch`), or `Adam` and `Adafactor` of older cards."""
    betas: tuple[float, float] | None
    epsilon: float | None
    arguments: str
    """What else is said of it; empty for nothing."""
    said: Said


@dataclass(frozen=True, kw_only=True)
class IndexedResult:
    """One value of the front matter's model-index, unrounded."""

    task: str
    dataset: str
    config: str
    split: str
    metric: str
    """The metric's name, or else its type."""
    value: Value


@dataclass(frozen=True, kw_only=True)
class ModelCard(Placed):
    """What a card says of a fine-tuning. An absent setting has the trainer's default, or is not told: no card says which."""

    writer: Literal["trainer", "trl", "sentence-transformers", "setfit"]
    bases: tuple[Said, ...]
    from_scratch: bool
    datasets: tuple[Said, ...]
    settings: dict[str, Said]
    """By the trainer's own names: `learning_rate`, `num_epochs`, `lr_scheduler_warmup_ratio` …"""
    unread: tuple[Said, ...]
    """Settings that stand twice and differ."""
    optimizer: CardOptimizer | None
    results: dict[str, Said]
    """The values at the top, as the card names them, without times."""
    table: PublishedTable | None
    """The evaluations along the training."""
    indexed: tuple[IndexedResult, ...]
    versions: dict[str, Said]

    def rows(self) -> list[dict[str, Said]]:
        """The table's rows, by column; a loss that was not logged yet is left out."""
        if self.table is None:
            return []
        return [
            {
                column.strip(): Said(path=self.path, key=column.strip(), value=yaml_1_2(cell), written=cell, line=row.line)
                for column, cell in zip(self.table.columns, row.cells, strict=True)
                if number(cell) is not None
            }
            for row in self.table.rows
        ]  # fmt: skip

    def reported_rows(self) -> list[int] | None:
        """The rows, from 0, that hold every value at the top; None where no value of the top is in the table's columns."""
        rows = self.rows()
        columns = {_metric(name): name for row in rows for name in row}
        shared = {columns[_metric(name)]: said for name, said in self.results.items() if _metric(name) in columns}
        if not shared:
            return None
        return [
            i
            for i, row in enumerate(rows)
            if all(name in row and same_printed(row[name], of) for name, of in shared.items())
        ]


def same_printed(one: Said, other: Said) -> bool:
    """Whether two printed numbers can be the same one, each rounded as it is printed."""
    a, b = one.number, other.number
    return a is not None and b is not None and abs(a - b) <= (one.half_unit + other.half_unit) * (1 + 1e-9)


def read_card(text: Text) -> ModelCard | None:
    """The card that a document is; None for one that says nothing of a fine-tuning."""
    items = list(_lists(text))
    settings, unread = _settings(items)
    writer = _writer(text)
    bases, from_scratch = _bases(text)
    results = _results(text, items)
    if not settings and not (writer == "trl" and bases) and not (results and (bases or from_scratch)):
        return None
    optimizer = settings.pop("optimizer", None)
    tables = [of for of in tables_of(text) if of.column("epoch") is not None and of.column("step") is not None]
    return ModelCard(
        path=text.path, writer=writer, bases=bases, from_scratch=from_scratch, datasets=_datasets(text), settings=settings,
        unread=unread, optimizer=_optimizer(optimizer) if optimizer else None, results=results,
        table=tables[0] if tables else None, indexed=tuple(_indexed(text)), versions=_versions(text),
    )  # fmt: skip


def _writer(text: Text) -> Literal["trainer", "trl", "sentence-transformers", "setfit"]:
    tags = {of.text for of in _front(text, "tags")} | {of.text for of in _front(text, "library_name")}
    body = "\n".join(text.lines)
    if "setfit" in tags:
        return "setfit"
    if "sentence-transformers" in tags:
        return "sentence-transformers"
    return "trl" if "trl" in tags and "been trained using [TRL]" in body else "trainer"


def _front(text: Text, key: str) -> list[Value]:
    """What the front matter says under a key, one value or a list of them."""
    values = text.front.values if text.front is not None else ()
    found = [of for of in values if re.fullmatch(rf"{re.escape(key)}(\.\d+)?", of.key)]
    return [of for of in found if of.value is not None and not isinstance(of.value, list | tuple | dict)]


def _lists(text: Text) -> Iterator[list[Said]]:
    """The lists of `name: value` in a card's body, each as its items; a value goes on in lines that are no item."""
    prose, found, last = dict(text.prose), list[Said](), 0
    for line, words in prose.items():
        item = _ITEM.match(words)
        if found and (not item or line > last + 2):
            goes_on = (
                not item
                and words.strip()
                and line == last + 1
                and not words.lstrip().startswith(("#", "<", "|", "-", "*"))
            )
            if goes_on:  # such as an optimizer's arguments, in older cards of 4.46
                found[-1] = _said(text, found[-1].key, f"{found[-1].written}\n{words.strip()}", found[-1].line)
                last = line
                continue
            if words.strip():
                yield found
                found = []
        if item and len(found) < MOST_ITEMS:
            found.append(_said(text, item["name"].strip(), item["value"].strip(), line))
        last = line if item else last
    if found:
        yield found


def _said(text: Text, key: str, written: str, line: int) -> Said:
    return Said(path=text.path, key=key, value=yaml_1_2(written), written=written, line=line)


def _settings(lists: list[list[Said]]) -> tuple[dict[str, Said], tuple[Said, ...]]:
    """Every setting that is listed, and those that stand twice and differ."""
    found: dict[str, Said] = {}
    twice = []
    told = [of for of in lists if _SETTINGS & {one.key for one in of}]
    for one in itertools.chain.from_iterable(told):
        before = found.setdefault(one.key, one)
        if before.written != one.written:
            twice.append(one)
    return found, tuple(twice)


def _optimizer(said: Said) -> CardOptimizer:
    read = _OPTIMIZER.match(said.written)
    if read is None:
        return CardOptimizer(name=said.written, betas=None, epsilon=None, arguments="", said=said)
    name = read["name"].removeprefix("OptimizerNames.")
    name = name.lower() if name.isupper() else name  # an enumeration's member, as Python 3.11 and later write it
    betas = [number(of) for of in (read["one"] or "", read["two"] or "")]
    more = (read["more"] or "").strip()
    return CardOptimizer(
        name=name, betas=None if betas[0] is None or betas[1] is None else (betas[0], betas[1]),
        epsilon=number(read["epsilon"] or ""), arguments="" if more.startswith("No additional") else more, said=said,
    )  # fmt: skip


def _bases(text: Text) -> tuple[tuple[Said, ...], bool]:
    """The base models: the front matter's, else the sentence's; and whether the card says that there is none."""
    for line, words in text.prose:
        if _SCRATCH.search(words) and "trained" in words and "finetuned" not in words:
            return (), True
        if found := _BASE.search(words):
            name = (found["name"] or found["other"] or "").strip("*` ")
            return ((_said(text, "base model", name, line),) if name else ()), not name
    named = _front(text, "base_model")
    return tuple(_said(text, of.key, of.text.strip("\"'"), of.line or 1) for of in named), False


def _datasets(text: Text) -> tuple[Said, ...]:
    """The data sets: the front matter's, else the first sentence's; none where they are called unknown."""
    if named := _front(text, "datasets"):
        return tuple(_said(text, "datasets", of.text.strip("\"'"), of.line or 1) for of in named)
    for line, words in text.prose:
        if (_BASE.search(words) or _SCRATCH.search(words)) and (found := _DATA.search(words)):
            names = [
                re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", of).strip()
                for of in re.split(r", (?:the )?| and (?:the )?", found["names"])
            ]
            return tuple(_said(text, "datasets", of, line) for of in names if of.lower() not in _NO_DATA)
    return ()


def _results(text: Text, lists: list[list[Said]]) -> dict[str, Said]:
    """The values that the card reports at its top."""
    after = next((line for line, words in text.prose if _ACHIEVES.search(words)), 0)
    below = next((of for of in lists if of[0].line > after), [])
    near = below and after and below[0].line <= after + 3
    measured = all(of.number is not None for of in below) and any(_metric(of.key) == "loss" for of in below)
    if not (near or measured) or _SETTINGS & {one.key for one in below}:  # without the sentence: a translated card
        return {}
    return {one.key: one for one in below if not _RUNTIME.match(one.key)}


def _indexed(text: Text) -> Iterator[IndexedResult]:
    """The results of the front matter's model-index, also in the spelling of the first versions."""
    values = {of.key: of for of in (text.front.values if text.front is not None else ())}
    for key, value in values.items():
        of = re.fullmatch(r"(model[-_]index\.\d+\.results\.\d+)\.(metrics\.\d+|metric)\.value", key)
        if of is None:
            continue
        said = {name: values[at].text.strip("\"' ") for name, at in (
            ("task", f"{of[1]}.task.type"), ("dataset", f"{of[1]}.dataset.type"), ("config", f"{of[1]}.dataset.config"),
            ("args", f"{of[1]}.dataset.args"), ("split", f"{of[1]}.dataset.split"), ("name", f"{of[1]}.{of[2]}.name"),
            ("type", f"{of[1]}.{of[2]}.type"),
        ) if at in values}  # fmt: skip
        config = said.get("config") or said.get("args", "")
        yield IndexedResult(
            task=said.get("task", ""), dataset=said.get("dataset", ""), config=config, split=said.get("split", ""),
            metric=said.get("name") or said.get("type", ""), value=value,
        )  # fmt: skip


def _versions(text: Text) -> dict[str, Said]:
    """The versions of the frameworks, by their names in small letters."""
    inside, found = False, dict[str, Said]()
    for line, words in text.prose:
        if words.lstrip().startswith("#"):
            inside = "version" in words.lower()
        elif inside and (of := _VERSION.match(words)):
            found[of["name"].lower()] = _said(text, of["name"], of["value"], line)
    return found


def _metric(name: str) -> str:
    """A metric's name as results, tables and the model-index have it in common: `Validation Loss` and `eval_loss` are `loss`."""
    words = re.sub(r"[^a-z0-9]+", " ", name.lower()).strip()
    return re.sub(r"^(validation|eval) ", "", words) if words != "training loss" else words
