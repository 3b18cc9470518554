"""How open is a release? The Open Source AI Definition element by element and freedom by freedom, and the class of the Model
Openness Framework.

Pure functions of components, licences and what was found of them. `unknown` never counts as a yes. The rules, their sources,
and where our reading differs from the Model Openness Tool's: docs/openness.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from openassay.core.findings import ComponentFound
from openassay.core.licences import Content, LicenceTerms, every, some, terms_of
from openassay.core.openness_records import (
    Answer,
    ComponentName,
    DataInformation,
    Duty,
    Element,
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

LABELS = {
    0: "Unclassified",
    1: "Class I - Open Science Model",
    2: "Class II - Open Tooling Model",
    3: "Class III - Open Model",
}

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

    component: ComponentName
    published: Literal["yes", "no", "partly", "unknown"]
    licence: str | None
    """As stated; none for no licence."""
    absent: bool = False
    """Declared as published, looked for where it should be, and not found."""
    where: str | None = None
    note: str | None = None


def part_of(found: ComponentFound) -> Part:
    """The component as `inspect` recorded it."""
    return Part(
        component=_name(found.component), published=_published(found.published), licence=found.licence,
        absent=found.found == "absent", where=found.where, note=found.note,
    )  # fmt: skip


def _name(name: str) -> ComponentName:
    known: dict[str, ComponentName] = {known: known for known in get_args(ComponentName)}
    return known[name]


def _published(word: str) -> Literal["yes", "no", "partly", "unknown"]:
    known: dict[str, Literal["yes", "no", "partly", "unknown"]] = {"yes": "yes", "no": "no", "partly": "partly"}
    return known.get(word, "unknown")


@dataclass(frozen=True, kw_only=True)
class _Judged:
    """A component's presence and terms, each with the reason why it does not pass."""

    component: str
    presence: Answer
    presence_reason: str
    terms: LicenceTerms

    def under(self, answer: Answer) -> Answer:
        """Is it there, under terms whose answer is this?"""
        return every([self.presence, answer])


_WORDS = {"params_final": "final parameters", "params_intermediate": "intermediate parameters"}


def shown(component: str) -> str:
    """A component's name in words."""
    return _WORDS.get(component, component.replace("_", " "))


def _presence(part: Part) -> tuple[Answer, str]:
    if part.published == "no":
        return "fails", "not published"
    if part.published == "partly":
        return "unknown", "published in part only"
    if part.published == "unknown":
        return "unknown", "not known whether it is published"
    if part.absent:
        return "unknown", "declared as published, but not found where it was looked for"
    return "passes", ""


def _judge(parts: Iterable[Part], *, exact: bool, complete: bool) -> dict[str, tuple[_Judged, ...]]:
    """Every component of the framework, and those two of ours that are declared."""
    judged: dict[str, list[_Judged]] = {}
    for part in parts:
        presence, said = _presence(part)
        note = f" ({part.note})" if said and part.note else ""
        reason = f"{shown(part.component)}: {said}{note}" if said else ""
        judged.setdefault(part.component, []).append(
            _Judged(
                component=part.component, presence=presence, presence_reason=reason,
                terms=terms_of(part.licence, exact=exact),
            )
        )  # fmt: skip
    for name in MOF_COMPONENTS:
        said = "not in the record" if complete else "not known whether it is published"
        nothing = _Judged(
            component=name, presence="fails" if complete else "unknown", presence_reason=f"{shown(name)}: {said}",
            terms=terms_of("unknown"),
        )  # fmt: skip
        judged.setdefault(name, [nothing])
    return {name: tuple(found) for name, found in judged.items()}


def classify(parts: Iterable[Part], *, record: bool = False) -> MofResult:
    """Which class of the Model Openness Framework is reached, and what is missing for the next ones?

    Presence and openness of each required component, class by class: a component counts under any open licence, with a note
    where the licence is not made for its kind of content. `record`: by the Model Openness Tool's rules for its own records:
    what is not listed is not there, and licences count only as SPDX spells them.
    """
    judged = _judge(parts, exact=record, complete=record)
    answers: dict[str, Answer] = {
        name: every([item.under(item.terms.open) for item in judged[name]]) for name in MOF_COMPONENTS
    }
    answers["technical_report"] = some([answers["technical_report"], answers["research_paper"]])
    reached = _reached(answers, {"passes"})
    possible = _reached(answers, {"passes", "unknown"})
    return MofResult(
        mof_class=reached, label=LABELS[reached], if_unknown_pass=possible,
        missing=tuple(_gaps(judged, answers, reached)),
        conditional=tuple(
            name for name in MOF_COMPONENTS if answers[name] == "passes"
            and any(CONTENT[name] not in item.terms.fits for item in judged[name] if item.terms.open == "passes")
        ),
    )  # fmt: skip


def _reached(answers: dict[str, Answer], enough: set[Answer]) -> Literal[0, 1, 2, 3]:
    best: Literal[0, 1, 2, 3] = 0
    levels: tuple[Literal[3], Literal[2], Literal[1]] = (3, 2, 1)
    for level in levels:
        if any(answers[name] not in enough for name in CLASS_NEEDS[level]):
            break
        best = level
    return best


def _gaps(judged: dict[str, tuple[_Judged, ...]], answers: dict[str, Answer], reached: int) -> Iterable[Gap]:
    for level in (3, 2, 1):
        if reached and level >= reached:
            continue
        for name in CLASS_NEEDS[level]:
            if answers[name] == "passes":
                continue
            worst = min(
                judged[name], key=lambda item: ("fails", "unknown", "passes").index(item.under(item.terms.open))
            )
            problem, reason = _problem(worst)
            if name == "technical_report":
                reason += "; an open research paper would do as well"
            needed = tuple(needs for needs in (3, 2, 1) if needs <= level)
            yield Gap(component=name, classes=needed, problem=problem, reason=reason)


def _problem(item: _Judged) -> tuple[Literal["absent", "in part", "unknown", "licence"], str]:
    said = item.presence_reason.partition(": ")[2]
    if item.presence == "fails":
        return "absent", said
    if item.terms.open == "fails":
        return "licence", item.terms.reason
    if item.presence == "unknown":
        return "in part" if "in part" in said else "unknown", said
    return "unknown", item.terms.reason


def _reason(item: _Judged, answer: Answer, asked: str) -> str:
    """Why a component does not pass, when its terms' answer is this; empty where it does."""
    if item.presence == "fails" or (item.presence == "unknown" and answer != "fails"):
        return item.presence_reason
    if answer == "passes":
        return ""
    return f"{shown(item.component)}: {item.terms.reason or f'{item.terms.text} is not {asked}'}"


def _element(
    element: Literal["data_information", "code", "parameters"], asked: list[tuple[Answer, str]]
) -> Element:  # fmt: skip
    """An element from what is asked for it: every part must pass; what fails is said first."""
    reasons = [reason for wanted in ("fails", "unknown") for answer, reason in asked if answer == wanted and reason]
    return Element(
        element=element, outcome=every([answer for answer, _ in asked]), reasons=tuple(dict.fromkeys(reasons))
    )


def _code(judged: dict[str, tuple[_Judged, ...]]) -> Element:
    wanted = [*CODE, *(["recipe"] if "recipe" in judged else [])]
    asked = []
    for name in wanted:
        for item in judged[name]:
            # the settings may stand in a paper: the definition asks that they are told, not for a licence of code
            terms: Answer = "passes" if name == "recipe" else item.terms.osi
            asked.append((item.under(terms), _reason(item, terms, "OSI-approved")))
    return _element("code", asked)


def _parameters(judged: dict[str, tuple[_Judged, ...]]) -> Element:
    items = judged["params_final"]
    asked = [(item.under(item.terms.open), _reason(item, item.terms.open, "open")) for item in items]
    return _element("parameters", asked)


def _duty(name: str, duty: Duty, *, read_only: bool = False) -> tuple[Answer, str]:
    """Is a duty met? `read_only`: whatever the terms of what is published."""
    what = DUTIES[name]
    note = f" ({duty.note})" if duty.note else ""
    if duty.published == "no":
        return "fails", f"{what}: not published{note}"
    if duty.published != "yes":
        word = "published in part only" if duty.published == "partly" else "not known whether it is published"
        return "unknown", f"{what}: {word}{note}"
    if read_only:
        return "passes", ""
    terms = terms_of(duty.licence)
    return terms.open, "" if terms.open == "passes" else f"{what}: published; {terms.reason}"


def _asked_of_data(
    judged: dict[str, tuple[_Judged, ...]], info: DataInformation | None, *, read_only: bool = False
) -> list[tuple[Answer, str]]:  # fmt: skip
    """Edition 1.0's three duties, where the release's statement of them is known; else what the components tell."""
    if info is not None:
        return [_duty(name, getattr(info, name), read_only=read_only) for name in DUTIES]
    there = some([every([item.presence for item in judged[name]]) for name in DOCUMENTS])
    if there == "fails":
        return [
            ("fails", "neither training data nor any paper, report or data card that could describe it is published")
        ]
    reason = (
        "components alone do not tell whether all training data is described and listed (the definition's three duties)"
    )
    return [("unknown", reason)]


def _documents(judged: dict[str, tuple[_Judged, ...]]) -> Element:
    """Edition 0.0.9: one of four kinds of documents at least, under open terms."""
    answers = {name: every([item.under(item.terms.open) for item in judged[name]]) for name in DOCUMENTS}
    outcome = some(list(answers.values()))
    reasons = [
        _reason(item, item.terms.open, "open") for name in answers for item in judged[name]
    ]  # fmt: skip
    return Element(
        element="data_information", outcome=outcome,
        reasons=() if outcome == "passes" else tuple(reason for reason in reasons if reason),
    )  # fmt: skip


def _description(judged: dict[str, tuple[_Judged, ...]], info: DataInformation | None) -> Element:
    """Edition 0.0.8: methods, scope, provenance, labelling and cleaning of the training data are described."""
    asked = _asked_of_data(judged, None) if info is None else [_duty("description", info.description)]
    return _element("data_information", asked)


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
    "use": (*RUN, "model_architecture"),
    "study": (),
    "modify": PASSED_ON,
    "share": PASSED_ON,
}
"""Whose terms may refuse a freedom. What is published can be read, whatever its terms."""


def _freedom(
    freedom: Freedom, judged: dict[str, tuple[_Judged, ...]], data: list[tuple[Answer, str]]
) -> FreedomResult:  # fmt: skip
    asked: list[tuple[Answer, str]] = []
    for name in NEEDED_FOR[freedom]:
        asked += [(item.presence, item.presence_reason) for item in judged[name]]
    if freedom in {"study", "modify"}:
        asked += data
        asked += [(item.presence, item.presence_reason) for item in judged.get("recipe", ())]
    asked += _refusals(freedom, [item for name in TERMS_FOR[freedom] for item in judged[name]])
    outcome = every([answer for answer, _ in asked])
    obstacles = [reason for wanted in ("fails", "unknown") for answer, reason in asked if answer == wanted and reason]
    return FreedomResult(freedom=freedom, outcome=outcome, obstacles=tuple(dict.fromkeys(obstacles)))


def _refusals(freedom: Freedom, items: list[_Judged]) -> list[tuple[Answer, str]]:
    """What the terms refuse, or may refuse: each clause once, with all the components that are under it."""
    found: dict[tuple[Answer, str], list[str]] = {}
    for item in items:
        terms = item.terms
        if item.presence == "fails" or terms.open == "passes" or (item.presence == terms.open == "unknown"):
            continue  # whether it is there is asked above, where it matters
        reasons: list[tuple[Answer, str]]
        if terms.open == "unknown":
            reasons = [("unknown", terms.reason)]
        elif not terms.clauses:  # no licence, or one that is listed as not open and whose text we do not know
            reasons = [("fails" if terms.text is None else "unknown", terms.reason)]
        else:
            reasons = [
                ("fails", f"{terms.text}, {clause.clause}: {clause.effect} [{clause.source}]")
                for clause in terms.clauses if freedom in clause.hinders
            ]  # fmt: skip
        for reason in reasons:
            found.setdefault(reason, []).append(shown(item.component))
    return [(answer, f"{', '.join(dict.fromkeys(of))}: {reason}") for (answer, reason), of in found.items()]


def openness(
    parts: Iterable[Part],
    info: DataInformation | None = None,
    reviews: tuple[Review, ...] = (),
    *,
    record: bool = False,
) -> Openness:
    """All of it: edition 1.0 and the drafts, the four freedoms, the class, and what would have to be released.

    `record`: of a record of the Model Openness Tool. How it spells its licences matters for the framework's class only: the
    definition asks what the terms are.
    """
    parts = tuple(parts)
    judged = _judge(parts, exact=False, complete=record)
    data = _asked_of_data(judged, info)
    information, code, parameters = _element("data_information", data), _code(judged), _parameters(judged)
    readable = _asked_of_data(judged, info, read_only=True)
    freedoms: tuple[Freedom, ...] = get_args(Freedom)
    return Openness(
        osaid=_edition("1.0", SOURCE_1_0, (information, code, parameters), NOTE_RECORD if record else None),
        earlier=(
            _edition("0.0.9", SOURCE_0_0_9, (_documents(judged), code, parameters)),
            _edition("0.0.8", SOURCE_0_0_8, (_description(judged, info), code, parameters), NOTE_0_0_8),
        ),
        freedoms=tuple(_freedom(freedom, judged, readable) for freedom in freedoms),
        mof=classify(parts, record=record), to_release=_to_release(judged, info), reviews=reviews,
    )  # fmt: skip


def _to_release(judged: dict[str, tuple[_Judged, ...]], info: DataInformation | None) -> tuple[str, ...]:
    """What is certain to be lacking, as something to do."""
    todo = []
    if info is not None:
        for name, what in DUTIES.items():
            answer, _ = _duty(name, getattr(info, name))
            if answer == "fails":
                lacking = getattr(info, name).published == "no"
                todo.append(f"publish {what}" if lacking else f"put under open terms: {what}")
    elif every([answer for answer, _ in _asked_of_data(judged, None)]) == "fails":
        todo += [f"publish {what}" for what in DUTIES.values()]
    for name in [*CODE, *(["recipe"] if "recipe" in judged else []), "params_final"]:
        for item in judged[name]:
            answer = item.terms.open if name in {"params_final", "recipe"} else item.terms.osi
            if item.presence == "fails":
                todo.append(f"publish the {shown(name)}")
            elif answer == "fails" and name != "recipe":
                asked = "open terms" if name == "params_final" else "an OSI-approved licence"
                now = f"now {item.terms.text}" if item.terms.text else "now no licence"
                todo.append(f"put the {shown(name)} under {asked} ({now})")
    return tuple(dict.fromkeys(todo))
