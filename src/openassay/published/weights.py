"""Reads weight files by their headers and raw bytes: nothing is unpickled that could run.

safetensors and torch's zip files are read by their layout, tensor by tensor and in pieces, so that memory stays bounded.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import pickle
import re
import struct
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from operator import mul
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from openassay.published.scalars import Unreadable, is_integer
from openassay.store import RefusedArchive, opened_zip

MAX_HEADER = 100_000_000
"""Bytes of a header that the library of safetensors reads."""
MAX_PICKLE = 16 * 2**20
MAX_AXES = 64
"""Of a tensor, as in torch."""
PIECE = 2**22
"""Numbers that are compared at a time."""

_SIZES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1, "U16": 2, "U32": 4,
    "U64": 8, "F8_E4M3": 1, "F8_E5M2": 1,
}  # fmt: skip
_BITS = {name: 8 * size for name, size in _SIZES.items()} | {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "C64": 64,
}  # fmt: skip
"""Every type that safetensors names (0.8)."""
_ROUNDING = {"F64": 2.0**-53, "F32": 2.0**-24, "F16": 2.0**-11, "BF16": 2.0**-8}
"""Half the distance of neighbours, relative to a number. BF16: a whole one, since some writers cut off."""
_SMALLEST = {"F64": 0.0, "F32": 2.0**-149, "F16": 2.0**-25, "BF16": 2.0**-133}


@dataclass(frozen=True, kw_only=True)
class Header:
    """The tensors of one file: type, shape, where their bytes begin and how many there are."""

    path: Path
    size_bytes: int
    tensors: dict[str, tuple[str, tuple[int, ...], int, int]]
    repeated: tuple[str, ...] = ()
    """Tensors that the header names more than once; the last of each is here, as the library of safetensors takes it."""


def is_optimizer(path: str) -> bool:
    """True for the state of an optimizer or a scheduler, and for other files that are no model, by their name."""
    name = path.rpartition("/")[2].lower()
    return bool(re.search(r"optim|sched|rng_state|training_args|scaler|random_states", name))


def read_header(path: Path) -> Header | None:
    """The tensors of a safetensors or torch file; None for other content under the same ending; `Unreadable` for broken ones."""
    size = path.stat().st_size
    if size == 0:
        raise Unreadable("empty")
    if path.suffix.lower() == ".safetensors":
        return _safetensors(path, size)
    with path.open("rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    return _torch(path, size) if is_zip else None


def _safetensors(path: Path, size: int) -> Header:
    with path.open("rb") as file:
        head = file.read(8)
        if len(head) < 8:
            raise Unreadable("not safetensors: shorter than its header")
        length = struct.unpack("<Q", head)[0]
        if length > min(MAX_HEADER, size - 8):
            raise Unreadable(f"not safetensors: a header of {length} bytes in a file of {size}")
        pairs = _pairs(file.read(length))
    tensors: dict[str, tuple[str, tuple[int, ...], int, int]] = {}
    for name, entry in pairs:
        if name == "__metadata__":
            continue
        dtype, shape, begin, end = _entry(name, entry, size - 8 - length)
        tensors[name] = (dtype, shape, 8 + length + begin, end - begin)
    _check_cover(tensors, 8 + length, size)
    counts = Counter(name for name, _ in pairs)
    if counts["__metadata__"] > 1:
        raise Unreadable("safetensors: the key '__metadata__' stands twice")
    repeated = tuple(name for name, count in counts.items() if count > 1)
    return Header(path=path, size_bytes=size, tensors=tensors, repeated=repeated)


_FIELDS = ("dtype", "shape", "data_offsets")


class _Mapping(list[tuple[str, Any]]):
    """A JSON mapping as its pairs, so that a key may stand twice."""


def _no_number(word: str) -> Any:
    raise ValueError(word)


def _pairs(data: bytes) -> _Mapping:
    """A header's keys and values in their order, by the JSON that the library of safetensors reads."""
    try:
        text = data.decode()
        header = json.loads(text, object_pairs_hook=_Mapping, parse_constant=_no_number)
        [name.encode() for name, _ in header]  # half a surrogate pair is no text
    except (ValueError, RecursionError):
        raise Unreadable("not safetensors: its header is not JSON") from None
    except TypeError:
        header = None
    if not isinstance(header, _Mapping):
        raise Unreadable("not safetensors: its header is no mapping")
    metadata = dict(header).get("__metadata__")
    if metadata is not None and not (isinstance(metadata, _Mapping) and all(isinstance(v, str) for _, v in metadata)):
        raise Unreadable("safetensors: '__metadata__' is no mapping of words to words")
    return header


def _entry(name: str, entry: Any, room: int) -> tuple[str, tuple[int, ...], int, int]:
    """Type, shape, first byte and the byte after the last of one tensor; `Unreadable` where they do not fit each other."""
    keys = [key for key, _ in entry] if isinstance(entry, _Mapping) else []
    known: dict[str, Any] = dict(entry) if keys else {}
    fields: list[Any] = [known.get(field) for field in _FIELDS]
    dtype, shape, offsets = fields
    lists = isinstance(shape, list) and isinstance(offsets, list) and len(offsets) == 2
    numbers = [*shape, *offsets] if lists else [-1]
    is_whole = all(is_integer(number) and 0 <= number < 2**64 for number in numbers)
    if not isinstance(dtype, str) or not is_whole or any(keys.count(field) > 1 for field in _FIELDS):
        raise Unreadable(f"safetensors: the entry of {name[:80]!r} is malformed")
    if dtype not in _BITS:
        raise Unreadable(f"safetensors: {name[:80]!r} is of type {dtype[:40]!r}, which safetensors does not name")
    begin, end = offsets
    if end > room:
        raise Unreadable(f"safetensors: {name[:80]!r} lies outside the file, which is cut off or malformed")
    if any(count >= 2**64 for count in accumulate(shape, mul)) or (bits := math.prod(shape) * _BITS[dtype]) >= 2**64:
        raise Unreadable(f"safetensors: the shape of {name[:80]!r} is larger than 64 bits can count")
    if bits != 8 * (end - begin):
        need = f"{bits // 8} bytes" if bits % 8 == 0 else f"{bits} bits"
        raise Unreadable(f"safetensors: {name[:80]!r} has {end - begin} bytes, its type and shape need {need}")
    return dtype, tuple(shape), begin, end


def _check_cover(tensors: dict[str, tuple[str, tuple[int, ...], int, int]], start: int, size: int) -> None:
    """Raise `Unreadable` where the tensors' bytes overlap, or do not cover all that follows the header."""
    at = start
    for name, (_, _, begin, length) in sorted(tensors.items(), key=lambda item: (item[1][2], item[1][3])):
        if begin < at:
            raise Unreadable(f"safetensors: {name[:80]!r} overlaps the tensor before it by {at - begin} bytes")
        if begin > at:
            raise Unreadable(f"safetensors: {begin - at} bytes before {name[:80]!r} belong to no tensor")
        at = begin + length
    if at < size:
        raise Unreadable(f"safetensors: {size - at} bytes after the last tensor belong to none")


_STORAGES = {
    "FloatStorage": "F32", "DoubleStorage": "F64", "HalfStorage": "F16", "BFloat16Storage": "BF16", "LongStorage": "I64",
    "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8", "ByteStorage": "U8", "BoolStorage": "BOOL",
}  # fmt: skip


class _Stored(NamedTuple):
    dtype: str
    key: str


class _Tensor(NamedTuple):
    storage: _Stored
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _Opaque:
    """Stands for whatever else a file holds."""

    def __init__(self, *_: Any, **__: Any) -> None: ...


def _rebuilt(storage: Any, offset: Any = 0, shape: Any = (), stride: Any = (), *_: Any) -> Any:
    if not isinstance(storage, _Stored):
        return _Opaque()
    if max(len(shape), len(stride)) > MAX_AXES or not all(abs(n) < 2**63 for n in (offset, *shape, *stride)):
        raise ValueError("a shape that no tensor has")
    return _Tensor(storage, int(offset), tuple(int(n) for n in shape), tuple(int(n) for n in stride))


def _mapping(pairs: Iterable[tuple[Any, Any]] = (), *_: Any) -> dict[str, Any]:
    return {key: value for key, value in pairs if isinstance(key, str)}


_KNOWN: dict[tuple[str, str], Any] = {
    ("torch._utils", "_rebuild_tensor_v2"): _rebuilt,
    ("torch._utils", "_rebuild_parameter"): lambda data=None, *_: data,
    ("collections", "OrderedDict"): _mapping,
    **{(module, name): dtype for module in ("torch", "torch.storage") for name, dtype in _STORAGES.items()},
}


class _Index(pickle._Unpickler):
    """Reads only where tensors lie: every name in the file stands for one of the harmless things above.

    Of mappings only words are kept as keys: tuples within tuples may take for ever to hash. No state is set, for it could change
    what is above; and nothing takes more memory than the file has bytes.
    """

    stack: list[Any]
    append: Callable[[Any], None]
    read: Callable[[int], bytes]
    pop_mark: Callable[[], list[Any]]
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        return _KNOWN.get((module, name), _Opaque)

    def persistent_load(self, pid: Any) -> Any:
        if (
            isinstance(pid, tuple)
            and len(pid) >= 5
            and pid[0] == "storage"
            and all(isinstance(n, str) for n in pid[1:3])
        ):
            return _Stored(pid[1], pid[2])
        return _Opaque()

    def _put(self, items: list[Any]) -> None:
        if isinstance(made := self.stack[-1], dict):
            made.update(_mapping(zip(items[::2], items[1::2], strict=True)))

    def _setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._put([key, value])

    def _dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._put(items)

    def _frozenset(self) -> None:
        self.pop_mark()
        self.append(_Opaque())

    def _reduce(self) -> None:
        arguments, made = self.stack.pop(), self.stack.pop()
        if not callable(made) or not isinstance(
            arguments, tuple
        ):  # Python's own message would hold all that is in them
            raise TypeError("a call of what cannot be called")
        self.append(made(*arguments))

    def _bytearray(self) -> None:
        self.append(self.read(struct.unpack("<Q", self.read(8))[0]))

    dispatch |= {
        pickle.SETITEM[0]: _setitem, pickle.SETITEMS[0]: lambda self: self._put(self.pop_mark()), pickle.DICT[0]: _dict,
        pickle.ADDITEMS[0]: lambda self: self.pop_mark(), pickle.FROZENSET[0]: _frozenset, pickle.BYTEARRAY8[0]: _bytearray,
        pickle.REDUCE[0]: _reduce, pickle.BUILD[0]: lambda self: self.stack.pop(),
    }  # fmt: skip


def _torch(path: Path, size: int) -> Header | None:
    try:
        with opened_zip(path) as archive:
            entries = {info.filename: info for info in archive.infolist()}
            index = next((name for name in entries if name.endswith("/data.pkl") or name == "data.pkl"), None)
            if index is None:
                return None
            if entries[index].file_size > MAX_PICKLE:
                raise Unreadable(f"its index has {entries[index].file_size} bytes; at most {MAX_PICKLE} are read")
            top = _Index(io.BytesIO(archive.read(index))).load()
            prefix = index.removesuffix("data.pkl")
            tensors = {}
            with path.open("rb") as file:
                for name, tensor in _named_tensors(top):
                    entry = entries.get(f"{prefix}data/{tensor.storage.key}")
                    width = _SIZES[tensor.storage.dtype]
                    if entry is None or entry.compress_type != zipfile.ZIP_STORED or not _contiguous(tensor):
                        continue
                    begin, length = tensor.offset * width, math.prod(tensor.shape) * width
                    if begin < 0 or begin + length > entry.file_size:
                        raise Unreadable(f"{name[:80]!r} lies outside its storage")
                    file.seek(entry.header_offset)
                    local = file.read(30)
                    names, extra = struct.unpack("<HH", local[26:30])
                    start = entry.header_offset + 30 + names + extra + begin
                    if start + length > size:
                        raise Unreadable(f"{name[:80]!r} lies outside the file")
                    tensors[name] = (tensor.storage.dtype, tensor.shape, start, length)
    except Unreadable:
        raise
    except RefusedArchive as limit:
        raise Unreadable(f"not read: {limit}") from None
    except Exception as error:  # noqa: BLE001 - a hostile pickle or zip may raise anything
        raise Unreadable(f"not a torch file: {type(error).__name__}") from None
    return Header(path=path, size_bytes=size, tensors=tensors)


def _named_tensors(top: Any) -> Iterator[tuple[str, _Tensor]]:
    """A state dict, or one that lies one level down under its usual names."""
    if not isinstance(top, dict):
        return
    for key in ("state_dict", "model", "module", "model_state_dict", "params"):
        if isinstance(top.get(key), dict):
            top = top[key]
            break
    for name, value in top.items():
        if isinstance(name, str) and isinstance(value, _Tensor):
            yield name, value


def _contiguous(tensor: _Tensor) -> bool:
    wanted = [math.prod(tensor.shape[i + 1 :]) for i in range(len(tensor.shape))]
    return len(tensor.stride) == len(wanted) and all(
        length == 1 or stride == next_of
        for length, stride, next_of in zip(tensor.shape, tensor.stride, wanted, strict=True)
    )


def content_digest(headers: list[Header]) -> str:
    """sha256 of the tensors' names, types, shapes and bytes, in the order of their names."""
    whole = hashlib.sha256()
    for header in headers:
        with header.path.open("rb") as file:
            for name, (dtype, shape, start, length) in sorted(header.tensors.items()):
                whole.update(json.dumps([name, dtype, shape]).encode())
                file.seek(start)
                for at in range(0, length, 2**22):
                    size = min(length - at, 2**22)
                    if len(piece := file.read(size)) < size:
                        raise ValueError("the file is cut off")
                    whole.update(piece)
    return whole.hexdigest()


def _numbers(header: Header, name: str, first: int, count: int) -> NDArray[np.float64] | None:
    dtype, _, start, _ = header.tensors[name]
    if dtype not in _ROUNDING:
        return None
    width = _SIZES[dtype]
    with header.path.open("rb") as file:
        file.seek(start + first * width)
        data = file.read(count * width)
    if dtype == "BF16":
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").astype(np.float64)
    with np.errstate(invalid="ignore"):  # a signalling NaN
        return np.frombuffer(data, {"F64": "<f8", "F32": "<f4", "F16": "<f2"}[dtype]).astype(np.float64)


_NO_WEIGHT = re.compile(
    r"rotary|inv_freq|bias_mask|masked_bias|running_|num_batches|(^|\.)attention\.bias$|attn\.bias$"
)
"""Buffers, which no optimizer moves by its rule."""


def movement(earlier: list[Header], later: list[Header]) -> tuple[float, str, float] | None:
    """The farthest that any weight moved, less rounding: (distance, tensor, largest weight); None where nothing compares."""
    where = {name: header for header in later for name in header.tensors}
    largest, at, weight, compared = 0.0, "", 0.0, False
    for header in earlier:
        for name, (dtype, shape, _, _) in header.tensors.items():
            other = where.get(name)
            if other is None or other.tensors[name][1] != shape or _NO_WEIGHT.search(name):
                continue
            dtype_later = other.tensors[name][0]
            total = math.prod(shape)
            for first in range(0, total, PIECE):
                count = min(PIECE, total - first)
                before, after = _numbers(header, name, first, count), _numbers(other, name, first, count)
                if before is None or after is None or len(before) != count or len(after) != count:
                    break
                compared = True
                rounding = (
                    np.abs(before) * _ROUNDING[dtype] + np.abs(after) * _ROUNDING[dtype_later]
                    + _SMALLEST[dtype] + _SMALLEST[dtype_later]
                )  # fmt: skip
                moved = np.abs(after - before) - rounding
                if not np.isfinite(moved).all():
                    continue  # what is not finite moved nowhere that could be measured
                if (furthest := float(moved.max(initial=0.0))) > largest:
                    largest, at = furthest, name
                weight = max(weight, float(np.abs(before).max(initial=0.0)), float(np.abs(after).max(initial=0.0)))
    return (largest, at, weight) if compared else None
