"""Digests of our code: one for each driver and stage, over the modules that the stage uses.

A stage's code is what its script imports, directly or not, without what it never runs: the other drivers, and
packages of `RUN_BY` in other stages. Python is compared as parsed, so that a comment makes nothing stale. The digests are
files: `DRIVER/STAGE`, which `dvc.yaml` names as dependencies, and `DRIVER/training`. The wheel brings them; from a checkout they
are written anew when the code changes. This module is run while the wheel is built, and imports the standard library only.
"""

from __future__ import annotations

import ast
import functools
import gc
import hashlib
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGE = Path(__file__).parent
STAGES = ("plan", "fetch", "inspect", "prepare", "evaluate", "rerun", "judge", "report")
"""The sentence: a release claims; OpenAssay plans, fetches, inspects, prepares, evaluates, reruns, judges and reports."""
TRAINING = "training"
"""Beside the stages' digests: that of what makes and measures one rerun."""
RUN_BY = {
    "openassay.training.": {"rerun", "evaluate"}, "openassay.protocols.": {"rerun", "evaluate"},
    "openassay.published.tokens.": {"inspect", "rerun", "evaluate"},
}  # fmt: skip
"""Packages that only some stages run."""
MADE_BY = (
    "openassay.child", "openassay.metrics", "openassay.drivers", "openassay.published.recipes", "openassay.published.tokens",
    "openassay.training", "openassay.protocols", "openassay.core.replay", "openassay.run_files",
)  # fmt: skip
"""What makes and measures a rerun."""
NOUNS = {"openassay.training.recipe", "openassay.training.language"}
"""Modules of these that say what a recipe is, and so what a plan may hold."""


def script(stage: str) -> str:
    """The module of a stage's script (`inspect.py` would stand in for the standard library's module)."""
    return "openassay.pipelines.inspect_" if stage == "inspect" else f"openassay.pipelines.{stage}"


@functools.cache
def drivers() -> tuple[str, ...]:
    """The drivers, as the union of `openassay.drivers` imports their modules, and `none`, where nothing is rerun."""
    tree = _tree("openassay.drivers")
    found = [node.module for node in tree.body if isinstance(node, ast.ImportFrom) and node.module]
    return (*(name.rpartition(".")[2] for name in found if name.startswith("openassay.drivers.")), "none")


def modules(stage: str, driver: str) -> list[str]:
    """The modules of ours that a stage uses for targets of a driver, by name."""
    others = {f"openassay.drivers.{other}" for other in drivers() if other != driver}
    found: set[str] = set()
    todo = [script(stage)]
    while todo:
        name = todo.pop()
        never = name not in NOUNS and any(stage not in by for package, by in RUN_BY.items() if name.startswith(package))
        if name in found or name in others or never:
            continue
        found.add(name)
        todo += _imported(name)
    return sorted(found)


@contextmanager
def _parsing() -> Iterator[None]:
    """Without a search for cycles among the many objects of parsed modules: it takes longer than parsing. They are let go."""
    searched = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        _tree.cache_clear()
        if searched:
            gc.enable()


@_parsing()
def digest(stage: str, driver: str) -> str:
    """sha256 of the code and the data files that a stage uses for targets of a driver."""
    parts = "\n".join(f"{name} {_digest(name)}" for name in modules(stage, driver))
    return hashlib.sha256(parts.encode()).hexdigest()


@_parsing()
def training(driver: str) -> str:
    """sha256 of the code that makes and measures one rerun of a driver: while it is the same, a finished rerun is kept."""
    parts = [f"{name} {_digest(name)}" for name in modules("rerun", driver) if name.startswith(MADE_BY)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def folder(cache: Path) -> Path:
    """A folder below `cache` with the digests of the code as it is now: written once for each state of its files."""
    files = sorted(path for path in PACKAGE.rglob("*") if path.suffix in {".py", ".json", ".j2"})
    files += sorted((PACKAGE / "pipelines").glob("*.py"))
    state = [(str(path), (stat := path.stat()).st_mtime_ns, stat.st_size) for path in files]
    found = cache / "code" / hashlib.sha256(repr(state).encode()).hexdigest()[:32]
    if not found.is_dir():
        found.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=found.parent) as temporary:
            write(Path(temporary) / "code")
            try:
                (Path(temporary) / "code").rename(found)
            except OSError:  # another process was first
                if not found.is_dir():
                    raise
    return found


def write(folder: Path) -> None:
    """Write every digest below a folder; a file that says the same already is left as it is."""
    for driver in drivers():
        for name in (*STAGES, TRAINING):
            path, text = folder / driver / name, (training(driver) if name == TRAINING else digest(name, driver)) + "\n"
            if not path.is_file() or path.read_text(encoding="ascii") != text:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="ascii")


def _file(name: str) -> Path | None:
    """The file of one of our modules; None where a name is no module."""
    base = PACKAGE.joinpath(*name.split(".")[1:])
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


@functools.cache
def _tree(name: str) -> ast.Module:
    path = _file(name)
    assert path is not None  # noqa: S101 - _imported has looked
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def _imported(name: str) -> list[str]:
    """The modules of ours that a module imports anywhere in it; importing a.b.c runs a and a.b too."""
    names: list[str] = []
    for node in _statements(_tree(name)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    ours = [of.split(".") for of in names if of.split(".")[0] == "openassay"]
    parents = {".".join(parts[:end]) for parts in ours for end in range(1, len(parts) + 1)}
    return sorted(of for of in parents if _file(of))


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """All statements in a node, at any depth; no expression holds one."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        if isinstance(child, (ast.stmt, ast.excepthandler, ast.match_case)):
            yield from _statements(child)


@functools.cache
def _digest(name: str) -> str:
    """Of one module as parsed, and of the data files beside or below it that it names."""
    path = _file(name)
    assert path is not None  # noqa: S101 - _imported has looked
    text = path.read_text(encoding="utf-8")
    parts = [ast.dump(_tree(name)).encode()]
    if path.parent != PACKAGE:  # there lie conf/ and pipelines/, which are dependencies of their own
        files = sorted(of for of in path.parent.rglob("*") if of.is_file() and of.suffix not in {".py", ".pyc"})
        parts += [of.read_bytes() for of in files if f'"{of.name}"' in text or f'"{of.parent.name}"' in text]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


if __name__ == "__main__":
    write(Path(sys.argv[1]))
