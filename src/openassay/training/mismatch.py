"""When can a recipe not be trained as it stands?"""


class RecipeMismatch(Exception):
    """The recipe and the data, or the published weights or their number, do not fit each other."""
