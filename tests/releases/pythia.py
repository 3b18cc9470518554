"""A miniature release in Pythia's published format, on a loopback hub: a GPT-NeoX YAML in a git repository, a branch for each step
with safetensors, and preshuffled tokens in a dataset. What is planted is planted in the training, not in what is published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hub import Hub
from safetensors.numpy import save

from openassay.recipes.formats import read_recipe
from openassay.recipes.formats.draft import complete
from openassay.training.language import LanguageRecipe
from openassay.training.lm import LanguageTraining, initial_weights
from openassay.training.numerics import ContiguousTokens, Numerics, Tokens
from releases.language import LENGTH, VOCABULARY, stream, train

YAML = """{
  "num-layers": 2, "hidden-size": 64, "num-attention-heads": 4,
  "seq-length": 128, "max-position-embeddings": 128,
  "pos-emb": "rotary", "rotary-pct": 0.25, "no-weight-tying": true, "gpt-j-residual": true,
  "init_method": "small_init", "output_layer_init_method": "wang_init",
  "optimizer": {"type": "Adam", "params": {"lr": 0.003, "betas": [0.9, 0.95], "eps": 1.0e-8}},
  "min_lr": 0.0003,
  "train_micro_batch_size_per_gpu": 8, "gas": 1,
  "gradient_clipping": 1.0, "weight-decay": 0.1, "hidden-dropout": 0, "attention-dropout": 0,
  "train-iters": 2048, "lr-decay-iters": 2048, "lr-decay-style": "cosine", "warmup": 0.01,
  "extra-save-iters": [0, 16, 64]
}
"""
SETTINGS = {"architecture.vocab_size": VOCABULARY, "batch_size": 8}
"""What the YAML leaves unstated: the tokenizer's padded size, and the number of devices."""
NUM_ITEMS = 80 * 8


def recipe(folder: Path) -> LanguageRecipe:
    """The recipe as the YAML states it."""
    path = folder / "mini.yml"
    path.write_text(YAML)
    return complete(read_recipe(path), SETTINGS | {"data.files": ("document.bin",)}, "settings")


def items() -> np.ndarray:
    """The published items: one token more than the model sees, one after another without overlap."""
    return stream()[: NUM_ITEMS * (LENGTH + 1)].reshape(NUM_ITEMS, LENGTH + 1).astype("<u2")


def in_order(rows: np.ndarray) -> Tokens:
    """These items as a training reads them."""
    return ContiguousTokens(tokens=rows.reshape(-1), item_length=LENGTH + 1, stride=LENGTH + 1)


def publish(
    hub: Hub, folder: Path, *, keep: tuple[int, ...] = (0, 16, 64), trained: dict[str, Any] | None = None,
    rows: np.ndarray | None = None, stored: str = "float32",
) -> tuple[str, str, dict[int, str]]:  # fmt: skip
    """Train and publish. `trained`: what the training's recipe had otherwise than published; `rows`: other items it was fed.

    Gives the commits of the code, of the tokens, and of each step's branch.
    """
    stated = recipe(folder)
    true = stated
    for dotted, value in (trained or {}).items():
        *path, last = dotted.split(".")
        true = (
            replace(true, **{last: value})
            if not path
            else replace(true, **{path[0]: replace(getattr(true, path[0]), **{last: value})})
        )
    weights, _ = train(true, in_order(items() if rows is None else rows), 0, keep, start=initial_weights(stated, 0))
    commits = {}
    for step, tensors in sorted(weights.items()):
        content = save({name: np.ascontiguousarray(value.astype(stored)) for name, value in tensors.items()})
        commits[step] = hub.commit("mini/pythia", {"model.safetensors": content}, revision=f"step{step}")
    tokens = hub.commit("mini/tokens", {"document.bin": items().tobytes()}, repo_type="dataset")
    code = hub.git(
        "mini/pythia", {"models/mini.yml": YAML.encode(), "README.md": b"# Mini Pythia\n", "LICENSE": b"MIT License\n"}
    )
    return code, tokens, commits


def target(
    name: str,
    code: str,
    tokens: str,
    commits: dict[int, str],
    *,
    updates: tuple[int, ...] = (16, 64),
    exercise: bool = True,
) -> dict[str, Any]:
    """The target file of such a release: it asks for the bytes of the replayed batches only."""
    last = max(updates)
    wanted = last * 8 * (LENGTH + 1) * 2 + 64 * (LENGTH + 1) * 2  # and the held-out batches that losses are paired on
    return {
        "schema_version": 1,
        "name": name,
        "release": {"title": "Mini Pythia", "version": "1", "homepage": "https://example.org/mini"},
        "components": [
            {"component": "recipe", "published": "yes", "licence": "MIT", "artifact": "code", "paths": ["models/mini.yml"]},
            {"component": "params_intermediate", "published": "yes", "licence": "MIT"},
        ],
        "artifacts": {
            "code": {"sources": [{"kind": "git", "url": "https://github.com/mini/pythia", "commit": code}]},
            "tokens": {"sources": [
                {"kind": "hf", "repo": "mini/tokens", "repo_type": "dataset", "commit": tokens,
                 "files": [{"path": "document.bin", "bytes": [0, wanted]}]},
            ]},
            **{
                f"step{step}": {"sources": [
                    {"kind": "hf", "repo": "mini/pythia", "revision": f"step{step}", "commit": commit,
                     "files": ["model.safetensors"]},
                ]}
                for step, commit in commits.items()
            },
        },
        "rerun": {
            "driver": "replay",
            "recipe": {"artifact": "code", "path": "models/mini.yml"},
            "settings": SETTINGS,
            "taken_from": [{"url": "https://example.org/mini", "note": "the tokenizer's size, one device"}],
            "tokens": {"artifact": "tokens", "layout": "preshuffled", "files": ["document.bin"]},
            "checkpoints": [{"step": step, "artifact": f"step{step}"} for step in sorted(commits)],
            "updates": list(updates),
            "exercise": exercise,
        },
        "claims": [
            {
                "id": "follows_from_step_0", "metric": "replay_in_floors", "unit": "floors", "direction": "at_most",
                "published": {"value": 0},
                "cited_at": {"url": "https://example.org/mini", "note": "these checkpoints are of this training"},
                "tolerance": {"margin": 3, "rationale": "Beyond three floors of this machine's own rounding it is not noise."},
            }
        ],
    }  # fmt: skip


def publish_segment(hub: Hub, folder: Path, *, first: int = 8, last: int = 16) -> tuple[str, str, dict[int, str]]:
    """Publish two later steps only, the optimizer's state of the first one, and a log of the losses. Gives the same commits."""
    stated = recipe(folder)
    training = LanguageTraining(stated, initial_weights(stated, 0), numerics=Numerics(permuted=1))
    commits = {}
    for step in (first, last):
        training.advance(in_order(items()), step)
        files = {"model.safetensors": save(training.weights())}
        if step == first:
            files["optimizer.safetensors"] = save(
                {
                    f"{name}.{part}": value
                    for name, both in training.moments().items()
                    for part, value in zip(("exp_avg", "exp_avg_sq"), both, strict=True)
                }
            )
        commits[step] = hub.commit("mini/pythia", files, revision=f"step{step}")
    log = "".join(
        f"{update + 1},{loss:.4f}\n" for update, loss in enumerate(training.log().losses) if update != last - 2
    )
    code = hub.git(
        "mini/pythia", {"models/mini.yml": YAML.encode(), "logs/loss.csv": f"Step,train/loss\n{log}".encode()}
    )
    tokens = hub.commit("mini/tokens", {"document.bin": items().tobytes()}, repo_type="dataset")
    return code, tokens, commits


def segment_target(name: str, code: str, tokens: str, commits: dict[int, str]) -> dict[str, Any]:
    """The target file of such a release: it asks for the bytes of the segment's batches only."""
    first, last = sorted(commits)
    data = target(name, code, tokens, commits, updates=(last - first,), exercise=False)
    batch = 8 * (LENGTH + 1) * 2
    wanted = {"path": "document.bin", "bytes": [first * batch, last * batch]}
    data["artifacts"]["tokens"]["sources"][0]["files"] = [wanted]
    data["artifacts"][f"step{first}"]["sources"][0]["files"] = ["model.safetensors", "optimizer.safetensors"]
    data["rerun"]["tokens"] |= {
        "files": [f"document.bin.bytes-{first * batch}-{last * batch}"], "starts_at": first * batch,
    }  # fmt: skip
    data["rerun"]["checkpoints"][0]["optimizer"] = {"artifact": f"step{first}", "path": "optimizer.safetensors"}
    data["rerun"] |= {
        "protocol": "segment", "first": first,
        "losses": {
            "artifact": "code", "path": "logs/loss.csv", "step_column": "Step", "loss_column": "train/loss",
            "step_is": "updates_done", "cited_at": {"url": "https://example.org/mini", "note": "logged after each update"},
        },
    }  # fmt: skip
    return data
