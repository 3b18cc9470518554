"""Released weights under lm-evaluation-harness, from the registry, in an environment of their own: about 2 GB and some minutes.

Run by `make harness`. The honest number is that of a plain loop without any harness (`releases/weights.py`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from releases.miniature import add_release, make_project
from releases.stages import audit
from releases.weights import ITEMS, TASK, accuracy, make_weights

from openassay.core.verdict import headline
from openassay.core.verdict_records import Outcome

pytestmark = pytest.mark.skipif(not os.environ.get("OPENASSAY_HARNESS"), reason="make harness")

GLUE = """
import pathlib, sys, os, shutil, subprocess

def evaluate(weights, out, prompt):
    task = pathlib.Path(out, "task")
    task.mkdir()
    text = pathlib.Path(weights, "task.yaml").read_text().replace("PATH", weights).replace("PROMPT", prompt)
    (task / "colours.yaml").write_text(text)
    command = [sys.executable, "-m", "lm_eval", "--model", "hf", "--model_args", "pretrained=" + weights, "--tasks", "colours",
               "--include_path", str(task), "--output_path", out + "/results", "--device", "cpu", "--batch_size", "64"]
    environment = dict(os.environ, HF_HUB_OFFLINE="1", HF_HOME=out + "/cache", HF_DATASETS_CACHE=out + "/cache/datasets")
    subprocess.run(command, check=True, env=environment)
"""


def claim(name: str, printed: float, **more: Any) -> dict[str, Any]:
    return {
        "id": name, "metric": "acc", "unit": "percent", "published": {"value": round(printed, 2), "rounding": 0.01},
        "cited_at": {"artifact": "weights", "path": "README.md", "quote": "Accuracy"}, "evaluated": {"items": ITEMS, **more},
        "tolerance": {"margin": 1.0, "rationale": "for a test"},
    }  # fmt: skip


def test_weights_are_held_to_their_number_under_the_harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project(tmp_path / "project")
    monkeypatch.chdir(project)
    folder = project / "releases" / "weights"
    make_weights(folder)
    (folder / "task.yaml").write_text(TASK)
    (folder / "README.md").write_text("Accuracy\n")
    (project / "conf" / "target" / "glue").mkdir(parents=True, exist_ok=True)
    (project / "conf" / "target" / "glue" / "weights_eval.py").write_text(GLUE)
    honest, other = accuracy(folder), accuracy(folder, "{text}")
    error = 100 * ((honest / 100) * (1 - honest / 100) / (ITEMS - 1)) ** 0.5
    assert honest > 60 > other + 20  # it has learnt the rule, and only for its own prompt

    def audited(name: str, prompt: str, *claims: dict[str, Any]) -> list[str]:
        layout = add_release(
            project, "honest", name, rerun=None, controls=[], prepare=None, not_rerun_because="weights only", glue="weights_eval.py", components=[],
            artifacts={"weights": {"sources": [{"kind": "local", "path": "releases/weights"}], "payload": payload(folder)}},
            environment={"requirements": ["lm_eval[hf]==0.4.13", "torch==2.13.0"]},
            evaluate={
                "run": {"kind": "glue", "function": "evaluate", "arguments": {"weights": "{artifact:weights}", "out": "{out}", "prompt": "{prompt}"}},
                "parameters": {"prompt": prompt},
                "measure": [{"read_from": "file", "path": "results/**/results_*.json", "key": "results.colours.acc,none", "metric": "acc", "scale": 100}],
            },
            claims=list(claims),
        )  # fmt: skip
        verdict = audit(layout)
        assert verdict.outcome is Outcome.NOT_ATTEMPTED  # nothing was trained
        return [headline(of) for of in verdict.claims]

    weaker = "evaluated · self-reported, unprotected"
    asked = "question {{text}} is"
    assert audited("asked", asked, claim("honest", honest), claim("inflated", honest + 3 * error)) == [
        f"REPRODUCED · {weaker}", "NOT_REPRODUCED · evaluated",
    ]  # fmt: skip
    assert audited("alone", asked, claim("inflated_by_two", honest + 2 * error)) == ["NOT_REPRODUCED · evaluated"]
    assert audited("otherwise", "{{text}}", claim("other_prompt", honest, differs="the prompt is not published")) == [
        "INCONCLUSIVE · evaluated · protocol",
    ]  # fmt: skip


def payload(folder: Path) -> dict[str, Any]:
    from openassay.store import payload_digest

    include = ["*.json", "*.jsonl", "*.yaml", "*.safetensors", "*.md"]
    return {"sha256": payload_digest(folder, tuple(include)), "include": include}
