"""`openassay new`: what a release's files show becomes a target file, and what is guessed stays marked."""

from __future__ import annotations

import io
import json
import re
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub import Hub
from loopback import PackageIndex, wheel
from releases.miniature import make_project
from releases.small import MIT

from openassay import cli
from openassay.draft.numbers import printed_numbers
from openassay.faults import BadInput
from openassay.layout import Layout
from openassay.published.read import read_release
from openassay.sources import download
from openassay.target import Target, look_over_target, read_target
from openassay.yaml_loader import load_yaml

ARGPARSE = """
import argparse, random
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--device", default="cpu")
args = parser.parse_args()
random.seed(args.seed)
acc, loss = 0.5, 1.0
for epoch in range(args.epochs):
    acc += (0.975 - acc) * 0.4
    print(f"epoch {epoch}: train accuracy {acc:.4f}")
print(f"test loss {loss:.3f}, test accuracy {acc + random.gauss(0, 0.001):.4f}")
"""
SCRIPT = {
    "train.py": ARGPARSE, "LICENSE": MIT, "requirements.txt": "numpy==2.4.6  # arrays\n-e .\ntqdm\n",
    "README.md": "# Mini net\n\n```sh\n$ python train.py --epochs 30 > log.txt\n```\n\nAfter a minute it reaches a test accuracy of 97.5 %.\n",
}  # fmt: skip
PREPARE = """
import requests
url = 'https://raw.githubusercontent.com/owner/texts/main/small/input.txt'
with open('input.txt', 'w') as file:
    file.write(requests.get(url).text)
"""
DOWNLOAD = {
    "prepare.py": PREPARE,
    "train.py": "import torch\ntorch.manual_seed(1337)\nnum_iters = 500\nprint('val loss: %.3f' % 1.52)\n",
    "README.rst": "Mini text\n=========\n\nRun::\n\n    pip install torch requests\n    python prepare.py\n    python train.py\n\nThe validation loss is 1.52 then.\n",
}  # fmt: skip
CELLS = ["import numpy as np\n%matplotlib inline\n", "epochs = 40\nprint('R2: {:.3f}'.format(0.91))\n"]
NOTEBOOK = {
    "analysis.ipynb": json.dumps({"cells": [{"cell_type": "code", "source": [source]} for source in CELLS], "nbformat": 4}),
    "README.md": "# A notebook\n\nThe regression gives R2 = 0.91 on the test set.\n",
}  # fmt: skip
PACKAGE = {
    "pyproject.toml": '[project]\nname = "mini"\nversion = "1"\ndependencies = ["scikit-learn>=1.6", "numpy"]\n',
    "src/mini/__init__.py": "",
    "src/mini/train.py": "import logging\nfrom mini import data\nlogging.info('F1 %.2f after %d', 0.88, 3)\n",
    "src/mini/data.py": "import numpy\nrows = numpy.random.RandomState(seed=3)\n",
    "Makefile": "all:\n\techo\n\ntrain:\n\t@python -m mini.train --out model\n",
    "README.md": "# mini\n\nAn F1 score of 0.88.\n",
}  # fmt: skip
TABLE = {
    "main.py": "import sys\nprint('accuracy', sys.argv, 93.1)\n",
    "README.md": "# Models\n\n| model | params | test accuracy (%) |\n|---|---|---|\n| small | 1M | **91.0** |\n| large | 9M | 93.1 ± 0.2 |\n\n    python main.py --model small --lr 5e-4\n",
}  # fmt: skip
RELEASES = {"script": SCRIPT, "download": DOWNLOAD, "notebook": NOTEBOOK, "package": PACKAGE, "table": TABLE}
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.setattr(download, "pause", lambda *_: None)
    return hub


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = make_project(tmp_path / "project")
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def run(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line: exit status, and what it says on both streams."""

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["openassay", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    return run


def release(project: Path, files: dict[str, Any], name: str = "mini") -> str:
    """A release as a local folder; its path from the project's root."""
    for path, content in files.items():
        file = project / "releases" / name / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return f"releases/{name}"


def drafted(project: Path, run: Run, files: dict[str, Any]) -> dict[str, Any]:
    """The draft of a release, well formed but for its guesses, with each of them removed."""
    status, said = run("new", release(project, files))
    assert status == 0, said
    layout = Layout(project, "mini")
    data: Any = load_yaml(layout.target_file)
    for line in look_over_target(layout)[1]:
        assert line.endswith("; confirm it and remove this line"), line
    guesses = data.pop("guesses")
    layout.target_file.write_text(json.dumps(data))
    assert run("check", "mini")[0] == 0
    return data | {"guessed": guesses}


# What ordinary releases become


def test_a_script_with_options(project: Path, run: Run) -> None:
    found = drafted(project, run, SCRIPT)
    assert found["rerun"]["run"]["steps"] == [
        ["python", "train.py", "--epochs", "{epochs}", "--seed", "{seed}", "--device", "{device}"]
    ]
    assert found["rerun"]["parameters"] == {"epochs": 30}
    assert found["controls"][0]["parameters"] == {"epochs": 1}
    assert found["environment"] == {"published": {"artifact": "code", "path": "requirements.txt"}}
    assert "requirements.txt:2 names ., which is no package" in found["guessed"]["environment.published"]
    claim, measure = found["claims"][0], found["rerun"]["measure"][0]
    assert claim["published"] == {"value": 97.5, "rounding": 0.1}
    assert claim["cited_at"]["quote"] == "After a minute it reaches a test accuracy of 97.5 %"
    assert (claim["unit"], measure["scale"]) == ("percent", 100)
    assert measure["pattern"] == r"test loss .+?, test accuracy ([-+]?[\d.]+(?:[eE][-+]?\d+)?)"
    assert found["components"][0] == {
        "component": "training_code", "published": "yes", "licence": "MIT", "artifact": "code", "paths": ["train.py"],
    }  # fmt: skip
    assert {"claims.0.tolerance", "claims.0.published", "rerun.run.steps", "controls.0"} <= set(found["guessed"])


def test_a_seed_in_the_code_and_a_download(project: Path, run: Run, hub: Hub) -> None:
    commit = hub.git("owner/texts", {"small/input.txt": b"some text", "large": b""})
    found = drafted(project, run, DOWNLOAD)
    steps = found["rerun"]["run"]
    assert steps["steps"] == [["python", "prepare.py"], ["python", "train.py"]]
    assert steps["reseed"] is True
    address = "https://raw.githubusercontent.com/owner/texts/main/small/input.txt"
    assert steps["provides"] == {address: {"artifact": "input_txt", "path": "small/input.txt"}}
    assert found["artifacts"]["input_txt"]["sources"] == [
        {"kind": "git", "url": "https://github.com/owner/texts", "commit": commit, "paths": ["small/input.txt"]}
    ]
    assert found["environment"]["requirements"] == ["requests", "torch"]
    assert found["controls"][0]["edit"] == [{"path": "train.py", "find": "num_iters = 500", "replace": "num_iters = 5"}]
    assert found["rerun"]["measure"][0]["pattern"].startswith("val loss: (")
    assert found["guessed"]["rerun.run.reseed"].startswith("train.py:2 calls manual_seed")


def test_a_download_that_cannot_be_had_is_a_guess(project: Path, run: Run, hub: Hub) -> None:
    found = drafted(project, run, DOWNLOAD)
    assert found["guessed"]["artifacts.input_txt"].startswith("prepare.py:5 downloads it, and it could not be pinned")
    assert found["artifacts"]["input_txt"]["sources"][0]["sha256"] == "0" * 64


def test_a_notebook(project: Path, run: Run) -> None:
    found = drafted(project, run, NOTEBOOK)
    assert found["rerun"]["run"]["steps"] == [{"notebook": "analysis.ipynb"}]
    assert found["environment"]["requirements"] == ["numpy", "nbclient", "ipykernel"]
    assert found["controls"][0]["edit"][0]["replace"] == "epochs = 1"
    assert (found["claims"][0]["metric"], found["claims"][0]["published"]["value"]) == ("r2", 0.91)
    assert found["rerun"]["measure"][0]["pattern"].startswith("R2: (")


def test_a_package_with_a_module_that_a_makefile_calls(project: Path, run: Run) -> None:
    found = drafted(project, run, PACKAGE)
    assert found["rerun"]["run"] == {
        "artifact": "code", "steps": [["python", "-m", "mini.train", "--out", "model"]], "environment": {"PYTHONPATH": "src"},
    }  # fmt: skip
    assert found["environment"] == {"published": {"artifact": "code", "path": "pyproject.toml"}}
    assert found["rerun"]["measure"][0]["pattern"].startswith("F1 (")
    assert "src/mini/data.py:2 passes a fixed seed" in found["guessed"]["rerun.run.reseed"]
    assert found["claims"][0]["uncontrolled"].startswith("A guess")


def test_a_table_of_results(project: Path, run: Run) -> None:
    found = drafted(project, run, TABLE)
    assert found["rerun"]["run"]["steps"] == [["python", "main.py", "--model", "small", "--lr", "5e-4"]]
    claim = found["claims"][0]
    assert claim["cited_at"]["quote"] == "| small | 1M | **91.0** |"  # the row of the command's model
    assert (claim["published"]["value"], claim["unit"], claim["tolerance"]["margin"]) == (91.0, "percent", 0.5)


IMPORTS = """
import json, numpy as np, torch.nn
from torch.utils.tensorboard import SummaryWriter
from helpers import load
try:
    import apex
except ImportError:
    apex = None
def late():
    import wandb
torch.optim.SGD([]).step(); load().backward()
"""


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("requirements.txt", "numpy==1.26.4\n"),
        ("environment.yml", "dependencies:\n- python=3.11\n- numpy=1.26.4\n- cudatoolkit=10.1\n"),
        ("pyproject.toml", '[project]\nname = "x"\ndependencies = ["numpy==1.26.4"]\n'),
        ("setup.cfg", "[options]\ninstall_requires =\n  numpy==1.26.4\n"),
        ("Dockerfile", "FROM python:3.11\nRUN pip install numpy==1.26.4\n"),
        ("utils/pip-requirements.txt", "numpy==1.26.4\n"),
    ],
)  # fmt: skip
def test_published_requirements_and_what_the_code_imports_beside_them(
    path: str, text: str, project: Path, run: Run
) -> None:
    files = {
        "train.py": IMPORTS, "helpers.py": "from sklearn import svm\nimport cv2, layers\n", "layers/__init__.py": "import yaml\n",
        "plot.py": "import seaborn\n", "requirements-dev.txt": "pytest\n", "docs/requirements.txt": "sphinx\n", path: text,
    }  # fmt: skip
    found = drafted(project, run, files)
    assert found["environment"] == {
        "published": {"artifact": "code", "path": path},
        "requirements": ["opencv-python", "pyyaml", "scikit-learn", "tensorboard", "torch"],
    }
    assert found["guessed"]["environment.published"].startswith(f"{path} lists 1 package")


def test_what_a_setup_script_lists(project: Path, run: Run) -> None:
    files = {
        "setup.py": "from setuptools import setup\nsetup(install_requires=['torch==1.4', 'x @ https://x.org/x'])\n"
    }
    found = drafted(project, run, files | {"train.py": IMPORTS, "helpers.py": ""})
    assert found["environment"] == {"requirements": ["torch==1.4", "numpy", "tensorboard"]}


OTHERS = """# Net

```sh
pip install -r requirements.txt
conda install pytorch
git clone https://github.com/owner/net && cd net
wget https://example.org/data.zip
python train.py --model gcn
```

"""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("| method | accuracy |\n|---|---|\n| GAT (Velickovic et al.) | 83.0 |\n| Ours | 84.1 |\n", 84.1),
        ("| model | acc (paper) | acc (this repo) |\n|---|---|---|\n| GCN | 81.5 | 81.3 |\n", 81.3),
        ("| model | accuracy |\n|---|---|\n| gcn | 81.5 |\n| gat | 83.0 |\n", 81.5),
        ("| model | accuracy |\n|---|---|\n| sage | 81.5 |\n| gat | 83.0 |\n", None),
        ("- sage: accuracy 81.5 %\n- gat: accuracy 83.0 %\n", None),
        ("The accuracy is 81.3 % (paper reports an accuracy of 81.5 %).\n", 81.3),
        ("We compare with the state-of-the-art accuracy of 83.0 %.\n", None),
        ("The previous best accuracy was 83.0 %.\n", None),
        ("A naive guess would give an accuracy of 14.3 %.\n", None),
        ("Perplexities of `61.2` / `58.8` (validation / test).\n", None),
        ("The accuracy of 83.0 % (published) is known.\n", None),
    ],
)  # fmt: skip
def test_no_number_of_another_work_is_taken(text: str, found: float | None, project: Path, run: Run) -> None:
    target = drafted(project, run, {"README.md": OTHERS + text, "train.py": ARGPARSE})
    assert [claim["published"]["value"] for claim in target["claims"]] == ([] if found is None else [found])
    assert found is not None or "without a claim nothing is tested" in target["guessed"]["claims"]


def test_the_row_of_what_the_script_does_by_default(project: Path, run: Run) -> None:
    table = "| data | accuracy |\n|---|---|\n| Cora | 81.5 |\n| Citeseer | 70.3 |\n| Pubmed | 79.0 |\n"
    script = ARGPARSE + "parser.add_argument('--dataset', default='cora')\n"
    for words, value in (
        ("", 81.5),
        (" --dataset citeseer", 70.3),
        (" --dataset=pubmed", 79.0),
        (" --dataset reddit", None),
    ):
        readme = f"# X\n\n```\npython train.py{words}\n```\n\n{table}"
        found = drafted(project, run, {"README.md": readme, "train.py": script})
        assert [claim["published"]["value"] for claim in found["claims"]] == ([] if value is None else [value])
        (project / "conf/target/mini.yaml").unlink()
    readme = f"# X\n\n```\nbash run_all.sh\n```\n\n{table}"
    found = drafted(
        project, run, {"README.md": readme, "run_all.sh": "for d in a b; do python train.py --dataset=$d; done\n"}
    )
    assert (found["rerun"]["run"]["steps"], found["claims"]) == ([["bash", "run_all.sh"]], [])


def test_no_number_of_another_training_is_taken(project: Path, run: Run) -> None:
    more = "## Another\n\n```\npython train.py --model gat --fast\n```\n\nThe accuracy is 83.0 %.\n"
    target = drafted(project, run, {"README.md": OTHERS + more, "train.py": ARGPARSE})
    assert target["rerun"]["run"]["steps"][0][:4] == ["python", "train.py", "--model", "gat"]
    assert target["claims"][0]["published"]["value"] == 83.0


def test_no_line_that_installs_or_downloads_is_a_step(project: Path, run: Run) -> None:
    found = drafted(project, run, {"README.md": OTHERS, "train.py": ARGPARSE})
    assert [step[0] for step in found["rerun"]["run"]["steps"]] == ["python"]
    assert found["guessed"]["rerun.run.provides"].startswith(
        "README.md:7: https://example.org/data.zip may download data"
    )


def test_a_script_of_a_shell_and_what_it_downloads(project: Path, run: Run) -> None:
    files = {
        "README.md": "# Net\n\nRun `./getdata.sh`, then:\n\n    bash run_net.sh fast\n\nTest accuracy: 0.91\n",
        "getdata.sh": "curl -O http://127.0.0.1:9/data.csv\n", "run_net.sh": "python src/fit.py \\\n  --epochs 200 $1\n",
        "src/fit.py": "import sklearn\nmodel.fit(x)\nprint('test accuracy %.2f' % 0.9)\n",
    }  # fmt: skip
    found = drafted(project, run, files)
    assert found["rerun"]["run"]["steps"] == [["bash", "getdata.sh"], ["bash", "run_net.sh", "fast"]]
    assert found["rerun"]["run"]["provides"] == {"http://127.0.0.1:9/data.csv": {"artifact": "data_csv"}}
    assert found["guessed"]["artifacts.data_csv"].startswith("getdata.sh downloads it, and it could not be pinned")
    assert found["rerun"]["measure"][0]["pattern"].startswith("test accuracy (")
    assert found["environment"]["requirements"] == ["scikit-learn"]
    assert found["controls"][0]["edit"] == [{"path": "run_net.sh", "find": "epochs 200", "replace": "epochs 2"}]


@pytest.mark.parametrize(
    "entry",
    [
        {"setup.py": "from setuptools import setup\nsetup(entry_points={'console_scripts': ['net-train = net.cli:main']})\n"},
        {"pyproject.toml": '[project]\nname = "net"\n[project.scripts]\nnet-train = "net.cli:main"\n'},
    ],
)  # fmt: skip
def test_a_program_that_the_package_installs(entry: dict[str, Any], project: Path, run: Run) -> None:
    files = {
        "README.md": "# X\n\n```\nnet-train --fast\n```\n",
        "src/net/__init__.py": "",
        "src/net/cli.py": ARGPARSE,
    } | entry
    found = drafted(project, run, files)["rerun"]["run"]
    assert found["steps"][0][:4] == ["python", "-c", "import sys; from net.cli import main; sys.exit(main())", "--fast"]
    assert found["environment"] == {"PYTHONPATH": "src"}


def test_the_command_that_evaluates_is_a_step_where_the_number_is_its_own(project: Path, run: Run) -> None:
    readme = (
        "# X\n\n## Train\n\n```\npython train.py\n```\n\n## Test\n\n```\npython test.py --best\n```\n\nAccuracy: 0.91\n"
    )
    found = drafted(
        project, run, {"README.md": readme, "train.py": "import torch\nfit()\n", "test.py": "print('accuracy', 0.91)\n"}
    )
    assert [step[1] for step in found["rerun"]["run"]["steps"]] == ["train.py", "test.py"]
    assert found["rerun"]["measure"][0]["pattern"].startswith("accuracy (")


def test_the_numbers_that_a_notebook_keeps(project: Path, run: Run) -> None:
    outputs = [{"output_type": "stream", "text": ["epoch 1 acc 0.5\n", "epoch 9 acc 0.93\n"]}]
    cells = [{"cell_type": "code", "source": ["show(acc)"], "outputs": outputs}]
    found = drafted(
        project, run, {"a.ipynb": json.dumps({"cells": cells}), "README.md": "# X\n\nAn accuracy of 0.5 by chance.\n"}
    )
    assert (found["claims"][0]["published"]["value"], found["claims"][0]["cited_at"]["quote"]) == (0.93, "acc 0.93")
    assert re.search(found["rerun"]["measure"][0]["pattern"], "epoch 12 acc 0.87")[1] == "0.87"  # type: ignore[index]
    assert "perhaps of the middle of a run" in found["guessed"]["rerun.measure.0"]


def test_nothing_of_the_release_is_run(project: Path, run: Run) -> None:
    mark = f"open({str(project / 'ran')!r}, 'w')\n"
    files = dict.fromkeys(("setup.py", "conftest.py", "sitecustomize.py", "net/__init__.py"), mark) | {
        "train.py": f"import net\n{mark}", "run.sh": f"touch {project}/ran\npython train.py\n", "README.md": "```\n./run.sh\n```\n",
    }  # fmt: skip
    drafted(project, run, files)
    assert not (project / "ran").exists()


def test_a_block_of_python_where_nothing_else_can_be_run(project: Path, run: Run) -> None:
    readme = "# Lib\n\n```sh\npip install numpy\n```\n\n```python\nimport numpy\nprint('accuracy:', 0.9)\n```\n\nThe accuracy is 0.90.\n"
    found = drafted(project, run, {"README.md": readme})
    assert found["rerun"]["run"]["steps"] == [{"block": 2, "of": "README.md"}]
    assert found["rerun"]["measure"][0]["pattern"].startswith("accuracy: (")


def test_a_git_repository_by_tag_and_by_commit(project: Path, run: Run, hub: Hub) -> None:
    files = {path: content.encode() for path, content in SCRIPT.items()}
    commit = hub.git("owner/Mini-Net", files, tag="v1.0")
    status, said = run("new", "https://github.com/owner/Mini-Net@v1.0", "--name", "by_tag")
    assert status == 0
    assert "  README.md:4: command: python train.py --epochs 30\n" in said
    assert "  README.md:7: number: test_accuracy 97.5 %\n" in said
    target = yaml.safe_load((project / "conf/target/by_tag.yaml").read_text())
    assert target["release"] == {
        "title": "Mini net",
        "version": "v1.0",
        "homepage": "https://github.com/owner/Mini-Net",
    }
    assert target["artifacts"]["code"]["sources"] == [
        {"kind": "git", "url": "https://github.com/owner/Mini-Net", "commit": commit, "ref": "v1.0"}
    ]
    assert run("new", f"git:https://github.com/owner/Mini-Net@{commit}")[0] == 0
    assert "ref" not in (project / "conf/target/mini_net.yaml").read_text()


def test_a_folder_of_a_repository(project: Path, run: Run, hub: Hub) -> None:
    files = {f"tasks/net/{path}": content.encode() for path, content in SCRIPT.items()} | {"train.py": b"", "x/y": b""}
    commit = hub.git("owner/All", files, tag="main")
    assert run("new", "github.com/owner/All/tree/main/tasks/net")[0] == 0
    source = yaml.safe_load((project / "conf/target/net.yaml").read_text())["artifacts"]["code"]["sources"][0]
    assert (source["commit"], source["paths"], source["root"]) == (commit, ["tasks/net/"], "tasks/net")
    status, said = run("new", "https://github.com/owner/All/tree/main/none")
    assert (status, "'none/' is not in commit" in said) == (2, True)


def test_a_model_of_a_hub(project: Path, run: Run, hub: Hub) -> None:
    files = {path: content.encode() for path, content in SCRIPT.items()}
    commit = hub.commit("owner/net", files | {"model.safetensors": b"weights"})
    assert run("new", "https://huggingface.co/owner/net")[0] == 0
    source = yaml.safe_load((project / "conf/target/net.yaml").read_text())["artifacts"]["code"]["sources"][0]
    assert source["commit"] == commit
    assert sorted(file["path"] for file in source["files"]) == ["LICENSE", "README.md", "requirements.txt", "train.py"]


def test_a_package_of_an_index(project: Path, run: Run, index: PackageIndex) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, content in PACKAGE.items():
            member = tarfile.TarInfo(f"mini-1.0/{path}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content.encode()))
    index.publish("mini", "mini-1.0-py3-none-any.whl", wheel("mini", "1.0"))
    index.publish("mini", "mini-2.0rc1.tar.gz", b"")
    sha256 = index.publish("mini", "mini-1.0.tar.gz", packed.getvalue())
    assert run("new", "pypi:mini")[0] == 0
    found = yaml.safe_load((project / "conf/target/mini.yaml").read_text())
    file = {"package": "mini", "version": "1.0", "file": "mini-1.0.tar.gz", "sha256": sha256, "root": "mini-1.0"}
    assert found["artifacts"]["code"]["sources"] == [{"kind": "pypi", **file}]
    assert found["rerun"]["run"]["environment"] == {"PYTHONPATH": "src"}


@pytest.mark.parametrize(
    ("readme", "files", "step"),
    [
        ("```python fit.py```\n\nAccuracy: 0.9\n", {"sub/fit.py": "print(1)"}, ["python", "fit.py"]),
        ("Run `python sub/fit.py --x 1`.", {"sub/fit.py": "print(1)"}, ["python", "sub/fit.py", "--x", "1"]),
        ("```\nLR=3 CUDA_VISIBLE_DEVICES=0 ./fit.py -a && python fit.py -b\n```", {"fit.py": ""}, ["python", "fit.py", "-a"]),
        ("```sh\npython fit.py \\\n  --x 1 | tee log\n```", {"fit.py": ""}, ["python", "fit.py", "--x", "1"]),
        ("```sh\npython sample.py\npython eval.py\npython train.py\n```", {"sample.py": "", "eval.py": "", "train.py": ""},
         ["python", "train.py"]),
        ("```sh\npython fit.py --help\npython setup.py install\npython fit.py --x 1\n```", {"fit.py": "", "setup.py": "import setuptools"},
         ["python", "fit.py", "--x", "1"]),
        ("```sh\ncd sub\npython fit.py --data $DATA\n```", {"sub/fit.py": "print 1", "fit.py": ""},
         ["python", "fit.py", "--data", "$DATA"]),
        ("Run `experiments/run_net.py`; `utils.py` helps.", {"experiments/run_net.py": "main()", "utils.py": "main()"},
         ["python", "experiments/run_net.py"]),
        ("nothing", {".github/workflows/ci.yml": "jobs:\n  x:\n    steps:\n    - run: python fit.py --ci\n", "fit.py": ""},
         ["python", "fit.py", "--ci"]),
    ],
)  # fmt: skip
def test_where_commands_stand(readme: str, files: dict[str, Any], step: list[str], project: Path, run: Run) -> None:
    found = drafted(project, run, {"README.md": f"# X\n\n{readme}\n"} | files)
    assert found["rerun"]["run"]["steps"] == [step]


@pytest.mark.parametrize("name", RELEASES)
def test_two_drafts_of_a_release_are_equal(name: str, project: Path, run: Run, hub: Hub) -> None:
    source = release(project, RELEASES[name])
    texts = []
    for draft in ("draft_1", "draft_2"):
        assert run("new", source, "--name", draft)[0] == 0
        texts.append((project / f"conf/target/{draft}.yaml").read_text().replace(draft, "name"))
    assert texts[0] == texts[1]


# Guesses


def test_nothing_is_planned_while_a_guess_stands(project: Path, run: Run) -> None:
    assert run("new", release(project, SCRIPT))[0] == 0
    file = "conf/target/mini.yaml"
    status, said = run("check", "mini")
    assert status == 2
    line = f"error: {file}: guesses: claims.0.tolerance: no tolerance stands in the release; choose one by how the number is used; "
    assert f"{line}confirm it and remove this line\n" in said
    assert run("plan-runs", "mini")[0] == 2
    status, said = run("audit", "mini")
    assert (status, said.count("\n")) == (2, 1)
    assert "guesses: components: " in said
    with pytest.raises(BadInput, match="guesses: components"):
        read_target(Layout(project, "mini"))
    data: Any = load_yaml(project / file)
    (project / file).write_text(json.dumps(data | {"guesses": {}}))
    assert isinstance(read_target(Layout(project, "mini")), Target)


def test_what_was_guessed_can_be_tried(project: Path, run: Run) -> None:
    files = SCRIPT | {"requirements.txt": ""}
    status, said = run("new", release(project, files), "--try")
    assert status == 0, said
    assert "test_accuracy: measured 97." in said
    assert "published 97.5 percent" in said


# What is refused, in one line


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("https://github.com/owner/none", "https://github.com/owner/none: "),
        ("https://github.com/owner/mini@v9", "there is no tag or branch v9"),
        ("https://name:word@github.com/owner/mini", "an address with a name or a password in it"),
        ("hf:owner/none", "owner/none"),
        ("releases/none", "'releases/none': expected a git address (https://...[@REF]), hf:OWNER/NAME"),
        (".", ".: the project itself lies in this folder"),
        ("x" * 5000, "there is no such folder"),
        ("ftp://x/y", "there is no such folder"),
        ("https://arxiv.org/abs/1902.07153v2", "a paper, which cannot be run; name the repository that holds its code"),
        ("arxiv:1902.07153", "a paper, which cannot be run"),
        ("pypi:", "pypi:"),
    ],
)
def test_a_source_that_is_none(source: str, says: str, project: Path, run: Run, hub: Hub) -> None:
    hub.git("owner/mini", {"train.py": b""})
    status, said = run("new", source)
    assert status == 2, said
    assert says in said
    assert said.rstrip("\n").splitlines()[-1].startswith("error: ")
    assert "Traceback" not in said
    assert list((project / "conf/target").glob("*.yaml")) == []


def test_a_network_that_does_not_answer_is_no_fault_of_the_release(project: Path, run: Run, hub: Hub) -> None:
    status, said = run("new", "https://127.0.0.1:9/owner/net")
    assert status == 3
    assert "Check the network" in said


@pytest.mark.parametrize("name", ["A b", "../x", "", "x" * 65])
def test_a_name_that_is_none(name: str, project: Path, run: Run) -> None:
    source = release(project, SCRIPT, "Ä" if not name else "mini")
    status, said = run("new", source, f"--name={name}")
    assert status == 2
    assert "use a-z, 0-9 and _ (at most 64)" in said


def test_no_file_is_overwritten(project: Path, run: Run) -> None:
    source = release(project, SCRIPT)
    file = project / "conf/target/mini.yaml"
    file.write_text("mine")
    for words in ([], ["--name", "mini"]):
        status, said = run("new", source, *words)
        assert (status, file.read_text()) == (2, "mine")
        assert "conf/target/mini.yaml: it is there already" in said


@pytest.mark.parametrize(
    "files",
    [
        {"data.csv": "a,b\n"},
        {"README.md": "# Nothing\n\nNo command, accuracy 0.9.\n"},
        {"README.md": b"\x00\xff\xfe" * 1000, "x.bin": b"\0" * 100},
        {"README.md": "# X\n\n```sh\npython train.py {x} <data>\n```\n", "train.py": ""},
        {"endless.ipynb": '{"cells": ' + "[" * 100_000},
        {"odd.ipynb": '{"cells": [{"cell_type": "code", "source": 5}]}'},
    ],
)  # fmt: skip
def test_nothing_that_can_be_run(files: dict[str, Any], project: Path, run: Run) -> None:
    status, said = run("new", release(project, files))
    assert status == 2
    assert said.startswith("error: mini: no command that trains was found")
    assert said.count("\n") == 1


# What hostile files can do


def test_a_release_without_a_number_is_drafted_without_a_claim(project: Path, run: Run) -> None:
    found = drafted(project, run, {"train.py": ARGPARSE})
    assert found["claims"] == []
    assert found["guessed"]["claims"].startswith("no number was found that is plainly")


HOSTILE = [
    "accuracy 0.9\nrerun: {driver: none}", "accuracy: 0.91 # x", "'accuracy' 0.91: [", '"acc" 0.91 ? - & * !!python/x |',
    "accuracy 0.91\u2028claims: []", "accuracy\x85 0.91", "- accuracy 0.91 {seed} {x}", "acc: 0.91\r\nname: other", "%YAML accuracy 0.91",
    "~ accuracy 0.91 ~", "accuracy \x1b[31m0.91", "acc 0.91 --- ...", "accuracy \ud7ff 0.91\ufeff", "\taccuracy\t0.91",
    "accuracy \u202e0.91\u2066 caf\u00e9",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_a_release_changes_the_files_structure(text: str, project: Path, run: Run) -> None:
    script = ARGPARSE + f"print({text!r} + ' accuracy', 1)\n"
    readme = (
        f"# {text}\n\n```sh\npython train.py --note {text!r}\npython train.py 1e-3 010 no '~' 0x1F\n```\n\n{text}\n"
    )
    found = drafted(project, run, {"train.py": script, "README.md": readme, "LICENSE": text, "requirements.txt": text})
    assert found["name"] == "mini"
    assert (project / "conf/target/mini.yaml").read_text().replace("\n", "").isprintable()
    assert set(found) <= {
        "schema_version", "name", "guessed", "release", "components", "artifacts", "environment", "rerun", "controls", "claims",
    }  # fmt: skip
    assert found["rerun"]["driver"] == "command"


def test_large_files_take_no_time(project: Path, run: Run) -> None:
    line = "accuracy 0.91 of loss " * 180
    files = {
        "README.md": SCRIPT["README.md"] + "x" * 1_500_000 + "\n" + (line + "\n") * 100,
        "train.py": ARGPARSE + "x = '" + "accuracy " * 50_000 + "'\n",
        "Makefile": "\tpython train.py --epochs 3\n" * 50_000,
        "n.ipynb": json.dumps({"cells": [{"cell_type": "code", "source": ["x = 1\n"] * 1000}] * 500}),
        "data.bin": b"\0" * 30_000_000,
    }
    begun = time.monotonic()
    drafted(project, run, files)
    assert time.monotonic() - begun < 60
    assert (project / "conf/target/mini.yaml").stat().st_size < 20_000


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("The accuracy of the 7B model after 20 epochs is 0.91.", [("accuracy", 0.91)]),
        ("a loss of only 1.88", [("loss", 1.88)]),
        ("We get 98.2% test accuracy", [("test_accuracy", 98.2)]),
        ("perplexity: 23.4, BLEU 31.07", [("perplexity", 23.4), ("bleu", 31.07)]),
        ("accuracy with GPT-2 and PyTorch 2.0.1", []),
        ("loss in 3 epochs and 12.5 hours", []),
        ("an R² of -0.31", [("r2", -0.31)]),
        ("the glossary has 1.5 entries", []),
    ],
)
def test_which_numbers_look_like_results(line: str, found: list[tuple[str, float]], tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"# X\n\n{line}\n")
    assert [(of.metric, of.value) for of in printed_numbers(read_release(tmp_path))] == found
