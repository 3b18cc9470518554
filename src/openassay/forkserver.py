"""Imported by the server that forks the workers of a rerun stage, and by nothing else: it ends with the stage."""

from openassay.processes import end_with_parent

end_with_parent()
