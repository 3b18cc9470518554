"""The recipe's optimizer over the network's parameters, each kind with its own decay and rate."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers.optimization import Adafactor

from openassay.training.initial import EMBEDDINGS
from openassay.training.language import ADAM, LanguageOptimizer
from openassay.training.mismatch import RecipeMismatch


def make_optimizer(stated: LanguageOptimizer, model: nn.Module) -> torch.optim.Optimizer:
    """The stated optimizer with a rate of 0; its groups have a `multiplier` on it. `RecipeMismatch` for what it cannot have."""
    _check(stated)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    unused = set(stated.lr_multipliers)
    for name, kind, parameter in kinds(model):
        decay = 0.0 if kind in stated.not_decayed else stated.weight_decay
        parts = [part for part in stated.lr_multipliers if part in name]
        unused -= set(parts)
        factor = math.prod(stated.lr_multipliers[part] for part in parts)
        groups.setdefault((decay, factor), []).append(parameter)
    if unused:
        raise RecipeMismatch(f"optimizer.lr_multipliers: no parameter's name has {min(unused)!r} in it")
    listed: list[dict[str, Any]] = [
        {"params": members, "weight_decay": decay, "multiplier": multiplier}
        for (decay, multiplier), members in groups.items()
    ]
    if stated.name == "sgd":
        return torch.optim.SGD(listed, lr=0.0)
    if stated.name == "adafactor":
        for group in listed:
            group["factored_from"] = stated.factored_from
        return MeshAdafactor(
            listed, lr=0.0, eps=(stated.eps, 1e-3), scale_parameter=stated.scaled_by_parameter, relative_step=False
        )
    if stated.name == "lion":
        return Lion(listed, lr=0.0, betas=stated.betas)
    make = torch.optim.AdamW if stated.name == "adamw" else torch.optim.Adam
    return make(listed, lr=0.0, betas=stated.betas, eps=stated.eps, fused=True)


def _check(stated: LanguageOptimizer) -> None:
    has = {"betas": (*ADAM, "lion"), "eps": (*ADAM, "adafactor")}
    needed = [key for key, names in has.items() if stated.name in names]
    if any(getattr(stated, key) is None for key in needed):
        raise RecipeMismatch(
            f"optimizer: the release does not state {' or '.join(needed)}, and the trainer does not guess them"
        )
    if odd := [key for key, names in has.items() if stated.name not in names and getattr(stated, key) is not None]:
        raise RecipeMismatch(
            f"optimizer.{odd[0]}: {stated.name} has none, and the recipe says {getattr(stated, odd[0])}"
        )
    if stated.name != "adafactor" and not (stated.scaled_by_parameter and stated.factored_from == 128):
        raise RecipeMismatch(f"optimizer: scaled_by_parameter and factored_from are Adafactor's, not {stated.name}'s")


def kinds(model: nn.Module) -> Iterator[tuple[str, str, nn.Parameter]]:
    """Every parameter once, with its name and what it is: `norm`, `bias`, `embedding` or `matrix`."""
    norms = {
        id(p) for module in model.modules() if "Norm" in type(module).__name__ for p in module.parameters(recurse=False)
    }
    for name, parameter in model.named_parameters():
        if id(parameter) in norms:
            yield name, "norm", parameter
        elif name.endswith(".bias"):
            yield name, "bias", parameter
        else:
            yield name, "embedding" if name.endswith(EMBEDDINGS) else "matrix", parameter


class Lion(torch.optim.Optimizer):  # type: ignore[misc]
    """Chen et al. (2023), arXiv:2302.06675, algorithm 2, with decoupled decay: OLMo's LionW takes the same steps."""

    def __init__(self, params: Any, lr: float, betas: tuple[float, float] | None) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": 0.0})

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, closure: None = None) -> None:  # noqa: ARG002 - torch's signature
        """Decay, then a step of the rate's size against the sign of gradient and moment mixed."""
        for group in self.param_groups:
            (now, later), rate = group["betas"], group["lr"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                moment: Tensor = state.setdefault("exp_avg", torch.zeros_like(parameter))
                parameter.mul_(1 - rate * group["weight_decay"])
                parameter.sub_(rate * torch.sign(moment * now + parameter.grad * (1 - now)))
                moment.mul_(later).add_(parameter.grad, alpha=1 - later)


class MeshAdafactor(Adafactor):  # type: ignore[misc]
    """transformers' Adafactor as Mesh TensorFlow's: only matrices that are large both ways are factored.

    In the rest they agree (mesh_tensorflow/optimize.py): second moments decay by 1 - step^-0.8, an update's root mean square is
    at most 1, and the rate is multiplied by the matrix's, at least 1e-3. torch's own Adafactor is another: it bounds the rate by
    1/sqrt(step).
    """

    @staticmethod
    def _get_options(param_group: dict[str, Any], param_shape: tuple[int, ...]) -> tuple[bool, bool]:
        return len(param_shape) >= 2 and min(param_shape) >= param_group["factored_from"], False
