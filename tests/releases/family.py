"""A miniature family's smallest member with known truth: one layer of GPT-NeoX, trained whole in a fraction of a second on the words
of a made-up source. What is planted is planted in the training, not in what is published."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from openassay.layout import Layout
from openassay.published.recipes import read_recipe
from openassay.published.recipes.draft import complete
from openassay.store import payload_digest
from openassay.training.language import LanguageRecipe
from openassay.training.lm import LanguageTraining, initial_weights
from openassay.training.numerics import ContiguousTokens, Tokens

STEPS, BATCH, LENGTH, VOCABULARY, NUM_HELD_OUT = 80, 8, 32, 64, 64
SETTINGS = {"architecture.vocab_size": VOCABULARY, "batch_size": BATCH}
SEED_OF_RELEASE = 1234


def stated(steps: int = STEPS) -> dict[str, Any]:
    """The published settings."""
    return {
        "num-layers": 1, "hidden-size": 32, "num-attention-heads": 2, "seq-length": LENGTH, "max-position-embeddings": LENGTH,
        "pos-emb": "rotary", "rotary-pct": 0.25, "no-weight-tying": True, "gpt-j-residual": True,
        "init_method": "small_init", "output_layer_init_method": "wang_init",
        "optimizer": {"type": "Adam", "params": {"lr": 0.01, "betas": [0.9, 0.95], "eps": 1.0e-8}}, "min_lr": 0.001,
        "train_micro_batch_size_per_gpu": BATCH, "gas": 1, "gradient_clipping": 1.0, "weight-decay": 0.1,
        "hidden-dropout": 0, "attention-dropout": 0,
        "train-iters": steps, "lr-decay-iters": steps, "lr-decay-style": "cosine", "warmup": 0.05,
    }  # fmt: skip


def recipe(folder: Path, steps: int = STEPS) -> LanguageRecipe:
    """The recipe as its file states it."""
    (folder / "mini.yml").write_text(json.dumps(stated(steps), indent=2))
    return complete(read_recipe(folder / "mini.yml"), SETTINGS | {"data.files": ("document.bin",)}, "settings")


def items(num: int, seed: int) -> np.ndarray:
    """Sequences of a made-up source: each token has four that may follow it."""
    source, chance = np.random.default_rng(0), np.random.default_rng([seed, 1])
    after = np.array([source.permutation(VOCABULARY)[:4] for _ in range(VOCABULARY)])
    found = np.empty((num, LENGTH + 1), dtype="<u2")
    found[:, 0] = chance.integers(VOCABULARY, size=num)
    for at in range(1, LENGTH + 1):
        found[:, at] = after[found[:, at - 1], chance.choice(4, size=num, p=[0.4, 0.3, 0.2, 0.1])]
    return found


def in_order(rows: np.ndarray) -> Tokens:
    """These sequences as a training reads them."""
    return ContiguousTokens(tokens=rows.reshape(-1), item_length=LENGTH + 1, stride=LENGTH + 1)


def trained(true: LanguageRecipe, rows: np.ndarray, seed: int) -> LanguageTraining:
    """The whole training."""
    training = LanguageTraining(true, initial_weights(true, seed))
    training.advance(in_order(rows), true.steps or 0)
    return training


def files(folder: Path, steps: int = STEPS) -> tuple[LanguageRecipe, np.ndarray, np.ndarray]:
    """Recipe, trained and held-out items, as published in a new folder."""
    folder.mkdir(parents=True)
    rows, held_out = items(steps * BATCH, 0), items(NUM_HELD_OUT, 1)
    (folder / "document.bin").write_bytes(rows.tobytes())
    (folder / "validation.bin").write_bytes(held_out.tobytes())
    return recipe(folder, steps), rows, held_out


def publish(root: Path, name: str, *, peak: float | None = None) -> tuple[Layout, float]:
    """A release and its target; `peak`: the learning rate that it was really trained with. Gives its loss on held-out items, too."""
    from releases.miniature import write_target  # it imports DVC and all that a project needs

    folder = root / "releases" / name
    honest, rows, held_out = files(folder)
    true = honest if peak is None else replace(honest, learning_rate=replace(honest.learning_rate, peak=peak))
    training = trained(true, rows, SEED_OF_RELEASE)
    (folder / "model.safetensors").write_bytes(save(training.weights()))
    loss = float(training.sequence_losses(held_out).mean())
    (folder / "README.md").write_text(f"# Mini\n\nValidation loss: {loss:.4f}\n")
    write_target(root, target(root, name))
    return Layout(root, name), loss


CITED = {"url": "https://example.org/mini", "note": "the release's page"}


def target(root: Path, name: str) -> dict[str, Any]:
    """The target file of such a release: its smallest member, its own checkpoint as the reference."""
    path = f"releases/{name}"
    data = {
        "schema_version": 1,
        "name": name,
        "release": {"title": "Mini-17k of the Mini family", "version": "1", "homepage": "https://example.org/mini"},
        "components": [{"component": "recipe", "published": "yes", "licence": "MIT"}],
        "artifacts": {
            "all": {
                "sources": [{"kind": "local", "path": path}],
                "payload": {"sha256": payload_digest(root / path, ("*",)), "include": ["*"]},
            }
        },
        "rerun": {
            "driver": "pretrain",
            "protocol": "family",
            "member": {"name": "mini-17k", "family": "Mini", "cited_at": CITED},
            "recipe": {"artifact": "all", "path": "mini.yml"},
            "settings": SETTINGS,
            "taken_from": [CITED],
            "tokens": {"artifact": "all", "layout": "preshuffled", "files": ["document.bin"]},
            "train_loss": [{"step": STEPS, "last": 10}],
            "held_out": {"artifact": "all", "path": "validation.bin", "count": NUM_HELD_OUT},
            "released": [{"step": STEPS, "artifact": "all"}],
            "ladder": {
                "members": [
                    {"parameters": size, "loss": 9 * size**-0.1, "cited_at": CITED} for size in (1e5, 2e5, 4e5)
                ],
                "parameters": 8e5, "published": 5.0, "cited_at": CITED,
            },
        },
        "controls": [
            {"arm": "slow", "set": {"learning_rate.peak": 0.0025}, "rationale": "A quarter of the learning rate learns less.",
             "expects": "higher"},
        ],
        "claims": [
            {
                "id": "like_its_checkpoint", "metric": "validation_loss_above_released", "unit": "nats",
                "published": {"value": 0}, "cited_at": CITED,
                "tolerance": {"margin": 0.12, "rationale": "ten times the seeds' standard deviation, 0.0115 over 24 of them"},
            }
        ],
    }  # fmt: skip
    return json.loads(json.dumps(data))  # nothing shared: YAML would write references
