"""What a target may say of labels that are handed over, renamed or withheld, and of weights; and what its verdicts then rest on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from releases.cheats import target, write_release
from releases.miniature import make_project, write_target

from openassay.core.axes import probe
from openassay.core.verdict import weaker
from openassay.core.verdict_records import Outcome
from openassay.drivers.published_code import PublishedCode
from openassay.layout import Layout
from openassay.target import Target, look_over_target

TRAIN = {"path": "data/train.csv", "key": "label"}
Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_project(tmp_path_factory.mktemp("project"))
    write_release(root / "releases" / "cheat", "")
    (root / "releases" / "weights").mkdir()
    np.savez(root / "releases" / "weights" / "model.npz", w=np.ones((8, 16)))
    return root


def looked(project: Path, change: Change | None = None) -> tuple[Target | None, list[str]]:
    data = target(project, "cheat", project / "releases" / "weights", 0.9)
    if change:
        change(data)
    write_target(project, data)
    return look_over_target(Layout(project, "cheat"))


def test_the_target_of_the_cheats_is_sound(project: Path) -> None:
    found, problems = looked(project)
    assert problems == []
    assert found is not None
    assert isinstance(found.rerun, PublishedCode)
    assert found.rerun.basis("accuracy") == ("measured",)
    assert found.rerun.shown_artifacts() == {"code"}


REFUSED: dict[str, tuple[Change, str]] = {
    "an array of a command": (lambda t: t["controls"][0].update(permute=["y"]), "controls.0.permute: the command driver has no prepared arrays"),
    "a control that is renamed": (lambda t: t["controls"][0].update(relabel=[dict(TRAIN)]), "controls.0.relabel: a recipe with renamed classes is not broken"),
    "renamed and lower": (lambda t: t["probes"][0].update(expects="lower"), "probes.0.relabel: it goes with `expects: same`"),
    "renamed and changed": (
        lambda t: t["probes"][0].update(edit=[{"path": "train.py", "find": "a", "replace": "b"}]), "and with no other change",
    ),
    "same of nothing renamed": (
        lambda t: t["probes"][0].update(relabel=[], permute=[dict(TRAIN)]), "probes.0.relabel: it goes with `expects: same`",
    ),
    "a number of its own": (
        lambda t: t["rerun"].update(measure=[{"metric": "accuracy", "read_from": "stdout", "pattern": "(1)"}]), "undone in predictions, of accuracy",
    ),
    "arrays of a command": (
        lambda t: t["rerun"]["measure"][0].update(predictions="p"), "name the files of predictions and labels of 'accuracy'",
    ),
    "labels in reach by another way": (
        lambda t: t["rerun"]["run"].update(environment={"DATA": "{artifact:code}"}), "are withheld, and the run is shown code whole",
    ),
    "weights in reach": (
        lambda t: t["rerun"]["weights"]["released"].update(artifact="code"), "the run names code too, and could copy the weights",
    ),
    "weights of nothing": (
        lambda t: t["rerun"]["weights"]["released"].update(artifact="gone"), "rerun.weights.released.artifact: there is no artifact 'gone'",
    ),
    "another margin": (lambda t: t["claims"][0].update(testable=False), "whose margin says what counts as same"),
    "an evaluation without labels": (
        lambda t: t.update(evaluate={
            "run": {"kind": "script", "artifact": "code", "path": "train.py"},
            "measure": [{"read_from": "predictions", "metric": "m", "predictions": "p", "labels": "y", "of": "accuracy", "withheld": True}],
        }),
        "evaluate.measure.withheld: only reruns",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_with_its_key(name: str, project: Path) -> None:
    change, says = REFUSED[name]
    problems = looked(project, change)[1]
    assert any(says in problem for problem in problems), problems


def test_labels_in_reach_and_numbers_of_the_codes_own_are_said(project: Path) -> None:
    in_reach, _ = looked(project, lambda t: t["rerun"]["measure"][0].pop("withheld"))
    printed, _ = looked(project, lambda t: (t.update(probes=[]), t["rerun"].update(measure=[{"metric": "accuracy", "read_from": "stdout", "pattern": "(1)"}])))  # fmt: skip
    assert in_reach is not None
    assert printed is not None
    assert isinstance(in_reach.rerun, PublishedCode)
    assert isinstance(printed.rerun, PublishedCode)
    assert in_reach.rerun.basis("accuracy") == ("measured", "labels_in_reach")
    assert printed.rerun.basis("accuracy") == ("self_reported",)


def test_only_a_reproduced_claim_has_words_of_what_it_rests_on() -> None:
    assert weaker(Outcome.REPRODUCED, ("measured",)) == ""
    assert weaker(Outcome.REPRODUCED, ("self_reported", "unprotected")) == " · self-reported, unprotected"
    assert weaker(Outcome.NOT_REPRODUCED, ("self_reported",)) == ""


@pytest.mark.parametrize(
    ("changed", "outcome"),
    [((0.9, 0.9), "as predicted"), ((0.1, 0.11), "opposite"), ((0.9, None), "not shown"), ((0.7, 0.95), "not shown")],
)
def test_a_renamed_recipe_gives_the_same_or_something_else(changed: tuple[float | None, ...], outcome: str) -> None:
    found = probe(
        arm="a",
        of="faithful",
        metric="m",
        expects="same",
        changed=changed,
        faithful=(0.905, 0.9),
        alpha=0.05,
        margin=0.04,
    )
    assert found.outcome == outcome
