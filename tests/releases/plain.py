"""A plain training loop of a causal language model, written without OpenAssay's trainer: what publishers' code does, shortest."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import torch


def cosine(k: int, *, peak: float, warmup: int, last: int, share: float) -> float:
    """OLMo's learning rate of the k-th update, counted from 1: linear from 0 to the peak, then half a cosine to a share of it."""
    if k < warmup:
        return peak * k / warmup
    return peak * (share + (1 - share) * (1 + math.cos(math.pi * (k - warmup) / (last - warmup))) / 2)


def train(
    model: Any,
    batches: Callable[[int], np.ndarray],
    *,
    rate: Callable[[int], float],
    keep: Collection[int],
    betas: tuple[float, float] = (0.9, 0.95),
    eps: float = 1e-8,
    weight_decay: float = 0.1,
    spared: tuple[str, ...] = ("embed_tokens",),
    clip: float = 1.0,
    z_loss: float = 0.0,
) -> dict[int, dict[str, np.ndarray]]:
    """The weights after so many updates, for each number in `keep`. A batch's inputs are its labels, one further; OLMo divides by all of them."""
    named = dict(model.named_parameters())
    groups = [
        {
            "params": [p for name, p in named.items() if not any(part in name for part in spared)],
            "weight_decay": weight_decay,
        },
        {"params": [p for name, p in named.items() if any(part in name for part in spared)], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1.0, betas=betas, eps=eps)
    found = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for k in range(max(keep) + 1):
            if k in keep:
                found[k] = {name: p.detach().numpy().copy() for name, p in named.items()}
            if k == max(keep):
                break
            rows = torch.from_numpy(batches(k).astype(np.int64))
            logits = model(input_ids=rows).logits[:, :-1].flatten(0, 1)
            loss = torch.nn.functional.cross_entropy(logits, rows[:, 1:].flatten(), reduction="sum")
            loss = (loss + z_loss * logits.logsumexp(-1).square().sum()) / rows.numel()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(list(named.values()), clip)
            for group in optimizer.param_groups:
                group["lr"] = rate(k + 1)
            optimizer.step()
    finally:
        torch.set_num_threads(threads)
    return found
