"""A scaled-down rerun is held against something of its own scale, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from releases.miniature import REPO, make_project, write_target

from openassay.core.claims import Claim
from openassay.drivers.command import CommandDriver
from openassay.drivers.native import NativeDriver
from openassay.drivers.replay import ReplayDriver
from openassay.layout import Layout
from openassay.plan import Plan, make_plan
from openassay.target import Target, look_over_target, read_target


def target(name: str) -> Target:
    return read_target(Layout(REPO, name))


def plan(name: str, *asked: str) -> Plan:
    return make_plan(Layout(REPO, name), asked)


def with_curve(claim: Claim, *steps: int, **changes: Any) -> Claim:
    return replace(claim, curve=tuple((step, 10.0 + step / 1000) for step in steps), **changes)


def test_a_native_training_ends_at_the_last_step_that_the_published_curve_has() -> None:
    mlp = target("mnist1d_mlp")
    claims = (with_curve(mlp.claims[0], 0, 1000, 2000, 3000, 6000), *mlp.claims[1:])
    assert isinstance(mlp.rerun, NativeDriver)
    found = mlp.rerun.scaled_down(claims, 0.4, ())
    assert not isinstance(found, str)
    recipe, held = found
    assert (recipe.recipe.steps, recipe.recipe.evaluation.at_step) == (2001, 2000)
    assert (held[0].published.value, held[0].published.sd, held[0].curve) == (12.0, None, None)
    assert held[0].tolerance == claims[0].tolerance
    assert [claim.testable for claim in held] == [True, *([False] * (len(claims) - 1))]


def test_claims_are_held_at_a_step_that_all_their_curves_have() -> None:
    mlp = target("mnist1d_mlp")
    claims = (with_curve(mlp.claims[0], 500, 1000, 2000, 6000), with_curve(mlp.claims[1], 500, 1000, 3000, 6000))
    assert mlp.rerun
    found = mlp.rerun.scaled_down(claims, 0.5, ())
    assert not isinstance(found, str)
    recipe, held = found
    assert isinstance(recipe, NativeDriver)
    assert recipe.recipe.evaluation.at_step == 1000
    assert [claim.published.value for claim in held] == [11.0, 11.0]


@pytest.mark.parametrize("steps", [(6000,), (0, 6000), (333, 6000)])
def test_where_the_target_states_nothing_of_that_scale_nothing_is_rerun(steps: tuple[int, ...]) -> None:
    mlp = target("mnist1d_mlp")
    assert mlp.rerun
    problem = mlp.rerun.scaled_down((with_curve(mlp.claims[0], *steps),), 0.5, ())
    assert isinstance(problem, str)
    assert "the target states no published value of that scale" in problem


def test_a_planned_learning_rate_is_not_cut_short() -> None:
    mlp = target("mnist1d_mlp")
    assert isinstance(mlp.rerun, NativeDriver)
    cosine = replace(mlp.rerun.recipe, schedule=replace(mlp.rerun.recipe.schedule, name="cosine"))
    problem = replace(mlp.rerun, recipe=cosine).scaled_down((with_curve(mlp.claims[0], 1000),), 0.5, ())
    assert isinstance(problem, str)
    assert "planned for the whole training" in problem


def test_a_replay_keeps_the_horizons_that_it_reaches() -> None:
    assert isinstance(plan("pythia_14m").rerun, ReplayDriver)
    tenth = plan("pythia_14m", "scale=tenth")
    assert isinstance(tenth.rerun, ReplayDriver)
    assert tenth.rerun.updates == (16,)
    assert tenth.claims == plan("pythia_14m").claims
    assert "reaches none of its horizons" in (plan("pythia_14m", "scale.steps=0.01").not_rerun_because or "")


def test_published_code_of_which_no_shorter_training_is_published_is_not_scaled() -> None:
    half = plan("river_phishing", "scale=half")
    assert (half.rerun, half.controls, half.seeds.arms) == (None, (), {})
    assert "no published result of that scale (scaled_reruns)" in (half.not_rerun_because or "")


CITED = {"artifact": "code", "path": "log.txt", "quote": "step 500: val loss 2.31"}


def scaled(share: float, iters: int, value: float) -> dict[str, Any]:
    return {
        "what": f"{iters} updates", "reference": "the release's own log", "share": share, "parameters": {"iters": iters},
        "results": {"validation_loss": {"published": {"value": value, "rounding": 0.01}, "cited_at": dict(CITED)}},
    }  # fmt: skip


@pytest.fixture
def nanogpt(tmp_path: Path) -> Callable[..., Layout]:
    """The target nanogpt_shakespeare_char with other keys, in a project of its own."""

    def write(**changes: Any) -> Layout:
        root = make_project(tmp_path / "project")
        published = yaml.safe_load((REPO / "conf/target/nanogpt_shakespeare_char.yaml").read_text())
        write_target(root, published | changes)
        return Layout(root, published["name"])

    return write


def test_published_code_is_held_to_the_largest_published_result_of_that_scale(nanogpt: Callable[..., Layout]) -> None:
    none = {"what": "a smaller model", "reference": "no matched reference exists: no other is published"}
    layout = nanogpt(scaled_reruns=[scaled(0.05, 100, 3.1), scaled(0.25, 500, 2.31), scaled(0.6, 1200, 2.0), none])
    assert look_over_target(layout)[1] == []
    half = make_plan(layout, ("scale=half",))
    assert isinstance(half.rerun, CommandDriver)
    assert half.rerun.parameters == {"iters": 500}
    assert half.rerun.as_published is None
    (claim,) = half.claims
    assert (claim.published.value, claim.published.rounding, claim.tolerance.margin) == (2.31, 0.01, 0.05)
    assert claim.cited_at.quote == CITED["quote"]
    assert make_plan(layout, ()).claims[0].published.value == 1.88
    least = make_plan(layout, ("scale.steps=0.01",))
    assert least.rerun is None
    assert "no matched reference exists: no other is published" in (least.not_rerun_because or "")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"parameters": {"itres": 5}}, "scaled_reruns.0.parameters: the run has no {itres}: it would change nothing"),
        ({"parameters": {}}, "scaled_reruns.0.parameters: missing beside the others"),
        ({"results": {"loss": scaled(0.1, 1, 2.0)["results"]["validation_loss"]}}, "there is no claim 'loss' that is tested; there are: validation_loss"),
        ({"share": 1.5}, "scaled_reruns.0.share"),
    ],
)  # fmt: skip
def test_a_scaled_rerun_that_could_not_be_made_is_refused(
    nanogpt: Callable[..., Layout], change: dict[str, Any], says: str
) -> None:
    layout = nanogpt(scaled_reruns=[scaled(0.25, 500, 2.31) | change])
    assert any(says in problem for problem in look_over_target(layout)[1])


def test_a_full_scale_changes_no_plan_and_another_is_named() -> None:
    assert plan("pythia_14m", "scale=full").digest == plan("pythia_14m").digest
    assert plan("pythia_14m", "scale=tenth").digest != plan("pythia_14m").digest
    assert plan("pythia_14m", "scale.steps=0.2").scale.name == "full, steps 0.2"
