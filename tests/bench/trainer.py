"""What does our language-model loop cost beside transformers' Trainer and a plain loop? `python tests/bench/trainer.py`.

One process measures all three alternately on the miniature (165,632 parameters, fp32, one thread): CPU time per update, median of the
rounds. Peak memory is that of one process each, with a model of 26 million parameters. transformers' Trainer needs the package accelerate.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from releases import language as mini
from torch.nn.functional import cross_entropy

from openassay.training.lm import LanguageTraining, build, initial_weights
from openassay.training.numerics import ContiguousTokens
from openassay.training.schedule import learning_rate

UPDATES = 40
ROUNDS = 7
RECIPE = mini.recipe()
if len(sys.argv) > 1:  # the peak of memory: of a model that is larger than what Python has imported
    RECIPE, UPDATES = mini.recipe(hidden=1024), 3


def _model():
    model = build(RECIPE.architecture)
    weights = initial_weights(RECIPE, 0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.tensor(weights[name]))
    return model


def _groups(model):
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    return [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]


def ours(tokens) -> Callable[[], float]:
    """Our loop, ready to run."""
    training = LanguageTraining(RECIPE, initial_weights(RECIPE, 0))

    def run() -> float:
        training.advance(tokens, UPDATES)
        return float(training.log().losses[-1])

    return run


def plain(tokens) -> Callable[[], float]:
    """A loop as in nanoGPT."""
    model = _model()
    optimizer = torch.optim.AdamW(_groups(model), lr=0.0, betas=(0.9, 0.95), eps=1e-8, fused=True)

    def run() -> float:
        for update in range(UPDATES):
            items = torch.from_numpy(tokens.items(update * 8, 8).astype(np.int64))
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(RECIPE.learning_rate, update)
            logits = model(input_ids=items[:, :-1], use_cache=False).logits
            loss = cross_entropy(logits.flatten(0, 1), items[:, 1:].flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    return run


def huggingface(tokens) -> Callable[[], float]:
    """transformers' Trainer, as lean as it goes: no saving, no evaluation, logging at the end only."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    items = tokens.items(0, UPDATES * 8).astype(np.int64)
    rows = [{"input_ids": row[:-1], "labels": row[:-1]} for row in items]  # the shift is inside the model
    model = _model()
    optimizer = torch.optim.AdamW(_groups(model), lr=3e-3, betas=(0.9, 0.95), eps=1e-8, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: learning_rate(RECIPE.learning_rate, k) / 3e-3)
    arguments = transformers.TrainingArguments(
        output_dir=tempfile.gettempdir(), per_device_train_batch_size=8, max_steps=UPDATES, max_grad_norm=1.0,
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


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    # random ones: the tokenizer's memory would hide the loops'
    words = np.random.default_rng(0).integers(0, mini.VOCABULARY, UPDATES * 8 * 129)
    tokens = ContiguousTokens(tokens=words, item_length=129, stride=128)
    if len(sys.argv) > 1:
        LOOPS[sys.argv[1]](tokens)()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    times: dict[str, list[float]] = {name: [] for name in LOOPS}
    for _ in range(ROUNDS + 1):
        for name, prepare in LOOPS.items():
            run = prepare(tokens)
            torch.set_num_threads(1)
            started = time.process_time()
            run()
            times[name].append((time.process_time() - started) / UPDATES)
    medians = {name: statistics.median(each[1:]) for name, each in times.items()}  # the first round warms up
    for name, seconds in medians.items():
        peak = subprocess.run(
            [sys.executable, __file__, name], capture_output=True, text=True, check=True
        ).stdout.split()[-1]
        spread = max(times[name][1:]) / min(times[name][1:])
        print(
            f"{name}: {1000 * seconds:.1f} ms of CPU an update (largest/smallest {spread:.2f}), ours costs "
            f"{medians['ours'] / seconds:.2f} times that; peak memory {float(peak):.0f} MiB"
        )


if __name__ == "__main__":
    main()
