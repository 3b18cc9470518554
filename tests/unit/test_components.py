"""Components are recognised by what files hold, each with its reason, and a name alone is not enough."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from releases.small import MIT, NEOX, harness, many, release, safetensors, write

from openassay.checks.components import DETECTORS, detect
from openassay.checks.inspection import inspect_folder, merge_checks, merge_detected, top_of
from openassay.core.openness_records import ComponentName

WEIGHTS = safetensors(w=np.ones(3, np.float32))
TRAINS = "def train(model, loss, optimizer):\n    loss.backward()\n    optimizer.step()\n"

CASES: dict[str, tuple[dict[str, Any], str]] = {
    "model_architecture": ({"model.py": "import torch.nn as nn\nclass GPT(nn.Module):\n    pass\n"}, "network GPT"),
    "data_preprocessing_code": ({"tokenize_data.py": "def main():\n    pass\n"}, "preparation of data"),
    "training_code": ({"run.py": TRAINS}, "optimization steps"),
    "inference_code": ({"x.py": "class A:\n    def predict(self):\n        pass\n"}, "defines generate or predict"),
    "evaluation_code": ({"evaluate.py": "def main():\n    pass\n"}, "evaluation"),
    "supporting_libraries": ({"requirements.txt": "torch\n"}, "packages"),
    "params_final": ({"model.safetensors": WEIGHTS}, "1 tensors"),
    "params_intermediate": ({"step1/m.safetensors": WEIGHTS, "step2/m.safetensors": WEIGHTS}, "step 1"),
    "datasets": ({"data/train.jsonl": json.dumps({"token_ids": [1, 2]}) + "\n"}, "tokenised items"),
    "evaluation_data": ({"data/test.jsonl": json.dumps({"text": "x"}) + "\n"}, "data file"),
    "model_metadata": ({"config.json": {"model_type": "gpt_neox", "hidden_size": 8}}, "gpt_neox"),
    "sample_outputs": ({"sample_outputs/a.txt": "x"}, "output"),
    "model_card": ({"README.md": "---\nlicense: mit\npipeline_tag: text-generation\n---\n"}, "front matter"),
    "data_card": ({"README.md": "---\nlicense: mit\ntask_categories: [x]\n---\n"}, "data card"),
    "technical_report": ({"technical_report.pdf": b"%PDF-1.7"}, "report"),
    "research_paper": ({"paper.pdf": b"%PDF-1.7"}, "paper"),
    "evaluation_results": ({"r.json": harness("org/m", 5, many())}, "24 results of org/m"),
    "recipe": ({"m.yml": NEOX}, "learning_rate"),
    "training_logs": ({"loss.csv": "step,loss\n" + "".join(f"{i},1\n" for i in range(9))}, "9 steps"),
}  # fmt: skip


def found(folder: Path, name: str) -> Any:
    return next(c for c in inspect_folder(folder).detected if c.component == name)


def test_every_component_has_a_detector_and_a_case() -> None:
    assert set(DETECTORS) == set(CASES) == set(get_args(ComponentName))


@pytest.mark.parametrize("name", CASES)
def test_a_component_is_recognised_with_its_reason_and_digest(name: str, tmp_path: Path) -> None:
    files, why = CASES[name]
    component = found(write(tmp_path, {**files, "LICENSE": MIT}), name)
    assert (component.found, component.reachable) == ("found", "yes")
    assert why in component.files[0].why
    assert component.files[0].sha256
    assert len(component.files[0].date) == 10
    assert component.terms.startswith("MIT (LICENSE)")


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("params_final", {"model.safetensors": "not weights"}),
        ("params_final", {"optimizer.pt": b"PK\x03\x04"}),
        ("params_intermediate", {"step1/m.safetensors": WEIGHTS}),
        ("training_code", {"train.py": "x = 1\n"}),
        ("training_code", {"tests/test_train.py": TRAINS}),
        ("recipe", {"config.yaml": "name: x\n"}),
        ("research_paper", {"paper.pdf": "not a pdf"}),
        ("model_card", {"README.md": "# A library\n"}),
        ("evaluation_results", {"r.json": {"results": {"a": 1}}}),
    ],
)
def test_a_name_alone_is_no_component(name: str, files: dict[str, Any], tmp_path: Path) -> None:
    assert found(write(tmp_path, files), name).found == "not seen"


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("params_final", {"model.safetensors": "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"}),
        ("params_intermediate", {"c.csv": "Step,URL\n1,https://a.org/step1\n2,https://a.org/step2\n"}),
        ("research_paper", {"README.md": "See https://arxiv.org/abs/2304.01373\n"}),
        ("datasets", {"hashes.txt": f"a.bin {'0' * 64}\nb.bin {'1' * 64}\n"}),
    ],
)
def test_what_is_only_pointed_at_is_named_not_found(name: str, files: dict[str, Any], tmp_path: Path) -> None:
    component = found(write(tmp_path, files), name)
    assert (component.found, component.reachable) == ("named", "not asked")


def test_several_artifacts_make_one_table(tmp_path: Path) -> None:
    one = inspect_folder(
        write(tmp_path / "code", {"run.py": TRAINS, "a.yaml": "eps: 1e-8\n"}), declared={"training_code": "no"}
    )
    two = inspect_folder(write(tmp_path / "weights", {"model.safetensors": WEIGHTS, "b.yaml": "a: 1\n"}))
    merged = {c.component: c for c in merge_detected({"code": one.detected, "weights": two.detected})}
    assert merged["training_code"].files[0].path == "code: run.py"
    assert merged["training_code"].declared == "no"
    assert merged["params_final"].files[0].path == "weights: model.safetensors"
    checks = {c.check: c for c in merge_checks({"code": one.checks, "weights": two.checks})}
    assert checks["yaml_readers_differ"].outcome == "fail"
    assert checks["yaml_readers_differ"].problems[0].evidence[0].path == "code: a.yaml"
    assert checks["tokens_disagree"].outcome == "cannot be asked"


def test_the_only_folder_of_an_archive_is_its_top(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b", {"x.txt": "", "y.txt": ""})
    assert top_of(tmp_path) == tmp_path / "a" / "b"


def test_a_large_file_has_no_digest(tmp_path: Path) -> None:
    seen = detect(release(tmp_path, {"run.py": TRAINS}), {}, lambda _: None)
    assert next(c for c in seen if c.component == "training_code").files[0].sha256 is None
