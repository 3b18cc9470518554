"""The constants of a Python module as data: what its top level assigns once, plainly; nothing of it is run."""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from collections.abc import Mapping

from openassay.faults import BadInput
from openassay.published.marked import MAX_BYTES, Entry, shorten

_GREATEST = 1e18
_LONGEST = 200
"""Characters of a text that is kept."""


def parse_module(text: str, where: str) -> ast.Module:
    """The syntax tree of a Python text; `BadInput` in one line where it is none."""
    if len(text) > MAX_BYTES:
        raise BadInput(f"{where}: expected a recipe of at most {MAX_BYTES} bytes, found {len(text)}")
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.parse(text)
    except SyntaxError as error:
        raise BadInput(f"{where}:{error.lineno or 1}: expected Python, found {shorten(error.msg)}") from None
    except (ValueError, RecursionError, MemoryError):
        raise BadInput(f"{where}:1: expected Python, found text that Python cannot parse") from None


def constants_of(tree: ast.Module, where: str) -> dict[str, Entry]:
    """The constants of a module by name, in their order; a name that is bound more than once has its last plain value."""
    found: dict[str, Entry] = {}
    for node in tree.body:
        target = (
            node.targets[0]
            if isinstance(node, ast.Assign) and len(node.targets) == 1
            else getattr(node, "target", None)
        )
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(target, ast.Name) and node.value is not None:
            found[target.id] = constant(node.value, found, where, target.id)
    return found


def fixed_constants(tree: ast.Module, where: str) -> dict[str, Entry]:
    """The constants that nothing in the module changes: bound once, no default of an option, and no code that makes names."""
    nodes = list(ast.walk(tree))
    called = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    if called & {"exec", "globals", "vars"}:
        return {}
    bound = Counter(node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    options = {
        of.value.id for node in nodes if isinstance(node, ast.Call) for of in node.keywords
        if of.arg == "default" and isinstance(of.value, ast.Name)
    } | {name for node in nodes if isinstance(node, ast.Global) for name in node.names}  # fmt: skip
    return {name: of for name, of in constants_of(tree, where).items() if bound[name] == 1 and name not in options}


def constant(node: ast.expr, known: Mapping[str, Entry], where: str, name: str) -> Entry:
    """A literal, another constant's value, plain arithmetic, or an f-string of those; anything else stays its source."""
    raw = shorten(ast.unparse(node))
    if isinstance(node, ast.Name) and node.id in known:
        return Entry(known[node.id].value, where, node.lineno, known[node.id].raw, name=name)
    if isinstance(node, ast.JoinedStr):
        text = "".join(_part(part, known) for part in node.values)[:_LONGEST]
        return Entry(text, where, node.lineno, text, True, name)
    if isinstance(node, ast.Tuple | ast.List):
        return Entry([constant(item, known, where, name) for item in node.elts], where, node.lineno, name=name)
    value: object = plain_number(node, known)
    if value is None:
        try:
            value = ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return Entry(raw, where, node.lineno, raw, True, name)
    if isinstance(value, (bool, int, float, str)) or value is None:
        return Entry(value, where, node.lineno, str(value)[:_LONGEST], isinstance(value, str), name)
    return Entry(raw, where, node.lineno, raw, True, name)


def _part(part: ast.expr, known: Mapping[str, Entry]) -> str:
    inside = part.value if isinstance(part, ast.FormattedValue) else part
    if isinstance(inside, ast.Name) and inside.id in known:
        return known[inside.id].raw
    return str(inside.value) if isinstance(inside, ast.Constant) else "{}"


def plain_number(node: ast.expr, known: Mapping[str, Entry]) -> float | None:
    """The number, below 1e18, that plain arithmetic of literals and known constants gives; None for anything else."""
    value: object = None
    if isinstance(node, ast.Constant):
        value = node.value
    elif isinstance(node, ast.Name) and node.id in known:
        value = known[node.id].value
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = plain_number(node.operand, known)
        value = None if inner is None else -inner
    elif (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "int" and len(node.args) == 1
    ):
        inner = plain_number(node.args[0], known)
        value = None if inner is None else int(inner)
    elif isinstance(node, ast.BinOp):
        value = _computed(node, known)
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _GREATEST
    return value if is_number and isinstance(value, int | float) else None


def _computed(node: ast.BinOp, known: Mapping[str, Entry]) -> float | None:
    left, right = plain_number(node.left, known), plain_number(node.right, known)
    if left is None or right is None:
        return None
    try:
        match node.op:
            case ast.Add():
                return left + right
            case ast.Sub():
                return left - right
            case ast.Mult():
                return left * right
            case ast.Div():
                return left / right
            case ast.FloorDiv():
                return left // right
            case ast.Pow() if abs(right) <= 64 and abs(left) < 1e6:
                power: float = left**right
                return power
    except (ZeroDivisionError, OverflowError, ValueError):
        pass
    return None
