"""Writes docs/catalogue.png, the README's picture: the catalogue of the committed audits in Chromium. `make picture` runs it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from openassay.catalogue import pages, read_catalogue, write

REPO = Path(__file__).parents[1]
PICTURE = REPO / "docs" / "catalogue.png"
SHOWN = "#words=mnist"
"""A filter whose few rows have several outcomes."""


def main() -> None:
    """Draw it, in as few colours as it needs."""
    if not (chromium := shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")):
        sys.exit("error: expected Chromium on the path, found none; install it: apt-get install chromium")
    entries, problems = read_catalogue(REPO, own=False)
    if problems:
        sys.exit(f"error: {problems[0]}")
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "site", pages(entries))
        raw = Path(folder) / "raw.png"
        address = (Path(folder) / "site" / "index.html").as_uri() + SHOWN
        subprocess.run(
            [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1200,940",
             f"--user-data-dir={folder}/profile", f"--screenshot={raw}", address], check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        with Image.open(raw) as drawn:
            drawn.convert("RGB").quantize(64).save(PICTURE, optimize=True)
    print(f"written: {PICTURE.relative_to(REPO)}, {PICTURE.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
