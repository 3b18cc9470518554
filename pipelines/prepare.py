"""Run the published data preparation, and compare its data with the published facts.

reads   experiments/TARGET/plan.yaml: prepare, environment, glue; fetch/record.json
writes  experiments/TARGET/prepare/record.json, prepare/data/
"""

import sys

from openassay.core.findings import FetchRecord
from openassay.faults import faults_in_one_line
from openassay.layout import cache_home, named_target
from openassay.plan import read_plan
from openassay.records import read_record, write_record
from openassay.seals import sealing
from openassay.stages import prepare
from openassay.store import Store


def main() -> None:
    layout = named_target(sys.argv)
    with layout.alone(), sealing(layout, "prepare"):
        fetched = read_record(layout.record("fetch"), FetchRecord)
        write_record(layout.record("prepare"), prepare.run(read_plan(layout), fetched, Store(cache_home()), layout))


if __name__ == "__main__":
    with faults_in_one_line():
        main()
