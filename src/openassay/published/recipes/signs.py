"""The keys by which a settings file is known as one program's."""

from __future__ import annotations

from dataclasses import dataclass

from openassay.published.marked import Entry, Marked


@dataclass(frozen=True)
class Signs:
    """The keys by which a file is known as one format's, as dotted paths.

    All of `must` (`a|b` is one of them), at least `count` of `some`, none of `cannot`, where it has a value.
    """

    must: tuple[str, ...] = ()
    some: frozenset[str] = frozenset()
    count: int = 0
    cannot: tuple[str, ...] = ()

    def __call__(self, marked: Marked) -> bool:
        """Whether the file has these signs and none that rules them out."""
        return self.seen(marked) and self.barred(marked) is None

    def seen(self, marked: Marked) -> bool:
        """Whether the file has the keys that it must have."""
        each = all(any(marked.root.at(path) is not None for path in paths.split("|")) for paths in self.must)
        return each and sum(marked.root.at(path) is not None for path in self.some) >= self.count

    def barred(self, marked: Marked) -> Entry | None:
        """The first entry that rules the format out; None for none."""
        found = (marked.root.at(path) for path in self.cannot)
        return next((entry for entry in found if entry is not None and entry.value is not None), None)
