"""Whether a release's Python code can run as published: names and modules that are nowhere, syntax newer than is declared."""

from __future__ import annotations

import ast
import builtins
import contextlib
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath

from pyflakes import messages
from pyflakes.checker import Checker

from openassay.checks.check import Agreement, Contradiction, NotAsked, Seen, check
from openassay.core.findings import Excerpt
from openassay.published.code_options import calls, last_name
from openassay.published.commands import readmes
from openassay.published.files import Code, PublishedFiles, Text, derived_once, excerpt
from openassay.published.packages import is_ignored, laid_over
from openassay.published.stated import is_aside

MOST_NODES = 3_000_000
"""Nodes of syntax trees that are looked through for names."""
_GIVEN = {
    "get_ipython", "display", "reveal_type", "reveal_locals", "profile", "__path__", "__builtins__", "_", "unicode", "xrange",
    "raw_input", "basestring", "long", "unichr", "reduce", "file", "cmp", "execfile", "reload", "buffer", "apply", "intern",
    "WindowsError", "spark", "dbutils",
}  # fmt: skip
"""Names that other programs bring (IPython, profilers, gettext, Databricks), and Python 2's own, used behind a question."""
_HOW_MANY = 3


_NOT_OWN = re.compile(r"(?i)template|cookiecutter|(^|/)(test_[^/]*|[^/]*_test|conftest)\.py$")


def own_code(release: PublishedFiles) -> list[Code]:
    """The Python files of the release's own, without tests, copies of other projects and templates."""
    return [of for of in release.code if not is_aside(of.path) and not _NOT_OWN.search(of.path)]


def seen_at(code: Code, node: ast.AST, key: str, value: str) -> Excerpt:
    """A node of a Python file, to be cited."""
    return excerpt(code.path, key, value[:200], getattr(node, "lineno", None))


@derived_once
def _flaws(release: PublishedFiles) -> tuple[list[tuple[Code, list[messages.Message]]], list[str]]:
    """What pyflakes says of each file, and why some were not asked."""
    left, found, why = MOST_NODES, list[tuple[Code, list[messages.Message]]](), []
    for code in own_code(release):
        left -= len(code.nodes)
        if left < 0:
            why.append(f"{code.path} and later files: more than {MOST_NODES} nodes of syntax in all")
            break
        try:
            found.append((code, Checker(code.tree, code.path).messages))
        except RecursionError:
            why.append(f"{code.path}: nested too deeply")
    return found, why


@check(needs="Python files")
def name_undefined(release: PublishedFiles) -> Iterator[Seen]:
    """{path}:{line} uses the name {name}, which nothing in the file defines or imports"""
    found, why = _flaws(release)
    yield from map(NotAsked, why)
    for code, said in found:
        if _makes_names(code):
            yield NotAsked(f"{code.path}: it makes names while it runs")
            continue
        told: set[str] = set()
        excused = _excused(code)
        if code.name == "__init__.py":  # whoever imports a package's module makes it a name of the package
            excused.names |= {of.rpartition("/")[2] for of in _stems(release) if of.rpartition("/")[0] == code.folder}
            excused.names |= {of.rpartition("/")[2] for of in release.folders if of.rpartition("/")[0] == code.folder}
        for message in said:
            name = str(message.message_args[0]) if isinstance(message, messages.UndefinedName) else ""
            if name and name not in _GIVEN | told | excused.names and not excused.covers(message.lineno, message.col):
                told.add(name)
                seen = excerpt(code.path, name, "defined nowhere in the file", message.lineno)
                yield Contradiction(seen, path=code.path, line=message.lineno, name=name)
        if not told:
            yield Agreement(excerpt(code.path, "", "every name is defined"))


_FAILS = {
    messages.PercentFormatPositionalCountMismatch: "a string is formatted with more or fewer values than it has places for",
    messages.PercentFormatMissingArgument: "a string is formatted without a value that it names",
    messages.StringDotFormatMissingArgument: "a string is formatted without a value that it names",
    messages.AssertTuple: "assert of a tuple with its message, which never fails",
    messages.IfTuple: "if of a tuple, which is always true",
    messages.RaiseNotImplemented: "raises NotImplemented, which is no exception",
    messages.ReturnOutsideFunction: "return outside a function",
    messages.DuplicateArgument: "a parameter stands twice",
}  # fmt: skip
_REPEATED = (messages.MultiValueRepeatedKeyLiteral, messages.MultiValueRepeatedKeyVariable)


@check(needs="Python files")
def code_contradicts_itself(release: PublishedFiles) -> Iterator[Seen]:
    """{path}:{line}: {what}"""
    found, why = _flaws(release)
    yield from map(NotAsked, why)
    for code, said in found:
        told: dict[tuple[int, str], None] = {}
        for message in said:
            what = _FAILS.get(type(message), "")
            if isinstance(message, _REPEATED):
                what = f"the key {message.message_args[0]!r} stands twice in one dictionary, with different values"
            if what:
                told[message.lineno, what] = None
        for line, what in told:
            yield Contradiction(excerpt(code.path, "", what, line), path=code.path, line=line, what=what)
        if not told:
            yield Agreement(excerpt(code.path, "", "no such flaw"))


@dataclass
class _Excused:
    """Where a name that nothing defines does no harm: in annotations, and where its absence is caught."""

    names: set[str] = field(default_factory=set)
    """Bound somewhere, perhaps too late or elsewhere."""
    spans: list[tuple[tuple[int, int], tuple[int, int]]] = field(default_factory=list)

    def add(self, *nodes: ast.AST | None) -> None:
        """Excuse what stands within these nodes."""
        for node in nodes:
            if isinstance(node, ast.expr | ast.stmt):
                end = (node.end_lineno or node.lineno, node.end_col_offset or 0)
                self.spans.append(((node.lineno, node.col_offset), end))

    def covers(self, line: int, column: int) -> bool:
        """Whether a place is excused."""
        return any(start <= (line, column) < end for start, end in self.spans)


def _excused(code: Code) -> _Excused:
    found = _Excused(names=set(_bound(code)))
    for node in code.nodes:
        if isinstance(node, ast.arg | ast.AnnAssign):
            found.add(node.annotation)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.returns)
        elif isinstance(node, ast.Try) and node.handlers:
            found.add(*node.body)
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Constant) and not node.test.value:
            found.add(*node.body)  # never run
        elif isinstance(node, ast.Call) and last_name(node.func) in {"replace", "sub"}:
            words = (of.value for of in node.args if isinstance(of, ast.Constant) and isinstance(of.value, str))
            found.names.update(name for of in words for name in re.findall(r"\w+", of))  # stands for what replaces it
    return found


def _makes_names(code: Code) -> bool:
    """True where names may come into being that no syntax shows."""
    own = code.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    handed = (node.value for node in code.tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call))
    is_handed = any(
        (isinstance(of, ast.Name) and of.id == "__name__")
        or (isinstance(of, ast.Constant) and isinstance(of.value, str) and f".{own}".endswith(f".{of.value}") and "." in of.value)
        for call in handed for of in call.args
    )  # fmt: skip
    return is_handed or any(_is_maker(node) for node in code.nodes)


def _is_maker(node: ast.AST) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in {"exec", "globals", "vars", "execfile"}
    is_star = isinstance(node, ast.ImportFrom) and any(of.name == "*" for of in node.names)
    return is_star or (isinstance(node, ast.Attribute) and node.attr in {"__dict__", "__builtins__", "f_globals"})


_Defined = tuple[Code, ast.FunctionDef | ast.AsyncFunctionDef, bool]
"""Where a function is defined, the function, and whether it is a class's first method."""


@dataclass
class _Modules:
    """The modules of a release by their paths, without `.py`."""

    release: PublishedFiles
    names: dict[str, frozenset[str] | None] = field(default_factory=dict)
    plain: dict[str, dict[str, _Defined]] = field(default_factory=dict)

    def is_there(self, path: str) -> bool:
        """Whether a module or a package of this path is there, in Python or compiled."""
        files = _stems(self.release)
        return path in files or self.release.has(path) or self.release.has(f"{path}.py")

    def code_of(self, path: str) -> Code | None:
        """The Python file of a module or a package."""
        known = self.release.code_by_path
        return known.get(f"{path}.py") or known.get(f"{path}/__init__.py")

    def root_of(self, roots: list[list[str]], package: str) -> list[str] | None:
        """The first of these folders that has a module or package of this name; None where another may be meant."""
        for root in roots:
            is_file = "/".join([*root, f"{package}.py"]) in self.release.by_path
            if is_file and root is roots[0] and not self._is_inner(root):
                # What has modules below it is a package, and no file; one of another folder may be another project's.
                return None if package in _packages_meant(self.release) else root
            begin = self.code_of("/".join([*root, package]))
            if begin is None or self._is_inner(root):
                continue
            if any(last_name(of.func) in {"extend_path", "declare_namespace"} for of in calls(begin)):
                return None  # others may add to it
            inner = (name for name in _imported(self.release) if name.startswith(f"{package}."))
            return root if any(self.is_there("/".join([*root, *name.split(".")])) for name in inner) else None
        return None

    def _is_inner(self, root: list[str]) -> bool:
        return "/".join([*root, "__init__.py"]) in self.release.by_path

    def names_of(self, path: str) -> frozenset[str] | None:
        """The names that a module has after it is imported; None where they cannot be told."""
        if path not in self.names:
            code = self.code_of(path)
            self.names[path] = _names(code) if code else None
        return self.names[path]

    def plain_definitions_of(self, path: str) -> dict[str, _Defined]:
        """The definitions of a module that its names can only mean; none where the module may have other names."""
        if path not in self.plain:
            code = self.code_of(path)
            is_known = code is not None and self.names_of(path) is not None
            self.plain[path] = _plain_definitions(code, Counter(_bound(code))) if code and is_known else {}
        return self.plain[path]


@derived_once
def _stems(release: PublishedFiles) -> frozenset[str]:
    """Every file's path up to the first point of its name: `a/b` of `a/b.py` and of `a/b.cpython-311-x86_64-linux-gnu.so`."""
    paths = (*(file.path for file in release.files), *release.elsewhere)
    return frozenset(str(PurePosixPath(path).parent / PurePosixPath(path).name.partition(".")[0]) for path in paths)


@derived_once
def _imported(release: PublishedFiles) -> frozenset[str]:
    """What the release's files import by its whole dotted name: modules, and what is taken from them."""
    found: set[str] = set()
    for node in (node for code in release.code for node in code.nodes):
        if isinstance(node, ast.Import):
            found.update(of.name for of in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.update((node.module, *(f"{node.module}.{of.name}" for of in node.names)))
    return frozenset(found)


@derived_once
def _packages_meant(release: PublishedFiles) -> frozenset[str]:
    """The first words of the dotted modules that the release's files import."""
    found: set[str] = set()
    for node in (node for code in release.code for node in code.nodes):
        if isinstance(node, ast.Import):
            found.update(of.name.partition(".")[0] for of in node.names if "." in of.name)
        elif isinstance(node, ast.ImportFrom) and node.module and "." in node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return frozenset(found)


def _names(code: Code) -> frozenset[str] | None:
    """The names that a module's top level binds; None where it may have others."""
    found = {
        "__name__",
        "__file__",
        "__doc__",
        "__path__",
        "__package__",
        "__spec__",
        "__loader__",
        "__all__",
        "__dict__",
    }
    nodes: list[ast.AST] = [*code.tree.body]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
            continue  # what is bound inside stays there, but for `global`
        if isinstance(node, ast.Import):
            found |= {(of.asname or of.name).partition(".")[0] for of in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {of.asname or of.name for of in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            found.add(node.name)
        nodes.extend(ast.iter_child_nodes(node))
    found |= {name for node in code.nodes if isinstance(node, ast.Global) for name in node.names}
    may_have_more = "__getattr__" in found or _makes_names(code) or any(_is_lazy(node) for node in code.nodes)
    return None if may_have_more else frozenset(found)


def _is_lazy(node: ast.AST) -> bool:
    """True for what gives a module names by other means than assignments: `sys.modules`, `setattr`, lazy loaders."""
    if isinstance(node, ast.Attribute):
        return node.attr == "modules"
    return isinstance(node, ast.Call) and bool(re.search(r"(?i)setattr|lazy|attach|extend_path", last_name(node.func)))


@dataclass(frozen=True)
class _Import:
    code: Code
    node: ast.ImportFrom | ast.Import
    module: str
    """Path of the module in the release, without `.py`."""
    written: str
    names: tuple[str, ...]


@check(needs="Python files that import modules of the release")
def import_absent(release: PublishedFiles) -> Iterator[Seen]:
    """{path}:{line} imports {what}, which is not in the release"""
    if "." in release.unreadable or any(file.name == "PKG-INFO" for file in release.files) or len(release.code) < 2:
        yield NotAsked("only a part of the repository is here")
        return
    modules, told = _Modules(release), 0
    over = laid_over(release)
    for of in _imports(release, modules):
        if folder := next((top for top in over if of.code.path.startswith(f"{top}/")), None):
            yield NotAsked(f"{folder}: most of a package is absent there, so it may be laid over another project")
            continue
        seen = partial(seen_at, of.code, of.node, of.written)
        line = of.node.lineno
        if not modules.is_there(of.module):
            if _is_made(of.module, release):
                yield NotAsked(f"{of.code.path}: {of.written} may be made by a build")
                continue
            at = excerpt(of.module.rpartition("/")[0] or ".", "present", ", ".join(_beside(release, of.module)))
            yield Contradiction(seen("not there"), at, path=of.code.path, line=line, what=of.written)
            continue
        known = modules.names_of(of.module)
        missing = [
            name for name in of.names
            if known is not None and name not in known and not modules.is_there(f"{of.module}/{name}")
        ]  # fmt: skip
        for name in missing:
            at = excerpt(f"{of.module}", "defines", ", ".join(sorted(known or ())[:12]))
            what = f"{name} from {of.written}"
            yield Contradiction(seen(f"{name} is not there"), at, path=of.code.path, line=line, what=what)
        if not missing and told < _HOW_MANY:
            told += 1
            yield Agreement(seen("there"))


@check(needs="a README whose Python example imports modules of the release")
def example_import_absent(release: PublishedFiles) -> Iterator[Seen]:
    """{path}:{line} imports {what}, which is not in the release"""
    if "." in release.unreadable or any(file.name == "PKG-INFO" for file in release.files) or not release.code:
        yield NotAsked("only a part of the repository is here")
        return
    modules, over = _Modules(release), laid_over(release)
    for code in (code for text in readmes(release) for code in _examples(text)):
        if any(f"{code.path}/".startswith(f"{folder}/") for folder in over):
            continue
        for of in (
            of for node in code.tree.body if isinstance(node, ast.ImportFrom) for of in _resolved(code, node, modules)
        ):
            known = modules.names_of(of.module)
            if _IMAGINED.search(of.written):
                continue
            if not modules.is_there(of.module):
                missing = [] if _is_made(of.module, release) else [of.written]
            else:
                missing = [
                    f"{name} from {of.written}" for name in of.names
                    if known is not None and name not in known and not modules.is_there(f"{of.module}/{name}")
                ]  # fmt: skip
            at = excerpt(of.module, "defines", ", ".join(sorted(known or ())[:12]) or "nothing")
            for what in missing:
                yield Contradiction(
                    seen_at(code, of.node, of.written, what), at, path=code.path, line=of.node.lineno, what=what
                )
            if not missing:
                yield Agreement(seen_at(code, of.node, of.written, "there"))


_IMAGINED = re.compile(r"(?i)(^|[._])(new|my|your|some|custom|foo|bar|example)s?([._]|$)")


def _examples(text: Text) -> Iterator[Code]:
    """The Python examples of a document, with its own line numbers; of what is no Python none."""
    start = None
    for at, line in enumerate(text.lines):
        if start is not None and re.match(r"\s*(```|~~~)", line):
            block = "\n" * start + textwrap.dedent("\n".join(text.lines[start:at]))
            start = None
            with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
                yield Code(path=text.path, tree=ast.parse(block))
        elif start is None and at in text.fenced and re.match(r"\s*(```+|~~~+)\s*(python|py)\b", line):
            start = at + 1


def _beside(release: PublishedFiles, module: str) -> list[str]:
    folder = module.rpartition("/")[0]
    return [file.name for file in release.files if file.folder == folder][:12]


_MADE = re.compile(
    r"(^|/)(_?version|_?build|git_version\w*|_?generated\w*|\w*_pb2(_grpc)?|_C|_ext\w*|parser|lexer|\w*_(cuda|cpp|ext|lib))$"
)
_COMPILED = (".pyx", ".pxd", ".c", ".cpp", ".cu", ".cc", ".proto", ".so", ".pyd", ".rs", ".in", ".g4")


def _is_made(module: str, release: PublishedFiles) -> bool:
    """True where a build, a set-up or the user may make the module: git ignores it, or its name is that of such files."""
    return bool(_MADE.search(module)) or is_ignored(release, f"{module}.py")


def _imports(release: PublishedFiles, modules: _Modules) -> Iterator[_Import]:
    """The imports of modules that must lie in the release: those at the top level, as others may be meant to fail."""
    paths = (*(file.path for file in release.files), *release.elsewhere)
    compiled = {path.rpartition("/")[0] for path in paths if path.endswith(_COMPILED)}
    for code in own_code(release):
        for node in code.tree.body:
            for found in _resolved(code, node, modules) if isinstance(node, ast.ImportFrom | ast.Import) else ():
                if found.module.rpartition("/")[0] not in compiled:
                    yield found


def _resolved(code: Code, node: ast.ImportFrom | ast.Import, modules: _Modules) -> Iterator[_Import]:
    """An import as paths of the release; nothing for one of another package, or where that is not plain."""
    if isinstance(node, ast.ImportFrom) and node.level:
        folders = code.folder.split("/") if code.folder else []
        if node.level - 1 > len(folders) or f"{code.folder}/__init__.py".lstrip("/") not in modules.release.by_path:
            return
        base = "/".join(folders[: len(folders) - node.level + 1])
        path = "/".join(part for part in (base, *(node.module or "").split(".")) if part)
        if path:
            names = tuple(of.name for of in node.names if of.name != "*")
            yield _Import(code, node, path, "." * node.level + (node.module or ""), names)
        return
    wanted: list[tuple[str, tuple[str, ...]]] = [(of.name, ()) for of in node.names]
    if isinstance(node, ast.ImportFrom):
        wanted = [(node.module or "", tuple(of.name for of in node.names if of.name != "*"))]
    for dotted, names in wanted:
        package = dotted.partition(".")[0]
        root = _root(code, package, modules)
        is_itself = root is not None and "/".join([*root, f"{package}.py"]) == code.path
        if root is not None and not is_itself:  # a file of its own name means another's
            yield _Import(code, node, "/".join([*root, *dotted.split(".")]), dotted, names)


def _root(code: Code, package: str, modules: _Modules) -> list[str] | None:
    """The folder that holds a module or package of the release: one that the importing file lies in, beside it, or at the top.

    None where it may be another's of the same name.
    """
    if package in sys.stdlib_module_names or package in dir(builtins):
        return None
    parts = code.folder.split("/") if code.folder else []
    if package in parts:
        roots = [parts[: parts.index(package)]]
    elif f"{code.folder}/__init__.py".lstrip("/") in modules.release.by_path:
        if code.folder and modules.is_there(f"{code.folder}/{package}"):
            return None  # meant where the file is started by itself
        roots = [[], ["src"]]
    else:  # a script: its own folder comes first on the path
        roots = [parts, [], ["src"]]
    return modules.root_of(roots, package)


@check(needs="Python files that call functions of the release")
def call_not_accepted(release: PublishedFiles) -> Iterator[Seen]:
    """{path}:{line} calls {name} {what}; {at.path}:{at.line} defines it"""
    modules, told = _Modules(release), 0
    for code in own_code(release):
        known = _callables(code, modules)
        caught = _type_errors_caught(code) if known else _Excused()
        for node in code.nodes if known else ():
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in known):
                continue
            if caught.covers(node.lineno, node.col_offset):
                continue
            of, function, is_method = known[node.func.id]
            seen = seen_at(code, node, node.func.id, ast.unparse(node)[:200])
            at = seen_at(of, function, node.func.id, f"({ast.unparse(function.args)})")
            if what := _misfit(node, function.args, is_method=is_method):
                yield Contradiction(seen, at, path=code.path, line=node.lineno, name=node.func.id, what=what, at=at)
            elif told < _HOW_MANY:
                told += 1
                yield Agreement(seen, at)


def _type_errors_caught(code: Code) -> _Excused:
    """Where a call that is not accepted does no harm: it is tried."""
    found = _Excused()
    for node in (node for node in code.nodes if isinstance(node, ast.Try)):
        names = [last_name(of) for handler in node.handlers for of in _kinds(handler)]
        if {"TypeError", "Exception", "BaseException"} & {*names} or any(of.type is None for of in node.handlers):
            found.add(*node.body)
    return found


def _kinds(handler: ast.ExceptHandler) -> list[ast.expr]:
    return handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type] if handler.type else []


def _callables(code: Code, modules: _Modules) -> dict[str, _Defined]:
    """The functions and classes that a name can only mean in a file: bound once, by a plain definition of the release."""
    bound = Counter(_bound(code))
    found = _plain_definitions(code, bound)
    for node in code.tree.body:
        for of in _resolved(code, node, modules) if isinstance(node, ast.ImportFrom) else ():
            there = modules.plain_definitions_of(of.module)
            for name in node.names if isinstance(node, ast.ImportFrom) else ():
                here = name.asname or name.name
                if name.name in there and bound[here] == 1:
                    found[here] = there[name.name]
    return found


def _bound(code: Code) -> Iterator[str]:
    """Every name that a file binds, at any depth, as often as it does."""
    for node in code.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((of.asname or of.name).partition(".")[0] for of in node.names)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.name


def _plain_definitions(code: Code, bound: Counter[str]) -> dict[str, _Defined]:
    return {name: (code, *of) for name, of in _definitions(code).items() if bound[name] == 1}


def _definitions(code: Code) -> dict[str, tuple[ast.FunctionDef | ast.AsyncFunctionDef, bool]]:
    """The plain functions of a module's top level, and the first methods of its plain classes, by the name to call."""
    found: dict[str, tuple[ast.FunctionDef | ast.AsyncFunctionDef, bool]] = {}
    for node in code.tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.decorator_list:
            found[node.name] = node, False
        elif isinstance(node, ast.ClassDef) and not node.decorator_list and not node.keywords:
            own = [of for of in node.body if isinstance(of, ast.FunctionDef) and of.name in {"__init__", "__new__"}]
            is_plain = all(
                last_name(base) in {"Module", "object", "Dataset", "ABC", "Exception"} for base in node.bases
            )
            if is_plain and len(own) == 1 and own[0].name == "__init__" and not own[0].decorator_list:
                found[node.name] = own[0], True
    return found


def _misfit(call: ast.Call, takes: ast.arguments, *, is_method: bool) -> str:
    """Why a call cannot be made; empty where it can, or where that is not plain."""
    placed = [of.arg for of in (*takes.posonlyargs, *takes.args)][is_method:]
    named = {*placed, *(of.arg for of in takes.kwonlyargs)} - {of.arg for of in takes.posonlyargs}
    given = [of.arg for of in call.keywords if of.arg]
    if unknown := [name for name in given if name not in named and takes.kwarg is None]:
        return f"with {unknown[0]}, which it does not take"
    if any(isinstance(of, ast.Starred) for of in call.args) or len(given) < len(call.keywords):
        return ""
    if len(call.args) > len(placed) and takes.vararg is None:
        return f"with {len(call.args)} values by position, of which it takes {len(placed)}"
    optional = {*placed[len(placed) - len(takes.defaults) :]} if takes.defaults else set()
    optional |= {of.arg for of, default in zip(takes.kwonlyargs, takes.kw_defaults, strict=True) if default is not None}
    needed = [*placed[len(call.args) :], *(of.arg for of in takes.kwonlyargs)]
    missing = [name for name in needed if name not in optional and name not in given]
    return f"without {missing[0]}, which it needs" if missing else ""
