"""The page for people: rendered from records alone, self-contained, without scripts."""
