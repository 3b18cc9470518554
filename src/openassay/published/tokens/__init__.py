"""Readers of a release's published tokens, in their published order, that ask for no more bytes than they need.

Each published layout is a `Batches`: how many there are, which bytes of which files a span of them needs (computed from headers
and sizes alone), and a batch's token ids.
"""

from openassay.published.tokens.ranges import BadTokens, Batches, ByteRange, Bytes, local, size_of, spans

__all__ = ["BadTokens", "Batches", "ByteRange", "Bytes", "local", "size_of", "spans"]
