"""The readers of foreign bytes as fuzzing calls them: as the product does, with nothing let through but what they say they refuse.

An input is a file's content behind one letter, which says what the file is called: `0` the reader's first name, `1` the second.
"""

from __future__ import annotations

import json
import resource
import shutil
import signal
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from releases.recipes import NEOX
from releases.small import megatron, safetensors, write

from openassay import model_openness_tool, scenario, yaml_loader
from openassay.checks.inspection import inspect_folder, opened
from openassay.draft import written
from openassay.draft.brought import BroughtRelease
from openassay.drivers.job import Arm, Job, LabelFile, load_arrays, save_arrays
from openassay.drivers.labels import hand_over
from openassay.drivers.measures import FileMeasure, Measure, PredictionsMeasure, measured
from openassay.drivers.published import TokenFiles
from openassay.drivers.readings import AtStep, BestEpoch
from openassay.drivers.run import Ended
from openassay.faults import BadInput
from openassay.layout import Layout
from openassay.published.pickles import PickleReader
from openassay.published.read import read_release
from openassay.published.recipes import read_recipe
from openassay.published.tokens import BadTokens
from openassay.published_requirements import PublishedEnvironment, read_published
from openassay.records import to_plain
from openassay.run_files import check_scale, read_runs, wandb_file  # noqa: F401 - imported late by the reader
from openassay.sources.fetched import Unavailable
from openassay.store import RefusedArchive, Store, payload_digest
from openassay.target import look_over_target
from openassay.training.mismatch import RecipeMismatch

CORPUS = Path(__file__).parent / "corpus"
SECONDS = 5.0
"""Of a processor, for one input; more is a hang."""
ROOM = 2**30
"""Bytes of memory for one input."""


class TooSlow(BaseException):
    """A reader takes longer over an input than any reader may; no reader catches it."""


@dataclass(frozen=True, kw_only=True)
class FuzzedReader:
    """A reader of foreign bytes."""

    names: tuple[str, ...]
    """Of the file, below a folder of its own."""
    read: Callable[[Path, Path], None]
    """Reads a file in a folder."""
    refusals: tuple[type[Exception], ...] = ()
    """What it says it raises."""


def read_input(reader: FuzzedReader, data: bytes, scratch: Path, room: int = ROOM) -> None:
    """Read one input; raises whatever the reader does not say it raises, and `TooSlow` or MemoryError for what it may not take."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    try:
        path = folder / reader.names[(data[0] - ord("0")) % len(reader.names) if data else 0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data[1:])
        with suppress(*reader.refusals), bounded(room):
            reader.read(path, folder)
    finally:
        shutil.rmtree(folder)


@contextmanager
def bounded(room: int) -> Iterator[None]:
    """Give the block `SECONDS` of a processor and this much memory besides what the process has."""

    def stop(*_: object) -> None:
        raise TooSlow(f"more than {SECONDS:g} s")

    before, limits = signal.signal(signal.SIGVTALRM, stop), resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + room, limits[1]))
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.signal(signal.SIGVTALRM, before)


def each(*tries: Callable[[], object]) -> None:
    """Do all of these, each whether or not the one before was refused as bad input."""
    for one in tries:
        with suppress(BadInput):
            one()


# Releases --------------------------------------------------------------------------------------------------------------

README = """# Small model
We train for 10 epochs with lr 0.1, see [the paper](https://arxiv.org/abs/1234.56789) and train.py.
```sh
pip install -r requirements.txt
python prepare.py && python train.py --epochs 10 --seed 1
```
Test accuracy is 93.1 %.

| model | hellaswag | accuracy |
|---|---|---|
| pythia-70m | 0.27 | 93.1 |
"""
TRAIN = """import argparse, torch
parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--seed", type=int, default=1)
args = parser.parse_args()
torch.manual_seed(args.seed)
for epoch in range(args.epochs):
    loss.backward()
print(f"test accuracy: {100 * acc:.1f} %")
"""
RESULTS = {
    "results": {"hellaswag": {"acc": 0.27, "acc_stderr": 0.004}, "lambada": {"ppl": 130.0, "acc": 0.2}},
    "config": {"model": "gpt2", "model_args": "pretrained=EleutherAI/pythia-70m,revision=step1000", "num_fewshot": 0},
}
CONFIG = {"hidden_size": 512, "num_hidden_layers": 6, "vocab_size": 100, "eos_token_id": 0, "model_type": "gpt_neox"}
RELEASE = {
    "README.md": README, "train.py": TRAIN, "results/step1000.json": RESULTS, "config.json": CONFIG,
    "requirements.txt": "numpy==1.26.4\n", "LICENSE": "Apache License\nVersion 2.0, January 2004\n",
    "step1000/model.safetensors": safetensors(a=np.arange(4, dtype="<f4")), "train.yaml": "lr: 1e-4\nepochs: 10\n",
    "tokenizer.json": {"model": {"vocab": {"<eos>": 0, "a": 1}}, "added_tokens": [{"id": 0, "content": "<eos>"}]},
    "table.csv": "model,task,metric,step,value\npythia-70m,hellaswag,acc,1000,0.27\n", "data.bin": megatron([[1, 2], [3, 4]])[1],
}  # fmt: skip


def beside(path: Path, folder: Path) -> None:
    """Put a sound release around a file."""
    content = path.read_bytes()
    write(folder, RELEASE)
    path.write_bytes(content)


def _inspected(path: Path, folder: Path) -> None:
    beside(path, folder)
    inspect_folder(folder)


def _pickle(path: Path, folder: Path) -> None:
    PickleReader().read(path, path.name, path.suffix)


def _weights(path: Path, folder: Path) -> None:
    """Weights of two steps; what torch's zip has inside is written around its index, whose checksum nothing would hit."""
    if path.suffix == ".bin":
        data = path.read_bytes()
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", data)
            archive.writestr("archive/data/0", bytes(64))
    other = folder / "step2" / path.name
    other.parent.mkdir()
    shutil.copyfile(path, other)
    read_release(folder)


def _archive(path: Path, folder: Path) -> None:
    with mock.patch.object(tempfile, "tempdir", str(folder)), opened(path) as top:
        payload_digest(top, ("*",))


def _openness(path: Path, folder: Path) -> None:
    data = yaml_loader.load_yaml(path)
    if model_openness_tool.is_record(data):
        model_openness_tool.read(data, path.name)


# Target files and recipes ----------------------------------------------------------------------------------------------


def _yaml(path: Path, folder: Path) -> None:
    """By both parsers, which must agree."""

    def found() -> object:
        try:
            return yaml_loader.load_yaml(path)
        except BadInput:
            return BadInput

    quick = found()
    with mock.patch.object(yaml_loader, "QUICK", yaml_loader.yaml.SafeLoader):
        slow = found()
    assert repr(quick) == repr(slow), (quick, slow)


def _target(path: Path, folder: Path) -> None:
    look_over_target(Layout(folder, path.stem))


def _recipe(path: Path, folder: Path) -> None:
    to_plain(read_recipe(path))


def _requirements(path: Path, folder: Path) -> None:
    write(folder, {"more.txt": "torch>=1\n", "pkg/setup.py": ""})
    for extras in ((), ("dev",)):
        with suppress(BadInput):
            found = read_published(
                PublishedEnvironment(artifact="code", path=path.name, extras=extras), folder, "x.yaml"
            )
            found.python_here()
            for line in found.lines:
                line.applies("3.11")
                if line.requirement:
                    line.loosened(pins=True), line.loosened(pins=False)


def _drafted(path: Path, folder: Path) -> None:
    beside(path, folder)
    root = folder.with_name(folder.name + "-root")
    try:
        files = read_release(folder, name="fuzzed")
        brought = BroughtRelease(
            artifact={"sources": [{"kind": "local", "path": "fuzzed"}]}, top=folder, files=files, name="fuzzed",
            version="1", homepage="unknown",
        )  # fmt: skip
        with mock.patch.object(written, "pinned", side_effect=Unavailable("no network")):
            drafted = written.draft(brought, "fuzzed", Store(root / "store"))
        layout = Layout(root, "fuzzed")
        write(root, {"conf/target/fuzzed.yaml": drafted.text()})
        look_over_target(layout)
    finally:
        shutil.rmtree(root, ignore_errors=True)


# What runs wrote -------------------------------------------------------------------------------------------------------


def _runs(path: Path, folder: Path) -> None:
    asked: tuple[dict[str, Any], ...] = (
        {}, {"column": "loss", "at": "last"}, {"column": "val/loss", "at": "last:each"}, {"column": "val/loss", "at": "1"},
        {"column": "acc", "at": "max:acc"}, {"column": "seed*"}, {"column": "loss", "run": "row", "drop_rows": ["mean"]},
    )  # fmt: skip
    each(*(lambda options=options: check_scale(read_runs(path, **options), 0.5) for options in asked))


def _ended(log: str = "") -> Ended:
    return Ended(ok=True, timed_out=False, error="", returned=None, log=log, cpu_s=0.0)


def _job(folder: Path, data: Path | None = None) -> Job:
    return Job(
        arm=Arm(), seed=0, data=data, artifacts={}, python=None, glue=None, out=folder, device="cpu", threads=1, timeout_s=1.0
    )  # fmt: skip


def _measured(path: Path, folder: Path) -> None:
    by: list[dict[str, Any]] = [
        {"key": key, **more} for key in ("loss", "eval.loss", "history.loss")
        for more in ({}, {"take": "highest"}, {"take": "all"}, {"take": AtStep(step=2), "steps": "step"},
                     {"best_epoch": BestEpoch(by="acc", best="highest")})
    ]  # fmt: skip
    if path.suffix == ".txt":
        pattern = r"step (?P<step>\S+): loss (?P<value>\S+)"
        by = [
            {"pattern": r"loss (\S+)"},
            {"pattern": pattern, "take": "all"},
            {"pattern": pattern, "take": AtStep(step=2)},
        ]
    measures: list[Measure] = [
        FileMeasure(read_from="file", metric="m", path=path.relative_to(folder).as_posix(), **of) for of in [*by, {}]
        if of or path.suffix != ".txt"
    ]  # fmt: skip
    each(*(lambda of=of: measured(_ended(), (replace(of, scale=100.0),), _job(folder)) for of in measures))


def _labels(path: Path, folder: Path) -> None:
    """As predictions of a run, and as labels that a run is handed."""
    with suppress(ValueError):
        load_arrays(folder, path.name)
    of = LabelFile(path=path.name, key="y" if path.suffix in {".npz", ".csv", ".tsv"} else "")
    data = folder / "data"
    data.mkdir()
    save_arrays(data, {"y": np.array([0, 1, 2, 1])})
    for metric in ("accuracy", "mean_squared_error"):
        measure: Any = PredictionsMeasure(read_from="predictions", metric="m", predictions=of, labels="y", of=metric)
        each(lambda measure=measure: measured(_ended(), (measure,), _job(folder, data)))
    shutil.copyfile(path, data / path.name)
    given: dict[str, Any] = {"withheld": (), "wanted": (of,), "touched": (of,), "seed": 1, "secret": "s", "where": "x"}
    each(
        lambda: hand_over(data, permute=(of,), relabel=(), **given), lambda: hand_over(data, permute=(), relabel=(of,), **given)
    )  # fmt: skip


RECIPE = replace(
    NEOX, steps=143_000, batch_size=2, data=replace(NEOX.data, item_length=3, sequence_length=2, split=None, seed=1)
)


def _tokens(path: Path, folder: Path) -> None:
    write(folder, {"data.bin": RELEASE["data.bin"]})
    index = {"files": ("data.bin",), "index": path.name}
    layouts: dict[str, list[dict[str, Any]]] = {
        ".idx": [{"layout": "preshuffled", **index}, {"layout": "megatron", **index}],
        ".jsonl": [{"layout": "jsonl", "files": (path.name,)}], ".parquet": [{"layout": "parquet", "files": (path.name,)}],
    }  # fmt: skip
    for layout in layouts[path.suffix]:
        with suppress(BadTokens, RecipeMismatch):
            batches = TokenFiles(artifact="code", **layout).batches({"code": str(folder)}, RECIPE)
            for i in range(min(2, batches.num_batches)):
                batches.batch(i)


def _scenario(path: Path, folder: Path) -> None:
    lines = path.read_bytes().splitlines()[:5]
    for look_often in (False, True):
        for line in scenario.judge_lines(lines, look_often=look_often):
            json.loads(line)


READERS: dict[str, FuzzedReader] = {
    "archive": FuzzedReader(names=("a.zip", "a.tar"), read=_archive, refusals=(BadInput, RefusedArchive)),
    "draft": FuzzedReader(
        names=("README.md", "train.ipynb", "train.py", "Makefile", "run.sh", "setup.py"), read=_drafted, refusals=(BadInput,)
    ),
    "inspected": FuzzedReader(
        names=("results/step2000.json", "config.json", "tokenizer.json", "results.csv", "train.yaml", "pyproject.toml", "t5.gin",
               "train.py", "README.md", "SHA256SUMS", "data.jsonl", "data.npy", "data.idx"),
        read=_inspected,
    ),
    "labels": FuzzedReader(names=("y.npy", "y.npz", "y.csv", "y.tsv", "y-idx1-ubyte", "y-idx1-ubyte.gz"), read=_labels),
    "measured": FuzzedReader(names=("m.json", "m.jsonl", "m.csv", "m.txt", "m.tsv"), read=_measured),
    "openness": FuzzedReader(names=("model.yml",), read=_openness, refusals=(BadInput,)),
    "pickle": FuzzedReader(names=("a.pkl", "a.joblib", "a.bin", "a.ckpt"), read=_pickle),
    "recipe": FuzzedReader(
        names=("recipe.yaml", "config.json", "recipe.gin", "main.py"), read=_recipe, refusals=(BadInput,)
    ),
    "requirements": FuzzedReader(
        names=("requirements.txt", "pyproject.toml", "setup.cfg", "environment.yml", "Dockerfile"), read=_requirements
    ),
    "runs": FuzzedReader(
        names=("runs.csv", "runs.json", "run.wandb", "mlruns/0/ab/metrics/loss", "events.out.tfevents.1.host"), read=_runs
    ),
    "scenario": FuzzedReader(names=("scenarios.jsonl",), read=_scenario, refusals=(BadInput,)),
    "target": FuzzedReader(names=("conf/target/fuzzed.yaml",), read=_target),
    "tokens": FuzzedReader(names=("data.idx", "data.jsonl", "data.parquet"), read=_tokens),
    "weights": FuzzedReader(names=("step1/model.safetensors", "step1/pytorch_model.bin"), read=_weights),
    "yaml": FuzzedReader(names=("a.yaml",), read=_yaml),
}  # fmt: skip
