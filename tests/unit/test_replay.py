"""The replay's statistics and its verdict, on numbers made for the purpose."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openassay.core.replay import (
    LIMITS,
    Standing,
    Statistics,
    before_rounding,
    floors,
    has_evidence,
    judge_replay,
    loss_rms,
    round_to,
    weight_statistics,
    with_rounding_of_log,
)
from openassay.core.verdict_records import Outcome

FLOOR: Statistics = {("distance", 64): 0.016, ("log_norm_ratio", 64): 1e-4, ("loss_rms", 64): 2e-4}
WRONG = {"learning rate x1.1": {("loss_rms", 64): 0.1}}


def verdict(values: Statistics, floor: Statistics = FLOOR, **more: object):
    return judge_replay(values, [floor] * 3, **{"controls": WRONG, **more})


def scaled(factor: float) -> Statistics:
    return {key: factor * value for key, value in FLOOR.items()}


def test_a_replay_within_the_floor_matches() -> None:
    found = verdict(scaled(1.0))
    assert found.standing is Standing.MATCHES
    assert found.outcome is Outcome.REPRODUCED


@pytest.mark.parametrize("statistic", ["distance", "log_norm_ratio", "loss_rms"])
def test_one_statistic_beyond_floor_and_limit_is_enough_to_differ(statistic: str) -> None:
    found = verdict({**scaled(1.0), (statistic, 64): 3.5 * max(FLOOR[statistic, 64], LIMITS[statistic] / 3)})
    assert found.standing is Standing.DIFFERS
    assert found.outcome is Outcome.NOT_REPRODUCED
    assert found.reasons[0].startswith(statistic)


def test_more_than_our_rounding_but_less_than_other_hardwares_is_inconclusive() -> None:
    exact = {key: value / 1000 for key, value in FLOOR.items()}
    found = verdict(scaled(1.0), exact)
    assert found.standing is Standing.INCONCLUSIVE
    assert "other hardware" in found.reasons[0]


def test_a_comparison_that_cannot_fail_does_not_match() -> None:
    assert verdict(scaled(1.0), controls={}).standing is Standing.INCONCLUSIVE
    blind = verdict(scaled(1.0), controls={"another order": scaled(2.0)})
    assert blind.standing is Standing.INCONCLUSIVE
    assert "another order" in blind.reasons[0]


def test_two_replicas_make_no_floor() -> None:
    assert judge_replay(scaled(9.0), [FLOOR] * 2, controls=WRONG).standing is Standing.INCONCLUSIVE


def test_a_difference_under_a_guessed_recipe_is_not_the_releases() -> None:
    found = verdict(scaled(100.0), assumed=("optimizer.eps",))
    assert found.standing is Standing.INCONCLUSIVE
    assert "optimizer.eps" in found.reasons[0]


def test_where_storage_drowns_the_updates_weights_say_nothing() -> None:
    coarse = {**FLOOR, ("distance", 4): 0.76, ("log_norm_ratio", 4): 0.01}
    found = verdict({**scaled(1.0), ("distance", 4): 5.0, ("log_norm_ratio", 4): 2.0}, coarse)
    assert found.standing is Standing.MATCHES
    assert "step 4" in found.reasons[-1]
    assert not has_evidence(("log_norm_ratio", 4), coarse)


def test_a_diverged_floor_says_nothing_and_a_diverged_replay_differs() -> None:
    assert verdict(scaled(1.0), dict.fromkeys(FLOOR, math.inf)).standing is Standing.INCONCLUSIVE
    assert verdict({**scaled(1.0), ("loss_rms", 64): math.inf}).standing is Standing.DIFFERS


@given(st.permutations(range(5)))
def test_the_floor_is_the_largest_whatever_the_order(order: list[int]) -> None:
    replicas = [scaled(factor) for factor in (1.0, 0.5, 2.0, 0.1, 1.5)]
    assert floors([replicas[at] for at in order]) == scaled(2.0)


def test_rounded_losses_raise_the_floor_of_losses_only() -> None:
    rounded = with_rounding_of_log(FLOOR, 0.01)
    assert rounded["loss_rms", 64] == pytest.approx(math.hypot(2e-4, 0.01 / math.sqrt(12)))
    assert rounded["distance", 64] == FLOOR["distance", 64]


def test_weights_are_compared_in_units_of_what_the_release_moved() -> None:
    start = {"a": np.zeros(4, np.float32), "b": np.ones((2, 2), np.float32)}
    theirs = {"a": start["a"] + 1, "b": start["b"]}
    ours = {"a": start["a"] + 2, "b": start["b"]}
    distance, ratio = weight_statistics(ours, theirs, start)
    assert distance == pytest.approx(1.0)
    assert ratio == pytest.approx(math.log(2))
    assert weight_statistics(theirs, theirs, start) == (0.0, 0.0)
    assert weight_statistics(start, start, start) == (0.0, 0.0)
    assert weight_statistics(ours, start, start) == (math.inf, math.inf)


def test_losses_that_are_no_numbers_are_infinitely_far() -> None:
    assert loss_rms([1.0, 2.0], [1.0, 2.3]) == pytest.approx(0.3 / math.sqrt(2))
    assert loss_rms([1.0, math.nan], [1.0, 2.0]) == math.inf


@pytest.mark.parametrize("stored", ["fp16", "bf16"])
@given(seed=st.integers(0, 99), scale=st.sampled_from([1e-4, 0.02, 1.0, 300.0]))
def test_what_the_training_may_have_begun_with_is_stored_as_what_is_published(stored, seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    published = round_to(rng.standard_normal(200) * scale, stored)
    before = before_rounding(published, stored, rng)
    assert np.mean(before != published) > 0.9
    # at a power of two the numbers below are closer together
    assert np.mean(round_to(before, stored) == published) > 0.97


def test_bf16_rounds_as_torch_does() -> None:
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(0).standard_normal(5000).astype(np.float32) * np.float32(3)
    assert np.array_equal(round_to(values, "bf16"), torch.tensor(values).bfloat16().float().numpy())


def test_constant_tensors_are_not_displaced() -> None:
    ones = np.ones(8, np.float32)
    assert np.array_equal(before_rounding(ones, "fp16", np.random.default_rng(0)), ones)
