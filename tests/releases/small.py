"""Small releases made of files, in the formats that publishers use."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from openassay.published.files import PublishedFiles
from openassay.published.read import read_release

Files = dict[str, Any]


def write(folder: Path, files: Files) -> Path:
    """Text as it is, bytes as they are, a mapping or a list as JSON."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2))
    return folder


def release(folder: Path, files: Files) -> PublishedFiles:
    """The files, written and read."""
    return read_release(write(folder, files))


def safetensors(**tensors: Any) -> bytes:
    """A safetensors file of float16 or float32 arrays."""
    header, data = {}, b""
    for name, values in tensors.items():
        array = np.asarray(values)
        raw = array.tobytes()
        dtype = {"float16": "F16", "float32": "F32"}[array.dtype.name]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    written = json.dumps(header).encode()
    return struct.pack("<Q", len(written)) + written + data


def megatron(items: list[list[int]]) -> tuple[bytes, bytes]:
    """An index and its data, of uint16 tokens."""
    sizes = np.array([len(item) for item in items], "<i4")
    pointers = np.concatenate([[0], np.cumsum(sizes[:-1])]).astype("<i8") * 2
    documents = np.arange(len(items) + 1, dtype="<i8")
    head = b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, 8, len(items), len(documents))
    data = b"".join(np.array(item, "<u2").tobytes() for item in items)
    return head + sizes.tobytes() + pointers.tobytes() + documents.tobytes(), data


NEOX = """{
  # model settings
  "num-layers": 6,
  "hidden-size": 512,
  "num-attention-heads": 8,
  "seq-length": 2048,
  "init_method": "small_init",
  "optimizer": {"type": "Adam", "params": {"lr": 0.001, "betas": [0.9, 0.95], "eps": 1.0e-8}},
  # batch size (trained on 32 gpus)
  "train_micro_batch_size_per_gpu": 32,
  "gas": 1,
  "weight-decay": 0.1,
  "train-iters": 143000,
  "warmup": 0.01,
  "checkpoint-factor": 1000,
  "extra-save-iters": [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512],
  "train-data-paths": ["/data/pile/text_document"],
}
"""
"""A settings file of GPT-NeoX's form: JSON's brackets, YAML's comments."""

OLMO = """run_name: tiny
model:
  d_model: 2048
  n_layers: 16
  n_heads: 16
  max_sequence_length: 2048
  vocab_size: 50280
  embedding_size: 50304
  eos_token_id: 50279
optimizer:
  name: adamw
  learning_rate: 3.0e-4
  weight_decay: 0.1
tokenizer:
  identifier: tokenizers/some.json
max_duration: 739328  # 3.1T tokens
global_train_batch_size: 2048
"""
"""One of OLMo's form."""


def harness(model: str, step: int, values: dict[str, dict[str, float]]) -> Files:
    """A result file of the evaluation harness' form."""
    return {
        "results": values, "versions": dict.fromkeys(values, 0),
        "config": {"model": "hf-causal", "model_args": f"pretrained={model},revision=step{step}", "num_fewshot": 0, "batch_size": 32},
    }  # fmt: skip


def many(shift: float = 0.0) -> dict[str, dict[str, float]]:
    """Results of twelve tasks."""
    return {f"task{i}": {"acc": 0.2 + i / 40 + shift, "acc_stderr": 0.01 + i / 1000} for i in range(12)}


MIT = """MIT License

Copyright (c) 2026 Somebody

Permission is hereby granted, free of charge, to any person obtaining a copy of this software, to deal in it.
THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND.
"""
"""The phrases by which the licence is known, not its whole text."""

APACHE = """Apache License
Version 2.0, January 2004
TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION
"""
