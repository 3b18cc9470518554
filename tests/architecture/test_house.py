"""The house rules that no linter knows: one word in five places, every arrow drawn, targets well formed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from openassay.layout import Layout
from openassay.plan import SECTIONS
from openassay.project import index
from openassay.stage_code import STAGES, script
from openassay.target import read_target

REPO = Path(__file__).parents[2]
PIPELINE: dict[str, Any] = yaml.safe_load((REPO / "pipelines" / "stages.yaml").read_text())
TARGETS = sorted(path.stem for path in (REPO / "conf" / "target").glob("*.yaml"))


def script_of(stage: str) -> Path:
    return REPO / "pipelines" / f"{script(stage).rpartition('.')[2]}.py"


def test_a_stage_is_one_word_in_five_places() -> None:
    assert tuple(PIPELINE["stages"]) == STAGES
    assert {path.stem.rstrip("_") for path in (REPO / "pipelines").glob("*.py")} - {"__init"} == set(STAGES)
    modules = {path.stem for path in (REPO / "src/openassay/stages").glob("*.py")} - {"__init__"}
    assert modules == set(STAGES)
    outputs = {
        "plan": "plan.yaml",
        "judge": "verdict.json",
        "report": "report.html",
        "prepare": "prepare",
        "rerun": "rerun",
    }
    readme = (REPO / "README.md").read_text()
    for stage in STAGES:
        command = PIPELINE["stages"][stage]["cmd"].split()
        assert command[:6] == ["exec", "python", "-P", "-m", script(stage), "${target}"]
        written = [next(iter(out)) for out in PIPELINE["stages"][stage]["outs"]]
        assert outputs.get(stage, f"{stage}/record.json") in written
        assert f"| `{stage}` |" in readme


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_asks_one_question_in_both_places(stage: str) -> None:
    module = (REPO / "src/openassay/stages" / f"{stage}.py").read_text()
    question = (ast.get_docstring(ast.parse(module)) or "").split("?")[0] + "?"
    assert " ".join(question.split()) == PIPELINE["stages"][stage]["desc"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_goes_stale_with_its_own_code_and_the_sections_of_the_plan_that_it_reads(stage: str) -> None:
    deps = PIPELINE["stages"][stage]["deps"]
    assert [of for of in deps if of.startswith("${code}/")] == [f"${{code}}/{stage}"]
    assert [of for of in deps if of.startswith("inputs/")] == ([f"inputs/{stage}.json"] if stage in SECTIONS else [])
    assert ("plan.yaml" in deps) == (stage in {"judge", "report"})


LARGE = {
    "torch",
    "transformers",
    "mlflow",
    "matplotlib",
    "datasets",
    "pyarrow",
    "hydra",
    "httpx",
    "unearth",
    "requests",
}
LARGE |= {"scipy.stats", "scipy.optimize", "scipy.special"}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_no_large_library_before_it_uses_it(stage: str) -> None:
    code = "import runpy, sys; runpy.run_path(sys.argv[1]); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, script_of(stage)], capture_output=True, text=True, check=True
    )
    assert not set(done.stdout.split()) & LARGE


@pytest.mark.parametrize("stage", STAGES)
def test_a_script_says_what_it_reads_and_writes_and_is_short(stage: str) -> None:
    text = script_of(stage).read_text()
    docstring = ast.get_docstring(ast.parse(text)) or ""
    assert "\nreads " in docstring
    assert "\nwrites " in docstring
    assert len(text.splitlines()) <= 40


def test_the_index_lists_every_target_file() -> None:
    assert sorted(index(REPO)) == TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_is_well_formed(name: str) -> None:
    target = read_target(Layout(REPO, name))
    assert target.name == name
    for claim in target.claims:
        assert claim.tolerance.rationale


def test_every_glue_script_belongs_to_a_target() -> None:
    used = {read_target(Layout(REPO, name)).glue for name in TARGETS} - {None}
    assert used == {path.name for path in (REPO / "conf/target/glue").glob("*.py")}


def test_the_readme_draws_every_arrow_of_the_pipeline() -> None:
    """The README's picture has the edges that pipelines/stages.yaml has."""
    readme = (REPO / "README.md").read_text()
    picture = re.search(r"```mermaid\n(.*?)```", readme, re.DOTALL)
    assert picture
    drawn = set(re.findall(r"(\w+) --> (\w+)", picture.group(1)))
    made = {}
    for stage, parts in PIPELINE["stages"].items():
        for out in [*parts["outs"], *parts.get("metrics", []), *parts.get("plots", [])]:
            made[next(iter(out)) if isinstance(out, dict) else out] = stage
    edges = set()
    for stage, parts in PIPELINE["stages"].items():
        for file in parts["deps"]:
            if not file.startswith("${code}/"):
                maker = next(maker for out, maker in made.items() if file == out or file.startswith(out + "/"))
                edges.add((maker, stage))
    assert drawn == edges
