"""What documents say against what is there: options of commands, files that are named, addresses."""

from __future__ import annotations

import ast
import difflib
import posixpath
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any
from urllib.parse import unquote, urlsplit

from openassay.checks.check import Agreement, Contradiction, NotAsked, Seen, check, compared
from openassay.core.findings import Excerpt
from openassay.published.code_options import Options, calls, defaults, last_name, options_of
from openassay.published.commands import Command, calls_in_scripts, calls_of, guides, own_words, readmes
from openassay.published.files import PublishedFiles, Text, derived_once, excerpt
from openassay.published.packages import is_ignored, laid_over
from openassay.published.scalars import as_number, number


@derived_once
def _calls(release: PublishedFiles) -> list[tuple[Command, str, tuple[str, ...], Options]]:
    """The commands that give options to a script of the release's own: the script, the words after it, and what it takes."""
    in_guides = (found for text in guides(release) for found in calls_of(text, release))
    known: dict[str, Options] = {}
    found = []
    for command, call in chain(in_guides, calls_in_scripts(release)):
        words = own_words(call.words)
        if call.script is None or command.elsewhere or not any(word.startswith("-") for word in words):
            continue
        if call.script.path not in known:
            known[call.script.path] = options_of(call.script, release)
        found.append((command, call.script.path, words, known[call.script.path]))
    return found


@check(needs="a command in a README or a shell script that calls a Python script whose options can be read")
def flag_not_accepted(release: PublishedFiles) -> Iterator[Seen]:
    """{command.text.path}:{command.line} calls {script} with {flag}, which it does not take{near}"""
    for command, script, words, options in _calls(release):
        flags = [word.partition("=")[0] for word in words if re.match(r"--?[A-Za-z][\w.-]*(=|$)", word)]
        for flag in dict.fromkeys(flags):
            seen = command.seen(flag)
            if options.takes(flag):
                yield Agreement(
                    seen, excerpt(options.paths.get(flag, script), flag, options.kind, options.flags.get(flag))
                )
            elif options.why or not flag.startswith("--"):
                yield NotAsked(f"{script}: {options.why or 'short options are not told apart'}")
            else:
                close = difflib.get_close_matches(flag, list(options.flags), n=1, cutoff=0.6)
                given = sorted(f for f in options.flags if f.startswith("--") and not f.startswith("--no"))[:12]
                line = options.flags[close[0]] if close else None
                where = options.paths[close[0]] if close else script
                at = excerpt(where, options.kind, f"takes {', '.join(given)}", line)
                near = f"; it takes {close[0]}" if close else ""
                yield Contradiction(seen, at, command=command, script=script, flag=flag, near=near)


_PLACEHOLDER = re.compile(r"(?i)[<>{}$*|\[\]]|\.\.\.|you|path|xxx|_name$")


@check(
    needs="a command in a README or a shell script that gives an option of argparse a value, of which type or choices are plain"
)
def option_value_not_accepted(release: PublishedFiles) -> Iterator[Seen]:
    """{command.text.path}:{command.line} gives {flag} the value {given}, but {at.path}:{at.line} takes {takes}"""
    for command, _, words, options in _calls(release):
        for flag, given in _given(words):
            declared = options.values.get(flag, [])
            misfits = [_misfit(given, kind, choices) for _, kind, choices in declared]
            if len(declared) == 1 and (takes := misfits[0]) is not None:
                at = excerpt(options.paths[flag], flag, takes or "takes it", declared[0][0])
                values = {"command": command, "flag": flag, "given": given, "at": at, "takes": takes}
                yield compared(not takes, command.seen(f"{flag} {given}"), at, **values)


def _given(words: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The options of a command that have one plain value."""
    for i, word in enumerate(words):
        flag, sign, value = word.partition("=")
        if not sign and i + 1 < len(words) and not words[i + 1].startswith("-"):
            value = words[i + 1]
        is_meant = value and not _PLACEHOLDER.search(value) and not value.isupper() and value.lower() != flag.strip("-")
        if flag.startswith("--") and is_meant:
            yield flag, value.rstrip(";")


def _misfit(given: str, kind: type | None, choices: tuple[Any, ...] | None) -> str | None:
    """What an option takes where that is another value, empty where it takes this one; None where it is not told."""
    if choices is not None:
        shown = ", ".join(map(str, choices[:8])) + (" and more" if len(choices) > 8 else "")
        return "" if given in {str(choice) for choice in choices} else f"only {shown}"
    if kind is None:
        return None
    try:
        kind(given)
    except ValueError:
        return {int: "a whole number", float: "a number"}[kind]
    return ""


_DEFAULT = re.compile(
    r"`?--([A-Za-z][\w-]+)`?[^`]{0,120}?\bdefaults?(?:\s+(?:is|to|value|value is))?\s*[:=]?\s*"
    r"`?([-\d.eE]+\d)`?(?![\w.])"
)
_BY_DEFAULT = re.compile(r"`--([A-Za-z][\w-]+)`[^`]{0,120}?\(\s*([-\d.eE]+\d) by default\)")
_POINTED = re.compile(
    r"(?i)\b(?:see|check out|look at|refer to|provided in|found in|listed in|is in)\s+(?:the\s+|our\s+)?(?:file\s+)?"
    r"`([\w./-]+\.(?:py|jsonl?|ya?ml|sh|txt|csv|md|ipynb|gin))`"
)


@check(needs="a document that gives an option's default, and the one script that declares the option")
def default_documented_otherwise(release: PublishedFiles) -> Iterator[Seen]:
    """{place} says that --{flag} is {claimed} by default, {option.path}:{option.line} says {option.value}"""
    # `--lr ... (default: 1e-3)` against the parser's default.
    options = defaults(release)
    for text in readmes(release):
        for line, words in enumerate(text.lines, 1):
            found = _DEFAULT.search(words) or _BY_DEFAULT.search(words)
            claimed = number(found.group(2)) if found else None
            if found is None or claimed is None:
                continue
            flag, place = found.group(1), f"{text.path}:{line}"
            named = options.get(flag.lower().replace("-", "_"), [])
            of = [o for o in named if isinstance(o.value, (int, float)) and not isinstance(o.value, bool)]
            default = as_number(of[0].value) if len({o.value for o in of}) == 1 else None
            if default is None:
                continue
            seen = (text.seen(line), of[0])
            yield compared(claimed == default, *seen, place=place, flag=flag, claimed=found.group(2), option=of[0])


@check(needs="a README with links to files of the release, or commands that start its scripts; not a package's archive")
def named_file_absent(release: PublishedFiles) -> Iterator[Seen]:
    """{document} names {name}, which is not in the release{near}"""
    if any(file.name == "PKG-INFO" or file.path.endswith(".dist-info/METADATA") for file in release.files):
        yield NotAsked("a package's archive holds only a part of its repository")
        return
    if len(release.files) + len(release.elsewhere) < 4 or "." in release.unreadable:
        yield NotAsked("too little of the release is here")
        return
    for text in readmes(release):
        for line, words in text.prose:
            yield from _links(text, line, words, release)
            yield from _in_backticks(text, line, words, release)
        addressed = "\n".join(line for line in text.lines if "://" in line)
        # Below a script that the document shows, that one may be meant; below a copy into another project, one of that project.
        others = (number for number, line in enumerate(text.lines, 1) if "__main__" in line or _COPIED.search(line))
        shown = next(others, len(text.lines))
        for command, call in ((command, call) for command, call in calls_of(text, release) if not call.is_module):
            seen, base = command.seen(call.name), call.name.rpartition("/")[2]
            folder = f"{text.folder}/" if text.folder else ""
            is_known = base in release.by_name or f"/{base}" in addressed or release.has(folder + call.name)
            is_own = release.code and not (is_known or command.elsewhere or _EXAMPLE.search(call.name))
            if call.script is not None:
                yield Agreement(seen, excerpt(call.script.path, "", "present"))
            elif is_own and command.line <= shown:
                yield _unless_left_out(text, command.line, call.name, folder + call.name, release, seen)


_COPIED = re.compile(
    r"(?i)\b(copy|move|put|place|replace|overwrite|drop)\b.{0,80}\b(to|into|in|under|of)\b.{0,60}\b(folder|director(y|ies)|repo(sitory)?|codebase|project)\b"
)
_EXAMPLE = re.compile(r"(?i)path/to|^(/|\.\.|your)|(^|/)(your|my|some)[_-]")
"""A script's name that the reader is to replace."""


def _unless_left_out(text: Text, line: int, name: str, path: str, release: PublishedFiles, seen: Excerpt) -> Seen:
    """That a file is absent, or why that says nothing."""
    if is_ignored(release, path):
        return NotAsked(f"{name}: git leaves it out, or it lies in a submodule")
    if over := next((of for of in laid_over(release) if f"{text.folder}/".startswith(f"{of}/")), None):
        return NotAsked(f"{over}: most of a package is absent there, so it may be laid over another project")
    return _absent(text, line, name, release, seen)


def _absent(text: Text, line: int, name: str, release: PublishedFiles, seen: Excerpt) -> Contradiction:
    near = difflib.get_close_matches(name.rpartition("/")[2], list(release.by_name), n=1, cutoff=0.75)
    document = f"{text.path}:{line}"
    if near:
        path = release.by_name[near[0]]
        at = excerpt(path, "present", path)
        return Contradiction(seen, at, document=document, name=name, near=f"; there is {path}")
    there = [file.path for file in release.files if file.folder == text.folder][:12]
    listing = excerpt(text.folder or ".", "present", ", ".join(there))
    return Contradiction(seen, listing, document=document, name=name, near="")


_LINK = re.compile(r"\[[^\[\]]*\]\(\s*<?((?:[^()\s>]|\([^()\s>]*\)){1,1000})>?(?:\s+\"[^\"]*\")?\s*\)")
_MAIL = re.compile(r"[^/\s]+@[^/\s]+\.\w+\Z")
_BARE_ADDRESS = re.compile(r"[\w-]+(\.[\w-]+)*\.(com|org|io|ai|net|edu|dev|co|gov|me|app)(/|:|$)")


def _links(text: Text, line: int, words: str, release: PublishedFiles) -> Iterator[Seen]:
    for found in _LINK.finditer(re.sub(r"`[^`]*`", "", words)):
        path = _relative(found.group(1))
        inside = _resolved(path, text.folder)
        if not path or inside is None:
            continue  # also GitHub's own `../../issues`
        seen = text.seen(line, found.group()[:200], path)
        unread = (other.partition(" ")[0] for other in release.unreadable)
        if any(release.has(place) for place in (inside, _resolved(path, "/")) if place is not None):
            yield Agreement(seen)
        elif not path.endswith((".html", ".htm")) and not any(f"{inside}/".startswith(f"{other}/") for other in unread):
            yield _unless_left_out(text, line, path, inside, release, seen)


def _relative(target: str) -> str:
    """The path of a link to a file of the release; empty for another link."""
    if ("://" in target and not target.startswith("http")) or target.startswith(("#", "mailto:", "//")):
        return ""
    try:
        parts = urlsplit(target)
    except ValueError:
        return ""
    path = unquote(parts.path)
    if parts.scheme or parts.netloc or _BARE_ADDRESS.match(path) or _MAIL.match(path) or re.search(r"[<>{}$*|]", path):
        return ""
    return path if "." in path.rpartition("/")[2] or "/" in path else ""


def _in_backticks(text: Text, line: int, words: str, release: PublishedFiles) -> Iterator[Seen]:
    """`Check out the `x.jsonl``: only where a file of nearly that name is there, so that a file is meant."""
    for found in _POINTED.finditer(words):
        name = found.group(1).rpartition("/")[2]
        seen = text.seen(line, found.group(), name)
        if name in release.by_name:
            yield Agreement(seen)
        elif difflib.get_close_matches(name, list(release.by_name), n=1, cutoff=0.8):
            yield _absent(text, line, found.group(1), release, seen)


def _resolved(path: str, folder: str) -> str | None:
    """A relative path from a folder; None where it leads out of the release."""
    whole = posixpath.normpath((path if path.startswith("/") else f"{folder}/{path}").lstrip("/"))
    return None if f"{whole}/".startswith("../") else whole


_IN_PROSE = re.compile(r"`--([A-Za-z][\w-]{6,60})(?=[` =])")


@check(needs="a README that names options of the release's scripts in its sentences")
def option_named_otherwise(release: PublishedFiles) -> Iterator[Seen]:
    """{text.path}:{line} names the option --{name}, which no script of the release takes; {at.path}:{at.line} takes {near}"""
    # Only where an option of nearly that name is there: others may be another program's.
    options, names = _declared(release)
    own = guides(release)
    others = [text for text in (*release.scripts, *release.texts) if text not in own]
    for text in own if options else ():
        for line, words in text.prose:
            for name in _IN_PROSE.findall(words):
                plain = name.replace("-", "_")
                close = difflib.get_close_matches(plain, [*options], n=1, cutoff=0.9)
                if plain in options:
                    yield Agreement(text.seen(line, f"--{name}"), options[plain])
                elif not close or plain in names or abs(len(plain) - len(close[0])) == 1:
                    continue
                elif not any(f"--{name}" in line for of in others for line in of.lines):
                    near, at = f"--{close[0]}", options[close[0]]
                    yield Contradiction(
                        text.seen(line, f"--{name}"), at, text=text, line=line, name=name, near=near, at=at
                    )


def _declared(release: PublishedFiles) -> tuple[dict[str, Excerpt], set[str]]:
    """The options that any parser of the release declares, with their places, and every other name that may be one."""
    options: dict[str, Excerpt] = {}
    names: set[str] = set()
    for code in release.code:
        for node in code.nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 80:
                names.add(node.value.lstrip("-").replace("-", "_"))
            elif isinstance(node, ast.arg):
                names.add(node.arg)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names.add(node.target.id)
        for call in (call for call in calls(code) if last_name(call.func) == "add_argument"):
            for word in (of.value for of in call.args if isinstance(of, ast.Constant) and isinstance(of.value, str)):
                if word.startswith("--"):
                    at = excerpt(code.path, word, f"option {word}", call.lineno)
                    options.setdefault(word.lstrip("-").replace("-", "_"), at)
    return options, names


_ANCHOR = re.compile(r"\[[^\[\]]*\]\(\s*#([^()\s]+)\s*\)")
_NAMED = re.compile(r"(?i)\b(?:id|name)\s*=\s*[\"']?([^\"'\s>]+)")


@check(needs="a README with links to its own sections")
def anchor_absent(release: PublishedFiles) -> Iterator[Seen]:
    """{text.path}:{line} links to #{anchor}, and the document has no such section{near}"""
    # Letters and digits alone are compared: what else stands in an anchor depends on who shows the document.
    for text in readmes(release):
        linked = [
            (line, anchor) for line, words in text.prose for anchor in _ANCHOR.findall(re.sub(r"`[^`]*`", "", words))
        ]
        if not linked:
            continue
        there = {_letters(words): line for line, words in _sections(text)}
        there |= {_letters(name): line for line, words in text.prose for name in _NAMED.findall(words)}
        missing = {anchor: line for line, anchor in reversed(linked) if not _is_section(anchor, there)}
        for anchor, line in reversed(missing.items()):
            close = difflib.get_close_matches(_letters(anchor), [*there], n=1, cutoff=0.6)
            at = text.seen(there[close[0]]) if close else excerpt(text.path, "sections", str(len(there)))
            near = f"; there is line {there[close[0]]}" if close else ""
            yield Contradiction(text.seen(line, f"#{anchor}"), at, text=text, line=line, anchor=anchor, near=near)
        if not missing:
            yield Agreement(text.seen(linked[0][0]))


def _is_section(anchor: str, there: dict[str, int]) -> bool:
    """True where an anchor is a section's, or that of the second of its name."""
    plain = _letters(unquote(anchor))
    return plain in there or re.sub(r"\d+$", "", plain) in there or plain in {"", "top", "readme"}


def _letters(words: str) -> str:
    return re.sub(r"[\W_]", "", words.lower())


def _sections(text: Text) -> Iterator[tuple[int, str]]:
    """(line, words) of the headings: `# words`, words over a rule, and HTML's."""
    prose = dict(text.prose)
    for line, words in prose.items():
        is_over_rule = re.fullmatch(r"\s*(=+|-{2,})\s*", prose.get(line + 1, "")) and words.strip()
        if found := re.match(r"\s*#{1,6}\s*(.*)", words):
            heading = found.group(1)
        elif is_over_rule or re.search(r"(?i)<h[1-6]\b", words):
            heading = words
        else:
            continue
        for each in (heading, re.sub(r":[a-z0-9_+-]+:", "", heading)):  # an emoji by its name
            yield line, re.sub(r"!?\[([^\[\]]*)\]\([^)]*\)|<[^>]+>", lambda of: of.group(1) or "", each)


_ENTRY = re.compile(r"\s*@(?!comment|string|preamble)\w+\s*\{\s*([^,\s]+)\s*,", re.IGNORECASE)
_TITLE = re.compile(r"^\s*title\s*=\s*[{\"]+(.+?)[}\"]+\s*,?\s*$", re.IGNORECASE)
_ARXIV = re.compile(r"(?:arxiv[:.\s/a-z]*|eprint\s*=\s*[{\"])(\d{4}\.\d{4,5})", re.IGNORECASE)


@check(needs="a document that cites two works with their numbers at arXiv")
def citation_number_twice(release: PublishedFiles) -> Iterator[Seen]:
    """{text.path}: two works, {one} (line {first}) and {two} (line {second}), have one arXiv number, {number}"""
    for text in guides(release):
        works = [*_works(text)]
        told = 0
        for i, (line, title, arxiv) in enumerate(works):
            for other, another, same in works[i + 1 :]:
                is_alike = arxiv == same and _is_one_title(_letters(title), _letters(another))
                if arxiv == same and not is_alike:
                    told += 1
                    values = {"one": title[:80], "two": another[:80], "first": line, "second": other, "number": arxiv}
                    yield Contradiction(text.seen(line), text.seen(other), text=text, **values)
        if len(works) >= 2 and not told:
            yield Agreement(text.seen(works[0][0]), text.seen(works[1][0]))


def _is_one_title(one: str, two: str) -> bool:
    return one.startswith(two) or two.startswith(one) or difflib.SequenceMatcher(None, one, two).ratio() > 0.75


def _works(text: Text) -> Iterator[tuple[int, str, str]]:
    """(line of the number, title, arXiv number) of a document's BibTeX entries that have both."""
    title, at, arxiv, is_within = "", 0, "", False
    for line, words in [*enumerate(text.lines, 1), (len(text.lines) + 1, "@end{end,")]:
        if _ENTRY.match(words):
            if title and arxiv:
                yield at, title, arxiv
            title, at, arxiv, is_within = "", 0, "", True
        elif not is_within:
            continue
        elif found := _TITLE.match(words):
            title = found.group(1)
        elif (found := _ARXIV.search(words)) and not arxiv:
            at, arxiv = line, found.group(1)


@check(needs="to be asked for (--links): addresses are looked up only then")
def link_dead(release: PublishedFiles) -> Iterator[Seen]:
    """{link.text.path}:{link.line} links to {link.url}, which is gone (status {link.status} on {link.date})"""
    # 404 and 410 are dead; everything else is not known.
    for link in release.links or ():
        seen = link.text.seen(link.line, link.url, "link")
        if link.status in {404, 410}:
            yield Contradiction(seen, excerpt(link.url, "status", f"{link.status} on {link.date}"), link=link)
        elif link.status is not None and 200 <= link.status < 300:
            yield Agreement(seen)
        else:
            yield NotAsked(f"{link.url}: {link.problem or link.status}")
