"""Target files: are they well formed, and what do their tolerances cost?"""

from __future__ import annotations

from typing import Annotated

import typer

from openassay.cli.arguments import OptionalTargets
from openassay.layout import Layout, find_root


def check(targets: OptionalTargets = None) -> None:
    """Check target files without running anything: every key, pin, reference and number."""
    from openassay.plan import read_target
    from openassay.project import chosen

    root = find_root()
    for name in chosen(root, targets):
        target = read_target(Layout(root, name))
        print(
            f"{name}: well formed; {len(target.artifacts)} artifacts, {len(target.claims)} claims, "
            f"{len(target.controls)} controls"
        )


def plan_runs(
    targets: OptionalTargets = None,
    *,
    profile: Annotated[str, typer.Option(help="Profile of conf/profile/, for the most reruns of an arm")] = "cpu",
) -> None:
    """Say before any run whether each tolerance can be decided, and how many reruns to expect."""
    from openassay.cli import terminal
    from openassay.core.evidence import share_terms_of, terms_of
    from openassay.core.power import expect, power
    from openassay.core.shares import chances
    from openassay.plan import make_plan
    from openassay.project import chosen

    root = find_root()
    steps = (5, 10, 20, 50, 100)
    by_runs = f"P(REPRODUCED) by {', '.join(map(str, steps))} runs"
    console = terminal.console(130)
    table = terminal.table("target", "claim", "tolerance", "seed noise", by_runs, "caught", "reruns")
    for name in chosen(root, targets):
        plan = make_plan(Layout(root, name), [f"profile={profile}"])
        for claim in plan.claims:
            tolerance = f"± {claim.tolerance.margin:g}"
            if plan.rerun is None or not claim.testable:
                table.add_row(name, claim.id, tolerance, "–", "not tested", "–", "–")
                continue
            if claim.deterministic:
                table.add_row(name, claim.id, tolerance, "none", "1 if it is", "1", "2")
                continue
            design = plan.design(claim, {})
            most = design.max_runs
            if claim.success:
                share = share_terms_of(claim, design)
                off = share.published + (-2 if share.published > 0.5 else 2) * share.margin
                table.add_row(
                    name, claim.id, tolerance, "exact", f"{chances(share, share.published)[0]:.2f} by {most}",
                    f"{chances(share, min(1.0, max(0.0, off)))[1]:.2f}", f"{most} at most",
                )  # fmt: skip
                continue
            terms = terms_of(claim, design)
            known = "" if terms.prior()[1] > 0 else " if"
            for i, found in enumerate(expect(terms)):
                sd = found.noise * claim.tolerance.margin
                chance = " ".join(f"{power(terms, sd, 0.0, n):.2f}" if n <= most else "–" for n in steps)
                table.add_row(
                    *((name, claim.id, tolerance) if i == 0 else ("", "", "")), f"{found.noise:.2f}{known}", chance,
                    f"{found.not_reproduced:.2f}", f"{found.num_runs:.1f} of {most}",
                )  # fmt: skip
    console.print(table)
    console.print(
        "Seed noise: standard deviation in tolerances; followed by `if`, nothing is known of it beforehand. P(REPRODUCED): of a "
        "recipe without any difference, when so many runs are planned. Caught: P(NOT_REPRODUCED) of one off by two tolerances. "
        "Reruns: mean, of at most so many; the profile's budget of time may allow fewer.",
        soft_wrap=True,
    )
