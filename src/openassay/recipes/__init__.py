"""Readers of published training recipes."""
