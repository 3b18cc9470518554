"""OpenAssay: checks whether a published training recipe gives the published result."""


def __getattr__(name: str) -> str:
    """The version, looked up where it is asked for: that takes a while."""
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415

        return version("openassay")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
