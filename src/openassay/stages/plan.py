"""What exactly will be tested, and with which tolerance?"""

from __future__ import annotations

from collections.abc import Sequence

from openassay.devices import device_here
from openassay.layout import Layout
from openassay.plan import Plan, make_plan


def run(layout: Layout, asked: Sequence[str]) -> Plan:
    """Freeze the plan: the target file, our settings composed by Hydra, the seeds, and the digest of it all.

    `BadInput` where a GPU is asked for and there is none: said now, before anything is fetched.
    """
    plan = make_plan(layout, asked)
    if plan.rerun:
        device_here(plan.execution.device)
    return plan
