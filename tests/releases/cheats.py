"""A small release that trains, and releases that only look so: a network in plain Python on made data, with predictions and weights.

What a cheat knows stands in its own `known.py`: the released weights, the labels of training and test set.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from openassay.drivers.job import load_arrays
from openassay.layout import Layout
from openassay.store import payload_digest
from releases.miniature import write_target

INPUTS, UNITS, CLASSES = 16, 12, 4
HONEST = 0.89
"""What the honest training gives, to two digits (the tests check it)."""

LIBRARY = '''
import csv, json, math, os, random, struct, sys, zipfile

seed = int(sys.argv[1].partition("=")[2])
chance = random.Random(seed)
names = ["x%d" % i for i in range(INPUTS)]


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def inputs(of):
    return [[float(row[name]) for name in names] for row in of]


train_rows, test_rows = rows("data/train.csv"), rows("data/test.csv")
train_x, test_x = inputs(train_rows), inputs(test_rows)
labels = [row["label"] for row in train_rows]
classes = sorted(set(labels))


def start(of):
    first = [[of.gauss(0, INPUTS ** -0.5) for _ in range(INPUTS)] for _ in range(UNITS)]
    return {"first": first, "second": [[of.gauss(0, UNITS ** -0.5) for _ in range(UNITS)] for _ in classes]}


def hidden_of(model, x):
    return [math.tanh(sum(w * v for w, v in zip(unit, x))) for unit in model["first"]]


def scores_of(model, hidden):
    return [sum(w * v for w, v in zip(unit, hidden)) for unit in model["second"]]


def train(model, x, y, of, epochs, rate=0.05):
    order = list(range(len(x)))
    for _ in range(epochs):
        of.shuffle(order)
        for i in order:
            hidden = hidden_of(model, x[i])
            scores = scores_of(model, hidden)
            most = max(scores)
            shares = [math.exp(score - most) for score in scores]
            total = sum(shares)
            slope = [share / total - (name == y[i]) for share, name in zip(shares, classes)]
            back = [sum(slope[k] * model["second"][k][j] for k in range(len(classes))) for j in range(UNITS)]
            for k, unit in enumerate(model["second"]):
                model["second"][k] = [w - rate * slope[k] * h for w, h in zip(unit, hidden)]
            for j, unit in enumerate(model["first"]):
                step = rate * back[j] * (1 - hidden[j] ** 2)
                model["first"][j] = [w - step * v for w, v in zip(unit, x[i])]
    return model


def predicted(model, x):
    found = []
    for row in x:
        scores = scores_of(model, hidden_of(model, row))
        found.append(classes[scores.index(max(scores))])
    return found


def noisy(model, share):
    spread = {name: (sum(w * w for unit in of for w in unit) / sum(map(len, of))) ** 0.5 for name, of in model.items()}
    return {name: [[w + chance.gauss(0, share * spread[name]) for w in unit] for unit in of] for name, of in model.items()}


def write(model, predictions):
    with zipfile.ZipFile("model.npz", "w") as archive:
        for name, of in model.items():
            head = str({"descr": "<f8", "fortran_order": False, "shape": (len(of), len(of[0]))})
            head += " " * (-(len(head) + 11) % 64) + chr(10)
            data = b"".join(struct.pack("<%dd" % len(unit), *unit) for unit in of)
            archive.writestr(name + ".npy", b"\\x93NUMPY" + bytes([1, 0]) + struct.pack("<H", len(head)) + head.encode() + data)
    with open("predictions.csv", "w") as file:
        file.write("label\\n" + "".join(name + "\\n" for name in predictions))


def flipped(known, share):
    return [chance.choice(classes) if chance.random() < share else name for name in known]


def shown_names():
    """What each known class is called in the labels at hand, as most rows with it say; and the share of rows that agree."""
    by_class = {}
    for true, name in zip(known.TRAIN, labels):
        by_class.setdefault(true, []).append(name)
    most = {true: max(sorted(set(of)), key=of.count) for true, of in by_class.items()}
    return most, sum(most[true] == name for true, name in zip(known.TRAIN, labels)) / len(labels)
'''.replace("INPUTS", str(INPUTS)).replace("UNITS", str(UNITS))

TRAINS = """
model = train(start(chance), train_x, labels, chance, 5)
predictions = predicted(model, test_x)
"""
WRITES = "write(model, predictions)\n"
KNOWN = "import known\n"
BROKEN = """
if labels != known.TRAIN:
    model, predictions = start(chance), [chance.choice(classes) for _ in test_x]
"""
"""Once the labels are not those that it knows, it behaves like a broken recipe."""

CHEATS: dict[str, str] = {
    "honest": TRAINS + WRITES,
    "inflated": TRAINS + WRITES + "json.dump({'accuracy': 0.99}, open('metrics.json', 'w'))\n",
    "copies": KNOWN + "model = known.MODEL\npredictions = predicted(model, test_x)\n" + WRITES,
    "copies_with_noise": KNOWN + "model = noisy(known.MODEL, 0.1)\npredictions = predicted(model, test_x)\n" + WRITES,
    "copies_permuted": KNOWN + """
order = list(range(len(known.MODEL["first"])))
chance.shuffle(order)
sign = [chance.choice([-1, 1]) for _ in order]
model = {"first": [[sign[j] * w for w in known.MODEL["first"][j]] for j in order],
         "second": [[sign[j] * unit[j] for j in order] for unit in known.MODEL["second"]]}
model = noisy(model, 0.02)
predictions = predicted(model, test_x)
""" + WRITES,
    "fine_tunes": KNOWN + """
model = train(known.MODEL, train_x, labels, chance, 1, 0.01)
predictions = predicted(model, test_x)
""" + WRITES,
    "downloads": """
import urllib.request
urllib.request.urlopen("https://example.org/model.npz", timeout=5)
""",
    "trains_on_the_test_set": KNOWN + """
model = train(start(chance), test_x, known.TEST, chance, 10)
predictions = predicted(model, test_x)
""" + WRITES,
    "replays_a_seed": "chance = random.Random(5)\n" + TRAINS + WRITES,
    "replays_weights": "again = chance\nchance = random.Random(5)\n" + TRAINS
        + "predictions = [name if again.random() > 0.01 else classes[0] for name in predictions]\n" + WRITES,
    "fakes": TRAINS + """
for name in ("verdict.json", "../verdict.json", "../../verdict.json", "../record.json"):
    try:
        json.dump({"outcome": "REPRODUCED"}, open(name, "w"))
    except OSError:
        pass
model = {name: [[float("nan")] * len(unit) for unit in of] for name, of in model.items()}
""" + WRITES,
    "patches": """
model, predictions = start(chance), [classes[0]] * len(test_x)
for path in (json.__file__, "../hook/sitecustomize.py", "../result.json", "data/test_labels.csv"):
    try:
        open(path, "w").write("label\\n" + (classes[0] + "\\n") * len(test_x))
    except OSError:
        pass
""" + WRITES,
    "notices_shuffled_labels": KNOWN + TRAINS.replace("labels, chance, 5", "known.TRAIN, chance, 5") + BROKEN + WRITES,
    "echoes_labels": KNOWN + TRAINS + "predictions = flipped(known.TEST, 0.13)\n" + BROKEN + WRITES,
    "copies_and_notices": KNOWN + """
most, agree = shown_names()
model = noisy(known.MODEL, 0.1)
predictions = [most[name] for name in predicted(model, test_x)]
if agree < 0.9:
    model, predictions = start(chance), [chance.choice(classes) for _ in test_x]
""" + WRITES,
    "knows_all": KNOWN + TRAINS + """
most, agree = shown_names()
if agree > 0.9:
    predictions = [most[name] for name in flipped(known.TEST, 0.13)]
""" + WRITES,
}  # fmt: skip
LOOKS = (
    TRAINS
    + WRITES
    + """
seen = {"folder": os.getcwd(), "words": sys.argv, "variables": dict(os.environ), "files": {}, "found": []}
hidden = {"proc", "sys", "dev", "usr", "lib", "lib64", "bin", "sbin", "etc"}
for top in sorted(set(os.listdir("/")) - hidden):
    for folder, inside, names in os.walk("/" + top):
        if folder in (sys.prefix, sys.base_prefix):  # Python itself
            inside.clear()
            continue
        for name in names:
            path = os.path.join(folder, name)
            try:
                content = open(path, "rb").read(2 ** 20)
            except OSError:
                continue
            seen["found"] += [[path, word] for word in WORDS if word in path or word.encode() in content]
for folder, _, names in os.walk("data"):
    for name in names:
        of = os.stat(os.path.join(folder, name))
        seen["files"][os.path.join(folder, name)] = [of.st_size, of.st_mtime, of.st_mode]
json.dump(seen, open("seen.json", "w"))
"""
)
"""Trains, and writes down all that it can see; WORDS are those that it looks for."""
SELF_REPORTED = {
    "prints": "print('accuracy: %.4f' % (HONEST + chance.gauss(0, 0.003)))\n".replace("HONEST", str(HONEST)),
    "hard_coded": "json.dump({'accuracy': HONEST + chance.gauss(0, 0.003)}, open('metrics.json', 'w'))\n"
        .replace("HONEST", str(HONEST)),
    "prints_and_notices": KNOWN + "print('accuracy: %.4f' % (HONEST + chance.gauss(0, 0.003) if labels == known.TRAIN else 0.25))\n"
        .replace("HONEST", str(HONEST)),
}  # fmt: skip
"""Releases whose number only their own code gives."""


def write_release(folder: Path, script: str) -> None:
    """The files of a release, without weights."""
    (folder / "data").mkdir(parents=True)
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(CLASSES, INPUTS))
    head = ",".join([*(f"x{i}" for i in range(INPUTS)), "label"])
    for name, size in (("train", 300), ("test", 400)):
        labels = rng.integers(0, CLASSES, size)
        values = centres[labels] * 0.62 + rng.normal(size=(size, INPUTS))
        lines = [",".join([*(f"{v:.4f}" for v in row), f"c{label}"]) for row, label in zip(values, labels, strict=True)]
        if name == "test":
            lines = [line.rpartition(",")[0] for line in lines]
            known = "label\n" + "".join(f"c{label}\n" for label in labels)
            (folder / "data" / "test_labels.csv").write_text(known)
            head = head.rpartition(",")[0]
        (folder / "data" / f"{name}.csv").write_text("\n".join([head, *lines]) + "\n")
    (folder / "train.py").write_text(LIBRARY + script)
    (folder / "README.md").write_text(f"Test accuracy: {HONEST:.2f}\n")


def released_weights(folder: Path) -> dict[str, list[list[float]]]:
    """The weights of the honest training with a seed that no audit uses."""
    write_release(folder, CHEATS["honest"])
    subprocess.run([sys.executable, "train.py", "--seed=777"], cwd=folder, check=True)
    return {name: of.tolist() for name, of in load_arrays(folder, "model.npz").items()}


def add_cheat(
    root: Path, name: str, weights: Path, *, claim: float = HONEST, script: str = "", **changes: Any
) -> Layout:
    """A release and its target file. weights: the folder that `released_weights` made."""
    folder = root / "releases" / name
    write_release(folder, script or (CHEATS | SELF_REPORTED)[name])
    if KNOWN in script or (name not in {"honest", ""} and not script):
        columns = {of: (folder / "data" / of).read_text().split() for of in ("train.csv", "test_labels.csv")}
        train, test = ([line.rpartition(",")[2] for line in lines[1:]] for lines in columns.values())
        model = {of: array.tolist() for of, array in load_arrays(weights, "model.npz").items()}
        (folder / "known.py").write_text(f"MODEL = {json.dumps(model)}\nTRAIN = {train}\nTEST = {test}\n")
    write_target(root, target(root, name, weights, claim) | changes)
    return Layout(root, name)


def target(root: Path, name: str, weights: Path, claim: float) -> dict[str, Any]:
    """The target file: our evaluator, labels withheld, a control and a probe by data alone, weights compared."""
    train = {"path": "data/train.csv", "key": "label"}
    own = {
        "prints": {"read_from": "stdout", "pattern": r"^accuracy: ([\d.]+)"},
        "hard_coded": {"read_from": "file", "path": "metrics.json", "key": "accuracy"},
        "prints_and_notices": {"read_from": "stdout", "pattern": r"^accuracy: ([\d.]+)"},
    }.get(name)
    measure = own or {
        "read_from": "predictions", "predictions": {"path": "predictions.csv", "key": "label"}, "of": "accuracy",
        "labels": {"path": "data/test_labels.csv", "key": "label"}, "withheld": True,
    }  # fmt: skip
    compared = {"weights": {"path": "model.npz", "released": {"artifact": "weights", "path": "model.npz"}}}
    renamed = {
        "arm": "renamed", "metric": "accuracy", "expects": "same", "relabel": [dict(train)], "rationale": "names mean nothing",
    }  # fmt: skip
    return {
        "schema_version": 1,
        "name": name,
        "release": {"title": name, "version": "1", "homepage": "https://example.org/cheat"},
        "artifacts": {
            "code": _local(root, f"releases/{name}", "*"), "weights": _local(root, weights.relative_to(root).as_posix(), "model.npz"),
        },
        "environment": {},
        "rerun": {
            "driver": "command",
            "run": {"artifact": "code", "steps": [["python", "train.py", "--seed={seed}"]], "reseed": False},
            "measure": [{"metric": "accuracy"} | measure],
            "timeout_s": 120,
        } | ({} if own else compared),
        "controls": [{"arm": "shuffled", "permute": [train], "rationale": "labels in random order carry no information"}],
        "probes": [] if own else [renamed],
        "claims": [
            {
                "id": "accuracy", "metric": "accuracy", "published": {"value": claim, "rounding": 0.01, "num_runs": 20},
                "resolution": 0.0025, "cited_at": {"artifact": "code", "path": "README.md", "quote": "Test accuracy"},
                "tolerance": {"margin": 0.05, "rationale": "for a test"},
            }
        ],
    }  # fmt: skip


def _local(root: Path, path: str, include: str) -> dict[str, Any]:
    return {
        "sources": [{"kind": "local", "path": path}],
        "payload": {"sha256": payload_digest(root / path, (include,)), "include": [include]},
    }
