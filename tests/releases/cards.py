"""Cards of fine-tuned models, in the wording of several versions of transformers' Trainer."""

from __future__ import annotations

from typing import Any

ADAM = "Adam with betas=(0.9,0.999) and epsilon=1e-08"
NAMED = "Use adamw_torch with betas=(0.9,0.999) and epsilon=1e-08 and optimizer_args=No additional optimizer arguments"
ENUMERATED = NAMED.replace("adamw_torch", "OptimizerNames.ADAMW_TORCH_FUSED")


def fine_tuned(
    *, base: str | None = "google/vit-base-patch16-224-in21k", data: str = "the food101", transformers: str = "4.30.2",
    optimizer: str = ADAM, **changes: Any,
) -> str:  # fmt: skip
    """The card of an image classifier; `changes` are settings, None takes one away."""
    settings: dict[str, Any] = {
        "learning_rate": "5e-05", "train_batch_size": 16, "eval_batch_size": 16, "seed": 42, "gradient_accumulation_steps": 4,
        "total_train_batch_size": 64, "optimizer": optimizer, "lr_scheduler_type": "linear", "lr_scheduler_warmup_ratio": 0.1,
        "num_epochs": 3,
    } | changes  # fmt: skip
    listed = "\n".join(f"- {name}: {value}" for name, value in settings.items() if value is not None)
    sentence = f"This model is a fine-tuned version of [{base}](https://huggingface.co/{base}) on {data} dataset."
    if base is None:
        sentence = f"This model was trained from scratch on {data} dataset."
    return f"""---
license: apache-2.0
tags:
- generated_from_trainer
datasets:
- food101
model-index:
- name: food
  results:
  - task:
      name: Image Classification
      type: image-classification
    dataset:
      name: food101
      type: food101
      config: default
      split: train[:5000]
      args: default
    metrics:
    - name: Accuracy
      type: accuracy
      value: 0.8930
---

<!-- This model card has been generated automatically. -->

# food

{sentence}
It achieves the following results on the evaluation set:
- Loss: 1.6474
- Accuracy: 0.893

## Model description

More information needed

### Training hyperparameters

The following hyperparameters were used during training:
{listed}

### Training results

| Training Loss | Epoch | Step | Validation Loss | Accuracy |
|:-------------:|:-----:|:----:|:---------------:|:--------:|
| No log        | 0.99  | 62   | 2.5481          | 0.844    |
| 1.8903        | 2.0   | 125  | 1.8096          | 0.874    |
| 1.6502        | 2.98  | 186  | 1.6474          | 0.893    |


### Framework versions

- Transformers {transformers}
- Pytorch 2.0.1+cpu
- Datasets 2.13.0
- Tokenizers 0.13.3
"""
