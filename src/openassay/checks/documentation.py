"""What documents say against what is there: options of commands, files that are named, addresses."""

from __future__ import annotations

import difflib
import posixpath
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import dropwhile, takewhile
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from openassay.checks.check import Agreement, Contradiction, NotAsked, Seen, check, compared
from openassay.checks.code_options import Options, defaults, options_of
from openassay.checks.release import Code, PublishedFiles, Text, excerpt
from openassay.checks.scalars import as_number, number
from openassay.core.findings import Excerpt


@dataclass(frozen=True)
class Command:
    """A command line in a document's code block."""

    text: Text
    line: int
    words: tuple[str, ...]
    elsewhere: bool
    """It may run in another place than this release."""

    def seen(self, key: str) -> Excerpt:
        """This command, to be cited."""
        return excerpt(self.text.path, key, " ".join(self.words)[:200], self.line)


_BLOCK = re.compile(r"\s*(?:```+|~~~+)\s*(\w*)")
_ASIDE = {"third_party", "vendor", "dependencies", "external", "node_modules", "submodules"}


def _documents(release: PublishedFiles) -> list[Text]:
    named = (text for text in release.texts if re.match(r"(?i)readme(\.md|\.markdown)?$", text.name))
    return [text for text in named if not _ASIDE & {*text.path.lower().split("/")}]


def commands(text: Text, release: PublishedFiles) -> Iterator[Command]:
    """The command lines of a document, joined where a backslash goes on."""
    i, elsewhere = 0, False
    while i < len(text.lines):
        found = _BLOCK.match(text.lines[i]) if i in text.fenced else None
        if re.match(r"#{1,2}\s", text.lines[i]) and i not in text.fenced:
            elsewhere = False  # a new section begins at the top again
        i += 1
        if not found:
            continue
        block = [*takewhile(lambda line: not re.match(r"\s*(```+|~~~+)\s*$", line), text.lines[i:])]
        is_shell = found.group(1).lower() in {"", "bash", "sh", "shell", "console", "zsh", "shellsession"}
        for at, line in _joined(block, i + 1) if is_shell and i not in text.commented else ():
            elsewhere = elsewhere or _leads_away(line, release)
            if words := _split(line):
                yield Command(text, at, words, elsewhere)
        i += len(block) + 1


def _joined(block: list[str], first: int) -> list[tuple[int, str]]:
    """A block's lines with their numbers; one that ends in a backslash goes on in the next."""
    joined: list[tuple[int, str]] = []
    going = False
    for at, line in enumerate(block, first):
        bare = re.sub(r"\\\s+#.*$", "\\\\", line.rstrip())  # `\ # why`
        if going:
            joined[-1] = (joined[-1][0], joined[-1][1] + " " + bare.rstrip("\\").strip())
        else:
            joined.append((at, bare.rstrip("\\")))
        going = bare.endswith("\\")
    return joined


def _leads_away(line: str, release: PublishedFiles) -> bool:
    """True for a `cd`, a `clone` or a container that leads to another place than this very release."""
    if cd := re.match(r"\s*(?:\$ |> )?(?:cd|pushd)\s+(\S+)", line):
        place = cd.group(1).strip("./'\"").rstrip("/")
        return bool(place) and place.lower() not in _own_names(release)
    if clone := re.match(r"\s*(?:\$ |> )?git\s+(?:lfs\s+)?clone\s+.*?(\S+)\s*$", line):
        name = clone.group(1).rstrip("/").removesuffix(".git").rpartition("/")[2].lower()
        return name not in _own_names(release) and not clone.group(1).startswith("https://huggingface")
    return bool(re.match(r"\s*(?:\$ )?(docker|kubectl|ssh|srun|sbatch)\b", line))


def _own_names(release: PublishedFiles) -> set[str]:
    names = {release.name.lower()}
    for text in release.texts:
        if not text.folder and text.path.lower().startswith("readme"):
            names |= {words.strip("# ").lower() for words in text.lines[:5] if words.startswith("# ")}
    for config in release.configs:
        if config.path == "pyproject.toml" and (value := config.by_key.get("project.name")):
            names.add(str(value.value).lower())
    return names | {name.replace("_", "-") for name in names} | {name.replace(" ", "-") for name in names}


def _split(line: str) -> tuple[str, ...]:
    line = re.sub(r"^\s*(\$|>|!|%)\s+", "", line)
    try:
        return tuple(shlex.split(line, comments=True))
    except ValueError:
        return ()


@dataclass(frozen=True)
class Call:
    """A Python script or module of the release that a command starts, and the words after it."""

    name: str
    script: Code | None
    words: tuple[str, ...]
    is_module: bool


def call_of(command: Command, release: PublishedFiles) -> Call | None:
    """The script that a command starts; None where it starts none, or where that is not plain."""
    before = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=\S*|sudo|time|nohup|env")
    words = [*dropwhile(before.fullmatch, command.words)]
    if not words:
        return None
    head = words[0].rpartition("/")[2]
    if head in {"torchrun", "deepspeed", "accelerate", "horovodrun", "mpirun", "colossalai"}:
        return _launched(words[1:], command, release)
    if not re.fullmatch(r"python[0-9.]*", head):
        return _script(words, command, release) if head.endswith(".py") else None
    for i, word in enumerate(words[1:], 1):
        if word == "-m":
            return _module(words[i + 1 :], command, release)
        if word in {"-c", "-"}:
            return None
        if not word.startswith("-"):
            return _script(words[i:], command, release)
    return None


def _module(words: list[str], command: Command, release: PublishedFiles) -> Call | None:
    module, rest = words[0] if words else "", words[1:]
    if module in {"torch.distributed.launch", "torch.distributed.run", "accelerate.commands.launch"}:
        return _launched(rest, command, release)
    path = module.replace(".", "/")
    for candidate in (f"{path}.py", f"{path}/__main__.py", f"src/{path}.py", f"src/{path}/__main__.py"):
        if script := release.code_by_path.get(candidate):
            return Call(candidate, script, tuple(rest), True)
    return None


def _launched(words: list[str], command: Command, release: PublishedFiles) -> Call | None:
    return _script([*dropwhile(lambda word: not word.endswith(".py"), words)], command, release)


def _script(words: list[str], command: Command, release: PublishedFiles) -> Call | None:
    if not words or not words[0].endswith(".py") or re.search(r"[<>{}$*]", words[0]):
        return None
    name = words[0].removeprefix("./")
    places = (str(PurePosixPath(place)) for place in (command.text.folder and f"{command.text.folder}/{name}", name))
    script = next((code for place in places if (code := release.code_by_path.get(place))), None)
    return Call(name, script, tuple(words[1:]), False)


def _calls(text: Text, release: PublishedFiles) -> Iterator[tuple[Command, Call]]:
    """The commands of a document that start a script."""
    return ((command, call) for command in commands(text, release) if (call := call_of(command, release)))


@check(needs="a command in a README that calls a Python script of the release, whose options can be read")
def flag_not_accepted(release: PublishedFiles) -> Iterator[Seen]:
    """{command.text.path}:{command.line} calls {script} with {flag}, which it does not take{near}"""
    known: dict[str, Options] = {}
    for command, call in (found for text in _documents(release) for found in _calls(text, release)):
        if call.script is None or command.elsewhere:
            continue
        script = call.script.path
        flags = [word.partition("=")[0] for word in own_words(call.words) if re.match(r"--?[A-Za-z]", word)]
        if flags and script not in known:
            known[script] = options_of(call.script, release)
        for flag in dict.fromkeys(flags):
            options = known[script]
            seen = command.seen(flag)
            if options.takes(flag):
                yield Agreement(seen, excerpt(script, flag, options.kind, options.flags.get(flag)))
            elif options.why or not flag.startswith("--"):
                yield NotAsked(f"{script}: {options.why or 'short options are not told apart'}")
            else:
                close = difflib.get_close_matches(flag, list(options.flags), n=1, cutoff=0.6)
                given = sorted(f for f in options.flags if f.startswith("--") and not f.startswith("--no"))[:12]
                line = options.flags[close[0]] if close else None
                at = excerpt(script, options.kind, f"takes {', '.join(given)}", line)
                near = f"; it takes {close[0]}" if close else ""
                yield Contradiction(seen, at, command=command, script=script, flag=flag, near=near)


def own_words(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words that belong to the command itself: a pipe, another command or `--` ends it."""
    ends = {"--", "|", "||", "&&", ";", "&", ">", ">>", "2>&1", "<"}
    stops = (i if word in ends else i + 1 for i, word in enumerate(words) if word in ends or word.endswith(";"))
    return words[: next(stops, len(words))]


_DEFAULT = re.compile(
    r"`?--([A-Za-z][\w-]+)`?[^`]{0,120}?\bdefaults?(?:\s+(?:is|to|value|value is))?\s*[:=]?\s*"
    r"`?([-\d.eE]+\d)`?(?![\w.])"
)
_POINTED = re.compile(
    r"(?i)\b(?:see|check out|look at|refer to|provided in|found in|listed in|is in)\s+(?:the\s+|our\s+)?(?:file\s+)?"
    r"`([\w./-]+\.(?:py|jsonl?|ya?ml|sh|txt|csv|md|ipynb|gin))`"
)


@check(needs="a document that gives an option's default, and the one script that declares the option")
def default_documented_otherwise(release: PublishedFiles) -> Iterator[Seen]:
    """{place} says that --{flag} is {claimed} by default, {option.path}:{option.line} says {option.value}"""
    # `--lr ... (default: 1e-3)` against the parser's default.
    options = defaults(release)
    for text in _documents(release):
        for line, words in enumerate(text.lines, 1):
            found = _DEFAULT.search(words)
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
    if len(release.files) < 4 or "." in release.unreadable:
        yield NotAsked("too little of the release is here")
        return
    for text in _documents(release):
        for line, words in text.prose:
            yield from _links(text, line, words, release)
            yield from _in_backticks(text, line, words, release)
        addressed = "\n".join(line for line in text.lines if "://" in line)
        for command, call in ((command, call) for command, call in _calls(text, release) if not call.is_module):
            seen, base = command.seen(call.name), call.name.rpartition("/")[2]
            is_example = "path/to" in call.name.lower() or call.name.startswith(("/", "..", "your"))
            is_known = base in release.by_name or f"/{base}" in addressed
            if call.script is not None:
                yield Agreement(seen, excerpt(call.script.path, "", "present"))
            elif release.code and not (is_known or command.elsewhere or is_example):
                yield _absent(text, command.line, call.name, release, seen)


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


_LINK = re.compile(r"\[[^\[\]]*\]\(\s*<?([^)\s>]{1,1000})>?(?:\s+\"[^\"]*\")?\s*\)")
_BARE_ADDRESS = re.compile(r"[\w-]+(\.[\w-]+)*\.(com|org|io|ai|net|edu|dev|co|gov|me|app)(/|:|$)")


def _links(text: Text, line: int, words: str, release: PublishedFiles) -> Iterator[Seen]:
    for found in _LINK.finditer(re.sub(r"`[^`]*`", "", words)):
        path = _relative(found.group(1))
        inside = _resolved(path, text.folder)
        if not path or inside is None:
            continue  # also GitHub's own `../../issues`
        seen = text.seen(line, found.group()[:200], path)
        unread = (other.partition(" ")[0] for other in release.unreadable)
        if any(place in release.by_path or place in release.folders for place in (inside, _resolved(path, "/"))):
            yield Agreement(seen)
        elif not path.endswith((".html", ".htm")) and not any(f"{inside}/".startswith(f"{other}/") for other in unread):
            yield _absent(text, line, path, release, seen)


def _relative(target: str) -> str:
    """The path of a link to a file of the release; empty for another link."""
    if ("://" in target and not target.startswith("http")) or target.startswith(("#", "mailto:", "//")):
        return ""
    try:
        parts = urlsplit(target)
    except ValueError:
        return ""
    path = unquote(parts.path)
    if parts.scheme or parts.netloc or _BARE_ADDRESS.match(path) or re.search(r"[<>{}$*|]", path):
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


def addresses(release: PublishedFiles) -> list[tuple[Text, int, str]]:
    """The web addresses that the documents name, each once, in their order."""
    found: dict[str, tuple[Text, int, str]] = {}
    for text in _documents(release):
        for line, words in text.prose:
            for match in re.finditer(r"https?://[^\s<>\"'`\])}|]+", words):
                url = match.group().rstrip(".,;:!?*_")
                if not re.search(r"[{}$<>]|localhost|127\.0\.0\.1|example\.", url):
                    found.setdefault(url, (text, line, url))
    return list(found.values())
