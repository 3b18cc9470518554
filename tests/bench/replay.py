"""How long does `openassay audit` take for a miniature Pythia, and what does it fetch? `python tests/bench/replay.py`.

A hub on this machine publishes the miniature in Pythia's layout; the audit is the real pipeline with a probe of every field of the
recipe and tracking in MLflow. `--keep FOLDER` leaves the project there, to look at the report and the dashboard.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from hub import Hub
from releases import pythia
from releases.miniature import make_project, write_index, write_target

from openassay.core.replay_records import ReplayRecord
from openassay.core.verdict_records import ReleaseVerdict
from openassay.layout import Layout
from openassay.records import read_record

UPDATES = (16, 64)
NAME = "mini_pythia"


def main() -> None:
    """Publish, audit, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="an empty folder for the audited project")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.keep or Path(scratch) / "kept"
        folder.mkdir(parents=True, exist_ok=True)
        with Hub(folder / "hub") as hub:
            layout = Layout(make_project(folder / "project", git=True), NAME)
            code, tokens, commits = pythia.publish(hub, folder)
            write_target(layout.root, pythia.target(NAME, code, tokens, commits, updates=UPDATES))
            write_index(layout.root, [NAME], tracking="sqlite")
            hub.requests.clear()
            seconds = _audit(
                layout, {**_without_proxies(), **hub.variables(), "OPENASSAY_CACHE": str(folder / "cache")}
            )
            sent = hub.sent("*/resolve/*")
        weights = sum(value.size for value in pythia.initial_weights(pythia.recipe(folder), 0).values())
        needed = len(commits) * 4 * weights + (max(UPDATES) * 8 + 64) * (pythia.LENGTH + 1) * 2
        verdict = read_record(layout.verdict, ReleaseVerdict)
        record = read_record(layout.rerun("faithful", 0) / "replay.json", ReplayRecord)
    exercised = sum(of.exercised for of in record.exercise)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{verdict.outcome}: {verdict.reason}")
    print(f"the audit: {seconds:.0f} s on {os.cpu_count()} cores; largest process {peak:.0f} MiB")
    print(f"{len(record.replicas)} replicas, {len(record.exercise)} probes, {exercised} of them exercised")
    print(f"bytes fetched / needed: {sent} / {needed} = {sent / needed:.4f}")


def _audit(layout: Layout, environment: dict[str, str]) -> float:
    started = time.monotonic()
    command = [str(Path(sys.executable).parent / "openassay"), "audit", NAME]
    subprocess.run(command, cwd=layout.root, env=environment, check=True)
    return time.monotonic() - started


def _without_proxies() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")} | {"PATH": path}


if __name__ == "__main__":
    main()
