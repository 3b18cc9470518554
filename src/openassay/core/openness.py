"""How open a release is: the Open Source AI Definition element by element and freedom by freedom, and the class of the Model
Openness Framework.

Pure functions of components, licences and what was found of them. `unknown` never counts as a yes. The rules, their sources,
and where our reading differs from the Model Openness Tool's: docs/openness.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from openassay.core.findings import ComponentFound
from openassay.core.licences import Content, LicenceTerms, every, some, terms_of
from openassay.core.openness_records import (
    Answer,
    Condition,
    DataInformation,
    Duty,
    Element,
    ExemptionReading,
    Freedom,
    FreedomResult,
    Gap,
    MofResult,
    Openness,
    OsaidResult,
    Review,
)

CONTENT: dict[str, Content] = {
    "model_architecture": "code", "data_preprocessing_code": "code", "training_code": "code", "inference_code": "code",
    "evaluation_code": "code", "supporting_libraries": "code", "params_final": "data", "params_intermediate": "data",
    "datasets": "data", "evaluation_data": "data", "model_metadata": "data", "sample_outputs": "document",
    "model_card": "document", "data_card": "document", "technical_report": "document", "research_paper": "document",
    "evaluation_results": "document", "recipe": "code", "training_logs": "document",
}  # fmt: skip
"""Kind of content of each component, as in the Model Openness Framework; ours for the last two."""

MOF_COMPONENTS = tuple(name for name in CONTENT if name not in {"recipe", "training_logs"})

CLASS_NEEDS: dict[int, tuple[str, ...]] = {
    3: ("model_architecture", "params_final", "evaluation_results", "model_card", "data_card", "technical_report"),
    2: ("training_code", "inference_code", "evaluation_code", "evaluation_data"),
    1: ("datasets", "data_preprocessing_code", "params_intermediate", "research_paper"),
}
"""What each class adds to the one before it; an open research paper stands in for the technical report."""

LABELS = ("Unclassified", "Class I - Open Science Model", "Class II - Open Tooling Model", "Class III - Open Model")

CODE = (
    "data_preprocessing_code", "training_code", "evaluation_code", "inference_code", "supporting_libraries",
    "model_architecture",
)  # fmt: skip
"""What the definition's code element asks for (editions 1.0, 0.0.9 and 0.0.8): processing and filtering of the data; training,
validation and testing; inference; supporting libraries; the architecture. The training's settings (`recipe`) where declared."""

DOCUMENTS = ("datasets", "research_paper", "technical_report", "data_card")
"""Edition 0.0.9 asks for one of these at least, in this order of importance."""

DUTIES = {
    "description": "a complete description of all training data",
    "public_data": "a listing of the publicly available training data and where to obtain it",
    "third_party_data": "a listing of the training data obtainable from third parties and where",
}

SOURCE_1_0 = (
    "https://opensource.org/ai/open-source-ai-definition (2024-10-28); hackmd.io/@opensourceinitiative/checklist-mof"
)
SOURCE_0_0_9 = "OSI, checklist draft v. 0.0.9 (opensource.org/deepdive/drafts); quoted at discuss.opensource.org/t/659"
SOURCE_0_0_8 = "https://opensource.org/deepdive/drafts/the-open-source-ai-definition-draft-v-0-0-8"
NOTE_RECORD = "by this record alone: what it leaves out counts as not published"
NOTE_0_0_8 = "the required parts of this draft's checklist are recalled, not read: its table could not be retrieved"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One component as far as it is known."""

    component: str
    """A `ComponentName`."""
    published: str
    """`yes`, `no` or `partly`; any other word says that it is not known."""
    licence: str | None
    """As stated; none for no licence."""
    absent: bool = False
    """Declared as published, looked for where it should be, and not found."""
    where: str | None = None
    note: str | None = None


def part_of(found: ComponentFound) -> Part:
    """The component as `inspect` recorded it."""
    return Part(
        component=found.component, published=found.published, licence=found.licence, absent=found.found == "absent",
        where=found.where, note=found.note,
    )  # fmt: skip


Asked = tuple[Answer, str]
"""An answer, and the reason where it does not pass."""


@dataclass(frozen=True, kw_only=True)
class _Judged:
    """A component's presence and terms, each with the reason why it does not pass."""

    component: str
    presence: Answer
    presence_reason: str
    terms: LicenceTerms
    note: str | None = None

    @property
    def terms_reason(self) -> str:
        """Why its terms are not (known to be) open; where they are not known, with what the target says of that."""
        return self.terms.reason + (f" ({self.note})" if self.note and self.terms.open == "unknown" else "")

    def under(self, answer: Answer, asked: str) -> Asked:
        """Whether it is there under terms whose answer is this, and why not."""
        outcome = every([self.presence, answer])
        if self.presence == "fails" or (self.presence == "unknown" and answer != "fails"):
            return outcome, self.presence_reason
        lacking = f"{shown(self.component)}: {self.terms_reason or f'{self.terms.text} is not {asked}'}"
        return outcome, "" if answer == "passes" else lacking

    @property
    def there(self) -> Asked:
        """Whether it is there, whatever its terms."""
        return self.presence, self.presence_reason

    @property
    def open(self) -> Asked:
        """Whether it is there under open terms."""
        return self.under(self.terms.open, "open")


Judged = dict[str, list[_Judged]]


def shown(component: str) -> str:
    """A component's name in words."""
    words = {"params_final": "final parameters", "params_intermediate": "intermediate parameters"}
    return words.get(component, component.replace("_", " "))


_NOT_KNOWN: Asked = ("unknown", "not known whether it is published")
_PUBLISHED: dict[str, Asked] = {
    "yes": ("passes", ""), "partly": ("unknown", "published in part only"), "no": ("fails", "not published"),
}  # fmt: skip
"""What a declaration says of presence, and why it does not pass."""


def _judge(parts: Iterable[Part], *, exact: bool, complete: bool) -> Judged:
    """Every component of the framework, and those two of ours that are declared."""
    judged: Judged = {}
    for part in parts:
        presence, said = _PUBLISHED.get(part.published, _NOT_KNOWN)
        if part.absent and presence == "passes":
            presence, said = "unknown", "declared as published, but not found where it was looked for"
        reason = f"{shown(part.component)}: {said}{f' ({part.note})' if part.note else ''}" if said else ""
        terms = terms_of(part.licence, exact=exact)
        one = _Judged(
            component=part.component, presence=presence, presence_reason=reason, terms=terms, note=part.note
        )  # fmt: skip
        judged.setdefault(part.component, []).append(one)
    presence, said = ("fails", "not in the record") if complete else _NOT_KNOWN
    for name in set(MOF_COMPONENTS) - set(judged):
        reason, terms = f"{shown(name)}: {said}", terms_of("unknown")
        judged[name] = [_Judged(component=name, presence=presence, presence_reason=reason, terms=terms)]
    return judged


def classify(parts: Iterable[Part], *, record: bool = False) -> MofResult:
    """The class of the Model Openness Framework that is reached, and what is missing for the next ones.

    Presence and openness of each required component, class by class: a component counts under any open licence, with a note
    where the licence is not made for its kind of content. `record`: by the Model Openness Tool's rules for its own records:
    what is not listed is not there, and licences count only as SPDX spells them.
    """
    judged = _judge(parts, exact=record, complete=record)
    answers = {name: _open(judged[name]) for name in MOF_COMPONENTS}
    answers["technical_report"] = some([answers["technical_report"], answers["research_paper"]])
    reached = _reached(answers, {"passes"})
    return MofResult(
        mof_class=reached, label=LABELS[reached], if_unknown_pass=_reached(answers, {"passes", "unknown"}),
        missing=tuple(_gaps(judged, answers, reached)),
        conditional=tuple(
            name for name in MOF_COMPONENTS if answers[name] == "passes"
            and any(CONTENT[name] not in item.terms.fits for item in judged[name] if item.terms.open == "passes")
        ),
    )  # fmt: skip


def _open(items: Iterable[_Judged]) -> Answer:
    """Whether all parts of a component are there under open terms."""
    return every([item.open[0] for item in items])


def _reached(answers: dict[str, Answer], enough: set[Answer]) -> Literal[0, 1, 2, 3]:
    model, tooling, science = (all(answers[name] in enough for name in CLASS_NEEDS[level]) for level in (3, 2, 1))
    return 0 if not model else 3 if not tooling else 2 if not science else 1


def _gaps(judged: Judged, answers: dict[str, Answer], reached: int) -> Iterable[Gap]:
    for level in (3, 2, 1):
        if reached and level >= reached:
            continue
        for name in CLASS_NEEDS[level]:
            if answers[name] == "passes":
                continue
            worst = min(judged[name], key=lambda item: ("fails", "unknown", "passes").index(item.open[0]))
            problem, reason = _problem(worst)
            if name == "technical_report":
                reason += "; an open research paper would do as well"
            yield Gap(component=name, classes=tuple(range(level, 0, -1)), problem=problem, reason=reason)


def _problem(item: _Judged) -> tuple[Literal["absent", "in part", "unknown", "licence"], str]:
    said = item.presence_reason.partition(": ")[2]
    if item.presence == "fails":
        return "absent", said
    if item.terms.open == "fails":
        return "licence", item.terms_reason
    if item.presence == "unknown":
        return "in part" if "in part" in said else "unknown", said
    return "unknown", item.terms_reason


def _reasons(asked: list[Asked]) -> tuple[str, ...]:
    """What fails, then what is unknown, each reason once."""
    reasons = [reason for wanted in ("fails", "unknown") for answer, reason in asked if answer == wanted and reason]
    return tuple(dict.fromkeys(reasons))


def _element(element: Literal["data_information", "code", "parameters"], asked: list[Asked]) -> Element:
    """An element from what is asked for it: every part must pass."""
    return Element(element=element, outcome=every([answer for answer, _ in asked]), reasons=_reasons(asked))


def _duty(name: str, duty: Duty, *, read_only: bool = False) -> Asked:
    """Whether a duty is met, and why not. `read_only`: whatever the terms of what is published."""
    what = DUTIES[name]
    answer, said = _PUBLISHED.get(duty.published, _NOT_KNOWN)
    if said:
        return answer, f"{what}: {said}" + (f" ({duty.note})" if duty.note else "")
    if read_only:
        return "passes", ""
    terms = terms_of(duty.licence)
    note = f" ({duty.note})" if duty.note and terms.open == "unknown" else ""
    return terms.open, "" if terms.open == "passes" else f"{what}: published; {terms.reason}{note}"


def _asked_of_data(judged: Judged, info: DataInformation | None, *, read_only: bool = False) -> list[Asked]:
    """Edition 1.0's three duties, where the release's statement of them is known; else what the components tell."""
    if info is not None:
        return [_duty(name, getattr(info, name), read_only=read_only) for name in DUTIES]
    if some([every([item.presence for item in judged[name]]) for name in DOCUMENTS]) == "fails":
        described = "neither training data nor any paper, report or data card that could describe it is published"
        return [("fails", described)]
    duties = "all training data is described and listed (the definition's three duties)"
    return [("unknown", f"components alone do not tell whether {duties}")]


def _documents(judged: Judged) -> Element:
    """Edition 0.0.9: one of four kinds of documents at least, under open terms."""
    outcome = some([_open(judged[name]) for name in DOCUMENTS])
    reasons = [item.open[1] for name in DOCUMENTS for item in judged[name]]
    lacking = () if outcome == "passes" else tuple(filter(None, reasons))
    return Element(element="data_information", outcome=outcome, reasons=lacking)


def in_words(found: OsaidResult) -> str:
    """The outcome by an edition of the definition; where it is no pass, with each component or duty that keeps it from one."""
    reasons = [reason for element in found.elements if element.outcome == found.outcome for reason in element.reasons]
    said = "" if found.outcome == "passes" else f": {'; '.join(dict.fromkeys(reasons))}"
    return f"Open Source AI Definition {found.edition}: {found.outcome}{said}"


def _edition(edition: str, source: str, elements: tuple[Element, ...], note: str | None = None) -> OsaidResult:
    outcome = every([element.outcome for element in elements])
    return OsaidResult(edition=edition, source=source, outcome=outcome, elements=elements, note=note)


RUN = ("params_final", "inference_code")
BUILD = ("data_preprocessing_code", "training_code", "params_final")
PASSED_ON = ("params_final", "inference_code", "model_architecture", "training_code", "data_preprocessing_code")

NEEDED_FOR: dict[Freedom, tuple[str, ...]] = {
    "use": RUN,
    "study": (*BUILD, "evaluation_code", "model_architecture"),
    "modify": (*BUILD, "model_architecture"),
    "share": ("params_final",),
}
"""Whose absence stands in a freedom's way. To share is to pass on what there is: only the parameters must be there."""

TERMS_FOR: dict[Freedom, tuple[str, ...]] = {
    "use": (*RUN, "model_architecture"), "study": (), "modify": PASSED_ON, "share": PASSED_ON,
}  # fmt: skip
"""Whose terms may refuse a freedom. What is published can be read, whatever its terms."""


def _freedom(freedom: Freedom, judged: Judged, data: list[Asked]) -> FreedomResult:
    asked = [item.there for name in NEEDED_FOR[freedom] for item in judged[name]]
    if freedom in {"study", "modify"}:
        asked += [*data, *(item.there for item in judged.get("recipe", ()))]
    asked += _refusals(freedom, [item for name in TERMS_FOR[freedom] for item in judged[name]])
    return FreedomResult(freedom=freedom, outcome=every([answer for answer, _ in asked]), obstacles=_reasons(asked))


def _refusals(freedom: Freedom, items: list[_Judged]) -> list[Asked]:
    """What the terms refuse, or may refuse: each clause once, with all the components that are under it."""
    found: dict[Asked, list[str]] = {}
    for item in items:
        terms = item.terms
        if item.presence == "fails" or terms.open == "passes" or (item.presence == terms.open == "unknown"):
            continue  # whether it is there is asked above, where it matters
        reasons: list[Asked] = [
            ("fails", f"{terms.text}, {clause.clause}: {clause.effect} [{clause.source}]")
            for clause in terms.clauses if freedom in clause.hinders
        ]  # fmt: skip
        if terms.open == "unknown" or not terms.clauses:
            # the terms are not known, or there is no licence, or it is listed as not open and its text is not known
            reasons = [("fails" if terms.text is None else "unknown", item.terms_reason)]
        for reason in reasons:
            found.setdefault(reason, []).append(shown(item.component))
    return [(answer, f"{', '.join(dict.fromkeys(of))}: {reason}") for (answer, reason), of in found.items()]


def openness(
    parts: Iterable[Part],
    info: DataInformation | None = None,
    reviews: tuple[Review, ...] = (),
    *,
    record: bool = False,
    training_flop: float | None = None,
) -> Openness:
    """All of it: edition 1.0 and the drafts, the four freedoms, the class, Article 53(2), and what would have to be released.

    `training_flop`: compute of the training, where it is known. `record`: of a record of the Model Openness Tool. How it
    spells its licences matters for the framework's class only: the definition asks what the terms are.
    """
    parts = tuple(parts)
    judged = _judge(parts, exact=False, complete=record)
    data, readable = (_asked_of_data(judged, info, read_only=read_only) for read_only in (False, True))
    # The settings may stand in a paper: the definition asks that they are told, not for a licence of code.
    asked = [item.under(item.terms.osi, "OSI-approved") for name in CODE for item in judged[name]]
    code = _element("code", asked + [item.there for item in judged.get("recipe", ())])
    parameters = _element("parameters", [item.open for item in judged["params_final"]])
    # Edition 0.0.8: methods, scope, provenance, labelling and cleaning of the training data are described.
    described = data if info is None else [_duty("description", info.description)]
    editions = (
        _edition("1.0", SOURCE_1_0, (_element("data_information", data), code, parameters), NOTE_RECORD if record else None),
        _edition("0.0.9", SOURCE_0_0_9, (_documents(judged), code, parameters)),
        _edition("0.0.8", SOURCE_0_0_8, (_element("data_information", described), code, parameters), NOTE_0_0_8),
    )  # fmt: skip
    return Openness(
        osaid=editions[0], earlier=editions[1:],
        freedoms=tuple(_freedom(freedom, judged, readable) for freedom in NEEDED_FOR),
        mof=classify(parts, record=record), eu_exemption=_exemption(judged, training_flop),
        to_release=_to_release(judged, info, data), reviews=reviews,
    )  # fmt: skip


SYSTEMIC_FLOP = 1e25
"""Training compute above which systemic risk is presumed (Article 51(2))."""
SOURCE_EU = "Regulation (EU) 2024/1689, Articles 51(2) and 53(2), recitals 102 to 104"
NOTE_EU = (
    "by what is published, and no legal advice: the article is about general-purpose AI models, and whether this is one, and who "
    "its provider is, is not decided here"
)
STILL_DUE = (
    "a policy to comply with Union law on copyright (Article 53(1)(c), recital 104)",
    "a public summary of the content used for training (Article 53(1)(d), recital 104)",
)


def _exemption(judged: Judged, training_flop: float | None) -> ExemptionReading:
    """The conditions of Article 53(2), each with what speaks for or against it."""
    parameters = judged["params_final"]

    def somewhere(*names: str) -> tuple[Answer, tuple[str, ...]]:
        """Whether one of these components is published, and which; else why none is known to be."""
        answers = [(every([item.presence for item in judged[name]]), name) for name in names]
        there = tuple(shown(name) for answer, name in answers if answer == "passes")
        lacking = tuple(item.presence_reason for name in names for item in judged[name] if item.presence_reason)
        return some([answer for answer, _ in answers]), there or lacking

    licence: list[Asked] = [
        (item.terms.open, item.terms.text or "") for item in parameters if item.terms.open == "passes"
    ]
    for freedom in ("use", "modify", "share"):
        licence += _refusals(freedom, [item for item in parameters if item.presence != "fails"])
    if every([item.presence for item in parameters]) == "fails":
        licence = [("fails", "the final parameters are not published")]
    reasons = _reasons(licence) or tuple(reason for _, reason in licence)
    if training_flop is None:
        risk: tuple[Answer, str] = ("unknown", "the compute of the training is not known here")
    else:
        within = f"{training_flop:.2g} FLOP, {'at most' if training_flop <= SYSTEMIC_FLOP else 'more than'} 1e25"
        risk = ("passes" if training_flop <= SYSTEMIC_FLOP else "fails", within)
    conditions = (
        Condition(
            condition="a free and open-source licence that allows access, usage, modification and distribution of the model",
            article="53(2); recital 102", outcome=every([answer for answer, _ in licence] or ["unknown"]), reasons=reasons,
        ),
        *(
            Condition(condition=f"{what} made publicly available", article="53(2)", outcome=answer, reasons=told)
            for what, (answer, told) in {
                "parameters, including the weights,": somewhere("params_final"),
                "information on the model architecture": somewhere(
                    "model_architecture", "technical_report", "research_paper", "model_card"
                ),
                "information on model usage": somewhere("model_card", "inference_code"),
            }.items()
        ),
        Condition(
            condition="no presumption of systemic risk from the compute of its training", article="53(2) with 51(2)",
            outcome=risk[0], reasons=(risk[1],),
        ),
    )  # fmt: skip
    return ExemptionReading(
        outcome=every([of.outcome for of in conditions]),
        conditions=conditions,
        still_due=STILL_DUE,
        source=SOURCE_EU,
        note=NOTE_EU,
    )


def _to_release(judged: Judged, info: DataInformation | None, data: list[Asked]) -> tuple[str, ...]:
    """What is certain to be lacking, as something to do."""
    todo = []
    for (name, what), (answer, _) in zip(DUTIES.items(), data if info else data * len(DUTIES), strict=True):
        if answer == "fails":
            closed = info is not None and getattr(info, name).published != "no"
            todo.append(f"put under open terms: {what}" if closed else f"publish {what}")
    for name in (*CODE, "recipe", "params_final"):
        for item in judged.get(name, ()):
            answer, asked = item.terms.osi, "an OSI-approved licence"
            if name == "params_final":
                answer, asked = item.terms.open, "open terms"
            if item.presence == "fails":
                todo.append(f"publish the {shown(name)}")
            elif answer == "fails" and name != "recipe":
                todo.append(f"put the {shown(name)} under {asked} (now {item.terms.text or 'no licence'})")
    return tuple(dict.fromkeys(todo))
