"""Writes the pictures of the docs, of committed records in Chromium: the catalogue and one report. `make picture` runs it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from openassay.catalogue import pages, read_catalogue, write

REPO = Path(__file__).parents[1]
SHOWN = "#words=mnist"
"""A filter whose few rows have several outcomes."""
REPORT = REPO / "experiments" / "fashion_mnist" / "published" / "report.html"
"""A NOT_REPRODUCED with all that was different."""


def draw(chromium: str, address: str, picture: Path, size: str) -> None:
    """Draw a page, in as few colours as it needs."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.png"
        subprocess.run(
            [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={size}",
             f"--user-data-dir={folder}/profile", f"--screenshot={raw}", address], check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        with Image.open(raw) as drawn:
            drawn.convert("RGB").quantize(64).save(picture, optimize=True)
    print(f"written: {picture.relative_to(REPO)}, {picture.stat().st_size // 1000} kB")


def main() -> None:
    """Draw both."""
    if not (chromium := shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")):
        sys.exit("error: expected Chromium on the path, found none; install it: apt-get install chromium")
    entries, problems = read_catalogue(REPO, own=False)
    if problems:
        sys.exit(f"error: {problems[0]}")
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), pages(entries))
        draw(chromium, (Path(folder) / "index.html").as_uri() + SHOWN, REPO / "docs" / "catalogue.png", "1200,940")
    draw(chromium, REPORT.as_uri(), REPO / "docs" / "report.png", "1200,1250")


if __name__ == "__main__":
    main()
