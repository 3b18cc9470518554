"""A slice of tests/calibration/replay.py: releases with known truth, replayed, probed and explained."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from releases import language as mini

from openassay.core.replay import Standing, round_to
from openassay.protocols.changes import Halved, Reshuffled, Skipped, changes
from openassay.protocols.explain import explain
from openassay.protocols.forensics import initialisation, inspect_checkpoints, largest_step
from openassay.protocols.ladder import ladder
from openassay.protocols.prefix import PrefixReport, ReplayInputs, available_horizons, replay_prefix
from openassay.protocols.segment import replay_segment
from openassay.training.lm import LanguageTraining, initial_weights
from openassay.training.numerics import ContiguousTokens, Numerics

STATED = mini.recipe(hidden=32, length=16, steps=256)
STATED = replace(STATED, architecture=replace(STATED.architecture, num_layers=1))
RNG = np.random.default_rng(0)
WORDS = RNG.choice(
    mini.VOCABULARY, 40_000, p=(1 / np.arange(1, mini.VOCABULARY + 1)) / (1 / np.arange(1, mini.VOCABULARY + 1)).sum()
)
TOKENS = ContiguousTokens(tokens=WORDS, item_length=17, stride=16)
KEEP = (0, 4, 8)
AT = (4, 8)
TRIED = ("beta2 0.999", "beta2 0.99", "learning rate x2", "no weight decay", "activation relu")


@cache
def trained(name: str = "honest") -> tuple[dict[int, dict[str, np.ndarray]], np.ndarray]:
    true, tokens = STATED, TOKENS
    if name == "beta2":
        true = replace(STATED, optimizer=replace(STATED.optimizer, betas=(0.9, 0.999)))
    if name == "learning rate":
        true = replace(STATED, learning_rate=replace(STATED.learning_rate, peak=3.3e-3, minimum=3.3e-4))
    if name == "order":
        tokens = Reshuffled(TOKENS, 128, 5)
    return mini.train(true, tokens, 0, KEEP, numerics=Numerics(permuted=77))


def release(name: str = "honest", **values) -> ReplayInputs:
    weights, losses = trained(name)
    return mini.published(STATED, TOKENS, weights, values.pop("losses", losses), **values)


def replay(of: ReplayInputs, **options):
    return replay_prefix(of, updates=AT, probes=False, **options)


@cache
def replayed(name: str = "honest") -> PrefixReport:
    return replay(release(name))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_honest_release_matches(precision) -> None:
    report = replayed() if precision == "fp32" else replay(release(), numerics=Numerics(precision=precision))
    assert report.verdict is not None
    assert report.verdict.standing is Standing.MATCHES
    assert len(report.replicas) >= 3


def test_an_honest_release_without_a_loss_log_matches_too() -> None:
    report = replay(release(losses=None))
    assert report.verdict is not None
    assert report.verdict.standing is Standing.MATCHES
    assert {one.statistic for one in report.verdict.statistics} == {"distance", "log_norm_ratio", "loss_rms"}


def test_an_honest_release_stored_in_fp16_is_not_accused_by_its_rounded_weights() -> None:
    weights, losses = trained()
    kept = {step: {name: round_to(value, "fp16") for name, value in one.items()} for step, one in weights.items()}
    report = replay(mini.published(STATED, TOKENS, kept, losses, stored="fp16"))
    assert report.verdict is not None
    assert report.verdict.standing is not Standing.DIFFERS
    exact = next(one for one in replayed().verdict.statistics if one.statistic == "distance")
    assert report.floor["distance", 4] > 10 * exact.floor


@pytest.mark.parametrize("defect", ["beta2", "learning rate", "order"])
def test_a_planted_defect_is_seen(defect: str) -> None:
    report = replayed(defect)
    assert report.verdict is not None
    assert report.verdict.standing is Standing.DIFFERS


def test_a_published_log_alone_is_enough() -> None:
    weights, losses = trained("order")
    only = mini.published(STATED, TOKENS, {0: weights[0]}, losses)
    assert replay(only).verdict.standing is Standing.DIFFERS
    assert available_horizons(only, AT) == AT


def test_a_log_that_fits_one_update_off_excuses_no_weights_that_differ() -> None:
    """The losses of the honest training, told one update late: misread with its own weights, not with those of another order."""
    _, losses = trained()
    late = np.concatenate([losses[:1], losses[:-1]])
    for name, standing in (("honest", Standing.INCONCLUSIVE), ("order", Standing.DIFFERS)):
        report = replay(release(name, losses=late))
        assert report.verdict is not None
        assert report.verdict.standing is standing


def test_what_a_replay_cannot_see_is_not_called_verified() -> None:
    report = replay_prefix(
        release(), updates=AT, probes=("activation gelu_tanh", "decays to 0"), numerics=Numerics(precision="bf16")
    )
    said = {one.change: one for one in report.exercise}
    assert not said["activation gelu_tanh"].exercised
    assert "is not exercised by this replay" in str(said["decays to 0"])
    assert said["learning rate x1.1"].exercised
    assert not any("verified" in str(one) for one in report.exercise)


def test_what_cannot_be_replayed_is_said() -> None:
    weights, losses = trained()
    later = mini.published(STATED, TOKENS, {4: weights[4]}, losses)
    assert "no step 0" in replay(later).problem
    alone = mini.published(STATED, TOKENS, {0: weights[0]}, None)
    assert "no checkpoint" in replay(alone).problem
    broken = {**weights, 8: {"lm_head.weight": weights[8]["lm_head.weight"]}}
    assert "the checkpoint of step 8" in replay(mini.published(STATED, TOKENS, broken, losses)).problem
    other = replace(STATED, architecture=replace(STATED.architecture, num_layers=2))
    assert "parameters are missing" in replay(mini.published(other, TOKENS, weights, losses)).problem


def test_the_cause_is_named_first_and_what_cannot_be_told_apart_with_it() -> None:
    found = explain(release("beta2"), updates=AT, standard=TRIED)
    assert found.ranked[0].name == "beta2 0.999"
    assert found.ranked[0].explains
    assert found.ranked[0].removed > 0.9
    assert "beta2 0.999 explains" in found.remainder


def test_what_no_alternative_explains_is_said() -> None:
    found = explain(release("order"), updates=AT, standard=TRIED)
    assert found.group == () or not found.ranked[0].explains
    assert "none of" in found.remainder


def test_a_segment_is_replayed_from_the_published_optimizer_state_or_by_losses_alone() -> None:
    training = LanguageTraining(STATED, initial_weights(STATED, 0))
    weights, moments = {}, {}
    for step in (0, 8, 16, 20, 24):
        training.advance(TOKENS, step)
        weights[step] = {name: value.copy() for name, value in training.weights().items()}
        moments[step] = training.moments()
    whole = mini.published(STATED, TOKENS, weights, training.log().losses, moments=moments.__getitem__)
    rate = STATED.learning_rate
    wrong = replace(STATED, learning_rate=replace(rate, peak=2 * rate.peak, minimum=2 * rate.minimum))
    report = replay_segment(whole, first=16, updates=AT)
    assert report.verdict.standing is Standing.MATCHES
    assert report.horizons == (20, 24)
    alone = replace(whole, moments=lambda _step: None)
    burned = replay_segment(alone, first=16, updates=AT)
    assert {one.statistic for one in burned.verdict.statistics} == {"loss_rms"}
    assert burned.verdict.standing is not Standing.DIFFERS
    # moments of a few updates are not the published run's, and would accuse an honest release
    assert (
        "16 updates or more before" in replay_segment(replace(alone, steps=(8, 16, 20)), first=16, updates=AT).problem
    )
    assert "neither" in replay_segment(alone, first=0, updates=AT).problem
    assert "no checkpoint of step 12" in replay_segment(whole, first=12, updates=AT).problem
    assert "no later checkpoint" in replay_segment(replace(whole, losses=None), first=24, updates=AT).problem
    explained = explain(
        replace(whole, recipe=wrong), first=16, updates=AT, standard=("learning rate x2", "learning rate x0.5")
    )
    assert explained.ranked[0].name == "learning rate x0.5"
    assert explained.ranked[0].explains
    assert not any("twice" in tried.name for tried in explained.ranked)


def test_the_checkpoints_of_an_honest_training_hold_nothing_odd() -> None:
    found = inspect_checkpoints(release())
    assert found.oddities == ()
    assert all(look.largest_move <= look.bound for look in found.looks if look.bound is not None)


def test_copies_leaps_and_strangers_among_checkpoints_are_found() -> None:
    weights, _ = trained()
    stranger = initial_weights(STATED, 9)
    odd = mini.published(STATED, TOKENS, {0: weights[0], 2: stranger, 4: weights[4], 8: weights[4]}, None)
    kinds = {(oddity.kind, oddity.steps) for oddity in inspect_checkpoints(odd).oddities}
    assert {("orphan", (2,)), ("too far", (0, 2)), ("same", (4, 8))} <= kinds


def test_an_initialisation_that_is_not_the_stated_one_is_found() -> None:
    assert initialisation(STATED, initial_weights(STATED, 3)) == []
    wide = replace(STATED, initialisation=replace(STATED.initialisation, std=1.1 * (2 / (5 * 32)) ** 0.5))
    assert any("embed_in" in oddity.message for oddity in initialisation(STATED, initial_weights(wide, 3)))


def test_no_gradients_move_a_weight_further_than_the_bound() -> None:
    bound = largest_step(STATED.optimizer.betas, 60)
    first, second = STATED.optimizer.betas
    worst = 0.0
    for growth in (1.0, 1.02, second / first, 1.2):
        m = v = 0.0
        for t in range(1, 61):
            g = growth**t
            m, v = first * m + (1 - first) * g, second * v + (1 - second) * g * g
            worst = max(worst, m / (1 - first**t) / np.sqrt(v / (1 - second**t)))
    assert 0.98 * bound < worst <= bound


def test_tokens_in_another_order_are_the_same_tokens() -> None:
    def every(tokens, count: int = 12):
        return np.concatenate([tokens.items(at, 3) for at in range(0, count, 3)])

    assert sorted(map(tuple, every(Reshuffled(TOKENS, 12, 1)))) == sorted(map(tuple, every(TOKENS)))
    assert np.array_equal(Reshuffled(TOKENS, 12, 1).items(12, 4), TOKENS.items(12, 4))
    assert np.array_equal(every(Skipped(TOKENS, 6, 3))[6:], TOKENS.items(9, 6))
    assert np.array_equal(Halved(TOKENS, 9).items(1, 2)[0], TOKENS.items(0, 1)[0, 8:17])
    assert np.array_equal(TOKENS.shifted(1).items(0, 1)[0, :-1], TOKENS.items(0, 1)[0, 1:])


def test_every_change_is_one_change_with_a_name_of_its_own() -> None:
    listed = changes(STATED, TOKENS, updates=64)
    names = [change.name for change in listed]
    assert len(set(names)) == len(names) > 40
    for change in listed:
        assert (change.recipe, change.tokens, change.loss_factor, change.left_out) != (STATED, TOKENS, 1.0, frozenset())


def test_a_ladder_predicts_a_power_law_and_never_judges() -> None:
    sizes = np.array([1e4, 3e4, 1e5, 3e5])
    found = ladder(sizes, 8 * sizes**-0.08, 1e6, 8 * 1e6**-0.08)
    assert found.predicted == pytest.approx(8 * 1e6**-0.08, abs=0.02)
    assert found.in_line
    assert found.label == "sanity only"
    assert not replace(found, published=found.predicted + 1).in_line
    with pytest.raises(ValueError, match="three|3"):
        ladder([1.0, 2.0], [1.0, 2.0], 4.0, 1.0)
