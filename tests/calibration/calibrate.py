"""`make calibrate`: measure the verdict's error rates, and write docs/calibration.md with its figure."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot, rcParams
from pydantic import TypeAdapter
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from calibration.scenarios import INFEASIBLE, KINDS
from calibration.simulate import Rates, Setting, bimodal, fixed_rates, heavy, rates, rng_of, skewed
from openassay.core.verdict import RULES_VERSION
from openassay.scenario import Scenario, judge

DOCS = Path(__file__).parents[2] / "docs"

ALPHA = 0.05
NUM_AUDITS = 40_000
NUM_AT_EDGE = 100_000
NUM_SCENARIOS = 4_000

PUBLISHED = (1, 3, 5, 0)
NOISE = (0.1, 0.25, 0.5, 1.0)
FINER_NOISE = (0.1, 0.14, 0.2, 0.25, 0.35, 0.5, 0.7, 1.0)
"""Of the figure, and of the largest rates."""
THETAS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
FAMILIES = {"a family's seed noise is known": 10.0, "no family": None}

Grid = dict[tuple[float | None, int, float, float], Rates]
"""By family, k, noise and theta."""


def grid() -> Grid:
    """The shipped rule, wherever a table or the figure needs it."""
    cells = list(itertools.product(FAMILIES.values(), PUBLISHED, FINER_NOISE, THETAS))
    found = {}
    for family, k, noise, theta in tqdm(cells, desc="grid", disable=None):
        if noise in NOISE or theta in {0.0, 1.0}:
            setting = Setting(family=family, k=k, noise=noise)
            num_audits = NUM_AT_EDGE if theta == 1 else NUM_AUDITS
            found[family, k, noise, theta] = rates(rng_of("grid", family, k, noise, theta), setting, theta, num_audits)
    return found


def table(header: str, rows: Iterable[Sequence[str]]) -> list[str]:
    """Markdown, its header given with bars between the cells."""
    return [f"| {header} |", "|" + "---|" * (header.count("|") + 1), *(f"| {' | '.join(row)} |" for row in rows)]


def standard_error(num_audits: int, promised: float = ALPHA) -> float:
    """Of a rate that is as promised, by simulation."""
    return float(np.sqrt(promised * (1 - promised) / num_audits))


def rate(share: float, num_audits: int, promised: float = ALPHA) -> str:
    """A rate of wrong verdicts: bold when it is above the promise by more than chance."""
    places = 3 if promised >= 0.05 else 4
    above = share > promised + 3 * standard_error(num_audits, promised)
    return f"**{share:.{places}f}**" if above else f"{share:.{places}f}"


def grid_rows(found: Grid, family: float | None) -> Iterable[list[str]]:
    """One row for every k and noise: the shipped rule, and fixed numbers of reruns beside it."""
    for k, noise in itertools.product(PUBLISHED, NOISE):
        at = {theta: found[family, k, noise, theta] for theta in THETAS}
        row = [
            str(k or "exact"), f"{noise:g}", f"{at[0].reproduced:.3f} / {at[0.5].reproduced:.3f}",
            f"{at[1.5].not_reproduced:.3f} / {at[2].not_reproduced:.3f} / {at[3].not_reproduced:.3f}",
            rate(at[1].reproduced, NUM_AT_EDGE), rate(at[1].not_reproduced, NUM_AT_EDGE),
            " / ".join(f"{at[theta].runs:.1f}" for theta in (0, 1, 2, 3)),
            f"{min(of.coverage for of in at.values()):.3f}",
        ]  # fmt: skip
        for n in (5, 10):
            fixed = {
                theta: fixed_rates(rng_of("fixed", k, noise, theta, n), Setting(k=k, noise=noise), theta, NUM_AUDITS, n)
                for theta in (0.0, 1.0, 2.0)
            }
            wrong = rate(max(fixed[1].reproduced, fixed[1].not_reproduced), NUM_AUDITS)
            row.append(f"{fixed[0].reproduced:.3f} / {fixed[2].not_reproduced:.3f} / {wrong}")
        yield row


STANDARD = tuple(Setting(k=k, noise=noise) for k, noise in itertools.product((1, 5), (0.1, 0.25, 0.5)))

ROBUSTNESS: dict[str, dict[str, Any]] = {
    "as assumed": {},
    "reruns made at most 2": {"max_runs": 2},
    "reruns made at most 3": {"max_runs": 3},
    "reruns made at most 5": {"max_runs": 5},
    "reruns made at most 8": {"max_runs": 8},
    "one-sided claim, its one edge": {"direction": 1},
    "reruns diverge one time in ten": {"diverges": 0.1},
    "heavy tails (t with 3 degrees of freedom)": {"seeds": heavy},
    "skewed seeds (gamma of shape 5), the worse side": {"seeds": skewed},
    "one seed in five lands 2.5 sd below the others": {"seeds": bimodal},
    "family's sd off by 0.4 in its logarithm": {"family_spread": 0.4},
    "family's sd off by 0.7 in its logarithm": {"family_spread": 0.7},
    "family's sd half the truth": {"family_ratio": 0.5},
    "family's sd twice the truth": {"family_ratio": 2.0},
    "family's sd known on few degrees of freedom": {"family": 4.0},
    "the same, and half the truth": {"family": 4.0, "family_ratio": 0.5},
    "reruns half as noisy as the published recipe": {"noise_ratio": 0.5},
    "reruns twice as noisy as the published recipe": {"noise_ratio": 2.0},
    "published value rounded to half a tolerance": {"rounding": 0.5},
    "the same, always rounded the worst way": {"rounding": 0.5, "misprint": 0.25},
    "published value rounded to a tenth of a tolerance, the worst way": {"rounding": 0.1, "misprint": 0.05},
    "metric in steps of a quarter of the tolerance": {"step": 0.25},
    "metric in steps of half the tolerance": {"step": 0.5},
    "metric in steps of the whole tolerance": {"step": 1.0},
    "best of 3, declared": {"tried": 3, "declared": 3},
    "best of 5, declared": {"tried": 5, "declared": 5},
    "best of 10, declared": {"tried": 10, "declared": 10},
    "best of 5, undeclared": {"tried": 5},
    "best of 5, declared as best of 3": {"tried": 5, "declared": 3},
    "best of 5, declared as best of 10": {"tried": 5, "declared": 10},
}
"""What differs from the grid's settings."""


def largest(label: str, settings: Iterable[Setting], num_audits: int) -> tuple[float, float]:
    """The largest shares of REPRODUCED and of NOT_REPRODUCED over settings and edges."""
    found = [
        rates(rng_of(label, setting.family, setting.k, setting.noise, theta), setting, theta, num_audits)
        for setting in settings
        for theta in ((1.0, -1.0) if setting.direction == 0 else (-1.0 * setting.direction,))
    ]
    return max(of.reproduced for of in found), max(of.not_reproduced for of in found)


def robustness_rows() -> Iterable[list[str]]:
    """One row a condition: the largest rates at an edge, with a family and without."""
    for label, differs in tqdm(ROBUSTNESS.items(), desc="conditions", disable=None):
        row = [label]
        settings = [replace(setting, **differs) for setting in STANDARD]
        if "tried" in differs:
            settings = [replace(setting, k=1) for setting in settings[:3]]
        row += [rate(share, NUM_AUDITS) for share in largest(label, settings, NUM_AUDITS)]
        if any(name.startswith("family") for name in differs):
            row += ["", ""]
        else:
            without = [replace(setting, family=None) for setting in settings]
            row += [rate(share, NUM_AUDITS) for share in largest(label, without, NUM_AUDITS)]
        yield row


def spread_rows() -> Iterable[list[str]]:
    """What a published mean with its standard deviation gives, where nothing else is known."""
    for k in tqdm((2, 3, 5, 10), desc="published spreads", disable=None):
        for noise in (0.1, 0.3, 0.4, 0.5, 1.0):
            setting = Setting(k=k, noise=noise, family=None, published_sd=True)
            at = {
                theta: rates(
                    rng_of("spread", k, noise, theta), setting, theta, NUM_AT_EDGE if theta == 1 else NUM_AUDITS
                )
                for theta in (0.0, 1.0, 2.0)
            }
            yield [
                str(k), f"{noise:g}", f"{at[0].reproduced:.3f}", f"{at[2].not_reproduced:.3f}",
                rate(at[1].reproduced, NUM_AT_EDGE), rate(at[1].not_reproduced, NUM_AT_EDGE),
                " / ".join(f"{at[theta].runs:.1f}" for theta in (0, 1, 2)),
            ]  # fmt: skip


def alpha_rows() -> Iterable[list[str]]:
    """Do other error rates hold too?"""
    for alpha in tqdm((0.1, 0.03, 0.01, 0.001), desc="alphas", disable=None):
        row = [f"{alpha:g}"]
        for family in FAMILIES.values():
            settings = [replace(setting, family=family, alpha=alpha) for setting in STANDARD]
            shares = largest(f"alpha {alpha}", settings, NUM_AT_EDGE)
            row += [rate(share, NUM_AT_EDGE, alpha) for share in shares]
        yield row


def smallest_tolerance(k: int, family: float | None, max_runs: int) -> float:
    """In seed standard deviations: from which tolerance on is a faithful recipe reproduced in 80 % of audits?"""
    low, high = 0.5, 64.0
    while high / low > 1.01:
        middle = float(np.sqrt(low * high))
        setting = Setting(k=k, family=family, noise=1 / middle, max_runs=max_runs)
        enough = rates(rng_of("feasible", k, family, max_runs), setting, 0.0, 10_000).reproduced >= 0.8
        low, high = (low, middle) if enough else (middle, high)
    return high


def feasible_rows() -> Iterable[list[str]]:
    """Per k: the smallest tolerance, for each number of reruns that may be made."""
    for k in tqdm((1, 2, 3, 5, 10, 0), desc="tolerances", disable=None):
        yield [
            str(k or "exact"),
            *(
                f"{smallest_tolerance(k, family, max_runs):.1f}"
                for family in FAMILIES.values()
                for max_runs in (2, 3, 5, 10)
            ),
        ]


def kind_rows() -> Iterable[list[str]]:
    """One row a kind of publication, judged from scenarios as `openassay judge` reads them."""
    adapter = TypeAdapter(Scenario)
    everything: dict[str, Callable[..., dict[str, Any]]] = KINDS | INFEASIBLE
    for kind, make in tqdm(everything.items(), desc="kinds", disable=None):
        found = {}
        for theta in (0.0, 1.0, 2.0):
            rng = rng_of(kind, theta)
            texts = [json.dumps(make(rng, theta)) for _ in range(NUM_SCENARIOS)]
            verdicts = judge([adapter.validate_json(text, strict=True, extra="forbid") for text in texts])
            names = [of["verdict"] for of in verdicts]
            found[theta] = (
                names.count("reproduced") / NUM_SCENARIOS, names.count("not_reproduced") / NUM_SCENARIOS,
                sum(of["runs_used"] for of in verdicts) / NUM_SCENARIOS,
            )  # fmt: skip
        yield [
            kind, f"{found[0.0][0]:.3f}", f"{found[2.0][1]:.3f}", rate(found[1.0][0], NUM_SCENARIOS),
            rate(found[1.0][1], NUM_SCENARIOS), " / ".join(f"{found[theta][2]:.1f}" for theta in (0.0, 1.0, 2.0)),
        ]  # fmt: skip


def diverging() -> dict[float, float]:
    """Of faithful recipes that diverge this often, how many are called NOT_REPRODUCED?"""
    return {
        share: rates(
            rng_of("diverging", share), Setting(k=5, noise=0.1, diverges=share), 0.0, NUM_AT_EDGE
        ).not_reproduced
        for share in (0.05, 0.1, 0.2, 0.5)
    }


def draw(found: Grid, path: Path) -> None:
    """The figure: wrong acceptances at the edge, and runs of a faithful recipe, over the noise."""
    rcParams.update({"svg.hashsalt": "openassay", "svg.fonttype": "none", "font.size": 10})
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
    colours = ("#0072b2", "#d55e00", "#009e73", "#555555")
    for k, colour in zip(PUBLISHED, colours, strict=True):
        for family, style in ((10.0, "-"), (None, "--")):
            label = (f"k = {k}" if k else "exact") if family else None
            left.plot(FINER_NOISE, [found[family, k, x, 1.0].reproduced for x in FINER_NOISE], style, color=colour)
            right.plot(
                FINER_NOISE, [found[family, k, x, 0.0].runs for x in FINER_NOISE], style, color=colour, label=label
            )
    right.plot([], [], "--", color="#999999", label="no family")
    left.axhline(ALPHA, color="#999999", linewidth=1)
    left.annotate("promised: at most 0.05", (1.0, 0.0545), ha="right", color="#666666")
    left.set(ylim=(0, 0.06), ylabel="share called REPRODUCED at θ = 1", title="Wrong acceptance at the edge")
    right.set(ylim=(0, 10), ylabel="mean reruns at θ = 0", title="Reruns of a faithful recipe")
    for axes in (left, right):
        axes.set(xscale="log", xlabel="seed standard deviation / tolerance")
        axes.set_xticks(NOISE, [f"{x:g}" for x in NOISE])
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", frameon=False)
    figure.savefig(path, metadata={"Date": None})
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n", encoding="utf-8")


SAME_COLUMNS = "edge: REPRODUCED | edge: NOT_REPRODUCED"


def main() -> None:
    """Measure everything and write the page."""
    found = grid()
    edge = [of for (_, _, _, theta), of in found.items() if theta == 1]
    wrong = max(max(of.reproduced, of.not_reproduced) for of in edge)
    lines = [
        "# Error rates of the verdict, by simulation",
        "",
        f"Rules {RULES_VERSION}, α = {ALPHA}. Made by `make calibrate` from the shipped test (`core/sequential.py`), not from a copy:",
        f"{NUM_AUDITS:,} simulated audits a cell, {NUM_AT_EDGE:,} in the grids and at other α where a recipe stands at the edge (Monte",
        f"Carlo standard error at 5 %: {standard_error(NUM_AUDITS):.4f} and {standard_error(NUM_AT_EDGE):.4f}). **Bold**: a rate of wrong verdicts above α by more than three standard",
        "errors.",
        "",
        "*k*: trainings behind the published value. *Noise*: the seeds' standard deviation in tolerances. θ: how far the recipe's",
        "mean is off, in tolerances. At the *edge*, |θ| = 1, both verdicts are wrong, and nowhere are they wrong more often:",
        "REPRODUCED is wrong from there outwards, NOT_REPRODUCED from there inwards. *Family*: its standard deviation was",
        "measured on ten degrees of freedom, and is off by a factor whose logarithm has standard deviation 0.2. *Score interval*: the",
        "least share over θ of intervals that hold the true score; at least 0.90 is promised, α for each end.",
        "",
        "![Wrong acceptance at the edge, and reruns of a faithful recipe](calibration.svg)",
        "",
        f"Largest rate of a wrong verdict over the figure's {len(edge)} cells: {wrong:.4f}.",
    ]  # fmt: skip
    for title, family in FAMILIES.items():
        lines += [
            "",
            f"## Normal seeds, {title}",
            "",
            "The last columns: one look after a fixed number of reruns, no family; θ = 0 REPRODUCED / θ = 2 NOT_REPRODUCED / the",
            "larger rate at the edge.",
            "",
            *table(
                "k | noise | θ = 0 / 0.5: REPRODUCED | θ = 1.5 / 2 / 3: NOT_REPRODUCED | " + SAME_COLUMNS
                + " | mean reruns, θ = 0 / 1 / 2 / 3 | score interval | 5 reruns | 10 reruns",
                grid_rows(found, family),
            ),
        ]  # fmt: skip
    lines += [
        "",
        "## A published mean and standard deviation, no family",
        "",
        *table(
            "k | noise | θ = 0: REPRODUCED | θ = 2: NOT_REPRODUCED | "
            + SAME_COLUMNS
            + " | mean reruns, θ = 0 / 1 / 2",
            spread_rows(),
        ),
        "",
        "## Where the assumptions end",
        "",
        "At either edge, the largest rate over k = 1 and 5 and noise 0.1, 0.25 and 0.5 (for a best of several, k = 1).",
        "",
        *table(
            "condition | REPRODUCED | NOT_REPRODUCED | no family: REPRODUCED | no family: NOT_REPRODUCED",
            robustness_rows(),
        ),
        "",
        "Called NOT_REPRODUCED, of faithful recipes (k = 5, noise 0.1) whose reruns give no value this often (up to 0.1, at most α/5",
        "at each look is promised): "
        + ", ".join(f"{share:g}: {accused:.4f}" for share, accused in diverging().items())
        + ".",
        "",
        "## Other α",
        "",
        "At either edge, the largest rate over the same settings.",
        "",
        *table(
            "α | REPRODUCED | NOT_REPRODUCED | no family: REPRODUCED | no family: NOT_REPRODUCED",
            alpha_rows(),
        ),
        "",
        "## The smallest tolerance",
        "",
        "In seed standard deviations: from which tolerance on a faithful recipe is called REPRODUCED in 80 % of audits, when so",
        "many reruns may be made.",
        "",
        *table(
            "k | family, 2 | 3 | 5 | 10 | no family, 2 | 3 | 5 | 10",
            feasible_rows(),
        ),
        "",
        "## Kinds of publications",
        "",
        f"Scenarios of `tests/calibration/scenarios.py` as `openassay judge` reads them, {NUM_SCENARIOS:,} a cell",
        f"(standard error at 5 %: {standard_error(NUM_SCENARIOS):.4f}).",
        "",
        *table(
            "kind | θ = 0: REPRODUCED | θ = 2: NOT_REPRODUCED | " + SAME_COLUMNS + " | mean reruns, θ = 0 / 1 / 2",
            kind_rows(),
        ),
    ]  # fmt: skip
    (DOCS / "calibration.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    draw(found, DOCS / "calibration.svg")
    print(
        f"largest rate of a wrong verdict in the figure's cells: {wrong:.4f}; written to docs/calibration.md and .svg"
    )


if __name__ == "__main__":
    main()
