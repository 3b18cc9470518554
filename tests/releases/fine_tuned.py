"""Fine-tuned models of our own making: a small base model, generated data, and the card that transformers' own Trainer writes.

The Trainer that makes the release is called here directly, with its arguments written out, and not by the driver under test.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from openassay.layout import Layout
from openassay.store import payload_digest
from releases.miniature import write_target

WORDS = 60
"""Of the vocabulary, beside the special tokens."""
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ARGUMENTS: dict[str, Any] = {
    "learning_rate": 3e-3, "per_device_train_batch_size": 16, "per_device_eval_batch_size": 64, "num_train_epochs": 3, "seed": 11,
    "lr_scheduler_type": "linear", "warmup_steps": 5, "weight_decay": 0.0, "optim": "adamw_torch",
}  # fmt: skip


def make_base(folder: Path, kind: str = "bert") -> None:
    """A small model that nobody has trained, with a tokenizer of words."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {word: i for i, word in enumerate((*SPECIAL, *(f"w{i}" for i in range(WORDS))))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(folder)
    torch.manual_seed(0)
    size = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
    }
    if kind == "bert":
        model: Any = transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=len(vocabulary), **size))
    else:
        config = transformers.GPT2Config(
            vocab_size=len(vocabulary), n_embd=32, n_layer=2, n_head=2, n_positions=64, bos_token_id=2, eos_token_id=3
        )
        model = transformers.GPT2LMHeadModel(config)
    model.save_pretrained(folder)


def make_data(folder: Path, examples: int = 400, noise: float = 0.1, seed: int = 3) -> None:
    """Sentences of two kinds, told apart by which words are frequent; a share of the labels is wrong."""
    import datasets

    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for name, count in (("train", examples), ("validation", examples // 2), ("test", examples // 2)):
        labels = rng.integers(0, 2, count)
        rows = []
        for label in labels:
            own, shared = rng.integers(16 * label, 16 * label + 24, 4), rng.integers(40, WORDS, 6)
            rows.append(" ".join(f"w{i}" for i in rng.permutation([*own, *shared])))
        told = np.where(rng.random(count) < noise, 1 - labels, labels)
        datasets.Dataset.from_dict({"sentence": rows, "label": told.tolist()}).to_parquet(
            str(folder / f"{name}.parquet")
        )


def train_release(
    base: Path, data: Path, out: Path, evaluation: str = "validation", **changes: Any
) -> dict[str, float]:
    """Fine-tune the base model by the Trainer and let it write the card; returns what the last evaluation gave."""
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    train, held = (
        datasets.Dataset.from_parquet(str(data / f"{name}.parquet"), cache_dir=str(out / "cache"))
        for name in ("train", evaluation)
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)

    def tokens(batch: Any) -> Any:
        return tokenizer(batch["sentence"], truncation=True, max_length=32)

    def accuracy(outputs: Any) -> dict[str, float]:
        return {"accuracy": float((outputs[0].argmax(-1) == outputs[1]).mean())}

    arguments = (
        ARGUMENTS
        | {"use_cpu": True, "report_to": [], "eval_strategy": "epoch", "save_strategy": "no", "disable_tqdm": True}
        | changes
    )
    transformers.set_seed(arguments["seed"])
    model = transformers.AutoModelForSequenceClassification.from_pretrained(base, num_labels=2)
    trainer = transformers.Trainer(
        model=model, args=transformers.TrainingArguments(output_dir=str(out / "model"), **arguments),
        train_dataset=train.map(tokens, batched=True), eval_dataset=held.map(tokens, batched=True),
        data_collator=transformers.DataCollatorWithPadding(tokenizer), compute_metrics=accuracy,
    )  # fmt: skip
    trainer.train()
    trainer.create_model_card(
        finetuned_from="owner/tiny-base", model_name="tiny-sentences", dataset="sentences", license="mit"
    )
    return {name: float(value) for name, value in trainer.state.log_history[-2].items() if name.startswith("eval_")}


def add_fine_tuned(
    root: Path, name: str, values: dict[str, float], others: dict[str, list[Any]] | None = None, **changes: Any
) -> Layout:
    """The target of a release whose parts lie in releases/NAME: base, data, model; `changes` replace values of its recipe."""

    def artifact(part: str) -> dict[str, Any]:
        path = f"releases/{name}/{part}"
        return {
            "sources": [{"kind": "local", "path": path}],
            "payload": {"sha256": payload_digest(root / path, ("**",)), "include": ["**"]},
        }

    recipe = {
        "task": "text_classification", "text": ["sentence"], "label": "label", "max_length": 32, "learning_rate": 3e-3,
        "train_batch_size": 16, "eval_batch_size": 64, "num_epochs": 3.0, "lr_scheduler_warmup_steps": 5,
    } | changes  # fmt: skip
    write_target(root, {
        "schema_version": 1, "name": name,
        "release": {"title": "Tiny sentences", "version": "1", "homepage": "https://example.org/tiny"},
        "components": [{"component": "params_final", "published": "no"}],
        "artifacts": {part: artifact(part) for part in ("base", "data", "model")},
        "rerun": {
            "driver": "finetune", "base": {"artifact": "base"}, "recipe": recipe, "seed": 11, "made_with": "5.23.0",
            "data": {
                "train": [{"artifact": "data", "path": "train.parquet"}],
                "evaluation": [{"artifact": "data", "path": "validation.parquet"}],
            },
            "card": {"artifact": "model", "path": "README.md"},
            "unstated": {
                of: {"value": recipe.get(of, default), "source": "the trainer's default", "others": (others or {}).get(of, [])}
                for of, default in (("max_length", 128), ("weight_decay", 0.0), ("max_grad_norm", 1.0))
            },
            "scale": 100.0,
        },
        "controls": [{"arm": "shuffled_labels", "of": "faithful", "permute": ["labels"], "rationale": "Labels in random order teach nothing."}],
        "claims": [{
            "id": "accuracy", "metric": "accuracy", "unit": "percent",
            "published": {"value": round(100 * values["eval_accuracy"], 2), "rounding": 0.01},
            "cited_at": {"artifact": "model", "path": "README.md", "quote": f"- Accuracy: {values['eval_accuracy']:g}"},
            "tolerance": {"margin": 4.0, "rationale": "Seeds of so small a model differ by about two points."},
        }],
    })  # fmt: skip
    return Layout(root, name)
