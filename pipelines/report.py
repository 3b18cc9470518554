"""Show the evidence: one page, and MLflow runs.

reads   experiments/TARGET/plan.yaml, verdict.json and every record
writes  experiments/TARGET/report.html, reviews.jsonl (those that were made in MLflow); MLflow
"""

import sys

from openassay.faults import faults_in_one_line
from openassay.layout import named_target
from openassay.reviewing import reviews
from openassay.stages import report


def main() -> None:
    layout = named_target(sys.argv)
    evidence = report.write_page(layout)
    report.track(evidence, layout)
    if reviews(layout.root, layout.target) != evidence.reviews:  # some were made in MLflow
        report.write_page(layout)


if __name__ == "__main__":
    with faults_in_one_line():
        main()
