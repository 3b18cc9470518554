"""What exactly will be tested, and with which tolerance?"""

from __future__ import annotations

from openassay.layout import Layout
from openassay.plan import Plan, compose, make_plan


def run(layout: Layout, asked: tuple[str, ...]) -> Plan:
    """Freeze the plan: the target file, our settings composed by Hydra, the seeds, and the digest of it all."""
    return make_plan(layout, compose(layout.root, asked))
