"""How are a release's published tokens read, in their published order, and only those that are needed?

Each published layout gives `Batches`: how many there are, which bytes of which files a span of them needs (computed from headers
and sizes alone), and a batch's token ids. `order_witness` says in one line whether two readers found the same order.
"""

from openassay.training.tokens.ranges import (
    BadTokens,
    Batches,
    ByteRange,
    Bytes,
    Tokens,
    in_order,
    joined,
    local,
    order_witness,
    size_of,
    spans,
)

__all__ = [
    "BadTokens",
    "Batches",
    "ByteRange",
    "Bytes",
    "Tokens",
    "in_order",
    "joined",
    "local",
    "order_witness",
    "size_of",
    "spans",
]
