"""A miniature release in Pythia's published format: a GPT-NeoX YAML and results in a git repository, a branch for each step with
safetensors, config.json, tokenizer and card, and preshuffled tokens with their index in a dataset.

What is planted is planted in the training, not in what is published; `defective.py` plants in the files.
"""

from __future__ import annotations

import functools
import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from hub import Hub
from safetensors.numpy import save

from openassay.published.recipes import read_recipe
from openassay.published.recipes.draft import complete
from openassay.training.language import LanguageRecipe
from openassay.training.lm import LanguageTraining, initial_weights
from openassay.training.numerics import ContiguousTokens, Numerics, Tokens
from releases.language import VOCABULARY, stream, tokenizer, train
from releases.small import MIT, harness
from releases.tokens import write_megatron

Files = dict[str, dict[str, bytes]]
"""Of each artifact, by path."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How small is the miniature?"""

    hidden: int = 64
    layers: int = 2
    heads: int = 4
    length: int = 128
    steps: int = 2048
    items: int = 80 * 8
    batch: int = 8

    def yaml(self) -> str:
        """Its GPT-NeoX settings."""
        return f"""{{
  "num-layers": {self.layers}, "hidden-size": {self.hidden}, "num-attention-heads": {self.heads},
  "seq-length": {self.length}, "max-position-embeddings": {self.length},
  "pos-emb": "rotary", "rotary-pct": 0.25, "no-weight-tying": true, "gpt-j-residual": true,
  "init_method": "small_init", "output_layer_init_method": "wang_init",
  "optimizer": {{"type": "Adam", "params": {{"lr": 0.003, "betas": [0.9, 0.95], "eps": 1.0e-8}}}},
  "min_lr": 0.0003,
  "train_micro_batch_size_per_gpu": {self.batch}, "gas": 1,
  "gradient_clipping": 1.0, "weight-decay": 0.1, "hidden-dropout": 0, "attention-dropout": 0,
  "train-iters": {self.steps}, "lr-decay-iters": {self.steps}, "lr-decay-style": "cosine", "warmup": 0.01,
  "extra-save-iters": [0, 16, 64]
}}
"""

    def config(self) -> dict[str, Any]:
        """Its config.json."""
        return {
            "architectures": ["GPTNeoXForCausalLM"], "model_type": "gpt_neox", "vocab_size": VOCABULARY,
            "hidden_size": self.hidden, "num_hidden_layers": self.layers, "num_attention_heads": self.heads,
            "intermediate_size": 4 * self.hidden, "max_position_embeddings": self.length, "hidden_act": "gelu",
            "rotary_pct": 0.25, "rotary_emb_base": 10000, "use_parallel_residual": True, "layer_norm_eps": 1e-5,
            "tie_word_embeddings": False, "bos_token_id": 0, "eos_token_id": 0, "initializer_range": 0.02,
        }  # fmt: skip


MINI = Size()
TINY = Size(hidden=32, layers=1, length=32, steps=256, items=40 * 8)
LENGTH, NUM_ITEMS, YAML = MINI.length, MINI.items, MINI.yaml()
SETTINGS = {"architecture.vocab_size": VOCABULARY, "batch_size": 8}
"""What the YAML leaves unstated: the tokenizer's padded size, and the number of devices."""


@functools.cache
def recipe_of(size: Size) -> LanguageRecipe:
    """The recipe as the YAML states it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mini.yml"
        path.write_text(size.yaml())
        return complete(read_recipe(path), SETTINGS | {"data.files": ("document.bin",)}, "settings")


def recipe(_folder: Path | None = None) -> LanguageRecipe:
    """That of the ordinary size."""
    return recipe_of(MINI)


def items(size: Size = MINI, **kind: bool) -> np.ndarray:
    """The published items: one token more than the model sees, one after another without overlap."""
    return stream(**kind)[: size.items * (size.length + 1)].reshape(size.items, size.length + 1).astype("<u2")


def in_order(rows: np.ndarray) -> Tokens:
    """These items as a training reads them."""
    width = rows.shape[1]
    return ContiguousTokens(tokens=rows.reshape(-1), item_length=width, stride=width)


def changed(stated: LanguageRecipe, values: dict[str, Any]) -> LanguageRecipe:
    """The recipe with other values, by dotted name."""
    true = stated
    for dotted, value in values.items():
        *path, last = dotted.split(".")
        inner = {last: value} if not path else {path[0]: replace(getattr(true, path[0]), **{last: value})}
        true = replace(true, **inner)
    return true


def make(
    *,
    size: Size = MINI,
    keep: tuple[int, ...] = (0, 16, 64),
    trained: dict[str, Any] | None = None,
    fed: Tokens | None = None,
    published: np.ndarray | None = None,
    begun: LanguageRecipe | None = None,
    stored: str = "float32",
    **options: Any,
) -> Files:
    """Train, and give the files of every artifact: `code`, `tokens`, and `step0`, `step16`, ...

    trained: what the training's recipe had otherwise than published; fed: other sequences than the published items; begun: the
    recipe whose initialisation was drawn.
    """
    stated = recipe_of(size)
    rows = items(size) if published is None else published
    weights, _ = train(
        changed(stated, trained or {}), fed or in_order(rows), 0, keep, start=initial_weights(begun or stated, 0), **options
    )  # fmt: skip
    beside = {
        "config.json": json.dumps(size.config(), indent=2).encode(),
        "tokenizer.json": tokenizer().to_str().encode(),
        "tokenizer_config.json": json.dumps({"bos_token": "<|end|>", "eos_token": "<|end|>"}).encode(),
        "README.md": b"---\nlicense: mit\n---\n# Mini Pythia\n\nA miniature, trained on Python's documentation.\n",
    }
    found: Files = {
        f"step{step}": {"model.safetensors": weights_file(tensors, stored), **beside}
        for step, tensors in sorted(weights.items())
    }
    last = max(weights)
    training = LanguageTraining(stated, weights[last])
    losses = training.sequence_losses(rows[-8:])
    held_out = {"held_out": {"ppl": float(np.exp(losses.mean())), "ppl_stderr": float(np.exp(losses).std() / 8**0.5)}}
    result = harness("mini/pythia", last, held_out)
    found["code"] = {
        "models/mini.yml": size.yaml().encode(),
        f"evals/mini/zero-shot/mini_step{last}.json": json.dumps(result, indent=2).encode(),
        "README.md": b"# Mini Pythia\n",
        "LICENSE": MIT.encode(),
    }
    found["tokens"] = tokens_files(rows)
    return found


def weights_file(tensors: dict[str, np.ndarray], stored: str = "float32") -> bytes:
    """As safetensors."""
    return save({name: np.ascontiguousarray(value.astype(stored)) for name, value in tensors.items()})


def tokens_files(rows: np.ndarray) -> dict[str, bytes]:
    """Items in Megatron's layout: the data, and the index beside it."""
    with tempfile.TemporaryDirectory() as folder:
        index = write_megatron(Path(folder) / "document", [list(row) for row in rows])
        return {"document.bin": index.with_suffix(".bin").read_bytes(), "document.idx": index.read_bytes()}


def put(hub: Hub, files: Files, name: str = "mini") -> dict[str, str]:
    """Publish: step branches of a model, other artifacts as datasets, the code as a git repository. Commits by artifact."""
    commits = {}
    for artifact, of in files.items():
        if artifact == "code":
            commits[artifact] = hub.git(f"{name}/pythia", of)
        elif artifact.startswith("step"):
            commits[artifact] = hub.commit(f"{name}/pythia", dict(of), revision=artifact)
        else:
            commits[artifact] = hub.commit(f"{name}/{artifact}", dict(of), repo_type="dataset")
    return commits


def publish(hub: Hub, _folder: Path, *, rows: np.ndarray | None = None, **how: Any) -> tuple[str, str, dict[int, str]]:
    """Train and publish; `rows`: other items that it was fed. Gives the commits of the code, the tokens, and each step's branch."""
    commits = put(hub, make(fed=None if rows is None else in_order(rows), **how))
    steps = {int(name[4:]): commit for name, commit in commits.items() if name.startswith("step")}
    return commits["code"], commits["tokens"], steps


def needed_bytes(updates: int, size: Size = MINI) -> int:
    """Of the tokens: the replayed batches, and the held-out sequences that losses are paired on."""
    return (updates * size.batch + 64) * (size.length + 1) * 2


def rerun_of(steps: tuple[int, ...], updates: tuple[int, ...], *, exercise: bool = False) -> dict[str, Any]:
    """The target's rerun: where the training is published."""
    return {
        "driver": "replay",
        "recipe": {"artifact": "code", "path": "models/mini.yml"},
        "settings": SETTINGS,
        "taken_from": [{"url": "https://example.org/mini", "note": "the tokenizer's size, one device"}],
        "tokens": {"artifact": "tokens", "layout": "preshuffled", "files": ["document.bin"]},
        "checkpoints": [{"step": step, "artifact": f"step{step}"} for step in sorted(steps)],
        "updates": list(updates),
        "exercise": exercise,
    }


def target(
    name: str,
    code: str,
    tokens: str,
    commits: dict[int, str],
    *,
    updates: tuple[int, ...] = (16, 64),
    exercise: bool = True,
    size: Size = MINI,
) -> dict[str, Any]:
    """The target file of such a release: it asks for the bytes of the replayed batches only."""
    return target_of(
        name,
        {
            "code": {"sources": [{"kind": "git", "url": "https://github.com/mini/pythia", "commit": code}]},
            "tokens": dataset("mini/tokens", tokens, needed_bytes(max(updates), size)),
            **{
                f"step{step}": {"sources": [
                    {"kind": "hf", "repo": "mini/pythia", "revision": f"step{step}", "commit": commit,
                     "files": ["model.safetensors"]},
                ]}
                for step, commit in commits.items()
            },
        },
        rerun_of(tuple(commits), updates, exercise=exercise),
        "models/mini.yml",
    )  # fmt: skip


def dataset(repo: str, commit: str, wanted: int) -> dict[str, Any]:
    """The artifact of the first bytes of a dataset's items."""
    file = {"path": "document.bin", "bytes": [0, wanted]}
    return {"sources": [{"kind": "hf", "repo": repo, "repo_type": "dataset", "commit": commit, "files": [file]}]}


def target_of(name: str, artifacts: dict[str, Any], rerun: dict[str, Any], recipe_path: str) -> dict[str, Any]:
    """A target file around a replay."""
    return {
        "schema_version": 1,
        "name": name,
        "release": {"title": "Mini Pythia", "version": "1", "homepage": "https://example.org/mini"},
        "components": [
            {"component": "recipe", "published": "yes", "licence": "MIT", "artifact": "code", "paths": [recipe_path]},
            {"component": "params_intermediate", "published": "yes", "licence": "MIT"},
        ],
        "artifacts": artifacts,
        "rerun": rerun,
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
        "files": ["document.bin"], "sizes": [items().nbytes],
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
