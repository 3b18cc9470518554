"""Which options does a published script take, and with which defaults? Read from its syntax tree; nothing is run.

argparse, click, typer, absl flags, fire, simple_parsing and transformers' HfArgumentParser are known. Where something is beyond
that, the answer is "not known", never a guess.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from openassay.checks.release import Code, PublishedFiles
from openassay.core.types import Excerpt


@dataclass(frozen=True, kw_only=True)
class Option:
    """A default that code gives to a setting."""

    path: str
    line: int
    name: str
    default: Any

    def seen(self) -> Excerpt:
        """Its place, to be cited."""
        return Excerpt(path=self.path, line=self.line, key=self.name, value=f"default {self.default!r}"[:200])


@dataclass
class Options:
    """What a script takes. `complete` is False, with the reason, where it may take more than was found."""

    flags: dict[str, int] = field(default_factory=dict)
    """Option as typed, and its line."""
    kind: str = ""
    complete: bool = True
    why: str = ""
    either_dash: bool = False
    """fire and typer-like: `--a_b` and `--a-b` are one."""
    prefixes: bool = False
    """argparse: a beginning that only one option has will do."""
    required: dict[str, int] = field(default_factory=dict)

    def unknown(self, why: str) -> None:
        """There may be more options than were found."""
        self.complete, self.why = False, self.why or why

    def takes(self, flag: str) -> bool:
        """Is this option accepted?"""
        if flag in self.flags or flag in {"--help", "-h"}:
            return True
        if self.either_dash and flag.replace("-", "_").lstrip("_") in {
            f.replace("-", "_").lstrip("_") for f in self.flags
        }:
            return True
        return self.prefixes and flag.startswith("--") and any(known.startswith(flag) for known in self.flags)


def dotted_name(node: ast.AST) -> str:
    """`a.b.c` of a name or an attribute."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted_name(node.value)}.{node.attr}"
    return dotted_name(node.func) if isinstance(node, ast.Call) else ""


def _literal(node: ast.AST | None) -> Any:
    if node is None:
        return None
    try:
        return ast.literal_eval(node)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return ...


def defaults(release: PublishedFiles) -> dict[str, list[Option]]:
    """Setting to the defaults that the code gives it: argparse options and fields of dataclasses."""
    if "defaults" in release.derived:
        return dict(release.derived["defaults"])
    found: dict[str, list[Option]] = {}
    release.derived["defaults"] = found

    def keep(path: str, line: int, name: str, default: Any) -> None:
        if default is not ... and default is not None and isinstance(default, (bool, int, float, str, tuple)):
            key = name.lower().replace("-", "_")
            found.setdefault(key, []).append(Option(path=path, line=line, name=name, default=default))

    for code in release.code:
        if any(part in {"tests", "test"} for part in code.path.split("/")):
            continue
        for node in ast.walk(code.tree):
            if isinstance(node, ast.Call) and dotted_name(node.func).endswith("add_argument"):
                names = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
                long = next((name for name in names if name.startswith("--")), None)
                given = next((keyword.value for keyword in node.keywords if keyword.arg == "default"), None)
                if long and given is not None:
                    keep(code.path, node.lineno, long.lstrip("-"), _literal(given))
            elif isinstance(node, ast.ClassDef) and _is_dataclass(node):
                for item in node.body:
                    if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.value is not None:
                        keep(code.path, item.lineno, item.target.id, _field_default(item.value))
    return found


def _is_dataclass(node: ast.ClassDef) -> bool:
    return any(
        dotted_name(decorator).rpartition(".")[2] in {"dataclass", "attrs", "define"}
        for decorator in node.decorator_list
    ) or any(
        dotted_name(base).rpartition(".")[2] in {"BaseModel", "NeoXArgsTemplate", "BaseConfig"} for base in node.bases
    )


def _field_default(node: ast.AST) -> Any:
    if isinstance(node, ast.Call) and dotted_name(node.func).rpartition(".")[2] in {"field", "Field"}:
        return _literal(next((keyword.value for keyword in node.keywords if keyword.arg == "default"), None))
    return _literal(node)


def options_of(script: Code, release: PublishedFiles) -> Options:
    """What a script takes on its command line, its local imports included."""
    modules = {code.path: code for code in release.code}
    reached = list(_closure(script, modules))
    options = Options()
    for code in reached:
        _argparse(code, options)
        _declared(code, options, own=code is script)
        if len(options.flags) > 3000:
            break
    if script_calls_fire := _fire(script, options):
        options.kind = "fire"
        options.either_dash = True
        if script_calls_fire == "unknown":
            options.unknown("what fire is given is not plain")
    for code in reached:
        _hf_parser(code, reached, options)
    _beyond(reached, options)
    if not options.kind:
        options.unknown("no way of reading options is recognised in it")
    return options


def _closure(script: Code, modules: dict[str, Code]) -> Iterator[Code]:
    todo: list[Code] = [script]
    seen: set[str] = set()
    while todo and len(seen) < 200:
        code = todo.pop()
        if code.path in seen:
            continue
        seen.add(code.path)
        yield code
        here = PurePosixPath(code.path).parent
        for node in ast.walk(code.tree):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                head = node.module or ""
                if node.level:
                    base = here
                    for _ in range(node.level - 1):
                        base = base.parent
                    head = ".".join([*(part for part in base.parts if part != "."), *([head] if head else [])])
                names = [head, *(f"{head}.{alias.name}" for alias in node.names)]
            for name in names:
                inside = name.replace(".", "/")
                for base_folder in (str(here), ".", "src"):
                    for ending in (f"{inside}.py", f"{inside}/__init__.py"):
                        path = str(PurePosixPath(base_folder) / ending)
                        if path in modules and path not in seen:
                            todo.append(modules[path])


_ARGPARSE = {"add_argument", "add_option"}


def _argparse(code: Code, options: Options) -> None:
    for node in ast.walk(code.tree):
        if not isinstance(node, ast.Call):
            continue
        name = dotted_name(node.func)
        last = name.rpartition(".")[2]
        if (
            last in {"ArgumentParser", "OptionParser"}
            and last == name.rpartition(".")[2]
            and "HfArgumentParser" not in name
        ):
            options.kind = options.kind or "argparse"
            if not any(k.arg == "allow_abbrev" and _literal(k.value) is False for k in node.keywords):
                options.prefixes = True
            if any(k.arg == "parents" for k in node.keywords):
                options.unknown("its parser has parents")
        elif last in _ARGPARSE:
            words = [_literal(arg) for arg in node.args]
            if any(isinstance(arg, ast.Starred) for arg in node.args) or any(
                not isinstance(word, str) for word in words
            ):
                options.unknown(f"an option's name in {code.path}:{node.lineno} is computed")
            count = next((k.value for k in node.keywords if k.arg == "nargs"), None)
            if count is not None and (dotted_name(count).endswith("REMAINDER") or _literal(count) == "..."):
                options.unknown("it takes the rest of the line as it is")
            for word in words:
                if isinstance(word, str) and word.startswith("-"):
                    options.flags.setdefault(word, node.lineno)
                    action = next((k.value for k in node.keywords if k.arg == "action"), None)
                    if action is not None and "BooleanOptional" in dotted_name(action):
                        options.flags.setdefault(f"--no-{word.lstrip('-')}", node.lineno)
        elif last == "parse_known_args":
            options.unknown("it passes unknown options on")


def _declared(code: Code, options: Options, *, own: bool) -> None:
    """absl's `flags.DEFINE_x`, click's and typer's options."""
    for node in ast.walk(code.tree):
        if isinstance(node, ast.Call) and dotted_name(node.func).rpartition(".")[2].startswith("DEFINE_") and node.args:
            word = _literal(node.args[0])
            options.kind = "absl"
            if isinstance(word, str):
                options.flags.setdefault(f"--{word}", node.lineno)
                options.flags.setdefault(f"--no{word}", node.lineno)
            else:
                options.unknown("a flag's name is computed")
        if own and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            _decorated(node, options)


def _decorated(node: ast.FunctionDef | ast.AsyncFunctionDef, options: Options) -> None:
    for decorator in node.decorator_list:
        name = dotted_name(decorator)
        if name in {"click.option", "option"} and isinstance(decorator, ast.Call):
            options.kind = "click"
            for arg in decorator.args:
                word = _literal(arg)
                if not isinstance(word, str):
                    options.unknown("an option's name is computed")
                elif word.startswith("-"):
                    for part in word.split("/"):
                        options.flags.setdefault(part.strip(), decorator.lineno)
        elif name.startswith("click.") and name.rpartition(".")[2] not in {
            "command",
            "group",
            "argument",
            "version_option",
            "help_option",
            "pass_context",
        }:
            options.unknown(f"{name} is not known")
        elif name.endswith((".command", ".callback")) and not name.startswith("click"):
            options.unknown("typer-like commands are not read")
            options.kind = options.kind or "typer"


def _fire(script: Code, options: Options) -> str:
    """`fire.Fire(f)`: the function's parameters are the options."""
    for node in ast.walk(script.tree):
        if not (isinstance(node, ast.Call) and dotted_name(node.func) in {"fire.Fire", "Fire"}):
            continue
        target = node.args[0] if node.args else next((k.value for k in node.keywords if k.arg == "component"), None)
        name = dotted_name(target) if target is not None else ""
        function = next((f for f in script.tree.body if isinstance(f, ast.FunctionDef) and f.name == name), None)
        if function is None:
            return "unknown"
        arguments = function.args
        if arguments.kwarg is not None:
            options.unknown("its function takes any keyword")
        for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
            options.flags.setdefault(f"--{argument.arg}", function.lineno)
            options.flags.setdefault(f"--no{argument.arg}", function.lineno)
            options.flags.setdefault(f"-{argument.arg[0]}", function.lineno)
            options.flags.setdefault(f"-{argument.arg}", function.lineno)
        return "known"
    return ""


def _hf_parser(code: Code, reached: list[Code], options: Options) -> None:
    """HfArgumentParser((A, B)): the fields of those dataclasses, where all of them are here."""
    for node in ast.walk(code.tree):
        if not (
            isinstance(node, ast.Call)
            and dotted_name(node.func).rpartition(".")[2] in {"HfArgumentParser", "TrlParser", "H4ArgumentParser"}
        ):
            continue
        options.kind = "HfArgumentParser"
        given = node.args[0] if node.args else None
        names = (
            [dotted_name(item) for item in given.elts]
            if isinstance(given, (ast.Tuple, ast.List))
            else [dotted_name(given)]
            if given
            else []
        )
        classes = {item.name: item for other in reached for item in other.tree.body if isinstance(item, ast.ClassDef)}
        options.prefixes = True
        for name in names:
            last = name.rpartition(".")[2]
            if last not in classes:
                options.unknown(f"the options of {last or 'its parser'} come from another package")
                continue
            todo = [classes[last]]
            while todo:
                node_class = todo.pop()
                for base in node_class.bases:
                    base_name = dotted_name(base).rpartition(".")[2]
                    if base_name in classes:
                        todo.append(classes[base_name])
                    elif base_name not in {"object", "Protocol"}:
                        options.unknown(f"the options of {base_name} come from another package")
                for item in node_class.body:
                    if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                        for spelling in (item.target.id, item.target.id.replace("_", "-")):
                            options.flags.setdefault(f"--{spelling}", item.lineno)
                            options.flags.setdefault(f"--no_{spelling}", item.lineno)


_OTHERS = (
    "OmegaConf.from_cli",
    "from_dotlist",
    "hydra.main",
    "jsonargparse",
    "LightningCLI",
    "tyro.cli",
    "simple_parsing",
    "gin.parse_config",
    "parse_flags",
    "docopt",
    "plac.call",
    "Tap",
    "configargparse",
    "ConfigArgParse",
    "pydantic_argparse",
    "sys.argv",
    "set_defaults_from",
)


def _beyond(reached: list[Code], options: Options) -> None:
    """Ways of taking options that are not read here; and a parser that is handed to another package's function."""
    local = {f.name for code in reached for f in ast.walk(code.tree) if isinstance(f, (ast.FunctionDef, ast.ClassDef))}
    for code in reached:
        parsers = {
            target.id
            for node in ast.walk(code.tree)
            if isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Call)
            and dotted_name(node.value.func).rpartition(".")[2]
            in {"ArgumentParser", "add_argument_group", "OptionParser"}
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(code.tree):
            if isinstance(node, (ast.Call, ast.Attribute, ast.ImportFrom, ast.Import)):
                name = (
                    dotted_name(node.func)
                    if isinstance(node, ast.Call)
                    else dotted_name(node)
                    if isinstance(node, ast.Attribute)
                    else " ".join([getattr(node, "module", None) or "", *(alias.name for alias in node.names)])
                )
                if known := next((other for other in _OTHERS if other in name), None):
                    options.unknown(f"it also uses {known}")
            if isinstance(node, ast.Call) and parsers:
                handed = [*node.args, *(k.value for k in node.keywords)]
                last = dotted_name(node.func).rpartition(".")[2]
                if any(isinstance(arg, ast.Name) and arg.id in parsers for arg in handed) and last not in local:
                    options.unknown(f"its parser is handed to {last}, which is not here")
                owner = node.func.value if isinstance(node.func, ast.Attribute) else None
                if (
                    (
                        last.startswith("add_")
                        and last
                        not in {
                            "add_argument",
                            "add_argument_group",
                            "add_mutually_exclusive_group",
                            "add_subparsers",
                            "add_parser",
                        }
                        and isinstance(owner, (ast.Name, ast.Attribute))
                    )
                    and any(isinstance(arg, ast.Name) and arg.id in parsers for arg in handed)
                    and last not in local
                ):
                    options.unknown(f"{dotted_name(node.func)} adds options of another package")


__all__ = ["Option", "Options", "defaults", "options_of"]
