"""The contents of a release's files as plain data, read once by `checks.read`; every check is a function of them."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, TypeVar

from openassay.core.findings import Excerpt
from openassay.published.marked import Marked
from openassay.published.scalars import as_number

T = TypeVar("T")


def excerpt(path: str, key: str, value: str, line: int | None = None) -> Excerpt:
    """A place to be cited; without a line, the whole file or what stands at `key`."""
    return Excerpt(path=path, line=line, key=key, value=value)


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Something with a path inside the release."""

    path: str

    @property
    def name(self) -> str:
        """The path's last part."""
        return self.path.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """The path without its last part; empty at the top."""
        return self.path.rpartition("/")[0]


@dataclass(frozen=True, kw_only=True)
class File(Placed):
    """A regular file."""

    size_bytes: int
    date: str


@dataclass(frozen=True, kw_only=True)
class Value(Placed):
    """One scalar (or short list) of a settings file or of code, one line of a list of digests, and where it stands."""

    line: int | None
    key: str
    """Dotted: `optimizer.params.lr`; a list's items are numbered from 0."""
    value: Any
    text: str
    """As it is written."""
    plain: bool = False
    """YAML only: written without quotes, so that its type is the reader's guess."""

    @property
    def leaf(self) -> str:
        """The key's last word."""
        return self.key.rpartition(".")[2]

    @property
    def word(self) -> str:
        """The key's last word, its dashes as underscores."""
        return self.leaf.replace("-", "_")

    @property
    def number(self) -> float | None:
        """The value as a finite number; None if it is none."""
        return as_number(self.value)

    def seen(self, value: str | None = None) -> Excerpt:
        """This place, to be cited."""
        return excerpt(self.path, self.key[:200], (self.text if value is None else value)[:200], self.line)


@dataclass(frozen=True, kw_only=True)
class Config(Placed):
    """A file of settings: YAML, JSON, TOML or gin; or the front matter of a card."""

    format: str
    values: tuple[Value, ...] = ()
    repeated: tuple[tuple[Value, Value], ...] = ()
    """Keys that stand twice in one mapping."""
    comments: tuple[tuple[int, str], ...] = ()
    document: Any = None
    marked: Marked | None = None
    """The values with their places, as the readers of recipes take them."""

    @property
    def stem(self) -> str:
        """The file's name without its ending."""
        return PurePosixPath(self.path).stem

    @cached_property
    def by_key(self) -> dict[str, Value]:
        """The values by their dotted keys."""
        return {value.key: value for value in self.values}


@dataclass(frozen=True, kw_only=True)
class Text(Placed):
    """A document for people: README, card, plain text."""

    lines: tuple[str, ...]
    front: Config | None = None
    body_from: int = 0
    """Index of the first line after the front matter."""

    @cached_property
    def fenced(self) -> frozenset[int]:
        """Indexes of the lines inside code fences, the fences included."""
        inside, found = "", set()
        for i, line in enumerate(self.lines):
            mark = re.match(r"\s*(```+(?!.*`)|~~~+)", line)  # ```words``` in one line are a sentence's
            if inside or mark:
                found.add(i)
            if mark and not inside:
                inside = mark.group(1)[:3]
            elif mark and mark.group(1).startswith(inside):
                inside = ""
        return frozenset(found)

    @cached_property
    def commented(self) -> frozenset[int]:
        """Indexes of the lines inside HTML comments, which no reader sees."""
        inside, found = False, set()
        for i, line in enumerate(self.lines):
            inside = inside or ("<!--" in line and i not in self.fenced)
            if inside:
                found.add(i)
                inside = "-->" not in line
        return frozenset(found)

    @cached_property
    def prose(self) -> tuple[tuple[int, str], ...]:
        """(line number, line) of what is neither code, comment nor front matter."""
        hidden = self.fenced | self.commented
        return tuple((i + 1, line) for i, line in enumerate(self.lines) if i >= self.body_from and i not in hidden)

    def seen(self, line: int, value: str | None = None, key: str = "") -> Excerpt:
        """A line (counted from 1), to be cited."""
        return excerpt(self.path, key, (self.lines[line - 1] if value is None else value).strip()[:200], line)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PublishedTable(Placed):
    """A CSV or TSV file, or a table in a document."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def column(self, *names: str) -> int | None:
        """The first column with one of these names, whatever its case."""
        lowered = [column.strip().lower() for column in self.columns]
        return next((lowered.index(name) for name in names if name in lowered), None)

    def seen(self, row: Row, column: int | None = None) -> Excerpt:
        """A cell or a row, to be cited."""
        if column is None:
            return excerpt(self.path, "", " | ".join(row.cells)[:200], row.line)
        return excerpt(self.path, self.columns[column].strip(), row.cells[column].strip()[:200], row.line)


@dataclass(frozen=True, kw_only=True)
class Code(Placed):
    """A Python file, parsed and never run."""

    tree: ast.Module
    spdx: str = ""
    """Its SPDX-License-Identifier header."""
    spdx_line: int = 0

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of the tree."""
        return tuple(ast.walk(self.tree))


@dataclass(frozen=True, kw_only=True)
class Tokenizer(Placed):
    """The tokenizer files of one folder; `path` is the one that the ids come from."""

    ids: dict[str, int]
    added: frozenset[str]
    """Special and added tokens."""
    names: dict[str, Value]
    """`eos_token` and so on, as the tokenizer's own settings state them."""


@dataclass(frozen=True, kw_only=True)
class SavedWeights(Placed):
    """One saved state of the weights."""

    family: str
    """Its path with the step left out: checkpoints of one family belong to one training."""
    step: int
    files: tuple[str, ...]
    sha256: str
    """Of the tensors' names and bytes, however they are packed."""

    def seen(self, value: str | None = None) -> Excerpt:
        """This checkpoint, to be cited."""
        return excerpt(self.path, f"step {self.step}", value or f"tensors sha256 {self.sha256[:16]}")


@dataclass(frozen=True)
class Movement:
    """The distance of the weights between two checkpoints that follow each other."""

    earlier: SavedWeights
    later: SavedWeights
    largest: float
    """Of any one weight, less what rounding to the stored type can explain."""
    tensor: str
    largest_weight: float


@dataclass(frozen=True, kw_only=True)
class Items(Placed):
    """A file of tokenised training data."""

    format: str
    num_items: int
    length: int | None
    """Tokens of each item; None where they differ."""
    first_digest: str
    """sha256 of the first items in their order, by which two orders are told apart."""
    num_first: int
    set_digest: str | None
    """sha256 over all items, whatever their order; None where there are too many to read."""
    problem: str = ""
    """Where the file contradicts itself."""

    def seen(self) -> Excerpt:
        """This file, to be cited."""
        length = f"{self.length} tokens each" if self.length else "of different lengths"
        shown = f"{self.num_items} items {length}; first {self.num_first}: sha256 {self.first_digest[:16]}"
        return excerpt(self.path, self.format, shown)


@dataclass(frozen=True, kw_only=True)
class Pickled(Placed):
    """What loading one pickle would import, by its opcodes; `path` names the pickle's place inside a zip too."""

    imports: tuple[str, ...]
    """`module.name`, in their order, each once."""
    unnamed: int
    """Imports whose name is not written out, so that only loading tells it."""
    problem: str
    """Why it cannot be read to its end; empty where it can."""
    unread: str
    """Which limit of ours it exceeds; empty where it was read to its end."""

    def seen(self, key: str = "", value: str = "") -> Excerpt:
        """This pickle, to be cited."""
        return excerpt(self.path, key, value)


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
    """Everything that was read; the reader fills the lists."""

    name: str
    files: tuple[File, ...]
    elsewhere: frozenset[str] = frozenset()
    """Paths of the release's other files, which were not fetched, where they are known."""
    configs: list[Config] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    scripts: list[Text] = field(default_factory=list)
    """Shell scripts, as lines."""
    tables: list[PublishedTable] = field(default_factory=list)
    code: list[Code] = field(default_factory=list)
    hashes: list[tuple[Value, ...]] = field(default_factory=list)
    """Lists of digests: a file's name is the key, its digest the value."""
    tokenizers: list[Tokenizer] = field(default_factory=list)
    checkpoints: list[SavedWeights] = field(default_factory=list)
    movements: list[Movement] = field(default_factory=list)
    items: list[Items] = field(default_factory=list)
    links: tuple[LinkAsked, ...] | None = None
    """None where nobody asked for them."""
    weights: dict[str, dict[str, tuple[str, tuple[int, ...], int, int]]] = field(default_factory=dict)
    """Per weight file: its tensors' types, shapes, first bytes and numbers of bytes."""
    tensors_twice: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Per weight file: the tensors that its header names more than once."""
    pickles: list[Pickled] = field(default_factory=list)
    pointers: set[str] = field(default_factory=set)
    """Git LFS pointers: the content is elsewhere."""
    magic: dict[str, str] = field(default_factory=dict)
    """Per file that was looked into without being read: what its first bytes say."""
    unreadable: dict[str, str] = field(default_factory=dict)
    symlinks: set[str] = field(default_factory=set)
    """Paths of symbolic links, which are names of what lies elsewhere; none is followed."""
    derived: dict[Callable[..., Any], Any] = field(default_factory=dict, compare=False, repr=False)
    """What `derived_once` keeps."""

    @cached_property
    def by_path(self) -> dict[str, File]:
        """Every file by its path."""
        return {file.path: file for file in self.files}

    def has(self, path: str) -> bool:
        """Whether a file or folder of this path is there, or a symbolic link stands for it or for a folder above it."""
        if path in self.by_path or path in self.folders or path in self._elsewhere:
            return True
        return bool(self.symlinks) and any(
            str(of) in self.symlinks for of in (PurePosixPath(path), *PurePosixPath(path).parents)
        )

    @cached_property
    def by_name(self) -> dict[str, str]:
        """A path of each file's name."""
        others = {PurePosixPath(path).name: path for path in self.elsewhere}
        return others | {file.name: file.path for file in self.files}

    @cached_property
    def _elsewhere(self) -> frozenset[str]:
        """What was not fetched, with its folders."""
        return self.elsewhere | {str(parent) for path in self.elsewhere for parent in PurePosixPath(path).parents}

    @cached_property
    def code_by_path(self) -> dict[str, Code]:
        """The Python files by their paths."""
        return {code.path: code for code in self.code}

    @cached_property
    def folders(self) -> frozenset[str]:
        """Every folder that holds a file, at any depth."""
        return frozenset(str(parent) for file in self.files for parent in PurePosixPath(file.path).parents)


def derived_once(derive: Callable[[PublishedFiles], T]) -> Callable[[PublishedFiles], T]:
    """Make a function of a release compute its result once for each release."""

    @functools.wraps(derive)
    def kept(release: PublishedFiles) -> T:
        if derive not in release.derived:
            release.derived[derive] = derive(release)
        found: T = release.derived[derive]
        return found

    return kept


STEP = re.compile(
    r"(?:^|[-_.])(?:global[-_]?)?(?:step|ckpt|checkpoint|iter|iteration)[-_=]?0*(\d{1,12})(?=$|[-_.])", re.IGNORECASE
)


def step_of(part: str) -> int | None:
    """The training step that one part of a path names: `step1000`, `checkpoint-500`, `ckpt_012`, `step20000-tokens84B`."""
    found = STEP.search(part)
    return int(found.group(1)) if found else None


def marked_step(path: str) -> tuple[int, int] | None:
    """(index, step) of the last part of a path that names a step; a file's ending does not belong to its name."""
    parts = path.split("/")
    parts[-1] = parts[-1].rpartition(".")[0] or parts[-1]
    return next(((i, step) for i, part in reversed([*enumerate(parts)]) if (step := step_of(part)) is not None), None)
