"""Chromium without a window, driven over a pipe (Chrome DevTools Protocol): pages are opened, clicked, typed into and looked at.

with Chromium(folder) as browser:
    browser.open("http://127.0.0.1:5000/")
    browser.says("Experiments")
    browser.shot(folder / "page.png")
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Self

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-pipe",
)  # fmt: skip
TEXT = r"(document.body?.innerText ?? '').replaceAll('\u00a0', ' ')"


class Chromium:
    """One page of a browser of its own."""

    def __init__(self, folder: Path, width: int = 1440, height: int = 1000) -> None:
        self.folder, self.size, self.number, self.buffer = folder, (width, height), 0, b""

    def __enter__(self) -> Self:
        assert PROGRAM
        ours, theirs = os.pipe(), os.pipe()  # theirs: what it says; it reads descriptor 3 and writes descriptor 4
        start = f'exec 3<&{ours[0]} 4>&{theirs[1]}; exec "$@"'
        size = f"--window-size={self.size[0]},{self.size[1]}"
        self.process = subprocess.Popen(
            ["bash", "-c", start, "-", PROGRAM, *FLAGS, size, f"--user-data-dir={self.folder}/profile", "about:blank"],
            pass_fds=(ours[0], theirs[1]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(ours[0])
        os.close(theirs[1])
        self.to, self.out, self.session = ours[1], theirs[0], None
        pages = self.ask("Target.getTargets")["targetInfos"]
        page = next(of["targetId"] for of in pages if of["type"] == "page")
        self.session = self.ask("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(30)
        os.close(self.to)
        os.close(self.out)

    def ask(self, method: str, **parameters: Any) -> Any:
        """What the browser answers to a call of the protocol."""
        self.number += 1
        call = {"id": self.number, "method": method, "params": parameters} | (
            {"sessionId": self.session} if getattr(self, "session", None) else {}
        )
        os.write(self.to, json.dumps(call).encode() + b"\0")
        while True:
            while b"\0" not in self.buffer:
                read = os.read(self.out, 2**20)
                assert read, "the browser has ended"
                self.buffer += read
            line, _, self.buffer = self.buffer.partition(b"\0")
            said = json.loads(line)
            if said.get("id") == self.number:
                assert "error" not in said, said
                return said["result"]

    def open(self, address: str) -> None:
        """Go to an address."""
        self.ask("Page.navigate", url="about:blank")  # an address that differs behind its # alone loads nothing
        self.ask("Page.navigate", url=address)

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        found = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, script: str, limit_s: float = 60) -> Any:
        """The value of an expression as soon as it is true."""
        ends = time.monotonic() + limit_s
        while time.monotonic() < ends:
            if found := self.run(script):
                return found
            time.sleep(0.2)
        raise AssertionError(f"{script} did not come true; the page says: {self.text()[:3000]}")

    def text(self) -> str:
        """What can be read on the page."""
        return str(self.run(TEXT))

    def says(self, words: str) -> None:
        """Wait until the page says something."""
        self.until(f"{TEXT}.includes({json.dumps(words)})")

    def click(self, selector: str, words: str = "") -> None:
        """Click the first thing that can be seen by a selector, that says these words, as a mouse does."""
        found = (
            f"[...document.querySelectorAll({json.dumps(selector)})].filter(of => of.getClientRects().length && "
            f"(of.innerText ?? '').includes({json.dumps(words)}))[0]"
        )
        place = self.until(
            f"(of => {{ if (!of) return null; of.scrollIntoView({{block: 'center'}}); const r = of.getBoundingClientRect(); "
            f"return [r.x + r.width / 2, r.y + r.height / 2] }})({found})"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def type(self, text: str, end: str = "") -> None:
        """Type into what has the focus, in the place of what stands there, then a key such as Enter."""
        self.run("document.activeElement.select?.()")
        self.ask("Input.insertText", text=text)
        if end:
            code = {"Enter": 13, "Tab": 9}[end]
            for kind in ("keyDown", "keyUp"):
                extra = {"text": "\r"} if end == "Enter" and kind == "keyDown" else {}
                self.ask("Input.dispatchKeyEvent", type=kind, key=end, code=end, windowsVirtualKeyCode=code, **extra)

    def shot(self, path: Path) -> None:
        """Keep a picture of what can be seen."""
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))


def dump(page: str, folder: Path, *flags: str, name: str = "report.html") -> str:
    """What a browser makes of a page: its document after all scripts."""
    assert PROGRAM
    path = folder / name
    path.write_text(page, encoding="utf-8")
    done = subprocess.run(
        [PROGRAM, *flags, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", f"--user-data-dir={folder}/profile", "--dump-dom", path.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout
