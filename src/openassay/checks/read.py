"""Reads the files of a release once, within bounds; nothing is executed, no link is followed.

What cannot be read is listed with its reason, never passed over in silence.
"""

from __future__ import annotations

import ast
import csv
import datetime as dt
import hashlib
import io
import itertools
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from openassay.checks import settings, weights
from openassay.checks.release import (
    Code,
    Config,
    File,
    Hashed,
    Items,
    Movement,
    PublishedFiles,
    PublishedTable,
    Row,
    SavedWeights,
    Text,
    Tokenizer,
    Value,
    marked_step,
)
from openassay.checks.scalars import Unreadable, is_integer

MAX_FILES = 100_000
MAX_TEXT = 2 * 2**20
MAX_CONFIG = 2 * 2**20
MAX_JSON = 32 * 2**20
MAX_CODE = 2**20
MAX_TABLE_ROWS = 50_000
MAX_READ = 512 * 2**20
"""Bytes of text, settings, tables and code, all files together."""
MAX_WEIGHTS = 8 * 2**30
"""Bytes of weights that are compared with each other."""
MAX_ITEMS = 1 * 2**30
SKIPPED = {".git", "__pycache__", "node_modules", ".hg", ".svn"}
TEXTS = {".md", ".markdown", ".rst", ".txt", ".tex", ""}
TEXT_NAMES = re.compile(
    r"(?i)(readme|licen[cs]e|copying|notice|model[_-]?card|data[_-]?card|dataset[_-]?card|datasheet|citation|pkg-info|metadata"
    r"|unlicense|changelog|copyright)"
)
POINTER = b"version https://git-lfs.github.com/spec/"
WEIGHTS = {".safetensors", ".bin", ".pt", ".pth", ".ckpt"}
ITEMS = {".idx": weights.megatron_items, ".npy": weights.numpy_items, ".jsonl": weights.jsonl_items}
MAGIC = {b"%PDF": "pdf", b"PAR1": "parquet", b"ARROW1": "arrow", b"GGUF": "gguf", b"\x89HDF": "hdf5"}


def read_release(root: Path, *, name: str = "") -> PublishedFiles:
    """Everything that the checks look at, from a folder or from one file."""
    root = root.resolve() if root.is_symlink() else root  # the one link that the user named
    unreadable: dict[str, str] = {}
    if root.is_file():
        return _FileReader(root.parent, (_file(root, root.name),), unreadable).release(name or root.name)
    files = tuple(sorted(_files(root, unreadable), key=lambda file: file.path))
    return _FileReader(root, files, unreadable).release(name or root.name)


def _files(top: Path, unreadable: dict[str, str]) -> Iterator[File]:
    found = 0
    folders = [(top, "")]
    while folders:
        folder, inside = folders.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            unreadable[inside or "."] = error.strerror or "the folder cannot be opened"
            continue
        for entry in entries:
            path = f"{inside}/{entry.name}" if inside else entry.name
            if not path.isprintable():
                path = path.encode("unicode_escape", "backslashreplace").decode()
                unreadable[path] = "its name has characters that cannot be printed"
                continue
            if entry.is_symlink():
                continue
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in SKIPPED and not entry.name.endswith((".egg-info",)):
                    folders.append((Path(entry.path), path))
            elif entry.is_file(follow_symlinks=False):
                found += 1
                if found > MAX_FILES:
                    unreadable["."] = f"more than {MAX_FILES} files; the others were not looked at"
                    return
                yield _file(Path(entry.path), path)


def _file(path: Path, inside: str) -> File:
    stat = path.stat()
    try:
        date = dt.datetime.fromtimestamp(stat.st_mtime, tz=dt.UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        date = "unknown"
    return File(path=inside, size_bytes=stat.st_size, date=date)


class _FileReader:
    """Reads each file by what its name says it is."""

    def __init__(self, top: Path, files: tuple[File, ...], unreadable: dict[str, str]) -> None:
        self.top, self.files, self.unreadable = top, files, unreadable
        self.left = MAX_READ
        self.configs: list[Config] = []
        self.texts: list[Text] = []
        self.tables: list[PublishedTable] = []
        self.code: list[Code] = []
        self.hashes: list[tuple[Hashed, ...]] = []
        self.headers: dict[str, weights.Header] = {}
        self.pointers: set[str] = set()
        self.magic: dict[str, str] = {}
        self.items: list[Items] = []
        self.documents: dict[str, Any] = {}

    def release(self, name: str) -> PublishedFiles:
        for file in self.files:
            try:
                self._read(file)
            except Unreadable as problem:
                self.unreadable[file.path] = str(problem)
            except OSError as error:
                self.unreadable[file.path] = error.strerror or "cannot be opened"
            except (RecursionError, MemoryError):
                self.unreadable[file.path] = "nested too deeply"
        tokenizers = tuple(_tokenizers(self.documents, self.configs))
        checkpoints, movements = self._checkpoints()
        return PublishedFiles(
            name=name, files=self.files, configs=tuple(self.configs), texts=tuple(self.texts), tables=tuple(self.tables),
            code=tuple(self.code), hashes=tuple(self.hashes), tokenizers=tokenizers, checkpoints=checkpoints,
            movements=movements, items=tuple(self.items), pointers=frozenset(self.pointers), magic=self.magic,
            weights={path: header.shapes for path, header in self.headers.items()}, unreadable=self.unreadable,
        )  # fmt: skip

    def _text(self, file: File, most: int) -> str:
        if file.size_bytes > most:
            raise Unreadable(f"{file.size_bytes} bytes; at most {most} are read")
        if file.size_bytes > self.left:
            raise Unreadable(f"not read: more than {MAX_READ} bytes in all")
        self.left -= file.size_bytes
        with (self.top / file.path).open("rb") as opened:
            return _decoded(opened.read(most + 1))

    def _read(self, file: File) -> None:  # noqa: PLR0912 - one branch for each kind of file
        suffix = Path(file.name).suffix.lower()
        if file.size_bytes < 1024 and suffix not in {".py", ".md"} and self._head(file, len(POINTER)) == POINTER:
            self.pointers.add(file.path)
        elif suffix in {".yaml", ".yml", ".cff"}:
            text = self._text(file, MAX_CONFIG)
            try:
                self.configs.append(settings.read_yaml(file.path, text))
            except Unreadable:
                _refuse_template(text)
                raise
        elif suffix == ".json" or file.name.endswith(".json5"):
            self._json(file)
        elif suffix == ".toml":
            self.configs.append(settings.read_toml(file.path, self._text(file, MAX_CONFIG)))
        elif suffix == ".gin":
            self.configs.append(settings.read_gin(file.path, self._text(file, MAX_CONFIG)))
        elif suffix in {".csv", ".tsv"}:
            self._table(file, "\t" if suffix == ".tsv" else ",")
        elif suffix == ".py":
            self._code(file)
        elif suffix in WEIGHTS:
            header = weights.read_header(self.top / file.path)
            if header is None:
                self.magic[file.path] = "unknown"
            else:
                self.headers[file.path] = header
        elif suffix in ITEMS:
            if (found := ITEMS[suffix](self.top / file.path, file.path, MAX_ITEMS)) is not None:
                self.items.append(found)
        elif suffix in TEXTS or TEXT_NAMES.match(file.name):
            self._document(file, suffix)
        elif suffix in {".sha256", ".sha256sum", ".md5", ".sha1", ".sha512"} or file.name.upper().endswith("SUMS"):
            self.hashes.extend(_hashes(file.path, self._text(file, MAX_TEXT).splitlines()))
        elif suffix in {".pdf", ".parquet", ".arrow", ".gguf", ".h5", ".onnx"}:
            head = self._head(file, 16)
            self.magic[file.path] = next((kind for mark, kind in MAGIC.items() if head.startswith(mark)), "unknown")

    def _head(self, file: File, size: int) -> bytes:
        with (self.top / file.path).open("rb") as opened:
            return opened.read(size)

    def _document(self, file: File, suffix: str) -> None:
        if suffix == "" and not (TEXT_NAMES.match(file.name) or file.name.upper().endswith("SUMS")):
            return
        if file.size_bytes > MAX_TEXT and not TEXT_NAMES.match(file.name):
            return  # a long .txt is data, not a document
        lines = tuple(self._text(file, MAX_TEXT).splitlines())
        self.hashes.extend(_hashes(file.path, lines))
        front, start, problem = settings.front_matter(file.path, lines)
        if problem:
            self.unreadable[f"{file.path} (front matter)"] = problem
        self.texts.append(Text(path=file.path, lines=lines, front=front, body_from=start))

    def _json(self, file: File) -> None:
        text = self._text(file, MAX_JSON)
        try:
            document, repeated = settings.parse_json(text)
        except ValueError as error:
            if not isinstance(error, json.JSONDecodeError):  # more digits than Python turns into a number
                raise Unreadable("a number that is too long to be read") from None
            first = text.lstrip().partition("\n")[0]
            if "Extra data" in str(error) and first.rstrip().endswith(("}", "]")):
                return  # one document a line
            _refuse_template(text)
            if re.search(r"(^|[\s{\[,])//|/\*", text, re.MULTILINE):
                raise Unreadable("JSON with comments, which is not read") from None
            raise Unreadable(f"not JSON: {str(error)[:200]}") from None
        self.documents[file.path] = document
        if file.name in {"tokenizer.json", "vocab.json"} or len(text) > MAX_CONFIG or not isinstance(document, dict):
            return
        self.configs.append(settings.json_config(file.path, text, document, repeated))

    def _table(self, file: File, delimiter: str) -> None:
        if file.size_bytes > MAX_JSON:
            return  # data, not a list: seen by its name only
        text = self._text(file, MAX_JSON)
        rows: list[Row] = []
        columns: tuple[str, ...] | None = None
        try:
            lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
            for cells in lines:
                if not cells or not any(cell.strip() for cell in cells):
                    continue
                if columns is None:
                    columns = tuple(cell.lstrip("\ufeff") for cell in cells)
                elif len(cells) == len(columns):
                    rows.append(Row(line=lines.line_num, cells=tuple(cells)))
                elif len(rows) < MAX_TABLE_ROWS:
                    self.unreadable.setdefault(
                        file.path, f"line {lines.line_num}: {len(cells)} cells, expected {len(columns)}"
                    )
                if len(rows) >= MAX_TABLE_ROWS:
                    self.unreadable.setdefault(
                        file.path, f"more than {MAX_TABLE_ROWS} rows; the others were not looked at"
                    )
                    break
        except csv.Error as error:
            raise Unreadable(f"not a table: {error}") from None
        if columns:
            self.tables.append(PublishedTable(path=file.path, columns=columns, rows=tuple(rows)))

    def _code(self, file: File) -> None:
        text = self._text(file, MAX_CODE)
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError) as error:
            raise Unreadable(f"not Python 3: {str(error)[:120]}") from None
        header = re.compile(r"SPDX-License-Identifier:\s*([^\s*][^*\n]*)")
        named = ((i, found) for i, line in enumerate(text.splitlines()[:40], 1) if (found := header.search(line)))
        spdx = next(((found.group(1).strip().rstrip("-/ >"), i) for i, found in named), ("", 0))
        self.code.append(Code(path=file.path, tree=tree, spdx=spdx[0], spdx_line=spdx[1]))

    def _checkpoints(self) -> tuple[tuple[SavedWeights, ...], tuple[Movement, ...]]:
        groups: dict[tuple[str, int, str], list[str]] = defaultdict(list)
        for path in self.headers:
            marked = None if weights.is_optimizer(path) else marked_step(path)
            if marked is None:
                continue
            at, step = marked
            parts = path.split("/")
            pattern, count = (r"\d+", 0) if at < len(parts) - 1 else (rf"0*{step}(?!\d)", 1)
            family = "/".join([*parts[:at], re.sub(pattern, "#", parts[at], count=count)])
            groups[family, step, "/".join(parts[: at + 1])].append(path)
        made, left = [], MAX_WEIGHTS
        for (family, step, folder), paths in sorted(groups.items()):
            headers = self._headers(sorted(paths))
            size = sum(header.size_bytes for header in headers)
            if size > left:
                self.unreadable[folder] = f"{size} bytes of weights: not compared, more than {MAX_WEIGHTS} bytes in all"
                continue
            left -= size
            try:
                digest = weights.content_digest(headers)
            except (OSError, ValueError) as error:
                self.unreadable[folder] = f"the tensors cannot be read: {error}"
                continue
            files = tuple(sorted(paths))
            made.append(SavedWeights(path=folder, family=family, step=step, files=files, sha256=digest))
        movements = []
        for earlier, later in itertools.pairwise(made):
            if earlier.family == later.family and earlier.step < later.step:
                move = weights.movement(self._headers(earlier.files), self._headers(later.files))
                if move is not None:
                    largest, tensor, weight = move
                    movements.append(
                        Movement(earlier=earlier, later=later, largest=largest, tensor=tensor, largest_weight=weight)
                    )
        return tuple(made), tuple(movements)

    def _headers(self, paths: Iterable[str]) -> list[weights.Header]:
        return [self.headers[path] for path in paths]


def _refuse_template(text: str) -> None:
    if re.search(r"\{\{.*\}\}|\{%", text):
        raise Unreadable("a template, which is not read") from None


def _decoded(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError:
            raise Unreadable("not text") from None
    if b"\0" in data[:8192]:
        raise Unreadable("not text: it holds zero bytes")
    return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")


def _hashes(path: str, lines: Iterable[str]) -> Iterator[tuple[Hashed, ...]]:
    """The file's one list of `name digest` or `digest  name`, if most lines are one."""
    found: list[Hashed] = []
    others = 0
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if pair := _pair(words):
            found.append(Hashed(path=path, line=number, name=pair[0], digest=pair[1]))
        else:
            others += 1
            if others > 20 and others > len(found):
                return
    whole = sum(len(hashed.digest) in {32, 40, 56, 64, 96, 128} for hashed in found)
    if len(found) >= 2 and whole > len(found) / 2 and others <= len(found) / 4:
        yield tuple(found)


def _pair(words: list[str]) -> tuple[str, str] | None:
    if len(words) != 2:
        return None
    left, right = words[0], words[1].lstrip("*")
    if _like_digest(right) and not _like_digest(left):
        return left.rstrip(":"), right
    if _like_digest(left) and not _like_digest(right):
        return right, left
    return None


def _like_digest(word: str) -> bool:
    return len(word) >= 24 and bool(re.fullmatch(r"[0-9a-fA-F]+", word))


def _tokenizers(documents: dict[str, Any], configs: list[Config]) -> Iterator[Tokenizer]:
    by_path = {config.path: config for config in configs}
    for path, document in documents.items():
        folder, _, name = path.rpartition("/")
        prefix = f"{folder}/" if folder else ""
        if not isinstance(document, dict):
            continue
        if isinstance(document.get("model"), dict) and isinstance(document["model"].get("vocab"), (dict, list)):
            ids, added = _vocabulary(document)
        elif name == "vocab.json" and f"{prefix}tokenizer.json" not in documents:
            ids, added = {key: value for key, value in document.items() if is_integer(value)}, set()
        else:
            continue
        if not ids:
            continue
        names: dict[str, Value] = {}
        if name in {"tokenizer.json", "vocab.json"}:
            for other in ("special_tokens_map.json", "tokenizer_config.json"):
                found = by_path.get(prefix + other)
                if found is not None:
                    _add_decoder(found.document.get("added_tokens_decoder"), ids, added)
                    names |= _special_names(found)
        yield Tokenizer(path=path, ids=ids, added=frozenset(added), names=names)


def _special_names(config: Config) -> dict[str, Value]:
    kinds = ("eos_token", "bos_token", "pad_token", "unk_token")
    given = ((kind, config.by_key.get(key)) for kind in kinds for key in (kind, f"{kind}.content"))
    return {kind: value for kind, value in given if value is not None and isinstance(value.value, str)}


def _add_decoder(decoder: Any, ids: dict[str, int], added: set[str]) -> None:
    for number, entry in decoder.items() if isinstance(decoder, dict) else ():
        if not isinstance(entry, dict) or not isinstance(entry.get("content"), str):
            continue
        if number.isdecimal() and len(number) < 12:
            ids.setdefault(entry["content"], int(number))
            added.add(entry["content"])


def _vocabulary(document: dict[str, Any]) -> tuple[dict[str, int], set[str]]:
    """The ids of a tokenizer.json, and which of its tokens are added ones."""
    vocab = document["model"]["vocab"]
    if isinstance(vocab, dict):
        ids = {key: value for key, value in vocab.items() if is_integer(value)}
    else:
        listed = ((i, entry[0]) for i, entry in enumerate(vocab) if isinstance(entry, list) and entry)
        ids = {token: i for i, token in listed if isinstance(token, str)}
    added = set()
    entries = document.get("added_tokens")
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and isinstance(entry.get("content"), str) and isinstance(entry.get("id"), int):
            ids[entry["content"]] = entry["id"]
            added.add(entry["content"])
    return ids, added


def short_digest(path: Path, most: int = 2**30) -> str | None:
    """sha256 of a file of at most `most` bytes; None for a larger one and for one that cannot be read."""
    try:
        if path.stat().st_size > most:
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
