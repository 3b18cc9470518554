"""The terms that a release states: licence texts, and every place that declares some."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from openassay.core.findings import Excerpt
from openassay.published.files import Config, PublishedFiles, Text, Value, excerpt
from openassay.published.licence_texts import texts_in
from openassay.published.packages import Fact, package_facts

_CREATIVE_COMMONS = re.compile(
    r"(?:cc[\s-]*by|creative commons attribution|attribution)"
    r"(?P<terms>(?:[\s-]*(?:nc|nd|sa|non-?commercial|no-?deriv(?:ative)?s|share-?alike))*)"
    r"(?:[\s-]*v?(?P<version>[1-4](?:\.[05])?))?(?:\s+(?:international|unported))?(?:\s+(?:public\s+)?licen[cs]e)?"
    r"(?:\s+\(cc[\sa-z0-9.-]+\))?"
)
_VERSIONS = ("1.0", "2.0", "2.5", "3.0", "4.0")
_PHRASES: dict[str, tuple[str, ...]] = {
    "Llama-3": ("llama 3", "community license agreement"),
    "Llama-2": ("llama 2", "community license agreement"),
    "OpenRAIL-M": ("openrail", "use-based restrictions"),
    "BigScience-RAIL": ("bigscience", "rail license"),
}
"""Phrases by which terms that SPDX does not list are known."""


def recognise(text: str) -> frozenset[str]:
    """The SPDX ids (or our names) of the licence texts that a file holds; none where they are not known, or have additions."""
    plain = " ".join(re.sub(r"[\u201c\u201d]", '"', text).lower().split())
    if "commons clause" in plain:
        return frozenset({"LicenseRef-Commons-Clause"})
    if found := frozenset(name for name, phrases in _PHRASES.items() if all(phrase in plain for phrase in phrases)):
        return found
    found = texts_in(text)
    return (
        found - {"GPL-3.0"} if "LGPL-3.0" in found else found
    )  # the LGPL adds to the GPL, whose text may stand behind it


_ALIASES: tuple[tuple[str, str], ...] = (
    (r"apache[\s-]*(software\s*)?(licen[cs]e)?[\s,-]*(version|v)?[\s.-]*2(\.0)?|asl ?2\.0|al2", "Apache-2.0"),
    (r"the mit licen[cs]e( \(mit\))?|mit( licen[cs]e)?|expat|mit licen[cs]e", "MIT"),
    (r"(the\s+)?(new|modified|revised|3[\s-]clause)\s+bsd(\s+licen[cs]e)?", "BSD-3-Clause"),
    (r"bsd[\s-]*3([\s-]clause)?(\s+licen[cs]e)?", "BSD-3-Clause"),
    (r"(simplified|2[\s-]clause)\s+bsd(\s+licen[cs]e)?|bsd[\s-]*2([\s-]clause)?(\s+licen[cs]e)?", "BSD-2-Clause"),
    (r"(gnu\s+)?a(ffero\s+)?gpl(v|\s|-)*3(\.0)?(-only|-or-later|\+)?|agpl-3\.0.*", "AGPL-3.0"),
    (r"(gnu\s+)?lgpl(v|\s|-)*3(\.0)?(-only|-or-later|\+)?", "LGPL-3.0"),
    (r"(gnu\s+)?lgpl(v|\s|-)*2\.1(-only)?", "LGPL-2.1"),
    (r"(gnu\s+)?gpl(v|\s|-)*3(\.0)?(-only|-or-later|\+)?|gnu general public license( v|,? version )3.*", "GPL-3.0"),
    (r"(gnu\s+)?gpl(v|\s|-)*2(\.0)?(-only)?|gnu general public license( v|,? version )2( \(gplv2\))?", "GPL-2.0"),
    (r"mpl[\s-]*2(\.0)?|mozilla public license 2\.0.*", "MPL-2.0"),
    (r"cc0([\s-]*1(\.0)?)?", "CC0-1.0"),
    (r"odc[\s-]*by([\s-]*1(\.0)?)?", "ODC-By-1.0"),
    (r"odbl([\s-]*1(\.0)?)?", "ODbL-1.0"),
    (r"isc( licen[cs]e)?( \(iscl\))?", "ISC"),
    (r"(the )?unlicense( \(unlicense\))?", "Unlicense"),
    (r"llama[\s-]*2(.*licen[cs]e.*)?", "Llama-2"),
    (r"llama[\s-]*3(.*licen[cs]e.*)?", "Llama-3"),
    (r"openrail(-m)?(\+\+)?|creativeml-openrail-m", "OpenRAIL-M"),
    (r"bigscience-.*rail.*", "BigScience-RAIL"),
    (r"bsl-1\.0", "BSL-1.0"),
    (r"epl-2\.0", "EPL-2.0"),
)
_BROAD = {
    "bsd": {"BSD-2-Clause", "BSD-3-Clause"}, "bsd license": {"BSD-2-Clause", "BSD-3-Clause"}, "apache": {"Apache-2.0"},
    "apache license": {"Apache-2.0"}, "apache software license": {"Apache-2.0"}, "apache software": {"Apache-2.0"},
    "gpl": {"GPL-2.0", "GPL-3.0"}, "lgpl": {"LGPL-2.1", "LGPL-3.0"},
}  # fmt: skip


def meant(words: str) -> frozenset[str]:
    """The licences that words can mean: several for `BSD`, for an `A OR B` and for lists; none where they are not known."""
    plain = " ".join(words.strip().strip("\"'`*.,;[]()").lower().split())
    if plain in _BROAD:
        return frozenset(_BROAD[plain])
    if found := _CREATIVE_COMMONS.fullmatch(plain):
        return _creative_commons(found["terms"], found["version"])
    if later := re.fullmatch(r"(?:gnu\s+)?(l?)gpl[v\s-]*(?:2(?:\.[01])?)(?:-or-later|\+| or later)", plain):
        return frozenset({"LGPL-2.1", "LGPL-3.0"} if later[1] else {"GPL-2.0", "GPL-3.0"})
    for pattern, name in _ALIASES:
        if re.fullmatch(pattern, plain):
            return frozenset({name})
    parts = [part for part in re.split(r"\s+(?:or|and|with)\s+|[/|&+]|,\s+", plain) if part] if len(plain) < 200 else []
    if len(parts) > 1:
        each = [meant(part) for part in parts]
        return frozenset().union(*each) if all(each) else frozenset()
    return frozenset()


def _creative_commons(terms: str, version: str | None) -> frozenset[str]:
    """The ids of a Creative Commons licence; of every version where none is said."""
    short = [
        name
        for name, words in (("NC", r"nc|comm"), ("ND", r"nd|deriv"), ("SA", r"sa|share"))
        if re.search(words, terms)
    ]
    if {"ND", "SA"} <= {*short}:
        return frozenset()
    versions = [f"{version}.0" if len(version) == 1 else version] if version else _VERSIONS
    return frozenset("-".join(["CC-BY", *short, of]) for of in versions)


_ADDRESSES = (
    (r"creativecommons\.org/licenses/by(?P<terms>[a-z-]*)/(?P<version>\d\.\d)", ""),
    (r"apache\.org/licenses/LICENSE-2\.0", "Apache-2.0"),
    (
        r"(?:opensource\.org/licenses?|choosealicense\.com/licenses|spdx\.org/licenses|gnu\.org/licenses)"
        r"/(?P<name>[\w.+-]+?)(?:\.html|\.txt)?/?$",
        "",
    ),
)  # fmt: skip


def _addressed(address: str) -> frozenset[str]:
    """The licence whose text stands at a well-known address; none for other addresses."""
    for pattern, name in _ADDRESSES:
        if found := re.search(pattern, address, re.IGNORECASE):
            named = found.groupdict()
            return (
                _creative_commons(named["terms"], named["version"])
                if "terms" in named
                else meant(name or named["name"])
            )
    return frozenset()


@dataclass(frozen=True)
class DeclaredTerms:
    """One place that declares terms."""

    what: str
    """The kind of the place, in words."""
    licences: frozenset[str]
    evidence: Excerpt
    covers: str = "whole"
    """`code`, `model`, `data`, `documents` or `whole`."""

    def meets(self, other: DeclaredTerms) -> bool:
        """Whether both cover the same thing; what covers the whole covers the code, while a model or data may go apart."""
        return self.covers == other.covers or {self.covers, other.covers} == {"whole", "code"}


_LICENCE_FILE = re.compile(r"(?i)^(licen[cs]e|copying(\.lesser)?|unlicense)(\.(md|txt|rst))?$")
_PART_FILE = re.compile(r"(?i)^(?:licen[cs]e[-_.](?P<a>[a-z]+)|(?P<b>[a-z]+)[-_.]licen[cs]e)(?:\.(?:md|txt|rst))?$")
_PARTS = {
    "code": "code", "software": "code", "model": "model", "models": "model", "weights": "model", "data": "data",
    "dataset": "data", "docs": "documents", "documentation": "documents",
}  # fmt: skip


def declarations(release: PublishedFiles) -> list[DeclaredTerms]:
    """Every place that declares a release's terms, and what each covers."""
    has_package = any(file.path in {"setup.py", "setup.cfg", "pyproject.toml"} for file in release.files)
    found = [declared for text in release.texts for declared in _of_text(text, has_package)]
    found += [declared for config in release.configs for declared in _of_config(config)]
    of_setup = [fact for fact in package_facts(release) if fact.at.path == "setup.py"]
    found += [of for fact in of_setup if fact.kind in {"licence", "classifier"} for of in _of_setup(fact)]
    headers = [(code.spdx, code) for code in release.code if code.spdx and meant(code.spdx)]
    if len(headers) >= 5:
        usual, count = Counter(words for words, _ in headers).most_common(1)[0]
        if count >= 0.8 * len(release.code) and count >= 5:
            code = next(code for words, code in headers if words == usual)
            at = excerpt(code.path, "SPDX-License-Identifier", f"{usual} ({count} files)", code.spdx_line)
            found.append(DeclaredTerms("SPDX headers", meant(usual), at, "code"))
    return found


_RECIPE_FOLDER = re.compile(r"(?i)(\.?conda|recipes?)([-_./]recipe)?")
_SETUP_LINE = re.compile(r"license(?:_expression)?\s*[=:]\s*(?P<words>.+)|\s+(?P<classifier>License ::.+)")
_RECIPE_LINE = re.compile(r"\s+license:\s*(?P<words>[^#]+)(#.*)?")


def _of_text(text: Text, has_package: bool) -> Iterator[DeclaredTerms]:
    if text.path == "setup.cfg":
        yield from _of_lines(text, "package metadata", _SETUP_LINE)
    elif text.name == "meta.yaml" and (not text.folder or _RECIPE_FOLDER.fullmatch(text.folder)):
        yield from _of_lines(text, "conda recipe", _RECIPE_LINE)
    if text.folder and not re.fullmatch(r"[^/]+\.dist-info(/licenses)?", text.folder):
        return
    part = _part(text.name)
    if (part or _LICENCE_FILE.match(text.name)) and (recognised := recognise("\n".join(text.lines))):
        line = next((i for i, words in enumerate(text.lines, 1) if words.strip()), 1)
        held = f"the text of {' and '.join(sorted(recognised))}"
        what = f"licence file of the {part}" if part else "licence file"
        yield DeclaredTerms(what, recognised, text.seen(line, held), part or "whole")
    kind = card_kind(text)
    covers = kind if has_package and kind != "code" else "whole"
    for value in text.front.values if text.front is not None else ():
        if words := _of_front(value):
            yield DeclaredTerms("card's front matter", words, value.seen(), covers)
    if text.name in {"PKG-INFO", "METADATA"}:
        yield from _package(text)
    elif re.match(r"(?i)readme", text.name):
        yield from _sentences(text, covers)
        yield from _section(text, covers)


def _part(name: str) -> str | None:
    """What a file such as `LICENSE-MODEL` or `CODE_LICENSE.txt` covers; None for other names."""
    found = _PART_FILE.match(name)
    return _PARTS.get((found["a"] or found["b"]).lower()) if found else None


def _of_front(value: Value) -> frozenset[str]:
    """The licences of one line of a card's front matter; none where the value says `other` or is not known."""
    if re.fullmatch(r"license_link(\.\d+)?", value.key):
        return _addressed(str(value.value))
    return _listed(value.value) if re.fullmatch(r"license(_name)?(\.\d+)?", value.key) else frozenset()


def _listed(said: object) -> frozenset[str]:
    """The licences that a word or a list of words can mean; none where one of them is not known."""
    each = [
        meant(words) if isinstance(words, str) else frozenset()
        for words in (said if isinstance(said, tuple) else (said,))
    ]
    return frozenset[str]().union(*each) if all(each) else frozenset()


_KEYS = {
    "pyproject.toml": ("project.license", "project.license.text", "tool.poetry.license"), "citation.cff": ("license",),
    ".zenodo.json": ("license", "license.id"), "codemeta.json": ("license",), "meta.yaml": ("about.license",),
}  # fmt: skip
_PACKAGED = {"pyproject.toml": "package metadata", "meta.yaml": "conda recipe"}


def _of_config(config: Config) -> Iterator[DeclaredTerms]:
    name = config.name.lower()
    if config.folder and not (name == "meta.yaml" and _RECIPE_FOLDER.fullmatch(config.folder)):
        return
    what, covers = _PACKAGED.get(name, "citation file"), "code" if name in _PACKAGED else "whole"
    if "type" in config.by_key and config.by_key["type"].value == "dataset":
        covers = "data"
    for key in _KEYS.get(name, ()):
        value = config.by_key.get(key)
        for numbered in (
            [value] if value is not None else [of for of in config.values if re.fullmatch(rf"{key}\.\d+", of.key)]
        ):
            said = numbered.value.rpartition("/")[2] if isinstance(numbered.value, str) else numbered.value
            if words := _addressed(str(numbered.value)) or _listed(said):
                yield DeclaredTerms(what, words, numbered.seen(), covers)
    for value in config.values if name == "pyproject.toml" else ():
        if re.fullmatch(r"(project|tool\.poetry)\.classifiers(\.\d+)?", value.key):
            for line in value.value if isinstance(value.value, tuple) else (value.value,):
                if isinstance(line, str) and (words := _classified(line)):
                    yield DeclaredTerms("package classifier", words, value.seen(line), "code")


def _of_lines(text: Text, what: str, wanted: re.Pattern[str]) -> Iterator[DeclaredTerms]:
    """What single lines of a package's settings say; `[metadata]` alone in setup.cfg."""
    section = ""
    for number, line in enumerate(text.lines, 1):
        if heading := re.match(r"\[(.+)\]\s*$", line):
            section = heading[1]
        found = wanted.fullmatch(line.rstrip()) if section in {"", "metadata"} else None
        said = found.groupdict() if found else {}
        if said.get("classifier") and (words := _classified(said["classifier"])):
            yield DeclaredTerms("package classifier", words, text.seen(number), "code")
        elif said.get("words") and (words := meant(said["words"])):
            yield DeclaredTerms(what, words, text.seen(number), "code")


def _of_setup(fact: Fact) -> Iterator[DeclaredTerms]:
    what, read = ("package classifier", _classified) if fact.kind == "classifier" else ("package metadata", meant)
    if words := read(fact.value):
        yield DeclaredTerms(what, words, fact.at, "code")


def _classified(line: str) -> frozenset[str]:
    """The licences of a package's classifier."""
    return meant(line.rpartition("::")[2]) if line.startswith("License :: OSI Approved ::") else frozenset()


def _package(text: Text) -> Iterator[DeclaredTerms]:
    for number, line in enumerate(text.lines, 1):
        if not line.strip():
            return
        name, _, rest = line.partition(":")
        if name in {"License-Expression", "License"} and (words := meant(rest)):
            yield DeclaredTerms("package metadata", words, text.seen(number, rest.strip(), name), "code")
        elif name == "Classifier" and (words := _classified(rest.strip())):
            yield DeclaredTerms("package classifier", words, text.seen(number, rest.strip(), name), "code")


_LICENSED = re.compile(
    r"\b(?:licensed|released|distributed|available|published)\s+under\s+(?:the\s+)?(?:terms\s+of\s+(?:the\s+)?)?"
    r"(?:\[|\*\*|`|<a[^>]*>)*"
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9 .,\-]*?)(?:\]|\*\*|`|</a>|\)|\s+licen[cs]e|\.\s|\.$|,\s|;|$)",
    re.IGNORECASE,
)
_LICENCE_LINE = re.compile(r"^[-*\s]*licen[cs]e(\s*\(s\))?[*\s]*:[*\s]*(?P<name>[^\n<\[]{2,60})$", re.IGNORECASE)


_PARTIAL = re.compile(
    r"\b(except|other than|third[- ]party|depend\w*|original|upstream|based on|some|parts?|portions?|subset\w*)\b",
    re.IGNORECASE,
)
_SUBJECTS = {
    "data": re.compile(r"\b(data|dataset|corpus|annotations?)\b"),
    "model": re.compile(r"\b(models?|weights|checkpoints?)\b"),
    "code": re.compile(r"\b(project|repo|repository|package|library|software|code|codebase|source)\b"),
}


def _sentences(text: Text, covers: str) -> Iterator[DeclaredTerms]:
    """Sentences on the whole: `this project is licensed under ...`. Those on data or a model are told by their subject."""
    kind = card_kind(text)
    for line, words in text.prose:
        if found := _LICENCE_LINE.match(words):
            if names := meant(found["name"]):
                yield DeclaredTerms("README", names, text.seen(line), covers)
            continue
        for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z])", words):
            found = _LICENSED.search(sentence)
            names = meant(found["name"]) if found else frozenset()
            if found is None or not names or _PARTIAL.search(sentence):
                continue
            before = sentence[: found.start()].lower()
            subjects = [subject for subject, pattern in _SUBJECTS.items() if pattern.search(before)]
            if not subjects or subjects[0] != kind or {"data", "code"} <= {*subjects}:
                continue
            if re.search(r"\b(this|our|the|all)\b", before):
                yield DeclaredTerms("README", names, text.seen(line, sentence), _told(before, covers))


_HEADING = re.compile(r"^\s*(#+)\s*(?P<words>.*?)[\s#]*$")
_LICENCE_HEADING = re.compile(r"(?i)^\W*(the\s+)?(licen[cs]e|licensing)(\s+information)?\W*$")
_LINK = re.compile(r"\[(?P<words>[^\[\]]*)\]\((?P<to>[^()\s]*)\)")
_WHOLE_SENTENCE = re.compile(
    r"(?i)^(?:(?:the\s+)?(?:licen[cs]e\s+is|see|under|licensed under)\s+)?(?:the\s+)?(?P<name>[^.!?]+(?:\.\d+)?[^.!?]*)"
)


def _section(text: Text, covers: str) -> Iterator[DeclaredTerms]:
    """The first sentence below `## License`, where it is a licence's name or a link with one, and all the section names one."""
    lines = text.prose
    for at, (_, heading) in enumerate(lines):
        marked = _HEADING.match(heading)
        if not marked or not _LICENCE_HEADING.match(marked["words"]):
            continue
        below = []
        for number, line in lines[at + 1 :]:
            if _HEADING.match(line):
                break
            below.append((number, line.strip()))
        said = [(number, line) for number, line in below if line and not re.match(r"^(\[?!\[|<|[-=]{3,}$)", line)]
        if not said or _SPLIT.search(" ".join(line for _, line in said).lower()):
            continue
        number, first = said[0]
        links = [*_LINK.finditer(first)]
        plain = _LINK.sub(lambda link: link["words"], first)
        name = _WHOLE_SENTENCE.match(re.sub(r"[*_`]", "", plain))
        names = meant(name["name"]) if name else frozenset()
        if not names and len(links) == 1 and len(plain.split()) <= 8:
            names = meant(links[0]["words"]) or _addressed(links[0]["to"])
        if names and len(plain.split()) <= 12:
            yield DeclaredTerms("README", names, text.seen(number), covers)


_SPLIT = re.compile(
    r"\b(weights?|checkpoints?|models?|data|datasets?|corpus|third[- ]party|except|portions?|original)\b"
)
"""A section with these words may give each part its own terms."""


def _told(before: str, covers: str) -> str:
    """What a sentence covers by the words before its licence: `this code` is not the whole."""
    is_code = covers == "whole" and re.search(r"\b(code|codebase|software|source|package|library)\b", before)
    return "code" if is_code and not re.search(r"\b(project|repo|repository)\b", before) else covers


def card_kind(text: Text) -> str:
    """What a README speaks of, by its front matter: `code`, `model` or `data`."""
    keys = {value.key.partition(".")[0] for value in (text.front.values if text.front is not None else ())}
    if keys & {"task_categories", "size_categories", "dataset_info", "task_ids", "annotations_creators", "configs"}:
        return "data"
    models = {"pipeline_tag", "library_name", "base_model", "model-index", "widget", "inference", "license"}
    return "model" if keys & models else "code"
