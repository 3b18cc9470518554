"""A target file with something wrong gets one line that names file, key, what was found and what to do."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from releases.miniature import REPO, add_release, make_project, target, write_target

from openassay.faults import BadInput
from openassay.layout import Layout, find_root
from openassay.plan import make_plan, read_plan, write_plan
from openassay.target import read_target

SETTINGS = ["profile=cpu", "judge=default", "tracking=sqlite", "execution=auto"]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return add_release(make_project(tmp_path), "honest")


def changed(data: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """The target with another value at a dotted place; `DELETE` removes it."""
    *path, last = place.split(".")
    here: Any = data
    for part in path:
        here = here[int(part)] if isinstance(here, list) else here[part]
    key: Any = int(last) if isinstance(here, list) else last
    if value == "DELETE":
        del here[key]
    elif isinstance(here, list) and key == len(here):
        here.append(value)
    else:
        here[key] = value
    return data


BAD: list[tuple[str, Any, str]] = [
    ("claims.0.paired", True, r"claims\.0\.paired: it needs published\.values and published\.seeds"),
    ("claims.0.published.values", [1.0, 2.0], r"published\.values: as many as num_runs are needed, found 2"),
    ("claims.0.published.seeds", [1], r"published\.seeds: one of its own for each of values"),
    ("claims.0.success", {}, r"claims\.0\.success: give at_least or at_most"),
    ("claims.0.success", {"at_least": 1.0, "at_most": 2.0}, r"claims\.0\.success: give at_least or at_most"),
    ("claims.0.curve_scatter", {"shares": [0.5], "sds": [1.0], "df": 2, "cited_at": "x"}, r"curve_scatter: a family's shares"),
    ("claims.0.estimand", "mean", r"claims\.0\.estimand: should be 'number' or 'recipe'"),
    ("claims.0.baseline", "faithful", r"claims\.0\.baseline: another arm than the claim's own"),
    ("claims.0.baseline", "other", r"claims\.0\.baseline: there is no arm 'other'; there are: faithful"),
    ("claims.0.uncontrolled", " ", r"claims\.0\.uncontrolled: say why no broken recipe could break it, and name it"),
    ("controls.0.claims", ["loss"], r"controls\.0\.claims: 'loss' is no claim of the arm faithful; there are: accuracy"),
    ("controls.0.claims", [], r"claims\.0: no control is `of: faithful` and meant for it"),
    ("claims.0.published.units", 0, r"published\.units: at least 1"),
    ("claims.0.published.sd_is", "over_units", r"published\.units: at least 1; a spread over units needs sd, and 2 units"),
    ("claims.0.published.values_cited_at", [{"url": "https://example.org"}], r"values_cited_at: one for each of values"),
    ("claim_tables", [{"text": "a,b", "columns": {}, "claim": {}}], r"claim_tables\.0\.columns: id is missing"),
    ("claim_tables", [{"columns": {}, "claim": {}}], r"claim_tables: 0\.text: missing"),
    ("surprise", 1, r"surprise: unknown key"),
    ("release.titel", "x", r"release\.titel: unknown key"),
    ("release.title", "DELETE", r"release\.title: missing"),
    ("release.version", 1.0, r"release\.version: should be a valid string, found '1.0'"),
    ("release.training_flop", 1e22, r"release\.training_flop: give it with training_flop_is"),
    ("release.training_flop_is", "6 × N × D", r"release\.training_flop: give it with training_flop_is"),
    ("schema_version", 2, r"schema_version: should be 1, found '2'"),
    ("name", "other", r"name: expected 'honest', as the file is called, found 'other'"),
    ("components.0.component", "code", r"components\.0\.component: should be 'model_architecture'"),
    ("components.0.artifact", "nope", r"components\.0\.artifact: there is no artifact 'nope'; there are: code"),
    ("components.0.paths", ["../x"], r"components\.0\.paths\.0: '\.\./x' is not a glob inside an archive"),
    ("components.0.paths", ["/etc/*"], r"is not a glob inside an archive"),
    ("artifacts.code.payload.include", [""], r"is not a glob inside an archive"),
    ("artifacts.code.sources.0.root", "../..", r"root: '\.\./\.\.' is not a glob inside an archive"),
    ("artifacts.code.sources.0", {"kind": "pypi", "package": "../x", "version": "1"}, r"is not the name of a project"),
    ("environment.python", "/usr/bin/env", r"python must read like 3\.11"),
    ("rerun.parameters", {"labels": "real", "seed": 1}, r"rerun\.parameters: 'seed' is given by OpenAssay"),
    ("rerun.measure.0.scale", 0, r"scale: should be greater than 0"),
    ("rerun.measure.0.metric", "a(b)", r"'a\(b\)' is not a metric's name"),
    ("components.1.paths", ["a"], r"components\.1\.paths: name the artifact"),
    ("artifacts.code.sources", [], r"artifacts\.code\.sources: "),
    ("artifacts.code.sources.0.kind", "ftp", r"sources\.0: unknown kind 'ftp'; known: 'pypi', 'debian', 'local'"),
    ("artifacts.code.sources.0", {"kind": "pypi", "package": "river", "version": "0.26.2", "file": "river-0.26.1-py3-none-any.whl"},
     r"'river-0\.26\.1-py3-none-any\.whl' is not a file of river 0\.26\.2"),
    ("artifacts.code.sources.0.sha256", "abc", r"sources\.0\.sha256: a sha256 is 64 hexadecimal digits in lower case, found 'abc'"),
    ("artifacts.code.payload.sha256", "A" * 64, r"payload\.sha256: "),
    ("artifacts.code.payload", "DELETE", r"artifacts\.code\.sources\.0\.sha256: missing; pin the file"),
    ("environment", "DELETE", r"environment: missing; rerun runs the release's code"),
    ("environment.install", ["nope"], r"environment\.install\.0: there is no artifact 'nope'"),
    ("environment.requirements", ["numpy @ https://example.org/x.whl"], r"environment: 'numpy @ .*: name an artifact"),
    ("environment.requirements", ["--index-url=http://x"], r"is not a requirement"),
    ("environment.as_of", "soon", r"as_of must read YYYY-MM-DD"),
    ("glue", "../x.py", r"glue: '\.\./x\.py' is not a \.py file"),
    ("glue", "missing.py", r"glue: 'missing\.py' is not a \.py file in conf/target/glue/"),
    ("rerun.driver", "magic", r"rerun: unknown driver 'magic'; known: 'python', 'command', 'native'"),
    ("rerun.run.kind", "shell", r"rerun\.python\.run: unknown kind 'shell'"),
    ("rerun.run.artifact", "nope", r"rerun\.run\.artifact: there is no artifact 'nope'"),
    ("rerun.run.path", "../../etc/passwd", r"rerun\.run\.path: it must stay below the artifact"),
    ("rerun.run.arguments", ["{sed}"], r"rerun\.run\.arguments: nothing gives \{sed\}.*known: .*seed"),
    ("rerun.measure.0.path", "/etc/passwd", r"path must be relative"),
    ("rerun.measure.0", {"read_from": "stdout", "metric": "m", "pattern": "("}, r"not a regular expression"),
    ("rerun.measure.0", {"read_from": "stdout", "metric": "m", "pattern": "x"}, r"one group"),
    ("rerun", "DELETE", r"not_rerun_because: missing"),
    ("rerun.max_runs", 1, r"max_runs: should be greater than or equal to 2"),
    ("rerun.timeout_s", 0, r"timeout_s: should be greater than 0"),
    ("controls", [], r"controls: missing; a rerun needs a negative control"),
    ("controls.0.arm", "faithful", r"controls\.0\.arm: 'faithful' is taken"),
    ("controls.0.arm", "a/b", r"'a/b' is not a name"),
    ("controls.0.of", "nope", r"controls\.0\.of: there is no arm 'nope'; there are: faithful"),
    ("controls.0.parameters", {}, r"controls\.0: it changes nothing"),
    ("controls.0.parameters", {"lable": "x"}, r"controls\.0\.parameters: the run has no \{lable\}"),
    ("controls.0.permute", ["y"], r"permute: there are no prepared arrays to permute"),
    ("controls.0.set", {"steps": 1}, r"controls\.0\.set: the python driver takes none; use parameters"),
    ("controls.0.parameters", {"labels": "real"}, r"controls\.0: it sets what faithful has already"),
    ("rerun.arms", {"faithful": {"set": {"steps": 1}}}, r"rerun\.arms\.faithful\.set: the python driver takes none; use parameters"),
    ("rerun.arms", {"faithful": {"parameters": {"lable": "x"}}}, r"rerun\.arms\.faithful\.parameters: the run has no \{lable\}"),
    ("rerun.measure.1", {"read_from": "stdout", "metric": "accuracy", "pattern": "(x)"}, r"measure: 'accuracy' is measured twice"),
    ("claims.0.id", "a b", r"claims\.0\.id: 'a b' is not a name"),
    ("claims.0.metric", "f1", r"claims\.0\.metric: no rerun measures 'f1'; measured: accuracy"),
    ("claims.0.arm", "nope", r"claims\.0\.arm: there is no arm 'nope'"),
    ("claims.0.tolerance", "DELETE", r"claims\.0\.tolerance: missing"),
    ("claims.0.tolerance.margin", 0, r"margin: it must be above 0"),
    ("claims.0.tolerance.margin", -1, r"margin: it must be above 0"),
    ("claims.0.tolerance.margin", True, r"margin: should be a valid number, found 'True'"),
    ("claims.0.tolerance.margin", "5%", r"margin: should be a valid number, found '5%'"),
    ("claims.0.tolerance.rationale", " ", r"rationale: missing"),
    ("claims.0.cited_at", {}, r"claims\.0\.cited_at: give a url, or artifact, path and quote"),
    ("claims.0.cited_at.path", "docs/a**b", r"claims\.0\.cited_at\.path: 'docs/a\*\*b' is not a glob inside an archive"),
    ("claims.0.cited_at.path", ".", r"claims\.0\.cited_at\.path: '\.' is not a glob"),
    ("components.0.paths", ["a**"], r"components\.0\.paths\.0: 'a\*\*' is not a glob"),
    ("artifacts.code.sources.0.root", ".", r"root: '\.' is not a glob inside an archive"),
    ("claims.0.cited_at", "DELETE", r"claims\.0\.cited_at: missing"),
    ("claims.0.published.value", "DELETE", r"claims\.0\.published\.value: missing"),
    ("claims.0.published.value", ".nan", r"published\.value: should be a valid number, found '\.nan'"),
    ("claims.0.published.value", "1e999", r"published\.value: should be a valid number, found '1e999'"),
    ("claims.0.published.value", 1e200, r"published\.value: a finite number is needed"),
    ("claims.0.published.num_runs", 0, r"num_runs: at least 1, found 0"),
    ("claims.0.published.num_runs", 10**20, r"num_runs: at most 1000000, found 1"),
    ("claims.0.bounds", [1, 0], r"bounds: least and largest value, in this order"),
    ("claims.0.bounds", [0, 1e200], r"bounds\.1: a finite number is needed"),
    ("claims.0.published.best_of", 0, r"best_of: at least 1"),
    ("claims.0.published.best_of", 3, r"best_of: at least 1, and for one value, not for a mean of 20"),
    ("claims.0.published.sd_is", "spread", r"sd_is: should be 'sd'"),
    ("claims.0.published.extra_sd", -1, r"cannot be negative"),
    ("claims.0.direction", "up", r"direction: should be 'two-sided'"),
    ("claims.0.weight", 0, r"weight must be above 0"),
    ("claims.0.divergence_rate", 1, r"divergence_rate below 1"),
    ("claims.0.family", {"sd": 0.1, "df": 5, "cited_at": " "}, r"family: sd and df above 0 are needed, and cited_at"),
    ("claims.0.family", {"sd": 0.1}, r"family\.df: missing"),
    ("claims.0.curve", [[-1, 0.5]], r"curve: steps from 0 on"),
    ("claims.0.curve", [[1, 1e200]], r"curve: .*finite values"),
    ("controls.0.expects", "worse", r"expects: should be '(lower|higher)' or"),
    ("probes", [{"arm": "p", "metric": "f1", "expects": "lower", "rationale": "x", "parameters": {"labels": "inverted"}}], r"probes\.0\.metric: no rerun measures 'f1'"),
    ("probes", [{"arm": "p", "metric": "accuracy", "expects": "lower", "rationale": "x"}], r"probes\.0: it changes nothing"),
    ("claims.0.published.sd", -0.1, r"cannot be negative"),
    ("claims.0.published.rounding", -1, r"cannot be negative"),
    ("claims.0.published", {"value": 0.9, "sd": 0.1}, r"published\.sd: a standard deviation over runs needs num_runs of 2 or more"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "value", "message"), BAD, ids=[f"{place}={value!s:.20}" for place, value, _ in BAD])
def test_a_mistake_is_named(place: str, value: Any, message: str, layout: Layout) -> None:
    data = changed(target(layout.root, "honest", 0.9), place, value)
    path = layout.target_file
    write_target(layout.root, data | {"name": "honest"}) if place != "name" else path.write_text(yaml.safe_dump(data))
    with pytest.raises(BadInput) as caught:
        read_target(layout)
    line = str(caught.value)
    assert line.startswith("conf/target/honest.yaml: ")
    assert re.search(message, line), line
    assert "\n" not in line


def test_each_arm_with_a_claim_needs_a_control_of_its_own(layout: Layout) -> None:
    data = target(layout.root, "honest", 0.9)
    data["rerun"]["arms"] = {"faithful": {}, "other": {}}
    write_target(layout.root, data)
    read_target(layout)  # no claim is tested on it
    data["claims"][0]["arm"] = "other"
    write_target(layout.root, data)
    with pytest.raises(BadInput, match=r"claims\.0: no control is `of: other` and meant for it"):
        read_target(layout)


def test_the_same_claim_twice_is_named(layout: Layout) -> None:
    data = target(layout.root, "honest", 0.9)
    data["claims"].append(dict(data["claims"][0]))
    for part in ("published", "cited_at", "tolerance"):  # PyYAML writes the same object twice as an alias
        data["claims"][1][part] = dict(data["claims"][1][part])
    write_target(layout.root, data)
    with pytest.raises(BadInput, match=r"claims\.0\.id: 'accuracy' stands twice"):
        read_target(layout)


def test_a_plan_is_the_same_on_every_freeze_and_survives_the_disk(layout: Layout) -> None:
    one, other = make_plan(layout, SETTINGS), make_plan(layout, SETTINGS)
    assert one == other
    write_plan(layout.plan, one)
    assert read_plan(layout) == one


def test_every_title_survives_the_disk(layout: Layout) -> None:
    made = make_plan(layout, SETTINGS)

    @given(st.text(st.characters(exclude_categories=["Cs"])))
    @example("caf\u00e9: 90 %\x85x")
    @example("one\u2028two\u2029three \u00e9")
    @example("\ufeff\x00\x1b[31m\r\n\t #: - '\"")
    def check(title: str) -> None:
        plan = replace(made, release=replace(made.release, title=title))
        plan = replace(plan, digest=plan.identity())
        write_plan(layout.plan, plan)
        assert read_plan(layout) == plan

    check()


def test_a_title_is_readable_in_the_plan_and_odd_marks_go_all_the_way(layout: Layout) -> None:
    for title, readable in (("caf\u00e9 90 %", True), ("caf\u00e9\x85\u2028", False)):
        data = target(layout.root, "honest", 0.9)
        data["release"]["title"] = title
        layout.target_file.write_text(yaml.safe_dump(data, sort_keys=False))
        plan = make_plan(layout, SETTINGS)
        assert plan.release.title == title
        write_plan(layout.plan, plan)
        assert read_plan(layout) == plan
        assert ("caf\u00e9" in layout.plan.read_text()) == readable


@pytest.mark.parametrize(
    "text",
    ["", "[1, 2]", "words", "a: [", "\t- x", "a: \x00", "? {", "&a [*a]", "!!python/object:os.system {}", "digest: 2024-01-01",
     "name: .nan", "&a {a: *a}", "[" * 3000],
)  # fmt: skip
def test_a_plan_that_is_broken_says_how_to_make_it_anew(layout: Layout, text: str) -> None:
    layout.plan.parent.mkdir(parents=True)
    layout.plan.write_text(text)
    with pytest.raises(BadInput) as refused:
        read_plan(layout)
    assert re.fullmatch(
        r"experiments/honest/plan\.yaml: it is no plan \(.+\); run `openassay audit --force honest`", str(refused.value)
    )
    layout.plan.write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="run `openassay audit --force honest`"):
        read_plan(layout)


def test_device_and_tracking_are_no_part_of_what_is_tested(layout: Layout) -> None:
    here = make_plan(layout, SETTINGS)
    there = make_plan(layout, [*SETTINGS[:2], "tracking=none", "execution=cpu", "execution.workers=7"])
    assert here.digest == there.digest
    assert here.execution != there.execution


@pytest.mark.parametrize("override", ["profile=smoke", "judge=strict"])
def test_runs_and_error_rates_are_part_of_what_is_tested(override: str, layout: Layout) -> None:
    group = override.split("=", maxsplit=1)[0]
    others = [setting for setting in SETTINGS if not setting.startswith(group)]
    assert make_plan(layout, SETTINGS).digest != make_plan(layout, [*others, override]).digest


def test_a_plan_that_was_edited_by_hand_is_refused(layout: Layout) -> None:
    write_plan(layout.plan, make_plan(layout, SETTINGS))
    layout.plan.write_text(layout.plan.read_text().replace("margin: 0.03", "margin: 0.3"))
    with pytest.raises(BadInput, match="changed after it was frozen"):
        read_plan(layout)


def test_a_changed_glue_script_is_a_changed_plan(layout: Layout) -> None:
    script = layout.glue_folder / "mini.py"
    script.write_text("def f():\n    return 1\n")
    write_target(layout.root, target(layout.root, "honest", 0.9) | {"glue": "mini.py"})
    before = make_plan(layout, SETTINGS)
    script.write_text("def f():\n    return 2\n")
    assert make_plan(layout, SETTINGS).digest != before.digest


def test_where_nothing_is_random_three_reruns_are_planned(layout: Layout) -> None:
    assert len(make_plan(layout, SETTINGS).seeds.arms["faithful"]) == 100
    write_target(layout.root, changed(target(layout.root, "honest", 0.9), "claims.0.deterministic", True))
    seeds = make_plan(layout, SETTINGS).seeds.arms
    assert seeds == {"faithful": (0, 1, 2), "inverted_labels": (0, 1, 2, 3)}


@pytest.mark.parametrize(
    "text", ["${oc.env:HOME}", "# @package _global_\n", "defaults: [x]\n", "_target_: os.system\n"]
)
def test_a_target_has_no_powers_over_hydra(text: str, layout: Layout) -> None:
    data = target(layout.root, "honest", 0.9)
    if text.startswith("$"):
        data["release"]["title"] = text
        write_target(layout.root, data)
        assert make_plan(layout, SETTINGS).release.title == text  # a word like any other
    elif text.startswith("#"):
        layout.target_file.write_text(text + layout.target_file.read_text())
        assert make_plan(layout, SETTINGS).name == "honest"  # a comment like any other
    else:
        layout.target_file.write_text(text + layout.target_file.read_text())
        with pytest.raises(BadInput, match="unknown key"):
            make_plan(layout, SETTINGS)


def test_a_setting_that_does_not_exist_is_named(layout: Layout) -> None:
    with pytest.raises(BadInput, match=r"profile: there is no option 'huge'; there are: cpu, full, gpu, smoke$"):
        make_plan(layout, ["profile=huge", *SETTINGS[1:]])


def test_outside_a_project_the_command_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not inside an OpenAssay project"):
        find_root(tmp_path)
    assert find_root(REPO / "src") == REPO


def test_the_documented_example_is_a_well_formed_target(tmp_path: Path) -> None:
    root = make_project(tmp_path)
    text = re.search(r"```yaml\n(.*?)```", (REPO / "docs" / "target.md").read_text(), re.DOTALL)
    assert text
    (root / "conf/target/my_release.yaml").write_text(text.group(1))
    (root / "conf/target/glue/my_release.py").write_text("def quickstart(shuffled): ...\n")
    found = read_target(Layout(root, "my_release"))
    assert found.claims[0].published.value == 89.28
    assert found.components[0].published == "yes"


def test_a_share_that_no_number_of_trainings_gives_is_refused(layout: Layout) -> None:
    data = target(layout.root, "honest", 0.9)
    data["claims"][0] |= {"success": {"at_least": 0.5}, "published": {"value": 0.9, "num_runs": 7}}
    write_target(layout.root, data | {"name": "honest"})
    with pytest.raises(BadInput, match=r"published\.value: the share of 7 trainings that succeed is needed"):
        read_target(layout)


def test_paired_claims_run_the_published_seeds(layout: Layout) -> None:
    data = target(layout.root, "honest", 0.9)
    published = {"value": 0.9, "num_runs": 3, "values": [0.8, 0.9, 1.0], "seeds": [7, 3, 11]}
    data["claims"][0] |= {"paired": True, "published": published}
    write_target(layout.root, data | {"name": "honest"})
    assert make_plan(layout, SETTINGS).seeds.arms["faithful"] == (7, 3, 11)
