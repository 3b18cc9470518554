"""Freeze what will be tested.

reads   the target's file, conf/pipeline.yaml and the options that it chooses
writes  experiments/TARGET/plan.yaml, inputs/STAGE.json: digests of the sections that each stage reads
"""

import sys

from openassay.faults import faults_in_one_line
from openassay.layout import named_target
from openassay.pipeline import write_pipeline
from openassay.plan import write_inputs, write_plan
from openassay.seals import sealing
from openassay.stages import plan
from openassay.target import read_target


def main() -> None:
    layout, asked = named_target(sys.argv), tuple(sys.argv[2:])
    found = plan.run(layout, asked)
    with sealing(layout, "plan"):
        write_plan(layout.plan, found)
        write_inputs(layout, found)
    write_pipeline(layout, read_target(layout), asked)  # for the next time: what it reads may be other files now


if __name__ == "__main__":
    with faults_in_one_line():
        main()
