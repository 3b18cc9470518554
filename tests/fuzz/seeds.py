"""Small valid files of every format, by their real writers: what fuzzing starts from. `PYTHONPATH=tests python -m fuzz.seeds`."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import nbformat.v4 as notebook
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml
from releases.small import megatron, safetensors
from sklearn.linear_model import LogisticRegression
from torch.utils.tensorboard import SummaryWriter
from unit.test_recipe_formats import GIN, SAMPLES
from unit.test_run_files import CHART, CURVES, MLFLOW, MLFLOW_HISTORY, MLFLOW_UI, PLAIN, WANDB, lm_eval

from fuzz.readers import CORPUS, READERS, RELEASE

CONF = Path(__file__).parents[2] / "conf" / "target"
LABELS = np.array([0, 1, 2, 1])
LOG = "step 1: loss 3.5\nstep 2: loss 2.5e-1\r\nstep 3: loss nan\n"


def by_path(write: Callable[[Path], object], name: str = "a") -> bytes:
    """What a writer that wants a path writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        write(path)
        return path.read_bytes()


def in_memory(write: Callable[[io.BytesIO], object]) -> bytes:
    """What a writer that takes a file writes."""
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def zipped(**files: bytes) -> bytes:
    def write(buffer: io.BytesIO) -> None:
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)

    return in_memory(write)


def tarred(kind: Any, **more: Any) -> bytes:
    def write(buffer: io.BytesIO) -> None:
        with tarfile.open(fileobj=buffer, mode="w", format=kind, **more) as archive:
            for name in ("a/README.md", "a/" + "long/" * 25 + "b.txt"):
                member = tarfile.TarInfo(name)
                member.size = 3
                archive.addfile(member, io.BytesIO(b"abc"))
            link = tarfile.TarInfo("a/link")
            link.type, link.linkname = tarfile.SYMTYPE, "README.md"
            archive.addfile(link)

    return in_memory(write)


def index_of(model: object) -> bytes:
    """The index of what torch saves."""
    with zipfile.ZipFile(io.BytesIO(in_memory(lambda buffer: torch.save(model, buffer)))) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))


def events() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        with SummaryWriter(folder) as writer:
            for step in range(3):
                writer.add_scalar("loss", 3.0 - step, step)
        return next(Path(folder).iterdir()).read_bytes()


def wandb_run() -> bytes:
    code = "import wandb\nrun = wandb.init(mode='offline', project='p')\nfor i in range(3): run.log({'loss': 3.0 - i})\nrun.finish()\n"
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, env=os.environ | {"WANDB_SILENT": "true"})
        return next(Path(folder).glob("wandb/offline-*/*.wandb")).read_bytes()


def ipynb() -> str:
    cell = notebook.new_code_cell("%matplotlib inline\nmodel.fit(x, y)\nprint(f'accuracy {acc:.3f}')")
    cell.outputs = [notebook.new_output("stream", text="epoch 1\naccuracy 0.931\n")]
    return json.dumps(notebook.new_notebook(cells=[notebook.new_markdown_cell("# Title"), cell]))


def parquet(**more: Any) -> bytes:
    table = pa.table({"token_ids": [[1, 2, 3], [4, 5, 6]]})
    return in_memory(lambda buffer: pq.write_table(table, buffer, **more))


def table(separator: str) -> str:
    return "\n".join(separator.join(row) for row in [["x", "y"], *(["1.5", str(of)] for of in LABELS)]) + "\n"


IDX = b"\0\0\x08\x01" + len(LABELS).to_bytes(4, "big") + bytes(LABELS.tolist())
INDEX = megatron([[1, 2, 3], [4, 5, 6]])[0]
MODEL = OrderedDict(a=torch.zeros(2, 3), b=torch.nn.Parameter(torch.ones(4)))
TENSORS = safetensors(a=np.arange(6, dtype="<f4").reshape(2, 3), b=np.ones(2, "<f2"))
ROWS = [{"step": i, "loss": 3.0 - i, "acc": 0.5, "eval": {"loss": 2.0}} for i in (1, 2, 3)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
OPENNESS = {
    "framework": {"name": "Model Openness Framework", "version": "1.0"},
    "release": {
        "name": "a", "license": {"distribution": {"name": "MIT"}, "code": {"name": "Apache-2.0", "path": "LICENSE"}},
        "components": [
            {"name": "Training code", "license": "MIT"}, {"name": "Model card", "license_name": "Component not included"},
            {"name": "Datasets", "component_path": "data"},
        ],
    },
}  # fmt: skip
SCENARIO = {
    "id": "a", "claim": {"tolerance": 0.02}, "published": {"mean": 3.28, "rounding": 0.01}, "runs": [3.279, 3.281, 3.28, None],
    "metric": {"type": "loss"},
}  # fmt: skip
PAIRED = {
    "claim": {"tolerance": 0.1, "alpha": 0.05, "direction": "at_least", "estimand": "recipe"}, "paired": True,
    "published": {"values": [0.9, 0.91]}, "runs": [0.9, 0.92], "metric": {"type": "accuracy", "test_n": 100}, "max_runs": 9,
}  # fmt: skip
TARGETS = [
    (CONF / f"{name}.yaml").read_bytes()
    for name in ("magika", "pygat_cora", "hamiltonian_spring", "g2p_en", "fashion_mnist")
]
YAML = b"# a\na: [1, 'b', \"c\\n\"]\nb: {c: 1e-3, d: no, e: null, f: ~}\ng: |\n  text\nh: >-\n  more\n  text\ni:\n- - 1\n- k: -0.5\n"
REQUIREMENTS = (
    "numpy==1.19.*  # exact\ntorch>=1.0,<2 ; python_version < '3.9'\n-r more.txt\n-e ./pkg[dev]\n--extra-index-url https://u:p@e.org/s\n"
    "git+https://github.com/a/b@main#egg=b\nscipy==1.0 --hash=sha256:00ff\npkg @ https://e.org/pkg-1.0-py3-none-any.whl\n"
)
PYPROJECT = (
    '[project]\nname = "a"\nrequires-python = ">=3.7"\ndependencies = ["numpy>=1", "torch"]\n'
    '[project.optional-dependencies]\ndev = ["pytest"]\n'
)
POETRY = (
    '[tool.poetry.dependencies]\npython = "^3.8"\nnumpy = "~1.2"\nc = {git = "https://e.org/c"}\nd = {version = "^1.0", optional = true, '
    'extras = ["x"], markers = "os_name == \'nt\'"}\ne = {path = "pkg"}\n[tool.poetry.extras]\ndev = ["d"]\n'
)
SETUP_CFG = "[options]\npython_requires = >=3.6\ninstall_requires =\n  numpy>=1\n  torch\n[options.extras_require]\ndev = pytest; ruff\n"
CONDA = "name: a\ndependencies:\n- python=3.7\n- conda-forge::numpy==1.19.2=py37h54aff64_0\n- pytorch 1.7.*\n- pip:\n  - tqdm\n  - -r more.txt\n"
DOCKER = (
    "ARG V=3.7\nFROM --platform=linux python:${V}-slim AS base\nENV A=1 B='2'\nRUN apt-get update && \\\n  pip install -U numpy==1.2 -r more.txt "
    '--no-deps > log\nRUN ["pip", "install", "torch"]\n'
)

SEEDS: dict[str, list[tuple[int, bytes | str]]] = {
    "archive": [
        (0, zipped(**{"a/README.md": b"abc", "a/b.txt": bytes(50)})),
        *((1, tarred(kind)) for kind in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)),
        (1, gzip.compress(tarred(tarfile.GNU_FORMAT), mtime=0)),
        (1, tarred(tarfile.PAX_FORMAT, pax_headers={"comment": "words"})),
    ],
    "draft": [
        (0, RELEASE["README.md"]), (1, ipynb()), (2, RELEASE["train.py"]), (3, "train:\n\tpython train.py --epochs 3 \\\n\t  --seed 2\n"),
        (4, "#!/bin/sh\nset -e\ncd src; python -m torch.distributed.run train.py lr=0.1 data=https://e.org/a.zip\n"),
        (5, "from setuptools import setup\nsetup(install_requires=['numpy>=1'], entry_points={'console_scripts': ['run=train:main']})\n"),
    ],
    "inspected": [
        (0, json.dumps(RELEASE["results/step1000.json"])), (1, json.dumps(RELEASE["config.json"])),
        (2, json.dumps(RELEASE["tokenizer.json"])), (3, RELEASE["table.csv"]), (4, SAMPLES["gpt_neox"]), (4, SAMPLES["olmo"]),
        (5, PYPROJECT), (6, GIN["run.gin"]), (7, RELEASE["train.py"]),
        (8, "---\nlicense: mit\ndatasets: [a/b]\n---\n" + RELEASE["README.md"]), (9, f"{'0' * 64}  a.bin\n{'1' * 64} *b.bin\n"),
        (10, '{"token_ids": [1, 2, 3]}\n{"token_ids": [4, 5, 6]}\n'), (11, in_memory(lambda of: np.save(of, np.ones((3, 4), "<u2")))),
        (12, INDEX),
    ],
    "labels": [
        (0, in_memory(lambda of: np.save(of, LABELS))), (0, in_memory(lambda of: np.save(of, np.array(["a", "b", "a", "c"])))),
        (0, in_memory(lambda of: np.save(of, np.eye(4)))), (1, in_memory(lambda of: np.savez(of, y=LABELS, x=np.eye(2)))),
        (1, in_memory(lambda of: np.savez_compressed(of, y=LABELS))), (2, table(",")), (3, table("\t")), (4, IDX),
        (5, gzip.compress(IDX, mtime=0)),
    ],
    "measured": [
        (0, json.dumps({"loss": 2.5, "eval": {"loss": 2.25}, "acc": 1, "history": {"loss": [3, 2.5], "acc": [0.1, 0.2]}})),
        (0, json.dumps({"history": ROWS})), (0, json.dumps(ROWS)), (1, LINES), (2, CURVES.replace("test_acc", "loss").replace("val_acc", "acc")),
        (2, "loss\n2.5\n"), (3, LOG), (4, "step\tloss\tacc\n1\t2.5\t0.1\n2\t2.25\tnan\n"),
    ],
    "openness": [(0, yaml.dump(OPENNESS))],
    "pickle": [
        *((0, pickle.dumps({"a": (1, "b", 2.5), "c": OrderedDict(d=[None, True])}, protocol)) for protocol in (0, 2, 4)),
        (0, pickle.dumps(np.arange(4))), (1, by_path(lambda path: joblib.dump(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), path))),
        (1, by_path(lambda path: joblib.dump({"a": np.arange(3)}, path, compress=("zlib", 3)))),
        (1, by_path(lambda path: joblib.dump({"a": np.array(["a", None], object)}, path))),
        (2, in_memory(lambda of: torch.save({"a": torch.zeros(2)}, of, _use_new_zipfile_serialization=False))),
        (3, in_memory(lambda of: torch.save({"a": torch.zeros(2)}, of))),
    ],
    "recipe": [
        *((0, SAMPLES[name]) for name in ("gpt_neox", "olmo", "cerebras", "cerebras_preparation")),
        *((0, SAMPLES[name]) for name in ("axolotl", "open_instruct", "trl", "nanotron", "llm_foundry", "litgpt")),
        *((1, SAMPLES[name]) for name in ("hf_config", "hf_arguments", "deepspeed")), (2, SAMPLES["t5_gin"]),
        *((3, SAMPLES[name]) for name in ("amber", "tinyllama")),
    ],
    "requirements": [(0, REQUIREMENTS), (1, PYPROJECT), (1, POETRY), (2, SETUP_CFG), (3, CONDA), (4, DOCKER)],
    "runs": [
        *((0, text) for text in (PLAIN, MLFLOW, MLFLOW_UI, MLFLOW_HISTORY, WANDB, CHART, CURVES)),
        (0, "seed;loss\n1;3,5\n2;3,25\n"), (1, json.dumps(ROWS)), (1, LINES), (1, json.dumps({"log_history": ROWS})), (1, lm_eval(0.5)),
        (1, "[3.5, 3.25]"), (2, wandb_run()), (3, "1654943296000 3.5 1\n1654943297000 3.25 2\n"), (4, events()),
    ],
    "scenario": [(0, json.dumps(of) + "\n") for of in (SCENARIO, PAIRED)],
    "target": [(0, of) for of in TARGETS],
    "tokens": [(0, INDEX), (1, '{"token_ids": [1, 2, 3]}\n{"token_ids": [4, 5, 6]}\n'), (2, parquet()), (2, parquet(compression="none", use_dictionary=False))],
    "weights": [(0, TENSORS), (0, safetensors(w=np.ones((2, 2), "<f4"))), (1, index_of(MODEL)), (1, index_of({"state_dict": MODEL, "step": 3}))],
    "yaml": [(0, YAML), *((0, of[:2000].rpartition(b"\n")[0]) for of in TARGETS[:2])],
}  # fmt: skip
"""For each reader: which of its names the file has, and what is in it."""


def write_seeds() -> None:
    """Write the seeds of each reader, beside what is kept of fuzzing."""
    assert set(SEEDS) == set(READERS)
    for name, files in SEEDS.items():
        (CORPUS / name).mkdir(parents=True, exist_ok=True)
        for number, (which, content) in enumerate(files, 1):
            data = content if isinstance(content, bytes) else content.encode()
            (CORPUS / name / f"seed-{number:02}").write_bytes(bytes([ord("0") + which]) + data)


if __name__ == "__main__":
    write_seeds()
