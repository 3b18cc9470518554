"""One training spread over several devices, a process each: weights, gradients and moments are sharded (FSDP2).

Each device takes its part of every batch and gradients are averaged, so that the training is the one-device one up to rounding.
The processes are ours: they begin with the training and end with it, and speak with this one through pipes.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import weakref
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, cast

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from openassay.faults import Fault
from openassay.training.language import LanguageRecipe
from openassay.training.lm import LanguageTraining, Log
from openassay.training.mismatch import RecipeMismatch
from openassay.training.network import build
from openassay.training.numerics import Items, Moments, Tokens, Weights

LARGE_BATCH = 2**18
"""Tokens of an update from which several devices are worth their processes."""
STATE_BYTES = 16
"""Of a parameter in training: weight, gradient and two moments in fp32."""
PATIENCE = timedelta(minutes=30)
"""How long a device waits for the others."""


def train_on(
    recipe: LanguageRecipe, weights: Weights, *, device: str = "cpu", **options: Any
) -> LanguageTraining | ShardedTraining:
    """A training on this device, or on all GPUs where `cuda` is asked for, several are there and the recipe is large enough."""
    devices = gpus_for(recipe, weights) if device == "cuda" else 1
    if devices > 1:
        return ShardedTraining(recipe, weights, devices=tuple(f"cuda:{at}" for at in range(devices)), **options)
    return LanguageTraining(recipe, weights, device=device, **options)


def gpus_for(recipe: LanguageRecipe, weights: Weights) -> int:
    """The number of this machine's GPUs that a training of this recipe should take."""
    most = next(n for n in range(max(1, torch.cuda.device_count()), 0, -1) if recipe.batch_size % n == 0)
    if most == 1:
        return 1
    state = STATE_BYTES * sum(value.size for value in weights.values())
    fits = state < torch.cuda.get_device_properties(0).total_memory / 2
    return 1 if fits and recipe.batch_size * recipe.data.sequence_length < LARGE_BATCH else most


class ShardedTraining:
    """As `LanguageTraining`, on several devices."""

    def __init__(self, recipe: LanguageRecipe, weights: Weights, *, devices: tuple[str, ...], **options: Any) -> None:
        if recipe.batch_size % len(devices):
            raise RecipeMismatch(
                f"batch_size: {recipe.batch_size} sequences cannot be shared equally by {len(devices)} devices"
            )
        if recipe.optimizer.name == "adafactor":
            raise RecipeMismatch("optimizer.name: adafactor needs whole matrices, which several devices do not hold")
        self.recipe, self.step = recipe, options.get("step", 0)
        # a process with CUDA under way cannot be forked, and spawned ones import everything anew
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self._pipes: list[Connection] = []
        self._processes: list[BaseProcess] = []
        self._end = weakref.finalize(self, _end, self._pipes, self._processes)
        port = _free_port()
        for rank, device in enumerate(devices):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(rank, len(devices), device, port, theirs), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        self._ask("begin", recipe, _arrays(weights), options)

    def advance(self, tokens: Tokens, to: int) -> None:
        """As `LanguageTraining.advance`: this process reads the tokens."""
        while self.step < to:
            self._ask("update", tokens.items(self.step * self.recipe.batch_size, self.recipe.batch_size))
            self.step += 1

    def put(self, weights: Weights) -> None:
        """As `LanguageTraining.put`."""
        self._ask("put", _arrays(weights))

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """All weights as they are now (copies)."""
        return cast("dict[str, NDArray[np.float32]]", self._ask("weights"))

    def moments(self) -> Moments:
        """As `LanguageTraining.moments`."""
        return cast("Moments", self._ask("moments"))

    def log(self) -> Log:
        """As `LanguageTraining.log`."""
        return cast("Log", self._ask("log"))

    @property
    def num_skipped(self) -> int:
        """The number of updates that fp16 left out."""
        return cast("int", self._ask("num_skipped"))

    def sequence_losses(self, items: Items) -> NDArray[np.float64]:
        """As `LanguageTraining.sequence_losses`."""
        return cast("NDArray[np.float64]", self._ask("sequence_losses", np.asarray(items)))

    def close(self) -> None:
        """End the processes; done by itself when the training is no longer used."""
        self._end()

    def _ask(self, what: str, *given: Any) -> Any:
        """Let every device call this method of its part, or read this value; returns the first one's answer."""
        answers: dict[Connection, Any] = {}
        try:
            for pipe in self._pipes:
                pipe.send((what, given))
            while waiting := [pipe for pipe in self._pipes if pipe not in answers]:
                ready = wait(waiting)
                for pipe in waiting:
                    if pipe in ready:
                        answers[pipe] = pipe.recv()
                    if isinstance(answers.get(pipe), Exception):
                        raise answers[pipe]
        except (EOFError, OSError):
            self.close()
            raise Fault(
                "a device's process ended while it trained: it had too little memory, or was ended from outside. Stop other "
                "processes on this machine, then run the command again"
            ) from None
        except Exception:  # the others wait for the one that failed
            self.close()
            raise
        return answers[self._pipes[0]]


def _arrays(weights: Weights) -> dict[str, NDArray[Any]]:
    return {name: np.asarray(value) for name, value in weights.items()}


def _end(pipes: list[Connection], processes: list[BaseProcess]) -> None:
    for pipe in pipes:
        pipe.close()
    for process in processes:
        process.join(timeout=5)
        if process.is_alive():
            process.kill()
            process.join()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


# In a device's process ------------------------------------------------------------------------------------------------


class _Shard(LanguageTraining):
    """One device's part of a training."""

    def __init__(self, rank: int, mesh: DeviceMesh, recipe: LanguageRecipe, weights: Weights, **options: Any) -> None:
        self._mesh, self.rank, self.num_devices = mesh, rank, mesh.size()
        super().__init__(recipe, weights, **options)

    def _model(self, weights: Weights) -> Any:
        """Built and filled on the CPU, then sharded: no device ever holds it whole."""
        model = build(self.recipe.architecture, self.numerics.attention)
        self._put(model, weights)
        blocks = set(model._no_split_modules)
        for module in model.modules():
            if type(module).__name__ in blocks:
                fully_shard(module, mesh=self._mesh)
        fully_shard(model, mesh=self._mesh, reshard_after_forward=True)  # else it stays whole after an evaluation
        return model.to(self.device)

    def _whole(self, tensor: Tensor) -> Tensor:
        return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor

    def _placed(self, whole: Tensor, like: Tensor) -> Tensor:
        if not isinstance(like, DTensor):
            return whole.to(like)
        return distribute_tensor(whole.to(like.device, like.dtype), like.device_mesh, like.placements)

    def _mean(self, loss: Tensor) -> Tensor:
        whole = loss.clone()
        dist.all_reduce(whole)
        return whole / self.num_devices


def _serve(rank: int, size: int, device: str, port: int, pipe: Connection) -> None:
    """Do what the pipe asks for, until it is closed."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": str(size)}
    kind = device.split(":", maxsplit=1)[0]
    if kind == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if kind == "cuda" else "gloo", rank=rank, world_size=size, timeout=PATIENCE)
    mesh = init_device_mesh(kind, (size,))
    training: _Shard | None = None
    answer: Any
    while True:
        try:
            what, given = pipe.recv()
        except EOFError:
            break
        try:
            if what == "begin":
                recipe, weights, options = given
                training, answer = _Shard(rank, mesh, recipe, weights, device=device, **options), None
                torch.set_num_threads(training.numerics.threads)
            else:
                part = getattr(training, what)
                answer = part(*given) if callable(part) else part
        except Exception as problem:  # noqa: BLE001 - whatever it is, the other process says it
            answer = problem if isinstance(problem, RecipeMismatch) else RuntimeError(f"on {device}: {problem}")
        pipe.send(answer if rank == 0 or isinstance(answer, Exception) else None)
    dist.destroy_process_group()
