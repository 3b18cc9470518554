"""Each consistency check finds what it is for, cites both places, and is silent where the places agree."""

from __future__ import annotations

import copy
import datetime
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from releases.cards import fine_tuned
from releases.small import APACHE, MIT, NEOX, OLMO, Files, harness, many, megatron, release, safetensors

from openassay.checks.check import answer
from openassay.checks.checkpoints import update_factor
from openassay.checks.registry import CONSISTENCY, run_checks

INDEX, DATA = megatron([[i] * 2049 for i in range(8)])
SHORT_INDEX, SHORT_DATA = megatron([[i] * 1000 for i in range(8)])
_, BACKWARDS = megatron([[i] * 2049 for i in reversed(range(8))])
WEIGHTS = np.linspace(-0.1, 0.1, 64, dtype=np.float16)
TRAINING = NEOX.replace("0.01,", "0.01,", 1)
SCRIPT = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--input-file')\np.add_argument('--lr', type=float, default=1e-3)\np.parse_args()\n"
README = "# Thing\n\n```bash\npython prepare.py {flag} x\n```\n\nSee [the notes]({link}).\n"
TOKENIZER = {"model": {"vocab": {"a": 0, "b": 1, "<unk>": 2}}, "added_tokens": [{"id": 3, "content": "</s>"}]}
MODEL = {
    "model_type": "llama",
    "hidden_size": 512,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "vocab_size": 4,
    "eos_token_id": 3,
}
PIECES = "optimizer:\n  optimizer_type: AdamW\n  learning_rate:\n  - {{scheduler: Linear, initial_learning_rate: 0.0, end_learning_rate: 0.01, steps: 100}}\n  - {{scheduler: Linear, initial_learning_rate: 0.01, end_learning_rate: 0.001, decay_steps: {decay}}}\nrunconfig:\n  max_steps: 1000\ntrain_input:\n  batch_size: 8\n"
ENTRY = b'"w":{"dtype":"F16","shape":[%s],"data_offsets":[0,128]}'
HEADER = b"{%s,%s}" % (ENTRY % b"64", ENTRY % b"8,8")
TWICE = struct.pack("<Q", len(HEADER)) + HEADER + WEIGHTS.tobytes()
DIGESTS = [f"{i:064x}" for i in range(0xABCDEF, 0xABCDEF + 4)]


def shards(digests: list[str], numbers: tuple[int, ...] = (0, 1, 2, 3), last: int = 3) -> str:
    return "".join(f"data-{n:05}-of-{last:05}.bin {d}\n" for n, d in zip(numbers, digests, strict=True))


def rows(*steps: int, at: dict[int, int] | None = None) -> str:
    return "Step,Checkpoint Directory\n" + "".join(
        f"{s},https://host.org/run/step{(at or {}).get(s, s)}-unsharded/\n" for s in steps
    )


def siblings(lacking: str) -> Files:
    files = {f"models/pythia-{size}.yml": NEOX for size in ("70m", "160m", "410m", "1b")}
    return files | {"models/pythia-6.9b.yml": NEOX.replace('  "init_method": "small_init",\n', lacking)}


def variants(path_of_31m: str) -> Files:
    files: Files = {}
    for size in ("70m", "160m", "410m"):
        files[f"pythia-{size}.yml"] = NEOX
        files[f"pythia-{size}-deduped.yml"] = NEOX.replace("/data/pile/", "/data/pile_deduped/")
    return files | {"pythia-31m.yml": NEOX.replace("/data/pile/", path_of_31m)}


def steps(later: Any, **more: Any) -> Files:
    return {
        "tiny.yml": NEOX,
        "step0/model.safetensors": safetensors(w=WEIGHTS),
        "step1000/model.safetensors": safetensors(w=later),
        **more,
    }


def with_results(second: dict[str, dict[str, float]], *, model: str = "org/pythia-70m", step: int = 2000) -> Files:
    return {"a.json": harness("org/pythia-70m", 1000, many()), "b.json": harness(model, step, second)}


def changed(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return copy.deepcopy(document) | changes


PARTS = "| Part | Raw Size | Mean Size |\n|---|---|---|\n| a | 90.3 GiB | 3 KiB |\n| b | 5.2 GiB | 4 KiB |\n| **Total** | {total} | 5 KiB |\n"
PER_DEVICE = (
    "per_device_train_batch_size: 1\ngradient_accumulation_steps: 2 # effective batch size {batch} with 1 node\n"
)
SHAPE = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "intermediate_size": 11008,
    "vocab_size": 32000,
}
SEEDED = "import argparse, random\np = argparse.ArgumentParser()\np.add_argument('--seed', type=int)\nargs = p.parse_args()\nrandom.seed({use})\n"

COMPOSER = (
    "max_seq_len: 2048\nglobal_train_batch_size: 256\nmodel:\n  name: mpt_causal_lm\n  d_model: 768\n  n_heads: 12\n  n_layers: 12\n"
    "  max_seq_len: 2048\n  vocab_size: 50368\ntokenizer:\n  name: EleutherAI/gpt-neox-20b\ntrain_loader:\n  name: text\n"
    "scheduler:\n  name: cosine_with_warmup\n  t_warmup: 100ba\n  alpha_f: 0.1\noptimizer:\n  name: decoupled_adamw\n  lr: 6.0e-4\n"
    "  betas: [0.9, 0.95]\n  eps: 1.0e-08\n  weight_decay: 0.0\nmax_duration: 33696ba  # {comment}\n"
)


def scores(first: str, second: str, last: str = "70.1", shift: float = 0.0) -> str:
    """A table of two models' results, alike but for the last."""
    cells = [f"{10.1 * i + shift:.1f}" for i in range(1, 7)]
    head = "| Model | " + " | ".join(f"t{i}" for i in range(7)) + " |\n" + "|---" * 8 + "|\n"
    return head + "".join(
        f"| {name} | {' | '.join([*cells, end])} |\n" for name, end in ((first, "70.1"), (second, last))
    )


def measured(share: float, num_items: int, said: int) -> dict[str, Any]:
    """A result of the harness with the error that so many items give, and the number that the file says."""
    error = (share * (1 - share) / (num_items - 1)) ** 0.5
    return {
        "results": {"task": {"acc,none": share, "acc_stderr,none": error}},
        "n-samples": {"task": {"original": said, "effective": said}},
        "config": {"model_args": "pretrained=o/m"},
    }


HELPED = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--weight-decay', type=float, default={default}, help='weight decay (default: 0.05)')\n"
CHOOSING = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--size', choices=['small', 'large'])\np.add_argument('--steps', type=int)\np.add_argument('--lr')\np.parse_args()\n"
LARGE = safetensors(w=np.zeros((100, 600), np.float16), embed_tokens=np.zeros((100, 400), np.float16))
PARSED = "import argparse\n\ndef get_parser():\n    parser = argparse.ArgumentParser()\n    parser.add_argument('--lr')\n    return parser\n\n"
CITED = "@article{{a,\n  title={{An open model for sums}},\n  journal={{arXiv preprint arXiv:2310.06786}},\n}}\n@article{{b,\n  title={{The web of sums}},\n  eprint={{{second}}},\n}}\n"
SIZES = "| Size | Parameters |\n|---|---|\n| a | 39 M |\n| b | 74 M |\n| c | 244 M |\n| turbo | {turbo} M |\n"
SCORES = "| Model | A | B | Average |\n|---|---|---|---|\n| x | 10.0 | 20.0 | 15.0 |\n| y | 30.0 | 20.0 | 25.0 |\n| z | 1.0 | 2.0 | 1.5 |\n| v | 4.0 | 6.0 | 5.0 |\n| w | 50.0 | 60.0 | {last} |\n"
COMMENTED = "GPUS=${{GPUS:-8}}\nPER=${{PER:-{per}}}\n# number of gpus: 8\n# batch size per gpu: 4\n# epoch: 2\npython a.py \\\n  --per_device_train_batch_size ${{PER}} \\\n  --num_train_epochs 2\n"
OPTIONS = {
    "learning_rate": 0.1,
    "weight_decay": 0.01,
    "warmup_steps": 10,
    "seed": 1,
    "logging_steps": 5,
    "num_train_epochs": 4,
    "batch": 6,
}
STARTS = "```\npython a.py --learning_rate 0.1 --weight_decay 0.01 --warmup_steps 10 --seed 1 --logging_steps 5 --num_train_epochs 4 --batch {batch}\n```\n\nThe file [start.json](start.json) has the exact same hyper-parameters.\n"

CASES: dict[str, tuple[Files, Files, str]] = {
    "anchor_absent": (
        {"README.md": "# A\n[use](#usage)\n\n## How to use it\n"}, {"README.md": "# A\n[use](#-how-to-use-it-1) [top](#top) [b](#b)\n\n## :rocket: How to *use* it\n<a name='b'></a>\n"}, "README.md:2 links to #usage",
    ),
    "example_import_absent": (
        {"README.md": "```python\nfrom p import load\n```\n", "p/__init__.py": "from .b import y\n", "p/b.py": "y = 1\n", "c.py": "from p.b import y\n"},
        {"README.md": "```python\nfrom p import y\nimport other\n```\n\n```python\n$ no python\n```\n", "p/__init__.py": "from .b import y\n", "p/b.py": "y = 1\n", "c.py": "from p.b import y\n"}, "README.md:2 imports load from p",
    ),
    "size_differs_from_weights": (
        {"README.md": "# Tiny\n\n- **Parameters:** 200K\n", "model.safetensors": LARGE}, {"README.md": "# Tiny\n\n| Parameters | 100K |\n|---|---|\n", "tiny-0.1m/README.md": "- Model size: 0.1M parameters\n", "tiny-0.1m/model.safetensors": LARGE, "model.safetensors": LARGE}, "README.md gives 200K for the model's size, but its weights in model.safetensors hold 1e+05 numbers",
    ),
    "citation_number_twice": (
        {"README.md": CITED.format(second="2310.06786")}, {"README.md": CITED.format(second="2310.10631")}, "two works, An open model for sums (line 3) and The web of sums (line 7), have one arXiv number, 2310.06786",
    ),
    "option_named_otherwise": (
        {"README.md": "Use `--inptu-file` or `--input-file`.\n", "prepare.py": SCRIPT}, {"README.md": "Use `--input_file`.\n", "prepare.py": SCRIPT}, "names the option --inptu-file, which no script of the release takes; prepare.py:3 takes --input_file",
    ),
    "option_read_never_declared": (
        {"a.py": SEEDED.format(use="args.sed")}, {"a.py": SEEDED.format(use="args.seed")}, "a.py:5 reads args.sed, which no parser of the release takes",
    ),
    "help_gives_another_default": (
        {"a.py": HELPED.format(default="0.1")}, {"a.py": HELPED.format(default="0.05")}, "a.py:3: the help of --weight-decay says that it is 0.05 by default, but the default is 0.1",
    ),
    "option_value_not_accepted": (
        {"README.md": README.format(flag="--size huge --lr", link="b.py"), "prepare.py": CHOOSING}, {"README.md": README.format(flag="--size small --lr", link="b.py"), "prepare.py": CHOOSING},
        "README.md:4 gives --size the value huge, but prepare.py:3 takes only small, large",
    ),
    "product_computed_otherwise": (
        {"run.sh": "#!/bin/bash\n# => 6 * 1558e6 * 32e9 = 6.966e20\n"}, {"run.sh": "# => 6 * 350e6 * 31.5e9 = 6.615e19 ~= 7e19\n"}, "run.sh:2 says 6 * 1558e6 * 32e9 = 6.966e20, but the product is 2.9914e+20",
    ),
    "comment_differs_from_option": (
        {"run.sh": COMMENTED.format(per=2)}, {"run.sh": COMMENTED.format(per=4)}, "run.sh:4: the comment says batch size per gpu: 4, per_device_train_batch_size is 2",
    ),
    "card_total_batch_differs": (
        {"README.md": fine_tuned(total_train_batch_size=32)}, {"README.md": fine_tuned()}, "README.md: total_train_batch_size is 32, and train_batch_size 16 × gradient_accumulation_steps 4 is 64",
    ),
    "card_trained_beyond_its_end": (
        {"README.md": fine_tuned(num_epochs=2)}, {"README.md": fine_tuned()}, "the table goes on to epoch 2.98, and num_epochs is 2",
    ),
    "card_steps_against_epochs": (
        {"README.md": fine_tuned().replace("| 186 ", "| 210 ")}, {"README.md": fine_tuned()}, "step 210 at epoch 2.98, and step 125 at epoch 2.0: these are not equally many steps an epoch",
    ),
    "card_reports_another_row": (
        {"README.md": fine_tuned().replace("- Loss: 1.6474\n- Accuracy: 0.893", "- Loss: 1.8096\n- Accuracy: 0.874")}, {"README.md": fine_tuned()}, "are those of row 2 of 3, not of the last one, of the table; the card does not say why",
    ),
    "card_index_differs": (
        {"README.md": fine_tuned().replace("value: 0.8930", "value: 0.8990")}, {"README.md": fine_tuned()}, "Accuracy is 0.893 in the text, and 0.8990 in the front matter's model-index",
    ),
    "difference_of_other_numbers": (
        {"p.yaml": "lr:\n- steps: 276\n- decay_steps: 27452 # 27590 - 138\nmax_steps: 27728\n"}, {"p.yaml": "lr:\n- steps: 276\n- decay_steps: 27452 # 27728 - 276\nmax_steps: 27728\n"}, "27590 - 138, but the file's own numbers are max_steps 27728 and lr.0.steps 276",
    ),
    "run_of_another_size": (
        {"base-alpha-3b-v2.yml": "wandb_name: base-alpha-7b-v2-4k\n"}, {"base-alpha-3b-v2.yml": "wandb_name: base-alpha-3b-v2-4k\n"}, "is of size 3b, but wandb_name is base-alpha-7b-v2-4k",
    ),
    "command_differs_from_settings": (
        {"README.md": STARTS.format(batch=4), "start.json": OPTIONS, "a.py": ""}, {"README.md": STARTS.format(batch=6), "start.json": OPTIONS, "a.py": ""}, "--batch is 4 there and 6 in the file",
    ),
    "average_differs_from_row": (
        {"README.md": SCORES.format(last="56.0")}, {"README.md": SCORES.format(last="55.0")}, "the Average in line 7 is 56, but the mean of its 2 other numbers is 55",
    ),
    "size_stated_twice": (
        {"README.md": SIZES.format(turbo=809), "model-card.md": SIZES.format(turbo=798)}, {"README.md": SIZES.format(turbo=809), "model-card.md": SIZES.format(turbo=809)}, "turbo has 809 M parameters in README.md and 798 M in model-card.md",
    ),
    "tokens_disagree": ({"OLMo.yaml": OLMO.replace("# 3.1T", "# 2.1T")}, {"OLMo.yaml": OLMO}, "2.1T tokens"),
    "value_stated_twice": (
        {"models/pythia-1b.yml": NEOX, "models/pythia-70m.yml": NEOX, "README.md": "| Params | n_layers | Learning Rate |\n|---|---|---|\n| 1B | 6 | 3.0e-4 |\n"},
        {"models/pythia-1b.yml": NEOX, "models/pythia-70m.yml": NEOX, "README.md": "| Params | n_layers | Learning Rate |\n|---|---|---|\n| 1B | 6 | 1.0e-3 |\n"},
        "learning_rate: README.md says 3.0e-4, models/pythia-1b.yml says 0.001",
    ),
    "vocabulary_stated_twice": ({"t.yaml": OLMO + "data:\n  vocab_size: 50000\n"}, {"t.yaml": OLMO + "data:\n  vocab_size: 50280\n"}, "50280 and 50000"),
    "value_unstated": (siblings(""), siblings('  "init_method": "small_init",\n'), "pythia-6.9b.yml does not state init_method"),
    "data_of_another_name": (variants("/ssd/pile_deduped/"), variants("/ssd/pile/"), "pythia-31m.yml is named pythia-31m"),
    "name_undefined": (
        {"train.py": "import os\n\ndef main():\n    torch.manual_seed(1)\n"},
        {"train.py": "import torch\n\ndef main():\n    torch.manual_seed(1)\n"}, "train.py:4 uses the name torch",
    ),
    "import_absent": (
        {"p/__init__.py": "", "p/a.py": "from .data import load\n", "p/b.py": "x = 1\n"},
        {"p/__init__.py": "", "p/a.py": "from .b import x\nfrom . import b\n", "p/b.py": "x = 1\n"},
        "p/a.py:1 imports .data, which is not in the release",
    ),
    "call_not_accepted": (
        {"p/__init__.py": "", "p/a.py": "from .b import Net\nNet(1, width=2)\n", "p/b.py": "class Net:\n    def __init__(self, depth, size=1): ...\n"},
        {"p/__init__.py": "", "p/a.py": "from .b import Net\nNet(1, size=2)\n", "p/b.py": "class Net:\n    def __init__(self, depth, size=1): ...\n"},
        "p/a.py:2 calls Net with width, which it does not take; p/b.py:2 defines it",
    ),
    "code_contradicts_itself": (
        {"train.py": "SETTINGS = {'lr': 1e-3,\n 'wd': 0.1,\n 'lr': 3e-4}\n"}, {"train.py": "SETTINGS = {'lr': 1e-3, 'wd': 0.1}\n"},
        "train.py:1: the key 'lr' stands twice in one dictionary, with different values",
    ),
    "syntax_newer_than_declared": (
        {"setup.py": "from setuptools import setup\nsetup(name='p', python_requires='>=3.7')\n", "p.py": "if (n := 1):\n    pass\n"},
        {"setup.py": "from setuptools import setup\nsetup(name='p', python_requires='>=3.8')\n", "p.py": "if (n := 1):\n    pass\n"},
        "p.py:1 has :=, which Python 3.8 brought; setup.py declares >=3.7",
    ),
    "version_stated_twice": (
        {"pyproject.toml": "[project]\nname = 'a-b'\nversion = '1.10'\n", "src/a_b/__init__.py": "__version__ = '1.9'\n"},
        {"pyproject.toml": "[project]\nname = 'a-b'\nversion = '1.10'\n", "src/a_b/__init__.py": "__version__ = '1.10.0'\n"},
        "pyproject.toml says version 1.10, src/a_b/__init__.py says 1.9",
    ),
    "build_names_absent": (
        {"Dockerfile": "FROM python:3.11\nCOPY requirements-gpu.txt setup.py ./\n", "setup.py": ""},
        {"Dockerfile": "FROM python:3.11\nCOPY requirements.txt setup.py ./\nCOPY . /app\n", "setup.py": "", "requirements.txt": "torch\n"},
        "Dockerfile:2 names requirements-gpu.txt",
    ),
    "requirements_differ": (
        {"setup.py": "from setuptools import setup\nsetup(name='p', install_requires=['torch>=2', 'numpy'])\n", "requirements.txt": "torch==1.13.1  # as we had it\n"},
        {"setup.py": "from setuptools import setup\nsetup(name='p', install_requires=['torch>=1.13', 'numpy'])\n", "requirements.txt": "torch==1.13.1+cu117\n"},
        "setup.py asks for torch>=2, requirements.txt for torch==1.13.1",
    ),
    "key_stands_twice": ({"a.yaml": "lr: 1\nlr: 2\n"}, {"a.yaml": "lr: 1\nlr2: 2\n"}, "1 in line 1 and 2 in line 2"),
    "schedule_longer_than_training": ({"p.yaml": PIECES.format(decay=5000)}, {"p.yaml": PIECES.format(decay=900)}, "5100 steps together"),
    "yaml_readers_differ": ({"a.yaml": "eps: 1e-8\n"}, {"a.yaml": "eps: 1.0e-8\n"}, "the word '1e-8' to a YAML 1.1 reader"),
    "version_read_as_number": ({"a.yaml": "python_version: 3.10\n"}, {"a.yaml": "python_version: 3.11\n"}, "3.1,"),
    "not_readable": ({"a.yaml": "{a: 1\nb: [}"}, {"a.yaml": "a: 1\n"}, "not YAML"),
    "special_token_elsewhere": (
        {"config.json": changed(MODEL, eos_token_id=2), "tokenizer.json": TOKENIZER, "tokenizer_config.json": {"eos_token": "</s>"}},
        {"config.json": MODEL, "tokenizer.json": TOKENIZER, "tokenizer_config.json": {"eos_token": "</s>"}}, "'</s>' has the id 3",
    ),
    "one_tokenizer_two_ends": ({"a.yaml": OLMO, "b.yaml": OLMO.replace("50279", "0")}, {"a.yaml": OLMO, "b.yaml": OLMO}, "eos_token_id 50279 and 0"),
    "vocabulary_too_small": ({"config.json": changed(MODEL, vocab_size=3), "tokenizer.json": TOKENIZER}, {"config.json": MODEL, "tokenizer.json": TOKENIZER}, "ids up to 3"),
    "embedding_of_another_size": (
        {"config.json": MODEL, "model.safetensors": safetensors(**{"model.embed_tokens.weight": np.zeros((5, 3), np.float32)})},
        {"config.json": MODEL, "model.safetensors": safetensors(**{"model.embed_tokens.weight": np.zeros((4, 3), np.float32)})}, "has 5 rows",
    ),
    "vocabulary_not_divisible": ({"a.yaml": OLMO.replace("50304", "50200")}, {"a.yaml": OLMO}, "is smaller than model.vocab_size 50280"),
    "checkpoints_alike": (steps(WEIGHTS, **{"step2000/model.safetensors": safetensors(w=WEIGHTS)}), steps(WEIGHTS + np.float16(0.01)), "hold the same weights"),
    "too_far_for_its_learning_rate": (
        {"tiny.yml": NEOX, "step0/model.safetensors": safetensors(w=WEIGHTS), "step2/model.safetensors": safetensors(w=WEIGHTS + np.float16(0.5))},
        {"tiny.yml": NEOX, "step0/model.safetensors": safetensors(w=WEIGHTS), "step2/model.safetensors": safetensors(w=WEIGHTS + np.float16(1e-6))}, "does not descend",
    ),
    "moved_without_learning": (
        {"tiny.yml": NEOX, "step0/model.safetensors": safetensors(w=WEIGHTS), "step1/model.safetensors": safetensors(w=WEIGHTS + np.float16(0.001))},
        {"tiny.yml": NEOX, "step0/model.safetensors": safetensors(w=WEIGHTS), "step1/model.safetensors": safetensors(w=WEIGHTS)}, "from step 0 to step 1",
    ),
    "checkpoints_claimed_and_saved": ({"a.yml": NEOX, "README.md": "We give 200 checkpoints of each.\n"}, {"a.yml": NEOX, "README.md": "We give 154 checkpoints of each.\n"}, "200 checkpoints"),
    "items_of_another_length": ({"a.yml": NEOX, "d.idx": SHORT_INDEX, "d.bin": SHORT_DATA}, {"a.yml": NEOX, "d.idx": INDEX, "d.bin": DATA}, "items of 1000 tokens"),
    "items_contradict_themselves": ({"d.idx": INDEX, "d.bin": DATA[:-2]}, {"d.idx": INDEX, "d.bin": DATA}, "the index counts"),
    "order_differs": ({"a.idx": INDEX, "a.bin": DATA, "b.idx": INDEX, "b.bin": BACKWARDS}, {"a.idx": INDEX, "a.bin": DATA, "b.idx": INDEX, "b.bin": DATA}, "not the same order"),
    "metric_out_of_range": (with_results(many() | {"more": {"acc": 1.2}}), with_results(many() | {"more": {"acc": 1.0}}), "acc is 1.2"),
    "results_disagree": (with_results(many(0.1), step=1000), with_results(many(), step=1000), "acc of org/pythia-70m"),
    "equal_results_of_unequal_checkpoints": (with_results(many()), with_results(many(), step=1000), "equal results on all 24 numbers"),
    "unequal_results_of_equal_checkpoints": (
        {"pythia-70m.yml": NEOX, "a.json": harness("org/pythia-70m", 0, many()), "b.json": harness("org/pythia-70m", 1, many(0.01))},
        {"pythia-70m.yml": NEOX, "a.json": harness("org/pythia-70m", 0, many()), "b.json": harness("org/pythia-70m", 1, many())}, "step 0 and step 1 differ",
    ),
    "digest_malformed": ({"hashes.txt": shards([*DIGESTS[:3], DIGESTS[3][:-1]])}, {"hashes.txt": shards(DIGESTS)}, "has 63 characters"),
    "digest_twice": ({"hashes.txt": shards([*DIGESTS[:3], DIGESTS[0]])}, {"hashes.txt": shards(DIGESTS)}, "have the same digest"),
    "shard_missing": ({"hashes.txt": shards(DIGESTS[:3], (0, 1, 3))}, {"hashes.txt": shards(DIGESTS)}, "data-00002-of-00003.bin is missing"),
    "index_names_absent_file": (
        {"model.safetensors.index.json": {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}, "model-1.safetensors": safetensors(a=WEIGHTS)},
        {"model.safetensors.index.json": {"weight_map": {"a": "model-1.safetensors"}}, "model-1.safetensors": safetensors(a=WEIGHTS)}, "names model-2.safetensors",
    ),
    "address_twice": ({"c.csv": rows(1000, 2000, at={2000: 1000})}, {"c.csv": rows(1000, 2000)}, "line 2 and line 3"),
    "step_twice": ({"c.csv": rows(1000) + "1000,https://host.org/other/step1000-unsharded/\n"}, {"c.csv": rows(1000, 2000)}, "step 1000 stands twice"),
    "step_against_address": ({"c.csv": rows(1000, 2000, at={2000: 2500})}, {"c.csv": rows(1000, 2000)}, "step 2000 is listed with"),
    "checkpoint_list_has_gaps": ({"c.csv": rows(*range(1000, 9000, 1000), *range(20000, 24000, 1000))}, {"c.csv": rows(*range(1000, 14000, 1000))}, "from 8000 to 20000"),
    "flag_not_accepted": (
        {"README.md": README.format(flag="--input_file", link="NOTES.md"), "prepare.py": SCRIPT, "NOTES.md": "", "a.py": ""},
        {"README.md": README.format(flag="--input-file", link="NOTES.md"), "prepare.py": SCRIPT, "NOTES.md": "", "a.py": ""}, "with --input_file, which it does not take; it takes --input-file",
    ),
    "default_documented_otherwise": ({"README.md": "`--lr` (default: 1e-4)\n", "p.py": SCRIPT}, {"README.md": "`--lr` (default: 1e-3)\n", "p.py": SCRIPT}, "--lr is 1e-4 by default"),
    "named_file_absent": (
        {"README.md": README.format(flag="--lr", link="NOTES2.md"), "prepare.py": SCRIPT, "NOTES.md": "", "a.py": ""},
        {"README.md": README.format(flag="--lr", link="NOTES.md"), "prepare.py": SCRIPT, "NOTES.md": "", "a.py": ""}, "names NOTES2.md, which is not in the release; there is NOTES.md",
    ),
    "licences_differ": ({"LICENSE": APACHE, "README.md": "---\nlicense: mit\n---\n# x\n"}, {"LICENSE": MIT, "README.md": "---\nlicense: mit\n---\n# x\n"}, "says Apache-2.0, README.md (card's front matter) says MIT"),
    "names_outside": (
        {"model.safetensors.index.json": {"weight_map": {"a": "../other/model-00001.safetensors"}}},
        {"x/model.safetensors.index.json": {"weight_map": {"a": "../other/model-00001.safetensors"}}}, "which leads above the folder",
    ),
    "pickle_imports": ({"a.pkl": pickle.dumps(datetime.date(2020, 1, 1))}, {"a.pkl": pickle.dumps([1])}, "imports datetime.date"),
    "code_to_load": (
        {"config.json": MODEL | {"auto_map": {"AutoModel": "modeling_x.Model"}}}, {"config.json": MODEL}, "auto_map names modeling_x.Model; who loads this by it runs that code, which is the release's own",
    ),
    "tensor_stands_twice": ({"a.safetensors": TWICE}, {"a.safetensors": safetensors(w=WEIGHTS)}, "the header names 'w' more than once"),
    "fraction_and_per_cent": (
        {"a.json": harness("o/m", 1000, many()), "t.csv": "model,step,task,metric,value\nm,1000,task4,acc,30.0\n"},
        {"a.json": harness("o/m", 1000, many()), "t.csv": "model,step,task,metric,value\nm,1000,task4,acc,0.30\n"}, "task4 acc of m is 0.30000000000000004 in one place and 30.0 in another",
    ),
    "number_as_text": (
        {"eval_results.json": {"eval_accuracy": "0.91", "eval_loss": 0.3}}, {"eval_results.json": {"eval_accuracy": 0.91, "eval_loss": 0.3}},
        'eval_accuracy is the text "0.91", where eval_loss is a number',
    ),
    "precision_stated_twice": (
        {"a.yaml": "learning_rate: 1.0e-4\nmax_steps: 10\nbf16: true\n", "README.md": "- **Training regime:** fp16 mixed precision\n"},
        {"a.yaml": "learning_rate: 1.0e-4\nmax_steps: 10\nbf16: true\n", "README.md": "- **Training regime:** bf16 mixed precision\n"},
        "(fp16), a.yaml says true (bf16)",
    ),
    "total_differs_from_rows": (
        {"README.md": PARTS.format(total="90.5 GiB")}, {"README.md": PARTS.format(total="95.6 GiB")}, "its 2 rows above are 95.5 together",
    ),
    "batch_in_comment_differs": (
        {"a.yaml": PER_DEVICE.format(batch=128)}, {"a.yaml": PER_DEVICE.format(batch=16)}, "128 would need 64 devices in each node",
    ),
    "size_in_name_differs": (
        {"llama-13b/config.json": SHAPE}, {"llama-7b/config.json": SHAPE}, "llama-13b/config.json is named llama-13b, but its shape (hidden_size 4096",
    ),
    "share_of_no_whole_count": (
        {"a.json": measured(0.503, 1000, 1001)}, {"a.json": measured(0.503, 1000, 1000)}, "is 503.5030 right answers of 1001",
    ),
    "error_of_another_count": (
        {"a.json": measured(0.5, 1000, 2000)}, {"a.json": measured(0.5, 1000, 1000)}, "is that of 1000.0 items, but the file says 2000 items",
    ),
    "seed_never_read": ({"a.py": SEEDED.format(use="0")}, {"a.py": SEEDED.format(use="args.seed")}, "a.py takes --seed in line 3, but nothing reads it"),
    "python_2_code": (
        {"a.py": "print 'x'\n", "pyproject.toml": "[project]\nrequires-python = '>=3.8'\n"},
        {"a.py": "print('x')\n", "pyproject.toml": "[project]\nrequires-python = '>=3.8'\n"}, "only Python 2 reads, though pyproject.toml says requires-python >=3.8",
    ),
    "comment_computes_otherwise": (
        {"a.yaml": "stop_at: 11931  # round(50e9 / (1024 * 4096)) + 1000\n"}, {"a.yaml": "stop_at: 11931  # round(50e9 / (1024 * 4096)) + 10\n"},
        "stop_at is 11931, but the comment beside it computes round(50e9 / (1024 * 4096)) + 1000 = 12920.9",
    ),
    "schedule_beyond_training": (
        {"a.yaml": "scheduler:\n  units: tokens\n  t_max: 5e12\nmax_duration: 4e12T\n"},
        {"a.yaml": "scheduler:\n  units: tokens\n  t_max: 5e12\nmax_duration: 5e12T\n"}, "scheduler.t_max 5e12, the training at max_duration 4e12T",
    ),
    "models_of_equal_results": (
        {"README.md": scores("A-7B", "B-7B")}, {"README.md": scores("A-7B", "B-7B", last="70.2")}, "A-7B (line 3) and B-7B (line 4) have the same 7 results",
    ),
    "documents_differ_in_results": (
        {"README.md": scores("A-7B", "B-7B"), "docs/README.md": scores("A-7B", "B-7B", last="70.2")},
        {"README.md": scores("A-7B", "B-7B"), "docs/README.md": scores("A-7B", "B-7B")},
        "t6 of B-7B is 70.1 in README.md and 70.2 in docs/README.md, where the tables agree in 13 other numbers",
    ),
    "licence_text_of_another_name": ({"LICENSES/MIT.txt": APACHE}, {"LICENSES/MIT.txt": MIT}, "holds the text of Apache-2.0"),
}  # fmt: skip


NOTED = {
    "card_reports_another_row",
    "python_2_code",
    "schedule_beyond_training",
    "names_outside",
    "pickle_imports",
    "code_to_load",
    "fraction_and_per_cent",
}


def test_every_check_has_a_case() -> None:
    assert {check.kind for check in CONSISTENCY} == {*CASES, "link_dead"}
    assert len({check.kind for check in CONSISTENCY}) == len(CONSISTENCY)


@pytest.mark.parametrize("kind", CASES)
def test_a_check_finds_what_it_is_for_and_cites_the_places(kind: str, tmp_path: Path) -> None:
    check = next(check for check in CONSISTENCY if check.kind == kind)
    bad, _, message = CASES[kind]
    found = answer(check, release(tmp_path, bad))
    assert found.outcome == ("noted" if kind in NOTED else "fail"), found
    assert message in found.problems[0].message
    for problem in found.problems:
        assert problem.evidence
        assert len(problem.evidence) >= 2 or kind in {
            "build_names_absent",
            "code_contradicts_itself",
            "name_undefined",
            "not_readable",
            "metric_out_of_range",
            "items_contradict_themselves",
            "product_computed_otherwise",
            "tensor_stands_twice",
            *NOTED,
        }
        assert all((tmp_path / evidence.path).exists() for evidence in problem.evidence)


@pytest.mark.parametrize("kind", CASES)
def test_a_check_passes_where_the_places_agree(kind: str, tmp_path: Path) -> None:
    check = next(check for check in CONSISTENCY if check.kind == kind)
    found = answer(check, release(tmp_path, CASES[kind][1]))
    assert found.outcome == "pass", found
    assert found.looked_at


def test_of_nothing_every_check_says_what_it_would_need(tmp_path: Path) -> None:
    for found in run_checks(release(tmp_path, {"notes.txt": "nothing\n"})):
        assert found.outcome == "cannot be asked"
        assert found.why


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.9, 0.95), (0.0, 0.99), (0.8, 0.9)])
def test_no_gradients_move_adam_farther_than_the_bound(betas: tuple[float, float]) -> None:
    b1, b2 = betas
    bound, largest = update_factor(b1, b2), 0.0
    for t in (1, 2, 5, 30, 300, 20_000):
        k = np.arange(t)[::-1]
        worst = (b1 / b2) ** k  # the gradients that make m / sqrt(v) largest, by Cauchy-Schwarz
        for gradients in (worst, np.ones(t), np.eye(t)[-1]):
            m = (1 - b1) * (b1**k * gradients).sum() / (1 - b1**t)
            v = (1 - b2) * (b2**k * gradients**2).sum() / (1 - b2**t)
            largest = max(largest, m / v**0.5)
    assert largest <= bound * (1 + 1e-9)
    assert largest >= 0.99 * bound


MODULE = "BASE = 1.5e-4\nLEARNING_RATE = BASE * 2\nWEIGHT_DECAY = 0.1\nWARMUP_STEPS = 2_000\n"
SAYS = "| Setting | Value |\n|---|---|\n| Learning rate | {lr} |\n| Weight decay | 0.1 |\n"
SCRIPT_OF_MEGATRON = "ARGS=(\n --num-layers 12\n --hidden-size 768\n --num-attention-heads 12\n --lr 3e-4\n --weight-decay 0.1\n --train-iters 1000\n)\npython pretrain_gpt.py ${ARGS[@]}\n"
OLMO_2 = OLMO + "scheduler:\n  units: tokens\n  t_warmup: 16777216000\n"

SILENT: dict[str, tuple[str, Files]] = {
    "constants that options may change are no settings of a training": ("value_stated_twice", {"train.py": MODULE + "parser.add_argument('--lr', default=LEARNING_RATE)\n", "README.md": SAYS.format(lr="1e-3")}),
    "constants that a loop changes are no settings of a training": ("value_stated_twice", {"train.py": MODULE + "for _ in range(2):\n    LEARNING_RATE = LEARNING_RATE / 2\n", "README.md": SAYS.format(lr="1e-3")}),
    "arguments of a shell script are read": ("value_stated_twice", {"run.sh": SCRIPT_OF_MEGATRON, "README.md": SAYS.format(lr="3e-4")}),
    "constants that are computed are read": ("value_stated_twice", {"train.py": MODULE, "README.md": SAYS.format(lr="3e-4")}),
    "a warm-up in tokens is the document's number of updates": ("value_stated_twice", {"run.yaml": OLMO_2, "README.md": "| Setting | Value |\n|---|---|\n| Warmup steps | 4000 |\n| Weight decay | 0.1 |\n"}),
    "a script in a folder may be another project's": ("import_absent", {"model.py": "x = 1\n", "evaluation/run.py": "from model import utils\n", "b.py": "y = 1\n", "a.py": "from b import y\n"}),
    "a file beside may have another package's name": ("import_absent", {"tasks/torchmetrics.py": "x = 1\n", "tasks/a.py": "from torchmetrics import Metric\n", "tasks/c.py": "import torchmetrics.functional as f\n", "b.py": "y = 1\n", "a.py": "from b import y\n"}),
    "a sweep's values are words of a command": ("yaml_readers_differ", {"sweep.yaml": "method: grid\nprogram: a.py\nparameters:\n  lr:\n    value: 1e-4\n"}),
    "a file of a package's name means that package": ("import_absent", {"examples/torch.py": "from torch.nn import Linear\n", "b.py": "y = 1\n", "a.py": "from b import y\n"}),
    "a folder may be laid over another project": ("import_absent", {"det/README.md": "Copy this over the detector.\n", "det/m/backbones/__init__.py": "from .a import A\nfrom .b import B\nfrom .c import C\nfrom .mine import D\n", "det/m/backbones/mine.py": "D = 1\n", "det/c/__init__.py": "from .load import f\n", "b.py": "y = 1\n", "a.py": "from b import y\n"}),
    "commands of what is laid over another project start that one's scripts": ("named_file_absent", {"det/README.md": "```\npython tools/train.py\n```\n", "det/m/__init__.py": "from .a import A\nfrom .b import B\nfrom .c import C\n", "b.py": "", "c.py": ""}),
    "files that are copied into another project start its scripts": ("named_file_absent", {"transfer/README.md": "Then copy (or replace) the following files to the other's folder:\n```\ndatasets.py\n```\n#### Scripts\n```\npython main.py --epochs 100\n```\n", "transfer/datasets.py": "", "b.py": "", "c.py": ""}),
    "a semicolon is no part of a value": ("option_value_not_accepted", {"run.sh": "for x in a; do python prepare.py --size small --steps 60; done\n", "prepare.py": CHOOSING}),
    "a script of the reader's is no file of the release": ("named_file_absent", {"README.md": "```\npython scripts/some_script.py --help\n```\n", "b.py": "", "c.py": "", "d.py": ""}),
    "a document may show the script that it starts": ("named_file_absent", {"README.md": "```python\nif __name__ == '__main__':\n    main()\n```\n\n```\npython train.py\n```\n", "b.py": "", "c.py": "", "d.py": ""}),
    "a link to what git ignores leads to what the user makes": ("named_file_absent", {"README.md": "See [the log](out/log.txt).\n", ".gitignore": "out/\n", "b.py": "", "c.py": ""}),
    "a link into a submodule leads out of what was fetched": ("named_file_absent", {"README.md": "See [it](ext/x/README.md).\n", ".gitmodules": '[submodule "x"]\n\tpath = ext/x\n\turl = https://host.org/x\n', "b.py": "", "c.py": ""}),
    "requirements of a submodule come with it": ("build_names_absent", {"requirements.txt": "-r ext/x/requirements.txt\n", ".gitmodules": '[submodule "x"]\n\tpath = ext/x\n\turl = https://host.org/x\n', "b.py": "", "c.py": ""}),
    "a module that a package imports is a name of it": ("name_undefined", {"p/__init__.py": "import p.state\nmpu = state\n", "p/state.py": ""}),
    "what is never run does no harm": ("name_undefined", {"a.py": "if False:\n    print(other)\n"}),
    "a name may stand for what replaces it": ("name_undefined", {"a.py": "def kernel():\n    ROWS_HERE\n\nsource = open('a.py').read().replace('    ROWS_HERE', '    x = 1')\n"}),
    "a test's names may be put before it": ("name_undefined", {"programs/test_sort.py": "assert sort([2, 1]) == [1, 2]\n"}),
    "a call that is tried may fail": ("call_not_accepted", {"a.py": "def f(a): ...\ntry:\n    f(1, b=2)\nexcept (ValueError, TypeError):\n    f(1)\n"}),
    "a configuration takes any option with a point": ("flag_not_accepted", {"README.md": README.format(flag="--config.lr=1 --config", link="b.py"), "prepare.py": "from ml_collections import config_flags\nconfig_flags.DEFINE_config_file('config', None, '')\n", "b.py": "", "c.py": ""}),
    "typer makes options of a function": ("flag_not_accepted", {"README.md": README.format(flag="--anything", link="b.py"), "prepare.py": "import argparse, typer\np = argparse.ArgumentParser()\ntyper.run(main)\n", "b.py": "", "c.py": ""}),
    "the scale of a loss is the machine's": ("value_unstated", {f"m-{size}.yaml": OLMO + "fp16x:\n  loss_scale: 0\n" for size in ("1b", "2b", "3b")} | {"m-4b.yaml": OLMO + "fp16x:\n  y: 0\n"}),
    "a card's template is no card yet": ("not_readable", {"card_template.md": "---\nlanguage:\n[[language]]\nlicense: x\n---\nText\n"}),
    "a product of other units is no contradiction": ("product_computed_otherwise", {"run.sh": "# 60,000 steps * 820ms = 13.7 hours\n# 8 * 4 = 32 * 2\n# 23.5 / 23.7 * 100 = 99%\n# a * 8 * 4 = 64\n"}),
    "a product may be rounded": ("product_computed_otherwise", {"README.md": "The batch has 1024 * 2048 = 2.1M tokens, or 64 (`per gpu`) * 8 (gpus) = 512 samples.\n"}),
    "a model's own sums are its own": ("product_computed_otherwise", {"README.md": "> 12 * 13 * 100 = 14600 tokens\n\n12 * 13 = 146\n"}),
    "an average may leave some columns out": ("average_differs_from_row", {"README.md": SCORES.format(last="55.0").replace("15.0", "16.0").replace("25.0", "27.0")}),
    "an average of a row with gaps may be of others": ("average_differs_from_row", {"README.md": SCORES.format(last="70.0").replace("50.0", "-")}),
    "sizes of two releases may differ": ("size_stated_twice", {"README.md": SIZES.format(turbo=809), "model-card.md": SIZES.format(turbo=798).replace("39", "38").replace("74", "70")}),
    "a script may set an option twice": ("comment_differs_from_option", {"run.sh": COMMENTED.format(per=2) + "python a.py --per_device_train_batch_size 4\n"}),
    "devices that nobody counts are not multiplied": ("card_total_batch_differs", {"README.md": fine_tuned(total_train_batch_size=512).replace("- seed: 42", "- seed: 42\n- distributed_type: IPU")}),
    "a part of an epoch counts as a whole one": ("card_trained_beyond_its_end", {"README.md": fine_tuned(num_epochs=2.5)}),
    "an epoch is printed rounded": ("card_steps_against_epochs", {"README.md": fine_tuned().replace("| 125 ", "| 124 ")}),
    "a score of one of several data sets may be meant": ("card_index_differs", {"README.md": fine_tuned().replace("      value: 0.8930", "      value: 0.7\n    - name: Accuracy\n      type: accuracy\n      value: 0.6")}),
    "a card that reports its best row is no contradiction": ("card_index_differs", {"README.md": fine_tuned().replace("- Loss: 1.6474\n- Accuracy: 0.893", "- Loss: 1.8096\n- Accuracy: 0.8740").replace("0.8930", "0.87401")}),
    "a run may be named after its teacher": ("run_of_another_size", {"small-3b.yml": "run_name: distilled-from-7b\n"}),
    "a difference of unknown numbers says nothing": ("difference_of_other_numbers", {"p.yaml": "steps: 276\ndecay_steps: 27452 # 27590 - 138\nmax_steps: 30000\n"}),
    "a settings file that is not called the same may differ": ("command_differs_from_settings", {"README.md": STARTS.format(batch=4).replace("the exact same", "other"), "start.json": OPTIONS, "a.py": ""}),
    "a help may tell the paper's default": ("help_gives_another_default", {"a.py": HELPED.format(default="0.1").replace("(default", "(paper default")}),
    "an option of another program may be spelled like one": ("option_named_otherwise", {"README.md": "Use `--input-files` and `--nproc_per_node` and `--output-file`.\n", "prepare.py": SCRIPT, "run.sh": "x --output-file a\n"}),
    "a part of a model has fewer weights": ("size_differs_from_weights", {"README.md": "- Parameters: 200K\n", "m-1.safetensors": LARGE, "m.safetensors.index.json": {"weight_map": {"w": "m-1.safetensors", "embed_tokens": "m-1.safetensors", "other": "m-2.safetensors"}}}),
    "an adapter has fewer weights than its model": ("size_differs_from_weights", {"base-7b/adapter_model.safetensors": LARGE}),
    "a size may leave out the embeddings": ("size_differs_from_weights", {"README.md": "- Parameters: 60K\n- Size: 100 MB\n", "model.safetensors": LARGE}),
    "what a function makes of its options is its own": ("option_read_never_declared", {"a.py": PARSED + "def main(args):\n    args = load(args)\n    print(args.size)\n\nmain(get_parser().parse_args())\nargs = get_parser().parse_args()\nmain(args)\nargs = load()\nprint(args.size)\n"}),
    "a work may be cited twice": ("citation_number_twice", {"README.md": CITED.format(second="2310.06786").replace("The web of sums", "An Open Model for {{S}}ums")}),
    "an example may imagine a module": ("example_import_absent", {"README.md": "```python\nfrom p.new_trainer import NewTrainer\n```\n", "p/__init__.py": "", "p/b.py": "y = 1\n", "c.py": "from p.b import y\n"}),
    "a comment may give one step's tokens": ("tokens_disagree", {"m.yaml": COMPOSER.format(comment="256 x 2048 = 524K tokens")}),
    "a comment may speak of the batch": ("tokens_disagree", {"m.yaml": COMPOSER.format(comment="GBS of 4M tokens")}),
    "what stands before an entry is none": ("citation_number_twice", {"README.md": "title = {Sums2Vec}\narxiv.org/abs/2310.06786\n" + CITED.format(second="2310.10631")}),
    "a placeholder may be glued to an option": ("flag_not_accepted", {"README.md": README.format(flag="--name<where", link="b.py"), "prepare.py": SCRIPT, "b.py": "", "c.py": ""}),
    "a package's file may be started by itself": ("import_absent", {"models.py": "x = 1\n", "p/__init__.py": "", "p/models.py": "class Cnn: ...\n", "p/main.py": "from models import Cnn\n", "a.py": "from models import x\n"}),
    "settings of an editor are another format": ("not_readable", {".vscode/settings.json": '{"a": 1,}'}),
    "Jsonnet is no JSON": ("not_readable", {"a.json": '{\n"seed": std.extVar("SEED"),\n"b": 1}'}),
    "another module may set an option": ("option_read_never_declared", {"a.py": SEEDED.format(use="args.rank"), "b.py": "def init(args):\n    args.rank = 0\n"}),
    "a parser of another package may take it": ("option_read_never_declared", {"a.py": SEEDED.format(use="args.rank").replace("args =", "add_arguments(p)\nargs =")}),
    "a help may tell the defaults of several cases": ("help_gives_another_default", {"a.py": HELPED.format(default="0.1").replace("0.05)", "0.05 for Adam)")}),
    "a default may be set later": ("help_gives_another_default", {"a.py": HELPED.format(default="0.1") + "p.set_defaults(weight_decay=0.05)\n"}),
    "a value may stand for the reader's": ("option_value_not_accepted", {"README.md": README.format(flag="--size SIZE --lr", link="b.py") + README.format(flag="--size your_size --steps $N --lr", link="b.py"), "prepare.py": CHOOSING}),
    "a README may name two versions for two systems": ("requirements_differ", {"README.md": "```\npip install torch==1.8.0\n```\nor\n```\npip install torch==1.12.0\n```\n", "requirements.txt": "torch==1.12.0\n"}),
    "a module that hands over its own name may get names": ("name_undefined", {"p/m.py": "def f():\n    return _GetKey(1)\n\n_init_api('p.m')\n"}),
    "a name of an annotation alone does no harm": ("name_undefined", {"a.py": "from __future__ import annotations\ndef f(x: Missing) -> Other: ...\n"}),
    "a name whose absence is caught does no harm": ("name_undefined", {"a.py": "try:\n    other\nexcept Exception:\n    pass\n"}),
    "a name that is deleted later was there": ("name_undefined", {"a.py": "t = {}\ndef f():\n    return t\nf()\ndel t\n"}),
    "a name that a loop binds later is defined": ("name_undefined", {"a.py": "def f(items):\n    for x in items:\n        if x:\n            return last\n        last = x\n"}),
    "a call may pass on what it was given": ("call_not_accepted", {"p.py": "def f(a, *, b): ...\ndef g(*args, **kwargs):\n    f(*args, **kwargs)\n    f(1, b=2)\n"}),
    "a method's parameters after a slash may be named": ("call_not_accepted", {"p.py": "class A:\n    def __init__(self, /, x): ...\nA(x=1)\n"}),
    "a decorated function may take other arguments": ("call_not_accepted", {"p.py": "import click\n@click.command()\ndef f(a): ...\nf()\ndef g(): ...\ng()\n"}),
    "a name that is bound twice may mean another function": ("call_not_accepted", {"p.py": "def f(a): ...\ndef h(f):\n    f()\ndef g(): ...\ng()\n"}),
    "names that code makes are not known": ("name_undefined", {"a.py": "exec(open('config').read())\nprint(batch)\n"}),
    "a star import may bring any name": ("name_undefined", {"a.py": "from other import *\nprint(batch)\n"}),
    "an import that may fail is meant to": ("import_absent", {"p/__init__.py": "", "p/a.py": "try:\n    from .fast import x\nexcept ImportError:\n    x = None\nfrom .b import y\n", "p/b.py": "y = 1\n"}),
    "what git ignores is made later": ("import_absent", {"p/__init__.py": "", "p/a.py": "from .tables import x\nfrom .b import y\n", "p/b.py": "y = 1\n", ".gitignore": "p/tables.py\n"}),
    "a compiled module is there": ("import_absent", {"p/__init__.py": "", "p/a.py": "from .fast import x\nfrom .b import y\n", "p/b.py": "y = 1\n", "p/fast.pyx": "x = 1\n"}),
    "a module may make its names": ("import_absent", {"p/__init__.py": "", "p/a.py": "from .b import y\n", "p/b.py": "def __getattr__(name): return 1\n"}),
    "another package of a folder's name is no module of the release": ("import_absent", {"datasets/glue.txt": "", "a.py": "from datasets import load_dataset\nfrom b import y\n", "b.py": "y = 1\n"}),
    "a folder of another package's name is not that package": ("import_absent", {"ext/thunder/__init__.py": "", "ext/thunder/a.py": "import thunder.core\nfrom .b import y\n", "ext/thunder/b.py": "y = 1\n"}),
    "a script's own folder comes before the top": ("import_absent", {"utils/__init__.py": "", "utils/a.py": "", "main.py": "import utils.a\n", "tools/utils/__init__.py": "", "tools/utils/color.py": "", "tools/run.py": "from utils import color\n"}),
    "others may add to a package that is open for it": ("import_absent", {"p/__init__.py": "from pkgutil import extend_path\n__path__ = extend_path(__path__, __name__)\n", "p/a.py": "from p.more import x\nfrom p.b import y\nfrom .b import y as z\n", "p/b.py": "y = 1\n"}),
    "a build may make what git leaves out": ("build_names_absent", {"Dockerfile": "FROM x\nCOPY dist/app.whl /\n", ".gitignore": "dist/\n"}),
    "requirements for other systems are not compared": ("requirements_differ", {"requirements.txt": "torch==1.13 ; sys_platform == 'linux'\ntorch==2.0 ; sys_platform == 'darwin'\ntorch\n"}),
    "a rounded total is no contradiction": ("tokens_disagree", {"m.yml": NEOX, "README.md": "Each model saw 299,892,736,000 ~= 300B tokens during training.\n"}),
    "the tokens of another model are not held against this one": ("tokens_disagree", {"m.yml": NEOX, "README.md": "GPT-3 was trained on 500B tokens.\n"}),
    "a vocabulary or a batch is not the training's tokens": ("tokens_disagree", {"m.yml": NEOX, "README.md": "This model was trained with a batch size of 4M tokens.\n"}),
    "a table's row of a model without settings is not compared": ("value_stated_twice", {"m/pythia-1b.yml": NEOX, "m/pythia-70m.yml": NEOX, "README.md": "| Params | n_layers | lr |\n|-|-|-|\n|---|\n| 2.8B | 99 | 1 |\n"}),
    "a command after entering another repository is not ours": ("named_file_absent", {"README.md": "```\ngit clone https://host/other.git\ncd other\npython train.py\n```\n", "a.py": "", "b.py": "", "c.py": ""}),
    "a link may have parentheses, and a path of an e-mail is none": ("named_file_absent", {"README.md": "[x](docs/a_(b).md) [y](someone@host.org) [z](mailto:a@b.org)\n", "docs/a_(b).md": "", "b.py": "", "c.py": ""}),
    "an html comment is read by nobody": ("named_file_absent", {"README.md": "<!--\n[x](gone.md)\n-->\n", "a.py": "", "b.py": "", "c.py": ""}),
    "a package's archive lacks what its README links": ("named_file_absent", {"README.md": "[x](docs/gone.md)\n", "PKG-INFO": "Name: x\n", "b.py": "", "c.py": ""}),
    "options that are passed on may be any": ("flag_not_accepted", {"README.md": README.format(flag="--other", link="b.py"), "prepare.py": SCRIPT.replace("parse_args", "parse_known_args"), "b.py": "", "c.py": ""}),
    "options of another package's dataclass may be any": ("flag_not_accepted", {"README.md": README.format(flag="--other", link="b.py"), "prepare.py": "from transformers import HfArgumentParser, TrainingArguments\nHfArgumentParser((TrainingArguments,)).parse_args_into_dataclasses()\n", "b.py": "", "c.py": ""}),
    "a here-document is no command": ("flag_not_accepted", {"run.sh": "cat <<EOF\npython prepare.py --nothing 1\nEOF\n", "prepare.py": SCRIPT, "b.py": "", "c.py": ""}),
    "a script that goes elsewhere starts another's": ("flag_not_accepted", {"run.sh": "cd ../other\npython prepare.py --nothing 1\n", "prepare.py": SCRIPT, "b.py": "", "c.py": ""}),
    "what follows a double dash is for another program": ("flag_not_accepted", {"README.md": README.format(flag="--lr 1 -- --other", link="b.py"), "prepare.py": SCRIPT, "b.py": "", "c.py": ""}),
    "a list of several trainings may name a step more than once": ("step_twice", {"c.csv": rows(1000, 2000) + "1000,https://host.org/b/step1000/\n2000,https://host.org/b/step2000/\n"}),
    "dual licensing is no conflict": ("licences_differ", {"LICENSE": MIT, "pyproject.toml": "[project]\nname = 'x'\nlicense = 'MIT OR Apache-2.0'\n"}),
    "terms of the data are not those of the code": ("licences_differ", {"LICENSE": MIT, "README.md": "The dataset is released under the CC-BY-4.0 license.\n"}),
    "what others have licensed is not ours": ("licences_differ", {"LICENSE": MIT, "README.md": "This code is based on X, which is licensed under Apache-2.0.\n"}),
    "one model under an old and a new name is one": ("equal_results_of_unequal_checkpoints", with_results(many(), model="other/pythia-v1.1-70m", step=1000)),
    "steps 0 of two models may be one initialisation": ("equal_results_of_unequal_checkpoints", {"a.json": harness("o/a-70m", 0, many()), "b.json": harness("o/a-70m-deduped", 1, many())}),
    "another batch size may change a result": ("results_disagree", {"a.json": harness("o/m", 1000, many()), "b.json": harness("o/m", 1000, many(0.1)) | {"config": {"model_args": "pretrained=o/m,revision=step1000", "batch_size": 1, "num_fewshot": 0}}}),
    "per cents are not fractions": ("metric_out_of_range", {"r.csv": "model,task,metric,value\n" + "".join(f"m,t{i},acc,{20 + i}\n" for i in range(6))}),
    "steps 0 and 1 may be alike": ("checkpoints_alike", {"step0/model.safetensors": safetensors(w=WEIGHTS), "step1/model.safetensors": safetensors(w=WEIGHTS)}),
    "rounding to half precision is no movement": ("moved_without_learning", {"tiny.yml": NEOX, "step0/model.safetensors": safetensors(w=WEIGHTS.astype(np.float32) * np.float32(1.0001)), "step1/model.safetensors": safetensors(w=WEIGHTS)}),
    "dates and words have one reading": ("yaml_readers_differ", {"a.yaml": "day: 2024-01-01\nname: fast\nflag: true\nnone: null\nsize: 1.5\n"}),
    "files for tests are broken on purpose": ("not_readable", {"tests/data/bad.json": "{", "test/fixtures/bad.yaml": "a: [\n"}),
    "dots are for the reader to fill in": ("not_readable", {"a.toml": 'image = "/PATH"\n\nmounts = [...]\n'}),
    "another optimizer's settings are not every sibling's": ("value_unstated", {f"m-{size}.yaml": OLMO + "sgd:\n  momentum: 0.9\n" for size in ("1b", "2b", "3b")} | {"m-4b.yaml": OLMO}),
    "an adapter's settings are not every sibling's": ("value_unstated", {f"m-{size}.yaml": OLMO + "lora_alpha: 16\n" for size in ("1b", "2b", "3b")} | {"m-4b.yaml": OLMO}),
    "a template is no settings file yet": ("not_readable", {"templates/a.json": '{"a": {{ b }}}'}),
    "a number may have more digits than Python reads": ("not_readable", {"a.json": '{"a": ' + "9" * 5000 + "}"}),
    "comments in json are another format": ("not_readable", {"a.json": '{ // why\n"a": 1}'}),
    "a number may be told in per cent": ("results_disagree", {"a.json": harness("o/m", 1000, many()), "t.csv": "model,step,task,metric,value\nm,1000,task4,acc,30.0\n"}),
    "a rounded fraction and other per cents are two numbers": ("fraction_and_per_cent", {"a.json": harness("o/m", 1000, {"t": {"acc": 0.3}}), "b.json": harness("o/m", 1000, {"t": {"acc": 33.0}})}),
    "not applicable is no number": ("number_as_text", {"a.json": harness("o/m", 1000, {"t": {"acc": 0.3, "acc_stderr": "N/A", "alias": "5"}})}),  # type: ignore[dict-item]
    "a file may give all as text": ("number_as_text", {"metrics.json": {"accuracy": "0.91", "loss": "0.3"}}),
    "a version is no metric": ("number_as_text", {"metrics.json": {"accuracy": 0.91, "version": "1.0"}}),
    "a key of two mappings stands once in each": ("key_stands_twice", {"a.json": {"a": {"acc": 1}, "b": {"acc": 2}, "c": [{"acc": 3}, {"acc": 4}]}}),
    "a folder of the release may be above the index": ("names_outside", {"a/model.safetensors.index.json": {"weight_map": {"x": "../b/w.safetensors"}}, "b/w.safetensors": safetensors(w=WEIGHTS)}),
    "globs and folders of a data set are its own": ("names_outside", {"README.md": "---\nconfigs:\n- config_name: x\n  data_dir: data\n  data_files:\n  - split: train\n    path: data/../train-*.parquet\n  - split: ../odd\n    path: [a.csv, b/**]\n---\n# x\n"}),
    "a settings file of another tool has an auto_map too": ("code_to_load", {"mapping.json": {"auto_map": {"a": "b.C"}}}),
    "fp32 beside a half precision may be the optimizer's": ("precision_stated_twice", {"a.yaml": "learning_rate: 1.0e-4\nmax_steps: 10\nbf16: true\n", "README.md": "| Precision | fp32 |\n|---|---|\n"}),
    "two trainings may have two precisions": ("precision_stated_twice", {"a.yaml": "learning_rate: 1.0e-4\nmax_steps: 10\nbf16: true\n", "b.yaml": "learning_rate: 1.0e-4\nmax_steps: 10\nfp16: true\n", "README.md": "- **Training regime:** fp16\n"}),
    "a mean is no sum": ("total_differs_from_rows", {"README.md": PARTS.format(total="").replace("Raw Size", "Mean tokens")}),
    "a total of distinct things is less than the sum by far": ("total_differs_from_rows", {"README.md": "| a | users |\n|--|--|\n| x | 100 |\n| y | 90 |\n| Total | 120 |\n"}),
    "sixteen devices may be in one node": ("batch_in_comment_differs", {"a.yaml": PER_DEVICE.format(batch=32)}),
    "a name may count the weights without the embeddings": ("size_in_name_differs", {"pythia-70m/config.json": {"model_type": "gpt_neox", "hidden_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8, "intermediate_size": 2048, "vocab_size": 50304}}),
    "experts make a model larger than its layers": ("size_in_name_differs", {"moe-47b/config.json": SHAPE | {"num_local_experts": 8}}),
    "a mean of tasks is no count": ("share_of_no_whole_count", {"a.json": measured(0.503, 1000, 1001) | {"groups": {"task": {}}}}),
    "dividing by n is how some compute an error": ("error_of_another_count", {"a.json": measured(0.5, 1001, 1000)}),
    "options may be handed on": ("seed_never_read", {"a.py": SEEDED.format(use="0") + "from b import main\nmain(args)\n"}),
    "options may be read all at once": ("seed_never_read", {"a.py": SEEDED.format(use="0") + "print(vars(args))\n"}),
    "tokens for each parameter are no total": ("tokens_disagree", {"m.yaml": COMPOSER.format(comment="~ 17.7B tokens; 150 tokens / param")}),
    "a comment may compute something else": ("comment_computes_otherwise", {"a.yaml": "steps: 1000  # 2048 * 4096\n"}),
    "one model may stand in two rows": ("models_of_equal_results", {"README.md": scores("A-7B", "A-7B (ours)")}),
    "other results of the same models are no copy": ("documents_differ_in_results", {"README.md": scores("A", "B"), "x/README.md": scores("A", "B", shift=0.3)}),
    "one shard more or less is how some count": ("shard_missing", {"h.txt": shards(DIGESTS[:3], (1, 2, 3))}),
}  # fmt: skip


@pytest.mark.parametrize("why", SILENT)
def test_nobody_is_accused_where(why: str, tmp_path: Path) -> None:
    kind, files = SILENT[why]
    check = next(check for check in CONSISTENCY if check.kind == kind)
    assert answer(check, release(tmp_path, files)).problems == ()


ONLY_NOTED: dict[str, tuple[str, Files]] = {
    "a number with underscores can only be meant as one": ("yaml_readers_differ", {"a.yaml": "steps: 10_000\n"}),
    "a phase's schedule may be that of all phases": ("schedule_longer_than_training", {"phase1/params.yaml": PIECES.format(decay=2000)}),
}  # fmt: skip


@pytest.mark.parametrize("why", ONLY_NOTED)
def test_it_is_a_note_and_no_accusation_that(why: str, tmp_path: Path) -> None:
    kind, files = ONLY_NOTED[why]
    check = next(check for check in CONSISTENCY if check.kind == kind)
    assert answer(check, release(tmp_path, files)).outcome == "noted"


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [("on", True, "on"), ("NO", False, "NO"), ("1_000", 1000, "1_000"), ("12:30:45", 45045, "12:30:45"), ("010", 8, 10), ("1e-4", "1e-4", 1e-4), ("0o17", "0o17", 15)],
)  # fmt: skip
def test_traps_of_yaml_are_read_as_both_versions_do(text: str, first: object, second: object, tmp_path: Path) -> None:
    check = next(check for check in CONSISTENCY if check.kind == "yaml_readers_differ")
    found = answer(check, release(tmp_path, {"a.yaml": f"key: {text}\n"}))
    (problem,) = found.problems
    for value in (first, second):
        assert (str(value).lower() if isinstance(value, bool) else repr(value)) in problem.message


def test_a_reader_of_the_release_makes_two_readings_a_note_of_one_line(tmp_path: Path) -> None:
    check = next(check for check in CONSISTENCY if check.kind == "yaml_readers_differ")
    files = {"a.yaml": "eps: 1e-8\nlr: 1e-4\n", "b.yaml": "debug: on\n", "train.py": "import os\nimport yaml\n"}
    found = answer(check, release(tmp_path, files))
    (problem,) = found.problems
    assert found.outcome == "noted"
    assert "reads YAML by PyYAML (train.py:2); 2 more values are alike" in problem.message


def test_a_class_named_as_its_base_of_another_package_takes_that_ones_options_too(tmp_path: Path) -> None:
    check = next(check for check in CONSISTENCY if check.kind == "flag_not_accepted")
    script = """import transformers
from dataclasses import dataclass
@dataclass
class TrainingArguments(transformers.TrainingArguments):
    extra: int = 0
transformers.HfArgumentParser((TrainingArguments,)).parse_args_into_dataclasses()
"""
    files = {"README.md": README.format(flag="--bf16", link="b.py"), "prepare.py": script, "b.py": "", "c.py": ""}
    assert answer(check, release(tmp_path, files)).problems == ()


def test_the_description_in_a_wheels_metadata_is_read_as_its_readme(tmp_path: Path) -> None:
    check = next(check for check in CONSISTENCY if check.kind == "tokens_disagree")
    metadata = "Metadata-Version: 2.1\nName: x\n\n# x\n\nEach model saw 400B tokens during training.\n"
    found = answer(check, release(tmp_path, {"m/pythia.yml": NEOX, "x-1.0.dist-info/METADATA": metadata}))
    assert found.outcome == "fail"
    assert found.problems[0].evidence[0].line == 6


def test_hours_and_emissions_below_an_empty_head_are_sums(tmp_path: Path) -> None:
    """As Llama 2's card has them: the first column has no head, and the total is of more than the rows."""
    check = next(check for check in CONSISTENCY if check.kind == "total_differs_from_rows")
    table = "||Time (GPU hours)|Watt|Carbon Emitted(tCO2eq)|\n|---|---|---|---|\n|7B|100|400|2.00|\n|13B|200|400|4.00|\n|Total|{}||{}|\n"
    for total, tons, found in (("450", "9.00", 2), ("300", "6.00", 0)):
        told = answer(check, release(tmp_path / total, {"MODEL_CARD.md": table.format(total, tons)}))
        assert (told.outcome, len(told.problems)) == ("fail" if found else "pass", found)


def test_scores_of_a_folder_of_files_are_results(tmp_path: Path) -> None:
    check = next(check for check in CONSISTENCY if check.kind == "metric_out_of_range")
    scores = {f"task{i}": 0.1 * i for i in range(8)}
    files = {
        "evals/a.json": {"name": "heavy", "eval_metrics": {"icl": scores}},
        "evals/b.json": {"name": "heavy", "eval_metrics": {"icl": scores | {"task9": 1.4}}},
    }
    (problem,) = answer(check, release(tmp_path, files)).problems
    assert (
        problem.message
        == "evals/b.json: task9 accuracy is 1.4, which is more than one, in a file whose other shares are fractions"
    )


def test_a_result_file_of_two_trained_models_that_agree_in_everything_is_told(tmp_path: Path) -> None:
    check = next(check for check in CONSISTENCY if check.kind == "equal_results_of_unequal_checkpoints")
    found = answer(check, release(tmp_path, with_results(many(), model="org/pythia-70m-deduped", step=1000)))
    assert found.outcome == "fail"


@pytest.mark.parametrize(("written", "outcome"), [("0.225", "pass"), ("0.23", "pass"), ("0.3", "fail")])
def test_a_table_of_results_is_compared_with_the_files(written: str, outcome: str, tmp_path: Path) -> None:
    table = f"model,step,task,metric,value\npythia-70m,1000,task1,acc,{written}\n"
    check = next(check for check in CONSISTENCY if check.kind == "results_disagree")
    found = answer(check, release(tmp_path, {"t.csv": table, "a.json": harness("org/pythia-v1.1-70m", 1000, many())}))
    assert found.outcome == outcome


@pytest.mark.parametrize(("others", "outcome"), [(2, "fail"), (1, "pass")])
def test_without_settings_two_other_models_tell_that_steps_0_and_1_are_equal(
    others: int, outcome: str, tmp_path: Path
) -> None:
    files: Files = {}
    for i, size in enumerate(["70m", "160m", "410m"][: others + 1]):
        for step in (0, 1):
            files[f"{size}-{step}.json"] = harness(
                f"org/pythia-{size}", step, many(0.1 * i + (0.01 if step and i == others else 0))
            )
    check = next(check for check in CONSISTENCY if check.kind == "unequal_results_of_equal_checkpoints")
    assert answer(check, release(tmp_path, files)).outcome == outcome


CARD = {
    "model_type": "gpt_neox",
    "hidden_size": 2048,
    "num_hidden_layers": 16,
    "num_attention_heads": 8,
    "vocab_size": 50280,
}
RUN = OLMO.replace("n_layers: 16\n  n_heads: 16\n", "n_layers: {layers}\n  n_heads: 8\n  weight_tying: {tied}\n")


@pytest.mark.parametrize(
    ("kind", "files", "message"),
    [
        ("tokens_disagree", {"m.yml": NEOX, "README.md": "Each model saw 400B tokens during training.\n"}, "400B tokens"),
        ("tokens_disagree", {"m.yaml": COMPOSER.format(comment="~ 8.8B tokens")}, "the comment is 8.8B tokens, but max_duration 33696ba"),
        ("tokens_disagree", {"m.yml": NEOX, "README.md": "This model was trained on 207 billion tokens.\n"}, "207B tokens"),
        ("tokens_disagree", {"m.yml": NEOX, "step20000-tokens84B/x.txt": ""}, "step20000-tokens84B is 84B tokens"),
        ("tokens_disagree", {"OLMo-7B.yaml": OLMO, "README.md": "| Model | Training Tokens |\n|---|---|\n| OLMo 7B | 2.5 Trillion |\n"}, "2.5T tokens"),
        ("value_stated_twice", {"config.json": CARD, "run.yaml": RUN.format(layers=24, tied="false")}, "n_layers: config.json says 16, run.yaml says 24"),
        ("value_stated_twice", {"config.json": CARD | {"tie_word_embeddings": True}, "run.yaml": RUN.format(layers=16, tied="false")}, "tied embeddings"),
        ("value_stated_twice", {"config.json": CARD | {"vocab_size": 50000}, "run.yaml": RUN.format(layers=16, tied="false")}, "does not fit"),
        ("value_stated_twice", {"run.yaml": RUN.format(layers=16, tied="false"), "README.md": "- learning_rate: 5e-05\n- seed: 1\n"}, "5e-05"),
        ("value_stated_twice", {"run.yaml": RUN.format(layers=16, tied="false"), "README.md": "| Setting | Value |\n|---|---|\n| Layers | 12 |\n| Weight decay | 0.1 |\n"}, "n_layers: README.md says 12"),
        ("default_documented_otherwise", {"README.md": "* `--lr`: the learning rate (2e-3 by default).\n", "prepare.py": SCRIPT}, "says that --lr is 2e-3 by default"),
        ("option_read_never_declared", {"a.py": PARSED + "def main(options):\n    print(options.lr, options.size)\n\nif __name__ == '__main__':\n    args = get_parser()\n    args = args.parse_args()\n    main(args)\n"}, "a.py:9 reads options.size"),
        ("flag_not_accepted", {"README.md": "See TRAINING.md.\n", "TRAINING.md": README.format(flag="--other", link="b.py"), "prepare.py": SCRIPT, "b.py": "", "c.py": ""}, "TRAINING.md:4 calls prepare.py with --other"),
        ("option_value_not_accepted", {"run.sh": "python prepare.py --steps 1e6\n", "prepare.py": CHOOSING}, "run.sh:1 gives --steps the value 1e6, but prepare.py:4 takes a whole number"),
        ("requirements_differ", {"README.md": "```\npip install timm==0.4.12\n```\n", "requirements.txt": "timm==0.3.2\n"}, "README.md for timm==0.4.12"),
        ("total_differs_from_rows", {"README.md": "| Language | files | code |\n|---|---|---|\n| Python | 99 | 18395 |\n| C++ | 7 | 649 |\n| SUM: | 115 | 19044 |\n"}, "the column files has the total 115"),
        ("build_names_absent", {"requirements.txt": "-r base.txt\ntorch\n"}, "requirements.txt:1 names base.txt"),
        ("build_names_absent", {"pyproject.toml": "[project]\nname = 'p'\n[project.scripts]\np = 'p.cli:main'\n", "src/p/__init__.py": ""}, "pyproject.toml:4 names p.cli:main"),
        ("call_not_accepted", {"p.py": "def f(a, b=1, *, c): ...\nf(1, 2, 3, c=1)\n"}, "p.py:2 calls f with 3 values by position, of which it takes 2"),
        ("call_not_accepted", {"p.py": "def f(a, b=1, *, c): ...\nf(1)\n"}, "p.py:2 calls f without c, which it needs"),
        ("call_not_accepted", {"p.py": "def f(a, /, b): ...\nf(a=1, b=2)\n"}, "p.py:2 calls f with a, which it does not take"),
        ("call_not_accepted", {"p.py": "def f(a, b=1, *, c=2): ...\nf(b=1)\n"}, "p.py:2 calls f without a, which it needs"),
        ("import_absent", {"p/__init__.py": "", "p/b.py": "y = 1\n", "train.py": "from p.b import y\nfrom p.data import load\n"}, "train.py:2 imports p.data, which is not in the release"),
        ("import_absent", {"model.py": "class GPT: ...\n", "train.py": "from model import GPT, Config\n"}, "train.py:1 imports Config from model"),
        ("value_stated_twice", {"run.sh": SCRIPT_OF_MEGATRON, "README.md": SAYS.format(lr="1e-3")}, "learning_rate: README.md says 1e-3, run.sh says 3e-4"),
        ("value_stated_twice", {"train.py": MODULE, "README.md": SAYS.format(lr="1e-3")}, "learning_rate: README.md says 1e-3, train.py says 0.0003"),
        ("value_stated_twice", {"run.yaml": OLMO_2, "README.md": "| Setting | Value |\n|---|---|\n| Warmup steps | 2000 |\n| Weight decay | 0.1 |\n"}, "warmup_steps: README.md says 2000, run.yaml says 4000 (line 20 t_warmup tokens / (2048 x 2048))"),
        ("flag_not_accepted", {"scripts/run.sh": "LR=1\npython prepare.py \\\n  --nothing $LR\n", "prepare.py": SCRIPT, "b.py": "", "c.py": ""}, "scripts/run.sh:2 calls prepare.py with --nothing"),
        ("flag_not_accepted", {"README.md": README.format(flag="--out", link="b.py"), "prepare.py": "import fire\ndef f(output): pass\nfire.Fire(f)\n", "b.py": "", "c.py": ""}, "--out"),
        ("flag_not_accepted", {"README.md": README.format(flag="--out", link="b.py"), "prepare.py": "import click\n@click.command()\n@click.option('--output')\ndef f(output): pass\n", "b.py": "", "c.py": ""}, "takes --output"),
        ("flag_not_accepted", {"README.md": README.format(flag="--out", link="b.py"), "prepare.py": "from absl import flags\nflags.DEFINE_string('output', '', '')\n", "b.py": "", "c.py": ""}, "takes --output"),
        ("named_file_absent", {"README.md": "Check out the `good_sample_label.jsonl`.\n", "good_sample.jsonl": "{}\n", "b.py": "", "c.py": ""}, "there is good_sample.jsonl"),
        ("names_outside", {"model.safetensors.index.json": {"weight_map": {"x": "/etc/w.safetensors"}}}, "which is an absolute path"),
        ("names_outside", {"a/x.index.json": {"weight_map": {"x": "..\\..\\w.safetensors"}}}, "which leads above"),
        ("names_outside", {"README.md": "---\nconfigs:\n- config_name: x\n  data_files: https://host.org/a.csv\n---\n"}, "names https://host.org/a.csv, which is an address"),
        ("names_outside", {"README.md": "---\nconfigs:\n- config_name: x\n  data_files:\n  - split: train\n    path: [a.csv, ../../secret.csv]\n---\n"}, "../../secret.csv"),
        ("names_outside", {"data/README.md": "---\nconfigs:\n- config_name: x\n  data_files: {train: ../../a.csv}\n---\n"}, "../../a.csv"),
        ("code_to_load", {"tokenizer_config.json": {"auto_map": {"AutoTokenizer": ["o/r--tokenization_x.Slow", None]}}}, "runs that code, which is code of o/r"),
        ("key_stands_twice", {"r.json": '{"results": {"a": {"acc": 0.1}, "b": {"acc": 0.5,\n"acc": 0.6}, "c": {"acc": 0.9}}}'}, "the key results.b.acc stands twice, 0.5 in line 1 and 0.6 in line 2"),
        ("key_stands_twice", {"r.json": '{"a": "x\\": {", "b": [[{"k": 1}, {"k": {"z": 1}, "k": 2}]]}'}, 'the key b.0.1.k stands twice, {"z": 1} in line 1 and 2 in line 1'),
        ("number_as_text", {"r.json": {"results": {"t": {"acc,none": "0.5", "f1": 0.25}}}}, 'results.t.acc,none is the text "0.5", where results.t.f1 is a number'),
        ("licences_differ", {"LICENSE": MIT, "PKG-INFO": "Name: x\nLicense: Apache 2.0\n\n"}, "package metadata"),
        ("licences_differ", {"README.md": "---\nlicense: odc-by\ntask_categories: [x]\n---\nThis dataset is released under the Apache 2.0 license.\n"}, "ODC-By-1.0"),
        ("checkpoint_list_has_gaps", {"c.csv": rows(*range(1000, 9000, 1000), *range(20000, 24000, 1000)), "README.md": "All are in c.csv, at minimum every 1000 training steps.\n"}, "every 1000 training steps"),
    ],
)  # fmt: skip
def test_other_forms_of_the_same_contradiction_are_found(kind: str, files: Files, message: str, tmp_path: Path) -> None:
    check = next(check for check in CONSISTENCY if check.kind == kind)
    assert any(message in problem.message for problem in answer(check, release(tmp_path, files)).problems)


def test_a_list_gives_its_first_problems_and_counts_the_others(tmp_path: Path) -> None:
    check = next(check for check in CONSISTENCY if check.kind == "yaml_readers_differ")
    found = answer(check, release(tmp_path, {"a.yaml": "".join(f"k{i}: 1e-{i + 1}\n" for i in range(60))}))
    assert len(found.problems) == 41
    assert found.problems[-1].message == "and 20 more of the same kind"
