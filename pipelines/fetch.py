"""Bring every published artifact into the store.

reads   experiments/TARGET/plan.yaml: artifacts
writes  experiments/TARGET/fetch/record.json
"""

import sys

from openassay.faults import faults_in_one_line
from openassay.layout import cache_home, named_target
from openassay.plan import read_plan
from openassay.records import write_record
from openassay.seals import sealing
from openassay.stages import fetch
from openassay.store import Store


def main() -> None:
    layout = named_target(sys.argv)
    with sealing(layout, "fetch"):
        write_record(layout.record("fetch"), fetch.run(read_plan(layout), Store(cache_home()), layout))


if __name__ == "__main__":
    with faults_in_one_line():
        main()
