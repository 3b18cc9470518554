"""What exactly will be tested, and with which tolerance?"""

from __future__ import annotations

import os

from openassay.layout import Layout, checked_name
from openassay.plan import PROFILE_VARIABLE, Plan, make_plan


def run(layout: Layout, overrides: list[str]) -> Plan:
    """Freeze the plan: the target file, our settings composed by Hydra, the seeds, and the digest of it all."""
    if profile := os.environ.get(PROFILE_VARIABLE):
        checked_name(profile, PROFILE_VARIABLE)
        overrides = [*(given for given in overrides if not given.startswith("profile=")), f"profile={profile}"]
    return make_plan(layout, overrides)
