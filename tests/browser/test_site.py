"""The catalogue in a real browser: it fits a phone, reads without a script, filters and sorts with it, and nobody is kept out."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
from chromium import PROGRAM, dump
from hostile import hostile_entry
from releases.miniature import REPO

from openassay.catalogue import pages, read_catalogue, write

pytestmark = [pytest.mark.browser, pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine")]
PAGES = ("index.html", "mnist1d_mlp/index.html", "amber/index.html", "gcn_citation/index.html", "hostile/index.html")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue of the committed audits, and a hostile release."""
    entries, _ = read_catalogue(REPO, own=False)
    made = tmp_path_factory.mktemp("site") / "catalogue"
    write(made, pages([*entries, replace(hostile_entry(entries), target="hostile")]))
    return made


def framed(folder: Path, ask: str, width: int = 390, without_script: bool = False, *flags: str) -> list[str]:
    """What a script says of each page in a frame of that width. ask: its body, an expression of `page`, the frame's window."""
    frames = "".join(
        f'<iframe src="{path}" style="width: {width}px; height: 900px" {"sandbox=allow-same-origin" if without_script else ""}></iframe>'
        for path in PAGES
    )
    outer = f"""{frames}<pre id="told"></pre><script>window.onload = async () => {{
        const said = [];
        for (const frame of document.querySelectorAll("iframe")) {{ const page = frame.contentWindow; said.push({ask}); }}
        document.getElementById("told").textContent = JSON.stringify(said); }}</script>"""
    dom = dump(
        outer, folder, "--allow-file-access-from-files", "--virtual-time-budget=20000", *flags, name="outer.html"
    )
    found = re.search(r'id="told">(\[.*?\])</pre>', dom, re.DOTALL)
    assert found, dom[-2000:]
    return json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


@pytest.mark.parametrize("without_script", [False, True])
def test_a_phone_needs_no_sideways_scrolling(folder: Path, without_script: bool) -> None:
    asked = framed(folder, "page.document.documentElement.scrollWidth", without_script=without_script)
    assert {path: width for path, width in zip(PAGES, asked, strict=True) if int(width) > 390} == {}


def test_without_a_script_everything_is_there_and_no_dead_control(folder: Path) -> None:
    ask = "[...page.document.querySelectorAll('form, button')].filter(of => of.offsetParent).length + ' ' + page.document.body.innerText.length"
    for told in framed(folder, ask, without_script=True):
        controls, letters = map(int, str(told).split())
        assert controls == 0
        assert letters > 300


def test_the_table_is_filtered_and_sorted_by_its_own_script_alone(folder: Path) -> None:
    ask = """(() => { const form = page.document.querySelector(".filter"); if (!form) return null;
        const seen = () => [...page.document.querySelectorAll("tbody tr")].filter(of => !of.hidden).map(of => of.dataset.outcome);
        form.elements.outcome.value = "REPRODUCED"; form.dispatchEvent(new page.Event("input"));
        const told = [seen(), page.location.hash];
        form.elements.outcome.value = ""; form.elements.words.value = "gpt zzz"; form.dispatchEvent(new page.Event("input")); told.push(seen());
        form.elements.words.value = ""; form.dispatchEvent(new page.Event("input"));
        const date = [...page.document.querySelectorAll("thead button")].at(-1); date.click(); date.click();
        const dates = [...page.document.querySelectorAll("tbody tr")].map(of => of.cells[of.cells.length - 1].dataset.key);
        told.push(dates, page.document.title); return told; })()"""
    shown, address, none, dates, title = framed(folder, ask)[0]
    assert set(shown) == {"REPRODUCED"}
    assert address == "#outcome=REPRODUCED"
    assert none == []
    assert dates == sorted(dates, reverse=True)
    assert "owned" not in title


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_axe_finds_no_barrier(folder: Path, scheme: str, width: int, tmp_path: Path) -> None:
    """Deque's axe-core, with all of its rules."""
    axe = (files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")
    for path in PAGES:  # a copy that lets axe in
        page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", (folder / path).read_text())
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(page.replace("</body>", f"<script>{axe}</script></body>"))
    ask = """(await page.axe.run()).violations.map(of => `${of.id}: ${of.nodes.map(node => node.html.slice(0, 120) + node.any.map(o => o.message)).join(" | ")}`)"""
    setting = f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}"
    found = framed(tmp_path, ask, width, False, setting)
    assert dict(zip(PAGES, found, strict=True)) == {path: [] for path in PAGES}
