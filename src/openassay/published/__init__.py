"""Reads what others publish, once: settings with their places, recipes, documents, tables, licences, tokens, weights."""
