"""How a language model is trained: the canonical recipe that every published format is read into.

Units: lengths and counts in tokens, sequences or updates; learning rates as the optimizer gets them; an update is counted from 0,
so that update k makes the checkpoint of step k + 1. `None` is "the release does not say", and then the trainer refuses to guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ADAM = ("adamw", "adam_l2")
"""The optimizers that are Adam, and so have its moments."""
Family = Literal["gpt_neox", "olmo", "olmo2", "llama", "t5", "gpt2"]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The network: everything that changes its function or its number of parameters."""

    family: Family
    vocab_size: int
    """Rows of the embedding, padding included."""
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int | None = None
    """None for as many as heads."""
    intermediate_size: int
    """Of the feed-forward block; for a gated one, of each of its two halves."""
    max_position: int
    activation: Literal["gelu", "gelu_tanh", "relu", "swiglu", "geglu"]
    norm: Literal["layer_norm", "layer_norm_without_weights", "rms_norm"]
    norm_eps: float
    rotary_share: float | None = None
    """Share of each head's dimensions that are rotated; None for no rotary embedding."""
    rotary_base: float = 10000.0
    parallel_residual: bool = False
    bias: bool
    tied_embeddings: bool
    qk_norm: bool = False
    attention_dropout: float = 0.0
    hidden_dropout: float = 0.0
    embedding_scale: float = 1.0
    """The embedding is multiplied by it (maximal update parametrisation)."""
    logits_scale: float = 1.0
    attention_scale: Literal["inverse_sqrt", "inverse"] = "inverse_sqrt"
    """Queries times keys are divided by the root of the head's size, or by the size."""
    head_size: int | None = None
    """None for `hidden_size` / `num_heads`."""
    relative_buckets: int | None = None
    """T5's relative positions: buckets of the bias that a stack's layers share; None for no such bias."""
    clip_qkv: float | None = None
    """Queries, keys and values are clamped to plus and minus this (OLMo 0724)."""


@dataclass(frozen=True, kw_only=True)
class Initialisation:
    """How the weights begin. Needed only where no step 0 is published; checked against it where one is."""

    method: str
    """As the release calls it."""
    std: float | None
    """Of the ordinary weight matrices; None where the method gives each its own."""
    output_method: str | None = None
    output_std: float | None = None
    """Of the matrices that write into the residual stream; None for the same as the others."""
    embedding_std: float | None = None
    truncated_at: float | None = None
    """In standard deviations."""


@dataclass(frozen=True, kw_only=True)
class LanguageOptimizer:
    """How the weights are changed."""

    name: Literal["adamw", "adam_l2", "adafactor", "lion", "sgd"]
    """`adamw` and `lion` decay the weights beside the update, `adam_l2` and `sgd` (without momentum) through the gradient."""
    betas: tuple[float, float] | None
    eps: float | None
    weight_decay: float
    not_decayed: tuple[Literal["bias", "norm", "embedding"], ...]
    """Kinds of parameters that are not decayed."""
    lr_multipliers: dict[str, float]
    """Factor on the learning rate by a part of the parameter's name; empty for one rate for all."""
    scaled_by_parameter: bool = True
    """Adafactor: a matrix's rate is multiplied by the root mean square of its values, as in Mesh TensorFlow."""
    factored_from: int = 128
    """Adafactor: matrices with so many rows and columns keep their second moments by row and column; 1 for every matrix."""


@dataclass(frozen=True, kw_only=True)
class LearningRate:
    """The learning rate of each update k.

    - `cosine_to_min`: linear warm-up to the peak, then half a cosine down to `minimum` at update `decay_steps`.
    - `cosine_clamped`: GPT-NeoX's form. After the warm-up the cosine has its full length `decay_steps`, counted from the
      warm-up's end, falls towards 0, and `minimum` is a floor.
    - `linear`: warm-up, then a line down to `minimum` at `decay_steps`. `inverse_sqrt`: warm-up, then `peak` times
      sqrt(warmup_steps / k). `constant`: warm-up, then `peak`. These two have no `minimum` and no `decay_steps`.

    The warm-up goes in a line from `warmup_minimum` to `peak`; T5's starts at the peak, and so stays there. Steps may be
    fractions: a schedule may be counted in tokens.
    """

    form: Literal["cosine_to_min", "cosine_clamped", "linear", "inverse_sqrt", "constant"]
    peak: float
    minimum: float
    warmup_steps: float
    decay_steps: float | None
    first: Literal["zero", "one_step"]
    """Update 0 has the learning rate 0 (`zero`: k/warmup) or that of one warm-up step (`one_step`: (k + 1)/warmup). With
    `one_step` the whole schedule, the decay too, is read at k + 1."""
    warmup_minimum: float = 0.0
    """Where the warm-up starts; OLMo's starts at a tenth of the peak unless it says otherwise, T5's at the peak."""


@dataclass(frozen=True, kw_only=True)
class LanguageData:
    """The tokens and their order."""

    sequence_length: int
    """Tokens that the model sees."""
    item_length: int
    """Tokens stored for each sequence: one more where inputs and labels are cut from one item."""
    order: Literal["as_stored", "megatron_shuffled", "olmo_shuffled", "unknown"]
    seed: int | None
    files: tuple[str, ...]
    eos_token_id: int | None = None
    pad_token_id: int | None = None
    token_type: Literal["uint16", "uint32", "int32", "int64"] | None = None
    """As stored; None where the file says it itself."""
    split: str | None = None
    """Megatron's shares of the documents for training, validation and test, where one path serves all three."""
    repetition_filter: tuple[int, int, int] | None = None
    """OLMo: sequences with a period of [0] to [1] tokens repeated [2] times or more bear no loss."""
    target_length: int | None = None
    """Tokens of an encoder-decoder's targets."""
    noise_density: float | None = None
    """Span corruption: the share of tokens that is masked."""
    mean_noise_span: float | None = None
    """Span corruption: mean length of a masked span, in tokens."""
    first_sentinel: int | None = None
    """Span corruption: the token that stands for the first masked span; the next spans' count down from it."""


@dataclass(frozen=True, kw_only=True)
class LanguageRecipe:
    """A published training of a language model."""

    architecture: Architecture
    initialisation: Initialisation
    optimizer: LanguageOptimizer
    learning_rate: LearningRate
    data: LanguageData
    batch_size: int
    """Sequences of one update, over all devices and accumulation steps."""
    steps: int | None
    tokens_total: int | None
    """As the release states it; None when it does not."""
    clip_norm: float | None
    """None for no clipping."""
    precision: Literal["fp32", "fp16", "bf16"]
    loss_scale: float | None = None
    """Initial dynamic loss scale of fp16."""
    z_loss: float = 0.0
    loss_divisor: Literal["labels", "tokens"] = "labels"
    """The sum of the losses is divided by their number, or by that of all tokens of the items (OLMo): the first token of an item,
    which is no label, then counts, and so do labels that bear no loss. Of an encoder-decoder the targets' tokens count."""
    clip_warmup_steps: float = 0
    """In updates 1 to this, counted from 0, `clip_norm` is `clip_warmup_factor` times as large. Not in update 0: OLMo, where this
    comes from, sets the limit after it has clipped."""
    clip_warmup_factor: float = 1.0
    checkpoints: tuple[int, ...] = ()
    """Steps that the recipe says are kept."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where one value of a recipe comes from."""

    kind: Literal["stated", "derived", "code default", "unstated"]
    """`stated` in the published file; `derived` from stated values; a `code default` at a pinned commit; or `unstated`: then it
    is None in the recipe, or what the format's documentation gives."""
    where: str
    """`file:line` and key; for a code default the file at its commit; for a derived value its formula."""


Value = bool | int | float | str | tuple["Value", ...] | dict[str, float] | None


@dataclass(frozen=True, kw_only=True)
class ReadRecipe:
    """A recipe with where each of its values comes from, and what the published file says beside it."""

    format: str
    values: dict[str, Value]
    """By dotted name in the recipe, for example `learning_rate.warmup_steps`: every value of the canonical recipe. None is
    "not stated", or "none" where the recipe's field says so; the origin tells them apart."""
    origins: dict[str, Origin]
    """By the same names."""
    missing: tuple[str, ...]
    """Names without which there is no `recipe`."""
    recipe: LanguageRecipe | None
    """None when values are missing: many published files say only a part."""
    ignored: dict[str, str]
    """Keys of the file that bear on no value above (parallelism, logging), with the reason."""
    unknown: dict[str, str]
    """Keys of the file that this reader does not know, with their place: nothing is ignored silently."""
    notes: tuple[str, ...]
    """Traps of this file: a value that a YAML 1.1 loader reads as text, a comment that contradicts a value, two keys at odds."""
