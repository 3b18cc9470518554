"""Reruns of a small native recipe are trained together, and each keeps a record of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from releases.miniature import add_release, make_project

from openassay.core.findings import FetchRecord, PrepareRecord
from openassay.core.rerun_records import Rerun, RerunsRecord
from openassay.drivers.job import save_arrays
from openassay.layout import Layout, cache_home
from openassay.plan import Plan
from openassay.records import read_record, to_plain
from openassay.stages import fetch, plan, rerun
from openassay.store import Store

NATIVE: dict[str, Any] = {
    "driver": "native", "metric": "accuracy", "taken_from": [],
    "recipe": {
        "train": {"x": "x", "y": "y"}, "test": {"x": "x_test", "y": "y_test"},
        "model": [{"layer": "linear", "inputs": 4, "outputs": 8}, {"layer": "relu"}, {"layer": "linear", "inputs": 8, "outputs": 2}],
        "loss": "cross_entropy", "optimizer": {"name": "adam", "learning_rate": 0.01},
        "batching": {"size": 20, "order": "shuffled"}, "steps": 61, "evaluation": {"metric": "accuracy", "every": 20, "at_step": 60},
    },
}  # fmt: skip
PREPARE = {"run": {"kind": "script", "artifact": "code", "path": "train.py", "arguments": ["{seed}", "real", "{out}"]}}
"""Never run here: the tests put the data where it would."""
CONTROLS = [{"arm": "shuffled", "permute": ["y"], "rationale": "labels without information"}]


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    root = make_project(tmp_path_factory.mktemp("project"))
    (root / "conf/profile").mkdir()
    (root / "conf/profile/odd.yaml").write_text("runs: 5\nbudget_s: 600\nexpensive_s: 60\ncontrol_runs: 3\n")
    made = add_release(root, "honest", "native", rerun=NATIVE, controls=CONTROLS, prepare=PREPARE)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    y = (x[:, 0] * x[:, 1] > 0).astype(np.int64)
    made.data.mkdir(parents=True)
    save_arrays(made.data, {"x": x[:200], "y": y[:200], "x_test": x[200:], "y_test": y[200:]})
    return made


@pytest.fixture(autouse=True)
def _in_project(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(layout.root)


@pytest.fixture
def asks(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many faithful reruns the claims ask for: a number in the place of the sequential test."""
    number = {"for": 5}
    monkeypatch.setattr(rerun, "wants_more", lambda of: len(of[0].values) < number["for"])
    used = property(lambda evidence: min(len(evidence.values), number["for"]))
    monkeypatch.setattr(rerun.Evidence, "num_used", used)
    return number


def run(layout: Layout, together: int, workers: int = 1) -> RerunsRecord:
    """The stage, on data that is there."""
    settings = ["profile=odd", "tracking=none", "execution=cpu"]
    settings += [f"execution.together={together}", f"execution.workers={workers}"]
    frozen: Plan = plan.run(layout, settings)
    store = Store(cache_home())
    fetched: FetchRecord = fetch.run(frozen, store, layout)
    prepared = PrepareRecord(
        status="done", reason="", arrays=(), files={}, checks=(), environment={}, log_tail="", cpu_s=0.0, findings=()
    )
    return rerun.run(frozen, fetched, prepared, store, layout)


def records(layout: Layout) -> dict[tuple[str, int], Rerun]:
    """Every rerun on disk."""
    found = (read_record(path, Rerun) for path in layout.folder.glob("rerun/*/*/record.json"))
    return {(of.arm, of.seed): of for of in found}


def results(layout: Layout) -> dict[tuple[str, int], Any]:
    """What each gave, without the times."""
    times = {"started_at": "", "duration_s": 0, "cpu_s": 0}
    return {key: to_plain(of) | times for key, of in records(layout).items()}


def when_written(layout: Layout, arm: str, seed: int) -> int:
    return (layout.rerun(arm, seed) / "record.json").stat().st_mtime_ns


def test_each_rerun_of_a_group_is_recorded_kept_and_made_again_with_its_group(
    layout: Layout, asks: dict[str, int]
) -> None:
    first = run(layout, together=4)
    assert {arm: len(of) for arm, of in first.identities.items()} == {"faithful": 5, "shuffled": 3}
    made = records(layout)
    groups = {key: of.together for key, of in made.items()}
    assert [groups["faithful", seed] for seed in range(5)] == [(0, 1), (0, 1), (2, 3), (2, 3), (4,)]
    assert [groups["shuffled", seed] for seed in range(3)] == [(0, 1, 2)] * 3
    assert len({of.identity for of in made.values()}) == 8
    assert made["faithful", 0].cpu_s == made["faithful", 1].cpu_s > 0
    assert {of.identity for of in made.values()} == {identity for of in first.identities.values() for identity in of}

    again = run(layout, together=4, workers=2)
    assert again.num_reused == 8
    assert again.identities == first.identities

    before, written = results(layout), {key: when_written(layout, *key) for key in made}
    Path(layout.rerun("faithful", 3) / "record.json").unlink()
    assert run(layout, together=4).num_reused == 6
    assert results(layout) == before  # bit for bit: who is trained with whom does not depend on what was there
    anew = {key for key in made if when_written(layout, *key) != written[key]}
    assert anew == {("faithful", 2), ("faithful", 3)}


def test_a_rerun_that_no_claim_asks_for_is_no_part_of_the_audit(layout: Layout, asks: dict[str, int]) -> None:
    asks["for"] = 3
    found = run(layout, together=2)
    assert len(found.identities["faithful"]) == 3
    assert (layout.rerun("faithful", 3) / "record.json").exists()  # it was trained with the third
    asks["for"] = 2
    assert len(run(layout, together=2).identities["faithful"]) == 2


def test_trained_alone_a_rerun_is_another_one_and_agrees(layout: Layout, asks: dict[str, int]) -> None:
    asks["for"] = 2
    together = run(layout, together=4)
    grouped = records(layout)
    alone = run(layout, together=1)
    assert alone.num_reused == 0
    assert not set(alone.identities["faithful"]) & set(together.identities["faithful"])
    for key, of in records(layout).items():
        if key[0] == "shuffled" or key[1] < 2:
            assert of.together == ()
            losses = [[loss for _, loss in one.curves["train_loss"]] for one in (of, grouped[key])]
            assert losses[0] == pytest.approx(losses[1], rel=1e-4)
            assert of.measurements[0].value == pytest.approx(grouped[key].measurements[0].value, abs=0.02)


def test_a_large_recipe_is_trained_alone(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openassay.training.recipe.SMALL", 10)
    monkeypatch.setattr(rerun, "wants_more", lambda *_, **__: False)
    run(layout, together=4)
    assert {of.together for key, of in records(layout).items() if key[0] == "shuffled"} == {()}
