"""A recipe's layers computed for several trainings at once: weights stacked, forwards and backwards by hand.

Every value has the shape (members, batch, ...). Where a model is small, a kernel for all members costs little more than one for
one; autograd and fresh memory would cost more than the arithmetic, so a layer keeps its room from one update to the next.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from openassay.training.recipe import Activation, Conv1d, Gru, Layer, Linear, Reshape, Residual

Weight = tuple[Tensor, Tensor]
"""A parameter of all members, (members, ...), and the room for its gradient."""

_aten = torch.ops.aten


class Stacked(ABC):
    """A layer of all members."""

    has_weights = False

    def __init__(self) -> None:
        self._kept: dict[tuple[object, ...], Tensor] = {}

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """The outputs; they stay as they are until the next `forward`."""

    @abstractmethod
    def backward(self, grad: Tensor, *, needed: bool) -> Tensor:
        """Write the gradient of the weights; gives that of the inputs of the last `forward`, or anything if it is not needed."""

    def room(self, name: str, like: Tensor, *shape: int) -> Tensor:
        """A tensor that is used again: of this name and shape on the device of `like`, or of its shape and order in memory."""
        key = (name, *shape) if shape else (name, like.shape, like.stride())
        if key not in self._kept:
            self._kept[key] = like.new_empty(shape) if shape else torch.empty_like(like)
        return self._kept[key]


class Layers(Stacked):
    """Layers one after another. `weights` come in the order of torch's modules."""

    def __init__(self, layers: tuple[Layer, ...], weights: Iterator[Weight]) -> None:
        super().__init__()
        self._layers = [_stacked(layer, below, weights) for below, layer in zip((None, *layers), layers, strict=False)]
        self.has_weights = any(layer.has_weights for layer in self._layers)

    def forward(self, x: Tensor) -> Tensor:
        """What the last layer gives."""
        for layer in self._layers:
            x = layer.forward(x)
        return x

    def backward(self, grad: Tensor, *, needed: bool = False) -> Tensor:
        """From the gradient of what the last layer gave."""
        for number, layer in reversed(list(enumerate(self._layers))):
            goes_on = needed or any(below.has_weights for below in self._layers[:number])
            grad = layer.backward(grad, needed=goes_on)
            if not goes_on:
                break
        return grad


def _stacked(layer: Layer, below: Layer | None, weights: Iterator[Weight]) -> Stacked:
    match layer:
        case Linear():
            return _Linear(next(weights), next(weights) if layer.bias else None)
        case Conv1d():
            return _Conv1d(layer, next(weights), next(weights))
        case Gru():
            return _Gru([[next(weights) for _ in range(4)] for _ in range(1 + layer.bidirectional)])
        case Activation():
            # a matrix product's own output is not needed again: no second piece of memory for it
            return _Activation(layer, in_place=isinstance(below, Linear | Conv1d) and layer.layer != "gelu")
        case Reshape():
            return _StackedReshape(layer.shape)
        case Residual():
            return _StackedResidual(Layers(layer.layers, weights))


class _Linear(Stacked):
    has_weights = True

    def __init__(self, weight: Weight, bias: Weight | None) -> None:
        super().__init__()
        self._weight, self._of_weight = weight
        self._bias = bias

    def forward(self, x: Tensor) -> Tensor:
        self._shape = x.shape
        self._rows = rows = x.reshape(len(x), -1, x.shape[-1])
        out = self.room("out", x, *rows.shape[:2], self._weight.shape[1])
        if self._bias is None:
            torch.bmm(rows, self._weight.transpose(1, 2), out=out)
        else:
            torch.baddbmm(self._bias[0].unsqueeze(1), rows, self._weight.transpose(1, 2), out=out)
        return out.view(*x.shape[:-1], -1)

    def backward(self, grad: Tensor, *, needed: bool) -> Tensor:
        grad = grad.reshape(len(grad), -1, grad.shape[-1])
        torch.bmm(grad.transpose(1, 2), self._rows, out=self._of_weight)
        if self._bias is not None:
            torch.sum(grad, 1, out=self._bias[1])
        if not needed:
            return grad
        return torch.bmm(grad, self._weight, out=self.room("into", grad, *self._rows.shape)).view(self._shape)


class _Conv1d(Stacked):
    """A matrix product over the patches, with the channels innermost: a patch is then one piece of memory."""

    has_weights = True

    def __init__(self, layer: Conv1d, weight: Weight, bias: Weight) -> None:
        super().__init__()
        self._layer = layer
        self._weight, self._of_weight = weight
        self._bias, self._of_bias = bias

    def forward(self, x: Tensor) -> Tensor:
        of, room = self._layer, self.room
        members, batch, channels, length = x.shape
        wide = length + 2 * of.padding
        count = (wide - of.kernel) // of.stride + 1
        self._padded = padded = room("padded", x, members, batch, wide, channels)
        padded[:, :, : of.padding] = 0
        padded[:, :, of.padding : of.padding + length] = x.transpose(2, 3)
        padded[:, :, of.padding + length :] = 0
        patches = room("patches", x, members, batch, count, of.kernel * channels)
        patches.copy_(padded.as_strided(patches.shape, (*padded.stride()[:2], of.stride * channels, 1)))
        self._patches = patches.flatten(1, 2)
        self._by_patch = self._weight.transpose(2, 3).flatten(2)
        out = room("out", x, members, batch * count, of.outputs)
        torch.baddbmm(self._bias.unsqueeze(1), self._patches, self._by_patch.transpose(1, 2), out=out)
        return out.view(members, batch, count, -1).transpose(2, 3)

    def backward(self, grad: Tensor, *, needed: bool) -> Tensor:
        of, room = self._layer, self.room
        members, batch, _, count = grad.shape
        grad = grad.transpose(2, 3).reshape(members, batch * count, -1)
        of_patch = torch.bmm(grad.transpose(1, 2), self._patches)
        self._of_weight.copy_(of_patch.view(members, of.outputs, of.kernel, of.inputs).transpose(2, 3))
        torch.sum(grad, 1, out=self._of_bias)
        if not needed:
            return grad
        patches = torch.bmm(grad, self._by_patch, out=room("of_patches", grad, *self._patches.shape))
        taps = patches.view(members, batch, count, of.kernel, of.inputs).unbind(3)
        into = room("into", self._padded).zero_()
        for tap, found in enumerate(taps):
            into[:, :, tap : tap + of.stride * (count - 1) + 1 : of.stride] += found
        return into[:, :, of.padding : into.shape[2] - of.padding].transpose(2, 3)


class _Gru(Stacked):
    """Both directions at once, as twice as many members; (members, width, time, batch), so that a step's pieces are long."""

    has_weights = True

    def __init__(self, directions: list[list[Weight]]) -> None:
        super().__init__()
        self._directions = directions

    def forward(self, x: Tensor) -> Tensor:
        room, ways = self.room, len(self._directions)
        members, batch, length, inputs = x.shape
        self._w_in, self._w_own, b_in, b_own = (
            torch.stack([value for value, _ in of], 1).flatten(0, 1) for of in zip(*self._directions, strict=True)
        )
        self._b_own = b_own.unsqueeze(2)
        both, hidden = members * ways, self._w_own.shape[2]
        steps = room("steps", x, members, ways, inputs, length, batch)
        _each_way(steps, x.permute(0, 3, 2, 1).unsqueeze(1).expand_as(steps))
        self._steps = steps.view(both, inputs, -1)
        self._gates = gates = room("gates", x, both, 3 * hidden, length, batch)
        torch.baddbmm(b_in.unsqueeze(2), self._w_in, self._steps, out=gates.flatten(2))
        self._states = states = room("states", x, both, hidden, length + 1, batch)
        states[:, :, 0] = 0
        own = room("own", x, both, 3 * hidden, batch)
        own_rz, own_n = own.split((2 * hidden, hidden), 1)
        state = states.unbind(2)
        r, z, n = (part.unbind(2) for part in gates.split(hidden, 1))
        for t, rz in enumerate(gates[:, : 2 * hidden].unbind(2)):
            torch.baddbmm(self._b_own, self._w_own, state[t], out=own)
            rz.add_(own_rz).sigmoid_()
            n[t].addcmul_(r[t], own_n).tanh_()
            torch.lerp(n[t], state[t], z[t], out=state[t + 1])
        out = room("out", x, members, batch, length, ways, hidden)
        _each_way(out.permute(0, 3, 4, 2, 1), states[:, :, 1:].unflatten(0, (members, ways)))
        return out.flatten(3)

    def backward(self, grad: Tensor, *, needed: bool) -> Tensor:
        room, ways = self.room, len(self._directions)
        members, batch, length, _ = grad.shape
        both, hidden = self._w_own.shape[0], self._w_own.shape[2]
        of_states = room("of_states", grad, members, ways, hidden, length, batch)
        _each_way(of_states, grad.unflatten(3, (ways, hidden)).permute(0, 3, 4, 2, 1))
        of_states = of_states.view(both, hidden, length, batch)
        r, z, n = self._gates.split(hidden, 1)
        before = self._states[:, :, :-1]
        errors = room("errors", grad, both, 3 * hidden, length, batch)
        of_r, of_z, of_own = errors.split(hidden, 1)
        spare, of_n = (room(name, grad, *of_states.shape) for name in ("spare", "of_n"))
        # First, by how much each gate's argument moves the next state, for all steps; then step by step backwards.
        torch.sub(1, z, out=spare)
        _aten.tanh_backward.grad_input(spare, n, grad_input=of_n)
        torch.mul(of_n, r, out=of_own)
        own_n = (self._b_own[:, 2 * hidden :], self._w_own[:, 2 * hidden :])
        torch.baddbmm(*own_n, before.flatten(2), out=spare.flatten(2)).view_as(spare).mul_(of_n)
        _aten.sigmoid_backward.grad_input(spare, r, grad_input=of_r)
        torch.sub(before, n, out=spare)
        _aten.sigmoid_backward.grad_input(spare, z, grad_input=of_z)
        back = self._w_own.transpose(1, 2)
        of_state, of_gates, keep = of_states.unbind(2), errors.unbind(2), z.unbind(2)
        for t in range(length - 1, -1, -1):
            of_gates[t].unflatten(1, (3, hidden)).mul_(of_state[t].unsqueeze(1))
            if t:
                of_state[t - 1].addcmul_(of_state[t], keep[t]).baddbmm_(back, of_gates[t])
        flat = errors.flatten(2)
        own = torch.bmm(flat, before.flatten(2).transpose(1, 2)), flat.sum(2)
        torch.mul(of_states, of_n, out=of_own)  # from here on of what the inputs give, which `r` does not weaken
        given = torch.bmm(flat, self._steps.transpose(1, 2)), flat.sum(2)
        for way, weights in enumerate(self._directions):
            for (_, of), found in zip(weights, (given[0], own[0], given[1], own[1]), strict=True):
                of.copy_(found[way::ways])
        if not needed:
            return grad
        into = torch.bmm(self._w_in.transpose(1, 2), flat).view(members, ways, -1, length, batch)
        there = torch.empty_like(into)
        _each_way(there, into)
        return there.sum(1).permute(0, 3, 2, 1)


def _each_way(to: Tensor, given: Tensor) -> None:
    """Copy (members, directions, width, time, batch), the second direction from the last step to the first."""
    to[:, 0] = given[:, 0]
    if given.shape[1] == 2:
        to[:, 1] = given[:, 1].flip(2)


_FORWARD: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "relu": lambda x, out: torch.clamp_min(x, 0, out=out),
    "tanh": lambda x, out: torch.tanh(x, out=out),
    "gelu": lambda x, out: _aten.gelu.out(x, out=out),
    "sigmoid": lambda x, out: torch.sigmoid(x, out=out),
}
_BACKWARD: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "relu": lambda grad, _x, out, into: _aten.threshold_backward.grad_input(grad, out, 0, grad_input=into),
    "tanh": lambda grad, _x, out, into: _aten.tanh_backward.grad_input(grad, out, grad_input=into),
    "gelu": lambda grad, x, _out, into: _aten.gelu_backward.grad_input(grad, x, grad_input=into),
    "sigmoid": lambda grad, _x, out, into: _aten.sigmoid_backward.grad_input(grad, out, grad_input=into),
}


class _Activation(Stacked):
    def __init__(self, layer: Activation, *, in_place: bool) -> None:
        super().__init__()
        self._name, self._in_place = layer.layer, in_place

    def forward(self, x: Tensor) -> Tensor:
        self._x, self._out = x, x if self._in_place else self.room("out", x)
        return _FORWARD[self._name](x, self._out)

    def backward(self, grad: Tensor, *, needed: bool) -> Tensor:  # noqa: ARG002 - as every layer
        return _BACKWARD[self._name](grad, self._x, self._out, self.room("into", grad))


class _StackedReshape(Stacked):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self._shape = shape

    def forward(self, x: Tensor) -> Tensor:
        self._given = x.shape
        return x.reshape(*x.shape[:2], *self._shape)

    def backward(self, grad: Tensor, *, needed: bool) -> Tensor:  # noqa: ARG002 - as every layer
        return grad.reshape(self._given)


class _StackedResidual(Stacked):
    def __init__(self, inner: Layers) -> None:
        super().__init__()
        self._inner = inner
        self.has_weights = inner.has_weights

    def forward(self, x: Tensor) -> Tensor:
        given = self._inner.forward(x)
        self._shapes = x.shape, given.shape
        if x.shape != given.shape:
            return x + given
        return torch.add(x, given, out=self.room("out", given))

    def backward(self, grad: Tensor, *, needed: bool) -> Tensor:
        own, inner = (grad.sum_to_size(shape) for shape in self._shapes)
        into = self._inner.backward(inner, needed=needed)
        return torch.add(own, into, out=self.room("into", into)) if needed else grad
