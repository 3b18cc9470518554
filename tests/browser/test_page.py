"""The report in a real browser: nothing of a release's strings runs, links out or breaks the page."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest
from chromium import PROGRAM, dump
from hostile import HOSTILE
from releases.miniature import add_release, make_project
from releases.stages import audit

from openassay.core.findings import Finding
from openassay.plan import Glue, read_plan
from openassay.report.page import PageInputs, number, render, web_address
from openassay.stages import report


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory, session_cache: Path) -> PageInputs:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENASSAY_CACHE", str(session_cache))
        root = make_project(tmp_path_factory.mktemp("page"))
        patch.chdir(root)
        layout = add_release(root, "honest")
        audit(layout)
    return report.read_evidence(read_plan(layout), layout)


@pytest.fixture(scope="module")
def hostile(evidence: PageInputs) -> str:
    findings = tuple(Finding(stage="inspect", kind=text, message=text) for text in HOSTILE)
    release = replace(evidence.plan.release, title=HOSTILE[0], homepage=HOSTILE[4], paper=HOSTILE[1], note=HOSTILE[2])
    claim = evidence.verdict.claims[0]
    claim = replace(claim, reason=HOSTILE[1], cited_at=replace(claim.cited_at, quote=HOSTILE[0], url=HOSTILE[4]))
    verdict = replace(evidence.verdict, findings=findings, claims=(claim,), target=HOSTILE[0])
    plan = replace(evidence.plan, release=release, glue=Glue(file=HOSTILE[0], sha256="0" * 64))
    return render(replace(evidence, plan=plan, verdict=verdict, glue=HOSTILE[2]))


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(page)
    return parser.seen


@pytest.mark.parametrize("which", ["evidence", "hostile"])
def test_the_page_is_self_contained_and_without_scripts(which: str, request: pytest.FixtureRequest) -> None:
    given = request.getfixturevalue(which)
    page = given if isinstance(given, str) else render(given)
    for tag, attributes in tags(page):
        assert tag not in {"script", "iframe", "object", "embed", "link", "form", "base"}
        assert not any(name.startswith("on") for name in attributes)
        if (source := attributes.get("src")) is not None:
            assert source.startswith("data:image/svg+xml;base64,")
        if (address := attributes.get("href")) is not None:
            assert re.match(r"https?://", address)
    assert "default-src 'none'" in page


@pytest.mark.browser
@pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine")
def test_a_browser_runs_nothing_of_a_hostile_release(hostile: str, tmp_path: Path) -> None:
    dom = dump(hostile, tmp_path)
    title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
    assert title
    assert "owned" in title.group(1)  # as escaped text
    assert "&lt;script&gt;" in title.group(1)
    assert 'id="owned"' not in dom
    assert not any(tag == "script" for tag, _ in tags(dom))


@pytest.mark.browser
@pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine")
def test_a_browser_shows_verdict_score_coverage_and_figure(evidence: PageInputs, tmp_path: Path) -> None:
    dom = dump(render(evidence), tmp_path)
    text = re.sub(r"<[^>]+>", " ", dom)
    for word in (
        "REPRODUCED",
        "coverage",
        "inverted_labels",
        evidence.verdict.plan_digest,
        "Test accuracy: 0.90",
        "isolation",
        "What is shown, question by question",
        "Figures beside the verdict, which never decide it",
        "What this audit could have shown",
        "planned reruns",
    ):
        assert word in text
    assert dom.count("<img ") == 1  # this release has no curves


@pytest.mark.browser
@pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("which", ["evidence", "hostile"])
def test_a_phone_needs_no_sideways_scrolling(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    given = request.getfixturevalue(which)
    (tmp_path / "page.html").write_text(given if isinstance(given, str) else render(given), encoding="utf-8")
    outer = """<iframe id="page" style="width: 390px; height: 800px; border: 0" src="page.html"></iframe><p id="told"></p><script>
        document.getElementById("page").onload = event => { document.getElementById("told").textContent =
            "width " + event.target.contentDocument.documentElement.scrollWidth }</script>"""
    dom = dump(outer, tmp_path, "--allow-file-access-from-files", "--virtual-time-budget=5000", name="outer.html")
    found = re.search(r"width (\d+)", dom.split('id="told"')[1])
    assert found
    assert int(found.group(1)) <= 390


def test_the_same_records_give_the_same_page(evidence: PageInputs) -> None:
    assert render(evidence) == render(evidence)


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0.0, "0"), (-3.66049, "−3.66"), (1e-9, "1e-09"), (68.0, "68")]
)
def test_numbers_for_people(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "file:///etc/passwd", "data:text/html,x", "//evil", "", None, "http://[x", "http://a]b/"],
)
def test_only_web_addresses_become_links(address: str | None) -> None:
    assert web_address(address) == ""


@pytest.mark.browser
@pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["evidence", "hostile"])
def test_axe_finds_no_barrier(which: str, scheme: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Deque's axe-core, with all of its rules."""
    given = request.getfixturevalue(which)
    page = given if isinstance(given, str) else render(given)
    axe = (files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)  # a copy that lets axe in
    asked = "axe.run().then(found => { document.title = 'axe: ' + found.violations.map(of => `${of.id} ${of.nodes[0].html}`).join('; ') + '.' })"
    dom = dump(
        page.replace("</body>", f"<script>{axe}</script><script>{asked}</script></body>"), tmp_path,
        "--virtual-time-budget=20000", f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}",
    )  # fmt: skip
    title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
    assert title
    assert title[1] == "axe: ."
