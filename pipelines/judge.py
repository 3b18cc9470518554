"""Compare the reruns with the claims.

reads   experiments/TARGET/plan.yaml and every record
writes  experiments/TARGET/verdict.json, metrics.json, runs.csv
"""

import sys

from openassay.faults import faults_in_one_line
from openassay.layout import named_target
from openassay.plan import read_plan
from openassay.records import write_record, write_text
from openassay.seals import sealing
from openassay.stages import judge


def main() -> None:
    layout = named_target(sys.argv)
    with sealing(layout, "judge"):
        verdict = judge.run(read_plan(layout), *judge.read_all(layout), layout)
        write_record(layout.verdict, verdict)
        for path, text in judge.tables(layout, verdict).items():
            write_text(path, text)


if __name__ == "__main__":
    with faults_in_one_line():
        main()
