"""`openassay classify`: records of the Model Openness Tool in both editions, target files, and everything that is neither."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from releases.miniature import REPO

from openassay import cli, model_openness_tool
from openassay.core.openness import CLASS_NEEDS, CODE, classify
from openassay.faults import BadInput
from openassay.yaml_loader import parse_yaml

NAMES = tuple(model_openness_tool.NAMES)
CLASS_3 = [
    "Model architecture",
    "Model parameters (Final)",
    "Evaluation results",
    "Model card",
    "Data card",
    "Research paper",
]
CLASS_2 = [*CLASS_3, "Training code", "Inference code", "Evaluation code", "Evaluation data"]
CLASS_1 = [*CLASS_2, "Datasets", "Data preprocessing code", "Model parameters (Intermediate)"]


def record(components: list[Any], overall: Any = None, **release: Any) -> dict[str, Any]:
    return {
        "framework": {"name": "Model Openness Framework", "version": "1.0", "date": "2024-12-15"},
        "release": {"name": "Ours-1B", "producer": "nobody", "license": overall or {}, "components": components}
        | release,
    }


def named(names: list[str], **licences: str) -> list[dict[str, str]]:
    return [{"name": name} | ({"license": licences[name]} if name in licences else {}) for name in names]


def run(data: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    text = data if isinstance(data, str) else json.dumps(data)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    cli.classify("-")
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


APACHE = {"distribution": {"name": "Apache-2.0", "path": "LICENSE"}}


@pytest.mark.parametrize(("names", "expected"), [(CLASS_1, 1), (CLASS_2, 2), (CLASS_3, 3), (CLASS_3[1:], 0), ([], 0)])
def test_class_of_a_record(
    names: list[str], expected: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = run(record(named(names), APACHE), capsys, monkeypatch)
    assert (answer["kind"], answer["name"], answer["mof_class"]) == ("model openness tool", "Ours-1B", expected)
    assert answer["mof_label"].startswith("Class " + "I" * expected if expected else "Unclassified")
    assert bool(answer["missing"]) == (expected != 1)
    assert answer["warnings"] == []


@pytest.mark.parametrize(
    ("licence", "overall", "expected", "source"),
    [
        ({"license": "MIT"}, APACHE, "MIT", "component"),
        ({}, {"code": {"name": "GPL-3.0-only"}, **APACHE}, "GPL-3.0-only", "code"),
        ({}, {"data": {"name": "CC0-1.0"}, **APACHE}, "Apache-2.0", "distribution"),
        ({}, {"code": {"name": "", "path": None}, **APACHE}, "Apache-2.0", "distribution"),
        ({}, {"code": None, "distribution": {"name": None}}, None, "none"),
        ({}, {}, None, "none"),
        ({}, [], None, "none"),
        ({"license": "unlicensed"}, APACHE, "unlicensed", "component"),
        ({"license": ""}, APACHE, None, "component"),
        ({"license": None}, APACHE, "Apache-2.0", "distribution"),
        ({"license_name": "Apache-2.0", "location": "src"}, {}, "Apache-2.0", "component"),
    ],
)
def test_where_a_component_has_its_licence_from(licence: Any, overall: Any, expected: str | None, source: str) -> None:
    found = model_openness_tool.read(record([{"name": "Training code", **licence}], overall), "x")
    assert found.parts[0].licence == expected
    assert found.licence_from == {"training_code": source}


def test_a_component_that_is_unlicensed_does_not_take_the_licence_of_the_distribution() -> None:
    data = record(named(CLASS_3, **{"Data card": "unlicensed"}), APACHE)
    assert classify(model_openness_tool.read(data, "x").parts, record=True).mof_class == 0


OLD = {
    "Training code": "Component not included",
    "Model card": "License not specified",
    "Datasets": "Pending evaluation",
}


def test_the_edition_that_lists_all_seventeen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before April 2025: `license_name` for each, and words for what is not there."""
    old = [
        {"name": name, "location": "", "license_name": OLD.get(name, "Apache-2.0"), "license_path": ""}
        for name in NAMES
    ]
    data = record(old)
    del data["release"]["license"]
    answer = run(data, capsys, monkeypatch)
    gaps = {gap["component"]: gap["problem"] for gap in answer["missing"]}
    assert gaps == {"model_card": "licence", "training_code": "absent", "datasets": "unknown"}
    assert answer["mof_class"] == 0


def test_how_a_licence_is_spelled_matters_for_the_class_and_not_for_the_definition(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = run(record(named(CLASS_3, **{"Model parameters (Final)": "apache-2.0"}), APACHE), capsys, monkeypatch)
    assert answer["mof_class"] == 0
    assert next(item for item in answer["osaid"]["elements"] if item["element"] == "parameters")["outcome"] == "passes"
    assert any("apache-2.0" in line for line in answer["warnings"])


def test_a_refused_freedom_is_told_with_its_clause(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = dict.fromkeys(("Model architecture", "Model parameters (Final)"), "Llama 2 Community License")
    answer = run(record(named(["Model architecture", "Model parameters (Final)"], **names)), capsys, monkeypatch)
    assert answer["osaid"]["outcome"] == "fails"
    told = {item["freedom"]: " ".join(item["obstacles"]) for item in answer["freedoms"]}
    assert "700 million" in told["use"]
    assert "LICENSE" in told["share"]


def test_keys_that_we_do_not_know_are_left_alone_and_odd_names_are_told() -> None:
    data = record([*named(CLASS_3), {"name": "Model weights", "x": [1]}], APACHE, treatment="pre-trained", github="x")
    data["extra"] = {"deep": [{"er": None}]}
    found = model_openness_tool.read(data, "x")
    assert classify(found.parts, record=True).mof_class == 3
    assert any("Model weights" in line for line in found.warnings)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"framework": {}}, "release"),
        ({"framework": {}, "release": []}, "release"),
        ({"framework": {}, "release": {"name": "x"}}, "components"),
        (record([]) | {"release": {"components": {}}}, "components"),
        (record(["Datasets"]), "components.0"),
        (record([{"name": 7}]), "components.0"),
        (record([{"name": "Datasets", "license": 1.0}]), "components.0.license"),
        (record([{"name": "Datasets", "license": ["MIT"]}]), "components.0.license"),
        (record(named(["Datasets", "Datasets"])), "stands twice"),
        (record([], "Apache-2.0"), "release.license"),
        (record([], {"distribution": "Apache-2.0"}), "license.distribution"),
        (record([], {"distribution": {"name": 2.0}}), "license.distribution.name"),
    ],
)
def test_a_record_that_is_wrong_where_it_matters_is_refused(data: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says) as raised:
        model_openness_tool.read(data, "x")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "just words", "a: 1", "a: &x 1\nb: *x", "a: !!python/object/apply:os.system ['true']", "a: 1\na: 2", "<<: {}",
        "release: {components: [", "a: " + "[" * 60 + "]" * 60, "framework: {}\nrelease: 7", "schema_version: 1", "- " * 40000,
        "a: \x00",
    ],
)  # fmt: skip
def test_what_is_no_record_ends_in_one_line(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    with pytest.raises(BadInput) as raised:
        cli.classify("-")
    assert "\n" not in str(raised.value)


def test_files_that_cannot_be_read_end_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPO)
    (tmp_path / "bytes.yml").write_bytes(b"\xff\xfe")
    for name in (str(tmp_path), str(tmp_path / "bytes.yml"), "no_such_target", "../../etc", str(tmp_path / "none.yml")):
        with pytest.raises(BadInput):
            cli.classify(name)


def test_a_target_by_name_and_by_file_gives_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPO)
    cli.classify("magika")
    by_name = capsys.readouterr().out
    cli.classify("conf/target/magika.yaml")
    assert capsys.readouterr().out == by_name
    answer = json.loads(by_name)
    assert (answer["kind"], answer["osaid"]["outcome"]) == ("target", "fails")
    assert "publish the training code" in answer["to_release"]


def test_the_page_shows_the_answer_as_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (REPO / "docs" / "openness.md").read_text()
    monkeypatch.chdir(REPO)
    cli.classify("grok1")
    answer = json.loads(capsys.readouterr().out)
    shown = [answer["mof_class"], answer["osaid"]["outcome"]]
    shown += [{item["freedom"]: item["outcome"]} for item in answer["freedoms"]]
    assert json.dumps(shown, separators=(",", ":")) in page
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    keys = {word for row in rows for word in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert set(answer) <= keys
    for names in (*CLASS_NEEDS.values(), CODE):
        assert all(f"`{name}`" in page for name in names)


LICENCE = st.none() | st.sampled_from(
    ["MIT", "Apache-2.0", "unlicensed", "", "CC-BY-4.0", "apache-2.0", "nonsense (", "7"]
)
COMPONENT = st.fixed_dictionaries(
    {"name": st.sampled_from(NAMES)}, optional={"license": LICENCE, "license_path": st.text(max_size=5)}
)
GLOBAL = st.dictionaries(
    st.sampled_from(["distribution", "code", "data", "document"]),
    st.none() | st.fixed_dictionaries({"name": LICENCE}),
    max_size=4,
)


@given(st.lists(COMPONENT, max_size=17, unique_by=lambda entry: entry["name"]), GLOBAL)
@settings(max_examples=60)
def test_any_record_of_the_format_is_classified_alike_as_data_and_as_text(components: list[Any], overall: Any) -> None:
    data = record(components, overall)
    found = model_openness_tool.read(data, "x")
    again = model_openness_tool.read(parse_yaml(json.dumps(data, ensure_ascii=True), "x"), "x")
    assert again == found
    assert len(found.parts) == len(components)
    assert classify(found.parts, record=True).mof_class in {0, 1, 2, 3}
