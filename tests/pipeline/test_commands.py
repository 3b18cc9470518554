"""An ordinary release, a repository with commands in its README and a number, audited without a line of glue."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cages import needs_bwrap
from hub import Hub
from releases.miniature import make_project, write_index, write_target
from releases.stages import SETTINGS, audit

from openassay.core.verdict_records import Outcome
from openassay.faults import BadInput
from openassay.layout import Layout
from openassay.limits import LimitMet

README = """# Mini

First the data, then the training:

```sh
python data/prepare.py
```

```sh
python train.py --steps 300
```

This gets an accuracy of 0.90.
"""

PREPARE = """
import os, urllib.request
here = os.path.dirname(os.path.abspath(__file__))
text = urllib.request.urlopen("https://files.example.org/numbers.txt").read().decode()
open(os.path.join(here, "train.txt"), "w").write(text)
"""

TRAIN = """
import argparse, random
parser = argparse.ArgumentParser(); parser.add_argument("--device", choices=["cpu", "cuda"])
parser.add_argument("--steps", type=int, default=300)
given = parser.parse_args()
random.seed(1337)
mean = sum(map(float, open("data/train.txt").read().split())) / 1000
for step in range(0, given.steps + 1, 100):
    print("\\x1b[1mstep %d\\x1b[0m: accuracy %.4f" % (step, 0.5 + 0.4 * mean * step / 300 + random.gauss(0, 0.002)))
"""


@pytest.fixture
def released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The target of such a release, on a loopback host."""
    with Hub(tmp_path / "hub") as hub:
        hub.lead(monkeypatch, tmp_path)
        files = {"README.md": README, "data/prepare.py": PREPARE, "train.py": TRAIN, "LICENSE": "MIT License\n"}
        code = hub.git("mini/code", {name: text.encode() for name, text in files.items()})
        numbers = hub.git("mini/numbers", {"numbers.txt": b"1.0\n" * 1000})
        yield {
            "schema_version": 1,
            "name": "mini",
            "release": {"title": "Mini", "version": "1", "homepage": "https://github.com/mini/code"},
            "components": [{"component": "training_code", "published": "yes", "licence": "MIT", "artifact": "code", "paths": ["train.py"]}],
            "artifacts": {
                "code": {"sources": [{"kind": "git", "url": "https://github.com/mini/code", "commit": code}]},
                "numbers": {"sources": [{"kind": "git", "url": "https://github.com/mini/numbers", "commit": numbers}]},
            },
            "environment": {},
            "rerun": {
                "driver": "command",
                "run": {
                    "artifact": "code",
                    "steps": [{"block": 1, "of": "README.md"}, ["python", "train.py", "--steps={steps}", "--device={device}"]],
                    "provides": {"https://files.example.org/numbers.txt": {"artifact": "numbers", "path": "numbers.txt"}},
                    "reseed": True,
                    "keep": ["data/*.txt"],
                },
                "parameters": {"steps": 300},
                "as_published": [{"block": 1, "of": "README.md"}, {"block": 2, "of": "README.md"}],
                "measure": [{"read_from": "stdout", "metric": "accuracy", "pattern": r"^step \d+: accuracy ([\d.]+)"}],
                "timeout_s": 60,
            },
            "controls": [
                {"arm": "no_steps", "parameters": {"steps": 0}, "rationale": "nothing is learned"},
                {
                    "arm": "no_data", "rationale": "all numbers are zero",
                    "edit": [{"path": "data/prepare.py", "find": ".decode()", "replace": ".decode().replace('1', '0')"}],
                },
            ],
            "claims": [
                {
                    "id": "accuracy", "metric": "accuracy", "unit": "share", "published": {"value": 0.9, "rounding": 0.01},
                    "cited_at": {"artifact": "code", "path": "README.md", "quote": "This gets an accuracy of 0.90."},
                    "tolerance": {"margin": 0.03, "rationale": "three units of the last digit"},
                }
            ],
        }  # fmt: skip


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """Of the target, in a project that is the working folder."""
    made = Layout(make_project(tmp_path / "project"), "mini")
    monkeypatch.chdir(made.root)
    return made


def test_published_commands_become_a_verdict(released: dict[str, Any], layout: Layout) -> None:
    write_target(layout.root, released)
    write_index(layout.root, ["mini"])
    verdict = audit(layout, ["profile=smoke", "judge=default", "tracking=none", "execution=auto"])
    assert verdict.outcome is Outcome.REPRODUCED, verdict.reason
    assert [control.caught for control in verdict.controls] == [True, True]
    (claim,) = verdict.claims
    assert claim.driver == "command"
    records = [json.loads(path.read_text()) for path in sorted(layout.folder.glob("rerun/faithful/*/record.json"))]
    values = {record["measurements"][0]["value"] for record in records}
    assert len(values) == len(records) >= 2  # the seed that stands in the code is replaced
    said = {finding.kind: finding.message for finding in verdict.findings}
    assert "the code sets its own seed (random.seed(1337) at train.py:6)" in said["seed_replaced"]
    assert said["as_published"].startswith("accuracy: run as published, with their own seed, the commands give 0.90")
    kept = layout.rerun("faithful", 1) / "kept" / "data" / "train.txt"
    assert kept.read_text() == "1.0\n" * 1000
    page = layout.report.read_text()
    assert "block 1 of README.md" in page
    assert "train.py --steps={steps}" in page
    assert "https://files.example.org/numbers.txt" in page


@needs_bwrap
def test_a_caged_audit_gives_the_same_numbers_and_says_that_it_was_caged(
    released: dict[str, Any], layout: Layout
) -> None:
    write_target(layout.root, released)

    def values() -> dict[str, Any]:
        found = {
            path.parent.name + path.parents[1].name: json.loads(path.read_text())
            for path in layout.folder.glob("rerun/*/*/record.json")
        }
        return {name: of["measurements"][0]["raw"] for name, of in found.items()}

    caged = audit(layout, [*SETTINGS, "isolation=bubblewrap"])
    assert caged.outcome is Outcome.REPRODUCED, caged.reason
    assert caged.provenance.isolation == "bubblewrap"
    assert "had no network, saw its own files only" in layout.report.read_text()
    inside = values()
    outside = audit(layout, [*SETTINGS, "isolation=none"])
    assert outside.provenance.isolation == "none"
    assert outside.provenance.num_reused == 0  # another isolation makes the reruns again
    assert "unprotected" in layout.report.read_text()
    both = values().keys() & inside.keys()  # a worker that had nothing to do may have begun another one
    assert len(both) >= caged.provenance.num_reruns
    assert {name: values()[name] for name in both} == {name: inside[name] for name in both}


@needs_bwrap
def test_a_rerun_that_meets_a_limit_stops_the_audit_and_goes_on_with_a_higher_one(
    released: dict[str, Any], layout: Layout
) -> None:
    write_target(layout.root, released)
    with pytest.raises(LimitMet, match=r"isolation\.memory_gib: expected at most 0\.002 GiB"):
        audit(layout, [*SETTINGS, "isolation=bubblewrap", "isolation.memory_gib=0.002"])
    assert not list(layout.folder.glob("rerun/*/*/record.json"))
    assert audit(layout, [*SETTINGS, "isolation=bubblewrap"]).outcome is Outcome.REPRODUCED
    again = audit(layout, [*SETTINGS, "isolation=bubblewrap", "isolation.memory_gib=4"])
    assert again.provenance.num_reused > 0  # what a run may use bears on nothing


def test_a_shorter_training_is_held_to_what_is_published_of_its_length(
    released: dict[str, Any], layout: Layout
) -> None:
    log = {"published": {"value": 0.63, "rounding": 0.01}, "cited_at": {"url": "https://example.org/log.txt"}}
    released["scaled_reruns"] = [
        {"what": "100 steps", "reference": "the release's log", "share": 0.34, "parameters": {"steps": 100}, "results": {"accuracy": log}}
    ]  # fmt: skip
    write_target(layout.root, released)
    verdict = audit(layout, [*SETTINGS, "scale=half"])
    assert verdict.outcome is Outcome.REPRODUCED, verdict.reason
    assert "scaled down to at most 0.5 of the updates" in verdict.reason
    assert verdict.claims[0].published.value == 0.63
    assert verdict.claims[0].protocol == "full, at most 0.5 of the updates"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda run: run.pop("provides"), "rerun.run.steps.0: block 1 of README.md asked for https://files.example.org/numbers.txt"),
        (lambda run: run["steps"].append(["python", "evaluate.py"]), "rerun.run.steps.2: python: can't open file"),
        (lambda run: run["steps"].append(["python", "train.py", "--epochs=3"]), "rerun.run.steps.2: the arguments are not those"),
        (
            lambda run: run["steps"].insert(0, ["python", "-c", "import no_such_package"]),
            "environment.requirements: the release's code imports no_such_package",
        ),
        (lambda run: run.pop("reseed"), "rerun.run.reseed: missing; train.py:6 calls random.seed"),
        (lambda run: run.update(artifact="cod"), "rerun.run.artifact: there is no artifact 'cod'"),
        (lambda run: run["steps"].append(["python", "{nothing}"]), r"rerun.run.arguments: nothing gives \{nothing\}"),
        (lambda run: run["provides"].update({"../x": {"artifact": "numbers"}}), "rerun.run.provides: expected an address"),
    ],
)  # fmt: skip
def test_a_slip_of_the_target_is_one_line_with_its_key(
    released: dict[str, Any], layout: Layout, change: Any, says: str
) -> None:
    change(released["rerun"]["run"])
    write_target(layout.root, released)
    with pytest.raises(BadInput, match=f"^conf/target/mini.yaml: {says}"):
        audit(layout)


def test_a_release_whose_command_fails_is_not_attempted_with_its_own_words(
    released: dict[str, Any], layout: Layout
) -> None:
    released["rerun"]["run"]["steps"][0] = ["python", "-c", "raise ValueError('the data are gone')"]
    write_target(layout.root, released)
    verdict = audit(layout)
    assert verdict.outcome is Outcome.NOT_ATTEMPTED
    assert any("ended with status 1: ValueError: the data are gone" in finding.message for finding in verdict.findings)
