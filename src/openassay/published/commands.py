"""The commands and addresses that a release's documents give, and the scripts that the commands start; nothing is run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import dropwhile, takewhile
from pathlib import PurePosixPath

from openassay.core.findings import Excerpt
from openassay.published.files import Code, PublishedFiles, Text, excerpt


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


def readmes(release: PublishedFiles) -> list[Text]:
    """The READMEs of the release's own parts."""
    named = (text for text in release.texts if re.match(r"(?i)readme(\.md|\.markdown)?$", text.name))
    return [text for text in named if not _ASIDE & {*text.path.lower().split("/")}]


def guides(release: PublishedFiles) -> list[Text]:
    """The READMEs, and the other documents that lie beside one of them, such as TRAINING.md."""
    named = readmes(release)
    folders = {text.folder for text in named}
    beside = (
        text for text in release.texts if text.name.endswith(".md") and text.folder in folders and text not in named
    )
    return [
        *named,
        *(text for text in beside if not re.match(r"(?i)(change|code|contributing|security|licen|history)", text.name)),
    ]


def shell_scripts(release: PublishedFiles) -> list[Text]:
    """The shell scripts of the release's own parts."""
    return [text for text in release.scripts if not (_ASIDE | {"test", "tests"}) & {*text.path.lower().split("/")}]


def script_commands(text: Text, release: PublishedFiles) -> Iterator[Command]:
    """The command lines of a shell script, without what stands in here-documents."""
    elsewhere, end = False, ""
    for at, line in _joined(list(text.lines), 1):
        if end:
            end = "" if line.strip() == end else end
            continue
        if here := re.search(r"<<-?\s*[\"']?(\w+)", line):
            end = here.group(1)
        elsewhere = elsewhere or _leads_away(line, release)
        if words := _split(line):
            yield Command(text, at, words, elsewhere)


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
    return bool(re.match(r"\s*(?:\$ )?(docker|kubectl|ssh|sbatch|srun\b.*--container)\b", line))


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


_PYTHON = re.compile(r"python[0-9.]*")
_STARTERS = {"torchrun", "deepspeed", "accelerate", "colossalai"}
"""Launchers of a Python script."""
_AROUND = {
    "horovodrun", "mpirun", "mpiexec", "srun", "uv", "poetry", "pipenv", "timeout", "numactl", "nice", "stdbuf",
}  # fmt: skip
"""Programs that start another program, which need not be Python."""


def call_of(command: Command, release: PublishedFiles) -> Call | None:
    """The script that a command starts; None where it starts none, or where that is not plain."""
    before = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=\S*|sudo|time|nohup|env")
    words = [*dropwhile(before.fullmatch, command.words)]
    if not words:
        return None
    head = words[0].rpartition("/")[2]
    if head in _STARTERS:
        return _launched(words[1:], command, release)
    if head in _AROUND:
        return _around(words[1:], command, release)
    if head in {"bash", "sh"}:
        return _inner(words, command, release)
    if not _PYTHON.fullmatch(head):
        return _script(words, command, release) if head.endswith(".py") else None
    return _python(words, command, release)


def _python(words: list[str], command: Command, release: PublishedFiles) -> Call | None:
    """What an interpreter's words start."""
    for i, word in enumerate(words[1:], 1):
        if word == "-m":
            return _module(words[i + 1 :], command, release)
        if word in {"-c", "-"}:
            return None
        if not word.startswith("-"):
            return _script(words[i:], command, release)
    return None


def _inner(words: list[str], command: Command, release: PublishedFiles) -> Call | None:
    """What the text of `bash -c` starts: its first command that starts a script, in this release's own folder."""
    option = next((i for i, word in enumerate(words[1:], 1) if not word.startswith("-")), len(words)) - 1
    if option < 1 or option + 1 >= len(words) or not re.fullmatch(r"-[a-z]*c", words[option]):
        return None
    for part in re.split(r"&&|;|\n", words[option + 1]):
        if _leads_away(part, release):
            return None
        inner = Command(command.text, command.line, _split(part), command.elsewhere)
        if inner.words and inner.words != command.words and (call := call_of(inner, release)):
            return call
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
    """What a launcher of Python starts: a script, or a module after `-m`."""
    for i, word in enumerate(words):
        if word.endswith(".py"):
            return _script(words[i:], command, release)
        if word in {"-m", "--module"}:
            return _module(words[i + 1 :], command, release)
    return None


def _around(words: list[str], command: Command, release: PublishedFiles) -> Call | None:
    """What a program starts that starts another: an interpreter, a launcher, or the text of `bash -c`."""
    if words[:1] == ["run"] and words[1:2] and words[1].endswith(".py"):
        return _script(words[1:], command, release)
    for i, word in enumerate(words):
        head = word.rpartition("/")[2]
        if head in _STARTERS:
            return _launched(words[i + 1 :], command, release)
        if _PYTHON.fullmatch(head):
            return _python(words[i:], command, release)
        if head in {"bash", "sh"}:
            return _inner(words[i:], command, release)
    return None


def _script(words: list[str], command: Command, release: PublishedFiles) -> Call | None:
    if not words or not words[0].endswith(".py") or re.search(r"[<>{}$*]", words[0]):
        return None
    name = words[0].removeprefix("./")
    places = (str(PurePosixPath(place)) for place in (command.text.folder and f"{command.text.folder}/{name}", name))
    script = next((code for place in places if (code := release.code_by_path.get(place))), None)
    return Call(name, script, tuple(words[1:]), False)


def calls_in_scripts(release: PublishedFiles) -> Iterator[tuple[Command, Call]]:
    """The commands of the release's shell scripts that start a Python script, where it can be only one."""
    for text in shell_scripts(release):
        for command in script_commands(text, release):
            call = call_of(command, release)
            if call is None or call.script is None or command.elsewhere:
                continue
            beside, top = f"{text.folder}/{call.name}", call.name
            if call.is_module or not text.folder or not {beside, top} <= {*release.code_by_path}:
                yield command, call


def calls_of(text: Text, release: PublishedFiles) -> Iterator[tuple[Command, Call]]:
    """The commands of a document that start a script."""
    return ((command, call) for command in commands(text, release) if (call := call_of(command, release)))


def own_words(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words that belong to the command itself: a pipe, another command or `--` ends it."""
    ends = {"--", "|", "||", "&&", ";", "&", ">", ">>", "2>&1", "<"}
    stops = (i if word in ends else i + 1 for i, word in enumerate(words) if word in ends or word.endswith(";"))
    return words[: next(stops, len(words))]


def addresses(release: PublishedFiles) -> list[tuple[Text, int, str]]:
    """The web addresses that the documents name, each once, in their order."""
    found: dict[str, tuple[Text, int, str]] = {}
    for text in readmes(release):
        for line, words in text.prose:
            for match in re.finditer(r"https?://[^\s<>\"'`\])}|]+", words):
                url = match.group().rstrip(".,;:!?*_")
                if not re.search(r"[{}$<>]|localhost|127\.0\.0\.1|example\.", url):
                    found.setdefault(url, (text, line, url))
    return list(found.values())
