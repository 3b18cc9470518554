"""Prints the coverage of the last `make coverage` by room: each folder or module directly below src/openassay.

python tests/coverage_by_room.py                          as a Markdown table
python tests/coverage_by_room.py --into CONTRIBUTING.md   puts it between that file's marks `<!-- coverage -->`
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path


def table(files: dict[str, dict[str, dict[str, int]]]) -> str:
    """A row a room, the least covered first, and a row for all; `files` as `coverage json` has them."""
    lines: Counter[str] = Counter()
    covered: Counter[str] = Counter()
    for path, of in files.items():
        room = re.sub(r"^(.*src/openassay/)?", "", path).partition("/")[0].removesuffix(".py")
        for name in (room, "all"):
            lines[name] += of["summary"]["num_statements"]
            covered[name] += of["summary"]["covered_lines"]
    share = {room: 100 * covered[room] / lines[room] for room in lines if lines[room]}
    rooms = [*sorted(share.keys() - {"all"}, key=lambda room: (share[room], room)), "all"]
    rows = [f"| {room} | {lines[room]} | {share[room]:.0f} % |" for room in rooms]
    return "\n".join(["| room | statements | covered |", "|---|---:|---:|", *rows])


def main(into: Path | None) -> None:
    """Print the table, or put it into a file."""
    report = subprocess.run(
        [sys.executable, "-m", "coverage", "json", "--quiet", "-o", "-"], capture_output=True, text=True, check=False
    )
    if report.returncode:
        sys.exit(f"no coverage to show: {(report.stdout + report.stderr).strip()}; run `make coverage` first")
    made = table(json.loads(report.stdout)["files"])
    if into is None:
        print(made)
    else:
        old = into.read_text()
        between = re.compile(r"(<!-- coverage[^>]*-->\n).*?(<!-- /coverage -->)", re.DOTALL)
        into.write_text(between.sub(lambda marks: f"{marks[1]}{made}\n{marks[2]}", old))


if __name__ == "__main__":
    main(Path(sys.argv[2]) if sys.argv[1:2] == ["--into"] else None)
