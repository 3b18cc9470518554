"""Reads pickles by their opcodes: what loading one would import. Nothing is unpickled.

Of what the opcodes build, only what names an import is followed: words, numbers, tuples, mappings. joblib writes the bytes of
arrays between the opcodes; they are passed over.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import math
import pickletools
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from openassay.published.files import Pickled
from openassay.published.scalars import is_integer
from openassay.store import RefusedArchive, opened_zip

MAX_BYTES = 64 * 2**20
"""Of one pickle with its words and bytes, that are read."""
MAX_OPCODES = 2_000_000
"""Of all pickles of a release together: some seconds."""
MAX_PASSED = 2**30
"""Bytes of arrays in a compressed pickle, which must be decompressed to be passed over."""
MAX_IMPORTS = 1000
MAX_MEMBERS = 64
"""Pickles inside one zip that are looked at."""
_TORCH_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The first pickle of a file that torch wrote before its zips; four more follow, then raw numbers."""
_OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
_DAMAGED = (
    zipfile.BadZipFile, RefusedArchive, zlib.error, lzma.LZMAError, EOFError, OSError, NotImplementedError, RuntimeError,
    ValueError, OverflowError,
)  # fmt: skip
_HAS_OBJECTS = 1
"""In the flags of a numpy type: its items are Python's objects, so that an array of them is a pickle."""
_ARRAY = ("joblib.numpy_pickle", "NumpyArrayWrapper")


class Import(NamedTuple):
    """A name that loading takes from a module."""

    module: str
    name: str


class _Called:
    """What is made by calling something with arguments, and the state that it is given."""

    def __init__(self, of: Any, arguments: Any) -> None:
        self.of, self.arguments = of, arguments
        self.state: Any = None


class _TooMuch(Exception):
    """More than is read of one pickle, or of all; or something that cannot be passed over."""


class _NotAPickle(Exception):
    """The opcodes cannot be what a pickler wrote."""


class _Stream:
    """A file from which at most `MAX_BYTES` are read; asked for more than it holds, it gives what there is."""

    def __init__(self, file: IO[bytes], size: int | None) -> None:
        self.file, self.size, self.taken, self.passed = file, size, 0, 0

    def read(self, count: int) -> bytes:
        """The next bytes."""
        left = count if self.size is None else min(count, self.size - self.taken - self.passed)
        if left > MAX_BYTES - self.taken:
            raise _TooMuch(f"more than {MAX_BYTES} bytes")
        data = self.file.read(max(left, 0))
        self.taken += len(data)
        return data

    def readline(self) -> bytes:
        """The next line."""
        line = self.file.readline(MAX_BYTES - self.taken + 1)
        self.taken += len(line)
        if self.taken > MAX_BYTES:
            raise _TooMuch(f"more than {MAX_BYTES} bytes")
        return line

    def pass_over(self, count: int) -> None:
        """Skip the bytes of an array."""
        self.passed += count
        if self.size is not None and not isinstance(self.file, zipfile.ZipExtFile):
            if self.taken + self.passed > self.size:
                raise _NotAPickle(f"{self.taken + self.passed - self.size} bytes of an array are missing")
            self.file.seek(count, 1)
        elif self.passed > MAX_PASSED:
            raise _TooMuch(f"more than {MAX_PASSED} bytes of arrays")
        elif missing := count - sum(len(chunk) for chunk in _chunks(self.file, count)):
            raise _NotAPickle(f"{missing} bytes of an array are missing")


def _chunks(file: IO[bytes], count: int) -> Iterator[bytes]:
    while count > 0 and (chunk := file.read(min(count, 2**20))):
        count -= len(chunk)
        yield chunk


def _unpacked(file: IO[bytes], head: bytes, size: int) -> tuple[IO[bytes], int | None]:
    """The content of a file that joblib may have compressed, and its size, where that is known."""
    if opener := next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), None):
        return opener(file, "rb"), None
    if head[:2] in {b"x\x01", b"x\x5e", b"x\x9c", b"x\xda"}:
        with suppress(zlib.error):
            return io.BytesIO(zlib.decompressobj().decompress(file.read(MAX_BYTES), MAX_BYTES)), None
        file.seek(0)
    return file, size


class PickleReader:
    """Reads the pickles of one release, within the opcodes that are left."""

    def __init__(self) -> None:
        self.left = MAX_OPCODES

    def read(self, path: Path, inside: str, suffix: str) -> list[Pickled]:
        """The pickles of one file; empty where its first bytes, or all of them, are no pickle's."""
        with path.open("rb") as file:
            head = file.read(32)
            file.seek(0)
            if head.startswith(b"PK\x03\x04"):
                return list(self._zip(path, inside))
            stream, size = _unpacked(file, head, path.stat().st_size)
            try:
                start = stream.read(2)
                stream.seek(0)
            except (zlib.error, lzma.LZMAError, EOFError, OSError):
                return []
            is_torch = head.startswith(_TORCH_MAGIC)
            is_marked = len(start) == 2 and start[0] == 0x80 and 2 <= start[1] <= 5
            if suffix == ".bin" and not is_marked:
                return []
            found = self._stream(_Stream(stream, size), inside, 5 if is_torch else 1)
        # Raw numbers, and words, may begin as a pickle does: there, only what reads as one to its end is one.
        is_surely = is_torch or (is_marked and suffix != ".bin")
        return [found] if is_surely or (found.imports and not found.problem) else []

    def _zip(self, path: Path, inside: str) -> Iterator[Pickled]:
        try:
            with opened_zip(path) as archive:
                members = [info for info in archive.infolist() if info.filename.endswith(".pkl")]
                for info in members[:MAX_MEMBERS]:
                    with archive.open(info) as member:
                        yield self._stream(_Stream(member, info.file_size), f"{inside}: {info.filename}", 1)
        except _DAMAGED:
            return  # what reads the weights says so

    def _stream(self, stream: _Stream, path: str, num_pickles: int) -> Pickled:
        machine = _Machine(self, stream)
        problem = unread = ""
        try:
            for _ in range(num_pickles):
                machine.run()
        except _TooMuch as limit:
            unread = str(limit)
        except RecursionError:
            unread = "nested too deeply"
        except UnicodeDecodeError:
            unread = "a word in an encoding that is not known"
        except (_NotAPickle, *_DAMAGED) as error:
            if getattr(error, "errno", None) is not None:
                raise  # the machine's
            problem = " ".join((str(error) or type(error).__name__).split())[:200]
        except (IndexError, KeyError, TypeError):
            problem = "an opcode takes from the stack what does not lie there"
        return Pickled(
            path=path, imports=tuple(machine.imports), unnamed=machine.unnamed, problem=problem, unread=unread
        )


_MARK = object()


class _Machine:
    """Goes through opcodes and keeps what names an import."""

    def __init__(self, reader: PickleReader, stream: _Stream) -> None:
        self.reader, self.stream = reader, stream
        self.imports: dict[str, None] = {}
        self.unnamed = 0

    def run(self) -> None:
        """Go through one pickle, to its STOP."""
        stack: list[Any] = []
        memo: dict[Any, Any] = {}
        for opcode, argument, _ in pickletools.genops(self.stream):  # type: ignore[arg-type]
            self.reader.left -= 1
            if self.reader.left < 0:
                raise _TooMuch(f"more than {MAX_OPCODES} opcodes in all")
            name = opcode.name
            if name in {"PUT", "BINPUT", "LONG_BINPUT"}:
                memo[argument] = stack[-1]
            elif name == "MEMOIZE":
                memo[len(memo)] = stack[-1]
            elif name in {"GET", "BINGET", "LONG_BINGET"}:
                stack.append(memo[argument])
            elif name == "MARK":
                stack.append(_MARK)
            elif name == "DUP":
                stack.append(stack[-1])
            else:
                self._apply(opcode, argument, stack)

    def _apply(self, opcode: pickletools.OpcodeInfo, argument: Any, stack: list[Any]) -> None:
        before, count, items = opcode.stack_before, len(opcode.stack_before), list[Any]()
        if pickletools.markobject in before or (opcode.name == "POP" and stack[-1] is _MARK):
            at = len(stack) - 1
            while stack[at] is not _MARK:
                at -= 1
            items = stack[at + 1 :] if at >= 0 else []
            del stack[at:]
            count = before.index(pickletools.markobject) if pickletools.markobject in before else 0
        if count > len(stack):
            raise IndexError
        taken = stack[len(stack) - count :]
        del stack[len(stack) - count :]
        stack.extend([self._made(opcode.name, argument, taken, items)] * len(opcode.stack_after))
        if opcode.name == "BUILD" and isinstance(taken[0], _Called) and taken[0].of == _ARRAY:
            self._pass_array(taken[1])

    def _made(self, name: str, argument: Any, taken: list[Any], items: list[Any]) -> Any:
        made: Any = None
        if name in {"GLOBAL", "INST"}:
            made = self._import(*argument.split(" ", 1))
        elif name == "STACK_GLOBAL":
            made = self._import(*taken)
        elif name.startswith("EXT"):
            self.unnamed += 1
        elif name in {"REDUCE", "NEWOBJ"}:
            made = _Called(*taken)
        elif name == "TUPLE":
            made = tuple(items)
        elif name in {"EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"}:
            made = tuple(taken)
        elif name == "EMPTY_DICT":
            made = {}
        elif name in {"SETITEM", "SETITEMS", "BUILD"}:
            made, given = taken[0], [*taken[1:], *items]
            if name == "BUILD" and isinstance(made, _Called):
                made.state = taken[1]
            elif isinstance(made, dict):
                pairs = zip(given[::2], given[1::2], strict=False)
                made.update((key, value) for key, value in pairs if isinstance(key, str))
        elif isinstance(argument, (str, int)):
            made = argument
        return made

    def _import(self, module: Any, name: Any) -> Import | None:
        if not (isinstance(module, str) and isinstance(name, str)):
            self.unnamed += 1
            return None
        if len(self.imports) < MAX_IMPORTS:
            self.imports.setdefault(f"{module}.{name}"[:200])
        return Import(module, name)

    def _pass_array(self, state: Any) -> None:
        """Go past the bytes of an array, which joblib writes behind what describes it."""
        described = state if isinstance(state, dict) else {}
        dtype, shape = described.get("dtype"), described.get("shape")
        if not isinstance(dtype, _Called) or not isinstance(dtype.arguments, tuple):
            raise _TooMuch("an array of a type that is not known")
        code, flags = dtype.arguments[0], [*dtype.state[7:8]] if isinstance(dtype.state, tuple) else []
        kind = re.fullmatch(r"[<>|=]?([biufcmMOSUV])(\d{1,9})", code) if isinstance(code, str) else None
        axes = shape if isinstance(shape, tuple) and len(shape) <= 64 else (-1,)
        if kind is None or not all(is_integer(n) and 0 <= n < 2**63 for n in axes):
            raise _TooMuch("an array of a type that is not known")
        if kind[1] == "O" or any(is_integer(flag) and flag & _HAS_OBJECTS for flag in flags):
            self.run()  # a pickle of its own
            return
        if (aligned := described.get("numpy_array_alignment_bytes")) is not None and aligned:
            self.stream.pass_over(int.from_bytes(self.stream.read(1), "little"))
        self.stream.pass_over(math.prod(axes) * int(kind[2]) * (4 if kind[1] == "U" else 1))
