"""The catalogue: every committed audit as it was made, the same bytes for the same records, feeds that readers take, nothing hostile."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import datetime
from html import unescape
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hostile import hostile_entry
from releases.miniature import REPO, make_project

from openassay import cli
from openassay.catalogue import CatalogueEntry, ShownAudit, badge_words, pages, read_catalogue, write
from openassay.core.deviations import Deviation
from openassay.core.verdict import headline
from openassay.core.verdict_records import Outcome, ReleaseVerdict
from openassay.faults import BadInput
from openassay.layout import Layout
from openassay.records import read_record, write_record
from openassay.report.bills import to_cyclonedx
from openassay.report.page import number
from openassay.schemas import KINDS, schema

ATOM = "{http://www.w3.org/2005/Atom}"
AT = "https://example.org/audits"


@pytest.fixture(scope="module")
def entries() -> list[CatalogueEntry]:
    found, problems = read_catalogue(REPO, own=False)
    assert problems == []
    return found


@pytest.fixture(scope="module")
def written(entries: list[CatalogueEntry]) -> dict[str, bytes]:
    return pages(entries, AT)


def text(page: bytes) -> str:
    """What a page says: without tags, in single spaces."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page.decode())).split())


def test_every_committed_audit_and_each_of_its_numbers_is_shown(
    entries: list[CatalogueEntry], written: dict[str, bytes]
) -> None:
    index = written["index.html"].decode()
    assert {of.target for of in entries if of.verdict} == {
        path.parts[-3] for path in REPO.glob("experiments/*/published/verdict.json")
    }
    for entry in entries:
        assert f'href="{entry.target}/index.html"' in index
        page = text(written[f"{entry.target}/index.html"])
        if entry.verdict is None:
            assert "no audit of it is recorded here" in page
            continue
        assert entry.verdict.outcome.value in text(written[f"{entry.target}/badge.svg"])
        for claim in entry.verdict.claims:
            assert f"{number(claim.published.value, 6)} ± {number(claim.tolerance.margin)}" in page
            assert headline(claim) in page
            if claim.difference is not None:
                assert number(claim.published.value + claim.difference, 5 if claim.tier == "rerun" else 9) in page
        for name in ("report.html", "verdict.json", "plan.yaml"):
            assert (
                written[f"{entry.target}/{name}"]
                == (REPO / "experiments" / entry.target / "published" / name).read_bytes()
            )


def test_every_link_of_the_pages_leads_to_a_page(written: dict[str, bytes]) -> None:
    for path, page in written.items():
        if not path.endswith("index.html"):
            continue
        for link in re.findall(r'href="([^"]+)"', page.decode()):
            if not link.startswith("http"):
                assert (Path("/") / Path(path).parent / link).resolve().relative_to("/").as_posix() in written


def test_the_same_records_give_the_same_bytes(entries: list[CatalogueEntry], written: dict[str, bytes]) -> None:
    assert pages(reversed(list(reversed(entries))), AT) == written


def test_the_feeds_name_every_audit_once_and_with_its_date(
    entries: list[CatalogueEntry], written: dict[str, bytes]
) -> None:
    feed = json.loads(written["feed.json"])
    assert feed["version"] == "https://jsonfeed.org/version/1.1"
    assert feed["feed_url"] == f"{AT}/feed.json"
    atom = ET.fromstring(written["feed.xml"])  # noqa: S314 - our own
    audits = sum(len(of.audits) for of in entries)
    ids = [item["id"] for item in feed["items"]]
    assert len(ids) == len(set(ids)) == audits
    assert [of.findtext(f"{ATOM}id") for of in atom.findall(f"{ATOM}entry")] == ids
    for item in feed["items"]:
        assert item["id"].startswith("urn:uuid:")
        assert item["url"].startswith(f"{AT}/")
        assert datetime.fromisoformat(item["date_published"]).tzinfo
    assert atom.findtext(f"{ATOM}updated") == max(item["date_published"] for item in feed["items"])
    assert {of.tag for of in atom} >= {f"{ATOM}id", f"{ATOM}title", f"{ATOM}updated", f"{ATOM}author"}


def test_without_an_address_no_feed_invents_one(entries: list[CatalogueEntry]) -> None:
    made = pages(entries)
    assert "home_page_url" not in json.loads(made["feed.json"])
    assert b"ADDRESS/" in made["mnist1d_mlp/index.html"]


@pytest.mark.parametrize("url", ["example.org", "javascript:alert(1)", "https://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="expected the catalogue's own address"):
        pages([], url)


def test_no_word_of_a_release_is_markup_or_reorders_what_is_read(entries: list[CatalogueEntry]) -> None:
    made = pages([hostile_entry(entries)], AT)
    for path in ("index.html", "mnist1d_mlp/index.html", "mnist1d_mlp/badge.svg", "feed.xml", "feed.json"):
        page = made[path].decode()
        assert "\u202e" not in page
        assert "<img src=x" not in page or path == "feed.json"
        assert page.count("<script>") == (path == "index.html") or path == "feed.json"
        assert 'href="javascript' not in page
        if path.endswith((".xml", ".svg")):
            ET.fromstring(page)  # noqa: S314 - our own


def test_a_badge_says_what_makes_its_word_weaker_and_what_was_different(entries: list[CatalogueEntry]) -> None:
    verdicts = {of.target: of.verdict for of in entries if of.verdict}
    river = replace(verdicts["river_phishing"], deviations=(Deviation(kind="other_data", what="later data"),))
    date = river.provenance.finished_at[:10]
    assert badge_words(river) == ("REPRODUCED", f"labels in reach, visible control, other data · {date}")
    assert badge_words(verdicts["amber"])[1].startswith("recomputed: 5 of 5 agree, ")


def test_earlier_audits_stay_in_a_targets_history(entries: list[CatalogueEntry]) -> None:
    entry = next(of for of in entries if of.target == "mnist1d_mlp")
    before = ShownAudit(
        finished_at="2025-01-01T00:00:00Z", outcome=Outcome.NOT_REPRODUCED, basis=(), score=0.1, coverage=1.0,
        reason="an earlier reason", plan_digest="0" * 64,
    )  # fmt: skip
    made = pages([replace(entry, audits=(*entry.audits, before))])
    assert "2025-01-01 00:00 UTC NOT_REPRODUCED 0.1 An earlier reason" in text(made["mnist1d_mlp/index.html"])
    assert [item["date_published"] for item in json.loads(made["feed.json"])["items"]][-1] == before.finished_at


def test_pages_are_written_over_an_earlier_catalogue_and_over_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(BadInput, match="found other files"):
        write(tmp_path / "mine", pages([]))
    for _ in range(2):
        write(tmp_path / "new", pages([]))
    assert "No audit has been made yet" in (tmp_path / "new" / "index.html").read_text()


def test_a_bill_of_materials_names_what_is_there_and_what_was_found(
    entries: list[CatalogueEntry], written: dict[str, bytes]
) -> None:
    for entry in entries:
        if not entry.plan:
            continue
        bom = json.loads(written[f"{entry.target}/bom.cdx.json"])
        refs = [of["bom-ref"] for of in (bom["metadata"]["component"], *bom["components"])]
        assert len(refs) == len(set(refs))
        there = {of.component for of in entry.plan.components if of.published in {"yes", "partly"}}
        assert {of["name"] for of in bom["components"]} == there | set(entry.plan.artifacts)
    amber = json.loads(written["amber/bom.cdx.json"])
    main = amber["metadata"]["component"]
    assert main["type"] == "machine-learning-model"
    assert {"name": "openassay:outcome", "value": "NOT_ATTEMPTED"} in main["properties"]
    assert {of["ref"] for of in main["modelCard"]["modelParameters"]["datasets"]} <= {
        of["bom-ref"] for of in amber["components"]
    }
    river = json.loads(written["river_phishing/bom.cdx.json"])
    (package,) = [of for of in river["components"] if of.get("purl", "").startswith("pkg:pypi/river@")]
    assert len(package["hashes"][0]["content"]) == 64
    metrics = json.loads(written["mnist1d_cnn/bom.cdx.json"])["metadata"]["component"].get("modelCard", {})
    assert "REPRODUCED" not in json.dumps(metrics)  # an outcome is no measurement


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("unknown", []), ("MIT AND Apache-2.0", [{"expression": "MIT AND Apache-2.0"}]),
        ("Llama 2 Community License", [{"license": {"name": "Llama 2 Community License"}}]),
        ("MIT Apache-2.0", [{"license": {"name": "MIT Apache-2.0"}}]), ("MIT AND (", [{"license": {"name": "MIT AND ("}}]),
    ],
)  # fmt: skip
def test_a_licence_is_an_expression_only_where_its_words_are_one(
    words: str, said: list[Any], entries: list[CatalogueEntry]
) -> None:
    entry = next(of for of in entries if of.target == "amber")
    assert entry.plan
    assert entry.verdict
    part = replace(entry.plan.components[0], licence=words, published="yes")
    bom = json.loads(to_cyclonedx(replace(entry.plan, components=(part,)), entry.verdict))
    assert bom["components"][0]["licenses"] == said


def test_a_targets_folder_is_a_crate_of_the_files_that_lie_there(
    entries: list[CatalogueEntry], written: dict[str, bytes]
) -> None:
    graph = {of["@id"]: of for of in json.loads(written["amber/ro-crate-metadata.json"])["@graph"]}
    for part in graph["./"]["hasPart"]:
        data = written[f"amber/{part['@id']}"]
        assert graph[part["@id"]]["sha256"] == hashlib.sha256(data).hexdigest()
    named = {of["@id"] for entity in graph.values() for of in entity.values() if isinstance(of, dict) and "@id" in of}
    assert named - set(graph) == {"https://w3id.org/ro/crate/1.1"}


@pytest.mark.parametrize("name", KINDS)
def test_a_schema_names_itself_and_is_one(name: str) -> None:
    made = json.loads(schema(name))
    jsonschema.Draft202012Validator.check_schema(made)
    assert made["$id"] == f"urn:openassay:schema:{name}:1"


def test_a_schema_says_what_a_key_means() -> None:
    made = json.loads(schema("verdict"))
    assert made["properties"]["tiers"]["description"] == "Recomputed, evaluated, rerun, in this order."
    assert "tolerance" in made["$defs"]["Score"]["properties"]["value"]["description"]
    jsonschema.validate(json.loads((REPO / "experiments/amber/published/verdict.json").read_text()), made)


@pytest.fixture
def own(tmp_path: Path) -> Layout:
    """A project with a committed audit, and a newer one of this machine's, which bears no seal."""
    layout = Layout(make_project(tmp_path / "project"), "mnist1d_cnn")
    ours = Layout(REPO, "mnist1d_cnn")
    shutil.copy(ours.target_file, layout.target_file)
    shutil.copytree(ours.published, layout.published)
    for path in (layout.plan, layout.report):
        shutil.copy(layout.published / path.name, path)
    verdict = read_record(layout.published / "verdict.json", ReleaseVerdict)
    later = replace(verdict.provenance, finished_at="2999-01-01T00:00:00Z")
    write_record(layout.verdict, replace(verdict, provenance=later, outcome=Outcome.INCONCLUSIVE))
    return layout


def test_an_audit_that_was_edited_is_named_and_the_committed_one_is_shown(
    own: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(own.root)
    monkeypatch.setattr(sys, "argv", ["openassay", "site"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "mnist1d_cnn" in capsys.readouterr().err
    page = text((own.root / "catalogue" / "mnist1d_cnn" / "index.html").read_bytes())
    assert "REPRODUCED" in page
    assert "2999" not in page


def test_this_machines_audit_is_shown_where_it_is_newer(own: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openassay.catalogue.check", lambda _: None)
    monkeypatch.setattr("openassay.catalogue.history", lambda _: [])
    (entry,), problems = read_catalogue(own.root, own=True)
    assert problems == []
    assert [audit.finished_at[:4] for audit in entry.audits] == ["2999", "2026"]
    assert entry.verdict
    assert entry.verdict.outcome == "INCONCLUSIVE"
    (committed,), _ = read_catalogue(own.root, own=False)
    assert len(committed.audits) == 1
