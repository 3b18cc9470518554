"""A miniature release in OLMo's published format: its YAML in a git repository, raw token files named `.npy` in a seeded order over all
of them, and a branch for each step with config.json and safetensors under transformers' names.

The training is `plain.py`'s, the order numpy's: neither is OpenAssay's own.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import transformers

from releases import plain
from releases.language import VOCABULARY, stream, tokenizer
from releases.pythia import Files, target_of, weights_file
from releases.small import MIT

FILES = (
    "preprocessed/mini/part-0-00000.npy",
    "preprocessed/mini/part-1-00000.npy",
    "preprocessed/mini/part-2-00000.npy",
)


@dataclass(frozen=True, kw_only=True)
class Olmo:
    """Which OLMo, and how small?"""

    generation: Literal[1, 2] = 2
    hidden: int = 32
    layers: int = 1
    heads: int = 4
    length: int = 32
    batch: int = 8
    steps: int = 256
    warmup: int = 4
    seed: int = 6198
    tokens: int = 60_000

    @property
    def dtype(self) -> str:
        """Of the token files: OLMo 2's vocabulary is too large for 16 bits."""
        return "uint16" if self.generation == 1 else "uint32"

    def yaml(self) -> str:
        """Its settings."""
        norm = "default" if self.generation == 1 else "rms"
        own = (
            "  layer_norm_with_affine: false\n"
            if self.generation == 1
            else "  layer_norm_with_affine: true\n  layer_norm_eps: 1.0e-06\n  attention_layer_norm: true\n"
            "  attention_layer_norm_with_affine: true\n  norm_after: true\n"
        )
        listed = "".join(f"  - https://olmo-data.example/{name}\n" for name in FILES)
        return f"""run_name: OLMo-mini
seed: {self.seed}
model:
  d_model: {self.hidden}
  n_heads: {self.heads}
  n_layers: {self.layers}
  mlp_ratio: 8
  weight_tying: false
  rope: true
  rope_theta: 500000
  attention_dropout: 0.0
  residual_dropout: 0.0
  embedding_dropout: 0.0
  include_bias: false
  layer_norm_type: {norm}
{own}  activation_type: swiglu
  max_sequence_length: {self.length}
  vocab_size: {VOCABULARY}
  embedding_size: {VOCABULARY}
  eos_token_id: 0
  pad_token_id: 0
  init_fn: normal
  init_std: 0.02
  init_cutoff_factor: 3
softmax_auxiliary_loss: {"true" if self.z_loss else "false"}
auxiliary_loss_multiplier: 1.0e-05
optimizer:
  name: adamw
  learning_rate: 4.0e-3
  weight_decay: 0.1
  eps: 1.0e-08
  decay_norm_and_bias: true
  decay_embeddings: false
  betas:
  - 0.9
  - 0.95
scheduler:
  name: cosine_with_warmup
  units: steps
  t_warmup: {self.warmup}
  t_max: {self.steps}
  alpha_f: 0.1
  warmup_min_lr: 0.0
max_duration: {self.steps}
global_train_batch_size: {self.batch}
device_train_microbatch_size: 4
precision: fp32
max_grad_norm: 1.0
data:
  pad_direction: right
  memmap_dtype: {self.dtype}
  paths:
{listed}"""

    @property
    def z_loss(self) -> float:
        """OLMo 2 has one."""
        return 1e-5 if self.generation == 2 else 0.0

    def config(self) -> Any:
        """As transformers has it. Without a token for padding: its embedding would not be trained, and OLMo's code trains it."""
        common: dict[str, Any] = {
            "vocab_size": VOCABULARY, "hidden_size": self.hidden, "intermediate_size": 4 * self.hidden,
            "num_hidden_layers": self.layers, "num_attention_heads": self.heads, "max_position_embeddings": self.length,
            "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}, "tie_word_embeddings": False,
            "bos_token_id": None, "eos_token_id": 0, "pad_token_id": None,
        }  # fmt: skip
        if self.generation == 1:
            return transformers.OlmoConfig(**common)
        return transformers.Olmo2Config(rms_norm_eps=1e-6, **common)


MINI = Olmo()


@functools.cache
def files_of(of: Olmo, *, deduplicated: bool = False) -> dict[str, np.ndarray]:
    """The token files: three of unequal length, none a whole number of sequences."""
    whole = stream(deduplicated=deduplicated)[: of.tokens].astype(of.dtype)
    cuts = (of.tokens // 2 + 5, of.tokens // 2 + of.tokens // 3 + 11)
    return dict(zip(FILES, np.split(whole, cuts), strict=True))


def order(of: Olmo, tokens: dict[str, np.ndarray]) -> np.ndarray:
    """All sequences as they are trained on: each file cut into whole ones, their numbers shuffled by the seed."""
    sequences = np.concatenate([
        part[: len(part) // of.length * of.length].reshape(-1, of.length) for part in tokens.values()
    ])  # fmt: skip
    numbers = np.arange(len(sequences), dtype=np.uint32)
    np.random.Generator(np.random.PCG64(of.seed)).shuffle(numbers)
    return sequences[numbers]


def make(
    of: Olmo = MINI,
    *,
    keep: tuple[int, ...] = (0, 8, 16),
    fed: dict[str, np.ndarray] | None = None,
    labelled: dict[str, np.ndarray] | None = None,
    **planted: Any,
) -> Files:
    """Train, and give the files of every artifact. fed: other token files than the published ones; planted: arguments of
    `plain.train` that are not as the YAML says."""
    published = files_of(of) if labelled is None else labelled
    rows = order(of, published if fed is None else fed)
    kind = transformers.OlmoForCausalLM if of.generation == 1 else transformers.Olmo2ForCausalLM
    model = kind(of.config())
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.trunc_normal_(parameter, std=0.02, a=-0.06, b=0.06, generator=generator)
    how: dict[str, Any] = {
        "rate": lambda k: plain.cosine(k, peak=4e-3, warmup=of.warmup, last=of.steps, share=0.1), "z_loss": of.z_loss,
    }  # fmt: skip
    weights = plain.train(model, lambda k: rows[k * of.batch : (k + 1) * of.batch], keep=keep, **how | planted)
    beside = {
        "config.json": json.dumps(of.config().to_dict(), indent=2).encode(),
        "tokenizer.json": tokenizer().to_str().encode(),
        "README.md": b"---\nlicense: apache-2.0\n---\n# OLMo mini\n",
    }
    found: Files = {
        f"step{step}": {"model.safetensors": weights_file(tensors), **beside} for step, tensors in weights.items()
    }
    found["code"] = {
        "configs/OLMo-mini.yaml": of.yaml().encode(),
        "README.md": b"# OLMo mini\n",
        "LICENSE": MIT.encode(),
    }
    found["tokens"] = {name: part.tobytes() for name, part in published.items()}
    return found


def rerun_of(of: Olmo, steps: tuple[int, ...], updates: tuple[int, ...], *, exercise: bool = False) -> dict[str, Any]:
    """The target's rerun."""
    return {
        "driver": "replay",
        "recipe": {"artifact": "code", "path": "configs/OLMo-mini.yaml"},
        "tokens": {"artifact": "tokens", "layout": "olmo", "files": list(FILES), "dtype": of.dtype},
        "checkpoints": [{"step": step, "artifact": f"step{step}"} for step in sorted(steps)],
        "updates": list(updates),
        "exercise": exercise,
    }


def target(name: str, commits: dict[str, str], rerun: dict[str, Any], repo: str = "mini") -> dict[str, Any]:
    """The target file of such a release, as `pythia.put` has published it; token files are fetched whole."""
    artifacts: dict[str, Any] = {
        "code": {"sources": [{"kind": "git", "url": f"https://github.com/{repo}/pythia", "commit": commits["code"]}]}
    }
    for artifact, commit in commits.items():
        if artifact.startswith("step"):
            source = {
                "kind": "hf",
                "repo": f"{repo}/pythia",
                "revision": artifact,
                "commit": commit,
                "files": ["model.safetensors"],
            }
        elif artifact != "code":
            source = {
                "kind": "hf",
                "repo": f"{repo}/{artifact}",
                "repo_type": "dataset",
                "commit": commit,
                "files": list(FILES),
            }
        else:
            continue
        artifacts[artifact] = {"sources": [source]}
    return target_of(name, artifacts, rerun, "configs/OLMo-mini.yaml")
