"""What exactly will be tested, and with which tolerance?"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from openassay.cage import check_cage, interpreter_folders
from openassay.devices import device_here
from openassay.layout import Layout
from openassay.plan import Plan, make_plan


def run(layout: Layout, asked: Sequence[str]) -> Plan:
    """Freeze the plan: the target file, our settings composed by Hydra, the seeds, and the digest of it all.

    `BadInput` where a GPU is asked for and there is none, `NoCage` where published code would run in a cage that is not to
    be had: said now, before anything is fetched.
    """
    plan = make_plan(layout, asked)
    if plan.rerun:
        device_here(plan.execution.device)
    if plan.environment and plan.isolation.kind != "none":
        check_cage(sys.executable, interpreter_folders(sys.executable))
    return plan
