"""`python tests/bench/catalogue.py [N ...]`: what does OpenAssay cost besides training, in catalogues of N targets?

CPU seconds (user and system, children included) of whole commands in a scratch project. One miniature release is audited; the others
are copies of its records under other names, which DVC takes over, so that nothing in the project is stale. All targets stand in
the index.
"""

from __future__ import annotations

import logging
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from contextlib import chdir
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from releases.miniature import add_release, make_project, write_index

from openassay.layout import Layout
from openassay.pipeline import link_package, write_pipeline
from openassay.plan import make_plan
from openassay.project import target_names
from openassay.target import read_target

BIN = Path(sys.executable).parent
FIRST = "t0000"


def main() -> None:
    """Measure and print a table, a column a size."""
    sizes = [int(word) for word in sys.argv[1:]] or [1, 25, 250, 1000]
    rows: dict[str, list[float]] = {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["OPENASSAY_CACHE"] = f"{folder}/cache"
            root = make_project(Path(folder) / "project", git=True)
            add_release(root, "honest", FIRST)
            write_index(root, [FIRST])
            measured(root, "openassay", "audit", FIRST)
            multiply(root, size)
            for name, command in commands().items():
                rows.setdefault(name, []).append(measured(root, *command))
    width = max(map(len, rows))
    print(f"{'CPU seconds; targets:':{width}} " + "".join(f"{size:8}" for size in sizes))
    for name, found in rows.items():
        print(f"{name:{width}} " + "".join(f"{seconds:8.2f}" for seconds in found))


def commands() -> dict[str, list[str]]:
    """What is measured, by what it is called in the table; the order matters, since one leaves what the next one finds."""
    pipeline = f"experiments/{FIRST}/dvc.yaml"
    return {
        "openassay --help": ["openassay", "--help"],
        "audit of one, all reruns kept": ["openassay", "audit", "--force", FIRST],
        "audit of one, nothing stale": ["openassay", "audit", FIRST],
        "dvc status of one": ["dvc", "status", "-q", pipeline],
        "dvc repro -s of one, nothing stale": ["dvc", "repro", "-q", "-s", pipeline],
        "dvc repro audit@one, nothing stale": ["dvc", "repro", "-q", f"audit@{FIRST}"],
        "dvc repro of all, nothing stale": ["dvc", "repro", "-q"],
        "dvc status of all": ["dvc", "status", "-q"],
        "openassay check of all": ["openassay", "check"],
        "openassay list": ["openassay", "list"],
        "audit --due 30d, nothing due": ["openassay", "audit", "--due", "30d"],
    }


def measured(root: Path, *command: str) -> float:
    """The CPU seconds of a command that must succeed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(
        [str(BIN / command[0]), *command[1:]], cwd=root, env=environment, check=True, stdout=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def multiply(root: Path, size: int) -> None:
    """Give the project so many targets, audited as the first one was."""
    from dvc.repo import Repo

    first = Layout(root, FIRST)
    digest = make_plan(first).digest
    for number in range(1, size):
        layout = Layout(root, f"t{number:04}")
        layout.target_file.write_text(first.target_file.read_text().replace(f"name: {FIRST}", f"name: {layout.target}"))
        shutil.copytree(first.folder, layout.folder, ignore=shutil.ignore_patterns("dvc.lock"))
        frozen = make_plan(layout)
        for path in layout.folder.rglob("*"):
            if path.is_file() and path.suffix in {".yaml", ".json", ".jsonl"}:
                text = path.read_text().replace(digest, frozen.digest)
                path.write_text(
                    text.replace(FIRST, layout.target).replace(f"releases/{layout.target}", f"releases/{FIRST}")
                )
        write_pipeline(layout, read_target(layout))
    logging.getLogger("dvc").setLevel(logging.ERROR)
    names = target_names(root)
    write_index(root, names)
    link_package(root)
    with chdir(root):
        repo = Repo(str(root))
        for name in names[1:]:
            repo.commit(f"experiments/{name}/dvc.yaml", force=True)
        repo.commit("dvc.yaml", force=True)


if __name__ == "__main__":
    main()
