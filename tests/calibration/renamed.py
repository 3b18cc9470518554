"""How often is an honest recipe said to give another number once its classes have other names? `python tests/calibration/renamed.py`

Both arms of an audit are drawn from one normal distribution. Reruns with renamed classes are 2 to 4, as many as a profile makes of a
probe; the others 3 to 10.
"""

from __future__ import annotations

import numpy as np

from openassay.core.claims import Citation, Claim, Published, Tolerance
from openassay.core.controls import not_learnt
from openassay.core.evidence import Design
from openassay.core.rerun_records import Measurement, Rerun, RerunStatus

MARGIN = 0.05
NOISES = (0.1, 0.25, 0.5, 1.0)
"""Standard deviation of the seeds' scatter, in margins."""
SIZES = tuple((renamed, others) for renamed in (2, 3, 4) for others in (3, 10))
CLAIM = Claim(
    id="c", metric="m", published=Published(value=0.8), cited_at=Citation(url="https://example.org"),
    tolerance=Tolerance(margin=MARGIN, rationale="for a simulation"),
)  # fmt: skip
DESIGN = Design(alpha=0.05, max_runs=10)


def reruns(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[Rerun, ...]:
    """Finished reruns with these values."""
    return tuple(
        Rerun(
            target="t", arm="a", seed=seed, identity="i", registered={}, status=RerunStatus.FINISHED, reason="", curves={},
            measurements=(Measurement(metric="m", value=value, raw=str(value), step=None, self_reported=False),),
            environment={}, log_tail="", started_at="", duration_s=1.0, cpu_s=1.0, together=(),
        )
        for seed, value in enumerate(values.tolist())
    )  # fmt: skip


def share_said_to_differ(noise: float, sizes: tuple[int, int], num_audits: int, shift: float = 0.0) -> float:
    """Share of simulated audits in which the renamed recipe is said to give another number. noise, shift: in margins."""
    rng = np.random.default_rng([int(100 * noise), *sizes, int(100 * shift)])
    said = 0
    for _ in range(num_audits):
        renamed, others = (0.8 + MARGIN * noise * rng.normal(size=size) for size in sizes)
        said += bool(
            not_learnt(CLAIM, DESIGN, arm="renamed", runs=reruns(renamed - MARGIN * shift), faithful=reruns(others))
        )
    return said / num_audits


def main() -> None:
    """Print the largest share over the sizes, for each noise."""
    print("| seed noise, in margins | said to differ, at most |\n|---|---|")
    for noise in NOISES:
        print(f"| {noise:g} | {max(share_said_to_differ(noise, sizes, 4000) for sizes in SIZES):.4f} |")


if __name__ == "__main__":
    main()
