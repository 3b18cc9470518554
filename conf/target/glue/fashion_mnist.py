"""Fashion-MNIST: the published reader and the published benchmark job, called without the job's process and queue.

Shims: runner.py is packed with gzip, the package leaves configs.py out, and Python has no time.clock since 3.8.
"""

import gzip
import importlib
import logging
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np

sys.dont_write_bytecode = True  # the artifact must stay as it was published
RUNNER_NEEDS = ("BASELINE_PATH", "DATA_DIR", "JSON_LOGGER")
HELPER_NEEDS = ("LOG_PATH", "RESULT_PATH", "ROOT_DIR", "SYNC_INTERVAL", "SYNC_SCRIPT_PATH", "SYNC_TIMEOUT")


def load(benchmark, dataset):
    """The published arrays, as utils/mnist_reader.py reads them."""
    sys.path.insert(0, benchmark)
    reader = importlib.import_module("utils.mnist_reader")
    x, y = reader.load_mnist(dataset, kind="train")
    x_test, y_test = reader.load_mnist(dataset, kind="t10k")
    return {"x": x, "y": y, "x_test": x_test, "y_test": y_test}


def published_runner(benchmark):
    """The module benchmark/runner.py, as published, with what it needs to be imported."""
    logging.basicConfig(level=logging.INFO)
    configs = sys.modules["configs"] = ModuleType("configs")
    configs.LOGGER = logging.getLogger("benchmark")
    for name in (*RUNNER_NEEDS, *HELPER_NEEDS):
        setattr(configs, name, None)
    packed = Path(benchmark) / "benchmark" / "runner.py.gz"
    Path("runner.py").write_bytes(gzip.decompress(packed.read_bytes()))
    sys.path[:0] = [str(Path.cwd()), benchmark]
    runner = importlib.import_module("runner")
    runner.time = SimpleNamespace(clock=time.process_time)
    return runner


def train(benchmark, data, classifier, settings):
    """The test set's predictions behind one score of the published JobWorker: it scales, shuffles, fits and scores."""
    runner = published_runner(benchmark)
    with np.load(Path(data) / "data.npz") as file:
        arrays = dict(file)
    # The worker gets the prepared arrays, so that a control can permute the labels and change nothing else.
    parts = {"train": (arrays["x"], arrays["y"]), "t10k": (arrays["x_test"], arrays["y_test"])}
    runner.mnist_reader = SimpleNamespace(load_mnist=lambda **given: parts[given["kind"]])
    predictions = []

    class Recorded(getattr(runner, classifier)):
        def predict(self, X):
            predictions.append(super().predict(X))
            return predictions[-1]

    setattr(runner, classifier, Recorded)
    runner.JobWorker(None).get_accuracy(classifier, settings, 0)
    return {"predictions": predictions[-1]}
