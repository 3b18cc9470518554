"""A draft of a file that is code: what its reader cannot follow stays unstated, with the reason, and takes no default."""

from __future__ import annotations

from openassay.published.marked import Entry, Marked
from openassay.published.recipes.draft import Draft
from openassay.training.language import Value


def unfollowed(why: str, file: str, line: int, name: str = "") -> Entry:
    """An entry without a value, whose `raw` says why."""
    return Entry(None, file, line, why, name=name)


class GuardedDraft(Draft):
    """A draft in which a key without a value is there and not known."""

    def __init__(self, format_name: str, marked: Marked, open_because: str = "") -> None:
        super().__init__(format_name, marked)
        self.open_because = open_because
        """Why absent keys may be given elsewhere; empty where they are absent. Then there are no defaults."""

    def why_not(self, *paths: str) -> str:
        """Why the key at the first such path is not known; empty where each has a value or is absent for certain."""
        entries = [(path, self.marked.root.at(path)) for path in paths]
        for path, entry in entries:
            if entry is not None and entry.value is None:
                self.used.add(path)
                return f"{entry.place} {path}: {entry.raw}"
        return self.open_because if any(entry is None for _, entry in entries) else ""

    def stated(self, name: str, path: str, value: Value, default: Value = None, where: str = "") -> Value:
        """As in every draft, and a key that is there and not known, or may be elsewhere, is unstated with the reason."""
        why = "" if value is not None else self.why_not(path)
        if not why:
            return super().stated(name, path, value, default, where)
        self.unstated(name, why)
        return None
