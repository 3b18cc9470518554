"""The command driver: published commands in a working copy, and who is at fault where one fails."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from openassay.core.rerun_records import RerunStatus
from openassay.drivers import command
from openassay.drivers.command import CommandDriver
from openassay.drivers.job import Arm, Edit, Job
from openassay.faults import BadInput
from openassay.records import parse
from openassay.store import files_below, listing

TRAIN = """
import argparse, random
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--out", default="out")
arguments = parser.parse_args()
random.seed(arguments.seed)
print("accuracy: %.4f" % (0.9 + random.random() / 100))
"""


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A release: a repository with a script and a README."""
    folder = tmp_path / "artifact"
    (folder / "src").mkdir(parents=True)
    (folder / "train.py").write_text(TRAIN)
    (folder / "README.md").write_text(
        "# Mini\n\n```sh\n$ python train.py --seed 3\naccuracy: 0.9024\n```\n\n```python\nprint('accuracy: 0.5')\n```\n\n```js\nx\n```\n"
    )
    return folder


@pytest.fixture
def job(tmp_path: Path, release: Path) -> Job:
    out = tmp_path / "out"
    out.mkdir()
    return Job(
        arm=Arm(), seed=7, data=None, artifacts={"code": str(release)}, python=sys.executable, glue=None, out=out, device="cpu",
        threads=1, timeout_s=60.0, target_file="x.yaml",
    )  # fmt: skip


def driver(*steps: Any, **more: Any) -> CommandDriver:
    """The driver as a target file declares it."""
    run = {"artifact": "code", "steps": [list(step) if isinstance(step, tuple) else step for step in steps]}
    top = {key: more.pop(key) for key in ("parameters", "measure", "as_published", "arms") if key in more}
    measure = [{"read_from": "stdout", "metric": "accuracy", "pattern": r"accuracy: ([0-9.]+)"}]
    found: CommandDriver = parse(
        CommandDriver, {"driver": "command", "run": run | more, "measure": measure} | top, "x.yaml"
    )
    return found


def value(of: CommandDriver, job: Job) -> float:
    result = of.execute(job)
    assert result.status is RerunStatus.FINISHED, result.reason + result.log
    found = result.measurements[0].value
    assert found is not None
    return found


def test_the_published_command_runs_in_a_copy_and_the_release_stays_as_it_is(job: Job, release: Path) -> None:
    (release / "train.py").write_text(TRAIN + "open('left', 'w').write('x')\nopen('README.md', 'w').write('gone')\n")
    (release / "train.py").chmod(0o444)
    job = replace(job, watched={"its artifact code": (release, listing(release))})
    assert value(driver(("python", "train.py", "--seed={seed}")), job) == pytest.approx(0.9032, abs=1e-4)
    assert sorted(path.name for path in release.iterdir()) == ["README.md", "src", "train.py"]
    assert (release / "README.md").read_text().startswith("# Mini")


def test_steps_follow_one_another_and_the_first_that_fails_ends_the_run(job: Job) -> None:
    steps = (["sh", "-c", "echo 0.25 > made"], ["sh", "-c", "echo accuracy: $(cat made)"])
    assert value(driver(*map(tuple, steps)), job) == 0.25


def test_a_failure_of_the_releases_code_is_a_finding_with_its_last_words(job: Job, release: Path) -> None:
    (release / "train.py").write_text("import json\njson.loads('')\n")
    result = driver(("python", "train.py"), ("echo", "accuracy: 1")).execute(job)
    assert result.status is RerunStatus.FAILED
    assert result.reason == (
        "python train.py ended with status 1: json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)"
    )
    assert "$ python train.py" in result.log
    assert "accuracy: 1" not in result.log


@pytest.mark.parametrize(
    ("steps", "more", "says"),
    [
        ([("python", "train.py", "--sede=1")], {}, "rerun.run.steps.0: the arguments are not those that it takes: train.py: error"),
        ([("python", "trian.py")], {}, "rerun.run.steps.0: the artifact code has no 'trian.py'"),
        ([("pyhton", "train.py")], {}, "rerun.run.steps.0: pyhton: No such file or directory"),
        ([("python", "train.py")], {"folder": "scr"}, "rerun.run.folder: the artifact has no folder 'scr'"),
        ([{"block": 4, "of": "README.md"}], {}, "rerun.run.steps.0.block: README.md has 3 code blocks, found 4"),
        ([{"block": 3, "of": "README.md"}], {}, "rerun.run.steps.0.block: expected a shell's or Python, found 'js'"),
        ([{"block": 1, "of": "READ.md"}], {}, "rerun.run.steps.0.of: the artifact has no file 'READ.md'"),
        ([{"notebook": "x.ipynb"}], {}, "rerun.run.steps.0.notebook: . has no file 'x.ipynb'"),
        ([("python", "train.py")], {"provides": {"data": {"artifact": "code", "path": "no"}}}, "rerun.run.provides.data.path"),
    ],
)  # fmt: skip
def test_the_targets_own_slip_is_named_with_its_key(
    job: Job, steps: list[Any], more: dict[str, Any], says: str
) -> None:
    with pytest.raises(BadInput, match=f"^x.yaml: {says}".replace("(", r"\(")):
        driver(*steps, **more).execute(job)


def test_code_blocks_of_the_readme_run_as_published(job: Job) -> None:
    assert value(driver({"block": 1, "of": "README.md"}, reseed=False), job) == pytest.approx(0.9024, abs=1e-4)
    assert value(driver({"block": 2, "of": "README.md"}), replace(job, out=_another(job))) == 0.5


def _another(job: Job) -> Path:
    out = job.out.with_name(f"out{len(list(job.out.parent.iterdir()))}")
    out.mkdir()
    return out


def test_an_arm_may_edit_a_file_where_its_text_stands_once(job: Job, release: Path) -> None:
    edit = Edit(path="train.py", find="0.9 + ", replace="0.1 + ")
    changed = replace(job, arm=Arm(edit=(edit,)))
    assert value(driver(("python", "train.py", "--seed={seed}")), changed) < 0.2
    (release / "train.py").write_text(TRAIN * 2)
    with pytest.raises(BadInput, match="edit of train.py: expected '0.9 [+] ' once, found 2 times"):
        driver(("python", "train.py")).execute(replace(changed, out=_another(job)))


# Seeds


def test_a_seed_in_the_code_is_named_and_replaced_where_asked(job: Job, release: Path) -> None:
    (release / "train.py").write_text(
        "import random, numpy\nrandom.seed(1337)\nnumpy.random.seed(1)\nprint('accuracy:', random.random() + numpy.random.rand())\n"
    )
    with pytest.raises(BadInput, match=r"rerun.run.reseed: missing; train.py:2 calls random.seed\(1337\)"):
        driver(("python", "train.py")).execute(job)
    values = {}
    for reseed in (True, False):
        for seed in (1, 2):
            out = job.out.with_name(f"{reseed}{seed}")
            out.mkdir()
            values[reseed, seed] = value(
                driver(("python", "train.py"), reseed=reseed), replace(job, seed=seed, out=out)
            )
    assert values[False, 1] == values[False, 2]
    assert len({values[False, 1], values[True, 1], values[True, 2]}) == 3


def test_a_seed_that_a_step_passes_or_that_is_drawn_needs_no_word(job: Job, release: Path) -> None:
    (release / "train.py").write_text(
        "import random, numpy.random\nrandom.seed()\nnumpy.random.default_rng()\nprint('accuracy: 1')\n"
    )
    assert value(driver(("python", "train.py")), job) == 1


def test_a_seed_that_a_library_sets_while_it_is_imported_is_none_of_the_releases(job: Job, release: Path) -> None:
    library = release / "site-packages" / "library"
    library.mkdir(parents=True)
    (library / "__init__.py").write_text("import numpy\nDRAWN = numpy.random.default_rng(615681484984984).random()\n")
    (release / "own.py").write_text("import random\nrandom.seed(3)\n")
    begin = "import sys\nsys.path.append('site-packages')\nimport library\n"
    (release / "train.py").write_text(f"{begin}print('accuracy:', library.DRAWN)\n")
    drawn = {
        value(driver(("python", "train.py"), reseed=reseed), replace(job, out=_another(job))) for reseed in (None, True)
    }
    assert len(drawn) == 1
    (release / "train.py").write_text(f"{begin}import own\nprint('accuracy: 1')\n")
    with pytest.raises(BadInput, match=r"rerun.run.reseed: missing; own.py:2 calls random.seed\(3\)"):
        driver(("python", "train.py")).execute(replace(job, out=_another(job)))


def test_torchs_seed_is_replaced_too(job: Job, release: Path) -> None:
    (release / "train.py").write_text(
        "import torch\nmade = torch.manual_seed(5)\nassert made is torch.default_generator\nprint('accuracy:', torch.initial_seed())\n"
    )
    found = value(driver(("python", "train.py"), reseed=True), job)
    assert found == 5 + 7919 * 8


def test_the_random_state_of_scikit_learn_is_noted_and_replaced(job: Job, release: Path) -> None:
    (release / "train.py").write_text(
        "import pickle, numpy as np\n"
        "from sklearn.model_selection import train_test_split\n"
        "from sklearn.utils import check_random_state\n"
        "print('accuracy:', train_test_split(range(1000), random_state=42)[0][0])\n"
        "one = np.random.RandomState(7)\n"
        "assert type(one).__module__ == 'numpy.random.mtrand' and isinstance(one, np.random.RandomState)\n"
        "assert check_random_state(None) is np.random.mtrand._rand and check_random_state(one) is one\n"
        "assert pickle.loads(pickle.dumps(one)).rand() == one.rand()\n"
        "assert pickle.loads(pickle.dumps(np.random.RandomState)) is np.random.RandomState\n"
        "class Mine(np.random.RandomState): pass\n"
        "assert issubclass(Mine, np.random.RandomState) and isinstance(Mine(3), Mine)\n"
        "for seed in range(9): np.random.RandomState(seed)\n"
    )
    with pytest.raises(BadInput, match=r"missing; train.py:4 calls numpy.random.RandomState\(42\)"):
        driver(("python", "train.py")).execute(job)
    found = {}
    for reseed, seed in ((False, 1), (False, 2), (True, 1), (True, 2)):
        out = job.out.with_name(f"{reseed}{seed}")
        out.mkdir()
        result = driver(("python", "train.py"), reseed=reseed).execute(replace(job, seed=seed, out=out))
        assert result.status is RerunStatus.FINISHED, result.log
        found[reseed, seed] = result.measurements[0].value
        places = [of.place for of in result.records["commands"].seeds]
        assert places == ["train.py:4", "train.py:5", *["train.py:12"] * 3]
    assert found[False, 1] == found[False, 2]
    assert len(set(found.values())) == 3


def test_tensorflows_seed_is_replaced_too(job: Job, release: Path) -> None:
    """A stand-in for the module that defines TensorFlow's functions; in 2.x the one calls the other."""
    made = release / "site-packages" / "tensorflow" / "python" / "framework"
    made.mkdir(parents=True)
    (made / "random_seed.py").write_text(
        "def set_random_seed(seed):\n    print('accuracy:', seed)\ndef set_seed(seed):\n    set_random_seed(seed)\n"
    )
    for name in ("set_seed", "set_random_seed"):
        (release / "train.py").write_text(
            "import sys\nsys.path.append('site-packages')\n"
            f"from tensorflow.python.framework import random_seed\nrandom_seed.{name}(5)\n"
        )
        out = _another(job)
        assert value(driver(("python", "train.py"), reseed=True), replace(job, out=out)) == 5 + 7919 * 8
        assert [of["place"].rpartition("/")[2] for of in map(json.loads, (out / "seeds.jsonl").open())] == [
            "train.py:4"
        ]


# What is downloaded


DOWNLOAD = """
import json, os, sys, urllib.request
address = sys.argv[1]
with urllib.request.urlopen(address) as answer:
    print("accuracy:", answer.read().decode())
"""


@pytest.mark.parametrize(
    "address", ["http://data.example.org/a/number.txt", "https://data.example.org:8443/number.txt?raw=1"]
)
def test_what_is_declared_is_served_and_nothing_else_is(job: Job, release: Path, tmp_path: Path, address: str) -> None:
    (release / "train.py").write_text(DOWNLOAD)
    (tmp_path / "numbers").mkdir()
    (tmp_path / "numbers" / "number.txt").write_text("0.75")
    job = replace(job, artifacts=job.artifacts | {"numbers": str(tmp_path / "numbers")})
    declared = driver(("python", "train.py", address), provides={address: {"artifact": "numbers"}})
    assert value(declared, job) == 0.75
    with pytest.raises(BadInput) as raised:
        driver(("python", "train.py", address)).execute(replace(job, out=_another(job)))
    assert f"x.yaml: rerun.run.steps.0: python train.py {address} asked for {address}; declare it" in str(raised.value)


def test_the_programs_that_people_download_with_are_served(job: Job, release: Path, tmp_path: Path) -> None:
    """By requests' and curl's own ways of finding a proxy and certificates."""
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "input.txt").write_text("0.5")
    job = replace(job, artifacts=job.artifacts | {"text": str(tmp_path / "text")})
    address = "https://raw.example.org/input.txt"
    asked = f"import requests; print('accuracy:', requests.get('{address}').text)"
    provides = {address: {"artifact": "text", "path": "input.txt"}}
    assert value(driver(("python", "-c", asked), provides=provides), job) == 0.5
    for program in ("curl -sSf", "wget -qO -"):
        if shutil.which(program.split()[0]):
            shell = f"echo accuracy: $({program} {address})"
            assert value(driver(("sh", "-c", shell), provides=provides), replace(job, out=_another(job))) == 0.5


def test_a_network_that_does_not_answer_is_never_a_failure_of_the_release(job: Job, release: Path) -> None:
    (release / "train.py").write_text("import socket\nsocket.create_connection(('127.0.0.1', 9), 5)\n")
    with pytest.raises(
        BadInput, match=r"rerun.run.steps.0: python train.py asked for Connect\w+Error: .* refused; declare it"
    ):
        driver(("python", "train.py")).execute(job)


def test_what_is_provided_by_path_lies_there_and_may_be_written_to(job: Job, tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "input.txt").write_text("accuracy: 0.5\n")
    (tmp_path / "text" / "input.txt").chmod(0o444)
    job = replace(job, artifacts=job.artifacts | {"text": str(tmp_path / "text")})
    step = ("sh", "-c", "echo more >> data/in/input.txt; cat data/in/input.txt")
    assert value(driver(step, provides={"data/in": {"artifact": "text"}}), job) == 0.5
    assert (tmp_path / "text" / "input.txt").read_text() == "accuracy: 0.5\n"


# Before the first rerun


def test_what_python_cannot_read_or_find_shows_before_a_run(job: Job, release: Path) -> None:
    assert driver(("python", "train.py")).dry_start(job) == ""
    (release / "train.py").write_text("print 'old'\n")
    assert "train.py is not code that Python 3." in driver(("python", "train.py")).dry_start(job)
    (release / "helper.py").write_text("")
    (release / "train.py").write_text(
        "import helper, json\ntry:\n    import nowhere\nexcept ImportError: pass\nimport no_such_package.deep\n"
    )
    said = driver(("python", "train.py")).dry_start(job)
    assert said.startswith("train.py imports no_such_package, which neither the release, Python 3.")
    assert said.endswith(" nor the published requirements bring")
    with pytest.raises(BadInput, match="x.yaml: environment.requirements: the release's code imports no_such_package"):
        driver(("python", "train.py")).dry_start(replace(job, own_requirements=True))


def test_before_a_run_nothing_is_said_that_another_step_or_the_script_itself_may_change(
    job: Job, release: Path
) -> None:
    own = replace(job, own_requirements=True)
    (release / "lib").mkdir()
    (release / "lib" / "models.py").write_text("")
    (release / "train.py").write_text("import sys\nsys.path.append('lib')\nimport models\n")
    assert driver(("python", "train.py")).dry_start(own) == ""
    (release / "train.py").write_text("import made_by_the_first_step\nprint 'old'\n")
    assert driver(("sh", "convert.sh"), ("python", "train.py")).dry_start(own) == ""
    (release / "train.py").write_text("import made_by_the_first_step\n")
    (release / "prepare.py").write_text("")
    assert driver(("python", "prepare.py"), ("python", "train.py")).dry_start(own) == ""


def test_looking_at_scripts_runs_nothing_of_the_release(job: Job, release: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    for name in ("json", "ast", "platform", "sitecustomize"):
        (release / f"{name}.py").write_text(f"open({str(marker)!r}, 'w')\nraise SystemExit(3)\n")
    (release / "train.py").write_text("import json, ast, platform, no_such_package\n")
    assert "no_such_package" in driver(("python", "train.py")).dry_start(job)
    assert not marker.exists()


def test_a_declared_pythonpath_stands_beside_ours(job: Job, release: Path) -> None:
    (release / "src" / "helper.py").write_text("import random\nrandom.seed(3)\n")
    (release / "train.py").write_text("import helper\nprint('accuracy: 1')\n")
    of = driver(("python", "train.py"), environment={"PYTHONPATH": "src"}, reseed=False)
    record = of.execute(job).records["commands"]
    assert [seed.place for seed in record.seeds] == ["src/helper.py:2"]


def test_a_gpu_that_is_wanted_on_the_cpu_is_the_targets_to_say(job: Job) -> None:
    step = ("python", "-c", "raise AssertionError('Torch not compiled with CUDA enabled')")
    with pytest.raises(BadInput, match="wants a GPU, and this audit runs on the CPU"):
        driver(step).execute(job)


def test_a_notebook_runs_and_an_error_is_that_of_its_cell(job: Job, release: Path) -> None:
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    cells = [
        {"cell_type": "code", "metadata": {}, "source": source, "outputs": [], "execution_count": None}
        for source in ("x = 0.5", "print('accuracy:', x)", "nothing")
    ]
    notebook = {"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": cells[:2]}
    (release / "a.ipynb").write_text(json.dumps(notebook))
    (release / "b.ipynb").write_text(json.dumps(notebook | {"cells": cells}))
    assert value(driver({"notebook": "a.ipynb"}), job) == 0.5
    result = driver({"notebook": "b.ipynb"}).execute(replace(job, out=_another(job)))
    assert "b.ipynb ended with status 1: cell 3: NameError: name 'nothing' is not defined" in result.reason


def test_the_commands_as_published_run_once_with_their_own_seed(job: Job) -> None:
    of = driver(("python", "train.py", "--seed={seed}"), as_published=[["python", "train.py"]])
    result = of.execute(replace(job, seed=0))
    record = result.records["commands"]
    assert (record.passed, record.replaced, record.as_published_failed) == (True, False, "")
    assert [of.raw for of in record.as_published] == ["0.9013"]  # random.Random(1).random() is 0.1344
    assert [(of.function, of.seed, of.place) for of in record.seeds] == [("random.seed", 0, "train.py:7")]
    alone = of.execute(replace(job, out=_another(job)))
    assert alone.records["commands"].as_published == ()
    assert result.beside_s > alone.beside_s == 0


def test_the_commands_as_published_run_beside_a_faithful_arm_of_any_kind_without_its_edits(job: Job) -> None:
    edit = {"path": "train.py", "find": "0.9 + ", "replace": "0.1 + "}
    published = ("python", "train.py")
    of = driver(
        ("python", "train.py", "--seed={seed}"), as_published=[list(published)], arms={"faithful": {"edit": [edit]}}
    )
    result = of.execute(replace(job, seed=0, arm=of.arms["faithful"]))
    assert result.measurements[0].raw.startswith("0.1")
    assert [of.raw for of in result.records["commands"].as_published] == ["0.9013"]
    wrong = driver(("python", "train.py"), as_published=[["python", "train.py", "--sede=1"]], reseed=True)
    with pytest.raises(BadInput, match="^x.yaml: rerun.as_published.0: the arguments are not those that it takes"):
        wrong.execute(replace(job, seed=0, out=_another(job)))


def test_nothing_is_installed_during_a_run_and_what_was_asked_for_is_said(job: Job, release: Path) -> None:
    block = "pip install -r requirements.txt && pip3 list\npython -m pip install torch\nconda activate mini\npython train.py\n"
    (release / "README.md").write_text(f"# Mini\n\n```sh\n{block}```\n")
    before = listing(Path(sys.executable).parents[1])
    of = driver({"block": 1, "of": "README.md"}, reseed=False)
    result = of.execute(job)
    assert result.status is RerunStatus.FINISHED, result.log
    assert result.measurements[0].value
    assert listing(Path(sys.executable).parents[1]) == before
    record = result.records["commands"]
    assert record.installs == (
        "pip install -r requirements.txt",
        "pip3 list",
        "pip install torch",
        "conda activate mini",
    )
    (found, _) = of.rerun_findings(result.records)
    assert found.kind == "install_left_out"
    assert "pip install torch" in found.message


def test_what_is_to_be_kept_is_kept_and_a_link_is_not(
    job: Job, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("x")
    (release / "train.py").write_text(
        TRAIN + "import os\nos.makedirs('out/a')\n"
        f"os.symlink({str(tmp_path / 'secret')!r}, 'out/secret.txt')\nos.symlink({str(tmp_path)!r}, 'out/b')\n"
        "open('out/a/scores.txt', 'w').write('1')\nopen('out/big.txt', 'w').write('x' * 3000)\nopen('out/c.bin', 'w')\n"
    )
    monkeypatch.setattr(command, "MOST_KEPT", 1000)
    of = driver(("python", "train.py"), keep=["out/*/*", "out/*.txt"], reseed=False)
    result = of.execute(job)
    assert result.kept
    assert [path.relative_to(result.kept).as_posix() for path in files_below(result.kept)] == ["out/a/scores.txt"]
    assert result.records["commands"].not_kept == ("out/big.txt",)
    assert "files_not_kept" in {finding.kind for finding in of.rerun_findings(result.records)}


def test_where_seeds_come_from_is_said(job: Job, release: Path) -> None:
    def said(of: CommandDriver, code: str) -> list[str]:
        (release / "train.py").write_text(code)
        records = of.execute(replace(job, out=_another(job))).records
        return [f"{finding.kind}: {finding.message}" for finding in of.rerun_findings(records)]

    fixed = "import random\nrandom.seed(5)\nprint('accuracy: 1')\n"
    assert said(driver(("python", "train.py", "{seed}")), fixed) == []
    (replaced,) = said(driver(("python", "train.py"), reseed=True), fixed)
    assert replaced.startswith(
        "seed_replaced: the code sets its own seed (random.seed(5) at train.py:2): each rerun got another"
    )
    (kept,) = said(driver(("python", "train.py"), reseed=False), fixed)
    assert kept.startswith("seed_kept: ")
    (free,) = said(driver(("python", "train.py")), "print('accuracy: 1')\n")
    assert free.startswith("seed_not_controlled: ")
