"""What stands in a release's files? Plain data, read once by `checks.read`; every check is a function of it."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from openassay.core.types import Excerpt


@dataclass(frozen=True, kw_only=True)
class File:
    """A regular file."""

    path: str
    size_bytes: int
    date: str

    @property
    def name(self) -> str:
        """Its last part."""
        return self.path.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """All but its last part; empty at the top."""
        return self.path.rpartition("/")[0]


@dataclass(frozen=True, kw_only=True)
class Value:
    """One scalar (or short list) of a configuration, and where it stands."""

    path: str
    line: int | None
    key: str
    """Dotted: `optimizer.params.lr`; list items have their number."""
    value: Any
    text: str
    """As it is written."""
    plain: bool = False
    """YAML only: written without quotes, so that its type is the reader's guess."""

    @property
    def leaf(self) -> str:
        """The key's last word."""
        return self.key.rpartition(".")[2]

    def seen(self, value: str | None = None) -> Excerpt:
        """This place, to be cited."""
        return Excerpt(
            path=self.path, line=self.line, key=self.key, value=(self.text if value is None else value)[:200]
        )


@dataclass(frozen=True, kw_only=True)
class Config:
    """A file of settings: YAML, JSON, TOML or gin; or the front matter of a card."""

    path: str
    format: str
    values: tuple[Value, ...]
    repeated: tuple[tuple[Value, Value], ...] = ()
    """Keys that stand twice in one mapping."""
    comments: tuple[tuple[int, str], ...] = ()
    document: Any = None

    @property
    def name(self) -> str:
        """Its last part without the ending."""
        return PurePosixPath(self.path).stem

    @property
    def folder(self) -> str:
        """Where it lies."""
        return self.path.rpartition("/")[0]

    @cached_property
    def by_key(self) -> dict[str, Value]:
        """Dotted key to value."""
        return {value.key: value for value in self.values}

    def get(self, key: str) -> Any:
        """The value of a dotted key, or None."""
        found = self.by_key.get(key)
        return None if found is None else found.value


@dataclass(frozen=True, kw_only=True)
class Text:
    """A document for people: README, card, plain text."""

    path: str
    lines: tuple[str, ...]
    front: Config | None = None
    body_from: int = 0
    """Index of the first line after the front matter."""

    @property
    def folder(self) -> str:
        """Where it lies."""
        return self.path.rpartition("/")[0]

    @cached_property
    def fenced(self) -> frozenset[int]:
        """Indexes of the lines inside code fences, the fences included."""
        inside, found = "", set()
        for i, line in enumerate(self.lines):
            mark = re.match(r"\s*(```+|~~~+)", line)
            if mark and not inside:
                inside = mark.group(1)[:3]
                found.add(i)
            elif inside:
                found.add(i)
                if mark and mark.group(1).startswith(inside):
                    inside = ""
        return frozenset(found)

    @cached_property
    def commented(self) -> frozenset[int]:
        """Indexes of the lines inside HTML comments, which no reader sees."""
        inside, found = False, set()
        for i, line in enumerate(self.lines):
            if not inside and "<!--" in line and i not in self.fenced:
                inside = True
            if inside:
                found.add(i)
                if "-->" in line:
                    inside = False
        return frozenset(found)

    @cached_property
    def prose(self) -> tuple[tuple[int, str], ...]:
        """(line number, line) of what is neither code, comment nor front matter."""
        hidden = self.fenced | self.commented
        return tuple((i + 1, line) for i, line in enumerate(self.lines) if i >= self.body_from and i not in hidden)

    def seen(self, line: int, value: str | None = None, key: str = "") -> Excerpt:
        """A line, to be cited."""
        return Excerpt(
            path=self.path, line=line, key=key, value=(self.lines[line - 1] if value is None else value).strip()[:200]
        )


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PublishedTable:
    """A CSV or TSV file, or a table in a document."""

    path: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    line: int = 1

    def column(self, *names: str) -> int | None:
        """The first column with one of these names, whatever its case."""
        lowered = [column.strip().lower() for column in self.columns]
        return next((lowered.index(name) for name in names if name in lowered), None)

    def seen(self, row: Row, column: int | None = None) -> Excerpt:
        """A cell or a row, to be cited."""
        if column is None:
            return Excerpt(path=self.path, line=row.line, key="", value=" | ".join(row.cells)[:200])
        return Excerpt(
            path=self.path, line=row.line, key=self.columns[column].strip(), value=row.cells[column].strip()[:200]
        )


@dataclass(frozen=True, kw_only=True)
class Code:
    """A Python file, parsed and never run."""

    path: str
    tree: ast.Module
    spdx: str = ""
    """Its SPDX-License-Identifier header."""
    spdx_line: int = 0


@dataclass(frozen=True, kw_only=True)
class Hashed:
    """One line of a list of digests."""

    path: str
    line: int
    name: str
    digest: str

    def seen(self) -> Excerpt:
        """This line, to be cited."""
        return Excerpt(path=self.path, line=self.line, key=self.name[:200], value=self.digest[:140])


@dataclass(frozen=True, kw_only=True)
class Tokenizer:
    """The tokenizer files of one folder."""

    folder: str
    path: str
    """The file that the ids come from."""
    ids: dict[str, int]
    added: frozenset[str]
    """Special and added tokens."""
    names: dict[str, Value]
    """`eos_token` and so on, as the tokenizer's own settings state them."""


@dataclass(frozen=True, kw_only=True)
class SavedWeights:
    """One saved state of the weights."""

    path: str
    family: str
    """Its path with the step left out: checkpoints of one family belong to one training."""
    step: int
    files: tuple[str, ...]
    sha256: str
    """Of the tensors' names and bytes, however they are packed."""
    tensors: dict[str, tuple[str, tuple[int, ...]]]

    def seen(self, value: str | None = None) -> Excerpt:
        """This checkpoint, to be cited."""
        return Excerpt(
            path=self.path, line=None, key=f"step {self.step}", value=value or f"tensors sha256 {self.sha256[:16]}"
        )


@dataclass(frozen=True, kw_only=True)
class Movement:
    """How far the weights moved between two checkpoints that follow each other."""

    earlier: SavedWeights
    later: SavedWeights
    largest: float
    """Of any one weight, after what rounding to the stored type can explain."""
    tensor: str
    largest_weight: float


@dataclass(frozen=True, kw_only=True)
class Items:
    """A file of tokenised training data."""

    path: str
    format: str
    num_items: int
    length: int | None
    """Tokens of each item; None where they differ."""
    first_digest: str
    """sha256 of the first items, in their order: the order's witness."""
    num_first: int
    set_digest: str | None
    """sha256 over all items, whatever their order; None where there are too many to read."""
    problem: str = ""
    """Where the file contradicts itself."""

    def seen(self) -> Excerpt:
        """This file, to be cited."""
        length = f"{self.length} tokens each" if self.length else "of different lengths"
        return Excerpt(
            path=self.path, line=None, key=self.format,
            value=f"{self.num_items} items {length}; first {self.num_first}: sha256 {self.first_digest[:16]}",
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LinkAsked:
    """An address that a document names, and what its server said."""

    text: Text
    line: int
    url: str
    status: int | None
    problem: str
    date: str


@dataclass(frozen=True, kw_only=True)
class PublishedFiles:
    """Everything that was read."""

    name: str
    files: tuple[File, ...]
    configs: tuple[Config, ...] = ()
    texts: tuple[Text, ...] = ()
    tables: tuple[PublishedTable, ...] = ()
    code: tuple[Code, ...] = ()
    hashes: tuple[tuple[Hashed, ...], ...] = ()
    tokenizers: tuple[Tokenizer, ...] = ()
    checkpoints: tuple[SavedWeights, ...] = ()
    movements: tuple[Movement, ...] = ()
    items: tuple[Items, ...] = ()
    links: tuple[LinkAsked, ...] | None = None
    """None where nobody asked for them."""
    weights: dict[str, dict[str, tuple[str, tuple[int, ...]]]] = field(default_factory=dict)
    """Per weight file: its tensors' types and shapes."""
    pointers: frozenset[str] = frozenset()
    """Git LFS pointers: the content is elsewhere."""
    magic: dict[str, str] = field(default_factory=dict)
    """Per file that was looked into without being read: what its first bytes say."""
    unreadable: dict[str, str] = field(default_factory=dict)
    derived: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What several checks derive from the same files, kept so that it is derived once."""

    @cached_property
    def by_path(self) -> dict[str, File]:
        """Every file."""
        return {file.path: file for file in self.files}

    @cached_property
    def folders(self) -> frozenset[str]:
        """Every folder that holds a file, at any depth."""
        return frozenset(str(parent) for file in self.files for parent in PurePosixPath(file.path).parents)

    @cached_property
    def is_package(self) -> bool:
        """Is this a Python package's archive, which holds only a part of its repository?"""
        return any(
            file.name == "PKG-INFO" or (file.name == "METADATA" and file.folder.endswith(".dist-info"))
            for file in self.files
        )


HEX = re.compile(r"[0-9a-fA-F]+\Z")
STEP = re.compile(
    r"(?:^|[-_.])(?:global[-_]?)?(?:step|ckpt|checkpoint|iter|iteration)[-_=]?0*(\d{1,12})(?=$|[-_.])", re.IGNORECASE
)


def step_of(part: str) -> int | None:
    """The training step that one part of a path names: `step1000`, `checkpoint-500`, `ckpt_012`, `step20000-tokens84B`."""
    found = STEP.search(part)
    return int(found.group(1)) if found else None


def split_row(line: str) -> tuple[str, ...]:
    """The cells of a Markdown table's row."""
    return tuple(cell.strip() for cell in line.strip().strip("|").split("|"))


def tables_of(text: Text) -> list[PublishedTable]:
    """The Markdown tables of a document."""
    found = []
    prose = dict(text.prose)
    for number, line in prose.items():
        rule = prose.get(number + 1, "")
        if "|" in line and re.fullmatch(r"\s*\|?\s*:?-{2,}:?\s*(\|\s*:?-{2,}:?\s*)*\|?\s*", rule) and "|" in rule:
            columns = split_row(line)
            rows = []
            below = number + 2
            while "|" in prose.get(below, ""):
                cells = split_row(prose[below])
                if len(cells) == len(columns):
                    rows.append(Row(line=below, cells=cells))
                below += 1
            found.append(PublishedTable(path=text.path, columns=columns, rows=tuple(rows), line=number))
    return found
