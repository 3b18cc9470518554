"""What does the language trainer cost on a GPU, beside plain torch, and which settings make two trainings equal?

`python tests/gpu/measure.py [--tests junit.xml] [--seconds 200]` prints one table: the card, what the tests measured, equality of two
trainings, tokens a second, MFU and peak memory. MFU counts 6 FLOPs a parameter and token (the input embedding apart) and
12 x layers x width x length for attention, over the board's dense bf16 peak (NVIDIA's data sheet), or over the measured rate of a
large matrix product where the board is not known. `--device cpu` rehearses it on a toy.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import statistics
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
import transformers
from bench.trainer import PEAKS, flops_per_token
from releases import language as mini
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu, layer_norm, linear, scaled_dot_product_attention

from openassay.training.language import LanguageRecipe
from openassay.training.lm import LanguageTraining, initial_weights
from openassay.training.network import build
from openassay.training.numerics import ContiguousTokens, Numerics
from openassay.training.schedule import learning_rate

Row = tuple[str, str]
ROUNDS = 3
AS_IT_IS, STRICT = "as it is", "deterministic algorithms"


def shape(
    hidden: int, layers: int, heads: int, *, length: int = 2048, words: int = 50304, batch: int = 32
) -> LanguageRecipe:
    """A GPT-NeoX recipe in bf16."""
    of = mini.recipe(hidden=hidden, length=length, precision="bf16", batch_size=batch)
    return replace(of, architecture=replace(of.architecture, vocab_size=words, num_layers=layers, num_heads=heads))


SHAPES = {"160M": (shape(768, 12, 12), 8), "14M": (shape(128, 6, 4), 8)}
"""Pythia's, by their names: the recipe, and the sequences of a pass that all loops take."""
TOY = {"toy": (shape(32, 2, 4, length=32, words=512, batch=8), 4)}


def random_tokens(recipe: LanguageRecipe, updates: int) -> ContiguousTokens:
    """Sequences of random tokens for so many updates."""
    length = recipe.data.sequence_length
    words = np.random.default_rng(0).integers(
        0, recipe.architecture.vocab_size, updates * recipe.batch_size * length + 1, dtype=np.uint16
    )  # fmt: skip
    return ContiguousTokens(tokens=words, item_length=length + 1, stride=length)


class PlainNeoX(nn.Module):
    """GPT-NeoX as nanoGPT would write it: one file, torch's own attention, the loss inside."""

    def __init__(self, recipe: LanguageRecipe, weights: dict[str, np.ndarray]) -> None:
        super().__init__()
        of = recipe.architecture
        self.heads, self.layers, self.eps = of.num_heads, of.num_layers, of.norm_eps
        self.rotated = int(of.hidden_size // of.num_heads * (of.rotary_share or 1))
        self.names = {name: name.replace(".", "_") for name in weights}
        for name, key in self.names.items():
            self.register_parameter(key, nn.Parameter(torch.tensor(weights[name])))
        rates = of.rotary_base ** (-torch.arange(0, self.rotated, 2) / self.rotated)
        angles = torch.outer(torch.arange(recipe.data.sequence_length), rates).repeat(1, 2)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def _of(self, name: str) -> Tensor:
        return getattr(self, self.names[name])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return layer_norm(x, x.shape[-1:], self._of(f"{name}.weight"), self._of(f"{name}.bias"), self.eps)

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return linear(x, self._of(f"{name}.weight"), self._of(f"{name}.bias"))

    def _rotate(self, x: Tensor) -> Tensor:
        turned, rest = x.split((self.rotated, x.shape[-1] - self.rotated), -1)
        one, two = turned.chunk(2, -1)
        turned = turned * self.cos.to(x.dtype) + torch.cat((-two, one), -1) * self.sin.to(x.dtype)
        return torch.cat((turned, rest), -1)

    def forward(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """The mean loss."""
        x = nn.functional.embedding(inputs, self._of("gpt_neox.embed_in.weight"))
        batch, length, width = x.shape
        for at in range(self.layers):
            here = f"gpt_neox.layers.{at}"
            both = self._linear(self._norm(x, f"{here}.input_layernorm"), f"{here}.attention.query_key_value")
            q, k, v = both.view(batch, length, self.heads, -1).transpose(1, 2).chunk(3, -1)
            found = scaled_dot_product_attention(self._rotate(q), self._rotate(k), v, is_causal=True)
            attended = self._linear(found.transpose(1, 2).reshape(batch, length, width), f"{here}.attention.dense")
            wide = gelu(self._linear(self._norm(x, f"{here}.post_attention_layernorm"), f"{here}.mlp.dense_h_to_4h"))
            x = x + attended + self._linear(wide, f"{here}.mlp.dense_4h_to_h")
        logits = linear(self._norm(x, "gpt_neox.final_layer_norm"), self._of("lm_head.weight"))
        return cross_entropy(logits.float().flatten(0, 1), labels.flatten())


class HuggingFace(nn.Module):
    """transformers' GPT-NeoX, the loss inside."""

    def __init__(self, recipe: LanguageRecipe, weights: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.model = build(recipe.architecture)
        self.model.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})

    def forward(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """The mean loss."""
        logits = self.model(input_ids=inputs, use_cache=False).logits
        return cross_entropy(logits.float().flatten(0, 1), labels.flatten())


class Plain:
    """nanoGPT's loop around a model; `advance` as ours has it."""

    def __init__(self, recipe: LanguageRecipe, model: nn.Module, micro: int, device: str, *, compiled: bool) -> None:
        self.recipe, self.micro, self.device, self.step = recipe, micro, device, 0
        self.model = model.to(device)
        self.forward = torch.compile(self.model, dynamic=False) if compiled else self.model
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": 0.1},
                {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
            ],
            lr=0.0, betas=(0.9, 0.95), eps=1e-8, fused=True,
        )  # fmt: skip
        self.losses: list[Tensor] = []

    def advance(self, tokens: ContiguousTokens, to: int) -> None:
        """Train up to step `to`."""
        size = self.recipe.batch_size
        while self.step < to:
            batch = torch.from_numpy(tokens.items(self.step * size, size).astype(np.int64))
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(self.recipe.learning_rate, self.step)
            total = torch.zeros((), device=self.device)
            for part in batch.split(self.micro):
                items = part.to(self.device, non_blocking=True)
                with torch.autocast(self.device, dtype=torch.bfloat16):
                    loss = self.forward(items[:, :-1], items[:, 1:]) * (len(part) / size)
                loss.backward()
                total += loss.detach()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            self.losses.append(total)
            self.step += 1

    def last_loss(self) -> float:
        """Of the last update."""
        return float(self.losses[-1])


class Ours(LanguageTraining):
    """Our trainer."""

    def last_loss(self) -> float:
        """Of the last update."""
        return float(self.log().losses[-1])


def loops(
    recipe: LanguageRecipe, weights: dict[str, np.ndarray], micro: int, device: str
) -> dict[str, Callable[[], Any]]:
    """What is compared, each ready to be made."""

    def ours(**numerics: Any) -> Callable[[], Any]:
        return lambda: Ours(recipe, weights, numerics=Numerics(**numerics), device=device)

    def plain(kind: type[nn.Module], *, compiled: bool) -> Callable[[], Any]:
        return lambda: Plain(recipe, kind(recipe, weights), micro, device, compiled=compiled)

    return {
        "ours": ours(micro_batch=micro),
        "ours, sequences of a pass as it reckons": ours(),
        "ours, eager attention": ours(micro_batch=micro, attention="eager"),
        "plain loop, transformers' model": plain(HuggingFace, compiled=False),
        "plain loop, own model": plain(PlainNeoX, compiled=False),
        "plain loop, own model, compiled": plain(PlainNeoX, compiled=True),
    }


class Card:
    """The device: waiting for it, and its memory."""

    def __init__(self, device: str) -> None:
        self.device, self.is_gpu = device, device == "cuda"

    def wait(self) -> None:
        """Until all is done."""
        if self.is_gpu:
            torch.cuda.synchronize()

    def clear(self) -> None:
        """Give back what is free, and measure the peak anew."""
        if self.is_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def peak_gib(self) -> float:
        """Peak memory since `clear`."""
        return torch.cuda.max_memory_allocated() / 2**30 if self.is_gpu else math.nan

    def seconds(self, work: Callable[[], Any], times: int = 1) -> float:
        """Of one call, the mean of several."""
        self.wait()
        started = time.perf_counter()
        for _ in range(times):
            work()
        self.wait()
        return (time.perf_counter() - started) / times


def card(on: Card) -> Iterator[Row]:
    """Which card, and what it does at best."""
    yield "torch, CUDA, transformers", f"{torch.__version__}, {torch.version.cuda}, {transformers.__version__}"
    if not on.is_gpu:
        yield "device", "CPU (a rehearsal)"
        return
    properties = torch.cuda.get_device_properties(0)
    driver = subprocess.run(
        ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], capture_output=True, text=True, check=False
    ).stdout.strip()  # fmt: skip
    yield "card", f"{properties.name}, {properties.total_memory / 2**30:.1f} GiB, driver {driver}"
    yield "bf16 product of 8192 x 8192", f"{matmul_rate(on) / 1e12:.0f} TFLOP/s"
    large = torch.empty(2**30, dtype=torch.float32, device="cuda").normal_()
    other = torch.empty_like(large)
    other.copy_(large)
    yield (
        "copy within the card",
        f"{8 * 2**30 / on.seconds(lambda: other.copy_(large), 10) / 1e12:.2f} TB/s read and written",
    )


def matmul_rate(on: Card) -> float:
    """FLOP/s of a large bf16 product of random numbers."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(5):
        a @ b
    return 2 * 8192**3 / on.seconds(lambda: a @ b, 30)


def throughput(
    on: Card, name: str, recipe: LanguageRecipe, micro: int, peak: float, left: Callable[[], float]
) -> Iterator[Row]:
    """Tokens a second of each loop: the median of rounds that alternate, after a warm-up; and each one's peak memory."""
    weights = initial_weights(recipe, 0)
    updates = 2 if recipe.architecture.hidden_size < 64 else 4
    rounds = ROUNDS + 2
    tokens = random_tokens(recipe, updates * (rounds + 1) + 2)
    per_update = recipe.batch_size * recipe.data.sequence_length
    made: dict[str, Any] = {}
    memory: dict[str, float] = {}
    seconds: dict[str, list[float]] = {}
    for loop, make in loops(recipe, weights, micro, on.device).items():
        if "compiled" in loop and left() < 75:
            yield f"{name}, {loop}", "left out: no time"
            continue
        on.clear()
        before = torch.cuda.memory_allocated() if on.is_gpu else 0
        try:
            training = make()
            started = on.seconds(partial(training.advance, tokens, 2))
            on.clear()
            training.advance(tokens, 3)
        except (RuntimeError, torch.OutOfMemoryError) as problem:
            yield f"{name}, {loop}", f"failed: {str(problem).splitlines()[0][:150]}"
            continue
        memory[loop] = on.peak_gib() - before / 2**30
        if "compiled" in loop:
            yield f"{name}, {loop}: the first two updates", f"{started:.1f} s"
        made[loop], seconds[loop] = training, []
    for _ in range(ROUNDS):
        for loop, training in made.items():
            to = training.step + updates
            seconds[loop].append(on.seconds(partial(training.advance, tokens, to)) / updates)
    ours = statistics.median(seconds["ours"])
    for loop, found in seconds.items():
        median = statistics.median(found)
        rate = per_update / median
        spread = max(found) / min(found)
        yield (
            f"{name}, {loop}",
            f"{rate:,.0f} tokens/s, MFU {100 * rate * flops_per_token(recipe) / peak:.1f} %, {memory[loop]:.1f} GiB, "
            f"{ours / median:.2f} times ours (spread {spread:.2f}, loss {made[loop].last_loss():.4f})",
        )
    yield (
        f"{name}: parameters, tokens an update, sequences of a pass",
        (
            f"{sum(of.size for of in weights.values()):,}, {per_update:,}, {micro} ({made['ours']._at_once()} as it reckons)"
        ),
    )


def sizes_of_a_pass(on: Card, name: str, recipe: LanguageRecipe) -> Iterator[Row]:
    """What more sequences in a pass gain and take."""
    weights = initial_weights(recipe, 0)
    tokens = random_tokens(recipe, 6)
    for precision, attention, sizes in (
        ("bf16", "sdpa", (1, 4, 16, 32)),
        ("bf16", "eager", (4,)),
        ("fp32", "sdpa", (4,)),
        ("fp32", "eager", (4,)),
    ):
        for micro in sizes:
            numerics = Numerics(micro_batch=micro, precision=precision, attention=attention)  # type: ignore[arg-type]
            training = Ours(recipe, weights, numerics=numerics, device=on.device)
            if on.is_gpu:
                training._at_once = lambda: 10**6  # type: ignore[method-assign] # the size asked for, whatever it takes
            on.clear()
            state = torch.cuda.memory_allocated() if on.is_gpu else 0
            try:
                training.advance(tokens, 2)
                peak = on.peak_gib() - state / 2**30
                seconds = on.seconds(partial(training.advance, tokens, 4)) / 2
            except torch.OutOfMemoryError:
                yield f"{name}, {precision}, {attention}, {micro} sequences a pass", "out of memory"
                continue
            rate = recipe.batch_size * recipe.data.sequence_length / seconds
            yield (
                f"{name}, {precision}, {attention}, {micro} sequences a pass",
                f"{rate:,.0f} tokens/s, {peak:.2f} GiB beside weights, {1024 * peak / micro:.0f} MiB a sequence",
            )
            del training


def equality(on: Card, shapes: dict[str, tuple[LanguageRecipe, int]], how: str) -> Iterator[Row]:
    """Are two trainings equal? As they are, or with deterministic algorithms; for these CUBLAS_WORKSPACE_CONFIG must be set."""
    torch.use_deterministic_algorithms(how != AS_IT_IS)
    for name, (whole, micro) in shapes.items():
        recipe = replace(whole, batch_size=8)
        weights, tokens = initial_weights(recipe, 0), random_tokens(recipe, 6)
        for precision, attention in (("bf16", "sdpa"), ("fp32", "sdpa"), ("bf16", "eager")):
            found: list[tuple[np.ndarray, dict[str, np.ndarray]]] = []
            numerics = Numerics(micro_batch=min(4, micro), precision=precision, attention=attention)  # type: ignore[arg-type]
            what = f"{name}, {precision}, {attention}, {how}"
            try:
                for _ in range(2):
                    on.clear()
                    training = Ours(recipe, weights, numerics=numerics, device=on.device)
                    training.advance(tokens, 2)
                    seconds = on.seconds(partial(training.advance, tokens, 6)) / 4
                    found.append((training.log().losses, training.weights()))
            except RuntimeError as problem:
                yield what, f"failed: {str(problem).splitlines()[0][:150]}"
                continue
            (one_loss, one), (two_loss, two) = found
            apart = max(float(np.abs(one[key] - two[key]).max()) for key in one)
            if apart == 0 and np.array_equal(one_loss, two_loss):
                digest = hashlib.sha256(b"".join(one[key].tobytes() for key in sorted(one))).hexdigest()[:8]
                said = f"equal (weights {digest})"
            else:
                said = f"differ: losses by {np.abs(one_loss - two_loss).max():.1g}, weights by {apart:.1g}"
            yield what, f"{said}; {1000 * seconds:.1f} ms an update"


def of_tests(path: Path) -> Iterator[Row]:
    """What pytest's results say, and what the tests measured."""
    cases = list(ET.parse(path).getroot().iter("testcase"))  # noqa: S314 - our own file
    bad = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    yield "tests: passed, failed, skipped", f"{len(cases) - len(bad) - skipped}, {len(bad)}, {skipped}"
    for case in bad:
        problem = next(of for of in case if of.tag in {"failure", "error"})
        yield f"FAILED {case.get('name')}", (problem.get("message") or "").splitlines()[0][:150]
    for case in cases:
        for one in case.iter("property"):
            yield one.get("name") or "", one.get("value") or ""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tests", type=Path, help="pytest's --junitxml file, whose figures go into the table")
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin no measurement after so many")
    parser.add_argument("--out", type=Path, help="write the table there as JSON, too")
    parser.add_argument("--equality-only", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    on, started = Card(asked.device), time.monotonic()
    shapes = SHAPES if on.is_gpu else TOY

    def left() -> float:
        return asked.seconds - (time.monotonic() - started)

    if asked.equality_only:
        for row in equality(on, shapes, STRICT):
            print(json.dumps(row), flush=True)
        return
    if on.is_gpu and not torch.cuda.is_available():
        sys.exit("error: torch sees no GPU here")
    rows: list[Row] = []

    def put(found: Iterator[Row]) -> None:
        for what, value in found:
            rows.append((what, value))
            print(f"{what}: {value}", file=sys.stderr, flush=True)

    put(card(on))
    if asked.tests and asked.tests.is_file():
        put(of_tests(asked.tests))
    name = torch.cuda.get_device_name(0) if on.is_gpu else ""
    peak = next((rate for part, rate in PEAKS.items() if part in name), None) or (
        matmul_rate(on) if on.is_gpu else 1e11
    )
    put(iter([("FLOP/s that MFU is a share of", f"{peak / 1e12:.0f} T")]))
    parts: list[tuple[str, float, Callable[[], Iterator[Row]]]] = []
    for of, (recipe, micro) in shapes.items():
        parts += [(f"{of}: throughput", 60, partial(throughput, on, of, recipe, micro, peak, left))]
    parts[1:1] = [
        ("two trainings as they are", 30, partial(equality, on, shapes, AS_IT_IS)),
        ("two trainings with deterministic algorithms", 45, partial(apart_from_here, asked.device)),
    ]
    parts += [
        (f"{of}: sizes of a pass", 20, partial(sizes_of_a_pass, on, of, recipe)) for of, (recipe, _) in shapes.items()
    ]
    for what, needs, measure in parts:
        put(measure() if left() > needs else iter([(what, "left out: no time")]))
        on.clear()
    print_table(rows)
    if asked.out:
        asked.out.write_text(json.dumps(dict(rows), indent=1))


def apart_from_here(device: str) -> Iterator[Row]:
    """The equality of trainings with deterministic algorithms, in a process that had the setting of cuBLAS from its start."""
    environment = os.environ | {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    command = [sys.executable, __file__, "--equality-only", "--device", device]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        what, value = json.loads(line)
        yield what, value
    if done.returncode:
        yield "deterministic algorithms", f"failed: {(done.stderr.splitlines() or ['without a word'])[-1][:150]}"


def print_table(rows: list[Row]) -> None:
    """One line a figure, in Markdown."""
    width = max(len(what) for what, _ in rows)
    print(f"| {'what':<{width}} | measured |\n|{'-' * (width + 2)}|---|")
    for what, value in rows:
        print(f"| {what:<{width}} | {value} |")


if __name__ == "__main__":
    main()
