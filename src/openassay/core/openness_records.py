"""Openness: components, terms and duties as a release declares them, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ComponentName = Literal[
    "model_architecture", "data_preprocessing_code", "training_code", "inference_code", "evaluation_code",
    "supporting_libraries", "params_final", "params_intermediate", "datasets", "evaluation_data", "model_metadata",
    "sample_outputs", "model_card", "data_card", "technical_report", "research_paper", "evaluation_results",
    "recipe", "training_logs",
]  # fmt: skip
"""The 17 components of the Model Openness Framework (arXiv:2403.13784; `params` are the model parameters), and two that a rerun
needs beside them: the training recipe's settings, and the logs."""

Answer = Literal["passes", "fails", "unknown"]
"""`unknown` is an answer of its own: nothing passes because nobody has looked."""

Freedom = Literal["use", "study", "modify", "share"]


@dataclass(frozen=True, kw_only=True)
class Clause:
    """A clause of custom terms that refuses a freedom."""

    clause: str
    effect: str
    hinders: tuple[Freedom, ...]
    free: Literal["fails", "unknown"]
    """Whether terms with it may be a free and open-source licence in the sense of Article 53(2) of Regulation (EU) 2024/1689:
    they are none (guidelines C(2025) 5045, paragraphs 78 to 83), or a person must judge (84: terms for safety may restrict)."""
    source: str


@dataclass(frozen=True, kw_only=True)
class Duty:
    """One duty of data information (Open Source AI Definition 1.0), as the release meets it."""

    published: Literal["yes", "no", "partly", "unknown"]
    where: str | None = None
    licence: str = "unknown"
    """Terms of the description itself, not of the data."""
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class DataInformation:
    """What the release says of its training data: the three duties of the Open Source AI Definition 1.0."""

    description: Duty
    """Complete description of all training data, also of what cannot be shared: provenance, scope and characteristics, how it
    was obtained and selected, labelling, processing and filtering."""
    public_data: Duty
    """Listing of all publicly available training data, and where to obtain it."""
    third_party_data: Duty
    """Listing of all training data obtainable from third parties, and where, including for a fee."""


@dataclass(frozen=True, kw_only=True)
class Review:
    """What somebody else has found of this release's openness. Shown beside our own result; it never decides it."""

    by: str
    result: str
    source: str
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Gap:
    """What keeps a release from a class of the Model Openness Framework."""

    component: str
    classes: tuple[int, ...]
    """The classes (3, 2, 1) that need it."""
    problem: Literal["absent", "in part", "unknown", "licence"]
    reason: str


@dataclass(frozen=True, kw_only=True)
class MofResult:
    """The class of the Model Openness Framework that a release reaches."""

    mof_class: Literal[0, 1, 2, 3]
    """1 open science, 2 open tooling, 3 open model, 0 none: what is certain. What is unknown counts as missing."""
    label: str
    if_unknown_pass: Literal[0, 1, 2, 3]
    """The class that it would reach if all that is unknown turned out well."""
    missing: tuple[Gap, ...]
    """For every class that it does not reach, the next one first."""
    conditional: tuple[str, ...]
    """Components whose licence is open but not made for their kind of content."""


@dataclass(frozen=True, kw_only=True)
class Element:
    """One element that the Open Source AI Definition asks for."""

    element: Literal["data_information", "code", "parameters"]
    outcome: Answer
    reasons: tuple[str, ...]
    """What fails, then what is unknown; empty where it passes."""


@dataclass(frozen=True, kw_only=True)
class OsaidResult:
    """What one edition of the Open Source AI Definition says of a release. A reading, not a certification."""

    edition: str
    source: str
    outcome: Answer
    elements: tuple[Element, ...]
    note: str | None


@dataclass(frozen=True, kw_only=True)
class FreedomResult:
    """Whether everybody can exercise one of the four freedoms."""

    freedom: Freedom
    outcome: Answer
    obstacles: tuple[str, ...]
    """What stands in the way, then what is unknown."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One condition of Article 53(2) of Regulation (EU) 2024/1689."""

    condition: str
    article: str
    outcome: Answer
    reasons: tuple[str, ...]
    """Why it is not (known to be) met; what is relied on where it is."""


@dataclass(frozen=True, kw_only=True)
class StillDue:
    """A duty of Article 53(1) that paragraph 2 spares nobody."""

    duty: str
    article: str
    where: str | None
    """Where it is told, as the target says; none: not known here."""


@dataclass(frozen=True, kw_only=True)
class Article53Facts:
    """What a target tells for this article alone; none where it does not know."""

    training_flop: float | None
    training_flop_is: str | None
    """Where the compute of the training is published, or how it is computed."""
    copyright_policy: str | None
    """Where the policy on copyright is told."""
    training_summary: str | None
    """Where the summary of the training content is published."""


@dataclass(frozen=True, kw_only=True)
class ExemptionReading:
    """The conditions under which Article 53(2) spares the provider of a general-purpose AI model some duties. No legal advice."""

    outcome: Answer
    """Whether all the conditions are met by what is published."""
    says: str
    """The same in a sentence."""
    conditions: tuple[Condition, ...]
    still_due: tuple[StillDue, ...]
    not_decided: tuple[str, ...]
    """What the exemption also depends on, and no published file shows."""
    source: str
    note: str


@dataclass(frozen=True, kw_only=True)
class Openness:
    """How open a release is: by the Open Source AI Definition, freedom by freedom, and by the Model Openness Framework."""

    osaid: OsaidResult
    """Edition 1.0."""
    earlier: tuple[OsaidResult, ...]
    """The draft checklists 0.0.9 and 0.0.8."""
    freedoms: tuple[FreedomResult, ...]
    mof: MofResult
    eu_exemption: ExemptionReading
    to_release: tuple[str, ...]
    """What the publisher would have to release, or license otherwise, for edition 1.0 to pass."""
    reviews: tuple[Review, ...]
