"""How is a scaled-down rerun matched to the release, so that nothing but rounding is left to chance?"""
