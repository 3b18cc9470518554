"""What ends a training before its end."""


class RecipeMismatch(Exception):
    """The recipe and the data, or the published weights or their number, do not fit each other."""


class TimeLimit(Exception):
    """The training took longer than it may."""
