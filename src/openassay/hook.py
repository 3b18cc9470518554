"""Loaded by published code's own Python as its `sitecustomize`: notes the seeds that code sets, and replaces them where asked.

Like `child.py` it is never imported by the rest of OpenAssay and imports nothing of it. Each process of a run appends one line,
as JSON, for each place that sets a seed: `{function, seed, place}`. A seed is replaced where OPENASSAY_RESEED holds the seed of
the rerun: by another one that follows from both, so that a seed that stands in the code varies too.
"""

import functools
import importlib.abc
import importlib.util
import json
import os
import random
import sys
from types import ModuleType
from typing import Any

FUNCTIONS = {
    "random": ("seed",), "numpy.random": ("seed", "default_rng", "RandomState"), "torch": ("manual_seed",),
    "torch.cuda": ("manual_seed", "manual_seed_all"), "jax.random": ("PRNGKey", "key"), "paddle": ("seed",),
    "mxnet.random": ("seed",), "cupy.random": ("seed",),
    "tensorflow.python.framework.random_seed": ("set_random_seed", "set_seed"),
}  # fmt: skip
"""What sets a seed, by module; scikit-learn makes a RandomState of each `random_state`. `torch.Generator` is not among them."""
_SEEDS_OF_A_PLACE = 3
_STANDARD_LIBRARY = os.path.dirname(os.__file__)
_seen: "dict[tuple[str, str], set[int]]" = {}


def install() -> None:
    """Wrap the functions of modules that are there, and those of others as soon as they are imported."""
    wrap(random)
    sys.meta_path.insert(0, Finder())


class Finder(importlib.abc.MetaPathFinder):
    """Finds a module as all others do, and wraps its functions after it has run."""

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        """The module's spec, whose loader wraps its functions."""
        if name not in FUNCTIONS:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                run = spec.loader.exec_module

                def execute(module: ModuleType, run: "Any" = run) -> None:
                    run(module)
                    wrap(module)

                spec.loader.exec_module = execute  # type: ignore[method-assign]
                return spec
        return None


def wrap(module: ModuleType) -> None:
    """Replace a module's functions that set a seed."""
    for name in FUNCTIONS[module.__name__]:
        function = getattr(module, name, None)
        if function is not None:
            wrapped = noting_class if isinstance(function, type) else noting
            setattr(module, name, wrapped(function, "%s.%s" % (module.__name__, name)))


def noting(function: "Any", name: str) -> "Any":
    """The function, which notes the seed that it is called with, and passes on the one to be used."""

    def called(*given: "Any", **named: "Any") -> "Any":
        key = next(iter(named), None) if not given else None
        seed: "Any" = given[0] if given else named.get(key or "")
        place = place_of_call()
        if place is not None and isinstance(seed, int) and not isinstance(seed, bool):
            note(name, seed, place)
            used = replaced(seed)
            given, named = ((used, *given[1:]), named) if given else (given, dict(named, **{key or "seed": used}))
        return function(*given, **named)

    return functools.update_wrapper(called, function)


def noting_class(made: type, name: str) -> type:
    """A class in the place of one, which notes the seed that an object is made with, and makes it with the one to be used.

    The objects are the first class's own, and count as the second's: what asks for their class finds no difference.
    """

    class Meta(type(made)):  # type: ignore[misc]
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, made)

        def __subclasscheck__(cls, other: type) -> bool:
            return issubclass(other, made)

    class Noting(made, metaclass=Meta):  # type: ignore[misc]
        def __new__(cls, *given: "Any", **named: "Any") -> "Any":
            if cls is Noting:
                return call(*given, **named)
            return made.__new__(cls, *given, **named)

    call = noting(made, name)
    Noting.__name__ = Noting.__qualname__ = made.__name__
    Noting.__module__, Noting.__doc__ = name.rpartition(".")[0], made.__doc__
    return Noting


def replaced(seed: int) -> int:
    """The seed to be used: another one where seeds are replaced, never larger than 32 bits."""
    asked = os.environ.get("OPENASSAY_RESEED", "")
    return (seed + 7919 * (int(asked) + 1)) % 2**32 if asked else seed


def place_of_call() -> "str | None":
    """The line of the release that sets a seed, itself or through a package.

    None where a package that is imported does, and where one function that sets seeds calls another.
    """
    frame: "Any" = sys._getframe(2)
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith("<frozen importlib") or (path == __file__ and frame.f_code.co_name == "called"):
            return None
        others = path.startswith("<") or "site-packages" in path or os.path.dirname(path) == _STANDARD_LIBRARY
        if not others and path != __file__:
            return "%s:%d" % (path, frame.f_lineno)
        frame = frame.f_back
    return ""


def note(name: str, seed: int, place: str) -> None:
    """Write down a place that sets a seed, once."""
    seeds = _seen.setdefault((name, place), set())
    if seed not in seeds and len(seeds) < _SEEDS_OF_A_PLACE and len(_seen) < 1000:
        seeds.add(seed)
        with open(os.environ["OPENASSAY_SEEDS"], "a", encoding="utf-8") as file:
            file.write(json.dumps({"function": name, "seed": seed, "place": place}) + "\n")


if "OPENASSAY_SEEDS" in os.environ:
    install()
