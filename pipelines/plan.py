"""Freeze what will be tested.

reads   conf/target/TARGET.yaml, conf/plan.yaml and what it composes
writes  experiments/TARGET/plan.yaml
"""

import sys

from openassay.faults import faults_in_one_line
from openassay.layout import named_target
from openassay.plan import write_plan
from openassay.stages import plan


def main() -> None:
    layout = named_target(sys.argv)
    write_plan(layout.plan, plan.run(layout, overrides=sys.argv[2:]))


if __name__ == "__main__":
    with faults_in_one_line():
        main()
