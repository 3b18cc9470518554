"""What ends a training before its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class RecipeMismatch(Exception):
    """The recipe and the data, or the published weights or their number, do not fit each other."""


class TimeLimit(Exception):
    """The training took longer than it may."""


def _no_room(line: str) -> Exception:
    return RecipeMismatch(f"the training does not fit into the memory of the device: {line}")


@contextmanager
def mismatches(
    what: str = "the recipe's data, layers and loss", too_large: Callable[[str], Exception] = _no_room
) -> Iterator[None]:
    """Turn what torch, transformers and the metrics say of parts that do not fit each other into `RecipeMismatch`, in one line.

    what: the parts. too_large: makes the exception for a device with too little memory, from torch's first line.
    """
    import torch  # noqa: PLC0415 - it takes seconds to import

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise too_large(first_line(error)) from None
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise RecipeMismatch(f"{what} do not fit each other: {first_line(error)}") from None


def first_line(error: Exception) -> str:
    """The first line of an error's message; the error's name where it has none."""
    return (str(error) or type(error).__name__).splitlines()[0]
