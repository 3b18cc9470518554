"""`make bench`: how much longer does an audit take than the same trainings run bare in one process?

Both are timed in one go on this machine, in a scratch project: first the whole audit (every stage, from nothing but downloaded
artifacts and a built environment), with one worker and with one a core; then the same seeds and arms in a loop in one process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from openassay.new_project import init
from openassay.project import layouts
from openassay.stage_code import script

BIN = Path(sys.executable).parent
SETTINGS = {"one": ["execution.workers=1", "execution.together=1"], "cpu": []}


def main() -> None:
    """Time both, print the ratios."""
    target = sys.argv[1] if len(sys.argv) > 1 else "mnist1d_cnn"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        init(root)
        layout = layouts(root, [f"catalogue:{target}"])[0]
        for stage in ("plan", "fetch", "prepare"):  # download and environment: once
            command = [sys.executable, "-P", "-m", script(stage), layout.reference]
            subprocess.run(command, cwd=root, check=True, stdout=subprocess.DEVNULL)
        times = {}
        for execution, settings in SETTINGS.items():
            shutil.rmtree(layout.folder)
            command = [str(BIN / "openassay"), "audit", layout.reference, "execution=cpu", *settings]
            started = time.monotonic()
            subprocess.run(command, cwd=root, check=True, stdout=subprocess.DEVNULL)
            times[execution] = time.monotonic() - started
            if execution == "one":
                shutil.copyfile(layout.record("rerun"), root / "made.json")
        started = time.monotonic()
        code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import overhead; overhead.bare({target!r})"
        subprocess.run([sys.executable, "-c", code], cwd=root, check=True)
        bare_s = time.monotonic() - started
    print(f"{target}: bare trainings in one process {bare_s:.1f} s")
    print(f"  audit, one worker: {times['one']:.1f} s, ratio {times['one'] / bare_s:.2f}")
    print(f"  audit, {os.cpu_count()} workers: {times['cpu']:.1f} s, ratio {times['cpu'] / bare_s:.2f}")


def bare(target: str) -> None:
    """The same trainings as the audit with one worker made, one after another, nothing else."""
    from openassay.core.rerun_records import RerunsRecord
    from openassay.drivers.job import load_arrays, permuted
    from openassay.drivers.native import NativeDriver
    from openassay.layout import Layout
    from openassay.plan import read_plan
    from openassay.records import read_record
    from openassay.training.trainer import train

    layout = Layout(Path.cwd(), target)
    plan = read_plan(layout)
    assert isinstance(plan.rerun, NativeDriver), "the bare loop knows native recipes"
    arrays = load_arrays(layout.data)
    made = read_record(layout.root / "made.json", RerunsRecord).identities
    for name, arm in plan.arms().items():
        for seed in plan.seeds.arms[name][: len(made[name])]:
            train(plan.rerun.of_arm(arm), permuted(arrays, arm.permute, seed), seed=seed)


if __name__ == "__main__":
    main()
