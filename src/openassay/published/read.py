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
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from openassay.published import settings, weights
from openassay.published.files import (
    Code,
    Config,
    File,
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
from openassay.published.marked import Entry, Marked, comments_of
from openassay.published.pickles import PickleReader
from openassay.published.recipes import parse_script
from openassay.published.recipes.constants import constants_of, fixed_constants
from openassay.published.scalars import Unreadable, is_integer
from openassay.published.stated import canonical
from openassay.published.tokens import items

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
MIN_SETTINGS = 3
"""Settings of a training that a Python module's constants must name to be read as such."""
SKIPPED = {".git", "__pycache__", "node_modules", ".hg", ".svn"}
TEXTS = {".md", ".markdown", ".rst", ".txt", ".tex", ""}
TEXT_NAMES = re.compile(
    r"(?i)(readme|licen[cs]e|copying|notice|model[_-]?card|data[_-]?card|dataset[_-]?card|datasheet|citation|pkg-info|metadata"
    r"|unlicense|changelog|copyright|\.git(ignore|modules)|dockerfile|setup\.cfg$)"
)
SHELL = {".sh", ".slurm", ".sbatch"}
POINTER = b"version https://git-lfs.github.com/spec/"
WEIGHTS = {".safetensors", ".bin", ".pt", ".pth", ".ckpt"}
PICKLES = WEIGHTS - {".safetensors"} | {".pkl", ".pickle", ".joblib"}
SETTINGS: dict[str, Callable[[str, str], Config]] = {
    **dict.fromkeys((".yaml", ".yml", ".cff"), partial(settings.read_settings, form="yaml")), ".toml": settings.read_toml,
    ".gin": settings.read_gin,
}  # fmt: skip
ITEMS = {".idx": items.megatron_items, ".npy": items.numpy_items, ".jsonl": items.jsonl_items}
MAGIC = {b"%PDF": "pdf", b"PAR1": "parquet", b"ARROW1": "arrow", b"GGUF": "gguf", b"\x89HDF": "hdf5"}


def read_release(
    root: Path, *, name: str = "", is_part: bool = False, listed: dict[str, bool] | None = None,
    only: Callable[[str], bool] = lambda _path: True,
    say: Callable[[str], None] = lambda _line: None,
) -> PublishedFiles:  # fmt: skip
    """Everything that the checks look at, from a folder or from one file.

    is_part: whether the release has more files than are there, so that nothing follows from one that is absent, unless listed
    gives all their paths, and whether each is a link.
    only: of which paths files are looked at. say: is told how far the reading is, every two seconds.
    """
    root = root.resolve() if root.is_symlink() else root  # the one link that the user named
    some = "only the files that the target names were fetched"
    unreadable: dict[str, str] = {"." if listed is None else "(others)": some} if is_part else {}
    links = {path for path, is_link in (listed or {}).items() if is_link}
    top, found = (root.parent, [_file(root, root.name)]) if root.is_file() else (root, _files(root, unreadable, links))
    files = tuple(sorted((file for file in found if only(file.path)), key=lambda file: file.path))
    elsewhere = frozenset(listed or ()) - {file.path for file in files}
    made = PublishedFiles(
        name=name or root.name, files=files, elsewhere=elsewhere, unreadable=unreadable, symlinks=links
    )
    return _FileReader(top, made).read(say)


def _files(top: Path, unreadable: dict[str, str], links: set[str]) -> Iterator[File]:
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
                links.add(path)
            elif entry.is_dir(follow_symlinks=False):
                if entry.name not in SKIPPED and not entry.name.endswith(".egg-info"):
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

    def __init__(self, top: Path, made: PublishedFiles) -> None:
        self.top, self.made, self.left = top, made, MAX_READ
        self.headers: dict[str, weights.Header] = {}
        self.documents: dict[str, Any] = {}
        self.pickles = PickleReader()

    def read(self, say: Callable[[str], None]) -> PublishedFiles:
        made, told = self.made, time.monotonic()
        for i, file in enumerate(made.files):
            if time.monotonic() - told > 2:
                told = time.monotonic()
                say(f"read {i} of {len(made.files)} files")
            try:
                self._read(file)
            except Unreadable as problem:
                made.unreadable[file.path] = str(problem)
            except OSError as error:
                made.unreadable[file.path] = error.strerror or "cannot be opened"
            except (RecursionError, MemoryError):
                made.unreadable[file.path] = "nested too deeply"
        made.tokenizers.extend(_tokenizers(self.documents, made.configs))
        made.checkpoints.extend(self._checkpoints())
        for earlier, later in itertools.pairwise(made.checkpoints):
            is_next = earlier.family == later.family and earlier.step < later.step
            if is_next and (moved := weights.movement(self._headers(earlier.files), self._headers(later.files))):
                made.movements.append(Movement(earlier, later, *moved))
        return made

    def _text(self, file: File, most: int) -> str:
        if file.size_bytes > most:
            raise Unreadable(f"{file.size_bytes} bytes; at most {most} are read")
        if file.size_bytes > self.left:
            raise Unreadable(f"not read: more than {MAX_READ} bytes in all")
        self.left -= file.size_bytes
        with (self.top / file.path).open("rb") as opened:
            return _decoded(opened.read(most + 1))

    def _read(self, file: File) -> None:  # noqa: PLR0912 - one branch for each kind of file
        made, path, suffix = self.made, self.top / file.path, Path(file.name).suffix.lower()
        if file.size_bytes < 1024 and suffix not in {".py", ".md"} and self._head(file, len(POINTER)) == POINTER:
            made.pointers.add(file.path)
        elif suffix in SETTINGS:
            text = self._text(file, MAX_CONFIG)
            try:
                made.configs.append(SETTINGS[suffix](file.path, text))
            except Unreadable:
                if file.name == "meta.yaml":  # conda's are templates: their lines are read
                    made.texts.append(Text(path=file.path, lines=tuple(text.splitlines())))
                if re.search(r"=\s*\[?\s*\.\.\.\s*\]?\s*$", text, re.MULTILINE):
                    raise Unreadable("a template, which is not read") from None
                if suffix != ".toml":
                    _refuse_template(text)
                raise
        elif suffix == ".json" or file.name.endswith(".json5"):
            self._json(file)
        elif suffix in {".csv", ".tsv"}:
            self._table(file, "\t" if suffix == ".tsv" else ",")
        elif suffix == ".py":
            self._code(file)
        elif suffix in SHELL:
            text = self._text(file, MAX_CODE)
            made.scripts.append(Text(path=file.path, lines=tuple(text.splitlines())))
            if marked := parse_script(text, file.path):
                made.configs.append(settings.config_of(marked, "shell"))
        elif suffix in WEIGHTS | PICKLES:
            if suffix in PICKLES:
                self._pickles(file, suffix)
            if suffix in WEIGHTS and (header := weights.read_header(path)):
                self.headers[file.path], made.weights[file.path] = header, header.tensors
                if header.repeated:
                    made.tensors_twice[file.path] = header.repeated
            elif suffix in WEIGHTS:
                made.magic[file.path] = "unknown"
        elif suffix in ITEMS:
            if found := ITEMS[suffix](path, file.path, MAX_ITEMS):
                made.items.append(found)
        elif suffix in TEXTS or TEXT_NAMES.match(file.name):
            self._document(file, suffix)
        elif suffix in {".sha256", ".sha256sum", ".md5", ".sha1", ".sha512"} or file.name.upper().endswith("SUMS"):
            made.hashes.extend(_hashes(file.path, self._text(file, MAX_TEXT).splitlines()))
        elif suffix in {".pdf", ".parquet", ".arrow", ".gguf", ".h5", ".onnx"}:
            head = self._head(file, 16)
            made.magic[file.path] = next((kind for mark, kind in MAGIC.items() if head.startswith(mark)), "unknown")

    def _pickles(self, file: File, suffix: str) -> None:
        for found in self.pickles.read(self.top / file.path, file.path, suffix):
            self.made.pickles.append(found)
            if found.problem:
                self.made.unreadable[found.path] = f"begins as a pickle, but cannot be read to its end: {found.problem}"
            elif found.unread:
                self.made.unreadable[found.path] = f"a pickle that was not read to its end: {found.unread}"

    def _head(self, file: File, size: int) -> bytes:
        with (self.top / file.path).open("rb") as opened:
            return opened.read(size)

    def _document(self, file: File, suffix: str) -> None:
        if suffix == "" and not (TEXT_NAMES.match(file.name) or file.name.upper().endswith("SUMS")):
            return
        if file.size_bytes > MAX_TEXT and not TEXT_NAMES.match(file.name):
            return  # a long .txt is data, not a document
        lines = tuple(self._text(file, MAX_TEXT).splitlines())
        self.made.hashes.extend(_hashes(file.path, lines))
        front, start, problem = settings.front_matter(file.path, lines)
        if problem:
            self.made.unreadable[f"{file.path} (front matter)"] = problem
        if file.name in {"METADATA", "PKG-INFO"} and "" in lines:
            start = lines.index("") + 1  # the description of a package, which is its README
        self.made.texts.append(Text(path=file.path, lines=lines, front=front, body_from=start))

    def _json(self, file: File) -> None:
        text = self._text(file, MAX_JSON)
        try:
            document, is_repeated = settings.parse_json(text)
        except ValueError as error:
            if not isinstance(error, json.JSONDecodeError):  # more digits than Python turns into a number
                raise Unreadable("a number that is too long to be read") from None
            first = text.lstrip().partition("\n")[0]
            if "Extra data" in str(error) and first.rstrip().endswith(("}", "]")):
                return  # one document a line
            _refuse_template(text)
            if re.search(r"(^|[\s{\[,])//|/\*", text, re.MULTILINE):
                raise Unreadable("JSON with comments, which is not read") from None
            if re.search(r"\bstd\.\w+\(|^\s*local \w+ *=", text, re.MULTILINE):
                raise Unreadable("Jsonnet, which is not read") from None
            raise Unreadable(f"not JSON: {str(error)[:200]}") from None
        self.documents[file.path] = document
        if file.name in {"tokenizer.json", "vocab.json"} or len(text) > MAX_CONFIG or not isinstance(document, dict):
            return
        self.made.configs.append(settings.read_json(file.path, text, document, is_repeated=is_repeated))

    def _table(self, file: File, delimiter: str) -> None:
        if file.size_bytes > MAX_JSON:
            return  # data, not a list: seen by its name only
        text = self._text(file, MAX_JSON)
        columns: tuple[str, ...] = ()
        rows: list[Row] = []
        try:
            lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
            for cells in lines:
                if not any(cell.strip() for cell in cells):
                    continue
                if not columns:
                    columns = tuple(cell.lstrip("\ufeff") for cell in cells)
                elif len(cells) == len(columns):
                    rows.append(Row(line=lines.line_num, cells=tuple(cells)))
                else:
                    problem = f"line {lines.line_num}: {len(cells)} cells, expected {len(columns)}"
                    self.made.unreadable.setdefault(file.path, problem)
                if len(rows) >= MAX_TABLE_ROWS:
                    problem = f"more than {MAX_TABLE_ROWS} rows; the others were not looked at"
                    self.made.unreadable.setdefault(file.path, problem)
                    break
        except csv.Error as error:
            raise Unreadable(f"not a table: {error}") from None
        if columns:
            self.made.tables.append(PublishedTable(path=file.path, columns=columns, rows=tuple(rows)))

    def _code(self, file: File) -> None:
        text = self._text(file, MAX_CODE)
        try:
            with warnings.catch_warnings(action="ignore"):  # what Python thinks of the release's code, in its words
                tree = ast.parse(text)
        except (SyntaxError, ValueError) as error:
            raise Unreadable(f"not Python 3: {str(error)[:120]}") from None
        header = re.compile(r"SPDX-License-Identifier:\s*([^\s*][^*\n]*)")
        named = ((i, found) for i, line in enumerate(text.splitlines()[:40], 1) if (found := header.search(line)))
        line, spdx = next(((i, found.group(1).strip().rstrip("-/ >")) for i, found in named), (0, ""))
        self.made.code.append(Code(path=file.path, tree=tree, spdx=spdx, spdx_line=line))
        marked = parse_script(text, file.path)
        if marked is None and _names_settings(constants_of(tree, file.path)):
            constants = fixed_constants(tree, file.path)
            if _names_settings(constants):
                marked = Marked(file.path, Entry(constants, file.path, 1), comments_of(text))
        if marked is not None:
            self.made.configs.append(settings.config_of(marked, "python"))

    def _checkpoints(self) -> Iterator[SavedWeights]:
        groups: dict[tuple[str, int, str], list[str]] = defaultdict(list)
        for path in self.headers:
            marked = None if weights.is_optimizer(path) else marked_step(path)
            if marked is not None:
                (at, step), parts = marked, path.split("/")
                pattern, count = (r"\d+", 0) if at < len(parts) - 1 else (rf"0*{step}(?!\d)", 1)
                family = "/".join([*parts[:at], re.sub(pattern, "#", parts[at], count=count)])
                groups[family, step, "/".join(parts[: at + 1])].append(path)
        left = MAX_WEIGHTS
        for (family, step, folder), paths in sorted(groups.items()):
            files = tuple(sorted(paths))
            headers = self._headers(files)
            size = sum(header.size_bytes for header in headers)
            if size > left:
                problem = f"{size} bytes of weights: not compared, more than {MAX_WEIGHTS} bytes in all"
                self.made.unreadable[folder] = problem
                continue
            left -= size
            try:
                digest = weights.content_digest(headers)
            except (OSError, ValueError) as error:
                self.made.unreadable[folder] = f"the tensors cannot be read: {error}"
                continue
            yield SavedWeights(path=folder, family=family, step=step, files=files, sha256=digest)

    def _headers(self, paths: Iterable[str]) -> list[weights.Header]:
        return [self.headers[path] for path in paths]


def _names_settings(names: Iterable[str]) -> bool:
    return len({canonical(name) for name in names} - {None}) >= MIN_SETTINGS


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


def _hashes(path: str, lines: Iterable[str]) -> Iterator[tuple[Value, ...]]:
    """The file's one list of `name digest` or `digest  name`, if most lines are one."""
    found: list[Value] = []
    others = 0
    for number, words in ((number, line.split()) for number, line in enumerate(lines, 1)):
        if not words or words[0].startswith("#"):
            continue
        if pair := _pair(words):
            found.append(Value(path=path, line=number, key=pair[0], value=pair[1], text=pair[1][:140]))
        elif (others := others + 1) > max(20, len(found)):
            return
    whole = sum(len(hashed.value) in {32, 40, 56, 64, 96, 128} for hashed in found)
    if len(found) >= 2 and whole > len(found) / 2 and others <= len(found) / 4:
        yield tuple(found)


def _pair(words: list[str]) -> tuple[str, str] | None:
    if len(words) != 2:
        return None
    left, right = words[0], words[1].lstrip("*")
    if _like_digest(left) == _like_digest(right):
        return None
    return (right, left) if _like_digest(left) else (left.rstrip(":"), right)


def _like_digest(word: str) -> bool:
    return len(word) >= 24 and bool(re.fullmatch(r"[0-9a-fA-F]+", word))


def _tokenizers(documents: dict[str, Any], configs: list[Config]) -> Iterator[Tokenizer]:
    by_path = {config.path: config for config in configs}
    for path, document in documents.items():
        name = path.rpartition("/")[2]
        prefix = path.removesuffix(name)
        if not isinstance(document, dict):
            continue
        if isinstance(document.get("model"), dict) and isinstance(document["model"].get("vocab"), (dict, list)):
            ids, added = _vocabulary(document)
        elif name == "vocab.json" and f"{prefix}tokenizer.json" not in documents:
            ids, added = {key: value for key, value in document.items() if is_integer(value)}, set()
        else:
            continue
        names: dict[str, Value] = {}
        for other in ("special_tokens_map.json", "tokenizer_config.json") if ids else ():
            if name in {"tokenizer.json", "vocab.json"} and (found := by_path.get(prefix + other)):
                _add_decoder(found.document.get("added_tokens_decoder"), ids, added)
                names |= _special_names(found)
        if ids:
            yield Tokenizer(path=path, ids=ids, added=frozenset(added), names=names)


def _special_names(config: Config) -> dict[str, Value]:
    kinds = ("eos_token", "bos_token", "pad_token", "unk_token")
    given = ((kind, config.by_key.get(key)) for kind in kinds for key in (kind, f"{kind}.content"))
    return {kind: value for kind, value in given if value is not None and isinstance(value.value, str)}


def _add_decoder(decoder: Any, ids: dict[str, int], added: set[str]) -> None:
    for number, entry in decoder.items() if isinstance(decoder, dict) else ():
        is_token = isinstance(entry, dict) and isinstance(entry.get("content"), str)
        if is_token and number.isdecimal() and len(number) < 12:
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
    entries = document.get("added_tokens")
    tokens = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    pairs = ((token.get("content"), token.get("id")) for token in tokens)
    added = {content: number for content, number in pairs if isinstance(content, str) and isinstance(number, int)}
    return ids | added, {*added}


def short_digest(path: Path, most: int = 2**30) -> str | None:
    """sha256 of a file of at most `most` bytes; None for a larger one and for one that cannot be read."""
    try:
        if path.stat().st_size > most:
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
