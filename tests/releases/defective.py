"""Releases that are not what they say, one defect each, in Pythia's format: planted in the training, or in the published files.

`SEEN_BY` says which part should find each: the replay (`differs`), a look at the checkpoints or at the files (their finding's
name), the reading of what was published (`refused`), or nothing here (`not seen`): then the exercise report must not call it seen.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from safetensors.numpy import load

from openassay.protocols.changes import Reshuffled, Skipped
from openassay.training.lm import LanguageTraining, initial_weights
from openassay.training.numerics import ContiguousTokens, Numerics, Tokens
from releases.pythia import TINY, Files, in_order, items, make, recipe_of, tokens_files, weights_file

SIZE = TINY
STEPS = (0, 8, 16)
STATED = recipe_of(SIZE)


class Leaking(LanguageTraining):
    """The label of a token is that token."""

    def _split(self, rows: Any) -> Any:
        return rows[:, 1:], rows[:, 1:]


class WithoutBiases(LanguageTraining):
    """Its biases are never trained."""

    def _make_optimizer(self, moments: Any) -> Any:
        for name, parameter in self.model.named_parameters():
            if name.endswith(".bias") and "norm" not in name:
                parameter.requires_grad_(False)
        return super()._make_optimizer(moments)


@dataclass(frozen=True)
class Repeated:
    """Each third batch is the one before."""

    tokens: Tokens

    def items(self, first: int, count: int) -> Any:
        """As `Tokens`."""
        size = STATED.batch_size
        rows = [at - size if at // size % 3 == 2 else at for at in range(first, first + count)]
        return np.concatenate([self.tokens.items(row, 1) for row in rows])


@dataclass(frozen=True, kw_only=True)
class Defect:
    """What was really done."""

    name: str
    seen_by: Literal["differs", "checkpoints", "files", "refused", "not seen"]
    says: str = ""
    """The finding's kind, the check's name, words of the refusal; for what is not seen, the probe that says so."""
    explained_by: str | None = None
    """How `explain` should call it, where it has an alternative for it."""
    trained: dict[str, Any] = field(default_factory=dict)
    fed: Callable[[], Tokens] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    plant: Callable[[Files], None] | None = None
    keep: tuple[int, ...] = STEPS


def _rate(**values: Any) -> dict[str, Any]:
    return {f"learning_rate.{name}": value for name, value in values.items()}


def honest() -> Tokens:
    """The published items."""
    return in_order(items(SIZE))


def _relabelled(files: Files, step: int, real: int) -> None:
    files[f"step{step}"] = dict(files[f"step{real}"])


def _weights(step: int, change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> Callable[[Files], None]:
    def plant(files: Files) -> None:
        tensors = change(
            {name: value.copy() for name, value in load(files[f"step{step}"]["model.safetensors"]).items()}
        )
        files[f"step{step}"]["model.safetensors"] = weights_file(tensors)

    return plant


def _json(artifact: str, path: str, **values: Any) -> Callable[[Files], None]:
    def plant(files: Files) -> None:
        files[artifact][path] = json.dumps(json.loads(files[artifact][path]) | values).encode()

    return plant


def _not_a_number(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    tensors["embed_out.weight" if "embed_out.weight" in tensors else "lm_head.weight"][3, 5] = np.nan
    return tensors


def _without_one(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: value for name, value in tensors.items() if "final_layer_norm" not in name}


def _another_run(_tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return initial_weights(STATED, 99)


def _wider(factor: float) -> Callable[[Files], None]:
    wide = (2 / (5 * SIZE.hidden)) ** 0.5 * factor
    return _weights(
        0, lambda _: initial_weights(replace(STATED, initialisation=replace(STATED.initialisation, std=wide)), 0)
    )


def _jump(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    tensors["gpt_neox.layers.0.mlp.dense_h_to_4h.weight"] *= 3
    return tensors


def _other_words(files: Files) -> None:
    rows = items(SIZE).copy()
    rows[5, 7] = 4000
    files["tokens"] = tokens_files(rows)


def _cut_short(files: Files) -> None:
    files["tokens"]["document.bin"] = files["tokens"]["document.bin"][: 10 * SIZE.batch * (SIZE.length + 1) * 2]


def _no_step(files: Files) -> None:
    del files["step16"]["model.safetensors"]


def _broken_recipe(files: Files) -> None:
    files["code"]["models/mini.yml"] = files["code"]["models/mini.yml"].replace(
        b'"hidden-size": 32', b'"hidden-size": wide'
    )


def _words_beyond_the_model(files: Files) -> None:
    for artifact in files:
        if artifact.startswith("step"):
            found = json.loads(files[artifact]["tokenizer.json"])
            found["model"]["vocab"] |= {f"more{at}": 512 + at for at in range(40)}
            files[artifact]["tokenizer.json"] = json.dumps(found).encode()


DEFECTS = (
    Defect(name="learning rate x1.1", seen_by="differs", explained_by="learning rate x1.1", trained=_rate(peak=3.3e-3, minimum=3.3e-4)),
    Defect(name="learning rate x0.5", seen_by="differs", explained_by="learning rate x0.5", trained=_rate(peak=1.5e-3, minimum=1.5e-4)),
    Defect(name="no warm-up", seen_by="differs", explained_by="no warm-up", trained=_rate(warmup_steps=0)),
    Defect(name="warm-up x2", seen_by="differs", explained_by="warm-up x2", trained=_rate(warmup_steps=STATED.learning_rate.warmup_steps * 2)),
    Defect(name="schedule one update off", seen_by="differs", explained_by="schedule one update off", trained=_rate(first="one_step")),
    Defect(name="linear decay", seen_by="differs", explained_by="schedule linear", trained=_rate(form="linear")),
    Defect(name="beta2 0.999", seen_by="differs", explained_by="beta2 0.999", trained={"optimizer.betas": (0.9, 0.999)}),
    Defect(name="decay through the gradient", seen_by="differs", explained_by="decay through the gradient", trained={"optimizer.name": "adam_l2"}),
    Defect(name="clipped at half", seen_by="differs", explained_by="clipped at half", trained={"clip_norm": 0.5}),
    Defect(name="half the batch", seen_by="differs", explained_by="half the batch", trained={"batch_size": SIZE.batch // 2}),
    Defect(name="rotary share 1", seen_by="differs", explained_by="rotary share 1", trained={"architecture.rotary_share": 1.0}),
    Defect(name="half the heads", seen_by="differs", explained_by="half the heads", trained={"architecture.num_heads": 2, "architecture.num_kv_heads": None}),
    Defect(name="sequential residual", seen_by="differs", explained_by="sequential residual", trained={"architecture.parallel_residual": False}),
    Defect(name="ReLU", seen_by="differs", explained_by="activation relu", trained={"architecture.activation": "relu"}),
    Defect(name="dropout 0.1", seen_by="differs", explained_by="dropout 0.1",
           trained={"architecture.hidden_dropout": 0.1, "architecture.attention_dropout": 0.1},
           options={"numerics": Numerics(dropout_seed=999)}),
    Defect(name="another order", seen_by="differs", fed=lambda: Reshuffled(honest(), 16 * SIZE.batch, 7)),
    Defect(name="begins one batch later", seen_by="differs", explained_by="begins one batch later", fed=lambda: Skipped(honest(), 0, SIZE.batch)),
    Defect(name="a batch skipped", seen_by="differs", explained_by="a batch skipped at update 4", fed=lambda: Skipped(honest(), 4 * SIZE.batch, SIZE.batch)),
    Defect(name="batches repeated", seen_by="differs", fed=lambda: Repeated(honest())),
    Defect(name="cut one token later", seen_by="differs",
           fed=lambda: ContiguousTokens(tokens=items(SIZE).reshape(-1)[1:], item_length=SIZE.length + 1, stride=SIZE.length + 1)),
    Defect(name="another tokenizer", seen_by="differs", fed=lambda: in_order(items(SIZE, other_tokenizer=True))),
    Defect(name="no end of text", seen_by="differs", fed=lambda: in_order(items(SIZE, end_of_text=False))),
    Defect(name="labelled deduplicated, trained on the standard data", seen_by="differs", fed=lambda: in_order(items(SIZE, deduplicated=True))),
    Defect(name="accumulated without division", seen_by="differs", explained_by="accumulation over", options={"loss_factor": 4.0}),
    Defect(name="labels leak", seen_by="differs", options={"make": Leaking}),
    Defect(name="biases not trained", seen_by="differs", options={"make": WithoutBiases}),
    Defect(name="checkpoint of twice the step", seen_by="differs", explained_by="checkpoints are of twice the step",
           keep=(0, 16, 32), plant=lambda files: (_relabelled(files, 8, 16), _relabelled(files, 16, 32), files.pop("step32"))[0]),
    Defect(name="GELU by tanh", seen_by="not seen", says="activation gelu_tanh", trained={"architecture.activation": "gelu_tanh"}),
    Defect(name="z-loss", seen_by="not seen", says="z-loss 1e-4", trained={"z_loss": 1e-4}),
    Defect(name="decays to 0", seen_by="not seen", says="decays to 0", trained=_rate(minimum=0.0)),
    Defect(name="one checkpoint under two names", seen_by="checkpoints", says="same", plant=lambda files: _relabelled(files, 8, 16)),
    Defect(name="a checkpoint is step 0", seen_by="checkpoints", says="unmoved", plant=lambda files: _relabelled(files, 16, 0)),
    Defect(name="a checkpoint of another run", seen_by="checkpoints", says="orphan", plant=_weights(8, _another_run)),
    Defect(name="step 0 of another initialisation", seen_by="checkpoints", says="initialisation", plant=_wider(1.3)),
    Defect(name="a weight is no number", seen_by="checkpoints", says="not finite", plant=_weights(16, _not_a_number)),
    Defect(name="a tensor is missing", seen_by="checkpoints", says="tensors", plant=_weights(16, _without_one)),
    Defect(name="a matrix three times as large", seen_by="checkpoints", says="too far", plant=_weights(16, _jump)),
    Defect(name="config.json ties the embeddings", seen_by="files", says="value_stated_twice",
           plant=_json("step16", "config.json", tie_word_embeddings=True)),
    Defect(name="config.json has another end of text", seen_by="files", says="special_token_elsewhere", plant=_json("step16", "config.json", eos_token_id=7)),
    Defect(name="tokenizer larger than the model", seen_by="files", says="vocabulary_too_small", plant=_words_beyond_the_model),
    Defect(name="index of other data", seen_by="files", says="items_contradict_themselves",
           plant=lambda files: files["tokens"].update({"document.idx": tokens_files(items(SIZE)[:, :-1])["document.idx"]})),
    Defect(name="tokens beyond the embedding", seen_by="refused", says="expected token ids below 512", plant=_other_words),
    Defect(name="tokens end too early", seen_by="refused", says="tokens end before batch 16", plant=_cut_short),
    Defect(name="a step without weights", seen_by="refused", says="is not in its artifact", plant=_no_step),
    Defect(name="step 0 of a wider model", seen_by="refused", says="do not fit",
           plant=lambda files: files["step0"].update({"model.safetensors": weights_file(initial_weights(recipe_of(replace(SIZE, layers=2)), 0))})),
    Defect(name="a recipe that cannot be read", seen_by="refused", says="hidden_size: expected a number", plant=_broken_recipe),
)  # fmt: skip


@functools.cache
def release(name: str | None = None) -> Files:
    """The files of the honest release, or of a defective one."""
    defect = next((of for of in DEFECTS if of.name == name), None)
    assert name is None or defect, name
    if defect is None:
        return make(size=SIZE, keep=STEPS)
    files = make(
        size=SIZE, keep=defect.keep, trained=defect.trained, fed=defect.fed() if defect.fed else None, **defect.options
    )
    if defect.plant:
        defect.plant(files)
    return files
