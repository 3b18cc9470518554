"""Train again: faithful seeds and broken controls.

reads   experiments/TARGET/plan.yaml: rerun, controls, seeds, environment, glue; fetch/record.json, prepare/
writes  experiments/TARGET/rerun/record.json, rerun/ARM/seed-N/
"""

import sys

from openassay.core.findings import FetchRecord, PrepareRecord
from openassay.faults import faults_in_one_line
from openassay.layout import cache_home, named_target
from openassay.plan import read_plan
from openassay.records import read_record, write_record
from openassay.seals import sealing
from openassay.stages import rerun
from openassay.store import Store


def main() -> None:
    layout = named_target(sys.argv)
    with layout.alone(), sealing(layout, "rerun"):
        fetched = read_record(layout.record("fetch"), FetchRecord)
        prepared = read_record(layout.record("prepare"), PrepareRecord)
        record = rerun.run(read_plan(layout), fetched, prepared, Store(cache_home()), layout)
        write_record(layout.record("rerun"), record)


if __name__ == "__main__":
    with faults_in_one_line():
        main()
