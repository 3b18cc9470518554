"""What does bringing many small files cost beside the hub's own library?

`python tests/bench/downloads.py [FILES]`: CPU and wall time of one fetch of 1,000 files of 2 KB from a hub on this machine, which
is a process of its own: ours into a fresh store, and `snapshot_download` into a fresh cache. Both are asked for a repository of
one file first, so that nobody's imports count. They are measured in turn, three times; the ratios are of the medians.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

TESTS = Path(__file__).parents[1]
ROUNDS = 3
SIZE = 2000


def main() -> None:
    """Serve, measure, print."""
    num_files = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as folder:
        root, made = Path(folder), Random(0)
        for repo, number in (("few", 1), ("many", num_files)):
            at = root / "served" / "models" / "o" / repo / "main"
            at.mkdir(parents=True)
            for i in range(number):
                (at / f"file-{i:05}.json").write_bytes(made.randbytes(SIZE))
        command = [sys.executable, "-m", "hub", str(root / "served")]
        with subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout
                said = [server.stdout.readline() for _ in range(6)]
                variables = dict(line.removeprefix("export ").strip().split("=", 1) for line in said)
                cost: dict[str, list[list[float]]] = {"ours": [], "hub": []}
                for turn in range(ROUNDS):
                    for name, of in cost.items():
                        home = root / f"{name}-{turn}"
                        environment = (
                            os.environ | variables | {"HF_HOME": str(home), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
                        )
                        done = subprocess.run(
                            [sys.executable, __file__, name, str(home)],
                            env=environment, capture_output=True, text=True, check=True,
                        )  # fmt: skip
                        of.append(json.loads(done.stdout.splitlines()[-1]))
            finally:
                server.terminate()
    medians = {name: [statistics.median(column) for column in zip(*of, strict=True)] for name, of in cost.items()}
    for name, (cpu_s, wall_s) in medians.items():
        print(f"{name}: {num_files} files: {cpu_s:.2f} s CPU, {wall_s:.2f} s")
    cpu, wall = (ours / hub for ours, hub in zip(medians["ours"], medians["hub"], strict=True))
    print(f"ours over the hub's library: {cpu:.2f} of its CPU, {wall:.2f} of its time")


def one(name: str, home: Path) -> None:
    """Fetch both repositories in this process; say what the second one cost."""
    for repo in ("few", "many"):
        started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
        (ours if name == "ours" else theirs)(f"o/{repo}", home)
        after = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps([cpu_s, time.monotonic() - started]))


def ours(repo: str, home: Path) -> None:
    """Into a store."""
    from openassay.sources.hf import HfSource
    from openassay.store import Store

    HfSource(kind="hf", repo=repo, files=("*",)).fetch(Store(home), "here")


def theirs(repo: str, home: Path) -> None:
    """Into the library's cache."""
    from huggingface_hub import snapshot_download

    snapshot_download(repo, cache_dir=home)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        one(sys.argv[1], Path(sys.argv[2]))
    else:
        main()
