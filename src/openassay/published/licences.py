"""The terms that a release states: licence texts, and every place that declares some."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from openassay.core.findings import Excerpt
from openassay.published.files import Config, PublishedFiles, Text, excerpt
from openassay.published.licence_texts import texts_in

_CC_TERMS = {
    "NC-SA": "noncommercial-sharealike", "NC-ND": "noncommercial-noderivatives", "NC": "noncommercial", "SA": "sharealike",
    "ND": "noderivatives",
}  # fmt: skip
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
    (r"(gnu\s+)?lgpl(v|\s|-)*2\.1(-only|-or-later|\+)?", "LGPL-2.1"),
    (r"(gnu\s+)?gpl(v|\s|-)*3(\.0)?(-only|-or-later|\+)?|gnu general public license( v|,? version )3.*", "GPL-3.0"),
    (r"(gnu\s+)?gpl(v|\s|-)*2(\.0)?(-only|-or-later|\+)?|gnu general public license( v|,? version )2.*", "GPL-2.0"),
    (r"mpl[\s-]*2(\.0)?|mozilla public license 2\.0.*", "MPL-2.0"),
    *(
        (r"cc[\s-]*by[\s-]*" + short.lower().replace("-", r"[\s-]*") + r"[\s-]*4(\.0)?", f"CC-BY-{short}-4.0")
        for short in _CC_TERMS
    ),
    (r"cc[\s-]*by[\s-]*4(\.0)?", "CC-BY-4.0"),
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
    "gpl": {"GPL-2.0", "GPL-3.0"}, "lgpl": {"LGPL-2.1", "LGPL-3.0"}, "llama": {"Llama-2", "Llama-3"},
}  # fmt: skip


def meant(words: str) -> frozenset[str]:
    """The licences that words can mean: several for `BSD`, for an `A OR B` and for lists; none where they are not known."""
    plain = " ".join(words.strip().strip("\"'`*.,;[]()").lower().split())
    if plain in _BROAD:
        return frozenset(_BROAD[plain])
    for pattern, name in _ALIASES:
        if re.fullmatch(pattern, plain):
            return frozenset({name})
    parts = [part for part in re.split(r"\s+(?:or|and|with)\s+|[/|&+]|,\s+", plain) if part] if len(plain) < 200 else []
    if len(parts) > 1:
        each = [meant(part) for part in parts]
        return frozenset().union(*each) if all(each) else frozenset()
    return frozenset()


@dataclass(frozen=True)
class DeclaredTerms:
    """One place that declares terms."""

    what: str
    """The kind of the place, in words."""
    licences: frozenset[str]
    evidence: Excerpt


_LICENCE_FILE = re.compile(r"(?i)^(licen[cs]e|copying|unlicense)(\.(md|txt|rst))?$")


def declarations(release: PublishedFiles) -> list[DeclaredTerms]:
    """Every place at a release's top that declares the terms of the whole."""
    found = [declared for text in release.texts for declared in _of_text(text)]
    found += [declared for config in release.configs for declared in _of_config(config)]
    headers = [(code.spdx, code) for code in release.code if code.spdx and meant(code.spdx)]
    if len(headers) >= 5:
        usual, count = Counter(words for words, _ in headers).most_common(1)[0]
        if count >= 0.8 * len(release.code) and count >= 5:
            code = next(code for words, code in headers if words == usual)
            at = excerpt(code.path, "SPDX-License-Identifier", f"{usual} ({count} files)", code.spdx_line)
            found.append(DeclaredTerms("SPDX headers", meant(usual), at))
    return found


def _of_text(text: Text) -> Iterator[DeclaredTerms]:
    if text.folder and not re.fullmatch(r"[^/]+\.dist-info(/licenses)?", text.folder):
        return
    if _LICENCE_FILE.match(text.name) and (recognised := recognise("\n".join(text.lines))):
        line = next((i for i, words in enumerate(text.lines, 1) if words.strip()), 1)
        held = f"the text of {' and '.join(sorted(recognised))}"
        yield DeclaredTerms("licence file", recognised, text.seen(line, held))
    for value in text.front.values if text.front is not None else ():
        named = value.key == "license" or re.fullmatch(r"license\.\d+", value.key)
        if named and isinstance(value.value, str) and (words := meant(value.value)):
            yield DeclaredTerms("card's front matter", words, value.seen())
    if text.name in {"PKG-INFO", "METADATA"}:
        yield from _package(text)
    elif re.match(r"(?i)readme", text.name):
        yield from _sentences(text)


_KEYS = {
    "pyproject.toml": ("project.license", "project.license.text", "tool.poetry.license"), "citation.cff": ("license",),
    ".zenodo.json": ("license",), "codemeta.json": ("license",),
}  # fmt: skip


def _of_config(config: Config) -> Iterator[DeclaredTerms]:
    what = "package metadata" if config.path == "pyproject.toml" else "citation file"
    for key in _KEYS.get(config.path.lower(), ()):
        value = config.by_key.get(key)
        if value is not None and isinstance(value.value, str) and (words := meant(value.value.rpartition("/")[2])):
            yield DeclaredTerms(what, words, value.seen())
    classifiers = config.by_key.get("project.classifiers") if config.path == "pyproject.toml" else None
    if classifiers is not None and isinstance(classifiers.value, tuple):
        for line in classifiers.value:
            if isinstance(line, str) and (words := _classified(line)):
                yield DeclaredTerms("package classifier", words, classifiers.seen(line))


def _classified(line: str) -> frozenset[str]:
    """The licences of a package's classifier."""
    return meant(line.rpartition("::")[2]) if line.startswith("License :: OSI Approved ::") else frozenset()


def _package(text: Text) -> Iterator[DeclaredTerms]:
    for number, line in enumerate(text.lines, 1):
        if not line.strip():
            return
        name, _, rest = line.partition(":")
        if name in {"License-Expression", "License"} and (words := meant(rest)):
            yield DeclaredTerms("package metadata", words, text.seen(number, rest.strip(), name))
        elif name == "Classifier" and (words := _classified(rest.strip())):
            yield DeclaredTerms("package classifier", words, text.seen(number, rest.strip(), name))


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


def _sentences(text: Text) -> Iterator[DeclaredTerms]:
    """Sentences on the whole: `this project is licensed under ...`. Those on data or a model are told by their subject."""
    kind = card_kind(text)
    for line, words in text.prose:
        if found := _LICENCE_LINE.match(words):
            if names := meant(found["name"]):
                yield DeclaredTerms("README", names, text.seen(line))
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
                yield DeclaredTerms("README", names, text.seen(line, sentence))


def card_kind(text: Text) -> str:
    """What a README speaks of, by its front matter: `code`, `model` or `data`."""
    keys = {value.key.partition(".")[0] for value in (text.front.values if text.front is not None else ())}
    if keys & {"task_categories", "size_categories", "dataset_info", "task_ids", "annotations_creators", "configs"}:
        return "data"
    models = {"pipeline_tag", "library_name", "base_model", "model-index", "widget", "inference", "license"}
    return "model" if keys & models else "code"
