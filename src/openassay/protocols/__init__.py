"""Protocols that match a scaled-down rerun to the release, so that nothing but rounding is left to chance."""
