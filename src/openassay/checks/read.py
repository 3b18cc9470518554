"""What does a folder of a release hold? Read once, bounded, nothing executed, no link followed.

What cannot be read is listed with its reason, never passed over in silence.
"""

from __future__ import annotations

import ast
import contextlib
import csv
import datetime as dt
import hashlib
import io
import itertools
import json
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from openassay.checks import weights
from openassay.checks.release import (
    HEX,
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
    step_of,
)  # fmt: skip
from openassay.checks.scalars import Node, Unreadable, parse_yaml, yaml_1_1, yaml_1_2

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


class _Budget:
    """How many bytes may still be read?"""

    def __init__(self, size: int) -> None:
        self.left = size

    def take(self, size: int) -> bool:
        if size > self.left:
            return False
        self.left -= size
        return True


def read_release(root: Path, *, name: str = "") -> PublishedFiles:
    """Everything that the checks look at, from a folder or from one file."""
    root = root.resolve() if root.is_symlink() else root  # the one link that the user named
    top, only = (root.parent, root.name) if root.is_file() else (root, None)
    unreadable: dict[str, str] = {}
    files = tuple(sorted(_files(top, only, unreadable), key=lambda file: file.path))
    reader = _FileReader(top, files, unreadable)
    return reader.release(name or root.name)


def _files(top: Path, only: str | None, unreadable: dict[str, str]) -> Iterator[File]:
    if only is not None:
        yield _file(top / only, only)
        return
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
                unreadable[path] = "an odd name"
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
        self.budget = _Budget(MAX_READ)
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

    def _bytes(self, file: File, most: int) -> bytes:
        if file.size_bytes > most:
            raise Unreadable(f"{file.size_bytes} bytes; at most {most} are read")
        if not self.budget.take(file.size_bytes):
            raise Unreadable(f"not read: more than {MAX_READ} bytes in all")
        with (self.top / file.path).open("rb") as opened:
            return opened.read(most + 1)

    def _text(self, file: File, most: int) -> str:
        return _decoded(self._bytes(file, most))

    def _read(self, file: File) -> None:  # noqa: PLR0912 - one branch for each kind of file
        suffix = Path(file.name).suffix.lower()
        if file.size_bytes < 1024 and suffix not in {".py", ".md"}:
            with (self.top / file.path).open("rb") as opened:
                if opened.read(len(POINTER)) == POINTER:
                    self.pointers.add(file.path)
                    return
        if suffix in {".yaml", ".yml", ".cff"}:
            text = self._text(file, MAX_CONFIG)
            try:
                self.configs.append(_yaml(file.path, text))
            except Unreadable:
                if re.search(r"\{\{.*\}\}|\{%", text):
                    raise Unreadable("a template, which is not read") from None
                raise
        elif suffix == ".json" or file.name.endswith(".json5"):
            self._json(file)
        elif suffix == ".toml":
            self.configs.append(_toml(file.path, self._text(file, MAX_CONFIG)))
        elif suffix == ".gin":
            self.configs.append(_gin(file.path, self._text(file, MAX_CONFIG)))
        elif suffix in {".csv", ".tsv"}:
            self._table(file, "\t" if suffix == ".tsv" else ",")
        elif suffix == ".py":
            self._code(file)
        elif suffix in WEIGHTS:
            self._weights(file)
        elif suffix in {".idx", ".npy", ".jsonl"}:
            self._items(file, suffix)
        elif suffix in TEXTS or TEXT_NAMES.match(file.name):
            self._document(file, suffix)
        elif suffix in {".sha256", ".sha256sum", ".md5", ".sha1", ".sha512"} or file.name.upper().endswith("SUMS"):
            self._hash_list(file.path, self._text(file, MAX_TEXT).splitlines())
        elif suffix in {".pdf", ".parquet", ".arrow", ".gguf", ".h5", ".onnx"}:
            with (self.top / file.path).open("rb") as opened:
                self.magic[file.path] = _magic(opened.read(16))

    def _document(self, file: File, suffix: str) -> None:
        if suffix == "" and not (TEXT_NAMES.match(file.name) or file.name.upper().endswith("SUMS")):
            return
        known = bool(TEXT_NAMES.match(file.name))
        if file.size_bytes > MAX_TEXT and not known:
            return  # a long .txt is data, not a document
        text = self._text(file, MAX_TEXT)
        lines = tuple(text.splitlines())
        self._hash_list(file.path, list(lines))
        front, start = _front_matter(file.path, lines, self.unreadable)
        self.texts.append(Text(path=file.path, lines=lines, front=front, body_from=start))

    def _hash_list(self, path: str, lines: list[str]) -> None:
        found = _hashes(path, lines)
        if found:
            self.hashes.append(found)

    def _json(self, file: File) -> None:
        text = self._text(file, MAX_JSON)
        repeated: list[str] = []

        def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            made: dict[str, Any] = {}
            for key, value in pairs:
                if key in made and made[key] != value:
                    repeated.append(key)
                made[key] = value
            return made

        try:
            document = json.loads(text, object_pairs_hook=mapping)
        except ValueError as error:
            if not isinstance(error, json.JSONDecodeError):  # more digits than Python turns into a number
                raise Unreadable("a number that is too long to be read") from None
            first = text.lstrip().partition("\n")[0]
            if "Extra data" in str(error) and first.rstrip().endswith(("}", "]")):
                return  # one document a line
            if re.search(r"\{\{.*\}\}|\{%", text):
                raise Unreadable("a template, which is not read") from None
            if re.search(r"(^|[\s{\[,])//|/\*", text, re.MULTILINE):
                raise Unreadable("JSON with comments, which is not read") from None
            raise Unreadable(f"not JSON: {str(error)[:200]}") from None
        self.documents[file.path] = document
        if file.name in {"tokenizer.json", "vocab.json"} or len(text) > MAX_CONFIG or not isinstance(document, dict):
            return
        results = isinstance(document.get("results"), dict)  # measured values, not settings: looked at as a whole
        values = () if results else tuple(_json_values(file.path, text, document))
        twice = tuple(pair for key in dict.fromkeys(repeated) if (pair := _json_repeats(file.path, text, key)))
        self.configs.append(Config(path=file.path, format="json", values=values, repeated=twice, document=document))

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
        spdx, line = "", 0
        for i, written in enumerate(text.splitlines()[:40]):
            if found := re.search(r"SPDX-License-Identifier:\s*([^\s*][^*\n]*)", written):
                spdx, line = found.group(1).strip().rstrip("-/ >"), i + 1
                break
        self.code.append(Code(path=file.path, tree=tree, spdx=spdx, spdx_line=line))

    def _weights(self, file: File) -> None:
        header = weights.read_header(self.top / file.path)
        if header is None:
            self.magic[file.path] = "unknown"
        else:
            self.headers[file.path] = header

    def _items(self, file: File, suffix: str) -> None:
        found: Items | None = None
        if suffix == ".idx":
            found = weights.megatron_items(self.top / file.path, file.path)
        elif suffix == ".npy":
            found = weights.numpy_items(self.top / file.path, file.path, MAX_ITEMS)
        elif suffix == ".jsonl":
            found = weights.jsonl_items(self.top / file.path, file.path, MAX_ITEMS)
        if found is not None:
            self.items.append(found)

    def _checkpoints(self) -> tuple[tuple[SavedWeights, ...], tuple[Movement, ...]]:
        groups: dict[tuple[str, int, str], list[str]] = {}
        for path in self.headers:
            if weights.is_optimizer(path):
                continue
            parts = path.split("/")
            marked = [i for i, part in enumerate(parts) if step_of(_stem(part, last=i == len(parts) - 1)) is not None]
            if not marked:
                continue
            at = marked[-1]
            step = step_of(_stem(parts[at], last=at == len(parts) - 1))
            assert step is not None  # noqa: S101 - it was just found
            masked = (
                re.sub(r"\d+", "#", parts[at])
                if at < len(parts) - 1
                else re.sub(rf"0*{step}(?!\d)", "#", parts[at], count=1)
            )
            family = "/".join([*parts[:at], masked])
            groups.setdefault((family, step, "/".join(parts[: at + 1])), []).append(path)
        budget = _Budget(MAX_WEIGHTS)
        made = []
        for (family, step, folder), paths in sorted(groups.items()):
            size = sum(self.headers[path].size_bytes for path in paths)
            if not budget.take(size):
                self.unreadable[folder] = f"{size} bytes of weights: not compared, more than {MAX_WEIGHTS} bytes in all"
                continue
            headers = [self.headers[path] for path in sorted(paths)]
            try:
                digest = weights.content_digest(headers)
            except (OSError, ValueError) as error:
                self.unreadable[folder] = f"the tensors cannot be read: {error}"
                continue
            tensors = {key: shape for header in headers for key, shape in header.shapes.items()}
            made.append(
                SavedWeights(
                    path=folder, family=family, step=step, files=tuple(sorted(paths)), sha256=digest, tensors=tensors
                )
            )
        movements = []
        for earlier, later in itertools.pairwise(made):
            if earlier.family == later.family and earlier.step < later.step:
                move = weights.movement(
                    [self.headers[path] for path in earlier.files], [self.headers[path] for path in later.files]
                )
                if move is None:
                    continue
                largest, tensor, weight = move
                movements.append(
                    Movement(earlier=earlier, later=later, largest=largest, tensor=tensor, largest_weight=weight)
                )
        return tuple(made), tuple(movements)


def _stem(part: str, *, last: bool) -> str:
    return part.rpartition(".")[0] or part if last else part


def _decoded(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError:
            raise Unreadable("not text") from None
    if b"\0" in data[:8192]:
        raise Unreadable("not text: it holds zero bytes")
    return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")


def _magic(head: bytes) -> str:
    for mark, kind in (
        (b"%PDF", "pdf"),
        (b"PAR1", "parquet"),
        (b"ARROW1", "arrow"),
        (b"GGUF", "gguf"),
        (b"\x89HDF", "hdf5"),
    ):
        if head.startswith(mark):
            return kind
    return "unknown"


def _yaml(path: str, text: str) -> Config:
    top = parse_yaml(text)
    if top is None:
        return Config(path=path, format="yaml", values=())
    values: list[Value] = []
    repeated: list[tuple[Value, Value]] = []
    document = _yaml_value(path, top, "", values, repeated)
    comments = tuple(_comments(text)) if "#" in text else ()
    return Config(
        path=path, format="yaml", values=tuple(values), repeated=tuple(repeated), comments=comments, document=document
    )


def _comments(text: str) -> Iterator[tuple[int, str]]:
    """(line, comment), where a `#` begins one outside quotes."""
    for i, line in enumerate(text.splitlines()):
        if "#" not in line:
            continue
        bare = re.sub(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'", lambda quoted: "." * len(quoted.group()), line)
        found = re.search(r"(?:^|\s)#", bare)
        if found:
            yield i + 1, line[found.end() :].strip()


def _yaml_value(path: str, node: Node, key: str, values: list[Value], repeated: list[tuple[Value, Value]]) -> Any:
    if node.kind in {"scalar", "alias"}:
        meant = yaml_1_2(node.text) if node.plain else node.text
        if isinstance(meant, str) and node.plain and not isinstance(other := yaml_1_1(node.text), (bool, str)):
            meant = other  # 1_000 is meant as a number
        values.append(
            Value(
                path=path,
                line=node.line,
                key=key,
                value=meant,
                text=node.text,
                plain=node.plain and node.kind == "scalar",
            )
        )
        return meant
    if node.kind == "list":
        made = [
            _yaml_value(path, item, f"{key}.{i}" if key else str(i), values, repeated)
            for i, (_, item) in enumerate(node.items)
        ]
        if len(made) <= 64 and all(not isinstance(item, (list, dict)) for item in made):
            values.append(
                Value(path=path, line=node.line, key=key, value=tuple(made), text=json.dumps(made, default=str)[:500])
            )
        return made
    mapping: dict[str, Any] = {}
    lines: dict[str, Value] = {}
    for key_node, item in node.items:
        word = key_node.text if key_node is not None and key_node.kind == "scalar" else "?"
        inner = f"{key}.{word}" if key else word
        before = len(values)
        value = _yaml_value(path, item, inner, values, repeated)
        here = Value(
            path=path, line=key_node.line if key_node else item.line, key=inner, value=value,
            text=item.text if item.kind == "scalar" else f"a {item.kind} of {len(item.items)}",
        )  # fmt: skip
        if word in lines and word not in {"<<", "?"} and mapping[word] != value:
            repeated.append((lines[word], here))
        lines[word] = here
        mapping[word] = value
        if item.kind != "scalar" and len(values) == before:
            continue
    return mapping


MAX_JSON_VALUES = 20_000


def _json_values(path: str, text: str, document: Any) -> Iterator[Value]:
    """The scalars of a JSON document with their lines, which are found by going through the text once."""
    position, line, given = 0, 1, 0
    stack: list[tuple[str, str | None, Any]] = [("", None, document)]
    while stack and given < MAX_JSON_VALUES:
        key, name, item = stack.pop()
        if name is not None:
            word = json.dumps(name, ensure_ascii=False)
            found = text.find(word, position)
            while found >= 0 and not text[found + len(word) : found + len(word) + 20].lstrip().startswith(":"):
                found = text.find(word, found + len(word))  # a value of the same spelling
            if found >= 0:
                line += text.count("\n", position, found)
                position = found
        if isinstance(item, dict):
            stack.extend((f"{key}.{inner}" if key else inner, inner, value) for inner, value in reversed(item.items()))
        elif isinstance(item, list):
            if len(item) <= 64 and all(not isinstance(part, (list, dict)) for part in item):
                given += 1
                yield Value(path=path, line=line, key=key, value=tuple(item), text=json.dumps(item)[:500])
            else:
                stack.extend(
                    (f"{key}.{i}" if key else str(i), None, item[i]) for i in reversed(range(min(len(item), 2000)))
                )
        else:
            given += 1
            written = repr(item) if isinstance(item, (int, float)) and not isinstance(item, bool) else json.dumps(item)
            yield Value(path=path, line=line, key=key, value=item, text=written[:500])


def _json_repeats(path: str, text: str, key: str) -> tuple[Value, Value] | None:
    found = list(re.finditer(re.escape(json.dumps(key)) + r"\s*:\s*([^,}\n]*)", text))
    if len(found) < 2:
        return None
    first, last = (
        Value(path=path, line=text.count("\n", 0, at.start()) + 1, key=key, value=at.group(1), text=at.group(1).strip())
        for at in (found[0], found[-1])
    )
    return first, last


def _toml(path: str, text: str) -> Config:
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, ValueError) as error:
        raise Unreadable(f"not TOML: {str(error)[:200]}") from None
    values: list[Value] = []
    stack: list[tuple[str, Any]] = [("", document)]
    lines = text.splitlines()
    while stack:
        key, item = stack.pop()
        if isinstance(item, dict):
            stack.extend((f"{key}.{name}" if key else name, value) for name, value in item.items())
        elif isinstance(item, list) and any(isinstance(part, dict) for part in item):
            stack.extend((f"{key}.{i}", value) for i, value in enumerate(item))
        else:
            word = re.compile(rf"\s*[\"']?{re.escape(key.rpartition('.')[2])}[\"']?\s*=")
            line = next((i + 1 for i, written in enumerate(lines) if word.match(written)), None)
            value = tuple(item) if isinstance(item, list) else item
            values.append(Value(path=path, line=line, key=key, value=value, text=str(item)[:500]))
    return Config(path=path, format="toml", values=tuple(values), document=document)


def _gin(path: str, text: str) -> Config:
    """Bindings `a/b.c = value` and macros of a gin file; values that are no literals stay words."""
    values, lines, i = [], text.splitlines(), 0
    repeated: list[tuple[Value, Value]] = []
    seen: dict[str, Value] = {}
    comments = tuple(_comments(text))
    while i < len(lines):
        start, line = i, _uncommented(lines[i])
        i += 1
        found = re.match(r"([A-Za-z_][\w./]*)\s*=\s*(.*)\Z", line)
        if not found:
            continue
        key, written = found.group(1), found.group(2).strip()
        while i < len(lines) and (written.endswith("\\") or _open(written)) and i - start < 200:
            written = written.rstrip("\\").rstrip() + " " + _uncommented(lines[i]).strip()
            i += 1
        value: Any = written
        with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            value = ast.literal_eval(written) if len(written) < 10_000 else written
        value = tuple(value) if isinstance(value, list) else value
        made = Value(path=path, line=start + 1, key=key.replace("/", "."), value=value, text=written[:500])
        if key in seen and seen[key].value != value:
            repeated.append((seen[key], made))
        seen[key] = made
        values.append(made)
    return Config(path=path, format="gin", values=tuple(values), repeated=tuple(repeated), comments=comments)


def _uncommented(line: str) -> str:
    bare = re.sub(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'", lambda quoted: "." * len(quoted.group()), line)
    return line[: bare.index("#")].rstrip() if "#" in bare else line.rstrip()


def _open(text: str) -> bool:
    return sum(text.count(mark) for mark in "([{") > sum(text.count(mark) for mark in ")]}")


def _front_matter(path: str, lines: tuple[str, ...], unreadable: dict[str, str]) -> tuple[Config | None, int]:
    if not lines or lines[0].rstrip() != "---" or not path.lower().endswith((".md", ".markdown")):
        return None, 0
    end = next((i for i, line in enumerate(lines[1:2000], 1) if line.rstrip() in {"---", "..."}), None)
    if end is None:
        return None, 0
    try:
        front = _yaml(path, "\n".join(["", *lines[1:end]]))  # one empty line, so that the lines' numbers are the file's
    except Unreadable as problem:
        unreadable[f"{path} (front matter)"] = str(problem)
        return None, end + 1
    return front, end + 1


_DIGEST_LENGTHS = {32, 40, 56, 64, 96, 128}


def _hashes(path: str, lines: list[str]) -> tuple[Hashed, ...]:
    """A list of `name digest` or `digest  name`, where most lines are one."""
    found: list[Hashed] = []
    others = 0
    for i, line in enumerate(lines):
        words = line.strip().split()
        if not words or words[0].startswith("#"):
            continue
        pair = _pair(words)
        if pair is None:
            others += 1
            if others > 20 and others > len(found):
                return ()
        else:
            found.append(Hashed(path=path, line=i + 1, name=pair[0], digest=pair[1]))
    whole = sum(len(hashed.digest) in _DIGEST_LENGTHS for hashed in found)
    return tuple(found) if len(found) >= 2 and whole > len(found) / 2 and others <= len(found) / 4 else ()


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
    return len(word) >= 24 and bool(HEX.match(word))


def _tokenizers(documents: dict[str, Any], configs: list[Config]) -> Iterator[Tokenizer]:  # noqa: PLR0912 - three layouts
    settings = {config.path: config for config in configs}
    for path, document in documents.items():
        folder, _, name = path.rpartition("/")
        if not isinstance(document, dict):
            continue
        if not _is_tokenizer(document):
            if name != "vocab.json" or f"{folder}/tokenizer.json".lstrip("/") in documents:
                continue
            ids = {
                key: value for key, value in document.items() if isinstance(value, int) and not isinstance(value, bool)
            }
            added: set[str] = set()
        else:
            ids, added = _vocabulary(document)
        if not ids:
            continue
        prefix = f"{folder}/" if folder else ""
        names: dict[str, Value] = {}
        if name in {"tokenizer.json", "vocab.json"}:
            for other in ("special_tokens_map.json", "tokenizer_config.json"):
                found = settings.get(prefix + other)
                if found is None:
                    continue
                decoder = found.document.get("added_tokens_decoder")
                if isinstance(decoder, dict):
                    for number, entry in decoder.items():
                        if (
                            isinstance(entry, dict)
                            and isinstance(entry.get("content"), str)
                            and number.isdigit()
                            and len(number) < 12
                        ):
                            ids.setdefault(entry["content"], int(number))
                            added.add(entry["content"])
                for kind in ("eos_token", "bos_token", "pad_token", "unk_token"):
                    for key in (kind, f"{kind}.content"):
                        value = found.by_key.get(key)
                        if value is not None and isinstance(value.value, str):
                            names[kind] = value
        yield Tokenizer(folder=folder, path=path, ids=ids, added=frozenset(added), names=names)


def _is_tokenizer(document: dict[str, Any]) -> bool:
    return isinstance(document.get("model"), dict) and isinstance(document["model"].get("vocab"), (dict, list))


def _vocabulary(document: dict[str, Any]) -> tuple[dict[str, int], set[str]]:
    vocab = document["model"]["vocab"]
    if isinstance(vocab, dict):
        ids = {key: value for key, value in vocab.items() if isinstance(value, int) and not isinstance(value, bool)}
    else:
        ids = {
            entry[0]: i
            for i, entry in enumerate(vocab)
            if isinstance(entry, list) and entry and isinstance(entry[0], str)
        }
    added = set()
    entries = document.get("added_tokens")
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and isinstance(entry.get("content"), str) and isinstance(entry.get("id"), int):
            ids[entry["content"]] = entry["id"]
            added.add(entry["content"])
    return ids, added


def short_digest(path: Path, most: int = 2**30) -> str | None:
    """sha256 of a file that is not too large."""
    if path.stat().st_size > most:
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
