"""The house rules that no linter knows: one word in five places, dependencies listed, targets well formed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from openassay.layout import STAGES, Layout
from openassay.plan import read_target
from openassay.project import index

REPO = Path(__file__).parents[2]
PIPELINE: dict[str, Any] = yaml.safe_load((REPO / "dvc.yaml").read_text())
TARGETS = sorted(path.stem for path in (REPO / "conf" / "target").glob("*.yaml"))


def script_of(stage: str) -> Path:
    # `inspect.py` would stand in for the standard library's module
    return REPO / "pipelines" / ("inspect_.py" if stage == "inspect" else f"{stage}.py")


def test_a_stage_is_one_word_in_five_places() -> None:
    assert tuple(PIPELINE["stages"]) == STAGES
    assert {path.stem.rstrip("_") for path in (REPO / "pipelines").glob("*.py")} == set(STAGES)
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
        written = [next(iter(out)) for out in PIPELINE["stages"][stage]["outs"]]
        assert "experiments/${item.target}/" + outputs.get(stage, f"{stage}/record.json") in written
        assert f"| `{stage}` |" in readme


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_asks_one_question_in_both_places(stage: str) -> None:
    module = (REPO / "src/openassay/stages" / f"{stage}.py").read_text()
    question = (ast.get_docstring(ast.parse(module)) or "").split("?")[0] + "?"
    assert " ".join(question.split()) == PIPELINE["stages"][stage]["desc"]


def imported_files(start: Path) -> set[str]:
    """Every file of the package that a script imports, directly or not."""
    found: set[Path] = set()
    todo = [start]
    while todo:
        path = todo.pop()
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            for name in names:
                if name.split(".")[0] != "openassay":
                    continue
                parts = name.split(".")
                # importing a.b.c runs a/__init__.py and a/b/__init__.py too
                for end in range(1, len(parts) + 1):
                    base = REPO / "src" / Path(*parts[:end])
                    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
                        if candidate.is_file() and candidate not in found:
                            found.add(candidate)
                            todo.append(candidate)
    return {path.relative_to(REPO).as_posix() for path in found}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_all_code_that_it_imports_and_no_other(stage: str) -> None:
    listed = [dep for dep in PIPELINE["stages"][stage]["deps"] if dep.startswith("src/")]
    imported = imported_files(script_of(stage))
    missing = {file for file in imported if not any(file == dep or file.startswith(dep + "/") for dep in listed)}
    assert not missing
    unused = {dep for dep in listed if not any(file == dep or file.startswith(dep + "/") for file in imported)}
    assert not unused
    assert script_of(stage).relative_to(REPO).as_posix() in PIPELINE["stages"][stage]["deps"]


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
    """The README's picture has the edges that dvc.yaml has."""
    readme = (REPO / "README.md").read_text()
    picture = re.search(r"```mermaid\n(.*?)```", readme, re.DOTALL)
    assert picture
    drawn = set(re.findall(r"(\w+) --> (\w+)", picture.group(1)))
    made = {}
    for stage, parts in PIPELINE["stages"].items():
        for out in [*parts["outs"], *parts.get("metrics", []), *parts.get("plots", [])]:
            made[next(iter(out))] = stage
    edges = set()
    for stage, parts in PIPELINE["stages"].items():
        files = [dep for dep in parts["deps"] if dep.startswith("experiments/")]
        files += [next(iter(entry)) for entry in parts.get("params", []) if isinstance(entry, dict)]
        for file in files:
            maker = next(maker for out, maker in made.items() if file == out or file.startswith(out + "/"))
            edges.add((maker, stage))
    assert drawn == edges
