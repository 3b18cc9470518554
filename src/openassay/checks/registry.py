"""Every consistency check, and how to ask them all."""

from __future__ import annotations

from openassay.checks import (
    checkpoints,
    code,
    documentation,
    hyperparameters,
    licences,
    lists,
    loading,
    packaging,
    results,
    token_totals,
    vocabularies,
    yaml_types,
)
from openassay.checks.check import ConsistencyCheck, answer
from openassay.core.findings import CheckAnswer
from openassay.published.files import PublishedFiles

_MODULES = (
    token_totals, hyperparameters, yaml_types, vocabularies, checkpoints, results, lists, documentation, licences,
    loading, code, packaging,
)  # fmt: skip
CONSISTENCY = tuple(check for of in _MODULES for check in vars(of).values() if isinstance(check, ConsistencyCheck))
"""All the checks of these modules, in the order of their definitions."""


def run_checks(release: PublishedFiles) -> tuple[CheckAnswer, ...]:
    """The answer of every check, in the order above."""
    return tuple(answer(check, release) for check in CONSISTENCY)
