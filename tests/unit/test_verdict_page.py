"""docs/verdict.md: its worked examples give what they show, and its tables name what the code has."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

from openassay.core.verdict import RULES
from openassay.core.verdict_records import Why

PAGE = (Path(__file__).parents[2] / "docs" / "verdict.md").read_text(encoding="utf-8")
CNN = "seed,accuracy\n0,94.6\n1,93.2\n2,93.6\n3,93.1\n4,92.9\n5,94.3\n6,93.2\n7,94.6\n8,95.3\n9,93.1\n"
"""Ten reruns of MNIST-1D's CNN, as they were recorded."""


def test_the_examples_give_what_they_show(tmp_path: Path) -> None:
    (tmp_path / "cnn.csv").write_text(CNN)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    examples = [
        example.split("\n", 1)
        for block in re.findall(r"```console\n(.*?)```", PAGE, flags=re.DOTALL)
        for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    ]
    assert len(examples) >= 6
    for command, shown in examples:
        if command.startswith("cat "):
            (tmp_path / command.removeprefix("cat ")).write_text(shown)
            continue
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout == shown, command


def test_the_tables_list_every_rule_in_order_and_every_reason() -> None:
    rules = [rule.__name__ for rule in RULES]
    table = PAGE.split("## The rules, in order")[1].split("## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE) == rules
    reasons = PAGE.split("## Why a claim is open")[1].split("## ")[0]
    first_cells = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", reasons, flags=re.MULTILINE)
    assert sorted(re.findall(r"\w+", " ".join(first_cells))) == sorted(get_args(Why))
