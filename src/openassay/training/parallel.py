"""How are several trainings done at once? The weights of all are stacked, and each layer is computed for all together.

A member is one training of `trainer.train`: the same initial weights, batches and settings, and the same numbers but for rounding. A
small model spends its time between kernels, not in them, so that several cost little more than one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from openassay.metrics import METRICS
from openassay.training import trainer
from openassay.training.recipe import (
    Activation,
    Conv1d,
    Gru,
    Layer,
    Linear,
    Optimizer,
    Reshape,
    Residual,
    Schedule,
    TrainingRecipe,
)

Arrays = dict[str, NDArray[np.generic]]


def forward(layers: tuple[Layer, ...], weights: Iterator[Tensor], x: Tensor) -> Tensor:
    """What the layers of every member give; shape (members, batch, ...). `weights` are stacked, in the order of torch's modules."""
    for layer in layers:
        match layer:
            case Linear():
                x = _linear(x, next(weights), next(weights) if layer.bias else None)
            case Conv1d():
                x = CONV(x, next(weights), next(weights), layer)
            case Gru():
                x = _gru(x, [[next(weights) for _ in range(4)] for _ in range(1 + layer.bidirectional)])
            case Activation():
                x = _ACTIVATIONS[layer.layer](x)
            case Reshape():
                x = x.reshape(*x.shape[:2], *layer.shape)
            case Residual():
                x = x + forward(layer.layers, weights, x)
    return x


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu, "tanh": torch.tanh, "gelu": nn.functional.gelu, "sigmoid": torch.sigmoid,
}  # fmt: skip


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    rows = x.flatten(1, -2)
    w = weight.transpose(1, 2)
    out = torch.bmm(rows, w) if bias is None else torch.baddbmm(bias[:, None], rows, w)
    return out.view(*x.shape[:-1], -1)


def conv_grouped(x: Tensor, weight: Tensor, bias: Tensor, layer: Conv1d) -> Tensor:
    k, b = x.shape[:2]
    out = nn.functional.conv1d(
        x.transpose(0, 1).reshape(b, -1, x.shape[-1]), weight.flatten(0, 1), bias.flatten(), layer.stride, layer.padding, groups=k
    )
    return out.view(b, k, -1, out.shape[-1]).transpose(0, 1)


def conv_unfold(x: Tensor, weight: Tensor, bias: Tensor, layer: Conv1d) -> Tensor:
    k, b, c, _ = x.shape
    if layer.padding:
        x = nn.functional.pad(x, (layer.padding, layer.padding))
    patches = x.unfold(-1, layer.kernel, layer.stride)  # K,B,C,L,k
    n = patches.shape[3]
    rows = patches.permute(0, 1, 3, 2, 4).reshape(k, b * n, -1)
    out = torch.baddbmm(bias[:, None], rows, weight.flatten(2).transpose(1, 2))
    return out.view(k, b, n, -1).transpose(2, 3)

CONV = conv_grouped


class _Recurrence(torch.autograd.Function):
    """The recurrent part of a GRU, for all members and directions: one short loop over the time steps each way."""

    @staticmethod
    def forward(ctx, given, weight, bias):
        """`given`: what the inputs add to the gates, (members, time, batch, 3 hidden); gives every step's state."""
        members, length, batch, wide = given.shape
        hidden = wide // 3
        w, b = weight.transpose(1, 2), bias[:, None]
        gates = torch.empty_like(given)  # r, z, n
        recurrent = torch.empty_like(given)
        states = given.new_zeros(members, length + 1, batch, hidden)
        for t in range(length):
            h = states[:, t]
            own, gate = recurrent[:, t], gates[:, t]
            torch.baddbmm(b, h, w, out=own)
            rz = gate[..., : 2 * hidden]
            torch.add(given[:, t, :, : 2 * hidden], own[..., : 2 * hidden], out=rz).sigmoid_()
            n = gate[..., 2 * hidden :]
            torch.addcmul(given[:, t, :, 2 * hidden :], gate[..., :hidden], own[..., 2 * hidden :], out=n).tanh_()
            torch.lerp(n, h, gate[..., hidden : 2 * hidden], out=states[:, t + 1])
        ctx.save_for_backward(weight, gates, recurrent, states)
        return states[:, 1:]

    @staticmethod
    def backward(ctx, grad):
        weight, gates, recurrent, states = ctx.saved_tensors
        members, length, batch, wide = gates.shape
        hidden = wide // 3
        before = states[:, :-1]
        r, z, n = gates.split(hidden, -1)
        # how the gates' arguments change the next state
        of_n = (1 - z) * (1 - n * n)
        slopes = torch.empty_like(gates)
        torch.mul(of_n * recurrent[..., 2 * hidden :], r * (1 - r), out=slopes[..., :hidden])
        torch.mul((before - n) * z, 1 - z, out=slopes[..., hidden : 2 * hidden])
        torch.mul(of_n, r, out=slopes[..., 2 * hidden :])
        slopes = slopes.view(members, length, batch, 3, hidden)
        errors = torch.empty_like(slopes)
        of_states = torch.empty_like(of_n)
        after = None
        for t in range(length - 1, -1, -1):
            of_state = of_states[:, t]
            if after is None:
                of_state.copy_(grad[:, t])
            else:
                torch.add(grad[:, t], after, out=of_state)
            error = errors[:, t]
            torch.mul(slopes[:, t], of_state.unsqueeze(-2), out=error)
            after = torch.baddbmm(of_state * z[:, t], error.flatten(-2), weight)
        errors = errors.view(gates.shape)
        flat = errors.flatten(1, 2)
        grad_weight = torch.bmm(flat.transpose(1, 2), before.flatten(1, 2))
        grad_bias = flat.sum(1)
        torch.mul(of_states, of_n, out=errors[..., 2 * hidden :])  # reuse
        return errors, grad_weight, grad_bias


def _gru(x: Tensor, directions: list[list[Tensor]]) -> Tensor:
    members, batch, length, _ = x.shape
    w_in, w_own, b_in, b_own = (torch.stack(of, 1).flatten(0, 1) for of in zip(*directions, strict=True))
    steps = x.transpose(1, 2)
    both = torch.stack([steps, steps.flip(1)][: len(directions)], 1).flatten(0, 1)  # (members x directions, time, batch, inputs)
    given = torch.baddbmm(b_in[:, None], both.flatten(1, 2), w_in.transpose(1, 2))
    states = _Recurrence.apply(given.view(*both.shape[:-1], -1), w_own, b_own)
    states = states.unflatten(0, (members, len(directions)))
    there = [states[:, 0], *([states[:, 1].flip(1)] if len(directions) == 2 else [])]
    return torch.cat(there, -1).transpose(1, 2)
