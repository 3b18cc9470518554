"""What loading a release's files does beyond reading numbers: imports, code of the release, names that stand for two tensors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from openassay.checks.check import Agreement, Contradiction, NotAsked, Noted, Seen, check
from openassay.published.files import PublishedFiles, excerpt

_ORDINARY = re.compile(
    r"""
    collections\.(OrderedDict|Counter|defaultdict|deque) | _codecs\.encode | copy_?reg\._reconstructor
    | (builtins|__builtin__)\.(set|frozenset|bytearray|bytes|str|unicode|complex|float|int|long|bool|slice|x?range|list|dict
      |tuple|object)
    | numpy(\._?core)?\.(multiarray\.(_reconstruct|scalar)|numeric\._frombuffer) | numpy\.matrixlib\.defmatrix\.matrix
    | numpy\.(ndarray|dtype|dtypes\.\w+|bool_?|u?int\d+|float\d+|complex\d+|str_|bytes_)
    | joblib\.numpy_pickle\.(NumpyArray|NDArray)Wrapper
    | torch(\.cuda|\.sparse|\.cuda\.sparse|\.storage)?\.\w*(Storage|Tensor)
    | torch\.(Size|device|bool|u?int\d+|bits\w+|b?float\d+\w*|complex\d+|qu?int\w+|per_(tensor|channel)_\w+)
    | torch\._utils\._rebuild_\w+ | torch\._tensor\._rebuild_from_type_v2 | torch\.nn\.parameter\.Parameter
    | torch\.serialization\._get_layout | torch\.jit\._pickle\.\w+ | __torch__\..+
    """,
    re.VERBOSE,
)
"""What torch and numpy need for tensors and arrays, whatever torch loads with `weights_only=True`, and plain containers.
`__torch__` is the code of a TorchScript file, which torch reads by its own reader."""
MAX_NAMES = 8


@check(needs="pickles, or torch files with one")
def pickle_imports(release: PublishedFiles) -> Iterator[Seen]:
    """{path}: unpickling it imports {names}, which tensors and arrays do not need"""
    for pickle in release.pickles:
        others = [name for name in pickle.imports if not _ORDINARY.fullmatch(name)]
        names = ", ".join(others[:MAX_NAMES])
        names += f" and {len(others) - MAX_NAMES} more" if len(others) > MAX_NAMES else ""
        if pickle.unnamed:
            names += f"{' and ' if names else ''}{pickle.unnamed} that the file does not name in words"
        if names:
            yield Noted(pickle.seen(value=names[:200]), path=pickle.path, names=names)
        elif not pickle.problem and not pickle.unread:
            yield Agreement(pickle.seen("", f"{len(pickle.imports)} imports, all for tensors, arrays and containers"))
        if pickle.unread:
            yield NotAsked(f"{pickle.path} was not read to its end: {pickle.unread}")


def _words(value: Any) -> list[str]:
    return [word for word in (value if isinstance(value, list) else [value]) if isinstance(word, str)]


@check(needs="settings of a model in transformers' form, or an auto_map")
def code_to_load(release: PublishedFiles) -> Iterator[Seen]:
    """{path}: auto_map names {names}; who loads this by it runs that code, {whence}"""
    for config in release.configs:
        document = config.document if config.name.endswith("config.json") else None
        mapped = document.get("auto_map") if isinstance(document, dict) else None
        classes = [word for value in mapped.values() for word in _words(value)] if isinstance(mapped, dict) else []
        if classes:
            others = dict.fromkeys(word.partition("--")[0] for word in classes if "--" in word)
            whence = f"which is code of {', '.join([*others][:MAX_NAMES])}" if others else "which is the release's own"
            names = ", ".join([*dict.fromkeys(classes)][:MAX_NAMES])
            yield Noted(excerpt(config.path, "auto_map", names[:200]), path=config.path, names=names, whence=whence)
        elif isinstance(document, dict) and "model_type" in document:
            yield Agreement(excerpt(config.path, "", "no auto_map"))


@check(needs="safetensors files")
def tensor_stands_twice(release: PublishedFiles) -> Iterator[Seen]:
    """{path}: the header names {names} more than once; the library of safetensors loads the last and says nothing"""
    for path, tensors in release.weights.items():
        if twice := release.tensors_twice.get(path):
            names = ", ".join(map(repr, (name[:80] for name in twice[:MAX_NAMES])))
            yield Contradiction(excerpt(path, "", names[:200]), path=path, names=names)
        elif path.endswith(".safetensors"):
            yield Agreement(excerpt(path, "", f"{len(tensors)} tensors, each named once"))
