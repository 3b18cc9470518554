"""Does what the documents say fit what is there? Options of commands, files that are named, addresses."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from openassay.checks.check import Agreement, Contradiction, NotAsked, Seen
from openassay.checks.code_options import Options, defaults, options_of
from openassay.checks.release import Code, PublishedFiles, Text
from openassay.core.types import Excerpt


@dataclass(frozen=True)
class Command:
    """A command line in a document's code block."""

    text: Text
    line: int
    words: tuple[str, ...]
    elsewhere: str
    """Why it may run in another place than this release; empty where it does not."""


_BLOCK = re.compile(r"\s*(?:```+|~~~+)\s*(\w*)")
_OUTSIDE = re.compile(
    r"^\s*(?:\$ |> )?(?:git\s+(?:lfs\s+)?clone|cd|pushd|docker|wget|curl|tar|unzip|kubectl|ssh|srun|sbatch)\b"
)


def _documents(release: PublishedFiles) -> list[Text]:
    return [
        text
        for text in release.texts
        if re.match(r"(?i)readme(\.md|\.markdown)?$", text.path.rpartition("/")[2]) and not _aside(text.path)
    ]


def _aside(path: str) -> bool:
    return any(
        part.lower() in {"third_party", "vendor", "dependencies", "external", "node_modules", "submodules"}
        for part in path.split("/")
    )


def commands(text: Text, release: PublishedFiles) -> Iterator[Command]:
    """The command lines of a document, joined where a backslash goes on."""
    i, elsewhere = 0, ""
    lines = text.lines
    while i < len(lines):
        found = _BLOCK.match(lines[i])
        if not found or i not in text.fenced:
            if re.match(r"#{1,2}\s", lines[i]) and i not in text.fenced:
                elsewhere = ""  # a new section begins at the top again
            i += 1
            continue
        language = found.group(1).lower()
        i += 1
        block: list[tuple[int, str]] = []
        while i < len(lines) and not re.match(r"\s*(```+|~~~+)\s*$", lines[i]):
            block.append((i + 1, lines[i]))
            i += 1
        i += 1
        if language not in {"", "bash", "sh", "shell", "console", "zsh", "shellsession"} or _is_comment(text, block):
            continue
        joined: list[tuple[int, str]] = []
        going = False
        for number, line in block:
            bare = re.sub(r"\\\s+#.*$", "\\\\", line.rstrip())  # `\ # why`
            if going:
                joined[-1] = (joined[-1][0], joined[-1][1] + " " + bare.rstrip("\\").strip())
            else:
                joined.append((number, bare.rstrip("\\")))
            going = bare.endswith("\\")
        for number, line in joined:
            if _OUTSIDE.match(line):
                elsewhere = elsewhere or _goes(line, release)
            words = _split(line)
            if words:
                yield Command(text, number, words, elsewhere)


def _is_comment(text: Text, block: list[tuple[int, str]]) -> bool:
    return bool(block) and block[0][0] - 1 in text.commented


def _goes(line: str, release: PublishedFiles) -> str:
    """Where does a `cd` or a `clone` lead? Nowhere else, if it is into this very release."""
    cd = re.match(r"\s*(?:\$ |> )?(?:cd|pushd)\s+(\S+)", line)
    if cd:
        place = cd.group(1).strip("./'\"").rstrip("/")
        if place.lower() in _own_names(release) or not place:
            return ""
        return f"after `{line.strip()[:60]}`"
    clone = re.match(r"\s*(?:\$ |> )?git\s+(?:lfs\s+)?clone\s+.*?(\S+)\s*$", line)
    if clone:
        name = clone.group(1).rstrip("/").removesuffix(".git").rpartition("/")[2].lower()
        return (
            ""
            if name in _own_names(release) or clone.group(1).startswith("https://huggingface")
            else f"after `{line.strip()[:60]}`"
        )
    return f"after `{line.strip()[:60]}`" if re.match(r"\s*(?:\$ )?(docker|kubectl|ssh|srun|sbatch)", line) else ""


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
        words = shlex.split(line, comments=True)
    except ValueError:
        return ()
    return tuple(words)


@dataclass(frozen=True)
class Call:
    """A Python script or module of the release that a command starts, and the words after it."""

    name: str
    script: Code | None
    words: tuple[str, ...]
    is_module: bool


_LAUNCHERS = {"torchrun", "deepspeed", "accelerate", "horovodrun", "mpirun", "colossalai"}


def called(command: Command, release: PublishedFiles) -> Call | None:
    """Which script does a command start? None where it starts none, or where that is not plain."""
    words = list(command.words)
    while words and (
        re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*=\S*", words[0]) or words[0] in {"sudo", "time", "nohup", "env"}
    ):
        words.pop(0)
    if not words:
        return None
    head = words[0].rpartition("/")[2]
    by_path = {code.path: code for code in release.code}
    if re.fullmatch(r"python[0-9.]*", head):
        i = 1
        while i < len(words) and words[i].startswith("-"):
            if words[i] == "-m":
                module = words[i + 1] if i + 1 < len(words) else ""
                if module in {"torch.distributed.launch", "torch.distributed.run", "accelerate.commands.launch"}:
                    return _launched(words[i + 2 :], command, by_path)
                path = module.replace(".", "/")
                for candidate in (f"{path}.py", f"{path}/__main__.py", f"src/{path}.py", f"src/{path}/__main__.py"):
                    if candidate in by_path:
                        return Call(candidate, by_path[candidate], tuple(words[i + 2 :]), True)
                return None
            if words[i] in {"-c", "-"}:
                return None
            i += 1
        return _script(words[i:], command, by_path)
    if head in _LAUNCHERS:
        return _launched(words[1:], command, by_path)
    return _script(words, command, by_path) if head.endswith(".py") else None


def _launched(words: list[str], command: Command, by_path: dict[str, Code]) -> Call | None:
    at = next((i for i, word in enumerate(words) if word.endswith(".py")), None)
    return None if at is None else _script(words[at:], command, by_path)


def _script(words: list[str], command: Command, by_path: dict[str, Code]) -> Call | None:
    if not words or not words[0].endswith(".py") or re.search(r"[<>{}$*]", words[0]):
        return None
    name = words[0].removeprefix("./")
    folder = command.text.folder
    places = [f"{folder}/{name}" if folder else name, name]
    for place in places:
        path = str(PurePosixPath(place))
        if path in by_path:
            return Call(name, by_path[path], tuple(words[1:]), False)
    return Call(name, None, tuple(words[1:]), False)


class FlagNotAccepted:
    """{document} calls {script} with {flag}, which it does not take{near}"""

    kind = "flag_not_accepted"
    needs = "a command in a README that calls a Python script of the release, whose options can be read"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """Options of commands against what the script declares."""
        known: dict[str, Options] = {}
        for text in _documents(release):
            for command in commands(text, release):
                call = called(command, release)
                if call is None or call.script is None or command.elsewhere:
                    continue
                flags = [word.partition("=")[0] for word in _own_words(call.words) if re.match(r"--?[A-Za-z]", word)]
                if not flags:
                    continue
                if call.script.path not in known:
                    known[call.script.path] = options_of(call.script, release)
                options = known[call.script.path]
                for flag in dict.fromkeys(flags):
                    seen = Excerpt(path=text.path, line=command.line, key=flag, value=" ".join(command.words)[:200])
                    if options.takes(flag):
                        line = options.flags.get(flag)
                        yield Agreement((seen, Excerpt(path=call.script.path, line=line, key=flag, value=options.kind)))
                    elif not options.complete or not flag.startswith("--"):
                        yield NotAsked(f"{call.script.path}: {options.why or 'short options are not told apart'}")
                    else:
                        close = difflib.get_close_matches(flag, list(options.flags), n=1, cutoff=0.6)
                        given = ", ".join(
                            sorted(f for f in options.flags if f.startswith("--") and not f.startswith("--no"))[:12]
                        )
                        at = Excerpt(
                            path=call.script.path,
                            line=options.flags[close[0]] if close else None,
                            key=options.kind,
                            value=f"takes {given}",
                        )
                        near = f"; it takes {close[0]}" if close else ""
                        yield Contradiction(
                            {
                                "document": f"{text.path}:{command.line}",
                                "script": call.script.path,
                                "flag": flag,
                                "near": near,
                            },
                            (seen, at),
                        )


def _own_words(words: tuple[str, ...]) -> list[str]:
    """The words that belong to the command itself: a pipe, another command or `--` ends it."""
    found = []
    for word in words:
        if word in {"--", "|", "||", "&&", ";", "&", ">", ">>", "2>&1", "<"}:
            break
        found.append(word)
        if word.endswith(";"):
            break
    return found


_DEFAULT = (
    r"`?--([A-Za-z][\w-]+)`?[^`]{0,120}?\bdefaults?(?:\s+(?:is|to|value|value is))?\s*[:=]?\s*"
    r"`?([-\d.eE]+\d)`?(?![\w.])"
)
_POINTED = (
    r"(?i)\b(?:see|check out|look at|refer to|provided in|found in|listed in|is in)\s+(?:the\s+|our\s+)?(?:file\s+)?"
    r"`([\w./-]+\.(?:py|jsonl?|ya?ml|sh|txt|csv|md|ipynb|gin))`"
)


class DefaultDocumentedOtherwise:
    """{document} says that {flag} is {first} by default, {path} says {second}"""

    kind = "default_documented_otherwise"
    needs = "a document that gives an option's default, and the one script that declares the option"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """`--lr ... (default: 1e-3)` against the parser's default."""
        options = defaults(release)
        for text in _documents(release):
            for i, line in enumerate(text.lines):
                found = re.search(
                    _DEFAULT,
                    line,
                )
                if not found:
                    continue
                of = [
                    o
                    for o in options.get(found.group(1).lower().replace("-", "_"), [])
                    if isinstance(o.default, (int, float)) and not isinstance(o.default, bool)
                ]
                if not of or len({o.default for o in of}) != 1:
                    continue
                try:
                    claimed = float(found.group(2))
                except ValueError:
                    continue
                if claimed == float(of[0].default):
                    yield Agreement((text.seen(i + 1), of[0].seen()))
                else:
                    values = {
                        "document": f"{text.path}:{i + 1}",
                        "flag": f"--{found.group(1)}",
                        "first": found.group(2),
                        "path": f"{of[0].path}:{of[0].line}",
                        "second": of[0].default,
                    }
                    yield Contradiction(values, (text.seen(i + 1), of[0].seen()))


class NamedFileAbsent:
    """{document} names {name}, which is not in the release{near}"""

    kind = "named_file_absent"
    needs = "a README with links to files of the release, or commands that start its scripts; not a package's archive"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """Relative links and scripts in commands."""
        if release.is_package:
            yield NotAsked("a package's archive holds only a part of its repository")
            return
        if len(release.files) < 4 or "." in release.unreadable:
            yield NotAsked("too little of the release is here")
            return
        for text in _documents(release):
            yield from self._links(text, release)
            for command in commands(text, release):
                call = called(command, release)
                if call is None or call.is_module:
                    continue
                seen = Excerpt(path=text.path, line=command.line, key=call.name, value=" ".join(command.words)[:200])
                if call.script is not None:
                    yield Agreement((seen, Excerpt(path=call.script.path, line=None, key="", value="present")))
                elif (
                    not command.elsewhere
                    and not any(file.name == call.name.rpartition("/")[2] for file in release.files)
                    and release.code
                    and "path/to" not in call.name.lower()
                    and f"/{call.name.rpartition('/')[2]}"
                    not in "\n".join(line for line in text.lines if "://" in line)
                    and not call.name.startswith(("/", "..", "your"))
                ):
                    yield self._absent(text, command.line, call.name, release, seen)

    def _absent(self, text: Text, line: int, name: str, release: PublishedFiles, seen: Excerpt) -> Contradiction:
        names = {file.name: file.path for file in release.files}
        close = difflib.get_close_matches(name.rpartition("/")[2], list(names), n=1, cutoff=0.75)
        near = f"; there is {names[close[0]]}" if close else ""
        folder = PurePosixPath(text.folder or ".")
        there = [file.path for file in release.files if PurePosixPath(file.path).parent == folder][:12]
        listing = Excerpt(
            path=names[close[0]] if close else str(folder),
            line=None,
            key="present",
            value=names[close[0]] if close else ", ".join(there),
        )
        return Contradiction({"document": f"{text.path}:{line}", "name": name, "near": near}, (seen, listing))

    def _links(self, text: Text, release: PublishedFiles) -> Iterator[Seen]:
        folders = release.folders
        for line, words in text.prose:
            plain = re.sub(r"`[^`]*`", "", words)
            for found in re.finditer(r"\[[^\[\]]*\]\(\s*<?([^)\s>]{1,1000})>?(?:\s+\"[^\"]*\")?\s*\)", plain):
                target = found.group(1)
                parts = urlsplit(target) if "://" not in target or target.startswith("http") else None
                if (
                    parts is None
                    or parts.scheme
                    or parts.netloc
                    or not parts.path
                    or target.startswith(("#", "mailto:", "//"))
                ):
                    continue
                path = unquote(parts.path)
                if re.match(r"[\w-]+(\.[\w-]+)*\.(com|org|io|ai|net|edu|dev|co|gov|me|app)(/|:|$)", path):
                    continue  # an address without its https://
                if re.search(r"[<>{}$*|]", path) or ("." not in path.rpartition("/")[2] and "/" not in path):
                    continue
                inside = _resolved(path, text.folder)
                if inside is None:
                    continue  # GitHub's own `../../issues`
                seen = text.seen(line, found.group()[:200], path)
                if (
                    inside in release.by_path
                    or inside in folders
                    or _resolved(path.lstrip("/"), "") in release.by_path | dict.fromkeys(folders)
                ):
                    yield Agreement((seen,))
                elif any(
                    inside == other.partition(" ")[0] or inside.startswith(f"{other.partition(' ')[0]}/")
                    for other in release.unreadable
                ):
                    continue
                elif not path.endswith((".html", ".htm")):
                    yield self._absent(text, line, path, release, seen)
            yield from self._in_backticks(text, line, words, release)

    def _in_backticks(self, text: Text, line: int, words: str, release: PublishedFiles) -> Iterator[Seen]:
        """`Check out the `x.jsonl``: only where a file of nearly that name is there, so that a file is meant."""
        for found in re.finditer(
            _POINTED,
            words,
        ):
            name = found.group(1).rpartition("/")[2]
            names = [file.name for file in release.files]
            close = difflib.get_close_matches(name, names, n=1, cutoff=0.8)
            if name in names:
                yield Agreement((text.seen(line, found.group(), name),))
            elif close:
                yield self._absent(text, line, found.group(1), release, text.seen(line, found.group(), name))


def _resolved(path: str, folder: str) -> str | None:
    """A relative path from a folder; None where it leads out of the release."""
    parts: list[str] = [] if path.startswith("/") else [part for part in folder.split("/") if part]
    for part in path.split("/"):
        if part in {"", "."}:
            continue
        if part == "..":
            if not parts:
                return None
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts) or "."


class LinkDead:
    """{document} links {url}, which its server says is gone ({status}, asked on {date})"""

    kind = "link_dead"
    needs = "to be asked for (--links): addresses are looked up only then"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """404 and 410 are dead; everything else is not known."""
        for link in release.links or ():
            seen = link.text.seen(link.line, link.url, "link")
            if link.status in {404, 410}:
                at = Excerpt(path=link.url, line=None, key="status", value=f"{link.status} on {link.date}")
                yield Contradiction(
                    {
                        "document": f"{link.text.path}:{link.line}",
                        "url": link.url,
                        "status": link.status,
                        "date": link.date,
                    },
                    (seen, at),
                )
            elif link.status is not None and 200 <= link.status < 300:
                yield Agreement((seen,))
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
