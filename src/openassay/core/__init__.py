"""The pure core: the nouns and the statistics. Standard library, numpy and scipy only; no I/O, clock or global randomness."""
