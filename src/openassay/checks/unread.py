"""What the code says of itself: options that it takes and never reads, files that only Python 2 reads."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from openassay.checks.check import Agreement, Contradiction, NotAsked, Noted, Seen, check, compared
from openassay.published.code_options import calls, dotted_name, helped_defaults, last_name, options_of
from openassay.published.files import Code, PublishedFiles, derived_once, excerpt
from openassay.published.scalars import number
from openassay.published.stated import is_aside

_SEED = re.compile(r"--(random[-_]|global[-_])?seed$")
_ALL = {"vars", "asdict", "getattr", "__dict__", "_get_kwargs", "namedtuple"}
"""By these a program reads options without naming them."""


@check(needs="a script with argparse that takes a seed")
def seed_never_read(release: PublishedFiles) -> Iterator[Seen]:
    """{path} takes {flag} in line {line}, but nothing reads it"""
    for code in (code for code in release.code if not is_aside(code.path)):
        for node, flag in _seeds(code):
            word = flag.lstrip("-").replace("-", "_")
            at = excerpt(code.path, flag, f"line {node.lineno}: option {flag}", node.lineno)
            uses = _read(code, word)
            if uses:
                yield Agreement(at, excerpt(code.path, word, f"line {uses[0].lineno}: read", uses[0].lineno))
            elif why := _may_be_read(code, word, release):
                yield NotAsked(why)
            else:
                parsed = next(call for call in calls(code) if last_name(call.func) == "parse_args")
                there = excerpt(
                    code.path,
                    "parse_args",
                    f"line {parsed.lineno}: the options, of which {word} is not read",
                    parsed.lineno,
                )
                yield Contradiction(at, there, path=code.path, flag=flag, line=node.lineno)


def _seeds(code: Code) -> Iterator[tuple[ast.Call, str]]:
    if not any(last_name(call.func) == "parse_args" for call in calls(code)):
        return
    for call in calls(code):
        words = [arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        has_name = any(keyword.arg in {"dest", "action"} for keyword in call.keywords)
        if last_name(call.func) == "add_argument" and not has_name:
            yield from ((call, word) for word in words if _SEED.match(word))


def _read(code: Code, word: str) -> list[ast.Attribute]:
    """The attributes of a name that are no functions: `random.seed(...)` sets a seed and reads none."""
    functions = {id(call.func) for call in calls(code)}
    named = (n for n in code.nodes if isinstance(n, ast.Attribute) and n.attr == word)
    return [n for n in named if id(n) not in functions]


def _may_be_read(code: Code, word: str, release: PublishedFiles) -> str:
    """Why an option may be read where no attribute names it; empty where it cannot."""
    names = {
        n.id if isinstance(n, ast.Name) else n.attr for n in code.nodes if isinstance(n, (ast.Name, ast.Attribute))
    }
    if names & _ALL:
        return f"{code.path} reads its options without naming them"
    assigned = [n for n in code.nodes if isinstance(n, ast.Assign) and _is_parse(n.value)]
    targets = [target for n in assigned for target in n.targets]
    parsed = {"args", *(target.id for target in targets if isinstance(target, ast.Name))}
    local = {n.name for n in code.nodes if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))}
    is_given = not all(isinstance(target, ast.Name) for target in targets)
    for n in code.nodes:
        if isinstance(n, ast.Call) and dotted_name(n.func) not in local | {"print"}:
            given = [*n.args, *(keyword.value for keyword in n.keywords)]
            is_given |= any(_is_parse(arg) or (isinstance(arg, ast.Name) and arg.id in parsed) for arg in given)
        elif isinstance(n, (ast.Return, ast.Assign, ast.Yield)):
            is_given |= isinstance(n.value, ast.Name) and n.value.id in parsed
            is_given |= isinstance(n, ast.Return) and _is_parse(n.value)
    imported = (
        alias.name
        for other in release.code
        for n in other.nodes
        if isinstance(n, ast.ImportFrom) and (n.module or "").rpartition(".")[2] == code.name.removesuffix(".py")
        for alias in n.names
    )
    if is_given or parsed & {*imported}:
        return f"{code.path} hands its options on"
    if any(isinstance(n, ast.Constant) and n.value == word for n in code.nodes):
        return f"{code.path} may read {word} by its name"
    return ""


def _is_parse(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Call) and last_name(node.func) == "parse_args"


_PYTHON_2 = re.compile(
    r"not Python 3: (Missing parentheses in call to '(print|exec)'|multiple exception types must be parenthesized)"
)


@check(needs="Python files of Python 2 only, or a release that declares Python 3")
def python_2_code(release: PublishedFiles) -> Iterator[Seen]:
    """{path} is code that only Python 2 reads{declared}"""
    declared = next(
        (
            f", though {value.path} says {value.leaf} {value.text}"
            for config in release.configs
            for value in config.values
            if value.leaf in {"requires-python", "python_requires", "python"}
            and re.match(r"[\^~>=]*\s*3", str(value.value))
        ),
        "",
    )
    for path, why in release.unreadable.items():
        if _PYTHON_2.match(why) and not is_aside(path):
            yield Noted(excerpt(path, "", why), path=path, declared=declared)
    if release.code:
        yield Agreement(excerpt(release.code[0].path, "", f"{len(release.code)} files that Python 3 reads"))


_HELPED = re.compile(
    r"(?i)\bdefaults?(?:\s+(?:is|to|value|value is))?\s*[:=]?\s*([-+]?[\d.,]*\d(?:[eE][-+]?\d+)?)\s*(?=[).,;\]]|$)(?!\.\d)"
)


@check(needs="an option of a script whose help gives its default, such as `help='weight decay (default: 0.05)'`")
def help_gives_another_default(release: PublishedFiles) -> Iterator[Seen]:
    """{option.path}:{option.line}: the help of {option.key} says that it is {said} by default, but the default is
    {option.value}"""
    for code in (code for code in release.code if not is_aside(code.path)):
        for option, text in helped_defaults(code):
            found = _HELPED.findall(text)
            said = number(found[0]) if len(found) == 1 and len(re.findall(r"(?i)default", text)) == 1 else None
            is_anothers = re.search(
                r"(?i)\b(paper|original|official|upstream|recommended|usual|common)\W*s?\s+default", text
            )
            if said is not None and not is_anothers:
                yield compared(said == option.number, option, option.seen(text), option=option, said=found[0])


@check(needs="a script that reads the options which its own argparse parser takes")
def option_read_never_declared(release: PublishedFiles) -> Iterator[Seen]:
    """{path}:{line} reads {name}.{option}, which no parser of the release takes and nothing sets"""
    given = _set_somewhere(release)
    for code in (code for code in release.code if not is_aside(code.path)):
        read = [*_options_read(code)]
        if not read:
            continue
        missing = {node.attr: (node, name) for node, name in reversed(read) if node.attr not in given}
        if missing and (unknown := options_of(code, release).why):
            yield NotAsked(f"{code.path}: {unknown}")
            continue
        for node, name in missing.values():
            seen = excerpt(code.path, f"{name}.{node.attr}", "declared nowhere", node.lineno)
            parsed = next(call for call in calls(code) if last_name(call.func) == "parse_args")
            at = excerpt(code.path, "parse_args", "the options", parsed.lineno)
            yield Contradiction(seen, at, path=code.path, line=node.lineno, name=name, option=node.attr)
        if not missing:
            yield Agreement(excerpt(code.path, f"{read[0][1]}.{read[0][0].attr}", "declared", read[0][0].lineno))


@derived_once
def _set_somewhere(release: PublishedFiles) -> frozenset[str]:
    """Every name by which options or attributes are declared or set anywhere."""
    found = {"__dict__", "_get_kwargs", "_get_args", "__class__"}
    for code in release.code:
        for node in code.nodes:
            if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
                found.add(node.attr)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.add(node.target.id)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 80:
                found.add(node.value.lstrip("-").replace("-", "_"))  # options, dests, setattr, keys of dictionaries
            elif isinstance(node, ast.keyword) and node.arg:
                found.add(node.arg)
    return frozenset(found)


def _options_read(code: Code) -> Iterator[tuple[ast.Attribute, str]]:
    """The attributes that are read of what a file's own `parse_args` gave, where it did."""
    if not any(last_name(call.func) == "ArgumentParser" for call in calls(code)):
        return
    functions = {node.name: node for node in code.tree.body if isinstance(node, ast.FunctionDef)}
    top = [node for node in code.tree.body if not isinstance(node, ast.FunctionDef | ast.ClassDef)]
    scopes: list[list[ast.AST]] = [[*top]]
    scopes += [[function] for function in functions.values()]
    for parts in scopes:
        inside = [of for part in parts for of in ast.walk(part)]
        bound: dict[str, list[ast.expr | None]] = {}
        for of in inside:
            if isinstance(of, ast.Name) and not isinstance(of.ctx, ast.Load):
                bound.setdefault(of.id, []).append(None)
        for of in (of for of in inside if isinstance(of, ast.Assign)):
            for target in (target for target in of.targets if isinstance(target, ast.Name)):
                bound[target.id].remove(None)
                bound[target.id].append(of.value)
        for name, values in bound.items():
            if _is_parsed(values[-1]) and all(_is_parsed(of) or _makes_parser(of) for of in values):
                yield from ((of, name) for of in inside if isinstance(of, ast.Attribute) and _is_read(of, name))
                yield from _handed_on(inside, name, functions)


def _handed_on(
    inside: list[ast.AST], name: str, functions: dict[str, ast.FunctionDef]
) -> Iterator[tuple[ast.Attribute, str]]:
    """The attributes that a function of the same file reads of the options which it is called with."""
    for call in (of for of in inside if isinstance(of, ast.Call) and isinstance(of.func, ast.Name)):
        function = functions.get(call.func.id) if isinstance(call.func, ast.Name) else None
        at = next((i for i, of in enumerate(call.args) if isinstance(of, ast.Name) and of.id == name), None)
        if function is None or function.decorator_list or at is None or at >= len(function.args.args):
            continue
        taken, within = function.args.args[at].arg, [*ast.walk(function)]
        if not any(isinstance(of, ast.Name) and of.id == taken and not isinstance(of.ctx, ast.Load) for of in within):
            yield from ((of, taken) for of in within if isinstance(of, ast.Attribute) and _is_read(of, taken))


def _makes_parser(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Call) and "parser" in last_name(node.func).lower()


def _is_read(node: ast.Attribute, name: str) -> bool:
    return isinstance(node.ctx, ast.Load) and isinstance(node.value, ast.Name) and node.value.id == name


def _is_parsed(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "parse_args"
