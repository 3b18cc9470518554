"""One function a stage: typed in, typed out. Stages do not import each other; they meet in the records on disk."""
