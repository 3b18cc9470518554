"""Look for the declared components, terms and quotations in what was fetched.

reads   experiments/TARGET/plan.yaml: components, citations; fetch/record.json
writes  experiments/TARGET/inspect/record.json

(The underscore keeps this file from standing in for the standard library's `inspect`.)
"""

import sys

from openassay.core.findings import FetchRecord
from openassay.faults import faults_in_one_line
from openassay.layout import cache_home, named_target
from openassay.plan import read_plan
from openassay.records import read_record, write_record
from openassay.seals import sealing
from openassay.stages import inspect
from openassay.store import Store


def main() -> None:
    layout = named_target(sys.argv)
    with sealing(layout, "inspect"):
        fetched = read_record(layout.record("fetch"), FetchRecord)
        write_record(layout.record("inspect"), inspect.run(read_plan(layout), fetched, Store(cache_home())))


if __name__ == "__main__":
    with faults_in_one_line():
        main()
