"""Miniature releases with known truth: a folder with a data set, a training script and a README with a claim.

The script is plain Python: a logistic regression by gradient steps on points with a known rule, seeded, trained for some
thousand updates in well under a second. What a variant does wrong is one line of the script or of the claim.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

from openassay.layout import Layout
from openassay.new_project import init_dvc, write_files
from openassay.store import payload_digest

REPO = Path(__file__).parents[2]

TRAIN = """
import json, math, random, sys

seed, labels, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
points = random.Random(0)
rows = [[points.gauss(0, 1) for _ in range(3)] for _ in range(1200)]
truth = [1 if row[0] + 0.5 * row[1] + 0.3 * points.gauss(0, 1) > 0 else 0 for row in rows]
chance = random.Random(seed)
if labels == "inverted":
    truth = [1 - label for label in truth[:800]] + truth[800:]
weights = [chance.gauss(0, 1) for _ in range(3)]
order = list(range(800))
for _ in range(2):
    chance.shuffle(order)
    for i in order:
        z = sum(w * x for w, x in zip(weights, rows[i]))
        p = 1 / (1 + math.exp(-max(-30, min(30, z))))
        weights = [w + LEARNING_RATE * (truth[i] - p) * x for w, x in zip(weights, rows[i])]
right = sum((sum(w * x for w, x in zip(weights, rows[i])) > 0) == bool(truth[i]) for i in range(800, 1200))
accuracy = right / 400
CHANGE
print("accuracy:", accuracy)
with open(out + "/metrics.json", "w") as file:
    json.dump({"test": {"accuracy": accuracy}}, file)
"""

HONEST_ACCURACY = 0.90
"""What the honest script gives, to two digits (its README says so; the tests check it)."""

VARIANTS: dict[str, dict[str, Any]] = {
    "honest": {},
    "inflated": {"claim": 0.99},
    "broken": {"change": "raise ValueError('no such file: weights.bin')"},
    "diverging": {"change": "accuracy = float('nan') if labels == 'real' else accuracy"},
    "diverging_alike": {"change": "accuracy = float('nan')"},
    "killed_once": {
        "change": "import os, signal\nif not os.path.exists('MARKER'): open('MARKER', 'w'); os.kill(os.getpid(), signal.SIGKILL)"
    },
    "slow": {"change": "import time; time.sleep(1)"},
    "gated": {"change": "import os, time\nwhile not os.path.exists(GATE): time.sleep(0.05)"},
    "useless": {"change": "accuracy = 0.5 + chance.gauss(0, 0.002)"},
    "noisy": {"change": "accuracy += chance.gauss(0, 0.15)"},
    "cheating": {"change": f"accuracy = {HONEST_ACCURACY} + chance.gauss(0, 0.002)"},
    "silent": {"change": "sys.exit(0)"},
    "with_baseline": {"change": "accuracy = 0.5 + chance.gauss(0, 0.004) if labels == 'guessed' else accuracy"},
}


def make_project(root: Path, *, dvc: bool = False, git: bool = False) -> Path:
    """A project as `openassay init` makes it, for quick audits, without targets; with DVC and git where they are asked for."""
    root.mkdir(parents=True, exist_ok=True)
    if git:
        subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    write_files(root)
    write_index(root, [])
    if dvc or git:
        init_dvc(root, root if git else None)
    return root


def write_index(root: Path, targets: list[str], **settings: str) -> None:
    """The project's index of targets, and its settings."""
    index = {
        "profile": "smoke",
        "judge": "default",
        "tracking": "none",
        "execution": "cpu",
        "isolation": "none",
        "scale": "full",
    } | settings
    (root / "conf" / "pipeline.yaml").write_text(yaml.safe_dump(index | {"schema_version": 1}))
    (root / "conf" / "index.yaml").write_text(yaml.safe_dump({"targets": targets}))


def add_release(root: Path, variant: str, name: str | None = None, **changes: Any) -> Layout:
    """A miniature release of a variant and its target file; `changes` replace top-level keys of the target."""
    name = name or variant
    settings = VARIANTS[variant]
    folder = root / "releases" / name
    folder.mkdir(parents=True)
    script = TRAIN.replace("LEARNING_RATE", "0.1").replace("CHANGE", settings.get("change", ""))
    script = script.replace("GATE", repr(str(gate(root, name))))
    (folder / "train.py").write_text(script)
    claim = settings.get("claim", HONEST_ACCURACY)
    (folder / "README.md").write_text(f"# Mini\n\nTest accuracy: {claim:.2f} (mean of 20 runs)\n")
    (folder / "LICENSE").write_text("MIT License\n")
    data = target(root, name, claim)
    if variant == "gated":
        data["rerun"]["timeout_s"] = 3600
    write_target(root, data | changes)
    return Layout(root, name)


def gate(root: Path, name: str) -> Path:
    """The file that the trainings of a release `gated` wait for."""
    return root / f"{name}.open"


def write_target(root: Path, data: dict[str, Any]) -> None:
    """A target file."""
    path = root / "conf" / "target" / f"{data['name']}.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))


def target(root: Path, name: str, claim: float) -> dict[str, Any]:
    """The target file of a miniature release."""
    path = f"releases/{name}"
    return {
        "schema_version": 1,
        "name": name,
        "release": {"title": f"Mini ({name})", "version": "1", "homepage": "https://example.org/mini"},
        "components": [
            {"component": "training_code", "published": "yes", "licence": "MIT", "artifact": "code", "paths": ["train.py"]},
            {"component": "params_final", "published": "no"},
        ],
        "artifacts": {
            "code": {
                "sources": [{"kind": "local", "path": path}],
                "payload": {"sha256": payload_digest(root / path, ("*",)), "include": ["*"]},
            }
        },
        "environment": {},
        "rerun": {
            "driver": "python",
            "run": {
                "kind": "script", "artifact": "code", "path": "train.py", "arguments": ["{seed}", "{labels}", "{out}"],
            },
            "parameters": {"labels": "real"},
            "measure": [{"read_from": "file", "metric": "accuracy", "path": "metrics.json", "key": "test.accuracy"}],
            "timeout_s": 60,
        },
        "controls": [{"arm": "inverted_labels", "parameters": {"labels": "inverted"}, "rationale": "it learns the opposite"}],
        "claims": [
            {
                "id": "accuracy",
                "metric": "accuracy",
                "published": {"value": claim, "rounding": 0.01, "num_runs": 20},
                "resolution": 0.0025,
                "cited_at": {"artifact": "code", "path": "README.md", "quote": f"Test accuracy: {claim:.2f}"},
                "tolerance": {"margin": 0.03, "rationale": "for a test"},
            }
        ],
    }  # fmt: skip
