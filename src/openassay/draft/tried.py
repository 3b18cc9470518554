"""One rerun of a drafted target, for whoever drafts it: does it run, and what does it measure?"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from openassay.drivers.job import Arm
from openassay.layout import Layout
from openassay.plan import make_plan
from openassay.sandbox import NotPossible, make_room
from openassay.stages import fetch
from openassay.store import Store
from openassay.target import Target


def try_out(target: Target, layout: Layout, store: Store) -> Iterator[str]:
    """Build the environment and rerun the faithful arm on seed 0; gives what came of it, a line each."""
    plan = make_plan(layout, ["tracking=none"], replace(target, guesses={}))
    driver = plan.rerun
    if driver is None:
        return
    try:
        room = make_room(plan, fetch.run(plan, store, layout), store, layout, needs_environment=True)
    except NotPossible as problem:
        yield f"it cannot be run: {problem}"
        return
    with tempfile.TemporaryDirectory() as folder:
        job = room.job(
            out=Path(folder), data=None, arm=Arm(), seed=0, device="cpu", threads=1, timeout_s=driver.timeout_s
        )
        if why := driver.dry_start(job):
            yield f"it cannot start: {why}"
            return
        result = driver.execute(job)
    yield f"seed 0: {result.status.value} after {result.cpu_s:.0f} s of CPU" + (
        f": {result.reason}" * bool(result.reason)
    )
    measured = {of.metric: of.value for of in result.measurements}
    for claim in plan.claims:
        yield f"{claim.metric}: measured {measured.get(claim.metric)}, published {claim.published.value:g} {claim.unit}"
    if not result.measurements:
        yield from (f"  {line}" for line in result.log.splitlines()[-5:])
