"""Two axes beside the verdict, never averaged into it: what can be studied of a release, and what modified.

Study: what could be fetched, found, prepared and matched. Modify: whether a changed recipe changes the result as predicted.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy

from openassay.core.findings import FetchRecord, InspectRecord, PrepareRecord
from openassay.core.verdict_records import ProbeOutcome, StudyCheck

NEEDED = ("datasets", "data_preprocessing_code", "training_code", "recipe", "params_final")
"""Components without which nobody can build a substantially equivalent system (OSAID 1.0: data information, code, parameters)."""


def study(fetched: FetchRecord, inspected: InspectRecord, prepared: PrepareRecord) -> tuple[StudyCheck, ...]:
    """What could be fetched, found, prepared and matched; unknown where nobody has looked."""
    absent = [artifact.name for artifact in fetched.artifacts if not artifact.fetched]
    uncited = [citation.claim for citation in inspected.citations if citation.found == "absent"]
    looked_up = any(citation.found != "not fetched" for citation in inspected.citations)
    differ = [check.array for check in prepared.checks if not check.passed]
    return (
        _check("artifacts are there", absent, fetched.artifacts, ", ".join(absent)),
        *(_published(name, inspected) for name in NEEDED),
        _check("claims stand where they are cited", uncited, looked_up, ", ".join(uncited)),
        _check("data preparation runs", prepared.status == "failed", prepared.status != "none", prepared.reason),
        _check("prepared data are the published data", differ, prepared.checks, ", ".join(differ)),
    )


def _published(name: str, inspected: InspectRecord) -> StudyCheck:
    of = [component for component in inspected.components if component.component == name]
    absent = any(component.found == "absent" or component.published == "no" for component in of)
    known = absent or any(component.found == "found" for component in of)
    return _check(f"published: {name.replace('_', ' ')}", absent, known, "")


def _check(name: str, failed: object, known: object, detail: str) -> StudyCheck:
    outcome: Literal["pass", "fail", "unknown"] = "unknown" if not known else "fail" if failed else "pass"
    return StudyCheck(check=name, outcome=outcome, detail=detail if failed else "")


def probe(
    *, arm: str, of: str, metric: str, expects: Literal["lower", "higher", "same"], changed: tuple[float | None, ...],
    faithful: tuple[float | None, ...], alpha: float, margin: float = 0.0,
) -> ProbeOutcome:  # fmt: skip
    """Whether a changed recipe changes the metric as predicted: a one-sided paired t-test over the seeds of both.

    margin: for `same`, how far apart the two may lie; then p is that of a difference that is no larger.
    """
    pairs = [a - b for a, b in zip(changed, faithful, strict=False) if a is not None and b is not None]
    sign, p = 1 if expects == "higher" else -1, None
    outcome: Literal["as predicted", "opposite", "not shown"] = "not shown"
    mean = float(np.mean(pairs)) if pairs else None
    if mean is not None and len(pairs) >= 2:
        error = float(np.std(pairs, ddof=1)) / len(pairs) ** 0.5
        below = abs(mean) - margin if expects == "same" else sign * mean
        p = float(scipy.special.stdtr(len(pairs) - 1, -below / error)) if error > 0 else float(below <= 0)
    if expects == "same":
        outcome = (
            "not shown"
            if p is None
            else "opposite"
            if p <= alpha
            else "as predicted"
            if 1 - p <= alpha
            else "not shown"
        )
    elif mean is not None and p is not None:
        outcome = "as predicted" if p <= alpha else "opposite" if 1 - p <= alpha and mean != 0 else "not shown"
    return ProbeOutcome(
        arm=arm, of=of, metric=metric, expects=expects, num_pairs=len(pairs), difference=mean, p=p, outcome=outcome
    )
