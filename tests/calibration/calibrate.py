"""`make calibrate`: measure the verdict's error rates, and write docs/calibration.md with its figure. About ten minutes of one core."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot, rcParams
from pydantic import TypeAdapter
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from calibration.scenarios import INFEASIBLE, KINDS, mixed
from calibration.simulate import (
    Rates,
    Setting,
    bimodal,
    heavy,
    judged,
    rates,
    rng_of,
    simulate,
    skewed,
    textbook,
)
from openassay.core.claims import Estimand
from openassay.core.verdict import RULES_VERSION
from openassay.scenario import Scenario, judge

DOCS = Path(__file__).parents[2] / "docs"

ALPHA = 0.05
NUM_AUDITS = 10_000
NUM_AT_EDGE = 30_000
NUM_ONE_LOOK = 40_000
NUM_SCENARIOS = 2_000
NUM_MIXED = 10_000
BOLD = 4.0
"""Standard errors above the promise from which on a rate is printed bold: several hundred cells are looked at."""

ESTIMANDS: tuple[Estimand, ...] = ("number", "recipe")
NOISE = (0.1, 0.25, 0.5, 1.0)
FINER_NOISE = (0.1, 0.16, 0.25, 0.35, 0.5, 0.7, 1.0)
"""Of the figure."""
CURVES = {
    "number": Setting(), "recipe, k = 1": Setting(estimand="recipe"), "recipe, k = 3": Setting(estimand="recipe", k=3),
    "recipe, k = 5": Setting(estimand="recipe", k=5),
}  # fmt: skip
"""Of the figure, and the settings of its cells."""


def measured(setting: Setting, theta: float, num_audits: int | None = None) -> Rates:
    """The shipped rule."""
    num = num_audits or (NUM_AT_EDGE if abs(theta) == 1 else NUM_AUDITS)
    return rates(rng_of(setting.estimand, setting.k, setting.noise, setting.max_runs, theta), setting, theta, num)


def table(header: str, rows: Iterable[Sequence[str]]) -> list[str]:
    """Markdown, its header given with bars between the cells."""
    return [f"| {header} |", "|" + "---|" * (header.count("|") + 1), *(f"| {' | '.join(row)} |" for row in rows)]


def standard_error(num_audits: int, promised: float = ALPHA) -> float:
    """Of a rate that is as promised, by simulation."""
    return float(np.sqrt(promised * (1 - promised) / num_audits))


def rate(share: float, num_audits: int, promised: float = ALPHA) -> str:
    """A rate of wrong verdicts: bold when it is above the promise by more than chance."""
    places = 3 if promised >= 0.05 else 4
    above = share > promised + BOLD * standard_error(num_audits, promised)
    return f"**{share:.{places}f}**" if above else f"{share:.{places}f}"


def number_rows(wrong: list[float]) -> Iterable[list[str]]:
    """The question `number`: by noise and the most reruns. Appends the rates at the edge to `wrong`."""
    for noise, max_runs in tqdm(list(itertools.product(NOISE, (10, 50, 100))), desc="number", disable=None):
        setting = Setting(noise=noise, max_runs=max_runs)
        at = {theta: measured(setting, theta) for theta in (0.0, 0.5, 1.0, 1.5, 2.0)}
        wrong.append(at[1.0].reproduced)
        yield [
            f"{noise:g}", str(max_runs), f"{at[0.0].reproduced:.3f} / {at[0.5].reproduced:.3f}",
            rate(at[1.0].reproduced, NUM_AT_EDGE), f"{at[1.5].reproduced:.4f}",
            " / ".join(f"{at[theta].runs:.1f}" for theta in (0.0, 0.5, 1.0, 2.0)),
            f"{min(of.coverage for of in at.values()):.3f}",
        ]  # fmt: skip


def recipe_rows(wrong: list[float]) -> Iterable[list[str]]:
    """The question `recipe`: by k and noise."""
    for k, noise in tqdm(list(itertools.product((1, 3, 5), NOISE)), desc="recipe", disable=None):
        setting = Setting(estimand="recipe", k=k, noise=noise)
        at = {theta: measured(setting, theta) for theta in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)}
        wrong += [at[1.0].reproduced, at[1.0].not_reproduced]
        yield [
            str(k), f"{noise:g}", f"{at[0.0].reproduced:.3f} / {at[0.5].reproduced:.3f}",
            rate(at[1.0].reproduced, NUM_AT_EDGE), f"{at[1.5].reproduced:.4f}", f"{at[0.0].not_reproduced:.4f}",
            rate(at[1.0].not_reproduced, NUM_AT_EDGE),
            f"{at[1.5].not_reproduced:.3f} / {at[2.0].not_reproduced:.3f} / {at[3.0].not_reproduced:.3f}",
            " / ".join(f"{at[theta].runs:.1f}" for theta in (0.0, 1.0, 2.0)),
            f"{min(of.coverage for of in at.values()):.3f}",
        ]  # fmt: skip


def price_rows() -> Iterable[list[str]]:
    """How often `number` accepts a recipe whose unknown mean is off."""
    for k in tqdm((1, 3, 5), desc="price", disable=None):
        row = [str(k)]
        for noise in NOISE:
            setting = Setting(k=k, noise=noise, theta_of="recipe")
            shares = [measured(setting, theta, NUM_AUDITS).reproduced for theta in (0.0, 1.0, 1.5, 2.0)]
            row.append(" / ".join(f"{share:.3f}" for share in shares))
        yield row


def one_look_rows(off: list[float]) -> Iterable[list[str]]:
    """Finished samples. Appends to `off` how far each share of REPRODUCED is from the textbook's."""
    for n, noise in tqdm(
        list(itertools.product((3, 4, 5, 10, 20), (0.1, 0.25, 0.3, 0.5))), desc="one look", disable=None
    ):
        row = [str(n), f"{noise:g}"]
        for estimand, k in (("number", 1), ("recipe", 1), ("recipe", 3)):
            setting = Setting(estimand=estimand, k=k, noise=noise, max_runs=n, one_look=True)
            shares = []
            for theta in (0.0, 1.0):
                audits = simulate(rng_of(setting.estimand, k, noise, n, theta), setting, theta, NUM_ONE_LOOK)
                stopped = judged(audits.batch, one_look=True)
                shares += [float(stopped.reproduced.mean()), float(stopped.not_reproduced.mean())]
                off.append(abs(shares[-2] - textbook(audits.batch, setting)[0]))
            row += [f"{shares[0]:.3f}", rate(shares[2], NUM_ONE_LOOK)]
            row += [rate(shares[3], NUM_ONE_LOOK)] if estimand == "recipe" else []
        yield row


def spread_rows() -> Iterable[list[str]]:
    """What a published mean with its standard deviation gives, where nothing else is known."""
    for k, noise in tqdm(list(itertools.product((2, 3, 5, 10), (0.1, 0.3, 0.5))), desc="spreads", disable=None):
        row = [str(k), f"{noise:g}"]
        for estimand in ESTIMANDS:
            setting = Setting(estimand=estimand, k=k, noise=noise, published_sd=True)
            none, edge = measured(setting, 0.0), measured(setting, 1.0, NUM_AUDITS)
            row += [f"{none.reproduced:.3f}", rate(edge.reproduced, NUM_AUDITS), f"{none.runs:.1f}"]
        yield [*row, rate(edge.not_reproduced, NUM_AUDITS)]


STANDARD: dict[Estimand, tuple[Setting, ...]] = {
    "number": tuple(Setting(noise=noise, max_runs=20) for noise in (0.1, 0.25, 0.5)),
    "recipe": tuple(
        Setting(estimand="recipe", k=k, noise=noise, max_runs=20) for k, noise in ((1, 0.1), (1, 0.25), (5, 0.1), (5, 0.5))
    ),
}  # fmt: skip

ROBUSTNESS: dict[str, dict[str, Any]] = {
    "as assumed": {},
    "reruns made at most 2": {"max_runs": 2},
    "reruns made at most 3": {"max_runs": 3},
    "reruns made at most 5": {"max_runs": 5},
    "one-sided claim, its one edge": {"direction": 1},
    "reruns diverge one time in ten": {"diverges": 0.1},
    "heavy tails (t with 3 degrees of freedom)": {"seeds": heavy},
    "skewed seeds (gamma of shape 5), the worse side": {"seeds": skewed},
    "one seed in five lands 2.5 sd below the others": {"seeds": bimodal},
    "family known on ten degrees of freedom": {"family": 10.0},
    "its sd off by 0.7 in its logarithm": {"family": 10.0, "family_spread": 0.7},
    "its sd half the truth": {"family": 10.0, "family_ratio": 0.5},
    "its sd twice the truth": {"family": 10.0, "family_ratio": 2.0},
    "family known on four, and half the truth": {"family": 4.0, "family_ratio": 0.5},
    "reruns half as noisy as the published recipe": {"noise_ratio": 0.5},
    "reruns twice as noisy as the published recipe": {"noise_ratio": 2.0},
    "published value rounded to half a tolerance": {"rounding": 0.5},
    "the same, always rounded the worst way": {"rounding": 0.5, "misprint": 0.25},
    "published value rounded to a tenth of a tolerance, the worst way": {"rounding": 0.1, "misprint": 0.05},
    "metric in steps of a quarter of the tolerance": {"step": 0.25},
    "metric in steps of half the tolerance": {"step": 0.5},
    "best of 5, declared": {"tried": 5, "declared": 5},
    "best of 10, declared": {"tried": 10, "declared": 10},
    "best of 5, undeclared": {"tried": 5},
    "best of 5, declared as best of 3": {"tried": 5, "declared": 3},
}
"""What differs from STANDARD."""


def largest(settings: Iterable[Setting], num_audits: int) -> tuple[float, float]:
    """The largest shares of REPRODUCED and of NOT_REPRODUCED over settings and edges."""
    found = [
        measured(setting, theta, num_audits)
        for setting in settings
        for theta in ((1.0, -1.0) if setting.direction == 0 else (-1.0 * setting.direction,))
    ]
    return max(of.reproduced for of in found), max(of.not_reproduced for of in found)


def robustness_rows() -> Iterable[list[str]]:
    """One row a condition: the largest rates at an edge."""
    for label, differs in tqdm(ROBUSTNESS.items(), desc="conditions", disable=None):
        settings = {
            estimand: [replace(of, **differs) for of in standard if of.k == 1 or "tried" not in differs]
            for estimand, standard in STANDARD.items()
        }
        number, _ = largest(settings["number"], NUM_AUDITS)
        yield [label, *(rate(share, NUM_AUDITS) for share in (number, *largest(settings["recipe"], NUM_AUDITS)))]


def alpha_rows() -> Iterable[list[str]]:
    """Do other error rates hold too?"""
    for alpha in tqdm((0.1, 0.01, 0.001), desc="alphas", disable=None):
        shares = {
            estimand: largest([replace(of, alpha=alpha) for of in standard], NUM_AT_EDGE)
            for estimand, standard in STANDARD.items()
        }
        yield [f"{alpha:g}", *(rate(of, NUM_AT_EDGE, alpha) for of in (shares["number"][0], *shares["recipe"]))]


def smallest_tolerance(setting: Setting) -> float:
    """In seed standard deviations: from which tolerance on is a faithful recipe reproduced in 80 % of audits?"""
    low, high = 0.25, 64.0
    while high / low > 1.02:
        middle = float(np.sqrt(low * high))
        enough = measured(replace(setting, noise=1 / middle), 0.0, 2_000).reproduced >= 0.8
        low, high = (low, middle) if enough else (middle, high)
    return high


def feasible_rows() -> Iterable[list[str]]:
    """The smallest tolerance, by question and number of reruns that may be made."""
    for label, setting in tqdm(CURVES.items(), desc="tolerances", disable=None):
        yield [label, *(f"{smallest_tolerance(replace(setting, max_runs=n)):.1f}" for n in (3, 5, 10, 20, 50))]


_ADAPTER = TypeAdapter(Scenario)


def verdicts(offered: list[dict[str, Any]], *, look_often: bool = True) -> list[dict[str, Any]]:
    """As `openassay judge` reads and answers them."""
    texts = [json.dumps(one) for one in offered]
    read = [_ADAPTER.validate_json(text, strict=True, extra="forbid") for text in texts]
    return judge(read, look_often=look_often)


def shares_of(found: list[dict[str, Any]]) -> tuple[float, float, float]:
    """Shares of REPRODUCED and NOT_REPRODUCED, mean runs."""
    names = [of["verdict"] for of in found]
    return (
        names.count("reproduced") / len(names), names.count("not_reproduced") / len(names),
        sum(of["runs_used"] for of in found) / len(names),
    )  # fmt: skip


def kind_rows() -> Iterable[list[str]]:
    """One row a kind of publication."""
    for kind, make in tqdm((KINDS | INFEASIBLE).items(), desc="kinds", disable=None):
        row = [kind]
        for estimand in ESTIMANDS:
            found = {}
            for theta in (0.0, 1.0, 2.0):
                rng = rng_of(kind, estimand, theta)
                found[theta] = shares_of(verdicts([make(rng, theta, estimand) for _ in range(NUM_SCENARIOS)]))
            row += [f"{found[0.0][0]:.3f}", f"{found[2.0][1]:.3f}", rate(found[1.0][0], NUM_SCENARIOS)]
        rng = rng_of(kind, "one look")
        once = shares_of(verdicts([make(rng, 1.0, num_runs=10) for _ in range(NUM_SCENARIOS)], look_often=False))
        yield [*row, rate(found[1.0][1], NUM_SCENARIOS), rate(once[0], NUM_SCENARIOS)]


def mix_rows() -> Iterable[list[str]]:
    """The realistic mix, by the question that is asked and the one that theta belongs to."""
    labels: dict[str, tuple[Estimand, Estimand]] = {
        "`number`, θ to the printed value": ("number", "number"),
        "`number`, θ to the published recipe's mean": ("number", "recipe"),
        "`recipe`, θ to the published recipe's mean": ("recipe", "recipe"),
    }  # fmt: skip
    for label, (estimand, theta_of) in tqdm(labels.items(), desc="mix", disable=None):
        rng = rng_of("mix", estimand, theta_of)
        drawn = [mixed(rng, estimand, theta_of) for _ in range(NUM_MIXED)]
        found = verdicts([one for one, _ in drawn])
        theta = np.array([of for _, of in drawn])
        names = np.array([of["verdict"] for of in found])
        yield [
            label, *(f"{(names[theta <= 0.5] == name).mean():.3f}" for name in ("reproduced", "not_reproduced")),
            *(f"{(names[theta >= 1.0] == name).mean():.3f}" for name in ("reproduced", "not_reproduced")),
            f"{(names == 'inconclusive').mean():.3f}", f"{np.mean([of['runs_used'] for of in found]):.1f}",
        ]  # fmt: skip


def diverging_rows() -> Iterable[list[str]]:
    """Faithful recipes whose reruns give no value so often."""
    for share in tqdm((0.05, 0.1, 0.2, 0.5, 0.7), desc="diverging", disable=None):
        found = [
            rates(rng_of("diverging", share, n), Setting(noise=0.25, diverges=share, max_runs=n, one_look=one), 0.0, NUM_AT_EDGE)
            for n, one in ((50, False), (5, True), (10, True))
        ]  # fmt: skip
        yield [f"{share:g}", *(f"{of.reproduced:.3f} / {of.not_reproduced:.3f}" for of in found)]


def draw(path: Path) -> list[float]:
    """The figure: wrong acceptances at the edge, and runs of a faithful recipe, over the noise. Returns the former."""
    rcParams.update({"svg.hashsalt": "openassay", "svg.fonttype": "none", "font.size": 10})
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
    wrong = []
    for (label, setting), colour in zip(CURVES.items(), ("#555555", "#0072b2", "#d55e00", "#009e73"), strict=True):
        settings = [replace(setting, noise=noise) for noise in FINER_NOISE]
        edge = [measured(of, 1.0).reproduced for of in tqdm(settings, desc=label, disable=None)]
        left.plot(FINER_NOISE, edge, color=colour)
        right.plot(FINER_NOISE, [measured(of, 0.0).runs for of in settings], color=colour, label=label)
        wrong += edge
    left.axhline(ALPHA, color="#999999", linewidth=1)
    left.annotate("promised: at most 0.05", (1.0, 0.0545), ha="right", color="#666666")
    left.set(ylim=(0, 0.06), ylabel="share called REPRODUCED at θ = 1", title="Wrong acceptance at the edge")
    right.set(ylim=(0, 52), ylabel="mean reruns at θ = 0", title="Reruns of a faithful recipe, of at most 50")
    for axes in (left, right):
        axes.set(xscale="log", xlabel="seed standard deviation / tolerance")
        axes.set_xticks(NOISE, [f"{x:g}" for x in NOISE])
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", frameon=False)
    figure.savefig(path, metadata={"Date": None})
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n", encoding="utf-8")
    return wrong


def main() -> None:
    """Measure everything and write the page."""
    wrong = draw(DOCS / "calibration.svg")
    off: list[float] = []
    number, recipe, once = list(number_rows(wrong)), list(recipe_rows(wrong)), list(one_look_rows(off))
    lines = [
        "# Error rates of the verdict, by simulation",
        "",
        f"Rules {RULES_VERSION}, α = {ALPHA}. Made by `make calibrate` from the shipped test (`core/sequential.py`), not from a copy:",
        f"{NUM_AUDITS:,} simulated audits a cell, {NUM_AT_EDGE:,} in the first two tables and at other α where a recipe stands at the edge",
        f"(Monte Carlo standard error at 5 %: {standard_error(NUM_AUDITS):.4f} and {standard_error(NUM_AT_EDGE):.4f}). **Bold**: a rate of wrong verdicts above α by more than four",
        "standard errors.",
        "",
        "*number* asks how far the recipe's mean, as rerun, is from the printed value; *recipe*, how far from the published recipe's",
        "unknown mean. θ is the difference that is asked for, in tolerances; at the *edge*, |θ| = 1, REPRODUCED is wrong, and from",
        "there outwards less often. NOT_REPRODUCED is always an answer to *recipe*. *k*: trainings behind the published value. *Noise*:",
        "the seeds' standard deviation in tolerances. Unless a table says otherwise, nothing is known of it beforehand, and the test looks",
        "after every rerun, 50 at most. *Score interval*: the least share over θ of intervals that hold the true score.",
        "",
        "![Wrong acceptance at the edge, and reruns of a faithful recipe](calibration.svg)",
        "",
        f"Largest rate of a wrong verdict over the {len(wrong)} cells of the figure and the first two tables: {max(wrong):.4f}.",
        "",
        "## number",
        "",
        "For any k: the published value's luck does not enter.",
        "",
        *table(
            "noise | reruns at most | θ = 0 / 0.5: REPRODUCED | edge: REPRODUCED | θ = 1.5: REPRODUCED"
            " | mean reruns, θ = 0 / 0.5 / 1 / 2 | score interval",
            number,
        ),
        "",
        "## recipe",
        "",
        *table(
            "k | noise | θ = 0 / 0.5: REPRODUCED | edge: REPRODUCED | θ = 1.5: REPRODUCED | θ = 0: NOT_REPRODUCED"
            " | edge: NOT_REPRODUCED | θ = 1.5 / 2 / 3: NOT_REPRODUCED | mean reruns, θ = 0 / 1 / 2 | score interval",
            recipe,
        ),
        "",
        "## One is not the other",
        "",
        "REPRODUCED, as an answer to *number*, says nothing of the published recipe's mean: the printed value may be luck. So often is",
        "a recipe accepted that is off from the published recipe's *mean* by θ = 0 / 1 / 1.5 / 2:",
        "",
        *table("k | " + " | ".join(f"noise {noise:g}" for noise in NOISE), price_rows()),
        "",
        "No test of the printed value can do better: half of such values lie nearer than the mean, and reruns without end would accept",
        "one half at θ = 1 of little noise. Who needs an answer about the published recipe asks for *recipe*.",
        "",
        "## Finished samples: one look",
        "",
        f"{NUM_ONE_LOOK:,} a cell. θ = 0: REPRODUCED, and at the edge REPRODUCED and, for *recipe*, NOT_REPRODUCED. Furthest from",
        f"the textbook's two one-sided t-tests of the same samples (`core/equivalence.py`): {max(off):.4f}.",
        "",
        *table(
            "reruns | noise | number: θ = 0 | edge | recipe, k = 1: θ = 0 | edge | edge: NOT | k = 3: θ = 0 | edge | edge: NOT",
            once,
        ),
        "",
        "## Publications as they are met",
        "",
        f"{NUM_MIXED:,} scenarios (`tests/calibration/scenarios.py`, `mixed`): one number in half of them, mean and sd of 3 or 5 in the others; noise",
        "lognormal around 0.32 with σ = 0.8; a family in one of ten; θ ~ N(0, 0.3) in 85 %, 1 to 3 in 15 %.",
        "",
        *table(
            "question | abs θ ≤ 0.5: REPRODUCED | NOT_REPRODUCED | abs θ ≥ 1: REPRODUCED | NOT_REPRODUCED | INCONCLUSIVE, of all | mean reruns",
            mix_rows(),
        ),
        "",
        "## A published mean and standard deviation",
        "",
        *table(
            "k | noise | number, θ = 0: REPRODUCED | edge | mean reruns | recipe, θ = 0: REPRODUCED | edge | mean reruns | edge: NOT_REPRODUCED",
            spread_rows(),
        ),
        "",
        "## Where the assumptions end",
        "",
        "At either edge, the largest rate over noise 0.1, 0.25 and 0.5 (for *recipe*, k = 1 with 0.1 and 0.25, k = 5 with 0.1 and 0.5;",
        "for a best of several, k = 1), with 20 reruns at most.",
        "",
        *table("condition | number: REPRODUCED | recipe: REPRODUCED | NOT_REPRODUCED", robustness_rows()),
        "",
        "Faithful recipes (θ = 0, noise 0.25) whose reruns give no value this often, none declared: REPRODUCED / NOT_REPRODUCED. Up to",
        "0.1, α/5 at each look is promised for NOT_REPRODUCED, of which there may be many; at 0.7, 0.05 for REPRODUCED.",
        "",
        *table("share | up to 50 reruns | one look at 5 | one look at 10", diverging_rows()),
        "",
        "## Other α",
        "",
        "At either edge, the largest rate over the same settings.",
        "",
        *table("α | number: REPRODUCED | recipe: REPRODUCED | NOT_REPRODUCED", alpha_rows()),
        "",
        "## The smallest tolerance",
        "",
        "In seed standard deviations: from which tolerance on a faithful recipe is called REPRODUCED in 80 % of audits, when so",
        "many reruns may be made.",
        "",
        *table("question | 3 | 5 | 10 | 20 | 50", feasible_rows()),
        "",
        "## Kinds of publications",
        "",
        f"Scenarios of `tests/calibration/scenarios.py` as `openassay judge --sequential` reads them, {NUM_SCENARIOS:,} a cell (standard error at",
        f"5 %: {standard_error(NUM_SCENARIOS):.4f}); the last column by one look at ten runs, *number*.",
        "",
        *table(
            "kind | number, θ = 0: REPRODUCED | θ = 2: NOT_REPRODUCED | edge: REPRODUCED | recipe, θ = 0: REPRODUCED"
            " | θ = 2: NOT_REPRODUCED | edge: REPRODUCED | edge: NOT_REPRODUCED | one look, edge: REPRODUCED",
            kind_rows(),
        ),
    ]  # fmt: skip
    (DOCS / "calibration.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"largest rate of a wrong verdict: {max(wrong):.4f}; written to docs/calibration.md and .svg")


if __name__ == "__main__":
    main()
