"""Commands inside launchers and shells are seen, and no other program's options are taken for the script's."""

from __future__ import annotations

from pathlib import Path

import pytest
from releases.small import release

from openassay.checks.check import answer
from openassay.checks.registry import CONSISTENCY

ASKED = next(of for of in CONSISTENCY if of.kind == "flag_not_accepted")
SCRIPT = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr', type=float)\np.parse_args()\n"


def found(folder: Path, line: str, script: str = SCRIPT) -> list[str]:
    files = {"README.md": f"# Thing\n\n```bash\n{line}\n```\n", "train.py": script, "pkg/train.py": script}
    return [of.message for of in answer(ASKED, release(folder, files)).problems]


@pytest.mark.parametrize(
    "line",
    [
        "mpirun -np 4 python train.py --rate 1",
        "mpirun --host a,b bash -c 'python train.py --rate 1'",
        "srun --nodes 2 bash -c \"python -u train.py --rate 1\"",
        "srun -N 2 bash -lc 'export A=1; python train.py --rate 1 2>&1 | tee log'",
        "srun torchrun --nproc_per_node 8 train.py --rate 1",
        "torchrun --nproc_per_node=8 train.py --rate 1",
        "torchrun --nnodes 2 -m pkg.train --rate 1",
        "accelerate launch --num_processes 2 train.py --rate 1",
        "deepspeed --num_gpus 4 train.py --rate 1",
        "python -m torch.distributed.run --nproc_per_node 4 train.py --rate 1",
        "uv run train.py --rate 1",
        "uv run --extra gpu python train.py --rate 1",
        "poetry run python -m pkg.train --rate 1",
        "CUDA_VISIBLE_DEVICES=0 timeout 60 python train.py --rate 1",
    ],
)  # fmt: skip
def test_an_option_that_a_wrapped_script_does_not_take_is_found(tmp_path: Path, line: str) -> None:
    (message,) = found(tmp_path / "a", line)
    assert "--rate" in message
    assert not found(tmp_path / "b", line.replace("--rate", "--lr"))


@pytest.mark.parametrize(
    "line",
    [
        "uv run pytest train.py --rate 1",
        "srun coverage run train.py --rate 1",
        "mpirun -np 2 pytest train.py --rate 1",
        "poetry run black train.py --rate",
        "timeout 5 ruff check train.py --rate",
        "srun bash -c 'cd /elsewhere && python train.py --rate 1'",
        "srun --container-image other.sqsh python train.py --rate 1",
        "bash train.sh python train.py --rate 1",
        "bash -c \"$LAUNCHER train.py --rate 1\"",
        "torchrun --rate 1 train.py",
        "srun bash -c 'python train.py --lr 1 && other --rate 1'",
        "docker run image python train.py --rate 1",
        "python -c 'x' train.py --rate 1",
    ],
)  # fmt: skip
def test_what_another_program_takes_is_no_finding(tmp_path: Path, line: str) -> None:
    assert not found(tmp_path, line)


def test_options_that_a_library_adds_are_no_finding(tmp_path: Path) -> None:
    script = SCRIPT.replace("p.parse", "import deepspeed\np = deepspeed.add_config_arguments(p)\np.parse")
    assert not found(tmp_path, "deepspeed --num_gpus 4 train.py --deepspeed --deepspeed_config ds.json", script)
