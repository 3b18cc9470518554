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
    "random": ("seed",), "numpy.random": ("seed", "default_rng"), "torch": ("manual_seed",),
    "torch.cuda": ("manual_seed", "manual_seed_all"), "jax.random": ("PRNGKey", "key"), "paddle": ("seed",),
    "mxnet.random": ("seed",), "cupy.random": ("seed",),
}  # fmt: skip
"""What sets a seed, by module. Generators that are made from a seed (`RandomState(1)`, `torch.Generator`) are not among them."""
_seen: "set[tuple[str, int, str]]" = set()


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
            setattr(module, name, noting(function, "%s.%s" % (module.__name__, name)))


def noting(function: "Any", name: str) -> "Any":
    """The function, which notes the seed that it is called with, and passes on the one to be used."""

    def called(*given: "Any", **named: "Any") -> "Any":
        key = next(iter(named), None) if not given else None
        seed = given[0] if given else named.get(key or "")
        if isinstance(seed, int) and not isinstance(seed, bool):
            note(name, seed)
            used = replaced(seed)
            given, named = ((used, *given[1:]), named) if given else (given, dict(named, **{key or "seed": used}))
        return function(*given, **named)

    return functools.update_wrapper(called, function)


def replaced(seed: int) -> int:
    """The seed to be used: another one where seeds are replaced, never larger than 32 bits."""
    asked = os.environ.get("OPENASSAY_RESEED", "")
    return (seed + 7919 * (int(asked) + 1)) % 2**32 if asked else seed


def note(name: str, seed: int) -> None:
    """Write down a place that sets a seed, once."""
    frame: "Any" = sys._getframe(2)
    place = ""
    while frame is not None:
        path = frame.f_code.co_filename
        if "site-packages" not in path and not path.startswith("<"):
            place = "%s:%d" % (path, frame.f_lineno)
            break
        frame = frame.f_back
    if (name, seed, place) not in _seen and len(_seen) < 1000:
        _seen.add((name, seed, place))
        with open(os.environ["OPENASSAY_SEEDS"], "a", encoding="utf-8") as file:
            file.write(json.dumps({"function": name, "seed": seed, "place": place}) + "\n")


if "OPENASSAY_SEEDS" in os.environ:
    install()
