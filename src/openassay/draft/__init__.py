"""Drafts a target file from an ordinary release (`openassay new`): what its files show, and what is guessed. Nothing is run."""
