"""How the weights of step 0 are spread: the stated initialisation, one parameter at a time. Names are transformers'."""

from __future__ import annotations

import math

import scipy

from openassay.training.language import Architecture, LanguageRecipe

EMBEDDINGS = ("embed_in.weight", "embed_tokens.weight", "shared.weight")
OUTPUTS = ("attention.dense.weight", "dense_4h_to_h.weight", "o_proj.weight", "down_proj.weight")
"""Matrices that write into the residual stream."""


def stated_std(recipe: LanguageRecipe, name: str, num_dimensions: int) -> float | None:
    """The standard deviation that the recipe states for a weight matrix; None where it states none, and for biases and norms."""
    if num_dimensions < 2:
        return None
    architecture, initial = recipe.architecture, recipe.initialisation
    if initial.method == "mesh":
        return _mesh_std(architecture, name)
    small = math.sqrt(2 / (5 * architecture.hidden_size))  # Nguyen and Salazar (2019)
    wang = 2 / (architecture.num_layers * math.sqrt(architecture.hidden_size))  # Wang and Komatsuzaki (2021)
    formulas = {"small_init": small, "wang_init": wang}
    std = initial.std if initial.std is not None else formulas.get(initial.method)
    if name.endswith(EMBEDDINGS) and initial.embedding_std is not None:
        std = initial.embedding_std
    elif name.endswith(OUTPUTS) and initial.output_std is not None:
        std = initial.output_std
    elif name.endswith(OUTPUTS) and initial.output_method is not None:
        std = formulas.get(initial.output_method)
    if std is not None and initial.truncated_at is not None:
        std *= float(scipy.stats.truncnorm(-initial.truncated_at, initial.truncated_at).std())
    return std


def _mesh_std(architecture: Architecture, name: str) -> float:
    """T5's: by the number of inputs, the queries' scale folded in (mesh_tensorflow/transformer/attention.py); embeddings 1."""
    width, heads = architecture.hidden_size, architecture.num_heads
    head = architecture.head_size or width // heads
    if name.endswith("shared.weight"):
        return 1.0
    if name.endswith("relative_attention_bias.weight"):  # TensorFlow's default, uniform in the original
        return math.sqrt(2 / (heads + (architecture.relative_buckets or 0)))
    inputs = {".q.weight": width * head, ".o.weight": heads * head, ".wo.weight": architecture.intermediate_size}
    return 1 / math.sqrt(next((number for end, number in inputs.items() if name.endswith(end)), width))
