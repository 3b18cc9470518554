"""The options and defaults of published scripts, read from their syntax trees; nothing is run.

argparse, click, absl flags, fire and transformers' HfArgumentParser are known. Whatever is beyond that makes a script's options
incomplete; nothing is guessed.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from openassay.published.files import Code, PublishedFiles, Value, derived_once


@dataclass
class Options:
    """What a script takes."""

    flags: dict[str, int] = field(default_factory=dict)
    """Option as typed, and its line."""
    kind: str = ""
    why: str = ""
    """Why it may take more than was found; empty where these are all."""
    either_dash: bool = False
    """fire: `--a_b` and `--a-b` are one."""
    prefixes: bool = False
    """argparse: the beginning of an option's name is accepted."""
    values: dict[str, list[tuple[int, type | None, tuple[Any, ...] | None]]] = field(default_factory=dict)
    """argparse: of each option the line, its type and its choices where it takes one value, as often as it is declared."""
    paths: dict[str, str] = field(default_factory=dict)
    """The file that declares an option."""
    reading: str = ""
    """The file that is being read."""
    dotted: set[str] = field(default_factory=set)
    """ml_collections: with `--config`, any `--config.x` is accepted."""

    def add(self, line: int, *flags: str) -> None:
        """Note options that a line declares; the first line of each counts."""
        for flag in flags:
            self.flags.setdefault(flag, line)
            self.paths.setdefault(flag, self.reading)

    def unknown(self, why: str) -> None:
        """Note that there may be more options than were found."""
        self.why = self.why or why

    def takes(self, flag: str) -> bool:
        """True if this option is accepted."""
        if flag in self.flags or flag in {"--help", "-h"}:
            return True
        if "." in flag and flag.partition(".")[0].lstrip("-") in self.dotted:
            return True
        spellings = {known.replace("-", "_").lstrip("_") for known in self.flags} if self.either_dash else set()
        if flag.replace("-", "_").lstrip("_") in spellings:
            return True
        return self.prefixes and flag.startswith("--") and any(known.startswith(flag) for known in self.flags)


def dotted_name(node: ast.AST) -> str:
    """`a.b.c` of a name or an attribute; of a call, that of its function."""
    parts: list[str] = []
    while isinstance(node, (ast.Attribute, ast.Call)):  # no recursion: a chain may be long
        if isinstance(node, ast.Attribute):
            parts.append(node.attr)
        node = node.func if isinstance(node, ast.Call) else node.value
    return ".".join([node.id if isinstance(node, ast.Name) else "", *reversed(parts)])


def last_name(node: ast.AST) -> str:
    """The last word of a dotted name."""
    return dotted_name(node).rpartition(".")[2]


def _literal(node: ast.AST | None) -> Any:
    """A literal's value; `...` for anything else."""
    if node is None:
        return None
    try:
        return ast.literal_eval(node)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return ...


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def calls(code: Code) -> Iterator[ast.Call]:
    """Every call in a file."""
    return (node for node in code.nodes if isinstance(node, ast.Call))


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, ast.AnnAssign]]:
    """The annotated names of a class's body."""
    items = (item for item in node.body if isinstance(item, ast.AnnAssign))
    return ((item.target.id, item) for item in items if isinstance(item.target, ast.Name))


@derived_once
def defaults(release: PublishedFiles) -> dict[str, list[Value]]:
    """The defaults that the code gives to each setting: in argparse options and in fields of dataclasses."""
    found: dict[str, list[Value]] = defaultdict(list)
    for code in (code for code in release.code if not {"tests", "test"} & {*code.path.split("/")}):
        for line, name, node in _given_defaults(code):
            default = _literal(node)
            if isinstance(default, (bool, int, float, str, tuple)):
                option = Value(path=code.path, line=line, key=name, value=default, text=f"default {default!r}")
                found[name.lower().replace("-", "_")].append(option)
    return dict(found)


def _given_defaults(code: Code) -> Iterator[tuple[int, str, ast.expr | None]]:
    for node in code.nodes:
        if isinstance(node, ast.Call) and dotted_name(node.func).endswith("add_argument"):
            names = (arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str))
            if long := next((name for name in names if name.startswith("--")), None):
                yield node.lineno, long.lstrip("-"), _keyword(node, "default")
        elif isinstance(node, ast.ClassDef) and _is_dataclass(node):
            for name, item in _fields(node):
                given = item.value
                if isinstance(given, ast.Call) and last_name(given.func) in {"field", "Field"}:
                    given = _keyword(given, "default")
                yield item.lineno, name, given


def helped_defaults(code: Code) -> Iterator[tuple[Value, str]]:
    """The options and fields of a file with a number as default, each with its help."""
    set_later = {
        keyword.arg for call in calls(code) if last_name(call.func) == "set_defaults" for keyword in call.keywords
    }
    for call in calls(code):
        if last_name(call.func) == "add_argument":
            words = [word for word in map(_literal, call.args) if isinstance(word, str)]
            name, text = next((word for word in words if word.startswith("--")), ""), _literal(_keyword(call, "help"))
        elif last_name(call.func) in {"field", "Field"}:
            metadata = _literal(_keyword(call, "metadata"))
            name, text = "a field", metadata.get("help") if isinstance(metadata, dict) else None
        else:
            continue
        default = _literal(_keyword(call, "default"))
        is_number = isinstance(default, (int, float)) and not isinstance(default, bool)
        if name and isinstance(text, str) and is_number and name.lstrip("-").replace("-", "_") not in set_later:
            yield Value(path=code.path, line=call.lineno, key=name, value=default, text=f"default {default!r}"), text


def _is_dataclass(node: ast.ClassDef) -> bool:
    decorated = any(last_name(decorator) in {"dataclass", "attrs", "define"} for decorator in node.decorator_list)
    return decorated or any(last_name(base) in {"BaseModel", "NeoXArgsTemplate", "BaseConfig"} for base in node.bases)


def options_of(script: Code, release: PublishedFiles) -> Options:
    """The options that a script takes on its command line, its local imports included; each script is read once."""
    known = _known_options(release)
    if script.path not in known:
        known[script.path] = _options_of(script, release)
    return known[script.path]


@derived_once
def _known_options(_release: PublishedFiles) -> dict[str, Options]:
    return {}


def _options_of(script: Code, release: PublishedFiles) -> Options:
    reached, options = list(reached_from(script, release.code_by_path)), Options()
    for code in reached:
        options.reading = code.path
        _argparse(code, options)
        if code is script:
            _click(code, options)
        _absl(code, options)
        if len(options.flags) > 3000:
            break
    options.reading = script.path
    _fire(script, options)
    for code in reached:
        _hf_parser(code, reached, options)
    _beyond(reached, options, _others_used(release))
    if not options.kind:
        options.unknown("no way of reading options is recognised in it")
    return options


def reached_from(script: Code, modules: dict[str, Code]) -> Iterator[Code]:
    """The script and the modules of the release that it imports, at most 200."""
    todo = [script]
    seen: set[str] = set()
    while todo and len(seen) < 200:
        code = todo.pop()
        if code.path in seen:
            continue
        seen.add(code.path)
        yield code
        here = PurePosixPath(code.path).parent
        for name in _imported(code, here):
            inside = name.replace(".", "/")
            places = (f"{inside}.py", f"{inside}/__init__.py")
            paths = (str(PurePosixPath(folder) / place) for folder in (here, ".", "src") for place in places)
            todo.extend(modules[path] for path in paths if path in modules and path not in seen)


def _imported(code: Code, here: PurePosixPath) -> Iterator[str]:
    """The dotted names of the modules that a file may import; a relative one from the release's top."""
    for node in code.nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            head = node.module or ""
            if node.level:
                base = [here, *here.parents][: node.level][-1]
                head = ".".join(part for part in (*base.parts, head) if part not in {".", ""})
            yield head
            yield from (f"{head}.{alias.name}" for alias in node.names)


def _argparse(code: Code, options: Options) -> None:
    for node in calls(code):
        last = last_name(node.func)
        if last in {"ArgumentParser", "OptionParser"}:
            options.kind = options.kind or "argparse"
            if _literal(_keyword(node, "allow_abbrev")) is not False:
                options.prefixes = True
            if _keyword(node, "parents"):
                options.unknown("its parser has parents")
        elif last in {"add_argument", "add_option"}:
            count, action = _keyword(node, "nargs"), _keyword(node, "action")
            takes = _type_and_choices(node) if count is None and action is None else (None, None)
            for word in map(_literal, node.args):
                if isinstance(word, str) and word.startswith("--"):
                    options.values.setdefault(word, []).append((node.lineno, *takes))
                if not isinstance(word, str):
                    options.unknown(f"an option's name in {code.path}:{node.lineno} is computed")
                elif word.startswith("-"):
                    options.add(node.lineno, word)
                    if action is not None and "BooleanOptional" in dotted_name(action):
                        options.add(node.lineno, f"--no-{word.lstrip('-')}")
            if count is not None and (dotted_name(count).endswith("REMAINDER") or _literal(count) == "..."):
                options.unknown("it takes the rest of the line as it is")
        elif last == "parse_known_args":
            options.unknown("it passes unknown options on")


def _type_and_choices(node: ast.Call) -> tuple[type | None, tuple[Any, ...] | None]:
    """int or float where an option's value must be one, and the values that it may have, where both are plain."""
    kind = {"int": int, "float": float}.get(dotted_name(_keyword(node, "type") or node))
    choices = _literal(_keyword(node, "choices"))
    return kind, tuple(choices) if isinstance(choices, (list, tuple, set)) and ... not in choices else None


def _absl(code: Code, options: Options) -> None:
    """absl's `flags.DEFINE_x`."""
    for node in calls(code):
        if last_name(node.func).startswith("DEFINE_") and node.args:
            options.kind = "absl"
            if last_name(node.func) in {"DEFINE_config_file", "DEFINE_config_dict"}:
                options.dotted.add(str(_literal(node.args[0])))
            if isinstance(word := _literal(node.args[0]), str):
                options.add(node.lineno, f"--{word}", f"--no{word}")
            else:
                options.unknown("a flag's name is computed")


def _click(code: Code, options: Options) -> None:
    """click's options; typer's commands are not read."""
    no_option = {"command", "group", "argument", "version_option", "help_option", "pass_context"}
    functions = (node for node in code.nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
    for decorator in (decorator for node in functions for decorator in node.decorator_list):
        name = dotted_name(decorator)
        if name in {"click.option", "option"} and isinstance(decorator, ast.Call):
            options.kind = "click"
            for word in map(_literal, decorator.args):
                if not isinstance(word, str):
                    options.unknown("an option's name is computed")
                elif word.startswith("-"):
                    options.add(decorator.lineno, *(part.strip() for part in word.split("/")))
        elif name.startswith("click.") and last_name(decorator) not in no_option:
            options.unknown(f"{name} is not known")
        elif name.endswith((".command", ".callback")) and not name.startswith("click"):
            options.unknown("typer-like commands are not read")
            options.kind = options.kind or "typer"


def _fire(script: Code, options: Options) -> None:
    """`fire.Fire(f)`: the function's parameters are the options."""
    call = next((node for node in calls(script) if dotted_name(node.func) in {"fire.Fire", "Fire"}), None)
    if call is None:
        return
    options.kind, options.either_dash = "fire", True
    target = call.args[0] if call.args else _keyword(call, "component")
    name = dotted_name(target) if target is not None else ""
    function = next((f for f in script.tree.body if isinstance(f, ast.FunctionDef) and f.name == name), None)
    if function is None:
        options.unknown("the function that it gives to fire is not found")
        return
    given = function.args
    if given.kwarg is not None:
        options.unknown("its function takes any keyword")
    for name in (argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)):
        options.add(function.lineno, f"--{name}", f"--no{name}", f"-{name[0]}", f"-{name}")


def _hf_parser(code: Code, reached: list[Code], options: Options) -> None:
    """HfArgumentParser((A, B)): the fields of those dataclasses, where all of them are here."""
    parsers = {"HfArgumentParser", "TrlParser", "H4ArgumentParser"}
    classes = {item.name: item for other in reached for item in other.tree.body if isinstance(item, ast.ClassDef)}
    for given in (node.args[:1] for node in calls(code) if last_name(node.func) in parsers):
        options.kind, options.prefixes = "HfArgumentParser", True
        for last in map(last_name, given[0].elts if given and isinstance(given[0], (ast.Tuple, ast.List)) else given):
            if last in classes:
                _dataclass_options(classes[last], classes, reached, options)
            else:
                options.unknown(f"the options of {last or 'its parser'} come from another package")


def _dataclass_options(
    first: ast.ClassDef, classes: dict[str, ast.ClassDef], reached: list[Code], options: Options
) -> None:
    todo, seen = [first], {first}
    while todo:
        node = todo.pop()
        for base, dotted in ((last_name(base), dotted_name(base)) for base in node.bases):
            if (
                base in classes and base == dotted and classes[base] is not node
            ):  # else another module's class of that name
                todo.extend({classes[base]} - seen)
                seen.add(classes[base])
            elif base not in {"object", "Protocol"}:
                options.unknown(f"the options of {base} come from another package")
        options.reading = next((code.path for code in reached if node in code.tree.body), "")
        for name, item in _fields(node):
            dashed = name.replace("_", "-")
            options.add(item.lineno, f"--{name}", f"--no_{name}", f"--{dashed}", f"--no_{dashed}")


_OTHERS = (
    "OmegaConf.from_cli", "from_dotlist", "hydra.main", "jsonargparse", "LightningCLI", "tyro.cli", "simple_parsing",
    "gin.parse_config", "parse_flags", "docopt", "plac.call", "Tap", "configargparse", "ConfigArgParse", "pydantic_argparse",
    "sys.argv", "set_defaults_from", "typer",
)  # fmt: skip


@derived_once
def _others_used(release: PublishedFiles) -> dict[str, str]:
    """By the paths of Python files the first other way of taking options that they use."""
    found: dict[str, str] = {}
    for code in release.code:
        for node in code.nodes:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                name = " ".join([getattr(node, "module", None) or "", *(alias.name for alias in node.names)])
            else:
                name = dotted_name(node) if isinstance(node, (ast.Call, ast.Attribute)) else ""
            if other := next((other for other in _OTHERS if other in name), None):
                found[code.path] = other
                break
    return found


def _beyond(reached: list[Code], options: Options, others: dict[str, str]) -> None:
    """Note ways of taking options that are not read here, and a parser that is handed to another package's function."""
    local = {f.name for code in reached for f in code.nodes if isinstance(f, (ast.FunctionDef, ast.ClassDef))}
    for code in reached:
        assigned = (n for n in code.nodes if isinstance(n, ast.Assign) and isinstance(n.value, ast.Call))
        made = (n for n in assigned if last_name(n.value) in {"ArgumentParser", "add_argument_group", "OptionParser"})
        parsers = {target.id for n in made for target in n.targets if isinstance(target, ast.Name)}
        if code.path in others:
            options.unknown(f"it also uses {others[code.path]}")
        for node in code.nodes if parsers else ():
            if isinstance(node, ast.Call) and (last := last_name(node.func)) not in local:
                handed = (*node.args, *(keyword.value for keyword in node.keywords))
                if any(isinstance(arg, ast.Name) and arg.id in parsers for arg in handed):
                    options.unknown(f"its parser is handed to {last}, which is not here")
