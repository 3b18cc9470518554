"""Somebody else's project: the package as it is installed, an empty folder, one target file."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cages import BEST_ISOLATION
from releases.commands import LONG_S
from releases.miniature import REPO, add_release, make_project

BIN = Path(sys.executable).parent


class Installed:
    """The package in a folder of its own, as a wheel unpacks it, and commands that use it."""

    def __init__(self, site: Path) -> None:
        self.site = site
        being_written = shutil.ignore_patterns("*.pyc.*")
        shutil.copytree(REPO / "src" / "openassay", site / "openassay", ignore=being_written)  # links followed
        self.is_built = False

    def build(self) -> None:
        """Write the digests of the code, as the build of the wheel does."""
        package = self.site / "openassay"
        subprocess.run([sys.executable, str(package / "stage_code.py"), str(package / "code")], check=True)
        self.is_built = True

    def edit(self, module: str, before: str, after: str) -> None:
        """Another version, whose module differs."""
        path = self.site / "openassay" / module
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after, 1))
        self.is_built = False

    def run(self, project: Path, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        if not self.is_built:
            self.build()
        environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(self.site)}
        done = subprocess.run(
            [sys.executable, "-P", "-m", *arguments], cwd=project, env=environment, capture_output=True, text=True,
            timeout=LONG_S, check=False,
        )  # fmt: skip
        assert done.returncode == expect, done.stdout + done.stderr
        return done


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, installed: Installed, session_cache: Path) -> Path:
    """A project made by `openassay init` in an empty folder, with one target copied in, audited."""
    os.environ["OPENASSAY_CACHE"] = str(session_cache)  # module scope comes before the function's fixture
    made = make_project(tmp_path_factory.mktemp("elsewhere"))
    add_release(made, "honest")
    folder = tmp_path_factory.mktemp("lab")
    done = installed.run(folder, "openassay", "init")
    assert "openassay audit NAME" in done.stdout
    shutil.copytree(made / "releases", folder / "releases")
    shutil.copy(made / "conf/target/honest.yaml", folder / "conf/target")
    done = installed.run(
        folder, "openassay", "audit", "honest", "profile=smoke", "tracking=none", "execution=cpu", BEST_ISOLATION
    )
    assert re.search(r"^REPRODUCED honest · self-reported", done.stdout, re.MULTILINE)
    return folder


def stale(installed: Installed, lab: Path) -> set[str]:
    """The stages that DVC takes for stale."""
    return {name.rpartition(":")[2] for name in json.loads(installed.run(lab, "dvc", "status", "--json").stdout)}


def test_an_empty_folder_becomes_a_project_whose_audit_dvc_takes_for_done(lab: Path, installed: Installed) -> None:
    verdict = json.loads((lab / "experiments/honest/verdict.json").read_text())
    assert verdict["outcome"] == "REPRODUCED"
    assert os.readlink(lab / ".openassay/code") == str(installed.site / "openassay/code")
    assert stale(installed, lab) == set()
    assert not (lab / "src").exists()


def test_another_version_makes_stale_only_what_its_code_changes_and_leaves_what_was_published(
    lab: Path, installed: Installed
) -> None:
    installed.edit("published/tokens/olmo.py", "from __future__", "# a comment\nfrom __future__")
    installed.edit("stages/rerun.py", "import itertools", "import  itertools  # laid out in another way")
    installed.edit("drivers/replay.py", "MARGIN = FACTOR", "MARGIN = FACTOR + 0")  # this target replays nothing
    assert stale(installed, lab) == set()
    installed.edit("report/page.py", "autoescape=True", "autoescape=bool(1)")
    assert stale(installed, lab) == {"report"}
    installed.edit("stages/fetch.py", "moved(source)", "moved(source) or None")
    installed.edit("stages/judge.py", "import csv\n", "import csv\nimport math\n")
    assert stale(installed, lab) == {"fetch", "judge", "report"}
    published = lab / "experiments/honest/published"
    installed.run(lab, "openassay", "publish", "honest")
    kept = {path.name: path.read_bytes() for path in published.iterdir()}
    assert set(kept) == {"plan.yaml", "verdict.json", "metrics.json", "report.html"}
    metrics = (lab / "experiments/honest/metrics.json").read_bytes()
    done = installed.run(
        lab, "openassay", "audit", "honest", "profile=smoke", "tracking=none", "execution=cpu", BEST_ISOLATION
    )
    ran = re.findall(r"^(\w+) \.\.\.$", done.stdout, re.MULTILINE)
    assert (ran[0], ran[-2:]) == ("fetch", ["judge", "report"])
    assert "building the release's environment" not in done.stdout
    assert stale(installed, lab) == set()
    assert {path.name: path.read_bytes() for path in published.iterdir()} == kept
    assert (lab / "experiments/honest/metrics.json").read_bytes() == metrics


def test_what_is_published_is_shown_where_there_is_no_verdict(lab: Path, installed: Installed) -> None:
    installed.run(lab, "openassay", "publish", "honest")
    shutil.move(lab / "experiments/honest/verdict.json", lab / "verdict.json")
    try:
        assert "REPRODUCED" in installed.run(lab, "openassay", "show", "honest").stdout
    finally:
        shutil.move(lab / "verdict.json", lab / "experiments/honest/verdict.json")


def test_a_file_outside_of_any_project_is_audited(
    tmp_path: Path, installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_project(tmp_path / "elsewhere")
    add_release(made, "honest", "wandering")
    target = tmp_path / "downloads" / "wandering.yaml"
    target.parent.mkdir()
    target.write_text((made / "conf/target/wandering.yaml").read_text().replace("releases/", f"{made}/releases/"))
    monkeypatch.setenv("OPENASSAY_LOCAL", str(made))
    asked = ("profile=smoke", "tracking=none", "execution=cpu", BEST_ISOLATION)
    done = installed.run(target.parent, "openassay", "audit", "./wandering.yaml", *asked)
    assert re.search(r"^REPRODUCED wandering · self-reported", done.stdout, re.MULTILINE)
    assert "Outside of a project: the records are kept in" in done.stderr
    assert sorted(path.name for path in target.parent.iterdir()) == ["wandering.yaml"]


def test_a_target_of_the_catalogue_is_named_from_a_project_of_ones_own(lab: Path, installed: Installed) -> None:
    done = installed.run(lab, "openassay", "check", "catalogue:mnist1d_logistic")
    assert "mnist1d_logistic: well formed" in done.stdout
    shutil.copy(REPO / "conf/target/mnist1d_logistic.yaml", lab / "conf/target")
    try:
        done = installed.run(lab, "openassay", "audit", "catalogue:mnist1d_logistic", expect=2)
        assert "another target is called mnist1d_logistic here" in done.stderr
    finally:
        (lab / "conf/target/mnist1d_logistic.yaml").unlink()


def test_a_sweep_reruns_the_recipe_with_other_values_and_bears_on_nothing(lab: Path, installed: Installed) -> None:
    asked = ("openassay", "sweep", "honest", "labels=real,inverted", "--runs", "2")
    assert "it changes nothing" in installed.run(lab, *asked, expect=2).stderr
    found = json.loads(installed.run(lab, "openassay", "sweep", "honest", "labels=inverted", "--json").stdout)
    assert [point["changes"] for point in found] == ["labels=inverted"]
    assert max(found[0]["values"]) < min(found[0]["faithful"]) - 0.5
    assert len(found[0]["values"]) == 3
    assert stale(installed, lab) == set()


TOY = '''
"""A toy: throws a coin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from openassay.core.rerun_records import Measurement, RerunStatus
from openassay.drivers.driver import Driver
from openassay.drivers.job import Arm, Job, RunResult


@dataclass(frozen=True, kw_only=True)
class CoinDriver(Driver):
    driver: Literal["coin"]
    protocol: Literal["full"] = "full"
    fair: float

    changes_by = "set"

    def metrics(self) -> set[str]:
        return {"heads"}

    def same(self, changed: Arm, base: Arm) -> bool:
        return self.share(changed) == self.share(base)

    def share(self, arm: Arm) -> float:
        return float(arm.set.get("fair", self.fair))

    def execute(self, job: Job) -> RunResult:
        value = self.share(job.arm) + (job.seed % 3 - 1) / 1000
        measured = Measurement(metric="heads", value=value, raw=repr(value), step=None, self_reported=False)
        return RunResult(
            status=RerunStatus.FINISHED, reason="", measurements=(measured,), curves={}, log="", cpu_s=0.0, device="cpu"
        )
'''


def test_a_driver_is_one_file_and_one_entry_in_the_union(lab: Path, tmp_path: Path) -> None:
    site = Installed(tmp_path / "site")
    (site.site / "openassay/drivers/coin.py").write_text(TOY.lstrip())
    union = "drivers/__init__.py"
    site.edit(
        union,
        "from openassay.drivers.native",
        "from openassay.drivers.coin import CoinDriver\nfrom openassay.drivers.native",
    )
    site.edit(union, "    PythonDriver |", "    CoinDriver | PythonDriver |")
    site.run(tmp_path, "openassay", "init")
    target = yaml.safe_load((lab / "conf/target/honest.yaml").read_text())
    for key in ("artifacts", "environment", "prepare", "components", "glue"):
        target.pop(key, None)
    target |= {
        "name": "coin", "artifacts": {}, "components": [], "rerun": {"driver": "coin", "fair": 0.5},
        "controls": [{"arm": "bent", "set": {"fair": 0.9}, "rationale": "a bent coin"}],
    }  # fmt: skip
    claim = {
        "metric": "heads",
        "published": {"value": 0.5},
        "cited_at": {"url": "https://example.org"},
        "bounds": [0, 1],
    }
    target["claims"] = [target["claims"][0] | claim | {"tolerance": {"margin": 0.01, "rationale": "a hundredth"}}]
    (tmp_path / "conf/target/coin.yaml").write_text(yaml.safe_dump(target))
    done = site.run(
        tmp_path, "openassay", "audit", "coin", "profile=smoke", "tracking=none", "execution=cpu", BEST_ISOLATION
    )
    assert re.search(r"REPRODUCED coin", done.stdout)
    verdict = json.loads((tmp_path / "experiments/coin/verdict.json").read_text())
    assert verdict["claims"][0]["driver"] == "coin"
    assert [control["caught"] for control in verdict["controls"]] == [True]
    assert "up to date" in site.run(tmp_path, "dvc", "status", "experiments/coin/dvc.yaml").stdout
