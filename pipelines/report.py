"""Show the evidence: one page, and MLflow runs.

reads   experiments/TARGET/plan.yaml, verdict.json and every record
writes  experiments/TARGET/report.html; MLflow
"""

import sys

from openassay.faults import faults_in_one_line
from openassay.layout import named_target
from openassay.plan import read_plan
from openassay.records import write_text
from openassay.seals import sealing
from openassay.stages import report


def main() -> None:
    layout = named_target(sys.argv)
    with sealing(layout, "report"):
        evidence = report.read_evidence(read_plan(layout), layout)
        write_text(layout.report, report.run(evidence))
    report.track(evidence, layout)


if __name__ == "__main__":
    with faults_in_one_line():
        main()
