"""Prints the section of CHANGELOG.md for a tag; fails where the tag and the files that name the version differ.

python .ci/release_notes.py v0.1.0
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

REPO = Path(__file__).parents[1]


def versions() -> dict[str, str]:
    """File → the version that it names; of CHANGELOG.md the newest that is released, empty where none is."""
    citation = re.search(r'^version: "?([^"\n]+)"?$', (REPO / "CITATION.cff").read_text(), re.MULTILINE)
    newest = re.search(r"^## \[(\d[^]]*)\]", (REPO / "CHANGELOG.md").read_text(), re.MULTILINE)
    return {
        "pyproject.toml": tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["version"],
        "CITATION.cff": citation[1] if citation else "",
        "CHANGELOG.md": newest[1] if newest else "",
    }


def section(version: str) -> str:
    """The text below `## [VERSION] - DATE`, up to the next version; empty where there is none."""
    text = (REPO / "CHANGELOG.md").read_text()
    found = re.search(
        rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## \[|\Z)", text, re.MULTILINE | re.DOTALL
    )
    return found[1].strip() if found else ""


def main(tag: str) -> None:
    """Print the section."""
    version = tag.removeprefix("v")
    for file, named in versions().items():
        if named != version:
            sys.exit(
                f"{file}: expected version {version} as in the tag {tag}, found {named or 'none'}; change it, then tag again"
            )
    notes = section(version)
    if not notes:
        sys.exit(
            f"CHANGELOG.md: expected text below '## [{version}] - YYYY-MM-DD', found none; write it, then tag again"
        )
    print(notes)


if __name__ == "__main__":
    main(sys.argv[1])
