"""Adam's moments at a published step, from optimizer states as releases publish them, without running a pickle's code.

Three forms are read: safetensors with `<parameter>.exp_avg` and `<parameter>.exp_avg_sq`; OLMo's safetensors, in which each name
is the base64 of a pickled `(("state", <parameter>, "exp_avg"), False)` (olmo/safetensors_util.py of allenai/OLMo); and what
`torch.save(optimizer.state_dict())` writes, read by `torch.load(weights_only=True)`. Parameters have transformers' names or
OLMo's. Numbers instead of names are taken for the model's order only where there is one group of parameters: with more, each
group counts on, and nobody says which parameter is which.
"""

from __future__ import annotations

import base64
import binascii
import pickletools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from openassay.training.language import ADAM, Architecture, LanguageRecipe
from openassay.training.lm import current_name
from openassay.training.mismatch import RecipeMismatch, first_line
from openassay.training.network import build
from openassay.training.numerics import Moments

PARTS = ("exp_avg", "exp_avg_sq", "step", "max_exp_avg_sq")
"""What is looked for of each parameter; the last one is AMSGrad's, which no recipe of ours has."""
LONGEST_KEY = 4096
_PICKLE_BOOKKEEPING = {"PROTO", "FRAME", "MEMOIZE", "BINPUT"}
_BLOCK = re.compile(r"transformer\.blocks\.(\d+)\.(\w+)\.(weight|bias)\Z")

Found = dict[str, dict[str, torch.Tensor]]
"""By parameter, by part."""


def read_moments(path: Path, recipe: LanguageRecipe, step: int) -> Moments:
    """The moments of every parameter of the recipe's model. `RecipeMismatch` says what does not fit."""
    if recipe.optimizer.name not in ADAM:
        raise RecipeMismatch(
            f"{path.name}: the recipe's optimizer is {recipe.optimizer.name}, which has no such moments"
        )
    if not path.is_file():
        raise RecipeMismatch(f"{path.name} of an optimizer state is not in its artifact")
    shapes = {name: tuple(p.shape) for name, p in build(recipe.architecture).named_parameters()}
    try:
        named = _by_transformers_names(_read(path, tuple(shapes)), recipe.architecture)
        moments = {name: _of_parameter(name, named.get(name), shape, step) for name, shape in shapes.items()}
        if extra := sorted(set(named) - set(shapes)):
            raise RecipeMismatch(f"it has a state of {extra[0][:100]}, which the recipe's model does not have")
    except RecipeMismatch as problem:
        raise RecipeMismatch(f"{path.name}: {problem}") from None
    return moments


def _read(path: Path, parameters: tuple[str, ...]) -> Found:
    try:
        return _safetensors(path) if path.suffix == ".safetensors" else _torch(path, parameters)
    except (RecipeMismatch, OSError, MemoryError):
        raise
    except Exception as problem:  # noqa: BLE001 - the parsers raise nearly anything on hostile bytes
        line = first_line(problem)[:200]
        raise RecipeMismatch(f"no optimizer state that can be read without running its code: {line}") from None


def _of_parameter(
    name: str, of: Mapping[str, torch.Tensor] | None, shape: tuple[int, ...], step: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The moments of one parameter, as finite numbers of its shape, the second not negative."""
    if of is None:
        raise RecipeMismatch(f"the optimizer state has nothing for {name}")
    if "max_exp_avg_sq" in of:
        raise RecipeMismatch(f"{name} has max_exp_avg_sq: it is AMSGrad's state, not the recipe's")
    if "step" in of and (of["step"].numel() != 1 or of["step"].item() != step):
        found = f"step {of['step'].item():g}" if of["step"].numel() == 1 else "no single step"
        raise RecipeMismatch(f"expected the state of step {step}, found that of {found}")
    for part in ("exp_avg", "exp_avg_sq"):
        if part not in of:
            raise RecipeMismatch(f"{name} has no {part}")
        if tuple(of[part].shape) != shape:
            raise RecipeMismatch(f"{part} of {name} has the shape {tuple(of[part].shape)}, the parameter {shape}")
        if of[part].dtype not in {
            torch.float32,
            torch.float64,
        }:  # rounding is no part of the floor, and small squares become 0
            kind = str(of[part].dtype).removeprefix("torch.")
            raise RecipeMismatch(f"{part} of {name} is stored as {kind}; expected float32 or float64")
        if not of[part].float().isfinite().all():
            raise RecipeMismatch(f"{part} of {name} holds numbers that are not finite")
    if (of["exp_avg_sq"].float() < 0).any():
        raise RecipeMismatch(f"exp_avg_sq of {name} has negative numbers; expected means of squares")
    return of["exp_avg"].detach().float().numpy(), of["exp_avg_sq"].detach().float().numpy()


def _safetensors(path: Path) -> Found:
    found: Found = {}
    with safe_open(path, framework="pt") as file:
        for key in file.keys():  # noqa: SIM118 - not a mapping
            name, _, part = key.rpartition(".")
            if part not in PARTS:
                name, part = _olmo_key(key)
            if name and part in PARTS:
                found.setdefault(name, {})[part] = file.get_tensor(key)
    if not found:
        raise RecipeMismatch("expected tensors called PARAMETER.exp_avg, as in an optimizer state, found none")
    return found


def _olmo_key(key: str) -> tuple[str, str]:
    """Parameter and part that OLMo's name of a tensor stands for; empty for anything else. Nothing is unpickled."""
    if len(key) > LONGEST_KEY:
        return "", ""
    try:
        steps = [
            (op.name, value)
            for op, value, _ in pickletools.genops(base64.urlsafe_b64decode(key))
            if op.name not in _PICKLE_BOOKKEEPING
        ]
    except (binascii.Error, ValueError):
        return "", ""
    texts = [str(value) for name, value in steps[:3] if name in {"SHORT_BINUNICODE", "BINUNICODE"}]
    rest = [name for name, _ in steps[3:]]
    if len(texts) == 3 and texts[0] == "state" and rest == ["TUPLE3", "NEWFALSE", "TUPLE2", "STOP"]:
        return texts[1], texts[2]
    return "", ""


def _torch(path: Path, parameters: tuple[str, ...]) -> Found:
    """The state of an optimizer's `state_dict()`, or of a file that holds one as `optimizer`."""
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(loaded, dict) and "state" not in loaded and isinstance(loaded.get("optimizer"), dict):
        loaded = loaded["optimizer"]
    if not isinstance(loaded, dict) or not isinstance(loaded.get("state"), dict):
        raise RecipeMismatch('no optimizer\'s state_dict: it has no "state"')
    names = _names(loaded, parameters)
    found: Found = {}
    for key, of in loaded["state"].items():
        name = key if isinstance(key, str) else names.get(key)
        if name is None or not isinstance(of, dict):
            raise RecipeMismatch(f"it has a state of parameter {str(key)[:50]}, which no group names")
        found[name] = {
            part: value if isinstance(value, torch.Tensor) else torch.tensor(float(value))
            for part, value in of.items()
            if part in PARTS
        }
        for part, value in found[name].items():
            on_cpu = value.device.type == "cpu"
            if value.layout is not torch.strided or value.is_quantized or value.is_complex() or not on_cpu:
                raise RecipeMismatch(f"{part} of {name[:100]} is not a plain tensor")
    return found


def _names(loaded: Mapping[str, Any], parameters: tuple[str, ...]) -> dict[int, str]:
    """The parameters' names by the numbers that the state gives them; none where it has names itself."""
    if all(isinstance(key, str) for key in loaded["state"]):
        return {}
    groups = loaded.get("param_groups") or []
    if all("param_names" in group for group in groups):
        return {
            number: str(name)
            for group in groups
            for number, name in zip(group["params"], group["param_names"], strict=True)
        }
    numbers = [number for group in groups for number in group["params"]]
    if len(groups) != 1 or numbers != list(range(len(parameters))):
        raise RecipeMismatch(
            f"{len(numbers)} parameters in {len(groups)} groups, by numbers without names; only one group of all "
            f"{len(parameters)} parameters has a known order"
        )
    return dict(enumerate(parameters))


def _by_transformers_names(found: Found, architecture: Architecture) -> Found:
    """OLMo's names as transformers', its joined projections taken apart; other names as they are.

    As in scripts/convert_olmo_to_hf_new.py and convert_olmo2_to_hf.py of allenai/OLMo: `att_proj` is queries, keys and values,
    `ff_proj` is up and gate, each one below the other.
    """
    if not any(name.startswith("transformer.") for name in found):
        return {current_name(name): of for name, of in found.items()}
    kv = architecture.hidden_size * (architecture.num_kv_heads or architecture.num_heads) // architecture.num_heads
    joined = {
        "att_proj": {"self_attn.q_proj": architecture.hidden_size, "self_attn.k_proj": kv, "self_attn.v_proj": kv},
        "ff_proj": {"mlp.up_proj": architecture.intermediate_size, "mlp.gate_proj": architecture.intermediate_size},
    }
    single = {
        "attn_out": "self_attn.o_proj", "ff_out": "mlp.down_proj", "q_norm": "self_attn.q_norm", "k_norm": "self_attn.k_norm",
        "attn_norm": "post_attention_layernorm", "ff_norm": "post_feedforward_layernorm",
    }  # fmt: skip
    tops = {
        "transformer.wte.weight": "model.embed_tokens.weight", "transformer.ff_out.weight": "lm_head.weight",
        "transformer.ln_f.weight": "model.norm.weight",
    }  # fmt: skip
    named: Found = {}
    for name, of in found.items():
        block = _BLOCK.match(name)
        if block and block[2] in single:
            named[f"model.layers.{block[1]}.{single[block[2]]}.{block[3]}"] = of
        elif block and block[2] in joined:
            sizes = joined[block[2]]
            for at, part in enumerate(sizes):
                named[f"model.layers.{block[1]}.{part}.{block[3]}"] = {
                    kind: value if kind == "step" else _rows(name, value, list(sizes.values()), at)
                    for kind, value in of.items()
                }
        else:
            named[tops.get(name, name)] = of
    return named


def _rows(name: str, value: torch.Tensor, sizes: list[int], at: int) -> torch.Tensor:
    if value.ndim == 0 or value.shape[0] != sum(sizes):
        raise RecipeMismatch(f"{name}: expected {sum(sizes)} rows, found the shape {tuple(value.shape)}")
    return value.split(sizes)[at]
