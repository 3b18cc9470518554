"""What does our language-model loop cost beside transformers' Trainer and a plain loop as nanoGPT's?

`python tests/bench/trainer.py`: CPU time per update on the miniature (165,632 parameters, fp32, one thread), all three measured
alternately in one process, median of the rounds; and the peak memory of one process each, with a model of 26 million parameters.

`python tests/bench/trainer.py --device cuda`: tokens a second and MFU on one GPU, in bf16, with a network of Pythia 160M's shape,
ours and the plain loop on the same batches. MFU counts 6 FLOPs a parameter and token (the input embedding apart) and
12 x layers x width x length for attention, over the device's dense bf16 peak.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from releases import language as mini
from torch.nn.functional import cross_entropy

from openassay.training.language import LanguageRecipe
from openassay.training.lm import LanguageTraining, initial_weights
from openassay.training.network import build
from openassay.training.numerics import ContiguousTokens, Numerics
from openassay.training.schedule import learning_rate

ROUNDS = 7
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12}
"""Dense bf16 FLOP/s by a part of the device's name, of the SXM boards."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is trained, and where."""

    recipe: LanguageRecipe
    updates: int
    micro_batch: int
    device: str = "cpu"

    @property
    def tokens(self) -> ContiguousTokens:
        """Random ones: the tokenizer's memory would hide the loops'."""
        length = self.recipe.data.sequence_length
        count = self.updates * self.recipe.batch_size * length + 1
        words = np.random.default_rng(0).integers(0, self.recipe.architecture.vocab_size, count)
        return ContiguousTokens(tokens=words, item_length=length + 1, stride=length)


SMALL = Case(recipe=mini.recipe(), updates=40, micro_batch=8)
WIDE = Case(recipe=mini.recipe(hidden=1024), updates=3, micro_batch=8)
_GPU = mini.recipe(hidden=768, length=2048, precision="bf16", batch_size=32)
GPU = Case(
    recipe=replace(_GPU, architecture=replace(_GPU.architecture, vocab_size=50304, num_layers=12, num_heads=12)),
    updates=10, micro_batch=4, device="cuda",
)  # fmt: skip


def _model(case: Case):
    model = build(case.recipe.architecture)
    weights = initial_weights(case.recipe, 0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.tensor(weights[name]))
    return model.to(case.device)


def _groups(model):
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    return [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]


def ours(case: Case) -> Callable[[], float]:
    """Our loop, ready to run."""
    tokens = case.tokens
    numerics = Numerics(micro_batch=case.micro_batch)
    training = LanguageTraining(
        case.recipe, initial_weights(case.recipe, 0), numerics=numerics, device=case.device
    )  # fmt: skip

    def run() -> float:
        training.advance(tokens, case.updates)
        return float(training.log().losses[-1])

    return run


def plain(case: Case) -> Callable[[], float]:
    """A loop as in nanoGPT."""
    model, tokens, size = _model(case), case.tokens, case.recipe.batch_size
    optimizer = torch.optim.AdamW(_groups(model), lr=0.0, betas=(0.9, 0.95), eps=1e-8, fused=True)
    kind = case.device.split(":")[0]
    lower = case.recipe.precision == "bf16"
    context = torch.autocast(kind, dtype=torch.bfloat16) if lower else contextlib.nullcontext()

    def run() -> float:
        for update in range(case.updates):
            batch = torch.from_numpy(tokens.items(update * size, size).astype(np.int64))
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(case.recipe.learning_rate, update)
            for part in batch.split(case.micro_batch):
                items = part.to(case.device, non_blocking=True)
                with context:
                    logits = model(input_ids=items[:, :-1], use_cache=False).logits
                loss = cross_entropy(logits.float().flatten(0, 1), items[:, 1:].flatten()) * (len(part) / size)
                loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    return run


def huggingface(case: Case) -> Callable[[], float]:
    """transformers' Trainer, as lean as it goes: no saving, no evaluation, logging at the end only. It needs accelerate."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    items = case.tokens.items(0, case.updates * 8).astype(np.int64)
    rows = [{"input_ids": row[:-1], "labels": row[:-1]} for row in items]  # the shift is inside the model
    model = _model(case)
    optimizer = torch.optim.AdamW(_groups(model), lr=3e-3, betas=(0.9, 0.95), eps=1e-8, fused=True)
    rate = case.recipe.learning_rate
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: learning_rate(rate, k) / 3e-3)
    arguments = transformers.TrainingArguments(
        output_dir=tempfile.gettempdir(), per_device_train_batch_size=8, max_steps=case.updates, max_grad_norm=1.0,
        save_strategy="no", report_to=[], logging_strategy="no", use_cpu=True, disable_tqdm=True, seed=0,
        dataloader_pin_memory=False,
    )  # fmt: skip

    class InOrder(transformers.Trainer):
        def _get_train_sampler(self, *_: object):
            return torch.utils.data.SequentialSampler(rows)

    trainer = InOrder(model=model, args=arguments, train_dataset=rows, optimizers=(optimizer, schedule))
    trainer.remove_callback(transformers.PrinterCallback)
    return lambda: float(trainer.train().training_loss)


LOOPS = {"ours": ours, "plain loop": plain, "transformers' Trainer": huggingface}


def on_cpu() -> None:
    """CPU time and peak memory beside the two others."""
    torch.set_num_threads(1)
    times: dict[str, list[float]] = {name: [] for name in LOOPS}
    for _ in range(ROUNDS + 1):
        for name, prepare in LOOPS.items():
            run = prepare(SMALL)
            torch.set_num_threads(1)
            started = time.process_time()
            run()
            times[name].append((time.process_time() - started) / SMALL.updates)
    medians = {name: statistics.median(each[1:]) for name, each in times.items()}  # the first round warms up
    for name, seconds in medians.items():
        peak = subprocess.run(
            [sys.executable, __file__, "--memory-of", name], capture_output=True, text=True, check=True
        ).stdout.split()[-1]
        spread = max(times[name][1:]) / min(times[name][1:])
        print(
            f"{name}: {1000 * seconds:.1f} ms of CPU an update (largest/smallest {spread:.2f}), ours costs "
            f"{medians['ours'] / seconds:.2f} times that; peak memory {float(peak):.0f} MiB"
        )


def flops_per_token(recipe: LanguageRecipe) -> float:
    """Of a training step, forward and backward."""
    architecture = recipe.architecture
    weights = sum(parameter.numel() for parameter in build(architecture).parameters())
    weights -= architecture.vocab_size * architecture.hidden_size  # looked up, not multiplied
    attention = 12 * architecture.num_layers * architecture.hidden_size * recipe.data.sequence_length
    return 6.0 * weights + attention


def throughput(case: Case, peak: float | None, rounds: int = 3) -> dict[str, float]:
    """Tokens a second of ours and of the plain loop, alternately, the first round apart; printed with the MFU."""
    wait = torch.cuda.synchronize if case.device.startswith("cuda") else lambda: None
    tokens = case.updates * case.recipe.batch_size * case.recipe.data.sequence_length
    seconds: dict[str, list[float]] = {"ours": [], "plain loop": []}
    for _ in range(rounds + 1):
        for name, found in seconds.items():
            run = LOOPS[name](case)
            wait()
            started = time.perf_counter()
            run()
            wait()
            found.append(time.perf_counter() - started)
            del run
            if case.device.startswith("cuda"):
                torch.cuda.empty_cache()
    rates = {name: tokens / statistics.median(found[1:]) for name, found in seconds.items()}
    for name, rate in rates.items():
        mfu = f"MFU {100 * rate * flops_per_token(case.recipe) / peak:.1f} %" if peak else "MFU unknown: give --peak"
        print(f"{name}: {rate:,.0f} tokens/s, {mfu}; ours takes {rate / rates['ours']:.2f} times its time")
    return rates


def on_gpu(peak: float | None) -> None:
    """Throughput and peak memory on one GPU."""
    name = torch.cuda.get_device_name(0)
    known = next((rate for part, rate in PEAKS.items() if part in name), None)
    print(f"{name}, torch {torch.__version__}, bf16, peak {(peak or known or 0) / 1e12:.0f} TFLOP/s")
    throughput(GPU, peak or known)
    for loop in ("ours", "plain loop"):
        torch.cuda.reset_peak_memory_stats()
        LOOPS[loop](replace(GPU, updates=2))()
        print(f"{loop}: peak memory {torch.cuda.max_memory_allocated() / 2**20:.0f} MiB")
        torch.cuda.empty_cache()


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    arguments.add_argument(
        "--peak", type=float, help="dense bf16 FLOP/s of the GPU, where this script does not know it"
    )
    arguments.add_argument("--memory-of", choices=tuple(LOOPS), help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.memory_of:  # of a model that is larger than what Python has imported
        torch.set_num_threads(1)
        LOOPS[given.memory_of](WIDE)()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    elif given.device == "cuda":
        if not torch.cuda.is_available():
            sys.exit("error: torch sees no GPU here")
        on_gpu(given.peak)
    else:
        on_cpu()


if __name__ == "__main__":
    main()
