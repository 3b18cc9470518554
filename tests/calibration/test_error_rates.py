"""A small slice of the calibration: the promised error rates hold, with limits from binomial quantiles."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter
from scipy import stats
from statsmodels.stats.weightstats import DescrStatsW

from calibration.renamed import DESIGN, share_said_to_differ
from calibration.scenarios import KINDS, mixed
from calibration.simulate import Rates, Setting, judged, rates, rng_of, simulate
from openassay.core.claims import Estimand
from openassay.core.equivalence import difference
from openassay.core.sequential import Stopped, run
from openassay.scenario import Scenario, judge

NUM_AUDITS = 10_000
SCENARIOS = TypeAdapter(list[Scenario])


def limit(promised: float, num_audits: int = NUM_AUDITS) -> float:
    """What a rate of exactly `promised` exceeds in one of 10,000 slices."""
    return float(stats.binom.ppf(0.9999, num_audits, promised)) / num_audits


def measured(theta: float, **setting: Any) -> Rates:
    return rates(rng_of(theta, sorted(setting.items())), Setting(**setting), theta, NUM_AUDITS)


EDGES: list[dict[str, Any]] = [
    *({"max_runs": most, "noise": noise} for most, noise in itertools.product((10, 50, 100), (0.1, 0.5))),
    *({"noise": noise, "family": 10.0} for noise in (0.25, 1.0)),
    *({"estimand": "recipe", "max_runs": most, "noise": 0.1} for most in (10, 50, 100)),
    *({"estimand": "recipe", "k": k, "noise": noise} for k, noise in ((5, 0.5), (1, 1.0))),
    *({"estimand": of, "k": 3, "max_runs": 10, "one_look": True, "noise": 0.25} for of in ("number", "recipe")),
]


@pytest.mark.parametrize("setting", EDGES, ids=str)
def test_a_recipe_at_the_edge_is_rarely_called_either_way(setting: dict[str, Any]) -> None:
    found = measured(1.0, **setting)
    assert found.reproduced <= limit(0.05)
    assert found.not_reproduced <= limit(0.05)
    assert 1 - found.coverage <= limit(0.0625)  # alpha below, and a quarter of it above


@pytest.mark.parametrize("estimand", ["number", "recipe"])
@pytest.mark.parametrize("noise", [0.1, 0.5, 1.0])
def test_further_off_it_is_hardly_ever_accepted(estimand: Estimand, noise: float) -> None:
    assert measured(1.5, estimand=estimand, noise=noise, max_runs=20).reproduced <= limit(0.02)


@pytest.mark.parametrize(("k", "noise"), [(1, 0.1), (1, 0.5), (5, 0.5)])
def test_a_faithful_recipe_is_hardly_ever_accused(k: int, noise: float) -> None:
    assert measured(0.0, estimand="recipe", k=k, noise=noise).not_reproduced <= limit(0.01)


@pytest.mark.parametrize(
    "setting",
    [
        {"max_runs": 2}, {"max_runs": 3}, {"rounding": 0.5}, {"family": 10.0, "family_spread": 0.4}, {"step": 0.5},
        {"k": 4, "published_sd": True, "noise": 0.1}, {"k": 3, "published_sd": True, "noise": 0.4},
        {"tried": 5, "declared": 5}, {"tried": 10, "declared": 10, "noise": 0.4, "family": 10.0},
        {"k": 7, "alpha": 0.1}, {"k": 5, "alpha": 0.002, "noise": 0.5},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("edge", [1.0, -1.0])
@pytest.mark.parametrize("estimand", ["number", "recipe"])
def test_both_edges_hold_for_other_publications_and_plans(
    estimand: Estimand, edge: float, setting: dict[str, Any]
) -> None:
    found = measured(edge, **{"estimand": estimand, "max_runs": 10} | setting)
    assert found.reproduced <= limit(setting.get("alpha", 0.05))
    assert found.not_reproduced <= limit(setting.get("alpha", 0.05))


@pytest.mark.parametrize("direction", [1, -1])
def test_a_one_sided_claim_errs_at_its_one_edge_only(direction: int) -> None:
    for estimand in ("number", "recipe"):
        found = measured(-1.0 * direction, direction=direction, estimand=estimand, max_runs=10)
        assert found.reproduced <= limit(0.05)
        assert found.not_reproduced <= limit(0.05)
    assert measured(3.0 * direction, direction=direction, estimand="recipe", max_runs=10).not_reproduced == 0.0


def test_faithful_and_shifted_recipes_are_told_apart_in_few_runs() -> None:
    faithful, shifted = measured(0.0, k=5), measured(2.0, k=5, estimand="recipe")
    assert faithful.reproduced > 0.99
    assert shifted.not_reproduced > 0.99
    assert faithful.runs < 10
    assert shifted.runs < 10


@pytest.mark.parametrize("num_runs", [3, 4, 5, 10, 20])
@pytest.mark.parametrize("published_sd", [False, True])
def test_one_look_is_the_textbook_s_two_one_sided_tests(num_runs: int, published_sd: bool) -> None:
    """Of the same samples, so that every single verdict is the same."""
    for noise, k, estimand, theta in itertools.product((0.1, 0.25, 0.3, 0.5), (1, 3), ("number", "recipe"), (0.0, 1.0)):
        if published_sd and k == 1:
            continue
        setting = Setting(
            estimand=estimand, k=k, noise=noise, max_runs=num_runs, one_look=True, published_sd=published_sd
        )
        batch = simulate(rng_of(num_runs, noise, k, estimand, theta), setting, theta, 500).batch
        known = {"prior_sd": np.sqrt(batch.prior_variance), "prior_df": k - 1} if published_sd else {}
        tests = {
            question: difference(batch.runs, batch.published, num_runs=trainings, **known)
            for question, trainings in (("recipe", k), ("number", k if published_sd else np.inf))
        }
        if published_sd:  # against an exact value, with the published spread pooled
            of = tests["number"]
            tests["number"] = replace(of, se=of.se * np.sqrt(1 / num_runs / (1 / num_runs + 1 / k)))
        found = judged(batch, one_look=True)
        within = tests[estimand].agrees(1.0, 0.05)
        assert (found.reproduced == within).all()
        assert (found.not_reproduced == (tests["recipe"].differs(1.0, 0.05) & ~within)).all()


def test_one_look_at_the_printed_value_is_statsmodels_test() -> None:
    setting = Setting(noise=0.7, max_runs=6, one_look=True)
    batch = simulate(rng_of("statsmodels"), setting, 0.3, 200).batch
    p = [DescrStatsW(runs - to).ttost_mean(-1, 1)[0] for runs, to in zip(batch.runs, batch.published, strict=True)]
    found = judged(batch, one_look=True).reproduced
    assert 20 < found.sum() < 180
    assert found.tolist() == [one <= 0.05 for one in p]


def all_the_same(one: Stopped, other: Stopped) -> bool:
    return all(
        np.array_equal(mine, getattr(other, name), equal_nan=name in {"estimate", "variance", "df"})
        for name, mine in vars(one).items()
    )


def test_the_order_of_a_finished_sample_changes_nothing() -> None:
    batch = simulate(rng_of("order"), Setting(noise=0.6, k=3, max_runs=8, one_look=True, diverges=0.1), 0.7, 2000).batch
    shuffled = replace(batch, runs=np.random.default_rng(1).permuted(batch.runs, axis=1))
    assert all_the_same(judged(batch, one_look=True), judged(shuffled, one_look=True))


@pytest.mark.parametrize("estimand", ["number", "recipe"])
def test_runs_beyond_the_one_that_decides_do_not_matter(estimand: Estimand) -> None:
    batch = simulate(
        rng_of("unused"), Setting(estimand=estimand, k=3, noise=0.4, max_runs=30, diverges=0.05), 0.3, 2000
    ).batch
    found = run(batch)
    unused = np.arange(30) >= found.runs_used[:, None]
    assert unused.mean() > 0.2
    for rest in (1e6, -1e6, np.nan):
        assert all_the_same(found, run(replace(batch, runs=np.where(unused, rest, batch.runs))))


@pytest.mark.parametrize("declared", [0.0, 0.3])
def test_a_recipe_that_mostly_diverges_is_not_called_reproduced(declared: float) -> None:
    share = declared + 0.7 * (1 - declared)
    known = {"noise": 0.1, "diverges": share, "declared_diverges": declared}
    assert measured(0.0, **known).reproduced <= limit(0.05)
    for num_runs in (3, 5, 10, 20):
        assert measured(0.0, max_runs=num_runs, one_look=True, **known).reproduced <= limit(0.05)


def test_the_mix_as_it_is_met_is_mostly_decided_and_rightly() -> None:
    rng, num = rng_of("mix"), 2000
    drawn = [mixed(rng) for _ in range(num)]
    verdicts = judge(SCENARIOS.validate_python([one for one, _ in drawn]), look_often=True)
    names, theta = np.array([of["verdict"] for of in verdicts]), np.array([of for _, of in drawn])
    near, faithful, off = theta <= 0.5, theta < 0.9, theta >= 1.0
    assert (names == "inconclusive").mean() <= limit(0.10, num)
    assert (names[near] != "reproduced").mean() <= limit(0.13, int(near.sum()))
    assert (names[faithful] == "not_reproduced").mean() <= limit(0.01, int(faithful.sum()))
    assert (names[off] == "reproduced").mean() <= limit(0.05, int(off.sum()))


@pytest.mark.parametrize(
    "kind",
    [
        "mean and standard error of 5",
        "mean and 95 % interval of 3",
        "sd over ten folds",
        "best of 5",
        "paired",
        "at least",
    ],
)
def test_kinds_of_publications_keep_the_promise_as_they_are_read(kind: str) -> None:
    for estimand in ("number", "recipe"):
        rng, num = rng_of(kind, estimand), 300
        offered = [KINDS[kind](rng, 1.0, estimand, num_runs=20) | {"max_runs": 20} for _ in range(num)]
        names = [of["verdict"] for of in judge(SCENARIOS.validate_python(offered), look_often=True)]
        assert names.count("reproduced") / num <= limit(0.05, num)
        assert names.count("not_reproduced") / num <= limit(0.05, num)


@pytest.mark.parametrize(("k", "noise"), [(1, 0.1), (3, 0.25)])
def test_number_says_nothing_of_the_published_recipe_s_mean(k: int, noise: float) -> None:
    """Printed values of a recipe at the edge often lie nearer than its mean: whoever asks about that asks for `recipe`."""
    assert measured(1.0, k=k, noise=noise, theta_of="recipe").reproduced > 0.3
    assert measured(1.0, k=k, noise=noise, estimand="recipe").reproduced <= limit(0.05)


def test_looking_often_at_one_look_s_level_would_break_the_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Why the critical values are those of a sequential test."""
    monkeypatch.setattr(
        "openassay.core.sequential.boundary",
        lambda most, v, d0, a: SimpleNamespace(critical=stats.t.isf(a, d0 + np.arange(1, most))),
    )
    assert measured(1.0, max_runs=20).reproduced > 2 * limit(0.05)


def test_a_family_s_noise_that_is_too_small_does_break_the_promise() -> None:
    """Why a family counts for four degrees of freedom at most: with more, this would be worse."""
    assert limit(0.05) < measured(1.0, family=10.0, family_ratio=0.5, max_runs=5).reproduced < 0.2


def test_an_honest_recipe_gives_the_same_whatever_its_classes_are_called_and_another_does_not() -> None:
    """A slice of tests/calibration/renamed.py: seed noise as large as the margin, and a number three margins away."""
    num_audits = 500
    limit = stats.binom.ppf(0.9999, num_audits, DESIGN.alpha) / num_audits
    assert share_said_to_differ(1.0, (2, 10), num_audits) <= limit
    assert share_said_to_differ(1.0, (4, 3), num_audits) <= limit
    assert share_said_to_differ(0.25, (3, 10), num_audits, shift=3.0) > 0.9
