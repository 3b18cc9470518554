"""One fine-tuning as transformers' Trainer makes it: a base model, data files, the stated arguments, metrics after each epoch.

Nothing of a release runs: models that bring code are refused, weights are read from safetensors only, data from files of known
formats, and never by a loading script.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from openassay.training.mismatch import RecipeMismatch, TimeLimit, first_line, mismatches

Task = Literal["text_classification", "causal_language_model", "masked_language_model"]
Format = Literal["parquet", "csv", "json", "arrow", "text"]
ENDINGS: dict[str, Format] = {
    ".parquet": "parquet", ".csv": "csv", ".json": "json", ".jsonl": "json", ".arrow": "arrow", ".txt": "text",
}  # fmt: skip
IGNORED = -100
"""The label of tokens that count for no loss."""
MASKED_SHARE = 0.15
"""Of a masked language model's tokens (`DataCollatorForLanguageModeling`'s default)."""


class Unusable(RecipeMismatch):
    """A part of the release itself cannot be used, whatever the target says."""


@dataclass(frozen=True, kw_only=True)
class FineTuningRecipe:
    """What a fine-tuning is made from, by the names of the Trainer's cards."""

    task: Task
    text: tuple[str, ...]
    """The columns that are read: one, or two for pairs of sentences."""
    label: str | None = None
    """The column with the class, or the number where `regression`."""
    regression: bool = False
    max_length: int = 128
    """Tokens of an example: longer ones are cut, or of a language model's blocks."""
    learning_rate: float = 5e-5
    train_batch_size: int = 8
    eval_batch_size: int = 8
    gradient_accumulation_steps: int = 1
    num_devices: int = 1
    """Their batches are accumulated on one device, which gives the same mean gradient."""
    num_epochs: float = 3.0
    training_steps: int | None = None
    """In place of `num_epochs`."""
    optimizer: Literal["adamw_torch", "adamw_torch_fused", "adafactor", "sgd"] = "adamw_torch"
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup", "polynomial", "inverse_sqrt"] = (
        "linear"
    )
    lr_scheduler_warmup_ratio: float = 0.0
    lr_scheduler_warmup_steps: int = 0
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    label_smoothing_factor: float = 0.0
    kept: Literal["last", "best"] = "last"
    """The epoch whose values count: the last, or that with the least evaluation loss."""

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be trained."""
        if len(self.text) not in {1, 2} or (len(self.text) == 2 and self.task != "text_classification"):
            raise ValueError(f"text: expected one column, or two for pairs of sentences, found {len(self.text)}")
        if (self.task == "text_classification") != (self.label is not None):
            raise ValueError("label: text_classification needs the column with the class, and no other task takes one")
        if self.lr_scheduler_warmup_ratio and self.lr_scheduler_warmup_steps:
            raise ValueError("lr_scheduler_warmup_ratio and lr_scheduler_warmup_steps: give one of them")
        for name in ("max_length", "train_batch_size", "eval_batch_size", "gradient_accumulation_steps", "num_devices"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected 1 or more, found {getattr(self, name)}")
        if not 0 <= self.num_epochs <= 10_000 or (self.training_steps is not None and self.training_steps < 0):
            raise ValueError("num_epochs, training_steps: expected 0 or more")


@dataclass(frozen=True, kw_only=True)
class DataFiles:
    """The files of a training and its evaluation, as they lie on disk."""

    train: tuple[Path, ...]
    evaluation: tuple[Path, ...]
    format: Format


@dataclass(frozen=True, kw_only=True)
class FineTuned:
    """What one fine-tuning gave."""

    values: dict[str, float]
    """Metrics of the kept epoch; `loss` among them."""
    step: int
    curves: dict[str, tuple[tuple[int, float], ...]] = field(default_factory=dict)
    """Metrics after each epoch, by update."""
    num_parameters: int = 0
    num_examples: int = 0


def fine_tune(
    recipe: FineTuningRecipe, base: Path, data: DataFiles, *, seed: int, device: str, threads: int, timeout_s: float, out: Path,
    shuffled: bool = False,
) -> FineTuned:  # fmt: skip
    """Fine-tune once, and evaluate after each epoch.

    base: a folder with a model and its tokenizer. out: an empty folder for caches. shuffled: labels (of a language model, the
    tokens of each block) in random order. Raises `Unusable` for a part of the release that cannot be read or would run code,
    `RecipeMismatch` for parts that do not fit each other or this machine, `TimeLimit`.
    """
    import datasets  # noqa: PLC0415 - it takes seconds to import
    import torch  # noqa: PLC0415
    import transformers  # noqa: PLC0415

    torch.set_num_threads(threads)
    datasets.disable_progress_bars()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    with mismatches("the base model, the data and the stated settings"):
        train, evaluation = _load(datasets, data, out)
        tokenizer = _tokenizer(transformers, base)
        transformers.set_seed(seed)  # before the model: a new head is drawn from it
        prepare = _prepare_classes if recipe.task == "text_classification" else _prepare_blocks
        ready = prepare(recipe, tokenizer, train, evaluation, np.random.default_rng([seed, 20]) if shuffled else None)
        model = _model(transformers, recipe, base, ready)
        trainer = transformers.Trainer(
            model=model, args=_arguments(transformers, recipe, seed, device, out), train_dataset=ready.train,
            eval_dataset=ready.evaluation, data_collator=_collator(transformers, recipe, tokenizer),
            compute_metrics=_metrics_of(recipe) if recipe.task == "text_classification" else None,
            callbacks=[_deadline(transformers, timeout_s)],
        )  # fmt: skip
        if recipe.num_epochs > 0 and recipe.training_steps != 0:
            trainer.train()
        if not any("eval_loss" in line for line in trainer.state.log_history):
            trainer.evaluate()
    return _outcome(recipe, trainer, len(ready.train))


@dataclass(frozen=True)
class _Ready:
    train: Any
    evaluation: Any
    classes: tuple[Any, ...] = ()


def _load(datasets: Any, data: DataFiles, out: Path) -> tuple[Any, Any]:
    """The two tables, memory-mapped."""
    files = {"train": [str(of) for of in data.train], "evaluation": [str(of) for of in data.evaluation]}
    try:
        found = datasets.load_dataset(data.format, data_files=files, cache_dir=str(out / "datasets"))
    except Exception as error:  # noqa: BLE001 - its parsers raise nearly anything on broken files
        cause = error.__cause__ or error
        raise Unusable(f"the data files cannot be read as {data.format}: {first_line(cause)}") from None  # type: ignore[arg-type]
    return found["train"], found["evaluation"]


def _tokenizer(transformers: Any, base: Path) -> Any:
    try:
        return transformers.AutoTokenizer.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # noqa: BLE001 - as above
        raise Unusable(f"the base model's tokenizer cannot be read: {first_line(error)}") from None


def _model(transformers: Any, recipe: FineTuningRecipe, base: Path, ready: _Ready) -> Any:
    """The base model with the task's head; a head that the weights do not have is drawn anew."""
    config = transformers.AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    if getattr(config, "auto_map", None):
        raise Unusable("the base model brings code of its own (auto_map in its config.json), which is not run")
    kind = {
        "text_classification": transformers.AutoModelForSequenceClassification,
        "causal_language_model": transformers.AutoModelForCausalLM,
        "masked_language_model": transformers.AutoModelForMaskedLM,
    }[recipe.task]
    more: dict[str, Any] = {}
    if recipe.task == "text_classification":
        more = {"num_labels": 1 if recipe.regression else len(ready.classes), "ignore_mismatched_sizes": True}
    try:
        return kind.from_pretrained(
            base, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype="float32", **more
        )
    except OSError as error:
        raise Unusable(f"the base model's weights cannot be read: {first_line(error)}") from None


def _columns(table: Any, names: tuple[str, ...], what: str) -> None:
    if missing := [name for name in names if name not in table.column_names]:
        there = ", ".join(table.column_names)
        raise RecipeMismatch(f"the {what} data has no column {missing[0]!r}; it has {there}")


def _prepare_classes(
    recipe: FineTuningRecipe, tokenizer: Any, train: Any, evaluation: Any, shuffle: np.random.Generator | None
) -> _Ready:
    """Examples as token ids with their label."""
    label = recipe.label or ""
    for table, what in ((train, "training"), (evaluation, "evaluation")):
        _columns(table, (*recipe.text, label), what)
    classes: tuple[Any, ...] = ()
    if not recipe.regression:
        classes = tuple(sorted(set(train.unique(label)), key=lambda of: (str(type(of)), of)))
        if unknown := set(evaluation.unique(label)) - set(classes):
            raise RecipeMismatch(
                f"the evaluation data has a class that the training data has not: {min(map(str, unknown))!r}"
            )
    order = shuffle.permutation(len(train)).tolist() if shuffle is not None else None
    ids = {name: i for i, name in enumerate(classes)}

    def encode(batch: Mapping[str, list[Any]]) -> dict[str, Any]:
        words = [[str(cell) for cell in batch[name]] for name in recipe.text]
        found: dict[str, Any] = dict(tokenizer(*words, truncation=True, max_length=recipe.max_length))
        found["labels"] = [float(of) if recipe.regression else ids[of] for of in batch[label]]
        return found

    if order is not None:
        labels = train[label]
        train = train.remove_columns(label).add_column(label, [labels[i] for i in order])
    ready = [of.map(encode, batched=True, remove_columns=of.column_names) for of in (train, evaluation)]
    return _Ready(ready[0], ready[1], classes)


def _prepare_blocks(
    recipe: FineTuningRecipe, tokenizer: Any, train: Any, evaluation: Any, shuffle: np.random.Generator | None
) -> _Ready:
    """All texts one after another, cut into blocks; the rest that fills no block is dropped, as run_clm.py does."""
    column, length = recipe.text[0], recipe.max_length
    for table, what in ((train, "training"), (evaluation, "evaluation")):
        _columns(table, (column,), what)

    def blocks(batch: Mapping[str, list[Any]]) -> dict[str, Any]:
        ids = [token for of in tokenizer([str(cell) for cell in batch[column]])["input_ids"] for token in of]
        whole = len(ids) // length * length
        cut = [ids[i : i + length] for i in range(0, whole, length)]
        return {"input_ids": cut, "attention_mask": [[1] * length for _ in cut], "labels": [list(of) for of in cut]}

    def mixed(row: Mapping[str, list[int]]) -> dict[str, Any]:
        assert shuffle is not None  # noqa: S101 - for such calls only
        ids = shuffle.permutation(row["input_ids"]).tolist()
        return {"input_ids": ids, "labels": ids}

    ready = [of.map(blocks, batched=True, remove_columns=of.column_names) for of in (train, evaluation)]
    if not all(len(of) for of in ready):
        raise RecipeMismatch(f"the texts are shorter than one block of {length} tokens")
    return _Ready(ready[0].map(mixed) if shuffle is not None else ready[0], ready[1])


def _collator(transformers: Any, recipe: FineTuningRecipe, tokenizer: Any) -> Any:
    if recipe.task == "text_classification":
        return transformers.DataCollatorWithPadding(tokenizer)
    if recipe.task == "causal_language_model":
        return transformers.default_data_collator
    return transformers.DataCollatorForLanguageModeling(tokenizer, mlm_probability=MASKED_SHARE)


def _arguments(transformers: Any, recipe: FineTuningRecipe, seed: int, device: str, out: Path) -> Any:
    """The Trainer's arguments, exactly as stated."""
    return transformers.TrainingArguments(
        output_dir=str(out / "trainer"), seed=seed, use_cpu=device == "cpu", report_to=[], save_strategy="no",
        eval_strategy="epoch", logging_strategy="epoch", disable_tqdm=True, dataloader_pin_memory=False,
        learning_rate=recipe.learning_rate, per_device_train_batch_size=recipe.train_batch_size,
        per_device_eval_batch_size=recipe.eval_batch_size,
        gradient_accumulation_steps=recipe.gradient_accumulation_steps * recipe.num_devices,
        num_train_epochs=recipe.num_epochs, max_steps=-1 if recipe.training_steps is None else recipe.training_steps,
        optim=recipe.optimizer, adam_beta1=recipe.adam_beta1, adam_beta2=recipe.adam_beta2, adam_epsilon=recipe.adam_epsilon,
        lr_scheduler_type=recipe.lr_scheduler_type,
        warmup_steps=recipe.lr_scheduler_warmup_steps or recipe.lr_scheduler_warmup_ratio,
        weight_decay=recipe.weight_decay, max_grad_norm=recipe.max_grad_norm,
        label_smoothing_factor=recipe.label_smoothing_factor,
    )  # fmt: skip


def _deadline(transformers: Any, timeout_s: float) -> Any:
    """A callback that ends a training at its time limit."""
    end = time.monotonic() + timeout_s

    class Deadline(transformers.TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_args: Any, **_more: Any) -> None:
            if time.monotonic() > end:
                raise TimeLimit

    return Deadline()


def _metrics_of(recipe: FineTuningRecipe) -> Callable[[Any], dict[str, float]]:
    return regression_metrics if recipe.regression else class_metrics


def class_metrics(outputs: tuple[Any, Any]) -> dict[str, float]:
    """Metrics of classes by scikit-learn's definitions. outputs: (logits, shape (n, classes); labels, shape (n,)).

    `f1`, `precision` and `recall` are of class 1 where there are two; `_macro` and `_weighted` average over classes.
    """
    from sklearn import metrics  # noqa: PLC0415 - it takes a second to import

    logits, labels = outputs
    logits = logits[0] if isinstance(logits, tuple) else logits
    predicted = np.argmax(logits, axis=-1)
    found = {
        "accuracy": float(metrics.accuracy_score(labels, predicted)),
        "matthews_correlation": float(metrics.matthews_corrcoef(labels, predicted)),
    }
    averages = {"_macro": "macro", "_weighted": "weighted"} | ({"": "binary"} if np.shape(logits)[-1] == 2 else {})
    for ending, average in averages.items():
        values = metrics.precision_recall_fscore_support(labels, predicted, average=average, zero_division=0)
        found |= {f"{name}{ending}": float(of) for name, of in zip(("precision", "recall", "f1"), values, strict=False)}
    return found


def regression_metrics(outputs: tuple[Any, Any]) -> dict[str, float]:
    """Metrics of numbers. outputs: (predictions, shape (n, 1) or (n,); labels, shape (n,))."""
    from scipy import stats  # noqa: PLC0415 - it takes a second to import

    predicted, labels = (np.asarray(of[0] if isinstance(of, tuple) else of).reshape(-1) for of in outputs)
    return {
        "pearson": float(stats.pearsonr(predicted, labels).statistic),
        "spearmanr": float(stats.spearmanr(predicted, labels).statistic),
        "mse": float(np.mean((predicted - labels) ** 2)),
    }


_AVERAGED = [f"{name}{ending}" for name in ("precision", "recall", "f1") for ending in ("", "_macro", "_weighted")]
CLASS_METRICS = ("accuracy", "matthews_correlation", *_AVERAGED)
REGRESSION_METRICS = ("pearson", "spearmanr", "mse")


def _outcome(recipe: FineTuningRecipe, trainer: Any, num_examples: int) -> FineTuned:
    """The values of the kept epoch, and the curves."""
    lines = [of for of in trainer.state.log_history if "eval_loss" in of]
    names = sorted({name.removeprefix("eval_") for of in lines for name in of if name.startswith("eval_")})
    skipped = {"runtime", "samples_per_second", "steps_per_second"}
    curves = {
        name: tuple((int(of["step"]), float(of[f"eval_{name}"])) for of in lines if f"eval_{name}" in of)
        for name in names if name not in skipped
    }  # fmt: skip
    kept = min(lines, key=lambda of: of["eval_loss"]) if recipe.kept == "best" else lines[-1]
    values = {name: float(kept[f"eval_{name}"]) for name in curves if f"eval_{name}" in kept}
    if recipe.task != "text_classification":
        values["perplexity"] = math.exp(min(values["loss"], 700.0))
    return FineTuned(
        values=values, step=int(kept["step"]), curves=curves,
        num_parameters=sum(of.numel() for of in trainer.model.parameters()), num_examples=num_examples,
    )  # fmt: skip
