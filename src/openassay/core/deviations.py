"""What was different from the release when its numbers were tested, and the sentence that says what came out then."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from openassay.core.sequential import SIDES

Kind = Literal[
    "other_code", "other_settings", "other_versions", "other_data", "scaled_down", "other_hardware", "assumed_values",
    "unprotected",
]  # fmt: skip
"""`other_code`: a trainer or a script that is not the release's. `other_settings`: a training otherwise than published.
`other_versions`: of packages or of Python. `other_data`: the data changed since, or are not the published ones. `scaled_down`:
a shorter training. `assumed_values`: of the recipe, which the release does not state. `unprotected`: the release's code ran
without a cage, and could have done anything."""

_LOWER = re.compile(r"loss|error|perplexity|\b(ppl|rmse|mse|mae|wer|cer|bpc|nll)\b")
_HIGHER = re.compile(r"accuracy|reward|\b(acc|f1|precision|recall|auc|auroc|mcc|bleu|rouge|map|r2|psnr|ssim)\b")
MOST_NAMED = 3
LONGEST = 200


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """One thing that was different from the release."""

    kind: Kind
    what: str
    """In words that may follow "with", no full stop: `the data as changed on 2017-08-31`."""

    def __post_init__(self) -> None:
        """Raises ValueError for words that a sentence cannot take up."""
        if not self.what.strip() or self.what.endswith(".") or "\n" in self.what or len(self.what) > LONGEST:
            raise ValueError(
                f'what: expected words that may follow "with", in one line of {LONGEST} characters at most and without a full '
                f"stop, found {self.what[:LONGEST]!r}"
            )


@dataclass(frozen=True, kw_only=True)
class ComparedNumber:
    """One published number beside what came out."""

    metric: str
    unit: str
    direction: str
    published: float
    difference: float | None
    """What came out minus the published number."""
    outcome: str


def better(metric: str, direction: str = "two-sided") -> Literal["higher", "lower"] | None:
    """Which way a metric gets better, by the claim's direction or the metric's name; None where neither tells."""
    if side := SIDES.get(direction, 0):
        return "higher" if side > 0 else "lower"
    words = re.sub(r"[^a-z0-9]+", " ", metric.lower())
    lower, higher = bool(_LOWER.search(words)), bool(_HIGHER.search(words))
    return None if lower == higher else "lower" if lower else "higher"


def way(of: ComparedNumber) -> str:
    """`higher`, `lower` or `equal`, with `(better)` or `(worse)` where that is known; empty where nothing came out."""
    if of.difference is None:
        return ""
    if of.difference == 0:
        return "equal"
    found = "higher" if of.difference > 0 else "lower"
    wanted = better(of.metric, of.direction)
    return found if wanted is None else f"{found} ({'better' if found == wanted else 'worse'})"


def in_words(
    compared: Sequence[ComparedNumber], deviations: Sequence[Deviation], because: str = "", own: str = ""
) -> str:  # fmt: skip
    """What came out of the reruns, in one sentence that names what was different; empty where nothing was tested.

    compared: the claims that reruns test. because: why an open result is open, in plain words. own: what
    a driver says that judges by a rule of its own, and compares no numbers.
    """
    tested = [of for of in compared if of.outcome != "NOT_ATTEMPTED"]
    if not tested:
        return ""
    said = own or (_one(tested[0], because) if len(compared) == 1 else _several(compared, because))
    if different := listed([of.what for of in deviations if of.kind != "unprotected"], MOST_NAMED):
        said = f"with {different}, {said}"
    return said[:1].upper() + said[1:]


def _one(of: ComparedNumber, because: str) -> str:
    against = f"the published {figure(of.published, of.unit)}"
    found = "nothing" if of.difference is None else figure(of.published + of.difference, of.unit)
    which = way(of)
    which = "" if which in {"", "equal"} else f", which is {which}"
    if of.outcome == "REPRODUCED":
        return f"the reruns give {found} for {against}: within the tolerance that was declared beforehand"
    if of.outcome == "NOT_REPRODUCED":
        return f"the reruns give {found} for {against}{which}: outside the tolerance that was declared beforehand"
    return f"the reruns give {found} for {against}{which}. Nothing is decided: {because}"


def _several(compared: Sequence[ComparedNumber], because: str) -> str:
    total, within = len(compared), "within the tolerance that was declared beforehand"
    if all(of.outcome == "REPRODUCED" for of in compared):
        return f"all {total} published numbers come out {within}"
    accused, still = (
        _ways([of for of in compared if of.outcome == name]) for name in ("NOT_REPRODUCED", "INCONCLUSIVE")
    )
    so_far = "; ".join(filter(None, [f"{still} than published so far" if still else "", because]))
    phrases = {
        "NOT_REPRODUCED": ("comes", "come", f"out {accused} than published, outside the declared tolerance")
        if accused
        else ("does", "do", "not come out"),
        "REPRODUCED": ("comes", "come", f"out {within}"),
        "NOT_ATTEMPTED": ("was", "were", "not tested"),
        "INCONCLUSIVE": ("is", "are", "not decided" + (f": {so_far}" if so_far else "")),
    }
    parts: list[str] = []
    for name, (one, many, words) in phrases.items():
        if count := sum(of.outcome == name for of in compared):
            of_all = "" if parts else f" of {total} published numbers"
            parts.append(f"{count}{of_all} {one if count == 1 else many} {words}")
    return listed(parts, total)


def _ways(compared: Sequence[ComparedNumber]) -> str:
    """Which way numbers differ, counted where they differ in several: `2 higher (better) and 1 lower (worse)`."""
    ways = [way(of) for of in compared]
    names = [name for name in dict.fromkeys(ways) if name not in {"", "equal"}]
    if len(set(ways)) == len(names) == 1:
        return names[0]
    return listed([f"{ways.count(name)} {name}" for name in names], len(ways))


def figure(value: float, unit: str) -> str:
    """A number with its unit, as people write it."""
    text = f"{value:.5g}".replace("-", "−")
    return text if unit == "1" else f"{text} %" if unit == "percent" else f"{text} {unit}"


def listed(words: Sequence[str], most: int) -> str:
    """`a`, `a and b`, `a, b and c`; what is beyond `most` is counted."""
    shown = [*words[:most], f"{len(words) - most} more"] if len(words) > most else list(words)
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else ""
