"""Miniature releases with known truth, built on the fly."""
