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
    Article53Facts,
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
    StillDue,
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
    told: Article53Facts | None = None,
) -> Openness:
    """All of it: edition 1.0 and the drafts, the four freedoms, the class, Article 53(2), and what would have to be released.

    `told`: what a target tells for that article alone. `record`: of a record of the Model Openness Tool. How it
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
        mof=classify(parts, record=record), eu_exemption=_exemption(judged, told, record=record),
        to_release=_to_release(judged, info, data), reviews=reviews,
    )  # fmt: skip


SYSTEMIC_FLOP = 1e25
"""Training compute above which a model is presumed to have what makes a systemic risk (Article 51(2))."""
ESTIMATE = 0.3
"""Error margin that an estimate of the compute may have (guidelines, paragraph 123)."""
REGULATION = "Regulation (EU) 2024/1689"
SOURCE_EU = (
    f"{REGULATION}, Articles 51 to 53, recitals 102 to 104; guidelines of the Commission, C(2025) 5045 final of 18 July 2025, "
    "sections 2.1, 2.3 and 4 and annex (not binding)"
)
NOTE_EU = (
    "this is no legal advice; the article applies to providers of general-purpose AI models only, and whether this is one is not "
    "decided here"
)
SAYS: dict[Answer, str] = {
    "passes": f"by what is published, the conditions of Article 53(2) of {REGULATION} are met",
    "fails": f"by what is published, the conditions of Article 53(2) of {REGULATION} are not met",
    "unknown": f"by what is published, it is not known whether the conditions of Article 53(2) of {REGULATION} are met",
}
NOT_DECIDED = (
    "whether it is a general-purpose AI model (Article 3(63); the Commission's sign of one is a training of more than 1e23 FLOP, "
    "and that it generates language, or images or video from text: guidelines, paragraph 17)",
    "who its provider is (Article 3(3))",
    "whether a price is asked for it, or it is monetised otherwise (recital 103; guidelines, paragraphs 85 to 89)",
    "whether whoever is interested gets it, where it is given out on application only (guidelines, paragraph 79)",
    "a systemic risk for other reasons than the compute of its training (Article 51(1))",
)


def _exemption(judged: Judged, told: Article53Facts | None, *, record: bool) -> ExemptionReading:
    """The conditions of Article 53(2), each with what speaks for or against it."""
    parameters = judged["params_final"]
    presence = every([item.presence for item in parameters])
    noted = tuple(f"final parameters{f': {item.note}' if item.note else ''}" for item in parameters)
    reasons = noted if presence == "passes" else _reasons([item.there for item in parameters])
    conditions = (
        _free_licence([ask for item in parameters for ask in _free(item)]),
        _condition("parameters, including the weights, made publicly available", presence, reasons),
        _condition(
            "information on the model architecture made publicly available",
            *_told(judged, (("model_architecture",),), ("technical_report", "research_paper", "model_card", "inference_code")),
        ),
        _condition(
            "information on model usage made publicly available",
            *_told(judged, (("model_card",), ("technical_report", "inference_code")), ("research_paper",)),
            article="53(2); guidelines, paragraphs 91 and 92",
        ),
        _no_systemic_risk(told),
    )  # fmt: skip
    outcome = every([of.outcome for of in conditions])
    return ExemptionReading(
        outcome=outcome, says=SAYS[outcome], conditions=conditions,
        still_due=(
            StillDue(
                duty="a policy to comply with Union law on copyright and related rights", article="53(1)(c); recital 104",
                where=told.copyright_policy if told else None,
            ),
            StillDue(
                duty="a public summary of the content used for training", article="53(1)(d); recital 104",
                where=told.training_summary if told else None,
            ),
        ),
        not_decided=NOT_DECIDED, source=SOURCE_EU, note=f"{NOTE_EU}; {NOTE_RECORD}" if record else NOTE_EU,
    )  # fmt: skip


def _condition(what: str, outcome: Answer, reasons: tuple[str, ...], article: str = "53(2)") -> Condition:
    return Condition(condition=what, article=article, outcome=outcome, reasons=reasons)


def _free_licence(asked: list[Asked]) -> Condition:
    """The licence: every part of the parameters must be under a free one."""
    outcome = every([answer for answer, _ in asked])
    reasons = tuple(dict.fromkeys(reason for answer, reason in asked if answer == "passes" or outcome != "passes"))
    return _condition(
        "a free and open-source licence that allows access, usage, modification and distribution of the model",
        outcome, reasons, "53(2); recital 102; guidelines, paragraphs 78 to 84",
    )  # fmt: skip


def _free(item: _Judged) -> list[Asked]:
    """Whether one part of the parameters is under a free licence; else each clause because of which it is not (surely)."""
    terms = item.terms
    if item.presence == "fails":
        return [item.there]
    if terms.free == "passes":
        return [("passes", f"{shown(item.component)}: {terms.text}")]
    clauses = [of for of in terms.clauses if of.free == terms.free]
    judge = (
        "; whether this is a term for safety that the guidelines let pass, a person must judge"
        if terms.free == "unknown"
        else ""
    )
    return [
        (of.free, f"{shown(item.component)}: {terms.text}, {of.clause}: {of.effect} [{of.source}]{judge}") for of in clauses
    ] or [(terms.free, f"{shown(item.component)}: {item.terms_reason}")]  # fmt: skip


def _told(
    judged: Judged, by_nature: tuple[tuple[str, ...], ...], perhaps: tuple[str, ...]
) -> tuple[Answer, tuple[str, ...]]:
    """Whether something is published, and by which components; else why it is not known to be.

    `by_nature`: sets of components, each of which tells it by what it is. `perhaps`: those that may tell it, or not.
    """
    answers = {name: every([item.presence for item in judged[name]]) for name in judged}
    for names in by_nature:
        if all(answers[name] == "passes" for name in names):
            return "passes", tuple(map(shown, names))
    asked = tuple(dict.fromkeys([name for names in by_nature for name in names] + list(perhaps)))
    reasons = _reasons([item.there for name in asked for item in judged[name]])
    may = [shown(name) for name in asked if answers[name] == "passes"]
    if may:
        return "unknown", (f"{', '.join(may)}: published; whether this tells it is not declared", *reasons)
    return some([answers[name] for name in asked]), reasons


def _no_systemic_risk(told: Article53Facts | None) -> Condition:
    """What the compute of the training says of Article 51(2); no answer so near to the threshold that an estimate cannot tell."""
    outcome: Answer
    if told is None or told.training_flop is None:
        outcome, reason = "unknown", "the compute of the training is not known here"
    else:
        flop = told.training_flop
        if abs(flop / SYSTEMIC_FLOP - 1) <= ESTIMATE:
            outcome, where = "unknown", "too near to 1e25 for an estimate to tell"
        elif flop > SYSTEMIC_FLOP:
            outcome, where = (
                "fails",
                "more than 1e25, from which follows a presumption that the provider may contest (Article 52(2))",
            )
        else:
            outcome, where = "passes", "not more than 1e25"
        reason = f"{flop:.2g} FLOP{f' ({told.training_flop_is})' if told.training_flop_is else ''}: {where}"
    return _condition(
        "no presumption of a systemic risk from the compute of its training", outcome, (reason,), "53(2) with 51(2)"
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
