"""How are a recipe's layers computed for several trainings at once? Weights stacked, forwards and backwards by hand.

Every value has the shape (members, batch, ...). A kernel that works for all members costs little more than for one where the model is
small; autograd and fresh memory would cost more than the arithmetic, so each layer keeps its room from one update to the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from openassay.training.recipe import Activation, Conv1d, Gru, Layer, Linear, Reshape, Residual

Weights = Iterator[tuple[Tensor, Tensor]]
"""Each parameter of a model, stacked, with the room for its gradient; in the order of torch's modules."""


class Stacked(Protocol):
    """A layer, for all members."""

    def forward(self, x: Tensor) -> Tensor:
        """The outputs. They stay as they are until the next `forward`."""
        ...

    def backward(self, grad: Tensor) -> Tensor:
        """The gradient of the inputs of the last `forward`; those of the weights are written to their room."""
        ...


class Room:
    """Tensors that are used again, one for each name and shape."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, tuple[int, ...]], Tensor] = {}

    def __call__(self, name: str, like: Tensor, shape: tuple[int, ...]) -> Tensor:
        key = name, shape
        if key not in self._kept:
            self._kept[key] = like.new_empty(shape)
        return self._kept[key]


class Sequence:
    """Layers one after another."""

    def __init__(self, layers: tuple[Layer, ...], weights: Weights) -> None:
        self.layers = [_stacked(layer, weights) for layer in layers]

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, grad: Tensor) -> Tensor:
        for layer in reversed(self.layers):
            grad = layer.backward(grad)
        return grad


def _stacked(layer: Layer, weights: Weights) -> Stacked:
    match layer:
        case Linear():
            return _Linear(next(weights), next(weights) if layer.bias else None)
        case Conv1d():
            return _Conv1d(layer, next(weights), next(weights))
        case Gru():
            return _Gru(layer, [[next(weights) for _ in range(4)] for _ in range(1 + layer.bidirectional)])
        case Activation():
            return _Activation(layer.layer)
        case Reshape():
            return _Reshape(layer.shape)
        case Residual():
            return _Residual(Sequence(layer.layers, weights))


class _Linear:
    def __init__(self, weight: tuple[Tensor, Tensor], bias: tuple[Tensor, Tensor] | None) -> None:
        self.weight, self.of_weight = weight
        self.bias, self.of_bias = bias or (None, None)
        self.room = Room()

    def forward(self, x: Tensor) -> Tensor:
        self.shape = x.shape
        self.rows = rows = x.reshape(len(x), -1, x.shape[-1])
        out = self.room("out", x, (*rows.shape[:2], self.weight.shape[1]))
        if self.bias is None:
            torch.bmm(rows, self.weight.transpose(1, 2), out=out)
        else:
            torch.baddbmm(self.bias[:, None], rows, self.weight.transpose(1, 2), out=out)
        return out.view(*x.shape[:-1], -1)

    def backward(self, grad: Tensor) -> Tensor:
        grad = grad.reshape(len(grad), -1, grad.shape[-1])
        torch.bmm(grad.transpose(1, 2), self.rows, out=self.of_weight)
        if self.of_bias is not None:
            torch.sum(grad, 1, out=self.of_bias)
        into = self.room("in", grad, (*self.rows.shape,))
        return torch.bmm(grad, self.weight, out=into).view(self.shape)


class _Conv1d:
    """A matrix product over the patches, with the channels innermost: patches are then copied in long pieces."""

    def __init__(self, layer: Conv1d, weight: tuple[Tensor, Tensor], bias: tuple[Tensor, Tensor]) -> None:
        self.layer = layer
        self.weight, self.of_weight = weight
        self.bias, self.of_bias = bias
        self.room = Room()

    def forward(self, x: Tensor) -> Tensor:
        members, batch, channels, length = x.shape
        of = self.layer
        wide = length + 2 * of.padding
        count = (wide - of.kernel) // of.stride + 1
        padded = self.room("padded", x, (members, batch, wide, channels))
        if of.padding:
            padded[:, :, : of.padding] = 0
            padded[:, :, wide - of.padding :] = 0
        padded[:, :, of.padding : of.padding + length] = x.transpose(2, 3)
        patches = self.room("patches", x, (members, batch, count, of.kernel * channels))
        rows = padded.as_strided(patches.shape, (*padded.stride()[:2], of.stride * channels, 1))
        patches.copy_(rows)
        self.patches = patches.flatten(1, 2)
        self.shape = members, batch, wide, channels, count
        self.by_patch = self.weight.transpose(2, 3).flatten(2)
        out = self.room("out", x, (members, batch * count, of.outputs))
        torch.baddbmm(self.bias[:, None], self.patches, self.by_patch.transpose(1, 2), out=out)
        return out.view(members, batch, count, -1).transpose(2, 3)

    def backward(self, grad: Tensor) -> Tensor:
        of = self.layer
        members, batch, wide, channels, count = self.shape
        grad = grad.transpose(2, 3).reshape(members, batch * count, -1)
        of_patch = torch.bmm(grad.transpose(1, 2), self.patches)
        self.of_weight.copy_(of_patch.view(members, -1, of.kernel, channels).transpose(2, 3))
        torch.sum(grad, 1, out=self.of_bias)
        patches = self.room("of_patches", grad, (*self.patches.shape,))
        torch.bmm(grad, self.by_patch, out=patches)
        patches = patches.view(members, batch, count, of.kernel, channels)
        into = self.room("in", grad, (members, batch, wide, channels)).zero_()
        for tap in range(of.kernel):
            into[:, :, tap : tap + of.stride * (count - 1) + 1 : of.stride].add_(patches[:, :, :, tap])
        return into[:, :, of.padding : wide - of.padding].transpose(2, 3)


class _Gru:
    """Both directions at once, as twice as many members; (members, hidden, time, batch), so that a step's pieces are long."""

    def __init__(self, layer: Gru, directions: list[list[tuple[Tensor, Tensor]]]) -> None:
        self.layer, self.directions = layer, directions
        self.room = Room()

    def _of(self, x: Tensor) -> Tensor:
        """(members, batch, time, directions x width), as (members x directions, width, time, batch)."""
        members, batch, length, _ = x.shape
        d = len(self.directions)
        parts = x.view(members, batch, length, d, -1).permute(3, 0, 4, 2, 1)
        return parts

    def forward(self, x: Tensor) -> Tensor:
        members, batch, length, inputs = x.shape
        hidden, d = self.layer.hidden, len(self.directions)
        both = members * d
        self.w_in, self.w_own, b_in, b_own = (
            torch.stack([value for value, _ in of], 1).flatten(0, 1) for of in zip(*self.directions, strict=True)
        )
        self.b_own = b_own.unsqueeze(2)
        steps = self.room("steps", x, (members, d, inputs, length, batch))
        steps[:, 0] = x.permute(0, 3, 2, 1)
        if d == 2:
            steps[:, 1] = steps[:, 0].flip(2)
        self.steps = steps.view(both, inputs, length * batch)
        gates = self.room("gates", x, (both, 3 * hidden, length, batch))
        torch.baddbmm(b_in.unsqueeze(2), self.w_in, self.steps, out=gates.flatten(2))
        states = self.room("states", x, (both, hidden, length + 1, batch))
        states[:, :, 0] = 0
        own = self.room("own", x, (both, 3 * hidden, batch))
        own_rz, own_n = own[:, : 2 * hidden], own[:, 2 * hidden :]
        of_states = states.unbind(2)
        for t, (rz, r, z, n) in enumerate(
            zip(
                gates[:, : 2 * hidden].unbind(2),
                *(part.unbind(2) for part in gates.split(hidden, 1)),
                strict=True,
            )
        ):
            h = of_states[t]
            torch.baddbmm(self.b_own, self.w_own, h, out=own)
            rz.add_(own_rz).sigmoid_()
            n.addcmul_(r, own_n).tanh_()
            torch.lerp(n, h, z, out=of_states[t + 1])
        self.gates, self.states = gates, states
        out = self.room("out", x, (members, batch, length, d, hidden))
        there = states[:, :, 1:].unflatten(0, (members, d)).permute(0, 4, 3, 1, 2)  # K,B,T,D,H
        out[..., 0, :] = there[..., 0, :]
        if d == 2:
            out[..., 1, :] = there[..., 1, :].flip(2)
        return out.flatten(3)

    def backward(self, grad: Tensor) -> Tensor:
        members, batch, length, _ = grad.shape
        hidden, d = self.layer.hidden, len(self.directions)
        both = members * d
        room = self.room
        parts = grad.reshape(members, batch, length, d, hidden).permute(0, 3, 4, 2, 1)  # K,D,H,T,B
        of_states = room("of_states", grad, (members, d, hidden, length, batch))
        of_states[:, 0] = parts[:, 0]
        if d == 2:
            of_states[:, 1] = parts[:, 1].flip(2)
        of_states = of_states.view(both, hidden, length, batch)
        r, z, n = self.gates.split(hidden, 1)
        before = self.states[:, :, :-1]
        shape = (both, hidden, length, batch)
        # how much each gate's argument changes the next state
        errors = room("errors", grad, (both, 3 * hidden, length, batch))
        of_r, of_z, of_own = errors.split(hidden, 1)
        spare, of_n = room("spare", grad, shape), room("of_n", grad, shape)
        aten = torch.ops.aten
        torch.sub(1, z, out=spare)
        aten.tanh_backward.grad_input(spare, n, grad_input=of_n)
        torch.mul(of_n, r, out=of_own)
        torch.baddbmm(self.b_own[:, 2 * hidden :], self.w_own[:, 2 * hidden :], before.flatten(2), out=spare.flatten(2))
        spare.mul_(of_n)
        aten.sigmoid_backward.grad_input(spare, r, grad_input=of_r)
        torch.sub(before, n, out=spare)
        aten.sigmoid_backward.grad_input(spare, z, grad_input=of_z)
        back = self.w_own.transpose(1, 2)
        of_state, of_gates = of_states.unbind(2), errors.unbind(2)
        by_gate = errors.view(both, 3, hidden, length, batch).unbind(3)
        keep = z.unbind(2)
        for t in range(length - 1, -1, -1):
            by_gate[t].mul_(of_state[t].unsqueeze(1))
            if t:
                of_state[t - 1].addcmul_(of_state[t], keep[t]).baddbmm_(back, of_gates[t])
        flat = errors.flatten(2)
        of_w_own, of_b_own = torch.bmm(flat, before.flatten(2).transpose(1, 2)), flat.sum(2)
        torch.mul(of_states, of_n, out=of_own)
        of_w_in, of_b_in = torch.bmm(flat, self.steps.transpose(1, 2)), flat.sum(2)
        for number, direction in enumerate(self.directions):
            for (_, of), found in zip(direction, (of_w_in, of_w_own, of_b_in, of_b_own), strict=True):
                of.copy_(found[number::d])
        into = torch.bmm(self.w_in.transpose(1, 2), flat).view(members, d, -1, length, batch)
        whole = into[:, 0] + into[:, 1].flip(2) if d == 2 else into[:, 0]
        return whole.permute(0, 3, 2, 1)


class _Activation:
    def __init__(self, name: str) -> None:
        self.name = name
        self.room = Room()

    def _like(self, name: str, x: Tensor) -> Tensor:
        key = name, (*x.shape,)
        kept = self.room._kept
        if key not in kept:
            kept[key] = torch.empty_like(x)
        return kept[key]

    def forward(self, x: Tensor) -> Tensor:
        out = self._like("out", x)
        match self.name:
            case "relu":
                torch.clamp_min(x, 0, out=out)
            case "tanh":
                torch.tanh(x, out=out)
            case "sigmoid":
                torch.sigmoid(x, out=out)
            case "gelu":
                torch.ops.aten.gelu.out(x, out=out)
        self.kept = x if self.name == "gelu" else out
        return out

    def backward(self, grad: Tensor) -> Tensor:
        into = self._like("in", grad)
        aten = torch.ops.aten
        match self.name:
            case "relu":
                aten.threshold_backward.grad_input(grad, self.kept, 0, grad_input=into)
            case "tanh":
                aten.tanh_backward.grad_input(grad, self.kept, grad_input=into)
            case "sigmoid":
                aten.sigmoid_backward.grad_input(grad, self.kept, grad_input=into)
            case "gelu":
                aten.gelu_backward.grad_input(grad, self.kept, grad_input=into)
        return into


class _Reshape:
    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        self.given = x.shape
        return x.reshape(*x.shape[:2], *self.shape)

    def backward(self, grad: Tensor) -> Tensor:
        return grad.reshape(self.given)


class _Residual:
    def __init__(self, inner: Sequence) -> None:
        self.inner = inner
        self.room = Room()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.inner.forward(x)
        return torch.add(x, inner, out=self.room("out", x, (*torch.broadcast_shapes(x.shape, inner.shape),)))

    def backward(self, grad: Tensor) -> Tensor:
        return grad + self.inner.backward(grad)
