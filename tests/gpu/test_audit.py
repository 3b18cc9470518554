"""Whole audits on a GPU: several worker processes share the card, forked by a server that has imported torch's users."""

from __future__ import annotations

import sysconfig
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from releases.miniature import add_release, make_project, write_target
from releases.stages import audit

from openassay.core.rerun_records import Rerun
from openassay.core.verdict_records import Outcome
from openassay.layout import Layout
from openassay.records import file_digest, read_record
from openassay.store import payload_digest

PREPARE = """
import sys, numpy as np
rng = np.random.default_rng(0)
x = rng.normal(size=(1500, 8))
y = (x[:, 0] * x[:, 1] + 0.3 * rng.normal(size=1500) > 0).astype("int64")
np.savez(sys.argv[1] + "/data.npz", x=x[:1000], y=y[:1000], x_test=x[1000:], y_test=y[1000:])
"""
RECIPE: dict[str, Any] = {
    "train": {"x": "x", "y": "y"}, "test": {"x": "x_test", "y": "y_test"},
    "model": [{"layer": "linear", "inputs": 8, "outputs": 64}, {"layer": "relu"}, {"layer": "linear", "inputs": 64, "outputs": 2}],
    "loss": "cross_entropy", "optimizer": {"name": "adam", "learning_rate": 0.01},
    "batching": {"size": 50, "order": "shuffled"}, "steps": 401, "evaluation": {"metric": "accuracy", "every": 100, "at_step": 400},
}  # fmt: skip

TRAIN = """
import argparse, torch
parser = argparse.ArgumentParser()
parser.add_argument("--device", default="cuda")
parser.add_argument("--steps", type=int, default=400)
given = parser.parse_args()
torch.manual_seed(1337)
data = torch.Generator().manual_seed(0)
x = torch.randn(1500, 8, generator=data)
y = (x[:, 0] * x[:, 1] + 0.3 * torch.randn(1500, generator=data) > 0).long()
x, y = x.to(given.device), y.to(given.device)
model = torch.nn.Sequential(torch.nn.Linear(8, 64), torch.nn.ReLU(), torch.nn.Linear(64, 2)).to(given.device)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for step in range(given.steps):
    rows = torch.randint(1000, (50,), device=given.device)
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
    optimizer.step()
right = (model(x[1000:]).argmax(1) == y[1000:]).float().mean()
print("accuracy: %.3f on %s" % (right, next(model.parameters()).device))
"""


def packages_of_here(folder: Path) -> Path:
    """A wheel that lends an environment the packages of the Python that runs the tests: no index need have a torch for this GPU."""
    about = "packages_of_here-1.0.dist-info/"
    path = folder / "packages_of_here-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("packages_of_here.pth", sysconfig.get_path("purelib") + "\n")
        wheel.writestr(about + "METADATA", "Metadata-Version: 2.1\nName: packages-of-here\nVersion: 1.0\n")
        wheel.writestr(
            about + "WHEEL", "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(about + "RECORD", "")
    return path


def target(root: Path, rerun: dict[str, Any], controls: list[dict[str, Any]]) -> Layout:
    """A release whose README claims what its training gives (0.77 to 0.79 for both, on a CPU)."""
    layout = add_release(root, "honest", "mini")
    folder = root / "releases" / "mini"
    (folder / "train.py").write_text(TRAIN)
    (folder / "prepare.py").write_text(PREPARE)
    (folder / "README.md").write_text("Test accuracy: 0.78\n")
    (folder / "LICENSE").write_text("MIT License\n")
    wheel = packages_of_here(root)
    write_target(root, {
        "schema_version": 1, "name": "mini",
        "release": {"title": "Mini", "version": "1", "homepage": "https://example.org/mini"},
        "artifacts": {
            "code": {
                "sources": [{"kind": "local", "path": "releases/mini"}],
                "payload": {"sha256": payload_digest(folder, ("*",)), "include": ["*"]},
            },
            "packages": {"sources": [{"kind": "local", "path": str(wheel), "sha256": file_digest(wheel)}]},
        },
        "environment": {"install": ["packages"]},
        "rerun": rerun,
        "controls": controls,
        "claims": [{
            "id": "accuracy", "metric": "accuracy", "published": {"value": 0.78, "rounding": 0.01},
            "cited_at": {"artifact": "code", "path": "README.md", "quote": "Test accuracy: 0.78"},
            "tolerance": {"margin": 0.05, "rationale": "for a test"},
        }],
    } | ({"prepare": {"run": {"kind": "script", "artifact": "code", "path": "prepare.py", "arguments": ["{out}"]}}}
         if rerun["driver"] == "native" else {}))  # fmt: skip
    return layout


NATIVE = {"driver": "native", "metric": "accuracy", "taken_from": [], "recipe": RECIPE}
COMMANDS = {
    "driver": "command",
    "run": {"artifact": "code", "steps": [["python", "train.py", "--device={device}", "--steps={steps}"]], "reseed": True},
    "parameters": {"steps": 400},
    "measure": [{"read_from": "stdout", "metric": "accuracy", "pattern": r"^accuracy: ([\d.]+)"}],
    "timeout_s": 600,
}  # fmt: skip


@pytest.mark.parametrize("driver", ["native", "command"])
def test_an_audit_on_a_gpu_gives_the_verdict_of_a_cpu(
    driver: str, device: str, figure: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    controls = {
        "native": [{"arm": "shuffled", "permute": ["y"], "rationale": "labels without information"}],
        "command": [{"arm": "no_steps", "parameters": {"steps": 0}, "rationale": "nothing is learned"}],
    }[driver]
    found: dict[str, list[Rerun]] = {}
    for n, where in enumerate(("cpu", device)):
        layout = target(make_project(tmp_path / str(n)), NATIVE if driver == "native" else COMMANDS, controls)
        monkeypatch.chdir(layout.root)
        started = time.monotonic()
        verdict = audit(layout, [
            "profile=smoke", "judge=default", "tracking=none", "execution=cpu",
            f"execution.device={where}", "execution.workers=3",
        ])  # fmt: skip
        took = time.monotonic() - started
        assert verdict.outcome is Outcome.REPRODUCED, verdict.reason
        assert [control.caught for control in verdict.controls] == [True]
        found[where] = [read_record(path, Rerun) for path in sorted(layout.folder.glob("rerun/faithful/*/record.json"))]
        assert {of.environment["device"] for of in found[where]} == {where}
        values = ", ".join(str(of.measurements[0].value) for of in found[where])
        figure(f"{driver} audit on {where}, three workers", f"{values}; {took:.0f} s")
        if driver == "command":
            assert all(f"on {where}" in of.log_tail for of in found[where])
