"""Replays on a GPU of what a CPU trained, and the other way round: the honest are not accused, a planted defect is seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from releases import family
from releases import language as mini
from safetensors.numpy import save_file

from openassay.core.replay import Standing
from openassay.drivers.job import Arm, Job
from openassay.drivers.replay import ReplayDriver
from openassay.protocols.changes import Reshuffled
from openassay.protocols.prefix import PrefixReport, ReplayInputs, replay_prefix
from openassay.records import parse
from openassay.training.lm import LanguageTraining, initial_weights
from openassay.training.numerics import Numerics

STATED = mini.recipe()
AT = (8, 32)
KEEP = (0, *AT)
DEFECTS = ("beta2 0.999", "learning rate x1.1", "another order")


@cache
def release(defect: str = "", made_on: str = "cpu", precision: Any = "fp32") -> ReplayInputs:
    """The miniature, trained on a device; published is the recipe without the defect."""
    stated = replace(STATED, precision=precision)
    true, tokens = stated, mini.tokens()
    if defect == "beta2 0.999":
        true = replace(stated, optimizer=replace(stated.optimizer, betas=(0.9, 0.999)))
    elif defect == "learning rate x1.1":
        true = replace(stated, learning_rate=replace(stated.learning_rate, peak=3.3e-3, minimum=3.3e-4))
    elif defect == "another order":
        tokens = Reshuffled(tokens, 8 * AT[-1], 5)
    weights, losses = mini.train(true, tokens, 0, KEEP, numerics=Numerics(permuted=77), device=made_on)
    return mini.published(stated, mini.tokens(), weights, losses)


def replay(of: ReplayInputs, device: str, **numerics: Any) -> tuple[PrefixReport, float]:
    """The report, and the largest of its statistics in floors."""
    report = replay_prefix(of, updates=AT, probes=False, device=device, numerics=Numerics(**numerics))
    assert report.verdict is not None, report.problem
    return report, max(one.in_floors for one in report.verdict.statistics if one.used)


def said(report: PrefixReport, largest: float) -> str:
    seen = min(of.in_floors for of in report.exercise)
    return f"{report.verdict.standing.value}, {largest:.2g} floors; the controls {seen:.0f} and more"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_a_cpu_trained_matches_on_a_gpu(precision: str, device: str, figure: Callable[..., None]) -> None:
    report, largest = replay(release(), device, precision=precision)
    figure(f"made on the CPU in fp32, honest, replayed on the GPU in {precision}", said(report, largest))
    for one in report.verdict.statistics:
        if one.used:
            figure(
                f"  {one.statistic} at {one.horizon} ({precision}): value, floor", f"{one.value:.2g}, {one.floor:.2g}"
            )
    assert report.verdict.standing is not Standing.DIFFERS, report.verdict.reasons
    assert all(of.exercised for of in report.exercise)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_seen_on_a_gpu(
    defect: str, precision: str, device: str, figure: Callable[..., None]
) -> None:
    report, largest = replay(release(defect), device, precision=precision)
    figure(f"made on the CPU with {defect}, replayed on the GPU in {precision}", said(report, largest))
    assert report.verdict.standing is Standing.DIFFERS


@pytest.mark.parametrize("replayed_on", ["the GPU", "the CPU"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_a_gpu_trained_is_not_accused(
    precision: str, replayed_on: str, device: str, figure: Callable[..., None]
) -> None:
    where = device if replayed_on == "the GPU" else "cpu"
    report, largest = replay(release(made_on=device, precision=precision), where)
    figure(f"made on the GPU in {precision}, honest, replayed on {replayed_on}", said(report, largest))
    assert report.verdict.standing is not Standing.DIFFERS, report.verdict.reasons


@pytest.mark.parametrize("second_beta", [0.95, 0.999])
def test_the_replay_driver_judges_files_on_a_gpu(
    second_beta: float, device: str, figure: Callable[..., None], tmp_path: Path
) -> None:
    """A segment from a published checkpoint with its optimizer state, all read from files."""
    stated, rows, _ = family.files(tmp_path / "release", 40)
    true = replace(stated, optimizer=replace(stated.optimizer, betas=(0.9, second_beta)))
    training = LanguageTraining(true, initial_weights(true, 0), numerics=Numerics(permuted=5))
    for step in (16, 32):
        training.advance(family.in_order(rows), step)
        save_file(training.weights(), tmp_path / "release" / f"step{step}.safetensors")
        if step == 16:
            parts = {
                f"{name}.{part}": value
                for name, both in training.moments().items()
                for part, value in zip(("exp_avg", "exp_avg_sq"), both, strict=True)
            }
            save_file(parts, tmp_path / "release" / "optimizer.safetensors")
    lines = [f"{step + 1},{loss:.6f}" for step, loss in enumerate(training.log().losses)]
    (tmp_path / "release" / "losses.csv").write_text("\n".join(["Step,loss", *lines]))
    spec = {
        "driver": "replay", "protocol": "segment", "first": 16, "updates": [16], "exercise": False,
        "recipe": {"artifact": "all", "path": "mini.yml"}, "settings": family.SETTINGS,
        "tokens": {"artifact": "all", "layout": "preshuffled", "files": ["document.bin"]},
        "checkpoints": [
            {"step": 16, "artifact": "all", "path": "step16.safetensors",
             "optimizer": {"artifact": "all", "path": "optimizer.safetensors"}},
            {"step": 32, "artifact": "all", "path": "step32.safetensors"},
        ],
        "losses": {"artifact": "all", "path": "losses.csv", "step_is": "updates_done", "step_column": "Step",
                   "loss_column": "loss", "cited_at": {"url": "https://example.org/train.py"}},
    }  # fmt: skip
    job = Job(
        arm=Arm(), seed=0, data=None, artifacts={"all": str(tmp_path / "release")}, python=None, glue=None, out=tmp_path,
        device=device, threads=1, timeout_s=600,
    )  # fmt: skip
    done = parse(ReplayDriver, spec, "rerun").execute(job)
    assert done.records["replay"] is not None, done.reason
    largest = max(
        np.inf if of.in_floors is None else of.in_floors for of in done.records["replay"].statistics if of.used
    )
    figure(
        f"replay driver, a segment with optimizer state, beta2 {second_beta}",
        f"{done.records['replay'].standing}, {largest:.2g} floors",
    )
    assert done.device == device
    if second_beta == 0.95:
        assert done.records["replay"].standing != "DIFFERS"
    else:
        assert done.records["replay"].standing == "DIFFERS"
