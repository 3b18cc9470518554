"""The expressions of recomputed claims: numbers with their rounding, four operations, comparisons and a few functions.

An expression is parsed by Python's own parser and computed by this module; nothing of it is ever run. Every number is an
interval, since what was printed was rounded: `31.22` is something from 31.215 to 31.225.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openassay.faults import BadInput

Array = npt.NDArray[np.float64]

LONGEST = 2000
"""Characters of an expression."""
_DEEPEST = 40
WHOLE = 1e-6
"""How far from a whole number still counts as one."""


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """One number, or several that are told apart by labels: each with the least and the most that it can be."""

    value: Array
    low: Array
    high: Array
    labels: tuple[str, ...] | None = None
    """None for one number."""

    @staticmethod
    def one(value: float, half: float = 0.0) -> Numbers:
        """A single number. half: half the unit of its last printed digit."""
        return Numbers(value=np.array([value]), low=np.array([value - half]), high=np.array([value + half]))

    @staticmethod
    def exactly(value: Array, labels: tuple[str, ...] | None) -> Numbers:
        """Numbers without rounding."""
        return Numbers(value=value, low=value, high=value, labels=labels)


Rows = Mapping[str, Numbers]
"""The columns of one source, by name; a source of single numbers has one, whose name is empty."""


@dataclass(frozen=True)
class Expression:
    """A parsed expression."""

    text: str
    body: ast.expr
    uses: Mapping[str, frozenset[str]]
    """Of each name, the columns that it is asked for; the empty name where it stands alone."""


def parse_expression(text: str, where: str) -> Expression:
    """The expression of a text; `BadInput` names what in it cannot be computed."""
    if len(text) > LONGEST:
        raise BadInput(f"{where}: expected at most {LONGEST} characters, found {len(text)}")
    try:
        body = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise BadInput(
            f"{where}: expected an expression such as `steps * batch / 1e9`, found {text.strip()[:60]!r}"
        ) from None
    uses: dict[str, set[str]] = {}
    _check(body, where, uses, 0)
    return Expression(text, body, {name: frozenset(columns) for name, columns in uses.items()})


def _check(node: ast.expr, where: str, uses: dict[str, set[str]], depth: int) -> None:
    if depth > _DEEPEST:
        raise BadInput(f"{where}: expected at most {_DEEPEST} levels of brackets, found more")
    if named := _named(node):
        uses.setdefault(named[0], set()).add(named[1])
        return
    for inner in _inner(node, where):
        _check(inner, where, uses, depth + 1)


def _inner(node: ast.expr, where: str) -> Iterator[ast.expr]:
    match node:
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(value=int() | float() as value) if abs(value) < 1e300:
            return
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
            yield from (left, right)
            return
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            yield operand
            return
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
            yield from (left, right)
            return
        case ast.Call(func=ast.Name(id=name), args=[only], keywords=[]) if name in FUNCTIONS:
            yield only
            return
        case ast.Call(func=ast.Name(id="where"), args=[many, condition], keywords=[]):
            yield from (many, condition)
            return
    functions = ", ".join([*FUNCTIONS, "where(many, condition)"])
    known = f"numbers, name, name.column, name['column'], + - * / **, a comparison, {functions}"
    raise BadInput(f"{where}: expected only {known}; found {ast.unparse(node)[:60]!r}")


def _named(node: ast.expr) -> tuple[str, str] | None:
    """The name and column that a node asks for."""
    match node:
        case ast.Name(id=name):
            return name, ""
        case ast.Attribute(value=ast.Name(id=name), attr=column):
            return name, column
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str() as column)):
            return name, column
    return None


class Calculator:
    """Computes expressions of what was read, and notes what was left out."""

    def __init__(self, sources: Mapping[str, Rows]) -> None:
        self.sources = sources
        self.notes: list[str] = []

    def compute(self, expression: Expression) -> Numbers:
        """The one number that an expression gives; `BadInput` says what cannot be computed."""
        found = self._of(expression.body)
        if found.labels is not None and len(found.value) != 1:
            todo = "use sum, mean, count, min, max or another function of many"
            raise BadInput(f"`{expression.text}`: expected one number, found {len(found.value)}; {todo}")
        return found

    def _of(self, node: ast.expr) -> Numbers:
        if named := _named(node):
            return self.sources[named[0]][named[1]]
        match node:
            case ast.Constant(value=int() | float() as value):
                return Numbers.one(float(value))
            case ast.UnaryOp(operand=operand):
                of = self._of(operand)
                return Numbers(value=-of.value, low=-of.high, high=-of.low, labels=of.labels)
            case ast.BinOp(left=left, op=op, right=right):
                return self._sure(_OPERATIONS[type(op)](*self._paired(left, right)), node)
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                one, two = self._paired(left, right)
                held = _COMPARISONS[type(op)](one.value, two.value)
                return Numbers.exactly(held.astype(np.float64), one.labels or two.labels)
            case ast.Call(func=ast.Name(id="where"), args=[many, condition]):
                of, holds = self._paired(many, condition)
                return _taken(of, np.flatnonzero(np.broadcast_to(holds.value != 0, of.value.shape)).tolist())
            case ast.Call(func=ast.Name(id=name), args=[only]):
                of = self._of(only)
                if not of.value.size:
                    raise BadInput(f"`{ast.unparse(node)}`: expected at least one number, found none")
                return self._sure(FUNCTIONS[name](of), node)
        raise AssertionError("checked when it was parsed")

    def _sure(self, found: Numbers, node: ast.expr) -> Numbers:
        if not all(np.isfinite(of).all() for of in (found.value, found.low, found.high)):
            raise BadInput(
                f"`{ast.unparse(node)[:120]}`: expected a finite number, found a division by zero or an overflow"
            )
        return found

    def _paired(self, left: ast.expr, right: ast.expr) -> tuple[Numbers, Numbers]:
        """Two sides by their labels; a single number goes with every label."""
        one, two = self._of(left), self._of(right)
        if one.labels is None or two.labels is None or one.labels == two.labels:
            return one, two
        texts = [f"`{ast.unparse(side)[:60]}`" for side in (left, right)]
        for text, of in zip(texts, (one, two), strict=True):
            if len(set(of.labels or ())) < len(of.labels or ()):
                raise BadInput(
                    f"{text}: expected labels that tell its numbers apart, found one twice; name more columns (by)"
                )
        where = {label: at for at, label in enumerate(two.labels)}
        both = [(at, where[label]) for at, label in enumerate(one.labels) if label in where]
        if not both:
            shown = f"{one.labels[0]!r} and {two.labels[0]!r}"
            raise BadInput(f"{texts[0]} and {texts[1]}: expected common labels, found none, such as {shown}")
        if left_out := len(one.labels) + len(two.labels) - 2 * len(both):
            self.notes.append(
                f"{left_out} of {len(one.labels) + len(two.labels)} numbers have no partner and were left out"
            )
        return _taken(one, [at for at, _ in both]), _taken(two, [at for _, at in both])


def _taken(of: Numbers, at: list[int]) -> Numbers:
    labels = tuple(of.labels[i] for i in at) if of.labels else None
    return Numbers(value=of.value[at], low=of.low[at], high=of.high[at], labels=labels)


def _over_corners(operate: Callable[[Array, Array], Array]) -> Callable[[Numbers, Numbers], Numbers]:
    """An operation that is monotone in each side: its ends are among the four corners."""

    def operated(one: Numbers, two: Numbers) -> Numbers:
        with np.errstate(all="ignore"):
            corners = [operate(a, b) for a in (one.low, one.high) for b in (two.low, two.high)]
            value = operate(one.value, two.value)
        return Numbers(value=value, low=np.min(corners, 0), high=np.max(corners, 0), labels=one.labels or two.labels)

    return operated


def _by_zero(one: Numbers, two: Numbers) -> Numbers:
    """No finite number, in the shape of a result."""
    return Numbers.exactly(np.full(np.broadcast(one.value, two.value).shape, np.inf), one.labels or two.labels)


def _may_be_zero(of: Numbers) -> npt.NDArray[np.bool_]:
    return (of.low <= 0) & (of.high >= 0)


def _divided(one: Numbers, two: Numbers) -> Numbers:
    return _by_zero(one, two) if _may_be_zero(two).any() else _over_corners(np.divide)(one, two)


def _power(one: Numbers, two: Numbers) -> Numbers:
    if (_may_be_zero(one) & (two.low < 0)).any():
        return _by_zero(one, two)
    found = _over_corners(np.power)(one, two)
    across = (one.low < 0) & (one.high > 0) & (found.low > 0)
    return Numbers(value=found.value, low=np.where(across, 0.0, found.low), high=found.high, labels=found.labels)


_OPERATIONS: dict[type[ast.operator], Callable[[Numbers, Numbers], Numbers]] = {
    ast.Add: _over_corners(np.add), ast.Sub: _over_corners(np.subtract), ast.Mult: _over_corners(np.multiply),
    ast.Div: _divided, ast.Pow: _power,
}  # fmt: skip
_COMPARISONS: dict[type[ast.cmpop], Callable[[Array, Array], npt.NDArray[np.bool_]]] = {
    ast.Eq: np.equal, ast.NotEq: np.not_equal, ast.Lt: np.less, ast.LtE: np.less_equal, ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
}  # fmt: skip


def _folded(fold: Callable[[Array], float]) -> Callable[[Numbers], Numbers]:
    """One number of many, by a function that grows with each of them."""

    def folded(of: Numbers) -> Numbers:
        value, low, high = (np.array([fold(part)]) for part in (of.value, of.low, of.high))
        return Numbers(value=value, low=low, high=high)

    return folded


def _product(of: Numbers) -> Numbers:
    one = Numbers.one(1.0)
    for at in range(len(of.value)):
        one = _OPERATIONS[ast.Mult](one, Numbers(value=of.value[[at]], low=of.low[[at]], high=of.high[[at]]))
    return one


def _sd(of: Numbers) -> Numbers:
    """The standard deviation (ddof=1); no rounding moves it by more than √(n/(n−1)) of the largest half unit."""
    if len(of.value) < 2:
        return Numbers.one(float("nan"))
    value = float(np.std(of.value, ddof=1))
    most = float(np.max(of.high - of.low)) / 2 * (len(of.value) / (len(of.value) - 1)) ** 0.5
    return Numbers(value=np.array([value]), low=np.array([max(0.0, value - most)]), high=np.array([value + most]))


def _each(operate: Callable[[Array], Array]) -> Callable[[Numbers], Numbers]:
    """A function that grows, of each number."""

    def operated(of: Numbers) -> Numbers:
        with np.errstate(all="ignore"):
            return Numbers(value=operate(of.value), low=operate(of.low), high=operate(of.high), labels=of.labels)

    return operated


def _abs(of: Numbers) -> Numbers:
    ends = np.abs(of.low), np.abs(of.high)
    low = np.where((of.low < 0) & (of.high > 0), 0.0, np.minimum(*ends))
    return Numbers(value=np.abs(of.value), low=low, high=np.maximum(*ends), labels=of.labels)


def _not_whole(of: Numbers) -> Numbers:
    """1 for a number that no rounding makes whole, else 0."""
    apart = (np.ceil(of.low - WHOLE) > of.high + WHOLE).astype(np.float64)
    return Numbers.exactly(apart, of.labels)


FUNCTIONS: dict[str, Callable[[Numbers], Numbers]] = {
    "sum": _folded(np.sum), "mean": _folded(np.mean), "min": _folded(np.min), "max": _folded(np.max), "product": _product,
    "sd": _sd, "count": lambda of: Numbers.one(float(len(of.value))),
    "abs": _abs, "sqrt": _each(np.sqrt), "round": _each(np.round), "ceil": _each(np.ceil), "not_whole": _not_whole,
}  # fmt: skip
