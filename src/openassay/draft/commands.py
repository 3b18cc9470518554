"""The commands by which a release trains, found in its documents, scripts and notebooks, the likeliest first."""

from __future__ import annotations

import ast
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from openassay.checks.code_options import calls, defaults, last_name, options_of, reached_from
from openassay.checks.components import training_code
from openassay.checks.documentation import Command, call_of, commands, own_words
from openassay.checks.release import Code, PublishedFiles, Text, derived_once
from openassay.draft.brought import shortened
from openassay.drivers.command import PYTHON, code_blocks

MOST_FILES = 200
"""Documents and notebooks that are looked at."""
MOST_COMMANDS = 500
"""Of one document."""
MOST_BYTES = 8 * 2**20
MOST_CODE = 2**20
"""Characters of a notebook's code."""
NEAR = 60
"""Lines between a command and those that prepare for it."""
_MARKDOWN = (".md", ".markdown")
_INLINE = re.compile(r"`{1,3}\s*(?:\$ )?(python[\d.]* [^`]{1,300})`{1,3}")
_BEGIN = re.compile(r"^[\s\-@$]*(?:run:\s*)?")
_TRAIN = re.compile(r"(?i)(^|[_\-/.])(pre)?train")
_PREPARE = re.compile(r"(?i)prepare|preproc|download|tokeni[sz]e|make_data|get_data|build_data|create_data")
_AFTER = re.compile(
    r"(?i)(^|[_\-/.])(test|eval|evaluate|sample|generate|predict|infer\w*|demo|plot\w*|visuali\w*|setup|bench\w*)"
)
_UNFIT = re.compile(r"[<>$*{}`~\[\]]|\.\.\.|(?i:path/to|your[_-])")
"""In a command: its words are an example, or need a shell."""
_PREPARING = {"wget", "curl", "unzip", "tar"}
_SEED = re.compile(r"(?i)--?(?:(?:random|manual|rng|torch|np|numpy|global|train)[-_]?)?seed")
_DEVICE = re.compile(r"--?device")
_LENGTH = re.compile(
    r"(?i)--?(?:(?:num|n|max|total)[-_]?)?(?:train(?:ing)?[-_]?)?(?:epochs?|iters?|steps|updates|iterations)"
)
_COUNT = re.compile(r"(?!1(\.0)?$)[1-9]\d{0,8}(\.0)?")


@dataclass(frozen=True, kw_only=True)
class RunCandidate:
    """A command that may be the training, as a step of a target file."""

    step: Any
    path: str
    line: int
    score: float
    folder: str = "."
    script: Code | None = None
    environment: dict[str, str] = field(default_factory=dict)
    prepares: bool = False

    @property
    def shown(self) -> str:
        """The step as a reader knows it."""
        if isinstance(self.step, list):
            return " ".join(self.step)
        return self.step.get("notebook") or f"block {self.step['block']} of {self.step['of']}"


def read_text(path: Path) -> str:
    """A file's text; empty for one that is large."""
    return path.read_text(encoding="utf-8", errors="replace") if path.stat().st_size <= MOST_BYTES else ""


def candidates(release: PublishedFiles, top: Path) -> list[RunCandidate]:
    """Every command that may train, and those that may prepare for it, the likeliest first."""
    found = [
        of for text in islice(_documents(release, top), MOST_FILES)
        for command in islice(_commands(text, release), MOST_COMMANDS) for of in _of(command, release)
    ]  # fmt: skip
    for path in [file.path for file in release.files if file.name.endswith(".ipynb")][:MOST_FILES]:
        if code := notebook_code(top / path, path):
            score = 2.0 + 2 * bool(_TRAIN.search(path)) - path.count("/") - 3 * bool(_AFTER.search(path))
            folder, _, name = path.rpartition("/")
            step = {"notebook": name}
            found.append(RunCandidate(step=step, path=path, line=1, score=score, folder=folder or ".", script=code))
    named = {of.script.path for of in found if of.script and of.score > 0}
    scripts = [
        *(path for path, _ in training_code(release)),
        *(of.path for of in release.code if _TRAIN.search(of.name)),
    ]
    for code in {path: release.code_by_path[path] for path in scripts if path in release.code_by_path}.values():
        acts = any(isinstance(of, ast.If) or isinstance(getattr(of, "value", None), ast.Call) for of in code.tree.body)
        if acts and code.path not in named and not _UNFIT.search(code.path):
            score = 1.5 + 2 * bool(_TRAIN.search(code.name)) - code.path.count("/")
            found.append(RunCandidate(step=["python", code.path], path=code.path, line=1, score=score, script=code))
    return sorted(found, key=lambda of: -of.score)


def _documents(release: PublishedFiles, top: Path) -> Iterator[Text]:
    """READMEs, Makefiles, shell scripts and CI files, the shallow ones first."""
    texts = {text.path: text for text in release.texts if re.match(r"(?i)readme", text.name)}
    for file in sorted(release.files, key=lambda file: (file.path.count("/"), file.path))[: 50 * MOST_FILES]:
        is_ci = file.path.startswith(".github/workflows/") and file.name.endswith((".yml", ".yaml"))
        if file.path in texts:
            yield replace(texts[file.path], lines=shortened(texts[file.path]))
        elif is_ci or file.name == "Makefile" or file.name.endswith(".sh"):
            text = Text(path=file.path, lines=tuple(read_text(top / file.path).splitlines()))
            yield replace(text, lines=shortened(text))


def _commands(text: Text, release: PublishedFiles) -> Iterator[Command]:
    """The command lines of a document: of Markdown its code blocks and code in sentences, of all else every line."""
    lines = [_BEGIN.sub("", line) for line in text.lines]
    if text.name.lower().endswith(_MARKDOWN):
        yield from commands(text, release)
        indented = [line if line.startswith(("    ", "\t")) else "" for line in text.lines]
        inline = [found[1] if (found := _INLINE.search(line)) else "" for line in text.lines]
        lines = [
            "" if i in text.fenced else one.strip() or two
            for i, (one, two) in enumerate(zip(indented, inline, strict=True))
        ]
    block = Text(path=text.path, lines=("```sh", *("" if line.startswith("```") else line for line in lines)))
    yield from (replace(command, line=command.line - 1) for command in commands(block, release))


def _of(command: Command, release: PublishedFiles) -> Iterator[RunCandidate]:
    """The candidates of a command line, one for each of the commands that `&&` joins."""
    words = list(command.words)
    while words:
        part = words[: words.index("&&")] if "&&" in words else words
        words = words[len(part) + 1 :]
        if found := _candidate(replace(command, words=own_words(tuple(part))), release):
            yield found


@derived_once
def _by_name(release: PublishedFiles) -> dict[str, list[Code]]:
    """The Python files by the last part of their paths."""
    found: dict[str, list[Code]] = defaultdict(list)
    for code in release.code:
        found[code.name].append(code)
    return found


def _candidate(command: Command, release: PublishedFiles) -> RunCandidate | None:
    words, path, whole = list(command.words), command.text.path, " ".join(command.words)
    unfit = bool(_UNFIT.search(whole)) or not whole.isprintable()
    if words and words[0] in _PREPARING and not unfit:
        return RunCandidate(step=words, path=path, line=command.line, score=-9, prepares=True)
    call = call_of(command, release)
    script = call.script if call else None
    if call and script is None and not call.is_module:  # it may lie in one folder below, which a sentence names
        there = [
            code for code in _by_name(release)[call.name.rpartition("/")[2]] if code.path.endswith(f"/{call.name}")
        ]
        script = there[0] if len(there) == 1 else None
    if call is None or script is None:
        return None
    environment: dict[str, str] = {}
    while words and re.fullmatch(r"[A-Za-z_]\w*=\S*", words[0]):
        name, _, value = words.pop(0).partition("=")
        environment |= {} if name == "CUDA_VISIBLE_DEVICES" else {name: value}
    launched = not re.fullmatch(r"(?:\./)?(?:python[\d.]*|\S+\.py)", words[0]) or "torch.distributed" in whole
    step, folder = words, "."
    if call.is_module and not launched:
        module = words[words.index("-m") + 1]
        step, folder = ["python", "-m", module, *call.words], "src" if script.path.startswith("src/") else "."
    elif not launched:
        named = call.name if script.path.endswith(call.name) else script.path
        step, folder = ["python", named, *call.words], script.path.removesuffix(named).strip("/") or "."
    is_readme, prepares = command.text.name.lower().startswith("readme"), bool(_PREPARE.search(script.name))
    score = 4.0 - 2 * path.count("/") if is_readme else 1.0 if command.text.name == "Makefile" else 0.0
    score += 4 if _TRAIN.search(script.path) else 2 if re.search(r"(?i)main|run|fit", script.name) else 0
    score += bool(re.search(r"[ =]cpu\b", whole)) - 3 * launched - 4 * command.elsewhere - 10 * unfit
    score -= 6 * (prepares or bool(_AFTER.search(script.name)) or "eval" in " ".join(call.words[:1]))
    return RunCandidate(
        step=step, path=path, line=command.line, score=score, folder=folder, script=script, environment=environment,
        prepares=prepares,
    )  # fmt: skip


def python_blocks(text: Text | None) -> list[RunCandidate]:
    """The code blocks of a README in Python that print something, for a release without scripts."""
    if text is None or not text.name.lower().endswith(_MARKDOWN):
        return []
    found = []
    for number, token in enumerate(code_blocks("\n".join(shortened(text))), 1):
        if token.info.strip().lower() in PYTHON and (code := _parsed(token.content, text.path)):
            score = 1 + ("fit(" in token.content or "train" in token.content) - (">>>" in token.content)
            if any(last_name(call.func) == "print" for call in calls(code)):
                step, line = {"block": number, "of": text.path}, token.map[0] + 1 if token.map else 1
                found.append(RunCandidate(step=step, path=text.path, line=line, score=score, script=code))
    return sorted(found, key=lambda of: -of.score)


def notebook_code(file: Path, path: str) -> Code | None:
    """The code of a notebook's cells as one program, without its magics; None where it is none."""
    try:
        cells = json.loads(read_text(file) or "null")["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    text = "\n".join(re.sub(r"(?m)^([ \t]*)[%!].*$", r"\1pass", source) for source in sources)
    return _parsed(text[:MOST_CODE], path)


def _parsed(text: str, path: str) -> Code | None:
    try:
        return Code(path=path, tree=ast.parse(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def preparations(best: RunCandidate, found: list[RunCandidate]) -> list[RunCandidate]:
    """The commands that prepare for one: those shortly before it in the same document."""
    near = [
        of for of in found
        if of.prepares and of.path == best.path and 0 <= best.line - of.line <= NEAR and of.folder == best.folder
        and not _UNFIT.search(of.shown)
    ]  # fmt: skip
    return list({of.shown: of for of in sorted(near, key=lambda of: of.line)}.values())


def reached(of: RunCandidate, release: PublishedFiles) -> list[Code]:
    """The code that a command runs, with the modules of the release that it imports."""
    return list(reached_from(of.script, release.code_by_path)) if of.script else []


def filled(of: RunCandidate, release: PublishedFiles) -> tuple[list[str], dict[str, int]]:
    """The words of a step with `{seed}`, `{device}` and a parameter for the training's length, as its script's options allow;
    and that parameter with its published value, where there is one."""
    words = list(of.step)
    options = options_of(of.script, release).flags if of.script else {}
    paths = {code.path for code in reached(of, release)}

    def default(flag: str) -> Any:
        named = defaults(release).get(_parameter(flag), [])
        return next((value.value for value in named if value.path in paths), None)

    def put(pattern: re.Pattern[str], name: str = "", fits: Callable[[Any], bool] = lambda _: True) -> tuple[str, Any]:
        """The placeholder that now stands for an option, and the value that it had; empty where there is no such option."""
        for i, (word, follows) in enumerate(zip(words, [*words[1:], ""], strict=True)):
            flag, equals, value = word.partition("=")
            if pattern.fullmatch(flag) and fits(given := value if equals else follows):
                put = name or _parameter(flag)
                words[i if equals else min(i + 1, len(words) - 1)] = f"{flag}={{{put}}}" if equals else f"{{{put}}}"
                return put, given
        flag = next((of for of in options if of.startswith("--") and pattern.fullmatch(of) and fits(default(of))), "")
        words.extend([flag, f"{{{name or _parameter(flag)}}}"] if flag else [])
        return name or _parameter(flag), default(flag)

    put(_SEED, "seed")
    put(_DEVICE, "device", lambda value: not isinstance(value, bool))
    name, value = put(_LENGTH, fits=lambda value: bool(_COUNT.fullmatch(str(value))))
    return words, {name: int(float(value))} if name else {}


def _parameter(flag: str) -> str:
    return flag.lstrip("-").lower().replace("-", "_")
