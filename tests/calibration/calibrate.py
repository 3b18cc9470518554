"""`make calibrate`: the error rates over the whole grid, written to docs/calibration.md."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from calibration.simulate import rates
from openassay.core.verdict import RULES_VERSION

NUM_AUDITS = 200_000
RERUNS = (2, 3, 5, 10, 20)
PUBLISHED = (1, 3, 5, 0)
NOISE = (0.1, 0.25, 0.5, 1.0)


def main() -> None:
    """Simulate the grid and write the table."""
    rng = np.random.default_rng(20261122)
    lines = [
        "# Error rates of the verdict, by simulation",
        "",
        f"Rules {RULES_VERSION}, α = 0.05, {NUM_AUDITS:,} simulated audits a cell (Monte Carlo standard error 0.0005 at 5 %), normal",
        "seed noise. Made by `make calibrate`. Noise is the seed standard deviation in units of the tolerance; k is the number of",
        "trainings behind the published value. *Edge*: the recipe is off by exactly the tolerance; then both verdicts are wrong.",
        "",
        "| k | noise | reruns | edge: REPRODUCED | edge: NOT_REPRODUCED | faithful: REPRODUCED | off by 2: NOT_REPRODUCED |",
        "|---|---|---|---|---|---|---|",
    ]
    worst = 0.0
    for k, noise, n in tqdm(list(itertools.product(PUBLISHED, NOISE, RERUNS)), disable=None):
        same = {"num_audits": NUM_AUDITS, "num_reruns": n, "num_published": k, "noise": noise}
        edge, faithful, off = (rates(rng, shift=shift, **same) for shift in (1.0, 0.0, 2.0))
        worst = max(worst, edge.reproduced, edge.not_reproduced)
        lines.append(
            f"| {k or 'exact'} | {noise:g} | {n} | {edge.reproduced:.4f} | {edge.not_reproduced:.4f} "
            f"| {faithful.reproduced:.3f} | {off.not_reproduced:.3f} |"
        )
    lines += [
        "",
        f"Largest error rate of the grid: {worst:.4f}.",
        "",
        "Outside the assumptions (5 reruns, either edge, the largest rate of a wrong verdict):",
        "",
    ]
    for label, extra in {
        "heavy tails (t with 3 degrees of freedom), k = 1, noise 0.25": {"num_published": 1, "noise": 0.25, "tails": 3},
        "rounded to half the tolerance, k = 1, noise 0.1": {"num_published": 1, "noise": 0.1, "rounding": 0.5},
        "published sd over 10 runs used, noise 0.5": {"num_published": 10, "noise": 0.5, "published_sd": True},
        "published sd over 10 runs, printed in steps of 0.4, noise 0.25": {
            "num_published": 10, "noise": 0.25, "published_sd": True, "rounding": 0.4,
        },
        "rounded to half the tolerance, always the worst way, k = 1, noise 0.1": {
            "num_published": 1, "noise": 0.1, "rounding": 0.5, "printed_low": True,
        },
        "one seed in five fails halfway (bimodal), k = 5, noise 0.25": {"num_published": 5, "noise": 0.25, "bimodal": True},
        "one seed in five fails halfway (bimodal), k = 1, noise 0.5": {"num_published": 1, "noise": 0.5, "bimodal": True},
        "reruns half as noisy as the published recipe, k = 1, noise 0.25": {
            "num_published": 1, "noise": 0.25, "noise_ratio": 0.5,
        },
        "reruns twice as noisy as the published recipe, k = 1, noise 0.25": {
            "num_published": 1, "noise": 0.25, "noise_ratio": 2.0,
        },
        "values in steps of half the tolerance (a small test set), k = 1, noise 0.25": {
            "num_published": 1, "noise": 0.25, "test_size": 2,
        },
    }.items():  # fmt: skip
        edges = [rates(rng, num_audits=NUM_AUDITS, num_reruns=5, shift=shift, **extra) for shift in (1.0, -1.0)]
        wrong = max(rate for edge in edges for rate in (edge.reproduced, edge.not_reproduced))
        lines.append(f"- {label}: {wrong:.4f}")
    path = Path(__file__).parents[2] / "docs" / "calibration.md"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"largest error rate {worst:.4f}; written to {path.relative_to(path.parents[1])}")


if __name__ == "__main__":
    main()
