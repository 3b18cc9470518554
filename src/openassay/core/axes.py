"""What can be studied and modified of a release? Two axes beside the verdict, never averaged into it.

Study: could everything be fetched, found, prepared and matched? Modify: does a changed recipe change the result as predicted?
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
    """What could be fetched, found, prepared and matched? Unknown where nobody has looked."""
    missing = [artifact.name for artifact in fetched.artifacts if not artifact.fetched]
    checks = [_check("artifacts are there", bool(missing), bool(fetched.artifacts), ", ".join(missing))]
    for name in NEEDED:
        of = [component for component in inspected.components if component.component == name]
        absent = [component for component in of if component.found == "absent" or component.published == "no"]
        looked = [component for component in of if component.found == "found" or component in absent]
        checks.append(_check(f"published: {name.replace('_', ' ')}", bool(absent), bool(looked), ""))
    absent_quotes = [citation.claim for citation in inspected.citations if citation.found == "absent"]
    looked_up = [citation for citation in inspected.citations if citation.found != "not fetched"]
    checks.append(
        _check("claims stand where they are cited", bool(absent_quotes), bool(looked_up), ", ".join(absent_quotes))
    )
    checks.append(
        _check("data preparation runs", prepared.status == "failed", prepared.status != "none", prepared.reason)
    )
    differ = [check.array for check in prepared.checks if not check.passed]
    checks.append(
        _check("prepared data are the published data", bool(differ), bool(prepared.checks), ", ".join(differ))
    )
    return tuple(checks)


def _check(name: str, failed: bool, known: bool, detail: str) -> StudyCheck:
    outcome: Literal["pass", "fail", "unknown"] = "unknown" if not known else "fail" if failed else "pass"
    return StudyCheck(check=name, outcome=outcome, detail=detail if failed else "")


def probe(
    *, arm: str, of: str, metric: str, expects: Literal["lower", "higher"], changed: tuple[float | None, ...],
    faithful: tuple[float | None, ...], alpha: float,
) -> ProbeOutcome:  # fmt: skip
    """Does a changed recipe change the metric as predicted? A one-sided paired t-test over the seeds that both were run on."""
    pairs = [a - b for a, b in zip(changed, faithful, strict=False) if a is not None and b is not None]
    sign = 1 if expects == "higher" else -1
    outcome: Literal["as predicted", "opposite", "not shown"] = "not shown"
    p = None
    mean = float(np.mean(pairs)) if pairs else None
    if mean is not None and len(pairs) >= 2:
        error = float(np.std(pairs, ddof=1)) / len(pairs) ** 0.5
        p = float(scipy.special.stdtr(len(pairs) - 1, -sign * mean / error)) if error > 0 else float(sign * mean <= 0)
        outcome = "as predicted" if p <= alpha else "opposite" if 1 - p <= alpha and mean != 0 else "not shown"
    return ProbeOutcome(
        arm=arm, of=of, metric=metric, expects=expects, num_pairs=len(pairs), difference=mean, p=p, outcome=outcome
    )
