"""Every consistency check, and how to ask them all."""

from __future__ import annotations

from collections.abc import Callable

from openassay.checks import (
    arithmetic,
    beside,
    cards,
    checkpoints,
    code,
    documentation,
    hyperparameters,
    licences,
    lists,
    loading,
    measured,
    packaging,
    precision,
    result_tables,
    results,
    token_totals,
    unread,
    vocabularies,
    yaml_types,
)
from openassay.checks.bounded import CheckLimits, answers_within
from openassay.checks.check import ConsistencyCheck
from openassay.core.findings import CheckAnswer
from openassay.published.files import PublishedFiles

_MODULES = (
    token_totals, hyperparameters, yaml_types, vocabularies, checkpoints, results, lists, documentation, licences,
    loading, precision, arithmetic, beside, measured, result_tables, unread, code, packaging, cards,
)  # fmt: skip
CONSISTENCY = tuple(check for of in _MODULES for check in vars(of).values() if isinstance(check, ConsistencyCheck))
"""All the checks of these modules, in the order of their definitions."""


def run_checks(
    release: PublishedFiles, say: Callable[[str], None] = lambda _line: None, limits: CheckLimits | None = None
) -> tuple[CheckAnswer, ...]:
    """The answer of every check, in the order above; `say` is told what is asked where it takes long."""
    return answers_within(limits or CheckLimits(), CONSISTENCY, release, say)
