"""What the code says of itself: options that it takes and never reads, files that only Python 2 reads."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from openassay.checks.check import Agreement, Contradiction, NotAsked, Noted, Seen, check, compared
from openassay.published.code_options import calls, dotted_name, helped_defaults, last_name
from openassay.published.files import Code, PublishedFiles, excerpt
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
