"""A real browser, where this machine has one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def dump(page: str, folder: Path, *flags: str, name: str = "report.html") -> str:
    """What a browser makes of a page: its document after all scripts."""
    assert CHROMIUM
    path = folder / name
    path.write_text(page, encoding="utf-8")
    done = subprocess.run(
        [CHROMIUM, *flags, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", f"--user-data-dir={folder}/profile", "--dump-dom", path.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout
