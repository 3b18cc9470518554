"""Rules of the code itself: one name for one thing, nothing private shared, drivers known to nobody but themselves."""

from __future__ import annotations

import ast
import functools
from collections import Counter
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from openassay.drivers import AnyDriver
from openassay.drivers.driver import Driver
from openassay.stage_code import PACKAGE, drivers

OURS = sorted(
    path for path in PACKAGE.rglob("*.py") if not {"conf", "pipelines"} & set(path.relative_to(PACKAGE).parts)
)
DRIVERS: tuple[Any, ...] = get_args(get_args(AnyDriver)[0])
LONGEST = 700


@functools.cache
def trees() -> dict[str, ast.Module]:
    """All modules as parsed. They are let go of with this file's last test: a million objects slow each search for cycles."""
    return {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text()) for path in OURS}


@pytest.fixture(scope="module", autouse=True)
def _let_go() -> Iterator[None]:
    yield
    trees.cache_clear()


def nodes(kind: type[Any], *, outside: str = "") -> Iterator[tuple[str, Any]]:
    for name, tree in trees().items():
        if not (outside and name.startswith(outside)):
            yield from ((name, node) for node in ast.walk(tree) if isinstance(node, kind))


def test_a_class_name_stands_once() -> None:
    counted = Counter(node.name for _, node in nodes(ast.ClassDef))
    assert [name for name, times in counted.items() if times > 1] == []


def test_no_private_name_crosses_modules() -> None:
    shared = [
        f"{name}: {of.name}" for name, node in nodes(ast.ImportFrom) for of in node.names if of.name.startswith("_")
    ]
    assert [of for of in shared if not of.endswith("__")] == []
    for name, tree in trees().items():
        modules = {of.asname or of.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
                   for of in node.names if (node.module or "").startswith("openassay") and of.name.islower()}  # fmt: skip
        used = [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
                and node.value.id in modules and node.attr.startswith("_") and not node.attr.endswith("__")]  # fmt: skip
        assert used == [], name


def test_no_module_is_longer_than_fits_in_a_head() -> None:
    lines = {path.relative_to(PACKAGE).as_posix(): len(path.read_text().splitlines()) for path in OURS}
    assert {name: count for name, count in lines.items() if count > LONGEST} == {}


@pytest.mark.parametrize("name", ["child.py", "hook.py"])
def test_what_runs_in_a_releases_environment_is_read_by_its_python_too(name: str) -> None:
    ast.parse((PACKAGE / name).read_text(), feature_version=(3, 6))


@pytest.mark.parametrize("kind", [ast.FunctionDef, ast.ClassDef])
def test_docstrings_say_what_is_there_and_ask_nothing(kind: type[Any]) -> None:
    first = [(name, node.name, (ast.get_docstring(node) or "").split("\n")[0]) for name, node in nodes(kind)]
    assert [of for of in first if "?" in of[2].replace("`?`", "")] == []


def test_the_union_holds_every_driver() -> None:
    """`stage_code` reads the union without importing it; the two must agree, or a driver would have no digest."""
    named = [get_args(driver.__annotations__["driver"])[0] if not isinstance(driver.__annotations__["driver"], str)
             else ast.literal_eval(driver.__annotations__["driver"].removeprefix("Literal"))[0] for driver in DRIVERS]  # fmt: skip
    assert sorted([*named, "none"]) == sorted(drivers())
    assert all(issubclass(driver, Driver) for driver in DRIVERS)


def test_nobody_but_the_drivers_asks_which_driver_it_is() -> None:
    classes = {driver.__name__ for driver in DRIVERS}
    names = {value for driver in drivers() for value in (driver,)} - {"none"}
    asked = [f"{name}:{node.lineno}" for name, node in nodes(ast.Call, outside="drivers/")
             if isinstance(node.func, ast.Name) and node.func.id == "isinstance"
             and classes & {of.id for of in ast.walk(node) if isinstance(of, ast.Name)}]  # fmt: skip
    for name, node in nodes(ast.Compare, outside="drivers/"):
        sides = [node.left, *node.comparators]
        about = any(getattr(side, "attr", getattr(side, "id", "")) == "driver" for side in sides)
        if about and names & {of.value for side in sides for of in ast.walk(side) if isinstance(of, ast.Constant)}:
            asked.append(f"{name}:{node.lineno}")
    assert asked == []
