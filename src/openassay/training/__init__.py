"""The native trainer: trains a small supervised model from a declarative recipe, where a release's own code is not at hand."""
